// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "peer.h"

/* One side's view: the parent knows the other's pid, the child has none to wait for. */
struct peer {
	pid_t pid;
	int pidfd;
	int sock;
};

static void peer_child(struct peer *me, pid_t parent,
		       int (*body)(struct peer *me, void *arg), void *arg)
{
	int rc;

	/* The parent may have died before it could be asked to take this one along. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(ESRCH);

	rc = body(me, arg);
	_exit(rc < 0 ? -rc : rc);
}

int peer_start(struct peer **out, int (*body)(struct peer *me, void *arg), void *arg)
{
	pid_t parent = getpid();
	struct peer *p;
	int socks[2];
	int err;

	*out = NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks)) {
		err = -errno;
		goto err_free;
	}

	p->pid = fork();
	if (p->pid < 0) {
		err = -errno;
		close(socks[0]);
		close(socks[1]);
		goto err_free;
	}
	if (!p->pid) {
		close(socks[0]);
		p->sock = socks[1];
		p->pid = parent;
		p->pidfd = -1;
		peer_child(p, parent, body, arg);
	}

	close(socks[1]);
	p->sock = socks[0];
	p->pidfd = syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pidfd < 0) {
		err = -errno;
		peer_kill(p);
		return err;
	}
	*out = p;
	return 0;

err_free:
	free(p);
	return err;
}

int peer_tell(struct peer *p, __u64 word)
{
	ssize_t n;

	do {
		n = send(p->sock, &word, sizeof(word), MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n == sizeof(word) ? 0 : n < 0 ? -errno : -EPIPE;
}

/* 0 once @fd is readable or hung up, or -errno. */
static int peer_wait(int fd, unsigned int timeout_ms)
{
	__u64 end = clock_ms() + timeout_ms;
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	__u64 now;
	int n;

	for (;;) {
		now = clock_ms();
		n = poll(&pfd, 1, now < end ? end - now : 0);
		if (n > 0)
			return 0;
		if (!n)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

/* Receive a word and, if one came with it, a descriptor (else *fd is -1). */
static int peer_receive(struct peer *p, __u64 *word, int *fd, unsigned int timeout_ms)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = word, .iov_len = sizeof(*word) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	ssize_t n;
	int err;

	err = peer_wait(p->sock, timeout_ms);
	if (err)
		return err;
	do {
		n = recvmsg(p->sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	/* A peer that was killed with words unread resets the connection. */
	if (!n || (n < 0 && errno == ECONNRESET))
		return -EPIPE;
	if (n < 0)
		return -errno;

	*fd = -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return 0;
}

int peer_hear(struct peer *p, __u64 *word, unsigned int timeout_ms)
{
	__u64 ignored;
	int fd, err;

	err = peer_receive(p, word ?: &ignored, &fd, timeout_ms);
	if (!err && fd >= 0) {
		close(fd);
		err = -EPROTO;
	}
	return err;
}

int peer_send_fd(struct peer *p, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	__u64 word = 0;
	struct iovec iov = { .iov_base = &word, .iov_len = sizeof(word) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	do {
		n = sendmsg(p->sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int peer_recv_fd(struct peer *p, unsigned int timeout_ms)
{
	__u64 word;
	int fd, err;

	err = peer_receive(p, &word, &fd, timeout_ms);
	if (err)
		return err;
	return fd < 0 ? -EPROTO : fd;
}

pid_t peer_pid(const struct peer *p)
{
	return p->pid;
}

/* Wait without a limit, free, and tell how it ended. */
static int peer_reap(struct peer *p)
{
	int status, err = 0;

	while (waitpid(p->pid, &status, 0) < 0) {
		if (errno != EINTR) {
			err = -errno;
			break;
		}
	}
	close(p->sock);
	if (p->pidfd >= 0)
		close(p->pidfd);
	free(p);

	if (err)
		return err;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

int peer_join(struct peer *p, unsigned int timeout_ms)
{
	int err = peer_wait(p->pidfd, timeout_ms);

	if (err) {
		peer_kill(p);
		return err;
	}
	return peer_reap(p);
}

void peer_kill(struct peer *p)
{
	if (!p)
		return;
	kill(p->pid, SIGKILL);
	peer_reap(p);
}
