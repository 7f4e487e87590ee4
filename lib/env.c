// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a result was obtained.  Each part is read on its own and from one
 * place; what cannot be read is null, with the reason beside it.
 */
#include <cpuid.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>

#include "env.h"
#include "folio.h"

#define SYSLOG_READ_ALL		3
#define SYSLOG_SIZE_BUFFER	10

/* What the kernel prints is not always UTF-8, which JSON has to be. */
static json_t *text_json(const char *text)
{
	json_t *json = json_string(text);
	char *copy, *c;

	if (json)
		return json;
	copy = strdup(text);
	if (!copy)
		return NULL;
	for (c = copy; *c; c++)
		if (!isascii(*c))
			*c = '?';
	json = json_string(copy);
	free(copy);
	return json;
}

/* obj[key] = null, obj[key_why] = the reason */
static void put_why(json_t *obj, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void put_why(json_t *obj, const char *key, const char *fmt, ...)
{
	char why_key[80], why[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	snprintf(why_key, sizeof(why_key), "%s_why", key);
	json_object_set_new(obj, key, json_null());
	json_object_set_new(obj, why_key, text_json(why));
}

/*
 * Read a small file whole, without trailing white space.  Return: its text, the
 * caller's to free(), or NULL with errno set.
 */
static char *read_text(const char *path)
{
	size_t size = 0, room = 4096;
	char *text = malloc(room), *more;
	FILE *f = fopen(path, "re");
	size_t n;

	while (f && text) {
		n = fread(text + size, 1, room - size - 1, f);
		size += n;
		if (!n)
			break;
		if (size + 1 < room)
			continue;
		more = realloc(text, room *= 2);
		if (!more) {
			free(text);
			text = NULL;
			break;
		}
		text = more;
	}
	if (!f || !text || ferror(f)) {
		int err = errno;

		if (f)
			fclose(f);
		free(text);
		errno = err ?: EIO;
		return NULL;
	}
	fclose(f);
	while (size && isspace((unsigned char)text[size - 1]))
		size--;
	text[size] = 0;
	return text;
}

static void put_file(json_t *obj, const char *key, const char *path)
{
	char *text = read_text(path);

	if (text)
		json_object_set_new(obj, key, text_json(text));
	else
		put_why(obj, key, "%s: %s", path, strerror(errno));
	free(text);
}

static void put_number_file(json_t *obj, const char *key, const char *path)
{
	char *text = read_text(path), *end;
	long long value;

	if (!text) {
		put_why(obj, key, "%s: %s", path, strerror(errno));
		return;
	}
	value = strtoll(text, &end, 0);
	if (end == text || *end)
		put_why(obj, key, "%s is no number: %.40s", path, text);
	else
		json_object_set_new(obj, key, json_integer(value));
	free(text);
}

/* The value in brackets of "always [madvise] never". */
static void put_choice_file(json_t *obj, const char *key, const char *path)
{
	char *text = read_text(path), *open, *close;

	if (!text) {
		put_why(obj, key, "%s: %s", path, strerror(errno));
		return;
	}
	open = strchr(text, '[');
	close = open ? strchr(open, ']') : NULL;
	if (close) {
		*close = 0;
		json_object_set_new(obj, key, text_json(open + 1));
	} else {
		json_object_set_new(obj, key, text_json(text));
	}
	free(text);
}

/* The number behind "name" in a text of "name: 12 kB" lines; -1 if not there. */
static long long number_of(const char *text, const char *name)
{
	const char *at = text;
	size_t len = strlen(name);

	while (at && *at) {
		const char *found = strstr(at, name);

		if (!found)
			return -1;
		if ((found == text || found[-1] == '\n' || found[-1] == ' ') && found[len] == ':')
			return strtoll(found + len + 1, NULL, 10);
		at = found + len;
	}
	return -1;
}

/*
 * The kernel and its configuration
 */

static void put_config(json_t *kernel, const char *release, int full)
{
	json_t *options = json_object();
	unsigned long crc = crc32(0, NULL, 0);
	char path[256] = "/proc/config.gz", line[8192], *value;
	gzFile gz;

	/* gzopen() reads plain files, too. */
	gz = gzopen(path, "rbe");
	if (!gz) {
		snprintf(path, sizeof(path), "/boot/config-%.200s", release);
		gz = gzopen(path, "rbe");
	}
	if (!gz) {
		put_why(kernel, "config_crc32", "no /proc/config.gz (CONFIG_IKCONFIG_PROC), no %s",
			path);
		if (full)
			put_why(kernel, "config", "as for config_crc32");
		json_decref(options);
		return;
	}
	while (gzgets(gz, line, sizeof(line))) {
		crc = crc32(crc, (unsigned char *)line, strlen(line));
		line[strcspn(line, "\n")] = 0;
		value = strchr(line, '=');
		if (strncmp(line, "CONFIG_", 7) || !value)
			continue;
		*value++ = 0;
		json_object_set_new(options, line, text_json(value));
	}
	gzclose(gz);

	snprintf(line, sizeof(line), "%08lx", crc);
	json_object_set_new(kernel, "config_source", json_string(path));
	json_object_set_new(kernel, "config_crc32", json_string(line));
	if (full)
		json_object_set_new(kernel, "config", options);
	else
		json_decref(options);
}

/* Documentation/admin-guide/tainted-kernels.rst */
static void put_taint(json_t *kernel)
{
	static const char letters[] = "PFSRMBUDAWCIOELKXTNJ";
	char set[sizeof(letters)] = "";
	long long taint;
	size_t i, n = 0;

	put_number_file(kernel, "taint", "/proc/sys/kernel/tainted");
	taint = json_integer_value(json_object_get(kernel, "taint"));
	for (i = 0; i < sizeof(letters) - 1; i++)
		if (taint >> i & 1)
			set[n++] = letters[i];
	set[n] = 0;
	json_object_set_new(kernel, "taint_letters", json_string(set));
}

static json_t *kernel(int full)
{
	json_t *obj = json_object();
	struct utsname u;

	if (uname(&u)) {
		put_why(obj, "release", "uname: %s", strerror(errno));
		return obj;
	}
	json_object_set_new(obj, "release", text_json(u.release));
	json_object_set_new(obj, "version", text_json(u.version));
	json_object_set_new(obj, "machine", text_json(u.machine));
	put_file(obj, "build", "/proc/version");
	put_file(obj, "cmdline", "/proc/cmdline");
	put_taint(obj);
	put_config(obj, u.release, full);
	json_object_set_new(obj, "btf", json_boolean(!access("/sys/kernel/btf/vmlinux", R_OK)));
	put_choice_file(obj, "lockdown", "/sys/kernel/security/lockdown");
	put_file(obj, "lsm", "/sys/kernel/security/lsm");
	return obj;
}

static json_t *settings(void)
{
	static const char *const kernel_ones[] = {
		"kptr_restrict", "dmesg_restrict", "perf_event_paranoid",
		"unprivileged_bpf_disabled", "io_uring_disabled", "numa_balancing",
		"panic_on_warn", "panic_on_oops", "hung_task_timeout_secs", "watchdog",
	};
	static const char *const vm_ones[] = {
		"unprivileged_userfaultfd", "overcommit_memory", "max_map_count",
		"compaction_proactiveness", "compact_unevictable_allowed", "swappiness",
		"panic_on_oom", "min_free_kbytes", "percpu_pagelist_high_fraction",
	};
	json_t *obj = json_object();
	char path[128];
	size_t i;

	for (i = 0; i < sizeof(kernel_ones) / sizeof(*kernel_ones); i++) {
		snprintf(path, sizeof(path), "/proc/sys/kernel/%s", kernel_ones[i]);
		put_number_file(obj, kernel_ones[i], path);
	}
	for (i = 0; i < sizeof(vm_ones) / sizeof(*vm_ones); i++) {
		snprintf(path, sizeof(path), "/proc/sys/vm/%s", vm_ones[i]);
		put_number_file(obj, vm_ones[i], path);
	}
	put_number_file(obj, "yama_ptrace_scope", "/proc/sys/kernel/yama/ptrace_scope");
	return obj;
}

/*
 * CPU and memory
 */

/* obj[key] = the text behind "name\t: " on the first CPU */
static void put_cpu_field(json_t *obj, const char *key, char *cpuinfo, const char *name)
{
	size_t len = strlen(name);
	char *line, *at, *end;

	for (line = cpuinfo; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		if (strncmp(line, name, len) || !strchr("\t :", line[len]))
			continue;
		at = strchr(line, ':');
		end = strchr(line, '\n');
		if (!at || (end && end < at))
			continue;
		at += 1 + (at[1] == ' ');
		if (end)
			*end = 0;
		json_object_set_new(obj, key, text_json(at));
		if (end)
			*end = '\n';
		return;
	}
	put_why(obj, key, "/proc/cpuinfo has no \"%s\"", name);
}

/* Whether a list of words has this one. */
static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);
	const char *at = words;

	while (at && (at = strstr(at, word))) {
		if ((at == words || at[-1] == ' ') && (!at[len] || at[len] == ' '))
			return true;
		at += len;
	}
	return false;
}

static json_t *cpu(int full)
{
	static const char *const wanted[] = {
		"vmx", "svm", "ept", "npt", "tdx_host_platform", "tdx_guest", "tme",
		"sme", "sev", "sev_es", "sev_snp", "movdir64b", "ss", "xsave",
		"pdpe1gb", "la57", "pcid", "hypervisor",
	};
	char *cpuinfo = read_text("/proc/cpuinfo");
	json_t *obj = json_object(), *flags = json_array();
	unsigned int signature[4] = {};
	char name[13] = "";
	const char *have;
	size_t i;

	json_object_set_new(obj, "online", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	json_object_set_new(obj, "configured", json_integer(sysconf(_SC_NPROCESSORS_CONF)));
	put_file(obj, "possible", "/sys/devices/system/cpu/possible");
	if (!cpuinfo) {
		put_why(obj, "model_name", "/proc/cpuinfo: %s", strerror(errno));
		json_decref(flags);
		return obj;
	}
	put_cpu_field(obj, "vendor", cpuinfo, "vendor_id");
	put_cpu_field(obj, "model_name", cpuinfo, "model name");
	put_cpu_field(obj, "family", cpuinfo, "cpu family");
	put_cpu_field(obj, "model", cpuinfo, "model");
	put_cpu_field(obj, "stepping", cpuinfo, "stepping");
	put_cpu_field(obj, "microcode", cpuinfo, "microcode");
	put_cpu_field(obj, "bugs", cpuinfo, "bugs");
	put_cpu_field(obj, "all_flags", cpuinfo, "flags");
	have = json_string_value(json_object_get(obj, "all_flags")) ?: "";
	for (i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		if (has_word(have, wanted[i]))
			json_array_append_new(flags, json_string(wanted[i]));
	json_object_set_new(obj, "flags", flags);

	if (has_word(have, "hypervisor")) {
		__cpuid(0x40000000, signature[0], signature[1], signature[2], signature[3]);
		memcpy(name, signature + 1, 12);
		json_object_set_new(obj, "hypervisor", text_json(name));
	} else {
		put_why(obj, "hypervisor", "the CPU shows none");
	}
	if (!full)
		json_object_del(obj, "all_flags");
	free(cpuinfo);
	return obj;
}

static json_t *numa_nodes(void)
{
	json_t *nodes = json_array(), *node;
	char path[128], *text;
	struct dirent *d;
	DIR *dir = opendir("/sys/devices/system/node");

	while (dir && (d = readdir(dir))) {
		if (strncmp(d->d_name, "node", 4) || !isdigit(d->d_name[4]))
			continue;
		snprintf(path, sizeof(path), "/sys/devices/system/node/%.40s/meminfo", d->d_name);
		text = read_text(path);
		node = json_object();
		json_object_set_new(node, "node", json_integer(atoi(d->d_name + 4)));
		json_object_set_new(node, "total_kb", json_integer(text ? number_of(text, "MemTotal") : -1));
		json_object_set_new(node, "free_kb", json_integer(text ? number_of(text, "MemFree") : -1));
		snprintf(path, sizeof(path), "/sys/devices/system/node/%.40s/cpulist", d->d_name);
		put_file(node, "cpus", path);
		json_array_append_new(nodes, node);
		free(text);
	}
	if (dir)
		closedir(dir);
	return nodes;
}

static json_t *huge_pages(void)
{
	static const char *const counts[] = {
		"nr_hugepages", "free_hugepages", "surplus_hugepages", "nr_overcommit_hugepages",
	};
	json_t *sizes = json_array(), *size;
	char path[192];
	struct dirent *d;
	DIR *dir = opendir("/sys/kernel/mm/hugepages");
	size_t i;

	while (dir && (d = readdir(dir))) {
		if (strncmp(d->d_name, "hugepages-", 10))
			continue;
		size = json_object();
		json_object_set_new(size, "size_kb", json_integer(atoll(d->d_name + 10)));
		for (i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
			snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/%.60s/%s",
				 d->d_name, counts[i]);
			put_number_file(size, counts[i], path);
		}
		json_array_append_new(sizes, size);
	}
	if (dir)
		closedir(dir);
	return sizes;
}

static json_t *memory(void)
{
	static const struct { const char *key, *name; } fields[] = {
		{ "total_kb", "MemTotal" }, { "free_kb", "MemFree" },
		{ "available_kb", "MemAvailable" }, { "swap_kb", "SwapTotal" },
	};
	char *text = read_text("/proc/meminfo");
	json_t *obj = json_object();
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		if (text)
			json_object_set_new(obj, fields[i].key,
					    json_integer(number_of(text, fields[i].name)));
		else
			put_why(obj, fields[i].key, "/proc/meminfo cannot be read");
	}
	free(text);
	json_object_set_new(obj, "nodes", numa_nodes());
	json_object_set_new(obj, "hugepages", huge_pages());
	put_choice_file(obj, "thp", "/sys/kernel/mm/transparent_hugepage/enabled");
	put_choice_file(obj, "thp_shmem", "/sys/kernel/mm/transparent_hugepage/shmem_enabled");
	return obj;
}

static json_t *cgroup(void)
{
	json_t *obj = json_object(), *v1 = json_array();
	char path[512], *text, *line, *save = NULL;
	struct mntent *m;
	FILE *mounts = setmntent("/proc/self/mounts", "re");

	json_object_set_new(obj, "v1_controllers", v1);
	/* "4:memory:/path"; version 2 is "0::/path" */
	text = read_text("/proc/self/cgroup");
	for (line = text ? strtok_r(text, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%*d:%100[^:]:", path) == 1)
			json_array_append_new(v1, text_json(path));
	free(text);

	put_why(obj, "v2_mount", "no cgroup2 file system is mounted");
	put_why(obj, "misc_capacity", "no cgroup2 file system with a misc controller (CONFIG_CGROUP_MISC)");
	while (mounts && (m = getmntent(mounts))) {
		if (strcmp(m->mnt_type, "cgroup2"))
			continue;
		json_object_del(obj, "v2_mount_why");
		json_object_set_new(obj, "v2_mount", text_json(m->mnt_dir));
		snprintf(path, sizeof(path), "%.400s/cgroup.controllers", m->mnt_dir);
		put_file(obj, "v2_controllers", path);
		snprintf(path, sizeof(path), "%.400s/misc.capacity", m->mnt_dir);
		text = read_text(path);
		if (text) {
			json_object_del(obj, "misc_capacity_why");
			json_object_set_new(obj, "misc_capacity", text_json(text));
		}
		free(text);
	}
	if (mounts)
		endmntent(mounts);
	return obj;
}

/*
 * KVM
 */

static const char *const vm_types[] = {
	[KVM_X86_DEFAULT_VM] = "default",
	[KVM_X86_SW_PROTECTED_VM] = "sw_protected",
	[KVM_X86_SEV_VM] = "sev",
	[KVM_X86_SEV_ES_VM] = "sev_es",
	[KVM_X86_SNP_VM] = "snp",
	[KVM_X86_TDX_VM] = "tdx",
};

static void put_cap(json_t *obj, const char *key, int fd, int cap)
{
	int value = ioctl(fd, KVM_CHECK_EXTENSION, cap);

	if (value < 0)
		put_why(obj, key, "KVM_CHECK_EXTENSION: %s", strerror(errno));
	else
		json_object_set_new(obj, key, json_integer(value));
}

/* What a VM of each type can do, asked of an empty one. */
static json_t *kvm_types(int kvm_fd, int types)
{
	static const struct { const char *key; int cap; } caps[] = {
		{ "guest_memfd", KVM_CAP_GUEST_MEMFD },
		{ "guest_memfd_flags", KVM_CAP_GUEST_MEMFD_FLAGS },
		{ "memory_attributes", KVM_CAP_MEMORY_ATTRIBUTES },
		{ "pre_fault_memory", KVM_CAP_PRE_FAULT_MEMORY },
		{ "max_vcpus", KVM_CAP_MAX_VCPUS },
	};
	json_t *obj = json_object(), *type;
	size_t i, c;
	int vm;

	for (i = 0; i < sizeof(vm_types) / sizeof(*vm_types); i++) {
		if (!(types >> i & 1))
			continue;
		type = json_object();
		json_object_set_new(obj, vm_types[i], type);
		vm = ioctl(kvm_fd, KVM_CREATE_VM, i);
		if (vm < 0) {
			put_why(type, "guest_memfd", "KVM_CREATE_VM: %s", strerror(errno));
			continue;
		}
		for (c = 0; c < sizeof(caps) / sizeof(*caps); c++)
			put_cap(type, caps[c].key, vm, caps[c].cap);
		close(vm);
	}
	return obj;
}

static json_t *kvm(void)
{
	json_t *obj = json_object();
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), types;

	if (fd < 0) {
		put_why(obj, "api", "/dev/kvm: %s", strerror(errno));
		put_why(obj, "vm_types", "as for api");
		return obj;
	}
	json_object_set_new(obj, "api", json_integer(ioctl(fd, KVM_GET_API_VERSION, 0)));
	/* Before VM types there was one, the default. */
	types = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES);
	if (types <= 0)
		types = 1 << KVM_X86_DEFAULT_VM;
	json_object_set_new(obj, "vm_types", json_integer(types));
	json_object_set_new(obj, "types", kvm_types(fd, types));
	put_cap(obj, "user_memory2", fd, KVM_CAP_USER_MEMORY2);
	close(fd);
	return obj;
}

/* Parameters of every module of KVM's: kvm, kvm_intel, kvm_amd, ... */
static json_t *modules(int full)
{
	static const char *const wanted = "tdx ept npt tdp_mmu mmio_caching nx_huge_pages enable_virt_at_load";
	json_t *obj = json_object(), *params;
	char path[600], params_path[256], *text;
	struct dirent *d, *p;
	DIR *dir = opendir("/sys/module"), *params_dir;

	while (dir && (d = readdir(dir))) {
		if (strncmp(d->d_name, "kvm", 3))
			continue;
		params = json_object();
		snprintf(params_path, sizeof(params_path), "/sys/module/%.100s/parameters", d->d_name);
		params_dir = opendir(params_path);
		while (params_dir && (p = readdir(params_dir))) {
			if (p->d_name[0] == '.' || (!full && !has_word(wanted, p->d_name)))
				continue;
			snprintf(path, sizeof(path), "%s/%.255s", params_path, p->d_name);
			text = read_text(path);
			/* Some can only be written. */
			if (text)
				json_object_set_new(params, p->d_name, text_json(text));
			free(text);
		}
		if (params_dir)
			closedir(params_dir);
		json_object_set_new(obj, d->d_name, params);
	}
	if (dir)
		closedir(dir);
	return obj;
}

/*
 * TDX
 */

/* The kernel log since boot, the caller's to free(); NULL with errno set. */
static char *kernel_log(void)
{
	int size = klogctl(SYSLOG_SIZE_BUFFER, NULL, 0), n;
	char *text;

	if (size <= 0)
		return NULL;
	text = malloc(size + 1);
	if (!text)
		return NULL;
	n = klogctl(SYSLOG_READ_ALL, text, size);
	if (n < 0) {
		free(text);
		return NULL;
	}
	text[n] = 0;
	return text;
}

/* All lines of arch/x86/virt/vmx/tdx/ in the log, up to a sane number; else NULL. */
static json_t *tdx_log(void)
{
	char *text = kernel_log(), *line, *at, *save = NULL;
	json_t *lines;

	if (!text)
		return NULL;
	lines = json_array();
	for (line = strtok_r(text, "\n", &save); line && json_array_size(lines) < 64;
	     line = strtok_r(NULL, "\n", &save)) {
		at = strstr(line, "virt/tdx: ");
		if (at)
			json_array_append_new(lines, text_json(at + strlen("virt/tdx: ")));
	}
	free(text);
	return lines;
}

static json_t *tdx(const json_t *cpu_flags, const char *bugs, const json_t *modules_obj,
		   const json_t *kvm_obj)
{
	static const char *const of_log[] = { "log", "keyids", "pamt_kb" };
	json_t *obj = json_object(), *log = tdx_log(), *value;
	const int err = errno;
	unsigned int from, to;
	unsigned long kb;
	const char *line;
	char *text;
	size_t i;
	bool platform = false, initialized;

	json_array_foreach(cpu_flags, i, value)
		platform |= !strcmp(json_string_value(value), "tdx_host_platform");
	json_object_set_new(obj, "platform", json_boolean(platform));
	json_object_set_new(obj, "partial_write_erratum", json_boolean(has_word(bugs, "tdx_pw_mce")));

	/* Offered by KVM, or a device of it: then there must be a module at work. */
	initialized = json_integer_value(json_object_get(kvm_obj, "vm_types")) >> KVM_X86_TDX_VM & 1;
	initialized |= !access("/sys/devices/faux/tdx_host", F_OK);

	if (log) {
		json_object_set_new(obj, "log", log);
		put_why(obj, "keyids", "the kernel log has no \"virt/tdx: BIOS enabled\" line");
		put_why(obj, "pamt_kb", "the kernel log has no \"allocated for PAMT\" line");
	} else {
		for (i = 0; i < sizeof(of_log) / sizeof(*of_log); i++)
			put_why(obj, of_log[i], "the kernel log cannot be read: %s", strerror(err));
	}
	json_array_foreach(log, i, value) {
		line = json_string_value(value);
		if (sscanf(line, "BIOS enabled: private KeyID range [%u, %u)", &from, &to) == 2) {
			json_object_del(obj, "keyids_why");
			json_object_set_new(obj, "keyids", json_pack("[i, i]", from, to));
		} else if (sscanf(line, "%lu KB allocated for PAMT", &kb) == 1) {
			json_object_del(obj, "pamt_kb_why");
			json_object_set_new(obj, "pamt_kb", json_integer(kb));
		} else if (!strcasecmp(line, "TDX-Module initialized") ||
			   !strcasecmp(line, "module initialized")) {
			initialized = true;
		}
	}
	json_object_set_new(obj, "initialized", json_boolean(initialized));

	/* drivers/virt/coco/tdx-host, since 7.1 */
	text = read_text("/sys/devices/faux/tdx_host/version");
	if (text)
		json_object_set_new(obj, "module_version", text_json(text));
	else
		put_why(obj, "module_version", "/sys/devices/faux/tdx_host/version: %s", strerror(errno));
	free(text);

	value = json_object_get(json_object_get(modules_obj, "kvm_intel"), "tdx");
	if (value)
		json_object_set(obj, "kvm_intel_tdx", value);
	else
		put_why(obj, "kvm_intel_tdx", json_object_get(modules_obj, "kvm_intel") ?
			"kvm_intel has no parameter tdx (CONFIG_KVM_INTEL_TDX)" :
			"kvm_intel is not loaded");
	return obj;
}

static json_t *limits(void)
{
	static const struct { const char *key; int which; } all[] = {
		{ "nofile", RLIMIT_NOFILE }, { "memlock", RLIMIT_MEMLOCK },
		{ "as", RLIMIT_AS }, { "nproc", RLIMIT_NPROC }, { "core", RLIMIT_CORE },
	};
	json_t *obj = json_object();
	struct rlimit r;
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (getrlimit(all[i].which, &r))
			put_why(obj, all[i].key, "getrlimit: %s", strerror(errno));
		else if (r.rlim_cur == RLIM_INFINITY)
			json_object_set_new(obj, all[i].key, json_string("unlimited"));
		else
			json_object_set_new(obj, all[i].key, json_integer(r.rlim_cur));
	}
	return obj;
}

/* What the kernel lets this process do, by trying it. */
static json_t *features(void)
{
	static const struct { const char *key, *path, *option; } files[] = {
		{ "compaction", "/proc/sys/vm/compact_memory", "CONFIG_COMPACTION" },
		{ "memory_failure", "/proc/sys/vm/memory_failure_recovery", "CONFIG_MEMORY_FAILURE" },
		{ "fault_injection", "/proc/self/make-it-fail", "CONFIG_FAULT_INJECTION" },
	};
	struct io_uring_params params = {};
	json_t *obj = json_object();
	struct mntent *m;
	FILE *mounts;
	size_t i;
	int fd;

	for (i = 0; i < sizeof(files) / sizeof(*files); i++) {
		if (!access(files[i].path, F_OK))
			json_object_set_new(obj, files[i].key, json_true());
		else
			put_why(obj, files[i].key, "no %s (%s)", files[i].path, files[i].option);
	}

	put_why(obj, "debugfs", "no debugfs is mounted");
	mounts = setmntent("/proc/self/mounts", "re");
	while (mounts && (m = getmntent(mounts))) {
		if (strcmp(m->mnt_type, "debugfs"))
			continue;
		json_object_del(obj, "debugfs_why");
		json_object_set_new(obj, "debugfs", text_json(m->mnt_dir));
	}
	if (mounts)
		endmntent(mounts);

	fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fd >= 0) {
		json_object_set_new(obj, "userfaultfd", json_string("kernel and user faults"));
		close(fd);
	} else {
		int err = errno;

		fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
		if (fd >= 0)
			json_object_set_new(obj, "userfaultfd", json_string("user faults"));
		else
			put_why(obj, "userfaultfd", "userfaultfd: %s", strerror(err));
		if (fd >= 0)
			close(fd);
	}

	fd = syscall(SYS_io_uring_setup, 1, &params);
	if (fd >= 0) {
		json_object_set_new(obj, "io_uring", json_true());
		close(fd);
	} else {
		put_why(obj, "io_uring", "io_uring_setup: %s", strerror(errno));
	}
	return obj;
}

json_t *env_capture(int full)
{
	json_t *env = json_object(), *part;
	const char *why;

	if (!env)
		return NULL;
	json_object_set_new(env, "platform", json_string(env_platform()));
	json_object_set_new(env, "euid", json_integer(geteuid()));
	json_object_set_new(env, "kernel", kernel(full));
	json_object_set_new(env, "settings", settings());
	part = cpu(full);
	json_object_set_new(env, "cpu", part);
	json_object_set_new(env, "memory", memory());
	json_object_set_new(env, "cgroup", cgroup());
	json_object_set_new(env, "kvm", kvm());
	json_object_set_new(env, "modules", modules(full));
	json_object_set_new(env, "tdx", tdx(json_object_get(part, "flags"),
					    json_string_value(json_object_get(part, "bugs")) ?: "",
					    json_object_get(env, "modules"),
					    json_object_get(env, "kvm")));
	json_object_set_new(env, "features", features());
	json_object_set_new(env, "limits", limits());
	why = folio_why_not();
	if (why)
		put_why(env, "probe", "%s", why);
	else
		json_object_set_new(env, "probe", json_string(folio_probe()));
	return env;
}

const char *env_platform(void)
{
	const char *platform = "host";
	json_t *kvm_obj, *tdx_obj;
	char *cmdline = read_text("/proc/cmdline");
	bool emulated = cmdline && has_word(cmdline, "tdx_sept.platform=emulated");

	free(cmdline);
	if (emulated)
		return "emulated";

	kvm_obj = kvm();
	tdx_obj = tdx(NULL, "", NULL, kvm_obj);
	if (json_is_true(json_object_get(tdx_obj, "initialized")))
		platform = "hardware";
	json_decref(tdx_obj);
	json_decref(kvm_obj);
	return platform;
}
