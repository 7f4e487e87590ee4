/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MONITOR_H
#define MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "../tdx_module/tdx_module.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * DOC: monitor
 *
 * What the emulator tells those who look on: accesses to memory that a TD owns,
 * what the TDX module does, and where the host is while it does so.  C, so that
 * those who look on need no header of Bochs.  As long as nobody does, it costs
 * nothing but a comparison per access to hidden memory.
 */

enum tdx_access_kind {
	TDX_ACCESS_READ, TDX_ACCESS_WRITE, TDX_ACCESS_FETCH, TDX_ACCESS_STALE,
};

/**
 * struct tdx_access - an access to memory that is not the host's
 * @kind: what; it got zeroes, or what was written this way before, and its data was
 *        dropped unless it wrote to a private page.  But a page that was released and
 *        not yet flushed (TDX_FLUSHED) is reached.  TDX_ACCESS_STALE is by a TD, through
 *        a translation that its TLB has, of a page that is not its any more.
 * @lp:   logical processor, outside of any TD but for TDX_ACCESS_STALE
 * @pa:   where
 * @len:  bytes; 0 for TDX_ACCESS_FETCH
 *
 * Page walks of the CPU and accesses to VMX structures are among them.
 */
struct tdx_access {
	enum tdx_access_kind kind;
	unsigned int lp;
	uint64_t pa;
	uint32_t len;
};

/**
 * struct tdx_monitor - one who looks on; NULL for what is of no interest
 * @ctx:    handed to each of them
 * @access: of the host, or of a VM that is no TD
 * @event:  what happened to a page (see tdx_watch()); @lp called the module
 * @call:   a SEAMCALL or TDCALL was served (see tdx_observe())
 * @exit:   the TD on @lp was left, and these are the host's registers behind its
 *          TDH.VP.ENTER; follows on the @call of a TDCALL that left it
 * @enter:  before the module serves a SEAMCALL
 */
struct tdx_monitor {
	void *ctx;
	void (*access)(void *ctx, const struct tdx_access *access);
	void (*event)(void *ctx, unsigned int lp, const struct tdx_event *event);
	void (*enter)(void *ctx, unsigned int lp, const struct tdx_regs *regs);
	void (*call)(void *ctx, const struct tdx_record *record);
	void (*exit)(void *ctx, unsigned int lp, uint64_t time, uint64_t tdvpr,
		     const struct tdx_regs *regs);
};

/* Copied; NULL for nobody.  May be called at any time. */
void tdx_monitor_set(const struct tdx_monitor *monitor);

/**
 * tdx_monitor_linger() - let SEAMCALLs take their time, with the locks that they need
 * @instructions: of the processor that calls; 0, as at first: none
 *
 * So that those of several processors overlap.  What they do, they do at their beginning.
 */
void tdx_monitor_linger(uint32_t instructions);

/**
 * struct tdx_host - where a logical processor is, or was before it entered a TD
 * @time: TSC
 * @rip:  of the current instruction, that is the SEAMCALL while it is served
 * @rsp, @rbp, @cr3: as they are
 * @cpl:  privilege level
 * @vm:   it runs a VM, and all of the above are the VM's
 */
struct tdx_host {
	uint64_t time, rip, rsp, rbp, cr3;
	unsigned int cpl;
	bool vm;
};

void tdx_monitor_host(unsigned int lp, struct tdx_host *host);

/* Read the host's memory at a linear address, as for a stack trace.
 * Return: whether all of it is mapped, on ordinary memory.
 */
bool tdx_monitor_read(unsigned int lp, uint64_t linear, void *buf, uint32_t len);

/* Does this LP, which runs in a TD, have a translation of that page? */
bool tdx_monitor_cached(unsigned int lp, uint64_t pa);

/* NULL until the host has executed its first SEAMCALL. */
struct tdx_module *tdx_monitor_module(void);

unsigned int tdx_monitor_nr_lps(void);
uint64_t tdx_monitor_tsc_hz(void);
unsigned int tdx_monitor_pa_bits(void);		/* below the keyid */

#ifdef __cplusplus
}
#endif
#endif
