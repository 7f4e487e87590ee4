/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FAULT_H
#define FAULT_H

#include <stdbool.h>

/**
 * DOC: fault
 *
 * Let the n-th thing fail that a system call needs: an allocation of slab memory or of
 * pages, or a copy to or from user space (then it gives EFAULT).  The kernel counts
 * them per thread, so nobody else notices.
 *
 *	ASSERT_OK(fault_start());
 *	for (n = 1, hit = true; hit; n++) {
 *		prepare();
 *		ASSERT_OK(fault_arm(n));
 *		rc = try();
 *		ASSERT_OK(fault_disarm(&hit));
 *		...
 *	}
 *	EXPECT_OK(fault_stop());
 *
 * A loop ends with the first round in which nothing was hit, and which therefore must
 * succeed.
 *
 * Documentation/fault-injection/fault-injection.rst: failslab, fail_page_alloc,
 * /proc/PID/task/TID/fail-nth.
 *
 * Errors: 0 or -errno.
 */

/* Why nothing can be made to fail here, in one sentence, or NULL.  Static storage. */
const char *fault_why_not(void);

/* Let all allocations be counted, whatever they are for.  Undone by host.h, too. */
int fault_start(void);
int fault_stop(void);

/* From here on: let the @n-th of the calling thread fail, and then no more.  From 1. */
int fault_arm(unsigned int n);

/* Up to here.  @hit receives whether it came to that. */
int fault_disarm(bool *hit);

#endif
