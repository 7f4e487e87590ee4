// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instructions: SEAMCALL, TDCALL, and those that only the module may execute.
 */
#define NEED_CPU_REG_SHORTCUTS 1
#include "glue.h"

#define LOG_THIS genlog->

struct lp lps[BX_MAX_SMP_THREADS_SUPPORTED];
unsigned int calling_lp;

static struct tdx_module *the_module;
static Bit32u linger;

extern "C" struct tdx_module *tdx_monitor_module(void)
{
	return the_module;
}

extern "C" void tdx_monitor_linger(uint32_t instructions)
{
	linger = instructions;
	tdx_keep(module(), linger);
}

void get_regs(BX_CPU_C *cpu, struct tdx_regs *regs)
{
	for (unsigned i = 0; i < TDX_NR_REGS; i++)
		regs->r[i] = cpu->gen_reg[i].rrx;
}

void set_regs(BX_CPU_C *cpu, const struct tdx_regs *regs)
{
	for (unsigned i = 0; i < TDX_NR_REGS; i++)
		if (i != TDX_RSP)
			cpu->gen_reg[i].rrx = regs->r[i];
}

/* Memory as the kernel is told of it: all but the first megabyte, and a hole below 4G. */
static void find_memory(struct tdx_config *c)
{
	const Bit64u end = BX_MEM(0)->get_memory_len(), hole = 0xc0000000, four_g = 1ull << 32;

	c->cmrs[0].base = 0x100000;
	c->cmrs[0].size = (end < hole ? end : hole) - 0x100000;
	c->nr_cmrs = 1;
	if (end > four_g) {
		c->cmrs[1].base = four_g;
		c->cmrs[1].size = end - four_g;
		c->nr_cmrs = 2;
	}
}

/* The first SEAMCALL finds it loaded. */
struct tdx_module *module(void)
{
	struct tdx_config *c = &options.config;
	struct tdx_ops ops;

	if (the_module)
		return the_module;
	c->nr_lps = BX_SMP_PROCESSORS;
	c->nr_pkgs = SIM->get_param_num(BXPN_CPU_NPROCESSORS)->get();
	c->max_pa = BX_PHY_ADDRESS_WIDTH;
	c->keyid_bits = keyid_bits();
	c->first_keyid = options.mktme_keyids + 1;
	c->ept_5level = BX_CPU(0)->is_cpu_extension_supported(BX_ISA_LA57);
	c->native_tsc_hz = options.tsc_mhz * 1000000ull;
	c->xfam_fixed0 &= BX_CPU(0)->xcr0_suppmask | BX_CPU(0)->ia32_xss_suppmask;
	find_memory(c);

	memset(&ops, 0, sizeof(ops));
	memory_ops(&ops);
	if (tdx_create(&the_module, c, &ops))
		BX_PANIC(("tdx: the options contradict each other"));
	memory_init(the_module);
	tdx_observe(the_module, looker.call, looker.ctx);
	return the_module;
}

/*
 * A call that takes its time is executed again and again, without an interrupt in between,
 * and has its result at last.  Returns whether that is not yet.
 */
static bool lingers(BX_CPU_C *cpu, struct lp *lp)
{
	if (cpu->get_icount() < lp->linger_until) {
		cpu->gen_reg[BX_64BIT_REG_RIP].rrx = cpu->prev_rip;
		cpu->inhibit_interrupts(BX_INHIBIT_INTERRUPTS);
		return true;
	}
	lp->linger_until = 0;
	tdx_release(the_module, cpu->bx_cpuid);
	return false;
}

void BX_CPP_AttrRegparmN(1) BX_CPU_C::SEAMCALL(bxInstruction_c *i)
{
	struct lp *lp = &lps[BX_CPU_ID];
	const Bit64u rax = RAX;
	struct tdx_regs regs;
	struct tdx_vcpu *vcpu;

	if (!BX_CPU_THIS_PTR in_vmx || BX_CPU_THIS_PTR in_smm || !long64_mode())
		exception(BX_UD_EXCEPTION, 0);
	if (BX_CPU_THIS_PTR in_vmx_guest)
		VMexit(VMX_VMEXIT_SEAMCALL, 0);
	if (CPL != 0)
		exception(BX_GP_EXCEPTION, 0);

	if (lp->linger_until) {
		if (!lingers(BX_CPU_THIS, lp)) {
			set_regs(BX_CPU_THIS, &lp->answer);
			VMsucceed();
		}
		BX_NEXT_TRACE(i);
	}
	get_regs(BX_CPU_THIS, &regs);
	calling_lp = BX_CPU_ID;
	module();
	if (looker.enter)
		looker.enter(looker.ctx, BX_CPU_ID, &regs);
	switch (tdx_seamcall(the_module, BX_CPU_ID, &regs, &vcpu)) {
	case TDX_FAIL_INVALID:
		VMfailInvalid();
		break;
	case TDX_RETURN:
		if (linger && rax != TDH_SYS_DISABLE) {
			lp->answer = regs;
			lp->linger_until = get_icount() + linger;
			lingers(BX_CPU_THIS, lp);
			break;
		}
		set_regs(BX_CPU_THIS, &regs);
		VMsucceed();
		if (rax == TDH_SYS_DISABLE && RAX == TDX_SUCCESS)
			memory_forget_owners();
		break;
	case TDX_ENTER:
		enter(BX_CPU_THIS, vcpu, &regs);
		break;
	}
	BX_NEXT_TRACE(i);
}

/* SEAMRET, SEAMOPS: the module is not code of this machine, and nobody else may. */
void BX_CPP_AttrRegparmN(1) BX_CPU_C::SEAMRET(bxInstruction_c *i)
{
	exception(BX_UD_EXCEPTION, 0);
	BX_NEXT_TRACE(i);
}

void BX_CPP_AttrRegparmN(1) BX_CPU_C::TDCALL(bxInstruction_c *i)
{
	struct lp *lp = &lps[BX_CPU_ID];
	struct tdx_regs regs;
	enum tdx_guest_next next;

	if (!BX_CPU_THIS_PTR in_vmx_guest)
		exception(BX_UD_EXCEPTION, 0);
	if (!BX_CPU_THIS_PTR in_td)
		VMexit(VMX_VMEXIT_TDCALL, 0);
	if (CPL != 0 || !long64_mode())
		exception(BX_GP_EXCEPTION, 0);

	get_regs(BX_CPU_THIS, &regs);
	calling_lp = BX_CPU_ID;
	tell_ve(lp);
	next = tdx_tdcall(the_module, lp->vcpu, BX_CPU_THIS_PTR prev_rip, &regs);
	if (next != TDX_RESUME) {
		lp->guest->xmm_mask = next == TDX_EXIT ? RCX >> 16 : 0;
		go_on(BX_CPU_THIS, next, &regs, NULL);
		VMexit(VMX_VMEXIT_TDCALL, 0);
	}
	if (RAX == TDG_VP_VEINFO_GET && regs.r[TDX_RAX] == TDX_SUCCESS)
		ve_read(lp);
	set_regs(BX_CPU_THIS, &regs);
	BX_NEXT_TRACE(i);
}
