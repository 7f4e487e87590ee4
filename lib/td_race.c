// SPDX-License-Identifier: GPL-2.0-only
/*
 * The world is mended after each round, or made anew where a role leaves a TD that
 * cannot be mended.  Every other round begins with pages that are mapped.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit.h"
#include "census.h"
#include "emulator.h"
#include "gmem.h"
#include "meter.h"
#include "sept.h"
#include "td_race.h"

#define LINGER		300		/* instructions of a SEAMCALL */
#define EVERY		3		/* rounds between two looks at who holds pages */
#define BIT(n)		(1u << (n))

/* What @role may give where others take @taken. */
static void allow(char *buf, size_t len, enum td_stage stage, const struct td_role *role,
		  unsigned int taken)
{
	size_t used = snprintf(buf, len, "%s", role->alone[stage]);
	unsigned int i;

	for (i = 0; i < TD_NR_THINGS && used < len; i++)
		if (taken & BIT(i) && role->without[i])
			used += snprintf(buf + used, len - used, " %s", role->without[i]);
	if (role->met && used < len)
		snprintf(buf + used, len - used, " %s", role->met);
}

struct hold {
	const struct td_race *race;
	const struct td_role *roles[TD_RACE_ROLES];
	unsigned int nr;
	struct race *r;
	bool absent, spends, sees_sept;
	struct td_world world;
	struct census *had[2][2];	/* what the files had, before and after the round; may be NULL */
};

/*
 * EVERY is odd, so it is as often a round that begins with pages as one that begins
 * without; and the first of them is one with pages, as there may be no second.
 */
static bool is_looked_at(const struct hold *h)
{
	return race_round(h->r) % EVERY == EVERY - 1;
}

enum { BEFORE, AFTER };

/* What the files have; a role may have taken the first one away. */
static int take_census(struct hold *h, unsigned int when)
{
	unsigned int i = when == AFTER && h->world.taken & BIT(TD_FILE);
	int rc = 0;

	for (; i < 2 && !rc; i++)
		if (h->world.used[i])
			rc = census_take(&h->had[when][i], h->world.gmem[i], 0, TD_WORLD_PAGES);
	return rc;
}

/* Nobody holds what the files had and have no more. */
static int check_freed(struct hold *h, struct finding *f)
{
	unsigned int i;
	int rc = 0;

	for (i = 0; i < 4; i++) {
		struct census **had = &h->had[i / 2][i % 2];

		if (!rc && *had)
			rc = census_check_freed(*had, 0, TD_WORLD_PAGES, f);
		census_free(*had);
		*had = NULL;
	}
	return rc;
}

/* A finding about this round. */
static int find(const struct hold *h, struct finding *f, const char *what, int rc,
		const char *more)
{
	char text[160] = "";
	size_t used = 0;
	unsigned int i;

	for (i = 0; i < h->nr && used < sizeof(text); i++)
		used += snprintf(text + used, sizeof(text) - used, "%s%s: %s", i ? ", " : "",
				 h->roles[i]->race.name,
				 strerrorname_np(-race_outcome(h->r, i)));
	finding_set(f, what, "after round %u (%s) %s%s%s", race_round(h->r), text, more,
		    rc ? ": " : "", rc ? strerrorname_np(-rc) : "");
	return 1;
}

/* Nothing that has left its file is still mapped. */
static int look_at_sept(const struct hold *h, struct finding *f)
{
	const int fd = h->world.gmem[0];
	struct finding mapped;
	int rc = h->sees_sept && fd >= 0 ? audit_check_mapped(fd, &mapped) : 0;

	if (rc < 0)
		*f = mapped;
	return rc > 0 ? find(h, f, mapped.invariant, 0, mapped.text) : rc;
}

/* Nobody holds the pages that have left their file, nor those that are made to. */
static int look_after(struct hold *h, struct finding *f)
{
	struct td_world *w = &h->world;
	unsigned int i;
	/* First, as a punch takes from the S-EPT what another one has forgotten there. */
	int rc = look_at_sept(h, f);

	for (i = 0; i < 2 && !rc; i++) {
		if (w->gmem[i] < 0)
			continue;
		rc = gmem_punch(w->gmem[i], 0, TD_WORLD_PAGES);
		if (rc)
			rc = find(h, f, "punch", rc, "a punch fails");
	}
	return rc ?: check_freed(h, f);
}

/* Nor what goes with the TD, where a role has not ended that already. */
static int look_at_end(struct hold *h, struct finding *f)
{
	int rc;

	if (!h->world.td)
		return 0;
	rc = h->absent ? 0 : td_world_fill(&h->world, true);
	rc = rc ?: take_census(h, BEFORE);
	if (rc)
		finding_set(f, "world", "cannot tell what the TD has in the end: %s",
			    strerrorname_np(-rc));
	td_world_drop(&h->world);
	return rc ?: check_freed(h, f);
}

/* A vCPU that had to stop goes on where user space has mended what it stopped at. */
static int go_on(struct hold *h)
{
	struct td_mailbox order;
	unsigned int i;
	int rc = 0;

	for (i = 0; i < h->nr && !rc; i++)
		if (race_outcome(h->r, i) == -EFAULT && h->roles[i]->runs)
			rc = td_resume(h->world.td, td_world_vcpu(&h->world, i), &order);
	return rc;
}

static int before_round(struct hold *h, struct finding *f)
{
	struct td_world *w = &h->world;
	int rc = 0;

	if (!w->td)
		rc = td_world_make(w);
	w->pattern = 0xace0000000000000 + ((__u64)race_round(h->r) << 16);
	rc = rc ?: td_world_fill(w, !(race_round(h->r) % 2) && !h->absent);
	if (!rc && h->race->before)
		rc = h->race->before(w);
	if (!rc && is_looked_at(h))
		rc = take_census(h, BEFORE);
	if (rc)
		finding_set(f, "world", "%s x %s: no world for round %u: %s", h->roles[0]->race.name,
			    h->roles[1]->race.name, race_round(h->r), strerrorname_np(-rc));
	return rc;
}

/* Whether it died of what the race allows. */
static bool has_died(const struct hold *h)
{
	unsigned int i;

	for (i = 0; i < h->nr; i++)
		if (h->race->may_die && race_outcome(h->r, i) == -EIO)
			return true;
	return false;
}

/* Of two that take the same thing one gets it, and both only if it can be had twice. */
static int check_taken(const struct hold *h, struct finding *f)
{
	const struct td_role *a = h->roles[0], *b = h->roles[1];
	const enum td_stage stage = h->race->stage;
	unsigned int nr;

	if (h->nr != 2 || !(a->takes & b->takes) || strcmp(a->alone[stage], "0") ||
	    strcmp(b->alone[stage], "0"))
		return 0;
	nr = !race_outcome(h->r, 0) + !race_outcome(h->r, 1);
	if (!nr)
		return find(h, f, "outcome", 0, "neither got what both were to take");
	return nr == 2 && a->once && b->once ?
	       find(h, f, "outcome", 0, "both got what is there once") : 0;
}

static int after_round(struct hold *h, struct finding *f)
{
	const bool died = has_died(h);
	struct td_world *w = &h->world;
	int outcome[TD_RACE_ROLES];
	char why[160] = "";
	unsigned int i;
	int rc;

	for (i = 0; i < h->nr; i++)
		outcome[i] = race_outcome(h->r, i);
	if (td_world_is_dead(w) != died)
		return find(h, f, "alive", 0, died ? "the VM lives" : "the VM is dead");
	rc = check_taken(h, f);
	if (rc)
		return rc;
	rc = h->race->after ? h->race->after(w, outcome, why, sizeof(why)) : 0;
	if (rc)
		return find(h, f, "after", rc, why);
	rc = is_looked_at(h) ? take_census(h, AFTER) : 0;
	if (rc) {
		finding_set(f, "world", "cannot tell what is there after round %u: %s",
			    race_round(h->r), strerrorname_np(-rc));
		return rc;
	}
	if (h->spends || died) {
		td_world_drop(w);
	} else {
		rc = td_world_mend(w);
		if (!rc && !w->lacks)
			rc = go_on(h);
		if (rc)
			return find(h, f, "mend", rc, "the TD cannot go on");
	}
	return is_looked_at(h) ? look_after(h, f) : 0;
}

static int hold(struct hold *h, struct finding *f)
{
	int rc = 0;

	while (!rc && race_next(h->r)) {
		rc = before_round(h, f);
		if (rc)
			break;
		rc = race_go(h->r, &h->world);
		if (rc == -ETIMEDOUT)
			return race_check(h->r, f);
		if (rc)
			finding_set(f, "world", "a role cannot prepare for round %u: %s",
				    race_round(h->r), strerrorname_np(-rc));
		/* A wrong outcome explains whatever is wrong behind it. */
		if (!rc && race_check(h->r, f) <= 0)
			rc = after_round(h, f);
	}
	return rc ?: race_check(h->r, f) ?: look_at_end(h, f);
}

static int find_roles(struct hold *h, struct finding *f)
{
	const struct td_race *race = h->race;
	unsigned int i, j;

	for (i = 0; i < TD_RACE_ROLES && (race->roles[i] || race->own[i]); i++) {
		h->roles[i] = race->own[i] ?: td_role(race->roles[i]);
		if (!h->roles[i]) {
			finding_set(f, "role", "there is no role %s", race->roles[i]);
			return -EINVAL;
		}
		for (j = 0; j < i; j++) {
			if (td_race_can(race->stage, h->roles[i], h->roles[j]))
				continue;
			finding_set(f, "role", "%s and %s cannot race while a TD is %s",
				    h->roles[j]->race.name, h->roles[i]->race.name,
				    td_stage_name(race->stage));
			return -EINVAL;
		}
	}
	h->nr = i;
	return 0;
}

/* Which world they need, and what may come of them. */
static void prepare(struct hold *h, struct race_role *roles, char (*allowed)[80])
{
	struct td_world *w = &h->world;
	unsigned int i, j, others;

	w->stage = h->race->stage;
	w->own = h->race->world;
	w->used[0] = true;
	w->payload = w->stage == TD_RUNNING;
	for (i = 0; i < h->nr; i++) {
		const struct td_role *role = h->roles[i];

		w->lacks |= role->lacks & role->takes;
		w->taken |= role->takes;
		w->raw |= !!(role->lacks & BIT(TD_NO_VCPU));
		w->used[1] |= strstr(role->race.name, "_other") != NULL;
		w->payload |= role->payload;
		h->absent |= role->absent;
		/* Refused, it leaves the TD as it was. */
		h->spends |= role->spends && !strcmp(role->alone[w->stage], "0");

		for (j = 0, others = 0; j < h->nr; j++)
			others |= j == i ? 0 : h->roles[j]->takes;
		allow(allowed[i], sizeof(*allowed), w->stage, role, others);
		roles[i] = role->race;
		roles[i].allowed = allowed[i];
	}
}

/* Else no two SEAMCALLs ever met, in the emulated machine. */
static int linger(void)
{
	return emulator_why_not() ? 0 : emulator_linger(LINGER);
}

int td_race(const struct td_race *race, struct finding *f)
{
	struct hold h = { .race = race };
	char allowed[TD_RACE_ROLES][80];
	struct race_role roles[TD_RACE_ROLES];
	struct race_plan plan = {
		.allowed = race->allowed,
		.rounds = race->rounds,
		.seconds = race->seconds,
	};
	struct meter meter;
	unsigned int rounds, i;
	int rc;

	rc = find_roles(&h, f);
	if (rc)
		return rc;
	prepare(&h, roles, allowed);
	h.sees_sept = !sept_why_not();
	if (!h.sees_sept)
		fprintf(stderr, "# not looked at what the S-EPT maps: %s\n", sept_why_not());
	plan.nr = h.nr;
	if (!plan.rounds && h.spends)
		plan.rounds = race_lives();
	for (i = 0; i < h.nr; i++)
		plan.roles[i] = &roles[i];
	rc = meter_read(&meter) ?: linger() ?: td_world_begin(&h.world, race->no_ve) ?:
	     race_start(&h.r, &plan);
	if (rc) {
		finding_set(f, "world", "%s x %s cannot start: %s", roles[0].name, roles[1].name,
			    strerrorname_np(-rc));
		return rc;
	}
	rc = hold(&h, f);
	rounds = race_round(h.r);
	if (!race_end(h.r))
		return rc;
	td_world_end(&h.world);
	return rc ?: meter_check_back(&meter, METER_HKIDS, 0, f) ?:
	       meter_check_back(&meter, METER_LOST, 64 + rounds / 2, f);
}
