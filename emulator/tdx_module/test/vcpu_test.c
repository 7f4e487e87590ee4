// SPDX-License-Identifier: GPL-2.0-only
/* TDH.VP.*, but for TDH.VP.ENTER */
#include <string.h>

#include "operands.h"

/* A second vCPU of a TD that is dead, runnable, or has lost its keyid. */
static void bad_vcpu_states(uint64_t leaf, unsigned int which, bool initialized_only)
{
	const struct tdx_exit dead = { .reason = 0x80000021 };
	struct args args = { .leaf = leaf };
	struct w_vcpu v, second;
	struct w_td td;

	td_inited(&td);
	vcpu_inited(&td, &v);
	vcpu_with_tdcx(&td, &second);
	args.a[which] = second.tdvpr;
	args.a[A_R8] = 77;
	EQ(tdx_lock_take(w->m, TDX_LOCK_PAGE, td.tdr, 0, true), 0);
	STATUS(call_args(args), BUSY(TDR));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_PAGE, td.tdr, 0, true), 0);
	EQ(tdx_lock_take(w->m, TDX_LOCK_OP_STATE, td.tdr, 0, true), 0);
	STATUS(call_args(args), BUSY(OP_STATE));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_OP_STATE, td.tdr, 0, true), 0);
	td_finalized(&td);
	if (initialized_only)
		STATUS(call_args(args), TDX_OP_STATE_INCORRECT);
	enter(&v);
	EQ(tdx_td_exit(w->m, w->entered, &dead, &w->r), TDX_EXIT_FAULT);
	STATUS(call_args(args), TDX_TD_FATAL);

	td_inited(&td);
	vcpu_with_tdcx(&td, &second);
	args.a[which] = second.tdvpr;
	OK(call(TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0));
	STATUS(call_args(args), TDX_TD_KEYS_NOT_CONFIGURED);
}

TEST(vp_create_takes_a_page)
{
	struct tdx_td_info info;
	struct tdx_page p;
	struct w_td td;
	uint64_t pa;

	sys_ready();
	td_inited(&td);
	pa = page();
	wr64(pa, 1);
	bad_pages((struct args) { TDH_VP_CREATE, { pa, td.tdr } }, A_RDX, W_SOURCE);
	bad_pages((struct args) { TDH_VP_CREATE, { pa, td.tdr } }, A_RCX, td.tdr);
	bad_td_states((struct args) { TDH_VP_CREATE, { pa, td.tdr } }, A_RDX, true, false);
	OK(call(TDH_VP_CREATE, pa, td.tdr, 0, 0));
	EQ(rd64(pa), 0);
	TRUE(tdx_page_owner(w->m, pa, &p));
	EQ(p.type, TDX_PT_TDVPR);
	EQ(p.tdr, td.tdr);
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	EQ(info.nr_children, 7);
	EQ(info.nr_vcpus, 0);
}

TEST(vp_addcx_up_to_fifteen_pages)
{
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa;

	sys_ready();
	bad_vcpu_states(TDH_VP_ADDCX, A_RDX, true);
	td_inited(&td);
	vcpu_created(&td, &v);
	pa = page();
	bad_pages((struct args) { TDH_VP_ADDCX, { pa, v.tdvpr } }, A_RDX, td.tdr);
	bad_pages((struct args) { TDH_VP_ADDCX, { pa, v.tdvpr } }, A_RCX, td.tdr);
	for (unsigned int i = 1; i < 15; i++)
		OK(call(TDH_VP_ADDCX, page(), v.tdvpr, 0, 0));
	STATUS(call(TDH_VP_ADDCX, page(), v.tdvpr, 0, 0), TDX_TDCX_NUM_INCORRECT);
	OK(call(TDH_VP_INIT | 1 << 16, v.tdvpr, 0, 0, 0));
	STATUS(call(TDH_VP_ADDCX, page(), v.tdvpr, 0, 0), TDX_VCPU_STATE_INCORRECT);
}

TEST(vp_init_makes_it_ready)
{
	struct tdx_vcpu_state state;
	struct tdx_td_info info;
	struct w_vcpu v, second, third;
	struct w_td td;

	sys_ready();
	bad_vcpu_states(TDH_VP_INIT | 1 << 16, A_RCX, true);
	td_inited(&td);
	vcpu_created(&td, &v);
	STATUS(call(TDH_VP_INIT | 1 << 16, v.tdvpr, 0, 0, 0), TDX_TDCX_NUM_INCORRECT);
	vcpu_with_tdcx(&td, &v);
	bad_pages((struct args) { TDH_VP_INIT | 1 << 16, { v.tdvpr } }, A_RCX, td.tdr);
	STATUS(call(TDH_VP_INIT | 2 << 16, v.tdvpr, 0, 0, 0), INVALID(RAX));
	STATUS(call(TDH_VP_INIT | 1 << 16, v.tdvpr, 0, 1ull << 32, 0), INVALID(R8));
	w->tsc_adjust = 1;
	STATUS(call(TDH_VP_INIT | 1 << 16, v.tdvpr, 0, 0, 0), TDX_INCONSISTENT_MSR | 0x3b);
	w->tsc_adjust = 0;
	OK(call(TDH_VP_INIT | 1 << 16, v.tdvpr, 0xabcd, 17, 0));
	STATUS(call(TDH_VP_INIT | 1 << 16, v.tdvpr, 0, 18, 0), TDX_VCPU_STATE_INCORRECT);
	vcpu_with_tdcx(&td, &second);
	STATUS(call(TDH_VP_INIT | 1 << 16, second.tdvpr, 0, 17, 0), TDX_X2APIC_ID_NOT_UNIQUE | 17);
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	EQ(info.nr_vcpus, 1);
	EQ(info.nr_associated, 1);
	/* version 0 has no x2APIC ID; the index serves */
	OK(call_on(1, TDH_VP_INIT, second.tdvpr, 0, 17, 0));
	vcpu_with_tdcx(&td, &third);
	STATUS(call(TDH_VP_INIT | 1 << 16, third.tdvpr, 0, 3, 0), TDX_MAX_VCPUS_EXCEEDED);

	td_finalized(&td);
	enter(&v);
	EQ(w->r.r[TDX_RBX], 48);
	EQ(w->r.r[TDX_RCX], 0xabcd);
	EQ(w->r.r[TDX_R8], 0xabcd);
	EQ(w->r.r[TDX_RDX], 0x000806f8);
	EQ(w->r.r[TDX_RSI], 0);
	EQ(w->r.r[TDX_RDI], 0);
	EQ(w->r.r[TDX_R15], 0);
	tdx_vcpu_get(w->entered, &state);
	EQ(state.x2apic_id, 17);
	EQ(state.lp, 0);
	EQ(state.tdr, td.tdr);
	EQ(state.tdvps[5], v.tdcx[4]);
	EQ(state.gpa_bits, 48);
	EQ(state.eptp, td.tdcs[3] | 0x1e);
	EQ(state.keyid, td.keyid);
	TRUE(!state.entered);
	leave_td();
	STATUS(call(TDH_VP_ENTER, second.tdvpr, 0, 0, 0), TDX_VCPU_ASSOCIATED);
	OK(call_on(1, TDH_VP_FLUSH, second.tdvpr, 0, 0, 0));
	enter(&second);
	EQ(w->r.r[TDX_RSI], 1);
	tdx_vcpu_get(w->entered, &state);
	EQ(state.x2apic_id, 1);
	leave_td();
}

TEST(vp_flush_only_where_it_is_associated)
{
	struct w_vcpu v, bare;
	struct w_td td;

	sys_ready();
	td_inited(&td);
	vcpu_created(&td, &bare);
	STATUS(call(TDH_VP_FLUSH, bare.tdvpr, 0, 0, 0), TDX_TDCX_NUM_INCORRECT);
	vcpu_inited(&td, &v);
	td_finalized(&td);
	bad_pages((struct args) { TDH_VP_FLUSH, { v.tdvpr } }, A_RCX, td.tdr);
	EQ(tdx_lock_take(w->m, TDX_LOCK_PAGE, td.tdr, 0, true), 0);
	STATUS(call(TDH_VP_FLUSH, v.tdvpr, 0, 0, 0), BUSY(TDR));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_PAGE, td.tdr, 0, true), 0);
	STATUS(call_on(1, TDH_VP_FLUSH, v.tdvpr, 0, 0, 0), 0x8000070200000000);
	w->nr_invalidations = 0;
	OK(call(TDH_VP_FLUSH, v.tdvpr, 0, 0, 0));
	EQ(w->nr_invalidations, 1);
	STATUS(call(TDH_VP_FLUSH, v.tdvpr, 0, 0, 0), 0x8000070200000000);
	/* a vCPU that runs cannot be flushed */
	enter(&v);
	struct tdx_vcpu *runs = w->entered;
	struct tdx_regs regs = w->r;
	STATUS(call_on(1, TDH_VP_FLUSH, v.tdvpr, 0, 0, 0), BUSY(RCX));
	w->entered = runs;
	w->r = regs;
	leave_td();
	td_blocked(&td, &v);
	STATUS(call(TDH_VP_FLUSH, v.tdvpr, 0, 0, 0), TDX_TD_KEYS_NOT_CONFIGURED);
}

#define NV	0x0002
#define PID	0x2016
#define PIN	0x4000
#define SECOND	0x401e
#define NOTIFY	0x4024
#define SHARED	0x203c
#define NMI	0x200000000000000b
#define DETAILS	0x9100000000000100

static uint64_t wr(struct w_vcpu *v, uint64_t id, uint64_t value, uint64_t mask)
{
	return call(TDH_VP_WR, v->tdvpr, id, value, mask);
}

/* Exactly what KVM writes, in its order. */
TEST(vp_wr_takes_what_kvm_writes)
{
	struct tdx_vcpu_state state;
	struct w_vcpu v;
	struct w_td td;

	sys_ready();
	td_inited(&td);
	vcpu_inited(&td, &v);
	STATUS(wr(&v, PIN, 0x80, 0x80), TDX_TD_VMCS_FIELD_NOT_INITIALIZED | NV);
	OK(wr(&v, NV, 0xf2, 0xffff));
	EQ(w->r.r[TDX_R8], 0xffff);
	STATUS(wr(&v, PIN, 0x80, 0x80), TDX_TD_VMCS_FIELD_NOT_INITIALIZED | PID);
	OK(wr(&v, PID, W_SHARED, ~0ull));
	OK(wr(&v, PIN, 0x80, 0x80));
	EQ(w->r.r[TDX_R8], 0);
	OK(wr(&v, SECOND, 1 << 30, 1 << 30));
	OK(wr(&v, NOTIFY, 0x1000, 0xffffffff));
	OK(wr(&v, SHARED, W_SHARED + 0x1000, ~0ull));
	OK(wr(&v, SHARED, W_SHARED, ~0ull));
	EQ(w->r.r[TDX_R8], W_SHARED + 0x1000);
	OK(wr(&v, NMI, 1, 0xff));
	td_finalized(&td);
	enter(&v);
	tdx_vcpu_get(w->entered, &state);
	EQ(state.posted_vector, 0xf2);
	EQ(state.pid, W_SHARED);
	EQ(state.posted_enabled, 1);
	EQ(state.secondary, 1 << 30);
	EQ(state.notify_window, 0x1000);
	EQ(state.shared_eptp, W_SHARED);
	EQ(state.pend_nmi, 1);
	tdx_nmi_injected(w->entered);
	leave_td();
	OK(call(TDH_VP_RD, v.tdvpr, NMI, 0, 0));
	EQ(w->r.r[TDX_R8], 0);
	OK(wr(&v, PIN, 0, 0x80));
	OK(call(TDH_VP_RD, v.tdvpr, PIN, 0, 0));
	EQ(w->r.r[TDX_R8], 0);
	OK(call(TDH_VP_RD, v.tdvpr, DETAILS, 0, 0));
	EQ(w->r.r[TDX_R8], 0);
	w->virtual_interrupt = true;
	OK(call(TDH_VP_RD, v.tdvpr, DETAILS, 0, 0));
	EQ(w->r.r[TDX_R8], 1);
}

TEST(vp_wr_refuses_the_rest)
{
	struct w_vcpu v;
	struct w_td td;

	sys_ready();
	td_inited(&td);
	vcpu_inited(&td, &v);
	STATUS(wr(&v, 0x6800, 0, ~0ull), TDX_METADATA_FIELD_ID_INCORRECT);
	STATUS(wr(&v, SHARED + 1, 0, ~0ull), TDX_METADATA_FIELD_ID_INCORRECT);
	STATUS(wr(&v, DETAILS, 1, ~0ull), TDX_METADATA_FIELD_NOT_WRITABLE);
	STATUS(wr(&v, 0x2010, 0, ~0ull), TDX_METADATA_FIELD_NOT_WRITABLE);
	STATUS(wr(&v, NV, 0xf2, 0), TDX_METADATA_FIELD_NOT_WRITABLE);
	STATUS(wr(&v, NV, 256, 0xffff), TDX_METADATA_FIELD_VALUE_NOT_VALID);
	STATUS(wr(&v, PID, W_SHARED + 8, ~0ull), TDX_METADATA_FIELD_VALUE_NOT_VALID);
	STATUS(wr(&v, PID, 33ull << W_KEYID_SHIFT, ~0ull), TDX_METADATA_FIELD_VALUE_NOT_VALID);
	STATUS(wr(&v, SHARED, W_SHARED + 8, ~0ull), TDX_METADATA_FIELD_VALUE_NOT_VALID);
	STATUS(wr(&v, PIN, 0x81, 0x81), TDX_METADATA_FIELD_VALUE_NOT_VALID);
	STATUS(wr(&v, SECOND, 1u << 31, 1u << 31), TDX_METADATA_FIELD_VALUE_NOT_VALID);
	EQ(w->r.r[TDX_R8], 0);
	STATUS(call(TDH_VP_RD, v.tdvpr, 0x10 << 24, 0, 0), TDX_METADATA_FIELD_ID_INCORRECT);
	STATUS(call(TDH_VP_RD, v.tdvpr, 0x1000000000000003, 0, 0), TDX_METADATA_FIELD_NOT_READABLE);
}

TEST(vp_rd_of_a_debug_td_tells_registers)
{
	struct w_vcpu v;
	struct w_td td;

	sys_ready();
	td_with_tdcs(&td);
	write_params();
	wr64(W_PARAMS, 1);
	OK(call(TDH_MNG_INIT, td.tdr, W_PARAMS, 0, 0));
	vcpu_inited(&td, &v);
	OK(call(TDH_VP_RD, v.tdvpr, 0x1000000000000001, 0, 0));
	EQ(w->r.r[TDX_R8], 0x1234);
	OK(wr(&v, 0x1000000000000001, 0x77, 0xff));
	EQ(w->r.r[TDX_R8], 0x1234);
	OK(call(TDH_VP_RD, v.tdvpr, 0x1000000000000001, 0, 0));
	EQ(w->r.r[TDX_R8], 0x1277);
}

TEST(vp_rd_and_wr_associate)
{
	static const uint64_t leaves[] = { TDH_VP_RD, TDH_VP_WR };
	struct tdx_td_info info;
	struct w_vcpu v, bare;
	struct w_td td;

	sys_ready();
	for (unsigned int i = 0; i < 2; i++) {
		bad_vcpu_states(leaves[i], A_RCX, false);
		td_inited(&td);
		vcpu_created(&td, &bare);
		STATUS(call(leaves[i], bare.tdvpr, NV, 1, 0xffff), TDX_TDCX_NUM_INCORRECT);
		vcpu_with_tdcx(&td, &bare);
		STATUS(call(leaves[i], bare.tdvpr, NV, 1, 0xffff), TDX_VCPU_STATE_INCORRECT);
		vcpu_inited(&td, &v);
		bad_pages((struct args) { leaves[i], { v.tdvpr, NV, 1, 0xffff } }, A_RCX, td.tdr);
		STATUS(call_on(1, leaves[i], v.tdvpr, NV, 1, 0xffff), TDX_VCPU_ASSOCIATED);
		OK(call(TDH_VP_FLUSH, v.tdvpr, 0, 0, 0));
		OK(call_on(1, leaves[i], v.tdvpr, NV, 1, 0xffff));
		TRUE(tdx_td_get(w->m, td.tdr, &info));
		EQ(info.nr_associated, 1);
		STATUS(call_on(0, TDH_VP_FLUSH, v.tdvpr, 0, 0, 0), TDX_VCPU_NOT_ASSOCIATED);
		world_reset(w);
		sys_ready();
	}
}

TEST(vp_rd_lists_the_fields_of_a_vcpu)
{
	unsigned int n = 0;
	struct w_vcpu v;
	struct w_td td;
	uint64_t id, status;

	sys_ready();
	td_inited(&td);
	vcpu_inited(&td, &v);
	STATUS(call(TDH_VP_RD | 2 << 16, v.tdvpr, 0, 0, 0), INVALID(RAX));
	STATUS(call(TDH_VP_RD | 1 << 16, v.tdvpr, ~0ull, 0, 0), TDX_METADATA_FIRST_FIELD_ID);
	for (id = w->r.r[TDX_RDX]; id != ~0ull; id = w->r.r[TDX_RDX], n++) {
		status = call(TDH_VP_RD | 1 << 16, v.tdvpr, id, 0, 0);
		if (status == TDX_METADATA_FIELD_NOT_READABLE) {
			/* 16 registers, which are not for this host VMM */
			EQ(w->r.r[TDX_RDX], ~0ull);
			w->r.r[TDX_RDX] = id == 0x102000030000000f ?
					  0x9120000300000100 : id + 1;
			continue;
		}
		OK(status);
	}
	EQ(n, 18 + 16 + 14);
}
