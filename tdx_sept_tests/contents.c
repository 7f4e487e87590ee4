// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whatever is done to a guest's memory, each page holds what it should: the last
 * that was written to it as it is seen now, or zeroes; and its neighbours hold what
 * they held.
 *
 * Random steps, from the seed of the run; mirror.h knows what they amount to.
 */
#include <stdlib.h>

#include "gmem.h"
#include "mirror.h"
#include "suite.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	64ull
#define GPA		(GUEST_GPA + (512 - NR_PAGES / 2) * PAGE_BYTES)	/* across 2M */
#define LONGEST		12
#define STEPS		200
#define LOOK_EVERY	10

FIXTURE(contents) {
	struct guest *g;
	struct mirror *m;
	struct census *before;
};

FIXTURE_VARIANT(contents) {
	enum guest_type type;
};

GUEST_VARIANTS(contents, );

FIXTURE_SETUP(contents)
{
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create(&self->g, variant->type, NR_PAGES));
	ASSERT_OK(guest_move(self->g, GUEST_SLOT, 0, NR_PAGES, GPA));
	if (guest_has_private(self->g)) {
		ASSERT_OK(guest_set_private(self->g, 0, NR_PAGES, true));
	}
	ASSERT_OK(mirror_create(&self->m, self->g));
}

FIXTURE_TEARDOWN(contents)
{
	census_free(self->before);
	mirror_free(self->m);
	guest_destroy(self->g);
}

enum step {
	TOUCH, TOUCH_AGAIN, PUNCH, SHARE, TAKE_BACK, DISCARD, PREFAULT, REBIND, NR_STEPS
};

static void draw_range(unsigned int *random, __u64 *first, __u64 *nr)
{
	*nr = 1 + rand_r(random) % LONGEST;
	*first = rand_r(random) % (NR_PAGES - *nr + 1);
}

/* One that no other touch has, and of which no page's word is zero. */
static __u64 draw_pattern(unsigned int *random)
{
	return (__u64)rand_r(random) << 32 | 1u << 31;
}

static int take(struct mirror *m, struct guest *g, enum step step, unsigned int *random)
{
	__u64 first, nr, i;
	int rc;

	draw_range(random, &first, &nr);
	switch (step) {
	case TOUCH:
	case TOUCH_AGAIN:
		return mirror_touch(m, first, nr, draw_pattern(random));
	case PUNCH:
		return mirror_punch(m, first, nr);
	case SHARE:
	case TAKE_BACK:
		return guest_has_private(g) ?
		       mirror_set_private(m, first, nr, step == TAKE_BACK) : 0;
	case DISCARD:
		return guest_has_private(g) ? mirror_discard(m, first, nr) : 0;
	case PREFAULT:
		for (i = first; i < first + nr; i++)
			if (mirror_is_private(m, i) != guest_has_private(g))
				return 0;
		rc = mirror_prefault(m, first, nr);
		return rc == -EOPNOTSUPP ? 0 : rc;
	default:
		/* Seldom, as it empties all of a TD. */
		return rand_r(random) % 8 ? 0 : mirror_rebind(m, GPA);
	}
}

TEST_F(contents, follow_whatever_is_done)
{
	unsigned int random = supervise_seed(), i;
	enum step step;
	__u64 bad = 0;
	int rc = 0;

	/* What was written twice could be lost or stale unseen. */
	ASSERT_NE(draw_pattern(&random), draw_pattern(&random));
	for (i = 0; i < STEPS && !rc; i++) {
		step = rand_r(&random) % NR_STEPS;
		rc = take(self->m, self->g, step, &random);
		if (rc) {
			TH_LOG("step %u, kind %u", i, step);
			break;
		}
		if (i % LOOK_EVERY == LOOK_EVERY - 1)
			rc = mirror_verify(self->m, &bad);
		if (rc)
			TH_LOG("after step %u, from page %llu on", i, bad);
	}
	EXPECT_OK(rc);
	EXPECT_EQ(STEPS, i);

	/* And nobody holds any of it. */
	if (guest_has_private(self->g)) {
		ASSERT_OK(mirror_set_private(self->m, 0, NR_PAGES, true));
	}
	ASSERT_OK(mirror_touch(self->m, 0, NR_PAGES, 1ull << 40));
	EXPECT_OK(mirror_verify(self->m, &bad));
	EXPECT_HELD(guest_gmem(self->g), 0, NR_PAGES, guest_touch_maps(self->g), 0);
	ASSERT_OK(census_take(&self->before, guest_gmem(self->g), 0, NR_PAGES));
	guest_destroy(self->g);
	self->g = NULL;
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

SUITE(.needs = NEED_KVM | NEED_GMEM | NEED_REFCOUNT)
