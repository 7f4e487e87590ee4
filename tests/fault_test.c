// SPDX-License-Identifier: GPL-2.0-only
/*
 * The n-th thing that a system call needs fails, each one in turn, and then none.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "suite.h"

FIXTURE(fault_test) {
	int fd;
};

FIXTURE_SETUP(fault_test)
{
	self->fd = -1;
	REQUIRE(fault_why_not());
	ASSERT_OK(fault_start());
}

FIXTURE_TEARDOWN(fault_test)
{
	fault_stop();
}

/* memfd_create() needs a descriptor, a name, an inode and a file. */
TEST_F(fault_test, makes_each_fail_and_then_none)
{
	unsigned int n, failed = 0;
	bool hit = true;

	for (n = 1; hit && n < 1000; n++) {
		ASSERT_OK(fault_arm(n));
		self->fd = memfd_create("fault_test", MFD_CLOEXEC);
		if (self->fd < 0) {
			failed++;
			EXPECT_TRUE(errno == ENOMEM || errno == EFAULT);
		} else {
			close(self->fd);
		}
		ASSERT_OK(fault_disarm(&hit));
		if (self->fd < 0) {
			EXPECT_TRUE(hit);
		}
	}
	EXPECT_FALSE(hit);
	EXPECT_LE(0, self->fd);
	EXPECT_LT(3, failed);
}

TEST_F(fault_test, makes_nothing_fail_that_is_not_armed)
{
	bool hit = true;

	ASSERT_OK(fault_arm(1000000));
	self->fd = memfd_create("fault_test", MFD_CLOEXEC);
	EXPECT_LE(0, self->fd);
	ASSERT_OK(fault_disarm(&hit));
	EXPECT_FALSE(hit);
	close(self->fd);
	self->fd = memfd_create("fault_test", MFD_CLOEXEC);
	EXPECT_LE(0, self->fd);
	close(self->fd);
}

SUITE(.needs = NEED_ROOT)
