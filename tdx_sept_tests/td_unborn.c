// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TD that cannot be made, since the TDX module refuses one of the steps, leaves
 * nothing behind: no keyid, no page that it still has, none that nobody has.
 *
 * The emulator lets a SEAMCALL fail for good, in each step; td_retry.c has failures
 * that KVM is to survive.
 *
 * arch/x86/kvm/vmx/tdx.c __tdx_td_init(), tdx_td_vcpu_init(), tdx_gmem_post_populate().
 *
 * Claims: C11, B10, B38
 */
#include "emulator.h"
#include "kmsg.h"
#include "suite.h"
#include "td.h"

#define ROUNDS		10	/* a page lost in each must stand out of the noise */
#define NOISE		6
#define PATTERN		0x0b0e000000000000ull
#define NR_PAGES	16ull

FIXTURE(td_unborn) {
	struct kmsg *log;
	struct guest *g;
};

/* The @after-th @leaf fails with @status; the kernel calls it @name. */
FIXTURE_VARIANT(td_unborn) {
	const char *leaf, *status, *name;
	unsigned int after;
};

#define CASE(variant, leaf_, status_, name_, after_)				\
	FIXTURE_VARIANT_ADD(td_unborn, tdx_##variant)				\
	{ .leaf = leaf_, .status = status_, .name = name_, .after = after_ }

CASE(create, "MNG.CREATE", "PAGE_METADATA_INCORRECT|RCX", "TDH_MNG_CREATE", 0);
CASE(key_config, "MNG.KEY.CONFIG", "KEY_GENERATION_FAILED", "TDH_MNG_KEY_CONFIG", 0);
CASE(first_addcx, "MNG.ADDCX", "PAGE_METADATA_INCORRECT|RCX", "TDH_MNG_ADDCX", 0);
CASE(addcx, "MNG.ADDCX", "PAGE_METADATA_INCORRECT|RCX", "TDH_MNG_ADDCX", 2);
CASE(init, "MNG.INIT", "OPERAND_BUSY|TDR", "TDH_MNG_INIT", 0);
CASE(vp_create, "VP.CREATE", "PAGE_METADATA_INCORRECT|RCX", "TDH_VP_CREATE", 0);
CASE(vp_addcx, "VP.ADDCX", "PAGE_METADATA_INCORRECT|RCX", "TDH_VP_ADDCX", 2);
CASE(vp_init, "VP.INIT", "OPERAND_BUSY|TDR", "TDH_VP_INIT", 0);
CASE(sept_add, "MEM.SEPT.ADD", "PAGE_METADATA_INCORRECT|R8", "TDH_MEM_SEPT_ADD", 1);
CASE(page_add, "MEM.PAGE.ADD", "PAGE_METADATA_INCORRECT|R8", "TDH_MEM_PAGE_ADD", 3);
CASE(extend, "MR.EXTEND", "EPT_ENTRY_STATE_INCORRECT|RCX", "TDH_MR_EXTEND", 20);
CASE(finalize, "MR.FINALIZE", "OP_STATE_INCORRECT", "TDH_MR_FINALIZE", 0);

FIXTURE_SETUP(td_unborn)
{
	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(kmsg_open(&self->log));
}

FIXTURE_TEARDOWN(td_unborn)
{
	guest_destroy(self->g);
	kmsg_close(self->log);
}

TEST_F(td_unborn, leaves_nothing_behind)
{
	const struct td_plan plan = { .unmeasured = strcmp(variant->leaf, "MR.EXTEND") };
	struct meter before;
	struct kmsg_tally t;
	unsigned int i, tds;
	char when[40];

	/* What the kernel allocates once and keeps. */
	ASSERT_OK(guest_create_td(&self->g, &plan, NR_PAGES));
	guest_destroy(self->g);
	self->g = NULL;
	ASSERT_OK(meter_read(&before));

	for (i = 0; i < ROUNDS; i++) {
		snprintf(when, sizeof(when), "after=%u times=1", variant->after);
		ASSERT_OK(emulator_inject(variant->leaf, variant->status, when));
		EXPECT_ERR(EIO, guest_create_td(&self->g, &plan, NR_PAGES));
		ASSERT_OK(emulator_tds(&tds));
		EXPECT_EQ(0, tds);
	}
	EXPECT_BACK(&before, METER_HKIDS, 0);
	EXPECT_BACK(&before, METER_LOST, NOISE);

	/* The kernel warns of it once, and tells of it each time. */
	EXPECT_OK(kmsg_tally(self->log, &t));
	EXPECT_EQ(1, t.warns);
	EXPECT_EQ(ROUNDS, t.seamcalls);
	EXPECT_EQ(0, t.hkids);
	EXPECT_EQ(0, t.others);
	EXPECT_NE(NULL, strstr(t.seamcall, variant->name));
	supervise_expect_kmsg("WARN");
	supervise_expect_kmsg("SEAMCALL failed");

	/* And the next one can be made. */
	ASSERT_OK(guest_create_td(&self->g, &plan, NR_PAGES));
	EXPECT_OK(guest_touch(self->g, 0, NR_PAGES, PATTERN));
	EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, PATTERN));
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_EMULATOR, .seconds = 60, .serial = true)
