// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TD that meets a memory error is lost, and nothing else is.
 *
 * A line whose integrity check fails, or that memory cannot correct, gives a machine
 * check in the TD that reads it.  The TDX module marks that TD as fatal, and refuses
 * from then on whatever is about its memory, with TDX_TD_FATAL; what is left is to take
 * its keyid away and to reclaim page by page.
 *
 * A write of the host to a page of the TD is such an error, and can be had by /dev/mem.
 * On hardware the host takes the machine check, too, and may not survive it; in the
 * emulated machine it gets none.
 *
 * arch/x86/kvm/vmx/tdx.c tdx_handle_exit(), tdx_sept_remove_leaf_spte().
 *
 * Claims: C10, C13
 */
#include <fcntl.h>

#include "emulator.h"
#include "folio.h"
#include "gmem.h"
#include "suite.h"
#include "td.h"
#include "td_spin.h"

#define NR_PAGES	24ull
#define PAGE		5ull
#define PATTERN		0xfa7a100000000000ull
#define PAGE_BYTES	4096ull
#define BOUND_MS	5000		/* within which vCPUs must be out */

FIXTURE(td_fatal) {
	struct guest *g, *other;
	struct meter meter;
	struct td_spinner spinner;
};

FIXTURE_VARIANT(td_fatal) {};
FIXTURE_VARIANT_ADD(td_fatal, tdx) {};

/* What was reported: the access that is the error, pages that the TD still has, the rest. */
struct seen {
	unsigned int written, kept, others;
};

static void look(void *ctx, const struct finding *f, const char *json)
{
	struct seen *s = ctx;

	if (!strcmp(f->invariant, "host-write"))
		s->written++;
	else if (!strcmp(f->invariant, "freed-while-owned") || !strcmp(f->invariant, "leak"))
		s->kept++;
	else
		s->others++;
	fprintf(stderr, "# the sanitizer says: %s\n", json);
}

FIXTURE_SETUP(td_fatal)
{
	const struct td_plan plan = { .unmeasured = true, .nr_vcpus = 2 };
	const __u64 garbage = ~PATTERN;
	struct folio_record rec;
	struct seen s = {};
	int fd;

	REQUIRE(guest_why_not(GUEST_TDX));
	REQUIRE(emulator_sanitizer_why_not());
	ASSERT_OK(guest_create_td(&self->other, &plan, NR_PAGES));
	ASSERT_OK(guest_touch(self->other, 0, NR_PAGES, PATTERN));
	ASSERT_OK(meter_read(&self->meter));
	ASSERT_OK(guest_create_td(&self->g, &plan, NR_PAGES));
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PATTERN));

	ASSERT_OK(folio_by_file(guest_gmem(self->g), PAGE, 1, &rec, NULL));
	fd = open("/dev/mem", O_WRONLY | O_CLOEXEC);
	ASSERT_SYS(fd);
	ASSERT_EQ(sizeof(garbage),
		  pwrite(fd, &garbage, sizeof(garbage), folio_pfn(&rec) * PAGE_BYTES));
	close(fd);
	ASSERT_OK(emulator_reports(look, &s));
	ASSERT_EQ(1, s.written);
	ASSERT_EQ(0, s.kept + s.others);
}

FIXTURE_TEARDOWN(td_fatal)
{
	guest_destroy(self->g);
	guest_destroy(self->other);
}

/* It goes on until it meets the error, and then none of its vCPUs does. */
static void meet(struct __test_metadata *_metadata, FIXTURE_DATA(td_fatal) *self)
{
	int rc;

	EXPECT_OK(guest_verify(self->g, 0, PAGE, PATTERN));
	ASSERT_OK(td_spin_start(&self->spinner, guest_td(self->g), 1));
	EXPECT_EQ(-EIO, guest_verify(self->g, PAGE, 1, PATTERN));
	ASSERT_OK(td_spin_end(&self->spinner, BOUND_MS, &rc));
	EXPECT_EQ(-EREMOTEIO, rc);
	EXPECT_NE(0, guest_verify(self->g, 0, PAGE, PATTERN));
}

TEST_F(td_fatal, is_lost_alone)
{
	struct seen s = {};
	struct guest *new;

	meet(_metadata, self);
	EXPECT_OK(guest_verify(self->other, 0, NR_PAGES, PATTERN));
	EXPECT_OK(gmem_punch(guest_gmem(self->other), 0, NR_PAGES / 2));
	EXPECT_OK(guest_touch(self->other, 0, NR_PAGES, PATTERN));
	ASSERT_OK(guest_create(&new, GUEST_TDX, NR_PAGES));
	EXPECT_OK(guest_touch(new, 0, NR_PAGES, PATTERN));
	guest_destroy(new);

	/* Its memory can be given to others. */
	supervise_allow_kmsg("WARN");
	supervise_allow_kmsg("SEAMCALL failed");
	guest_destroy(self->g);
	self->g = NULL;
	EXPECT_BACK(&self->meter, METER_HKIDS, 0);
	ASSERT_OK(emulator_reports(look, &s));
	EXPECT_EQ(0, s.kept);
	/* Whoever gets one of those accesses it, too. */
	if (!s.kept) {
		EXPECT_EQ(0, s.others + s.written);
	}
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_EMULATOR,
      .seconds = 60, .serial = true)
