// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "kvm_stat.h"

static int read_at(int fd, void *to, size_t len, off_t at)
{
	ssize_t n = pread(fd, to, len, at);

	return n < 0 ? -errno : n == (ssize_t)len ? 0 : -EIO;
}

/* Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD: a header, descriptors, values. */
static int find(int stats, const char *name, __u64 *value)
{
	struct kvm_stats_header header;
	struct kvm_stats_desc *desc;
	size_t len;
	__u32 i;
	int rc = read_at(stats, &header, sizeof(header), 0);

	if (rc)
		return rc;
	len = sizeof(*desc) + header.name_size;
	desc = malloc(len);
	if (!desc)
		return -ENOMEM;
	rc = -ENOENT;
	for (i = 0; i < header.num_desc && rc == -ENOENT; i++) {
		rc = read_at(stats, desc, len, header.desc_offset + i * len);
		if (!rc && strcmp(desc->name, name))
			rc = -ENOENT;
		else if (!rc)
			rc = read_at(stats, value, sizeof(*value),
				     header.data_offset + desc->offset);
	}
	free(desc);
	return rc;
}

int kvm_stat(int fd, const char *name, __u64 *value)
{
	int stats = ioctl(fd, KVM_GET_STATS_FD, NULL), rc;

	if (stats < 0)
		return -errno;
	rc = find(stats, name, value);
	close(stats);
	return rc;
}
