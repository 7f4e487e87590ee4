// SPDX-License-Identifier: GPL-2.0-only
/*
 * lib/seamcall.c: each form in which kernels print a failed call is recognized, and
 * told in words; nothing else is.
 */
#include <stdio.h>
#include <string.h>

#include "kselftest_harness.h"

#include "seamcall.h"

static const struct {
	const char *line, *words;
} told[] = {
	/* arch/x86/kvm/vmx/tdx.c __TDX_BUG_ON() and its sisters */
	{ "SEAMCALL TDH_MEM_PAGE_REMOVE failed: 0x8000020000000092, entry 0x80000000123450f7, level_state 0x400",
	  "TDH.MEM.PAGE.REMOVE: OPERAND_BUSY (SEPT_TREE), may be tried again: another call, or a running vCPU, holds it; S-EPT entry of 4K: MAPPED, page 0x12345000" },
	{ "SEAMCALL TDH_MEM_RANGE_BLOCK failed: 0xc0000b0d00000001, entry 0x8000000000000000, level_state 0x1",
	  "TDH.MEM.RANGE.BLOCK: EPT_ENTRY_STATE_INCORRECT (RCX), no use to try again: the S-EPT entry is in another state; S-EPT entry of 2M: FREE" },
	{ "SEAMCALL TDH_MEM_PAGE_AUG failed: 0xc0000b0000000001, entry 0x7000, level_state 0x8402",
	  "TDH.MEM.PAGE.AUG: EPT_WALK_FAILED (RCX), no use to try again: the S-EPT has no table for this address; S-EPT entry of 1G: a table, MAPPED, page 0x7000" },
	{ "SEAMCALL TDH_MR_EXTEND failed: 0xc0000b0d00000001, entry 0x8000000000006000, level_state 0x300",
	  "TDH.MR.EXTEND: EPT_ENTRY_STATE_INCORRECT (RCX), no use to try again: the S-EPT entry is in another state; S-EPT entry of 4K: PENDING_BLOCKED, page 0x6000" },
	{ "SEAMCALL TDH_MEM_TRACK failed: 0x80000201000000a9",
	  "TDH.MEM.TRACK: PREVIOUS_TLB_EPOCH_BUSY (TD_EPOCH), may be tried again: a vCPU has not left the TD since the last TDH.MEM.TRACK" },
	{ "SEAMCALL TDH_PHYMEM_PAGE_RECLAIM failed: 0xc000030000000001, rcx 0x0, rdx, 0x0, r8 0x0",
	  "TDH.PHYMEM.PAGE.RECLAIM: PAGE_METADATA_INCORRECT (RCX), no use to try again: the page is not what it must be for this: another's, of another kind, or free" },
	{ "SEAMCALL TDH_MNG_INIT failed: 0xc000010000000045, rcx 0x12",
	  "TDH.MNG.INIT: OPERAND_INVALID (CPUID_CONFIG), no use to try again: the operand has a value that it must not have" },
	{ "kvm_intel: SEAMCALL TDH_MNG_VPFLUSHDONE failed: 0x8000082400000000",
	  "TDH.MNG.VPFLUSHDONE: FLUSHVP_NOT_DONE, may be tried again: a vCPU is still associated with a processor" },
	/* By a name that none of ours has */
	{ "SEAMCALL TDH_NEW_LEAF failed: 0x8000020200000000",
	  "SEAMCALL of an unknown leaf: SYS_BUSY, may be tried again: another call holds the whole module" },
	/* arch/x86/kvm/vmx/tdx.c tdh_vp_rd_failed(), tdh_vp_wr_failed(), tdx.h, arch/x86/virt/vmx/tdx/tdx.c */
	{ "TDH_VP_RD[VMCS.0x4] failed 0xc0000c0000000000", "TDH.VP.RD: METADATA_FIELD_ID_INCORRECT, no use to try again" },
	{ "TDH_VP_WR[VMCS.0x4] |= 0x8 failed: 0x8000070200000000",
	  "TDH.VP.WR: VCPU_NOT_ASSOCIATED, may be tried again: the vCPU is not associated with this processor" },
	{ "TDH.SYS.DISABLE failed: 0xc000050600000000",
	  "TDH.SYS.DISABLE: SYS_SHUTDOWN, no use to try again: the module is shut down" },
	/* arch/x86/virt/vmx/tdx/seamcall_internal.h, and vendors' kernels */
	{ "virt/tdx: SEAMCALL (0x0000000000000021) failed: 0xc000050000000000",
	  "TDH.SYS.INIT: SYS_INIT_NOT_PENDING, no use to try again" },
	{ "SEAMCALL (0x1c) failed: 0xc000030000000001 RCX 0x3 RDX 0x0 R8 0x0 R9 0x0 R10 0x0 R11 0x0",
	  "TDH.PHYMEM.PAGE.RECLAIM: PAGE_METADATA_INCORRECT (RCX), no use to try again: the page is not what it must be for this: another's, of another kind, or free" },
	{ "SEAMCALL (0x0f) failed: 0xc0000b0800000001 RCX 0x80000000402006b7 RDX 0x401 R8 0x0",
	  "TDH.MEM.PAGE.DEMOTE: TLB_TRACKING_NOT_DONE (RCX), no use to try again: vCPUs may still have the translation: no TDH.MEM.TRACK since it was blocked; S-EPT entry of 2M: MAPPED, page 0x40200000" },
	{ "SEAMCALL (0x10016) failed: 0x8000020000000080",
	  "TDH.VP.INIT: OPERAND_BUSY (TDR), may be tried again: another call, or a running vCPU, holds it" },
	{ "SEAMCALL (0xfe) failed: 0x1234567800000009", "SEAMCALL leaf 254, which is unknown: status 0x1234567800000009, of an unknown class" },
	{ "SEAMCALL[TDH.MNG.CREATE] failed: 0xc000082000000002 (TDX_HKID_NOT_FREE)", "TDH.MNG.CREATE: HKID_NOT_FREE (RDX), no use to try again" },
	/* Linux's own errors, and its name of a dead TD */
	{ "SEAMCALL (0x21) failed: 0x8000ff00ffff0000", "TDH.SYS.INIT: never reached the TDX module (there is no TDX module, or it is not entered from here)" },
	{ "SEAMCALL (0x21) failed: 0x8000ff000000000d", "TDH.SYS.INIT: never reached the TDX module (#GP: SEAMCALL is not enabled)" },
	{ "SEAMCALL TDH_VP_ENTER failed: 0x4000000200000030", "TDH.VP.ENTER: NON_RECOVERABLE_TD (detail 0x30), fatal: the TD can run no more" },
	/* In a guest */
	{ "TDCALL[6] failed with 0xc0000b0a00000000", "TDG.MEM.PAGE.ACCEPT: status 0xc0000b0a00000000, of an unknown class" },
	{ "tdx: TDCALL (0x6) failed: 0x00000b0a00000000", "TDG.MEM.PAGE.ACCEPT: PAGE_ALREADY_ACCEPTED: the guest has accepted the page before" },
};

TEST(tells_each_form_in_words)
{
	static const char * const stamps[] = { "", "[   12.345678] ", "[   12.345678][  T812] " };
	char line[512], words[500];
	struct seamcall s;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(told); i++) {
		for (j = 0; j < ARRAY_SIZE(stamps); j++) {
			snprintf(line, sizeof(line), "%s%s", stamps[j], told[i].line);
			memset(&s, 0, sizeof(s));
			EXPECT_TRUE(seamcall_parse(line, &s))
				TH_LOG("line: %s", line);
			seamcall_describe(&s, words, sizeof(words));
			EXPECT_STREQ(told[i].words, words);
		}
	}
}

TEST(passes_over_everything_else)
{
	static const char * const lines[] = {
		"", "SEAMCALL", "TDH", "TD", "kvm_intel: TDX enabled, SEAMCALL can be used",
		"virt/tdx: module initialization failed (-5)", "BUG: something failed: 0x8000020000000092",
		"TDH_MEM_PAGE_ADD is fine", "RCX 0x1 RDX 0x2 R08 0x3",
		"tdh_mng_key_freeid() failed. HKID 5 is leaked.", "STD.OUT failed: 0x1",
	};
	struct seamcall s = {};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lines); i++)
		EXPECT_FALSE(seamcall_parse(lines[i], &s))
			TH_LOG("line %zu", i);
	EXPECT_EQ(0, s.status);
}

TEST(takes_registers_from_the_lines_behind)
{
	struct seamcall s = {};
	char words[500];

	ASSERT_TRUE(seamcall_parse("virt/tdx: SEAMCALL (0x0000000000000006) failed: 0xc0000b0d00000001", &s));
	EXPECT_FALSE(s.has_entry);
	ASSERT_TRUE(seamcall_parse("virt/tdx: RCX 0x80000000000050b0 RDX 0x0000000000000200 R08 0x0000000000000000", &s));
	seamcall_describe(&s, words, sizeof(words));
	EXPECT_NE(NULL, strstr(words, "TDH.MEM.PAGE.AUG: EPT_ENTRY_STATE_INCORRECT"));
	EXPECT_NE(NULL, strstr(words, "; S-EPT entry of 4K: PENDING, page 0x5000"));
	/* Of other leaves they tell something else. */
	ASSERT_TRUE(seamcall_parse("virt/tdx: SEAMCALL (0x000000000000001c) failed: 0xc000030000000001", &s));
	EXPECT_FALSE(seamcall_parse("virt/tdx: RCX 0x0000000000005000 RDX 0x0000000000000200 R08 0x0", &s));
}

TEST(fits_into_what_there_is)
{
	struct seamcall s = {};
	char words[32];

	ASSERT_TRUE(seamcall_parse(told[0].line, &s));
	seamcall_describe(&s, words, sizeof(words));
	EXPECT_EQ(sizeof(words) - 1, strlen(words));
}

TEST_HARNESS_MAIN
