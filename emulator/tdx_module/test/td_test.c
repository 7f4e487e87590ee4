// SPDX-License-Identifier: GPL-2.0-only
/* TDH.MNG.* */
#include "operands.h"

TEST(create_takes_a_page_and_a_keyid)
{
	struct tdx_td_info info;
	struct tdx_page p;
	uint64_t tdr, other;

	sys_ready();
	tdr = page();
	other = page();
	wr64(tdr, 0x1234);
	STATUS(call(TDH_MNG_CREATE, tdr, 31, 0, 0), INVALID(RDX));
	STATUS(call(TDH_MNG_CREATE, tdr, 32 + W_NR_KEYIDS, 0, 0), INVALID(RDX));
	STATUS(call(TDH_MNG_CREATE, tdr, 1 << 16 | 33, 0, 0), INVALID(RDX));
	STATUS(call(TDH_MNG_CREATE, tdr, W_GLOBAL_KEYID, 0, 0), TDX_HKID_NOT_FREE);
	EQ(tdx_lock_take(w->m, TDX_LOCK_KOT, 0, 0, true), 0);
	STATUS(call(TDH_MNG_CREATE, tdr, W_KEYID, 0, 0), BUSY(KOT));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_KOT, 0, 0, true), 0);
	OK(call(TDH_MNG_CREATE, tdr, W_KEYID, 0, 0));
	EQ(rd64(tdr), 0);
	TRUE(tdx_page_owner(w->m, tdr, &p));
	EQ(p.type, TDX_PT_TDR);
	EQ(p.keyid, W_GLOBAL_KEYID);
	TRUE(tdx_td_get(w->m, tdr, &info));
	EQ(info.keyid, W_KEYID);
	EQ(info.lifecycle, 0);
	EQ(info.nr_children, 0);
	STATUS(call(TDH_MNG_CREATE, other, W_KEYID, 0, 0), TDX_HKID_NOT_FREE);
	bad_pages((struct args) { TDH_MNG_CREATE, { other, W_KEYID + 1 } }, A_RCX, tdr);
}

TEST(keyids_run_out)
{
	struct w_td td;

	sys_ready();
	for (unsigned int i = 1; i < W_NR_KEYIDS; i++)
		td_created(&td);
	for (unsigned int k = W_GLOBAL_KEYID; k < W_GLOBAL_KEYID + W_NR_KEYIDS; k++)
		STATUS(call(TDH_MNG_CREATE, page(), k, 0, 0), TDX_HKID_NOT_FREE);
}

TEST(key_config_on_all_packages)
{
	struct tdx_td_info info;
	struct w_vcpu v;
	struct w_td td, fatal;

	sys_ready();
	td_created(&td);
	bad_pages((struct args) { TDH_MNG_KEY_CONFIG, { td.tdr } }, A_RCX, W_SOURCE);
	EQ(tdx_lock_take(w->m, TDX_LOCK_KET, 0, 0, true), 0);
	STATUS(call(TDH_MNG_KEY_CONFIG, td.tdr, 0, 0, 0), BUSY(KET));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_KET, 0, 0, true), 0);
	OK(call_on(1, TDH_MNG_KEY_CONFIG, td.tdr, 0, 0, 0));
	STATUS(call_on(0, TDH_MNG_KEY_CONFIG, td.tdr, 0, 0, 0), TDX_KEY_CONFIGURED);
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	EQ(info.lifecycle, 0);
	OK(call_on(2, TDH_MNG_KEY_CONFIG, td.tdr, 0, 0, 0));
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	EQ(info.lifecycle, 1);
	STATUS(call(TDH_MNG_KEY_CONFIG, td.tdr, 0, 0, 0), TDX_LIFECYCLE_STATE_INCORRECT);
	td_fatal(&fatal, &v);
	STATUS(call(TDH_MNG_KEY_CONFIG, fatal.tdr, 0, 0, 0), TDX_TD_FATAL);
}

TEST(addcx_six_to_nine_pages)
{
	struct tdx_td_info info;
	struct w_vcpu v;
	struct w_td td, other;
	uint64_t cx;

	sys_ready();
	td_created(&other);
	td_keyed(&td);
	cx = page();
	bad_pages((struct args) { TDH_MNG_ADDCX, { cx, td.tdr } }, A_RDX, W_SOURCE);
	bad_pages((struct args) { TDH_MNG_ADDCX, { cx, td.tdr } }, A_RCX, td.tdr);
	STATUS(call(TDH_MNG_ADDCX, cx, other.tdr, 0, 0), TDX_TD_KEYS_NOT_CONFIGURED);
	for (unsigned int i = 0; i < 9; i++) {
		STATUS(call(TDH_MNG_INIT, td.tdr, W_PARAMS | 8, 0, 0),
		       i < 6 ? TDX_TDCS_NOT_ALLOCATED : INVALID(RDX));
		cx = page();
		wr64(cx + 0xff8, 0x1234);
		OK(call(TDH_MNG_ADDCX, cx, td.tdr, 0, 0));
		/* MSR bitmaps, and the root of the S-EPT */
		EQ(rd64(cx + 0xff8), i == 2 ? ~0ull : i == 3 ? 0x80e0000000000000 : 0);
	}
	STATUS(call(TDH_MNG_ADDCX, page(), td.tdr, 0, 0), TDX_TDCX_NUM_INCORRECT);
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	EQ(info.nr_children, 9);
	td_inited(&td);
	STATUS(call(TDH_MNG_ADDCX, page(), td.tdr, 0, 0), TDX_OP_STATE_INCORRECT);
	td_fatal(&td, &v);
	STATUS(call(TDH_MNG_ADDCX, page(), td.tdr, 0, 0), TDX_TD_FATAL);
}

static uint64_t init_with(struct w_td *td, unsigned int offset, uint64_t value)
{
	write_params();
	wr64(W_PARAMS + offset, value);
	return call(TDH_MNG_INIT, td->tdr, W_PARAMS, 0, 0);
}

TEST(init_checks_td_params)
{
	enum { ATTRIBUTES = 0, XFAM = 8, VCPUS = 16, EPTP = 24, FLAGS = 32, TSC = 40 };
	struct w_td td;

	w->cfg.attributes_fixed0 |= 1ull << 63 | 1 << 29 | 1 << 16;
	w->cfg.xfam_fixed0 |= 3 << 11;
	world_reset(w);
	sys_ready();
	td_with_tdcs(&td);
	STATUS(init_with(&td, ATTRIBUTES, 2), INVALID(ATTRIBUTES));
	STATUS(init_with(&td, ATTRIBUTES, 1 << 29 | 1), INVALID(ATTRIBUTES));
	STATUS(init_with(&td, ATTRIBUTES, 1 << 29 | 1ull << 63), INVALID(ATTRIBUTES));
	STATUS(init_with(&td, ATTRIBUTES, 1 << 16 | 1ull << 63), INVALID(ATTRIBUTES));
	STATUS(init_with(&td, XFAM, 1), INVALID(XFAM));
	STATUS(init_with(&td, XFAM, 0x13), INVALID(XFAM));
	STATUS(init_with(&td, XFAM, 0xe3), INVALID(XFAM));
	STATUS(init_with(&td, XFAM, 0x67), INVALID(XFAM));
	STATUS(init_with(&td, XFAM, 0x20003), INVALID(XFAM));
	STATUS(init_with(&td, XFAM, 0x803), INVALID(XFAM));
	STATUS(init_with(&td, VCPUS, 0), INVALID(MAX_VCPUS));
	STATUS(init_with(&td, VCPUS, 4), INVALID(MAX_VCPUS));
	STATUS(init_with(&td, VCPUS, 1 << 16 | 2), INVALID(NUM_L2_VMS));
	STATUS(init_with(&td, VCPUS, 2 << 24 | 2), INVALID(RDX));
	STATUS(init_with(&td, VCPUS, 1ull << 32 | 2), INVALID(RDX));
	STATUS(init_with(&td, VCPUS, 1ull << 63 | 2), INVALID(RDX));
	STATUS(init_with(&td, EPTP, 0x18), INVALID(EPTP_CONTROLS));	/* UC */
	STATUS(init_with(&td, EPTP, 0x26), INVALID(EPTP_CONTROLS));	/* 5 levels */
	STATUS(init_with(&td, EPTP, 0x16), INVALID(EPTP_CONTROLS));	/* 3 levels */
	STATUS(init_with(&td, EPTP, 0x5e), INVALID(EPTP_CONTROLS));	/* A/D */
	STATUS(init_with(&td, EPTP, 0x101e), INVALID(EPTP_CONTROLS));	/* base */
	STATUS(init_with(&td, FLAGS, 5), INVALID(EPTP_CONTROLS));	/* GPAW, 4 levels */
	STATUS(init_with(&td, FLAGS, 0x14), INVALID(CONFIG_FLAGS));
	STATUS(init_with(&td, TSC, 3), INVALID(TSC_FREQUENCY));
	STATUS(init_with(&td, TSC, 401), INVALID(TSC_FREQUENCY));
	STATUS(init_with(&td, TSC, 1 << 16 | 8), INVALID(RDX));
	STATUS(init_with(&td, 72, 1), INVALID(RDX));
	STATUS(init_with(&td, 224, 1), INVALID(ARCH_CAPABILITIES));
	STATUS(init_with(&td, VCPUS, 1 << 24 | 2), INVALID(ARCH_CAPABILITIES));
	STATUS(init_with(&td, 232, 1), INVALID(RDX));
	STATUS(init_with(&td, 248, 1), INVALID(RDX));
	STATUS(init_with(&td, 256 + 18 * 16, 1), INVALID(RDX));
	STATUS(init_with(&td, 1016, 1), INVALID(RDX));
	w->tsc_adjust = 1;
	STATUS(init_with(&td, XFAM, 3), TDX_INCONSISTENT_MSR | 0x3b);
	w->tsc_adjust = 0;
	/* after all that, the TD can still be initialized */
	OK(init_with(&td, XFAM, 0x602e7 | 3 << 11));
	EQ(w->r.r[TDX_RCX], 0);
}

TEST(init_checks_cpuid_configuration)
{
	enum { LEAF_1 = 256, LEAF_7 = 256 + 5 * 16, LEAF_80000008 = 256 + 9 * 16,
	       LEAF_1F = 256 + 12 * 16 };
	struct w_td td;

	sys_ready();
	td_with_tdcs(&td);
	STATUS(init_with(&td, LEAF_1, 0x4000), INVALID(CPUID_CONFIG));
	EQ(w->r.r[TDX_RCX], 0xffffffff00000001);
	STATUS(init_with(&td, LEAF_1, 0x000906f8), INVALID(CPUID_CONFIG));
	OK(init_with(&td, LEAF_1, 0x000806f8));
	td_with_tdcs(&td);
	STATUS(init_with(&td, LEAF_7, 1ull << (32 + 4)), INVALID(CPUID_CONFIG));
	EQ(w->r.r[TDX_RCX], 7);
	STATUS(init_with(&td, LEAF_7, 1), INVALID(CPUID_CONFIG));
	OK(init_with(&td, LEAF_7, 1ull << (32 + 4) | 1ull << (32 + 11)));
	td_with_tdcs(&td);
	STATUS(init_with(&td, LEAF_80000008, 0x300000), INVALID(CPUID_CONFIG));
	STATUS(init_with(&td, LEAF_1F, 1), TDX_CPUID_LEAF_1F_FORMAT_UNRECOGNIZED);
	STATUS(init_with(&td, LEAF_1F + 8, 1 << 8), TDX_CPUID_LEAF_1F_FORMAT_UNRECOGNIZED);
	STATUS(init_with(&td, LEAF_1F + 16, 1), TDX_CPUID_LEAF_1F_FORMAT_UNRECOGNIZED);
	STATUS(init_with(&td, LEAF_1F + 8, 2 << 8 | 1), TDX_CPUID_LEAF_1F_FORMAT_UNRECOGNIZED);
	OK(init_with(&td, LEAF_1F + 8, 2 << 8));
	/* a virtual MAXPA that the CPU does not have */
	td_with_tdcs(&td);
	write_params();
	wr64(W_PARAMS + 32, 4 | 8);
	wr64(W_PARAMS + LEAF_80000008, 49);
	STATUS(call(TDH_MNG_INIT, td.tdr, W_PARAMS, 0, 0), INVALID(CPUID_CONFIG));
	wr64(W_PARAMS + LEAF_80000008, 44);
	STATUS(call(TDH_MNG_INIT, td.tdr, W_PARAMS, 0, 0), INVALID(CPUID_CONFIG));
	wr64(W_PARAMS + LEAF_80000008, 46);
	OK(call(TDH_MNG_INIT, td.tdr, W_PARAMS, 0, 0));
	STATUS(call(TDH_MEM_SEPT_ADD, 1ull << 46 | 3, td.tdr, page(), 0), INVALID(RCX));
}

TEST(init_needs_a_td_that_is_not)
{
	struct w_td td, other;

	sys_ready();
	td_with_tdcs(&td);
	write_params();
	bad_pages((struct args) { TDH_MNG_INIT, { td.tdr, W_PARAMS } }, A_RCX, W_SOURCE);
	bad_td_states((struct args) { TDH_MNG_INIT, { td.tdr, W_PARAMS } }, A_RCX, false, true);
	w->misc_enable = 1 << 22;
	STATUS(call(TDH_MNG_INIT, td.tdr, W_PARAMS, 0, 0), TDX_LIMIT_CPUID_MAXVAL_SET);
	w->misc_enable = 0;
	STATUS(call(TDH_MNG_INIT, td.tdr, W_PARAMS + 0x200, 0, 0), INVALID(RDX));
	STATUS(call(TDH_MNG_INIT, td.tdr, W_PARAMS | 33ull << W_KEYID_SHIFT, 0, 0), INVALID(RDX));
	STATUS(call(TDH_MNG_INIT, td.tdr, 1ull << 52, 0, 0), INVALID(RDX));
	OK(call(TDH_MNG_INIT, td.tdr, W_PARAMS, 0, 0));
	STATUS(call(TDH_MNG_INIT, td.tdr, W_PARAMS, 0, 0), TDX_OP_STATE_INCORRECT);
	td_inited(&other);
}

TEST(five_levels_if_the_cpu_has_them)
{
	struct w_td td;

	w->cfg.ept_5level = true;
	world_reset(w);
	sys_ready();
	td_with_tdcs(&td);
	write_params();
	wr64(W_PARAMS + 24, 0x26);
	wr64(W_PARAMS + 32, 5);
	OK(call(TDH_MNG_INIT, td.tdr, W_PARAMS, 0, 0));
	OK(call(TDH_MEM_SEPT_ADD, GPA_SHARED << 3 | 4, td.tdr, page(), 0));
	STATUS(call(TDH_MEM_SEPT_ADD, 1ull << 51 | 4, td.tdr, page(), 0), INVALID(RCX));
}

static uint64_t field(struct w_td *td, uint64_t id)
{
	OK(call(TDH_MNG_RD, td->tdr, id, 0, 0));
	return w->r.r[TDX_R8];
}

TEST(rd_tells_what_kvm_asks_for)
{
	struct w_td td;

	sys_ready();
	td_inited(&td);
	EQ(field(&td, 0x110000000000000b), 1ull << 48);
	TRUE((int64_t)field(&td, 0x110000000000000a) <= -1000);
	EQ(field(&td, 0x1110000300000000), 1 << 28);
	EQ(field(&td, 0x8110000100000001), td.keyid);
	EQ(field(&td, 0x8010000300000013), td.tdcs[3]);
	EQ(field(&td, 0x9210000300000000), 1);

	/* CPUID: the form without sub-leaf, and sub-leaves up to an error */
	EQ(field(&td, 0x94100003000001fe) & 0xffffffff, 0x23);
	EQ(field(&td, 0x9410000300000000 | 1 << 16 | 0x1fe) & 0xffffffff, 0x80000008);
	EQ(field(&td, 0x9410000300000000 | 0x15 << 9 | 0x1fe), 8ull << 32 | 1);
	EQ(field(&td, 0x9410000300000000 | 0x21 << 9), 0x65746e4900000000);
	EQ(field(&td, 0x9410000300000000 | 0x21 << 9 | 1), 0x5844546c20202020);
	STATUS(call(TDH_MNG_RD, td.tdr, 0x9410000300000000 | 4 << 9 | 0x1fe, 0, 0),
	       TDX_METADATA_FIELD_ID_INCORRECT);
	for (unsigned int s = 0; s < 5; s++)
		field(&td, 0x9410000300000000 | 4 << 9 | s << 1);
	STATUS(call(TDH_MNG_RD, td.tdr, 0x9410000300000000 | 4 << 9 | 5 << 1, 0, 0),
	       TDX_METADATA_FIELD_ID_INCORRECT);
	EQ(w->r.r[TDX_R8], 0);
	STATUS(call(TDH_MNG_RD, td.tdr, 0x9410000300000000 | 6 << 9 | 0x1fe, 0, 0),
	       TDX_METADATA_FIELD_NOT_READABLE);
	STATUS(call(TDH_MNG_RD, td.tdr, 0x9410000300000000 | 1 << 17, 0, 0),
	       TDX_METADATA_FIELD_ID_INCORRECT);
	STATUS(call(TDH_MNG_RD, td.tdr, 0x1110000300000000 | 1 << 24, 0, 0),
	       TDX_METADATA_FIELD_ID_INCORRECT);
}

TEST(rd_lists_the_fields_of_a_td)
{
	unsigned int n = 0;
	struct w_td td;
	uint64_t id;

	sys_ready();
	td_inited(&td);
	STATUS(call(TDH_MNG_RD | 2 << 16, td.tdr, 0, 0, 0), INVALID(RAX));
	STATUS(call(TDH_MNG_RD | 1 << 16, td.tdr, ~0ull, 0, 0), TDX_METADATA_FIRST_FIELD_ID);
	for (id = w->r.r[TDX_RDX]; id != ~0ull; id = w->r.r[TDX_RDX], n++)
		OK(call(TDH_MNG_RD | 1 << 16, td.tdr, id, 0, 0));
	TRUE(n > 60);
	STATUS(call(TDH_MNG_RD, td.tdr, ~0ull, 0, 0), TDX_METADATA_FIELD_ID_INCORRECT);
	EQ(w->r.r[TDX_RDX], ~0ull);
	bad_pages((struct args) { TDH_MNG_RD, { td.tdr, 0x1110000300000000 } }, A_RCX, W_SOURCE);
	bad_td_states((struct args) { TDH_MNG_RD, { td.tdr, 0x1110000300000000 } }, A_RCX,
		      true, false);
}

TEST(teardown_goes_in_order)
{
	struct tdx_td_info info;
	struct w_vcpu v;
	struct w_td td;

	sys_ready();
	td_runnable(&td, &v);
	bad_pages((struct args) { TDH_MNG_VPFLUSHDONE, { td.tdr } }, A_RCX, W_SOURCE);
	bad_pages((struct args) { TDH_MNG_KEY_FREEID, { td.tdr } }, A_RCX, W_SOURCE);
	STATUS(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0), TDX_LIFECYCLE_STATE_INCORRECT);
	STATUS(call(TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), TDX_FLUSHVP_NOT_DONE);
	STATUS(call(TDH_PHYMEM_PAGE_RECLAIM, td.tdcs[0], 0, 0, 0), TDX_LIFECYCLE_STATE_INCORRECT);
	OK(call(TDH_VP_FLUSH, v.tdvpr, 0, 0, 0));
	EQ(tdx_lock_take(w->m, TDX_LOCK_KOT, 0, 0, true), 0);
	STATUS(call(TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), BUSY(KOT));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_KOT, 0, 0, true), 0);
	OK(call(TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0));
	STATUS(call(TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), TDX_LIFECYCLE_STATE_INCORRECT);
	STATUS(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0), TDX_WBCACHE_NOT_COMPLETE);
	OK(call_on(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	STATUS(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0), TDX_WBCACHE_NOT_COMPLETE);
	OK(call_on(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	EQ(tdx_lock_take(w->m, TDX_LOCK_KOT, 0, 0, true), 0);
	STATUS(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0), BUSY(KOT));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_KOT, 0, 0, true), 0);
	STATUS(call(TDH_MNG_CREATE, page(), td.keyid, 0, 0), TDX_HKID_NOT_FREE);
	OK(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0));
	STATUS(call(TDH_PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0), TDX_TD_ASSOCIATED_PAGES_EXIST);

	for (unsigned int i = 0; i < 5; i++)
		OK(call(TDH_PHYMEM_PAGE_RECLAIM, v.tdcx[i], 0, 0, 0));
	OK(call(TDH_PHYMEM_PAGE_RECLAIM, v.tdvpr, 0, 0, 0));
	for (unsigned int i = 0; i < 3; i++)
		OK(call(TDH_PHYMEM_PAGE_RECLAIM, td.table[i], 0, 0, 0));
	for (unsigned int i = 0; i < 6; i++) {
		TRUE(tdx_td_get(w->m, td.tdr, &info));
		EQ(info.nr_children, 6 - i);
		OK(call(TDH_PHYMEM_PAGE_RECLAIM, td.tdcs[i], 0, 0, 0));
	}
	OK(call(TDH_PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0));
	TRUE(!tdx_td_get(w->m, td.tdr, &info));
	OK(call(TDH_PHYMEM_PAGE_WBINVD, td.tdr | (uint64_t)W_GLOBAL_KEYID << W_KEYID_SHIFT, 0, 0, 0));
	/* and keyid and page are as good as new */
	OK(call(TDH_MNG_CREATE, td.tdr, td.keyid, 0, 0));
}

/* What KVM does when creation fails half-way. */
TEST(teardown_works_from_every_step_of_creation)
{
	struct w_td td;

	sys_ready();
	for (unsigned int step = 0; step < 3; step++) {
		if (step == 0)
			td_created(&td);
		else if (step == 1)
			td_keyed(&td);
		else
			td_with_tdcs(&td);
		OK(call(TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0));
		OK(call_on(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
		OK(call_on(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
		OK(call(TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0));
		for (unsigned int i = 0; step == 2 && i < 6; i++)
			OK(call(TDH_PHYMEM_PAGE_RECLAIM, td.tdcs[i], 0, 0, 0));
		OK(call(TDH_PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0));
	}
}
