// SPDX-License-Identifier: GPL-2.0-only
/*
 * The machine of the tests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "world.h"

struct world *w;

static void w_read(void *ctx, uint64_t pa, void *buf, uint32_t len)
{
	struct world *world = ctx;

	if ((pa & 0xfff) + len > 0x1000)
		abort();	/* the library promises not to cross pages */
	if (pa >= W_RAM)
		memset(buf, 0xff, len);
	else
		memcpy(buf, world->ram + pa, len);
}

static void w_write(void *ctx, uint64_t pa, const void *buf, uint32_t len)
{
	struct world *world = ctx;

	if ((pa & 0xfff) + len > 0x1000)
		abort();
	if (pa >= W_RAM)
		return;
	world->dirty[pa >> 12] = 1;
	memcpy(world->ram + pa, buf, len);
}

static uint64_t w_rdmsr(void *ctx, unsigned int lp, uint32_t msr)
{
	struct world *world = ctx;

	(void)lp;
	switch (msr) {
	case 0x10:
		return world->tsc++;
	case 0x3b:
		return world->tsc_adjust;
	case 0x1a0:
		return world->misc_enable;
	}
	abort();
}

static void w_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	(void)ctx;
	memset(out, 0, 16);
	switch (leaf) {
	case 0x0:
		out[0] = 0x21;
		break;
	case 0x1:
		out[0] = 0x000806f8;
		out[2] = out[3] = 0xffffffff;
		break;
	case 0x4:
		out[0] = subleaf < 4 ? 0x121 : 0;
		break;
	case 0x7:
		out[1] = out[2] = out[3] = 0xffffffff;
		break;
	case 0xd:
		out[0] = 0x100;
		out[1] = 0x240 + subleaf * 0x100;
		break;
	case 0x1f:
		out[0] = subleaf ? 4 : 1;
		out[1] = subleaf ? 4 : 2;
		out[2] = subleaf | (subleaf < 2 ? subleaf + 1 : 0) << 8;
		break;
	case 0x80000008:
		out[0] = 0x3034;
		break;
	}
}

static void (*invalidate)(void *ctx, unsigned int lp, uint64_t tdr);

static void w_invalidate(void *ctx, unsigned int lp, uint64_t tdr)
{
	struct world *world = ctx;

	world->nr_invalidations++;
	if (invalidate)
		invalidate(ctx, lp, tdr);
}

void world_on_invalidate(void (*fn)(void *ctx, unsigned int lp, uint64_t tdr))
{
	invalidate = fn;
}

static bool w_host_interrupt(void *ctx, unsigned int lp)
{
	(void)lp;
	return ((struct world *)ctx)->host_interrupt;
}

static bool w_virtual_interrupt(void *ctx, const struct tdx_vcpu *vcpu)
{
	(void)vcpu;
	return ((struct world *)ctx)->virtual_interrupt;
}

void world_create(struct world *world)
{
	const struct tdx_ops ops = {
		.ctx = world,
		.read = w_read,
		.write = w_write,
		.rdmsr = w_rdmsr,
		.cpuid = w_cpuid,
		.invalidate = w_invalidate,
		.host_interrupt_pending = w_host_interrupt,
		.virtual_interrupt_pending = w_virtual_interrupt,
	};

	if (tdx_create(&world->m, &world->cfg, &ops)) {
		fprintf(stderr, "tdx_create() refuses the test's configuration\n");
		exit(2);
	}
}

struct world *world_new(void)
{
	struct world *world = calloc(1, sizeof(*world));

	if (world)
		world->ram = calloc(1, W_RAM);
	if (!world || !world->ram)
		exit(2);
	tdx_config_default(&world->cfg);
	world->cfg.nr_lps = W_LPS;
	world->cfg.nr_pkgs = 2;
	world->cfg.nr_keyids = W_NR_KEYIDS;
	world->cfg.max_vcpus = 3;
	world->cfg.nr_cmrs = 1;
	world->cfg.cmrs[0] = (struct tdx_range) { W_CMR, W_RAM - W_CMR };
	world->cfg.secondary_controls = 1u << 30;
	world->cfg.seed = 1;
	world_create(world);
	world->next_page = W_PAGES;
	world->tsc = 1000;
	w = world;
	return world;
}

void world_free(struct world *world)
{
	tdx_destroy(world->m);
	free(world->ram);
	free(world);
}

void world_reset(struct world *world)
{
	tdx_destroy(world->m);
	for (uint64_t i = 0; i < W_RAM >> 12; i++)
		if (world->dirty[i]) {
			memset(world->ram + (i << 12), 0, 0x1000);
			world->dirty[i] = 0;
		}
	world->tsc = 1000;
	world->tsc_adjust = world->misc_enable = 0;
	world->next_page = W_PAGES;
	world->host_interrupt = world->virtual_interrupt = false;
	world_create(world);
}

uint64_t rd64(uint64_t pa)
{
	uint64_t v;

	memcpy(&v, w->ram + pa, sizeof(v));
	return v;
}

void wr64(uint64_t pa, uint64_t value)
{
	w_write(w, pa, &value, sizeof(value));
}

uint64_t page(void)
{
	const uint64_t pa = w->next_page;

	w->next_page += 0x1000;
	return pa;
}

uint64_t call_on(unsigned int lp, uint64_t leaf, uint64_t rcx, uint64_t rdx,
		 uint64_t r8, uint64_t r9)
{
	memset(&w->r, 0x5a, sizeof(w->r));
	w->r.r[TDX_RAX] = leaf;
	w->r.r[TDX_RCX] = rcx;
	w->r.r[TDX_RDX] = rdx;
	w->r.r[TDX_R8] = r8;
	w->r.r[TDX_R9] = r9;
	if (w->before)
		w->before(w, lp, &w->r);
	w->next = tdx_seamcall(w->m, lp, &w->r, &w->entered);
	if (w->next != TDX_RETURN)
		return w->next == TDX_ENTER ? 0 : ~0ull;
	codes_saw(leaf & 0xffff, w->r.r[TDX_RAX]);
	if (w->after)
		w->after(w, leaf & 0xffff, w->r.r[TDX_RAX]);
	return w->r.r[TDX_RAX];
}

uint64_t call(uint64_t leaf, uint64_t rcx, uint64_t rdx, uint64_t r8, uint64_t r9)
{
	return call_on(0, leaf, rcx, rdx, r8, r9);
}

void write_tdmr(void)
{
	const uint64_t info[] = {
		0, 1ull << 30,
		W_PAMT + 0x402000, 0x1000,	/* 1G */
		W_PAMT + 0x400000, 0x2000,	/* 2M */
		W_PAMT, 0x400000,		/* 4K */
		0, W_CMR,
		W_PAMT, 0x403000,
		W_RAM, (1ull << 30) - W_RAM,
	};

	wr64(W_ARRAY, W_TDMR_INFO);
	for (unsigned int i = 0; i < 8 + 32; i++)
		wr64(W_TDMR_INFO + 8 * i, i < sizeof(info) / 8 ? info[i] : 0);
}

void write_params(void)
{
	for (unsigned int i = 0; i < 1024; i += 8)
		wr64(W_PARAMS + i, 0);
	wr64(W_PARAMS, 1ull << 28);		/* SEPT_VE_DISABLE */
	wr64(W_PARAMS + 8, 0x3);		/* XFAM */
	wr64(W_PARAMS + 16, 2);			/* max_vcpus */
	wr64(W_PARAMS + 24, 0x1e);		/* 4 levels, WB */
	wr64(W_PARAMS + 32, 4);			/* NO_RBP_MOD */
	wr64(W_PARAMS + 40, 8);			/* 200 MHz */
}

#define MUST(expression) do {							\
	const uint64_t status_ = (expression);					\
	if (status_) {								\
		fprintf(stderr, "%s:%d: %s: %s (%#llx)\n", __FILE__, __LINE__,	\
			#expression, tdx_status_name(status_),			\
			(unsigned long long)status_);				\
		exit(2);							\
	}									\
} while (0)

void sys_inited(void)
{
	MUST(call(TDH_SYS_INIT, 0, 0, 0, 0));
	for (unsigned int lp = 0; lp < W_LPS; lp++)
		MUST(call_on(lp, TDH_SYS_LP_INIT, 0, 0, 0, 0));
}

void sys_configured(void)
{
	sys_inited();
	write_tdmr();
	MUST(call(TDH_SYS_CONFIG, W_ARRAY, 1, W_GLOBAL_KEYID, 0));
}

void sys_ready(void)
{
	sys_configured();
	MUST(call_on(0, TDH_SYS_KEY_CONFIG, 0, 0, 0, 0));
	MUST(call_on(2, TDH_SYS_KEY_CONFIG, 0, 0, 0, 0));
	do {
		MUST(call(TDH_SYS_TDMR_INIT, 0, 0, 0, 0));
	} while (w->r.r[TDX_RDX] < 1ull << 30);
}

void td_created(struct w_td *td)
{
	memset(td, 0, sizeof(*td));
	td->tdr = page();
	for (td->keyid = W_KEYID; call(TDH_MNG_CREATE, td->tdr, td->keyid, 0, 0); td->keyid++)
		if (td->keyid == W_GLOBAL_KEYID + W_NR_KEYIDS - 1)
			MUST(w->r.r[TDX_RAX]);
}

void td_keyed(struct w_td *td)
{
	td_created(td);
	MUST(call_on(0, TDH_MNG_KEY_CONFIG, td->tdr, 0, 0, 0));
	MUST(call_on(2, TDH_MNG_KEY_CONFIG, td->tdr, 0, 0, 0));
}

void td_with_tdcs(struct w_td *td)
{
	td_keyed(td);
	for (unsigned int i = 0; i < 6; i++) {
		td->tdcs[i] = page();
		MUST(call(TDH_MNG_ADDCX, td->tdcs[i], td->tdr, 0, 0));
	}
}

void td_inited(struct w_td *td)
{
	td_with_tdcs(td);
	write_params();
	MUST(call(TDH_MNG_INIT, td->tdr, W_PARAMS, 0, 0));
}

void td_tables(struct w_td *td)
{
	for (unsigned int i = 0; i < 3; i++) {
		td->table[i] = page();
		MUST(call(TDH_MEM_SEPT_ADD, 3 - i, td->tdr, td->table[i], 0));
	}
}

void vcpu_created(struct w_td *td, struct w_vcpu *v)
{
	v->tdvpr = page();
	MUST(call(TDH_VP_CREATE, v->tdvpr, td->tdr, 0, 0));
}

void vcpu_with_tdcx(struct w_td *td, struct w_vcpu *v)
{
	vcpu_created(td, v);
	for (unsigned int i = 0; i < 5; i++) {
		v->tdcx[i] = page();
		MUST(call(TDH_VP_ADDCX, v->tdcx[i], v->tdvpr, 0, 0));
	}
}

void vcpu_inited(struct w_td *td, struct w_vcpu *v)
{
	vcpu_with_tdcx(td, v);
	/* its address is an x2APIC ID as good as any */
	MUST(call(TDH_VP_INIT | 1 << 16, v->tdvpr, 0x1234, v->tdvpr, 0));
}

void td_finalized(struct w_td *td)
{
	MUST(call(TDH_MR_FINALIZE, td->tdr, 0, 0, 0));
}

void td_runnable(struct w_td *td, struct w_vcpu *v)
{
	td_inited(td);
	td_tables(td);
	vcpu_inited(td, v);
	td_finalized(td);
}

void td_blocked(struct w_td *td, struct w_vcpu *v)
{
	td_runnable(td, v);
	MUST(call(TDH_VP_FLUSH, v->tdvpr, 0, 0, 0));
	MUST(call(TDH_MNG_VPFLUSHDONE, td->tdr, 0, 0, 0));
}

void td_torn_down(struct w_td *td, struct w_vcpu *v)
{
	td_blocked(td, v);
	MUST(call_on(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	MUST(call_on(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0));
	MUST(call(TDH_MNG_KEY_FREEID, td->tdr, 0, 0, 0));
}

void enter(struct w_vcpu *v)
{
	MUST(call(TDH_VP_ENTER, v->tdvpr, 0, 0, 0));
	MUST(w->next != TDX_ENTER);
}

void leave_td(void)
{
	const struct tdx_exit interrupt = { .reason = 1, .intr_info = 0x800000f2 };

	MUST(tdx_td_exit(w->m, w->entered, &interrupt, &w->r) != TDX_EXIT_FAULT);
}
