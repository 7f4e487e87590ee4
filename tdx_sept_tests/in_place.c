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
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "cpu.h"
#include "folio_proc.h"
#include "gmem.h"
#include "peer.h"
#include "pin.h"
#include "pressure.h"
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

/*
 * References for a moment, on all pages, over and over
 */

struct onlooker {
	int fd;
	char *map;
	const struct census *pages;
	int pipe[2];
};

static int ask_residency(struct onlooker *o)
{
	unsigned char resident[NR_PAGES];

	return RC(mincore(o->map, BYTES, resident));
}

/* To allocate what is there is a lookup, which holds the folio meanwhile. */
static int look_up(struct onlooker *o)
{
	return gmem_allocate(o->fd, 0, NR_PAGES);
}

static int read_kpage(struct onlooker *o)
{
	__u64 i, flags;
	int rc = 0;

	for (i = 0; i < NR_PAGES && !rc; i++)
		rc = folio_proc_flags(folio_pfn(census_page(o->pages, i)), &flags);
	return rc;
}

/* GUP-fast, of a page that is shared just then. */
static int splice_and_drain(struct onlooker *o)
{
	static char copy[PAGE_BYTES];
	struct iovec iov = { o->map, PAGE_BYTES };
	unsigned int i;

	for (i = 0; i < NR_PAGES; i++, iov.iov_base += PAGE_BYTES) {
		if (vmsplice(o->pipe[1], &iov, 1, 0) == PAGE_BYTES) {
			if (read(o->pipe[0], copy, PAGE_BYTES) != PAGE_BYTES)
				return -EIO;
		} else if (errno != EFAULT) {
			return -errno;
		}
	}
	return 0;
}

/* And that of another process. */
static int read_remotely(struct onlooker *o)
{
	static char copy[BYTES];
	struct iovec here = { copy, BYTES }, there = { o->map, BYTES };

	return process_vm_readv(getppid(), &here, 1, &there, 1, 0) < 0 && errno != EFAULT ?
	       -errno : 0;
}

static int compact(struct onlooker *o __maybe_unused)
{
	unsigned int moved;

	return pressure_compact(&moved);
}

static const struct {
	const char *name;
	int (*look)(struct onlooker *o);
} onlookers[] = {
	{ "mincore()", ask_residency }, { "a lookup", look_up }, { "/proc/kpageflags", read_kpage },
	{ "vmsplice()", splice_and_drain }, { "process_vm_readv()", read_remotely },
	{ "compaction", compact },
};

struct order_to_look {
	struct onlooker o;
	int (*look)(struct onlooker *o);
};

static int look_on(struct peer *me, void *arg)
{
	struct order_to_look *to = arg;
	bool told = false;
	int rc;

	if (pipe(to->o.pipe))
		return -errno;
	do {
		rc = to->look(&to->o);
		if (rc)
			return rc;
		if (!told)
			peer_tell(me, 0);
		told = true;
		rc = peer_hear(me, NULL, 0);
	} while (rc == -ETIMEDOUT);
	return rc;
}

TEST_F(in_place, is_not_put_off_for_ever_by_who_only_looks)
{
	struct order_to_look to = { .o = { .fd = self->fd, .map = self->map, .pages = self->before } };
	unsigned int kind, round, late;
	struct peer *peer;
	bool private;
	int rc = 0;

	for (kind = 0; kind < ARRAY_SIZE(onlookers); kind++) {
		to.look = onlookers[kind].look;
		ASSERT_OK(peer_start(&peer, look_on, &to));
		ASSERT_OK(peer_hear(peer, NULL, TIMEOUT_MS));
		for (round = 0, late = 0; round < 100 && !rc; round++) {
			private = !(round & 1);
			rc = gmem_convert(self->fd, 0, NR_PAGES, private, NULL);
			late += rc == -EAGAIN;
			if (rc == -EAGAIN)
				rc = gmem_convert_patiently(self->fd, 0, NR_PAGES, private);
		}
		TH_LOG("%s: late %u times", onlookers[kind].name, late);
		EXPECT_OK(rc);
		ASSERT_OK(peer_tell(peer, 0));
		EXPECT_OK(peer_join(peer, TIMEOUT_MS));
		EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	}
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_KPAGE, .seconds = 30,
      .serial = true)
