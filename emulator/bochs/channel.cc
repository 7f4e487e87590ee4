// SPDX-License-Identifier: GPL-2.0-only
/*
 * The machine's way to the world outside; channel.h tells what it looks like.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bochs.h"
#include "cpu.h"
#include "gui/siminterface.h"
#include "iodev/iodev.h"
#include "param_names.h"
#include "pc_system.h"
#include "channel.h"

#define LOG_THIS genlog->

#define PORT_STREAM	0x5ed0
#define PORT_MACHINE	0x5ed4
#define PORT_CONTROL	0x5ed8
#define MAGIC		0x45584454	/* "TDXE" */

#define POLITE_MS	20		/* how long a look for input waits */
#define LOOKS		100		/* for the time to say that it is alive, a second */
#define LINE_MAX_LEN	65536		/* of a control command */
#define NR_PASSED	4		/* descriptors that come with "fork" */
#define MAX_PROCESSORS	64		/* of whom is told how far they are */

static struct {
	int stream, control, console;	/* descriptors, or -1 */
	Bit32u hang;			/* seconds; 0: never */
	Bit64u seconds, last;		/* since power-on; when the stream was last used */
	bool said;			/* anything since it last waited */
	clock_t alive;			/* processor time when it last said that it is */

	Bit8u in[65536], out[65536];
	size_t in_pos, in_len, out_len;

	std::string command, reply;
	size_t reply_pos;
} channel = { -1, -1, -1, 0, 0, 0, false, 0, {}, {}, 0, 0, 0, "", "", 0 };

/* Options */

static bool parse_number(const char *value, Bit64u max, Bit64u *out)
{
	char *end;

	errno = 0;
	*out = strtoull(value, &end, 0);
	return *value >= '0' && *value <= '9' && !*end && !errno && *out <= max;
}

const char *tdx_option(const char *key, const char *value, bool running)
{
	const char *wrong = tdx_other_option(key, value, running);
	Bit64u n;

	/* The module's, if there is one, and the processors'. */
	if (!strcmp(key, "seed") && parse_number(value, ~Bit64u(0), &n)) {
		hw_rand_seed(n);
		return wrong && !*wrong ? NULL : wrong;
	}
	if (!wrong || *wrong)
		return wrong;

#if BX_SUPPORT_SMP
	if (!strcmp(key, "schedule_seed"))
		return parse_number(value, ~Bit64u(0), &bx_smp_schedule.state) ?
		       NULL : "want a number of up to 64 bits";
	if (!strcmp(key, "quantum")) {
		if (!parse_number(value, BX_SMP_QUANTUM_MAX, &n) || n < BX_SMP_QUANTUM_MIN)
			return "want a number of instructions from 1 to 1000000";
		bx_smp_schedule.quantum = (Bit32u)n;
		/* How long a trace may be is decided once. */
		if (!running)
			SIM->get_param_num(BXPN_SMP_QUANTUM)->set(n);
		return NULL;
	}
#endif
	if (!strcmp(key, "hang")) {
		if (!parse_number(value, 1000000, &n))
			return "want a number of seconds up to 1000000";
		channel.hang = (Bit32u)n;
	} else if (!strcmp(key, "channel") || !strcmp(key, "control") || !strcmp(key, "console")) {
		if (running || !parse_number(value, 1023, &n))
			return running ? "it cannot be changed any more" : "want a descriptor";
		*(!strcmp(key, "channel") ? &channel.stream :
		  !strcmp(key, "control") ? &channel.control : &channel.console) = (int)n;
	} else {
		return "there is no such option";
	}
	return NULL;
}

/* The stream */

static void leave(int status)
{
	tdx_flush();
	fflush(NULL);
	_exit(status);
}

static void tell(const char *text)
{
	/* Who does not keep up with one line a second has no use for it. */
	if (channel.control >= 0)
		send(channel.control, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void flush_stream(void)
{
	size_t done = 0;
	ssize_t n;

	/* Who hears of the end of a command has the trace of it. */
	tdx_flush();
	while (done < channel.out_len) {
		n = send(channel.stream, channel.out + done, channel.out_len - done, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			leave(0);	/* nobody is there any more */
		done += n;
	}
	channel.out_len = 0;
	channel.last = channel.seconds;
}

static void take_place(int from, int to)
{
	if (from != to && dup2(from, to) < 0) {
		fprintf(stderr, "channel: dup2: %s\n", strerror(errno));
		_exit(1);
	}
}

/*
 * Bochs has opened the console's file and its log by their names, under descriptors
 * of its own.
 */
static void replace_file(int old, int fd)
{
	struct stat was, st;

	if (old < 0 || fstat(old, &was))
		return;
	for (int i = 0; i < 256; i++)
		if (i != fd && !fstat(i, &st) && st.st_dev == was.st_dev && st.st_ino == was.st_ino)
			take_place(fd, i);
}

/*
 * In the copy.  Nothing of the original is to be reached from here on: both
 * would write to it.
 */
static void become(int fds[NR_PASSED], pid_t parent, char *options)
{
	char *save, *word, *value;
	const char *wrong;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	replace_file(2, fds[3]);
	replace_file(channel.console, fds[2]);
	take_place(fds[0], channel.stream);
	take_place(fds[1], channel.control);
	for (int i = 0; i < NR_PASSED; i++)
		close(fds[i]);
	channel.in_pos = channel.in_len = 0;
	channel.last = channel.seconds;
	channel.alive = 0;
	tdx_forked();

	for (word = strtok_r(options, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		value = strchr(word, '=');
		if (value)
			*value++ = '\0';
		wrong = value ? tdx_option(word, value, true) : "want key=value";
		if (wrong) {
			fprintf(stderr, "channel: fork: %s: %s\n", word, wrong);
			_exit(2);
		}
	}
}

static void fork_machine(char *options, int fds[NR_PASSED])
{
	static bool forked;
	pid_t parent = getppid(), pid;
	char text[100];

	if (!forked)
		memory_give_back();
	forked = true;
	/* Or both would write it. */
	tdx_flush();
	fflush(NULL);
	/* A sibling rather than a child: the supervisor waits for both. */
	pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		become(fds, parent, options);
		return;
	}
	for (int i = 0; i < NR_PASSED; i++)
		close(fds[i]);
	if (pid < 0)
		snprintf(text, sizeof(text), "failed %s", strerror(errno));
	else
		snprintf(text, sizeof(text), "forked %d", pid);
	tell(text);
}

static void take_message(void)
{
	union {
		char space[CMSG_SPACE(NR_PASSED * sizeof(int))];
		struct cmsghdr align;
	} ancillary;
	int fds[NR_PASSED] = { -1, -1, -1, -1 }, nr = 0;
	struct cmsghdr *c;
	struct msghdr msg;
	struct iovec iov;
	char text[4096];
	ssize_t n;

	memset(&msg, 0, sizeof(msg));
	iov.iov_base = text;
	iov.iov_len = sizeof(text) - 1;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = &ancillary;
	msg.msg_controllen = sizeof(ancillary);
	n = recvmsg(channel.control, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		leave(0);
	text[n] = '\0';
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		nr = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(c), nr * sizeof(int));
	}
	if (!strncmp(text, "fork", 4) && (!text[4] || text[4] == ' ') && nr == NR_PASSED) {
		fork_machine(text + 4, fds);
		return;
	}
	for (int i = 0; i < nr; i++)
		close(fds[i]);
	tell("failed to understand the message");
}

/* How far the machine has come: equal for two runs that are the same. */
static void tell_progress(void)
{
	char text[MAX_PROCESSORS * 24 + 64];
	int at;

	at = snprintf(text, sizeof(text), "waiting ticks=%llu instructions=",
		      (unsigned long long)bx_pc_system.time_ticks());
	for (unsigned i = 0; i < BX_SMP_PROCESSORS && i < MAX_PROCESSORS; i++)
		at += snprintf(text + at, sizeof(text) - at, "%s%llu", i ? "," : "",
			       (unsigned long long)BX_CPU(i)->get_icount());
	tell(text);
}

static void fill_stream(void)
{
	ssize_t n;

	flush_stream();
	/* Not between the parts of one and the same message to the machine. */
	if (channel.said)
		tell_progress();
	channel.said = false;
	for (;;) {
		/* The descriptors stay the same numbers in a copy. */
		struct pollfd fds[2] = { { channel.stream, POLLIN, 0 }, { channel.control, POLLIN, 0 } };

		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents) {
			take_message();
			continue;
		}
		if (!fds[0].revents)
			continue;
		n = recv(channel.stream, channel.in, sizeof(channel.in), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			leave(0);
		channel.in_pos = 0;
		channel.in_len = n;
		channel.last = channel.seconds;
		return;
	}
}

static Bit32u look_for_input(void)
{
	struct pollfd fd = { channel.stream, POLLIN, 0 };

	flush_stream();
	if (channel.in_pos < channel.in_len)
		return channel.in_len - channel.in_pos;
	if (poll(&fd, 1, POLITE_MS) <= 0)
		return 0;
	fill_stream();
	return channel.in_len;
}

/* The control stream */

static void control_byte(char byte)
{
	if (byte != '\n') {
		if (channel.command.size() < LINE_MAX_LEN)
			channel.command += byte;
		return;
	}
	channel.reply = control_command(channel.command);
	channel.reply_pos = 0;
	channel.command.clear();
	if (channel.reply.empty() || channel.reply[channel.reply.size() - 1] != '\n')
		channel.reply += '\n';
}

/* The device */

static Bit32u read_port(void *, Bit32u address, unsigned len)
{
	switch (address) {
	case PORT_STREAM:
		if (len == 4)
			return look_for_input();
		if (channel.in_pos == channel.in_len)
			fill_stream();
		return channel.in[channel.in_pos++];
	case PORT_MACHINE:
		return len == 4 ? MAGIC : MAGIC & 0xff;
	default:
		/* What reads on behind the answer must come to an end. */
		return channel.reply_pos < channel.reply.size() ?
		       (Bit8u)channel.reply[channel.reply_pos++] : '\n';
	}
}

static void write_port(void *, Bit32u address, Bit32u value, unsigned len)
{
	switch (address) {
	case PORT_STREAM:
		if (len == 4) {
			flush_stream();
			return;
		}
		channel.said = true;
		channel.out[channel.out_len++] = (Bit8u)value;
		if (channel.out_len == sizeof(channel.out))
			flush_stream();
		return;
	case PORT_MACHINE:
		if (len != 4)
			return;
		flush_stream();
		leave(value & 0x7f);
		return;
	default:
		control_byte((char)value);
	}
}

static void describe_processors(void)
{
	static const char * const states[] = {
		"running", "halted", "shut down", "waiting for SIPI", "in MWAIT",
	};

	for (unsigned i = 0; i < BX_SMP_PROCESSORS; i++) {
		BX_CPU_C *cpu = BX_CPU(i);
		unsigned state = cpu->activity_state;

		fprintf(stderr, "channel: CPU %u %s%s, RIP %016llx, RSP %016llx, CPL %u, interrupts %s\n", i,
			state < 5 ? states[state] : states[4], cpu->in_vmx_guest ? " in a VM" : "",
			(unsigned long long)cpu->get_instruction_pointer(),
			(unsigned long long)cpu->gen_reg[BX_64BIT_REG_RSP].rrx,
			cpu->sregs[BX_SEG_REG_CS].selector.rpl, cpu->get_IF() ? "on" : "off");
	}
}

/*
 * A second of a machine with many busy processors takes the host minutes.  Who waits
 * shall know that it goes on; what comes of it depends on the host, and so the machine
 * must not notice.
 */
static void alive(void *)
{
	const clock_t now = clock();

	if (now - channel.alive < CLOCKS_PER_SEC)
		return;
	channel.alive = now;
	tell("alive");
}

static void second(void *)
{
	char text[64];

	channel.seconds++;
	snprintf(text, sizeof(text), "time %llu", (unsigned long long)channel.seconds);
	tell(text);
	if (!channel.hang || channel.seconds - channel.last < channel.hang)
		return;
	describe_processors();
	snprintf(text, sizeof(text), "hang %u", channel.hang);
	tell(text);
	leave(TDX_EXIT_HANG);
}

void tdx_init_channel(void)
{
	static const Bit32u ports[] = { PORT_STREAM, PORT_MACHINE, PORT_CONTROL };
	Bit64u ips = SIM->get_param_num(BXPN_IPS)->get();

	if (channel.stream < 0)
		return;
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < sizeof(ports) / sizeof(*ports); i++) {
		DEV_register_ioread_handler(NULL, read_port, ports[i], "channel", 5);
		DEV_register_iowrite_handler(NULL, write_port, ports[i], "channel", 5);
	}
	bx_pc_system.register_timer_ticks(NULL, second, ips, true, true, "channel");
	bx_pc_system.register_timer_ticks(NULL, alive, ips / LOOKS, true, true, "channel");
}
