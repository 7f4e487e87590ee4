// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whatever happens to the memory of a running TD at the same time, vCPUs make
 * progress, the host gets its answers, and the TD lives.
 *
 * What takes pages from a TD cannot fail: KVM tries each SEAMCALL again after it has
 * put all vCPUs out of the TD, once, and takes a second failure for the end of the VM.
 * What gives it pages may fail as often as it likes, and is to be tried again.  And
 * nobody may wait, in a loop or for a lock, for somebody who waits for him.
 *
 * A vCPU that finds nothing leaves with KVM_EXIT_MEMORY_FAULT, told as EFAULT here, and
 * goes on as soon as user space has mended that.
 *
 * Mutants: stale_fault, prefault_loops, fault_loops, zap_skipped.
 */
#include "gmem.h"
#include "suite.h"
#include "td_race.h"

#define HALF		(TD_WORLD_PAGES / 2)
#define PAGE_BYTES	4096ull
#define FRONT		TD_WORLD_GPA
#define BACK		(TD_WORLD_GPA + HALF * PAGE_BYTES)

FIXTURE(td_race_memory) {};
FIXTURE_VARIANT(td_race_memory) {};
FIXTURE_VARIANT_ADD(td_race_memory, tdx) {};

FIXTURE_SETUP(td_race_memory)
{
	REQUIRE(need_join(guest_why_not(GUEST_TDX), race_why_not(), NEED_END));
}

FIXTURE_TEARDOWN(td_race_memory)
{
}

/* Some threads, one running TD. */
#define RACE(name, outcomes, ...)						\
TEST_F(td_race_memory, name)							\
{										\
	EXPECT_TD_RACE(.stage = TD_RUNNING, .roles = { __VA_ARGS__ }, .allowed = outcomes); \
}

/*
 * vCPUs among themselves
 */

/* Claims: B40 */
RACE(is_touched_by_two_vcpus, "0 0", "touch", "touch")
/* Claims: B19, R10 */
RACE(is_touched_while_it_is_accepted, "0 0", "touch", "accept")
/* Claims: B19, R10 */
RACE(is_accepted_by_two_vcpus, "0 0", "accept", "accept")
/* Claims: B19, B40 */
RACE(is_touched_while_it_is_prefaulted, "0 0", "touch", "prefault")
/* Claims: B40 */
RACE(is_prefaulted_by_two, "0 0", "prefault", "prefault")
RACE(is_touched_while_it_is_allocated, "0 0", "touch", "allocate")
RACE(is_accepted_while_it_is_prefaulted, "0 0", "accept", "prefault")

/*
 * Punches
 */

/* Claims: B20, C8, R09 */
RACE(is_touched_while_it_is_punched, "0 0", "touch", "punch")
/* Claims: B20, C8, R09 */
RACE(is_accepted_while_it_is_punched, "0 0", "accept", "punch")
/* Claims: B20 */
RACE(is_prefaulted_while_it_is_punched, "0 0", "prefault", "punch")
/* Claims: B20 */
RACE(is_punched_below_two_vcpus, "0 0 0", "touch", "accept", "punch")
/* Claims: R11 */
RACE(is_punched_by_two, "0 0", "punch", "punch")
RACE(is_punched_while_it_is_allocated, "0 0", "punch", "allocate")
/* Claims: B22, R11 */
RACE(is_punched_while_other_memory_is, "0 0", "punch", "punch_other")
/* Claims: B22, R11 */
RACE(is_punched_while_other_memory_is_below_vcpus, "0 0 0 0", "touch", "touch_other", "punch",
     "punch_other")

/*
 * Slots
 */

/* Claims: B07, R07 */
RACE(is_prefaulted_while_its_slot_goes, "0 0, EAGAIN 0, EFAULT 0", "prefault", "slot_delete")
/* Claims: B07, R07 */
RACE(is_prefaulted_while_its_slot_moves, "0 0, EAGAIN 0, EFAULT 0", "prefault", "slot_move")
RACE(is_prefaulted_while_its_slot_comes, "0 0, EFAULT 0", "prefault", "slot_add")
/* Claims: B23, R08 */
RACE(is_touched_while_its_slot_goes, "0 0, EFAULT 0", "touch", "slot_delete")
/* Claims: B23, R08 */
RACE(is_touched_while_its_slot_moves, "0 0, EFAULT 0", "touch", "slot_move")
/* Claims: B23, R08 */
RACE(is_accepted_while_its_slot_goes, "0 0, EFAULT 0", "accept", "slot_delete")
/* Claims: B30 */
RACE(is_touched_while_its_slot_comes, "0 0, EFAULT 0", "touch", "slot_add")
/* Claims: B29 */
RACE(is_touched_while_its_slot_does_not_change, "0 EINVAL", "touch", "slot_flags")
RACE(is_punched_while_its_slot_goes, "0 0", "punch", "slot_delete")
RACE(is_punched_while_its_slot_moves, "0 0", "punch", "slot_move")
RACE(has_one_slot_that_goes, "0 EINVAL, EINVAL 0", "slot_delete", "slot_delete")
RACE(has_one_slot_that_comes, "0 EINVAL, EINVAL 0", "slot_add", "slot_add")

/*
 * Conversions
 */

RACE(is_touched_while_it_becomes_shared, "0 0, EFAULT 0", "touch", "to_shared")
RACE(is_touched_while_it_becomes_private, "0 0, EFAULT 0", "touch", "to_private")
RACE(is_accepted_while_it_becomes_shared, "0 0, EFAULT 0", "accept", "to_shared")
/* What was private when KVM looked is not any more. */
RACE(is_prefaulted_while_it_becomes_shared, "0 0, EFAULT 0", "prefault", "to_shared")
/* Claims: R12 */
RACE(is_punched_while_it_becomes_shared, "0 0", "punch", "to_shared")
/* Claims: R12 */
RACE(is_punched_while_it_is_converted, "0 0", "punch", "convert")
RACE(is_converted_by_two, "0 0", "convert", "convert")
RACE(is_converted_while_its_slot_goes, "0 0", "convert", "slot_delete")

/*
 * Descriptors
 */

/* Claims: B13, R13 */
RACE(is_closed_while_its_slot_goes, "0 0", "close_gmem", "slot_delete")
/* Claims: B13, R13 */
RACE(is_closed_while_its_slot_moves, "0 0, 0 EINVAL", "close_gmem", "slot_move")
/* Claims: B13, B30 */
RACE(is_closed_while_its_slot_comes, "0 0, 0 EINVAL", "close_gmem", "slot_add")
/* Claims: R14 */
RACE(is_closed_while_it_is_touched, "0 0, 0 EFAULT", "close_gmem", "touch")
/* Claims: R14 */
RACE(is_closed_while_it_is_accepted, "0 0, 0 EFAULT", "close_gmem", "accept")
RACE(is_closed_while_it_is_prefaulted, "0 0, 0 EFAULT", "close_gmem", "prefault")
RACE(is_closed_while_it_is_punched, "0 0, 0 ENODEV", "close_gmem", "punch")
RACE(is_closed_while_it_is_converted, "0 0", "close_gmem", "convert")
RACE(is_touched_while_its_vcpu_is_closed, "0 0, ENOTTY 0", "touch", "close_vcpu")
RACE(is_touched_while_its_vm_is_closed, "0 0", "touch", "close_vm")
RACE(is_punched_while_its_vm_is_closed, "0 0", "punch", "close_vm")

/*
 * Neighbours: pages of one table
 */

static int touch_front(void *world, unsigned int me)
{
	struct td_world *w = world;

	return td_pages(w->td, me, TD_OP_WRITE, FRONT, HALF, w->pattern, 0);
}

static int punch_back(void *world, unsigned int me __maybe_unused)
{
	struct td_world *w = world;

	return gmem_punch(w->gmem[0], HALF, HALF);
}

static int accept_back(void *world, unsigned int me)
{
	struct td_world *w = world;

	return td_pages(w->td, me, TD_OP_ACCEPT, BACK, HALF, 0, 0);
}

static int front_holds(struct td_world *w, const int *outcome __maybe_unused, char *why, size_t len)
{
	snprintf(why, len, "what was written to pages beside the hole");
	return td_pages(w->td, 0, TD_OP_VERIFY, FRONT, HALF, w->pattern, 0);
}

static const struct td_role front_toucher = {
	.race = { .name = "touch_front", .act = touch_front },
	.alone = { [TD_RUNNING] = "0" },
	.runs = true,
};

/* Claims: B20, R09 */
TEST_F(td_race_memory, keeps_what_is_written_beside_a_hole)
{
	static const struct td_role punch = {
		.race = { .name = "punch_back", .act = punch_back },
		.alone = { [TD_RUNNING] = "0" },
	};

	EXPECT_TD_RACE(.stage = TD_RUNNING, .own = { &front_toucher, &punch }, .allowed = "0 0",
		       .after = front_holds);
}

/* Claims: B19, R10 */
TEST_F(td_race_memory, keeps_what_is_written_beside_pages_that_are_accepted)
{
	static const struct td_role accept = {
		.race = { .name = "accept_back", .act = accept_back },
		.alone = { [TD_RUNNING] = "0" },
		.runs = true,
	};

	EXPECT_TD_RACE(.stage = TD_RUNNING, .own = { &front_toucher, &accept }, .allowed = "0 0",
		       .after = front_holds);
}

/*
 * A TD that gets no #VE dies of a page that it had accepted and that is not there any
 * more, and says so in the kernel log; of nothing else.
 */

static int fill(struct td_world *w)
{
	return td_pages(w->td, 0, TD_OP_WRITE, TD_WORLD_GPA, TD_WORLD_PAGES, w->pattern, 0);
}

static int touch_accepted(void *world, unsigned int me)
{
	struct td_world *w = world;

	return td_pages(w->td, me, TD_OP_WRITE, TD_WORLD_GPA, TD_WORLD_PAGES, w->pattern,
			TD_UNACCEPTED);
}

/* Claims: B48, R09 */
TEST_F(td_race_memory, is_not_touched_again_without_ve_once_it_is_punched)
{
	static const struct td_role touch = {
		.race = { .name = "touch_accepted", .act = touch_accepted },
		.alone = { [TD_RUNNING] = "0" },
	};

	supervise_expect_kmsg("access before accepting");
	EXPECT_TD_RACE(.stage = TD_RUNNING, .own = { &touch }, .roles = { [1] = "punch" },
		       .allowed = "0 0, EIO 0", .no_ve = true, .may_die = true, .before = fill);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 120, .serial = true)
