// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of a guest_memfd come from the NUMA nodes that mbind(2) has said, whoever makes
 * them appear.
 *
 * The policy is the file's, not the mapping's that it was said of: virt/kvm/guest_memfd.c
 * kvm_gmem_set_policy(), kvm_gmem_get_folio(), since 6.19.  A machine with one node has
 * nothing to show; numa=fake=2 on the kernel's command line makes two of it.
 */
#include <numa.h>
#include <numaif.h>
#include <sys/mman.h>

#include "gmem.h"
#include "node.h"
#include "suite.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	64ull
#define BYTES		(NR_PAGES * PAGE_BYTES)

FIXTURE(numa) {
	struct guest *g;
	char *map;
	int node[2];		/* two that have memory */
	unsigned long both;	/* as a mask */
};

FIXTURE_VARIANT(numa) {};
FIXTURE_VARIANT_ADD(numa, default) {};

/* Say it of the first @nr pages from @first on. */
static int say(FIXTURE_DATA(numa) *self, __u64 first, __u64 nr, int mode, unsigned long nodes)
{
	return mbind(self->map + first * PAGE_BYTES, nr * PAGE_BYTES, mode, &nodes,
		     8 * sizeof(nodes), 0) ? -errno : 0;
}

/* Where the pages are; -1 for one that is not there. */
static int where(FIXTURE_DATA(numa) *self, int nodes[NR_PAGES])
{
	void *pages[NR_PAGES];
	unsigned int i;

	for (i = 0; i < NR_PAGES; i++)
		pages[i] = self->map + i * PAGE_BYTES;
	return numa_move_pages(0, NR_PAGES, pages, NULL, nodes, 0) ? -errno : 0;
}

/*
 * Where guest_memfd has no policies mbind(2) is no error, but its word is the mapping's: so
 * ask another mapping what it has heard.
 */
static int ask_for_policies(FIXTURE_DATA(numa) *self, bool *yes)
{
	int rc = say(self, 0, NR_PAGES, MPOL_BIND, 1ul << self->node[0]), mode = MPOL_DEFAULT;
	void *other;

	if (rc)
		return rc;
	rc = gmem_map(guest_gmem(self->g), 0, NR_PAGES, &other);
	if (rc)
		return rc;
	rc = get_mempolicy(&mode, NULL, 0, other, MPOL_F_ADDR) ? -errno : 0;
	munmap(other, BYTES);
	*yes = mode == MPOL_BIND;
	return rc ?: say(self, 0, NR_PAGES, MPOL_DEFAULT, 0);
}

FIXTURE_SETUP(numa)
{
	bool policies = false;
	void *map;

	REQUIRE(need_join(guest_why_not(GUEST_DEFAULT), node_find_two(self->node), NEED_END));
	self->both = 1ul << self->node[0] | 1ul << self->node[1];
	ASSERT_OK(guest_create(&self->g, GUEST_DEFAULT, NR_PAGES));
	ASSERT_OK(gmem_map(guest_gmem(self->g), 0, NR_PAGES, &map));
	self->map = map;
	ASSERT_OK(ask_for_policies(self, &policies));
	REQUIRE(policies ? NULL : "guest_memfd has no NUMA policies, use Linux 6.19 or later");
}

FIXTURE_TEARDOWN(numa)
{
	if (self->map) {
		munmap(self->map, BYTES);
	}
	guest_destroy(self->g);
}

/* By fallocate(), by the guest, and by a touch of the mapping, which also shows them. */
static int populate(FIXTURE_DATA(numa) *self)
{
	const __u64 third = NR_PAGES / 3;
	__u64 i;
	int rc = gmem_allocate(guest_gmem(self->g), 0, third) ?: guest_touch(self->g, third, third, 1);

	for (i = 0; i < NR_PAGES && !rc; i++)
		*(volatile char *)(self->map + i * PAGE_BYTES);
	return rc;
}

/* Each page of a range is on a node. */
static void check(struct __test_metadata *_metadata, FIXTURE_DATA(numa) *self, __u64 first,
		  __u64 nr, int node)
{
	int nodes[NR_PAGES];
	__u64 i;

	ASSERT_OK(where(self, nodes));
	for (i = first; i < first + nr; i++)
		EXPECT_EQ(node, nodes[i]);
}

/* Each node, as either may be where pages come from anyway. */
TEST_F(numa, of_the_file_has_the_pages)
{
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_OK(say(self, 0, NR_PAGES, MPOL_BIND, 1ul << self->node[i]));
		ASSERT_OK(populate(self));
		check(_metadata, self, 0, NR_PAGES, self->node[i]);
		ASSERT_OK(gmem_punch(guest_gmem(self->g), 0, NR_PAGES));
	}
}

TEST_F(numa, may_differ_from_range_to_range)
{
	const __u64 half = NR_PAGES / 2;

	ASSERT_OK(say(self, 0, half, MPOL_BIND, 1ul << self->node[1]));
	ASSERT_OK(say(self, half, half, MPOL_BIND, 1ul << self->node[0]));
	ASSERT_OK(populate(self));
	check(_metadata, self, 0, half, self->node[1]);
	check(_metadata, self, half, half, self->node[0]);
}

TEST_F(numa, takes_its_turn)
{
	int nodes[NR_PAGES], tries;
	__u64 i = 0;

	ASSERT_OK(say(self, 0, NR_PAGES, MPOL_INTERLEAVE, self->both));
	/* The policy says where to look first: a node that is low on memory passes it on. */
	for (tries = 0; tries < 10 && i < NR_PAGES; tries++) {
		ASSERT_OK(gmem_punch(guest_gmem(self->g), 0, NR_PAGES));
		ASSERT_OK(gmem_allocate(guest_gmem(self->g), 0, NR_PAGES));
		ASSERT_OK(populate(self));
		ASSERT_OK(where(self, nodes));
		for (i = 1; i < NR_PAGES; i++)
			if (nodes[i] + nodes[i - 1] != self->node[0] + self->node[1])
				break;
	}
	EXPECT_EQ(NR_PAGES, i);
}

TEST_F(numa, outlives_the_mapping_that_it_was_said_of)
{
	void *map;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_OK(say(self, 0, NR_PAGES, MPOL_BIND, 1ul << self->node[i]));
		ASSERT_SYS(munmap(self->map, BYTES));
		self->map = NULL;
		ASSERT_OK(gmem_allocate(guest_gmem(self->g), 0, NR_PAGES));
		ASSERT_OK(gmem_map(guest_gmem(self->g), 0, NR_PAGES, &map));
		self->map = map;
		ASSERT_OK(populate(self));
		check(_metadata, self, 0, NR_PAGES, self->node[i]);
		ASSERT_OK(gmem_punch(guest_gmem(self->g), 0, NR_PAGES));
	}
}

TEST_F(numa, is_the_tasks_where_nothing_was_said)
{
	unsigned long nodes;
	int i;

	for (i = 0; i < 2; i++) {
		nodes = 1ul << self->node[i];
		ASSERT_SYS(set_mempolicy(MPOL_BIND, &nodes, 8 * sizeof(nodes)));
		ASSERT_OK(populate(self));
		ASSERT_SYS(set_mempolicy(MPOL_DEFAULT, NULL, 0));
		check(_metadata, self, 0, NR_PAGES, self->node[i]);
		ASSERT_OK(gmem_punch(guest_gmem(self->g), 0, NR_PAGES));
	}
}

SUITE(.needs = NEED_KVM | NEED_GMEM)
