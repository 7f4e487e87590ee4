// SPDX-License-Identifier: GPL-2.0-only
/*
 * fail-nth makes the n-th fault point fail whatever its probability is, but a fault
 * point that does not look at an allocation does not count it either: hence the
 * settings.  Nothing is armed but by fail-nth, as all probabilities stay 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "host.h"

#define FAIL_NTH	"/proc/thread-self/fail-nth"
#define DEBUGFS		"/sys/kernel/debug/"

static const struct {
	const char *path, *value;
	bool optional;
} settings[] = {
	/* Whether it may sleep. */
	{ DEBUGFS "failslab/ignore-gfp-wait", "N", false },
	{ DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N", false },
	{ DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N", false },
	{ DEBUGFS "fail_page_alloc/min-order", "0", false },
	/* The caller knows what it does; it need not be in the log. */
	{ DEBUGFS "failslab/verbose", "0", false },
	{ DEBUGFS "fail_page_alloc/verbose", "0", false },
	{ DEBUGFS "fail_usercopy/verbose", "0", true },
};

#define NR_SETTINGS (sizeof(settings) / sizeof(*settings))

static __thread int fail_nth = -1;

const char *fault_why_not(void)
{
	static char why[200];
	unsigned int i;
	int err;

	if (access(FAIL_NTH, R_OK | W_OK)) {
		snprintf(why, sizeof(why), "this kernel cannot make allocations fail (%s: %s): build it with CONFIG_FAULT_INJECTION=y, CONFIG_FAILSLAB=y and CONFIG_FAIL_PAGE_ALLOC=y",
			 FAIL_NTH, strerror(errno));
		return why;
	}
	for (i = 0; i < NR_SETTINGS; i++) {
		err = settings[i].optional ? 0 : host_may_set(settings[i].path);
		if (!err)
			continue;
		snprintf(why, sizeof(why), "cannot say which allocations are to fail (%s: %s): build the kernel with CONFIG_FAULT_INJECTION_DEBUG_FS=y and mount debugfs",
			 settings[i].path, strerror(-err));
		return why;
	}
	return NULL;
}

int fault_start(void)
{
	unsigned int i;
	int err;

	for (i = 0; i < NR_SETTINGS; i++) {
		err = host_set(settings[i].path, settings[i].value);
		if (err && !(err == -ENOENT && settings[i].optional)) {
			fault_stop();
			return err;
		}
	}
	return 0;
}

int fault_stop(void)
{
	unsigned int i;
	int err = 0, rc;

	for (i = 0; i < NR_SETTINGS; i++) {
		rc = host_restore(settings[i].path);
		if (rc && rc != -ENOENT)
			err = err ?: rc;
	}
	if (fail_nth >= 0)
		close(fail_nth);
	fail_nth = -1;
	return err;
}

static int write_nth(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	return pwrite(fail_nth, text, len, 0) == len ? 0 : -errno;
}

int fault_arm(unsigned int n)
{
	if (fail_nth < 0)
		fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (fail_nth < 0)
		return -errno;
	return write_nth(n);
}

/*
 * To ask is a copy to user space, and to disarm one from there.  They are counted too,
 * and one of them may be the one that fails: then nothing before it did.
 */
int fault_disarm(bool *hit)
{
	char text[16] = "";

	*hit = false;
	if (pread(fail_nth, text, sizeof(text) - 1, 0) < 0)
		return errno == EFAULT ? 0 : -errno;
	*hit = !atoi(text);
	if (*hit || !write_nth(0))
		return 0;
	return errno == EFAULT ? 0 : -errno;
}
