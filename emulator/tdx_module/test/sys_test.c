// SPDX-License-Identifier: GPL-2.0-only
/* TDH.SYS.* */
#include <errno.h>

#include "operands.h"

static void busy_sys(uint64_t leaf)
{
	EQ(tdx_lock_take(w->m, TDX_LOCK_SYS, 0, 0, true), 0);
	STATUS(call(leaf, 0, 0, 0, 0), TDX_SYS_BUSY);
	EQ(tdx_lock_drop(w->m, TDX_LOCK_SYS, 0, 0, true), 0);
}

TEST(init_once_with_rcx_zero)
{
	busy_sys(TDH_SYS_INIT);
	STATUS(call(TDH_SYS_INIT, 1, 0, 0, 0), INVALID(RCX));
	w->misc_enable = 1 << 22;
	STATUS(call(TDH_SYS_INIT, 0, 0, 0, 0), TDX_LIMIT_CPUID_MAXVAL_SET);
	w->misc_enable = 0;
	OK(call(TDH_SYS_INIT, 0, 0, 0, 0));
	EQ(w->r.r[TDX_RDX], 0);
	EQ(w->r.r[TDX_R10], 0);
	EQ(w->r.r[TDX_R11], 0x5a5a5a5a5a5a5a5a);
	STATUS(call(TDH_SYS_INIT, 0, 0, 0, 0), TDX_SYS_INIT_NOT_PENDING);
}

TEST(lp_init_once_per_lp_after_init)
{
	STATUS(call(TDH_SYS_LP_INIT, 0, 0, 0, 0), TDX_SYS_LP_INIT_NOT_PENDING);
	OK(call(TDH_SYS_INIT, 0, 0, 0, 0));
	busy_sys(TDH_SYS_LP_INIT);
	w->misc_enable = 1 << 22;
	STATUS(call(TDH_SYS_LP_INIT, 0, 0, 0, 0), TDX_LIMIT_CPUID_MAXVAL_SET);
	w->misc_enable = 0;
	w->tsc_adjust = 5;
	STATUS(call(TDH_SYS_LP_INIT, 0, 0, 0, 0), TDX_INCONSISTENT_MSR | 0x3b);
	w->tsc_adjust = 0;
	OK(call(TDH_SYS_LP_INIT, 0, 0, 0, 0));
	STATUS(call(TDH_SYS_LP_INIT, 0, 0, 0, 0), TDX_SYS_LP_INIT_DONE);
	OK(call_on(1, TDH_SYS_LP_INIT, 0, 0, 0, 0));
}

TEST(the_dispatcher_knows_leaves_versions_and_states)
{
	/* P-SEAMLDR, and LPs that do not exist */
	call(1ull << 63, 0, 0, 0, 0);
	EQ(w->next, TDX_FAIL_INVALID);
	EQ(w->r.r[TDX_RAX], 1ull << 63);
	call_on(W_LPS, TDH_SYS_INIT, 0, 0, 0, 0);
	EQ(w->next, TDX_FAIL_INVALID);

	STATUS(call(5, 0, 0, 0, 0), TDX_SYS_NOT_READY);
	STATUS(call(TDH_MNG_CREATE, 0, 0, 0, 0), TDX_SYS_NOT_READY);
	STATUS(call(TDH_SYS_TDMR_INIT, 0, 0, 0, 0), TDX_SYS_NOT_READY);
	STATUS(call(TDH_SYS_INIT | 1 << 16, 0, 0, 0, 0), INVALID(RAX));
	STATUS(call(TDH_SYS_INIT | 1 << 24, 0, 0, 0, 0), INVALID(RAX));
	STATUS(call(TDH_SYS_INIT | 1ull << 32, 0, 0, 0, 0), INVALID(RAX));
	sys_ready();
	for (unsigned int leaf = 0; leaf < 0x10000; leaf++)
		if (!tdx_leaf_name(leaf))
			STATUS(call(leaf, 0, 0, 0, 0), INVALID(RAX));
	EQ(w->r.r[TDX_RCX], 0);
	EQ(w->r.r[TDX_RBP], 0x5a5a5a5a5a5a5a5a);
	EQ(w->r.r[TDX_RSP], 0x5a5a5a5a5a5a5a5a);
}

TEST(config_waits_for_all_lps)
{
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 1, W_GLOBAL_KEYID, 0), TDX_SYS_CONFIG_NOT_PENDING);
	OK(call(TDH_SYS_INIT, 0, 0, 0, 0));
	for (unsigned int lp = 0; lp < W_LPS; lp++) {
		STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 1, W_GLOBAL_KEYID, 0),
		       TDX_SYS_CONFIG_NOT_PENDING);
		OK(call_on(lp, TDH_SYS_LP_INIT, 0, 0, 0, 0));
	}
	write_tdmr();
	busy_sys(TDH_SYS_CONFIG);
	OK(call(TDH_SYS_CONFIG, W_ARRAY, 1, W_GLOBAL_KEYID, 0));
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 1, W_GLOBAL_KEYID, 0), TDX_SYS_CONFIG_NOT_PENDING);
	STATUS(call(TDH_SYS_LP_INIT, 0, 0, 0, 0), TDX_SYS_LP_INIT_NOT_PENDING);
}

TEST(config_checks_its_operands)
{
	sys_inited();
	write_tdmr();
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY + 8, 1, 32, 0), INVALID(RCX));
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY | 32ull << W_KEYID_SHIFT, 1, 32, 0), INVALID(RCX));
	STATUS(call(TDH_SYS_CONFIG, 1ull << 52, 1, 32, 0), INVALID(RCX));
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 0, 32, 0), INVALID(RDX));
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 65, 32, 0), INVALID(RDX));
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 1, 31, 0), INVALID(R8));
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 1, 32 + W_NR_KEYIDS, 0), INVALID(R8));
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 1, 1ull << 32 | 32, 0), INVALID(R8));
	wr64(W_ARRAY, W_TDMR_INFO + 8);
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 1, 32, 0), INVALID(RCX));
	wr64(W_ARRAY, 32ull << W_KEYID_SHIFT);
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 1, 32, 0), INVALID(RCX));
}

/* One word of TDMR_INFO changed. */
struct change {
	unsigned int word;
	uint64_t value, status;
};

static void bad_tdmr(const struct change *change)
{
	write_tdmr();
	wr64(W_TDMR_INFO + 8 * change->word, change->value);
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 1, 32, 0), change->status);
}

TEST(config_checks_tdmrs)
{
	enum { BASE, SIZE, P1G, P1G_SIZE, P2M, P2M_SIZE, P4K, P4K_SIZE, R0, R0_SIZE, R1,
	       R1_SIZE, R2, R2_SIZE };
	static const struct change changes[] = {
		{ BASE, 0x1000, TDX_INVALID_TDMR },
		{ SIZE, 0, TDX_INVALID_TDMR },
		{ SIZE, 0x1000, TDX_INVALID_TDMR },
		{ SIZE, 1ull << 46, TDX_INVALID_PAMT | 2 << 8 },
		{ SIZE, 1ull << 47, TDX_INVALID_TDMR },
		{ BASE, 1ull << 46, TDX_INVALID_TDMR },
		{ BASE, ~0ull << 30, TDX_INVALID_TDMR },
		{ R0, 0x800, TDX_INVALID_RESERVED_IN_TDMR },
		{ R0_SIZE, 0x800, TDX_INVALID_RESERVED_IN_TDMR },
		{ R0_SIZE, ~0xfffull, TDX_INVALID_RESERVED_IN_TDMR },
		{ R1, 0x1000, TDX_NON_ORDERED_RESERVED_IN_TDMR | 1 << 8 },
		{ R1_SIZE, 0, TDX_NON_ORDERED_RESERVED_IN_TDMR | 1 << 8 },
		{ R2, ~0xfffull, TDX_INVALID_RESERVED_IN_TDMR | 2 << 8 },
		{ R2_SIZE, 1ull << 30, TDX_INVALID_RESERVED_IN_TDMR | 2 << 8 },
		{ P1G, 0x123, TDX_INVALID_PAMT | 2 << 8 },
		{ P1G_SIZE, 0, TDX_INVALID_PAMT | 2 << 8 },
		{ P2M_SIZE, 0x1000, TDX_INVALID_PAMT | 1 << 8 },
		{ P2M, 1ull << W_KEYID_SHIFT, TDX_INVALID_PAMT | 1 << 8 },
		{ P4K_SIZE, 0x3ff000, TDX_INVALID_PAMT },
		{ P4K, ~0xfffull, TDX_INVALID_PAMT },
		{ P1G, W_PAMT, TDX_PAMT_OVERLAP | 0 << 8 },
		{ P2M, W_PAMT + 0x401000, TDX_PAMT_OVERLAP | 1 << 8 },
		{ P1G, W_PAGES, TDX_PAMT_OVERLAP | 2 << 8 },
		{ P1G, 0x1000, TDX_PAMT_OUTSIDE_CMRS | 2 << 8 },
		{ R0_SIZE, W_CMR - 0x1000, TDX_TDMR_OUTSIDE_CMRS },
		{ R2, W_RAM + 0x1000, TDX_INVALID_RESERVED_IN_TDMR | 2 << 8 },
	};

	sys_inited();
	for (unsigned int i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		bad_tdmr(&changes[i]);
	write_tdmr();
	wr64(W_TDMR_INFO + 8 * R2, W_RAM + 0x1000);
	wr64(W_TDMR_INFO + 8 * R2_SIZE, (1ull << 30) - W_RAM - 0x1000);
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 1, 32, 0), TDX_TDMR_OUTSIDE_CMRS);
	write_tdmr();
	OK(call(TDH_SYS_CONFIG, W_ARRAY, 1, 32, 0));
}

/* A second TDMR, all of it reserved. */
static void second_tdmr(uint64_t base, uint64_t pamt)
{
	const uint64_t info[] = {
		base, 1ull << 30,
		pamt + 0x402000, 0x1000, pamt + 0x400000, 0x2000, pamt, 0x400000,
		0, 1ull << 30,
	};

	write_tdmr();
	wr64(W_ARRAY + 8, W_TDMR_INFO + 0x400);
	for (unsigned int i = 0; i < 8 + 32; i++)
		wr64(W_TDMR_INFO + 0x400 + 8 * i, i < sizeof(info) / 8 ? info[i] : 0);
}

TEST(config_compares_tdmrs_with_one_another)
{
	const uint64_t pamt = 10ull << 20;

	sys_inited();
	second_tdmr(0, pamt);
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 2, 32, 0), TDX_NON_ORDERED_TDMR | 1);
	second_tdmr(1ull << 30, W_PAMT);
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 2, 32, 0), TDX_PAMT_OVERLAP | 1);
	second_tdmr(1ull << 30, pamt);
	STATUS(call(TDH_SYS_CONFIG, W_ARRAY, 2, 32, 0), TDX_PAMT_OVERLAP | 1);
	/* ... but not where the first TDMR is reserved */
	second_tdmr(1ull << 30, pamt);
	wr64(W_TDMR_INFO + 8 * 11, pamt + (5ull << 20) - W_PAMT);
	OK(call(TDH_SYS_CONFIG, W_ARRAY, 2, 32, 0));
	OK(call_on(0, TDH_SYS_KEY_CONFIG, 0, 0, 0, 0));
	OK(call_on(2, TDH_SYS_KEY_CONFIG, 0, 0, 0, 0));
	OK(call(TDH_SYS_TDMR_INIT, 1ull << 30, 0, 0, 0));
	OK(call(TDH_PHYMEM_PAGE_RDMD, 1ull << 30, 0, 0, 0));
	EQ(w->r.r[TDX_RCX], TDX_PT_RSVD);
}

TEST(key_config_once_per_package)
{
	STATUS(call(TDH_SYS_KEY_CONFIG, 0, 0, 0, 0), TDX_SYS_KEY_CONFIG_NOT_PENDING);
	sys_configured();
	busy_sys(TDH_SYS_KEY_CONFIG);
	EQ(tdx_lock_take(w->m, TDX_LOCK_KET, 0, 0, true), 0);
	STATUS(call(TDH_SYS_KEY_CONFIG, 0, 0, 0, 0), BUSY(KET));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_KET, 0, 0, true), 0);
	OK(call_on(0, TDH_SYS_KEY_CONFIG, 0, 0, 0, 0));
	STATUS(call_on(1, TDH_SYS_KEY_CONFIG, 0, 0, 0, 0), TDX_KEY_CONFIGURED);
	STATUS(call(TDH_SYS_TDMR_INIT, 0, 0, 0, 0), TDX_SYS_NOT_READY);
	OK(call_on(3, TDH_SYS_KEY_CONFIG, 0, 0, 0, 0));
	STATUS(call(TDH_SYS_KEY_CONFIG, 0, 0, 0, 0), TDX_SYS_KEY_CONFIG_NOT_PENDING);
	OK(call(TDH_SYS_TDMR_INIT, 0, 0, 0, 0));
}

TEST(tdmr_init_goes_step_by_step)
{
	w->cfg.tdmr_init_bytes = 256ull << 20;
	world_reset(w);
	sys_configured();
	OK(call_on(0, TDH_SYS_KEY_CONFIG, 0, 0, 0, 0));
	OK(call_on(2, TDH_SYS_KEY_CONFIG, 0, 0, 0, 0));
	STATUS(call(TDH_SYS_TDMR_INIT, 0x1000, 0, 0, 0), INVALID(RCX));
	STATUS(call(TDH_SYS_TDMR_INIT, 1ull << 30, 0, 0, 0), INVALID(RCX));
	EQ(tdx_lock_take(w->m, TDX_LOCK_TDMR, 0, 0, true), 0);
	STATUS(call(TDH_SYS_TDMR_INIT, 0, 0, 0, 0), BUSY(RCX));
	EQ(tdx_lock_drop(w->m, TDX_LOCK_TDMR, 0, 0, true), 0);
	for (unsigned int i = 0; i < 4; i++) {
		STATUS(call(TDH_PHYMEM_PAGE_RDMD, W_PAGES, 0, 0, 0), RANGE(RCX));
		OK(call(TDH_SYS_TDMR_INIT, 0, 0, 0, 0));
		EQ(w->r.r[TDX_RDX], i == 3 ? 1ull << 30 : 0);
	}
	STATUS(call(TDH_SYS_TDMR_INIT, 0, 0, 0, 0), TDX_TDMR_ALREADY_INITIALIZED);
	OK(call(TDH_PHYMEM_PAGE_RDMD, W_PAGES, 0, 0, 0));
}

/* What Linux reads, and what it needs. */
TEST(rd_tells_all_that_linux_asks_for)
{
	static const struct {
		uint64_t id, value;
	} fields[] = {
		{ 0x0800000100000003, 5 }, { 0x0800000100000004, 1 },
		{ 0x0800000100000005, 6 }, { 0x0a00000300000008, 0x140000 },
		{ 0x9100000100000008, 64 }, { 0x9100000100000009, 16 },
		{ 0x9100000100000010, 16 }, { 0x9100000100000011, 16 },
		{ 0x9100000100000012, 16 }, { 0x9800000100000000, 4096 },
		{ 0x9800000100000100, 24576 }, { 0x9800000100000200, 24576 },
		{ 0x1900000300000000, 0x10000001 }, { 0x1900000300000001, 0 },
		{ 0x1900000300000002, 0x602e7 }, { 0x1900000300000003, 3 },
		{ 0x9900000100000004, 18 }, { 0x9900000100000008, 3 },
		{ 0x9900000300000400, 0xffffffff00000001 },
		{ 0x9900000300000409, 0xffffffff80000008 },
		{ 0x9900000300000500, 0x00ff00000fff3fff },
		{ 0x9900000300000512, 0xff }, { 0x8900000100000000, 1 },
		{ 0x9000000100000000, 1 }, { 0x9000000300000080, W_CMR },
		{ 0x9000000300000100, W_RAM - W_CMR },
	};

	STATUS(call(TDH_SYS_RD, 0, fields[0].id, 0, 0), TDX_SYS_LP_INIT_NOT_DONE);
	sys_inited();
	for (unsigned int i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		OK(call(TDH_SYS_RD, 0, fields[i].id, 0, 0));
		EQ(w->r.r[TDX_R8], fields[i].value);
	}
}

TEST(rd_lists_its_fields)
{
	unsigned int n = 0;
	uint64_t id;

	sys_inited();
	STATUS(call(TDH_SYS_RD, 0, ~0ull, 0, 0), TDX_METADATA_FIRST_FIELD_ID);
	for (id = w->r.r[TDX_RDX]; id != ~0ull; id = w->r.r[TDX_RDX], n++)
		OK(call(TDH_SYS_RD, 0, id, 0, 0));
	TRUE(n > 200);
	STATUS(call(TDH_SYS_RD, 0, 0x9100000100000013, 0, 0), TDX_METADATA_FIELD_ID_INCORRECT);
	EQ(w->r.r[TDX_R8], 0);
	EQ(w->r.r[TDX_RDX], ~0ull);
	/* element size and non-arch bit do not matter, reserved bits do */
	OK(call(TDH_SYS_RD, 0, 0x1100000300000008, 0, 0));
	EQ(w->r.r[TDX_R8], 64);
	for (unsigned int bit = 24; bit < 63; bit++) {
		if ((bit >= 32 && bit < 34) || (bit >= 50 && bit < 55) || (bit >= 56 && bit < 62))
			continue;
		STATUS(call(TDH_SYS_RD, 0, 0x9100000100000008 ^ 1ull << bit, 0, 0),
		       TDX_METADATA_FIELD_ID_INCORRECT);
	}
}

TEST(update_keeps_tds)
{
	struct tdx_td_info info;
	struct w_vcpu v;
	struct w_td td;

	sys_inited();
	STATUS(call(TDH_SYS_UPDATE, 0, 0, 0, 0), TDX_SYS_INVALID_HANDOFF);
	busy_sys(TDH_SYS_UPDATE);
	world_reset(w);
	STATUS(call(TDH_SYS_UPDATE, 0, 0, 0, 0), TDX_SYS_STATE_INCORRECT);
	sys_ready();
	td_runnable(&td, &v);
	EQ(tdx_install(w->m), -EBUSY);
	STATUS(call(TDH_SYS_SHUTDOWN, 2, 0, 0, 0), INVALID(RCX));
	busy_sys(TDH_SYS_SHUTDOWN);
	enter(&v);
	STATUS(call_on(1, TDH_SYS_SHUTDOWN, 1, 0, 0, 0), TDX_SYS_BUSY);
	world_reset(w);

	sys_ready();
	td_runnable(&td, &v);
	OK(call(TDH_SYS_SHUTDOWN, 1, 0, 0, 0));
	STATUS(call(TDH_SYS_RD, 0, 0x0800000100000003, 0, 0), TDX_SYS_SHUTDOWN);
	EQ(tdx_install(w->m), 0);
	sys_inited();
	OK(call(TDH_SYS_UPDATE, 0, 0, 0, 0));
	TRUE(tdx_td_get(w->m, td.tdr, &info));
	EQ(info.op_state, 2);
	enter(&v);
	leave_td();
	/* a new module that is not told so starts with nothing */
	OK(call(TDH_SYS_SHUTDOWN, 1, 0, 0, 0));
	EQ(tdx_install(w->m), 0);
	sys_configured();
	TRUE(!tdx_td_get(w->m, td.tdr, &info));
}

TEST(disable_gives_everything_back)
{
	struct tdx_page p;
	struct w_vcpu v;
	struct w_td td;

	sys_ready();
	td_runnable(&td, &v);
	busy_sys(TDH_SYS_DISABLE);
	enter(&v);
	leave_td();
	TRUE(tdx_page_owner(w->m, td.tdr, &p));
	EQ(p.type, TDX_PT_TDR);
	OK(call(TDH_SYS_DISABLE, 0, 0, 0, 0));
	TRUE(!tdx_page_owner(w->m, td.tdr, &p));
	call(TDH_SYS_INIT, 0, 0, 0, 0);
	EQ(w->next, TDX_FAIL_INVALID);
}

TEST(create_refuses_a_contradictory_configuration)
{
	const struct tdx_ops none = { 0 };
	struct tdx_config good = w->cfg, bad;
	struct tdx_module *m;

	EQ(tdx_create(&m, &good, &none), -EINVAL);
	TRUE(!m);
#define BAD(change) do {							\
	bad = good;								\
	bad.change;								\
	w->cfg = bad;								\
	EQ(tdx_create(&m, &bad, &(struct tdx_ops) {				\
		.read = (void *)1, .write = (void *)1, .rdmsr = (void *)1,	\
		.cpuid = (void *)1, .invalidate = (void *)1 }), -EINVAL);	\
} while (0)
	BAD(nr_lps = 0);
	BAD(nr_lps = TDX_MAX_LPS + 1);
	BAD(nr_pkgs = 0);
	BAD(nr_pkgs = W_LPS + 1);
	BAD(nr_lps_init = W_LPS + 1);
	BAD(max_pa = 53);
	BAD(keyid_bits = 0);
	BAD(first_keyid = 0);
	BAD(first_keyid = 60);
	BAD(nr_keyids = 0);
	BAD(max_tdmrs = TDX_MAX_TDMRS + 1);
	BAD(max_reserved = TDX_MAX_RESERVED + 1);
	BAD(max_vcpus = 0);
	BAD(nr_cmrs = TDX_MAX_CMRS + 1);
	BAD(nr_cpuid_config = TDX_MAX_CPUID_CONFIG + 1);
	BAD(tdmr_init_bytes = 0);
	BAD(native_tsc_hz = 0);
	BAD(wb_blocks = 0);
	BAD(secondary_controls = 1);
	BAD(attributes_fixed1 = 2);
	BAD(xfam_fixed0 = 1);
	BAD(cmrs[0].base = 0x800);
	BAD(cmrs[0].size = 1ull << 46);
	w->cfg = good;
}
