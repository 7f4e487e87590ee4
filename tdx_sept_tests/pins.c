// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pin holds exactly the pages it was taken on, by exactly its references, for
 * exactly as long as its holder lives; and a punch under it leaves an orphan.
 *
 * What is pinned cannot be freed: the hole is made at once, the file gets a new
 * page when it is touched next, and the old one belongs to the holder of the pin
 * alone.  Anything else would let a device write into memory that is somebody
 * else's by now, a TD's for example.
 *
 * Claims: C4
 */
#include <sys/mman.h>

#include "gmem.h"
#include "peer.h"
#include "pin.h"
#include "suite.h"

#define NR_PAGES	32
#define PAGE		4096ul
#define BYTES		(NR_PAGES * PAGE)
#define FIRST		8	/* what is pinned: neighbours on both sides */
#define NR		12
#define BEHIND		(FIRST + NR)
#define PATTERN		0x5eed000000000000ull
#define TIMEOUT_MS	5000

FIXTURE(pins) {
	struct guest *g;
	int fd;
	char *map;
	__u64 refs;		/* one pin's, on each page */
	struct census *before;
};

FIXTURE_VARIANT(pins) {
	enum guest_type type;
	enum pin_kind kind;
};

GUEST_VARIANTS(pins, _io_uring, .kind = PIN_IO_URING);
GUEST_VARIANTS(pins, _vmsplice, .kind = PIN_VMSPLICE);
GUEST_VARIANTS(pins, _o_direct, .kind = PIN_O_DIRECT);
GUEST_VARIANTS(pins, _process_vm, .kind = PIN_PROCESS_VM);

static __u64 *word(char *map, __u64 page)
{
	return (__u64 *)(map + page * PAGE);
}

FIXTURE_SETUP(pins)
{
	__u64 i;

	REQUIRE(need_join(guest_why_not(variant->type), pin_why_not(variant->kind), NEED_END));
	ASSERT_OK(guest_create_unbound(&self->g, variant->type, NR_PAGES));
	REQUIRE(guest_mappable(self->g) ? NULL :
		"user space cannot map the guest_memfd of this VM type, so there is nothing to pin");
	self->fd = guest_gmem(self->g);
	self->refs = pin_refs(variant->kind);
	ASSERT_OK(gmem_map(self->fd, 0, NR_PAGES, (void **)&self->map));
	for (i = 0; i < NR_PAGES; i++)
		*word(self->map, i) = PATTERN + i;
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
}

FIXTURE_TEARDOWN(pins)
{
	census_free(self->before);
	if (self->map)
		munmap(self->map, BYTES);
	guest_destroy(self->g);
}

#define TAKE(pin)	ASSERT_OK(pin_take(&(pin), variant->kind, \
					   self->map + FIRST * PAGE, NR))

/* Only the pinned pages are held, by @extra references each. */
#define EXPECT_PINNED(maps, extra) do {					\
	EXPECT_HELD(self->fd, 0, FIRST, maps, 0);			\
	EXPECT_HELD(self->fd, FIRST, NR, maps, extra);			\
	EXPECT_HELD(self->fd, BEHIND, NR_PAGES - BEHIND, maps, 0);	\
} while (0)

TEST_F(pins, hold_their_pages_and_no_neighbour)
{
	struct pin *pin;

	TAKE(pin);
	EXPECT_PINNED(1, self->refs);
	EXPECT_MAPS_AGREE(self->fd, 0, NR_PAGES);
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	pin_release(pin);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(pins, add_up)
{
	struct pin *one, *two, *other = NULL;
	enum pin_kind kind = (variant->kind + 1) % PIN_NR_KINDS;

	TAKE(one);
	TAKE(two);
	EXPECT_PINNED(1, 2 * self->refs);
	if (!pin_why_not(kind)) {
		ASSERT_OK(pin_take(&other, kind, self->map + FIRST * PAGE, NR));
		EXPECT_PINNED(1, 2 * self->refs + pin_refs(kind));
	}
	pin_release(one);
	pin_release(other);
	EXPECT_PINNED(1, self->refs);
	pin_release(two);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(pins, overlap)
{
	struct pin *one, *two;

	TAKE(one);
	ASSERT_OK(pin_take(&two, variant->kind, self->map + (BEHIND - 4) * PAGE, 8));
	EXPECT_HELD(self->fd, FIRST, NR - 4, 1, self->refs);
	EXPECT_HELD(self->fd, BEHIND - 4, 4, 1, 2 * self->refs);
	EXPECT_HELD(self->fd, BEHIND, 4, 1, self->refs);
	pin_release(one);
	EXPECT_HELD(self->fd, FIRST, NR - 4, 1, 0);
	EXPECT_HELD(self->fd, BEHIND - 4, 8, 1, self->refs);
	pin_release(two);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(pins, outlive_the_mapping)
{
	struct pin *pin;

	TAKE(pin);
	ASSERT_SYS(munmap(self->map, BYTES));
	self->map = NULL;
	EXPECT_PINNED(0, self->refs);
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	pin_release(pin);
	EXPECT_HELD(self->fd, 0, NR_PAGES, 0, 0);
}

TEST_F(pins, make_orphans_of_punched_pages)
{
	const struct folio_record *was, *now;
	struct census *after;
	struct pin *pin;
	__u64 i;

	TAKE(pin);
	ASSERT_OK(gmem_punch(self->fd, FIRST, NR));
	EXPECT_ABSENT(self->fd, FIRST, NR);
	EXPECT_ORPHANED(self->before, FIRST, NR, self->refs);
	EXPECT_UNTOUCHED(self->before, 0, FIRST);
	EXPECT_UNTOUCHED(self->before, BEHIND, NR_PAGES - BEHIND);

	/* A new page, and an empty one; the old frame is still taken. */
	for (i = FIRST; i < BEHIND; i++)
		EXPECT_EQ(0, *word(self->map, i));
	EXPECT_HELD(self->fd, FIRST, NR, 1, 0);
	ASSERT_OK(census_take(&after, self->fd, 0, NR_PAGES));
	for (i = FIRST; i < BEHIND; i++) {
		was = census_page(self->before, i);
		now = census_page(after, i);
		EXPECT_NE(folio_pfn(was), folio_pfn(now));
	}
	EXPECT_ORPHANED(self->before, FIRST, NR, self->refs);

	pin_release(pin);
	EXPECT_FREED(self->before, FIRST, NR);
	EXPECT_UNTOUCHED(after, 0, NR_PAGES);
	census_free(after);
}

/* The guest loses them, and gets new ones; the holder of the pin keeps its own. */
TEST_F(pins, make_orphans_of_pages_that_a_guest_has)
{
	struct census *before;
	struct guest *g;
	struct pin *pin;
	char *map;

	ASSERT_OK(guest_create(&g, variant->type, NR_PAGES));
	map = guest_shared(g, 0);
	ASSERT_NE(NULL, map);
	ASSERT_OK(guest_touch(g, 0, NR_PAGES, PATTERN));
	ASSERT_OK(pin_take(&pin, variant->kind, map + FIRST * PAGE, NR));
	ASSERT_OK(census_take(&before, guest_gmem(g), 0, NR_PAGES));
	ASSERT_OK(gmem_punch(guest_gmem(g), FIRST, NR));
	EXPECT_ORPHANED(before, FIRST, NR, self->refs);
	EXPECT_OK(guest_verify_zero(g, FIRST, NR));
	EXPECT_OK(guest_touch(g, FIRST, NR, PATTERN));
	EXPECT_ORPHANED(before, FIRST, NR, self->refs);
	EXPECT_OK(guest_verify(g, 0, NR_PAGES, PATTERN));
	pin_release(pin);
	EXPECT_FREED(before, FIRST, NR);
	census_free(before);
	guest_destroy(g);
}

TEST_F(pins, make_orphans_of_a_part)
{
	struct pin *pin;

	TAKE(pin);
	/* Four pages before the pin go, four in it stay as orphans. */
	ASSERT_OK(gmem_punch(self->fd, FIRST - 4, 8));
	EXPECT_FREED(self->before, FIRST - 4, 4);
	EXPECT_ORPHANED(self->before, FIRST, 4, self->refs);
	EXPECT_HELD(self->fd, FIRST + 4, NR - 4, 1, self->refs);
	pin_release(pin);
	EXPECT_FREED(self->before, FIRST - 4, 8);
	EXPECT_UNTOUCHED(self->before, FIRST + 4, NR_PAGES - FIRST - 4);
}

TEST_F(pins, outlive_the_file)
{
	struct pin *pin;

	TAKE(pin);
	ASSERT_SYS(munmap(self->map, BYTES));
	self->map = NULL;
	guest_destroy(self->g);
	self->g = NULL;
	EXPECT_FREED(self->before, 0, FIRST);
	EXPECT_ORPHANED(self->before, FIRST, NR, self->refs);
	EXPECT_FREED(self->before, BEHIND, NR_PAGES - BEHIND);
	pin_release(pin);
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

TEST_F(pins, read_the_pages_they_hold)
{
	__u64 got = 0;
	struct pin *pin;
	int err;

	TAKE(pin);
	/* What the file gets anew must not be what the holder sees. */
	*word(self->map, FIRST + 5) = PATTERN + 77;
	ASSERT_OK(gmem_punch(self->fd, FIRST, NR));
	memset(self->map + FIRST * PAGE, 0xff, NR * PAGE);

	err = pin_read(pin, 5, &got);
	if (err == -EOPNOTSUPP) {
		pin_release(pin);
		SKIP(return, "a holder of this kind only writes");
	}
	ASSERT_OK(err);
	EXPECT_EQ(PATTERN + 77, got);
	pin_release(pin);
	EXPECT_FREED(self->before, FIRST, NR);
}

TEST_F(pins, write_to_the_pages_they_hold)
{
	struct pin *pin;
	__u64 i;
	int err;

	TAKE(pin);
	err = pin_write(pin, 0xabcd0000);
	if (err == -EOPNOTSUPP) {
		pin_release(pin);
		SKIP(return, "a holder of this kind only reads");
	}
	ASSERT_OK(err);
	for (i = 0; i < NR_PAGES; i++)
		EXPECT_EQ(i >= FIRST && i < BEHIND ? 0xabcd0000 + i - FIRST : PATTERN + i,
			  *word(self->map, i));
	pin_release(pin);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(pins, write_to_orphans_and_never_to_the_new_pages)
{
	struct pin *pin;
	__u64 i;
	int err;

	TAKE(pin);
	ASSERT_OK(gmem_punch(self->fd, FIRST, NR));
	for (i = FIRST; i < BEHIND; i++)
		*word(self->map, i) = i;
	err = pin_write(pin, 0xabcd0000);
	if (err == -EOPNOTSUPP) {
		pin_release(pin);
		SKIP(return, "a holder of this kind only reads");
	}
	ASSERT_OK(err);
	for (i = FIRST; i < BEHIND; i++)
		EXPECT_EQ(i, *word(self->map, i));
	pin_release(pin);
	EXPECT_FREED(self->before, FIRST, NR);
}

struct holder {
	enum pin_kind kind;
	char *addr;
};

/* Holds the pin until told to go, or to be killed. */
static int hold(struct peer *me, void *arg)
{
	struct holder *h = arg;
	struct pin *pin;
	int err;

	err = pin_take(&pin, h->kind, h->addr, NR);
	if (err)
		return err;
	peer_tell(me, 0);
	/* Leave without letting go: exiting must do. */
	return peer_hear(me, NULL, TIMEOUT_MS);
}

/* The child maps the pages itself, which is one more mapping of those it pins. */
TEST_F(pins, end_with_their_holder)
{
	struct holder h = { variant->kind, self->map + FIRST * PAGE };
	struct peer *peer;

	ASSERT_OK(peer_start(&peer, hold, &h));
	ASSERT_OK(peer_hear(peer, NULL, TIMEOUT_MS));
	EXPECT_HELD(self->fd, FIRST, NR, 2, self->refs);
	ASSERT_OK(peer_tell(peer, 0));
	EXPECT_OK(peer_join(peer, TIMEOUT_MS));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(pins, end_with_a_killed_holder)
{
	struct holder h = { variant->kind, self->map + FIRST * PAGE };
	struct peer *peer;

	ASSERT_OK(peer_start(&peer, hold, &h));
	ASSERT_OK(peer_hear(peer, NULL, TIMEOUT_MS));
	EXPECT_HELD(self->fd, FIRST, NR, 2, self->refs);
	ASSERT_OK(gmem_punch(self->fd, FIRST, NR / 2));
	EXPECT_ORPHANED(self->before, FIRST, NR / 2, self->refs);
	peer_kill(peer);
	EXPECT_FREED(self->before, FIRST, NR / 2);
	EXPECT_UNTOUCHED(self->before, FIRST + NR / 2, NR_PAGES - FIRST - NR / 2);
}

TEST_F(pins, do_not_stop_a_fork)
{
	struct holder h = { variant->kind, self->map + FIRST * PAGE };
	struct pin *pin;
	struct peer *peer;

	/* The child takes its own beside the parent's. */
	TAKE(pin);
	ASSERT_OK(peer_start(&peer, hold, &h));
	ASSERT_OK(peer_hear(peer, NULL, TIMEOUT_MS));
	EXPECT_HELD(self->fd, FIRST, NR, 2, 2 * self->refs);
	pin_release(pin);
	EXPECT_HELD(self->fd, FIRST, NR, 2, self->refs);
	peer_kill(peer);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(pins, back_pages_that_were_not_there)
{
	struct pin *pin;

	/* A pin is a touch: what it holds must exist. */
	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	EXPECT_FREED(self->before, 0, NR_PAGES);
	TAKE(pin);
	EXPECT_ABSENT(self->fd, 0, FIRST);
	EXPECT_HELD(self->fd, FIRST, NR, 1, self->refs);
	EXPECT_ABSENT(self->fd, BEHIND, NR_PAGES - BEHIND);
	pin_release(pin);
	EXPECT_HELD(self->fd, FIRST, NR, 1, 0);
}

TEST_F(pins, are_taken_and_dropped_a_hundred_times)
{
	struct pin *pin;
	unsigned int i;

	for (i = 0; i < 100; i++) {
		TAKE(pin);
		pin_release(pin);
	}
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_KPAGE,
      /* Its orphans may stand on frames that another case has just freed. */
      .serial = true)
