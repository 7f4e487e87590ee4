/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TDX_CONTROL_H
#define TDX_CONTROL_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * DOC: tdx_control
 *
 * Those who look on at the TDX module, and what can be asked of the emulator while
 * it runs: sanitizer, trace, counts, injection, locks, owners of pages.  It reaches
 * the machine through ../bochs/monitor.h only.  There is one, as there is one
 * machine.
 *
 * Commands are lines of text.  The answer to each is any number of lines and then
 * "ok" or "error: SENTENCE".  Numbers are decimal, or hexadecimal with 0x.
 *
 * inject LEAF STATUS [after=N] [times=N] [per-million=N]
 *	Let calls of LEAF (as MEM.PAGE.AUG, or any) fail with STATUS (as
 *	OPERAND_BUSY, OPERAND_BUSY|SEPT_TREE, or a number) instead of doing
 *	anything: not the next N, then N times or for ever, then of a million N,
 *	drawn from the machine's seed.  Injections add up; the first that hits wins.
 * inject clear
 *	No more of that.
 * lock take NAME [PA [GPA]] [shared]
 * lock drop NAME [PA [GPA]] [shared]
 *	Hold a lock of the module, so that calls that need it are BUSY: sys, kot,
 *	ket; wbcache PACKAGE; tdmr PA; page PA; op-state, sept-tree or td-epoch of
 *	the TD whose TDR is at PA; sept-entry of that TD at GPA, with the level
 *	in bits 2:0.
 * lock clear
 *	Drop all that were taken.
 * linger N
 *	Let each SEAMCALL take N instructions of its processor, 0 for none, and have
 *	its locks for that long, so that those of others come to find them taken.
 * reset
 *	inject clear, lock clear and linger 0.
 * sanitizer off|warn|fatal
 *	What to do about violations: nothing; report; report and end the emulator.
 * sanitizer report
 *	A line of JSON for each new report.
 * sanitizer tds
 *	How many TDs there are.
 * sanitizer idle
 *	No TD should exist now: report those that do.  Answers how many.
 * sanitizer status
 *	The mode, and how many reports there were.
 * stats
 *	"LEAF STATUS COUNT INJECTED" for each pair that was seen since the first
 *	"stats": how often, and how often by injection.  VP.ENTER that entered is
 *	ENTERED.
 * stats reset
 *	Start from zero.
 * owner PA
 *	"type=T tdr=TDR keyid=N gpa=GPA level=N": who owns a page.
 * trace on|off
 *	Go on or stop to write the trace, if the option gave it a file.
 * trace mark TEXT
 *	Put a line of text into it.
 */

/* The emulator ends with this status if the sanitizer is fatal. */
#define TDX_EXIT_SANITIZER	8

/**
 * tdx_control_option() - take an option of the bochsrc's line "tdx:"
 * @key:     sanitizer=off|warn|fatal, vmlinux=FILE (names for reports), trace=FILE
 * @value:   its value
 * @running: the machine runs already; vmlinux cannot be changed then
 *
 * Return: NULL; "" if there is no such option; else what is wrong.
 */
const char *tdx_control_option(const char *key, const char *value, bool running);

/**
 * tdx_control_command() - execute a line
 *
 * Return: the answer, with a newline at its end, to be freed; NULL without memory.
 */
char *tdx_control_command(const char *line);

/* Write what is buffered: the emulator is about to end or to fork. */
void tdx_control_flush(void);

/* This is the copy, after a fork: what the original writes is not its business. */
void tdx_control_forked(void);

/* Forget everything, as before the first option. */
void tdx_control_reset(void);

#ifdef __cplusplus
}
#endif
#endif
