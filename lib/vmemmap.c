// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "folio_proc.h"
#include "vmemmap.h"

#define NR_PAGES	16
#define PAGE_BYTES	4096ul
#define TRIES		100	/* per page; compaction may move it at any time */

/* The base as one page of the memfd tells it, seen in one place all the while. */
static int base_by_page(int (*struct_page)(int fd, __u64 index, __u64 *page), int fd,
			char *map, __u64 index, __u64 page_size, __u64 *base,
			char *why, unsigned long why_len)
{
	__u64 before, after = 0, page;
	int err, tries;

	for (tries = 0; tries < TRIES; tries++) {
		/* Mapped for certain, also right after a migration. */
		((volatile char *)map)[index * PAGE_BYTES] = 1;
		err = folio_proc_pfn(map + index * PAGE_BYTES, &before);
		if (err && err != -ENOENT) {
			snprintf(why, why_len,
				 "/proc/self/pagemap tells no frame numbers (%s); run as root",
				 strerror(-err));
			return err;
		}
		if (err)
			continue;
		err = struct_page(fd, index, &page);
		if (err) {
			snprintf(why, why_len, "the walk does not find the pages of a memfd (%s)",
				 strerror(-err));
			return err;
		}
		if (!folio_proc_pfn(map + index * PAGE_BYTES, &after) && after == before) {
			*base = page - before * page_size;
			return 0;
		}
	}
	snprintf(why, why_len, "the pages of a memfd do not stay in place");
	return -EAGAIN;
}

int vmemmap_find(int (*struct_page)(int fd, __u64 index, __u64 *page),
		 __u64 page_size, __u64 *base, char *why, unsigned long why_len)
{
	char *map = MAP_FAILED;
	__u64 index, other;
	int fd, err;

	fd = memfd_create("sept-vmemmap", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, NR_PAGES * PAGE_BYTES) ||
	    (map = mmap(NULL, NR_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			fd, 0)) == MAP_FAILED) {
		err = -errno;
		snprintf(why, why_len, "cannot map a memfd of %d pages: %s", NR_PAGES,
			 strerror(-err));
		goto out;
	}
	err = base_by_page(struct_page, fd, map, 0, page_size, base, why, why_len);
	for (index = 1; !err && index < NR_PAGES; index++) {
		err = base_by_page(struct_page, fd, map, index, page_size, &other, why,
				   why_len);
		if (!err && other != *base) {
			err = -ENOTSUP;
			snprintf(why, why_len,
				 "struct page is not one array here (no SPARSEMEM_VMEMMAP)");
		}
	}
	munmap(map, NR_PAGES * PAGE_BYTES);
out:
	if (fd >= 0)
		close(fd);
	return err;
}
