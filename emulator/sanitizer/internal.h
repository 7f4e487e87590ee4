/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SANITIZER_INTERNAL_H
#define SANITIZER_INTERNAL_H

#include "symbols.h"
#include "tdx_sanitizer.h"

#define PAGE_SIZE	4096ull
#define BLOCK_PAGES	512
#define BLOCK_BYTES	(BLOCK_PAGES * PAGE_SIZE)
#define GPA_MASK	0x000ffffffffff000ull

#define HISTORY		8	/* calls kept per page */
#define MAX_PAMTS	(3 * TDX_MAX_TDMRS)
#define MAX_TOUCHED	8	/* pages that one call changes, but for SYS.DISABLE */
#define MAX_REPORTS	64	/* kept until they are taken */
#define MAX_STALE	8
#define MAX_FRAMES	16
#define MAX_PENDING	4	/* reports that one call makes */
#define MAX_ORIGINS	64
#define PER_ORIGIN	4	/* reports of a rule from one place, the rest is counted */

/* struct tdx_td_info */
#define LIFECYCLE_KEYS_CONFIGURED 1
#define OP_STATE_RUNNABLE 2

enum page_state { PAGE_FREE, PAGE_OWNED, PAGE_DIRTY };

/* A call in the past of a page. */
struct past {
	uint64_t time, status, tdr;
	uint32_t leaf;		/* RAX */
	uint16_t lp;
	bool guest, injected;
};

/*
 * @told:  rules that were reported since its state last changed; one write of a
 *         page is hundreds of accesses
 * @epoch: TLB epoch in which it was blocked
 */
struct page {
	uint8_t state, type, level, nr_history;
	uint16_t keyid;
	bool mapped, blocked;
	uint32_t told;
	uint64_t tdr, gpa, epoch;
	struct past *history;
};

struct td {
	struct td *next;
	uint64_t tdr;
	uint16_t keyid;
	uint64_t nr_pages;	/* with the TDR */
	uint64_t nr_private;
};

/* A report whose call has not ended yet, so that its history is complete. */
struct pending {
	enum tdx_rule rule;
	uint64_t pa;
	char what[256];
	struct page page;	/* when it happened */
};

struct tdx_sanitizer {
	struct tdx_module *m;
	const struct tdx_config *config;
	struct tdx_san_ops ops;
	struct symbols *symbols;
	enum tdx_san_mode mode;

	struct page **blocks;	/* by PA; NULL where no page ever was a TD's */
	uint64_t nr_blocks;
	struct td *tds;
	struct {
		bool flushing;	/* VPFLUSHDONE was called */
		uint32_t dirty;	/* packages whose caches may have lines of it */
	} keyids[TDX_MAX_KEYIDS];
	unsigned int nr_pamts;
	struct tdx_range pamts[MAX_PAMTS];
	struct {
		uint64_t tdr;	/* of the TD that it runs in, or 0 */
		unsigned int nr_stale;	/* pages that its TLB has and must not */
		uint64_t stale[MAX_STALE];
	} lps[TDX_MAX_LPS];

	bool adopt_tdrs;
	/* the call in progress */
	unsigned int lp, leaf;
	uint64_t time;		/* of the last call */
	uint64_t touched[MAX_TOUCHED];
	unsigned int nr_touched;

	struct {
		enum tdx_rule rule;
		uint64_t rip, caller;
		unsigned int nr;
	} origins[MAX_ORIGINS];
	unsigned int nr_origins;

	struct pending pending[MAX_PENDING];
	unsigned int nr_pending;
	char *reports[MAX_REPORTS], *taken;
	unsigned int first_report, nr_reports;
	uint64_t count;
};

/* sanitizer.c */
struct page *find_page(const struct tdx_sanitizer *s, uint64_t pa);
uint64_t mapped_page(const struct tdx_sanitizer *s, uint64_t tdr, uint64_t gpa);

/* report.c */
void report(struct tdx_sanitizer *s, enum tdx_rule rule, uint64_t pa, const char *what, ...)
	__attribute__((format(printf, 4, 5)));
void send_reports(struct tdx_sanitizer *s);
bool frees_pages(struct tdx_sanitizer *s, unsigned int lp);

#endif
