/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KMSG_H
#define KMSG_H

/**
 * DOC: kmsg
 *
 * A watch on the kernel log.  Opened before a case and read after it, it gives
 * the lines of that case, and says which of them fail it: WARN, BUG, Oops,
 * sanitizer reports, lockdep splats, stalls, hung tasks, and what KVM's TDX
 * code prints when a SEAMCALL or a clean-up fails.
 *
 * What user space wrote to /dev/kmsg is no kernel line and is passed over: the
 * kernel gives it a facility of its own (the record's first number is 8 or more).
 *
 * SEPT_KMSG names another file or FIFO of /dev/kmsg records to watch, for tests
 * of this project's own code: "4,1,12345678,-;WARNING: at ...".
 *
 * Other tasks write to the log too, so in a run with jobs in parallel a line is
 * charged to every case that was running.
 */
struct kmsg;

/**
 * kmsg_open() - start watching, from now on
 * @out: receives the watch; NULL on error
 *
 * Return: 0, or -errno (-EPERM without CAP_SYSLOG where dmesg is restricted).
 */
int kmsg_open(struct kmsg **out);
void kmsg_close(struct kmsg *k);	/* NULL is fine */

/**
 * kmsg_next() - the next line since the last call
 * @k:    the watch
 * @line: receives the text as dmesg shows it, "[   12.345678] text", valid
 *        until the next call
 *
 * Return: 1; 0 if there is none; -EPIPE if the kernel overwrote lines before
 * they were read (the next call goes on behind the gap); or -errno.
 */
int kmsg_next(struct kmsg *k, const char **line);

/**
 * struct kmsg_tally - what the kernel complains of, counted
 * @warns:     "WARN"
 * @seamcalls: "SEAMCALL failed"
 * @hkids:     "HKID leaked"
 * @others:    anything else that kmsg_judge() names
 * @seamcall:  the lines of failed SEAMCALLs, as far as they fit, one behind the other
 */
struct kmsg_tally {
	unsigned int warns, seamcalls, hkids, others;
	char seamcall[512];
};

/* Read all lines since the last call; 0, -EPIPE if some are lost, or -errno. */
int kmsg_tally(struct kmsg *k, struct kmsg_tally *t);

/**
 * kmsg_judge() - does this line fail a case?
 * @line: text with or without time stamp
 *
 * Return: what it is, in a word or two ("WARN", "hung task", "SEAMCALL
 * failed"), or NULL if it is harmless.
 */
const char *kmsg_judge(const char *line);

#endif
