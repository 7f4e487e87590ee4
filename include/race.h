/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RACE_H
#define RACE_H

#include <stdbool.h>
#include <linux/types.h>

#include "finding.h"

/**
 * DOC: race
 *
 * Roles that act at the same time, round after round, and the exact set of what
 * may come of it.
 *
 *	const struct race_plan plan = {
 *		.roles = { &punch, &touch }, .nr = 2,
 *		.allowed = "0 0, 0 EFAULT",
 *	};
 *	ASSERT_OK(race_start(&race, &plan));
 *	while (race_next(race)) {
 *		...make the world...
 *		ASSERT_OK(race_go(race, &world));
 *		...look at it...
 *	}
 *	EXPECT_RACE(race);
 *	race_end(race);
 *
 * Each role has a thread, which lives as long as the race.  All meet at a barrier,
 * and from there on each starts at a moment drawn for the round, such that a common
 * instant lies within each of them, anywhere from its start to its end, as far as
 * the rounds before tell how long it takes.  Whether the roles really were at work
 * at the same time is measured: a race in which they never were, or as many of them
 * as there are CPUs, is an error.
 *
 * Outcomes are 0 or -errno, and are told and allowed by name: "0", "EINVAL".
 *
 * SEPT_ROUNDS is the number of rounds; 1000 unless it says otherwise, and 24 in the
 * emulated machine, whose interleavings can be explored by its schedule seed.  All
 * randomness comes from supervise_seed(), the names of the roles and the round.
 *
 * race_end() tells, as a diagnostic line that tools may read, what was seen:
 *
 *	# race: punch x touch: 24 rounds, 23 overlapped, 31 ms; 0 0: 20; 0 EFAULT: 4
 *
 * and, in a line of its own, if its time was over before its rounds were.
 *
 * Threads: a race belongs to one thread, the one that makes the world.
 */
#define RACE_MAX_ROLES	8

/**
 * struct race_role - what one thread does in a round
 * @name:    one word
 * @prepare: called before each round by the thread that owns the race; may be NULL
 * @act:     called in a thread of its own.  Must be callable any number of times
 *           in the same world, by several threads, beside any other role, unless
 *           the plan does not.  @me is the index of the role in the plan
 * @allowed: its outcomes that are right whatever the others do, separated by
 *           blanks; may be NULL if the plan says what is allowed
 */
struct race_role {
	const char *name;
	int (*prepare)(void *world, unsigned int me);
	int (*act)(void *world, unsigned int me);
	const char *allowed;
};

/**
 * struct race_plan - who races, and what may come of it
 * @roles:   borrowed
 * @nr:      how many
 * @allowed: the outcomes of all roles in their order, separated by blanks, and
 *           such tuples by ", "; NULL for any combination of what each role allows
 * @rounds:  0 for race_rounds()
 * @seconds: no new round after that, 0 for 60; more where the case has more time
 *           (supervise_seconds())
 * @hang_ms: a role that takes longer hangs, 0 for 20000
 */
struct race_plan {
	const struct race_role *roles[RACE_MAX_ROLES];
	unsigned int nr;
	const char *allowed;
	unsigned int rounds, seconds, hang_ms;
};

struct race;

/* Why nothing can race here, in one sentence, or NULL: it takes two CPUs. */
const char *race_why_not(void);

/* How many rounds a race has: SEPT_ROUNDS. */
unsigned int race_rounds(void);

/*
 * The same where each round makes a TD of its own; in the emulated machine, where that
 * takes ten times as long as to act, a third of that.
 */
unsigned int race_lives(void);

int race_start(struct race **out, const struct race_plan *plan);	/* 0 or -errno */

/* Whether there is to be another round: none after a wrong outcome or a hang. */
bool race_next(struct race *race);

/**
 * race_go() - a round
 * @world: handed to all roles
 *
 * Return: 0 if all of them have come back, whatever the outcome; -ETIMEDOUT if one
 * has not, and then nothing that it may use can be freed; or what a role's prepare()
 * returned.
 */
int race_go(struct race *race, void *world);

/* Of the last round, or the round to come: from 0. */
unsigned int race_round(const struct race *race);

/* What came of a role in the last round. */
int race_outcome(const struct race *race, unsigned int role);

/* A random number for whatever the world of this round needs, below @limit. */
__u64 race_random(struct race *race, __u64 limit);

/**
 * race_check() - all outcomes were allowed, nothing hung, and it was a race
 *
 * Return: 0; 1 with *f filled in; -ENODATA if the roles were never at work at the
 * same time, with the reason in *f.
 */
int race_check(const struct race *race, struct finding *f);

/* EXPECT_...() of suite.h for that. */
#define EXPECT_RACE(race)	__SUITE_CHECK("outcomes of the race", race_check(race, &__f), 0)

/**
 * race_end() - tell what was seen, end the threads, free
 *
 * NULL is fine.  Return: false if a role hangs; it is left behind, to be ended with
 * the process.
 */
bool race_end(struct race *race);

#endif
