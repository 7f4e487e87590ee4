// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shared memory of a TD is memory of its process: what becomes of it there, the TD sees.
 *
 * It is mapped in page tables that are the TD's alone, beside the S-EPT, by code that asks
 * at each step which of the two is meant (arch/x86/kvm/mmu/tdp_mmu.h,
 * kvm_gfn_range_filter_to_root_types()).
 *
 * Claims: B42, B47
 *
 * Mutants: shared_kept, log_not_rearmed, sept_thrown_away, slot_ends_missed.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "folio_proc.h"
#include "host.h"
#include "room.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	512ull
#define BYTES		(NR_PAGES * PAGE_BYTES)		/* one huge page */
#define PATTERN		0x5a4ed00000000000ull
#define SLOT		20
#define GPA		(GUEST_GPA + (1ull << 30))

FIXTURE(td_shared) {
	struct td *td;
	char *memory;
};

FIXTURE_VARIANT(td_shared) {};
FIXTURE_VARIANT_ADD(td_shared, tdx) {};

typedef FIXTURE_DATA(td_shared) world;

static int set_slot(const world *w, unsigned int flags)
{
	return td_set_slot(w->td, SLOT, flags, GPA, NR_PAGES, w->memory, -1);
}

static int guest_does(const world *w, enum td_op op, __u64 first, __u64 nr, __u64 pattern)
{
	return td_pages(w->td, 0, op, GPA + first * PAGE_BYTES, nr, pattern, TD_SHARED);
}

static __u64 *word(const world *w, __u64 page)
{
	return (__u64 *)(w->memory + page * PAGE_BYTES);
}

FIXTURE_SETUP(td_shared)
{
	const struct td_plan plan = {};

	REQUIRE(guest_why_not(GUEST_TDX));
	self->memory = room_2m(BYTES);
	ASSERT_NE(NULL, self->memory);
	ASSERT_SYS(mprotect(self->memory, BYTES, PROT_READ | PROT_WRITE));
	ASSERT_OK(td_create(&self->td, &plan));
	ASSERT_OK(set_slot(self, 0));
}

FIXTURE_TEARDOWN(td_shared)
{
	td_close(self->td);
	if (self->memory) {
		munmap(self->memory, BYTES);
	}
}

TEST_F(td_shared, is_the_memory_of_the_process)
{
	EXPECT_OK(guest_does(self, TD_OP_WRITE, 1, 2, PATTERN));
	EXPECT_EQ(PATTERN, *word(self, 1));
	*word(self, 7) = PATTERN + 7;
	EXPECT_OK(guest_does(self, TD_OP_VERIFY, 7, 1, PATTERN + 7));

	/* Another page comes in its place. */
	ASSERT_SYS(madvise(self->memory, 8 * PAGE_BYTES, MADV_DONTNEED));
	EXPECT_OK(guest_does(self, TD_OP_VERIFY_ZERO, 0, 8, 0));
	*word(self, 1) = ~PATTERN;
	EXPECT_OK(guest_does(self, TD_OP_VERIFY, 1, 1, ~PATTERN));
}

TEST_F(td_shared, goes_with_the_mapping_of_the_process)
{
	ASSERT_OK(guest_does(self, TD_OP_WRITE, 0, NR_PAGES, PATTERN));
	ASSERT_SYS(munmap(word(self, 5), PAGE_BYTES));
	EXPECT_OK(guest_does(self, TD_OP_VERIFY, 0, 5, PATTERN));
	EXPECT_ERR(EFAULT, guest_does(self, TD_OP_VERIFY, 5, 1, PATTERN + 5));
	EXPECT_OK(guest_does(self, TD_OP_VERIFY, 6, NR_PAGES - 6, PATTERN + 6));
	ASSERT_NE(MAP_FAILED, mmap(word(self, 5), PAGE_BYTES, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_OK(guest_does(self, TD_OP_VERIFY_ZERO, 5, 1, 0));
}

TEST_F(td_shared, is_written_to_where_the_process_may)
{
	ASSERT_OK(guest_does(self, TD_OP_WRITE, 0, NR_PAGES, PATTERN));
	ASSERT_SYS(mprotect(word(self, 5), PAGE_BYTES, PROT_READ));
	EXPECT_OK(guest_does(self, TD_OP_VERIFY, 0, NR_PAGES, PATTERN));
	EXPECT_ERR(EFAULT, guest_does(self, TD_OP_WRITE, 5, 1, 0));
	EXPECT_EQ(PATTERN + 5, *word(self, 5));
	EXPECT_OK(guest_does(self, TD_OP_WRITE, 6, 1, 0));
	ASSERT_SYS(mprotect(word(self, 5), PAGE_BYTES, PROT_READ | PROT_WRITE));
	EXPECT_OK(guest_does(self, TD_OP_WRITE, 5, 1, 0));
}

/* The log of the slot, which this empties. */
static int logged(const world *w, __u64 first, bool *yes)
{
	static __u64 bitmap[NR_PAGES / 64];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };
	unsigned int i;

	if (ioctl(td_vm(w->td), KVM_GET_DIRTY_LOG, &log))
		return -errno;
	*yes = bitmap[first / 64] >> first % 64 & 1;
	bitmap[first / 64] &= ~(1ull << first % 64);
	for (i = 0; i < NR_PAGES / 64; i++)
		if (bitmap[i])
			return -EXDEV;
	return 0;
}

#define EXPECT_LOGGED(want, page) do {						\
	bool __yes = !(want);							\
	EXPECT_OK(logged(self, page, &__yes));					\
	EXPECT_EQ(want, __yes);							\
} while (0)

TEST_F(td_shared, is_logged_where_the_guest_writes)
{
	ASSERT_OK(guest_does(self, TD_OP_WRITE, 0, NR_PAGES, PATTERN));
	ASSERT_OK(set_slot(self, KVM_MEM_LOG_DIRTY_PAGES));
	EXPECT_LOGGED(false, 5);
	EXPECT_OK(guest_does(self, TD_OP_WRITE, 5, 1, PATTERN));
	EXPECT_LOGGED(true, 5);
	EXPECT_OK(guest_does(self, TD_OP_VERIFY, 5, 1, PATTERN));
	EXPECT_LOGGED(false, 5);
	EXPECT_OK(guest_does(self, TD_OP_WRITE, 5, 1, PATTERN));
	EXPECT_LOGGED(true, 5);
	ASSERT_OK(set_slot(self, 0));
	EXPECT_OK(guest_does(self, TD_OP_WRITE, 0, NR_PAGES, PATTERN));
}

TEST_F(td_shared, may_be_prefaulted)
{
	struct kvm_pre_fault_memory range = { .gpa = GPA, .size = BYTES };
	unsigned char there[NR_PAGES] = {};
	unsigned int i, nr = 0;

	ASSERT_SYS(ioctl(td_vcpu(self->td, 0), KVM_PRE_FAULT_MEMORY, &range));
	EXPECT_EQ(0, range.size);
	ASSERT_SYS(mincore(self->memory, BYTES, there));
	for (i = 0; i < NR_PAGES; i++)
		nr += there[i] & 1;
	EXPECT_EQ(NR_PAGES, nr);
	EXPECT_OK(guest_does(self, TD_OP_WRITE, 0, NR_PAGES, PATTERN));
}

/*
 * When this setting changes KVM throws away the page tables of all VMs.  Not the S-EPT: what
 * is in there could not be mapped again, the payload for one.
 */
TEST_F(td_shared, is_mapped_anew_and_the_s_ept_is_not)
{
	static const char setting[] = "/sys/module/kvm/parameters/nx_huge_pages";
	int rc;

	ASSERT_OK(guest_does(self, TD_OP_WRITE, 0, NR_PAGES, PATTERN));
	rc = host_set(setting, "force");
	REQUIRE(rc == -EPERM ? "kvm.nx_huge_pages is \"never\", and stays that" : NULL);
	ASSERT_OK(rc);
	EXPECT_OK(guest_does(self, TD_OP_VERIFY, 0, NR_PAGES, PATTERN));
	ASSERT_OK(host_restore(setting));
	EXPECT_OK(guest_does(self, TD_OP_VERIFY, 0, NR_PAGES, PATTERN));
}

/* There are large folios that are less than a huge page: its end must be of it, too. */
static bool is_huge(const world *w)
{
	__u64 first, last, flags;

	return !folio_proc_pfn(w->memory, &first) && !(first % NR_PAGES) &&
	       !folio_proc_pfn(word(w, NR_PAGES - 1), &last) && last == first + NR_PAGES - 1 &&
	       !folio_proc_flags(first, &flags) && flags >> FOLIO_KPF_THP & 1;
}

TEST_F(td_shared, in_a_huge_page_is_converted_page_by_page)
{
	int rc = madvise(self->memory, BYTES, MADV_HUGEPAGE) ? -errno : 0;

	REQUIRE(rc == -EINVAL ? "this kernel has no transparent huge pages" : NULL);
	ASSERT_OK(rc);
	ASSERT_OK(guest_does(self, TD_OP_WRITE, 0, NR_PAGES, PATTERN));
	REQUIRE(is_huge(self) ? NULL : "no huge page was to be had");
	ASSERT_OK(td_set_private(self->td, GPA + 5 * PAGE_BYTES, 1, true));
	EXPECT_ERR(EFAULT, guest_does(self, TD_OP_VERIFY, 5, 1, PATTERN + 5));
	EXPECT_OK(guest_does(self, TD_OP_VERIFY, 0, 5, PATTERN));
	EXPECT_OK(guest_does(self, TD_OP_VERIFY, 6, NR_PAGES - 6, PATTERN + 6));
	/* The neighbours' page is not a way to it. */
	EXPECT_ERR(EFAULT, guest_does(self, TD_OP_VERIFY, 5, 1, PATTERN + 5));
	ASSERT_OK(td_set_private(self->td, GPA + 5 * PAGE_BYTES, 1, false));
	EXPECT_OK(guest_does(self, TD_OP_VERIFY, 0, NR_PAGES, PATTERN));
}

/*
 * Nor is what lies outside of the slot, but in the same huge page.
 *
 * Claims: B39
 */
TEST_F(td_shared, in_a_huge_page_ends_with_its_slot)
{
	const __u64 first = 5, end = NR_PAGES - 4;
	int rc = madvise(self->memory, BYTES, MADV_HUGEPAGE) ? -errno : 0;

	REQUIRE(rc == -EINVAL ? "this kernel has no transparent huge pages" : NULL);
	ASSERT_OK(rc);
	*word(self, 0) = 0;
	REQUIRE(is_huge(self) ? NULL : "no huge page was to be had");
	ASSERT_OK(td_set_slot(self->td, SLOT, 0, GPA, 0, NULL, -1));
	ASSERT_OK(td_set_slot(self->td, SLOT, 0, GPA + first * PAGE_BYTES, end - first,
			      word(self, first), -1));
	EXPECT_OK(guest_does(self, TD_OP_WRITE, first, end - first, PATTERN));
	EXPECT_ERR(ENXIO, guest_does(self, TD_OP_VERIFY_ZERO, first - 1, 1, 0));
	EXPECT_ERR(ENXIO, guest_does(self, TD_OP_VERIFY_ZERO, end, 1, 0));
	EXPECT_ERR(ENXIO, guest_does(self, TD_OP_WRITE, 0, 1, PATTERN));
	EXPECT_EQ(0, *word(self, 0));
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM, .serial = true)
