// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "host.h"
#include "hotplug.h"

#define CPU_ONLINE	"/sys/devices/system/cpu/cpu%u/online"
#define CPU_PACKAGE	"/sys/devices/system/cpu/cpu%u/topology/physical_package_id"
#define MEMORY		"/sys/devices/system/memory"
#define MAX_CPUS	4096
#define PAGE_BYTES	4096ull

static int read_text(const char *path, char *text, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, len - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n < 0 ? -errno : 0;
}

static const char *path_of(unsigned int cpu)
{
	static char path[80];

	snprintf(path, sizeof(path), CPU_ONLINE, cpu);
	return path;
}

/* CPU 0 has no such file on x86: it cannot go. */
unsigned int hotplug_cpus(unsigned int *cpus, unsigned int max)
{
	unsigned int cpu, nr = 0;
	char text[8];

	for (cpu = 0; cpu < MAX_CPUS && nr < max; cpu++)
		if (!read_text(path_of(cpu), text, sizeof(text)) && *text == '1')
			cpus[nr++] = cpu;
	return nr;
}

/* -1 if that is not known. */
static int package_of(unsigned int cpu)
{
	char path[80], text[16];

	snprintf(path, sizeof(path), CPU_PACKAGE, cpu);
	return read_text(path, text, sizeof(text)) ? -1 : atoi(text);
}

unsigned int hotplug_package(unsigned int *cpus, unsigned int max)
{
	const unsigned int all = hotplug_cpus(cpus, max);
	int with_cpu_0 = package_of(0), package = -1, p;
	unsigned int i, nr = 0;

	for (i = 0; i < all; i++) {
		p = package_of(cpus[i]);
		if (package < 0 && p != with_cpu_0)
			package = p;
		if (package >= 0 && p == package)
			cpus[nr++] = cpus[i];
	}
	return nr;
}

const char *hotplug_why_not(void)
{
	unsigned int cpu;

	if (!hotplug_cpus(&cpu, 1))
		return "no CPU can be taken offline: there is one only, or the kernel has no CONFIG_HOTPLUG_CPU";
	if (access(path_of(cpu), W_OK))
		return "no CPU can be taken offline: run as root";
	return NULL;
}

int hotplug_set(unsigned int cpu, bool online)
{
	return online ? host_restore(path_of(cpu)) : host_set(path_of(cpu), "0");
}

void hotplug_restore(void)
{
	unsigned int cpu;

	for (cpu = 0; cpu < MAX_CPUS; cpu++)
		if (!access(path_of(cpu), F_OK))
			host_restore(path_of(cpu));
}

static void ignore(int sig)
{
	(void)sig;
}

/* Write, and have a signal end it if it takes too long. */
static int write_within(const char *path, const char *text, unsigned int ms)
{
	/* Again and again, lest the only signal comes before the write. */
	struct itimerval timer = {
		.it_value = { ms / 1000, ms % 1000 * 1000 },
		.it_interval = { 0, 10000 },
	}, off = {};
	struct sigaction action = { .sa_handler = ignore }, was;
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	sigaction(SIGALRM, &action, &was);
	setitimer(ITIMER_REAL, &timer, NULL);
	rc = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &was, NULL);
	close(fd);
	return rc;
}

int hotplug_memory(unsigned long pfn, unsigned int ms)
{
	char path[80], text[32];
	int rc;

	/* In hexadecimal, without 0x. */
	if (read_text(MEMORY "/block_size_bytes", text, sizeof(text)))
		return -EOPNOTSUPP;
	snprintf(path, sizeof(path), MEMORY "/memory%llu/state",
		 pfn * PAGE_BYTES / strtoull(text, NULL, 16));
	if (read_text(path, text, sizeof(text)) || strncmp(text, "online", 6))
		return -EOPNOTSUPP;
	rc = host_owe(path, "online");
	if (rc)
		return rc;
	rc = write_within(path, "offline", ms);
	if (rc)
		host_forgive(path, "online");
	else
		host_pay(path, "online");
	return rc;
}
