/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FOLIO_H
#define FOLIO_H

#include <stdbool.h>
#include <linux/types.h>

#include "../lib/folio_bpf.bpf.h"

/**
 * DOC: folio
 *
 * Who backs a page of a file, and who holds it?  One question, several ways to
 * put it to the kernel:
 *
 * - "bpf" walks the page cache in kernel memory (lib/folio_bpf.c): references,
 *   mappings and flags of a whole range in one call, also of pages that have
 *   left the file.  Needs BTF and CAP_BPF + CAP_PERFMON.
 * - "kcore" reads the same memory through /proc/kcore (lib/folio_kcore.c),
 *   slower, for kernels without BPF.
 * - "none": nothing here can read a reference count.  Tests that need one are
 *   skipped with folio_why_not(), never passed.
 *
 * The best one is chosen on first use.  SEPT_PROBE=bpf, kcore or none overrides.
 *
 * Units: 4K pages, counted from the start of the file, whatever the folio size.
 * Threads: call from any thread, and from any process forked after the first
 * use; calls wait for one another.
 */

static inline __u64 folio_pfn(const struct folio_record *rec)
{
	return rec->word & ((1ull << FOLIO_PFN_BITS) - 1);
}

static inline unsigned int folio_order(const struct folio_record *rec)
{
	return rec->word >> FOLIO_ORDER_SHIFT & ((1 << FOLIO_ORDER_BITS) - 1);
}

/* FOLIO_* bits, see lib/folio_bpf.bpf.h */
static inline unsigned int folio_flags(const struct folio_record *rec)
{
	return rec->word >> FOLIO_FLAG_SHIFT;
}

static inline bool folio_present(const struct folio_record *rec)
{
	return folio_flags(rec) & FOLIO_PRESENT;
}

/**
 * folio_probe() - name the probe in use
 *
 * Return: "bpf", "kcore" or "none"; a static string.
 */
const char *folio_probe(void);

/**
 * folio_why_not() - say why reference counts cannot be read
 *
 * Return: one sentence naming what is missing and what to do, or NULL if they
 * can be read.  Valid until the next call.
 */
const char *folio_why_not(void);

/**
 * struct folio_cache - which page cache it is
 * @mapping: kernel address of its struct address_space
 * @ino:     number of its inode, as the address of a dead file is used again
 *
 * Opaque to all but the probes.
 */
struct folio_cache {
	__u64 mapping, ino;
};

/**
 * folio_by_file() - look at a range of a file's page cache
 * @fd:      an open file of the calling process; borrowed
 * @first:   first page
 * @nr:      number of pages; the range may reach beyond the file's end
 * @out:     receives @nr records, all zero where nothing is cached
 * @cache:   receives which page cache it is, for folio_by_pfn(); may be NULL
 *
 * Return: 0; -ENODATA if there is no probe (folio_why_not()); -EBADF if @fd is
 * not open; -EAGAIN if the cache changed under the walk, too often; or -errno
 * from bpf(2) or /proc/kcore.
 */
int folio_by_file(int fd, __u64 first, __u64 nr, struct folio_record *out,
		  struct folio_cache *cache);

/**
 * folio_by_pfn() - look at pages by their frame numbers
 * @recs:    @nr records whose PFN is set; receives the rest.  Only PFNs that a
 *           look by file gave are sure to be memory.
 * @nr:      number of records
 * @cache:   from folio_by_file(): pages in that file get FOLIO_OURS
 *
 * Return: as folio_by_file().
 */
int folio_by_pfn(struct folio_record *recs, __u64 nr,
		 const struct folio_cache *cache);

/**
 * folio_describe() - a record in words
 * @rec: the record
 * @buf: receives the text, always terminated
 * @len: size of @buf, 160 is enough
 *
 * Example: "pfn 0x1a2ff order 0 refs 2 maps 1 lru unevictable uptodate".
 *
 * Return: @buf.
 */
const char *folio_describe(const struct folio_record *rec, char *buf, unsigned long len);

#endif
