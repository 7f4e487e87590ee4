// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
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
};

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

/*
 * Pages on the per-CPU free lists have left nr_free_pages (rmqueue_bulk(),
 * mm/page_alloc.c), up to hundreds of MB of them.  They are added rather than
 * drained: nothing short of memory hotplug drains the lists of all CPUs, and
 * the next free would fill them again.
 */
int meter_read(struct meter *m)
{
	struct raw r = {};
	const struct counter_field vmstat[] = {
		{ "nr_free_pages", &r.free },
		{ "nr_file_pages", &r.file },
		{ "nr_unevictable", &r.unevictable },
		{ "nr_swapcached", &r.swapcached },
		{ "nr_anon_pages", &r.anon },
		{ "nr_slab_reclaimable", &r.slab_reclaimable },
		{ "nr_slab_unreclaimable", &r.slab },
		{ "nr_zspages", &r.zspages },
		{ "nr_page_table_pages", &r.page_tables },
		{ "nr_sec_page_table_pages", &r.sec_page_tables },
		{}
	};
	/* Kernel stacks are vmalloc memory. */
	const struct counter_field meminfo[] = {
		{ "VmallocUsed:", &r.vmalloc_kb },
		{ "Percpu:", &r.percpu_kb },
		{}
	};
	const struct counter_field zoneinfo[] = {
		{ "managed", &r.managed },
		{ "count:", &r.pcp },
		{}
	};
	static __s64 first_managed = -1;
	int err;

	refresh();
	err = counter_sum("/proc/vmstat", vmstat);
	if (!err)
		err = counter_sum("/proc/zoneinfo", zoneinfo);
	if (!err)
		err = counter_sum("/proc/meminfo", meminfo);
	if (err)
		return err;

	/* A balloon or hotplug that adds memory must not hide what is used up. */
	if (first_managed < 0)
		first_managed = r.managed;
	m->value[METER_FREE] = r.free + r.pcp + first_managed - r.managed;
	if (read_hkids(&m->value[METER_HKIDS]))
		m->value[METER_HKIDS] = 0;
	m->value[METER_FILE] = r.file;
	m->value[METER_UNEVICTABLE] = r.unevictable;
	m->value[METER_PAGE_TABLES] = r.page_tables + r.sec_page_tables;
	/* The swap cache is in nr_file_pages, and in nr_anon_pages if mapped. */
	m->value[METER_LOST] = r.managed - r.free - r.pcp - r.file + r.swapcached -
			       r.anon - r.slab - r.slab_reclaimable - r.zspages -
			       r.page_tables - r.sec_page_tables -
			       (r.vmalloc_kb + r.percpu_kb) / 4;
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
