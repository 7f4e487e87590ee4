// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "counter.h"
#include "meter.h"
#include "settle.h"

/* Every count of the kernel's that a reading is made of, in pages. */
struct raw {
	__s64 free, file, unevictable, swapcached, anon, slab, slab_reclaimable, zspages;
	__s64 page_tables, sec_page_tables;	/* /proc/vmstat */
	__s64 vmalloc_kb, percpu_kb;		/* /proc/meminfo */
	__s64 managed, pcp;			/* /proc/zoneinfo */
	__s64 disturbed;	/* how much changed meanwhile */
};

#define READINGS	5	/* at most, for one that nothing has disturbed */

const char *meter_name(enum meter_counter which)
{
	static const char * const names[] = {
		[METER_FREE]		= "nr_free_pages",
		[METER_LOST]		= "memory that is neither free nor accounted for",
		[METER_FILE]		= "nr_file_pages",
		[METER_UNEVICTABLE]	= "nr_unevictable",
		[METER_PAGE_TABLES]	= "nr_page_table_pages + nr_sec_page_table_pages",
		[METER_HKIDS]		= "keyids in use (tdx of misc.current)",
	};

	return names[which];
}

/* misc.current of the whole host, wherever the misc controller is mounted. */
static FILE *open_misc_current(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re"), *in = NULL;
	struct mntent entry, *m;
	char buf[1024], path[512];

	while (mounts && !in && (m = getmntent_r(mounts, &entry, buf, sizeof(buf)))) {
		if (strcmp(m->mnt_type, "cgroup2") && strcmp(m->mnt_type, "cgroup"))
			continue;
		snprintf(path, sizeof(path), "%.400s/misc.current", m->mnt_dir);
		in = fopen(path, "re");
	}
	if (mounts)
		endmntent(mounts);
	return in;
}

static int read_hkids(__s64 *value)
{
	FILE *in = open_misc_current();
	long long nr = 0;
	char line[128];
	bool found = false;

	if (!in)
		return -ENOENT;
	while (fgets(line, sizeof(line), in) && !found)
		found = sscanf(line, "tdx %lld", &nr) == 1;
	fclose(in);
	*value = nr;
	return found ? 0 : -ENODATA;
}

const char *meter_why_not(enum meter_counter which)
{
	__s64 value;

	if (which != METER_HKIDS)
		return NULL;
	switch (read_hkids(&value)) {
	case 0:
		return NULL;
	case -ENODATA:
		return "misc.current has no tdx: this kernel does not count keyids there, or has no TDX";
	default:
		return "no cgroup hierarchy with the misc controller is mounted: mount cgroup2, on a kernel with CONFIG_CGROUP_MISC=y";
	}
}

/* Fold the per-CPU differences into the counters that /proc shows. */
static void refresh(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);

	/*
	 * Only for root.  Without it the counters lag by some 100 pages per CPU
	 * and zone, which the caller's tolerance has to bear.  A negative counter
	 * makes the write fail with EINVAL, after the refresh.
	 */
	if (fd < 0)
		return;
	if (write(fd, "1", 1) < 0 && errno != EINVAL)
		fprintf(stderr, "# meter: /proc/sys/vm/stat_refresh: %m\n");
	close(fd);
}

static int read_vmstat(struct raw *r)
{
	const struct counter_field vmstat[] = {
		{ "nr_free_pages", &r->free },
		{ "nr_file_pages", &r->file },
		{ "nr_unevictable", &r->unevictable },
		{ "nr_swapcached", &r->swapcached },
		{ "nr_anon_pages", &r->anon },
		{ "nr_slab_reclaimable", &r->slab_reclaimable },
		{ "nr_slab_unreclaimable", &r->slab },
		{ "nr_zspages", &r->zspages },
		{ "nr_page_table_pages", &r->page_tables },
		{ "nr_sec_page_table_pages", &r->sec_page_tables },
		{}
	};

	refresh();
	return counter_sum("/proc/vmstat", vmstat);
}

/*
 * What /proc/vmstat knows of: free or in use.  The swap cache is in nr_file_pages, and in
 * nr_anon_pages if mapped.
 */
static __s64 known(const struct raw *r)
{
	return r->free + r->file - r->swapcached + r->anon + r->slab + r->slab_reclaimable +
	       r->zspages + r->page_tables + r->sec_page_tables;
}

static int read_once(struct raw *r)
{
	/* Kernel stacks are vmalloc memory. */
	const struct counter_field meminfo[] = {
		{ "VmallocUsed:", &r->vmalloc_kb },
		{ "Percpu:", &r->percpu_kb },
		{}
	};
	const struct counter_field zoneinfo[] = {
		{ "managed", &r->managed },
		{ "count:", &r->pcp },
		{}
	};
	struct raw after = {};
	int err;

	err = read_vmstat(r) ?:
	      counter_sum("/proc/zoneinfo", zoneinfo) ?:
	      counter_sum("/proc/meminfo", meminfo) ?:
	      read_vmstat(&after);
	r->disturbed = llabs(known(&after) - known(r)) + llabs(after.free - r->free);
	return err;
}

/*
 * Pages on the per-CPU free lists have left nr_free_pages (rmqueue_bulk(),
 * mm/page_alloc.c), up to hundreds of MB of them.  They are added rather than
 * drained: nothing short of memory hotplug drains the lists of all CPUs, and
 * the next free would fill them again.
 *
 * They are in another file, though, and what is freed between two reads counts twice: so
 * the least disturbed of a few readings is taken.
 */
int meter_read(struct meter *m)
{
	static __s64 first_managed = -1;
	struct raw r = { .disturbed = LLONG_MAX }, once;
	unsigned int i;
	int err;

	for (i = 0; i < READINGS && r.disturbed; i++) {
		once = (struct raw){};
		err = read_once(&once);
		if (err)
			return err;
		if (once.disturbed < r.disturbed)
			r = once;
	}

	/* A balloon or hotplug that adds memory must not hide what is used up. */
	if (first_managed < 0)
		first_managed = r.managed;
	m->value[METER_FREE] = r.free + r.pcp + first_managed - r.managed;
	if (read_hkids(&m->value[METER_HKIDS]))
		m->value[METER_HKIDS] = 0;
	m->value[METER_FILE] = r.file;
	m->value[METER_UNEVICTABLE] = r.unevictable;
	m->value[METER_PAGE_TABLES] = r.page_tables + r.sec_page_tables;
	m->value[METER_LOST] = r.managed - known(&r) - r.pcp - (r.vmalloc_kb + r.percpu_kb) / 4;
	return 0;
}

int meter_check_back(const struct meter *before, enum meter_counter which,
		     __u64 tolerance, struct finding *f)
{
	struct settle s;
	struct meter now;
	__s64 off;
	bool bad;
	int err;

	settle_start(&s);
	do {
		err = meter_read(&now);
		if (err) {
			finding_set(f, "counter", "cannot read %s: %s",
				    meter_name(which), strerror(-err));
			return err;
		}
		off = now.value[which] - before->value[which];
		if (which == METER_FREE)
			off = -off;
		bad = off > (__s64)tolerance;
	} while (bad && settle_again(&s));

	if (!bad) {
		settle_done(&s);
		return 0;
	}
	finding_set(f, "counter", "%s is off by %lld, more than %llu: it was %lld and is %lld",
		    meter_name(which), off, tolerance, before->value[which],
		    now.value[which]);
	f->waited_ms = settle_ms(&s);
	return 1;
}
