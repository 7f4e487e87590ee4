// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls leaves at random, and checks after each call what must always hold:
 *
 *  - a page has one owner at most, and events, queries and page counts agree;
 *  - no Secure EPT entry of a TD points to a page that is not that TD's, no two
 *    entries to the same page, and each page that is mapped has its entry;
 *  - no LP that runs a TD can have a translation of a page that was removed;
 *  - epochs never go back, and count those who run;
 *  - a keyid has one TD at most; a TD that is gone owns nothing, and nobody has
 *    translations of it;
 *  - a leaf returns no status that it cannot, and no register changes unbidden.
 *
 * Input bytes choose leaves and operands out of small pools, so that most calls
 * are plausible and meet one another; one operand in 16 is wild.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "world.h"

#define NR_TDS		3
#define NR_PAGES	96	/* 4K pages to donate */
#define NR_ALL_PAGES	(W_RAM >> 12)	/* a wild operand finds them all */
#define NR_GPAS		12
#define MAX_CALLS	1000
#define NO_RBP_MOD	4	/* in CONFIG_FLAGS */

static unsigned long long nr_calls;

static struct {
	const uint8_t *data;
	size_t size;
} input;

/* What events say of each page. */
static struct owner {
	uint64_t tdr;
	enum tdx_page_type type;
	bool mapped;
} owners[NR_ALL_PAGES];

/* TDs by their TDR, as the fuzzer follows them. */
static struct shadow {
	uint64_t tdr;
	uint64_t epoch;
	uint64_t nr_pages;
	unsigned int nr_tdcs;
	uint64_t root;
	uint32_t cached[W_LPS];		/* GPAs that the LP's TLB may hold */
	uint32_t gone[W_LPS];		/* those of them that were removed since */
} shadows[NR_TDS];

static bool pages_changed;	/* since the last check */

static struct {
	struct tdx_vcpu *vcpu;
	struct tdx_regs regs;
	struct shadow *td;
	uint64_t host_rsp, host_rbp;
} running[W_LPS];

static const uint64_t gpas[NR_GPAS] = {
	0, 0x1000, 0x2000, 0x1ff000, 1ull << 21, (1ull << 21) + 0x3000, 1ull << 22,
	1ull << 30, (1ull << 30) + 0x1000, 1ull << 39, (1ull << 47) - 0x1000, 0xfffff000,
};

static void report(void)
{
	fprintf(stderr, "calls of the module: %llu\n", nr_calls);
}

/* Also now and then, since libFuzzer may be interrupted. */
static void count_call(void)
{
	if (!(++nr_calls % 1000000))
		report();
}

#define DIE(...) do {								\
	fprintf(stderr, "fuzz.c:%d: ", __LINE__);				\
	fprintf(stderr, __VA_ARGS__);						\
	fprintf(stderr, "\n");							\
	abort();								\
} while (0)

static uint8_t byte(void)
{
	if (!input.size)
		return 0;
	input.size--;
	return *input.data++;
}

static uint64_t word(void)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < 8; i++)
		v = v << 8 | byte();
	return v;
}

#define FIRST_PAGE	(W_PAGES >> 12)

static uint64_t page_pa(unsigned int i)
{
	return (uint64_t)i << 12;
}

/* Write as the host VMM, which takes care not to touch a TD's memory. */
static bool host_owns(uint64_t pa)
{
	return !owners[pa >> 12].tdr;
}

static struct shadow *find_shadow(uint64_t tdr)
{
	for (unsigned int i = 0; i < NR_TDS; i++)
		if (shadows[i].tdr == tdr)
			return &shadows[i];
	return NULL;
}

/* ---- events ---- */

static void forget_gpa(struct shadow *td, const struct tdx_event *e)
{
	uint32_t gone = 0;

	if (!td)
		return;
	/* a table takes all with it that it could map */
	for (unsigned int i = 0; i < NR_GPAS; i++)
		if (gpas[i] >= e->gpa && gpas[i] - e->gpa < 1ull << (12 + 9 * e->level))
			gone |= 1u << i;
	for (unsigned int lp = 0; lp < W_LPS; lp++) {
		if (running[lp].td == td && td->cached[lp] & gone)
			DIE("GPA %#llx was removed while LP %u may have it cached",
			    (unsigned long long)e->gpa, lp);
		td->gone[lp] |= td->cached[lp] & gone;
	}
}

static bool has_sept(uint64_t tdr)
{
	struct tdx_td_info info;

	return tdx_td_get(w->m, tdr, &info) && info.lifecycle <= 1 && info.op_state;
}

/* These end all TDs at once, with what they have. */
static bool ends_all(void)
{
	return w->r.r[TDX_RAX] == TDH_SYS_DISABLE || w->r.r[TDX_RAX] == TDH_SYS_CONFIG;
}

static void on_event(void *ctx, const struct tdx_event *e)
{
	const unsigned int first = e->pa >> 12, nr = e->size >> 12;
	struct shadow *td;

	(void)ctx;
	pages_changed = true;
	if (e->kind == TDX_PAMT_DONATED || e->kind == TDX_FLUSHED)
		return;
	if (e->pa >= W_RAM || e->pa < W_ARRAY)
		DIE("there is no page to donate at %#llx", (unsigned long long)e->pa);
	if (nr != 1 && (nr != 512 || e->pa & 0x1fffff))
		DIE("a page of %u pages at %#llx", nr, (unsigned long long)e->pa);
	for (unsigned int i = first; i < first + nr; i++) {
		struct owner *o = &owners[i];

		if (e->kind == TDX_OWNED) {
			if (o->tdr)
				DIE("page %#llx has two owners", (unsigned long long)page_pa(i));
			*o = (struct owner) { .tdr = e->tdr, .type = e->type };
			continue;
		}
		if (o->tdr != e->tdr || o->type != e->type)
			DIE("event %u about a page of somebody else", e->kind);
		if (e->kind == TDX_RELEASED) {
			if (o->mapped && !ends_all() && has_sept(e->tdr))
				DIE("page %#llx is released while an S-EPT entry maps it",
				    (unsigned long long)page_pa(i));
			*o = (struct owner) { 0 };
		} else if (e->kind == TDX_MAPPED || e->kind == TDX_UNMAPPED) {
			if (o->mapped == (e->kind == TDX_MAPPED))
				DIE("page %#llx mapped twice or never",
				    (unsigned long long)page_pa(i));
			o->mapped = !o->mapped;
		} else if (!o->mapped) {
			DIE("event %u about a page that is not mapped", e->kind);
		}
	}
	if (e->kind == TDX_UNMAPPED)
		forget_gpa(find_shadow(e->tdr), e);
	if (e->kind == TDX_OWNED && e->type == TDX_PT_TDR) {
		td = find_shadow(0);
		if (td)
			*td = (struct shadow) { .tdr = e->tdr };
	}
	td = find_shadow(e->tdr);
	if (td && e->kind == TDX_OWNED)
		td->nr_pages += nr;
	if (td && e->kind == TDX_RELEASED)
		td->nr_pages -= nr;
	if (e->kind == TDX_RELEASED && e->type == TDX_PT_TDR) {
		for (unsigned int i = 0; i < NR_ALL_PAGES; i++)
			if (owners[i].tdr == e->tdr && !ends_all())
				DIE("a TD is gone but owns %#llx",
				    (unsigned long long)page_pa(i));
		if (td)
			*td = (struct shadow) { 0 };
	}
}

static void on_invalidate(void *ctx, unsigned int lp, uint64_t tdr)
{
	struct shadow *td = find_shadow(tdr);

	(void)ctx;
	if (td)
		td->cached[lp] = td->gone[lp] = 0;
}

/* ---- invariants ---- */

static uint64_t seen_pages[64];
static unsigned int nr_seen;

/*
 * Walk the Secure EPT as the CPU would, in memory.
 *
 * Return: whether the TD can access @gpa.
 */
static bool walk(const struct shadow *td, uint64_t gpa, bool all)
{
	uint64_t table = td->root, entry;

	for (int level = 3; level >= 0; level--) {
		const uint64_t at = table + (gpa >> (12 + 9 * level) & 511) * 8;
		struct tdx_page page;
		bool leaf;

		entry = rd64(at);
		leaf = entry & 0x80;
		if ((entry & 0x01e0000000000000) == 0x00e0000000000000)
			return false;	/* FREE */
		table = entry & 0xffffffffff000;
		if (!tdx_page_owner(w->m, table, &page) || page.type == TDX_PT_NDA)
			DIE("an S-EPT entry maps %#llx, which is free",
			    (unsigned long long)table);
		if (page.tdr != td->tdr || page.type != (leaf ? TDX_PT_REG : TDX_PT_EPT))
			DIE("an S-EPT entry maps %#llx of another TD or type",
			    (unsigned long long)table);
		if (page.gpa >> (12 + 9 * level) != gpa >> (12 + 9 * level) ||
		    page.ept_level != (unsigned int)level || (leaf && page.level != page.ept_level))
			DIE("page %#llx is mapped where it does not belong",
			    (unsigned long long)table);
		if (all) {
			bool known = false;

			for (unsigned int i = 0; i < nr_seen; i += 2)
				if (seen_pages[i] == table) {
					known = true;
					if (seen_pages[i + 1] != at)
						DIE("page %#llx is mapped twice",
						    (unsigned long long)table);
				}
			if (!known && nr_seen + 2 <= 64) {
				seen_pages[nr_seen++] = table;
				seen_pages[nr_seen++] = at;
			}
		}
		if (!(entry & 7))
			return false;
		if (leaf)
			return true;
	}
	DIE("an S-EPT entry of level 0 is a table");
}

static void check_td(struct shadow *td)
{
	struct tdx_td_info info;

	if (!tdx_td_get(w->m, td->tdr, &info))
		DIE("TD %#llx is gone", (unsigned long long)td->tdr);
	if (td->nr_pages != info.nr_children + 1)
		DIE("a TD owns %llu pages but counts %llu", (unsigned long long)td->nr_pages,
		    (unsigned long long)info.nr_children + 1);
	if (info.epoch < td->epoch || info.epoch > td->epoch + 1)
		DIE("an epoch went from %llu to %llu", (unsigned long long)td->epoch,
		    (unsigned long long)info.epoch);
	td->epoch = info.epoch;
	if (info.refs[0] + info.refs[1] != info.nr_running &&
	    (!info.fatal || info.refs[0] + info.refs[1] < info.nr_running))
		DIE("%u vCPUs run but %u are counted", info.nr_running,
		    info.refs[0] + info.refs[1]);
	if (info.nr_associated < info.nr_running || info.nr_associated > info.nr_vcpus)
		DIE("%u vCPUs are associated", info.nr_associated);
	if (info.lifecycle > 1 && info.nr_associated)
		DIE("a TD without keyid has vCPUs that are associated");
	for (unsigned int i = 0; i < NR_TDS; i++) {
		struct tdx_td_info other;

		if (info.lifecycle < 3 && shadows[i].tdr && shadows[i].tdr != td->tdr &&
		    tdx_td_get(w->m, shadows[i].tdr, &other) && other.lifecycle < 3 &&
		    other.keyid == info.keyid)
			DIE("two TDs have keyid %u", info.keyid);
	}
	for (unsigned int lp = 0; info.lifecycle > 1 && lp < W_LPS; lp++)
		if (td->cached[lp])
			DIE("LP %u may have translations of a TD that has lost its keyid", lp);
	nr_seen = 0;
	if (pages_changed && has_sept(td->tdr))
		for (unsigned int i = 0; i < NR_GPAS; i++)
			walk(td, gpas[i], true);
}

/* One of all pages per call, and all at the end. */
static void check_page(unsigned int i)
{
	const bool inited = tdx_page_owner(w->m, page_pa(i), &(struct tdx_page) { 0 });
	struct tdx_page page;

	if (!inited) {
		if (owners[i].tdr)
			DIE("page %#llx has an owner but no TDMR", (unsigned long long)page_pa(i));
		return;
	}
	tdx_page_owner(w->m, page_pa(i), &page);
	if (page.tdr != owners[i].tdr || (page.tdr && page.type != owners[i].type))
		DIE("page %#llx is of type %u, events say %u", (unsigned long long)page_pa(i),
		    page.type, owners[i].type);
}

/* A page that is mapped is what the entry for its GPA points to. */
static void check_mapping(unsigned int i)
{
	const struct shadow *td = owners[i].tdr ? find_shadow(owners[i].tdr) : NULL;
	struct tdx_page page;
	uint64_t table, entry;

	if (!owners[i].mapped || !td || !has_sept(td->tdr))
		return;
	tdx_page_owner(w->m, page_pa(i), &page);
	table = td->root;
	for (unsigned int level = 3;; level--) {
		entry = rd64(table + (page.gpa >> (12 + 9 * level) & 511) * 8);
		table = entry & 0xffffffffff000;
		if (level == page.ept_level)
			break;
		if (!table || entry & 0x80)
			DIE("page %#llx is mapped where there is no table",
			    (unsigned long long)page.pa);
	}
	if (table != page.pa)
		DIE("page %#llx is mapped, but the entry points to %#llx",
		    (unsigned long long)page.pa, (unsigned long long)table);
}

static void check_all(void)
{
	static unsigned int next;

	/* entries change with events, or else it is a bug, and seen a bit later */
	pages_changed |= !(nr_calls & 31);
	for (unsigned int i = 0; i < NR_TDS; i++)
		if (shadows[i].tdr)
			check_td(&shadows[i]);
	pages_changed = false;
	next = (next + 1) % NR_PAGES;
	check_page(FIRST_PAGE + next);
	check_mapping(FIRST_PAGE + next);
}

/* While a vCPU runs, it fills its TLB with all that it can reach. */
static void touch(unsigned int lp)
{
	struct shadow *td = running[lp].td;

	if (!td || !has_sept(td->tdr))
		return;
	for (unsigned int i = 0; i < NR_GPAS; i++)
		if (walk(td, gpas[i], false))
			td->cached[lp] |= 1u << i;
}

/* ---- calls ---- */

static void check_regs(unsigned int leaf, const struct tdx_regs *before)
{
	const uint64_t status = w->r.r[TDX_RAX];

	if (!codes_known(leaf, status))
		DIE("%s must not return %s (%#llx)",
		    tdx_leaf_name(leaf) ? tdx_leaf_name(leaf) : "an unknown leaf",
		    tdx_status_name(status) ? tdx_status_name(status) : "?",
		    (unsigned long long)status);
	if (leaf == TDH_VP_ENTER && status == 48)
		return;
	for (unsigned int r = TDX_RAX + 1; r < TDX_NR_REGS; r++)
		if (!(codes_outputs(leaf) >> r & 1) && w->r.r[r] != before->r[r])
			DIE("leaf %u changed register %u", leaf, r);
}

static void entered(unsigned int lp, uint64_t tdvpr)
{
	struct tdx_vcpu_state state;
	struct shadow *td;

	tdx_vcpu_get(w->entered, &state);
	if (state.lp != (int)lp || state.tdvps[0] != tdvpr)
		DIE("the wrong vCPU was entered");
	td = find_shadow(state.tdr);
	for (unsigned int i = 0; i < W_LPS; i++)
		if (running[i].vcpu == w->entered)
			DIE("a vCPU runs on two LPs");
	running[lp].vcpu = w->entered;
	running[lp].regs = w->r;
	running[lp].td = td;
	/* what was removed since must not be in this LP's TLB any more */
	for (unsigned int i = 0; td && i < NR_GPAS; i++)
		if (td->gone[lp] >> i & 1)
			DIE("LP %u enters with a translation of %#llx, which was removed", lp,
			    (unsigned long long)gpas[i]);
	touch(lp);
}

static uint64_t seamcall(unsigned int lp, uint64_t rax, uint64_t rcx, uint64_t rdx,
			 uint64_t r8, uint64_t r9)
{
	const unsigned int leaf = rax & 0xffff;
	struct tdx_regs before;

	if (running[lp].vcpu)
		return ~0ull;
	count_call();
	for (unsigned int r = 0; r < TDX_NR_REGS; r++)
		w->r.r[r] = 0xabcd0000 + r;
	w->r.r[TDX_RAX] = rax;
	w->r.r[TDX_RCX] = rcx;
	w->r.r[TDX_RDX] = rdx;
	w->r.r[TDX_R8] = r8;
	w->r.r[TDX_R9] = r9;
	before = w->r;
	w->next = tdx_seamcall(w->m, lp, &w->r, &w->entered);
	if (w->next == TDX_FAIL_INVALID) {
		if (memcmp(&before, &w->r, sizeof(before)))
			DIE("VMfailInvalid changed a register");
		return ~0ull;
	}
	if (w->next == TDX_ENTER) {
		running[lp].host_rsp = before.r[TDX_RSP];
		running[lp].host_rbp = before.r[TDX_RBP];
		entered(lp, rcx & 0xffffffffff000);
	} else {
		check_regs(leaf, &before);
		if (leaf == TDH_MNG_ADDCX && !w->r.r[TDX_RAX]) {
			struct shadow *td = find_shadow(rdx);

			if (td && td->nr_tdcs++ == 3)
				td->root = rcx;
		}
	}
	check_all();
	return w->next == TDX_ENTER ? 0 : w->r.r[TDX_RAX];
}

static uint64_t any_page(void)
{
	const uint8_t b = byte();

	if (b >= 250)
		return W_2M + (b - 250) * (1ull << 20);
	return W_PAGES + b % NR_PAGES * 0x1000ull;
}

static uint64_t owned_page(enum tdx_page_type type)
{
	const unsigned int start = byte();

	for (unsigned int i = 0; i < NR_PAGES; i++) {
		const unsigned int p = FIRST_PAGE + (start + i) % NR_PAGES;

		if (owners[p].tdr && owners[p].type == type)
			return page_pa(p);
	}
	return any_page();
}

static uint64_t free_page(void)
{
	const unsigned int start = byte();

	for (unsigned int i = 0; i < NR_PAGES; i++) {
		const unsigned int p = FIRST_PAGE + (start + i) % NR_PAGES;

		if (!owners[p].tdr)
			return page_pa(p);
	}
	return any_page();
}

static uint64_t any_gpa(void)
{
	const uint8_t b = byte();
	const unsigned int level = b >> 6;
	const uint64_t gpa = gpas[b % NR_GPAS];

	/* mostly 4K; aligned to the level */
	return (gpa & ~((1ull << (12 + 9 * level)) - 1)) | level;
}

static uint64_t any_field(void)
{
	static const uint64_t fields[] = {
		0x0002, 0x2016, 0x4000, 0x401e, 0x4024, 0x203c, 0x200000000000000b,
		0x9100000000000100, 0x1000000000000000, 0x1110000300000000,
		0x94100003000001fe, 0x9410000300000800, 0x0800000100000003,
		0x9900000300000400, ~0ull, 0x8010000300000013,
	};

	return fields[byte() % (sizeof(fields) / sizeof(fields[0]))];
}

static void some_call(void)
{
	static const uint8_t leaves[] = {
		TDH_VP_ENTER, TDH_VP_ENTER, TDH_VP_ENTER, TDH_MNG_ADDCX, TDH_MEM_PAGE_ADD,
		TDH_MEM_SEPT_ADD, TDH_MEM_SEPT_ADD, TDH_VP_ADDCX, TDH_MEM_PAGE_AUG,
		TDH_MEM_PAGE_AUG, TDH_MEM_PAGE_AUG, TDH_MEM_RANGE_BLOCK, TDH_MEM_RANGE_BLOCK,
		TDH_MNG_KEY_CONFIG, TDH_MNG_CREATE, TDH_VP_CREATE, TDH_MNG_RD, TDH_MR_EXTEND,
		TDH_MR_FINALIZE, TDH_VP_FLUSH, TDH_MNG_VPFLUSHDONE, TDH_MNG_KEY_FREEID,
		TDH_MNG_INIT, TDH_VP_INIT, TDH_PHYMEM_PAGE_RDMD, TDH_MEM_SEPT_RD, TDH_VP_RD,
		TDH_PHYMEM_PAGE_RECLAIM, TDH_PHYMEM_PAGE_RECLAIM, TDH_MEM_PAGE_REMOVE,
		TDH_MEM_PAGE_REMOVE, TDH_MEM_SEPT_REMOVE, TDH_SYS_KEY_CONFIG, TDH_SYS_INIT,
		TDH_SYS_RD, TDH_SYS_LP_INIT, TDH_SYS_TDMR_INIT, TDH_MEM_TRACK, TDH_MEM_TRACK,
		TDH_MEM_RANGE_UNBLOCK, TDH_PHYMEM_CACHE_WB, TDH_PHYMEM_PAGE_WBINVD, TDH_VP_WR,
		TDH_SYS_CONFIG, TDH_SYS_SHUTDOWN, TDH_SYS_UPDATE,
	};
	const uint64_t leaf = leaves[byte() % sizeof(leaves)];
	const uint8_t how = byte();
	const unsigned int lp = how % W_LPS;
	uint64_t a[5] = { leaf, 0, 0, 0, 0 };

	switch (leaf) {
	case TDH_VP_ENTER:
	case TDH_VP_FLUSH:
		a[1] = owned_page(TDX_PT_TDVPR);
		break;
	case TDH_VP_INIT:
		a[0] |= (how >> 7) << 16;
		a[1] = owned_page(TDX_PT_TDVPR);
		a[3] = byte();
		break;
	case TDH_VP_RD:
	case TDH_VP_WR:
		a[0] |= leaf == TDH_VP_RD ? (how >> 7) << 16 : 0;
		a[1] = owned_page(TDX_PT_TDVPR);
		a[2] = any_field();
		a[3] = how & 0x40 ? W_SHARED : byte();
		a[4] = how & 0x20 ? ~0ull : 0xff;
		break;
	case TDH_VP_ADDCX:
		a[1] = free_page();
		a[2] = owned_page(TDX_PT_TDVPR);
		break;
	case TDH_MNG_CREATE:
		a[1] = free_page();
		a[2] = W_GLOBAL_KEYID + byte() % W_NR_KEYIDS;
		break;
	case TDH_MNG_ADDCX:
	case TDH_VP_CREATE:
		a[1] = free_page();
		a[2] = owned_page(TDX_PT_TDR);
		break;
	case TDH_MEM_PAGE_ADD:
	case TDH_MEM_PAGE_AUG:
	case TDH_MEM_SEPT_ADD:
		a[1] = any_gpa();
		a[2] = owned_page(TDX_PT_TDR);
		a[3] = (a[1] & 7) == 1 && leaf == TDH_MEM_PAGE_AUG ?
		       W_2M + (how >> 7) * (2ull << 20) : free_page();
		a[4] = how & 0x40 ? W_SOURCE : any_page();
		break;
	case TDH_MEM_RANGE_BLOCK:
	case TDH_MEM_RANGE_UNBLOCK:
	case TDH_MEM_PAGE_REMOVE:
	case TDH_MEM_SEPT_REMOVE:
	case TDH_MEM_SEPT_RD:
	case TDH_MR_EXTEND:
		a[1] = leaf == TDH_MR_EXTEND ? gpas[byte() % NR_GPAS] : any_gpa();
		a[2] = owned_page(TDX_PT_TDR);
		break;
	case TDH_MNG_RD:
		a[0] |= (how >> 7) << 16;
		a[1] = owned_page(TDX_PT_TDR);
		a[2] = any_field();
		break;
	case TDH_MNG_INIT:
		a[1] = owned_page(TDX_PT_TDR);
		a[2] = W_PARAMS;
		break;
	case TDH_MEM_TRACK:
	case TDH_MNG_KEY_CONFIG:
	case TDH_MR_FINALIZE:
	case TDH_MNG_VPFLUSHDONE:
	case TDH_MNG_KEY_FREEID:
		a[1] = owned_page(TDX_PT_TDR);
		break;
	case TDH_PHYMEM_PAGE_RDMD:
	case TDH_PHYMEM_PAGE_RECLAIM:
	case TDH_PHYMEM_PAGE_WBINVD:
		a[1] = any_page();
		if (leaf == TDH_PHYMEM_PAGE_WBINVD)
			a[1] |= (uint64_t)byte() << W_KEYID_SHIFT;
		break;
	case TDH_PHYMEM_CACHE_WB:
		a[1] = how >> 7;
		break;
	case TDH_SYS_RD:
		a[2] = any_field();
		break;
	case TDH_SYS_CONFIG:
		a[1] = W_ARRAY;
		a[2] = 1;
		a[3] = W_GLOBAL_KEYID;
		break;
	case TDH_SYS_SHUTDOWN:
		/* rarely, since little can be done after it */
		a[1] = byte() ? 9 : 1;
		break;
	}
	if (!(how >> 2 & 0xf))
		a[byte() % 5] ^= 1ull << (byte() & 63);
	seamcall(lp, a[0], a[1], a[2], a[3], a[4]);
}

static void check_exit(unsigned int lp, enum tdx_guest_next next)
{
	struct tdx_vcpu_state state;

	if (next != TDX_EXIT && next != TDX_EXIT_FAULT)
		return;
	if (running[lp].regs.r[TDX_RSP] != running[lp].host_rsp)
		DIE("RSP of the host is lost");
	tdx_vcpu_get(running[lp].vcpu, &state);
	if (state.config_flags & NO_RBP_MOD &&
	    running[lp].regs.r[TDX_RBP] != running[lp].host_rbp)
		DIE("RBP of the host is lost");
	running[lp].vcpu = NULL;
	running[lp].td = NULL;
}

static void guest(unsigned int lp)
{
	static const uint8_t leaves[] = { TDG_MEM_PAGE_ACCEPT, TDG_MEM_PAGE_ACCEPT, TDG_VP_VMCALL,
					  TDG_VP_INFO, TDG_VP_VEINFO_GET, TDG_MR_REPORT };
	static const uint32_t reasons[] = { 1, 48, 48, 48, 0, 2, 3, 6, 49, 0x80000021, 33 };
	struct tdx_regs *regs = &running[lp].regs;
	const uint8_t how = byte();
	enum tdx_guest_next next;

	count_call();
	touch(lp);
	if (how & 1) {
		struct tdx_exit exit = {
			.reason = reasons[(how >> 1) % (how > 240 ? 11 : 4)],
			.qualification = byte(),
			.gpa = any_gpa(),
			.intr_info = how & 0x20 ? 0x80000202 : 0x80000312,
			.rip = how >> 6,
		};

		if (byte() == 7)
			exit.gpa ^= 1ull << (byte() & 63);
		next = tdx_td_exit(w->m, running[lp].vcpu, &exit, regs);
	} else {
		regs->r[TDX_RAX] = leaves[(how >> 1) % sizeof(leaves)];
		regs->r[TDX_RCX] = how & 0x40 ? any_gpa() : gpas[byte() % NR_GPAS];
		regs->r[TDX_RDX] = gpas[byte() % NR_GPAS];
		regs->r[TDX_R8] = how >> 7;
		if (regs->r[TDX_RAX] == TDG_VP_VMCALL)
			regs->r[TDX_RCX] = 0xffcc;
		if (byte() == 7)
			regs->r[byte() & 15] ^= 1ull << (byte() & 63);
		next = tdx_tdcall(w->m, running[lp].vcpu, how >> 6, regs);
	}
	touch(lp);
	check_exit(lp, next);
	check_all();
}

/* Things that take many calls in the right order. */
static void build_td(void)
{
	const uint64_t tdr = free_page();
	const uint8_t keyid = W_KEYID + byte() % (W_NR_KEYIDS - 1);

	if (!find_shadow(0) || seamcall(0, TDH_MNG_CREATE, tdr, keyid, 0, 0))
		return;
	seamcall(0, TDH_MNG_KEY_CONFIG, tdr, 0, 0, 0);
	seamcall(2, TDH_MNG_KEY_CONFIG, tdr, 0, 0, 0);
	for (unsigned int i = 0; i < 6; i++)
		seamcall(0, TDH_MNG_ADDCX, free_page(), tdr, 0, 0);
	if (host_owns(W_PARAMS))
		write_params();
	if (byte() & 1 && host_owns(W_PARAMS))
		wr64(W_PARAMS, 0);	/* with #VE */
	seamcall(0, TDH_MNG_INIT, tdr, W_PARAMS, 0, 0);
}

static void build_vcpu(void)
{
	const uint64_t tdr = owned_page(TDX_PT_TDR), tdvpr = free_page();

	if (seamcall(0, TDH_VP_CREATE, tdvpr, tdr, 0, 0))
		return;
	for (unsigned int i = 0; i < 5; i++)
		seamcall(0, TDH_VP_ADDCX, free_page(), tdvpr, 0, 0);
	seamcall(byte() % W_LPS, TDH_VP_INIT | 1 << 16, tdvpr, 0, byte(), 0);
}

static void build_tables(void)
{
	const uint64_t tdr = owned_page(TDX_PT_TDR), gpa = gpas[byte() % NR_GPAS];

	for (unsigned int level = 3; level; level--)
		seamcall(1, TDH_MEM_SEPT_ADD,
			 (gpa & ~((1ull << (12 + 9 * level)) - 1)) | level, tdr, free_page(), 0);
}

/* Pages that the TD has from the start, so that TLBs have something to hold. */
static void populate(void)
{
	const uint64_t tdr = owned_page(TDX_PT_TDR);

	for (unsigned int i = 0; i < NR_GPAS; i++)
		seamcall(0, TDH_MEM_PAGE_ADD, gpas[i], tdr, free_page(), W_SOURCE);
}

static void zap(void)
{
	const uint64_t tdr = owned_page(TDX_PT_TDR), gpa = gpas[byte() % NR_GPAS];

	seamcall(3, TDH_MEM_RANGE_BLOCK, gpa, tdr, 0, 0);
	seamcall(3, TDH_MEM_TRACK, tdr, 0, 0, 0);
	seamcall(3, TDH_MEM_PAGE_REMOVE, gpa, tdr, 0, 0);
}

static void tear_down(void)
{
	const uint64_t tdr = owned_page(TDX_PT_TDR);

	for (unsigned int i = 0; i < NR_ALL_PAGES; i++)
		for (unsigned int lp = 0; owners[i].tdr == tdr && lp < W_LPS; lp++)
			if (owners[i].type == TDX_PT_TDVPR)
				seamcall(lp, TDH_VP_FLUSH, page_pa(i), 0, 0, 0);
	if (seamcall(0, TDH_MNG_VPFLUSHDONE, tdr, 0, 0, 0))
		return;
	seamcall(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0);
	seamcall(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0);
	seamcall(0, TDH_MNG_KEY_FREEID, tdr, 0, 0, 0);
	for (unsigned int i = 0; i < NR_ALL_PAGES; i++)
		if (owners[i].tdr == tdr && page_pa(i) != tdr)
			seamcall(0, TDH_PHYMEM_PAGE_RECLAIM, page_pa(i), 0, 0, 0);
	seamcall(0, TDH_PHYMEM_PAGE_RECLAIM, tdr, 0, 0, 0);
}

static void update(void)
{
	if (tdx_install(w->m))
		return;
	seamcall(0, TDH_SYS_INIT, 0, 0, 0, 0);
	for (unsigned int lp = 0; lp < W_LPS; lp++)
		seamcall(lp, TDH_SYS_LP_INIT, 0, 0, 0, 0);
	seamcall(0, TDH_SYS_UPDATE, 0, 0, 0, 0);
}

static void init_module(void)
{
	write_tdmr();
	seamcall(0, TDH_SYS_INIT, 0, 0, 0, 0);
	for (unsigned int lp = 0; lp < W_LPS; lp++)
		seamcall(lp, TDH_SYS_LP_INIT, 0, 0, 0, 0);
	seamcall(0, TDH_SYS_CONFIG, W_ARRAY, 1, W_GLOBAL_KEYID, 0);
	seamcall(0, TDH_SYS_KEY_CONFIG, 0, 0, 0, 0);
	seamcall(2, TDH_SYS_KEY_CONFIG, 0, 0, 0, 0);
	seamcall(0, TDH_SYS_TDMR_INIT, 0, 0, 0, 0);
}

/* TDMRs and TD_PARAMS with something wrong in them. */
static void disturb(void)
{
	const uint64_t pa = byte() & 1 ? W_PARAMS + byte() % 128 * 8 :
			    W_TDMR_INFO + byte() % 40 * 8;

	if (host_owns(pa))
		wr64(pa, rd64(pa) ^ word());
}

static void flip_lock(void)
{
	const uint8_t b = byte();
	const enum tdx_lock lock = b % (TDX_LOCK_SEPT_ENTRY + 1);
	uint64_t pa = 0;

	if (lock == TDX_LOCK_PAGE)
		pa = any_page();
	else if (lock > TDX_LOCK_PAGE)
		pa = owned_page(TDX_PT_TDR);
	if (b & 0x80)
		tdx_lock_take(w->m, lock, pa, any_gpa(), b & 0x40);
	else
		tdx_lock_drop(w->m, lock, pa, any_gpa(), b & 0x40);
}

static void step(void)
{
	const uint8_t op = byte();
	const unsigned int lp = op % W_LPS;

	if (running[lp].vcpu && op < 0x60) {
		guest(lp);
		return;
	}
	switch (op >> 2) {
	case 0x3f:
		build_td();
		break;
	case 0x3e:
		build_vcpu();
		break;
	case 0x3d:
		build_tables();
		break;
	case 0x3c:
		zap();
		break;
	case 0x3b:
		tear_down();
		break;
	case 0x3a:
		update();
		break;
	case 0x39:
		disturb();
		break;
	case 0x38:
		flip_lock();
		break;
	case 0x37:
		if (byte() == 1)
			seamcall(0, TDH_SYS_DISABLE, 0, 0, 0, 0);
		break;
	case 0x35:
		populate();
		break;
	case 0x36:
		if (byte() == 1)
			w->tsc_adjust ^= 1;
		else if (byte() == 1)
			w->tsc -= 5;
		break;
	default:
		some_call();
	}
}

static void end(void)
{
	pages_changed = true;
	check_all();
	for (unsigned int i = 0; i < NR_ALL_PAGES; i++) {
		check_page(i);
		check_mapping(i);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t prelude;

	if (!w) {
		world_new();
		world_on_invalidate(on_invalidate);
		atexit(report);
	}
	world_reset(w);
	tdx_watch(w->m, on_event, NULL);
	memset(owners, 0, sizeof(owners));
	memset(shadows, 0, sizeof(shadows));
	memset(running, 0, sizeof(running));
	input.data = data;
	input.size = size;

	prelude = byte();
	w->host_interrupt = prelude & 0x80;
	if (prelude & 7) {
		init_module();
		for (unsigned int i = 0; i < (prelude >> 3 & 3); i++) {
			build_td();
			build_tables();
			populate();
			build_vcpu();
			if (prelude & 0x20)
				build_vcpu();
			if (prelude & 0x40)
				seamcall(0, TDH_MR_FINALIZE, owned_page(TDX_PT_TDR), 0, 0, 0);
		}
	} else {
		write_tdmr();
		write_params();
	}
	for (unsigned int i = 0; input.size && i < MAX_CALLS; i++)
		step();
	end();
	return 0;
}
