/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef ORDER_H
#define ORDER_H

#include <stddef.h>
#include <linux/types.h>
#include <sys/types.h>

#include "../lib/order.bpf.h"

/**
 * DOC: order
 *
 * A trace of what is done to a TD's pages, in order: invalidations by KVM, SEAMCALLs
 * with their PFN, GPA and status, pages that leave the page cache, pages that are
 * freed, VMs that are destroyed.  From kprobes and tracepoints, by BPF, so it works
 * on hardware and emulated machines alike.
 *
 * It knows TDs that were created, after order_start(), by this process or another
 * that is followed, until their TDR is freed, whoever works on them.
 *
 * The trace is bounded: order_why_holes() tells when something was dropped.
 * sequence.h and audit.h hold it against what must be.
 *
 * Threads: one at a time per trace; what is traced may go on meanwhile.
 */
struct order;

/**
 * order_start() - start to trace
 * @out: receives the trace, to be given to order_stop(); NULL on failure
 *
 * Return: NULL; or why the kernel cannot be traced, in a sentence.  Static storage.
 */
const char *order_start(struct order **out);
void order_stop(struct order *o);	/* NULL is fine */

/**
 * order_replay() - a trace that was made up, for tests of those who read traces
 * @out:    receives the trace, to be given to order_stop()
 * @events: what happened, copied
 * @nr:     how many
 *
 * Return: 0 or -ENOMEM.
 */
int order_replay(struct order **out, const struct order_event *events, size_t nr);

/* Trace also TDs that this process creates from now on. */
int order_follow(struct order *o, pid_t pid);

/* What the trace is made from, in words, for people. */
const char *order_sources(const struct order *o);

/**
 * order_events() - all events so far
 * @o:  the trace
 * @nr: receives how many
 *
 * Return: valid until the next call that takes @o; NULL if there are none.
 */
const struct order_event *order_events(struct order *o, size_t *nr);

/**
 * order_why_holes() - why the trace may not be complete
 *
 * Return: a sentence, or NULL if it is.  Static storage.
 */
const char *order_why_holes(struct order *o);

/* Where the trace stands: how many events there have been. */
size_t order_mark(struct order *o);

/**
 * order_describe() - an event in words, with its number and time
 * @o:     the trace
 * @event: index in order_events()
 * @buf:   receives the text, always terminated
 * @len:   size of @buf, 160 is enough
 *
 * Example: "MEM.PAGE.REMOVE (event 812, 12.345678 s, thread 77, cpu 1)".
 *
 * Return: @buf.
 */
const char *order_describe(const struct order *o, size_t event, char *buf, size_t len);

/**
 * order_visit_pages() - what is known of all pages that TDs have, or had when freed
 * @o:     the trace
 * @visit: called for each
 * @ctx:   handed to it
 *
 * Return: 0 or -errno.
 */
int order_visit_pages(struct order *o,
		      void (*visit)(void *ctx, __u64 pfn, const struct order_page *page),
		      void *ctx);

#endif
