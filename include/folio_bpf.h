/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FOLIO_BPF_H
#define FOLIO_BPF_H

#include "folio.h"

/**
 * DOC: folio_bpf
 *
 * The "bpf" probe of folio.h.  Its program is embedded in the binary; the
 * running kernel's BTF is all it needs at run time.
 */

/**
 * folio_bpf_open() - load the program and find the vmemmap
 * @why:     receives one sentence on failure
 * @why_len: size of @why
 *
 * The address of the struct page of PFN 0 is no exported fact; it is found from
 * pages of a memfd whose PFN pagemap tells and whose struct page the walk tells.
 *
 * Return: 0, or -errno with @why set.
 */
int folio_bpf_open(char *why, unsigned long why_len);
void folio_bpf_close(void);

/**
 * folio_bpf_vmemmap() - where the kernel has its struct pages
 * @base:       receives the address of that of PFN 0
 * @page_bytes: receives the size of one
 *
 * Return: 0; -ENODATA if the probe is not open.
 */
int folio_bpf_vmemmap(__u64 *base, __u64 *page_bytes);

/**
 * folio_bpf_share() - let processes started from here on inherit the probe
 *
 * They find it by $SEPT_BPF_FDS, and spare themselves the loading.  Answers
 * stand in one window, so processes that ask at the same time wait for one
 * another.
 *
 * Return: 0; -ENODATA if the probe is not open; or -errno.
 */
int folio_bpf_share(void);

/* The variable that it sets: which descriptors children are to inherit, "3,4,...". */
#define FOLIO_BPF_SHARED "SEPT_BPF_FDS"

/* As folio_by_file() and folio_by_pfn(). */
int folio_bpf_by_file(int fd, __u64 first, __u64 nr, struct folio_record *out,
		      struct folio_cache *cache);
int folio_bpf_by_pfn(struct folio_record *recs, __u64 nr,
		     const struct folio_cache *cache);

#endif
