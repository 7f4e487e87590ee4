// SPDX-License-Identifier: GPL-2.0-only
#include <numa.h>
#include <stdbool.h>
#include <stdio.h>

#include "node.h"

/*
 * Whether the kernel has memory of its own there.  Where all is movable, as on CXL devices,
 * a policy does not bind who may do with other memory (mm/mempolicy.c apply_policy_zone()).
 */
static bool is_normal(const struct bitmask *normal, int node)
{
	return !normal || numa_bitmask_isbitset(normal, node);
}

static struct bitmask *normal_nodes(void)
{
	FILE *in = fopen("/sys/devices/system/node/has_normal_memory", "re");
	struct bitmask *nodes = NULL;
	char list[4096];

	if (in && fgets(list, sizeof(list), in))
		nodes = numa_parse_nodestring_all(list);
	if (in)
		fclose(in);
	return nodes;
}

const char *node_find_two(int nodes[2])
{
	struct bitmask *allowed, *normal;
	int node, nr = 0;

	if (numa_available() < 0)
		return "the kernel has no NUMA policies: build it with CONFIG_NUMA=y";
	allowed = numa_get_mems_allowed();
	normal = normal_nodes();
	/* Callers make masks of one word. */
	for (node = 0; node < 64 && node <= numa_max_node() && nr < 2; node++)
		if (numa_bitmask_isbitset(allowed, node) && is_normal(normal, node) &&
		    numa_node_size64(node, NULL) > 0)
			nodes[nr++] = node;
	numa_free_nodemask(allowed);
	if (normal)
		numa_free_nodemask(normal);
	return nr == 2 ? NULL : "this machine has one NUMA node with memory: boot with numa=fake=2";
}
