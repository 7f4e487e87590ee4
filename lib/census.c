// SPDX-License-Identifier: GPL-2.0-only
/*
 * The census and its invariants.
 *
 * All checks are the same loop: look at the pages that are still in question,
 * strike out those that are as they should be, wait a little, look again.  A
 * page is struck out the first time it is seen right, and not looked at again:
 * speculative references come and go on every page for ever, so waiting for one
 * instant at which *all* pages are right could take for ever too.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "census.h"
#include "folio_proc.h"
#include "pinned.h"
#include "settle.h"

#define PAGE_BYTES	4096ull
#define LOOKS	6	/* census_take()'s; some 10 ms if a holder stays */

struct census {
	int fd;
	struct folio_cache cache;
	__u64 first, nr, present;
	struct folio_record recs[];
};

/* One question about many pages. */
struct question {
	const char *invariant;
	const char *complaint;		/* "%llu of %llu pages ..." */
	int fd;
	const struct census *before;	/* what they were, or NULL */
	bool by_pfn;			/* ask for the frames of @before */
	const char *addr;		/* ask for the frames behind it, or NULL */
	bool skip_absent;		/* do not ask where @before saw no page */
	bool counts;			/* whether @right looks at references */
	__u64 maps, refs;		/* wanted; the meaning is @right's */
	bool (*right)(const struct question *q, __u64 index,
		      const struct folio_record *now);
	void (*want)(const struct question *q, __u64 index,
		     const struct folio_record *now, struct finding_page *p);
};

/* A page that has not been seen right yet. */
struct suspect {
	__u64 index;
	struct folio_record rec;
	bool moved;
};

/*
 * The self-test: what a check reads is off by $SEPT_FAKE_REFS, as if somebody
 * held so many references more; on a frame that nobody holds, as if its page
 * had been left an orphan.  No check may stay green then.
 */
static void fake(struct folio_record *recs, __u64 nr)
{
	const char *env = getenv("SEPT_FAKE_REFS");
	int add = env ? strtol(env, NULL, 0) : 0;
	__u64 i, flags;

	for (i = 0; add && i < nr; i++) {
		if (!folio_present(&recs[i]))
			continue;
		if (!recs[i].refs) {
			flags = (folio_flags(&recs[i]) & ~(FOLIO_BUDDY | FOLIO_TYPED)) |
				FOLIO_LRU | FOLIO_NO_MAPPING;
			recs[i].word &= (1ull << FOLIO_FLAG_SHIFT) - 1;
			recs[i].word |= flags << FOLIO_FLAG_SHIFT;
		}
		recs[i].refs += add;
	}
}

/* As all of the census reads a file: without what the S-EPT must hold. */
static int read_file(int fd, __u64 first, __u64 nr, struct folio_record *recs,
		     struct folio_cache *cache)
{
	return folio_by_file(fd, first, nr, recs, cache) ?: pinned_discount(fd, recs, nr);
}

static bool above_baseline(const struct folio_record *rec)
{
	return folio_present(rec) && rec->refs > 1 + rec->maps;
}

/* Keep of each page the look with the fewest references. */
static void keep_lowest(struct census *c, const struct folio_record *again)
{
	struct folio_record *rec;
	__u64 i;

	for (i = 0; i < c->nr; i++) {
		rec = &c->recs[i];
		/* Another page, or another mapping: what was seen before is past. */
		if (!folio_present(rec) || folio_pfn(rec) != folio_pfn(&again[i]) ||
		    rec->maps != again[i].maps || rec->refs > again[i].refs)
			*rec = again[i];
	}
}

/* Count what is there.  Returns whether any page is held above its baseline. */
static bool tally(struct census *c)
{
	bool above = false;
	__u64 i;

	c->present = 0;
	for (i = 0; i < c->nr; i++) {
		c->present += folio_present(&c->recs[i]);
		above |= above_baseline(&c->recs[i]);
	}
	return above;
}

/* Look again, a few times, for as long as any page is held above its baseline. */
static int look_for_lowest(struct census *c)
{
	struct folio_record *again = malloc(c->nr * sizeof(*again));
	struct settle s;
	int err = again ? 0 : -ENOMEM;

	settle_start(&s);
	while (!err && s.tries < LOOKS && settle_again(&s)) {
		err = read_file(c->fd, c->first, c->nr, again, &c->cache);
		if (err)
			break;
		keep_lowest(c, again);
		if (!tally(c))
			break;
	}
	free(again);
	return err;
}

int census_take(struct census **out, int fd, __u64 first, __u64 nr)
{
	struct census *c;
	int err;

	*out = NULL;
	if (!nr)
		return -EINVAL;
	c = malloc(sizeof(*c) + nr * sizeof(c->recs[0]));
	if (!c)
		return -ENOMEM;
	c->fd = fd;
	c->first = first;
	c->nr = nr;

	err = read_file(fd, first, nr, c->recs, &c->cache);
	if (!err && tally(c))
		err = look_for_lowest(c);
	if (err)
		free(c);
	else
		*out = c;
	return err;
}

void census_free(struct census *c)
{
	free(c);
}

const struct folio_record *census_page(const struct census *c, __u64 index)
{
	if (index < c->first || index - c->first >= c->nr)
		return NULL;
	return &c->recs[index - c->first];
}

__u64 census_nr_present(const struct census *c)
{
	return c->present;
}

/*
 * Who may hold @extra references more than there should be?  In the order of
 * what a reader should suspect first.
 */
static void name_holder(const struct folio_record *rec, __s64 extra, char *buf,
			size_t len)
{
	__u64 pins = extra > 0 ? extra / CENSUS_PIN_BIAS : 0;
	unsigned int flags = folio_flags(rec);
	int n = 0;

	if (!folio_present(rec)) {
		snprintf(buf, len, "no page there");
		return;
	}
	if (extra < 0) {
		snprintf(buf, len, "%lld references too few: somebody put one that was not theirs",
			 (long long)-extra);
		return;
	}
	if (flags & FOLIO_LARGE && flags & FOLIO_PINNED)
		n = snprintf(buf, len, "GUP-pinned (large folio); ");
	if (pins) {
		n = snprintf(buf, len, "%llu GUP pin%s (bias %d each)", pins,
			     pins > 1 ? "s" : "", CENSUS_PIN_BIAS);
		extra -= pins * CENSUS_PIN_BIAS;
		if (extra)
			n += snprintf(buf + n, len - n, " and ");
	}
	if (extra)
		n += snprintf(buf + n, len - n, "%lld plain reference%s%s",
			      (long long)extra, extra > 1 ? "s" : "",
			      flags & FOLIO_LRU ? ", not an LRU batch" :
			      ", perhaps an LRU batch that could not be drained");
	if (!n)
		snprintf(buf, len, "nobody above the baseline");
}

/* The frames behind addresses of this process; nothing, where nothing is mapped. */
static int look_behind(const char *addr, const __u64 *index, __u64 nr,
		       struct folio_record *recs)
{
	const struct folio_cache none = {};
	__u64 i, pfn, there = 0;
	int err;

	for (i = 0; i < nr; i++) {
		err = folio_proc_pfn(addr + index[i] * PAGE_BYTES, &pfn);
		if (err && err != -ENOENT)
			return err;
		recs[i] = (struct folio_record){ .word = err ? 0 : pfn };
		there += !err;
	}
	return there == nr ? folio_by_pfn(recs, nr, &none) : 0;
}

/* Look at the pages @index[0..nr-1], at most FOLIO_WINDOW, in few calls. */
static int look(const struct question *q, const __u64 *index, __u64 nr,
		struct folio_record *recs)
{
	__u64 i, run;
	int err;

	if (q->by_pfn) {
		for (i = 0; i < nr; i++)
			recs[i] = *census_page(q->before, index[i]);
		err = folio_by_pfn(recs, nr, &q->before->cache);
		if (err)
			return err;
	}
	if (q->addr) {
		err = look_behind(q->addr, index, nr, recs);
		if (err)
			return err;
	}
	for (i = 0; !q->by_pfn && !q->addr && i < nr; i += run) {
		for (run = 1; i + run < nr && index[i + run] == index[i] + run; run++)
			;
		err = read_file(q->fd, index[i], run, recs + i, NULL);
		if (err)
			return err;
	}
	fake(recs, nr);
	return 0;
}

/* Where one look puts what it sees: a window's worth. */
struct view {
	__u64 index[FOLIO_WINDOW];
	struct folio_record recs[FOLIO_WINDOW];
};

/* The pages that were not right when last seen. */
struct suspects {
	struct suspect *list;
	__u64 nr, room;
};

static int suspect_add(struct suspects *s, __u64 index, const struct folio_record *rec)
{
	if (s->nr == s->room) {
		__u64 room = s->room ? 2 * s->room : 64;
		struct suspect *list = realloc(s->list, room * sizeof(*list));

		if (!list)
			return -ENOMEM;
		s->list = list;
		s->room = room;
	}
	s->list[s->nr++] = (struct suspect){ .index = index, .rec = *rec };
	return 0;
}

/*
 * A page that is not on an LRU list yet may be in a batch, whose reference would make
 * up for one that is missing: it is right only if it still is when that has been drained.
 */
static bool may_hide_one(const struct question *q, const struct folio_record *now)
{
	return q->counts && folio_present(now) && !(folio_flags(now) & FOLIO_LRU);
}

/* The first look, at every page; what is not right becomes a suspect. */
static int look_at_all(const struct question *q, __u64 first, __u64 nr,
		       struct view *v, struct suspects *s)
{
	__u64 index = first, i, n;
	int err;

	while (index < first + nr) {
		for (n = 0; n < FOLIO_WINDOW && index < first + nr; index++)
			if (!q->skip_absent || folio_present(census_page(q->before, index)))
				v->index[n++] = index;
		err = look(q, v->index, n, v->recs);
		for (i = 0; !err && i < n; i++)
			if (!q->right(q, v->index[i], &v->recs[i]) ||
			    may_hide_one(q, &v->recs[i]))
				err = suspect_add(s, v->index[i], &v->recs[i]);
		if (err)
			return err;
	}
	return 0;
}

/* A further look, at the suspects; those seen right are struck out. */
static int look_again(const struct question *q, struct view *v, struct suspects *s)
{
	__u64 from, i, n, kept = 0;
	struct suspect *one;
	int err;

	for (from = 0; from < s->nr; from += n) {
		n = s->nr - from < FOLIO_WINDOW ? s->nr - from : FOLIO_WINDOW;
		for (i = 0; i < n; i++)
			v->index[i] = s->list[from + i].index;
		err = look(q, v->index, n, v->recs);
		if (err)
			return err;
		for (i = 0; i < n; i++) {
			if (q->right(q, v->index[i], &v->recs[i]))
				continue;
			one = &s->list[kept++];
			*one = s->list[from + i];
			one->moved |= one->rec.refs != v->recs[i].refs ||
				      one->rec.maps != v->recs[i].maps;
			one->rec = v->recs[i];
		}
	}
	s->nr = kept;
	return 0;
}

static void tell(const struct question *q, __u64 first, __u64 nr,
		 const struct suspect *s, __u64 nr_bad, const struct settle *settle,
		 struct finding *f)
{
	struct finding_page *p;
	__u64 i;

	finding_set(f, q->invariant, q->complaint, nr_bad, nr);
	f->first = first;
	f->nr = nr;
	f->nr_bad = nr_bad;
	f->waited_ms = settle_ms(settle);
	for (i = 0; i < nr_bad && i < FINDING_PAGES; i++) {
		p = &f->pages[i];
		p->index = s[i].index;
		p->pfn = folio_present(&s[i].rec) ? folio_pfn(&s[i].rec) : 0;
		p->refs = (int)s[i].rec.refs;
		p->maps = s[i].rec.maps;
		p->flags = folio_flags(&s[i].rec);
		p->moved = s[i].moved;
		q->want(q, s[i].index, &s[i].rec, p);
		if (!p->holder[0])
			name_holder(&s[i].rec, p->refs - p->want_refs, p->holder,
				    sizeof(p->holder));
	}
}

static int ask(const struct question *q, __u64 first, __u64 nr, struct finding *f)
{
	struct view *v = malloc(sizeof(*v));
	struct suspects s = {};
	struct settle settle;
	__u64 bad;
	int err;

	settle_start(&settle);
	if (!v)
		err = -ENOMEM;
	else if (q->before && (first < q->before->first ||
			       first + nr > q->before->first + q->before->nr))
		err = -ERANGE;
	else
		err = look_at_all(q, first, nr, v, &s);
	while (!err && s.nr && settle_again(&settle))
		err = look_again(q, v, &s);

	if (err)
		finding_set(f, q->invariant, "cannot look at %llu pages from %llu on: %s",
			    nr, first, err == -ENODATA ? folio_why_not() : strerror(-err));
	else if (s.nr)
		tell(q, first, nr, s.list, s.nr, &settle, f);
	else
		settle_done(&settle);
	bad = s.nr;
	free(s.list);
	free(v);
	return err ? err : bad ? 1 : 0;
}

/* Is the page of @before still what backs @index in its file? */
static bool still_cached(const struct census *before, __u64 index)
{
	struct folio_record now;
	struct folio_cache cache;

	/* Without the file at hand only its page cache can hold the page. */
	if (folio_by_file(before->fd, index, 1, &now, &cache) ||
	    cache.mapping != before->cache.mapping || cache.ino != before->cache.ino)
		return true;
	return folio_present(&now) &&
	       folio_pfn(&now) == folio_pfn(census_page(before, index));
}

enum fate { FATE_FREE, FATE_REUSED, FATE_CACHED, FATE_ORPHANED };

/* What became of a page that @before saw in the file? */
static enum fate fate(const struct census *before, __u64 index,
		      const struct folio_record *now)
{
	const unsigned int was = folio_flags(census_page(before, index));
	const unsigned int flags = folio_flags(now);

	if (flags & FOLIO_OURS)
		return still_cached(before, index) ? FATE_CACHED : FATE_REUSED;
	if (!now->refs || flags & FOLIO_BUDDY)
		return FATE_FREE;
	if (!(flags & FOLIO_NO_MAPPING) || flags & FOLIO_TYPED)
		return FATE_REUSED;
	/* Off the LRU lists (mm/memory-failure.c), but nobody gets it any more. */
	if (flags & FOLIO_HWPOISON)
		return FATE_ORPHANED;
	/*
	 * Held, and in no file: an orphan of ours, or a frame that the kernel
	 * took for itself.  A page-cache folio keeps PG_lru until it is freed,
	 * and a kernel page never has it.
	 */
	if (was & FOLIO_LRU && !(flags & FOLIO_LRU))
		return FATE_REUSED;
	return FATE_ORPHANED;
}

static bool right_freed(const struct question *q, __u64 index,
			const struct folio_record *now)
{
	switch (fate(q->before, index, now)) {
	case FATE_FREE:
	case FATE_REUSED:
		return true;
	default:
		return false;
	}
}

static void want_freed(const struct question *q, __u64 index,
		       const struct folio_record *now, struct finding_page *p)
{
	if (fate(q->before, index, now) == FATE_CACHED)
		snprintf(p->holder, sizeof(p->holder), "still in the file");
	p->want_refs = p->want_maps = 0;
}

int census_check_freed(const struct census *before, __u64 first, __u64 nr,
		       struct finding *f)
{
	const struct question q = {
		.invariant = "freed",
		.complaint = "%llu of %llu pages still held after they left the file",
		.before = before, .by_pfn = true, .skip_absent = true,
		.right = right_freed, .want = want_freed,
	};

	return ask(&q, first, nr, f);
}

static bool right_orphaned(const struct question *q, __u64 index,
			   const struct folio_record *now)
{
	return fate(q->before, index, now) == FATE_ORPHANED && now->refs == q->refs;
}

static void want_orphaned(const struct question *q, __u64 index,
			  const struct folio_record *now, struct finding_page *p)
{
	static const char * const words[] = {
		[FATE_FREE] = "free: nobody holds it any more",
		[FATE_REUSED] = "free, and in other use by now",
		[FATE_CACHED] = "still in the file",
	};
	enum fate is = fate(q->before, index, now);

	p->want_refs = q->refs;
	if (is != FATE_ORPHANED)
		snprintf(p->holder, sizeof(p->holder), "%s", words[is]);
}

int census_check_orphaned(const struct census *before, __u64 first, __u64 nr,
			  __u64 refs, struct finding *f)
{
	const struct question q = {
		.invariant = "orphaned",
		.complaint = "%llu of %llu pages are not held as orphans by the references known",
		.before = before, .by_pfn = true, .skip_absent = true, .refs = refs,
		.counts = true, .right = right_orphaned, .want = want_orphaned,
	};

	return ask(&q, first, nr, f);
}

static bool same_frame(const struct census *before, __u64 index,
		       const struct folio_record *now)
{
	const struct folio_record *was = census_page(before, index);

	return folio_present(was) == folio_present(now) &&
	       (!folio_present(was) || folio_pfn(was) == folio_pfn(now));
}

static bool right_untouched(const struct question *q, __u64 index,
			    const struct folio_record *now)
{
	const struct folio_record *was = census_page(q->before, index);

	return same_frame(q->before, index, now) && was->refs == now->refs &&
	       was->maps == now->maps;
}

static void want_before(const struct question *q, __u64 index,
			const struct folio_record *now, struct finding_page *p)
{
	const struct folio_record *was = census_page(q->before, index);

	p->want_refs = (int)was->refs;
	p->want_maps = was->maps;
	if (same_frame(q->before, index, now))
		return;
	if (folio_present(was))
		snprintf(p->holder, sizeof(p->holder), "was pfn 0x%llx", folio_pfn(was));
	else
		snprintf(p->holder, sizeof(p->holder), "was not there");
}

int census_check_untouched(const struct census *before, __u64 first, __u64 nr,
			   struct finding *f)
{
	const struct question q = {
		.invariant = "untouched",
		.complaint = "%llu of %llu pages are not as they were",
		.fd = before->fd, .before = before,
		.counts = true, .right = right_untouched, .want = want_before,
	};

	return ask(&q, first, nr, f);
}

static bool right_in_place(const struct question *q, __u64 index,
			   const struct folio_record *now)
{
	return same_frame(q->before, index, now);
}

int census_check_in_place(const struct census *before, __u64 first, __u64 nr,
			  struct finding *f)
{
	const struct question q = {
		.invariant = "in place",
		.complaint = "%llu of %llu pages moved to another frame",
		.fd = before->fd, .before = before,
		.right = right_in_place, .want = want_before,
	};

	return ask(&q, first, nr, f);
}

static bool right_held(const struct question *q, __u64 index __attribute__((unused)),
		       const struct folio_record *now)
{
	return folio_present(now) && now->maps == q->maps && now->refs == q->refs;
}

static void want_held(const struct question *q, __u64 index __attribute__((unused)),
		      const struct folio_record *now __attribute__((unused)),
		      struct finding_page *p)
{
	p->want_refs = q->refs;
	p->want_maps = q->maps;
}

int census_check_held(int fd, __u64 first, __u64 nr, __u64 maps, __u64 extra,
		      struct finding *f)
{
	const struct question q = {
		.invariant = "baseline",
		.complaint = "%llu of %llu pages are not held as they should be",
		.fd = fd, .maps = maps, .refs = 1 + maps + extra,
		.counts = true, .right = right_held, .want = want_held,
	};

	return ask(&q, first, nr, f);
}

static bool right_behind(const struct question *q, __u64 index __attribute__((unused)),
			 const struct folio_record *now)
{
	return folio_present(now) && now->refs == q->refs;
}

static void want_behind(const struct question *q, __u64 index __attribute__((unused)),
			const struct folio_record *now, struct finding_page *p)
{
	p->want_refs = q->refs;
	p->want_maps = now->maps;
}

int census_check_behind(const void *addr, __u64 nr, __u64 refs, struct finding *f)
{
	const struct question q = {
		.invariant = "baseline",
		.complaint = "%llu of %llu pages behind the addresses are not held as they should be",
		.addr = addr, .refs = refs, .counts = true, .right = right_behind, .want = want_behind,
	};

	return ask(&q, 0, nr, f);
}

static bool right_absent(const struct question *q __attribute__((unused)),
			 __u64 index __attribute__((unused)),
			 const struct folio_record *now)
{
	return !folio_present(now);
}

static void want_absent(const struct question *q __attribute__((unused)),
			__u64 index __attribute__((unused)),
			const struct folio_record *now __attribute__((unused)),
			struct finding_page *p)
{
	snprintf(p->holder, sizeof(p->holder), "there should be no page");
}

int census_check_absent(int fd, __u64 first, __u64 nr, struct finding *f)
{
	const struct question q = {
		.invariant = "absent",
		.complaint = "%llu of %llu pages are there, but should not be",
		.fd = fd, .right = right_absent, .want = want_absent,
	};

	return ask(&q, first, nr, f);
}

static bool right_maps(const struct question *q __attribute__((unused)),
		       __u64 index __attribute__((unused)),
		       const struct folio_record *now)
{
	__u64 maps;

	return !folio_present(now) ||
	       (!folio_proc_maps(folio_pfn(now), &maps) && maps == now->maps);
}

static void want_maps(const struct question *q __attribute__((unused)),
		      __u64 index __attribute__((unused)),
		      const struct folio_record *now, struct finding_page *p)
{
	__u64 maps = 0;
	int err = folio_proc_maps(folio_pfn(now), &maps);

	p->want_maps = maps;
	p->want_refs = p->refs;
	if (err)
		snprintf(p->holder, sizeof(p->holder), "/proc/kpagecount: %s",
			 strerror(-err));
	else
		snprintf(p->holder, sizeof(p->holder),
			 "the probes disagree; %s says %u, /proc/kpagecount says %llu",
			 folio_probe(), now->maps, maps);
}

int census_check_maps_agree(int fd, __u64 first, __u64 nr, struct finding *f)
{
	const struct question q = {
		.invariant = "probes agree",
		.complaint = "on %llu of %llu pages /proc/kpagecount tells another number of mappings",
		.fd = fd, .right = right_maps, .want = want_maps,
	};

	return ask(&q, first, nr, f);
}
