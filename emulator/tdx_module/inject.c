// SPDX-License-Identifier: GPL-2.0-only
/*
 * Failures on demand.  In an emulator that runs one call after the other, real
 * contention never happens, entropy never runs out and no interrupt arrives
 * within a call; yet the host VMM's retries are to be seen.
 */
#include <errno.h>

#include "internal.h"

int tdx_inject(struct tdx_module *m, const struct tdx_injection *injection)
{
	if (m->nr_rules == TDX_MAX_INJECTIONS)
		return -ENOSPC;
	m->rules[m->nr_rules++] = (struct rule) { .what = *injection };
	return 0;
}

void tdx_inject_clear(struct tdx_module *m)
{
	m->nr_rules = 0;
}

/* Return: the status of the first rule that hits, or 0. */
u64 injected_status(struct tdx_module *m, u32 leaf, bool guest)
{
	for (unsigned int i = 0; i < m->nr_rules; i++) {
		struct rule *rule = &m->rules[i];
		const struct tdx_injection *w = &rule->what;

		if (w->guest != guest || (w->leaf != leaf && w->leaf != TDX_ANY_LEAF))
			continue;
		if (w->times && rule->hit == w->times)
			continue;
		if (rule->seen++ < w->after)
			continue;
		if (w->per_million && random64(m) % 1000000 >= w->per_million)
			continue;
		rule->hit++;
		return w->status;
	}
	return 0;
}
