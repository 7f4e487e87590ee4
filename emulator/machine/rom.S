/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The emulated machine's only firmware: 64 KiB that end at 4 GiB and, again, at
 * 1 MiB.
 *
 * The emulator puts the kernel, its initramfs and what boot_image.c wrote right
 * into memory, so that all that is left to do is what a BIOS does to the CPU, and
 * the boot protocol's 64-bit entry (Documentation/arch/x86/boot.rst).
 */

#define BOOT		0x8000		/* struct boot_block of boot_image.c */

#define MTRR_DEF_TYPE	0x2ff
#define MTRR_PHYS_BASE0	0x200
#define MTRR_PHYS_MASK0	0x201
#define EFER		0xc0000080

	.section .text, "ax"

	.code16
	.globl	_start
_start:
start16:
	cli
	/* As after any BIOS: caches on.  No interrupt is possible from here on. */
	movl	%cr0, %eax
	andl	$~0x60000000, %eax	/* CD, NW */
	orl	$1, %eax
	lgdtl	%cs:(gdt_register - start16)
	movl	%eax, %cr0
	ljmpl	$0x08, $start32

	.code32
start32:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss

	/*
	 * Memory is write-back but for the video hole and the devices below
	 * 4 GiB; the kernel copies this to the other CPUs.
	 */
	movl	$mtrr, %esi
1:	movl	(%esi), %ecx
	testl	%ecx, %ecx
	jz	2f
	movl	4(%esi), %eax
	movl	8(%esi), %edx
	wrmsr
	addl	$12, %esi
	jmp	1b

2:	movl	%cr4, %eax
	orl	$0x20, %eax		/* PAE */
	movl	%eax, %cr4
	movl	BOOT + 16, %eax
	movl	%eax, %cr3
	movl	$EFER, %ecx
	rdmsr
	orl	$0x100, %eax		/* LME */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax	/* PG */
	movl	%eax, %cr0
	ljmpl	$0x18, $start64

	.code64
start64:
	movl	$0x20, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movq	BOOT + 8, %rsi
	jmpq	*BOOT

	.balign	16
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 0x08: 32-bit code */
	.quad	0x00cf93000000ffff	/* 0x10: 32-bit data */
	.quad	0x00af9b000000ffff	/* 0x18: 64-bit code */
	.quad	0x00cf93000000ffff	/* 0x20: data */
gdt_register:
	.word	. - gdt - 1
	.long	gdt

	.balign	4
mtrr:					/* MSR, low half, high half */
	.long	0x250, 0x06060606, 0x06060606	/* 0 to 512 KiB */
	.long	0x258, 0x06060606, 0x06060606	/* to 640 KiB */
	.long	0x259, 0, 0			/* the video hole */
	.long	0x268, 0x05050505, 0x05050505	/* to 1 MiB: write-protected */
	.long	0x269, 0x05050505, 0x05050505
	.long	0x26a, 0x05050505, 0x05050505
	.long	0x26b, 0x05050505, 0x05050505
	.long	0x26c, 0x05050505, 0x05050505
	.long	0x26d, 0x05050505, 0x05050505
	.long	0x26e, 0x05050505, 0x05050505
	.long	0x26f, 0x05050505, 0x05050505
	.long	MTRR_PHYS_BASE0, 0xc0000000, 0	/* from 3 GiB to 4 GiB: uncached */
	.long	MTRR_PHYS_MASK0, 0xc0000800, 0x3fff
	.long	MTRR_DEF_TYPE, 0xc06, 0		/* on, fixed ones too; else write-back */
	.long	0

	/* The first instruction after power-on. */
	.section .reset, "ax"
	.code16
	jmp	start16
