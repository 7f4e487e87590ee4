// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whatever becomes of a case, its supervisor comes to the right verdict.
 */
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "suite.h"

FIXTURE(supervise_test) {
	struct supervised s;
	char log[64];
};

FIXTURE_SETUP(supervise_test)
{
	unsetenv("SEPT_VERDICT_FD");
	unsetenv("SEPT_TIMEOUT");
}

FIXTURE_TEARDOWN(supervise_test)
{
	if (self->log[0])
		unlink(self->log);
}

static int passes(void *arg __maybe_unused)
{
	supervise_checked();
	return SUPERVISE_PASS;
}

TEST_F(supervise_test, passes_a_case_that_checks)
{
	supervise("a.b.c", 5, passes, NULL, &self->s);
	ASSERT_EQ(VERDICT_PASS, self->s.verdict);
	ASSERT_STREQ("", self->s.reason);
	ASSERT_EQ(1, self->s.checks);
}

static int checks_nothing(void *arg __maybe_unused)
{
	return SUPERVISE_PASS;
}

TEST_F(supervise_test, does_not_pass_a_case_without_checks)
{
	supervise("a.b.c", 5, checks_nothing, NULL, &self->s);
	ASSERT_EQ(VERDICT_ERROR, self->s.verdict);
	ASSERT_STREQ("made no check", self->s.reason);
}

static int fails(void *arg __maybe_unused)
{
	struct finding f;

	finding_set(&f, "value", "one is not two");
	supervise_checked();
	supervise_failed(&f, "x.c:1");
	return SUPERVISE_PASS;
}

TEST_F(supervise_test, fails_a_case_whatever_it_returns)
{
	supervise("a.b.c", 5, fails, NULL, &self->s);
	ASSERT_EQ(VERDICT_FAIL, self->s.verdict);
	ASSERT_STREQ("x.c:1: one is not two", self->s.reason);
}

static int fails_then_skips(void *arg)
{
	fails(arg);
	supervise_skip("not here");
	return SUPERVISE_SKIP;
}

TEST_F(supervise_test, does_not_let_a_skip_hide_a_failure)
{
	supervise("a.b.c", 5, fails_then_skips, NULL, &self->s);
	ASSERT_EQ(VERDICT_FAIL, self->s.verdict);
}

static int skips(void *arg __maybe_unused)
{
	supervise_skip("no such thing here");
	return SUPERVISE_SKIP;
}

TEST_F(supervise_test, skips_with_the_reason)
{
	supervise("a.b.c", 5, skips, NULL, &self->s);
	ASSERT_EQ(VERDICT_SKIP, self->s.verdict);
	ASSERT_STREQ("no such thing here", self->s.reason);
}

static int skips_silently(void *arg __maybe_unused)
{
	return SUPERVISE_SKIP;
}

TEST_F(supervise_test, does_not_skip_without_a_reason)
{
	supervise("a.b.c", 5, skips_silently, NULL, &self->s);
	ASSERT_EQ(VERDICT_ERROR, self->s.verdict);
	ASSERT_STREQ("skipped without a reason", self->s.reason);
}

static int returns_one(void *arg __maybe_unused)
{
	supervise_checked();
	return SUPERVISE_FAIL;
}

TEST_F(supervise_test, fails_a_case_that_says_so_by_its_status)
{
	supervise("a.b.c", 5, returns_one, NULL, &self->s);
	ASSERT_EQ(VERDICT_FAIL, self->s.verdict);
}

static int breaks(void *arg __maybe_unused)
{
	supervise_checked();
	supervise_broken("x.c:2", "cannot look");
	return SUPERVISE_PASS;
}

TEST_F(supervise_test, calls_a_check_that_could_not_look_an_error)
{
	supervise("a.b.c", 5, breaks, NULL, &self->s);
	ASSERT_EQ(VERDICT_ERROR, self->s.verdict);
	ASSERT_STREQ("x.c:2: cannot look", self->s.reason);
}

static int breaks_before_it_warns(void *arg)
{
	supervise_expect_kmsg("hung task");
	return breaks(arg);
}

TEST_F(supervise_test, misses_no_line_of_a_case_that_could_not_look)
{
	supervise("a.b.c", 5, breaks_before_it_warns, NULL, &self->s);
	ASSERT_EQ(VERDICT_ERROR, self->s.verdict);
	ASSERT_STREQ("x.c:2: cannot look", self->s.reason);
}

static int crashes(void *arg __maybe_unused)
{
	supervise_checked();
	/* libkvm makes assertions of signals; this is about what gets past it. */
	signal(SIGSEGV, SIG_DFL);
	raise(SIGSEGV);
	return SUPERVISE_PASS;
}

TEST_F(supervise_test, fails_a_case_that_crashes)
{
	supervise("a.b.c", 5, crashes, NULL, &self->s);
	ASSERT_EQ(VERDICT_FAIL, self->s.verdict);
	ASSERT_NE(NULL, strstr(self->s.reason, "ended by signal 11"));
}

static int hangs(void *arg __maybe_unused)
{
	supervise_checked();
	return pause();
}

TEST_F(supervise_test, ends_a_case_that_hangs)
{
	supervise("a.b.c", 1, hangs, NULL, &self->s);
	ASSERT_EQ(VERDICT_FAIL, self->s.verdict);
	ASSERT_STREQ("over its limit of 1 s", self->s.reason);
	ASSERT_GE(self->s.ms, 1000);
}

TEST_F(supervise_test, takes_the_limit_from_the_environment)
{
	setenv("SEPT_TIMEOUT", "1", 1);
	supervise("a.b.c", 60, hangs, NULL, &self->s);
	ASSERT_STREQ("over its limit of 1 s", self->s.reason);
}

static int has_seconds(void *arg)
{
	supervise_checked();
	return supervise_seconds(10) == *(unsigned int *)arg ? SUPERVISE_PASS : SUPERVISE_FAIL;
}

TEST_F(supervise_test, gives_a_case_more_seconds_with_its_limit)
{
	unsigned int want = 10;

	supervise("a.b.c", 5, has_seconds, &want, &self->s);
	EXPECT_EQ(VERDICT_PASS, self->s.verdict);
	setenv("SEPT_TIMEOUT", "1", 1);
	supervise("a.b.c", 5, has_seconds, &want, &self->s);
	EXPECT_EQ(VERDICT_PASS, self->s.verdict);
	setenv("SEPT_TIMEOUT", "300", 1);
	want = 600;
	supervise("a.b.c", 5, has_seconds, &want, &self->s);
	EXPECT_EQ(VERDICT_PASS, self->s.verdict);
}

/* A grandchild in a session of its own, which tells its pid. */
static int leaves_a_daemon(void *arg)
{
	pid_t *pid = arg;

	supervise_checked();
	if (!fork()) {
		setsid();
		*pid = getpid();
		_exit(pause());
	}
	while (!__atomic_load_n(pid, __ATOMIC_ACQUIRE))
		usleep(100);
	return SUPERVISE_PASS;
}

TEST_F(supervise_test, ends_what_a_case_left_running)
{
	pid_t *pid = mmap(NULL, sizeof(*pid), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, pid);
	supervise("a.b.c", 5, leaves_a_daemon, pid, &self->s);
	ASSERT_EQ(VERDICT_PASS, self->s.verdict);
	ASSERT_NE(0, *pid);
	ASSERT_EQ(-1, kill(*pid, 0));
	ASSERT_EQ(ESRCH, errno);
}

/* Stands in for the kernel: appends a record to the log that is watched. */
static int warns(void *arg)
{
	static const char record[] =
		"4,1234,5678901,-;WARNING: CPU: 0 PID: 1 at virt/kvm/guest_memfd.c:1 kvm_gmem_migrate_folio+0x1/0x2\n";
	int fd = open(arg, O_WRONLY | O_APPEND);

	supervise_checked();
	if (fd < 0 || write(fd, record, sizeof(record) - 1) < 0)
		supervise_broken("here", "cannot write");
	close(fd);
	return SUPERVISE_PASS;
}

static int has_a_seamcall_fail(void *path)
{
	FILE *log = fopen(path, "a");

	fputs("4,7,1000000,-;WARNING: arch/x86/kvm/vmx/tdx.c:1836 at tdx_sept_remove_private_spte+0x1/0x2\n"
	      "3,8,1000001,-;SEAMCALL TDH_MEM_PAGE_REMOVE failed: 0x8000020000000092, entry 0x80000000123450f7, level_state 0x400\n"
	      "3,9,1000002,-;SEAMCALL TDH_PHYMEM_PAGE_WBINVD failed: 0xc000030000000001\n", log);
	fclose(log);
	return passes(NULL);
}

TEST_F(supervise_test, says_in_words_which_seamcall_failed)
{
	snprintf(self->log, sizeof(self->log), "/tmp/supervise_test.%d", getpid());
	close(open(self->log, O_WRONLY | O_CREAT, 0600));
	setenv("SEPT_KMSG", self->log, 1);
	supervise("a.b.c", 5, has_a_seamcall_fail, self->log, &self->s);
	ASSERT_EQ(VERDICT_FAIL, self->s.verdict);
	ASSERT_NE(NULL, strstr(self->s.reason, "SEAMCALL failed in the kernel log: [    1.000001] SEAMCALL TDH_MEM_PAGE_REMOVE failed: 0x8000020000000092"));
	ASSERT_NE(NULL, strstr(self->s.reason, "TDH.MEM.PAGE.REMOVE: OPERAND_BUSY (SEPT_TREE)"));
	ASSERT_NE(NULL, strstr(self->s.reason, "S-EPT entry of 4K: MAPPED, page 0x12345000"));
}

TEST_F(supervise_test, fails_a_case_during_which_the_kernel_warned)
{
	snprintf(self->log, sizeof(self->log), "/tmp/supervise_test.%d", getpid());
	close(open(self->log, O_WRONLY | O_CREAT, 0600));
	setenv("SEPT_KMSG", self->log, 1);
	supervise("a.b.c", 5, warns, self->log, &self->s);
	ASSERT_EQ(VERDICT_FAIL, self->s.verdict);
	ASSERT_NE(NULL, strstr(self->s.reason, "kvm_gmem_migrate_folio"));

	/* The line stands there still, but belongs to the case before. */
	supervise("a.b.c", 5, passes, NULL, &self->s);
	ASSERT_EQ(VERDICT_PASS, self->s.verdict);
}

static int breaks_and_warns(void *arg)
{
	breaks(arg);
	return warns(arg);
}

TEST_F(supervise_test, does_not_let_an_error_hide_what_the_kernel_said)
{
	snprintf(self->log, sizeof(self->log), "/tmp/supervise_test.%d", getpid());
	close(open(self->log, O_WRONLY | O_CREAT, 0600));
	setenv("SEPT_KMSG", self->log, 1);
	supervise("a.b.c", 5, breaks_and_warns, self->log, &self->s);
	ASSERT_EQ(VERDICT_FAIL, self->s.verdict);
	ASSERT_NE(NULL, strstr(self->s.reason, "kvm_gmem_migrate_folio"));
}

static int provokes_a_warning(void *arg)
{
	supervise_expect_kmsg("WARN");
	return warns(arg);
}

static int only_announces_a_warning(void *arg)
{
	supervise_expect_kmsg("WARN");
	return passes(arg);
}

static int provokes_one_of_several(void *arg)
{
	supervise_allow_kmsg("hung task");
	supervise_expect_kmsg("WARN");
	supervise_allow_kmsg("Oops");
	return warns(arg);
}

static int provokes_another(void *arg)
{
	supervise_expect_kmsg("hung task");
	return warns(arg);
}

TEST_F(supervise_test, lets_a_case_provoke_what_it_announces)
{
	snprintf(self->log, sizeof(self->log), "/tmp/supervise_test.%d", getpid());
	close(open(self->log, O_WRONLY | O_CREAT, 0600));
	setenv("SEPT_KMSG", self->log, 1);
	supervise("a.b.c", 5, provokes_a_warning, self->log, &self->s);
	ASSERT_EQ(VERDICT_PASS, self->s.verdict);
	supervise("a.b.c", 5, provokes_one_of_several, self->log, &self->s);
	ASSERT_EQ(VERDICT_PASS, self->s.verdict);

	/* Then it has to come, and nothing else. */
	supervise("a.b.c", 5, only_announces_a_warning, self->log, &self->s);
	ASSERT_EQ(VERDICT_FAIL, self->s.verdict);
	ASSERT_NE(NULL, strstr(self->s.reason, "no line in the kernel log"));
	supervise("a.b.c", 5, provokes_another, self->log, &self->s);
	ASSERT_EQ(VERDICT_FAIL, self->s.verdict);
	ASSERT_NE(NULL, strstr(self->s.reason, "kvm_gmem_migrate_folio"));

	/* And the next case has announced nothing. */
	supervise("a.b.c", 5, warns, self->log, &self->s);
	ASSERT_EQ(VERDICT_FAIL, self->s.verdict);
}

TEST_F(supervise_test, does_not_run_a_case_whose_log_it_cannot_watch)
{
	setenv("SEPT_KMSG", "/nonexistent/kmsg", 1);
	supervise("a.b.c", 5, passes, NULL, &self->s);
	ASSERT_EQ(VERDICT_ERROR, self->s.verdict);
}

TEST_F(supervise_test, does_not_pass_a_case_whose_log_it_cannot_read)
{
	/* Can be opened, but not read. */
	setenv("SEPT_KMSG", "/proc/self/clear_refs", 1);
	supervise("a.b.c", 5, passes, NULL, &self->s);
	ASSERT_EQ(VERDICT_ERROR, self->s.verdict);
	ASSERT_STREQ("kernel log: it cannot be read: Invalid argument", self->s.reason);
	supervise("a.b.c", 5, only_announces_a_warning, NULL, &self->s);
	ASSERT_EQ(VERDICT_ERROR, self->s.verdict);
}

TEST_F(supervise_test, sends_the_verdict_as_json)
{
	char line[4096] = "", fd[16];
	json_t *json;
	int pipes[2];

	ASSERT_SYS(pipe(pipes));
	snprintf(fd, sizeof(fd), "%d", pipes[1]);
	setenv("SEPT_VERDICT_FD", fd, 1);
	supervise("a.b.c", 5, fails, NULL, &self->s);
	ASSERT_SYS(read(pipes[0], line, sizeof(line) - 1));
	json = json_loads(line, 0, NULL);
	ASSERT_NE(NULL, json);
	ASSERT_STREQ("a.b.c", json_string_value(json_object_get(json, "case")));
	ASSERT_STREQ("FAIL", json_string_value(json_object_get(json, "verdict")));
	ASSERT_STREQ("x.c:1: one is not two",
		     json_string_value(json_object_get(json, "reason")));
	ASSERT_EQ(1, json_integer_value(json_object_get(json, "checks")));
	json_decref(json);
}

TEST_F(supervise_test, keeps_the_finding_in_the_results)
{
	char dir[] = "/tmp/supervise_test.XXXXXX", path[64], line[4096];
	json_t *json;
	FILE *file;

	ASSERT_NE(NULL, mkdtemp(dir));
	setenv("SEPT_RESULTS", dir, 1);
	supervise("a.b.c", 5, fails, NULL, &self->s);
	snprintf(path, sizeof(path), "%s/findings.jsonl", dir);
	file = fopen(path, "r");
	ASSERT_NE(NULL, file);
	ASSERT_NE(NULL, fgets(line, sizeof(line), file));
	json = json_loads(line, 0, NULL);
	ASSERT_STREQ("one is not two", json_string_value(json_object_get(json, "text")));
	ASSERT_STREQ("a.b.c", json_string_value(json_object_get(json, "case")));
	json_decref(json);
	fclose(file);
	unlink(path);

	/* Nowhere to keep it: the case is still red, not lost. */
	rmdir(dir);
	supervise("a.b.c", 5, fails, NULL, &self->s);
	ASSERT_EQ(VERDICT_FAIL, self->s.verdict);
}

static int warns_of_a_task(void *path)
{
	FILE *log = fopen(path, "a");

	/* Eight umlauts, cut off after 15 bytes as names of tasks are. */
	fputs("4,7,1000000,-;WARNING: of ", log);
	fputs("\\xc3\\xa4\\xc3\\xa4\\xc3\\xa4\\xc3\\xa4\\xc3\\xa4\\xc3\\xa4\\xc3\\xa4\\xc3\n", log);
	fclose(log);
	return passes(NULL);
}

TEST_F(supervise_test, tells_what_is_no_utf_8)
{
	char dir[] = "/tmp/supervise_test.XXXXXX", path[64], line[4096] = "", fd[16];
	json_t *json;
	FILE *file;
	int pipes[2];

	ASSERT_NE(NULL, mkdtemp(dir));
	ASSERT_SYS(pipe(pipes));
	snprintf(fd, sizeof(fd), "%d", pipes[1]);
	setenv("SEPT_VERDICT_FD", fd, 1);
	setenv("SEPT_RESULTS", dir, 1);
	snprintf(self->log, sizeof(self->log), "/tmp/supervise_test.%d", getpid());
	close(open(self->log, O_WRONLY | O_CREAT, 0600));
	setenv("SEPT_KMSG", self->log, 1);
	supervise("a.b.c", 5, warns_of_a_task, self->log, &self->s);
	close(pipes[1]);
	ASSERT_SYS(read(pipes[0], line, sizeof(line) - 1));
	json = json_loads(line, 0, NULL);
	ASSERT_NE(NULL, json);
	ASSERT_NE(NULL, strstr(json_string_value(json_object_get(json, "reason")),
			       "WARNING: of ???????????????"));
	json_decref(json);

	snprintf(path, sizeof(path), "%s/findings.jsonl", dir);
	file = fopen(path, "r");
	ASSERT_NE(NULL, file);
	ASSERT_NE(NULL, fgets(line, sizeof(line), file));
	json = json_loads(line, 0, NULL);
	ASSERT_NE(NULL, strstr(json_string_value(json_object_get(json, "text")),
			       "WARNING: of ???????????????"));
	json_decref(json);
	fclose(file);
	unlink(path);
	rmdir(dir);
}

static int harness_skips(void *arg __maybe_unused)
{
	/* What SKIP() of suite.h does after a failed check. */
	fails(NULL);
	if (!supervise_has_failed())
		supervise_skip("hidden");
	return SUPERVISE_PASS;
}

TEST_F(supervise_test, knows_that_a_check_has_failed)
{
	supervise("a.b.c", 5, harness_skips, NULL, &self->s);
	ASSERT_EQ(VERDICT_FAIL, self->s.verdict);
	ASSERT_FALSE(supervise_has_failed());
}

SUITE(.needs = NEED_ROOT, .seconds = 20)
