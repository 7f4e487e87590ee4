// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any two things that user space can do to a TD at the same time end as they would one
 * after the other, in every stage of the TD's life: each with an answer that follows
 * from what the other one takes away, none with a dead VM, a page or a keyid lost, or a
 * line in the kernel log.
 *
 * There is a case for each stage and role, and it races the role with itself and with
 * all that come behind it in lib/td_role.c's table; so each pair is in one case.  What
 * one pair has to do with a bug that happened is in the other td_race files, with more
 * rounds; and so is what needs more than this world has: memory that fails, a process
 * that is killed, several TDs.
 *
 * Claims: C8, R21
 */
#include "emulator.h"
#include "suite.h"
#include "td_race.h"

#define LESS	8	/* rounds of a pair, emulated: one of so many, as there are so many pairs */
#define SECONDS		10	/* of a pair, at most */
#define FEW		100	/* rounds of a pair that takes long */

FIXTURE(td_race) {};

FIXTURE_VARIANT(td_race) {
	enum td_stage stage;
	const struct td_role *role;
	bool apart;
};

/*
 * Pairs that come out wrong on some kernels (configs/errata.json) have a case of their
 * own, or nothing would be seen of what comes behind them: K10.
 */
static bool is_apart(enum td_stage stage, const struct td_role *a, const struct td_role *b)
{
	return stage == TD_BUILT && !strcmp(a->race.name, "finalize") &&
	       !strncmp(b->race.name, "punch", strlen("punch"));
}

static void add_variant(enum td_stage stage, const struct td_role *role, bool apart)
{
	static FIXTURE_VARIANT(td_race) values[TD_NR_STAGES * 64];
	static struct __fixture_variant_metadata variants[TD_NR_STAGES * 64];
	static unsigned int nr;
	char *name;

	if (nr == ARRAY_SIZE(values) ||
	    asprintf(&name, "tdx_%s_%s%s", td_stage_name(stage), role->race.name,
		     apart ? "_apart" : "") < 0)
		abort();
	values[nr] = (FIXTURE_VARIANT(td_race)){ .stage = stage, .role = role, .apart = apart };
	variants[nr] = (struct __fixture_variant_metadata){ .name = name, .data = &values[nr] };
	__register_fixture_variant(&_td_race_fixture_object, &variants[nr++]);
}

/* One for each role in each stage that it makes sense in. */
static void __attribute__((constructor)) make_variants(void)
{
	const struct td_role *role, *other;
	enum td_stage stage;

	for (stage = 0; stage < TD_NR_STAGES; stage++) {
		for (role = td_roles; role->race.name; role++) {
			if (!role->alone[stage])
				continue;
			add_variant(stage, role, false);
			for (other = role; other->race.name; other++)
				if (is_apart(stage, role, other))
					break;
			if (other->race.name)
				add_variant(stage, role, true);
		}
	}
}

static const char *why_not(const struct td_role *role)
{
	return role->why_not ? role->why_not() : NULL;
}

FIXTURE_SETUP(td_race)
{
	REQUIRE(need_join(guest_why_not(GUEST_TDX), race_why_not(), why_not(variant->role),
			  NEED_END));
}

FIXTURE_TEARDOWN(td_race)
{
}

static unsigned int nr_rounds(bool slow)
{
	const unsigned int less = emulator_why_not() ? 1 : LESS, nr = (race_rounds() + less - 1) / less;

	return slow && nr > FEW ? FEW : nr;
}

TEST_F(td_race, ends_as_if_one_had_come_first)
{
	const struct td_role *other;

	for (other = variant->role; other->race.name; other++) {
		if (!td_race_can(variant->stage, variant->role, other) ||
		    is_apart(variant->stage, variant->role, other) != variant->apart)
			continue;
		if (why_not(other)) {
			fprintf(stderr, "# no race with %s: %s\n", other->race.name, why_not(other));
			continue;
		}
		EXPECT_TD_RACE(.stage = variant->stage, .own = { variant->role, other },
			       .rounds = nr_rounds(variant->role->slow || other->slow),
			       .seconds = SECONDS);
		/* What hangs, or is lost, is there when the next ones race. */
		if (supervise_has_failed())
			break;
	}
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 600, .serial = true)
