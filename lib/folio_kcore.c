// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kcore probe: the walk of lib/folio_bpf.bpf.c, in user space.
 *
 * No symbol table is needed.  The note segment of /proc/kcore holds a copy of
 * the task_struct of whoever reads it (fs/proc/kcore.c, NT_TASKSTRUCT), which
 * leads to the reader's own open files; and the vmemmap is found as the BPF
 * probe finds it, from pages of a memfd.
 *
 * The kernel moves on between two reads, and addresses found by the first may
 * be stale for the second.  /proc/kcore reads what is not mapped as zeroes, so
 * a stale walk ends in a stale or an empty record, or, where an address lies in
 * no segment at all, in another try.
 */
#include <bpf/btf.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "folio_kcore.h"
#include "vmemmap.h"

#define HUGETLBFS_MAGIC	0x958458f6
#define MAX_LEVELS	12
#define LEAF_SLOTS	64
#define RETRIES		8	/* walks that met a changing kernel */

/* Where things are, by the running kernel's BTF.  -1: there is no such thing. */
static struct {
	int task_files, files_fdt, fdt_max, fdt_fd, file_inode;
	int inode_ino, inode_sb, inode_mapping, sb_magic;
	int mapping_host, mapping_pages, xa_head, node_shift, node_slots;
	int page_flags, page_mapping, page_compound, page_mapcount, page_refcount;
	int folio_index, folio_flags_1, folio_entire, folio_pincount;
	int page_size, slots;
	int PG_locked, PG_writeback, PG_uptodate, PG_dirty, PG_lru, PG_head,
	    PG_unevictable, PG_hwpoison, PGTY_buddy, PGTY_hugetlb;
} at;

/* Everything needed of a folio stands in its first two struct pages. */
#define FOLIO_BYTES	256

static int kcore_fd = -1;
static Elf64_Phdr *segments;
static unsigned int nr_segments;
static __u64 notes_offset, notes_size;
static void *notes;
static __u64 vmemmap;

/* BTF: offsets by name, through anonymous structs and unions. */

static int find_in(const struct btf *btf, __u32 id, const char *name, __u32 base,
		   __u32 *bits, __u32 *type)
{
	const struct btf_type *t;
	const struct btf_member *m;
	const char *member;
	int i;

	t = btf__type_by_id(btf, btf__resolve_type(btf, id));
	if (!t || !btf_is_composite(t))
		return -ENOENT;
	for (i = 0, m = btf_members(t); i < btf_vlen(t); i++, m++) {
		member = btf__name_by_offset(btf, m->name_off);
		*bits = base + btf_member_bit_offset(t, i);
		*type = m->type;
		if (*member ? !strcmp(member, name) :
		    !find_in(btf, m->type, name, *bits, bits, type))
			return 0;
	}
	return -ENOENT;
}

/* The byte offset of @name in a struct, or -1; @type receives its type. */
static int offset_of(const struct btf *btf, const char *in, const char *name, __u32 *type)
{
	int id = btf__find_by_name_kind(btf, in, BTF_KIND_STRUCT);
	__u32 bits, t;

	if (id < 0 || find_in(btf, id, name, 0, &bits, &t))
		return -1;
	if (type)
		*type = t;
	return bits / 8;
}

/* The value of an enumerator, or -1. */
static int value_of(const struct btf *btf, const char *in, const char *name)
{
	int id = btf__find_by_name_kind(btf, in, BTF_KIND_ENUM), i;
	const struct btf_type *t;

	if (id < 0)
		return -1;
	t = btf__type_by_id(btf, id);
	for (i = 0; i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_enum(t)[i].name_off), name))
			return btf_enum(t)[i].val;
	return -1;
}

static int learn_layout(char *why, unsigned long why_len)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const char *missing = NULL;
	__u32 type;
	int id;

	if (!btf) {
		snprintf(why, why_len, "no /sys/kernel/btf/vmlinux (%s); the kernel needs CONFIG_DEBUG_INFO_BTF",
			 strerror(errno));
		return -ENOENT;
	}

#define NEED(field, in, name, type) do {				\
	at.field = offset_of(btf, in, name, type);			\
	if (at.field < 0 && !missing)					\
		missing = in "." name;					\
} while (0)
	NEED(task_files, "task_struct", "files", NULL);
	NEED(files_fdt, "files_struct", "fdt", NULL);
	NEED(fdt_max, "fdtable", "max_fds", NULL);
	NEED(fdt_fd, "fdtable", "fd", NULL);
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
	at.page_compound = offset_of(btf, "page", "compound_info", NULL);
	if (at.page_compound < 0)
		NEED(page_compound, "page", "compound_head", NULL);

	NEED(node_slots, "xa_node", "slots", &type);
	if (at.node_slots >= 0)
		at.slots = btf__resolve_size(btf, type) / sizeof(__u64);
	id = btf__find_by_name_kind(btf, "page", BTF_KIND_STRUCT);
	at.page_size = id < 0 ? 0 : btf__resolve_size(btf, id);
	if (!missing && (at.slots < 1 || at.slots > LEAF_SLOTS || at.slots & (at.slots - 1)))
		missing = "a plausible size of xa_node.slots";
	if (!missing && (at.page_size < 56 || at.folio_pincount + 4 > FOLIO_BYTES ||
			 at.folio_entire + 4 > FOLIO_BYTES || at.page_size > FOLIO_BYTES))
		missing = "a plausible size of struct page";

#define VALUE(in, name) at.name = value_of(btf, in, #name)
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
	btf__free(btf);

	if (missing) {
		snprintf(why, why_len, "this kernel's BTF lacks %s", missing);
		return -ENOTSUP;
	}
	return 0;
}

/* /proc/kcore: memory by address. */

static int open_kcore(char *why, unsigned long why_len)
{
	Elf64_Ehdr ehdr;
	ssize_t size;
	int err, i;

	kcore_fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	if (kcore_fd < 0) {
		err = -errno;
		if (err == -ENOENT)
			snprintf(why, why_len, "no /proc/kcore; the kernel needs CONFIG_PROC_KCORE");
		else
			snprintf(why, why_len, "/proc/kcore: %s; run as root, and check that kernel lockdown is off",
				 strerror(-err));
		return err;
	}
	if (pread(kcore_fd, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr) ||
	    memcmp(ehdr.e_ident, ELFMAG, SELFMAG) || !ehdr.e_phnum ||
	    ehdr.e_phentsize != sizeof(Elf64_Phdr)) {
		snprintf(why, why_len, "/proc/kcore is no ELF core file");
		return -EIO;
	}

	size = ehdr.e_phnum * sizeof(Elf64_Phdr);
	segments = malloc(size);
	if (!segments) {
		snprintf(why, why_len, "no memory");
		return -ENOMEM;
	}
	if (pread(kcore_fd, segments, size, ehdr.e_phoff) != size) {
		snprintf(why, why_len, "/proc/kcore gives no program headers");
		return -EIO;
	}
	nr_segments = ehdr.e_phnum;
	for (i = 0; i < ehdr.e_phnum; i++) {
		if (segments[i].p_type != PT_NOTE)
			continue;
		notes_offset = segments[i].p_offset;
		notes_size = segments[i].p_filesz;
	}
	notes = malloc(notes_size ?: 1);
	if (!notes) {
		snprintf(why, why_len, "no memory");
		return -ENOMEM;
	}
	return 0;
}

/* Read kernel memory; -EAGAIN where there is none, as with a stale address. */
static int load(__u64 addr, void *to, size_t size)
{
	unsigned int i;
	ssize_t n;

	for (i = 0; i < nr_segments; i++) {
		const Elf64_Phdr *s = &segments[i];

		if (s->p_type != PT_LOAD || addr < s->p_vaddr ||
		    addr - s->p_vaddr + size > s->p_memsz)
			continue;
		n = pread(kcore_fd, to, size, s->p_offset + (addr - s->p_vaddr));
		if (n == (ssize_t)size)
			return 0;
		return n < 0 ? -errno : -EIO;
	}
	return -EAGAIN;
}

static int load64(__u64 addr, __u64 *to)
{
	return load(addr, to, sizeof(*to));
}

/* The calling task's files_struct, from the copy of its task_struct in the notes. */
static int own_files(__u64 *files)
{
	ssize_t size = pread(kcore_fd, notes, notes_size, notes_offset), pos = 0;

	*files = 0;
	if (size < 0)
		return -errno;
	while (pos + (ssize_t)sizeof(Elf64_Nhdr) <= size) {
		const Elf64_Nhdr *n = (void *)((char *)notes + pos);
		ssize_t desc = pos + sizeof(*n) + ((n->n_namesz + 3) & ~3u);

		if (n->n_type == NT_TASKSTRUCT && desc + n->n_descsz <= size &&
		    n->n_descsz >= at.task_files + sizeof(*files)) {
			memcpy(files, (char *)notes + desc + at.task_files, sizeof(*files));
			return 0;
		}
		pos = desc + ((n->n_descsz + 3) & ~3u);
	}
	return -ENOTSUP;
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

	err = load(addr, page, at.page_size);
	if (err)
		return err;
	compound = field64(page, at.page_compound);
	head_addr = page_head(addr, compound);
	err = load(head_addr, head, at.page_size);
	if (err)
		return err;

	flags = field64(head, at.page_flags);
	word = FOLIO_PRESENT | flag_word(flags);
	owner = field64(head, at.page_mapping);
	if (owner == w->cache.mapping && w->same_file)
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
		err = load(head_addr, head, FOLIO_BYTES);
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
		err = load(node + at.node_shift, &shift, sizeof(shift));
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
			return load(node + at.node_slots, w->leaf, at.slots * sizeof(__u64));
		}
		slot = (index >> shift) & (at.slots - 1);
		err = load64(node + at.node_slots + slot * sizeof(__u64), &entry);
		if (!err && is_sibling(entry))
			err = load64(node + at.node_slots + (entry >> 2) * sizeof(__u64), &entry);
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
	err = load64(entry + at.page_flags, &flags);
	if (!err && flags >> at.PG_head & 1) {
		err = load64(entry + at.folio_index, &folio_index);
		addr += (index - folio_index) * at.page_size;
	}
	if (err)
		return err;
	if (page)
		*page = addr;
	return look_at(rec, addr, w);
}

/* Load a pointer or another word of a structure, unless something failed before. */
static __u64 follow(__u64 addr, int offset, int *err)
{
	__u64 value = 0;

	if (!*err)
		*err = load64(addr + offset, &value);
	return value;
}

/* From a descriptor of the calling task to the page cache of its file. */
static int start(struct walk *w, int fd)
{
	__u64 files, fdt, table, file, inode, host, sb, magic;
	__u32 max_fds;
	int err;

	err = own_files(&files);
	if (err)
		return err;
	fdt = follow(files, at.files_fdt, &err);
	max_fds = follow(fdt, at.fdt_max, &err);
	if (!err && (fd < 0 || (__u32)fd >= max_fds))
		return -EBADF;
	table = follow(fdt, at.fdt_fd, &err);
	file = follow(table, fd * sizeof(__u64), &err);
	if (!err && !file)
		return -EBADF;
	inode = follow(file, at.file_inode, &err);
	w->cache.mapping = follow(inode, at.inode_mapping, &err);
	if (!err && !w->cache.mapping)
		return -EINVAL;
	host = follow(w->cache.mapping, at.mapping_host, &err);
	w->cache.ino = follow(host, at.inode_ino, &err);
	sb = follow(host, at.inode_sb, &err);
	magic = follow(sb, at.sb_magic, &err);
	w->head = follow(w->cache.mapping, at.mapping_pages + at.xa_head, &err);

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

	host = follow(cache->mapping, at.mapping_host, &err);
	ino = follow(host, at.inode_ino, &err);
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

	if (kcore_fd >= 0)
		return 0;
	err = open_kcore(why, why_len);
	if (!err)
		err = learn_layout(why, why_len);
	if (!err)
		err = vmemmap_find(struct_page, at.page_size, &vmemmap, why, why_len);
	if (err)
		folio_kcore_close();
	return err;
}

void folio_kcore_close(void)
{
	if (kcore_fd >= 0)
		close(kcore_fd);
	kcore_fd = -1;
	free(segments);
	segments = NULL;
	nr_segments = 0;
	free(notes);
	notes = NULL;
}
