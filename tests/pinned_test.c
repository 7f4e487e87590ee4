// SPDX-License-Identifier: GPL-2.0-only
/*
 * lib/pinned.c: what is said goes before what is seen; nothing is taken off pages that
 * no S-EPT maps.  What becomes of pages that one does map, tests of TDs show on a kernel
 * with configs/kernel/patches/pin-mapped-pages.patch.
 */
#include <sys/mman.h>

#include "gmem.h"
#include "guest.h"
#include "pinned.h"
#include "sept.h"
#include "suite.h"

FIXTURE(pinned_test) {
};

FIXTURE_SETUP(pinned_test)
{
	unsetenv("SEPT_VERDICT_FD");
	unsetenv("SEPT_EXPECT_PIN");
}

FIXTURE_TEARDOWN(pinned_test)
{
}

TEST_F(pinned_test, expects_what_it_is_told_to)
{
	REQUIRE(guest_why_not(GUEST_TDX));
	setenv("SEPT_EXPECT_PIN", "1", 1);
	EXPECT_EQ(1, pinned_expected());
	setenv("SEPT_EXPECT_PIN", "0", 1);
	EXPECT_EQ(0, pinned_expected());
}

TEST_F(pinned_test, expects_nothing_where_there_are_no_tds)
{
	if (!guest_why_not(GUEST_TDX))
		SKIP(return, "there are TDs here");
	EXPECT_EQ(0, pinned_expected());
	setenv("SEPT_EXPECT_PIN", "1", 1);
	EXPECT_EQ(0, pinned_expected());
}

TEST_F(pinned_test, takes_nothing_off_pages_that_no_td_has)
{
	struct folio_record recs[2];
	struct guest *g;
	__u32 refs;
	int fd;

	REQUIRE(need_join(guest_why_not(GUEST_TDX), guest_why_not(GUEST_DEFAULT),
			  need_why_not(NEED_REFCOUNT), NEED_END));
	setenv("SEPT_EXPECT_PIN", "1", 1);
	ASSERT_OK(guest_create(&g, GUEST_DEFAULT, 2));
	fd = guest_gmem(g);
	ASSERT_OK(guest_touch(g, 0, 2, 0));
	ASSERT_OK(folio_by_file(fd, 0, 2, recs, NULL));
	refs = recs[0].refs;
	ASSERT_OK(pinned_discount(fd, recs, 2));
	EXPECT_EQ(refs, recs[0].refs);
	EXPECT_HELD(fd, 0, 2, guest_touch_maps(g), 0);
	guest_destroy(g);

	fd = memfd_create("x", 0);
	ASSERT_SYS(fd);
	EXPECT_OK(pinned_discount(fd, recs, 2));
	close(fd);
}

TEST_F(pinned_test, takes_it_off_pages_that_the_s_ept_maps_and_no_others)
{
	struct sept sept;
	struct census *c;
	struct guest *g;
	char why[200];
	int fd, i;

	REQUIRE(need_join(guest_why_not(GUEST_TDX), need_why_not(NEED_REFCOUNT), NEED_END));
	setenv("SEPT_EXPECT_PIN", "0", 1);
	ASSERT_OK(guest_create(&g, GUEST_TDX, 1024));
	fd = guest_gmem(g);
	ASSERT_OK(gmem_allocate(fd, 500, 24));
	ASSERT_OK(guest_touch(g, 508, 8, 0));
	ASSERT_OK(census_take(&c, fd, 500, 24));
	ASSERT_OK(sept_read(fd, &sept, why, sizeof(why)));
	for (i = 500; i < 524; i++)
		EXPECT_EQ(i >= 508 && i < 516, sept_maps(&sept, folio_pfn(census_page(c, i))));
	sept_free(&sept);
	ASSERT_OK(gmem_punch(fd, 510, 1));
	ASSERT_OK(sept_read(fd, &sept, why, sizeof(why)));
	EXPECT_TRUE(sept_maps(&sept, folio_pfn(census_page(c, 509))));
	EXPECT_FALSE(sept_maps(&sept, folio_pfn(census_page(c, 510))));
	sept_free(&sept);
	census_free(c);
	unsetenv("SEPT_EXPECT_PIN");
	EXPECT_HELD(fd, 500, 10, 0, 0);
	EXPECT_HELD(fd, 511, 13, 0, 0);
	guest_destroy(g);
}

TEST_F(pinned_test, says_why_there_is_nothing_to_look_at)
{
	struct pinned_control seen = {};
	char why[400] = "";

	if (!guest_why_not(GUEST_TDX))
		SKIP(return, "there are TDs here");
	EXPECT_ERR(ENODEV, pinned_look(&seen, why, sizeof(why)));
	EXPECT_STREQ(guest_why_not(GUEST_TDX), why);
}

TEST_F(pinned_test, sees_the_control_page_of_a_td)
{
	struct pinned_control seen = {};
	char why[400];

	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(pinned_look(&seen, why, sizeof(why)));
	EXPECT_EQ(1, seen.unmapped);
	EXPECT_EQ(seen.mapped - seen.unmapped, pinned_expected());
}

SUITE()
