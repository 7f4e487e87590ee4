// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lines of text through an I/O port; emulator/bochs/channel.h has the device.
 *
 * SEPT_EMULATOR_FD is a descriptor that stands for the port, for tests of this
 * project's own code.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/io.h>
#include <unistd.h>

#include "emulator.h"

#define PORTS		0x5ed0
#define NR_PORTS	16
#define PORT_MACHINE	0x5ed4
#define PORT_CONTROL	0x5ed8
#define MAGIC		0x45584454	/* "TDXE" */
#define PAGE_BYTES	4096

static int stand_in(void)
{
	const char *env = getenv("SEPT_EMULATOR_FD");

	return env && *env ? atoi(env) : -1;
}

/* Only then is it known what these ports are. */
static bool cmdline_says_so(void)
{
	static const char word[] = "tdx_sept.platform=emulated";
	char line[4096];
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, line, sizeof(line) - 1) : 0;
	const char *at;

	if (fd >= 0)
		close(fd);
	line[n > 0 ? n : 0] = '\0';
	at = strstr(line, word);
	return at && (at == line || at[-1] == ' ') && strchr(" \n", at[sizeof(word) - 1]);
}

const char *emulator_why_not(void)
{
	static char why[120];
	static enum { UNKNOWN, HERE, NOT_HERE } known;

	if (stand_in() >= 0)
		return NULL;
	if (known != UNKNOWN)
		return known == HERE ? NULL : why;
	known = NOT_HERE;
	if (!cmdline_says_so())
		snprintf(why, sizeof(why), "this is not the emulated machine: run with --platform emulated");
	else if (ioperm(PORTS, NR_PORTS, 1))
		snprintf(why, sizeof(why), "the emulator cannot be reached: ioperm: %s", strerror(errno));
	else if (inl(PORT_MACHINE) != MAGIC)
		snprintf(why, sizeof(why), "the emulator does not answer on its port");
	else
		known = HERE;
	return known == HERE ? NULL : why;
}

static int send_line(const char *line)
{
	const size_t len = strlen(line);

	if (stand_in() < 0) {
		outsb(PORT_CONTROL, line, len);
		return 0;
	}
	return write(stand_in(), line, len) == (ssize_t)len ? 0 : -EIO;
}

static int read_byte(void)
{
	unsigned char byte;

	if (stand_in() < 0)
		return inb(PORT_CONTROL);
	return read(stand_in(), &byte, 1) == 1 ? byte : -EIO;
}

/* Return: 1 at the last line. */
static int read_line(FILE *to, bool *refused)
{
	char line[65536];
	size_t len = 0;
	int byte;

	while ((byte = read_byte()) != '\n') {
		if (byte < 0)
			return byte;
		if (len < sizeof(line) - 1)
			line[len++] = byte;
	}
	line[len] = '\0';
	*refused = !strncmp(line, "error: ", 7);
	if (!strcmp(line, "ok"))
		return 1;
	fprintf(to, "%s%s", *refused ? line + 7 : line, *refused ? "" : "\n");
	return *refused;
}

static int converse(const char *line, FILE *to)
{
	/* Any file will do that all processes can open. */
	int lock = open("/dev/null", O_RDONLY | O_CLOEXEC), err;
	bool refused = false;

	if (lock < 0)
		return -errno;
	err = flock(lock, LOCK_EX) ? -errno : send_line(line);
	while (!err)
		err = read_line(to, &refused);
	close(lock);
	if (err < 0)
		return err;
	return refused ? -EINVAL : 0;
}

int emulator_ask(char **answer, const char *fmt, ...)
{
	char command[1024], *text = NULL;
	size_t len;
	va_list ap;
	FILE *to;
	int n, err;

	if (answer)
		*answer = NULL;
	if (emulator_why_not())
		return -ENODEV;
	va_start(ap, fmt);
	n = vsnprintf(command, sizeof(command) - 1, fmt, ap);
	va_end(ap);
	if (n < 0 || n >= (int)sizeof(command) - 1 || strchr(command, '\n'))
		return -E2BIG;
	strcat(command, "\n");
	to = open_memstream(&text, &len);
	if (!to)
		return -ENOMEM;
	err = converse(command, to);
	if (fclose(to))
		err = err ?: -ENOMEM;
	if (answer)
		*answer = text;
	else
		free(text);
	return err;
}

int emulator_inject(const char *leaf, const char *status, const char *when)
{
	return emulator_ask(NULL, "inject %s %s %s", leaf, status, when);
}

int emulator_linger(unsigned int instructions)
{
	return emulator_ask(NULL, "linger %u", instructions);
}

int emulator_reset(void)
{
	return emulator_ask(NULL, "reset");
}

int emulator_count_start(void)
{
	return emulator_ask(NULL, "stats reset");
}

/* With or without its prefix. */
static bool is_name(const char *name, const char *prefix, const char *word)
{
	const size_t len = strlen(prefix);

	return !strcasecmp(name, word) ||
	       (!strncasecmp(name, prefix, len) && !strcasecmp(name + len, word));
}

int emulator_count(const char *leaf, const char *status, struct emulator_calls *calls)
{
	char *answer, *line, *save, name[64], of[64];
	unsigned long long nr, injected;
	int err = emulator_ask(&answer, "stats");

	memset(calls, 0, sizeof(*calls));
	for (line = err ? NULL : strtok_r(answer, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "%63s %63s %llu %llu", name, of, &nr, &injected) != 4) {
			err = -EPROTO;
			break;
		}
		if ((leaf && !is_name(name, "TDH.", leaf) && !is_name(name, "TDG.", leaf)) ||
		    (status && !is_name(of, "TDX_", status)))
			continue;
		calls->nr += nr;
		calls->injected += injected;
	}
	free(answer);
	return err;
}

int emulator_private_gpa(__u64 pfn, __u64 *gpa)
{
	unsigned long long at;
	char *answer;
	int err = emulator_ask(&answer, "owner 0x%llx", pfn * PAGE_BYTES);

	/* Type and GPA, as emulator/tdx_module/tdx_module.h numbers page types. */
	if (!err && sscanf(answer, "type=3 tdr=%*s keyid=%*u gpa=%llx", &at) == 1)
		*gpa = at;
	else if (!err)
		err = -ENOENT;
	free(answer);
	return err;
}

const char *emulator_sanitizer_why_not(void)
{
	const char *why = emulator_why_not();
	char *status = NULL;

	if (!why && !emulator_ask(&status, "sanitizer status") && !strncmp(status, "off", 3))
		why = "the sanitizer is off: run without --sanitizer off";
	free(status);
	return why;
}

int emulator_tds(unsigned int *nr)
{
	char *answer;
	int err = emulator_ask(&answer, "sanitizer tds");

	if (!err && sscanf(answer, "%u", nr) != 1)
		err = -EPROTO;
	free(answer);
	return err;
}

static const char *member(const json_t *report, const char *name)
{
	const char *text = json_string_value(json_object_get(report, name));

	return text ?: "";
}

/* Where the host was, but for the wrappers of SEAMCALL. */
static const char *where_in(const json_t *frames)
{
	const char *where = NULL;
	size_t i;

	for (i = 0; i < json_array_size(frames); i++) {
		where = json_string_value(json_array_get(frames, i));
		if (where && strncmp(where, "__seamcall", 10))
			return where;
	}
	return where;
}

/* The text has what tells one report from another. */
void emulator_finding(const json_t *report, struct finding *f)
{
	const char *where = where_in(json_object_get(report, "backtrace"));
	const char *gpa = member(report, "gpa"), *tdr = member(report, "tdr");
	const char *pa = member(report, "pa");

	finding_set(f, member(report, "rule"), "%s: %s%s%s%s%s%s%s%s", member(report, "text"),
		    *pa ? "page " : "", pa, *tdr ? " of TD " : "", tdr, *gpa ? " at GPA " : "", gpa,
		    where ? ", host at " : "", where ?: "");
}

int emulator_reports(void (*visit)(void *ctx, const struct finding *f, const char *json),
		     void *ctx)
{
	char *answer, *line, *save;
	int nr = 0, err = emulator_ask(&answer, "sanitizer report");
	struct finding f;
	json_t *report;

	for (line = err ? NULL : strtok_r(answer, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		report = json_loads(line, 0, NULL);
		if (report)
			emulator_finding(report, &f);
		else
			finding_set(&f, "sanitizer", "a report that cannot be read: %s", line);
		json_decref(report);
		visit(ctx, &f, line);
		nr++;
	}
	free(answer);
	return err ?: nr;
}
