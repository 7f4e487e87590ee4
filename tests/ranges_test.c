// SPDX-License-Identifier: GPL-2.0-only
/*
 * A set of ranges has what was put into it and not taken out since, and keeps
 * itself in order.
 */
#include <stdlib.h>

#include "ranges.h"
#include "suite.h"

#define NR	64	/* numbers that are looked at */

FIXTURE(ranges_test) {
	struct ranges set;
	bool in[NR];		/* what should be in it */
};

FIXTURE_SETUP(ranges_test)
{
}

FIXTURE_TEARDOWN(ranges_test)
{
	ranges_free(&self->set);
}

static void put(FIXTURE_DATA(ranges_test) *self, unsigned int begin, unsigned int end, bool in)
{
	if (ranges_set(&self->set, begin, end, in))
		abort();
	for (; begin < end; begin++)
		self->in[begin] = in;
}

/* The set is what it should be, and as short as it can be. */
static int check(FIXTURE_DATA(ranges_test) *self)
{
	unsigned int at, up_to, nr = 0, i;
	__u64 end;

	for (at = 0; at < NR; at++) {
		end = NR;
		if (ranges_has(&self->set, at, &end) != self->in[at])
			return -EILSEQ;
		for (up_to = at + 1; up_to < NR && self->in[up_to] == self->in[at]; up_to++)
			;
		if (end != up_to)
			return -ERANGE;
		nr += self->in[at] && (!at || !self->in[at - 1]);
	}
	for (i = 1; i < self->set.nr; i++)
		if (self->set.list[i].begin <= self->set.list[i - 1].end)
			return -EUCLEAN;
	return nr == self->set.nr ? 0 : -E2BIG;
}

TEST_F(ranges_test, has_nothing_at_first)
{
	EXPECT_OK(check(self));
}

TEST_F(ranges_test, has_what_was_put_into_it)
{
	put(self, 10, 20, true);
	EXPECT_OK(check(self));
	put(self, 30, 40, true);
	EXPECT_OK(check(self));
	put(self, 20, 30, true);
	EXPECT_OK(check(self));
	put(self, 5, 50, true);
	EXPECT_OK(check(self));
	EXPECT_EQ(1, self->set.nr);
}

TEST_F(ranges_test, has_not_what_was_taken_out)
{
	put(self, 10, 40, true);
	put(self, 20, 30, false);
	EXPECT_OK(check(self));
	put(self, 15, 20, false);
	EXPECT_OK(check(self));
	put(self, 0, NR, false);
	EXPECT_OK(check(self));
	EXPECT_EQ(0, self->set.nr);
}

TEST_F(ranges_test, is_not_changed_by_nothing)
{
	put(self, 10, 20, true);
	put(self, 15, 15, false);
	put(self, 30, 30, true);
	EXPECT_OK(check(self));
}

TEST_F(ranges_test, holds_the_largest_numbers)
{
	__u64 end = ~0ull;

	ASSERT_OK(ranges_set(&self->set, ~0ull - 10, ~0ull, true));
	EXPECT_TRUE(ranges_has(&self->set, ~0ull - 1, &end));
	EXPECT_EQ(~0ull, end);
	EXPECT_FALSE(ranges_has(&self->set, ~0ull - 11, &end));
	EXPECT_EQ(~0ull - 10, end);
}

TEST_F(ranges_test, follows_whatever_is_done)
{
	unsigned int random = supervise_seed(), begin, end, i;

	for (i = 0; i < 20000; i++) {
		begin = rand_r(&random) % NR;
		end = begin + rand_r(&random) % (NR - begin + 1);
		put(self, begin, end, rand_r(&random) & 1);
		if (check(self))
			break;
	}
	EXPECT_EQ(20000, i);
}

SUITE()
