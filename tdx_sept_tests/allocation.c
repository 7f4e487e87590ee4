// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest_memfd holds exactly the pages that somebody asked for, each with the
 * page cache's one reference and no other.
 *
 * Whoever asks, be it fallocate(2), a first touch by user space, a touch by the
 * guest or KVM_PRE_FAULT_MEMORY: the pages of the range appear, zeroed, their
 * neighbours do not, and asking again changes nothing.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gmem.h"
#include "peer.h"
#include "suite.h"

#define PAGE_BYTES	4096ull
#define PAGES_2M	512ull
#define NR_PAGES	(3 * PAGES_2M)	/* 2M boundaries on both sides of the middle */
#define PATTERN		0x5ca1ab1e00000000ull
#define TIMEOUT_MS	5000

/* The range is backed, mapped @maps times, and nothing else of the file is. */
#define EXPECT_ONLY(fd, first, nr, maps) do {				\
	const __u64 __first = (first), __end = __first + (nr);		\
									\
	EXPECT_HELD(fd, __first, __end - __first, maps, 0);		\
	if (__first) {							\
		EXPECT_ABSENT(fd, 0, __first);				\
	}								\
	if (__end < NR_PAGES) {						\
		EXPECT_ABSENT(fd, __end, NR_PAGES - __end);		\
	}								\
} while (0)

FIXTURE(allocation) {
	struct guest *g;
	struct census *before;
	int fd;
};

FIXTURE_VARIANT(allocation) {
	enum guest_type type;
};

GUEST_VARIANTS(allocation, );

FIXTURE_SETUP(allocation)
{
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create(&self->g, variant->type, NR_PAGES));
	self->fd = guest_gmem(self->g);
}

FIXTURE_TEARDOWN(allocation)
{
	census_free(self->before);
	guest_destroy(self->g);
}

static const char *unmappable(const struct guest *g)
{
	return guest_mappable(g) ? NULL : "user space cannot map the memory of this VM type";
}

static bool is_zero(const char *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE_BYTES - 1);
}

/*
 * fallocate(2)
 */

TEST_F(allocation, does_not_happen_by_creating_and_binding)
{
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);
}

TEST_F(allocation, of_one_page_creates_that_page)
{
	ASSERT_OK(gmem_allocate(self->fd, 700, 1));
	EXPECT_ONLY(self->fd, 700, 1, 0);
}

TEST_F(allocation, of_the_first_page_creates_that_page)
{
	ASSERT_OK(gmem_allocate(self->fd, 0, 1));
	EXPECT_ONLY(self->fd, 0, 1, 0);
}

TEST_F(allocation, of_the_last_page_creates_that_page)
{
	ASSERT_OK(gmem_allocate(self->fd, NR_PAGES - 1, 1));
	EXPECT_ONLY(self->fd, NR_PAGES - 1, 1, 0);
}

TEST_F(allocation, of_an_aligned_2m_creates_those_pages)
{
	ASSERT_OK(gmem_allocate(self->fd, PAGES_2M, PAGES_2M));
	EXPECT_ONLY(self->fd, PAGES_2M, PAGES_2M, 0);
}

TEST_F(allocation, of_an_unaligned_2m_creates_those_pages)
{
	ASSERT_OK(gmem_allocate(self->fd, PAGES_2M - 1, PAGES_2M));
	EXPECT_ONLY(self->fd, PAGES_2M - 1, PAGES_2M, 0);
}

TEST_F(allocation, across_a_2m_boundary_creates_those_pages)
{
	ASSERT_OK(gmem_allocate(self->fd, PAGES_2M - 3, 7));
	EXPECT_ONLY(self->fd, PAGES_2M - 3, 7, 0);
}

TEST_F(allocation, of_the_whole_file_creates_all_pages)
{
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	EXPECT_ONLY(self->fd, 0, NR_PAGES, 0);
}

TEST_F(allocation, of_every_other_page_leaves_the_gaps)
{
	const __u64 first = PAGES_2M - 20;
	__u64 i;

	for (i = first; i < first + 40; i += 2)
		ASSERT_OK(gmem_allocate(self->fd, i, 1));
	for (i = first; i < first + 40; i += 2) {
		EXPECT_HELD(self->fd, i, 1, 0, 0);
		EXPECT_ABSENT(self->fd, i + 1, 1);
	}
}

TEST_F(allocation, again_changes_nothing)
{
	ASSERT_OK(gmem_allocate(self->fd, 500, 30));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_allocate(self->fd, 500, 30));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(allocation, over_backed_pages_fills_the_gaps_only)
{
	ASSERT_OK(gmem_allocate(self->fd, 510, 1));
	ASSERT_OK(gmem_allocate(self->fd, 515, 2));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(gmem_allocate(self->fd, 508, 12));
	EXPECT_ONLY(self->fd, 508, 12, 0);
	EXPECT_UNTOUCHED(self->before, 510, 1);
	EXPECT_UNTOUCHED(self->before, 515, 2);
}

TEST_F(allocation, across_the_end_fails_and_creates_nothing)
{
	EXPECT_ERR(EINVAL, gmem_allocate(self->fd, NR_PAGES - 4, 5));
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);
}

TEST_F(allocation, beyond_the_end_fails_and_creates_nothing)
{
	EXPECT_ERR(EINVAL, gmem_allocate(self->fd, NR_PAGES, 1));
	EXPECT_ERR(EINVAL, gmem_allocate(self->fd, 1000 * NR_PAGES, 1));
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);
}

TEST_F(allocation, in_one_file_leaves_another_file_alone)
{
	int other;

	other = gmem_create(guest_vm(self->g), NR_PAGES, 0);
	ASSERT_OK(other);
	ASSERT_OK(gmem_allocate(other, 0, 64));

	EXPECT_ABSENT(self->fd, 0, NR_PAGES);
	EXPECT_ONLY(other, 0, 64, 0);
	close(other);
}

TEST_F(allocation, through_a_duplicated_descriptor_is_seen_by_both)
{
	int copy = dup(self->fd);

	ASSERT_OK(copy);
	ASSERT_OK(gmem_allocate(copy, 9, 3));
	EXPECT_ONLY(self->fd, 9, 3, 0);
	EXPECT_ONLY(copy, 9, 3, 0);
	close(copy);
}

/* A terabyte, of which one page is backed. */
TEST_F(allocation, near_the_end_of_a_huge_file_creates_that_page)
{
	const __u64 nr = 1ull << 28;
	struct guest *huge;
	int fd;

	ASSERT_OK(guest_create_unbound(&huge, variant->type, nr));
	fd = guest_gmem(huge);
	ASSERT_OK(gmem_allocate(fd, nr - 2, 1));
	EXPECT_HELD(fd, nr - 2, 1, 0, 0);
	EXPECT_ABSENT(fd, nr - 1, 1);
	EXPECT_ABSENT(fd, nr - NR_PAGES, NR_PAGES - 2);
	EXPECT_ABSENT(fd, 0, NR_PAGES);
	guest_destroy(huge);
}

struct allocator {
	pthread_barrier_t *barrier;
	int fd, err;
};

static void *allocate_all(void *arg)
{
	struct allocator *a = arg;

	pthread_barrier_wait(a->barrier);
	a->err = gmem_allocate(a->fd, 0, NR_PAGES);
	return NULL;
}

TEST_F(allocation, by_two_threads_at_once_creates_each_page_once)
{
	struct allocator allocators[2];
	pthread_barrier_t barrier;
	pthread_t threads[2];
	int i, round;

	pthread_barrier_init(&barrier, NULL, 2);
	for (round = 0; round < 10; round++) {
		for (i = 0; i < 2; i++) {
			allocators[i] = (struct allocator){ &barrier, self->fd, -EINPROGRESS };
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, allocate_all,
						    &allocators[i]));
		}
		for (i = 0; i < 2; i++) {
			pthread_join(threads[i], NULL);
			EXPECT_OK(allocators[i].err);
		}
		EXPECT_ONLY(self->fd, 0, NR_PAGES, 0);
		ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	}
	pthread_barrier_destroy(&barrier);
}

static int child_allocates(struct peer *me, void *arg)
{
	(void)me;
	return gmem_allocate(*(int *)arg, 40, 8);
}

TEST_F(allocation, by_a_child_outlives_the_child)
{
	struct peer *child;

	ASSERT_OK(peer_start(&child, child_allocates, &self->fd));
	ASSERT_OK(peer_join(child, TIMEOUT_MS));
	EXPECT_ONLY(self->fd, 40, 8, 0);
}

/*
 * First touch by user space
 */

TEST_F(allocation, by_a_write_of_user_space_creates_that_page)
{
	char *page;

	REQUIRE(unmappable(self->g));
	page = guest_shared(self->g, 600);
	ASSERT_NE(NULL, page);
	*(volatile char *)page = 1;
	EXPECT_ONLY(self->fd, 600, 1, 1);
}

TEST_F(allocation, by_a_read_of_user_space_creates_that_page)
{
	char *page;

	REQUIRE(unmappable(self->g));
	page = guest_shared(self->g, 600);
	ASSERT_NE(NULL, page);
	EXPECT_EQ(0, *(volatile char *)page);
	EXPECT_ONLY(self->fd, 600, 1, 1);
}

TEST_F(allocation, by_user_space_across_a_2m_boundary_creates_those_pages)
{
	volatile char *page;
	int i;

	REQUIRE(unmappable(self->g));
	page = guest_shared(self->g, PAGES_2M - 8);
	ASSERT_NE(NULL, page);
	for (i = 0; i < 16; i++)
		page[i * PAGE_BYTES] = 1;
	EXPECT_ONLY(self->fd, PAGES_2M - 8, 16, 1);
}

TEST_F(allocation, by_user_space_of_the_last_page_creates_that_page)
{
	volatile char *page;

	REQUIRE(unmappable(self->g));
	page = guest_shared(self->g, NR_PAGES - 1);
	ASSERT_NE(NULL, page);
	page[PAGE_BYTES - 1] = 1;
	EXPECT_ONLY(self->fd, NR_PAGES - 1, 1, 1);
}

TEST_F(allocation, is_what_a_touch_of_user_space_finds)
{
	volatile char *page;

	REQUIRE(unmappable(self->g));
	ASSERT_OK(gmem_allocate(self->fd, 100, 4));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	page = guest_shared(self->g, 101);
	ASSERT_NE(NULL, page);
	*page = 1;
	EXPECT_HELD(self->fd, 101, 1, 1, 0);
	EXPECT_IN_PLACE(self->before, 101, 1);
	EXPECT_UNTOUCHED(self->before, 100, 1);
	EXPECT_UNTOUCHED(self->before, 102, NR_PAGES - 102);
}

TEST_F(allocation, gives_zeroed_pages_to_user_space)
{
	char *page;
	int i;

	REQUIRE(unmappable(self->g));
	ASSERT_OK(gmem_allocate(self->fd, 0, 32));
	page = guest_shared(self->g, 0);
	ASSERT_NE(NULL, page);

	/* The latter half is created by this very look. */
	for (i = 0; i < 64; i++)
		EXPECT_TRUE(is_zero(page + i * PAGE_BYTES));
	EXPECT_ONLY(self->fd, 0, 64, 1);
}

static int child_touches(struct peer *me, void *arg)
{
	volatile char *page = arg;
	int i, err;

	for (i = 0; i < 4; i++)
		page[i * PAGE_BYTES] = 1;
	err = peer_tell(me, 0);
	return err ?: peer_hear(me, NULL, TIMEOUT_MS);
}

TEST_F(allocation, by_a_touch_of_a_child_outlives_its_mapping)
{
	struct peer *child;
	void *page;

	REQUIRE(unmappable(self->g));
	page = guest_shared(self->g, 20);
	ASSERT_NE(NULL, page);
	ASSERT_OK(peer_start(&child, child_touches, page));
	ASSERT_OK(peer_hear(child, NULL, TIMEOUT_MS));
	EXPECT_ONLY(self->fd, 20, 4, 1);

	ASSERT_OK(peer_tell(child, 0));
	ASSERT_OK(peer_join(child, TIMEOUT_MS));
	EXPECT_ONLY(self->fd, 20, 4, 0);
}

/*
 * Touch by the guest
 */

TEST_F(allocation, by_a_write_of_the_guest_creates_that_page)
{
	ASSERT_OK(guest_touch(self->g, 600, 1, PATTERN));
	EXPECT_ONLY(self->fd, 600, 1, guest_touch_maps(self->g));
	EXPECT_OK(guest_verify(self->g, 600, 1, PATTERN));
}

TEST_F(allocation, by_a_read_of_the_guest_creates_that_page)
{
	EXPECT_OK(guest_verify_zero(self->g, 600, 1));
	EXPECT_ONLY(self->fd, 600, 1, guest_touch_maps(self->g));
}

TEST_F(allocation, by_the_guest_across_a_2m_boundary_creates_those_pages)
{
	ASSERT_OK(guest_touch(self->g, PAGES_2M - 8, 16, PATTERN));
	EXPECT_ONLY(self->fd, PAGES_2M - 8, 16, guest_touch_maps(self->g));
}

TEST_F(allocation, by_the_guest_of_an_aligned_2m_creates_those_pages)
{
	ASSERT_OK(guest_touch(self->g, PAGES_2M, PAGES_2M, PATTERN));
	EXPECT_ONLY(self->fd, PAGES_2M, PAGES_2M, guest_touch_maps(self->g));
}

TEST_F(allocation, by_the_guest_of_the_last_page_creates_that_page)
{
	ASSERT_OK(guest_touch(self->g, NR_PAGES - 1, 1, PATTERN));
	EXPECT_ONLY(self->fd, NR_PAGES - 1, 1, guest_touch_maps(self->g));
}

TEST_F(allocation, by_the_guest_stops_at_the_end_of_the_slot)
{
	ASSERT_OK(guest_touch(self->g, NR_PAGES - 2, 2, PATTERN));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	EXPECT_NE(0, guest_touch(self->g, NR_PAGES, 1, PATTERN));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(allocation, is_what_a_touch_of_the_guest_finds)
{
	ASSERT_OK(gmem_allocate(self->fd, 100, 40));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(guest_touch(self->g, 110, 10, PATTERN));
	EXPECT_HELD(self->fd, 110, 10, guest_touch_maps(self->g), 0);
	EXPECT_IN_PLACE(self->before, 110, 10);
	EXPECT_UNTOUCHED(self->before, 0, 110);
	EXPECT_UNTOUCHED(self->before, 120, NR_PAGES - 120);
}

TEST_F(allocation, gives_zeroed_pages_to_the_guest)
{
	ASSERT_OK(gmem_allocate(self->fd, 0, 32));
	EXPECT_OK(guest_verify_zero(self->g, 0, 64));
	EXPECT_ONLY(self->fd, 0, 64, guest_touch_maps(self->g));
}

TEST_F(allocation, is_shared_by_guest_and_user_space)
{
	volatile __u64 *word;

	REQUIRE(unmappable(self->g));
	ASSERT_OK(guest_touch(self->g, 5, 2, PATTERN));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	word = guest_shared(self->g, 5);
	ASSERT_NE(NULL, word);
	EXPECT_EQ(PATTERN + 5, word[0]);
	EXPECT_EQ(PATTERN + 6, word[PAGE_BYTES / sizeof(*word)]);
	EXPECT_IN_PLACE(self->before, 5, 2);
	EXPECT_ONLY(self->fd, 5, 2, 1);
}

TEST_F(allocation, by_pre_faulting_creates_exactly_those_pages)
{
	int err = guest_prefault(self->g, PAGES_2M - 8, 16);

	if (err == -EOPNOTSUPP)
		SKIP(return, "KVM has no KVM_PRE_FAULT_MEMORY for this VM: it needs Linux 6.11 and two-dimensional paging");
	ASSERT_OK(err);
	EXPECT_ONLY(self->fd, PAGES_2M - 8, 16, 0);
	EXPECT_OK(guest_verify_zero(self->g, PAGES_2M - 8, 16));
}

TEST_F(allocation, again_by_pre_faulting_changes_nothing)
{
	int err;

	ASSERT_OK(gmem_allocate(self->fd, 500, 30));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	err = guest_prefault(self->g, 500, 30);
	if (err == -EOPNOTSUPP)
		SKIP(return, "KVM has no KVM_PRE_FAULT_MEMORY for this VM: it needs Linux 6.11 and two-dimensional paging");
	ASSERT_OK(err);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

SUITE(.needs = NEED_KVM | NEED_GMEM | NEED_REFCOUNT)
