// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest_memfd that can be mapped backs the shared memory of a TD as well, as its slot has
 * no other (KVM_MEMSLOT_GMEM_ONLY).  What leaves the file leaves the guest, whether it had
 * it as private or as shared memory.
 *
 * virt/kvm/guest_memfd.c kvm_gmem_get_invalidate_filter(), arch/x86/kvm/mmu/tdp_mmu.h
 * kvm_gfn_range_filter_to_root_types().
 *
 * What the guest should have lost it only reads: it may be anybody's by then.
 *
 * Claims: B47
 */
#include <unistd.h>

#include "gmem.h"
#include "poison.h"
#include "suite.h"
#include "td.h"

#define NR_PAGES	8ull
#define BAD		3ull
#define DATA		0x5a4ed00000000000ull
#define SLOT		(GUEST_SLOT + 1)
#define GPA		(GUEST_GPA + (1ull << 30))

FIXTURE(td_mappable) {
	struct guest *g;
	struct td *td;
	int fd;
	struct census *before, *after;
	__u64 bad;		/* a frame that is, or 0 */
};

FIXTURE_VARIANT(td_mappable) {};
FIXTURE_VARIANT_ADD(td_mappable, tdx) {};

static int guest_does(FIXTURE_DATA(td_mappable) *self, enum td_op op, __u64 pattern)
{
	return td_pages(self->td, 0, op, GPA, NR_PAGES, pattern, TD_SHARED);
}

/* A slot over the file; without pages it goes. */
static int set_slot(FIXTURE_DATA(td_mappable) *self, __u64 nr)
{
	return td_set_slot(self->td, SLOT, nr ? KVM_MEM_GUEST_MEMFD : 0, GPA, nr, NULL, self->fd);
}

FIXTURE_SETUP(td_mappable)
{
	self->fd = -1;
	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(guest_create(&self->g, GUEST_TDX, 1));
	self->td = guest_td(self->g);
	REQUIRE(gmem_flags(guest_vm(self->g)) & GUEST_MEMFD_FLAG_MMAP ? NULL :
		"KVM has no guest_memfd for TDs that can be mapped, use Linux 6.18 or later");
	self->fd = gmem_create(guest_vm(self->g), NR_PAGES, GUEST_MEMFD_FLAG_MMAP);
	ASSERT_SYS(self->fd);
	ASSERT_OK(set_slot(self, NR_PAGES));
	ASSERT_OK(guest_does(self, TD_OP_WRITE, DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_EQ(NR_PAGES, census_nr_present(self->before));
}

FIXTURE_TEARDOWN(td_mappable)
{
	census_free(self->before);
	census_free(self->after);
	guest_destroy(self->g);
	close(self->fd);
	if (self->bad) {
		EXPECT_OK(poison_undo(self->bad));
	}
}

TEST_F(td_mappable, shows_its_pages_as_shared_memory)
{
	EXPECT_OK(guest_does(self, TD_OP_VERIFY, DATA));
	EXPECT_HELD(self->fd, 0, NR_PAGES, 0, 0);
}

TEST_F(td_mappable, takes_shared_memory_from_the_guest_by_a_punch)
{
	int rc;

	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	EXPECT_FREED(self->before, 0, NR_PAGES);
	/* Whatever the guest has read, it has made appear in the file. */
	rc = guest_does(self, TD_OP_VERIFY_ZERO, 0);
	ASSERT_OK(census_take(&self->after, self->fd, 0, NR_PAGES));
	EXPECT_EQ(NR_PAGES, census_nr_present(self->after));
	EXPECT_OK(rc);
}

TEST_F(td_mappable, takes_shared_memory_from_the_guest_when_it_is_closed)
{
	close(self->fd);
	self->fd = -1;
	EXPECT_FREED(self->before, 0, NR_PAGES);
	EXPECT_ERR(EFAULT, guest_does(self, TD_OP_VERIFY, DATA));
}

TEST_F(td_mappable, takes_shared_memory_from_the_guest_with_its_slot)
{
	ASSERT_OK(set_slot(self, 0));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_ERR(ENXIO, guest_does(self, TD_OP_VERIFY, DATA));
}

TEST_F(td_mappable, takes_a_bad_page_from_the_guest)
{
	int rc;

	REQUIRE(poison_why_not());
	self->bad = folio_pfn(census_page(self->before, BAD));
	rc = poison_inject(self->bad);
	/* B45 has it as EBUSY. */
	EXPECT_TRUE(!rc || rc == -EBUSY);
	EXPECT_ERR(EFAULT, guest_does(self, TD_OP_VERIFY, DATA));
	EXPECT_EQ(EHWPOISON, td_run_errno(self->td, 0));
}

TEST_F(td_mappable, is_converted_in_its_place)
{
	ASSERT_OK(td_set_private(self->td, GPA, NR_PAGES, true));
	EXPECT_ERR(EFAULT, guest_does(self, TD_OP_VERIFY, DATA));
	ASSERT_OK(td_pages(self->td, 0, TD_OP_WRITE, GPA, NR_PAGES, DATA, 0));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	ASSERT_OK(td_set_private(self->td, GPA, NR_PAGES, false));
	ASSERT_OK(guest_does(self, TD_OP_WRITE, DATA));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT)
