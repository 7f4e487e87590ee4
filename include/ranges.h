/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RANGES_H
#define RANGES_H

#include <stdbool.h>
#include <linux/types.h>

/**
 * DOC: ranges
 *
 * A set of numbers, kept as disjoint ranges: which addresses of a guest are
 * private, whatever their number.  All zero is the empty set.
 *
 * Ranges are [begin, end).  Threads: one at a time.
 */
struct ranges {
	struct range {
		__u64 begin, end;
	} *list;		/* ascending */
	unsigned int nr;
};

/**
 * ranges_set() - put a range into the set, or take it out
 *
 * Return: 0, or -ENOMEM, and then nothing has changed.
 */
int ranges_set(struct ranges *set, __u64 begin, __u64 end, bool in);

/**
 * ranges_has() - is a number in the set?
 * @set: the set
 * @at:  the number
 * @end: receives up to where this holds, at most what it was
 */
bool ranges_has(const struct ranges *set, __u64 at, __u64 *end);

void ranges_free(struct ranges *set);	/* empty it */

#endif
