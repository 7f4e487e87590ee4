/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CGROUP_H
#define CGROUP_H

#include <linux/types.h>
#include <sys/types.h>

#include "finding.h"

/**
 * DOC: cgroup
 *
 * A memory cgroup of the test's own, on hierarchies of version 1 or 2.  Named
 * tdx-sept-<pid>-<n>; noted by host.h before it is made, so that the next run
 * removes what a kill left behind.
 *
 * It stands below the caller's own group.  Version 2 forbids that to a group
 * with tasks in it, so there it stands below the nearest group upwards that
 * hands the memory controller down.
 *
 * Work on a group from outside.  In a group that is at its limit hardly anything
 * succeeds, not even to open the file that would raise the limit.
 *
 * Units: bytes.  The kernel charges in batches of 64 pages per CPU.
 */
struct cgroup;

/* Why there can be none here, in one sentence, or NULL.  Static storage. */
const char *cgroup_why_not(void);

/* All of these return 0 or -errno. */
int cgroup_create(struct cgroup **out);
int cgroup_enter(const struct cgroup *cg, pid_t pid);	/* 0: the caller */
int cgroup_leave(const struct cgroup *cg, pid_t pid);	/* to its creator's group */
int cgroup_limit(const struct cgroup *cg, __u64 bytes);
int cgroup_usage(const struct cgroup *cg, __u64 *bytes);

/**
 * cgroup_check_back() - no more than before is charged to the group
 * @cg:        the group
 * @before:    from cgroup_usage()
 * @tolerance: how much more it may be
 * @f:         receives the finding
 *
 * Settles as census.h does.
 *
 * Return: 0, 1 or -errno, as the checks of census.h.
 */
int cgroup_check_back(const struct cgroup *cg, __u64 before, __u64 tolerance,
		      struct finding *f);

/**
 * cgroup_reclaim() - ask the kernel to take back what the group is charged for
 *
 * memory.force_empty or memory.reclaim.  That nothing could be reclaimed is not
 * an error.
 *
 * Return: 0, -EOPNOTSUPP if this kernel offers neither, or -errno.
 */
int cgroup_reclaim(const struct cgroup *cg);

/**
 * cgroup_drain() - take back the charges that CPUs keep for the group, but do not use
 * @cg: the group
 *
 * At once for the caller's CPU, soon for the others.
 *
 * Return: 0 or -errno.
 */
int cgroup_drain(const struct cgroup *cg);

/**
 * cgroup_spare() - let tasks that hit the limit wait or fail, not die
 *
 * Return: 0, or -EOPNOTSUPP on version 2, which has no such switch: there the
 * kernel kills a task of the group.
 */
int cgroup_spare(const struct cgroup *cg);

/*
 * The misc controller, of version 2: countable things such as "tdx", the keyids of TDs.
 */

/* Why a group cannot limit @what, in one sentence, or NULL.  Static storage. */
const char *cgroup_misc_why_not(const char *what);

#define CGROUP_MISC_MAX	(~0ull)		/* no limit */

int cgroup_misc_limit(const struct cgroup *cg, const char *what, __u64 max);
int cgroup_misc_usage(const struct cgroup *cg, const char *what, __u64 *nr);

/* How many there are on this host. */
int cgroup_misc_capacity(const char *what, __u64 *nr);

/* Why there are not @nr more to be had, in one sentence, or NULL.  Static storage. */
const char *cgroup_misc_too_few(const char *what, __u64 nr);

/**
 * cgroup_destroy() - move its tasks to where its creator was, and remove it
 *
 * NULL is fine.  Return: 0, or -EBUSY if the directory could not be removed.
 * Memory that is still charged does not prevent that.
 */
int cgroup_destroy(struct cgroup *cg);

#endif
