/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GLUE_H
#define GLUE_H

/*
 * Between Bochs and the TDX module; private to this folder.  The README tells
 * how it works.
 */
#include "bochs.h"
#include "cpu.h"
#include "msr.h"
#include "cpuid.h"
#include "gui/siminterface.h"
#include "param_names.h"
#include "memory/memory-bochs.h"
#include "pc_system.h"
#include "icache.h"
#include "apic.h"
#include "tdx.h"

#include "monitor.h"
#include "../tdx_module/tdx_module.h"

/*
 * What a vCPU has beyond its general purpose registers, which the module keeps.
 *
 * @vmcs:     a page of the emulator's.  It stands for the TDVPR page, whose content
 *            nobody can see.
 * @reinject: VM-entry interruption information of an event whose delivery was
 *            interrupted by the last exit; @reinject_code, @reinject_len with it
 * @xmm_mask: registers that the last TDG.VP.VMCALL passed to the host VMM
 * @ve_told:  the module knows of the #VE in the information page
 */
struct guest {
	Bit8u *vmcs;
	Bit32u reinject, reinject_code, reinject_len;
	Bit16u xmm_mask;
	bool ve_told;

	Bit64u star, lstar, fmask, kernel_gs_base, xss;
	Bit32u tsc_aux, spec_ctrl, umwait_ctrl, xcr0, pkru, dr6;
	bx_address cr2, dr[4];
	i387_t i387;
	bx_zmm_reg_t vmm[BX_XMM_REGISTERS + 1];
	bx_mxcsr_t mxcsr;
	bx_gen_reg_t opmask[8];
};

/*
 * A logical processor that is in a TD.
 *
 * @vcpu, @state, @guest: who runs
 * @left:    the module has decided to leave it
 * @regs:    what SEAMCALL leaves in the registers then
 * @vmcsptr, @vmcshostptr: the host's current VMCS
 * the rest: host state that SEAMCALL preserves and VMX does not
 */
struct lp {
	struct tdx_vcpu *vcpu;
	struct tdx_vcpu_state state;
	struct guest *guest;
	bool left;
	struct tdx_regs regs;
	Bit64u vmcsptr;
	bx_hostpageaddr_t vmcshostptr;
	bx_segment_reg_t sregs[6], ldtr, tr;
	bx_global_segment_reg_t gdtr, idtr;
	Bit64u rip, rsp, rbp, cr3;
	bool la57;
	struct tdx_regs answer;		/* of a SEAMCALL that lingers */
	Bit64u linger_until;		/* this many instructions; 0 if none does */
	Bit32u eflags, spec_ctrl, umwait_ctrl;
};

extern struct lp lps[BX_MAX_SMP_THREADS_SUPPORTED];

/* options.cc */
struct options {
	unsigned tsc_mhz;
	unsigned mktme_keyids;
	struct tdx_config config;
};

extern struct options options;

/* Number of bits that the keyids take of a physical address. */
unsigned keyid_bits(void);

/* seam.cc */
struct tdx_module *module(void);
extern unsigned int calling_lp;		/* who is in the module */
void get_regs(BX_CPU_C *cpu, struct tdx_regs *regs);
void set_regs(BX_CPU_C *cpu, const struct tdx_regs *regs);	/* all but RSP */

/* memory.cc */
void memory_init(struct tdx_module *m);
void memory_ops(struct tdx_ops *ops);
void memory_forget_owners(void);
/* The page at @pa, for the emulator itself; NULL if there is no memory. */
Bit8u *host_page(Bit64u pa);

/* td_entry.cc */
/* Return: whether the TD runs now; else the registers are as SEAMCALL leaves them. */
bool enter(BX_CPU_C *cpu, struct tdx_vcpu *vcpu, const struct tdx_regs *regs);
/* RVI[7:4] > PPR[7:4] for a vCPU that does not run. */
bool virtual_interrupt_pending(void *ctx, const struct tdx_vcpu *vcpu);
/* The page of a TDVPR went back to the host. */
void free_guest(Bit64u tdvpr);

/* td_exits.cc */
/* Tell the module of a #VE that the CPU itself raised. */
void tell_ve(struct lp *lp);
/* The TD has read what there is to tell of its last #VE. */
void ve_read(struct lp *lp);
/* Go on as the module says; returns only if the TD is left. */
void go_on(BX_CPU_C *cpu, enum tdx_guest_next next, const struct tdx_regs *regs,
	   const struct tdx_exit *exit);

/* td_msr.cc */
enum msr_policy {
	MSR_NATIVE, MSR_VE, MSR_GP,
};
enum msr_policy msr_policy(const struct lp *lp, Bit32u msr, bool write);

/* monitor.cc */
extern struct tdx_monitor looker;

#endif
