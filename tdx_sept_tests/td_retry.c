// SPDX-License-Identifier: GPL-2.0-only
/*
 * When the TDX module is busy, is interrupted or has no entropy, KVM tries again,
 * and nothing of it is left behind.
 *
 * In an emulator that finishes one SEAMCALL before it starts the next this never
 * happens by itself.  So a SEAMCALL is made to fail, a TD lives its whole life, and
 * must not notice; the emulator counts that it did fail, and that KVM came again.
 *
 * arch/x86/kvm/vmx/tdx.c tdh_do_no_vcpus(), tdx_operand_busy();
 * arch/x86/virt/vmx/tdx/seamcall_internal.h sc_retry().
 *
 * Claims: C3, B19, B20
 */
#include "emulator.h"
#include "gmem.h"
#include "suite.h"
#include "td.h"

#define NR_PAGES	1024ull		/* over two tables */
#define FIRST		500ull
#define NR		24ull
#define PATTERN		0x7e717e7100000000ull

FIXTURE(td_retry) {
	struct guest *g;
	struct census *before;
	struct meter meter;
};

/* @times of @leaf in a row, after the first @after, which all must have been made. */
FIXTURE_VARIANT(td_retry) {
	const char *leaf, *status;
	unsigned int after, times;
};

#define CASE(name, leaf_, status_, after_, times_)				\
	FIXTURE_VARIANT_ADD(td_retry, tdx_##name)					\
	{ .leaf = leaf_, .status = status_, .after = after_, .times = times_ }

/* KVM leaves it to the fault handler to come again, as often as it takes. */
CASE(aug_busy, "MEM.PAGE.AUG", "OPERAND_BUSY|SEPT_ENTRY", 3, 20);
CASE(aug_tree_busy, "MEM.PAGE.AUG", "OPERAND_BUSY|SEPT_TREE", 0, 1);
CASE(add_busy, "MEM.PAGE.ADD", "OPERAND_BUSY|TDR", 1, 5);
CASE(sept_add_busy, "MEM.SEPT.ADD", "OPERAND_BUSY|SEPT_TREE", 1, 7);
CASE(enter_busy, "VP.ENTER", "OPERAND_BUSY|TDR", 2, 9);
CASE(enter_busy_entry, "VP.ENTER", "OPERAND_BUSY|SEPT_TREE", 0, 1);

/* It kicks all vCPUs out and tries again, once. */
CASE(block_busy, "MEM.RANGE.BLOCK", "OPERAND_BUSY|SEPT_TREE", 2, 1);
CASE(track_busy, "MEM.TRACK", "OPERAND_BUSY|TD_EPOCH", 2, 1);
CASE(remove_busy, "MEM.PAGE.REMOVE", "OPERAND_BUSY|SEPT_ENTRY", 2, 1);

/* It goes on where the module was interrupted. */
CASE(cache_wb_interrupted, "PHYMEM.CACHE.WB", "INTERRUPTED_RESUMABLE", 0, 1);

/*
 * It tries ten times to get entropy.  Only of SEAMCALLs without outputs: sc_retry()
 * repeats the others with the outputs of the failed call as inputs, and no such leaf
 * needs entropy.
 */
CASE(create_no_entropy, "MNG.CREATE", "RND_NO_ENTROPY", 0, 9);
/* Then it leaves it to user space, here to td_init_vm(). */
CASE(create_no_entropy_for_long, "MNG.CREATE", "RND_NO_ENTROPY", 0, 25);
CASE(key_config_no_entropy, "MNG.KEY.CONFIG", "RND_NO_ENTROPY", 0, 9);
CASE(addcx_no_entropy, "MNG.ADDCX", "RND_NO_ENTROPY", 2, 9);
CASE(vp_init_no_entropy, "VP.INIT", "RND_NO_ENTROPY", 0, 9);

FIXTURE_SETUP(td_retry)
{
	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(meter_read(&self->meter));
	ASSERT_OK(emulator_count_start());
}

FIXTURE_TEARDOWN(td_retry)
{
	census_free(self->before);
	guest_destroy(self->g);
}

/* Every SEAMCALL that a TD can need, most of them more than once. */
static int live(FIXTURE_DATA(td_retry) *self)
{
	const struct td_plan plan = { .attributes = 0 };
	int err = guest_create_td(&self->g, &plan, NR_PAGES);

	err = err ?: guest_touch(self->g, FIRST, NR, PATTERN);
	err = err ?: guest_verify(self->g, FIRST, NR, PATTERN);
	err = err ?: census_take(&self->before, guest_gmem(self->g), 0, NR_PAGES);
	return err ?: gmem_punch(guest_gmem(self->g), FIRST + 4, NR - 8);
}

TEST_F(td_retry, is_what_kvm_does_and_nothing_is_lost)
{
	struct emulator_calls failed, good;
	char when[64];

	snprintf(when, sizeof(when), "after=%u times=%u", variant->after, variant->times);
	ASSERT_OK(emulator_inject(variant->leaf, variant->status, when));

	ASSERT_OK(live(self));
	EXPECT_FREED(self->before, FIRST + 4, NR - 8);
	EXPECT_UNTOUCHED(self->before, 0, FIRST + 4);
	EXPECT_UNTOUCHED(self->before, FIRST + NR - 4, NR_PAGES - FIRST - NR + 4);
	EXPECT_OK(guest_verify(self->g, FIRST, 4, PATTERN));
	guest_destroy(self->g);
	self->g = NULL;
	EXPECT_FREED(self->before, FIRST, NR);

	/* It did fail as often as it was told to, and there was a call behind. */
	ASSERT_OK(emulator_count(variant->leaf, NULL, &good));
	ASSERT_OK(emulator_count(variant->leaf, strtok(strdupa(variant->status), "|"), &failed));
	EXPECT_EQ(variant->times, failed.injected);
	EXPECT_LT(variant->after + failed.nr, good.nr);
	EXPECT_BACK(&self->meter, METER_HKIDS, 0);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_EMULATOR,
      .seconds = 60, .serial = true)
