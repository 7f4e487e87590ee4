// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "census.h"
#include "gmem.h"
#include "guest.h"
#include "peer.h"
#include "pinned.h"
#include "sept.h"

#define LIMIT_MS	30000	/* of the look; a fault may be tried again for ever */

enum { MAPPED, UNMAPPED, NR_PAGES };

/* What the child says: sentences, as what libkvm does there may end it. */
struct answer {
	struct pinned_control seen;
	int rc;
	char why[400];
};

static int look(struct pinned_control *out)
{
	struct census *c = NULL;
	struct guest *g;
	int rc;

	rc = guest_create(&g, GUEST_TDX, NR_PAGES);
	if (rc)
		return rc;
	rc = gmem_allocate(guest_gmem(g), 0, NR_PAGES) ?: guest_touch(g, MAPPED, 1, 0) ?:
	     census_take(&c, guest_gmem(g), 0, NR_PAGES);
	if (!rc) {
		out->mapped = census_page(c, MAPPED)->refs;
		out->unmapped = census_page(c, UNMAPPED)->refs;
	}
	census_free(c);
	guest_destroy(g);
	return rc;
}

static int answer(struct peer *me, void *arg)
{
	const char *why = guest_why_not(GUEST_TDX) ?: folio_why_not();
	struct answer *a = arg;
	sigset_t none;

	(void)me;
	/* Ctrl-C is to end this at once, also where the caller takes it later. */
	signal(SIGINT, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* The count as it is. */
	setenv("SEPT_EXPECT_PIN", "0", 1);
	if (why) {
		a->rc = -ENODEV;
		snprintf(a->why, sizeof(a->why), "%s", why);
		return 0;
	}
	a->rc = look(&a->seen);
	if (a->rc) {
		snprintf(a->why, sizeof(a->why), "%s", strerror(-a->rc));
	} else if (a->seen.unmapped != 1 || (a->seen.mapped != 1 && a->seen.mapped != 2)) {
		a->rc = -EPROTO;
		snprintf(a->why, sizeof(a->why), "a page that the S-EPT maps has %u references, one that it does not map %u",
			 a->seen.mapped, a->seen.unmapped);
	}
	return 0;
}

int pinned_look(struct pinned_control *out, char *why, size_t why_len)
{
	struct answer *a = mmap(NULL, sizeof(*a), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct peer *peer;
	int rc;

	if (a == MAP_FAILED) {
		rc = -errno;
		snprintf(why, why_len, "%s", strerror(-rc));
		return rc;
	}
	a->rc = -EIO;
	snprintf(a->why, sizeof(a->why), "who looked at the control page ended before it could tell");
	fflush(NULL);
	rc = peer_start(&peer, answer, a);
	if (rc) {
		snprintf(why, why_len, "%s", strerror(-rc));
	} else if (peer_join(peer, LIMIT_MS) == -ETIMEDOUT) {
		rc = -ETIMEDOUT;
		snprintf(why, why_len, "who looked at the control page was still at it after %d s",
			 LIMIT_MS / 1000);
	} else {
		rc = a->rc;
		snprintf(why, why_len, "%s", a->why);
		*out = a->seen;
	}
	munmap(a, sizeof(*a));
	return rc;
}

int pinned_expected(void)
{
	static int tds = -1, found = -1;
	const char *env = getenv("SEPT_EXPECT_PIN");
	struct pinned_control seen;
	char why[400];
	int err;

	if (tds < 0)
		tds = !guest_why_not(GUEST_TDX);
	if (!tds)
		return 0;
	if (env && (!strcmp(env, "0") || !strcmp(env, "1")))
		return *env - '0';
	if (found < 0) {
		err = pinned_look(&seen, why, sizeof(why));
		if (err) {
			fprintf(stderr, "# cannot tell whether this kernel holds what the S-EPT maps: %s\n", why);
			return err;
		}
		found = seen.mapped - seen.unmapped;
	}
	return found;
}

int pinned_discount(int fd, struct folio_record *recs, __u64 nr)
{
	int refs = pinned_expected(), err;
	struct sept sept;
	char why[200];
	__u64 i;

	if (refs <= 0)
		return refs;
	err = sept_read(fd, &sept, why, sizeof(why));
	if (err)
		fprintf(stderr, "# cannot tell what the S-EPT maps: %s\n", why);
	for (i = 0; !err && i < nr; i++)
		if (folio_present(&recs[i]) && sept_maps(&sept, folio_pfn(&recs[i])))
			recs[i].refs -= refs;
	sept_free(&sept);
	return err;
}
