// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TD's whole life, over and over, leaves nothing behind: no keyid, no page, no
 * reference.
 *
 * One life: created, measured, finalized, run; accepts, touches, converts, loses
 * and gets back memory; leaves by a TDVMCALL; is pre-faulted, punched and
 * destroyed, in one of the orders of closing.  What a life leaks shows as a slope.
 *
 * SEPT_ROUNDS is how many lives; 50 unless it says otherwise.
 */
#include <sys/mman.h>

#include "gmem.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	64ull
#define PRIVATE_DATA	0x1111000000000000ull
#define SHARED_DATA	0x2222000000000000ull
#define LIVES		50
#define WARM_UP		3	/* lives after which the kernel's caches are filled */

/*
 * What system-wide counters may be off by, in pages, after @nr lives: less than a
 * leak of one page per life.  Caches of the kernel fill up slowly.
 */
#define TOLERANCE(nr)	(16 + (nr) / 2)

#define CALL_INFO	0x10000

FIXTURE(td_cycles) {
	struct guest *g;
	struct census *before;
	struct meter at_start;
	unsigned int nr;
};

FIXTURE_VARIANT(td_cycles) {
	struct td_plan plan;
};

FIXTURE_VARIANT_ADD(td_cycles, tdx) {};
FIXTURE_VARIANT_ADD(td_cycles, tdx_no_ve) { .plan.attributes = TD_ATTR_SEPT_VE_DISABLE };
FIXTURE_VARIANT_ADD(td_cycles, tdx_two_vcpus) { .plan.nr_vcpus = 2 };

FIXTURE_SETUP(td_cycles)
{
	REQUIRE(need_join(guest_why_not(GUEST_TDX), meter_why_not(METER_HKIDS), NEED_END));
	self->nr = supervise_rounds(LIVES);
	ASSERT_OK(meter_read(&self->at_start));
}

FIXTURE_TEARDOWN(td_cycles)
{
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

TEST_F(td_cycles, leave_nothing_behind)
{
	struct meter before;
	unsigned int i;

	for (i = 0; i < self->nr + WARM_UP; i++) {
		if (i == WARM_UP) {
			ASSERT_OK(meter_read(&before));
		}
		ASSERT_OK(live(&self->g, &variant->plan));
		die(self->g, i);
		self->g = NULL;
	}
	EXPECT_BACK(&before, METER_HKIDS, 0);
	EXPECT_BACK(&before, METER_LOST, TOLERANCE(self->nr));
	EXPECT_BACK(&before, METER_FREE, TOLERANCE(self->nr));
	EXPECT_BACK(&before, METER_PAGE_TABLES, TOLERANCE(self->nr));
	EXPECT_BACK(&before, METER_UNEVICTABLE, TOLERANCE(self->nr));
	EXPECT_BACK(&self->at_start, METER_HKIDS, 0);
}

TEST_F(td_cycles, free_each_page)
{
	unsigned int i;

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
