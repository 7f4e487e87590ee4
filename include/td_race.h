/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TD_RACE_H
#define TD_RACE_H

#include <stdbool.h>
#include <stddef.h>

#include "finding.h"
#include "td_role.h"

/**
 * DOC: td_race
 *
 * Roles (td_role.h) that race for a TD.
 *
 * After each round the TD must be alive, and of two roles that take the same thing one
 * must have got it.  Every few rounds all pages that its S-EPT maps must be in a file
 * (audit.h), and all that its guest_memfds had before the round, or after it, must be
 * free once what is left of them is punched; in the end those that a last TD has, once
 * it is gone.  Then the keyids must be back, and memory, but for less than a page per
 * round.
 *
 * In the emulated machine SEAMCALLs take some time meanwhile, so that they meet there, too
 * (emulator_linger()).
 */
#define TD_RACE_ROLES	4			/* in one race, at most */

/**
 * struct td_race - a race of some roles
 * @stage:   where the TD's life stands
 * @roles:   names; the unused last ones are NULL
 * @own:     in their places, the test's own roles
 * @allowed: as in struct race_plan; NULL for what follows from the roles
 * @no_ve:   a TD with TD_ATTR_SEPT_VE_DISABLE
 * @may_die: EIO is one of the outcomes, and then the VM is dead
 * @world:   of @before and @after, as td_world.own
 * @before:  called before each round, when the world is made; may be NULL
 * @after:   called after each round, knowing the outcomes; may be NULL.  Returns 0,
 *           or -errno with a sentence in @why
 * @rounds, @seconds: as in struct race_plan
 */
struct td_race {
	enum td_stage stage;
	const char *roles[TD_RACE_ROLES];
	const struct td_role *own[TD_RACE_ROLES];
	const char *allowed;
	bool no_ve, may_die;
	void *world;
	int (*before)(struct td_world *w);
	int (*after)(struct td_world *w, const int *outcome, char *why, size_t len);
	unsigned int rounds, seconds;
};

/**
 * td_race() - have it
 *
 * Return: 0; 1 with the finding in *f; or -errno if it could not be held, with the
 * reason in *f.
 */
int td_race(const struct td_race *race, struct finding *f);

/* EXPECT_...() of suite.h for that: EXPECT_TD_RACE(.stage = ..., .roles = ...). */
#define EXPECT_TD_RACE(...) do {						\
	const struct td_race __race = { __VA_ARGS__ };			\
									\
	__SUITE_CHECK("race", td_race(&__race, &__f), 0);		\
} while (0)

#endif
