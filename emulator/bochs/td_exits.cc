// SPDX-License-Identifier: GPL-2.0-only
/*
 * VM exits of a TD: what is emulated, what becomes an exception in the TD, and
 * what is for the module to decide.
 */
#include "glue.h"

#define LOG_THIS cpu->

#define XFAM_XSS	0x1fd00		/* the rest of XFAM is of XCR0 */

/* CPUID bits that follow from what the TD does itself. */
#define CPUID_1_OSXSAVE	(1u << 27)
#define CPUID_7_OSPKE	(1u << 4)
#define CPUID_80000001_SYSCALL	(1u << 11)

/* The CPU's page for #VE information. */
struct ve_page {
	Bit32u reason, busy;
	Bit64u qualification, gla, gpa;
};

static struct ve_page *ve_page(const struct lp *lp)
{
	return (struct ve_page *)host_page(lp->state.tdvps[2]);
}

static void resume(BX_CPU_C *cpu)
{
	longjmp(cpu->jmp_buf_env, 1);
}

void tell_ve(struct lp *lp)
{
	const struct ve_page *page = ve_page(lp);
	struct tdx_exit exit;

	if (!page->busy || lp->guest->ve_told)
		return;
	memset(&exit, 0, sizeof(exit));
	exit.reason = page->reason;
	exit.qualification = page->qualification;
	exit.gla = page->gla;
	exit.gpa = page->gpa;
	tdx_raise_ve(module(), lp->vcpu, &exit);
	lp->guest->ve_told = true;
}

void ve_read(struct lp *lp)
{
	ve_page(lp)->busy = 0;
	lp->guest->ve_told = false;
}

void go_on(BX_CPU_C *cpu, enum tdx_guest_next next, const struct tdx_regs *regs,
	   const struct tdx_exit *exit)
{
	struct lp *lp = &lps[cpu->bx_cpuid];
	Bit16u code = 1 << 3 | 1 << 0;

	switch (next) {
	case TDX_RESUME:
		set_regs(cpu, regs);
		resume(cpu);
		break;
	case TDX_REPEAT:
		set_regs(cpu, regs);
		cpu->gen_reg[BX_64BIT_REG_RIP].rrx = cpu->prev_rip;
		resume(cpu);
		break;
	case TDX_INJECT_VE:
		/* The CPU must not overwrite what the module has to tell. */
		ve_page(lp)->busy = ~0u;
		lp->guest->ve_told = true;
		cpu->exception(BX_VE_EXCEPTION, 0);
		break;
	case TDX_INJECT_DF:
		cpu->exception(BX_DF_EXCEPTION, 0);
		break;
	case TDX_INJECT_PF:
		code |= (exit->qualification & 2) | (exit->qualification & 4) << 2;
		if (cpu->user_pl)
			code |= 1 << 2;
		cpu->cr2 = exit->gla;
		cpu->exception(BX_PF_EXCEPTION, code);
		break;
	case TDX_EXIT:
		/* The instruction is complete, and with it the shadow of an STI before it. */
		cpu->prev_rip = cpu->get_instruction_pointer();
		cpu->inhibit_mask = 0;
		/* fall through */
	case TDX_EXIT_FAULT:
		lp->left = true;
		lp->regs = *regs;
		break;
	}
}

static void raise_ve(BX_CPU_C *cpu, Bit32u reason, Bit64u qualification)
{
	struct lp *lp = &lps[cpu->bx_cpuid];
	struct tdx_exit exit;
	struct tdx_regs regs;

	tell_ve(lp);
	memset(&exit, 0, sizeof(exit));
	exit.reason = reason;
	exit.qualification = qualification;
	exit.instr_len = (Bit32u)(cpu->get_instruction_pointer() - cpu->prev_rip) & 0xf;
	/* Only string I/O has any. */
	if (reason == VMX_VMEXIT_IO_INSTRUCTION && qualification & 1 << 4)
		exit.instr_info = cpu->VMread32(VMCS_32BIT_VMEXIT_INSTRUCTION_INFO);
	get_regs(cpu, &regs);
	go_on(cpu, tdx_raise_ve(module(), lp->vcpu, &exit), &regs, &exit);
}

static void emulate_cpuid(BX_CPU_C *cpu)
{
	const struct lp *lp = &lps[cpu->bx_cpuid];
	const Bit32u leaf = cpu->gen_reg[BX_64BIT_REG_RAX].dword.erx;
	const Bit32u subleaf = cpu->gen_reg[BX_64BIT_REG_RCX].dword.erx;
	cpuid_function_t native;
	Bit32u out[4];

	if (!tdx_cpuid(module(), lp->vcpu, leaf, subleaf, out))
		raise_ve(cpu, VMX_VMEXIT_CPUID, 0);
	if (leaf == 0x1)
		out[2] = (out[2] & ~CPUID_1_OSXSAVE) |
			 (cpu->cr4.get_OSXSAVE() ? CPUID_1_OSXSAVE : 0);
	if (leaf == 0x7 && !subleaf)
		out[2] = (out[2] & ~CPUID_7_OSPKE) | (cpu->cr4.get_PKE() ? CPUID_7_OSPKE : 0);
	/* On Intel's there is SYSCALL in 64-bit mode alone. */
	if (leaf == 0x80000001)
		out[3] = (out[3] & ~CPUID_80000001_SYSCALL) |
			 (cpu->long64_mode() ? CPUID_80000001_SYSCALL : 0);
	if (leaf == 0xd && subleaf < 2) {
		/* Of what is enabled now. */
		cpu->cpuid->get_cpuid_leaf(leaf, subleaf, &native);
		out[1] = native.ebx;
	}
	cpu->gen_reg[BX_64BIT_REG_RAX].rrx = out[0];
	cpu->gen_reg[BX_64BIT_REG_RBX].rrx = out[1];
	cpu->gen_reg[BX_64BIT_REG_RCX].rrx = out[2];
	cpu->gen_reg[BX_64BIT_REG_RDX].rrx = out[3];
	resume(cpu);
}

static void emulate_msr(BX_CPU_C *cpu, bool write)
{
	const struct lp *lp = &lps[cpu->bx_cpuid];
	const Bit32u msr = cpu->gen_reg[BX_64BIT_REG_RCX].dword.erx;
	Bit64u value = 0;
	bool fine;

	switch (msr_policy(lp, msr, write)) {
	case MSR_VE:
		raise_ve(cpu, write ? VMX_VMEXIT_WRMSR : VMX_VMEXIT_RDMSR, 0);
		break;
	case MSR_GP:
		cpu->exception(BX_GP_EXCEPTION, 0);
		break;
	case MSR_NATIVE:
		break;
	}
	if (write) {
		value = cpu->gen_reg[BX_64BIT_REG_RAX].dword.erx |
			(Bit64u)cpu->gen_reg[BX_64BIT_REG_RDX].dword.erx << 32;
		fine = msr != BX_MSR_XSS || !(value & ~(lp->state.xfam & XFAM_XSS));
		/* A change of the mode ends the trace in any case. */
		fine = fine && cpu->wrmsr(msr, value);
	} else {
		fine = cpu->rdmsr(msr, &value);
		if (fine) {
			cpu->gen_reg[BX_64BIT_REG_RAX].rrx = (Bit32u)value;
			cpu->gen_reg[BX_64BIT_REG_RDX].rrx = value >> 32;
		}
	}
	if (!fine)
		cpu->exception(BX_GP_EXCEPTION, 0);
	resume(cpu);
}

static void emulate_xsetbv(BX_CPU_C *cpu)
{
	const Bit32u low = cpu->gen_reg[BX_64BIT_REG_RAX].dword.erx;
	const Bit32u high = cpu->gen_reg[BX_64BIT_REG_RDX].dword.erx;
	const Bit64u allowed = lps[cpu->bx_cpuid].state.xfam & ~(Bit64u)XFAM_XSS;
	const Bit32u avx = 1 << 2 | 1 << 1, avx512 = 7 << 5, amx = 3 << 17;

	if (cpu->user_pl || cpu->gen_reg[BX_64BIT_REG_RCX].dword.erx || high || low & ~allowed ||
	    !(low & 1) || (low & avx) == 1 << 2 ||
	    (low & avx512 && (low & (avx512 | avx)) != (avx512 | avx)) ||
	    (low & amx && (low & amx) != amx))
		cpu->exception(BX_GP_EXCEPTION, 0);
	cpu->xcr0.set32(low);
	cpu->handleAvxModeChange();
	resume(cpu);
}

/* The masks let pass what is allowed. */
static void cr_access(BX_CPU_C *cpu, Bit64u qualification)
{
	const unsigned cr = qualification & 0xf, kind = qualification >> 4 & 3;
	Bit64u value;

	if (cr == 4 && kind == VMX_VMEXIT_CR_ACCESS_CR_WRITE) {
		value = cpu->gen_reg[qualification >> 8 & 0xf].rrx;
		if (!(value & BX_CR4_MCE_MASK))
			raise_ve(cpu, VMX_VMEXIT_CR_ACCESS, qualification);
	}
	cpu->exception(BX_GP_EXCEPTION, 0);
}

/* An NMI that could not be taken at the entry can be now. */
static void nmi_window(BX_CPU_C *cpu)
{
	struct lp *lp = &lps[cpu->bx_cpuid];
	const Bit32u primary = cpu->vmcs.vmexec_ctrls1.get() & ~VMX_VM_EXEC_CTRL1_NMI_WINDOW_EXITING;
	struct tdx_vcpu_state state;

	cpu->vmcs.vmexec_ctrls1 = primary;
	cpu->VMwrite32(VMCS_32BIT_CONTROL_PROCESSOR_BASED_VMEXEC_CONTROLS, primary);
	cpu->clear_event(BX_EVENT_VMX_VIRTUAL_NMI);
	cpu->mask_event(BX_EVENT_VMX_VIRTUAL_NMI);
	/* A #VE has come before it: then at an entry behind that. */
	tdx_vcpu_get(lp->vcpu, &state);
	if (!state.pend_nmi)
		resume(cpu);
	tdx_nmi_injected(lp->vcpu);
	cpu->EXT = 1;
	/* What the VM exit of a fault on the way is to be told. */
	cpu->vmcs.idt_vector_info = BX_NMI << 8 | 2;
	cpu->vmcs.idt_vector_error_code = 0;
	cpu->interrupt(2, BX_NMI, 0, 0);
	resume(cpu);
}

static void ask_module(BX_CPU_C *cpu, Bit32u reason, Bit64u qualification)
{
	struct lp *lp = &lps[cpu->bx_cpuid];
	struct tdx_exit exit;
	struct tdx_regs regs;
	enum tdx_guest_next next;

	memset(&exit, 0, sizeof(exit));
	exit.reason = reason;
	exit.qualification = qualification;
	exit.rip = cpu->prev_rip;
	switch (reason) {
	case VMX_VMEXIT_EPT_VIOLATION:
		exit.gla = cpu->VMread64(VMCS_GUEST_LINEAR_ADDR);
		/* fall through */
	case VMX_VMEXIT_EPT_MISCONFIGURATION:
		exit.gpa = cpu->VMread64(VMCS_64BIT_GUEST_PHYSICAL_ADDR);
		break;
	case VMX_VMEXIT_EXCEPTION_NMI:
	case VMX_VMEXIT_EXTERNAL_INTERRUPT:
		exit.intr_info = cpu->VMread32(VMCS_32BIT_VMEXIT_INTERRUPTION_INFO);
		break;
	}
	if (!(reason >> 31))
		tell_ve(lp);
	get_regs(cpu, &regs);
	next = tdx_td_exit(module(), lp->vcpu, &exit, &regs);
	/* Linux would wait for the other processors to have theirs, and look at banks. */
	if (reason == VMX_VMEXIT_EXCEPTION_NMI && (exit.intr_info & 0xff) == BX_MC_EXCEPTION)
		regs.r[TDX_R9] = 0;
	lp->guest->xmm_mask = 0;
	go_on(cpu, next, &regs, &exit);
}

void tdx_exit(BX_CPU_C *cpu, Bit32u reason, Bit64u qualification)
{
	if (lps[cpu->bx_cpuid].left)
		return;
	calling_lp = cpu->bx_cpuid;
	switch (reason) {
	case VMX_VMEXIT_CPUID:
		emulate_cpuid(cpu);
		break;
	case VMX_VMEXIT_RDMSR:
		emulate_msr(cpu, false);
		break;
	case VMX_VMEXIT_WRMSR:
		emulate_msr(cpu, true);
		break;
	case VMX_VMEXIT_XSETBV:
		emulate_xsetbv(cpu);
		break;
	case VMX_VMEXIT_CR_ACCESS:
		cr_access(cpu, qualification);
		break;
	case VMX_VMEXIT_NMI_WINDOW:
		nmi_window(cpu);
		break;
	case VMX_VMEXIT_HLT:
	case VMX_VMEXIT_INVD:
	case VMX_VMEXIT_IO_INSTRUCTION:
	case VMX_VMEXIT_PCONFIG:
	case VMX_VMEXIT_RDPMC:
	case VMX_VMEXIT_VMCALL:
	case VMX_VMEXIT_WBINVD:
	case VMX_VMEXIT_APIC_WRITE:
		raise_ve(cpu, reason, qualification);
		break;
	case VMX_VMEXIT_ENCLS:
	case VMX_VMEXIT_ENCLV:
	case VMX_VMEXIT_GETSEC:
	case VMX_VMEXIT_INVEPT:
	case VMX_VMEXIT_INVVPID:
	case VMX_VMEXIT_MONITOR:
	case VMX_VMEXIT_MWAIT:
	case VMX_VMEXIT_RSM:
	case VMX_VMEXIT_SEAMCALL:
	case VMX_VMEXIT_VMCLEAR:
	case VMX_VMEXIT_VMFUNC:
	case VMX_VMEXIT_VMLAUNCH:
	case VMX_VMEXIT_VMPTRLD:
	case VMX_VMEXIT_VMPTRST:
	case VMX_VMEXIT_VMREAD:
	case VMX_VMEXIT_VMRESUME:
	case VMX_VMEXIT_VMWRITE:
	case VMX_VMEXIT_VMXOFF:
	case VMX_VMEXIT_VMXON:
		cpu->exception(BX_UD_EXCEPTION, 0);
		break;
	default:
		ask_module(cpu, reason, qualification);
	}
}
