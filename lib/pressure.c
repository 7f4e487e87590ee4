// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "counter.h"
#include "folio.h"
#include "host.h"
#include "peer.h"
#include "pressure.h"
#include "room.h"

#define PAGE_BYTES	4096ull
#define SCATTERED	4096u		/* pages, of which each DISTANCEth stays */
#define DISTANCE	8u
#define COMPACT_MEMORY	"/proc/sys/vm/compact_memory"
#define COMPACTION_MS	15000
#define PCP_FRACTION	"/proc/sys/vm/percpu_pagelist_high_fraction"
#define HUGE_BYTES	(2ull << 20)
#define THP		"/sys/kernel/mm/transparent_hugepage/"
#define NUMA_BALANCING	"/proc/sys/kernel/numa_balancing"

static int trigger(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	if (write(fd, value, strlen(value)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/*
 * Compaction fills blocks that are neither full nor empty (mm/compaction.c
 * suitable_migration_target()).  This makes some: a page and a hole, many times.  What
 * a CPU keeps for itself of what is freed, compaction does not find.
 */
static int scatter(int fd)
{
	unsigned int i;

	if (fallocate(fd, 0, 0, SCATTERED * PAGE_BYTES))
		return -errno;
	for (i = 0; i < SCATTERED; i += DISTANCE)
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (i + 1) * PAGE_BYTES,
			      (DISTANCE - 1) * PAGE_BYTES))
			return -errno;
	return 0;
}

static int compact_all(struct peer *me __attribute__((unused)), void *arg __attribute__((unused)))
{
	return trigger(COMPACT_MEMORY, "1");
}

const char *pressure_no_compaction(void)
{
	return access(COMPACT_MEMORY, F_OK) ?
		"this kernel does not compact memory: build it with CONFIG_COMPACTION=y" : NULL;
}

/* On a large host that may take minutes; it ends where a signal kills who asked for it. */
static int compact_for_a_while(void)
{
	struct peer *peer;
	int err = peer_start(&peer, compact_all, NULL) ?: peer_join(peer, COMPACTION_MS);

	return err == -ETIMEDOUT ? 0 : err;
}

int pressure_compact(unsigned int *moved)
{
	static struct folio_record before[SCATTERED], after[SCATTERED];
	int fd = memfd_create("scattered", MFD_CLOEXEC);
	unsigned int i;
	int err;

	if (fd < 0)
		return -errno;
	err = host_set(PCP_FRACTION, "100000") ?: scatter(fd) ?:
	      folio_by_file(fd, 0, SCATTERED, before, NULL) ?:
	      compact_for_a_while() ?:
	      folio_by_file(fd, 0, SCATTERED, after, NULL);
	host_restore(PCP_FRACTION);
	close(fd);
	for (*moved = 0, i = 0; i < SCATTERED && !err; i += DISTANCE)
		*moved += folio_pfn(&before[i]) != folio_pfn(&after[i]);
	return err;
}

int pressure_drop_caches(void)
{
	return trigger("/proc/sys/vm/drop_caches", "1");
}

int pressure_numa_balancing(bool on)
{
	int err;

	if (access(NUMA_BALANCING, F_OK))
		return -EOPNOTSUPP;
	if (on)
		return host_set(NUMA_BALANCING, "1");
	err = host_restore(NUMA_BALANCING);
	return err == -ENOENT ? 0 : err;
}

int pressure_numa_marked(__s64 *pages)
{
	const struct counter_field updates[] = { { "numa_pte_updates", pages }, {} };

	*pages = 0;
	return counter_sum("/proc/vmstat", updates);
}

static int read_number(const char *path, unsigned long long *value)
{
	FILE *from = fopen(path, "re");
	int n;

	if (!from)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	n = fscanf(from, "%llu", value);
	fclose(from);
	return n == 1 ? 0 : -EIO;
}

/*
 * khugepaged looks at processes only that have asked for huge pages, and then at all of
 * their memory.  This has small pages where it asks for a huge one.
 */
static int ask_for_huge_page(char **out)
{
	char *page = room_2m(HUGE_BYTES);

	*out = page;
	return !page || mprotect(page, HUGE_BYTES, PROT_READ | PROT_WRITE) ||
	       madvise(page, HUGE_BYTES, MADV_NOHUGEPAGE) ||
	       madvise(page, HUGE_BYTES, MADV_POPULATE_WRITE) ||
	       madvise(page, HUGE_BYTES, MADV_HUGEPAGE) ? -errno : 0;
}

int pressure_khugepaged(unsigned int ms, bool *collapsed)
{
	static const struct {
		const char *path, *value;
	} settings[] = {
		{ THP "enabled", "always" },
		{ THP "khugepaged/defrag", "1" },
		{ THP "khugepaged/pages_to_scan", "65536" },
		{ THP "khugepaged/scan_sleep_millisecs", "1" },
		{ THP "khugepaged/alloc_sleep_millisecs", "1" },
	};
	const unsigned int nr = sizeof(settings) / sizeof(*settings);
	unsigned long long before, had, has, now = 0;
	const __u64 end = clock_ms() + ms;
	char *page = NULL;
	unsigned int i;
	int err;

	err = read_number(THP "khugepaged/full_scans", &before) ?:
	      read_number(THP "khugepaged/pages_collapsed", &had);
	for (i = 0; i < nr && !err; i++)
		err = host_set(settings[i].path, settings[i].value);
	err = err ?: ask_for_huge_page(&page);
	/* The round that was going on has begun too early; the one behind it has not. */
	has = had;
	while (!err && (now < before + 2 || has == had) && clock_ms() < end) {
		usleep(1000);
		err = read_number(THP "khugepaged/full_scans", &now) ?:
		      read_number(THP "khugepaged/pages_collapsed", &has);
	}
	while (i--)
		host_restore(settings[i].path);
	if (!err && now < before + 2)
		err = -ETIMEDOUT;
	*collapsed = !err && has != had;
	if (page)
		munmap(page, HUGE_BYTES);
	return err;
}

int pressure_allocate(__u64 bytes)
{
	char *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int err;

	if (mem == MAP_FAILED)
		return -errno;
	/* An error where a plain touch would end in SIGBUS, or in a kill. */
	err = madvise(mem, bytes, MADV_POPULATE_WRITE) ? -errno : 0;
	munmap(mem, bytes);
	return err;
}
