// SPDX-License-Identifier: GPL-2.0-only
/*
 * What stands behind libkvm's TEST_ASSERT(), in place of its lib/assert.c.
 *
 * That one ends the process as *skipped* when errno happens to be EACCES while
 * an assertion fails, so that a true failure reads as a missing permission.
 * Here a failed assertion is a failure, always.
 */
#include <execinfo.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "test_util.h"

#include "finding.h"
#include "supervise.h"

#define FRAMES_MAX	24

static void __attribute__((noinline)) print_backtrace(void)
{
	void *frames[FRAMES_MAX];
	int i, nr = backtrace(frames, FRAMES_MAX);

	/* This function and test_assert() itself say nothing. */
	if (nr <= 2) {
		fprintf(stderr, "#   no backtrace\n");
		return;
	}
	fprintf(stderr, "#   called from (addr2line -fpie %s)", program_invocation_name);
	/* A return address may already belong to the next line. */
	for (i = 2; i < nr; i++)
		fprintf(stderr, " %#lx", (unsigned long)frames[i] - 1);
	fputc('\n', stderr);
}

void __attribute__((noinline))
test_assert(bool exp, const char *exp_str, const char *file, unsigned int line,
	    const char *fmt, ...)
{
	const char *base, *name;
	struct finding f;
	char where[128];
	char said[256];
	va_list ap;
	int err;

	if (exp)
		return;

	err = errno;
	said[0] = '\0';
	if (fmt) {
		va_start(ap, fmt);
		vsnprintf(said, sizeof(said), fmt, ap);
		va_end(ap);
	}
	base = strrchr(file, '/');
	name = strerrorname_np(err);
	snprintf(where, sizeof(where), "%s:%u", base ? base + 1 : file, line);

	fprintf(stderr, "# %s:%u: assertion failed: %s\n"
			"#   pid %d tid %ld errno %d (%s: %s)\n",
		file, line, exp_str, getpid(), syscall(SYS_gettid), err,
		name ? name : "?", strerror(err));
	print_backtrace();
	if (*said)
		fprintf(stderr, "#   %s\n", said);

	finding_set(&f, "assertion", "%s%s%s (errno %d, %s)", exp_str,
		    *said ? ": " : "", said, err, name ? name : "?");
	supervise_failed(&f, where);
	fflush(NULL);

	/* Not exit(): the handlers of the process that forked are not this one's. */
	_exit(SUPERVISE_FAIL);
}
