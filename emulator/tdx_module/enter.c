// SPDX-License-Identifier: GPL-2.0-only
/*
 * Into a TD (TDH.VP.ENTER) and out of it.
 */
#include "internal.h"

enum {
	EXIT_EXCEPTION_NMI = 0,
	EXIT_EXTERNAL_INTERRUPT = 1,
	EXIT_TRIPLE_FAULT = 2,
	EXIT_INIT = 3,
	EXIT_SMI = 6,
	EXIT_TASK_SWITCH = 9,
	EXIT_BUS_LOCK = 74,
	EXIT_NOTIFY = 75,
};

#define INTR_TYPE(info)		((info) >> 8 & 7)
#define INTR_NMI		2
#define INTR_EXCEPTION		3
#define VECTOR_MC		18

/* EPT violation qualification */
#define QUAL_GLA_VALID		BIT(7)
#define QUAL_HIDDEN		(0x3full << 7)
#define EXTENDED_PENDING	6

static const u16 vmcall_regs = 0xffcc;	/* all but RAX, RCX, RSP, RBP */

/* GPRs that pass through TDG.VP.VMCALL, of those that the guest selected. */
static u16 passed_regs(const struct tdx_vcpu *v, u64 mask)
{
	u16 regs = vmcall_regs;

	if (!(v->td->config_flags & CONFIG_FLAGS_NO_RBP_MOD))
		regs |= 1 << TDX_RBP;
	return regs & mask;
}

/* Would the vCPU exit again if it touched @gpa? */
static bool still_faults(struct tdx_module *m, const struct td *td, u64 gpa)
{
	struct entry e;

	if (sept_walk(m, td, gpa, 0, &e) == WALK_CORRUPT)
		return false;	/* let it run into that */
	if (sept_state(e.raw) == ST_PENDING)
		return td->attributes & ATTRIBUTES_SEPT_VE_DISABLE;
	return sept_state(e.raw) != ST_MAPPED;
}

/*
 * Who makes a TD fault again and again at one instruction may be counting its
 * steps.  So after some such faults the module does not run it before the pages
 * are there.
 *
 * Return: 0 to go on, or a status that VP.ENTER ends with.
 */
static u64 defend(struct tdx_module *m, struct call *c, struct tdx_vcpu *v)
{
	struct td *td = v->td;

	if (!v->nr_epf_gpas)
		return 0;
	if (busy_exclusive(m, &td->sept_lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_SEPT_TREE;
	for (unsigned int i = 0; i < v->nr_epf_gpas; i++) {
		if (!still_faults(m, td, v->epf_gpas[i]))
			continue;
		for (unsigned int r = 0; r < TDX_NR_REGS; r++)
			if (vmcall_regs >> r & 1)
				out(c, r, 0);
		out(c, TDX_RCX, QUAL_WRITE);
		out(c, TDX_R8, v->epf_gpas[i] & ~(PAGE_SIZE - 1));
		return EXIT_EPT_VIOLATION;
	}
	return 0;
}

/* Whoever gets on, even by one instruction, is not being stepped. */
void note_rip(struct tdx_vcpu *v, u64 rip)
{
	if (rip != v->entry_rip)
		v->nr_epf = v->nr_epf_gpas = 0;
	v->entry_rip = rip;
}

/* What a TDCALL meets does not count: its instruction is not being stepped. */
static void log_ept_violation(struct tdx_vcpu *v, u64 gpa)
{
	if (v->nr_epf < EPF_THRESHOLD) {
		v->nr_epf++;
		return;
	}
	for (unsigned int i = 0; i < v->nr_epf_gpas; i++)
		if (v->epf_gpas[i] == gpa)
			return;
	if (v->nr_epf_gpas < EPF_LIST)
		v->epf_gpas[v->nr_epf_gpas++] = gpa;
}

u64 vp_enter(struct tdx_module *m, struct call *c)
{
	const u64 rcx = in(c, TDX_RCX), tdvpr = rcx & SEPT_HPA;
	struct logical_processor *lp = &m->lp[c->lp];
	struct tdx_vcpu *v;
	struct td *td;
	u64 status, tsc;
	bool newly;

	if (read_msr(m, c->lp, MSR_MISC_ENABLE) & MISC_ENABLE_LIMIT_CPUID)
		return TDX_LIMIT_CPUID_MAXVAL_SET;
	if (rcx & (PAGE_SIZE - 1) || rcx >> 54)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RCX;
	status = find_vcpu(m, tdvpr, TDX_OPERAND_RCX, false, false, &v);
	if (status)
		return status;
	td = v->td;
	status = check_td_state(m, td, c->leaf, true);
	if (status)
		return status;
	if (v->nr_pages < TDX_TDVPS_PAGES)
		return TDX_TDCX_NUM_INCORRECT;
	status = associate(v, c->lp, false, &newly);
	if (status)
		return status;
	/* The recoverability hint answers an exit, resume-L1 a VM, that are not here. */
	if (rcx >> 52)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RCX;
	status = check_msrs(m, c->lp);
	if (status)
		return status;
	tsc = read_msr(m, c->lp, MSR_TSC);
	if ((int64_t)(tsc - v->last_exit_tsc) < 0)
		return TDX_TSC_ROLLBACK;
	if (busy_shared(m, &td->epoch_lock))
		return TDX_OPERAND_BUSY | TDX_OPERAND_TD_EPOCH;
	if (v->epoch != td->epoch && !newly)
		m->ops.invalidate(m->ops.ctx, c->lp, td->tdr);
	v->epoch = td->epoch;
	status = m->cfg.zero_step ? defend(m, c, v) : 0;
	if (status)
		return status;

	td->refs[v->epoch & 1]++;
	if (lp->last_tdvpr != tdvpr) {
		m->ops.invalidate(m->ops.ctx, c->lp, td->tdr);
		lp->last_tdvpr = tdvpr;
	}
	if (v->last_exit == LAST_EXIT_TDVMCALL) {
		const u16 passed = passed_regs(v, v->gpr.r[TDX_RCX]);

		for (unsigned int r = 0; r < TDX_NR_REGS; r++)
			if (passed >> r & 1)
				v->gpr.r[r] = in(c, r);
		v->gpr.r[TDX_RAX] = TDX_SUCCESS;
	}
	lp->host = *c->in;
	*c->r = v->gpr;
	v->state = VCPU_ACTIVE;
	v->running = true;
	v->pamt->lock.shared++;
	td->pamt->lock.shared++;
	td->nr_running++;
	c->enter = v;
	return TDX_SUCCESS;
}

/* What all exits have in common; @regs become the host's. */
static void stop(struct tdx_module *m, struct tdx_vcpu *v, bool accessible,
		 struct tdx_regs *regs)
{
	struct td *td = v->td;

	v->gpr = *regs;
	*regs = m->lp[v->lp].host;
	for (unsigned int r = 0; r < TDX_NR_REGS; r++)
		if (vmcall_regs >> r & 1)
			regs->r[r] = 0;
	if (!(td->config_flags & CONFIG_FLAGS_NO_RBP_MOD))
		regs->r[TDX_RBP] = 0;

	v->last_exit_tsc = read_msr(m, v->lp, MSR_TSC);
	v->entered = true;
	v->running = false;
	v->pamt->lock.shared--;
	td->pamt->lock.shared--;
	td->nr_running--;
	/* Nothing of a TD can be touched whose memory is not accessible any more. */
	if (accessible)
		td->refs[v->epoch & 1]--;
}

/* An asynchronous exit: everything but TDG.VP.VMCALL. */
void leave(struct tdx_module *m, struct tdx_vcpu *v, u64 status, u64 qualification,
	   u64 extended, u64 gpa, u64 intr_info, struct tdx_regs *regs)
{
	const u64 class = status & ~0xffffffffull;

	stop(m, v, class != TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE, regs);
	if (class == TDX_SUCCESS) {
		v->state = VCPU_READY;
		v->last_exit = LAST_EXIT_ASYNC_FAULT;
	} else if (class == TDX_NON_RECOVERABLE_VCPU) {
		v->state = VCPU_DISABLED;
	} else {
		v->td->fatal = true;
		if (class == TDX_NON_RECOVERABLE_TD && m->cfg.linux_exit_codes)
			status &= ~BIT(61);
	}
	regs->r[TDX_RAX] = status;
	regs->r[TDX_RCX] = qualification;
	regs->r[TDX_RDX] = extended;
	regs->r[TDX_R8] = gpa;
	regs->r[TDX_R9] = intr_info;
}

void leave_vmcall(struct tdx_module *m, struct tdx_vcpu *v, struct tdx_regs *regs)
{
	const u64 mask = regs->r[TDX_RCX];
	const u16 passed = passed_regs(v, mask);

	stop(m, v, true, regs);
	v->entry_rip += TDCALL_BYTES;
	v->state = VCPU_READY;
	v->last_exit = LAST_EXIT_TDVMCALL;
	regs->r[TDX_RAX] = EXIT_TDCALL;
	regs->r[TDX_RCX] = mask;
	for (unsigned int r = 0; r < TDX_NR_REGS; r++)
		if (passed >> r & 1)
			regs->r[r] = v->gpr.r[r];
}

bool leave_if_fatal(struct tdx_module *m, struct tdx_vcpu *v, const struct tdx_exit *exit,
		    struct tdx_regs *regs)
{
	if (!v->td->fatal)
		return false;
	leave(m, v, TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE | exit->reason, exit->qualification,
	      0, 0, exit->intr_info, regs);
	return true;
}

enum tdx_guest_next tdx_raise_ve(struct tdx_module *m, struct tdx_vcpu *v,
				 const struct tdx_exit *exit)
{
	(void)m;
	if (v->ve.valid)
		return TDX_INJECT_DF;
	v->ve = (struct ve_info) {
		.valid = true,
		.reason = exit->reason,
		.len = exit->instr_len,
		.info = exit->instr_info,
		.qualification = exit->qualification,
		.gla = exit->gla,
		.gpa = exit->gpa,
	};
	return TDX_INJECT_VE;
}

static bool gpa_beyond_max_pa(const struct td *td, u64 gpa)
{
	return (gpa & ~BIT(td->gpa_bits - 1)) >> td->virt_max_pa;
}

enum tdx_guest_next leave_violation(struct tdx_module *m, struct tdx_vcpu *v, u64 gpa,
				    u64 qualification, u64 extended,
				    struct tdx_regs *regs)
{
	leave(m, v, EXIT_EPT_VIOLATION, (u32)qualification & ~QUAL_HIDDEN, extended,
	      gpa & ~(PAGE_SIZE - 1), 0, regs);
	return TDX_EXIT_FAULT;
}

/* The TD touches what the S-EPT entry @raw does not let it. */
enum tdx_guest_next private_violation(struct tdx_module *m, struct tdx_vcpu *v,
				      const struct tdx_exit *exit, u64 raw,
				      struct tdx_regs *regs)
{
	const bool pending = sept_state(raw) == ST_PENDING;

	if (pending && !(v->td->attributes & ATTRIBUTES_SEPT_VE_DISABLE))
		return tdx_raise_ve(m, v, exit);
	return leave_violation(m, v, exit->gpa, exit->qualification,
			       pending ? EXTENDED_PENDING : 0, regs);
}

static enum tdx_guest_next ept_violation(struct tdx_module *m, struct tdx_vcpu *v,
					 const struct tdx_exit *exit,
					 struct tdx_regs *regs)
{
	struct td *td = v->td;
	const u64 gpa = exit->gpa;
	enum tdx_guest_next next;
	struct entry e;

	if (gpa_beyond_max_pa(td, gpa) && exit->qualification & QUAL_GLA_VALID)
		return TDX_INJECT_PF;
	if (gpa_is_shared(td, gpa))
		return leave_violation(m, v, gpa, exit->qualification, 0, regs);
	if (sept_walk(m, td, gpa, 0, &e) == WALK_CORRUPT) {
		leave(m, v, TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE | exit->reason, 0, 0, 0, 0,
		      regs);
		return TDX_EXIT_FAULT;
	}
	next = private_violation(m, v, exit, e.raw, regs);
	if (next == TDX_EXIT_FAULT)
		log_ept_violation(v, gpa);
	return next;
}

enum tdx_guest_next tdx_td_exit(struct tdx_module *m, struct tdx_vcpu *v,
				const struct tdx_exit *exit, struct tdx_regs *regs)
{
	const u32 info = exit->intr_info;
	u64 status = exit->reason, qualification = exit->qualification, gpa = 0, intr = 0;

	if (!v->running)
		return TDX_RESUME;
	note_rip(v, exit->rip);
	if (leave_if_fatal(m, v, exit, regs))
		return TDX_EXIT_FAULT;
	switch (exit->reason) {
	case EXIT_EPT_VIOLATION:
		return ept_violation(m, v, exit, regs);
	case EXIT_EPT_MISCONFIG:
		qualification = 0;
		gpa = exit->gpa & ~(PAGE_SIZE - 1);
		break;
	case EXIT_EXTERNAL_INTERRUPT:
		qualification = 0;
		intr = info;
		break;
	case EXIT_EXCEPTION_NMI:
		qualification = 0;
		intr = info;
		if (INTR_TYPE(info) == INTR_NMI)
			break;
		status |= INTR_TYPE(info) == INTR_EXCEPTION && (u8)info == VECTOR_MC ?
			  TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE : TDX_NON_RECOVERABLE_TD;
		break;
	case EXIT_TRIPLE_FAULT:
		status |= TDX_NON_RECOVERABLE_VCPU;
		break;
	case EXIT_SMI:
		intr = info;
		break;
	case EXIT_INIT:
	case EXIT_TASK_SWITCH:
	case EXIT_BUS_LOCK:
	case EXIT_NOTIFY:
		break;
	default:	/* among them failed entries, bit 31 */
		status |= TDX_NON_RECOVERABLE_TD;
	}
	leave(m, v, status, qualification, 0, gpa, intr, regs);
	return TDX_EXIT_FAULT;
}
