/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TDX_SYMBOLS_H
#define TDX_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * DOC: symbols
 *
 * What a vmlinux knows of its code: names of addresses, and how to walk the stack
 * (the ORC tables, which a kernel without frame pointers has).  The kernel must run
 * where it was linked: nokaslr.
 */
struct symbols;

/**
 * symbols_open() - read a vmlinux
 * @out:  receives the handle; NULL on error
 * @path: the file, uncompressed
 *
 * Return: 0; -ENOEXEC if it is no x86-64 ELF file with a symbol table; or -errno.
 */
int symbols_open(struct symbols **out, const char *path);
void symbols_close(struct symbols *s);	/* NULL is fine */

/**
 * symbols_name() - "name+0x12/0x34" of an address in the kernel's text
 * @s:    the handle; NULL is fine
 * @ip:   the address
 * @call: it is a return address; its call is what is to be named
 *
 * Return: whether there is one.
 */
bool symbols_name(const struct symbols *s, uint64_t ip, bool call, char *buf, size_t len);

/* The name alone, or NULL; it lives as long as the handle. */
const char *symbols_function(const struct symbols *s, uint64_t ip, bool call);

struct frame {
	uint64_t ip, sp, bp;
	bool exact;	/* @ip is where it is, not where a call returns to */
};

/* Read @len bytes of the stack at a virtual address. */
typedef bool symbols_read_fn(void *ctx, uint64_t va, void *buf, uint32_t len);

/**
 * symbols_unwind() - go to the caller's frame
 * @s:     the handle; NULL follows frame pointers
 * @frame: in and out
 *
 * Return: whether there is one.
 */
bool symbols_unwind(const struct symbols *s, struct frame *frame, symbols_read_fn *read,
		    void *ctx);

#endif
