/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef AUDIT_H
#define AUDIT_H

#include <stdbool.h>

#include "finding.h"
#include "order.h"

/**
 * DOC: audit
 *
 * Is a page that a TD still has, in its S-EPT or for its own purposes, free or
 * somebody else's?  KVM trusts guest_memfd to keep pages until they are unmapped and
 * holds no reference, so nothing in the kernel would notice.
 *
 * Which pages TDs have is what a trace has seen (order.h): given by ADD, AUG or another
 * SEAMCALL, not yet taken back by a good REMOVE or RECLAIM.  Of each of them the audit
 * asks the trace whether it was freed or handed out meanwhile, and the page allocator
 * what it is now, in case the trace missed that.
 *
 * It is a look, not a lock: what is being freed or removed right now may be seen
 * half-way, so nothing should work on the TDs meanwhile.
 */

#define AUDIT_MAX	16

/**
 * struct audit_page - a page that is free or another's while a TD has it
 * @pfn:    the page
 * @page:   what the trace knows of it
 * @reused: it has another owner
 * @text:   all that in words
 */
struct audit_page {
	__u64 pfn;
	struct order_page page;
	bool reused;
	char text[200];
};

/**
 * audit_find() - look for such pages
 * @o:   the trace
 * @out: receives the first AUDIT_MAX of them
 *
 * Return: how many there are; -EOVERFLOW if the trace has holes; or -errno.
 */
int audit_find(struct order *o, struct audit_page out[AUDIT_MAX]);

/* There must be none.  Returns 0, 1 or -errno, as the checks of census.h. */
int audit_check(struct order *o, struct finding *f);

/**
 * audit_check_mapped() - each page that KVM has mapped in a TD's S-EPT is in a file
 * @fd: a guest_memfd of the TD
 * @f:  receives the finding
 *
 * Without a trace: by the tables of sept.h, which must be at hand (sept_why_not()).
 * They know nothing of a page that KVM believes to have taken out.
 *
 * Return: 0, 1 or -errno, as audit_check().
 */
int audit_check_mapped(int fd, struct finding *f);

#endif
