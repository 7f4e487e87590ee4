// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest does what it is asked to, says so truly, and survives what it cannot
 * do.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "gmem.h"
#include "suite.h"

#define NR_PAGES	64ull
#define PATTERN		0xabcd000000000000ull

FIXTURE(guest_test) {
	struct guest *g;
};

FIXTURE_VARIANT(guest_test) {
	enum guest_type type;
};

GUEST_VARIANTS(guest_test, );

FIXTURE_SETUP(guest_test)
{
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create(&self->g, variant->type, NR_PAGES));
}

FIXTURE_TEARDOWN(guest_test)
{
	guest_destroy(self->g);
}

TEST_F(guest_test, says_what_it_is)
{
	EXPECT_EQ(variant->type, guest_type(self->g));
	EXPECT_EQ(NR_PAGES, guest_nr_pages(self->g));
	EXPECT_LE(0, guest_vm(self->g));
	EXPECT_LE(0, guest_vcpu(self->g));
	EXPECT_LE(0, guest_gmem(self->g));
	EXPECT_NE(guest_has_private(self->g), guest_mappable(self->g));
}

TEST_F(guest_test, finds_what_it_wrote)
{
	EXPECT_OK(guest_touch(self->g, 0, NR_PAGES, PATTERN));
	EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, PATTERN));
	EXPECT_OK(guest_verify(self->g, NR_PAGES - 1, 1, PATTERN));
}

TEST_F(guest_test, finds_what_it_did_not_write)
{
	EXPECT_OK(guest_touch(self->g, 0, NR_PAGES, PATTERN));
	EXPECT_ERR(EILSEQ, guest_verify(self->g, 0, NR_PAGES, PATTERN + 1));
	EXPECT_OK(guest_touch(self->g, NR_PAGES - 1, 1, 0));
	EXPECT_ERR(EILSEQ, guest_verify(self->g, 0, NR_PAGES, PATTERN));
	EXPECT_OK(guest_verify(self->g, 0, NR_PAGES - 1, PATTERN));
}

TEST_F(guest_test, tells_zeroed_pages_from_others)
{
	EXPECT_OK(guest_verify_zero(self->g, 0, NR_PAGES));
	EXPECT_OK(guest_touch(self->g, 5, 1, PATTERN));
	EXPECT_OK(guest_verify_zero(self->g, 0, 5));
	EXPECT_ERR(EILSEQ, guest_verify_zero(self->g, 5, 1));
	EXPECT_ERR(EILSEQ, guest_verify_zero(self->g, 0, NR_PAGES));
	EXPECT_OK(guest_verify_zero(self->g, 6, NR_PAGES - 6));
}

TEST_F(guest_test, sees_the_last_byte_of_a_page)
{
	char *page = guest_shared(self->g, 7);

	ASSERT_NE(NULL, page);
	if (!guest_mappable(self->g)) {
		ASSERT_OK(guest_set_private(self->g, 7, 1, false));
	}
	page[4095] = 1;
	EXPECT_ERR(EILSEQ, guest_verify_zero(self->g, 7, 1));
	page[4095] = 0;
	EXPECT_OK(guest_verify_zero(self->g, 7, 1));
}

TEST_F(guest_test, goes_on_after_a_touch_of_nothing)
{
	EXPECT_OK(guest_touch(self->g, 0, 2, PATTERN));
	EXPECT_NE(0, guest_touch(self->g, NR_PAGES, 1, PATTERN));
	EXPECT_NE(0, guest_verify(self->g, NR_PAGES, 1, PATTERN));
	EXPECT_NE(0, guest_verify_zero(self->g, NR_PAGES, 1));
	EXPECT_OK(guest_verify(self->g, 0, 2, PATTERN));
}

TEST_F(guest_test, shows_another_part_by_another_slot)
{
	EXPECT_OK(guest_touch(self->g, 0, NR_PAGES, PATTERN));
	EXPECT_OK(guest_move(self->g, GUEST_SLOT, 10, 20, GUEST_GPA));
	EXPECT_OK(guest_verify_unmapped(self->g, 10, 20, PATTERN));
	EXPECT_NE(0, guest_verify(self->g, 30, 1, PATTERN));
}

TEST_F(guest_test, converts_only_if_it_has_private_memory)
{
	if (guest_has_private(self->g)) {
		EXPECT_OK(guest_set_private(self->g, 0, 1, false));
		EXPECT_OK(guest_set_private(self->g, 0, 1, true));
	} else {
		EXPECT_ERR(EOPNOTSUPP, guest_set_private(self->g, 0, 1, false));
	}
}

TEST_F(guest_test, says_how_touched_pages_are_mapped)
{
	int maps = guest_touch_maps(self->g);

	EXPECT_LE(0, maps);
	EXPECT_GE(guest_mappable(self->g), maps);
	EXPECT_EQ(maps, guest_touch_maps(self->g));
}

TEST_F(guest_test, refuses_to_run_without_a_vm)
{
	guest_close_vm(self->g);
	guest_close_vm(self->g);
	EXPECT_EQ(-1, guest_vm(self->g));
	EXPECT_EQ(-1, guest_vcpu(self->g));
	EXPECT_ERR(EBADF, guest_touch(self->g, 0, 1, PATTERN));
	EXPECT_ERR(EBADF, guest_prefault(self->g, 0, 1));
	EXPECT_ERR(EBADF, guest_unbind(self->g, GUEST_SLOT));
}

TEST_F(guest_test, can_lose_its_file_twice)
{
	EXPECT_OK(guest_close_gmem(self->g));
	EXPECT_OK(guest_close_gmem(self->g));
	EXPECT_EQ(-1, guest_gmem(self->g));
	EXPECT_NE(0, guest_touch(self->g, 0, 1, PATTERN));
	EXPECT_NE(0, guest_bind(self->g, GUEST_SLOT + 1, 0, 1, GUEST_GPA + (1ull << 30)));
}

TEST_F(guest_test, without_a_slot_has_no_vcpu)
{
	struct guest *g;

	ASSERT_OK(guest_create_unbound(&g, variant->type, NR_PAGES));
	EXPECT_EQ(-1, guest_vcpu(g));
	EXPECT_LE(0, guest_gmem(g));
	EXPECT_ERR(EBADF, guest_touch(g, 0, 1, PATTERN));
	guest_destroy(g);
}

TEST_F(guest_test, without_pages_is_refused)
{
	struct guest *g = (void *)1;

	EXPECT_ERR(EINVAL, guest_create(&g, variant->type, 0));
	EXPECT_EQ(NULL, g);
}

SUITE(.needs = NEED_KVM | NEED_GMEM, .seconds = 5)
