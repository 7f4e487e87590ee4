/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_STAT_H
#define KVM_STAT_H

#include <linux/types.h>

/**
 * kvm_stat() - read one of KVM's statistics
 * @fd:    of a VM or a vCPU
 * @name:  as in KVM_GET_STATS_FD's descriptors, "pf_fixed" for example
 * @value: receives it
 *
 * Return: 0; -ENOENT if this KVM has no such one; or -errno.
 */
int kvm_stat(int fd, const char *name, __u64 *value);

#endif
