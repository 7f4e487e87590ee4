// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "counter.h"

int counter_sum(const char *path, const struct counter_field *fields)
{
	const struct counter_field *f;
	char line[256], name[64];
	FILE *in = fopen(path, "re");
	long long value;

	if (!in)
		return -errno;
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, " %63s %lld", name, &value) != 2)
			continue;
		for (f = fields; f->name; f++)
			if (!strcmp(f->name, name))
				*f->value += value;
	}
	fclose(in);
	return 0;
}
