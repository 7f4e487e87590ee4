// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest_memfd that user space can map is touched, read through page tables and pinned
 * by some while others punch it, allocate it and take its slot away: whoever comes finds
 * a page, and no page is held by anybody in the end.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "gmem.h"
#include "race.h"
#include "suite.h"

#define NR_PAGES	8ull
#define PAGE_BYTES	4096ull

FIXTURE(race_shared) {
	struct guest *g;
	struct race *race;
	struct census *before, *after;
	char *map;
	int pipe[2];
};

FIXTURE_VARIANT(race_shared) {};
FIXTURE_VARIANT_ADD(race_shared, default) {};

FIXTURE_SETUP(race_shared)
{
	void *map;

	self->pipe[0] = -1;
	self->pipe[1] = -1;
	REQUIRE(need_join(guest_why_not(GUEST_DEFAULT), race_why_not(), NEED_END));
	ASSERT_OK(guest_create(&self->g, GUEST_DEFAULT, NR_PAGES));
	ASSERT_OK(gmem_map(guest_gmem(self->g), 0, NR_PAGES, &map));
	self->map = map;
	ASSERT_SYS(pipe2(self->pipe, O_CLOEXEC));
}

FIXTURE_TEARDOWN(race_shared)
{
	if (!race_end(self->race))
		return;
	if (self->map)
		munmap(self->map, NR_PAGES * PAGE_BYTES);
	close(self->pipe[0]);
	close(self->pipe[1]);
	census_free(self->before);
	census_free(self->after);
	guest_destroy(self->g);
}

static int map_touch(void *world, unsigned int me)
{
	FIXTURE_DATA(race_shared) *self = world;
	__u64 i;

	for (i = 0; i < NR_PAGES; i++)
		*(volatile __u64 *)(self->map + i * PAGE_BYTES) = me + i;
	return 0;
}

static int map_read(void *world, unsigned int me __maybe_unused)
{
	FIXTURE_DATA(race_shared) *self = world;
	char to[NR_PAGES * PAGE_BYTES];
	struct iovec local = { to, sizeof(to) }, remote = { self->map, sizeof(to) };
	ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : n == sizeof(to) ? 0 : -EIO;
}

/* Into a pipe, and out again. */
static int map_splice(void *world, unsigned int me __maybe_unused)
{
	FIXTURE_DATA(race_shared) *self = world;
	struct iovec pages = { self->map, NR_PAGES * PAGE_BYTES };
	char to[NR_PAGES * PAGE_BYTES];

	if (vmsplice(self->pipe[1], &pages, 1, 0) != sizeof(to) ||
	    read(self->pipe[0], to, sizeof(to)) != sizeof(to))
		return -errno;
	return 0;
}

static int vcpu_touch(void *world, unsigned int me __maybe_unused)
{
	FIXTURE_DATA(race_shared) *self = world;

	return guest_touch(self->g, 0, NR_PAGES, 1);
}

static int punch(void *world, unsigned int me __maybe_unused)
{
	FIXTURE_DATA(race_shared) *self = world;

	return gmem_punch(guest_gmem(self->g), 0, NR_PAGES);
}

static int allocate(void *world, unsigned int me __maybe_unused)
{
	FIXTURE_DATA(race_shared) *self = world;

	return gmem_allocate(guest_gmem(self->g), 0, NR_PAGES);
}

static int slot_move(void *world, unsigned int me __maybe_unused)
{
	FIXTURE_DATA(race_shared) *self = world;

	return guest_unbind(self->g, GUEST_SLOT) ?:
	       guest_bind(self->g, GUEST_SLOT, 0, NR_PAGES, GUEST_GPA);
}

#define ROLE(name_, allowed_)							\
	static const struct race_role name_##_role = {				\
		.name = #name_, .act = name_, .allowed = allowed_,		\
	}
ROLE(map_touch, "0");
ROLE(map_read, "0");
ROLE(map_splice, "0");
ROLE(vcpu_touch, "0");
ROLE(punch, "0");
ROLE(allocate, "0");
ROLE(slot_move, "0");

static void hold(struct __test_metadata *_metadata, FIXTURE_DATA(race_shared) *self,
		 const struct race_role *a, const struct race_role *b)
{
	const struct race_plan plan = { .roles = { a, b }, .nr = 2, .seconds = 10 };

	ASSERT_OK(race_start(&self->race, &plan));
	while (race_next(self->race)) {
		if (race_round(self->race) % 2) {
			ASSERT_OK(gmem_allocate(guest_gmem(self->g), 0, NR_PAGES));
			ASSERT_OK(census_take(&self->before, guest_gmem(self->g), 0, NR_PAGES));
		}
		ASSERT_OK(race_go(self->race, self));
		/* What came meanwhile, perhaps in the place of those that went. */
		ASSERT_OK(census_take(&self->after, guest_gmem(self->g), 0, NR_PAGES));
		ASSERT_OK(gmem_punch(guest_gmem(self->g), 0, NR_PAGES));
		if (self->before)
			EXPECT_FREED(self->before, 0, NR_PAGES);
		EXPECT_FREED(self->after, 0, NR_PAGES);
		census_free(self->before);
		census_free(self->after);
		self->before = self->after = NULL;
	}
	EXPECT_RACE(self->race);
}

#define RACE(name, a, b)							\
TEST_F(race_shared, name)							\
{										\
	hold(_metadata, self, &a##_role, &b##_role);				\
}

RACE(memory_is_touched_while_it_is_punched, map_touch, punch)
RACE(memory_is_read_while_it_is_punched, map_read, punch)
RACE(memory_is_pinned_while_it_is_punched, map_splice, punch)
RACE(memory_is_pinned_while_it_is_allocated, map_splice, allocate)
RACE(memory_is_touched_while_a_vcpu_does, map_touch, vcpu_touch)
RACE(memory_is_punched_below_a_vcpu, vcpu_touch, punch)
RACE(memory_is_touched_while_its_slot_moves, map_touch, slot_move)
RACE(memory_is_punched_while_its_slot_moves, punch, slot_move)

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT, .seconds = 120)
