// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether the processor keeps its supervisor from user pages, as CR4.SMAP has it, also
 * where it has just been let (Intel SDM, volume 3, 4.6.1, access rights).
 *
 * Each line of code runs at CPL 0 in a guest of its own, without an interrupt table: what
 * faults is a triple fault, KVM_EXIT_SHUTDOWN.  Prints TAP.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	4096u
#define SIZE	(16 * PAGE)
#define TABLES	0x1000u		/* four, from the root on */
#define CODE	0x8000u		/* the supervisor's */
#define DATA	0x9000u		/* the user's */
#define STACK	0xb000u		/* the end of it, in a page of the supervisor's */

#define PTE_P	1u
#define PTE_W	2u
#define PTE_U	4u

#define STAC	"\x0f\x01\xcb"
#define CLAC	"\x0f\x01\xca"
#define LOAD	"\x8b\x04\x25\x00\x90\x00\x00"		/* mov 0x9000, %eax */
#define STORE	"\x89\x04\x25\x00\x90\x00\x00"		/* mov %eax, 0x9000 */
#define CLEAR	"\x9c\x48\x81\x24\x24\xff\xff\xfb\xff\x9d" /* pushf; and $~AC, (%rsp); popf */
#define COPY	"\xbf\x00\x90\x00\x00\xb9\x40\x00\x00\x00\xf3\xaa" /* 64 bytes by rep stosb */
#define HLT	"\xf4"

#define LINE(what, code, exit)	{ what, code, sizeof(code) - 1, exit }

static const struct {
	const char *what, *code;
	size_t len;
	uint32_t exit;
} lines[] = {
	LINE("a load without AC faults", LOAD HLT, KVM_EXIT_SHUTDOWN),
	LINE("a store without AC faults", STORE HLT, KVM_EXIT_SHUTDOWN),
	LINE("a load with AC does not", STAC LOAD HLT, KVM_EXIT_HLT),
	LINE("a store with AC does not", STAC STORE LOAD HLT, KVM_EXIT_HLT),
	LINE("a string instruction with AC does not", STAC COPY HLT, KVM_EXIT_HLT),
	LINE("a load faults again after CLAC", STAC LOAD CLAC LOAD HLT, KVM_EXIT_SHUTDOWN),
	LINE("a store faults again after CLAC", STAC STORE CLAC STORE HLT, KVM_EXIT_SHUTDOWN),
	LINE("a string instruction faults again after CLAC", STAC COPY CLAC COPY HLT, KVM_EXIT_SHUTDOWN),
	LINE("a load faults again after POPF", STAC LOAD CLEAR LOAD HLT, KVM_EXIT_SHUTDOWN),
	LINE("a load faults without AC after a store with it", STAC STORE CLAC LOAD HLT, KVM_EXIT_SHUTDOWN),
	LINE("it may be let, kept and let", STAC LOAD CLAC STAC LOAD STORE HLT, KVM_EXIT_HLT),
};

static int must(int rc, const char *what)
{
	if (rc < 0) {
		perror(what);
		exit(1);
	}
	return rc;
}

static void map(uint64_t *memory, unsigned int addr, uint64_t rights)
{
	unsigned int level;

	for (level = 0; level < 3; level++)
		memory[(TABLES + level * PAGE) / 8] = (TABLES + (level + 1) * PAGE) | PTE_P | PTE_W | PTE_U;
	memory[(TABLES + 3 * PAGE) / 8 + addr / PAGE] = addr | PTE_P | PTE_W | rights;
}

static void set_cpuid(int kvm, int vcpu)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	cpuid->nent = 256;
	must(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
	must(ioctl(vcpu, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
	free(cpuid);
}

static void set_registers(int vcpu)
{
	const struct kvm_segment code = {
		.selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1, .limit = ~0u,
	};
	const struct kvm_segment data = {
		.selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1, .limit = ~0u,
	};
	struct kvm_regs regs = { .rip = CODE, .rsp = STACK, .rflags = 2 };
	struct kvm_sregs sregs;

	must(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.ss = data;
	sregs.cr0 = 1u << 31 | 1u << 16 | 1u << 5 | 1u;		/* PG, WP, NE, PE */
	sregs.cr3 = TABLES;
	sregs.cr4 = 1u << 21 | 1u << 5;				/* SMAP, PAE */
	sregs.efer = 1u << 10 | 1u << 8;			/* LMA, LME */
	sregs.idt.limit = 0;
	must(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

/* The reason of its exit. */
static uint32_t run(int kvm, const char *code, size_t len)
{
	int vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	int size = must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	uint64_t *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region slot = {
		.memory_size = SIZE, .userspace_addr = (uintptr_t)memory,
	};
	struct kvm_run *state;
	uint32_t reason;
	int vcpu;

	must(memory == MAP_FAILED ? -1 : 0, "mmap");
	map(memory, CODE, 0);
	map(memory, DATA, PTE_U);
	map(memory, STACK - PAGE, 0);
	memcpy((char *)memory + CODE, code, len);
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
	vcpu = must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	state = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	must(state == MAP_FAILED ? -1 : 0, "mmap");
	set_cpuid(kvm, vcpu);
	set_registers(vcpu);
	must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
	reason = state->exit_reason;
	munmap(state, size);
	close(vcpu);
	close(vm);
	munmap(memory, SIZE);
	return reason;
}

int main(void)
{
	const unsigned int nr = sizeof(lines) / sizeof(*lines);
	int kvm = must(open("/dev/kvm", O_RDWR), "/dev/kvm");
	unsigned int i, failed = 0;

	printf("1..%u\n", nr);
	for (i = 0; i < nr; i++) {
		const uint32_t reason = run(kvm, lines[i].code, lines[i].len);
		const int right = reason == lines[i].exit;

		printf("%sok %u %s (exit %u)\n", right ? "" : "not ", i + 1, lines[i].what, reason);
		failed += !right;
	}
	return failed != 0;
}
