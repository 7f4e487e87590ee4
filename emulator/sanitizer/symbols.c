// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbols.h"

#define IP_BYTES	4

struct symbol {
	uint64_t start, size;
	const char *name;
};

/* arch/x86/include/asm/orc_types.h */
struct orc {
	int16_t sp_offset, bp_offset;
	uint8_t regs;		/* 3:0 for SP, 7:4 for BP */
	uint8_t type;		/* 2:0, and 3: signal */
} __attribute__((packed));

enum { ORC_UNDEFINED, ORC_END_OF_STACK, ORC_CALL, ORC_REGS, ORC_REGS_PARTIAL, ORC_NR_TYPES };
#define ORC_TYPE	7
#define ORC_SIGNAL	8

/* arch/x86/include/asm/ptrace.h: of struct pt_regs, and of what IRET pops */
#define REGS_IP		0x80
#define REGS_SP		0x98
#define IRET_SP		0x18

/* Base registers of ORC entries; kernels number them differently. */
struct orc_regs {
	unsigned int sp, bp, prev_sp, sp_indirect, bp_indirect;
};

struct symbols {
	int fd;
	Elf *elf;
	struct symbol *symbols;
	size_t nr;

	const uint8_t *ips;	/* 32 bits each, relative to itself; not aligned */
	uint64_t ips_at;
	const struct orc *orcs;
	size_t nr_orcs;
	struct orc_regs regs;
};

static int by_start(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	/* Aliases: always the same one of them, and best one with a size. */
	if (!x->size != !y->size)
		return x->size ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* The functions, sorted, one per address. */
static int read_symbols(struct symbols *s, Elf_Scn *scn, const GElf_Shdr *shdr)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	const size_t nr = shdr->sh_entsize ? shdr->sh_size / shdr->sh_entsize : 0;
	size_t kept = 0;
	GElf_Sym sym;

	s->symbols = calloc(nr ?: 1, sizeof(*s->symbols));
	if (!data || !s->symbols)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		const char *name;

		if (!gelf_getsym(data, i, &sym) || GELF_ST_TYPE(sym.st_info) != STT_FUNC ||
		    !sym.st_value)
			continue;
		name = elf_strptr(s->elf, shdr->sh_link, sym.st_name);
		if (name && *name)
			s->symbols[s->nr++] = (struct symbol) { sym.st_value, sym.st_size, name };
	}
	qsort(s->symbols, s->nr, sizeof(*s->symbols), by_start);
	for (size_t i = 0; i < s->nr; i++)
		if (!kept || s->symbols[kept - 1].start != s->symbols[i].start)
			s->symbols[kept++] = s->symbols[i];
	s->nr = kept;
	return 0;
}

static bool read_orc(struct symbols *s, Elf_Scn *ips, Elf_Scn *orcs)
{
	Elf_Data *i = elf_rawdata(ips, NULL), *o = elf_rawdata(orcs, NULL);
	unsigned int uses[16] = {}, most = 0;
	GElf_Shdr shdr;

	if (!i || !o || !i->d_buf || !o->d_buf || !gelf_getshdr(ips, &shdr) ||
	    i->d_size / IP_BYTES != o->d_size / sizeof(*s->orcs))
		return false;
	s->ips = i->d_buf;
	s->ips_at = shdr.sh_addr;
	s->orcs = o->d_buf;
	s->nr_orcs = i->d_size / IP_BYTES;

	/* The stack pointer is by far the most used. */
	for (size_t n = 0; n < s->nr_orcs; n++)
		if ((s->orcs[n].type & ORC_TYPE) == ORC_CALL)
			uses[s->orcs[n].regs & 15]++;
	for (unsigned int r = 1; r < 16; r++)
		if (uses[r] > uses[most])
			most = r;
	s->regs = most == 3 ? (struct orc_regs) { 3, 4, 8, 9, 10 } :
			      (struct orc_regs) { 5, 4, 1, 9, 8 };
	return s->nr_orcs;
}

static int load(struct symbols *s)
{
	Elf_Scn *scn = NULL, *ips = NULL, *orcs = NULL;
	GElf_Ehdr ehdr;
	GElf_Shdr shdr;
	size_t names;
	int err = -ENOEXEC;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOEXEC;
	s->elf = elf_begin(s->fd, ELF_C_READ_MMAP, NULL);
	if (!s->elf || !gelf_getehdr(s->elf, &ehdr) || ehdr.e_machine != EM_X86_64 ||
	    elf_getshdrstrndx(s->elf, &names))
		return -ENOEXEC;
	while ((scn = elf_nextscn(s->elf, scn))) {
		const char *name;

		if (!gelf_getshdr(scn, &shdr))
			continue;
		name = elf_strptr(s->elf, names, shdr.sh_name) ?: "";
		if (shdr.sh_type == SHT_SYMTAB && err)
			err = read_symbols(s, scn, &shdr);
		else if (!strcmp(name, ".orc_unwind_ip"))
			ips = scn;
		else if (!strcmp(name, ".orc_unwind"))
			orcs = scn;
	}
	if (!err && (!ips || !orcs || !read_orc(s, ips, orcs)))
		s->nr_orcs = 0;
	return err;
}

int symbols_open(struct symbols **out, const char *path)
{
	struct symbols *s = calloc(1, sizeof(*s));
	int err;

	*out = NULL;
	if (!s)
		return -ENOMEM;
	s->fd = open(path, O_RDONLY | O_CLOEXEC);
	err = s->fd < 0 ? -errno : load(s);
	if (err) {
		symbols_close(s);
		return err;
	}
	*out = s;
	return 0;
}

void symbols_close(struct symbols *s)
{
	if (!s)
		return;
	elf_end(s->elf);
	if (s->fd >= 0)
		close(s->fd);
	free(s->symbols);
	free(s);
}

static const struct symbol *find(const struct symbols *s, uint64_t ip)
{
	size_t low = 0, high = s ? s->nr : 0;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (s->symbols[middle].start <= ip)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	return ip - s->symbols[low - 1].start < s->symbols[low - 1].size ?
	       &s->symbols[low - 1] : NULL;
}

const char *symbols_function(const struct symbols *s, uint64_t ip, bool call)
{
	const struct symbol *symbol = find(s, ip - call);

	return symbol ? symbol->name : NULL;
}

bool symbols_name(const struct symbols *s, uint64_t ip, bool call, char *buf, size_t len)
{
	const struct symbol *symbol = find(s, ip - call);

	if (symbol)
		snprintf(buf, len, "%s+0x%llx/0x%llx", symbol->name,
			 (unsigned long long)(ip - symbol->start), (unsigned long long)symbol->size);
	return symbol;
}

static uint64_t orc_ip(const struct symbols *s, size_t i)
{
	int32_t offset;

	memcpy(&offset, s->ips + i * IP_BYTES, sizeof(offset));
	return s->ips_at + i * IP_BYTES + offset;
}

static const struct orc *find_orc(const struct symbols *s, uint64_t ip)
{
	size_t low = 0, high = s->nr_orcs;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (orc_ip(s, middle) <= ip)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &s->orcs[low - 1] : NULL;
}

static bool unwind_fp(struct frame *f, symbols_read_fn *read, void *ctx)
{
	uint64_t words[2];

	if (f->bp < f->sp || f->bp & 7 || !read(ctx, f->bp, words, sizeof(words)))
		return false;
	f->sp = f->bp + sizeof(words);
	f->bp = words[0];
	f->ip = words[1];
	f->exact = false;
	return true;
}

/* As unwind_next_frame() of arch/x86/kernel/unwind_orc.c. */
static bool unwind_orc(const struct symbols *s, const struct orc *orc, struct frame *f,
		       symbols_read_fn *read, void *ctx)
{
	const unsigned int sp_reg = orc->regs & 15, bp_reg = orc->regs >> 4;
	uint64_t sp;

	if (sp_reg == s->regs.sp)
		sp = f->sp + orc->sp_offset;
	else if (sp_reg == s->regs.bp || sp_reg == s->regs.bp_indirect)
		sp = f->bp + orc->sp_offset;
	else if (sp_reg == s->regs.sp_indirect)
		sp = f->sp;
	else
		return false;
	if ((sp_reg == s->regs.bp_indirect || sp_reg == s->regs.sp_indirect) &&
	    !read(ctx, sp, &sp, sizeof(sp)))
		return false;
	if (sp_reg == s->regs.sp_indirect)
		sp += orc->sp_offset;

	if (bp_reg == s->regs.prev_sp && !read(ctx, sp + orc->bp_offset, &f->bp, 8))
		return false;
	if (bp_reg == s->regs.bp && !read(ctx, f->bp + orc->bp_offset, &f->bp, 8))
		return false;

	switch (orc->type & ORC_TYPE) {
	case ORC_CALL:
		if (!read(ctx, sp - 8, &f->ip, 8))
			return false;
		f->sp = sp;
		break;
	case ORC_REGS:
		if (!read(ctx, sp + REGS_IP, &f->ip, 8) || !read(ctx, sp + REGS_SP, &f->sp, 8))
			return false;
		break;
	case ORC_REGS_PARTIAL:
		if (!read(ctx, sp, &f->ip, 8) || !read(ctx, sp + IRET_SP, &f->sp, 8))
			return false;
		break;
	default:
		return false;
	}
	f->exact = orc->type & ORC_SIGNAL;
	return true;
}

bool symbols_unwind(const struct symbols *s, struct frame *frame, symbols_read_fn *read,
		    void *ctx)
{
	const struct orc *orc;

	if (!s || !s->nr_orcs)
		return unwind_fp(frame, read, ctx);
	/* User space lies below all that has an entry. */
	orc = find_orc(s, frame->ip - !frame->exact);
	return orc && unwind_orc(s, orc, frame, read, ctx);
}
