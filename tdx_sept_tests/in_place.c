// SPDX-License-Identifier: GPL-2.0-only
/*
 * A conversion in place: the same page of a guest_memfd is shared memory, then private,
 * then shared again, by KVM_SET_MEMORY_ATTRIBUTES2 on the file.
 *
 * To become private a page must be held by the file alone.  Who holds another reference
 * makes the call fail with EAGAIN and the offset of the first page in question, and it
 * succeeds once that is gone.  KVM cannot tell a reference that is there for a moment
 * from one that lasts, so the caller has to try again; a reference that KVM itself took
 * would make it try for ever.
 *
 * Not in Linux 7.3; with configs/kernel/patches/in-place-conversion.patch it has as
 * much of it as is needed here.  Whether a kernel has it is found by an attempt.
 *
 * Claims: C6, C7, B03
 */
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "cpu.h"
#include "gmem.h"
#include "onlooker.h"
#include "pin.h"
#include "suite.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	32ull
#define BYTES		(NR_PAGES * PAGE_BYTES)
#define FIRST		8ull
#define NR		12ull
#define HELD		(FIRST + 5)
#define DATA		0x19ac000000000000ull
#define TIMEOUT_MS	5000

FIXTURE(in_place) {
	struct guest *g;
	int fd;
	char *map;
	struct census *before;
};

FIXTURE_VARIANT(in_place) {
	enum guest_type type;
};

FIXTURE_VARIANT_ADD(in_place, sw_protected) { .type = GUEST_SW_PROTECTED };
FIXTURE_VARIANT_ADD(in_place, tdx) { .type = GUEST_TDX };

FIXTURE_SETUP(in_place)
{
	const __u64 flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
	__u64 i;

	self->fd = -1;
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create_unbound(&self->g, variant->type, 1));
	REQUIRE(gmem_convert_why_not(guest_vm(self->g)));
	self->fd = gmem_create(guest_vm(self->g), NR_PAGES, flags);
	ASSERT_SYS(self->fd);
	ASSERT_OK(gmem_map(self->fd, 0, NR_PAGES, (void **)&self->map));
	for (i = 0; i < NR_PAGES; i++)
		*(volatile __u64 *)(self->map + i * PAGE_BYTES) = DATA + i;
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
}

FIXTURE_TEARDOWN(in_place)
{
	census_free(self->before);
	if (self->map)
		munmap(self->map, BYTES);
	if (self->fd >= 0)
		close(self->fd);
	guest_destroy(self->g);
}

#define EXPECT_PRIVATE(first, nr) do {					\
	EXPECT_HELD(self->fd, first, nr, 0, 0);				\
	EXPECT_ERR(EFAULT, gmem_reach(self->map, first));		\
	EXPECT_ERR(EFAULT, gmem_reach(self->map, (first) + (nr) - 1));		\
} while (0)

TEST_F(in_place, takes_a_page_from_user_space_and_moves_none)
{
	ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, true));
	EXPECT_PRIVATE(FIRST, NR);
	EXPECT_UNTOUCHED(self->before, 0, FIRST);
	EXPECT_UNTOUCHED(self->before, FIRST + NR, NR_PAGES - FIRST - NR);
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);

	/* What it holds then is the VM type's business; where it is, is not. */
	ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, false));
	EXPECT_OK(gmem_reach(self->map, FIRST));
	EXPECT_OK(gmem_reach(self->map, FIRST + NR - 1));
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
}

TEST_F(in_place, of_what_is_so_already_changes_nothing)
{
	ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, false));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, true));
	ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, true));
	EXPECT_PRIVATE(FIRST, NR);
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
}

TEST_F(in_place, of_absent_pages_makes_none)
{
	ASSERT_OK(gmem_punch(self->fd, FIRST, NR));
	ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, true));
	EXPECT_ERR(EFAULT, gmem_reach(self->map, FIRST));
	EXPECT_ABSENT(self->fd, FIRST, NR);
}

TEST_F(in_place, waits_for_who_holds_a_page)
{
	struct pin *pin;
	__u64 page = 0;
	int kind, tried = 0;

	for (kind = 0; kind < PIN_NR_KINDS; kind++) {
		if (pin_why_not(kind))
			continue;
		tried++;
		ASSERT_OK(pin_take(&pin, kind, self->map + HELD * PAGE_BYTES, 2));
		EXPECT_ERR(EAGAIN, gmem_convert_patiently(self->fd, FIRST, NR, true));
		EXPECT_ERR(EAGAIN, gmem_convert(self->fd, FIRST, NR, true, &page));
		EXPECT_EQ(HELD, page);
		/* All or nothing; what it has unmapped to see who is left comes back. */
		EXPECT_OK(gmem_reach(self->map, FIRST));
		EXPECT_OK(gmem_reach(self->map, HELD));
		EXPECT_OK(gmem_reach(self->map, HELD + 1));
		EXPECT_HELD(self->fd, HELD, 2, 1, pin_refs(kind));
		/* The others are free to go. */
		ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, HELD - FIRST, true));
		EXPECT_PRIVATE(FIRST, HELD - FIRST);
		pin_release(pin);
		ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, true));
		EXPECT_PRIVATE(FIRST, NR);
		EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
		ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, false));
	}
	EXPECT_LT(0, tried);
}

/*
 * New pages stand in an LRU batch, which is nobody that would have to be waited for: KVM
 * empties it itself, also that of another CPU.  Tried more than once, since somebody may
 * look at a page just then.
 */
TEST_F(in_place, is_not_put_off_by_a_batch)
{
	unsigned int i, tries;
	int cpus[2], rc;

	/* One CPU has a batch, too. */
	cpu_find_two(cpus);
	for (i = 0; i < 20; i++) {
		ASSERT_OK(gmem_punch(self->fd, FIRST, NR));
		ASSERT_OK(cpu_run_on(cpus[1]));
		ASSERT_OK(gmem_allocate(self->fd, FIRST, NR));
		ASSERT_OK(cpu_run_on(cpus[0]));
		for (tries = 0; tries < 5; tries++) {
			rc = gmem_convert(self->fd, FIRST, NR, true, NULL);
			if (rc != -EAGAIN)
				break;
		}
		ASSERT_OK(rc);
		ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, false));
	}
}

TEST_F(in_place, is_not_put_off_for_ever_by_who_only_looks)
{
	unsigned int kind, round, late;
	struct onlooker *onlooker;
	bool private;
	int rc = 0;

	for (kind = 0; kind < ONLOOKER_NR_KINDS; kind++) {
		if (onlooker_why_not(kind))
			continue;
		ASSERT_OK(onlooker_start(&onlooker, kind, self->fd, self->map, NR_PAGES, true));
		/* It has seen all pages before the first goes. */
		ASSERT_OK(onlooker_wait(onlooker, TIMEOUT_MS));
		for (round = 0, late = 0; round < 100 && !rc; round++) {
			private = !(round & 1);
			rc = gmem_convert(self->fd, 0, NR_PAGES, private, NULL);
			late += rc == -EAGAIN;
			if (rc == -EAGAIN)
				rc = gmem_convert_patiently(self->fd, 0, NR_PAGES, private);
		}
		TH_LOG("%s: late %u times", onlooker_name(kind), late);
		EXPECT_OK(rc);
		rc = onlooker_stop(onlooker, TIMEOUT_MS);
		/* Whether compaction finds anything to move is not the question. */
		if (kind == ONLOOKER_COMPACTION && rc == -ENODATA)
			rc = 0;
		EXPECT_OK(rc);
		EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	}
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_KPAGE, .seconds = 30,
      .serial = true)
