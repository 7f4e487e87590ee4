/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef ROOM_H
#define ROOM_H

#include <stddef.h>

/**
 * room_2m() - address space at a multiple of 2 MB, where huge pages can be
 * @bytes: a multiple of the page size
 *
 * Nothing can be reached there yet: mprotect() it, or map something over it by
 * MAP_FIXED.  To be unmapped by munmap(room, @bytes).
 *
 * Return: the room; NULL and errno if there is none.
 */
void *room_2m(size_t bytes);

#endif
