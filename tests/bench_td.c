// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work for tests/bench.sh to time from outside the emulated machine, where time is
 * counted in instructions and tells nothing about speed.
 *
 * Usage: bench_td map|enter|life ROUNDS; prints how many SEAMCALLs that were.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulator.h"
#include "gmem.h"
#include "guest.h"
#include "td.h"

#define NR_PAGES	512ull
#define CALL_INFO	0x10000

static int create(struct guest **g)
{
	static const struct td_plan plan = { .attributes = TD_ATTR_SEPT_VE_DISABLE };

	return guest_create_td(g, &plan, NR_PAGES);
}

/* Map and unmap NR_PAGES pages a round. */
static int map(struct guest *g, unsigned long rounds)
{
	int rc = 0;

	while (rounds-- && !rc)
		rc = guest_prefault(g, 0, NR_PAGES) ?:
		     gmem_punch(guest_gmem(g), 0, NR_PAGES);
	return rc;
}

/* Enter and leave 512 times a round. */
static int enter(struct guest *g, unsigned long rounds)
{
	struct td_regs regs;
	int rc = 0;

	for (rounds *= 512; rounds-- && !rc;) {
		memset(&regs, 0, sizeof(regs));
		rc = td_vmcall(guest_td(g), 0, CALL_INFO, &regs);
	}
	return rc;
}

/* One TD a round. */
static int life(struct guest *g, unsigned long rounds)
{
	struct guest *other = NULL;
	int rc = 0;

	(void)g;
	while (rounds-- && !rc) {
		rc = create(&other);
		guest_destroy(other);
		other = NULL;
	}
	return rc;
}

static const struct {
	const char *name;
	int (*work)(struct guest *g, unsigned long rounds);
} works[] = { { "map", map }, { "enter", enter }, { "life", life } };

int main(int argc, char **argv)
{
	struct emulator_calls calls = {};
	struct guest *g = NULL;
	unsigned int i;
	int rc;

	for (i = 0; argc == 3 && i < sizeof(works) / sizeof(*works); i++) {
		if (strcmp(argv[1], works[i].name))
			continue;
		rc = create(&g) ?: emulator_count_start() ?:
		     works[i].work(g, strtoul(argv[2], NULL, 0)) ?:
		     emulator_count(NULL, NULL, &calls);
		guest_destroy(g);
		if (rc) {
			fprintf(stderr, "bench_td: %s: %s\n", argv[1], strerror(-rc));
			return 3;
		}
		printf("%llu\n", (unsigned long long)calls.nr);
		return 0;
	}
	fputs("usage: bench_td map|enter|life ROUNDS\n", stderr);
	return 2;
}
