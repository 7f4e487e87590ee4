// SPDX-License-Identifier: GPL-2.0-only
/*
 * Access by another process leaves nothing behind but the data.
 *
 * process_vm_readv(2), ptrace(2) and /proc/PID/mem all take references on the
 * pages for the moment of the copy.  They may bring a page in, and map it, in
 * the process they reach into; and that is all.
 */
#include <sys/mman.h>

#include "gmem.h"
#include "peer.h"
#include "remote.h"
#include "suite.h"

#define NR_PAGES	8
#define PAGE		4096ul
#define BYTES		(NR_PAGES * PAGE)
#define PATTERN		0x5eed000000000000ull
#define TIMEOUT_MS	5000
#define LIFE_MS		600000	/* longer than any case */

FIXTURE(remote_access) {
	struct guest *g;
	int fd;
	struct peer *peer;	/* maps the file; this process does not */
	__u64 addr;		/* where, in the peer */
	struct census *before;
};

FIXTURE_VARIANT(remote_access) {
	enum guest_type type;
	enum remote_kind kind;
};

GUEST_VARIANTS(remote_access, _process_vm, .kind = REMOTE_PROCESS_VM);
GUEST_VARIANTS(remote_access, _ptrace, .kind = REMOTE_PTRACE);
GUEST_VARIANTS(remote_access, _proc_mem, .kind = REMOTE_PROC_MEM);

/* Maps the file, writes to the first half of it, and stays until told to go. */
static int map_it(struct peer *me, void *arg)
{
	__u64 i, word;
	void *map;
	int err;

	err = gmem_map(*(int *)arg, 0, NR_PAGES, &map);
	if (err)
		return err;
	for (i = 0; i < NR_PAGES / 2; i++) {
		word = PATTERN + i;
		memcpy(map + i * PAGE, &word, sizeof(word));
	}
	peer_tell(me, (unsigned long)map);
	err = peer_hear(me, &word, LIFE_MS);
	if (err || !word)
		return err;
	/* Asked for: go on without the mapping. */
	munmap(map, BYTES);
	peer_tell(me, 0);
	return peer_hear(me, NULL, LIFE_MS);
}

FIXTURE_SETUP(remote_access)
{
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create_unbound(&self->g, variant->type, NR_PAGES));
	REQUIRE(guest_mappable(self->g) ? NULL :
		"user space cannot map the guest_memfd of this VM type, so it has no address");
	self->fd = guest_gmem(self->g);
	ASSERT_OK(peer_start(&self->peer, map_it, &self->fd));
	ASSERT_OK(peer_hear(self->peer, &self->addr, TIMEOUT_MS));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	EXPECT_HELD(self->fd, 0, NR_PAGES / 2, 1, 0);
	EXPECT_ABSENT(self->fd, NR_PAGES / 2, NR_PAGES / 2);
}

FIXTURE_TEARDOWN(remote_access)
{
	census_free(self->before);
	peer_kill(self->peer);
	guest_destroy(self->g);
}

#define READ(page, word)						\
	remote_read(variant->kind, peer_pid(self->peer), self->addr + (page) * PAGE, word)
#define WRITE(page, word)						\
	remote_write(variant->kind, peer_pid(self->peer), self->addr + (page) * PAGE, word)

TEST_F(remote_access, reads_and_leaves_no_reference)
{
	__u64 i, word;

	for (i = 0; i < NR_PAGES / 2; i++) {
		ASSERT_OK(READ(i, &word));
		EXPECT_EQ(PATTERN + i, word);
	}
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(remote_access, writes_and_leaves_no_reference)
{
	__u64 i, word;

	for (i = 0; i < NR_PAGES / 2; i++)
		ASSERT_OK(WRITE(i, ~i));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	for (i = 0; i < NR_PAGES / 2; i++) {
		ASSERT_OK(READ(i, &word));
		EXPECT_EQ(~i, word);
	}
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(remote_access, brings_pages_in_for_its_target_only)
{
	__u64 i, word = 1;

	for (i = NR_PAGES / 2; i < NR_PAGES; i++) {
		ASSERT_OK(READ(i, &word));
		EXPECT_EQ(0, word);
	}
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES / 2);
	EXPECT_HELD(self->fd, NR_PAGES / 2, NR_PAGES / 2, 1, 0);
}

TEST_F(remote_access, ends_where_the_mapping_ends)
{
	int want = variant->kind == REMOTE_PROCESS_VM ? EFAULT : EIO;
	__u64 word;

	ASSERT_OK(peer_tell(self->peer, 1));
	ASSERT_OK(peer_hear(self->peer, NULL, TIMEOUT_MS));
	EXPECT_ERR(want, READ(0, &word));
	EXPECT_ERR(want, WRITE(0, word));
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	EXPECT_HELD(self->fd, 0, NR_PAGES / 2, 0, 0);
}

TEST_F(remote_access, reaches_the_new_page_after_a_punch)
{
	__u64 word = 1;

	ASSERT_OK(gmem_punch(self->fd, 0, 2));
	EXPECT_FREED(self->before, 0, 2);
	ASSERT_OK(READ(1, &word));
	EXPECT_EQ(0, word);
	EXPECT_ABSENT(self->fd, 0, 1);
	EXPECT_HELD(self->fd, 1, 1, 1, 0);
	EXPECT_UNTOUCHED(self->before, 2, NR_PAGES - 2);
}

TEST_F(remote_access, repeated_leaves_no_reference)
{
	__u64 i, word;

	for (i = 0; i < 300; i++) {
		ASSERT_OK(WRITE(i % (NR_PAGES / 2), i));
		ASSERT_OK(READ(i % (NR_PAGES / 2), &word));
	}
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 60)
