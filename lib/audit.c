// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit.h"
#include "folio.h"
#include "pinned.h"
#include "sept.h"

struct search {
	struct audit_page *out;
	int nr, err;
};

/* Why the page allocator says that it is not the TD's any more, or NULL. */
static const char *not_the_tds(const struct folio_record *rec, enum order_kind kind, bool *reused)
{
	const unsigned int flags = folio_flags(rec);

	*reused = false;
	if (flags & FOLIO_BUDDY || !rec->refs)
		return "free";
	if (kind != ORDER_DATA)
		return NULL;
	/* Memory of a TD stands in a page cache. */
	*reused = flags & (FOLIO_ANON | FOLIO_TYPED);
	if (flags & FOLIO_ANON)
		return "anonymous memory";
	if (flags & FOLIO_TYPED)
		return "slab, a page table or the like";
	/* Unless KVM's own reference is what keeps it: then it may be an orphan. */
	if (flags & FOLIO_NO_MAPPING && pinned_expected() <= 0)
		return "in no file";
	return NULL;
}

static void describe(struct audit_page *a, const char *now)
{
	static const char *const kinds[] = {
		[ORDER_DATA] = "in its S-EPT", [ORDER_SEPT] = "as S-EPT page",
		[ORDER_CONTROL] = "as control page",
	};
	const struct order_page *p = &a->page;
	char freed[48] = "";

	if (p->freed)
		snprintf(freed, sizeof(freed), ", freed at %llu.%06llu s",
			 p->freed / 1000000000, p->freed % 1000000000 / 1000);
	snprintf(a->text, sizeof(a->text), "pfn 0x%llx, which TD 0x%llx has %s at gpa 0x%llx, is %s%s%s",
		 a->pfn, p->tdr, kinds[p->kind], p->gpa, now ?: "another's file's", freed,
		 p->reused ? ", handed out again" : "");
}

static void look(void *ctx, __u64 pfn, const struct order_page *page)
{
	const struct folio_cache nobody = {};
	struct folio_record rec = { .word = pfn };
	struct audit_page a = { .pfn = pfn, .page = *page };
	struct search *s = ctx;
	const char *now;
	int err;

	if (page->state != ORDER_OWNED)
		return;
	err = folio_by_pfn(&rec, 1, &nobody);
	if (err) {
		s->err = err;
		return;
	}
	now = not_the_tds(&rec, page->kind, &a.reused);
	if (!now && !page->freed)
		return;
	a.reused |= page->reused != 0;
	if (s->nr < AUDIT_MAX) {
		describe(&a, now);
		s->out[s->nr] = a;
	}
	s->nr++;
}

int audit_find(struct order *o, struct audit_page out[AUDIT_MAX])
{
	struct search s = { .out = out };
	int err = order_visit_pages(o, look, &s) ?: s.err;

	if (!err && order_why_holes(o))
		err = -EOVERFLOW;
	return err ?: s.nr;
}

int audit_check(struct order *o, struct finding *f)
{
	struct audit_page pages[AUDIT_MAX];
	int nr = audit_find(o, pages), i;

	if (nr < 0) {
		finding_set(f, "free-while-mapped", "%s", order_why_holes(o) ?: strerror(-nr));
		return nr;
	}
	if (!nr)
		return 0;
	for (i = 0; i < nr && i < AUDIT_MAX; i++)
		fprintf(stderr, "# audit: %s\n", pages[i].text);
	finding_set(f, "free-while-mapped", "%d page%s free or another's while a TD has %s: %s",
		    nr, nr > 1 ? "s are" : " is", nr > 1 ? "them" : "it", pages[0].text);
	return 1;
}

int audit_check_mapped(int fd, struct finding *f)
{
	const struct folio_cache nobody = {};
	struct folio_record rec;
	const char *now;
	struct sept sept;
	char why[200] = "";
	bool reused;
	size_t i;
	int rc;

	rc = sept_read(fd, &sept, why, sizeof(why));
	for (i = 0; !rc && i < sept.nr; i++) {
		rec = (struct folio_record){ .word = sept.pfns[i] };
		rc = folio_by_pfn(&rec, 1, &nobody);
		now = rc ? NULL : not_the_tds(&rec, ORDER_DATA, &reused);
		if (now) {
			finding_set(f, "free-while-mapped", "pfn 0x%llx, which KVM has mapped in the S-EPT, is %s",
				    sept.pfns[i], now);
			rc = 1;
		}
	}
	if (rc < 0)
		finding_set(f, "free-while-mapped", "cannot tell what the S-EPT maps: %s",
			    *why ? why : strerror(-rc));
	sept_free(&sept);
	return rc;
}
