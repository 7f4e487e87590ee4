// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whatever is done to a TD at the same time while it is built, KVM puts it into some
 * order: each call gives what it would give in one, and the TD lives.
 *
 * Locks of the TDX module are taken by trying, once: SEAMCALLs that need the TDR, one
 * of them for itself alone, must not meet.  KVM has to keep them apart, by the locks of
 * all vCPUs and of the VM.  Where it did not, one failed, and the VM was dead.
 *
 * Linux 6.19: "KVM: TDX: Guard VM state transitions with "all" the locks"
 * (15945e9ec195), "KVM: TDX: Take MMU lock around tdh_vp_init()" (9a89894f30d5); Linux
 * 7.0: "KVM: guest_memfd: GUP source pages prior to populating guest memory"
 * (2a62345b3052).
 *
 * Mutants: vcpu_locks_missed, populate_faults.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <linux/userfaultfd.h>

#include "gmem.h"
#include "suite.h"
#include "td_race.h"

#define PAGE_BYTES	4096ull
#define SOURCE_BYTES	(TD_WORLD_PAGES * PAGE_BYTES)
#define FLIPS		300
#define MAX_NENT	256u	/* KVM_MAX_CPUID_ENTRIES */

FIXTURE(td_race_setup) {
	struct guest *other;	/* a VM whose guest_memfd is the source */
	struct pollfd faults;	/* a userfaultfd */
	char *page;
};

FIXTURE_VARIANT(td_race_setup) {};
FIXTURE_VARIANT_ADD(td_race_setup, tdx) {};

FIXTURE_SETUP(td_race_setup)
{
	self->faults.fd = -1;
	REQUIRE(need_join(guest_why_not(GUEST_TDX), race_why_not(), NEED_END));
}

FIXTURE_TEARDOWN(td_race_setup)
{
	guest_destroy(self->other);
	if (self->faults.fd >= 0)
		close(self->faults.fd);
}

/* Two threads, one TD in the making. */
#define RACE(name, a, b, outcomes)						\
TEST_F(td_race_setup, name)							\
{										\
	EXPECT_TD_RACE(.stage = TD_BUILT, .roles = { a, b }, .allowed = outcomes); \
}

/*
 * vCPUs and the first memory: MR.EXTEND needs the TDR for itself
 */

/* Claims: B12, R01 */
RACE(lets_memory_be_measured_while_a_vcpu_is_created, "measure_memory", "create_vcpu", "0 0")
/* Claims: B12, R01 */
RACE(lets_memory_be_measured_while_a_vcpu_is_initialised, "measure_memory", "init_vcpu", "0 0")
/* Claims: B12, B17, R01 */
RACE(lets_memory_be_measured_while_a_vcpu_is_plugged_in, "measure_memory", "add_vcpu", "0 0")
/* Claims: B17 */
RACE(lets_memory_be_added_while_a_vcpu_is_plugged_in, "init_memory", "add_vcpu", "0 0")
RACE(lets_memory_be_added_by_two, "init_memory", "init_memory", "0 0")
RACE(lets_memory_be_measured_by_two, "measure_memory", "measure_memory", "0 0")
RACE(lets_memory_be_added_while_it_is_punched, "init_memory", "punch", "0 0")
RACE(lets_memory_be_measured_while_it_is_punched, "measure_memory", "punch", "0 0")
RACE(lets_memory_be_added_while_its_slot_goes, "init_memory", "slot_delete", "0 0, EINVAL 0")
RACE(lets_memory_be_added_while_its_file_is_closed, "init_memory", "close_gmem", "0 0, EFAULT 0")
RACE(lets_memory_be_added_while_it_becomes_shared, "init_memory", "to_shared", "0 0, EINVAL 0")

/*
 * vCPUs among themselves, and beside what removes pages: VP.INIT may need the TDR for
 * itself
 */

/* Claims: B14, R02 */
RACE(initialises_a_vcpu_once, "init_vcpu", "init_vcpu", "0 EINVAL, EINVAL 0")
/* Claims: B14, R02 */
RACE(initialises_two_vcpus, "init_vcpu", "init_vcpu_0", "0 0")
RACE(creates_a_vcpu_while_another_is_initialised, "create_vcpu", "init_vcpu_0", "0 0")
/* Claims: B15, R03 */
RACE(initialises_a_vcpu_while_memory_is_punched, "init_vcpu", "punch", "0 0")
/* Claims: B15, B17, R03 */
RACE(plugs_in_a_vcpu_while_memory_is_punched, "add_vcpu", "punch", "0 0")
/* Claims: B15 */
RACE(initialises_a_vcpu_while_the_slot_goes, "init_vcpu", "slot_delete", "0 0")
/* Claims: B15 */
RACE(initialises_a_vcpu_while_the_file_is_closed, "init_vcpu", "close_gmem", "0 0")
RACE(initialises_a_vcpu_while_memory_becomes_shared, "init_vcpu", "to_shared", "0 0")

/*
 * What only a vCPU's own lock keeps apart: it must not be in use on two CPUs
 */

/* Claims: B12, B17 */
RACE(lets_memory_be_measured_while_the_vcpu_is_asked, "measure_memory", "get_cpuid", "0 0")
/* Claims: B17 */
RACE(initialises_a_vcpu_while_it_is_asked, "init_vcpu_0", "get_cpuid", "0 0")
/* Claims: B16 */
RACE(is_sealed_while_a_vcpu_is_asked, "finalize", "get_cpuid", "0 0, 0 EINVAL")

/*
 * The end of it
 */

/* Claims: B16, B17, R04 */
RACE(is_sealed_while_a_vcpu_is_created, "finalize", "create_vcpu", "0 0, 0 EIO")
/* Claims: B16, R04 */
RACE(is_sealed_while_a_vcpu_is_initialised, "finalize", "init_vcpu", "0 0, 0 EINVAL")
/* Claims: B16, B17, R04 */
RACE(is_sealed_while_a_vcpu_is_plugged_in, "finalize", "add_vcpu", "0 0, 0 EIO, 0 EINVAL")
/* Claims: B41, R05 */
RACE(is_sealed_while_memory_is_added, "finalize", "init_memory", "0 0, 0 EINVAL")
/* Claims: B41, R05 */
RACE(is_sealed_while_memory_is_measured, "finalize", "measure_memory", "0 0, 0 EINVAL")
/* Claims: B41, R06 */
RACE(is_sealed_while_memory_is_prefaulted, "finalize", "prefault", "0 0, 0 EOPNOTSUPP")
/* A removal that began before it must not end after it; both need the TDR for themselves. */
RACE(is_sealed_while_memory_is_punched, "finalize", "punch", "0 0, EBUSY 0")
RACE(is_sealed_once, "finalize", "finalize", "0 EINVAL, EINVAL 0")
RACE(is_sealed_while_a_vcpu_is_run, "finalize", "run", "0 0, 0 EINVAL")

/*
 * Its beginning
 */

TEST_F(td_race_setup, begins_once)
{
	EXPECT_TD_RACE(.stage = TD_OPENED, .roles = { "init_vm", "init_vm" },
		       .allowed = "0 EINVAL, EINVAL 0");
}

TEST_F(td_race_setup, has_no_vcpu_before_it_begins)
{
	EXPECT_TD_RACE(.stage = TD_OPENED, .roles = { "init_vm", "create_vcpu" },
		       .allowed = "0 0, 0 EIO");
}

/* Change how many CPUID entries there are while KVM reads them; as it was in the end. */
static int flip_nent(void *world, unsigned int me __maybe_unused)
{
	struct td_world *w = world;
	volatile __u32 *nent = &w->init->cpuid.nent;
	const __u32 was = *nent, others[] = { was - 1, MAX_NENT + 1, was, 0, ~0u };
	unsigned int i;

	for (i = 0; i < FLIPS; i++)
		*nent = others[i % ARRAY_SIZE(others)];
	*nent = was;
	return 0;
}

/* Claims: B35 */
TEST_F(td_race_setup, reads_the_number_of_cpuid_entries_once)
{
	static const struct td_role flipper = {
		.race = { .name = "flip_nent", .act = flip_nent },
		.alone = { [TD_OPENED] = "0" },
	};

	EXPECT_TD_RACE(.stage = TD_OPENED, .roles = { "init_vm" }, .own = { [1] = &flipper },
		       .allowed = "0 0, EINVAL 0, E2BIG 0");
}

/* The number that the next descriptor will have. */
static int guess_fd(void *world, unsigned int me __maybe_unused)
{
	struct td_world *w = world;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	*(int *)w->own = fd;
	return fd < 0 ? -errno : 0;
}

/* Initialise a vCPU as soon as it has a descriptor, before its maker knows. */
static int init_early(void *world, unsigned int me __maybe_unused)
{
	struct td_world *w = world;
	unsigned int i;
	int rc = -EBADF;

	for (i = 0; i < FLIPS && rc == -EBADF; i++)
		rc = td_cmd(*(int *)w->own, KVM_TDX_INIT_VCPU, 0, NULL, NULL);
	return rc;
}

/* Claims: B17 */
TEST_F(td_race_setup, knows_of_no_vcpu_that_is_not_online)
{
	static const struct td_role early = {
		.race = { .name = "init_early", .prepare = guess_fd, .act = init_early },
		.alone = { [TD_BUILT] = "EBADF" },
	};
	int fd;

	/* It has no CPUID yet, hence no x2APIC. */
	EXPECT_TD_RACE(.stage = TD_BUILT, .roles = { "create_vcpu" }, .own = { [1] = &early },
		       .allowed = "0 EINVAL, 0 EBADF", .world = &fd);
}

/*
 * Where the first memory comes from
 */

static int is_source_new(struct td_world *w)
{
	return mmap(w->source, SOURCE_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -errno : 0;
}

/* As munmap(2), but that nothing else can come to be there. */
static int unmap_source(void *world, unsigned int me __maybe_unused)
{
	struct td_world *w = world;

	return mmap(w->source, SOURCE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		    -1, 0) == MAP_FAILED ? -errno : 0;
}

/* Claims: B25, R19 */
TEST_F(td_race_setup, comes_from_memory_that_is_unmapped)
{
	static const struct td_role unmap = {
		.race = { .name = "unmap_source", .act = unmap_source },
		.alone = { [TD_BUILT] = "0" },
	};

	EXPECT_TD_RACE(.stage = TD_BUILT, .roles = { "init_memory" }, .own = { [1] = &unmap },
		       .allowed = "0 0, EFAULT 0", .before = is_source_new);
}

static int is_source_missing(struct td_world *w)
{
	FIXTURE_DATA(td_race_setup) *self = w->own;
	struct uffdio_register area = {
		.range = { .start = (__u64)w->source, .len = SOURCE_BYTES },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int rc = is_source_new(w);

	return rc ?: ioctl(self->faults.fd, UFFDIO_REGISTER, &area) ? -errno : 0;
}

/* While somebody waits for the first page of the source, do what must not wait for him. */
static int punch_and_feed(void *world, unsigned int me __maybe_unused)
{
	struct td_world *w = world;
	FIXTURE_DATA(td_race_setup) *self = w->own;
	struct uffdio_copy copy = {
		.dst = (__u64)w->source,
		.src = (__u64)self->page,
		.len = PAGE_BYTES,
	};
	struct uffdio_range all = { .start = (__u64)w->source, .len = SOURCE_BYTES };
	struct uffd_msg msg;
	int rc = 0;

	if (poll(&self->faults, 1, 10000) != 1)
		return -ETIME;
	if (read(self->faults.fd, &msg, sizeof(msg)) != sizeof(msg))
		return -errno;
	rc = gmem_punch(w->gmem[0], 0, TD_WORLD_PAGES) ?: gmem_allocate(w->gmem[0], 0, TD_WORLD_PAGES);
	if (ioctl(self->faults.fd, UFFDIO_COPY, &copy))
		rc = rc ?: -errno;
	/* The others are faulted in as usual. */
	if (ioctl(self->faults.fd, UFFDIO_UNREGISTER, &all))
		rc = rc ?: -errno;
	return rc;
}

/* Claims: B24, B25, R19 */
TEST_F(td_race_setup, comes_from_memory_that_is_waited_for)
{
	static const struct td_role feed = {
		.race = { .name = "punch_and_feed", .act = punch_and_feed },
		.alone = { [TD_BUILT] = "0" },
	};
	struct uffdio_api api = { .api = UFFD_API };

	self->faults.fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	self->faults.events = POLLIN;
	if (self->faults.fd < 0)
		SKIP(return, "userfaultfd(2): %s: build the kernel with CONFIG_USERFAULTFD=y",
		     strerror(errno));
	ASSERT_SYS(ioctl(self->faults.fd, UFFDIO_API, &api));
	self->page = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	ASSERT_NE(NULL, self->page);
	memset(self->page, 0x5e, PAGE_BYTES);

	EXPECT_TD_RACE(.stage = TD_BUILT, .roles = { "init_memory" }, .own = { [1] = &feed },
		       .allowed = "0 0", .world = self, .before = is_source_missing);
	free(self->page);
}

/* The source of this TD's memory is the guest_memfd of another VM. */
static int is_source_of_other(struct td_world *w)
{
	FIXTURE_DATA(td_race_setup) *self = w->own;

	return mmap(w->source, SOURCE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		    guest_gmem(self->other), 0) == MAP_FAILED ? -errno : 0;
}

static int punch_source(void *world, unsigned int me __maybe_unused)
{
	struct td_world *w = world;
	FIXTURE_DATA(td_race_setup) *self = w->own;

	return gmem_punch(guest_gmem(self->other), 0, TD_WORLD_PAGES);
}

/* Claims: B25, R19 */
TEST_F(td_race_setup, comes_from_another_guest_memfd_that_is_punched)
{
	static const struct td_role punch = {
		.race = { .name = "punch_source", .act = punch_source },
		.alone = { [TD_BUILT] = "0" },
	};

	REQUIRE(guest_why_not(GUEST_DEFAULT));
	ASSERT_OK(guest_create_unbound(&self->other, GUEST_DEFAULT, TD_WORLD_PAGES));
	EXPECT_TD_RACE(.stage = TD_BUILT, .roles = { "init_memory" }, .own = { [1] = &punch },
		       .allowed = "0 0", .world = self, .before = is_source_of_other);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 120, .serial = true)
