// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote.h"

/* 0 if @n is a whole word, else the error. */
static int whole(ssize_t n)
{
	return n < 0 ? -errno : n == sizeof(__u64) ? 0 : -EIO;
}

static int by_process_vm(pid_t pid, __u64 addr, __u64 *word, bool write)
{
	struct iovec here = { word, sizeof(*word) };
	struct iovec there = { (void *)(unsigned long)addr, sizeof(*word) };

	return whole(write ? process_vm_writev(pid, &here, 1, &there, 1, 0) :
			     process_vm_readv(pid, &here, 1, &there, 1, 0));
}

static int by_ptrace(pid_t pid, __u64 addr, __u64 *word, bool write)
{
	void *there = (void *)(unsigned long)addr;
	int status, err = 0;
	long got;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL))
		return -errno;
	if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) ||
	    waitpid(pid, &status, __WALL) != pid)
		return -errno;
	if (!WIFSTOPPED(status))
		return -ESRCH;
	errno = 0;
	if (write) {
		ptrace(PTRACE_POKEDATA, pid, there, (void *)(unsigned long)*word);
	} else {
		got = ptrace(PTRACE_PEEKDATA, pid, there, NULL);
		if (!errno)
			*word = got;
	}
	err = -errno;
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return err;
}

static int by_proc_mem(pid_t pid, __u64 addr, __u64 *word, bool write)
{
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = whole(write ? pwrite(fd, word, sizeof(*word), addr) :
			    pread(fd, word, sizeof(*word), addr));
	close(fd);
	return err;
}

static int reach(enum remote_kind kind, pid_t pid, __u64 addr, __u64 *word, bool write)
{
	switch (kind) {
	case REMOTE_PROCESS_VM:
		return by_process_vm(pid, addr, word, write);
	case REMOTE_PTRACE:
		return by_ptrace(pid, addr, word, write);
	case REMOTE_PROC_MEM:
		return by_proc_mem(pid, addr, word, write);
	default:
		return -EINVAL;
	}
}

int remote_read(enum remote_kind kind, pid_t pid, __u64 addr, __u64 *word)
{
	return reach(kind, pid, addr, word, false);
}

int remote_write(enum remote_kind kind, pid_t pid, __u64 addr, __u64 word)
{
	return reach(kind, pid, addr, &word, true);
}
