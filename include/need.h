/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef NEED_H
#define NEED_H

/**
 * DOC: need
 *
 * What a test needs of the host, asked of the host itself and never of version
 * numbers.  All unmet needs are told at once.
 */
enum {
	NEED_ROOT	= 1 << 0,	/* CAP_SYS_ADMIN */
	NEED_KVM	= 1 << 1,	/* /dev/kvm can be opened */
	NEED_GMEM	= 1 << 2,	/* some VM type here has guest_memfd */
	NEED_REFCOUNT	= 1 << 3,	/* folio_why_not() is NULL */
	NEED_KPAGE	= 1 << 4,	/* /proc/kpagecount and /proc/kpageflags */
	NEED_PAGEMAP	= 1 << 5,	/* /proc/self/pagemap tells frame numbers */
	NEED_NUMA	= 1 << 6,	/* the kernel has migrate_pages(2) */
	NEED_EMULATOR	= 1 << 7,	/* emulator_why_not() is NULL */
};

/**
 * need_why_not() - tell what is missing
 * @needs: NEED_* bits
 *
 * Return: every unmet need with what to do about it, separated by "; ", or NULL
 * if all are met.  Static storage, valid until the next call.
 */
const char *need_why_not(unsigned int needs);

/**
 * need_join() - put reasons together
 * @first: a reason, or NULL
 *
 * Takes any number of reasons, NULL or not, and NEED_END behind the last.
 *
 * Return: those that are not NULL, separated by "; ", or NULL if there is none.
 * Static storage, valid until the next call.
 */
#define NEED_END ((const char *)-1)
const char *need_join(const char *first, ...);

#endif
