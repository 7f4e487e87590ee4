/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PIN_H
#define PIN_H

#include <linux/types.h>

/**
 * DOC: pin
 *
 * Ways in which user space makes the kernel hold references on the pages behind
 * an address range, for as long as the holder likes.  Each way is named with
 * the references it takes per page, so that a census can be asked for exactly
 * them (Documentation/core-api/pin_user_pages.rst).
 *
 * All end with the process that took them, also by SIGKILL, and leave nothing
 * behind on the host.
 *
 * Threads: one at a time per pin.  PIN_O_DIRECT and PIN_PROCESS_VM are held by a
 * thread of the calling process, which fork(2) does not copy: a child must not
 * touch the pins of its parent.
 */
enum pin_kind {
	PIN_IO_URING,		/* registered buffer: a long-term GUP pin, 1024 */
	PIN_VMSPLICE,		/* a pipe buffer: a plain reference, 1 */
	PIN_O_DIRECT,		/* a direct read in flight: a GUP pin, 1024 */
	PIN_PROCESS_VM,		/* process_vm_readv() stalled in its copy: 1024 */
	PIN_NR_KINDS,
};

#define PIN_MAX_PAGES	256	/* what one PIN_O_DIRECT can hold */

struct pin;

/* "io_uring", "vmsplice", "o_direct", "process_vm". */
const char *pin_name(enum pin_kind kind);

/**
 * pin_why_not() - say why this host cannot take such a pin
 *
 * Finds out by taking one on a page of its own.
 *
 * Return: one sentence, or NULL if it can.  Static storage.
 */
const char *pin_why_not(enum pin_kind kind);

/* References that it takes on each page (of a small folio). */
__u64 pin_refs(enum pin_kind kind);

/**
 * pin_take() - hold the pages behind a range
 * @out:  receives the pin; NULL on error
 * @kind: how
 * @addr: page aligned, mapped in this process
 * @nr:   number of 4K pages, at most PIN_MAX_PAGES
 *
 * Returns once the references are held.
 *
 * Return: 0; -EFAULT if the kernel refuses these pages; -E2BIG for more pages
 * than this host can hold at once; or -errno.
 */
int pin_take(struct pin **out, enum pin_kind kind, void *addr, __u64 nr);

/* Let go of them, and wait until the kernel has.  NULL is fine. */
void pin_release(struct pin *p);

/**
 * pin_write() - let the holder write to the pages, through its references
 * @p:       the pin
 * @pattern: 8 bytes written to the start of each page, plus its number in the pin
 *
 * Reaches the pages that were taken, whatever is mapped or in the file by now.
 * For PIN_O_DIRECT this is the end of the read, hence of the pin; it still has
 * to be given to pin_release().
 *
 * Return: 0; -EOPNOTSUPP for the kinds that only read (PIN_VMSPLICE,
 * PIN_PROCESS_VM); or -errno.
 */
int pin_write(struct pin *p, __u64 pattern);

/**
 * pin_read() - let the holder read a page, through its reference
 * @p:    the pin
 * @page: its number in the pin
 * @word: receives its first 8 bytes
 *
 * For PIN_PROCESS_VM this is the end of the copy, hence of the pin.
 *
 * Return: 0; -EOPNOTSUPP for PIN_O_DIRECT, which only writes; or -errno.
 */
int pin_read(struct pin *p, __u64 page, __u64 *word);

#endif
