// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "gmem.h"
#include "mirror.h"

#define PAGE_BYTES	4096ull

/* First words; 0 stands for a page of zeroes. */
struct content {
	__u64 private, shared;
	bool is_private;
};

struct mirror {
	struct guest *g;
	__u64 nr;
	struct content pages[];
};

int mirror_create(struct mirror **out, struct guest *g)
{
	const __u64 nr = guest_nr_pages(g);
	struct mirror *m = calloc(1, sizeof(*m) + nr * sizeof(*m->pages));
	__u64 i;

	*out = m;
	if (!m)
		return -ENOMEM;
	m->g = g;
	m->nr = nr;
	for (i = 0; i < nr; i++)
		m->pages[i].is_private = guest_has_private(g);
	return 0;
}

void mirror_free(struct mirror *m)
{
	free(m);
}

bool mirror_is_private(const struct mirror *m, __u64 page)
{
	return m->pages[page].is_private;
}

/* What the guest sees of a page. */
static __u64 *seen(struct content *page)
{
	return page->is_private ? &page->private : &page->shared;
}

int mirror_touch(struct mirror *m, __u64 first, __u64 nr, __u64 pattern)
{
	int rc = guest_touch(m->g, first, nr, pattern);
	__u64 i;

	for (i = first; i < first + nr && !rc; i++)
		*seen(&m->pages[i]) = pattern + i;
	return rc;
}

int mirror_set_private(struct mirror *m, __u64 first, __u64 nr, bool private)
{
	int rc = guest_set_private(m->g, first, nr, private);
	__u64 i;

	for (i = first; i < first + nr && !rc; i++) {
		m->pages[i].is_private = private;
		if (!private && guest_forgets_unmapped(m->g))
			m->pages[i].private = 0;
	}
	return rc;
}

int mirror_punch(struct mirror *m, __u64 first, __u64 nr)
{
	int rc = gmem_punch(guest_gmem(m->g), first, nr);
	__u64 i;

	for (i = first; i < first + nr && !rc; i++) {
		/* Where the file is all the memory there is, it is the shared one, too. */
		if (!guest_has_private(m->g))
			m->pages[i].shared = 0;
		m->pages[i].private = 0;
	}
	return rc;
}

int mirror_prefault(struct mirror *m, __u64 first, __u64 nr)
{
	return guest_prefault(m->g, first, nr);
}

int mirror_discard(struct mirror *m, __u64 first, __u64 nr)
{
	__u64 i;

	if (!guest_has_private(m->g))
		return -EOPNOTSUPP;
	if (madvise(guest_shared(m->g, first), nr * PAGE_BYTES, MADV_DONTNEED))
		return -errno;
	for (i = first; i < first + nr; i++)
		m->pages[i].shared = 0;
	return 0;
}

int mirror_rebind(struct mirror *m, __u64 gpa)
{
	int rc = guest_move(m->g, GUEST_SLOT, 0, m->nr, gpa);
	__u64 i;

	for (i = 0; i < m->nr && !rc && guest_forgets_unmapped(m->g); i++)
		m->pages[i].private = 0;
	return rc;
}

/* How many pages from @first on hold what one look can verify. */
static __u64 alike(struct mirror *m, __u64 first)
{
	const __u64 word = *seen(&m->pages[first]);
	__u64 i;

	for (i = first + 1; i < m->nr; i++)
		if (*seen(&m->pages[i]) != (word ? word + i - first : 0))
			break;
	return i - first;
}

int mirror_verify(struct mirror *m, __u64 *bad)
{
	__u64 first, nr, word;
	int rc = 0;

	for (first = 0; first < m->nr && !rc; first += nr) {
		nr = alike(m, first);
		word = *seen(&m->pages[first]);
		rc = word ? guest_verify(m->g, first, nr, word - first) :
			    guest_verify_zero(m->g, first, nr);
		if (rc && bad)
			*bad = first;
	}
	return rc;
}
