// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nothing that moves, reclaims or drops pages ever touches one of a guest_memfd.
 *
 * A page that a guest uses through its secure page tables cannot be copied by
 * the host, so its frame must stay the same from the first touch to the punch,
 * mapped by user space or not, dirty or not.  The kernel marks the mapping as
 * inaccessible and unmovable, and warns if migration gets at a page nevertheless
 * (kvm_gmem_migrate_folio(), virt/kvm/guest_memfd.c), which fails the case.
 *
 * Claims: C1, B46
 */
#include <fcntl.h>
#include <numa.h>
#include <numaif.h>
#include <sys/mman.h>

#include "cgroup.h"
#include "clock.h"
#include "gmem.h"
#include "hotplug.h"
#include "node.h"
#include "poison.h"
#include "pressure.h"
#include "suite.h"

#define NR_PAGES	64
#define PAGE		4096ul
#define BYTES		(NR_PAGES * PAGE)
#define PATTERN		0x5eed000000000000ull
#define SCAN_MS		3000		/* NUMA balancing has begun by then */

enum use {
	MAPPED,			/* by user space */
	UNMAPPED,		/* in the file, and nowhere else */
	CLEAN,			/* mapped, but never written to */
	IN_GUEST,		/* touched by the vCPU */
};

FIXTURE(migration) {
	struct guest *g;
	int fd;
	char *map;		/* for MAPPED and CLEAN */
	struct census *before;
};

FIXTURE_VARIANT(migration) {
	enum guest_type type;
	enum use use;
};

GUEST_VARIANTS(migration, _mapped, .use = MAPPED);
GUEST_VARIANTS(migration, _unmapped, .use = UNMAPPED);
GUEST_VARIANTS(migration, _clean, .use = CLEAN);
GUEST_VARIANTS(migration, _in_guest, .use = IN_GUEST);

static __u64 *word(char *map, __u64 page)
{
	return (__u64 *)(map + page * PAGE);
}

/* Bring all pages in, in the way of the variant. 0 or -errno. */
static int populate(struct guest *g, enum use use, char **map)
{
	__u64 i;
	int err;

	if (use == IN_GUEST)
		return guest_touch(g, 0, NR_PAGES, PATTERN);
	if (!guest_mappable(g))
		return gmem_allocate(guest_gmem(g), 0, NR_PAGES);
	if (!*map) {
		err = gmem_map(guest_gmem(g), 0, NR_PAGES, (void **)map);
		if (err)
			return err;
	}
	if (use == CLEAN)
		return madvise(*map, BYTES, MADV_POPULATE_READ) ? -errno : 0;
	for (i = 0; i < NR_PAGES; i++)
		*word(*map, i) = PATTERN + i;
	if (use == UNMAPPED) {
		munmap(*map, BYTES);
		*map = NULL;
	}
	return 0;
}

FIXTURE_SETUP(migration)
{
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(variant->use == IN_GUEST ?
		  guest_create(&self->g, variant->type, NR_PAGES) :
		  guest_create_unbound(&self->g, variant->type, NR_PAGES));
	REQUIRE(guest_mappable(self->g) || variant->use == UNMAPPED ||
		variant->use == IN_GUEST ? NULL :
		"user space cannot map the guest_memfd of this VM type");
	self->fd = guest_gmem(self->g);
	ASSERT_OK(populate(self->g, variant->use, &self->map));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_EQ(NR_PAGES, census_nr_present(self->before));
}

FIXTURE_TEARDOWN(migration)
{
	census_free(self->before);
	if (self->map)
		munmap(self->map, BYTES);
	guest_destroy(self->g);
}

/* What the pages hold; 0, or -EILSEQ if it is not what was written. */
static int verify(struct guest *g, enum use use, char *map)
{
	void *look = map;
	__u64 i;
	int err = 0;

	if (use == IN_GUEST)
		return guest_verify(g, 0, NR_PAGES, PATTERN);
	if (!guest_mappable(g))
		return 0;
	if (!look)
		err = gmem_map(guest_gmem(g), 0, NR_PAGES, &look);
	for (i = 0; i < NR_PAGES && !err; i++)
		if (*word(look, i) != (use == CLEAN ? 0 : PATTERN + i))
			err = -EILSEQ;
	if (look && look != map)
		munmap(look, BYTES);
	return err;
}

#define EXPECT_STILL_THERE() do {					\
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);			\
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);			\
	EXPECT_OK(verify(self->g, variant->use, self->map));		\
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);			\
} while (0)

TEST_F(migration, leaves_them_to_no_compaction)
{
	unsigned int i, moved, sum = 0;

	REQUIRE(pressure_no_compaction());
	for (i = 0; i < 2; i++) {
		ASSERT_OK(pressure_compact(&moved));
		EXPECT_STILL_THERE();
		sum += moved;
	}
	TH_LOG("%u other pages moved", sum);
	REQUIRE(sum ? NULL : "compaction moved no page at all");
}

TEST_F(migration, leaves_them_to_no_migrate_pages)
{
	struct bitmask *from, *to;
	int node, nodes[2];

	REQUIRE(node_find_two(nodes));
	from = numa_get_mems_allowed();
	to = numa_allocate_nodemask();
	for (node = 0; node <= numa_max_node(); node++) {
		if (!numa_bitmask_isbitset(from, node))
			continue;
		numa_bitmask_clearall(to);
		numa_bitmask_setbit(to, node);
		EXPECT_GE(numa_migrate_pages(0, from, to), 0);
		EXPECT_STILL_THERE();
	}
	numa_free_nodemask(to);
	numa_free_nodemask(from);
}

TEST_F(migration, leaves_them_to_no_move_pages)
{
	int status[NR_PAGES], to[NR_PAGES], nodes[2], node, i;
	void *pages[NR_PAGES];

	REQUIRE(self->map ? NULL : "move_pages(2) takes addresses, and there is no mapping");
	REQUIRE(node_find_two(nodes));
	for (i = 0; i < NR_PAGES; i++)
		pages[i] = self->map + i * PAGE;
	for (node = 0; node <= numa_max_node(); node++) {
		for (i = 0; i < NR_PAGES; i++) {
			to[i] = node;
			status[i] = 0;
		}
		/* An error, or pages that could not be moved: both are refusals. */
		move_pages(0, NR_PAGES, pages, to, status, MPOL_MF_MOVE_ALL);
		EXPECT_STILL_THERE();
	}
}

TEST_F(migration, leaves_them_to_no_mbind)
{
	unsigned long mask;
	int node, nodes[2];

	REQUIRE(self->map ? NULL : "mbind(2) takes addresses, and there is no mapping");
	REQUIRE(node_find_two(nodes));
	for (node = 0; node <= numa_max_node() && node < 64; node++) {
		mask = 1ul << node;
		/* Whether the file takes a policy is not the question here. */
		mbind(self->map, BYTES, MPOL_BIND, &mask, 8 * sizeof(mask),
		      MPOL_MF_MOVE | MPOL_MF_MOVE_ALL);
		EXPECT_STILL_THERE();
		mbind(self->map, BYTES, MPOL_BIND, &mask, 8 * sizeof(mask),
		      MPOL_MF_MOVE | MPOL_MF_STRICT);
		EXPECT_STILL_THERE();
	}
}

TEST_F(migration, leaves_them_to_no_numa_balancing)
{
	const __u64 start = clock_ms();
	__u64 i, end = start + SCAN_MS;
	__s64 before, marked;
	volatile char sum = 0;
	int err, nodes[2];

	REQUIRE(node_find_two(nodes));
	err = pressure_numa_balancing(true);
	REQUIRE(err == -EOPNOTSUPP ? "the kernel has no NUMA balancing" : NULL);
	ASSERT_OK(err);
	ASSERT_OK(pressure_numa_marked(&before));
	while (clock_ms() < end) {
		for (i = 0; self->map && i < NR_PAGES; i++)
			sum += self->map[i * PAGE];
		if (variant->use == IN_GUEST) {
			ASSERT_OK(guest_verify(self->g, 0, NR_PAGES, PATTERN));
		}
		/* Its first scan comes after a second; what it marks is touched then. */
		ASSERT_OK(pressure_numa_marked(&marked));
		if (marked != before && end == start + SCAN_MS)
			end = clock_ms() + 500;
	}
	EXPECT_STILL_THERE();
	EXPECT_OK(pressure_numa_balancing(false));
	REQUIRE(marked != before ? NULL : "NUMA balancing has looked at nothing");
}

TEST_F(migration, leaves_them_to_no_madvise)
{
	static const struct {
		const char *name;
		int advice;
	} table[] = {
		{ "MADV_COLD", MADV_COLD }, { "MADV_PAGEOUT", MADV_PAGEOUT },
		{ "MADV_FREE", MADV_FREE }, { "MADV_WILLNEED", MADV_WILLNEED },
		{ "MADV_HUGEPAGE", MADV_HUGEPAGE }, { "MADV_COLLAPSE", 25 },
		{ "MADV_MERGEABLE", MADV_MERGEABLE },
	};
	unsigned int i;

	REQUIRE(self->map ? NULL : "madvise(2) takes addresses, and there is no mapping");
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		/* Many are refused.  What counts is what they leave. */
		TH_LOG("%s: %s", table[i].name,
		       madvise(self->map, BYTES, table[i].advice) ? strerrorname_np(errno) : "0");
		EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
		EXPECT_OK(verify(self->g, variant->use, self->map));
		/* The look above has mapped again what one of them unmapped. */
		EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	}
}

TEST_F(migration, leaves_them_to_no_dropping_of_caches)
{
	ASSERT_OK(pressure_drop_caches());
	EXPECT_STILL_THERE();
}

TEST_F(migration, leaves_them_to_no_fadvise)
{
	EXPECT_EQ(0, posix_fadvise(self->fd, 0, BYTES, POSIX_FADV_DONTNEED));
	EXPECT_STILL_THERE();
	posix_fadvise(self->fd, 0, BYTES, POSIX_FADV_NOREUSE);
	posix_fadvise(self->fd, 0, BYTES, POSIX_FADV_WILLNEED);
	EXPECT_STILL_THERE();
}

TEST_F(migration, leaves_them_to_no_sync)
{
	/* Nothing to write back to, and nothing to become clean by. */
	fsync(self->fd);
	sync_file_range(self->fd, 0, BYTES, SYNC_FILE_RANGE_WAIT_BEFORE |
			SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
	if (self->map)
		msync(self->map, BYTES, MS_SYNC | MS_INVALIDATE);
	EXPECT_STILL_THERE();
}

/* Pages of a group that the kernel is told to empty. */
TEST_F(migration, leaves_them_to_no_reclaim_of_their_cgroup)
{
	struct census *charged;
	struct cgroup *cg;
	int i, err;

	REQUIRE(cgroup_why_not());
	ASSERT_OK(cgroup_create(&cg));
	ASSERT_OK(cgroup_enter(cg, 0));
	/* Anew, now that the group is charged for them. */
	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	ASSERT_OK(populate(self->g, variant->use, &self->map));
	ASSERT_OK(census_take(&charged, self->fd, 0, NR_PAGES));

	for (i = 0; i < 3; i++) {
		/* Something that can be reclaimed, beside them. */
		ASSERT_OK(pressure_allocate(4 << 20));
		err = cgroup_reclaim(cg);
		if (err == -EOPNOTSUPP)
			break;
		EXPECT_OK(err);
		EXPECT_IN_PLACE(charged, 0, NR_PAGES);
		EXPECT_OK(verify(self->g, variant->use, self->map));
		EXPECT_UNTOUCHED(charged, 0, NR_PAGES);
	}
	census_free(charged);
	EXPECT_OK(cgroup_destroy(cg));
	REQUIRE(err == -EOPNOTSUPP ? "this kernel reclaims no cgroup on demand" : NULL);
}

/* A group that may not have what it has: reclaim tries its hardest, and fails. */
TEST_F(migration, leaves_them_to_no_shrinking_limit)
{
	struct census *charged;
	struct cgroup *cg;
	__u64 usage;

	REQUIRE(cgroup_why_not());
	ASSERT_OK(cgroup_create(&cg));
	ASSERT_OK(cgroup_enter(cg, 0));
	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	ASSERT_OK(populate(self->g, variant->use, &self->map));
	ASSERT_OK(census_take(&charged, self->fd, 0, NR_PAGES));
	/* Leave, lest the kernel kill this process to get below the limit. */
	EXPECT_OK(cgroup_leave(cg, 0));
	ASSERT_OK(cgroup_usage(cg, &usage));
	EXPECT_GE(usage, BYTES);

	cgroup_limit(cg, BYTES / 2);
	EXPECT_IN_PLACE(charged, 0, NR_PAGES);
	EXPECT_OK(verify(self->g, variant->use, self->map));
	EXPECT_UNTOUCHED(charged, 0, NR_PAGES);
	census_free(charged);
	EXPECT_OK(cgroup_destroy(cg));
}

/*
 * The kernel tries for as long as nobody stops it: the pages look movable, but are
 * not.  Other pages of the block may go.
 */
TEST_F(migration, leaves_them_to_no_removal_of_their_memory)
{
	int err = hotplug_memory(folio_pfn(census_page(self->before, NR_PAGES / 2)), 200);

	REQUIRE(err == -EOPNOTSUPP ? "this kernel removes no memory" : NULL);
	EXPECT_NE(0, err);
	EXPECT_STILL_THERE();
}

/* A page that is said to go bad soon is replaced by another, if that is possible. */
TEST_F(migration, leaves_them_to_no_retirement)
{
	__u64 pfns[4];
	unsigned int i;
	int retirement;

	REQUIRE(poison_why_not());
	for (i = 0; i < ARRAY_SIZE(pfns); i++) {
		pfns[i] = folio_pfn(census_page(self->before, i * NR_PAGES / ARRAY_SIZE(pfns)));
		retirement = poison_retire(pfns[i]);
		REQUIRE(retirement == -EOPNOTSUPP ? "this kernel replaces no pages" : NULL);
		EXPECT_NE(0, retirement);
	}
	EXPECT_STILL_THERE();
	for (i = 0; i < ARRAY_SIZE(pfns); i++)
		if (poison_is(pfns[i]) == 1)
			poison_undo(pfns[i]);
}

TEST_F(migration, leaves_them_to_no_shortage_of_memory)
{
	unsigned int i, moved;

	REQUIRE(pressure_no_compaction());
	/* Much, but bounded: a host that others use must not starve. */
	for (i = 0; i < 3; i++) {
		ASSERT_OK(pressure_allocate(256ull << 20));
		ASSERT_OK(pressure_compact(&moved));
	}
	EXPECT_STILL_THERE();
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT,
      .seconds = 120, .serial = true)
