/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TAP_H
#define TAP_H

#include <setjmp.h>
#include <stdint.h>

#include "world.h"

/*
 * TEST(does_something) { ... } is one TAP line; each has a world of its own.  The
 * first failed expectation ends it.
 */
#define TEST(name)								\
	static void name(void);							\
	static struct tap_test name##_test = { #name, __FILE__, name, 0 };	\
	__attribute__((constructor)) static void name##_register(void)		\
	{									\
		tap_register(&name##_test);					\
	}									\
	static void name(void)

struct tap_test {
	const char *name, *file;
	void (*fn)(void);
	struct tap_test *next;
};

extern unsigned long tap_fail_allocation;
/* Where it is defined, the tests must see every status of every leaf. */
extern const char tap_all_codes __attribute__((weak));

void tap_register(struct tap_test *test);
void tap_status(const char *file, int line, const char *what, uint64_t got,
		uint64_t want);
void tap_eq(const char *file, int line, const char *what, uint64_t got, uint64_t want);

/* What a call returns, by name. */
#define STATUS(call_, want)	tap_status(__FILE__, __LINE__, #call_, call_, want)
#define OK(call_)		STATUS(call_, TDX_SUCCESS)
#define EQ(got, want)		tap_eq(__FILE__, __LINE__, #got, got, want)
#define TRUE(claim)		tap_eq(__FILE__, __LINE__, #claim, !!(claim), 1)

#define INVALID(op)	(TDX_OPERAND_INVALID | TDX_OPERAND_##op)
#define BUSY(op)	(TDX_OPERAND_BUSY | TDX_OPERAND_##op)
#define RANGE(op)	(TDX_OPERAND_ADDR_RANGE_ERROR | TDX_OPERAND_##op)
#define METADATA(op)	(TDX_PAGE_METADATA_INCORRECT | TDX_OPERAND_##op)

#endif
