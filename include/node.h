/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef NODE_H
#define NODE_H

/**
 * node_find_two() - NUMA nodes between which pages could move
 * @nodes: receives two that have memory, and of which this process may have some
 *
 * With one node the kernel has nowhere to move a page to, and does not even try.
 *
 * Return: NULL, or why there are no two; not to be freed.
 */
const char *node_find_two(int nodes[2]);

#endif
