// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the TDX module does not give back when a TD dies is lost, and not used again;
 * the kernel says so, and all else goes on.
 *
 * Keyids and control pages come back by a chain of SEAMCALLs, of which the emulator
 * lets one fail; td_broken.c has why this cannot be done on hardware.  Whatever fails,
 * no page may be free while the module counts it as the TD's, which a trace sees, and
 * the sanitizer where there is one; and only what hangs on that SEAMCALL is lost, which
 * the trace counts page by page and the meter as well as it can.
 *
 * arch/x86/kvm/vmx/tdx.c tdx_mmu_release_hkid(), __tdx_reclaim_page(), __tdx_td_init().
 *
 * Mutants: freed_unreclaimed.
 *
 * Claims: C11, C13, B08, B09
 */
#include "audit.h"
#include "emulator.h"
#include "gmem.h"
#include "kmsg.h"
#include "order.h"
#include "suite.h"
#include "td.h"

#define NR_PAGES	24ull
#define NOISE		17		/* pages, of METER_LOST */
#define DRAIN_S		6		/* what kvfree_rcu() holds is given back after 5 s */
#define PATTERN		0x1057000000000000ull

/**
 * @leaf:    which SEAMCALL fails
 * @status:  with what, once
 * @names:   SEAMCALLs that the kernel is to say have failed, in that order
 * @keyid:   the keyid is lost, and with it all pages that are no memory
 * @pages:   else so many control and S-EPT pages are, besides the TDR
 * @rule:    what the sanitizer has to say besides that
 */
FIXTURE_VARIANT(td_lost) {
	const char *leaf, *status, *names[3];
	bool keyid;
	unsigned int pages;
	const char *rule;
};

FIXTURE(td_lost) {
	struct kmsg *log;
	struct order *order;
	unsigned int had;		/* pages that the module had of @g, but memory */
	struct guest *g, *other;
	struct meter meter;
};

/* The module still has a vCPU somewhere; the kernel leaves the TD as it is. */
FIXTURE_VARIANT_ADD(td_lost, tdx_not_flushed) {
	.leaf = "MNG.VPFLUSHDONE", .status = "FLUSHVP_NOT_DONE", .keyid = true,
};

/* As VP.FLUSH did not do it, VPFLUSHDONE is refused. */
FIXTURE_VARIANT_ADD(td_lost, tdx_flush) {
	.leaf = "VP.FLUSH", .status = "OPERAND_BUSY|RCX",
	.names = { "TDH_VP_FLUSH" }, .keyid = true,
};

FIXTURE_VARIANT_ADD(td_lost, tdx_flushdone) {
	.leaf = "MNG.VPFLUSHDONE", .status = "OPERAND_BUSY|TDR",
	.names = { "TDH_MNG_VPFLUSHDONE" }, .keyid = true,
};

/* As the caches were not written back, KEY.FREEID is refused. */
FIXTURE_VARIANT_ADD(td_lost, tdx_cache_wb) {
	.leaf = "PHYMEM.CACHE.WB", .status = "OPERAND_BUSY|RCX",
	.names = { "TDH_PHYMEM_CACHE_WB", "TDH_MNG_KEY_FREEID" }, .keyid = true,
	.rule = "keyid-reuse",
};

FIXTURE_VARIANT_ADD(td_lost, tdx_freeid) {
	.leaf = "MNG.KEY.FREEID", .status = "OPERAND_BUSY|TDR",
	.names = { "TDH_MNG_KEY_FREEID" }, .keyid = true,
};

/* A page of a vCPU; as that stays with it, so does the TDR. */
FIXTURE_VARIANT_ADD(td_lost, tdx_reclaim) {
	.leaf = "PHYMEM.PAGE.RECLAIM", .status = "PAGE_METADATA_INCORRECT|RCX",
	.names = { "TDH_PHYMEM_PAGE_RECLAIM", "TDH_PHYMEM_PAGE_RECLAIM" }, .pages = 1,
};

/* Only the TDR is flushed by that in a teardown without memory. */
FIXTURE_VARIANT_ADD(td_lost, tdx_tdr_flush) {
	.leaf = "PHYMEM.PAGE.WBINVD", .status = "OPERAND_BUSY|RCX",
	.names = { "TDH_PHYMEM_PAGE_WBINVD" },
};

/* A page is given to the module, and not as memory. */
static bool gives(const struct order_event *e)
{
	return !e->status && (e->what == ORDER_MNG_CREATE || e->what == ORDER_MNG_ADDCX ||
			      e->what == ORDER_VP_CREATE || e->what == ORDER_VP_ADDCX ||
			      e->what == ORDER_SEPT_ADD);
}

/* How many such pages there are since @since that have not been freed. */
static unsigned int nr_kept(struct order *o, size_t since)
{
	const struct order_event *e;
	unsigned int nr_kept = 0;
	size_t nr, i, j;

	e = order_events(o, &nr);
	for (i = since; i < nr; i++) {
		for (j = i; gives(&e[i]) && j < nr; j++)
			if (e[j].what == ORDER_FREE && e[j].pfn == e[i].pfn)
				break;
		nr_kept += j == nr;
	}
	return nr_kept;
}

static int make(FIXTURE_DATA(td_lost) *self)
{
	const struct td_plan plan = { .unmeasured = true };
	size_t since;
	int rc;

	rc = guest_create_td(&self->other, &plan, NR_PAGES) ?:
	     guest_touch(self->other, 0, NR_PAGES, PATTERN);
	since = order_mark(self->order);
	rc = rc ?: guest_create_td(&self->g, &plan, NR_PAGES) ?:
		   guest_touch(self->g, 0, NR_PAGES, PATTERN);
	self->had = nr_kept(self->order, since);
	return rc;
}

static void destroy(struct guest **g)
{
	guest_destroy(*g);
	*g = NULL;
}

/* As it stays: kcompactd, for one, has pages in its hands for a time. */
static int read_steady(struct meter *m)
{
	unsigned int i;
	__s64 last;
	int err;

	err = meter_read(m);
	for (i = 0, last = -1; !err && i < 10 && m->value[METER_LOST] != last; i++) {
		last = m->value[METER_LOST];
		sleep(DRAIN_S);
		err = meter_read(m);
	}
	return err;
}

FIXTURE_SETUP(td_lost)
{
	unsigned int i;

	REQUIRE(guest_why_not(GUEST_TDX));
	REQUIRE(order_start(&self->order));
	/* What the kernel allocates once and keeps. */
	for (i = 0; i < 2; i++) {
		ASSERT_OK(make(self));
		destroy(&self->g);
		destroy(&self->other);
	}
	ASSERT_OK(read_steady(&self->meter));
	ASSERT_OK(make(self));
	ASSERT_OK(kmsg_open(&self->log));
}

FIXTURE_TEARDOWN(td_lost)
{
	guest_destroy(self->g);
	guest_destroy(self->other);
	order_stop(self->order);
	kmsg_close(self->log);
}

/* Reports: of the rule that was expected, of TDs without a VM, of other leaks; the rest. */
struct seen {
	const char *rule;
	unsigned int expected, orphans, leaks, others, pages;
};

static void look(void *ctx, const struct finding *f, const char *json)
{
	struct seen *s = ctx;
	const char *pages = strstr(f->text, " has no VM any more, and ");

	(void)json;
	fprintf(stderr, "# as it must, the sanitizer says: %s: %s\n", f->invariant, f->text);
	if (s->rule && !strcmp(f->invariant, s->rule))
		s->expected++;
	else if (!strcmp(f->invariant, "leak") && pages &&
		 sscanf(pages, " has no VM any more, and %u pages", &s->pages) == 1)
		s->orphans++;
	else if (!strcmp(f->invariant, "leak"))
		s->leaks++;
	else
		s->others++;
}

static int live_on(struct guest *g)
{
	return guest_verify(g, 0, NR_PAGES, PATTERN) ?:
	       gmem_punch(guest_gmem(g), 0, NR_PAGES / 2) ?:
	       guest_touch(g, 0, NR_PAGES, PATTERN) ?:
	       guest_verify(g, 0, NR_PAGES, PATTERN);
}

/* What the sanitizer knows: that one TD is still there, with what it had or one page. */
static void ask_sanitizer(struct __test_metadata *_metadata,
			  const FIXTURE_VARIANT(td_lost) *variant, unsigned int had)
{
	struct seen seen = { .rule = variant->rule };
	const bool lost = variant->keyid || variant->pages;
	unsigned int tds;

	ASSERT_OK(emulator_tds(&tds));
	EXPECT_EQ(lost, tds);
	ASSERT_OK(emulator_ask(NULL, "sanitizer idle"));
	ASSERT_OK(emulator_reports(look, &seen));
	EXPECT_EQ(!!variant->rule, seen.expected);
	EXPECT_EQ(variant->keyid, seen.orphans);
	EXPECT_EQ(lost && !variant->keyid, seen.leaks);
	EXPECT_EQ(0, seen.others);
	EXPECT_EQ(variant->keyid ? had : 0, seen.pages);
}

TEST_F(td_lost, is_what_the_module_keeps_and_no_more)
{
	/* The TDR is not given back as long as a page is missing. */
	const unsigned int lost = variant->keyid ? self->had : variant->pages + 1;
	const char *said;
	unsigned int nr_warned;
	struct kmsg_tally t;
	struct guest *new;
	struct meter now;

	/* Without memory, so that the SEAMCALLs are those of the teardown. */
	td_close_payload(guest_td(self->g));
	ASSERT_OK(guest_close_gmem(self->g));
	ASSERT_OK(emulator_inject(variant->leaf, variant->status, "times=1"));
	destroy(&self->g);

	/* Others go on, and new ones can be made. */
	EXPECT_OK(live_on(self->other));
	ASSERT_OK(guest_create(&new, GUEST_TDX, NR_PAGES));
	EXPECT_OK(guest_touch(new, 0, NR_PAGES, PATTERN));
	guest_destroy(new);
	destroy(&self->other);

	if (!emulator_sanitizer_why_not())
		ask_sanitizer(_metadata, variant, self->had);
	EXPECT_AUDIT(self->order);
	EXPECT_EQ(lost, nr_kept(self->order, 0));
	sleep(DRAIN_S);
	EXPECT_BACK(&self->meter, METER_LOST, variant->keyid ? lost + NOISE : NOISE);
	EXPECT_OK(meter_read(&now));
	EXPECT_EQ(self->meter.value[METER_HKIDS] + variant->keyid, now.value[METER_HKIDS]);
	fprintf(stderr, "# %lld pages are lost, %u of them with the TD\n",
		now.value[METER_LOST] - self->meter.value[METER_LOST], lost);

	/* It was said. */
	EXPECT_OK(kmsg_tally(self->log, &t));
	for (nr_warned = 0, said = t.seamcall; variant->names[nr_warned]; nr_warned++) {
		said = strstr(said, variant->names[nr_warned]);
		ASSERT_NE(NULL, said);
		said++;
	}
	EXPECT_EQ(nr_warned, t.seamcalls);
	EXPECT_EQ(0, t.others);
	if (nr_warned)
		supervise_expect_kmsg("SEAMCALL failed");
	if (t.warns)
		supervise_expect_kmsg("WARN");
	if (t.hkids)
		supervise_expect_kmsg("HKID leaked");
	EXPECT_EQ(variant->keyid, t.hkids);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_EMULATOR,
      .seconds = 60, .serial = true)
