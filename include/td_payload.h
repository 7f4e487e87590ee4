/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What lib/td.c and the payload of its TDs say to each other.  Fixed-width types
 * only: the payload is built on its own.
 *
 * The payload ends at 4G, where a TD starts, and is private.  Each vCPU has a
 * mailbox in one shared page below.  It announces itself, and each order that it
 * has carried out, by a byte written to TD_PORT, and finds the next one in its
 * mailbox.
 */
#ifndef TD_PAYLOAD_H
#define TD_PAYLOAD_H

#define TD_PAYLOAD_BYTES	0x8000
#define TD_PAYLOAD_GPA		(0x100000000 - TD_PAYLOAD_BYTES)
#define TD_MAILBOX_GPA		0xfffe0000
#define TD_MAILBOX_BYTES	512
#define TD_MAX_VCPUS		4
#define TD_STACK_BYTES		2048
#define TD_PORT			0x5e

/* Where shared memory stands in the payload's address space, private is at 0. */
#define TD_SHARED_VA		0x8000000000
/* How much of each there is. */
#define TD_MAPPED_BYTES		0x8000000000

/* Vectors beyond the exceptions that the payload counts. */
#define TD_FIRST_IRQ		32
#define TD_NR_IRQS		32

#ifndef __ASSEMBLER__

#include <linux/types.h>

/* What the vCPU is to do. */
enum td_op {
	TD_OP_NONE,
	/* @nr pages from @gpa on: */
	TD_OP_WRITE,		/* their first word: pattern + index */
	TD_OP_VERIFY,		/* that */
	TD_OP_VERIFY_ZERO,	/* all of their bytes are 0 */
	TD_OP_FILL,		/* every word of them: pattern + index */
	TD_OP_VERIFY_FILL,	/* that */
	TD_OP_ACCEPT,		/* by 2M where that works, else by 4K */
	TD_OP_MAP_GPA,		/* ask the host to make them shared or private */
	/* one instruction each, on @regs: */
	TD_OP_TDCALL,
	TD_OP_CPUID,
	TD_OP_RDMSR,
	TD_OP_WRMSR,
	TD_OP_IN,		/* a byte from port DX to AL */
	TD_OP_OUT,
	TD_OP_HLT,
	TD_OP_ENABLE_IRQS,	/* for the length of one instruction */
	TD_OP_TRIPLE_FAULT,
	TD_OP_SPIN,		/* until the host writes to @stop */
};

/* How it sees the pages. */
#define TD_SHARED	1	/* as shared memory */
#define TD_UNACCEPTED	2	/* without accepting them first, come what may */

/* How it ended. */
enum td_status {
	TD_DONE,
	TD_DIFFERS,		/* page @bad does not hold what it should */
	TD_REFUSED,		/* a TDCALL or the host said no; @bad holds the status */
	TD_ABANDONED,		/* the host gave up, by an NMI */
	TD_EXCEPTION,		/* @vector, @error, @rip, @address */
	TD_NO_MEMORY,		/* there is nothing at the shared @address */
};

struct td_regs {
	__u64 rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
};

struct td_mailbox {
	/* from the host */
	__u32 op, flags;		/* TD_OP_*; TD_SHARED, TD_UNACCEPTED */
	__u64 gpa, nr, pattern, stop;
	/* from the vCPU */
	__u64 status, bad;
	__u64 vector, error, rip, address;
	__u64 nr_ve, ve_reason;		/* of all #VE so far, and of the last */
	__u64 nr_accepted_4k, nr_accepted_2m, nr_already;	/* of all ACCEPTs so far */
	__u64 start_index, start_rcx;	/* what the TDX module passed to the vCPU */
	__u32 nr_irqs[TD_NR_IRQS];
	/* both */
	struct td_regs regs;
};

_Static_assert(sizeof(struct td_mailbox) <= TD_MAILBOX_BYTES, "mailboxes overlap");
_Static_assert(TD_MAX_VCPUS * TD_MAILBOX_BYTES <= 4096, "mailboxes take one page");

#endif
#endif
