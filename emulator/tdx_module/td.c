// SPDX-License-Identifier: GPL-2.0-only
/*
 * TDs: their creation, parameters and keys (TDH.MNG.*).
 */
#include <stdlib.h>

#include "internal.h"

struct td *find_td(const struct tdx_module *m, u64 tdr)
{
	const struct pamt *p = aligned(tdr, PAGE_SIZE) ? pamt_peek(m, tdr) : NULL;

	return p && p->type == TDX_PT_TDR ? p->td : NULL;
}

void free_td(struct tdx_module *m, struct td *td)
{
	struct td **link = &m->tds;

	while (*link != td)
		link = &(*link)->next;
	*link = td->next;
	forget_locks(m, td, sizeof(*td));
	while (td->vcpus)
		free_vcpu(td->vcpus);
	free(td->x2apic_ids);
	free(td);
}

/* A TDR that is an operand; its lock is that of the page. */
u64 explicit_td(struct tdx_module *m, u64 tdr, unsigned int operand, bool exclusive,
		struct td **td)
{
	struct pamt *p;
	const u64 status = check_page(m, tdr, operand, exclusive, TDX_PT_TDR, &p);

	if (!status)
		*td = p->td;
	return status;
}

/* The TD that owns a page. */
u64 implicit_td(struct tdx_module *m, const struct pamt *p, bool exclusive, struct td **td)
{
	if (busy(m, &p->td->pamt->lock, exclusive))
		return TDX_OPERAND_BUSY | TDX_OPERAND_TDR;
	*td = p->td;
	return 0;
}

/* Which leaves each TD operation state allows. */
static bool op_state_allows(enum op_state state, unsigned int leaf)
{
	switch (leaf) {
	case TDH_MNG_ADDCX:
	case TDH_MNG_INIT:
		return state == OS_UNINITIALIZED;
	case TDH_MEM_PAGE_ADD:
	case TDH_VP_CREATE:
	case TDH_VP_ADDCX:
	case TDH_VP_INIT:
	case TDH_MR_EXTEND:
	case TDH_MR_FINALIZE:
		return state == OS_INITIALIZED;
	case TDH_VP_ENTER:
		return state == OS_RUNNABLE;
	default:
		return state != OS_UNINITIALIZED;
	}
}

/* What most leaves check of a TD.  Those that lock it exclusively need no more lock. */
u64 check_td_state(struct tdx_module *m, struct td *td, unsigned int leaf, bool lock_op_state)
{
	if (td->fatal)
		return TDX_TD_FATAL;
	if (td->lifecycle != LC_KEYS_CONFIGURED)
		return TDX_TD_KEYS_NOT_CONFIGURED;
	if (td->nr_tdcs < TDX_TDCS_PAGES)
		return TDX_TDCS_NOT_ALLOCATED;
	if (lock_op_state && busy_shared(m, &td->op_state_lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_OP_STATE;
	if (!op_state_allows(td->op_state, leaf))
		return TDX_OP_STATE_INCORRECT;
	return 0;
}

u64 check_msrs(struct tdx_module *m, unsigned int lp)
{
	if (read_msr(m, lp, MSR_TSC_ADJUST) != m->tsc_adjust)
		return TDX_INCONSISTENT_MSR | MSR_TSC_ADJUST;
	return 0;
}

u64 mng_create(struct tdx_module *m, struct call *c)
{
	const u64 pa = in(c, TDX_RCX), keyid = in(c, TDX_RDX);
	struct pamt *p;
	struct td *td;
	u64 status;

	if (!is_private_keyid(m, keyid))
		return TDX_OPERAND_INVALID | TDX_OPERAND_RDX;
	status = check_page(m, pa, TDX_OPERAND_RCX, true, TDX_PT_NDA, &p);
	if (status)
		return status;
	if (busy_exclusive(m, &m->kot_lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_KOT;
	if (m->kot[keyid].state != KOT_FREE)
		return TDX_HKID_NOT_FREE;
	td = calloc(1, sizeof(*td));
	if (!td)
		return TDX_RND_NO_ENTROPY;

	fill_page(m, pa, 0);
	td->tdr = pa;
	td->pamt = p;
	td->keyid = keyid;
	td->lifecycle = LC_HKID_ASSIGNED;
	for (unsigned int i = 0; i < ARRAY_SIZE(td->uuid); i++)
		td->uuid[i] = random64(m);
	td->next = m->tds;
	m->tds = td;
	m->kot[keyid].state = KOT_ASSIGNED;
	own_page(m, p, pa, TDX_PT_TDR, td);
	return TDX_SUCCESS;
}

u64 mng_key_config(struct tdx_module *m, struct call *c)
{
	const u32 package = 1u << lp_package(m, c->lp);
	struct td *td;
	u64 status;

	status = explicit_td(m, in(c, TDX_RCX), TDX_OPERAND_RCX, true, &td);
	if (status)
		return status;
	if (td->fatal)
		return TDX_TD_FATAL;
	if (td->lifecycle != LC_HKID_ASSIGNED)
		return TDX_LIFECYCLE_STATE_INCORRECT;
	if (td->packages & package)
		return TDX_KEY_CONFIGURED;
	if (busy_exclusive(m, &m->ket_lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_KET;

	td->packages |= package;
	if (td->packages == all_packages(m))
		td->lifecycle = LC_KEYS_CONFIGURED;
	return TDX_SUCCESS;
}

u64 mng_addcx(struct tdx_module *m, struct call *c)
{
	const u64 pa = in(c, TDX_RCX);
	struct pamt *p;
	struct td *td;
	u64 status, content = 0;

	status = explicit_td(m, in(c, TDX_RDX), TDX_OPERAND_RDX, true, &td);
	if (status)
		return status;
	if (td->fatal)
		return TDX_TD_FATAL;
	if (td->lifecycle != LC_KEYS_CONFIGURED)
		return TDX_TD_KEYS_NOT_CONFIGURED;
	if (td->nr_tdcs == MAX_TDCS_PAGES)
		return TDX_TDCX_NUM_INCORRECT;
	status = check_page(m, pa, TDX_OPERAND_RCX, true, TDX_PT_NDA, &p);
	if (status)
		return status;
	/* The state of the operation is in the TDCS, so it must be there first. */
	if (td->nr_tdcs >= TDX_TDCS_PAGES && !op_state_allows(td->op_state, c->leaf))
		return TDX_OP_STATE_INCORRECT;

	if (td->nr_tdcs == MSR_BITMAPS_INDEX)
		content = ~0ull;
	else if (td->nr_tdcs == SEPT_ROOT_INDEX)
		content = SEPT_FREE_ENTRY;
	fill_page(m, pa, content);
	td->tdcs[td->nr_tdcs++] = pa;
	own_page(m, p, pa, TDX_PT_TDCX, td);
	return TDX_SUCCESS;
}

/* Offsets in TD_PARAMS. */
enum {
	PARAMS_ATTRIBUTES = 0,
	PARAMS_XFAM = 8,
	PARAMS_MAX_VCPUS = 16,
	PARAMS_NR_L2_VMS = 18,
	PARAMS_MSR_CONFIG = 19,
	PARAMS_RESERVED0 = 20,
	PARAMS_EPTP_CONTROLS = 24,
	PARAMS_CONFIG_FLAGS = 32,
	PARAMS_TSC_FREQUENCY = 40,
	PARAMS_RESERVED1 = 42,
	PARAMS_MRCONFIGID = 80,
	PARAMS_MROWNER = 128,
	PARAMS_MROWNERCONFIG = 176,
	PARAMS_ARCH_CAPABILITIES = 224,
	PARAMS_RESERVED2 = 232,
	PARAMS_CPUID = 256,
	PARAMS_BYTES = 1024,
};

static u64 param(const u8 *params, unsigned int offset, unsigned int bytes)
{
	u64 v = 0;

	memcpy(&v, params + offset, bytes);
	return v;
}

static bool zero(const u8 *params, unsigned int from, unsigned int to)
{
	while (from < to)
		if (params[from++])
			return false;
	return true;
}

static bool attributes_valid(const struct tdx_module *m, u64 a)
{
	if (a & ~m->cfg.attributes_fixed0 ||
	    (a & m->cfg.attributes_fixed1) != m->cfg.attributes_fixed1)
		return false;
	if (a & ATTRIBUTES_MIGRATABLE && a & (ATTRIBUTES_DEBUG | ATTRIBUTES_PERFMON))
		return false;
	return !(a & ATTRIBUTES_PERFMON && a & ATTRIBUTES_ICSSD);
}

static bool xfam_valid(const struct tdx_module *m, u64 xfam)
{
	const u64 avx512 = xfam >> 5 & 7, cet = xfam >> 11 & 3, amx = xfam >> 17 & 3;

	if (xfam & ~m->cfg.xfam_fixed0 || (xfam & XFAM_FIXED1) != XFAM_FIXED1)
		return false;
	if ((avx512 && avx512 != 7) || (avx512 && !(xfam & BIT(2))))
		return false;
	return (!cet || cet == 3) && (!amx || amx == 3);
}

static bool eptp_controls_valid(const struct tdx_module *m, u64 eptp, bool gpaw)
{
	const unsigned int levels = (eptp >> 3 & 7) + 1;

	if ((eptp & 7) != 6 || eptp & ~0x3full)
		return false;
	if (levels != 4 && !(levels == 5 && m->cfg.ept_5level && m->cfg.max_pa > 48))
		return false;
	return !gpaw || levels == 5;
}

u64 tsc_multiplier(const struct tdx_module *m, u16 frequency)
{
	const unsigned __int128 wanted = (unsigned __int128)frequency * 25000000 << 48;

	return wanted / m->cfg.native_tsc_hz;
}

/* The fixed part of TD_PARAMS, in the order of the module. */
static u64 read_params(struct tdx_module *m, struct call *c, struct td *td,
		       const u8 *params)
{
	const u64 attributes = param(params, PARAMS_ATTRIBUTES, 8);
	const u64 xfam = param(params, PARAMS_XFAM, 8);
	const u64 max_vcpus = param(params, PARAMS_MAX_VCPUS, 2);
	const u64 eptp = param(params, PARAMS_EPTP_CONTROLS, 8);
	const u64 flags = param(params, PARAMS_CONFIG_FLAGS, 8);
	const u64 frequency = param(params, PARAMS_TSC_FREQUENCY, 2);
	u64 status, tsc;

	if (!attributes_valid(m, attributes))
		return TDX_OPERAND_INVALID | TDX_OPERAND_ATTRIBUTES;
	if (!xfam_valid(m, xfam))
		return TDX_OPERAND_INVALID | TDX_OPERAND_XFAM;
	if (!max_vcpus || max_vcpus > m->cfg.max_vcpus)
		return TDX_OPERAND_INVALID | TDX_OPERAND_MAX_VCPUS;
	if (params[PARAMS_NR_L2_VMS])
		return TDX_OPERAND_INVALID | TDX_OPERAND_NUM_L2_VMS;
	if (!zero(params, PARAMS_RESERVED0, PARAMS_EPTP_CONTROLS))
		return TDX_OPERAND_INVALID | TDX_OPERAND_RDX;
	if (flags & ~(CONFIG_FLAGS_GPAW | CONFIG_FLAGS_FLEXIBLE_PENDING_VE |
		      CONFIG_FLAGS_NO_RBP_MOD | CONFIG_FLAGS_MAXPA_VIRT))
		return TDX_OPERAND_INVALID | TDX_OPERAND_CONFIG_FLAGS;
	if (!eptp_controls_valid(m, eptp, flags & CONFIG_FLAGS_GPAW))
		return TDX_OPERAND_INVALID | TDX_OPERAND_EPTP_CONTROLS;
	if (frequency < 4 || frequency > 400)
		return TDX_OPERAND_INVALID | TDX_OPERAND_TSC_FREQUENCY;
	status = check_msrs(m, c->lp);
	if (status)
		return status;
	if (!zero(params, PARAMS_RESERVED1, PARAMS_MRCONFIGID) ||
	    params[PARAMS_MSR_CONFIG] & ~1 ||
	    !zero(params, PARAMS_RESERVED2, PARAMS_CPUID))
		return TDX_OPERAND_INVALID | TDX_OPERAND_RDX;

	td->attributes = attributes;
	td->xfam = xfam;
	td->max_vcpus = max_vcpus;
	td->config_flags = flags;
	td->gpa_bits = flags & CONFIG_FLAGS_GPAW ? 52 : 48;
	td->eptp = eptp | td->tdcs[SEPT_ROOT_INDEX];
	td->root_level = eptp >> 3 & 7;
	td->tsc_frequency = frequency;
	td->tsc_multiplier = tsc_multiplier(m, frequency);
	tsc = read_msr(m, c->lp, MSR_TSC);
	td->tsc_offset = -(u64)((unsigned __int128)tsc * td->tsc_multiplier >> 48);
	memcpy(td->mrconfigid, params + PARAMS_MRCONFIGID, 48);
	memcpy(td->mrowner, params + PARAMS_MROWNER, 48);
	memcpy(td->mrownerconfig, params + PARAMS_MROWNERCONFIG, 48);
	return 0;
}

u64 mng_init(struct tdx_module *m, struct call *c)
{
	const u64 params_pa = in(c, TDX_RDX);
	u8 params[PARAMS_BYTES];
	struct td *td;
	u64 status, leaf_subleaf = 0;

	if (read_msr(m, c->lp, MSR_MISC_ENABLE) & MISC_ENABLE_LIMIT_CPUID)
		return TDX_LIMIT_CPUID_MAXVAL_SET;
	status = explicit_td(m, in(c, TDX_RCX), TDX_OPERAND_RCX, true, &td);
	if (!status)
		status = check_td_state(m, td, c->leaf, false);
	if (status)
		return status;
	if (!aligned(params_pa, PARAMS_BYTES) || !shared_hpa_valid(m, params_pa))
		return TDX_OPERAND_INVALID | TDX_OPERAND_RDX;
	read_shared(m, params_pa, params, sizeof(params));

	status = read_params(m, c, td, params);
	if (status)
		return status;
	status = cpuid_configure(m, td, params + PARAMS_CPUID, &leaf_subleaf);
	if (status) {
		out(c, TDX_RCX, leaf_subleaf);
		return status;
	}
	/* The virtual MSR itself is not emulated, so there is nothing to configure. */
	if (params[PARAMS_MSR_CONFIG] || param(params, PARAMS_ARCH_CAPABILITIES, 8))
		return TDX_OPERAND_INVALID | TDX_OPERAND_ARCH_CAPABILITIES;
	free(td->x2apic_ids);
	td->x2apic_ids = calloc(td->max_vcpus, sizeof(*td->x2apic_ids));
	if (!td->x2apic_ids)
		return TDX_OPERAND_BUSY | TDX_OPERAND_TDR;

	td->epoch = 1;
	td->topology_enum = true;
	mr_start(td);
	td->op_state = OS_INITIALIZED;
	return TDX_SUCCESS;
}

u64 mng_vpflushdone(struct tdx_module *m, struct call *c)
{
	struct td *td;
	u64 status;

	status = explicit_td(m, in(c, TDX_RCX), TDX_OPERAND_RCX, true, &td);
	if (status)
		return status;
	if (busy_exclusive(m, &m->kot_lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_KOT;
	if (td->lifecycle != LC_HKID_ASSIGNED && td->lifecycle != LC_KEYS_CONFIGURED)
		return TDX_LIFECYCLE_STATE_INCORRECT;
	if (td->nr_associated)
		return TDX_FLUSHVP_NOT_DONE;

	m->kot[td->keyid] = (struct kot_entry) {
		.state = KOT_FLUSHED,
		.wbinvd = all_packages(m),
	};
	td->lifecycle = LC_BLOCKED;
	return TDX_SUCCESS;
}

u64 mng_key_freeid(struct tdx_module *m, struct call *c)
{
	struct td *td;
	u64 status;

	status = explicit_td(m, in(c, TDX_RCX), TDX_OPERAND_RCX, true, &td);
	if (status)
		return status;
	if (td->lifecycle != LC_BLOCKED)
		return TDX_LIFECYCLE_STATE_INCORRECT;
	if (busy_exclusive(m, &m->kot_lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_KOT;
	if (m->kot[td->keyid].wbinvd && !m->cfg.lenient)
		return TDX_WBCACHE_NOT_COMPLETE;

	m->kot[td->keyid].state = KOT_FREE;
	td->lifecycle = LC_TEARDOWN;
	return TDX_SUCCESS;
}

bool tdx_td_get(const struct tdx_module *m, u64 tdr, struct tdx_td_info *info)
{
	const struct td *td = find_td(m, tdr);

	if (!td)
		return false;
	*info = (struct tdx_td_info) {
		.tdr = td->tdr,
		.keyid = td->keyid,
		.lifecycle = td->lifecycle,
		.op_state = td->op_state,
		.fatal = td->fatal,
		.nr_children = td->nr_children,
		.nr_vcpus = td->nr_vcpus,
		.nr_associated = td->nr_associated,
		.nr_running = td->nr_running,
		.epoch = td->epoch,
		.refs = { td->refs[0], td->refs[1] },
	};
	mr_current(td, info->mrtd);
	return true;
}
