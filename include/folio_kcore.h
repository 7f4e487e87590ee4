/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FOLIO_KCORE_H
#define FOLIO_KCORE_H

#include "folio.h"

/**
 * DOC: folio_kcore
 *
 * The "kcore" probe of folio.h: the same walk as the BPF program's, in user
 * space, over /proc/kcore.  Field offsets come from the kernel's BTF, the
 * caller's open files from the copy of its task_struct in the notes of
 * /proc/kcore, the vmemmap from pages of a memfd.  No symbol table is needed.
 * Every structure is read on its own, so it is slow, and the kernel moves on
 * between two of them: only for kernels that have no BPF.
 */

/**
 * folio_kcore_open() - find what the walk needs
 * @why:     receives one sentence on failure
 * @why_len: size of @why
 *
 * Return: 0, or -errno with @why set.
 */
int folio_kcore_open(char *why, unsigned long why_len);

/* As folio_by_file() and folio_by_pfn(); -ENXIO for a PFN that is no memory. */
int folio_kcore_by_file(int fd, __u64 first, __u64 nr, struct folio_record *out,
			struct folio_cache *cache);
int folio_kcore_by_pfn(struct folio_record *recs, __u64 nr,
		       const struct folio_cache *cache);

#endif
