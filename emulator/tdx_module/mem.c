// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TD's private pages: adding, blocking, tracking, removing (TDH.MEM.*).
 *
 * Before a page can be removed from a TD that runs, no TLB may hold its
 * translation.  BLOCK takes the access away and stamps the page with the TD's
 * epoch; TRACK starts a new epoch; whoever enters in the new epoch drops what it
 * has cached.  The page can go when nobody runs in the old epoch any more.
 */
#include "internal.h"

u64 mem_page_add(struct tdx_module *m, struct call *c)
{
	const u64 pa = in(c, TDX_R8), source = in(c, TDX_R9);
	u8 page[PAGE_SIZE];
	struct entry e;
	struct pamt *p;
	struct td *td;
	u64 status, gpa;

	status = explicit_td(m, in(c, TDX_RDX), TDX_OPERAND_RDX, true, &td);
	if (!status)
		status = check_td_state(m, td, c->leaf, false);
	if (!status)
		status = sept_reach(m, c, td, UNLOCKED, 0, 0, &e);
	if (status)
		return status;
	if (sept_state(e.raw) != ST_FREE)
		return sept_refuse(c, &e, TDX_EPT_ENTRY_STATE_INCORRECT);
	if (!aligned(source, PAGE_SIZE) || !shared_hpa_valid(m, source))
		return TDX_OPERAND_INVALID | TDX_OPERAND_R9;
	status = check_page(m, pa, TDX_OPERAND_R8, true, TDX_PT_NDA, &p);
	if (status)
		return status;

	gpa = in(c, TDX_RCX) & SEPT_HPA;
	read_shared(m, source, page, sizeof(page));
	m->ops.write(m->ops.ctx, pa, page, sizeof(page));
	p->gpa = gpa;
	p->level = 0;
	own_page(m, p, pa, TDX_PT_REG, td);
	sept_set(m, &e, sept_entry(ST_MAPPED, pa));
	mr_page_add(td, gpa);
	tell(m, TDX_MAPPED, p, pa);
	tell(m, TDX_ACCEPTED, p, pa);
	return TDX_SUCCESS;
}

u64 mem_page_aug(struct tdx_module *m, struct call *c)
{
	const u64 pa = in(c, TDX_R8);
	struct entry e;
	struct pamt *p;
	struct td *td;
	u64 status;

	status = explicit_td(m, in(c, TDX_RDX), TDX_OPERAND_RDX, false, &td);
	if (!status)
		status = sept_open(m, c, td, SHARED, 0, 1, &e);
	if (status)
		return status;
	if (sept_state(e.raw) != ST_FREE)
		return sept_refuse(c, &e, TDX_EPT_ENTRY_STATE_INCORRECT);
	status = e.level ? check_free_2m(m, pa, TDX_OPERAND_R8, &p) :
			   check_page(m, pa, TDX_OPERAND_R8, true, TDX_PT_NDA, &p);
	if (status)
		return status;

	p->gpa = in(c, TDX_RCX) & SEPT_HPA;
	p->level = e.level;
	p->size = e.level;
	own_page(m, p, pa, TDX_PT_REG, td);
	sept_set(m, &e, sept_entry(ST_PENDING, pa));
	tell(m, TDX_MAPPED, p, pa);
	return TDX_SUCCESS;
}

u64 mem_range_block(struct tdx_module *m, struct call *c)
{
	struct entry e;
	struct pamt *p;
	struct td *td;
	u64 status, state, pa;

	status = explicit_td(m, in(c, TDX_RDX), TDX_OPERAND_RDX, false, &td);
	if (!status)
		status = sept_open(m, c, td, EXCLUSIVE, 0, td->root_level, &e);
	if (status)
		return status;
	state = sept_state(e.raw);
	if (state == ST_FREE)
		return sept_refuse(c, &e, TDX_EPT_ENTRY_STATE_INCORRECT);
	if (sept_blocked(e.raw))
		return sept_refuse(c, &e, TDX_GPA_RANGE_ALREADY_BLOCKED);

	/* All three states that can be blocked differ from that by one bit. */
	pa = e.raw & SEPT_HPA;
	sept_set(m, &e, sept_entry(state | ST_NL_BLOCKED, pa));
	p = pamt_of(m, pa);
	p->bepoch = td->epoch;
	tell(m, TDX_BLOCKED, p, pa);
	return TDX_SUCCESS;
}

u64 mem_range_unblock(struct tdx_module *m, struct call *c)
{
	struct entry e;
	struct pamt *p;
	struct td *td;
	u64 status, pa;

	status = explicit_td(m, in(c, TDX_RDX), TDX_OPERAND_RDX, false, &td);
	if (!status)
		status = sept_open(m, c, td, EXCLUSIVE, 0, td->root_level, &e);
	if (status)
		return status;
	if (!sept_blocked(e.raw))
		return sept_refuse(c, &e, TDX_EPT_ENTRY_STATE_INCORRECT);
	pa = e.raw & SEPT_HPA;
	p = pamt_of(m, pa);
	if (td->op_state == OS_RUNNABLE && !tlb_tracked(td, p->bepoch))
		return TDX_TLB_TRACKING_NOT_DONE | TDX_OPERAND_RCX;

	sept_set(m, &e, sept_entry(sept_state(e.raw) & ~ST_NL_BLOCKED, pa));
	tell(m, TDX_UNBLOCKED, p, pa);
	return TDX_SUCCESS;
}

u64 mem_track(struct tdx_module *m, struct call *c)
{
	struct td *td;
	u64 status;

	status = explicit_td(m, in(c, TDX_RCX), TDX_OPERAND_RCX, false, &td);
	if (!status)
		status = check_td_state(m, td, c->leaf, true);
	if (status)
		return status;
	if (busy_exclusive(m, &td->epoch_lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_TD_EPOCH;
	if (td->refs[1 - (td->epoch & 1)])
		return TDX_PREVIOUS_TLB_EPOCH_BUSY;

	td->epoch++;
	return TDX_SUCCESS;
}

u64 mem_page_remove(struct tdx_module *m, struct call *c)
{
	struct entry e;
	struct pamt *p;
	struct td *td;
	u64 status;

	status = explicit_td(m, in(c, TDX_RDX), TDX_OPERAND_RDX, false, &td);
	if (!status)
		status = sept_open(m, c, td, SHARED, 0, 2, &e);
	if (status)
		return status;
	if (!(e.raw & SEPT_LEAF))
		return sept_refuse(c, &e, TDX_EPT_ENTRY_STATE_INCORRECT);
	p = pamt_of(m, e.raw & SEPT_HPA);
	if (busy_exclusive(m, &p->lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_RCX;
	if (td->op_state == OS_RUNNABLE && !sept_blocked(e.raw) && !m->cfg.lenient)
		return sept_refuse(c, &e, TDX_GPA_RANGE_NOT_BLOCKED);
	if (td->op_state == OS_RUNNABLE && !tlb_tracked(td, p->bepoch) && !m->cfg.lenient)
		return TDX_TLB_TRACKING_NOT_DONE | TDX_OPERAND_RCX;

	return sept_take(m, c, &e, p);
}
