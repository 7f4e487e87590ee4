/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef EMULATOR_H
#define EMULATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#include "finding.h"

/**
 * DOC: emulator
 *
 * How a test in the emulated machine talks to the emulator: make SEAMCALLs fail,
 * hold locks of the TDX module, count calls, read what the sanitizer found.  The
 * commands are in emulator/control/tdx_control.h.
 *
 * The supervisor of a case undoes its injections and locks, whatever became of the
 * case, and turns reports of the sanitizer into findings.  On every other machine
 * there is nothing to talk to: emulator_why_not() says so, and NEED_EMULATOR skips.
 *
 * Errors: 0 or -errno; -ENODEV where there is no emulator.
 * Processes: any number may ask at the same time; each gets its own answer.
 */

/* NULL if this machine is emulated by this project's emulator, or why it is not. */
const char *emulator_why_not(void);

/**
 * emulator_ask() - give a command
 * @answer: receives what it says, without its last line "ok"; the caller's to
 *          free().  If the emulator refuses, its sentence.  NULL if not wanted.
 * @fmt:    the command
 *
 * Return: 0; -EINVAL if the emulator refuses; or -errno.
 */
int emulator_ask(char **answer, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * emulator_inject() - make SEAMCALLs fail until the end of the case
 * @leaf:   as "MEM.PAGE.AUG", or "any"
 * @status: as "OPERAND_BUSY|SEPT_TREE"
 * @when:   "after=N times=N per-million=N", each as needed; may be empty
 */
int emulator_inject(const char *leaf, const char *status, const char *when);

/**
 * emulator_linger() - let SEAMCALLs take their time until the end of the case
 * @instructions: of the processor that calls, up to a million; 0 for none, as usual
 *
 * With their locks, so that those of several processors find them taken.  Without it each
 * is one instruction, and none ever meets another.
 */
int emulator_linger(unsigned int instructions);

/* Undo all injections and that, drop all locks that were taken. */
int emulator_reset(void);

/**
 * struct emulator_calls - calls of one leaf
 * @nr:       that came to the status asked for
 * @injected: of them by injection
 */
struct emulator_calls {
	__u64 nr, injected;
};

/* Count from here on, all leaves. */
int emulator_count_start(void);

/**
 * emulator_count() - how often, since emulator_count_start()
 * @leaf:   as "MEM.PAGE.AUG"; NULL for any
 * @status: as "OPERAND_BUSY"; NULL for any
 * @calls:  receives it
 */
int emulator_count(const char *leaf, const char *status, struct emulator_calls *calls);

/**
 * emulator_private_gpa() - where a TD has a frame as private memory
 * @pfn: the frame
 * @gpa: receives it
 *
 * What the TDX module knows, whatever KVM believes.
 *
 * Return: 0; -ENOENT if it is no TD's private memory; or -errno.
 */
int emulator_private_gpa(__u64 pfn, __u64 *gpa);

/* NULL, or why nothing can be asked of the sanitizer; not to be freed. */
const char *emulator_sanitizer_why_not(void);

/* How many TDs exist, as the sanitizer knows; 0 if it is off. */
int emulator_tds(unsigned int *nr);

/**
 * emulator_reports() - what the sanitizer found since the last call
 * @visit: called for each; @json is the whole report
 * @ctx:   handed to it
 *
 * Return: how many; or -errno.
 */
int emulator_reports(void (*visit)(void *ctx, const struct finding *f, const char *json),
		     void *ctx);

/* One report, in the words of a finding: the rule is the invariant. */
struct json_t;		/* of jansson */
void emulator_finding(const struct json_t *report, struct finding *f);

#endif
