// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who has a descriptor of a TD has the TD: it lives until the last of VM, vCPUs and
 * guest_memfd is closed, in whatever process that is, and then everything comes back;
 * and its pages live as long as the guest_memfd.
 *
 * A second process has one of the descriptors, by fork or by a message, and ends in
 * one way or another, long after this one has closed all of its own.
 *
 * SEPT_ROUNDS is how often; 2 unless it says otherwise.
 *
 * Claims: C14, B32, B34, B08
 */
#include <fcntl.h>
#include <unistd.h>

#include "gmem.h"
#include "peer.h"
#include "suite.h"
#include "td.h"
#include "trend.h"

#define NR_PAGES	64ull
#define NR		40ull
#define DATA		0x0137000000000000ull
#define TIMEOUT_MS	5000
#define ROUNDS		2
#define WARM_UP		4	/* rounds after which the kernel's caches are filled */
#define MOST		0.4	/* pages lost in a round; a TD has tens */

enum held { GMEM, VM, VCPU };

enum how {
	FORKED,			/* a child has inherited it */
	PASSED,			/* a process was sent it by SCM_RIGHTS */
	MADE,			/* this one was, by the process that made the TD */
};

FIXTURE(td_ownership) {
	struct peer *peer;	/* who has the last descriptor, or NULL */
	int fd;			/* if that is this process, this is it; else -1 */
	int gmem;		/* number of the guest_memfd here, when @before was taken */
	struct guest *g;
	struct census *before;
	struct meter at_start;
};

FIXTURE_VARIANT(td_ownership) {
	enum held held;
	enum how how;
	bool killed;		/* how the other process ends; or it exits */
};

#define VARIANTS(name, held_)						\
	FIXTURE_VARIANT_ADD(td_ownership, tdx_##name##_forked_exits)	\
		{ .held = held_, .how = FORKED };			\
	FIXTURE_VARIANT_ADD(td_ownership, tdx_##name##_forked_killed)	\
		{ .held = held_, .how = FORKED, .killed = true };	\
	FIXTURE_VARIANT_ADD(td_ownership, tdx_##name##_passed_exits)	\
		{ .held = held_, .how = PASSED };			\
	FIXTURE_VARIANT_ADD(td_ownership, tdx_##name##_passed_killed)	\
		{ .held = held_, .how = PASSED, .killed = true };	\
	FIXTURE_VARIANT_ADD(td_ownership, tdx_##name##_maker_exits)	\
		{ .held = held_, .how = MADE };				\
	FIXTURE_VARIANT_ADD(td_ownership, tdx_##name##_maker_killed)	\
		{ .held = held_, .how = MADE, .killed = true }

VARIANTS(gmem, GMEM);
VARIANTS(vm, VM);
VARIANTS(vcpu, VCPU);

FIXTURE_SETUP(td_ownership)
{
	self->fd = -1;
	REQUIRE(need_join(guest_why_not(GUEST_TDX), meter_why_not(METER_HKIDS), NEED_END));
	ASSERT_OK(meter_read(&self->at_start));
}

FIXTURE_TEARDOWN(td_ownership)
{
	peer_kill(self->peer);
	if (self->fd >= 0)
		close(self->fd);
	census_free(self->before);
	guest_destroy(self->g);
}

static int descriptor(const struct guest *g, enum held held)
{
	return held == GMEM ? guest_gmem(g) : held == VM ? guest_vm(g) : guest_vcpu(g);
}

static int make(struct guest **out)
{
	return guest_create(out, GUEST_TDX, NR_PAGES) ?:
	       guest_touch(*out, 0, NR / 2, DATA) ?: guest_prefault(*out, NR / 2, NR / 2);
}

enum word { END, SHOW, SHOW_FILE };

/* Say that it is here; show it, as often as asked; end when told. */
static int hold(struct peer *me, int fd, int file)
{
	__u64 word = END;
	int rc = fd < 0 ? fd : peer_tell(me, 0);

	for (;;) {
		rc = rc ?: peer_hear(me, &word, TIMEOUT_MS);
		if (rc || word == END)
			return rc;
		rc = peer_send_fd(me, word == SHOW ? fd : file);
	}
}

struct child {
	struct guest *g;	/* to inherit from */
	enum held held;
};

static int child_is_passed(struct peer *me, void *arg)
{
	(void)arg;
	return hold(me, peer_recv_fd(me, TIMEOUT_MS), -1);
}

static int child_inherits(struct peer *me, void *arg)
{
	struct child *c = arg;
	int fd = dup(descriptor(c->g, c->held));

	/* All others go, and so does the mapping of the vCPU's page. */
	guest_destroy(c->g);
	return hold(me, fd < 0 ? -errno : fd, -1);
}

static int child_makes(struct peer *me, void *arg)
{
	struct child *c = arg;
	int rc = make(&c->g);

	return rc ?: hold(me, descriptor(c->g, c->held), guest_gmem(c->g));
}

/* Let the other process go. */
static int end(struct peer **peer, bool killed)
{
	struct peer *p = *peer;
	int rc;

	*peer = NULL;
	if (killed) {
		peer_kill(p);
		return 0;
	}
	rc = peer_tell(p, END);
	return rc ?: peer_join(p, TIMEOUT_MS);
}

static int take_census(FIXTURE_DATA(td_ownership) *self, int gmem)
{
	self->gmem = gmem;
	return census_take(&self->before, gmem, 0, NR_PAGES);
}

/* Have the other process's file here for as long as it takes to look at it. */
static int look_at_file(FIXTURE_DATA(td_ownership) *self)
{
	int rc = peer_tell(self->peer, SHOW_FILE), fd;

	fd = rc ?: peer_recv_fd(self->peer, TIMEOUT_MS);
	if (fd < 0)
		return fd;
	rc = take_census(self, fd);
	close(fd);
	return rc;
}

/* The other process is the one that makes it, and has gone. */
static int take_over(FIXTURE_DATA(td_ownership) *self, const struct child *c, bool killed)
{
	int rc = peer_start(&self->peer, child_makes, (void *)c);

	rc = rc ?: peer_hear(self->peer, NULL, TIMEOUT_MS) ?: peer_tell(self->peer, SHOW);
	if (rc)
		return rc;
	self->fd = peer_recv_fd(self->peer, TIMEOUT_MS);
	if (self->fd < 0)
		return self->fd;
	rc = c->held == GMEM ? take_census(self, self->fd) : look_at_file(self);
	return rc ?: end(&self->peer, killed);
}

/* This process makes it, and has closed all of its own. */
static int hand_over(FIXTURE_DATA(td_ownership) *self, struct child *c, bool forked)
{
	/* Before there is anything that it would inherit. */
	int rc = forked ? 0 : peer_start(&self->peer, child_is_passed, NULL);

	rc = rc ?: make(&self->g) ?: take_census(self, guest_gmem(self->g));
	if (rc)
		return rc;
	c->g = self->g;
	rc = forked ? peer_start(&self->peer, child_inherits, c) :
		      peer_send_fd(self->peer, descriptor(self->g, c->held));
	rc = rc ?: peer_hear(self->peer, NULL, TIMEOUT_MS);
	guest_destroy(self->g);
	self->g = NULL;
	return rc;
}

/* A TD of which one descriptor is left. */
static int leave_one(FIXTURE_DATA(td_ownership) *self,
		     const FIXTURE_VARIANT(td_ownership) *variant)
{
	struct child c = { .held = variant->held };

	census_free(self->before);
	self->before = NULL;
	return variant->how == MADE ? take_over(self, &c, variant->killed) :
				      hand_over(self, &c, variant->how == FORKED);
}

/* And now none. */
static int leave_none(FIXTURE_DATA(td_ownership) *self, bool killed)
{
	if (self->fd < 0)
		return end(&self->peer, killed);
	close(self->fd);
	self->fd = -1;
	return 0;
}

/* Have the file here, by the number that the census knows it by. */
static int show(FIXTURE_DATA(td_ownership) *self)
{
	int fd, rc;

	if (self->fd >= 0)
		return 0;
	rc = peer_tell(self->peer, SHOW);
	if (rc)
		return rc;
	fd = peer_recv_fd(self->peer, TIMEOUT_MS);
	if (fd < 0 || fd == self->gmem)
		return fd < 0 ? fd : 0;
	rc = dup2(fd, self->gmem) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

/* While one descriptor is left. */
static void check_alive(struct __test_metadata *_metadata, FIXTURE_DATA(td_ownership) *self,
			bool has_file)
{
	struct meter now;

	ASSERT_OK(meter_read(&now));
	EXPECT_EQ(self->at_start.value[METER_HKIDS] + 1, now.value[METER_HKIDS]);
	if (has_file) {
		ASSERT_OK(show(self));
		EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
		EXPECT_HELD(self->gmem, 0, NR, 0, 0);
		EXPECT_ABSENT(self->gmem, NR, NR_PAGES - NR);
		if (self->fd < 0)
			close(self->gmem);
	} else if (self->before) {
		EXPECT_FREED(self->before, 0, NR_PAGES);
	}
}

TEST_F(td_ownership, is_the_last_descriptors_and_then_nobodys)
{
	const unsigned int rounds = supervise_rounds(ROUNDS);
	struct trend lost = {};
	struct meter now;
	unsigned int i;

	for (i = 0; i < rounds; i++) {
		ASSERT_OK(leave_one(self, variant));
		check_alive(_metadata, self, variant->held == GMEM);
		ASSERT_OK(leave_none(self, variant->killed));
		EXPECT_BACK(&self->at_start, METER_HKIDS, 0);
		if (self->before) {
			EXPECT_FREED(self->before, 0, NR_PAGES);
		}
		ASSERT_OK(meter_read(&now));
		if (i >= WARM_UP) {
			ASSERT_OK(trend_add(&lost, now.value[METER_LOST]));
		}
	}
	__SUITE_CHECK("no page lost per round",
		      trend_check_level(&lost, "pages lost", MOST, &__f), 0);
	trend_free(&lost);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 60, .serial = true)
