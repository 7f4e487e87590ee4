// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs cases and keeps what they say: run.sh's engine, and by itself all that is
 * needed where there is neither shell nor Python.
 *
 * Each case is a process in the care of a keeper (keeper.h).  The case's own
 * supervisor (supervise.h) comes to the verdict and sends it through a pipe;
 * this program never makes one better.  It decides only where no verdict came,
 * or one that cannot be: a crash or a hang is a FAIL, anything else an ERROR.
 *
 * Every case that is begun ends as exactly one "end" line of cases.jsonl.
 */
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>
#include <linux/close_range.h>

#include "cases.h"
#include "emulated.h"
#include "emulator.h"
#include "env.h"
#include "finding.h"
#include "folio_bpf.h"
#include "host.h"
#include "keeper.h"
#include "kmsg.h"
#include "results.h"
#include "supervise.h"
#include "runner/run.h"

#define BACKSTOP_MS	15000	/* what a supervisor may take beyond its limit */
#define VERDICT_MAX	65536	/* bytes of a verdict record */
#define OUTPUT_MAX	(4 << 20) /* bytes of a case's output that are kept */
/*
 * The emulated machine has slow processors and a time of its own.  Limits are in
 * that time, and the case's supervisor and "machine exec" see to them; the last is
 * for a "machine exec" that does not.
 */
#define MACHINE_SLOWER	10		/* than what the tests' limits are made for */
#define MACHINE_WALL	30		/* seconds of the host for one of the machine's */
#define MACHINE_MAX_S	(12 * 3600)

enum {
	EXIT_PASSED = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_ENVIRONMENT = 3,
	EXIT_NOTHING_RAN = 4,
	EXIT_SIGNAL = 128,	/* plus its number */
};

struct runner_options opt = {
	.results = "results", .commit = "unknown",
	.settle_ms = 2000, .jobs = 1, .repeat = 1, .limits = 1,
	.expect_pin = "auto",
};

struct runner run;

void *need(void *p)
{
	if (!p)
		die(EXIT_ENVIRONMENT, "out of memory");
	return p;
}

long ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 +
	       (now.tv_nsec - start->tv_nsec) / 1000000;
}

const char *utc_now(void)
{
	static char text[64];
	struct timespec now;
	char seconds[32];
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
	snprintf(text, sizeof(text), "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
	return text;
}

const char *hex(unsigned long long n)
{
	static char text[24];

	snprintf(text, sizeof(text), "0x%llx", n);
	return text;
}

/* Nothing that a case says may move the cursor or fake a line. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
			*text = ' ';
}

/* Results that cannot be written end the run, once and with one sentence. */
static void check_results(int rc)
{
	if (!rc || run.broken)
		return;
	run.broken = -rc;
	run.stop = true;
	complain("the results cannot be written to %s: %s; ending the run",
		 run.dir, strerror(-rc));
}

/* Options */

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
	       "4 nothing ran, 130 and 143 interrupted.",
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

static char *own_folder(void)
{
	char *path = realpath("/proc/self/exe", NULL);

	if (!path)
		die(EXIT_ENVIRONMENT, "cannot read /proc/self/exe: %s; mount /proc",
		    strerror(errno));
	*strrchr(path, '/') = '\0';
	return path;
}

/* Seeds */

static unsigned long long mix(unsigned long long x)
{
	/* splitmix64: every bit of the input reaches every bit of the output. */
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* Short enough to be typed, never 0. */
static unsigned long long shorten(unsigned long long seed)
{
	return (seed & 0xffffffff) ?: 1;
}

/*
 * A single case gets the run's seed itself, so that the seed that a failure
 * names replays it.
 */
static unsigned long long case_seed(const struct test_case *c, unsigned long long repeat)
{
	unsigned long long seed = mix(opt.seed);
	const char *p;

	if (run.nr_total == 1 || (opt.explore && run.cases.nr == 1))
		return opt.seed;
	/* Of what is explored, nothing but the schedule is to differ. */
	if (!opt.explore)
		seed ^= repeat;
	for (p = c->address; *p; p++)
		seed = mix(seed ^ (unsigned char)*p);
	return shorten(seed);
}

static unsigned long long schedule_seed(unsigned long long repeat)
{
	return opt.explore ? shorten(mix(mix(opt.seed) + repeat)) : opt.machine.schedule_seed;
}

/* Results */

static json_t *options_json(void)
{
	json_t *globs = json_array(), *json;
	unsigned int i;

	for (i = 0; i < opt.named.nr; i++)
		json_array_append_new(globs, json_string(opt.named.list[i]));
	json = need(json_pack("{so ss? ss? si si ss si si si}", "globs", globs, "suite", opt.suite,
			      "vm_type", opt.vm_type, "rounds", opt.rounds,
			      "limits", opt.limits, "expect_pin", opt.expect_pin, "timeout", opt.timeout,
			      "settle_ms", opt.settle_ms, "jobs", opt.jobs));
	json_object_set_new(json, "repeat", opt.until_fail ? json_string("until-fail") :
			    json_integer(opt.repeat));
	if (run.emulated) {
		json_object_set_new(json, "explore", json_boolean(opt.explore));
		json_object_set_new(json, "machine", need(emulated_json(&opt.machine)));
	}
	return json;
}

static json_t *selected_json(void)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < run.cases.nr; i++) {
		struct test_case *c = &run.cases.list[i];

		json_array_append_new(list, json_pack("{ss si sb}", "case", c->address,
						      "seconds", c->seconds,
						      "serial", c->serial));
	}
	return list;
}

/* The file as JSON if it is some, else as a string; null if there is none. */
static json_t *origin_json(void)
{
	char text[8192];
	json_t *json;
	FILE *from;
	size_t len;

	if (!opt.linux_origin)
		return json_null();
	json = json_load_file(opt.linux_origin, JSON_DECODE_ANY, NULL);
	if (json)
		return json;
	from = fopen(opt.linux_origin, "re");
	if (!from) {
		complain("cannot read %s: %s; going on without", opt.linux_origin,
			 strerror(errno));
		return json_null();
	}
	len = fread(text, 1, sizeof(text) - 1, from);
	fclose(from);
	while (len && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
	return json_string(text) ?: json_null();
}

bool is_faked(void)
{
	const char *refs = getenv("SEPT_FAKE_REFS"), *kmsg = getenv("SEPT_KMSG");

	return (refs && *refs) || (kmsg && *kmsg);
}

/* What this machine is, and whether its kernel holds what the S-EPT maps. */
static json_t *capture(void)
{
	json_t *json = need(env_capture(1));
	struct pinned_control seen;
	char why[500];

	if (!pinned_look(&seen, why, sizeof(why))) {
		json_object_set_new(json, "control_page", json_pack("{si si}", "mapped", seen.mapped,
								    "unmapped", seen.unmapped));
	} else {
		json_object_set_new(json, "control_page", json_null());
		json_object_set_new(json, "control_page_why", json_string(why));
	}
	return json;
}

/* What cases are to expect of the kernel; if it could not be seen, each looks itself. */
static void expect_pin(const json_t *environment)
{
	const char *what = opt.expect_pin;

	run.has_control = environment &&
		!json_unpack((json_t *)environment, "{s{si si}}", "control_page",
			     "mapped", &run.control.mapped, "unmapped", &run.control.unmapped);
	if (run.has_control && !strcmp(what, "auto"))
		what = run.control.mapped > run.control.unmapped ? "1" : "0";
	run.pinned = !strcmp(what, "1");
	setenv("SEPT_EXPECT_PIN", what, 1);
}

static json_t *run_json(int kmsg_rc)
{
	char why[500] = "";
	json_t *json, *environment;

	environment = run.emulated ? emulated_environment(&opt.machine, why, sizeof(why)) : capture();
	expect_pin(environment);

	json = need(json_pack("{si ss ss ss ss ss ss so so so}",
			      "format", FORMAT, "suite", "tdx-sept-tests",
			      "commit", opt.commit, "platform", opt.platform,
			      "kernel", run.kernel.release, "started", utc_now(),
			      "seed", hex(opt.seed), "options", options_json(),
			      "selected", selected_json(), "linux", origin_json()));
	/* The bytes of a command line need not be UTF-8, those of JSON must. */
	json_object_set_new(json, "command_line", opt.command_line ?
			    json_string(opt.command_line) ?: json_null() : json_null());
	json_object_set_new(json, "faked", json_boolean(is_faked()));
	json_object_set_new(json, "kmsg", json_boolean(!kmsg_rc));
	if (kmsg_rc)
		json_object_set_new(json, "kmsg_why", json_string(strerror(-kmsg_rc)));
	json_object_set_new(json, "environment", environment ?: json_null());
	if (*why)
		complain("the machine does not say what it is: %s", why);
	return json;
}

static void machine_begin(void)
{
	char why[1500], *dir;

	if (asprintf(&dir, "%s/machine", run.dir) < 0)
		need(NULL);
	if (emulated_start(&opt.machine, dir, why, sizeof(why)))
		die(EXIT_ENVIRONMENT, "%s", why);
	free(dir);
}

static void results_begin(void)
{
	char name[200], when[32];
	int rc, kmsg_rc;
	struct tm tm;
	json_t *json;
	time_t now;

	now = time(NULL);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	snprintf(name, sizeof(name), "%s-%s-%s", when, run.kernel.release, opt.platform);
	rc = results_create(opt.results, name, &run.dir);
	if (rc)
		die(EXIT_ENVIRONMENT, "cannot make a folder for the results in %s: %s",
		    opt.results, strerror(-rc));

	if (run.emulated)
		machine_begin();
	/* The console of an emulated machine comes with its cases. */
	kmsg_rc = run.emulated ? 0 : kmsg_open(&run.kmsg);
	if (kmsg_rc)
		complain("the kernel log cannot be read (%s), so the results have none",
			 strerror(-kmsg_rc));
	json = run_json(kmsg_rc);
	rc = results_json(run.dir, "run.json", json);
	json_decref(json);
	if (!rc)
		rc = results_log_open(&run.log, run.dir, "cases.jsonl");
	if (!rc)
		rc = results_latest(run.dir);
	if (rc)
		die(EXIT_ENVIRONMENT, "cannot write the results to %s: %s", run.dir,
		    strerror(-rc));
}

/* The folder of a test file, made for its first case. */
static void file_begin(unsigned int index)
{
	const char *name = run.cases.files[index];
	struct file *f = &run.files[index];
	unsigned long long nr = 0;
	unsigned int i;
	char text[64];
	int rc;

	if (f->dir)
		return;
	f->tap.fd = f->kmsg.fd = -1;
	if (asprintf(&f->dir, "%s/%s", run.dir, name) < 0)
		need(NULL);
	rc = mkdir(f->dir, 0755) ? -errno : 0;
	if (!rc)
		rc = results_log_open(&f->tap, f->dir, "tap");
	if (!rc && run.kmsg)
		rc = results_log_open(&f->kmsg, f->dir, "kmsg");
	for (i = 0; i < run.cases.nr; i++)
		nr += run.cases.list[i].file == index;
	/* Without an end in sight the plan comes last. */
	if (opt.until_fail)
		snprintf(text, sizeof(text), "KTAP version 1\n");
	else
		snprintf(text, sizeof(text), "KTAP version 1\n1..%llu\n", nr * opt.repeat);
	if (!rc)
		rc = results_log_add(&f->tap, text, strlen(text));
	check_results(rc);
}

static void files_end(void)
{
	unsigned int i;
	char text[40];

	for (i = 0; i < run.cases.nr_files; i++) {
		struct file *f = &run.files[i];

		if (!f->dir)
			continue;
		snprintf(text, sizeof(text), "1..%u\n", f->nr_ended);
		if (opt.until_fail)
			check_results(results_log_add(&f->tap, text, strlen(text)));
		check_results(results_log_sync(&f->tap));
		check_results(results_log_sync(&f->kmsg));
		results_log_close(&f->tap);
		results_log_close(&f->kmsg);
	}
}

/* Give new kernel lines to the files that run, or to the one that ran last. */
static void kmsg_drain(void)
{
	const char *line;
	unsigned int i;
	char *text;
	int rc;

	while (run.kmsg && (rc = kmsg_next(run.kmsg, &line))) {
		if (rc < 0 && rc != -EPIPE) {
			complain("the kernel log cannot be read any more: %s", strerror(-rc));
			kmsg_close(run.kmsg);
			run.kmsg = NULL;
			return;
		}
		if (rc < 0)
			line = "(lines were overwritten here before they could be read)";
		if (asprintf(&text, "%s\n", line) < 0)
			need(NULL);
		for (i = 0; i < run.cases.nr_files; i++) {
			struct file *f = &run.files[i];

			if (f->dir && (run.nr_running ? f->nr_running : i == run.last_file))
				check_results(results_log_add(&f->kmsg, text, strlen(text)));
		}
		free(text);
	}
}

/* Cases */

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* What the harness puts around a single case; the tap of the file has its own. */
static bool is_framing(const char *line, const char *address)
{
	static const char * const frames[] = {
		"TAP version ", "KTAP version ", "1..", "# Totals: ", "# Starting ",
		"# PASSED: ", "# FAILED: ",
	};
	size_t len = strlen(address), i;
	const char *p;

	for (i = 0; i < sizeof(frames) / sizeof(*frames); i++)
		if (begins(line, frames[i]))
			return true;

	p = begins(line, "not ") ? line + 4 : line;
	if (begins(p, "ok ")) {
		p += 3 + strspn(p + 3, "0123456789");
		return *p == ' ' && begins(p + 1, address) &&
		       (!p[1 + len] || p[1 + len] == ' ');
	}
	if (*line != '#')
		return false;
	p = line + 1 + strspn(line + 1, " ");
	if (!begins(p, "RUN ") && !begins(p, "OK ") && !begins(p, "FAIL "))
		return false;
	p += strcspn(p, " ");
	p += strspn(p, " ");
	return begins(p, address) && (!p[len] || !strcmp(p + len, " ..."));
}

/*
 * Lines for the test file's tap: at once, unless another case's may come between
 * them; then when the case ends.
 */
static void __attribute__((format(printf, 2, 3)))
tap_add(struct job *j, const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		need(NULL);
	va_end(ap);
	if (opt.jobs > 1)
		fputs(text, j->tap_to);
	else
		check_results(results_log_add(&run.files[j->c->file].tap, text, strlen(text)));
	free(text);
}

static void output_line(struct job *j)
{
	char *text = j->line;
	bool kept = j->output_len <= OUTPUT_MAX;

	text[j->line_len] = '\0';
	j->line_len = 0;
	make_printable(text);
	if (!*text || is_framing(text, j->c->address))
		return;
	j->output_len += strlen(text) + 1;
	if (j->output_len > OUTPUT_MAX) {
		if (kept)
			tap_add(j, "# (printed more than %d MiB, of which the rest is not kept)\n",
				OUTPUT_MAX >> 20);
		return;
	}
	if (*text == '#')
		text += 1 + (text[1] == ' ');
	if (j->nr_lines < SHOWN_LINES)
		j->shown[j->nr_lines] = need(strdup(text));
	j->nr_lines++;
	tap_add(j, "# %s\n", text);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Take what has come from the case.  The pipes never block. */
static void job_read(struct job *j)
{
	char chunk[8192];
	ssize_t n, i;

	while ((n = read(j->output, chunk, sizeof(chunk))) > 0) {
		for (i = 0; i < n; i++) {
			if (chunk[i] == '\n' || j->line_len == LINE_LEN)
				output_line(j);
			if (chunk[i] != '\n')
				j->line[j->line_len++] = chunk[i];
		}
	}
	if (!n)
		close_fd(&j->output);
	while ((n = read(j->verdict, chunk, sizeof(chunk))) > 0) {
		fflush(j->record_to);
		if (j->record_len < VERDICT_MAX)
			fwrite(chunk, 1, n, j->record_to);
	}
	if (!n)
		close_fd(&j->verdict);
}

static int open_pipe(int *reader, int *writer)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	*reader = fds[0];
	*writer = fds[1];
	return 0;
}

static void set_number(const char *name, unsigned long long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", value);
	setenv(name, text, 1);
}

static unsigned int backstop_ms(void)
{
	/* For the tests of this program, which cannot wait so long. */
	const char *text = getenv("SEPT_BACKSTOP_MS");

	return text && *text ? strtoul(text, NULL, 10) : BACKSTOP_MS;
}

/* How often a case does what it repeats; 0: as often as it likes. */
static unsigned int rounds_of(const char *address)
{
	unsigned int i, rounds = opt.rounds;

	for (i = 0; i < opt.rounds_of.nr; i++)
		if (cases_match(address, opt.rounds_of.list[i]))
			rounds = opt.rounds_of_nr[i];
	return rounds;
}

/* A case, or what runs it in a machine of its own. */
static int job_exec(struct job *j, int output, int verdict)
{
	const char *dir = run.files[j->c->file].dir, *file = run.cases.files[j->c->file];
	char *argv[] = { NULL, "-r", j->c->address, NULL }, **command;
	unsigned int limit = opt.timeout ?: j->c->seconds * opt.limits;
	int rc;

	if (run.emulated) {
		if (!opt.timeout)
			limit *= MACHINE_SLOWER;
		set_number("SEPT_TIMEOUT", limit);
		limit = limit < MACHINE_MAX_S / MACHINE_WALL ? limit * MACHINE_WALL : MACHINE_MAX_S;
		command = emulated_command(&opt.machine, dir, file, j->c->address, j->n, j->seed,
					   j->schedule_seed);
		rc = keeper_start(&j->keeper, command, environ, output, verdict,
				  limit * 1000 + backstop_ms());
		emulated_command_free(command);
		return rc;
	}
	if (opt.limits > 1)
		set_number("SEPT_TIMEOUT", limit);
	if (asprintf(&argv[0], "%s/%s", run.cases.dir, file) < 0)
		need(NULL);
	rc = keeper_start(&j->keeper, argv, environ, output, verdict,
			  limit * 1000 + backstop_ms());
	free(argv[0]);
	return rc;
}

static int job_fork(struct job *j)
{
	int output = -1, verdict = -1, rc;

	rc = open_pipe(&j->output, &output);
	if (rc)
		return rc;
	rc = open_pipe(&j->verdict, &verdict);
	if (rc) {
		close(output);
		return rc;
	}
	setenv("SEPT_RESULTS", run.files[j->c->file].dir, 1);
	setenv("SEPT_SEED", hex(j->seed), 1);
	setenv("SEPT_VERDICT_FD", "3", 1);
	if (j->rounds)
		set_number("SEPT_ROUNDS", j->rounds);
	else
		unsetenv("SEPT_ROUNDS");
	rc = job_exec(j, output, verdict);
	close(output);
	close(verdict);
	return rc;
}

static void __attribute__((format(printf, 3, 4)))
decide(struct outcome *o, enum verdict v, const char *fmt, ...)
{
	va_list ap;

	free(o->reason);
	o->verdict = v;
	va_start(ap, fmt);
	if (vasprintf(&o->reason, fmt, ap) < 0)
		need(NULL);
	va_end(ap);
	make_printable(o->reason);
}

/*
 * What became of the machine, on a line of its own behind whatever record there is:
 * "machine exec" says it if the case could not come to its end.  Takes that line
 * away; return whether it is there.
 */
static bool record_of_machine(struct job *j, struct outcome *o)
{
	size_t len = j->record_len, start;
	const char *verdict, *reason;
	json_t *json, *reports, *report;
	struct finding f;
	bool is_one;
	size_t i;

	if (!run.emulated || !len)
		return false;
	start = len - 1;
	while (start && j->record[start - 1] != '\n')
		start--;
	json = json_loadb(j->record + start, len - start, 0, NULL);
	is_one = json && !json_unpack(json, "{ss ss so}", "machine", &verdict, "reason", &reason,
				      "reports", &reports);
	if (is_one) {
		j->record_len = start;
		/* In a machine that lives the case asks for them itself. */
		setenv("SEPT_RESULTS", run.files[j->c->file].dir, 1);
		finding_context(j->c->address, j->seed, 0);
		json_array_foreach(reports, i, report) {
			emulator_finding(report, &f);
			finding_record(&f, "sanitizer");
		}
		decide(o, strcmp(verdict, "FAIL") ? VERDICT_ERROR : VERDICT_FAIL, "%s", reason);
	}
	json_decref(json);
	return is_one;
}

/* Read the verdict record.  Return what is wrong with it, or NULL. */
static const char *record_read(struct job *j, struct outcome *o)
{
	const char *address, *verdict, *reason, *seed, *wrong = NULL;
	json_int_t ms, settle_ms, checks;
	json_t *json;
	int v;

	json = json_loadb(j->record, j->record_len, 0, NULL);
	if (!json)
		return "is not one JSON object";
	if (json_unpack(json, "{ss ss ss sI sI sI ss}", "case", &address, "verdict", &verdict,
			"reason", &reason, "ms", &ms, "settle_ms", &settle_ms,
			"checks", &checks, "seed", &seed)) {
		wrong = "lacks a field";
		goto out;
	}
	for (v = 0; v <= VERDICT_ERROR; v++)
		if (!strcmp(verdict, verdict_name(v)))
			break;
	if (v > VERDICT_ERROR)
		wrong = "has an unknown verdict";
	else if (strcmp(address, j->c->address))
		wrong = "is about another case";
	else if (ms < 0 || settle_ms < 0 || checks < 0)
		wrong = "has a negative number";
	else if (strcmp(seed, hex(j->seed)))
		wrong = "names another seed";
	else if (v != VERDICT_PASS && !*reason)
		wrong = "has no reason";
	else if (v == VERDICT_PASS && !checks)
		wrong = "says PASS without a check";
	if (wrong)
		goto out;
	decide(o, v, "%s", reason);
	o->ms = ms;
	o->settle_ms = settle_ms;
	o->checks = checks;
out:
	json_decref(json);
	return wrong;
}

static void job_judge(struct job *j, const struct kept *kept, struct outcome *o)
{
	bool machine = record_of_machine(j, o);
	const char *wrong = !machine && j->record_len ? record_read(j, o) : NULL;
	int sig = kept->ended && WIFSIGNALED(kept->status) ? WTERMSIG(kept->status) : 0;
	int status = kept->ended && WIFEXITED(kept->status) ? WEXITSTATUS(kept->status) : -1;
	bool has_verdict = j->record_len && !wrong;

	if (machine)
		return;
	if (kept->started)
		decide(o, VERDICT_ERROR, "cannot be run: %s", strerror(kept->started));
	else if (kept->timed_out && kept->nr_stuck)
		decide(o, VERDICT_FAIL, "timed out, and its supervisor with it; %u of its processes cannot be killed",
		       kept->nr_stuck);
	else if (kept->timed_out)
		decide(o, VERDICT_FAIL, "timed out, and its supervisor with it");
	else if (kept->nr_stuck)
		decide(o, VERDICT_FAIL, "%u of its processes cannot be killed", kept->nr_stuck);
	else if (has_verdict && (o->verdict == VERDICT_FAIL || o->verdict == VERDICT_ERROR))
		return;
	else if ((run.interrupted || run.broken) && status)
		decide(o, VERDICT_ERROR, "interrupted");
	else if (sig)
		decide(o, VERDICT_FAIL, "ended by signal %d (%s)", sig, strsignal(sig));
	else if (!kept->ended)
		decide(o, VERDICT_ERROR, "the keeper of its processes was killed");
	else if (wrong)
		decide(o, VERDICT_ERROR, "its verdict record %s (exit %d)", wrong, status);
	else if (!has_verdict)
		decide(o, VERDICT_ERROR, "ended without a verdict (exit %d)", status);
	else if (status && !(o->verdict == VERDICT_SKIP && status == 4))
		decide(o, VERDICT_ERROR, "said %s, but ended with exit %d",
		       verdict_name(o->verdict), status);
}

/* What is known to fail must do so, and with the reason that is known. */
static void apply_errata(const struct job *j, struct outcome *o)
{
	const char *address = j->c->address, *release = run.kernel.release;
	const struct erratum *row;

	if (o->verdict == VERDICT_FAIL) {
		o->known = errata_find(&run.errata, address, release, run.pinned, o->reason);
		if (o->known)
			o->verdict = VERDICT_KNOWN;
		return;
	}
	row = errata_find(&run.errata, address, release, run.pinned, NULL);
	if (o->verdict == VERDICT_PASS && row)
		decide(o, VERDICT_FAIL, "errata: what is known as %s passes on Linux %s, so the row %s:%u is out of date",
		       row->id, release, opt.errata, row->line);
}

static void say_restored(const char *sentence)
{
	complain("%s", sentence);
	json_array_append_new(run.restored, json_string(sentence) ?: json_null());
}

static void job_record(struct job *j, const struct kept *kept, const struct outcome *o)
{
	json_t *line, *code = json_null(), *sig = json_null();
	struct file *f = &run.files[j->c->file];

	if (kept->ended && WIFEXITED(kept->status))
		code = json_integer(WEXITSTATUS(kept->status));
	if (kept->ended && WIFSIGNALED(kept->status))
		sig = json_integer(WTERMSIG(kept->status));
	line = json_pack("{ss sI ss sI ss ss ss ss sI sI sI sI so so}",
			 "event", "end", "n", (json_int_t)j->n, "case", j->c->address,
			 "repeat", (json_int_t)j->repeat, "seed", hex(j->seed),
			 "platform", opt.platform, "time", utc_now(),
			 "verdict", verdict_name(o->verdict), "ms", (json_int_t)o->ms,
			 "settle_ms", (json_int_t)o->settle_ms,
			 "checks", (json_int_t)o->checks,
			 "wall_ms", (json_int_t)ms_since(&j->start),
			 "exit", code, "signal", sig);
	need(line);
	if (run.emulated)
		json_object_set_new(line, "schedule_seed", json_string(hex(j->schedule_seed)));
	json_object_set_new(line, "reason", json_string(o->reason) ?:
			    json_string("(the reason is no UTF-8)"));
	if (o->known)
		json_object_set_new(line, "known", json_string(o->known->id));
	check_results(results_log_json(&run.log, line));
	if (opt.json)
		json_array_append(run.all, line);
	json_decref(line);

	if (kept->nr_left)
		tap_add(j, "# ended %u process%s that the case left running\n", kept->nr_left,
			kept->nr_left == 1 ? "" : "es");
	f->nr_ended++;
	switch (o->verdict) {
	case VERDICT_PASS:
		tap_add(j, "ok %u %s\n", f->nr_ended, j->c->address);
		break;
	case VERDICT_SKIP:
		tap_add(j, "ok %u %s # SKIP %s\n", f->nr_ended, j->c->address, o->reason);
		break;
	case VERDICT_FAIL:
		tap_add(j, "# %s\nnot ok %u %s\n", o->reason, f->nr_ended, j->c->address);
		break;
	case VERDICT_KNOWN:
		tap_add(j, "# %s\nok %u %s # XFAIL %s: %s\n", o->reason, f->nr_ended,
			j->c->address, o->known->id, o->known->title);
		break;
	case VERDICT_ERROR:
		tap_add(j, "not ok %u %s # ERROR %s\n", f->nr_ended, j->c->address, o->reason);
		break;
	}
	fclose(j->tap_to);
	check_results(results_log_add(&f->tap, j->tap, j->tap_len));
	free(j->tap);
	check_results(results_log_sync(&f->tap));
	check_results(results_log_sync(&f->kmsg));
}

static void job_end(struct job *j, const struct kept *kept)
{
	struct outcome o = { .reason = need(strdup("")) };
	unsigned int i;

	j->keeper = NULL;
	job_read(j);
	if (j->line_len)
		output_line(j);
	close_fd(&j->output);
	close_fd(&j->verdict);
	fclose(j->record_to);
	kmsg_drain();

	job_judge(j, kept, &o);
	apply_errata(j, &o);
	run.nr_ended++;
	run.nr_running--;
	run.files[j->c->file].nr_running--;
	run.serial_running = false;
	run.orphans |= !kept->ended;
	run.count[o.verdict]++;
	if (o.settle_ms > (long long)run.settle_max)
		run.settle_max = o.settle_ms;
	if (o.verdict != VERDICT_PASS)
		add_grief(j, &o);
	if ((opt.until_fail || opt.explore) && (o.verdict == VERDICT_FAIL || o.verdict == VERDICT_ERROR))
		run.stop = true;

	job_record(j, kept, &o);
	print_ended(j, &o);

	/* What a case that crashed has left is not to meet the next one. */
	if (!run.nr_running && run.orphans && !run.emulated)
		run.orphans = keeper_sweep();
	if (!run.nr_running && !run.emulated)
		host_restore_all(say_restored);

	for (i = 0; i < SHOWN_LINES && j->shown[i]; i++)
		free(j->shown[i]);
	free(j->record);
	free(o.reason);
}

static void job_start(struct job *j, struct test_case *c, unsigned long long n)
{
	struct kept kept = {};
	json_t *line;
	int rc;

	/* What the kernel has said so far is about what ran so far. */
	kmsg_drain();
	file_begin(c->file);
	memset(j, 0, sizeof(*j));
	j->c = c;
	j->n = n + 1;
	j->repeat = n / run.cases.nr + 1;
	j->seed = case_seed(c, j->repeat);
	j->schedule_seed = schedule_seed(j->repeat);
	j->rounds = rounds_of(c->address);
	j->output = j->verdict = -1;
	clock_gettime(CLOCK_MONOTONIC, &j->start);

	line = need(json_pack("{ss sI ss sI ss ss ss}", "event", "start",
			      "n", (json_int_t)j->n, "case", c->address,
			      "repeat", (json_int_t)j->repeat, "seed", hex(j->seed),
			      "platform", opt.platform, "time", utc_now()));
	if (run.emulated)
		json_object_set_new(need(line), "schedule_seed", json_string(hex(j->schedule_seed)));
	if (j->rounds)
		json_object_set_new(line, "rounds", json_integer(j->rounds));
	check_results(results_log_json(&run.log, line));
	/* If this case takes the machine down, it must be known which it was. */
	check_results(results_log_sync(&run.log));
	json_decref(line);
	if (run.broken)
		return;

	j->record_to = need(open_memstream(&j->record, &j->record_len));
	j->tap_to = need(open_memstream(&j->tap, &j->tap_len));
	tap_add(j, "# %s: repeat %llu, seed %s\n", c->address, j->repeat, hex(j->seed));
	if (run.emulated)
		tap_add(j, "# schedule seed %s\n", hex(j->schedule_seed));
	rc = job_fork(j);
	run.last_file = c->file;
	run.files[c->file].nr_running++;
	run.nr_running++;
	run.serial_running = c->serial;
	if (rc) {
		kept.started = -rc;
		job_end(j, &kept);
	}
}

/* The loop */

static bool has_run(void)
{
	return run.count[VERDICT_PASS] || run.count[VERDICT_KNOWN];
}

static void begin_jobs(void)
{
	unsigned int i;

	for (i = 0; i < opt.jobs; i++) {
		struct test_case *c = &run.cases.list[run.next % run.cases.nr];

		if (run.stop || (run.nr_total && run.next == run.nr_total))
			return;
		/* Round after round of nothing but SKIP would never end. */
		if (!run.nr_total && run.next >= run.cases.nr && !has_run()) {
			run.stop = !run.nr_running;
			return;
		}
		if (run.jobs[i].keeper)
			continue;
		if (run.nr_running && (c->serial || run.serial_running))
			return;
		job_start(&run.jobs[i], c, run.next++);
	}
}

static void stop_jobs(bool now)
{
	unsigned int i;

	for (i = 0; i < opt.jobs; i++)
		if (run.jobs[i].keeper)
			keeper_stop(run.jobs[i].keeper, now);
}

static void take_signals(int signals)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		/* The second one means it. */
		stop_jobs(run.interrupted);
		run.stop = true;
		if (run.interrupted)
			continue;
		run.interrupted = info.ssi_signo;
		if (run.nr_running)
			complain("ending %u case%s, at once if told again", run.nr_running,
				 run.nr_running == 1 ? "" : "s");
	}
}

static void wait_for_news(int signals, struct pollfd *fds)
{
	unsigned int i;

	fds[0] = (struct pollfd){ .fd = signals, .events = POLLIN };
	for (i = 0; i < opt.jobs; i++) {
		const struct job *j = &run.jobs[i];

		fds[1 + 2 * i] = (struct pollfd){ .fd = j->keeper ? j->output : -1,
						  .events = POLLIN };
		fds[2 + 2 * i] = (struct pollfd){ .fd = j->keeper ? j->verdict : -1,
						  .events = POLLIN };
	}
	transient_show();
	poll(fds, 1 + 2 * opt.jobs, 1000);
}

static void loop(int signals)
{
	struct pollfd *fds = need(calloc(1 + 2 * opt.jobs, sizeof(*fds)));
	bool broken = false;
	struct kept kept;
	unsigned int i;

	for (;;) {
		take_signals(signals);
		begin_jobs();
		if (run.broken && !broken)
			stop_jobs(false);
		broken = run.broken;
		if (!run.nr_running && (run.stop || (run.nr_total && run.next == run.nr_total)))
			break;
		if (!run.nr_running)
			continue;
		check_results(results_log_sync(&run.log));
		wait_for_news(signals, fds);
		for (i = 0; i < opt.jobs; i++) {
			struct job *j = &run.jobs[i];

			if (!j->keeper)
				continue;
			job_read(j);
			if (keeper_ended(j->keeper, &kept))
				job_end(j, &kept);
		}
		kmsg_drain();
	}
	check_results(results_log_sync(&run.log));
	free(fds);
}

static int exit_status(void)
{
	if (run.broken)
		return EXIT_ENVIRONMENT;
	if (run.interrupted)
		return EXIT_SIGNAL + run.interrupted;
	if (run.count[VERDICT_FAIL])
		return EXIT_FAILED;
	if (run.count[VERDICT_ERROR])
		return EXIT_ENVIRONMENT;
	return has_run() ? EXIT_PASSED : EXIT_NOTHING_RAN;
}

static int write_junit(void)
{
	const char *file = opt.report;
	char *beside = NULL;
	int status;
	pid_t pid;

	if (!file) {
		char *dir = own_folder();

		if (asprintf(&beside, "%s/report.py", dir) < 0)
			need(NULL);
		free(dir);
		file = beside;
	}
	pid = fork();
	if (!pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execlp("python3", "python3", file, "junit", run.dir, opt.junit,
		       opt.junit_append ? "--append" : NULL, NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		complain("cannot write %s: %s", opt.junit, strerror(errno));
		status = -1;
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		complain("cannot write %s without python3; install it and run %s junit %s %s",
			 opt.junit, file, run.dir, opt.junit);
	} else if (status) {
		complain("cannot write %s: %s failed, see above", opt.junit, file);
	}
	free(beside);
	return status ? -1 : 0;
}

static void print_json(json_t *end)
{
	json_t *all;

	all = need(json_pack("{si ss ss ss ss sO sO}", "format", FORMAT,
			     "results", run.dir, "platform", opt.platform,
			     "kernel", run.kernel.release, "seed", hex(opt.seed),
			     "end", end, "cases", run.all));
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	fflush(stdout);
	json_decref(all);
}

static void write_summary(int status)
{
	json_t *end = end_json(status);
	char *text;
	size_t len;
	FILE *to;

	to = need(open_memstream(&text, &len));
	print_summary(to, true, false);
	fclose(to);
	check_results(results_text(run.dir, "summary.txt", text, len));
	free(text);
	check_results(results_json(run.dir, "end.json", end));

	transient_clear();
	fputc('\n', run.progress);
	print_summary(run.progress, false, run.colour);
	fflush(run.progress);
	if (opt.json)
		print_json(end);
	json_decref(end);
}

/* One run at a time, on a host as it should be. */
static void take_host(void)
{
	int holder, fd = host_lock(&holder), rc;

	if (fd == -EBUSY)
		die(EXIT_ENVIRONMENT, "another run is going on here, with pid %d", holder);
	if (fd < 0)
		die(EXIT_ENVIRONMENT, "cannot lock %s: %s", host_state(), strerror(-fd));
	setenv("SEPT_STATE", host_state(), 1);
	rc = host_restore_all(say_restored);
	if (rc < 0)
		die(EXIT_ENVIRONMENT, "cannot undo what an earlier run left: %s", strerror(-rc));
}

static int signals_open(void)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		die(EXIT_ENVIRONMENT, "signalfd: %s", strerror(errno));
	return fd;
}

static void find_cases(void)
{
	static const struct globs none;
	char *dir, *own = NULL, why[600];
	unsigned int i, named;
	int rc;

	if (!opt.bin_dir)
		opt.bin_dir = own = own_folder();
	if (asprintf(&dir, "%s/tests", opt.bin_dir) < 0)
		need(NULL);
	free(own);
	if (cases_find(dir, &run.cases, why, sizeof(why)))
		die(EXIT_ENVIRONMENT, "%s", why);
	if (opt.errata && errata_read(&run.errata, opt.errata, &run.cases, why, sizeof(why)))
		die(EXIT_USAGE, "%s", why);
	if (cases_vain(&run.cases, &opt.rounds_of, why, sizeof(why)))
		die(EXIT_USAGE, "rounds%s%s: %s", opt.suite ? " of suite " : "", opt.suite ?: "", why);
	named = opt.named.nr;
	rc = cases_select(&run.cases, named ? &opt.named : &opt.run, named ? &none : &opt.skip,
			  opt.vm_type, why, sizeof(why));
	if (rc == -EINVAL && opt.suite && !named)
		die(EXIT_USAGE, "suite %s: %s", opt.suite, why);
	if (rc)
		die(rc == -EINVAL ? EXIT_USAGE : EXIT_NOTHING_RAN, "%s", why);
	/* Each has a machine for itself. */
	for (i = 0; run.emulated && i < run.cases.nr; i++)
		run.cases.list[i].serial = false;
	for (i = 0; i < run.cases.nr; i++)
		if ((int)strlen(run.cases.list[i].address) > run.width)
			run.width = strlen(run.cases.list[i].address);
	if (run.width > 72)
		run.width = 72;
	for (i = 0; opt.list && i < run.cases.nr; i++)
		puts(run.cases.list[i].address);
	if (opt.list)
		exit(fflush(stdout) ? EXIT_ENVIRONMENT : 0);
}

static void take_release(void)
{
	char *release = emulated_release(&opt.machine);

	if (!release)
		die(EXIT_ENVIRONMENT, "%s is no kernel: %s", opt.machine.kernel, strerror(errno));
	snprintf(run.kernel.release, sizeof(run.kernel.release), "%s", release);
	free(release);
}

static void run_begin(void)
{
	const char *no_color = getenv("NO_COLOR");

	run.progress = opt.json ? stderr : stdout;
	run.tty = isatty(STDERR_FILENO) && isatty(fileno(run.progress));
	run.colour = isatty(fileno(run.progress)) && !(no_color && *no_color);
	run.nr_total = opt.until_fail ? 0 : run.cases.nr * opt.repeat;
	run.jobs = need(calloc(opt.jobs, sizeof(*run.jobs)));
	run.files = need(calloc(run.cases.nr_files, sizeof(*run.files)));
	run.restored = need(json_array());
	run.all = need(json_array());
	uname(&run.kernel);
	if (run.emulated)
		take_release();
	clock_gettime(CLOCK_MONOTONIC, &run.start);
	if (!opt.platform)
		opt.platform = env_platform();
	if (!opt.seed_given) {
		if (getrandom(&opt.seed, sizeof(opt.seed), 0) != sizeof(opt.seed))
			die(EXIT_ENVIRONMENT, "getrandom: %s", strerror(errno));
		opt.seed = shorten(opt.seed);
	}
	if (opt.timeout)
		set_number("SEPT_TIMEOUT", opt.timeout);
	else
		unsetenv("SEPT_TIMEOUT");
	set_number("SEPT_SETTLE_MS", opt.settle_ms);
}

/* For the runner of another machine, which runs this one in the emulated machine. */
static int print_environment(void)
{
	json_t *json = capture();

	json_dumpf(json, stdout, 0);
	putchar('\n');
	return fflush(stdout) ? EXIT_ENVIRONMENT : 0;
}

static void check_options(void)
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

int main(int argc, char **argv)
{
	int signals, status, rc;

	/* What the shell had open is no business of the cases. */
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	argp_err_exit_status = EXIT_USAGE;
	emulated_defaults(&opt.machine);
	options_from_environment();
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	if (opt.environment)
		return print_environment();
	check_options();
	find_cases();
	run_begin();
	signals = signals_open();
	/* Only if a keeper is killed, there is anything to inherit. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!run.emulated)
		take_host();
	results_begin();
	/* Spares each case the loading; what stands in the way it will tell itself. */
	if (!run.emulated && !folio_why_not())
		folio_bpf_share();

	loop(signals);
	rc = run.emulated ? 0 : host_restore_all(say_restored);
	emulated_stop(&opt.machine);
	kmsg_drain();
	files_end();

	status = exit_status();
	if (rc < 0 && (status == EXIT_PASSED || status == EXIT_NOTHING_RAN))
		status = EXIT_ENVIRONMENT;
	write_summary(status);
	if (run.broken)
		status = EXIT_ENVIRONMENT;
	if (opt.junit && write_junit() && status == EXIT_PASSED)
		status = EXIT_ENVIRONMENT;
	return status;
}
