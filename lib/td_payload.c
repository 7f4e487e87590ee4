// SPDX-License-Identifier: GPL-2.0-only
/*
 * What runs in a TD: it carries out the orders that it finds in its mailbox.
 *
 * Interrupts are off except where an order wants them.  An NMI means that the
 * host has given up the order, because a page that it touches cannot be had; it
 * arrives before the instruction that cannot go on is tried again.
 *
 * Without ATTRIBUTES.SEPT_VE_DISABLE a page that is not accepted yet raises #VE,
 * and the handler accepts it; so the host may take pages away at any time.  With
 * it the TD would die of such an access, so each page is accepted before it is
 * touched, and whoever takes pages away must not do so meanwhile.
 *
 * Leaves and registers: Intel TDX Module ABI Specification; Guest-Hypervisor
 * Communication Interface (GHCI) for TDX.
 */
#include "td_payload.h"

#define PAGE		4096ull
#define PAGE_2M		(2ull << 20)

#define TDG_VP_VMCALL		0
#define TDG_VP_INFO		1
#define TDG_VP_VEINFO_GET	3
#define TDG_MEM_PAGE_ACCEPT	6

#define TDX_STATUS(rax)			((rax) >> 32)
#define TDX_PAGE_ALREADY_ACCEPTED	0x00000b0aull
#define TDX_PAGE_SIZE_MISMATCH		0xc0000b0bull
#define TDX_OPERAND_BUSY		0x80000200ull

#define ATTRIBUTES_SEPT_VE_DISABLE	(1ull << 28)

/* TDVMCALL leaves; the first are the exit reasons that they stand for. */
#define VMCALL_CPUID	10
#define VMCALL_HLT	12
#define VMCALL_IO	30
#define VMCALL_RDMSR	31
#define VMCALL_WRMSR	32
#define EXIT_EPT_VIOLATION	48
#define VMCALL_MAP_GPA	0x10001
#define VMCALL_RETRY	1ull

#define VECTOR_NMI	2
#define VECTOR_PF	14
#define VECTOR_VE	20

#define MSR_X2APIC_EOI	0x80b

#define EFLAGS_FIXED	2ull

struct frame {
	__u64 rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	__u64 vector, error;
	__u64 rip, cs, rflags, rsp, ss;
};

struct gate {
	__u16 offset_0, selector, flags, offset_16;
	__u32 offset_32, reserved;
};

struct ve {
	__u64 reason, qualification, gla, gpa;
	__u32 length, info;
};

extern struct gate td_idt[TD_FIRST_IRQ + TD_NR_IRQS];
extern char td_idtr[], td_trap_stubs[], td_stacks[];
extern __u64 td_shared_pdpt[512];

void td_call(struct td_regs *regs);
void td_trap(struct frame *f);
void td_payload_main(__u64 index, __u64 rcx) __attribute__((noreturn));

static __u64 attributes, shared_bit;

/* The compiler makes calls of these. */
void *memset(void *to, int value, unsigned long n);
void *memset(void *to, int value, unsigned long n)
{
	void *at = to;

	asm volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(value) : "memory");
	return to;
}

void *memcpy(void *to, const void *from, unsigned long n);
void *memcpy(void *to, const void *from, unsigned long n)
{
	void *at = to;

	asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
	return to;
}

static unsigned int this_vcpu(void)
{
	char here;

	return (&here - td_stacks) / TD_STACK_BYTES;
}

static volatile struct td_mailbox *mailbox(void)
{
	return (void *)(TD_SHARED_VA + TD_MAILBOX_GPA + this_vcpu() * TD_MAILBOX_BYTES);
}

/* TDG.VP.VMCALL in registers R10 to R15, as the GHCI's leaves have it. */
static __u64 vmcall(struct td_regs *r, __u64 leaf)
{
	r->rax = TDG_VP_VMCALL;
	r->rcx = 0xfc00;
	r->r10 = 0;
	r->r11 = leaf;
	td_call(r);
	return r->r10;
}

static void say_done(void)
{
	struct td_regs r = { .r12 = 1, .r13 = 1, .r14 = TD_PORT };

	vmcall(&r, VMCALL_IO);
}

/*
 * Private memory
 */

static __u64 accept(__u64 gpa, unsigned int level)
{
	struct td_regs r;

	do {
		r = (struct td_regs){ .rax = TDG_MEM_PAGE_ACCEPT, .rcx = gpa | level };
		td_call(&r);
	} while (TDX_STATUS(r.rax) == TDX_OPERAND_BUSY);
	return r.rax;
}

static __u64 accept_4k(__u64 gpa)
{
	volatile struct td_mailbox *box = mailbox();
	__u64 rc = accept(gpa, 0);

	if (!rc) {
		box->nr_accepted_4k++;
	} else if (TDX_STATUS(rc) == TDX_PAGE_ALREADY_ACCEPTED) {
		box->nr_already++;
		rc = 0;
	}
	return rc;
}

/* By 2M where the address allows it and the host has mapped it so, else by 4K. */
static __u64 accept_range(__u64 gpa, __u64 nr)
{
	const __u64 end = gpa + nr * PAGE;
	volatile struct td_mailbox *box = mailbox();
	__u64 rc, limit;

	while (gpa < end) {
		if (!(gpa % PAGE_2M) && end - gpa >= PAGE_2M) {
			rc = accept(gpa, 1);
			if (!rc)
				box->nr_accepted_2m++;
			else if (TDX_STATUS(rc) == TDX_PAGE_ALREADY_ACCEPTED)
				box->nr_already++;
			else if (TDX_STATUS(rc) != TDX_PAGE_SIZE_MISMATCH)
				return rc;
			if (TDX_STATUS(rc) != TDX_PAGE_SIZE_MISMATCH) {
				gpa += PAGE_2M;
				continue;
			}
		}
		limit = (gpa | (PAGE_2M - 1)) + 1;
		for (; gpa < limit && gpa < end; gpa += PAGE) {
			rc = accept_4k(gpa);
			if (rc)
				return rc;
		}
	}
	return 0;
}

/* Ask the host for a range; it may stop early, and then says where. */
static __u64 map_gpa(__u64 gpa, __u64 nr)
{
	const __u64 end = gpa + nr * PAGE;
	struct td_regs r;
	__u64 rc;

	do {
		r = (struct td_regs){ .r12 = gpa, .r13 = end - gpa };
		rc = vmcall(&r, VMCALL_MAP_GPA);
		gpa = r.r11;
	} while (rc == VMCALL_RETRY && gpa < end);
	return rc;
}

/*
 * Traps
 */

static void abandon(struct frame *f, enum td_status status);

static void handle_ve(struct frame *f)
{
	volatile struct td_mailbox *box = mailbox();
	struct td_regs r = { .rax = TDG_VP_VEINFO_GET };
	struct ve ve;
	__u64 rc;

	td_call(&r);
	ve = (struct ve){
		.reason = r.rcx, .qualification = r.rdx, .gla = r.r8, .gpa = r.r9,
		.length = r.r10, .info = r.r10 >> 32,
	};
	box->nr_ve++;
	box->ve_reason = ve.reason;

	r = (struct td_regs){};
	switch (ve.reason) {
	case EXIT_EPT_VIOLATION:
		if (ve.gpa & shared_bit) {
			box->address = ve.gpa;
			abandon(f, TD_NO_MEMORY);
			return;
		}
		rc = accept_4k(ve.gpa & ~(PAGE - 1));
		if (rc) {
			box->bad = rc;
			abandon(f, TD_REFUSED);
		}
		return;		/* and try again */
	case VMCALL_CPUID:
		r.r12 = f->rax;
		r.r13 = f->rcx;
		rc = vmcall(&r, ve.reason);
		f->rax = r.r12;
		f->rbx = r.r13;
		f->rcx = r.r14;
		f->rdx = r.r15;
		break;
	case VMCALL_HLT:
		rc = vmcall(&r, ve.reason);
		break;
	case VMCALL_IO:
		r.r12 = (ve.qualification & 7) + 1;
		r.r13 = !(ve.qualification & 8);
		r.r14 = ve.qualification >> 16 & 0xffff;
		r.r15 = f->rax;
		rc = vmcall(&r, ve.reason);
		if (ve.qualification & 8)
			f->rax = r.r11;
		break;
	case VMCALL_RDMSR:
		r.r12 = f->rcx;
		rc = vmcall(&r, ve.reason);
		f->rax = (__u32)r.r11;
		f->rdx = r.r11 >> 32;
		break;
	case VMCALL_WRMSR:
		r.r12 = f->rcx;
		r.r13 = (__u32)f->rax | f->rdx << 32;
		rc = vmcall(&r, ve.reason);
		break;
	default:
		rc = ~0ull;
	}
	f->rip += ve.length;
	if (rc) {
		box->bad = rc;
		abandon(f, TD_REFUSED);
	}
}

static void serve(void) __attribute__((noreturn));

/* Leave the order as it is, and go for the next one. */
static void abandon(struct frame *f, enum td_status status)
{
	mailbox()->status = status;
	f->rip = (__u64)serve;
	/* As if called: 16 bytes beside what the ABI wants. */
	f->rsp = (__u64)td_stacks + (this_vcpu() + 1) * TD_STACK_BYTES - 8;
	f->rflags = EFLAGS_FIXED;
}

void td_trap(struct frame *f)
{
	volatile struct td_mailbox *box = mailbox();

	if (f->vector == VECTOR_VE) {
		handle_ve(f);
	} else if (f->vector == VECTOR_NMI) {
		abandon(f, TD_ABANDONED);
	} else if (f->vector >= TD_FIRST_IRQ) {
		box->nr_irqs[f->vector - TD_FIRST_IRQ]++;
		asm volatile("wrmsr" : : "c"(MSR_X2APIC_EOI), "a"(0), "d"(0));
	} else {
		box->vector = f->vector;
		box->error = f->error;
		box->rip = f->rip;
		if (f->vector == VECTOR_PF) {
			__u64 cr2;

			asm volatile("mov %%cr2, %0" : "=r"(cr2));
			box->address = cr2;
		}
		abandon(f, TD_EXCEPTION);
	}
}

/*
 * Orders
 */

static int page_is(volatile __u64 *page, __u64 word)
{
	__u64 words = PAGE / sizeof(*page);
	int same;

	asm volatile("repe scasq" : "+D"(page), "+c"(words), "=@ccz"(same)
		     : "a"(word) : "memory");
	return same;
}

static enum td_status work_on_page(enum td_op op, volatile __u64 *page, __u64 word)
{
	unsigned int i;

	switch (op) {
	case TD_OP_WRITE:
		*page = word;
		return TD_DONE;
	case TD_OP_FILL:
		for (i = 0; i < PAGE / sizeof(*page); i++)
			page[i] = word;
		return TD_DONE;
	case TD_OP_VERIFY:
		return *page == word ? TD_DONE : TD_DIFFERS;
	case TD_OP_VERIFY_FILL:
		return page_is(page, word) ? TD_DONE : TD_DIFFERS;
	default:
		return page_is(page, 0) ? TD_DONE : TD_DIFFERS;
	}
}

static enum td_status work_on_pages(volatile struct td_mailbox *box, enum td_op op)
{
	const __u64 gpa = box->gpa, nr = box->nr, pattern = box->pattern;
	const __u64 base = box->flags & TD_SHARED ? TD_SHARED_VA : 0;
	const int first_accept = !box->flags && attributes & ATTRIBUTES_SEPT_VE_DISABLE;
	enum td_status status;
	__u64 i, rc;

	for (i = 0; i < nr; i++) {
		if (first_accept) {
			rc = accept_4k(gpa + i * PAGE);
			if (rc) {
				box->bad = rc;
				return TD_REFUSED;
			}
		}
		status = work_on_page(op, (void *)(base + gpa + i * PAGE), pattern + i);
		if (status) {
			box->bad = i;
			return status;
		}
	}
	return TD_DONE;
}

static enum td_status one_instruction(volatile struct td_mailbox *box, enum td_op op)
{
	struct td_regs r = *(struct td_regs *)&box->regs;
	__u64 low, high;

	switch (op) {
	case TD_OP_TDCALL:
		td_call(&r);
		break;
	case TD_OP_CPUID:
		asm volatile("cpuid" : "+a"(r.rax), "+c"(r.rcx), "=b"(r.rbx), "=d"(r.rdx));
		break;
	case TD_OP_RDMSR:
		asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(r.rcx));
		r.rax = low;
		r.rdx = high;
		break;
	case TD_OP_WRMSR:
		asm volatile("wrmsr" : : "c"(r.rcx), "a"(r.rax), "d"(r.rdx) : "memory");
		break;
	case TD_OP_IN:
		asm volatile("inb %%dx, %%al" : "+a"(r.rax) : "d"(r.rdx));
		break;
	case TD_OP_OUT:
		asm volatile("outb %%al, %%dx" : : "a"(r.rax), "d"(r.rdx));
		break;
	case TD_OP_HLT:
		asm volatile("hlt" : : : "memory");
		break;
	case TD_OP_TRIPLE_FAULT:
		asm volatile("lidt %0; ud2" : : "m"((char [10]){}) : "memory");
		break;
	default:
		asm volatile("sti; nop; cli" : : : "memory");
		break;
	}
	*(struct td_regs *)&box->regs = r;
	return TD_DONE;
}

static enum td_status carry_out(volatile struct td_mailbox *box)
{
	const enum td_op op = box->op;
	__u64 rc = 0;

	switch (op) {
	case TD_OP_NONE:
		break;
	case TD_OP_ACCEPT:
		rc = accept_range(box->gpa, box->nr);
		break;
	case TD_OP_MAP_GPA:
		rc = map_gpa(box->gpa | (box->flags & TD_SHARED ? shared_bit : 0), box->nr);
		break;
	case TD_OP_SPIN:
		while (!box->stop)
			asm volatile("pause");
		break;
	case TD_OP_WRITE ... TD_OP_VERIFY_FILL:
		return work_on_pages(box, op);
	default:
		return one_instruction(box, op);
	}
	box->bad = rc;
	return rc ? TD_REFUSED : TD_DONE;
}

static void serve(void)
{
	volatile struct td_mailbox *box = mailbox();

	for (;;) {
		say_done();
		box->status = carry_out(box);
	}
}

/* All vCPUs write the same, so it does not matter which comes first. */
void td_payload_main(__u64 index, __u64 rcx)
{
	struct td_regs r = { .rax = TDG_VP_INFO };
	volatile struct td_mailbox *box;
	__u64 stub, i;

	td_call(&r);
	shared_bit = 1ull << ((r.rcx & 0x3f) - 1);
	attributes = r.rdx;
	for (i = 0; i < 512; i++)
		td_shared_pdpt[i] = i << 30 | shared_bit | 0x83;

	for (i = 0; i < TD_FIRST_IRQ + TD_NR_IRQS; i++) {
		stub = (__u64)td_trap_stubs + 16 * i;
		td_idt[i] = (struct gate){
			.offset_0 = stub, .selector = 8, .flags = 0x8e00,
			.offset_16 = stub >> 16, .offset_32 = stub >> 32,
		};
	}
	asm volatile("lidt %0" : : "m"(*td_idtr));

	box = mailbox();
	box->start_index = index;
	box->start_rcx = rcx;
	serve();
}
