// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transient references settle and are no leak; a leak does not settle and is not
 * called transient.
 *
 * The kernel takes references on a page for a moment all the time: an LRU batch
 * after it was added, GUP, page-cache lookups, /proc/kpage*, compaction.  A check
 * must wait for those, and say how long it did; and it must not wait away a
 * reference that somebody keeps.
 */
#include <fcntl.h>
#include <numaif.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "folio_proc.h"
#include "gmem.h"
#include "node.h"
#include "peer.h"
#include "pin.h"
#include "pressure.h"
#include "suite.h"

#define NR_PAGES	64
#define PAGE		4096ul
#define BYTES		(NR_PAGES * PAGE)
#define TIMEOUT_MS	5000
#define SLOW_MS		100000	/* to compact all memory of a large host */
#define LOOKS		60	/* checks made beside a hammering peer */

FIXTURE(transient) {
	struct guest *g;
	int fd;
	char *map;		/* NULL if the VM type allows none */
	__u64 maps;		/* user mappings that each page has */
};

FIXTURE_VARIANT(transient) {
	enum guest_type type;
};

GUEST_VARIANTS(transient,);

FIXTURE_SETUP(transient)
{
	struct folio_record rec;
	__u64 i;

	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create_unbound(&self->g, variant->type, NR_PAGES));
	self->fd = guest_gmem(self->g);
	/* The probe drains the batches while it calibrates itself; not later. */
	ASSERT_OK(folio_by_file(self->fd, 0, 1, &rec, NULL));
	if (!guest_mappable(self->g)) {
		ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
		return;
	}
	self->maps = 1;
	ASSERT_OK(gmem_map(self->fd, 0, NR_PAGES, (void **)&self->map));
	for (i = 0; i < NR_PAGES; i++)
		self->map[i * PAGE] = 1;
}

FIXTURE_TEARDOWN(transient)
{
	if (self->map)
		munmap(self->map, BYTES);
	guest_destroy(self->g);
}

#define REQUIRE_MAPPABLE()						\
	REQUIRE(self->map ? NULL :					\
		"user space cannot map the guest_memfd of this VM type")

TEST_F(transient, batch_references_of_new_pages_settle_and_the_wait_is_recorded)
{
	struct folio_record rec = {};
	const unsigned int was = settle_longest_ms();
	unsigned int i, seen = 0;

	/* One page at a time: a batch of 31 drains itself when it is full. */
	for (i = 0; i < 100 && !seen; i++) {
		ASSERT_OK(gmem_punch(self->fd, 0, 1));
		if (self->map)
			self->map[0] = 1;
		else
			ASSERT_OK(gmem_allocate(self->fd, 0, 1));
		ASSERT_OK(folio_by_file(self->fd, 0, 1, &rec, NULL));
		seen = rec.refs == 1 + self->maps + 1;
	}
	REQUIRE(seen ? NULL : "no page was ever seen in an LRU batch of this kernel");
	EXPECT_HELD(self->fd, 0, 1, self->maps, 0);
	/* At least a millisecond, as times are rounded up. */
	EXPECT_GT(settle_longest_ms(), 0);
	EXPECT_GE(settle_longest_ms(), was);
	EXPECT_LT(settle_longest_ms(), 2000);
}

TEST_F(transient, batch_references_do_not_stand_in_a_census)
{
	struct census *c;
	__u64 i, round;

	for (round = 0; round < 20; round++) {
		ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
		ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
		ASSERT_OK(census_take(&c, self->fd, 0, NR_PAGES));
		for (i = 0; i < NR_PAGES; i++)
			EXPECT_EQ(1, census_page(c, i)->refs);
		census_free(c);
	}
}

TEST_F(transient, batch_references_of_mlock_and_madvise_settle)
{
	unsigned int i;

	REQUIRE_MAPPABLE();
	for (i = 0; i < 20; i++) {
		ASSERT_SYS(mlock(self->map, BYTES));
		ASSERT_SYS(madvise(self->map, BYTES, MADV_WILLNEED));
		ASSERT_SYS(munlock(self->map, BYTES));
		ASSERT_SYS(madvise(self->map, BYTES, MADV_COLD));
		EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
	}
}

TEST_F(transient, batch_references_of_punched_pages_settle)
{
	struct census *before;
	unsigned int i;

	for (i = 0; i < 20; i++) {
		ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
		ASSERT_OK(census_take(&before, self->fd, 0, NR_PAGES));
		ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
		EXPECT_FREED(before, 0, NR_PAGES);
		census_free(before);
		/* Also those that were never drained before they were punched. */
		ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
		ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
		EXPECT_ABSENT(self->fd, 0, NR_PAGES);
	}
}

/* What a peer does to the pages, over and over, while checks are made. */
struct hammer {
	int (*blow)(struct hammer *h);
	bool slow;		/* look beside the first one, however long it takes */
	int fd;
	char *map;
	pid_t target;
	int pipe[2], nodes[2];
	struct census *pages;
};

static int swing(struct peer *me, void *arg)
{
	struct hammer *h = arg;
	bool told = false;
	int err;

	if (h->slow)
		peer_tell(me, 0);
	do {
		err = h->blow(h);
		if (err)
			return err;
		if (!told)
			peer_tell(me, 0);
		told = true;
		err = peer_hear(me, NULL, 0);
	} while (err == -ETIMEDOUT);
	return err;
}

/*
 * Check again and again beside it: all pages have to come out right, though at
 * hardly any moment all of them are.
 */
#define CHECK_BESIDE(hammer, want_maps) do {				\
	struct peer *peer;						\
	unsigned int look;						\
	int rc;								\
									\
	(hammer).fd = self->fd;						\
	(hammer).map = self->map;					\
	(hammer).target = getpid();					\
	ASSERT_OK(peer_start(&peer, swing, &(hammer)));			\
	ASSERT_OK(peer_hear(peer, NULL, TIMEOUT_MS));			\
	for (look = 0; look < LOOKS || ((hammer).slow &&		\
		       peer_hear(peer, NULL, 0) == -ETIMEDOUT); look++)	\
		EXPECT_HELD(self->fd, 0, NR_PAGES, want_maps, 0);	\
	peer_tell(peer, 0);						\
	rc = peer_join(peer, (hammer).slow ? SLOW_MS : TIMEOUT_MS);	\
	EXPECT_HELD(self->fd, 0, NR_PAGES, self->maps, 0);		\
	REQUIRE(rc == -ENODATA ? "nothing was moved" : NULL);		\
	EXPECT_OK(rc);							\
} while (0)

static int read_remotely(struct hammer *h)
{
	static char copy[BYTES];
	struct iovec here = { copy, BYTES }, there = { h->map, BYTES };

	return process_vm_readv(h->target, &here, 1, &there, 1, 0) == BYTES ? 0 : -errno;
}

TEST_F(transient, gup_of_another_process_is_no_leak)
{
	struct hammer h = { .blow = read_remotely };

	REQUIRE_MAPPABLE();
	CHECK_BESIDE(h, 1);
}

/* Through the peer's own page tables, hence by GUP-fast. */
static int splice_and_drain(struct hammer *h)
{
	static char copy[BYTES];
	struct iovec iov = { h->map, 16 * PAGE };
	unsigned int i;

	if (!h->pipe[1] && pipe(h->pipe))
		return -errno;
	for (i = 0; i < NR_PAGES / 16; i++, iov.iov_base += 16 * PAGE) {
		if (vmsplice(h->pipe[1], &iov, 1, 0) != 16 * (ssize_t)PAGE ||
		    read(h->pipe[0], copy, 16 * PAGE) != 16 * (ssize_t)PAGE)
			return -EIO;
	}
	return 0;
}

TEST_F(transient, fast_gup_is_no_leak)
{
	struct hammer h = { .blow = splice_and_drain };

	REQUIRE_MAPPABLE();
	CHECK_BESIDE(h, 2);
}

/* To allocate what is there is a lookup under the folio's lock and reference. */
static int look_up(struct hammer *h)
{
	return gmem_allocate(h->fd, 0, NR_PAGES);
}

TEST_F(transient, page_cache_lookups_are_no_leak)
{
	struct hammer h = { .blow = look_up };

	CHECK_BESIDE(h, self->maps);
}

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

static int ask_residency(struct hammer *h)
{
	struct { __u64 off, len; } range = { 0, BYTES };
	unsigned char resident[NR_PAGES];
	__u64 stat[5];

	if (h->map && mincore(h->map, BYTES, resident))
		return -errno;
	/* Older kernels do not have it; mincore() does as well. */
	if (syscall(SYS_cachestat, h->fd, &range, stat, 0) && errno != ENOSYS &&
	    errno != EOPNOTSUPP)
		return -errno;
	return 0;
}

TEST_F(transient, questions_of_residency_are_no_leak)
{
	struct hammer h = { .blow = ask_residency };

	CHECK_BESIDE(h, self->maps);
}

static int read_kpage(struct hammer *h)
{
	__u64 i, pfn, out;
	int err = 0;

	for (i = 0; i < NR_PAGES && !err; i++) {
		pfn = folio_pfn(census_page(h->pages, i));
		err = folio_proc_maps(pfn, &out);
		if (!err)
			err = folio_proc_flags(pfn, &out);
	}
	return err;
}

TEST_F(transient, reads_of_kpage_files_are_no_leak)
{
	struct hammer h = { .blow = read_kpage };

	ASSERT_OK(census_take(&h.pages, self->fd, 0, NR_PAGES));
	CHECK_BESIDE(h, self->maps);
	census_free(h.pages);
}

/* To one of the nodes, as they are on the other: isolated, refused and put back. */
static int isolate(struct hammer *h)
{
	int status[NR_PAGES], to[NR_PAGES], i, node;
	void *pages[NR_PAGES];
	long left, tried = 0;

	for (i = 0; i < NR_PAGES; i++)
		pages[i] = h->map + i * PAGE;
	for (node = 0; node < 2; node++) {
		for (i = 0; i < NR_PAGES; i++)
			to[i] = h->nodes[node];
		left = move_pages(h->target, NR_PAGES, pages, to, status, MPOL_MF_MOVE_ALL);
		if (left < 0)
			return -errno;
		tried += left;
	}
	return tried ? 0 : -ENODATA;
}

TEST_F(transient, isolation_for_a_move_is_no_leak)
{
	struct hammer h = { .blow = isolate };

	REQUIRE_MAPPABLE();
	REQUIRE(node_find_two(h.nodes));
	CHECK_BESIDE(h, 1);
}

static int compact(struct hammer *h __attribute__((unused)))
{
	unsigned int moved;

	return pressure_compact(&moved) ?: moved ? 0 : -ENODATA;
}

TEST_F(transient, compaction_is_no_leak)
{
	struct hammer h = { .blow = compact, .slow = true };

	CHECK_BESIDE(h, self->maps);
}

TEST_F(transient, reference_that_never_goes_is_a_leak)
{
	struct finding f;
	struct pin *pin;

	REQUIRE_MAPPABLE();
	REQUIRE(pin_why_not(PIN_VMSPLICE));
	setenv("SEPT_SETTLE_MS", "300", 1);
	ASSERT_OK(pin_take(&pin, PIN_VMSPLICE, self->map + 5 * PAGE, 3));
	ASSERT_EQ(1, census_check_held(self->fd, 0, NR_PAGES, 1, 0, &f));
	EXPECT_EQ(3, f.nr_bad);
	EXPECT_EQ(5, f.pages[0].index);
	EXPECT_EQ(3, f.pages[0].refs);
	EXPECT_EQ(2, f.pages[0].want_refs);
	EXPECT_GE(f.waited_ms, 300);
	EXPECT_EQ(0, f.pages[0].moved);
	EXPECT_EQ(0, f.pages[2].moved);
	EXPECT_NE(NULL, strstr(f.pages[0].holder, "1 plain reference"));
	pin_release(pin);
	EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
}

TEST_F(transient, pin_that_never_goes_is_a_leak_and_named)
{
	struct finding f;
	struct pin *pin;

	REQUIRE_MAPPABLE();
	REQUIRE(pin_why_not(PIN_IO_URING));
	setenv("SEPT_SETTLE_MS", "100", 1);
	ASSERT_OK(pin_take(&pin, PIN_IO_URING, self->map + 9 * PAGE, 1));
	ASSERT_EQ(1, census_check_held(self->fd, 0, NR_PAGES, 1, 0, &f));
	EXPECT_EQ(1, f.nr_bad);
	EXPECT_EQ(9, f.pages[0].index);
	EXPECT_NE(NULL, strstr(f.pages[0].holder, "1024"));
	EXPECT_GE(f.waited_ms, 100);
	EXPECT_EQ(0, f.pages[0].moved);
	pin_release(pin);
	EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
}

/* One reference for good, and another that comes and goes. */
static int come_and_go(struct peer *me, void *arg)
{
	struct pin *always, *sometimes;
	int err;

	err = pin_take(&always, PIN_VMSPLICE, arg, 1);
	peer_tell(me, 0);
	while (!err) {
		err = pin_take(&sometimes, PIN_VMSPLICE, arg, 1);
		if (!err)
			err = peer_hear(me, NULL, 30);
		pin_release(sometimes);
		if (err == -ETIMEDOUT)
			err = peer_hear(me, NULL, 30);
		if (err != -ETIMEDOUT)
			return err;
		err = 0;
	}
	return err;
}

TEST_F(transient, leak_beside_a_busy_holder_is_told_apart)
{
	struct finding f;
	struct peer *peer;

	REQUIRE_MAPPABLE();
	REQUIRE(pin_why_not(PIN_VMSPLICE));
	setenv("SEPT_SETTLE_MS", "700", 1);
	ASSERT_OK(peer_start(&peer, come_and_go, self->map + 7 * PAGE));
	ASSERT_OK(peer_hear(peer, NULL, TIMEOUT_MS));
	/* The peer's GUP has mapped the page there, too. */
	ASSERT_EQ(1, census_check_held(self->fd, 7, 1, 2, 0, &f));
	EXPECT_EQ(1, f.nr_bad);
	EXPECT_EQ(1, f.pages[0].moved);
	EXPECT_GE(f.pages[0].refs, 1 + 2 + 1);
	EXPECT_LE(f.pages[0].refs, 1 + 2 + 2);
	EXPECT_GE(f.waited_ms, 700);
	EXPECT_OK(peer_tell(peer, 0));
	EXPECT_OK(peer_join(peer, TIMEOUT_MS));
	EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
}

struct late {
	char *addr;
	unsigned int ms;
};

/* Holds a reference, for a time that begins with the other side's word. */
static int let_go_late(struct peer *me, void *arg)
{
	struct late *late = arg;
	struct pin *pin;
	int err;

	err = pin_take(&pin, PIN_VMSPLICE, late->addr, 1);
	if (err)
		return err;
	peer_tell(me, 0);
	err = peer_hear(me, NULL, TIMEOUT_MS);
	if (!err)
		err = peer_hear(me, NULL, late->ms);
	pin_release(pin);
	return err == -ETIMEDOUT ? peer_hear(me, NULL, TIMEOUT_MS) : err;
}

TEST_F(transient, reference_that_goes_in_time_is_no_leak)
{
	struct late late = { self->map, 500 };
	struct peer *peer;

	REQUIRE_MAPPABLE();
	REQUIRE(pin_why_not(PIN_VMSPLICE));
	ASSERT_OK(peer_start(&peer, let_go_late, &late));
	ASSERT_OK(peer_hear(peer, NULL, TIMEOUT_MS));
	EXPECT_HELD(self->fd, 0, 1, 2, 1);
	ASSERT_OK(peer_tell(peer, 0));
	EXPECT_HELD(self->fd, 0, 1, 2, 0);
	/* Some of the time may be over before the check begins. */
	EXPECT_GE(settle_longest_ms(), 20);
	ASSERT_OK(peer_tell(peer, 0));
	EXPECT_OK(peer_join(peer, TIMEOUT_MS));
	EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_KPAGE,
      .seconds = 120, .serial = true)
