// SPDX-License-Identifier: GPL-2.0-only
/*
 * The user side of the order trace: load the programs, put them where the kernel has
 * a place for them, and collect the events.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf_complaint.h"
#include "folio.h"
#include "folio_bpf.h"
#include "order.h"
#include "order.skel.h"

#define MAX_LINKS	48

struct order {
	struct order_prog *skel;
	struct bpf_link *links[MAX_LINKS];
	unsigned int nr_links;
	struct ring_buffer *ring;
	struct order_event *events;
	size_t nr, room;
	bool no_memory;
	char sources[512];
};

static char why[640];

static void remember(struct order *o, const char *kind, const char *name)
{
	const size_t used = strlen(o->sources);

	snprintf(o->sources + used, sizeof(o->sources) - used, "%s%s %s",
		 used ? ", " : "", kind, name);
}

static int keep(struct order *o, struct bpf_link *link)
{
	if (!link)
		return -errno;
	o->links[o->nr_links++] = link;
	return 0;
}

/* A function, under the name that this kernel knows; @other may be NULL. */
static int probe(struct order *o, struct bpf_program *prog, bool at_return, __u64 cookie,
		 const char *name, const char *other)
{
	LIBBPF_OPTS(bpf_kprobe_opts, opts, .retprobe = at_return, .bpf_cookie = cookie);
	const char *kind = at_return ? "kretprobe" : "kprobe", *known = name;
	int err = keep(o, bpf_program__attach_kprobe_opts(prog, known, &opts));

	if (err && other) {
		known = other;
		err = keep(o, bpf_program__attach_kprobe_opts(prog, known, &opts));
	}
	if (!err && !cookie)
		remember(o, kind, known);
	if (err)
		snprintf(why, sizeof(why), "no %s on %s()%s%s (%s): the kernel needs CONFIG_KPROBES=y and CONFIG_BPF_EVENTS=y, and this function",
			 kind, name, other ? " or " : "", other ?: "", strerror(-err));
	return err;
}

static int tracepoint(struct order *o, struct bpf_program *prog, const char *name)
{
	int err = keep(o, bpf_program__attach_raw_tracepoint(prog, name));

	if (!err)
		remember(o, "tracepoint", name);
	else
		snprintf(why, sizeof(why), "no tracepoint %s (%s): the kernel needs CONFIG_BPF_EVENTS=y",
			 name, strerror(-err));
	return err;
}

/* arch/x86/virt/vmx/tdx/tdx.c, in vmlinux also where KVM is a module. */
static const struct {
	const char *function;
	__u64 leaf;
} wrappers[] = {
	{ "tdh_mng_create", ORDER_MNG_CREATE },
	{ "tdh_mng_addcx", ORDER_MNG_ADDCX },
	{ "tdh_vp_create", ORDER_VP_CREATE },
	{ "tdh_vp_addcx", ORDER_VP_ADDCX },
	{ "tdh_mem_sept_add", ORDER_SEPT_ADD },
	{ "tdh_mem_page_add", ORDER_PAGE_ADD },
	{ "tdh_mr_finalize", ORDER_MR_FINALIZE },
	{ "tdh_mem_page_aug", ORDER_PAGE_AUG },
	{ "tdh_mem_range_block", ORDER_RANGE_BLOCK },
	{ "tdh_mem_track", ORDER_TRACK },
	{ "tdh_mem_page_remove", ORDER_PAGE_REMOVE },
	{ "tdh_phymem_page_wbinvd_hkid", ORDER_PAGE_WBINVD },
	{ "tdh_vp_flush", ORDER_VP_FLUSH },
	{ "tdh_mng_vpflushdone", ORDER_VPFLUSHDONE },
	{ "tdh_phymem_cache_wb", ORDER_CACHE_WB },
	{ "tdh_mng_key_freeid", ORDER_KEY_FREEID },
	{ "tdh_phymem_page_reclaim", ORDER_PAGE_RECLAIM },
	{ "tdh_phymem_page_wbinvd_tdr", ORDER_TDR_WBINVD },
};

#define NR_WRAPPERS	(sizeof(wrappers) / sizeof(*wrappers))

static int attach(struct order *o)
{
	const struct order_prog *s = o->skel;
	unsigned int i;
	int err = 0;

	remember(o, "kprobes and kretprobes", "tdh_...");
	for (i = 0; i < NR_WRAPPERS && !err; i++)
		err = probe(o, s->progs.order_leave, true, wrappers[i].leaf,
			    wrappers[i].function, NULL) ?:
		      probe(o, s->progs.order_enter, false, wrappers[i].leaf,
			    wrappers[i].function, NULL);
	return err ?:
	       probe(o, s->progs.order_begin, false, 0, "kvm_mmu_invalidate_start",
		     "kvm_mmu_invalidate_begin") ?:
	       probe(o, s->progs.order_end, false, 0, "kvm_mmu_invalidate_end", NULL) ?:
	       probe(o, s->progs.order_flush_slot, false, 0, "kvm_arch_flush_shadow_memslot",
		     NULL) ?:
	       probe(o, s->progs.order_destroy, false, 0, "kvm_arch_pre_destroy_vm", NULL) ?:
	       tracepoint(o, s->progs.order_uncache, "mm_filemap_delete_from_page_cache") ?:
	       tracepoint(o, s->progs.order_free, "mm_page_free") ?:
	       tracepoint(o, s->progs.order_alloc, "mm_page_alloc");
}

static int take_event(void *ctx, void *data, size_t size)
{
	struct order *o = ctx;
	struct order_event *more;

	if (o->nr == o->room) {
		more = reallocarray(o->events, o->room ? 2 * o->room : 4096, sizeof(*more));
		if (!more) {
			o->no_memory = true;
			return 0;
		}
		o->events = more;
		o->room = o->room ? 2 * o->room : 4096;
	}
	memcpy(&o->events[o->nr++], data, size < sizeof(*more) ? size : sizeof(*more));
	return 0;
}

static int start(struct order *o)
{
	int err;

	if (folio_why_not() || strcmp(folio_probe(), "bpf")) {
		snprintf(why, sizeof(why), "order cannot be traced without BPF: %s",
			 folio_why_not() ?: "another probe was chosen by SEPT_PROBE");
		return -ENODATA;
	}
	o->skel = order_prog__open_and_load();
	if (!o->skel) {
		err = -errno;
		snprintf(why, sizeof(why), "the BPF programs of the order trace do not load (%s): %s",
			 strerror(-err), bpf_complaint());
		return err;
	}
	err = folio_bpf_vmemmap(&o->skel->bss->order_vmemmap, &o->skel->bss->order_page_bytes);
	if (err) {
		snprintf(why, sizeof(why), "the kernel's vmemmap is not known (%s)", strerror(-err));
		return err;
	}
	o->ring = ring_buffer__new(bpf_map__fd(o->skel->maps.order_ring), take_event, o, NULL);
	if (!o->ring) {
		snprintf(why, sizeof(why), "the ring buffer of the order trace cannot be mapped (%s)",
			 strerror(errno));
		return -ENOMEM;
	}
	return order_follow(o, getpid()) ?: attach(o);
}

const char *order_start(struct order **out)
{
	struct order *o = calloc(1, sizeof(*o));
	int err;

	*out = NULL;
	if (!o)
		return "no memory for the order trace";
	bpf_complaint_catch();
	err = start(o);
	bpf_complaint_release();
	if (err) {
		order_stop(o);
		return why;
	}
	*out = o;
	return NULL;
}

int order_replay(struct order **out, const struct order_event *events, size_t nr)
{
	struct order *o = calloc(1, sizeof(*o));
	size_t i;

	for (i = 0; o && i < nr && !o->no_memory; i++)
		take_event(o, (void *)&events[i], sizeof(*events));
	if (o && o->no_memory) {
		order_stop(o);
		o = NULL;
	}
	*out = o;
	return o ? 0 : -ENOMEM;
}

void order_stop(struct order *o)
{
	if (!o)
		return;
	while (o->nr_links)
		bpf_link__destroy(o->links[--o->nr_links]);
	ring_buffer__free(o->ring);
	order_prog__destroy(o->skel);
	free(o->events);
	free(o);
}

int order_follow(struct order *o, pid_t pid)
{
	const __u32 tgid = pid;
	const __u8 one = 1;

	return bpf_map_update_elem(bpf_map__fd(o->skel->maps.order_followed), &tgid, &one,
				   BPF_ANY) ? -errno : 0;
}

const char *order_sources(const struct order *o)
{
	return o->sources;
}

const struct order_event *order_events(struct order *o, size_t *nr)
{
	if (o->ring)
		ring_buffer__consume(o->ring);
	*nr = o->nr;
	return o->events;
}

size_t order_mark(struct order *o)
{
	size_t nr;

	order_events(o, &nr);
	return nr;
}

/* How often a program was not run as another one was running on that CPU. */
static __u64 missed(const struct bpf_program *prog)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len) ?
	       0 : info.recursion_misses;
}

const char *order_why_holes(struct order *o)
{
	const struct order_prog__bss *bss;
	__u64 key, misses;	/* struct caller is as long */

	if (!o->skel)
		return NULL;
	bss = o->skel->bss;
	misses = missed(o->skel->progs.order_enter) + missed(o->skel->progs.order_leave);
	if (bss->order_dropped || o->no_memory) {
		snprintf(why, sizeof(why), "%llu events of the order trace were dropped%s",
			 bss->order_dropped, o->no_memory ? ", and there was no memory for more" : "");
		return why;
	}
	if (bss->order_full) {
		snprintf(why, sizeof(why), "%llu pages, TDs or calls found no room in the order trace",
			 bss->order_full);
		return why;
	}
	if (bss->order_confused)
		return "struct tdx_td or struct tdx_vp of this kernel does not begin with its page";
	if (misses) {
		snprintf(why, sizeof(why), "%llu SEAMCALLs were missed by the order trace", misses);
		return why;
	}
	if (!bpf_map_get_next_key(bpf_map__fd(o->skel->maps.order_calls), NULL, &key))
		return "a SEAMCALL was begun, but its return was not seen";
	return NULL;
}

static const char *name_of(unsigned int what)
{
	static const char *const leaves[ORDER_NR_LEAVES] = {
		[ORDER_MNG_ADDCX]	= "MNG.ADDCX",
		[ORDER_PAGE_ADD]	= "MEM.PAGE.ADD",
		[ORDER_SEPT_ADD]	= "MEM.SEPT.ADD",
		[ORDER_VP_ADDCX]	= "VP.ADDCX",
		[ORDER_PAGE_AUG]	= "MEM.PAGE.AUG",
		[ORDER_RANGE_BLOCK]	= "MEM.RANGE.BLOCK",
		[ORDER_MNG_CREATE]	= "MNG.CREATE",
		[ORDER_VP_CREATE]	= "VP.CREATE",
		[ORDER_MR_FINALIZE]	= "MR.FINALIZE",
		[ORDER_VP_FLUSH]	= "VP.FLUSH",
		[ORDER_VPFLUSHDONE]	= "MNG.VPFLUSHDONE",
		[ORDER_KEY_FREEID]	= "MNG.KEY.FREEID",
		[ORDER_PAGE_RECLAIM]	= "PHYMEM.PAGE.RECLAIM",
		[ORDER_PAGE_REMOVE]	= "MEM.PAGE.REMOVE",
		[ORDER_TRACK]		= "MEM.TRACK",
		[ORDER_CACHE_WB]	= "PHYMEM.CACHE.WB",
		[ORDER_PAGE_WBINVD]	= "PHYMEM.PAGE.WBINVD",
	};
	static const char *const kernel[] = {
		"KVM begins to invalidate", "KVM ends to invalidate", "KVM flushes a slot",
		"KVM destroys the VM", "page leaves the page cache", "page is freed",
		"page is handed out again",
	};

	if (what < ORDER_NR_LEAVES && leaves[what])
		return leaves[what];
	return what >= ORDER_BEGIN && what <= ORDER_ALLOC ? kernel[what - ORDER_BEGIN] : "?";
}

const char *order_describe(const struct order *o, size_t event, char *buf, size_t len)
{
	const struct order_event *e = &o->events[event];
	char status[32] = "";

	if (e->status)
		snprintf(status, sizeof(status), " = 0x%llx", e->status);
	snprintf(buf, len, "%s%s (event %zu, %llu.%06llu s, thread %u, cpu %u)",
		 name_of(e->what), status, event + 1, e->ns / 1000000000,
		 e->ns % 1000000000 / 1000, e->tid, e->cpu);
	return buf;
}

int order_visit_pages(struct order *o,
		      void (*visit)(void *ctx, __u64 pfn, const struct order_page *page),
		      void *ctx)
{
	struct order_page page;
	__u64 pfn, *prev = NULL, last;
	int map;

	if (!o->skel)
		return 0;
	map = bpf_map__fd(o->skel->maps.order_pages);
	while (!bpf_map_get_next_key(map, prev, &pfn)) {
		if (!bpf_map_lookup_elem(map, &pfn, &page))
			visit(ctx, pfn, &page);
		last = pfn;
		prev = &last;
	}
	return errno == ENOENT ? 0 : -errno;
}
