/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdio.h>
#include <stdlib.h>

/* Parts of the tool "machine"; machine.c tells what it does. */

enum {
	EXIT_USAGE = 2,
	EXIT_ENVIRONMENT = 3,
	EXIT_KERNEL_DIED = 124,		/* panic, triple fault, hang */
	EXIT_MACHINE_FAILED = 125,	/* dead emulator, no supervisor, ... */
};

#define die(status, ...) do {			\
	fputs("machine: ", stderr);		\
	fprintf(stderr, __VA_ARGS__);		\
	fputc('\n', stderr);			\
	exit(status);				\
} while (0)

/* supervisor.c */
struct start_options {
	const char *dir, *bochs, *kernel, *initramfs, *kernel_args, *tdx;
	const char *rom, *boot_image, *msrs;
	unsigned int cpus, memory, quantum, hang;
	unsigned int gdb;		/* port of Bochs' stub; 0: none */
	int owner;
};

int machine_start(const struct start_options *opt);

/* exec.c */
struct exec_options {
	const char *dir;
	const char *console, *log, *results;	/* where these go; may be NULL */
	const char *seconds;			/* limit, in the machine's time */
	const char **options;			/* key=value for the emulator */
	const char **env;
	char **argv;
	int terminal, progress;
};

int machine_exec(const struct exec_options *opt);

/* evidence.c: what tells of a machine that is lost. */

/* An emulator may use so much processor time without a sign of life, ... */
#define LOST_CPU_MS	120000
/* ... or not run at all for so long, on a host that has other things to do. */
#define LOST_MS		300000

/**
 * emulator_state() - what an emulator is doing
 * @cpu_ms: receives the processor time that it has used
 *
 * Return: its state as in /proc/PID/stat; 0 if there is no such process.
 */
char emulator_state(int pid, long *cpu_ms);

/**
 * evidence_of_death() - does this line of a console end the machine?
 * Return: a few words, or NULL.
 */
const char *evidence_of_death(const char *line);

enum end {
	END_OTHER,
	END_OFF,		/* on purpose */
	END_TRIPLE_FAULT,
	END_HANG,
	END_SANITIZER,
};

/**
 * evidence_of_end() - why an emulator ended by itself
 * @status: as from waitpid(2)
 * @panic:  the last panic in its log, or ""
 */
enum end evidence_of_end(int status, const char *panic);

#endif
