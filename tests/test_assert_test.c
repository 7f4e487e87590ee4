// SPDX-License-Identifier: GPL-2.0-only
/*
 * A failed assertion of libkvm is a failure, whatever errno happens to be.
 *
 * libkvm's own test_assert() ends the process as skipped if that is EACCES.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "suite.h"

/* From libkvm's test_util.h, which does not go with the harness. */
void test_assert(bool exp, const char *exp_str, const char *file, unsigned int line,
		 const char *fmt, ...) __attribute__((format(printf, 5, 6)));

FIXTURE(test_assert_test) {
	struct supervised s;
	int said;		/* what the case wrote to stderr */
};

FIXTURE_SETUP(test_assert_test)
{
	unsetenv("SEPT_VERDICT_FD");
	self->said = memfd_create("stderr", MFD_CLOEXEC);
	ASSERT_LE(0, self->said);
}

FIXTURE_TEARDOWN(test_assert_test)
{
	close(self->said);
}

struct assertion {
	int said, err;
	bool holds;
};

static int asserts(void *arg)
{
	struct assertion *a = arg;

	dup2(a->said, STDERR_FILENO);
	supervise_checked();
	errno = a->err;
	test_assert(a->holds, "one == two", "some/where/x.c", 42, "one is %d", 1);
	return SUPERVISE_PASS;
}

#define ASSERTION(...) \
	supervise("a.b.c", 5, asserts, &(struct assertion){ self->said, __VA_ARGS__ }, &self->s)

TEST_F(test_assert_test, that_fails_with_eacces_is_no_skip)
{
	ASSERTION(.err = EACCES, .holds = false);
	EXPECT_EQ(VERDICT_FAIL, self->s.verdict);
	EXPECT_NE(NULL, strstr(self->s.reason, "x.c:42"));
	EXPECT_NE(NULL, strstr(self->s.reason, "one == two: one is 1"));
	EXPECT_NE(NULL, strstr(self->s.reason, "EACCES"));
}

TEST_F(test_assert_test, that_fails_with_any_errno_fails)
{
	static const int errs[] = { 0, EPERM, ENOENT, EIO, ENOMEM, 9999 };
	unsigned int i;

	for (i = 0; i < sizeof(errs) / sizeof(*errs); i++) {
		ASSERTION(.err = errs[i], .holds = false);
		EXPECT_EQ(VERDICT_FAIL, self->s.verdict);
	}
}

TEST_F(test_assert_test, that_holds_changes_nothing)
{
	char byte;

	ASSERTION(.err = EACCES, .holds = true);
	EXPECT_EQ(VERDICT_PASS, self->s.verdict);
	EXPECT_EQ(0, pread(self->said, &byte, 1, 0));
}

TEST_F(test_assert_test, that_fails_tells_where_what_and_why)
{
	char said[4096] = "";

	ASSERTION(.err = EACCES, .holds = false);
	ASSERT_LT(0, pread(self->said, said, sizeof(said) - 1, 0));
	EXPECT_NE(NULL, strstr(said, "# some/where/x.c:42: assertion failed: one == two\n"));
	EXPECT_NE(NULL, strstr(said, "pid "));
	EXPECT_NE(NULL, strstr(said, "errno 13 (EACCES: Permission denied)"));
	EXPECT_NE(NULL, strstr(said, "called from (addr2line -fpie "));
	EXPECT_NE(NULL, strstr(said, "one is 1"));
}

SUITE(.seconds = 5)
