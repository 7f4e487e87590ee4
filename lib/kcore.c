// SPDX-License-Identifier: GPL-2.0-only
/*
 * The note segment of /proc/kcore holds a copy of the task_struct of whoever reads it
 * (fs/proc/kcore.c, NT_TASKSTRUCT), which leads to the reader's own open files.
 */
#include <bpf/btf.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kcore.h"

static int kcore_fd = -1;
static Elf64_Phdr *segments;
static unsigned int nr_segments;
static __u64 notes_offset, notes_size;
static void *notes;
static struct btf *vmlinux, *kvm;	/* kvm is NULL where it is no module */
static struct {
	int task_files, files_fdt, fdt_max, fdt_fd;
} at;

/* Offsets by name, through anonymous structs and unions. */
static int find_in(const struct btf *btf, __u32 id, const char *name, __u32 base,
		   __u32 *bits, __u32 *type)
{
	const struct btf_type *t;
	const struct btf_member *m;
	const char *member;
	int i;

	t = btf__type_by_id(btf, btf__resolve_type(btf, id));
	if (!t || !btf_is_composite(t))
		return -ENOENT;
	for (i = 0, m = btf_members(t); i < btf_vlen(t); i++, m++) {
		member = btf__name_by_offset(btf, m->name_off);
		*bits = base + btf_member_bit_offset(t, i);
		*type = m->type;
		if (*member ? !strcmp(member, name) :
		    !find_in(btf, m->type, name, *bits, bits, type))
			return 0;
	}
	return -ENOENT;
}

static int bits_of(const struct btf *btf, const char *in, const char *name, __u32 *type)
{
	int id = btf ? btf__find_by_name_kind(btf, in, BTF_KIND_STRUCT) : -1;
	__u32 bits, t;

	if (btf && id < 0)
		id = btf__find_by_name_kind(btf, in, BTF_KIND_UNION);
	if (id < 0 || find_in(btf, id, name, 0, &bits, &t))
		return -1;
	if (type)
		*type = t;
	return bits;
}

int kcore_bit_offset(const char *in, const char *name)
{
	int bits = bits_of(vmlinux, in, name, NULL);

	return bits < 0 ? bits_of(kvm, in, name, NULL) : bits;
}

int kcore_offset(const char *in, const char *name, __u32 *type)
{
	int bits = type ? bits_of(vmlinux, in, name, type) : kcore_bit_offset(in, name);

	return bits < 0 ? -1 : bits / 8;
}

int kcore_type_size(__u32 type)
{
	return btf__resolve_size(vmlinux, type);
}

int kcore_size(const char *name)
{
	int id = btf__find_by_name_kind(vmlinux, name, BTF_KIND_STRUCT);

	return id < 0 ? -1 : kcore_type_size(id);
}

int kcore_value(const char *in, const char *name)
{
	int id = btf__find_by_name_kind(vmlinux, in, BTF_KIND_ENUM), i;
	const struct btf_type *t;

	if (id < 0)
		return -1;
	t = btf__type_by_id(vmlinux, id);
	for (i = 0; i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(vmlinux, btf_enum(t)[i].name_off), name))
			return btf_enum(t)[i].val;
	return -1;
}

static int learn_layout(char *why, size_t why_len)
{
	vmlinux = btf__load_vmlinux_btf();
	if (!vmlinux) {
		snprintf(why, why_len, "no /sys/kernel/btf/vmlinux (%s); the kernel needs CONFIG_DEBUG_INFO_BTF",
			 strerror(errno));
		return -ENOENT;
	}
	if (!access("/sys/kernel/btf/kvm", R_OK))
		kvm = btf__load_module_btf("kvm", vmlinux);
	at.task_files = kcore_offset("task_struct", "files", NULL);
	at.files_fdt = kcore_offset("files_struct", "fdt", NULL);
	at.fdt_max = kcore_offset("fdtable", "max_fds", NULL);
	at.fdt_fd = kcore_offset("fdtable", "fd", NULL);
	if (at.task_files < 0 || at.files_fdt < 0 || at.fdt_max < 0 || at.fdt_fd < 0) {
		snprintf(why, why_len, "this kernel's BTF does not tell where a task has its files");
		return -ENOTSUP;
	}
	return 0;
}

static int open_kcore(char *why, size_t why_len)
{
	Elf64_Ehdr ehdr;
	ssize_t size;
	int err, i;

	kcore_fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	if (kcore_fd < 0) {
		err = -errno;
		if (err == -ENOENT)
			snprintf(why, why_len, "no /proc/kcore; the kernel needs CONFIG_PROC_KCORE");
		else
			snprintf(why, why_len, "/proc/kcore: %s; run as root, and check that kernel lockdown is off",
				 strerror(-err));
		return err;
	}
	if (pread(kcore_fd, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr) ||
	    memcmp(ehdr.e_ident, ELFMAG, SELFMAG) || !ehdr.e_phnum ||
	    ehdr.e_phentsize != sizeof(Elf64_Phdr)) {
		snprintf(why, why_len, "/proc/kcore is no ELF core file");
		return -EIO;
	}

	size = ehdr.e_phnum * sizeof(Elf64_Phdr);
	segments = malloc(size);
	if (!segments) {
		snprintf(why, why_len, "no memory");
		return -ENOMEM;
	}
	if (pread(kcore_fd, segments, size, ehdr.e_phoff) != size) {
		snprintf(why, why_len, "/proc/kcore gives no program headers");
		return -EIO;
	}
	nr_segments = ehdr.e_phnum;
	for (i = 0; i < ehdr.e_phnum; i++) {
		if (segments[i].p_type != PT_NOTE)
			continue;
		notes_offset = segments[i].p_offset;
		notes_size = segments[i].p_filesz;
	}
	notes = malloc(notes_size ?: 1);
	if (!notes) {
		snprintf(why, why_len, "no memory");
		return -ENOMEM;
	}
	return 0;
}

/* From the segment that begins, at the address that is meant, no later than @addr. */
static int load(bool by_pa, __u64 addr, void *to, size_t size)
{
	unsigned int i;
	ssize_t n;

	for (i = 0; i < nr_segments; i++) {
		const Elf64_Phdr *s = &segments[i];
		__u64 start = by_pa ? s->p_paddr : s->p_vaddr;

		if (s->p_type != PT_LOAD || addr < start || addr - start + size > s->p_memsz)
			continue;
		n = pread(kcore_fd, to, size, s->p_offset + (addr - start));
		if (n == (ssize_t)size)
			return 0;
		return n < 0 ? -errno : -EIO;
	}
	return -EAGAIN;
}

int kcore_load(__u64 addr, void *to, size_t size)
{
	return load(false, addr, to, size);
}

int kcore_load_phys(__u64 pa, void *to, size_t size)
{
	return load(true, pa, to, size);
}

__u64 kcore_follow(__u64 addr, int offset, int *err)
{
	__u64 value = 0;

	if (!*err)
		*err = kcore_load(addr + offset, &value, sizeof(value));
	return value;
}

/* The calling task's files_struct, from the copy of its task_struct in the notes. */
static int own_files(__u64 *files)
{
	ssize_t size = pread(kcore_fd, notes, notes_size, notes_offset), pos = 0;

	*files = 0;
	if (size < 0)
		return -errno;
	while (pos + (ssize_t)sizeof(Elf64_Nhdr) <= size) {
		const Elf64_Nhdr *n = (void *)((char *)notes + pos);
		ssize_t desc = pos + sizeof(*n) + ((n->n_namesz + 3) & ~3u);

		if (n->n_type == NT_TASKSTRUCT && desc + n->n_descsz <= size &&
		    n->n_descsz >= at.task_files + sizeof(*files)) {
			memcpy(files, (char *)notes + desc + at.task_files, sizeof(*files));
			return 0;
		}
		pos = desc + ((n->n_descsz + 3) & ~3u);
	}
	return -ENOTSUP;
}

int kcore_file(int fd, __u64 *file)
{
	__u64 files, fdt, table;
	__u32 max_fds;
	int err = own_files(&files);

	fdt = kcore_follow(files, at.files_fdt, &err);
	max_fds = kcore_follow(fdt, at.fdt_max, &err);
	if (!err && (fd < 0 || (__u32)fd >= max_fds))
		return -EBADF;
	table = kcore_follow(fdt, at.fdt_fd, &err);
	*file = kcore_follow(table, fd * sizeof(__u64), &err);
	return !err && !*file ? -EBADF : err;
}

int kcore_open(char *why, size_t why_len)
{
	int err;

	if (kcore_fd >= 0)
		return 0;
	err = open_kcore(why, why_len) ?: learn_layout(why, why_len);
	if (err)
		kcore_close();
	return err;
}

void kcore_close(void)
{
	if (kcore_fd >= 0)
		close(kcore_fd);
	kcore_fd = -1;
	free(segments);
	segments = NULL;
	nr_segments = 0;
	free(notes);
	notes = NULL;
	btf__free(kvm);
	btf__free(vmlinux);
	kvm = vmlinux = NULL;
}
