// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shadow of pages, TDs and keyids, and the rules over it.
 *
 * A page goes through FREE -> OWNED -> DIRTY -> FREE: a TD gets it (event OWNED), the
 * host VMM gets it back (RELEASED), its cache lines are written back (FLUSHED).
 * The shadow follows events only, never the module's PAMT.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const char *const rule_names[TDX_NR_RULES] = {
	[TDX_RULE_HOST_READ] = "host-read",
	[TDX_RULE_HOST_WRITE] = "host-write",
	[TDX_RULE_HOST_FETCH] = "host-fetch",
	[TDX_RULE_DMA] = "dma",
	[TDX_RULE_FREED] = "freed-while-owned",
	[TDX_RULE_DOUBLE_ADD] = "double-add",
	[TDX_RULE_UNTRACKED] = "untracked-remove",
	[TDX_RULE_STALE_TLB] = "stale-tlb",
	[TDX_RULE_UNFLUSHED] = "unflushed-use",
	[TDX_RULE_KEYID] = "keyid-reuse",
	[TDX_RULE_EARLY_RECLAIM] = "early-reclaim",
	[TDX_RULE_LEAK] = "leak",
};

const char *tdx_rule_name(enum tdx_rule rule)
{
	return (unsigned int)rule < TDX_NR_RULES ? rule_names[rule] : NULL;
}

static int adopt(void *ctx, const struct tdx_page *page);

int tdx_san_create(struct tdx_sanitizer **out, struct tdx_module *m,
		   const struct tdx_san_ops *ops, const char *vmlinux)
{
	const struct tdx_config *config = tdx_get_config(m);
	struct tdx_sanitizer *s;
	uint64_t end = 0;
	int err;

	*out = NULL;
	for (unsigned int i = 0; i < config->nr_cmrs; i++)
		if (config->cmrs[i].base + config->cmrs[i].size > end)
			end = config->cmrs[i].base + config->cmrs[i].size;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->nr_blocks = (end + BLOCK_BYTES - 1) / BLOCK_BYTES;
	s->blocks = calloc(s->nr_blocks ?: 1, sizeof(struct page *));
	err = s->blocks ? 0 : -ENOMEM;
	if (!err && vmlinux)
		err = symbols_open(&s->symbols, vmlinux);
	if (err) {
		tdx_san_destroy(s);
		return err;
	}
	s->m = m;
	s->config = config;
	s->ops = *ops;
	s->mode = TDX_SAN_WARN;
	/* TDRs first, since pages are counted with their TD. */
	s->adopt_tdrs = true;
	tdx_for_each_page(m, 0, adopt, s);
	s->adopt_tdrs = false;
	tdx_for_each_page(m, 0, adopt, s);
	s->nr_touched = 0;
	*out = s;
	return 0;
}

void tdx_san_destroy(struct tdx_sanitizer *s)
{
	struct td *td, *next;

	if (!s)
		return;
	for (uint64_t b = 0; s->blocks && b < s->nr_blocks; b++) {
		for (unsigned int i = 0; s->blocks[b] && i < BLOCK_PAGES; i++)
			free(s->blocks[b][i].history);
		free(s->blocks[b]);
	}
	free(s->blocks);
	for (td = s->tds; td; td = next) {
		next = td->next;
		free(td);
	}
	for (unsigned int i = 0; i < s->nr_reports; i++)
		free(s->reports[(s->first_report + i) % MAX_REPORTS]);
	free(s->taken);
	symbols_close(s->symbols);
	free(s);
}

void tdx_san_set_mode(struct tdx_sanitizer *s, enum tdx_san_mode mode)
{
	s->mode = mode;
}

enum tdx_san_mode tdx_san_get_mode(const struct tdx_sanitizer *s)
{
	return s->mode;
}

/* ---- The shadow ---- */

/* The shadow of a page, or NULL if it never was a TD's. */
struct page *find_page(const struct tdx_sanitizer *s, uint64_t pa)
{
	const uint64_t block = pa / BLOCK_BYTES;

	if (block >= s->nr_blocks || !s->blocks[block])
		return NULL;
	return &s->blocks[block][pa / PAGE_SIZE % BLOCK_PAGES];
}

static struct page *make_page(struct tdx_sanitizer *s, uint64_t pa)
{
	const uint64_t block = pa / BLOCK_BYTES;

	if (block >= s->nr_blocks)
		return NULL;
	if (!s->blocks[block])
		s->blocks[block] = calloc(BLOCK_PAGES, sizeof(struct page));
	return find_page(s, pa);
}

static struct td *find_td(const struct tdx_sanitizer *s, uint64_t tdr)
{
	for (struct td *td = s->tds; td; td = td->next)
		if (td->tdr == tdr)
			return td;
	return NULL;
}

static struct td *make_td(struct tdx_sanitizer *s, uint64_t tdr)
{
	struct td *td = calloc(1, sizeof(*td));
	struct tdx_td_info info;

	if (!td)
		return NULL;
	td->tdr = tdr;
	td->keyid = tdx_td_get(s->m, tdr, &info) ? info.keyid : 0;
	td->next = s->tds;
	s->tds = td;
	return td;
}

static void drop_td(struct tdx_sanitizer *s, struct td *td)
{
	struct td **link = &s->tds;

	while (*link != td)
		link = &(*link)->next;
	*link = td->next;
	free(td);
}

static bool in_pamt(const struct tdx_sanitizer *s, uint64_t pa)
{
	for (unsigned int i = 0; i < s->nr_pamts; i++)
		if (pa - s->pamts[i].base < s->pamts[i].size)
			return true;
	return false;
}

bool tdx_san_guards(const struct tdx_sanitizer *s, uint64_t pa)
{
	const struct page *p = find_page(s, pa);

	return (p && p->state != PAGE_FREE) || in_pamt(s, pa);
}

/* The first page of a TD, to name one in a report. */
static uint64_t some_page(const struct tdx_sanitizer *s, uint64_t tdr, bool private_only)
{
	for (uint64_t b = 0; b < s->nr_blocks; b++)
		for (unsigned int i = 0; s->blocks[b] && i < BLOCK_PAGES; i++) {
			const struct page *p = &s->blocks[b][i];

			if (p->state == PAGE_OWNED && p->tdr == tdr && p->type != TDX_PT_TDR &&
			    (!private_only || p->type == TDX_PT_REG))
				return b * BLOCK_BYTES + i * PAGE_SIZE;
		}
	return tdr;
}

/* ---- Events ---- */

/* Was the cache of each package written back since the keyid was last in use? */
static bool keyid_clean(const struct tdx_sanitizer *s, unsigned int keyid)
{
	return keyid >= TDX_MAX_KEYIDS || !s->keyids[keyid].dirty;
}

static void use_keyid(struct tdx_sanitizer *s, const struct td *td)
{
	if (!keyid_clean(s, td->keyid))
		report(s, TDX_RULE_KEYID, td->tdr,
		       "keyid %u is used again before the caches of all packages were written back",
		       td->keyid);
	if (td->keyid < TDX_MAX_KEYIDS) {
		s->keyids[td->keyid].flushing = false;
		s->keyids[td->keyid].dirty = (1u << s->config->nr_pkgs) - 1;
	}
}

/* A TD that was there before may have given up its keyid, to another one even. */
static bool has_keyid(const struct tdx_sanitizer *s, uint64_t tdr)
{
	struct tdx_td_info info;

	return !tdx_td_get(s->m, tdr, &info) || info.lifecycle <= LIFECYCLE_KEYS_CONFIGURED;
}

static void on_owned(struct tdx_sanitizer *s, const struct tdx_event *e, struct page *p,
		     uint64_t pa)
{
	struct td *td;

	if (p->state == PAGE_OWNED)
		report(s, TDX_RULE_DOUBLE_ADD, pa,
		       "the module gave a page of TD %#llx to TD %#llx",
		       (unsigned long long)p->tdr, (unsigned long long)e->tdr);
	else if (p->state == PAGE_DIRTY)
		report(s, TDX_RULE_UNFLUSHED, pa,
		       "a page goes to TD %#llx whose cache lines with keyid %u were not written back",
		       (unsigned long long)e->tdr, p->keyid);
	td = e->type == TDX_PT_TDR ? make_td(s, e->tdr) : find_td(s, e->tdr);
	if (td && e->type == TDX_PT_TDR && has_keyid(s, td->tdr))
		use_keyid(s, td);
	p->state = PAGE_OWNED;
	p->type = e->type;
	p->tdr = e->tdr;
	p->keyid = e->keyid;
	p->gpa = e->gpa;
	p->level = e->level;
	p->mapped = p->blocked = false;
	p->told = 0;
	if (td) {
		td->nr_pages++;
		td->nr_private += e->type == TDX_PT_REG;
	}
}

static void on_released(struct tdx_sanitizer *s, const struct tdx_event *e, struct page *p)
{
	struct td *td = find_td(s, p->tdr);

	if (p->state != PAGE_OWNED)
		return;
	p->told = 0;
	/* In a TD that is torn down, CACHE.WB has cleaned all but the TDR. */
	p->state = e->type != TDX_PT_TDR && s->leaf == TDH_PHYMEM_PAGE_RECLAIM ?
		   PAGE_FREE : PAGE_DIRTY;
	if (s->leaf == TDH_SYS_DISABLE)
		p->state = PAGE_FREE;
	if (td) {
		td->nr_pages--;
		td->nr_private -= e->type == TDX_PT_REG;
		if (e->type == TDX_PT_TDR) {
			if (td->nr_pages && s->leaf != TDH_SYS_DISABLE)
				report(s, TDX_RULE_LEAK, some_page(s, td->tdr, false),
				       "TD %#llx ended and %llu pages still belong to it",
				       (unsigned long long)td->tdr,
				       (unsigned long long)td->nr_pages);
			drop_td(s, td);
		}
	}
}

static void on_unmapped(struct tdx_sanitizer *s, struct page *p, uint64_t pa)
{
	struct tdx_td_info td;

	p->mapped = false;
	if (tdx_td_get(s->m, p->tdr, &td) && td.op_state == OP_STATE_RUNNABLE) {
		if (!p->blocked)
			report(s, TDX_RULE_UNTRACKED, pa,
			       "a page was removed from a TD that runs without being blocked");
		else if (td.epoch == p->epoch ||
			 (td.epoch == p->epoch + 1 && td.refs[p->epoch & 1]))
			report(s, TDX_RULE_UNTRACKED, pa,
			       "a page was removed in TLB epoch %llu that was blocked in epoch %llu, and vCPUs may still run in that",
			       (unsigned long long)td.epoch, (unsigned long long)p->epoch);
	}
	for (unsigned int lp = 0; lp < s->config->nr_lps; lp++)
		if (s->lps[lp].tdr == p->tdr &&
		    (!s->ops.cached || s->ops.cached(s->ops.ctx, lp, pa))) {
			if (s->lps[lp].nr_stale < MAX_STALE)
				s->lps[lp].stale[s->lps[lp].nr_stale++] = pa;
			report(s, TDX_RULE_STALE_TLB, pa,
			       "a page was removed while logical processor %u, which runs in the TD, may have its translation in the TLB",
			       lp);
		}
}

static void on_blocked(struct tdx_sanitizer *s, struct page *p)
{
	struct tdx_td_info td;

	p->blocked = true;
	p->epoch = tdx_td_get(s->m, p->tdr, &td) ? td.epoch : 0;
}

static void add_pamt(struct tdx_sanitizer *s, const struct tdx_event *e)
{
	if (s->nr_pamts < MAX_PAMTS)
		s->pamts[s->nr_pamts++] = (struct tdx_range) { e->pa, e->size };
}

static void touch(struct tdx_sanitizer *s, uint64_t pa)
{
	for (unsigned int i = 0; i < s->nr_touched; i++)
		if (s->touched[i] == pa)
			return;
	if (s->nr_touched < MAX_TOUCHED)
		s->touched[s->nr_touched++] = pa;
}

void tdx_san_event(struct tdx_sanitizer *s, const struct tdx_event *e)
{
	struct page *p;

	if (e->kind == TDX_PAMT_DONATED) {
		add_pamt(s, e);
		return;
	}
	touch(s, e->pa);
	for (uint64_t pa = e->pa; pa < e->pa + e->size; pa += PAGE_SIZE) {
		p = e->kind == TDX_OWNED ? make_page(s, pa) : find_page(s, pa);
		if (!p)
			continue;
		switch (e->kind) {
		case TDX_OWNED:
			on_owned(s, e, p, pa);
			break;
		case TDX_RELEASED:
			on_released(s, e, p);
			break;
		case TDX_MAPPED:
			p->mapped = true;
			p->gpa = e->gpa + (pa - e->pa);
			p->level = e->level;
			break;
		case TDX_BLOCKED:
			on_blocked(s, p);
			break;
		case TDX_UNBLOCKED:
			p->blocked = false;
			break;
		case TDX_UNMAPPED:
			on_unmapped(s, p, pa);
			break;
		case TDX_FLUSHED:
			if (p->state == PAGE_DIRTY && e->keyid == p->keyid)
				p->state = PAGE_FREE;
			break;
		default:
			break;
		}
	}
}

/* What happened before somebody looked on. */
static int adopt(void *ctx, const struct tdx_page *page)
{
	struct tdx_sanitizer *s = ctx;
	struct tdx_event e = {
		.kind = TDX_OWNED,
		.pa = page->pa,
		.size = PAGE_SIZE << 9 * page->level,
		.type = page->type,
		.tdr = page->tdr,
		.keyid = page->keyid,
		.gpa = page->gpa,
		.level = page->ept_level,
	};
	struct page *p;

	if ((page->type == TDX_PT_TDR) != s->adopt_tdrs)
		return 0;
	tdx_san_event(s, &e);
	if (page->has_gpa) {
		e.kind = TDX_MAPPED;
		tdx_san_event(s, &e);
	}
	p = find_page(s, page->pa);
	if (p && page->bepoch) {
		p->blocked = true;
		p->epoch = page->bepoch;
	}
	return 0;
}

/* ---- Calls ---- */

void tdx_san_begin(struct tdx_sanitizer *s, unsigned int lp, const struct tdx_regs *regs)
{
	s->lp = lp;
	s->leaf = regs->r[TDX_RAX] & 0xffff;
	s->nr_touched = 0;
}

static unsigned int package_of(const struct tdx_sanitizer *s, unsigned int lp)
{
	return lp * s->config->nr_pkgs / s->config->nr_lps;
}

static void on_success(struct tdx_sanitizer *s, const struct tdx_record *r)
{
	const uint64_t rcx = r->in.r[TDX_RCX];
	struct tdx_td_info info;
	struct td *td;

	switch (s->leaf) {
	case TDH_MNG_VPFLUSHDONE:
		td = find_td(s, rcx);
		if (td && td->keyid < TDX_MAX_KEYIDS)
			s->keyids[td->keyid].flushing = true;
		break;
	case TDH_PHYMEM_CACHE_WB:
		if (r->out.r[TDX_RAX])
			break;	/* nothing was to be done */
		for (unsigned int k = 0; k < TDX_MAX_KEYIDS; k++)
			if (s->keyids[k].flushing)
				s->keyids[k].dirty &= ~(1u << package_of(s, r->lp));
		break;
	case TDH_MNG_KEY_FREEID:
		td = find_td(s, rcx);
		if (!td)
			break;
		if (!keyid_clean(s, td->keyid))
			report(s, TDX_RULE_KEYID, rcx,
			       "keyid %u was freed before the caches of all packages were written back",
			       td->keyid);
		/* From a TD that is fatal pages can be had back only now. */
		if (td->nr_private && !(tdx_td_get(s->m, rcx, &info) && info.fatal))
			report(s, TDX_RULE_LEAK, some_page(s, rcx, true),
			       "the keyid of TD %#llx was freed and %llu private pages still belong to it",
			       (unsigned long long)rcx, (unsigned long long)td->nr_private);
		if (td->keyid < TDX_MAX_KEYIDS)
			s->keyids[td->keyid].flushing = false;
		break;
	case TDH_SYS_DISABLE:
		s->nr_pamts = 0;
		break;
	}
}

#define IS(name)	(status == name >> 32)

/* What the module refused although only a bug of the host VMM can ask for it. */
static void on_refusal(struct tdx_sanitizer *s, const struct tdx_record *r)
{
	const uint64_t rcx = r->in.r[TDX_RCX], rdx = r->in.r[TDX_RDX], r8 = r->in.r[TDX_R8];
	const uint64_t status = r->out.r[TDX_RAX] >> 32;
	const struct page *p;
	uint64_t pa;

	switch (s->leaf) {
	case TDH_MNG_CREATE:
		if (IS(TDX_HKID_NOT_FREE))
			report(s, TDX_RULE_KEYID, rcx, "keyid %llu is to be used while it is not free",
			       (unsigned long long)rdx);
		/* fall through */
	case TDH_MNG_ADDCX:
	case TDH_VP_CREATE:
	case TDH_VP_ADDCX:
	case TDH_MEM_SEPT_ADD:
	case TDH_MEM_PAGE_ADD:
	case TDH_MEM_PAGE_AUG:
		pa = s->leaf == TDH_MEM_SEPT_ADD || s->leaf == TDH_MEM_PAGE_ADD ||
		     s->leaf == TDH_MEM_PAGE_AUG ? r8 : rcx;
		p = find_page(s, pa);
		if (IS(TDX_PAGE_METADATA_INCORRECT) && p && p->state == PAGE_OWNED)
			report(s, TDX_RULE_DOUBLE_ADD, pa,
			       "a page that a TD owns is to be added to a TD");
		else if (IS(TDX_EPT_ENTRY_STATE_INCORRECT))
			report(s, TDX_RULE_DOUBLE_ADD, mapped_page(s, rdx, rcx) ?: pa,
			       "page %#llx is to be added at GPA %#llx, where another one is",
			       (unsigned long long)pa, (unsigned long long)rcx & GPA_MASK);
		break;
	case TDH_MEM_PAGE_REMOVE:
	case TDH_MEM_SEPT_REMOVE:
		if (IS(TDX_GPA_RANGE_NOT_BLOCKED))
			report(s, TDX_RULE_UNTRACKED, mapped_page(s, rdx, rcx),
			       "a page is to be removed from a TD that runs without being blocked");
		else if (IS(TDX_TLB_TRACKING_NOT_DONE))
			report(s, TDX_RULE_UNTRACKED, mapped_page(s, rdx, rcx),
			       "a page is to be removed while vCPUs may still run in the TLB epoch in which it was blocked");
		break;
	case TDH_MNG_KEY_FREEID:
		if (IS(TDX_WBCACHE_NOT_COMPLETE))
			report(s, TDX_RULE_KEYID, rcx,
			       "a keyid is to be freed before the caches of all packages were written back");
		break;
	case TDH_PHYMEM_PAGE_RECLAIM:
		if (IS(TDX_LIFECYCLE_STATE_INCORRECT))
			report(s, TDX_RULE_EARLY_RECLAIM, rcx,
			       "a page is to be reclaimed from a TD that is not torn down");
		else if (IS(TDX_TD_ASSOCIATED_PAGES_EXIST))
			report(s, TDX_RULE_LEAK, some_page(s, rcx, false),
			       "TD %#llx is to end and pages still belong to it",
			       (unsigned long long)rcx);
		break;
	}
}

/* The page that an S-EPT leaf maps at that GPA, or 0. */
uint64_t mapped_page(const struct tdx_sanitizer *s, uint64_t tdr, uint64_t gpa)
{
	struct tdx_sept sept;
	uint64_t pa;

	if (!tdx_sept_lookup(s->m, tdr, gpa & GPA_MASK, &sept) || sept.state == TDX_SEPT_FREE ||
	    sept.state & 0x80)
		return 0;
	pa = sept.entry & GPA_MASK;
	return pa + (gpa & ((PAGE_SIZE << 9 * sept.level) - 1) & GPA_MASK);
}

/* What a refused call was about, for its history; 0 if about no page. */
static uint64_t operand_page(const struct tdx_sanitizer *s, const struct tdx_record *r)
{
	const uint64_t rcx = r->in.r[TDX_RCX];

	switch (s->leaf) {
	case TDH_MEM_PAGE_ADD:
	case TDH_MEM_PAGE_AUG:
	case TDH_MEM_SEPT_ADD:
		return r->in.r[TDX_R8];
	case TDH_MEM_PAGE_REMOVE:
	case TDH_MEM_RANGE_BLOCK:
	case TDH_MEM_RANGE_UNBLOCK:
		return r->out.r[TDX_RAX] >> 63 ? mapped_page(s, r->in.r[TDX_RDX], rcx) : 0;
	case TDH_MNG_CREATE:
	case TDH_MNG_ADDCX:
	case TDH_VP_CREATE:
	case TDH_VP_ADDCX:
	case TDH_MNG_INIT:
	case TDH_MNG_KEY_CONFIG:
	case TDH_MR_FINALIZE:
	case TDH_MNG_VPFLUSHDONE:
	case TDH_MNG_KEY_FREEID:
	case TDH_VP_INIT:
	case TDH_PHYMEM_PAGE_RECLAIM:
		return rcx;
	}
	return 0;
}

static void remember(struct tdx_sanitizer *s, uint64_t pa, const struct tdx_record *r)
{
	struct page *p = pa ? find_page(s, pa) : NULL;
	struct past *h;

	if (!p)
		return;
	if (!p->history)
		p->history = calloc(HISTORY, sizeof(*p->history));
	if (!p->history)
		return;
	h = &p->history[p->nr_history++ % HISTORY];
	/* Keep the ring's position when the counter wraps. */
	if (p->nr_history == 2 * HISTORY)
		p->nr_history = HISTORY;
	h->time = r->time;
	h->status = r->out.r[TDX_RAX];
	h->tdr = p->tdr;
	h->leaf = r->in.r[TDX_RAX];
	h->lp = r->lp;
	h->guest = r->guest;
	h->injected = r->injected;
}

static void note_td(struct tdx_sanitizer *s, const struct tdx_record *r)
{
	const struct page *tdvpr = find_page(s, r->in.r[TDX_RCX]);

	s->lps[r->lp].tdr = tdvpr ? tdvpr->tdr : 0;
}

void tdx_san_end(struct tdx_sanitizer *s, const struct tdx_record *r)
{
	const uint64_t status = r->out.r[TDX_RAX];

	s->time = r->time;
	if (r->guest) {
		/* Its only event is ACCEPTED, of one page. */
		for (unsigned int i = 0; i < s->nr_touched; i++)
			remember(s, s->touched[i], r);
		s->nr_touched = 0;
		return;
	}
	touch(s, operand_page(s, r));
	for (unsigned int i = 0; i < s->nr_touched; i++)
		remember(s, s->touched[i], r);
	/* What was injected has done nothing, whatever it says. */
	if (r->entered)
		note_td(s, r);
	else if (!r->injected && !(status >> 63))
		on_success(s, r);
	else if (!r->injected)
		on_refusal(s, r);
	send_reports(s);
	s->nr_touched = 0;
}

void tdx_san_exit(struct tdx_sanitizer *s, unsigned int lp)
{
	s->lps[lp].tdr = 0;
	s->lps[lp].nr_stale = 0;
}

/* ---- Accesses ---- */

static enum tdx_rule access_rule(enum tdx_san_access how)
{
	switch (how) {
	case TDX_SAN_READ:
		return TDX_RULE_HOST_READ;
	case TDX_SAN_WRITE:
		return TDX_RULE_HOST_WRITE;
	case TDX_SAN_FETCH:
		return TDX_RULE_HOST_FETCH;
	default:
		return TDX_RULE_DMA;
	}
}

void tdx_san_access(struct tdx_sanitizer *s, unsigned int lp, enum tdx_san_access how,
		    uint64_t pa, uint32_t len)
{
	static const char *const verbs[] = {
		[TDX_SAN_READ] = "the host reads", [TDX_SAN_WRITE] = "the host writes",
		[TDX_SAN_FETCH] = "the host executes", [TDX_SAN_DMA_READ] = "a device reads",
		[TDX_SAN_DMA_WRITE] = "a device writes",
	};
	struct page *p = find_page(s, pa);
	enum tdx_rule rule = access_rule(how);

	if (s->mode == TDX_SAN_OFF)
		return;
	if (!p || p->state == PAGE_FREE) {
		if (!in_pamt(s, pa))
			return;
		/* One shadow page is enough to tell it only once. */
		p = make_page(s, pa);
		if (!p || p->told >> rule & 1)
			return;
	}
	if (p->state == PAGE_DIRTY)
		rule = TDX_RULE_UNFLUSHED;
	/* The stack tells whether it is FREED; that costs, so look at @told first. */
	if (p->told >> rule & 1)
		return;
	s->lp = lp;
	if (rule == TDX_RULE_HOST_WRITE && frees_pages(s, lp)) {
		p->told |= 1u << rule;
		rule = TDX_RULE_FREED;
	}
	if (rule == TDX_RULE_UNFLUSHED)
		report(s, rule, pa, "%s %u bytes of a page whose cache lines with keyid %u were not written back",
		       verbs[how], len, p->keyid);
	else if (rule == TDX_RULE_HOST_FETCH)
		report(s, rule, pa, "the host executes a %s",
		       p->state == PAGE_OWNED ? "page that a TD owns" : "PAMT");
	else if (rule == TDX_RULE_FREED)
		report(s, rule, pa, "the kernel frees or hands out a page that a TD owns");
	else
		report(s, rule, pa, "%s %u bytes of a %s", verbs[how], len,
		       p->state == PAGE_OWNED ? "page that a TD owns" : "PAMT");
	send_reports(s);
}

void tdx_san_td_access(struct tdx_sanitizer *s, unsigned int lp, uint64_t pa)
{
	struct page *p = find_page(s, pa);
	unsigned int i = 0;

	while (i < s->lps[lp].nr_stale && s->lps[lp].stale[i] != pa)
		i++;
	if (!p || i == s->lps[lp].nr_stale)
		return;
	s->lps[lp].stale[i] = s->lps[lp].stale[--s->lps[lp].nr_stale];
	/* Worse than what was reported when it was removed. */
	p->told &= ~(1u << TDX_RULE_STALE_TLB);
	s->lp = lp;
	report(s, TDX_RULE_STALE_TLB, pa,
	       "a TD on logical processor %u uses a page that was removed from it, through its TLB",
	       lp);
	send_reports(s);
}

unsigned int tdx_san_nr_tds(const struct tdx_sanitizer *s)
{
	unsigned int nr = 0;

	for (const struct td *td = s->tds; td; td = td->next)
		nr++;
	return nr;
}

unsigned int tdx_san_idle(struct tdx_sanitizer *s)
{
	s->lp = TDX_NO_LP;
	for (const struct td *td = s->tds; td; td = td->next)
		report(s, TDX_RULE_LEAK, some_page(s, td->tdr, false),
		       "TD %#llx has no VM any more, and %llu pages belong to it",
		       (unsigned long long)td->tdr, (unsigned long long)td->nr_pages);
	send_reports(s);
	return tdx_san_nr_tds(s);
}
