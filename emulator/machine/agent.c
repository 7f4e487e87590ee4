// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first process of the emulated machine: sets it up, then does what the
 * supervisor asks for through the emulator's stream port (emulator/bochs/channel.h).
 *
 * Reading from the port stops the machine, processors, timers and all, until the
 * supervisor has something to say.  Nothing is read while a command runs, so what
 * happens in the machine depends on what was asked for and on nothing else.
 *
 * For tests: "agent FD" talks through that descriptor instead, as the first
 * process of a PID namespace.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <linux/random.h>

#include "protocol.h"

#define PORT_STREAM	0x5ed0
#define PORT_MACHINE	0x5ed4
#define MAGIC		0x45584454
#define NR_PORTS	12

#define STUCK_MS	5000	/* from SIGKILL to giving up */
#define LOOK_MS		20	/* between looks for input, with a terminal */
#define MAX_FILES	64	/* in a folder of results */

static int stream = -1;		/* only in tests */

static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
	va_list ap;

	fputs("agent: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void poweroff(int status)
{
	if (stream < 0)
		outl(status, PORT_MACHINE);
	_exit(status);
}

/* The stream */

static void stream_write(const void *data, size_t len)
{
	ssize_t n;

	if (stream < 0) {
		__asm__ volatile("rep outsb" : "+S" (data), "+c" (len) : "d" (PORT_STREAM) : "memory");
		return;
	}
	for (; len; data = (const char *)data + n, len -= n) {
		n = write(stream, data, len);
		if (n <= 0)
			poweroff(0);
	}
}

/* What was written is on its way now, whatever becomes of the machine. */
static void stream_push(void)
{
	if (stream < 0)
		outl(0, PORT_STREAM);
}

static void stream_read(void *data, size_t len)
{
	ssize_t n;

	if (stream < 0) {
		__asm__ volatile("rep insb" : "+D" (data), "+c" (len) : "d" (PORT_STREAM) : "memory");
		return;
	}
	for (; len; data = (char *)data + n, len -= n) {
		n = read(stream, data, len);
		if (n <= 0)
			poweroff(0);
	}
}

static bool stream_has_input(void)
{
	struct pollfd p = { .fd = stream, .events = POLLIN };

	return stream < 0 ? inl(PORT_STREAM) : poll(&p, 1, 0) > 0;
}

/* A frame of two parts, either of which may be empty. */
static void tell2(__u32 type, const void *head, size_t head_len, const void *data, size_t len)
{
	struct frame f = { .type = type, .len = head_len + len };

	stream_write(&f, sizeof(f));
	stream_write(head, head_len);
	stream_write(data, len);
	stream_push();
}

static void tell(__u32 type, const void *data, size_t len)
{
	tell2(type, NULL, 0, data, len);
}

/* The next frame, in a buffer that is the caller's to free, with a NUL behind it. */
static char *listen_for_frame(struct frame *f)
{
	char *data;

	stream_read(f, sizeof(*f));
	data = malloc(f->len + 1);
	if (!data) {
		say("no memory for a frame of %u bytes", f->len);
		poweroff(1);
	}
	stream_read(data, f->len);
	data[f->len] = '\0';
	return data;
}

/* The machine */

static void make_folders(const char *path)
{
	char part[PATH_MAX];
	char *slash;

	snprintf(part, sizeof(part), "%s", path);
	for (slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(part, 0755);
		*slash = '/';
	}
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		say("%s: %s", path, strerror(errno));
	close(fd);
}

static void mount_all(void)
{
	static const struct {
		const char *type, *dir, *options;
		bool optional;		/* a kernel may be without */
	} mounts[] = {
		{ "proc", "/proc", NULL, false },
		{ "sysfs", "/sys", NULL, false },
		{ "devtmpfs", "/dev", NULL, false },
		{ "devpts", "/dev/pts", "ptmxmode=666", true },
		{ "tmpfs", "/dev/shm", NULL, false },
		{ "tmpfs", "/run", NULL, false },
		{ "tmpfs", "/tmp", NULL, false },
		{ "debugfs", "/sys/kernel/debug", NULL, true },
		{ "tracefs", "/sys/kernel/tracing", NULL, true },
		{ "bpf", "/sys/fs/bpf", NULL, true },
		{ "cgroup2", "/sys/fs/cgroup", NULL, true },
		{ "hugetlbfs", "/dev/hugepages", NULL, true },
	};
	char path[64];
	size_t i;

	for (i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		snprintf(path, sizeof(path), "%s/", mounts[i].dir);
		make_folders(path);
		if (mount(mounts[i].type, mounts[i].dir, mounts[i].type, 0, mounts[i].options) &&
		    errno != EBUSY && !(mounts[i].optional && (errno == ENODEV || errno == ENOENT)))
			say("cannot mount %s on %s: %s", mounts[i].type, mounts[i].dir,
			    strerror(errno));
	}
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("pts/ptmx", "/dev/ptmx"))
		errno = 0;	/* devtmpfs may have had them */
}

/* Tests make groups of their own; let them limit whatever can be limited. */
static void delegate_controllers(void)
{
	char names[256], *name, *save, word[64];
	ssize_t n;
	int fd;

	fd = open("/sys/fs/cgroup/cgroup.controllers", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, names, sizeof(names) - 1);
	close(fd);
	names[n > 0 ? n : 0] = '\0';
	for (name = strtok_r(names, " \n", &save); name; name = strtok_r(NULL, " \n", &save)) {
		snprintf(word, sizeof(word), "+%s", name);
		write_file("/sys/fs/cgroup/cgroup.subtree_control", word);
	}
}

static void raise_loopback(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	ioctl(fd, SIOCSIFFLAGS, &lo);
	close(fd);
}

/*
 * What a test says must get out before the next thing happens to the machine, and
 * however short of memory it is.
 */
static void come_first(void)
{
	const struct sched_param first = { .sched_priority = sched_get_priority_max(SCHED_FIFO) };

	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first))
		say("sched_setscheduler: %s", strerror(errno));
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		say("mlockall: %s", strerror(errno));
}

/*
 * What takes long to prepare is prepared once: /bin/preload sends descriptors that
 * every command shall inherit, and a variable that tells it of them
 * (scripts/preload.c).
 */
static struct {
	char variable[200];	/* or "" */
	int fds[8];
	unsigned int nr;
} preloaded;

static void preload_take(int from)
{
	union {
		char space[CMSG_SPACE(sizeof(preloaded.fds))];
		struct cmsghdr align;
	} ancillary = {};
	char text[sizeof(preloaded.variable)], *at = text;
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) - 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &ancillary, .msg_controllen = sizeof(ancillary),
	};
	struct cmsghdr *c;
	unsigned int nr, i;
	ssize_t n;

	n = recvmsg(from, &msg, MSG_CMSG_CLOEXEC);
	c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return;
	text[n] = '\0';
	nr = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (i = 0; i < nr; i++) {
		int fd, want = strtol(at, &at, 10);

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		at += *at == ',';
		if (want < 10 || dup3(fd, want, O_CLOEXEC) < 0)
			return;
		close(fd);
		preloaded.fds[preloaded.nr++] = want;
	}
	snprintf(preloaded.variable, sizeof(preloaded.variable), "%s", at + (*at == ' '));
}

static void preload(void)
{
	char *argv[] = { "/bin/preload", NULL };
	int pair[2];
	pid_t pid;

	if (access(argv[0], X_OK) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return;
	pid = fork();
	if (!pid) {
		if (dup2(pair[1], 3) == 3)
			execv(argv[0], argv);
		_exit(127);
	}
	close(pair[1]);
	if (pid > 0) {
		preload_take(pair[0]);
		waitpid(pid, NULL, 0);
	}
	close(pair[0]);
}

static void set_up(void)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY }, files = { 65536, 65536 };

	umask(022);
	mount_all();
	delegate_controllers();
	raise_loopback();
	setrlimit(RLIMIT_MEMLOCK, &all);
	setrlimit(RLIMIT_NOFILE, &files);
	/* The kernel's own values are for machines that nobody watches. */
	write_file("/proc/sys/kernel/printk_ratelimit", "0");
	preload();
	come_first();
}

/* The folder of results: its files are sent as they grow. */

static struct {
	int notify;
	unsigned int nr;
	bool refused;		/* one more */
	struct {
		char name[NAME_MAX + 1];
		__u64 sent;
	} files[MAX_FILES];
} results = { .notify = -1 };

static void results_send(const char *name)
{
	char path[sizeof(GUEST_RESULTS) + NAME_MAX + 2], head[8 + NAME_MAX + 1];
	static char data[FRAME_MAX];
	struct stat st;
	unsigned int i;
	ssize_t n;
	int fd;

	for (i = 0; i < results.nr; i++)
		if (!strcmp(results.files[i].name, name))
			break;
	if (i == results.nr) {
		if (i == MAX_FILES || strlen(name) > NAME_MAX) {
			if (!results.refused)
				say("%s does not reach the results: there are %u files already", name, i);
			results.refused = true;
			return;
		}
		strcpy(results.files[i].name, name);
		results.files[i].sent = 0;
		results.nr++;
	}
	snprintf(path, sizeof(path), GUEST_RESULTS "/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0)
		return;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return;
	}
	/* Written anew: send it anew. */
	if ((__u64)st.st_size < results.files[i].sent)
		results.files[i].sent = 0;
	strcpy(head + 8, name);
	while ((n = pread(fd, data, sizeof(data), results.files[i].sent)) > 0) {
		memcpy(head, &results.files[i].sent, 8);
		tell2(FRAME_FILE, head, 8 + strlen(name) + 1, data, n);
		results.files[i].sent += n;
	}
	close(fd);
}

static void results_send_all(void)
{
	DIR *dir = opendir(GUEST_RESULTS);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			results_send(entry->d_name);
	if (dir)
		closedir(dir);
}

static void results_watch(void)
{
	struct dirent *entry;
	DIR *dir;

	mkdir(GUEST_RESULTS, 0755);
	/* What an earlier command left there was its own. */
	dir = opendir(GUEST_RESULTS);
	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	results.nr = 0;
	results.notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (results.notify < 0 ||
	    inotify_add_watch(results.notify, GUEST_RESULTS, IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO) < 0)
		say("results are sent only at the end: inotify: %s", strerror(errno));
}

static void results_news(void)
{
	char events[4096] __attribute__((aligned(8)));
	const struct inotify_event *e;
	ssize_t n, at;

	while ((n = read(results.notify, events, sizeof(events))) > 0) {
		for (at = 0; at < n; at += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)(events + at);
			if (e->mask & IN_Q_OVERFLOW)
				results_send_all();
			else if (e->len)
				results_send(e->name);
		}
	}
}

static void results_end(void)
{
	results_send_all();
	close(results.notify);
	results.notify = -1;
}

/* Commands */

struct command {
	struct frame_run head;
	const char *folder;
	char **argv, **envp;

	pid_t pid;
	int *started;			/* errno of execve(2), from the child */
	int fds[3];			/* what to read of it, as FRAME_OUTPUT + i; or -1 */
	struct frame_exit end;
	bool ended;
};

static int parse_run(struct command *c, char *data, size_t len)
{
	char *p = data + sizeof(c->head), *end = data + len;
	__u32 i;

	if (len < sizeof(c->head))
		return -EINVAL;
	memcpy(&c->head, data, sizeof(c->head));
	if (!c->head.nr_args || c->head.nr_args > len || c->head.nr_env > len)
		return -EINVAL;
	c->argv = calloc(c->head.nr_args + 1, sizeof(char *));
	c->envp = calloc(c->head.nr_env + 2, sizeof(char *));
	if (!c->argv || !c->envp)
		return -ENOMEM;
	c->folder = p;
	for (i = 0; i < 1 + c->head.nr_args + c->head.nr_env; i++) {
		if (i > c->head.nr_args)
			c->envp[i - 1 - c->head.nr_args] = p;
		else if (i)
			c->argv[i - 1] = p;
		p += strnlen(p, end - p) + 1;
		if (p > end)
			return -EINVAL;
	}
	if (preloaded.variable[0])
		c->envp[c->head.nr_env] = preloaded.variable;
	return 0;
}

/* Descriptors of the child, in their places; -1 is an end that is not wanted. */
static int open_ends(struct command *c, int child[4])
{
	int fds[2], nr = c->head.flags & RUN_TERMINAL ? 1 : 3, i;
	struct termios raw;

	for (i = 0; i < 3; i++)
		c->fds[i] = -1;
	for (i = 0; i < 4; i++)
		child[i] = -1;
	if (c->head.flags & RUN_TERMINAL) {
		c->fds[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
		if (c->fds[0] < 0 || grantpt(c->fds[0]) || unlockpt(c->fds[0]))
			return -errno;
		child[0] = open(ptsname(c->fds[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (child[0] < 0)
			return -errno;
		if (!tcgetattr(child[0], &raw)) {
			raw.c_iflag |= IUTF8;
			tcsetattr(child[0], TCSANOW, &raw);
		}
		child[1] = child[2] = child[0];
		return 0;
	}
	child[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (child[0] < 0)
		return -errno;
	for (i = 0; i < nr; i++) {
		if (i == 1 && (c->head.flags & RUN_MERGED)) {
			child[2] = child[1];
			continue;
		}
		if (pipe2(fds, O_CLOEXEC))
			return -errno;
		fcntl(fds[0], F_SETFL, O_NONBLOCK);
		fcntl(fds[0], F_SETPIPE_SZ, 1 << 20);
		c->fds[i] = fds[0];
		child[1 + i] = fds[1];
	}
	return 0;
}

static void close_ends(int child[4])
{
	int i, j;

	for (i = 0; i < 4; i++) {
		for (j = 0; j < i && child[j] != child[i]; j++)
			;
		if (j == i && child[i] >= 0)
			close(child[i]);
	}
}

static void exec_command(const struct command *c, int child[4])
{
	sigset_t none;
	int sig, i;

	setsid();
	if (stream < 0)
		ioperm(PORT_STREAM, NR_PORTS, 0);
	if (c->head.flags & RUN_TERMINAL)
		ioctl(child[0], TIOCSCTTY, 0);
	for (sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	/* Out of the way of 0 to 3 first. */
	for (i = 0; i < 4; i++)
		if (child[i] >= 0)
			child[i] = fcntl(child[i], F_DUPFD_CLOEXEC, 10);
	for (i = 0; i < 4; i++)
		if (child[i] >= 0 && dup2(child[i], i) < 0)
			break;
	for (i = 0; i < (int)preloaded.nr; i++)
		fcntl(preloaded.fds[i], F_SETFD, 0);
	errno = 0;
	if (!chdir(c->folder))
		execvpe(c->argv[0], c->argv, c->envp);
	*c->started = errno ?: EIO;
	_exit(127);
}

static void reap(struct command *c, unsigned int *nr)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		if (pid == c->pid) {
			c->end.status = status;
			c->ended = true;
		} else if (nr) {
			++*nr;
		}
	}
}

static void forward(struct command *c, int i)
{
	static char data[FRAME_MAX];
	ssize_t n = read(c->fds[i], data, sizeof(data));

	if (n > 0) {
		tell(FRAME_OUTPUT + i, data, n);
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	close(c->fds[i]);
	c->fds[i] = -1;
}

static void forward_rest(struct command *c)
{
	struct pollfd p;
	int i;

	for (i = 0; i < 3; i++) {
		p = (struct pollfd){ .fd = c->fds[i], .events = POLLIN };
		while (c->fds[i] >= 0 && poll(&p, 1, 0) > 0 && (p.revents & POLLIN))
			forward(c, i);
	}
}

static unsigned int nr_processes(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	char path[300], target;
	unsigned int nr = 0;
	int pid;

	while (dir && (entry = readdir(dir))) {
		pid = atoi(entry->d_name);
		if (pid <= 1)
			continue;
		/* A kernel thread is no program. */
		snprintf(path, sizeof(path), "/proc/%d/exe", pid);
		nr += readlink(path, &target, 1) > 0;
	}
	if (dir)
		closedir(dir);
	return nr;
}

/* Nothing that a command has started outlives it. */
static void end_all(struct command *c)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	unsigned int i;

	reap(c, NULL);
	kill(-1, SIGKILL);
	for (i = 0; i < STUCK_MS; i++) {
		forward_rest(c);
		reap(c, &c->end.nr_left);
		if (waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD) {
			forward_rest(c);
			return;
		}
		kill(-1, SIGKILL);
		nanosleep(&pause, NULL);
	}
	/* Who hangs in its exit may be no program any more. */
	c->end.nr_stuck = nr_processes() ?: 1;
}

static void take_input(struct command *c)
{
	struct winsize size = {};
	struct frame f;
	__u32 numbers[2];
	char *data;

	data = listen_for_frame(&f);
	if (f.type == FRAME_INPUT && f.len) {
		/* More than the terminal takes is more than anybody types. */
		if (c->fds[0] >= 0 && write(c->fds[0], data, f.len) < 0)
			errno = 0;
	} else if (f.type == FRAME_INPUT) {
		if (!c->ended)
			kill(-c->pid, SIGHUP);
		c->head.seconds = 1;
	} else if (f.type == FRAME_SIZE && f.len == sizeof(numbers)) {
		memcpy(numbers, data, sizeof(numbers));
		size.ws_row = numbers[0];
		size.ws_col = numbers[1];
		ioctl(c->fds[0], TIOCSWINSZ, &size);
	}
	free(data);
}

static void watch_command(struct command *c, int signals)
{
	const struct itimerspec each_second = { { 1, 0 }, { 1, 0 } };
	bool terminal = c->head.flags & RUN_TERMINAL;
	int clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct signalfd_siginfo info;
	unsigned long long ticks;
	struct pollfd fds[6];
	__u32 seconds = 0;
	int i;

	timerfd_settime(clock, 0, &each_second, NULL);
	for (;;) {
		fds[0] = (struct pollfd){ .fd = signals, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = clock, .events = POLLIN };
		fds[2] = (struct pollfd){ .fd = results.notify, .events = POLLIN };
		for (i = 0; i < 3; i++)
			fds[3 + i] = (struct pollfd){ .fd = c->fds[i], .events = POLLIN };
		poll(fds, 6, terminal ? LOOK_MS : -1);
		if (fds[2].revents)
			results_news();
		for (i = 0; i < 3; i++)
			if (fds[3 + i].revents)
				forward(c, i);
		while (read(signals, &info, sizeof(info)) > 0)
			;
		reap(c, NULL);
		if (c->ended)
			break;
		if (read(clock, &ticks, sizeof(ticks)) == sizeof(ticks)) {
			seconds += ticks;
			tell(FRAME_BEAT, &seconds, sizeof(seconds));
			if (c->head.seconds && seconds >= c->head.seconds) {
				c->end.timed_out = 1;
				break;
			}
		}
		if (terminal && stream_has_input())
			take_input(c);
	}
	close(clock);
}

/*
 * All copies of a machine have had the same random numbers so far.  From here on
 * they come from RDSEED, which has a seed of the command's own.
 */
static void reseed(void)
{
	int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	if (ioctl(fd, RNDRESEEDCRNG))
		say("RNDRESEEDCRNG: %s", strerror(errno));
	close(fd);
}

static void run_command(char *data, size_t len, int signals)
{
	struct command c = {};
	int child[4] = { -1, -1, -1, -1 }, i, rc;

	c.started = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	rc = parse_run(&c, data, len);
	if (!rc && c.started == MAP_FAILED)
		rc = -ENOMEM;
	if (!rc)
		rc = open_ends(&c, child);
	if (!rc && (c.head.flags & RUN_RESULTS))
		results_watch();
	reseed();
	if (!rc) {
		c.pid = fork();
		if (!c.pid)
			exec_command(&c, child);
		if (c.pid < 0)
			rc = -errno;
	}
	close_ends(child);
	if (!rc) {
		watch_command(&c, signals);
		end_all(&c);
		rc = -*c.started;
	}
	if (c.head.flags & RUN_RESULTS)
		results_end();
	for (i = 0; i < 3; i++)
		if (c.fds[i] > 0)
			close(c.fds[i]);
	c.end.started = -rc;
	tell(FRAME_EXIT, &c.end, sizeof(c.end));
	if (c.started != MAP_FAILED)
		munmap(c.started, 4096);
	free(c.argv);
	free(c.envp);
}

static void put_file(const char *data, size_t len)
{
	const char *path = data + sizeof(__u32), *contents;
	ssize_t n = 0;
	__u32 mode;
	int fd;

	contents = len > sizeof(mode) ? memchr(path, '\0', len - sizeof(mode)) : NULL;
	if (!contents++)
		return;
	memcpy(&mode, data, sizeof(mode));
	len -= contents - data;
	make_folders(path);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, mode & 07777);
	if (fd >= 0)
		n = write(fd, contents, len);
	if (fd < 0 || n != (ssize_t)len)
		say("cannot write %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int signals_open(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int main(int argc, char **argv)
{
	struct utsname kernel;
	__u32 version = PROTOCOL;
	struct frame f;
	int signals;
	char *data;

	/* It ends whatever processes it sees. */
	if (getpid() != 1) {
		fprintf(stderr, "agent: only for the first process of an emulated machine\n");
		return 2;
	}
	if (argc == 2)
		stream = atoi(argv[1]);
	else if (ioperm(PORT_STREAM, NR_PORTS, 1))
		say("ioperm: %s; the kernel needs CONFIG_X86_IOPL_IOPERM", strerror(errno));
	else if (inl(PORT_MACHINE) != MAGIC)
		say("this is not an emulated machine of tdx-sept-tests");
	if (stream < 0)
		set_up();
	signals = signals_open();
	uname(&kernel);
	tell2(FRAME_HELLO, &version, sizeof(version), kernel.release, strlen(kernel.release));
	for (;;) {
		data = listen_for_frame(&f);
		if (f.type == FRAME_RUN)
			run_command(data, f.len, signals);
		else if (f.type == FRAME_PUT)
			put_file(data, f.len);
		else if (f.type == FRAME_POWEROFF)
			poweroff(0);
		free(data);
	}
}
