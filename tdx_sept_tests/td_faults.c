// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs to give a guest a page: one fault, one SEAMCALL, however the guest asks
 * for it; none, if it was pre-faulted; and none again for what it has.
 *
 * By KVM's own counters everywhere, by those of the TDX module in the emulated machine.
 * Time is no part of it: that is for hardware, and for a comparison with another kernel.
 *
 * Claims: C16
 */
#include <pthread.h>

#include "emulator.h"
#include "gmem.h"
#include "kvm_stat.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define PAGES_2M	512ull
#define NR_PAGES	(2 * PAGES_2M)
#define FIRST		400ull		/* across the 2M boundary */
#define NR		224ull
#define DATA		0xfa17000000000000ull

/*
 * Faults beyond one per page: those that only add a table, and those that somebody else
 * was quicker at.
 */
#define SPARE		8

FIXTURE(td_faults) {
	struct guest *g;
	struct td *td;
	__u64 fixed, taken;
};

FIXTURE_VARIANT(td_faults) {};
FIXTURE_VARIANT_ADD(td_faults, tdx) {};

static int count(struct td *td, __u64 *fixed, __u64 *taken)
{
	__u64 f, t;
	unsigned int i;
	int rc = 0;

	*fixed = *taken = 0;
	for (i = 0; i < 2 && !rc; i++) {
		rc = kvm_stat(td_vcpu(td, i), "pf_fixed", &f) ?:
		     kvm_stat(td_vcpu(td, i), "pf_taken", &t);
		*fixed += f;
		*taken += t;
	}
	return rc;
}

FIXTURE_SETUP(td_faults)
{
	const struct td_plan plan = { .nr_vcpus = 2 };

	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(guest_create_td(&self->g, &plan, NR_PAGES));
	self->td = guest_td(self->g);
	/* Both have started, so what they need for that is there. */
	ASSERT_OK(td_pages(self->td, 0, TD_OP_NONE, 0, 0, 0, 0));
	ASSERT_OK(td_pages(self->td, 1, TD_OP_NONE, 0, 0, 0, 0));
	ASSERT_OK(count(self->td, &self->fixed, &self->taken));
	if (!emulator_why_not()) {
		ASSERT_OK(emulator_count_start());
	}
}

FIXTURE_TEARDOWN(td_faults)
{
	guest_destroy(self->g);
}

/* Since the start of the case: @pages given, by as many AUGs and about as many faults. */
#define EXPECT_COST(pages) do {							\
	struct emulator_calls __aug;						\
	__u64 __fixed, __taken;							\
										\
	ASSERT_OK(count(self->td, &__fixed, &__taken));				\
	TH_LOG("%llu pages: %llu faults taken, %llu fixed", (__u64)(pages),	\
	       __taken - self->taken, __fixed - self->fixed);			\
	EXPECT_LE(__fixed - self->fixed, (pages) + SPARE);			\
	EXPECT_LE(__taken - self->taken, (pages) + SPARE);			\
	if (!emulator_why_not()) {						\
		ASSERT_OK(emulator_count("MEM.PAGE.AUG", NULL, &__aug));	\
		EXPECT_EQ((__u64)(pages), __aug.nr);				\
	}									\
} while (0)

TEST_F(td_faults, of_a_touch_are_one_per_page)
{
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	EXPECT_COST(NR);
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	ASSERT_OK(td_pages(self->td, 1, TD_OP_VERIFY, GUEST_GPA + FIRST * PAGE_BYTES, NR,
			   DATA + FIRST, 0));
	EXPECT_COST(NR);
}

TEST_F(td_faults, of_an_accept_are_one_per_page)
{
	ASSERT_OK(td_pages(self->td, 0, TD_OP_ACCEPT, GUEST_GPA + FIRST * PAGE_BYTES, NR, 0, 0));
	EXPECT_COST(NR);
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	EXPECT_COST(NR);
}

TEST_F(td_faults, are_spared_by_a_prefault)
{
	__u64 fixed, taken;

	ASSERT_OK(guest_prefault(self->g, FIRST, NR));
	EXPECT_COST(NR);
	ASSERT_OK(count(self->td, &fixed, &taken));
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	ASSERT_OK(count(self->td, &self->fixed, &self->taken));
	EXPECT_EQ(fixed, self->fixed);
	EXPECT_EQ(taken, self->taken);
}

TEST_F(td_faults, come_again_for_what_was_punched_only)
{
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	ASSERT_OK(gmem_punch(guest_gmem(self->g), FIRST + 10, 20));
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	EXPECT_COST(NR + 20);
}

static void *touch_by_other(void *arg)
{
	return (void *)(long)td_pages(arg, 1, TD_OP_WRITE, GUEST_GPA + FIRST * PAGE_BYTES, NR,
				      DATA + FIRST, 0);
}

/*
 * Two vCPUs after the same pages: each page is given once, whoever comes first.  How
 * often they have to come again until it is, depends on the schedule.
 *
 * Claims: B40
 */
TEST_F(td_faults, of_two_vcpus_map_each_page_once)
{
	struct emulator_calls aug;
	__u64 fixed, taken;
	pthread_t other;
	void *rc;

	ASSERT_EQ(0, pthread_create(&other, NULL, touch_by_other, self->td));
	EXPECT_OK(guest_touch(self->g, FIRST, NR, DATA));
	pthread_join(other, &rc);
	EXPECT_OK((long)rc);
	ASSERT_OK(count(self->td, &fixed, &taken));
	EXPECT_LE(fixed - self->fixed, NR + SPARE);
	if (!emulator_why_not()) {
		ASSERT_OK(emulator_count("MEM.PAGE.AUG", "SUCCESS", &aug));
		EXPECT_EQ(NR, aug.nr);
	}
	EXPECT_HELD(guest_gmem(self->g), FIRST, NR, 0, 0);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT)
