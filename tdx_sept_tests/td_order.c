// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page leaves a TD step by step: KVM begins to invalidate, blocks, tracks, removes
 * and flushes it, and only then does it leave the file and go back to the allocator;
 * and a TD dies step by step, whoever lets go of it last.
 *
 * guest_memfd frees pages without asking whether the S-EPT still has them, and
 * nobody holds a reference for it.  So the order is all there is; a trace of the
 * kernel's functions and of its SEAMCALLs shows it, page by page (order.h).
 *
 * virt/kvm/guest_memfd.c kvm_gmem_punch_hole(), kvm_gmem_release();
 * arch/x86/kvm/vmx/tdx.c tdx_sept_remove_leaf_spte(), tdx_mmu_release_hkid().
 *
 * Mutants: zap_skipped, block_skipped, track_skipped, freed_before_zap.
 *
 * Claims: C5, C14, B32, B34
 */
#include <unistd.h>

#include "audit.h"
#include "busy.h"
#include "gmem.h"
#include "order.h"
#include "peer.h"
#include "sequence.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	1024ull
#define FIRST		500ull		/* a range across a 2M boundary ... */
#define NR		24ull		/* ... that most cases use */
#define PATTERN		0x0eda0eda00000000ull
#define ELSEWHERE	(GUEST_GPA + (1ull << 30))
#define TIMEOUT_MS	20000

FIXTURE(td_order) {
	struct order *order;
	struct guest *g;
	struct census *before;
	struct peer *peer;
	size_t since;
};

FIXTURE_VARIANT(td_order) {};
FIXTURE_VARIANT_ADD(td_order, tdx) {};

FIXTURE_SETUP(td_order)
{
	REQUIRE(guest_why_not(GUEST_TDX));
	REQUIRE(order_start(&self->order));
	fprintf(stderr, "# traced by %s\n", order_sources(self->order));
}

FIXTURE_TEARDOWN(td_order)
{
	peer_kill(self->peer);
	census_free(self->before);
	guest_destroy(self->g);
	order_stop(self->order);
}

static const struct td_plan plan = { .unmeasured = true };

/* A TD that has touched FIRST and NR, a census of that, and where the trace stands. */
static int make(FIXTURE_DATA(td_order) *self)
{
	int err = guest_create_td(&self->g, &plan, NR_PAGES) ?:
		  guest_touch(self->g, FIRST, NR, PATTERN) ?:
		  census_take(&self->before, guest_gmem(self->g), FIRST, NR);

	self->since = order_mark(self->order);
	return err;
}

#define EXPECT_GONE(first, nr, since, fate)					\
	EXPECT_SEQUENCE(self->order, self->before, first, nr, since, fate)

TEST_F(td_order, page_is_taken_from_the_td_before_a_punch_frees_it)
{
	static const struct { __u64 first, nr; } holes[] = {
		{ FIRST + 3, 1 }, { FIRST + 8, 12 }, { 0, NR_PAGES },
	};
	unsigned int i;

	ASSERT_OK(make(self));
	for (i = 0; i < ARRAY_SIZE(holes); i++) {
		const __u64 first = holes[i].first < FIRST ? FIRST : holes[i].first;
		const __u64 nr = holes[i].nr < NR ? holes[i].nr : NR;

		census_free(self->before);
		self->before = NULL;
		ASSERT_OK(guest_touch(self->g, FIRST, NR, PATTERN));
		ASSERT_OK(census_take(&self->before, guest_gmem(self->g), FIRST, NR));
		ASSERT_EQ(NR, census_nr_present(self->before));
		self->since = order_mark(self->order);
		ASSERT_OK(gmem_punch(guest_gmem(self->g), holes[i].first, holes[i].nr));
		EXPECT_GONE(first, nr, self->since, SEQUENCE_PUNCHED);
		EXPECT_AUDIT(self->order);
	}
}

/* The VM goes on without them. */
TEST_F(td_order, page_is_taken_from_the_td_before_its_file_is_closed)
{
	ASSERT_OK(make(self));
	ASSERT_OK(guest_close_gmem(self->g));
	EXPECT_GONE(FIRST, NR, self->since, SEQUENCE_RELEASED);
	EXPECT_AUDIT(self->order);
}

/* Zapped since @since, and no more; then punched, which is not KVM's business any more. */
#define EXPECT_KEPT_UNTIL_PUNCHED(since) do {					\
	EXPECT_GONE(FIRST, NR, since, SEQUENCE_ZAPPED);				\
	EXPECT_IN_PLACE(self->before, FIRST, NR);				\
	EXPECT_HELD(guest_gmem(self->g), FIRST, NR, 0, 0);			\
	ASSERT_OK(gmem_punch(guest_gmem(self->g), FIRST, NR));			\
	EXPECT_GONE(FIRST, NR, since, SEQUENCE_RELEASED);			\
} while (0)

TEST_F(td_order, page_stays_in_the_file_when_it_is_taken_from_the_td_alone)
{
	ASSERT_OK(make(self));
	ASSERT_OK(guest_set_private(self->g, FIRST, NR, false));
	EXPECT_KEPT_UNTIL_PUNCHED(self->since);

	census_free(self->before);
	self->before = NULL;
	ASSERT_OK(guest_set_private(self->g, FIRST, NR, true));
	ASSERT_OK(guest_touch(self->g, FIRST, NR, PATTERN));
	ASSERT_OK(census_take(&self->before, guest_gmem(self->g), FIRST, NR));
	self->since = order_mark(self->order);
	ASSERT_OK(guest_unbind(self->g, GUEST_SLOT));
	EXPECT_KEPT_UNTIL_PUNCHED(self->since);
	EXPECT_AUDIT(self->order);
}

/* The same pages again, at another address. */
TEST_F(td_order, page_moves_with_its_slot_by_way_of_the_file)
{
	size_t moved;

	ASSERT_OK(make(self));
	ASSERT_OK(guest_move(self->g, GUEST_SLOT, 0, NR_PAGES, ELSEWHERE));
	EXPECT_GONE(FIRST, NR, self->since, SEQUENCE_ZAPPED);
	ASSERT_OK(guest_set_private(self->g, 0, NR_PAGES, true));
	ASSERT_OK(guest_touch(self->g, FIRST, NR, PATTERN));
	EXPECT_IN_PLACE(self->before, FIRST, NR);

	moved = order_mark(self->order);
	ASSERT_OK(gmem_punch(guest_gmem(self->g), FIRST, NR));
	EXPECT_GONE(FIRST, NR, moved, SEQUENCE_PUNCHED);
	EXPECT_AUDIT(self->order);
}

/* What a TD is held by, and how each is let go of. */
enum part { VCPU, VM, GMEM, PAYLOAD, NR_PARTS };

static void close_part(struct guest *g, enum part part)
{
	switch (part) {
	case VCPU:
		td_close_vcpu(guest_td(g), 0);
		break;
	case VM:
		td_close_vm(guest_td(g));
		break;
	case GMEM:
		guest_close_gmem(g);
		break;
	default:
		td_close_payload(guest_td(g));
	}
}

/* The @n-th of all orders of the parts. */
static void permute(unsigned int n, enum part parts[NR_PARTS])
{
	unsigned int i, j;
	enum part part;

	for (i = 0; i < NR_PARTS; i++)
		parts[i] = i;
	for (i = NR_PARTS; i > 1; n /= i--) {
		j = n % i;
		part = parts[j];
		parts[j] = parts[i - 1];
		parts[i - 1] = part;
	}
}

TEST_F(td_order, td_dies_step_by_step_in_whatever_order_it_is_closed)
{
	static const char *const names[] = { "vCPU", "VM", "file", "payload" };
	enum part parts[NR_PARTS];
	unsigned int n, i;

	for (n = 0; n < 24; n++) {
		permute(n, parts);
		self->since = order_mark(self->order);
		ASSERT_OK(guest_create_td(&self->g, &plan, NR));
		ASSERT_OK(guest_touch(self->g, 0, 4, PATTERN));
		ASSERT_OK(census_take(&self->before, guest_gmem(self->g), 0, 4));
		for (i = 0; i < NR_PARTS; i++)
			close_part(self->g, parts[i]);
		guest_destroy(self->g);
		self->g = NULL;
		EXPECT_GONE(0, 4, self->since, SEQUENCE_RELEASED);
		EXPECT_TEARDOWN(self->order, self->since, 1);
		census_free(self->before);
		self->before = NULL;
		if (supervise_has_failed()) {
			fprintf(stderr, "# closed in the order %s, %s, %s, %s\n", names[parts[0]],
				names[parts[1]], names[parts[2]], names[parts[3]]);
			break;
		}
	}
	EXPECT_AUDIT(self->order);
}

/* A process that has a TD to itself, and ends as it is told to. */
static int own_a_td(struct peer *me, void *arg)
{
	struct guest *g;
	int err;

	(void)arg;
	err = peer_hear(me, NULL, TIMEOUT_MS) ?:
	      guest_create_td(&g, &plan, NR_PAGES) ?:
	      guest_touch(g, FIRST, NR, PATTERN) ?:
	      peer_send_fd(me, guest_gmem(g)) ?:
	      peer_hear(me, NULL, TIMEOUT_MS);
	_exit(err ? 1 : 0);
}

/* With @self->before of its pages. */
static int start_owner(FIXTURE_DATA(td_order) *self)
{
	int err, fd;

	err = peer_start(&self->peer, own_a_td, NULL) ?:
	      order_follow(self->order, peer_pid(self->peer)) ?:
	      peer_tell(self->peer, 0);
	if (err)
		return err;
	fd = peer_recv_fd(self->peer, TIMEOUT_MS);
	if (fd < 0)
		return fd;
	err = census_take(&self->before, fd, FIRST, NR);
	close(fd);
	self->since = order_mark(self->order);
	return err;
}

TEST_F(td_order, td_dies_step_by_step_when_its_process_does)
{
	ASSERT_OK(start_owner(self));
	ASSERT_OK(peer_tell(self->peer, 0));
	EXPECT_OK(peer_join(self->peer, TIMEOUT_MS));
	self->peer = NULL;
	EXPECT_GONE(FIRST, NR, self->since, SEQUENCE_RELEASED);
	EXPECT_TEARDOWN(self->order, 0, 1);

	census_free(self->before);
	self->before = NULL;
	ASSERT_OK(start_owner(self));
	peer_kill(self->peer);
	self->peer = NULL;
	EXPECT_GONE(FIRST, NR, self->since, SEQUENCE_RELEASED);
	EXPECT_TEARDOWN(self->order, 0, 2);
	EXPECT_AUDIT(self->order);
}

/* How many pages of the file were taken from the S-EPT since make(). */
static unsigned int nr_removed(FIXTURE_DATA(td_order) *self)
{
	const struct order_event *events;
	unsigned int nr = 0;
	size_t all, i;

	events = order_events(self->order, &all);
	for (i = self->since; i < all; i++)
		nr += events[i].what == ORDER_PAGE_REMOVE && events[i].gpa >= GUEST_GPA;
	return nr;
}

/* All descriptors were copied by the fork; the child keeps that of the file. */
static int keep_the_file(struct peer *me, void *arg)
{
	struct guest *g = arg;

	guest_close_vm(g);
	return peer_tell(me, 0) ?: peer_hear(me, NULL, TIMEOUT_MS);
}

/* It gets the file by SCM_RIGHTS, and has never had anything else of the TD. */
static int receive_the_file(struct peer *me, void *arg)
{
	int fd = peer_recv_fd(me, TIMEOUT_MS);

	(void)arg;
	return fd < 0 ? fd : peer_tell(me, 0) ?: peer_hear(me, NULL, TIMEOUT_MS);
}

/* Nothing is left of the TD but the file that the peer has; then the peer ends. */
#define EXPECT_DIES_WITH_PEER(nr_tds) do {					\
	ASSERT_OK(peer_hear(self->peer, NULL, TIMEOUT_MS));			\
	guest_destroy(self->g);							\
	self->g = NULL;								\
	EXPECT_EQ(0, nr_removed(self));						\
	ASSERT_OK(peer_tell(self->peer, 0));					\
	EXPECT_OK(peer_join(self->peer, TIMEOUT_MS));				\
	self->peer = NULL;							\
	EXPECT_GONE(FIRST, NR, self->since, SEQUENCE_RELEASED);			\
	EXPECT_TEARDOWN(self->order, 0, nr_tds);				\
} while (0)

TEST_F(td_order, td_lives_as_long_as_somebody_has_its_file)
{
	ASSERT_OK(make(self));
	ASSERT_OK(peer_start(&self->peer, keep_the_file, self->g));
	EXPECT_DIES_WITH_PEER(1);

	census_free(self->before);
	self->before = NULL;
	ASSERT_OK(peer_start(&self->peer, receive_the_file, NULL));
	ASSERT_OK(make(self));
	ASSERT_OK(peer_send_fd(self->peer, guest_gmem(self->g)));
	EXPECT_DIES_WITH_PEER(2);
	EXPECT_AUDIT(self->order);
}

/* ---- Under load ---- */

#define LOAD_PAGES	256ull
#define LOAD_ROUNDS	4		/* unless the suite says otherwise */
#define OPERAND_BUSY	0x80000200u	/* class of a status, its upper half */

static int write_all(void *g)
{
	return td_pages(guest_td(g), 1, TD_OP_WRITE, GUEST_GPA, LOAD_PAGES, PATTERN, 0);
}

struct unmaps {
	unsigned int removed, busy, failed;
};

/* A busy module is asked again, once; whatever else fails, or fails again, has failed. */
static void count_unmaps(const struct order_event *e, size_t nr, size_t since, struct unmaps *u)
{
	size_t i, j;

	for (i = since; i < nr; i++) {
		if (e[i].what != ORDER_RANGE_BLOCK && e[i].what != ORDER_TRACK &&
		    e[i].what != ORDER_PAGE_REMOVE)
			continue;
		if (!e[i].status) {
			u->removed += e[i].what == ORDER_PAGE_REMOVE;
			continue;
		}
		for (j = i + 1; j < nr; j++)
			if (e[j].tid == e[i].tid && e[j].what == e[i].what)
				break;
		if (e[i].status >> 32 == OPERAND_BUSY && j < nr && !e[j].status)
			u->busy++;
		else
			u->failed++;
	}
}

/* Claims: C8 */
TEST_F(td_order, no_unmap_fails_while_a_vcpu_uses_the_pages_beside)
{
	const struct td_plan two = { .unmeasured = true, .nr_vcpus = 2 };
	struct unmaps u = {};
	const struct order_event *events;
	struct busy vcpu;
	__u64 page, unmaps = 0;
	size_t nr;
	unsigned int round;

	ASSERT_OK(guest_create_td(&self->g, &two, LOAD_PAGES));
	ASSERT_OK(guest_touch(self->g, 0, LOAD_PAGES, PATTERN));
	self->since = order_mark(self->order);
	ASSERT_OK(busy_start(&vcpu, write_all, self->g));
	for (round = 0; round < supervise_rounds(LOAD_ROUNDS); round++) {
		for (page = 0; page < LOAD_PAGES; page += 2, unmaps++) {
			EXPECT_OK(guest_prefault(self->g, page, 1));
			EXPECT_OK(gmem_punch(guest_gmem(self->g), page, 1));
		}
		order_mark(self->order);
		EXPECT_OK(busy_wait(&vcpu, 1));
	}
	EXPECT_OK(busy_end(&vcpu));
	EXPECT_EQ(NULL, order_why_holes(self->order));
	events = order_events(self->order, &nr);
	count_unmaps(events, nr, self->since, &u);
	fprintf(stderr, "# %u pages removed, the module was busy %u times, %u failed\n", u.removed,
		u.busy, u.failed);
	EXPECT_LE(unmaps, u.removed);
	EXPECT_EQ(0, u.failed);
	EXPECT_AUDIT(self->order);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 60, .serial = true)
