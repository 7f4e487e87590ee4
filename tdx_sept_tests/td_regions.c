// SPDX-License-Identifier: GPL-2.0-only
/*
 * Initial memory, pre-faults and slots of a TD: what cannot be is refused with its
 * errno and has changed nothing; what can be done of a range is done, and KVM tells
 * how far it came.
 *
 * Documentation/virt/kvm/x86/intel-tdx.rst, api.rst; arch/x86/kvm/vmx/tdx.c
 * tdx_vcpu_init_mem_region(), virt/kvm/guest_memfd.c kvm_gmem_populate().
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "cpu.h"
#include "emulator.h"
#include "gmem.h"
#include "poison.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	16ull
#define BYTES		(NR_PAGES * PAGE_BYTES)
#define SLOT		GUEST_SLOT
#define FREE_SLOT	20
#define FREE_GPA	(GUEST_GPA + (1ull << 30))
#define PATTERN		0xa26e000000000000ull

FIXTURE(td_regions) {
	struct td *td;
	int vm, vcpu, gmem;
	char *source;			/* twice as much as there are pages */
	__u64 shared_bit;
	struct census *before;
	struct meter at_start;
};

FIXTURE_VARIANT(td_regions) {
	struct td_plan plan;
};

FIXTURE_VARIANT_ADD(td_regions, tdx) {};
FIXTURE_VARIANT_ADD(td_regions, tdx_wide) { .plan.gpa_bits = 52 };

typedef FIXTURE_DATA(td_regions) world;

static int set_slot(const world *w, unsigned int nr, unsigned int flags, __u64 gpa, __u64 bytes,
		    int gmem)
{
	return td_set_slot(w->td, nr, flags, gpa, bytes / PAGE_BYTES, w->source, gmem);
}

/* To where its memory can be initialized. */
FIXTURE_SETUP(td_regions)
{
	self->gmem = -1;
	REQUIRE(need_join(guest_why_not(GUEST_TDX), td_width_why_not(&variant->plan), NEED_END));
	ASSERT_OK(meter_read(&self->at_start));
	self->source = mmap(NULL, 2 * BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->source);
	ASSERT_OK(td_open(&self->td));
	ASSERT_OK(td_init(self->td, &variant->plan));
	self->shared_bit = td_shared_bit(self->td);
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	self->vm = td_vm(self->td);
	self->vcpu = td_vcpu(self->td, 0);
	self->gmem = gmem_create(self->vm, NR_PAGES, 0);
	ASSERT_OK(self->gmem);
	ASSERT_OK(set_slot(self, SLOT, KVM_MEM_GUEST_MEMFD, GUEST_GPA, BYTES, self->gmem));
	ASSERT_OK(td_set_private(self->td, GUEST_GPA, NR_PAGES, true));
}

FIXTURE_TEARDOWN(td_regions)
{
	census_free(self->before);
	td_close(self->td);
	if (self->gmem >= 0)
		close(self->gmem);
	if (self->source)
		munmap(self->source, 2 * BYTES);
}

static int finish(world *w)
{
	return td_add_payload(w->td) ?: td_load_payload(w->td, true) ?: td_finalize(w->td);
}

/* It does what it is told, and leaves nothing behind. */
static void check_life(struct __test_metadata *_metadata, world *w)
{
	const bool has_memory = w->gmem >= 0;

	EXPECT_OK(td_pages(w->td, 0, TD_OP_NONE, 0, 0, 0, 0));
	if (has_memory) {
		census_free(w->before);
		w->before = NULL;
		ASSERT_OK(census_take(&w->before, w->gmem, 0, NR_PAGES));
	}
	td_close(w->td);
	w->td = NULL;
	if (has_memory) {
		close(w->gmem);
		w->gmem = -1;
		EXPECT_FREED(w->before, 0, NR_PAGES);
	}
	EXPECT_BACK(&w->at_start, METER_HKIDS, 0);
}

#define EXPECT_LIFE() check_life(_metadata, self)

/*
 * KVM_TDX_INIT_MEM_REGION
 */

struct region {
	const char *name;
	__u64 source, gpa, nr;		/* @source from self->source on, unless ~0: NULL */
	int want;
	__u64 left;			/* pages that KVM has not done */
};

#define NOWHERE (~0ull)

static int init_region(const world *w, const struct region *r, __u64 *left)
{
	struct kvm_tdx_init_mem_region region = {
		.source_addr = r->source == NOWHERE ? 0 : (__u64)w->source + r->source,
		.gpa = r->gpa,
		.nr_pages = r->nr,
	};
	int rc = td_cmd(w->vcpu, KVM_TDX_INIT_MEM_REGION, 0, &region, NULL);

	*left = region.nr_pages;
	return rc;
}

static void check_region(struct __test_metadata *_metadata, const world *w,
			 const struct region *r)
{
	struct finding f;
	char text[120];
	__u64 left;
	int rc = init_region(w, r, &left);

	snprintf(text, sizeof(text), "KVM_TDX_INIT_MEM_REGION %s", r->name);
	suite_check_rc(_metadata, __FILE__, __LINE__, text, rc, -r->want);
	finding_set(&f, "value", "%s: %llu pages left, wanted %llu", text, left, r->left);
	suite_check(_metadata, __FILE__, __LINE__, text, left != r->left, &f);
}

#define CHECK_REGION(...)						\
	check_region(_metadata, self, &(struct region){ __VA_ARGS__ })

TEST_F(td_regions, of_init_mem_region_are_pages_that_can_be)
{
	const __u64 last = self->shared_bit - PAGE_BYTES;
	const struct region rows[] = {
		{ "from an unaligned source", 1, GUEST_GPA, 1, EINVAL, 1 },
		{ "from no source", NOWHERE, GUEST_GPA, 1, EINVAL, 1 },
		{ "to an unaligned address", 0, GUEST_GPA + 1, 1, EINVAL, 1 },
		{ "to half a page", 0, GUEST_GPA + PAGE_BYTES / 2, 1, EINVAL, 1 },
		{ "of nothing", 0, GUEST_GPA, 0, EINVAL, 0 },
		{ "that wraps", 0, GUEST_GPA, 1ull << 52, EINVAL, 1ull << 52 },
		{ "that wraps by one page", 0, -PAGE_BYTES, 2, EINVAL, 2 },
		{ "to the last page of all", 0, -PAGE_BYTES, 1, EINVAL, 1 },
		{ "to a shared address", 0, self->shared_bit | GUEST_GPA, 1, EINVAL, 1 },
		{ "to the first shared address", 0, self->shared_bit, 1, EINVAL, 1 },
		{ "across the shared bit", 0, last, 2, EINVAL, 2 },
		{ "to where no slot is", 0, FREE_GPA, 1, EINVAL, 1 },
		{ "to where no slot is, at the last private address", 0, last, 1, EINVAL, 1 },
	};
	unsigned int i;

	ASSERT_OK(census_take(&self->before, self->gmem, 0, NR_PAGES));
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		check_region(_metadata, self, &rows[i]);
	EXPECT_ERR(EFAULT, td_cmd(self->vcpu, KVM_TDX_INIT_MEM_REGION, 0, NULL, NULL));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);

	CHECK_REGION("to all pages", 0, GUEST_GPA, NR_PAGES, 0, 0);
	EXPECT_HELD(self->gmem, 0, NR_PAGES, 0, 0);
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

/*
 * A number of pages that is so large that their bytes do not fit into 64 bits, but
 * look like one page when cut off.
 *
 * Claims: B36
 */
TEST_F(td_regions, of_init_mem_region_do_not_wrap_to_one_page)
{
	CHECK_REGION("of 2^52 + 1 pages", 0, GUEST_GPA, (1ull << 52) + 1, EINVAL, (1ull << 52) + 1);
	EXPECT_ABSENT(self->gmem, 0, NR_PAGES);
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

/* No guest has addresses that its host does not have. */
static const char *too_narrow(const world *w)
{
	if (set_slot(w, FREE_SLOT, 0, w->shared_bit - PAGE_BYTES, PAGE_BYTES, -1))
		return "the physical addresses of this host do not reach the shared bit";
	set_slot(w, FREE_SLOT, 0, 0, 0, -1);
	return NULL;
}

/*
 * The last page below the shared bit is private.
 *
 * Claims: B37
 */
TEST_F(td_regions, of_init_mem_region_end_with_the_last_private_page)
{
	const __u64 gpa = self->shared_bit - BYTES;

	ASSERT_OK(set_slot(self, SLOT, 0, 0, 0, -1));
	REQUIRE(too_narrow(self));
	ASSERT_OK(set_slot(self, SLOT, KVM_MEM_GUEST_MEMFD, gpa, BYTES, self->gmem));
	ASSERT_OK(td_set_private(self->td, gpa, NR_PAGES, true));
	CHECK_REGION("across the shared bit", 0, gpa, NR_PAGES + 1, EINVAL, NR_PAGES + 1);
	EXPECT_ABSENT(self->gmem, 0, NR_PAGES);
	CHECK_REGION("up to the shared bit", 0, gpa, NR_PAGES, 0, 0);
	EXPECT_HELD(self->gmem, 0, NR_PAGES, 0, 0);
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

TEST_F(td_regions, of_init_mem_region_are_in_a_slot_with_private_memory)
{
	ASSERT_OK(set_slot(self, FREE_SLOT, 0, FREE_GPA, BYTES, -1));
	ASSERT_OK(td_set_private(self->td, FREE_GPA, NR_PAGES, true));
	CHECK_REGION("to a slot without a guest_memfd", 0, FREE_GPA, 1, EINVAL, 1);

	ASSERT_OK(td_set_private(self->td, GUEST_GPA + 4 * PAGE_BYTES, 1, false));
	CHECK_REGION("to a page that is shared", 0, GUEST_GPA + 4 * PAGE_BYTES, 1, EINVAL, 1);
	CHECK_REGION("across a page that is shared", 0, GUEST_GPA, 8, EINVAL, 4);
	EXPECT_HELD(self->gmem, 0, 4, 0, 0);
	/* Looked up before it is known to be shared; it may stay. */
	EXPECT_ABSENT(self->gmem, 5, NR_PAGES - 5);

	CHECK_REGION("beyond the end of a slot", 5 * PAGE_BYTES, GUEST_GPA + 5 * PAGE_BYTES,
		     NR_PAGES, EINVAL, 5);
	EXPECT_HELD(self->gmem, 5, NR_PAGES - 5, 0, 0);
	ASSERT_OK(td_set_private(self->td, GUEST_GPA + 4 * PAGE_BYTES, 1, true));
	CHECK_REGION("to the page in between", 4 * PAGE_BYTES, GUEST_GPA + 4 * PAGE_BYTES, 1, 0, 0);
	EXPECT_HELD(self->gmem, 0, NR_PAGES, 0, 0);
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

/* A page that is there already is refused, and that is not the end of the TD. */
TEST_F(td_regions, of_init_mem_region_are_pages_that_are_not_there_yet)
{
	CHECK_REGION("to a page", 0, GUEST_GPA + 2 * PAGE_BYTES, 1, 0, 0);
	ASSERT_OK(census_take(&self->before, self->gmem, 0, NR_PAGES));
	CHECK_REGION("to that page again", 0, GUEST_GPA + 2 * PAGE_BYTES, 1, EIO, 1);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	CHECK_REGION("up to and over it", 0, GUEST_GPA, 4, EIO, 2);
	EXPECT_HELD(self->gmem, 0, 3, 0, 0);
	CHECK_REGION("behind it", 0, GUEST_GPA + 3 * PAGE_BYTES, NR_PAGES - 3, 0, 0);
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

/*
 * Read, and only read.
 *
 * Claims: B25, B44
 */
TEST_F(td_regions, of_init_mem_region_have_a_source_that_can_be_read)
{

	ASSERT_EQ(0, munmap(self->source + 3 * PAGE_BYTES, PAGE_BYTES));
	CHECK_REGION("from nothing", 3 * PAGE_BYTES, GUEST_GPA, 1, EFAULT, 1);
	EXPECT_ABSENT(self->gmem, 0, NR_PAGES);
	CHECK_REGION("from a source that ends", 0, GUEST_GPA, 8, EFAULT, 5);
	EXPECT_HELD(self->gmem, 0, 3, 0, 0);
	EXPECT_ABSENT(self->gmem, 3, NR_PAGES - 3);

	ASSERT_EQ(0, mprotect(self->source + 4 * PAGE_BYTES, PAGE_BYTES, PROT_NONE));
	CHECK_REGION("from what may not be read", 4 * PAGE_BYTES, GUEST_GPA + 3 * PAGE_BYTES, 1,
		     EFAULT, 1);
	EXPECT_ABSENT(self->gmem, 3, NR_PAGES - 3);

	ASSERT_EQ(0, mprotect(self->source + 5 * PAGE_BYTES, PAGE_BYTES, PROT_READ));
	CHECK_REGION("from what may only be read", 5 * PAGE_BYTES, GUEST_GPA + 3 * PAGE_BYTES, 1,
		     0, 0);
	/* Pages that nobody has touched. */
	CHECK_REGION("from untouched memory", NR_PAGES * PAGE_BYTES, GUEST_GPA + 4 * PAGE_BYTES,
		     NR_PAGES - 4, 0, 0);
	EXPECT_HELD(self->gmem, 0, NR_PAGES, 0, 0);
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

/* A file that may only be read, mapped so. */
TEST_F(td_regions, of_init_mem_region_may_come_from_a_read_only_file)
{
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	void *map;

	ASSERT_SYS(file);
	map = mmap(self->source, PAGE_BYTES, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0);
	ASSERT_NE(MAP_FAILED, map);
	close(file);
	CHECK_REGION("from a read-only file", 0, GUEST_GPA, 1, 0, 0);
	EXPECT_HELD(self->gmem, 0, 1, 0, 0);
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

TEST_F(td_regions, of_init_mem_region_have_a_guest_memfd_that_is_open)
{
	ASSERT_OK(gmem_allocate(self->gmem, 0, NR_PAGES));
	ASSERT_OK(census_take(&self->before, self->gmem, 0, NR_PAGES));
	close(self->gmem);
	self->gmem = -1;
	CHECK_REGION("to a guest_memfd that is gone", 0, GUEST_GPA, 1, EFAULT, 1);
	EXPECT_FREED(self->before, 0, NR_PAGES);
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

/* Where KVM cannot say how far it came, the pages are there all the same. */
TEST_F(td_regions, of_init_mem_region_are_where_the_rest_can_be_told)
{
	struct kvm_tdx_init_mem_region *region = (void *)self->source;

	*region = (struct kvm_tdx_init_mem_region){
		.source_addr = (__u64)self->source + PAGE_BYTES, .gpa = GUEST_GPA, .nr_pages = 2,
	};
	ASSERT_EQ(0, mprotect(self->source, PAGE_BYTES, PROT_READ));
	EXPECT_ERR(EFAULT, td_cmd(self->vcpu, KVM_TDX_INIT_MEM_REGION, 0, region, NULL));
	EXPECT_HELD(self->gmem, 0, 2, 0, 0);
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

/*
 * KVM_PRE_FAULT_MEMORY
 */

TEST_F(td_regions, of_pre_fault_are_private_pages_without_the_shared_bit)
{
	const __u64 last = self->shared_bit - PAGE_BYTES;
	const struct {
		const char *name;
		__u64 gpa, size;
		int want;
	} rows[] = {
		{ "at a shared address", self->shared_bit | GUEST_GPA, PAGE_BYTES, EINVAL },
		{ "at the first shared address", self->shared_bit, PAGE_BYTES, EINVAL },
		{ "where no slot is", FREE_GPA, PAGE_BYTES, ENOENT },
		{ "at the last private address, where no slot is", last, PAGE_BYTES, ENOENT },
		{ "of nothing", GUEST_GPA, 0, EINVAL },
		{ "at an unaligned address", GUEST_GPA + 1, PAGE_BYTES, EINVAL },
		{ "of an unaligned size", GUEST_GPA, 1, EINVAL },
		{ "that wraps", -PAGE_BYTES, 2 * PAGE_BYTES, EINVAL },
	};
	struct kvm_pre_fault_memory range;
	char text[120];
	unsigned int i;

	ASSERT_OK(finish(self));
	ASSERT_OK(census_take(&self->before, self->gmem, 0, NR_PAGES));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		range = (struct kvm_pre_fault_memory){ .gpa = rows[i].gpa, .size = rows[i].size };
		snprintf(text, sizeof(text), "KVM_PRE_FAULT_MEMORY %s", rows[i].name);
		suite_check_rc(_metadata, __FILE__, __LINE__, text,
			       RC(ioctl(self->vcpu, KVM_PRE_FAULT_MEMORY, &range)), -rows[i].want);
		EXPECT_EQ(rows[i].gpa, range.gpa);
		EXPECT_EQ(rows[i].size, range.size);
	}
	EXPECT_ERR(EFAULT, RC(ioctl(self->vcpu, KVM_PRE_FAULT_MEMORY, NULL)));
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);

	/* What can be done of a range is done, and told. */
	range = (struct kvm_pre_fault_memory){ .gpa = GUEST_GPA, .size = BYTES + PAGE_BYTES };
	EXPECT_OK(RC(ioctl(self->vcpu, KVM_PRE_FAULT_MEMORY, &range)));
	EXPECT_EQ(GUEST_GPA + BYTES, range.gpa);
	EXPECT_EQ(PAGE_BYTES, range.size);
	EXPECT_HELD(self->gmem, 0, NR_PAGES, 0, 0);
	EXPECT_OK(td_pages(self->td, 0, TD_OP_WRITE, GUEST_GPA, NR_PAGES, PATTERN, 0));
	EXPECT_LIFE();
}

TEST_F(td_regions, of_pre_fault_are_backed_by_a_guest_memfd)
{
	struct kvm_pre_fault_memory range = { .gpa = FREE_GPA, .size = PAGE_BYTES };

	ASSERT_OK(finish(self));
	ASSERT_OK(set_slot(self, FREE_SLOT, 0, FREE_GPA, BYTES, -1));
	ASSERT_OK(td_set_private(self->td, FREE_GPA, NR_PAGES, true));
	EXPECT_ERR(EFAULT, RC(ioctl(self->vcpu, KVM_PRE_FAULT_MEMORY, &range)));
	EXPECT_EQ(FREE_GPA, range.gpa);
	ASSERT_OK(td_set_private(self->td, FREE_GPA, NR_PAGES, false));
	EXPECT_OK(RC(ioctl(self->vcpu, KVM_PRE_FAULT_MEMORY, &range)));

	ASSERT_OK(gmem_allocate(self->gmem, 0, 1));
	close(self->gmem);
	self->gmem = -1;
	range = (struct kvm_pre_fault_memory){ .gpa = GUEST_GPA, .size = PAGE_BYTES };
	EXPECT_ERR(EFAULT, RC(ioctl(self->vcpu, KVM_PRE_FAULT_MEMORY, &range)));
	EXPECT_LIFE();
}

/*
 * Signals
 *
 * Another thread sends one when a call has come to a certain page.  It may come too late,
 * so there are some parts to try on.
 */

#define NR_PARTS	8
#define PART		256ull			/* pages */
#define PART_BYTES	(PART * PAGE_BYTES)
#define PART_GPA(i)	(GUEST_GPA + (i) * PART_BYTES)

struct disturber {
	pthread_t whom;
	int gmem;
	__u64 page;
	atomic_bool ready, over;
};

static void *disturb(void *arg)
{
	struct folio_record rec = {};
	struct disturber *d = arg;

	atomic_store(&d->ready, true);
	while (!atomic_load(&d->over) && !folio_present(&rec))
		folio_by_file(d->gmem, d->page, 1, &rec, NULL);
	pthread_kill(d->whom, SIGUSR1);
	return NULL;
}

struct part {
	const world *w;
	__u64 first;			/* page of the file */
	struct kvm_tdx_init_mem_region region;
	struct kvm_pre_fault_memory range;
};

/* @call, and a signal when the third page of its part is there. */
static int disturbed(int (*call)(struct part *p), struct part *p)
{
	struct disturber d = {
		.whom = pthread_self(), .gmem = p->w->gmem, .page = p->first + 2,
	};
	pthread_t thread;
	int rc = -pthread_create(&thread, NULL, disturb, &d);

	if (rc)
		return rc;
	while (!atomic_load(&d.ready))
		sched_yield();
	rc = call(p);
	atomic_store(&d.over, true);
	pthread_join(thread, NULL);
	return rc;
}

static void ignore(int nr)
{
	(void)nr;
}

/* In the place of the small file a large one, and a handler, as there is no EINTR without. */
static int prepare_parts(world *w)
{
	const struct sigaction action = { .sa_handler = ignore };
	int rc = set_slot(w, SLOT, 0, 0, 0, -1);

	if (rc || sigaction(SIGUSR1, &action, NULL))
		return rc ?: -errno;
	close(w->gmem);
	w->gmem = gmem_create(w->vm, NR_PARTS * PART, 0);
	return w->gmem < 0 ? w->gmem :
	       set_slot(w, SLOT, KVM_MEM_GUEST_MEMFD, GUEST_GPA, NR_PARTS * PART_BYTES, w->gmem) ?:
	       td_set_private(w->td, GUEST_GPA, NR_PARTS * PART, true);
}

/* @done of a part is there; and one page at most that came too late to be mapped. */
#define EXPECT_DONE(part_, done) do {					\
	EXPECT_LT(0, (done));						\
	EXPECT_GT(PART, (done));					\
	EXPECT_HELD(self->gmem, (part_)->first, (done), 0, 0);		\
	if ((done) + 1 < PART) {					\
		EXPECT_ABSENT(self->gmem, (part_)->first + (done) + 1, PART - (done) - 1); \
	}								\
} while (0)

static int init_part(struct part *p)
{
	return td_cmd(p->w->vcpu, KVM_TDX_INIT_MEM_REGION, 0, &p->region, NULL);
}

TEST_F(td_regions, of_init_mem_region_are_told_where_a_signal_ends_it)
{
	struct part p = { .w = self };
	__u64 source, gpa = 0, done;
	int i, cpus[2], rc = 0;
	void *memory;

	REQUIRE(cpu_find_two(cpus));
	ASSERT_OK(prepare_parts(self));
	memory = mmap(NULL, PART_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, memory);
	source = (__u64)memory;
	for (i = 0; i < (int)PART; i++)
		*(__u64 *)(source + i * PAGE_BYTES) = PATTERN + i;

	for (i = 0; i < NR_PARTS && !rc; i++) {
		gpa = PART_GPA(i);
		p.first = i * PART;
		p.region = (struct kvm_tdx_init_mem_region){
			.source_addr = source, .gpa = gpa, .nr_pages = PART,
		};
		rc = disturbed(init_part, &p);
	}
	ASSERT_ERR(EINTR, rc);
	done = PART - p.region.nr_pages;
	EXPECT_EQ(gpa + done * PAGE_BYTES, p.region.gpa);
	EXPECT_EQ(source + done * PAGE_BYTES, p.region.source_addr);
	EXPECT_DONE(&p, done);

	/* The rest, as KVM has told it. */
	EXPECT_OK(init_part(&p));
	EXPECT_EQ(0, p.region.nr_pages);
	EXPECT_HELD(self->gmem, p.first, PART, 0, 0);
	munmap(memory, PART_BYTES);
	ASSERT_OK(finish(self));
	EXPECT_OK(td_pages(self->td, 0, TD_OP_VERIFY, gpa, PART, PATTERN, 0));
	EXPECT_LIFE();
}

static int pre_fault_part(struct part *p)
{
	return RC(ioctl(p->w->vcpu, KVM_PRE_FAULT_MEMORY, &p->range));
}

/* Which is no error if there is something that is done. */
TEST_F(td_regions, of_pre_fault_are_told_where_a_signal_ends_it)
{
	struct part p = { .w = self };
	__u64 gpa = 0, done;
	int i, cpus[2];

	REQUIRE(cpu_find_two(cpus));
	ASSERT_OK(prepare_parts(self));
	ASSERT_OK(finish(self));
	for (i = 0; i < NR_PARTS && !p.range.size; i++) {
		gpa = PART_GPA(i);
		p.first = i * PART;
		p.range = (struct kvm_pre_fault_memory){ .gpa = gpa, .size = PART_BYTES };
		ASSERT_OK(disturbed(pre_fault_part, &p));
	}
	done = PART - p.range.size / PAGE_BYTES;
	EXPECT_EQ(gpa + done * PAGE_BYTES, p.range.gpa);
	EXPECT_DONE(&p, done);

	EXPECT_OK(pre_fault_part(&p));
	EXPECT_EQ(0, p.range.size);
	EXPECT_HELD(self->gmem, p.first, PART, 0, 0);
	EXPECT_OK(td_pages(self->td, 0, TD_OP_WRITE, gpa, PART, PATTERN, 0));
	EXPECT_OK(td_pages(self->td, 0, TD_OP_VERIFY, gpa, PART, PATTERN, 0));
	EXPECT_LIFE();
}

static int allocate_part(struct part *p)
{
	return gmem_allocate(p->w->gmem, p->first, PART);
}

TEST_F(td_regions, of_a_file_are_allocated_in_order_until_a_signal)
{
	struct part p = { .w = self };
	int i, cpus[2], rc = 0;
	__u64 done;

	REQUIRE(cpu_find_two(cpus));
	ASSERT_OK(prepare_parts(self));
	for (i = 0; i < NR_PARTS && !rc; i++) {
		p.first = i * PART;
		rc = disturbed(allocate_part, &p);
	}
	ASSERT_ERR(EINTR, rc);
	ASSERT_OK(census_take(&self->before, self->gmem, p.first, PART));
	done = census_nr_present(self->before);
	EXPECT_DONE(&p, done);
	EXPECT_OK(allocate_part(&p));
	EXPECT_HELD(self->gmem, p.first, PART, 0, 0);
	EXPECT_IN_PLACE(self->before, p.first, done);
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

/*
 * Memory slots
 */

TEST_F(td_regions, of_a_slot_are_addresses_without_the_shared_bit)
{
	const __u64 last = self->shared_bit - PAGE_BYTES;

	EXPECT_ERR(EINVAL, set_slot(self, FREE_SLOT, 0, self->shared_bit, PAGE_BYTES, -1));
	EXPECT_ERR(EINVAL, set_slot(self, FREE_SLOT, 0, self->shared_bit | FREE_GPA, BYTES, -1));
	EXPECT_ERR(EINVAL, set_slot(self, FREE_SLOT, 0, last, 2 * PAGE_BYTES, -1));
	EXPECT_ERR(EINVAL, set_slot(self, FREE_SLOT, 0, 1ull << 52, PAGE_BYTES, -1));
	if (!too_narrow(self)) {
		EXPECT_OK(set_slot(self, FREE_SLOT, 0, last, PAGE_BYTES, -1));
		EXPECT_OK(set_slot(self, FREE_SLOT, 0, 0, 0, -1));
	}
	ASSERT_OK(finish(self));
	EXPECT_LIFE();
}

/*
 * Which bit is the shared one KVM learns by KVM_TDX_INIT_VM, so a slot may be there that
 * has it.  arch/x86/kvm/mmu/tdp_iter.c tdp_iter_start().
 */
TEST_F(td_regions, of_a_slot_may_have_the_shared_bit_before_it_is_one)
{
	REQUIRE(too_narrow(self));
	td_close(self->td);
	close(self->gmem);
	self->gmem = -1;
	ASSERT_OK(td_open(&self->td));
	self->vm = td_vm(self->td);
	ASSERT_OK(set_slot(self, FREE_SLOT, 0, self->shared_bit | FREE_GPA, BYTES, -1));
	ASSERT_OK(td_init(self->td, &variant->plan));
	ASSERT_OK(td_add_vcpu(self->td));
	ASSERT_OK(td_init_vcpu(self->td, 0, 0));
	ASSERT_OK(finish(self));
	EXPECT_OK(td_pages(self->td, 0, TD_OP_NONE, 0, 0, 0, 0));
	EXPECT_OK(set_slot(self, FREE_SLOT, 0, 0, 0, -1));
	EXPECT_LIFE();
}

/* The kernel would give them to others, and a TD still has them. */
static int retire(world *w)
{
	unsigned int i;
	int rc = census_take(&w->before, w->gmem, 0, NR_PAGES);

	for (i = 0; !rc && i < NR_PAGES; i++)
		poison_for_good(folio_pfn(census_page(w->before, i)));
	return rc;
}

/*
 * The page tables of a TD with 48 bits have four levels, which see no more of an address;
 * and a slot may be wherever the host has one.  KVM may refuse it.  It may not take it for
 * another.
 */
TEST_F(td_regions, of_a_slot_are_its_own_and_no_others)
{
	int gmem, rc;

	REQUIRE(need_join(emulator_why_not(), too_narrow(self), NEED_END));
	ASSERT_OK(finish(self));
	ASSERT_OK(td_pages(self->td, 0, TD_OP_WRITE, GUEST_GPA, NR_PAGES, PATTERN, 0));
	gmem = gmem_create(self->vm, NR_PAGES, 0);
	ASSERT_OK(gmem);
	rc = set_slot(self, FREE_SLOT, KVM_MEM_GUEST_MEMFD, self->shared_bit << 1 | GUEST_GPA,
		      BYTES, gmem);
	EXPECT_TRUE(!rc || rc == -EINVAL);
	ASSERT_OK(gmem_allocate(gmem, 0, NR_PAGES));
	EXPECT_OK(gmem_punch(gmem, 0, NR_PAGES));
	close(gmem);
	rc = td_pages(self->td, 0, TD_OP_VERIFY, GUEST_GPA, NR_PAGES, PATTERN, 0);
	EXPECT_OK(rc);
	if (rc) {
		ASSERT_OK(retire(self));
	} else {
		EXPECT_LIFE();
	}
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 60, .serial = true)
