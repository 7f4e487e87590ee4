// SPDX-License-Identifier: GPL-2.0-only
/* A busy thread has been at work when it is said to be, and its failure is told. */
#include <errno.h>

#include "kselftest_harness.h"

#include "busy.h"

struct work {
	unsigned int done;
	bool fails;
};

static int work(void *arg)
{
	struct work *w = arg;

	__atomic_add_fetch(&w->done, 1, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&w->fails, __ATOMIC_SEQ_CST) ? -EILSEQ : 0;
}

static unsigned int done(struct work *w)
{
	return __atomic_load_n(&w->done, __ATOMIC_SEQ_CST);
}

TEST(is_at_work_from_the_first)
{
	struct work w = {};
	unsigned int before;
	struct busy b;

	ASSERT_EQ(0, busy_start(&b, work, &w));
	EXPECT_LE(1, done(&w));
	before = done(&w);
	EXPECT_EQ(0, busy_wait(&b, 5));
	EXPECT_LE(before + 4, done(&w));	/* one may have been on its way */
	EXPECT_EQ(0, busy_end(&b));
}

TEST(says_what_it_has_failed_with)
{
	struct work w = {};
	struct busy b;

	ASSERT_EQ(0, busy_start(&b, work, &w));
	__atomic_store_n(&w.fails, true, __ATOMIC_SEQ_CST);
	EXPECT_EQ(-EILSEQ, busy_wait(&b, 0));
	EXPECT_EQ(-EILSEQ, busy_wait(&b, 1));
	EXPECT_EQ(-EILSEQ, busy_end(&b));
}

TEST(says_that_the_first_has_failed)
{
	struct work w = { .fails = true };
	struct busy b;

	EXPECT_EQ(-EILSEQ, busy_start(&b, work, &w));
	EXPECT_EQ(-EILSEQ, busy_end(&b));
	EXPECT_EQ(1, done(&w));
}

TEST_HARNESS_MAIN
