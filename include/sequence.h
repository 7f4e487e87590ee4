/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SEQUENCE_H
#define SEQUENCE_H

#include "census.h"
#include "finding.h"
#include "order.h"

/**
 * DOC: sequence
 *
 * What must come before what when a page leaves a TD, and when a TD dies; held
 * against a trace (order.h).  A finding names the page, and the two events that are
 * the wrong way round, with number and time; all events of that page go to stderr.
 *
 * Both checks wait, bounded, for what is missing (settle.h).
 *
 * Return: 0 if the order holds; 1 if not, with *f filled in; -EOVERFLOW if the trace
 * has holes, whatever it says; or -errno.
 */

/**
 * enum sequence_fate - what has become of pages that a TD had
 * @SEQUENCE_ZAPPED:   taken from the S-EPT; still in the file
 * @SEQUENCE_PUNCHED:  then they left the file, before KVM said that it was done
 * @SEQUENCE_RELEASED: then they left the file, at any time
 */
enum sequence_fate {
	SEQUENCE_ZAPPED,
	SEQUENCE_PUNCHED,
	SEQUENCE_RELEASED,
};

/**
 * sequence_check_pages() - each page went step by step
 * @o:      the trace
 * @before: what backed the range while the TD had it
 * @first:  first page, inside @before; pages not backed are passed over
 * @nr:     number of pages
 * @since:  from order_mark(), when the TD had the pages
 * @fate:   what has happened since
 * @f:      receives the finding
 *
 * KVM begins < BLOCK < TRACK < REMOVE < WBINVD < KVM ends, all but TRACK by the
 * thread that began; then, as @fate says, the page leaves the cache < is freed.
 * TRACK is asked for only if the TD had been finalized.
 */
int sequence_check_pages(struct order *o, const struct census *before, __u64 first, __u64 nr,
			 size_t since, enum sequence_fate fate, struct finding *f);

/**
 * sequence_check_teardown() - TDs died step by step
 * @o:     the trace
 * @since: from order_mark(); only TDs that were created after it
 * @nr:    how many TDs there must have been
 * @f:     receives the finding
 *
 * Last REMOVE < VM is destroyed; that and VP.FLUSH of each vCPU < VPFLUSHDONE <
 * CACHE.WB < KEY.FREEID < RECLAIM of each S-EPT and control page, the TDR last;
 * and each of them is freed after its RECLAIM, the TDR also after its WBINVD.
 */
int sequence_check_teardown(struct order *o, size_t since, unsigned int nr, struct finding *f);

#endif
