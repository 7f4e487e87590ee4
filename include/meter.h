/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef METER_H
#define METER_H

#include "finding.h"

/**
 * DOC: meter
 *
 * System-wide memory counters, before and after.  Others use memory too, so a
 * check takes a tolerance; make the leak that it looks for larger, by repeating
 * what might leak.  Tests that use a meter must not run beside others: say
 * .serial in SUITE().
 *
 * Units: 4K pages.
 */
enum meter_counter {
	METER_FREE,		/* nr_free_pages of /proc/vmstat, pcp lists drained */
	METER_FILE,		/* nr_file_pages */
	METER_UNEVICTABLE,	/* nr_unevictable */
	METER_PAGE_TABLES,	/* nr_page_table_pages + nr_sec_page_table_pages */
	METER_NR,
};

struct meter {
	__s64 value[METER_NR];
};

/* The counter's name as the kernel spells it. */
const char *meter_name(enum meter_counter which);

/**
 * meter_read() - read all counters
 *
 * Folds the per-CPU parts in first (/proc/sys/vm/stat_refresh, as root).
 *
 * Return: 0 or -errno.
 */
int meter_read(struct meter *m);

/**
 * meter_check_back() - a counter is back where it was
 * @before:    from meter_read()
 * @which:     the counter
 * @tolerance: how far it may be off, in pages
 * @f:         receives the finding
 *
 * Only the direction of a leak counts: less free memory, more of the others.
 * Settles as census.h does.
 *
 * Return: 0, 1 or -errno, as the checks of census.h.
 */
int meter_check_back(const struct meter *before, enum meter_counter which,
		     __u64 tolerance, struct finding *f);

#endif
