// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a TD that is finalized may lack, and what not.  What it lacks cannot be made up
 * for, and harms nothing else.
 *
 * The TDX module wants a vCPU that is initialized; of memory it wants none.
 *
 * arch/x86/kvm/vmx/tdx.c tdx_td_finalize(), tdx_vcpu_needs_initialization().
 */
#include <sys/ioctl.h>
#include <unistd.h>

#include "suite.h"
#include "td.h"

FIXTURE(td_unfinished) {
	struct td *td;
	struct meter before;
};

FIXTURE_VARIANT(td_unfinished) {
	struct td_plan plan;
};

FIXTURE_VARIANT_ADD(td_unfinished, tdx) {};

FIXTURE_SETUP(td_unfinished)
{
	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(meter_read(&self->before));
	ASSERT_OK(td_open(&self->td));
}

FIXTURE_TEARDOWN(td_unfinished)
{
	td_close(self->td);
}

/* A TD that was finalized too early is refused, not killed, and can be finalized then. */
static void finish_it(struct __test_metadata *_metadata, FIXTURE_DATA(td_unfinished) *self)
{
	EXPECT_OK(td_init_vcpu(self->td, 0, 0));
	EXPECT_OK(td_add_payload(self->td));
	EXPECT_OK(td_load_payload(self->td, true));
	EXPECT_OK(td_finalize(self->td));
	EXPECT_OK(td_pages(self->td, 0, TD_OP_NONE, 0, 0, 0, 0));
	td_close(self->td);
	self->td = NULL;
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

TEST_F(td_unfinished, a_td_without_a_vcpu_is_not_finalized)
{
	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_ERR(EINVAL, td_finalize(self->td));
	ASSERT_OK(td_add_vcpu(self->td));
	finish_it(_metadata, self);
}

TEST_F(td_unfinished, a_td_whose_vcpu_is_not_ready_is_not_finalized)
{
	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_ERR(EINVAL, td_finalize(self->td));
	finish_it(_metadata, self);
}

/* A TD wants x2APIC, and KVM has it from the CPUID of the vCPU. */
TEST_F(td_unfinished, a_vcpu_without_cpuid_is_not_ready)
{
	int fd;

	ASSERT_OK(td_init(self->td, &variant->plan));
	fd = ioctl(td_vm(self->td), KVM_CREATE_VCPU, 1);
	ASSERT_SYS(fd);
	EXPECT_ERR(EINVAL, td_cmd(fd, KVM_TDX_INIT_VCPU, 0, NULL, NULL));
	close(fd);
	ASSERT_OK(td_add_vcpu(self->td));
	finish_it(_metadata, self);
}

TEST_F(td_unfinished, a_td_without_memory_can_be_finalized)
{
	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	EXPECT_OK(td_finalize(self->td));
	EXPECT_ERR(EINVAL, td_init_vcpu(self->td, 0, 0));
	td_close(self->td);
	self->td = NULL;
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

/* A vCPU that missed its turn never gets one, and does no harm to the others. */
TEST_F(td_unfinished, a_vcpu_that_was_never_ready_is_that_it_cannot_run)
{
	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	ASSERT_OK(td_add_payload(self->td));
	ASSERT_OK(td_load_payload(self->td, true));
	ASSERT_OK(td_finalize(self->td));
	EXPECT_ERR(EINVAL, td_init_vcpu(self->td, 1, 0));
	/* Else it waits to be started, as any vCPU but the first does. */
	td_run(self->td, 1)->immediate_exit = 1;
	EXPECT_ERR(EINTR, RC(ioctl(td_vcpu(self->td, 1), KVM_RUN, 0)));
	EXPECT_OK(td_pages(self->td, 0, TD_OP_NONE, 0, 0, 0, 0));
	td_close(self->td);
	self->td = NULL;
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM, .serial = true)
