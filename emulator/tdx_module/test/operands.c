// SPDX-License-Identifier: GPL-2.0-only
#include "operands.h"

static const unsigned int operand_of[] = {
	[A_RCX] = TDX_OPERAND_RCX, [A_RDX] = TDX_OPERAND_RDX,
	[A_R8] = TDX_OPERAND_R8, [A_R9] = TDX_OPERAND_R9,
};

uint64_t call_args(struct args args)
{
	return call(args.leaf, args.a[0], args.a[1], args.a[2], args.a[3]);
}

static uint64_t with(struct args args, unsigned int which, uint64_t value)
{
	args.a[which] = value;
	return call_args(args);
}

void bad_pages(struct args good, unsigned int which, uint64_t wrong)
{
	const unsigned int op = operand_of[which];
	const uint64_t pa = good.a[which];

	STATUS(with(good, which, pa | 0x800), TDX_OPERAND_INVALID | op);
	STATUS(with(good, which, pa | 1ull << W_KEYID_SHIFT), TDX_OPERAND_INVALID | op);
	STATUS(with(good, which, pa | 1ull << 63), TDX_OPERAND_INVALID | op);
	STATUS(with(good, which, 1ull << 30), TDX_OPERAND_ADDR_RANGE_ERROR | op);
	STATUS(with(good, which, wrong), TDX_PAGE_METADATA_INCORRECT | op);
	STATUS(with(good, which, 0x1000), TDX_PAGE_METADATA_INCORRECT | op);
	EQ(tdx_lock_take(w->m, TDX_LOCK_PAGE, pa, 0, true), 0);
	STATUS(with(good, which, pa), TDX_OPERAND_BUSY | op);
	EQ(tdx_lock_drop(w->m, TDX_LOCK_PAGE, pa, 0, true), 0);
}

void td_fatal(struct w_td *td, struct w_vcpu *v)
{
	const struct tdx_exit exit = { .reason = 0x80000021 };

	td_runnable(td, v);
	enter(v);
	EQ(tdx_td_exit(w->m, w->entered, &exit, &w->r), TDX_EXIT_FAULT);
	STATUS(w->r.r[TDX_RAX], TDX_NON_RECOVERABLE_TD | 0x80000021);
}

void bad_td_states(struct args good, unsigned int which, bool op_state_lock,
		   bool from_uninitialized)
{
	const uint64_t tdr = good.a[which];
	struct w_vcpu v;
	struct w_td td;

	td_fatal(&td, &v);
	STATUS(with(good, which, td.tdr), TDX_TD_FATAL);
	td_created(&td);
	STATUS(with(good, which, td.tdr), TDX_TD_KEYS_NOT_CONFIGURED);
	td_keyed(&td);
	STATUS(with(good, which, td.tdr), TDX_TDCS_NOT_ALLOCATED);
	if (from_uninitialized)
		td_inited(&td);
	else
		td_with_tdcs(&td);
	STATUS(with(good, which, td.tdr), TDX_OP_STATE_INCORRECT);
	if (!op_state_lock)
		return;
	EQ(tdx_lock_take(w->m, TDX_LOCK_OP_STATE, tdr, 0, true), 0);
	STATUS(call_args(good), BUSY(OP_STATE));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_OP_STATE, tdr, 0, true), 0);
}

void bad_gpas(struct args good, unsigned int min, unsigned int max)
{
	const uint64_t gpa = good.a[A_RCX] & ~7ull;

	if (min)
		STATUS(with(good, A_RCX, min - 1), INVALID(RCX));
	STATUS(with(good, A_RCX, max + 1), INVALID(RCX));
	STATUS(with(good, A_RCX, gpa | min | 8), INVALID(RCX));
	STATUS(with(good, A_RCX, gpa | min | 0x800), INVALID(RCX));
	STATUS(with(good, A_RCX, gpa | min | GPA_SHARED), INVALID(RCX));
	STATUS(with(good, A_RCX, gpa | min | 1ull << 48), INVALID(RCX));
	STATUS(with(good, A_RCX, gpa | min | 1ull << 52), INVALID(RCX));
	if (max)
		STATUS(with(good, A_RCX, 0x1000 | max), INVALID(RCX));
	/* 1G above what has tables, there is only the level 2 entry. */
	if (min < 2) {
		STATUS(with(good, A_RCX, (1ull << 30) | min),
		       TDX_EPT_WALK_FAILED | TDX_OPERAND_RCX);
		EQ(w->r.r[TDX_RCX], 1ull << 63);
		EQ(w->r.r[TDX_RDX], 2);
	}
}
