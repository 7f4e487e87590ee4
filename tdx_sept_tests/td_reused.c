// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page that the TDX module did not let go of, or that was not flushed, must harm
 * nobody but its TD: it must not be given to others.
 *
 * KVM tells guest_memfd nothing when it fails to remove a page, so the page is freed
 * all the same, and the next one who gets it is whoever asks first; td_broken.c takes
 * it out of use before that.
 *
 * arch/x86/kvm/vmx/tdx.c tdx_sept_remove_leaf_spte();
 * virt/kvm/guest_memfd.c kvm_gmem_punch_hole().
 *
 * Claims: C10, C13, B11
 */
#include <sched.h>

#include "emulator.h"
#include "gmem.h"
#include "pinned.h"
#include "poison.h"
#include "suite.h"
#include "td.h"

#define NR_PAGES	64ull
#define PAGE		5ull
#define PATTERN		0x5e05ed0000000000ull

FIXTURE(td_reused) {
	struct guest *g, *other;
	struct census *before, *after;
	__u64 pfn;
};

FIXTURE_VARIANT(td_reused) {};
FIXTURE_VARIANT_ADD(td_reused, tdx) {};

FIXTURE_SETUP(td_reused)
{
	const struct td_plan plan = { .unmeasured = true };
	cpu_set_t one;

	REQUIRE(guest_why_not(GUEST_TDX));
	REQUIRE(emulator_sanitizer_why_not());
	/* What is freed here is to be found here. */
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	ASSERT_SYS(sched_setaffinity(0, sizeof(one), &one));
	ASSERT_OK(guest_create_td(&self->other, &plan, NR_PAGES));
	ASSERT_OK(guest_touch(self->other, 0, 1, PATTERN));
	ASSERT_OK(guest_create_td(&self->g, &plan, NR_PAGES));
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PATTERN));
	ASSERT_OK(census_take(&self->before, guest_gmem(self->g), 0, NR_PAGES));
	self->pfn = folio_pfn(census_page(self->before, PAGE));
}

FIXTURE_TEARDOWN(td_reused)
{
	census_free(self->before);
	census_free(self->after);
	guest_destroy(self->g);
	guest_destroy(self->other);
}

/* What the failure itself brings about, which is others' to check. */
static void expect_a_dead_td(void)
{
	supervise_expect_kmsg("WARN");
	supervise_expect_kmsg("SEAMCALL failed");
}

struct seen {
	char pa[40];
	unsigned int unflushed;
};

static void look(void *ctx, const struct finding *f, const char *json)
{
	struct seen *s = ctx;

	s->unflushed += !strcmp(f->invariant, "unflushed-use") && strstr(json, s->pa);
	fprintf(stderr, "# the sanitizer says: %s: %s\n", f->invariant, f->text);
}

TEST_F(td_reused, page_that_was_removed_but_not_flushed_is_not_given_back)
{
	struct seen s = {};

	expect_a_dead_td();
	ASSERT_OK(emulator_inject("PHYMEM.PAGE.WBINVD", "OPERAND_BUSY|RCX", "times=1"));
	ASSERT_OK(gmem_punch(guest_gmem(self->g), PAGE, 1));
	snprintf(s.pa, sizeof(s.pa), "\"pa\":\"0x%llx\"", self->pfn << 12);
	ASSERT_OK(emulator_reports(look, &s));
	EXPECT_EQ(0, s.unflushed);
}

TEST_F(td_reused, page_that_was_not_removed_does_not_kill_another_td)
{
	const struct folio_record *rec;
	struct seen s = {};
	__u64 i;

	expect_a_dead_td();
	ASSERT_OK(emulator_inject("MEM.RANGE.BLOCK", "OPERAND_BUSY|SEPT_TREE", "times=2"));
	ASSERT_OK(gmem_punch(guest_gmem(self->g), PAGE, 1));

	/* Who asks next gets it. */
	ASSERT_OK(gmem_allocate(guest_gmem(self->other), 1, NR_PAGES - 1));
	ASSERT_OK(census_take(&self->after, guest_gmem(self->other), 0, NR_PAGES));
	for (i = 0; i < NR_PAGES; i++) {
		rec = census_page(self->after, i);
		if (rec && folio_present(rec) && folio_pfn(rec) == self->pfn)
			break;
	}
	if (i < NR_PAGES)
		EXPECT_OK(guest_touch(self->other, i, 1, PATTERN));
	EXPECT_OK(guest_verify(self->other, 0, 1, PATTERN));

	/* Its story is told; nobody else is to have the page. */
	guest_destroy(self->g);
	self->g = NULL;
	EXPECT_OK(gmem_punch(guest_gmem(self->other), 1, NR_PAGES - 1));
	/* Pinned, it is nobody's anyway. */
	if (pinned_expected() <= 0)
		ASSERT_OK(poison_for_good(self->pfn));
	ASSERT_OK(emulator_ask(NULL, "sanitizer idle"));
	ASSERT_OK(emulator_reports(look, &s));
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_EMULATOR,
      .seconds = 60, .serial = true)
