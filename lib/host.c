// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "host.h"

/*
 * The journal only grows while something is owed: a line {"op":"set"},
 * {"op":"write"} or {"op":"mkdir"} before the deed, a line {"op":"done"} after it
 * was undone.  It is emptied when nothing is owed any more.  A line cut by a kill belongs to a
 * deed that was not yet done, so it is passed over.
 *
 * Each line names the process that did it.  While that lives it will undo it
 * itself, so nobody else does.
 *
 * Several cases may change the host at once; a lock on the journal itself,
 * held from reading to the deed's end, keeps them apart.
 */

#define VALUE_MAX	4096	/* a setting is a line, not a document */

/* A journal, open and locked. */
struct journal {
	int fd;
	json_t *owed;		/* lines not yet undone, oldest first */
	unsigned int nr_bad;	/* lines that could not be read */
};

const char *host_state(void)
{
	static char path[PATH_MAX - 32];
	const char *env = getenv("SEPT_STATE");
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (env && *env)
		snprintf(path, sizeof(path), "%s", env);
	else if (!geteuid())
		snprintf(path, sizeof(path), "/run/tdx-sept-tests");
	else if (run && *run)
		snprintf(path, sizeof(path), "%s/tdx-sept-tests", run);
	else
		snprintf(path, sizeof(path), "/tmp/tdx-sept-tests-%u", geteuid());
	return path;
}

/*
 * Whoever can write the journal can make root write any file, so a folder that
 * is not the caller's alone is refused.
 */
static int state_open(const char *name)
{
	const char *dir = host_state();
	char path[PATH_MAX];
	struct stat st;
	char *slash;
	int fd;

	snprintf(path, sizeof(path), "%s", dir);
	for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	if (lstat(dir, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return -EPERM;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

/* The whole of a file that has less than @len bytes, terminated. */
static int slurp(int fd, char *buf, size_t len)
{
	size_t used = 0;
	ssize_t n;

	do {
		n = read(fd, buf + used, len - 1 - used);
		if (n < 0)
			return -errno;
		used += n;
	} while (n && used < len - 1);
	buf[used] = '\0';
	return n ? -EFBIG : 0;
}

static int file_read(const char *path, char *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = slurp(fd, text, VALUE_MAX);
	close(fd);
	return rc;
}

static int setting_read(const char *path, char *value)
{
	char *from, *to;
	int rc;

	rc = file_read(path, value);
	if (rc)
		return rc;
	value[strcspn(value, "\n")] = '\0';

	/* "always [madvise] never": the choice is what can be written back. */
	from = strchr(value, '[');
	to = from ? strchr(from, ']') : NULL;
	if (to && (from == value || from[-1] == ' ') && (!to[1] || to[1] == ' ') &&
	    !memchr(from, ' ', to - from)) {
		*to = '\0';
		memmove(value, from + 1, to - from);
	}
	return 0;
}

static int setting_write(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	ssize_t len = strlen(value), n;

	if (fd < 0)
		return -errno;
	/* Such files take a value in one write(2) or not at all. */
	n = write(fd, value, len);
	if (n < 0)
		n = -errno;
	close(fd);
	return n == len ? 0 : n < 0 ? n : -EIO;
}

/* When a process began, in ticks since boot: with the pid, its name for good. 0: none. */
static json_int_t began(pid_t pid)
{
	char path[64], text[VALUE_MAX], *end;
	unsigned long long start = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(path, text))
		return 0;
	end = strrchr(text, ')');
	if (end)
		sscanf(end, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		       &start);
	return start;
}

/* Settings do not survive a reboot; a journal in a folder that does must not either. */
static const char *boot_id(void)
{
	static char id[VALUE_MAX];

	if (!id[0] && setting_read("/proc/sys/kernel/random/boot_id", id))
		strcpy(id, "unknown");
	return id;
}

static const char *entry_get(const json_t *entry, const char *key)
{
	return json_string_value(json_object_get(entry, key)) ?: "";
}

/* @op and @was are what it must be, or NULL. */
static json_t *journal_find(const struct journal *j, const char *op, const char *path,
			    const char *was, size_t *at)
{
	json_t *entry;
	size_t i;

	json_array_foreach(j->owed, i, entry) {
		if (strcmp(entry_get(entry, "path"), path))
			continue;
		if (op && strcmp(entry_get(entry, "op"), op))
			continue;
		if (was && strcmp(entry_get(entry, "was"), was))
			continue;
		if (at)
			*at = i;
		return entry;
	}
	return NULL;
}

static void journal_close(struct journal *j)
{
	json_decref(j->owed);
	close(j->fd);		/* and unlock */
}

static int journal_open(struct journal *j)
{
	char *line = NULL;
	size_t size = 0, at;
	ssize_t len;
	FILE *from;
	int fd;

	memset(j, 0, sizeof(*j));
	j->fd = state_open("host-journal");
	if (j->fd < 0)
		return j->fd;
	while (flock(j->fd, LOCK_EX)) {
		if (errno != EINTR) {
			fd = -errno;
			close(j->fd);
			return fd;
		}
	}

	j->owed = json_array();
	fd = fcntl(j->fd, F_DUPFD_CLOEXEC, 0);
	from = fd < 0 ? NULL : fdopen(fd, "r");
	if (!from || !j->owed) {
		if (from)
			fclose(from);
		else if (fd >= 0)
			close(fd);
		journal_close(j);
		return -ENOMEM;
	}
	while ((len = getline(&line, &size, from)) > 0) {
		json_t *entry = line[len - 1] == '\n' ? json_loads(line, 0, NULL) : NULL;
		const char *op = entry_get(entry, "op"), *path = entry_get(entry, "path");

		if (!*path)
			j->nr_bad++;
		else if (!strcmp(op, "done") &&
			 journal_find(j, NULL, path,
				      json_string_value(json_object_get(entry, "was")), &at))
			json_array_remove(j->owed, at);
		else if (!strcmp(op, "set") || !strcmp(op, "write") || !strcmp(op, "mkdir"))
			json_array_append(j->owed, entry);
		json_decref(entry);
	}
	free(line);
	fclose(from);
	return 0;
}

/* Append a line, whole or not at all. */
static int journal_append(struct journal *j, json_t *entry)
{
	off_t end = lseek(j->fd, 0, SEEK_END);
	char *text, last = '\n';
	ssize_t len, n;
	int rc = 0;

	text = entry ? json_dumps(entry, JSON_COMPACT) : NULL;
	if (!text)
		return -ENOMEM;
	/* Do not go on behind a line that a kill has cut. */
	if (end > 0 && pread(j->fd, &last, 1, end - 1) == 1 && last != '\n' &&
	    write(j->fd, "\n", 1) != 1)
		rc = -errno;
	len = strlen(text);
	text[len] = '\n';	/* in place of the terminator, which write() needs not */
	n = rc ? rc : write(j->fd, text, len + 1);
	free(text);
	if (rc || n == len + 1)
		return rc;
	rc = n < 0 ? -errno : -ENOSPC;
	if (ftruncate(j->fd, end))
		rc = -errno;
	return rc;
}

static int journal_owe(struct journal *j, const char *op, const char *path,
		       const char *was, const char *now)
{
	json_t *entry = json_pack("{ss ss ss si sI}", "op", op, "path", path,
				  "boot", boot_id(), "pid", (int)getpid(),
				  "began", began(getpid()));
	int rc;

	/* What is no UTF-8 makes jansson refuse; nothing is changed then. */
	if (!entry || (was && json_object_set_new(entry, "was", json_string(was))) ||
	    (now && json_object_set_new(entry, "now", json_string(now)))) {
		json_decref(entry);
		return -EILSEQ;
	}
	rc = journal_append(j, entry);
	if (!rc)
		json_array_append(j->owed, entry);
	json_decref(entry);
	return rc;
}

/* @was tells which, if several are owed at @path; else NULL. */
static int journal_done(struct journal *j, const char *path, const char *was)
{
	json_t *entry;
	size_t at;
	int rc;

	if (journal_find(j, NULL, path, was, &at))
		json_array_remove(j->owed, at);
	if (!json_array_size(j->owed))
		return ftruncate(j->fd, 0) ? -errno : 0;
	entry = json_pack("{ss ss ss*}", "op", "done", "path", path, "was", was);
	rc = journal_append(j, entry);
	json_decref(entry);
	return rc;
}

int host_may_set(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int host_set(const char *path, const char *value)
{
	char was[VALUE_MAX];
	struct journal j;
	bool first;
	int rc;

	rc = setting_read(path, was);
	if (rc)
		return rc;
	rc = journal_open(&j);
	if (rc)
		return rc;
	first = !journal_find(&j, "set", path, NULL, NULL);
	if (first)
		rc = journal_owe(&j, "set", path, was, value);
	if (!rc) {
		rc = setting_write(path, value);
		if (rc && first)
			journal_done(&j, path, NULL);
	}
	journal_close(&j);
	return rc;
}

/*
 * What is owed at a path, @was if several are, is owed no more; with @undo it is written
 * back before.  -ENOENT if there is no such debt.
 */
static int strike_out(const char *op, const char *path, const char *was, bool undo)
{
	struct journal j;
	json_t *entry;
	int rc;

	rc = journal_open(&j);
	if (rc)
		return rc;
	entry = journal_find(&j, op, path, was, NULL);
	rc = !entry ? -ENOENT : undo ? setting_write(path, entry_get(entry, "was")) : 0;
	if (!rc)
		rc = journal_done(&j, path, was);
	journal_close(&j);
	return rc;
}

int host_restore(const char *path)
{
	return strike_out("set", path, NULL, true);
}

int host_owe(const char *path, const char *value)
{
	struct journal j;
	int rc;

	rc = journal_open(&j);
	if (rc)
		return rc;
	rc = journal_owe(&j, "write", path, value, NULL);
	journal_close(&j);
	return rc;
}

int host_pay(const char *path, const char *value)
{
	return strike_out("write", path, value, true);
}

int host_forgive(const char *path, const char *value)
{
	return strike_out("write", path, value, false);
}

int host_owe_rmdir(const char *path)
{
	struct journal j;
	int rc;

	rc = journal_open(&j);
	if (rc)
		return rc;
	if (!journal_find(&j, "mkdir", path, NULL, NULL))
		rc = journal_owe(&j, "mkdir", path, NULL, NULL);
	journal_close(&j);
	return rc;
}

int host_paid_rmdir(const char *path)
{
	return strike_out("mkdir", path, NULL, false);
}

/* A cgroup cannot go while tasks are in it; give them back to its parent. */
static void cgroup_empty(const char *path)
{
	char name[PATH_MAX], pid[32];
	FILE *from, *to;

	snprintf(name, sizeof(name), "%s/cgroup.procs", path);
	from = fopen(name, "re");
	if (!from)
		return;
	while (fgets(pid, sizeof(pid), from)) {
		snprintf(name, sizeof(name), "%s/../cgroup.procs", path);
		to = fopen(name, "we");
		if (!to)
			break;
		fputs(pid, to);
		fclose(to);
	}
	fclose(from);
}

static int dir_remove(const char *path)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	int tries;

	/* A task that is just ending keeps its cgroup busy a moment longer. */
	for (tries = 0; tries < 50; tries++) {
		if (!rmdir(path))
			return 0;
		if (errno != EBUSY)
			return -errno;
		cgroup_empty(path);
		nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

/* Another process made this change and still stands behind it. */
static bool entry_in_use(const json_t *entry)
{
	pid_t pid = json_integer_value(json_object_get(entry, "pid"));
	json_int_t start = json_integer_value(json_object_get(entry, "began"));

	return pid != getpid() && start && start == began(pid) &&
	       !strcmp(entry_get(entry, "boot"), boot_id());
}

/* Undo one line. @text receives what happened, in a sentence. */
static int entry_undo(json_t *entry, char *text, size_t len)
{
	const char *path = entry_get(entry, "path"), *was = entry_get(entry, "was");
	bool set = !strcmp(entry_get(entry, "op"), "set");
	bool dir = !strcmp(entry_get(entry, "op"), "mkdir");
	int rc;

	if (strcmp(entry_get(entry, "boot"), boot_id())) {
		snprintf(text, len, "%s was changed before a reboot, which restored it", path);
		return 0;
	}
	rc = dir ? dir_remove(path) : setting_write(path, was);
	if (rc == -ENOENT)
		snprintf(text, len, "%s is gone, nothing to restore", path);
	else if (rc && dir)
		snprintf(text, len, "cannot remove %s: %s", path, strerror(-rc));
	else if (dir)
		snprintf(text, len, "removed %s", path);
	else if (rc)
		snprintf(text, len, "cannot %s %s%s \"%s\": %s", set ? "set" : "write to", path,
			 set ? " back to" : "", was, strerror(-rc));
	else
		snprintf(text, len, "%s %s%s \"%s\"", set ? "set" : "wrote to", path,
			 set ? " back to" : "", was);
	return rc == -ENOENT ? 0 : rc;
}

int host_restore_all(void (*say)(const char *sentence))
{
	char text[PATH_MAX + VALUE_MAX + 64];
	int first_error = 0, done = 0, rc;
	struct journal j;
	json_t *entry;
	size_t i;

	rc = journal_open(&j);
	if (rc)
		return rc;
	if (j.nr_bad && say) {
		snprintf(text, sizeof(text), "passed over %u unreadable line%s of %s/host-journal",
			 j.nr_bad, j.nr_bad == 1 ? "" : "s", host_state());
		say(text);
	}
	/* The other way round than it was done. */
	for (i = json_array_size(j.owed); i-- > 0; ) {
		entry = json_array_get(j.owed, i);
		if (entry_in_use(entry))
			continue;
		json_incref(entry);
		rc = entry_undo(entry, text, sizeof(text));
		if (!rc) {
			done++;
			rc = journal_done(&j, entry_get(entry, "path"),
					  strcmp(entry_get(entry, "op"), "write") ? NULL :
					  entry_get(entry, "was"));
		}
		if (rc && !first_error)
			first_error = rc;
		if (say)
			say(text);
		json_decref(entry);
	}
	if (!json_array_size(j.owed) && ftruncate(j.fd, 0) && !first_error)
		first_error = -errno;
	journal_close(&j);
	return first_error ?: done;
}

int host_lock(int *holder)
{
	const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
	int fd = state_open("lock"), tries, rc;
	char text[32];

	*holder = 0;
	if (fd < 0)
		return fd;
	for (tries = 0; flock(fd, LOCK_EX | LOCK_NB); tries++) {
		rc = -errno;
		if (rc == -EWOULDBLOCK && !lseek(fd, 0, SEEK_SET) &&
		    !slurp(fd, text, sizeof(text)))
			*holder = atoi(text);
		/*
		 * A run that was killed leaves its lock for the moment that the
		 * keepers of its cases take to end them (keeper.h).
		 */
		if (rc == -EWOULDBLOCK && tries < 200 &&
		    (!*holder || (kill(*holder, 0) && errno == ESRCH))) {
			nanosleep(&pause, NULL);
			continue;
		}
		close(fd);
		return rc == -EWOULDBLOCK ? -EBUSY : rc;
	}
	*holder = 0;
	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) || pwrite(fd, text, strlen(text), 0) != (ssize_t)strlen(text)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}
