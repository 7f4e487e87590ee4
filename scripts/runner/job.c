// SPDX-License-Identifier: GPL-2.0-only
/*
 * A case from its start to its end: the process, what it prints, what is written down.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "run.h"

#define BACKSTOP_MS	15000	/* what a supervisor may take beyond its limit */
#define VERDICT_MAX	65536	/* bytes of a verdict record */
#define READ_MAX	(1 << 20) /* bytes of it that are taken at a time */
#define OUTPUT_MAX	(4 << 20) /* bytes of a case's output that are kept */
/*
 * The emulated machine has slow processors and a time of its own.  Limits are in
 * that time, and the case's supervisor and "machine exec" see to them; the last is
 * for a "machine exec" that does not.
 */
#define MACHINE_SLOWER	10		/* than what the tests' limits are made for */
#define MACHINE_WALL	30		/* seconds of the host for one of a processor of it */
#define MACHINE_MAX_S	(12 * 3600)

static unsigned long long mix(unsigned long long x)
{
	/* splitmix64: every bit of the input reaches every bit of the output. */
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* Short enough to be typed, never 0. */
unsigned long long shorten(unsigned long long seed)
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

/*
 * Take what has come from the case, and return whether there may be more: who writes
 * faster than this reads must not keep the others waiting.  The pipes never block.
 */
bool job_read(struct job *j)
{
	size_t left = READ_MAX;
	char chunk[8192];
	ssize_t n, i;

	while ((n = read(j->output, chunk, sizeof(chunk))) > 0) {
		for (i = 0; i < n; i++) {
			if (chunk[i] == '\n' || j->line_len == LINE_LEN)
				output_line(j);
			if (chunk[i] != '\n')
				j->line[j->line_len++] = chunk[i];
		}
		if (left < (size_t)n)
			return true;
		left -= n;
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
	return false;
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
	unsigned int limit = opt.timeout ?: j->c->seconds * opt.limits, wall;
	int rc;

	if (run.emulated) {
		if (!opt.timeout)
			limit *= MACHINE_SLOWER;
		set_number("SEPT_TIMEOUT", limit);
		wall = MACHINE_WALL * opt.machine.cpus;
		limit = limit < MACHINE_MAX_S / wall ? limit * wall : MACHINE_MAX_S;
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
			 "wall_ms", (json_int_t)(clock_ms() - j->start),
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

void job_end(struct job *j, const struct kept *kept)
{
	struct outcome o = { .reason = need(strdup("")) };
	unsigned int i;

	j->keeper = NULL;
	while (job_read(j))
		;
	if (j->line_len)
		output_line(j);
	close_fd(&j->output);
	close_fd(&j->verdict);
	fclose(j->record_to);
	kmsg_drain();

	judge(j, kept, &o);
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

void job_start(struct job *j, struct test_case *c, unsigned long long n)
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
	j->found = file_found(c->file);
	j->start = clock_ms();

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
	/* What the emulated machine runs cannot hurt anybody. */
	j->harm = run.emulated ? NULL : errata_harm(&run.errata, c->address, run.kernel.release,
						    run.pinned);
	rc = j->harm ? 0 : job_fork(j);
	run.last_file = c->file;
	run.files[c->file].nr_running++;
	run.nr_running++;
	run.serial_running = c->serial;
	if (rc || j->harm) {
		kept.started = -rc;
		kept.ended = j->harm;
		job_end(j, &kept);
	}
}
