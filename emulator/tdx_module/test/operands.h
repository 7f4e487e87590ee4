/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPERANDS_H
#define OPERANDS_H

#include "tap.h"

/* Checks that many leaves have in common. */

/* A SEAMCALL: leaf, then RCX, RDX, R8, R9. */
struct args {
	uint64_t leaf, a[4];
};

/* Index of a register in struct args, and its operand number. */
enum { A_RCX, A_RDX, A_R8, A_R9 };

uint64_t call_args(struct args args);

/*
 * Operand @which of @good is the address of a page.  Try all that it must not be;
 * @wrong is a page of another type.
 */
void bad_pages(struct args good, unsigned int which, uint64_t wrong);

/* Operand @which is a TDR.  Try TDs in all states that @leaf does not accept. */
void bad_td_states(struct args good, unsigned int which, bool op_state_lock,
		   bool from_uninitialized);

/* A TD that a failed entry has killed, with one vCPU. */
void td_fatal(struct w_td *td, struct w_vcpu *v);

/* RCX is a GPA with its level, from @min to @max; a TD with tables for 2M. */
void bad_gpas(struct args good, unsigned int min, unsigned int max);

#endif
