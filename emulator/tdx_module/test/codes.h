/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CODES_H
#define CODES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Which statuses each SEAMCALL leaf can return.  The unit tests must have seen
 * all of them, and nobody may ever see another.  And which registers it changes.
 */

/* Return: whether @leaf may return @status. */
bool codes_known(unsigned int leaf, uint64_t status);
void codes_saw(unsigned int leaf, uint64_t status);
/* Return: the number of statuses that nobody has seen; prints each. */
unsigned int codes_unseen(FILE *to);
unsigned int codes_total(void);
/* Return: a mask of the registers besides RAX that @leaf may change. */
uint16_t codes_outputs(unsigned int leaf);

#endif
