// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "host.h"
#include "settle.h"

#define MAX_PATH	4096
#define PAGE_BYTES	4096ull

struct cgroup {
	bool v2;
	char home[MAX_PATH];	/* the caller's group */
	char path[MAX_PATH];
};

/* Where the caller is, and below which group it can make one. */
struct place {
	bool v2;
	char home[MAX_PATH];
	char parent[MAX_PATH];
};

static int read_file(const char *dir, const char *name, char *buf, size_t len)
{
	char path[MAX_PATH + 64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, len - 1);
	close(fd);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

static int write_file(const char *dir, const char *name, const char *text)
{
	char path[MAX_PATH + 64];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* Whether a list, separated by any of @seps, has this word. */
static bool has_word(const char *list, const char *seps, const char *word)
{
	char copy[MAX_PATH], *next, *save;

	snprintf(copy, sizeof(copy), "%s", list);
	for (next = strtok_r(copy, seps, &save); next; next = strtok_r(NULL, seps, &save))
		if (!strcmp(next, word))
			return true;
	return false;
}

/* The caller's path in a hierarchy, as /proc/self/cgroup tells it. */
static bool own_path(bool v2, char *out, size_t len)
{
	char line[MAX_PATH + 128], *controllers, *path;
	FILE *f = fopen("/proc/self/cgroup", "re");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		controllers = strchr(line, ':');
		path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		controllers++;
		found = v2 ? !*controllers : has_word(controllers, ",", "memory");
		if (found)
			snprintf(out, len, "%s", path);
	}
	if (f)
		fclose(f);
	return found;
}

/* The directory of the caller's group; false if the hierarchy is not mounted. */
static bool own_dir(bool v2, char *out, size_t len)
{
	char line[2 * MAX_PATH], root[MAX_PATH], mount[MAX_PATH], type[32];
	char super[512], path[MAX_PATH], *tail;
	FILE *f;
	bool found = false;
	size_t cut;

	if (!own_path(v2, path, sizeof(path)))
		return false;
	f = fopen("/proc/self/mountinfo", "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		/* Optional fields end at a lone dash. */
		tail = strstr(line, " - ");
		if (!tail || sscanf(line, "%*s %*s %*s %4095s %4095s", root, mount) != 2 ||
		    sscanf(tail, " - %31s %*s %511s", type, super) != 2)
			continue;
		if (strcmp(type, v2 ? "cgroup2" : "cgroup") ||
		    (!v2 && !has_word(super, ",", "memory")))
			continue;
		/* A container may see only a part of the hierarchy. */
		cut = strcmp(root, "/") ? strlen(root) : 0;
		if (strncmp(path, root, cut))
			continue;
		if (snprintf(out, len, "%s%s", mount, path + cut) >= (int)len)
			continue;
		cut = strlen(out);
		while (cut > 1 && out[cut - 1] == '/')
			out[--cut] = '\0';
		found = true;
	}
	if (f)
		fclose(f);
	return found;
}

/* The nearest group of version 2, upwards, that hands the memory controller down. */
static bool find_parent(const char *home, char *out, size_t len)
{
	char words[512], *slash;

	snprintf(out, len, "%s", home);
	for (;;) {
		if (read_file(out, "cgroup.subtree_control", words, sizeof(words)))
			return false;
		if (has_word(words, " \n", "memory"))
			return true;
		slash = strrchr(out, '/');
		if (!slash || slash == out)
			return false;
		*slash = '\0';
	}
}

static int find_place(struct place *p, char *why, size_t len)
{
	p->v2 = false;
	if (own_dir(false, p->home, sizeof(p->home))) {
		snprintf(p->parent, sizeof(p->parent), "%s", p->home);
	} else if (own_dir(true, p->home, sizeof(p->home))) {
		p->v2 = true;
		if (!find_parent(p->home, p->parent, sizeof(p->parent))) {
			snprintf(why, len, "no group from %.100s upwards hands the memory controller down; write +memory to cgroup.subtree_control of one",
				 p->home);
			return -EOPNOTSUPP;
		}
	} else {
		snprintf(why, len, "no cgroup hierarchy with the memory controller is mounted");
		return -EOPNOTSUPP;
	}
	if (access(p->parent, W_OK)) {
		snprintf(why, len, "cannot make a group in %.100s: %s", p->parent,
			 strerror(errno));
		return -errno;
	}
	return 0;
}

const char *cgroup_why_not(void)
{
	static char why[320];
	struct place p;

	return find_place(&p, why, sizeof(why)) ? why : NULL;
}

int cgroup_create(struct cgroup **out)
{
	static unsigned int count;
	char why[320];
	struct cgroup *cg;
	struct place p;
	int err;

	*out = NULL;
	err = find_place(&p, why, sizeof(why));
	if (err)
		return err;
	cg = calloc(1, sizeof(*cg));
	if (!cg)
		return -ENOMEM;
	cg->v2 = p.v2;
	strcpy(cg->home, p.home);
	if (snprintf(cg->path, sizeof(cg->path), "%s/tdx-sept-%d-%u", p.parent,
		     getpid(), count++) >= (int)sizeof(cg->path))
		err = -ENAMETOOLONG;
	if (!err)
		err = host_owe_rmdir(cg->path);
	if (!err && mkdir(cg->path, 0755)) {
		err = -errno;
		host_paid_rmdir(cg->path);
	}
	if (err) {
		free(cg);
		return err;
	}
	*out = cg;
	return 0;
}

static int move(const char *path, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	return write_file(path, "cgroup.procs", text);
}

int cgroup_enter(const struct cgroup *cg, pid_t pid)
{
	return move(cg->path, pid);
}

int cgroup_leave(const struct cgroup *cg, pid_t pid)
{
	return move(cg->home, pid);
}

int cgroup_limit(const struct cgroup *cg, __u64 bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", bytes);
	return write_file(cg->path, cg->v2 ? "memory.max" : "memory.limit_in_bytes", text);
}

int cgroup_usage(const struct cgroup *cg, __u64 *bytes)
{
	char text[32];
	int err;

	err = read_file(cg->path, cg->v2 ? "memory.current" : "memory.usage_in_bytes",
			text, sizeof(text));
	if (!err)
		*bytes = strtoull(text, NULL, 10);
	return err;
}

/* What the group has now, by kind, as far as memory.stat of cgroup v2 tells. */
static void describe(const struct cgroup *cg, char *text, size_t len)
{
	static const char *const kinds[] = {
		"anon", "file", "kernel_stack", "pagetables", "sec_pagetables", "percpu", "vmalloc",
		"slab",
	};
	char stat[8192], line[40], *at;
	size_t used = 0;
	unsigned long long bytes;
	unsigned int i;

	*text = '\0';
	/* So that each line has a newline before it. */
	stat[0] = '\n';
	if (!cg->v2 || read_file(cg->path, "memory.stat", stat + 1, sizeof(stat) - 1))
		return;
	for (i = 0; i < sizeof(kinds) / sizeof(*kinds) && used < len; i++) {
		snprintf(line, sizeof(line), "\n%s ", kinds[i]);
		at = strstr(stat, line);
		bytes = at ? strtoull(at + strlen(line), NULL, 10) : 0;
		if (bytes)
			used += snprintf(text + used, len - used, "%s %s %llu", used ? "," : ":",
					 kinds[i], bytes);
	}
}

int cgroup_check_back(const struct cgroup *cg, __u64 before, __u64 tolerance,
		      struct finding *f)
{
	char kinds[240];
	struct settle s;
	__u64 now;
	bool over;
	int err;

	settle_start(&s);
	do {
		err = cgroup_usage(cg, &now);
		if (err) {
			finding_set(f, "charge", "cannot read the charge of %s: %s",
				    cg->path, strerror(-err));
			return err;
		}
		over = now > before + tolerance;
		/* Each CPU keeps up to 64 pages charged; many have more than may be. */
		if (over && !s.tries)
			cgroup_drain(cg);
	} while (over && settle_again(&s));

	if (!over) {
		settle_done(&s);
		return 0;
	}
	describe(cg, kinds, sizeof(kinds));
	finding_set(f, "charge", "%lld bytes more than before are charged to the group, and %llu may be: it was %llu and is %llu%s",
		    (long long)(now - before), tolerance, before, now, kinds);
	f->waited_ms = settle_ms(&s);
	return 1;
}

int cgroup_reclaim(const struct cgroup *cg)
{
	__u64 usage;
	char text[32];
	int err;

	if (!cg->v2) {
		err = write_file(cg->path, "memory.force_empty", "0");
	} else {
		err = cgroup_usage(cg, &usage);
		if (err)
			return err;
		snprintf(text, sizeof(text), "%llu", usage);
		err = write_file(cg->path, "memory.reclaim", text);
		if (err == -EAGAIN)	/* less than that was reclaimed */
			err = 0;
	}
	return err == -ENOENT ? -EOPNOTSUPP : err;
}

/*
 * Above memory.high the kernel first drains what CPUs keep, and then reclaims, here a page
 * at most; above memory.max it would kill.  Version 1 has no such limit, but drains before
 * it empties a group.
 */
int cgroup_drain(const struct cgroup *cg)
{
	char text[32];
	__u64 usage;
	int err;

	if (!cg->v2)
		return cgroup_reclaim(cg);
	err = cgroup_usage(cg, &usage);
	if (err || usage < PAGE_BYTES)
		return err;
	snprintf(text, sizeof(text), "%llu", usage - PAGE_BYTES);
	return write_file(cg->path, "memory.high", text) ?:
	       write_file(cg->path, "memory.high", "max");
}

int cgroup_spare(const struct cgroup *cg)
{
	if (cg->v2)
		return -EOPNOTSUPP;
	return write_file(cg->path, "memory.oom_control", "1");
}

/* "tdx 3", one in a line; "max" reads as 0. */
static int misc_value(const char *dir, const char *file, const char *what, __u64 *nr)
{
	char text[1024], *line, *save;
	const size_t len = strlen(what);
	int err = read_file(dir, file, text, sizeof(text));

	if (err)
		return err;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, what, len) || line[len] != ' ')
			continue;
		*nr = strtoull(line + len + 1, NULL, 10);
		return 0;
	}
	return -ENODATA;
}

/* What exists on the host is told by the hierarchy's root. */
static int host_value(const char *file, const char *what, __u64 *nr)
{
	char dir[MAX_PATH], path[MAX_PATH], *end;

	if (!own_dir(true, dir, sizeof(dir)) || !own_path(true, path, sizeof(path)))
		return -EOPNOTSUPP;
	end = dir + strlen(dir) - strlen(path);
	if (strcmp(path, "/") && end > dir && !strcmp(end, path))
		*end = '\0';
	return misc_value(dir, file, what, nr);
}

int cgroup_misc_capacity(const char *what, __u64 *nr)
{
	return host_value("misc.capacity", what, nr);
}

const char *cgroup_misc_too_few(const char *what, __u64 nr)
{
	static char why[120];
	__u64 capacity, used;

	if (host_value("misc.capacity", what, &capacity) ||
	    host_value("misc.current", what, &used) || used + nr <= capacity)
		return NULL;
	snprintf(why, sizeof(why), "this host has %llu of \"%s\", of which %llu are in use, and %llu are needed",
		 capacity, what, used, nr);
	return why;
}

const char *cgroup_misc_why_not(const char *what)
{
	static char why[400];
	char words[512];
	struct place p;
	__u64 nr;

	if (find_place(&p, why, sizeof(why)))
		return why;
	if (!p.v2 || read_file(p.parent, "cgroup.subtree_control", words, sizeof(words)) ||
	    !has_word(words, " \n", "misc"))
		snprintf(why, sizeof(why), "no group from here upwards hands the misc controller down; on cgroup2, write +misc to cgroup.subtree_control of one");
	else if (cgroup_misc_capacity(what, &nr))
		snprintf(why, sizeof(why), "misc.capacity of the root group has no %s", what);
	else
		return NULL;
	return why;
}

int cgroup_misc_limit(const struct cgroup *cg, const char *what, __u64 max)
{
	char text[64];

	if (max == CGROUP_MISC_MAX)
		snprintf(text, sizeof(text), "%s max", what);
	else
		snprintf(text, sizeof(text), "%s %llu", what, max);
	return write_file(cg->path, "misc.max", text);
}

int cgroup_misc_usage(const struct cgroup *cg, const char *what, __u64 *nr)
{
	return misc_value(cg->path, "misc.current", what, nr);
}

static void move_tasks_home(const struct cgroup *cg)
{
	char pids[MAX_PATH], *next, *save;

	if (read_file(cg->path, "cgroup.procs", pids, sizeof(pids)))
		return;
	for (next = strtok_r(pids, "\n", &save); next; next = strtok_r(NULL, "\n", &save))
		write_file(cg->home, "cgroup.procs", next);
}

int cgroup_destroy(struct cgroup *cg)
{
	struct settle s;
	int err;

	if (!cg)
		return 0;
	/* A task that is about to end keeps the directory busy for a moment. */
	settle_start(&s);
	do {
		move_tasks_home(cg);
		err = rmdir(cg->path) && errno != ENOENT ? -errno : 0;
	} while (err == -EBUSY && settle_again(&s));

	if (!err)
		host_paid_rmdir(cg->path);
	free(cg);
	return err;
}
