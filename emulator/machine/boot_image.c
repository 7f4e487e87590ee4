// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prepare what the emulated machine finds in its memory at power-on.
 *
 *	boot_image -k VMLINUX -o DIR [-i INITRAMFS] [-c CPUS] [-m MB] [-a CMDLINE]
 *
 * Write DIR/kernel.img (what VMLINUX has to load, as it is in memory) and
 * DIR/low.img (what a BIOS and a boot loader would have left in the first page
 * frames), and print the lines of a bochsrc which put these and INITRAMFS into
 * memory.  What the CPU then does is in rom.S.
 */

#include <asm/bootparam.h>
#include <elf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB			(1024 * 1024ULL)
#define PAGE			4096ULL

/* low.img; rom.S knows the place and layout of struct boot_block, too. */
#define MP_POINTER		0x10	/* the kernel looks through the first KiB */
#define MP_TABLE		0x1000
#define BOOT_BLOCK		0x8000
#define PML4			0x9000
#define PDPT			0xa000
#define ZERO_PAGE		0xb000
#define CMDLINE			0xc000
#define CMDLINE_SIZE		2048
#define LOW_SIZE		0xd000

/* ACPI 6.5, 15.1: types of address ranges */
#define MEMORY_USABLE		1
#define MEMORY_RESERVED		2

#define LOW_END			0x9fc00	/* conventional memory, as ever */
/*
 * Memory that the firmware keeps, as firmware does.  Here it is none that anybody
 * misses: the kernel has the first 128 MiB and the rest of the 128 MiB that they end
 * in ready before it patches REP STOS in, and with init_on_free=1 that means cleared
 * (memmap_init_range() of mm/mm_init.c).  This is nearly all of that rest, and half a
 * second of each boot.
 */
#define FIRMWARE		(132 * MIB)
#define FIRMWARE_END		(256 * MIB)
#define MAX_CPUS		64
#define MAX_MB			2048	/* more Bochs does not take */

#define LAPIC_ADDRESS		0xfee00000
#define IOAPIC_ADDRESS		0xfec00000
#define IOAPIC_PINS		16	/* the ISA interrupts; there are no others */

struct boot_block {
	uint64_t entry;
	uint64_t zero_page;
	uint64_t pml4;
};

/* Intel MultiProcessor Specification 1.4, chapter 4 */
struct mp_pointer {
	char signature[4];
	uint32_t table;
	uint8_t paragraphs, revision, checksum, feature[5];
};

struct mp_table {
	char signature[4];
	uint16_t length;
	uint8_t revision, checksum;
	char oem[8], product[12];
	uint32_t oem_table;
	uint16_t oem_size, entries;
	uint32_t lapic, reserved;
};

struct mp_cpu {
	uint8_t type, apic_id, apic_version, flags;
	uint32_t signature, features, reserved[2];
};

struct mp_bus {
	uint8_t type, id;
	char name[6];
};

struct mp_ioapic {
	uint8_t type, id, version, flags;
	uint32_t address;
};

struct mp_interrupt {
	uint8_t type, kind;
	uint16_t flags;
	uint8_t bus, irq, apic, pin;
};

enum { MP_CPU, MP_BUS, MP_IOAPIC, MP_INTERRUPT, MP_LOCAL };
enum { MP_INT, MP_NMI, MP_SMI, MP_EXTINT };

_Static_assert(sizeof(struct mp_pointer) == 16, "MP floating pointer");
_Static_assert(sizeof(struct mp_table) == 44, "MP table");
_Static_assert(sizeof(struct mp_cpu) == 20, "MP processor");
_Static_assert(sizeof(struct boot_params) == 4096, "zero page");

static uint8_t low[LOW_SIZE];
static uint64_t kernel_start, kernel_end, kernel_entry;

static uint8_t checksum(const void *data, size_t size)
{
	const uint8_t *byte = data;
	uint8_t sum = 0;

	while (size--)
		sum += *byte++;
	return -sum;
}

static void *mp_add(struct mp_table *table, const void *entry, size_t size)
{
	void *place = (uint8_t *)table + table->length;

	memcpy(place, entry, size);
	table->length += size;
	table->entries++;
	return place;
}

static void make_mp_table(unsigned int cpus)
{
	struct mp_pointer *pointer = (void *)(low + MP_POINTER);
	struct mp_table *table = (void *)(low + MP_TABLE);
	struct mp_bus isa = { .type = MP_BUS, .name = "ISA   " };
	struct mp_ioapic ioapic = {
		.type = MP_IOAPIC, .id = cpus, .version = 0x11, .flags = 1,
		.address = IOAPIC_ADDRESS,
	};
	struct mp_interrupt local = { .type = MP_LOCAL, .apic = 0xff };
	unsigned int i;

	memcpy(pointer->signature, "_MP_", 4);
	pointer->table = MP_TABLE;
	pointer->paragraphs = 1;
	pointer->revision = 4;
	pointer->checksum = checksum(pointer, sizeof(*pointer));

	memcpy(table->signature, "PCMP", 4);
	table->length = sizeof(*table);
	table->revision = 4;
	memcpy(table->oem, "TDX-SEPT", 8);
	memcpy(table->product, "TESTS       ", 12);
	table->lapic = LAPIC_ADDRESS;
	for (i = 0; i < cpus; i++) {
		struct mp_cpu cpu = {
			.type = MP_CPU, .apic_id = i, .apic_version = 0x14,
			.flags = i ? 1 : 3,	/* enabled, boot processor */
		};

		mp_add(table, &cpu, sizeof(cpu));
	}
	mp_add(table, &isa, sizeof(isa));
	mp_add(table, &ioapic, sizeof(ioapic));
	for (i = 0; i < IOAPIC_PINS; i++) {
		struct mp_interrupt line = {
			.type = MP_INTERRUPT, .kind = MP_INT, .irq = i,
			.apic = cpus, .pin = i ? i : 2,
		};

		if (i != 2)		/* the cascade; the timer is at its pin */
			mp_add(table, &line, sizeof(line));
	}
	local.kind = MP_EXTINT;
	mp_add(table, &local, sizeof(local));
	local.kind = MP_NMI;
	local.pin = 1;
	mp_add(table, &local, sizeof(local));
	table->checksum = checksum(table, table->length);
}

static void make_page_tables(void)
{
	uint64_t *pml4 = (void *)(low + PML4), *pdpt = (void *)(low + PDPT);
	unsigned int i;

	pml4[0] = PDPT | 3;
	for (i = 0; i < 4; i++)
		pdpt[i] = (uint64_t)i << 30 | 0x83;	/* 1 GiB each */
}

static void add_memory(struct boot_params *zero, uint64_t start, uint64_t end, uint32_t type)
{
	zero->e820_table[zero->e820_entries++] = (struct boot_e820_entry) {
		.addr = start, .size = end - start, .type = type,
	};
}

static void make_zero_page(uint64_t end, bool firmware, const char *cmdline, uint64_t initrd,
			   uint64_t initrd_size)
{
	struct boot_params *zero = (void *)(low + ZERO_PAGE);

	memcpy(low + CMDLINE, cmdline, strlen(cmdline));
	add_memory(zero, 0, LOW_END, MEMORY_USABLE);
	if (firmware) {
		add_memory(zero, MIB, FIRMWARE, MEMORY_USABLE);
		add_memory(zero, FIRMWARE, FIRMWARE_END, MEMORY_RESERVED);
		add_memory(zero, FIRMWARE_END, end, MEMORY_USABLE);
	} else {
		add_memory(zero, MIB, end, MEMORY_USABLE);
	}
	zero->hdr.boot_flag = 0xaa55;
	zero->hdr.header = 0x53726448;		/* "HdrS" */
	zero->hdr.version = 0x020f;
	zero->hdr.type_of_loader = 0xff;
	zero->hdr.loadflags = LOADED_HIGH;
	zero->hdr.kernel_alignment = 2 * MIB;
	zero->hdr.cmd_line_ptr = CMDLINE;
	zero->hdr.cmdline_size = CMDLINE_SIZE - 1;
	zero->hdr.ramdisk_image = initrd;
	zero->hdr.ramdisk_size = initrd_size;
}

static int create(const char *dir, const char *name, char *path)
{
	int fd;

	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		err(3, "%s", path);
	return fd;
}

static void write_at(int fd, const char *path, const void *data, size_t size, uint64_t offset)
{
	ssize_t n;

	for (; size; size -= n, data = (const char *)data + n, offset += n) {
		n = pwrite(fd, data, size, offset);
		if (n < 0)
			err(3, "%s", path);
	}
}

static void *read_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t done;
	char *data;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		err(3, "%s", path);
	*size = st.st_size;
	data = malloc(*size + 1);
	if (!data)
		err(3, "%s", path);
	for (done = 0; done < *size; done += n) {
		n = read(fd, data + done, *size - done);
		if (n < 0)
			err(3, "%s", path);
		if (!n)
			errx(3, "%s became shorter while it was read", path);
	}
	close(fd);
	return data;
}

static void make_kernel(const char *vmlinux, const char *dir, char *path)
{
	size_t size, i;
	uint8_t *file = read_file(vmlinux, &size);
	Elf64_Ehdr *elf = (void *)file;
	Elf64_Phdr *segment;
	int fd;

	if (size < sizeof(*elf) || memcmp(elf->e_ident, ELFMAG, SELFMAG) ||
	    elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_machine != EM_X86_64 ||
	    elf->e_phentsize != sizeof(*segment) || elf->e_phoff > size ||
	    elf->e_phnum > (size - elf->e_phoff) / sizeof(*segment))
		errx(3, "%s is not a kernel's vmlinux", vmlinux);
	segment = (void *)(file + elf->e_phoff);
	kernel_start = UINT64_MAX;
	for (i = 0; i < elf->e_phnum; i++) {
		if (segment[i].p_type != PT_LOAD || !segment[i].p_memsz)
			continue;
		if (segment[i].p_paddr < kernel_start)
			kernel_start = segment[i].p_paddr;
		if (segment[i].p_paddr + segment[i].p_memsz > kernel_end)
			kernel_end = segment[i].p_paddr + segment[i].p_memsz;
	}
	kernel_entry = elf->e_entry;
	if (kernel_start < MIB || kernel_end > MAX_MB * MIB ||
	    kernel_entry < kernel_start || kernel_entry >= kernel_end)
		errx(3, "%s is not a kernel that can be started at its 64-bit entry", vmlinux);

	fd = create(dir, "kernel.img", path);
	for (i = 0; i < elf->e_phnum; i++) {
		if (segment[i].p_type != PT_LOAD)
			continue;
		if (segment[i].p_offset > size || segment[i].p_filesz > size - segment[i].p_offset)
			errx(3, "%s is not complete", vmlinux);
		write_at(fd, path, file + segment[i].p_offset, segment[i].p_filesz,
			 segment[i].p_paddr - kernel_start);
	}
	close(fd);
	free(file);
}

static unsigned int number(const char *name, const char *value, unsigned int max)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (errno || *end || end == value || n < 1 || n > max)
		errx(2, "%s=%s: want a number from 1 to %u", name, value, max);
	return n;
}

int main(int argc, char **argv)
{
	const char *vmlinux = NULL, *initramfs = NULL, *dir = NULL, *cmdline = "";
	struct boot_block *block = (void *)(low + BOOT_BLOCK);
	char kernel_path[PATH_MAX], low_path[PATH_MAX];
	uint64_t memory = 1024 * MIB, initrd = 0;
	unsigned int cpus = 1;
	struct stat st = {};
	bool firmware;
	int c, fd;

	while ((c = getopt(argc, argv, "k:i:o:c:m:a:")) != -1) {
		switch (c) {
		case 'k': vmlinux = optarg; break;
		case 'i': initramfs = optarg; break;
		case 'o': dir = optarg; break;
		case 'c': cpus = number("-c", optarg, MAX_CPUS); break;
		case 'm': memory = number("-m", optarg, MAX_MB) * MIB; break;
		case 'a': cmdline = optarg; break;
		default: return 2;
		}
	}
	if (!vmlinux || !dir || optind != argc)
		errx(2, "usage: boot_image -k VMLINUX -o DIR [-i INITRAMFS] [-c CPUS] [-m MB] [-a CMDLINE]");
	if (strlen(cmdline) >= CMDLINE_SIZE)
		errx(2, "the kernel's command line has more than %d characters", CMDLINE_SIZE - 1);

	make_kernel(vmlinux, dir, kernel_path);
	if (initramfs && stat(initramfs, &st))
		err(3, "%s", initramfs);
	if (kernel_end + st.st_size + 64 * MIB > memory)
		errx(2, "%llu MB of memory are too few for this kernel and initramfs",
		     (unsigned long long)(memory / MIB));
	/* Where nothing else has to be there; and it comes on top of what -m says. */
	firmware = kernel_end <= FIRMWARE && memory >= FIRMWARE_END + st.st_size &&
		   memory + FIRMWARE_END - FIRMWARE <= MAX_MB * MIB;
	if (firmware)
		memory += FIRMWARE_END - FIRMWARE;
	/* At the end, as boot loaders do: out of the way of everything. */
	if (initramfs)
		initrd = (memory - st.st_size) & -PAGE;

	*block = (struct boot_block) {
		.entry = kernel_entry, .zero_page = ZERO_PAGE, .pml4 = PML4,
	};
	make_page_tables();
	make_mp_table(cpus);
	make_zero_page(memory, firmware, cmdline, initrd, st.st_size);
	fd = create(dir, "low.img", low_path);
	write_at(fd, low_path, low, sizeof(low), 0);
	close(fd);

	printf("memory: guest=%llu, host=%llu\n", (unsigned long long)(memory / MIB),
	       (unsigned long long)(memory / MIB));
	printf("optramimage1: file=\"%s\", address=0x0\n", low_path);
	printf("optramimage2: file=\"%s\", address=0x%llx\n", kernel_path,
	       (unsigned long long)kernel_start);
	if (initramfs)
		printf("optramimage3: file=\"%s\", address=0x%llx\n", initramfs,
		       (unsigned long long)initrd);
	return fflush(stdout) || ferror(stdout) ? 3 : 0;
}
