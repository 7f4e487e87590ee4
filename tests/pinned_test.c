// SPDX-License-Identifier: GPL-2.0-only
/*
 * lib/pinned.c: what is said goes before what is seen; and where nothing can be seen,
 * a case that asks is an ERROR, not one that expects nothing.
 */
#include <sys/mman.h>

#include "pinned.h"
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
	setenv("SEPT_EXPECT_PIN", "1", 1);
	EXPECT_EQ(1, pinned_refs());
	setenv("SEPT_EXPECT_PIN", "0", 1);
	EXPECT_EQ(0, pinned_refs());
}

TEST_F(pinned_test, expects_nothing_of_other_guests)
{
	struct guest *g;

	REQUIRE(guest_why_not(GUEST_DEFAULT));
	ASSERT_OK(guest_create(&g, GUEST_DEFAULT, 1));
	setenv("SEPT_EXPECT_PIN", "1", 1);
	EXPECT_EQ(0, pinned_extra(g));
	guest_destroy(g);
}

static int ask(void *arg)
{
	supervise_checked();
	*(unsigned int *)arg = pinned_refs();
	return SUPERVISE_PASS;
}

TEST_F(pinned_test, is_an_error_where_it_cannot_look)
{
	struct supervised s;
	unsigned int *refs;

	if (!guest_why_not(GUEST_TDX))
		SKIP(return, "there are TDs here");
	refs = mmap(NULL, sizeof(*refs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, refs);
	*refs = 7;
	setenv("SEPT_EXPECT_PIN", "auto", 1);
	supervise("asks", 10, ask, refs, &s);
	EXPECT_EQ(0, *refs);
	EXPECT_EQ(VERDICT_ERROR, s.verdict);
	EXPECT_NE(NULL, strstr(s.reason, "cannot tell whether this kernel holds what the S-EPT maps: "));
	EXPECT_NE(NULL, strstr(s.reason, "TDX"));
}

TEST_F(pinned_test, sees_the_control_page_of_a_td)
{
	struct pinned_control seen = {};
	char why[400];

	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(pinned_look(&seen, why, sizeof(why)));
	EXPECT_EQ(1, seen.unmapped);
	EXPECT_EQ(1, pinned_refs() + seen.unmapped == seen.mapped);
}

SUITE()
