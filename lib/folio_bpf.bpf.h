/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What lib/folio_bpf.bpf.c and lib/folio_bpf.c share: the layout of one answer.
 */
#ifndef FOLIO_BPF_SHARED_H
#define FOLIO_BPF_SHARED_H

/*
 * One 4K page, 16 bytes, because a census of 1 TB holds 2^28 of them.
 *
 * word:  bits 0-39 PFN (52-bit physical addresses), 40-44 folio order,
 *        45-63 FOLIO_* flags
 * refs:  _refcount of the folio's head page
 * maps:  user page-table mappings of this very page
 */
struct folio_record {
	__u64 word;
	__u32 refs;
	__u32 maps;
};

#define FOLIO_PFN_BITS		40
#define FOLIO_ORDER_SHIFT	40
#define FOLIO_ORDER_BITS	5
#define FOLIO_FLAG_SHIFT	45

/* Pages answered per call: 64 KB, so that one call stays below 100 us. */
#define FOLIO_WINDOW		4096

#define FOLIO_PRESENT		(1u << 0)	/* backed by a page */
#define FOLIO_SHADOW		(1u << 1)	/* a value entry: evicted, or swapped out */
#define FOLIO_LRU		(1u << 2)
#define FOLIO_UNEVICTABLE	(1u << 3)
#define FOLIO_UPTODATE		(1u << 4)
#define FOLIO_DIRTY		(1u << 5)
#define FOLIO_WRITEBACK		(1u << 6)
#define FOLIO_LOCKED		(1u << 7)
#define FOLIO_HWPOISON		(1u << 8)
#define FOLIO_LARGE		(1u << 9)
#define FOLIO_TAIL		(1u << 10)
#define FOLIO_HUGETLB		(1u << 11)
#define FOLIO_PINNED		(1u << 12)	/* large folios count pins apart */
#define FOLIO_OURS		(1u << 13)	/* still belongs to the file asked about */
#define FOLIO_NO_MAPPING	(1u << 14)	/* belongs to no file and no anonymous area */
#define FOLIO_ANON		(1u << 15)
#define FOLIO_BUDDY		(1u << 16)	/* free, on the buddy lists */
#define FOLIO_TYPED		(1u << 17)	/* slab, page table, hugetlb, ... */
#define FOLIO_NR_FLAGS		18

/* Why a walk saw nothing; in folio_call.error. */
#define FOLIO_E_NONE		0
#define FOLIO_E_NO_FD		1	/* no such open file in the calling task */
#define FOLIO_E_NO_MAPPING	2	/* the file has no page cache */
#define FOLIO_E_DEPTH		3	/* the xarray changed under the walk, too often */

/* One call: filled in by user space, answered by the program. */
struct folio_call {
	__u64 first;		/* in:  page index, or unused for a walk by PFN */
	__u32 nr;		/* in:  pages, at most FOLIO_WINDOW */
	__s32 fd;		/* in:  file descriptor of the calling task */
	__u64 mapping;		/* in for PFNs, out for files: struct address_space */
	__u64 ino;		/* likewise: the number of its inode */
	__u64 some_page;	/* out: a struct page of the range, or 0 */
	__u32 error;		/* out: FOLIO_E_* */
};

#endif
