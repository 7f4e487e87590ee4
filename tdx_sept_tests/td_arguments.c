// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is asked of a TD with a wrong argument is refused with its errno, and has
 * changed nothing: the same call, asked rightly, succeeds, and the TD lives.
 *
 * td_state.c has what comes at the wrong time; errors.c what is wrong for any VM.
 *
 * Documentation/virt/kvm/x86/intel-tdx.rst, api.rst; arch/x86/kvm/vmx/tdx.c.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define BUFFER_BYTES	(32 * PAGE_BYTES)
#define MAX_ENTRIES	256		/* KVM_MAX_CPUID_ENTRIES */

#define LEAF_ADDRESS_BITS	0x80000008

/* Of CPUID 7: what KVM has no support for in TDs. */
#define HLE			(1u << 4)	/* EBX */
#define RTM			(1u << 11)	/* EBX */
#define WAITPKG			(1u << 5)	/* ECX */

/* SEAMCALL status classes, bits 63:32. */
#define OPERAND_INVALID		0xc0000100u

FIXTURE(td_arguments) {
	struct td *td;
	int vm;
	char *buffer;
	struct meter at_start;
};

FIXTURE_VARIANT(td_arguments) {
	struct td_plan plan;
};

FIXTURE_VARIANT_ADD(td_arguments, tdx) {};

typedef FIXTURE_DATA(td_arguments) world;

FIXTURE_SETUP(td_arguments)
{
	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(meter_read(&self->at_start));
	self->buffer = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->buffer);
	ASSERT_OK(td_open(&self->td));
	self->vm = td_vm(self->td);
}

FIXTURE_TEARDOWN(td_arguments)
{
	td_close(self->td);
	if (self->buffer)
		munmap(self->buffer, BUFFER_BYTES);
}

/* From INIT_VM on. */
static int finish(world *w)
{
	return td_add_payload(w->td) ?: td_load_payload(w->td, true) ?: td_finalize(w->td);
}

/* It does what it is told, and leaves nothing behind. */
static void check_life(struct __test_metadata *_metadata, world *w)
{
	EXPECT_OK(td_pages(w->td, 0, TD_OP_NONE, 0, 0, 0, 0));
	td_close(w->td);
	w->td = NULL;
	EXPECT_BACK(&w->at_start, METER_HKIDS, 0);
}

#define EXPECT_LIFE() check_life(_metadata, self)

#define EXPECT_REFUSED(err, what, call)					\
	suite_check_rc(_metadata, __FILE__, __LINE__, what, (call), -(err))

/*
 * struct kvm_tdx_cmd
 */

static int raw_command(int fd, unsigned int id, unsigned int flags, void *data, __u64 hw_error)
{
	struct kvm_tdx_cmd cmd = {
		.id = id, .flags = flags, .data = (__u64)data, .hw_error = hw_error,
	};

	return RC(ioctl(fd, KVM_MEMORY_ENCRYPT_OP, &cmd));
}

TEST_F(td_arguments, with_a_hw_error_are_refused)
{
	static const struct {
		const char *name;
		unsigned int id;
		bool vcpu;
	} commands[] = {
		{ "KVM_TDX_CAPABILITIES", KVM_TDX_CAPABILITIES, false },
		{ "KVM_TDX_INIT_VM", KVM_TDX_INIT_VM, false },
		{ "KVM_TDX_FINALIZE_VM", KVM_TDX_FINALIZE_VM, false },
		{ "KVM_TDX_INIT_VCPU", KVM_TDX_INIT_VCPU, true },
		{ "KVM_TDX_INIT_MEM_REGION", KVM_TDX_INIT_MEM_REGION, true },
		{ "KVM_TDX_GET_CPUID", KVM_TDX_GET_CPUID, true },
	};
	unsigned int i;
	int fd;

	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_OK(td_add_vcpu(self->td));
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		fd = commands[i].vcpu ? td_vcpu(self->td, 0) : self->vm;
		EXPECT_REFUSED(EINVAL, commands[i].name,
			       raw_command(fd, commands[i].id, 0, self->buffer, 1));
		EXPECT_REFUSED(EINVAL, commands[i].name,
			       raw_command(fd, commands[i].id, 0, self->buffer, 1ull << 63));
	}
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

/* The last bit of the commands' flags; that of KVM_TDX_INIT_MEM_REGION is known. */
TEST_F(td_arguments, with_unknown_flags_are_refused)
{
	struct kvm_tdx_init_mem_region region = {
		.source_addr = (__u64)self->buffer, .gpa = GUEST_GPA, .nr_pages = 1,
	};
	struct kvm_tdx_capabilities *caps;
	struct kvm_tdx_init_vm *init;
	int bit;

	ASSERT_OK(td_capabilities(self->vm, &caps));
	ASSERT_OK(td_init_params(self->td, &variant->plan, &init));
	for (bit = 0; bit < 32; bit++) {
		EXPECT_REFUSED(EINVAL, "KVM_TDX_CAPABILITIES with a flag",
			       td_cmd(self->vm, KVM_TDX_CAPABILITIES, 1u << bit, caps, NULL));
		EXPECT_REFUSED(EINVAL, "KVM_TDX_INIT_VM with a flag",
			       td_cmd(self->vm, KVM_TDX_INIT_VM, 1u << bit, init, NULL));
	}
	free(caps);
	free(init);

	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_OK(td_add_vcpu(self->td));
	for (bit = 0; bit < 32; bit++)
		EXPECT_REFUSED(EINVAL, "KVM_TDX_INIT_VCPU with a flag",
			       td_cmd(td_vcpu(self->td, 0), KVM_TDX_INIT_VCPU, 1u << bit, NULL, NULL));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	for (bit = 1; bit < 32; bit++)
		EXPECT_REFUSED(EINVAL, "KVM_TDX_INIT_MEM_REGION with an unknown flag",
			       td_cmd(td_vcpu(self->td, 0), KVM_TDX_INIT_MEM_REGION, 1u << bit,
				      &region, NULL));
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

/*
 * The documentation wants zero, and KVM does not look: an error would break whoever has
 * something else there, so a kernel may say either.
 */
TEST_F(td_arguments, with_flags_that_nobody_looks_at_may_be_refused_by_einval_only)
{
	struct kvm_cpuid2 *cpuid = (void *)self->buffer;
	int rc;

	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	cpuid->nent = MAX_ENTRIES;
	rc = td_cmd(td_vcpu(self->td, 0), KVM_TDX_GET_CPUID, 1, cpuid, NULL);
	EXPECT_ERR(rc ? EINVAL : 0, rc);
	ASSERT_OK(td_add_payload(self->td));
	ASSERT_OK(td_load_payload(self->td, true));
	rc = td_cmd(self->vm, KVM_TDX_FINALIZE_VM, 1, (void *)1, NULL);
	EXPECT_ERR(rc ? EINVAL : 0, rc);
	if (rc) {
		ASSERT_OK(td_finalize(self->td));
	}
	EXPECT_LIFE();
}

/*
 * KVM_TDX_CAPABILITIES
 */

TEST_F(td_arguments, of_capabilities_have_room_for_them)
{
	struct kvm_tdx_capabilities *caps = (void *)self->buffer, *good;
	unsigned int nr;
	size_t bytes;

	ASSERT_OK(td_capabilities(self->vm, &good));
	nr = good->cpuid.nent;
	bytes = sizeof(*good) + nr * sizeof(*good->cpuid.entries);
	ASSERT_GE(BUFFER_BYTES, bytes);

	EXPECT_REFUSED(EFAULT, "KVM_TDX_CAPABILITIES to nowhere",
		       td_cmd(self->vm, KVM_TDX_CAPABILITIES, 0, NULL, NULL));
	EXPECT_REFUSED(E2BIG, "KVM_TDX_CAPABILITIES without room for CPUID",
		       td_cmd(self->vm, KVM_TDX_CAPABILITIES, 0, caps, NULL));
	caps->cpuid.nent = nr - 1;
	EXPECT_REFUSED(E2BIG, "KVM_TDX_CAPABILITIES with an entry too few",
		       td_cmd(self->vm, KVM_TDX_CAPABILITIES, 0, caps, NULL));
	EXPECT_EQ(0, caps->supported_xfam);
	caps->cpuid.nent = nr;
	EXPECT_OK(td_cmd(self->vm, KVM_TDX_CAPABILITIES, 0, caps, NULL));
	EXPECT_EQ(0, memcmp(caps, good, bytes));
	caps->cpuid.nent = ~0u;
	EXPECT_OK(td_cmd(self->vm, KVM_TDX_CAPABILITIES, 0, caps, NULL));
	EXPECT_EQ(nr, caps->cpuid.nent);
	free(good);

	/* The first page says that there is room, and the next is not there. */
	caps = (void *)(self->buffer + 2 * PAGE_BYTES - sizeof(*caps));
	ASSERT_EQ(0, munmap(self->buffer + 2 * PAGE_BYTES, PAGE_BYTES));
	caps->cpuid.nent = ~0u;
	EXPECT_REFUSED(EFAULT, "KVM_TDX_CAPABILITIES across the end of a mapping",
		       td_cmd(self->vm, KVM_TDX_CAPABILITIES, 0, caps, NULL));
}

/*
 * KVM_TDX_INIT_VM
 */

static int init_vm(const world *w, struct kvm_tdx_init_vm *init, __u64 *hw_error)
{
	return hw_error ? td_cmd(w->vm, KVM_TDX_INIT_VM, 0, init, hw_error) :
			  td_init_vm(w->vm, init);
}

static struct kvm_cpuid_entry2 *find(struct kvm_tdx_init_vm *init, unsigned int function,
				     unsigned int index)
{
	unsigned int i;

	for (i = 0; i < init->cpuid.nent; i++)
		if (init->cpuid.entries[i].function == function &&
		    init->cpuid.entries[i].index == index)
			return &init->cpuid.entries[i];
	return NULL;
}

static size_t init_bytes(void)
{
	return sizeof(struct kvm_tdx_init_vm) + MAX_ENTRIES * sizeof(struct kvm_cpuid_entry2);
}

/* Wrong in one place each. */
static void wrong_nent_zero(struct kvm_tdx_init_vm *init)	{ init->cpuid.nent = 0; }
static void wrong_nent_many(struct kvm_tdx_init_vm *init)	{ init->cpuid.nent = MAX_ENTRIES + 1; }
static void wrong_nent_most(struct kvm_tdx_init_vm *init)	{ init->cpuid.nent = ~0u; }
static void wrong_padding(struct kvm_tdx_init_vm *init)		{ init->cpuid.padding = 1; }
static void wrong_reserved_first(struct kvm_tdx_init_vm *init)	{ init->reserved[0] = 1; }
static void wrong_reserved_last(struct kvm_tdx_init_vm *init)	{ init->reserved[11] = 1ull << 63; }

static void set_gpa_bits(struct kvm_tdx_init_vm *init, unsigned int bits)
{
	td_set_cpuid_width(&init->cpuid, bits);
}

static void wrong_gpa_0(struct kvm_tdx_init_vm *init)		{ set_gpa_bits(init, 0); }
static void wrong_gpa_47(struct kvm_tdx_init_vm *init)		{ set_gpa_bits(init, 47); }
static void wrong_gpa_49(struct kvm_tdx_init_vm *init)		{ set_gpa_bits(init, 49); }
static void wrong_gpa_53(struct kvm_tdx_init_vm *init)		{ set_gpa_bits(init, 53); }
static void wrong_gpa_255(struct kvm_tdx_init_vm *init)		{ set_gpa_bits(init, 255); }

static void wrong_gpa_none(struct kvm_tdx_init_vm *init)
{
	struct kvm_cpuid_entry2 *e = find(init, LEAF_ADDRESS_BITS, 0);

	*e = init->cpuid.entries[--init->cpuid.nent];
}

static void add_entry(struct kvm_tdx_init_vm *init, struct kvm_cpuid_entry2 e)
{
	init->cpuid.entries[init->cpuid.nent++] = e;
}

static void wrong_cpuid_unknown(struct kvm_tdx_init_vm *init)
{
	add_entry(init, (struct kvm_cpuid_entry2){ .function = 0x4fffffff });
}

static void wrong_cpuid_subleaf(struct kvm_tdx_init_vm *init)
{
	add_entry(init, (struct kvm_cpuid_entry2){
		.function = 7, .index = 99, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX });
}

static void wrong_cpuid_twice(struct kvm_tdx_init_vm *init)
{
	add_entry(init, init->cpuid.entries[0]);
}

static void change_leaf_7(struct kvm_tdx_init_vm *init, unsigned int ebx, unsigned int ecx)
{
	struct kvm_cpuid_entry2 *e = find(init, 7, 0);

	if (!e) {
		add_entry(init, (struct kvm_cpuid_entry2){
			.function = 7, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX });
		e = &init->cpuid.entries[init->cpuid.nent - 1];
	}
	e->ebx |= ebx;
	e->ecx |= ecx;
}

static void wrong_cpuid_hle(struct kvm_tdx_init_vm *init)	{ change_leaf_7(init, HLE, 0); }
static void wrong_cpuid_rtm(struct kvm_tdx_init_vm *init)	{ change_leaf_7(init, RTM, 0); }
static void wrong_cpuid_waitpkg(struct kvm_tdx_init_vm *init)	{ change_leaf_7(init, 0, WAITPKG); }

/*
 * Claims: B10, B35
 */
TEST_F(td_arguments, of_init_vm_are_looked_at_one_by_one)
{
	static const struct {
		const char *name;
		void (*make)(struct kvm_tdx_init_vm *init);
		int want;
	} rows[] = {
		{ "no CPUID", wrong_nent_zero, EINVAL },
		{ "an entry of CPUID too many", wrong_nent_many, E2BIG },
		{ "2^32 - 1 entries of CPUID", wrong_nent_most, E2BIG },
		{ "padding behind the number of entries", wrong_padding, EINVAL },
		{ "the first reserved field", wrong_reserved_first, EINVAL },
		{ "the last reserved field", wrong_reserved_last, EINVAL },
		{ "addresses of 0 bits", wrong_gpa_0, EINVAL },
		{ "addresses of 47 bits", wrong_gpa_47, EINVAL },
		{ "addresses of 49 bits", wrong_gpa_49, EINVAL },
		{ "addresses of 53 bits", wrong_gpa_53, EINVAL },
		{ "addresses of 255 bits", wrong_gpa_255, EINVAL },
		{ "no word on the width of addresses", wrong_gpa_none, EINVAL },
		{ "a leaf that nobody can configure", wrong_cpuid_unknown, EINVAL },
		{ "a sub-leaf that nobody can configure", wrong_cpuid_subleaf, EINVAL },
		{ "a leaf twice", wrong_cpuid_twice, EINVAL },
		{ "HLE", wrong_cpuid_hle, EINVAL },
		{ "RTM", wrong_cpuid_rtm, EINVAL },
		{ "WAITPKG", wrong_cpuid_waitpkg, EINVAL },
	};
	struct kvm_tdx_init_vm *good, *init = malloc(init_bytes());
	char text[100];
	struct meter now;
	unsigned int i;

	ASSERT_NE(NULL, init);
	ASSERT_OK(td_init_params(self->td, &variant->plan, &good));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		memcpy(init, good, init_bytes());
		rows[i].make(init);
		snprintf(text, sizeof(text), "KVM_TDX_INIT_VM with %s", rows[i].name);
		EXPECT_REFUSED(rows[i].want, text, init_vm(self, init, NULL));
	}
	EXPECT_REFUSED(EFAULT, "KVM_TDX_INIT_VM of nothing", init_vm(self, NULL, NULL));
	ASSERT_OK(meter_read(&now));
	EXPECT_EQ(self->at_start.value[METER_HKIDS], now.value[METER_HKIDS]);

	EXPECT_OK(init_vm(self, good, NULL));
	free(good);
	free(init);
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

TEST_F(td_arguments, of_init_vm_name_supported_bits_only)
{
	struct kvm_tdx_capabilities *caps;
	struct kvm_tdx_init_vm *init;
	__u64 xfam;
	char text[80];
	int bit;

	ASSERT_OK(td_capabilities(self->vm, &caps));
	ASSERT_OK(td_init_params(self->td, &variant->plan, &init));
	xfam = init->xfam;
	for (bit = 0; bit < 64; bit++) {
		if (!(caps->supported_attrs & 1ull << bit)) {
			init->attributes = 1ull << bit;
			snprintf(text, sizeof(text), "KVM_TDX_INIT_VM with attribute %d", bit);
			EXPECT_REFUSED(EINVAL, text, init_vm(self, init, NULL));
			init->attributes = variant->plan.attributes;
		}
		if (!(caps->supported_xfam & 1ull << bit)) {
			init->xfam = xfam | 1ull << bit;
			snprintf(text, sizeof(text), "KVM_TDX_INIT_VM with XFAM bit %d", bit);
			EXPECT_REFUSED(EINVAL, text, init_vm(self, init, NULL));
			init->xfam = xfam;
		}
	}
	EXPECT_OK(init_vm(self, init, NULL));
	free(init);
	free(caps);
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

/*
 * What only the TDX module knows to be wrong: a bit of CPUID that nobody can configure,
 * in a leaf of which others can.
 */
static bool spoil(struct kvm_tdx_init_vm *init, const struct kvm_tdx_capabilities *caps)
{
	const struct kvm_cpuid_entry2 *c;
	struct kvm_cpuid_entry2 *e;
	unsigned int i;

	for (i = 0; i < caps->cpuid.nent; i++) {
		c = &caps->cpuid.entries[i];
		e = find(init, c->function, c->index);
		if (!e || c->function == LEAF_ADDRESS_BITS || c->function == 7 || !~c->eax)
			continue;
		e->eax |= ~c->eax & (c->eax + 1);	/* the lowest bit that is not in it */
		return true;
	}
	return false;
}

/*
 * KVM has the TD half made when the module refuses it, and takes it apart again, with
 * keyid and pages; and the next attempt is as good as the first.
 *
 * Claims: B10
 */
TEST_F(td_arguments, that_the_module_refuses_undo_what_was_done)
{
	const unsigned int rounds = supervise_rounds(60);
	struct kvm_tdx_init_vm *init, *good;
	struct kvm_tdx_capabilities *caps;
	struct meter before;
	__u64 hw_error;
	unsigned int i;

	ASSERT_OK(td_capabilities(self->vm, &caps));
	ASSERT_OK(td_init_params(self->td, &variant->plan, &good));
	ASSERT_OK(td_init_params(self->td, &variant->plan, &init));
	ASSERT_TRUE(spoil(init, caps));
	free(caps);
	for (i = 0; i <= rounds; i++) {
		if (i == 1) {
			ASSERT_OK(meter_read(&before));
		}
		hw_error = 0;
		ASSERT_ERR(EINVAL, init_vm(self, init, &hw_error));
		ASSERT_EQ(OPERAND_INVALID, hw_error >> 32);
	}
	EXPECT_BACK(&self->at_start, METER_HKIDS, 0);
	EXPECT_BACK(&before, METER_LOST, rounds / 2);

	EXPECT_OK(init_vm(self, good, NULL));
	free(init);
	free(good);
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

struct flipper {
	struct kvm_tdx_init_vm *init;
	unsigned int good;
	atomic_bool stop;
};

static void *flip(void *arg)
{
	struct flipper *f = arg;
	volatile __u32 *nent = &f->init->cpuid.nent;

	while (!f->stop) {
		*nent = MAX_ENTRIES;
		*nent = f->good;
	}
	return NULL;
}

/*
 * Another thread changes the number of entries while KVM copies them.
 *
 * Claims: B35
 */
TEST_F(td_arguments, that_change_meanwhile_are_read_once_or_refused)
{
	struct flipper f = {};
	pthread_t thread;
	unsigned int i;
	int rc = -EINVAL;

	ASSERT_OK(td_init_params(self->td, &variant->plan, &f.init));
	f.good = f.init->cpuid.nent;
	ASSERT_EQ(0, pthread_create(&thread, NULL, flip, &f));
	for (i = 0; i < 500 && rc == -EINVAL; i++) {
		rc = init_vm(self, f.init, NULL);
		sched_yield();
	}
	f.stop = true;
	pthread_join(thread, NULL);
	if (rc == -EINVAL) {
		f.init->cpuid.nent = f.good;
		rc = init_vm(self, f.init, NULL);
	}
	EXPECT_OK(rc);
	free(f.init);
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

/*
 * KVM_CREATE_VCPU, KVM_TDX_GET_CPUID, KVM_RUN
 */

TEST_F(td_arguments, of_create_vcpu_are_free_ids)
{
	const int max_id = ioctl(self->vm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID);

	ASSERT_LT(0, max_id);
	ASSERT_OK(td_init(self->td, &variant->plan));
	EXPECT_ERR(EINVAL, RC(ioctl(self->vm, KVM_CREATE_VCPU, max_id)));
	EXPECT_ERR(EINVAL, RC(ioctl(self->vm, KVM_CREATE_VCPU, 1ul << 32)));
	EXPECT_ERR(EINVAL, RC(ioctl(self->vm, KVM_CREATE_VCPU, ~0ul)));
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

TEST_F(td_arguments, of_create_vcpu_want_a_split_irqchip)
{
	struct kvm_tdx_init_vm *init;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm;

	ASSERT_SYS(kvm);
	vm = ioctl(kvm, KVM_CREATE_VM, KVM_X86_TDX_VM);
	ASSERT_SYS(vm);
	close(kvm);
	ASSERT_OK(td_init_params(self->td, &variant->plan, &init));
	ASSERT_OK(td_init_vm(vm, init));
	free(init);
	EXPECT_ERR(EINVAL, RC(ioctl(vm, KVM_CREATE_VCPU, 0)));
	EXPECT_ERR(EINVAL, RC(ioctl(vm, KVM_CREATE_VCPU, 0)));
	close(vm);
	EXPECT_BACK(&self->at_start, METER_HKIDS, 0);
}

TEST_F(td_arguments, of_get_cpuid_have_room_for_it)
{
	struct kvm_cpuid2 *cpuid = (void *)self->buffer, *good;
	unsigned int nr;

	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_get_cpuid(self->td, 0, &good));
	nr = good->nent;

	EXPECT_REFUSED(EFAULT, "KVM_TDX_GET_CPUID to nowhere",
		       td_cmd(td_vcpu(self->td, 0), KVM_TDX_GET_CPUID, 0, NULL, NULL));
	cpuid->nent = 0;
	EXPECT_REFUSED(E2BIG, "KVM_TDX_GET_CPUID without room",
		       td_cmd(td_vcpu(self->td, 0), KVM_TDX_GET_CPUID, 0, cpuid, NULL));
	EXPECT_EQ(nr, cpuid->nent);
	cpuid->nent = nr - 1;
	EXPECT_REFUSED(E2BIG, "KVM_TDX_GET_CPUID with an entry too few",
		       td_cmd(td_vcpu(self->td, 0), KVM_TDX_GET_CPUID, 0, cpuid, NULL));
	EXPECT_EQ(nr, cpuid->nent);
	EXPECT_EQ(0, cpuid->entries[0].eax);
	EXPECT_OK(td_cmd(td_vcpu(self->td, 0), KVM_TDX_GET_CPUID, 0, cpuid, NULL));
	EXPECT_EQ(0, memcmp(cpuid, good, sizeof(*good) + nr * sizeof(*good->entries)));
	free(good);

	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

TEST_F(td_arguments, of_run_are_none)
{
	struct kvm_run *run;

	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	ASSERT_OK(finish(self));
	run = td_run(self->td, 0);
	EXPECT_ERR(EINVAL, RC(ioctl(td_vcpu(self->td, 0), KVM_RUN, 1)));
	run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	EXPECT_ERR(EINVAL, RC(ioctl(td_vcpu(self->td, 0), KVM_RUN, 0)));
	run->kvm_valid_regs = 0;
	run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	EXPECT_ERR(EINVAL, RC(ioctl(td_vcpu(self->td, 0), KVM_RUN, 0)));
	run->kvm_dirty_regs = 0;
	run->immediate_exit = 1;
	EXPECT_ERR(EINTR, RC(ioctl(td_vcpu(self->td, 0), KVM_RUN, 0)));
	run->immediate_exit = 0;
	EXPECT_LIFE();
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM, .seconds = 60, .serial = true)
