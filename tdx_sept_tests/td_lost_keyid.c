// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the TDX module does not give back the keyid of a TD that ends, KVM cannot help
 * it; but the kernel log tells, and everybody else goes on.
 *
 * The sanitizer would tell of the TD that is left, and rightly so; here it is about
 * what the kernel tells.
 *
 * arch/x86/kvm/vmx/tdx.c tdx_mmu_release_hkid().
 */
#include "emulator.h"
#include "suite.h"
#include "td.h"

FIXTURE(td_lost_keyid) {
	struct td *td, *other;
	struct meter before;
};

FIXTURE_VARIANT(td_lost_keyid) {
	const char *leaf, *status;
};

/*
 * KVM says nothing where the module says that a vCPU is still on some processor.
 *
 * Claims: B08
 */
FIXTURE_VARIANT_ADD(td_lost_keyid, tdx_flush_not_done)
{ "MNG.VPFLUSHDONE", "FLUSHVP_NOT_DONE" };
FIXTURE_VARIANT_ADD(td_lost_keyid, tdx_flush_failed)
{ "MNG.VPFLUSHDONE", "OPERAND_INVALID|RCX" };
FIXTURE_VARIANT_ADD(td_lost_keyid, tdx_keyid_not_freed)
{ "MNG.KEY.FREEID", "WBCACHE_NOT_COMPLETE" };

static int nothing(struct td *td)
{
	return td_pages(td, 0, TD_OP_NONE, 0, 0, 0, 0);
}

FIXTURE_SETUP(td_lost_keyid)
{
	REQUIRE(need_join(guest_why_not(GUEST_TDX), meter_why_not(METER_HKIDS), NEED_END));
	ASSERT_OK(meter_read(&self->before));
}

FIXTURE_TEARDOWN(td_lost_keyid)
{
	td_close(self->td);
	td_close(self->other);
}

TEST_F(td_lost_keyid, is_told_of)
{
	struct meter now;

	ASSERT_OK(td_create(&self->td, &(struct td_plan){}));
	ASSERT_OK(nothing(self->td));
	ASSERT_OK(emulator_ask(NULL, "sanitizer off"));
	supervise_expect_kmsg("HKID leaked");
	supervise_allow_kmsg("SEAMCALL failed");
	supervise_allow_kmsg("WARN");
	ASSERT_OK(emulator_inject(variant->leaf, variant->status, "times=1"));
	td_close(self->td);
	self->td = NULL;
	ASSERT_OK(emulator_reset());

	ASSERT_OK(meter_read(&now));
	EXPECT_EQ(self->before.value[METER_HKIDS] + 1, now.value[METER_HKIDS]);
	ASSERT_OK(td_create(&self->other, &(struct td_plan){}));
	EXPECT_OK(nothing(self->other));
	td_close(self->other);
	self->other = NULL;
	ASSERT_OK(meter_read(&now));
	EXPECT_EQ(self->before.value[METER_HKIDS] + 1, now.value[METER_HKIDS]);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_EMULATOR, .seconds = 30, .serial = true)
