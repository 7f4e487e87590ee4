// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kcore probe: the walk of lib/folio_bpf.bpf.c, in user space.
 *
 * The vmemmap is found as the BPF probe finds it, from pages of a memfd.  A stale
 * walk (kcore.h) ends in a stale or an empty record, or, where an address lies in
 * no segment at all, in another try.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "folio_kcore.h"
#include "kcore.h"
#include "vmemmap.h"

#define HUGETLBFS_MAGIC	0x958458f6
#define MAX_LEVELS	12
#define LEAF_SLOTS	64
#define RETRIES		8	/* walks that met a changing kernel */

/* Where things are, by the running kernel's BTF.  -1: there is no such thing. */
static struct {
	int file_inode, inode_ino, inode_sb, inode_mapping, sb_magic;
	int mapping_host, mapping_pages, xa_head, node_shift, node_slots;
	int page_flags, page_mapping, page_compound, page_mapcount, page_refcount;
	int folio_index, folio_flags_1, folio_entire, folio_pincount;
	int page_size, slots;
	int PG_locked, PG_writeback, PG_uptodate, PG_dirty, PG_lru, PG_head,
	    PG_unevictable, PG_hwpoison, PGTY_buddy, PGTY_hugetlb;
} at;

/* Everything needed of a folio stands in its first two struct pages. */
#define FOLIO_BYTES	256

static bool is_open;
static __u64 vmemmap;

static int learn_layout(char *why, unsigned long why_len)
{
	const char *missing = NULL;
	__u32 type;

#define NEED(field, in, name, type) do {				\
	at.field = kcore_offset(in, name, type);			\
	if (at.field < 0 && !missing)					\
		missing = in "." name;					\
} while (0)
	NEED(file_inode, "file", "f_inode", NULL);
	NEED(inode_ino, "inode", "i_ino", NULL);
	NEED(inode_sb, "inode", "i_sb", NULL);
	NEED(inode_mapping, "inode", "i_mapping", NULL);
	NEED(sb_magic, "super_block", "s_magic", NULL);
	NEED(mapping_host, "address_space", "host", NULL);
	NEED(mapping_pages, "address_space", "i_pages", NULL);
	NEED(xa_head, "xarray", "xa_head", NULL);
	NEED(node_shift, "xa_node", "shift", NULL);
	NEED(page_flags, "page", "flags", NULL);
	NEED(page_mapping, "page", "mapping", NULL);
	NEED(page_mapcount, "page", "_mapcount", NULL);
	NEED(page_refcount, "page", "_refcount", NULL);
	NEED(folio_index, "folio", "index", NULL);
	NEED(folio_flags_1, "folio", "_flags_1", NULL);
	NEED(folio_entire, "folio", "_entire_mapcount", NULL);
	NEED(folio_pincount, "folio", "_pincount", NULL);
	/* compound_info since 7.1 */
	at.page_compound = kcore_offset("page", "compound_info", NULL);
	if (at.page_compound < 0)
		NEED(page_compound, "page", "compound_head", NULL);

	NEED(node_slots, "xa_node", "slots", &type);
	if (at.node_slots >= 0)
		at.slots = kcore_type_size(type) / (int)sizeof(__u64);
	at.page_size = kcore_size("page");
	if (!missing && (at.slots < 1 || at.slots > LEAF_SLOTS || at.slots & (at.slots - 1)))
		missing = "a plausible size of xa_node.slots";
	if (!missing && (at.page_size < 56 || at.folio_pincount + 4 > FOLIO_BYTES ||
			 at.folio_entire + 4 > FOLIO_BYTES || at.page_size > FOLIO_BYTES))
		missing = "a plausible size of struct page";

#define VALUE(in, name) at.name = kcore_value(in, #name)
	VALUE("pageflags", PG_locked);
	VALUE("pageflags", PG_writeback);
	VALUE("pageflags", PG_uptodate);
	VALUE("pageflags", PG_dirty);
	VALUE("pageflags", PG_lru);
	VALUE("pageflags", PG_head);
	VALUE("pageflags", PG_unevictable);
	VALUE("pageflags", PG_hwpoison);
	VALUE("pagetype", PGTY_buddy);
	VALUE("pagetype", PGTY_hugetlb);
	if (at.PG_head < 0 && !missing)
		missing = "PG_head";

	if (missing) {
		snprintf(why, why_len, "this kernel's BTF lacks %s", missing);
		return -ENOTSUP;
	}
	return 0;
}

/* The walk. */

struct walk {
	struct folio_cache cache;
	__u64 head;			/* xarray::xa_head, seen once */
	bool hugetlb;
	bool same_file;			/* not another one at the address of a dead one */
	/* The part of the page cache at hand: a leaf, or one entry that spans more. */
	bool is_leaf;
	__u64 first, last, entry, leaf[LEAF_SLOTS];
};

static __u64 field64(const void *base, int offset)
{
	__u64 value;

	memcpy(&value, (const char *)base + offset, sizeof(value));
	return value;
}

static __s32 field32(const void *base, int offset)
{
	__s32 value;

	memcpy(&value, (const char *)base + offset, sizeof(value));
	return value;
}

static __u64 page_head(__u64 page, __u64 compound)
{
	if (!(compound & 1))
		return page;
	/* A mask rather than an address, see lib/folio_bpf.bpf.c. */
	if (compound >= 0xffffffff00000000ull)
		return page & (compound & ~1ull);
	return compound - 1;
}

static __u32 flag_word(__u64 flags)
{
#define PAGE_FLAG(name, bit) (at.name >= 0 && flags >> at.name & 1 ? (bit) : 0)
	return PAGE_FLAG(PG_lru, FOLIO_LRU) |
	       PAGE_FLAG(PG_unevictable, FOLIO_UNEVICTABLE) |
	       PAGE_FLAG(PG_uptodate, FOLIO_UPTODATE) |
	       PAGE_FLAG(PG_dirty, FOLIO_DIRTY) |
	       PAGE_FLAG(PG_writeback, FOLIO_WRITEBACK) |
	       PAGE_FLAG(PG_locked, FOLIO_LOCKED) |
	       PAGE_FLAG(PG_hwpoison, FOLIO_HWPOISON) |
	       PAGE_FLAG(PG_head, FOLIO_LARGE);
}

/* Fill in @rec for the struct page at @addr; as look_at() in lib/folio_bpf.bpf.c. */
static int look_at(struct folio_record *rec, __u64 addr, const struct walk *w)
{
	__u64 flags, owner, compound, head_addr;
	char page[FOLIO_BYTES], head[FOLIO_BYTES];
	__u32 word, order = 0, maps = 0;
	bool large;
	__s32 mapcount;
	int err;

	err = kcore_load(addr, page, at.page_size);
	if (err)
		return err;
	compound = field64(page, at.page_compound);
	head_addr = page_head(addr, compound);
	err = kcore_load(head_addr, head, at.page_size);
	if (err)
		return err;

	flags = field64(head, at.page_flags);
	word = FOLIO_PRESENT | flag_word(flags);
	owner = field64(head, at.page_mapping);
	if (owner && owner == w->cache.mapping && w->same_file)
		word |= FOLIO_OURS;
	else if (!owner)
		word |= FOLIO_NO_MAPPING;
	else if (owner & 1)
		word |= FOLIO_ANON;

	mapcount = field32(page, at.page_mapcount);
	if (mapcount >= -1) {
		maps = mapcount + 1;
	} else {
		/* A page type sits in the place of the count. */
		word |= FOLIO_TYPED;
		if (at.PGTY_buddy >= 0 && (__u32)mapcount >> 24 == (__u32)at.PGTY_buddy)
			word |= FOLIO_BUDDY;
		if (at.PGTY_hugetlb >= 0 && (__u32)mapcount >> 24 == (__u32)at.PGTY_hugetlb)
			word |= FOLIO_HUGETLB;
	}

	large = (word & FOLIO_LARGE) || (compound & 1);
	if (large) {
		err = kcore_load(head_addr, head, FOLIO_BYTES);
		if (err)
			return err;
		word |= FOLIO_LARGE;
		if (compound & 1)
			word |= FOLIO_TAIL;
		order = field64(head, at.folio_flags_1) & 0xff;
		if (owner == w->cache.mapping && w->hugetlb)
			word |= FOLIO_HUGETLB;
		if (field32(head, at.folio_pincount) > 0)
			word |= FOLIO_PINNED;
		maps += field32(head, at.folio_entire) + 1;
	}

	rec->refs = field32(head, at.page_refcount);
	rec->maps = maps;
	rec->word = ((addr - vmemmap) / at.page_size & ((1ull << FOLIO_PFN_BITS) - 1)) |
		    (__u64)(order & 31) << FOLIO_ORDER_SHIFT |
		    (__u64)word << FOLIO_FLAG_SHIFT;
	return 0;
}

static bool is_node(__u64 entry)
{
	return (entry & 3) == 2 && entry > 4096;
}

/* A sibling: the folio spans several slots, and stands in the first of them. */
static bool is_sibling(__u64 entry)
{
	return (entry & 3) == 2 && entry >> 2 < (__u64)at.slots;
}

/* Make the part of the page cache around @index the one at hand. */
static int descend(struct walk *w, __u64 index)
{
	__u64 entry = w->head, node, slot;
	unsigned char shift;
	int level, err;

	w->is_leaf = false;
	w->entry = 0;
	w->first = w->last = index;

	if (!is_node(entry)) {
		/* A file of one page has no node at all. */
		if (!index)
			w->entry = entry;
		return 0;
	}

	for (level = 0; level < MAX_LEVELS; level++) {
		node = entry - 2;
		err = kcore_load(node + at.node_shift, &shift, sizeof(shift));
		if (err)
			return err;
		if (shift > 58)
			return -EAGAIN;		/* freed and used for something else */
		if (!level && index >> shift >= (__u64)at.slots) {
			/* Beyond the tree: nothing there, up to the end. */
			w->last = ~0ull;
			return 0;
		}
		if (!shift) {
			w->first = index & ~(__u64)(at.slots - 1);
			w->last = w->first + at.slots - 1;
			w->is_leaf = true;
			return kcore_load(node + at.node_slots, w->leaf, at.slots * sizeof(__u64));
		}
		slot = (index >> shift) & (at.slots - 1);
		err = kcore_load(node + at.node_slots + slot * sizeof(__u64), &entry, sizeof(__u64));
		if (!err && is_sibling(entry))
			err = kcore_load(node + at.node_slots + (entry >> 2) * sizeof(__u64), &entry, sizeof(__u64));
		if (err)
			return err;
		if (!is_node(entry)) {
			w->first = index >> shift << shift;
			w->last = w->first + (1ull << shift) - 1;
			w->entry = entry;
			return 0;
		}
	}
	return -EAGAIN;
}

/* @page receives the struct page, 0 if there is none; may be NULL. */
static int look_at_index(struct walk *w, __u64 index, struct folio_record *rec, __u64 *page)
{
	__u64 entry, addr, flags, folio_index;
	int err;

	if (index < w->first || index > w->last) {
		err = descend(w, index);
		if (err)
			return err;
	}
	entry = w->entry;
	if (w->is_leaf) {
		entry = w->leaf[index - w->first];
		if (is_sibling(entry))
			entry = w->leaf[entry >> 2];
	}

	memset(rec, 0, sizeof(*rec));
	if (page)
		*page = 0;
	if (!entry || (entry & 3)) {
		if (entry & 1)
			rec->word = (__u64)FOLIO_SHADOW << FOLIO_FLAG_SHIFT;
		return 0;
	}

	addr = entry;
	err = kcore_load(entry + at.page_flags, &flags, sizeof(__u64));
	if (!err && flags >> at.PG_head & 1) {
		err = kcore_load(entry + at.folio_index, &folio_index, sizeof(__u64));
		addr += (index - folio_index) * at.page_size;
	}
	if (err)
		return err;
	if (page)
		*page = addr;
	return look_at(rec, addr, w);
}

/* From a descriptor of the calling task to the page cache of its file. */
static int start(struct walk *w, int fd)
{
	__u64 file, inode, host, sb, magic;
	int err = kcore_file(fd, &file);

	if (err)
		return err;
	inode = kcore_follow(file, at.file_inode, &err);
	w->cache.mapping = kcore_follow(inode, at.inode_mapping, &err);
	if (!err && !w->cache.mapping)
		return -EINVAL;
	host = kcore_follow(w->cache.mapping, at.mapping_host, &err);
	w->cache.ino = kcore_follow(host, at.inode_ino, &err);
	sb = kcore_follow(host, at.inode_sb, &err);
	magic = kcore_follow(sb, at.sb_magic, &err);
	w->head = kcore_follow(w->cache.mapping, at.mapping_pages + at.xa_head, &err);

	w->same_file = true;
	w->hugetlb = magic == HUGETLBFS_MAGIC;
	w->first = 1;
	w->last = 0;
	return err;
}

int folio_kcore_by_file(int fd, __u64 first, __u64 nr, struct folio_record *out,
			struct folio_cache *cache)
{
	struct walk w;
	int err, tries;
	__u64 i;

	for (tries = 0; tries < RETRIES; tries++) {
		err = start(&w, fd);
		for (i = 0; !err && i < nr; i++) {
			/* As often as the BPF probe: what is held is soon stale. */
			if (i && i % FOLIO_WINDOW == 0)
				err = start(&w, fd);
			if (!err)
				err = look_at_index(&w, first + i, &out[i], NULL);
		}
		if (err != -EAGAIN)
			break;
	}
	if (!err && cache)
		*cache = w.cache;
	return err;
}

int folio_kcore_by_pfn(struct folio_record *recs, __u64 nr,
		       const struct folio_cache *cache)
{
	struct walk w = { .cache = *cache };
	__u64 i, host, ino;
	int err = 0;

	host = kcore_follow(cache->mapping, at.mapping_host, &err);
	ino = kcore_follow(host, at.inode_ino, &err);
	w.same_file = !err && ino == cache->ino;

	for (i = 0; i < nr; i++) {
		err = look_at(&recs[i], vmemmap + folio_pfn(&recs[i]) * at.page_size, &w);
		if (err)
			return err == -EAGAIN ? -ENXIO : err;
	}
	return 0;
}

static int struct_page(int fd, __u64 index, __u64 *page)
{
	struct folio_record rec;
	struct walk w;
	int err = start(&w, fd);

	if (!err)
		err = look_at_index(&w, index, &rec, page);
	if (err)
		return err;
	return *page ? 0 : -EIO;
}

int folio_kcore_open(char *why, unsigned long why_len)
{
	int err;

	if (is_open)
		return 0;
	err = kcore_open(why, why_len) ?: learn_layout(why, why_len) ?:
	      vmemmap_find(struct_page, at.page_size, &vmemmap, why, why_len);
	is_open = !err;
	if (err)
		kcore_close();
	return err;
}
