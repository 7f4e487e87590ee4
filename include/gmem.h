/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GMEM_H
#define GMEM_H

#include <stdbool.h>

#include <linux/types.h>

/**
 * DOC: gmem
 *
 * guest_memfd as a file: create, allocate, punch, map.  Documented in
 * Documentation/virt/kvm/api.rst, KVM_CREATE_GUEST_MEMFD; implemented in
 * virt/kvm/guest_memfd.c.
 *
 * Units: 4K pages, counted from the start of the file, unless a name says
 * bytes.  All return 0, or a descriptor, or -errno.
 */

/**
 * gmem_create() - make a guest_memfd
 * @vm_fd: the VM it belongs to; borrowed.  The file keeps the VM alive.
 * @nr:    size in pages
 * @flags: GUEST_MEMFD_FLAG_*; gmem_flags() tells which ones this VM knows
 *
 * Return: a file descriptor, the caller's to close, or -errno.
 */
int gmem_create(int vm_fd, __u64 nr, __u64 flags);

/* GUEST_MEMFD_FLAG_* that the VM supports (KVM_CAP_GUEST_MEMFD_FLAGS); 0 if none. */
__u64 gmem_flags(int vm_fd);

/* Back the range with pages: fallocate(2). */
int gmem_allocate(int fd, __u64 first, __u64 nr);

/* Give the range back: fallocate(2) with FALLOC_FL_PUNCH_HOLE. */
int gmem_punch(int fd, __u64 first, __u64 nr);

/**
 * gmem_map() - map a range into this process, shared, readable and writable
 * @fd:    the guest_memfd
 * @first: first page
 * @nr:    number of pages
 * @out:   receives the address, to be given to munmap(2)
 *
 * Return: 0; -ENODEV if this guest_memfd cannot be mapped; or -errno.
 */
int gmem_map(int fd, __u64 first, __u64 nr, void **out);

/*
 * Have a page at hand that gmem_map() has mapped at @map.  -EFAULT if user space may
 * not have it.
 */
int gmem_reach(char *map, __u64 page);

/**
 * gmem_convert() - make a range private or shared, in place
 * @fd:   a guest_memfd that starts out shared (GUEST_MEMFD_FLAG_INIT_SHARED)
 * @page: receives the page that stands in the way, if one does; may be NULL
 *
 * KVM_SET_MEMORY_ATTRIBUTES2 on the file.  Not in Linux 7.3: written after the
 * documentation of the call in the patches that were queued for 7.4.
 *
 * Return: 0; -EAGAIN if somebody else holds @page, for a moment or for longer,
 * which KVM cannot tell; -ENOTTY if KVM has no such call; or -errno.
 */
int gmem_convert(int fd, __u64 first, __u64 nr, bool private, __u64 *page);

/* As a VMM does it: again while that is -EAGAIN, for as long as things settle. */
int gmem_convert_patiently(int fd, __u64 first, __u64 nr, bool private);

/* Why no guest_memfd of this VM can be converted in place, or NULL. */
const char *gmem_convert_why_not(int vm_fd);

#endif
