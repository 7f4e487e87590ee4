/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef ENV_H
#define ENV_H

#include <jansson.h>

/**
 * DOC: env
 *
 * What a result has to say about where it was obtained: kernel and its
 * configuration, command line, modules and parameters, CPU and microcode, NUMA,
 * memory, KVM and guest_memfd abilities, TDX state, limits, our commit.
 */

/**
 * env_capture() - describe this host
 * @full: also the kernel's configuration and all module parameters
 *
 * Never fails for a part that is missing: its value is then null, and its
 * reason stands beside it as "<name>_why".
 *
 * Return: a new JSON object, the caller's to json_decref(), or NULL without
 * memory.
 */
json_t *env_capture(int full);

/**
 * env_platform() - where this is
 *
 * Return: "emulated" if the emulator of this project says so on the kernel
 * command line (tdx_sept.platform=emulated), "hardware" if this kernel has
 * initialized a TDX module otherwise, "host" if there is no TDX.
 */
const char *env_platform(void);

#endif
