// SPDX-License-Identifier: GPL-2.0-only
#include <numa.h>

#include "node.h"

const char *node_find_two(int nodes[2])
{
	struct bitmask *allowed;
	int node, nr = 0;

	if (numa_available() < 0)
		return "the kernel has no NUMA policies: build it with CONFIG_NUMA=y";
	allowed = numa_get_mems_allowed();
	/* Callers make masks of one word. */
	for (node = 0; node < 64 && node <= numa_max_node() && nr < 2; node++)
		if (numa_bitmask_isbitset(allowed, node) && numa_node_size64(node, NULL) > 0)
			nodes[nr++] = node;
	numa_free_nodemask(allowed);
	return nr == 2 ? NULL : "this machine has one NUMA node with memory: boot with numa=fake=2";
}
