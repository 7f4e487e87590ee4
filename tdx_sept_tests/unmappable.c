// SPDX-License-Identifier: GPL-2.0-only
/*
 * Private pages are out of reach for user space, also of a guest_memfd that can be
 * mapped: no page table ever has them, and nothing that goes through addresses gets at
 * them; so nobody there can hold one.
 *
 * Claims: C15
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gmem.h"
#include "peer.h"
#include "pin.h"
#include "remote.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	16ull
#define BYTES		(NR_PAGES * PAGE_BYTES)
#define DATA		0x04a9000000000000ull
#define SLOT		(GUEST_SLOT + 1)
#define GPA		(GUEST_GPA + (1ull << 30))
#define TIMEOUT_MS	5000

FIXTURE(unmappable) {
	struct guest *g;
	int fd;			/* a guest_memfd with private memory that can be mapped */
	char *map;
	struct census *before;
};

FIXTURE_VARIANT(unmappable) {
	enum guest_type type;
};

FIXTURE_VARIANT_ADD(unmappable, sw_protected) { .type = GUEST_SW_PROTECTED };
FIXTURE_VARIANT_ADD(unmappable, tdx) { .type = GUEST_TDX };

/* Show it to the TD, which then has its pages; others only have them in the file. */
static int populate(struct guest *g, int fd)
{
	if (!guest_td(g))
		return gmem_allocate(fd, 0, NR_PAGES);
	return td_set_slot(guest_td(g), SLOT, KVM_MEM_GUEST_MEMFD, GPA, NR_PAGES, NULL, fd) ?:
	       td_set_private(guest_td(g), GPA, NR_PAGES, true) ?:
	       td_pages(guest_td(g), 0, TD_OP_WRITE, GPA, NR_PAGES, DATA, 0);
}

FIXTURE_SETUP(unmappable)
{
	self->fd = -1;
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create(&self->g, variant->type, 1));
	REQUIRE(gmem_flags(guest_vm(self->g)) & GUEST_MEMFD_FLAG_MMAP ? NULL :
		"this kernel lets no guest_memfd of this VM type be mapped");
	self->fd = gmem_create(guest_vm(self->g), NR_PAGES, GUEST_MEMFD_FLAG_MMAP);
	ASSERT_OK(self->fd);
	ASSERT_OK(gmem_map(self->fd, 0, NR_PAGES, (void **)&self->map));
	ASSERT_OK(populate(self->g, self->fd));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_EQ(NR_PAGES, census_nr_present(self->before));
}

FIXTURE_TEARDOWN(unmappable)
{
	census_free(self->before);
	if (self->map)
		munmap(self->map, BYTES);
	if (self->fd >= 0)
		close(self->fd);
	guest_destroy(self->g);
}

#define EXPECT_OUT_OF_REACH() do {					\
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);			\
	EXPECT_MAPS_AGREE(self->fd, 0, NR_PAGES);			\
	if (guest_td(self->g)) {					\
		EXPECT_OK(td_pages(guest_td(self->g), 0, TD_OP_VERIFY, GPA, NR_PAGES, \
				   DATA, 0));				\
	}								\
} while (0)

static sigjmp_buf bus;

static void on_bus(int sig)
{
	siglongjmp(bus, sig);
}

/* The signal that an access ends in, or 0. */
static int access_ends_in(volatile char *addr, bool write)
{
	int sig;

	signal(SIGBUS, on_bus);
	signal(SIGSEGV, on_bus);
	sig = sigsetjmp(bus, 1);
	if (!sig && write)
		*addr = 1;
	else if (!sig)
		(void)*addr;
	signal(SIGBUS, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	return sig;
}

TEST_F(unmappable, by_any_touch)
{
	EXPECT_EQ(SIGBUS, access_ends_in(self->map, false));
	EXPECT_EQ(SIGBUS, access_ends_in(self->map + 3 * PAGE_BYTES, true));
	EXPECT_EQ(SIGBUS, access_ends_in(self->map + BYTES - 1, false));
	EXPECT_OUT_OF_REACH();
}

TEST_F(unmappable, where_there_is_no_page_yet_either)
{
	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	EXPECT_EQ(SIGBUS, access_ends_in(self->map, false));
	EXPECT_EQ(SIGBUS, access_ends_in(self->map + PAGE_BYTES, true));
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

TEST_F(unmappable, by_populating)
{
	EXPECT_ERR(EFAULT, madvise(self->map, BYTES, MADV_POPULATE_READ) ? -errno : 0);
	EXPECT_ERR(EFAULT, madvise(self->map, BYTES, MADV_POPULATE_WRITE) ? -errno : 0);
	EXPECT_OUT_OF_REACH();
}

TEST_F(unmappable, by_system_calls)
{
	int pipes[2];

	ASSERT_SYS(pipe(pipes));
	EXPECT_ERR(EFAULT, write(pipes[1], self->map, 8) < 0 ? -errno : 0);
	ASSERT_EQ(8, write(pipes[1], "12345678", 8));
	EXPECT_ERR(EFAULT, read(pipes[0], self->map, 8) < 0 ? -errno : 0);
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_OUT_OF_REACH();
}

TEST_F(unmappable, by_whoever_pins_pages)
{
	struct pin *pin;
	int kind, tried = 0;

	for (kind = 0; kind < PIN_NR_KINDS; kind++) {
		if (pin_why_not(kind)) {
			TH_LOG("%s: %s", pin_name(kind), pin_why_not(kind));
			continue;
		}
		tried++;
		EXPECT_ERR(EFAULT, pin_take(&pin, kind, self->map, 4));
	}
	EXPECT_LT(0, tried);
	EXPECT_OUT_OF_REACH();
}

static int wait_until_told(struct peer *me, void *arg)
{
	(void)arg;
	return peer_tell(me, 0) ?: peer_hear(me, NULL, TIMEOUT_MS);
}

TEST_F(unmappable, by_another_process)
{
	struct peer *peer;
	__u64 word;
	int kind, rc;

	ASSERT_OK(peer_start(&peer, wait_until_told, NULL));
	ASSERT_OK(peer_hear(peer, NULL, TIMEOUT_MS));
	for (kind = 0; kind < REMOTE_NR_KINDS; kind++) {
		rc = kind == REMOTE_PROCESS_VM ? -EFAULT : -EIO;
		EXPECT_ERR(-rc, remote_read(kind, peer_pid(peer), (__u64)self->map, &word));
		EXPECT_ERR(-rc, remote_write(kind, peer_pid(peer), (__u64)self->map, 1));
	}
	ASSERT_OK(peer_tell(peer, 0));
	EXPECT_OK(peer_join(peer, TIMEOUT_MS));
	EXPECT_OUT_OF_REACH();
}

/* The usual guest_memfd of such a VM cannot be mapped at all. */
TEST_F(unmappable, if_it_was_not_made_to_be_mapped)
{
	void *map;

	EXPECT_ERR(ENODEV, gmem_map(guest_gmem(self->g), 0, 1, &map));
	EXPECT_OUT_OF_REACH();
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_KPAGE)
