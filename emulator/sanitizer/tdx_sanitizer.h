/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TDX_SANITIZER_H
#define TDX_SANITIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../tdx_module/tdx_module.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * DOC: tdx_sanitizer
 *
 * Rules that a host VMM must not break, checked from outside of the module.  The
 * emulator tells what happens: events and calls of the module, host accesses to
 * memory that is not the host's, entries and exits of TDs.  The sanitizer keeps a
 * shadow of each page that was ever a TD's, so it does not depend on the module's
 * checks; what the module refuses is a report, too, if only a bug can ask for it.
 *
 * It knows no emulator.  Threads: none; the caller serializes.
 */

/**
 * enum tdx_rule - what can be violated
 * @TDX_RULE_HOST_READ:  the host reads a page that a TD owns, or a PAMT
 * @TDX_RULE_HOST_WRITE: it writes one
 * @TDX_RULE_HOST_FETCH: it executes one
 * @TDX_RULE_DMA:        a device reads or writes one
 * @TDX_RULE_FREED:      the kernel frees or hands out a page that a TD owns.  The
 *                       kernel touches pages then if init_on_free=1 or
 *                       init_on_alloc=1; told apart from other writes by the stack
 * @TDX_RULE_DOUBLE_ADD: a page that has an owner, or a GPA that has a page, is added
 * @TDX_RULE_UNTRACKED:  a page is removed while TLBs may have it: without BLOCK and
 *                       TRACK, or before all vCPUs of the old epoch have exited
 * @TDX_RULE_STALE_TLB:  a page was removed, and a vCPU that runs has it in its TLB
 * @TDX_RULE_UNFLUSHED:  a removed page is used although its cache lines with the
 *                       TD's keyid were not written back (PHYMEM.PAGE.WBINVD)
 * @TDX_RULE_KEYID:      a keyid is used again, or freed, before the caches of all
 *                       packages are written back
 * @TDX_RULE_EARLY_RECLAIM: a page is reclaimed from a TD that is not torn down
 * @TDX_RULE_LEAK:       a TD ends, or its keyid does, and pages still belong to it
 */
enum tdx_rule {
	TDX_RULE_HOST_READ, TDX_RULE_HOST_WRITE, TDX_RULE_HOST_FETCH, TDX_RULE_DMA,
	TDX_RULE_FREED, TDX_RULE_DOUBLE_ADD, TDX_RULE_UNTRACKED, TDX_RULE_STALE_TLB,
	TDX_RULE_UNFLUSHED, TDX_RULE_KEYID, TDX_RULE_EARLY_RECLAIM, TDX_RULE_LEAK,
	TDX_NR_RULES,
};

/* "host-read"; NULL if there is no such rule. */
const char *tdx_rule_name(enum tdx_rule rule);

enum tdx_san_access {
	TDX_SAN_READ, TDX_SAN_WRITE, TDX_SAN_FETCH, TDX_SAN_DMA_READ, TDX_SAN_DMA_WRITE,
};

#define TDX_NO_LP	(~0u)	/* a device's access */

/* Where the host is on a logical processor, and its TSC. */
struct tdx_san_lp {
	uint64_t rip, rsp, rbp, time;
};

/**
 * struct tdx_san_ops - what the sanitizer needs of the machine
 * @ctx:    handed to each of them
 * @lp:     where the host is, or was before it entered a TD; within a SEAMCALL,
 *          at the instruction
 * @read:   read the host's memory at a virtual address; false if it is not mapped
 * @cached: does this LP, which runs in a TD, have the page in its TLB?  NULL if
 *          that is not known: then it might
 * @report: a new report: one line of JSON and a text of some lines; NULL is fine
 * @fatal:  called behind @report in mode TDX_SAN_FATAL; need not return
 */
struct tdx_san_ops {
	void *ctx;
	void (*lp)(void *ctx, unsigned int lp, struct tdx_san_lp *state);
	bool (*read)(void *ctx, unsigned int lp, uint64_t va, void *buf, uint32_t len);
	bool (*cached)(void *ctx, unsigned int lp, uint64_t pa);
	void (*report)(void *ctx, const char *json, const char *text);
	void (*fatal)(void *ctx);
};

enum tdx_san_mode { TDX_SAN_OFF, TDX_SAN_WARN, TDX_SAN_FATAL };

struct tdx_sanitizer;

/**
 * tdx_san_create() - start watching
 * @out:     receives the handle; NULL on error
 * @m:       the module; the owners that it tells are where the shadow starts
 * @ops:     copied
 * @vmlinux: the host kernel for names and stacks, or NULL
 *
 * The mode is TDX_SAN_WARN.  A mode of TDX_SAN_OFF keeps the shadow and reports
 * nothing.  PAMTs that were donated before are not known.
 *
 * Return: 0; -ENOMEM; or, if it is @vmlinux that cannot be used, what
 * symbols_open() returns.
 */
int tdx_san_create(struct tdx_sanitizer **out, struct tdx_module *m,
		   const struct tdx_san_ops *ops, const char *vmlinux);
void tdx_san_destroy(struct tdx_sanitizer *s);	/* NULL is fine */

void tdx_san_set_mode(struct tdx_sanitizer *s, enum tdx_san_mode mode);
enum tdx_san_mode tdx_san_get_mode(const struct tdx_sanitizer *s);

/* ---- What happens ---- */

/* For tdx_watch(): call this for each event. */
void tdx_san_event(struct tdx_sanitizer *s, const struct tdx_event *event);

/* Before tdx_seamcall(). */
void tdx_san_begin(struct tdx_sanitizer *s, unsigned int lp, const struct tdx_regs *regs);

/* For tdx_observe(): call this for each record, SEAMCALL or TDCALL. */
void tdx_san_end(struct tdx_sanitizer *s, const struct tdx_record *record);

/* A TD that was entered on this LP has been left. */
void tdx_san_exit(struct tdx_sanitizer *s, unsigned int lp);

/**
 * tdx_san_access() - memory is accessed, and neither by a TD nor by the module
 * @s:    the sanitizer
 * @lp:   by whom, or TDX_NO_LP
 * @how:  how
 * @pa, @len: what; without keyid, and not across a 4K boundary
 *
 * Needed for pages of which tdx_san_guards() says so; for others it does nothing.
 */
void tdx_san_access(struct tdx_sanitizer *s, unsigned int lp, enum tdx_san_access how,
		    uint64_t pa, uint32_t len);

/* A TD on this LP uses a translation of the page that its TLB has. */
void tdx_san_td_access(struct tdx_sanitizer *s, unsigned int lp, uint64_t pa);

/**
 * tdx_san_guards() - must accesses to this page be told?
 *
 * It changes only within a SEAMCALL that changes the page, so that an emulator can
 * look at events to keep its own map.
 */
bool tdx_san_guards(const struct tdx_sanitizer *s, uint64_t pa);

/* TDs that exist, from TDH.MNG.CREATE to the reclaim of the TDR. */
unsigned int tdx_san_nr_tds(const struct tdx_sanitizer *s);

/**
 * tdx_san_idle() - no TD can exist now: report those that do
 *
 * Return: how many there are.
 */
unsigned int tdx_san_idle(struct tdx_sanitizer *s);

/* ---- Reports ----
 *
 * A page is reported once by each rule, until its state changes; and of many pages
 * from one place of the host's code only the first few.
 */

/**
 * tdx_san_take() - the oldest report that was not taken yet
 *
 * Return: its line of JSON, without a newline, valid until the next call of
 * anything here; or NULL.
 */
const char *tdx_san_take(struct tdx_sanitizer *s);

/* Violations so far, with those that were not reported since there were too many. */
uint64_t tdx_san_count(const struct tdx_sanitizer *s);

#ifdef __cplusplus
}
#endif
#endif
