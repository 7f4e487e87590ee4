// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory that a TD starts with: KVM_TDX_INIT_MEM_REGION copies it from the
 * caller's pages, which stay the caller's, into pages of the guest_memfd, which stay
 * that file's; whether it succeeds, fails or ends in the middle.
 *
 * Claims: C2, C4, B02
 */
#include <sys/mman.h>
#include <unistd.h>

#include "emulator.h"
#include "gmem.h"
#include "poison.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	16ull
#define BYTES		(NR_PAGES * PAGE_BYTES)
#define HALF		(NR_PAGES / 2)
#define DATA		0x1d17000000000000ull

/* What the source is. */
enum source {
	ANONYMOUS,
	SHARED_FILE,		/* a memfd, mapped shared */
	READ_ONLY,		/* the same, mapped for reading */
	GUEST_MEMFD,		/* shared memory of another VM */
	NR_SOURCES,
};

FIXTURE(td_initial) {
	struct td *td;
	struct guest *other;	/* whose guest_memfd the source is */
	int fd;
	char *source;
	__u64 held;		/* each page of the source: by the mapping and a file */
	struct census *before;
	struct meter at_start;
};

FIXTURE_VARIANT(td_initial) {};
FIXTURE_VARIANT_ADD(td_initial, tdx) {};

static int fill(char *memory)
{
	__u64 i, *word = (__u64 *)memory;

	for (i = 0; i < BYTES / sizeof(*word); i++)
		word[i] = DATA + i / (PAGE_BYTES / sizeof(*word));
	return 0;
}

/* Filled, then mapped as the kind wants. */
static int make_source(enum source kind, struct guest *other, char **out)
{
	char *memory;
	int fd = -1, rc = 0;

	if (kind == GUEST_MEMFD) {
		rc = gmem_map(guest_gmem(other), 0, NR_PAGES, (void **)out);
		return rc ?: fill(*out);
	}
	if (kind != ANONYMOUS) {
		fd = memfd_create("source", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, BYTES))
			return -errno;
	}
	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		      fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	fill(memory);
	if (kind == READ_ONLY) {
		munmap(memory, BYTES);
		memory = mmap(NULL, BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
		if (memory == MAP_FAILED)
			rc = -errno;
	}
	if (fd >= 0)
		close(fd);
	*out = memory;
	return rc;
}

static int set_slot(struct td *td, int fd, __u64 nr)
{
	return td_set_slot(td, GUEST_SLOT, nr ? KVM_MEM_GUEST_MEMFD : 0, GUEST_GPA, nr, NULL, fd);
}

static int begin(FIXTURE_DATA(td_initial) *self, enum source source)
{
	const struct td_plan plan = {};
	int rc = 0;

	if (source == GUEST_MEMFD)
		rc = guest_create_unbound(&self->other, GUEST_DEFAULT, NR_PAGES);
	rc = rc ?: make_source(source, self->other, &self->source);
	self->held = 1 + (source != ANONYMOUS);

	/* Up to where memory may be added. */
	rc = rc ?: td_open(&self->td);
	if (rc)
		return rc;
	self->fd = gmem_create(td_vm(self->td), NR_PAGES, 0);
	if (self->fd < 0)
		return self->fd;
	return td_init(self->td, &plan) ?: td_add_vcpu(self->td) ?:
	       td_init_vcpu(self->td, 0, 0) ?: td_add_payload(self->td) ?:
	       td_load_payload(self->td, true) ?: set_slot(self->td, self->fd, NR_PAGES) ?:
	       td_set_private(self->td, GUEST_GPA, NR_PAGES, true);
}

static void end(FIXTURE_DATA(td_initial) *self)
{
	census_free(self->before);
	self->before = NULL;
	td_close(self->td);
	self->td = NULL;
	if (self->fd >= 0)
		close(self->fd);
	self->fd = -1;
	if (self->source)
		munmap(self->source, BYTES);
	self->source = NULL;
	guest_destroy(self->other);
	self->other = NULL;
}

FIXTURE_SETUP(td_initial)
{
	self->fd = -1;
	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(meter_read(&self->at_start));
	ASSERT_OK(begin(self, ANONYMOUS));
}

FIXTURE_TEARDOWN(td_initial)
{
	end(self);
}

#define EXPECT_MAPPED(first, nr)	EXPECT_HELD(self->fd, first, nr, 0, 0)
#define EXPECT_SOURCE_KEPT()		EXPECT_HELD_BEHIND(self->source, NR_PAGES, self->held)

#define GPA(page) (GUEST_GPA + (page) * PAGE_BYTES)

/* Pages from @first on, each from its place in the source. */
#define ADD(first, nr, left)						\
	td_init_memory(self->td, GPA(first), self->source + (first) * PAGE_BYTES, nr, true, left)

static int verify(struct td *td, __u64 first, __u64 nr)
{
	return td_pages(td, 0, TD_OP_VERIFY_FILL, GPA(first), nr, DATA + first, 0);
}

static int verify_zero(struct td *td, __u64 first, __u64 nr)
{
	return td_pages(td, 0, TD_OP_VERIFY_ZERO, GPA(first), nr, 0, 0);
}

/* Close all, and see that it is all. */
#define EXPECT_GOOD_END() do {						\
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));	\
	td_close(self->td);						\
	self->td = NULL;						\
	close(self->fd);						\
	self->fd = -1;							\
	EXPECT_FREED(self->before, 0, NR_PAGES);			\
	EXPECT_BACK(&self->at_start, METER_HKIDS, 0);			\
	EXPECT_SOURCE_KEPT();						\
} while (0)

/*
 * Claims: C2, B01, B44
 */
TEST_F(td_initial, takes_no_reference_and_keeps_none_of_its_source)
{
	enum source source;
	int measured;

	for (source = 0; source < NR_SOURCES; source++) {
		for (measured = 0; measured < 2; measured++) {
			end(self);
			ASSERT_OK(begin(self, source));
			EXPECT_SOURCE_KEPT();
			EXPECT_ABSENT(self->fd, 0, NR_PAGES);
			ASSERT_OK(td_init_memory(self->td, GUEST_GPA, self->source, NR_PAGES,
						 measured, NULL));
			EXPECT_MAPPED(0, NR_PAGES);
			EXPECT_SOURCE_KEPT();
			ASSERT_OK(td_finalize(self->td));
			EXPECT_MAPPED(0, NR_PAGES);
			EXPECT_OK(verify(self->td, 0, NR_PAGES));
			EXPECT_MAPPED(0, NR_PAGES);
			EXPECT_GOOD_END();
		}
	}
}

TEST_F(td_initial, is_what_was_there_before)
{
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	EXPECT_HELD(self->fd, 0, NR_PAGES, 0, 0);
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(ADD(0, NR_PAGES, NULL));
	EXPECT_MAPPED(0, NR_PAGES);
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
}

TEST_F(td_initial, is_not_added_twice)
{
	__u64 left = 0;

	ASSERT_OK(ADD(0, HALF, NULL));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	EXPECT_ERR(EIO, ADD(HALF - 1, 2, &left));
	EXPECT_EQ(2, left);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_SOURCE_KEPT();
	/* And that was not the end of the TD. */
	ASSERT_OK(ADD(HALF, HALF, NULL));
	ASSERT_OK(td_finalize(self->td));
	EXPECT_OK(verify(self->td, 0, NR_PAGES));
	EXPECT_GOOD_END();
}

TEST_F(td_initial, ends_where_the_source_ends)
{
	__u64 left = 0;

	ASSERT_SYS(mprotect(self->source + HALF * PAGE_BYTES, PAGE_BYTES, PROT_NONE));
	EXPECT_ERR(EFAULT, ADD(0, NR_PAGES, &left));
	EXPECT_EQ(NR_PAGES - HALF, left);
	EXPECT_MAPPED(0, HALF);
	EXPECT_ABSENT(self->fd, HALF + 1, HALF - 1);
	EXPECT_SOURCE_KEPT();
	ASSERT_SYS(mprotect(self->source + HALF * PAGE_BYTES, PAGE_BYTES, PROT_READ));
	ASSERT_OK(ADD(HALF, HALF, NULL));
	ASSERT_OK(td_finalize(self->td));
	EXPECT_OK(verify(self->td, 0, NR_PAGES));
	EXPECT_GOOD_END();
}

TEST_F(td_initial, is_refused_where_memory_is_shared)
{
	__u64 left = 0;

	ASSERT_OK(td_set_private(self->td, GPA(HALF), 1, false));
	EXPECT_ERR(EINVAL, ADD(0, NR_PAGES, &left));
	EXPECT_EQ(NR_PAGES - HALF, left);
	EXPECT_MAPPED(0, HALF);
	EXPECT_ABSENT(self->fd, HALF + 1, HALF - 1);
	EXPECT_SOURCE_KEPT();
	EXPECT_GOOD_END();
}

TEST_F(td_initial, can_be_punched_before_the_td_is_finalized)
{
	ASSERT_OK(ADD(0, NR_PAGES, NULL));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(gmem_punch(self->fd, HALF, 3));
	EXPECT_FREED(self->before, HALF, 3);
	EXPECT_IN_PLACE(self->before, 0, HALF);
	census_free(self->before);
	self->before = NULL;
	/* One of them anew. */
	ASSERT_OK(ADD(HALF, 1, NULL));
	ASSERT_OK(td_finalize(self->td));
	EXPECT_OK(verify(self->td, 0, HALF + 1));
	EXPECT_OK(verify_zero(self->td, HALF + 1, 2));
	EXPECT_OK(verify(self->td, HALF + 3, HALF - 3));
	EXPECT_MAPPED(0, NR_PAGES);
	EXPECT_GOOD_END();
}

TEST_F(td_initial, can_be_converted_before_the_td_is_finalized)
{
	ASSERT_OK(ADD(0, NR_PAGES, NULL));
	ASSERT_OK(td_set_private(self->td, GPA(HALF), 2, false));
	EXPECT_HELD(self->fd, HALF, 2, 0, 0);
	ASSERT_OK(td_set_private(self->td, GPA(HALF), 2, true));
	ASSERT_OK(td_finalize(self->td));
	EXPECT_OK(verify(self->td, 0, HALF));
	EXPECT_OK(verify_zero(self->td, HALF, 2));
	EXPECT_MAPPED(0, NR_PAGES);
	EXPECT_GOOD_END();
}

TEST_F(td_initial, can_lose_its_slot_before_the_td_is_finalized)
{
	ASSERT_OK(ADD(0, HALF, NULL));
	ASSERT_OK(set_slot(self->td, -1, 0));
	EXPECT_HELD(self->fd, 0, HALF, 0, 0);
	ASSERT_OK(td_finalize(self->td));
	EXPECT_ERR(EFAULT, td_pages(self->td, 0, TD_OP_WRITE, GPA(0), 1, 1, 0));

	ASSERT_OK(set_slot(self->td, self->fd, NR_PAGES));
	EXPECT_OK(verify_zero(self->td, 0, NR_PAGES));
	EXPECT_MAPPED(0, NR_PAGES);
	EXPECT_GOOD_END();
}

TEST_F(td_initial, may_be_a_half)
{
	ASSERT_OK(ADD(0, HALF, NULL));
	ASSERT_OK(td_finalize(self->td));
	EXPECT_OK(verify(self->td, 0, HALF));
	EXPECT_OK(verify_zero(self->td, HALF, HALF));
	EXPECT_MAPPED(0, NR_PAGES);
	EXPECT_GOOD_END();
}

TEST_F(td_initial, may_be_given_up_in_the_middle)
{
	ASSERT_OK(ADD(0, HALF, NULL));
	ASSERT_OK(gmem_allocate(self->fd, HALF, 2));
	EXPECT_GOOD_END();
}

/*
 * Nobody has written to these pages but the TDX module, so the kernel takes them for
 * clean, and a clean page that nobody holds but the page cache can be dropped; if it
 * were not for the S-EPT, of which the page cache knows nothing.
 *
 * Claims: C1, C5
 */
TEST_F(td_initial, is_left_to_no_retirement)
{
	__u64 pfn, gpa = 0;
	int retirement;

	REQUIRE(poison_why_not());
	ASSERT_OK(ADD(0, NR_PAGES, NULL));
	ASSERT_OK(td_finalize(self->td));
	EXPECT_OK(verify(self->td, 0, NR_PAGES));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	pfn = folio_pfn(census_page(self->before, HALF));

	retirement = poison_retire(pfn);
	REQUIRE(retirement == -EOPNOTSUPP ? "this kernel replaces no pages" : NULL);
	EXPECT_NE(0, retirement);
	EXPECT_EQ(0, poison_is(pfn));
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	if (!emulator_why_not()) {
		EXPECT_OK(emulator_private_gpa(pfn, &gpa));
		EXPECT_EQ(GPA(HALF), gpa);
	}
	EXPECT_OK(verify(self->td, 0, NR_PAGES));
	end(self);
	if (poison_is(pfn) == 1) {
		EXPECT_OK(poison_undo(pfn));
	}
}

/*
 * Claims: C3
 */
TEST_F(td_initial, is_added_though_the_module_is_busy)
{
	struct emulator_calls busy;

	REQUIRE(emulator_why_not());
	ASSERT_OK(emulator_count_start());
	ASSERT_OK(emulator_inject("MEM.PAGE.ADD", "OPERAND_BUSY|TDR", "after=3 times=7"));
	ASSERT_OK(ADD(0, NR_PAGES, NULL));
	ASSERT_OK(emulator_count("MEM.PAGE.ADD", "OPERAND_BUSY", &busy));
	EXPECT_EQ(7, busy.injected);
	EXPECT_MAPPED(0, NR_PAGES);
	EXPECT_SOURCE_KEPT();
	EXPECT_GOOD_END();
}

/*
 * Claims: C3
 */
TEST_F(td_initial, keeps_nothing_of_what_failed)
{
	__u64 left = 0;

	REQUIRE(emulator_why_not());
	ASSERT_OK(emulator_inject("MEM.PAGE.ADD", "OPERAND_INVALID|RCX", "after=5 times=1"));
	supervise_allow_kmsg("WARN");
	supervise_expect_kmsg("SEAMCALL failed");
	EXPECT_ERR(EIO, ADD(0, NR_PAGES, &left));
	EXPECT_EQ(NR_PAGES - 5, left);
	EXPECT_MAPPED(0, 5);
	EXPECT_HELD(self->fd, 5, 1, 0, 0);
	EXPECT_ABSENT(self->fd, 6, NR_PAGES - 6);
	EXPECT_SOURCE_KEPT();
	EXPECT_GOOD_END();
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_PAGEMAP,
      .serial = true)
