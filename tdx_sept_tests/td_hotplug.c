// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUs that go away under a TD: the vCPU that ran there last runs elsewhere, and the
 * TD's end gives back its keyid and memory, wherever its vCPUs have been.
 *
 * The TDX module keeps a vCPU associated with the CPU that it ran on until it is
 * flushed there; a CPU that goes has to flush its vCPUs first, or nobody can.
 *
 * arch/x86/kvm/vmx/tdx.c tdx_disable_virtualization_cpu(), tdx_flush_vp().
 *
 * Claims: B33, B08
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "cpu.h"
#include "gmem.h"
#include "hotplug.h"
#include "suite.h"
#include "td.h"

#define NR_PAGES	16ull
#define DATA		0x4071000000000000ull
#define ROUNDS		3
#define MAX_CPUS	4096
#define NR_CPUS		4u		/* of a large host: each takes a while */

FIXTURE(td_hotplug) {
	struct guest *g;
	unsigned int cpus[NR_CPUS], nr;	/* some that can go */
	struct census *before;
	struct meter at_start;
};

FIXTURE_VARIANT(td_hotplug) {
	struct td_plan plan;
};

FIXTURE_VARIANT_ADD(td_hotplug, tdx) { .plan.nr_vcpus = 2 };

/* From the first to the last that may be run on, so that packages take part. */
static unsigned int pick_cpus(unsigned int *cpus)
{
	static unsigned int all[MAX_CPUS];
	const unsigned int nr_all = hotplug_cpus(all, MAX_CPUS);
	unsigned int i, nr = 0, picked;

	for (i = 0; i < nr_all; i++)
		if (!cpu_run_on(all[i]))
			all[nr++] = all[i];
	cpu_run_on(CPU_ANY);
	picked = nr < NR_CPUS ? nr : NR_CPUS;
	for (i = 0; i < picked; i++)
		cpus[i] = all[picked > 1 ? i * (nr - 1) / (picked - 1) : 0];
	return picked;
}

FIXTURE_SETUP(td_hotplug)
{
	REQUIRE(need_join(guest_why_not(GUEST_TDX), hotplug_why_not(),
			  meter_why_not(METER_HKIDS), NEED_END));
	self->nr = pick_cpus(self->cpus);
	REQUIRE(self->nr ? NULL : "of the CPUs that this process may run on none can go offline");
	ASSERT_OK(meter_read(&self->at_start));
}

FIXTURE_TEARDOWN(td_hotplug)
{
	hotplug_restore();
	census_free(self->before);
	guest_destroy(self->g);
}

static int run_both(struct guest *g)
{
	return td_pages(guest_td(g), 0, TD_OP_NONE, 0, 0, 0, 0) ?:
	       td_pages(guest_td(g), 1, TD_OP_NONE, 0, 0, 0, 0);
}

/* A TD that has run on @cpu. */
static int make(struct guest **out, const struct td_plan *plan, int cpu)
{
	return cpu_run_on(cpu) ?: guest_create_td(out, plan, NR_PAGES) ?:
	       guest_touch(*out, 0, NR_PAGES, DATA) ?: run_both(*out) ?: cpu_run_on(CPU_ANY);
}

#define EXPECT_GOOD_END() do {						\
	ASSERT_OK(census_take(&self->before, guest_gmem(self->g), 0, NR_PAGES)); \
	guest_destroy(self->g);						\
	self->g = NULL;							\
	EXPECT_BACK(&self->at_start, METER_HKIDS, 0);			\
	EXPECT_FREED(self->before, 0, NR_PAGES);			\
	census_free(self->before);					\
	self->before = NULL;						\
} while (0)

TEST_F(td_hotplug, of_the_cpu_it_ran_on_does_not_hinder_its_end)
{
	unsigned int i;

	for (i = 0; i < self->nr; i++) {
		ASSERT_OK(make(&self->g, &variant->plan, self->cpus[i]));
		ASSERT_OK(hotplug_set(self->cpus[i], false));
		EXPECT_GOOD_END();
		ASSERT_OK(hotplug_set(self->cpus[i], true));
	}
}

TEST_F(td_hotplug, of_the_cpu_it_ran_on_lets_it_run_elsewhere)
{
	unsigned int i;

	for (i = 0; i < self->nr; i++) {
		ASSERT_OK(make(&self->g, &variant->plan, self->cpus[i]));
		ASSERT_OK(hotplug_set(self->cpus[i], false));
		EXPECT_OK(run_both(self->g));
		EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, DATA));
		/* And back, once the CPU is. */
		ASSERT_OK(hotplug_set(self->cpus[i], true));
		ASSERT_OK(cpu_run_on(self->cpus[i]));
		EXPECT_OK(run_both(self->g));
		EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, DATA));
		EXPECT_HELD(guest_gmem(self->g), 0, NR_PAGES, 0, 0);
		ASSERT_OK(cpu_run_on(CPU_ANY));
		EXPECT_GOOD_END();
	}
}

TEST_F(td_hotplug, does_not_hinder_a_punch)
{
	ASSERT_OK(make(&self->g, &variant->plan, self->cpus[0]));
	ASSERT_OK(census_take(&self->before, guest_gmem(self->g), 0, NR_PAGES));
	ASSERT_OK(hotplug_set(self->cpus[0], false));
	ASSERT_OK(gmem_punch(guest_gmem(self->g), 0, NR_PAGES / 2));
	EXPECT_FREED(self->before, 0, NR_PAGES / 2);
	census_free(self->before);
	self->before = NULL;
	EXPECT_OK(guest_verify_zero(self->g, 0, NR_PAGES / 2));
	EXPECT_OK(guest_verify(self->g, NR_PAGES / 2, NR_PAGES / 2, DATA));
	EXPECT_GOOD_END();
}

TEST_F(td_hotplug, between_the_steps_of_its_making_is_nothing_to_it)
{
	const int cpu = self->cpus[0];
	struct td *td;

	ASSERT_OK(cpu_run_on(cpu));
	ASSERT_OK(td_open(&td));
	ASSERT_OK(td_init(td, &variant->plan));
	ASSERT_OK(td_add_vcpu(td));
	ASSERT_OK(cpu_run_on(CPU_ANY));
	ASSERT_OK(hotplug_set(cpu, false));
	ASSERT_OK(td_init_vcpu(td, 0, 0));
	ASSERT_OK(hotplug_set(cpu, true));
	ASSERT_OK(cpu_run_on(cpu));
	ASSERT_OK(td_add_payload(td));
	ASSERT_OK(td_load_payload(td, true));
	ASSERT_OK(cpu_run_on(CPU_ANY));
	ASSERT_OK(hotplug_set(cpu, false));
	ASSERT_OK(td_finalize(td));
	EXPECT_OK(td_pages(td, 0, TD_OP_NONE, 0, 0, 0, 0));
	td_close(td);
	EXPECT_BACK(&self->at_start, METER_HKIDS, 0);
	ASSERT_OK(hotplug_set(cpu, true));
}

/* One CPU of each package has to stay for as long as there are TDs. */
TEST_F(td_hotplug, leaves_one_cpu_of_the_package)
{
	static unsigned int cpus[MAX_CPUS];
	const unsigned int nr = hotplug_package(cpus, MAX_CPUS);
	unsigned int i;

	if (!nr)
		SKIP(return, "one package: its CPU 0 cannot go, so another has to have CPUs, too");
	supervise_expect_kmsg("package offline");
	ASSERT_OK(make(&self->g, &variant->plan, cpus[nr - 1]));
	for (i = 0; i < nr - 1; i++)
		ASSERT_OK(hotplug_set(cpus[i], false));
	EXPECT_ERR(EBUSY, hotplug_set(cpus[nr - 1], false));
	EXPECT_OK(run_both(self->g));
	EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, DATA));
	EXPECT_GOOD_END();
}

/* A vCPU that runs on one CPU whenever that is there. */
struct runner {
	struct guest *g;
	int cpu;
	atomic_bool stop;
	atomic_int err;
	atomic_uint nr_there, nr_elsewhere;
};

static void *run_on(void *arg)
{
	struct runner *r = arg;

	while (!r->err && !r->stop) {
		/* A CPU that goes takes its tasks elsewhere, whatever they have asked for. */
		const bool there = !cpu_run_on(r->cpu);

		r->err = td_pages(guest_td(r->g), 1, TD_OP_WRITE, GUEST_GPA, NR_PAGES, DATA, 0);
		if (there)
			r->nr_there++;
		else
			r->nr_elsewhere++;
	}
	return NULL;
}

/* It has run twice: the first one may have begun before. */
static void wait_for(struct runner *r, atomic_uint *nr)
{
	const unsigned int was = *nr;

	while (!r->err && *nr - was < 2)
		sched_yield();
}

TEST_F(td_hotplug, of_a_cpu_while_the_td_runs_on_it_moves_it)
{
	struct runner r = { .cpu = self->cpus[0] };
	pthread_t thread;
	unsigned int i;
	int rc;

	ASSERT_OK(make(&self->g, &variant->plan, self->cpus[0]));
	r.g = self->g;
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_on, &r));
	for (i = 0; i < ROUNDS; i++) {
		wait_for(&r, &r.nr_there);
		rc = hotplug_set(self->cpus[0], false);
		EXPECT_OK(rc);
		if (rc)
			break;
		wait_for(&r, &r.nr_elsewhere);
		EXPECT_OK(hotplug_set(self->cpus[0], true));
	}
	r.stop = true;
	pthread_join(thread, NULL);
	EXPECT_OK(r.err);
	EXPECT_OK(run_both(self->g));
	EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, DATA));
	EXPECT_GOOD_END();
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 300, .serial = true)
