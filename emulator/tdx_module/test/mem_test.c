// SPDX-License-Identifier: GPL-2.0-only
/* TDH.MEM.*, TDH.MR.*, and every transition of an S-EPT entry */
#include <string.h>

#include "operands.h"

#define WALK_FAILED	(TDX_EPT_WALK_FAILED | TDX_OPERAND_RCX)
#define BAD_STATE	(TDX_EPT_ENTRY_STATE_INCORRECT | TDX_OPERAND_RCX)
#define FREE		0x80e0000000000000ull
#define SVE		(1ull << 63)

static struct w_td td;
static struct w_vcpu vcpu;

/* Where the entry for @gpa below 2M is. */
static uint64_t pte(uint64_t gpa)
{
	return td.table[2] + (gpa >> 12) * 8;
}

static uint64_t pde(void)
{
	return td.table[1];
}

static void ready(bool runnable)
{
	sys_ready();
	if (runnable) {
		td_runnable(&td, &vcpu);
	} else {
		td_inited(&td);
		td_tables(&td);
		vcpu_inited(&td, &vcpu);
	}
}

static uint64_t add(uint64_t gpa, uint64_t pa)
{
	return call(TDH_MEM_PAGE_ADD, gpa, td.tdr, pa, W_SOURCE);
}

static uint64_t aug(uint64_t gpa, uint64_t pa)
{
	return call(TDH_MEM_PAGE_AUG, gpa, td.tdr, pa, 0);
}

static uint64_t block(uint64_t gpa)
{
	return call(TDH_MEM_RANGE_BLOCK, gpa, td.tdr, 0, 0);
}

static uint64_t unblock(uint64_t gpa)
{
	return call(TDH_MEM_RANGE_UNBLOCK, gpa, td.tdr, 0, 0);
}

static uint64_t track(void)
{
	return call(TDH_MEM_TRACK, td.tdr, 0, 0, 0);
}

static uint64_t remove_page(uint64_t gpa)
{
	return call(TDH_MEM_PAGE_REMOVE, gpa, td.tdr, 0, 0);
}

static uint64_t children(void)
{
	struct tdx_td_info info;

	TRUE(tdx_td_get(w->m, td.tdr, &info));
	return info.nr_children;
}

/* Accept as the guest; the TDCALL must not exit. */
static uint64_t accept(uint64_t gpa)
{
	uint64_t status;

	enter(&vcpu);
	w->r.r[TDX_RAX] = TDG_MEM_PAGE_ACCEPT;
	w->r.r[TDX_RCX] = gpa;
	EQ(tdx_tdcall(w->m, w->entered, 0x1000, &w->r), TDX_RESUME);
	status = w->r.r[TDX_RAX];
	leave_td();
	return status;
}

/*
 * All states that an entry can be in, and what each leaf makes of it.  The states
 * are of the entry at level 1 for GPA 0, or the one at level 0.
 */
enum state { S_FREE, S_NL_MAPPED, S_NL_BLOCKED, S_MAPPED, S_BLOCKED, S_PENDING,
	     S_PENDING_BLOCKED, NR_STATES };

static const struct {
	uint64_t raw;		/* without the address */
	uint64_t shown;		/* RCX, likewise */
	uint8_t public_state;
	bool shows_hpa;
} expected[NR_STATES] = {
	[S_FREE]		= { FREE, SVE, 0, false },
	[S_NL_MAPPED]		= { SVE | 7, 7, 0x84, false },
	[S_NL_BLOCKED]		= { SVE | 1ull << 55, 0, 0x81, false },
	[S_MAPPED]		= { SVE | 0xf7, SVE | 0xf7, 4, true },
	[S_BLOCKED]		= { SVE | 0xf0 | 1ull << 55, SVE | 0xf0, 1, true },
	[S_PENDING]		= { SVE | 0xf0 | 1ull << 56, SVE | 0xf0, 2, true },
	[S_PENDING_BLOCKED]	= { SVE | 0xf0 | 3ull << 55, SVE | 0xf0, 3, true },
};

/* Bring the level 0 or 1 entry for GPA 0 into @state; *@pa is what it points to. */
static void make_entry(enum state state, unsigned int level, bool runnable, uint64_t *pa)
{
	const uint64_t entry_gpa = level;

	sys_ready();
	td_inited(&td);
	for (unsigned int i = 0; i < 3 - level; i++) {
		td.table[i] = page();
		OK(call(TDH_MEM_SEPT_ADD, 3 - i, td.tdr, td.table[i], 0));
	}
	vcpu_inited(&td, &vcpu);
	*pa = 0;
	if (state == S_NL_MAPPED || state == S_NL_BLOCKED) {
		*pa = page();
		OK(call(TDH_MEM_SEPT_ADD, 1, td.tdr, *pa, 0));
	} else if (state == S_MAPPED || state == S_BLOCKED) {
		*pa = level ? W_2M : page();
		if (level) {
			td_finalized(&td);
			OK(aug(1, *pa));
			OK(accept(1));
		} else {
			OK(add(0, *pa));
		}
	} else if (state != S_FREE) {
		*pa = level ? W_2M : page();
		OK(aug(entry_gpa, *pa));
	}
	if (state == S_NL_BLOCKED || state == S_BLOCKED || state == S_PENDING_BLOCKED)
		OK(block(entry_gpa));
	if (runnable && !(level && (state == S_MAPPED || state == S_BLOCKED)))
		td_finalized(&td);
}

static void entry_is(enum state state, unsigned int level, uint64_t pa)
{
	EQ(rd64(level ? pde() : pte(0)), expected[state].raw | pa);
	OK(call(TDH_MEM_SEPT_RD, level, td.tdr, 0, 0));
	EQ(w->r.r[TDX_RCX], expected[state].shown | (expected[state].shows_hpa ? pa : 0));
	EQ(w->r.r[TDX_RDX], level | expected[state].public_state << 8);
}

/* A refusal tells the entry and its state, and changes nothing. */
static void refused(uint64_t got, uint64_t want, enum state state, unsigned int level,
		    uint64_t pa)
{
	STATUS(got, want);
	EQ(w->r.r[TDX_RCX], expected[state].shown | (expected[state].shows_hpa ? pa : 0));
	EQ(w->r.r[TDX_RDX], level | expected[state].public_state << 8);
	entry_is(state, level, pa);
}

/* What a leaf does to an entry of each state: the new one, or a refusal. */
#define NO		100	/* EPT_ENTRY_STATE_INCORRECT */
#define ALREADY		101	/* GPA_RANGE_ALREADY_BLOCKED */
#define NOT_BLOCKED	102	/* GPA_RANGE_NOT_BLOCKED */

static void transitions(uint64_t leaf, unsigned int level, bool runnable,
			const unsigned int to[NR_STATES])
{
	const uint64_t refusal[] = {
		BAD_STATE, TDX_GPA_RANGE_ALREADY_BLOCKED | TDX_OPERAND_RCX,
		TDX_GPA_RANGE_NOT_BLOCKED | TDX_OPERAND_RCX,
	};
	uint64_t pa, fresh, status;

	for (unsigned int s = 0; s < NR_STATES; s++) {
		if (!level && (s == S_NL_MAPPED || s == S_NL_BLOCKED))
			continue;	/* there is no such entry */
		/* a 2M page is accepted by running, so it is never in a TD that is not */
		if (level && !runnable && (s == S_MAPPED || s == S_BLOCKED))
			continue;
		world_reset(w);
		make_entry(s, level, runnable, &pa);
		if (runnable)
			OK(track());
		fresh = level && leaf != TDH_MEM_SEPT_ADD ? W_2M + (2ull << 20) : page();
		status = call(leaf, level, td.tdr, fresh, W_SOURCE);
		if (to[s] >= NO) {
			refused(status, refusal[to[s] - NO], s, level, pa);
			continue;
		}
		OK(status);
		if (to[s] == S_FREE)
			EQ(w->r.r[TDX_RCX], pa);
		else
			EQ(w->r.r[TDX_RCX], 0);
		EQ(w->r.r[TDX_RDX], 0);
		entry_is(to[s], level, to[s] == S_FREE ? 0 : s == S_FREE ? fresh : pa);
	}
}

TEST(transitions_of_page_add)
{
	transitions(TDH_MEM_PAGE_ADD, 0, false, (const unsigned int[NR_STATES]) {
		S_MAPPED, NO, NO, NO, NO, NO, NO });
}

TEST(transitions_of_page_aug)
{
	static const unsigned int to[NR_STATES] = { S_PENDING, NO, NO, NO, NO, NO, NO };

	transitions(TDH_MEM_PAGE_AUG, 0, false, to);
	transitions(TDH_MEM_PAGE_AUG, 0, true, to);
	transitions(TDH_MEM_PAGE_AUG, 1, false, to);
	transitions(TDH_MEM_PAGE_AUG, 1, true, to);
}

TEST(transitions_of_sept_add)
{
	static const unsigned int to[NR_STATES] = { S_NL_MAPPED, NO, NO, NO, NO, NO, NO };

	transitions(TDH_MEM_SEPT_ADD, 1, false, to);
	transitions(TDH_MEM_SEPT_ADD, 1, true, to);
}

TEST(transitions_of_range_block)
{
	static const unsigned int to[NR_STATES] = { NO, S_NL_BLOCKED, ALREADY, S_BLOCKED,
						    ALREADY, S_PENDING_BLOCKED, ALREADY };

	transitions(TDH_MEM_RANGE_BLOCK, 0, false, to);
	transitions(TDH_MEM_RANGE_BLOCK, 0, true, to);
	transitions(TDH_MEM_RANGE_BLOCK, 1, false, to);
	transitions(TDH_MEM_RANGE_BLOCK, 1, true, to);
}

TEST(transitions_of_range_unblock)
{
	static const unsigned int to[NR_STATES] = { NO, NO, S_NL_MAPPED, NO, S_MAPPED, NO,
						    S_PENDING };

	transitions(TDH_MEM_RANGE_UNBLOCK, 0, false, to);
	transitions(TDH_MEM_RANGE_UNBLOCK, 0, true, to);
	transitions(TDH_MEM_RANGE_UNBLOCK, 1, false, to);
	transitions(TDH_MEM_RANGE_UNBLOCK, 1, true, to);
}

TEST(transitions_of_page_remove)
{
	static const unsigned int initialized[NR_STATES] = { NO, NO, NO, S_FREE, S_FREE,
							     S_FREE, S_FREE };
	static const unsigned int runnable[NR_STATES] = { NO, NO, NO, NOT_BLOCKED, S_FREE,
							  NOT_BLOCKED, S_FREE };

	transitions(TDH_MEM_PAGE_REMOVE, 0, false, initialized);
	transitions(TDH_MEM_PAGE_REMOVE, 0, true, runnable);
	transitions(TDH_MEM_PAGE_REMOVE, 1, false, initialized);
	transitions(TDH_MEM_PAGE_REMOVE, 1, true, runnable);
}

TEST(transitions_of_sept_remove)
{
	static const unsigned int initialized[NR_STATES] = { NO, S_FREE, S_FREE, NO, NO, NO,
							     NO };
	static const unsigned int runnable[NR_STATES] = { NO, NOT_BLOCKED, S_FREE, NO, NO,
							  NO, NO };

	transitions(TDH_MEM_SEPT_REMOVE, 1, false, initialized);
	transitions(TDH_MEM_SEPT_REMOVE, 1, true, runnable);
}

TEST(transitions_of_accept)
{
	static const uint64_t none = ~0ull;	/* leaves the TD */
	static const uint64_t status[2][NR_STATES] = { {
		none, none, none, TDX_PAGE_ALREADY_ACCEPTED, none, TDX_SUCCESS, none,
	}, {
		none, TDX_PAGE_SIZE_MISMATCH | 1, TDX_PAGE_SIZE_MISMATCH | 1,
		TDX_PAGE_ALREADY_ACCEPTED | 1, none, TDX_SUCCESS, none,
	} };
	enum tdx_guest_next next;
	uint64_t pa, got;

	for (unsigned int level = 0; level < 2; level++)
		for (unsigned int s = 0; s < NR_STATES; s++) {
			if (!level && (s == S_NL_MAPPED || s == S_NL_BLOCKED))
				continue;
			world_reset(w);
			make_entry(s, level, true, &pa);
			if (pa && s == S_PENDING)
				wr64(pa + 0xff8, 0x1234);
			enter(&vcpu);
			w->r.r[TDX_RAX] = TDG_MEM_PAGE_ACCEPT;
			w->r.r[TDX_RCX] = level;
			next = tdx_tdcall(w->m, w->entered, 0x1000, &w->r);
			got = w->r.r[TDX_RAX];
			if (status[level][s] == none) {
				EQ(next, TDX_EXIT_FAULT);
				EQ(got, 48);
				EQ(w->r.r[TDX_RCX] & 2, 2);
				EQ(w->r.r[TDX_RDX] & 0xf, 1);
				EQ(w->r.r[TDX_R8], 0);
			} else {
				EQ(next, TDX_RESUME);
				STATUS(got, status[level][s]);
				leave_td();
			}
			entry_is(s == S_PENDING ? S_MAPPED : s, level, pa);
			if (s == S_PENDING)
				EQ(rd64(pa + 0xff8), 0);
		}
}

TEST(walks_end_where_there_is_no_table)
{
	uint64_t pa;

	/* under a blocked table, and under a 2M page */
	make_entry(S_NL_BLOCKED, 1, false, &pa);
	STATUS(add(0, page()), WALK_FAILED);
	EQ(w->r.r[TDX_RCX], 0);
	EQ(w->r.r[TDX_RDX], 1 | 0x81 << 8);
	world_reset(w);
	make_entry(S_MAPPED, 1, true, &pa);
	STATUS(aug(0x1000, page()), WALK_FAILED);
	EQ(w->r.r[TDX_RCX], SVE | 0xf7 | pa);
	EQ(w->r.r[TDX_RDX], 1 | 4 << 8);
	STATUS(block(0x1000), WALK_FAILED);
	STATUS(remove_page(0x1000), WALK_FAILED);
	STATUS(unblock(0x1000), WALK_FAILED);
	/* and a 4K ACCEPT below it is one too many */
	STATUS(accept(0x1000), TDX_PAGE_ALREADY_ACCEPTED | 1);
	/* a level from which nothing can be removed */
	STATUS(remove_page(2), BAD_STATE);
	STATUS(remove_page(0 | 1ull << 30 | 2), BAD_STATE);
}

TEST(page_add_copies_and_measures)
{
	struct tdx_page p;
	uint64_t pa;

	ready(false);
	pa = page();
	bad_pages((struct args) { TDH_MEM_PAGE_ADD, { 0, td.tdr, pa, W_SOURCE } }, A_RDX, pa);
	bad_pages((struct args) { TDH_MEM_PAGE_ADD, { 0, td.tdr, pa, W_SOURCE } }, A_R8, td.tdr);
	bad_gpas((struct args) { TDH_MEM_PAGE_ADD, { 0, td.tdr, pa, W_SOURCE } }, 0, 0);
	STATUS(call(TDH_MEM_PAGE_ADD, 0, td.tdr, pa, W_SOURCE + 8), INVALID(R9));
	STATUS(call(TDH_MEM_PAGE_ADD, 0, td.tdr, pa, 33ull << W_KEYID_SHIFT), INVALID(R9));
	EQ(rd64(pte(0)), FREE);
	wr64(W_SOURCE + 0xff8, 0x1234);
	OK(add(0, pa));
	EQ(rd64(pa + 0xff8), 0x1234);
	EQ(children(), 6 + 6 + 3 + 1);
	TRUE(tdx_page_owner(w->m, pa, &p));
	EQ(p.type, TDX_PT_REG);
	EQ(p.gpa, 0);
	EQ(p.tdr, td.tdr);
	STATUS(add(0x1000, pa), METADATA(R8));
	bad_td_states((struct args) { TDH_MEM_PAGE_ADD, { 0x1000, td.tdr, page(), W_SOURCE } },
		      A_RDX, false, false);
	td_finalized(&td);
	STATUS(add(0x1000, page()), TDX_OP_STATE_INCORRECT);
}

TEST(memory_of_a_td_is_hidden_from_the_host)
{
	struct w_td other;
	uint64_t secret = page(), pa;

	ready(false);
	wr64(W_SOURCE, 0x1234);
	OK(add(0, secret));
	EQ(rd64(secret), 0x1234);
	pa = page();
	OK(call(TDH_MEM_PAGE_ADD, 0x1000, td.tdr, pa, secret));
	EQ(rd64(pa), 0);
	/* so a TD's page makes no TD_PARAMS either */
	td_with_tdcs(&other);
	write_params();
	OK(call(TDH_MEM_PAGE_ADD, 0x2000, td.tdr, W_PARAMS, W_PARAMS));
	STATUS(call(TDH_MNG_INIT, other.tdr, W_PARAMS, 0, 0), INVALID(XFAM));
}

TEST(page_aug_does_not_touch_the_page)
{
	uint64_t pa;

	ready(true);
	pa = page();
	wr64(pa, 0x1234);
	bad_pages((struct args) { TDH_MEM_PAGE_AUG, { 0, td.tdr, pa } }, A_RDX, pa);
	bad_pages((struct args) { TDH_MEM_PAGE_AUG, { 0, td.tdr, pa } }, A_R8, td.tdr);
	bad_gpas((struct args) { TDH_MEM_PAGE_AUG, { 0, td.tdr, pa } }, 0, 1);
	bad_td_states((struct args) { TDH_MEM_PAGE_AUG, { 0, td.tdr, pa } }, A_RDX, true, false);
	OK(aug(0, pa));
	EQ(rd64(pa), 0x1234);
	STATUS(aug(0x1000, pa), METADATA(R8));
}

TEST(page_aug_2m_takes_all_of_it_or_nothing)
{
	struct tdx_page p;
	uint64_t pa, before;

	make_entry(S_FREE, 1, true, &pa);
	before = children();
	STATUS(aug(1, W_2M + 0x1000), INVALID(R8));
	STATUS(aug(1, 1ull << 30), RANGE(R8));
	OK(call(TDH_MNG_CREATE, W_2M + 0x7000, W_KEYID + 1, 0, 0));
	STATUS(aug(1, W_2M), METADATA(R8));
	OK(call(TDH_MNG_CREATE, W_2M + 0x5ff000, W_KEYID + 3, 0, 0));
	STATUS(aug(1, W_2M + 0x400000), METADATA(R8));
	EQ(tdx_lock_take(w->m, TDX_LOCK_PAGE, W_2M + (2 << 20) + 0x1000, 0, true), 0);
	STATUS(aug(1, W_2M + (2 << 20)), BUSY(R8));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_PAGE, W_2M + (2 << 20) + 0x1000, 0, true), 0);
	OK(aug(1, W_2M + (2 << 20)));
	EQ(children(), before + 512);
	TRUE(tdx_page_owner(w->m, W_2M + (2 << 20) + 0x5123, &p));
	EQ(p.level, 1);
	EQ(p.pa, W_2M + (2 << 20));
	EQ(p.gpa, 0);
	STATUS(call(TDH_MNG_CREATE, W_2M + (2 << 20) + 0x5000, W_KEYID + 2, 0, 0), METADATA(RCX));
	OK(call(TDH_PHYMEM_PAGE_RDMD, W_2M + (2 << 20) + 0x5000, 0, 0, 0));
	EQ(w->r.r[TDX_R8], 1);
	OK(block(1));
	OK(track());
	OK(remove_page(1));
	EQ(w->r.r[TDX_RCX], W_2M + (2 << 20));
	EQ(children(), before);
	OK(call(TDH_MNG_CREATE, W_2M + (2 << 20) + 0x5000, W_KEYID + 2, 0, 0));
}

TEST(sept_add_makes_a_table_of_free_entries)
{
	struct tdx_page p;
	uint64_t pa;

	ready(true);
	pa = page();
	bad_pages((struct args) { TDH_MEM_SEPT_ADD, { 1ull << 21 | 1, td.tdr, pa } }, A_RDX, pa);
	bad_pages((struct args) { TDH_MEM_SEPT_ADD, { 1ull << 21 | 1, td.tdr, pa } }, A_R8,
		  td.tdr);
	bad_gpas((struct args) { TDH_MEM_SEPT_ADD, { 1ull << 21 | 1, td.tdr, pa } }, 1, 3);
	bad_td_states((struct args) { TDH_MEM_SEPT_ADD, { 1, td.tdr, pa } }, A_RDX, true, false);
	STATUS(call(TDH_MEM_SEPT_ADD, 1, td.tdr | 2, pa, 0), INVALID(RDX));
	STATUS(call(TDH_MEM_SEPT_ADD | 2 << 16, 1, td.tdr, pa, 0), INVALID(RAX));
	OK(call(TDH_MEM_SEPT_ADD, 1ull << 21 | 1, td.tdr, pa, 0));
	for (unsigned int i = 0; i < 512; i++)
		EQ(rd64(pa + 8 * i), FREE);
	EQ(rd64(td.table[1] + 8), SVE | 7 | pa);
	TRUE(tdx_page_owner(w->m, pa, &p));
	EQ(p.type, TDX_PT_EPT);
	EQ(p.gpa, 1ull << 21);
	EQ(p.ept_level, 1);
	/* an existing one is fine if one says so */
	OK(call(TDH_MEM_SEPT_ADD, 1, td.tdr | 1, page(), 0));
	EQ(rd64(td.table[1]), SVE | 7 | td.table[2]);
}

TEST(sept_remove_only_empty_tables)
{
	ready(false);
	bad_pages((struct args) { TDH_MEM_SEPT_REMOVE, { 1, td.tdr } }, A_RDX, page());
	bad_gpas((struct args) { TDH_MEM_SEPT_REMOVE, { 1, td.tdr } }, 1, 3);
	bad_td_states((struct args) { TDH_MEM_SEPT_REMOVE, { 1, td.tdr } }, A_RDX, true, false);
	STATUS(call(TDH_MEM_SEPT_REMOVE | 2 << 16, 1, td.tdr, 0, 0), INVALID(RAX));
	OK(add(0x5000, page()));
	STATUS(call(TDH_MEM_SEPT_REMOVE, 1, td.tdr, 0, 0),
	       TDX_EPT_PAGE_NOT_FREE | TDX_OPERAND_RCX);
	EQ(tdx_lock_take(w->m, TDX_LOCK_PAGE, td.table[2], 0, true), 0);
	STATUS(call(TDH_MEM_SEPT_REMOVE, 1, td.tdr, 0, 0), BUSY(RCX));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_PAGE, td.table[2], 0, true), 0);
	td_finalized(&td);
	OK(block(1));
	STATUS(call(TDH_MEM_SEPT_REMOVE, 1, td.tdr, 0, 0),
	       TDX_TLB_TRACKING_NOT_DONE | TDX_OPERAND_RCX);
}

static void busy_everywhere(uint64_t leaf, unsigned int level, bool tree_exclusive)
{
	EQ(tdx_lock_take(w->m, TDX_LOCK_SEPT_TREE, td.tdr, 0, true), 0);
	STATUS(call(leaf, level, td.tdr, page(), 0), BUSY(SEPT_TREE));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_SEPT_TREE, td.tdr, 0, true), 0);
	EQ(tdx_lock_take(w->m, TDX_LOCK_SEPT_TREE, td.tdr, 0, false), 0);
	if (tree_exclusive)
		STATUS(call(leaf, level, td.tdr, page(), 0), BUSY(SEPT_TREE));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_SEPT_TREE, td.tdr, 0, false), 0);
	EQ(tdx_lock_take(w->m, TDX_LOCK_SEPT_ENTRY, td.tdr, level, true), 0);
	STATUS(call(leaf, level, td.tdr, page(), 0), BUSY(RCX));
	TRUE(w->r.r[TDX_RDX] != 0 || !level);
	/* the host VMM now has priority, until its next attempt */
	TRUE(rd64(level ? pde() : pte(0)) & 1ull << 52);
	EQ(tdx_lock_drop(w->m, TDX_LOCK_SEPT_ENTRY, td.tdr, level, true), 0);
}

TEST(memory_leaves_find_locks_taken)
{
	ready(true);
	busy_everywhere(TDH_MEM_PAGE_AUG, 0, false);
	busy_everywhere(TDH_MEM_PAGE_REMOVE, 0, false);
	busy_everywhere(TDH_MEM_RANGE_BLOCK, 0, true);
	busy_everywhere(TDH_MEM_RANGE_UNBLOCK, 0, true);
	busy_everywhere(TDH_MEM_SEPT_RD, 0, false);
	busy_everywhere(TDH_MEM_SEPT_ADD, 1, false);
	busy_everywhere(TDH_MEM_SEPT_REMOVE, 1, true);
	/* the guest waits for the host VMM, which takes its turn, then comes in */
	OK(aug(0, page()));
	EQ(tdx_lock_take(w->m, TDX_LOCK_SEPT_ENTRY, td.tdr, 0, true), 0);
	STATUS(accept(0), BUSY(RCX));
	STATUS(block(0), BUSY(RCX));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_SEPT_ENTRY, td.tdr, 0, true), 0);
	STATUS(accept(0), BUSY(RCX));
	OK(call(TDH_MEM_SEPT_RD, 0, td.tdr, 0, 0));
	OK(accept(0));
}

TEST(block_unblock_remove_check_their_operands)
{
	static const uint64_t leaves[] = { TDH_MEM_RANGE_BLOCK, TDH_MEM_RANGE_UNBLOCK,
					   TDH_MEM_PAGE_REMOVE, TDH_MEM_SEPT_RD };

	for (unsigned int i = 0; i < 4; i++) {
		const struct args args = { leaves[i], { 0, 0 } };
		struct args good = args;

		world_reset(w);
		ready(true);
		good.a[A_RDX] = td.tdr;
		bad_pages(good, A_RDX, page());
		bad_gpas(good, 0, leaves[i] == TDH_MEM_PAGE_REMOVE ? 2 : 3);
		bad_td_states(good, A_RDX, true, false);
	}
}

TEST(track_and_remove_follow_the_epochs)
{
	struct tdx_td_info info;
	struct tdx_vcpu *runs;
	struct tdx_regs regs;
	uint64_t pa = 0, pa2;

	ready(true);
	bad_pages((struct args) { TDH_MEM_TRACK, { td.tdr } }, A_RCX, page());
	bad_td_states((struct args) { TDH_MEM_TRACK, { td.tdr } }, A_RCX, true, false);
	EQ(tdx_lock_take(w->m, TDX_LOCK_TD_EPOCH, td.tdr, 0, true), 0);
	STATUS(track(), BUSY(TD_EPOCH));
	STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), BUSY(TD_EPOCH));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_TD_EPOCH, td.tdr, 0, true), 0);

	pa = page();
	pa2 = page();
	OK(aug(0, pa));
	OK(aug(0x1000, pa2));
	OK(block(0));
	STATUS(remove_page(0), TDX_TLB_TRACKING_NOT_DONE | TDX_OPERAND_RCX);
	EQ(w->r.r[TDX_RCX], 0);
	STATUS(unblock(0), TDX_TLB_TRACKING_NOT_DONE | TDX_OPERAND_RCX);

	/* while somebody runs in the old epoch, tracking is not complete */
	enter(&vcpu);
	runs = w->entered;
	regs = w->r;
	OK(call_on(1, TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	STATUS(call_on(1, TDH_MEM_PAGE_REMOVE, 0, td.tdr, 0, 0),
	       TDX_TLB_TRACKING_NOT_DONE | TDX_OPERAND_RCX);
	STATUS(call_on(1, TDH_MEM_TRACK, td.tdr, 0, 0, 0), TDX_PREVIOUS_TLB_EPOCH_BUSY);
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	EQ(info.epoch, 2);
	EQ(info.refs[1], 1);
	EQ(info.nr_running, 1);
	w->entered = runs;
	w->r = regs;
	leave_td();
	OK(remove_page(0));
	EQ(w->r.r[TDX_RCX], pa);

	/* who enters in a new epoch forgets its translations, but only once */
	w->nr_invalidations = 0;
	enter(&vcpu);
	leave_td();
	EQ(w->nr_invalidations, 1);
	enter(&vcpu);
	leave_td();
	EQ(w->nr_invalidations, 1);

	/* two epochs later nobody can have the translation, whoever runs */
	OK(block(0x1000));
	OK(track());
	OK(track());
	enter(&vcpu);
	runs = w->entered;
	regs = w->r;
	EQ(tdx_lock_take(w->m, TDX_LOCK_PAGE, pa2, 0, true), 0);
	STATUS(call_on(1, TDH_MEM_PAGE_REMOVE, 0x1000, td.tdr, 0, 0), BUSY(RCX));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_PAGE, pa2, 0, true), 0);
	OK(call_on(1, TDH_MEM_PAGE_REMOVE, 0x1000, td.tdr, 0, 0));
	EQ(w->r.r[TDX_RCX], pa2);
	w->entered = runs;
	w->r = regs;
	leave_td();
}

/* What needs the TD for itself does not get it while a vCPU runs. */
TEST(a_running_vcpu_locks_the_td)
{
	struct tdx_vcpu *runs;
	struct tdx_regs regs;

	ready(true);
	enter(&vcpu);
	runs = w->entered;
	regs = w->r;
	STATUS(call_on(1, TDH_MEM_PAGE_ADD, 0, td.tdr, 0, 0), BUSY(RDX));
	STATUS(call_on(1, TDH_MR_EXTEND, 0, td.tdr, 0, 0), BUSY(RDX));
	STATUS(call_on(1, TDH_MNG_ADDCX, 0, td.tdr, 0, 0), BUSY(RDX));
	STATUS(call_on(1, TDH_MR_FINALIZE, td.tdr, 0, 0, 0), BUSY(RCX));
	STATUS(call_on(1, TDH_MNG_INIT, td.tdr, 0, 0, 0), BUSY(RCX));
	STATUS(call_on(1, TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), BUSY(RCX));
	STATUS(call_on(1, TDH_VP_INIT | 1 << 16, vcpu.tdvpr, 0, 0, 0), BUSY(RCX));
	STATUS(call_on(1, TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), TDX_VCPU_STATE_INCORRECT);
	STATUS(call_on(1, TDH_VP_RD, vcpu.tdvpr, 2, 0, 0), TDX_VCPU_STATE_INCORRECT);
	STATUS(call_on(1, TDH_PHYMEM_PAGE_RECLAIM, vcpu.tdvpr, 0, 0, 0), BUSY(RCX));
	OK(call_on(1, TDH_MEM_PAGE_AUG, 0, td.tdr, page(), 0));
	OK(call_on(1, TDH_MEM_RANGE_BLOCK, 0, td.tdr, 0, 0));
	OK(call_on(1, TDH_MNG_RD, td.tdr, 0x1110000300000000, 0, 0));
	w->entered = runs;
	w->r = regs;
	leave_td();
}

/*
 * SHA-384 over: MEM.PAGE.ADD of GPA 0x3000, MR.EXTEND of its first and last 256
 * bytes, MEM.PAGE.ADD of GPA 0x4000; computed by another implementation.
 */
static const uint8_t mrtd[48] = {
#include "mrtd.inc"
};

TEST(measurement_is_sha384_of_what_was_added)
{
	struct tdx_td_info info;
	uint64_t pa;

	ready(false);
	bad_pages((struct args) { TDH_MR_EXTEND, { 0, td.tdr } }, A_RDX, page());
	STATUS(call(TDH_MR_EXTEND, 0x3080, td.tdr, 0, 0), INVALID(RCX));
	STATUS(call(TDH_MR_EXTEND, GPA_SHARED, td.tdr, 0, 0), INVALID(RCX));
	STATUS(call(TDH_MR_EXTEND, 0x3000, td.tdr, 0, 0),
	       TDX_EPT_ENTRY_NOT_PRESENT | TDX_OPERAND_RCX);
	EQ(w->r.r[TDX_RCX], SVE);
	EQ(w->r.r[TDX_RDX], 0);
	for (unsigned int i = 0; i < 0x1000; i += 8)
		wr64(W_SOURCE + i, i * 0x0101010101010101ull);
	pa = page();
	OK(add(0x3000, pa));
	OK(call(TDH_MR_EXTEND, 0x3000, td.tdr, 0, 0));
	EQ(w->r.r[TDX_RCX], 0);
	OK(call(TDH_MR_EXTEND, 0x3f00, td.tdr, 0, 0));
	OK(add(0x4000, page()));
	OK(aug(0x5000, page()));
	STATUS(call(TDH_MR_EXTEND, 0x5000, td.tdr, 0, 0),
	       TDX_EPT_ENTRY_NOT_PRESENT | TDX_OPERAND_RCX);
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	TRUE(!memcmp(info.mrtd, mrtd, sizeof(mrtd)));
	td_finalized(&td);
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	TRUE(!memcmp(info.mrtd, mrtd, sizeof(mrtd)));
	OK(call(TDH_MNG_RD, td.tdr, 0x1310000300000000, 0, 0));
	TRUE(!memcmp(&w->r.r[TDX_R8], mrtd, 8));
	STATUS(call(TDH_MR_EXTEND, 0x3000, td.tdr, 0, 0), TDX_OP_STATE_INCORRECT);
	bad_td_states((struct args) { TDH_MR_EXTEND, { 0, td.tdr } }, A_RDX, false, false);
}

TEST(finalize_once_and_with_a_vcpu)
{
	sys_ready();
	td_inited(&td);
	bad_pages((struct args) { TDH_MR_FINALIZE, { td.tdr } }, A_RCX, page());
	STATUS(call(TDH_MR_FINALIZE, td.tdr, 0, 0, 0), TDX_NO_VCPUS);
	vcpu_with_tdcx(&td, &vcpu);
	STATUS(call(TDH_MR_FINALIZE, td.tdr, 0, 0, 0), TDX_NO_VCPUS);
	OK(call(TDH_VP_INIT | 1 << 16, vcpu.tdvpr, 0, 0, 0));
	OK(call(TDH_MR_FINALIZE, td.tdr, 0, 0, 0));
	STATUS(call(TDH_MR_FINALIZE, td.tdr, 0, 0, 0), TDX_OP_STATE_INCORRECT);
	bad_td_states((struct args) { TDH_MR_FINALIZE, { td.tdr } }, A_RCX, false, false);
}

/* Somebody wrote to a table: the TD dies, and nothing else happens. */
TEST(a_corrupt_table_kills_the_td)
{
	struct tdx_td_info info;
	struct tdx_sept sept;
	uint64_t pa;

	for (unsigned int i = 0; i < 8; i++) {
		static const uint64_t garbage[] = {
			0, ~0ull, 0x12345678, FREE | 7, FREE | 0x1000, SVE | 0xf7 | W_SOURCE,
			SVE | 7 | W_PAGES, 1ull << 40,
		};

		world_reset(w);
		ready(true);
		pa = page();
		OK(aug(0, pa));
		TRUE(tdx_sept_lookup(w->m, td.tdr, 0, &sept));
		EQ(sept.state, 2);
		EQ(sept.entry & 0xffffffffff000, pa);
		wr64(i % 2 ? pte(0) : pde(), garbage[i]);
		TRUE(!tdx_sept_lookup(w->m, td.tdr, 0, &sept));
		STATUS(block(0), TDX_TD_FATAL);
		TRUE(tdx_td_get(w->m, td.tdr, &info));
		TRUE(info.fatal);
		STATUS(call(TDH_VP_ENTER, vcpu.tdvpr, 0, 0, 0), TDX_TD_FATAL);
	}
	/* the entry of another page of the same TD */
	world_reset(w);
	ready(true);
	OK(aug(0, page()));
	OK(aug(0x1000, page()));
	wr64(pte(0), rd64(pte(0x1000)));
	STATUS(block(0), TDX_TD_FATAL);
}
