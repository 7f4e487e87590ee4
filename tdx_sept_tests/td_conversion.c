// SPDX-License-Identifier: GPL-2.0-only
/*
 * A conversion is of the pages that it names, whatever their number and place, by the
 * host or at the guest's wish; and so is a punch.
 *
 * A look at the wrong page proves nothing, so each page that is looked at is known to
 * be the one: the guest's touch makes it appear at that index of the file and nowhere
 * else; in the emulated machine the TDX module says at which GPA a TD has it; and what
 * the guest then writes to shared memory is in another frame.
 *
 * Claims: C2, C4
 */
#include <sys/mman.h>

#include "emulator.h"
#include "folio_proc.h"
#include "gmem.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define PAGES_2M	512ull
#define NR_PAGES	(3 * PAGES_2M)
#define MARGIN		4ull		/* neighbours on both sides */
#define SAMPLE		64ull
#define PRIVATE_DATA	0x1111000000000000ull
#define SHARED_DATA	0x2222000000000000ull
#define HOST_DATA	0x3333000000000000ull

FIXTURE(td_conversion) {
	struct guest *g;
	int fd;
	__u64 low, high;	/* what the guest has touched: the range and its margins */
	struct census *before;
};

FIXTURE_VARIANT(td_conversion) {
	enum guest_type type;
	__u64 first, nr;
};

#define SHAPE(name, first_, nr_)						\
	FIXTURE_VARIANT_ADD(td_conversion, tdx_##name)				\
		{ .type = GUEST_TDX, .first = first_, .nr = nr_ }
#define PLAIN_SHAPE(name, first_, nr_)						\
	FIXTURE_VARIANT_ADD(td_conversion, sw_protected_##name)			\
		{ .type = GUEST_SW_PROTECTED, .first = first_, .nr = nr_ }

SHAPE(first_page,	0, 1);
SHAPE(last_page,	NR_PAGES - 1, 1);
SHAPE(behind_2m,	PAGES_2M, 1);
SHAPE(across_2m,	PAGES_2M - 1, 2);
SHAPE(odd,		701, 3);
SHAPE(all_but_first,	PAGES_2M + 1, PAGES_2M - 1);
SHAPE(one_2m,		PAGES_2M, PAGES_2M);
SHAPE(unaligned_2m,	PAGES_2M + 1, PAGES_2M);
SHAPE(2m_and_before,	PAGES_2M - 1, PAGES_2M + 1);
SHAPE(across_both,	PAGES_2M - 1, PAGES_2M + 2);

PLAIN_SHAPE(across_2m,		PAGES_2M - 1, 2);
PLAIN_SHAPE(unaligned_2m,	PAGES_2M + 1, PAGES_2M);
PLAIN_SHAPE(last_page,		NR_PAGES - 1, 1);

#define GPA(page) (GUEST_GPA + (page) * PAGE_BYTES)

/*
 * The TDX module has the frames of the range at their GPAs, or has none of them.  It
 * cannot be asked on hardware, and not of a VM that has none.  Of a long range the ends
 * are looked at, and some pages in between.
 */
static int module_agrees(struct guest *g, const struct census *c, __u64 first, __u64 nr,
			 bool has)
{
	__u64 i, gpa;
	int rc;

	if (!guest_td(g) || emulator_why_not())
		return 0;
	for (i = first; i < first + nr; i++) {
		if (i >= first + MARGIN && i + MARGIN < first + nr && i % SAMPLE)
			continue;
		rc = emulator_private_gpa(folio_pfn(census_page(c, i)), &gpa);
		if (rc != (has ? 0 : -ENOENT))
			return rc ?: -EEXIST;
		if (has && gpa != GPA(i))
			return -EXDEV;
	}
	return 0;
}

/* The shared memory of the range is not in the frames of the file. */
static int in_other_frames(struct guest *g, const struct census *c, __u64 first, __u64 nr)
{
	__u64 i, pfn;
	int rc;

	for (i = first; i < first + nr; i++) {
		rc = folio_proc_pfn(guest_shared(g, i), &pfn);
		if (rc)
			return rc;
		if (pfn == folio_pfn(census_page(c, i)))
			return -EEXIST;
	}
	return 0;
}

static __u64 *word(struct guest *g, __u64 page)
{
	return guest_shared(g, page);
}

static int shared_holds(struct guest *g, __u64 first, __u64 nr, __u64 pattern)
{
	__u64 i;

	for (i = first; i < first + nr; i++)
		if (*(volatile __u64 *)word(g, i) != pattern + i)
			return -EILSEQ;
	return 0;
}

#define LOW	self->low
#define HIGH	self->high
#define FIRST	variant->first
#define NR	variant->nr
#define END	(FIRST + NR)

FIXTURE_SETUP(td_conversion)
{
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create(&self->g, variant->type, NR_PAGES));
	self->fd = guest_gmem(self->g);
	LOW = FIRST < MARGIN ? 0 : FIRST - MARGIN;
	HIGH = END + MARGIN > NR_PAGES ? NR_PAGES : END + MARGIN;

	/* That it is the page is known by its coming. */
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);
	ASSERT_OK(guest_touch(self->g, FIRST, NR, PRIVATE_DATA));
	if (FIRST) {
		EXPECT_ABSENT(self->fd, 0, FIRST);
	}
	EXPECT_HELD(self->fd, FIRST, NR, 0, 0);
	if (END < NR_PAGES) {
		EXPECT_ABSENT(self->fd, END, NR_PAGES - END);
	}

	ASSERT_OK(guest_touch(self->g, LOW, HIGH - LOW, PRIVATE_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_EQ(HIGH - LOW, census_nr_present(self->before));
	ASSERT_OK(module_agrees(self->g, self->before, LOW, HIGH - LOW, true));
}

FIXTURE_TEARDOWN(td_conversion)
{
	census_free(self->before);
	guest_destroy(self->g);
}

/* The neighbours: where they were, what they were, and the TD's. */
#define EXPECT_NEIGHBOURS() do {						\
	if (FIRST > LOW) {							\
		EXPECT_UNTOUCHED(self->before, LOW, FIRST - LOW);		\
		EXPECT_OK(module_agrees(self->g, self->before, LOW, FIRST - LOW, true)); \
		EXPECT_OK(guest_verify(self->g, LOW, FIRST - LOW, PRIVATE_DATA)); \
	}									\
	if (HIGH > END) {							\
		EXPECT_UNTOUCHED(self->before, END, HIGH - END);		\
		EXPECT_OK(module_agrees(self->g, self->before, END, HIGH - END, true)); \
		EXPECT_OK(guest_verify(self->g, END, HIGH - END, PRIVATE_DATA)); \
	}									\
} while (0)

static int by_host(struct guest *g, __u64 first, __u64 nr, bool private)
{
	return guest_set_private(g, first, nr, private);
}

static int by_guest(struct guest *g, __u64 first, __u64 nr, bool private)
{
	return td_pages(guest_td(g), 0, TD_OP_MAP_GPA, GPA(first), nr, 0,
			private ? 0 : TD_SHARED);
}

/* There and back again. */
static void convert(struct __test_metadata *_metadata, FIXTURE_DATA(td_conversion) *self,
		    const FIXTURE_VARIANT(td_conversion) *variant,
		    int (*by)(struct guest *g, __u64 first, __u64 nr, bool private))
{
	ASSERT_OK(by(self->g, FIRST, NR, false));
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	EXPECT_HELD(self->fd, FIRST, NR, 0, 0);
	EXPECT_OK(module_agrees(self->g, self->before, FIRST, NR, false));
	EXPECT_NEIGHBOURS();

	/* What the guest has there now is the host's as well, both ways. */
	EXPECT_OK(guest_verify_zero(self->g, FIRST, NR));
	ASSERT_OK(guest_touch(self->g, FIRST, NR, SHARED_DATA));
	EXPECT_OK(shared_holds(self->g, FIRST, NR, SHARED_DATA));
	EXPECT_OK(in_other_frames(self->g, self->before, FIRST, NR));
	*word(self->g, FIRST) = HOST_DATA + FIRST;
	EXPECT_OK(guest_verify(self->g, FIRST, 1, HOST_DATA));
	*word(self->g, END - 1) = HOST_DATA + END - 1;
	EXPECT_OK(guest_verify(self->g, END - 1, 1, HOST_DATA));
	EXPECT_HELD(self->fd, FIRST, NR, 0, 0);

	ASSERT_OK(by(self->g, FIRST, NR, true));
	EXPECT_OK(guest_verify_unmapped(self->g, FIRST, NR, PRIVATE_DATA));
	ASSERT_OK(guest_touch(self->g, FIRST, NR, PRIVATE_DATA));
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	EXPECT_HELD(self->fd, LOW, HIGH - LOW, 0, 0);
	EXPECT_OK(module_agrees(self->g, self->before, FIRST, NR, true));
	EXPECT_NEIGHBOURS();
	EXPECT_EQ(HOST_DATA + FIRST, *word(self->g, FIRST));
}

TEST_F(td_conversion, by_the_host_is_of_these_pages)
{
	convert(_metadata, self, variant, by_host);
}

TEST_F(td_conversion, by_the_guest_is_of_these_pages)
{
	REQUIRE(variant->type == GUEST_TDX ? NULL : "only a TD asks for conversions");
	convert(_metadata, self, variant, by_guest);
	EXPECT_LE(2, td_nr_exits(guest_td(self->g), KVM_EXIT_HYPERCALL));
}

/* The hole, and that the guest has it as new. */
#define PUNCH() do {								\
	ASSERT_OK(gmem_punch(self->fd, FIRST, NR));				\
	EXPECT_FREED(self->before, FIRST, NR);					\
	EXPECT_ABSENT(self->fd, FIRST, NR);					\
	EXPECT_NEIGHBOURS();							\
} while (0)

#define EXPECT_NEW() do {							\
	struct census *new;							\
										\
	EXPECT_OK(guest_verify_zero(self->g, FIRST, NR));			\
	EXPECT_HELD(self->fd, FIRST, NR, 0, 0);				\
	ASSERT_OK(census_take(&new, self->fd, FIRST, NR));			\
	EXPECT_OK(module_agrees(self->g, new, FIRST, NR, true));		\
	census_free(new);							\
	EXPECT_NEIGHBOURS();							\
} while (0)

TEST_F(td_conversion, with_a_punch_or_that_alone_is_of_these_pages)
{
	PUNCH();
	EXPECT_NEW();

	/* As QEMU does it. */
	census_free(self->before);
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(guest_set_private(self->g, FIRST, NR, false));
	PUNCH();
	ASSERT_OK(guest_touch(self->g, FIRST, NR, SHARED_DATA));
	EXPECT_OK(shared_holds(self->g, FIRST, NR, SHARED_DATA));
	EXPECT_ABSENT(self->fd, FIRST, NR);
	ASSERT_OK(guest_set_private(self->g, FIRST, NR, true));
	EXPECT_NEW();
}

SUITE(.needs = NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_PAGEMAP)
