/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef HOTPLUG_H
#define HOTPLUG_H

#include <stdbool.h>

/**
 * DOC: hotplug
 *
 * Take CPUs away from the kernel, and give them back; and ask it to do without a block
 * of memory.  The journal of host.h notes each CPU, so that the next run brings back
 * those that a killed one has left offline.
 *
 * Errors: 0 or -errno.
 */

/* Why no CPU can be taken offline here, in one sentence, or NULL.  Static storage. */
const char *hotplug_why_not(void);

/* Numbers of the CPUs that are online and can go; how many there are, at most @max. */
unsigned int hotplug_cpus(unsigned int *cpus, unsigned int max);

/* The same of one package all of whose CPUs can go; 0 if there is none. */
unsigned int hotplug_package(unsigned int *cpus, unsigned int max);

/* -EBUSY if the kernel does not want to do without it. */
int hotplug_set(unsigned int cpu, bool online);

/* Bring back all that hotplug_set() has taken. */
void hotplug_restore(void);

/**
 * hotplug_memory() - ask the kernel to empty the block of memory that has a frame
 * @pfn: the frame
 * @ms:  when to give up: the kernel itself never does
 *
 * If it could, the block is brought back at once.
 *
 * Return: 0 if it could; -EOPNOTSUPP if this kernel has no such thing; or why it could
 * not, -EINTR if it was still trying.
 */
int hotplug_memory(unsigned long pfn, unsigned int ms);

#endif
