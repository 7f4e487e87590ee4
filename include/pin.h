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
 */
enum pin_kind {
	PIN_IO_URING,		/* registered buffer: a long-term GUP pin, 1024 */
	PIN_VMSPLICE,		/* a pipe buffer: a plain reference, 1 */
	PIN_O_DIRECT,		/* a direct read in flight: a GUP pin, 1024 */
	PIN_PROCESS_VM,		/* process_vm_readv() stalled in its copy: 1024 */
	PIN_NR_KINDS,
};

struct pin;

/* "io_uring", "vmsplice", "o_direct", "process_vm". */
const char *pin_name(enum pin_kind kind);

/**
 * pin_why_not() - say why this host cannot take such a pin
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
 * @nr:   number of 4K pages
 *
 * Returns once the references are held.
 *
 * Return: 0; -EFAULT if the kernel refuses these pages; or -errno.
 */
int pin_take(struct pin **out, enum pin_kind kind, void *addr, __u64 nr);

/* Let go of them, and wait until the kernel has.  NULL is fine. */
void pin_release(struct pin *p);

#endif
