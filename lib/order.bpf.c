// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel side of the order trace.
 *
 * SEAMCALLs are seen at the kernel's wrappers, tdh_...(), at their entry for the
 * operands and at their return for the status.  By kprobes and not by fentry, as for
 * that every program would have to be bound to one function's BTF; and no structure
 * is looked into but for its first member, hence no CO-RE: so the kernel's BTF need
 * not be parsed, which takes seconds in an emulated machine.  The assembly below the
 * wrappers, one place for all of them, cannot be probed ("notrace").
 *
 * Wrappers took a struct page in some kernels and take a PFN in others; which it is
 * shows by its value.
 *
 * Events stand in a ring buffer.  It is reserved under one lock, so their places
 * are an order of all CPUs' events.
 *
 * Whose events: TDs that are created by a process that is followed; the pages that
 * these are given; and struct kvm that such a process has used.
 */
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "order.bpf.h"

#define PAGE_SHIFT	12
#define GPA_MASK	(~0xfffull)
#define MAX_PAGES	16384
#define MAX_ORDER	10
#define KERNEL_HALF	0xff00000000000000ull	/* no PFN is up there, all pointers are */

/* A SEAMCALL that has not returned. */
struct call {
	__u64 leaf, tdr, pfn, gpa;
};

/* Which one it is: of a thread, or of what interrupted it. */
struct caller {
	__u32 tid, leaf;
};

struct place {
	__u64 tdr, gpa;
};

#define HASH(name, key_type, value_type, nr)		\
struct {						\
	__uint(type, BPF_MAP_TYPE_HASH);		\
	__uint(max_entries, nr);			\
	__type(key, key_type);				\
	__type(value, value_type);			\
} name SEC(".maps")

HASH(order_followed, __u32, __u8, 64);			/* tgid */
HASH(order_kvms, __u64, __u8, 64);			/* address of struct kvm */
HASH(order_tds, __u64, __u8, 256);			/* address of TDR */
HASH(order_calls, struct caller, struct call, 256);
HASH(order_pages, __u64, struct order_page, MAX_PAGES);	/* PFN */
HASH(order_places, struct place, __u64, MAX_PAGES);	/* PFN there */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2 << 20);
} order_ring SEC(".maps");

__u64 order_vmemmap;		/* address of the struct page of PFN 0 */
__u64 order_page_bytes;		/* of a struct page */
__u64 order_dropped;		/* out: events for which there was no room */
__u64 order_full;		/* out: pages, TDs, ... that found no room in a map */
__u64 order_lost;		/* out: pages freed while a TD has them */
__u64 order_confused;		/* out: structures that are not as they should be */

static __always_inline void emit(__u16 what, __u64 tdr, __u64 pfn, __u64 gpa, __u64 status)
{
	struct order_event e = {
		.ns = bpf_ktime_get_ns(),
		.tdr = tdr,
		.pfn = pfn,
		.gpa = gpa,
		.status = status,
		.tid = bpf_get_current_pid_tgid(),
		.cpu = bpf_get_smp_processor_id(),
		.what = what,
	};

	if (bpf_ringbuf_output(&order_ring, &e, sizeof(e), BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&order_dropped, 1);
}

static __always_inline void put(void *map, const void *key, const void *value)
{
	if (bpf_map_update_elem(map, key, value, BPF_ANY))
		__sync_fetch_and_add(&order_full, 1);
}

static __always_inline int is_followed(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&order_followed, &tgid) != NULL;
}

static __always_inline __u64 pfn_of(__u64 page)
{
	return (page - order_vmemmap) / order_page_bytes;
}

/* A PFN, given as such or by its struct page. */
static __always_inline __u64 either(__u64 pfn_or_page)
{
	return pfn_or_page >= KERNEL_HALF ? pfn_of(pfn_or_page) : pfn_or_page;
}

/* The page that the first member of a structure points to: TDR, or TDVPR. */
static __always_inline __u64 root_of(__u64 structure)
{
	__u64 page = 0;

	if (bpf_probe_read_kernel(&page, sizeof(page), (void *)structure) ||
	    page < order_vmemmap)
		__sync_fetch_and_add(&order_confused, 1);
	return pfn_of(page);
}

static __always_inline __u64 owner_of(__u64 pfn)
{
	struct order_page *page = bpf_map_lookup_elem(&order_pages, &pfn);

	return page ? page->tdr : 0;
}

/*
 * Which TD a call is about, and which page.  0 if it is of no interest; CACHE.WB is
 * about all TDs.
 */
static __always_inline int understand(struct call *c, struct pt_regs *ctx)
{
	const __u64 a1 = PT_REGS_PARM1(ctx), a2 = PT_REGS_PARM2(ctx);
	struct place place = {};
	__u64 *pfn;

	c->pfn = ORDER_NO_PAGE;
	switch (c->leaf) {
	case ORDER_PAGE_ADD:
		c->pfn = either(PT_REGS_PARM3(ctx));
		break;
	case ORDER_PAGE_AUG:
	case ORDER_SEPT_ADD:
		c->pfn = either(PT_REGS_PARM4(ctx));
		break;
	case ORDER_MNG_ADDCX:
		c->pfn = either(a2);
		break;
	case ORDER_VP_CREATE:
		c->pfn = root_of(a2);
		break;
	case ORDER_VP_ADDCX:
		c->tdr = owner_of(root_of(a1));
		c->pfn = either(a2);
		break;
	case ORDER_VP_FLUSH:
		c->pfn = root_of(a1);
		c->tdr = owner_of(c->pfn);
		break;
	case ORDER_PAGE_RECLAIM:
		c->pfn = either(a1);
		c->tdr = owner_of(c->pfn);
		break;
	case ORDER_PAGE_WBINVD:
		c->pfn = either(a2);
		c->tdr = owner_of(c->pfn);
		break;
	case ORDER_TDR_WBINVD:
	case ORDER_MNG_CREATE:
		c->pfn = root_of(a1);
		break;
	case ORDER_CACHE_WB:
		return 1;
	}
	if (c->leaf != ORDER_VP_ADDCX && c->leaf != ORDER_VP_FLUSH &&
	    c->leaf != ORDER_PAGE_RECLAIM && c->leaf != ORDER_PAGE_WBINVD)
		c->tdr = root_of(a1) << PAGE_SHIFT;
	if (c->leaf == ORDER_PAGE_ADD || c->leaf == ORDER_PAGE_AUG || c->leaf == ORDER_SEPT_ADD ||
	    c->leaf == ORDER_RANGE_BLOCK || c->leaf == ORDER_PAGE_REMOVE)
		c->gpa = a2 & GPA_MASK;

	if (!bpf_map_lookup_elem(&order_tds, &c->tdr))
		return 0;
	if (c->leaf == ORDER_RANGE_BLOCK || c->leaf == ORDER_PAGE_REMOVE) {
		place.tdr = c->tdr;
		place.gpa = c->gpa;
		pfn = bpf_map_lookup_elem(&order_places, &place);
		if (pfn)
			c->pfn = *pfn;
	}
	return 1;
}

/* What kind of page a call gives to a TD, or -1. */
static __always_inline int gives(__u64 leaf)
{
	switch (leaf) {
	case ORDER_PAGE_ADD:
	case ORDER_PAGE_AUG:
		return ORDER_DATA;
	case ORDER_SEPT_ADD:
		return ORDER_SEPT;
	case ORDER_MNG_CREATE:
	case ORDER_MNG_ADDCX:
	case ORDER_VP_CREATE:
	case ORDER_VP_ADDCX:
		return ORDER_CONTROL;
	default:
		return -1;
	}
}

static __always_inline struct caller caller_of(__u64 leaf)
{
	struct caller caller = { .tid = bpf_get_current_pid_tgid(), .leaf = leaf };

	/* There is an idle thread on each CPU. */
	if (!caller.tid)
		caller.tid = ~bpf_get_smp_processor_id();
	return caller;
}

/* At the entry of a wrapper.  The cookie is the leaf. */
SEC("kprobe")
int order_enter(struct pt_regs *ctx)
{
	struct call c = { .leaf = bpf_get_attach_cookie(ctx) };
	struct caller caller = caller_of(c.leaf);
	struct order_page page = {}, *known;
	const __u8 one = 1;
	__u64 tdr;

	if (c.leaf == ORDER_MNG_CREATE && is_followed()) {
		tdr = root_of(PT_REGS_PARM1(ctx)) << PAGE_SHIFT;
		put(&order_tds, &tdr, &one);
	}
	if (!understand(&c, ctx))
		return 0;

	/* Now, as it may be freed before the call has returned. */
	if (gives(c.leaf) >= 0) {
		known = bpf_map_lookup_elem(&order_pages, &c.pfn);
		if (!known || known->state == ORDER_RETURNED) {
			page.tdr = c.tdr;
			page.gpa = c.gpa;
			page.kind = gives(c.leaf);
			put(&order_pages, &c.pfn, &page);
		}
	}
	put(&order_calls, &caller, &c);
	return 0;
}

static __always_inline void gave(const struct call *c, __u64 status)
{
	struct place place = { .tdr = c->tdr, .gpa = c->gpa };
	struct order_page *page = bpf_map_lookup_elem(&order_pages, &c->pfn);

	if (!page || page->state != ORDER_PENDING)
		return;
	if (status) {
		bpf_map_delete_elem(&order_pages, &c->pfn);
		return;
	}
	page->state = ORDER_OWNED;
	page->added = bpf_ktime_get_ns();
	if (page->kind == ORDER_DATA)
		put(&order_places, &place, &c->pfn);
}

static __always_inline void took(const struct call *c)
{
	struct place place = { .tdr = c->tdr, .gpa = c->gpa };
	struct order_page *page = bpf_map_lookup_elem(&order_pages, &c->pfn);

	if (page)
		page->state = ORDER_RETURNED;
	if (c->leaf == ORDER_PAGE_REMOVE)
		bpf_map_delete_elem(&order_places, &place);
}

SEC("kretprobe")
int order_leave(struct pt_regs *ctx)
{
	struct caller caller = caller_of(bpf_get_attach_cookie(ctx));
	struct call *found = bpf_map_lookup_elem(&order_calls, &caller), c;
	const __u64 status = PT_REGS_RC(ctx);

	if (!found)
		return 0;
	c = *found;
	bpf_map_delete_elem(&order_calls, &caller);
	if (gives(c.leaf) >= 0)
		gave(&c, status);
	if (!status && (c.leaf == ORDER_PAGE_REMOVE || c.leaf == ORDER_PAGE_RECLAIM))
		took(&c);
	emit(c.leaf == ORDER_TDR_WBINVD ? ORDER_PAGE_WBINVD : c.leaf, c.tdr, c.pfn, c.gpa, status);
	return 0;
}

static __always_inline int of_kvm(struct pt_regs *ctx, __u16 what)
{
	__u64 kvm = PT_REGS_PARM1(ctx);
	const __u8 one = 1;

	if (is_followed())
		put(&order_kvms, &kvm, &one);
	else if (!bpf_map_lookup_elem(&order_kvms, &kvm))
		return 0;
	if (what == ORDER_DESTROY)
		bpf_map_delete_elem(&order_kvms, &kvm);
	emit(what, 0, ORDER_NO_PAGE, 0, 0);
	return 0;
}

SEC("kprobe")
int order_begin(struct pt_regs *ctx)
{
	return of_kvm(ctx, ORDER_BEGIN);
}

SEC("kprobe")
int order_end(struct pt_regs *ctx)
{
	return of_kvm(ctx, ORDER_END);
}

SEC("kprobe")
int order_flush_slot(struct pt_regs *ctx)
{
	return of_kvm(ctx, ORDER_FLUSH_SLOT);
}

SEC("kprobe")
int order_destroy(struct pt_regs *ctx)
{
	return of_kvm(ctx, ORDER_DESTROY);
}

SEC("raw_tp")
int order_uncache(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 pfn = pfn_of(ctx->args[0]);
	struct order_page *page = bpf_map_lookup_elem(&order_pages, &pfn);

	if (!page)
		return 0;
	if (page->state != ORDER_RETURNED)
		page->uncached = bpf_ktime_get_ns();
	emit(ORDER_UNCACHE, page->tdr, pfn, page->gpa, 0);
	return 0;
}

static long free_one(__u32 i, void *arg)
{
	__u64 pfn = *(__u64 *)arg + i, tdr;
	struct order_page *page = bpf_map_lookup_elem(&order_pages, &pfn);

	if (!page)
		return 0;
	tdr = page->tdr;
	emit(ORDER_FREE, tdr, pfn, page->gpa, 0);
	if (page->state == ORDER_RETURNED) {
		if (pfn << PAGE_SHIFT == tdr)
			bpf_map_delete_elem(&order_tds, &tdr);
		bpf_map_delete_elem(&order_pages, &pfn);
	} else {
		page->freed = bpf_ktime_get_ns();
		__sync_fetch_and_add(&order_lost, 1);
	}
	return 0;
}

static long alloc_one(__u32 i, void *arg)
{
	__u64 pfn = *(__u64 *)arg + i;
	struct order_page *page = bpf_map_lookup_elem(&order_pages, &pfn);

	if (!page || !page->freed || page->reused)
		return 0;
	page->reused = bpf_ktime_get_ns();
	emit(ORDER_ALLOC, page->tdr, pfn, page->gpa, 0);
	return 0;
}

SEC("raw_tp")
int order_free(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 pfn = pfn_of(ctx->args[0]);
	__u32 order = ctx->args[1];

	if (!order)
		free_one(0, &pfn);
	else if (order <= MAX_ORDER)
		bpf_loop(1u << order, free_one, &pfn, 0);
	return 0;
}

SEC("raw_tp")
int order_alloc(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 pfn = pfn_of(ctx->args[0]);
	__u32 order = ctx->args[1];

	/* All allocations of the machine come here. */
	if (!order_lost || !ctx->args[0])
		return 0;
	if (!order)
		alloc_one(0, &pfn);
	else if (order <= MAX_ORDER)
		bpf_loop(1u << order, alloc_one, &pfn, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
