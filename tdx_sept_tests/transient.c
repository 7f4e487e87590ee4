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
#include <sys/mman.h>

#include "gmem.h"
#include "onlooker.h"
#include "peer.h"
#include "pin.h"
#include "suite.h"

#define NR_PAGES	64
#define PAGE		4096ul
#define BYTES		(NR_PAGES * PAGE)
#define TIMEOUT_MS	5000
#define SLOW_MS		100000	/* to compact all memory of a large host */
#define LOOKS		60	/* checks made beside an onlooker */

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
	unsigned int i, seen = 0;

	/*
	 * One page at a time: a batch of 31 drains itself when it is full.  That may be
	 * just before the check, which then has nothing to wait for.
	 */
	for (i = 0; i < 100 && !settle_longest_ms(); i++) {
		ASSERT_OK(gmem_punch(self->fd, 0, 1));
		if (self->map)
			self->map[0] = 1;
		else
			ASSERT_OK(gmem_allocate(self->fd, 0, 1));
		ASSERT_OK(folio_by_file(self->fd, 0, 1, &rec, NULL));
		if (rec.refs != 1 + self->maps + 1)
			continue;
		seen++;
		EXPECT_HELD(self->fd, 0, 1, self->maps, 0);
	}
	REQUIRE(seen ? NULL : "no page was ever seen in an LRU batch of this kernel");
	/* At least a millisecond, as times are rounded up. */
	EXPECT_GT(settle_longest_ms(), 0);
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

/*
 * Check again and again beside it: all pages have to come out right, though at
 * hardly any moment all of them are.
 */
#define CHECK_BESIDE(kind, want_maps) do {				\
	struct onlooker *onlooker;					\
	unsigned int look;						\
	int rc;								\
									\
	REQUIRE(onlooker_why_not(kind));				\
	ASSERT_OK(onlooker_start(&onlooker, kind, self->fd, self->map, NR_PAGES, false)); \
	/* That may be in its first one for long: check beside it. */	\
	if ((kind) != ONLOOKER_COMPACTION) {				\
		ASSERT_OK(onlooker_wait(onlooker, TIMEOUT_MS));		\
	}								\
	for (look = 0; look < LOOKS ||					\
		       onlooker_wait(onlooker, 0) == -ETIMEDOUT; look++) \
		EXPECT_HELD(self->fd, 0, NR_PAGES, want_maps, 0);	\
	rc = onlooker_stop(onlooker, (kind) == ONLOOKER_COMPACTION ?	\
			   SLOW_MS : TIMEOUT_MS);			\
	EXPECT_HELD(self->fd, 0, NR_PAGES, self->maps, 0);		\
	REQUIRE(rc == -ENODATA && (kind) >= ONLOOKER_MOVE ? "nothing was moved" : NULL); \
	EXPECT_OK(rc);							\
} while (0)

TEST_F(transient, gup_of_another_process_is_no_leak)
{
	REQUIRE_MAPPABLE();
	CHECK_BESIDE(ONLOOKER_REMOTE, 1);
}

/* Through the other process's own page tables. */
TEST_F(transient, fast_gup_is_no_leak)
{
	REQUIRE_MAPPABLE();
	CHECK_BESIDE(ONLOOKER_SPLICE, 2);
}

TEST_F(transient, page_cache_lookups_are_no_leak)
{
	CHECK_BESIDE(ONLOOKER_LOOKUP, self->maps);
}

TEST_F(transient, questions_of_residency_are_no_leak)
{
	CHECK_BESIDE(ONLOOKER_RESIDENCY, self->maps);
}

TEST_F(transient, reads_of_kpage_files_are_no_leak)
{
	CHECK_BESIDE(ONLOOKER_KPAGE, self->maps);
}

TEST_F(transient, isolation_for_a_move_is_no_leak)
{
	REQUIRE_MAPPABLE();
	CHECK_BESIDE(ONLOOKER_MOVE, 1);
}

TEST_F(transient, compaction_is_no_leak)
{
	CHECK_BESIDE(ONLOOKER_COMPACTION, self->maps);
}

TEST_F(transient, reference_that_never_goes_is_a_leak)
{
	struct finding f;
	struct pin *pin;

	REQUIRE_MAPPABLE();
	REQUIRE(pin_why_not(PIN_VMSPLICE));
	setenv("SEPT_SETTLE_MS", "300", 1);
	/* So that nothing but the pin is there to go. */
	ASSERT_OK(settle_drain());
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
	ASSERT_OK(settle_drain());
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
