/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FOLIO_PROC_H
#define FOLIO_PROC_H

#include <linux/types.h>

/**
 * DOC: folio_proc
 *
 * What /proc tells of a page: how often user page tables map it, its flags, and
 * the frame behind an address.  /proc/kpagecount is a count of *mappings*, not
 * of references: a private guest_memfd page reads 0 whatever holds it
 * (fs/proc/page.c).  All three files need root (CAP_SYS_ADMIN) to be of use.
 *
 * Threads: the first call of each opens its file, so that has to be alone.
 */

/* /proc/kpageflags bits, include/uapi/linux/kernel-page-flags.h */
#define FOLIO_KPF_BUDDY		10
#define FOLIO_KPF_HWPOISON	19
#define FOLIO_KPF_THP		22

/**
 * folio_proc_maps() - read /proc/kpagecount
 * @pfn:  page frame number
 * @maps: receives the number of user mappings
 *
 * Return: 0, -ENXIO if there is no such frame, or -errno.
 */
int folio_proc_maps(__u64 pfn, __u64 *maps);

/* As folio_proc_maps(), for the bits of /proc/kpageflags. */
int folio_proc_flags(__u64 pfn, __u64 *flags);

/**
 * folio_proc_pfn() - read /proc/self/pagemap
 * @addr: an address of the calling process
 * @pfn:  receives the frame behind it
 *
 * Return: 0; -ENOENT if nothing is mapped there; -EPERM if the kernel hides
 * frame numbers from this process; or -errno.
 */
int folio_proc_pfn(const void *addr, __u64 *pfn);

#endif
