// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulated machine, from the host's side: start it once, run any number of
 * commands in copies of it.
 */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"
#include "wire.h"

#define MAX_OPTIONS	64

static const char usage[] =
"Usage: machine start --dir DIR --bochs FILE --kernel VMLINUX --initramfs FILE\n"
"               [OPTION...]\n"
"       machine exec --dir DIR [OPTION...] -- COMMAND [ARGUMENT...]\n"
"       machine shell --dir DIR [OPTION...] [-- COMMAND [ARGUMENT...]]\n"
"       machine status --dir DIR\n"
"       machine stop --dir DIR\n"
"\n"
"start boots a machine and returns; what it leaves in DIR is bochsrc, console.log\n"
"and bochs.log.  It finds rom.bin, boot_image and msrs.def beside itself.  exec runs\n"
"a command in a copy of the machine as it was then, and shell one with a terminal\n"
"(Ctrl-] leaves).\n"
"\n"
"start:\n"
"  --cpus N, --memory MB      (2, 768)\n"
"  --quantum N                instructions of a processor's turn (16)\n"
"  --kernel-args TEXT         more of the kernel's command line\n"
"  --tdx KEY=VALUE            option of the emulated TDX; may be repeated\n"
"  --hang N                   a machine silent for N seconds of its own time hangs\n"
"                             (15; 0: never)\n"
"  --owner PID                end when this process does\n"
"  --gdb PORT                 wait there for gdb; with --cpus 1, and the emulator that\n"
"                             emulator/bochs/build.sh --gdb makes\n"
"exec and shell:\n"
"  --option KEY=VALUE         of the emulator: seed, schedule_seed, quantum,\n"
"                             sanitizer, trace; may be repeated\n"
"  --env NAME=VALUE           for the command, besides all SEPT_*; may be repeated\n"
"  --timeout SECONDS          limit, in the machine's time\n"
"  --console FILE             append the console to it\n"
"  --log FILE                 the emulator's log\n"
"  --progress                 say how many instructions the machine has executed\n"
"  --results DIR              append the files of $SEPT_RESULTS to those in DIR\n"
"\n"
"The exit status of exec is the command's, 128 and the signal that ended it, 124\n"
"if the kernel died or hung, 125 if the emulator did, 2 or 3 if nothing was run.\n";

enum {
	OPT_DIR = 256, OPT_BOCHS, OPT_KERNEL, OPT_INITRAMFS, OPT_CPUS,
	OPT_MEMORY, OPT_QUANTUM, OPT_KERNEL_ARGS, OPT_TDX, OPT_HANG, OPT_OWNER, OPT_GDB,
	OPT_OPTION, OPT_ENV, OPT_TIMEOUT, OPT_CONSOLE, OPT_LOG, OPT_RESULTS, OPT_PROGRESS,
	OPT_HELP,
};

static const struct option options[] = {
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "bochs", required_argument, NULL, OPT_BOCHS },
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initramfs", required_argument, NULL, OPT_INITRAMFS },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "quantum", required_argument, NULL, OPT_QUANTUM },
	{ "kernel-args", required_argument, NULL, OPT_KERNEL_ARGS },
	{ "tdx", required_argument, NULL, OPT_TDX },
	{ "hang", required_argument, NULL, OPT_HANG },
	{ "owner", required_argument, NULL, OPT_OWNER },
	{ "gdb", required_argument, NULL, OPT_GDB },
	{ "option", required_argument, NULL, OPT_OPTION },
	{ "env", required_argument, NULL, OPT_ENV },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "console", required_argument, NULL, OPT_CONSOLE },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "results", required_argument, NULL, OPT_RESULTS },
	{ "progress", no_argument, NULL, OPT_PROGRESS },
	{ "help", no_argument, NULL, OPT_HELP },
	{}
};

static unsigned int number(const char *name, const char *text, unsigned int min, unsigned int max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < min || value > max)
		die(EXIT_USAGE, "--%s must be a number from %u to %u, not \"%s\"", name, min, max, text);
	return value;
}

static const char *absolute(const char *name, const char *path)
{
	char *real = realpath(path, NULL);

	if (!real)
		die(EXIT_USAGE, "--%s %s: %s", name, path, strerror(errno));
	return real;
}

/* What was built with this program. */
static const char *beside(const char *name)
{
	char self[PATH_MAX], *path;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	if (asprintf(&path, "%s/%s", dirname(self), name) < 0 || access(path, R_OK))
		die(EXIT_ENVIRONMENT, "there is no %s that can be read beside this program", name);
	return path;
}

/* One more option of the bochsrc's line "tdx:". */
static void add_tdx(char *line, size_t len, const char *option)
{
	size_t at = strlen(line);

	if (!strchr(option, '=') || strpbrk(option, ",\" \n"))
		die(EXIT_USAGE, "\"%s\" cannot be an option of the emulated TDX", option);
	if (at + strlen(option) + 3 > len)
		die(EXIT_USAGE, "too many of --tdx");
	snprintf(line + at, len - at, ", %s", option);
}

/* Ask the supervisor, and print what it says. */
static int ask(const char *dir, const char *question)
{
	int fd = wire_connect(dir), fds[NR_PASSED];
	char text[MESSAGE_MAX];
	ssize_t n;

	if (fd < 0)
		die(EXIT_ENVIRONMENT, "no machine is running in %s (%s)", dir, strerror(-fd));
	wire_send(fd, question, NULL);
	n = wire_receive(fd, text, fds);
	if (n > 0)
		puts(text);
	else if (strcmp(question, "stop"))
		die(EXIT_ENVIRONMENT, "the supervisor in %s is gone", dir);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	static const char *emulator_options[MAX_OPTIONS], *env[MAX_OPTIONS];
	static char tdx[2048];
	static char *shell[] = { "sh", "-l", NULL };
	struct start_options start = {
		.kernel_args = "", .tdx = tdx, .cpus = 2, .memory = 768, .quantum = 16, .hang = 15,
	};
	struct exec_options exec = { .options = emulator_options, .env = env };
	unsigned int nr_options = 0, nr_env = 0;
	const char *command, *dir = NULL;
	int opt, index = 0;

	if (argc > 1 && !strcmp(argv[1], "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	command = argc > 1 ? argv[1] : "";
	if (strcmp(command, "start") && strcmp(command, "exec") && strcmp(command, "shell") &&
	    strcmp(command, "status") && strcmp(command, "stop"))
		die(EXIT_USAGE, "\"%s\" is none of start, exec, shell, status, stop; see machine --help",
		    command);
	argv[1] = argv[0];
	argc--;
	argv++;
	while ((opt = getopt_long(argc, argv, "+", options, &index)) != -1) {
		switch (opt) {
		case OPT_DIR:
			dir = optarg;
			break;
		case OPT_BOCHS:
			start.bochs = absolute("bochs", optarg);
			break;
		case OPT_KERNEL:
			start.kernel = absolute("kernel", optarg);
			break;
		case OPT_INITRAMFS:
			start.initramfs = absolute("initramfs", optarg);
			break;
		case OPT_CPUS:
			start.cpus = number("cpus", optarg, 1, 64);
			break;
		case OPT_MEMORY:
			start.memory = number("memory", optarg, 64, 2048);
			break;
		case OPT_QUANTUM:
			start.quantum = number("quantum", optarg, 1, 1000000);
			break;
		case OPT_KERNEL_ARGS:
			start.kernel_args = optarg;
			break;
		case OPT_TDX:
			add_tdx(tdx, sizeof(tdx), optarg);
			break;
		case OPT_HANG:
			start.hang = number("hang", optarg, 0, 86400);
			break;
		case OPT_OWNER:
			start.owner = number("owner", optarg, 1, INT_MAX);
			break;
		case OPT_GDB:
			start.gdb = number("gdb", optarg, 1, 65535);
			break;
		case OPT_OPTION:
		case OPT_ENV:
			if (!strchr(optarg, '='))
				die(EXIT_USAGE, "\"%s\" has no '='", optarg);
			if ((opt == OPT_ENV ? nr_env : nr_options) == MAX_OPTIONS - 1)
				die(EXIT_USAGE, "more than %d of --option or --env", MAX_OPTIONS - 1);
			if (opt == OPT_ENV)
				env[nr_env++] = optarg;
			else
				emulator_options[nr_options++] = optarg;
			break;
		case OPT_TIMEOUT:
			number("timeout", optarg, 1, 86400);
			exec.seconds = optarg;
			break;
		case OPT_CONSOLE:
			exec.console = optarg;
			break;
		case OPT_LOG:
			exec.log = optarg;
			break;
		case OPT_RESULTS:
			exec.results = optarg;
			break;
		case OPT_PROGRESS:
			exec.progress = 1;
			break;
		case OPT_HELP:
			fputs(usage, stdout);
			return 0;
		default:
			return EXIT_USAGE;
		}
	}
	if (!dir)
		die(EXIT_USAGE, "--dir must name the machine's folder");
	argv += optind;

	if (!strcmp(command, "start")) {
		if (!start.bochs || !start.kernel || !start.initramfs)
			die(EXIT_USAGE, "start needs --bochs, --kernel and --initramfs");
		if (start.gdb && start.cpus != 1)
			die(EXIT_USAGE, "--gdb wants --cpus 1: Bochs' stub knows one processor");
		start.rom = beside("rom.bin");
		start.boot_image = beside("boot_image");
		start.msrs = beside("msrs.def");
		/* The emulator works in there. */
		start.dir = *dir == '/' ? dir : NULL;
		if (!start.dir)
			die(EXIT_USAGE, "--dir must be an absolute path, not \"%s\"", dir);
		return machine_start(&start);
	}
	if (!strcmp(command, "status") || !strcmp(command, "stop"))
		return ask(dir, command);
	exec.dir = dir;
	exec.argv = argv;
	if (!strcmp(command, "shell")) {
		exec.terminal = 1;
		if (!*argv)
			exec.argv = shell;
	} else if (!*argv) {
		die(EXIT_USAGE, "exec needs a command");
	}
	return machine_exec(&exec);
}
