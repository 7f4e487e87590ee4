// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TD's life, step by step: each step works when its turn has come, and wherever
 * the life ends, keyid and memory come back.
 *
 * Documentation/virt/kvm/x86/intel-tdx.rst has the order of the steps.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "gmem.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define RCX		0x1122334455667788ull

/* Rounds, and pages that may be missing after them: a leak is one per round. */
#define ROUNDS		32
#define TOLERANCE	16

/* Of TDREPORT: TDINFO's attributes, XFAM and MRTD. */
#define REPORT_BYTES		1024
#define REPORT_ATTRIBUTES	512
#define REPORT_XFAM		520
#define REPORT_MRTD		528
#define MRTD_BYTES		48
#define TDG_MR_REPORT		4

#define CPUID_GPA_BITS	0xff0000	/* of 0x80000008.EAX */
#define CPUID_TDX_ID		0x21	/* "IntelTDX    " */

FIXTURE(td_life) {
	struct td *td, *other;
	struct kvm_tdx_capabilities *caps;
	struct kvm_cpuid2 *cpuid;
	struct meter before;
};

FIXTURE_VARIANT(td_life) {
	struct td_plan plan;
};

/* Whether touching a page that is not accepted raises #VE or ends the TD. */
FIXTURE_VARIANT_ADD(td_life, tdx) {};
FIXTURE_VARIANT_ADD(td_life, tdx_wide) { .plan.gpa_bits = 52 };
FIXTURE_VARIANT_ADD(td_life, tdx_no_ve) { .plan.attributes = TD_ATTR_SEPT_VE_DISABLE };

FIXTURE_SETUP(td_life)
{
	REQUIRE(need_join(guest_why_not(GUEST_TDX), td_width_why_not(&variant->plan), NEED_END));
	ASSERT_OK(meter_read(&self->before));
}

FIXTURE_TEARDOWN(td_life)
{
	free(self->caps);
	free(self->cpuid);
	td_close(self->td);
	td_close(self->other);
}

/*
 * Steps
 */

TEST_F(td_life, begins_with_capabilities)
{
	struct kvm_cpuid_entry2 *e;
	bool gpa_bits = false;
	unsigned int i;

	ASSERT_OK(td_open(&self->td));
	ASSERT_OK(td_capabilities(td_vm(self->td), &self->caps));
	EXPECT_TRUE(self->caps->supported_attrs & TD_ATTR_SEPT_VE_DISABLE);
	/* x87 and SSE */
	EXPECT_EQ(3, self->caps->supported_xfam & 3);
	EXPECT_LT(0, self->caps->cpuid.nent);
	for (i = 0; i < self->caps->cpuid.nent; i++) {
		e = &self->caps->cpuid.entries[i];
		if (e->function == 0x80000008)
			gpa_bits = (e->eax >> 16 & 0xff) == 0xff;
	}
	EXPECT_TRUE(gpa_bits);
}

TEST_F(td_life, keeps_its_capabilities)
{
	struct kvm_tdx_capabilities *again;
	size_t bytes;

	ASSERT_OK(td_open(&self->td));
	ASSERT_OK(td_capabilities(td_vm(self->td), &self->caps));
	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_OK(td_capabilities(td_vm(self->td), &again));
	bytes = sizeof(*again) + again->cpuid.nent * sizeof(*again->cpuid.entries);
	EXPECT_EQ(0, memcmp(self->caps, again, bytes));
	free(again);
}

TEST_F(td_life, takes_a_keyid_with_init_and_gives_it_back)
{
	struct meter now;

	REQUIRE(meter_why_not(METER_HKIDS));
	ASSERT_OK(td_open(&self->td));
	ASSERT_OK(meter_read(&now));
	EXPECT_EQ(self->before.value[METER_HKIDS], now.value[METER_HKIDS]);

	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_OK(meter_read(&now));
	EXPECT_EQ(self->before.value[METER_HKIDS] + 1, now.value[METER_HKIDS]);

	td_close(self->td);
	self->td = NULL;
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

static int step_init(struct td *td, const struct td_plan *plan)
{
	return td_init(td, plan);
}

static int step_add_vcpu(struct td *td, const struct td_plan *plan)
{
	(void)plan;
	return td_add_vcpu(td);
}

static int step_init_vcpu(struct td *td, const struct td_plan *plan)
{
	(void)plan;
	return td_init_vcpu(td, 0, 0);
}

static int step_add_payload(struct td *td, const struct td_plan *plan)
{
	(void)plan;
	return td_add_payload(td);
}

static int step_load_payload(struct td *td, const struct td_plan *plan)
{
	return td_load_payload(td, !plan->unmeasured);
}

static int step_finalize(struct td *td, const struct td_plan *plan)
{
	(void)plan;
	return td_finalize(td);
}

static int step_run(struct td *td, const struct td_plan *plan)
{
	struct td_mailbox order = { .op = TD_OP_NONE };

	(void)plan;
	return td_order(td, 0, &order);
}

/* In their order; td_create() takes all but the last. */
static const struct {
	const char *name;
	int (*take)(struct td *td, const struct td_plan *plan);
} steps[] = {
	{ "KVM_TDX_INIT_VM", step_init },
	{ "KVM_CREATE_VCPU", step_add_vcpu },
	{ "KVM_TDX_INIT_VCPU", step_init_vcpu },
	{ "slots", step_add_payload },
	{ "KVM_TDX_INIT_MEM_REGION", step_load_payload },
	{ "KVM_TDX_FINALIZE_VM", step_finalize },
	{ "KVM_RUN", step_run },
};

#define NR_STEPS (sizeof(steps) / sizeof(*steps))

TEST_F(td_life, can_end_after_each_step)
{
	unsigned int last, i;

	for (last = 0; last <= NR_STEPS; last++) {
		ASSERT_OK(td_open(&self->td));
		for (i = 0; i < last; i++) {
			suite_check_rc(_metadata, __FILE__, __LINE__, steps[i].name,
				       steps[i].take(self->td, &variant->plan), 0);
		}
		td_close(self->td);
		self->td = NULL;
		EXPECT_BACK(&self->before, METER_HKIDS, 0);
	}
}

/*
 * Claims: B08, B09, B32
 */
TEST_F(td_life, can_end_after_each_step_without_a_leak)
{
	unsigned int last, round, i;
	struct meter before;

	for (last = 0; last <= NR_STEPS; last++) {
		for (round = 0; round <= ROUNDS; round++) {
			/* What the kernel keeps after the first time is no leak. */
			if (round == 1)
				ASSERT_OK(meter_read(&before));
			ASSERT_OK(td_open(&self->td));
			for (i = 0; i < last; i++)
				ASSERT_OK(steps[i].take(self->td, &variant->plan));
			td_close(self->td);
			self->td = NULL;
		}
		EXPECT_BACK(&before, METER_LOST, TOLERANCE);
	}
}

/*
 * Claims: C14, B08, B32, B34
 */
TEST_F(td_life, can_end_in_any_order)
{
	unsigned int order;

	for (order = 0; order < 6; order++) {
		ASSERT_OK(td_create(&self->td, &variant->plan));
		ASSERT_OK(step_run(self->td, NULL));
		switch (order) {
		case 0:
			td_close_vcpu(self->td, 0);
			td_close_payload(self->td);
			break;
		case 1:
			td_close_payload(self->td);
			td_close_vcpu(self->td, 0);
			break;
		case 2:
			td_close_vm(self->td);
			td_close_payload(self->td);
			break;
		case 3:
			td_close_vm(self->td);
			td_close_vcpu(self->td, 0);
			break;
		case 4:
			td_close_payload(self->td);
			td_close_vm(self->td);
			break;
		}
		td_close(self->td);
		self->td = NULL;
		EXPECT_BACK(&self->before, METER_HKIDS, 0);
	}
}

TEST_F(td_life, ends_only_with_the_last_vcpu)
{
	struct meter now;
	int copy;

	REQUIRE(meter_why_not(METER_HKIDS));
	ASSERT_OK(td_create(&self->td, &variant->plan));
	copy = dup(td_vcpu(self->td, 0));
	ASSERT_SYS(copy);
	td_close(self->td);
	self->td = NULL;
	ASSERT_OK(meter_read(&now));
	EXPECT_EQ(self->before.value[METER_HKIDS] + 1, now.value[METER_HKIDS]);
	close(copy);
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

TEST_F(td_life, is_its_own_beside_another)
{
	struct meter now;

	REQUIRE(meter_why_not(METER_HKIDS));
	ASSERT_OK(td_create(&self->td, &variant->plan));
	ASSERT_OK(td_create(&self->other, &variant->plan));
	ASSERT_OK(meter_read(&now));
	EXPECT_EQ(self->before.value[METER_HKIDS] + 2, now.value[METER_HKIDS]);
	EXPECT_OK(step_run(self->td, NULL));
	EXPECT_OK(step_run(self->other, NULL));
	td_close(self->td);
	self->td = NULL;
	EXPECT_OK(step_run(self->other, NULL));
	td_close(self->other);
	self->other = NULL;
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

/*
 * What the TD gets of it
 */

TEST_F(td_life, passes_index_and_rcx_to_each_vcpu)
{
	struct td_plan plan = variant->plan;
	struct td_mailbox box;
	unsigned int i;

	plan.nr_vcpus = 2;
	ASSERT_OK(td_open(&self->td));
	ASSERT_OK(td_init(self->td, &plan));
	for (i = 0; i < plan.nr_vcpus; i++) {
		ASSERT_OK(td_add_vcpu(self->td));
		ASSERT_OK(td_init_vcpu(self->td, i, RCX + i));
	}
	ASSERT_OK(td_add_payload(self->td));
	ASSERT_OK(td_load_payload(self->td, true));
	ASSERT_OK(td_finalize(self->td));

	for (i = plan.nr_vcpus; i--;) {
		box = (struct td_mailbox){ .op = TD_OP_NONE };
		ASSERT_OK(td_order(self->td, i, &box));
		EXPECT_EQ(i, box.start_index);
		EXPECT_EQ(RCX + i, box.start_rcx);
	}
}

/* The registers that CPUID gives, as the guest sees them. */
static int guest_cpuid(struct td *td, struct kvm_cpuid_entry2 *e, struct td_regs *got)
{
	struct td_mailbox order = {
		.op = TD_OP_CPUID,
		.regs = { .rax = e->function, .rcx = e->index },
	};
	int rc = td_order(td, 0, &order);

	*got = order.regs;
	return rc;
}

/*
 * Leaves that tell the same at any time and on any CPU.  The others have the APIC
 * ID, OSXSAVE and the like, or the module answers them by #VE.
 */
static bool steady(const struct kvm_cpuid_entry2 *e)
{
	switch (e->function) {
	case 0:
	case 7:
	case CPUID_TDX_ID:
	case 0x80000000:
	case 0x80000002 ... 0x80000004:
	case 0x80000008:
		return true;
	default:
		return false;
	}
}

TEST_F(td_life, shows_the_cpuid_that_kvm_tells)
{
	struct kvm_cpuid_entry2 *e;
	char want[80], seen[80];
	unsigned int i, nr = 0;
	struct td_regs got;

	ASSERT_OK(td_open(&self->td));
	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	ASSERT_OK(td_get_cpuid(self->td, 0, &self->cpuid));
	ASSERT_OK(td_add_payload(self->td));
	ASSERT_OK(td_load_payload(self->td, true));
	ASSERT_OK(td_finalize(self->td));

	for (i = 0; i < self->cpuid->nent; i++) {
		e = &self->cpuid->entries[i];
		if (!steady(e))
			continue;
		nr++;
		ASSERT_OK(guest_cpuid(self->td, e, &got));
		/* KVM tells the width of GPAs, which older TDX modules do not. */
		if (e->function == 0x80000008) {
			e->eax &= ~CPUID_GPA_BITS;
			got.rax &= ~CPUID_GPA_BITS;
		}
		snprintf(want, sizeof(want), "%#x.%x: %x %x %x %x", e->function, e->index,
			 e->eax, e->ebx, e->ecx, e->edx);
		snprintf(seen, sizeof(seen), "%#x.%x: %llx %llx %llx %llx", e->function,
			 e->index, got.rax, got.rbx, got.rcx, got.rdx);
		EXPECT_STREQ(want, seen);
	}
	EXPECT_LE(4, nr);
}

TEST_F(td_life, says_to_the_guest_what_it_is)
{
	struct td_mailbox order = {
		.op = TD_OP_CPUID,
		.regs.rax = CPUID_TDX_ID,
	};

	ASSERT_OK(td_create(&self->td, &variant->plan));
	ASSERT_OK(td_order(self->td, 0, &order));
	EXPECT_EQ(0x65746e49, order.regs.rbx);	/* "Inte" */
	EXPECT_EQ(0x5844546c, order.regs.rdx);	/* "lTDX" */
	EXPECT_EQ(0x20202020, order.regs.rcx);
}

/* TDREPORT, into the mailboxes' page, which the host can read. */
static int report(struct td *td, char *out)
{
	const __u64 shared = td_shared_bit(td);
	struct td_regs regs = {
		.rax = TDG_MR_REPORT,
		.rcx = shared | (TD_MAILBOX_GPA + 3 * REPORT_BYTES),
		.rdx = shared | (TD_MAILBOX_GPA + 2 * REPORT_BYTES),
	};
	int rc = td_tdcall(td, 0, &regs);

	if (rc)
		return rc;
	if (regs.rax)
		return -EPROTO;
	memcpy(out, td_mailbox_page(td) + 3 * REPORT_BYTES, REPORT_BYTES);
	return 0;
}

TEST_F(td_life, is_measured_page_by_page)
{
	char one[REPORT_BYTES], two[REPORT_BYTES], zero[MRTD_BYTES] = {};
	struct td_plan plan = variant->plan;

	ASSERT_OK(td_create(&self->td, &plan));
	ASSERT_OK(report(self->td, one));
	EXPECT_NE(0, memcmp(one + REPORT_MRTD, zero, MRTD_BYTES));

	/* The same memory, the same measurement. */
	ASSERT_OK(td_create(&self->other, &plan));
	ASSERT_OK(report(self->other, two));
	EXPECT_EQ(0, memcmp(one + REPORT_MRTD, two + REPORT_MRTD, MRTD_BYTES));
	td_close(self->other);
	self->other = NULL;

	/* Not extended: only that there are pages. */
	plan.unmeasured = true;
	ASSERT_OK(td_create(&self->other, &plan));
	ASSERT_OK(report(self->other, two));
	EXPECT_NE(0, memcmp(one + REPORT_MRTD, two + REPORT_MRTD, MRTD_BYTES));
}

TEST_F(td_life, has_the_attributes_it_was_given)
{
	char got[REPORT_BYTES];
	__u64 value;

	ASSERT_OK(td_create(&self->td, &variant->plan));
	ASSERT_OK(td_capabilities(td_vm(self->td), &self->caps));
	ASSERT_OK(report(self->td, got));
	memcpy(&value, got + REPORT_ATTRIBUTES, sizeof(value));
	EXPECT_EQ(variant->plan.attributes, value & TD_ATTR_SEPT_VE_DISABLE);
	memcpy(&value, got + REPORT_XFAM, sizeof(value));
	EXPECT_EQ(self->caps->supported_xfam, value);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM, .seconds = 300, .serial = true)
