// SPDX-License-Identifier: GPL-2.0-only
/*
 * How often each leaf came to which status.
 */
#include <stdlib.h>

#include "internal.h"

#define NR_LEAVES	128	/* those above are counted as one */

struct count {
	struct count *next;
	uint32_t status;	/* upper half */
	bool entered;
	uint64_t nr, injected;
};

static struct count *counts[2][NR_LEAVES];

void stats_count(const struct tdx_record *record)
{
	const uint32_t leaf = record->in.r[TDX_RAX] & 0xffff;
	const uint32_t status = record->out.r[TDX_RAX] >> 32;
	struct count **link = &counts[record->guest][leaf < NR_LEAVES ? leaf : NR_LEAVES - 1];
	struct count *c;

	while (*link && ((*link)->entered != record->entered ||
			 (!record->entered && (*link)->status != status)))
		link = &(*link)->next;
	c = *link;
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return;
		c->status = status;
		c->entered = record->entered;
		*link = c;
	}
	c->nr++;
	c->injected += record->injected;
}

void stats_reset(void)
{
	for (unsigned int guest = 0; guest < 2; guest++)
		for (unsigned int leaf = 0; leaf < NR_LEAVES; leaf++)
			while (counts[guest][leaf]) {
				struct count *c = counts[guest][leaf];

				counts[guest][leaf] = c->next;
				free(c);
			}
}

static void print_one(FILE *to, bool guest, uint32_t leaf, const struct count *c)
{
	const char *name = guest ? tdx_guest_leaf_name(leaf) : tdx_leaf_name(leaf);
	const char *status = c->entered ? "ENTERED" : tdx_status_name((uint64_t)c->status << 32);

	if (name)
		fprintf(to, "%s ", name);
	else
		fprintf(to, "%s.%u ", guest ? "TDG" : "TDH", leaf);
	if (status)
		fprintf(to, "%s ", status);
	else
		fprintf(to, "0x%x00000000 ", c->status);
	fprintf(to, "%llu %llu\n", (unsigned long long)c->nr, (unsigned long long)c->injected);
}

void stats_print(FILE *to)
{
	for (unsigned int guest = 0; guest < 2; guest++)
		for (unsigned int leaf = 0; leaf < NR_LEAVES; leaf++)
			for (const struct count *c = counts[guest][leaf]; c; c = c->next)
				print_one(to, guest, leaf, c);
}
