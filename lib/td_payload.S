/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The payload's way from the reset vector to td_payload_main(), its traps, and
 * TDCALL.  Page tables map private memory one to one, by 1G; td_payload.c adds
 * the shared half, since only the TD knows which address bit says "shared".
 */
#include "td_payload.h"

	.section .tables, "aw"
	.balign	4096
	.globl	td_shared_pdpt
pml4:	.quad	private_pdpt + 0x3
	.quad	td_shared_pdpt + 0x3
	.fill	510, 8, 0
private_pdpt:
	.set	i, 0
	.rept	512
	.quad	(i << 30) + 0x83
	.set	i, i + 1
	.endr
td_shared_pdpt:
	.fill	512, 8, 0

	.section .data
	.balign	16
gdt:	.quad	0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdtr:	.word	gdtr - gdt - 1
	.long	gdt

	/* Interrupt gates, filled in by td_payload.c. */
	.balign	16
	.globl	td_idt, td_idtr
td_idt:	.fill	2 * (TD_FIRST_IRQ + TD_NR_IRQS), 8, 0
td_idtr:
	.word	td_idtr - td_idt - 1
	.quad	td_idt

	.section .bss
	.balign	TD_STACK_BYTES
	.globl	td_stacks
td_stacks:
	.skip	TD_MAX_VCPUS * TD_STACK_BYTES

	/* 32-bit protected mode, flat, paging off; ESI: index of the vCPU. */
	.section .text
	.code32
start32:
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	%cr4, %eax
	or	$0x20, %eax		/* PAE; the TD starts with EFER.LME set */
	mov	%eax, %cr4
	mov	%cr0, %eax
	or	$0x80000000, %eax	/* PG */
	mov	%eax, %cr0
	lgdt	gdtr
	ljmp	$8, $start64

	.code64
start64:
	mov	$16, %eax
	mov	%eax, %ss
	mov	%eax, %ds
	mov	%eax, %es
	mov	%esi, %edi
	mov	%rcx, %rsi
	/* A vCPU too many has no stack to say so; it stays here. */
1:	cmp	$TD_MAX_VCPUS, %edi
	jae	1b
	lea	1(%rdi), %eax
	imul	$TD_STACK_BYTES, %eax, %eax
	lea	td_stacks(%rip), %rsp
	add	%rax, %rsp
	call	td_payload_main

/* void td_call(struct td_regs *regs): TDCALL with these registers */
	.globl	td_call
td_call:
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi
	mov	0x00(%rdi), %rax
	mov	0x08(%rdi), %rcx
	mov	0x10(%rdi), %rdx
	mov	0x18(%rdi), %rbx
	mov	0x20(%rdi), %rsi
	mov	0x30(%rdi), %r8
	mov	0x38(%rdi), %r9
	mov	0x40(%rdi), %r10
	mov	0x48(%rdi), %r11
	mov	0x50(%rdi), %r12
	mov	0x58(%rdi), %r13
	mov	0x60(%rdi), %r14
	mov	0x68(%rdi), %r15
	mov	0x28(%rdi), %rdi
	.byte	0x66, 0x0f, 0x01, 0xcc	/* tdcall */
	push	%rdi
	mov	8(%rsp), %rdi
	mov	%rax, 0x00(%rdi)
	mov	%rcx, 0x08(%rdi)
	mov	%rdx, 0x10(%rdi)
	mov	%rbx, 0x18(%rdi)
	mov	%rsi, 0x20(%rdi)
	pop	0x28(%rdi)
	mov	%r8, 0x30(%rdi)
	mov	%r9, 0x38(%rdi)
	mov	%r10, 0x40(%rdi)
	mov	%r11, 0x48(%rdi)
	mov	%r12, 0x50(%rdi)
	mov	%r13, 0x58(%rdi)
	mov	%r14, 0x60(%rdi)
	mov	%r15, 0x68(%rdi)
	pop	%rdi
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	ret

	/* One of 16 bytes for each vector. */
	.globl	td_trap_stubs
	.balign	16
td_trap_stubs:
	.set	i, 0
	.rept	TD_FIRST_IRQ + TD_NR_IRQS
	.balign	16
	/* #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP bring an error code */
	.if	!(i == 8 || (i >= 10 && i <= 14) || i == 17 || i == 21)
	push	$0
	.endif
	push	$i
	jmp	trap
	.set	i, i + 1
	.endr

trap:
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%r11
	push	%r10
	push	%r9
	push	%r8
	push	%rdi
	push	%rsi
	push	%rbp
	push	%rbx
	push	%rdx
	push	%rcx
	push	%rax
	mov	%rsp, %rdi
	cld
	call	td_trap
	pop	%rax
	pop	%rcx
	pop	%rdx
	pop	%rbx
	pop	%rbp
	pop	%rsi
	pop	%rdi
	pop	%r8
	pop	%r9
	pop	%r10
	pop	%r11
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	add	$16, %rsp
	iretq

	.section .reset, "ax"
	.code32
	.globl	td_reset
td_reset:
	jmp	start32
	.balign	16
	.section .note.GNU-stack, "", @progbits
