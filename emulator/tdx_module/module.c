// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handle, and the dispatcher that SEAMCALL enters.
 */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

/* splitmix64: passes every seed, needs one word of state */
u64 random64(struct tdx_module *m)
{
	u64 z = m->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void fill_page(struct tdx_module *m, u64 pa, u64 value)
{
	u64 page[PAGE_SIZE / sizeof(u64)];

	for (unsigned int i = 0; i < ARRAY_SIZE(page); i++)
		page[i] = value;
	m->ops.write(m->ops.ctx, pa, page, sizeof(page));
}

void tell(struct tdx_module *m, enum tdx_event_kind kind, const struct pamt *p,
	  u64 pa)
{
	struct tdx_event event;

	if (!m->watch)
		return;
	event = (struct tdx_event) {
		.kind = kind,
		.pa = pa,
		.size = level_size(p->size),
		.type = p->type,
		.tdr = p->td->tdr,
		.keyid = p->type == TDX_PT_TDR ? m->global_keyid : p->td->keyid,
		.gpa = p->gpa,
		.level = p->level,
	};
	m->watch(m->watch_ctx, &event);
}

/* The CPUID configurations of 1.5.06, in TD_PARAMS order. */
static const struct tdx_cpuid_config cpuid_1_5_06[] = {
	{ 0x1, TDX_NO_SUBLEAF, .direct = { 0x0fff3fff, 0x00ff0000 },
	  .allow = { 0, 0, 0x31044d88, 0xb8440000 } },
	{ 0x4, 0, .direct = { 0xffffc3ff, 0xfffff000, 0xffffffff, 0xfffffffb } },
	{ 0x4, 1, .direct = { 0xffffc3ff, 0xfffff000, 0xffffffff, 0xfffffffb } },
	{ 0x4, 2, .direct = { 0xffffc3ff, 0xfffff000, 0xffffffff, 0xfffffffb } },
	{ 0x4, 3, .direct = { 0xffffc3ff, 0xfffff000, 0xffffffff, 0x00000007 } },
	{ 0x7, 0, .allow = { 0, 0xdc2b9b18, 0x02417f65, 0x0005411c } },
	{ 0x7, 1, .allow = { 0x04881db0, 0, 0, 0x00020430 } },
	{ 0xa, TDX_NO_SUBLEAF, .direct = { 0 } },
	{ 0x1c, TDX_NO_SUBLEAF, .allow = { 0xff } },
	{ 0x80000008, TDX_NO_SUBLEAF, .direct = { 0xff }, .allow = { 0, 0x200 } },
	{ 0x7, 2, .allow = { 0, 0, 0, 0x28 } },
	{ 0x23, 0, .allow = { 0xf } },
	{ 0x1f, 0, .direct = { 0x1f, 0xffff, 0xffff } },
	{ 0x1f, 1, .direct = { 0x1f, 0xffff, 0xffff } },
	{ 0x1f, 2, .direct = { 0x1f, 0xffff, 0xffff } },
	{ 0x1f, 3, .direct = { 0x1f, 0xffff, 0xffff } },
	{ 0x1f, 4, .direct = { 0x1f, 0xffff, 0xffff } },
	{ 0x1f, 5, .direct = { 0x1f, 0xffff, 0xffff } },
};

void tdx_config_default(struct tdx_config *config)
{
	*config = (struct tdx_config) {
		.nr_lps = 1,
		.nr_pkgs = 1,
		.max_pa = 52,
		.keyid_bits = 6,
		.first_keyid = 32,
		.nr_keyids = 32,
		.major = 1,
		.minor = 5,
		.update = 6,
		.build = 744,
		.build_date = 20240725,
		.features0 = BIT(18) | BIT(20),	/* NO_RBP_MOD, TOPOLOGY_ENUM */
		.handoff = 1,
		.max_tdmrs = 64,
		.max_reserved = 16,
		.max_vcpus = 576,
		.tdmr_init_bytes = SIZE_1G,
		.attributes_fixed0 = ATTRIBUTES_DEBUG | ATTRIBUTES_SEPT_VE_DISABLE,
		.xfam_fixed0 = 0x602e7,	/* x87, SSE, AVX, AVX-512, PKRU, AMX */
		.native_tsc_hz = 200000000,
		.wb_blocks = 1,
		.zero_step = true,
		.nr_cpuid_config = ARRAY_SIZE(cpuid_1_5_06),
	};
	memcpy(config->cpuid_config, cpuid_1_5_06, sizeof(cpuid_1_5_06));
}

static bool config_valid(const struct tdx_config *c)
{
	u64 end = 0;

	if (!c->nr_lps || c->nr_lps > TDX_MAX_LPS || !c->nr_pkgs ||
	    c->nr_pkgs > TDX_MAX_PKGS || c->nr_pkgs > c->nr_lps ||
	    c->nr_lps_init > c->nr_lps)
		return false;
	if (c->max_pa > 52 || c->max_pa < 36 || !c->keyid_bits || c->keyid_bits > 15 ||
	    !c->first_keyid || !c->nr_keyids || c->nr_keyids > BIT(c->keyid_bits) ||
	    c->first_keyid > BIT(c->keyid_bits) - c->nr_keyids ||
	    c->first_keyid + c->nr_keyids > TDX_MAX_KEYIDS)
		return false;
	if (c->max_tdmrs > TDX_MAX_TDMRS || c->max_reserved > TDX_MAX_RESERVED ||
	    !c->max_vcpus || c->max_vcpus > 0xffff || c->nr_cmrs > TDX_MAX_CMRS ||
	    c->nr_cpuid_config > TDX_MAX_CPUID_CONFIG)
		return false;
	if (!c->tdmr_init_bytes || !aligned(c->tdmr_init_bytes, 2 * SIZE_2M) ||
	    c->native_tsc_hz < 1000000 || !c->wb_blocks ||
	    c->secondary_controls & 0x3fffffff ||
	    c->attributes_fixed1 & ~c->attributes_fixed0 ||
	    (c->xfam_fixed0 & XFAM_FIXED1) != XFAM_FIXED1)
		return false;
	for (unsigned int i = 0; i < c->nr_cmrs; i++) {
		const struct tdx_range *r = &c->cmrs[i];

		if (!aligned(r->base | r->size, PAGE_SIZE) || r->base < end ||
		    r->size > BIT(c->max_pa - c->keyid_bits) - r->base)
			return false;
		end = r->base + r->size;
	}
	return true;
}

int tdx_create(struct tdx_module **out, const struct tdx_config *config,
	       const struct tdx_ops *ops)
{
	struct tdx_module *m;

	*out = NULL;
	if (!config_valid(config) || !ops->read || !ops->write || !ops->rdmsr ||
	    !ops->cpuid || !ops->invalidate)
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->cfg = *config;
	if (!m->cfg.nr_lps_init)
		m->cfg.nr_lps_init = m->cfg.nr_lps;
	m->ops = *ops;
	m->random = config->seed;
	for (unsigned int i = 0; i < sizeof(m->report_key); i++)
		m->report_key[i] = random64(m);
	m->keyid_mask = (BIT(config->keyid_bits) - 1) <<
			(config->max_pa - config->keyid_bits);
	*out = m;
	return 0;
}

void tdx_reseed(struct tdx_module *m, u64 seed)
{
	m->cfg.seed = m->random = seed;
}

void tdx_destroy(struct tdx_module *m)
{
	if (!m)
		return;
	while (m->tds)
		free_td(m, m->tds);
	free_tdmrs(m);
	free(m);
}

const struct tdx_config *tdx_get_config(const struct tdx_module *m)
{
	return &m->cfg;
}

void tdx_observe(struct tdx_module *m,
		 void (*fn)(void *ctx, const struct tdx_record *record), void *ctx)
{
	m->observe = fn;
	m->observe_ctx = ctx;
}

void tdx_watch(struct tdx_module *m,
	       void (*fn)(void *ctx, const struct tdx_event *event), void *ctx)
{
	m->watch = fn;
	m->watch_ctx = ctx;
}

#define R(reg)		(1u << TDX_##reg)
#define ANY_STATE	true

/*
 * @clears:    output registers that the module zeroes before its first check, so
 *             that they never carry anything over from a call that failed
 * @versions:  highest version that passes the dispatcher
 * @any_state: also before the module is ready
 */
static const struct leaf {
	u64 (*fn)(struct tdx_module *m, struct call *c);
	u32 clears;
	u8 versions;
	bool any_state;
} leaves[] = {
	[TDH_VP_ENTER]		= { vp_enter },
	[TDH_MNG_ADDCX]		= { mng_addcx },
	[TDH_MEM_PAGE_ADD]	= { mem_page_add, R(RCX) | R(RDX) },
	[TDH_MEM_SEPT_ADD]	= { mem_sept_add, R(RCX) | R(RDX), 255 },
	[TDH_VP_ADDCX]		= { vp_addcx },
	[TDH_MEM_PAGE_AUG]	= { mem_page_aug, R(RCX) | R(RDX) },
	[TDH_MEM_RANGE_BLOCK]	= { mem_range_block, R(RCX) | R(RDX) },
	[TDH_MNG_KEY_CONFIG]	= { mng_key_config },
	[TDH_MNG_CREATE]	= { mng_create },
	[TDH_VP_CREATE]		= { vp_create },
	[TDH_MNG_RD]		= { mng_rd, R(R8), 255 },
	[TDH_MR_EXTEND]		= { mr_extend, R(RCX) | R(RDX) },
	[TDH_MR_FINALIZE]	= { mr_finalize },
	[TDH_VP_FLUSH]		= { vp_flush },
	[TDH_MNG_VPFLUSHDONE]	= { mng_vpflushdone },
	[TDH_MNG_KEY_FREEID]	= { mng_key_freeid },
	[TDH_MNG_INIT]		= { mng_init, R(RCX) },
	[TDH_VP_INIT]		= { vp_init, 0, 255 },
	[TDH_PHYMEM_PAGE_RDMD]	= { phymem_page_rdmd, R(RCX) | R(RDX) | R(R8) | R(R9) |
				    R(R10) | R(R11) },
	[TDH_MEM_SEPT_RD]	= { mem_sept_rd, R(RCX) | R(RDX) },
	[TDH_VP_RD]		= { vp_rd, R(R8), 255 },
	[TDH_PHYMEM_PAGE_RECLAIM] = { phymem_page_reclaim, R(RCX) | R(RDX) | R(R8) |
				    R(R9) | R(R10) | R(R11) },
	[TDH_MEM_PAGE_REMOVE]	= { mem_page_remove, R(RCX) | R(RDX) },
	[TDH_MEM_SEPT_REMOVE]	= { mem_sept_remove, R(RCX) | R(RDX), 255 },
	[TDH_SYS_KEY_CONFIG]	= { sys_key_config, 0, 0, ANY_STATE },
	[TDH_SYS_INIT]		= { sys_init, R(RCX) | R(RDX) | R(R8) | R(R9) | R(R10), 0,
				    ANY_STATE },
	[TDH_SYS_RD]		= { sys_rd, R(R8), 0, ANY_STATE },
	[TDH_SYS_LP_INIT]	= { sys_lp_init, R(RCX) | R(RDX) | R(R8), 0, ANY_STATE },
	[TDH_SYS_TDMR_INIT]	= { sys_tdmr_init, R(RDX) },
	[TDH_MEM_TRACK]		= { mem_track },
	[TDH_MEM_RANGE_UNBLOCK]	= { mem_range_unblock, R(RCX) | R(RDX) },
	[TDH_PHYMEM_CACHE_WB]	= { phymem_cache_wb },
	[TDH_PHYMEM_PAGE_WBINVD] = { phymem_page_wbinvd },
	[TDH_VP_WR]		= { vp_wr, R(R8) },
	[TDH_SYS_CONFIG]	= { sys_config, 0, 0, ANY_STATE },
	[TDH_SYS_SHUTDOWN]	= { sys_shutdown },
	[TDH_SYS_UPDATE]	= { sys_update, 0, 0, ANY_STATE },
	[TDH_SYS_DISABLE]	= { sys_disable, 0, 0, ANY_STATE },
};

static u64 dispatch(struct tdx_module *m, struct call *c, bool *injected)
{
	const u64 rax = in(c, TDX_RAX);
	const struct leaf *leaf = NULL;
	u64 status;

	c->leaf = rax & 0xffff;
	c->version = rax >> 16 & 0xff;
	if (c->leaf < ARRAY_SIZE(leaves) && leaves[c->leaf].fn)
		leaf = &leaves[c->leaf];

	if (rax >> 24)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RAX;
	if (c->version && (!leaf || !leaf->versions))
		return TDX_OPERAND_INVALID | TDX_OPERAND_RAX;
	if (m->state == SYS_SHUT_DOWN && c->leaf != TDH_SYS_DISABLE)
		return TDX_SYS_SHUTDOWN;
	if (m->state != SYS_READY && !(leaf && leaf->any_state))
		return TDX_SYS_NOT_READY;
	if (!leaf)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RAX;

	for (unsigned int i = 0; leaf->clears >> i; i++)
		if (leaf->clears >> i & 1)
			out(c, i, 0);

	if (m->nr_rules) {
		status = injected_status(m, c->leaf, false);
		if (status) {
			*injected = true;
			if (c->leaf != TDH_PHYMEM_CACHE_WB ||
			    status != TDX_INTERRUPTED_RESUMABLE)
				return status;
			c->interrupted = true;
		}
	}
	return leaf->fn(m, c);
}

enum tdx_seamcall_next tdx_seamcall(struct tdx_module *m, unsigned int lp,
				    struct tdx_regs *regs, struct tdx_vcpu **vcpu)
{
	const struct tdx_regs before = *regs;
	struct call c = { .lp = lp, .in = &before, .r = regs };
	bool injected = false;
	u64 status;

	*vcpu = NULL;
	m->noted.nr = 0;
	/* There is no P-SEAMLDR, and nothing answers once TDX is disabled. */
	if (before.r[TDX_RAX] >> 63 || m->state == SYS_DISABLED || lp >= m->cfg.nr_lps)
		return TDX_FAIL_INVALID;

	tdx_release(m, lp);
	status = dispatch(m, &c, &injected);
	if (!c.enter)
		regs->r[TDX_RAX] = status;
	if (m->observe) {
		const struct tdx_record record = {
			.lp = lp,
			.time = read_msr(m, lp, MSR_TSC),
			.in = before,
			.out = *regs,
			.entered = c.enter,
			.injected = injected,
		};

		m->observe(m->observe_ctx, &record);
	}
	if (c.enter) {
		*vcpu = c.enter;
		return TDX_ENTER;
	}
	keep_locks(m, lp);
	return TDX_RETURN;
}
