// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page leaves a TD only when no vCPU can have it in its TLB any more.
 *
 * A vCPU writes to all pages, round after round, while the host punches one after
 * the other out of the guest_memfd.  Whatever was removed comes back as another
 * page, zeroed and accepted anew; neither the TDX module nor the emulator's
 * sanitizer must have anything to say about it.
 *
 * Mutants: kick_skipped, track_skipped, block_skipped.
 *
 * Claims: B20, B22
 */
#include <pthread.h>
#include <stdatomic.h>

#include "gmem.h"
#include "suite.h"
#include "td.h"

#define NR_PAGES	256ull
#define PATTERN		0x5007d00000000000ull
#define ROUNDS		4		/* unless the suite says otherwise */

FIXTURE(td_shootdown) {
	struct guest *g;
	struct census *after;
	pthread_t thread;
	atomic_bool stop;
	int err;
	unsigned int rounds;
};

FIXTURE_VARIANT(td_shootdown) {};
FIXTURE_VARIANT_ADD(td_shootdown, tdx) {};

FIXTURE_SETUP(td_shootdown)
{
	const struct td_plan plan = { .nr_vcpus = 2 };

	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(guest_create_td(&self->g, &plan, NR_PAGES));
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PATTERN));
}

FIXTURE_TEARDOWN(td_shootdown)
{
	census_free(self->after);
	guest_destroy(self->g);
}

static void *write_on(void *arg)
{
	FIXTURE_DATA(td_shootdown) *self = arg;

	while (!self->err && !self->stop) {
		/* All of their words, so that the vCPU is seldom out of the TD. */
		self->err = td_pages(guest_td(self->g), 1, TD_OP_FILL, GUEST_GPA, NR_PAGES,
				     PATTERN, 0);
		self->rounds++;
	}
	return NULL;
}

TEST_F(td_shootdown, lets_no_vcpu_keep_what_is_punched)
{
	unsigned int round;
	__u64 page;

	ASSERT_EQ(0, pthread_create(&self->thread, NULL, write_on, self));
	for (round = 0; round < supervise_rounds(ROUNDS); round++)
		for (page = 0; page < NR_PAGES; page += 2)
			EXPECT_OK(gmem_punch(guest_gmem(self->g), page, 1));
	self->stop = true;
	pthread_join(self->thread, NULL);

	EXPECT_OK(self->err);
	EXPECT_LT(0, self->rounds);
	/* Nothing is held by more than the file, whoever was there last. */
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PATTERN));
	EXPECT_HELD(guest_gmem(self->g), 0, NR_PAGES, 0, 0);
	EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, PATTERN));
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 60)
