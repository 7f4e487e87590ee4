/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PINNED_H
#define PINNED_H

#include "guest.h"

/**
 * DOC: pinned
 *
 * Does this kernel hold a reference to each page that the S-EPT maps?  Linux 6.16 to
 * 6.18 did, later ones must not, and which of them is at hand is found by a look at
 * a control page, not by the version.
 *
 * SEPT_EXPECT_PIN=0 or 1 says what a kernel must do, whatever it does; the runner
 * sets it (--expect-pin), after one look for all cases.
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
 * Return: 0; or -errno, -EPROTO if the counts are none that either kernel makes.
 */
int pinned_look(struct pinned_control *out, char *why, size_t why_len);

/**
 * pinned_refs() - references that a page of a TD must have for being mapped
 *
 * What a check adds to its "extra": 0 or 1.  If it is to be found out and cannot, the
 * case is an ERROR.  Once found, it is not looked for again in this process.
 */
unsigned int pinned_refs(void);

/* The same for a guest of any type: of the others KVM never holds a page. */
unsigned int pinned_extra(const struct guest *g);

#endif
