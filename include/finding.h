/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FINDING_H
#define FINDING_H

#include <stdbool.h>
#include <stdio.h>
#include <linux/types.h>

/**
 * DOC: finding
 *
 * One thing that is not as it must be, in words for people and in JSON for
 * tools.  A check that fails fills one in; suite.h prints it and appends it to
 * findings.jsonl in $SEPT_RESULTS, one line each, so that whatever kills the
 * run later, the finding is kept.  docs/results.md describes the fields.
 */

#define FINDING_PAGES	8	/* pages told one by one; the rest is counted */

/**
 * struct finding_page - one page that violates the invariant
 * @index:     page index in the file
 * @pfn:       its frame, 0 if none
 * @refs:      references seen on its folio, at the last look
 * @want_refs: references that there should be
 * @maps:      user mappings seen
 * @want_maps: user mappings that there should be
 * @flags:     FOLIO_* bits seen
 * @moved:     a count changed while waiting, so somebody is at work on the page
 * @holder:    who may hold the difference, in words
 */
struct finding_page {
	__u64 index, pfn;
	__s64 refs, want_refs, maps, want_maps;
	unsigned int flags;
	bool moved;
	char holder[160];
};

/**
 * struct finding - what violates which invariant, where, by how much
 * @invariant: a word or two: freed, untouched, in place, absent, orphaned, counter,
 *             kmsg, order, outcome, result, free-while-mapped, ...
 * @text:      one sentence, without a full stop
 * @first:     the range that was checked
 * @nr:        its length; 0 if the finding is not about pages
 * @nr_bad:    pages in it that violate the invariant
 * @pages:     the first FINDING_PAGES of them
 * @waited_ms: how long transient references were waited for
 */
struct finding {
	char invariant[24];
	char text[480];
	__u64 first, nr, nr_bad;
	struct finding_page pages[FINDING_PAGES];
	unsigned int waited_ms;
};

/**
 * finding_set() - start a finding that is about no page
 * @f:         cleared and filled in
 * @invariant: see struct finding
 * @fmt:       the text
 */
void finding_set(struct finding *f, const char *invariant, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * finding_one_line() - make one line of ASCII of it, in place
 * @text: whatever it was made from
 *
 * KTAP and JSON lines hang on it.  Even what was UTF-8 need not be any more: names of
 * tasks are cut off after 15 bytes, and so is what does not fit into a buffer.
 */
void finding_one_line(char *text);

/**
 * finding_print() - tell it, as KTAP diagnostic lines
 * @f:  the finding
 * @to: stream; every line starts with "# "
 */
void finding_print(const struct finding *f, FILE *to);

/**
 * finding_record() - append it to $SEPT_RESULTS/findings.jsonl
 * @f:    the finding
 * @where: "file.c:line" of the check
 *
 * Does nothing without $SEPT_RESULTS.
 *
 * Return: 0, or -errno if it could not be written whole.
 */
int finding_record(const struct finding *f, const char *where);

/**
 * finding_context() - say what goes with all findings from here on
 * @name: the case's address
 * @seed: replays it
 * @step: how far it had come; 0 if it has no steps
 *
 * @name is borrowed for as long as findings are made.
 */
void finding_context(const char *name, __u64 seed, __u64 step);

#endif
