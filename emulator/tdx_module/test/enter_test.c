// SPDX-License-Identifier: GPL-2.0-only
/* TDH.VP.ENTER, exits, and TDG.* */
#include <string.h>

#include "operands.h"

static struct w_td td;
static struct w_vcpu vcpu;

static enum tdx_guest_next leave_by(uint32_t reason, uint64_t qualification, uint64_t gpa,
				    uint32_t intr_info)
{
	const struct tdx_exit exit = {
		.reason = reason,
		.qualification = qualification,
		.gpa = gpa,
		.intr_info = intr_info,
		.rip = 0x1000,
	};

	for (unsigned int r = 0; r < TDX_NR_REGS; r++)
		w->r.r[r] = 0x1111111111111111ull * r;
	return tdx_td_exit(w->m, w->entered, &exit, &w->r);
}

static enum tdx_guest_next tdcall(uint64_t leaf, uint64_t rcx, uint64_t rdx, uint64_t r8)
{
	w->r.r[TDX_RAX] = leaf;
	w->r.r[TDX_RCX] = rcx;
	w->r.r[TDX_RDX] = rdx;
	w->r.r[TDX_R8] = r8;
	return tdx_tdcall(w->m, w->entered, 0x1000, &w->r);
}

/* Registers of the host after an exit: what is listed, the rest zero or its own. */
static void host_regs(uint64_t rax, uint64_t rcx, uint64_t rdx, uint64_t r8, uint64_t r9)
{
	STATUS(w->r.r[TDX_RAX], rax);
	EQ(w->r.r[TDX_RCX], rcx);
	EQ(w->r.r[TDX_RDX], rdx);
	EQ(w->r.r[TDX_R8], r8);
	EQ(w->r.r[TDX_R9], r9);
	EQ(w->r.r[TDX_RBX], 0);
	EQ(w->r.r[TDX_RSI], 0);
	EQ(w->r.r[TDX_RDI], 0);
	for (unsigned int r = TDX_R10; r <= TDX_R15; r++)
		EQ(w->r.r[r], 0);
	EQ(w->r.r[TDX_RBP], 0x5a5a5a5a5a5a5a5a);
	EQ(w->r.r[TDX_RSP], 0x5a5a5a5a5a5a5a5a);
}

static void ready(void)
{
	sys_ready();
	td_runnable(&td, &vcpu);
}

TEST(enter_checks_operand_and_states)
{
	struct w_vcpu bare, uninited;
	struct w_td other;

	sys_ready();
	td_inited(&td);
	vcpu_created(&td, &bare);
	vcpu_with_tdcx(&td, &uninited);
	vcpu_inited(&td, &vcpu);
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), TDX_OP_STATE_INCORRECT);
	td_finalized(&td);
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr | 8, 0, 0, 0), INVALID(RCX));
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr | 1ull << 54, 0, 0, 0), INVALID(RCX));
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr | 1ull << 52, 0, 0, 0), INVALID(RCX));
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr | 1ull << 53, 0, 0, 0), INVALID(RCX));
	bad_pages((struct args) { TDH_VP_ENTER, { vcpu.tdvpr } }, A_RCX, td.tdr);
	EQ(tdx_lock_take(w->m, TDX_LOCK_PAGE, td.tdr, 0, true), 0);
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), BUSY(TDR));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_PAGE, td.tdr, 0, true), 0);
	EQ(tdx_lock_take(w->m, TDX_LOCK_OP_STATE, td.tdr, 0, true), 0);
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), BUSY(OP_STATE));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_OP_STATE, td.tdr, 0, true), 0);
	STATUS(call(TDH_VP_ENTER, bare.tdvpr, 0, 0, 0), TDX_TDCX_NUM_INCORRECT);
	STATUS(call(TDH_VP_ENTER, uninited.tdvpr, 0, 0, 0), TDX_VCPU_STATE_INCORRECT);
	STATUS(call_on(1, TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), TDX_VCPU_ASSOCIATED);
	w->misc_enable = 1 << 22;
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), TDX_LIMIT_CPUID_MAXVAL_SET);
	w->misc_enable = 0;
	w->tsc_adjust = 1;
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), TDX_INCONSISTENT_MSR | 0x3b);
	w->tsc_adjust = 0;
	w->tsc = 0;
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), TDX_TSC_ROLLBACK);
	w->tsc = 100000;
	enter(&vcpu);
	leave_td();
	td_fatal(&other, &vcpu);
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), TDX_TD_FATAL);
	td_blocked(&other, &vcpu);
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), TDX_TD_KEYS_NOT_CONFIGURED);
}

TEST(asynchronous_exits_tell_their_reason_and_keep_registers)
{
	static const struct {
		uint32_t reason, intr;
		uint64_t rcx, r8, r9;
	} exits[] = {
		{ 1, 0x800000f2, 0, 0, 0x800000f2 },
		{ 0, 0x80000202, 0, 0, 0x80000202 },
		{ 3, 0, 0x77, 0, 0 },
		{ 6, 0x80000300, 0x77, 0, 0x80000300 },
		{ 9, 0, 0x77, 0, 0 },
		{ 49, 0, 0, 0x3000, 0 },
		{ 74, 0, 0x77, 0, 0 },
		{ 75, 0, 0x77, 0, 0 },
	};

	ready();
	for (unsigned int i = 0; i < sizeof(exits) / sizeof(exits[0]); i++) {
		enter(&vcpu);
		EQ(leave_by(exits[i].reason, 0x77, 0x3123, exits[i].intr), TDX_EXIT_FAULT);
		host_regs(exits[i].reason, exits[i].rcx, 0, exits[i].r8, exits[i].r9);
		enter(&vcpu);
		for (unsigned int r = 0; r < TDX_NR_REGS; r++)
			EQ(w->r.r[r], 0x1111111111111111ull * r);
		leave_td();
	}
}

TEST(exits_that_cannot_be_survived)
{
	struct tdx_td_info info;

	ready();
	enter(&vcpu);
	leave_by(2, 0x77, 0, 0);
	host_regs(TDX_NON_RECOVERABLE_VCPU | 2, 0x77, 0, 0, 0);
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), TDX_VCPU_STATE_INCORRECT);
	OK(call(TDH_VP_RD, vcpu.tdvpr, 2, 0, 0));
	STATUS(call(TDH_VP_WR, vcpu.tdvpr, 2, 0, 0xffff), TDX_VCPU_STATE_INCORRECT);
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	TRUE(!info.fatal);
	OK(call(TDH_VP_FLUSH, vcpu.tdvpr, 0, 0, 0));

	td_runnable(&td, &vcpu);
	enter(&vcpu);
	leave_by(0x80000021, 0, 0, 0);
	host_regs(0x6000000280000021, 0, 0, 0, 0);
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	TRUE(info.fatal);
	EQ(info.nr_running, 0);
	EQ(info.refs[1], 0);
	/* its vCPU can be flushed, so the keyid can be had back */
	OK(call(TDH_VP_FLUSH, vcpu.tdvpr, 0, 0, 0));
	OK(call(TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0));

	td_runnable(&td, &vcpu);
	enter(&vcpu);
	leave_by(0, 0, 0, 0x80000312);	/* #MC */
	host_regs(0x6000000500000000, 0, 0, 0, 0x80000312);
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	TRUE(info.fatal);

	w->cfg.linux_exit_codes = true;
	world_reset(w);
	ready();
	enter(&vcpu);
	leave_by(33, 0, 0, 0);
	host_regs(0x4000000200000021, 0, 0, 0, 0);
	/* nobody runs any more, so nothing happens */
	EQ(leave_by(1, 0, 0, 0), TDX_RESUME);
	EQ(tdcall(TDG_VP_INFO, 0, 0, 0), TDX_RESUME);
	EQ(w->r.r[TDX_RAX], TDG_VP_INFO);
}

/* Memory of a TD whose integrity is gone must not be touched by its other vCPUs. */
TEST(a_machine_check_stops_all_vcpus)
{
	struct tdx_vcpu *running;
	struct w_vcpu second;

	sys_ready();
	for (int by_tdcall = 0; by_tdcall < 2; by_tdcall++) {
		td_inited(&td);
		vcpu_inited(&td, &vcpu);
		vcpu_inited(&td, &second);
		td_finalized(&td);
		OK(call(TDH_VP_FLUSH, second.tdvpr, 0, 0, 0));
		call_on(1, TDH_VP_ENTER, second.tdvpr, 0, 0, 0);
		EQ(w->next, TDX_ENTER);
		running = w->entered;
		enter(&vcpu);
		leave_by(0, 0, 0, 0x80000312);
		STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), TDX_TD_FATAL);

		w->entered = running;
		if (by_tdcall)
			EQ(tdcall(TDG_VP_INFO, 0, 0, 0), TDX_EXIT_FAULT);
		else
			EQ(leave_by(1, 0, 0, 0x80000020), TDX_EXIT_FAULT);
		host_regs(0x6000000500000000 | (by_tdcall ? 77 : 1), 0, 0, 0,
			  by_tdcall ? 0 : 0x80000020);
	}
}

TEST(ept_violations)
{
	const uint64_t raw = 0x1fbf;	/* with the bits that are hidden */

	ready();
	OK(call(TDH_MEM_PAGE_AUG, 0x1000, td.tdr, page(), 0));
	enter(&vcpu);
	EQ(leave_by(48, raw, 0x5123, 0), TDX_EXIT_FAULT);
	host_regs(48, 0x3f, 0, 0x5000, 0);
	/* a page that the TD has not accepted */
	enter(&vcpu);
	EQ(leave_by(48, 2, 0x1123, 0), TDX_EXIT_FAULT);
	host_regs(48, 2, 6, 0x1000, 0);
	/* shared memory is the host VMM's */
	enter(&vcpu);
	EQ(leave_by(48, 2, GPA_SHARED | 0x1123, 0), TDX_EXIT_FAULT);
	host_regs(48, 2, 0, GPA_SHARED | 0x1000, 0);
}

TEST(an_nmi_waits_until_the_ve_information_is_fetched)
{
	const struct tdx_exit exit = { .reason = 12, .instr_len = 1 };
	const uint64_t pend_nmi = 0x200000000000000b;
	struct tdx_vcpu_state state;

	ready();
	OK(call(TDH_VP_WR, vcpu.tdvpr, pend_nmi, 1, 0xff));
	enter(&vcpu);
	EQ(tdx_raise_ve(w->m, w->entered, &exit), TDX_INJECT_VE);
	tdx_vcpu_get(w->entered, &state);
	EQ(state.pend_nmi, 0);
	EQ(tdcall(TDG_VP_VEINFO_GET, 0, 0, 0), TDX_RESUME);
	tdx_vcpu_get(w->entered, &state);
	EQ(state.pend_nmi, 1);
}

TEST(pending_pages_raise_ve_if_the_td_wants_it)
{
	struct tdx_exit exit = { .reason = 48, .qualification = 0x82, .gpa = 0x1123, .gla = 0x9123 };

	sys_ready();
	td_with_tdcs(&td);
	write_params();
	wr64(W_PARAMS, 0);
	OK(call(TDH_MNG_INIT, td.tdr, W_PARAMS, 0, 0));
	td_tables(&td);
	vcpu_inited(&td, &vcpu);
	td_finalized(&td);
	OK(call(TDH_MEM_PAGE_AUG, 0x1000, td.tdr, page(), 0));
	enter(&vcpu);
	EQ(tdcall(TDG_VP_VEINFO_GET, 7, 7, 7), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], TDX_NO_VALID_VE_INFO);
	EQ(w->r.r[TDX_RCX], 0);
	EQ(tdx_td_exit(w->m, w->entered, &exit, &w->r), TDX_INJECT_VE);
	EQ(tdx_td_exit(w->m, w->entered, &exit, &w->r), TDX_INJECT_DF);
	EQ(tdcall(TDG_VP_VEINFO_GET, 7, 7, 7), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], 0);
	EQ(w->r.r[TDX_RCX], 48);
	EQ(w->r.r[TDX_RDX], 0x82);
	EQ(w->r.r[TDX_R8], 0x9123);
	EQ(w->r.r[TDX_R9], 0x1123);
	EQ(w->r.r[TDX_R10], 0);
	exit = (struct tdx_exit) { .reason = 12, .instr_len = 1, .instr_info = 5 };
	EQ(tdx_raise_ve(w->m, w->entered, &exit), TDX_INJECT_VE);
	EQ(tdx_raise_ve(w->m, w->entered, &exit), TDX_INJECT_DF);
	EQ(tdcall(TDG_VP_VEINFO_GET, 0, 0, 0), TDX_RESUME);
	EQ(w->r.r[TDX_RCX], 12);
	EQ(w->r.r[TDX_R10], 5ull << 32 | 1);
	EQ(tdcall(TDG_MR_REPORT, 0x1400, 0x1040, 0), TDX_INJECT_VE);
	EQ(w->r.r[TDX_RAX], TDG_MR_REPORT);
	EQ(tdcall(TDG_MR_REPORT, 0x1400, 0x1040, 0), TDX_INJECT_DF);
	EQ(tdcall(TDG_VP_VEINFO_GET, 0, 0, 0), TDX_RESUME);
	EQ(w->r.r[TDX_RCX], 48);
	EQ(w->r.r[TDX_RDX], 1);
	EQ(w->r.r[TDX_R8], 0);
	EQ(w->r.r[TDX_R9], 0x1040);
	EQ(w->r.r[TDX_R10], 4);
	/* an address that the TD cannot have */
	exit = (struct tdx_exit) { .reason = 48, .qualification = 0x82, .gpa = 1ull << 52 };
	EQ(tdx_td_exit(w->m, w->entered, &exit, &w->r), TDX_INJECT_PF);
}

TEST(vmcall_passes_the_registers_that_the_guest_selects)
{
	const uint64_t mask = 0x5 << 16 | 1 << TDX_RBX | 1 << TDX_R10 | 1 << TDX_R15;

	ready();
	enter(&vcpu);
	for (unsigned int bit = 0; bit < 64; bit++) {
		if (bit < 32 && bit != TDX_RAX && bit != TDX_RCX && bit != TDX_RSP &&
		    bit != TDX_RBP)
			continue;
		EQ(tdcall(TDG_VP_VMCALL, mask | 1ull << bit, 0, 0), TDX_RESUME);
		STATUS(w->r.r[TDX_RAX], INVALID(RCX));
	}
	for (unsigned int r = 0; r < TDX_NR_REGS; r++)
		w->r.r[r] = 0x1111111111111111ull * r;
	EQ(tdcall(TDG_VP_VMCALL, mask, 0x22, 0x88), TDX_EXIT);
	EQ(w->r.r[TDX_RAX], 77);
	EQ(w->r.r[TDX_RCX], mask);
	EQ(w->r.r[TDX_RDX], 0);
	EQ(w->r.r[TDX_RBX], 0x3333333333333333);
	EQ(w->r.r[TDX_RBP], 0x5a5a5a5a5a5a5a5a);
	EQ(w->r.r[TDX_R9], 0);
	EQ(w->r.r[TDX_R10], 0xaaaaaaaaaaaaaaaa);
	EQ(w->r.r[TDX_R15], 0xffffffffffffffff);

	/* and back: what it selected comes from the host, the rest is its own */
	enter(&vcpu);
	EQ(w->r.r[TDX_RAX], 0);
	EQ(w->r.r[TDX_RCX], mask);
	EQ(w->r.r[TDX_RDX], 0x22);
	EQ(w->r.r[TDX_RBX], 0x5a5a5a5a5a5a5a5a);
	EQ(w->r.r[TDX_R8], 0x88);
	EQ(w->r.r[TDX_R9], 0x9999999999999999);
	EQ(w->r.r[TDX_R10], 0x5a5a5a5a5a5a5a5a);
	leave_td();
}

TEST(without_no_rbp_mod_rbp_is_a_register_like_others)
{
	sys_ready();
	td_with_tdcs(&td);
	write_params();
	wr64(W_PARAMS + 32, 0);
	OK(call(TDH_MNG_INIT, td.tdr, W_PARAMS, 0, 0));
	vcpu_inited(&td, &vcpu);
	td_finalized(&td);
	enter(&vcpu);
	w->r.r[TDX_RBP] = 0x55;
	EQ(tdcall(TDG_VP_VMCALL, 1 << TDX_RBP, 0, 0), TDX_EXIT);
	EQ(w->r.r[TDX_RBP], 0x55);
	enter(&vcpu);
	EQ(w->r.r[TDX_RBP], 0x5a5a5a5a5a5a5a5a);
	leave_td();
	EQ(w->r.r[TDX_RBP], 0);
}

TEST(info_tells_a_vcpu_who_it_is)
{
	ready();
	enter(&vcpu);
	EQ(tdcall(TDG_VP_INFO, 0, 0, 0), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], 0);
	EQ(w->r.r[TDX_RCX], 48);
	EQ(w->r.r[TDX_RDX], 1 << 28);
	EQ(w->r.r[TDX_R8], 2ull << 32 | 1);
	EQ(w->r.r[TDX_R9], 0);
	EQ(tdcall(2, 0, 0, 0), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], INVALID(RAX));
	EQ(tdcall(TDG_VP_INFO | 1 << 16, 0, 0, 0), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], INVALID(RAX));
	leave_td();
}

TEST(accept_checks_its_operand)
{
	ready();
	enter(&vcpu);
	static const uint64_t bad[] = { 2, 0x1001, 8, 0x800, GPA_SHARED, 1ull << 48, 1ull << 52 };
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		EQ(tdcall(TDG_MEM_PAGE_ACCEPT, bad[i], 0, 0), TDX_RESUME);
		STATUS(w->r.r[TDX_RAX], INVALID(RCX));
	}
	/* a violation is repeated once the host VMM has done its part */
	EQ(tdcall(TDG_MEM_PAGE_ACCEPT, 0x3000, 0, 0), TDX_EXIT_FAULT);
	host_regs(48, 2, 1, 0x3000, 0);
	OK(call(TDH_MEM_PAGE_AUG, 0x3000, td.tdr, page(), 0));
	enter(&vcpu);
	EQ(w->r.r[TDX_RAX], TDG_MEM_PAGE_ACCEPT);
	EQ(w->r.r[TDX_RCX], 0x3000);
	EQ(tdx_tdcall(w->m, w->entered, 0x1000, &w->r), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], 0);
	/* with 4K behind it, there is no 2M page to accept */
	EQ(tdcall(TDG_MEM_PAGE_ACCEPT, 1, 0, 0), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], TDX_PAGE_SIZE_MISMATCH | 1);
	leave_td();
}

/* Six violations at one instruction are free, then the pages must be there. */
TEST(zero_stepping_is_not_served)
{
	uint64_t pa;

	ready();
	for (unsigned int i = 0; i < 7; i++) {
		enter(&vcpu);
		leave_by(48, 2, 0x7000, 0);
	}
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), 48);
	host_regs(48, 2, 0, 0x7000, w->r.r[TDX_R9]);
	EQ(w->r.r[TDX_R9], 0);
	EQ(tdx_lock_take(w->m, TDX_LOCK_SEPT_TREE, td.tdr, 0, false), 0);
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), BUSY(SEPT_TREE));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_SEPT_TREE, td.tdr, 0, false), 0);
	pa = page();
	OK(call(TDH_MEM_PAGE_AUG, 0x7000, td.tdr, pa, 0));
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), 48);
	OK(call(TDH_MEM_RANGE_BLOCK, 0x7000, td.tdr, 0, 0));
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	OK(call(TDH_MEM_PAGE_REMOVE, 0x7000, td.tdr, 0, 0));
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), 48);

	w->cfg.zero_step = false;
	world_reset(w);
	ready();
	for (unsigned int i = 0; i < 20; i++) {
		enter(&vcpu);
		leave_by(48, 2, 0x7000, 0);
	}
}

/* Who accepts, or wants a report, is not stepped by whoever has not mapped the page yet. */
TEST(exits_of_tdcalls_are_no_zero_stepping)
{
	ready();
	enter(&vcpu);
	for (unsigned int i = 0; i < 7; i++) {
		EQ(tdcall(TDG_MEM_PAGE_ACCEPT, 0x10000, 0, 0), TDX_EXIT_FAULT);
		OK(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0));
	}
	leave_td();
	OK(call(TDH_MEM_PAGE_AUG, 0x10000, td.tdr, page(), 0));
	/* Only the TD can end that the page is pending. */
	OK(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0));
	EQ(tdcall(TDG_MEM_PAGE_ACCEPT, 0x10000, 0, 0), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], 0);
	for (unsigned int i = 0; i < 7; i++) {
		EQ(tdcall(TDG_MR_REPORT, GPA_SHARED, 0x10000, 0), TDX_EXIT_FAULT);
		OK(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0));
	}
	leave_td();
}

TEST(another_instruction_is_another_story)
{
	struct tdx_exit exit = { .reason = 48, .qualification = 2, .gpa = 0x7000 };

	ready();
	for (unsigned int i = 0; i < 100; i++) {
		enter(&vcpu);
		exit.rip = i / 6;
		EQ(tdx_td_exit(w->m, w->entered, &exit, &w->r), TDX_EXIT_FAULT);
	}
}

TEST(translations_go_when_another_vcpu_comes)
{
	struct w_vcpu second;

	sys_ready();
	td_inited(&td);
	vcpu_inited(&td, &vcpu);
	vcpu_inited(&td, &second);
	td_finalized(&td);
	enter(&vcpu);
	leave_td();
	w->nr_invalidations = 0;
	enter(&vcpu);
	leave_td();
	EQ(w->nr_invalidations, 0);
	enter(&second);
	leave_td();
	TRUE(w->nr_invalidations > 0);
	w->nr_invalidations = 0;
	enter(&second);
	leave_td();
	EQ(w->nr_invalidations, 0);
}

TEST(cpuid_in_a_td)
{
	uint32_t r[4];

	ready();
	enter(&vcpu);
	TRUE(tdx_cpuid(w->m, w->entered, 0x21, 0, r));
	TRUE(!memcmp(&r[1], "Inte", 4) && !memcmp(&r[3], "lTDX", 4) && !memcmp(&r[2], "    ", 4));
	TRUE(tdx_cpuid(w->m, w->entered, 0, 0, r));
	EQ(r[0], 0x23);
	TRUE(tdx_cpuid(w->m, w->entered, 1, 0, r));
	EQ(r[0], 0x000806f8);
	EQ(r[1] >> 24, vcpu.tdvpr & 0xff);
	TRUE(r[2] & 1u << 31);
	TRUE(!(r[2] & 1 << 28));	/* XFAM without AVX */
	TRUE(tdx_cpuid(w->m, w->entered, 0x1f, 1, r));
	EQ(r[2], 1 | 2 << 8);
	EQ(r[3], (uint32_t)vcpu.tdvpr);
	TRUE(tdx_cpuid(w->m, w->entered, 0x80000008, 0, r));
	EQ(r[0] & 0xff, 52);
	TRUE(!tdx_cpuid(w->m, w->entered, 6, 0, r));
	TRUE(!tdx_cpuid(w->m, w->entered, 0x4000, 0, r));
	TRUE(!tdx_cpuid(w->m, w->entered, 4, 9, r));
	leave_td();
}

TEST(report_tells_a_td_from_another)
{
	uint64_t report = page(), data = page(), mac;

	sys_ready();
	td_inited(&td);
	td_tables(&td);
	vcpu_inited(&td, &vcpu);
	wr64(W_SOURCE, 0x1234);
	OK(call(TDH_MEM_PAGE_ADD, 0x1000, td.tdr, report, W_SOURCE));
	OK(call(TDH_MEM_PAGE_ADD, 0x2000, td.tdr, data, W_SOURCE));
	td_finalized(&td);
	enter(&vcpu);
	EQ(tdcall(TDG_MR_REPORT, 0x1200, 0x2000, 0), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], INVALID(RCX));
	EQ(tdcall(TDG_MR_REPORT, 0x1000, 0x2020, 0), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], INVALID(RDX));
	EQ(tdcall(TDG_MR_REPORT, 0x1000, 0x2000, 1), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], INVALID(R8));
	EQ(tdcall(TDG_MR_REPORT, 0x1000, 0x2000, 0), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], 0);
	EQ(rd64(report) & 0xff, 0x81);
	EQ(rd64(report + 128), 0x1234);
	EQ(rd64(report + 512), 1 << 28);
	EQ(rd64(report + 520), 3);
	TRUE(rd64(report + 528));
	mac = rd64(report + 224);
	TRUE(mac);
	wr64(data, 0x1235);
	EQ(tdcall(TDG_MR_REPORT, 0x1400, 0x2000, 0), TDX_RESUME);
	TRUE(rd64(report + 0x400 + 224) != mac);

	/* into shared memory, through the host VMM's tables */
	EQ(tdcall(TDG_MR_REPORT, GPA_SHARED, 0x2000, 0), TDX_EXIT_FAULT);
	host_regs(48, 3, 0, GPA_SHARED, 0);
	OK(call(TDH_VP_WR, vcpu.tdvpr, 0x203c, W_SHARED, ~0ull));
	wr64(W_SHARED + 256 * 8, (W_SHARED + 0x1000) | 7);
	wr64(W_SHARED + 0x1000, (W_SHARED + 0x2000) | 7);
	wr64(W_SHARED + 0x2000, (W_SHARED + 0x3000) | 7);
	wr64(W_SHARED + 0x3000, (W_SHARED + 0x4000) | 0x37);
	enter(&vcpu);
	EQ(tdx_tdcall(w->m, w->entered, 0x1000, &w->r), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], 0);
	EQ(rd64(W_SHARED + 0x4000) & 0xff, 0x81);
	EQ(tdcall(TDG_MR_REPORT, 0x1000, 0x9000, 0), TDX_EXIT_FAULT);
	host_regs(48, 1, 0, 0x9000, 0);
}

/* The host VMM's tables for GPA_SHARED, whose last entry is @pte. */
static void map_shared(uint64_t pte)
{
	for (unsigned int i = 0; i < 3; i++)
		wr64(W_SHARED + i * 0x1000 + (i ? 0 : 256 * 8),
		     (W_SHARED + (i + 1) * 0x1000) | 7);
	wr64(W_SHARED + 0x3000, pte);
	OK(call(TDH_VP_WR, vcpu.tdvpr, 0x203c, W_SHARED, ~0ull));
}

TEST(a_report_meets_what_its_memory_is)
{
	const uint64_t sve = 1ull << 63, pa = W_SHARED + 0x4000;
	static const struct {
		uint64_t flags, qualification;
	} unusable[] = {
		{ 0, 3 }, { 0x31, 0xa },	/* not present; read-only */
	};

	ready();
	OK(call(TDH_MEM_PAGE_AUG, 0x1000, td.tdr, page(), 0));
	OK(call(TDH_MEM_PAGE_AUG, 0x2000, td.tdr, page(), 0));
	enter(&vcpu);
	EQ(tdcall(TDG_MEM_PAGE_ACCEPT, 0x2000, 0, 0), TDX_RESUME);
	EQ(tdcall(TDG_MR_REPORT, 0x1400, 0x2000, 0), TDX_EXIT_FAULT);
	host_regs(48, 3, 6, 0x1000, 0);
	enter(&vcpu);
	EQ(tdcall(TDG_MR_REPORT, 0x2000, 0x1040, 0), TDX_EXIT_FAULT);
	host_regs(48, 1, 6, 0x1000, 0);

	for (unsigned int i = 0; i < 2; i++) {
		map_shared(pa | unusable[i].flags | sve);
		enter(&vcpu);
		EQ(tdcall(TDG_MR_REPORT, GPA_SHARED | 0x400, 0x2000, 0), TDX_EXIT_FAULT);
		host_regs(48, unusable[i].qualification, 0, GPA_SHARED, 0);
		map_shared(pa | unusable[i].flags);
		enter(&vcpu);
		EQ(tdcall(TDG_MR_REPORT, GPA_SHARED | 0x400, 0x2000, 0), TDX_INJECT_VE);
		EQ(tdcall(TDG_VP_VEINFO_GET, 0, 0, 0), TDX_RESUME);
		EQ(w->r.r[TDX_RCX], 48);
		EQ(w->r.r[TDX_RDX], unusable[i].qualification);
		EQ(w->r.r[TDX_R9], GPA_SHARED | 0x400);
		leave_td();
	}
	/* of a table, the bit means nothing */
	wr64(W_SHARED + 0x2000, (W_SHARED + 0x3000) | 1);
	enter(&vcpu);
	EQ(tdcall(TDG_MR_REPORT, GPA_SHARED, 0x2000, 0), TDX_EXIT_FAULT);
	host_regs(48, 0xa, 0, GPA_SHARED, 0);
	/* a page that cannot be shared */
	map_shared(1ull << 51 | 0x37);
	enter(&vcpu);
	EQ(tdcall(TDG_MR_REPORT, GPA_SHARED | 0x400, 0x2000, 0), TDX_EXIT_FAULT);
	host_regs(49, 0, 0, GPA_SHARED, 0);
	/* nothing that a TD could go on with */
	enter(&vcpu);
	wr64(td.table[2] + 2 * 8, 0);
	EQ(tdcall(TDG_MR_REPORT, GPA_SHARED, 0x2000, 0), TDX_EXIT_FAULT);
	host_regs(TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE, 0, 0, 0, 0);
}

TEST(an_address_beyond_the_root_is_no_other_page)
{
	ready();
	OK(call(TDH_MEM_PAGE_AUG, 0x2000, td.tdr, page(), 0));
	enter(&vcpu);
	EQ(tdcall(TDG_MEM_PAGE_ACCEPT, 0x2000, 0, 0), TDX_RESUME);
	EQ(leave_by(48, 1, 1ull << 49 | 0x2123, 0), TDX_EXIT_FAULT);
	host_regs(48, 1, 0, 1ull << 49 | 0x2000, 0);
}

/* Each operand is the last one that is good. */
TEST(a_report_checks_its_operands_in_order)
{
	const uint64_t beyond = 1ull << 48;

	ready();
	OK(call(TDH_MEM_PAGE_AUG, 0x2000, td.tdr, page(), 0));
	enter(&vcpu);
	EQ(tdcall(TDG_MEM_PAGE_ACCEPT, 0x2000, 0, 0), TDX_RESUME);
	EQ(tdcall(TDG_MR_REPORT, beyond | 0x200, beyond | 0x20, 1), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], INVALID(RCX));
	EQ(tdcall(TDG_MR_REPORT, beyond, beyond | 0x20, 1), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], INVALID(RDX));
	EQ(tdcall(TDG_MR_REPORT, beyond, beyond, 1), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], INVALID(RDX));
	EQ(tdcall(TDG_MR_REPORT, beyond, 0x9000, 1), TDX_EXIT_FAULT);
	enter(&vcpu);
	EQ(tdcall(TDG_MR_REPORT, beyond, 0x2000, 1), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], INVALID(R8));
	EQ(tdcall(TDG_MR_REPORT, beyond, 0x2000, 0), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], INVALID(RCX));
	leave_td();
}
