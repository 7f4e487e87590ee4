// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TD's memory slots: as many as KVM has, each over its part of a file and no more,
 * and what a slot is it stays.
 *
 * Documentation/virt/kvm/api.rst, KVM_SET_USER_MEMORY_REGION2; virt/kvm/kvm_main.c
 * kvm_set_memory_region(), virt/kvm/guest_memfd.c kvm_gmem_prepare_memory_region().
 *
 * SEPT_ROUNDS is how many times as many slots are used.
 */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "gmem.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	16ull
#define NR_SLOTS	128u
#define NR_FILES	200u
#define PATTERN		0x11a1750000000000ull
#define FREE_GPA	(GUEST_GPA + (1ull << 30))
#define FIRST_SLOT	100

FIXTURE(td_slots) {
	struct td *td;
	struct meter before;
};

FIXTURE_VARIANT(td_slots) {
	struct td_plan plan;
};

FIXTURE_VARIANT_ADD(td_slots, tdx) {};

FIXTURE_SETUP(td_slots)
{
	REQUIRE(guest_why_not(GUEST_TDX));
	ASSERT_OK(meter_read(&self->before));
	ASSERT_OK(td_create(&self->td, &variant->plan));
}

FIXTURE_TEARDOWN(td_slots)
{
	td_close(self->td);
}

static unsigned int rounds(void)
{
	return supervise_rounds(1);
}

static int step_run(struct td *td)
{
	return td_pages(td, 0, TD_OP_NONE, 0, 0, 0, 0);
}

struct slot {
	unsigned int nr, flags;
	__u64 gpa, pages, offset;
	void *memory;			/* NULL: any will do */
	int gmem;
};

static int set_slot(struct td *td, const struct slot *s)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = s->nr,
		.flags = s->flags,
		.guest_phys_addr = s->gpa,
		.memory_size = s->pages * PAGE_BYTES,
		.userspace_addr = (__u64)(s->memory ?: td_mailbox_page(td)),
		.guest_memfd_offset = s->offset,
		.guest_memfd = s->gmem,
	};

	return RC(ioctl(td_vm(td), KVM_SET_USER_MEMORY_REGION2, &region));
}

#define SET_SLOT(...) set_slot(self->td, &(struct slot){ __VA_ARGS__ })

/* Every page of a file by a slot of its own, up to the last slot that there can be. */
TEST_F(td_slots, are_as_many_as_kvm_says)
{
	const unsigned int nr = NR_SLOTS * rounds();
	struct census *census;
	unsigned int i, last;
	int gmem;

	last = ioctl(td_vm(self->td), KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
	ASSERT_LT(nr, last);
	gmem = gmem_create(td_vm(self->td), nr, 0);
	ASSERT_OK(gmem);
	for (i = 0; i < nr; i++)
		ASSERT_OK(SET_SLOT(.nr = last - 1 - i, .flags = KVM_MEM_GUEST_MEMFD,
				   .gpa = FREE_GPA + i * PAGE_BYTES, .pages = 1,
				   .offset = i * PAGE_BYTES, .gmem = gmem));
	EXPECT_ERR(EINVAL, SET_SLOT(.nr = last, .gpa = GUEST_GPA, .pages = 1));
	EXPECT_ERR(EEXIST, SET_SLOT(.nr = FIRST_SLOT, .gpa = FREE_GPA + 5 * PAGE_BYTES, .pages = 1));
	ASSERT_OK(td_set_private(self->td, FREE_GPA, nr, true));
	EXPECT_OK(td_pages(self->td, 0, TD_OP_WRITE, FREE_GPA, nr, PATTERN, 0));
	EXPECT_OK(td_pages(self->td, 0, TD_OP_VERIFY, FREE_GPA, nr, PATTERN, 0));
	EXPECT_HELD(gmem, 0, nr, 0, 0);
	ASSERT_OK(census_take(&census, gmem, 0, nr));
	for (i = 0; i < nr; i += 2)
		EXPECT_OK(SET_SLOT(.nr = last - 1 - i));
	EXPECT_UNTOUCHED(census, 0, nr);
	td_close(self->td);
	self->td = NULL;
	close(gmem);
	EXPECT_FREED(census, 0, nr);
	census_free(census);
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

/* Many files with a page each; half of them are closed while the TD has them. */
TEST_F(td_slots, have_a_file_each_if_they_want)
{
	const unsigned int nr = NR_FILES;
	int *gmem = calloc(nr, sizeof(*gmem));
	struct census **census = calloc(nr, sizeof(*census));
	unsigned int i;

	ASSERT_NE(NULL, gmem);
	ASSERT_NE(NULL, census);
	for (i = 0; i < nr; i++) {
		gmem[i] = gmem_create(td_vm(self->td), 1, 0);
		ASSERT_OK(gmem[i]);
		ASSERT_OK(SET_SLOT(.nr = FIRST_SLOT + i, .flags = KVM_MEM_GUEST_MEMFD,
				   .gpa = FREE_GPA + i * PAGE_BYTES, .pages = 1, .gmem = gmem[i]));
	}
	ASSERT_OK(td_set_private(self->td, FREE_GPA, nr, true));
	EXPECT_OK(td_pages(self->td, 0, TD_OP_WRITE, FREE_GPA, nr, PATTERN, 0));
	for (i = 0; i < nr; i++)
		ASSERT_OK(census_take(&census[i], gmem[i], 0, 1));
	for (i = 0; i < nr; i += 2) {
		close(gmem[i]);
		gmem[i] = -1;
	}
	EXPECT_FREED(census[0], 0, 1);
	for (i = 1; i < nr; i += 2)
		EXPECT_OK(td_pages(self->td, 0, TD_OP_VERIFY, FREE_GPA + i * PAGE_BYTES, 1,
				   PATTERN + i, 0));
	td_close(self->td);
	self->td = NULL;
	for (i = 0; i < nr; i++) {
		if (gmem[i] >= 0)
			close(gmem[i]);
		EXPECT_FREED(census[i], 0, 1);
		census_free(census[i]);
	}
	free(census);
	free(gmem);
	EXPECT_BACK(&self->before, METER_HKIDS, 0);
}

static const unsigned int all_flags[] = {
	0, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, KVM_MEM_GUEST_MEMFD,
	KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY,
	KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_GUEST_MEMFD,
	KVM_MEM_READONLY | KVM_MEM_GUEST_MEMFD,
};

/* KVM has no read-only slots where it cannot emulate a write to one. */
static bool may_be(struct td *td, unsigned int flags)
{
	if (flags & KVM_MEM_READONLY &&
	    ioctl(td_vm(td), KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) <= 0)
		return false;
	return !(flags & KVM_MEM_GUEST_MEMFD) || flags == KVM_MEM_GUEST_MEMFD;
}

/* A slot with a file never changes; one without may be logged or not. */
static int may_become(struct td *td, unsigned int from, unsigned int to)
{
	if (!may_be(td, to) || (from | to) & KVM_MEM_GUEST_MEMFD)
		return -EINVAL;
	return (from ^ to) & KVM_MEM_READONLY ? -EINVAL : 0;
}

/*
 * Claims: B29
 */
TEST_F(td_slots, stay_what_they_are)
{
	unsigned int from, to;
	char text[80];
	int gmem, rc;

	gmem = gmem_create(td_vm(self->td), NR_PAGES, 0);
	ASSERT_OK(gmem);
	ASSERT_OK(td_set_private(self->td, FREE_GPA, NR_PAGES, true));
	for (from = 0; from < ARRAY_SIZE(all_flags); from++) {
		rc = SET_SLOT(.nr = FIRST_SLOT, .flags = all_flags[from], .gpa = FREE_GPA, .pages = 1,
			      .gmem = gmem);
		snprintf(text, sizeof(text), "a slot with flags %#x", all_flags[from]);
		suite_check_rc(_metadata, __FILE__, __LINE__, text, rc,
			       may_be(self->td, all_flags[from]) ? 0 : -EINVAL);
		for (to = 0; !rc && to < ARRAY_SIZE(all_flags); to++) {
			snprintf(text, sizeof(text), "a slot with flags %#x, given %#x",
				 all_flags[from], all_flags[to]);
			suite_check_rc(_metadata, __FILE__, __LINE__, text,
				       SET_SLOT(.nr = FIRST_SLOT, .flags = all_flags[to],
						.gpa = FREE_GPA, .pages = 1, .gmem = gmem),
				       may_become(self->td, all_flags[from], all_flags[to]));
			/* Back; or there was no change. */
			if (!may_become(self->td, all_flags[from], all_flags[to]))
				EXPECT_OK(SET_SLOT(.nr = FIRST_SLOT, .flags = all_flags[from],
						   .gpa = FREE_GPA, .pages = 1, .gmem = gmem));
		}
		if (!rc && all_flags[from] == KVM_MEM_GUEST_MEMFD) {
			EXPECT_OK(td_pages(self->td, 0, TD_OP_WRITE, FREE_GPA, 1, PATTERN, 0));
			EXPECT_HELD(gmem, 0, 1, 0, 0);
		}
		if (!rc)
			EXPECT_OK(SET_SLOT(.nr = FIRST_SLOT));
	}
	close(gmem);
	EXPECT_OK(step_run(self->td));
}

/*
 * Which part of a file a slot may show.
 *
 * Claims: B31
 */
TEST_F(td_slots, show_what_is_in_the_file)
{
	const __u64 size = NR_PAGES * PAGE_BYTES;
	const __u64 last = INT64_MAX & ~(PAGE_BYTES - 1);
	const struct {
		__u64 offset, pages;
		int want;
	} rows[] = {
		{ 0, NR_PAGES, 0 },
		{ 0, 1, 0 },
		{ size - PAGE_BYTES, 1, 0 },
		{ 0, NR_PAGES + 1, EINVAL },
		{ PAGE_BYTES, NR_PAGES, EINVAL },
		{ size - PAGE_BYTES, 2, EINVAL },
		{ size, 1, EINVAL },
		{ last - size, NR_PAGES, EINVAL },
		{ last, 1, EINVAL },
		{ last + PAGE_BYTES, 1, EINVAL },
		{ 1ull << 62, 1, EINVAL },
		{ 1ull << 63, 1, EINVAL },
		{ -PAGE_BYTES, 1, EINVAL },
		{ -PAGE_BYTES, 2, EINVAL },
		{ -size, NR_PAGES, EINVAL },
		{ 1, 1, EINVAL },
		{ PAGE_BYTES - 1, 1, EINVAL },
	};
	char text[100];
	unsigned int i;
	int gmem, rc;

	gmem = gmem_create(td_vm(self->td), NR_PAGES, 0);
	ASSERT_OK(gmem);
	ASSERT_OK(td_set_private(self->td, FREE_GPA, NR_PAGES + 1, true));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		rc = SET_SLOT(.nr = FIRST_SLOT, .flags = KVM_MEM_GUEST_MEMFD, .gpa = FREE_GPA,
			      .pages = rows[i].pages, .offset = rows[i].offset, .gmem = gmem);
		snprintf(text, sizeof(text), "a slot of %llu pages from %#llx on", rows[i].pages,
			 rows[i].offset);
		suite_check_rc(_metadata, __FILE__, __LINE__, text, rc, -rows[i].want);
		if (rc)
			continue;
		EXPECT_OK(td_pages(self->td, 0, TD_OP_WRITE, FREE_GPA, rows[i].pages, PATTERN, 0));
		EXPECT_HELD(gmem, rows[i].offset / PAGE_BYTES, rows[i].pages, 0, 0);
		EXPECT_OK(SET_SLOT(.nr = FIRST_SLOT));
	}
	close(gmem);
	EXPECT_OK(step_run(self->td));
}

/*
 * That a TD has touched a place where there was nothing is no reason to see nothing there
 * for ever: KVM notes in the shared EPT that it is to have a #VE.
 *
 * arch/x86/kvm/mmu/mmu.c kvm_mmu_invalidate_mmio_sptes().
 */
TEST_F(td_slots, come_where_the_guest_has_found_nothing)
{
	static __u64 page[PAGE_BYTES / sizeof(__u64)] __attribute__((aligned(PAGE_BYTES)));

	EXPECT_ERR(ENXIO, td_pages(self->td, 0, TD_OP_VERIFY, FREE_GPA, 1, PATTERN, TD_SHARED));
	ASSERT_OK(SET_SLOT(.nr = FIRST_SLOT, .gpa = FREE_GPA, .pages = 1, .memory = page));
	EXPECT_OK(td_pages(self->td, 0, TD_OP_WRITE, FREE_GPA, 1, PATTERN, TD_SHARED));
	EXPECT_EQ(PATTERN, page[0]);
	EXPECT_OK(SET_SLOT(.nr = FIRST_SLOT));
	EXPECT_ERR(ENXIO, td_pages(self->td, 0, TD_OP_VERIFY, FREE_GPA, 1, PATTERN, TD_SHARED));
}

/*
 * Shared memory of a TD can be logged, without a word to the TDX module.
 *
 * Claims: B42
 */
TEST_F(td_slots, are_logged_if_they_are_shared)
{
	__u64 bitmap = 0;
	struct kvm_dirty_log log = { .slot = FIRST_SLOT, .dirty_bitmap = &bitmap };
	const struct slot shared = { .nr = FIRST_SLOT, .gpa = FREE_GPA, .pages = 1 };
	struct slot logged = shared;
	int gmem;

	logged.flags = KVM_MEM_LOG_DIRTY_PAGES;
	ASSERT_OK(step_run(self->td));
	ASSERT_OK(set_slot(self->td, &shared));
	EXPECT_ERR(ENOENT, RC(ioctl(td_vm(self->td), KVM_GET_DIRTY_LOG, &log)));
	EXPECT_OK(set_slot(self->td, &logged));
	EXPECT_OK(step_run(self->td));
	EXPECT_OK(RC(ioctl(td_vm(self->td), KVM_GET_DIRTY_LOG, &log)));
	EXPECT_OK(set_slot(self->td, &shared));
	EXPECT_OK(step_run(self->td));
	EXPECT_OK(SET_SLOT(.nr = FIRST_SLOT));

	gmem = gmem_create(td_vm(self->td), NR_PAGES, 0);
	ASSERT_OK(gmem);
	EXPECT_ERR(EINVAL, SET_SLOT(.nr = FIRST_SLOT, .gpa = FREE_GPA, .pages = 1, .gmem = gmem,
				    .flags = KVM_MEM_GUEST_MEMFD | KVM_MEM_LOG_DIRTY_PAGES));
	close(gmem);
	EXPECT_OK(step_run(self->td));
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 60, .serial = true)
