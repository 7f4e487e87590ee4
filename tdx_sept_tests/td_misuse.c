// SPDX-License-Identifier: GPL-2.0-only
/*
 * What user space may ask of any vCPU, but makes no sense for a TD's, is refused or
 * has no effect: the kernel has nothing to complain of, and the TD runs on.
 *
 * KVM knows little of a TD's vCPU: the TDX module has its registers, its VMCS and its
 * events.  Code that forgets so reads what is not there, asks the module for what it
 * does not grant, or takes a struct vcpu_tdx for a struct vcpu_vmx.
 *
 * What is asked here comes from one ioctl, or one and KVM_RUN, of whoever may open
 * /dev/kvm.  Where a kernel that gets it wrong may not survive, it is asked in the
 * emulated machine only.
 *
 * arch/x86/kvm/x86.c kvm_arch_vcpu_ioctl(), arch/x86/kvm/vmx/main.c.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "emulator.h"
#include "gmem.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull

/* Of IA32_MCi_STATUS and IA32_MCG_STATUS. */
#define MCI_STATUS_VAL	(1ull << 63)
#define MCI_STATUS_UC	(1ull << 61)
#define MCI_STATUS_EN	(1ull << 60)
#define MCI_STATUS_AR	(1ull << 55)
#define MCG_STATUS_RIPV	(1ull << 0)
#define MCG_STATUS_MCIP	(1ull << 2)

#define PAGE_FAULT	14

FIXTURE(td_misuse) {
	struct td *td;
	struct meter before;
	int vcpu;
};

FIXTURE_VARIANT(td_misuse) {
	struct td_plan plan;
};

FIXTURE_VARIANT_ADD(td_misuse, tdx) { .plan.nr_vcpus = 2 };

static int nothing(struct td *td, unsigned int vcpu)
{
	return td_pages(td, vcpu, TD_OP_NONE, 0, 0, 0, 0);
}

/* A TD both of whose vCPUs have run. */
FIXTURE_SETUP(td_misuse)
{
	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(meter_read(&self->before));
	ASSERT_OK(td_create(&self->td, &variant->plan));
	ASSERT_OK(nothing(self->td, 0));
	ASSERT_OK(nothing(self->td, 1));
	self->vcpu = td_vcpu(self->td, 0);
}

FIXTURE_TEARDOWN(td_misuse)
{
	td_close(self->td);
}

/* It runs on, and its end is as any other's. */
#define EXPECT_LIFE() do {						\
	EXPECT_OK(nothing(self->td, 0));				\
	EXPECT_OK(nothing(self->td, 1));				\
	td_close(self->td);						\
	self->td = NULL;						\
	EXPECT_BACK(&self->before, METER_HKIDS, 0);			\
} while (0)

/* @call is refused by that errno, or has no effect. */
#define EXPECT_REFUSED_OR_IGNORED(err, call) do {			\
	int __rc = (call);						\
									\
	suite_check_rc(_metadata, __FILE__, __LINE__, #call, __rc, __rc ? -(err) : 0); \
} while (0)

/*
 * vCPUs that cannot run
 */

/*
 * The TDX module has disabled the vCPU and refuses to make an NMI pending for it; that
 * is its last word on this vCPU, and no reason to kill the TD.
 */
TEST_F(td_misuse, by_an_nmi_to_a_vcpu_after_its_triple_fault)
{
	struct td_mailbox order = { .op = TD_OP_TRIPLE_FAULT };

	ASSERT_ERR(ESHUTDOWN, td_order(self->td, 0, &order));
	EXPECT_REFUSED_OR_IGNORED(EINVAL, RC(ioctl(self->vcpu, KVM_NMI, 0)));
	EXPECT_NE(-EIO, RC(ioctl(self->vcpu, KVM_RUN, 0)));
	EXPECT_OK(nothing(self->td, 1));
	td_close(self->td);
	self->td = NULL;
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

TEST_F(td_misuse, by_running_a_vcpu_after_its_triple_fault)
{
	struct td_mailbox order = { .op = TD_OP_TRIPLE_FAULT };

	ASSERT_ERR(ESHUTDOWN, td_order(self->td, 0, &order));
	EXPECT_NE(-EIO, RC(ioctl(self->vcpu, KVM_RUN, 0)));
	EXPECT_OK(nothing(self->td, 1));
	td_close(self->td);
	self->td = NULL;
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

/*
 * The second vCPU has missed KVM_TDX_INIT_VCPU: the module knows nothing of it.  To
 * pre-fault, KVM loads its page tables, and with them the shared EPT pointer, into the
 * vCPU.
 */
TEST_F(td_misuse, by_a_prefault_of_a_vcpu_that_was_never_ready)
{
	struct kvm_pre_fault_memory range = { .gpa = TD_PAYLOAD_GPA, .size = PAGE_BYTES };
	struct td *td;

	td_close(self->td);
	self->td = NULL;
	ASSERT_OK(td_open(&td));
	self->td = td;
	ASSERT_OK(td_init(td, &variant->plan));
	ASSERT_OK(td_add_vcpu(td));
	ASSERT_OK(td_init_vcpu(td, 0, 0));
	ASSERT_OK(td_add_vcpu(td));
	ASSERT_OK(td_add_payload(td));
	ASSERT_OK(td_load_payload(td, true));
	ASSERT_OK(td_finalize(td));

	EXPECT_REFUSED_OR_IGNORED(EINVAL, RC(ioctl(td_vcpu(td, 1), KVM_PRE_FAULT_MEMORY, &range)));
	EXPECT_OK(nothing(td, 0));
	td_close(td);
	self->td = NULL;
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

/*
 * Events
 */

static int set_events(int vcpu, struct kvm_vcpu_events *events)
{
	return RC(ioctl(vcpu, KVM_SET_VCPU_EVENTS, events));
}

TEST_F(td_misuse, by_setting_the_events_that_it_has)
{
	struct kvm_vcpu_events events = {};

	EXPECT_OK(RC(ioctl(self->vcpu, KVM_GET_VCPU_EVENTS, &events)));
	EXPECT_OK(set_events(self->vcpu, &events));
	EXPECT_LIFE();
}

/* Only the guest itself can raise an exception in a TD. */
TEST_F(td_misuse, by_an_exception)
{
	struct kvm_vcpu_events events = {
		.exception = { .injected = 1, .nr = PAGE_FAULT, .has_error_code = 1 },
	};

	EXPECT_REFUSED_OR_IGNORED(EINVAL, set_events(self->vcpu, &events));
	EXPECT_LIFE();
}

TEST_F(td_misuse, by_an_interrupt_of_an_8259)
{
	struct kvm_interrupt interrupt = { .irq = 0x31 };

	EXPECT_REFUSED_OR_IGNORED(EINVAL, RC(ioctl(self->vcpu, KVM_INTERRUPT, &interrupt)));
	EXPECT_LIFE();
}

TEST_F(td_misuse, by_an_interrupt_in_delivery)
{
	struct kvm_vcpu_events events = { .interrupt = { .injected = 1, .nr = 0x32 } };

	EXPECT_REFUSED_OR_IGNORED(EINVAL, set_events(self->vcpu, &events));
	EXPECT_LIFE();
}

/* KVM would wait for the first to be delivered before the second. */
TEST_F(td_misuse, by_an_interrupt_behind_one_in_delivery)
{
	struct kvm_vcpu_events events = { .interrupt = { .injected = 1, .nr = 0x32 } };
	struct kvm_interrupt interrupt = { .irq = 0x31 };

	EXPECT_REFUSED_OR_IGNORED(EINVAL, set_events(self->vcpu, &events));
	EXPECT_REFUSED_OR_IGNORED(EINVAL, RC(ioctl(self->vcpu, KVM_INTERRUPT, &interrupt)));
	EXPECT_LIFE();
}

/* A TD has no SMM: KVM_SMI says so, and these are other ways to it. */
TEST_F(td_misuse, by_a_pending_smi)
{
	struct kvm_vcpu_events events = {
		.flags = KVM_VCPUEVENT_VALID_SMM,
		.smi.pending = 1,
	};

	EXPECT_REFUSED_OR_IGNORED(EINVAL, set_events(self->vcpu, &events));
	EXPECT_LIFE();
}

TEST_F(td_misuse, by_being_in_smm)
{
	struct kvm_vcpu_events events = {
		.flags = KVM_VCPUEVENT_VALID_SMM,
		.smi.smm = 1,
	};

	REQUIRE(emulator_why_not());
	ASSERT_ERR(EINVAL, set_events(self->vcpu, &events));
	EXPECT_LIFE();
}

/* Nor can it be reset. */
TEST_F(td_misuse, by_a_latched_init)
{
	struct kvm_vcpu_events events = {
		.flags = KVM_VCPUEVENT_VALID_SMM,
		.smi.latched_init = 1,
	};

	EXPECT_REFUSED_OR_IGNORED(EINVAL, set_events(self->vcpu, &events));
	EXPECT_LIFE();
}

TEST_F(td_misuse, by_each_mp_state)
{
	struct kvm_mp_state mp_state;
	unsigned int i;

	for (i = 0; i <= KVM_MP_STATE_AP_RESET_HOLD; i++) {
		mp_state.mp_state = i;
		EXPECT_REFUSED_OR_IGNORED(EINVAL, RC(ioctl(self->vcpu, KVM_SET_MP_STATE, &mp_state)));
	}
	mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
	ASSERT_OK(RC(ioctl(self->vcpu, KVM_SET_MP_STATE, &mp_state)));
	EXPECT_LIFE();
}

/* Which a VMM sends when it got SIGBUS for a page of the guest. */
TEST_F(td_misuse, by_a_machine_check)
{
	struct kvm_x86_mce mce = {
		.status = MCI_STATUS_VAL | MCI_STATUS_UC | MCI_STATUS_EN | MCI_STATUS_AR,
		.mcg_status = MCG_STATUS_RIPV | MCG_STATUS_MCIP,
		.addr = GUEST_GPA,
		.bank = 1,
	};
	__u64 mcg_cap = 10 | 1 << 8;	/* banks; IA32_MCG_CTL is there */

	EXPECT_REFUSED_OR_IGNORED(EINVAL, RC(ioctl(self->vcpu, KVM_X86_SETUP_MCE, &mcg_cap)));
	EXPECT_REFUSED_OR_IGNORED(EINVAL, RC(ioctl(self->vcpu, KVM_X86_SET_MCE, &mce)));
	/* What it comes to is open: a VMM may want its TD to end. */
	EXPECT_NE(-EIO, RC(ioctl(self->vcpu, KVM_RUN, 0)));
	EXPECT_OK(nothing(self->td, 1));
	td_close(self->td);
	self->td = NULL;
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

/*
 * What only a VMX vCPU has
 */

TEST_F(td_misuse, by_translating_an_address)
{
	struct kvm_translation tr = { .linear_address = TD_PAYLOAD_GPA };

	EXPECT_REFUSED_OR_IGNORED(EINVAL, RC(ioctl(self->vcpu, KVM_TRANSLATE, &tr)));
	EXPECT_LIFE();
}

TEST_F(td_misuse, by_stopping_its_clock)
{
	EXPECT_REFUSED_OR_IGNORED(EINVAL, RC(ioctl(self->vcpu, KVM_KVMCLOCK_CTRL, 0)));
	EXPECT_LIFE();
}

/* There is no nested virtualization in a TD. */
TEST_F(td_misuse, by_asking_for_nested_state)
{
	union {
		struct kvm_nested_state state;
		char bytes[4 * PAGE_BYTES];
	} nested = { .state.size = sizeof(nested) };

	REQUIRE(emulator_why_not());
	EXPECT_REFUSED_OR_IGNORED(EINVAL, RC(ioctl(self->vcpu, KVM_GET_NESTED_STATE, &nested)));
	EXPECT_LIFE();
}

TEST_F(td_misuse, by_setting_no_nested_state)
{
	struct kvm_nested_state state = {
		.size = sizeof(state),
		.hdr.vmx = { .vmxon_pa = -1ull, .vmcs12_pa = -1ull },
	};

	REQUIRE(emulator_why_not());
	EXPECT_REFUSED_OR_IGNORED(EINVAL, RC(ioctl(self->vcpu, KVM_SET_NESTED_STATE, &state)));
	EXPECT_LIFE();
}

TEST_F(td_misuse, by_setting_nested_state)
{
	struct kvm_nested_state state = {
		.size = sizeof(state),
		.hdr.vmx = { .vmxon_pa = PAGE_BYTES, .vmcs12_pa = -1ull },
	};

	REQUIRE(emulator_why_not());
	EXPECT_ERR(EINVAL, RC(ioctl(self->vcpu, KVM_SET_NESTED_STATE, &state)));
	EXPECT_LIFE();
}

TEST_F(td_misuse, by_an_enlightened_vmcs)
{
	__u16 version = 0;
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_HYPERV_ENLIGHTENED_VMCS,
		.args = { (__u64)&version },
	};
	int rc;

	REQUIRE(emulator_why_not());
	rc = RC(ioctl(self->vcpu, KVM_ENABLE_CAP, &cap));
	if (rc != -ENOTTY) {
		EXPECT_REFUSED_OR_IGNORED(EINVAL, rc);
	}
	EXPECT_LIFE();
}

/*
 * CPUID
 */

static int set_gpa_bits(const struct td *td, unsigned int bits)
{
	struct kvm_cpuid2 *cpuid;
	int rc = td_vcpu_cpuid(td, &cpuid);

	if (rc)
		return rc;
	td_set_cpuid_width(cpuid, bits);
	rc = RC(ioctl(td_vcpu(td, 0), KVM_SET_CPUID2, cpuid));
	free(cpuid);
	return rc;
}

/*
 * The vCPU is told of wider addresses than the TD has; KVM then takes its page tables
 * to have a level more.
 */
TEST_F(td_misuse, by_a_cpuid_with_another_address_width)
{
	struct td *td;

	td_close(self->td);
	self->td = NULL;
	ASSERT_OK(td_open(&td));
	self->td = td;
	ASSERT_OK(td_init(td, &variant->plan));
	ASSERT_OK(td_add_vcpu(td));
	ASSERT_OK(td_add_vcpu(td));
	EXPECT_REFUSED_OR_IGNORED(EINVAL, set_gpa_bits(td, 52));
	ASSERT_OK(td_init_vcpu(td, 0, 0));
	ASSERT_OK(td_init_vcpu(td, 1, 0));
	ASSERT_OK(td_add_payload(td));
	ASSERT_OK(td_load_payload(td, true));
	ASSERT_OK(td_finalize(td));
	EXPECT_LIFE();
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM, .seconds = 5, .serial = true)
