// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who holds a page of a TD: the guest_memfd, and nobody else.
 *
 * To map a page in the S-EPT takes no reference, to unmap it drops none, and neither
 * does an attempt that fails.  The page that initial memory is copied from is the
 * caller's, before and after.  And who else holds a page of a TD keeps it.
 *
 * Linux 6.16 to 6.18 held one reference to each mapped page.
 *
 * Claims: C2, C4, B01
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu.h"
#include "emulator.h"
#include "gmem.h"
#include "pinned.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define PAGES_2M	512ull
#define NR_PAGES	(2 * PAGES_2M)
#define FIRST		500ull		/* a range across the 2M boundary */
#define NR		24ull
#define OTHER		(FIRST + NR)	/* a page behind it */
#define DATA		0x4ef0000000000000ull
#define BATCH		5		/* less than fills an LRU batch */
#define TRIES		50

FIXTURE(td_references) {
	struct guest *g;
	struct td *td;		/* the guest's; or one that the case makes itself */
	int fd;
	struct census *before;
};

FIXTURE_VARIANT(td_references) {};
FIXTURE_VARIANT_ADD(td_references, tdx) {};

static int make(FIXTURE_DATA(td_references) *self, const struct td_plan *plan)
{
	int rc = guest_create_td(&self->g, plan, NR_PAGES);

	if (!rc) {
		self->td = guest_td(self->g);
		self->fd = guest_gmem(self->g);
	}
	return rc;
}

FIXTURE_SETUP(td_references)
{
	const struct td_plan plan = { .nr_vcpus = 2 };

	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(make(self, &plan));
}

FIXTURE_TEARDOWN(td_references)
{
	census_free(self->before);
	guest_destroy(self->g);
}

#define EXPECT_MAPPED(first, nr)	EXPECT_HELD(self->fd, first, nr, 0, 0)
#define EXPECT_UNMAPPED(first, nr)	EXPECT_HELD(self->fd, first, nr, 0, 0)

#define GPA(page) (GUEST_GPA + (page) * PAGE_BYTES)

static int accept(struct td *td, __u64 first, __u64 nr)
{
	return td_pages(td, 0, TD_OP_ACCEPT, GPA(first), nr, 0, 0);
}

/*
 * Mapped
 */

/* In the file before anybody touches them, and the same pages after. */
#define BACK() do {							\
	ASSERT_OK(gmem_allocate(self->fd, FIRST, NR));			\
	EXPECT_UNMAPPED(FIRST, NR);					\
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));	\
} while (0)

#define EXPECT_SAME_PAGES()	EXPECT_IN_PLACE(self->before, 0, NR_PAGES)

TEST_F(td_references, are_not_taken_by_a_touch)
{
	BACK();
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	EXPECT_MAPPED(FIRST, NR);
	EXPECT_SAME_PAGES();
	/* Nor by another vCPU's. */
	EXPECT_OK(td_pages(self->td, 1, TD_OP_VERIFY, GPA(FIRST), NR, DATA + FIRST, 0));
	EXPECT_MAPPED(FIRST, NR);
}

TEST_F(td_references, are_not_taken_by_an_accept)
{
	BACK();
	ASSERT_OK(accept(self->td, FIRST, NR));
	EXPECT_MAPPED(FIRST, NR);
	ASSERT_OK(accept(self->td, FIRST, NR));
	EXPECT_MAPPED(FIRST, NR);
	EXPECT_SAME_PAGES();
}

TEST_F(td_references, are_not_taken_by_a_prefault)
{
	BACK();
	ASSERT_OK(guest_prefault(self->g, FIRST, NR));
	EXPECT_MAPPED(FIRST, NR);
	ASSERT_OK(guest_prefault(self->g, FIRST, NR));
	EXPECT_MAPPED(FIRST, NR);
	ASSERT_OK(accept(self->td, FIRST, NR));
	EXPECT_MAPPED(FIRST, NR);
	EXPECT_SAME_PAGES();
}

/*
 * Unmapped
 */

TEST_F(td_references, are_not_dropped_by_a_conversion)
{
	int i;

	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	for (i = 0; i < 3; i++) {
		EXPECT_MAPPED(FIRST, NR);
		ASSERT_OK(guest_set_private(self->g, FIRST, NR, false));
		EXPECT_UNMAPPED(FIRST, NR);
		ASSERT_OK(guest_set_private(self->g, FIRST, NR, true));
		EXPECT_UNMAPPED(FIRST, NR);
		ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	}
	EXPECT_MAPPED(FIRST, NR);
	EXPECT_SAME_PAGES();
}

TEST_F(td_references, are_not_dropped_by_a_conversion_of_what_is_pending)
{
	ASSERT_OK(guest_prefault(self->g, FIRST, NR));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(guest_set_private(self->g, FIRST, NR, false));
	EXPECT_UNMAPPED(FIRST, NR);
	EXPECT_SAME_PAGES();
}

TEST_F(td_references, are_not_dropped_with_the_slot)
{
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(guest_unbind(self->g, GUEST_SLOT));
	EXPECT_UNMAPPED(FIRST, NR);
	EXPECT_SAME_PAGES();
	ASSERT_OK(guest_bind(self->g, GUEST_SLOT, 0, NR_PAGES, GUEST_GPA));
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	EXPECT_MAPPED(FIRST, NR);
	EXPECT_SAME_PAGES();
}

TEST_F(td_references, are_not_dropped_by_a_move_of_the_slot)
{
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(guest_move(self->g, GUEST_SLOT, 0, NR_PAGES,
			     GUEST_GPA + 3 * NR_PAGES * PAGE_BYTES));
	EXPECT_UNMAPPED(FIRST, NR);
	ASSERT_OK(guest_set_private(self->g, 0, NR_PAGES, true));
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	EXPECT_MAPPED(FIRST, NR);
	EXPECT_SAME_PAGES();
}

/* Over and over, each page as often as the others: a miscount would add up. */
TEST_F(td_references, come_out_even_after_any_number_of_rounds)
{
	int i;

	ASSERT_OK(gmem_allocate(self->fd, FIRST, NR));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	for (i = 0; i < 30; i++) {
		ASSERT_OK(guest_prefault(self->g, FIRST, NR));
		ASSERT_OK(guest_set_private(self->g, FIRST, NR, false));
		ASSERT_OK(guest_set_private(self->g, FIRST, NR, true));
	}
	EXPECT_UNMAPPED(FIRST, NR);
	EXPECT_SAME_PAGES();
	ASSERT_OK(gmem_punch(self->fd, FIRST, NR));
	EXPECT_FREED(self->before, FIRST, NR);
}

/*
 * The end
 */

TEST_F(td_references, are_the_same_while_the_file_outlives_the_descriptors_of_the_td)
{
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	ASSERT_OK(guest_prefault(self->g, OTHER, NR));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	/* The file keeps the VM, and that the S-EPT. */
	guest_close_vm(self->g);
	EXPECT_MAPPED(FIRST, 2 * NR);
	EXPECT_SAME_PAGES();
	ASSERT_OK(gmem_punch(self->fd, FIRST, NR / 2));
	EXPECT_FREED(self->before, FIRST, NR / 2);
	EXPECT_MAPPED(FIRST + NR / 2, NR + NR / 2);
	ASSERT_OK(guest_close_gmem(self->g));
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

/* KVM gives a VM up whose guest touches what it has not accepted, and must not touch. */
TEST_F(td_references, are_the_same_in_a_dead_td)
{
	const struct td_plan plan = { .attributes = TD_ATTR_SEPT_VE_DISABLE };

	guest_destroy(self->g);
	self->g = NULL;
	ASSERT_OK(make(self, &plan));
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	ASSERT_OK(guest_prefault(self->g, OTHER, 1));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	supervise_expect_kmsg("access before accepting");
	ASSERT_ERR(EIO, td_pages(self->td, 0, TD_OP_WRITE, GPA(OTHER), 1, 1, TD_UNACCEPTED));

	EXPECT_MAPPED(FIRST, NR + 1);
	EXPECT_SAME_PAGES();
	/* Who is dead can still be robbed. */
	ASSERT_OK(gmem_punch(self->fd, FIRST, NR / 2));
	EXPECT_FREED(self->before, FIRST, NR / 2);
	ASSERT_OK(guest_close_gmem(self->g));
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

/*
 * Busy, and failed
 */

static void *touch_other(void *arg)
{
	return (void *)(long)guest_touch(arg, OTHER, 1, DATA);
}

/*
 * Claims: C3
 */
TEST_F(td_references, are_not_kept_while_the_module_is_busy)
{
	struct emulator_calls busy = {};
	pthread_t vcpu;
	void *rc;

	REQUIRE(emulator_why_not());
	BACK();
	ASSERT_OK(gmem_allocate(self->fd, OTHER, 1));
	ASSERT_OK(emulator_count_start());
	ASSERT_OK(emulator_inject("MEM.PAGE.AUG", "OPERAND_BUSY|SEPT_ENTRY", ""));
	ASSERT_EQ(0, pthread_create(&vcpu, NULL, touch_other, self->g));
	while (!emulator_count("MEM.PAGE.AUG", "OPERAND_BUSY", &busy) && busy.injected < 10)
		sched_yield();
	/* It tries on and on, and takes the page for each try. */
	EXPECT_UNMAPPED(OTHER, 1);
	ASSERT_OK(emulator_reset());
	pthread_join(vcpu, &rc);
	EXPECT_OK((long)rc);
	EXPECT_MAPPED(OTHER, 1);

	ASSERT_OK(emulator_count_start());
	ASSERT_OK(emulator_inject("MEM.PAGE.AUG", "OPERAND_BUSY|SEPT_TREE", "after=3 times=20"));
	ASSERT_OK(guest_touch(self->g, FIRST, NR, DATA));
	ASSERT_OK(emulator_count("MEM.PAGE.AUG", "OPERAND_BUSY", &busy));
	EXPECT_EQ(20, busy.injected);
	EXPECT_MAPPED(FIRST, NR);
	ASSERT_OK(gmem_punch(self->fd, FIRST, NR));
	EXPECT_FREED(self->before, FIRST, NR);
}

/*
 * Claims: C3
 */
TEST_F(td_references, are_not_kept_after_a_failed_aug)
{
	REQUIRE(emulator_why_not());
	BACK();
	ASSERT_OK(emulator_inject("MEM.PAGE.AUG", "OPERAND_INVALID|RCX", "after=4 times=1"));
	supervise_allow_kmsg("WARN");
	supervise_expect_kmsg("SEAMCALL failed");
	EXPECT_ERR(EFAULT, guest_touch(self->g, FIRST, NR, DATA));
	EXPECT_EQ(EIO, guest_fault(self->g)->err);
	EXPECT_MAPPED(FIRST, 4);
	EXPECT_UNMAPPED(FIRST + 4, NR - 4);
	EXPECT_SAME_PAGES();
	guest_destroy(self->g);
	self->g = NULL;
	EXPECT_FREED(self->before, FIRST, NR);
}

/*
 * Somebody else's
 */

/* What a look right now tells, without a drain of the batches before. */
static int refs_now(const struct folio_record *at, __u64 nr, __u64 *most, __u64 *least)
{
	const struct folio_cache none = {};
	struct folio_record recs[BATCH];
	__u64 i;
	int rc;

	memcpy(recs, at, nr * sizeof(*recs));
	rc = folio_by_pfn(recs, nr, &none);
	*most = 0;
	*least = ~0ull;
	for (i = 0; i < nr && !rc; i++) {
		if (recs[i].refs > *most)
			*most = recs[i].refs;
		if (recs[i].refs < *least)
			*least = recs[i].refs;
	}
	return rc;
}

/*
 * User space cannot get at private pages to hold one; but the kernel holds each new
 * page in a batch of the CPU that added it, until that is full or drained.  A punch by
 * another CPU does not drain it, and must leave exactly that reference.
 */
TEST_F(td_references, of_an_lru_batch_outlive_a_punch)
{
	struct folio_record recs[BATCH];
	__u64 most, least;
	unsigned int i, seen = 0, kept = 0;
	int cpus[2];

	REQUIRE(cpu_find_two(cpus));
	for (i = 0; i < TRIES && !kept; i++) {
		ASSERT_OK(cpu_run_on(cpus[1]));
		ASSERT_OK(guest_touch(self->g, FIRST, BATCH, DATA));
		ASSERT_OK(cpu_run_on(cpus[0]));
		ASSERT_OK(folio_by_file(self->fd, FIRST, BATCH, recs, NULL));
		ASSERT_OK(refs_now(recs, BATCH, &most, &least));
		ASSERT_OK(gmem_punch(self->fd, FIRST, BATCH));
		if (most != least || least != 2 + (__u64)pinned_expected())
			continue;
		seen++;
		/* Unless the other CPU has drained it right now, for its own reasons. */
		ASSERT_OK(refs_now(recs, BATCH, &most, &least));
		kept += most == 1 && least == 1;
	}
	REQUIRE(seen ? NULL : "no page was ever seen in an LRU batch of this kernel");
	EXPECT_LT(0, kept);

	/* And that is not a leak either. */
	ASSERT_OK(guest_touch(self->g, FIRST, BATCH, DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(gmem_punch(self->fd, FIRST, BATCH));
	EXPECT_FREED(self->before, FIRST, BATCH);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 20)
