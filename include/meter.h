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
 * METER_LOST is the counter for leaks: memory that is neither free nor counted
 * as anybody's.  A page that left its file while a reference was forgotten on it
 * is exactly that.  It hardly moves when others work, whereas METER_FREE follows
 * every file that somebody reads.  It stands still only within a boot: what the
 * kernel has handed out at boot or to drivers is in it, too.
 *
 * Units: 4K pages.
 */
enum meter_counter {
	METER_FREE,		/* nr_free_pages, and the per-CPU free lists; less what
				 * was added to the host since the first reading */
	METER_LOST,		/* managed pages that no counter accounts for */
	METER_FILE,		/* nr_file_pages */
	METER_UNEVICTABLE,	/* nr_unevictable */
	METER_PAGE_TABLES,	/* nr_page_table_pages + nr_sec_page_table_pages */
	METER_HKIDS,		/* keyids that TDs hold: "tdx" of misc.current, not pages */
	METER_NR,
};

struct meter {
	__s64 value[METER_NR];
};

/* Why a counter cannot be read here, in one sentence, or NULL.  Static storage. */
const char *meter_why_not(enum meter_counter which);

/* The counter's name, as the kernel spells it where the kernel has it. */
const char *meter_name(enum meter_counter which);

/**
 * meter_read() - read all counters
 * @m: receives them; 0 for one that cannot be read here (meter_why_not())
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
