/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TD_ROLE_H
#define TD_ROLE_H

#include <stdbool.h>

#include "race.h"
#include "td_world.h"

/**
 * DOC: td_role
 *
 * Roles for race.h that act on one TD.
 *
 * A role says what it gives when nobody disturbs it, in each stage of a TD's life in
 * which it makes sense; which things it takes away from others; and what it gives
 * when a thing that it needs is missing.  So the outcomes that are right follow from
 * what roles say of themselves: those of the undisturbed role, and those without what
 * the others take.
 */

/**
 * struct td_role - a role that acts on a TD
 * @race:    name and functions, whose world is a struct td_world
 * @alone:   outcomes, by stage; NULL where it makes no sense
 * @without: outcomes more, if a thing is missing
 * @met:     outcomes more, if the TDX module is at work for another one: what KVM hands to
 *           user space, to try again; may be NULL
 * @takes:   bits of things that it takes away
 * @once:    what it takes is there once: another one that is to take it, too, is refused
 * @lacks:   bits of things that must be missing for it to make sense: the world
 *           starts without them, and others see them come
 * @payload: needs the payload in place, before KVM_TDX_FINALIZE_VM
 * @runs:    lets its vCPU run in the TD
 * @absent:  needs pages of its own that are not there yet
 * @spends:  leaves a TD that is of no use for another round
 * @slow:    takes a thousand times as long as others
 * @why_not: why it cannot be played here, in one sentence, or NULL; may itself be NULL
 */
struct td_role {
	struct race_role race;
	const char *alone[TD_NR_STAGES];
	const char *without[TD_NR_THINGS];
	const char *met;
	unsigned int takes, lacks;
	bool once, payload, runs, absent, spends, slow;
	const char *(*why_not)(void);
};

/* All of them, up to one without a name. */
extern const struct td_role td_roles[];

/* By its name, or NULL. */
const struct td_role *td_role(const char *name);

/**
 * td_race_can() - whether two roles can race in a stage
 *
 * Not if one makes no sense there, or if what one needs the other needs missing.
 */
bool td_race_can(enum td_stage stage, const struct td_role *a, const struct td_role *b);

#endif
