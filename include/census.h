/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CENSUS_H
#define CENSUS_H

#include "finding.h"
#include "folio.h"

/**
 * DOC: census
 *
 * One look at a range of a guest_memfd: which page backs each index, and who
 * holds it.  A look, not a lock: the kernel moves on meanwhile.  So compare
 * only through the census_check_...() functions, which wait, bounded, for
 * transient references to go (settle.h) and accept a page as soon as it was
 * seen once as it should be.
 *
 * The baseline of a page in the page cache is one reference for the cache plus
 * one for each user page-table mapping.  Everything above is *extra*: a pin of
 * the test's own (1024 for a GUP pin on a small folio, GUP_PIN_COUNTING_BIAS in
 * include/linux/mm.h), or a leak.
 *
 * Where KVM holds a reference to each page that the S-EPT maps, that one belongs to
 * the baseline, and the counts are told without it (pinned.h).
 *
 * Units: 4K pages, counted from the start of the file, whatever the folio size.
 * Memory: 16 bytes per page.
 * Threads: a census never changes once taken; read it from anywhere.
 *
 * SEPT_FAKE_REFS=N adds N to every reference count that a check reads.  It is
 * there to prove that each check can fail; a run that uses it says so in its
 * results.
 */

#define CENSUS_PIN_BIAS	1024

struct census;

/**
 * census_take() - look at a range
 * @out:   receives a new census, to be freed by census_free(); NULL on error
 * @fd:    a guest_memfd, or any file with a page cache; borrowed
 * @first: first page
 * @nr:    number of pages, at least 1
 *
 * Drains the LRU batches and looks again, a few times, while any page is held by
 * more than its baseline, and keeps the lowest count seen of each: so that neither
 * a batch nor a speculative reference is taken for a holder.
 *
 * Return: 0; -ENODATA if nothing here can read reference counts
 * (folio_why_not()); -EINVAL if @nr is 0; -ENOMEM; or the probe's -errno.
 */
int census_take(struct census **out, int fd, __u64 first, __u64 nr);
void census_free(struct census *c);	/* NULL is fine */

/**
 * census_page() - one page of a census
 * @c:     the census
 * @index: page index in the file
 *
 * Return: the record, or NULL if @index is outside the census's range.
 */
const struct folio_record *census_page(const struct census *c, __u64 index);

/* Pages in the census that are backed by memory. */
__u64 census_nr_present(const struct census *c);

/*
 * Checks.  All return 0 if the invariant holds, 1 if not, with *f filled in, or
 * -errno if they could not look (then *f says why).
 */

/**
 * census_check_freed() - the pages of @before are nobody's, or somebody else's
 * @before: what backed the range; the file itself may be closed by now
 * @first:  first page, inside @before
 * @nr:     number of pages
 * @f:      receives the finding
 *
 * A frame that was given to another user in the meantime counts as freed: its
 * folio has another mapping, or no LRU flag (a guest_memfd folio keeps PG_lru
 * until its last reference goes, mm/swap.c __page_cache_release()).  A poisoned
 * frame is never given to anybody, so it counts as held by who holds it.
 * Indices that @before saw unbacked are passed over.
 */
int census_check_freed(const struct census *before, __u64 first, __u64 nr,
		       struct finding *f);

/**
 * census_check_orphaned() - the pages left the file, and exactly @refs hold each
 * @refs: references that somebody is known to hold, at least 1
 *
 * The others as for census_check_freed().
 */
int census_check_orphaned(const struct census *before, __u64 first, __u64 nr,
			  __u64 refs, struct finding *f);

/**
 * census_check_untouched() - same frames, same references and mappings as before
 *
 * Arguments as for census_check_freed(); the file must still be open as the fd
 * that @before was taken from.  Indices that were unbacked must still be.
 */
int census_check_untouched(const struct census *before, __u64 first, __u64 nr,
			   struct finding *f);

/**
 * census_check_held() - each page is backed, mapped @maps times, and held by
 * its baseline plus @extra references
 * @fd:    the file; borrowed
 * @first: first page
 * @nr:    number of pages
 * @maps:  user mappings of each page
 * @extra: references beyond the baseline
 * @f:     receives the finding
 */
int census_check_held(int fd, __u64 first, __u64 nr, __u64 maps, __u64 extra,
		      struct finding *f);

/**
 * census_check_behind() - the pages behind an address range are held by @refs each
 * @addr: in this process, mapped
 * @nr:   number of pages
 * @refs: all references: user mappings and the page cache count, too
 *
 * For memory that is in no guest_memfd.  Needs /proc/self/pagemap (NEED_PAGEMAP).
 */
int census_check_behind(const void *addr, __u64 nr, __u64 refs, struct finding *f);

/* census_check_absent() - nothing backs any page of the range. */
int census_check_absent(int fd, __u64 first, __u64 nr, struct finding *f);

/**
 * census_check_in_place() - the same frames as before, whoever holds them now
 *
 * What must hold across anything that might migrate a page.
 */
int census_check_in_place(const struct census *before, __u64 first, __u64 nr,
			  struct finding *f);

/**
 * census_check_maps_agree() - /proc/kpagecount tells the same mappings
 *
 * Holds the two probes against each other on every backed page of the range.
 */
int census_check_maps_agree(int fd, __u64 first, __u64 nr, struct finding *f);

#endif
