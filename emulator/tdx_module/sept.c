// SPDX-License-Identifier: GPL-2.0-only
/*
 * The Secure EPT: entries, their states, and the walk.
 *
 * Tables are in the pages that the host VMM donates, as the CPU walks them.  On
 * hardware nobody but the module can write them.  Here somebody may, so the walk
 * believes an entry only if the PAMT says the same; else the TD is dead, as it
 * were of a machine check.
 */
#include "internal.h"

/* @bits: what an entry of this state has besides its address and suppress-#VE */
static const struct state {
	u64 state, bits;
	u8 public_state;
	bool blocked;
} states[] = {
	{ ST_FREE, 0, TDX_SEPT_FREE, false },
	{ ST_NL_MAPPED, SEPT_RWX, TDX_SEPT_NL_MAPPED, false },
	{ ST_NL_BLOCKED, 0, TDX_SEPT_NL_BLOCKED, true },
	{ ST_MAPPED, SEPT_RWX | SEPT_WB, TDX_SEPT_MAPPED, false },
	{ ST_BLOCKED, SEPT_WB, TDX_SEPT_BLOCKED, true },
	{ ST_PENDING, SEPT_WB, TDX_SEPT_PENDING, false },
	{ ST_PENDING_BLOCKED, SEPT_WB, TDX_SEPT_PENDING_BLOCKED, true },
};

static const struct state *find_state(u64 raw)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++)
		if (states[i].state == sept_state(raw))
			return &states[i];
	return NULL;
}

u64 sept_state(u64 raw)
{
	return raw & SEPT_STATE;
}

u8 sept_public_state(u64 raw)
{
	return find_state(raw)->public_state;
}

bool sept_blocked(u64 raw)
{
	return find_state(raw)->blocked;
}

u64 sept_entry(u64 state, u64 pa)
{
	return pa | find_state(state)->bits | state | SEPT_SVE;
}

/* Is the entry one that the library has written? */
static bool believable(const struct tdx_module *m, const struct td *td, u64 gpa,
		       const struct entry *e)
{
	const u64 state = sept_state(e->raw), pa = e->raw & SEPT_HPA;
	const bool leaf = e->raw & SEPT_LEAF;
	const struct pamt *p;

	if (!find_state(state) ||
	    (e->raw & ~(SEPT_LOCK | SEPT_PRIORITY)) != sept_entry(state, pa))
		return false;
	if (state == ST_FREE)
		return !pa;
	p = pamt_peek(m, pa);
	return p && p->td == td && p->type == (leaf ? TDX_PT_REG : TDX_PT_EPT) &&
	       p->size == (leaf ? e->level : 0) && p->level == e->level &&
	       p->gpa == (gpa & ~(level_size(e->level) - 1));
}

/*
 * Walk down to the entry that maps @gpa at @level.
 *
 * WALK_FAILED: @e is a higher one, where there is no table to go on with, or none, if
 * @gpa is beyond what the root maps.
 */
enum walk sept_walk(struct tdx_module *m, const struct td *td, u64 gpa,
		    unsigned int level, struct entry *e)
{
	u64 table = td->tdcs[SEPT_ROOT_INDEX];

	if (gpa >> (PAGE_SHIFT + 9 * (td->root_level + 1))) {
		*e = (struct entry) { .level = td->root_level, .raw = SEPT_FREE_ENTRY };
		return WALK_FAILED;
	}
	for (e->level = td->root_level;; e->level--) {
		e->pa = table + (gpa >> (PAGE_SHIFT + 9 * e->level) & 511) * 8;
		e->raw = read64(m, e->pa);
		if (!believable(m, td, gpa, e))
			return WALK_CORRUPT;
		if (e->level == level)
			return WALK_DONE;
		if (!(e->raw & SEPT_RWX) || e->raw & SEPT_LEAF)
			return WALK_FAILED;
		table = e->raw & SEPT_HPA;
	}
}

/* What the host VMM gets to see of an entry. */
static u64 visible(u64 raw)
{
	if (sept_state(raw) == ST_FREE)
		return SEPT_SVE;
	if (raw & SEPT_LEAF)
		return raw & (SEPT_RWX | SEPT_MT | SEPT_HPA | SEPT_IPAT | SEPT_LEAF | SEPT_SVE);
	return raw & (SEPT_RWX | SEPT_LEAF);
}

static void show(struct call *c, const struct entry *e)
{
	out(c, TDX_RCX, visible(e->raw));
	out(c, TDX_RDX, e->level | (u64)sept_public_state(e->raw) << 8);
}

/* GPA and level, as memory leaves take them in RCX. */
bool page_info_valid(u64 rcx, unsigned int min, unsigned int max)
{
	const unsigned int level = rcx & 7;

	return !(rcx & 0xff8) && !(rcx >> 52) && level >= min && level <= max &&
	       aligned(rcx & SEPT_HPA, level_size(level));
}

bool gpa_is_shared(const struct td *td, u64 gpa)
{
	return gpa >> (td->gpa_bits - 1) & 1;
}

/* A GPA of either kind. */
bool gpa_valid(const struct td *td, u64 gpa)
{
	const unsigned int width = td->virt_max_pa < td->gpa_bits ?
				   td->virt_max_pa : td->gpa_bits;

	return !((gpa & ~BIT(td->gpa_bits - 1)) >> width);
}

bool private_gpa_valid(const struct td *td, u64 gpa)
{
	return gpa_valid(td, gpa) && !gpa_is_shared(td, gpa);
}

/* An error that shows the host VMM the entry. */
u64 sept_refuse(struct call *c, const struct entry *e, u64 status)
{
	show(c, e);
	return status | TDX_OPERAND_RCX;
}

/*
 * What all memory leaves that name an entry by RCX do: check the operand, look at
 * the lock of the tree, walk.
 */
u64 sept_reach(struct tdx_module *m, struct call *c, struct td *td, enum mode tree,
	       unsigned int min, unsigned int max, struct entry *e)
{
	const u64 rcx = in(c, TDX_RCX), gpa = rcx & SEPT_HPA;

	if (!page_info_valid(rcx, min, max) || !private_gpa_valid(td, gpa))
		return TDX_OPERAND_INVALID | TDX_OPERAND_RCX;
	if ((tree == EXCLUSIVE && busy_exclusive(m, &td->sept_lock)) ||
	    (tree == SHARED && busy_shared(m, &td->sept_lock)))
		return TDX_OPERAND_BUSY | TDX_OPERAND_SEPT_TREE;
	switch (sept_walk(m, td, gpa, rcx & 7, e)) {
	case WALK_CORRUPT:
		td->fatal = true;
		return TDX_TD_FATAL;
	case WALK_FAILED:
		return sept_refuse(c, e, TDX_EPT_WALK_FAILED);
	case WALK_DONE:
		break;
	}
	return 0;
}

/*
 * Take the lock of an entry.  Who fails asks for priority over the guest, and who
 * succeeds no longer needs it; the caller writes the entry if it goes on.
 */
static u64 lock_host(struct tdx_module *m, struct call *c, struct entry *e)
{
	if (e->raw & SEPT_LOCK) {
		sept_set(m, e, e->raw | SEPT_PRIORITY);
		return sept_refuse(c, e, TDX_OPERAND_BUSY);
	}
	if (e->raw & SEPT_PRIORITY)
		sept_set(m, e, e->raw & ~SEPT_PRIORITY);
	return 0;
}

/* What leaves do that may be called before the TD runs and after: is it time, reach, lock. */
u64 sept_open(struct tdx_module *m, struct call *c, struct td *td, enum mode tree,
	      unsigned int min, unsigned int max, struct entry *e)
{
	return check_td_state(m, td, c->leaf, true) ?: sept_reach(m, c, td, tree, min, max, e) ?:
	       lock_host(m, c, e);
}

void sept_set(struct tdx_module *m, struct entry *e, u64 raw)
{
	e->raw = raw;
	write64(m, e->pa, raw);
}

/* Take from the tree the page that the entry has there, and give it back. */
u64 sept_take(struct tdx_module *m, struct call *c, struct entry *e, struct pamt *p)
{
	const u64 pa = e->raw & SEPT_HPA;

	sept_set(m, e, SEPT_FREE_ENTRY);
	tell(m, TDX_UNMAPPED, p, pa);
	release_page(m, p, pa);
	out(c, TDX_RCX, pa);
	return TDX_SUCCESS;
}

/* Can no LP have a translation any more that was blocked in @bepoch? */
bool tlb_tracked(const struct td *td, u64 bepoch)
{
	return bepoch + 1 < td->epoch ||
	       (bepoch + 1 == td->epoch && !td->refs[bepoch & 1]);
}

u64 mem_sept_add(struct tdx_module *m, struct call *c)
{
	const u64 rdx = in(c, TDX_RDX), flags = rdx & (PAGE_SIZE - 1);
	const u64 pa = c->version ? in(c, TDX_R8) & ~BIT(63) : in(c, TDX_R8);
	const bool allow_existing = flags & 1;
	struct entry e;
	struct pamt *p;
	struct td *td;
	u64 status;

	if (c->version > 1)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RAX;
	if (flags & ~1ull || rdx >> 52)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RDX;
	status = explicit_td(m, rdx & SEPT_HPA, TDX_OPERAND_RDX, false, &td);
	if (!status)
		status = sept_open(m, c, td, SHARED, 1, td->root_level, &e);
	if (status)
		return status;
	if (sept_state(e.raw) != ST_FREE) {
		if (allow_existing && sept_state(e.raw) == ST_NL_MAPPED)
			return TDX_SUCCESS;
		return sept_refuse(c, &e, TDX_EPT_ENTRY_STATE_INCORRECT);
	}
	status = check_page(m, pa, TDX_OPERAND_R8, true, TDX_PT_NDA, &p);
	if (status)
		return status;

	fill_page(m, pa, SEPT_FREE_ENTRY);
	p->gpa = in(c, TDX_RCX) & SEPT_HPA;
	p->level = e.level;
	own_page(m, p, pa, TDX_PT_EPT, td);
	sept_set(m, &e, sept_entry(ST_NL_MAPPED, pa));
	tell(m, TDX_MAPPED, p, pa);
	return TDX_SUCCESS;
}

u64 mem_sept_remove(struct tdx_module *m, struct call *c)
{
	struct entry e;
	struct pamt *p;
	struct td *td;
	u64 status, pa;

	if (c->version > 1)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RAX;
	status = explicit_td(m, in(c, TDX_RDX), TDX_OPERAND_RDX, false, &td);
	if (!status)
		status = sept_open(m, c, td, EXCLUSIVE, 1, td->root_level, &e);
	if (status)
		return status;
	if (sept_state(e.raw) != ST_NL_MAPPED && sept_state(e.raw) != ST_NL_BLOCKED)
		return sept_refuse(c, &e, TDX_EPT_ENTRY_STATE_INCORRECT);
	pa = e.raw & SEPT_HPA;
	p = pamt_of(m, pa);
	if (busy_exclusive(m, &p->lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_RCX;
	if (td->op_state == OS_RUNNABLE && !sept_blocked(e.raw))
		return sept_refuse(c, &e, TDX_GPA_RANGE_NOT_BLOCKED);
	if (td->op_state == OS_RUNNABLE && !tlb_tracked(td, p->bepoch))
		return TDX_TLB_TRACKING_NOT_DONE | TDX_OPERAND_RCX;
	for (unsigned int i = 0; i < 512; i++)
		if (sept_state(read64(m, pa + 8 * i)) != ST_FREE)
			return sept_refuse(c, &e, TDX_EPT_PAGE_NOT_FREE);

	return sept_take(m, c, &e, p);
}

u64 mem_sept_rd(struct tdx_module *m, struct call *c)
{
	struct entry e;
	struct td *td;
	u64 status;

	status = explicit_td(m, in(c, TDX_RDX), TDX_OPERAND_RDX, false, &td);
	if (!status)
		status = sept_open(m, c, td, SHARED, 0, td->root_level, &e);
	if (status)
		return status;
	show(c, &e);
	return TDX_SUCCESS;
}

bool tdx_sept_lookup(struct tdx_module *m, u64 tdr, u64 gpa, struct tdx_sept *sept)
{
	const struct td *td = find_td(m, tdr);
	struct entry e;

	if (!td || td->lifecycle != LC_KEYS_CONFIGURED ||
	    td->op_state == OS_UNINITIALIZED || !private_gpa_valid(td, gpa))
		return false;
	if (sept_walk(m, td, gpa & SEPT_HPA, 0, &e) == WALK_CORRUPT)
		return false;
	*sept = (struct tdx_sept) {
		.level = e.level,
		.entry = e.raw,
		.state = sept_public_state(e.raw),
	};
	return true;
}
