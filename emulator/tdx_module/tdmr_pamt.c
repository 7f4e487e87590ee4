// SPDX-License-Identifier: GPL-2.0-only
/*
 * TDMRs and the PAMT: which memory can be donated, and who owns each page of it.
 *
 * The PAMT that the host VMM donates is claimed, but its content lives here: one
 * entry per 4K page, in blocks of 2M that exist once one of their pages has been
 * asked for.  A 2M page has its entry repeated for all its 4K pages.
 */
#include <stdlib.h>

#include "internal.h"

#define PAMT_ENTRY_BYTES	16
#define TDMR_INFO_ALIGN		512

/* As in TDX_INVALID_PAMT: TDMR index, then page size or area, then other TDMR. */
#define DETAILS(a, b, c)	((u64)(u8)(a) | (u64)(u8)(b) << 8 | (u64)(u8)(c) << 16)

/* PAMTs are given largest page size first, but numbered smallest first. */
static const u64 pamt_page[3] = { PAGE_SIZE, SIZE_2M, SIZE_1G };

static bool range_valid(u64 base, u64 size)
{
	return base + size >= base;
}

/* Neighbouring CMRs count as one. */
static bool in_cmrs(const struct tdx_module *m, u64 start, u64 end)
{
	u64 run_start = 0, run_end = 0;

	for (unsigned int i = 0; i < m->cfg.nr_cmrs; i++) {
		const struct tdx_range *cmr = &m->cfg.cmrs[i];

		if (!cmr->size)
			continue;
		if (cmr->base != run_end || !i)
			run_start = cmr->base;
		run_end = cmr->base + cmr->size;
		if (start >= run_start && end <= run_end)
			return true;
	}
	return false;
}

/*
 * Visit the parts of a TDMR that no reserved area covers.
 *
 * Return: whether @fn was true for all of them.
 */
static bool all_available(const struct tdx_module *m, const struct tdmr *t,
			  bool (*fn)(const struct tdx_module *m, u64 start, u64 end,
				     const struct tdx_range *arg),
			  const struct tdx_range *arg)
{
	u64 start = t->base;

	for (unsigned int i = 0; i < t->nr_reserved; i++) {
		const u64 reserved = t->base + t->reserved[i].base;

		if (start < reserved && !fn(m, start, reserved, arg))
			return false;
		start = reserved + t->reserved[i].size;
	}
	return start == t->base + t->size || fn(m, start, t->base + t->size, arg);
}

static bool apart(const struct tdx_module *m, u64 start, u64 end,
		  const struct tdx_range *pamt)
{
	(void)m;
	return !overlaps(start, end - start, pamt->base, pamt->size);
}

static bool convertible(const struct tdx_module *m, u64 start, u64 end,
			const struct tdx_range *unused)
{
	(void)unused;
	return in_cmrs(m, start, end);
}

static bool pa_in_range(const struct tdx_module *m, u64 base, u64 size)
{
	const u64 limit = BIT(m->cfg.max_pa - m->cfg.keyid_bits);

	return base < limit && size <= limit - base;
}

static u64 check_reserved(const struct tdx_module *m, struct tdmr *t, unsigned int n,
			  const struct tdx_range area[])
{
	u64 end = 0;

	for (unsigned int j = 0; j < m->cfg.max_reserved; j++) {
		if (!area[j].size) {
			if (j + 1 < m->cfg.max_reserved && area[j + 1].size)
				return TDX_NON_ORDERED_RESERVED_IN_TDMR | DETAILS(n, j, 0);
			continue;
		}
		if (!range_valid(area[j].base, area[j].size))
			return TDX_INVALID_RESERVED_IN_TDMR | DETAILS(n, j, 0);
		if (area[j].base < end)
			return TDX_NON_ORDERED_RESERVED_IN_TDMR | DETAILS(n, j, 0);
		if (!aligned(area[j].base | area[j].size, PAGE_SIZE) ||
		    area[j].base + area[j].size > t->size)
			return TDX_INVALID_RESERVED_IN_TDMR | DETAILS(n, j, 0);
		end = area[j].base + area[j].size;
		t->reserved[t->nr_reserved++] = area[j];
	}
	return 0;
}

static u64 check_pamts(const struct tdx_module *m, const struct tdmr *t, unsigned int n)
{
	/* In the order of the module: 1G first where sizes are checked. */
	for (int s = 2; s >= 0; s--) {
		const struct tdx_range *p = &t->pamt[s];

		if (!range_valid(p->base, p->size) ||
		    !aligned(p->base | p->size, PAGE_SIZE) ||
		    !pa_in_range(m, p->base, p->size) ||
		    p->size < t->size / pamt_page[s] * PAMT_ENTRY_BYTES)
			return TDX_INVALID_PAMT | DETAILS(n, s, 0);
	}
	for (unsigned int j = 0; j < n; j++)
		for (unsigned int s = 0; s < 3; s++)
			for (unsigned int o = 0; o < 3; o++)
				if (overlaps(t->pamt[s].base, t->pamt[s].size,
					     m->tdmr[j].pamt[o].base, m->tdmr[j].pamt[o].size))
					return TDX_PAMT_OVERLAP | DETAILS(n, s, j);
	for (unsigned int s = 0; s < 3; s++)
		for (unsigned int o = s + 1; o < 3; o++)
			if (overlaps(t->pamt[s].base, t->pamt[s].size,
				     t->pamt[o].base, t->pamt[o].size))
				return TDX_PAMT_OVERLAP | DETAILS(n, s, n);
	for (unsigned int j = 0; j <= n; j++) {
		for (unsigned int s = 0; s < 3; s++)
			if (!all_available(m, &m->tdmr[j], apart, &t->pamt[s]))
				return TDX_PAMT_OVERLAP | DETAILS(n, s, j);
		for (unsigned int s = 0; j < n && s < 3; s++)
			if (!all_available(m, t, apart, &m->tdmr[j].pamt[s]))
				return TDX_PAMT_OVERLAP | DETAILS(j, s, n);
	}
	for (int s = 2; s >= 0; s--)
		if (!in_cmrs(m, t->pamt[s].base, t->pamt[s].base + t->pamt[s].size))
			return TDX_PAMT_OUTSIDE_CMRS | DETAILS(n, s, 0);
	return 0;
}

static u64 check_tdmr(struct tdx_module *m, unsigned int n, const u64 *info)
{
	struct tdmr *t = &m->tdmr[n], *prev = n ? t - 1 : NULL;
	u64 status;

	*t = (struct tdmr) {
		.base = info[0],
		.size = info[1],
		.next = info[0],
		.pamt = { { info[6], info[7] }, { info[4], info[5] }, { info[2], info[3] } },
	};
	if (!range_valid(t->base, t->size))
		return TDX_INVALID_TDMR | DETAILS(n, 0, 0);
	if (prev && t->base < prev->base + prev->size)
		return TDX_NON_ORDERED_TDMR | DETAILS(n, 0, 0);
	if (!aligned(t->base | t->size, SIZE_1G) || !t->size ||
	    !pa_in_range(m, t->base, t->size))
		return TDX_INVALID_TDMR | DETAILS(n, 0, 0);
	status = check_reserved(m, t, n, (const struct tdx_range *)&info[8]);
	if (!status)
		status = check_pamts(m, t, n);
	if (status)
		return status;
	if (!all_available(m, t, convertible, NULL))
		return TDX_TDMR_OUTSIDE_CMRS | DETAILS(n, 0, 0);
	return 0;
}

/* Aligned by the caller. */
bool shared_hpa_valid(const struct tdx_module *m, u64 pa)
{
	return !(pa >> m->cfg.max_pa) && pa_keyid(m, pa) < m->cfg.first_keyid;
}

static bool owned(const struct pamt *p)
{
	return p->type != TDX_PT_NDA && p->type != TDX_PT_RSVD;
}

static bool owned_pa(const struct tdx_module *m, u64 pa)
{
	const struct pamt *p = pamt_peek(m, pa);

	return p && owned(p);
}

/*
 * Memory of the host VMM, within a page.  Should it belong to a TD, then with the
 * host's keyid there is nothing to be seen of it, and nothing to be changed.
 */
void read_shared(const struct tdx_module *m, u64 pa, void *buf, u32 len)
{
	if (owned_pa(m, pa))
		memset(buf, 0, len);
	else
		m->ops.read(m->ops.ctx, pa, buf, len);
}

void write_shared(const struct tdx_module *m, u64 pa, const void *buf, u32 len)
{
	if (!owned_pa(m, pa))
		m->ops.write(m->ops.ctx, pa, buf, len);
}

static u64 read_shared64(const struct tdx_module *m, u64 pa)
{
	u64 v;

	read_shared(m, pa, &v, sizeof(v));
	return v;
}

static void tell_pamt(struct tdx_module *m, const struct tdmr *t)
{
	for (unsigned int s = 0; m->watch && s < 3; s++) {
		const struct tdx_event event = {
			.kind = TDX_PAMT_DONATED,
			.pa = t->pamt[s].base,
			.size = t->pamt[s].size,
			.type = TDX_PT_RSVD,
			.keyid = m->global_keyid,
		};

		m->watch(m->watch_ctx, &event);
	}
}

u64 sys_config(struct tdx_module *m, struct call *c)
{
	const u64 array = in(c, TDX_RCX), nr = in(c, TDX_RDX), keyid = in(c, TDX_R8);
	u64 info[8 + 2 * TDX_MAX_RESERVED], status = 0;
	unsigned int i;

	if (busy_exclusive(m, &m->sys_lock))
		return TDX_SYS_BUSY;
	if (m->state != SYSINIT_DONE || m->nr_lps_init < m->cfg.nr_lps_init)
		return TDX_SYS_CONFIG_NOT_PENDING;
	if (!aligned(array, TDMR_INFO_ALIGN) || !shared_hpa_valid(m, array))
		return TDX_OPERAND_INVALID | TDX_OPERAND_RCX;
	if (!nr || nr > m->cfg.max_tdmrs)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RDX;
	if (!is_private_keyid(m, keyid))
		return TDX_OPERAND_INVALID | TDX_OPERAND_R8;

	/* A new module that was not told to take over the state of the old one. */
	forget_all(m);
	for (i = 0; i < nr && !status; i++) {
		const u64 pa = read_shared64(m, array + 8 * i);

		if (!aligned(pa, TDMR_INFO_ALIGN) || !shared_hpa_valid(m, pa)) {
			status = TDX_OPERAND_INVALID | TDX_OPERAND_RCX;
			break;
		}
		for (unsigned int w = 0; w < 8 + 2 * m->cfg.max_reserved; w++)
			info[w] = read_shared64(m, pa + 8 * w);
		status = check_tdmr(m, i, info);
		if (status)
			break;
		m->tdmr[i].blocks = calloc(m->tdmr[i].size / SIZE_2M,
					   sizeof(*m->tdmr[i].blocks));
		if (!m->tdmr[i].blocks)
			status = TDX_SYS_BUSY;
	}
	m->nr_tdmrs = i;
	if (status) {
		free_tdmrs(m);
		return status;
	}

	m->global_keyid = keyid;
	m->kot[keyid].state = KOT_RESERVED;
	m->packages = 0;
	m->state = SYSCONFIG_DONE;
	for (i = 0; i < nr; i++)
		tell_pamt(m, &m->tdmr[i]);
	return TDX_SUCCESS;
}

void free_tdmrs(struct tdx_module *m)
{
	for (unsigned int i = 0; i < m->nr_tdmrs; i++) {
		struct tdmr *t = &m->tdmr[i];

		for (u64 b = 0; t->blocks && b < t->size / SIZE_2M; b++) {
			forget_locks(m, t->blocks[b], sizeof(*t->blocks[b]));
			free(t->blocks[b]);
		}
		free(t->blocks);
		t->blocks = NULL;
	}
	m->nr_tdmrs = 0;
}

struct tdmr *find_tdmr(struct tdx_module *m, u64 base)
{
	for (unsigned int i = 0; i < m->nr_tdmrs; i++)
		if (m->tdmr[i].base == base)
			return &m->tdmr[i];
	return NULL;
}

u64 sys_tdmr_init(struct tdx_module *m, struct call *c)
{
	const u64 base = in(c, TDX_RCX);
	struct tdmr *t = find_tdmr(m, base);
	u64 left;

	if (!t)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RCX;
	if (busy_exclusive(m, &t->lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_RCX;
	left = t->base + t->size - t->next;
	if (!left)
		return TDX_TDMR_ALREADY_INITIALIZED;

	t->next += left < m->cfg.tdmr_init_bytes ? left : m->cfg.tdmr_init_bytes;
	out(c, TDX_RDX, t->next & ~(SIZE_1G - 1));
	return TDX_SUCCESS;
}

/* Only whole gigabytes can be used, as the module tells by SYS.TDMR.INIT's RDX. */
static const struct tdmr *covering_tdmr(const struct tdx_module *m, u64 pa)
{
	for (unsigned int i = 0; i < m->nr_tdmrs; i++) {
		const struct tdmr *t = &m->tdmr[i];

		if (pa >= t->base && pa < (t->next & ~(SIZE_1G - 1)))
			return t;
	}
	return NULL;
}

static bool reserved(const struct tdmr *t, u64 pa)
{
	for (unsigned int i = 0; i < t->nr_reserved; i++)
		if (pa - t->base >= t->reserved[i].base &&
		    pa - t->base - t->reserved[i].base < t->reserved[i].size)
			return true;
	return false;
}

static struct pamt_block *new_block(const struct tdmr *t, u64 pa)
{
	struct pamt_block *b = calloc(1, sizeof(*b));

	pa &= ~(SIZE_2M - 1);
	for (unsigned int i = 0; b && i < ARRAY_SIZE(b->page); i++)
		if (reserved(t, pa + i * PAGE_SIZE))
			b->page[i].type = TDX_PT_RSVD;
	return b;
}

static struct pamt_block **block_of(const struct tdmr *t, u64 pa)
{
	return &t->blocks[(pa - t->base) / SIZE_2M];
}

static struct pamt *page_in_block(struct pamt_block *b, u64 pa)
{
	return &b->page[pa / PAGE_SIZE % ARRAY_SIZE(b->page)];
}

/* Return: the entry, if anyone has asked for it before; else NULL. */
const struct pamt *pamt_peek(const struct tdx_module *m, u64 pa)
{
	const struct tdmr *t = covering_tdmr(m, pa);
	struct pamt_block *b = t ? *block_of(t, pa) : NULL;

	return b ? page_in_block(b, pa) : NULL;
}

/* Return: NULL outside the TDMRs, or if memory runs out. */
struct pamt *pamt_of(struct tdx_module *m, u64 pa)
{
	const struct tdmr *t = covering_tdmr(m, pa);
	struct pamt_block **b;

	if (!t)
		return NULL;
	b = block_of(t, pa);
	if (!*b)
		*b = new_block(t, pa);
	return *b ? page_in_block(*b, pa) : NULL;
}

/* An operand that is the address of a page, of whatever type. */
u64 check_hpa(struct tdx_module *m, u64 pa, unsigned int operand, struct pamt **p)
{
	if (!aligned(pa, PAGE_SIZE) || pa >> (m->cfg.max_pa - m->cfg.keyid_bits))
		return TDX_OPERAND_INVALID | operand;
	if (!covering_tdmr(m, pa))
		return TDX_OPERAND_ADDR_RANGE_ERROR | operand;
	*p = pamt_of(m, pa);
	return *p ? 0 : TDX_OPERAND_BUSY | operand;
}

u64 check_page(struct tdx_module *m, u64 pa, unsigned int operand, bool exclusive,
	       enum tdx_page_type type, struct pamt **p)
{
	const u64 status = check_hpa(m, pa, operand, p);

	if (status)
		return status;
	if (busy(m, &(*p)->lock, exclusive))
		return TDX_OPERAND_BUSY | operand;
	if ((*p)->type != type || (*p)->size)
		return TDX_PAGE_METADATA_INCORRECT | operand;
	return 0;
}

u64 check_free_2m(struct tdx_module *m, u64 pa, unsigned int operand, struct pamt **p)
{
	u64 status;

	if (!aligned(pa, SIZE_2M))
		return TDX_OPERAND_INVALID | operand;
	status = check_hpa(m, pa, operand, p);
	if (status)
		return status;
	for (unsigned int i = 0; i < 512; i++) {
		if (is_taken(&(*p)[i].lock, true))
			return TDX_OPERAND_BUSY | operand;
		if ((*p)[i].type != TDX_PT_NDA)
			return TDX_PAGE_METADATA_INCORRECT | operand;
	}
	return 0;
}

/* Give a page, of the size that @p says, to a TD. */
void own_page(struct tdx_module *m, struct pamt *p, u64 pa, enum tdx_page_type type,
	      struct td *td)
{
	const unsigned int nr = p->size ? 512 : 1;

	for (unsigned int i = 0; i < nr; i++) {
		p[i].type = type;
		p[i].size = p->size;
		p[i].level = p->level;
		p[i].td = td;
		p[i].vcpu = NULL;
		p[i].gpa = p->gpa + i * PAGE_SIZE;
		p[i].bepoch = 0;
	}
	if (type != TDX_PT_TDR)
		td->nr_children += nr;
	tell(m, TDX_OWNED, p, pa);
}

void release_page(struct tdx_module *m, struct pamt *p, u64 pa)
{
	const unsigned int nr = p->size ? 512 : 1;

	tell(m, TDX_RELEASED, p, pa);
	if (p->type != TDX_PT_TDR)
		p->td->nr_children -= nr;
	for (unsigned int i = 0; i < nr; i++) {
		const struct lock lock = p[i].lock;

		p[i] = (struct pamt) { .type = TDX_PT_NDA, .lock = lock };
	}
}

/* Visit each page that has an owner, by address. */
static int for_each_owned(const struct tdx_module *m,
			  int (*fn)(void *ctx, const struct pamt *p, u64 pa), void *ctx)
{
	for (unsigned int i = 0; i < m->nr_tdmrs; i++) {
		const struct tdmr *t = &m->tdmr[i];

		for (u64 b = 0; b < t->size / SIZE_2M; b++) {
			unsigned int page = 0;

			while (t->blocks[b] && page < 512) {
				const struct pamt *p = &t->blocks[b]->page[page];
				const u64 pa = t->base + b * SIZE_2M + page * PAGE_SIZE;
				int ret = owned(p) ? fn(ctx, p, pa) : 0;

				if (ret)
					return ret;
				page += p->size ? 512 : 1;
			}
		}
	}
	return 0;
}

struct visit {
	const struct tdx_module *m;
	void (*pamt)(void *ctx, const struct pamt *p, u64 pa);
	int (*page)(void *ctx, const struct tdx_page *page);
	void *ctx;
	u64 tdr;
};

static int visit_pamt(void *ctx, const struct pamt *p, u64 pa)
{
	const struct visit *v = ctx;

	v->pamt(v->ctx, p, pa);
	return 0;
}

void pamt_for_each(const struct tdx_module *m,
		   void (*fn)(void *ctx, const struct pamt *p, u64 pa), void *ctx)
{
	struct visit v = { .m = m, .pamt = fn, .ctx = ctx };

	for_each_owned(m, visit_pamt, &v);
}

static void describe(const struct tdx_module *m, const struct pamt *p, u64 pa,
		     struct tdx_page *page)
{
	*page = (struct tdx_page) {
		.pa = pa & ~(level_size(p->size) - 1),
		.level = p->size,
		.type = p->type,
	};
	if (!owned(p))
		return;
	p -= (pa - page->pa) / PAGE_SIZE;
	page->tdr = p->td->tdr;
	page->keyid = p->type == TDX_PT_TDR ? m->global_keyid : p->td->keyid;
	page->has_gpa = p->type == TDX_PT_REG || p->type == TDX_PT_EPT;
	page->gpa = p->gpa;
	page->ept_level = p->level;
	page->bepoch = p->bepoch;
}

bool tdx_page_owner(const struct tdx_module *m, u64 pa, struct tdx_page *page)
{
	const struct tdmr *t = covering_tdmr(m, pa);
	const struct pamt *p = pamt_peek(m, pa);

	if (!t)
		return false;
	pa &= ~(PAGE_SIZE - 1);
	if (p)
		describe(m, p, pa, page);
	else
		*page = (struct tdx_page) {
			.pa = pa,
			.type = reserved(t, pa) ? TDX_PT_RSVD : TDX_PT_NDA,
		};
	return true;
}

static int visit_page(void *ctx, const struct pamt *p, u64 pa)
{
	const struct visit *v = ctx;
	struct tdx_page page;

	if (v->tdr && v->tdr != p->td->tdr)
		return 0;
	describe(v->m, p, pa, &page);
	return v->page(v->ctx, &page);
}

int tdx_for_each_page(const struct tdx_module *m, u64 tdr,
		      int (*fn)(void *ctx, const struct tdx_page *page), void *ctx)
{
	struct visit v = { .m = m, .page = fn, .ctx = ctx, .tdr = tdr };

	return for_each_owned(m, visit_page, &v);
}
