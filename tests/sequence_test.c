// SPDX-License-Identifier: GPL-2.0-only
/*
 * Of each two events that must come in an order, and of each that must come at all,
 * the checks notice when it is otherwise, and say which.
 *
 * On traces that are made up, about pages of a memfd.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "sequence.h"
#include "suite.h"

#define PAGE		4096ul
#define NR_PAGES	2
#define MAX_EVENTS	32
#define TDR_PFN		0x100000ull	/* frames that the memfd has not */
#define TDR		(TDR_PFN * PAGE)
#define SEPT_PFN	0x100001ull
#define VP_PFN		0x100002ull

FIXTURE(sequence_test) {
	int fd;
	char *map;
	struct census *before;
	struct order *o;
	struct order_event e[MAX_EVENTS];
	size_t nr;
};

FIXTURE_SETUP(sequence_test)
{
	setenv("SEPT_SETTLE_MS", "1", 1);
	self->fd = memfd_create("sequence", 0);
	ASSERT_SYS(self->fd);
	ASSERT_SYS(ftruncate(self->fd, NR_PAGES * PAGE));
	self->map = mmap(NULL, NR_PAGES * PAGE, PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	self->map[0] = self->map[PAGE] = 1;
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
}

FIXTURE_TEARDOWN(sequence_test)
{
	order_stop(self->o);
	census_free(self->before);
	close(self->fd);
}

static void add(FIXTURE_DATA(sequence_test) *self, enum order_what what, __u64 pfn)
{
	const bool of_td = what < ORDER_NR_LEAVES && what != ORDER_CACHE_WB;

	self->e[self->nr++] = (struct order_event) {
		.what = what, .pfn = pfn, .tid = 7, .tdr = of_td || what == ORDER_FREE ? TDR : 0,
	};
}

/* The check of what @self->e says, without event @drop, with @early before @late. */
static int pages(FIXTURE_DATA(sequence_test) *self, enum sequence_fate fate, struct finding *f)
{
	order_stop(self->o);
	self->o = NULL;
	return order_replay(&self->o, self->e, self->nr) ?:
	       sequence_check_pages(self->o, self->before, 0, 1, 3, fate, f);
}

static int teardown(FIXTURE_DATA(sequence_test) *self, struct finding *f)
{
	order_stop(self->o);
	self->o = NULL;
	return order_replay(&self->o, self->e, self->nr) ?:
	       sequence_check_teardown(self->o, 0, 1, f);
}

static void life_of_a_page(FIXTURE_DATA(sequence_test) *self, enum sequence_fate fate)
{
	const __u64 pfn = folio_pfn(census_page(self->before, 0));

	self->nr = 0;
	add(self, ORDER_MNG_CREATE, TDR_PFN);
	add(self, ORDER_MR_FINALIZE, ORDER_NO_PAGE);
	add(self, ORDER_PAGE_AUG, pfn);
	add(self, ORDER_BEGIN, ORDER_NO_PAGE);
	add(self, ORDER_RANGE_BLOCK, pfn);
	add(self, ORDER_TRACK, ORDER_NO_PAGE);
	add(self, ORDER_PAGE_REMOVE, pfn);
	add(self, ORDER_PAGE_WBINVD, pfn);
	if (fate == SEQUENCE_PUNCHED)
		add(self, ORDER_UNCACHE, pfn);
	add(self, ORDER_END, ORDER_NO_PAGE);
	if (fate == SEQUENCE_RELEASED)
		add(self, ORDER_UNCACHE, pfn);
	if (fate != SEQUENCE_ZAPPED)
		add(self, ORDER_FREE, pfn);
}

static void death_of_a_td(FIXTURE_DATA(sequence_test) *self)
{
	const __u64 pfn = folio_pfn(census_page(self->before, 0));

	self->nr = 0;
	add(self, ORDER_MNG_CREATE, TDR_PFN);		/* 0 */
	add(self, ORDER_VP_CREATE, VP_PFN);
	add(self, ORDER_MR_FINALIZE, ORDER_NO_PAGE);
	add(self, ORDER_SEPT_ADD, SEPT_PFN);
	add(self, ORDER_PAGE_AUG, pfn);			/* 4 */
	add(self, ORDER_PAGE_REMOVE, pfn);
	add(self, ORDER_DESTROY, ORDER_NO_PAGE);
	add(self, ORDER_VP_FLUSH, VP_PFN);
	add(self, ORDER_VPFLUSHDONE, ORDER_NO_PAGE);	/* 8 */
	add(self, ORDER_CACHE_WB, ORDER_NO_PAGE);
	add(self, ORDER_KEY_FREEID, ORDER_NO_PAGE);
	add(self, ORDER_PAGE_RECLAIM, VP_PFN);
	add(self, ORDER_FREE, VP_PFN);			/* 12 */
	add(self, ORDER_PAGE_RECLAIM, SEPT_PFN);
	add(self, ORDER_FREE, SEPT_PFN);
	add(self, ORDER_PAGE_RECLAIM, TDR_PFN);
	add(self, ORDER_PAGE_WBINVD, TDR_PFN);		/* 16 */
	add(self, ORDER_FREE, TDR_PFN);
}

static void drop(FIXTURE_DATA(sequence_test) *self, size_t at)
{
	memmove(&self->e[at], &self->e[at + 1], (--self->nr - at) * sizeof(*self->e));
}

/* Event @from comes before @to instead. */
static void hurry(FIXTURE_DATA(sequence_test) *self, size_t from, size_t to)
{
	const struct order_event e = self->e[from];

	memmove(&self->e[to + 1], &self->e[to], (from - to) * sizeof(e));
	self->e[to] = e;
}

TEST_F(sequence_test, is_content_with_pages_that_go_step_by_step)
{
	enum sequence_fate fate;
	struct finding f;

	for (fate = SEQUENCE_ZAPPED; fate <= SEQUENCE_RELEASED; fate++) {
		life_of_a_page(self, fate);
		EXPECT_EQ(0, pages(self, fate, &f));
	}
	/* What was punched was also released; not the other way round. */
	EXPECT_EQ(1, pages(self, SEQUENCE_PUNCHED, &f));
	EXPECT_EQ(1, pages(self, SEQUENCE_ZAPPED, &f));
	life_of_a_page(self, SEQUENCE_PUNCHED);
	EXPECT_EQ(0, pages(self, SEQUENCE_RELEASED, &f));
}

TEST_F(sequence_test, misses_each_step_of_a_page)
{
	static const enum sequence_fate fates[] = { SEQUENCE_PUNCHED, SEQUENCE_RELEASED };
	struct finding f;
	unsigned int i;
	size_t at;

	for (i = 0; i < ARRAY_SIZE(fates); i++) {
		for (at = 2; at < 11; at++) {
			life_of_a_page(self, fates[i]);
			drop(self, at);
			EXPECT_EQ(1, pages(self, fates[i], &f));
			fprintf(stderr, "# without %zu: %s\n", at, f.text);
		}
	}
}

TEST_F(sequence_test, notices_each_step_of_a_page_that_comes_too_early)
{
	struct finding f;
	size_t at;

	for (at = 4; at < 10; at++) {
		life_of_a_page(self, SEQUENCE_PUNCHED);
		hurry(self, at, at - 1);
		EXPECT_EQ(1, pages(self, SEQUENCE_PUNCHED, &f));
		fprintf(stderr, "# %zu too early: %s\n", at, f.text);
	}
	/* But a page may be free before KVM says that it is done. */
	life_of_a_page(self, SEQUENCE_PUNCHED);
	hurry(self, 10, 9);
	EXPECT_EQ(0, pages(self, SEQUENCE_PUNCHED, &f));
}

TEST_F(sequence_test, notices_a_step_of_a_page_that_another_thread_takes)
{
	struct finding f;
	size_t at;

	/* TRACK, at 5, may be another's. */
	for (at = 4; at < 8; at++) {
		life_of_a_page(self, SEQUENCE_PUNCHED);
		self->e[at].tid++;
		EXPECT_EQ(at != 5, pages(self, SEQUENCE_PUNCHED, &f));
	}
}

TEST_F(sequence_test, tells_of_a_page_that_is_freed_first)
{
	struct finding f;

	life_of_a_page(self, SEQUENCE_PUNCHED);
	hurry(self, 10, 3);
	ASSERT_EQ(1, pages(self, SEQUENCE_PUNCHED, &f));
	EXPECT_NE(NULL, strstr(f.text, "page is freed (event 4"));
	EXPECT_NE(NULL, strstr(f.text, "came before MEM.PAGE.REMOVE (event 8"));
}

TEST_F(sequence_test, asks_for_no_track_before_the_td_is_finalized)
{
	struct finding f;

	life_of_a_page(self, SEQUENCE_ZAPPED);
	drop(self, 5);
	self->e[1].what = ORDER_MNG_ADDCX;
	EXPECT_EQ(0, pages(self, SEQUENCE_ZAPPED, &f));
}

TEST_F(sequence_test, counts_no_step_that_failed)
{
	struct finding f;
	size_t at;

	for (at = 4; at < 8; at++) {
		life_of_a_page(self, SEQUENCE_ZAPPED);
		self->e[at].status = 0x8000020000000092ull;
		EXPECT_EQ(1, pages(self, SEQUENCE_ZAPPED, &f));
	}
}

TEST_F(sequence_test, is_content_with_a_td_that_dies_step_by_step)
{
	struct finding f;

	death_of_a_td(self);
	EXPECT_EQ(0, teardown(self, &f));
}

TEST_F(sequence_test, misses_each_step_of_a_teardown)
{
	struct finding f;
	size_t at;

	for (at = 5; at < 18; at++) {
		death_of_a_td(self);
		drop(self, at);
		EXPECT_EQ(1, teardown(self, &f));
		fprintf(stderr, "# without %zu: %s\n", at, f.text);
	}
	death_of_a_td(self);
	drop(self, 0);
	EXPECT_EQ(1, teardown(self, &f));
}

TEST_F(sequence_test, notices_each_step_of_a_teardown_that_comes_too_early)
{
	static const struct { size_t from, to; } early[] = {
		{ 6, 5 }, { 8, 7 }, { 9, 8 }, { 10, 9 }, { 11, 10 }, { 13, 10 }, { 12, 11 },
		{ 14, 13 }, { 15, 13 }, { 16, 15 }, { 17, 16 },
	};
	struct finding f;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(early); i++) {
		death_of_a_td(self);
		hurry(self, early[i].from, early[i].to);
		EXPECT_EQ(1, teardown(self, &f));
		fprintf(stderr, "# %zu before %zu: %s\n", early[i].from, early[i].to, f.text);
	}
}

SUITE(.needs = NEED_REFCOUNT)
