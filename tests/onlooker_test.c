// SPDX-License-Identifier: GPL-2.0-only
/*
 * Onlookers look until they are told to end, hold pages meanwhile, leave nothing behind,
 * and say so if they have seen nothing.
 *
 * On a memfd, so that it needs no KVM.
 */
#include <sys/mman.h>

#include "onlooker.h"
#include "suite.h"

#define NR_PAGES	64ull
#define PAGE_BYTES	4096ull
#define BYTES		(NR_PAGES * PAGE_BYTES)
#define TIMEOUT_MS	60000
#define TRIES		100000

FIXTURE(onlooker_test) {
	int fd;
	char *map;
};

FIXTURE_VARIANT(onlooker_test) {
	enum onlooker_kind kind;
	bool by_map;		/* it goes by the caller's mapping */
	bool holds;		/* for long enough for that to be seen */
};

FIXTURE_VARIANT_ADD(onlooker_test, residency) { ONLOOKER_RESIDENCY };
FIXTURE_VARIANT_ADD(onlooker_test, lookup) { ONLOOKER_LOOKUP };
FIXTURE_VARIANT_ADD(onlooker_test, kpage) { ONLOOKER_KPAGE };
FIXTURE_VARIANT_ADD(onlooker_test, splice) { ONLOOKER_SPLICE, true, true };
FIXTURE_VARIANT_ADD(onlooker_test, remote) { ONLOOKER_REMOTE, true, true };
FIXTURE_VARIANT_ADD(onlooker_test, move) { ONLOOKER_MOVE, true };
FIXTURE_VARIANT_ADD(onlooker_test, compaction) { ONLOOKER_COMPACTION };

FIXTURE_SETUP(onlooker_test)
{
	REQUIRE(onlooker_why_not(variant->kind));
	self->fd = memfd_create("onlooker_test", MFD_CLOEXEC);
	ASSERT_SYS(ftruncate(self->fd, BYTES));
	self->map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->map);
}

FIXTURE_TEARDOWN(onlooker_test)
{
	munmap(self->map, BYTES);
	close(self->fd);
}

/* Whether any page was ever seen with more references than its owners have. */
static int seen_held(int fd, __u64 own, bool *seen)
{
	struct folio_record rec[NR_PAGES];
	unsigned int i, page;
	int err = 0;

	*seen = false;
	for (i = 0; i < TRIES && !err && !*seen; i++) {
		err = folio_by_file(fd, 0, NR_PAGES, rec, NULL);
		for (page = 0; page < NR_PAGES && !err; page++)
			*seen |= rec[page].refs > own;
	}
	return err;
}

TEST_F(onlooker_test, looks_and_leaves_nothing_behind)
{
	struct onlooker *o;
	bool seen;
	int rc;

	/* Nobody but the file and this mapping. */
	EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
	ASSERT_OK(onlooker_start(&o, variant->kind, self->fd, self->map, NR_PAGES, false));
	EXPECT_OK(onlooker_wait(o, TIMEOUT_MS));
	EXPECT_OK(onlooker_wait(o, 0));
	if (variant->holds) {
		/* Its process may have them mapped as well. */
		EXPECT_OK(seen_held(self->fd, 1 + 2, &seen));
		EXPECT_TRUE(seen);
	}
	rc = onlooker_stop(o, TIMEOUT_MS);
	if (variant->kind == ONLOOKER_COMPACTION && rc == -ENODATA)
		rc = 0;
	EXPECT_OK(rc);
	EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
}

TEST_F(onlooker_test, says_that_it_sees_nothing)
{
	struct onlooker *o;
	int rc;

	if (!variant->by_map) {
		/* It needs no mapping, and the file has the pages. */
		ASSERT_OK(onlooker_start(&o, variant->kind, self->fd, NULL, NR_PAGES, false));
		EXPECT_OK(onlooker_wait(o, TIMEOUT_MS));
		rc = onlooker_stop(o, TIMEOUT_MS);
		EXPECT_EQ(variant->kind == ONLOOKER_COMPACTION && rc ? -ENODATA : 0, rc);
		return;
	}
	EXPECT_ERR(EFAULT, onlooker_start(&o, variant->kind, self->fd, NULL, NR_PAGES, false));
	EXPECT_EQ(NULL, o);
	ASSERT_SYS(madvise(self->map, BYTES, MADV_DONTNEED));
	ASSERT_SYS(mprotect(self->map, BYTES, PROT_NONE));
	ASSERT_OK(onlooker_start(&o, variant->kind, self->fd, self->map, NR_PAGES, true));
	EXPECT_OK(onlooker_wait(o, TIMEOUT_MS));
	EXPECT_ERR(ENODATA, onlooker_stop(o, TIMEOUT_MS));
	if (variant->kind != ONLOOKER_MOVE) {
		/* Of who hides nothing that is a failure. */
		ASSERT_OK(onlooker_start(&o, variant->kind, self->fd, self->map, NR_PAGES, false));
		EXPECT_ERR(EFAULT, onlooker_stop(o, TIMEOUT_MS));
	}
}

SUITE(.needs = NEED_ROOT | NEED_REFCOUNT | NEED_KPAGE, .seconds = 120, .serial = true)
