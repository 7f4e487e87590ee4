// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whoever races with whom, a TDX module that is busy in between is nothing but a delay.
 *
 * In an emulator that finishes one SEAMCALL before it starts the next, no lock of the
 * module is ever held by somebody else.  So here calls that may fail are made to, again
 * and again; and a lock is held as the zero-step mitigation holds it, in a thread of
 * its own.
 *
 * arch/x86/kvm/vmx/tdx.c tdx_handle_ept_violation(), tdx_operand_busy().
 *
 * Mutants: aug_busy_fatal, add_busy_given_up.
 *
 * Claims: B19
 */
#include <stdio.h>
#include <stdlib.h>

#include "emulator.h"
#include "gmem.h"
#include "suite.h"
#include "td_race.h"

#define HOLDS	20	/* of the lock in a round */

FIXTURE(td_race_busy) {};
FIXTURE_VARIANT(td_race_busy) {};
FIXTURE_VARIANT_ADD(td_race_busy, tdx) {};

FIXTURE_SETUP(td_race_busy)
{
	static const char *const leaves[] = {
		"MEM.PAGE.AUG", "MEM.PAGE.ADD", "MEM.SEPT.ADD", "VP.ENTER",
	};
	unsigned int i;

	REQUIRE(need_join(guest_why_not(GUEST_TDX), race_why_not(), NEED_END));
	ASSERT_OK(emulator_count_start());
	for (i = 0; i < ARRAY_SIZE(leaves); i++)
		ASSERT_OK(emulator_inject(leaves[i], "OPERAND_BUSY|SEPT_TREE", "per-million=250000"));
}

FIXTURE_TEARDOWN(td_race_busy)
{
}

/* It was busy. */
static __u64 nr_busy(const char *leaf)
{
	struct emulator_calls calls;

	return emulator_count(leaf, "OPERAND_BUSY", &calls) ? 0 : calls.nr;
}

/* Some threads, and a module that is busy with @leaf. */
#define RACE(name, leaf, stage_, outcomes, ...)						\
TEST_F(td_race_busy, name)								\
{											\
	EXPECT_TD_RACE(.stage = stage_, .roles = { __VA_ARGS__ }, .allowed = outcomes);	\
	EXPECT_LT(0, nr_busy(leaf));							\
}

RACE(is_no_matter_while_two_vcpus_fault, "MEM.PAGE.AUG", TD_RUNNING, "0 0", "touch", "accept")
RACE(is_no_matter_while_pages_are_prefaulted, "MEM.PAGE.AUG", TD_RUNNING, "0 0", "touch",
     "prefault")
RACE(is_no_matter_while_pages_are_punched, "MEM.PAGE.AUG", TD_RUNNING, "0 0 0", "touch", "accept",
     "punch")
RACE(is_no_matter_while_a_slot_goes, "MEM.PAGE.AUG", TD_RUNNING, "0 0, EFAULT 0", "touch",
     "slot_delete")
RACE(is_no_matter_while_a_vcpu_is_plugged_in, "MEM.PAGE.ADD", TD_BUILT, "0 0", "measure_memory",
     "add_vcpu")

/* Which TD a page is of. */
static int find_tdr(struct td_world *w)
{
	unsigned long long *tdr = w->own;
	struct census *c;
	char *answer, *at;
	int rc;

	rc = td_pages(w->td, 0, TD_OP_WRITE, TD_WORLD_GPA, 1, 1, 0) ?:
	     census_take(&c, w->gmem[0], 0, 1);
	if (rc)
		return rc;
	rc = emulator_ask(&answer, "owner 0x%llx", folio_pfn(census_page(c, 0)) << 12);
	census_free(c);
	if (rc)
		return rc;
	at = strstr(answer, "tdr=");
	rc = at && sscanf(at, "tdr=%lli", (long long *)tdr) == 1 ? 0 : -EPROTO;
	free(answer);
	return rc ?: gmem_punch(w->gmem[0], 0, 1);
}

static int hold_lock(void *world, unsigned int me __maybe_unused)
{
	struct td_world *w = world;
	unsigned long long tdr = *(unsigned long long *)w->own;
	unsigned int i;
	int rc = 0;

	for (i = 0; i < HOLDS && !rc; i++) {
		rc = emulator_ask(NULL, "lock take sept-tree 0x%llx", tdr) ?:
		     emulator_ask(NULL, "lock drop sept-tree 0x%llx", tdr);
		/* A SEAMCALL has it just then. */
		if (rc == -EINVAL)
			rc = 0;
	}
	return rc;
}

TEST_F(td_race_busy, is_no_matter_where_the_tree_is_locked)
{
	static const struct td_role holder = {
		.race = { .name = "hold_lock", .act = hold_lock },
		.alone = { [TD_RUNNING] = "0" },
	};
	unsigned long long tdr;

	ASSERT_OK(emulator_ask(NULL, "inject clear"));
	EXPECT_TD_RACE(.stage = TD_RUNNING, .roles = { "touch", "prefault" }, .own = { [2] = &holder },
		       .allowed = "0 0 0", .world = &tdr, .before = find_tdr);
	EXPECT_LT(0, nr_busy("MEM.PAGE.AUG") + nr_busy("MEM.SEPT.ADD") + nr_busy("VP.ENTER"));
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_EMULATOR,
      .seconds = 120, .serial = true)
