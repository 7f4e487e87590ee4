// SPDX-License-Identifier: GPL-2.0-only
/*
 * How tests talk to the emulator, and what their supervisor makes of its reports.
 * A thread that answers from a table stands for it.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "emulator.h"
#include "env.h"
#include "suite.h"

#define REPORT	"{\"rule\":\"host-write\",\"text\":\"the host writes 8 bytes\",\"pa\":\"0x1000\"," \
		"\"tdr\":\"0x2000\",\"gpa\":\"0x3000\",\"backtrace\":[\"__seamcall+0x1/0x2\",\"memset+0x1/0x2\"]}\n"

/* What it answers, by command. */
struct line {
	const char *command, *answer;
};

FIXTURE(emulator_test) {
	int fd, its_fd;
	const struct line *lines;
	pthread_t emulator;
};

static void *answer(void *arg)
{
	FIXTURE_DATA(emulator_test) *self = arg;
	char command[1024];
	size_t len = 0;

	while (read(self->its_fd, command + len, 1) == 1) {
		const struct line *l = self->lines;
		const char *text;

		if (command[len++] != '\n')
			continue;
		command[len - 1] = '\0';
		len = 0;
		while (l->command && strcmp(l->command, command))
			l++;
		text = l->command ? l->answer : "error: what?\n";
		/* Not dprintf(), which fflush(NULL) of another thread may repeat. */
		if (write(self->its_fd, text, strlen(text)) < 0)
			break;
	}
	close(self->its_fd);
	return NULL;
}

static void start(FIXTURE_DATA(emulator_test) *self, const struct line *lines)
{
	char env[16];
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		abort();
	self->fd = fds[0];
	self->its_fd = fds[1];
	self->lines = lines;
	if (pthread_create(&self->emulator, NULL, answer, self))
		abort();
	snprintf(env, sizeof(env), "%d", fds[0]);
	setenv("SEPT_EMULATOR_FD", env, 1);
}

static void stop(FIXTURE_DATA(emulator_test) *self)
{
	shutdown(self->fd, SHUT_RDWR);
	pthread_join(self->emulator, NULL);
}

FIXTURE_SETUP(emulator_test)
{
	unsetenv("SEPT_EMULATOR_FD");
	unsetenv("SEPT_VERDICT_FD");
	unsetenv("SEPT_RESULTS");
}

FIXTURE_TEARDOWN(emulator_test)
{
	unsetenv("SEPT_EMULATOR_FD");
	if (self->lines) {
		stop(self);
		close(self->fd);
	}
}

TEST_F(emulator_test, is_not_there_on_a_host)
{
	char *text = (char *)1;

	if (strcmp(env_platform(), "emulated") == 0)
		SKIP(return, "this is the emulated machine");
	ASSERT_NE(NULL, emulator_why_not());
	ASSERT_NE(NULL, strstr(emulator_why_not(), "--platform emulated"));
	ASSERT_EQ(-ENODEV, emulator_ask(&text, "stats"));
	ASSERT_EQ(NULL, text);
	ASSERT_NE(NULL, strstr(need_why_not(NEED_EMULATOR), "--platform emulated"));
}

TEST_F(emulator_test, gets_its_answers)
{
	static const struct line lines[] = {
		{ "owner 0x1000", "type=3\nok\n" }, { "reset", "ok\n" },
		{ "inject MEM.TRACK SYS_BUSY times=1", "ok\n" }, { NULL, NULL },
	};
	char *text;

	start(self, lines);
	ASSERT_EQ(NULL, emulator_why_not());
	ASSERT_EQ(0, emulator_ask(&text, "owner 0x%x", 0x1000));
	ASSERT_STREQ("type=3\n", text);
	free(text);
	ASSERT_EQ(0, emulator_reset());
	ASSERT_EQ(0, emulator_inject("MEM.TRACK", "SYS_BUSY", "times=1"));
	ASSERT_EQ(-EINVAL, emulator_ask(&text, "nonsense"));
	ASSERT_STREQ("what?", text);
	free(text);
	ASSERT_EQ(-E2BIG, emulator_ask(NULL, "two\nlines"));
	ASSERT_EQ(0, emulator_reset());
}

TEST_F(emulator_test, counts)
{
	static const struct line lines[] = {
		{ "stats", "TDH.MEM.TRACK TDX_SUCCESS 5 0\nTDH.MEM.TRACK TDX_OPERAND_BUSY 3 2\n"
			   "TDG.VP.INFO TDX_SUCCESS 7 0\nok\n" },
		{ "stats reset", "ok\n" }, { NULL, NULL },
	};
	struct emulator_calls calls;

	start(self, lines);
	ASSERT_EQ(0, emulator_count_start());
	ASSERT_EQ(0, emulator_count("MEM.TRACK", NULL, &calls));
	ASSERT_EQ(8, calls.nr);
	ASSERT_EQ(2, calls.injected);
	ASSERT_EQ(0, emulator_count("TDH.MEM.TRACK", "OPERAND_BUSY", &calls));
	ASSERT_EQ(3, calls.nr);
	ASSERT_EQ(0, emulator_count("vp.info", "TDX_SUCCESS", &calls));
	ASSERT_EQ(7, calls.nr);
	ASSERT_EQ(0, emulator_count("MEM.TRAC", NULL, &calls));
	ASSERT_EQ(0, calls.nr);
}

TEST_F(emulator_test, notices_that_it_is_gone)
{
	static const struct line lines[] = { { NULL, NULL } };

	signal(SIGPIPE, SIG_IGN);
	start(self, lines);
	stop(self);
	ASSERT_EQ(-EIO, emulator_reset());
	self->lines = NULL;
}

static void visit(void *ctx, const struct finding *f, const char *json)
{
	*(struct finding *)ctx = *f;
	if (strlen(json) < 10)
		abort();
}

TEST_F(emulator_test, makes_findings_of_reports)
{
	static const struct line lines[] = {
		{ "sanitizer report", REPORT "broken report\nok\n" }, { NULL, NULL },
	};
	static const struct line one[] = { { "sanitizer report", REPORT "ok\n" }, { NULL, NULL } };
	struct finding f;

	start(self, lines);
	ASSERT_EQ(2, emulator_reports(visit, &f));
	ASSERT_STREQ("sanitizer", f.invariant);
	stop(self);
	start(self, one);
	ASSERT_EQ(1, emulator_reports(visit, &f));
	ASSERT_STREQ("host-write", f.invariant);
	ASSERT_STREQ("the host writes 8 bytes: page 0x1000 of TD 0x2000 at GPA 0x3000, host at memset+0x1/0x2",
		     f.text);
}

static int passes(void *arg __maybe_unused)
{
	supervise_checked();
	return SUPERVISE_PASS;
}

TEST_F(emulator_test, fails_the_case_that_made_the_sanitizer_report)
{
	static const struct line quiet[] = {
		{ "reset", "ok\n" }, { "sanitizer tds", "0\nok\n" }, { "sanitizer idle", "0\nok\n" },
		{ "sanitizer report", "ok\n" }, { NULL, NULL },
	};
	static const struct line loud[] = {
		{ "reset", "ok\n" }, { "sanitizer tds", "0\nok\n" }, { "sanitizer idle", "0\nok\n" },
		{ "sanitizer report", REPORT "ok\n" }, { NULL, NULL },
	};
	struct supervised s;

	start(self, quiet);
	supervise("a.b.c", 5, passes, NULL, &s);
	ASSERT_EQ(VERDICT_PASS, s.verdict);
	stop(self);
	start(self, loud);
	supervise("a.b.c", 5, passes, NULL, &s);
	ASSERT_EQ(VERDICT_FAIL, s.verdict);
	ASSERT_NE(NULL, strstr(s.reason, "host-write: the host writes 8 bytes"));
}

TEST_F(emulator_test, waits_for_a_td_to_end_but_not_for_ever)
{
	static const struct line stuck[] = {
		{ "reset", "ok\n" }, { "sanitizer tds", "1\nok\n" }, { "sanitizer idle", "1\nok\n" },
		{ "sanitizer report", "ok\n" }, { NULL, NULL },
	};
	struct supervised s;

	start(self, stuck);
	supervise("a.b.c", 5, passes, NULL, &s);
	ASSERT_EQ(VERDICT_PASS, s.verdict);	/* it is the emulator that judges */
}

SUITE(.seconds = 20)
