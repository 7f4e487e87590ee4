// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs as a TD sees them.
 */
#include "glue.h"

#define XFAM_BIT(n)	(1ull << (n))
#define XFAM_PT		XFAM_BIT(8)
#define XFAM_CET	(XFAM_BIT(11) | XFAM_BIT(12))
#define XFAM_UINTR	XFAM_BIT(14)
#define XFAM_LBR	XFAM_BIT(15)
#define XFAM_AMX	(XFAM_BIT(17) | XFAM_BIT(18))
#define ATTRIBUTES_PKS		(1ull << 30)
#define ATTRIBUTES_PERFMON	(1ull << 63)

/*
 * @first, @last: which
 * @read, @write: what happens
 * @xfam, @attributes: all of which the TD needs to have, or it is #GP
 */
static const struct {
	Bit32u first, last;
	enum msr_policy read, write;
	Bit64u xfam, attributes;
} policies[] = {
	{ 0x10, 0x10, MSR_NATIVE, MSR_VE, 0, 0 },			/* TSC */
	{ 0x48, 0x49, MSR_NATIVE, MSR_NATIVE, 0, 0 },			/* SPEC_CTRL, PRED_CMD */
	{ 0x87, 0x87, MSR_GP, MSR_GP, 0, 0 },				/* keyid partitioning */
	{ 0x8c, 0x8f, MSR_GP, MSR_GP, 0, 0 },				/* SGXLEPUBKEYHASH */
	{ 0x98, 0x98, MSR_GP, MSR_GP, 0, 0 },				/* WBINVDP */
	{ 0x9b, 0x9b, MSR_GP, MSR_GP, 0, 0 },				/* SMM_MONITOR_CTL */
	{ 0xc1, 0xc8, MSR_NATIVE, MSR_NATIVE, 0, ATTRIBUTES_PERFMON },	/* PMC */
	{ 0xe1, 0xe1, MSR_NATIVE, MSR_NATIVE, 0, 0 },			/* UMWAIT_CONTROL */
	{ 0x10a, 0x10a, MSR_NATIVE, MSR_VE, 0, 0 },			/* ARCH_CAPABILITIES */
	{ 0x10b, 0x10b, MSR_NATIVE, MSR_NATIVE, 0, 0 },			/* FLUSH_CMD */
	{ 0x174, 0x176, MSR_NATIVE, MSR_NATIVE, 0, 0 },			/* SYSENTER_* */
	{ 0x186, 0x18d, MSR_NATIVE, MSR_NATIVE, 0, ATTRIBUTES_PERFMON },/* PERFEVTSEL */
	{ 0x1a0, 0x1a0, MSR_NATIVE, MSR_VE, 0, 0 },			/* MISC_ENABLE */
	{ 0x1a6, 0x1a7, MSR_NATIVE, MSR_NATIVE, 0, ATTRIBUTES_PERFMON },/* OFFCORE_RSP */
	{ 0x1c4, 0x1c5, MSR_NATIVE, MSR_NATIVE, XFAM_AMX, 0 },		/* XFD, XFD_ERR */
	{ 0x1d9, 0x1d9, MSR_NATIVE, MSR_NATIVE, 0, 0 },			/* DEBUGCTL */
	{ 0x277, 0x277, MSR_NATIVE, MSR_NATIVE, 0, 0 },			/* PAT */
	{ 0x309, 0x30c, MSR_NATIVE, MSR_NATIVE, 0, ATTRIBUTES_PERFMON },/* FIXED_CTR */
	{ 0x329, 0x329, MSR_NATIVE, MSR_NATIVE, 0, ATTRIBUTES_PERFMON },/* PERF_METRICS */
	{ 0x345, 0x345, MSR_NATIVE, MSR_GP, 0, ATTRIBUTES_PERFMON },	/* PERF_CAPABILITIES */
	{ 0x38d, 0x392, MSR_NATIVE, MSR_NATIVE, 0, ATTRIBUTES_PERFMON },/* PERF_GLOBAL_* */
	{ 0x3f1, 0x3f7, MSR_NATIVE, MSR_NATIVE, 0, ATTRIBUTES_PERFMON },/* PEBS */
	{ 0x480, 0x493, MSR_GP, MSR_GP, 0, 0 },				/* VMX capabilities */
	{ 0x4c1, 0x4c8, MSR_NATIVE, MSR_NATIVE, 0, ATTRIBUTES_PERFMON },/* A_PMC */
	{ 0x500, 0x503, MSR_GP, MSR_GP, 0, 0 },				/* SGX */
	{ 0x560, 0x58f, MSR_NATIVE, MSR_NATIVE, XFAM_PT, 0 },		/* RTIT_* */
	{ 0x600, 0x600, MSR_NATIVE, MSR_NATIVE, 0, ATTRIBUTES_PERFMON },/* DS_AREA */
	{ 0x6a0, 0x6a8, MSR_NATIVE, MSR_NATIVE, XFAM_CET, 0 },		/* CET */
	{ 0x6e1, 0x6e1, MSR_NATIVE, MSR_NATIVE, 0, ATTRIBUTES_PKS },	/* PKRS */
	{ 0x808, 0x808, MSR_NATIVE, MSR_NATIVE, 0, 0 },			/* x2APIC: TPR */
	{ 0x80a, 0x80a, MSR_NATIVE, MSR_VE, 0, 0 },			/* PPR */
	{ 0x80b, 0x80b, MSR_VE, MSR_NATIVE, 0, 0 },			/* EOI */
	{ 0x810, 0x827, MSR_NATIVE, MSR_VE, 0, 0 },			/* ISR, TMR, IRR */
	{ 0x83f, 0x83f, MSR_VE, MSR_NATIVE, 0, 0 },			/* SELF_IPI */
	{ 0x981, 0x984, MSR_GP, MSR_GP, 0, 0 },				/* TME */
	{ 0x985, 0x98a, MSR_NATIVE, MSR_NATIVE, XFAM_UINTR, 0 },	/* UINTR */
	{ 0xc80, 0xc80, MSR_GP, MSR_GP, 0, 0 },				/* DEBUG_INTERFACE */
	{ 0xda0, 0xda0, MSR_NATIVE, MSR_NATIVE, 0, 0 },			/* XSS */
	{ 0x1200, 0x121f, MSR_NATIVE, MSR_NATIVE, XFAM_LBR, 0 },	/* LBR_INFO */
	{ 0x1400, 0x1401, MSR_GP, MSR_GP, 0, 0 },			/* SEAMRR */
	{ 0x14ce, 0x14cf, MSR_NATIVE, MSR_NATIVE, XFAM_LBR, 0 },	/* LBR_CTL, _DEPTH */
	{ 0x1500, 0x15ff, MSR_NATIVE, MSR_NATIVE, XFAM_LBR, 0 },	/* LBR_FROM */
	{ 0x1600, 0x16ff, MSR_NATIVE, MSR_NATIVE, XFAM_LBR, 0 },	/* LBR_TO */
	{ 0xc0000080, 0xc0000082, MSR_NATIVE, MSR_NATIVE, 0, 0 },	/* EFER, STAR, LSTAR */
	{ 0xc0000084, 0xc0000084, MSR_NATIVE, MSR_NATIVE, 0, 0 },	/* FMASK */
	{ 0xc0000100, 0xc0000103, MSR_NATIVE, MSR_NATIVE, 0, 0 },	/* FS, GS, TSC_AUX */
};

enum msr_policy msr_policy(const struct lp *lp, Bit32u msr, bool write)
{
	for (unsigned i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		if (msr < policies[i].first || msr > policies[i].last)
			continue;
		if (policies[i].xfam & ~lp->state.xfam ||
		    policies[i].attributes & ~lp->state.attributes)
			return MSR_GP;
		return write ? policies[i].write : policies[i].read;
	}
	return MSR_VE;
}
