// SPDX-License-Identifier: GPL-2.0-only
/*
 * The census finds what is planted, names it, and is silent where nothing is.
 *
 * On a guest_memfd that user space can map, and not on a memfd, whose pages
 * compaction may move at any time.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "cpu.h"
#include "folio_proc.h"
#include "gmem.h"
#include "peer.h"
#include "pin.h"
#include "suite.h"

#define NR_PAGES	64
#define PAGE		4096ul

struct holder {
	void *map;
	int cpu;
};

FIXTURE(census_test) {
	struct guest *g;
	int fd;
	char *map;
	struct census *before;
	struct finding f;
};

FIXTURE_SETUP(census_test)
{
	__u64 i;

	setenv("SEPT_SETTLE_MS", "150", 1);
	REQUIRE(guest_why_not(GUEST_DEFAULT));
	ASSERT_OK(guest_create_unbound(&self->g, GUEST_DEFAULT, NR_PAGES));
	self->fd = guest_gmem(self->g);
	ASSERT_OK(gmem_map(self->fd, 0, NR_PAGES, (void **)&self->map));
	for (i = 0; i < NR_PAGES; i++)
		self->map[i * PAGE] = 1;
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
}

FIXTURE_TEARDOWN(census_test)
{
	census_free(self->before);
	munmap(self->map, NR_PAGES * PAGE);
	guest_destroy(self->g);
}

TEST_F(census_test, sees_who_holds_what_is_behind_an_address)
{
	char *anon = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	ASSERT_NE(MAP_FAILED, anon);
	EXPECT_HELD_BEHIND(anon, 4, 1);
	EXPECT_HELD_BEHIND(self->map, NR_PAGES, 2);
	ASSERT_EQ(1, census_check_behind(anon, 4, 2, &self->f));
	EXPECT_EQ(4, self->f.nr_bad);
	/* Nothing there is no page held by nobody. */
	ASSERT_SYS(madvise(anon + PAGE, PAGE, MADV_DONTNEED));
	ASSERT_EQ(1, census_check_behind(anon, 4, 1, &self->f));
	ASSERT_EQ(1, census_check_behind(anon + PAGE, 1, 0, &self->f));
	munmap(anon, 4 * PAGE);
}

TEST_F(census_test, sees_every_page_with_its_baseline)
{
	ASSERT_EQ(NR_PAGES, census_nr_present(self->before));
	EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
	EXPECT_MAPS_AGREE(self->fd, 0, NR_PAGES);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);
	EXPECT_IN_PLACE(self->before, 0, NR_PAGES);
	ASSERT_NE(NULL, census_page(self->before, NR_PAGES - 1));
	ASSERT_EQ(NULL, census_page(self->before, NR_PAGES));
}

TEST_F(census_test, tells_the_frame_that_pagemap_tells)
{
	__u64 i, pfn;

	for (i = 0; i < NR_PAGES; i++) {
		ASSERT_OK(folio_proc_pfn(self->map + i * PAGE, &pfn));
		ASSERT_EQ(pfn, folio_pfn(census_page(self->before, i)));
	}
}

TEST_F(census_test, is_content_after_a_punch)
{
	ASSERT_OK(gmem_punch(self->fd, 8, 8));
	EXPECT_FREED(self->before, 8, 8);
	EXPECT_ABSENT(self->fd, 8, 8);
	EXPECT_UNTOUCHED(self->before, 0, 8);
	EXPECT_UNTOUCHED(self->before, 16, NR_PAGES - 16);
}

TEST_F(census_test, names_a_page_that_is_still_in_the_file)
{
	ASSERT_OK(gmem_punch(self->fd, 8, 7));
	ASSERT_EQ(1, census_check_freed(self->before, 8, 8, &self->f));
	ASSERT_EQ(1, self->f.nr_bad);
	ASSERT_EQ(15, self->f.pages[0].index);
	ASSERT_STREQ("freed", self->f.invariant);
	ASSERT_STREQ("still in the file", self->f.pages[0].holder);
	ASSERT_EQ(1, census_check_absent(self->fd, 8, 8, &self->f));
	ASSERT_EQ(15, self->f.pages[0].index);
}

TEST_F(census_test, names_a_pin_by_its_bias)
{
	struct pin *pin;

	ASSERT_OK(pin_take(&pin, PIN_IO_URING, self->map + 3 * PAGE, 2));
	ASSERT_EQ(1, census_check_held(self->fd, 0, NR_PAGES, 1, 0, &self->f));
	ASSERT_EQ(2, self->f.nr_bad);
	ASSERT_EQ(3, self->f.pages[0].index);
	ASSERT_EQ(2 + CENSUS_PIN_BIAS, self->f.pages[0].refs);
	ASSERT_EQ(2, self->f.pages[0].want_refs);
	ASSERT_STREQ("1 GUP pin (bias 1024 each)", self->f.pages[0].holder);
	ASSERT_FALSE(self->f.pages[0].moved);
	ASSERT_GE(self->f.waited_ms, 150);
	pin_release(pin);
	/* io_uring lets go behind an RCU grace period. */
	unsetenv("SEPT_SETTLE_MS");
	EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
}

static int holds_a_pin(struct peer *me, void *map)
{
	struct pin *pin;
	int err = pin_take(&pin, PIN_IO_URING, map, 1);

	peer_tell(me, 0);
	peer_hear(me, NULL, 20000);
	return err;
}

TEST_F(census_test, finds_a_pin_that_another_process_keeps)
{
	struct peer *peer;

	ASSERT_OK(peer_start(&peer, holds_a_pin, self->map));
	ASSERT_OK(peer_hear(peer, NULL, 5000));
	ASSERT_EQ(1, census_check_held(self->fd, 0, 1, 2, 0, &self->f));
	ASSERT_STREQ("1 GUP pin (bias 1024 each)", self->f.pages[0].holder);
	peer_kill(peer);
	unsetenv("SEPT_SETTLE_MS");
	EXPECT_HELD(self->fd, 0, NR_PAGES, 1, 0);
}

/* All the time, but for a moment in each millisecond. */
static int hardly_lets_go(struct peer *me, void *arg)
{
	const struct holder *h = arg;
	struct pin *pin;
	int err = cpu_run_on(h->cpu) ?: pin_take(&pin, PIN_VMSPLICE, h->map, 1);

	peer_tell(me, 0);
	while (!err) {
		err = peer_hear(me, NULL, 1);
		pin_release(pin);
		if (err != -ETIMEDOUT)
			return err;
		err = pin_take(&pin, PIN_VMSPLICE, h->map, 1);
	}
	return err;
}

TEST_F(census_test, sees_the_moments_of_a_holder_that_hardly_lets_go)
{
	struct holder h = { .map = self->map };
	struct peer *peer;
	unsigned int i;
	int cpus[2];

	REQUIRE(cpu_find_two(cpus));
	ASSERT_OK(cpu_run_on(cpus[0]));
	h.cpu = cpus[1];
	unsetenv("SEPT_SETTLE_MS");
	ASSERT_OK(peer_start(&peer, hardly_lets_go, &h));
	ASSERT_OK(peer_hear(peer, NULL, 5000));
	for (i = 0; i < 5; i++)
		EXPECT_HELD(self->fd, 0, 1, 2, 0);
	EXPECT_OK(peer_tell(peer, 0));
	EXPECT_OK(peer_join(peer, 5000));
}

static int maps_a_page(struct peer *me, void *map)
{
	volatile char *page = map;

	(void)*page;
	peer_tell(me, 0);
	peer_hear(me, NULL, 20000);
	return 0;
}

TEST_F(census_test, finds_a_mapping_that_a_fork_left)
{
	struct peer *peer;

	ASSERT_OK(peer_start(&peer, maps_a_page, self->map));
	ASSERT_OK(peer_hear(peer, NULL, 5000));
	ASSERT_EQ(1, census_check_held(self->fd, 0, 1, 1, 0, &self->f));
	ASSERT_EQ(2, self->f.pages[0].maps);
	ASSERT_EQ(1, self->f.pages[0].want_maps);
	EXPECT_HELD(self->fd, 0, 1, 2, 0);
	peer_kill(peer);
	EXPECT_HELD(self->fd, 0, 1, 1, 0);
}

TEST_F(census_test, finds_an_orphan_and_who_made_it)
{
	struct iovec iov = { .iov_base = self->map + 5 * PAGE, .iov_len = PAGE };
	int pipes[2];

	ASSERT_SYS(pipe(pipes));
	ASSERT_EQ(PAGE, vmsplice(pipes[1], &iov, 1, 0));
	ASSERT_OK(gmem_punch(self->fd, 4, 4));
	ASSERT_EQ(1, census_check_freed(self->before, 4, 4, &self->f));
	ASSERT_EQ(1, self->f.nr_bad);
	ASSERT_EQ(5, self->f.pages[0].index);
	ASSERT_EQ(1, self->f.pages[0].refs);
	ASSERT_STREQ("1 plain reference, not an LRU batch", self->f.pages[0].holder);
	EXPECT_ORPHANED(self->before, 5, 1, 1);
	ASSERT_EQ(1, census_check_orphaned(self->before, 5, 1, 2, &self->f));
	ASSERT_EQ(1, census_check_orphaned(self->before, 4, 2, 1, &self->f));
	ASSERT_EQ(4, self->f.pages[0].index);
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_FREED(self->before, 4, 4);
}

TEST_F(census_test, tells_a_new_page_from_the_old_one)
{
	struct guest *taker;
	cpu_set_t cpu;

	/* Free lists are per CPU: stay here, so that the taker gets the frame. */
	CPU_ZERO(&cpu);
	CPU_SET(sched_getcpu(), &cpu);
	ASSERT_SYS(sched_setaffinity(0, sizeof(cpu), &cpu));
	ASSERT_OK(guest_create_unbound(&taker, GUEST_DEFAULT, NR_PAGES));

	ASSERT_OK(gmem_punch(self->fd, 9, 1));
	ASSERT_OK(gmem_allocate(guest_gmem(taker), 0, NR_PAGES));
	ASSERT_EQ(1, census_check_in_place(self->before, 9, 1, &self->f));
	ASSERT_EQ(1, census_check_untouched(self->before, 9, 1, &self->f));
	ASSERT_EQ(0, self->f.pages[0].pfn);

	self->map[9 * PAGE] = 2;
	ASSERT_EQ(1, census_check_in_place(self->before, 9, 1, &self->f));
	ASSERT_EQ(1, census_check_untouched(self->before, 9, 1, &self->f));
	ASSERT_EQ(9, self->f.pages[0].index);
	ASSERT_NE(0, self->f.pages[0].pfn);
	EXPECT_FREED(self->before, 9, 1);
	EXPECT_UNTOUCHED(self->before, 10, NR_PAGES - 10);
	guest_destroy(taker);
}

TEST_F(census_test, knows_a_dead_file_from_a_new_one_in_its_place)
{
	int i, fds[32];

	munmap(self->map, NR_PAGES * PAGE);
	ASSERT_OK(guest_close_gmem(self->g));
	/* Likely to get the old inode's memory, and the old frames. */
	for (i = 0; i < 32; i++) {
		fds[i] = memfd_create("next", MFD_CLOEXEC);
		ASSERT_SYS(ftruncate(fds[i], NR_PAGES * PAGE));
		ASSERT_SYS(fallocate(fds[i], 0, 0, NR_PAGES * PAGE));
	}
	EXPECT_FREED(self->before, 0, NR_PAGES);
	for (i = 0; i < 32; i++)
		close(fds[i]);
}

TEST_F(census_test, finds_a_file_that_somebody_keeps_open)
{
	struct peer *peer;

	ASSERT_OK(peer_start(&peer, maps_a_page, self->map));
	ASSERT_OK(peer_hear(peer, NULL, 5000));
	munmap(self->map, NR_PAGES * PAGE);
	ASSERT_OK(guest_close_gmem(self->g));
	ASSERT_EQ(1, census_check_freed(self->before, 0, NR_PAGES, &self->f));
	ASSERT_EQ(NR_PAGES, self->f.nr_bad);
	ASSERT_STREQ("still in the file", self->f.pages[0].holder);
	peer_kill(peer);
	EXPECT_FREED(self->before, 0, NR_PAGES);
}

TEST_F(census_test, turns_red_when_the_readings_are_faked)
{
	int tries, red = 0;

	setenv("SEPT_FAKE_REFS", "1", 1);
	ASSERT_EQ(1, census_check_held(self->fd, 0, NR_PAGES, 1, 0, &self->f));
	ASSERT_EQ(1, census_check_untouched(self->before, 0, NR_PAGES, &self->f));
	ASSERT_EQ(1, census_check_orphaned(self->before, 0, 8, 0, &self->f));

	/*
	 * A freed frame that somebody else takes at once is freed, whatever the
	 * reading; one undisturbed try is enough.
	 */
	setenv("SEPT_SETTLE_MS", "0", 1);
	for (tries = 0; tries < 50 && !red; tries++) {
		ASSERT_OK(gmem_allocate(self->fd, 0, 8));
		census_free(self->before);
		ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
		ASSERT_OK(gmem_punch(self->fd, 0, 8));
		red = census_check_freed(self->before, 0, 8, &self->f);
	}
	ASSERT_EQ(1, red);
	ASSERT_STREQ("freed", self->f.invariant);
	unsetenv("SEPT_FAKE_REFS");
	EXPECT_FREED(self->before, 0, 8);
}

TEST_F(census_test, names_a_reference_too_few)
{
	setenv("SEPT_FAKE_REFS", "-1", 1);
	ASSERT_EQ(1, census_check_held(self->fd, 0, 1, 1, 0, &self->f));
	ASSERT_NE(NULL, strstr(self->f.pages[0].holder, "too few"));
	unsetenv("SEPT_FAKE_REFS");
}

/* A new page is in a batch of the CPU, whose reference would make up for it. */
TEST_F(census_test, sees_one_too_few_in_spite_of_an_lru_batch)
{
	ASSERT_OK(gmem_punch(self->fd, 0, 1));
	ASSERT_OK(gmem_allocate(self->fd, 0, 1));
	setenv("SEPT_FAKE_REFS", "-1", 1);
	ASSERT_EQ(1, census_check_held(self->fd, 0, 1, 0, 0, &self->f));
	ASSERT_EQ(0, self->f.pages[0].refs);
	unsetenv("SEPT_FAKE_REFS");
	EXPECT_HELD(self->fd, 0, 1, 0, 0);
}

TEST_F(census_test, refuses_what_it_cannot_answer)
{
	struct census *c;

	ASSERT_ERR(EINVAL, census_take(&c, self->fd, 0, 0));
	ASSERT_EQ(NULL, c);
	ASSERT_ERR(EBADF, census_take(&c, 1000, 0, 1));
	ASSERT_ERR(ERANGE, census_check_freed(self->before, NR_PAGES - 1, 2, &self->f));
	ASSERT_NE(0, self->f.text[0]);
	ASSERT_ERR(EBADF, census_check_held(1000, 0, 1, 0, 0, &self->f));
}

TEST_F(census_test, looks_at_more_pages_than_one_window_holds)
{
	const __u64 nr = 3 * FOLIO_WINDOW + 17;
	struct census *c;
	struct guest *g;
	int fd;

	ASSERT_OK(guest_create_unbound(&g, GUEST_DEFAULT, nr));
	fd = guest_gmem(g);
	ASSERT_OK(gmem_allocate(fd, 0, nr));
	ASSERT_OK(census_take(&c, fd, 0, nr));
	ASSERT_EQ(nr, census_nr_present(c));
	EXPECT_HELD(fd, 0, nr, 0, 0);
	ASSERT_OK(gmem_punch(fd, 0, nr));
	EXPECT_FREED(c, 0, nr);
	census_free(c);
	guest_destroy(g);
}

SUITE(.needs = NEED_REFCOUNT | NEED_KPAGE | NEED_PAGEMAP, .seconds = 10)
