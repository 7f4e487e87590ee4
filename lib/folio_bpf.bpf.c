// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel side of the folio probe: who holds the pages of a file?
 *
 * Both programs are run by BPF_PROG_TEST_RUN, in the context of the caller, so
 * a file descriptor means what it means to the caller and nothing is traced.
 * They walk bare kernel memory without a lock: xarray nodes are freed by RCU,
 * which the test run holds, and every load is a probing one, so that a page
 * that goes away under the walk yields a stale or a zero record, never a fault.
 *
 * Loads go through bpf_rdonly_cast(), which the verifier turns into a plain
 * load with an exception table entry.  bpf_probe_read_kernel() costs some
 * 20 ns per call, which would be the whole budget of a page; it is used once
 * per xarray leaf, for all its slots together.
 *
 * Layouts are the running kernel's own, by CO-RE.  What changed between Linux
 * 6.8 and 7.3, and is dealt with here and nowhere else:
 *   - page->flags became memdesc_flags_t (6.18, 53fbef56e07d),
 *   - compound_head became compound_info, a mask where struct page is a power
 *     of two in size and HVO is built in (7.1),
 *   - page types moved to the top byte of _mapcount (6.12, 4ffca5a96678).
 */
#define __KERNEL__
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "folio_bpf.bpf.h"

#define CORE __attribute__((preserve_access_index))

struct list_head {
	struct list_head *next, *prev;
} CORE;

struct xa_node {
	unsigned char shift;
	void *slots[64];
} CORE;

struct xarray {
	void *xa_head;
} CORE;

struct super_block {
	unsigned long s_magic;
} CORE;

struct inode;

struct address_space {
	struct inode *host;
	struct xarray i_pages;
} CORE;

struct inode {
	unsigned long i_ino;
	struct super_block *i_sb;
	struct address_space *i_mapping;
} CORE;

struct file {
	struct inode *f_inode;
} CORE;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} CORE;

struct files_struct {
	struct fdtable *fdt;
} CORE;

struct task_struct {
	struct files_struct *files;
} CORE;

typedef struct {
	int counter;
} atomic_t;

struct page {
	unsigned long flags;
	struct address_space *mapping;
	unsigned long compound_head;
	atomic_t _mapcount;
	atomic_t _refcount;
} CORE;

typedef struct {
	unsigned long f;
} memdesc_flags_t;

struct page___6_18 {
	memdesc_flags_t flags;
} CORE;

struct page___7_1 {
	unsigned long compound_info;
} CORE;

struct folio {
	unsigned long index;
	unsigned long _flags_1;
	atomic_t _entire_mapcount;
	atomic_t _pincount;
} CORE;

/* Values are the running kernel's; the names are what matters here. */
enum pageflags {
	PG_locked, PG_writeback, PG_uptodate, PG_dirty, PG_lru, PG_head,
	PG_unevictable, PG_hwpoison,
};

enum pagetype {
	PGTY_buddy, PGTY_hugetlb,
};

#define HUGETLBFS_MAGIC		0x958458f6
#define XA_RETRY_ENTRY		1026
#define XA_ZERO_ENTRY		1030
#define MAX_LEVELS		12
#define LEAF_SLOTS		64

extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;

#define view(ptr, type) \
	((struct type *)bpf_rdonly_cast((void *)(ptr), bpf_core_type_id_kernel(struct type)))

__u64 folio_magic;		/* user space's own: how it knows this map again */
struct folio_call folio_call;
__u64 folio_vmemmap;		/* address of the struct page of PFN 0 */
__u32 folio_page_shift;		/* of sizeof(struct page), 0 if not a power of 2 */
__u64 folio_page_size;		/* out, from folio_layout() */
struct folio_record folio_window[FOLIO_WINDOW];

/* The part of the page cache at hand: a leaf, or one entry that spans more. */
static __u64 leaf[LEAF_SLOTS];
static __u64 unit_first, unit_last, unit_entry;
static __u32 unit_is_leaf;
static __u64 cache_head;	/* xarray::xa_head, seen once per call */
static __u32 cache_hugetlb;

static __always_inline __u64 page_flags(struct page *page)
{
	if (bpf_core_field_exists(struct page___6_18, flags.f))
		return view(page, page___6_18)->flags.f;
	return page->flags;
}

/*
 * Eight bytes as a number, even where BTF says that a pointer stands there,
 * with which the verifier would not let us calculate: page->flags is the first
 * word of struct page and always a number.
 */
static __always_inline __u64 load64(__u64 addr)
{
	return page_flags(view(addr, page));
}

/* The word that tells a tail page, under whichever name. */
static __always_inline __u64 page_compound(__u64 page)
{
	if (bpf_core_field_exists(struct page___7_1, compound_info))
		return load64(page + bpf_core_field_offset(struct page___7_1, compound_info));
	return load64(page + bpf_core_field_offset(struct page, compound_head));
}

static __always_inline __u64 page_head(__u64 page, __u64 compound)
{
	if (!(compound & 1))
		return page;
	/*
	 * No struct page lives in the top 4 GB of the address space, where the
	 * kernel's text is; so up there it must be a mask.
	 */
	if (compound >= 0xffffffff00000000ull)
		return page & (compound & ~1ull);
	return compound - 1;
}

#define PAGE_FLAG(name, bit) \
	({ __u64 __r = 0; \
	   if (bpf_core_enum_value_exists(enum pageflags, name)) \
		__r = (flags >> bpf_core_enum_value(enum pageflags, name)) & 1; \
	   (__u32)__r * (bit); })

static __always_inline __u32 flag_word(__u64 flags)
{
	return PAGE_FLAG(PG_lru, FOLIO_LRU) |
	       PAGE_FLAG(PG_unevictable, FOLIO_UNEVICTABLE) |
	       PAGE_FLAG(PG_uptodate, FOLIO_UPTODATE) |
	       PAGE_FLAG(PG_dirty, FOLIO_DIRTY) |
	       PAGE_FLAG(PG_writeback, FOLIO_WRITEBACK) |
	       PAGE_FLAG(PG_locked, FOLIO_LOCKED) |
	       PAGE_FLAG(PG_hwpoison, FOLIO_HWPOISON) |
	       PAGE_FLAG(PG_head, FOLIO_LARGE);
}

static __always_inline __u64 pfn_of(__u64 page)
{
	__u64 off = page - folio_vmemmap;

	if (folio_page_shift)
		return off >> folio_page_shift;
	return off / bpf_core_type_size(struct page);
}

/*
 * Fill in record @nr for the page at @addr; @mapping is the file asked about.  Not
 * static: the verifier looks at such a function once, whoever calls it.
 */
__noinline int look_at(__u32 nr, __u64 addr, __u64 mapping)
{
	struct folio_record *rec = &folio_window[nr & (FOLIO_WINDOW - 1)];
	__u64 flags, owner, compound = page_compound(addr);
	__u64 head_addr = page_head(addr, compound);
	struct page *head = view(head_addr, page);
	__u32 word, order = 0, maps = 0;
	__s32 mapcount;

	flags = page_flags(head);
	word = FOLIO_PRESENT | flag_word(flags);
	owner = load64(head_addr + bpf_core_field_offset(struct page, mapping));
	/* The inode number too, since a dead file's address may be used again. */
	if (owner && owner == mapping &&
	    view(mapping, address_space)->host->i_ino == folio_call.ino)
		word |= FOLIO_OURS;
	else if (!owner)
		word |= FOLIO_NO_MAPPING;
	else if (owner & 1)
		word |= FOLIO_ANON;

	mapcount = view(addr, page)->_mapcount.counter;
	if (mapcount >= -1) {
		maps = mapcount + 1;
	} else {
		/* A page type sits in the place of the count. */
		word |= FOLIO_TYPED;
		if (bpf_core_enum_value_exists(enum pagetype, PGTY_buddy) &&
		    (__u32)mapcount >> 24 ==
		    bpf_core_enum_value(enum pagetype, PGTY_buddy))
			word |= FOLIO_BUDDY;
		if (bpf_core_enum_value_exists(enum pagetype, PGTY_hugetlb) &&
		    (__u32)mapcount >> 24 ==
		    bpf_core_enum_value(enum pagetype, PGTY_hugetlb))
			word |= FOLIO_HUGETLB;
	}

	if ((word & FOLIO_LARGE) || (compound & 1)) {
		struct folio *folio = view(head_addr, folio);

		word |= FOLIO_LARGE;
		if (compound & 1)
			word |= FOLIO_TAIL;
		order = folio->_flags_1 & 0xff;
		if (owner == mapping && cache_hugetlb)
			word |= FOLIO_HUGETLB;
		if (folio->_pincount.counter > 0)
			word |= FOLIO_PINNED;
		maps += folio->_entire_mapcount.counter + 1;
	}

	rec->refs = head->_refcount.counter;
	rec->maps = maps;
	rec->word = (pfn_of(addr) & ((1ull << FOLIO_PFN_BITS) - 1)) |
		    (__u64)(order & 31) << FOLIO_ORDER_SHIFT |
		    (__u64)word << FOLIO_FLAG_SHIFT;
	return 0;
}

static __always_inline int is_node(__u64 entry)
{
	return (entry & 3) == 2 && entry > 4096;
}

/* A sibling: the folio spans several slots, and stands in the first of them. */
static __always_inline int is_sibling(__u64 entry)
{
	return (entry & 3) == 2 && entry >> 2 < LEAF_SLOTS;
}

static __always_inline __u64 slot_addr(__u64 node, __u32 slot)
{
	return node + bpf_core_field_offset(struct xa_node, slots) + slot * sizeof(__u64);
}

static __u64 walk_index, walk_entry;	/* the latter 0 where the walk ends */

/*
 * One level down from walk_entry towards walk_index.  Called by bpf_loop(): written
 * out, each level would be looked at by the verifier once for each way through those
 * above it.
 */
static long walk_down(__u32 level, void *ctx)
{
	const __u32 slots = bpf_core_field_size(((struct xa_node *)0)->slots) / sizeof(__u64);
	__u64 entry = walk_entry, index = walk_index, node = entry - 2;
	__u32 shift, slot;

	walk_entry = 0;
	shift = view(node, xa_node)->shift;
	if (shift > 58)
		return 1;		/* freed and reused under the walk */
	if (!level && index >> shift >= slots) {
		/* Beyond the tree: nothing there, up to the end. */
		unit_last = ~0ull;
		return 1;
	}
	if (!shift) {
		unit_first = index & ~(__u64)(slots - 1);
		unit_last = unit_first + slots - 1;
		unit_is_leaf = !bpf_probe_read_kernel(leaf, slots <= LEAF_SLOTS ?
			slots * sizeof(__u64) : sizeof(leaf), (void *)slot_addr(node, 0));
		return 1;
	}
	slot = (index >> shift) & (slots - 1);
	entry = load64(slot_addr(node, slot));
	if (is_sibling(entry))
		entry = load64(slot_addr(node, entry >> 2));
	if (!is_node(entry)) {
		unit_first = index >> shift << shift;
		unit_last = unit_first + (1ull << shift) - 1;
		unit_entry = entry;
		return 1;
	}
	walk_entry = entry;
	return 0;
}

/* Make the part of the page cache around @index the one at hand. */
static __always_inline void descend(__u64 index)
{
	unit_is_leaf = 0;
	unit_entry = 0;
	unit_first = unit_last = index;

	if (!is_node(cache_head)) {
		/* A file of one page has no node at all. */
		if (!index)
			unit_entry = cache_head;
		return;
	}
	walk_index = index;
	walk_entry = cache_head;
	bpf_loop(MAX_LEVELS, walk_down, NULL, 0);
	if (walk_entry)
		folio_call.error = FOLIO_E_DEPTH;
}

static long look_at_index(__u32 i, void *ctx)
{
	__u64 index = folio_call.first + i, entry, addr, slot;
	struct folio_record *rec;

	if (i >= FOLIO_WINDOW)
		return 1;
	rec = &folio_window[i];

	if (index < unit_first || index > unit_last)
		descend(index);

	if (unit_is_leaf) {
		entry = leaf[(index - unit_first) & (LEAF_SLOTS - 1)];
		if (is_sibling(entry)) {
			slot = entry >> 2;
			barrier_var(slot);	/* keep the bound the verifier needs */
			entry = leaf[slot & (LEAF_SLOTS - 1)];
		}
	} else {
		entry = unit_entry;
	}

	if (!entry || (entry & 3)) {
		rec->word = entry & 1 ? (__u64)FOLIO_SHADOW << FOLIO_FLAG_SHIFT : 0;
		rec->refs = rec->maps = 0;
		return 0;
	}

	addr = entry;
	if (load64(addr) &
	    1ull << bpf_core_enum_value(enum pageflags, PG_head))
		addr += (index - view(addr, folio)->index) * bpf_core_type_size(struct page);

	look_at(i, addr, folio_call.mapping);
	folio_call.some_page = addr;
	return 0;
}

/* Answer folio_call.nr pages of the file behind folio_call.fd. */
SEC("raw_tp")
int folio_by_file(void *ctx)
{
	struct task_struct *task = view(bpf_get_current_task(), task_struct);
	struct fdtable *fdt = task->files->fdt;
	struct address_space *mapping;
	struct file *file = NULL;
	struct inode *inode;
	__u32 fd = folio_call.fd;

	folio_call.error = FOLIO_E_NO_FD;
	folio_call.some_page = 0;
	if (fd >= fdt->max_fds)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), fdt->fd + fd);
	if (!file)
		return 0;

	folio_call.error = FOLIO_E_NO_MAPPING;
	inode = view(file, file)->f_inode;
	mapping = inode->i_mapping;
	if (!mapping)
		return 0;

	folio_call.error = FOLIO_E_NONE;
	folio_call.mapping = (__u64)mapping;
	/* Not the file's own inode: a block device's pages are its other inode's. */
	folio_call.ino = mapping->host->i_ino;
	cache_hugetlb = mapping->host->i_sb->s_magic == HUGETLBFS_MAGIC;
	cache_head = (__u64)mapping->i_pages.xa_head;
	unit_first = 1;
	unit_last = 0;
	bpf_loop(folio_call.nr, look_at_index, NULL, 0);
	return 0;
}

static long look_at_pfn(__u32 i, void *ctx)
{
	struct folio_record *rec;
	__u64 pfn;

	if (i >= FOLIO_WINDOW)
		return 1;
	rec = &folio_window[i];
	pfn = rec->word & ((1ull << FOLIO_PFN_BITS) - 1);
	look_at(i, folio_vmemmap + pfn * bpf_core_type_size(struct page),
		folio_call.mapping);
	return 0;
}

/* Answer the folio_call.nr PFNs that stand in folio_window, in place. */
SEC("raw_tp")
int folio_by_pfn(void *ctx)
{
	folio_call.error = FOLIO_E_NONE;
	cache_hugetlb = 0;
	bpf_loop(folio_call.nr, look_at_pfn, NULL, 0);
	return 0;
}

/* Tell user space how large struct page is here. */
SEC("raw_tp")
int folio_layout(void *ctx)
{
	folio_page_size = bpf_core_type_size(struct page);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
