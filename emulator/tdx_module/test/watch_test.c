// SPDX-License-Identifier: GPL-2.0-only
/* Injection, locks, observer, events, ownership, names */
#include <errno.h>
#include <string.h>

#include "operands.h"

const char tap_all_codes;

static void inject(uint32_t leaf, uint64_t status, uint64_t after, uint64_t times,
		   uint32_t per_million)
{
	const struct tdx_injection injection = {
		.leaf = leaf, .status = status, .after = after, .times = times,
		.per_million = per_million,
	};

	EQ(tdx_inject(w->m, &injection), 0);
}

TEST(injection_hits_as_often_as_it_says)
{
	struct w_td td;
	unsigned int hits = 0;

	sys_ready();
	td_inited(&td);
	inject(TDH_MEM_TRACK, BUSY(TD_EPOCH), 2, 3, 0);
	for (unsigned int i = 0; i < 8; i++)
		STATUS(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0),
		       i >= 2 && i < 5 ? BUSY(TD_EPOCH) : 0);
	tdx_inject_clear(w->m);
	inject(TDH_MEM_TRACK, BUSY(TD_EPOCH), 0, 0, 250000);
	for (unsigned int i = 0; i < 4000; i++)
		hits += call(TDH_MEM_TRACK, td.tdr, 0, 0, 0) != 0;
	TRUE(hits > 800 && hits < 1200);
	tdx_inject_clear(w->m);
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	for (unsigned int i = 0; i < TDX_MAX_INJECTIONS; i++)
		inject(TDH_MEM_TRACK, BUSY(TDR), 0, 1, 0);
	EQ(tdx_inject(w->m, &(struct tdx_injection) { .leaf = 0 }), -ENOSPC);
}

static uint64_t pattern(uint64_t tdr, uint64_t seed)
{
	uint64_t hits = 0;

	tdx_reseed(w->m, seed);
	for (unsigned int i = 0; i < 64; i++)
		hits = hits << 1 | (call(TDH_MEM_TRACK, tdr, 0, 0, 0) != 0);
	return hits;
}

TEST(injection_by_chance_follows_the_seed)
{
	struct w_td td;

	sys_ready();
	td_inited(&td);
	inject(TDH_MEM_TRACK, BUSY(TD_EPOCH), 0, 0, 500000);
	EQ(pattern(td.tdr, 7), pattern(td.tdr, 7));
	TRUE(pattern(td.tdr, 7) != pattern(td.tdr, 8));
	EQ(tdx_get_config(w->m)->seed, 8);
}

/* What a call keeps is what calls of others find taken. */
TEST(calls_keep_their_locks_until_they_are_released)
{
	struct w_td td;

	sys_ready();
	td_inited(&td);
	tdx_keep(w->m, true);
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	/* the epoch, exclusive; the TDR is shared */
	STATUS(call_on(1, TDH_MEM_TRACK, td.tdr, 0, 0, 0), BUSY(TD_EPOCH));
	STATUS(call_on(1, TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), BUSY(RCX));
	tdx_release(w->m, 1);
	tdx_release(w->m, 0);
	OK(call_on(1, TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	tdx_release(w->m, 1);
	/* an error keeps what it has come to */
	STATUS(call(TDH_MEM_RANGE_BLOCK, 0x1000, td.tdr, 0, 0), TDX_EPT_WALK_FAILED | TDX_OPERAND_RCX);
	STATUS(call_on(1, TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), BUSY(RCX));
	tdx_release(w->m, 1);
	tdx_release(w->m, 0);
	tdx_release(w->m, 0);
	tdx_keep(w->m, false);
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	OK(call_on(1, TDH_MEM_TRACK, td.tdr, 0, 0, 0));
}

/* Locks that are gone when they are to be dropped */
TEST(locks_that_are_kept_may_go_with_their_td)
{
	struct w_td td;
	struct w_vcpu v;

	sys_ready();
	td_torn_down(&td, &v);
	tdx_keep(w->m, true);
	for (unsigned int i = 0; i < 3; i++)
		OK(call(TDH_PHYMEM_PAGE_RECLAIM, td.table[i], 0, 0, 0));
	for (unsigned int i = 0; i < 5; i++)
		OK(call(TDH_PHYMEM_PAGE_RECLAIM, v.tdcx[i], 0, 0, 0));
	OK(call(TDH_PHYMEM_PAGE_RECLAIM, v.tdvpr, 0, 0, 0));
	/* one keeps the TDR's lock shared, while another has it exclusive */
	STATUS(call_on(1, TDH_PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0), BUSY(RCX));
	tdx_release(w->m, 1);
	for (unsigned int i = 0; i < 6; i++)
		OK(call(TDH_PHYMEM_PAGE_RECLAIM, td.tdcs[i], 0, 0, 0));
	tdx_release(w->m, 0);
	OK(call(TDH_PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0));
	STATUS(call_on(1, TDH_PHYMEM_PAGE_RDMD, td.tdr, 0, 0, 0), BUSY(RCX));
	tdx_release(w->m, 0);
	OK(call_on(1, TDH_PHYMEM_PAGE_RDMD, td.tdr, 0, 0, 0));
}

TEST(an_injected_call_does_nothing)
{
	struct tdx_td_info info;
	struct w_td td;
	uint64_t tdr;

	w->after = NULL;	/* any status, on any leaf */
	sys_ready();
	tdr = page();
	inject(TDX_ANY_LEAF, TDX_RND_NO_ENTROPY, 0, 1, 0);
	STATUS(call(TDH_MNG_CREATE, tdr, W_KEYID, 0, 0), TDX_RND_NO_ENTROPY);
	TRUE(!tdx_td_get(w->m, tdr, &info));
	OK(call(TDH_MNG_CREATE, tdr, W_KEYID, 0, 0));
	td_inited(&td);
	tdx_inject_clear(w->m);
	inject(TDH_MEM_RANGE_BLOCK, BUSY(RCX), 0, 1, 0);
	STATUS(call(TDH_MEM_RANGE_BLOCK, 0, td.tdr, 0, 0), BUSY(RCX));
	/* outputs as of any failure */
	EQ(w->r.r[TDX_RCX], 0);
	EQ(w->r.r[TDX_RDX], 0);
	STATUS(call(TDH_MEM_RANGE_BLOCK, 3, td.tdr, 0, 0),
	       TDX_EPT_ENTRY_STATE_INCORRECT | TDX_OPERAND_RCX);
	/* what the dispatcher refuses is not a call */
	inject(TDX_ANY_LEAF, BUSY(TDR), 0, 1, 0);
	STATUS(call(5, 0, 0, 0, 0), INVALID(RAX));
	STATUS(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0), BUSY(TDR));
}

TEST(an_injected_interrupt_can_be_resumed)
{
	struct w_vcpu v;
	struct w_td td;

	sys_ready();
	inject(TDH_PHYMEM_CACHE_WB, TDX_INTERRUPTED_RESUMABLE, 0, 2, 0);
	STATUS(call(TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), TDX_NO_HKID_READY_TO_WBCACHE);
	td_blocked(&td, &v);
	STATUS(call(TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), TDX_INTERRUPTED_RESUMABLE);
	OK(call(TDH_PHYMEM_CACHE_WB, 1, 0, 0, 0));
	OK(call_on(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	OK(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0));
}

TEST(injection_into_the_guest)
{
	const struct tdx_injection injection = {
		.leaf = TDG_VP_INFO, .guest = true, .status = BUSY(RCX), .times = 1,
	};
	struct w_vcpu v;
	struct w_td td;

	sys_ready();
	td_runnable(&td, &v);
	EQ(tdx_inject(w->m, &injection), 0);
	enter(&v);
	w->r.r[TDX_RAX] = TDG_VP_INFO;
	EQ(tdx_tdcall(w->m, w->entered, 0, &w->r), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], BUSY(RCX));
	w->r.r[TDX_RAX] = TDG_VP_INFO;
	EQ(tdx_tdcall(w->m, w->entered, 0, &w->r), TDX_RESUME);
	STATUS(w->r.r[TDX_RAX], 0);
	leave_td();
}

static bool may_be_repeated(uint64_t status)
{
	return status == TDX_RND_NO_ENTROPY || status == TDX_SYS_BUSY ||
	       status >> 32 == TDX_OPERAND_BUSY >> 32;
}

/* The n-th call of a TD's life fails, for all n, and the life can go on. */
static unsigned int live_and_die(void)
{
	struct w_vcpu v = { .tdvpr = page() };
	struct w_td td = { .tdr = page() };
	unsigned int calls = 0;
	uint64_t pa[20];

#define STEP(call_) do {							\
	uint64_t status_ = call_;						\
	calls++;								\
	if (may_be_repeated(status_)) {						\
		status_ = call_;						\
		calls++;							\
	}									\
	STATUS(status_, 0);							\
} while (0)
	for (unsigned int i = 0; i < 20; i++)
		pa[i] = page();
	write_params();
	STEP(call(TDH_MNG_CREATE, td.tdr, W_KEYID, 0, 0));
	STEP(call_on(0, TDH_MNG_KEY_CONFIG, td.tdr, 0, 0, 0));
	STEP(call_on(2, TDH_MNG_KEY_CONFIG, td.tdr, 0, 0, 0));
	for (unsigned int i = 0; i < 6; i++)
		STEP(call(TDH_MNG_ADDCX, pa[i], td.tdr, 0, 0));
	STEP(call(TDH_MNG_INIT, td.tdr, W_PARAMS, 0, 0));
	STEP(call(TDH_VP_CREATE, v.tdvpr, td.tdr, 0, 0));
	for (unsigned int i = 6; i < 11; i++)
		STEP(call(TDH_VP_ADDCX, pa[i], v.tdvpr, 0, 0));
	STEP(call(TDH_VP_INIT | 1 << 16, v.tdvpr, 0, 0, 0));
	STEP(call(TDH_VP_WR, v.tdvpr, 2, 0xf2, 0xffff));
	for (unsigned int i = 0; i < 3; i++)
		STEP(call(TDH_MEM_SEPT_ADD, 3 - i, td.tdr, pa[11 + i], 0));
	STEP(call(TDH_MEM_PAGE_ADD, 0, td.tdr, pa[14], W_SOURCE));
	STEP(call(TDH_MR_EXTEND, 0, td.tdr, 0, 0));
	STEP(call(TDH_MR_FINALIZE, td.tdr, 0, 0, 0));
	STEP(call(TDH_MEM_PAGE_AUG, 0x1000, td.tdr, pa[15], 0));
	for (unsigned int i = 0; i < 2; i++) {
		STEP(call(TDH_MEM_RANGE_BLOCK, i << 12, td.tdr, 0, 0));
		STEP(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
		STEP(call(TDH_MEM_PAGE_REMOVE, i << 12, td.tdr, 0, 0));
		STEP(call(TDH_PHYMEM_PAGE_WBINVD, pa[14 + i], 0, 0, 0));
	}
	STEP(call(TDH_VP_FLUSH, v.tdvpr, 0, 0, 0));
	STEP(call(TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0));
	STEP(call_on(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	STEP(call_on(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	STEP(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0));
	for (unsigned int i = 0; i < 14; i++)
		STEP(call(TDH_PHYMEM_PAGE_RECLAIM, pa[i], 0, 0, 0));
	STEP(call(TDH_PHYMEM_PAGE_RECLAIM, v.tdvpr, 0, 0, 0));
	STEP(call(TDH_PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0));
	return calls;
}

static int count_page(void *ctx, const struct tdx_page *p)
{
	(void)p;
	++*(unsigned int *)ctx;
	return 0;
}

TEST(any_call_may_fail_once)
{
	unsigned int total, pages = 0;

	w->after = NULL;
	sys_ready();
	total = live_and_die();
	TRUE(total > 50);
	for (unsigned int n = 0; n < total; n++) {
		inject(TDX_ANY_LEAF, TDX_RND_NO_ENTROPY, n, 1, 0);
		EQ(live_and_die(), total + 1);
		tdx_inject_clear(w->m);
		EQ(tdx_for_each_page(w->m, 0, count_page, &pages), 0);
		EQ(pages, 0);
	}
}

/* The same for memory that the library needs for itself. */
TEST(any_allocation_may_fail_once)
{
	struct tdx_config cfg = w->cfg;
	unsigned int total, calls, n;
	uint64_t status;

	w->after = NULL;
	sys_inited();
	write_tdmr();
	tap_fail_allocation = 1;
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 1, W_GLOBAL_KEYID, 0), TDX_SYS_BUSY);
	OK(call(TDH_SYS_CONFIG, W_ARRAY, 1, W_GLOBAL_KEYID, 0));
	world_reset(w);
	sys_ready();
	total = live_and_die();
	for (n = 1; ; n++) {
		world_reset(w);
		sys_ready();
		tap_fail_allocation = n;
		calls = live_and_die();
		EQ(calls, total + !tap_fail_allocation);
		if (tap_fail_allocation)
			break;		/* there are not so many */
	}
	tap_fail_allocation = 0;
	TRUE(n > 4);

	struct tdx_module *m;
	const struct tdx_ops ops = {
		.read = (void *)1, .write = (void *)1, .rdmsr = (void *)1,
		.cpuid = (void *)1, .invalidate = (void *)1,
	};

	tap_fail_allocation = 1;
	status = tdx_create(&m, &cfg, &ops);
	EQ(status, (uint64_t)-ENOMEM);
	TRUE(!m);
}

TEST(locks_of_things_that_are_not_there)
{
	sys_ready();
	EQ(tdx_lock_take(w->m, TDX_LOCK_TDMR, 0x1000, 0, true), -ENOENT);
	EQ(tdx_lock_take(w->m, TDX_LOCK_PAGE, 0x800, 0, true), -ENOENT);
	EQ(tdx_lock_take(w->m, TDX_LOCK_PAGE, 1ull << 30, 0, true), -ENOENT);
	EQ(tdx_lock_take(w->m, TDX_LOCK_SEPT_TREE, W_PAGES, 0, true), -ENOENT);
	EQ(tdx_lock_take(w->m, TDX_LOCK_SEPT_ENTRY, W_PAGES, 0, true), -ENOENT);
	EQ(tdx_lock_take(w->m, TDX_LOCK_WBCACHE, 2, 0, true), -ENOENT);
	EQ(tdx_lock_drop(w->m, TDX_LOCK_SYS, 0, 0, true), -ENOENT);
	EQ(tdx_lock_take(w->m, TDX_LOCK_SYS, 0, 0, false), 0);
	EQ(tdx_lock_take(w->m, TDX_LOCK_SYS, 0, 0, false), 0);
	EQ(tdx_lock_take(w->m, TDX_LOCK_SYS, 0, 0, true), -EBUSY);
	EQ(tdx_lock_drop(w->m, TDX_LOCK_SYS, 0, 0, false), 0);
	EQ(tdx_lock_drop(w->m, TDX_LOCK_SYS, 0, 0, false), 0);
	EQ(tdx_lock_drop(w->m, TDX_LOCK_SYS, 0, 0, false), -ENOENT);
	EQ(tdx_lock_take(w->m, TDX_LOCK_SYS, 0, 0, true), 0);
	EQ(tdx_lock_take(w->m, TDX_LOCK_SYS, 0, 0, false), -EBUSY);
}

static struct tdx_record last;
static unsigned int nr_records;

static void observe(void *ctx, const struct tdx_record *record)
{
	(void)ctx;
	last = *record;
	nr_records++;
}

TEST(the_observer_sees_every_call)
{
	struct w_vcpu v;
	struct w_td td;

	w->after = NULL;	/* BUSY(TDR) is injected where it cannot be */
	sys_ready();
	nr_records = 0;
	tdx_observe(w->m, observe, NULL);
	td_runnable(&td, &v);
	TRUE(nr_records > 20);
	STATUS(call_on(1, TDH_MNG_CREATE, 8, W_KEYID + 3, 0, 0), INVALID(RCX));
	EQ(last.lp, 1);
	EQ(last.in.r[TDX_RAX], TDH_MNG_CREATE);
	EQ(last.in.r[TDX_RCX], 8);
	STATUS(last.out.r[TDX_RAX], INVALID(RCX));
	TRUE(!last.guest && !last.entered && !last.injected);
	TRUE(last.time > 1000);
	inject(TDH_MEM_TRACK, BUSY(TDR), 0, 1, 0);
	STATUS(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0), BUSY(TDR));
	TRUE(last.injected);
	enter(&v);
	TRUE(last.entered);
	w->r.r[TDX_RAX] = TDG_VP_INFO;
	EQ(tdx_tdcall(w->m, w->entered, 0, &w->r), TDX_RESUME);
	TRUE(last.guest);
	EQ(last.vcpu, v.tdvpr);
	EQ(last.in.r[TDX_RAX], TDG_VP_INFO);
	EQ(last.out.r[TDX_RCX], 48);
	leave_td();
	tdx_observe(w->m, NULL, NULL);
	nr_records = 0;
	STATUS(call(5, 0, 0, 0, 0), INVALID(RAX));
	EQ(nr_records, 0);
}

#define MAX_EVENTS 64
static struct tdx_event events[MAX_EVENTS];
static unsigned int nr_events;

static void watch(void *ctx, const struct tdx_event *event)
{
	(void)ctx;
	if (nr_events < MAX_EVENTS)
		events[nr_events] = *event;
	nr_events++;
}

static void event_is(unsigned int i, enum tdx_event_kind kind, uint64_t pa,
		     enum tdx_page_type type, uint64_t gpa, unsigned int level)
{
	TRUE(i < nr_events);
	EQ(events[i].kind, kind);
	EQ(events[i].pa, pa);
	EQ(events[i].type, type);
	EQ(events[i].gpa, gpa);
	EQ(events[i].level, level);
}

TEST(the_watcher_sees_what_becomes_of_pages)
{
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa;

	nr_events = 0;
	tdx_watch(w->m, watch, NULL);
	sys_ready();
	EQ(nr_events, 3);
	event_is(0, TDX_PAMT_DONATED, W_PAMT, TDX_PT_RSVD, 0, 0);
	EQ(events[0].size, 0x400000);
	td_created(&td);
	event_is(3, TDX_OWNED, td.tdr, TDX_PT_TDR, 0, 0);
	EQ(events[3].keyid, W_GLOBAL_KEYID);
	td_inited(&td);
	td_tables(&td);
	EQ(events[nr_events - 2].kind, TDX_OWNED);
	event_is(nr_events - 1, TDX_MAPPED, td.table[2], TDX_PT_EPT, 0, 1);
	EQ(events[nr_events - 1].keyid, td.keyid);
	nr_events = 0;
	pa = page();
	OK(call(TDH_MEM_PAGE_ADD, 0x1000, td.tdr, pa, W_SOURCE));
	EQ(nr_events, 3);
	event_is(0, TDX_OWNED, pa, TDX_PT_REG, 0x1000, 0);
	event_is(1, TDX_MAPPED, pa, TDX_PT_REG, 0x1000, 0);
	event_is(2, TDX_ACCEPTED, pa, TDX_PT_REG, 0x1000, 0);
	EQ(events[0].tdr, td.tdr);
	EQ(events[0].size, 0x1000);
	nr_events = 0;
	OK(call(TDH_MEM_RANGE_BLOCK, 0x1000, td.tdr, 0, 0));
	OK(call(TDH_MEM_RANGE_UNBLOCK, 0x1000, td.tdr, 0, 0));
	OK(call(TDH_MEM_PAGE_REMOVE, 0x1000, td.tdr, 0, 0));
	OK(call(TDH_PHYMEM_PAGE_WBINVD, pa | (uint64_t)td.keyid << W_KEYID_SHIFT, 0, 0, 0));
	EQ(nr_events, 5);
	event_is(0, TDX_BLOCKED, pa, TDX_PT_REG, 0x1000, 0);
	event_is(1, TDX_UNBLOCKED, pa, TDX_PT_REG, 0x1000, 0);
	event_is(2, TDX_UNMAPPED, pa, TDX_PT_REG, 0x1000, 0);
	event_is(3, TDX_RELEASED, pa, TDX_PT_REG, 0x1000, 0);
	event_is(4, TDX_FLUSHED, pa, 0, 0, 0);
	EQ(events[4].keyid, td.keyid);
	vcpu_inited(&td, &v);
	td_finalized(&td);
	OK(call(TDH_MEM_PAGE_AUG, 0x1000, td.tdr, pa, 0));
	nr_events = 0;
	enter(&v);
	w->r.r[TDX_RAX] = TDG_MEM_PAGE_ACCEPT;
	w->r.r[TDX_RCX] = 0x1000;
	EQ(tdx_tdcall(w->m, w->entered, 0, &w->r), TDX_RESUME);
	EQ(nr_events, 1);
	event_is(0, TDX_ACCEPTED, pa, TDX_PT_REG, 0x1000, 0);
	leave_td();
	nr_events = 0;
	OK(call(TDH_SYS_DISABLE, 0, 0, 0, 0));
	/* TDR of the first TD; TDR, TDCS, tables, TDVPS and a page of the second */
	EQ(nr_events, 1 + 1 + 6 + 3 + 6 + 1);
	for (unsigned int i = 0; i < nr_events; i++)
		EQ(events[i].kind, TDX_RELEASED);
}

static int sum_pages(void *ctx, const struct tdx_page *p)
{
	*(uint64_t *)ctx += p->level ? 512 : 1;
	return 0;
}

static int stop_at_once(void *ctx, const struct tdx_page *p)
{
	(void)ctx;
	EQ(p->type, TDX_PT_TDR);
	return 42;
}

TEST(pages_can_be_listed_by_owner)
{
	struct tdx_td_info info;
	struct w_vcpu v;
	struct w_td td, other;
	uint64_t n = 0;

	sys_ready();
	td_runnable(&td, &v);
	td_inited(&other);
	OK(call(TDH_MEM_SEPT_ADD, 1ull << 30 | 2, td.tdr, page(), 0));
	OK(call(TDH_MEM_PAGE_AUG, 1ull << 30 | 1, td.tdr, W_2M, 0));
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	EQ(tdx_for_each_page(w->m, td.tdr, sum_pages, &n), 0);
	EQ(n, info.nr_children + 1);
	EQ(tdx_for_each_page(w->m, 0, sum_pages, &n), 0);
	EQ(n, 2 * (info.nr_children + 1) + 7);
	EQ(tdx_for_each_page(w->m, other.tdr, stop_at_once, NULL), 42);
}

TEST(the_same_calls_have_the_same_results)
{
	struct tdx_record first[200];
	unsigned int n = 0;
	struct w_vcpu v;
	struct w_td td;

	for (unsigned int round = 0; round < 2; round++) {
		world_reset(w);
		tdx_observe(w->m, observe, NULL);
		sys_ready();
		td_runnable(&td, &v);
		for (unsigned int i = 0; i < 4; i++) {
			STATUS(call(TDH_MNG_RD, td.tdr, 0x8010000300000020 + i, 0, 0), 0);
			if (!round)
				first[n++] = last;
			else
				TRUE(!memcmp(&first[i].out, &last.out, sizeof(last.out)));
		}
	}
}

TEST(names)
{
	TRUE(!strcmp(tdx_leaf_name(TDH_MEM_PAGE_ADD), "TDH.MEM.PAGE.ADD"));
	TRUE(!strcmp(tdx_guest_leaf_name(TDG_MEM_PAGE_ACCEPT), "TDG.MEM.PAGE.ACCEPT"));
	TRUE(!strcmp(tdx_status_name(BUSY(SEPT_TREE)), "TDX_OPERAND_BUSY"));
	TRUE(!strcmp(tdx_operand_name(TDX_OPERAND_SEPT_TREE), "SEPT_TREE"));
	TRUE(!tdx_leaf_name(5) && !tdx_leaf_name(~0u) && !tdx_guest_leaf_name(99));
	TRUE(!tdx_status_name(0x123ull << 32) && !tdx_operand_name(50));
	EQ(tdx_get_config(w->m)->nr_lps, W_LPS);
}

TEST(names_are_found_by_name)
{
	uint64_t status;
	uint32_t number;
	bool guest;

	TRUE(tdx_leaf_by_name("TDH.MEM.PAGE.AUG", &guest, &number));
	TRUE(!guest && number == TDH_MEM_PAGE_AUG);
	TRUE(tdx_leaf_by_name("mem.page.accept", &guest, &number));
	TRUE(guest && number == TDG_MEM_PAGE_ACCEPT);
	/* of the host, if both have one of that name */
	TRUE(tdx_leaf_by_name("vp.enter", &guest, &number));
	TRUE(!guest && number == TDH_VP_ENTER);
	TRUE(!tdx_leaf_by_name("MEM.PAGE", &guest, &number));
	TRUE(tdx_status_by_name("operand_busy", &status));
	EQ(status, TDX_OPERAND_BUSY);
	TRUE(tdx_status_by_name("TDX_SUCCESS", &status));
	EQ(status, 0);
	TRUE(!tdx_status_by_name("TDX_", &status));
	TRUE(tdx_operand_by_name("SEPT_TREE", &number));
	EQ(number, TDX_OPERAND_SEPT_TREE);
	TRUE(!tdx_operand_by_name("", &number));
}

TEST(a_lenient_module_lets_the_host_do_it)
{
	struct w_vcpu v;
	struct w_td td;
	struct tdx_vcpu *runs;
	uint64_t pa;

	tdx_destroy(w->m);
	w->cfg.lenient = true;
	world_create(w);
	sys_ready();
	td_runnable(&td, &v);
	pa = page();
	OK(call(TDH_MEM_PAGE_AUG, 0, td.tdr, pa, 0));
	OK(call(TDH_MEM_PAGE_REMOVE, 0, td.tdr, 0, 0));
	EQ(w->r.r[TDX_RCX], pa);
	OK(call(TDH_MEM_PAGE_AUG, 0, td.tdr, pa, 0));
	enter(&v);
	runs = w->entered;
	OK(call(TDH_MEM_RANGE_BLOCK, 0, td.tdr, 0, 0));
	OK(call(TDH_MEM_PAGE_REMOVE, 0, td.tdr, 0, 0));
	w->entered = runs;
	leave_td();
	OK(call(TDH_VP_FLUSH, v.tdvpr, 0, 0, 0));
	OK(call(TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0));
	OK(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0));
}
