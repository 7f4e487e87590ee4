// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TD's whole life, over and over, leaves nothing behind: no keyid, no page, no
 * reference.
 *
 * One life: created, measured, finalized, run; accepts, touches, converts, loses
 * and gets back memory; leaves by a TDVMCALL; is pre-faulted, punched and
 * destroyed, in one of the orders of closing; or the process that has it exits, or is
 * killed while a vCPU runs.  What a life leaks shows as a slope.
 *
 * SEPT_ROUNDS is how many lives; 50 unless it says otherwise.
 */
#include <math.h>
#include <sys/mman.h>

#include "gmem.h"
#include "peer.h"
#include "suite.h"
#include "td.h"
#include "trend.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	64ull
#define PRIVATE_DATA	0x1111000000000000ull
#define SHARED_DATA	0x2222000000000000ull
#define LIVES		48
#define WARM_UP		6	/* lives after which the kernel's caches are filled */
#define TIMEOUT_MS	10000

/* Pages per life that a counter may climb by: a leak of one in two lives is red. */
#define MOST		0.4

/*
 * What is neither free nor anybody's hardly moves; what is free does, for as long as
 * caches fill up.  The last to do so are vmap_areas, 72 bytes each, of which vfree()
 * leaves seven per life until some thousand have come together (/proc/vmallocinfo tells
 * of "unpurged" ones, lazy_max_pages() in mm/vmalloc.c when they go); any VM does that.
 * So of few lives the latter is only told.
 */
#define MANY		256

#define CALL_INFO	0x10000

enum end {
	CLOSED,			/* by this process, in some order */
	EXITS,			/* with a process of its own */
	KILLED,			/* the same, while a vCPU runs */
};

FIXTURE(td_cycles) {
	struct guest *g;
	struct peer *peer;
	struct census *before;
	struct meter at_start;
	unsigned int nr;
};

FIXTURE_VARIANT(td_cycles) {
	struct td_plan plan;
	enum end end;
};

FIXTURE_VARIANT_ADD(td_cycles, tdx) {};
FIXTURE_VARIANT_ADD(td_cycles, tdx_wide) { .plan.gpa_bits = 52 };
FIXTURE_VARIANT_ADD(td_cycles, tdx_no_ve) { .plan.attributes = TD_ATTR_SEPT_VE_DISABLE };
FIXTURE_VARIANT_ADD(td_cycles, tdx_two_vcpus) { .plan.nr_vcpus = 2 };
FIXTURE_VARIANT_ADD(td_cycles, tdx_exits) { .end = EXITS };
FIXTURE_VARIANT_ADD(td_cycles, tdx_killed) { .end = KILLED };

FIXTURE_SETUP(td_cycles)
{
	REQUIRE(need_join(guest_why_not(GUEST_TDX), meter_why_not(METER_HKIDS),
			  td_width_why_not(&variant->plan), NEED_END));
	self->nr = supervise_rounds(LIVES);
	ASSERT_OK(meter_read(&self->at_start));
}

FIXTURE_TEARDOWN(td_cycles)
{
	peer_kill(self->peer);
	census_free(self->before);
	guest_destroy(self->g);
}

static int info(struct td *td, unsigned int vcpu)
{
	struct td_regs regs = {};

	return td_vmcall(td, vcpu, CALL_INFO, &regs) ?: regs.r10 ? -EPROTO : 0;
}

static int map_gpa(struct td *td, __u64 first, __u64 nr, bool private)
{
	return td_pages(td, 0, TD_OP_MAP_GPA, GUEST_GPA + first * PAGE_BYTES, nr, 0,
			private ? 0 : TD_SHARED);
}

/* From birth to shortly before death. */
static int live(struct guest **out, const struct td_plan *plan)
{
	struct guest *g;
	struct td *td;
	unsigned int i;
	int rc;

	rc = guest_create_td(out, plan, NR_PAGES);
	if (rc)
		return rc;
	g = *out;
	td = guest_td(g);

	rc = guest_touch(g, 0, 32, PRIVATE_DATA) ?:
	     map_gpa(td, 8, 8, false) ?:
	     gmem_punch(guest_gmem(g), 8, 8) ?:
	     guest_touch(g, 8, 8, SHARED_DATA) ?:
	     map_gpa(td, 8, 4, true) ?:
	     guest_verify_zero(g, 8, 4) ?:
	     guest_touch(g, 8, 4, PRIVATE_DATA) ?:
	     guest_set_private(g, 12, 4, true) ?:
	     guest_prefault(g, 12, 28) ?:
	     gmem_punch(guest_gmem(g), 20, 16) ?:
	     guest_verify_zero(g, 20, 16) ?:
	     guest_verify(g, 0, 12, PRIVATE_DATA);
	for (i = 0; i < (plan->nr_vcpus ?: 1) && !rc; i++)
		rc = info(td, i);
	return rc;
}

/* Closed in an order that the number of the life decides. */
static void die(struct guest *g, unsigned int nr)
{
	if (nr % 3 == 0)
		guest_close_gmem(g);
	if (nr % 3 == 1)
		guest_close_vm(g);
	guest_destroy(g);
}

struct child {
	const struct td_plan *plan;
	enum end end;
};

static int live_and_end(struct peer *me, void *arg)
{
	struct child *c = arg;
	struct guest *g;
	int rc = live(&g, c->plan) ?: peer_tell(me, 0);

	while (!rc && c->end == KILLED)
		rc = guest_touch(g, 0, 8, PRIVATE_DATA);
	return rc;
}

/* A whole life, of number @nr. */
static int live_and_die(FIXTURE_DATA(td_cycles) *self,
			const FIXTURE_VARIANT(td_cycles) *variant, unsigned int nr)
{
	struct child c = { &variant->plan, variant->end };
	int rc;

	if (variant->end == CLOSED) {
		rc = live(&self->g, &variant->plan);
		if (!rc)
			die(self->g, nr);
		self->g = NULL;
		return rc;
	}
	rc = peer_start(&self->peer, live_and_end, &c) ?:
	     peer_hear(self->peer, NULL, TIMEOUT_MS);
	if (rc)
		return rc;
	if (variant->end == KILLED)
		peer_kill(self->peer);
	else
		rc = peer_join(self->peer, TIMEOUT_MS);
	self->peer = NULL;
	return rc;
}

TEST_F(td_cycles, leave_nothing_behind)
{
	static const enum meter_counter counters[] = {
		METER_LOST, METER_FREE, METER_PAGE_TABLES, METER_UNEVICTABLE,
	};
	struct trend trends[ARRAY_SIZE(counters)] = {};
	struct meter now;
	unsigned int i, c;

	for (i = 0; i < self->nr + WARM_UP; i++) {
		ASSERT_OK(live_and_die(self, variant, i));
		EXPECT_BACK(&self->at_start, METER_HKIDS, 0);
		if (i < WARM_UP)
			continue;
		ASSERT_OK(meter_read(&now));
		for (c = 0; c < ARRAY_SIZE(counters); c++)
			ASSERT_OK(trend_add(&trends[c], counters[c] == METER_FREE ?
					    -now.value[METER_FREE] : now.value[counters[c]]));
	}
	for (c = 0; c < ARRAY_SIZE(counters); c++) {
		const bool taken = counters[c] == METER_FREE;

		__SUITE_CHECK("no page lost per life",
			      trend_check_level(&trends[c], taken ? "pages taken" :
						meter_name(counters[c]),
						taken && self->nr < MANY ? HUGE_VAL : MOST,
						&__f), 0);
		trend_free(&trends[c]);
	}
}

TEST_F(td_cycles, free_each_page)
{
	unsigned int i;

	REQUIRE(variant->end == CLOSED ? NULL : "the pages are another process's");
	for (i = 0; i < self->nr / 5; i++) {
		ASSERT_OK(live(&self->g, &variant->plan));
		EXPECT_HELD(guest_gmem(self->g), 0, 12, 0, 0);
		EXPECT_HELD(guest_gmem(self->g), 12, 28, 0, 0);
		EXPECT_ABSENT(guest_gmem(self->g), 40, NR_PAGES - 40);
		ASSERT_OK(census_take(&self->before, guest_gmem(self->g), 0, NR_PAGES));
		die(self->g, i);
		self->g = NULL;
		EXPECT_FREED(self->before, 0, NR_PAGES);
		census_free(self->before);
		self->before = NULL;
	}
	EXPECT_BACK(&self->at_start, METER_HKIDS, 0);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 600, .serial = true)
