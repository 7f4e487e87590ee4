// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine.h"

const char *evidence_of_death(const char *line)
{
	static const struct { const char *text, *what; } all[] = {
		{ "Kernel panic - not syncing", "the kernel panicked" },
		{ "Kernel panic - ", "the kernel panicked" },
		{ "PANIC: double fault", "the kernel died of a double fault" },
		{ "PANIC: early exception", "the kernel died of an early exception" },
	};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (strstr(line, all[i].text))
			return all[i].what;
	return NULL;
}

/* The numbers are emulator/bochs/channel.h's. */
enum end evidence_of_end(int status, const char *panic)
{
	if (!WIFEXITED(status))
		return END_OTHER;
	switch (WEXITSTATUS(status)) {
	case 0:
		return END_OFF;
	case 7:
		return END_HANG;
	case 8:
		return END_SANITIZER;
	}
	return strstr(panic, "exception with no resolution") ? END_TRIPLE_FAULT : END_OTHER;
}

char emulator_state(int pid, long *cpu_ms)
{
	char path[40], text[600], state, *p;
	unsigned long user, system;
	FILE *from;
	size_t n;

	*cpu_ms = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	from = fopen(path, "re");
	if (!from)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, from);
	fclose(from);
	text[n] = '\0';
	p = strrchr(text, ')');
	if (!p || sscanf(p, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &state, &user,
			 &system) != 3)
		return 0;
	*cpu_ms = (user + system) * 1000 / sysconf(_SC_CLK_TCK);
	return state;
}
