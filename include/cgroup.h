/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CGROUP_H
#define CGROUP_H

#include <linux/types.h>
#include <sys/types.h>

/**
 * DOC: cgroup
 *
 * A memory cgroup of the test's own, on hierarchies of version 1 or 2.  Named
 * tdx-sept-<pid>-<n> below the caller's own group; noted by host.h before it is
 * made, so that the next run removes what a kill left behind.
 *
 * Units: bytes.
 */
struct cgroup;

/* Why there can be none here, in one sentence, or NULL.  Static storage. */
const char *cgroup_why_not(void);

int cgroup_create(struct cgroup **out);		/* 0 or -errno */
int cgroup_enter(const struct cgroup *cg, pid_t pid);	/* 0: the caller */
int cgroup_limit(const struct cgroup *cg, __u64 bytes);
int cgroup_usage(const struct cgroup *cg, __u64 *bytes);

/**
 * cgroup_destroy() - move its tasks to the parent and remove it
 *
 * NULL is fine.  Return: 0, or -EBUSY if charges keep it alive (v1 offlines it
 * anyhow, so this says that the directory could not be removed).
 */
int cgroup_destroy(struct cgroup *cg);

#endif
