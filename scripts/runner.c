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
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/close_range.h>

#include "env.h"
#include "folio.h"
#include "folio_bpf.h"
#include "host.h"
#include "runner/run.h"

struct runner run;

void *need(void *p)
{
	if (!p)
		die(EXIT_ENVIRONMENT, "out of memory");
	return p;
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
void make_printable(char *text)
{
	for (; *text; text++)
		if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
			*text = ' ';
}

void set_number(const char *name, unsigned long long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", value);
	setenv(name, text, 1);
}

void say_restored(const char *sentence)
{
	complain("%s", sentence);
	json_array_append_new(run.restored, json_string(sentence) ?: json_null());
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

static int print_json(json_t *end)
{
	json_t *all;

	all = need(json_pack("{si ss ss ss ss sO sO}", "format", FORMAT,
			     "results", run.dir, "platform", opt.platform,
			     "kernel", run.kernel.release, "seed", hex(opt.seed),
			     "end", end, "cases", run.all));
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	complain("cannot write the report to stdout: %s", strerror(errno));
	return -1;
}

/* Returns 0, or -1 if nobody can read it. */
static int write_summary(int status)
{
	json_t *end = end_json(status);
	char *text;
	size_t len;
	int rc = 0;
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
		rc = print_json(end);
	json_decref(end);
	return rc;
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
	struct sigaction hangup;
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	/* Blocked, it would come in spite of nohup. */
	sigaction(SIGHUP, NULL, &hangup);
	if (hangup.sa_handler != SIG_IGN)
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
	char *dir, *bin, why[600];
	unsigned int i, named;
	int rc;

	bin = opt.bin_dir ? need(strdup(opt.bin_dir)) : own_folder();
	if (asprintf(&dir, "%s/tests", bin) < 0)
		need(NULL);
	free(bin);
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
	run.start = clock_ms();
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

int main(int argc, char **argv)
{
	int signals, status, rc;

	/* What the shell had open is no business of the cases. */
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	options_read(argc, argv);
	if (opt.environment)
		return print_environment();
	options_check();
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
	rc = write_summary(status);
	if (run.broken || (rc && status == EXIT_PASSED))
		status = EXIT_ENVIRONMENT;
	if (opt.junit && write_junit() && status == EXIT_PASSED)
		status = EXIT_ENVIRONMENT;
	return status;
}
