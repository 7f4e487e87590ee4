// SPDX-License-Identifier: GPL-2.0-only
/* Each rule, and that a good host breaks none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../tdx_module/test/tap.h"
#include "../symbols.h"
#include "../tdx_sanitizer.h"

static struct tdx_sanitizer *s;
static struct tdx_san_lp where;
static bool cached[W_LPS];
static unsigned int nr_fatal, nr_texts;
static char text[4096];

static void op_lp(void *ctx, unsigned int lp, struct tdx_san_lp *state)
{
	(void)ctx;
	(void)lp;
	*state = where;
}

static bool op_read(void *ctx, unsigned int lp, uint64_t va, void *buf, uint32_t len)
{
	(void)ctx;
	(void)lp;
	(void)va;
	memset(buf, 0, len);
	return false;
}

static bool op_cached(void *ctx, unsigned int lp, uint64_t pa)
{
	(void)ctx;
	(void)pa;
	return cached[lp];
}

static void op_report(void *ctx, const char *json, const char *new_text)
{
	(void)ctx;
	(void)json;
	nr_texts++;
	strncpy(text, new_text, sizeof(text) - 1);
}

static void op_fatal(void *ctx)
{
	(void)ctx;
	nr_fatal++;
}

static void on_event(void *ctx, const struct tdx_event *event)
{
	tdx_san_event(ctx, event);
}

static void on_record(void *ctx, const struct tdx_record *record)
{
	tdx_san_end(ctx, record);
}

static void before(struct world *world, unsigned int lp, const struct tdx_regs *regs)
{
	(void)world;
	tdx_san_begin(s, lp, regs);
}

static void sanitize_with(const char *vmlinux)
{
	const struct tdx_san_ops ops = {
		.lp = op_lp, .read = op_read, .cached = op_cached, .report = op_report,
		.fatal = op_fatal,
	};

	tdx_san_destroy(s);
	memset(cached, 0, sizeof(cached));
	memset(text, 0, sizeof(text));
	where = (struct tdx_san_lp) { 0xffffffff81000010, 0, 0, 5000 };
	nr_fatal = nr_texts = 0;
	EQ(tdx_san_create(&s, w->m, &ops, vmlinux), 0);
	tdx_watch(w->m, on_event, s);
	tdx_observe(w->m, on_record, s);
	w->before = before;
}

static void sanitize(void)
{
	sanitize_with(NULL);
}

static void lenient(void)
{
	tdx_destroy(w->m);
	w->cfg.lenient = true;
	world_create(w);
	sanitize();
}

/* The oldest report, which must be the only one, is of this rule. */
static void told(enum tdx_rule rule, uint64_t pa)
{
	char start[80], page[80];
	const char *json = tdx_san_take(s);

	TRUE(json);
	snprintf(start, sizeof(start), "{\"rule\":\"%s\",", tdx_rule_name(rule));
	snprintf(page, sizeof(page), "\"pa\":\"0x%llx\"", (unsigned long long)pa);
	if (strncmp(json, start, strlen(start)) || !strstr(json, page))
		printf("# %s\n", json);
	TRUE(!strncmp(json, start, strlen(start)));
	TRUE(strstr(json, page));
	json = tdx_san_take(s);
	if (json)
		printf("# one too many: %s\n", json);
	TRUE(!json);
}

static void quiet(void)
{
	const char *json = tdx_san_take(s);

	if (json)
		printf("# %s\n", json);
	TRUE(!json);
}

/* AUG of a page at GPA 0, or elsewhere. */
static uint64_t aug(const struct w_td *td, uint64_t gpa)
{
	const uint64_t pa = page();

	OK(call(TDH_MEM_PAGE_AUG, gpa, td->tdr, pa, 0));
	return pa;
}

/* A TD that can run, watched from its birth, and the address of its only page. */
static uint64_t watched_page(struct w_td *td, struct w_vcpu *v)
{
	sys_ready();
	sanitize();
	td_runnable(td, v);
	return aug(td, 0);
}

/* Another TD.  The world finds out by trying which keyids are free. */
static void other_td(struct w_td *td)
{
	td_inited(td);
	while (tdx_san_take(s))
		;
}

static void flush(uint64_t pa, uint16_t keyid)
{
	OK(call(TDH_PHYMEM_PAGE_WBINVD, pa | (uint64_t)keyid << W_KEYID_SHIFT, 0, 0, 0));
}

static void take_down(const struct w_td *td, const struct w_vcpu *v)
{
	OK(call(TDH_VP_FLUSH, v->tdvpr, 0, 0, 0));
	OK(call(TDH_MNG_VPFLUSHDONE, td->tdr, 0, 0, 0));
	OK(call_on(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	OK(call_on(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	OK(call(TDH_MNG_KEY_FREEID, td->tdr, 0, 0, 0));
}

static void reclaim(uint64_t pa)
{
	OK(call(TDH_PHYMEM_PAGE_RECLAIM, pa, 0, 0, 0));
}

static void reclaim_all(const struct w_td *td, const struct w_vcpu *v)
{
	for (unsigned int i = 0; i < 3; i++)
		reclaim(td->table[i]);
	for (unsigned int i = 0; i < 5; i++)
		reclaim(v->tdcx[i]);
	reclaim(v->tdvpr);
	for (unsigned int i = 0; i < 6; i++)
		reclaim(td->tdcs[i]);
	reclaim(td->tdr);
	flush(td->tdr, W_GLOBAL_KEYID);
}

static void remove_well(const struct w_td *td, uint64_t gpa, uint64_t pa)
{
	OK(call(TDH_MEM_RANGE_BLOCK, gpa, td->tdr, 0, 0));
	OK(call(TDH_MEM_TRACK, td->tdr, 0, 0, 0));
	OK(call(TDH_MEM_PAGE_REMOVE, gpa, td->tdr, 0, 0));
	flush(pa, td->keyid);
}

TEST(a_good_host_breaks_no_rule)
{
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa;

	sanitize();
	for (unsigned int i = 0; i < 3; i++) {
		if (!i)
			sys_ready();
		td_runnable(&td, &v);
		pa = aug(&td, 0);
		enter(&v);
		leave_td();
		tdx_san_exit(s, 0);
		remove_well(&td, 0, pa);
		tdx_san_access(s, 0, TDX_SAN_WRITE, pa, 8);
		OK(call(TDH_MEM_PAGE_AUG, 0, td.tdr, pa, 0));
		remove_well(&td, 0, pa);
		take_down(&td, &v);
		reclaim_all(&td, &v);
		tdx_san_access(s, 0, TDX_SAN_WRITE, td.tdr, 8);
		EQ(tdx_san_idle(s), 0);
	}
	quiet();
	EQ(tdx_san_count(s), 0);
}

TEST(the_host_touches_a_page_of_a_td)
{
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa;

	pa = watched_page(&td, &v);
	TRUE(tdx_san_guards(s, pa));
	TRUE(!tdx_san_guards(s, pa + 0x1000));
	tdx_san_access(s, 1, TDX_SAN_READ, pa, 8);
	told(TDX_RULE_HOST_READ, pa);
	TRUE(strstr(text, "private page of TD"));
	TRUE(strstr(text, "at GPA 0x0, level 0"));
	TRUE(strstr(text, "TDH.MEM.PAGE.AUG"));
	TRUE(strstr(text, "logical processor 1"));
	/* once is enough */
	tdx_san_access(s, 1, TDX_SAN_READ, pa + 8, 8);
	quiet();
	tdx_san_access(s, 1, TDX_SAN_WRITE, pa, 8);
	told(TDX_RULE_HOST_WRITE, pa);
	tdx_san_access(s, 1, TDX_SAN_FETCH, pa, 0);
	told(TDX_RULE_HOST_FETCH, pa);
	tdx_san_access(s, TDX_NO_LP, TDX_SAN_DMA_WRITE, pa + 0x10, 8);
	told(TDX_RULE_DMA, pa + 0x10);
	tdx_san_access(s, 1, TDX_SAN_READ, v.tdcx[0], 8);
	told(TDX_RULE_HOST_READ, v.tdcx[0]);
	tdx_san_access(s, 1, TDX_SAN_READ, pa + 0x1000, 8);
	quiet();
	/* a new life, a new report */
	remove_well(&td, 0, pa);
	OK(call(TDH_MEM_PAGE_AUG, 0, td.tdr, pa, 0));
	tdx_san_access(s, 1, TDX_SAN_READ, pa, 8);
	told(TDX_RULE_HOST_READ, pa);
}

TEST(the_host_touches_a_pamt)
{
	sanitize();
	sys_ready();
	TRUE(tdx_san_guards(s, W_PAMT + 0x402010));
	tdx_san_access(s, 0, TDX_SAN_WRITE, W_PAMT + 0x402010, 8);
	told(TDX_RULE_HOST_WRITE, W_PAMT + 0x402010);
	tdx_san_access(s, 0, TDX_SAN_WRITE, W_PAMT + 0x402018, 8);
	quiet();
	OK(call(TDH_SYS_DISABLE, 0, 0, 0, 0));
	TRUE(!tdx_san_guards(s, W_PAMT + 0x402010));
}

TEST(modes)
{
	struct w_td td;

	sys_ready();
	sanitize();
	td_created(&td);
	tdx_san_set_mode(s, TDX_SAN_OFF);
	tdx_san_access(s, 0, TDX_SAN_READ, td.tdr, 8);
	EQ(tdx_san_idle(s), 1);
	quiet();
	tdx_san_set_mode(s, TDX_SAN_FATAL);
	EQ(nr_fatal, 0);
	tdx_san_access(s, 0, TDX_SAN_READ, td.tdr, 8);
	EQ(nr_fatal, 1);
	EQ(nr_texts, 1);
	told(TDX_RULE_HOST_READ, td.tdr);
	EQ(tdx_san_get_mode(s), TDX_SAN_FATAL);
}

TEST(a_page_is_added_twice)
{
	struct w_td td, other;
	struct w_vcpu v;
	uint64_t pa, second;

	pa = watched_page(&td, &v);
	STATUS(call(TDH_MEM_PAGE_AUG, 0x1000, td.tdr, pa, 0), METADATA(R8));
	told(TDX_RULE_DOUBLE_ADD, pa);
	TRUE(strstr(text, "TDX_PAGE_METADATA_INCORRECT"));
	other_td(&other);
	STATUS(call(TDH_MEM_SEPT_ADD, 3, other.tdr, td.table[0], 0), METADATA(R8));
	told(TDX_RULE_DOUBLE_ADD, td.table[0]);
	STATUS(call(TDH_VP_CREATE, td.tdcs[1], other.tdr, 0, 0), METADATA(RCX));
	told(TDX_RULE_DOUBLE_ADD, td.tdcs[1]);
	/* not a page of a TD: an ordinary error */
	STATUS(call(TDH_VP_CREATE, W_PAMT, other.tdr, 0, 0), METADATA(RCX));
	quiet();
	pa = aug(&td, 0x2000);
	second = page();
	STATUS(call(TDH_MEM_PAGE_AUG, 0x2000, td.tdr, second, 0),
	       TDX_EPT_ENTRY_STATE_INCORRECT | TDX_OPERAND_RCX);
	told(TDX_RULE_DOUBLE_ADD, pa);
}

TEST(a_page_is_removed_too_early)
{
	struct tdx_vcpu *runs;
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa;

	pa = watched_page(&td, &v);
	STATUS(call(TDH_MEM_PAGE_REMOVE, 0, td.tdr, 0, 0),
	       TDX_GPA_RANGE_NOT_BLOCKED | TDX_OPERAND_RCX);
	told(TDX_RULE_UNTRACKED, pa);
	remove_well(&td, 0, pa);
	OK(call(TDH_MEM_PAGE_AUG, 0, td.tdr, pa, 0));
	enter(&v);
	runs = w->entered;
	OK(call_on(1, TDH_MEM_RANGE_BLOCK, 0, td.tdr, 0, 0));
	OK(call_on(1, TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	STATUS(call_on(1, TDH_MEM_PAGE_REMOVE, 0, td.tdr, 0, 0),
	       TDX_TLB_TRACKING_NOT_DONE | TDX_OPERAND_RCX);
	told(TDX_RULE_UNTRACKED, pa);
	w->entered = runs;
	leave_td();
	tdx_san_exit(s, 0);
	OK(call_on(1, TDH_MEM_PAGE_REMOVE, 0, td.tdr, 0, 0));
	quiet();
}

TEST(a_lenient_module_does_not_hide_it)
{
	struct tdx_vcpu *runs;
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa;

	lenient();
	sys_ready();
	td_runnable(&td, &v);
	pa = aug(&td, 0);
	OK(call(TDH_MEM_PAGE_REMOVE, 0, td.tdr, 0, 0));
	told(TDX_RULE_UNTRACKED, pa);
	flush(pa, td.keyid);
	/* blocked, and a vCPU still runs in that epoch */
	OK(call(TDH_MEM_PAGE_AUG, 0, td.tdr, pa, 0));
	enter(&v);
	runs = w->entered;
	OK(call_on(1, TDH_MEM_RANGE_BLOCK, 0, td.tdr, 0, 0));
	OK(call_on(1, TDH_MEM_PAGE_REMOVE, 0, td.tdr, 0, 0));
	told(TDX_RULE_UNTRACKED, pa);
	flush(pa, td.keyid);
	w->entered = runs;
	leave_td();
	tdx_san_exit(s, 0);
	/* a new epoch, and nobody in the old one */
	OK(call(TDH_MEM_PAGE_AUG, 0, td.tdr, pa, 0));
	remove_well(&td, 0, pa);
	quiet();
}

TEST(a_tlb_keeps_a_removed_page)
{
	struct tdx_vcpu *runs;
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa;

	lenient();
	sys_ready();
	td_runnable(&td, &v);
	pa = aug(&td, 0);
	enter(&v);
	runs = w->entered;
	OK(call_on(1, TDH_MEM_RANGE_BLOCK, 0, td.tdr, 0, 0));
	OK(call_on(1, TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	cached[0] = true;
	cached[1] = true;	/* in no TD, so it does not count */
	OK(call_on(1, TDH_MEM_PAGE_REMOVE, 0, td.tdr, 0, 0));
	TRUE(strstr(tdx_san_take(s), "untracked-remove"));
	told(TDX_RULE_STALE_TLB, pa);
	tdx_san_td_access(s, 1, pa);
	tdx_san_td_access(s, 0, pa + 0x1000);
	quiet();
	tdx_san_td_access(s, 0, pa);
	told(TDX_RULE_STALE_TLB, pa);
	TRUE(strstr(text, "through its TLB"));
	tdx_san_td_access(s, 0, pa);
	quiet();
	w->entered = runs;
	leave_td();
}

TEST(an_exit_empties_the_tlb)
{
	struct tdx_vcpu *runs;
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa;

	lenient();
	sys_ready();
	td_runnable(&td, &v);
	pa = aug(&td, 0);
	enter(&v);
	runs = w->entered;
	cached[0] = true;
	OK(call_on(1, TDH_MEM_PAGE_REMOVE, 0, td.tdr, 0, 0));
	while (tdx_san_take(s))
		;
	w->entered = runs;
	leave_td();
	tdx_san_exit(s, 0);
	tdx_san_td_access(s, 0, pa);
	quiet();
	pa = aug(&td, 0x1000);
	remove_well(&td, 0x1000, pa);
	quiet();
}

TEST(a_page_is_used_before_its_lines_are_flushed)
{
	struct w_td td, other;
	struct w_vcpu v;
	uint64_t pa;

	sys_ready();
	sanitize();
	other_td(&other);
	td_runnable(&td, &v);
	while (tdx_san_take(s))
		;
	pa = aug(&td, 0);
	OK(call(TDH_MEM_RANGE_BLOCK, 0, td.tdr, 0, 0));
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	OK(call(TDH_MEM_PAGE_REMOVE, 0, td.tdr, 0, 0));
	flush(pa, other.keyid);		/* the wrong one */
	TRUE(tdx_san_guards(s, pa));
	tdx_san_access(s, 0, TDX_SAN_WRITE, pa, 8);
	told(TDX_RULE_UNFLUSHED, pa);
	tdx_san_access(s, 0, TDX_SAN_WRITE, pa + 8, 8);
	quiet();
	OK(call(TDH_MEM_SEPT_ADD, 3, other.tdr, pa, 0));
	quiet();	/* told already */
}

TEST(the_tdr_has_lines_of_the_global_keyid)
{
	struct w_vcpu v;
	struct w_td td;

	sys_ready();
	sanitize();
	td_runnable(&td, &v);
	take_down(&td, &v);
	for (unsigned int i = 0; i < 3; i++)
		reclaim(td.table[i]);
	for (unsigned int i = 0; i < 5; i++)
		reclaim(v.tdcx[i]);
	reclaim(v.tdvpr);
	for (unsigned int i = 0; i < 6; i++)
		reclaim(td.tdcs[i]);
	reclaim(td.tdr);
	TRUE(!tdx_san_guards(s, v.tdvpr));
	TRUE(tdx_san_guards(s, td.tdr));
	flush(td.tdr, td.keyid);
	TRUE(tdx_san_guards(s, td.tdr));
	OK(call(TDH_MNG_CREATE, td.tdr, td.keyid, 0, 0));
	told(TDX_RULE_UNFLUSHED, td.tdr);
}

TEST(a_keyid_is_used_too_early)
{
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa = page();

	sys_ready();
	sanitize();
	td_blocked(&td, &v);
	STATUS(call(TDH_MNG_CREATE, pa, td.keyid, 0, 0), TDX_HKID_NOT_FREE);
	told(TDX_RULE_KEYID, pa);
	OK(call_on(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	STATUS(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0), TDX_WBCACHE_NOT_COMPLETE);
	told(TDX_RULE_KEYID, td.tdr);
	OK(call_on(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	OK(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0));
	OK(call(TDH_MNG_CREATE, pa, td.keyid, 0, 0));
	quiet();
}

TEST(a_lenient_module_frees_a_keyid_too_early)
{
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa = page();

	lenient();
	sys_ready();
	td_blocked(&td, &v);
	OK(call_on(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	OK(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0));
	told(TDX_RULE_KEYID, td.tdr);
	OK(call(TDH_MNG_CREATE, pa, td.keyid, 0, 0));
	told(TDX_RULE_KEYID, pa);
}

TEST(a_page_is_reclaimed_too_early)
{
	struct w_vcpu v;
	struct w_td td;

	sys_ready();
	sanitize();
	td_runnable(&td, &v);
	STATUS(call(TDH_PHYMEM_PAGE_RECLAIM, td.table[2], 0, 0, 0),
	       TDX_LIFECYCLE_STATE_INCORRECT);
	told(TDX_RULE_EARLY_RECLAIM, td.table[2]);
}

TEST(a_td_ends_with_pages)
{
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa;

	pa = watched_page(&td, &v);
	take_down(&td, &v);
	told(TDX_RULE_LEAK, pa);
	for (unsigned int i = 0; i < 3; i++)
		reclaim(td.table[i]);
	reclaim(pa);
	for (unsigned int i = 0; i < 5; i++)
		reclaim(v.tdcx[i]);
	reclaim(v.tdvpr);
	for (unsigned int i = 0; i < 5; i++)
		reclaim(td.tdcs[i]);
	STATUS(call(TDH_PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0), TDX_TD_ASSOCIATED_PAGES_EXIST);
	told(TDX_RULE_LEAK, td.tdcs[5]);
	EQ(tdx_san_idle(s), 1);
	quiet();	/* told just now */
	reclaim(td.tdcs[5]);
	reclaim(td.tdr);
	EQ(tdx_san_idle(s), 0);
	quiet();
}

/* No page of it can be removed. */
TEST(a_td_with_a_memory_error_keeps_its_pages_until_its_keyid_is_gone)
{
	const struct tdx_exit mc = { .intr_info = 0x80000312 };
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa;

	pa = watched_page(&td, &v);
	enter(&v);
	EQ(tdx_td_exit(w->m, w->entered, &mc, &w->r), TDX_EXIT_FAULT);
	STATUS(call(TDH_MEM_RANGE_BLOCK, 0, td.tdr, 0, 0), TDX_TD_FATAL);
	take_down(&td, &v);
	reclaim(pa);
	reclaim_all(&td, &v);
	EQ(tdx_san_idle(s), 0);
	quiet();
}

TEST(a_td_outlives_its_vm)
{
	struct w_td td;

	sys_ready();
	sanitize();
	td_created(&td);
	EQ(tdx_san_idle(s), 1);
	told(TDX_RULE_LEAK, td.tdr);
	EQ(tdx_san_idle(s), 1);
	quiet();
}

TEST(an_injected_failure_is_no_bug)
{
	struct tdx_injection injection = { .leaf = TDH_MEM_PAGE_AUG, .times = 1,
		.status = TDX_PAGE_METADATA_INCORRECT | TDX_OPERAND_R8 };
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa;

	pa = watched_page(&td, &v);
	EQ(tdx_inject(w->m, &injection), 0);
	STATUS(call(TDH_MEM_PAGE_AUG, 0x1000, td.tdr, pa, 0), METADATA(R8));
	quiet();
	tdx_san_access(s, 0, TDX_SAN_READ, pa, 8);
	TRUE(strstr(text, "TDX_PAGE_METADATA_INCORRECT|R8 (injected)"));
}

TEST(an_injected_success_is_none)
{
	struct tdx_injection injection = { .leaf = TDH_MNG_VPFLUSHDONE, .times = 1,
		.status = TDX_NO_HKID_READY_TO_WBCACHE };
	struct w_vcpu v, other_v;
	struct w_td td, other;

	lenient();
	sys_ready();
	td_runnable(&td, &v);
	OK(call(TDH_VP_FLUSH, v.tdvpr, 0, 0, 0));
	EQ(tdx_inject(w->m, &injection), 0);
	STATUS(call(TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), TDX_NO_HKID_READY_TO_WBCACHE);
	/* so what is written back now is another's */
	td_blocked(&other, &other_v);
	told(TDX_RULE_KEYID, other.tdr);	/* it has asked for the same one first */
	OK(call_on(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	OK(call_on(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	OK(call(TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0));
	OK(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0));
	told(TDX_RULE_KEYID, td.tdr);
}

TEST(it_can_look_on_from_the_middle)
{
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa;

	sys_ready();
	td_runnable(&td, &v);
	pa = aug(&td, 0);
	OK(call(TDH_MEM_RANGE_BLOCK, 0, td.tdr, 0, 0));
	sanitize();
	TRUE(tdx_san_guards(s, pa));
	TRUE(tdx_san_guards(s, td.tdr));
	tdx_san_access(s, 0, TDX_SAN_READ, v.tdvpr, 8);
	told(TDX_RULE_HOST_READ, v.tdvpr);
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	OK(call(TDH_MEM_PAGE_REMOVE, 0, td.tdr, 0, 0));
	flush(pa, td.keyid);
	take_down(&td, &v);
	reclaim_all(&td, &v);
	EQ(tdx_san_idle(s), 0);
	quiet();
}

TEST(keyids_that_were_given_up_before_are_not_in_use)
{
	struct w_td ended, later, ending;
	struct w_vcpu v;

	lenient();
	sys_ready();
	td_torn_down(&ended, &v);
	td_created(&later);
	EQ(later.keyid, ended.keyid);
	td_blocked(&ending, &v);
	OK(call_on(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	sanitize();
	quiet();
	OK(call_on(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	OK(call(TDH_MNG_KEY_FREEID, ending.tdr, 0, 0, 0));
	OK(call(TDH_MNG_CREATE, page(), ending.keyid, 0, 0));
	quiet();
	/* But this one is. */
	OK(call(TDH_MNG_VPFLUSHDONE, later.tdr, 0, 0, 0));
	OK(call(TDH_MNG_KEY_FREEID, later.tdr, 0, 0, 0));
	told(TDX_RULE_KEYID, later.tdr);
}

TEST(more_reports_than_are_kept)
{
	struct w_vcpu v;
	struct w_td td;
	unsigned int kept = 0;
	uint64_t pa;

	sys_ready();
	sanitize();
	td_runnable(&td, &v);
	for (unsigned int i = 0; i < 100; i++) {
		pa = aug(&td, i * 0x1000);
		where.rip = 0xffffffff81000000 + i;
		tdx_san_access(s, 0, TDX_SAN_READ, pa, 8);
	}
	EQ(tdx_san_count(s), 100);
	EQ(nr_texts, 100);
	while (tdx_san_take(s))
		kept++;
	EQ(kept, 64);
}

TEST(a_loop_is_reported_by_its_first_pages)
{
	struct w_vcpu v;
	struct w_td td;
	unsigned int nr = 0;

	sys_ready();
	sanitize();
	td_runnable(&td, &v);
	for (unsigned int i = 0; i < 100; i++)
		tdx_san_access(s, 0, TDX_SAN_READ, aug(&td, i * 0x1000), 8);
	tdx_san_access(s, 0, TDX_SAN_WRITE, td.tdr, 8);
	EQ(tdx_san_count(s), 101);
	while (tdx_san_take(s))
		nr++;
	EQ(nr, 5);
	EQ(nr_texts, 5);
	/* the next one who looks gets as much */
	tdx_san_access(s, 0, TDX_SAN_READ, td.tdr, 8);
	told(TDX_RULE_HOST_READ, td.tdr);
}

TEST(memory_runs_out)
{
	struct w_vcpu v;
	struct w_td td;

	/* It may forget, but not fail; what is forgotten is not reported. */
	for (unsigned long n = 1; n < 20; n++) {
		world_reset(w);
		sanitize();
		sys_ready();
		td_runnable(&td, &v);
		tap_fail_allocation = n;
		call(TDH_MEM_PAGE_AUG, 0x1000, td.tdr, W_2M, 0);
		call(TDH_MNG_CREATE, W_2M + 0x1000, 35, 0, 0);
		call(TDH_MEM_PAGE_REMOVE, 0x1000, td.tdr, 0, 0);
		tap_fail_allocation = 0;
		tdx_san_access(s, 0, TDX_SAN_READ, W_2M, 8);
		tdx_san_idle(s);
	}
}

/* A name of the kernel's, for a stack that frees a page. */
__attribute__((noinline)) void free_unref_folios(void);
void free_unref_folios(void)
{
	__asm__ volatile(".skip 64, 0x90");
}

TEST(the_kernel_frees_a_page_of_a_td)
{
	struct w_td td;

	sys_ready();
	sanitize_with("/proc/self/exe");
	td_created(&td);
	where.rip = (uint64_t)(uintptr_t)free_unref_folios + 8;
	tdx_san_access(s, 0, TDX_SAN_WRITE, td.tdr, 8);
	told(TDX_RULE_FREED, td.tdr);
	TRUE(strstr(text, "free_unref_folios+0x8/0x"));
	tdx_san_access(s, 0, TDX_SAN_WRITE, td.tdr + 8, 8);
	quiet();
	EQ(tdx_san_create(&(struct tdx_sanitizer *) { NULL }, w->m, &(struct tdx_san_ops) { 0 },
			  "/dev/null"), (uint64_t)-8 /* ENOEXEC */);
}
