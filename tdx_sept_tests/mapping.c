// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every user mapping of a page counts once, as a mapping and as a reference,
 * for as long as it is there, and no longer.
 *
 * Whatever user space does to its mappings, the page stays where it is: a
 * guest_memfd has no other place to keep the data.  Both /proc/kpagecount and
 * the census must tell the same number at every step.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "gmem.h"
#include "peer.h"
#include "suite.h"

#define NR_PAGES	16
#define PAGE		4096ul
#define BYTES		(NR_PAGES * PAGE)
#define TIMEOUT_MS	5000

FIXTURE(mapping) {
	struct guest *g;
	int fd;
	char *map;
};

FIXTURE_VARIANT(mapping) {
	enum guest_type type;
};

GUEST_VARIANTS(mapping,);

/* Pages @first.. are mapped @maps times, and held by nobody else. */
#define EXPECT_MAPPED(first, nr, maps) do {			\
	EXPECT_HELD(self->fd, first, nr, maps, 0);		\
	EXPECT_MAPS_AGREE(self->fd, first, nr);			\
} while (0)

static void touch(volatile char *map, __u64 first, __u64 nr)
{
	__u64 i;

	for (i = first; i < first + nr; i++)
		map[i * PAGE]++;
}

FIXTURE_SETUP(mapping)
{
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create_unbound(&self->g, variant->type, NR_PAGES));
	self->fd = guest_gmem(self->g);
	if (!guest_mappable(self->g))
		return;
	ASSERT_OK(gmem_map(self->fd, 0, NR_PAGES, (void **)&self->map));
	touch(self->map, 0, NR_PAGES);
}

FIXTURE_TEARDOWN(mapping)
{
	if (self->map)
		munmap(self->map, BYTES);
	guest_destroy(self->g);
}

/* For the cases that need user mappings. */
#define REQUIRE_MAPPABLE()						\
	REQUIRE(guest_mappable(self->g) ? NULL :			\
		"user space cannot map the guest_memfd of this VM type")

TEST_F(mapping, counts_from_the_first_touch_on)
{
	void *second;

	REQUIRE_MAPPABLE();
	EXPECT_MAPPED(0, NR_PAGES, 1);

	ASSERT_OK(gmem_map(self->fd, 0, NR_PAGES, &second));
	EXPECT_MAPPED(0, NR_PAGES, 1);

	touch(second, 3, 2);
	EXPECT_MAPPED(0, 3, 1);
	EXPECT_MAPPED(3, 2, 2);
	EXPECT_MAPPED(5, NR_PAGES - 5, 1);

	ASSERT_SYS(munmap(second, BYTES));
	EXPECT_MAPPED(0, NR_PAGES, 1);
}

TEST_F(mapping, counts_up_and_down_with_each_mapping)
{
	void *more[5];
	unsigned int i;

	REQUIRE_MAPPABLE();
	for (i = 0; i < ARRAY_SIZE(more); i++) {
		ASSERT_OK(gmem_map(self->fd, 0, NR_PAGES, &more[i]));
		touch(more[i], 0, NR_PAGES);
		EXPECT_MAPPED(0, NR_PAGES, 2 + i);
	}
	while (i--) {
		ASSERT_SYS(munmap(more[i], BYTES));
		EXPECT_MAPPED(0, NR_PAGES, 1 + i);
	}
	ASSERT_SYS(munmap(self->map, BYTES));
	self->map = NULL;
	EXPECT_MAPPED(0, NR_PAGES, 0);
}

TEST_F(mapping, leaves_the_pages_in_place_when_it_goes)
{
	struct census *before;
	__u64 i;

	REQUIRE_MAPPABLE();
	ASSERT_OK(census_take(&before, self->fd, 0, NR_PAGES));
	memset(self->map, 0x5a, BYTES);
	ASSERT_SYS(munmap(self->map, BYTES));
	self->map = NULL;
	EXPECT_IN_PLACE(before, 0, NR_PAGES);

	ASSERT_OK(gmem_map(self->fd, 0, NR_PAGES, (void **)&self->map));
	/* The same frame might have been freed and taken again: look inside, too. */
	for (i = 0; i < NR_PAGES; i++)
		EXPECT_EQ(0x5a, self->map[i * PAGE + i]);
	touch(self->map, 0, NR_PAGES);
	EXPECT_UNTOUCHED(before, 0, NR_PAGES);
	census_free(before);
}

TEST_F(mapping, of_a_part_goes_alone)
{
	REQUIRE_MAPPABLE();
	ASSERT_SYS(munmap(self->map + 4 * PAGE, 8 * PAGE));
	EXPECT_MAPPED(0, 4, 1);
	EXPECT_MAPPED(4, 8, 0);
	EXPECT_MAPPED(12, 4, 1);
}

TEST_F(mapping, is_replaced_by_another_at_the_same_address)
{
	REQUIRE_MAPPABLE();
	ASSERT_NE(MAP_FAILED, mmap(self->map, BYTES, PROT_READ, MAP_SHARED | MAP_FIXED,
				   self->fd, 0));
	EXPECT_MAPPED(0, NR_PAGES, 0);
	ASSERT_SYS(madvise(self->map, BYTES, MADV_POPULATE_READ));
	EXPECT_MAPPED(0, NR_PAGES, 1);
}

TEST_F(mapping, gone_by_madv_dontneed_keeps_page_and_data)
{
	struct census *before;

	REQUIRE_MAPPABLE();
	memset(self->map, 0x3c, BYTES);
	ASSERT_OK(census_take(&before, self->fd, 0, NR_PAGES));

	ASSERT_SYS(madvise(self->map + 2 * PAGE, 4 * PAGE, MADV_DONTNEED));
	EXPECT_MAPPED(0, 2, 1);
	EXPECT_MAPPED(2, 4, 0);
	EXPECT_MAPPED(6, NR_PAGES - 6, 1);

	EXPECT_EQ(0x3c, self->map[2 * PAGE]);
	touch(self->map, 2, 4);
	EXPECT_UNTOUCHED(before, 0, NR_PAGES);
	census_free(before);
}

TEST_F(mapping, gone_by_madv_remove_takes_the_page_along)
{
	struct census *before;

	REQUIRE_MAPPABLE();
	ASSERT_OK(census_take(&before, self->fd, 0, NR_PAGES));
	ASSERT_SYS(madvise(self->map + 2 * PAGE, 4 * PAGE, MADV_REMOVE));
	EXPECT_FREED(before, 2, 4);
	EXPECT_ABSENT(self->fd, 2, 4);
	EXPECT_UNTOUCHED(before, 0, 2);
	EXPECT_UNTOUCHED(before, 6, NR_PAGES - 6);
	census_free(before);
}

TEST_F(mapping, is_made_by_madv_populate)
{
	REQUIRE_MAPPABLE();
	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));

	ASSERT_SYS(madvise(self->map, 8 * PAGE, MADV_POPULATE_READ));
	EXPECT_MAPPED(0, 8, 1);
	EXPECT_ABSENT(self->fd, 8, 8);

	/* Over pages that are mapped already, and some that are not. */
	ASSERT_SYS(madvise(self->map + 4 * PAGE, 8 * PAGE, MADV_POPULATE_WRITE));
	EXPECT_MAPPED(0, 12, 1);
	EXPECT_ABSENT(self->fd, 12, 4);
}

TEST_F(mapping, by_map_populate_counts_at_once)
{
	void *second;

	REQUIRE_MAPPABLE();
	second = mmap(NULL, BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, self->fd, 0);
	ASSERT_NE(MAP_FAILED, second);
	EXPECT_MAPPED(0, NR_PAGES, 2);
	ASSERT_SYS(munmap(second, BYTES));
	EXPECT_MAPPED(0, NR_PAGES, 1);
}

TEST_F(mapping, moves_with_mremap)
{
	char *moved;

	REQUIRE_MAPPABLE();
	self->map[0] = 0x11;
	/* The new place must differ, so reserve one and move onto it. */
	moved = mmap(NULL, BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, moved);
	ASSERT_EQ(moved, mremap(self->map, BYTES, BYTES,
				MREMAP_MAYMOVE | MREMAP_FIXED, moved));
	self->map = moved;
	EXPECT_MAPPED(0, NR_PAGES, 1);
	EXPECT_EQ(0x11, moved[0]);
	touch(moved, 0, NR_PAGES);
	EXPECT_MAPPED(0, NR_PAGES, 1);
}

TEST_F(mapping, shrinks_with_mremap)
{
	REQUIRE_MAPPABLE();
	ASSERT_EQ(self->map, mremap(self->map, BYTES, 6 * PAGE, 0));
	EXPECT_MAPPED(0, 6, 1);
	EXPECT_MAPPED(6, NR_PAGES - 6, 0);
}

TEST_F(mapping, grows_with_mremap)
{
	char *grown;

	REQUIRE_MAPPABLE();
	ASSERT_SYS(munmap(self->map + 4 * PAGE, BYTES - 4 * PAGE));
	EXPECT_MAPPED(4, NR_PAGES - 4, 0);

	grown = mremap(self->map, 4 * PAGE, BYTES, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, grown);
	self->map = grown;
	EXPECT_MAPPED(0, 4, 1);
	EXPECT_MAPPED(4, NR_PAGES - 4, 0);
	touch(grown, 0, NR_PAGES);
	EXPECT_MAPPED(0, NR_PAGES, 1);
}

TEST_F(mapping, is_doubled_by_mremap_of_nothing)
{
	char *twin;

	REQUIRE_MAPPABLE();
	/* An old size of 0 asks for a second mapping of the same pages. */
	twin = mremap(self->map, 0, BYTES, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, twin);
	EXPECT_MAPPED(0, NR_PAGES, 1);
	touch(twin, 0, NR_PAGES);
	EXPECT_MAPPED(0, NR_PAGES, 2);
	ASSERT_SYS(munmap(twin, BYTES));
	EXPECT_MAPPED(0, NR_PAGES, 1);
}

TEST_F(mapping, stays_through_mprotect)
{
	REQUIRE_MAPPABLE();
	ASSERT_SYS(mprotect(self->map, BYTES, PROT_NONE));
	EXPECT_MAPPED(0, NR_PAGES, 1);
	ASSERT_SYS(mprotect(self->map, BYTES, PROT_READ));
	EXPECT_MAPPED(0, NR_PAGES, 1);
	ASSERT_SYS(mprotect(self->map + PAGE, PAGE, PROT_READ | PROT_WRITE));
	touch(self->map, 1, 1);
	EXPECT_MAPPED(0, NR_PAGES, 1);
}

TEST_F(mapping, is_not_held_by_mlock)
{
	REQUIRE_MAPPABLE();
	ASSERT_SYS(mlock(self->map, BYTES));
	EXPECT_MAPPED(0, NR_PAGES, 1);
	ASSERT_SYS(munlock(self->map, 8 * PAGE));
	EXPECT_MAPPED(0, NR_PAGES, 1);

	/* Nor do locked mappings that just go. */
	ASSERT_SYS(munmap(self->map, BYTES));
	self->map = NULL;
	EXPECT_MAPPED(0, NR_PAGES, 0);
}

TEST_F(mapping, goes_with_a_punch_however_many_there_are)
{
	struct census *before;
	void *more[3];
	unsigned int i;

	REQUIRE_MAPPABLE();
	for (i = 0; i < ARRAY_SIZE(more); i++) {
		ASSERT_OK(gmem_map(self->fd, 0, NR_PAGES, &more[i]));
		touch(more[i], 0, NR_PAGES);
	}
	ASSERT_OK(census_take(&before, self->fd, 0, NR_PAGES));
	ASSERT_OK(gmem_punch(self->fd, 4, 4));
	EXPECT_FREED(before, 4, 4);
	EXPECT_ABSENT(self->fd, 4, 4);
	EXPECT_UNTOUCHED(before, 0, 4);
	EXPECT_UNTOUCHED(before, 8, 8);

	/* All of them see the same new page, and it is empty. */
	touch(self->map, 4, 1);
	EXPECT_MAPPED(4, 1, 1);
	for (i = 0; i < ARRAY_SIZE(more); i++)
		EXPECT_EQ(1, ((char *)more[i])[4 * PAGE]);
	EXPECT_MAPPED(4, 1, 4);
	for (i = 0; i < ARRAY_SIZE(more); i++)
		munmap(more[i], BYTES);
	census_free(before);
}

TEST_F(mapping, cannot_be_private)
{
	int prot = PROT_READ | PROT_WRITE;

	REQUIRE_MAPPABLE();
	/* A copy on write would be memory that no guest ever sees. */
	EXPECT_EQ(MAP_FAILED, mmap(NULL, BYTES, prot, MAP_PRIVATE, self->fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_MAPPED(0, NR_PAGES, 1);
}

static int touch_beyond_the_end(struct peer *me __attribute__((unused)), void *arg)
{
	/* No limit on its size keeps a core from a program of the host's. */
	prctl(PR_SET_DUMPABLE, 0);
	signal(SIGBUS, SIG_DFL);
	touch(*(char **)arg, NR_PAGES, 1);
	return 0;
}

TEST_F(mapping, beyond_the_end_of_the_file_makes_no_page)
{
	struct peer *peer;
	char *wide;

	REQUIRE_MAPPABLE();
	wide = mmap(NULL, 2 * BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, wide);
	ASSERT_OK(peer_start(&peer, touch_beyond_the_end, &wide));
	/* SIGBUS */
	EXPECT_ERR(EINTR, peer_join(peer, TIMEOUT_MS));
	EXPECT_ABSENT(self->fd, NR_PAGES, NR_PAGES);
	EXPECT_MAPPED(0, NR_PAGES, 1);
	munmap(wide, 2 * BYTES);
}

/* In steps, each on a word from the other side, answered when done. */
static int forked(struct peer *me, void *arg)
{
	char *map = *(char **)arg;
	int err = 0;

	peer_tell(me, 0);
	err = peer_hear(me, NULL, TIMEOUT_MS);
	touch(map, 0, NR_PAGES);
	peer_tell(me, 1);
	if (!err)
		err = peer_hear(me, NULL, TIMEOUT_MS);
	munmap(map, 8 * PAGE);
	peer_tell(me, 2);
	return err ?: peer_hear(me, NULL, TIMEOUT_MS);
}

TEST_F(mapping, is_not_copied_by_fork_but_made_by_the_childs_touch)
{
	struct peer *child;

	REQUIRE_MAPPABLE();
	/*
	 * Shared file mappings have nothing that a fault could not bring back,
	 * so fork() leaves their page tables out (vma_needs_copy(), mm/memory.c).
	 */
	ASSERT_OK(peer_start(&child, forked, &self->map));
	ASSERT_OK(peer_hear(child, NULL, TIMEOUT_MS));
	EXPECT_MAPPED(0, NR_PAGES, 1);

	ASSERT_OK(peer_tell(child, 0));
	ASSERT_OK(peer_hear(child, NULL, TIMEOUT_MS));
	EXPECT_MAPPED(0, NR_PAGES, 2);

	ASSERT_OK(peer_tell(child, 0));
	ASSERT_OK(peer_hear(child, NULL, TIMEOUT_MS));
	EXPECT_MAPPED(0, 8, 1);
	EXPECT_MAPPED(8, 8, 2);

	ASSERT_OK(peer_tell(child, 0));
	EXPECT_OK(peer_join(child, TIMEOUT_MS));
	EXPECT_MAPPED(0, NR_PAGES, 1);
}

/* Maps what it is sent, and stays until told to go. */
static int stranger(struct peer *me, void *arg __attribute__((unused)))
{
	int fd = peer_recv_fd(me, TIMEOUT_MS);
	void *map;
	int err;

	if (fd < 0)
		return fd;
	err = gmem_map(fd, 0, NR_PAGES, &map);
	close(fd);
	if (err)
		return err;
	touch(map, 0, NR_PAGES);
	peer_tell(me, 0);
	return peer_hear(me, NULL, TIMEOUT_MS);
}

TEST_F(mapping, of_another_process_counts_until_it_ends)
{
	struct peer *peer;

	REQUIRE_MAPPABLE();
	ASSERT_OK(peer_start(&peer, stranger, NULL));
	ASSERT_OK(peer_send_fd(peer, self->fd));
	ASSERT_OK(peer_hear(peer, NULL, TIMEOUT_MS));
	EXPECT_MAPPED(0, NR_PAGES, 2);

	ASSERT_SYS(munmap(self->map, BYTES));
	self->map = NULL;
	EXPECT_MAPPED(0, NR_PAGES, 1);

	ASSERT_OK(peer_tell(peer, 0));
	EXPECT_OK(peer_join(peer, TIMEOUT_MS));
	EXPECT_MAPPED(0, NR_PAGES, 0);
}

TEST_F(mapping, of_a_killed_process_goes)
{
	struct peer *peer;

	REQUIRE_MAPPABLE();
	ASSERT_OK(peer_start(&peer, stranger, NULL));
	ASSERT_OK(peer_send_fd(peer, self->fd));
	ASSERT_OK(peer_hear(peer, NULL, TIMEOUT_MS));
	EXPECT_MAPPED(0, NR_PAGES, 2);
	peer_kill(peer);
	EXPECT_MAPPED(0, NR_PAGES, 1);
}

TEST_F(mapping, keeps_the_pages_of_a_closed_file)
{
	struct census *before;

	REQUIRE_MAPPABLE();
	ASSERT_OK(census_take(&before, self->fd, 0, NR_PAGES));
	ASSERT_OK(guest_close_gmem(self->g));
	guest_close_vm(self->g);
	/* Only the mapping holds the file now. */
	EXPECT_EQ(1, self->map[0]);
	EXPECT_EQ(1, self->map[BYTES - PAGE]);

	ASSERT_SYS(munmap(self->map, BYTES));
	self->map = NULL;
	EXPECT_FREED(before, 0, NR_PAGES);
	census_free(before);
}

TEST_F(mapping, is_refused_where_memory_is_private)
{
	void *map;

	REQUIRE(guest_mappable(self->g) ? "the guest_memfd of this VM type can be mapped" : NULL);
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	EXPECT_ERR(ENODEV, gmem_map(self->fd, 0, NR_PAGES, &map));
	EXPECT_MAPPED(0, NR_PAGES, 0);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_KPAGE)
