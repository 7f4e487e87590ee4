// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "folio.h"
#include "folio_bpf.h"
#include "folio_kcore.h"

static const struct probe {
	const char *name;
	int (*open)(char *why, unsigned long why_len);
	int (*by_file)(int fd, __u64 first, __u64 nr, struct folio_record *out,
		       struct folio_cache *cache);
	int (*by_pfn)(struct folio_record *recs, __u64 nr,
		      const struct folio_cache *cache);
} probes[] = {
	{ "bpf", folio_bpf_open, folio_bpf_by_file, folio_bpf_by_pfn },
	{ "kcore", folio_kcore_open, folio_kcore_by_file, folio_kcore_by_pfn },
};

#define NR_PROBES (sizeof(probes) / sizeof(probes[0]))

static const struct probe *chosen;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char why_not[1024];

/*
 * A probe opened before fork(2) is shared by parent and child, down to the
 * window in which the answers stand.  The lock is robust, for the sake of
 * peers that are killed in the middle.
 */
static pthread_mutex_t *lock;

static void __attribute__((constructor)) lock_init(void)
{
	pthread_mutexattr_t attr;

	lock = mmap(NULL, sizeof(*lock), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (lock == MAP_FAILED)
		abort();
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(lock, &attr);
}

static void lock_take(void)
{
	if (pthread_mutex_lock(lock) == EOWNERDEAD)
		pthread_mutex_consistent(lock);
}

static void choose_once(void)
{
	const char *want = getenv("SEPT_PROBE");
	char why[400];
	size_t i, len = 0;

	if (want && !strcmp(want, "none")) {
		snprintf(why_not, sizeof(why_not),
			 "no reference counts: SEPT_PROBE=none asks for no probe");
		return;
	}
	for (i = 0; i < NR_PROBES; i++) {
		if (want && *want && strcmp(want, probes[i].name))
			continue;
		if (!probes[i].open(why, sizeof(why))) {
			chosen = &probes[i];
			return;
		}
		len += snprintf(why_not + len, sizeof(why_not) - len, "%s%s: %s",
				len ? ", and " : "no reference counts: ",
				probes[i].name, why);
	}
	if (!len)
		snprintf(why_not, sizeof(why_not),
			 "no reference counts: SEPT_PROBE=%.100s is none of bpf, kcore, none",
			 want);
}

static void choose(void)
{
	pthread_once(&once, choose_once);
}

const char *folio_probe(void)
{
	choose();
	return chosen ? chosen->name : "none";
}

const char *folio_why_not(void)
{
	choose();
	return chosen ? NULL : why_not;
}

int folio_by_file(int fd, __u64 first, __u64 nr, struct folio_record *out,
		  struct folio_cache *cache)
{
	int err;

	choose();
	if (!chosen)
		return -ENODATA;
	lock_take();
	err = chosen->by_file(fd, first, nr, out, cache);
	pthread_mutex_unlock(lock);
	return err;
}

int folio_by_pfn(struct folio_record *recs, __u64 nr,
		 const struct folio_cache *cache)
{
	int err;

	choose();
	if (!chosen)
		return -ENODATA;
	lock_take();
	err = chosen->by_pfn(recs, nr, cache);
	pthread_mutex_unlock(lock);
	return err;
}

const char *folio_describe(const struct folio_record *rec, char *buf, unsigned long len)
{
	static const char * const names[FOLIO_NR_FLAGS] = {
		"present", "shadow", "lru", "unevictable", "uptodate", "dirty",
		"writeback", "locked", "hwpoison", "large", "tail", "hugetlb",
		"pinned", "in file", "no mapping", "anon", "buddy", "typed",
	};
	unsigned int flags = folio_flags(rec), bit;
	int n;

	if (!folio_present(rec)) {
		snprintf(buf, len, flags & FOLIO_SHADOW ? "no page (shadow entry)" : "no page");
		return buf;
	}
	n = snprintf(buf, len, "pfn 0x%llx order %u refs %d maps %u", folio_pfn(rec),
		     folio_order(rec), (int)rec->refs, rec->maps);
	for (bit = 1; bit < FOLIO_NR_FLAGS; bit++)
		if (flags >> bit & 1 && n > 0 && (unsigned long)n < len)
			n += snprintf(buf + n, len - n, " %s", names[bit]);
	return buf;
}
