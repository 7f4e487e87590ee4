// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kcore.h"
#include "sept.h"

#define RETRIES		8	/* walks that met a changing kernel */
#define MAX_ROOTS	64
#define NR_ENTRIES	512

/* arch/x86/kvm/mmu/spte.h */
#define SPTE_PRESENT	(1ull << 11)
#define SPTE_LARGE	(1ull << 7)
#define SPTE_PFN	0x000ffffffffff000ull

/* Where things are.  gmem_kvm was in struct kvm_gmem until 6.18. */
static struct {
	int file_private, gmem_kvm, kvm_roots, page_link, page_role, page_spt;
	int level_bit, mirror_bit;
} at;

static int learn_layout(char *why, size_t why_len)
{
	int arch, roots;

	if (at.page_spt > 0)
		return 0;
	at.file_private = kcore_offset("file", "private_data", NULL);
	at.gmem_kvm = kcore_offset("gmem_file", "kvm", NULL);
	if (at.gmem_kvm < 0)
		at.gmem_kvm = kcore_offset("kvm_gmem", "kvm", NULL);
	arch = kcore_offset("kvm", "arch", NULL);
	roots = kcore_offset("kvm_arch", "tdp_mmu_roots", NULL);
	at.kvm_roots = arch + roots;
	at.page_link = kcore_offset("kvm_mmu_page", "link", NULL);
	at.page_role = kcore_offset("kvm_mmu_page", "role", NULL);
	at.level_bit = kcore_bit_offset("kvm_mmu_page_role", "level");
	at.mirror_bit = kcore_bit_offset("kvm_mmu_page_role", "is_mirror");
	at.page_spt = kcore_offset("kvm_mmu_page", "spt", NULL);
	if (at.file_private < 0 || at.gmem_kvm < 0 || arch < 0 || roots < 0 || at.page_link < 0 ||
	    at.page_role < 0 || at.level_bit < 0 || at.mirror_bit < 0 || at.page_spt < 0) {
		at.page_spt = 0;
		snprintf(why, why_len, "this kernel's BTF does not tell where KVM keeps a TD's page tables");
		return -ENOTSUP;
	}
	return 0;
}

static int add(struct sept *s, __u64 pfn, __u64 nr)
{
	while (nr--) {
		if (s->nr == s->room) {
			size_t room = s->room ? 2 * s->room : 1024;
			__u64 *pfns = realloc(s->pfns, room * sizeof(*pfns));

			if (!pfns)
				return -ENOMEM;
			s->pfns = pfns;
			s->room = room;
		}
		s->pfns[s->nr++] = pfn++;
	}
	return 0;
}

/* What a table of @level maps; its address is virtual for the root alone. */
static int walk(struct sept *s, __u64 table, unsigned int level, bool root)
{
	__u64 entries[NR_ENTRIES], pa;
	unsigned int i;
	int err;

	err = root ? kcore_load(table, entries, sizeof(entries)) :
	      kcore_load_phys(table, entries, sizeof(entries));
	for (i = 0; !err && i < NR_ENTRIES; i++) {
		if (!(entries[i] & SPTE_PRESENT))
			continue;
		pa = entries[i] & SPTE_PFN;
		if (level > 1 && !(entries[i] & SPTE_LARGE))
			err = walk(s, pa, level - 1, false);
		else
			err = add(s, pa >> 12, 1ull << 9 * (level - 1));
	}
	return err;
}

static int walk_all(struct sept *s, int fd)
{
	__u64 file, gmem, kvm, head, link, page, role;
	int err = kcore_file(fd, &file), i;
	unsigned int level;

	s->nr = 0;
	gmem = kcore_follow(file, at.file_private, &err);
	kvm = kcore_follow(gmem, at.gmem_kvm, &err);
	head = kvm + at.kvm_roots;
	link = kcore_follow(head, 0, &err);
	for (i = 0; !err && link != head && i < MAX_ROOTS; i++) {
		page = link - at.page_link;
		role = kcore_follow(page, at.page_role, &err);
		level = role >> at.level_bit & 15;
		if (!err && role >> at.mirror_bit & 1 && level >= 1 && level <= 5)
			err = walk(s, kcore_follow(page, at.page_spt, &err), level, true);
		link = kcore_follow(link, 0, &err);
	}
	return err;
}

static int by_number(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

/* Of other files private_data is something else. */
static bool is_gmem(int fd)
{
	char link[64], name[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = '\0';
	return strstr(name, "[kvm-gmem]");
}

static int begin(char *why, size_t why_len)
{
	return kcore_open(why, why_len) ?: learn_layout(why, why_len);
}

const char *sept_why_not(void)
{
	static char why[200];

	return begin(why, sizeof(why)) ? why : NULL;
}

int sept_read(int fd, struct sept *out, char *why, size_t why_len)
{
	int err, tries;

	memset(out, 0, sizeof(*out));
	if (!is_gmem(fd))
		return 0;
	err = begin(why, why_len);
	if (err)
		return err;
	for (tries = 0; tries < RETRIES; tries++) {
		err = walk_all(out, fd);
		if (err != -EAGAIN)
			break;
	}
	if (err)
		snprintf(why, why_len, "KVM's page tables: %s", strerror(-err));
	else if (out->nr)
		qsort(out->pfns, out->nr, sizeof(*out->pfns), by_number);
	return err;
}

void sept_free(struct sept *s)
{
	free(s->pfns);
	memset(s, 0, sizeof(*s));
}

bool sept_maps(const struct sept *s, __u64 pfn)
{
	return s->nr && bsearch(&pfn, s->pfns, s->nr, sizeof(*s->pfns), by_number);
}
