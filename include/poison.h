/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef POISON_H
#define POISON_H

#include <linux/types.h>

/**
 * DOC: poison
 *
 * Memory errors, simulated by the kernel: it handles a page as if a machine check had
 * told that it is bad (mm/memory-failure.c, mm/hwpoison-inject.c).  The memory itself
 * stays good.  Each error is noted in the journal of host.h before it is made, so that
 * the next run undoes what a killed one has left.
 *
 * Errors: 0 or -errno.
 */

/* Why no error can be simulated here, in one sentence, or NULL.  Static storage. */
const char *poison_why_not(void);

/**
 * poison_inject() - simulate an error of a page
 * @pfn: its frame
 *
 * Return: what the kernel made of it, or why it did not try.
 */
int poison_inject(__u64 pfn);

/* As poison_inject(), of the page behind an address, by MADV_HWPOISON. */
int poison_behind(void *addr);

/**
 * poison_retire() - ask the kernel to do without a page that may go bad soon
 * @pfn: its frame
 *
 * It has to put another in its place, or refuse (soft_offline_page()).  What tools do
 * that count corrected errors.
 *
 * Return: 0 if it has done so; -EOPNOTSUPP if it does no such thing; or why not.
 */
int poison_retire(__u64 pfn);

/**
 * poison_for_good() - take a page out of use until the next boot
 * @pfn: its frame, whoever has it; free is best
 *
 * So that a page that was freed while a TD has it is not handed out to somebody who
 * would use it: nothing undoes it.
 *
 * Return: as poison_inject(); -EOPNOTSUPP if the kernel has no such injection.
 */
int poison_for_good(__u64 pfn);

/* Whether the kernel takes a frame for bad: 1, 0 or -errno. */
int poison_is(__u64 pfn);

/**
 * poison_undo() - let the kernel have the page again
 * @pfn: poisoned, and in no file and no page table any more
 *
 * Waits, bounded, for transient references to go.
 */
int poison_undo(__u64 pfn);

#endif
