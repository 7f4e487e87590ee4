// SPDX-License-Identifier: GPL-2.0-only
/*
 * For those who look on.
 */
#include "glue.h"

struct tdx_monitor looker;

extern "C" void tdx_monitor_set(const struct tdx_monitor *new_looker)
{
	if (new_looker)
		looker = *new_looker;
	else
		memset(&looker, 0, sizeof(looker));
	if (tdx_monitor_module())
		tdx_observe(tdx_monitor_module(), looker.call, looker.ctx);
}

extern "C" void tdx_monitor_host(unsigned int lp, struct tdx_host *host)
{
	const BX_CPU_C *cpu = BX_CPU(lp);

	memset(host, 0, sizeof(*host));
	host->time = BX_CPU(lp)->get_TSC();
	if (cpu->in_td) {
		host->rip = lps[lp].rip;
		host->rsp = lps[lp].rsp;
		host->rbp = lps[lp].rbp;
		host->cr3 = lps[lp].cr3;
		return;
	}
	host->rip = cpu->prev_rip;
	host->rsp = cpu->gen_reg[BX_64BIT_REG_RSP].rrx;
	host->rbp = cpu->gen_reg[BX_64BIT_REG_RBP].rrx;
	host->cr3 = cpu->cr3;
	host->cpl = cpu->sregs[BX_SEG_REG_CS].selector.rpl;
	host->vm = cpu->in_vmx_guest;
}

/* Four or five levels of the host's page tables, below its CR3. */
static bool translate(unsigned int lp, Bit64u cr3, Bit64u linear, Bit64u *pa)
{
	const bool la57 = BX_CPU(lp)->in_td ? lps[lp].la57 : BX_CPU(lp)->cr4.get_LA57();
	Bit64u table = cr3 & 0x000ffffffffff000ull, entry;

	for (int level = la57 ? 4 : 3;; level--) {
		const Bit8u *page = host_page(table);

		if (!page || (tdx_owned && tdx_owned[table >> 12]))
			return false;
		memcpy(&entry, page + (linear >> (12 + 9 * level) & 511) * 8, sizeof(entry));
		if (!(entry & 1))
			return false;
		table = entry & 0x000ffffffffff000ull;
		if (!level || (level < 3 && entry & 0x80)) {
			const Bit64u mask = (1ull << (12 + 9 * level)) - 1;

			*pa = (table & ~mask) | (linear & mask);
			return true;
		}
	}
}

extern "C" bool tdx_monitor_read(unsigned int lp, uint64_t linear, void *buf, uint32_t len)
{
	const Bit64u cr3 = BX_CPU(lp)->in_td ? lps[lp].cr3 : BX_CPU(lp)->cr3;

	while (len) {
		const Bit32u offset = linear & 0xfff, n = len < 4096 - offset ? len : 4096 - offset;
		const Bit8u *page;
		Bit64u pa;

		if (!translate(lp, cr3, linear, &pa))
			return false;
		page = host_page(pa);
		if (!page || (tdx_owned && tdx_owned[pa >> 12]))
			return false;
		memcpy(buf, page + offset, n);
		buf = (char *)buf + n;
		linear += n;
		len -= n;
	}
	return true;
}

extern "C" unsigned int tdx_monitor_nr_lps(void)
{
	return BX_SMP_PROCESSORS;
}

extern "C" uint64_t tdx_monitor_tsc_hz(void)
{
	return options.tsc_mhz * 1000000ull;
}

extern "C" unsigned int tdx_monitor_pa_bits(void)
{
	return BX_PHY_ADDRESS_WIDTH - keyid_bits();
}
