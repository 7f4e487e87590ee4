/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PEER_H
#define PEER_H

#include <linux/types.h>
#include <sys/types.h>

/**
 * DOC: peer
 *
 * A second process for tests that need one: to share a guest_memfd with, to
 * hold pins in, to be killed in the middle.  Both sides talk in 64-bit words
 * over a socket pair, so that nobody waits for a time where an event would do.
 * A peer dies with its parent.
 */
struct peer;

/**
 * peer_start() - fork a peer
 * @out:  receives the peer; NULL on error
 * @body: what it runs; its return value, 0 or -errno, is what peer_join() tells
 * @arg:  handed to @body
 *
 * The child leaves by _exit(), so no atexit handler runs twice.
 *
 * Return: 0 or -errno.
 */
int peer_start(struct peer **out, int (*body)(struct peer *me, void *arg), void *arg);

/* Say a word to the other side. 0 or -errno (-EPIPE: it is gone). */
int peer_tell(struct peer *p, __u64 word);

/**
 * peer_hear() - wait for a word from the other side
 * @p:          the peer, or the @me of its body
 * @word:       receives it; may be NULL
 * @timeout_ms: how long to wait
 *
 * Return: 0; -ETIMEDOUT; -EPIPE if the other side is gone; or -errno.
 */
int peer_hear(struct peer *p, __u64 *word, unsigned int timeout_ms);

/* Pass a descriptor by SCM_RIGHTS; the receiver's is its own to close. */
int peer_send_fd(struct peer *p, int fd);
int peer_recv_fd(struct peer *p, unsigned int timeout_ms);	/* fd or -errno */

pid_t peer_pid(const struct peer *p);

/**
 * peer_join() - wait for the peer to end, and free it
 * @p:          the peer
 * @timeout_ms: then it is killed
 *
 * Return: what its body returned; -ETIMEDOUT; -EINTR if a signal ended it.
 */
int peer_join(struct peer *p, unsigned int timeout_ms);

/* End it by SIGKILL, wait until it is gone, and free it.  NULL is fine. */
void peer_kill(struct peer *p);

#endif
