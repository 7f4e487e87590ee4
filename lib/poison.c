// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "folio_proc.h"
#include "host.h"
#include "poison.h"
#include "settle.h"

#define CORRUPT		"/sys/kernel/debug/hwpoison/corrupt-pfn"
#define UNPOISON	"/sys/kernel/debug/hwpoison/unpoison-pfn"
#define RETIRE		"/sys/devices/system/memory/soft_offline_page"
#define PAGE_BYTES	4096ull

const char *poison_why_not(void)
{
	if (host_may_set(CORRUPT) || host_may_set(UNPOISON))
		return "no memory errors can be simulated: needs root, debugfs at /sys/kernel/debug, and a kernel with CONFIG_HWPOISON_INJECT that is not locked down";
	return NULL;
}

/* How the journal spells it, and both files read it. */
static const char *spell(char *text, size_t len, __u64 pfn)
{
	snprintf(text, len, "0x%llx", pfn);
	return text;
}

int poison_is(__u64 pfn)
{
	__u64 flags;
	int err = folio_proc_flags(pfn, &flags);

	return err ?: (int)(flags >> FOLIO_KPF_HWPOISON & 1);
}

static int write_number(const char *path, __u64 number)
{
	char text[32];
	int fd = open(path, O_WRONLY | O_CLOEXEC), err;

	if (fd < 0)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	spell(text, sizeof(text), number);
	err = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return err;
}

static int by_frame(void *addr, __u64 pfn)
{
	(void)addr;
	return write_number(CORRUPT, pfn);
}

static int by_address(void *addr, __u64 pfn)
{
	(void)pfn;
	return madvise(addr, PAGE_BYTES, MADV_HWPOISON) ? -errno : 0;
}

static int softly(void *addr, __u64 pfn)
{
	(void)addr;
	return write_number(RETIRE, pfn * PAGE_BYTES);
}

/* Do it, noted beforehand. */
static int inject(int (*how)(void *addr, __u64 pfn), void *addr, __u64 pfn)
{
	const int was = poison_is(pfn);
	char frame[32];
	int err;

	if (was < 0)
		return was;
	spell(frame, sizeof(frame), pfn);
	err = was ? 0 : host_owe(UNPOISON, frame);
	if (err)
		return err;
	err = how(addr, pfn);
	/* The answer does not tell whether the page is taken for bad now. */
	if (!was && poison_is(pfn) == 0)
		host_forgive(UNPOISON, frame);
	return err;
}

int poison_inject(__u64 pfn)
{
	return inject(by_frame, NULL, pfn);
}

int poison_behind(void *addr)
{
	__u64 pfn;
	int err = folio_proc_pfn(addr, &pfn);

	return err ?: inject(by_address, addr, pfn);
}

int poison_retire(__u64 pfn)
{
	return inject(softly, NULL, pfn);
}

int poison_for_good(__u64 pfn)
{
	return by_frame(NULL, pfn);
}

int poison_undo(__u64 pfn)
{
	char frame[32];
	struct settle s;
	int err;

	spell(frame, sizeof(frame), pfn);
	settle_start(&s);
	do {
		err = host_pay(UNPOISON, frame);
	} while (err == -EBUSY && settle_again(&s));
	return err;
}
