/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KCORE_H
#define KCORE_H

#include <stddef.h>
#include <linux/types.h>

/**
 * DOC: kcore
 *
 * Kernel memory by address, over /proc/kcore, and where things are in it, by the
 * running kernel's BTF.  No symbol table is needed.
 *
 * The kernel moves on between two reads, and addresses found by the first may be
 * stale for the second.  What is not mapped reads as zeroes.
 *
 * Threads: none of this at once.
 */

/**
 * kcore_open() - find what the rest needs
 * @why:     receives one sentence on failure
 * @why_len: size of @why
 *
 * It may be open already.
 *
 * Return: 0, or -errno with @why set.
 */
int kcore_open(char *why, size_t why_len);
void kcore_close(void);

/* Read memory; -EAGAIN where there is none, as with a stale address. */
int kcore_load(__u64 addr, void *to, size_t size);

/* The same by physical address. */
int kcore_load_phys(__u64 pa, void *to, size_t size);

/* A pointer or another word of a structure, unless *err says that something failed. */
__u64 kcore_follow(__u64 addr, int offset, int *err);

/* The struct file behind a descriptor of the caller; -EBADF if there is none. */
int kcore_file(int fd, __u64 *file);

/**
 * kcore_offset() - where a member is
 * @in:     name of the structure, in vmlinux or in the module kvm
 * @name:   of the member, also one of an anonymous structure or union in there
 * @type:   receives its type's ID in the BTF of vmlinux; may be NULL
 *
 * Return: its offset in bytes, or -1.
 */
int kcore_offset(const char *in, const char *name, __u32 *type);

/* The same in bits, from the lowest of the first byte on: for bit fields. */
int kcore_bit_offset(const char *in, const char *name);

/* Sizes in bytes, of a type by its ID, or of a structure by its name; -1: none. */
int kcore_type_size(__u32 type);
int kcore_size(const char *name);

/* The value of an enumerator, or -1. */
int kcore_value(const char *in, const char *name);

#endif
