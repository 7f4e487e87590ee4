// SPDX-License-Identifier: GPL-2.0-only
#include <sched.h>

#include "busy.h"

#define LOAD(x)		__atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, v)	__atomic_store_n(&(x), v, __ATOMIC_RELEASE)

static void *live(void *arg)
{
	struct busy *b = arg;

	while (!b->rc && !LOAD(b->stop)) {
		b->rc = b->act(b->arg);
		STORE(b->passes, b->passes + 1);
	}
	STORE(b->ended, true);
	return NULL;
}

int busy_start(struct busy *b, int (*act)(void *arg), void *arg)
{
	int err;

	*b = (struct busy){ .act = act, .arg = arg };
	err = pthread_create(&b->thread, NULL, live, b);
	if (!err)
		return busy_wait(b, 1);
	b->thread = 0;
	b->rc = -err;
	return b->rc;
}

int busy_wait(struct busy *b, unsigned int passes)
{
	const unsigned int seen = LOAD(b->passes);

	while ((!passes || LOAD(b->passes) - seen < passes) && !LOAD(b->ended))
		sched_yield();
	return LOAD(b->ended) ? b->rc : 0;
}

int busy_end(struct busy *b)
{
	STORE(b->stop, true);
	if (b->thread)
		pthread_join(b->thread, NULL);
	return b->rc;
}
