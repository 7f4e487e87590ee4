/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORLD_H
#define WORLD_H

#include "../tdx_module.h"

/*
 * A machine for the module to live in: 32M of memory, four LPs in two packages,
 * eight private keyids, and shortcuts to bring the module and TDs into any state.
 *
 * Memory, from the bottom: reserved up to 1M, PAMTs up to 6M, the host VMM's
 * buffers up to 8M, and then pages to donate, of which W_2M can go as one.
 */
#define W_RAM		(32ull << 20)
#define W_CMR		(1ull << 20)
#define W_PAMT		(1ull << 20)
#define W_ARRAY		(6ull << 20)		/* TDMR_INFO pointers */
#define W_TDMR_INFO	(W_ARRAY + 0x1000)
#define W_PARAMS	(W_ARRAY + 0x2000)	/* TD_PARAMS */
#define W_SOURCE	(W_ARRAY + 0x3000)	/* for PAGE.ADD */
#define W_SHARED	(W_ARRAY + 0x4000)	/* posted interrupts, shared EPT */
#define W_PAGES		(8ull << 20)
#define W_2M		(24ull << 20)

#define W_LPS		4
#define W_GLOBAL_KEYID	32
#define W_KEYID		33
#define W_NR_KEYIDS	8
#define W_KEYID_SHIFT	46

#define GPA_SHARED	(1ull << 47)

struct world {
	struct tdx_config cfg;
	struct tdx_module *m;
	uint8_t *ram;
	uint8_t dirty[W_RAM >> 12];
	uint64_t tsc, tsc_adjust, misc_enable;
	unsigned int nr_invalidations;
	bool host_interrupt, virtual_interrupt;
	uint64_t next_page;

	/* the last call */
	struct tdx_regs r;
	struct tdx_vcpu *entered;
	enum tdx_seamcall_next next;
	/* called before and after each SEAMCALL; may be NULL */
	void (*before)(struct world *w, unsigned int lp, const struct tdx_regs *regs);
	void (*after)(struct world *w, unsigned int leaf, uint64_t status);
};

/* Where a TD's pages are. */
struct w_td {
	uint64_t tdr, tdcs[6];
	uint16_t keyid;
	uint64_t table[3];	/* S-EPT pages for GPA 0 up to 2M, level 3 first */
};

struct w_vcpu {
	uint64_t tdvpr, tdcx[5];
};

extern struct world *w;		/* the one that the shortcuts use */

struct world *world_new(void);
void world_free(struct world *world);
/* The module, as the world's configuration says; part of world_new(). */
void world_create(struct world *world);
/* A new module in the same world, all memory zeroed. */
void world_reset(struct world *world);

/* Call @fn, too, when the module drops translations. */
void world_on_invalidate(void (*fn)(void *ctx, unsigned int lp, uint64_t tdr));

uint64_t rd64(uint64_t pa);
void wr64(uint64_t pa, uint64_t value);
/* A page that was never handed out before. */
uint64_t page(void);

/* SEAMCALL on LP 0, or another; @leaf may have a version.  Return: RAX. */
uint64_t call(uint64_t leaf, uint64_t rcx, uint64_t rdx, uint64_t r8, uint64_t r9);
uint64_t call_on(unsigned int lp, uint64_t leaf, uint64_t rcx, uint64_t rdx,
		 uint64_t r8, uint64_t r9);

/* Good TDMR_INFO and TD_PARAMS. */
void write_tdmr(void);
void write_params(void);

/*
 * Bring things into a state.  They end the program if that fails, since nothing
 * could be tested then.
 */
void sys_inited(void);		/* SYS.INIT, SYS.LP.INIT on all */
void sys_configured(void);	/* SYS.CONFIG */
void sys_ready(void);		/* SYS.KEY.CONFIG, SYS.TDMR.INIT */
void td_created(struct w_td *td);
void td_keyed(struct w_td *td);
void td_with_tdcs(struct w_td *td);
void td_inited(struct w_td *td);
void td_tables(struct w_td *td);	/* SEPT.ADD for GPA 0 up to 2M */
void vcpu_created(struct w_td *td, struct w_vcpu *v);
void vcpu_with_tdcx(struct w_td *td, struct w_vcpu *v);
void vcpu_inited(struct w_td *td, struct w_vcpu *v);
void td_finalized(struct w_td *td);
/* All in one: tables, one vCPU on LP 0, finalized. */
void td_runnable(struct w_td *td, struct w_vcpu *v);
void td_blocked(struct w_td *td, struct w_vcpu *v);	/* keyid flushed */
void td_torn_down(struct w_td *td, struct w_vcpu *v);	/* keyid freed */
/* Enter; the guest's registers are in w->r, the vCPU in w->entered. */
void enter(struct w_vcpu *v);
/* Leave by an interrupt. */
void leave_td(void);

#endif
