// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "emulator.h"
#include "kmsg.h"
#include "seamcall.h"
#include "settle.h"
#include "supervise.h"

#define KILL_MS		5000	/* how long a killed process may take to die */
#define KINDS		4	/* of kernel log lines that one case may provoke */
#define LOG_LINES	40	/* kernel log lines shown with a failure */
#define TD_MS		2000	/* how long a TD may outlive all processes that had it */

/* What the processes of a case tell their supervisor. */
struct told {
	unsigned int checks;
	bool failed, broken;
	char reason[512];	/* of the first check that failed or was broken */
	char skip[1024];
	struct {
		char what[32];	/* what kmsg_judge() will name, as the case says */
		bool must;
	} kmsg[KINDS];
	unsigned int nr_kmsg;
};

static struct {
	__u64 seed;
	unsigned int own, limit;	/* time limit of the case, in its file and in this run */
	struct told told;
} *shared;

static void __attribute__((constructor)) supervise_init(void)
{
	const char *env = getenv("SEPT_SEED");

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		abort();
	if (env && *env)
		shared->seed = strtoull(env, NULL, 0);
	else if (getrandom(&shared->seed, sizeof(shared->seed), 0) < 0)
		shared->seed = time(NULL);
}

const char *verdict_name(enum verdict v)
{
	static const char * const names[] = {
		[VERDICT_PASS] = "PASS", [VERDICT_FAIL] = "FAIL",
		[VERDICT_SKIP] = "SKIP", [VERDICT_ERROR] = "ERROR",
		[VERDICT_KNOWN] = "KNOWN",
	};

	return names[v];
}

__u64 supervise_seed(void)
{
	return shared->seed;
}

unsigned int supervise_rounds(unsigned int own)
{
	const char *env = getenv("SEPT_ROUNDS");
	unsigned int rounds = env ? strtoul(env, NULL, 0) : 0;

	return rounds ?: own;
}

unsigned int supervise_seconds(unsigned int own)
{
	return shared->limit > shared->own ? (__u64)own * shared->limit / shared->own : own;
}

void supervise_checked(void)
{
	__atomic_add_fetch(&shared->told.checks, 1, __ATOMIC_RELAXED);
}

/* What is not recorded must not look as if all were well. */
static void record(const struct finding *f, const char *where)
{
	int err = finding_record(f, where);

	if (err)
		supervise_broken(where, "the finding could not be recorded: %s", strerror(-err));
}

void supervise_failed(const struct finding *f, const char *where)
{
	if (!__atomic_exchange_n(&shared->told.failed, true, __ATOMIC_RELAXED) &&
	    !shared->told.broken)
		snprintf(shared->told.reason, sizeof(shared->told.reason), "%s: %s", where,
			 f ? f->text : "a check failed, see its lines");
	if (!f)
		return;
	finding_print(f, stderr);
	record(f, where);
}

void supervise_broken(const char *where, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "# %s: %s\n", where, text);
	if (!__atomic_exchange_n(&shared->told.broken, true, __ATOMIC_RELAXED) &&
	    !shared->told.failed)
		snprintf(shared->told.reason, sizeof(shared->told.reason), "%s: %s", where, text);
}

bool supervise_has_failed(void)
{
	return shared->told.failed || shared->told.broken;
}

void supervise_skip(const char *reason)
{
	snprintf(shared->told.skip, sizeof(shared->told.skip), "%s", reason);
}

static void note_kmsg(const char *what, bool must)
{
	unsigned int n;

	for (n = 0; n < shared->told.nr_kmsg; n++) {
		if (!strcmp(shared->told.kmsg[n].what, what)) {
			shared->told.kmsg[n].must |= must;
			return;
		}
	}
	if (n == KINDS) {
		supervise_broken("supervise", "a case cannot tell of more than %d kinds of kernel log lines",
				 KINDS);
		return;
	}
	snprintf(shared->told.kmsg[n].what, sizeof(shared->told.kmsg[n].what), "%s", what);
	shared->told.kmsg[n].must = must;
	shared->told.nr_kmsg++;
}

void supervise_expect_kmsg(const char *what)
{
	note_kmsg(what, true);
}

void supervise_allow_kmsg(const char *what)
{
	note_kmsg(what, false);
}

/* One file of /proc/PID, or an empty string; newlines stay. */
static void read_proc(pid_t pid, const char *file, char *buf, size_t len)
{
	char path[64];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, buf, len - 1);
		close(fd);
	}
	buf[n > 0 ? n : 0] = 0;
}

/* Call @visit for each process whose group is @pgid or whose parent is @ppid. */
static int each_process(pid_t pgid, pid_t ppid, void (*visit)(pid_t pid))
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char stat[512], *behind;
	int parent, group, nr = 0;
	pid_t pid;

	while (proc && (entry = readdir(proc))) {
		pid = atoi(entry->d_name);
		if (pid <= 0 || pid == getpid())
			continue;
		read_proc(pid, "stat", stat, sizeof(stat));
		/* The name in brackets may contain anything, brackets too. */
		behind = strrchr(stat, ')');
		if (!behind || sscanf(behind + 1, " %*c %d %d", &parent, &group) != 2)
			continue;
		if (group == pgid || parent == ppid) {
			visit(pid);
			nr++;
		}
	}
	if (proc)
		closedir(proc);
	return nr;
}

/* Where does it hang?  What an engineer would look at first. */
static void tell_where_it_hangs(pid_t pid)
{
	char comm[64], stack[2048], *line, *save;

	read_proc(pid, "comm", comm, sizeof(comm));
	comm[strcspn(comm, "\n")] = 0;
	fprintf(stderr, "# still running: pid %d (%s)\n", pid, comm);
	read_proc(pid, "stack", stack, sizeof(stack));
	for (line = strtok_r(stack, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		fprintf(stderr, "#   %s\n", line);
}

static void kill_one(pid_t pid)
{
	kill(pid, SIGKILL);
}

/*
 * End everything the case left: its process group, and what fled from that and
 * was handed to this process as the reaper.  Returns how many there were.
 */
static int end_leftovers(pid_t pgid, bool *immortal)
{
	const __u64 start = clock_ms();
	int nr = 0, left;
	pid_t child;

	*immortal = false;
	for (;;) {
		while ((child = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		/* Without a child there is no descendant: no need to read all of /proc. */
		if (child < 0)
			return nr;
		left = each_process(pgid, getpid(), kill_one);
		if (!left)
			return nr;
		if (left > nr)
			nr = left;
		if (clock_ms() - start > KILL_MS) {
			*immortal = true;
			return nr;
		}
		usleep(1000);
	}
}

/*
 * What warns once per boot is to fail each case that meets it, and whoever replays one.
 * As far as it goes: without debugfs only the first one sees it.
 */
static void rearm_warnings(void)
{
	int fd = open("/sys/kernel/debug/clear_warn_once", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "1", 1) < 0)
		fprintf(stderr, "# what has warned once will not warn again: %s\n", strerror(errno));
	close(fd);
}

/* Read the kernel log of the case.  Returns how many lines fail it. */
static int read_log(struct kmsg *log, bool show_all, char *first_bad, size_t len)
{
	char *lines[LOG_LINES] = {}, words[300];
	unsigned int nr = 0, i;
	const char *line, *what;
	const struct told *told = &shared->told;
	bool seen[KINDS] = {};
	struct seamcall call = {};
	struct finding f;
	bool decoded = false, is_call;
	unsigned int kind;
	int bad = 0, ret;

	while ((ret = kmsg_next(log, &line)) == 1 || ret == -EPIPE) {
		/* What was not seen may have failed it. */
		if (ret == -EPIPE) {
			supervise_broken("kernel log", "lines were overwritten before they could be read");
			continue;
		}
		free(lines[nr % LOG_LINES]);
		lines[nr++ % LOG_LINES] = strdup(line);
		what = kmsg_judge(line);
		if (!what)
			continue;
		for (kind = 0; kind < told->nr_kmsg; kind++)
			if (!strcmp(what, told->kmsg[kind].what))
				break;
		if (kind < told->nr_kmsg) {
			seen[kind] = true;
			continue;
		}
		is_call = seamcall_parse(line, &call);
		seamcall_describe(&call, words, sizeof(words));
		finding_set(&f, "kmsg", "%s in the kernel log: %s%s%s", what, line,
			    is_call ? ": " : "", is_call ? words : "");
		/* KVM warns before it says which call has failed, and how. */
		if (!bad++ || (is_call && !decoded))
			snprintf(first_bad, len, "%s", f.text);
		decoded |= is_call;
		record(&f, "kernel log");
	}
	if (ret)
		supervise_broken("kernel log", "it cannot be read: %s", strerror(-ret));
	/* Whoever could not look may not have come to provoke anything. */
	for (kind = 0; kind < told->nr_kmsg && !told->broken; kind++) {
		if (seen[kind] || !told->kmsg[kind].must)
			continue;
		finding_set(&f, "kmsg", "no line in the kernel log that tells of \"%s\"",
			    told->kmsg[kind].what);
		if (!bad++)
			snprintf(first_bad, len, "%s", f.text);
		record(&f, "kernel log");
	}
	if (bad || show_all) {
		for (i = nr > LOG_LINES ? nr - LOG_LINES : 0; i < nr; i++)
			fprintf(stderr, "# kernel log: %s\n", lines[i % LOG_LINES]);
	}
	for (i = 0; i < LOG_LINES; i++)
		free(lines[i]);
	return bad;
}

/* ---- The emulated machine: what its sanitizer says ---- */

struct reports {
	int nr;
	char *first;
	size_t len;
};

static void take_report(void *ctx, const struct finding *f, const char *json)
{
	struct reports *r = ctx;

	if (!r->nr++)
		snprintf(r->first, r->len, "%s: %s", f->invariant, f->text);
	fprintf(stderr, "# sanitizer: %s\n", json);
	record(f, "sanitizer");
}

static void ignore_report(void *ctx, const struct finding *f, const char *json)
{
	(void)ctx;
	(void)f;
	fprintf(stderr, "# sanitizer, before this case: %s\n", json);
}

/* Start with no injection of others, and none of their reports. */
static void begin_emulator(void)
{
	if (emulator_why_not())
		return;
	emulator_reset();
	emulator_reports(ignore_report, NULL);
}

/*
 * All processes of the case are gone, and so must be its TDs, though the kernel may
 * need a moment.  Returns how many reports fail it.
 */
static int end_emulator(char *first_bad, size_t len)
{
	struct reports r = { .first = first_bad, .len = len };
	__u64 start;
	unsigned int tds;

	if (emulator_why_not())
		return 0;
	start = clock_ms();
	emulator_reset();
	while (!emulator_tds(&tds) && tds && clock_ms() - start < TD_MS)
		usleep(1000);
	emulator_ask(NULL, "sanitizer idle");
	emulator_reports(take_report, &r);
	return r.nr;
}

static void send_verdict(const char *name, const struct supervised *s)
{
	const char *env = getenv("SEPT_VERDICT_FD");
	char seed[32], *text, *line;
	json_t *json;

	if (!env || !*env)
		return;
	snprintf(seed, sizeof(seed), "0x%llx", shared->seed);
	json = json_pack("{ss ss ss si si si ss}", "case", name,
			 "verdict", verdict_name(s->verdict), "reason", s->reason,
			 "ms", s->ms, "settle_ms", s->settle_ms,
			 "checks", s->checks, "seed", seed);
	text = json ? json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	json_decref(json);
	if (text && asprintf(&line, "%s\n", text) > 0) {
		/* No verdict that arrives in pieces: below PIPE_BUF it cannot. */
		if (write(atoi(env), line, strlen(line)) < 0)
			fprintf(stderr, "# cannot send the verdict: %s\n", strerror(errno));
		free(line);
	}
	free(text);
}

static void __attribute__((format(printf, 3, 4)))
decide(struct supervised *out, enum verdict v, const char *fmt, ...)
{
	va_list ap;

	out->verdict = v;
	va_start(ap, fmt);
	vsnprintf(out->reason, sizeof(out->reason), fmt, ap);
	va_end(ap);
	finding_one_line(out->reason);
}

void supervise_skip_all(const char *name, const char *reason, struct supervised *out)
{
	memset(out, 0, sizeof(*out));
	decide(out, VERDICT_SKIP, "%s", reason);
	send_verdict(name, out);
}

static pid_t start(int (*body)(void *arg), void *arg)
{
	const struct rlimit no_core = {};
	pid_t supervisor = getpid(), child;

	fflush(NULL);
	child = fork();
	if (child)
		return child;
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != supervisor)
		_exit(SUPERVISE_FAIL);
	/* A failed assertion aborts; nobody wants a core file of that. */
	setrlimit(RLIMIT_CORE, &no_core);
	_exit(body(arg) & 0xff);
}

/* Wait for the case.  Returns false if its time is over. */
static bool wait_for(pid_t child, unsigned int seconds, int *status)
{
	struct pollfd p = { .fd = syscall(SYS_pidfd_open, child, 0), .events = POLLIN };
	bool ended;

	ended = p.fd < 0 || poll(&p, 1, seconds * 1000) != 0;
	close(p.fd);
	return ended && waitpid(child, status, 0) == child;
}

void supervise(const char *name, unsigned int seconds,
	       int (*body)(void *arg), void *arg, struct supervised *out)
{
	const char *env = getenv("SEPT_TIMEOUT");
	char bad_line[480] = "", bad_report[400] = "";
	bool in_time, immortal = false;
	__u64 begin;
	struct told outer;
	struct kmsg *log;
	int status = 0, bad, reports, left, err;
	pid_t child;

	shared->own = seconds;
	if (env && atoi(env) > 0)
		seconds = atoi(env);
	shared->limit = seconds;
	memset(out, 0, sizeof(*out));
	/* A case may supervise others, as the tests of this file do. */
	outer = shared->told;
	memset(&shared->told, 0, sizeof(shared->told));
	finding_context(name, shared->seed, 0);
	settle_forget();

	/* Die with the harness, and inherit what the case leaves behind. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);

	rearm_warnings();
	err = kmsg_open(&log);
	if (err) {
		decide(out, VERDICT_ERROR, "the kernel log cannot be watched: %s; run as root",
		       strerror(-err));
		log = NULL;
		goto out;
	}

	begin_emulator();
	begin = clock_ms();
	child = start(body, arg);
	if (child < 0) {
		decide(out, VERDICT_ERROR, "fork: %s", strerror(errno));
		goto out;
	}
	setpgid(child, child);
	in_time = wait_for(child, seconds, &status);
	if (!in_time)
		each_process(child, child, tell_where_it_hangs);
	left = end_leftovers(child, &immortal);
	if (in_time && left)
		fprintf(stderr, "# ended %d process%s that the case left running\n",
			left, left > 1 ? "es" : "");
	out->ms = clock_ms() - begin;
	out->checks = shared->told.checks;
	out->settle_ms = settle_longest_ms();

	reports = end_emulator(bad_report, sizeof(bad_report));
	bad = read_log(log, !in_time || shared->told.failed || WIFSIGNALED(status),
		       bad_line, sizeof(bad_line));

	if (immortal)
		decide(out, VERDICT_FAIL, "over its limit of %u s, and its processes cannot be killed: stuck in the kernel",
		       seconds);
	else if (!in_time)
		decide(out, VERDICT_FAIL, "over its limit of %u s", seconds);
	else if (shared->told.failed)
		decide(out, VERDICT_FAIL, "%s", shared->told.reason);
	else if (WIFSIGNALED(status))
		decide(out, VERDICT_FAIL, "ended by signal %d (%s)%s%s", WTERMSIG(status),
		       strsignal(WTERMSIG(status)), bad ? "; " : "", bad_line);
	else if (reports)
		decide(out, VERDICT_FAIL, "%s", bad_report);
	else if (bad)
		decide(out, VERDICT_FAIL, "%s", bad_line);
	else if (shared->told.broken)
		decide(out, VERDICT_ERROR, "%s", shared->told.reason);
	else if (WEXITSTATUS(status) != SUPERVISE_PASS &&
		 WEXITSTATUS(status) != SUPERVISE_SKIP)
		decide(out, VERDICT_FAIL, "ended with status %d", WEXITSTATUS(status));
	else if (WEXITSTATUS(status) == SUPERVISE_SKIP && !shared->told.skip[0])
		decide(out, VERDICT_ERROR, "skipped without a reason");
	else if (WEXITSTATUS(status) == SUPERVISE_SKIP)
		decide(out, VERDICT_SKIP, "%s", shared->told.skip);
	else if (!shared->told.checks)
		decide(out, VERDICT_ERROR, "made no check");
	else
		decide(out, VERDICT_PASS, "%s", "");
out:
	kmsg_close(log);
	send_verdict(name, out);
	shared->told = outer;
}
