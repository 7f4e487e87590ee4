/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SETTLE_H
#define SETTLE_H

#include <stdbool.h>
#include <linux/types.h>

/**
 * DOC: settle
 *
 * Waiting, bounded, for transient references to go: the per-CPU LRU batches
 * that hold a folio for a while after it was added (mm/swap.c), speculative
 * gets by GUP-fast, page-cache lookups and compaction scans.  The rule of the
 * suite is that a page need only be seen once as it should be; what is never
 * seen so within the limit is a leak.
 *
 *	struct settle s;
 *
 *	settle_start(&s);
 *	do {
 *		bad = look();
 *	} while (bad && settle_again(&s));
 *
 * The limit is 2 s, or $SEPT_SETTLE_MS.
 */
struct settle {
	__u64 start_ns, look_until_ns;
	unsigned int tries;	/* drains and sleeps */
};

void settle_start(struct settle *s);

/**
 * settle_again() - wait a little, after a look that failed
 * @s: from settle_start()
 *
 * The first calls drain the LRU batches of all CPUs, the later ones sleep, and for an
 * eighth of that time return at once: it takes looks at a stretch to see what somebody
 * hardly ever lets go of.
 *
 * Return: true if it is worth another look, false if the limit is reached and
 * the batches have been drained.
 */
bool settle_again(struct settle *s);

/* Milliseconds since settle_start(). */
unsigned int settle_ms(const struct settle *s);

/**
 * settle_drain() - empty the LRU batches of all CPUs, now
 *
 * By migrate_pages(2) from each node to itself, which moves nothing but disables
 * and thereby drains the batches first (mm/migrate.c, lru_cache_disable()); on
 * kernels without NUMA by visiting each CPU and draining it with MADV_COLD.
 *
 * Return: 0, or -errno if neither is possible.
 */
int settle_drain(void);

/**
 * settle_longest_ms() - the longest wait that ended well, since settle_forget()
 *
 * What the result of a case records.
 */
unsigned int settle_longest_ms(void);
void settle_forget(void);

/* Count a wait that ended well.  Called by the checks of census.h and meter.h. */
void settle_done(const struct settle *s);

#endif
