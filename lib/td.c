// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every step is one or two ioctls and keeps no state that would refuse it: KVM is
 * to say what it thinks of a wrong order, not this file.
 *
 * A vCPU stands at one of three places.  It has not run yet; or it has announced
 * the end of its last order (a byte written to TD_PORT) and will look into its
 * mailbox as soon as it runs; or it is stuck in an order, at an instruction that
 * cannot go on.  Since nobody can set a TD's registers, it is taken from there by
 * an NMI, at which the payload abandons the order.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm_para.h>

#include "clock.h"
#include "gmem.h"
#include "ranges.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define MAX_CPUID	256
#define NR_REASONS	64
#define ENTROPY_MS	10000

/* KVM_CAP_SPLIT_IRQCHIP: a TD has no in-kernel IO-APIC. */
#define NR_IOAPIC_PINS	24

#define TDVMCALL_REGS	0xfc00		/* R10 to R15 */

/* CPUID 0x80000008.EAX[23:16], from which KVM takes the width of a TD's GPAs. */
#define CPUID_ADDRESS_BITS	0x80000008
#define CPUID_GPA_BITS		0x00ff0000u
#define USUAL_GPA_BITS		48

struct vcpu {
	int fd;
	struct kvm_run *run;
	int err;		/* errno of the last KVM_RUN */
	bool started, stuck, dead;
};

struct td {
	int kvm, vm, gmem;
	struct vcpu vcpus[TD_MAX_VCPUS];
	unsigned int nr_vcpus, gpa_bits;
	size_t run_bytes;
	char *image, *mailboxes;	/* ordinary memory; of the slots */
	struct ranges private;		/* of addresses */
	pthread_mutex_t lock;		/* of @private */
	td_exit_fn on_exit;
	void *on_exit_arg;
	atomic_ulong nr_exits[NR_REASONS];
};

extern const char td_payload_image[];

asm(".section .rodata\n"
    ".balign 4096\n"
    ".globl td_payload_image\n"
    "td_payload_image: .incbin \"td_payload.bin\"\n"
    ".previous\n");

/*
 * Steps
 */

int td_cmd(int fd, unsigned int id, unsigned int flags, void *data, __u64 *hw_error)
{
	struct kvm_tdx_cmd cmd = { .id = id, .flags = flags, .data = (__u64)data };
	int rc = ioctl(fd, KVM_MEMORY_ENCRYPT_OP, &cmd);

	if (hw_error)
		*hw_error = cmd.hw_error;
	return rc < 0 ? -errno : 0;
}

static int enable(int vm, unsigned int cap, __u64 arg)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg } };

	return ioctl(vm, KVM_ENABLE_CAP, &enable) ? -errno : 0;
}

int td_open(struct td **out)
{
	struct td *td = calloc(1, sizeof(*td));
	unsigned int i;
	int rc = -ENOMEM;

	*out = NULL;
	if (!td)
		return -ENOMEM;
	pthread_mutex_init(&td->lock, NULL);
	td->vm = -1;
	td->gmem = -1;
	td->gpa_bits = USUAL_GPA_BITS;
	for (i = 0; i < TD_MAX_VCPUS; i++)
		td->vcpus[i].fd = -1;
	td->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (td->kvm < 0)
		goto err_errno;
	rc = ioctl(td->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (rc < 0)
		goto err_errno;
	td->run_bytes = rc;
	td->vm = ioctl(td->kvm, KVM_CREATE_VM, KVM_X86_TDX_VM);
	if (td->vm < 0)
		goto err_errno;

	td->mailboxes = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (td->mailboxes == MAP_FAILED) {
		td->mailboxes = NULL;
		goto err_errno;
	}
	td->image = mmap(NULL, TD_PAYLOAD_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (td->image == MAP_FAILED) {
		td->image = NULL;
		goto err_errno;
	}

	rc = enable(td->vm, KVM_CAP_SPLIT_IRQCHIP, NR_IOAPIC_PINS);
	if (!rc)
		rc = enable(td->vm, KVM_CAP_EXIT_HYPERCALL, 1 << KVM_HC_MAP_GPA_RANGE);
	if (rc)
		goto err;
	*out = td;
	return 0;

err_errno:
	rc = -errno;
err:
	td_close(td);
	return rc;
}

int td_capabilities(int vm_fd, struct kvm_tdx_capabilities **out)
{
	struct kvm_tdx_capabilities *caps;
	int rc;

	caps = calloc(1, sizeof(*caps) + MAX_CPUID * sizeof(*caps->cpuid.entries));
	if (!caps)
		return -ENOMEM;
	caps->cpuid.nent = MAX_CPUID;
	rc = td_cmd(vm_fd, KVM_TDX_CAPABILITIES, 0, caps, NULL);
	if (rc) {
		free(caps);
		caps = NULL;
	}
	*out = caps;
	return rc;
}

/* The same for all TDs, and KVM takes longer to tell than to make a vCPU. */
static struct {
	pthread_mutex_t lock;
	bool known;
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[MAX_CPUID];
} supported = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int supported_cpuid(const struct td *td, struct kvm_cpuid2 **out)
{
	const size_t bytes = sizeof(supported.head) + sizeof(supported.entries);
	int rc = 0;

	pthread_mutex_lock(&supported.lock);
	if (!supported.known) {
		supported.head.nent = MAX_CPUID;
		rc = ioctl(td->kvm, KVM_GET_SUPPORTED_CPUID, &supported.head) ? -errno : 0;
		supported.known = !rc;
	}
	pthread_mutex_unlock(&supported.lock);
	if (rc)
		return rc;
	*out = malloc(bytes);
	if (!*out)
		return -ENOMEM;
	memcpy(*out, &supported.head, bytes);
	return 0;
}

/* @to receives the bits of @from that @mask lets a VMM configure. */
static void cut_down(struct kvm_cpuid_entry2 *to, const struct kvm_cpuid_entry2 *from,
		     const struct kvm_cpuid_entry2 *mask)
{
	*to = *from;
	to->eax &= mask->eax;
	to->ebx &= mask->ebx;
	to->ecx &= mask->ecx;
	to->edx &= mask->edx;
}

int td_init_params(struct td *td, const struct td_plan *plan, struct kvm_tdx_init_vm **out)
{
	struct kvm_tdx_capabilities *caps = NULL;
	struct kvm_cpuid2 *supported = NULL;
	struct kvm_tdx_init_vm *init;
	unsigned int i, j;
	int rc;

	init = calloc(1, sizeof(*init) + MAX_CPUID * sizeof(*init->cpuid.entries));
	if (!init)
		return -ENOMEM;
	td->gpa_bits = plan->gpa_bits ?: USUAL_GPA_BITS;
	rc = td_capabilities(td->vm, &caps);
	if (!rc)
		rc = supported_cpuid(td, &supported);
	if (!rc) {
		init->attributes = plan->attributes;
		init->xfam = caps->supported_xfam;
		for (i = 0; i < supported->nent; i++) {
			const struct kvm_cpuid_entry2 *s = &supported->entries[i], *c;

			for (j = 0; j < caps->cpuid.nent; j++) {
				c = &caps->cpuid.entries[j];
				if (s->function == c->function && s->index == c->index)
					cut_down(&init->cpuid.entries[init->cpuid.nent++], s, c);
			}
		}
		td_set_cpuid_width(&init->cpuid, td->gpa_bits);
	}
	free(caps);
	free(supported);
	if (rc) {
		free(init);
		init = NULL;
	}
	*out = init;
	return rc;
}

int td_init_vm(int vm, struct kvm_tdx_init_vm *init)
{
	const __u64 end = clock_ms() + ENTROPY_MS;
	int rc;

	do {
		rc = td_cmd(vm, KVM_TDX_INIT_VM, 0, init, NULL);
	} while (rc == -EAGAIN && clock_ms() < end);
	return rc;
}

int td_init(struct td *td, const struct td_plan *plan)
{
	struct kvm_tdx_init_vm *init;
	int rc = td_init_params(td, plan, &init);

	if (rc)
		return rc;
	rc = td_init_vm(td->vm, init);
	free(init);
	return rc;
}

void td_set_cpuid_width(struct kvm_cpuid2 *cpuid, unsigned int gpa_bits)
{
	unsigned int i;

	for (i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == CPUID_ADDRESS_BITS)
			cpuid->entries[i].eax = (cpuid->entries[i].eax & ~CPUID_GPA_BITS) |
						gpa_bits << 16;
}

const char *td_width_why_not(const struct td_plan *plan)
{
	static char why[120];
	struct td td = {};
	struct kvm_cpuid2 *cpuid = NULL;
	unsigned int i, most = 0;
	int rc;

	/* Those every KVM has. */
	if (plan->gpa_bits <= USUAL_GPA_BITS)
		return NULL;
	td.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	rc = supported_cpuid(&td, &cpuid);
	for (i = 0; !rc && i < cpuid->nent; i++)
		if (cpuid->entries[i].function == CPUID_ADDRESS_BITS)
			most = cpuid->entries[i].eax >> 16 & 0xff;
	free(cpuid);
	close(td.kvm);
	if (plan->gpa_bits <= most)
		return NULL;
	snprintf(why, sizeof(why), "KVM gives a guest %u bits of address here, not %u", most,
		 plan->gpa_bits);
	return why;
}

__u64 td_shared_bit(const struct td *td)
{
	return 1ull << (td->gpa_bits - 1);
}

int td_vcpu_cpuid(const struct td *td, struct kvm_cpuid2 **out)
{
	int rc = supported_cpuid(td, out);

	if (!rc)
		td_set_cpuid_width(*out, td->gpa_bits);
	return rc;
}

int td_add_vcpu(struct td *td)
{
	struct vcpu *v = &td->vcpus[td->nr_vcpus];
	struct kvm_cpuid2 *cpuid;
	void *run;
	int rc;

	if (td->nr_vcpus == TD_MAX_VCPUS)
		return -ENOSPC;
	v->fd = ioctl(td->vm, KVM_CREATE_VCPU, td->nr_vcpus);
	if (v->fd < 0)
		return -errno;
	td->nr_vcpus++;
	run = mmap(NULL, td->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return -errno;
	v->run = run;

	rc = td_vcpu_cpuid(td, &cpuid);
	if (rc)
		return rc;
	if (ioctl(v->fd, KVM_SET_CPUID2, cpuid))
		rc = -errno;
	free(cpuid);
	return rc;
}

int td_init_vcpu(struct td *td, unsigned int vcpu, __u64 rcx)
{
	return td_cmd(td_vcpu(td, vcpu), KVM_TDX_INIT_VCPU, 0, (void *)rcx, NULL);
}

int td_get_cpuid(struct td *td, unsigned int vcpu, struct kvm_cpuid2 **out)
{
	struct kvm_cpuid2 *cpuid;
	int rc;

	cpuid = calloc(1, sizeof(*cpuid) + MAX_CPUID * sizeof(*cpuid->entries));
	if (!cpuid)
		return -ENOMEM;
	cpuid->nent = MAX_CPUID;
	rc = td_cmd(td_vcpu(td, vcpu), KVM_TDX_GET_CPUID, 0, cpuid, NULL);
	if (rc) {
		free(cpuid);
		cpuid = NULL;
	}
	*out = cpuid;
	return rc;
}

int td_set_slot(struct td *td, unsigned int slot, unsigned int flags, __u64 gpa, __u64 nr,
		const void *memory, int gmem)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = nr * PAGE_BYTES,
		.userspace_addr = (__u64)memory,
		.guest_memfd = gmem,
	};

	return ioctl(td->vm, KVM_SET_USER_MEMORY_REGION2, &region) ? -errno : 0;
}

int td_add_payload(struct td *td)
{
	int rc;

	td->gmem = gmem_create(td->vm, TD_PAYLOAD_BYTES / PAGE_BYTES, 0);
	if (td->gmem < 0) {
		rc = td->gmem;
		td->gmem = -1;
		return rc;
	}
	rc = td_set_slot(td, TD_SLOT_PAYLOAD, KVM_MEM_GUEST_MEMFD, TD_PAYLOAD_GPA,
			 TD_PAYLOAD_BYTES / PAGE_BYTES, td->image, td->gmem);
	if (!rc)
		rc = td_set_private(td, TD_PAYLOAD_GPA, TD_PAYLOAD_BYTES / PAGE_BYTES, true);
	if (!rc)
		rc = td_set_slot(td, TD_SLOT_MAILBOX, 0, TD_MAILBOX_GPA, 1, td->mailboxes, -1);
	return rc;
}

int td_init_memory(struct td *td, __u64 gpa, const void *source, __u64 nr, bool measured,
		   __u64 *left)
{
	struct kvm_tdx_init_mem_region region = {
		.source_addr = (__u64)source,
		.gpa = gpa,
		.nr_pages = nr,
	};
	int rc;

	/* It tells in @region what is left; a signal ends it early. */
	do {
		rc = td_cmd(td_vcpu(td, 0), KVM_TDX_INIT_MEM_REGION,
			    measured ? KVM_TDX_MEASURE_MEMORY_REGION : 0, &region, NULL);
	} while (rc == -EINTR || rc == -EAGAIN);
	if (left)
		*left = region.nr_pages;
	return rc;
}

int td_load_payload(struct td *td, bool measured)
{
	int rc;

	memcpy(td->image, td_payload_image, TD_PAYLOAD_BYTES);
	rc = td_init_memory(td, TD_PAYLOAD_GPA, td->image, TD_PAYLOAD_BYTES / PAGE_BYTES,
			    measured, NULL);
	/* KVM has copied it. */
	madvise(td->image, TD_PAYLOAD_BYTES, MADV_DONTNEED);
	return rc;
}

int td_finalize(struct td *td)
{
	return td_cmd(td->vm, KVM_TDX_FINALIZE_VM, 0, NULL, NULL);
}

int td_create(struct td **out, const struct td_plan *plan)
{
	const unsigned int nr_vcpus = plan->nr_vcpus ?: 1;
	struct td *td;
	unsigned int i;
	int rc;

	rc = td_open(out);
	if (rc)
		return rc;
	td = *out;
	rc = td_init(td, plan);
	for (i = 0; i < nr_vcpus && !rc; i++)
		rc = td_add_vcpu(td) ?: td_init_vcpu(td, i, 0);
	if (!rc)
		rc = td_add_payload(td);
	if (!rc)
		rc = td_load_payload(td, !plan->unmeasured);
	if (!rc)
		rc = td_finalize(td);
	if (rc) {
		td_close(td);
		*out = NULL;
	}
	return rc;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void td_close_vcpu(struct td *td, unsigned int vcpu)
{
	struct vcpu *v = &td->vcpus[vcpu];

	if (v->run)
		munmap(v->run, td->run_bytes);
	v->run = NULL;
	close_fd(&v->fd);
}

void td_close_vm(struct td *td)
{
	close_fd(&td->vm);
}

void td_close_payload(struct td *td)
{
	close_fd(&td->gmem);
}

void td_close(struct td *td)
{
	unsigned int i;

	if (!td)
		return;
	for (i = 0; i < td->nr_vcpus; i++)
		td_close_vcpu(td, i);
	td_close_vm(td);
	td_close_payload(td);
	close_fd(&td->kvm);
	if (td->image)
		munmap(td->image, TD_PAYLOAD_BYTES);
	if (td->mailboxes)
		munmap(td->mailboxes, PAGE_BYTES);
	pthread_mutex_destroy(&td->lock);
	ranges_free(&td->private);
	free(td);
}

int td_vm(const struct td *td)
{
	return td->vm;
}

int td_vcpu(const struct td *td, unsigned int vcpu)
{
	return vcpu < TD_MAX_VCPUS ? td->vcpus[vcpu].fd : -1;
}

struct kvm_run *td_run(struct td *td, unsigned int vcpu)
{
	return td->vcpus[vcpu].run;
}

int td_run_errno(const struct td *td, unsigned int vcpu)
{
	return td->vcpus[vcpu].err;
}

/*
 * What is private
 */

int td_note_private(struct td *td, __u64 gpa, __u64 nr, bool private)
{
	int rc;

	pthread_mutex_lock(&td->lock);
	rc = ranges_set(&td->private, gpa, gpa + nr * PAGE_BYTES, private);
	pthread_mutex_unlock(&td->lock);
	return rc;
}

bool td_is_private(struct td *td, __u64 gpa, __u64 *nr)
{
	__u64 end = gpa + *nr * PAGE_BYTES;
	bool private;

	pthread_mutex_lock(&td->lock);
	private = ranges_has(&td->private, gpa, &end);
	pthread_mutex_unlock(&td->lock);
	*nr = (end - gpa) / PAGE_BYTES;
	return private;
}

int td_set_private(struct td *td, __u64 gpa, __u64 nr, bool private)
{
	struct kvm_memory_attributes attributes = {
		.address = gpa,
		.size = nr * PAGE_BYTES,
		.attributes = private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};

	if (ioctl(td->vm, KVM_SET_MEMORY_ATTRIBUTES, &attributes))
		return -errno;
	return td_note_private(td, gpa, nr, private);
}

/*
 * Running
 */

void td_on_exit(struct td *td, td_exit_fn fn, void *arg)
{
	td->on_exit = fn;
	td->on_exit_arg = arg;
}

unsigned long td_nr_exits(const struct td *td, unsigned int reason)
{
	return reason < NR_REASONS ? atomic_load(&td->nr_exits[reason]) : 0;
}

static struct td_mailbox *mailbox(const struct td *td, unsigned int vcpu)
{
	return (struct td_mailbox *)(td->mailboxes + vcpu * TD_MAILBOX_BYTES);
}

static bool says_done(const struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_IO && run->io.port == TD_PORT &&
	       run->io.direction == KVM_EXIT_IO_OUT;
}

/* Answer an exit as a plain VMM would.  > 0 to go on, or -errno. */
static int answer(struct td *td, struct kvm_run *run)
{
	int rc;

	switch (run->exit_reason) {
	case KVM_EXIT_HYPERCALL:
		if (run->hypercall.nr != KVM_HC_MAP_GPA_RANGE)
			return -EREMOTEIO;
		rc = td_set_private(td, run->hypercall.args[0], run->hypercall.args[1],
				    run->hypercall.args[2] & KVM_MAP_GPA_RANGE_ENCRYPTED);
		/* KVM passes on these two, positive. */
		run->hypercall.ret = !rc ? 0 : rc == -EAGAIN ? EAGAIN : EINVAL;
		return 1;
	case KVM_EXIT_IO:
		if (run->io.direction == KVM_EXIT_IO_IN)
			memset((char *)run + run->io.data_offset, 0xff,
			       run->io.size * run->io.count);
		return 1;
	case KVM_EXIT_MMIO:
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, run->mmio.len);
		return 1;
	case KVM_EXIT_TDX:
		return 1;
	case KVM_EXIT_SYSTEM_EVENT:
	case KVM_EXIT_SHUTDOWN:
		return -ESHUTDOWN;
	default:
		return -EREMOTEIO;
	}
}

/* Let it run until the payload says that it has done what it was told. */
static int run_until_done(struct td *td, unsigned int vcpu)
{
	struct vcpu *v = &td->vcpus[vcpu];
	int rc;

	v->stuck = true;
	for (;;) {
		v->err = ioctl(v->fd, KVM_RUN, 0) ? errno : 0;
		rc = -v->err;
		if (rc == -EAGAIN)
			continue;
		if (rc == -EINTR || rc == -EIO)
			return rc;
		if (v->run->exit_reason < NR_REASONS)
			atomic_fetch_add(&td->nr_exits[v->run->exit_reason], 1);
		if (rc)
			return -EFAULT;
		if (says_done(v->run))
			break;
		rc = td->on_exit ? td->on_exit(td, vcpu, v->run, td->on_exit_arg) : 0;
		if (!rc)
			rc = answer(td, v->run);
		if (v->run->exit_reason == KVM_EXIT_SHUTDOWN)
			v->dead = true;
		if (rc < 0)
			return rc;
	}
	v->stuck = false;
	return 0;
}

static int order_result(const struct td_mailbox *box)
{
	switch ((enum td_status)box->status) {
	case TD_DONE:
		return 0;
	case TD_DIFFERS:
		return -EILSEQ;
	case TD_REFUSED:
		return -EPROTO;
	case TD_EXCEPTION:
		return -EBADMSG;
	case TD_NO_MEMORY:
		return -ENXIO;
	default:
		return -ECANCELED;
	}
}

int td_resume(struct td *td, unsigned int vcpu, struct td_mailbox *order)
{
	int rc = run_until_done(td, vcpu);

	*order = *mailbox(td, vcpu);
	return rc ?: order_result(order);
}

/* Bring the vCPU to where it looks into its mailbox. */
static int make_ready(struct td *td, unsigned int vcpu)
{
	struct vcpu *v = &td->vcpus[vcpu];
	int rc;

	if (v->fd < 0)
		return -EBADF;
	/* The TDX module has disabled it, and KVM takes a failing NMI for a bug. */
	if (v->dead)
		return -ESHUTDOWN;
	if (v->started && v->stuck && ioctl(v->fd, KVM_NMI, 0))
		return -errno;
	if (v->started && !v->stuck)
		return 0;
	rc = run_until_done(td, vcpu);
	if (!rc)
		v->started = true;
	return rc;
}

int td_order(struct td *td, unsigned int vcpu, struct td_mailbox *order)
{
	struct td_mailbox *box = mailbox(td, vcpu);
	int rc = make_ready(td, vcpu);

	if (rc)
		return rc;
	box->op = order->op;
	box->flags = order->flags;
	box->gpa = order->gpa;
	box->nr = order->nr;
	box->pattern = order->pattern;
	box->regs = order->regs;
	box->stop = 0;
	return td_resume(td, vcpu, order);
}

int td_pages(struct td *td, unsigned int vcpu, enum td_op op, __u64 gpa, __u64 nr,
	     __u64 pattern, unsigned int flags)
{
	struct td_mailbox order = {
		.op = op,
		.flags = flags,
		.gpa = gpa,
		.nr = nr,
		.pattern = pattern,
	};

	return td_order(td, vcpu, &order);
}

int td_tdcall(struct td *td, unsigned int vcpu, struct td_regs *regs)
{
	struct td_mailbox order = { .op = TD_OP_TDCALL, .regs = *regs };
	int rc = td_order(td, vcpu, &order);

	*regs = order.regs;
	return rc;
}

int td_vmcall(struct td *td, unsigned int vcpu, __u64 leaf, struct td_regs *regs)
{
	regs->rax = 0;			/* TDG.VP.VMCALL */
	regs->rcx = TDVMCALL_REGS;
	regs->r10 = 0;
	regs->r11 = leaf;
	return td_tdcall(td, vcpu, regs);
}

void td_peek(const struct td *td, unsigned int vcpu, struct td_mailbox *out)
{
	*out = *mailbox(td, vcpu);
}

void td_describe(struct td *td, unsigned int vcpu, int rc, char *buf, size_t len)
{
	const struct td_mailbox *box = mailbox(td, vcpu);
	const struct vcpu *v = &td->vcpus[vcpu];

	switch (rc) {
	case -EILSEQ:
		snprintf(buf, len, "page %llu of the order does not hold what it should", box->bad);
		break;
	case -EPROTO:
		snprintf(buf, len, "refused with status 0x%llx", box->bad);
		break;
	case -EBADMSG:
		snprintf(buf, len, "exception %llu, error code 0x%llx, at 0x%llx, address 0x%llx",
			 box->vector, box->error, box->rip, box->address);
		break;
	case -ENXIO:
		snprintf(buf, len, "nothing at the shared GPA 0x%llx", box->address);
		break;
	case -EFAULT:
		if (v->run->exit_reason == KVM_EXIT_MEMORY_FAULT) {
			snprintf(buf, len, "memory fault at GPA 0x%llx, flags 0x%llx",
				 v->run->memory_fault.gpa, v->run->memory_fault.flags);
			break;
		}
		/* fall through */
	default:
		snprintf(buf, len, "KVM_RUN: errno %d, exit reason %u, 0x%llx 0x%llx", v->err,
			 v->run ? v->run->exit_reason : 0,
			 v->run ? v->run->hw.hardware_exit_reason : 0,
			 v->run ? v->run->internal.data[0] : 0);
	}
}

char *td_mailbox_page(const struct td *td)
{
	return td->mailboxes;
}

void td_stop(struct td *td, unsigned int vcpu)
{
	__atomic_store_n(&mailbox(td, vcpu)->stop, 1, __ATOMIC_SEQ_CST);
}

int td_interrupt(struct td *td, unsigned int vcpu, unsigned int vector)
{
	/* Physical destination, fixed delivery. */
	struct kvm_msi msi = {
		.address_lo = 0xfee00000 | vcpu << 12,
		.data = vector,
	};
	int rc = ioctl(td->vm, KVM_SIGNAL_MSI, &msi);

	return rc < 0 ? -errno : rc ? 0 : -EHOSTUNREACH;
}
