// SPDX-License-Identifier: GPL-2.0-only
/*
 * What KVM answers depends on how far the TD has come: a call that comes too early,
 * too late or to a TD that is dead or another process's is refused with its errno,
 * changes nothing, and the TD goes on with its life.
 *
 * The tables have a row for each call and a column for each state.  The arguments are
 * such as would do, but in one table; td_arguments.c has all that would not.
 *
 * Documentation/virt/kvm/x86/intel-tdx.rst, api.rst; arch/x86/kvm/vmx/tdx.c
 * tdx_vm_ioctl(), tdx_vcpu_unlocked_ioctl(), tdx_vcpu_ioctl(), tdx_vcpu_create().
 *
 * Claims: B16, B17, B28
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "gmem.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	4ull
#define SLOT		GUEST_SLOT
#define FREE_SLOT	20
#define FREE_GPA	(GUEST_GPA + (1ull << 30))
#define SHARED_BIT	(1ull << 47)	/* of the 48 bits that lib/td.c asks for */
#define PATTERN		0x57a7e00000000000ull
#define NO_SUCH_COMMAND	4711
#define MAX_CPUID	256
#define BUFFER_BYTES	(4 * PAGE_BYTES)

enum state {
	OPENED,			/* KVM_CREATE_VM */
	INITED,			/* KVM_TDX_INIT_VM */
	CREATED,		/* KVM_CREATE_VCPU */
	READY,			/* KVM_TDX_INIT_VCPU */
	LOADED,			/* KVM_TDX_INIT_MEM_REGION */
	FINAL,			/* KVM_TDX_FINALIZE_VM */
	RUN,			/* KVM_RUN */
	NR_STEPS,
	DEAD = NR_STEPS,	/* KVM has killed it */
	FOREIGN,		/* as RUN, but asked from another process */
	NR_STATES,
};

static const char *const state_names[NR_STATES] = {
	"opened", "inited", "vCPU created", "vCPU ready", "loaded", "finalized", "run",
	"dead", "another process's",
};

FIXTURE(td_state) {
	struct td *td;
	int kvm, vm, vcpu, gmem;
	void *page, *buffer;		/* for slots, and for what the calls want */
	struct census *before;
	struct meter at_start, in_state;
	struct td_plan plan;
};

FIXTURE_VARIANT(td_state) {
	enum state state;
};

FIXTURE_VARIANT_ADD(td_state, tdx_opened) { OPENED };
FIXTURE_VARIANT_ADD(td_state, tdx_inited) { INITED };
FIXTURE_VARIANT_ADD(td_state, tdx_vcpu_created) { CREATED };
FIXTURE_VARIANT_ADD(td_state, tdx_vcpu_ready) { READY };
FIXTURE_VARIANT_ADD(td_state, tdx_loaded) { LOADED };
FIXTURE_VARIANT_ADD(td_state, tdx_finalized) { FINAL };
FIXTURE_VARIANT_ADD(td_state, tdx_run) { RUN };
FIXTURE_VARIANT_ADD(td_state, tdx_dead) { DEAD };
FIXTURE_VARIANT_ADD(td_state, tdx_foreign) { FOREIGN };

typedef FIXTURE_DATA(td_state) world;

/*
 * The steps of its life
 */

static int slot(const world *w, unsigned int nr, __u64 gpa, __u64 bytes, int gmem)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = nr,
		.flags = gmem < 0 ? 0 : KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (__u64)w->page,
		.guest_memfd = gmem,
	};

	return RC(ioctl(w->vm, KVM_SET_USER_MEMORY_REGION2, &region));
}

/* With it comes a guest_memfd that is nobody's business: to see that it stays so. */
static int step_open(world *w)
{
	int rc = td_open(&w->td);

	if (rc)
		return rc;
	w->vm = td_vm(w->td);
	w->gmem = gmem_create(w->vm, NR_PAGES, 0);
	if (w->gmem < 0)
		return w->gmem;
	return gmem_allocate(w->gmem, 0, NR_PAGES) ?:
	       slot(w, SLOT, GUEST_GPA, NR_PAGES * PAGE_BYTES, w->gmem) ?:
	       td_set_private(w->td, GUEST_GPA, NR_PAGES, true);
}

static int step_init(world *w)
{
	return td_init(w->td, &w->plan);
}

static int step_create(world *w)
{
	int rc = td_add_vcpu(w->td);

	w->vcpu = td_vcpu(w->td, 0);
	return rc;
}

static int step_ready(world *w)
{
	return td_init_vcpu(w->td, 0, 0);
}

static int step_load(world *w)
{
	return td_add_payload(w->td) ?: td_load_payload(w->td, true);
}

static int step_finalize(world *w)
{
	return td_finalize(w->td);
}

static int step_run(world *w)
{
	return td_pages(w->td, 0, TD_OP_NONE, 0, 0, 0, 0);
}

static int (*const steps[NR_STEPS])(world *w) = {
	step_open, step_init, step_create, step_ready, step_load, step_finalize, step_run,
};

/* A touch of a page that was not accepted is the end of a TD that has no #VE for it. */
static int kill_it(world *w)
{
	int rc = td_pages(w->td, 0, TD_OP_WRITE, GUEST_GPA, 1, PATTERN, TD_UNACCEPTED);

	return rc == -EIO ? 0 : rc ?: -ENOTRECOVERABLE;
}

FIXTURE_SETUP(td_state)
{
	const enum state last = variant->state < NR_STEPS ? variant->state : RUN;
	unsigned int i;

	self->kvm = self->gmem = self->vcpu = -1;
	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(meter_read(&self->at_start));
	self->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	ASSERT_SYS(self->kvm);
	self->page = mmap(NULL, NR_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	self->buffer = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->buffer);
	if (variant->state == DEAD) {
		self->plan.attributes = TD_ATTR_SEPT_VE_DISABLE;
		supervise_expect_kmsg("access before accepting");
	}
	for (i = 0; i <= last; i++)
		ASSERT_OK(steps[i](self));
	if (variant->state == DEAD) {
		ASSERT_OK(kill_it(self));
	}
	ASSERT_OK(meter_read(&self->in_state));
	ASSERT_OK(census_take(&self->before, self->gmem, 0, NR_PAGES));
}

FIXTURE_TEARDOWN(td_state)
{
	census_free(self->before);
	td_close(self->td);
	if (self->gmem >= 0)
		close(self->gmem);
	if (self->kvm >= 0)
		close(self->kvm);
	if (self->page)
		munmap(self->page, NR_PAGES * PAGE_BYTES);
	if (self->buffer)
		munmap(self->buffer, BUFFER_BYTES);
}

/*
 * A row of a table: one call, and its errno in each state.  Where the call is LATER,
 * it is the next step of a life, and is seen to succeed when the TD goes on; or there
 * is no vCPU yet to make it on.
 */
#define LATER	-1

struct row {
	const char *name;
	int (*call)(world *w, unsigned long arg);
	unsigned long arg;
	short want[NR_STATES];
};

static void check_row(struct __test_metadata *_metadata, world *w, const struct row *row,
		      enum state state)
{
	char text[160];

	if (row->want[state] == LATER)
		return;
	snprintf(text, sizeof(text), "a TD that is %s: %s", state_names[state], row->name);
	suite_check_rc(_metadata, __FILE__, __LINE__, text, row->call(w, row->arg),
		       -row->want[state]);
}

/* Go on to the end, and see that what was not touched is still there. */
static void check_life(struct __test_metadata *_metadata, world *w, enum state state)
{
	struct meter now;
	unsigned int i;

	EXPECT_UNTOUCHED(w->before, 0, NR_PAGES);
	ASSERT_OK(meter_read(&now));
	EXPECT_EQ(w->in_state.value[METER_HKIDS], now.value[METER_HKIDS]);

	for (i = state + 1; i < NR_STEPS; i++)
		ASSERT_OK(steps[i](w));
	if (state != DEAD) {
		EXPECT_OK(td_pages(w->td, 0, TD_OP_WRITE, GUEST_GPA, NR_PAGES, PATTERN, 0));
		EXPECT_OK(td_pages(w->td, 0, TD_OP_VERIFY, GUEST_GPA, NR_PAGES, PATTERN, 0));
	}
	td_close(w->td);
	w->td = NULL;
	close(w->gmem);
	w->gmem = -1;
	EXPECT_FREED(w->before, 0, NR_PAGES);
	EXPECT_BACK(&w->at_start, METER_HKIDS, 0);
}

static void check_rows(struct __test_metadata *_metadata, world *w, enum state state,
		       const struct row *rows, unsigned int nr)
{
	int status = 0;
	unsigned int i;
	pid_t child = state == FOREIGN ? fork() : 0;

	ASSERT_SYS(child);
	if (!child) {
		for (i = 0; i < nr; i++)
			check_row(_metadata, w, &rows[i], state);
		if (state == FOREIGN)
			_exit(0);
	} else {
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_EQ(0, status);
	}
	check_life(_metadata, w, state);
}

#define CHECK_ROWS(rows) check_rows(_metadata, self, variant->state, rows, ARRAY_SIZE(rows))

/*
 * The commands of KVM_MEMORY_ENCRYPT_OP
 */

static int vm_command(world *w, unsigned long id)
{
	return td_cmd(w->vm, id, 0, w->buffer, NULL);
}

static int vcpu_command(world *w, unsigned long id)
{
	return td_cmd(w->vcpu, id, 0, w->buffer, NULL);
}

static int no_command(world *w, unsigned long of_vcpu)
{
	return RC(ioctl(of_vcpu ? w->vcpu : w->vm, KVM_MEMORY_ENCRYPT_OP, NULL));
}

static int other_command(world *w, unsigned long of_gmem)
{
	return td_cmd(of_gmem ? w->gmem : w->kvm, KVM_TDX_CAPABILITIES, 0, w->buffer, NULL);
}

static int capabilities(world *w, unsigned long arg)
{
	struct kvm_tdx_capabilities *caps;
	int rc = td_capabilities(w->vm, &caps);

	(void)arg;
	free(caps);
	return rc;
}

static int init_vm(world *w, unsigned long arg)
{
	(void)arg;
	return td_init(w->td, &w->plan);
}

static int init_mem_region(world *w, unsigned long arg)
{
	struct kvm_tdx_init_mem_region region = {
		.source_addr = (__u64)w->page, .gpa = GUEST_GPA, .nr_pages = 1,
	};

	(void)arg;
	return td_cmd(w->vcpu, KVM_TDX_INIT_MEM_REGION, 0, &region, NULL);
}

static int get_cpuid(world *w, unsigned long arg)
{
	struct kvm_cpuid2 *cpuid;
	int rc = td_get_cpuid(w->td, 0, &cpuid);

	(void)arg;
	free(cpuid);
	return rc;
}

#define BAD EINVAL

/* In each state alike: of a TD that can be asked, and of a vCPU that is there. */
#define VM(err)		{ err, err, err, err, err, err, err, EIO, EIO }
#define VCPU(err)	{ LATER, LATER, err, err, err, err, err, EIO, EIO }
#define ALWAYS(err)	{ err, err, err, err, err, err, err, err, err }

/*
 * Claims: B02, B16, B17
 */
TEST_F(td_state, decides_what_a_tdx_command_answers)
{
	static const struct row rows[] = {
	/*  opened inited created ready loaded final run  dead foreign */
	{ "KVM_TDX_CAPABILITIES", capabilities, 0, VM(0) },
	{ "KVM_TDX_INIT_VM", init_vm, 0,
	  { LATER, BAD,   BAD,    BAD,  BAD,   BAD,  BAD, EIO, EIO } },
	{ "KVM_TDX_FINALIZE_VM", vm_command, KVM_TDX_FINALIZE_VM,
	  { BAD,   LATER, LATER,  LATER, LATER, BAD, BAD, EIO, EIO } },
	{ "KVM_TDX_INIT_VCPU of the VM", vm_command, KVM_TDX_INIT_VCPU, VM(BAD) },
	{ "KVM_TDX_INIT_MEM_REGION of the VM", vm_command, KVM_TDX_INIT_MEM_REGION, VM(BAD) },
	{ "KVM_TDX_GET_CPUID of the VM", vm_command, KVM_TDX_GET_CPUID, VM(BAD) },
	{ "the command behind the last, of the VM", vm_command, KVM_TDX_CMD_NR_MAX, VM(BAD) },
	{ "an unknown command of the VM", vm_command, NO_SUCH_COMMAND, VM(BAD) },
	{ "no command of the VM", no_command, false, VM(EFAULT) },

	{ "KVM_TDX_INIT_VCPU", vcpu_command, KVM_TDX_INIT_VCPU,
	  { LATER, LATER, LATER,  BAD,  BAD,   BAD,  BAD, EIO, EIO } },
	{ "KVM_TDX_INIT_MEM_REGION", init_mem_region, 0,
	  { LATER, LATER, BAD,   LATER, LATER, BAD,  BAD, EIO, EIO } },
	{ "KVM_TDX_GET_CPUID", get_cpuid, 0,
	  { LATER, LATER, 0,      0,    0,     BAD,  BAD, EIO, EIO } },
	{ "KVM_TDX_CAPABILITIES of a vCPU", vcpu_command, KVM_TDX_CAPABILITIES, VCPU(BAD) },
	{ "KVM_TDX_INIT_VM of a vCPU", vcpu_command, KVM_TDX_INIT_VM, VCPU(BAD) },
	{ "KVM_TDX_FINALIZE_VM of a vCPU", vcpu_command, KVM_TDX_FINALIZE_VM, VCPU(BAD) },
	{ "the command behind the last, of a vCPU", vcpu_command, KVM_TDX_CMD_NR_MAX, VCPU(BAD) },
	{ "an unknown command of a vCPU", vcpu_command, NO_SUCH_COMMAND, VCPU(BAD) },
	{ "no command of a vCPU", no_command, true, VCPU(EFAULT) },

	{ "a command of /dev/kvm", other_command, false, ALWAYS(BAD) },
	{ "a command of a guest_memfd", other_command, true, ALWAYS(ENOTTY) },
	};

	CHECK_ROWS(rows);
}

/*
 * The same with arguments that are wrong, in each state and not just where they are looked
 * at (td_arguments).  Nobody looks at the flags of KVM_TDX_FINALIZE_VM and
 * KVM_TDX_GET_CPUID.
 */

enum wrong { FLAGS, RESERVED, BITS, MORE, NOWHERE, ADDRESS, SOURCE, NONE, SHARED };

/* What the TDX module's answer goes to must be zero. */
static int ask_with_an_error(int fd, const world *w, unsigned long id)
{
	struct kvm_tdx_cmd cmd = { .id = id, .data = (__u64)w->buffer, .hw_error = 1 };

	return RC(ioctl(fd, KVM_MEMORY_ENCRYPT_OP, &cmd));
}

static int with_an_error(world *w, unsigned long id)
{
	return ask_with_an_error(w->vm, w, id);
}

static int vcpu_with_an_error(world *w, unsigned long id)
{
	return ask_with_an_error(w->vcpu, w, id);
}

static int wrong_capabilities(world *w, unsigned long what)
{
	memset(w->buffer, 0, BUFFER_BYTES);	/* room for no CPUID leaf */
	return td_cmd(w->vm, KVM_TDX_CAPABILITIES, what == FLAGS,
		      what == NOWHERE ? NULL : w->buffer, NULL);
}

static int wrong_init_vm(world *w, unsigned long what)
{
	struct kvm_tdx_init_vm *init;
	int rc = td_init_params(w->td, &w->plan, &init);

	if (rc)
		return rc;
	init->reserved[0] = what == RESERVED;
	init->attributes |= what == BITS ? 1ull << 62 : 0;
	if (what == MORE)
		init->cpuid.nent = MAX_CPUID + 1;
	rc = td_cmd(w->vm, KVM_TDX_INIT_VM, what == FLAGS, what == NOWHERE ? NULL : init, NULL);
	free(init);
	return rc;
}

static int wrong_init_vcpu(world *w, unsigned long arg)
{
	(void)arg;
	return td_cmd(w->vcpu, KVM_TDX_INIT_VCPU, 1, NULL, NULL);
}

static int wrong_region(world *w, unsigned long what)
{
	struct kvm_tdx_init_mem_region region = {
		.source_addr = (__u64)w->page + (what == SOURCE),
		.gpa = what == SHARED ? SHARED_BIT : GUEST_GPA + (what == ADDRESS),
		.nr_pages = what != NONE,
	};

	return td_cmd(w->vcpu, KVM_TDX_INIT_MEM_REGION, what == FLAGS ? 2 : 0,
		      what == NOWHERE ? NULL : &region, NULL);
}

static int wrong_get_cpuid(world *w, unsigned long what)
{
	memset(w->buffer, 0, BUFFER_BYTES);
	return td_cmd(w->vcpu, KVM_TDX_GET_CPUID, 0, what == NOWHERE ? NULL : w->buffer, NULL);
}

#define BUT_OPENED(err)	{ err, BAD, BAD, BAD, BAD, BAD, BAD, EIO, EIO }
#define UNSEALED(err)	{ LATER, LATER, err, err, err, BAD, BAD, EIO, EIO }
#define READY_ON(err)	{ LATER, LATER, BAD, err, err, BAD, BAD, EIO, EIO }

TEST_F(td_state, decides_what_a_wrong_tdx_command_answers)
{
	static const struct row rows[] = {
	{ "KVM_TDX_CAPABILITIES with an error", with_an_error, KVM_TDX_CAPABILITIES, VM(BAD) },
	{ "KVM_TDX_INIT_VM with an error", with_an_error, KVM_TDX_INIT_VM, VM(BAD) },
	{ "KVM_TDX_FINALIZE_VM with an error", with_an_error, KVM_TDX_FINALIZE_VM, VM(BAD) },
	{ "KVM_TDX_INIT_VCPU with an error", vcpu_with_an_error, KVM_TDX_INIT_VCPU, VCPU(BAD) },
	{ "KVM_TDX_INIT_MEM_REGION with an error", vcpu_with_an_error, KVM_TDX_INIT_MEM_REGION,
	  VCPU(BAD) },
	{ "KVM_TDX_GET_CPUID with an error", vcpu_with_an_error, KVM_TDX_GET_CPUID, VCPU(BAD) },
	{ "KVM_TDX_CAPABILITIES with flags", wrong_capabilities, FLAGS, VM(BAD) },
	{ "KVM_TDX_CAPABILITIES to nowhere", wrong_capabilities, NOWHERE, VM(EFAULT) },
	{ "KVM_TDX_CAPABILITIES to too little room", wrong_capabilities, MORE, VM(E2BIG) },
	{ "KVM_TDX_INIT_VM with flags", wrong_init_vm, FLAGS, VM(BAD) },
	{ "KVM_TDX_INIT_VM with reserved fields", wrong_init_vm, RESERVED, VM(BAD) },
	{ "KVM_TDX_INIT_VM with an attribute that is none", wrong_init_vm, BITS, VM(BAD) },
	{ "KVM_TDX_INIT_VM with too many CPUID leaves", wrong_init_vm, MORE, BUT_OPENED(E2BIG) },
	{ "KVM_TDX_INIT_VM from nowhere", wrong_init_vm, NOWHERE, BUT_OPENED(EFAULT) },
	{ "KVM_TDX_INIT_VCPU with flags", wrong_init_vcpu, 0, VCPU(BAD) },
	{ "KVM_TDX_INIT_MEM_REGION with flags", wrong_region, FLAGS, VCPU(BAD) },
	{ "KVM_TDX_INIT_MEM_REGION from nowhere", wrong_region, NOWHERE, READY_ON(EFAULT) },
	{ "KVM_TDX_INIT_MEM_REGION at an odd address", wrong_region, ADDRESS, VCPU(BAD) },
	{ "KVM_TDX_INIT_MEM_REGION from an odd source", wrong_region, SOURCE, VCPU(BAD) },
	{ "KVM_TDX_INIT_MEM_REGION of no page", wrong_region, NONE, VCPU(BAD) },
	{ "KVM_TDX_INIT_MEM_REGION of shared memory", wrong_region, SHARED, VCPU(BAD) },
	{ "KVM_TDX_GET_CPUID to nowhere", wrong_get_cpuid, NOWHERE, UNSEALED(EFAULT) },
	{ "KVM_TDX_GET_CPUID to too little room", wrong_get_cpuid, MORE, UNSEALED(E2BIG) },
	};

	CHECK_ROWS(rows);
}

/*
 * What every VM has
 */

static int create_vcpu(world *w, unsigned long id)
{
	return RC(ioctl(w->vm, KVM_CREATE_VCPU, id));
}

/* All that it has, or only the first @nr. */
static int set_cpuid(world *w, unsigned long nr)
{
	struct kvm_cpuid2 *cpuid = w->buffer;
	int rc;

	memset(cpuid, 0, BUFFER_BYTES);
	cpuid->nent = MAX_CPUID;
	rc = RC(ioctl(w->vcpu, KVM_GET_CPUID2, cpuid));
	if (nr)
		cpuid->nent = nr;
	return rc ?: RC(ioctl(w->vcpu, KVM_SET_CPUID2, cpuid));
}

/* Where there is no memory. */
static int prefault(world *w, unsigned long gpa)
{
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = PAGE_BYTES };

	return RC(ioctl(w->vcpu, KVM_PRE_FAULT_MEMORY, &range));
}

static int make_gmem(world *w, unsigned long nr)
{
	int fd = gmem_create(w->vm, nr, 0);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int make_slot(world *w, unsigned long gpa)
{
	return slot(w, FREE_SLOT, gpa, PAGE_BYTES, -1) ?:
	       slot(w, FREE_SLOT, 0, 0, -1);
}

static int delete_slot(world *w, unsigned long nr)
{
	return slot(w, nr, 0, 0, -1);
}

/* Up to 6.18 this gives EINVAL; no capability tells. */
static int bind_again(world *w, unsigned long gpa)
{
	int rc = slot(w, FREE_SLOT, gpa, PAGE_BYTES, w->gmem);

	return rc == -EINVAL ? -EEXIST : rc;
}

static int set_attributes(world *w, unsigned long gpa)
{
	return td_set_private(w->td, gpa, 3, true) ?:
	       td_set_private(w->td, gpa, 3, false);
}

static int split_irqchip(world *w, unsigned long pins)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { pins } };

	return RC(ioctl(w->vm, KVM_ENABLE_CAP, &cap));
}

static int vm_ioctl(world *w, unsigned long request)
{
	return RC(ioctl(w->vm, request, 0));
}

static int vcpu_ioctl(world *w, unsigned long request)
{
	return RC(ioctl(w->vcpu, request, 0));
}

/* These are no calls to KVM: the file belongs to who has it open. */
static int allocate(world *w, unsigned long nr)
{
	return gmem_allocate(w->gmem, 0, nr);
}

static int punch(world *w, unsigned long first)
{
	return gmem_punch(w->gmem, first, 1);
}

#define NOT_YET EOPNOTSUPP

/*
 * KVM_NMI is in td_misuse.c.
 */
TEST_F(td_state, decides_what_kvm_answers)
{
	static const struct row rows[] = {
	/*  opened inited created  ready   loaded  final   run     dead foreign */
	{ "KVM_CREATE_VCPU of the first", create_vcpu, 0,
	  { EIO,   LATER, EEXIST,  EEXIST, EEXIST, EEXIST, EEXIST, EIO, EIO } },
	{ "KVM_CREATE_VCPU of another", create_vcpu, 1,
	  { EIO,   LATER, LATER,   LATER,  LATER,  EIO,    EIO,    EIO, EIO } },
	{ "KVM_SET_CPUID2, the same", set_cpuid, 0, VCPU(0) },
	{ "KVM_SET_CPUID2, another", set_cpuid, 1,
	  { LATER, LATER, LATER,   LATER,  LATER,  LATER,  BAD,    EIO, EIO } },
	{ "KVM_RUN", vcpu_ioctl, KVM_RUN,
	  { LATER, LATER, BAD,     BAD,    BAD,    LATER,  LATER,  EIO, EIO } },
	{ "KVM_PRE_FAULT_MEMORY", prefault, FREE_GPA,
	  { LATER, LATER, NOT_YET, NOT_YET, NOT_YET, ENOENT, ENOENT, EIO, EIO } },
	{ "KVM_PRE_FAULT_MEMORY of a shared address", prefault, SHARED_BIT | FREE_GPA,
	  { LATER, LATER, NOT_YET, NOT_YET, NOT_YET, BAD,  BAD,    EIO, EIO } },
	{ "KVM_SET_TSC_KHZ of the VM", vm_ioctl, KVM_SET_TSC_KHZ,
	  { 0,     0,     BAD,     BAD,    BAD,    BAD,    BAD,    EIO, EIO } },
	{ "KVM_CREATE_GUEST_MEMFD", make_gmem, 1, VM(0) },
	{ "a slot made and deleted", make_slot, FREE_GPA, VM(0) },
	{ "a slot deleted that is not there", delete_slot, FREE_SLOT, VM(BAD) },
	{ "a slot over pages that another shows", bind_again, FREE_GPA, VM(EEXIST) },
	{ "KVM_SET_MEMORY_ATTRIBUTES to and fro", set_attributes, FREE_GPA, VM(0) },
	{ "KVM_CHECK_EXTENSION", vm_ioctl, KVM_CHECK_EXTENSION, VM(0) },
	{ "KVM_CAP_SPLIT_IRQCHIP once more", split_irqchip, 24, VM(EEXIST) },
	{ "fallocate of what is there", allocate, NR_PAGES, ALWAYS(0) },
	{ "a punch behind the end", punch, NR_PAGES, ALWAYS(0) },
	};

	CHECK_ROWS(rows);
}

/*
 * The registers of a vCPU, which are the TDX module's
 */

static int vcpu_buffer(world *w, unsigned long request)
{
	return RC(ioctl(w->vcpu, request, w->buffer));
}

TEST_F(td_state, never_shows_the_registers)
{
	static const struct row rows[] = {
	{ "KVM_GET_REGS", vcpu_buffer, KVM_GET_REGS, VCPU(BAD) },
	{ "KVM_SET_REGS", vcpu_buffer, KVM_SET_REGS, VCPU(BAD) },
	{ "KVM_GET_SREGS", vcpu_buffer, KVM_GET_SREGS, VCPU(BAD) },
	{ "KVM_SET_SREGS", vcpu_buffer, KVM_SET_SREGS, VCPU(BAD) },
	{ "KVM_GET_SREGS2", vcpu_buffer, KVM_GET_SREGS2, VCPU(BAD) },
	{ "KVM_SET_SREGS2", vcpu_buffer, KVM_SET_SREGS2, VCPU(BAD) },
	{ "KVM_GET_FPU", vcpu_buffer, KVM_GET_FPU, VCPU(BAD) },
	{ "KVM_SET_FPU", vcpu_buffer, KVM_SET_FPU, VCPU(BAD) },
	{ "KVM_GET_XSAVE", vcpu_buffer, KVM_GET_XSAVE, VCPU(BAD) },
	{ "KVM_GET_XSAVE2", vcpu_buffer, KVM_GET_XSAVE2, VCPU(BAD) },
	{ "KVM_SET_XSAVE", vcpu_buffer, KVM_SET_XSAVE, VCPU(BAD) },
	{ "KVM_GET_XCRS", vcpu_buffer, KVM_GET_XCRS, VCPU(BAD) },
	{ "KVM_SET_XCRS", vcpu_buffer, KVM_SET_XCRS, VCPU(BAD) },
	{ "KVM_GET_DEBUGREGS", vcpu_buffer, KVM_GET_DEBUGREGS, VCPU(BAD) },
	{ "KVM_SET_DEBUGREGS", vcpu_buffer, KVM_SET_DEBUGREGS, VCPU(BAD) },
	{ "KVM_GET_LAPIC", vcpu_buffer, KVM_GET_LAPIC, VCPU(BAD) },
	{ "KVM_SET_LAPIC", vcpu_buffer, KVM_SET_LAPIC, VCPU(BAD) },
	{ "KVM_SET_GUEST_DEBUG", vcpu_buffer, KVM_SET_GUEST_DEBUG, VCPU(BAD) },
	{ "KVM_SMI", vcpu_ioctl, KVM_SMI, VCPU(ENOTTY) },
	{ "KVM_SET_TSC_KHZ of a vCPU", vcpu_ioctl, KVM_SET_TSC_KHZ, VCPU(BAD) },
	{ "KVM_GET_TSC_KHZ of a vCPU", vcpu_ioctl, KVM_GET_TSC_KHZ, VCPU(0) },
	{ "KVM_GET_MP_STATE", vcpu_buffer, KVM_GET_MP_STATE, VCPU(0) },
	};

	CHECK_ROWS(rows);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 30, .serial = true)
