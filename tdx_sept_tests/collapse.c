// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nobody puts a huge page in the place of a guest_memfd's small ones: neither who asks
 * for it nor khugepaged, however many are mapped side by side and aligned.
 *
 * Mutants: collapsed.
 *
 * Claims: C1, B18
 */
#include <sys/mman.h>
#include <unistd.h>

#include "gmem.h"
#include "pressure.h"
#include "room.h"
#include "suite.h"

#define PAGE_BYTES	4096ull
#define PAGES_2M	512ull
#define NR_PAGES	(2 * PAGES_2M)
#define BYTES		(NR_PAGES * PAGE_BYTES)
#define BYTES_2M	(PAGES_2M * PAGE_BYTES)
#define DATA		0xc011000000000000ull

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

FIXTURE(collapse) {
	struct guest *g;
	int fd;
	char *map;
	struct census *before;
};

FIXTURE_VARIANT(collapse) {
	bool in_guest;		/* a vCPU has them, too */
	bool clean;		/* nobody has written to them: dirty ones are safer */
};

FIXTURE_VARIANT_ADD(collapse, default) {};
FIXTURE_VARIANT_ADD(collapse, default_in_guest) { .in_guest = true };
FIXTURE_VARIANT_ADD(collapse, default_clean) { .clean = true };

static __u64 word_of(const FIXTURE_VARIANT(collapse) *variant, __u64 page)
{
	return variant->clean ? 0 : DATA + page;
}

FIXTURE_SETUP(collapse)
{
	__u64 i;

	REQUIRE(guest_why_not(GUEST_DEFAULT));
	ASSERT_OK(guest_create(&self->g, GUEST_DEFAULT, NR_PAGES));
	self->fd = guest_gmem(self->g);
	if (variant->in_guest) {
		ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, DATA));
	}
	self->map = room_2m(BYTES);
	ASSERT_NE(NULL, self->map);
	ASSERT_EQ(self->map, mmap(self->map, BYTES, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, self->fd, 0));
	for (i = 0; i < NR_PAGES; i++) {
		if (!variant->clean)
			*(volatile __u64 *)(self->map + i * PAGE_BYTES) = DATA + i;
		ASSERT_EQ(word_of(variant, i), *(volatile __u64 *)(self->map + i * PAGE_BYTES));
	}
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
}

FIXTURE_TEARDOWN(collapse)
{
	census_free(self->before);
	if (self->map)
		munmap(self->map, BYTES);
	guest_destroy(self->g);
}

/* Where they were, and small. */
#define EXPECT_SMALL() do {						\
	struct census *__now;						\
	__u64 __i, __large = 0;						\
									\
	for (__i = 0; __i < NR_PAGES; __i++)				\
		EXPECT_EQ(word_of(variant, __i),			\
			  *(volatile __u64 *)(self->map + __i * PAGE_BYTES)); \
	ASSERT_OK(census_take(&__now, self->fd, 0, NR_PAGES));		\
	for (__i = 0; __i < NR_PAGES; __i++)				\
		__large += folio_order(census_page(__now, __i)) > 0;	\
	census_free(__now);						\
	EXPECT_EQ(0, __large);						\
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);			\
	if (variant->in_guest) {					\
		EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, DATA));	\
	}								\
} while (0)

static int collapse(char *addr, __u64 bytes)
{
	return madvise(addr, bytes, MADV_COLLAPSE) ? -errno : 0;
}

/* The same of memory that may be: a memfd, mapped as the guest_memfd is. */
static int collapse_a_memfd(void)
{
	int fd = memfd_create("collapse", MFD_CLOEXEC), rc;
	char *map = room_2m(BYTES_2M);

	if (fd < 0 || !map || ftruncate(fd, BYTES_2M))
		return -errno;
	if (mmap(map, BYTES_2M, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != map ||
	    madvise(map, BYTES_2M, MADV_POPULATE_WRITE))
		rc = -errno;
	else
		rc = collapse(map, BYTES_2M);
	munmap(map, BYTES_2M);
	close(fd);
	return rc;
}

TEST_F(collapse, is_not_to_be_had)
{
	REQUIRE(collapse_a_memfd() ? "MADV_COLLAPSE does not collapse a memfd here, either" : NULL);
	EXPECT_ERR(EINVAL, collapse(self->map, BYTES));
	EXPECT_SMALL();
	EXPECT_ERR(EINVAL, collapse(self->map, BYTES_2M));
	EXPECT_SMALL();
}

TEST_F(collapse, is_not_what_khugepaged_does)
{
	bool collapsed;
	int rc;

	/* Whether it takes the advice is not the question. */
	madvise(self->map, BYTES, MADV_HUGEPAGE);
	rc = pressure_khugepaged(3000, &collapsed);
	REQUIRE(rc == -EOPNOTSUPP ? "this kernel has no khugepaged" :
		rc == -ETIMEDOUT ? "khugepaged did not come round in 3 s: there is much for it to do" :
		NULL);
	ASSERT_OK(rc);
	EXPECT_SMALL();
	REQUIRE(collapsed ? NULL : "khugepaged has collapsed nothing, not even what it may");
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .serial = true)
