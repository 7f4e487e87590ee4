// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies kernel logs, and says below each line about a failed SEAMCALL or TDCALL in
 * words what it is about: ./run.sh decode.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seamcall.h"

static int decode(FILE *from)
{
	struct seamcall s = {};
	char *line = NULL, words[500];
	size_t size = 0;

	while (getline(&line, &size, from) > 0) {
		line[strcspn(line, "\n")] = '\0';
		printf("%s\n", line);
		if (!seamcall_parse(line, &s))
			continue;
		seamcall_describe(&s, words, sizeof(words));
		printf("  => %s\n", words);
	}
	free(line);
	return ferror(from) ? -1 : 0;
}

int main(int argc, char **argv)
{
	int i, rc = argc == 1 ? decode(stdin) : 0;
	FILE *from;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 1; i < argc; i++) {
		from = fopen(argv[i], "re");
		if (!from || decode(from)) {
			fprintf(stderr, "decode: cannot read %s: %s\n", argv[i], strerror(errno));
			rc = 3;
		}
		if (from)
			fclose(from);
	}
	return rc ? 3 : ferror(stdout) ? 3 : 0;
}
