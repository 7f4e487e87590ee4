// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sched.h>

#include "cpu.h"

int cpu_run_on(int cpu)
{
	cpu_set_t set;
	int i;

	CPU_ZERO(&set);
	for (i = 0; i < CPU_SETSIZE; i++)
		if (cpu == CPU_ANY || i == cpu)
			CPU_SET(i, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}
