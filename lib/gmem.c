// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "gmem.h"
#include "settle.h"

#define PAGE_BYTES	4096ull

/* As in include/uapi/linux/kvm.h of a kernel that has it. */
struct attributes2 {
	__u64 offset, size, attributes, flags;
	__u64 error_offset;
	__u64 reserved[11];
};

#define SET_ATTRIBUTES2	_IOWR(KVMIO, 0xd2, struct attributes2)

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

int gmem_reach(char *map, __u64 page)
{
	return madvise(map + page * PAGE_BYTES, PAGE_BYTES, MADV_POPULATE_READ) ? -errno : 0;
}

int gmem_convert(int fd, __u64 first, __u64 nr, bool private, __u64 *page)
{
	struct attributes2 a = {
		.offset = first * PAGE_BYTES,
		.size = nr * PAGE_BYTES,
		.attributes = private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
		.error_offset = ~0ull,
	};
	int rc = ioctl(fd, SET_ATTRIBUTES2, &a) ? -errno : 0;

	if (page)
		*page = a.error_offset / PAGE_BYTES;
	return rc;
}

int gmem_convert_patiently(int fd, __u64 first, __u64 nr, bool private)
{
	struct settle s;
	int rc;

	settle_start(&s);
	do {
		rc = gmem_convert(fd, first, nr, private, NULL);
	} while (rc == -EAGAIN && settle_again(&s));
	if (!rc)
		settle_done(&s);
	return rc;
}

const char *gmem_convert_why_not(int vm_fd)
{
	const __u64 flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
	int fd, rc;

	if (flags & ~gmem_flags(vm_fd))
		return "no guest_memfd of this VM type starts out shared: use Linux 7.4 or later";
	fd = gmem_create(vm_fd, 1, flags);
	if (fd < 0)
		return "cannot make a guest_memfd that starts out shared";
	rc = gmem_convert(fd, 0, 1, false, NULL);
	close(fd);
	return rc != -ENOTTY ? NULL :
	       "KVM converts no guest_memfd in place (KVM_SET_MEMORY_ATTRIBUTES2): use Linux 7.4 or later, with kvm.vm_memory_attributes=N";
}
