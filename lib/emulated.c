// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "emulated.h"

#define MAX_ARGS	64
#define OUTPUT_MAX	(16 << 20)	/* of a command whose output is read */

static const struct emulated defaults = {
	.sanitizer = "warn", .cpus = 2, .memory = 768, .quantum = 16,
};

void emulated_defaults(struct emulated *e)
{
	*e = defaults;
}

/* Options */

enum {
	OPT_TOOLS = 512, OPT_BOCHS, OPT_KERNEL, OPT_SYMBOLS, OPT_INITRAMFS, OPT_KERNEL_ARGS,
	OPT_SANITIZER, OPT_TRACE, OPT_CPUS, OPT_MEMORY, OPT_QUANTUM, OPT_SCHEDULE_SEED,
	OPT_KERNEL_SOURCE, OPT_KERNEL_PATCH, OPT_KERNEL_CONFIG,
};

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "Of the emulated machine:", 1 },
	{ "machine", OPT_TOOLS, "DIR", 0, "Where the program machine is, and what it needs", 1 },
	{ "bochs", OPT_BOCHS, "FILE", 0, "The emulator", 1 },
	{ "kernel", OPT_KERNEL, "VMLINUX", 0, "What it boots", 1 },
	{ "symbols", OPT_SYMBOLS, "VMLINUX", 0, "The same with symbols", 1 },
	{ "initramfs", OPT_INITRAMFS, "FILE", 0, "With the tests in /tests", 1 },
	{ "kernel-args", OPT_KERNEL_ARGS, "TEXT", 0, "More of the kernel's command line", 1 },
	{ "kernel-source", OPT_KERNEL_SOURCE, "FILE", 0, "What it was built from; recorded", 1 },
	{ "kernel-patch", OPT_KERNEL_PATCH, "FILE", 0, "With what; recorded", 1 },
	{ "kernel-config", OPT_KERNEL_CONFIG, "NAME", 0, "The same", 1 },
	{ "cpus", OPT_CPUS, "N", 0, "Processors (default: 2)", 1 },
	{ "memory", OPT_MEMORY, "MB", 0, "Memory (default: 768)", 1 },
	{ "quantum", OPT_QUANTUM, "N", 0, "Instructions of a processor's turn (default: 16)", 1 },
	{ "schedule-seed", OPT_SCHEDULE_SEED, "N", 0, "0 (default), or turns of random length", 1 },
	{ "sanitizer", OPT_SANITIZER, "MODE", 0, "off, warn (default) or fatal", 1 },
	{ "trace", OPT_TRACE, NULL, 0, "Write a trace of each case's SEAMCALLs", 1 },
	{}
};

static unsigned long long number(struct argp_state *state, const char *name, const char *text,
				 unsigned long long min, unsigned long long max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (!isdigit(*text) || *end || errno || value < min || value > max)
		argp_failure(state, 2, 0, "--%s must be a number from %llu to %llu, not \"%s\"",
			     name, min, max, text);
	return value;
}

static void keep(struct argp_state *state, struct emulated_names *names, const char *arg)
{
	if (names->nr == EMULATED_NAMES)
		argp_failure(state, 2, 0, "more than %d patches or configurations", EMULATED_NAMES);
	names->name[names->nr++] = arg;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct emulated *e = state->input;

	switch (key) {
	case OPT_TOOLS:
		e->tools = arg;
		break;
	case OPT_BOCHS:
		e->bochs = arg;
		break;
	case OPT_KERNEL:
		e->kernel = arg;
		break;
	case OPT_SYMBOLS:
		e->symbols = arg;
		break;
	case OPT_INITRAMFS:
		e->initramfs = arg;
		break;
	case OPT_KERNEL_ARGS:
		e->kernel_args = *arg ? arg : NULL;
		break;
	case OPT_KERNEL_SOURCE:
		e->kernel_source = arg;
		break;
	case OPT_KERNEL_PATCH:
		keep(state, &e->kernel_patches, arg);
		break;
	case OPT_KERNEL_CONFIG:
		keep(state, &e->kernel_configs, arg);
		break;
	case OPT_SANITIZER:
		if (strcmp(arg, "off") && strcmp(arg, "warn") && strcmp(arg, "fatal"))
			argp_failure(state, 2, 0, "--sanitizer must be off, warn or fatal, not \"%s\"", arg);
		e->sanitizer = arg;
		break;
	case OPT_TRACE:
		e->trace = true;
		break;
	case OPT_CPUS:
		e->cpus = number(state, "cpus", arg, 1, 64);
		break;
	case OPT_MEMORY:
		e->memory = number(state, "memory", arg, 64, 2048);
		break;
	case OPT_QUANTUM:
		e->quantum = number(state, "quantum", arg, 1, 1000000);
		break;
	case OPT_SCHEDULE_SEED:
		e->schedule_seed = number(state, "schedule-seed", arg, 0, ~0ull);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

const struct argp emulated_argp = { .options = options, .parser = parse_option };

const char *emulated_missing(const struct emulated *e)
{
	return !e->tools ? "--machine" : !e->bochs ? "--bochs" : !e->kernel ? "--kernel" :
	       !e->initramfs ? "--initramfs" : NULL;
}

/* Commands */

static void __attribute__((format(printf, 2, 3))) add(char **argv, const char *fmt, ...)
{
	va_list ap;
	int n = 0;

	while (argv[n])
		n++;
	if (n == MAX_ARGS)
		abort();
	va_start(ap, fmt);
	if (vasprintf(&argv[n], fmt, ap) < 0)
		abort();
	va_end(ap);
}

static char **tool_command(const struct emulated *e, const char *what)
{
	char **argv = calloc(MAX_ARGS + 1, sizeof(*argv));

	if (!argv)
		abort();
	add(argv, "%s/machine", e->tools);
	add(argv, "%s", what);
	add(argv, "--dir");
	add(argv, "%s", e->dir);
	return argv;
}

void emulated_command_free(char **argv)
{
	int i;

	for (i = 0; argv[i]; i++)
		free(argv[i]);
	free(argv);
}

/*
 * Run it to its end.  @out receives what it prints, @err what it prints on stderr;
 * both are to be freed.  Return: its status as from waitpid(2), or -errno.
 */
static int run(char **argv, char **out, char **err)
{
	int fds[2][2], status, rc = 0, i;
	size_t len[2];
	FILE *to[2];
	pid_t pid;

	if (pipe2(fds[0], O_CLOEXEC) || pipe2(fds[1], O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		int null = open("/dev/null", O_RDONLY);
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		dup2(null, 0);
		dup2(fds[0][1], 1);
		dup2(fds[1][1], 2);
		execv(argv[0], argv);
		dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	for (i = 0; i < 2; i++)
		close(fds[i][1]);
	to[0] = open_memstream(out, &len[0]);
	to[1] = open_memstream(err, &len[1]);
	/* What goes to stderr is a line or two, and fits into the pipe. */
	for (i = 0; i < 2; i++) {
		char chunk[8192];
		size_t all = 0;
		ssize_t n;

		while ((n = read(fds[i][0], chunk, sizeof(chunk))) > 0) {
			all += n;
			if (to[i] && all < OUTPUT_MAX)
				fwrite(chunk, 1, n, to[i]);
		}
		close(fds[i][0]);
		if (!to[i] || fclose(to[i]))
			rc = -ENOMEM;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return rc ?: status;
}

/* Without "machine: " before and a newline behind it. */
static void sentence(const char *text, char *why, size_t why_len)
{
	static const char prefix[] = "machine: ";

	if (!strncmp(text, prefix, sizeof(prefix) - 1))
		text += sizeof(prefix) - 1;
	snprintf(why, why_len, "%.*s", (int)strcspn(text, "\n"), text);
}

char *emulated_release(const struct emulated *e)
{
	static const char banner[] = "Linux version ";
	int fd = open(e->kernel, O_RDONLY | O_CLOEXEC);
	char *release = NULL, *map, *at, *end;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) || (map = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED) {
		close(fd);
		return NULL;
	}
	close(fd);
	end = map + st.st_size;
	for (at = map; !release; at++) {
		at = memmem(at, end - at, banner, sizeof(banner) - 1);
		if (!at || at + 100 > end)
			break;
		/* Not the format that it is printed with. */
		if (isdigit(at[sizeof(banner) - 1]))
			release = strndup(at + sizeof(banner) - 1,
					  strcspn(at + sizeof(banner) - 1, " "));
	}
	munmap(map, st.st_size);
	if (!release)
		errno = ENOEXEC;
	return release;
}

int emulated_start(struct emulated *e, const char *dir, char *why, size_t why_len)
{
	char **argv, *out = NULL, *err = NULL;
	int status;

	e->dir = strdup(dir);
	if (!e->dir)
		return -ENOMEM;
	argv = tool_command(e, "start");
	add(argv, "--owner=%d", getpid());
	add(argv, "--bochs=%s", e->bochs);
	add(argv, "--kernel=%s", e->kernel);
	add(argv, "--initramfs=%s", e->initramfs);
	add(argv, "--cpus=%u", e->cpus);
	add(argv, "--memory=%u", e->memory);
	add(argv, "--quantum=%u", e->quantum);
	if (e->kernel_args)
		add(argv, "--kernel-args=%s", e->kernel_args);
	add(argv, "--tdx=sanitizer=%s", e->sanitizer);
	if (e->symbols)
		add(argv, "--tdx=vmlinux=%s", e->symbols);
	status = run(argv, &out, &err);
	emulated_command_free(argv);
	sentence(status < 0 ? strerror(-status) : err && *err ? err : "it does not say why", why, why_len);
	free(out);
	free(err);
	if (!status)
		return 0;
	free(e->dir);
	e->dir = NULL;
	return status < 0 ? status : -EIO;
}

void emulated_stop(struct emulated *e)
{
	char **argv, *out = NULL, *err = NULL;

	if (!e->dir)
		return;
	argv = tool_command(e, "stop");
	run(argv, &out, &err);
	emulated_command_free(argv);
	free(out);
	free(err);
	free(e->dir);
	e->dir = NULL;
}

json_t *emulated_environment(const struct emulated *e, char *why, size_t why_len)
{
	char **argv = tool_command(e, "exec"), *out = NULL, *err = NULL;
	json_error_t wrong;
	json_t *json = NULL;
	int status;

	add(argv, "--");
	add(argv, "/bin/runner");
	add(argv, "--environment");
	status = run(argv, &out, &err);
	emulated_command_free(argv);
	if (status)
		sentence(status < 0 ? strerror(-status) : err && *err ? err : "it ended badly", why, why_len);
	else if (!(json = json_loads(out, 0, &wrong)))
		snprintf(why, why_len, "what it says is no JSON: %s", wrong.text);
	free(out);
	free(err);
	return json ?: json_null();
}

char **emulated_command(const struct emulated *e, const char *results, const char *file,
			const char *address, unsigned long long n, unsigned long long seed,
			unsigned long long schedule_seed)
{
	char **argv = tool_command(e, "exec");

	add(argv, "--results=%s", results);
	add(argv, "--console=%s/kmsg", results);
	add(argv, "--option=seed=%llu", seed);
	add(argv, "--option=schedule_seed=%llu", schedule_seed);
	if (e->trace)
		add(argv, "--option=trace=%s/%llu.trace", results, n);
	add(argv, "--");
	add(argv, "/tests/%s", file);
	add(argv, "-r");
	add(argv, "%s", address);
	return argv;
}

static json_t *names_json(const struct emulated_names *names)
{
	json_t *json = json_array();
	unsigned int i;

	/* A file's name need not be UTF-8. */
	for (i = 0; json && i < names->nr; i++)
		json_array_append_new(json, json_string(names->name[i]) ?: json_null());
	return json;
}

json_t *emulated_json(const struct emulated *e)
{
	char seed[24];

	snprintf(seed, sizeof(seed), "0x%llx", e->schedule_seed);
	return json_pack("{si si si ss ss* ss* so so ss sb}", "cpus", e->cpus, "memory", e->memory,
			 "quantum", e->quantum, "schedule_seed", seed,
			 "kernel_args", e->kernel_args,
			 "kernel_source", e->kernel_source,
			 "kernel_patches", names_json(&e->kernel_patches),
			 "kernel_configs", names_json(&e->kernel_configs),
			 "sanitizer", e->sanitizer, "trace", e->trace);
}

/* As a shell reads it back. */
static void print_quoted(const char *text, FILE *to)
{
	fputc('\'', to);
	for (; *text; text++)
		fprintf(to, *text == '\'' ? "'\\''" : "%c", *text);
	fputc('\'', to);
}

/* Nothing if there is no @text. */
static void print_option(const char *option, const char *text, FILE *to)
{
	if (!text)
		return;
	fprintf(to, " --%s ", option);
	print_quoted(text, to);
}

static void print_names(const char *option, const struct emulated_names *names, FILE *to)
{
	unsigned int i;

	for (i = 0; i < names->nr; i++)
		print_option(option, names->name[i], to);
}

void emulated_print_options(const struct emulated *e, unsigned long long schedule_seed, FILE *to)
{
	fprintf(to, " --platform emulated");
	if (schedule_seed)
		fprintf(to, " --schedule-seed 0x%llx", schedule_seed);
	if (e->quantum != defaults.quantum)
		fprintf(to, " --quantum %u", e->quantum);
	if (e->cpus != defaults.cpus)
		fprintf(to, " --cpus %u", e->cpus);
	if (e->memory != defaults.memory)
		fprintf(to, " --memory %u", e->memory);
	if (strcmp(e->sanitizer, defaults.sanitizer))
		fprintf(to, " --sanitizer %s", e->sanitizer);
	print_option("kernel-args", e->kernel_args, to);
	print_option("kernel-source", e->kernel_source, to);
	print_names("kernel-patch", &e->kernel_patches, to);
	print_names("kernel-config", &e->kernel_configs, to);
}
