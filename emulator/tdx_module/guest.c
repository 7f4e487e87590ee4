// SPDX-License-Identifier: GPL-2.0-only
/*
 * TDG.*: what a TD asks of the module by TDCALL.
 */
#include "internal.h"

#define EXTENDED_ACCEPT		1
#define REPORT_DATA_BYTES	64

/* A walk met an entry that the module has not written. */
static enum tdx_guest_next leave_corrupt(struct tdx_module *m, struct tdx_vcpu *v,
					 struct tdx_regs *regs)
{
	leave(m, v, TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE, 0, 0, 0, 0, regs);
	return TDX_EXIT_FAULT;
}

static u64 vp_vmcall_valid(const struct td *td, u64 mask)
{
	u64 invalid = ~0xffffffffull | BIT(TDX_RAX) | BIT(TDX_RCX) | BIT(TDX_RSP);

	if (td->config_flags & CONFIG_FLAGS_NO_RBP_MOD)
		invalid |= BIT(TDX_RBP);
	return mask & invalid ? TDX_OPERAND_INVALID | TDX_OPERAND_RCX : 0;
}

static u64 vp_info(const struct tdx_vcpu *v, struct tdx_regs *regs)
{
	const struct td *td = v->td;

	regs->r[TDX_RCX] = td->gpa_bits;
	regs->r[TDX_RDX] = td->attributes;
	regs->r[TDX_R8] = td->nr_vcpus | (u64)td->max_vcpus << 32;
	regs->r[TDX_R9] = v->index;
	regs->r[TDX_R10] = 0;	/* TDG.SYS.RD is not there */
	regs->r[TDX_R11] = 0;
	return TDX_SUCCESS;
}

static u64 vp_veinfo_get(struct tdx_vcpu *v, struct tdx_regs *regs)
{
	const struct ve_info ve = v->ve;

	regs->r[TDX_RCX] = ve.valid ? ve.reason : 0;
	regs->r[TDX_RDX] = ve.valid ? ve.qualification : 0;
	regs->r[TDX_R8] = ve.valid ? ve.gla : 0;
	regs->r[TDX_R9] = ve.valid ? ve.gpa : 0;
	regs->r[TDX_R10] = ve.valid ? ve.len | (u64)ve.info << 32 : 0;
	v->ve.valid = false;
	return ve.valid ? TDX_SUCCESS : TDX_NO_VALID_VE_INFO;
}

static enum tdx_guest_next mem_page_accept(struct tdx_module *m, struct tdx_vcpu *v,
					   struct tdx_regs *regs)
{
	const u64 rcx = regs->r[TDX_RCX], gpa = rcx & SEPT_HPA;
	const unsigned int level = rcx & 7;
	struct td *td = v->td;
	struct entry e;
	enum walk walk;
	struct pamt *p;
	u64 state, pa;

	if (!page_info_valid(rcx, 0, 1) || !private_gpa_valid(td, gpa)) {
		regs->r[TDX_RAX] = TDX_OPERAND_INVALID | TDX_OPERAND_RCX;
		return TDX_RESUME;
	}
	walk = sept_walk(m, td, gpa, level, &e);
	if (walk == WALK_CORRUPT)
		return leave_corrupt(m, v, regs);
	state = sept_state(e.raw);
	if (walk == WALK_DONE && e.raw & (SEPT_LOCK | SEPT_PRIORITY)) {
		regs->r[TDX_RAX] = TDX_OPERAND_BUSY | TDX_OPERAND_RCX;
		return TDX_RESUME;
	}
	if (walk == WALK_DONE && state != ST_FREE && !(e.raw & SEPT_LEAF)) {
		regs->r[TDX_RAX] = TDX_PAGE_SIZE_MISMATCH | e.level;
		return TDX_RESUME;
	}
	if (state == ST_MAPPED) {
		regs->r[TDX_RAX] = TDX_PAGE_ALREADY_ACCEPTED | e.level;
		return TDX_RESUME;
	}
	if (walk == WALK_FAILED || state != ST_PENDING) {
		const u64 info = level | e.level << 3 | (u64)sept_public_state(e.raw) << 6 |
				 (e.raw & SEPT_LEAF ? BIT(14) : 0);

		/* The TDCALL is executed again later. */
		return leave_violation(m, v, gpa, QUAL_WRITE | (e.raw & SEPT_RWX) << 3,
				       EXTENDED_ACCEPT | info << 32, regs);
	}

	pa = e.raw & SEPT_HPA;
	for (u64 off = 0; off < level_size(level); off += PAGE_SIZE)
		fill_page(m, pa + off, 0);
	sept_set(m, &e, sept_entry(ST_MAPPED, pa));
	p = pamt_of(m, pa);
	tell(m, TDX_ACCEPTED, p, pa);
	regs->r[TDX_RAX] = TDX_SUCCESS;
	return TDX_RESUME;
}

/* Through the host VMM's tables, see translate(). */
static enum tdx_guest_next translate_shared(struct tdx_module *m, struct tdx_vcpu *v,
					    struct tdx_exit *exit, u64 *pa,
					    struct tdx_regs *regs)
{
	const u64 gpa = exit->gpa, wanted = exit->qualification;
	u64 table = v->shared_eptp, rights = SEPT_RWX, entry;
	bool leaf = false;

	if (table == ~0ull)
		return leave_violation(m, v, gpa, wanted, 0, regs);
	for (unsigned int level = v->td->root_level; !leaf; level--) {
		read_shared(m, table + (gpa >> (PAGE_SHIFT + 9 * level) & 511) * 8, &entry,
			    sizeof(entry));
		rights &= entry;
		leaf = !level || (level < 3 && entry & SEPT_LEAF);
		if (wanted & ~entry) {
			exit->qualification = (wanted & ~rights) | rights << 3;
			if ((leaf || !(entry & SEPT_RWX)) && !(entry & SEPT_SVE))
				return tdx_raise_ve(m, v, exit);
			return leave_violation(m, v, gpa, exit->qualification, 0, regs);
		}
		table = entry & SEPT_HPA;
		*pa = (table & ~(level_size(level) - 1)) | (gpa & (level_size(level) - 1));
	}
	if (shared_hpa_valid(m, *pa))
		return TDX_RESUME;
	leave(m, v, EXIT_EPT_MISCONFIG, 0, 0, gpa & ~(PAGE_SIZE - 1), 0, regs);
	return TDX_EXIT_FAULT;
}

/*
 * Find the memory of a GPA; @wanted is QUAL_READ, with QUAL_WRITE or without.
 *
 * Return: TDX_RESUME and @pa; or what comes of it that the TD cannot access it.
 */
static enum tdx_guest_next translate(struct tdx_module *m, struct tdx_vcpu *v, u64 gpa,
				     u64 wanted, u64 *pa, struct tdx_regs *regs)
{
	struct tdx_exit exit = {
		.reason = EXIT_EPT_VIOLATION,
		.qualification = wanted,
		.gpa = gpa,
		.instr_len = TDCALL_BYTES,
	};
	struct entry e;

	if (gpa_is_shared(v->td, gpa))
		return translate_shared(m, v, &exit, pa, regs);
	if (sept_walk(m, v->td, gpa, 0, &e) == WALK_CORRUPT)
		return leave_corrupt(m, v, regs);
	if (sept_state(e.raw) != ST_MAPPED)
		return private_violation(m, v, &exit, e.raw, regs);
	*pa = (e.raw & SEPT_HPA) | (gpa & (level_size(e.level) - 1));
	return TDX_RESUME;
}

static enum tdx_guest_next refuse(struct tdx_regs *regs, unsigned int operand)
{
	regs->r[TDX_RAX] = TDX_OPERAND_INVALID | operand;
	return TDX_RESUME;
}

static enum tdx_guest_next mr_report_leaf(struct tdx_module *m, struct tdx_vcpu *v,
					  struct tdx_regs *regs)
{
	const u64 report_gpa = regs->r[TDX_RCX], data_gpa = regs->r[TDX_RDX];
	u8 report[REPORT_BYTES], data[REPORT_DATA_BYTES];
	enum tdx_guest_next next;
	u64 report_pa, data_pa;

	if (!aligned(report_gpa, REPORT_BYTES))
		return refuse(regs, TDX_OPERAND_RCX);
	if (!aligned(data_gpa, REPORT_DATA_BYTES) || !gpa_valid(v->td, data_gpa))
		return refuse(regs, TDX_OPERAND_RDX);
	next = translate(m, v, data_gpa, QUAL_READ, &data_pa, regs);
	if (next != TDX_RESUME)
		return next;
	if (regs->r[TDX_R8])
		return refuse(regs, TDX_OPERAND_R8);
	if (!gpa_valid(v->td, report_gpa))
		return refuse(regs, TDX_OPERAND_RCX);
	next = translate(m, v, report_gpa, QUAL_READ | QUAL_WRITE, &report_pa, regs);
	if (next != TDX_RESUME)
		return next;

	if (gpa_is_shared(v->td, data_gpa))
		read_shared(m, data_pa, data, sizeof(data));
	else
		m->ops.read(m->ops.ctx, data_pa, data, sizeof(data));
	mr_report(m, v->td, data, report);
	if (gpa_is_shared(v->td, report_gpa))
		write_shared(m, report_pa, report, sizeof(report));
	else
		m->ops.write(m->ops.ctx, report_pa, report, sizeof(report));
	regs->r[TDX_RAX] = TDX_SUCCESS;
	return TDX_RESUME;
}

static enum tdx_guest_next dispatch(struct tdx_module *m, struct tdx_vcpu *v,
				    struct tdx_regs *regs, bool *injected)
{
	const u64 rax = regs->r[TDX_RAX];
	u64 status;

	if (leave_if_fatal(m, v, &(struct tdx_exit){ .reason = EXIT_TDCALL }, regs))
		return TDX_EXIT_FAULT;
	if (m->nr_rules && !(rax >> 16)) {
		status = injected_status(m, rax, true);
		if (status) {
			*injected = true;
			regs->r[TDX_RAX] = status;
			return TDX_RESUME;
		}
	}
	switch (rax) {
	case TDG_VP_VMCALL:
		status = vp_vmcall_valid(v->td, regs->r[TDX_RCX]);
		if (status)
			break;
		leave_vmcall(m, v, regs);
		return TDX_EXIT;
	case TDG_VP_INFO:
		status = vp_info(v, regs);
		break;
	case TDG_VP_VEINFO_GET:
		status = vp_veinfo_get(v, regs);
		break;
	case TDG_MR_REPORT:
		return mr_report_leaf(m, v, regs);
	case TDG_MEM_PAGE_ACCEPT:
		return mem_page_accept(m, v, regs);
	default:
		status = TDX_OPERAND_INVALID | TDX_OPERAND_RAX;
	}
	regs->r[TDX_RAX] = status;
	return TDX_RESUME;
}

enum tdx_guest_next tdx_tdcall(struct tdx_module *m, struct tdx_vcpu *v, u64 rip,
			       struct tdx_regs *regs)
{
	const struct tdx_regs before = *regs;
	enum tdx_guest_next next;
	bool injected = false;
	const int lp = v->lp;

	if (!v->running)
		return TDX_RESUME;
	note_rip(v, rip);
	next = dispatch(m, v, regs, &injected);
	if (next == TDX_RESUME)		/* also if the next one is at the same RIP */
		note_rip(v, rip + TDCALL_BYTES);
	if (m->observe) {
		const struct tdx_record record = {
			.lp = lp,
			.guest = true,
			.time = read_msr(m, lp, MSR_TSC),
			.vcpu = v->tdvpr,
			.in = before,
			.out = *regs,
			.injected = injected,
		};

		m->observe(m->observe_ctx, &record);
	}
	return next;
}
