// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of a guest_memfd become a TD's and shared memory again where they are, by a
 * conversion in place: the S-EPT has the very page that the host had, and has it no
 * more when the host has it back.
 *
 * That a page is mapped in the S-EPT must not be seen in its references: who converts
 * cannot tell one that the S-EPT has from one that somebody else has for a moment, and
 * would wait for it for ever.  That is why Linux 6.19 dropped the pin.
 *
 * in_place has the call itself; what it needs is said there.
 *
 * Claims: C2, C6, C15
 */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>
#include <linux/kvm_para.h>

#include "gmem.h"
#include "pin.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	16ull
#define BYTES		(NR_PAGES * PAGE_BYTES)
#define FIRST		4ull
#define NR		8ull
#define HELD		(FIRST + 3)
#define SLOT		(GUEST_SLOT + 1)
#define GPA(page)	(GUEST_GPA + (1ull << 30) + (page) * PAGE_BYTES)
#define HOSTS		0x4057000000000000ull
#define GUESTS		0x6e57000000000000ull
#define ROUNDS		50

FIXTURE(td_in_place) {
	struct guest *g;
	struct td *td;
	int fd;
	char *map;
	struct census *before;
	unsigned int nr_maps;
};

FIXTURE_VARIANT(td_in_place) {};
FIXTURE_VARIANT_ADD(td_in_place, tdx) {};

/* The host writes what TD_OP_VERIFY looks for. */
static void host_writes(char *map, __u64 first, __u64 nr)
{
	__u64 i;

	for (i = 0; i < nr; i++)
		*(volatile __u64 *)(map + (first + i) * PAGE_BYTES) = HOSTS + i;
}

static bool host_reads(const char *map, __u64 first, __u64 nr, __u64 pattern)
{
	__u64 i;

	for (i = 0; i < nr; i++) {
		if (*(const volatile __u64 *)(map + (first + i) * PAGE_BYTES) != pattern + i)
			return false;
	}
	return true;
}

static int as_shared(struct td *td, enum td_op op, __u64 first, __u64 nr, __u64 pattern)
{
	return td_pages(td, 0, op, GPA(first), nr, pattern, TD_SHARED);
}

static int as_private(struct td *td, enum td_op op, __u64 first, __u64 nr, __u64 pattern)
{
	return td_pages(td, 0, op, GPA(first), nr, pattern, 0);
}

FIXTURE_SETUP(td_in_place)
{
	const __u64 flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;

	self->fd = -1;
	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(guest_create(&self->g, GUEST_TDX, 1));
	self->td = guest_td(self->g);
	REQUIRE(gmem_convert_why_not(guest_vm(self->g)));
	self->fd = gmem_create(guest_vm(self->g), NR_PAGES, flags);
	ASSERT_SYS(self->fd);
	ASSERT_OK(gmem_map(self->fd, 0, NR_PAGES, (void **)&self->map));
	ASSERT_OK(td_set_slot(self->td, SLOT, KVM_MEM_GUEST_MEMFD, GPA(0), NR_PAGES, NULL, self->fd));
	host_writes(self->map, 0, NR_PAGES);
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
}

FIXTURE_TEARDOWN(td_in_place)
{
	census_free(self->before);
	if (self->map)
		munmap(self->map, BYTES);
	guest_destroy(self->g);
	if (self->fd >= 0)
		close(self->fd);
}

TEST_F(td_in_place, gives_the_td_the_pages_that_the_host_had)
{
	EXPECT_OK(as_shared(self->td, TD_OP_VERIFY, 0, NR_PAGES, HOSTS));
	ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, true));
	EXPECT_OK(as_private(self->td, TD_OP_VERIFY_ZERO, FIRST, NR, 0));
	EXPECT_OK(as_private(self->td, TD_OP_WRITE, FIRST, NR, GUESTS));
	EXPECT_OK(as_private(self->td, TD_OP_VERIFY, FIRST, NR, GUESTS));

	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	EXPECT_HELD(self->fd, FIRST, NR, 0, 0);
	EXPECT_ERR(EFAULT, gmem_reach(self->map, FIRST));
	EXPECT_ERR(EFAULT, gmem_reach(self->map, FIRST + NR - 1));
	/* Their neighbours are as they were. */
	EXPECT_UNTOUCHED(self->before, 0, FIRST);
	EXPECT_UNTOUCHED(self->before, FIRST + NR, NR_PAGES - FIRST - NR);
	EXPECT_TRUE(host_reads(self->map, 0, FIRST, HOSTS));
	EXPECT_OK(as_shared(self->td, TD_OP_VERIFY, 0, FIRST, HOSTS));
}

TEST_F(td_in_place, takes_them_from_the_td_and_gives_them_back)
{
	ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, true));
	ASSERT_OK(as_private(self->td, TD_OP_WRITE, FIRST, NR, GUESTS));
	/* The S-EPT is nobody to wait for. */
	ASSERT_OK(gmem_convert(self->fd, FIRST, NR, false, NULL));
	host_writes(self->map, FIRST, NR);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_TRUE(host_reads(self->map, FIRST, NR, HOSTS));
	EXPECT_OK(as_shared(self->td, TD_OP_VERIFY, FIRST, NR, HOSTS));
	EXPECT_OK(as_shared(self->td, TD_OP_WRITE, FIRST, NR, GUESTS));
	EXPECT_TRUE(host_reads(self->map, FIRST, NR, GUESTS));
	EXPECT_ERR(EFAULT, as_private(self->td, TD_OP_VERIFY, FIRST, 1, GUESTS));
}

TEST_F(td_in_place, to_and_fro_takes_no_reference_and_drops_none)
{
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, true));
		ASSERT_OK(as_private(self->td, TD_OP_WRITE, FIRST, NR, GUESTS + round));
		ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, false));
		ASSERT_OK(as_shared(self->td, TD_OP_WRITE, FIRST, NR, HOSTS + round));
	}
	EXPECT_TRUE(host_reads(self->map, FIRST, NR, HOSTS + round - 1));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

TEST_F(td_in_place, waits_for_who_holds_a_page_and_the_td_does_not)
{
	struct pin *pin;
	__u64 page;
	int kind, tried = 0;

	for (kind = 0; kind < PIN_NR_KINDS; kind++) {
		if (pin_why_not(kind))
			continue;
		tried++;
		ASSERT_OK(as_shared(self->td, TD_OP_WRITE, 0, NR_PAGES, HOSTS));
		ASSERT_OK(pin_take(&pin, kind, self->map + HELD * PAGE_BYTES, 2));
		page = 0;
		EXPECT_ERR(EAGAIN, gmem_convert_patiently(self->fd, FIRST, NR, true));
		EXPECT_ERR(EAGAIN, gmem_convert(self->fd, FIRST, NR, true, &page));
		EXPECT_EQ(HELD, page);
		/* It had to be unmapped from the TD to look, and is there again. */
		EXPECT_OK(as_shared(self->td, TD_OP_VERIFY, 0, NR_PAGES, HOSTS));
		pin_release(pin);
		ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, true));
		EXPECT_OK(as_private(self->td, TD_OP_WRITE, FIRST, NR, GUESTS));
		EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
		ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, false));
	}
	EXPECT_LT(0, tried);
}

TEST_F(td_in_place, leaves_what_is_private_to_a_punch)
{
	ASSERT_OK(gmem_convert_patiently(self->fd, FIRST, NR, true));
	ASSERT_OK(as_private(self->td, TD_OP_WRITE, FIRST, NR, GUESTS));
	ASSERT_OK(gmem_punch(self->fd, FIRST + 1, NR - 2));
	EXPECT_FREED(self->before, FIRST + 1, NR - 2);
	EXPECT_OK(as_private(self->td, TD_OP_VERIFY, FIRST, 1, GUESTS));
	/* A new page, which is private from the first. */
	EXPECT_OK(as_private(self->td, TD_OP_VERIFY_ZERO, FIRST + 1, NR - 2, 0));
	EXPECT_ERR(EFAULT, gmem_reach(self->map, FIRST + 1));
	EXPECT_UNTOUCHED(self->before, 0, FIRST);
}

/* As a VMM does that has no other memory for the guest. */
static int convert_as_asked(struct td *td, unsigned int vcpu, struct kvm_run *run, void *arg)
{
	FIXTURE_DATA(td_in_place) *self = arg;
	const bool private = run->hypercall.args[2] & KVM_MAP_GPA_RANGE_ENCRYPTED;
	int rc;

	(void)td;
	(void)vcpu;
	if (run->exit_reason != KVM_EXIT_HYPERCALL)
		return 0;
	self->nr_maps++;
	rc = gmem_convert_patiently(self->fd, (run->hypercall.args[0] - GPA(0)) / PAGE_BYTES,
				    run->hypercall.args[1], private);
	run->hypercall.ret = 0;
	return rc ?: 1;
}

TEST_F(td_in_place, is_what_the_guest_asks_for)
{
	td_on_exit(self->td, convert_as_asked, self);
	ASSERT_OK(as_private(self->td, TD_OP_MAP_GPA, FIRST, NR, 0));
	EXPECT_OK(as_private(self->td, TD_OP_WRITE, FIRST, NR, GUESTS));
	EXPECT_ERR(EFAULT, gmem_reach(self->map, FIRST));
	ASSERT_OK(as_shared(self->td, TD_OP_MAP_GPA, FIRST, NR, 0));
	EXPECT_OK(as_shared(self->td, TD_OP_WRITE, FIRST, NR, GUESTS));
	EXPECT_TRUE(host_reads(self->map, FIRST, NR, GUESTS));
	EXPECT_EQ(2, self->nr_maps);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

struct converter {
	pthread_t thread;
	int fd, rc;
	bool done;
};

static void *convert_to_and_fro(void *arg)
{
	struct converter *c = arg;
	unsigned int i;

	for (i = 0; i < 2 * ROUNDS && !c->rc; i++) {
		c->rc = gmem_convert_patiently(c->fd, FIRST, NR, !(i & 1));
		/* Or the guest would come to nothing between two of them. */
		usleep(i % 8 * 50);
	}
	__atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/*
 * The guest uses what it has not, half of the time, and is told so.  A fault has a
 * reference for a moment, which delays a conversion and no more (C7).
 */
TEST_F(td_in_place, may_happen_while_the_guest_uses_it)
{
	struct converter c = { .fd = self->fd };
	unsigned int i, used = 0;
	int rc = 0;

	ASSERT_EQ(0, pthread_create(&c.thread, NULL, convert_to_and_fro, &c));
	for (i = 0; !__atomic_load_n(&c.done, __ATOMIC_ACQUIRE); i++) {
		rc = i & 1 ? as_private(self->td, TD_OP_WRITE, FIRST + i % NR, 1, GUESTS) :
			     as_shared(self->td, TD_OP_WRITE, FIRST + i % NR, 1, HOSTS);
		if (rc && rc != -EFAULT)
			break;
		used += !rc;
	}
	pthread_join(c.thread, NULL);
	EXPECT_TRUE(!rc || rc == -EFAULT);
	EXPECT_OK(c.rc);
	TH_LOG("%u of %u times the guest had the page", used, i);
	EXPECT_NE(0, used);

	host_writes(self->map, FIRST, NR);
	EXPECT_OK(as_shared(self->td, TD_OP_VERIFY, FIRST, NR, HOSTS));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT)
