// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <numaif.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "census.h"
#include "folio_proc.h"
#include "gmem.h"
#include "node.h"
#include "onlooker.h"
#include "peer.h"
#include "pressure.h"

#define PAGE_BYTES	4096ull
#define AT_ONCE		16ull		/* pages that a pipe takes, unless told otherwise */
#define START_MS	5000

#ifndef SYS_cachestat
#define SYS_cachestat	451
#endif

struct onlooker {
	enum onlooker_kind kind;
	struct peer *peer;
	int fd;
	char *map;
	__u64 nr;
	pid_t target;		/* whose map it is */
	bool hidden, looked;

	/* Of the process that looks. */
	struct census *pages;
	char *copy;
	int pipe[2], nodes[2];
	int *status, *to;
	void **addr;
};

/*
 * Each way to look returns whether it has seen a page, or -errno.
 */

static int ask_residency(struct onlooker *o)
{
	struct { __u64 off, len; } range = { 0, o->nr * PAGE_BYTES };
	__u64 stat[5];

	if (o->map && mincore(o->map, range.len, (unsigned char *)o->copy))
		return -errno;
	/* Older kernels do not have it; mincore() does as well. */
	if (!syscall(SYS_cachestat, o->fd, &range, stat, 0))
		return true;
	return errno == ENOSYS || errno == EOPNOTSUPP ? !!o->map : -errno;
}

static int look_up(struct onlooker *o)
{
	return gmem_allocate(o->fd, 0, o->nr) ?: true;
}

static int read_kpage(struct onlooker *o)
{
	__u64 i, pfn, out;
	int err = 0;

	for (i = 0; i < o->nr && !err; i++) {
		pfn = folio_pfn(census_page(o->pages, i));
		err = folio_proc_maps(pfn, &out) ?: folio_proc_flags(pfn, &out);
	}
	return err ?: true;
}

static struct iovec piece(const struct onlooker *o, __u64 first)
{
	return (struct iovec){
		.iov_base = o->map + first * PAGE_BYTES,
		.iov_len = (o->nr - first < AT_ONCE ? o->nr - first : AT_ONCE) * PAGE_BYTES,
	};
}

/* Of @n bytes out of @len: shorter by what cannot be seen, up to all of it. */
static int seen_of(const struct onlooker *o, ssize_t n, size_t len)
{
	if (n < 0)
		return o->hidden && errno == EFAULT ? false : -errno;
	return n != (ssize_t)len && !o->hidden ? -EIO : n > 0;
}

static int splice_and_drain(struct onlooker *o)
{
	struct iovec there;
	bool seen = false;
	ssize_t n;
	__u64 i;
	int rc;

	for (i = 0; i < o->nr; i += AT_ONCE) {
		there = piece(o, i);
		n = vmsplice(o->pipe[1], &there, 1, 0);
		rc = seen_of(o, n, there.iov_len);
		if (rc > 0 && read(o->pipe[0], o->copy, n) != n)
			rc = -EIO;
		if (rc < 0)
			return rc;
		seen |= rc;
	}
	return seen;
}

/* Not all at once: the kernel keeps a call's pages pinned while it copies them. */
static int read_remotely(struct onlooker *o)
{
	struct iovec here, there;
	bool seen = false;
	__u64 i;
	int rc;

	for (i = 0; i < o->nr; i += AT_ONCE) {
		there = piece(o, i);
		here = (struct iovec){ o->copy, there.iov_len };
		rc = seen_of(o, process_vm_readv(o->target, &here, 1, &there, 1, 0),
			     there.iov_len);
		if (rc < 0)
			return rc;
		seen |= rc;
	}
	return seen;
}

/*
 * To one node and to the other.  Those that are elsewhere are isolated, and put back if
 * they may not move, as a guest_memfd's may not.
 */
static int isolate(struct onlooker *o)
{
	unsigned int node;
	bool seen = false;
	__u64 i;

	for (i = 0; i < o->nr; i++)
		o->addr[i] = o->map + i * PAGE_BYTES;
	for (node = 0; node < 2; node++) {
		if (move_pages(o->target, o->nr, o->addr, NULL, o->status, 0) < 0)
			return -errno;
		for (i = 0; i < o->nr; i++) {
			seen |= o->status[i] >= 0 && o->status[i] != o->nodes[node];
			o->to[i] = o->nodes[node];
		}
		if (move_pages(o->target, o->nr, o->addr, o->to, o->status, MPOL_MF_MOVE_ALL) < 0)
			return -errno;
	}
	return seen;
}

static int compact(struct onlooker *o __attribute__((unused)))
{
	unsigned int moved;

	return pressure_compact(&moved) ?: moved > 0;
}

static const struct {
	const char *name;
	int (*look)(struct onlooker *o);
	bool by_map;
} kinds[ONLOOKER_NR_KINDS] = {
	[ONLOOKER_RESIDENCY]	= { "questions of residency", ask_residency },
	[ONLOOKER_LOOKUP]	= { "page-cache lookups", look_up },
	[ONLOOKER_KPAGE]	= { "reads of /proc/kpage*", read_kpage },
	[ONLOOKER_SPLICE]	= { "vmsplice()", splice_and_drain, true },
	[ONLOOKER_REMOTE]	= { "process_vm_readv()", read_remotely, true },
	[ONLOOKER_MOVE]		= { "move_pages()", isolate, true },
	[ONLOOKER_COMPACTION]	= { "compaction", compact },
};

const char *onlooker_name(enum onlooker_kind kind)
{
	return kinds[kind].name;
}

const char *onlooker_why_not(enum onlooker_kind kind)
{
	int nodes[2];

	return kind == ONLOOKER_MOVE ? node_find_two(nodes) :
	       kind == ONLOOKER_COMPACTION ? pressure_no_compaction() : NULL;
}

static int look_on(struct peer *me, void *arg)
{
	struct onlooker *o = arg;
	bool seen = false, told = false;
	int rc;

	if (pipe(o->pipe))
		return -errno;
	peer_tell(me, 0);
	do {
		rc = kinds[o->kind].look(o);
		if (rc < 0)
			return rc;
		seen |= rc;
		if (!told)
			peer_tell(me, 0);
		told = true;
		rc = peer_hear(me, NULL, 0);
	} while (rc == -ETIMEDOUT);
	return rc ?: seen ? 0 : -ENODATA;
}

/* All that looking needs is had before there are two processes. */
static int prepare(struct onlooker *o)
{
	if (kinds[o->kind].by_map && !o->map)
		return -EFAULT;
	o->copy = malloc(o->nr * PAGE_BYTES);
	o->status = calloc(o->nr, sizeof(*o->status));
	o->to = calloc(o->nr, sizeof(*o->to));
	o->addr = calloc(o->nr, sizeof(*o->addr));
	if (!o->copy || !o->status || !o->to || !o->addr)
		return -ENOMEM;
	if (o->kind == ONLOOKER_MOVE && node_find_two(o->nodes))
		return -EOPNOTSUPP;
	return o->kind == ONLOOKER_KPAGE ? census_take(&o->pages, o->fd, 0, o->nr) : 0;
}

static void onlooker_free(struct onlooker *o)
{
	census_free(o->pages);
	free(o->copy);
	free(o->status);
	free(o->to);
	free(o->addr);
	free(o);
}

int onlooker_start(struct onlooker **out, enum onlooker_kind kind, int fd, char *map, __u64 nr,
		   bool hidden)
{
	struct onlooker *o = calloc(1, sizeof(*o));
	int err;

	*out = NULL;
	if (!o)
		return -ENOMEM;
	*o = (struct onlooker){ .kind = kind, .fd = fd, .map = map, .nr = nr,
				.hidden = hidden, .target = getpid() };
	err = prepare(o) ?: peer_start(&o->peer, look_on, o);
	if (!err) {
		err = peer_hear(o->peer, NULL, START_MS);
		if (err)
			peer_kill(o->peer);
	}
	if (err) {
		onlooker_free(o);
		return err;
	}
	*out = o;
	return 0;
}

int onlooker_wait(struct onlooker *o, unsigned int ms)
{
	int err = o->looked ? 0 : peer_hear(o->peer, NULL, ms);

	o->looked = !err;
	return err;
}

int onlooker_stop(struct onlooker *o, unsigned int ms)
{
	int err;

	peer_tell(o->peer, 0);
	err = peer_join(o->peer, ms);
	onlooker_free(o);
	return err;
}
