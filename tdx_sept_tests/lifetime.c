// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pages of a guest_memfd live as long as the file, whoever holds it, and go
 * with it, whatever else is still open.
 *
 * The file keeps the VM alive, not the other way round: a slot does not hold
 * the file it shows.  Closing VM, vCPU, file and mappings in any order, passing
 * the file on, and dying in the middle of anything gives all pages back.
 *
 * Claims: B32
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "busy.h"
#include "gmem.h"
#include "peer.h"
#include "race.h"
#include "suite.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	1024ull
#define FIRST		500ull		/* a range across a 2M boundary ... */
#define NR		24ull		/* ... that the cases use */
#define PATTERN		0x7e57ab1e00000000ull
#define TIMEOUT_MS	5000

FIXTURE(lifetime) {
	struct guest *g;
	struct census *before;
	struct peer *peer;
	struct race *race;
	int fd, copy;
};

FIXTURE_VARIANT(lifetime) {
	enum guest_type type;
};

GUEST_VARIANTS(lifetime, );

FIXTURE_SETUP(lifetime)
{
	self->copy = -1;
	self->fd = -1;
	REQUIRE(guest_why_not(variant->type));
}

FIXTURE_TEARDOWN(lifetime)
{
	if (!race_end(self->race))
		return;
	peer_kill(self->peer);
	census_free(self->before);
	if (self->copy >= 0)
		close(self->copy);
	guest_destroy(self->g);
}

static const char *unmappable(const struct guest *g)
{
	return guest_mappable(g) ? NULL : "user space cannot map the memory of this VM type";
}

/* A guest, FIRST and NR of which its vCPU has touched, and a census of it all. */
#define MAKE_GUEST() do {						\
	ASSERT_OK(guest_create(&self->g, variant->type, NR_PAGES));	\
	self->fd = guest_gmem(self->g);					\
	ASSERT_OK(guest_touch(self->g, FIRST, NR, PATTERN));		\
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));	\
	ASSERT_EQ(NR, census_nr_present(self->before));			\
} while (0)

/*
 * Orders of closing
 */

TEST_F(lifetime, ends_with_the_file_after_the_vm)
{
	MAKE_GUEST();
	guest_close_vm(self->g);
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);

	ASSERT_OK(guest_close_gmem(self->g));
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

TEST_F(lifetime, ends_with_the_file_before_the_vm)
{
	MAKE_GUEST();
	ASSERT_OK(guest_close_gmem(self->g));
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

TEST_F(lifetime, ends_with_the_file_under_an_open_vcpu)
{
	MAKE_GUEST();
	self->copy = dup(guest_vcpu(self->g));
	ASSERT_OK(self->copy);
	guest_close_vm(self->g);
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);

	ASSERT_OK(guest_close_gmem(self->g));
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

TEST_F(lifetime, ends_with_the_file_under_an_open_vm)
{
	MAKE_GUEST();
	self->copy = dup(guest_vm(self->g));
	ASSERT_OK(self->copy);
	guest_close_vm(self->g);
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);

	ASSERT_OK(guest_close_gmem(self->g));
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

TEST_F(lifetime, ends_with_the_last_of_duplicated_descriptors)
{
	struct census *same;

	MAKE_GUEST();
	self->copy = dup(self->fd);
	ASSERT_OK(self->copy);
	ASSERT_OK(census_take(&same, self->copy, 0, NR_PAGES));
	ASSERT_OK(guest_close_gmem(self->g));
	EXPECT_IN_PLACE(same, 0, NR_PAGES);
	EXPECT_HELD(self->copy, FIRST, NR, 0, 0);

	close(self->copy);
	self->copy = -1;
	EXPECT_FREED(same, 0, NR_PAGES);
	census_free(same);
}

TEST_F(lifetime, of_an_unbound_file_ends_with_it)
{
	ASSERT_OK(guest_create_unbound(&self->g, variant->type, NR_PAGES));
	self->fd = guest_gmem(self->g);
	ASSERT_OK(gmem_allocate(self->fd, FIRST, NR));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	guest_close_vm(self->g);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);

	ASSERT_OK(guest_close_gmem(self->g));
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

TEST_F(lifetime, ends_for_the_guest_with_the_file)
{
	MAKE_GUEST();
	ASSERT_OK(guest_close_gmem(self->g));

	/* The slot is still there, but shows nothing. */
	EXPECT_NE(0, guest_touch(self->g, FIRST, 1, PATTERN));
	EXPECT_NE(0, guest_verify(self->g, FIRST + 1, 1, PATTERN));
	EXPECT_FREED(self->before, 0, NR_PAGES);
	EXPECT_OK(guest_unbind(self->g, GUEST_SLOT));
}

TEST_F(lifetime, of_a_file_without_its_vm_goes_on)
{
	MAKE_GUEST();
	guest_close_vm(self->g);

	ASSERT_OK(gmem_punch(self->fd, FIRST, NR / 2));
	EXPECT_FREED(self->before, FIRST, NR / 2);
	EXPECT_IN_PLACE(self->before, FIRST + NR / 2, NR / 2);
	ASSERT_OK(gmem_allocate(self->fd, 0, 10));
	EXPECT_HELD(self->fd, 0, 10, 0, 0);
}

TEST_F(lifetime, ends_with_a_mapping_that_outlives_the_file)
{
	volatile __u64 *page;
	void *map;
	__u64 i;

	MAKE_GUEST();
	REQUIRE(unmappable(self->g));
	ASSERT_OK(gmem_map(self->fd, FIRST, NR, &map));
	guest_close_vm(self->g);
	ASSERT_OK(guest_close_gmem(self->g));

	for (i = 0; i < NR; i++) {
		page = (__u64 *)((char *)map + i * PAGE_BYTES);
		EXPECT_EQ(PATTERN + FIRST + i, *page);
	}
	munmap(map, NR * PAGE_BYTES);
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

/*
 * Slots
 */

TEST_F(lifetime, is_not_ended_by_deleting_the_slot)
{
	MAKE_GUEST();
	ASSERT_OK(guest_unbind(self->g, GUEST_SLOT));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_NE(0, guest_touch(self->g, FIRST, 1, PATTERN));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);

	ASSERT_OK(guest_bind(self->g, GUEST_SLOT, 0, NR_PAGES, GUEST_GPA));
	EXPECT_OK(guest_verify_unmapped(self->g, FIRST, NR, PATTERN));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(lifetime, is_not_ended_by_moving_the_slot)
{
	const __u64 gpa = GUEST_GPA + 3 * NR_PAGES * PAGE_BYTES;

	MAKE_GUEST();
	ASSERT_OK(guest_move(self->g, GUEST_SLOT, 0, NR_PAGES, gpa));
	if (guest_has_private(self->g)) {
		ASSERT_OK(guest_set_private(self->g, 0, NR_PAGES, true));
	}
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_OK(guest_verify_unmapped(self->g, FIRST, NR, PATTERN));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(lifetime, is_not_ended_by_a_slot_at_another_offset)
{
	MAKE_GUEST();

	/* The same guest addresses now show pages that are FIRST further on. */
	ASSERT_OK(guest_move(self->g, GUEST_SLOT, FIRST, NR_PAGES - FIRST, GUEST_GPA));
	EXPECT_OK(guest_verify_unmapped(self->g, FIRST, NR, PATTERN));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);

	ASSERT_OK(guest_touch(self->g, FIRST + NR, 4, PATTERN));
	EXPECT_HELD(self->fd, FIRST, NR + 4, guest_touch_maps(self->g), 0);
	EXPECT_ABSENT(self->fd, 0, FIRST);
}

TEST_F(lifetime, is_shared_by_two_slots)
{
	const __u64 half = NR_PAGES / 2, gpa = GUEST_GPA + (1ull << 30);

	MAKE_GUEST();
	ASSERT_OK(guest_unbind(self->g, GUEST_SLOT));
	ASSERT_OK(guest_bind(self->g, GUEST_SLOT + 1, half, half, gpa));
	ASSERT_OK(guest_bind(self->g, GUEST_SLOT, 0, half, GUEST_GPA));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_OK(guest_verify_unmapped(self->g, FIRST, half - FIRST, PATTERN));

	/* A punch across both takes from both; the end of one leaves the other. */
	ASSERT_OK(gmem_punch(self->fd, half - 4, 8));
	EXPECT_FREED(self->before, half - 4, 8);
	EXPECT_UNTOUCHED(self->before, FIRST, half - 4 - FIRST);
	ASSERT_OK(guest_unbind(self->g, GUEST_SLOT + 1));
	EXPECT_OK(guest_verify_zero(self->g, half - 4, 4));
	EXPECT_OK(guest_verify_unmapped(self->g, FIRST, half - 4 - FIRST, PATTERN));
}

/*
 * Other processes
 */

struct made {
	enum guest_type type;
	void (*work)(struct guest *g);	/* until killed; NULL: end at once */
};

/* Make a guest, pass its file on, then do as told. */
static int child_makes(struct peer *me, void *arg)
{
	struct made *made = arg;
	struct guest *g;
	int err;

	err = guest_create(&g, made->type, NR_PAGES);
	if (err)
		return err;
	err = guest_touch(g, FIRST, NR, PATTERN) ?: peer_send_fd(me, guest_gmem(g));
	if (err)
		return err;
	if (made->work)
		made->work(g);
	return peer_hear(me, NULL, TIMEOUT_MS);
}

TEST_F(lifetime, is_prolonged_by_who_was_given_the_file)
{
	struct made made = { .type = variant->type };

	ASSERT_OK(peer_start(&self->peer, child_makes, &made));
	self->copy = peer_recv_fd(self->peer, TIMEOUT_MS);
	ASSERT_OK(self->copy);
	ASSERT_OK(census_take(&self->before, self->copy, 0, NR_PAGES));

	ASSERT_OK(peer_tell(self->peer, 0));
	ASSERT_OK(peer_join(self->peer, TIMEOUT_MS));
	self->peer = NULL;
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	EXPECT_HELD(self->copy, FIRST, NR, 0, 0);

	close(self->copy);
	self->copy = -1;
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

/* Keep what was inherited, until told to pass it back. */
static int child_keeps(struct peer *me, void *arg)
{
	int err = peer_hear(me, NULL, TIMEOUT_MS);

	return err ?: peer_send_fd(me, *(int *)arg) ?: peer_hear(me, NULL, TIMEOUT_MS);
}

TEST_F(lifetime, is_prolonged_by_a_child)
{
	int back;

	MAKE_GUEST();
	ASSERT_OK(peer_start(&self->peer, child_keeps, &self->fd));
	guest_close_vm(self->g);
	ASSERT_OK(guest_close_gmem(self->g));

	/* Only the child has the file now.  The census knows it by its number. */
	ASSERT_OK(peer_tell(self->peer, 0));
	back = peer_recv_fd(self->peer, TIMEOUT_MS);
	ASSERT_OK(back);
	ASSERT_EQ(self->fd, dup2(back, self->fd));
	if (back != self->fd)
		close(back);
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	EXPECT_HELD(self->fd, FIRST, NR, 0, 0);

	close(self->fd);
	peer_kill(self->peer);
	self->peer = NULL;
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

static int child_maps(struct peer *me, void *arg)
{
	volatile char *pages = arg;
	__u64 i;
	int err;

	for (i = 0; i < NR; i++)
		pages[i * PAGE_BYTES] = 1;
	err = peer_tell(me, 0);
	return err ?: peer_hear(me, NULL, TIMEOUT_MS);
}

TEST_F(lifetime, is_not_ended_by_the_death_of_one_who_maps_it)
{
	void *pages;
	__u64 maps;

	MAKE_GUEST();
	REQUIRE(unmappable(self->g));
	maps = guest_touch_maps(self->g);
	pages = guest_shared(self->g, FIRST);
	ASSERT_NE(NULL, pages);
	ASSERT_OK(peer_start(&self->peer, child_maps, pages));
	ASSERT_OK(peer_hear(self->peer, NULL, TIMEOUT_MS));
	EXPECT_HELD(self->fd, FIRST, NR, maps + 1, 0);

	peer_kill(self->peer);
	self->peer = NULL;
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

/*
 * Killed in the middle
 */

static void work_vcpu(struct guest *g)
{
	while (!guest_touch(g, 0, NR_PAGES, PATTERN))
		;
}

static void work_allocate(struct guest *g)
{
	while (!gmem_allocate(guest_gmem(g), 0, NR_PAGES))
		gmem_punch(guest_gmem(g), 0, NR_PAGES);
}

static void work_punch(struct guest *g)
{
	__u64 i;

	for (i = 0; ; i++) {
		gmem_allocate(guest_gmem(g), i % (NR_PAGES - NR), NR);
		gmem_punch(guest_gmem(g), i % (NR_PAGES - NR), NR);
	}
}

static void work_map(struct guest *g)
{
	volatile char *pages = guest_shared(g, 0);
	__u64 i;

	for (i = 0; ; i = (i + 1) % NR_PAGES) {
		pages[i * PAGE_BYTES] = 1;
		if (i % NR == NR - 1)
			gmem_punch(guest_gmem(g), i - NR + 1, NR);
	}
}

static void work_vcpu_and_punch(struct guest *g)
{
	while (!guest_touch(g, FIRST, NR, PATTERN))
		gmem_punch(guest_gmem(g), FIRST, NR);
}

static void work_slots(struct guest *g)
{
	while (!guest_move(g, GUEST_SLOT, 0, NR_PAGES, GUEST_GPA))
		guest_touch(g, FIRST, NR, PATTERN);
}

/*
 * What a dead process has left in the file has the page cache's reference and
 * no other; and it goes with the file.
 */
static void kill_in_the_middle(struct __test_metadata *_metadata, enum guest_type type,
			       void (*work)(struct guest *g))
{
	struct made made = { .type = type, .work = work };
	const struct folio_record *page;
	struct timespec delay = {};
	struct census *left;
	struct peer *peer;
	int fd, round;
	__u64 i;

	for (round = 0; round < 10; round++) {
		ASSERT_OK(peer_start(&peer, child_makes, &made));
		fd = peer_recv_fd(peer, TIMEOUT_MS);
		ASSERT_OK(fd);
		/* Somewhere in its work; where does not matter, only that it varies. */
		delay.tv_nsec = (supervise_seed() % 997 + round * 1009) * 1000;
		nanosleep(&delay, NULL);
		peer_kill(peer);

		ASSERT_OK(census_take(&left, fd, 0, NR_PAGES));
		for (i = 0; i < NR_PAGES; i++) {
			page = census_page(left, i);
			if (folio_present(page) && (page->refs != 1 || page->maps)) {
				EXPECT_HELD(fd, i, 1, 0, 0);
			}
		}
		close(fd);
		EXPECT_FREED(left, 0, NR_PAGES);
		census_free(left);
	}
}

TEST_F(lifetime, of_one_killed_while_its_vcpu_touches_ends)
{
	kill_in_the_middle(_metadata, variant->type, work_vcpu);
}

TEST_F(lifetime, of_one_killed_while_it_allocates_ends)
{
	kill_in_the_middle(_metadata, variant->type, work_allocate);
}

TEST_F(lifetime, of_one_killed_while_it_punches_ends)
{
	kill_in_the_middle(_metadata, variant->type, work_punch);
}

TEST_F(lifetime, of_one_killed_while_it_touches_its_mapping_ends)
{
	ASSERT_OK(guest_create_unbound(&self->g, variant->type, NR_PAGES));
	REQUIRE(unmappable(self->g));
	kill_in_the_middle(_metadata, variant->type, work_map);
}

TEST_F(lifetime, of_one_killed_while_its_vcpu_touches_and_it_punches_ends)
{
	kill_in_the_middle(_metadata, variant->type, work_vcpu_and_punch);
}

TEST_F(lifetime, of_one_killed_while_it_moves_its_slot_ends)
{
	kill_in_the_middle(_metadata, variant->type, work_slots);
}

TEST_F(lifetime, of_one_killed_with_the_only_descriptor_ends)
{
	struct made made = { .type = variant->type };

	ASSERT_OK(peer_start(&self->peer, child_makes, &made));
	self->copy = peer_recv_fd(self->peer, TIMEOUT_MS);
	ASSERT_OK(self->copy);
	ASSERT_OK(census_take(&self->before, self->copy, 0, NR_PAGES));
	close(self->copy);
	self->copy = -1;

	peer_kill(self->peer);
	self->peer = NULL;
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

/*
 * Closed in the middle
 */

static int touch_some(void *g)
{
	return guest_touch(g, FIRST, NR, PATTERN);
}

TEST_F(lifetime, ends_with_the_file_under_a_running_vcpu)
{
	struct busy vcpu;
	int round;

	for (round = 0; round < 10; round++) {
		MAKE_GUEST();
		ASSERT_OK(busy_start(&vcpu, touch_some, self->g));
		ASSERT_OK(guest_close_gmem(self->g));
		EXPECT_GT(0, busy_wait(&vcpu, 0));
		busy_end(&vcpu);
		EXPECT_FREED(self->before, 0, NR_PAGES);

		census_free(self->before);
		self->before = NULL;
		guest_destroy(self->g);
		self->g = NULL;
	}
}

static int delete_slot(void *g, unsigned int me __maybe_unused)
{
	return guest_unbind(g, GUEST_SLOT);
}

static int close_file(void *g, unsigned int me __maybe_unused)
{
	return guest_close_gmem(g);
}

/*
 * Claims: B13
 */
TEST_F(lifetime, ends_with_the_file_while_its_slot_is_deleted)
{
	const struct race_role deleter = { .name = "slot_delete", .act = delete_slot };
	const struct race_role closer = { .name = "close_gmem", .act = close_file };
	const struct race_plan plan = {
		.roles = { &deleter, &closer }, .nr = 2, .allowed = "0 0",
		.rounds = 30, .seconds = 5,
	};

	REQUIRE(race_why_not());
	ASSERT_OK(race_start(&self->race, &plan));
	while (race_next(self->race)) {
		MAKE_GUEST();
		ASSERT_OK(race_go(self->race, self->g));
		EXPECT_FREED(self->before, 0, NR_PAGES);

		census_free(self->before);
		self->before = NULL;
		guest_destroy(self->g);
		self->g = NULL;
	}
	EXPECT_RACE(self->race);
}

SUITE(.needs = NEED_KVM | NEED_GMEM | NEED_REFCOUNT)
