// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "settle.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#endif

#define LIMIT_MS	2000
#define NODES		1024	/* MAX_NUMNODES of x86, at most */
#define KICKS		2	/* looks that are preceded by a drain, not by a sleep */
#define FIRST_SLEEP_US	500
#define LONGEST_SLEEP_US 50000
#define SLEEP_TO_LOOK	8	/* of a sleep, what is then spent on looks at a stretch */

/* Shared with the children of the case, whose waits count too. */
static unsigned int *longest;

static void __attribute__((constructor)) settle_init(void)
{
	longest = mmap(NULL, sizeof(*longest), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (longest == MAP_FAILED)
		longest = NULL;
}

static unsigned int limit_ms(void)
{
	const char *env = getenv("SEPT_SETTLE_MS");

	return env && *env ? strtoul(env, NULL, 0) : LIMIT_MS;
}

void settle_start(struct settle *s)
{
	s->start_ns = clock_ns();
	s->look_until_ns = 0;
	s->tries = 0;
}

unsigned int settle_ms(const struct settle *s)
{
	/* Rounded up, so that any wait at all shows. */
	return (clock_ns() - s->start_ns + 999999) / 1000000;
}

bool settle_again(struct settle *s)
{
	unsigned int us, shift;

	/*
	 * Somebody may hold pages nearly all the time, and be off them for microseconds:
	 * a look now and then meets such a moment by chance, looks at a stretch do so.
	 */
	if (clock_ns() < s->look_until_ns)
		return true;
	/* Whatever the limit: no look at all is worth much before the drains. */
	if (s->tries >= KICKS && settle_ms(s) > limit_ms())
		return false;
	/* Drain again now and then: a page can be added to a batch meanwhile. */
	if (s->tries < KICKS || s->tries % 8 == 0)
		settle_drain();
	if (s->tries >= KICKS) {
		shift = s->tries - KICKS < 7 ? s->tries - KICKS : 7;
		us = FIRST_SLEEP_US << shift;
		us = us < LONGEST_SLEEP_US ? us : LONGEST_SLEEP_US;
		usleep(us);
		s->look_until_ns = clock_ns() + us * 1000ull / SLEEP_TO_LOOK;
	}
	s->tries++;
	return true;
}

/* Drain the LRU batches of one CPU after the other, by running there. */
static int drain_each_cpu(void)
{
	size_t size = CPU_ALLOC_SIZE(CPU_SETSIZE);
	cpu_set_t before, one;
	void *page;
	int cpu, err = 0;

	if (sched_getaffinity(0, size, &before))
		return -errno;
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (page == MAP_FAILED)
		return -errno;

	for (cpu = 0; cpu < CPU_SETSIZE && !err; cpu++) {
		if (!CPU_ISSET(cpu, &before))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		/* madvise_cold() calls lru_add_drain() first, mm/madvise.c. */
		if (sched_setaffinity(0, size, &one) ||
		    madvise(page, 4096, MADV_COLD))
			err = -errno;
	}
	sched_setaffinity(0, size, &before);
	munmap(page, 4096);
	return err;
}

int settle_drain(void)
{
	unsigned long nodes[NODES / (8 * sizeof(long))] = {};

	/* Those that this process may use: no others are taken for an answer. */
	if (!syscall(SYS_get_mempolicy, NULL, nodes, NODES + 1, NULL, MPOL_F_MEMS_ALLOWED) &&
	    syscall(SYS_migrate_pages, 0, NODES + 1, nodes, nodes) >= 0)
		return 0;
	return drain_each_cpu();
}

unsigned int settle_longest_ms(void)
{
	return longest ? __atomic_load_n(longest, __ATOMIC_RELAXED) : 0;
}

void settle_forget(void)
{
	if (longest)
		__atomic_store_n(longest, 0, __ATOMIC_RELAXED);
}

void settle_done(const struct settle *s)
{
	unsigned int ms = s->tries ? settle_ms(s) : 0;
	unsigned int seen = settle_longest_ms();

	while (longest && ms > seen &&
	       !__atomic_compare_exchange_n(longest, &seen, ms, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}
