// SPDX-License-Identifier: GPL-2.0-only
/*
 * "machine exec": one command in a machine of its own.
 *
 * Asks the supervisor for a copy of the machine, and then talks to the agent in it
 * without a go-between: what the command prints, its verdict and the files of its
 * results come out as they are made.  Beside that it reads the machine's console,
 * and if the machine dies or stands still it says so, with the evidence.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "machine.h"
#include "protocol.h"
#include "wire.h"

#define PANIC_MS	10000	/* from "Kernel panic" to the end of the emulator */
#define STOPPED_MS	10000	/* an emulator may be stopped so long */
#define CONSOLE_LINES	40	/* of evidence */
#define LOG_LINES	12
#define LEAVE_KEY	0x1d	/* Ctrl-] */

static struct {
	const struct exec_options *opt;
	int supervisor, stream, control, console, log, console_to, notify;
	int results;
	pid_t pid;

	struct frame head;		/* of the frame that is being read */
	size_t head_len, data_len;
	char *data;

	off_t console_at;
	char line[1000];
	size_t line_len;
	char *lines[CONSOLE_LINES];
	unsigned int nr_lines;
	char death[600];		/* the first line that tells of one, and what it tells */
	struct timespec death_at;

	bool exited, ended, rest_read, debugged;
	struct frame_exit exit;
	int status;			/* of the emulator */
	unsigned long long seconds;	/* of the machine's time */
	struct timespec alive;		/* when the last of them passed */
	long alive_cpu;
	char progress[MESSAGE_MAX];	/* of the machine, when it last waited */
	char failure[MESSAGE_MAX];	/* of the supervisor */
	char lost[300];			/* how the emulator stands still */
	json_t *reports;		/* of the sanitizer, that nobody in the machine can ask for */
	struct termios termios;
	bool raw;
} x = { .console_to = -1, .results = -1, .notify = -1 };

static volatile sig_atomic_t resized;

static long ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static void write_all(int to, const void *data, size_t len)
{
	ssize_t n;

	for (; len; data = (const char *)data + n, len -= n) {
		n = write(to, data, len);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return;		/* nobody listens any more */
	}
}

static void __attribute__((format(printf, 1, 2))) print(const char *fmt, ...)
{
	char text[2000];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	write_all(2, text, n < (int)sizeof(text) ? n : (int)sizeof(text) - 1);
}

/* The request */

/* A file without a name: what is worth keeping of it goes elsewhere as it comes. */
static int nameless_file(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *path;

	/* NFS and 9p cannot make one. */
	if (fd >= 0 || asprintf(&path, "%s/.tmp.XXXXXX", dir) < 0)
		return fd;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	free(path);
	return fd;
}

static void get_machine(void)
{
	char text[MESSAGE_MAX] = "fork";
	int fds[NR_PASSED], got[NR_PASSED], rc, i;
	int stream[2], control[2];

	x.supervisor = wire_connect(x.opt->dir);
	if (x.supervisor < 0)
		die(EXIT_MACHINE_FAILED, "no machine is running in %s (%s)", x.opt->dir,
		    strerror(-x.supervisor));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control))
		die(EXIT_MACHINE_FAILED, "socketpair: %s", strerror(errno));
	x.console = nameless_file(x.opt->dir);
	x.log = x.opt->log ? open(x.opt->log, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) :
		nameless_file(x.opt->dir);
	if (x.console < 0 || x.log < 0)
		die(EXIT_MACHINE_FAILED, "cannot make a file in %s: %s", x.opt->dir, strerror(errno));
	fds[0] = stream[1];
	fds[1] = control[1];
	fds[2] = x.console;
	fds[3] = x.log;
	for (i = 0; x.opt->options[i]; i++) {
		if (strlen(text) + strlen(x.opt->options[i]) + 2 > sizeof(text) ||
		    strpbrk(x.opt->options[i], " \n"))
			die(EXIT_USAGE, "\"%s\" cannot be an option of the emulator", x.opt->options[i]);
		strcat(strcat(text, " "), x.opt->options[i]);
	}
	rc = wire_send(x.supervisor, text, fds);
	close(stream[1]);
	close(control[1]);
	x.stream = stream[0];
	x.control = control[0];
	if (rc || wire_receive(x.supervisor, text, got) <= 0)
		die(EXIT_MACHINE_FAILED, "the supervisor in %s is gone", x.opt->dir);
	if (sscanf(text, "machine %d", &x.pid) != 1)
		snprintf(x.failure, sizeof(x.failure), "%s",
			 !strncmp(text, "failed ", 7) ? text + 7 : text);
	x.debugged = strstr(text, " debugged");
}

static void send_frame(__u32 type, const void *data, size_t len)
{
	struct frame f = { .type = type, .len = len };

	write_all(x.stream, &f, sizeof(f));
	write_all(x.stream, data, len);
}

static void send_size(void)
{
	struct winsize size;
	__u32 numbers[2];

	resized = 0;
	if (ioctl(0, TIOCGWINSZ, &size))
		return;
	numbers[0] = size.ws_row;
	numbers[1] = size.ws_col;
	send_frame(FRAME_SIZE, numbers, sizeof(numbers));
}

/* Of this environment the machine gets what the suite has put there. */
static bool for_the_machine(const char *variable)
{
	static const char * const ours[] = { "SEPT_STATE=", "SEPT_KMSG=", "SEPT_RESULTS=",
					     "SEPT_VERDICT_FD=", "SEPT_BPF_FDS=" };
	size_t i;

	if (strncmp(variable, "SEPT_", 5))
		return false;
	for (i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (!strncmp(variable, ours[i], strlen(ours[i])))
			return false;
	return true;
}

static bool same_file(int a, int b)
{
	struct stat sa, sb;

	return !fstat(a, &sa) && !fstat(b, &sb) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static void send_command(void)
{
	struct frame_run head = {
		.flags = (x.opt->terminal ? RUN_TERMINAL : same_file(1, 2) ? RUN_MERGED : 0) |
			 (x.opt->results ? RUN_RESULTS : 0),
		.seconds = x.opt->seconds ? atoi(x.opt->seconds) : 0,
	};
	size_t len, i;
	char *text, *term;
	FILE *to;

#define ADD(string) (fputs(string, to), fputc('\0', to))
	to = open_memstream(&text, &len);
	if (!to)
		die(EXIT_MACHINE_FAILED, "out of memory");
	for (i = 0; x.opt->argv[i]; i++)
		head.nr_args++;
	fwrite(&head, sizeof(head), 1, to);
	ADD(x.opt->terminal ? "/root" : "/");
	for (i = 0; x.opt->argv[i]; i++)
		ADD(x.opt->argv[i]);
	ADD("PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
	ADD("HOME=/root");
	head.nr_env = 2;
	term = getenv("TERM");
	if (x.opt->terminal && term) {
		fprintf(to, "TERM=%s%c", term, 0);
		head.nr_env++;
	}
	if (x.opt->results) {
		ADD("SEPT_RESULTS=" GUEST_RESULTS);
		head.nr_env++;
	}
	if (getenv("SEPT_VERDICT_FD")) {
		ADD("SEPT_VERDICT_FD=3");
		head.nr_env++;
	}
	for (i = 0; environ[i]; i++) {
		if (!for_the_machine(environ[i]))
			continue;
		ADD(environ[i]);
		head.nr_env++;
	}
	for (i = 0; x.opt->env[i]; i++) {
		ADD(x.opt->env[i]);
		head.nr_env++;
	}
	if (fclose(to))
		die(EXIT_MACHINE_FAILED, "out of memory");
	memcpy(text, &head, sizeof(head));
	send_frame(FRAME_RUN, text, len);
	free(text);
#undef ADD
	if (x.opt->terminal)
		send_size();
}

/* What comes from the agent */

/* One write, lest what comes from two machines mix. */
static int append(int fd, const char *data, size_t len)
{
	ssize_t n = write(fd, data, len);

	if (n < 0)
		return -errno;
	if ((size_t)n == len)
		return 0;
	/* Half a line would spoil the next one, too. */
	return ftruncate(fd, lseek(fd, 0, SEEK_END) - n) ? -EIO : -ENOSPC;
}

static void save_file(const char *data, size_t len)
{
	const char *name = data + sizeof(__u64), *contents;
	int fd, rc;

	contents = len > sizeof(__u64) ? memchr(name, '\0', len - sizeof(__u64)) : NULL;
	if (!contents++ || !*name || strchr(name, '/') || *name == '.')
		return;
	len -= contents - data;
	/*
	 * Files that grow by lines are shared with the cases before and beside this
	 * one, hence where it stood in the machine's file does not matter; whatever else
	 * a case leaves is its own.
	 */
	fd = openat(x.results, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	rc = fd < 0 ? -errno : append(fd, contents, len);
	if (fd >= 0)
		close(fd);
	if (rc)
		print("# machine: cannot write %s: %s\n", name, strerror(-rc));
}

static void take_frame(void)
{
	const char *env = getenv("SEPT_VERDICT_FD");

	switch (x.head.type) {
	case FRAME_OUTPUT:
		write_all(1, x.data, x.head.len);
		break;
	case FRAME_ERRORS:
		write_all(2, x.data, x.head.len);
		break;
	case FRAME_VERDICT:
		if (env && *env)
			write_all(atoi(env), x.data, x.head.len);
		break;
	case FRAME_FILE:
		if (x.results >= 0)
			save_file(x.data, x.head.len);
		break;
	case FRAME_EXIT:
		if (x.head.len == sizeof(x.exit)) {
			memcpy(&x.exit, x.data, sizeof(x.exit));
			x.exited = true;
		}
		break;
	}
}

/* Take what has come on the stream; false at its end. */
static bool hear_stream(void)
{
	ssize_t n;

	for (;;) {
		if (x.head_len < sizeof(x.head)) {
			n = recv(x.stream, (char *)&x.head + x.head_len,
				 sizeof(x.head) - x.head_len, MSG_DONTWAIT);
			if (n <= 0)
				return n < 0 && (errno == EAGAIN || errno == EINTR);
			x.head_len += n;
			if (x.head_len < sizeof(x.head))
				continue;
			x.data_len = 0;
			if (x.head.len > 2 * FRAME_MAX)
				return false;
			x.data = malloc(x.head.len + 1);
			if (!x.data)
				return false;
		}
		while (x.data_len < x.head.len) {
			n = recv(x.stream, x.data + x.data_len, x.head.len - x.data_len, MSG_DONTWAIT);
			if (n <= 0)
				return n < 0 && (errno == EAGAIN || errno == EINTR);
			x.data_len += n;
		}
		take_frame();
		free(x.data);
		x.data = NULL;
		x.head_len = 0;
	}
}

/* The console */

static void console_line(void)
{
	const char *what;

	while (x.line_len && x.line[x.line_len - 1] == '\r')
		x.line_len--;
	x.line[x.line_len] = '\0';
	x.line_len = 0;
	free(x.lines[x.nr_lines % CONSOLE_LINES]);
	x.lines[x.nr_lines++ % CONSOLE_LINES] = strdup(x.line);
	what = evidence_of_death(x.line);
	if (what && !x.death[0]) {
		snprintf(x.death, sizeof(x.death), "%s: %.400s", what, x.line);
		clock_gettime(CLOCK_MONOTONIC, &x.death_at);
	}
	if (x.console_to >= 0) {
		char text[sizeof(x.line) + 1];

		/* One write, lest the lines of two machines mix. */
		write_all(x.console_to, text, snprintf(text, sizeof(text), "%s\n", x.line));
	}
}

static void hear_console(void)
{
	char events[4096], text[4096];
	ssize_t n, i;

	while (read(x.notify, events, sizeof(events)) > 0)
		;
	while ((n = pread(x.console, text, sizeof(text), x.console_at)) > 0) {
		x.console_at += n;
		for (i = 0; i < n; i++) {
			if (text[i] == '\n' || x.line_len == sizeof(x.line) - 1)
				console_line();
			if (text[i] != '\n')
				x.line[x.line_len++] = text[i];
		}
	}
}

/* The emulator */

static void sign_of_life(void)
{
	clock_gettime(CLOCK_MONOTONIC, &x.alive);
	emulator_state(x.pid, &x.alive_cpu);
}

/*
 * The machine's own time tells a hang from slowness, but only while the emulator
 * runs.  Whether it does is told by the processor time that it uses.
 */
static void watch_emulator(void)
{
	long cpu, silent = ms_since(&x.alive);
	char state;

	if (silent < STOPPED_MS || x.ended || x.debugged)
		return;
	state = emulator_state(x.pid, &cpu);
	/* 't' would be a tracer's, which lets it go again: a debugger, or LeakSanitizer. */
	if (state == 'T')
		snprintf(x.lost, sizeof(x.lost), "the emulator has been stopped (process %d)",
			 x.pid);
	else if (cpu - x.alive_cpu > LOST_CPU_MS)
		snprintf(x.lost, sizeof(x.lost),
			 "the emulator has used %ld s of processor time, and the machine's time stands still",
			 (cpu - x.alive_cpu) / 1000);
	else if (silent > LOST_MS)
		snprintf(x.lost, sizeof(x.lost), "the emulator has stood still for %ld s (state %c)",
			 silent / 1000, state ?: '?');
}

static void hear_control(void)
{
	unsigned long long seconds;
	char text[MESSAGE_MAX];
	int fds[NR_PASSED];
	struct pollfd p = { .fd = x.control, .events = POLLIN };

	while (poll(&p, 1, 0) > 0 && wire_receive(x.control, text, fds) > 0) {
		if (sscanf(text, "time %llu", &seconds) == 1)
			x.seconds = seconds;
		if (!strncmp(text, "waiting ", 8))
			snprintf(x.progress, sizeof(x.progress), "%s", text + 8);
		sign_of_life();
	}
}

static void hear_supervisor(void)
{
	char text[MESSAGE_MAX];
	int fds[NR_PASSED];

	if (wire_receive(x.supervisor, text, fds) <= 0) {
		snprintf(x.failure, sizeof(x.failure), "the supervisor of the machine is gone");
		x.ended = true;
	} else if (sscanf(text, "ended %d", &x.status) == 1) {
		x.ended = true;
	}
}

/* The terminal */

static void on_resize(int sig)
{
	(void)sig;
	resized = 1;
}

static void terminal_raw(void)
{
	struct termios raw;

	signal(SIGWINCH, on_resize);
	if (tcgetattr(0, &x.termios))
		return;
	raw = x.termios;
	cfmakeraw(&raw);
	x.raw = !tcsetattr(0, TCSADRAIN, &raw);
}

static void terminal_restore(void)
{
	if (x.raw)
		tcsetattr(0, TCSADRAIN, &x.termios);
	x.raw = false;
}

/* Return whether the user leaves. */
static bool take_keys(void)
{
	char keys[1024];
	ssize_t n = read(0, keys, sizeof(keys));
	char *leave = n > 0 ? memchr(keys, LEAVE_KEY, n) : NULL;

	if (leave)
		n = leave - keys;
	if (n > 0)
		send_frame(FRAME_INPUT, keys, n);
	return leave && x.raw;
}

/* The verdict, if it is the machine's */

static void print_lines(void)
{
	unsigned int i = x.nr_lines > CONSOLE_LINES ? x.nr_lines - CONSOLE_LINES : 0;

	for (; i < x.nr_lines; i++)
		print("# console: %s\n", x.lines[i % CONSOLE_LINES]);
}

/*
 * The last lines of the emulator's log, and the last that names a reason.  What the
 * sanitizer reported is there, too, and the case that would have asked for it cannot.
 */
static void print_log(char *why, size_t len)
{
	static const char report[] = "tdx-sanitizer: json ";
	static char text[65536];
	char *lines[LOG_LINES] = {}, *line, *save, *p;
	struct stat st;
	unsigned int nr = 0, i;
	ssize_t n;

	*why = '\0';
	if (fstat(x.log, &st))
		return;
	n = pread(x.log, text, sizeof(text) - 1,
		  st.st_size > (off_t)sizeof(text) ? st.st_size - (off_t)sizeof(text) : 0);
	text[n > 0 ? n : 0] = '\0';
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		lines[nr++ % LOG_LINES] = line;
		if (!strncmp(line, report, strlen(report)))
			json_array_append_new(x.reports, json_loads(line + strlen(report), 0, NULL));
		p = strstr(line, ">>PANIC<< ");
		if (p)
			snprintf(why, len, "%.300s", p + 10);
	}
	for (i = nr > LOG_LINES ? nr - LOG_LINES : 0; i < nr; i++)
		print("# emulator: %s\n", lines[i % LOG_LINES]);
}

static void send_verdict(const char *verdict, const char *reason)
{
	const char *env = getenv("SEPT_VERDICT_FD");
	json_t *json;
	char *text;

	if (!env || !*env)
		return;
	json = json_pack("{ss ss}", "machine", verdict, "reason", reason);
	if (!json)
		json = json_pack("{ss ss}", "machine", verdict, "reason", "the machine died");
	json_object_set(json, "reports", x.reports);
	text = json ? json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	json_decref(json);
	if (!text)
		return;
	dprintf(atoi(env), "%s\n", text);
	free(text);
}

static int __attribute__((format(printf, 2, 3))) machine_verdict(bool kernel, const char *fmt, ...)
{
	char reason[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	print("# machine: %s\n", reason);
	send_verdict(kernel ? "FAIL" : "ERROR", reason);
	return kernel ? EXIT_KERNEL_DIED : EXIT_MACHINE_FAILED;
}

static int judge(void)
{
	char why[400];

	if (x.exited && x.exit.started)
		return machine_verdict(false, "%s cannot be run in the machine: %s", x.opt->argv[0],
				       strerror(x.exit.started));
	if (!x.exited || x.exit.nr_stuck || x.exit.timed_out) {
		print_lines();
		print_log(why, sizeof(why));
	}
	if (x.exited && x.exit.nr_stuck)
		return machine_verdict(true, "%u of its processes cannot be killed", x.exit.nr_stuck);
	if (x.exited && x.exit.timed_out)
		return machine_verdict(true, "it ran into its limit of %s s of the machine's time",
				       x.opt->seconds);
	if (x.exited) {
		if (x.exit.nr_left && !x.opt->terminal)
			print("# ended %u process%s that the command left running\n", x.exit.nr_left,
			      x.exit.nr_left == 1 ? "" : "es");
		return WIFSIGNALED(x.exit.status) ? 128 + WTERMSIG(x.exit.status) :
		       WEXITSTATUS(x.exit.status);
	}

	if (x.failure[0])
		return machine_verdict(false, "%s", x.failure);
	if (x.death[0])
		return machine_verdict(true, "%s", x.death);
	if (x.lost[0])
		return machine_verdict(false, "%s", x.lost);
	if (WIFSIGNALED(x.status))
		return machine_verdict(false, "the emulator was ended by signal %d (%s)",
				       WTERMSIG(x.status), strsignal(WTERMSIG(x.status)));
	switch (evidence_of_end(x.status, why)) {
	case END_TRIPLE_FAULT:
		return machine_verdict(true, "triple fault: the kernel could not even handle its exceptions (%s)", why);
	case END_HANG:
		return machine_verdict(true, "the machine hangs: the agent in it was not heard for too many seconds of the machine's time");
	case END_SANITIZER:
		return machine_verdict(true, "the sanitizer ended the machine%s%s", why[0] ? ": " : "", why);
	case END_OFF:
		return machine_verdict(true, "the machine was switched off under the command");
	default:
		return machine_verdict(false, "the emulator ended with status %d%s%s",
				       WEXITSTATUS(x.status), why[0] ? ": " : "", why);
	}
}

/* It waits for the next command, at a place that is the same for the same run. */
static void print_progress(void)
{
	struct pollfd p = { .fd = x.control, .events = POLLIN };

	while (x.exited && !x.progress[0] && poll(&p, 1, 5000) > 0 && !(p.revents & POLLHUP))
		hear_control();
	print("# machine: %s\n", x.progress[0] ? x.progress : "did not say how far it came");
}

int machine_exec(const struct exec_options *opt)
{
	struct pollfd fds[6];
	char path[40];
	bool leave = false;
	int status;

	x.opt = opt;
	x.reports = json_array();
	signal(SIGPIPE, SIG_IGN);
	if (opt->console) {
		x.console_to = open(opt->console, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (x.console_to < 0)
			die(EXIT_MACHINE_FAILED, "cannot write to %s: %s", opt->console, strerror(errno));
	}
	if (opt->results) {
		x.results = open(opt->results, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (x.results < 0)
			die(EXIT_MACHINE_FAILED, "cannot open %s: %s", opt->results, strerror(errno));
	}
	get_machine();
	if (x.failure[0])
		return judge();
	sign_of_life();
	x.notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", x.console);
	inotify_add_watch(x.notify, path, IN_MODIFY);
	send_command();
	if (opt->terminal)
		terminal_raw();

	while (!x.exited && !x.ended && !x.lost[0] && !leave) {
		fds[0] = (struct pollfd){ .fd = x.stream, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = x.control, .events = POLLIN };
		fds[2] = (struct pollfd){ .fd = x.supervisor, .events = POLLIN };
		fds[3] = (struct pollfd){ .fd = x.notify, .events = POLLIN };
		/* Nobody types faster than the machine reads. */
		fds[4] = (struct pollfd){ .fd = opt->terminal ? 0 : -1, .events = POLLIN };
		fds[5] = (struct pollfd){ .fd = -1 };
		poll(fds, 5, 1000);
		hear_console();
		hear_control();
		if (!x.rest_read && !hear_stream())
			x.rest_read = true;
		if (x.rest_read)
			poll(NULL, 0, 10);	/* its end is near */
		if (fds[2].revents)
			hear_supervisor();
		if (fds[4].revents)
			leave = take_keys();
		if (resized)
			send_size();
		watch_emulator();
		if (x.death[0] && ms_since(&x.death_at) > PANIC_MS)
			break;
	}
	/* What was said before the end is there now. */
	hear_stream();
	hear_console();
	if (x.line_len)
		console_line();
	terminal_restore();
	if (leave) {
		print("\nleft the machine\n");
		return 0;
	}
	status = judge();
	if (opt->progress)
		print_progress();
	return status;
}
