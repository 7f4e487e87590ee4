// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "keeper.h"

#define GRACE_MS	3000	/* from SIGTERM to SIGKILL */
#define STUCK_MS	5000	/* from SIGKILL to giving up */

struct keeper {
	pid_t pid;
	struct kept *shared;	/* written by the keeper process */
};

static long grace_ms(void)
{
	/* For the tests of this file, which cannot wait so long, or for longer. */
	const char *text = getenv("SEPT_GRACE_MS");

	return text && *text ? strtol(text, NULL, 10) : GRACE_MS;
}

struct proc {
	pid_t pid, parent;
	char state;
	char name[20];
};

static bool proc_read(const char *pid, struct proc *p)
{
	char path[300], text[512], *end;
	FILE *from;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	from = fopen(path, "re");
	if (!from)
		return false;
	len = fread(text, 1, sizeof(text) - 1, from);
	fclose(from);
	text[len] = '\0';

	/* A name may contain anything, so look for its end from behind. */
	end = strrchr(text, ')');
	if (!end || sscanf(end, ") %c %d", &p->state, &p->parent) != 2)
		return false;
	*end = '\0';
	p->pid = atoi(text);
	snprintf(p->name, sizeof(p->name), "%s", strchr(text, '(') + 1);
	return p->state != 'Z' && p->state != 'X';
}

/* All live processes of the host, to be freed.  Without /proc none can be seen. */
static struct proc *procs_read(unsigned int *nr)
{
	struct proc *procs = NULL, *more;
	unsigned int room = 0;
	struct dirent *entry;
	DIR *dir;

	*nr = 0;
	dir = opendir("/proc");
	while (dir && (entry = readdir(dir))) {
		if (!isdigit(entry->d_name[0]))
			continue;
		if (*nr == room) {
			room += 256;
			more = realloc(procs, room * sizeof(*procs));
			if (!more)
				break;
			procs = more;
		}
		*nr += proc_read(entry->d_name, &procs[*nr]);
	}
	if (dir)
		closedir(dir);
	return procs;
}

static void proc_describe(const struct proc *p, int fd)
{
	char path[64], line[200];
	int nr = 0;
	FILE *from;

	dprintf(fd, "# still there: pid %d (%s) in state %c\n", p->pid, p->name, p->state);
	snprintf(path, sizeof(path), "/proc/%d/stack", p->pid);
	from = fopen(path, "re");
	while (from && nr++ < 12 && fgets(line, sizeof(line), from))
		dprintf(fd, "#   %s", line);
	if (from)
		fclose(from);
}

/*
 * Signal all descendants of this process, and describe them if @describe is a
 * descriptor.  Return their number.
 */
static unsigned int sweep(int sig, int describe)
{
	unsigned int nr, nr_ours = 0, i, j;
	struct proc *procs = procs_read(&nr);
	pid_t self = getpid();
	bool more = true;

	/* Move descendants to the front until no parent is among them any more. */
	while (more) {
		more = false;
		for (i = nr_ours; i < nr; i++) {
			bool ours = procs[i].parent == self;

			for (j = 0; j < nr_ours && !ours; j++)
				ours = procs[i].parent == procs[j].pid;
			if (ours) {
				struct proc p = procs[i];

				procs[i] = procs[nr_ours];
				procs[nr_ours++] = p;
				more = true;
			}
		}
	}
	for (i = 0; i < nr_ours; i++) {
		if (describe >= 0)
			proc_describe(&procs[i], describe);
		kill(procs[i].pid, sig);
	}
	free(procs);
	return nr_ours;
}

/*
 * Reap whatever has ended.  Return whether there are children left.  Orphans
 * become children, so none means that no descendant is left either.
 */
static bool reap(pid_t main, struct kept *kept)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		if (pid == main) {
			kept->status = status;
			kept->ended = true;
		}
	}
	return !pid || errno != ECHILD;
}

/* Wait for one of @set until @deadline.  Return the signal, or 0. */
static int wait_signal(const sigset_t *set, __u64 deadline)
{
	long ms = deadline - clock_ms();
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	int sig = ms > 0 ? sigtimedwait(set, NULL, &ts) : 0;

	return sig > 0 ? sig : 0;
}

static void kill_all(pid_t main, struct kept *kept, const sigset_t *set)
{
	const __u64 deadline = clock_ms() + STUCK_MS;

	if (main && !kept->ended)
		kill(-main, SIGKILL);	/* all there is to do without /proc */
	do {
		/* Again and again, for what was forked behind the last sweep. */
		kept->nr_stuck = sweep(SIGKILL, -1);
		wait_signal(set, clock_ms() + 10);
		if (!reap(main, kept)) {
			kept->nr_stuck = 0;
			return;
		}
	} while (clock_ms() < deadline);
}

static void keep(pid_t main, struct kept *kept, const sigset_t *set, int output,
		 __u64 limit)
{
	bool stopping = false;
	int sig;

	while (reap(main, kept) && (!kept->ended || stopping)) {
		sig = wait_signal(set, limit);
		if (sig == SIGTERM && !stopping) {
			stopping = true;
			limit = clock_ms() + grace_ms();
			sweep(SIGTERM, -1);
		} else if (sig == SIGTERM || sig == SIGHUP) {
			break;
		} else if (!sig && clock_ms() >= limit) {
			kept->timed_out = !stopping;
			if (!stopping)
				sweep(0, output);
			break;
		}
	}
	if (!reap(main, kept))
		return;
	if (kept->ended && !stopping)
		kept->nr_left = sweep(SIGKILL, -1);
	kill_all(main, kept, set);
}

static void exec_command(char *const argv[], char *const envp[], int output,
			 int third, struct kept *kept, pid_t keeper)
{
	int null = open("/dev/null", O_RDONLY), sig;
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	errno = 0;

	if (getppid() == keeper && null >= 0 && dup2(null, 0) == 0 &&
	    dup2(output, 1) == 1 && dup2(output, 2) == 2 &&
	    (third == 3 ? fcntl(3, F_SETFD, 0) == 0 : dup2(third, 3) == 3))
		execve(argv[0], argv, envp);
	kept->started = errno ?: ESRCH;
	_exit(127);
}

int keeper_start(struct keeper **out, char *const argv[], char *const envp[],
		 int output, int third, unsigned int limit_ms)
{
	pid_t caller = getpid(), keeper, main;
	struct keeper *k;
	sigset_t set;
	int rc;

	*out = NULL;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->shared = mmap(NULL, sizeof(*k->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (k->shared == MAP_FAILED) {
		free(k);
		return -ENOMEM;
	}
	k->pid = fork();
	if (k->pid < 0) {
		rc = -errno;
		munmap(k->shared, sizeof(*k->shared));
		free(k);
		return rc;
	}
	if (k->pid) {
		*out = k;
		return 0;
	}

	/* The keeper.  Out of the terminal's reach, lest Ctrl-C end it first. */
	setpgid(0, 0);
	prctl(PR_SET_NAME, "keeper");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGHUP);
	if (getppid() != caller)
		_exit(1);

	keeper = getpid();
	main = fork();
	if (main < 0) {
		k->shared->started = errno;
		_exit(1);
	}
	if (!main)
		exec_command(argv, envp, output, third, k->shared, keeper);
	keep(main, k->shared, &set, output, clock_ms() + limit_ms);
	_exit(0);
}

void keeper_stop(const struct keeper *k, bool now)
{
	kill(k->pid, now ? SIGHUP : SIGTERM);
}

bool keeper_ended(struct keeper *k, struct kept *kept)
{
	if (!waitpid(k->pid, NULL, WNOHANG))
		return false;
	*kept = *k->shared;
	munmap(k->shared, sizeof(*k->shared));
	free(k);
	return true;
}

bool keeper_sweep(void)
{
	struct kept kept = {};
	sigset_t none;

	sigemptyset(&none);
	kill_all(0, &kept, &none);
	return kept.nr_stuck;
}
