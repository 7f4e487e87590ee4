// SPDX-License-Identifier: GPL-2.0-only
/*
 * The user side of the BPF probe: load the program, find the vmemmap, and ask
 * for ranges of any length window by window.
 *
 * Loading takes 30 ms, nearly all of it for parsing the kernel's BTF, and a
 * hundred times that in an emulated machine.  So a runner of many test
 * processes loads once and lets them inherit what the kernel gave: two programs,
 * the map in which call and answer stand, and a lock.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf_complaint.h"
#include "folio_bpf.h"
#include "folio_bpf.skel.h"
#include "vmemmap.h"

#define RETRIES		8	/* walks that met a changing xarray */

#define SHARED_FIRST_FD	200
#define NR_SHARED	4
#define SHARED_MAGIC	0x73657074666f6c33ull	/* another layout, another number */

static struct folio_bpf_prog *skel;	/* NULL if inherited */
static struct folio_bpf_prog__bss *bss;	/* NULL until open */
static int by_file_fd, by_pfn_fd;
static pthread_mutex_t *window_lock;	/* NULL if nobody else has the window */

static int run(int prog_fd)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	return bpf_prog_test_run_opts(prog_fd, &opts) ? -errno : 0;
}

static int struct_page(int fd, __u64 index, __u64 *page)
{
	int err;

	bss->folio_call.fd = fd;
	bss->folio_call.first = index;
	bss->folio_call.nr = 1;
	err = run(by_file_fd);
	*page = bss->folio_call.some_page;
	if (err)
		return err;
	return bss->folio_call.error || !*page ? -EIO : 0;
}

static pthread_mutex_t *map_lock(int fd)
{
	void *lock = mmap(NULL, sizeof(*window_lock), PROT_READ | PROT_WRITE, MAP_SHARED,
			  fd, 0);

	return lock == MAP_FAILED ? NULL : lock;
}

/* Take over what folio_bpf_share() of the parent left.  0 if it is usable. */
static int inherit(void)
{
	const char *text = getenv(FOLIO_BPF_SHARED);
	struct folio_bpf_prog__bss *map;
	int fds[NR_SHARED];

	if (!text || sscanf(text, "%d,%d,%d,%d", &fds[0], &fds[1], &fds[2],
			    &fds[3]) != NR_SHARED)
		return -ENOENT;
	map = mmap(NULL, sizeof(*map), PROT_READ | PROT_WRITE, MAP_SHARED, fds[2], 0);
	if (map == MAP_FAILED)
		return -errno;
	window_lock = map_lock(fds[3]);
	if (map->folio_magic != SHARED_MAGIC + sizeof(*map) || !window_lock) {
		munmap(map, sizeof(*map));
		return -EINVAL;
	}
	bss = map;
	by_file_fd = fds[0];
	by_pfn_fd = fds[1];
	return 0;
}

int folio_bpf_open(char *why, unsigned long why_len)
{
	__u64 size;
	int err;

	if (bss || !inherit())
		return 0;

	if (access("/sys/kernel/btf/vmlinux", R_OK)) {
		err = -errno;
		snprintf(why, why_len, "no /sys/kernel/btf/vmlinux (%s); the kernel needs CONFIG_DEBUG_INFO_BTF",
			 strerror(-err));
		return err;
	}

	bpf_complaint_catch();
	skel = folio_bpf_prog__open_and_load();
	err = skel ? 0 : -errno;
	bpf_complaint_release();
	if (err) {
		if (err == -EPERM)
			snprintf(why, why_len, "not allowed to load BPF programs; run as root, and check that kernel lockdown is off");
		else
			snprintf(why, why_len, "the BPF program does not load (%s): %s",
				 strerror(-err), bpf_complaint());
		return err;
	}

	bss = skel->bss;
	by_file_fd = bpf_program__fd(skel->progs.folio_by_file);
	by_pfn_fd = bpf_program__fd(skel->progs.folio_by_pfn);
	err = run(bpf_program__fd(skel->progs.folio_layout));
	if (err) {
		snprintf(why, why_len, "BPF_PROG_TEST_RUN: %s", strerror(-err));
	} else {
		size = bss->folio_page_size;
		if (!(size & (size - 1)))
			bss->folio_page_shift = __builtin_ctzll(size);
		err = vmemmap_find(struct_page, size, &bss->folio_vmemmap, why, why_len);
	}
	if (err)
		folio_bpf_close();
	return err;
}

int folio_bpf_vmemmap(__u64 *base, __u64 *page_bytes)
{
	if (!bss)
		return -ENODATA;
	*base = bss->folio_vmemmap;
	*page_bytes = bss->folio_page_size;
	return 0;
}

void folio_bpf_close(void)
{
	if (bss && !skel)
		munmap(bss, sizeof(*bss));
	folio_bpf_prog__destroy(skel);
	skel = NULL;
	bss = NULL;
}

int folio_bpf_share(void)
{
	pthread_mutexattr_t attr;
	int fds[NR_SHARED], i;
	char text[64];

	if (!skel)
		return bss ? 0 : -ENODATA;
	fds[0] = by_file_fd;
	fds[1] = by_pfn_fd;
	fds[2] = bpf_map__fd(skel->maps.bss);
	/* Apart from the map, in whose memory futexes do not work. */
	fds[3] = memfd_create("sept-lock", MFD_CLOEXEC);
	if (fds[3] < 0 || ftruncate(fds[3], sizeof(*window_lock)))
		return -errno;
	window_lock = map_lock(fds[3]);
	if (!window_lock)
		return -ENOMEM;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(window_lock, &attr);

	/* Without FD_CLOEXEC, and out of the way of small numbers with a meaning. */
	for (i = 0; i < NR_SHARED; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD, SHARED_FIRST_FD);
		if (fds[i] < 0)
			return -errno;
	}
	bss->folio_magic = SHARED_MAGIC + sizeof(*bss);
	snprintf(text, sizeof(text), "%d,%d,%d,%d", fds[0], fds[1], fds[2], fds[3]);
	return setenv(FOLIO_BPF_SHARED, text, 1) ? -errno : 0;
}

/* Between processes that share the window; within one, lib/folio.c has a lock. */
static void window_take(void)
{
	if (window_lock && pthread_mutex_lock(window_lock) == EOWNERDEAD)
		pthread_mutex_consistent(window_lock);
}

static void window_give(void)
{
	if (window_lock)
		pthread_mutex_unlock(window_lock);
}

/* One window. */
static int ask_file(int fd, __u64 first, __u32 nr)
{
	struct folio_call *call = &bss->folio_call;
	int err, tries;

	for (tries = 0; tries < RETRIES; tries++) {
		call->fd = fd;
		call->first = first;
		call->nr = nr;
		err = run(by_file_fd);
		if (err)
			return err;
		switch (call->error) {
		case FOLIO_E_NONE:
			return 0;
		case FOLIO_E_NO_FD:
			return -EBADF;
		case FOLIO_E_NO_MAPPING:
			return -EINVAL;
		}
	}
	return -EAGAIN;
}

int folio_bpf_by_file(int fd, __u64 first, __u64 nr, struct folio_record *out,
		      struct folio_cache *cache)
{
	__u64 done, part;
	int err = 0;

	for (done = 0; !err && done < nr; done += part) {
		part = nr - done < FOLIO_WINDOW ? nr - done : FOLIO_WINDOW;
		window_take();
		err = ask_file(fd, first + done, part);
		if (!err)
			memcpy(out + done, bss->folio_window, part * sizeof(*out));
		if (!err && cache) {
			cache->mapping = bss->folio_call.mapping;
			cache->ino = bss->folio_call.ino;
		}
		window_give();
	}
	return err;
}

int folio_bpf_by_pfn(struct folio_record *recs, __u64 nr,
		     const struct folio_cache *cache)
{
	__u64 done, part;
	int err = 0;

	for (done = 0; !err && done < nr; done += part) {
		part = nr - done < FOLIO_WINDOW ? nr - done : FOLIO_WINDOW;
		window_take();
		memcpy(bss->folio_window, recs + done, part * sizeof(*recs));
		bss->folio_call.nr = part;
		bss->folio_call.mapping = cache->mapping;
		bss->folio_call.ino = cache->ino;
		err = run(by_pfn_fd);
		if (!err)
			memcpy(recs + done, bss->folio_window, part * sizeof(*recs));
		window_give();
	}
	return err;
}
