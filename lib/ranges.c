// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ranges.h"

int ranges_set(struct ranges *set, __u64 begin, __u64 end, bool in)
{
	struct range *list, *r;
	unsigned int i, nr = 0;

	if (begin >= end)
		return 0;
	/* One range may become two, and one may come in between. */
	list = malloc((set->nr + 2) * sizeof(*list));
	if (!list)
		return -ENOMEM;

	for (i = 0; i < set->nr && set->list[i].end < begin; i++)
		list[nr++] = set->list[i];
	/* All that touch the range: what stands out on either side stays. */
	for (; i < set->nr && set->list[i].begin <= end; i++) {
		r = &set->list[i];
		if (in) {
			begin = r->begin < begin ? r->begin : begin;
			end = r->end > end ? r->end : end;
			continue;
		}
		if (r->begin < begin)
			list[nr++] = (struct range){ r->begin, begin };
		if (r->end > end)
			list[nr++] = (struct range){ end, r->end };
	}
	if (in)
		list[nr++] = (struct range){ begin, end };
	for (; i < set->nr; i++)
		list[nr++] = set->list[i];

	free(set->list);
	set->list = list;
	set->nr = nr;
	return 0;
}

bool ranges_has(const struct ranges *set, __u64 at, __u64 *end)
{
	const struct range *r;
	unsigned int i;

	for (i = 0; i < set->nr; i++) {
		r = &set->list[i];
		if (r->end <= at)
			continue;
		if (r->begin > at) {
			*end = r->begin < *end ? r->begin : *end;
			return false;
		}
		*end = r->end < *end ? r->end : *end;
		return true;
	}
	return false;
}

void ranges_free(struct ranges *set)
{
	free(set->list);
	memset(set, 0, sizeof(*set));
}
