/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CPU_H
#define CPU_H

#define CPU_ANY	(-1)

/**
 * cpu_run_on() - this thread, and with it the vCPUs that it lets run, on one CPU
 * @cpu: its number, or CPU_ANY
 *
 * Return: 0; -EINVAL if the thread may not run there, or it is offline; or -errno.
 */
int cpu_run_on(int cpu);

/**
 * cpu_find_two() - CPUs that this thread may run on
 * @cpus: receives two, or twice the same
 *
 * Return: NULL, or why there are no two; not to be freed.
 */
const char *cpu_find_two(int cpus[2]);

#endif
