// SPDX-License-Identifier: GPL-2.0-only
/* Prints how many bits of guest-physical address KVM has, which follows from the levels of EPT. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define MAX	256

int main(void)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + MAX * sizeof(*cpuid->entries));
	int kvm = open("/dev/kvm", O_RDWR);

	if (!cpuid || kvm < 0)
		return 1;
	cpuid->nent = MAX;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid))
		return 1;
	for (unsigned int i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 0x80000008)
			printf("%u\n", cpuid->entries[i].eax >> 16 & 0xff);
	return 0;
}
