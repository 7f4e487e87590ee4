/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What lib/order.bpf.c and lib/order.c share: the layout of an event, and of what is
 * known of a page.
 */
#ifndef ORDER_BPF_SHARED_H
#define ORDER_BPF_SHARED_H

/* What happened: a SEAMCALL that returned, by its leaf; or in the kernel. */
enum order_what {
	ORDER_PAGE_ADD		= 2,
	ORDER_MNG_ADDCX		= 1,
	ORDER_SEPT_ADD		= 3,
	ORDER_VP_ADDCX		= 4,
	ORDER_PAGE_AUG		= 6,
	ORDER_RANGE_BLOCK	= 7,
	ORDER_MNG_CREATE	= 9,
	ORDER_VP_CREATE		= 10,
	ORDER_MR_FINALIZE	= 17,
	ORDER_VP_FLUSH		= 18,
	ORDER_VPFLUSHDONE	= 19,
	ORDER_KEY_FREEID	= 20,
	ORDER_PAGE_RECLAIM	= 28,
	ORDER_PAGE_REMOVE	= 29,
	ORDER_TRACK		= 38,
	ORDER_CACHE_WB		= 40,
	ORDER_PAGE_WBINVD	= 41,
	ORDER_NR_LEAVES,
	ORDER_TDR_WBINVD,		/* PAGE.WBINVD of a TDR; only between the two files */

	ORDER_BEGIN		= 256,	/* KVM's MMU starts to invalidate */
	ORDER_END,			/* and is done */
	ORDER_FLUSH_SLOT,		/* starts to zap a memory slot that goes */
	ORDER_DESTROY,			/* the VM is about to be destroyed */
	ORDER_UNCACHE,			/* a page leaves the page cache */
	ORDER_FREE,			/* a page goes back to the allocator */
	ORDER_ALLOC,			/* it is handed out although a TD maps it */
};

#define ORDER_NO_PAGE	(~0ull)

/**
 * struct order_event - one thing that happened
 * @ns:     when, on the clock of bpf_ktime_get_ns(), which is CLOCK_MONOTONIC
 * @tdr:    physical address of the TD's TDR; 0 if no single TD is meant
 * @pfn:    the page, or ORDER_NO_PAGE
 * @gpa:    of a page that is or was in a S-EPT, or of a S-EPT page
 * @status: what the TDX module said
 * @tid:    thread
 * @cpu:    where
 * @what:   enum order_what
 */
struct order_event {
	__u64 ns, tdr, pfn, gpa, status;
	__u32 tid;
	__u16 cpu, what;
};

enum order_kind {
	ORDER_DATA,		/* in the S-EPT */
	ORDER_SEPT,		/* of the S-EPT */
	ORDER_CONTROL,		/* TDR, TDCS, TDVPR, TDCX */
};

enum order_state {
	ORDER_PENDING,		/* the SEAMCALL that adds it has not returned */
	ORDER_OWNED,		/* by the TD */
	ORDER_RETURNED,		/* removed or reclaimed */
};

/**
 * struct order_page - a page that was given to a TD
 * @added:    when it was; all times as in struct order_event
 * @uncached: when it left the page cache while the TD had it; 0 if it did not
 * @freed:    when it was freed while the TD had it; likewise
 * @reused:   when it was handed out again thereafter; likewise
 */
struct order_page {
	__u64 tdr, gpa, added, uncached, freed, reused;
	__u32 kind, state;
};

#endif
