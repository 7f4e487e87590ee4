// SPDX-License-Identifier: GPL-2.0-only
/*
 * TDH.SYS.*: from a loaded module to a ready one, and back.
 */
#include <errno.h>

#include "internal.h"

u64 sys_init(struct tdx_module *m, struct call *c)
{
	u32 native[4];

	if (busy_exclusive(m, &m->sys_lock))
		return TDX_SYS_BUSY;
	if (in(c, TDX_RCX))
		return TDX_OPERAND_INVALID | TDX_OPERAND_RCX;
	if (m->state != SYSINIT_PENDING)
		return TDX_SYS_INIT_NOT_PENDING;
	if (read_msr(m, c->lp, MSR_MISC_ENABLE) & MISC_ENABLE_LIMIT_CPUID)
		return TDX_LIMIT_CPUID_MAXVAL_SET;

	m->tsc_adjust = read_msr(m, c->lp, MSR_TSC_ADJUST);
	m->ops.cpuid(m->ops.ctx, 1, 0, native);
	m->native_fms = native[0];
	m->state = SYSINIT_DONE;
	return TDX_SUCCESS;
}

u64 sys_lp_init(struct tdx_module *m, struct call *c)
{
	struct logical_processor *lp = &m->lp[c->lp];

	if (busy_shared(m, &m->sys_lock))
		return TDX_SYS_BUSY;
	if (m->state != SYSINIT_DONE)
		return TDX_SYS_LP_INIT_NOT_PENDING;
	if (lp->initialized)
		return TDX_SYS_LP_INIT_DONE;
	if (read_msr(m, c->lp, MSR_MISC_ENABLE) & MISC_ENABLE_LIMIT_CPUID)
		return TDX_LIMIT_CPUID_MAXVAL_SET;
	if (read_msr(m, c->lp, MSR_TSC_ADJUST) != m->tsc_adjust)
		return TDX_INCONSISTENT_MSR | MSR_TSC_ADJUST;

	lp->initialized = true;
	lp->last_tdvpr = 0;
	m->nr_lps_init++;
	return TDX_SUCCESS;
}

u64 sys_key_config(struct tdx_module *m, struct call *c)
{
	const u32 package = 1u << lp_package(m, c->lp);

	if (busy_exclusive(m, &m->sys_lock))
		return TDX_SYS_BUSY;
	if (m->state != SYSCONFIG_DONE)
		return TDX_SYS_KEY_CONFIG_NOT_PENDING;
	if (m->packages & package)
		return TDX_KEY_CONFIGURED;
	if (busy_exclusive(m, &m->ket_lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_KET;

	m->packages |= package;
	if (m->packages == all_packages(m))
		m->state = SYS_READY;
	return TDX_SUCCESS;
}

static bool any_vcpu_runs(const struct tdx_module *m)
{
	for (const struct td *td = m->tds; td; td = td->next)
		if (td->nr_running)
			return true;
	return false;
}

u64 sys_shutdown(struct tdx_module *m, struct call *c)
{
	if (in(c, TDX_RCX) > m->cfg.handoff)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RCX;
	if (busy_exclusive(m, &m->sys_lock) || any_vcpu_runs(m))
		return TDX_SYS_BUSY;

	m->state = SYS_SHUT_DOWN;
	m->handoff = in(c, TDX_RCX);
	m->handoff_valid = true;
	return TDX_SUCCESS;
}

int tdx_install(struct tdx_module *m)
{
	if (m->state != SYS_SHUT_DOWN)
		return -EBUSY;
	m->state = SYSINIT_PENDING;
	m->nr_lps_init = 0;
	for (unsigned int i = 0; i < m->cfg.nr_lps; i++)
		m->lp[i].initialized = false;
	return 0;
}

u64 sys_update(struct tdx_module *m, struct call *c)
{
	(void)c;

	if (busy_exclusive(m, &m->sys_lock))
		return TDX_SYS_BUSY;
	if (m->state != SYSINIT_DONE || m->nr_lps_init < m->cfg.nr_lps_init)
		return TDX_SYS_STATE_INCORRECT;
	if (!m->handoff_valid || m->handoff > m->cfg.handoff)
		return TDX_SYS_INVALID_HANDOFF;

	m->handoff_valid = false;
	m->state = SYS_READY;
	return TDX_SUCCESS;
}

static void tell_released(void *ctx, const struct pamt *p, u64 pa)
{
	tell(ctx, TDX_RELEASED, p, pa);
}

/* Whatever TDs there were, all memory is the host VMM's again. */
void forget_all(struct tdx_module *m)
{
	if (m->watch)
		pamt_for_each(m, tell_released, m);
	for (unsigned int i = 0; i < m->cfg.nr_lps; i++)
		for (const struct td *td = m->tds; td; td = td->next)
			m->ops.invalidate(m->ops.ctx, i, td->tdr);
	while (m->tds)
		free_td(m, m->tds);
	free_tdmrs(m);
	memset(m->kot, 0, sizeof(m->kot));
}

u64 sys_disable(struct tdx_module *m, struct call *c)
{
	(void)c;

	if (busy_exclusive(m, &m->sys_lock) || any_vcpu_runs(m))
		return TDX_SYS_BUSY;

	forget_all(m);
	m->state = SYS_DISABLED;
	return TDX_SUCCESS;
}
