// SPDX-License-Identifier: GPL-2.0-only
/*
 * Into a TD and out of it, on Bochs' VMX engine: a TD is a VMX guest whose VMCS no
 * VMM can see.  What VMX switches is left to it.  Before the entry, and after
 * the exit, the rest is switched here, so that to the host all of it is one
 * SEAMCALL.
 */
#include <map>
#include <stdlib.h>

#include "glue.h"

#define LOG_THIS cpu->

#define NO_ADDRESS	(~0ull)
#define FMASK_AT_EXIT	0x20200		/* as after TDH.VP.INIT */

#define VALID		(1u << 31)	/* of interruption information */
#define INTR_NMI	(VALID | BX_NMI << 8 | 2)

#define PIN_POSTED	(1u << 7)
#define PRIMARY_NMI_WINDOW (1u << 22)

#define XFAM_PKRU	(1u << 9)
#define XFAM_CET	(3u << 11)
#define XFAM_UINTR	(1u << 14)
#define ATTRIBUTES_PKS	(1ull << 30)
#define ATTRIBUTES_KL	(1ull << 31)

static std::map<Bit64u, struct guest *> guests;		/* by TDVPR */

static struct guest *guest_of(const struct tdx_vcpu_state *state)
{
	struct guest *&guest = guests[state->tdvps[0]];

	if (!guest) {
		void *vmcs;

		if (posix_memalign(&vmcs, 4096, 4096))
			abort();
		guest = (struct guest *)calloc(1, sizeof(*guest));
		if (!guest)
			abort();
		guest->vmcs = (Bit8u *)vmcs;
	}
	return guest;
}

void free_guest(Bit64u tdvpr)
{
	std::map<Bit64u, struct guest *>::iterator i = guests.find(tdvpr);

	if (i == guests.end())
		return;
	free(i->second->vmcs);
	free(i->second);
	guests.erase(i);
}

bool virtual_interrupt_pending(void *, const struct tdx_vcpu *vcpu)
{
	const Bit8u *apic, *vmcs;
	struct tdx_vcpu_state state;
	Bit8u rvi;

	tdx_vcpu_get(vcpu, &state);
	if (!state.entered)
		return false;
	vmcs = guest_of(&state)->vmcs;
	rvi = vmcs[BX_CPU(0)->vmcs_map->vmcs_field_offset(VMCS_16BIT_GUEST_INTERRUPT_STATUS)];
	apic = host_page(state.tdvps[1]);
	return (rvi & 0xf0) > (apic[BX_LAPIC_PPR] & 0xf0);
}

/* What is wanted of the controls, as far as the CPU has them. */
static Bit32u controls(BX_CPU_C *cpu, Bit32u msr, Bit32u wanted)
{
	Bit64u allowed = 0;

	cpu->rdmsr(msr, &allowed);
	return (wanted | (Bit32u)allowed) & (Bit32u)(allowed >> 32);
}

static void write32(BX_CPU_C *cpu, Bit32u field, Bit32u value)
{
	cpu->VMwrite32(field, value);
}

/* CR4 bits that the TD cannot have. */
static Bit32u forbidden_cr4(const struct tdx_vcpu_state *state)
{
	Bit32u bits = BX_CR4_VMXE_MASK | BX_CR4_SMXE_MASK;

	if (!(state->xfam & XFAM_PKRU))
		bits |= BX_CR4_PKE_MASK;
	if ((state->xfam & XFAM_CET) != XFAM_CET)
		bits |= BX_CR4_CET_MASK;
	if (!(state->xfam & XFAM_UINTR))
		bits |= BX_CR4_UINTR_MASK;
	if (!(state->attributes & ATTRIBUTES_PKS))
		bits |= BX_CR4_PKS_MASK;
	if (!(state->attributes & ATTRIBUTES_KL))
		bits |= BX_CR4_KEYLOCKER_MASK;
	return bits;
}

/* The VMCS of a vCPU that has never run; it is the current one. */
static void init_vmcs(BX_CPU_C *cpu, const struct tdx_vcpu_state *state)
{
	/* ES, CS, SS, DS, FS, GS, LDTR, TR */
	static const Bit32u rights[] = {
		0xc093, 0xc09b, 0xc093, 0xc093, 0xc093, 0xc093, 0x10082, 0x8b,
	};

	write32(cpu, VMCS_LAUNCH_STATE_FIELD_ENCODING, VMCS_STATE_CLEAR);

	/* External-interrupt, NMI exiting, virtual NMIs */
	write32(cpu, VMCS_32BIT_CONTROL_PIN_BASED_EXEC_CONTROLS,
		controls(cpu, BX_MSR_VMX_TRUE_PINBASED_CTRLS, 1 << 0 | 1 << 3 | 1 << 5));
	/*
	 * TSC offsetting; HLT, MWAIT, RDPMC exiting; TPR shadow; I/O, MONITOR exiting;
	 * secondary controls.  Without MSR bitmaps all MSR accesses exit.
	 */
	write32(cpu, VMCS_32BIT_CONTROL_PROCESSOR_BASED_VMEXEC_CONTROLS,
		controls(cpu, BX_MSR_VMX_TRUE_PROCBASED_CTRLS,
			 1u << 3 | 1u << 7 | 1u << 10 | 1u << 11 | 1u << 21 | 1u << 24 |
			 1u << 29 | 1u << 31));
	/*
	 * EPT, RDTSCP, x2APIC mode, VPID, WBINVD exiting, unrestricted guest, APIC
	 * registers, virtual interrupts, INVPCID, #VE, XSAVES, TSC scaling
	 */
	write32(cpu, VMCS_32BIT_CONTROL_SECONDARY_VMEXEC_CONTROLS,
		controls(cpu, BX_MSR_VMX_PROCBASED_CTRLS2,
			 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 9 |
			 1 << 12 | 1 << 18 | 1 << 20 | 1 << 25));
	/* Save debug controls; 64-bit host; acknowledge interrupts; save, load PAT, EFER */
	write32(cpu, VMCS_32BIT_CONTROL_VMEXIT_CONTROLS,
		controls(cpu, BX_MSR_VMX_TRUE_VMEXIT_CTRLS,
			 1 << 2 | 1 << 9 | 1 << 15 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21));
	/* Load debug controls, PAT, EFER */
	write32(cpu, VMCS_32BIT_CONTROL_VMENTRY_CONTROLS,
		controls(cpu, BX_MSR_VMX_TRUE_VMENTRY_CTRLS, 1 << 2 | 1 << 14 | 1 << 15));
	write32(cpu, VMCS_32BIT_CONTROL_EXECUTION_BITMAP, 1 << BX_MC_EXCEPTION);
	cpu->VMwrite64(VMCS_64BIT_CONTROL_VIRTUAL_APIC_PAGE_ADDR, state->tdvps[1]);
	cpu->VMwrite64(VMCS_64BIT_CONTROL_VE_EXCEPTION_INFO_ADDR, state->tdvps[2]);
	cpu->VMwrite64(VMCS_64BIT_GUEST_LINK_POINTER, BX_INVALID_VMCSPTR);
	cpu->VMwrite16(VMCS_16BIT_CONTROL_VPID, state->index + 1);

	cpu->VMwrite64(VMCS_CONTROL_CR0_GUEST_HOST_MASK,
		       BX_CR0_PE_MASK | BX_CR0_NE_MASK | BX_CR0_NW_MASK | BX_CR0_CD_MASK);
	cpu->VMwrite64(VMCS_CONTROL_CR0_READ_SHADOW, BX_CR0_PE_MASK | BX_CR0_NE_MASK);
	cpu->VMwrite64(VMCS_CONTROL_CR4_GUEST_HOST_MASK, BX_CR4_MCE_MASK | forbidden_cr4(state));
	cpu->VMwrite64(VMCS_CONTROL_CR4_READ_SHADOW, BX_CR4_MCE_MASK);

	cpu->VMwrite64(VMCS_GUEST_CR0, BX_CR0_PE_MASK | BX_CR0_ET_MASK | BX_CR0_NE_MASK);
	cpu->VMwrite64(VMCS_GUEST_CR4, BX_CR4_MCE_MASK | BX_CR4_VMXE_MASK);
	cpu->VMwrite64(VMCS_64BIT_GUEST_IA32_EFER, 0x901);	/* SCE, LME, NXE */
	cpu->VMwrite64(VMCS_64BIT_GUEST_IA32_PAT, 0x0007040600070406ull);
	cpu->VMwrite64(VMCS_GUEST_DR7, 0x400);
	cpu->VMwrite64(VMCS_GUEST_RIP, 0xfffffff0);
	cpu->VMwrite64(VMCS_GUEST_RFLAGS, 2);
	for (unsigned i = 0; i < 8; i++) {
		write32(cpu, VMCS_32BIT_GUEST_ES_LIMIT + 2 * i, i < 6 ? 0xffffffff : 0xffff);
		/* vmwrite() knows how the map packs them. */
		cpu->vmwrite(VMCS_32BIT_GUEST_ES_ACCESS_RIGHTS + 2 * i, rights[i]);
	}
	write32(cpu, VMCS_32BIT_GUEST_GDTR_LIMIT, 0xffff);
}

/* A vCPU that has never run. */
static void init_guest(BX_CPU_C *cpu, struct guest *guest, const struct tdx_vcpu_state *state)
{
	static const struct { unsigned reg; Bit32u value; } apic_regs[] = {
		{ BX_LAPIC_VERSION, 0x00050014 },
		{ BX_LAPIC_SPURIOUS_VECTOR, 0xff },
	};
	Bit8u *vmcs = guest->vmcs, *apic = host_page(state->tdvps[1]);
	const Bit32u logical = (state->x2apic_id >> 4) << 16 | 1u << (state->x2apic_id & 15);

	memset((void *)guest, 0, sizeof(*guest));
	memset(vmcs, 0, 4096);
	guest->vmcs = vmcs;
	guest->fmask = FMASK_AT_EXIT;
	guest->xcr0 = 1;
	guest->dr6 = 0xffff0ff0;
	guest->i387.init();
	guest->mxcsr.mxcsr = MXCSR_RESET;
	init_vmcs(cpu, state);

	memcpy(apic + BX_LAPIC_ID, &state->x2apic_id, 4);
	memcpy(apic + BX_LAPIC_LDR, &logical, 4);
	for (unsigned i = 0; i < sizeof(apic_regs) / sizeof(apic_regs[0]); i++)
		memcpy(apic + apic_regs[i].reg, &apic_regs[i].value, 4);
}

/* What VMX shall load when the TD is left; the CPU is still the host's. */
static void write_host_state(BX_CPU_C *cpu, const struct lp *lp)
{
	cpu->VMwrite64(VMCS_HOST_CR0, cpu->cr0.get32());
	cpu->VMwrite64(VMCS_HOST_CR3, cpu->cr3);
	cpu->VMwrite64(VMCS_HOST_CR4, cpu->cr4.get32());
	/* Selectors with an RPL or in the LDT come back by restore_host(). */
	for (unsigned i = 0; i < 6; i++)
		cpu->VMwrite16(VMCS_16BIT_HOST_ES_SELECTOR + 2 * i, 0);
	cpu->VMwrite16(VMCS_16BIT_HOST_CS_SELECTOR,
		       cpu->sregs[BX_SEG_REG_CS].selector.value & 0xfff8);
	cpu->VMwrite16(VMCS_16BIT_HOST_TR_SELECTOR, cpu->tr.selector.value & 0xfff8);
	cpu->VMwrite64(VMCS_HOST_FS_BASE, cpu->sregs[BX_SEG_REG_FS].cache.u.segment.base);
	cpu->VMwrite64(VMCS_HOST_GS_BASE, cpu->sregs[BX_SEG_REG_GS].cache.u.segment.base);
	cpu->VMwrite64(VMCS_HOST_TR_BASE, cpu->tr.cache.u.segment.base);
	cpu->VMwrite64(VMCS_HOST_GDTR_BASE, cpu->gdtr.base);
	cpu->VMwrite64(VMCS_HOST_IDTR_BASE, cpu->idtr.base);
	write32(cpu, VMCS_32BIT_HOST_IA32_SYSENTER_CS_MSR, cpu->msr.sysenter_cs_msr);
	cpu->VMwrite64(VMCS_HOST_IA32_SYSENTER_ESP_MSR, cpu->msr.sysenter_esp_msr);
	cpu->VMwrite64(VMCS_HOST_IA32_SYSENTER_EIP_MSR, cpu->msr.sysenter_eip_msr);
	cpu->VMwrite64(VMCS_64BIT_HOST_IA32_PAT, cpu->msr.pat.u64);
	cpu->VMwrite64(VMCS_64BIT_HOST_IA32_EFER, cpu->efer.get32());
	cpu->VMwrite64(VMCS_HOST_RSP, lp->rsp);
	cpu->VMwrite64(VMCS_HOST_RIP, cpu->get_instruction_pointer());
}

/* What may have changed since the last entry. */
static void write_controls(BX_CPU_C *cpu, struct lp *lp)
{
	const struct tdx_vcpu_state *state = &lp->state;
	struct guest *guest = lp->guest;
	Bit32u inject = 0, pin, primary;

	cpu->VMwrite64(VMCS_64BIT_CONTROL_EPTPTR, state->eptp);
	cpu->VMwrite64(VMCS_64BIT_CONTROL_TSC_OFFSET, state->tsc_offset);
	cpu->VMwrite64(VMCS_64BIT_CONTROL_TSC_MULTIPLIER, state->tsc_multiplier);
	pin = cpu->VMread32(VMCS_32BIT_CONTROL_PIN_BASED_EXEC_CONTROLS) & ~PIN_POSTED;
	if (state->posted_enabled) {
		pin |= PIN_POSTED;
		cpu->VMwrite16(VMCS_16BIT_CONTROL_POSTED_INTERRUPT_VECTOR, state->posted_vector);
		cpu->VMwrite64(VMCS_64BIT_CONTROL_POSTED_INTERRUPT_DESC_ADDR, state->pid);
	}
	write32(cpu, VMCS_32BIT_CONTROL_PIN_BASED_EXEC_CONTROLS, pin);

	/* An event that an exit interrupted goes first; an NMI waits until it can be taken. */
	primary = cpu->VMread32(VMCS_32BIT_CONTROL_PROCESSOR_BASED_VMEXEC_CONTROLS) &
		  ~PRIMARY_NMI_WINDOW;
	if (guest->reinject) {
		inject = guest->reinject;
		write32(cpu, VMCS_32BIT_CONTROL_VMENTRY_EXCEPTION_ERR_CODE, guest->reinject_code);
		write32(cpu, VMCS_32BIT_CONTROL_VMENTRY_INSTRUCTION_LENGTH, guest->reinject_len);
		guest->reinject = 0;
	}
	if (state->pend_nmi && !inject &&
	    !(cpu->VMread32(VMCS_32BIT_GUEST_INTERRUPTIBILITY_STATE) &
	      (BX_VMX_INTERRUPTS_BLOCKED_BY_STI | BX_VMX_INTERRUPTS_BLOCKED_BY_MOV_SS |
	       BX_VMX_INTERRUPTS_BLOCKED_NMI_BLOCKED))) {
		inject = INTR_NMI;
		tdx_nmi_injected(lp->vcpu);
	} else if (state->pend_nmi) {
		primary |= PRIMARY_NMI_WINDOW;
	}
	write32(cpu, VMCS_32BIT_CONTROL_VMENTRY_INTERRUPTION_INFO, inject);
	write32(cpu, VMCS_32BIT_CONTROL_PROCESSOR_BASED_VMEXEC_CONTROLS, primary);
}

static void save_host(BX_CPU_C *cpu, struct lp *lp)
{
	for (unsigned i = 0; i < 6; i++)
		lp->sregs[i] = cpu->sregs[i];
	lp->ldtr = cpu->ldtr;
	lp->tr = cpu->tr;
	lp->gdtr = cpu->gdtr;
	lp->idtr = cpu->idtr;
	lp->rip = cpu->prev_rip;
	lp->rsp = cpu->gen_reg[BX_64BIT_REG_RSP].rrx;
	lp->rbp = cpu->gen_reg[BX_64BIT_REG_RBP].rrx;
	lp->cr3 = cpu->cr3;
	lp->la57 = cpu->cr4.get_LA57();
	lp->eflags = cpu->read_eflags();
	lp->spec_ctrl = cpu->msr.ia32_spec_ctrl;
	lp->umwait_ctrl = cpu->msr.ia32_umwait_ctrl;
	lp->vmcsptr = cpu->vmcsptr;
	lp->vmcshostptr = cpu->vmcshostptr;
}

static void load_guest(BX_CPU_C *cpu, const struct lp *lp)
{
	const struct guest *guest = lp->guest;

	cpu->msr.star = guest->star;
	cpu->msr.lstar = guest->lstar;
	cpu->msr.fmask = guest->fmask;
	cpu->msr.kernelgsbase = guest->kernel_gs_base;
	cpu->msr.tsc_aux = guest->tsc_aux;
	cpu->msr.ia32_spec_ctrl = guest->spec_ctrl;
	cpu->msr.ia32_umwait_ctrl = guest->umwait_ctrl;
	cpu->msr.ia32_xss = guest->xss;
	cpu->xcr0.set32(guest->xcr0);
	cpu->cr2 = guest->cr2;
	for (unsigned i = 0; i < 4; i++)
		cpu->dr[i] = guest->dr[i];
	cpu->dr6.set32(guest->dr6);
	cpu->the_i387 = guest->i387;
	for (unsigned i = 0; i < BX_XMM_REGISTERS; i++) {
		const bx_xmm_reg_t xmm = cpu->vmm[i].vmm128(0);

		cpu->vmm[i] = guest->vmm[i];
		if (guest->xmm_mask >> i & 1)
			cpu->vmm[i].vmm128(0) = xmm;
	}
	cpu->mxcsr = guest->mxcsr;
	memcpy((void *)cpu->opmask, guest->opmask, sizeof(guest->opmask));
	cpu->set_PKeys(guest->pkru, cpu->pkrs);
}

static void save_guest(BX_CPU_C *cpu, struct lp *lp)
{
	struct guest *guest = lp->guest;
	const Bit32u vectoring = cpu->VMread32(VMCS_32BIT_IDT_VECTORING_INFO);

	guest->star = cpu->msr.star;
	guest->lstar = cpu->msr.lstar;
	guest->fmask = cpu->msr.fmask;
	guest->kernel_gs_base = cpu->msr.kernelgsbase;
	guest->tsc_aux = cpu->msr.tsc_aux;
	guest->spec_ctrl = cpu->msr.ia32_spec_ctrl;
	guest->umwait_ctrl = cpu->msr.ia32_umwait_ctrl;
	guest->xss = cpu->msr.ia32_xss;
	guest->xcr0 = cpu->xcr0.get32();
	guest->cr2 = cpu->cr2;
	for (unsigned i = 0; i < 4; i++)
		guest->dr[i] = cpu->dr[i];
	guest->dr6 = cpu->dr6.get32();
	guest->i387 = cpu->the_i387;
	memcpy((void *)guest->vmm, cpu->vmm, sizeof(guest->vmm));
	guest->mxcsr = cpu->mxcsr;
	memcpy((void *)guest->opmask, cpu->opmask, sizeof(guest->opmask));
	guest->pkru = cpu->pkru;

	if (vectoring & VALID) {
		guest->reinject = vectoring & (VALID | 0xfff);
		guest->reinject_code = cpu->VMread32(VMCS_32BIT_IDT_VECTORING_ERR_CODE);
		guest->reinject_len = cpu->VMread32(VMCS_32BIT_VMEXIT_INSTRUCTION_LENGTH);
	}
}

/* What the module leaves behind, and what SEAMCALL preserves. */
static void restore_host(BX_CPU_C *cpu, const struct lp *lp)
{
	const Bit32u xfam = (Bit32u)lp->state.xfam;

	cpu->msr.star = 0;
	cpu->msr.lstar = 0;
	cpu->msr.fmask = FMASK_AT_EXIT;
	cpu->msr.kernelgsbase = 0;
	cpu->msr.tsc_aux = 0;
	cpu->msr.ia32_spec_ctrl = lp->spec_ctrl;
	cpu->msr.ia32_umwait_ctrl = lp->umwait_ctrl;
	cpu->msr.ia32_xss = xfam & cpu->ia32_xss_suppmask;
	cpu->xcr0.set32(xfam & cpu->xcr0_suppmask);
	cpu->cr2 = 0;
	for (unsigned i = 0; i < 4; i++)
		cpu->dr[i] = 0;
	cpu->dr6.set32(0xffff0ff0);
	cpu->the_i387.init();
	for (unsigned i = 0; i < BX_XMM_REGISTERS; i++) {
		const bx_xmm_reg_t xmm = cpu->vmm[i].vmm128(0);

		memset((void *)&cpu->vmm[i], 0, sizeof(cpu->vmm[i]));
		if (lp->guest->xmm_mask >> i & 1)
			cpu->vmm[i].vmm128(0) = xmm;
	}
	memset((void *)cpu->opmask, 0, sizeof(cpu->opmask));
	cpu->mxcsr.mxcsr = MXCSR_RESET;
	if (xfam & XFAM_PKRU)
		cpu->set_PKeys(0, cpu->pkrs);

	for (unsigned i = 0; i < 6; i++)
		cpu->sregs[i] = lp->sregs[i];
	cpu->ldtr = lp->ldtr;
	cpu->tr = lp->tr;
	cpu->gdtr = lp->gdtr;
	cpu->idtr = lp->idtr;
	cpu->setEFlags(lp->eflags);
	cpu->VMsucceed();
	cpu->vmcsptr = lp->vmcsptr;
	cpu->vmcshostptr = lp->vmcshostptr;
	set_regs(cpu, &lp->regs);
	cpu->handleCpuContextChange();
}

bool enter(BX_CPU_C *cpu, struct tdx_vcpu *vcpu, const struct tdx_regs *regs)
{
	struct lp *lp = &lps[cpu->bx_cpuid];
	VMCS_CACHE *vm = &cpu->vmcs;
	Bit64u qualification = 0;

	lp->vcpu = vcpu;
	tdx_vcpu_get(vcpu, &lp->state);
	lp->guest = guest_of(&lp->state);
	lp->left = false;
	save_host(cpu, lp);

	cpu->in_td = true;
	cpu->vmcsptr = lp->state.tdvps[0];
	cpu->vmcshostptr = (bx_hostpageaddr_t)lp->guest->vmcs;
	if (!lp->state.entered)
		init_guest(cpu, lp->guest, &lp->state);
	write_host_state(cpu, lp);
	write_controls(cpu, lp);
	/* The host VMM has no say in what is checked here. */
	if (cpu->VMenterLoadCheckVmControls() != VMXERR_NO_ERROR ||
	    cpu->VMenterLoadCheckHostState() != VMXERR_NO_ERROR)
		BX_PANIC(("tdx: VM entry fails"));
	load_guest(cpu, lp);
	set_regs(cpu, regs);
	if (cpu->VMenterLoadCheckGuestState(&qualification))
		cpu->VMexit(VMX_VMEXIT_VMENTRY_FAILURE_GUEST_STATE | 1u << 31, qualification);

	/* As at the end of VMLAUNCH. */
	write32(cpu, VMCS_LAUNCH_STATE_FIELD_ENCODING, VMCS_STATE_LAUNCHED);
	cpu->in_vmx_guest = true;
	cpu->unmask_event(BX_EVENT_INIT);
	cpu->handleInterruptMaskChange();
	cpu->tsc_offset = vm->vmexec_ctrls1.TSC_OFFSET() ? lp->state.tsc_offset : 0;
	cpu->VMenterInjectEvents();
	cpu->VMX_TPR_Virtualization();
	return true;
}

void tdx_exited(BX_CPU_C *cpu)
{
	struct lp *lp = &lps[cpu->bx_cpuid];

	save_guest(cpu, lp);
	restore_host(cpu, lp);
	cpu->in_td = false;
	if (looker.exit)
		looker.exit(looker.ctx, cpu->bx_cpuid, cpu->get_TSC(), lp->state.tdvps[0],
			     &lp->regs);
}

bx_phy_address tdx_ept_root(BX_CPU_C *cpu, bx_phy_address guest_paddr)
{
	const struct tdx_vcpu_state *state = &lps[cpu->bx_cpuid].state;

	/* The shared bit stays in the index: host VMMs build their tables with it. */
	if (!(guest_paddr >> (state->gpa_bits - 1) & 1))
		return LPFOf(cpu->vmcs.eptptr);
	if (!state->shared_eptp) {
		cpu->VMwrite64(VMCS_64BIT_GUEST_PHYSICAL_ADDR, guest_paddr);
		cpu->VMwrite64(VMCS_GUEST_LINEAR_ADDR, 0);
		cpu->VMexit(VMX_VMEXIT_EPT_VIOLATION, 1);
	}
	return LPFOf(state->shared_eptp);
}
