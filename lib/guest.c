// SPDX-License-Identifier: GPL-2.0-only
/*
 * What differs between VM types is one row of guest_types[]: what the host must
 * have, which flags the guest_memfd gets, and how VM and vCPU are made and run.
 * All else is common, and done by plain system calls, so that an error comes
 * back as -errno where libkvm would end the process.
 *
 * A TD is made and run by td.c.  In the others the guest's own code and page
 * tables live in libkvm's memory slot 0, ordinary anonymous memory below GUEST_GPA;
 * nothing of them is in the guest_memfd.  Its page tables map what is asked for on
 * first use, one to one and by 2M, so that a sparse file of a terabyte costs a few
 * pages of them.
 */
#include <elf.h>
#include <sys/mman.h>

#include "kvm_util.h"
#include "processor.h"

#include "gmem.h"
#include "guest.h"
#include "need.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define REGION_BYTES	(2ull << 20)	/* what one guest page-table entry maps */

/* Stands for page tables of slot 0. */
#define EXTRA_PAGES	(2048 * 512 / 2)

#define GUEST_PORT	0x5e		/* "done"; no device answers there */
#define GUEST_ALL_GOOD	(~0ull)

/* Where guest_touch_maps() looks, between the guest's program and GUEST_GPA. */
#define PROBE_GPA	0x40000000ull
#define PROBE_SLOT	31

enum guest_op {
	OP_WRITE,
	OP_VERIFY,
	OP_VERIFY_ZERO,
};

struct guest_order {
	enum guest_op op;
	u64 gva, nr, pattern;
};

/* One VM type. */
struct guest_ops {
	const char *name;
	unsigned long vm_type;		/* KVM_X86_*_VM */
	u64 gmem_flags;
	bool has_private;
	/* Adds reasons to @buf; none, and those below can be called. */
	void (*why_not)(const struct guest_ops *ops, int kvm_fd, char *buf, size_t len);
	int (*create_vm)(struct guest *g, bool with_vcpu);
	void (*close_vm)(struct guest *g);
	int (*run)(struct guest *g, const struct guest_order *order);
};

struct guest {
	const struct guest_ops *ops;
	enum guest_type type;
	u64 nr;
	int gmem, vm, vcpu;		/* descriptors, -1 if closed or not there */
	struct td *td;			/* of TDs */
	struct kvm_vm *kvm_vm;		/* of all others, as the next two */
	struct kvm_vcpu *kvm_vcpu;
	u64 stack;			/* of the vCPU, before its first step */
	void *shared;			/* backs shared pages, see guest_shared() */
	u64 slot_first, slot_gpa;	/* where GUEST_SLOT is, or was last */
	const struct td_plan *plan;	/* of a TD; borrowed, to make it */
	struct guest_fault fault;
};

static void say(char *buf, size_t len, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Add a reason. */
static void say(char *buf, size_t len, const char *fmt, ...)
{
	size_t used = strlen(buf);
	va_list ap;

	if (used)
		used += snprintf(buf + used, len - used, "; ");
	va_start(ap, fmt);
	vsnprintf(buf + used, len - used, fmt, ap);
	va_end(ap);
}

/*
 * Guest code, in a section of its own: only its pages go into the guest
 */
#define __guest __attribute__((section("guest_text")))

extern const char __start_guest_text[], __stop_guest_text[];
extern const Elf64_Ehdr __ehdr_start;	/* the linker's: of this program */

/* By one string instruction: some KVMs emulate each access to a new page. */
static __guest noinline bool guest_page_is_zero(volatile u64 *page)
{
	u64 words = PAGE_BYTES / sizeof(*page);
	bool zero;

	asm volatile("repe scasq" : "+D"(page), "+c"(words), "=@ccz"(zero) : "a"(0) : "memory");
	return zero;
}

/* One order, from registers; the answer is left in registers, too. */
static __guest void guest_code(u64 op, u64 gva, u64 nr, u64 pattern)
{
	volatile u64 *page;
	u64 bad = GUEST_ALL_GOOD;
	u64 i;

	for (i = 0; i < nr && bad == GUEST_ALL_GOOD; i++) {
		page = (volatile u64 *)(gva + i * PAGE_BYTES);
		switch (op) {
		case OP_WRITE:
			*page = pattern + i;
			break;
		case OP_VERIFY:
			if (*page != pattern + i)
				bad = i;
			break;
		case OP_VERIFY_ZERO:
			if (!guest_page_is_zero(page))
				bad = i;
			break;
		}
	}
	for (;;)
		asm volatile("outb %%al, %1" : : "b"(bad), "N"(GUEST_PORT), "a"(0) : "memory");
}

/*
 * VM types that a plain KVM makes
 */

static void plain_why_not(const struct guest_ops *ops, int kvm_fd, char *buf, size_t len)
{
	int types = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES);
	u64 want = ops->gmem_flags;
	bool type_ok = types > 0 ? types & BIT(ops->vm_type) : ops->vm_type == KVM_X86_DEFAULT_VM;
	u64 have;
	int vm_fd;

	if (!type_ok)
		say(buf, len,
		    "KVM here makes VM types %#x, without %#lx (KVM_X86_SW_PROTECTED_VM): build the kernel with CONFIG_KVM_SW_PROTECTED_VM=y (needs CONFIG_EXPERT=y)",
		    types, BIT(ops->vm_type));
	if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY2) <= 0)
		say(buf, len, "KVM has no KVM_SET_USER_MEMORY_REGION2, use Linux 6.8 or later");
	if (!type_ok)
		return;

	vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, ops->vm_type);
	if (vm_fd < 0) {
		say(buf, len, "KVM_CREATE_VM of type %lu fails: %s", ops->vm_type,
		    strerror(errno));
		return;
	}
	have = gmem_flags(vm_fd);
	if (ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD) <= 0)
		say(buf, len,
		    "KVM has no guest_memfd for this VM type, use Linux 6.18 or later, built with CONFIG_KVM_GUEST_MEMFD=y");
	else if (want & ~have)
		say(buf, len,
		    "guest_memfd of this VM type knows flags %#lx only and cannot be mapped, use Linux 6.18 or later",
		    have);
	if (ops->has_private &&
	    !(ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MEMORY_ATTRIBUTES) &
	      KVM_MEMORY_ATTRIBUTE_PRIVATE))
		say(buf, len, "KVM cannot mark memory as private for this VM type");
	close(vm_fd);
}

/*
 * What libkvm loads into a guest: an ELF file in memory with the guest's code, and
 * room for the writable segment, since libkvm shares some of its variables with the
 * guest.  The whole program would be twenty times as much to copy and to map, for
 * each guest.
 */
static int guest_image(void)
{
	const Elf64_Ehdr *self = &__ehdr_start;
	const Elf64_Phdr *phdr = (const void *)self + self->e_phoff;
	const u64 code = (u64)__start_guest_text & ~(PAGE_BYTES - 1);
	const u64 bytes = (u64)__stop_guest_text - code;
	struct {
		Elf64_Ehdr ehdr;
		Elf64_Phdr phdr[2];
	} head = {
		.ehdr = *self,
		.phdr[0] = {
			.p_type = PT_LOAD,
			.p_offset = sizeof(head),
			.p_vaddr = code,
			.p_filesz = bytes,
			.p_memsz = bytes,
		},
	};
	unsigned int i;
	int fd;

	head.ehdr.e_phoff = offsetof(typeof(head), phdr);
	head.ehdr.e_phnum = ARRAY_SIZE(head.phdr);
	for (i = 0; i < self->e_phnum; i++) {
		if (phdr[i].p_type == PT_LOAD && phdr[i].p_flags & PF_W)
			head.phdr[1] = phdr[i];
	}
	head.phdr[1].p_filesz = 0;

	fd = memfd_create("guest", MFD_CLOEXEC);
	if (fd >= 0 && (write(fd, &head, sizeof(head)) != sizeof(head) ||
			write(fd, (const void *)code, bytes) != (ssize_t)bytes)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int plain_create_vm(struct guest *g, bool with_vcpu)
{
	static bool libkvm_ready;
	struct vm_shape shape = VM_SHAPE_DEFAULT;
	char *name = program_invocation_name, image[40];
	struct kvm_regs regs;
	int fd;

	/* Its constructor would end a program that only wants to list its cases. */
	if (!libkvm_ready) {
		kvm_selftest_arch_init();
		libkvm_ready = true;
	}

	shape.type = g->ops->vm_type;
	if (!with_vcpu) {
		g->kvm_vm = ____vm_create(shape);
		g->vm = g->kvm_vm->fd;
		return 0;
	}

	fd = guest_image();
	if (fd < 0)
		return -errno;
	/* libkvm loads the program from there. */
	snprintf(image, sizeof(image), "/proc/self/fd/%d", fd);
	program_invocation_name = image;
	g->kvm_vm = __vm_create_shape_with_one_vcpu(shape, &g->kvm_vcpu, EXTRA_PAGES, guest_code);
	program_invocation_name = name;
	close(fd);
	g->vm = g->kvm_vm->fd;
	g->vcpu = g->kvm_vcpu->fd;

	vcpu_regs_get(g->kvm_vcpu, &regs);
	g->stack = regs.rsp;
	return 0;
}

static void plain_close_vm(struct guest *g)
{
	kvm_vm_free(g->kvm_vm);
	g->kvm_vm = NULL;
	g->kvm_vcpu = NULL;
}

static void plain_map(struct guest *g, u64 gva, u64 nr)
{
	u64 end = gva + nr * PAGE_BYTES;

	for (gva &= ~(REGION_BYTES - 1); gva < end; gva += REGION_BYTES) {
		if (!sparsebit_is_set(g->kvm_vm->vpages_mapped, gva / PAGE_BYTES))
			virt_map_level(g->kvm_vm, gva, gva, REGION_BYTES, PG_LEVEL_2M);
	}
}

static int plain_run(struct guest *g, const struct guest_order *order)
{
	struct kvm_run *run = g->kvm_vcpu->run;
	struct kvm_regs regs = {
		.rip = (u64)guest_code,
		.rsp = g->stack,
		.rflags = X86_EFLAGS_FIXED,
		.rdi = order->op,
		.rsi = order->gva,
		.rdx = order->nr,
		.rcx = order->pattern,
	};
	bool done;
	int rc;

	plain_map(g, order->gva, order->nr);

	/* From the start each time: the last run may have stopped anywhere. */
	if (__vcpu_ioctl(g->kvm_vcpu, KVM_SET_REGS, &regs))
		return -errno;
	do {
		rc = __vcpu_run(g->kvm_vcpu);
	} while (rc && (errno == EINTR || errno == EAGAIN));

	g->fault.exit_reason = run->exit_reason;
	g->fault.err = rc ? errno : 0;
	if (run->exit_reason == KVM_EXIT_MEMORY_FAULT) {
		g->fault.gpa = run->memory_fault.gpa;
		g->fault.flags = run->memory_fault.flags;
	}
	if (rc || run->exit_reason == KVM_EXIT_MEMORY_FAULT)
		return -EFAULT;
	done = run->exit_reason == KVM_EXIT_IO && run->io.port == GUEST_PORT;

	/* Let KVM finish what it has begun, lest that hit the next run. */
	run->immediate_exit = 1;
	__vcpu_run(g->kvm_vcpu);
	run->immediate_exit = 0;

	if (!done)
		return -EIO;
	if (__vcpu_ioctl(g->kvm_vcpu, KVM_GET_REGS, &regs))
		return -errno;
	return regs.rbx == GUEST_ALL_GOOD ? 0 : -EILSEQ;
}

/*
 * TDX
 */

static void tdx_why_not(const struct guest_ops *ops, int kvm_fd, char *buf, size_t len)
{
	static const char param[] = "/sys/module/kvm_intel/parameters/tdx";
	int types = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES);
	char value = '?';
	int fd;

	if (types > 0 && types & BIT(ops->vm_type)) {
		plain_why_not(ops, kvm_fd, buf, len);
		return;
	}

	say(buf, len, "KVM here makes VM types %#x, without %#lx (KVM_X86_TDX_VM)",
	    types < 0 ? 0 : types, BIT(ops->vm_type));
	fd = open(param, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		say(buf, len, access("/sys/module/kvm_intel", F_OK) ?
		    "kvm_intel is not loaded, TDX needs an Intel CPU that has it" :
		    "kvm_intel has no parameter tdx: build the kernel with CONFIG_INTEL_TDX_HOST=y and CONFIG_KVM_INTEL_TDX=y");
		return;
	}
	if (read(fd, &value, 1) != 1)
		value = '?';
	close(fd);
	if (value != 'Y')
		say(buf, len, "kvm_intel.tdx is %c: enable TDX in the BIOS and load kvm_intel with tdx=1",
		    value);
}

/*
 * Private pages may be taken away at any time: the payload accepts them anew when
 * a touch raises #VE, for which ATTRIBUTES.SEPT_VE_DISABLE has to be off.
 */
static int tdx_create_vm(struct guest *g, bool with_vcpu)
{
	static const struct td_plan usual;
	int err;

	err = with_vcpu ? td_create(&g->td, g->plan ?: &usual) : td_open(&g->td);
	if (err)
		return err;
	g->vm = td_vm(g->td);
	g->vcpu = td_vcpu(g->td, 0);
	return 0;
}

static void tdx_close_vm(struct guest *g)
{
	unsigned int i;

	if (!g->td)
		return;
	for (i = 0; i < TD_MAX_VCPUS; i++)
		td_close_vcpu(g->td, i);
	td_close_vm(g->td);
	td_close_payload(g->td);
}

static int tdx_run(struct guest *g, const struct guest_order *order)
{
	static const enum td_op ops[] = {
		[OP_WRITE]		= TD_OP_WRITE,
		[OP_VERIFY]		= TD_OP_VERIFY,
		[OP_VERIFY_ZERO]	= TD_OP_VERIFY_ZERO,
	};
	struct td_mailbox todo;
	struct kvm_run *run = td_run(g->td, 0);
	char what[160];
	__u64 done, nr;
	int rc = 0;

	/* A TD sees private and shared memory at different addresses. */
	for (done = 0; done < order->nr && !rc; done += nr) {
		nr = order->nr - done;
		todo = (struct td_mailbox) {
			.op = ops[order->op],
			.gpa = order->gva + done * PAGE_BYTES,
			.flags = td_is_private(g->td, order->gva + done * PAGE_BYTES, &nr) ?
				 0 : TD_SHARED,
			.nr = nr,
			.pattern = order->pattern + done,
		};
		rc = td_order(g->td, 0, &todo);
		while (rc == -EINTR)
			rc = td_resume(g->td, 0, &todo);
	}
	if (!rc || rc == -EILSEQ)
		return rc;

	g->fault.exit_reason = run->exit_reason;
	g->fault.err = td_run_errno(g->td, 0);
	if (run->exit_reason == KVM_EXIT_MEMORY_FAULT) {
		g->fault.gpa = run->memory_fault.gpa;
		g->fault.flags = run->memory_fault.flags;
	}
	if (g->fault.err || run->exit_reason == KVM_EXIT_MEMORY_FAULT)
		return -EFAULT;
	td_describe(g->td, 0, rc, what, sizeof(what));
	fprintf(stderr, "# TD: %s: %s\n", strerror(-rc), what);
	return -EIO;
}

static const struct guest_ops guest_types[GUEST_NR_TYPES] = {
	[GUEST_DEFAULT] = {
		.name		= "default",
		.vm_type	= KVM_X86_DEFAULT_VM,
		.gmem_flags	= GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED,
		.why_not	= plain_why_not,
		.create_vm	= plain_create_vm,
		.close_vm	= plain_close_vm,
		.run		= plain_run,
	},
	[GUEST_SW_PROTECTED] = {
		.name		= "sw_protected",
		.vm_type	= KVM_X86_SW_PROTECTED_VM,
		.has_private	= true,
		.why_not	= plain_why_not,
		.create_vm	= plain_create_vm,
		.close_vm	= plain_close_vm,
		.run		= plain_run,
	},
	[GUEST_TDX] = {
		.name		= "tdx",
		.vm_type	= KVM_X86_TDX_VM,
		.has_private	= true,
		.why_not	= tdx_why_not,
		.create_vm	= tdx_create_vm,
		.close_vm	= tdx_close_vm,
		.run		= tdx_run,
	},
};

/*
 * What all types have in common
 */

const char *guest_type_name(enum guest_type type)
{
	return guest_types[type].name;
}

const char *guest_why_not(enum guest_type type)
{
	static bool can[GUEST_NR_TYPES];
	static char why[1024];
	int kvm_fd;

	/* To find out takes a VM, and each case asks several times. */
	if (can[type])
		return NULL;
	kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	why[0] = '\0';
	if (kvm_fd < 0) {
		say(why, sizeof(why), "%s", need_why_not(NEED_KVM) ?: "cannot open /dev/kvm");
		return why;
	}
	guest_types[type].why_not(&guest_types[type], kvm_fd, why, sizeof(why));
	close(kvm_fd);
	can[type] = !*why;
	return *why ? why : NULL;
}

static int guest_create_any(struct guest **out, enum guest_type type, u64 nr, bool bound,
			    const struct td_plan *plan)
{
	struct guest *g;
	int err;

	*out = NULL;
	if (!nr)
		return -EINVAL;
	if (guest_why_not(type))
		return -ENODEV;

	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->ops = &guest_types[type];
	g->type = type;
	g->nr = nr;
	g->plan = plan;
	g->gmem = -1;
	g->vm = -1;
	g->vcpu = -1;
	g->slot_gpa = GUEST_GPA;

	err = g->ops->create_vm(g, bound);
	if (err)
		goto err;
	g->gmem = gmem_create(g->vm, nr, g->ops->gmem_flags);
	if (g->gmem < 0) {
		err = g->gmem;
		goto err;
	}
	if (g->ops->has_private) {
		g->shared = mmap(NULL, nr * PAGE_BYTES, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (g->shared == MAP_FAILED) {
			g->shared = NULL;
			err = -errno;
			goto err;
		}
	}
	if (bound) {
		err = guest_bind(g, GUEST_SLOT, 0, nr, GUEST_GPA);
		if (!err && g->ops->has_private)
			err = guest_set_private(g, 0, nr, true);
		if (err)
			goto err;
	}

	*out = g;
	return 0;

err:
	guest_destroy(g);
	return err;
}

int guest_create(struct guest **out, enum guest_type type, __u64 nr)
{
	return guest_create_any(out, type, nr, true, NULL);
}

int guest_create_unbound(struct guest **out, enum guest_type type, __u64 nr)
{
	return guest_create_any(out, type, nr, false, NULL);
}

int guest_create_td(struct guest **out, const struct td_plan *plan, __u64 nr)
{
	return guest_create_any(out, GUEST_TDX, nr, true, plan);
}

void guest_destroy(struct guest *g)
{
	if (!g)
		return;
	guest_close_vm(g);
	guest_close_gmem(g);
	td_close(g->td);
	if (g->shared)
		munmap(g->shared, g->nr * PAGE_BYTES);
	free(g);
}

int guest_gmem(const struct guest *g)
{
	return g->gmem;
}

int guest_vm(const struct guest *g)
{
	return g->vm;
}

int guest_vcpu(const struct guest *g)
{
	return g->vcpu;
}

enum guest_type guest_type(const struct guest *g)
{
	return g->type;
}

__u64 guest_nr_pages(const struct guest *g)
{
	return g->nr;
}

bool guest_mappable(const struct guest *g)
{
	return g->ops->gmem_flags & GUEST_MEMFD_FLAG_INIT_SHARED;
}

bool guest_has_private(const struct guest *g)
{
	return g->ops->has_private;
}

bool guest_forgets_unmapped(const struct guest *g)
{
	return g->td;
}

struct td *guest_td(const struct guest *g)
{
	return g->td;
}

int guest_close_gmem(struct guest *g)
{
	int err = 0;

	if (g->gmem >= 0 && close(g->gmem))
		err = -errno;
	g->gmem = -1;

	/*
	 * A mapping would keep the file.  Slots still tell KVM its address, so
	 * nothing else may come to stand there.
	 */
	if (guest_mappable(g) && g->shared &&
	    mmap(g->shared, g->nr * PAGE_BYTES, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		err = -errno;
	return err;
}

void guest_close_vm(struct guest *g)
{
	g->ops->close_vm(g);
	g->vm = -1;
	g->vcpu = -1;
}

/* Not by libkvm's wrappers, which keep books of slots and of guest_memfds. */
static int guest_set_slot(struct guest *g, unsigned int slot, u64 gpa, u64 nr,
			  void *addr, int gmem, u64 first)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = slot,
		.flags = nr ? KVM_MEM_GUEST_MEMFD : 0,
		.guest_phys_addr = gpa,
		.memory_size = nr * PAGE_BYTES,
		.userspace_addr = (u64)addr,
		.guest_memfd_offset = first * PAGE_BYTES,
		.guest_memfd = gmem,
	};

	if (g->vm < 0)
		return -EBADF;
	return ioctl(g->vm, KVM_SET_USER_MEMORY_REGION2, &region) ? -errno : 0;
}

int guest_bind(struct guest *g, unsigned int slot, __u64 first, __u64 nr, __u64 gpa)
{
	void *addr;
	int err;

	if (!nr)
		return guest_unbind(g, slot);
	/* What KVM emulates, it does by this address, also in a mappable guest_memfd. */
	addr = guest_shared(g, first);
	if (!addr)
		return -ENOMEM;
	err = guest_set_slot(g, slot, gpa, nr, addr, g->gmem, first);
	if (!err && slot == GUEST_SLOT) {
		g->slot_first = first;
		g->slot_gpa = gpa;
	}
	return err;
}

int guest_unbind(struct guest *g, unsigned int slot)
{
	/* The vCPU goes on touching GUEST_SLOT where it was. */
	return guest_set_slot(g, slot, 0, 0, NULL, -1, 0);
}

int guest_move(struct guest *g, unsigned int slot, __u64 first, __u64 nr, __u64 gpa)
{
	int err = guest_unbind(g, slot);

	return err ?: guest_bind(g, slot, first, nr, gpa);
}

/* Let the vCPU work on pages, wherever GUEST_SLOT shows them. */
static int guest_run(struct guest *g, enum guest_op op, u64 first, u64 nr, u64 pattern)
{
	struct guest_order order = {
		.op = op,
		.gva = g->slot_gpa + (first - g->slot_first) * PAGE_BYTES,
		.nr = nr,
		.pattern = pattern + first,
	};

	if (g->vcpu < 0)
		return -EBADF;
	memset(&g->fault, 0, sizeof(g->fault));
	return g->ops->run(g, &order);
}

int guest_touch(struct guest *g, __u64 first, __u64 nr, __u64 pattern)
{
	return guest_run(g, OP_WRITE, first, nr, pattern);
}

int guest_verify(struct guest *g, __u64 first, __u64 nr, __u64 pattern)
{
	return guest_run(g, OP_VERIFY, first, nr, pattern);
}

int guest_verify_zero(struct guest *g, __u64 first, __u64 nr)
{
	return guest_run(g, OP_VERIFY_ZERO, first, nr, 0);
}

int guest_verify_unmapped(struct guest *g, __u64 first, __u64 nr, __u64 pattern)
{
	return guest_forgets_unmapped(g) ? guest_verify_zero(g, first, nr) :
					   guest_verify(g, first, nr, pattern);
}

int guest_touch_maps(struct guest *g)
{
	struct guest_order order = {
		.op = OP_WRITE,
		.gva = PROBE_GPA,
		.nr = 1,
		.pattern = 1,
	};
	u64 *addr;
	int gmem, err;

	if (!guest_mappable(g))
		return 0;
	if (g->vcpu < 0)
		return -EBADF;

	/* A file and an address that have nothing to do with each other. */
	addr = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (addr == MAP_FAILED)
		return -errno;
	gmem = gmem_create(g->vm, 1, g->ops->gmem_flags);
	err = gmem < 0 ? gmem : guest_set_slot(g, PROBE_SLOT, PROBE_GPA, 1, addr, gmem, 0);
	if (!err) {
		err = g->ops->run(g, &order) ?: guest_unbind(g, PROBE_SLOT);
		if (!err)
			err = *addr == 1;
	}
	if (gmem >= 0)
		close(gmem);
	munmap(addr, PAGE_BYTES);
	return err;
}

int guest_set_private(struct guest *g, __u64 first, __u64 nr, bool private)
{
	struct kvm_memory_attributes attributes = {
		.address = g->slot_gpa + (first - g->slot_first) * PAGE_BYTES,
		.size = nr * PAGE_BYTES,
		.attributes = private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};

	if (!g->ops->has_private)
		return -EOPNOTSUPP;
	if (g->vm < 0)
		return -EBADF;
	if (ioctl(g->vm, KVM_SET_MEMORY_ATTRIBUTES, &attributes))
		return -errno;
	return g->td ? td_note_private(g->td, attributes.address, nr, private) : 0;
}

int guest_prefault(struct guest *g, __u64 first, __u64 nr)
{
	struct kvm_pre_fault_memory range = {
		.gpa = g->slot_gpa + (first - g->slot_first) * PAGE_BYTES,
		.size = nr * PAGE_BYTES,
	};

	if (g->vcpu < 0)
		return -EBADF;
	if (ioctl(g->vm, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY) <= 0)
		return -EOPNOTSUPP;
	/* Each call tells in @range what is left; a signal ends it early. */
	do {
		if (ioctl(g->vcpu, KVM_PRE_FAULT_MEMORY, &range) && errno != EINTR)
			return -errno;
	} while (range.size);
	return 0;
}

void *guest_shared(struct guest *g, __u64 page)
{
	void *map;

	if (g->gmem < 0 && guest_mappable(g))
		return NULL;
	if (!g->shared) {
		if (gmem_map(g->gmem, 0, g->nr, &map))
			return NULL;
		g->shared = map;
	}
	return (char *)g->shared + page * PAGE_BYTES;
}

const struct guest_fault *guest_fault(const struct guest *g)
{
	return &g->fault;
}
