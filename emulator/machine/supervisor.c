// SPDX-License-Identifier: GPL-2.0-only
/*
 * "machine start": boots a machine, keeps it as it is then, and gives a copy of it
 * to each client that asks.
 *
 * The copies are forks of the emulator (emulator/bochs/channel.h), so they all
 * start from the same state, and take milliseconds and little memory.  The
 * original only waits.  Everything ends with the supervisor, and that ends with
 * its owner.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"
#include "protocol.h"
#include "wire.h"

#define MAX_CLIENTS	1024
#define MAX_UNCLAIMED	64
#define IPS		200000000 /* the frequency of the machine's time stamp counter */

/*
 * A panic restarts the machine, which it does by a triple fault: the emulator ends.
 * Bochs' MWAIT does not wait, so idling is by HLT.  Two initcalls would take a third
 * of a boot for what nobody here looks at: one looks up 23,000 functions to see which
 * are weak, the other replaces names of constants in the formats of trace events.
 */
#define KERNEL_ARGS	"console=ttyS0,115200 panic=-1 reboot=t nokaslr no5lvl mitigations=off " \
			"idle=halt init_on_free=1 tsc=reliable kvm_intel.tdx=1 " \
			"initcall_blacklist=ftrace_check_for_weak_functions,trace_eval_init " \
			"tdx_sept.platform=emulated"

/* What the emulator finds open; the names in its bochsrc. */
enum { FD_STREAM = 3, FD_CONTROL, FD_CONSOLE };

enum state { DOWN, BOOTING, READY };

struct client {
	int fd;
	pid_t pid;		/* its machine; 0: none (yet) */
	bool asked;		/* for a machine, and has not been answered */
	bool passed_on;		/* to the emulator, in the order of asking */
	unsigned long order;
	char options[MESSAGE_MAX];
	int fds[NR_PASSED];
};

static struct {
	const struct start_options *opt;
	enum state state;
	pid_t pid;		/* of the original */
	int stream, control, console;
	char hello[256];	/* frame and all */
	size_t hello_len;
	char release[200];
	unsigned int nr_boots, nr_machines;
	unsigned long order;
	int said;		/* pipe to whoever waits for the first boot; or -1 */
	struct timespec heard;	/* when the original last gave a sign of life */
	long heard_cpu;		/* processor time that it had used by then */
	char lost[200];		/* why it was ended; or "" */

	struct client clients[MAX_CLIENTS];
	unsigned int nr_clients;
	/* Machines that ended before it was known whose they are. */
	struct { pid_t pid; int status; } unclaimed[MAX_UNCLAIMED];
	unsigned int nr_unclaimed;
	bool stop;
} sup = { .stream = -1, .control = -1, .console = -1, .said = -1 };

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static char *path_in(const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", sup.opt->dir, name);
	return path;
}

/* The bochsrc */

/* As long as it takes: boot_image tells if that is too long. */
static char *kernel_args(void)
{
	const char *more = sup.opt->kernel_args;
	char *args;

	return asprintf(&args, "%s%s%s", KERNEL_ARGS, *more ? " " : "", more) < 0 ? NULL : args;
}

/* What has to be in memory at power-on; boot_image knows where. */
static int add_images(FILE *to)
{
	const struct start_options *o = sup.opt;
	char cpus[16], memory[16], *args = kernel_args();
	char *argv[] = {
		(char *)o->boot_image, "-k", (char *)o->kernel, "-i", (char *)o->initramfs,
		"-c", cpus, "-m", memory, "-a", args, "-o", (char *)o->dir, NULL,
	};
	int fds[2], status;
	char text[4096];
	ssize_t n;
	pid_t pid;

	snprintf(cpus, sizeof(cpus), "%u", o->cpus);
	snprintf(memory, sizeof(memory), "%u", o->memory);
	if (!args)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		dup2(fds[1], 1);
		execv(argv[0], argv);
		fprintf(stderr, "machine: cannot run %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(fds[1]);
	while ((n = read(fds[0], text, sizeof(text))) > 0)
		fwrite(text, 1, n, to);
	close(fds[0]);
	waitpid(pid, &status, 0);
	free(args);
	return status ? -EIO : 0;
}

static int write_bochsrc(void)
{
	const struct start_options *o = sup.opt;
	FILE *to = fopen(path_in("bochsrc"), "we");
	int rc;

	if (!to)
		return -errno;
	rc = add_images(to);
	fprintf(to, "romimage: file=%s, options=none\n"
		"vgaromimage: file=%s\n", o->rom, o->rom);
	fprintf(to, "cpu: model=sapphire_rapids, count=1:%u:1, ips=%u, "
		"reset_on_triple_fault=0, add_features=\"tdx\", msrs=\"%s\"", o->cpus, IPS, o->msrs);
	/* Who has a stub has no turns. */
	if (o->gdb)
		fprintf(to, "\ngdbstub: enabled=1, port=%u, text_base=0, data_base=0, bss_base=0\n",
			o->gdb);
	else
		fprintf(to, ", quantum=%u\n", o->quantum);
	fprintf(to, "tdx: channel=%d, control=%d, console=%d, hang=%u, seed=1%s\n",
		FD_STREAM, FD_CONTROL, FD_CONSOLE, o->hang, o->tdx);
	/* Nothing here may depend on the host's time. */
	fprintf(to, "clock: sync=none, time0=1767225600\n"
		"com1: enabled=1, mode=file, dev=/dev/fd/%d\n"
		"pci: enabled=0\n"
		"display_library: nogui\n"
		"log: /dev/stderr\n"
		"panic: action=fatal\n"
		"error: action=ignore\n"
		"info: action=ignore\n"
		"plugin_ctrl: unmapped=1, biosdev=0, speaker=0\n", FD_CONSOLE);
	if (fclose(to) && !rc)
		rc = -errno;
	return rc;
}

/* The original */

static void exec_emulator(int stream, int control, int console, int log)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fds[6] = { null, null, log, stream, control, console };
	char *argv[] = { (char *)sup.opt->bochs, "-q", "-f", "bochsrc", NULL };
	sigset_t none;
	int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (i = 0; i < 6; i++)
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 10);
	for (i = 0; i < 6; i++)
		if (dup2(fds[i], i) < 0)
			_exit(127);
	if (!chdir(sup.opt->dir))
		execv(argv[0], argv);
	fprintf(stderr, "machine: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* Of the original. */
static void sign_of_life(void)
{
	clock_gettime(CLOCK_MONOTONIC, &sup.heard);
	emulator_state(sup.pid, &sup.heard_cpu);
}

static void __attribute__((format(printf, 1, 2))) end_original(const char *why, ...)
{
	va_list ap;

	va_start(ap, why);
	vsnprintf(sup.lost, sizeof(sup.lost), why, ap);
	va_end(ap);
	kill(sup.pid, SIGKILL);
}

/* What there is between the supervisor and an emulator. */
static int open_ends(int stream[2], int control[2], int *console, int *log)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control))
		return -errno;
	*console = open(path_in("console.log"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (*console < 0)
		return -errno;
	*log = open(path_in("bochs.log"), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
	if (*log < 0)
		return -errno;
	fcntl(stream[0], F_SETFL, O_NONBLOCK);
	fcntl(control[0], F_SETFL, O_NONBLOCK);
	return 0;
}

static int boot(void)
{
	int stream[2] = { -1, -1 }, control[2] = { -1, -1 }, console = -1, log = -1, rc;
	pid_t self = getpid(), pid = -1;

	rc = open_ends(stream, control, &console, &log);
	if (!rc) {
		pid = fork();
		if (pid < 0)
			rc = -errno;
	}
	if (!pid) {
		if (getppid() == self)
			exec_emulator(stream[1], control[1], console, log);
		_exit(127);
	}
	close_fd(&stream[1]);
	close_fd(&control[1]);
	close_fd(&log);
	if (rc) {
		close_fd(&stream[0]);
		close_fd(&control[0]);
		close_fd(&console);
		return rc;
	}
	sup.pid = pid;
	sup.stream = stream[0];
	sup.control = control[0];
	sup.console = console;
	sup.hello_len = 0;
	sup.lost[0] = '\0';
	sup.state = BOOTING;
	sup.nr_boots++;
	sign_of_life();
	return 0;
}

static void answer(struct client *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void answer(struct client *c, const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	wire_send(c->fd, text, NULL);
}

/* Whoever waits for the first boot hears how it went. */
static void say_started(const char *text)
{
	if (sup.said < 0)
		return;
	if (write(sup.said, text, strlen(text)) < 0)
		errno = 0;
	close_fd(&sup.said);
}

/* A sentence about the last line of the console that tells of a death. */
static void console_verdict(char *out, size_t len)
{
	static char text[65536];
	char *line, *save;
	ssize_t n;
	off_t end;

	*out = '\0';
	end = lseek(sup.console, 0, SEEK_END);
	n = pread(sup.console, text, sizeof(text) - 1,
		  end > (off_t)sizeof(text) ? end - (off_t)sizeof(text) : 0);
	text[n > 0 ? n : 0] = '\0';
	for (line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
		if (evidence_of_death(line))
			snprintf(out, len, "; its console says: %.300s", line);
}

static void close_passed(struct client *c)
{
	int i;

	for (i = 0; i < NR_PASSED; i++)
		close_fd(&c->fds[i]);
}

/* It gets no machine. */
static void refuse(struct client *c, const char *why)
{
	answer(c, "failed %s", why);
	c->asked = c->passed_on = false;
	close_passed(c);
}

static void original_died(const char *how)
{
	char text[1200], line[400];
	unsigned int i;

	console_verdict(line, sizeof(line));
	snprintf(text, sizeof(text), "the machine %s %s%s; see console.log and bochs.log in %s",
		 sup.state == READY ? "is gone: its emulator" : "did not boot: the emulator",
		 how, line, sup.opt->dir);
	say_started(text);
	/* From behind, as the last one moves into the place of one that goes. */
	for (i = sup.nr_clients; i-- > 0; ) {
		struct client *c = &sup.clients[i];

		c->passed_on = false;
		/* It was kept for the copy that does not come any more. */
		if (c->fd < 0)
			*c = sup.clients[--sup.nr_clients];
		/* What was asked for of a machine that was well begins anew. */
		else if (c->asked && sup.state == BOOTING)
			refuse(c, text);
	}
	sup.state = DOWN;
	sup.pid = 0;
	close_fd(&sup.stream);
	close_fd(&sup.control);
	close_fd(&sup.console);
}

static void how_ended(int status, char *out, size_t len)
{
	if (WIFSIGNALED(status))
		snprintf(out, len, "was ended by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(out, len, "ended with status %d", WEXITSTATUS(status));
}

static void hear_stream(void)
{
	struct frame *f = (struct frame *)sup.hello;
	ssize_t n;

	n = read(sup.stream, sup.hello + sup.hello_len, sizeof(sup.hello) - 1 - sup.hello_len);
	if (n <= 0) {
		/* Its exit tells more. */
		if (!n)
			close_fd(&sup.stream);
		return;
	}
	sup.hello_len += n;
	if (sup.state != BOOTING || sup.hello_len < sizeof(*f) ||
	    sup.hello_len < sizeof(*f) + f->len)
		return;
	if (f->type != FRAME_HELLO || f->len < 4 || memcmp(f + 1, &(__u32){ PROTOCOL }, 4)) {
		end_original("was ended: the agent in its machine is of another version");
		return;
	}
	snprintf(sup.release, sizeof(sup.release), "%.*s", (int)f->len - 4, sup.hello + sizeof(*f) + 4);
	sup.state = READY;
	say_started("");
}

/* Clients */

static struct client *next_in_order(bool passed_on)
{
	struct client *first = NULL;
	unsigned int i;

	for (i = 0; i < sup.nr_clients; i++) {
		struct client *c = &sup.clients[i];

		if (c->asked && c->passed_on == passed_on && (!first || c->order < first->order))
			first = c;
	}
	return first;
}

static void pass_on(void)
{
	struct client *c;
	char text[MESSAGE_MAX + 8];
	int rc;

	c = next_in_order(false);
	if (!c || sup.state == BOOTING)
		return;
	if (sup.state == DOWN) {
		rc = boot();
		if (rc) {
			snprintf(text, sizeof(text), "the machine cannot be started: %s",
				 strerror(-rc));
			refuse(c, text);
		}
		return;
	}
	while ((c = next_in_order(false))) {
		snprintf(text, sizeof(text), "fork%s", c->options);
		rc = wire_send(sup.control, text, c->fds);
		if (rc == -EAGAIN || rc == -EPIPE || rc == -ECONNRESET)
			return;		/* it has enough to do, or its exit is near */
		if (rc) {
			snprintf(text, sizeof(text), "the machine cannot be copied: %s",
				 strerror(-rc));
			refuse(c, text);
			continue;
		}
		c->passed_on = true;
		sign_of_life();
	}
}

static void client_end(struct client *c)
{
	if (c->pid)
		kill(c->pid, SIGKILL);
	close_fd(&c->fd);
	close_passed(c);
	/* A copy that is yet to come is killed when it does. */
	c->pid = 0;
	if (!c->asked || !c->passed_on)
		*c = sup.clients[--sup.nr_clients];
}

static void machine_ended(struct client *c, int status)
{
	c->pid = 0;
	answer(c, "ended %d", status);
}

static void hear_control(void)
{
	char text[MESSAGE_MAX], why[1100];
	int fds[NR_PASSED];
	struct client *c;
	unsigned int i;
	pid_t pid;

	while (sup.control >= 0 && wire_receive(sup.control, text, fds) > 0) {
		sign_of_life();
		if (strncmp(text, "forked ", 7) && strncmp(text, "failed ", 7))
			continue;
		c = next_in_order(true);
		if (!c)
			continue;
		if (!strncmp(text, "failed ", 7)) {
			snprintf(why, sizeof(why), "the machine cannot be copied: %.1000s", text + 7);
			refuse(c, why);
			if (c->fd < 0)
				*c = sup.clients[--sup.nr_clients];
			continue;
		}
		c->asked = c->passed_on = false;
		close_passed(c);
		pid = atoi(text + 7);
		sup.nr_machines++;
		if (c->fd < 0) {
			kill(pid, SIGKILL);
			*c = sup.clients[--sup.nr_clients];
			continue;
		}
		c->pid = pid;
		answer(c, "machine %d%s", pid, sup.opt->gdb ? " debugged" : "");
		for (i = 0; i < sup.nr_unclaimed; i++) {
			if (sup.unclaimed[i].pid != pid)
				continue;
			machine_ended(c, sup.unclaimed[i].status);
			sup.unclaimed[i] = sup.unclaimed[--sup.nr_unclaimed];
		}
	}
}

static void reap(void)
{
	unsigned int i;
	char how[200];
	int status;
	pid_t pid;

	hear_control();
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == sup.pid) {
			hear_control();
			how_ended(status, how, sizeof(how));
			original_died(sup.lost[0] ? sup.lost : how);
			continue;
		}
		for (i = 0; i < sup.nr_clients; i++)
			if (sup.clients[i].pid == pid)
				break;
		if (i < sup.nr_clients) {
			machine_ended(&sup.clients[i], status);
			continue;
		}
		/* Either its client is gone, or has not been told of it. */
		if (!next_in_order(true))
			sup.nr_unclaimed = 0;
		else if (sup.nr_unclaimed < MAX_UNCLAIMED) {
			sup.unclaimed[sup.nr_unclaimed].pid = pid;
			sup.unclaimed[sup.nr_unclaimed++].status = status;
		}
	}
}

static void hear_client(struct client *c)
{
	static const char * const states[] = { "down", "booting", "ready" };
	char text[MESSAGE_MAX];
	unsigned int i, nr = 0;
	int fds[NR_PASSED];

	if (wire_receive(c->fd, text, fds) <= 0) {
		client_end(c);
		return;
	}
	if (!strncmp(text, "fork", 4) && fds[NR_PASSED - 1] >= 0 && !c->asked && !c->pid) {
		snprintf(c->options, sizeof(c->options), "%s", text + 4);
		memcpy(c->fds, fds, sizeof(fds));
		c->asked = true;
		c->passed_on = false;
		c->order = sup.order++;
		return;
	}
	for (i = 0; i < NR_PASSED; i++)
		close_fd(&fds[i]);
	if (!strcmp(text, "status")) {
		for (i = 0; i < sup.nr_clients; i++)
			nr += sup.clients[i].pid != 0;
		answer(c, "state=%s supervisor=%d emulator=%d kernel=%s boots=%u machines=%u running=%u",
		       states[sup.state], getpid(), sup.pid, sup.release[0] ? sup.release : "unknown",
		       sup.nr_boots, sup.nr_machines, nr);
	} else if (!strcmp(text, "stop")) {
		sup.stop = true;
	} else {
		answer(c, "failed to understand \"%.100s\"", text);
	}
}

static void take_client(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), i;
	struct client *c;

	if (fd < 0)
		return;
	if (sup.nr_clients == MAX_CLIENTS) {
		close(fd);
		return;
	}
	c = &sup.clients[sup.nr_clients++];
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	for (i = 0; i < NR_PASSED; i++)
		c->fds[i] = -1;
}

static long ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

/* While something is expected of the original, it must not stand still; but for gdb it may. */
static void watch_original(void)
{
	bool busy = sup.state == BOOTING || next_in_order(true);
	long cpu, silent = ms_since(&sup.heard);

	if (!busy || sup.opt->gdb || silent < 1000)
		return;
	emulator_state(sup.pid, &cpu);
	if (cpu - sup.heard_cpu > LOST_CPU_MS)
		end_original("was ended: it has used %ld s of processor time, and the machine's time stood still",
			     (cpu - sup.heard_cpu) / 1000);
	else if (silent > LOST_MS)
		end_original("was ended: it has stood still for %ld s", silent / 1000);
}

static void __attribute__((noreturn)) end(int status)
{
	unsigned int i;

	/* All of them die with this process, but it shall have seen it. */
	if (sup.pid) {
		kill(sup.pid, SIGKILL);
		waitpid(sup.pid, NULL, 0);
	}
	/* It may have made a copy of which nobody knows yet. */
	hear_control();
	for (i = 0; i < sup.nr_clients; i++) {
		if (!sup.clients[i].pid)
			continue;
		kill(sup.clients[i].pid, SIGKILL);
		waitpid(sup.clients[i].pid, NULL, 0);
	}
	unlink(path_in("socket"));
	/* As much as everything else of a run, and boot_image makes them anew. */
	unlink(path_in("kernel.img"));
	unlink(path_in("low.img"));
	exit(status);
}

static void supervise(int listener, int owner)
{
	static struct pollfd fds[5 + MAX_CLIENTS];
	struct signalfd_siginfo info;
	unsigned int i, nr;
	char why[200];
	sigset_t set;
	int signals, rc;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	rc = boot();
	if (rc) {
		snprintf(why, sizeof(why), "could not be started: %s", strerror(-rc));
		original_died(why);
	}

	while (!sup.stop) {
		pass_on();
		nr = sup.nr_clients;
		fds[0] = (struct pollfd){ .fd = signals, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = owner, .events = POLLIN };
		fds[2] = (struct pollfd){ .fd = listener, .events = POLLIN };
		fds[3] = (struct pollfd){ .fd = sup.stream, .events = POLLIN };
		fds[4] = (struct pollfd){ .fd = sup.control, .events = POLLIN };
		for (i = 0; i < nr; i++)
			fds[5 + i] = (struct pollfd){ .fd = sup.clients[i].fd, .events = POLLIN };
		poll(fds, 5 + nr, 1000);
		if (fds[1].revents)
			break;
		if (fds[3].revents)
			hear_stream();
		if (fds[4].revents)
			hear_control();
		while (read(signals, &info, sizeof(info)) == sizeof(info))
			sup.stop |= info.ssi_signo != SIGCHLD;
		reap();
		/* From behind, as an end moves the last one into its place. */
		for (i = nr; i-- > 0; )
			if (fds[5 + i].revents && i < sup.nr_clients &&
			    sup.clients[i].fd == fds[5 + i].fd)
				hear_client(&sup.clients[i]);
		if (fds[2].revents)
			take_client(listener);
		watch_original();
	}
	end(0);
}

int machine_start(const struct start_options *opt)
{
	int said[2], listener, owner = -1, rc;
	char why[1300];
	ssize_t n;
	pid_t pid;

	sup.opt = opt;
	if (mkdir(opt->dir, 0755) && errno != EEXIST)
		die(EXIT_ENVIRONMENT, "cannot make %s: %s", opt->dir, strerror(errno));
	rc = wire_connect(opt->dir);
	if (rc >= 0)
		die(EXIT_USAGE, "there is a machine in %s already", opt->dir);
	rc = write_bochsrc();
	if (rc)
		die(EXIT_ENVIRONMENT, "cannot write %s/bochsrc: %s", opt->dir, strerror(-rc));
	listener = wire_listen(opt->dir);
	if (listener < 0)
		die(EXIT_ENVIRONMENT, "cannot make %s/socket: %s", opt->dir, strerror(-listener));
	if (opt->owner) {
		owner = syscall(SYS_pidfd_open, opt->owner, 0);
		if (owner < 0)
			die(EXIT_USAGE, "cannot watch the owner, process %d: %s", opt->owner,
			    strerror(errno));
		fcntl(owner, F_SETFD, FD_CLOEXEC);
	}
	if (pipe2(said, O_CLOEXEC))
		die(EXIT_ENVIRONMENT, "pipe: %s", strerror(errno));
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die(EXIT_ENVIRONMENT, "fork: %s", strerror(errno));
	if (!pid) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		setsid();
		for (rc = 0; rc < 3; rc++)
			dup2(null, rc);
		close(said[0]);
		sup.said = said[1];
		supervise(listener, owner);
	}
	close(said[1]);
	n = read(said[0], why, sizeof(why) - 1);
	why[n > 0 ? n : 0] = '\0';
	if (n)
		kill(pid, SIGTERM);
	if (n || waitpid(pid, NULL, WNOHANG))
		die(EXIT_ENVIRONMENT, "%s", n ? why : "the supervisor died");
	return 0;
}
