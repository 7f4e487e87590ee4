// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each pin holds what it says, by as much as it says, and ends when it is told
 * or when its holder dies; and what cannot be pinned is refused whole.
 *
 * On a memfd, so that it needs no KVM.  Its pages may migrate, so nothing here
 * asks whether they are still the same ones.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#include "peer.h"
#include "pin.h"
#include "suite.h"

#define NR_PAGES	300	/* more than one pin can hold */
#define PAGE		4096ul
#define BYTES		(NR_PAGES * PAGE)
#define TIMEOUT_MS	5000

FIXTURE(pin_test) {
	int fd;
	char *map;
};

FIXTURE_VARIANT(pin_test) {
	enum pin_kind kind;
	const char *name;
	__u64 refs;
	bool reads, writes;
};

FIXTURE_VARIANT_ADD(pin_test, io_uring) {
	.name = "io_uring", .kind = PIN_IO_URING, .refs = 1024, .reads = true, .writes = true };
FIXTURE_VARIANT_ADD(pin_test, vmsplice) {
	.name = "vmsplice", .kind = PIN_VMSPLICE, .refs = 1, .reads = true };
FIXTURE_VARIANT_ADD(pin_test, o_direct) {
	.name = "o_direct", .kind = PIN_O_DIRECT, .refs = 1024, .writes = true };
FIXTURE_VARIANT_ADD(pin_test, process_vm) {
	.name = "process_vm", .kind = PIN_PROCESS_VM, .refs = 1024, .reads = true };

FIXTURE_SETUP(pin_test)
{
	__u64 i;

	REQUIRE(pin_why_not(variant->kind));
	self->fd = memfd_create("pin_test", MFD_CLOEXEC);
	ASSERT_SYS(ftruncate(self->fd, BYTES));
	self->map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	for (i = 0; i < NR_PAGES; i++)
		*(__u64 *)(self->map + i * PAGE) = i;
}

FIXTURE_TEARDOWN(pin_test)
{
	munmap(self->map, BYTES);
	close(self->fd);
}

TEST_F(pin_test, knows_its_name_and_its_references)
{
	EXPECT_STREQ(variant->name, pin_name(variant->kind));
	EXPECT_EQ(variant->refs, pin_refs(variant->kind));
}

TEST_F(pin_test, holds_from_one_page_to_the_most)
{
	static const __u64 sizes[] = { 1, 2, 15, 16, 17, 33, PIN_MAX_PAGES };
	struct pin *pin;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_OK(pin_take(&pin, variant->kind, self->map + 3 * PAGE, sizes[i]));
		EXPECT_HELD(self->fd, 0, 3, 1, 0);
		EXPECT_HELD(self->fd, 3, sizes[i], 1, variant->refs);
		EXPECT_HELD(self->fd, 3 + sizes[i], NR_PAGES - 3 - sizes[i], 1, 0);
		pin_release(pin);
		EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
	}
}

TEST_F(pin_test, refuses_bad_arguments)
{
	struct pin *pin = (void *)self;

	EXPECT_ERR(EINVAL, pin_take(&pin, variant->kind, self->map, 0));
	EXPECT_EQ(NULL, pin);
	EXPECT_ERR(EINVAL, pin_take(&pin, variant->kind, self->map + 8, 1));
	EXPECT_ERR(EINVAL, pin_take(&pin, PIN_NR_KINDS, self->map, 1));
	EXPECT_ERR(E2BIG, pin_take(&pin, variant->kind, self->map, PIN_MAX_PAGES + 1));
	EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
	pin_release(NULL);
}

TEST_F(pin_test, refuses_a_range_that_is_not_all_there)
{
	struct pin *pin;

	/* Not by munmap(), as something else could come to stand there. */
	ASSERT_NE(MAP_FAILED, mmap(self->map + 20 * PAGE, 10 * PAGE, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	/* None of it, the end of it, the start of it. */
	EXPECT_ERR(EFAULT, pin_take(&pin, variant->kind, self->map + 22 * PAGE, 2));
	EXPECT_ERR(EFAULT, pin_take(&pin, variant->kind, self->map + 15 * PAGE, 8));
	EXPECT_ERR(EFAULT, pin_take(&pin, variant->kind, self->map + 28 * PAGE, 8));
	EXPECT_HELD(self->fd, 0, 20, 1, 0);
	EXPECT_HELD(self->fd, 30, NR_PAGES - 30, 1, 0);

	ASSERT_SYS(mprotect(self->map, 20 * PAGE, PROT_NONE));
	EXPECT_ERR(EFAULT, pin_take(&pin, variant->kind, self->map, 4));
	EXPECT_HELD(self->fd, 0, 20, 1, 0);
}

TEST_F(pin_test, reads_through_the_pin)
{
	struct pin *pin;
	__u64 got = 0;

	ASSERT_OK(pin_take(&pin, variant->kind, self->map + 5 * PAGE, 40));
	if (variant->reads) {
		EXPECT_OK(pin_read(pin, 30, &got));
		EXPECT_EQ(35, got);
		EXPECT_ERR(ERANGE, pin_read(pin, 40, &got));
	} else {
		EXPECT_ERR(EOPNOTSUPP, pin_read(pin, 30, &got));
	}
	pin_release(pin);
	EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
}

TEST_F(pin_test, writes_through_the_pin)
{
	struct pin *pin;
	__u64 i, want;

	ASSERT_OK(pin_take(&pin, variant->kind, self->map + 5 * PAGE, 40));
	EXPECT_EQ(variant->writes ? 0 : -EOPNOTSUPP, pin_write(pin, 1000));
	for (i = 0; i < NR_PAGES; i++) {
		want = variant->writes && i >= 5 && i < 45 ? 1000 + i - 5 : i;
		EXPECT_EQ(want, *(__u64 *)(self->map + i * PAGE));
	}
	pin_release(pin);
	EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
}

static int linger(struct peer *me, void *arg __attribute__((unused)))
{
	return peer_hear(me, NULL, TIMEOUT_MS);
}

TEST_F(pin_test, lets_go_though_a_child_has_its_descriptors)
{
	struct peer *peer;
	struct pin *pin;

	ASSERT_OK(pin_take(&pin, variant->kind, self->map, 20));
	ASSERT_OK(peer_start(&peer, linger, NULL));
	EXPECT_HELD(self->fd, 0, 20, 1, variant->refs);
	pin_release(pin);
	EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
	peer_kill(peer);
}

struct holder {
	enum pin_kind kind;
	char *map;
};

static int take_for_ever(struct peer *me, void *arg)
{
	struct holder *h = arg;
	struct pin *pin;
	int err = 0;

	peer_tell(me, 0);
	while (!err) {
		err = pin_take(&pin, h->kind, h->map, 32);
		if (!err)
			pin_release(pin);
	}
	return err;
}

TEST_F(pin_test, ends_with_a_kill_at_any_moment)
{
	struct holder h = { variant->kind, self->map };
	struct timespec nap = {};
	struct peer *peer;
	__u64 seed = supervise_seed();
	int i;

	for (i = 0; i < 40; i++) {
		ASSERT_OK(peer_start(&peer, take_for_ever, &h));
		ASSERT_OK(peer_hear(peer, NULL, TIMEOUT_MS));
		/* Anywhere within the first takes and releases. */
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		nap.tv_nsec = seed >> 33 & 0x3fffff;
		nanosleep(&nap, NULL);
		peer_kill(peer);
		EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
	}
}

SUITE(.needs = NEED_ROOT | NEED_REFCOUNT, .seconds = 60)
