// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TD lives its whole life while the TDX module is busy again and again, and has no
 * entropy now and then.
 *
 * td_retry.c has each of these alone, and at a known place.
 *
 * Claims: C3, B19
 */
#include "emulator.h"
#include "gmem.h"
#include "suite.h"
#include "td.h"

#define NR_PAGES	1024ull		/* over two tables */
#define FIRST		500ull
#define NR		24ull
#define PATTERN		0x7e717e7100000000ull

FIXTURE(td_storm) {
	struct guest *g;
	struct meter meter;
};

FIXTURE_VARIANT(td_storm) {};
FIXTURE_VARIANT_ADD(td_storm, tdx) {};

FIXTURE_SETUP(td_storm)
{
	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(meter_read(&self->meter));
	ASSERT_OK(emulator_count_start());
}

FIXTURE_TEARDOWN(td_storm)
{
	guest_destroy(self->g);
}

/* Wherever it hits: every third call that KVM may try as often as it likes. */
TEST_F(td_storm, of_busy_locks_is_survived)
{
	static const char *const leaves[] = {
		"MEM.PAGE.AUG", "MEM.PAGE.ADD", "MEM.SEPT.ADD", "VP.ENTER",
	};
	const struct td_plan plan = { .attributes = 0 };
	struct emulator_calls calls;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(leaves); i++)
		ASSERT_OK(emulator_inject(leaves[i], "OPERAND_BUSY|TDR", "per-million=333333"));
	/* Of the ten tries one in a million millions would find no entropy. */
	ASSERT_OK(emulator_inject("MNG.ADDCX", "RND_NO_ENTROPY", "per-million=60000"));
	ASSERT_OK(emulator_inject("VP.CREATE", "RND_NO_ENTROPY", "per-million=60000"));

	for (i = 0; i < 3; i++) {
		ASSERT_OK(guest_create_td(&self->g, &plan, NR_PAGES));
		ASSERT_OK(guest_touch(self->g, FIRST, 10 * NR, PATTERN));
		ASSERT_OK(gmem_punch(guest_gmem(self->g), FIRST, NR));
		ASSERT_OK(guest_verify(self->g, FIRST + NR, 9 * NR, PATTERN));
		EXPECT_HELD(guest_gmem(self->g), FIRST + NR, 9 * NR, 0, 0);
		EXPECT_ABSENT(guest_gmem(self->g), FIRST, NR);
		guest_destroy(self->g);
		self->g = NULL;
	}
	for (i = 0; i < ARRAY_SIZE(leaves); i++) {
		ASSERT_OK(emulator_count(leaves[i], "OPERAND_BUSY", &calls));
		EXPECT_LT(0, calls.injected);
	}
	EXPECT_BACK(&self->meter, METER_HKIDS, 0);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_EMULATOR,
      .seconds = 60, .serial = true)
