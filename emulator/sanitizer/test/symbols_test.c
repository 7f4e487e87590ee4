// SPDX-License-Identifier: GPL-2.0-only
/* Names, and stacks: this program has ORC tables of its own, as a kernel has. */
#include <errno.h>
#include <string.h>

#include "../../tdx_module/test/tap.h"
#include "../symbols.h"

/*
 * Functions of 16 bytes, and an entry for each: where the stack pointer of the
 * caller is, where its RBP, registers (3 SP, 4 BP, 8 caller's SP, 9 *SP, 10 *BP;
 * RBP's in the upper half), type (1 end, 2 call, 3 registers, 4 IRET frame; 8 signal).
 */
#define FUNCTION(name)	".type " name ", @function\n" name ": .skip 16, 0x90\n" \
			".size " name ", 16\n"
#define IP(name)	".long " name " - .\n"
#define ORC(sp, bp, regs, type)	".short " #sp ", " #bp "\n.byte " #regs ", " #type "\n"

__asm__(".text\n.balign 16\n"
	FUNCTION("on_sp") FUNCTION("on_bp") FUNCTION("at_sp") FUNCTION("at_bp")
	FUNCTION("on_regs") FUNCTION("on_iret") FUNCTION("on_dx") FUNCTION("at_end")
	FUNCTION("usual_1") FUNCTION("usual_2")
	"behind: nop\n"
	".section .orc_unwind_ip, \"a\"\n"
	IP("on_sp") IP("on_bp") IP("at_sp") IP("at_bp") IP("on_regs") IP("on_iret")
	IP("on_dx") IP("at_end") IP("usual_1") IP("usual_2") IP("behind")
	".section .orc_unwind, \"a\"\n"
	ORC(24, -24, 0x83, 2)	/* on_sp: RBP was pushed last */
	ORC(16, -16, 0x44, 2)	/* on_bp: and at -16 of RBP */
	ORC(8, 0, 0x09, 2)
	ORC(-8, 0, 0x0a, 2)
	ORC(0, 0, 0x03, 0xb)
	ORC(0, 0, 0x03, 0xc)
	ORC(0, 0, 0x02, 2)
	ORC(0, 0, 0x00, 1)
	ORC(8, 0, 0x03, 2)	/* most are like this, by which the numbering is known */
	ORC(8, 0, 0x03, 2)
	ORC(0, 0, 0x00, 0)
	".text\n");

extern const char on_sp[], on_bp[], at_sp[], at_bp[], on_regs[], on_iret[], on_dx[],
	at_end[], behind[];

static uint64_t stack[64];

#define IP_OF(name)	((uint64_t)(uintptr_t)(name))
#define STACK(i)	((uint64_t)(uintptr_t)&stack[i])

static bool read_stack(void *ctx, uint64_t va, void *buf, uint32_t len)
{
	(void)ctx;
	if (va < STACK(0) || va + len > STACK(64))
		return false;
	memcpy(buf, (const void *)(uintptr_t)va, len);
	return true;
}

static struct symbols *open_self(void)
{
	struct symbols *s;

	EQ(symbols_open(&s, "/proc/self/exe"), 0);
	memset(stack, 0, sizeof(stack));
	return s;
}

TEST(addresses_have_names)
{
	struct symbols *s = open_self();
	char name[64];

	TRUE(symbols_name(s, IP_OF(on_bp) + 4, false, name, sizeof(name)));
	TRUE(!strcmp(name, "on_bp+0x4/0x10"));
	/* A call that ends a function returns to the next one. */
	TRUE(symbols_name(s, IP_OF(on_bp), true, name, sizeof(name)));
	TRUE(!strcmp(name, "on_sp+0x10/0x10"));
	TRUE(!strcmp(symbols_function(s, IP_OF(on_bp), false), "on_bp"));
	TRUE(!symbols_function(s, 0x1000, false));
	TRUE(!symbols_function(s, ~0ull, false));
	TRUE(!symbols_name(NULL, IP_OF(on_bp), false, name, sizeof(name)));
	symbols_close(s);
}

TEST(not_every_file_is_a_kernel)
{
	struct symbols *s;

	EQ(symbols_open(&s, "/dev/null"), (uint64_t)-ENOEXEC);
	EQ(symbols_open(&s, "/nowhere"), (uint64_t)-ENOENT);
	TRUE(!s);
	symbols_close(NULL);
}

TEST(stacks_are_walked_by_orc)
{
	struct symbols *s = open_self();
	struct frame f = { IP_OF(on_sp) + 1, STACK(0), 0x1234, true };

	stack[0] = STACK(20);		/* RBP */
	stack[2] = IP_OF(on_bp) + 8;
	TRUE(symbols_unwind(s, &f, read_stack, NULL));
	EQ(f.ip, IP_OF(on_bp) + 8);
	EQ(f.sp, STACK(3));
	EQ(f.bp, STACK(20));
	TRUE(!f.exact);

	stack[18] = STACK(30);		/* at -16 */
	stack[21] = IP_OF(at_sp) + 8;
	TRUE(symbols_unwind(s, &f, read_stack, NULL));
	EQ(f.ip, IP_OF(at_sp) + 8);
	EQ(f.sp, STACK(22));
	EQ(f.bp, STACK(30));

	stack[22] = STACK(24);
	stack[24] = IP_OF(at_bp) + 8;
	TRUE(symbols_unwind(s, &f, read_stack, NULL));
	EQ(f.ip, IP_OF(at_bp) + 8);
	EQ(f.sp, STACK(25));

	stack[29] = STACK(33);
	stack[32] = IP_OF(on_regs) + 8;
	TRUE(symbols_unwind(s, &f, read_stack, NULL));
	EQ(f.ip, IP_OF(on_regs) + 8);
	EQ(f.sp, STACK(33));

	stack[33 + 16] = IP_OF(on_iret);	/* exactly there */
	stack[33 + 19] = STACK(56);
	TRUE(symbols_unwind(s, &f, read_stack, NULL));
	EQ(f.ip, IP_OF(on_iret));
	EQ(f.sp, STACK(56));
	TRUE(f.exact);

	stack[56] = IP_OF(on_dx) + 4;
	stack[59] = STACK(60);
	TRUE(symbols_unwind(s, &f, read_stack, NULL));
	EQ(f.ip, IP_OF(on_dx) + 4);
	EQ(f.sp, STACK(60));
	/* a register that is not known */
	TRUE(!symbols_unwind(s, &f, read_stack, NULL));
	f.ip = IP_OF(at_end) + 4;
	TRUE(!symbols_unwind(s, &f, read_stack, NULL));
	f.ip = IP_OF(behind) + 1;
	TRUE(!symbols_unwind(s, &f, read_stack, NULL));
	f.ip = 0x1000;
	TRUE(!symbols_unwind(s, &f, read_stack, NULL));
	/* a stack that cannot be read */
	f = (struct frame) { IP_OF(on_sp) + 1, STACK(63), 0, true };
	TRUE(!symbols_unwind(s, &f, read_stack, NULL));
	symbols_close(s);
}

TEST(stacks_are_walked_by_frame_pointers)
{
	struct frame f = { 0x1234, STACK(0), STACK(2), true };

	memset(stack, 0, sizeof(stack));
	stack[2] = STACK(6);
	stack[3] = 0x5678;
	TRUE(symbols_unwind(NULL, &f, read_stack, NULL));
	EQ(f.ip, 0x5678);
	EQ(f.sp, STACK(4));
	EQ(f.bp, STACK(6));
	f.bp = STACK(0);	/* downwards */
	TRUE(!symbols_unwind(NULL, &f, read_stack, NULL));
}
