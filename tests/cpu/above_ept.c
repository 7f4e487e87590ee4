// SPDX-License-Identifier: GPL-2.0-only
/*
 * Four levels of EPT translate 48 bits: a guest-physical address with bit 48 is not that
 * without it.  A VM of 48 bits has four levels; its page tables have one page by its
 * address, and by that address and bit 48.  Prints what became of the use of the latter:
 * KVM cannot map it either, and so tries again for as long as it may.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>

#define MAX	256
#define BIT48	(1ull << 48)

/* What is where, as guest-physical addresses and, from CODE on, as linear ones. */
#define PML4	0x1000
#define PDPT	0x2000
#define PD	0x3000
#define PT	0x4000
#define CODE	0x5000
#define PAGE	0x6000
#define ALIAS	0x7000		/* of PAGE, as linear address */
#define BYTES	0x8000

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void set_cpuid(int kvm, int vcpu)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + MAX * sizeof(*cpuid->entries));

	if (!cpuid)
		die("calloc");
	cpuid->nent = MAX;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid))
		die("KVM_GET_SUPPORTED_CPUID");
	for (unsigned int i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 0x80000008)
			cpuid->entries[i].eax = 48 << 8 | 48;
	if (ioctl(vcpu, KVM_SET_CPUID2, cpuid))
		die("KVM_SET_CPUID2");
	free(cpuid);
}

static void set_registers(int vcpu)
{
	struct kvm_regs regs = { .rip = CODE, .rsi = PAGE, .rdi = ALIAS, .rflags = 2 };
	struct kvm_sregs sregs;
	struct kvm_segment code = { .type = 11, .s = 1, .present = 1, .l = 1, .g = 1, .limit = ~0u,
				    .selector = 8 };
	struct kvm_segment data = { .type = 3, .s = 1, .present = 1, .db = 1, .g = 1, .limit = ~0u,
				    .selector = 16 };

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs))
		die("KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.ss = data;
	sregs.cr0 = 0x80000033;		/* PG, NE, ET, MP, PE */
	sregs.cr3 = PML4;
	sregs.cr4 = 0x20;		/* PAE */
	sregs.efer = 0x500;		/* LMA, LME */
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs))
		die("KVM_SET_SREGS");
}

static void on_time(int sig)
{
	(void)sig;
}

int main(void)
{
	/* Have the page in the EPT, and then use its other name: mov (%rsi), %al; mov (%rdi), %al; hlt */
	static const unsigned char code[] = { 0x8a, 0x06, 0x8a, 0x07, 0xf4 };
	const struct itimerval soon = { .it_value = { .tv_usec = 100000 } };
	const struct sigaction in_time = { .sa_handler = on_time };
	struct kvm_userspace_memory_region memory = { .memory_size = BYTES };
	int kvm, vm, vcpu, size;
	unsigned long long *pt;
	struct kvm_run *run;
	char *m;

	kvm = open("/dev/kvm", O_RDWR);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vcpu < 0 || size < 0)
		die("KVM");
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	m = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memory.userspace_addr = (unsigned long)m;
	if (run == MAP_FAILED || m == MAP_FAILED || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &memory))
		die("memory");

	*(unsigned long long *)(m + PML4) = PDPT | 3;
	*(unsigned long long *)(m + PDPT) = PD | 3;
	*(unsigned long long *)(m + PD) = PT | 3;
	pt = (unsigned long long *)(m + PT);
	pt[CODE >> 12] = CODE | 3;
	pt[PAGE >> 12] = PAGE | 3;
	pt[ALIAS >> 12] = BIT48 | PAGE | 3;
	memcpy(m + CODE, code, sizeof(code));
	set_cpuid(kvm, vcpu);
	set_registers(vcpu);
	if (sigaction(SIGALRM, &in_time, NULL) || setitimer(ITIMER_REAL, &soon, NULL))
		die("setitimer");
	if (!ioctl(vcpu, KVM_RUN, 0))
		errno = 0;
	else if (errno != EINTR)
		die("KVM_RUN");

	if (errno)
		puts("nothing, again and again");
	else if (run->exit_reason == KVM_EXIT_HLT)
		puts("the page without bit 48");
	else if (run->exit_reason == KVM_EXIT_MMIO)
		printf("nothing at %#llx\n", (unsigned long long)run->mmio.phys_addr);
	else
		printf("exit %u\n", run->exit_reason);
	return 0;
}
