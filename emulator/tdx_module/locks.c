// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks that somebody holds for longer than the library takes for a call: an imaginary
 * logical processor, or one whose call is to seem to take its time.
 */
#include <errno.h>

#include "internal.h"

static void take(struct lock *l, bool exclusive)
{
	if (exclusive)
		l->exclusive = true;
	else
		l->shared++;
}

static void drop(struct lock *l, bool exclusive)
{
	if (exclusive)
		l->exclusive = false;
	else
		l->shared--;
}

/* ---- Of a call ---- */

/* One that looks at more has the first of them. */
void note_lock(struct tdx_module *m, struct lock *l, bool exclusive)
{
	struct kept_locks *k = &m->noted;

	if (k->nr < MAX_KEPT)
		k->locks[k->nr++] = (struct kept_lock) { l, exclusive };
}

/*
 * Of a call that has returned.  It may have looked at a lock twice; as it was not taken by
 * others, it has it as often.
 */
void keep_locks(struct tdx_module *m, unsigned int lp)
{
	struct kept_locks *k = &m->lp[lp].kept;

	if (!m->noted.nr)
		return;
	*k = m->noted;
	m->noted.nr = 0;
	for (unsigned int i = 0; i < k->nr; i++)
		take(k->locks[i].lock, k->locks[i].exclusive);
}

void tdx_keep(struct tdx_module *m, bool keeps)
{
	m->keeps = keeps;
}

void tdx_release(struct tdx_module *m, unsigned int lp)
{
	struct kept_locks *k = &m->lp[lp].kept;

	while (k->nr) {
		k->nr--;
		drop(k->locks[k->nr].lock, k->locks[k->nr].exclusive);
	}
}

static void forget_some(struct kept_locks *k, const void *start, size_t size)
{
	const char *first = start;
	unsigned int left = 0;

	for (unsigned int i = 0; i < k->nr; i++) {
		const char *l = (const char *)k->locks[i].lock;

		if (l < first || l >= first + size)
			k->locks[left++] = k->locks[i];
	}
	k->nr = left;
}

void forget_locks(struct tdx_module *m, const void *start, size_t size)
{
	forget_some(&m->noted, start, size);
	for (unsigned int i = 0; i < m->cfg.nr_lps; i++)
		forget_some(&m->lp[i].kept, start, size);
}

/* ---- Of nobody ---- */

static struct lock *find_lock(struct tdx_module *m, enum tdx_lock which, u64 pa)
{
	struct tdmr *tdmr;
	struct td *td;

	switch (which) {
	case TDX_LOCK_SYS:
		return &m->sys_lock;
	case TDX_LOCK_KOT:
		return &m->kot_lock;
	case TDX_LOCK_KET:
		return &m->ket_lock;
	case TDX_LOCK_WBCACHE:
		return pa < m->cfg.nr_pkgs ? &m->wb[pa].lock : NULL;
	case TDX_LOCK_TDMR:
		tdmr = find_tdmr(m, pa);
		return tdmr ? &tdmr->lock : NULL;
	case TDX_LOCK_PAGE: {
		struct pamt *p = aligned(pa, PAGE_SIZE) ? pamt_of(m, pa) : NULL;

		return p ? &p->lock : NULL;
	}
	default:
		td = find_td(m, pa);
		if (!td)
			return NULL;
		if (which == TDX_LOCK_OP_STATE)
			return &td->op_state_lock;
		return which == TDX_LOCK_SEPT_TREE ? &td->sept_lock : &td->epoch_lock;
	}
}

/* The lock of an S-EPT entry is a bit of it. */
static int flip_entry_lock(struct tdx_module *m, u64 tdr, u64 gpa, bool take)
{
	const struct td *td = find_td(m, tdr);
	struct entry e;

	if (!td || td->lifecycle != LC_KEYS_CONFIGURED ||
	    td->op_state == OS_UNINITIALIZED ||
	    !page_info_valid(gpa, 0, td->root_level) || !private_gpa_valid(td, gpa & SEPT_HPA) ||
	    sept_walk(m, td, gpa & SEPT_HPA, gpa & 7, &e) != WALK_DONE)
		return -ENOENT;
	if (!!(e.raw & SEPT_LOCK) == take)
		return take ? -EBUSY : -ENOENT;
	sept_set(m, &e, e.raw ^ SEPT_LOCK);
	return 0;
}

int tdx_lock_take(struct tdx_module *m, enum tdx_lock which, u64 pa, u64 gpa,
		  bool exclusive)
{
	struct lock *l;

	if (which == TDX_LOCK_SEPT_ENTRY)
		return flip_entry_lock(m, pa, gpa, true);
	l = find_lock(m, which, pa);
	if (!l)
		return -ENOENT;
	if (is_taken(l, exclusive) || l->shared == UINT16_MAX)
		return -EBUSY;
	take(l, exclusive);
	return 0;
}

int tdx_lock_drop(struct tdx_module *m, enum tdx_lock which, u64 pa, u64 gpa,
		  bool exclusive)
{
	struct lock *l;

	if (which == TDX_LOCK_SEPT_ENTRY)
		return flip_entry_lock(m, pa, gpa, false);
	l = find_lock(m, which, pa);
	if (!l || (exclusive ? !l->exclusive : !l->shared))
		return -ENOENT;
	drop(l, exclusive);
	return 0;
}
