// SPDX-License-Identifier: GPL-2.0-only
/*
 * When the TDX module does not let go of a page, the TD dies at once and aloud, all
 * else goes on; and the page is free while the TD still has it, which is what the
 * audit and the sanitizer are there to see.
 *
 * KVM cannot tell guest_memfd that it failed to unmap, so it kills the VM
 * (KVM_BUG_ON) and the page is given back nevertheless.  Linux accepts that since
 * 6.19 ("KVM: TDX: Drop superfluous page pinning in S-EPT management").  Before, the
 * reference for being mapped stayed, and the page was lost instead.
 *
 * On hardware this cannot be provoked from outside: none of the functions on the way
 * is in the kernel's list of those whose result BPF or fail_function may replace
 * (ALLOW_ERROR_INJECTION), and the module does not fail on request.  So the emulator
 * lets one SEAMCALL of one page fail.  Each case of an emulated machine starts from
 * the same boot, so WARN_ON_ONCE warns in each.
 *
 * The first page of the range is the one: those behind it are freed after it, and
 * the allocator hands out first what was freed last.  So nobody gets the page before
 * it has been taken out of use.
 *
 * arch/x86/kvm/vmx/tdx.c tdx_sept_remove_leaf_spte(), __TDX_BUG_ON().
 *
 * Claims: C9, C10, C11, C12, C13, B26
 */
#include <sys/ioctl.h>

#include "audit.h"
#include "cpu.h"
#include "emulator.h"
#include "gmem.h"
#include "kmsg.h"
#include "order.h"
#include "pinned.h"
#include "poison.h"
#include "sequence.h"
#include "suite.h"
#include "td.h"
#include "td_spin.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	1024ull
#define FIRST		500ull		/* a range across a 2M boundary */
#define NR		24ull
#define PATTERN		0xb0ce000000000000ull
#define BOUND_MS	1000		/* within which vCPUs must be out */
#define RUNS		20		/* of a dead vCPU */

FIXTURE(td_broken) {
	struct order *order;
	struct kmsg *log;
	struct guest *g, *other;
	struct census *before;
	struct meter meter;
	struct td_spinner spinner;
	size_t since;
};

/* What is to take the pages from the TD. */
enum act { PUNCH, CONVERT, DELETE_SLOT, CLOSE, TEAR_DOWN };

/**
 * @leaf:   which SEAMCALL fails
 * @status: with what
 * @times:  how often in a row
 * @name:   what the kernel calls it
 * @code:   how the number begins that the kernel prints
 * @keeps:  the TD keeps the page; else it is removed, but not flushed
 * @act:    when
 */
FIXTURE_VARIANT(td_broken) {
	const char *leaf, *status, *name, *code;
	unsigned int times;
	bool keeps;
	enum act act;
};

#define CASE(variant, act_, ...)						\
	FIXTURE_VARIANT_ADD(td_broken, tdx_##variant) { .act = act_, __VA_ARGS__ }

/* KVM comes again once if the module is busy; twice in a row is a bug. */
#define BLOCK .leaf = "MEM.RANGE.BLOCK", .status = "OPERAND_BUSY|SEPT_TREE", .times = 2,	\
	.name = "TDH_MEM_RANGE_BLOCK", .code = "0x80000200", .keeps = true
/* The REMOVE that follows is refused, as nothing was tracked. */
#define TRACK .leaf = "MEM.TRACK", .status = "PREVIOUS_TLB_EPOCH_BUSY", .times = 1,		\
	.name = "TDH_MEM_TRACK", .code = "0x80000201", .keeps = true
#define REMOVE .leaf = "MEM.PAGE.REMOVE", .status = "TLB_TRACKING_NOT_DONE", .times = 1,	\
	.name = "TDH_MEM_PAGE_REMOVE", .code = "0xc0000b08", .keeps = true
#define WBINVD .leaf = "PHYMEM.PAGE.WBINVD", .status = "PAGE_METADATA_INCORRECT|RCX",		\
	.times = 1, .name = "TDH_PHYMEM_PAGE_WBINVD", .code = "0xc0000300"

CASE(block_punch, PUNCH, BLOCK);
CASE(track_punch, PUNCH, TRACK);
CASE(remove_punch, PUNCH, REMOVE);
CASE(wbinvd_punch, PUNCH, WBINVD);
CASE(block_conversion, CONVERT, BLOCK);
CASE(track_slot, DELETE_SLOT, TRACK);
CASE(remove_close, CLOSE, REMOVE);
CASE(wbinvd_slot, DELETE_SLOT, WBINVD);
/* Nobody is left to be killed, and the page is one of the payload. */
CASE(remove_teardown, TEAR_DOWN, REMOVE);
CASE(wbinvd_teardown, TEAR_DOWN, WBINVD);

FIXTURE_SETUP(td_broken)
{
	const struct td_plan plan = { .unmeasured = true, .nr_vcpus = 2 };

	REQUIRE(guest_why_not(GUEST_TDX));
	REQUIRE(order_start(&self->order));
	/* What is freed here is to be found here. */
	ASSERT_OK(cpu_run_on(0));
	ASSERT_OK(meter_read(&self->meter));
	ASSERT_OK(guest_create_td(&self->other, &plan, NR_PAGES));
	ASSERT_OK(guest_touch(self->other, FIRST, NR, PATTERN));
	ASSERT_OK(guest_create_td(&self->g, &plan, NR_PAGES));
	ASSERT_OK(guest_touch(self->g, FIRST, NR, PATTERN));
	ASSERT_OK(td_pages(guest_td(self->g), 1, TD_OP_VERIFY, GUEST_GPA + FIRST * PAGE_BYTES, NR,
			   PATTERN + FIRST, 0));
	ASSERT_OK(census_take(&self->before, guest_gmem(self->g), FIRST, NR));
	ASSERT_EQ(NR, census_nr_present(self->before));
	ASSERT_OK(kmsg_open(&self->log));
}

FIXTURE_TEARDOWN(td_broken)
{
	census_free(self->before);
	guest_destroy(self->g);
	guest_destroy(self->other);
	kmsg_close(self->log);
	order_stop(self->order);
}

static int count_enters(__u64 *nr)
{
	struct emulator_calls calls;
	int err = emulator_count("VP.ENTER", NULL, &calls);

	*nr = calls.nr;
	return err;
}

/* From here on the next SEAMCALL of the leaf fails. */
static int arm(FIXTURE_DATA(td_broken) *self, const FIXTURE_VARIANT(td_broken) *variant)
{
	char when[32];

	self->since = order_mark(self->order);
	snprintf(when, sizeof(when), "times=%u", variant->times);
	return emulator_inject(variant->leaf, variant->status, when);
}

static int vm_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) ? -errno : 0;
}

/* C9: the spinning vCPU is out in time, and nothing can be done with the VM any more. */
static void check_dead(struct __test_metadata *_metadata, FIXTURE_DATA(td_broken) *self)
{
	struct kvm_pre_fault_memory range = { .gpa = GUEST_GPA, .size = PAGE_BYTES };
	struct kvm_create_guest_memfd file = { .size = PAGE_BYTES };
	const int vm = guest_vm(self->g), vcpu = guest_vcpu(self->g);
	struct kvm_mp_state state;
	__u64 before, after;
	int i, rc;

	ASSERT_OK(td_spin_end(&self->spinner, BOUND_MS, &rc));
	ASSERT_EQ(-EIO, rc);

	EXPECT_OK(count_enters(&before));
	for (i = 0; i < RUNS; i++)
		EXPECT_ERR(EIO, vm_ioctl(vcpu, KVM_RUN, NULL));
	EXPECT_OK(count_enters(&after));
	EXPECT_EQ(before, after);
	EXPECT_ERR(EIO, vm_ioctl(td_vcpu(guest_td(self->g), 1), KVM_RUN, NULL));
	EXPECT_ERR(EIO, vm_ioctl(vcpu, KVM_GET_MP_STATE, &state));
	EXPECT_ERR(EIO, vm_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &range));
	EXPECT_ERR(EIO, td_cmd(vcpu, KVM_TDX_GET_CPUID, 0, NULL, NULL));
	EXPECT_ERR(EIO, vm_ioctl(vm, KVM_CREATE_VCPU, (void *)2));
	EXPECT_ERR(EIO, vm_ioctl(vm, KVM_CREATE_GUEST_MEMFD, &file));
	EXPECT_ERR(EIO, guest_bind(self->g, GUEST_SLOT + 1, 0, 1, GUEST_GPA + (1ull << 30)));
	EXPECT_ERR(EIO, guest_set_private(self->g, 0, 1, false));
	EXPECT_ERR(EIO, td_cmd(vm, KVM_TDX_FINALIZE_VM, 0, NULL, NULL));
}

/*
 * C11: @nr warnings, and as many lines that tell which SEAMCALL failed with what, the
 * first of them @name with @code.
 */
static void check_log(struct __test_metadata *_metadata, FIXTURE_DATA(td_broken) *self,
		      unsigned int nr, const char *name, const char *code)
{
	struct kmsg_tally t;

	EXPECT_OK(kmsg_tally(self->log, &t));
	EXPECT_EQ(nr, t.warns);
	EXPECT_EQ(nr, t.seamcalls);
	EXPECT_EQ(0, t.hkids);
	EXPECT_EQ(0, t.others);
	if (!nr)
		return;
	fprintf(stderr, "# the kernel says: %s\n", t.seamcall);
	EXPECT_NE(NULL, strstr(t.seamcall, name));
	EXPECT_NE(NULL, strstr(t.seamcall, code));
	supervise_expect_kmsg("WARN");
	supervise_expect_kmsg("SEAMCALL failed");
}

/* The page of which a flush failed. */
static __u64 not_flushed(FIXTURE_DATA(td_broken) *self)
{
	const struct order_event *e;
	size_t nr, i;

	e = order_events(self->order, &nr);
	for (i = self->since; i < nr; i++)
		if (e[i].what == ORDER_PAGE_WBINVD && e[i].status)
			return e[i].pfn;
	return ORDER_NO_PAGE;
}

/* C10: the audit must see the page; then nobody is to get it.  Pinned, nobody can. */
static void check_audit(struct __test_metadata *_metadata, FIXTURE_DATA(td_broken) *self,
			bool keeps, __u64 *pfn)
{
	struct audit_page pages[AUDIT_MAX];
	struct finding f;

	*pfn = keeps ? folio_pfn(census_page(self->before, FIRST)) : not_flushed(self);
	if (!keeps || pinned_expected() > 0) {
		EXPECT_AUDIT(self->order);
		/* Of a VM that is torn down it may be any page. */
		if (pinned_expected() > 0 && self->g)
			EXPECT_ORPHANED(self->before, FIRST, 1, 1);
		return;
	}
	ASSERT_EQ(1, audit_find(self->order, pages));
	EXPECT_EQ(1, audit_check(self->order, &f));
	fprintf(stderr, "# as it must, the audit says: %s\n", pages[0].text);
	EXPECT_EQ(ORDER_DATA, pages[0].page.kind);
	EXPECT_NE(0, pages[0].page.freed);
	/* Of a VM that is torn down it may be any page. */
	if (self->g)
		EXPECT_EQ(*pfn, pages[0].pfn);
	*pfn = pages[0].pfn;
	EXPECT_FALSE(pages[0].reused);
	ASSERT_OK(poison_for_good(*pfn));
}

/* C13: another TD notices nothing, and a new one can be made. */
static void check_others(struct __test_metadata *_metadata, FIXTURE_DATA(td_broken) *self)
{
	struct guest *new;

	EXPECT_OK(guest_verify(self->other, FIRST, NR, PATTERN));
	EXPECT_OK(guest_touch(self->other, 0, 2 * NR, PATTERN));
	EXPECT_OK(gmem_punch(guest_gmem(self->other), FIRST, NR));
	EXPECT_OK(guest_verify_zero(self->other, FIRST, NR));
	EXPECT_OK(guest_verify(self->other, 0, 2 * NR, PATTERN));
	ASSERT_OK(guest_create(&new, GUEST_TDX, NR));
	EXPECT_OK(guest_touch(new, 0, NR, PATTERN));
	guest_destroy(new);
}

struct kept {
	unsigned int nr[3];	/* by kind */
};

static void count_kept(void *ctx, __u64 pfn, const struct order_page *page)
{
	struct kept *kept = ctx;

	(void)pfn;
	if (page->state != ORDER_RETURNED)
		kept->nr[page->kind]++;
}

struct seen {
	char pa[40];
	unsigned int freed, unflushed, untracked, leaks, others;
};

static void look(void *ctx, const struct finding *f, const char *json)
{
	struct seen *s = ctx;
	const bool ours = strstr(json, s->pa);

	fprintf(stderr, "# as it must, the sanitizer says: %s: %s\n", f->invariant, f->text);
	if (!strcmp(f->invariant, "freed-while-owned") && ours)
		s->freed++;
	else if (!strcmp(f->invariant, "unflushed-use") && ours)
		s->unflushed++;
	else if (!strcmp(f->invariant, "untracked-remove") && ours)
		s->untracked++;
	else if (!strcmp(f->invariant, "leak"))
		s->leaks++;
	else
		s->others++;
}

/*
 * C13: of what the TD had, only the page and the TDR stay with it, for the TDR is not
 * given back as long as a page is missing; the keyid is free.  And the sanitizer, if it
 * is on, has seen all that.
 */
static void check_end(struct __test_metadata *_metadata, FIXTURE_DATA(td_broken) *self,
		      const FIXTURE_VARIANT(td_broken) *variant, __u64 pfn)
{
	struct kept kept = {};
	struct seen s = {};

	guest_destroy(self->other);
	self->other = NULL;
	EXPECT_BACK(&self->meter, METER_HKIDS, 0);
	EXPECT_OK(order_visit_pages(self->order, count_kept, &kept));
	EXPECT_EQ(variant->keeps, kept.nr[ORDER_DATA]);
	EXPECT_EQ(0, kept.nr[ORDER_SEPT]);
	EXPECT_EQ(variant->keeps, kept.nr[ORDER_CONTROL]);
	/* Off, for who wants to know what the suite sees by itself. */
	if (emulator_sanitizer_why_not())
		return;
	ASSERT_OK(emulator_ask(NULL, "sanitizer idle"));
	snprintf(s.pa, sizeof(s.pa), "\"pa\":\"0x%llx\"", pfn * PAGE_BYTES);
	ASSERT_OK(emulator_reports(look, &s));
	EXPECT_EQ(variant->keeps && pinned_expected() <= 0, s.freed);
	EXPECT_EQ(!variant->keeps && pinned_expected() <= 0, s.unflushed);
	EXPECT_EQ(!strcmp(variant->leaf, "MEM.TRACK"), s.untracked);
	EXPECT_EQ(variant->keeps, s.leaks > 0);
	EXPECT_EQ(0, s.others);
}

static int take(FIXTURE_DATA(td_broken) *self, enum act act)
{
	switch (act) {
	case PUNCH:
		return gmem_punch(guest_gmem(self->g), FIRST, NR);
	case CONVERT:
		return guest_set_private(self->g, FIRST, NR, false);
	case DELETE_SLOT:
		return guest_unbind(self->g, GUEST_SLOT);
	case CLOSE:
		return guest_close_gmem(self->g);
	default:
		guest_destroy(self->g);
		self->g = NULL;
		return 0;
	}
}

TEST_F(td_broken, kills_the_td_aloud_and_nothing_else)
{
	static const enum sequence_fate fates[] = {
		[PUNCH] = SEQUENCE_PUNCHED, [CONVERT] = SEQUENCE_ZAPPED,
		[DELETE_SLOT] = SEQUENCE_ZAPPED, [CLOSE] = SEQUENCE_RELEASED,
		[TEAR_DOWN] = SEQUENCE_RELEASED,
	};
	const enum sequence_fate fate = fates[variant->act];
	const bool alive = variant->act != TEAR_DOWN;
	__u64 pfn;

	if (alive)
		ASSERT_OK(td_spin_start(&self->spinner, guest_td(self->g), 1));
	ASSERT_OK(arm(self, variant));
	/* C12: who asked for it learns nothing. */
	EXPECT_OK(take(self, variant->act));
	if (alive)
		check_dead(_metadata, self);
	check_log(_metadata, self, alive ? 1 : 1 + variant->keeps, variant->name, variant->code);
	/* C12: the rest of the range is unmapped. */
	EXPECT_SEQUENCE(self->order, self->before, FIRST + alive, NR - alive, self->since, fate);
	if (fate == SEQUENCE_ZAPPED)
		EXPECT_OK(gmem_punch(guest_gmem(self->g), FIRST, NR));
	check_audit(_metadata, self, variant->keeps, &pfn);
	check_others(_metadata, self);
	if (alive) {
		guest_destroy(self->g);
		self->g = NULL;
		check_log(_metadata, self, variant->keeps, "TDH_PHYMEM_PAGE_RECLAIM",
			  "0xc0000400");
	}
	check_end(_metadata, self, variant, pfn);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_EMULATOR,
      .seconds = 60, .serial = true)
