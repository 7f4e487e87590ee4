// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page that goes bad is taken from the guest, and from everybody for ever; the guest
 * is told when it touches it; and all other pages stay as they are.
 *
 * The errors are simulated, and undone at the end of each case, or by the next run.
 *
 * virt/kvm/guest_memfd.c kvm_gmem_error_folio(), __kvm_gmem_get_pfn();
 * mm/memory-failure.c memory_failure().
 *
 * Claims: B45
 */
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "busy.h"
#include "emulator.h"
#include "folio_proc.h"
#include "gmem.h"
#include "poison.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define PAGES_2M	512ull
#define NR_PAGES	(2 * PAGES_2M)
#define FIRST		500ull
#define NR		24ull
#define BAD		(FIRST + 11)	/* the last page of the first 2M */
#define DATA		0xbadc000000000000ull
#define MORE		2048		/* pages allocated later, none of which is the bad one */

/* What the guest had made of the page before. */
enum state { ALLOCATED, PENDING, TOUCHED, CONVERTED, NR_STATES };

FIXTURE(td_poison) {
	struct guest *g;
	int fd;
	__u64 pfn;		/* of page BAD */
	struct census *before;
};

FIXTURE_VARIANT(td_poison) {
	enum guest_type type;
};

GUEST_VARIANTS(td_poison, );

static int bring_to(struct guest *g, enum state state)
{
	int rc = guest_touch(g, FIRST, BAD - FIRST, DATA) ?:
		 guest_touch(g, BAD + 1, FIRST + NR - BAD - 1, DATA);

	if (rc)
		return rc;
	switch (state) {
	case ALLOCATED:
		return gmem_allocate(guest_gmem(g), BAD, 1);
	case PENDING:
		return guest_prefault(g, BAD, 1);
	default:
		rc = guest_touch(g, BAD, 1, DATA);
		return rc ?: state == CONVERTED ? guest_set_private(g, BAD, 1, false) : 0;
	}
}

static void end(FIXTURE_DATA(td_poison) *self)
{
	guest_destroy(self->g);
	self->g = NULL;
	census_free(self->before);
	self->before = NULL;
	/* Closed, the file has let go of it. */
	if (self->pfn && poison_is(self->pfn) == 1)
		poison_undo(self->pfn);
	self->pfn = 0;
}

static int begin(FIXTURE_DATA(td_poison) *self, enum guest_type type, enum state state)
{
	int rc;

	end(self);
	rc = guest_create(&self->g, type, NR_PAGES);
	if (rc)
		return rc;
	self->fd = guest_gmem(self->g);
	rc = bring_to(self->g, state) ?: census_take(&self->before, self->fd, 0, NR_PAGES);
	if (!rc)
		self->pfn = folio_pfn(census_page(self->before, BAD));
	return rc;
}

FIXTURE_SETUP(td_poison)
{
	REQUIRE(need_join(guest_why_not(variant->type), poison_why_not(), NEED_END));
	ASSERT_OK(begin(self, variant->type, TOUCHED));
}

FIXTURE_TEARDOWN(td_poison)
{
	end(self);
}

/* Every state that the page can be in, for a guest of that type. */
#define FOR_EACH_STATE(state)							\
	for (state = 0; state < NR_STATES; state++)				\
		if (state != CONVERTED || guest_has_private(self->g))

/*
 * The kernel says EBUSY of a page that it could not free; is_handled() is about that.
 * All that comes after holds whatever it says.
 */
#define POISON() do {							\
	int __answer = poison_inject(self->pfn);			\
									\
	EXPECT_TRUE(!__answer || __answer == -EBUSY);			\
	ASSERT_EQ(1, poison_is(self->pfn));				\
} while (0)

/* All but the bad one are where and what they were. */
#define EXPECT_OTHERS_GOOD() do {					\
	EXPECT_UNTOUCHED(self->before, FIRST, BAD - FIRST);		\
	EXPECT_UNTOUCHED(self->before, BAD + 1, FIRST + NR - BAD - 1);	\
	EXPECT_OK(guest_verify(self->g, FIRST, BAD - FIRST, DATA));	\
	EXPECT_OK(guest_verify(self->g, BAD + 1, FIRST + NR - BAD - 1, DATA)); \
} while (0)

TEST_F(td_poison, is_handled)
{
	EXPECT_OK(poison_inject(self->pfn));
	EXPECT_EQ(1, poison_is(self->pfn));
}

/* How the guest is told, by its touch of the bad page. */
#define EXPECT_TOLD() do {						\
	const struct guest_fault *__fault;				\
									\
	EXPECT_ERR(EFAULT, guest_touch(self->g, BAD, 1, DATA));		\
	__fault = guest_fault(self->g);					\
	EXPECT_EQ(EHWPOISON, __fault->err);				\
	EXPECT_EQ(KVM_EXIT_MEMORY_FAULT, __fault->exit_reason);		\
	EXPECT_EQ(GUEST_GPA + BAD * PAGE_BYTES, __fault->gpa);		\
} while (0)

TEST_F(td_poison, takes_the_page_and_is_told_to_who_touches_it)
{
	enum state state;
	__u64 gpa;

	FOR_EACH_STATE(state) {
		ASSERT_OK(begin(self, variant->type, state));
		POISON();
		/* In the file still, and held by who wants it never to be free again. */
		EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
		EXPECT_HELD(self->fd, BAD, 1, 0, 1);
		if (guest_td(self->g) && !emulator_why_not()) {
			EXPECT_ERR(ENOENT, emulator_private_gpa(self->pfn, &gpa));
		}
		EXPECT_OTHERS_GOOD();

		if (state == CONVERTED) {
			/* It looks at other memory now; and then it does not. */
			EXPECT_OK(guest_touch(self->g, BAD, 1, DATA));
			ASSERT_OK(guest_set_private(self->g, BAD, 1, true));
		}
		EXPECT_TOLD();
		EXPECT_TOLD();
		EXPECT_OTHERS_GOOD();
		EXPECT_HELD(self->fd, BAD, 1, 0, 1);
	}
}

TEST_F(td_poison, is_told_to_a_prefault)
{
	POISON();
	EXPECT_ERR(EHWPOISON, guest_prefault(self->g, BAD, 1));
	EXPECT_ERR(EHWPOISON, guest_prefault(self->g, FIRST, NR));
	EXPECT_HELD(self->fd, BAD, 1, 0, 1);
	EXPECT_OTHERS_GOOD();
}

TEST_F(td_poison, is_not_undone_by_a_conversion)
{
	REQUIRE(guest_has_private(self->g) ? NULL : "this VM type has no private memory");
	POISON();
	ASSERT_OK(guest_set_private(self->g, BAD, 1, false));
	EXPECT_OK(guest_touch(self->g, BAD, 1, DATA));
	ASSERT_OK(guest_set_private(self->g, BAD, 1, true));
	EXPECT_TOLD();
	EXPECT_OTHERS_GOOD();
}

TEST_F(td_poison, ends_with_a_punch_for_the_guest_but_not_for_the_frame)
{
	enum state state;

	FOR_EACH_STATE(state) {
		ASSERT_OK(begin(self, variant->type, state));
		POISON();
		ASSERT_OK(gmem_punch(self->fd, BAD, 1));
		EXPECT_ABSENT(self->fd, BAD, 1);
		EXPECT_ORPHANED(self->before, BAD, 1, 1);
		if (state == CONVERTED) {
			ASSERT_OK(guest_set_private(self->g, BAD, 1, true));
		}
		EXPECT_OK(guest_verify_zero(self->g, BAD, 1));
		EXPECT_OK(guest_touch(self->g, BAD, 1, DATA));
		EXPECT_OTHERS_GOOD();
		EXPECT_ORPHANED(self->before, BAD, 1, 1);

		ASSERT_OK(poison_undo(self->pfn));
		EXPECT_EQ(0, poison_is(self->pfn));
		EXPECT_FREED(self->before, BAD, 1);
	}
}

TEST_F(td_poison, gives_the_frame_to_nobody_else)
{
	struct census *more;
	int file;
	__u64 i;

	POISON();
	ASSERT_OK(gmem_punch(self->fd, BAD, 1));
	file = gmem_create(guest_vm(self->g), MORE, 0);
	ASSERT_OK(file);
	ASSERT_OK(gmem_allocate(file, 0, MORE));
	ASSERT_OK(census_take(&more, file, 0, MORE));
	for (i = 0; i < MORE; i++)
		EXPECT_NE(self->pfn, folio_pfn(census_page(more, i)));
	census_free(more);
	close(file);
	EXPECT_ORPHANED(self->before, BAD, 1, 1);
	EXPECT_EQ(1, poison_is(self->pfn));
}

TEST_F(td_poison, ends_with_the_file_but_for_the_frame)
{
	POISON();
	ASSERT_OK(guest_close_gmem(self->g));
	EXPECT_FREED(self->before, 0, BAD);
	EXPECT_FREED(self->before, BAD + 1, NR_PAGES - BAD - 1);
	EXPECT_ORPHANED(self->before, BAD, 1, 1);
	guest_destroy(self->g);
	self->g = NULL;
	EXPECT_ORPHANED(self->before, BAD, 1, 1);
	ASSERT_OK(poison_undo(self->pfn));
	EXPECT_FREED(self->before, BAD, 1);
}

TEST_F(td_poison, is_known_when_it_comes_again)
{
	POISON();
	EXPECT_ERR(EHWPOISON, poison_inject(self->pfn));
	EXPECT_HELD(self->fd, BAD, 1, 0, 1);
	EXPECT_OTHERS_GOOD();
}

TEST_F(td_poison, is_not_spread_by_a_new_slot)
{
	POISON();
	ASSERT_OK(guest_move(self->g, GUEST_SLOT, 0, NR_PAGES, GUEST_GPA));
	if (guest_has_private(self->g)) {
		ASSERT_OK(guest_set_private(self->g, 0, NR_PAGES, true));
	}
	EXPECT_ERR(EFAULT, guest_touch(self->g, BAD, 1, DATA));
	EXPECT_EQ(EHWPOISON, guest_fault(self->g)->err);
	EXPECT_OK(guest_touch(self->g, FIRST, BAD - FIRST, DATA));
	EXPECT_HELD(self->fd, BAD, 1, 0, 1);
}

static int touch_others(void *g)
{
	return guest_touch(g, FIRST, BAD - FIRST, DATA);
}

TEST_F(td_poison, does_not_stop_a_guest_that_works_elsewhere)
{
	struct busy vcpu;

	ASSERT_OK(busy_start(&vcpu, touch_others, self->g));
	POISON();
	EXPECT_OK(busy_wait(&vcpu, 2));
	EXPECT_OK(busy_end(&vcpu));
	EXPECT_OTHERS_GOOD();
}

/*
 * Shared memory
 */

static sigjmp_buf bus;
static volatile int bus_code;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	bus_code = info->si_code;
	siglongjmp(bus, 1);
}

/* si_code of the SIGBUS that a read of @addr ends in; 0 if it does not. */
static int read_ends_in(volatile char *addr)
{
	struct sigaction action = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO }, was;

	sigaction(SIGBUS, &action, &was);
	bus_code = 0;
	if (!sigsetjmp(bus, 1))
		(void)*addr;
	sigaction(SIGBUS, &was, NULL);
	return bus_code;
}

static atomic_int signals;

static void count_bus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	if (info->si_code == BUS_MCEERR_AR)
		atomic_fetch_add(&signals, 1);
	else
		_exit(SUPERVISE_FAIL);
}

TEST_F(td_poison, of_shared_memory_is_told_to_the_host_by_a_signal)
{
	struct sigaction action = { .sa_sigaction = count_bus, .sa_flags = SA_SIGINFO };
	char *shared = guest_shared(self->g, BAD);
	int answer;
	__u64 pfn;

	ASSERT_NE(NULL, shared);
	if (guest_has_private(self->g)) {
		ASSERT_OK(guest_set_private(self->g, BAD, 1, false));
	}
	ASSERT_OK(guest_touch(self->g, BAD, 1, DATA));
	*(volatile __u64 *)shared = DATA;
	ASSERT_OK(folio_proc_pfn(shared, &pfn));

	/* Who has it mapped is told at once; the guest_memfd's answer is is_handled()'s. */
	atomic_store(&signals, 0);
	sigaction(SIGBUS, &action, NULL);
	answer = poison_behind(shared);
	EXPECT_EQ(1, atomic_load(&signals));
	EXPECT_TRUE(!answer || (guest_mappable(self->g) && answer == -EBUSY));
	ASSERT_EQ(1, poison_is(pfn));
	EXPECT_EQ(BUS_MCEERR_AR, read_ends_in(shared));
	EXPECT_OTHERS_GOOD();

	/* The private page has nothing to do with it. */
	if (guest_has_private(self->g)) {
		EXPECT_EQ(0, poison_is(self->pfn));
		ASSERT_OK(guest_set_private(self->g, BAD, 1, true));
		EXPECT_OK(guest_touch(self->g, BAD, 1, DATA));
		EXPECT_HELD(self->fd, BAD, 1, 0, 0);
		ASSERT_SYS(madvise(shared, PAGE_BYTES, MADV_DONTNEED));
		ASSERT_OK(guest_set_private(self->g, BAD, 1, false));
		EXPECT_OK(guest_verify_zero(self->g, BAD, 1));
		ASSERT_OK(poison_undo(pfn));
	}
}

/* KVM sends the signal to who runs the vCPU, and the guest comes back to it. */
TEST_F(td_poison, of_shared_memory_is_told_to_the_vcpus_thread_by_a_signal)
{
	struct sigaction action = { .sa_sigaction = count_bus, .sa_flags = SA_SIGINFO };
	char *shared = guest_shared(self->g, BAD);
	struct td_mailbox order = {
		.op = TD_OP_WRITE, .flags = TD_SHARED, .nr = 1,
		.gpa = GUEST_GPA + BAD * PAGE_BYTES, .pattern = DATA,
	};
	__u64 pfn;

	REQUIRE(guest_td(self->g) ? NULL : "other guests are told in the same way");
	ASSERT_OK(guest_set_private(self->g, BAD, 1, false));
	*(volatile __u64 *)shared = DATA;
	ASSERT_OK(folio_proc_pfn(shared, &pfn));
	/* Not by its address, or this process would be told before KVM is. */
	EXPECT_OK(poison_inject(pfn));

	atomic_store(&signals, 0);
	sigaction(SIGBUS, &action, NULL);
	EXPECT_ERR(EINTR, td_order(guest_td(self->g), 0, &order));
	EXPECT_LE(1, atomic_load(&signals));

	/* Who replaces the memory can let it go on. */
	ASSERT_SYS(madvise(shared, PAGE_BYTES, MADV_DONTNEED));
	EXPECT_OK(td_resume(guest_td(self->g), 0, &order));
	EXPECT_EQ(DATA, *(volatile __u64 *)shared);
	EXPECT_OTHERS_GOOD();
	ASSERT_OK(poison_undo(pfn));
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_KPAGE | NEED_PAGEMAP,
      .serial = true)
