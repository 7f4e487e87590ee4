/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef EMULATED_H
#define EMULATED_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

/**
 * DOC: emulated
 *
 * The emulated machine, as the runner sees it: it is booted once, and each case is
 * a command in a copy of it, which starts from the very same state.  What does the
 * work is the tool emulator/machine/machine.c; docs/emulated.md tells how.
 */

#define EMULATED_NAMES	16

struct emulated_names {
	const char *name[EMULATED_NAMES];
	unsigned int nr;
};

/**
 * struct emulated - a machine
 * @tools:     folder with machine, boot_image, rom.bin and msrs.def
 * @bochs:     the emulator
 * @kernel:    vmlinux; @symbols: the same with symbols, or NULL
 * @initramfs: has the tests in /tests and the runner in /bin
 * @kernel_args: more of the kernel's command line, or NULL
 * @kernel_source: what @kernel was built from, if it is not the usual; told, not read
 * @kernel_patches: what it was built with; they are told, not applied
 * @kernel_configs: the same
 * @sanitizer: off, warn or fatal
 * @trace:     write a SEAMCALL trace of each case
 * @cpus:      processors
 * @memory:    MB
 * @quantum:   instructions of a processor's turn
 * @schedule_seed: 0, or what the random length of turns starts from
 * @dir:       its folder, once it has been started
 */
struct emulated {
	const char *tools, *bochs, *kernel, *symbols, *initramfs, *kernel_args, *sanitizer;
	const char *kernel_source;
	struct emulated_names kernel_patches, kernel_configs;
	bool trace;
	unsigned int cpus, memory, quantum;
	unsigned long long schedule_seed;
	char *dir;
};

/* Options of the runner for it; the input is a struct emulated with defaults. */
extern const struct argp emulated_argp;

/* What a run is by default. */
void emulated_defaults(struct emulated *e);

/* NULL, or which option is missing. */
const char *emulated_missing(const struct emulated *e);

/* The release of the kernel in @e->kernel, to be freed; NULL and errno. */
char *emulated_release(const struct emulated *e);

/**
 * emulated_start() - boot the machine
 * @e:       which
 * @dir:     where it leaves its files; made if missing
 * @why:     receives a sentence on error
 * @why_len: its size
 *
 * It ends with this process, if not by emulated_stop() before.
 *
 * Return: 0 or -errno.
 */
int emulated_start(struct emulated *e, const char *dir, char *why, size_t why_len);
void emulated_stop(struct emulated *e);

/* What env_capture() finds in the machine, or null with the reason in @why. */
json_t *emulated_environment(const struct emulated *e, char *why, size_t why_len);

/**
 * emulated_command() - what runs a case in a copy of the machine
 * @e:             the machine
 * @results:       folder that receives what the case leaves, and its console as "kmsg"
 * @file:          name of the test file
 * @address:       of the case
 * @n:             number of the case in the run
 * @seed:          of the case
 * @schedule_seed: of the copy
 *
 * Return: arguments for keeper_start(), to be freed with emulated_command_free().
 */
char **emulated_command(const struct emulated *e, const char *results, const char *file,
			const char *address, unsigned long long n, unsigned long long seed,
			unsigned long long schedule_seed);
void emulated_command_free(char **argv);

/* As part of run.json. */
json_t *emulated_json(const struct emulated *e);

/* Options that make another machine from the default one, " --cpus 4 ..." */
void emulated_print_options(const struct emulated *e, unsigned long long schedule_seed, FILE *to);

#endif
