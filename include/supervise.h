/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SUPERVISE_H
#define SUPERVISE_H

#include <stdbool.h>
#include <linux/types.h>

#include "finding.h"

/**
 * DOC: supervise
 *
 * One case, watched from outside: a child runs it, the parent limits its time,
 * reads the kernel log since its start, ends what it left running, and comes to
 * the one verdict.  So a case that crashes, hangs or is killed still ends in a
 * verdict with evidence.
 *
 * The supervisor knows nothing of the harness; suite.h connects the two.
 */

enum verdict {
	VERDICT_PASS,
	VERDICT_FAIL,
	VERDICT_SKIP,
	VERDICT_ERROR,		/* the infrastructure failed: neither passed nor failed */
	VERDICT_KNOWN,		/* the runner's: failed, as the errata table says it would */
};

/* "PASS", "FAIL", "SKIP", "ERROR", "KNOWN". */
const char *verdict_name(enum verdict v);

/**
 * struct supervised - what became of a case
 * @verdict:   the verdict
 * @reason:    why, in a sentence; empty for PASS
 * @ms:        how long it ran
 * @settle_ms: the longest wait for transient references that ended well
 * @checks:    how many checks it made
 */
struct supervised {
	enum verdict verdict;
	char reason[1024];
	unsigned int ms, settle_ms, checks;
};

/* What the case itself came to, told by the child through its exit status. */
enum {
	SUPERVISE_PASS = 0,
	SUPERVISE_FAIL = 1,
	SUPERVISE_SKIP = 4,
};

/**
 * supervise() - run a case and come to a verdict
 * @name:    its address, file.variant.case
 * @seconds: time limit; $SEPT_TIMEOUT overrides
 * @body:    runs in a child, in a process group of its own; returns SUPERVISE_*
 * @arg:     handed to @body
 * @out:     receives the verdict
 *
 * Verdicts, the first that applies:
 *   over time, or ended by a signal              FAIL
 *   a check failed (even if it then skipped)     FAIL
 *   the emulator's sanitizer reports something   FAIL
 *   kernel log lines that kmsg_judge() names     FAIL
 *   a check could not look                       ERROR
 *   not all of the kernel log could be read      ERROR
 *   ended with another status                    FAIL
 *   skipped, with a reason                       SKIP
 *   skipped, without one                         ERROR
 *   no check was made                            ERROR
 * Evidence goes to stderr as KTAP diagnostics, and findings to $SEPT_RESULTS.
 * The verdict itself goes as one JSON line to descriptor $SEPT_VERDICT_FD, if set.
 */
void supervise(const char *name, unsigned int seconds,
	       int (*body)(void *arg), void *arg, struct supervised *out);

/* The verdict SKIP for a case that is not run at all. */
void supervise_skip_all(const char *name, const char *reason, struct supervised *out);

/* For the case, in any of its processes. */

/* Count a check; every EXPECT and ASSERT of suite.h does. */
void supervise_checked(void);

/**
 * supervise_failed() - a check found something
 * @f:     the finding; NULL if all has been said already
 * @where: "file.c:line"
 */
void supervise_failed(const struct finding *f, const char *where);

/* A check could not look: the case cannot be better than ERROR. */
void supervise_broken(const char *where, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Whether a check has failed in this case so far. */
bool supervise_has_failed(void);

/**
 * supervise_expect_kmsg() - the case provokes a kernel log line
 * @what: what kmsg_judge() calls it
 *
 * Such lines do not fail the case any more, but their absence does.  A case may
 * tell of several kinds.
 */
void supervise_expect_kmsg(const char *what);

/* As supervise_expect_kmsg(), of lines that may be absent. */
void supervise_allow_kmsg(const char *what);

/* Why the case skips itself. */
void supervise_skip(const char *reason);

/**
 * supervise_seed() - the seed of this run
 *
 * From $SEPT_SEED, or drawn once and then the same in all processes of the case.
 */
__u64 supervise_seed(void);

/**
 * supervise_rounds() - how often to do what the case repeats
 * @own: what it does unless told otherwise: what fits into a run of all cases
 *
 * Return: $SEPT_ROUNDS, which a suite sets (configs/suites); or @own.
 */
unsigned int supervise_rounds(unsigned int own);

/**
 * supervise_seconds() - how long to go on with what the case repeats
 * @own: for how long unless the case has more time than its file says
 *
 * Return: @own, times as much as $SEPT_TIMEOUT is above the case's own limit.
 */
unsigned int supervise_seconds(unsigned int own);

#endif
