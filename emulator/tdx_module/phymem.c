// SPDX-License-Identifier: GPL-2.0-only
/*
 * Physical pages, whoever owns them, and caches (TDH.PHYMEM.*).
 */
#include "internal.h"

u64 phymem_page_rdmd(struct tdx_module *m, struct call *c)
{
	struct pamt *p;
	const u64 status = check_hpa(m, in(c, TDX_RCX), TDX_OPERAND_RCX, &p);
	struct tdx_page page;

	if (status)
		return status;
	if (busy_shared(m, &p->lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_RCX;

	tdx_page_owner(m, in(c, TDX_RCX), &page);
	out(c, TDX_RCX, page.type);
	out(c, TDX_RDX, page.type == TDX_PT_TDR ? 0 : page.tdr);
	out(c, TDX_R8, page.level);
	if (page.has_gpa)
		out(c, TDX_R9, page.bepoch);
	return TDX_SUCCESS;
}

u64 phymem_page_reclaim(struct tdx_module *m, struct call *c)
{
	const u64 pa = in(c, TDX_RCX);
	struct pamt *p;
	struct td *td;
	u64 status;
	u8 type;

	status = check_hpa(m, pa, TDX_OPERAND_RCX, &p);
	if (status)
		return status;
	if (busy_exclusive(m, &p->lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_RCX;
	if (p->type == TDX_PT_NDA || p->type == TDX_PT_RSVD)
		return TDX_PAGE_METADATA_INCORRECT | TDX_OPERAND_RCX;
	td = p->td;
	out(c, TDX_RCX, p->type);
	out(c, TDX_RDX, p->type == TDX_PT_TDR ? 0 : td->tdr);
	out(c, TDX_R8, p->size);
	if (!aligned(pa, level_size(p->size)))
		return TDX_OPERAND_INVALID | TDX_OPERAND_RCX;
	if (p->type != TDX_PT_TDR && busy_shared(m, &td->pamt->lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_TDR;
	if (td->lifecycle != LC_TEARDOWN)
		return TDX_LIFECYCLE_STATE_INCORRECT;
	if (p->type == TDX_PT_TDR && td->nr_children)
		return TDX_TD_ASSOCIATED_PAGES_EXIST;

	type = p->type;
	if (type == TDX_PT_TDVPR)
		free_vcpu(p->vcpu);
	release_page(m, p, pa);
	if (type == TDX_PT_TDR)
		free_td(m, td);
	return TDX_SUCCESS;
}

static bool test_bit(const u8 *bits, unsigned int n)
{
	return bits[n / 8] >> n % 8 & 1;
}

u64 phymem_cache_wb(struct tdx_module *m, struct call *c)
{
	const unsigned int package = lp_package(m, c->lp);
	const u64 resume = in(c, TDX_RCX);
	struct wbcache *wb = &m->wb[package];
	bool any = false;

	if (resume > 1)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RCX;
	if (busy_exclusive(m, &wb->lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_WBCACHE;
	if (busy_shared(m, &m->kot_lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_KOT;
	if (!resume) {
		/* Keyids that are flushed later need another round. */
		memset(wb->flushed, 0, sizeof(wb->flushed));
		wb->next = 0;
		for (unsigned int k = m->cfg.first_keyid; is_private_keyid(m, k); k++)
			if (m->kot[k].state == KOT_FLUSHED) {
				wb->flushed[k / 8] |= 1 << k % 8;
				any = true;
			}
		if (!any)
			return TDX_NO_HKID_READY_TO_WBCACHE;
	} else if (!wb->next) {
		return TDX_WBCACHE_RESUME_ERROR;
	}

	/* An injected interrupt needs a step to come before. */
	while (++wb->next < m->cfg.wb_blocks + (c->interrupted && !resume))
		if (c->interrupted || (m->ops.host_interrupt_pending &&
				       m->ops.host_interrupt_pending(m->ops.ctx, c->lp)))
			return TDX_INTERRUPTED_RESUMABLE;
	wb->next = 0;
	for (unsigned int k = m->cfg.first_keyid; is_private_keyid(m, k); k++)
		if (test_bit(wb->flushed, k))
			m->kot[k].wbinvd &= ~(1u << package);
	return TDX_SUCCESS;
}

u64 phymem_page_wbinvd(struct tdx_module *m, struct call *c)
{
	const u64 keyed = in(c, TDX_RCX), pa = keyed & ~m->keyid_mask;
	struct pamt *p;
	const u64 status = check_page(m, pa, TDX_OPERAND_RCX, false, TDX_PT_NDA, &p);

	if (status)
		return status;
	if (m->watch) {
		const struct tdx_event event = {
			.kind = TDX_FLUSHED,
			.pa = pa,
			.size = PAGE_SIZE,
			.keyid = pa_keyid(m, keyed),
		};

		m->watch(m->watch_ctx, &event);
	}
	return TDX_SUCCESS;
}
