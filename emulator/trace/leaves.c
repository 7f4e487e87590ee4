// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arguments and results of the leaves, by register.
 */
#include "tdx_trace.h"

#define V(reg, name)	{ TDX_##reg, TDX_ARG_VALUE, name }
#define PAGE(reg)	{ TDX_##reg, TDX_ARG_PAGE, "pa" }
#define TDR(reg)	{ TDX_##reg, TDX_ARG_TDR, "tdr" }
#define TDVPR(reg)	{ TDX_##reg, TDX_ARG_TDVPR, "tdvpr" }
#define GPA(reg)	{ TDX_##reg, TDX_ARG_GPA, "gpa" }

#define ENTRY		{ V(RCX, "entry"), V(RDX, "level") }
#define FIELD_OUT	{ V(R8, "value") }

static const struct tdx_leaf_args host[] = {
	[TDH_VP_ENTER] = { { TDVPR(RCX) } },
	[TDH_MNG_ADDCX] = { { PAGE(RCX), TDR(RDX) } },
	[TDH_MEM_PAGE_ADD] = { { GPA(RCX), TDR(RDX), PAGE(R8), V(R9, "source") }, ENTRY },
	[TDH_MEM_SEPT_ADD] = { { GPA(RCX), TDR(RDX), PAGE(R8) }, ENTRY },
	[TDH_VP_ADDCX] = { { PAGE(RCX), TDVPR(RDX) } },
	[TDH_MEM_PAGE_AUG] = { { GPA(RCX), TDR(RDX), PAGE(R8) }, ENTRY },
	[TDH_MEM_RANGE_BLOCK] = { { GPA(RCX), TDR(RDX) }, ENTRY },
	[TDH_MNG_KEY_CONFIG] = { { TDR(RCX) } },
	[TDH_MNG_CREATE] = { { TDR(RCX), V(RDX, "keyid") } },
	[TDH_VP_CREATE] = { { TDVPR(RCX), TDR(RDX) } },
	[TDH_MNG_RD] = { { TDR(RCX), V(RDX, "field") }, FIELD_OUT },
	[TDH_MR_EXTEND] = { { GPA(RCX), TDR(RDX) }, ENTRY },
	[TDH_MR_FINALIZE] = { { TDR(RCX) } },
	[TDH_VP_FLUSH] = { { TDVPR(RCX) } },
	[TDH_MNG_VPFLUSHDONE] = { { TDR(RCX) } },
	[TDH_MNG_KEY_FREEID] = { { TDR(RCX) } },
	[TDH_MNG_INIT] = { { TDR(RCX), V(RDX, "params") }, { V(RCX, "leaf") } },
	[TDH_VP_INIT] = { { TDVPR(RCX), V(RDX, "rcx"), V(R8, "x2apic_id") } },
	[TDH_PHYMEM_PAGE_RDMD] = { { PAGE(RCX) }, { V(RCX, "type"), V(RDX, "owner"),
				     V(R8, "size"), V(R9, "bepoch") } },
	[TDH_MEM_SEPT_RD] = { { GPA(RCX), TDR(RDX) }, ENTRY },
	[TDH_VP_RD] = { { TDVPR(RCX), V(RDX, "field") }, FIELD_OUT },
	[TDH_PHYMEM_PAGE_RECLAIM] = { { PAGE(RCX) }, { V(RCX, "type"), V(RDX, "owner"),
					V(R8, "size") } },
	[TDH_MEM_PAGE_REMOVE] = { { GPA(RCX), TDR(RDX) }, { V(RCX, "pa"), V(RDX, "level") } },
	[TDH_MEM_SEPT_REMOVE] = { { GPA(RCX), TDR(RDX) }, { V(RCX, "pa"), V(RDX, "level") } },
	[TDH_SYS_RD] = { { V(RDX, "field") }, { V(RDX, "next"), V(R8, "value") } },
	[TDH_SYS_TDMR_INIT] = { { V(RCX, "tdmr") }, { V(RDX, "next") } },
	[TDH_MEM_TRACK] = { { TDR(RCX) } },
	[TDH_MEM_RANGE_UNBLOCK] = { { GPA(RCX), TDR(RDX) }, ENTRY },
	[TDH_PHYMEM_CACHE_WB] = { { V(RCX, "resume") } },
	[TDH_PHYMEM_PAGE_WBINVD] = { { PAGE(RCX) } },
	[TDH_VP_WR] = { { TDVPR(RCX), V(RDX, "field"), V(R8, "value"), V(R9, "mask") },
			FIELD_OUT },
	[TDH_SYS_CONFIG] = { { V(RCX, "tdmrs"), V(RDX, "nr"), V(R8, "keyid") } },
	[TDH_SYS_SHUTDOWN] = { { V(RCX, "handoff") } },
	[TDH_SYS_DISABLE] = { { { 0, 0, NULL } }, { { 0, 0, NULL } } },
};

static const struct tdx_leaf_args guest[] = {
	[TDG_VP_VMCALL] = { { V(RCX, "registers"), V(R10, "type"), V(R11, "subfunction"),
			      V(R12, "r12"), V(R13, "r13"), V(R14, "r14"), V(R15, "r15") } },
	[TDG_VP_INFO] = { { { 0, 0, NULL } }, { V(RCX, "gpaw"), V(RDX, "attributes"),
			    V(R8, "vcpus"), V(R9, "index") } },
	[TDG_VP_VEINFO_GET] = { { { 0, 0, NULL } }, { V(RCX, "reason"), V(RDX, "qualification"),
				V(R8, "gla"), V(R9, "gpa"), V(R10, "instruction") } },
	[TDG_MR_REPORT] = { { V(RCX, "report"), V(RDX, "data"), V(R8, "subtype") } },
	[TDG_MEM_PAGE_ACCEPT] = { { GPA(RCX) } },
};

static const struct tdx_leaf_args left = {
	.out = { V(RCX, "qualification"), V(RDX, "extended"), V(R8, "gpa"), V(R9, "interrupt"),
		 V(R10, "r10"), V(R11, "r11"), V(R12, "r12") },
};

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

const struct tdx_leaf_args *tdx_leaf_args(bool of_guest, uint32_t leaf)
{
	static const struct tdx_leaf_args none;

	if (of_guest)
		return leaf < ARRAY_SIZE(guest) ? &guest[leaf] : &none;
	return leaf < ARRAY_SIZE(host) ? &host[leaf] : &none;
}

const struct tdx_leaf_args *tdx_exit_args(void)
{
	return &left;
}

const struct tdx_arg *tdx_leaf_arg(const struct tdx_leaf_args *args,
				   enum tdx_arg_kind kind)
{
	for (const struct tdx_arg *a = args->in; a < args->in + TDX_MAX_ARGS && a->name; a++)
		if (a->kind == kind)
			return a;
	return NULL;
}
