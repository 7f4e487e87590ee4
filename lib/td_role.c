// SPDX-License-Identifier: GPL-2.0-only
/*
 * A role is one system call, or one order to the payload, and keeps nothing but what
 * the world has.
 *
 * What closes a descriptor does so by putting /dev/null in its place: the file behind
 * goes as by close(2), but nothing else can come to have its number while another role
 * uses it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "gmem.h"
#include "hotplug.h"
#include "td_role.h"

#define PAGE_BYTES	4096ull
#define BYTES		(TD_WORLD_PAGES * PAGE_BYTES)
#define BIT(n)		(1u << (n))

static int sys(int rc)
{
	return rc < 0 ? -errno : 0;
}

static int put_null(struct td_world *w, int fd)
{
	return sys(dup2(w->null, fd));
}

static int init_vm(void *world, unsigned int me)
{
	struct td_world *w = world;

	(void)me;
	return td_init_vm(td_vm(w->td), w->init);
}

static int create_vcpu(void *world, unsigned int me)
{
	struct td_world *w = world;
	int fd = ioctl(td_vm(w->td), KVM_CREATE_VCPU, 1);

	(void)me;
	if (fd < 0)
		return -errno;
	w->extra_vcpu = fd;
	return 0;
}

/* As a VMM does it, for a vCPU that is plugged in while others work. */
static int add_vcpu(void *world, unsigned int me)
{
	struct td_world *w = world;
	int rc = create_vcpu(w, me);

	if (!rc)
		rc = sys(ioctl(w->extra_vcpu, KVM_SET_CPUID2, w->cpuid));
	return rc ?: td_cmd(w->extra_vcpu, KVM_TDX_INIT_VCPU, 0, NULL, NULL);
}

static int init_vcpu(void *world, unsigned int me)
{
	struct td_world *w = world;

	(void)me;
	return td_init_vcpu(w->td, 1, 0);
}

static int init_vcpu_0(void *world, unsigned int me)
{
	struct td_world *w = world;

	(void)me;
	return td_init_vcpu(w->td, 0, 0);
}

/* Each half of the pages is one role's. */
static int init_memory_part(struct td_world *w, unsigned int me, bool measured)
{
	const __u64 nr = TD_WORLD_PAGES / 2, first = me % 2 * nr;

	return td_init_memory(w->td, TD_WORLD_GPA + first * PAGE_BYTES, w->source, nr, measured,
			      NULL);
}

static int init_memory(void *world, unsigned int me)
{
	return init_memory_part(world, me, false);
}

static int measure_memory(void *world, unsigned int me)
{
	return init_memory_part(world, me, true);
}

static int finalize(void *world, unsigned int me)
{
	struct td_world *w = world;

	(void)me;
	return td_finalize(w->td);
}

/* With the vCPU loaded, for as long as it takes. */
static int get_cpuid(void *world, unsigned int me)
{
	struct td_world *w = world;
	struct kvm_cpuid2 *cpuid;
	int rc = td_get_cpuid(w->td, td_world_vcpu(w, me), &cpuid);

	free(cpuid);
	return rc;
}

static int prefault(void *world, unsigned int me)
{
	struct td_world *w = world;
	struct kvm_pre_fault_memory range = { .gpa = TD_WORLD_GPA, .size = BYTES };
	int rc;

	/* It tells in @range what is left. */
	do {
		rc = sys(ioctl(td_vcpu(w->td, td_world_vcpu(w, me)), KVM_PRE_FAULT_MEMORY, &range));
	} while (!rc && range.size);
	return rc;
}

/* td_order() has one answer to all that KVM_RUN can fail with. */
static int order(struct td_world *w, unsigned int me, enum td_op op, __u64 gpa)
{
	const unsigned int vcpu = td_world_vcpu(w, me);
	int rc = td_pages(w->td, vcpu, op, gpa, op == TD_OP_NONE ? 0 : TD_WORLD_PAGES,
			  w->pattern + ((__u64)me << 48), 0);

	if (rc != -EFAULT || td_run_errno(w->td, vcpu) == EFAULT)
		return rc == -EFAULT && td_run(w->td, vcpu)->exit_reason != KVM_EXIT_MEMORY_FAULT ?
		       -EREMOTEIO : rc;
	return -td_run_errno(w->td, vcpu) ?: rc;
}

static int run(void *world, unsigned int me)
{
	return order(world, me, TD_OP_NONE, 0);
}

static int touch(void *world, unsigned int me)
{
	return order(world, me, TD_OP_WRITE, TD_WORLD_GPA);
}

static int touch_other(void *world, unsigned int me)
{
	return order(world, me, TD_OP_WRITE, TD_WORLD_OTHER);
}

static int accept(void *world, unsigned int me)
{
	return order(world, me, TD_OP_ACCEPT, TD_WORLD_GPA);
}

static int allocate(void *world, unsigned int me)
{
	struct td_world *w = world;

	(void)me;
	return gmem_allocate(w->gmem[0], 0, TD_WORLD_PAGES);
}

static int punch(void *world, unsigned int me)
{
	struct td_world *w = world;

	(void)me;
	return gmem_punch(w->gmem[0], 0, TD_WORLD_PAGES);
}

static int punch_other(void *world, unsigned int me)
{
	struct td_world *w = world;

	(void)me;
	return gmem_punch(w->gmem[1], 0, TD_WORLD_PAGES);
}

static int to_shared(void *world, unsigned int me)
{
	(void)me;
	return td_world_set_private(world, 0, false);
}

static int to_private(void *world, unsigned int me)
{
	(void)me;
	return td_world_set_private(world, 0, true);
}

static int convert(void *world, unsigned int me)
{
	return to_shared(world, me) ?: to_private(world, me);
}

static int slot_add(void *world, unsigned int me)
{
	(void)me;
	return td_world_set_slot(world, 0, KVM_MEM_GUEST_MEMFD, TD_WORLD_GPA, TD_WORLD_PAGES);
}

static int slot_delete(void *world, unsigned int me)
{
	(void)me;
	return td_world_set_slot(world, 0, 0, 0, 0);
}

/* KVM does not move a slot with a guest_memfd, so user space does as here. */
static int slot_move(void *world, unsigned int me)
{
	return slot_delete(world, me) ?:
	       td_world_set_slot(world, 0, KVM_MEM_GUEST_MEMFD, TD_WORLD_MOVED, TD_WORLD_PAGES);
}

/* Nor does it let go of the guest_memfd alone; where there is no slot, this makes one. */
static int slot_flags(void *world, unsigned int me)
{
	(void)me;
	return td_world_set_slot(world, 0, 0, TD_WORLD_GPA, TD_WORLD_PAGES);
}

static int close_gmem(void *world, unsigned int me)
{
	struct td_world *w = world;

	(void)me;
	return put_null(w, w->gmem[0]);
}

static int close_vcpu(void *world, unsigned int me)
{
	struct td_world *w = world;

	return put_null(w, td_vcpu(w->td, td_world_vcpu(w, !me)));
}

static int close_vm(void *world, unsigned int me)
{
	struct td_world *w = world;

	(void)me;
	return put_null(w, td_vm(w->td));
}

/* Those of two roles one after the other: neither has to find what the other one did. */
static int replug_cpu(void *world, unsigned int me)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	unsigned int cpu;
	int rc = -ENODEV;

	(void)world;
	(void)me;
	pthread_mutex_lock(&lock);
	if (hotplug_cpus(&cpu, 1))
		rc = hotplug_set(cpu, false) ?: hotplug_set(cpu, true);
	pthread_mutex_unlock(&lock);
	return rc;
}

/*
 * The table
 */

#define ROLE(name_)	.race = { .name = #name_, .act = name_ }
#define IN_ALL(text)	{ text, text, text }
#define VM_IOCTL	[TD_VM_FD] = "ENOTTY"
#define VCPU_IOCTL	[TD_VCPU_FD] = "ENOTTY"
#define FILE_CALL	[TD_FILE] = "ENODEV"

const struct td_role td_roles[] = {
	{
		ROLE(init_vm),
		.alone = { [TD_OPENED] = "0", [TD_BUILT] = "EINVAL", [TD_RUNNING] = "EINVAL" },
		.without = { VM_IOCTL, [TD_BLANK] = "EINVAL" },
		.takes = BIT(TD_BLANK),
		.once = true,
		.spends = true,
	}, {
		/* As if the TD were not there, also once it is sealed. */
		ROLE(create_vcpu),
		.alone = { [TD_OPENED] = "EIO", [TD_BUILT] = "0" },
		.without = {
			VM_IOCTL, [TD_BLANK] = "0", [TD_UNSEALED] = "EIO", [TD_NO_VCPU] = "EINVAL EEXIST",
		},
		.takes = BIT(TD_NO_VCPU),
		.once = true,
		.spends = true,
	}, {
		ROLE(add_vcpu),
		.alone = { [TD_OPENED] = "EIO", [TD_BUILT] = "0" },
		.without = {
			VM_IOCTL, [TD_BLANK] = "0", [TD_UNSEALED] = "EIO EINVAL",
			[TD_NO_VCPU] = "EINVAL EEXIST",
		},
		.takes = BIT(TD_NO_VCPU),
		.once = true,
		.spends = true,
	}, {
		ROLE(init_vcpu),
		.alone = { [TD_BUILT] = "0", [TD_RUNNING] = "EINVAL" },
		.without = { [TD_UNSEALED] = "EINVAL", [TD_RAW_VCPU] = "EINVAL" },
		.takes = BIT(TD_RAW_VCPU),
		.once = true,
		.lacks = BIT(TD_NO_VCPU),
		.spends = true,
	}, {
		ROLE(init_vcpu_0),
		.alone = { [TD_BUILT] = "0", [TD_RUNNING] = "EINVAL" },
		.without = { [TD_UNSEALED] = "EINVAL", [TD_RAW_VCPU_0] = "EINVAL", VCPU_IOCTL },
		.takes = BIT(TD_RAW_VCPU_0),
		.once = true,
		.spends = true,
	}, {
		ROLE(init_memory),
		.alone = { [TD_BUILT] = "0", [TD_RUNNING] = "EINVAL" },
		.without = {
			VCPU_IOCTL, [TD_UNSEALED] = "EINVAL", [TD_SLOT] = "EINVAL",
			[TD_PRIVATE] = "EINVAL", [TD_FILE] = "EFAULT",
		},
		.lacks = BIT(TD_RAW_VCPU_0),
		.absent = true,
	}, {
		ROLE(measure_memory),
		.alone = { [TD_BUILT] = "0", [TD_RUNNING] = "EINVAL" },
		.without = {
			VCPU_IOCTL, [TD_UNSEALED] = "EINVAL", [TD_SLOT] = "EINVAL",
			[TD_PRIVATE] = "EINVAL", [TD_FILE] = "EFAULT",
		},
		.lacks = BIT(TD_RAW_VCPU_0),
		.absent = true,
	}, {
		/* It needs no memory, but a vCPU: the TDX module refuses a TD without one. */
		ROLE(finalize),
		.alone = { [TD_BUILT] = "0", [TD_RUNNING] = "EINVAL" },
		.without = { VM_IOCTL, [TD_UNSEALED] = "EINVAL" },
		.met = "EBUSY",
		.takes = BIT(TD_UNSEALED),
		.once = true,
		.lacks = BIT(TD_RAW_VCPU_0),
		.spends = true,
	}, {
		ROLE(get_cpuid),
		.alone = { [TD_BUILT] = "0", [TD_RUNNING] = "EINVAL" },
		.without = { VCPU_IOCTL, [TD_UNSEALED] = "EINVAL" },
	}, {
		/* What was private when it looked and is not any more is EFAULT. */
		ROLE(prefault),
		.alone = { [TD_BUILT] = "EOPNOTSUPP", [TD_RUNNING] = "0" },
		.without = {
			VCPU_IOCTL, [TD_UNSEALED] = "0", [TD_SLOT] = "EAGAIN EFAULT",
			[TD_PRIVATE] = "EFAULT", [TD_FILE] = "EFAULT",
		},
	}, {
		ROLE(run),
		.alone = { [TD_BUILT] = "EINVAL", [TD_RUNNING] = "0" },
		.without = { VCPU_IOCTL, [TD_UNSEALED] = "0" },
		.lacks = BIT(TD_RAW_VCPU_0),
		.payload = true,
	}, {
		ROLE(touch),
		.alone = { [TD_RUNNING] = "0" },
		.without = {
			VCPU_IOCTL, [TD_SLOT] = "EFAULT", [TD_PRIVATE] = "EFAULT",
			[TD_FILE] = "EFAULT",
		},
		.runs = true,
	}, {
		ROLE(touch_other),
		.alone = { [TD_RUNNING] = "0" },
		.without = { VCPU_IOCTL },
		.runs = true,
	}, {
		ROLE(accept),
		.alone = { [TD_RUNNING] = "0" },
		.without = {
			VCPU_IOCTL, [TD_SLOT] = "EFAULT", [TD_PRIVATE] = "EFAULT",
			[TD_FILE] = "EFAULT",
		},
		.runs = true,
	}, {
		ROLE(allocate),
		.alone = IN_ALL("0"),
		.without = { FILE_CALL },
	}, {
		ROLE(punch),
		.alone = IN_ALL("0"),
		.without = { FILE_CALL },
	}, {
		ROLE(punch_other),
		.alone = IN_ALL("0"),
	}, {
		ROLE(to_shared),
		.alone = IN_ALL("0"),
		.without = { VM_IOCTL },
		.takes = BIT(TD_PRIVATE),
	}, {
		ROLE(to_private),
		.alone = IN_ALL("0"),
		.without = { VM_IOCTL },
		.takes = BIT(TD_PRIVATE),
		.lacks = BIT(TD_PRIVATE),
	}, {
		ROLE(convert),
		.alone = IN_ALL("0"),
		.without = { VM_IOCTL },
		.takes = BIT(TD_PRIVATE),
	}, {
		ROLE(slot_add),
		.alone = IN_ALL("0"),
		.without = {
			VM_IOCTL, [TD_SLOT] = "EINVAL", [TD_SLOT_ID] = "EINVAL", [TD_FILE] = "EINVAL",
		},
		.takes = BIT(TD_SLOT),
		.once = true,
		.lacks = BIT(TD_SLOT),
	}, {
		ROLE(slot_delete),
		.alone = IN_ALL("0"),
		.without = { VM_IOCTL, [TD_SLOT] = "EINVAL" },
		.takes = BIT(TD_SLOT),
		.once = true,
	}, {
		ROLE(slot_move),
		.alone = IN_ALL("0"),
		.without = {
			VM_IOCTL, [TD_SLOT] = "EINVAL", [TD_SLOT_ID] = "EINVAL", [TD_FILE] = "EINVAL",
		},
		.takes = BIT(TD_SLOT),
	}, {
		ROLE(slot_flags),
		.alone = IN_ALL("EINVAL"),
		.without = { VM_IOCTL, [TD_SLOT] = "0" },
		.takes = BIT(TD_SLOT_ID),
	}, {
		ROLE(close_gmem),
		.alone = IN_ALL("0"),
		.takes = BIT(TD_FILE),
	}, {
		ROLE(close_vcpu),
		.alone = { [TD_BUILT] = "0", [TD_RUNNING] = "0" },
		.takes = BIT(TD_VCPU_FD),
		.spends = true,
	}, {
		ROLE(close_vm),
		.alone = IN_ALL("0"),
		.takes = BIT(TD_VM_FD),
		.spends = true,
	}, {
		ROLE(replug_cpu),
		.alone = IN_ALL("0"),
		.slow = true,
		.why_not = hotplug_why_not,
	},
	{}
};

const struct td_role *td_role(const char *name)
{
	const struct td_role *role;

	for (role = td_roles; role->race.name; role++)
		if (!strcmp(role->race.name, name))
			return role;
	return NULL;
}

bool td_race_can(enum td_stage stage, const struct td_role *a, const struct td_role *b)
{
	return a->alone[stage] && b->alone[stage] && !(a->lacks & b->takes & ~b->lacks) &&
	       !(b->lacks & a->takes & ~a->lacks);
}
