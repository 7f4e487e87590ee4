// SPDX-License-Identifier: GPL-2.0-only
#include <stdint.h>
#include <sys/mman.h>

#include "room.h"

#define ALIGN_BYTES	(2ul << 20)

void *room_2m(size_t bytes)
{
	char *all = mmap(NULL, bytes + ALIGN_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;

	if (all == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)all & (ALIGN_BYTES - 1);
	if (before)
		munmap(all, before);
	munmap(all + before + bytes, ALIGN_BYTES - before);
	return all + before;
}
