/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SEPT_H
#define SEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

/**
 * DOC: sept
 *
 * Which pages does the S-EPT of a TD map?  Asked of the tables that KVM keeps beside
 * it (the mirror: arch/x86/kvm/mmu/tdp_mmu.c), over /proc/kcore; so it has nothing
 * to do with reference counts.
 *
 * A look, not a lock, and a slow one: the first takes as long as reading the kernel's
 * BTF does.
 */

/**
 * struct sept - what the S-EPT of one TD maps
 * @pfns: frames, in ascending order
 */
struct sept {
	__u64 *pfns;
	size_t nr, room;
};

/* NULL; or why none can be looked at here, in a sentence.  Static storage. */
const char *sept_why_not(void);

/**
 * sept_read() - look
 * @fd:      a guest_memfd of the TD.  Of another VM, and of another file, nothing is
 *           mapped
 * @out:     receives it; sept_free() it, also on error
 * @why:     receives a sentence on error
 * @why_len: its size
 *
 * Return: 0 or -errno.
 */
int sept_read(int fd, struct sept *out, char *why, size_t why_len);
void sept_free(struct sept *s);

bool sept_maps(const struct sept *s, __u64 pfn);

#endif
