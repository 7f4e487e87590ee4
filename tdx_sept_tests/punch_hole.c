// SPDX-License-Identifier: GPL-2.0-only
/*
 * Punching a hole gives back every page of it, and no other.
 *
 * By the time fallocate(PUNCH_HOLE) returns, nothing may map or hold the pages
 * of the hole any more, be it a user page table or one of KVM's, and the
 * neighbours must not notice.  Who touches the hole afterwards, host or guest,
 * gets a new page, zeroed.
 *
 * Claims: C4
 */
#include <sys/mman.h>
#include <unistd.h>

#include "busy.h"
#include "cgroup.h"
#include "gmem.h"
#include "peer.h"
#include "suite.h"

#define PAGE_BYTES	4096ull
#define PAGES_2M	512ull
#define NR_PAGES	(3 * PAGES_2M)	/* so that a hole can straddle two boundaries */
#define PATTERN		0x9e37000000000000ull
#define TIMEOUT_MS	5000

#define CHURN_PAGES	5		/* backed and punched at a time */
#define ROUNDS		3
#define TOLERANCE	500		/* pages; a thousand punches free ten times that */

FIXTURE(punch_hole) {
	struct guest *g;
	struct census *before;
	struct cgroup *cg;
	int fd;
};

FIXTURE_VARIANT(punch_hole) {
	enum guest_type type;
};

GUEST_VARIANTS(punch_hole, );

FIXTURE_SETUP(punch_hole)
{
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create(&self->g, variant->type, NR_PAGES));
	self->fd = guest_gmem(self->g);
}

FIXTURE_TEARDOWN(punch_hole)
{
	census_free(self->before);
	guest_destroy(self->g);
	cgroup_destroy(self->cg);
}

static const char *unmappable(const struct guest *g)
{
	return guest_mappable(g) ? NULL : "user space cannot map the memory of this VM type";
}

static bool is_zero(const char *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE_BYTES - 1);
}

/* The pages are gone from the file, and their frames are free; all else is as before. */
#define EXPECT_HOLE(first, nr) do {					\
	const __u64 __first = (first), __end = __first + (nr);		\
									\
	EXPECT_ABSENT(self->fd, __first, __end - __first);		\
	EXPECT_FREED(self->before, __first, __end - __first);		\
	if (__first) {							\
		EXPECT_UNTOUCHED(self->before, 0, __first);		\
	}								\
	if (__end < NR_PAGES) {						\
		EXPECT_UNTOUCHED(self->before, __end, NR_PAGES - __end); \
	}								\
} while (0)

/* In a file that is backed throughout. */
#define PUNCH_AND_EXPECT_HOLE(first, nr) do {				\
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));		\
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));	\
	ASSERT_OK(gmem_punch(self->fd, first, nr));			\
	EXPECT_HOLE(first, nr);						\
} while (0)

/*
 * Shapes of holes
 */

TEST_F(punch_hole, of_one_page_frees_that_page)
{
	PUNCH_AND_EXPECT_HOLE(700, 1);
}

TEST_F(punch_hole, of_the_first_page_frees_that_page)
{
	PUNCH_AND_EXPECT_HOLE(0, 1);
}

TEST_F(punch_hole, of_the_last_page_frees_that_page)
{
	PUNCH_AND_EXPECT_HOLE(NR_PAGES - 1, 1);
}

TEST_F(punch_hole, of_an_aligned_2m_frees_those_pages)
{
	PUNCH_AND_EXPECT_HOLE(PAGES_2M, PAGES_2M);
}

TEST_F(punch_hole, of_an_unaligned_2m_frees_those_pages)
{
	PUNCH_AND_EXPECT_HOLE(PAGES_2M + 1, PAGES_2M);
}

TEST_F(punch_hole, across_a_2m_boundary_frees_those_pages)
{
	PUNCH_AND_EXPECT_HOLE(PAGES_2M - 3, 7);
}

TEST_F(punch_hole, across_two_2m_boundaries_frees_those_pages)
{
	PUNCH_AND_EXPECT_HOLE(PAGES_2M - 1, PAGES_2M + 2);
}

TEST_F(punch_hole, of_the_whole_file_frees_all_pages)
{
	PUNCH_AND_EXPECT_HOLE(0, NR_PAGES);
}

TEST_F(punch_hole, of_every_other_page_leaves_the_others)
{
	const __u64 first = PAGES_2M - 20;
	__u64 i;

	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	for (i = first; i < first + 40; i += 2)
		ASSERT_OK(gmem_punch(self->fd, i, 1));
	for (i = first; i < first + 40; i += 2) {
		EXPECT_ABSENT(self->fd, i, 1);
		EXPECT_FREED(self->before, i, 1);
		EXPECT_UNTOUCHED(self->before, i + 1, 1);
	}
	EXPECT_UNTOUCHED(self->before, 0, first);
	EXPECT_UNTOUCHED(self->before, first + 40, NR_PAGES - first - 40);
}

TEST_F(punch_hole, where_there_is_nothing_changes_nothing)
{
	ASSERT_OK(gmem_allocate(self->fd, 0, 100));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, 100, 1000));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(punch_hole, where_there_is_something_here_and_there_frees_that)
{
	ASSERT_OK(gmem_allocate(self->fd, 400, 50));
	ASSERT_OK(gmem_allocate(self->fd, 510, 1));
	ASSERT_OK(gmem_allocate(self->fd, 600, 50));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, 425, 200));
	EXPECT_HOLE(425, 200);
}

TEST_F(punch_hole, over_a_hole_frees_the_rest)
{
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	ASSERT_OK(gmem_punch(self->fd, 500, 20));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, 490, 40));
	EXPECT_HOLE(490, 40);
}

TEST_F(punch_hole, again_changes_nothing)
{
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	ASSERT_OK(gmem_punch(self->fd, 500, 20));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, 500, 20));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(punch_hole, across_the_end_frees_up_to_the_end)
{
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, NR_PAGES - 10, 1000));
	EXPECT_HOLE(NR_PAGES - 10, 10);
}

TEST_F(punch_hole, beyond_the_end_changes_nothing)
{
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, NR_PAGES, 1));
	ASSERT_OK(gmem_punch(self->fd, 1000 * NR_PAGES, 1000));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(punch_hole, of_no_length_is_refused)
{
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	EXPECT_ERR(EINVAL, gmem_punch(self->fd, 7, 0));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(punch_hole, in_one_file_leaves_another_file_alone)
{
	int other;

	other = gmem_create(guest_vm(self->g), NR_PAGES, 0);
	ASSERT_OK(other);
	ASSERT_OK(gmem_allocate(other, 0, 64));
	ASSERT_OK(gmem_allocate(self->fd, 0, 64));
	ASSERT_OK(census_take(&self->before, other, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, 0, 64));
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	close(other);
}

TEST_F(punch_hole, can_be_filled_again)
{
	PUNCH_AND_EXPECT_HOLE(500, 20);

	ASSERT_OK(gmem_allocate(self->fd, 500, 20));
	EXPECT_HELD(self->fd, 500, 20, 0, 0);
	EXPECT_UNTOUCHED(self->before, 0, 500);
	EXPECT_UNTOUCHED(self->before, 520, NR_PAGES - 520);
}

/*
 * While user space maps it
 */

TEST_F(punch_hole, unmaps_it_from_user_space)
{
	char *pages;
	__u64 i;

	REQUIRE(unmappable(self->g));
	pages = guest_shared(self->g, 0);
	ASSERT_NE(NULL, pages);
	memset(pages + 500 * PAGE_BYTES, 0x5a, 24 * PAGE_BYTES);
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, 508, 8));
	EXPECT_HOLE(508, 8);

	/* A touch brings new pages, zeroed; the neighbours keep theirs. */
	for (i = 508; i < 516; i++)
		EXPECT_TRUE(is_zero(pages + i * PAGE_BYTES));
	EXPECT_HELD(self->fd, 500, 24, 1, 0);
	EXPECT_UNTOUCHED(self->before, 500, 8);
	EXPECT_UNTOUCHED(self->before, 516, 8);
	EXPECT_EQ(0x5a, pages[507 * PAGE_BYTES]);
	EXPECT_EQ(0x5a, pages[516 * PAGE_BYTES]);
}

struct other_view {
	volatile char *page;
	int nr;
};

/* Touch, say so, wait for the punch, then look again. */
static int child_maps(struct peer *me, void *arg)
{
	struct other_view *view = arg;
	int i, err;

	for (i = 0; i < view->nr; i++)
		view->page[i * PAGE_BYTES] = 0x5a;
	err = peer_tell(me, 0) ?: peer_hear(me, NULL, TIMEOUT_MS);
	for (i = 0; i < view->nr && !err; i++)
		err = view->page[i * PAGE_BYTES] ? -EILSEQ : 0;
	return err;
}

TEST_F(punch_hole, unmaps_it_from_another_process)
{
	struct other_view view = { .nr = 16 };
	struct peer *child;

	REQUIRE(unmappable(self->g));
	view.page = guest_shared(self->g, 504);
	ASSERT_NE(NULL, view.page);
	ASSERT_OK(gmem_allocate(self->fd, 490, 40));
	ASSERT_OK(peer_start(&child, child_maps, &view));
	ASSERT_OK(peer_hear(child, NULL, TIMEOUT_MS));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, 504, 16));
	EXPECT_HOLE(504, 16);
	ASSERT_OK(peer_tell(child, 0));
	EXPECT_OK(peer_join(child, TIMEOUT_MS));
}

TEST_F(punch_hole, unmaps_it_from_two_mappings)
{
	char *one, *two;
	void *map;

	REQUIRE(unmappable(self->g));
	one = guest_shared(self->g, 500);
	ASSERT_NE(NULL, one);
	ASSERT_OK(gmem_map(self->fd, 500, 24, &map));
	two = map;
	memset(one, 0x5a, 24 * PAGE_BYTES);
	memset(two, 0xa5, 24 * PAGE_BYTES);
	EXPECT_HELD(self->fd, 500, 24, 2, 0);
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, 508, 8));
	EXPECT_HOLE(508, 8);
	EXPECT_TRUE(is_zero(one + 8 * PAGE_BYTES));
	EXPECT_TRUE(is_zero(two + 8 * PAGE_BYTES));
	EXPECT_HELD(self->fd, 508, 1, 2, 0);
	munmap(map, 24 * PAGE_BYTES);
}

/*
 * While a guest uses it
 */

TEST_F(punch_hole, takes_it_from_the_guest)
{
	ASSERT_OK(guest_touch(self->g, 500, 24, PATTERN));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, 508, 8));
	EXPECT_HOLE(508, 8);

	/* Stale translations would show the old content. */
	EXPECT_OK(guest_verify(self->g, 500, 8, PATTERN));
	EXPECT_OK(guest_verify_zero(self->g, 508, 8));
	EXPECT_OK(guest_verify(self->g, 516, 8, PATTERN));
	EXPECT_HELD(self->fd, 508, 8, guest_touch_maps(self->g), 0);
	EXPECT_UNTOUCHED(self->before, 500, 8);
	EXPECT_UNTOUCHED(self->before, 516, 8);
}

TEST_F(punch_hole, of_an_aligned_2m_takes_it_from_the_guest)
{
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PATTERN));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, PAGES_2M, PAGES_2M));
	EXPECT_HOLE(PAGES_2M, PAGES_2M);
	EXPECT_OK(guest_verify_zero(self->g, PAGES_2M, PAGES_2M));
	EXPECT_OK(guest_verify(self->g, 0, PAGES_2M, PATTERN));
	EXPECT_OK(guest_verify(self->g, 2 * PAGES_2M, PAGES_2M, PATTERN));
}

TEST_F(punch_hole, of_the_whole_file_takes_it_from_the_guest)
{
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PATTERN));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	EXPECT_HOLE(0, NR_PAGES);
	EXPECT_OK(guest_verify_zero(self->g, 0, NR_PAGES));
}

TEST_F(punch_hole, under_a_slot_of_a_part_of_the_file_frees_the_hole)
{
	ASSERT_OK(guest_unbind(self->g, GUEST_SLOT));
	ASSERT_OK(guest_bind(self->g, GUEST_SLOT, 505, 10, GUEST_GPA));
	if (guest_has_private(self->g)) {
		ASSERT_OK(guest_set_private(self->g, 505, 10, true));
	}
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	ASSERT_OK(guest_touch(self->g, 505, 10, PATTERN));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	/* Begins before the slot and ends in it. */
	ASSERT_OK(gmem_punch(self->fd, 500, 10));
	EXPECT_HOLE(500, 10);
	EXPECT_OK(guest_verify_zero(self->g, 505, 5));
	EXPECT_OK(guest_verify(self->g, 510, 5, PATTERN));
}

TEST_F(punch_hole, after_its_slot_is_gone_frees_it)
{
	ASSERT_OK(guest_touch(self->g, 490, 40, PATTERN));
	ASSERT_OK(guest_unbind(self->g, GUEST_SLOT));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, 500, 24));
	EXPECT_HOLE(500, 24);
}

static int touch_some(void *g)
{
	return guest_touch(g, 500, 24, PATTERN);
}

/*
 * Claims: B20
 */
TEST_F(punch_hole, under_a_running_vcpu_frees_it)
{
	struct busy vcpu;
	unsigned int i;
	int rc;

	rc = busy_start(&vcpu, touch_some, self->g);
	for (i = 0; i < 200 && !rc; i++)
		/* So that there is something to punch each time. */
		rc = busy_wait(&vcpu, 1) ?: gmem_punch(self->fd, 504 + i % 8, 8);
	EXPECT_OK(rc);
	EXPECT_OK(busy_end(&vcpu));

	/* The vCPU stands still now; what it touched last is all there is. */
	ASSERT_OK(guest_touch(self->g, 500, 24, PATTERN));
	EXPECT_HELD(self->fd, 500, 24, guest_touch_maps(self->g), 0);
	EXPECT_ABSENT(self->fd, 0, 500);
	EXPECT_ABSENT(self->fd, 524, NR_PAGES - 524);
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	EXPECT_HOLE(0, NR_PAGES);
}

/*
 * Over and over
 */

/* Back a few pages, and punch them. */
static int churn_allocated(struct guest *g, __u64 first, __u64 nr)
{
	return gmem_allocate(guest_gmem(g), first, nr) ?: gmem_punch(guest_gmem(g), first, nr);
}

static int churn_mapped(struct guest *g, __u64 first, __u64 nr)
{
	volatile char *pages = guest_shared(g, first);
	__u64 i;

	for (i = 0; i < nr; i++)
		pages[i * PAGE_BYTES] = 1;
	return gmem_punch(guest_gmem(g), first, nr);
}

static int churn_guest(struct guest *g, __u64 first, __u64 nr)
{
	return guest_touch(g, first, nr, PATTERN) ?: gmem_punch(guest_gmem(g), first, nr);
}

/*
 * A leak shows in the free-page count in every round, what others do in some: so
 * one round in which it comes back acquits.  What is charged to a memory cgroup
 * of this process's own must come back in any case; and where others never rest,
 * that alone decides.  Without such a group memory may also be in use by others, as
 * long as it is accounted for.
 */
static void churn(struct __test_metadata *_metadata, FIXTURE_DATA(punch_hole) *self,
		  int repeats, int (*step)(struct guest *g, __u64 first, __u64 nr))
{
	struct finding ignored;
	struct meter before;
	bool back = false;
	__u64 charged = 0;
	int i, round;

	if (!cgroup_why_not()) {
		ASSERT_OK(cgroup_create(&self->cg));
		ASSERT_OK(cgroup_enter(self->cg, 0));
	}
	/* What the kernel keeps after the first time is no leak. */
	ASSERT_OK(step(self->g, 0, NR_PAGES));

	for (round = 0; round < ROUNDS && !back; round++) {
		ASSERT_OK(meter_read(&before));
		if (self->cg) {
			ASSERT_OK(cgroup_usage(self->cg, &charged));
		}
		for (i = 0; i < repeats; i++) {
			if (step(self->g, i * 7 % (NR_PAGES - CHURN_PAGES), CHURN_PAGES))
				break;
		}
		ASSERT_EQ(repeats, i);
		back = !meter_check_back(&before, METER_FREE, TOLERANCE, &ignored) ||
		       (!self->cg &&
			!meter_check_back(&before, METER_LOST, TOLERANCE, &ignored));
	}
	if (self->cg) {
		__SUITE_CHECK("charge back at baseline",
			cgroup_check_back(self->cg, charged, TOLERANCE * PAGE_BYTES, &__f), 0);
	} else if (!back) {
		EXPECT_BACK(&before, METER_FREE, TOLERANCE);
	}
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	EXPECT_HELD(self->fd, 0, NR_PAGES, 0, 0);
}

TEST_F(punch_hole, ten_thousand_times_leaks_nothing)
{
	churn(_metadata, self, 10000, churn_allocated);
}

TEST_F(punch_hole, ten_thousand_times_while_mapped_leaks_nothing)
{
	REQUIRE(unmappable(self->g));
	ASSERT_NE(NULL, guest_shared(self->g, 0));
	churn(_metadata, self, 10000, churn_mapped);
}

TEST_F(punch_hole, a_thousand_times_under_a_guest_leaks_nothing)
{
	churn(_metadata, self, 1000, churn_guest);
}

SUITE(.needs = NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 60, .serial = true)
