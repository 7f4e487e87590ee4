// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a TD accepts, converts and loses: KVM maps the pages of the guest_memfd and
 * no others, holds none of them beyond the page cache's reference, and has let go
 * of each before it is freed or somebody else's.
 *
 * Which page it was is asserted by its frame, as a look at the wrong page proves
 * nothing.
 *
 * Claims: C2, C4, B01
 */
#include <pthread.h>
#include <sys/mman.h>

#include <linux/kvm_para.h>

#include "gmem.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define PAGES_2M	512ull
#define NR_PAGES	(2 * PAGES_2M)
#define PRIVATE_DATA	0x1111000000000000ull
#define SHARED_DATA	0x2222000000000000ull
#define FIRST		500ull		/* a range across the 2M boundary */
#define NR		24ull

#define TDG_MEM_PAGE_ACCEPT	6
#define STATUS(rax)		((rax) >> 32)
#define PAGE_ALREADY_ACCEPTED	0x00000b0au
#define PAGE_SIZE_MISMATCH	0xc0000b0bu

FIXTURE(td_memory) {
	struct guest *g;
	struct td *td;
	int fd;
	struct census *before;
	bool punch;		/* as QEMU does after a MapGPA to shared */
	unsigned int nr_maps;	/* MapGPAs seen */
};

FIXTURE_VARIANT(td_memory) {
	struct td_plan plan;
};

FIXTURE_VARIANT_ADD(td_memory, tdx) {};
FIXTURE_VARIANT_ADD(td_memory, tdx_wide) { .plan.gpa_bits = 52 };
FIXTURE_VARIANT_ADD(td_memory, tdx_no_ve) { .plan.attributes = TD_ATTR_SEPT_VE_DISABLE };

FIXTURE_SETUP(td_memory)
{
	struct td_plan plan = variant->plan;

	REQUIRE(need_join(guest_why_not(GUEST_TDX), td_width_why_not(&plan), NEED_END));
	plan.nr_vcpus = 2;
	ASSERT_OK(guest_create_td(&self->g, &plan, NR_PAGES));
	self->td = guest_td(self->g);
	self->fd = guest_gmem(self->g);
}

FIXTURE_TEARDOWN(td_memory)
{
	census_free(self->before);
	guest_destroy(self->g);
}

#define GPA(page) (GUEST_GPA + (page) * PAGE_BYTES)

static int accept(struct td *td, __u64 first, __u64 nr, struct td_mailbox *order)
{
	*order = (struct td_mailbox){ .op = TD_OP_ACCEPT, .gpa = GPA(first), .nr = nr };
	return td_order(td, 0, order);
}

/* One TDG.MEM.PAGE.ACCEPT, as it is; *@status receives what it said. */
static int accept_at(struct td *td, __u64 page, unsigned int level, __u64 *status)
{
	struct td_regs regs = { .rax = TDG_MEM_PAGE_ACCEPT, .rcx = GPA(page) | level };
	int rc = td_tdcall(td, 0, &regs);

	*status = regs.rax;
	return rc;
}

static int map_gpa(struct td *td, __u64 first, __u64 nr, bool private)
{
	return td_pages(td, 0, TD_OP_MAP_GPA, GPA(first), nr, 0, private ? 0 : TD_SHARED);
}

/* The host sees the words that the guest wrote to shared memory. */
static int shared_holds(struct guest *g, __u64 first, __u64 nr, __u64 pattern)
{
	__u64 i;

	for (i = 0; i < nr; i++)
		if (*(volatile __u64 *)guest_shared(g, first + i) != pattern + first + i)
			return -EILSEQ;
	return 0;
}

/*
 * Accept
 */

TEST_F(td_memory, that_is_accepted_is_there_and_zeroed)
{
	struct td_mailbox order;

	ASSERT_OK(accept(self->td, FIRST, NR, &order));
	EXPECT_EQ(NR, order.nr_accepted_4k + PAGES_2M * order.nr_accepted_2m);
	EXPECT_HELD(self->fd, FIRST, NR, 0, 0);
	EXPECT_ABSENT(self->fd, 0, FIRST);
	EXPECT_ABSENT(self->fd, FIRST + NR, NR_PAGES - FIRST - NR);
	EXPECT_OK(guest_verify_zero(self->g, FIRST, NR));
}

TEST_F(td_memory, that_was_allocated_is_what_is_accepted)
{
	struct td_mailbox order;

	ASSERT_OK(gmem_allocate(self->fd, FIRST, NR));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(accept(self->td, FIRST, NR, &order));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(td_memory, that_is_accepted_is_not_accepted_again)
{
	struct td_mailbox order;
	__u64 status, before;

	ASSERT_OK(accept(self->td, FIRST, NR, &order));
	ASSERT_OK(guest_touch(self->g, FIRST, NR, PRIVATE_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(accept(self->td, FIRST, 1, &order));
	before = order.nr_already;
	ASSERT_OK(accept_at(self->td, FIRST, 0, &status));
	EXPECT_EQ(PAGE_ALREADY_ACCEPTED, STATUS(status));
	ASSERT_OK(accept(self->td, FIRST, NR, &order));
	EXPECT_EQ(NR, order.nr_already - before);
	EXPECT_OK(guest_verify(self->g, FIRST, NR, PRIVATE_DATA));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(td_memory, is_accepted_by_the_size_it_is_mapped_by)
{
	struct td_mailbox order;
	__u64 status;

	ASSERT_OK(accept(self->td, PAGES_2M, 1, &order));
	/* Mapped by 4K, so there is a table where a 2M page would be. */
	ASSERT_OK(accept_at(self->td, PAGES_2M, 1, &status));
	EXPECT_EQ(PAGE_SIZE_MISMATCH, STATUS(status));

	/* And the payload falls back. */
	ASSERT_OK(accept(self->td, PAGES_2M, PAGES_2M, &order));
	EXPECT_EQ(PAGES_2M, order.nr_accepted_4k + PAGES_2M * order.nr_accepted_2m);
	EXPECT_HELD(self->fd, PAGES_2M, PAGES_2M, 0, 0);
	EXPECT_ABSENT(self->fd, 0, PAGES_2M);
}

TEST_F(td_memory, by_2m_at_once_is_accepted_all_the_same)
{
	struct td_mailbox order;

	ASSERT_OK(accept(self->td, 0, PAGES_2M, &order));
	EXPECT_EQ(PAGES_2M, order.nr_accepted_4k + PAGES_2M * order.nr_accepted_2m);
	EXPECT_HELD(self->fd, 0, PAGES_2M, 0, 0);
	EXPECT_OK(guest_verify_zero(self->g, 0, PAGES_2M));
}

/*
 * Claims: B48
 */
TEST_F(td_memory, that_nobody_accepted_is_the_end_of_a_td_without_ve)
{
	ASSERT_OK(guest_prefault(self->g, FIRST, 1));
	if (variant->plan.attributes & TD_ATTR_SEPT_VE_DISABLE) {
		supervise_expect_kmsg("access before accepting");
		EXPECT_ERR(EIO, td_pages(self->td, 0, TD_OP_WRITE, GPA(FIRST), 1, 1,
					 TD_UNACCEPTED));
		/* Dead it is, and still lets go of its memory. */
		EXPECT_ERR(EIO, td_pages(self->td, 1, TD_OP_NONE, 0, 0, 0, 0));
	} else {
		EXPECT_OK(td_pages(self->td, 0, TD_OP_WRITE, GPA(FIRST), 1, PRIVATE_DATA,
				   TD_UNACCEPTED));
		EXPECT_OK(td_pages(self->td, 0, TD_OP_VERIFY, GPA(FIRST), 1, PRIVATE_DATA, 0));
	}
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	guest_destroy(self->g);
	self->g = NULL;
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

/*
 * Pre-fault
 */

TEST_F(td_memory, that_is_prefaulted_is_there_but_not_accepted)
{
	struct td_mailbox order;

	ASSERT_OK(guest_prefault(self->g, FIRST, NR));
	EXPECT_HELD(self->fd, FIRST, NR, 0, 0);
	EXPECT_ABSENT(self->fd, 0, FIRST);
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(accept(self->td, FIRST, NR, &order));
	EXPECT_EQ(NR, order.nr_accepted_4k);
	EXPECT_EQ(0, order.nr_already);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_OK(guest_verify_zero(self->g, FIRST, NR));
}

TEST_F(td_memory, that_is_accepted_stays_so_when_prefaulted)
{
	ASSERT_OK(guest_touch(self->g, FIRST, NR, PRIVATE_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(guest_prefault(self->g, FIRST, NR));
	EXPECT_OK(guest_verify(self->g, FIRST, NR, PRIVATE_DATA));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

/*
 * Punch
 */

#define PUNCH_AND_EXPECT_HOLE() do {					\
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));	\
	ASSERT_OK(gmem_punch(self->fd, FIRST, NR));			\
	EXPECT_ABSENT(self->fd, FIRST, NR);				\
	EXPECT_FREED(self->before, FIRST, NR);				\
	EXPECT_UNTOUCHED(self->before, 0, FIRST);			\
	EXPECT_UNTOUCHED(self->before, FIRST + NR, NR_PAGES - FIRST - NR); \
} while (0)

TEST_F(td_memory, that_is_accepted_is_freed_by_a_punch)
{
	ASSERT_OK(guest_touch(self->g, FIRST - 8, NR + 16, PRIVATE_DATA));
	PUNCH_AND_EXPECT_HOLE();
	EXPECT_OK(guest_verify(self->g, FIRST - 8, 8, PRIVATE_DATA));
	EXPECT_OK(guest_verify(self->g, FIRST + NR, 8, PRIVATE_DATA));

	/* And is accepted anew. */
	EXPECT_OK(guest_verify_zero(self->g, FIRST, NR));
	EXPECT_HELD(self->fd, FIRST, NR, 0, 0);
}

TEST_F(td_memory, that_is_only_prefaulted_is_freed_by_a_punch)
{
	ASSERT_OK(guest_prefault(self->g, FIRST - 8, NR + 16));
	PUNCH_AND_EXPECT_HOLE();
	EXPECT_OK(guest_touch(self->g, FIRST, NR, PRIVATE_DATA));
	EXPECT_HELD(self->fd, FIRST, NR, 0, 0);
}

/*
 * Conversion
 */

TEST_F(td_memory, that_the_guest_shares_stays_in_the_file)
{
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PRIVATE_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(map_gpa(self->td, FIRST, NR, false));
	EXPECT_LT(0, td_nr_exits(self->td, KVM_EXIT_HYPERCALL));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_OK(guest_verify_zero(self->g, FIRST, NR));
	EXPECT_OK(guest_touch(self->g, FIRST, NR, SHARED_DATA));
	EXPECT_OK(shared_holds(self->g, FIRST, NR, SHARED_DATA));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_OK(guest_verify(self->g, 0, FIRST, PRIVATE_DATA));

	/* Taken back, the same frames: accepted anew and zeroed. */
	ASSERT_OK(map_gpa(self->td, FIRST, NR, true));
	EXPECT_OK(guest_verify_zero(self->g, FIRST, NR));
	EXPECT_OK(guest_touch(self->g, FIRST, NR, PRIVATE_DATA));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, PRIVATE_DATA));
	EXPECT_OK(shared_holds(self->g, FIRST, NR, SHARED_DATA));
}

/* Convert, and free what is not used any more. */
static int convert_and_discard(struct td *td, unsigned int vcpu, struct kvm_run *run, void *arg)
{
	FIXTURE_DATA(td_memory) *self = arg;
	bool private = run->hypercall.args[2] & KVM_MAP_GPA_RANGE_ENCRYPTED;
	__u64 first = (run->hypercall.args[0] - GUEST_GPA) / PAGE_BYTES;
	__u64 nr = run->hypercall.args[1];
	int rc;

	(void)vcpu;
	if (run->exit_reason != KVM_EXIT_HYPERCALL)
		return 0;
	self->nr_maps++;
	rc = td_set_private(td, run->hypercall.args[0], nr, private);
	if (!rc && private)
		rc = madvise(guest_shared(self->g, first), nr * PAGE_BYTES, MADV_DONTNEED) ?
		     -errno : 0;
	else if (!rc)
		rc = gmem_punch(self->fd, first, nr);
	run->hypercall.ret = 0;
	return rc ?: 1;
}

TEST_F(td_memory, that_the_guest_shares_is_freed_if_the_host_discards_it)
{
	td_on_exit(self->td, convert_and_discard, self);
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PRIVATE_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	ASSERT_OK(map_gpa(self->td, FIRST, NR, false));
	EXPECT_FREED(self->before, FIRST, NR);
	EXPECT_ABSENT(self->fd, FIRST, NR);
	EXPECT_UNTOUCHED(self->before, 0, FIRST);
	EXPECT_UNTOUCHED(self->before, FIRST + NR, NR_PAGES - FIRST - NR);
	EXPECT_OK(guest_touch(self->g, FIRST, NR, SHARED_DATA));
	EXPECT_OK(shared_holds(self->g, FIRST, NR, SHARED_DATA));
	EXPECT_ABSENT(self->fd, FIRST, NR);

	ASSERT_OK(map_gpa(self->td, FIRST, NR, true));
	EXPECT_OK(guest_verify_zero(self->g, FIRST, NR));
	EXPECT_HELD(self->fd, FIRST, NR, 0, 0);
	EXPECT_EQ(2, self->nr_maps);
}

TEST_F(td_memory, is_converted_over_and_over)
{
	unsigned int random = supervise_seed(), i;
	__u64 first, nr;

	td_on_exit(self->td, convert_and_discard, self);
	ASSERT_OK(guest_touch(self->g, 0, PAGES_2M, PRIVATE_DATA));
	for (i = 0; i < 50; i++) {
		first = rand_r(&random) % (PAGES_2M - 32);
		nr = 1 + rand_r(&random) % 32;
		ASSERT_OK(census_take(&self->before, self->fd, first, nr));
		ASSERT_OK(map_gpa(self->td, first, nr, false));
		EXPECT_FREED(self->before, first, nr);
		EXPECT_OK(guest_touch(self->g, first, nr, SHARED_DATA));
		ASSERT_OK(map_gpa(self->td, first, nr, true));
		ASSERT_OK(guest_touch(self->g, first, nr, PRIVATE_DATA));
		census_free(self->before);
		self->before = NULL;
	}
	EXPECT_OK(guest_verify(self->g, 0, PAGES_2M, PRIVATE_DATA));
	EXPECT_HELD(self->fd, 0, PAGES_2M, 0, 0);
}

TEST_F(td_memory, that_was_never_there_is_converted_without_a_page)
{
	ASSERT_OK(map_gpa(self->td, FIRST, NR, false));
	ASSERT_OK(map_gpa(self->td, FIRST, NR, true));
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);
}

TEST_F(td_memory, that_the_guest_sees_as_the_host_does_not_is_a_fault)
{
	struct kvm_run *run = td_run(self->td, 0);

	ASSERT_OK(guest_touch(self->g, FIRST, NR, PRIVATE_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));

	/* Shared where it is private. */
	EXPECT_ERR(EFAULT, td_pages(self->td, 0, TD_OP_WRITE, GPA(FIRST), 1, 1, TD_SHARED));
	EXPECT_EQ(KVM_EXIT_MEMORY_FAULT, run->exit_reason);
	EXPECT_EQ(0, run->memory_fault.flags);
	EXPECT_EQ(GPA(FIRST), run->memory_fault.gpa);

	/* Private where it is shared. */
	ASSERT_OK(guest_set_private(self->g, FIRST, 1, false));
	EXPECT_ERR(EFAULT, td_pages(self->td, 0, TD_OP_WRITE, GPA(FIRST), 1, 1, 0));
	EXPECT_EQ(KVM_EXIT_MEMORY_FAULT, run->exit_reason);
	EXPECT_EQ(KVM_MEMORY_EXIT_FLAG_PRIVATE, run->memory_fault.flags);

	ASSERT_OK(guest_set_private(self->g, FIRST, 1, true));
	EXPECT_OK(guest_verify(self->g, FIRST + 1, NR - 1, PRIVATE_DATA));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

/*
 * Initial memory
 */

/* A TD with its memory of @nr pages from @source, all in the test's own file. */
static int initial(struct td **out, int *fd, const struct td_plan *plan, const char *source,
		   __u64 nr, bool measured)
{
	int rc;

	rc = td_open(out);
	if (rc)
		return rc;
	*fd = gmem_create(td_vm(*out), nr, 0);
	if (*fd < 0)
		return *fd;
	rc = td_init(*out, plan) ?: td_add_vcpu(*out) ?: td_init_vcpu(*out, 0, 0) ?:
	     td_add_payload(*out) ?: td_load_payload(*out, true);
	return rc ?:
	       td_set_slot(*out, GUEST_SLOT, KVM_MEM_GUEST_MEMFD, GUEST_GPA, nr, source, *fd) ?:
	       td_set_private(*out, GUEST_GPA, nr, true) ?:
	       td_init_memory(*out, GUEST_GPA, source, nr, measured, NULL);
}

TEST_F(td_memory, that_a_td_starts_with_is_in_the_file_and_held_by_nobody)
{
	const __u64 nr = 16;
	struct td *td = NULL;
	__u64 *source, i;
	int measured, fd = -1;

	source = mmap(NULL, nr * PAGE_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, source);
	for (i = 0; i < nr * PAGE_BYTES / sizeof(*source); i++)
		source[i] = PRIVATE_DATA + i / (PAGE_BYTES / sizeof(*source));

	for (measured = 0; measured < 2; measured++) {
		ASSERT_OK(initial(&td, &fd, &variant->plan, (char *)source, nr, measured));
		EXPECT_HELD(fd, 0, nr, 0, 0);
		ASSERT_OK(td_finalize(td));
		EXPECT_HELD(fd, 0, nr, 0, 0);
		EXPECT_OK(td_pages(td, 0, TD_OP_VERIFY_FILL, GUEST_GPA, nr, PRIVATE_DATA, 0));
		EXPECT_HELD(fd, 0, nr, 0, 0);
		ASSERT_OK(census_take(&self->before, fd, 0, nr));
		td_close(td);
		EXPECT_UNTOUCHED(self->before, 0, nr);
		close(fd);
		EXPECT_FREED(self->before, 0, nr);
		census_free(self->before);
		self->before = NULL;
	}
	munmap(source, nr * PAGE_BYTES);
}

/*
 * Slots and the end
 */

TEST_F(td_memory, outlives_its_slot)
{
	ASSERT_OK(guest_touch(self->g, FIRST, NR, PRIVATE_DATA));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(guest_unbind(self->g, GUEST_SLOT));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_ERR(EFAULT, td_pages(self->td, 0, TD_OP_WRITE, GPA(FIRST), 1, 1, 0));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);

	ASSERT_OK(guest_bind(self->g, GUEST_SLOT, 0, NR_PAGES, GUEST_GPA));
	EXPECT_OK(guest_verify_zero(self->g, FIRST, NR));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(td_memory, outlives_its_td)
{
	ASSERT_OK(guest_touch(self->g, 0, PAGES_2M, PRIVATE_DATA));
	ASSERT_OK(guest_prefault(self->g, PAGES_2M, NR));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	guest_close_vm(self->g);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	ASSERT_OK(guest_close_gmem(self->g));
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

TEST_F(td_memory, goes_before_its_td)
{
	ASSERT_OK(guest_touch(self->g, 0, PAGES_2M, PRIVATE_DATA));
	ASSERT_OK(guest_prefault(self->g, PAGES_2M, NR));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(guest_close_gmem(self->g));
	EXPECT_FREED(self->before, 0, NR_PAGES);
	/* The TD is alive, but its memory is not. */
	EXPECT_OK(td_pages(self->td, 0, TD_OP_NONE, 0, 0, 0, 0));
	EXPECT_ERR(EFAULT, td_pages(self->td, 0, TD_OP_WRITE, GPA(0), 1, 1, 0));
}

/*
 * Two vCPUs
 */

struct worker {
	struct td *td;
	unsigned int vcpu, rounds;
	__u64 first, nr;
	int rc;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned int i;

	for (i = 0; i < w->rounds && !w->rc; i++)
		w->rc = td_pages(w->td, w->vcpu, TD_OP_WRITE, GPA(w->first), w->nr,
				 PRIVATE_DATA + w->first, 0);
	return NULL;
}

/* Both at once; their results are in @w. */
#define RUN_BOTH(w) do {						\
	pthread_t __t[2];						\
	unsigned int __i;						\
									\
	for (__i = 0; __i < 2; __i++)					\
		ASSERT_EQ(0, pthread_create(&__t[__i], NULL, work, &(w)[__i])); \
	for (__i = 0; __i < 2; __i++)					\
		pthread_join(__t[__i], NULL);				\
	EXPECT_OK((w)[0].rc);						\
	EXPECT_OK((w)[1].rc);						\
} while (0)

TEST_F(td_memory, is_touched_by_two_vcpus_side_by_side)
{
	struct worker w[2] = {
		{ .td = self->td, .vcpu = 0, .rounds = 1, .first = 0, .nr = PAGES_2M },
		{ .td = self->td, .vcpu = 1, .rounds = 1, .first = PAGES_2M, .nr = PAGES_2M },
	};

	RUN_BOTH(w);
	EXPECT_HELD(self->fd, 0, NR_PAGES, 0, 0);
	EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, PRIVATE_DATA));
}

/*
 * Claims: B19, B40
 */
TEST_F(td_memory, is_touched_by_two_vcpus_at_once)
{
	struct worker w[2] = {
		{ .td = self->td, .vcpu = 0, .rounds = 3, .first = FIRST, .nr = 256 },
		{ .td = self->td, .vcpu = 1, .rounds = 3, .first = FIRST, .nr = 256 },
	};

	RUN_BOTH(w);
	EXPECT_HELD(self->fd, FIRST, 256, 0, 0);
	EXPECT_OK(guest_verify(self->g, FIRST, 256, PRIVATE_DATA));
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT)
