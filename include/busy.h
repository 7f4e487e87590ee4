/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef BUSY_H
#define BUSY_H

#include <pthread.h>
#include <stdbool.h>

/**
 * struct busy - a thread that does one thing over and over, beside the test
 *
 * As a vCPU that touches memory while the test takes it away.  What is to happen under
 * it has to be seen to: busy_wait() before each step tells that it is at work, and after
 * the last one, that it still is.
 *
 *	ASSERT_OK(busy_start(&vcpu, touch, g));
 *	for (...) {
 *		...
 *		ASSERT_OK(busy_wait(&vcpu, 1));
 *	}
 *	EXPECT_OK(busy_end(&vcpu));
 *
 * Threads: each belongs to the one that has started it.
 */
struct busy {
	int (*act)(void *arg);
	void *arg;
	pthread_t thread;
	unsigned int passes;	/* that have ended; these are for busy.c alone */
	int rc;
	bool stop, ended;
};

/**
 * busy_start() - let @act(@arg) be done until busy_end(), or until it fails
 * @act: returns 0 or -errno
 *
 * Return: 0 once it was done for the first time, or -errno.  What has started is to be
 * ended, also if it has failed.
 */
int busy_start(struct busy *b, int (*act)(void *arg), void *arg);

/**
 * busy_wait() - until @passes more have ended, 0: for ever, or one has failed
 *
 * The first of them may have begun before the call.
 *
 * Return: 0, or the -errno that it has failed with.
 */
int busy_wait(struct busy *b, unsigned int passes);

/* Let it end with this pass.  Returns what the last one gave. */
int busy_end(struct busy *b);

#endif
