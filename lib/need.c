// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every need is asked of the host by the attempt that a test would make, as a
 * configuration option or a version says less than the kernel's own answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "emulator.h"
#include "folio.h"
#include "folio_proc.h"
#include "guest.h"
#include "need.h"

#define REASONS_MAX	2048

static void need_append(char *all, size_t len, const char *reason)
{
	size_t used = strlen(all);

	snprintf(all + used, len - used, "%s%s", used ? "; " : "", reason);
}

const char *need_join(const char *first, ...)
{
	static char joined[REASONS_MAX];
	char all[REASONS_MAX] = "";	/* a reason may be an earlier result */
	const char *reason;
	va_list ap;

	va_start(ap, first);
	for (reason = first; reason != NEED_END; reason = va_arg(ap, const char *)) {
		if (reason && *reason)
			need_append(all, sizeof(all), reason);
	}
	va_end(ap);

	memcpy(joined, all, sizeof(joined));
	return *joined ? joined : NULL;
}

static const char *need_root(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

	if (!syscall(SYS_capget, &header, data) &&
	    data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN))
		return NULL;
	return "this process has no CAP_SYS_ADMIN: run as root";
}

static const char *need_kvm(void)
{
	static char why[160];
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return NULL;
	}
	snprintf(why, sizeof(why), "cannot open /dev/kvm (%s): %s", strerror(errno),
		 errno == EACCES || errno == EPERM ?
		 "run as root or join the group that owns it" :
		 "enable virtualization in the BIOS and load kvm_intel or kvm_amd");
	return why;
}

static const char *need_gmem(void)
{
	static char why[REASONS_MAX];
	enum guest_type type;
	const char *reason;
	size_t used;

	/* need_kvm() tells it better than each VM type would. */
	reason = need_kvm();
	if (reason)
		return reason;

	snprintf(why, sizeof(why), "no VM type has guest_memfd here");
	for (type = 0; type < GUEST_NR_TYPES; type++) {
		reason = guest_why_not(type);
		if (!reason)
			return NULL;
		used = strlen(why);
		snprintf(why + used, sizeof(why) - used, "%s %s: %s",
			 type ? "," : ":", guest_type_name(type), reason);
	}
	return why;
}

static const char *need_kpage(void)
{
	static const char *const paths[] = { "/proc/kpagecount", "/proc/kpageflags" };
	static char why[160];
	unsigned int i;
	int fd;

	for (i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			snprintf(why, sizeof(why), "cannot open %s (%s): %s",
				 paths[i], strerror(errno), errno == ENOENT ?
				 "build the kernel with CONFIG_PROC_PAGE_MONITOR=y" :
				 "run as root");
			return why;
		}
		close(fd);
	}
	return NULL;
}

static const char *need_pagemap(void)
{
	static char why[160];
	__u64 pfn = 0;
	int err;

	err = folio_proc_pfn(&pfn, &pfn);
	if (!err)
		return NULL;
	if (err == -EPERM)
		return "/proc/self/pagemap hides frame numbers: run as root (CAP_SYS_ADMIN)";
	snprintf(why, sizeof(why), "cannot read /proc/self/pagemap (%s): build the kernel with CONFIG_PROC_PAGE_MONITOR=y",
		 strerror(-err));
	return why;
}

static const char *need_numa(void)
{
	unsigned long node = 1;

	/* From node 0 to node 0: moves nothing, whatever else it answers. */
	if (!syscall(SYS_migrate_pages, 0, 8 * sizeof(node), &node, &node) ||
	    errno != ENOSYS)
		return NULL;
	return "the kernel has no migrate_pages(2): build it with CONFIG_NUMA=y and CONFIG_MIGRATION=y";
}

const char *need_why_not(unsigned int needs)
{
	static const struct {
		unsigned int need;
		const char *(*why_not)(void);
	} all[] = {
		{ NEED_ROOT,	 need_root },
		{ NEED_KVM,	 need_kvm },
		{ NEED_GMEM,	 need_gmem },
		{ NEED_REFCOUNT, folio_why_not },
		{ NEED_KPAGE,	 need_kpage },
		{ NEED_PAGEMAP,	 need_pagemap },
		{ NEED_NUMA,	 need_numa },
		{ NEED_EMULATOR, emulator_why_not },
	};
	static char reasons[REASONS_MAX];
	const char *why;
	unsigned int i;

	/* Without KVM there is no guest_memfd either; once is enough. */
	if (needs & NEED_KVM && need_kvm())
		needs &= ~NEED_GMEM;

	*reasons = '\0';
	for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
		why = needs & all[i].need ? all[i].why_not() : NULL;
		if (why)
			need_append(reasons, sizeof(reasons), why);
	}
	return *reasons ? reasons : NULL;
}
