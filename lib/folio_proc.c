// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/kpagecount, /proc/kpageflags and /proc/self/pagemap: 8 bytes per frame
 * or page, read by pread(2) from descriptors that stay open.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "folio_proc.h"

#define PAGEMAP_PRESENT		(1ull << 63)
#define PAGEMAP_PFN		((1ull << 55) - 1)

struct source {
	const char *path;
	int fd;			/* -1: not opened yet */
	pid_t pid;		/* whose /proc/self it is */
};

static struct source maps_source = { .path = "/proc/kpagecount", .fd = -1 };
static struct source flags_source = { .path = "/proc/kpageflags", .fd = -1 };
static struct source pagemap_source = { .path = "/proc/self/pagemap", .fd = -1 };

static int read_word(struct source *s, __u64 index, __u64 *word)
{
	ssize_t n;

	/* A forked child must not read its parent's pagemap. */
	if (s->fd >= 0 && s->pid != getpid()) {
		close(s->fd);
		s->fd = -1;
	}
	if (s->fd < 0) {
		s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
		if (s->fd < 0)
			return -errno;
		s->pid = getpid();
	}

	if (index > INT64_MAX / sizeof(*word))
		return -ENXIO;
	n = pread(s->fd, word, sizeof(*word), index * sizeof(*word));
	if (n < 0)
		return -errno;
	return n == sizeof(*word) ? 0 : -ENXIO;
}

int folio_proc_maps(__u64 pfn, __u64 *maps)
{
	return read_word(&maps_source, pfn, maps);
}

int folio_proc_flags(__u64 pfn, __u64 *flags)
{
	return read_word(&flags_source, pfn, flags);
}

int folio_proc_pfn(const void *addr, __u64 *pfn)
{
	__u64 word;
	int err;

	err = read_word(&pagemap_source, (uintptr_t)addr / sysconf(_SC_PAGESIZE), &word);
	if (err)
		return err == -ENXIO ? -ENOENT : err;
	if (!(word & PAGEMAP_PRESENT))
		return -ENOENT;
	/* Without CAP_SYS_ADMIN the kernel shows zeroes (fs/proc/task_mmu.c). */
	if (!(word & PAGEMAP_PFN))
		return -EPERM;
	*pfn = word & PAGEMAP_PFN;
	return 0;
}
