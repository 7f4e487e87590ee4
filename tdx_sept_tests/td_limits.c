// SPDX-License-Identifier: GPL-2.0-only
/*
 * At a limit the next one is refused by the documented errno, and nothing else changes:
 * what there was lives on, and as soon as there is room again the same call succeeds.
 *
 * Keyids, the misc and the memory controller of cgroups, vCPUs.  td_slots.c has memory
 * slots and files.
 *
 * Documentation/admin-guide/cgroup-v2.rst, Documentation/virt/kvm/x86/intel-tdx.rst;
 * arch/x86/kvm/vmx/tdx.c __tdx_td_init(), kernel/cgroup/misc.c.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "cgroup.h"
#include "cpu.h"
#include "emulator.h"
#include "peer.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define MANY		512		/* TDs that come and go in the time that a case has */
#define FDS_BESIDE	64		/* what a process has open besides */
#define NR_NOTED	(1 << 17)	/* so that a batch of charges does not matter */
#define TIMEOUT_MS	20000

FIXTURE(td_limits) {
	struct td **tds;
	unsigned int nr_tds;
	struct td *td;
	struct cgroup *cg;
	struct peer *peer;
	struct meter before;
	cpu_set_t cpus;
};

FIXTURE_VARIANT(td_limits) {
	struct td_plan plan;
};

FIXTURE_VARIANT_ADD(td_limits, tdx) {};

typedef FIXTURE_DATA(td_limits) world;

FIXTURE_SETUP(td_limits)
{
	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(meter_read(&self->before));
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(self->cpus), &self->cpus));
	self->tds = calloc(MANY, sizeof(*self->tds));
	ASSERT_NE(NULL, self->tds);
}

static void close_all(world *w)
{
	while (w->nr_tds)
		td_close(w->tds[--w->nr_tds]);
}

FIXTURE_TEARDOWN(td_limits)
{
	peer_kill(self->peer);
	close_all(self);
	td_close(self->td);
	if (self->cg)
		cgroup_leave(self->cg, 0);
	cgroup_destroy(self->cg);
	free(self->tds);
}

/* From INIT_VM on to a TD that runs. */
static int go_on(struct td *td)
{
	return td_add_vcpu(td) ?: td_init_vcpu(td, 0, 0) ?: td_add_payload(td) ?:
	       td_load_payload(td, false) ?: td_finalize(td) ?:
	       td_pages(td, 0, TD_OP_NONE, 0, 0, 0, 0);
}

static __s64 hkids(void)
{
	struct meter m;

	return meter_read(&m) ? -1 : m.value[METER_HKIDS];
}

/* NULL, or why this process cannot have so many descriptors. */
static const char *make_room_for(__u64 nr)
{
	static char why[120];
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return "the limit of open files cannot be told";
	limit.rlim_cur = limit.rlim_max;
	if (!setrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur >= nr + FDS_BESIDE)
		return NULL;
	snprintf(why, sizeof(why), "a process may have %llu files open, and %llu are needed: ulimit -Hn",
		 (unsigned long long)limit.rlim_max, nr + FDS_BESIDE);
	return why;
}

/*
 * Keyids
 */

TEST_F(td_limits, of_keyids_is_told_and_passes)
{
	struct td *first, *refused;
	__u64 capacity;
	__s64 last = 0;
	int rc;

	REQUIRE(meter_why_not(METER_HKIDS));
	ASSERT_OK(cgroup_misc_capacity("tdx", &capacity));
	if (capacity >= MANY)
		SKIP(return, "%llu TDs take longer than a case may", capacity);
	REQUIRE(make_room_for(2 * capacity));
	ASSERT_OK(td_create(&self->td, &variant->plan));
	for (rc = 0; !rc && self->nr_tds < MANY;) {
		ASSERT_OK(td_open(&self->tds[self->nr_tds]));
		rc = td_init(self->tds[self->nr_tds++], &variant->plan);
	}
	EXPECT_ERR(ENOSPC, rc);
	/* The TD beside them has one, and the last got none. */
	EXPECT_EQ(capacity, self->nr_tds + self->before.value[METER_HKIDS]);
	last = hkids();
	EXPECT_EQ(capacity, last);

	/* Again, and of another VM. */
	refused = self->tds[self->nr_tds - 1];
	EXPECT_ERR(ENOSPC, td_init(refused, &variant->plan));
	EXPECT_EQ(last, hkids());
	EXPECT_OK(td_pages(self->td, 0, TD_OP_NONE, 0, 0, 0, 0));

	/* One goes, one comes: the one that was refused. */
	first = self->tds[0];
	self->tds[0] = refused;
	self->nr_tds--;
	td_close(first);
	EXPECT_EQ(last - 1, hkids());
	EXPECT_OK(td_init(refused, &variant->plan));
	EXPECT_EQ(last, hkids());
	EXPECT_OK(go_on(refused));
	EXPECT_OK(td_pages(self->td, 0, TD_OP_NONE, 0, 0, 0, 0));

	close_all(self);
	EXPECT_EQ(self->before.value[METER_HKIDS] + 1, hkids());
	EXPECT_OK(td_pages(self->td, 0, TD_OP_NONE, 0, 0, 0, 0));
	td_close(self->td);
	self->td = NULL;
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

/*
 * The misc controller
 */

static int make_group(world *w, __u64 max)
{
	return cgroup_create(&w->cg) ?: cgroup_misc_limit(w->cg, "tdx", max) ?:
	       cgroup_enter(w->cg, 0);
}

static __s64 usage(const world *w)
{
	__u64 nr;
	int rc = cgroup_misc_usage(w->cg, "tdx", &nr);

	/* Below zero is what B05 makes of it, so this is far below. */
	return rc ? -1000 + rc : (__s64)nr;
}

/*
 * One TD is what the group may have, and it has it.
 *
 * A host that has B05 could make no TD after this or the next case until it is booted
 * again: the count of its root group is below zero, which is more than any limit.
 *
 * Claims: B05
 */
TEST_F(td_limits, of_a_misc_group_holds_however_often_one_asks)
{
	unsigned int i;

	REQUIRE(need_join(emulator_why_not(), cgroup_misc_why_not("tdx"), NEED_END));
	ASSERT_OK(make_group(self, 1));
	ASSERT_OK(td_create(&self->td, &variant->plan));
	ASSERT_EQ(1, usage(self));
	/* The limit holds, however often one asks; and no attempt changes what is used. */
	for (i = 0; i < 3; i++) {
		ASSERT_OK(td_open(&self->tds[self->nr_tds++]));
		EXPECT_ERR(EBUSY, td_init(self->tds[i], &variant->plan));
		EXPECT_EQ(1, usage(self));
		EXPECT_EQ(self->before.value[METER_HKIDS] + 1, hkids());
	}
	EXPECT_OK(td_pages(self->td, 0, TD_OP_NONE, 0, 0, 0, 0));
}

/*
 * None is what it may have.
 *
 * Claims: B05
 */
TEST_F(td_limits, of_a_misc_group_may_be_none_at_all)
{
	REQUIRE(need_join(emulator_why_not(), cgroup_misc_why_not("tdx"), NEED_END));
	ASSERT_OK(make_group(self, 0));
	ASSERT_OK(td_open(&self->td));
	EXPECT_ERR(EBUSY, td_init(self->td, &variant->plan));
	EXPECT_EQ(0, usage(self));
	EXPECT_EQ(self->before.value[METER_HKIDS], hkids());
	ASSERT_OK(cgroup_misc_limit(self->cg, "tdx", 1));
	EXPECT_OK(td_init(self->td, &variant->plan));
	EXPECT_EQ(1, usage(self));
	EXPECT_OK(go_on(self->td));
}

/* A TD stays where it was charged, wherever its owner goes. */
TEST_F(td_limits, of_a_misc_group_is_paid_back_to_that_group)
{
	REQUIRE(cgroup_misc_why_not("tdx"));
	ASSERT_OK(make_group(self, 2));
	ASSERT_OK(td_create(&self->td, &variant->plan));
	EXPECT_EQ(1, usage(self));
	ASSERT_OK(cgroup_leave(self->cg, 0));
	ASSERT_OK(td_open(&self->tds[self->nr_tds++]));
	ASSERT_OK(td_init(self->tds[0], &variant->plan));
	EXPECT_EQ(1, usage(self));
	td_close(self->td);
	self->td = NULL;
	EXPECT_EQ(0, usage(self));
	EXPECT_EQ(self->before.value[METER_HKIDS] + 1, hkids());
	close_all(self);
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

/*
 * The memory controller
 */

#define NR_CHARGED	24u
#define NR_CHARGED_LEAST 4u
#define BATCH_BYTES	(64 * PAGE_BYTES)	/* what a CPU keeps of charges */

/* From here on a group of its own pays, in batches of one CPU. */
static int charge_a_group(world *w, __u64 *usage)
{
	return cpu_run_on(sched_getcpu()) ?: cgroup_create(&w->cg) ?: cgroup_enter(w->cg, 0) ?:
	       cgroup_usage(w->cg, usage);
}

/* Without what its CPU keeps of charges, which comes and goes by the batch. */
static int used(const world *w, __u64 *usage)
{
	return cgroup_drain(w->cg) ?: cgroup_usage(w->cg, usage);
}

/*
 * What the TDX module needs of a TD is the TD's: at least a TDR and a TDCS with
 * KVM_TDX_INIT_VM, a TDVPR and another page with KVM_TDX_INIT_VCPU.
 *
 * Claims: B04
 */
TEST_F(td_limits, of_memory_count_the_pages_of_the_tdx_module)
{
	__u64 empty, opened, inited, created, ready;
	struct finding f;
	unsigned int i, nr;

	REQUIRE(need_join(cgroup_why_not(), cgroup_misc_too_few("tdx", NR_CHARGED_LEAST), NEED_END));
	ASSERT_OK(charge_a_group(self, &empty));
	for (nr = 0; nr < NR_CHARGED; nr++)
		ASSERT_OK(td_open(&self->tds[self->nr_tds++]));
	ASSERT_OK(used(self, &opened));
	for (i = 0; i < nr; i++)
		if (td_init(self->tds[i], &variant->plan))
			break;
	/* As many as there are keyids for. */
	nr = i;
	ASSERT_LE(NR_CHARGED_LEAST, nr);
	ASSERT_OK(used(self, &inited));
	for (i = 0; i < nr; i++)
		ASSERT_OK(td_add_vcpu(self->tds[i]));
	ASSERT_OK(used(self, &created));
	for (i = 0; i < nr; i++)
		ASSERT_OK(td_init_vcpu(self->tds[i], 0, 0));
	ASSERT_OK(used(self, &ready));

	TH_LOG("of %u TDs KVM_TDX_INIT_VM charges %llu bytes, KVM_TDX_INIT_VCPU %llu", nr,
	       inited - opened, ready - created);
	EXPECT_LE(opened + 2 * nr * PAGE_BYTES, inited);
	EXPECT_LE(created + 2 * nr * PAGE_BYTES, ready);

	close_all(self);
	suite_check(_metadata, __FILE__, __LINE__, "memory back",
		    cgroup_check_back(self->cg, empty, 2 * BATCH_BYTES, &f), &f);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(self->cpus), &self->cpus));
}

/*
 * What is private is noted in an xarray, with 64 pages to a node of more than 512 bytes.
 *
 * Claims: B06
 */
TEST_F(td_limits, of_memory_count_the_notes_of_what_is_private)
{
	__u64 before, noted;
	struct finding f;

	REQUIRE(cgroup_why_not());
	ASSERT_OK(td_open(&self->td));
	ASSERT_OK(charge_a_group(self, &before));
	ASSERT_OK(td_set_private(self->td, 0, NR_NOTED, true));
	ASSERT_OK(cgroup_usage(self->cg, &noted));
	EXPECT_LE(before + NR_NOTED / 64 * 512, noted + BATCH_BYTES);

	ASSERT_OK(td_set_private(self->td, 0, NR_NOTED, false));
	suite_check(_metadata, __FILE__, __LINE__, "memory back",
		    cgroup_check_back(self->cg, before, 2 * BATCH_BYTES, &f), &f);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(self->cpus), &self->cpus));
}

static int step_init(struct td *td)
{
	return td_init(td, &(struct td_plan){});
}

static int step_init_vcpu(struct td *td)
{
	return td_init_vcpu(td, 0, 0);
}

static int step_load(struct td *td)
{
	return td_load_payload(td, false);
}

static int step_run(struct td *td)
{
	return td_pages(td, 0, TD_OP_NONE, 0, 0, 0, 0);
}

static int (*const life[])(struct td *td) = {
	step_init, td_add_vcpu, step_init_vcpu, td_add_payload, step_load, td_finalize, step_run,
};

/* Take each step when told to.  At its limit a process of version 2 is killed. */
static int live_step_by_step(struct peer *me, void *arg)
{
	struct td *td = NULL;
	unsigned int i;
	int err;

	(void)arg;
	err = td_open(&td) ?: peer_tell(me, 0);
	for (i = 0; i < ARRAY_SIZE(life) && !err; i++) {
		err = peer_hear(me, NULL, TIMEOUT_MS);
		if (!err)
			err = life[i](td);
		peer_tell(me, -err);
	}
	td_close(td);
	return err;
}

/*
 * The limit is what is used already, and the one CPU of the process keeps no charges.
 * The step then fails by ENOMEM, or its process is killed; or it takes nothing that would
 * be charged.
 */
TEST_F(td_limits, of_memory_hit_in_each_step_leave_nothing_behind)
{
	unsigned int last, i, hits = 0;
	__u64 base, said;
	int err;

	REQUIRE(cgroup_why_not());
	ASSERT_OK(cpu_run_on(sched_getcpu()));
	for (last = 0; last < ARRAY_SIZE(life); last++) {
		ASSERT_OK(cgroup_create(&self->cg));
		ASSERT_OK(peer_start(&self->peer, live_step_by_step, NULL));
		ASSERT_OK(cgroup_enter(self->cg, peer_pid(self->peer)));
		ASSERT_OK(peer_hear(self->peer, NULL, TIMEOUT_MS));
		for (i = 0; i < last; i++) {
			ASSERT_OK(peer_tell(self->peer, 0));
			ASSERT_OK(peer_hear(self->peer, &said, TIMEOUT_MS));
			ASSERT_EQ(0, said);
		}
		ASSERT_OK(cgroup_drain(self->cg));
		ASSERT_OK(cgroup_usage(self->cg, &base));
		ASSERT_OK(cgroup_limit(self->cg, base));
		cgroup_spare(self->cg);
		ASSERT_OK(peer_tell(self->peer, 0));
		err = peer_hear(self->peer, &said, TIMEOUT_MS);
		if (!err && said) {
			EXPECT_EQ(ENOMEM, said);
		} else if (err) {
			EXPECT_ERR(EPIPE, err);
		}
		hits += err || said;
		peer_kill(self->peer);
		self->peer = NULL;
		EXPECT_OK(cgroup_destroy(self->cg));
		self->cg = NULL;
		EXPECT_BACK(&self->before, METER_HKIDS, 0);
	}
	TH_LOG("%u of %zu steps hit the limit", hits, ARRAY_SIZE(life));
	/* To add a vCPU takes pages of the group on any kernel; so does memory. */
	EXPECT_LT(0, hits);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(self->cpus), &self->cpus));
	ASSERT_OK(td_create(&self->td, &variant->plan));
	EXPECT_OK(step_run(self->td));
}

/*
 * vCPUs
 */

/* As td_add_vcpu() does it, but as often as there can be vCPUs. */
static int make_vcpu(struct td *td, unsigned int id)
{
	int fd = ioctl(td_vm(td), KVM_CREATE_VCPU, id), rc;
	struct kvm_cpuid2 *cpuid;

	if (fd < 0)
		return -errno;
	rc = td_vcpu_cpuid(td, &cpuid);
	if (!rc) {
		rc = RC(ioctl(fd, KVM_SET_CPUID2, cpuid)) ?:
		     td_cmd(fd, KVM_TDX_INIT_VCPU, 0, NULL, NULL);
		free(cpuid);
	}
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

static int max_vcpus(struct td *td)
{
	return ioctl(td_vm(td), KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
}

TEST_F(td_limits, of_vcpus_are_as_many_as_there_are_processors)
{
	int max, i, *fds;

	ASSERT_OK(td_open(&self->td));
	max = max_vcpus(self->td);
	ASSERT_LE(1, max);
	EXPECT_GE(sysconf(_SC_NPROCESSORS_CONF), max);
	REQUIRE(make_room_for(max));
	fds = calloc(max, sizeof(*fds));
	ASSERT_NE(NULL, fds);
	ASSERT_OK(td_init(self->td, &variant->plan));
	EXPECT_EQ(max, max_vcpus(self->td));

	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	for (i = 1; i < max; i++) {
		fds[i] = make_vcpu(self->td, i);
		ASSERT_OK(fds[i]);
	}
	EXPECT_ERR(EINVAL, RC(ioctl(td_vm(self->td), KVM_CREATE_VCPU, max)));
	/* Too many comes before twice. */
	EXPECT_ERR(EINVAL, RC(ioctl(td_vm(self->td), KVM_CREATE_VCPU, 0)));
	ASSERT_OK(td_add_payload(self->td));
	ASSERT_OK(td_load_payload(self->td, false));
	ASSERT_OK(td_finalize(self->td));
	EXPECT_OK(step_run(self->td));
	for (i = 1; i < max; i++)
		close(fds[i]);
	free(fds);
	td_close(self->td);
	self->td = NULL;
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

/*
 * A vCPU that could not be created is on no list of the CPU on which that was tried.
 *
 * Claims: B28
 */
TEST_F(td_limits, of_descriptors_leave_no_vcpu_behind)
{
	struct rlimit old, none;
	unsigned int i;
	int fd;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	none = old;
	none.rlim_cur = 0;
	ASSERT_OK(cpu_run_on(sched_getcpu()));
	ASSERT_OK(td_open(&self->td));
	if (max_vcpus(self->td) < 2)
		SKIP(return, "a TD has one vCPU here: the host has one processor");
	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_OK(td_add_vcpu(self->td));
	for (i = 0; i < 3; i++) {
		EXPECT_ERR(EEXIST, RC(ioctl(td_vm(self->td), KVM_CREATE_VCPU, 0)));
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
		EXPECT_ERR(EMFILE, RC(ioctl(td_vm(self->td), KVM_CREATE_VCPU, 1)));
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	}
	fd = make_vcpu(self->td, 1);
	ASSERT_OK(fd);
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	ASSERT_OK(td_add_payload(self->td));
	ASSERT_OK(td_load_payload(self->td, false));
	ASSERT_OK(td_finalize(self->td));
	EXPECT_OK(step_run(self->td));
	close(fd);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(self->cpus), &self->cpus));
	td_close(self->td);
	self->td = NULL;
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM, .seconds = 120, .serial = true)
