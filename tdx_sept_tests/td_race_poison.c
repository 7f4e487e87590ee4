// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page that goes bad while a TD maps it, or while it is taken from the TD, ends as if
 * one had come after the other: the TD has lost it, whoever touches it is told, and its
 * frame is held by nobody but who keeps it from being used again.
 *
 * virt/kvm/guest_memfd.c kvm_gmem_error_folio(), __kvm_gmem_get_pfn();
 * mm/memory-failure.c memory_failure().
 *
 * Claims: R20
 *
 * Mutants: poison_handed_out, poison_not_zapped, poison_ref_leaked.
 */
#include "census.h"
#include "emulator.h"
#include "gmem.h"
#include "poison.h"
#include "suite.h"
#include "td_race.h"

#define BAD	3ull		/* the page of the first guest_memfd that goes bad */

FIXTURE(td_race_poison) {};
FIXTURE_VARIANT(td_race_poison) {};
FIXTURE_VARIANT_ADD(td_race_poison, tdx) {};

FIXTURE_SETUP(td_race_poison)
{
	REQUIRE(need_join(guest_why_not(GUEST_TDX), race_why_not(), poison_why_not(), NEED_END));
}

FIXTURE_TEARDOWN(td_race_poison)
{
}

/**
 * struct bad - the page of this round
 * @before: it and no other
 * @pfn:    its frame
 * @stays:  it is in the file after the race
 */
struct bad {
	struct census *before;
	__u64 pfn;
	bool stays;
};

/* In every other round it is mapped already (td_race.h), in the others only there. */
static int choose(struct td_world *w)
{
	struct bad *bad = w->own;
	int rc = gmem_allocate(w->gmem[0], BAD, 1) ?: census_take(&bad->before, w->gmem[0], BAD, 1);

	if (!rc)
		bad->pfn = folio_pfn(census_page(bad->before, BAD));
	return rc;
}

static int poison(void *world, unsigned int me __maybe_unused)
{
	struct bad *bad = ((struct td_world *)world)->own;

	return poison_inject(bad->pfn);
}

/* EBUSY is what B45 has for an error that was dealt with. */
static const struct td_role poisoner = {
	.race = { .name = "poison", .act = poison },
	.alone = { [TD_RUNNING] = "0 EBUSY" },
};

/* What a vCPU hears of it; 0 if that is right. */
static int hear(struct td_world *w)
{
	int rc = td_pages(w->td, 0, TD_OP_WRITE, TD_WORLD_GPA, TD_WORLD_PAGES, w->pattern, 0);

	if (rc == -EFAULT && td_run_errno(w->td, 0) == EHWPOISON)
		return 0;
	return rc ?: -ENOMSG;
}

/*
 * Who keeps the frame from being used again holds it; but not what he met on its way from
 * the file to the page allocator, which is then told by the frame's flag alone.
 */
static int check_held(struct bad *bad, struct finding *f)
{
	int rc = census_check_orphaned(bad->before, BAD, 1, 1, f);

	return rc > 0 && !bad->stays ? census_check_freed(bad->before, BAD, 1, f) : rc;
}

static int look(struct td_world *w, struct finding *f)
{
	struct bad *bad = w->own;
	__u64 gpa;
	int rc;

	if (poison_is(bad->pfn) != 1) {
		finding_set(f, "poison", "the frame is not bad");
		return -ENODATA;
	}
	if (!emulator_why_not() && emulator_private_gpa(bad->pfn, &gpa) != -ENOENT) {
		finding_set(f, "poison", "the TD has the bad page");
		return -EEXIST;
	}
	if (bad->stays) {
		rc = hear(w);
		if (rc) {
			finding_set(f, "poison", "what a vCPU is told of the bad page");
			return rc;
		}
		rc = gmem_punch(w->gmem[0], BAD, 1);
		if (rc)
			return rc;
	}
	return check_held(bad, f) ?: poison_undo(bad->pfn) ?:
	       census_check_freed(bad->before, BAD, 1, f);
}

static int look_at_it(struct td_world *w, const int *outcome __maybe_unused, char *why, size_t len)
{
	struct bad *bad = w->own;
	struct finding f = { .text = "the bad page cannot be looked at" };
	int rc = look(w, &f);

	if (rc)
		snprintf(why, len, "%s", f.text);
	census_free(bad->before);
	bad->before = NULL;
	return rc > 0 ? -EBUSY : rc;
}

/*
 * A page goes bad, and something else happens.  A frame that has left the file may be
 * anybody's by then: a machine of its own can bear that, a host cannot.
 */
#define RACE(name, stays_, outcomes, ...)						\
TEST_F(td_race_poison, name)								\
{											\
	struct bad bad = { .stays = stays_ };						\
											\
	REQUIRE(bad.stays ? NULL : emulator_why_not());					\
	EXPECT_TD_RACE(.stage = TD_RUNNING, .own = { &poisoner }, .roles = { NULL, __VA_ARGS__ }, \
		       .allowed = outcomes, .world = &bad, .before = choose, .after = look_at_it); \
}

RACE(meets_a_touch, true, "0 0, 0 EHWPOISON, EBUSY 0, EBUSY EHWPOISON", "touch")
RACE(meets_an_acceptance, true, "0 0, 0 EHWPOISON, EBUSY 0, EBUSY EHWPOISON", "accept")
RACE(meets_a_prefault, true, "0 0, 0 EHWPOISON, EBUSY 0, EBUSY EHWPOISON", "prefault")
RACE(meets_an_allocation, true, "0 0, EBUSY 0", "allocate")
RACE(meets_a_punch, false, "0 0, EBUSY 0", "punch")
RACE(meets_a_punch_below_a_vcpu, false,
     "0 0 0, 0 0 EHWPOISON, EBUSY 0 0, EBUSY 0 EHWPOISON", "punch", "touch")
RACE(meets_the_end_of_the_file, false, "0 0, EBUSY 0", "close_gmem")

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_KPAGE,
      .seconds = 120, .serial = true)
