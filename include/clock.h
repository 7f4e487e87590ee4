/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CLOCK_H
#define CLOCK_H

#include <time.h>
#include <linux/types.h>

/* CLOCK_MONOTONIC: on the emulated platform it is the machine's. */
static inline __u64 clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static inline __u64 clock_ms(void)
{
	return clock_ns() / 1000000;
}

#endif
