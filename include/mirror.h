/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MIRROR_H
#define MIRROR_H

#include <stdbool.h>

#include "guest.h"

/**
 * DOC: mirror
 *
 * What the memory of a guest should hold, beside what it holds: each step is done
 * to the guest and noted, and mirror_verify() lets the guest look whether all its
 * pages are as noted.  So a sequence of steps can be random, and still every page
 * is known.
 *
 * It knows that private and shared memory are two, that a hole is zeroes, and which
 * guests forget what is taken from their page tables (guest_forgets_unmapped()).
 *
 * Units: 4K pages, counted from the start of the guest_memfd.
 * Errors: 0 or -errno of the step, and then the page contents are not known.
 * Threads: one at a time.
 */
struct mirror;

/**
 * mirror_create() - begin with a guest that nobody has touched yet
 * @out: receives the mirror, to be given to mirror_free(); NULL on error
 * @g:   bound by GUEST_SLOT as a whole, and private where that is possible; borrowed
 */
int mirror_create(struct mirror **out, struct guest *g);
void mirror_free(struct mirror *m);	/* NULL is fine; the guest stays */

/* The steps, as those of guest.h and gmem.h. */
int mirror_touch(struct mirror *m, __u64 first, __u64 nr, __u64 pattern);
int mirror_set_private(struct mirror *m, __u64 first, __u64 nr, bool private);
int mirror_punch(struct mirror *m, __u64 first, __u64 nr);
int mirror_prefault(struct mirror *m, __u64 first, __u64 nr);

/* Give the ordinary memory back that stands beside private pages: MADV_DONTNEED. */
int mirror_discard(struct mirror *m, __u64 first, __u64 nr);

/* Delete GUEST_SLOT, which is at @gpa, and make it anew. */
int mirror_rebind(struct mirror *m, __u64 gpa);

/**
 * mirror_verify() - let the vCPU read all pages
 * @bad: receives the first page of the range that differs; may be NULL
 *
 * Return: 0; -EILSEQ if pages are not as they should be; or -errno.
 */
int mirror_verify(struct mirror *m, __u64 *bad);

/* Whether the guest sees page @page as private. */
bool mirror_is_private(const struct mirror *m, __u64 page);

#endif
