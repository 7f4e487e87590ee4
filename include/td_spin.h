/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TD_SPIN_H
#define TD_SPIN_H

#include <pthread.h>

struct td;

/**
 * struct td_spinner - a vCPU that is in the guest and does not leave by itself
 *
 * For tests of what must make it leave.  Only the emulated machine tells that it
 * has entered, so only there.  Not for more than one at a time.
 */
struct td_spinner {
	struct td *td;
	unsigned int vcpu;
	pthread_t thread;
};

/**
 * td_spin_start() - let @vcpu, which does nothing yet, spin in a thread on CPU 1
 *
 * Return: 0 once it is in the guest, or -errno.  What started is to be ended.
 */
int td_spin_start(struct td_spinner *s, struct td *td, unsigned int vcpu);

/**
 * td_spin_end() - wait until it has left, for @ms at most
 * @rc: what td_order() made of it
 *
 * Return: 0, or -ETIMEDOUT; then it was told to stop, and may not have.
 */
int td_spin_end(struct td_spinner *s, unsigned int ms, int *rc);

#endif
