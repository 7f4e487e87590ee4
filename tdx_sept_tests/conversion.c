// SPDX-License-Identifier: GPL-2.0-only
/*
 * Converting memory between private and shared changes which page the guest
 * sees, and neither page.
 *
 * KVM_SET_MEMORY_ATTRIBUTES zaps what is mapped and remembers the attribute: it
 * creates no page, frees none and holds none.  Who wants the memory of the other
 * half back has to discard it, as QEMU does: by a hole in the guest_memfd after
 * a conversion to shared, by MADV_DONTNEED after one to private.
 *
 * Claims: C4
 */
#include <sys/mman.h>

#include "busy.h"
#include "gmem.h"
#include "suite.h"

#define PAGE_BYTES	4096ull
#define PAGES_2M	512ull
#define NR_PAGES	(3 * PAGES_2M)	/* so that a range can straddle two boundaries */
#define PRIVATE_DATA	0x1111000000000000ull
#define SHARED_DATA	0x2222000000000000ull
#define TOGGLES		1000

FIXTURE(conversion) {
	struct guest *g;
	struct census *before;
	int fd;
};

FIXTURE_VARIANT(conversion) {
	enum guest_type type;
};

GUEST_VARIANTS(conversion, );

FIXTURE_SETUP(conversion)
{
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create(&self->g, variant->type, NR_PAGES));
	self->fd = guest_gmem(self->g);
	if (!guest_has_private(self->g))
		SKIP(return, "this VM type has no private memory to convert");
}

FIXTURE_TEARDOWN(conversion)
{
	census_free(self->before);
	guest_destroy(self->g);
}

/* What the host sees of the range as shared memory. */
static int shared_holds(struct guest *g, __u64 first, __u64 nr, __u64 pattern)
{
	volatile __u64 *word;
	__u64 i;

	for (i = 0; i < nr; i++) {
		word = guest_shared(g, first + i);
		if (*word != pattern + first + i)
			return -EILSEQ;
	}
	return 0;
}

static int shared_fill(struct guest *g, __u64 first, __u64 nr, __u64 pattern)
{
	volatile __u64 *word;
	__u64 i;

	for (i = 0; i < nr; i++) {
		word = guest_shared(g, first + i);
		*word = pattern + first + i;
	}
	return 0;
}

/*
 * There and back again: the private pages stay where they are and, but for a TD,
 * what they are, the guest sees the shared ones meanwhile, and its neighbours see
 * nothing.
 */
#define THERE_AND_BACK(first, nr) do {					\
	const __u64 __first = (first), __nr = (nr);			\
									\
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PRIVATE_DATA));	\
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));	\
									\
	ASSERT_OK(guest_set_private(self->g, __first, __nr, false));	\
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);			\
	EXPECT_OK(guest_verify_zero(self->g, __first, __nr));		\
	EXPECT_OK(guest_touch(self->g, __first, __nr, SHARED_DATA));	\
	EXPECT_OK(shared_holds(self->g, __first, __nr, SHARED_DATA));	\
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);			\
									\
	ASSERT_OK(guest_set_private(self->g, __first, __nr, true));	\
	EXPECT_OK(guest_verify(self->g, 0, __first, PRIVATE_DATA));	\
	EXPECT_OK(guest_verify_unmapped(self->g, __first, __nr, PRIVATE_DATA)); \
	EXPECT_OK(guest_verify(self->g, __first + __nr, NR_PAGES - __first - __nr, \
			       PRIVATE_DATA));				\
	EXPECT_OK(shared_holds(self->g, __first, __nr, SHARED_DATA));	\
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);			\
} while (0)

TEST_F(conversion, of_one_page_keeps_both_pages)
{
	THERE_AND_BACK(700, 1);
}

TEST_F(conversion, of_an_odd_range_keeps_all_pages)
{
	THERE_AND_BACK(701, 3);
}

TEST_F(conversion, of_an_aligned_2m_keeps_all_pages)
{
	THERE_AND_BACK(PAGES_2M, PAGES_2M);
}

TEST_F(conversion, of_an_unaligned_2m_keeps_all_pages)
{
	THERE_AND_BACK(PAGES_2M + 1, PAGES_2M);
}

TEST_F(conversion, across_a_2m_boundary_keeps_all_pages)
{
	THERE_AND_BACK(PAGES_2M - 3, 7);
}

TEST_F(conversion, across_two_2m_boundaries_keeps_all_pages)
{
	THERE_AND_BACK(PAGES_2M - 1, PAGES_2M + 2);
}

TEST_F(conversion, of_the_last_page_keeps_both_pages)
{
	THERE_AND_BACK(NR_PAGES - 1, 1);
}

TEST_F(conversion, of_everything_keeps_all_pages)
{
	THERE_AND_BACK(0, NR_PAGES);
}

TEST_F(conversion, of_absent_pages_creates_none)
{
	ASSERT_OK(guest_set_private(self->g, 500, 24, false));
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);
	ASSERT_OK(guest_set_private(self->g, 500, 24, true));
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);

	ASSERT_OK(guest_touch(self->g, 500, 24, PRIVATE_DATA));
	EXPECT_HELD(self->fd, 500, 24, 0, 0);
	EXPECT_ABSENT(self->fd, 0, 500);
	EXPECT_ABSENT(self->fd, 524, NR_PAGES - 524);
}

TEST_F(conversion, to_shared_keeps_the_guest_out_of_the_file)
{
	ASSERT_OK(guest_set_private(self->g, 500, 24, false));
	ASSERT_OK(guest_touch(self->g, 490, 44, SHARED_DATA));
	EXPECT_HELD(self->fd, 490, 10, 0, 0);
	EXPECT_ABSENT(self->fd, 500, 24);
	EXPECT_HELD(self->fd, 524, 10, 0, 0);
	EXPECT_OK(shared_holds(self->g, 500, 24, SHARED_DATA));
}

TEST_F(conversion, to_the_same_again_changes_nothing)
{
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PRIVATE_DATA));
	ASSERT_OK(guest_set_private(self->g, 500, 24, false));
	ASSERT_OK(guest_touch(self->g, 500, 24, SHARED_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(guest_set_private(self->g, 500, 24, false));
	ASSERT_OK(guest_set_private(self->g, 0, 500, true));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_OK(guest_verify(self->g, 500, 24, SHARED_DATA));
	EXPECT_OK(guest_verify(self->g, 0, 500, PRIVATE_DATA));
	EXPECT_OK(guest_verify(self->g, 524, NR_PAGES - 524, PRIVATE_DATA));
}

TEST_F(conversion, of_overlapping_ranges_follows_the_last)
{
	ASSERT_OK(guest_set_private(self->g, 500, 20, false));
	ASSERT_OK(guest_set_private(self->g, 510, 20, true));
	ASSERT_OK(guest_touch(self->g, 490, 50, PRIVATE_DATA));
	EXPECT_HELD(self->fd, 490, 10, 0, 0);
	EXPECT_ABSENT(self->fd, 500, 10);
	EXPECT_HELD(self->fd, 510, 30, 0, 0);
}

TEST_F(conversion, of_every_other_page_keeps_them_apart)
{
	const __u64 first = PAGES_2M - 20;
	__u64 i;

	for (i = first; i < first + 40; i += 2)
		ASSERT_OK(guest_set_private(self->g, i, 1, false));
	ASSERT_OK(guest_touch(self->g, first, 40, PRIVATE_DATA));
	for (i = first; i < first + 40; i += 2) {
		EXPECT_ABSENT(self->fd, i, 1);
		EXPECT_OK(shared_holds(self->g, i, 1, PRIVATE_DATA));
		EXPECT_HELD(self->fd, i + 1, 1, 0, 0);
	}
	EXPECT_OK(guest_verify(self->g, first, 40, PRIVATE_DATA));
}

TEST_F(conversion, beyond_the_slot_touches_nothing)
{
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PRIVATE_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(guest_set_private(self->g, NR_PAGES, 1000, true));
	ASSERT_OK(guest_set_private(self->g, NR_PAGES, 1000, false));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, PRIVATE_DATA));
}

TEST_F(conversion, over_and_over_keeps_all_pages)
{
	unsigned int random = supervise_seed();
	bool was_shared[NR_PAGES] = {};
	__u64 first, nr;
	bool private;
	int i;

	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PRIVATE_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	for (i = 0; i < TOGGLES; i++) {
		first = rand_r(&random) % NR_PAGES;
		nr = 1 + rand_r(&random) % (NR_PAGES - first);
		private = rand_r(&random) & 1;
		if (guest_set_private(self->g, first, nr, private))
			break;
		if (!private)
			memset(was_shared + first, true, nr);
	}
	ASSERT_EQ(TOGGLES, i);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);

	ASSERT_OK(guest_set_private(self->g, 0, NR_PAGES, true));
	for (first = 0; first < NR_PAGES; first += nr) {
		for (nr = 1; first + nr < NR_PAGES; nr++)
			if (was_shared[first + nr] != was_shared[first])
				break;
		if (was_shared[first]) {
			EXPECT_OK(guest_verify_unmapped(self->g, first, nr, PRIVATE_DATA));
		} else {
			EXPECT_OK(guest_verify(self->g, first, nr, PRIVATE_DATA));
		}
	}
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

/*
 * As QEMU does it
 */

#define TO_SHARED(first, nr) do {					\
	ASSERT_OK(guest_set_private(self->g, first, nr, false));	\
	ASSERT_OK(gmem_punch(self->fd, first, nr));			\
} while (0)

#define TO_PRIVATE(first, nr) do {					\
	ASSERT_OK(guest_set_private(self->g, first, nr, true));		\
	ASSERT_EQ(0, madvise(guest_shared(self->g, first),		\
			     (nr) * PAGE_BYTES, MADV_DONTNEED));	\
} while (0)

TEST_F(conversion, to_shared_with_a_hole_frees_the_private_pages)
{
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PRIVATE_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	TO_SHARED(500, 24);
	EXPECT_ABSENT(self->fd, 500, 24);
	EXPECT_FREED(self->before, 500, 24);
	EXPECT_UNTOUCHED(self->before, 0, 500);
	EXPECT_UNTOUCHED(self->before, 524, NR_PAGES - 524);
	EXPECT_OK(guest_verify_zero(self->g, 500, 24));
	EXPECT_OK(guest_verify(self->g, 524, 24, PRIVATE_DATA));

	/* What the guest has there now is not in the file. */
	ASSERT_OK(guest_touch(self->g, 500, 24, SHARED_DATA));
	EXPECT_OK(shared_holds(self->g, 500, 24, SHARED_DATA));
	EXPECT_ABSENT(self->fd, 500, 24);
}

TEST_F(conversion, to_shared_of_2m_with_a_hole_frees_the_private_pages)
{
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PRIVATE_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	TO_SHARED(PAGES_2M, PAGES_2M);
	EXPECT_FREED(self->before, PAGES_2M, PAGES_2M);
	ASSERT_OK(guest_touch(self->g, PAGES_2M, PAGES_2M, SHARED_DATA));
	EXPECT_ABSENT(self->fd, PAGES_2M, PAGES_2M);
	EXPECT_UNTOUCHED(self->before, 0, PAGES_2M);
	EXPECT_UNTOUCHED(self->before, 2 * PAGES_2M, PAGES_2M);
}

TEST_F(conversion, to_private_with_a_discard_brings_zeroed_pages)
{
	TO_SHARED(500, 24);
	ASSERT_OK(shared_fill(self->g, 500, 24, SHARED_DATA));
	ASSERT_OK(guest_verify(self->g, 500, 24, SHARED_DATA));

	TO_PRIVATE(500, 24);
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);
	EXPECT_OK(guest_verify_zero(self->g, 500, 24));
	EXPECT_HELD(self->fd, 500, 24, 0, 0);

	/* And the shared memory is gone as well. */
	TO_SHARED(500, 24);
	EXPECT_OK(guest_verify_zero(self->g, 500, 24));
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);
}

TEST_F(conversion, there_and_back_with_holes_leaks_nothing)
{
	__u64 first;
	int i;

	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PRIVATE_DATA));
	for (i = 0; i < TOGGLES / 10; i++) {
		first = i * 13 % (NR_PAGES - 24);
		ASSERT_OK(census_take(&self->before, self->fd, first, 24));
		TO_SHARED(first, 24);
		ASSERT_OK(guest_touch(self->g, first, 24, SHARED_DATA));
		EXPECT_FREED(self->before, first, 24);
		TO_PRIVATE(first, 24);
		ASSERT_OK(guest_touch(self->g, first, 24, PRIVATE_DATA));
		census_free(self->before);
		self->before = NULL;
	}
	EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, PRIVATE_DATA));
	EXPECT_HELD(self->fd, 0, NR_PAGES, 0, 0);
}

static int touch_some(void *g)
{
	int rc = guest_touch(g, 500, 24, PRIVATE_DATA);

	/* A conversion may cross the fault; KVM then leaves it to user space. */
	return rc == -EFAULT && guest_fault(g)->err == EFAULT ? 0 : rc;
}

TEST_F(conversion, under_a_running_vcpu_leaks_nothing)
{
	struct busy vcpu;
	unsigned int i;
	int rc;

	rc = busy_start(&vcpu, touch_some, self->g);
	for (i = 0; i < 100 && !rc; i++)
		rc = busy_wait(&vcpu, 1) ?: guest_set_private(self->g, 504, 8, false) ?:
		     gmem_punch(self->fd, 504, 8) ?: guest_set_private(self->g, 504, 8, true);
	EXPECT_OK(rc);
	EXPECT_OK(busy_end(&vcpu));

	ASSERT_OK(guest_touch(self->g, 500, 24, PRIVATE_DATA));
	EXPECT_HELD(self->fd, 500, 24, 0, 0);
	EXPECT_ABSENT(self->fd, 0, 500);
	EXPECT_ABSENT(self->fd, 524, NR_PAGES - 524);
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

SUITE(.needs = NEED_KVM | NEED_GMEM | NEED_REFCOUNT)
