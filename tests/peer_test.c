// SPDX-License-Identifier: GPL-2.0-only
/*
 * A peer hears what it is told, passes descriptors, tells how it ended, and
 * dies when it has to.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "peer.h"
#include "suite.h"

#define TIMEOUT_MS	2000
#define SHORT_MS	50

FIXTURE(peer_test) {
	struct peer *peer;
};

FIXTURE_SETUP(peer_test)
{
}

FIXTURE_TEARDOWN(peer_test)
{
	peer_kill(self->peer);
}

/* Join, and forget it. */
#define JOIN(timeout_ms) ({						\
	struct peer *__p = self->peer;					\
									\
	self->peer = NULL;						\
	peer_join(__p, timeout_ms);					\
})

static int adds_one(struct peer *me, void *arg __maybe_unused)
{
	__u64 word;
	int err;

	while (!(err = peer_hear(me, &word, TIMEOUT_MS)) && word)
		peer_tell(me, word + 1);
	return err;
}

TEST_F(peer_test, hears_and_tells_words_in_order)
{
	__u64 i, word;

	ASSERT_OK(peer_start(&self->peer, adds_one, NULL));
	for (i = 1; i <= 100; i++)
		ASSERT_OK(peer_tell(self->peer, i << 32));
	for (i = 1; i <= 100; i++) {
		ASSERT_OK(peer_hear(self->peer, &word, TIMEOUT_MS));
		ASSERT_EQ((i << 32) + 1, word);
	}
	ASSERT_OK(peer_tell(self->peer, 0));
	EXPECT_OK(JOIN(TIMEOUT_MS));
}

static int returns(struct peer *me __maybe_unused, void *arg)
{
	return *(int *)arg;
}

TEST_F(peer_test, tells_what_its_body_returned)
{
	int values[] = { 0, -ENOMEM, -EPERM, -EOPNOTSUPP };
	unsigned int i;

	for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
		ASSERT_OK(peer_start(&self->peer, returns, &values[i]));
		EXPECT_EQ(values[i], JOIN(TIMEOUT_MS));
	}
}

TEST_F(peer_test, that_has_ended_is_noticed)
{
	int zero = 0;

	ASSERT_OK(peer_start(&self->peer, returns, &zero));
	EXPECT_ERR(EPIPE, peer_hear(self->peer, NULL, TIMEOUT_MS));
	EXPECT_ERR(EPIPE, peer_tell(self->peer, 1));
	EXPECT_OK(JOIN(TIMEOUT_MS));
}

static int hears_for_ever(struct peer *me, void *arg __maybe_unused)
{
	return peer_hear(me, NULL, 3600 * 1000);
}

TEST_F(peer_test, that_says_nothing_is_waited_for_with_a_limit)
{
	ASSERT_OK(peer_start(&self->peer, hears_for_ever, NULL));
	EXPECT_ERR(ETIMEDOUT, peer_hear(self->peer, NULL, SHORT_MS));
	EXPECT_ERR(ETIMEDOUT, peer_recv_fd(self->peer, SHORT_MS));
	EXPECT_ERR(ETIMEDOUT, JOIN(SHORT_MS));
}

/* 0 once @pid is gone, for as long as the test may take. */
static int wait_gone(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, TIMEOUT_MS) == 1 ? 0 : -ETIMEDOUT;
}

TEST_F(peer_test, is_gone_after_a_kill)
{
	pid_t pid;

	ASSERT_OK(peer_start(&self->peer, hears_for_ever, NULL));
	pid = peer_pid(self->peer);
	peer_kill(self->peer);
	self->peer = NULL;
	EXPECT_EQ(-1, kill(pid, 0));
	EXPECT_EQ(ESRCH, errno);
}

static int kills_itself(struct peer *me __maybe_unused, void *arg __maybe_unused)
{
	raise(SIGTERM);
	return 0;
}

TEST_F(peer_test, ended_by_a_signal_is_told_from_one_that_returned)
{
	ASSERT_OK(peer_start(&self->peer, kills_itself, NULL));
	EXPECT_ERR(EINTR, JOIN(TIMEOUT_MS));
}

static int starts_another(struct peer *me, void *arg __maybe_unused)
{
	struct peer *grandchild;
	int err = peer_start(&grandchild, hears_for_ever, NULL);

	return err ?: peer_tell(me, peer_pid(grandchild)) ?: peer_hear(me, NULL, TIMEOUT_MS);
}

TEST_F(peer_test, dies_with_its_parent)
{
	__u64 pid;
	int pidfd;

	ASSERT_OK(peer_start(&self->peer, starts_another, NULL));
	ASSERT_OK(peer_hear(self->peer, &pid, TIMEOUT_MS));
	pidfd = syscall(SYS_pidfd_open, (pid_t)pid, 0);
	ASSERT_LE(0, pidfd);

	peer_kill(self->peer);
	self->peer = NULL;
	EXPECT_OK(wait_gone(pidfd));
	close(pidfd);
}

static int writes_to_what_it_gets(struct peer *me, void *arg __maybe_unused)
{
	int fd = peer_recv_fd(me, TIMEOUT_MS);

	if (fd < 0)
		return fd;
	return write(fd, "x", 1) == 1 ? 0 : -errno;
}

TEST_F(peer_test, is_given_a_descriptor_of_the_same_file)
{
	int pipe_fds[2];
	char c = 0;

	ASSERT_OK(peer_start(&self->peer, writes_to_what_it_gets, NULL));
	ASSERT_EQ(0, pipe2(pipe_fds, O_CLOEXEC));
	ASSERT_OK(peer_send_fd(self->peer, pipe_fds[1]));
	EXPECT_OK(JOIN(TIMEOUT_MS));
	EXPECT_EQ(1, read(pipe_fds[0], &c, 1));
	EXPECT_EQ('x', c);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static int sends_and_tells(struct peer *me, void *arg __maybe_unused)
{
	return peer_send_fd(me, 0) ?: peer_tell(me, 1) ?: peer_hear(me, NULL, TIMEOUT_MS);
}

TEST_F(peer_test, does_not_mix_words_and_descriptors)
{
	int lowest, again;

	ASSERT_OK(peer_start(&self->peer, sends_and_tells, NULL));
	lowest = dup(0);
	close(lowest);
	EXPECT_ERR(EPROTO, peer_hear(self->peer, NULL, TIMEOUT_MS));
	EXPECT_ERR(EPROTO, peer_recv_fd(self->peer, TIMEOUT_MS));

	/* And the descriptor nobody wanted is closed. */
	again = dup(0);
	EXPECT_EQ(lowest, again);
	close(again);
	EXPECT_OK(peer_tell(self->peer, 0));
	EXPECT_OK(JOIN(TIMEOUT_MS));
}

SUITE(.seconds = 5)
