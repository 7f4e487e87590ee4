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

const char *cpu_find_two(int cpus[2])
{
	cpu_set_t set;
	int i, nr = 0;

	cpus[0] = cpus[1] = sched_getcpu();
	if (sched_getaffinity(0, sizeof(set), &set))
		return "the CPUs of this process cannot be told";
	for (i = 0; i < CPU_SETSIZE && nr < 2; i++)
		if (CPU_ISSET(i, &set))
			cpus[nr++] = i;
	if (nr == 2)
		return NULL;
	cpus[1] = cpus[0];
	return "this process may run on one CPU only";
}
