/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PRESSURE_H
#define PRESSURE_H

#include <linux/types.h>
#include <stdbool.h>

/**
 * DOC: pressure
 *
 * What makes the kernel move pages about, or take them back.  All of it works on
 * the whole host: say .serial in SUITE().
 *
 * All return 0; -EOPNOTSUPP if this kernel has no such thing; or -errno.
 */

/**
 * pressure_compact() - compact all zones, or what of them can be in 15 s:
 * /proc/sys/vm/compact_memory
 * @moved: receives how many pages of a sample, scattered over 16 MB for the occasion, are
 *         elsewhere now; if none is, compaction has not shown what it can do
 */
int pressure_compact(unsigned int *moved);

/* Why there is none here, in one sentence, or NULL.  Static storage. */
const char *pressure_no_compaction(void);

/* Throw away clean page cache: /proc/sys/vm/drop_caches. */
int pressure_drop_caches(void);

/* Switch NUMA balancing; host_restore_all() undoes it, as does "off" again. */
int pressure_numa_balancing(bool on);

/* How many pages of all processes it has marked so far, to see who touches them. */
int pressure_numa_marked(__s64 *pages);

/**
 * pressure_khugepaged() - let khugepaged look at all memory, and collapse what it likes
 * @ms:        how long to wait for it to have come round
 * @collapsed: receives whether it has collapsed anything; there is something that it may,
 *             so if it has not, it has not shown what it can do
 *
 * Its settings are put back.  Return: also -ETIMEDOUT.
 */
int pressure_khugepaged(unsigned int ms, bool *collapsed);

/**
 * pressure_allocate() - use anonymous memory for a moment
 * @bytes: how much; touched page by page, then given back
 *
 * In this process, hence charged to its cgroup.
 */
int pressure_allocate(__u64 bytes);

#endif
