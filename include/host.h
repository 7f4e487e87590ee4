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

/*
 * Whether it could: 0, or -errno of an attempt to open @path.  access(2) does not ask what
 * a kernel that is locked down does to debugfs.
 */
int host_may_set(const char *path);

/* Put back what host_set() changed at @path. 0, -ENOENT if nothing was, or -errno. */
int host_restore(const char *path);

/**
 * host_owe() - note what has to be written to undo what is about to be done
 * @path:  a file in /proc or /sys that acts on what is written to it
 * @value: what to write there
 *
 * For deeds that are no setting with a value before, as to poison a page.  Several
 * can be owed at one path.
 *
 * Return: 0 or -errno.
 */
int host_owe(const char *path, const char *value);
int host_pay(const char *path, const char *value);	/* write it, and strike it out */
int host_forgive(const char *path, const char *value);	/* strike it out: not done after all */

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
 * But what was done by another process that still lives is left to it.
 *
 * Return: number of things undone, or -errno of the first that could not be.
 */
int host_restore_all(void (*say)(const char *sentence));

/**
 * host_state() - the folder of journal and lock
 *
 * $SEPT_STATE, else /run/tdx-sept-tests; for other users than root below
 * $XDG_RUNTIME_DIR or in /tmp.  It is made when first needed, and refused with
 * -EPERM if others can write to it: the journal tells root what to write where.
 *
 * Return: its path, static storage.
 */
const char *host_state(void);

/**
 * host_lock() - be the only run on this host
 * @holder: receives the pid of the run that holds the lock, if -EBUSY; else 0
 *
 * Return: a descriptor that holds the lock until it is closed, -EBUSY, or
 * another -errno.
 */
int host_lock(int *holder);

#endif
