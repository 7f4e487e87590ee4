// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the suite costs, measured side by side: each round takes every contender
 * once, so that a machine whose speed drifts slows all of them alike, and only
 * ratios within a round are compared.  Printed are medians over the rounds.
 *
 * Usage: bench [ROUNDS]; PAGE_TYPES names the kernel's tools/mm/page-types.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "census.h"
#include "clock.h"
#include "gmem.h"
#include "guest.h"
#include "need.h"
#include "supervise.h"

#define PAGE		4096ul
#define NR_PAGES	65536ul	/* 256 MB */
#define STEP_PAGES	512ul	/* of the churn: 2 MB */
#define STEPS		64	/* per round */
#define SAMPLE		16	/* every so many steps a census */
#define MAX_ROUNDS	101

static unsigned int rounds = 15;

static void __attribute__((noreturn)) give_up(const char *what, int err)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(err < 0 ? -err : err));
	exit(3);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *values)
{
	double sorted[MAX_ROUNDS];

	memcpy(sorted, values, rounds * sizeof(*sorted));
	qsort(sorted, rounds, sizeof(*sorted), by_value);
	return sorted[rounds / 2];
}

/* Median of the ratios a/b, round by round. */
static double ratio(const double *a, const double *b)
{
	double r[MAX_ROUNDS];
	unsigned int i;

	for (i = 0; i < rounds; i++)
		r[i] = a[i] / b[i];
	return median(r);
}

static double time_census(int fd)
{
	double start = clock_ns();
	struct census *c;
	int err = census_take(&c, fd, 0, NR_PAGES);

	if (err)
		give_up("census", err);
	start = clock_ns() - start;
	census_free(c);
	return start / NR_PAGES;
}

/* The same frames by pread(), a system call per run of at most @longest frames. */
static double time_kpage(const __u64 *pfns, __u64 longest)
{
	static __u64 answers[NR_PAGES];
	int counts = open("/proc/kpagecount", O_RDONLY);
	int flags = open("/proc/kpageflags", O_RDONLY);
	double start;
	__u64 i, run;

	if (counts < 0 || flags < 0)
		give_up("/proc/kpage*", errno);
	start = clock_ns();
	for (i = 0; i < NR_PAGES; i += run) {
		for (run = 1; run < longest && i + run < NR_PAGES &&
			      pfns[i + run] == pfns[i] + run; run++)
			;
		if (pread(counts, answers, run * 8, pfns[i] * 8) < 0 ||
		    pread(flags, answers, run * 8, pfns[i] * 8) < 0)
			give_up("/proc/kpage*", errno);
	}
	start = clock_ns() - start;
	close(counts);
	close(flags);
	return start / NR_PAGES;
}

/* The kernel's own tool over the same mapping; its whole process counts. */
static double time_page_types(const char *tool, const char *map)
{
	char pid[16], range[64];
	double start = clock_ns();
	int status, null;
	pid_t child;

	snprintf(pid, sizeof(pid), "%d", getpid());
	snprintf(range, sizeof(range), "0x%lx,0x%lx", (unsigned long)map / PAGE,
		 (unsigned long)map / PAGE + NR_PAGES);
	child = fork();
	if (!child) {
		null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		dup2(null, 2);
		execl(tool, tool, "-p", pid, "-a", range, NULL);
		_exit(127);
	}
	if (waitpid(child, &status, 0) != child || status)
		give_up("page-types", status ? EINVAL : errno);
	return (clock_ns() - start) / NR_PAGES;
}

static void bench_census(struct guest *g)
{
	double census[MAX_ROUNDS], single[MAX_ROUNDS], runs[MAX_ROUNDS], tool[MAX_ROUNDS];
	const char *page_types = getenv("PAGE_TYPES");
	__u64 i, *pfns = calloc(NR_PAGES, sizeof(*pfns));
	struct mallinfo2 before, after;
	struct census *c;
	unsigned int r;
	double size;
	void *map;
	int err;

	err = gmem_map(guest_gmem(g), 0, NR_PAGES, &map);
	if (err)
		give_up("map", err);
	memset(map, 1, NR_PAGES * PAGE);
	before = mallinfo2();
	err = census_take(&c, guest_gmem(g), 0, NR_PAGES);
	if (err)
		give_up("census", err);
	after = mallinfo2();
	size = (double)(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd);
	for (i = 0; i < NR_PAGES; i++)
		pfns[i] = folio_pfn(census_page(c, i));
	census_free(c);

	for (r = 0; r < rounds; r++) {
		census[r] = time_census(guest_gmem(g));
		single[r] = time_kpage(pfns, 1);
		runs[r] = time_kpage(pfns, NR_PAGES);
		if (page_types)
			tool[r] = time_page_types(page_types, map);
	}
	munmap(map, NR_PAGES * PAGE);
	free(pfns);

	printf("Census of %lu mapped pages, probe %s, ns per page (median of %u)\n",
	       NR_PAGES, folio_probe(), rounds);
	printf("  census                             %8.1f\n", median(census));
	printf("  kpagecount + kpageflags, by page   %8.1f   census / this = %.3f\n",
	       median(single), ratio(census, single));
	printf("  kpagecount + kpageflags, by runs   %8.1f   census / this = %.3f\n",
	       median(runs), ratio(census, runs));
	if (page_types)
		printf("  tools/mm/page-types                %8.1f   census / this = %.3f\n",
		       median(tool), ratio(census, tool));
	printf("  memory of a census                 %8.2f   bytes per page\n",
	       size / NR_PAGES);
}

static void touch(char *map)
{
	unsigned long i;

	for (i = 0; i < STEP_PAGES; i++)
		((volatile char *)map)[i * PAGE] = 1;
}

/* What somebody without this suite would write. */
static double churn_bare(int fd, char *map)
{
	double start = clock_ns();
	int step;

	for (step = 0; step < STEPS; step++) {
		touch(map);
		if (fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0,
			      STEP_PAGES * PAGE))
			give_up("punch", errno);
	}
	return clock_ns() - start;
}

/* The same through the suite, with a census every @every steps, 0 for none. */
static double churn_suite(int fd, char *map, int every)
{
	double start = clock_ns();
	struct finding f;
	int step;

	for (step = 0; step < STEPS; step++) {
		finding_context("bench", 0, step + 1);
		touch(map);
		if (every && step % every == 0 &&
		    census_check_held(fd, 0, STEP_PAGES, 1, 0, &f))
			give_up(f.text, EINVAL);
		if (gmem_punch(fd, 0, STEP_PAGES))
			give_up("punch", errno);
		if (every && step % every == 0 &&
		    census_check_absent(fd, 0, STEP_PAGES, &f))
			give_up(f.text, EINVAL);
		supervise_checked();
	}
	return clock_ns() - start;
}

static void bench_churn(struct guest *g)
{
	double bare[MAX_ROUNDS], off[MAX_ROUNDS], sampled[MAX_ROUNDS], all[MAX_ROUNDS];
	int fd = guest_gmem(g), err;
	unsigned int r;
	void *map;

	err = gmem_map(fd, 0, STEP_PAGES, &map);
	if (err)
		give_up("map", err);
	churn_bare(fd, map);
	for (r = 0; r < rounds; r++) {
		bare[r] = churn_bare(fd, map);
		off[r] = churn_suite(fd, map, 0);
		sampled[r] = churn_suite(fd, map, SAMPLE);
		all[r] = churn_suite(fd, map, 1);
	}
	munmap(map, STEP_PAGES * PAGE);

	printf("Churn: touch and punch %lu pages, us per step (median of %u)\n",
	       STEP_PAGES, rounds);
	printf("  bare system calls                  %8.1f\n", median(bare) / STEPS / 1e3);
	printf("  suite, no census                   %8.1f   / bare = %.3f\n",
	       median(off) / STEPS / 1e3, ratio(off, bare));
	printf("  suite, census every %2d steps       %8.1f   / bare = %.3f\n", SAMPLE,
	       median(sampled) / STEPS / 1e3, ratio(sampled, bare));
	printf("  suite, census every step           %8.1f   / bare = %.3f\n",
	       median(all) / STEPS / 1e3, ratio(all, bare));
}

int main(int argc, char **argv)
{
	const char *why;
	struct guest *g;
	int err;

	if (argc > 1)
		rounds = atoi(argv[1]);
	if (argc > 2 || rounds < 1 || rounds > MAX_ROUNDS) {
		fprintf(stderr, "Usage: %s [ROUNDS], 1 to %d\n", argv[0], MAX_ROUNDS);
		return 2;
	}
	why = need_why_not(NEED_ROOT | NEED_REFCOUNT | NEED_KPAGE);
	if (!why)
		why = guest_why_not(GUEST_DEFAULT);
	if (why) {
		fprintf(stderr, "bench: %s\n", why);
		return 3;
	}
	err = guest_create_unbound(&g, GUEST_DEFAULT, NR_PAGES);
	if (err)
		give_up("guest", err);
	bench_census(g);
	bench_churn(g);
	guest_destroy(g);
	return 0;
}
