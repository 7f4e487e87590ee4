// SPDX-License-Identifier: GPL-2.0-only
/*
 * The runner's command line.
 */
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

struct runner_options opt = {
	.results = "results", .commit = "unknown",
	.settle_ms = DEFAULT_SETTLE, .jobs = 1, .repeat = 1, .limits = 1,
	.expect_pin = "auto",
};

enum {
	OPT_BIN_DIR = 256, OPT_RESULTS, OPT_PLATFORM, OPT_VM_TYPE, OPT_REPEAT, OPT_SEED,
	OPT_TIMEOUT, OPT_SETTLE, OPT_JOBS, OPT_JSON, OPT_JUNIT, OPT_REPORT, OPT_LIST,
	OPT_COMMIT, OPT_COMMAND_LINE, OPT_LINUX_ORIGIN, OPT_EXPLORE, OPT_ENVIRONMENT,
	OPT_JUNIT_APPEND, OPT_ERRATA, OPT_SUITE, OPT_RUN, OPT_SKIP, OPT_ROUNDS, OPT_LIMITS,
	OPT_EXPECT_PIN, OPT_ROUNDS_OF,
};

static const struct argp_option options[] = {
	{ "bin-dir", OPT_BIN_DIR, "DIR", 0, "The tests are in DIR/tests (default: this program's folder)", 0 },
	{ "results", OPT_RESULTS, "DIR", 0, "Where the run's folder is made (default: results)", 0 },
	{ "platform", OPT_PLATFORM, "NAME", 0, "host, emulated or hardware (default: what this is)", 0 },
	{ "suite", OPT_SUITE, "NAME", 0, "What to record as the name of what the next five options say", 0 },
	{ "run", OPT_RUN, "GLOB", 0, "Run these cases; may be repeated", 0 },
	{ "skip", OPT_SKIP, "GLOB", 0, "But not these; may be repeated", 0 },
	{ "rounds", OPT_ROUNDS, "N", 0, "How often cases do what they repeat (default: 0, each test's own)", 0 },
	{ "rounds-of", OPT_ROUNDS_OF, "GLOB=N", 0, "And how often these; may be repeated, the last that matches counts", 0 },
	{ "limits", OPT_LIMITS, "N", 0, "Multiply the tests' own time limits (default: 1)", 0 },
	{ "vm-type", OPT_VM_TYPE, "TYPE", 0, "Only cases for default, sw_protected or tdx", 0 },
	{ "repeat", OPT_REPEAT, "N|until-fail", 0, "Run everything N times, or until a case does not pass", 0 },
	{ "seed", OPT_SEED, "N|random", 0, "Seed of the run; for a single case, its own", 0 },
	{ "timeout", OPT_TIMEOUT, "SECONDS", 0, "Limit of each case (default: 0, the test's own)", 0 },
	{ "settle-ms", OPT_SETTLE, "MS", 0, "How long to wait for transient references (default: 2000)", 0 },
	{ "expect-pin", OPT_EXPECT_PIN, "WHAT", 0, "References that the S-EPT must hold to a page: 0, 1 or auto (default): as a control page shows", 0 },
	{ "jobs", OPT_JOBS, "N", 0, "Cases at once (default: 1)", 0 },
	{ "json", OPT_JSON, NULL, 0, "One JSON document on stdout; progress goes to stderr", 0 },
	{ "junit", OPT_JUNIT, "FILE", 0, "Also write JUnit XML (needs python3)", 0 },
	{ "junit-append", OPT_JUNIT_APPEND, NULL, 0, "Add to what is in that file", 0 },
	{ "report", OPT_REPORT, "FILE", 0, "Where report.py is (default: beside this program)", 0 },
	{ "errata", OPT_ERRATA, "FILE", 0, "What is known to be wrong in kernels (default: nothing)", 0 },
	{ "list", OPT_LIST, NULL, 0, "Print the addresses of the cases and run none", 0 },
	{ "commit", OPT_COMMIT, "NAME", 0, "What to record as the commit of the suite", 0 },
	{ "command-line", OPT_COMMAND_LINE, "TEXT", 0, "What to record as the command", 0 },
	{ "explore", OPT_EXPLORE, "N", 0, "N interleavings of the emulated processors, until one fails", 0 },
	{ "environment", OPT_ENVIRONMENT, NULL, 0, "Print what this machine is, as JSON, and run nothing", 0 },
	{ "linux-origin", OPT_LINUX_ORIGIN, "FILE", 0, "What to record about the kernel tree built against", 0 },
	{}
};

static unsigned long long parse_number(const char *name, const char *text, int base,
				       unsigned long long min, unsigned long long max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, base);
	if (isdigit(*text) && !*end && !errno && value >= min && value <= max)
		return value;
	if (max == ~0ull)
		die(EXIT_USAGE, "%s must be a number of up to 64 bits, not \"%s\"", name, text);
	die(EXIT_USAGE, "%s must be a number from %llu to %llu, not \"%s\"", name, min, max,
	    text);
}

static void parse_seed(const char *name, const char *text)
{
	opt.seed_given = strcmp(text, "random");
	if (opt.seed_given)
		opt.seed = parse_number(name, text, 0, 0, ~0ull);
}

static const char *parse_choice(const char *name, const char *text, const char *a,
				const char *b, const char *c)
{
	if (strcmp(text, a) && strcmp(text, b) && strcmp(text, c))
		die(EXIT_USAGE, "%s must be %s, %s or %s, not \"%s\"", name, a, b, c, text);
	return text;
}

static void add_glob(struct globs *globs, char *glob)
{
	globs->list = need(realloc(globs->list, (globs->nr + 1) * sizeof(*globs->list)));
	globs->list[globs->nr++] = glob;
}

static void add_rounds_of(char *arg)
{
	char *number = strchr(arg, '=');

	if (!number)
		die(EXIT_USAGE, "--rounds-of must be GLOB=N, not \"%s\"", arg);
	*number++ = '\0';
	add_glob(&opt.rounds_of, arg);
	opt.rounds_of_nr = need(realloc(opt.rounds_of_nr, opt.rounds_of.nr * sizeof(*opt.rounds_of_nr)));
	opt.rounds_of_nr[opt.rounds_of.nr - 1] = parse_number("--rounds-of", number, 10, 1, 1000000000);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &opt.machine;
		break;
	case OPT_EXPLORE:
		opt.explore = true;
		opt.repeat = parse_number("--explore", arg, 10, 1, 1000000000);
		break;
	case OPT_ENVIRONMENT:
		opt.environment = true;
		break;
	case OPT_BIN_DIR:
		opt.bin_dir = arg;
		break;
	case OPT_RESULTS:
		opt.results = arg;
		break;
	case OPT_PLATFORM:
		opt.platform = parse_choice("--platform", arg, "host", "emulated", "hardware");
		break;
	case OPT_SUITE:
		opt.suite = arg;
		break;
	case OPT_RUN:
		add_glob(&opt.run, arg);
		break;
	case OPT_SKIP:
		add_glob(&opt.skip, arg);
		break;
	case OPT_ROUNDS:
		opt.rounds = parse_number("--rounds", arg, 10, 0, 1000000000);
		break;
	case OPT_ROUNDS_OF:
		add_rounds_of(arg);
		break;
	case OPT_LIMITS:
		opt.limits = parse_number("--limits", arg, 10, 1, 1000);
		break;
	case OPT_VM_TYPE:
		opt.vm_type = parse_choice("--vm-type", arg, "default", "sw_protected", "tdx");
		break;
	case OPT_REPEAT:
		opt.until_fail = !strcmp(arg, "until-fail");
		if (opt.until_fail)
			break;
		if (!isdigit(*arg))
			die(EXIT_USAGE, "--repeat must be a number or until-fail, not \"%s\"", arg);
		opt.repeat = parse_number("--repeat", arg, 10, 1, 1000000000);
		break;
	case OPT_SEED:
		parse_seed("--seed", arg);
		break;
	case OPT_TIMEOUT:
		opt.timeout = parse_number("--timeout", arg, 10, 0, 24 * 3600);
		break;
	case OPT_SETTLE:
		opt.settle_ms = parse_number("--settle-ms", arg, 10, 0, 600000);
		break;
	case OPT_EXPECT_PIN:
		opt.expect_pin = parse_choice("--expect-pin", arg, "auto", "0", "1");
		break;
	case OPT_JOBS:
		opt.jobs = parse_number("--jobs", arg, 10, 1, 1024);
		break;
	case OPT_JSON:
		opt.json = true;
		break;
	case OPT_JUNIT:
		opt.junit = arg;
		break;
	case OPT_JUNIT_APPEND:
		opt.junit_append = true;
		break;
	case OPT_ERRATA:
		opt.errata = arg;
		break;
	case OPT_REPORT:
		opt.report = arg;
		break;
	case OPT_LIST:
		opt.list = true;
		break;
	case OPT_COMMIT:
		opt.commit = arg;
		break;
	case OPT_COMMAND_LINE:
		opt.command_line = arg;
		break;
	case OPT_LINUX_ORIGIN:
		opt.linux_origin = arg;
		break;
	case ARGP_KEY_ARG:
		add_glob(&opt.named, arg);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_child children[] = { { .argp = &emulated_argp }, {} };

static const struct argp argp = {
	.options = options, .parser = parse_option, .args_doc = "[GLOB...]", .children = children,
	.doc = "Run the cases whose address, file or file.variant a GLOB matches, or all."
	       "\vExit status: 0 passed, 1 failed, 2 usage, 3 environment or infrastructure, "
	       "4 nothing ran, 129, 130 and 143 hung up, interrupted, terminated.",
};

/* What the environment says holds where no option says otherwise. */
static void options_from_environment(void)
{
	const char *text;

	text = getenv("SEPT_SEED");
	if (text && *text)
		parse_seed("SEPT_SEED", text);
	text = getenv("SEPT_TIMEOUT");
	if (text && *text)
		opt.timeout = parse_number("SEPT_TIMEOUT", text, 10, 0, 24 * 3600);
	text = getenv("SEPT_ROUNDS");
	if (text && *text)
		opt.rounds = parse_number("SEPT_ROUNDS", text, 10, 0, 1000000000);
	text = getenv("SEPT_EXPECT_PIN");
	if (text && *text)
		opt.expect_pin = parse_choice("SEPT_EXPECT_PIN", text, "auto", "0", "1");
	text = getenv("SEPT_SETTLE_MS");
	if (text && *text)
		opt.settle_ms = parse_number("SEPT_SETTLE_MS", text, 10, 0, 600000);
}

void options_read(int argc, char **argv)
{
	argp_err_exit_status = EXIT_USAGE;
	emulated_defaults(&opt.machine);
	options_from_environment();
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
}

void options_check(void)
{
	const char *missing;

	run.emulated = opt.platform && !strcmp(opt.platform, "emulated");
	missing = run.emulated && !opt.list ? emulated_missing(&opt.machine) : NULL;
	if (missing)
		die(EXIT_USAGE, "--platform emulated needs %s", missing);
	if (opt.explore && !run.emulated)
		die(EXIT_USAGE, "--explore is for --platform emulated");
	if (opt.explore && opt.until_fail)
		die(EXIT_USAGE, "--explore ends at the first failure by itself, without --repeat until-fail");
}
