/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef ENV_H
#define ENV_H

#include <jansson.h>

/**
 * DOC: env
 *
 * What a result has to say about where it was obtained.  Members:
 *
 * - kernel: release, command line, taint, configuration (with its CRC-32), BTF,
 *   lockdown;
 * - settings: sysctls that decide what tests may do;
 * - cpu: model, microcode, flags that matter here, bugs, counts, hypervisor;
 * - memory: sizes, NUMA nodes, huge pages;
 * - cgroup: controllers of version 1 and 2, capacity of the misc controller;
 * - kvm: API, VM types, and what an empty VM of each type says it can do;
 * - modules: parameters of kvm, kvm_intel, kvm_amd, ...;
 * - tdx: CPU, KeyIDs, PAMT, module and its version, erratum, and all lines of
 *   the TDX host code in the kernel log;
 * - features: system calls and injections that tests use, by trying them;
 * - limits: resource limits of this process;
 * - platform, euid, and probe (folio_probe()).
 *
 * Sizes are in KB where the name says so, else in bytes.
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
