// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each TDVMCALL that KVM knows gets its answer, from KVM or from user space, and
 * each wrong one the status that the GHCI has for it; instructions that raise #VE
 * end up as one of them.
 *
 * Guest-Hypervisor Communication Interface (GHCI) for TDX; handle_tdvmcall() and
 * what tdcall_to_vmx_exit_reason() leads to, arch/x86/kvm/vmx/tdx.c.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <linux/kvm_para.h>

#include "gmem.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	8
#define SHARED		td_shared_bit(self->td)
#define HOLE_GPA	0x200000000ull	/* no slot is there */
#define PORT		0x321

/* Leaves; the first are VMX exit reasons. */
#define CALL_CPUID	10
#define CALL_HLT	12
#define CALL_IO		30
#define CALL_RDMSR	31
#define CALL_WRMSR	32
#define CALL_MMIO	48
#define CALL_INFO	0x10000
#define CALL_MAP_GPA	0x10001
#define CALL_QUOTE	0x10002
#define CALL_FATAL	0x10003
#define CALL_NOTIFY	0x10004

#define SUCCESS		0ull
#define RETRY		1ull
#define INVALID		0x8000000000000000ull
#define ALIGN_ERROR	0x8000000000000002ull
#define UNSUPPORTED	0x8000000000000003ull

#define MSR_APIC_SPIV	0x80f
#define MSR_MTRR_CAP	0xfe
#define MSR_MISC_ENABLE	0x1a0
#define MSR_UNKNOWN	0x1234
#define SPIV_ENABLED	0x1ff
#define VECTOR		41

FIXTURE(td_calls) {
	struct guest *g;
	struct td *td;
	unsigned int nr_exits;
	struct kvm_run last;		/* as at the last exit of @wanted */
	unsigned int wanted;		/* KVM_EXIT_* */
	__u64 answer;			/* to reads; to KVM_EXIT_TDX and MapGPA: the status */
	__u64 data;			/* of the last port or MMIO exit */
};

FIXTURE_VARIANT(td_calls) {
	struct td_plan plan;
};

FIXTURE_VARIANT_ADD(td_calls, tdx) {};
FIXTURE_VARIANT_ADD(td_calls, tdx_wide) { .plan.gpa_bits = 52 };
FIXTURE_VARIANT_ADD(td_calls, tdx_no_ve) { .plan.attributes = TD_ATTR_SEPT_VE_DISABLE };

FIXTURE_SETUP(td_calls)
{
	REQUIRE(need_join(guest_why_not(GUEST_TDX), td_width_why_not(&variant->plan), NEED_END));
	ASSERT_OK(guest_create_td(&self->g, &variant->plan, NR_PAGES));
	self->td = guest_td(self->g);
}

FIXTURE_TEARDOWN(td_calls)
{
	guest_destroy(self->g);
}

/* Note the exits of one kind, and answer them. */
static int on_exit_(struct td *td, unsigned int vcpu, struct kvm_run *run, void *arg)
{
	FIXTURE_DATA(td_calls) *self = arg;
	void *io = (char *)run + run->io.data_offset;

	(void)td;
	(void)vcpu;
	if (run->exit_reason != self->wanted)
		return 0;
	self->nr_exits++;
	self->last = *run;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (run->io.direction == KVM_EXIT_IO_IN)
			memcpy(io, &self->answer, run->io.size);
		else
			memcpy(&self->data, io, run->io.size);
		return 1;
	case KVM_EXIT_MMIO:
		if (run->mmio.is_write)
			memcpy(&self->data, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, &self->answer, run->mmio.len);
		return 1;
	case KVM_EXIT_HYPERCALL:
		run->hypercall.ret = self->answer;
		return 1;
	case KVM_EXIT_TDX:
		run->tdx.unknown.ret = self->answer;
		return 1;
	default:
		return 0;
	}
}

#define WATCH(reason, value) do {					\
	self->wanted = (reason);					\
	self->answer = (value);						\
	self->nr_exits = 0;						\
	self->data = 0;							\
	td_on_exit(self->td, on_exit_, self);				\
} while (0)

/* The call comes back with @status and has left to user space @exits times. */
#define EXPECT_CALL(status, exits, leaf, ...) ({			\
	struct td_regs __r = { __VA_ARGS__ };				\
	const unsigned int __exits = self->nr_exits + (exits);		\
									\
	EXPECT_OK(td_vmcall(self->td, 0, leaf, &__r));			\
	EXPECT_EQ(status, __r.r10);					\
	EXPECT_EQ(__exits, self->nr_exits);				\
	__r;								\
})

/*
 * Ports and MMIO
 */

TEST_F(td_calls, io_writes_to_user_space)
{
	const unsigned int sizes[] = { 1, 2, 4 };
	__u64 value = 0x1122334455667788;
	unsigned int i;

	WATCH(KVM_EXIT_IO, 0);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_CALL(SUCCESS, 1, CALL_IO, .r12 = sizes[i], .r13 = 1, .r14 = PORT,
			    .r15 = value);
		EXPECT_EQ(PORT, self->last.io.port);
		EXPECT_EQ(sizes[i], self->last.io.size);
		EXPECT_EQ(KVM_EXIT_IO_OUT, self->last.io.direction);
		EXPECT_EQ(value & ((1ull << 8 * sizes[i]) - 1), self->data);
	}
}

TEST_F(td_calls, io_reads_from_user_space)
{
	const unsigned int sizes[] = { 1, 2, 4 };
	struct td_regs r;
	unsigned int i;

	WATCH(KVM_EXIT_IO, 0x99aabbcc);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		r = EXPECT_CALL(SUCCESS, 1, CALL_IO, .r12 = sizes[i], .r14 = PORT);
		EXPECT_EQ(KVM_EXIT_IO_IN, self->last.io.direction);
		EXPECT_EQ(self->answer & ((1ull << 8 * sizes[i]) - 1), r.r11);
	}
}

TEST_F(td_calls, io_refuses_other_sizes_and_directions)
{
	WATCH(KVM_EXIT_IO, 0);
	EXPECT_CALL(INVALID, 0, CALL_IO, .r12 = 0, .r13 = 1, .r14 = PORT);
	EXPECT_CALL(INVALID, 0, CALL_IO, .r12 = 3, .r13 = 1, .r14 = PORT);
	EXPECT_CALL(INVALID, 0, CALL_IO, .r12 = 8, .r13 = 1, .r14 = PORT);
	EXPECT_CALL(INVALID, 0, CALL_IO, .r12 = 1, .r13 = 2, .r14 = PORT);
	EXPECT_CALL(SUCCESS, 1, CALL_IO, .r12 = 1, .r13 = 1, .r14 = PORT);
}

TEST_F(td_calls, mmio_writes_to_user_space)
{
	const unsigned int sizes[] = { 1, 2, 4, 8 };
	__u64 value = 0x1122334455667788;
	unsigned int i;

	WATCH(KVM_EXIT_MMIO, 0);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_CALL(SUCCESS, 1, CALL_MMIO, .r12 = sizes[i], .r13 = 1,
			    .r14 = SHARED | (HOLE_GPA + 8), .r15 = value);
		EXPECT_EQ(HOLE_GPA + 8, self->last.mmio.phys_addr);
		EXPECT_EQ(sizes[i], self->last.mmio.len);
		EXPECT_EQ(1, self->last.mmio.is_write);
		EXPECT_EQ(0, memcmp(&value, &self->data, sizes[i]));
	}
}

TEST_F(td_calls, mmio_reads_from_user_space)
{
	const unsigned int sizes[] = { 1, 2, 4, 8 };
	struct td_regs r;
	unsigned int i;

	WATCH(KVM_EXIT_MMIO, 0x8877665544332211);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		r = EXPECT_CALL(SUCCESS, 1, CALL_MMIO, .r12 = sizes[i],
				.r14 = SHARED | HOLE_GPA);
		EXPECT_EQ(0, self->last.mmio.is_write);
		EXPECT_EQ(0, memcmp(&self->answer, &r.r11, sizes[i]));
	}
}

TEST_F(td_calls, mmio_refuses_private_addresses_and_other_sizes)
{
	WATCH(KVM_EXIT_MMIO, 0);
	EXPECT_CALL(INVALID, 0, CALL_MMIO, .r12 = 4, .r14 = HOLE_GPA);
	EXPECT_CALL(INVALID, 0, CALL_MMIO, .r12 = 4, .r13 = 1, .r14 = HOLE_GPA);
	EXPECT_CALL(INVALID, 0, CALL_MMIO, .r12 = 3, .r14 = SHARED | HOLE_GPA);
	EXPECT_CALL(INVALID, 0, CALL_MMIO, .r12 = 16, .r14 = SHARED | HOLE_GPA);
	EXPECT_CALL(INVALID, 0, CALL_MMIO, .r12 = 4, .r13 = 2, .r14 = SHARED | HOLE_GPA);
	EXPECT_CALL(SUCCESS, 1, CALL_MMIO, .r12 = 4, .r14 = SHARED | HOLE_GPA);
}

/*
 * CPUID and MSRs
 */

TEST_F(td_calls, cpuid_gives_what_kvm_has)
{
	struct td_regs r;

	WATCH(KVM_EXIT_UNKNOWN, 0);
	r = EXPECT_CALL(SUCCESS, 0, CALL_CPUID, .r12 = 0x40000000);
	/* "KVMKVMKVM" */
	EXPECT_EQ(0x4b4d564b, r.r13);
	EXPECT_EQ(0x564b4d56, r.r14);
	EXPECT_EQ(0x4d, r.r15);
}

TEST_F(td_calls, rdmsr_gives_what_kvm_has)
{
	struct td_regs r;

	WATCH(KVM_EXIT_UNKNOWN, 0);
	r = EXPECT_CALL(SUCCESS, 0, CALL_RDMSR, .r12 = MSR_MTRR_CAP);
	EXPECT_NE(0, r.r11);
	EXPECT_CALL(INVALID, 0, CALL_RDMSR, .r12 = MSR_UNKNOWN);
}

TEST_F(td_calls, wrmsr_is_found_again)
{
	struct td_regs r;

	WATCH(KVM_EXIT_UNKNOWN, 0);
	EXPECT_CALL(SUCCESS, 0, CALL_WRMSR, .r12 = MSR_APIC_SPIV, .r13 = SPIV_ENABLED);
	r = EXPECT_CALL(SUCCESS, 0, CALL_RDMSR, .r12 = MSR_APIC_SPIV);
	EXPECT_EQ(SPIV_ENABLED, r.r11);
	EXPECT_CALL(INVALID, 0, CALL_WRMSR, .r12 = MSR_UNKNOWN, .r13 = 1);
	EXPECT_CALL(INVALID, 0, CALL_WRMSR, .r12 = MSR_MTRR_CAP, .r13 = 1);
}

/*
 * HLT and interrupts
 */

static int enable_apic(struct td *td)
{
	struct td_regs r = { .r12 = MSR_APIC_SPIV, .r13 = SPIV_ENABLED };

	return td_vmcall(td, 0, CALL_WRMSR, &r) ?: r.r10 ? -EPROTO : 0;
}

#define EXPECT_IRQS(nr) do {						\
	struct td_mailbox __o = { .op = TD_OP_ENABLE_IRQS };		\
									\
	EXPECT_OK(td_order(self->td, 0, &__o));				\
	EXPECT_EQ(nr, __o.nr_irqs[VECTOR - TD_FIRST_IRQ]);		\
} while (0)

TEST_F(td_calls, hlt_ends_at_once_if_an_interrupt_is_pending)
{
	WATCH(KVM_EXIT_HLT, 0);
	ASSERT_OK(enable_apic(self->td));
	ASSERT_OK(td_interrupt(self->td, 0, VECTOR));
	EXPECT_CALL(SUCCESS, 0, CALL_HLT, .r12 = 0);
	EXPECT_IRQS(1);
	EXPECT_IRQS(1);
}

struct alarm {
	struct td *td;
	atomic_bool rings;
};

static void *interrupt_soon(void *arg)
{
	struct alarm *alarm = arg;

	usleep(20000);
	atomic_store(&alarm->rings, true);
	return (void *)(long)td_interrupt(alarm->td, 0, VECTOR);
}

TEST_F(td_calls, hlt_waits_for_an_interrupt)
{
	struct alarm alarm = { .td = self->td };
	pthread_t thread;
	void *rc;

	WATCH(KVM_EXIT_HLT, 0);
	ASSERT_OK(enable_apic(self->td));
	ASSERT_EQ(0, pthread_create(&thread, NULL, interrupt_soon, &alarm));
	EXPECT_CALL(SUCCESS, 0, CALL_HLT, .r12 = 0);
	EXPECT_TRUE(atomic_load(&alarm.rings));
	pthread_join(thread, &rc);
	EXPECT_OK((long)rc);
	EXPECT_IRQS(1);
}

TEST_F(td_calls, interrupts_reach_the_guest_one_by_one)
{
	unsigned int i;

	ASSERT_OK(enable_apic(self->td));
	for (i = 1; i <= 5; i++) {
		ASSERT_OK(td_interrupt(self->td, 0, VECTOR));
		EXPECT_IRQS(i);
	}
}

/*
 * What user space answers
 */

TEST_F(td_calls, info_of_leaf_0_is_all_zero)
{
	struct td_regs r;

	WATCH(KVM_EXIT_TDX, 0);
	r = EXPECT_CALL(SUCCESS, 0, CALL_INFO, .r12 = 0, .r13 = 1, .r14 = 1);
	EXPECT_EQ(0, r.r11);
	EXPECT_EQ(0, r.r12);
	EXPECT_EQ(0, r.r13);
	EXPECT_EQ(0, r.r14);
}

static int answer_info(struct td *td, unsigned int vcpu, struct kvm_run *run, void *arg)
{
	FIXTURE_DATA(td_calls) *self = arg;

	(void)td;
	(void)vcpu;
	if (run->exit_reason != KVM_EXIT_TDX)
		return 0;
	self->last = *run;
	self->nr_exits++;
	run->tdx.get_tdvmcall_info.r11 = 11;
	run->tdx.get_tdvmcall_info.r12 = 12;
	run->tdx.get_tdvmcall_info.r13 = 13;
	run->tdx.get_tdvmcall_info.r14 = 14;
	return 1;
}

TEST_F(td_calls, info_of_leaf_1_comes_from_user_space)
{
	struct td_regs r;

	td_on_exit(self->td, answer_info, self);
	r = EXPECT_CALL(SUCCESS, 1, CALL_INFO, .r12 = 1);
	EXPECT_EQ(CALL_INFO, self->last.tdx.nr);
	EXPECT_EQ(1, self->last.tdx.get_tdvmcall_info.leaf);
	EXPECT_EQ(11, r.r11);
	EXPECT_EQ(12, r.r12);
	EXPECT_EQ(13, r.r13);
	EXPECT_EQ(14, r.r14);
}

TEST_F(td_calls, info_refuses_other_leaves)
{
	WATCH(KVM_EXIT_TDX, 0);
	EXPECT_CALL(INVALID, 0, CALL_INFO, .r12 = 2);
	EXPECT_CALL(INVALID, 0, CALL_INFO, .r12 = ~0ull);
}

TEST_F(td_calls, quote_goes_to_user_space)
{
	WATCH(KVM_EXIT_TDX, SUCCESS);
	EXPECT_CALL(SUCCESS, 1, CALL_QUOTE, .r12 = SHARED | GUEST_GPA, .r13 = PAGE_BYTES);
	EXPECT_EQ(CALL_QUOTE, self->last.tdx.nr);
	EXPECT_EQ(GUEST_GPA, self->last.tdx.get_quote.gpa);
	EXPECT_EQ(PAGE_BYTES, self->last.tdx.get_quote.size);

	WATCH(KVM_EXIT_TDX, INVALID);
	EXPECT_CALL(INVALID, 1, CALL_QUOTE, .r12 = SHARED | GUEST_GPA, .r13 = PAGE_BYTES);
}

TEST_F(td_calls, quote_that_nobody_answers_is_unsupported)
{
	EXPECT_CALL(UNSUPPORTED, 0, CALL_QUOTE, .r12 = SHARED | GUEST_GPA, .r13 = PAGE_BYTES);
	EXPECT_EQ(1, td_nr_exits(self->td, KVM_EXIT_TDX));
}

TEST_F(td_calls, quote_refuses_private_memory)
{
	WATCH(KVM_EXIT_TDX, SUCCESS);
	EXPECT_CALL(INVALID, 0, CALL_QUOTE, .r12 = GUEST_GPA, .r13 = PAGE_BYTES);
}

TEST_F(td_calls, notify_vector_goes_to_user_space)
{
	WATCH(KVM_EXIT_TDX, SUCCESS);
	EXPECT_CALL(SUCCESS, 1, CALL_NOTIFY, .r12 = 32);
	EXPECT_EQ(CALL_NOTIFY, self->last.tdx.nr);
	EXPECT_EQ(32, self->last.tdx.setup_event_notify.vector);
	EXPECT_CALL(SUCCESS, 1, CALL_NOTIFY, .r12 = 255);
	EXPECT_EQ(255, self->last.tdx.setup_event_notify.vector);
}

TEST_F(td_calls, notify_refuses_what_is_no_interrupt_vector)
{
	WATCH(KVM_EXIT_TDX, SUCCESS);
	EXPECT_CALL(INVALID, 0, CALL_NOTIFY, .r12 = 31);
	EXPECT_CALL(INVALID, 0, CALL_NOTIFY, .r12 = 256);
}

TEST_F(td_calls, fatal_error_is_told_to_user_space)
{
	struct td_regs r = { .r12 = 0x12, .r13 = 0x13, .r14 = 0x14, .r15 = 0x15 };
	struct kvm_run *run = td_run(self->td, 0);

	EXPECT_ERR(ESHUTDOWN, td_vmcall(self->td, 0, CALL_FATAL, &r));
	EXPECT_EQ(KVM_EXIT_SYSTEM_EVENT, run->exit_reason);
	EXPECT_EQ(KVM_SYSTEM_EVENT_TDX_FATAL, run->system_event.type);
	EXPECT_EQ(16, run->system_event.ndata);
	EXPECT_EQ(CALL_FATAL, run->system_event.data[11]);
	EXPECT_EQ(0x12, run->system_event.data[12]);
	EXPECT_EQ(0x13, run->system_event.data[13]);
	EXPECT_EQ(0x14, run->system_event.data[14]);
	EXPECT_EQ(0x15, run->system_event.data[15]);

	/* What becomes of the TD is up to user space. */
	EXPECT_OK(guest_touch(self->g, 0, NR_PAGES, 1));
}

TEST_F(td_calls, unknown_leaves_are_unsupported)
{
	WATCH(KVM_EXIT_TDX, SUCCESS);
	EXPECT_CALL(UNSUPPORTED, 0, 0x10005);
	EXPECT_CALL(UNSUPPORTED, 0, 0x1ffff);
	EXPECT_CALL(UNSUPPORTED, 0, 0);
	EXPECT_CALL(UNSUPPORTED, 0, ~0ull);
}

TEST_F(td_calls, vmcall_is_kvms_own_hypercall)
{
	struct td_regs r = {
		.rcx = 0xfc00,
		.r10 = 0xffff,		/* no such hypercall */
	};

	ASSERT_OK(td_tdcall(self->td, 0, &r));
	EXPECT_EQ(-KVM_ENOSYS, (long)r.r10);
}

/*
 * MapGPA, but for what it does to memory
 */

#define MAP_GPA(gpa, bytes) .r12 = (gpa), .r13 = (bytes)

TEST_F(td_calls, map_gpa_goes_to_user_space)
{
	WATCH(KVM_EXIT_HYPERCALL, 0);
	EXPECT_CALL(SUCCESS, 1, CALL_MAP_GPA, MAP_GPA(SHARED | GUEST_GPA, 2 * PAGE_BYTES));
	EXPECT_EQ(KVM_HC_MAP_GPA_RANGE, self->last.hypercall.nr);
	EXPECT_EQ(GUEST_GPA, self->last.hypercall.args[0]);
	EXPECT_EQ(2, self->last.hypercall.args[1]);
	EXPECT_EQ(KVM_MAP_GPA_RANGE_DECRYPTED, self->last.hypercall.args[2]);

	EXPECT_CALL(SUCCESS, 1, CALL_MAP_GPA, MAP_GPA(GUEST_GPA, PAGE_BYTES));
	EXPECT_EQ(KVM_MAP_GPA_RANGE_ENCRYPTED, self->last.hypercall.args[2]);
}

TEST_F(td_calls, map_gpa_passes_on_what_user_space_says)
{
	struct td_regs r;

	WATCH(KVM_EXIT_HYPERCALL, EINVAL);
	EXPECT_CALL(INVALID, 1, CALL_MAP_GPA, MAP_GPA(SHARED | GUEST_GPA, PAGE_BYTES));

	WATCH(KVM_EXIT_HYPERCALL, EAGAIN);
	r = EXPECT_CALL(RETRY, 1, CALL_MAP_GPA, MAP_GPA(SHARED | GUEST_GPA, PAGE_BYTES));
	EXPECT_EQ(SHARED | GUEST_GPA, r.r11);
}

TEST_F(td_calls, map_gpa_goes_by_2m)
{
	WATCH(KVM_EXIT_HYPERCALL, 0);
	EXPECT_CALL(SUCCESS, 3, CALL_MAP_GPA, MAP_GPA(SHARED | HOLE_GPA, 5 << 20));
	EXPECT_EQ(HOLE_GPA + (4 << 20), self->last.hypercall.args[0]);
	EXPECT_EQ(256, self->last.hypercall.args[1]);
}

TEST_F(td_calls, map_gpa_refuses_unaligned_ranges)
{
	struct td_regs r;

	WATCH(KVM_EXIT_HYPERCALL, 0);
	r = EXPECT_CALL(ALIGN_ERROR, 0, CALL_MAP_GPA, MAP_GPA(GUEST_GPA + 1, PAGE_BYTES));
	EXPECT_EQ(GUEST_GPA + 1, r.r11);
	EXPECT_CALL(ALIGN_ERROR, 0, CALL_MAP_GPA, MAP_GPA(GUEST_GPA, PAGE_BYTES - 1));
}

TEST_F(td_calls, map_gpa_refuses_ranges_that_cannot_be)
{
	WATCH(KVM_EXIT_HYPERCALL, 0);
	EXPECT_CALL(INVALID, 0, CALL_MAP_GPA, MAP_GPA(GUEST_GPA, 0));
	EXPECT_CALL(INVALID, 0, CALL_MAP_GPA, MAP_GPA(GUEST_GPA, -PAGE_BYTES));
	EXPECT_CALL(INVALID, 0, CALL_MAP_GPA, MAP_GPA(1ull << 60, PAGE_BYTES));
	/* From the last private page into the first shared one. */
	EXPECT_CALL(INVALID, 0, CALL_MAP_GPA, MAP_GPA(SHARED - PAGE_BYTES, 2 * PAGE_BYTES));
}

/*
 * By way of #VE
 */

/* An instruction raises one #VE for @reason, and is answered. */
#define EXPECT_VE(reason, op_, ...) ({					\
	struct td_mailbox __o = { .op = (op_), .regs = { __VA_ARGS__ } }; \
	struct td_mailbox __before;					\
									\
	td_peek(self->td, 0, &__before);				\
	EXPECT_OK(td_order(self->td, 0, &__o));				\
	EXPECT_EQ(__before.nr_ve + 1, __o.nr_ve);			\
	EXPECT_EQ(reason, __o.ve_reason);				\
	__o.regs;							\
})

TEST_F(td_calls, an_out_instruction_becomes_io)
{
	WATCH(KVM_EXIT_IO, 0);
	EXPECT_VE(CALL_IO, TD_OP_OUT, .rax = 0xa5, .rdx = PORT);
	EXPECT_EQ(1, self->nr_exits);
	EXPECT_EQ(PORT, self->last.io.port);
	EXPECT_EQ(0xa5, self->data);
}

TEST_F(td_calls, an_in_instruction_becomes_io)
{
	struct td_regs r;

	WATCH(KVM_EXIT_IO, 0x5a);
	r = EXPECT_VE(CALL_IO, TD_OP_IN, .rdx = PORT);
	EXPECT_EQ(1, self->nr_exits);
	EXPECT_EQ(0x5a, r.rax);
}

TEST_F(td_calls, a_cpuid_instruction_becomes_cpuid)
{
	struct td_regs r = EXPECT_VE(CALL_CPUID, TD_OP_CPUID, .rax = 0x40000000);

	EXPECT_EQ(0x4b4d564b, r.rbx);
}

TEST_F(td_calls, msr_instructions_become_msr_calls)
{
	struct td_regs r;

	EXPECT_VE(CALL_WRMSR, TD_OP_WRMSR, .rcx = MSR_APIC_SPIV, .rax = SPIV_ENABLED);
	r = EXPECT_VE(CALL_RDMSR, TD_OP_RDMSR, .rcx = MSR_APIC_SPIV);
	EXPECT_EQ(SPIV_ENABLED, r.rax);
}

TEST_F(td_calls, a_hlt_instruction_becomes_hlt)
{
	ASSERT_OK(enable_apic(self->td));
	ASSERT_OK(td_interrupt(self->td, 0, VECTOR));
	EXPECT_VE(CALL_HLT, TD_OP_HLT, );
	EXPECT_IRQS(1);
}

TEST_F(td_calls, a_touch_of_shared_nothing_raises_ve)
{
	struct td_mailbox order = {
		.op = TD_OP_WRITE,
		.flags = TD_SHARED,
		.gpa = HOLE_GPA,
		.nr = 1,
	};

	EXPECT_ERR(ENXIO, td_order(self->td, 0, &order));
	EXPECT_EQ(CALL_MMIO, order.ve_reason);
	EXPECT_EQ(SHARED | HOLE_GPA, order.address);
	EXPECT_OK(guest_touch(self->g, 0, NR_PAGES, 1));
}

/*
 * Ends of orders
 */

TEST_F(td_calls, an_exception_is_the_guests_own_affair)
{
	/* Beyond what the payload maps. */
	struct td_mailbox order = {
		.op = TD_OP_WRITE,
		.flags = TD_UNACCEPTED,
		.gpa = 2 * TD_MAPPED_BYTES,
		.nr = 1,
	};

	EXPECT_ERR(EBADMSG, td_order(self->td, 0, &order));
	EXPECT_EQ(14, order.vector);
	EXPECT_EQ(2 * TD_MAPPED_BYTES, order.address);
	EXPECT_OK(guest_touch(self->g, 0, NR_PAGES, 1));
}

TEST_F(td_calls, a_triple_fault_ends_the_vcpu)
{
	struct td_mailbox order = { .op = TD_OP_TRIPLE_FAULT };

	EXPECT_ERR(ESHUTDOWN, td_order(self->td, 0, &order));
	EXPECT_EQ(KVM_EXIT_SHUTDOWN, td_run(self->td, 0)->exit_reason);
	EXPECT_ERR(ESHUTDOWN, td_order(self->td, 0, &order));
}

TEST_F(td_calls, a_memory_fault_can_be_mended)
{
	struct kvm_run *run = td_run(self->td, 0);
	struct td_mailbox order = {
		.op = TD_OP_WRITE,
		.gpa = GUEST_GPA,
		.nr = 1,
		.pattern = 7,
	};

	ASSERT_OK(guest_set_private(self->g, 0, 1, false));
	ASSERT_ERR(EFAULT, td_order(self->td, 0, &order));
	EXPECT_EQ(KVM_EXIT_MEMORY_FAULT, run->exit_reason);
	EXPECT_EQ(GUEST_GPA, run->memory_fault.gpa);
	EXPECT_EQ(PAGE_BYTES, run->memory_fault.size);
	EXPECT_EQ(KVM_MEMORY_EXIT_FLAG_PRIVATE, run->memory_fault.flags);

	ASSERT_OK(guest_set_private(self->g, 0, 1, true));
	EXPECT_OK(td_resume(self->td, 0, &order));
	EXPECT_OK(guest_verify(self->g, 0, 1, 7));
}

TEST_F(td_calls, a_memory_fault_can_be_given_up)
{
	unsigned int i;

	ASSERT_OK(guest_set_private(self->g, 0, 1, false));
	for (i = 0; i < 20; i++) {
		EXPECT_ERR(EFAULT, td_pages(self->td, 0, TD_OP_WRITE, GUEST_GPA, 1, 1, 0));
	}
	EXPECT_OK(guest_touch(self->g, 1, NR_PAGES - 1, 1));
	ASSERT_OK(guest_set_private(self->g, 0, 1, true));
	EXPECT_OK(guest_touch(self->g, 0, NR_PAGES, 1));
}

SUITE(.needs = NEED_KVM | NEED_GMEM)
