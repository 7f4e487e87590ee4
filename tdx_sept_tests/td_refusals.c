// SPDX-License-Identifier: GPL-2.0-only
/*
 * When the TDX module refuses a step of a TD's building, KVM answers by the errno of
 * that step, kills the TD where it cannot go on, and gives back all that it had: keyid,
 * control pages, memory.
 *
 * One SEAMCALL of the step is made to fail.  Then either the step can be repeated and
 * the TD lives, or the TD is dead, and another one lives.  That is done to some TDs, so
 * that a page lost of each stands out.
 *
 * arch/x86/kvm/vmx/tdx.c __tdx_td_init(), tdx_td_vcpu_init(), tdx_gmem_post_populate(),
 * tdx_td_finalize().
 *
 * Claims: B10, B38
 */
#include "emulator.h"
#include "gmem.h"
#include "suite.h"
#include "td.h"

#define ROUNDS		10
#define NOISE		6	/* pages */

enum step { INIT_VM, ADD_VCPU, INIT_VCPU, ADD_MEMORY, INIT_MEMORY, FINALIZE, RUN, NR_STEPS };

FIXTURE(td_refusals) {
	struct td *td, *other;
	struct meter before, warm;
};

/*
 * @want of the @step in which the @after + 1st call of @leaf and @times - 1 more fail by
 * @status; and whether KVM says so in its log and kills the TD.
 */
FIXTURE_VARIANT(td_refusals) {
	enum step step;
	const char *leaf, *status;
	unsigned int after, times;
	int want;
	bool dead;
};

#define LIVES(name, step_, leaf_, status_, after_, times_, want_)		\
	FIXTURE_VARIANT_ADD(td_refusals, tdx_##name)				\
	{ step_, leaf_, status_, after_, times_, want_, false }
#define DIES(name, step_, leaf_, status_, after_)				\
	FIXTURE_VARIANT_ADD(td_refusals, tdx_##name)				\
	{ step_, leaf_, status_, after_, 1, EIO, true }

/* KVM tries ten times to get entropy, then user space may. */
LIVES(create_no_entropy, INIT_VM, "MNG.CREATE", "RND_NO_ENTROPY", 0, 10, EAGAIN);
LIVES(addcx_no_entropy, INIT_VM, "MNG.ADDCX", "RND_NO_ENTROPY", 0, 10, EAGAIN);
LIVES(last_addcx_no_entropy, INIT_VM, "MNG.ADDCX", "RND_NO_ENTROPY", 3, 10, EAGAIN);
LIVES(init_refused, INIT_VM, "MNG.INIT", "OPERAND_INVALID|RCX", 0, 1, EINVAL);
LIVES(finalize_busy, FINALIZE, "MR.FINALIZE", "OPERAND_BUSY|TDR", 0, 1, EBUSY);

DIES(create_refused, INIT_VM, "MNG.CREATE", "OPERAND_INVALID|RCX", 0);
DIES(addcx_refused, INIT_VM, "MNG.ADDCX", "PAGE_METADATA_INCORRECT|RCX", 0);
DIES(last_addcx_refused, INIT_VM, "MNG.ADDCX", "PAGE_METADATA_INCORRECT|RCX", 3);
DIES(init_failed, INIT_VM, "MNG.INIT", "OP_STATE_INCORRECT", 0);
DIES(vp_create_refused, INIT_VCPU, "VP.CREATE", "PAGE_METADATA_INCORRECT|RCX", 0);
DIES(vp_addcx_refused, INIT_VCPU, "VP.ADDCX", "PAGE_METADATA_INCORRECT|RCX", 0);
DIES(last_vp_addcx_refused, INIT_VCPU, "VP.ADDCX", "PAGE_METADATA_INCORRECT|RCX", 3);
DIES(vp_init_refused, INIT_VCPU, "VP.INIT", "X2APIC_ID_NOT_UNIQUE", 0);
DIES(page_add_refused, INIT_MEMORY, "MEM.PAGE.ADD", "PAGE_METADATA_INCORRECT|R8", 2);
DIES(sept_add_refused, INIT_MEMORY, "MEM.SEPT.ADD", "PAGE_METADATA_INCORRECT|R8", 1);
DIES(extend_refused, INIT_MEMORY, "MR.EXTEND", "OPERAND_INVALID|RCX", 0);
DIES(later_extend_refused, INIT_MEMORY, "MR.EXTEND", "OPERAND_INVALID|RCX", 37);
DIES(finalize_refused, FINALIZE, "MR.FINALIZE", "NO_VCPUS", 0);

FIXTURE_SETUP(td_refusals)
{
	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(meter_read(&self->before));
}

FIXTURE_TEARDOWN(td_refusals)
{
	td_close(self->td);
	td_close(self->other);
}

/* Once, as td_init() does not take EAGAIN for an answer. */
static int init_vm(struct td *td)
{
	struct kvm_tdx_init_vm *init;
	int rc = td_init_params(td, &(struct td_plan){}, &init);

	if (rc)
		return rc;
	rc = td_cmd(td_vm(td), KVM_TDX_INIT_VM, 0, init, NULL);
	free(init);
	return rc;
}

static int take(struct td *td, enum step step)
{
	switch (step) {
	case INIT_VM:
		return init_vm(td);
	case ADD_VCPU:
		return td_add_vcpu(td);
	case INIT_VCPU:
		return td_init_vcpu(td, 0, 0);
	case ADD_MEMORY:
		return td_add_payload(td);
	case INIT_MEMORY:
		return td_load_payload(td, true);
	case FINALIZE:
		return td_finalize(td);
	default:
		return td_pages(td, 0, TD_OP_NONE, 0, 0, 0, 0);
	}
}

/* A TD one of whose steps is refused. */
static void live(struct __test_metadata *_metadata, FIXTURE_DATA(td_refusals) *self,
		 const FIXTURE_VARIANT(td_refusals) *variant)
{
	struct kvm_tdx_capabilities *caps;
	enum step step;
	char when[64];

	ASSERT_OK(td_open(&self->td));
	for (step = INIT_VM; step < variant->step; step++)
		ASSERT_OK(take(self->td, step));

	snprintf(when, sizeof(when), "after=%u times=%u", variant->after, variant->times);
	ASSERT_OK(emulator_inject(variant->leaf, variant->status, when));
	EXPECT_ERR(variant->want, take(self->td, variant->step));
	ASSERT_OK(emulator_reset());

	if (variant->dead) {
		EXPECT_ERR(EIO, take(self->td, variant->step));
		EXPECT_ERR(EIO, td_capabilities(td_vm(self->td), &caps));
	} else {
		for (; step < NR_STEPS; step++)
			EXPECT_OK(take(self->td, step));
	}
	td_close(self->td);
	self->td = NULL;
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

TEST_F(td_refusals, are_answered_and_lose_nothing)
{
	unsigned int i;

	if (variant->dead) {
		supervise_expect_kmsg("SEAMCALL failed");
		supervise_allow_kmsg("WARN");
	}
	/* Of the first the kernel keeps what it allocates once. */
	live(_metadata, self, variant);
	ASSERT_OK(meter_read(&self->warm));
	for (i = 0; i < ROUNDS; i++)
		live(_metadata, self, variant);
	EXPECT_BACK(&self->warm, METER_LOST, NOISE);

	ASSERT_OK(td_create(&self->other, &(struct td_plan){}));
	EXPECT_OK(take(self->other, RUN));
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_EMULATOR, .seconds = 60, .serial = true)
