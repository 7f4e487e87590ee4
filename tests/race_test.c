// SPDX-License-Identifier: GPL-2.0-only
/*
 * A race lets its roles act at the same time, judges what came of it by name, and
 * notices those that do not come back.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "clock.h"
#include "race.h"
#include "suite.h"

#define ROUNDS	50

FIXTURE(race_test) {
	struct race *race;
	atomic_uint in, most, winner;
	atomic_bool stuck;
	unsigned int prepared;
};

FIXTURE_SETUP(race_test)
{
	REQUIRE(race_why_not());
}

FIXTURE_TEARDOWN(race_test)
{
	race_end(self->race);
}

static void spend_us(unsigned int us)
{
	const __u64 end = clock_ns() + us * 1000ull;

	while (clock_ns() < end)
		;
}

/* How many are in here at once? */
static int meets(FIXTURE_DATA(race_test) *self, unsigned int us)
{
	unsigned int in = atomic_fetch_add(&self->in, 1) + 1;

	if (in > atomic_load(&self->most))
		atomic_store(&self->most, in);
	spend_us(us);
	atomic_fetch_sub(&self->in, 1);
	return 0;
}

static int is_short(void *world, unsigned int me __maybe_unused)
{
	return meets(world, 20);
}

static int is_long(void *world, unsigned int me __maybe_unused)
{
	return meets(world, 500);
}

/* One gets it. */
static int grabs(void *world, unsigned int me)
{
	FIXTURE_DATA(race_test) *self = world;
	unsigned int nobody = 0;

	spend_us(20);
	return atomic_compare_exchange_strong(&self->winner, &nobody, me + 1) ? 0 : -EBUSY;
}

static int hangs(void *world, unsigned int me __maybe_unused)
{
	FIXTURE_DATA(race_test) *self = world;

	while (!atomic_load(&self->stuck))
		spend_us(10);
	return 0;
}

static int counts(void *world, unsigned int me __maybe_unused)
{
	FIXTURE_DATA(race_test) *self = world;

	self->prepared++;
	return 0;
}

static int refuses(void *world __maybe_unused, unsigned int me __maybe_unused)
{
	return -ENOMEM;
}

static const struct race_role short_role = { .name = "short", .act = is_short, .allowed = "0" };
static const struct race_role long_role = { .name = "long", .act = is_long, .allowed = "0" };
static const struct race_role grab_role = { .name = "grab", .act = grabs, .allowed = "0 EBUSY" };
static const struct race_role never_busy = { .name = "grab", .act = grabs, .allowed = "0" };
static const struct race_role hang_role = { .name = "hang", .act = hangs, .allowed = "0" };
static const struct race_role prepared = {
	.name = "prepared", .prepare = counts, .act = is_short, .allowed = "0",
};
static const struct race_role unprepared = {
	.name = "unprepared", .prepare = refuses, .act = is_short, .allowed = "0",
};

/* To its end.  Returns what race_go() said last. */
static int hold(FIXTURE_DATA(race_test) *self, const struct race_plan *plan)
{
	int rc = race_start(&self->race, plan);

	while (!rc && race_next(self->race)) {
		atomic_store(&self->winner, 0);
		rc = race_go(self->race, self);
	}
	return rc;
}

TEST_F(race_test, has_roles_meet_whatever_their_lengths)
{
	const struct race_plan plan = {
		.roles = { &short_role, &long_role }, .nr = 2, .rounds = ROUNDS,
	};

	ASSERT_OK(hold(self, &plan));
	EXPECT_RACE(self->race);
	EXPECT_EQ(2, self->most);
	EXPECT_EQ(ROUNDS, race_round(self->race));
}

TEST_F(race_test, prepares_roles_before_each_round)
{
	const struct race_plan plan = {
		.roles = { &prepared, &prepared }, .nr = 2, .rounds = ROUNDS,
	};

	ASSERT_OK(hold(self, &plan));
	EXPECT_EQ(2 * ROUNDS, self->prepared);
}

TEST_F(race_test, is_off_if_a_role_cannot_be_prepared)
{
	const struct race_plan plan = {
		.roles = { &short_role, &unprepared }, .nr = 2, .rounds = ROUNDS,
	};

	ASSERT_ERR(ENOMEM, hold(self, &plan));
	EXPECT_EQ(0, race_round(self->race));
}

TEST_F(race_test, allows_the_outcomes_that_it_is_told)
{
	const struct race_plan plan = {
		.roles = { &grab_role, &grab_role }, .nr = 2, .rounds = ROUNDS,
		.allowed = "0 EBUSY, EBUSY 0",
	};

	ASSERT_OK(hold(self, &plan));
	EXPECT_RACE(self->race);
}

TEST_F(race_test, allows_no_other_tuple)
{
	const struct race_plan plan = {
		.roles = { &grab_role, &grab_role }, .nr = 2, .rounds = ROUNDS,
		.allowed = "0 0, EBUSY EBUSY",
	};
	struct finding f;

	ASSERT_OK(hold(self, &plan));
	ASSERT_EQ(1, race_check(self->race, &f));
	EXPECT_STREQ("outcome", f.invariant);
	EXPECT_NE(NULL, strstr(f.text, "round 0, allowed: 0 0, EBUSY EBUSY"));
}

TEST_F(race_test, allows_no_outcome_that_a_role_does_not)
{
	const struct race_plan plan = {
		.roles = { &never_busy, &never_busy }, .nr = 2, .rounds = ROUNDS,
	};
	struct finding f;

	ASSERT_OK(hold(self, &plan));
	EXPECT_EQ(1, race_check(self->race, &f));
	EXPECT_STREQ("outcome", f.invariant);
}

TEST_F(race_test, ends_with_a_role_that_hangs)
{
	const struct race_plan plan = {
		.roles = { &short_role, &hang_role }, .nr = 2, .rounds = ROUNDS, .hang_ms = 100,
	};
	struct finding f;

	ASSERT_ERR(ETIMEDOUT, hold(self, &plan));
	EXPECT_EQ(1, race_check(self->race, &f));
	EXPECT_STREQ("progress", f.invariant);
	EXPECT_NE(NULL, strstr(f.text, "hang not back after 100 ms in round 0"));
	EXPECT_EQ(false, race_next(self->race));
	EXPECT_EQ(false, race_end(self->race));
	self->race = NULL;
	atomic_store(&self->stuck, true);
}

TEST_F(race_test, that_was_not_held_is_none)
{
	const struct race_plan plan = {
		.roles = { &short_role, &long_role }, .nr = 2, .rounds = ROUNDS,
	};
	struct finding f;

	ASSERT_OK(race_start(&self->race, &plan));
	EXPECT_EQ(-ENODATA, race_check(self->race, &f));
	EXPECT_STREQ("overlap", f.invariant);
}

TEST_F(race_test, draws_the_same_from_the_same_seed)
{
	const struct race_plan plan = {
		.roles = { &short_role, &long_role }, .nr = 2, .rounds = 3,
	};
	__u64 drawn[2][2];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		ASSERT_OK(race_start(&self->race, &plan));
		ASSERT_TRUE(race_next(self->race));
		drawn[i][0] = race_random(self->race, 1ull << 40);
		ASSERT_OK(race_go(self->race, self));
		ASSERT_TRUE(race_next(self->race));
		drawn[i][1] = race_random(self->race, 1ull << 40);
		race_end(self->race);
		self->race = NULL;
	}
	EXPECT_EQ(drawn[0][0], drawn[1][0]);
	EXPECT_EQ(drawn[0][1], drawn[1][1]);
	EXPECT_NE(drawn[0][0], drawn[0][1]);
}

TEST_F(race_test, has_as_many_rounds_as_sept_rounds_says)
{
	setenv("SEPT_ROUNDS", "7", 1);
	EXPECT_EQ(7, race_rounds());
}

SUITE(.seconds = 20)
