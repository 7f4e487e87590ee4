// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of which each page is in another state: absent, allocated, pending, accepted,
 * shared; over one slot or several.  Whatever is done to all of it at once does the
 * right thing to each.
 *
 * td_conversion.c has uniform ranges of every shape.
 *
 * Claims: C2, C4, B47
 */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "gmem.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define PAGES_2M	512ull
#define NR_PAGES	128ull
#define GPA		(GUEST_GPA + (PAGES_2M - NR_PAGES / 2) * PAGE_BYTES)	/* across 2M */
#define PRIVATE_DATA	0x1111000000000000ull
#define SHARED_DATA	0x2222000000000000ull
#define ROUNDS		2

/* The SEAMCALLs that a page needs are the same whatever it was; so is its end. */
enum state {
	NOTHING,		/* private, and no page */
	ALLOCATED,		/* a page that the guest has not got */
	PENDING,		/* pre-faulted: a TD has to accept it */
	ACCEPTED,		/* written to by the guest */
	SHARED,			/* shared, and no page */
	SHARED_OVER,		/* shared, over a page that was accepted */
	NR_STATES,
};

FIXTURE(td_layout) {
	struct guest *g;
	int fd;
	enum state states[NR_PAGES];
	struct census *before;
};

FIXTURE_VARIANT(td_layout) {
	enum guest_type type;
};

FIXTURE_VARIANT_ADD(td_layout, sw_protected) { .type = GUEST_SW_PROTECTED };
FIXTURE_VARIANT_ADD(td_layout, tdx) { .type = GUEST_TDX };

/* Its slot at GPA, all of it private. */
static int put_in_place(FIXTURE_DATA(td_layout) *self)
{
	self->fd = guest_gmem(self->g);
	return guest_move(self->g, GUEST_SLOT, 0, NR_PAGES, GPA) ?:
	       guest_set_private(self->g, 0, NR_PAGES, true);
}

FIXTURE_SETUP(td_layout)
{
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create(&self->g, variant->type, NR_PAGES));
	ASSERT_OK(put_in_place(self));
}

FIXTURE_TEARDOWN(td_layout)
{
	census_free(self->before);
	guest_destroy(self->g);
}

static int bring_to(struct guest *g, __u64 page, enum state state)
{
	const int fd = guest_gmem(g);
	int rc = guest_set_private(g, page, 1, true) ?: gmem_punch(fd, page, 1);

	if (rc)
		return rc;
	switch (state) {
	case ALLOCATED:
		return gmem_allocate(fd, page, 1);
	case PENDING:
		return guest_prefault(g, page, 1);
	case ACCEPTED:
		return guest_touch(g, page, 1, PRIVATE_DATA);
	case SHARED:
		return guest_set_private(g, page, 1, false) ?:
		       guest_touch(g, page, 1, SHARED_DATA);
	case SHARED_OVER:
		return guest_touch(g, page, 1, PRIVATE_DATA) ?:
		       guest_set_private(g, page, 1, false) ?:
		       guest_touch(g, page, 1, SHARED_DATA);
	default:
		return 0;
	}
}

/* Runs of states of random length, then a census of them. */
#define LAY_OUT() do {							\
	unsigned int __random = supervise_seed() + i;			\
	enum state __state = NOTHING;					\
	__u64 __page, __left = 0;					\
									\
	for (__page = 0; __page < NR_PAGES; __page++, __left--) {	\
		if (!__left) {						\
			__state = rand_r(&__random) % NR_STATES;	\
			__left = 1 + rand_r(&__random) % 5;		\
		}							\
		self->states[__page] = __state;				\
		ASSERT_OK(bring_to(self->g, __page, __state));		\
	}								\
	census_free(self->before);					\
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));	\
} while (0)

static bool is_shared(enum state state)
{
	return state == SHARED || state == SHARED_OVER;
}

static bool has_page(enum state state)
{
	return state != NOTHING && state != SHARED;
}

/* How many pages from @first on are in its state. */
static __u64 run(const enum state *states, __u64 first)
{
	__u64 i;

	for (i = first; i < NR_PAGES && states[i] == states[first]; i++)
		;
	return i - first;
}

#define FOR_EACH_RUN(first, nr) \
	for (first = 0; first < NR_PAGES && (nr = run(self->states, first)); first += nr)

TEST_F(td_layout, is_what_it_was_made)
{
	__u64 first, nr;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		LAY_OUT();
		FOR_EACH_RUN(first, nr) {
			switch (self->states[first]) {
			case NOTHING:
			case SHARED:
				EXPECT_ABSENT(self->fd, first, nr);
				break;
			case PENDING:
			case ACCEPTED:
				EXPECT_HELD(self->fd, first, nr, 0, 0);
				break;
			default:
				EXPECT_HELD(self->fd, first, nr, 0, 0);
			}
			if (is_shared(self->states[first])) {
				EXPECT_OK(guest_verify(self->g, first, nr, SHARED_DATA));
			} else if (self->states[first] == ACCEPTED) {
				EXPECT_OK(guest_verify(self->g, first, nr, PRIVATE_DATA));
			} else {
				EXPECT_OK(guest_verify_zero(self->g, first, nr));
			}
			/* To look at what is not there brings it there. */
			if (has_page(self->states[first])) {
				EXPECT_IN_PLACE(self->before, first, nr);
			}
		}
	}
}

TEST_F(td_layout, is_all_shared_by_one_conversion)
{
	__u64 first, nr;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		LAY_OUT();
		ASSERT_OK(guest_set_private(self->g, 0, NR_PAGES, false));
		EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
		FOR_EACH_RUN(first, nr) {
			if (has_page(self->states[first])) {
				EXPECT_HELD(self->fd, first, nr, 0, 0);
			}
			if (is_shared(self->states[first])) {
				EXPECT_OK(guest_verify(self->g, first, nr, SHARED_DATA));
			}
		}
		ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, SHARED_DATA));
		EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	}
}

TEST_F(td_layout, is_all_private_by_one_conversion)
{
	__u64 first, nr;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		LAY_OUT();
		ASSERT_OK(guest_set_private(self->g, 0, NR_PAGES, true));
		EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
		FOR_EACH_RUN(first, nr) {
			if (self->states[first] == ACCEPTED) {
				EXPECT_OK(guest_verify(self->g, first, nr, PRIVATE_DATA));
			} else if (self->states[first] == SHARED_OVER) {
				EXPECT_OK(guest_verify_unmapped(self->g, first, nr,
								PRIVATE_DATA));
			} else {
				EXPECT_OK(guest_verify_zero(self->g, first, nr));
			}
		}
		EXPECT_HELD(self->fd, 0, NR_PAGES, 0, 0);
	}
}

TEST_F(td_layout, is_all_punched_at_once)
{
	__u64 first, nr;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		LAY_OUT();
		ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
		EXPECT_FREED(self->before, 0, NR_PAGES);
		EXPECT_ABSENT(self->fd, 0, NR_PAGES);
		FOR_EACH_RUN(first, nr) {
			if (is_shared(self->states[first])) {
				EXPECT_OK(guest_verify(self->g, first, nr, SHARED_DATA));
			} else {
				EXPECT_OK(guest_verify_zero(self->g, first, nr));
			}
		}
	}
}

TEST_F(td_layout, is_all_freed_by_a_close)
{
	const unsigned int i = 0;

	LAY_OUT();
	ASSERT_OK(guest_close_gmem(self->g));
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

TEST_F(td_layout, is_all_kept_without_its_slot)
{
	const unsigned int i = 1;
	__u64 first, nr;

	LAY_OUT();
	ASSERT_OK(guest_unbind(self->g, GUEST_SLOT));
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	FOR_EACH_RUN(first, nr) {
		if (has_page(self->states[first])) {
			EXPECT_HELD(self->fd, first, nr, 0, 0);
		}
	}
	ASSERT_OK(guest_bind(self->g, GUEST_SLOT, 0, NR_PAGES, GPA));
	FOR_EACH_RUN(first, nr) {
		if (is_shared(self->states[first])) {
			EXPECT_OK(guest_verify(self->g, first, nr, SHARED_DATA));
		} else if (self->states[first] == ACCEPTED) {
			EXPECT_OK(guest_verify_unmapped(self->g, first, nr, PRIVATE_DATA));
		}
	}
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
}

/*
 * Several slots
 */

#define QUARTER		(NR_PAGES / 4)
#define SLOT_ADDR(page)	(GPA + (page) * PAGE_BYTES)

/* Where the slot has been there are four now, over the quarters in another order. */
#define CUT_INTO_FOUR() do {						\
	unsigned int __i;						\
									\
	ASSERT_OK(guest_unbind(self->g, GUEST_SLOT));			\
	for (__i = 1; __i < 4; __i++)					\
		ASSERT_OK(guest_bind(self->g, GUEST_SLOT + __i, (4 - __i) * QUARTER, \
				     QUARTER, SLOT_ADDR(__i * QUARTER))); \
	ASSERT_OK(guest_bind(self->g, GUEST_SLOT, 0, NR_PAGES / 4, GPA)); \
} while (0)

/* What page of the file is where page @page of the guest is. */
static __u64 behind(__u64 page)
{
	__u64 quarter = page / QUARTER;

	return quarter ? (4 - quarter) * QUARTER + page % QUARTER : page;
}

#define EXPECT_STATE(page, held) do {					\
	if (held) {							\
		EXPECT_HELD(self->fd, behind(page), 1, 0, 0);	\
	} else {							\
		EXPECT_ABSENT(self->fd, behind(page), 1);		\
	}								\
} while (0)

TEST_F(td_layout, over_several_slots_is_converted_at_once)
{
	const __u64 from = QUARTER - 3, to = 3 * QUARTER + 5;
	__u64 i;

	CUT_INTO_FOUR();
	ASSERT_OK(guest_set_private(self->g, from, to - from, false));
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PRIVATE_DATA));
	for (i = 0; i < NR_PAGES; i++)
		EXPECT_STATE(i, i < from || i >= to);
	ASSERT_OK(guest_set_private(self->g, from, to - from, true));
	EXPECT_OK(guest_verify_zero(self->g, from, to - from));
	for (i = 0; i < NR_PAGES; i++)
		EXPECT_STATE(i, true);

	/* And the other way, with the pages there. */
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(guest_set_private(self->g, from, to - from, false));
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	for (i = from; i < to; i++)
		EXPECT_HELD(self->fd, behind(i), 1, 0, 0);
	EXPECT_OK(guest_verify(self->g, 0, from, PRIVATE_DATA));
	EXPECT_OK(guest_verify(self->g, from, to - from, PRIVATE_DATA));
	EXPECT_OK(guest_verify(self->g, to, NR_PAGES - to, PRIVATE_DATA));
}

TEST_F(td_layout, over_several_slots_is_converted_by_the_guest_at_once)
{
	const __u64 from = QUARTER - 3, to = 3 * QUARTER + 5;
	__u64 i;

	REQUIRE(guest_td(self->g) ? NULL : "only a TD asks for conversions");
	CUT_INTO_FOUR();
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PRIVATE_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(td_pages(guest_td(self->g), 0, TD_OP_MAP_GPA, SLOT_ADDR(from), to - from, 0,
			   TD_SHARED));
	ASSERT_OK(guest_touch(self->g, from, to - from, SHARED_DATA));
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	for (i = from; i < to; i++)
		EXPECT_HELD(self->fd, behind(i), 1, 0, 0);
	EXPECT_OK(guest_verify(self->g, 0, from, PRIVATE_DATA));
	ASSERT_OK(td_pages(guest_td(self->g), 0, TD_OP_MAP_GPA, SLOT_ADDR(from), to - from, 0, 0));
	EXPECT_OK(guest_verify_zero(self->g, from, to - from));
	EXPECT_OK(guest_verify(self->g, to, NR_PAGES - to, PRIVATE_DATA));
}

TEST_F(td_layout, over_several_slots_is_punched_at_once)
{
	__u64 i;

	CUT_INTO_FOUR();
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PRIVATE_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	/* One piece of the file, and two of the guest. */
	ASSERT_OK(gmem_punch(self->fd, 2 * QUARTER - 4, 8));
	EXPECT_FREED(self->before, 2 * QUARTER - 4, 8);
	EXPECT_UNTOUCHED(self->before, 0, 2 * QUARTER - 4);
	EXPECT_UNTOUCHED(self->before, 2 * QUARTER + 4, 2 * QUARTER - 4);
	for (i = 0; i < NR_PAGES; i++) {
		if (behind(i) >= 2 * QUARTER - 4 && behind(i) < 2 * QUARTER + 4) {
			EXPECT_OK(guest_verify_zero(self->g, i, 1));
		} else {
			EXPECT_OK(guest_verify(self->g, i, 1, PRIVATE_DATA));
		}
	}
}

/*
 * Not accepted
 */

/*
 * A guest that was not told of it touches a page that it had accepted.  If it lets the
 * TDX module raise #VE, it can accept the new one; else it is lost.
 */
static void touch_taken(struct __test_metadata *_metadata, FIXTURE_DATA(td_layout) *self,
			bool ve, int (*take)(struct guest *g, __u64 page))
{
	const struct td_plan plan = { .attributes = ve ? 0 : TD_ATTR_SEPT_VE_DISABLE };
	const __u64 page = 4;
	struct td *td;

	guest_destroy(self->g);
	self->g = NULL;
	ASSERT_OK(guest_create_td(&self->g, &plan, NR_PAGES));
	ASSERT_OK(put_in_place(self));
	td = guest_td(self->g);
	ASSERT_OK(guest_touch(self->g, 0, 2 * page, PRIVATE_DATA));
	ASSERT_OK(take(self->g, page));
	if (ve) {
		EXPECT_OK(td_pages(td, 0, TD_OP_VERIFY_ZERO, SLOT_ADDR(page), 1, 0,
				   TD_UNACCEPTED));
		EXPECT_OK(guest_verify(self->g, 0, page, PRIVATE_DATA));
	} else {
		EXPECT_ERR(EIO, td_pages(td, 0, TD_OP_VERIFY_ZERO, SLOT_ADDR(page), 1, 0,
					 TD_UNACCEPTED));
		EXPECT_ERR(EIO, td_pages(td, 0, TD_OP_NONE, 0, 0, 0, 0));
	}
	/* KVM has mapped a page there, whatever the guest made of it. */
	EXPECT_HELD(self->fd, 0, 2 * page, 0, 0);
}

static int punch_one(struct guest *g, __u64 page)
{
	return gmem_punch(guest_gmem(g), page, 1);
}

static int convert_one(struct guest *g, __u64 page)
{
	return guest_set_private(g, page, 1, false) ?: guest_set_private(g, page, 1, true);
}

/*
 * Claims: B48
 */
TEST_F(td_layout, that_was_punched_is_not_accepted_any_more)
{
	REQUIRE(guest_td(self->g) ? NULL : "only a TD accepts pages");
	supervise_expect_kmsg("access before accepting");
	touch_taken(_metadata, self, true, punch_one);
	touch_taken(_metadata, self, false, punch_one);
}

/*
 * Claims: B48
 */
TEST_F(td_layout, that_was_converted_behind_its_back_is_not_accepted_any_more)
{
	REQUIRE(guest_td(self->g) ? NULL : "only a TD accepts pages");
	supervise_expect_kmsg("access before accepting");
	touch_taken(_metadata, self, true, convert_one);
	touch_taken(_metadata, self, false, convert_one);
}

SUITE(.needs = NEED_KVM | NEED_GMEM | NEED_REFCOUNT)
