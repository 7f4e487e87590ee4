// SPDX-License-Identifier: GPL-2.0-only
/*
 * A chain of events is checked link by link: every two neighbours must both have
 * happened, in that order.  Where a thing may happen several times, the chain takes
 * the instance that is worst for the claim: of what must be over, the last; of what
 * must not have begun, the first.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sequence.h"
#include "settle.h"

#define NONE		((size_t)-1)
#define MAX_CHAIN	6
#define MAX_SHOWN	24	/* events of a page that are shown */

struct link {
	const char *what;
	size_t event;
};

struct look {
	struct order *o;
	const struct order_event *e;
	size_t nr;
	char text[320];		/* of the first complaint */
	__u64 pfn;		/* that it is about, or ORDER_NO_PAGE */
	__u64 nr_bad;
};

static bool is(const struct order_event *e, enum order_what what)
{
	return e->what == what && !e->status;
}

static bool gives(const struct order_event *e)
{
	return is(e, ORDER_PAGE_ADD) || is(e, ORDER_PAGE_AUG);
}

static void __attribute__((format(printf, 3, 4)))
complain(struct look *l, __u64 pfn, const char *fmt, ...)
{
	va_list ap;

	if (l->nr_bad++)
		return;
	l->pfn = pfn;
	va_start(ap, fmt);
	vsnprintf(l->text, sizeof(l->text), fmt, ap);
	va_end(ap);
}

/* False, and a complaint, if the links are not in that order. */
static bool in_order(struct look *l, const char *who, __u64 pfn, const struct link *chain,
		     unsigned int nr)
{
	char late[160], early[160];
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (chain[i].event == NONE) {
			complain(l, pfn, "%s: no %s%s%s", who, chain[i].what,
				 i ? " after " : "",
				 i ? order_describe(l->o, chain[i - 1].event, early,
						    sizeof(early)) : "");
			return false;
		}
		if (i && chain[i].event < chain[i - 1].event) {
			complain(l, pfn, "%s: %s came before %s", who,
				 order_describe(l->o, chain[i].event, early, sizeof(early)),
				 order_describe(l->o, chain[i - 1].event, late, sizeof(late)));
			return false;
		}
	}
	return true;
}

static void show_page(const struct look *l)
{
	unsigned int shown = 0;
	char text[160];
	size_t i;

	if (l->pfn == ORDER_NO_PAGE)
		return;
	for (i = 0; i < l->nr && shown < MAX_SHOWN; i++) {
		if (l->e[i].pfn != l->pfn)
			continue;
		fprintf(stderr, "#   pfn 0x%llx gpa 0x%llx: %s\n", l->pfn, l->e[i].gpa,
			order_describe(l->o, i, text, sizeof(text)));
		shown++;
	}
}

/* Look until all is well, or time is over. */
static int settle_look(struct order *o, void (*look)(struct look *l, void *arg), void *arg,
		       const char *invariant, struct finding *f, struct look *l)
{
	const char *holes;
	struct settle s;

	settle_start(&s);
	do {
		memset(l, 0, sizeof(*l));
		l->o = o;
		l->pfn = ORDER_NO_PAGE;
		l->e = order_events(o, &l->nr);
		look(l, arg);
		holes = order_why_holes(o);
	} while ((l->nr_bad || holes) && settle_again(&s));

	if (holes) {
		finding_set(f, invariant, "%s", holes);
		return -EOVERFLOW;
	}
	if (!l->nr_bad) {
		settle_done(&s);
		return 0;
	}
	show_page(l);
	finding_set(f, invariant, "%s", l->text);
	f->waited_ms = settle_ms(&s);
	return 1;
}

/* ---- Pages ---- */

struct pages {
	const struct census *before;
	__u64 first, nr;
	size_t since;
	enum sequence_fate fate;
};

/* Whether the TD had been finalized by then. */
static bool finalized(const struct look *l, __u64 tdr, size_t by)
{
	size_t i;

	for (i = 0; i < by; i++)
		if (l->e[i].tdr == tdr && is(&l->e[i], ORDER_MR_FINALIZE))
			return true;
	return false;
}

/* The last event before @at by which that thread let KVM begin to zap. */
static size_t begin_of(const struct look *l, size_t at)
{
	size_t i;

	for (i = at; i-- > 0; )
		if (l->e[i].tid == l->e[at].tid &&
		    (is(&l->e[i], ORDER_BEGIN) || is(&l->e[i], ORDER_FLUSH_SLOT) ||
		     is(&l->e[i], ORDER_END)))
			return l->e[i].what == ORDER_END ? NONE : i;
	return NONE;
}

static size_t end_of(const struct look *l, size_t begin)
{
	size_t i;

	for (i = begin + 1; i < l->nr; i++)
		if (l->e[i].tid == l->e[begin].tid && is(&l->e[i], ORDER_END))
			return i;
	return NONE;
}

static void look_at_page(struct look *l, const struct pages *p, __u64 index, __u64 pfn)
{
	size_t given = NONE, begin, block = NONE, track = NONE, remove = NONE, wbinvd = NONE;
	size_t uncache = NONE, freed = NONE, end = NONE, i;
	struct link chain[MAX_CHAIN];
	unsigned int nr = 0;
	char who[64];

	snprintf(who, sizeof(who), "page %llu, pfn 0x%llx", index, pfn);
	for (i = 0; i < l->nr; i++) {
		const struct order_event *e = &l->e[i];

		/* What it was before, and until it is given to a TD again. */
		if (e->pfn == pfn && e->what == ORDER_FREE && i < p->since)
			given = NONE;
		if (gives(e) && e->pfn == pfn) {
			if (given != NONE && i >= p->since)
				break;
			given = i;
			continue;
		}
		if (given == NONE || i < p->since)
			continue;
		if (is(e, ORDER_TRACK) && e->tdr == l->e[given].tdr && block != NONE &&
		    remove == NONE)
			track = i;
		if (e->pfn != pfn)
			continue;
		if (is(e, ORDER_RANGE_BLOCK))
			block = i;
		if (is(e, ORDER_PAGE_REMOVE))
			remove = i;
		if (is(e, ORDER_PAGE_WBINVD) && wbinvd == NONE)
			wbinvd = i;
		if (e->what == ORDER_UNCACHE && uncache == NONE)
			uncache = i;
		if (e->what == ORDER_FREE && freed == NONE)
			freed = i;
	}
	if (given == NONE) {
		complain(l, pfn, "%s: was never given to a TD that is traced", who);
		return;
	}

	/* Who removes without a block must at least have begun. */
	begin = block != NONE ? begin_of(l, block) : remove != NONE ? begin_of(l, remove) : NONE;
	if (begin != NONE && l->e[begin].what == ORDER_BEGIN)
		end = end_of(l, begin);

	chain[nr++] = (struct link){ "beginning of an invalidation by the thread that removes it",
				     begin };
	chain[nr++] = (struct link){ "MEM.RANGE.BLOCK", block };
	if (block != NONE && finalized(l, l->e[given].tdr, block))
		chain[nr++] = (struct link){ "MEM.TRACK", track };
	chain[nr++] = (struct link){ "MEM.PAGE.REMOVE", remove };
	chain[nr++] = (struct link){ "PHYMEM.PAGE.WBINVD", wbinvd };
	/* What should not have happened yet, first of all, as it is the worst. */
	if (freed != NONE && (remove == NONE || freed < remove)) {
		const struct link worst[] = { { "MEM.PAGE.REMOVE", remove },
					      { "free of the page", freed } };

		if (remove == NONE)
			complain(l, pfn, "%s: freed, but never removed from the S-EPT", who);
		else
			in_order(l, who, pfn, worst, 2);
		return;
	}
	if (!in_order(l, who, pfn, chain, nr))
		return;
	if (l->e[remove].tid != l->e[block].tid || l->e[wbinvd].tid != l->e[block].tid) {
		complain(l, pfn, "%s: blocked by thread %u, removed by %u, flushed by %u", who,
			 l->e[block].tid, l->e[remove].tid, l->e[wbinvd].tid);
		return;
	}
	if (begin != NONE && l->e[begin].what == ORDER_BEGIN) {
		const struct link done[] = { { p->fate == SEQUENCE_PUNCHED ? "removal from the page cache" :
					       "PHYMEM.PAGE.WBINVD",
					       p->fate == SEQUENCE_PUNCHED ? uncache : wbinvd },
					     { "end of the invalidation", end } };

		if (!in_order(l, who, pfn, done, 2))
			return;
	}
	if (p->fate == SEQUENCE_ZAPPED) {
		if (uncache != NONE || freed != NONE)
			complain(l, pfn, "%s: left the page cache although it was only zapped", who);
	} else {
		const struct link gone[] = { { "PHYMEM.PAGE.WBINVD", wbinvd },
					     { "removal from the page cache", uncache },
					     { "free of the page", freed } };

		in_order(l, who, pfn, gone, 3);
	}
}

static void look_at_pages(struct look *l, void *arg)
{
	const struct pages *p = arg;
	const struct folio_record *rec;
	__u64 i;

	for (i = p->first; i < p->first + p->nr; i++) {
		rec = census_page(p->before, i);
		if (rec && folio_present(rec))
			look_at_page(l, p, i, folio_pfn(rec));
	}
}

int sequence_check_pages(struct order *o, const struct census *before, __u64 first, __u64 nr,
			 size_t since, enum sequence_fate fate, struct finding *f)
{
	struct pages p = { before, first, nr, since, fate };
	struct look l;
	int rc = settle_look(o, look_at_pages, &p, "order", f, &l);

	/* Without a list of pages, as their references are not what is wrong. */
	if (rc > 0)
		finding_set(f, "order", "%llu of %llu pages went out of order; %.250s",
			    l.nr_bad, nr, l.text);
	return rc;
}

/* ---- TDs ---- */

struct teardown {
	size_t since;
	unsigned int nr;
};

/* What must happen to a page that a TD has besides its memory. */
static void look_at_owned(struct look *l, size_t given, size_t freeid, size_t tdr_reclaim)
{
	const struct order_event *g = &l->e[given];
	size_t reclaim = NONE, wbinvd = NONE, freed = NONE, i;
	const bool is_tdr = g->what == ORDER_MNG_CREATE;
	struct link chain[5];
	unsigned int nr = 0;
	char who[64];

	snprintf(who, sizeof(who), "%s page, pfn 0x%llx", is_tdr ? "TDR" :
		 g->what == ORDER_SEPT_ADD ? "S-EPT" : "control", g->pfn);
	for (i = given + 1; i < l->nr; i++) {
		if (l->e[i].pfn != g->pfn)
			continue;
		if (is(&l->e[i], ORDER_PAGE_RECLAIM) && reclaim == NONE)
			reclaim = i;
		if (is(&l->e[i], ORDER_PAGE_WBINVD) && reclaim != NONE)
			wbinvd = i;
		if (l->e[i].what == ORDER_FREE) {
			freed = i;
			break;
		}
	}
	chain[nr++] = (struct link){ "MNG.KEY.FREEID", freeid };
	chain[nr++] = (struct link){ "PHYMEM.PAGE.RECLAIM", reclaim };
	if (is_tdr)
		chain[nr++] = (struct link){ "PHYMEM.PAGE.WBINVD", wbinvd };
	chain[nr++] = (struct link){ "free of the page", freed };
	if (in_order(l, who, g->pfn, chain, nr) && !is_tdr) {
		const struct link last[] = { { "PHYMEM.PAGE.RECLAIM", reclaim },
					     { "PHYMEM.PAGE.RECLAIM of the TDR", tdr_reclaim } };

		in_order(l, who, g->pfn, last, 2);
	}
}

/* Where the memory of the TD went; returns its last REMOVE, or @created. */
static size_t look_at_memory(struct look *l, size_t created, size_t until, size_t destroy)
{
	const __u64 tdr = l->e[created].tdr;
	size_t last = created, i, j;

	for (i = created; i < until; i++) {
		if (l->e[i].tdr != tdr)
			continue;
		if (is(&l->e[i], ORDER_PAGE_REMOVE))
			last = i;
		if (!gives(&l->e[i]))
			continue;
		for (j = i + 1; j < until; j++)
			if (l->e[j].tdr == tdr && l->e[j].pfn == l->e[i].pfn &&
			    is(&l->e[j], ORDER_PAGE_REMOVE))
				break;
		if (j == until || j > destroy)
			complain(l, l->e[i].pfn, "pfn 0x%llx at gpa 0x%llx: not removed from the S-EPT by the time the VM was destroyed",
				 l->e[i].pfn, l->e[i].gpa);
	}
	return last;
}

/* The last VP.FLUSH before VPFLUSHDONE, if each vCPU had one; else NONE. */
static size_t flushes(struct look *l, size_t created, size_t done)
{
	const __u64 tdr = l->e[created].tdr;
	size_t last = created, i, j;

	for (i = created; i < done; i++) {
		if (l->e[i].tdr != tdr)
			continue;
		if (l->e[i].what == ORDER_VP_FLUSH)
			last = i;
		if (!is(&l->e[i], ORDER_VP_CREATE))
			continue;
		for (j = i + 1; j < done; j++)
			if (l->e[j].what == ORDER_VP_FLUSH && l->e[j].pfn == l->e[i].pfn)
				break;
		if (j == done)
			return NONE;
	}
	return last;
}

static void look_at_td(struct look *l, size_t created)
{
	const __u64 tdr = l->e[created].tdr;
	size_t destroy = NONE, done = NONE, wb = NONE, freeid = NONE, tdr_reclaim = NONE;
	size_t until = l->nr, i;
	struct link chain[6];
	unsigned int nr = 0;
	char who[40];

	snprintf(who, sizeof(who), "TD 0x%llx", tdr);
	for (i = created + 1; i < l->nr; i++) {
		const struct order_event *e = &l->e[i];

		if (e->what == ORDER_CACHE_WB && done != NONE && freeid == NONE)
			wb = i;
		if (e->tdr != tdr)
			continue;
		if (is(e, ORDER_VPFLUSHDONE) && done == NONE)
			done = i;
		if (is(e, ORDER_KEY_FREEID) && freeid == NONE)
			freeid = i;
		if (is(e, ORDER_PAGE_RECLAIM) && e->pfn == l->e[created].pfn)
			tdr_reclaim = i;
		/* Its address may be another TD's thereafter. */
		if (e->what == ORDER_FREE && e->pfn == l->e[created].pfn) {
			until = i;
			break;
		}
	}
	/* Which VM it was tells the thread. */
	for (i = done == NONE ? 0 : done; i-- > created && destroy == NONE; )
		if (l->e[i].what == ORDER_DESTROY && l->e[i].tid == l->e[done].tid)
			destroy = i;

	chain[nr++] = (struct link){ "last MEM.PAGE.REMOVE", look_at_memory(l, created, until,
									destroy) };
	chain[nr++] = (struct link){ "destruction of the VM", destroy };
	chain[nr++] = (struct link){ "VP.FLUSH of each vCPU", done == NONE ? NONE :
				     flushes(l, created, done) };
	/* A vCPU that runs nowhere any more may have been flushed long ago. */
	if (chain[2].event != NONE && destroy != NONE && chain[2].event < destroy)
		nr--;
	chain[nr++] = (struct link){ "MNG.VPFLUSHDONE", done };
	chain[nr++] = (struct link){ "PHYMEM.CACHE.WB", wb };
	chain[nr++] = (struct link){ "MNG.KEY.FREEID", freeid };
	if (!in_order(l, who, ORDER_NO_PAGE, chain, nr))
		return;

	for (i = created; i < until; i++)
		if (l->e[i].tdr == tdr &&
		    (is(&l->e[i], ORDER_MNG_CREATE) || is(&l->e[i], ORDER_MNG_ADDCX) ||
		     is(&l->e[i], ORDER_VP_CREATE) || is(&l->e[i], ORDER_VP_ADDCX) ||
		     is(&l->e[i], ORDER_SEPT_ADD)))
			look_at_owned(l, i, freeid, tdr_reclaim);
}

static void look_at_teardown(struct look *l, void *arg)
{
	const struct teardown *t = arg;
	unsigned int nr = 0;
	size_t i;

	for (i = t->since; i < l->nr; i++) {
		if (is(&l->e[i], ORDER_MNG_CREATE)) {
			look_at_td(l, i);
			nr++;
		}
	}
	if (nr != t->nr)
		complain(l, ORDER_NO_PAGE, "%u TDs were created, should be %u", nr, t->nr);
}

int sequence_check_teardown(struct order *o, size_t since, unsigned int nr, struct finding *f)
{
	struct teardown t = { since, nr };
	struct look l;

	return settle_look(o, look_at_teardown, &t, "teardown", f, &l);
}
