/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PINNED_H
#define PINNED_H

#include "folio.h"

/**
 * DOC: pinned
 *
 * Does this kernel hold a reference to each page that the S-EPT maps?  Linux 6.16 to
 * 6.18 did, later ones must not, and which of them is at hand is found by a look at
 * a control page, not by the version.
 *
 * SEPT_EXPECT_PIN=0 or 1 says what a kernel must do, whatever it does; the runner
 * sets it (--expect-pin), after one look for all cases.
 *
 * Where such a reference is expected, the census takes it off the count of each page
 * that the S-EPT maps, and of no other (pinned_discount()); which pages these are is
 * asked of KVM's own page tables (sept.h).  So all checks are as exact as elsewhere,
 * and tests need not know.
 */

/**
 * struct pinned_control - what the look has seen
 * @mapped:   references of a page of a TD that the S-EPT maps
 * @unmapped: of one beside it that it does not
 */
struct pinned_control {
	unsigned int mapped, unmapped;
};

/**
 * pinned_look() - look at a control page, in a TD made for that, in a child
 * @out:     receives what was seen
 * @why:     receives a sentence on error
 * @why_len: its size
 *
 * Return: 0; or -errno, -EPROTO if the counts are none that either kernel makes,
 * -ETIMEDOUT if the child did not end within 30 s.
 */
int pinned_look(struct pinned_control *out, char *why, size_t why_len);

/**
 * pinned_expected() - references that a page of a TD must have for being mapped
 *
 * Return: 0, also where there can be no TD, or 1; or -errno if it is to be found out
 * and cannot.  Once found, it is not looked for again in this process.
 */
int pinned_expected(void);

/**
 * pinned_discount() - take what the S-EPT must hold off what was counted
 * @fd:   a file, of which @recs were read just now
 * @recs: of its pages
 * @nr:   how many
 *
 * Return: 0 or -errno.
 */
int pinned_discount(int fd, struct folio_record *recs, __u64 nr);

#endif
