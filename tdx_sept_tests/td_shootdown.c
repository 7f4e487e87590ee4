// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page leaves a TD only when no vCPU can have it in its TLB any more.
 *
 * A vCPU writes to all pages, round after round, while the host punches one after
 * the other out of the guest_memfd.  Whatever was removed comes back as another
 * page, zeroed and accepted anew; neither the TDX module nor the emulator's
 * sanitizer must have anything to say about it.
 *
 * Mutants: kick_skipped, track_skipped, block_skipped.
 *
 * Claims: B20, B22
 */
#include "busy.h"
#include "gmem.h"
#include "suite.h"
#include "td.h"

#define NR_PAGES	256ull
#define PATTERN		0x5007d00000000000ull
#define ROUNDS		4		/* unless the suite says otherwise */

FIXTURE(td_shootdown) {
	struct guest *g;
};

FIXTURE_VARIANT(td_shootdown) {};
FIXTURE_VARIANT_ADD(td_shootdown, tdx) {};

FIXTURE_SETUP(td_shootdown)
{
	const struct td_plan plan = { .nr_vcpus = 2 };

	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(guest_create_td(&self->g, &plan, NR_PAGES));
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PATTERN));
}

FIXTURE_TEARDOWN(td_shootdown)
{
	guest_destroy(self->g);
}

/* All of their words, so that the vCPU is seldom out of the TD. */
static int fill(void *g)
{
	return td_pages(guest_td(g), 1, TD_OP_FILL, GUEST_GPA, NR_PAGES, PATTERN, 0);
}

TEST_F(td_shootdown, lets_no_vcpu_keep_what_is_punched)
{
	struct busy vcpu;
	unsigned int round;
	__u64 page;

	ASSERT_OK(busy_start(&vcpu, fill, self->g));
	for (round = 0; round < supervise_rounds(ROUNDS); round++) {
		for (page = 0; page < NR_PAGES; page += 2)
			EXPECT_OK(gmem_punch(guest_gmem(self->g), page, 1));
		/* The next round has all pages to punch again. */
		EXPECT_OK(busy_wait(&vcpu, 1));
	}
	EXPECT_OK(busy_end(&vcpu));
	/* Nothing is held by more than the file, whoever was there last. */
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PATTERN));
	EXPECT_HELD(guest_gmem(self->g), 0, NR_PAGES, 0, 0);
	EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, PATTERN));
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 60)
