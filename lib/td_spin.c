// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sched.h>
#include <time.h>

#include "cpu.h"
#include "emulator.h"
#include "td.h"
#include "td_spin.h"

static void *spin(void *arg)
{
	struct td_mailbox order = { .op = TD_OP_SPIN };
	struct td_spinner *s = arg;

	/* Whoever waits for it has the other one. */
	cpu_run_on(1);
	return (void *)(long)td_order(s->td, s->vcpu, &order);
}

int td_spin_start(struct td_spinner *s, struct td *td, unsigned int vcpu)
{
	struct emulator_calls entered = {};
	int err;

	*s = (struct td_spinner){ .td = td, .vcpu = vcpu };
	/* The first entry of its life is the payload's start, which leaves again. */
	err = td_pages(td, vcpu, TD_OP_NONE, 0, 0, 0, 0) ?: emulator_count_start() ?:
	      -pthread_create(&s->thread, NULL, spin, s);
	/* No other vCPU runs, and this one is ready for its order. */
	while (!err && !entered.nr) {
		sched_yield();
		err = emulator_count("VP.ENTER", "ENTERED", &entered);
	}
	return err;
}

int td_spin_end(struct td_spinner *s, unsigned int ms, int *rc)
{
	struct timespec until;
	void *result = NULL;
	int err;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	err = pthread_timedjoin_np(s->thread, &result, &until);
	if (err)
		td_stop(s->td, s->vcpu);
	*rc = (long)result;
	return -err;
}
