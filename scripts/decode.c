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

/* Return: 0, or 3 if @from, NULL if it cannot be opened, could not be read to its end. */
static int decode(FILE *from, const char *name)
{
	struct seamcall s = {};
	char *line = NULL, words[500];
	size_t size = 0;
	int rc = 0;

	while (from && !ferror(stdout) && getline(&line, &size, from) > 0) {
		line[strcspn(line, "\n")] = '\0';
		printf("%s\n", line);
		if (!seamcall_parse(line, &s))
			continue;
		seamcall_describe(&s, words, sizeof(words));
		printf("  => %s\n", words);
	}
	if (!from || ferror(from)) {
		fprintf(stderr, "decode: cannot read %s: %s\n", name, strerror(errno));
		rc = 3;
	}
	free(line);
	if (from)
		fclose(from);
	return rc;
}

int main(int argc, char **argv)
{
	int i, rc = 0;

	/* A log that grows is to be seen as it grows, also through a pipe. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 1)
		rc = decode(stdin, "standard input");
	for (i = 1; i < argc; i++)
		rc |= decode(fopen(argv[i], "re"), argv[i]);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "decode: cannot write all of it\n");
		rc = 3;
	}
	return rc;
}
