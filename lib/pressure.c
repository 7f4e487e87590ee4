// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host.h"
#include "pressure.h"

#define NUMA_BALANCING	"/proc/sys/kernel/numa_balancing"

static int trigger(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	if (write(fd, value, 1) < 0)
		err = -errno;
	close(fd);
	return err;
}

int pressure_compact(void)
{
	return trigger("/proc/sys/vm/compact_memory", "1");
}

int pressure_drop_caches(void)
{
	return trigger("/proc/sys/vm/drop_caches", "1");
}

int pressure_numa_balancing(bool on)
{
	int err;

	if (access(NUMA_BALANCING, F_OK))
		return -EOPNOTSUPP;
	if (on)
		return host_set(NUMA_BALANCING, "1");
	err = host_restore(NUMA_BALANCING);
	return err == -ENOENT ? 0 : err;
}

int pressure_allocate(__u64 bytes)
{
	char *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int err;

	if (mem == MAP_FAILED)
		return -errno;
	/* An error where a plain touch would end in SIGBUS, or in a kill. */
	err = madvise(mem, bytes, MADV_POPULATE_WRITE) ? -errno : 0;
	munmap(mem, bytes);
	return err;
}
