// SPDX-License-Identifier: GPL-2.0-only
/*
 * The line "tdx: key=value, ..." of the bochsrc: the machine's TDX, and the
 * personality of its module.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "glue.h"
#include "options.h"
#include "channel.h"
#include "../control/tdx_control.h"

#define LOG_THIS genlog->

struct options options;

/* Options that are numbers, with their limits. */
static const struct {
	const char *name;
	Bit64u min, max;
	size_t offset, size;
} numbers[] = {
#define OPTION(name, field, min, max) \
	{ name, min, max, offsetof(struct options, field), sizeof(options.field) }
	OPTION("tsc_mhz", tsc_mhz, 100, 10000),
	OPTION("mktme_keyids", mktme_keyids, 0, TDX_MAX_KEYIDS - 3),
	OPTION("keyids", config.nr_keyids, 2, TDX_MAX_KEYIDS - 1),
	OPTION("max_vcpus", config.max_vcpus, 1, 0xffff),
	OPTION("max_tdmrs", config.max_tdmrs, 1, TDX_MAX_TDMRS),
	OPTION("max_reserved", config.max_reserved, 1, TDX_MAX_RESERVED),
	OPTION("tdmr_init_bytes", config.tdmr_init_bytes, 4 << 20, ~0ull),
	OPTION("wb_blocks", config.wb_blocks, 1, 1 << 20),
	OPTION("zero_step", config.zero_step, 0, 1),
	OPTION("linux_exit_codes", config.linux_exit_codes, 0, 1),
	OPTION("lenient", config.lenient, 0, 1),
	OPTION("major", config.major, 0, 0xffff),
	OPTION("minor", config.minor, 0, 0xffff),
	OPTION("update", config.update, 0, 0xffff),
	OPTION("build", config.build, 0, 0xffff),
	OPTION("build_date", config.build_date, 0, 99999999),
	OPTION("handoff", config.handoff, 0, 0xffff),
	OPTION("features0", config.features0, 0, ~0ull),
	OPTION("attributes_fixed0", config.attributes_fixed0, 0, ~0ull),
	OPTION("attributes_fixed1", config.attributes_fixed1, 0, ~0ull),
	OPTION("xfam_fixed0", config.xfam_fixed0, 0, ~0ull),
	OPTION("seed", config.seed, 0, ~0ull),
#undef OPTION
};

static void store(size_t offset, size_t size, Bit64u value)
{
	/* Little-endian, as is every host that this is built for. */
	memcpy((char *)&options + offset, &value, size);
}

const char *tdx_other_option(const char *key, const char *value, bool running)
{
	static char wrong[100];
	char *end;
	Bit64u n;

	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (strcmp(key, numbers[i].name))
			continue;
		/* Each copy has a seed of its own. */
		const bool reseeds = !strcmp(key, "seed") && tdx_monitor_module();

		if (running && tdx_monitor_module() && !reseeds)
			return "it cannot be changed any more";
		errno = 0;
		n = strtoull(value, &end, 0);
		if (!*value || *value == '-' || *end || errno || n < numbers[i].min ||
		    n > numbers[i].max) {
			snprintf(wrong, sizeof(wrong), "want a number from %llu to %llu",
				 (unsigned long long)numbers[i].min,
				 (unsigned long long)numbers[i].max);
			return wrong;
		}
		if (!strcmp(key, "tsc_mhz") && n % 25)
			return "want a multiple of 25, the crystal's frequency";
		store(numbers[i].offset, numbers[i].size, n);
		if (reseeds)
			tdx_reseed(tdx_monitor_module(), n);
		return NULL;
	}
	return tdx_control_option(key, value, running);
}

static Bit32s parse_line(const char *context, int nr, char *params[])
{
	for (int i = 1; i < nr; i++) {
		char *value = strchr(params[i], '=');
		const char *wrong = "want key=value";

		if (value) {
			*value++ = '\0';
			wrong = tdx_option(params[i], value, false);
		}
		if (wrong && !*wrong)
			wrong = "there is no such option";
		if (wrong)
			BX_PANIC(("%s: tdx: %s: %s", context, params[i], wrong));
	}
	/* Keyid 0 is neither. */
	if (1 + options.mktme_keyids + options.config.nr_keyids > TDX_MAX_KEYIDS)
		BX_PANIC(("%s: tdx: mktme_keyids and keyids: want %u at most", context,
			  TDX_MAX_KEYIDS - 1));
	return 0;
}

void tdx_register_options(void)
{
	tdx_config_default(&options.config);
	options.tsc_mhz = 200;
	options.mktme_keyids = 31;
	SIM->register_addon_option("tdx", parse_line, NULL);
}

Bit32u tdx_tsc_mhz(void)
{
	return options.tsc_mhz;
}

unsigned keyid_bits(void)
{
	unsigned bits = 1;

	while ((1u << bits) < 1 + options.mktme_keyids + options.config.nr_keyids)
		bits++;
	return bits;
}

/* Of the host; see td_msr.cc for those of a TD. */
int tdx_rdmsr(Bit32u index, Bit64u *val)
{
	const unsigned bits = keyid_bits();

	switch (index) {
	case 0x087:	/* IA32_MKTME_KEYID_PARTITIONING */
		*val = options.mktme_keyids | (Bit64u)options.config.nr_keyids << 32;
		return 1;
	case 0x981:	/* IA32_TME_CAPABILITY: AES-XTS-128 and 256, bypass */
		*val = 0x80000005ull | (Bit64u)bits << 32 |
		       (Bit64u)(options.mktme_keyids + options.config.nr_keyids) << 36;
		return 1;
	case 0x982:	/* IA32_TME_ACTIVATE: locked, enabled; the top bit of keyids is TDX' */
		*val = 3 | (Bit64u)bits << 32 | 1ull << 36 | 5ull << 48;
		return 1;
	case 0x983:	/* IA32_TME_EXCLUDE_MASK, _BASE */
	case 0x984:
		*val = 0;
		return 1;
	case 0x1400:	/* IA32_SEAMRR_BASE, _MASK: of SMM and SEAM alone */
	case 0x1401:
		return 0;
	}
	return -1;
}
