// SPDX-License-Identifier: GPL-2.0-only
/*
 * A trend tells a leak from noise and from a cache that fills up.
 */
#include <stdlib.h>

#include "suite.h"
#include "trend.h"

#define ROUNDS	48
#define MOST	0.4

FIXTURE(trend_test) {
	struct trend t;
	struct finding f;
	unsigned int random;
};

FIXTURE_SETUP(trend_test)
{
	self->random = supervise_seed();
}

FIXTURE_TEARDOWN(trend_test)
{
	trend_free(&self->t);
}

TEST_F(trend_test, of_a_leak_in_each_round_is_one)
{
	int i;

	for (i = 0; i < 1000; i++)
		ASSERT_OK(trend_add(&self->t, 1e9 + i));
	ASSERT_EQ(1000, (long)(1000 * trend_slope(&self->t, 0, 1000) + 0.5));
	ASSERT_EQ(1, trend_check_level(&self->t, "pages", MOST, &self->f));
	ASSERT_NE(NULL, strstr(self->f.text, "climbs by 1.000"));
}

TEST_F(trend_test, of_a_leak_in_every_other_round_is_seen)
{
	int i;

	for (i = 0; i < ROUNDS; i++)
		trend_add(&self->t, i / 2 + rand_r(&self->random) % 2);
	ASSERT_EQ(1, trend_check_level(&self->t, "pages", MOST, &self->f));
}

TEST_F(trend_test, of_noise_is_none)
{
	int i;

	for (i = 0; i < ROUNDS; i++)
		trend_add(&self->t, 1000 + rand_r(&self->random) % 8);
	ASSERT_EQ(0, trend_check_level(&self->t, "pages", MOST, &self->f));
}

TEST_F(trend_test, of_a_step_is_none)
{
	int i, at = 1 + rand_r(&self->random) % (ROUNDS - 1);

	for (i = 0; i < ROUNDS; i++)
		trend_add(&self->t, i < at ? 0 : 200);
	ASSERT_EQ(0, trend_check_level(&self->t, "pages", MOST, &self->f));
}

TEST_F(trend_test, of_what_sinks_is_none)
{
	int i;

	for (i = 0; i < ROUNDS; i++)
		trend_add(&self->t, -i);
	ASSERT_EQ(0, trend_check_level(&self->t, "pages", MOST, &self->f));
}

TEST_F(trend_test, of_few_values_is_not_judged)
{
	int i;

	ASSERT_EQ(0, trend_check_level(&self->t, "pages", MOST, &self->f));
	for (i = 0; i < TREND_ROUNDS - 1; i++)
		trend_add(&self->t, i);
	ASSERT_EQ(0, trend_check_level(&self->t, "pages", MOST, &self->f));
	trend_add(&self->t, i);
	ASSERT_EQ(1, trend_check_level(&self->t, "pages", MOST, &self->f));
}

SUITE(.needs = 0)
