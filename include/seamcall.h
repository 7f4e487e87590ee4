/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SEAMCALL_H
#define SEAMCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

/**
 * DOC: seamcall
 *
 * What kernels print of a SEAMCALL or TDCALL that failed, in words.  Two forms are
 * known, with the leaf by its name and by its number:
 *
 *	SEAMCALL TDH_MEM_PAGE_REMOVE failed: 0x8000020000000092, entry 0x..., level_state 0x...
 *	SEAMCALL (0x1c) failed: 0xc000030000000001 RCX 0x... RDX 0x... R8 0x...
 *
 * Sources: arch/x86/kvm/vmx/tdx.c __TDX_BUG_ON(), tdh_vp_rd_failed(), tdx.h,
 * arch/x86/virt/vmx/tdx/seamcall_internal.h; and kernels before 7.0 and of vendors,
 * as bug reports quote them.  Leaves, statuses, operands and the S-EPT are those of
 * "Intel TDX Module ABI"; their names are shared with the emulated module
 * (emulator/tdx_module/status.c).
 */

/**
 * struct seamcall - a call, as far as a line tells
 * @guest:      TDCALL
 * @leaf:       its number, without the version
 * @status:     what the module, or the processor, answered; if @has_status
 * @rcx, @rdx:  what a TDH.MEM leaf said of the S-EPT entry; if @has_entry
 */
struct seamcall {
	bool guest, has_status, has_entry;
	unsigned int leaf;
	__u64 status, rcx, rdx;
};

/**
 * seamcall_parse() - read a line of a kernel's log
 * @line: with whatever is before and behind
 * @s:    receives the call.  A line with nothing but registers, as comes behind the
 *        second form, adds them to the call that is in there.
 *
 * Return: whether the line is about a call.
 */
bool seamcall_parse(const char *line, struct seamcall *s);

/**
 * seamcall_describe() - say it in words, in one line
 * @s:   the call
 * @buf: receives the line, without a newline; cut if it does not fit
 * @len: size of @buf; 500 is enough
 *
 *	TDH.MEM.PAGE.REMOVE: OPERAND_BUSY (SEPT_TREE), may be tried again: another call
 *	holds it; S-EPT entry of a 4K page: MAPPED, page 0x12345000
 */
void seamcall_describe(const struct seamcall *s, char *buf, size_t len);

#endif
