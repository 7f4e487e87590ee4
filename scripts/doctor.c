// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can this host do for the suite, and what has to change for the rest?
 *
 * Formats what env_capture() has found and what the need_ and ..._why_not()
 * functions say; finds out little itself.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <jansson.h>
#include <linux/kvm.h>

#include "cgroup.h"
#include "env.h"
#include "folio.h"
#include "folio_bpf.h"
#include "folio_kcore.h"
#include "guest.h"
#include "kmsg.h"
#include "need.h"

#define COLUMN		32	/* where details begin */

static json_t *rows;
static const json_t *env;

/* A member by its path, "kvm.types.default"; NULL if it is not there, or null. */
static const json_t *at(const char *path)
{
	const json_t *json = env;
	char part[64];
	size_t len;

	while (json && *path) {
		len = strcspn(path, ".");
		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		json = json_object_get(json, part);
		path += len + (path[len] == '.');
	}
	return json_is_null(json) ? NULL : json;
}

static const char *text_at(const char *path)
{
	return json_string_value(at(path));
}

static long long number_at(const char *path)
{
	return json_integer_value(at(path));
}

/* Why a member is null. */
static const char *why_at(const char *path)
{
	char why[128];

	snprintf(why, sizeof(why), "%s_why", path);
	return text_at(why) ?: "unknown";
}

enum state { NO, PARTLY, YES };
static const char *const state_names[] = { "no", "partly", "yes" };

/* @change: what to do about it, or NULL */
static void row(const char *ability, enum state state, const char *change,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void row(const char *ability, enum state state, const char *change,
		const char *fmt, ...)
{
	char detail[1024];
	json_t *json;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	json = json_object();
	json_object_set_new(json, "ability", json_string(ability));
	json_object_set_new(json, "state", json_string(state_names[state]));
	json_object_set_new(json, "detail", json_string(detail));
	json_object_set_new(json, "change", change ? json_string(change) : json_null());
	json_array_append_new(rows, json);
}

/* A row whose reason, "what is wrong: what to do", says both. */
static void row_why(const char *ability, const char *why, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void row_why(const char *ability, const char *why, const char *fmt, ...)
{
	char detail[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	row(ability, why ? NO : YES, NULL, "%s", why ?: detail);
}

static void kvm_rows(void)
{
	static const enum guest_type types[] = { GUEST_DEFAULT, GUEST_SW_PROTECTED, GUEST_TDX };
	char flags[256] = "", attributes[128] = "", prefault[128] = "", vendor[128] = "";
	char name[64], path[128];
	const char *type, *key;
	json_t *modules = json_object_get(env, "modules"), *value;
	bool any_gmem = false, mmap = false;
	long long bits;
	size_t i;

	key = need_why_not(NEED_KVM);
	json_object_foreach(modules, type, value)
		if (strcmp(type, "kvm"))
			snprintf(vendor + strlen(vendor), sizeof(vendor) - strlen(vendor), ", %s", type);
	row_why("/dev/kvm", key, "API version %lld; kvm%s", number_at("kvm.api"), vendor);

	for (i = 0; i < sizeof(types) / sizeof(*types); i++) {
		snprintf(name, sizeof(name), "VM type %s", guest_type_name(types[i]));
		row_why(name, guest_why_not(types[i]), "runs here");
	}

	json_object_foreach(json_object_get(json_object_get(env, "kvm"), "types"), type, value) {
		snprintf(path, sizeof(path), "kvm.types.%.40s.guest_memfd", type);
		if (number_at(path) <= 0)
			continue;
		any_gmem = true;
		snprintf(path, sizeof(path), "kvm.types.%.40s.guest_memfd_flags", type);
		bits = number_at(path);
		if (bits & GUEST_MEMFD_FLAG_MMAP)
			mmap = true;
		snprintf(flags + strlen(flags), sizeof(flags) - strlen(flags), "%s%s: %s%s%s",
			 *flags ? "; " : "", type,
			 bits & GUEST_MEMFD_FLAG_MMAP ? "MMAP" : "no flags",
			 bits & GUEST_MEMFD_FLAG_INIT_SHARED ? ", INIT_SHARED" : "",
			 bits & ~3ll ? ", and flags unknown here" : "");
		snprintf(path, sizeof(path), "kvm.types.%.40s.memory_attributes", type);
		if (number_at(path) > 0)
			snprintf(attributes + strlen(attributes), sizeof(attributes) - strlen(attributes),
				 "%s%s", *attributes ? ", " : "", type);
		snprintf(path, sizeof(path), "kvm.types.%.40s.pre_fault_memory", type);
		if (number_at(path) > 0)
			snprintf(prefault + strlen(prefault), sizeof(prefault) - strlen(prefault),
				 "%s%s", *prefault ? ", " : "", type);
	}
	row("guest_memfd", !any_gmem ? NO : mmap ? YES : PARTLY,
	    !any_gmem ? "Linux 6.8 or later with CONFIG_KVM_SW_PROTECTED_VM=y or TDX; 6.18 or later for the default VM type" :
	    mmap ? NULL : "Linux 6.18 or later, to map guest_memfd in default VMs",
	    "%s", any_gmem ? flags : "no VM type has it");
	row("memory attributes", *attributes ? YES : NO,
	    *attributes ? NULL : "a VM type with private memory: sw_protected or tdx",
	    "%s%s", *attributes ? "private <-> shared conversion: " : "no conversion of private and shared memory",
	    attributes);
	row("pre-fault", *prefault ? YES : NO,
	    *prefault ? NULL : "Linux 6.11 or later with EPT or NPT (the TDP MMU)",
	    "KVM_PRE_FAULT_MEMORY%s%s", *prefault ? ": " : " is not there", prefault);
}

static void tdx_rows(void)
{
	const json_t *keyids = at("tdx.keyids");
	bool platform = json_is_true(at("tdx.platform"));
	bool ready = json_is_true(at("tdx.initialized"));
	const char *option = text_at("tdx.kvm_intel_tdx");
	const char *erratum = json_is_true(at("tdx.partial_write_erratum")) ?
			      ", with the partial-write erratum (no kexec)" : "";

	row("TDX: CPU", platform ? YES : NO,
	    platform ? NULL : "5th generation Xeon Scalable, or a 4th generation one with TDX",
	    platform ? "tdx_host_platform%s" : "this CPU does not report tdx_host_platform%s", erratum);
	if (keyids)
		row("TDX: BIOS, KeyIDs", YES, NULL, "private KeyIDs %lld to %lld: %lld TDs at a time",
		    json_integer_value(json_array_get(keyids, 0)),
		    json_integer_value(json_array_get(keyids, 1)) - 1,
		    json_integer_value(json_array_get(keyids, 1)) -
		    json_integer_value(json_array_get(keyids, 0)) - 1);
	else
		row("TDX: BIOS, KeyIDs", ready ? PARTLY : NO,
		    platform ? "in the BIOS enable TME, TME-MT (MKTME), TDX and the SEAM loader, and split the KeyIDs" : NULL,
		    "%s", why_at("tdx.keyids"));
	row("TDX: module", ready ? YES : NO,
	    ready || !platform ? NULL : "a TDX module from the BIOS or the boot loader, CONFIG_INTEL_TDX_HOST=y, and no \"virt/tdx: ... failed\" in dmesg",
	    ready ? "initialized, version %s" : "no TDX module was initialized",
	    text_at("tdx.module_version") ?: "not told by this kernel");
	row("TDX: kvm_intel.tdx", option && *option == 'Y' ? YES : NO,
	    option && *option == 'Y' ? NULL : !platform ? NULL :
	    "build with CONFIG_KVM_INTEL_TDX=y and boot with kvm_intel.tdx=1",
	    "%s", option ?: why_at("tdx.kvm_intel_tdx"));
	if (at("tdx.pamt_kb"))
		row("TDX: PAMT memory", YES, NULL, "%lld MB taken by the TDX module", number_at("tdx.pamt_kb") / 1024);
	else
		row("TDX: PAMT memory", NO, NULL, "%s", why_at("tdx.pamt_kb"));
}

static void probe_rows(void)
{
	char why[512];

	row("BTF", json_is_true(at("kernel.btf")) ? YES : NO,
	    json_is_true(at("kernel.btf")) ? NULL : "build the kernel with CONFIG_DEBUG_INFO_BTF=y",
	    "/sys/kernel/btf/vmlinux");
	row("references by BPF", folio_bpf_open(why, sizeof(why)) ? NO : YES, NULL, "%s",
	    folio_bpf_open(why, sizeof(why)) ? why : "loads, and finds the pages of a memfd");
	row("references by kcore", folio_kcore_open(why, sizeof(why)) ? NO : YES, NULL, "%s",
	    folio_kcore_open(why, sizeof(why)) ? why : "reads, and finds the pages of a memfd");
	row_why("mappings by PFN", need_why_not(NEED_KPAGE), "/proc/kpagecount, /proc/kpageflags");
	row_why("PFN by address", need_why_not(NEED_PAGEMAP), "/proc/self/pagemap");
}

static void kmsg_row(void)
{
	struct kmsg *k;
	int err = kmsg_open(&k);

	kmsg_close(k);
	row("kernel log", err ? NO : YES,
	    err ? "run as root (CAP_SYSLOG), or kernel.dmesg_restrict=0" : NULL,
	    "/dev/kmsg%s%s", err ? ": " : " can be watched", err ? strerror(-err) : "");
}

static void cgroup_rows(void)
{
	const char *why = cgroup_why_not(), *v2 = text_at("cgroup.v2_controllers");
	const char *capacity = text_at("cgroup.misc_capacity");
	bool v1 = false;
	const json_t *name;
	size_t i;

	json_array_foreach(at("cgroup.v1_controllers"), i, name)
		v1 |= !strcmp(json_string_value(name), "memory");
	row_why("memory cgroups", why, "version %s",
		v1 ? "1" : v2 && strstr(v2, "memory") ? "2" : "unknown");
	row("cgroup misc (TDs)", capacity && strstr(capacity, "tdx") ? YES : capacity ? PARTLY : NO,
	    capacity && strstr(capacity, "tdx") ? NULL : "CONFIG_CGROUP_MISC=y and TDX", "%s", capacity ? (*capacity ? capacity : "no resources") : why_at("cgroup.misc_capacity"));
}

static void memory_rows(void)
{
	size_t nodes = json_array_size(at("memory.nodes")), i;
	const char *why = need_why_not(NEED_NUMA);
	const json_t *size;
	char name[64];
	bool gb = false;

	row("NUMA", why ? NO : nodes > 1 ? YES : PARTLY,
	    why ? why : nodes > 1 ? NULL : "more nodes: numa=fake=2 on the kernel command line (CONFIG_NUMA_EMU)",
	    "%zu node%s%s", nodes, nodes == 1 ? "" : "s", why ? "" : ", migrate_pages works");
	row("transparent huge pages", text_at("memory.thp") && strcmp(text_at("memory.thp"), "never") ? YES : NO,
	    text_at("memory.thp") ? NULL : "CONFIG_TRANSPARENT_HUGEPAGE=y",
	    "%s; shmem %s", text_at("memory.thp") ?: "none", text_at("memory.thp_shmem") ?: "none");
	json_array_foreach(at("memory.hugepages"), i, size) {
		long long kb = json_integer_value(json_object_get(size, "size_kb"));
		long long nr = json_integer_value(json_object_get(size, "nr_hugepages"));

		gb |= kb == 1048576;
		snprintf(name, sizeof(name), "huge pages, %lld%s", kb >= 1048576 ? kb / 1048576 : kb / 1024,
			 kb >= 1048576 ? "G" : "M");
		row(name, nr ? YES : PARTLY,
		    nr ? NULL : kb == 1048576 ? "hugepagesz=1G hugepages=N on the kernel command line" :
		    "vm.nr_hugepages; tests that need some ask for them",
		    "%lld reserved, %lld free", nr, json_integer_value(json_object_get(size, "free_hugepages")));
	}
	if (!json_array_size(at("memory.hugepages")))
		row("huge pages, 2M", NO, "CONFIG_HUGETLBFS=y", "no hugetlb");
	if (!gb)
		row("huge pages, 1G", NO, NULL, "the CPU or the kernel has no 1G pages");
	row("NUMA balancing", at("settings.numa_balancing") ? number_at("settings.numa_balancing") ? YES : PARTLY : NO,
	    at("settings.numa_balancing") ? NULL : "CONFIG_NUMA_BALANCING=y",
	    "%s", at("settings.numa_balancing") ?
	    number_at("settings.numa_balancing") ? "on" : "off; tests turn it on and off again" :
	    why_at("settings.numa_balancing"));
	row("compaction", at("features.compaction") ? YES : NO,
	    at("features.compaction") ? NULL : "build the kernel with CONFIG_COMPACTION=y", "%s",
	    at("features.compaction") ? "/proc/sys/vm/compact_memory" : why_at("features.compaction"));
}

static void feature_rows(void)
{
	const char *ufd = text_at("features.userfaultfd"), *debugfs = text_at("features.debugfs");
	long long scope = number_at("settings.yama_ptrace_scope");

	row("userfaultfd", !ufd ? NO : strstr(ufd, "kernel") ? YES : PARTLY,
	    ufd && strstr(ufd, "kernel") ? NULL : "run as root, or vm.unprivileged_userfaultfd=1",
	    "%s", ufd ?: why_at("features.userfaultfd"));
	row("io_uring", at("features.io_uring") ? YES : NO,
	    at("features.io_uring") ? NULL : "kernel.io_uring_disabled=0, CONFIG_IO_URING=y",
	    "%s", at("features.io_uring") ? "allowed" : why_at("features.io_uring"));
	row("ptrace of children", scope < 3 ? YES : NO, scope < 3 ? NULL : "kernel.yama.ptrace_scope below 3 (reboot)",
	    at("settings.yama_ptrace_scope") ? "ptrace_scope %lld" : "no Yama", scope);
	row("hwpoison injection", at("features.memory_failure") ? YES : NO,
	    at("features.memory_failure") ? NULL : "build the kernel with CONFIG_MEMORY_FAILURE=y", "%s",
	    at("features.memory_failure") ? "madvise(MADV_HWPOISON)" : why_at("features.memory_failure"));
	row("debugfs", debugfs ? YES : NO, debugfs ? NULL : "mount -t debugfs debugfs /sys/kernel/debug",
	    "%s", debugfs ?: why_at("features.debugfs"));
	row("fault injection", at("features.fault_injection") ? debugfs ? YES : PARTLY : NO,
	    !at("features.fault_injection") ?
	    "build the kernel with CONFIG_FAULT_INJECTION_DEBUG_FS=y, CONFIG_FAIL_PAGE_ALLOC=y, CONFIG_FAILSLAB=y" :
	    debugfs ? NULL : "mount debugfs, its settings are there", "%s",
	    at("features.fault_injection") ? "/proc/PID/make-it-fail" : why_at("features.fault_injection"));
}

static void room_rows(void)
{
	const char *dir = getenv("SEPT_RESULTS") ?: ".";
	long long mb = number_at("memory.available_kb") / 1024, disk_mb = -1;
	struct statvfs fs;

	if (!statvfs(dir, &fs))
		disk_mb = (long long)fs.f_bavail * fs.f_frsize >> 20;
	row("free memory", mb >= 1024 ? YES : PARTLY, mb >= 1024 ? NULL : "1 GB of available memory",
	    "%lld MB of %lld MB", mb, number_at("memory.total_kb") / 1024);
	if (disk_mb < 0)
		row("free disk", NO, "a folder that exists, in SEPT_RESULTS", "cannot look at %s", dir);
	else
		row("free disk", disk_mb >= 1024 ? YES : PARTLY,
		    disk_mb >= 1024 ? NULL : "1 GB for builds and results", "%lld MB in %s", disk_mb, dir);
}

/* Text with line breaks at words, from COLUMN on. */
static void print_wrapped(const char *text, int width)
{
	int room = width - COLUMN, len;

	while (*text) {
		len = strlen(text);
		if (len > room) {
			for (len = room; len > 0 && text[len] != ' '; len--)
				;
			if (!len)
				len = strcspn(text, " ");
		}
		printf("%.*s\n", len, text);
		text += len;
		text += strspn(text, " ");
		if (*text)
			printf("%*s", COLUMN, "");
	}
}

static int width(void)
{
	struct winsize size;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col >= 60)
		return size.ws_col < 120 ? size.ws_col : 120;
	return 100;
}

static void print_table(void)
{
	const char *change;
	json_t *json;
	size_t i;

	printf("%-23s %-7s %s\n", "ability", "here", "detail");
	json_array_foreach(rows, i, json) {
		change = json_string_value(json_object_get(json, "change"));
		printf("%-23s %-7s ", json_string_value(json_object_get(json, "ability")),
		       json_string_value(json_object_get(json, "state")));
		print_wrapped(json_string_value(json_object_get(json, "detail")), width());
		if (change) {
			printf("%*s", COLUMN - 3, "-> ");
			print_wrapped(change, width());
		}
	}
}

/* What it all comes to. */
static json_t *summary(void)
{
	json_t *json = json_object(), *can = json_array();
	enum guest_type type;

	for (type = 0; type < GUEST_NR_TYPES; type++)
		if (!guest_why_not(type))
			json_array_append_new(can, json_string(guest_type_name(type)));
	json_object_set_new(json, "vm_types", can);
	json_object_set_new(json, "probe", json_string(folio_probe()));
	json_object_set_new(json, "platform", json_string(env_platform()));
	return json;
}

static void print_summary(const json_t *json)
{
	const json_t *can = json_object_get(json, "vm_types"), *type;
	char list[128] = "";
	size_t i;

	json_array_foreach(can, i, type)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
			 i ? ", " : "", json_string_value(type));
	printf("\nplatform: %s\n", json_string_value(json_object_get(json, "platform")));
	if (!*list)
		printf("this host can run: no VM at all; every case that needs one is skipped\n");
	else
		printf("this host can run: VM type %s, references by %s%s\n", list, folio_probe(),
		       strcmp(folio_probe(), "none") ? "" : " (cases that count them are skipped)");
}

static void help(FILE *to)
{
	fprintf(to, "Usage: doctor [--json]\n\n"
		"Says what this host can do for the tests, and what to change to get the rest.\n"
		"Run it as root: others see less.\n\n"
		"  --json  the same as JSON: rows, summary and the whole environment\n"
		"  --help  this text\n\n"
		"Exit status: 0, or 2 if the options are wrong.\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool as_json = false;
	json_t *all, *end;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			as_json = true;
			break;
		case 'h':
			help(stdout);
			return 0;
		default:
			fprintf(stderr, "doctor: see doctor --help\n");
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "doctor: unexpected argument \"%s\"; see doctor --help\n", argv[optind]);
		return 2;
	}

	rows = json_array();
	env = env_capture(as_json);
	if (!rows || !env) {
		fprintf(stderr, "doctor: no memory\n");
		return 3;
	}
	row_why("root", need_why_not(NEED_ROOT), "CAP_SYS_ADMIN");
	kvm_rows();
	tdx_rows();
	probe_rows();
	kmsg_row();
	cgroup_rows();
	memory_rows();
	feature_rows();
	room_rows();
	end = summary();

	if (as_json) {
		all = json_object();
		json_object_set(all, "summary", end);
		json_object_set(all, "rows", rows);
		json_object_set(all, "env", (json_t *)env);
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(all);
	} else {
		print_table();
		print_summary(end);
	}
	json_decref(end);
	json_decref(rows);
	json_decref((json_t *)env);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "doctor: cannot write to stdout: %s\n", strerror(errno));
		return 3;
	}
	return 0;
}
