// SPDX-License-Identifier: GPL-2.0-only
/*
 * A meter moves with what is planted, and only the direction of a leak counts.
 */
#include <sys/mman.h>

#include "pin.h"
#include "suite.h"

#define PAGE	4096ul
#define NR	8192ul	/* 32 MB: more than what others do by the way */
#define NR_FREE	(4 * NR) /* whatever others do shows in free memory */
#define TRIES	10	/* they can mask what is planted, but not each time */

FIXTURE(meter_test) {
	struct meter before;
	struct finding f;
};

FIXTURE_SETUP(meter_test)
{
	setenv("SEPT_SETTLE_MS", "100", 1);
	memset(&self->f, 0, sizeof(self->f));
	ASSERT_OK(meter_read(&self->before));
}

FIXTURE_TEARDOWN(meter_test)
{
}

TEST_F(meter_test, reads_every_counter)
{
	int i;

	for (i = 0; i < METER_NR; i++) {
		EXPECT_GT(self->before.value[i], i == METER_UNEVICTABLE || i == METER_HKIDS ? -1 : 0);
		EXPECT_NE('\0', meter_name(i)[0]);
	}
}

/*
 * Plant @nr pages by @plant, see them in @which, take them away by @pick, and see
 * them gone.  Returns 1 if that came out right once.
 */
static int sees(enum meter_counter which, __u64 nr, void *(*plant)(void),
		void (*pick)(void *), struct finding *f)
{
	const __s64 far = which == METER_FREE ? -100 * (__s64)nr : 100 * (__s64)nr;
	struct meter before, after;
	int i, rc, back;
	void *it;

	for (i = 0; i < TRIES; i++) {
		if (meter_read(&before))
			return 0;
		it = plant();
		if (!it)
			return 0;
		settle_drain();
		rc = meter_check_back(&before, which, nr / 2, f);
		pick(it);
		back = meter_check_back(&before, which, nr / 2, &(struct finding){});
		/* The other way is no leak, however far it is. */
		after = before;
		after.value[which] += far;
		if (rc == 1 && !back &&
		    !meter_check_back(&after, which, 0, &(struct finding){}))
			return 1;
	}
	return 0;
}

static void *plant_memory(void)
{
	void *mem = mmap(NULL, NR * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static void pick_memory(void *mem)
{
	munmap(mem, NR * PAGE);
}

static void *plant_much_memory(void)
{
	void *mem = mmap(NULL, NR_FREE * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static void pick_much_memory(void *mem)
{
	munmap(mem, NR_FREE * PAGE);
}

static void *map_file(int flags)
{
	int fd = memfd_create("meter_test", MFD_CLOEXEC);
	void *mem = MAP_FAILED;

	if (!ftruncate(fd, NR * PAGE))
		mem = mmap(NULL, NR * PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_POPULATE | flags, fd, 0);
	close(fd);
	return mem == MAP_FAILED ? NULL : mem;
}

static void *plant_file(void)
{
	return map_file(0);
}

/* Not by mlock(), of which AddressSanitizer makes nothing. */
static void *plant_locked(void)
{
	return map_file(MAP_LOCKED);
}

#define EXPECT_TOLD(which) do {						\
	EXPECT_STREQ("counter", self->f.invariant);			\
	EXPECT_NE(NULL, strstr(self->f.text, meter_name(which)));	\
	EXPECT_GE(self->f.waited_ms, 100);				\
} while (0)

TEST_F(meter_test, misses_free_memory)
{
	EXPECT_EQ(1, sees(METER_FREE, NR_FREE, plant_much_memory,
			  pick_much_memory, &self->f));
	EXPECT_TOLD(METER_FREE);
}

TEST_F(meter_test, finds_file_pages)
{
	EXPECT_EQ(1, sees(METER_FILE, NR, plant_file, pick_memory, &self->f));
	EXPECT_TOLD(METER_FILE);
}

TEST_F(meter_test, finds_unevictable_pages)
{
	EXPECT_EQ(1, sees(METER_UNEVICTABLE, NR, plant_locked, pick_memory, &self->f));
	EXPECT_TOLD(METER_UNEVICTABLE);
}

#define NR_PINS (NR / PIN_MAX_PAGES)

/* Pages that left their file, held by pipes: what a leak looks like. */
static void *plant_orphans(void)
{
	static struct pin *pins[NR_PINS];
	char *mem = plant_file();
	unsigned int i;

	for (i = 0; mem && i < NR_PINS; i++)
		if (pin_take(&pins[i], PIN_VMSPLICE, mem + i * PIN_MAX_PAGES * PAGE,
			     PIN_MAX_PAGES))
			return NULL;
	if (mem)
		munmap(mem, NR * PAGE);
	return mem ? pins : NULL;
}

static void pick_orphans(void *pins)
{
	unsigned int i;

	for (i = 0; i < NR_PINS; i++)
		pin_release(((struct pin **)pins)[i]);
}

TEST_F(meter_test, finds_lost_memory)
{
	EXPECT_EQ(1, sees(METER_LOST, NR, plant_orphans, pick_orphans, &self->f));
	EXPECT_TOLD(METER_LOST);
}

/* In one round out of a few, as others use memory, too; a meter that did would in each. */
TEST_F(meter_test, takes_no_memory_in_use_for_lost)
{
	int i, lost = 1, after = 1;
	void *anon, *file;

	for (i = 0; i < TRIES && (lost || after); i++) {
		ASSERT_OK(meter_read(&self->before));
		anon = plant_memory();
		file = plant_file();
		ASSERT_NE(NULL, anon);
		ASSERT_NE(NULL, file);
		lost = meter_check_back(&self->before, METER_LOST, NR / 8, &self->f);
		pick_memory(anon);
		pick_memory(file);
		after = meter_check_back(&self->before, METER_LOST, NR / 8, &self->f);
	}
	EXPECT_EQ(0, lost);
	EXPECT_EQ(0, after);
}

TEST_F(meter_test, does_not_wait_for_what_is_there)
{
	const unsigned int was = settle_longest_ms();
	struct meter later = self->before;

	later.value[METER_FREE] = 0;
	EXPECT_BACK(&later, METER_FREE, 0);
	EXPECT_EQ(was, settle_longest_ms());
}

SUITE(.needs = NEED_ROOT, .serial = true)
