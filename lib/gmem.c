// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/kvm.h>

#include "gmem.h"

#define PAGE_BYTES	4096ull

int gmem_create(int vm_fd, __u64 nr, __u64 flags)
{
	struct kvm_create_guest_memfd args = {
		.size = nr * PAGE_BYTES,
		.flags = flags,
	};
	int fd = ioctl(vm_fd, KVM_CREATE_GUEST_MEMFD, &args);

	return fd < 0 ? -errno : fd;
}

__u64 gmem_flags(int vm_fd)
{
	int flags = ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD_FLAGS);

	return flags < 0 ? 0 : flags;
}

static int gmem_fallocate(int fd, int mode, __u64 first, __u64 nr)
{
	if (fallocate(fd, mode, first * PAGE_BYTES, nr * PAGE_BYTES))
		return -errno;
	return 0;
}

int gmem_allocate(int fd, __u64 first, __u64 nr)
{
	return gmem_fallocate(fd, FALLOC_FL_KEEP_SIZE, first, nr);
}

int gmem_punch(int fd, __u64 first, __u64 nr)
{
	return gmem_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, first, nr);
}

int gmem_map(int fd, __u64 first, __u64 nr, void **out)
{
	void *addr = mmap(NULL, nr * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			  fd, first * PAGE_BYTES);

	if (addr == MAP_FAILED)
		return -errno;
	*out = addr;
	return 0;
}
