/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef ONLOOKER_H
#define ONLOOKER_H

#include <stdbool.h>

#include <linux/types.h>

/**
 * DOC: onlooker
 *
 * A process that looks at pages of a file, over and over.  For most kinds of a look the
 * kernel takes references on the pages, or locks them, for a moment; as it does all day.
 * That is no leak, and nothing may wait for its end in vain.
 *
 * Who makes pages private meanwhile says so: that one cannot be seen is no error then, but
 * no look either.
 */
enum onlooker_kind {
	ONLOOKER_RESIDENCY,	/* mincore(), cachestat(): lookups without a lock */
	ONLOOKER_LOOKUP,	/* to allocate what is there: under the folio's lock */
	ONLOOKER_KPAGE,		/* /proc/kpagecount and /proc/kpageflags */
	ONLOOKER_SPLICE,	/* vmsplice(): GUP-fast, as the pages are mapped there, too */
	ONLOOKER_REMOTE,	/* process_vm_readv(): GUP of another process's mapping */
	/* Those from here on have looked only if there was anything to move. */
	ONLOOKER_MOVE,		/* move_pages() to both nodes: isolated, put back */
	ONLOOKER_COMPACTION,	/* of the whole host, which may take seconds */
	ONLOOKER_NR_KINDS,
};

struct onlooker;

/* Its name for a report. */
const char *onlooker_name(enum onlooker_kind kind);

/* Why there is none of this kind here, in one sentence, or NULL.  Static storage. */
const char *onlooker_why_not(enum onlooker_kind kind);

/**
 * onlooker_start() - let one look at the first pages of a file
 * @out:  receives it; NULL on error
 * @kind: how it looks
 * @fd:   the file, with its pages 0 to @nr - 1 present
 * @map:  where the caller has mapped them; NULL for kinds that do without
 * @nr:   pages
 * @hidden: whether some may be private meanwhile; if not, to see less than all is -EIO
 *
 * Return: 0 or -errno; -EFAULT if the kind needs a mapping.
 */
int onlooker_start(struct onlooker **out, enum onlooker_kind kind, int fd, char *map, __u64 nr,
		   bool hidden);

/**
 * onlooker_wait() - until the first look has ended
 * @ms: how long
 *
 * Return: 0, -ETIMEDOUT, or -EPIPE if it has ended itself; onlooker_stop() tells why.
 */
int onlooker_wait(struct onlooker *o, unsigned int ms);

/**
 * onlooker_stop() - let it end with this look, and free it
 * @ms: how long that may take; then it is killed
 *
 * Return: 0; what a look has failed with; -ENODATA if none has seen a page (compaction,
 * moves: has had any to move); or -ETIMEDOUT.
 */
int onlooker_stop(struct onlooker *o, unsigned int ms);

#endif
