// SPDX-License-Identifier: GPL-2.0-only
/*
 * The probes of folio.h against one another, against /proc/kpagecount and
 * /proc/kpageflags, and against what the test itself has done to a file.
 *
 * Whatever kind of page cache: all probes give the same records, to the bit.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

/* Seconds; the default is too short for an emulated machine on a busy one. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 300

#include "folio_bpf.h"
#include "folio_kcore.h"
#include "folio_proc.h"
#include "host.h"
#include "pin.h"
#include "settle.h"

#define PAGE	4096ul
#define HUGE	512u		/* 4K pages in a 2M page */
#define TRIES	200

static const struct probe {
	const char *name;
	int (*open)(char *why, unsigned long why_len);
	int (*by_file)(int fd, __u64 first, __u64 nr, struct folio_record *out,
		       struct folio_cache *cache);
	int (*by_pfn)(struct folio_record *recs, __u64 nr, const struct folio_cache *cache);
} probes[] = {
	{ "bpf", folio_bpf_open, folio_bpf_by_file, folio_bpf_by_pfn },
	{ "kcore", folio_kcore_open, folio_kcore_by_file, folio_kcore_by_pfn },
};

#define NR_PROBES ARRAY_SIZE(probes)

static const struct probe *usable[NR_PROBES];
static unsigned int nr_usable;

FIXTURE(probe) {
	int fd;
	struct folio_cache cache;
};

/* Reasons that are the host's.  Any other is a defect of the probe. */
static bool excuse(const char *why)
{
	static const char * const excuses[] = {
		"no /sys/kernel/btf/vmlinux", "not allowed to load", "not found in kernel",
		"no /proc/kcore", "run as root", "BTF lacks",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(excuses); i++)
		if (strstr(why, excuses[i]))
			return true;
	return false;
}

FIXTURE_SETUP(probe)
{
	char why[400], all[1000] = "";
	size_t i;

	self->fd = -1;
	nr_usable = 0;
	for (i = 0; i < NR_PROBES; i++) {
		if (!probes[i].open(why, sizeof(why))) {
			usable[nr_usable++] = &probes[i];
		} else {
			ASSERT_TRUE(excuse(why))
				TH_LOG("%s: %s", probes[i].name, why);
			snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s: %s",
				 *all ? "; " : "", probes[i].name, why);
		}
	}
	if (!nr_usable)
		SKIP(return, "%s", all);
	if (*all)
		TH_LOG("%s only; %s", usable[0]->name, all);
}

FIXTURE_TEARDOWN(probe)
{
	if (self->fd >= 0)
		close(self->fd);
}

static bool same(const struct folio_record *a, const struct folio_record *b, __u64 nr)
{
	return !memcmp(a, b, nr * sizeof(*a));
}

static void tell_difference(struct __test_metadata *_metadata, __u64 first, __u64 nr,
			    const struct folio_record *a, const struct folio_record *b)
{
	char one[200], two[200];
	int told = 0;
	__u64 i;

	for (i = 0; i < nr && told < 5; i++) {
		if (same(a + i, b + i, 1))
			continue;
		TH_LOG("page %llu: %s, %#llx %s", first + i, folio_describe(a + i, one, sizeof(one)),
		       a[i].word, "says one");
		TH_LOG("page %llu: %s, %#llx %s", first + i, folio_describe(b + i, two, sizeof(two)),
		       b[i].word, "says the other");
		told++;
	}
}

/*
 * Ask all probes.  The kernel moves meanwhile, so let the answers count only if
 * the first probe gives the same ones before and after the others.
 */
static void ask(struct __test_metadata *_metadata, int fd, __u64 first, __u64 nr,
		struct folio_record *out, struct folio_cache *cache)
{
	struct folio_record *again = calloc(2 * nr, sizeof(*again)), *other = again + nr;
	struct folio_cache other_cache;
	unsigned int p;
	int tries, bad;

	ASSERT_NE(NULL, again);
	for (tries = 0; tries < TRIES; tries++) {
		bad = 0;
		settle_drain();
		ASSERT_EQ(0, usable[0]->by_file(fd, first, nr, out, cache));
		for (p = 1; p < nr_usable; p++) {
			memset(other, 0xff, nr * sizeof(*other));
			ASSERT_EQ(0, usable[p]->by_file(fd, first, nr, other, &other_cache));
			bad += !same(out, other, nr);
			ASSERT_EQ(cache->mapping, other_cache.mapping);
			ASSERT_EQ(cache->ino, other_cache.ino);
		}
		memset(again, 0xff, nr * sizeof(*again));
		ASSERT_EQ(0, usable[0]->by_file(fd, first, nr, again, NULL));
		if (!bad && same(out, again, nr))
			break;
		usleep(1000);
	}
	if (tries == TRIES)
		tell_difference(_metadata, first, nr, out, bad ? other : again);
	EXPECT_LT(tries, TRIES);
	free(again);
}

/* One try: true, and @recs filled in, if nothing moved and all say the same. */
static bool ask_pfns_once(struct folio_record *recs, __u64 nr, const struct folio_cache *cache)
{
	struct folio_record *out = calloc(2 * nr, sizeof(*out)), *other = out + nr;
	unsigned int p;
	int bad = !out;

	/* The first probe again at the end. */
	for (p = 0; !bad && p <= nr_usable; p++) {
		memcpy(p ? other : out, recs, nr * sizeof(*out));
		bad = usable[p % nr_usable]->by_pfn(p ? other : out, nr, cache) ||
		      (p && !same(out, other, nr));
	}
	if (!bad)
		memcpy(recs, out, nr * sizeof(*out));
	free(out);
	return !bad;
}

static void ask_pfns(struct __test_metadata *_metadata, struct folio_record *recs, __u64 nr,
		     const struct folio_cache *cache)
{
	struct folio_record one, other;
	unsigned int p;
	int tries;
	__u64 i;

	for (tries = 0; tries < TRIES; tries++) {
		settle_drain();
		if (ask_pfns_once(recs, nr, cache))
			return;
		usleep(1000);
	}
	for (i = 0; i < nr; i++) {
		for (p = 1; p < nr_usable; p++) {
			one = other = recs[i];
			usable[0]->by_pfn(&one, 1, cache);
			usable[p]->by_pfn(&other, 1, cache);
			tell_difference(_metadata, i, 1, &one, &other);
		}
	}
	EXPECT_LT(tries, TRIES);
}

/* Whether the kernel's types know a name. */
static bool btf_has(const char *name)
{
	static char buf[16 << 20];
	FILE *f = fopen("/sys/kernel/btf/vmlinux", "r");
	size_t n = f ? fread(buf, 1, sizeof(buf), f) : 0;

	if (f)
		fclose(f);
	return memmem(buf, n, name, strlen(name) + 1);
}

/* What /proc tells of the frame of one record: empty if the same. */
static void differs_from_proc(const struct folio_record *rec, char *text, size_t len)
{
	static const struct { int kpf; unsigned int flag; } pairs[] = {
		{ 0, FOLIO_LOCKED }, { 3, FOLIO_UPTODATE }, { 4, FOLIO_DIRTY },
		{ 5, FOLIO_LRU }, { 8, FOLIO_WRITEBACK }, { 12, FOLIO_ANON },
		{ 15, FOLIO_LARGE }, { 17, FOLIO_HUGETLB }, { 18, FOLIO_UNEVICTABLE },
		{ 19, FOLIO_HWPOISON },
	};
	unsigned int f = folio_flags(rec);
	__u64 maps, flags;
	size_t p;

	*text = 0;
	if (!folio_present(rec))
		return;
	if (folio_proc_maps(folio_pfn(rec), &maps) || folio_proc_flags(folio_pfn(rec), &flags)) {
		snprintf(text, len, "no such frame");
		return;
	}
	if (maps != rec->maps)
		snprintf(text, len, "kpagecount %llu", maps);
	/* Compound tail; and of tails no more, as kernels differ in what they show. */
	if ((flags >> 16 & 1) != !!(f & FOLIO_TAIL))
		snprintf(text, len, "kpageflags %#llx, bit 16", flags);
	for (p = 0; p < ARRAY_SIZE(pairs) && !(f & FOLIO_TAIL); p++)
		if ((flags >> pairs[p].kpf & 1) != !!(f & pairs[p].flag))
			snprintf(text, len, "kpageflags %#llx, bit %d", flags, pairs[p].kpf);
}

/* @recs: of @fd from page 0 on; asked for again while they are in motion */
static void hold_against_proc(struct __test_metadata *_metadata, int fd,
			      struct folio_record *recs, __u64 nr)
{
	struct folio_cache cache;
	char text[128] = "", one[200];
	int tries;
	__u64 i;

	for (tries = 0; tries < TRIES; tries++) {
		for (i = 0; i < nr; i++) {
			differs_from_proc(&recs[i], text, sizeof(text));
			if (*text)
				break;
		}
		if (!*text)
			return;
		usleep(1000);
		ask(_metadata, fd, 0, nr, recs, &cache);
	}
	EXPECT_STREQ("", text)
		TH_LOG("page %llu: %s", i, folio_describe(&recs[i], one, sizeof(one)));
}

/* Pages of memfds may migrate, so ask again where the frames differ. */
static void hold_against_pagemap(struct __test_metadata *_metadata, char *map, int fd,
				 __u64 first, struct folio_record *recs, __u64 nr)
{
	struct folio_cache cache;
	__u64 i, pfn = 0;
	int tries;

	for (tries = 0; tries < TRIES; tries++) {
		for (i = 0; i < nr; i++) {
			(void)*(volatile char *)(map + i * PAGE);
			ASSERT_EQ(0, folio_proc_pfn(map + i * PAGE, &pfn));
			if (pfn != folio_pfn(&recs[i]))
				break;
		}
		if (i == nr)
			return;
		usleep(1000);
		ask(_metadata, fd, first, nr, recs, &cache);
	}
	EXPECT_EQ(pfn, folio_pfn(&recs[i]))
		TH_LOG("page %llu", first + i);
}

/* As ask(), until nobody holds transient references: @want is their number by page. */
static void ask_settled(struct __test_metadata *_metadata, int fd, __u64 first, __u64 nr,
			struct folio_record *out, struct folio_cache *cache,
			unsigned int (*want)(__u64 page))
{
	int tries;
	__u64 i;

	for (tries = 0; tries < TRIES; tries++) {
		ask(_metadata, fd, first, nr, out, cache);
		for (i = 0; i < nr && out[i].refs == want(first + i); i++)
			;
		if (i == nr)
			return;
		usleep(1000);
	}
	EXPECT_EQ(want(first + i), out[i].refs)
		TH_LOG("page %llu", first + i);
}

static char *map_file(struct __test_metadata *_metadata, int fd, __u64 first, __u64 nr)
{
	char *map = mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, first * PAGE);

	ASSERT_NE(MAP_FAILED, map);
	return map;
}

static int make_memfd(struct __test_metadata *_metadata, __u64 nr, unsigned int flags)
{
	int fd = memfd_create("folio_probe_test", MFD_CLOEXEC | flags);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, nr * PAGE));
	return fd;
}

/* A file on disk, unlinked; -1 if there is only memory here. */
static int make_disk_file(void)
{
	const char *dir = getenv("TMPDIR") ?: "/var/tmp";
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd;
}

/* 200 pages, mapped once, some twice. */
static unsigned int small_refs(__u64 page)
{
	return page >= 200 ? 0 : page >= 100 && page < 150 ? 3 : 2;
}

TEST_F(probe, agrees_on_small_pages)
{
	struct folio_record recs[300];
	char *map, *twice;
	__u64 i;

	self->fd = make_memfd(_metadata, 200, 0);
	map = map_file(_metadata, self->fd, 0, 200);
	memset(map, 1, 200 * PAGE);
	twice = map_file(_metadata, self->fd, 100, 50);
	memset(twice, 2, 50 * PAGE);
	ASSERT_EQ(0, mlock(map, 10 * PAGE));

	ask_settled(_metadata, self->fd, 0, 300, recs, &self->cache, small_refs);
	for (i = 0; i < 300; i++) {
		EXPECT_EQ(i < 200, folio_present(&recs[i]));
		if (i >= 200)
			continue;
		EXPECT_EQ(0, folio_order(&recs[i]));
		EXPECT_EQ(i >= 100 && i < 150 ? 2 : 1, recs[i].maps);
		EXPECT_EQ(FOLIO_OURS, folio_flags(&recs[i]) & FOLIO_OURS);
	}
	hold_against_pagemap(_metadata, map, self->fd, 0, recs, 200);
	hold_against_proc(_metadata, self->fd, recs, 300);

	ask(_metadata, self->fd, 150, 100, recs, &self->cache);
	for (i = 0; i < 100; i++)
		EXPECT_EQ(i < 50, folio_present(&recs[i]));
}

static unsigned int one_page_refs(__u64 page)
{
	return !page;
}

TEST_F(probe, agrees_on_a_file_of_one_page)
{
	struct folio_record recs[70];
	__u64 i;

	self->fd = make_memfd(_metadata, 1, 0);
	ask(_metadata, self->fd, 0, 70, recs, &self->cache);
	for (i = 0; i < 70; i++)
		EXPECT_EQ(0, recs[i].word);

	ASSERT_EQ(1, write(self->fd, "x", 1));
	ask_settled(_metadata, self->fd, 0, 70, recs, &self->cache, one_page_refs);
	for (i = 0; i < 70; i++)
		EXPECT_EQ(!i, folio_present(&recs[i]));
	EXPECT_EQ(0, recs[0].maps);
	hold_against_proc(_metadata, self->fd, recs, 1);
}

/* Every depth of the tree, first and last slots of its nodes. */
TEST_F(probe, agrees_on_sparse_files)
{
	static const __u64 at[] = {
		1, 62, 63, 64, 65, 127, 4094, 4095, 4096, 4097, 8191, 8192,
		262143, 262144, 16777215, 16777216, 1ull << 30, (1ull << 36) + 77,
	};
	struct folio_record recs[5];
	__u64 i, j, k, want;

	self->fd = make_memfd(_metadata, 1ull << 40, 0);
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		ASSERT_EQ(1, pwrite(self->fd, "x", 1, at[i] * PAGE));
		/* And what is not there yet, nor in the tree as deep as it is now. */
		for (j = 0; j < ARRAY_SIZE(at); j++) {
			__u64 first = at[j] < 2 ? 0 : at[j] - 2;

			ask(_metadata, self->fd, first, 5, recs, &self->cache);
			for (k = 0; k < 5; k++) {
				for (want = 0; want <= i && at[want] != first + k; want++)
					;
				EXPECT_EQ(want <= i, folio_present(&recs[k]))
					TH_LOG("page %llu of %llu written", first + k, i + 1);
			}
		}
	}
	/* One window that crosses everything up to the third level. */
	struct folio_record *many = calloc(270000, sizeof(*many));

	ASSERT_NE(NULL, many);
	ask(_metadata, self->fd, 0, 270000, many, &self->cache);
	for (i = 0, j = 0; i < 270000; i++)
		j += folio_present(&many[i]);
	EXPECT_EQ(14, j);
	hold_against_proc(_metadata, self->fd, many, 270000);
	free(many);
}

static int make_huge_tmpfs_file(void)
{
	int fs, mnt, fd = -1;

	fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -1;
	if (!fsconfig(fs, FSCONFIG_SET_STRING, "huge", "always", 0) &&
	    !fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) {
		mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
		if (mnt >= 0) {
			fd = openat(mnt, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
			close(mnt);
		}
	}
	close(fs);
	return fd;
}

TEST_F(probe, agrees_on_large_folios)
{
	const __u64 nr = 4 * HUGE;
	struct folio_record recs[5 * HUGE];
	unsigned int large = 0;
	char *map, *few;
	__u64 i;

	self->fd = make_huge_tmpfs_file();
	if (self->fd < 0)
		SKIP(return, "no tmpfs with huge pages: %s", strerror(errno));
	ASSERT_EQ(0, ftruncate(self->fd, nr * PAGE));
	/* Whole folios, of which one is mapped as a whole, one in part, one not at all. */
	ASSERT_EQ(0, fallocate(self->fd, 0, 0, nr * PAGE));
	map = mmap(NULL, 4 * HUGE * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	map = (char *)(((unsigned long)map + HUGE * PAGE - 1) & ~(HUGE * PAGE - 1));
	ASSERT_EQ(map, mmap(map, HUGE * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			    self->fd, 0));
	memset(map, 1, HUGE * PAGE);
	few = map_file(_metadata, self->fd, HUGE + 7, 3);
	memset(few, 1, 3 * PAGE);

	ask(_metadata, self->fd, 0, 5 * HUGE, recs, &self->cache);
	for (i = 0; i < 5 * HUGE; i++) {
		EXPECT_EQ(i < nr, folio_present(&recs[i]));
		if (i >= nr || folio_order(&recs[i]) != 9)
			continue;
		large++;
		EXPECT_EQ(!!(i % HUGE), !!(folio_flags(&recs[i]) & FOLIO_TAIL));
		EXPECT_NE(0, folio_flags(&recs[i]) & FOLIO_LARGE);
		EXPECT_EQ(folio_pfn(&recs[i - i % HUGE]) + i % HUGE, folio_pfn(&recs[i]));
		EXPECT_EQ(recs[i - i % HUGE].refs, recs[i].refs);
		EXPECT_EQ(i < HUGE || (i >= HUGE + 7 && i < HUGE + 10), recs[i].maps);
	}
	hold_against_proc(_metadata, self->fd, recs, 5 * HUGE);
	hold_against_pagemap(_metadata, map, self->fd, 0, recs, HUGE);

	/* A pin of one page counts for the whole folio, and beside its references. */
	if (large && !pin_why_not(PIN_IO_URING)) {
		struct pin *pin;

		ASSERT_EQ(0, pin_take(&pin, PIN_IO_URING, map + 3 * PAGE, 1));
		ask(_metadata, self->fd, 0, HUGE, recs, &self->cache);
		for (i = 0; i < HUGE; i++)
			EXPECT_NE(0, folio_flags(&recs[i]) & FOLIO_PINNED);
		pin_release(pin);
		ask(_metadata, self->fd, 0, HUGE, recs, &self->cache);
		for (i = 0; i < HUGE; i++)
			EXPECT_EQ(0, folio_flags(&recs[i]) & FOLIO_PINNED);
	}

	/* Start inside a folio, and end inside another. */
	ask(_metadata, self->fd, HUGE + 100, HUGE, recs, &self->cache);
	for (i = 0; i < HUGE; i++)
		EXPECT_EQ(1, folio_present(&recs[i]));

	/* Split by a hole, which leaves folios of other orders. */
	ASSERT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       (2 * HUGE + 5) * PAGE, 100 * PAGE));
	ask(_metadata, self->fd, 0, 5 * HUGE, recs, &self->cache);
	for (i = 0; i < nr; i++)
		EXPECT_EQ(i < 2 * HUGE + 5 || i >= 2 * HUGE + 105, folio_present(&recs[i]))
			TH_LOG("page %llu", i);
	hold_against_proc(_metadata, self->fd, recs, 5 * HUGE);
	if (!large)
		SKIP(return, "no free 2M page: checked small ones");
}

TEST_F(probe, agrees_on_hugetlb)
{
	const char *setting = "/proc/sys/vm/nr_overcommit_hugepages";
	struct folio_record recs[4 * HUGE];
	char *map;
	__u64 i;
	int rc;

	if (host_set(setting, "4"))
		SKIP(return, "cannot set %s", setting);
	self->fd = make_memfd(_metadata, 3 * HUGE, MFD_HUGETLB | (21u << 26));
	map = mmap(NULL, HUGE * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, HUGE * PAGE);
	if (map == MAP_FAILED || fallocate(self->fd, 0, HUGE * PAGE, 2 * HUGE * PAGE)) {
		host_restore(setting);
		SKIP(return, "no free 2M pages");
	}
	memset(map, 1, HUGE * PAGE);

	ask(_metadata, self->fd, 0, 4 * HUGE, recs, &self->cache);
	for (i = 0; i < 4 * HUGE; i++) {
		EXPECT_EQ(i >= HUGE && i < 3 * HUGE, folio_present(&recs[i]));
		if (!folio_present(&recs[i]))
			continue;
		EXPECT_EQ(9, folio_order(&recs[i]));
		EXPECT_NE(0, folio_flags(&recs[i]) & FOLIO_HUGETLB);
		EXPECT_EQ(i < 2 * HUGE, recs[i].maps) TH_LOG("page %llu", i);
		EXPECT_EQ(!!(i % HUGE), !!(folio_flags(&recs[i]) & FOLIO_TAIL));
	}
	hold_against_proc(_metadata, self->fd, recs, 4 * HUGE);
	hold_against_pagemap(_metadata, map, self->fd, HUGE, recs + HUGE, HUGE);
	/* By frame alone, the head page's type tells it, where the kernel has such. */
	if (btf_has("PGTY_hugetlb")) {
		ask_pfns(_metadata, recs + HUGE, 2, &self->cache);
		EXPECT_NE(0, folio_flags(&recs[HUGE]) & FOLIO_HUGETLB);
		EXPECT_NE(0, folio_flags(&recs[HUGE]) & FOLIO_TYPED);
	}
	munmap(map, HUGE * PAGE);
	close(self->fd);
	self->fd = -1;
	/* Another run that ends meanwhile may have restored it already. */
	rc = host_restore(setting);
	EXPECT_TRUE(!rc || rc == -ENOENT)
		TH_LOG("host_restore: %d", rc);
}

/* Evict pages, all present so far, and count those that are gone. */
static __u64 evict(struct __test_metadata *_metadata, int fd, char *map, __u64 nr,
		   struct folio_record *recs, struct folio_cache *cache)
{
	__u64 i, gone = 0, shadows = 0;
	int tries;

	for (tries = 0; tries < 20 && !gone; tries++) {
		settle_drain();
		madvise(map, nr * PAGE, MADV_PAGEOUT);
		ask(_metadata, fd, 0, nr, recs, cache);
		for (i = 0; i < nr; i++) {
			EXPECT_FALSE(folio_present(&recs[i]) &&
				     folio_flags(&recs[i]) & FOLIO_SHADOW);
			gone += !folio_present(&recs[i]);
			shadows += !!(folio_flags(&recs[i]) & FOLIO_SHADOW);
		}
	}
	/* Each leaves a value entry; those of a whole node may be reclaimed. */
	EXPECT_EQ(!!gone, !!shadows);
	return gone;
}

TEST_F(probe, agrees_on_swapped_out_pages)
{
	struct folio_record recs[256];
	char *map;

	self->fd = make_memfd(_metadata, 256, 0);
	map = map_file(_metadata, self->fd, 0, 256);
	memset(map, 1, 256 * PAGE);
	if (!evict(_metadata, self->fd, map, 256, recs, &self->cache))
		SKIP(return, "nothing was swapped out: no swap?");
	hold_against_proc(_metadata, self->fd, recs, 256);
	/* Bring half of it back, among the value entries. */
	memset(map, 2, 128 * PAGE);
	ask(_metadata, self->fd, 0, 256, recs, &self->cache);
	EXPECT_TRUE(folio_present(&recs[0]));
	hold_against_proc(_metadata, self->fd, recs, 256);
}

TEST_F(probe, agrees_on_evicted_file_pages)
{
	struct folio_record recs[1024];
	char *map, buf[PAGE];
	__u64 i, n;

	self->fd = make_disk_file();
	if (self->fd < 0)
		SKIP(return, "no file on disk: %s", strerror(errno));
	memset(buf, 1, sizeof(buf));
	for (i = 0; i < 1024; i++)
		ASSERT_EQ(PAGE, write(self->fd, buf, PAGE));
	ask(_metadata, self->fd, 0, 1024, recs, &self->cache);
	for (i = 0, n = 0; i < 1024; i++)
		n += folio_present(&recs[i]);
	EXPECT_EQ(1024, n);
	ASSERT_EQ(0, fsync(self->fd));
	ask(_metadata, self->fd, 0, 1024, recs, &self->cache);
	hold_against_proc(_metadata, self->fd, recs, 1024);

	map = map_file(_metadata, self->fd, 0, 1024);
	for (i = 0; i < 1024; i++)
		(void)*(volatile char *)(map + i * PAGE);
	if (!evict(_metadata, self->fd, map, 1024, recs, &self->cache))
		SKIP(return, "no page was evicted: a file system in memory?");
	hold_against_proc(_metadata, self->fd, recs, 1024);

	/* Read ahead into the hole between shadows: large folios where the kernel has them. */
	(void)*(volatile char *)(map + 300 * PAGE);
	ask(_metadata, self->fd, 0, 1024, recs, &self->cache);
	EXPECT_TRUE(folio_present(&recs[300]));
	hold_against_proc(_metadata, self->fd, recs, 1024);
}

/* 256 mapped pages, one of them in a pipe as well. */
static unsigned int spliced_refs(__u64 page)
{
	return page == 17 ? 3 : 2;
}

TEST_F(probe, agrees_on_pages_that_left_the_file)
{
	struct folio_record recs[256], left[256], now[256];
	const struct folio_cache nobody = {};
	struct folio_cache cache;
	struct iovec iov;
	int pipes[2], fd2, i, n;
	char *map;

	self->fd = make_memfd(_metadata, 256, 0);
	map = map_file(_metadata, self->fd, 0, 256);
	memset(map, 1, 256 * PAGE);
	ASSERT_EQ(0, pipe(pipes));
	iov = (struct iovec){ .iov_base = map + 17 * PAGE, .iov_len = PAGE };
	ASSERT_EQ(PAGE, vmsplice(pipes[1], &iov, 1, 0));

	ask_settled(_metadata, self->fd, 0, 256, recs, &self->cache, spliced_refs);
	ASSERT_EQ(0, munmap(map, 256 * PAGE));
	ASSERT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       10 * PAGE, 20 * PAGE));

	memcpy(left, recs, sizeof(left));
	ask_pfns(_metadata, left, 256, &self->cache);
	ask(_metadata, self->fd, 0, 256, now, &cache);
	for (i = 0, n = 0; i < 256; i++) {
		EXPECT_EQ(folio_pfn(&recs[i]), folio_pfn(&left[i]));
		EXPECT_EQ(i < 10 || i >= 30, folio_present(&now[i]));
		/* One that has migrated meanwhile has left its frame, too. */
		if (folio_present(&now[i]) && folio_pfn(&now[i]) != folio_pfn(&recs[i]))
			continue;
		EXPECT_EQ(i < 10 || i >= 30, !!(folio_flags(&left[i]) & FOLIO_OURS))
			TH_LOG("page %d", i);
		n++;
	}
	EXPECT_LT(30, n);
	/* The pipe's page is an orphan: held, and in no file. */
	EXPECT_EQ(1, left[17].refs);
	EXPECT_NE(0, folio_flags(&left[17]) & FOLIO_NO_MAPPING);
	/* Nor in the file of who names none, as the audit does. */
	left[17] = recs[17];
	ask_pfns(_metadata, &left[17], 1, &nobody);
	EXPECT_EQ(1, left[17].refs);
	EXPECT_EQ(FOLIO_NO_MAPPING, folio_flags(&left[17]) & (FOLIO_NO_MAPPING | FOLIO_OURS));

	/* The next file may get the address of the dead one, but not its pages' frames. */
	cache = self->cache;
	close(self->fd);
	self->fd = -1;
	for (i = 0; i < 16; i++) {
		fd2 = make_memfd(_metadata, 256, 0);
		ASSERT_EQ(0, fallocate(fd2, 0, 0, 256 * PAGE));
		memcpy(left, recs, sizeof(left));
		ask_pfns(_metadata, left, 5, &cache);
		EXPECT_EQ(0, folio_flags(&left[0]) & FOLIO_OURS);
		EXPECT_EQ(0, folio_flags(&left[4]) & FOLIO_OURS);
		close(fd2);
	}
	close(pipes[0]);
	close(pipes[1]);
}

/*
 * Free, anonymous, and the kernel's own pages come and go: look for ten of each
 * kind that are the same before and after.  Of a block of free pages only the
 * first has the type, whereas /proc/kpageflags says it of all.
 */
TEST_F(probe, agrees_on_pages_of_no_file)
{
	static const struct { int kpf; unsigned int flags; const char *needs; } kinds[] = {
		{ FOLIO_KPF_BUDDY, FOLIO_BUDDY | FOLIO_TYPED | FOLIO_NO_MAPPING, "PGTY_buddy" },
		{ 26, FOLIO_TYPED, NULL },		/* page table */
		{ 12, FOLIO_ANON, NULL },		/* anonymous */
	};
	unsigned int right;
	struct folio_record rec;
	__u64 pfn, flags, after;
	size_t k;

	self->fd = make_memfd(_metadata, 1, 0);
	ask(_metadata, self->fd, 0, 1, &rec, &self->cache);
	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		if (kinds[k].needs && !btf_has(kinds[k].needs))
			continue;
		for (pfn = 256, right = 0; right < 10 && !folio_proc_flags(pfn, &flags); pfn++) {
			if (!(flags >> kinds[k].kpf & 1) || flags >> 16 & 1)
				continue;
			rec.word = pfn;
			right += ask_pfns_once(&rec, 1, &self->cache) &&
				 !folio_proc_flags(pfn, &after) && after == flags &&
				 (folio_flags(&rec) & kinds[k].flags) == kinds[k].flags;
		}
		EXPECT_EQ(10, right)
			TH_LOG("bit %d of kpageflags", kinds[k].kpf);
	}
}

TEST_F(probe, finds_high_descriptors)
{
	struct folio_record rec;
	int fd, i;

	self->fd = make_memfd(_metadata, 1, 0);
	ASSERT_EQ(1, write(self->fd, "x", 1));
	for (i = 64; i < 1000; i *= 2) {
		fd = dup2(self->fd, i + 3);
		ASSERT_EQ(i + 3, fd);
		ask(_metadata, fd, 0, 1, &rec, &self->cache);
		EXPECT_TRUE(folio_present(&rec));
		close(fd);
	}
}

TEST_F(probe, says_what_is_no_file)
{
	struct folio_record rec;
	int pipes[2];
	unsigned int p;

	ASSERT_EQ(0, pipe(pipes));
	for (p = 0; p < nr_usable; p++) {
		EXPECT_EQ(-EBADF, usable[p]->by_file(-1, 0, 1, &rec, NULL));
		EXPECT_EQ(-EBADF, usable[p]->by_file(60, 0, 1, &rec, NULL));
		EXPECT_EQ(-EBADF, usable[p]->by_file(1 << 20, 0, 1, &rec, NULL));
		EXPECT_EQ(0, usable[p]->by_file(pipes[0], 0, 1, &rec, NULL));
		EXPECT_EQ(0, rec.word);
		EXPECT_EQ(0, usable[p]->by_file(pipes[0], 0, 0, &rec, NULL));
	}
	close(pipes[0]);
	close(pipes[1]);
}

/* The cache changes under the walk: any answer is right, but there is one. */
TEST_F(probe, survives_churn)
{
	const __u64 nr = 5000;
	struct folio_record *recs = calloc(nr, sizeof(*recs));
	struct folio_cache cache;
	unsigned int p, rounds;
	pid_t pid;
	int rc;

	ASSERT_NE(NULL, recs);
	self->fd = make_memfd(_metadata, nr, 0);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		unsigned int seed = 1;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			__u64 first = rand_r(&seed) % nr;

			if (rand_r(&seed) & 1)
				rc = pwrite(self->fd, "x", 1, first * PAGE);
			else
				fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					  first * PAGE, (rand_r(&seed) % nr + 1) * PAGE);
		}
	}
	for (rounds = 0; rounds < 100; rounds++) {
		for (p = 0; p < nr_usable; p++) {
			rc = usable[p]->by_file(self->fd, 0, nr, recs, &cache);
			EXPECT_TRUE(!rc || rc == -EAGAIN)
				TH_LOG("%s: %d", usable[p]->name, rc);
			if (rc)
				continue;
			EXPECT_EQ(0, usable[p]->by_pfn(recs, 1, &cache));
		}
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	free(recs);
}

TEST(pagemap_tells_what_it_can)
{
	char *map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u64 value;
	int rc;

	ASSERT_NE(MAP_FAILED, map);
	*map = 1;
	rc = folio_proc_pfn(map, &value);
	if (rc == -EPERM)
		SKIP(return, "frame numbers are hidden from this process");
	EXPECT_EQ(0, rc);
	EXPECT_EQ(-ENOENT, folio_proc_pfn(map + PAGE, &value));
	EXPECT_EQ(-ENOENT, folio_proc_pfn((void *)(1ul << 62), &value));
	EXPECT_EQ(-ENXIO, folio_proc_maps(1ull << 45, &value));
	EXPECT_EQ(-ENXIO, folio_proc_flags(~0ull, &value));
	EXPECT_EQ(0, folio_proc_maps(0, &value));
}

TEST(pagemap_is_that_of_the_calling_process)
{
	char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u64 parents, childs;
	int status;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, map);
	*map = 1;
	if (folio_proc_pfn(map, &parents) == -EPERM)
		SKIP(return, "frame numbers are hidden from this process");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		*map = 2;	/* now it has a page of its own */
		_exit(folio_proc_pfn(map, &childs) || childs == parents);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST(pagemap_hides_frames_from_others)
{
	__u64 value;
	int rc;

	if (!geteuid()) {
		ASSERT_EQ(0, setresuid(65534, 65534, 65534));
		ASSERT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
	}
	/* Some hosts open the file and show zeroes, others do not open it. */
	rc = folio_proc_pfn(&value, &value);
	EXPECT_TRUE(rc == -EPERM || rc == -EACCES)
		TH_LOG("rc %d", rc);
	EXPECT_EQ(-EACCES, folio_proc_maps(0, &value));
	EXPECT_EQ(-EACCES, folio_proc_flags(0, &value));
}

TEST_HARNESS_MAIN
