// SPDX-License-Identifier: GPL-2.0-only
/*
 * However a TD ends, whoever takes part in it and whatever else happens meanwhile, its
 * pages are freed and its keyid comes back.
 *
 * A keyid can be taken back when all vCPUs of the TD have been flushed from the CPUs
 * that they ran on, then the caches, then the key; the S-EPT can be taken apart only
 * with the keyid, and its pages be reclaimed only without.  The last descriptor decides
 * who does that.  SEAMCALLs of all this need locks that all TDs share, and try once.
 *
 * "KVM: guest_memfd: Remove bindings on memslot deletion when gmem is dying"
 * (ae431059e75d); "KVM: TDX: Flush vCPUs on CPU offline".
 *
 * Mutants: vp_flush_skipped, keyid_kept.
 */
#include <sched.h>
#include <unistd.h>

#include "cgroup.h"
#include "gmem.h"
#include "hotplug.h"
#include "peer.h"
#include "suite.h"
#include "td_race.h"

#define NR_TDS		4
#define NR_RIVALS	3
#define MAX_TDS		128
#define PEER_MS		20000

FIXTURE(td_race_end) {
	struct td *tds[NR_TDS];
	struct td **all;	/* as many as there are keyids */
	unsigned int nr_all;
	struct race *race;
	struct peer *peer;
	struct census *before, *after;
	int gmem;
	struct meter meter;
	unsigned int cpu;	/* that goes; 0 if none does */
};

FIXTURE_VARIANT(td_race_end) {};
FIXTURE_VARIANT_ADD(td_race_end, tdx) {};

FIXTURE_SETUP(td_race_end)
{
	self->gmem = -1;
	REQUIRE(need_join(guest_why_not(GUEST_TDX), race_why_not(), meter_why_not(METER_HKIDS),
			  cgroup_misc_too_few("tdx", NR_TDS), NEED_END));
	ASSERT_OK(meter_read(&self->meter));
}

FIXTURE_TEARDOWN(td_race_end)
{
	unsigned int i;

	if (!race_end(self->race))
		return;
	peer_kill(self->peer);
	census_free(self->before);
	census_free(self->after);
	if (self->gmem >= 0)
		close(self->gmem);
	for (i = 0; i < NR_TDS; i++)
		td_close(self->tds[i]);
	for (i = 0; i < self->nr_all; i++)
		td_close(self->all[i]);
	free(self->all);
	if (self->cpu)
		hotplug_set(self->cpu, true);
}

/*
 * One TD, its descriptors closed by several
 */

static int close_rest(void *world, unsigned int me __maybe_unused)
{
	struct td_world *w = world;
	unsigned int i;

	for (i = 0; i < TD_MAX_VCPUS; i++)
		td_close_vcpu(w->td, i);
	td_close_vm(w->td);
	td_close_payload(w->td);
	return 0;
}

static const struct td_role rest_closer = {
	.race = { .name = "close_rest", .act = close_rest },
	.alone = { "0", "0", "0" },
	.spends = true,
};

/* Claims: B32, B34, C14, R15 */
TEST_F(td_race_end, comes_by_whichever_descriptor_is_the_last)
{
	EXPECT_TD_RACE(.stage = TD_RUNNING, .own = { &rest_closer }, .roles = { [1] = "close_gmem" },
		       .allowed = "0 0");
}

/* Claims: B32, C14 */
TEST_F(td_race_end, comes_while_it_is_built)
{
	EXPECT_TD_RACE(.stage = TD_BUILT, .own = { &rest_closer }, .roles = { [1] = "close_gmem" },
		       .allowed = "0 0");
}

/* Claims: B32 */
TEST_F(td_race_end, leaves_a_guest_memfd_that_can_be_punched)
{
	EXPECT_TD_RACE(.stage = TD_RUNNING, .own = { &rest_closer }, .roles = { [1] = "punch" },
		       .allowed = "0 0");
}

/* Claims: B32 */
TEST_F(td_race_end, leaves_a_guest_memfd_that_can_be_allocated)
{
	EXPECT_TD_RACE(.stage = TD_RUNNING, .own = { &rest_closer }, .roles = { [1] = "allocate" },
		       .allowed = "0 0");
}

/*
 * A TD whose process is killed
 */

/* Build a TD, hand over its guest_memfd, run its vCPU for ever. */
static int own_td(struct peer *me, void *arg __maybe_unused)
{
	const struct td_plan plan = {};
	struct guest *g;
	int rc = guest_create_td(&g, &plan, TD_WORLD_PAGES);

	rc = rc ?: guest_touch(g, 0, TD_WORLD_PAGES, 1);
	rc = rc ?: peer_send_fd(me, guest_gmem(g));
	while (!rc) {
		rc = guest_touch(g, 0, TD_WORLD_PAGES, 2);
		/* The other side may have punched it meanwhile. */
	}
	return rc;
}

static int kill_owner(void *world, unsigned int me __maybe_unused)
{
	FIXTURE_DATA(td_race_end) *self = world;

	peer_kill(self->peer);
	self->peer = NULL;
	return 0;
}

static int close_last(void *world, unsigned int me __maybe_unused)
{
	FIXTURE_DATA(td_race_end) *self = world;
	int rc = close(self->gmem) ? -errno : 0;

	self->gmem = -1;
	return rc;
}

static int punch_last(void *world, unsigned int me __maybe_unused)
{
	FIXTURE_DATA(td_race_end) *self = world;

	return gmem_punch(self->gmem, 0, TD_WORLD_PAGES);
}

static const struct race_role killer = { .name = "kill_owner", .act = kill_owner, .allowed = "0" };

static void kill_and(struct __test_metadata *_metadata, FIXTURE_DATA(td_race_end) *self,
		     const struct race_role *other)
{
	const struct race_plan plan = {
		.roles = { &killer, other }, .nr = 2, .rounds = race_lives(),
	};

	ASSERT_OK(race_start(&self->race, &plan));
	while (race_next(self->race)) {
		ASSERT_OK(peer_start(&self->peer, own_td, NULL));
		self->gmem = peer_recv_fd(self->peer, PEER_MS);
		ASSERT_OK(self->gmem);
		ASSERT_OK(census_take(&self->before, self->gmem, 0, TD_WORLD_PAGES));
		ASSERT_OK(race_go(self->race, self));
		if (self->gmem >= 0) {
			/* What the vCPU may have fetched behind the punch. */
			ASSERT_OK(census_take(&self->after, self->gmem, 0, TD_WORLD_PAGES));
			close(self->gmem);
			EXPECT_FREED(self->after, 0, TD_WORLD_PAGES);
		}
		self->gmem = -1;
		EXPECT_FREED(self->before, 0, TD_WORLD_PAGES);
		EXPECT_BACK(&self->meter, METER_HKIDS, 0);
		census_free(self->before);
		census_free(self->after);
		self->before = self->after = NULL;
	}
	EXPECT_RACE(self->race);
}

/* Claims: B32, B34, R15 */
TEST_F(td_race_end, by_sigkill_while_its_memory_is_closed)
{
	const struct race_role role = { .name = "close_gmem", .act = close_last, .allowed = "0" };

	kill_and(_metadata, self, &role);
}

/* Claims: B32, B20 */
TEST_F(td_race_end, by_sigkill_while_its_memory_is_punched)
{
	const struct race_role role = { .name = "punch", .act = punch_last, .allowed = "0" };

	kill_and(_metadata, self, &role);
}

/*
 * A CPU that goes meanwhile
 */

/* All that the TD's vCPUs have left on CPUs is on the one that goes. */
static int be_there(struct td_world *w)
{
	FIXTURE_DATA(td_race_end) *self = w->own;
	cpu_set_t all, one;
	int rc = 0;

	if (td_vcpu(w->td, 1) < 0)
		return 0;
	CPU_ZERO(&one);
	CPU_SET(self->cpu, &one);
	if (sched_getaffinity(0, sizeof(all), &all) || sched_setaffinity(0, sizeof(one), &one))
		return -errno;
	rc = td_pages(w->td, 0, TD_OP_NONE, 0, 0, 0, 0) ?: td_pages(w->td, 1, TD_OP_NONE, 0, 0, 0, 0);
	sched_setaffinity(0, sizeof(all), &all);
	return rc;
}

static int go_offline(void *world, unsigned int me __maybe_unused)
{
	struct td_world *w = world;
	FIXTURE_DATA(td_race_end) *self = w->own;

	return hotplug_set(self->cpu, false);
}

static int is_back(struct td_world *w, const int *outcome __maybe_unused, char *why, size_t len)
{
	FIXTURE_DATA(td_race_end) *self = w->own;

	snprintf(why, len, "CPU %u does not come back", self->cpu);
	return hotplug_set(self->cpu, true);
}

static const struct td_role cpu_goer = {
	.race = { .name = "cpu_offline", .act = go_offline },
	.alone = { "0", "0", "0" },
};

#define CPU_RACE(...)							\
	REQUIRE(hotplug_why_not());					\
	hotplug_cpus(&self->cpu, 1);					\
	EXPECT_TD_RACE(__VA_ARGS__, .world = self, .before = be_there, .after = is_back)

/* Claims: B33, B08, R16 */
TEST_F(td_race_end, comes_while_the_cpu_goes_that_it_ran_on)
{
	CPU_RACE(.stage = TD_RUNNING, .own = { &rest_closer, &cpu_goer }, .allowed = "0 0");
}

/* Claims: B33 */
TEST_F(td_race_end, does_not_come_by_a_cpu_that_goes)
{
	CPU_RACE(.stage = TD_RUNNING, .roles = { "touch" }, .own = { [1] = &cpu_goer },
		 .allowed = "0 0");
}

/* Claims: B33 */
TEST_F(td_race_end, and_beginning_do_not_mind_a_cpu_that_goes)
{
	CPU_RACE(.stage = TD_OPENED, .roles = { "init_vm" }, .own = { [1] = &cpu_goer },
		 .allowed = "0 0");
}

/*
 * Several TDs
 */

static int open_td(struct td **td, bool initialised)
{
	const struct td_plan plan = {};
	int rc = td_open(td);

	return rc ?: initialised ? td_init(*td, &plan) : 0;
}

static int end_td(void *world, unsigned int me)
{
	FIXTURE_DATA(td_race_end) *self = world;

	td_close(self->tds[me]);
	self->tds[me] = NULL;
	return 0;
}

static int begin_td(void *world, unsigned int me)
{
	FIXTURE_DATA(td_race_end) *self = world;
	const struct td_plan plan = {};

	return td_init(self->tds[me], &plan);
}

static const struct race_role ender = { .name = "close", .act = end_td, .allowed = "0" };
static const struct race_role beginner = { .name = "init_vm", .act = begin_td, .allowed = "0" };

/* Those of the roles that end TDs get whole ones. */
static int make_tds(FIXTURE_DATA(td_race_end) *self, const struct race_plan *plan)
{
	const struct td_plan whole = { .nr_vcpus = 1 };
	unsigned int i;
	int rc = 0;

	for (i = 0; i < plan->nr && !rc; i++)
		rc = plan->roles[i] == &ender ? td_create(&self->tds[i], &whole) :
						open_td(&self->tds[i], false);
	return rc;
}

static void end_tds(FIXTURE_DATA(td_race_end) *self)
{
	unsigned int i;

	for (i = 0; i < NR_TDS; i++) {
		td_close(self->tds[i]);
		self->tds[i] = NULL;
	}
}

static void race_of_tds(struct __test_metadata *_metadata, FIXTURE_DATA(td_race_end) *self,
			const struct race_plan *plan)
{
	ASSERT_OK(race_start(&self->race, plan));
	while (race_next(self->race)) {
		ASSERT_OK(make_tds(self, plan));
		ASSERT_OK(race_go(self->race, self));
		end_tds(self);
		EXPECT_BACK(&self->meter, METER_HKIDS, 0);
	}
	EXPECT_RACE(self->race);
}

/* Claims: B08, R17 */
TEST_F(td_race_end, of_several_tds_comes_at_once)
{
	const struct race_plan plan = {
		.roles = { &ender, &ender, &ender, &ender }, .nr = NR_TDS, .rounds = race_lives(),
	};

	race_of_tds(_metadata, self, &plan);
}

/* Claims: R17 */
TEST_F(td_race_end, and_beginning_of_several_tds_come_at_once)
{
	const struct race_plan plan = {
		.roles = { &ender, &beginner, &ender, &beginner }, .nr = NR_TDS, .rounds = race_lives(),
	};

	race_of_tds(_metadata, self, &plan);
}

TEST_F(td_race_end, is_far_for_several_tds_that_begin_at_once)
{
	const struct race_plan plan = {
		.roles = { &beginner, &beginner, &beginner, &beginner }, .nr = NR_TDS, .rounds = race_lives(),
	};

	race_of_tds(_metadata, self, &plan);
}

static const char *too_many_keyids(void)
{
	static char why[80];
	__u64 nr;

	if (cgroup_misc_capacity("tdx", &nr) || nr <= MAX_TDS)
		return NULL;
	snprintf(why, sizeof(why), "%llu TDs take longer than a case may", nr);
	return why;
}

/* All keyids but @spare. */
static void take_keyids(struct __test_metadata *_metadata, FIXTURE_DATA(td_race_end) *self,
			unsigned int spare)
{
	int rc;

	/* And the one that is refused. */
	self->all = calloc(MAX_TDS + 1, sizeof(*self->all));
	ASSERT_NE(NULL, self->all);
	do {
		ASSERT_LE(self->nr_all, MAX_TDS);
		rc = open_td(&self->all[self->nr_all], true);
		self->nr_all += !!self->all[self->nr_all];
	} while (!rc);
	ASSERT_EQ(-ENOSPC, rc);
	ASSERT_LT(spare, self->nr_all);
	/* The last one has none. */
	for (spare++; spare; spare--)
		td_close(self->all[--self->nr_all]);
}

/* Claims: B08, R18 */
TEST_F(td_race_end, of_keyids_is_met_by_all_rivals_but_one)
{
	static const struct race_role rival = { .name = "init_vm", .act = begin_td };
	const struct race_plan plan = {
		.roles = { &rival, &rival, &rival }, .nr = NR_RIVALS, .rounds = race_lives(),
		.allowed = "0 ENOSPC ENOSPC, ENOSPC 0 ENOSPC, ENOSPC ENOSPC 0",
	};
	struct meter taken;

	REQUIRE(too_many_keyids());
	take_keyids(_metadata, self, 1);
	ASSERT_OK(meter_read(&taken));
	ASSERT_OK(race_start(&self->race, &plan));
	while (race_next(self->race)) {
		ASSERT_OK(make_tds(self, &plan));
		ASSERT_OK(race_go(self->race, self));
		end_tds(self);
		EXPECT_BACK(&taken, METER_HKIDS, 0);
	}
	EXPECT_RACE(self->race);
}

/* Claims: B08, R18 */
TEST_F(td_race_end, of_one_td_is_the_beginning_of_another)
{
	static const struct race_role rival = { .name = "init_vm", .act = begin_td };
	const struct race_plan plan = {
		.roles = { &ender, &rival }, .nr = 2, .rounds = race_lives(),
		.allowed = "0 0, 0 ENOSPC",
	};

	REQUIRE(too_many_keyids());
	take_keyids(_metadata, self, 1);
	ASSERT_OK(race_start(&self->race, &plan));
	while (race_next(self->race)) {
		ASSERT_OK(make_tds(self, &plan));
		ASSERT_OK(race_go(self->race, self));
		end_tds(self);
	}
	EXPECT_RACE(self->race);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 120, .serial = true)
