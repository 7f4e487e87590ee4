// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names of leaves, statuses and operands, for people.
 */
#include <strings.h>

#include "internal.h"

static const char *const leaf_names[] = {
	[TDH_VP_ENTER] = "TDH.VP.ENTER",
	[TDH_MNG_ADDCX] = "TDH.MNG.ADDCX",
	[TDH_MEM_PAGE_ADD] = "TDH.MEM.PAGE.ADD",
	[TDH_MEM_SEPT_ADD] = "TDH.MEM.SEPT.ADD",
	[TDH_VP_ADDCX] = "TDH.VP.ADDCX",
	[TDH_MEM_PAGE_AUG] = "TDH.MEM.PAGE.AUG",
	[TDH_MEM_RANGE_BLOCK] = "TDH.MEM.RANGE.BLOCK",
	[TDH_MNG_KEY_CONFIG] = "TDH.MNG.KEY.CONFIG",
	[TDH_MNG_CREATE] = "TDH.MNG.CREATE",
	[TDH_VP_CREATE] = "TDH.VP.CREATE",
	[TDH_MNG_RD] = "TDH.MNG.RD",
	[TDH_MR_EXTEND] = "TDH.MR.EXTEND",
	[TDH_MR_FINALIZE] = "TDH.MR.FINALIZE",
	[TDH_VP_FLUSH] = "TDH.VP.FLUSH",
	[TDH_MNG_VPFLUSHDONE] = "TDH.MNG.VPFLUSHDONE",
	[TDH_MNG_KEY_FREEID] = "TDH.MNG.KEY.FREEID",
	[TDH_MNG_INIT] = "TDH.MNG.INIT",
	[TDH_VP_INIT] = "TDH.VP.INIT",
	[TDH_PHYMEM_PAGE_RDMD] = "TDH.PHYMEM.PAGE.RDMD",
	[TDH_MEM_SEPT_RD] = "TDH.MEM.SEPT.RD",
	[TDH_VP_RD] = "TDH.VP.RD",
	[TDH_PHYMEM_PAGE_RECLAIM] = "TDH.PHYMEM.PAGE.RECLAIM",
	[TDH_MEM_PAGE_REMOVE] = "TDH.MEM.PAGE.REMOVE",
	[TDH_MEM_SEPT_REMOVE] = "TDH.MEM.SEPT.REMOVE",
	[TDH_SYS_KEY_CONFIG] = "TDH.SYS.KEY.CONFIG",
	[TDH_SYS_INIT] = "TDH.SYS.INIT",
	[TDH_SYS_RD] = "TDH.SYS.RD",
	[TDH_SYS_LP_INIT] = "TDH.SYS.LP.INIT",
	[TDH_SYS_TDMR_INIT] = "TDH.SYS.TDMR.INIT",
	[TDH_MEM_TRACK] = "TDH.MEM.TRACK",
	[TDH_MEM_RANGE_UNBLOCK] = "TDH.MEM.RANGE.UNBLOCK",
	[TDH_PHYMEM_CACHE_WB] = "TDH.PHYMEM.CACHE.WB",
	[TDH_PHYMEM_PAGE_WBINVD] = "TDH.PHYMEM.PAGE.WBINVD",
	[TDH_VP_WR] = "TDH.VP.WR",
	[TDH_SYS_CONFIG] = "TDH.SYS.CONFIG",
	[TDH_SYS_SHUTDOWN] = "TDH.SYS.SHUTDOWN",
	[TDH_SYS_UPDATE] = "TDH.SYS.UPDATE",
	[TDH_SYS_DISABLE] = "TDH.SYS.DISABLE",
};

static const char *const guest_leaf_names[] = {
	[TDG_VP_VMCALL] = "TDG.VP.VMCALL",
	[TDG_VP_INFO] = "TDG.VP.INFO",
	[TDG_VP_VEINFO_GET] = "TDG.VP.VEINFO.GET",
	[TDG_MR_REPORT] = "TDG.MR.REPORT",
	[TDG_MEM_PAGE_ACCEPT] = "TDG.MEM.PAGE.ACCEPT",
};

#define S(name)	{ name, #name }

static const struct {
	u64 status;
	const char *name;
} statuses[] = {
	S(TDX_SUCCESS),
	S(TDX_NON_RECOVERABLE_VCPU),
	S(TDX_NON_RECOVERABLE_TD),
	S(TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE),
	S(TDX_INTERRUPTED_RESUMABLE),
	S(TDX_OPERAND_INVALID),
	S(TDX_OPERAND_ADDR_RANGE_ERROR),
	S(TDX_OPERAND_BUSY),
	S(TDX_PREVIOUS_TLB_EPOCH_BUSY),
	S(TDX_SYS_BUSY),
	S(TDX_RND_NO_ENTROPY),
	S(TDX_OPERAND_BUSY_HOST_PRIORITY),
	S(TDX_PAGE_METADATA_INCORRECT),
	S(TDX_TD_ASSOCIATED_PAGES_EXIST),
	S(TDX_SYS_INIT_NOT_PENDING),
	S(TDX_SYS_LP_INIT_NOT_DONE),
	S(TDX_SYS_LP_INIT_DONE),
	S(TDX_SYS_NOT_READY),
	S(TDX_SYS_SHUTDOWN),
	S(TDX_SYS_KEY_CONFIG_NOT_PENDING),
	S(TDX_SYS_STATE_INCORRECT),
	S(TDX_SYS_INVALID_HANDOFF),
	S(TDX_SYS_LP_INIT_NOT_PENDING),
	S(TDX_SYS_CONFIG_NOT_PENDING),
	S(TDX_TD_FATAL),
	S(TDX_TDCS_NOT_ALLOCATED),
	S(TDX_LIFECYCLE_STATE_INCORRECT),
	S(TDX_OP_STATE_INCORRECT),
	S(TDX_NO_VCPUS),
	S(TDX_TDCX_NUM_INCORRECT),
	S(TDX_X2APIC_ID_NOT_UNIQUE),
	S(TDX_VCPU_STATE_INCORRECT),
	S(TDX_VCPU_ASSOCIATED),
	S(TDX_VCPU_NOT_ASSOCIATED),
	S(TDX_NO_VALID_VE_INFO),
	S(TDX_MAX_VCPUS_EXCEEDED),
	S(TDX_TSC_ROLLBACK),
	S(TDX_TD_VMCS_FIELD_NOT_INITIALIZED),
	S(TDX_KEY_GENERATION_FAILED),
	S(TDX_TD_KEYS_NOT_CONFIGURED),
	S(TDX_KEY_STATE_INCORRECT),
	S(TDX_KEY_CONFIGURED),
	S(TDX_WBCACHE_NOT_COMPLETE),
	S(TDX_HKID_NOT_FREE),
	S(TDX_NO_HKID_READY_TO_WBCACHE),
	S(TDX_WBCACHE_RESUME_ERROR),
	S(TDX_FLUSHVP_NOT_DONE),
	S(TDX_LIMIT_CPUID_MAXVAL_SET),
	S(TDX_CPUID_LEAF_1F_FORMAT_UNRECOGNIZED),
	S(TDX_INCONSISTENT_MSR),
	S(TDX_INVALID_TDMR),
	S(TDX_NON_ORDERED_TDMR),
	S(TDX_TDMR_OUTSIDE_CMRS),
	S(TDX_TDMR_ALREADY_INITIALIZED),
	S(TDX_INVALID_PAMT),
	S(TDX_PAMT_OUTSIDE_CMRS),
	S(TDX_PAMT_OVERLAP),
	S(TDX_INVALID_RESERVED_IN_TDMR),
	S(TDX_NON_ORDERED_RESERVED_IN_TDMR),
	S(TDX_EPT_WALK_FAILED),
	S(TDX_EPT_ENTRY_NOT_PRESENT),
	S(TDX_GPA_RANGE_NOT_BLOCKED),
	S(TDX_GPA_RANGE_ALREADY_BLOCKED),
	S(TDX_TLB_TRACKING_NOT_DONE),
	S(TDX_PAGE_ALREADY_ACCEPTED),
	S(TDX_PAGE_SIZE_MISMATCH),
	S(TDX_EPT_ENTRY_STATE_INCORRECT),
	S(TDX_EPT_PAGE_NOT_FREE),
	S(TDX_METADATA_FIELD_ID_INCORRECT),
	S(TDX_METADATA_FIELD_NOT_WRITABLE),
	S(TDX_METADATA_FIELD_NOT_READABLE),
	S(TDX_METADATA_FIELD_VALUE_NOT_VALID),
	S(TDX_METADATA_FIRST_FIELD_ID),
};

static const struct {
	u32 operand;
	const char *name;
} operands[] = {
	{ TDX_OPERAND_RAX, "RAX" },
	{ TDX_OPERAND_RCX, "RCX" },
	{ TDX_OPERAND_RDX, "RDX" },
	{ TDX_OPERAND_R8, "R8" },
	{ TDX_OPERAND_R9, "R9" },
	{ TDX_OPERAND_ATTRIBUTES, "ATTRIBUTES" },
	{ TDX_OPERAND_XFAM, "XFAM" },
	{ TDX_OPERAND_CONFIG_FLAGS, "CONFIG_FLAGS" },
	{ TDX_OPERAND_EPTP_CONTROLS, "EPTP_CONTROLS" },
	{ TDX_OPERAND_MAX_VCPUS, "MAX_VCPUS" },
	{ TDX_OPERAND_CPUID_CONFIG, "CPUID_CONFIG" },
	{ TDX_OPERAND_TSC_FREQUENCY, "TSC_FREQUENCY" },
	{ TDX_OPERAND_NUM_L2_VMS, "NUM_L2_VMS" },
	{ TDX_OPERAND_ARCH_CAPABILITIES, "IA32_ARCH_CAPABILITIES" },
	{ TDX_OPERAND_TDR, "TDR" },
	{ TDX_OPERAND_TDCX, "TDCX" },
	{ TDX_OPERAND_TDVPR, "TDVPR" },
	{ TDX_OPERAND_SEPT_TREE, "SEPT_TREE" },
	{ TDX_OPERAND_SEPT_ENTRY, "SEPT_ENTRY" },
	{ TDX_OPERAND_TD_EPOCH, "TD_EPOCH" },
	{ TDX_OPERAND_OP_STATE, "OP_STATE" },
	{ TDX_OPERAND_SYS, "SYS" },
	{ TDX_OPERAND_TDMR, "TDMR" },
	{ TDX_OPERAND_KOT, "KOT" },
	{ TDX_OPERAND_KET, "KET" },
	{ TDX_OPERAND_WBCACHE, "WBCACHE" },
};

const char *tdx_leaf_name(u32 leaf)
{
	return leaf < ARRAY_SIZE(leaf_names) ? leaf_names[leaf] : NULL;
}

const char *tdx_guest_leaf_name(u32 leaf)
{
	return leaf < ARRAY_SIZE(guest_leaf_names) ? guest_leaf_names[leaf] : NULL;
}

const char *tdx_status_name(u64 status)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(statuses); i++)
		if (statuses[i].status >> 32 == status >> 32)
			return statuses[i].name;
	return NULL;
}

/* Is @word that name, whole or without its prefix? */
static bool is_name(const char *name, const char *prefix, const char *word)
{
	const size_t len = strlen(prefix);

	return name && (!strcasecmp(name, word) ||
			(!strncasecmp(name, prefix, len) && !strcasecmp(name + len, word)));
}

bool tdx_leaf_by_name(const char *word, bool *guest, u32 *leaf)
{
	for (*leaf = 0; *leaf < ARRAY_SIZE(leaf_names); ++*leaf) {
		*guest = is_name(tdx_guest_leaf_name(*leaf), "TDG.", word);
		if (*guest || is_name(leaf_names[*leaf], "TDH.", word))
			return true;
	}
	return false;
}

bool tdx_status_by_name(const char *word, u64 *status)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(statuses); i++)
		if (is_name(statuses[i].name, "TDX_", word)) {
			*status = statuses[i].status;
			return true;
		}
	return false;
}

bool tdx_operand_by_name(const char *word, u32 *operand)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(operands); i++)
		if (is_name(operands[i].name, "", word)) {
			*operand = operands[i].operand;
			return true;
		}
	return false;
}

const char *tdx_operand_name(u32 operand)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(operands); i++)
		if (operands[i].operand == operand)
			return operands[i].name;
	return NULL;
}
