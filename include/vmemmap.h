/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VMEMMAP_H
#define VMEMMAP_H

#include <linux/types.h>

/**
 * vmemmap_find() - learn where the kernel's array of struct page starts
 * @struct_page: finds the struct page of page @index of the file @fd; 0 or -errno
 * @page_size:   sizeof(struct page) of this kernel
 * @base:        receives the address of the struct page of PFN 0
 * @why:         receives one sentence on failure
 * @why_len:     size of @why
 *
 * The address is no exported fact.  But the frames of a memfd's pages are told
 * by pagemap and their struct pages by the probe at hand; all of them must give
 * the same base, or this kernel's memory map is not one array.
 *
 * Return: 0; -ENOTSUP if it is not; or the -errno of what failed.
 */
int vmemmap_find(int (*struct_page)(int fd, __u64 index, __u64 *page),
		 __u64 page_size, __u64 *base, char *why, unsigned long why_len);

#endif
