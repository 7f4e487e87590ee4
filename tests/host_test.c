// SPDX-License-Identifier: GPL-2.0-only
/*
 * The journal of host settings puts back what was changed, whoever changed it
 * and whatever has killed them since.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "suite.h"

FIXTURE(host_test) {
	char dir[64], setting[96], other[96], journal[96];
};

static char said[2048];

static void say(const char *sentence)
{
	size_t len = strlen(said);

	snprintf(said + len, sizeof(said) - len, "%s\n", sentence);
}

static void put(const char *path, const char *text)
{
	FILE *to = fopen(path, "we");

	if (to) {
		fputs(text, to);
		fclose(to);
	}
}

static const char *get(const char *path)
{
	static char text[4096];
	FILE *from = fopen(path, "re");

	if (!from)
		return "(none)";
	text[fread(text, 1, sizeof(text) - 1, from)] = '\0';
	fclose(from);
	return text;
}

FIXTURE_SETUP(host_test)
{
	strcpy(self->dir, "/tmp/host_test.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->dir));
	sprintf(self->setting, "%s/setting", self->dir);
	sprintf(self->other, "%s/other", self->dir);
	sprintf(self->journal, "%s/host-journal", self->dir);
	setenv("SEPT_STATE", self->dir, 1);
	put(self->setting, "before\n");
	said[0] = '\0';
}

FIXTURE_TEARDOWN(host_test)
{
	char lock[96];

	sprintf(lock, "%s/lock", self->dir);
	unlink(lock);
	unlink(self->setting);
	unlink(self->other);
	unlink(self->journal);
	rmdir(self->dir);
}

TEST_F(host_test, restores_the_first_value)
{
	ASSERT_OK(host_set(self->setting, "one"));
	ASSERT_OK(host_set(self->setting, "two"));
	ASSERT_STREQ("two", get(self->setting));
	ASSERT_OK(host_restore(self->setting));
	ASSERT_STREQ("before", get(self->setting));
	ASSERT_STREQ("", get(self->journal));
	ASSERT_ERR(ENOENT, host_restore(self->setting));
}

TEST_F(host_test, restores_the_choice_in_brackets)
{
	put(self->setting, "always [madvise] never\n");
	ASSERT_OK(host_set(self->setting, "never"));
	ASSERT_OK(host_restore(self->setting));
	ASSERT_STREQ("madvise", get(self->setting));

	/* Brackets within a word are no choice. */
	put(self->setting, "a[1] b\n");
	ASSERT_OK(host_set(self->setting, "x"));
	ASSERT_OK(host_restore(self->setting));
	ASSERT_STREQ("a[1] b", get(self->setting));
}

TEST_F(host_test, restores_everything_in_reverse_order)
{
	ASSERT_OK(host_set(self->setting, "after"));
	ASSERT_OK(host_owe_rmdir(self->other));
	ASSERT_OK(mkdir(self->other, 0700) ? -errno : 0);
	ASSERT_EQ(2, host_restore_all(say));
	ASSERT_STREQ("before", get(self->setting));
	ASSERT_EQ(-1, access(self->other, F_OK));
	ASSERT_EQ(0, strncmp(said, "removed /tmp/", 13));
	ASSERT_NE(NULL, strstr(said, "\nset /tmp/"));
	ASSERT_NE(NULL, strstr(said, "/setting back to \"before\"\n"));
	ASSERT_EQ(0, host_restore_all(say));
}

TEST_F(host_test, forgets_what_was_undone)
{
	ASSERT_OK(host_set(self->setting, "after"));
	ASSERT_OK(host_owe_rmdir(self->other));
	ASSERT_OK(host_paid_rmdir(self->other));
	ASSERT_ERR(ENOENT, host_paid_rmdir(self->other));
	ASSERT_EQ(1, host_restore_all(NULL));
}

TEST_F(host_test, changes_nothing_it_cannot_change)
{
	ASSERT_ERR(ENOENT, host_set(self->other, "x"));
	ASSERT_STREQ("(none)", get(self->journal));

	/* Readable, but not writable even for root. */
	ASSERT_ERR(EIO, host_set("/proc/version", "x"));
	ASSERT_STREQ("", get(self->journal));
	ASSERT_EQ(0, host_restore_all(NULL));
}

TEST_F(host_test, writes_what_undoes_a_deed)
{
	ASSERT_OK(host_owe(self->setting, "one"));
	ASSERT_OK(host_owe(self->setting, "two"));
	ASSERT_OK(host_owe(self->setting, "three"));
	ASSERT_ERR(ENOENT, host_pay(self->setting, "four"));
	ASSERT_STREQ("before\n", get(self->setting));
	ASSERT_OK(host_pay(self->setting, "two"));
	ASSERT_STREQ("two", get(self->setting));
	ASSERT_ERR(ENOENT, host_pay(self->setting, "two"));
	ASSERT_OK(host_forgive(self->setting, "three"));
	ASSERT_STREQ("two", get(self->setting));
	ASSERT_EQ(1, host_restore_all(say));
	ASSERT_STREQ("one", get(self->setting));
	ASSERT_NE(NULL, strstr(said, "wrote to /tmp/"));
	ASSERT_STREQ("", get(self->journal));
}

TEST_F(host_test, restores_after_a_kill)
{
	pid_t child = fork();
	int status;

	if (!child) {
		host_set(self->setting, "after");
		raise(SIGKILL);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_STREQ("after", get(self->setting));
	ASSERT_EQ(1, host_restore_all(say));
	ASSERT_STREQ("before", get(self->setting));
}

TEST_F(host_test, leaves_alone_what_another_process_stands_behind)
{
	int ready[2], status;
	pid_t child;
	char byte;

	ASSERT_OK(pipe(ready) ? -errno : 0);
	child = fork();
	if (!child) {
		host_set(self->setting, "after");
		status = write(ready[1], "x", 1);
		pause();
	}
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	ASSERT_EQ(0, host_restore_all(say));
	ASSERT_STREQ("after", get(self->setting));
	kill(child, SIGKILL);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(1, host_restore_all(say));
	ASSERT_STREQ("before", get(self->setting));
	close(ready[0]);
	close(ready[1]);
}

TEST_F(host_test, passes_over_a_line_that_was_cut)
{
	FILE *journal;

	ASSERT_OK(host_set(self->setting, "after"));
	journal = fopen(self->journal, "ae");
	ASSERT_NE(NULL, journal);
	fputs("{\"op\":\"set\",\"path\":\"/cu", journal);
	fclose(journal);
	/* A line that comes later must not stick to it. */
	ASSERT_OK(host_owe_rmdir(self->other));
	ASSERT_EQ(2, host_restore_all(say));
	ASSERT_NE(NULL, strstr(said, "passed over 1 unreadable line of /tmp/"));
	ASSERT_STREQ("before", get(self->setting));
}

TEST_F(host_test, keeps_what_it_cannot_restore)
{
	ASSERT_OK(host_set(self->setting, "after"));
	unlink(self->setting);
	ASSERT_OK(mkdir(self->setting, 0700) ? -errno : 0);
	ASSERT_ERR(EISDIR, host_restore_all(say));
	ASSERT_NE(NULL, strstr(said, "cannot set /tmp/"));
	rmdir(self->setting);
	put(self->setting, "after");
	ASSERT_EQ(1, host_restore_all(say));
	ASSERT_STREQ("before", get(self->setting));
}

TEST_F(host_test, leaves_alone_what_a_reboot_has_restored)
{
	char line[256];

	sprintf(line, "{\"op\":\"set\",\"path\":\"%s\",\"boot\":\"x\",\"pid\":1,\"was\":\"old\",\"now\":\"y\"}\n",
		self->setting);
	put(self->journal, line);
	ASSERT_EQ(1, host_restore_all(say));
	ASSERT_STREQ("before\n", get(self->setting));
	ASSERT_NE(NULL, strstr(said, "before a reboot"));
}

TEST_F(host_test, refuses_a_folder_that_others_can_write_to)
{
	ASSERT_OK(chmod(self->dir, 0777) ? -errno : 0);
	ASSERT_ERR(EPERM, host_set(self->setting, "x"));
	ASSERT_STREQ("before\n", get(self->setting));
	ASSERT_ERR(EPERM, host_restore_all(NULL));
	ASSERT_OK(chmod(self->dir, 0700) ? -errno : 0);
}

TEST_F(host_test, locks_once)
{
	int holder, second, fd = host_lock(&holder);

	ASSERT_LE(0, fd);
	ASSERT_ERR(EBUSY, host_lock(&second));
	ASSERT_EQ(getpid(), second);
	close(fd);
	fd = host_lock(&holder);
	ASSERT_LE(0, fd);
	close(fd);
}

/* A change waits for the lock; if it did not, 200 ms would do for it. */
TEST_F(host_test, waits_for_the_journal)
{
	int fd, status;
	pid_t child;

	fd = open(self->journal, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_LE(0, fd);
	ASSERT_OK(flock(fd, LOCK_EX) ? -errno : 0);
	child = fork();
	if (!child)
		_exit(host_set(self->setting, "after") ? 1 : 0);
	usleep(200 * 1000);
	ASSERT_EQ(0, waitpid(child, &status, WNOHANG));
	ASSERT_STREQ("before\n", get(self->setting));
	ASSERT_OK(flock(fd, LOCK_UN) ? -errno : 0);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_STREQ("after", get(self->setting));
	close(fd);
}

#define NR_WRITERS	4
#define NR_ROUNDS	50

/* Several processes at once lose no line and tear none. */
TEST_F(host_test, keeps_writers_apart)
{
	pid_t pids[NR_WRITERS];
	char path[128];
	int i, n, status;

	ASSERT_OK(host_set(self->setting, "after"));
	for (i = 0; i < NR_WRITERS; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		snprintf(path, sizeof(path), "%s/d%d", self->dir, i);
		for (n = 0; n < NR_ROUNDS; n++)
			if (host_owe_rmdir(path) || (n < NR_ROUNDS - 1 && host_paid_rmdir(path)))
				_exit(1);
		_exit(0);
	}
	for (i = 0; i < NR_WRITERS; i++) {
		ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
		ASSERT_EQ(0, status);
	}
	ASSERT_EQ(NR_WRITERS + 1, host_restore_all(say));
	ASSERT_EQ(NULL, strstr(said, "unreadable"));
	ASSERT_STREQ("before", get(self->setting));
}

SUITE(.seconds = 30)
