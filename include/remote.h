/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef REMOTE_H
#define REMOTE_H

#include <linux/types.h>
#include <sys/types.h>

/**
 * DOC: remote
 *
 * Ways to reach into the memory of another process.  Each makes the kernel take
 * references on the pages for the moment of the copy, and must leave none.
 */
enum remote_kind {
	REMOTE_PROCESS_VM,	/* process_vm_readv(2), process_vm_writev(2) */
	REMOTE_PTRACE,		/* PTRACE_PEEKDATA, PTRACE_POKEDATA */
	REMOTE_PROC_MEM,	/* /proc/PID/mem */
	REMOTE_NR_KINDS,
};

/**
 * remote_read() - read a word of another process
 * @kind: how
 * @pid:  a child of the caller, or any process that it may trace
 * @addr: the address there
 * @word: receives the word
 *
 * Return: 0, or -errno: -EFAULT (process_vm) or -EIO (the others) if nothing can
 * be reached there.
 */
int remote_read(enum remote_kind kind, pid_t pid, __u64 addr, __u64 *word);

/* As remote_read(), the other way. */
int remote_write(enum remote_kind kind, pid_t pid, __u64 addr, __u64 word);

#endif
