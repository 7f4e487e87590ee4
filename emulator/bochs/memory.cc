// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory: the module's way to it, and who sees what a TD owns.
 *
 * The content of such a page is the TD's.  Everybody else, which is the host and
 * its VMs, reads zeroes.  What they write replaces the TD's cache line: from then on
 * it is theirs, and the TD that touches it gets a machine check.  Pages of the module
 * cannot be written.  What an owner leaves behind is not what it wrote.  Pages are hidden
 * from the CPU's fast path: as long as a page is owned, the TLBs have no pointer to it but
 * while a TD runs, and no TLB entry survives the way into a TD or out of it.
 */
#include <sys/mman.h>

#include <unordered_map>

#include "channel.h"
#include "glue.h"

#define LOG_THIS genlog->

const Bit8u *tdx_owned;
Bit64u tdx_nr_pages;

/*
 * What there is to know of a page, in the bytes of tdx_owned.
 *
 * OWNED: a TD owns it, or the module
 * DIRTY: it was a TD's, and its cache lines were not written back; only if somebody
 *        looks on
 * STALE: a TD runs that has it in a TLB, although it was removed from the TD
 * OVERWRITTEN: lines of it are not the owner's any more
 */
enum {
	OWNED = 1, DIRTY = 2, STALE = 4, OVERWRITTEN = 8,
};

#define LINE		64
#define CIPHERTEXT	0xa5	/* each byte of it */

static Bit8u *owned;
static Bit8u zeroes[4096];	/* what a fetch gets */

/* By page, which lines of it others have written to. */
static std::unordered_map<Bit64u, Bit64u> overwritten;

/* By page that is DIRTY, the keyid of its lines. */
static std::unordered_map<Bit64u, Bit16u> dirty_keyid;

/* Those that [@pa, @pa + @len) of one page touches. */
static Bit64u lines(Bit64u pa, Bit32u len)
{
	const unsigned first = (pa & 0xfff) / LINE, last = ((pa & 0xfff) + len - 1) / LINE;

	return (~0ull >> (63 - last)) & (~0ull << first);
}

/* In the owned page at @pa. */
static Bit64u lines_of_others(Bit64u pa)
{
	return owned[pa >> 12] & OVERWRITTEN ? overwritten[pa >> 12] : 0;
}

Bit8u *host_page(Bit64u pa)
{
	if ((pa >> 12) >= tdx_nr_pages)
		return NULL;
	return BX_MEM(0)->getHostMemAddr(NULL, pa & ~0xfffull, BX_RW);
}

/*
 * The host kernel has cleared what it has freed.  Of such a page each copy of the machine
 * would have an entry in its page tables, to be copied and freed with it; given back to
 * the host, it reads as zeroes just as well.
 */
void memory_give_back(void)
{
	Bit8u *begin = NULL, *end = NULL;

	for (Bit64u n = 0; n < tdx_nr_pages; n++) {
		Bit8u *page = host_page(n << 12);

		if (!page || ((uintptr_t)page & 0xfff) || memcmp(page, zeroes, sizeof(zeroes)))
			continue;
		if (page != end) {
			if (begin)
				madvise(begin, end - begin, MADV_DONTNEED);
			begin = page;
		}
		end = page + sizeof(zeroes);
	}
	if (begin)
		madvise(begin, end - begin, MADV_DONTNEED);
}

/* ---- The module's ---- */

static void op_read(void *, uint64_t pa, void *buf, uint32_t len)
{
	const Bit8u *page = host_page(pa);

	if (page)
		memcpy(buf, page + (pa & 0xfff), len);
	else
		memset(buf, 0xff, len);
}

/* The module writes with the owner's key, as when a TD accepts a page. */
static void take_back(Bit64u pa, Bit32u len)
{
	if (!(owned[pa >> 12] & OVERWRITTEN) || (pa | len) % LINE)
		return;
	overwritten[pa >> 12] &= ~lines(pa, len);
	/* All of it is the owner's: whoever writes next has to hide it again. */
	if (!overwritten[pa >> 12]) {
		overwritten.erase(pa >> 12);
		owned[pa >> 12] &= ~OVERWRITTEN;
	}
}

static void op_write(void *, uint64_t pa, const void *buf, uint32_t len)
{
	Bit8u *page = host_page(pa);

	if (!page)
		return;
	take_back(pa, len);
	pageWriteStampTable.decWriteStamp(pa);
	memcpy(page + (pa & 0xfff), buf, len);
}

static uint64_t op_rdmsr(void *, unsigned int lp, uint32_t msr)
{
	Bit64u value = 0;

	/* Not what the TD sees, if it is in one. */
	if (msr == BX_MSR_TSC)
		return BX_CPU(lp)->get_TSC();
	BX_CPU(lp)->rdmsr(msr, &value);
	return value;
}

static void op_cpuid(void *, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	cpuid_function_t f;

	BX_CPU(0)->cpuid->get_cpuid_leaf(leaf, subleaf, &f);
	out[0] = f.eax;
	out[1] = f.ebx;
	out[2] = f.ecx;
	out[3] = f.edx;
}

/* Nothing is cached: Bochs tags no TLB entries, but forgets them all in a VM transition. */
static void op_invalidate(void *, unsigned int, uint64_t)
{
}

static bool op_host_interrupt_pending(void *, unsigned int lp)
{
	return BX_CPU(lp)->is_pending(BX_EVENT_PENDING_INTR | BX_EVENT_PENDING_LAPIC_INTR |
				      BX_EVENT_NMI | BX_EVENT_SMI | BX_EVENT_INIT);
}

void memory_ops(struct tdx_ops *ops)
{
	ops->read = op_read;
	ops->write = op_write;
	ops->rdmsr = op_rdmsr;
	ops->cpuid = op_cpuid;
	ops->invalidate = op_invalidate;
	ops->host_interrupt_pending = op_host_interrupt_pending;
	ops->virtual_interrupt_pending = virtual_interrupt_pending;
}

/* ---- Owners ---- */

/* In the lpf of a bx_TLB_entry: there is no pointer, look at each access. */
#define NO_POINTER	0x800

static bool fetched;	/* a TLB has the page of zeroes */

/* Call fn(entry) for each valid TLB entry of [pa, pa + size). */
template <typename F>
static void for_each_entry(BX_CPU_C *cpu, Bit64u pa, Bit64u size, F fn)
{
	for (unsigned i = 0; i < BX_DTLB_SIZE; i++)
		if (cpu->DTLB.entry[i].ppf - pa < size && cpu->DTLB.entry[i].valid())
			fn(&cpu->DTLB.entry[i]);
	for (unsigned i = 0; i < BX_ITLB_SIZE; i++)
		if (cpu->ITLB.entry[i].ppf - pa < size && cpu->ITLB.entry[i].valid())
			fn(&cpu->ITLB.entry[i]);
}

/* The instruction queue and the stack have pointers of their own. */
static void forget_pointers(BX_CPU_C *cpu)
{
	cpu->invalidate_prefetch_q();
	cpu->invalidate_stack_cache();
	cpu->iCache.breakLinks();
}

static void forget(BX_CPU_C *cpu, Bit64u pa, Bit64u size)
{
	bool hit = cpu->pAddrFetchPage - pa < size;

	for_each_entry(cpu, pa, size, [&hit](bx_TLB_entry *e) {
		e->invalidate();
		hit = true;
	});
	if (hit)
		forget_pointers(cpu);
}

static void forget_everywhere(Bit64u pa, Bit64u size)
{
	for (unsigned i = 0; i < BX_SMP_PROCESSORS; i++)
		forget(BX_CPU(i), pa, size);
}

static void clean(Bit64u page)
{
	if (owned[page] & DIRTY)
		dirty_keyid.erase(page);
	owned[page] &= ~DIRTY;
}

static void set_state(Bit64u pa, Bit64u size, Bit8u state)
{
	for (Bit64u page = pa >> 12; page < (pa + size) >> 12 && page < tdx_nr_pages; page++) {
		if (owned[page] & OVERWRITTEN)
			overwritten.erase(page);
		clean(page);
		owned[page] = state;
		/* Others see other code there. */
		pageWriteStampTable.decWriteStamp(page << 12);
	}
}

static void take(Bit64u pa, Bit64u size)
{
	set_state(pa, size, OWNED);
	forget_everywhere(pa, size);
}

/*
 * Without the key nobody reads what the owner left behind.  It would be no constant on
 * hardware, but here each run is to be the same.
 */
static void scramble(Bit64u pa, Bit64u size)
{
	for (const Bit64u end = pa + size; pa < end; pa += LINE)
		if (!(lines_of_others(pa) & lines(pa, LINE)))
			memset(host_page(pa) + (pa & 0xfff), CIPHERTEXT, LINE);
}

/*
 * What a TD leaves behind at its end is written back with all of the caches, but for
 * the TDR, which is of the global keyid.
 */
static bool leaves_dirty(const struct tdx_event *event)
{
	struct tdx_td_info td;

	return event->type == TDX_PT_TDR ||
	       (tdx_td_get(module(), event->tdr, &td) && td.lifecycle <= 1);
}

static void release(const struct tdx_event *event)
{
	const Bit64u first = event->pa >> 12, end = first + (event->size >> 12);
	const Bit8u stale = owned[first] & STALE;
	const bool dirty = looker.access && leaves_dirty(event);

	scramble(event->pa, event->size);
	set_state(event->pa, event->size, stale | (dirty ? DIRTY : 0));
	for (Bit64u page = first; dirty && page < end; page++)
		dirty_keyid[page] = event->keyid;
	/* Entries without a pointer do no harm, and go with the next change of CR3. */
	if (fetched)
		forget_everywhere(event->pa, event->size);
	if (event->type == TDX_PT_TDVPR)
		free_guest(event->pa);
}

/*
 * Have it noticed when a TD that runs now touches it.
 *
 * Return: whether one has it in a TLB.
 */
static bool hide_from_tds(Bit64u pa, Bit64u size)
{
	bool found = false;

	for (unsigned lp = 0; lp < BX_SMP_PROCESSORS; lp++) {
		bool hit = false;

		if (!BX_CPU(lp)->in_td)
			continue;
		for_each_entry(BX_CPU(lp), pa, size, [&hit](bx_TLB_entry *e) {
			e->hostPageAddr = 0;
			e->lpf |= NO_POINTER;
			hit = true;
		});
		if (hit)
			forget_pointers(BX_CPU(lp));
		found |= hit;
	}
	return found;
}

/* The use of translations that should not be there any more is of interest. */
static void unmap(const struct tdx_event *event)
{
	if (!looker.access || !hide_from_tds(event->pa, event->size))
		return;
	for (Bit64u pa = event->pa; pa < event->pa + event->size; pa += 4096)
		owned[pa >> 12] |= STALE;
}

static void flush(Bit64u page, Bit16u keyid)
{
	if (page < tdx_nr_pages && owned[page] & DIRTY && dirty_keyid[page] == keyid)
		clean(page);
}

static void watch(void *ctx, const struct tdx_event *event)
{
	/* Those who look on see the TLBs as they were. */
	if (looker.event)
		looker.event(looker.ctx, *(unsigned int *)ctx, event);
	switch (event->kind) {
	case TDX_OWNED:
	case TDX_PAMT_DONATED:
		take(event->pa, event->size);
		break;
	case TDX_UNMAPPED:
		unmap(event);
		break;
	case TDX_RELEASED:
		release(event);
		break;
	case TDX_FLUSHED:
		flush(event->pa >> 12, event->keyid);
		break;
	default:
		break;
	}
}

void memory_init(struct tdx_module *m)
{
	tdx_nr_pages = BX_MEM(0)->get_memory_len() >> 12;
	owned = new Bit8u[tdx_nr_pages]();
	tdx_owned = owned;
	tdx_watch(m, watch, &calling_lp);
}

void memory_forget_owners(void)
{
	set_state(0, tdx_nr_pages << 12, 0);
}

/* ---- Everybody else ---- */

/* Somebody else writes; returns whether the page takes it. */
static bool overwrite(Bit64u pa, Bit32u len)
{
	const Bit64u n = pa >> 12;
	struct tdx_page page;

	if (!(owned[n] & OVERWRITTEN)) {
		if (!tdx_page_owner(module(), pa, &page) || page.type != TDX_PT_REG)
			return false;
		owned[n] |= OVERWRITTEN;
		hide_from_tds(n << 12, 4096);
	}
	overwritten[n] |= lines(pa, len);
	/* Who executes there has got zeroes. */
	if (fetched)
		forget_everywhere(n << 12, 4096);
	return true;
}

/* An owned page as others see it. */
static void read_from_outside(Bit64u pa, Bit32u len, Bit8u *data)
{
	const Bit8u *page = host_page(pa);
	const Bit64u theirs = lines_of_others(pa);

	for (Bit32u i = 0, at = pa & 0xfff; i < len; i++, at++)
		data[i] = theirs >> at / LINE & 1 ? page[at] : 0;
}

/* A TD comes to a line that it does not own: what is in there is not what it wrote. */
static void check_integrity(BX_CPU_C *cpu, Bit64u pa, Bit32u len)
{
	if (cpu->in_td && lines_of_others(pa) & lines(pa, len))
		cpu->exception(BX_MC_EXCEPTION, 0);
}

/*
 * A page that is not quite somebody's is touched.
 *
 * Return: whether the access does not reach it.
 */
static bool look(const BX_CPU_C *cpu, enum tdx_access_kind kind, bx_phy_address pa,
		 unsigned len)
{
	Bit8u *state = &owned[pa >> 12];
	const bool hidden = *state & OWNED && !cpu->in_td;
	struct tdx_access access;

	access.kind = kind;
	access.lp = cpu->bx_cpuid;
	access.pa = pa;
	access.len = len;
	if (cpu->in_td) {
		if (!(*state & STALE))
			return false;
		*state &= ~STALE;
		access.kind = TDX_ACCESS_STALE;
	} else if (!hidden) {
		if (!(*state & DIRTY))
			return false;
		clean(pa >> 12);	/* once is enough */
	}
	if (looker.access)
		looker.access(looker.ctx, &access);
	return hidden;
}

bx_hostpageaddr_t tdx_hidden_page(BX_CPU_C *cpu, bx_phy_address paddr, unsigned rw)
{
	/* Bochs cannot fetch without a pointer. */
	if (rw != BX_EXECUTE)
		return 0;
	check_integrity(cpu, paddr & ~0xfffull, 4096);
	if (!look(cpu, TDX_ACCESS_FETCH, paddr, 0) || lines_of_others(paddr) == ~0ull)
		return (bx_hostpageaddr_t)BX_MEM(0)->getHostMemAddr(cpu, paddr, rw);
	fetched = true;
	return (bx_hostpageaddr_t)zeroes;
}

void tdx_hidden_read(BX_CPU_C *cpu, bx_phy_address paddr, unsigned len, void *data)
{
	check_integrity(cpu, paddr, len);
	if (look(cpu, TDX_ACCESS_READ, paddr, len))
		read_from_outside(paddr, len, (Bit8u *)data);
	else
		BX_MEM(0)->readPhysicalPage(cpu, paddr, len, data);
}

void tdx_hidden_write(BX_CPU_C *cpu, bx_phy_address paddr, unsigned len, void *data)
{
	check_integrity(cpu, paddr, len);
	if (!look(cpu, TDX_ACCESS_WRITE, paddr, len) || overwrite(paddr, len))
		BX_MEM(0)->writePhysicalPage(cpu, paddr, len, data);
}

extern "C" bool tdx_monitor_cached(unsigned int lp, uint64_t pa)
{
	bool hit = false;

	for_each_entry(BX_CPU(lp), pa & ~0xfffull, 4096, [&hit](bx_TLB_entry *) { hit = true; });
	return hit;
}
