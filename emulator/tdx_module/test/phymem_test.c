// SPDX-License-Identifier: GPL-2.0-only
/* TDH.PHYMEM.* */
#include "operands.h"

TEST(rdmd_tells_type_owner_and_size)
{
	struct w_vcpu v;
	struct w_td td;
	uint64_t pa;

	STATUS(call(TDH_PHYMEM_PAGE_RDMD, W_PAGES, 0, 0, 0), TDX_SYS_NOT_READY);
	sys_ready();
	td_runnable(&td, &v);
	STATUS(call(TDH_PHYMEM_PAGE_RDMD, W_PAGES | 8, 0, 0, 0), INVALID(RCX));
	STATUS(call(TDH_PHYMEM_PAGE_RDMD, 1ull << W_KEYID_SHIFT, 0, 0, 0), INVALID(RCX));
	STATUS(call(TDH_PHYMEM_PAGE_RDMD, 1ull << 30, 0, 0, 0), RANGE(RCX));
	EQ(tdx_lock_take(w->m, TDX_LOCK_PAGE, td.tdr, 0, true), 0);
	STATUS(call(TDH_PHYMEM_PAGE_RDMD, td.tdr, 0, 0, 0), BUSY(RCX));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_PAGE, td.tdr, 0, true), 0);
	pa = page();
	OK(call(TDH_MEM_PAGE_AUG, 0, td.tdr, pa, 0));
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	OK(call(TDH_MEM_RANGE_BLOCK, 0, td.tdr, 0, 0));

	const struct {
		uint64_t pa, type, owner, bepoch;
	} pages[] = {
		{ W_SOURCE, TDX_PT_NDA, 0, 0 }, { W_PAMT, TDX_PT_RSVD, 0, 0 },
		{ 0, TDX_PT_RSVD, 0, 0 }, { td.tdr, TDX_PT_TDR, 0, 0 },
		{ td.tdcs[0], TDX_PT_TDCX, td.tdr, 0 }, { v.tdvpr, TDX_PT_TDVPR, td.tdr, 0 },
		{ v.tdcx[0], TDX_PT_TDCX, td.tdr, 0 }, { td.table[0], TDX_PT_EPT, td.tdr, 0 },
		{ pa, TDX_PT_REG, td.tdr, 2 },
	};
	for (unsigned int i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		OK(call(TDH_PHYMEM_PAGE_RDMD, pages[i].pa, 0, 0, 0));
		EQ(w->r.r[TDX_RCX], pages[i].type);
		EQ(w->r.r[TDX_RDX], pages[i].owner);
		EQ(w->r.r[TDX_R8], 0);
		EQ(w->r.r[TDX_R9], pages[i].bepoch);
		EQ(w->r.r[TDX_R10], 0);
		EQ(w->r.r[TDX_R11], 0);
	}
}

TEST(reclaim_tells_what_the_page_was)
{
	struct w_vcpu v;
	struct w_td td, live;
	uint64_t pa;

	sys_ready();
	td_inited(&live);
	td_torn_down(&td, &v);
	bad_pages((struct args) { TDH_PHYMEM_PAGE_RECLAIM, { v.tdvpr } }, A_RCX, W_SOURCE);
	EQ(w->r.r[TDX_RCX], 0);
	STATUS(call(TDH_PHYMEM_PAGE_RECLAIM, live.tdcs[0], 0, 0, 0),
	       TDX_LIFECYCLE_STATE_INCORRECT);
	EQ(w->r.r[TDX_RCX], TDX_PT_TDCX);
	EQ(w->r.r[TDX_RDX], live.tdr);
	STATUS(call(TDH_PHYMEM_PAGE_RECLAIM, live.tdr, 0, 0, 0), TDX_LIFECYCLE_STATE_INCORRECT);
	EQ(tdx_lock_take(w->m, TDX_LOCK_PAGE, td.tdr, 0, true), 0);
	STATUS(call(TDH_PHYMEM_PAGE_RECLAIM, v.tdvpr, 0, 0, 0), BUSY(TDR));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_PAGE, td.tdr, 0, true), 0);
	OK(call(TDH_PHYMEM_PAGE_RECLAIM, v.tdvpr, 0, 0, 0));
	EQ(w->r.r[TDX_RCX], TDX_PT_TDVPR);
	EQ(w->r.r[TDX_RDX], td.tdr);
	EQ(w->r.r[TDX_R8], 0);
	EQ(w->r.r[TDX_R9], 0);
	STATUS(call(TDH_PHYMEM_PAGE_RECLAIM, v.tdvpr, 0, 0, 0), METADATA(RCX));
	STATUS(call(TDH_PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0), TDX_TD_ASSOCIATED_PAGES_EXIST);
	EQ(w->r.r[TDX_RCX], TDX_PT_TDR);
	EQ(w->r.r[TDX_RDX], 0);
	pa = page();
	OK(call(TDH_MNG_CREATE, pa, td.keyid, 0, 0));
}

TEST(reclaim_takes_2m_pages_whole)
{
	struct tdx_td_info info;
	struct w_vcpu v;
	struct w_td td;

	sys_ready();
	td_runnable(&td, &v);
	OK(call(TDH_MEM_SEPT_ADD, 1ull << 30 | 2, td.tdr, page(), 0));
	OK(call(TDH_MEM_PAGE_AUG, 1ull << 30 | 1, td.tdr, W_2M, 0));
	OK(call(TDH_VP_FLUSH, v.tdvpr, 0, 0, 0));
	OK(call(TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0));
	OK(call_on(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	OK(call_on(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	OK(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0));
	STATUS(call(TDH_PHYMEM_PAGE_RECLAIM, W_2M + 0x1000, 0, 0, 0), INVALID(RCX));
	OK(call(TDH_PHYMEM_PAGE_RECLAIM, W_2M, 0, 0, 0));
	EQ(w->r.r[TDX_RCX], TDX_PT_REG);
	EQ(w->r.r[TDX_R8], 1);
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	EQ(info.nr_children, 6 + 6 + 3 + 1);
	STATUS(call(TDH_PHYMEM_PAGE_RECLAIM, W_2M + 0x1000, 0, 0, 0), METADATA(RCX));
}

TEST(cache_wb_once_per_package)
{
	struct w_vcpu v;
	struct w_td td, later;

	w->cfg.wb_blocks = 3;
	world_reset(w);
	sys_ready();
	STATUS(call(TDH_PHYMEM_CACHE_WB, 2, 0, 0, 0), INVALID(RCX));
	STATUS(call(TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), TDX_NO_HKID_READY_TO_WBCACHE);
	STATUS(call(TDH_PHYMEM_CACHE_WB, 1, 0, 0, 0), TDX_WBCACHE_RESUME_ERROR);
	td_blocked(&td, &v);
	EQ(tdx_lock_take(w->m, TDX_LOCK_WBCACHE, 0, 0, true), 0);
	STATUS(call(TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), BUSY(WBCACHE));
	OK(call_on(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_WBCACHE, 0, 0, true), 0);
	EQ(tdx_lock_take(w->m, TDX_LOCK_KOT, 0, 0, true), 0);
	STATUS(call(TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), BUSY(KOT));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_KOT, 0, 0, true), 0);
	w->host_interrupt = true;
	STATUS(call(TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), TDX_INTERRUPTED_RESUMABLE);
	STATUS(call(TDH_PHYMEM_CACHE_WB, 1, 0, 0, 0), TDX_INTERRUPTED_RESUMABLE);
	STATUS(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0), TDX_WBCACHE_NOT_COMPLETE);
	/* what is flushed meanwhile is not part of this round */
	td_blocked(&later, &v);
	OK(call(TDH_PHYMEM_CACHE_WB, 1, 0, 0, 0));
	STATUS(call(TDH_PHYMEM_CACHE_WB, 1, 0, 0, 0), TDX_WBCACHE_RESUME_ERROR);
	OK(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0));
	w->host_interrupt = false;
	OK(call_on(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	STATUS(call(TDH_MNG_KEY_FREEID, later.tdr, 0, 0, 0), TDX_WBCACHE_NOT_COMPLETE);
	OK(call_on(1, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	OK(call(TDH_MNG_KEY_FREEID, later.tdr, 0, 0, 0));
}

TEST(wbinvd_of_pages_that_are_free)
{
	struct w_td td;

	sys_ready();
	td_created(&td);
	STATUS(call(TDH_PHYMEM_PAGE_WBINVD, td.tdr, 0, 0, 0), METADATA(RCX));
	STATUS(call(TDH_PHYMEM_PAGE_WBINVD, W_SOURCE | 8, 0, 0, 0), INVALID(RCX));
	STATUS(call(TDH_PHYMEM_PAGE_WBINVD, 1ull << 52, 0, 0, 0), INVALID(RCX));
	STATUS(call(TDH_PHYMEM_PAGE_WBINVD, 1ull << 30, 0, 0, 0), RANGE(RCX));
	EQ(tdx_lock_take(w->m, TDX_LOCK_PAGE, W_SOURCE, 0, true), 0);
	STATUS(call(TDH_PHYMEM_PAGE_WBINVD, W_SOURCE, 0, 0, 0), BUSY(RCX));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_PAGE, W_SOURCE, 0, true), 0);
	/* whatever keyid */
	OK(call(TDH_PHYMEM_PAGE_WBINVD, W_SOURCE, 0, 0, 0));
	OK(call(TDH_PHYMEM_PAGE_WBINVD, W_SOURCE | 33ull << W_KEYID_SHIFT, 0, 0, 0));
	OK(call(TDH_PHYMEM_PAGE_WBINVD, W_SOURCE | 63ull << W_KEYID_SHIFT, 0, 0, 0));
}
