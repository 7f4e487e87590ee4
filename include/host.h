/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef HOST_H
#define HOST_H

/**
 * DOC: host
 *
 * Changes to the host that have to be undone: settings in /proc and /sys, and
 * directories such as cgroups.  Each is written to a journal *before* it is
 * made, in $SEPT_STATE (default /run/tdx-sept-tests, gone after a reboot like
 * the settings themselves), and struck out when undone; so that even after a
 * kill -9 the next run can restore the host (host_restore_all()).
 *
 * The journal is one JSON object per line; docs/results.md describes it.
 */

/**
 * host_set() - change a setting, remembering its value
 * @path:  a file in /proc or /sys
 * @value: what to write
 *
 * The first change of a path counts as its value before.  For files that show a
 * choice in brackets ("always [madvise] never") the choice is remembered.
 *
 * Return: 0, or -errno; then nothing was changed.
 */
int host_set(const char *path, const char *value);

/* Put back what host_set() changed at @path. 0, -ENOENT if nothing was, or -errno. */
int host_restore(const char *path);

/**
 * host_owe_rmdir() - note a directory that has to be removed
 * @path: a directory about to be made
 *
 * Return: 0 or -errno.
 */
int host_owe_rmdir(const char *path);
int host_paid_rmdir(const char *path);	/* it has been removed */

/**
 * host_restore_all() - undo everything in the journal
 * @say: called with one sentence per thing undone, or not undoable; may be NULL
 *
 * Return: number of things undone, or -errno of the first that could not be.
 */
int host_restore_all(void (*say)(const char *sentence));

#endif
