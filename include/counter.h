/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef COUNTER_H
#define COUNTER_H

#include <linux/types.h>

/* A counter of the kernel's by its name, and where its value is added. */
struct counter_field {
	const char *name;	/* NULL behind the last */
	__s64 *value;
};

/**
 * counter_sum() - add up what a file of "name value" lines says of some names
 * @path:   as /proc/vmstat; of /proc/zoneinfo, the sum of all zones
 * @fields: the names; one that the file does not have adds nothing
 *
 * Return: 0 or -errno.
 */
int counter_sum(const char *path, const struct counter_field *fields);

#endif
