// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of a guest_memfd are counted and charged while they are there, and no
 * longer; and where a limit forbids them, the attempt fails and leaks nothing.
 *
 * Memory that is not charged escapes the limits of a VM; a charge or a counter
 * that stays behind starves the host slowly, long after the VM is gone.
 */
#include <sys/mman.h>

#include "cgroup.h"
#include "clock.h"
#include "gmem.h"
#include "peer.h"
#include "pin.h"
#include "suite.h"

#define NR_PAGES	4096	/* so that batches of 64 per CPU do not matter */
#define PAGE		4096ul
#define BYTES		(NR_PAGES * PAGE)
#define SLACK		(BYTES / 8)
#define HEADROOM	(BYTES / 4)	/* what a limit leaves for pages */
#define TIMEOUT_MS	8000
#define TRIES		8	/* of what others can disturb; a leak fails all */
#define TRY_MS		20000	/* and for as long: who copies a file does so for seconds */

FIXTURE(accounting) {
	struct guest *g;
	int fd;
	struct cgroup *cg;
};

FIXTURE_VARIANT(accounting) {
	enum guest_type type;
};

GUEST_VARIANTS(accounting,);

FIXTURE_SETUP(accounting)
{
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create(&self->g, variant->type, NR_PAGES));
	self->fd = guest_gmem(self->g);
}

FIXTURE_TEARDOWN(accounting)
{
	guest_destroy(self->g);
	cgroup_destroy(self->cg);
}

/* Charged like @before, give or take what per-CPU batches hold. */
#define EXPECT_CHARGE_BACK(cg, before)					\
	__SUITE_CHECK("charge back at baseline",			\
		cgroup_check_back(cg, before, SLACK, &__f), 0)

/*
 * Work in a group of its own from here on.  The first census needs memory for itself, of
 * a kernel that pins some megabytes of BTF, and keeps it: that is taken before.
 */
#define ENTER_GROUP(usage) do {						\
	REQUIRE(cgroup_why_not());					\
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);				\
	ASSERT_OK(cgroup_create(&self->cg));				\
	ASSERT_OK(cgroup_enter(self->cg, 0));				\
	ASSERT_OK(cgroup_usage(self->cg, &(usage)));			\
} while (0)

#define EXPECT_CHARGED(before) do {					\
	__u64 __usage = 0;						\
									\
	ASSERT_OK(cgroup_usage(self->cg, &__usage));			\
	EXPECT_GE(__usage, (before) + BYTES - SLACK);			\
	EXPECT_LE(__usage, (before) + BYTES + SLACK);			\
} while (0)

TEST_F(accounting, charges_what_is_allocated_until_it_is_punched)
{
	__u64 before;

	ENTER_GROUP(before);
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	EXPECT_CHARGED(before);
	/* Once is enough. */
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	EXPECT_CHARGED(before);
	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	EXPECT_CHARGE_BACK(self->cg, before);
}

TEST_F(accounting, charges_half_after_half_is_punched)
{
	__u64 before, usage;

	ENTER_GROUP(before);
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES / 2));
	EXPECT_CHARGE_BACK(self->cg, before + BYTES / 2);
	ASSERT_OK(cgroup_usage(self->cg, &usage));
	EXPECT_GE(usage, before + BYTES / 2 - SLACK);
}

TEST_F(accounting, charges_what_user_space_touches)
{
	__u64 before, i;
	char *map;

	REQUIRE(guest_mappable(self->g) ? NULL :
		"user space cannot map the guest_memfd of this VM type");
	ENTER_GROUP(before);
	ASSERT_OK(gmem_map(self->fd, 0, NR_PAGES, (void **)&map));
	for (i = 0; i < NR_PAGES; i++)
		map[i * PAGE] = 1;
	EXPECT_CHARGED(before);
	munmap(map, BYTES);
	EXPECT_CHARGED(before);
	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	EXPECT_CHARGE_BACK(self->cg, before);
}

TEST_F(accounting, charges_what_the_guest_touches)
{
	__u64 before;

	ENTER_GROUP(before);
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, 1));
	EXPECT_CHARGED(before);
	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	EXPECT_CHARGE_BACK(self->cg, before);
}

TEST_F(accounting, charges_until_the_file_goes)
{
	__u64 before;

	ENTER_GROUP(before);
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	EXPECT_CHARGED(before);
	guest_destroy(self->g);
	self->g = NULL;
	EXPECT_CHARGE_BACK(self->cg, before);
}

TEST_F(accounting, charges_who_came_first)
{
	struct cgroup *second;
	__u64 before, other;

	ENTER_GROUP(before);
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	EXPECT_CHARGED(before);

	ASSERT_OK(cgroup_create(&second));
	ASSERT_OK(cgroup_enter(second, 0));
	ASSERT_OK(cgroup_usage(second, &other));
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, 1));
	EXPECT_CHARGED(before);
	EXPECT_CHARGE_BACK(second, other);

	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	EXPECT_CHARGE_BACK(self->cg, before);
	EXPECT_OK(cgroup_destroy(second));
}

TEST_F(accounting, charge_outlives_no_page_and_no_group)
{
	struct census *pages;
	__u64 before;

	ENTER_GROUP(before);
	ASSERT_OK(gmem_allocate(self->fd, 0, NR_PAGES));
	ASSERT_OK(cgroup_leave(self->cg, 0));
	EXPECT_CHARGED(before);
	ASSERT_OK(census_take(&pages, self->fd, 0, NR_PAGES));

	/* The group goes first; its pages must neither notice nor leak. */
	EXPECT_OK(cgroup_destroy(self->cg));
	self->cg = NULL;
	EXPECT_UNTOUCHED(pages, 0, NR_PAGES);
	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	EXPECT_FREED(pages, 0, NR_PAGES);
	census_free(pages);
}

TEST_F(accounting, charges_orphans_until_they_are_let_go)
{
	struct pin *pins[NR_PAGES / PIN_MAX_PAGES];
	__u64 before;
	unsigned int i;
	char *map;

	REQUIRE(guest_mappable(self->g) ? NULL :
		"user space cannot map the guest_memfd of this VM type, so nothing can pin it");
	REQUIRE(pin_why_not(PIN_IO_URING));
	ENTER_GROUP(before);
	ASSERT_OK(gmem_map(self->fd, 0, NR_PAGES, (void **)&map));
	for (i = 0; i < ARRAY_SIZE(pins); i++)
		ASSERT_OK(pin_take(&pins[i], PIN_IO_URING,
				   map + i * PIN_MAX_PAGES * PAGE, PIN_MAX_PAGES));
	ASSERT_OK(gmem_punch(self->fd, 0, NR_PAGES));
	EXPECT_ABSENT(self->fd, 0, NR_PAGES);
	EXPECT_CHARGED(before);
	for (i = 0; i < ARRAY_SIZE(pins); i++)
		pin_release(pins[i]);
	EXPECT_CHARGE_BACK(self->cg, before);
	munmap(map, BYTES);
}

TEST_F(accounting, charge_returns_after_churn)
{
	unsigned int round;
	__u64 before;

	ENTER_GROUP(before);
	for (round = 0; round < 100; round++) {
		ASSERT_OK(gmem_allocate(self->fd, 0, 1024));
		ASSERT_OK(gmem_punch(self->fd, 0, 1024));
	}
	EXPECT_CHARGE_BACK(self->cg, before);
}

/*
 * Something done to a guest_memfd, after which a counter must be back.
 *
 * Others use memory too, and one undisturbed try out of a few is enough: a leak
 * shows in each.
 */
struct attempt {
	int (*act)(struct attempt *a);	/* 0 or -errno */
	int fd;
	enum guest_type type;
	enum meter_counter which;
	__u64 tolerance;
	__s64 rise;			/* that @act saw */
};

static int check_attempts(struct attempt *a, __s64 want_rise, struct finding *f)
{
	const __u64 end = clock_ms() + TRY_MS;
	struct meter before;
	int i, err, rc = 1;

	/* A hundred times what a drained batch needs; the tries do the rest. */
	setenv("SEPT_SETTLE_MS", "500", 0);
	for (i = 0; rc > 0 && (i < TRIES || clock_ms() < end); i++) {
		err = meter_read(&before);
		a->rise = -before.value[a->which];
		if (!err)
			err = a->act(a);
		if (err) {
			finding_set(f, "counter", "could not try: %s", strerror(-err));
			return err;
		}
		rc = meter_check_back(&before, a->which, a->tolerance, f);
		if (!rc && want_rise && (a->rise < want_rise - (__s64)a->tolerance ||
					 a->rise > want_rise + (__s64)a->tolerance)) {
			finding_set(f, "counter", "%s rose by %lld with %lld pages more",
				    meter_name(a->which), a->rise, want_rise);
			rc = 1;
		}
	}
	return rc;
}

#define EXPECT_BACK_AFTER(attempt, want_rise)				\
	__SUITE_CHECK("counter back at baseline",			\
		check_attempts(attempt, want_rise, &__f), 0)

static int come_and_go(struct attempt *a)
{
	struct meter during;
	int err;

	err = gmem_allocate(a->fd, 0, NR_PAGES);
	settle_drain();
	if (!err)
		err = meter_read(&during);
	a->rise += during.value[a->which];
	return err ?: gmem_punch(a->fd, 0, NR_PAGES);
}

TEST_F(accounting, unevictable_pages_follow)
{
	struct attempt a = {
		.act = come_and_go, .fd = self->fd,
		.which = METER_UNEVICTABLE, .tolerance = NR_PAGES / 8,
	};

	EXPECT_BACK_AFTER(&a, NR_PAGES);
}

TEST_F(accounting, file_pages_follow)
{
	struct attempt a = {
		.act = come_and_go, .fd = self->fd,
		.which = METER_FILE, .tolerance = NR_PAGES / 8,
	};

	EXPECT_BACK_AFTER(&a, NR_PAGES);
}

#define CHURN_PAGES	256

static unsigned int churn_rounds(void)
{
	return supervise_rounds(1600);
}

static int churn(struct attempt *a)
{
	const unsigned int rounds = churn_rounds();
	unsigned int i;
	int err = 0;

	for (i = 0; i < rounds && !err; i++) {
		err = gmem_allocate(a->fd, 0, CHURN_PAGES);
		if (!err)
			err = gmem_punch(a->fd, 0, CHURN_PAGES);
	}
	return err;
}

TEST_F(accounting, no_memory_is_lost_by_churn)
{
	/* One page lost in every round would be more. */
	struct attempt a = {
		.act = churn, .fd = self->fd,
		.which = METER_LOST, .tolerance = churn_rounds() / 4,
	};

	EXPECT_BACK_AFTER(&a, 0);
}

TEST_F(accounting, no_page_stays_unevictable_after_churn)
{
	struct attempt a = {
		.act = churn, .fd = self->fd,
		.which = METER_UNEVICTABLE, .tolerance = churn_rounds() / 4,
	};

	EXPECT_BACK_AFTER(&a, 0);
}

TEST_F(accounting, free_memory_returns_after_churn)
{
	/* A leak in the other counters' blind spot would have to be a large one. */
	struct attempt a = {
		.act = churn, .fd = self->fd,
		.which = METER_FREE, .tolerance = churn_rounds() * CHURN_PAGES / 16,
	};

	EXPECT_BACK_AFTER(&a, 0);
}

#define NR_GUESTS	20
#define NR_REGIONS	256	/* of 2M, each with a page table of its own */
#define REGION		512ull

static int make_guests(struct attempt *a)
{
	struct guest *g;
	int i, j, err = 0;

	for (i = 0; i < NR_GUESTS && !err; i++) {
		err = guest_create(&g, a->type, NR_REGIONS * REGION);
		for (j = 0; j < NR_REGIONS && !err; j++)
			err = guest_touch(g, j * REGION, 1, 1);
		guest_destroy(g);
	}
	return err;
}

/*
 * Claims: B09
 */
TEST_F(accounting, no_memory_is_lost_by_guests)
{
	/* A struct kvm alone is more than 16 pages. */
	struct attempt a = {
		.act = make_guests, .type = variant->type,
		.which = METER_LOST, .tolerance = NR_GUESTS * 16,
	};

	EXPECT_BACK_AFTER(&a, 0);
}

TEST_F(accounting, page_tables_return_with_the_guest)
{
	/* Half of what the guests need, at least, so that no noise can hide it. */
	struct attempt a = {
		.act = make_guests, .type = variant->type,
		.which = METER_PAGE_TABLES, .tolerance = NR_GUESTS * NR_REGIONS / 2,
	};

	EXPECT_BACK_AFTER(&a, 0);
}

/* Punch pages under pins, and release them. */
static int make_orphans(struct attempt *a)
{
	struct pin *pins[NR_PAGES / PIN_MAX_PAGES] = {};
	struct meter during;
	unsigned int i;
	int err, rc;
	void *map;

	err = gmem_map(a->fd, 0, NR_PAGES, &map);
	if (err)
		return err;
	for (i = 0; i < ARRAY_SIZE(pins) && !err; i++)
		err = pin_take(&pins[i], PIN_VMSPLICE, map + i * PIN_MAX_PAGES * PAGE,
			       PIN_MAX_PAGES);
	if (!err)
		err = gmem_punch(a->fd, 0, NR_PAGES);
	rc = meter_read(&during);
	a->rise += during.value[a->which];
	for (i = 0; i < ARRAY_SIZE(pins); i++)
		pin_release(pins[i]);
	munmap(map, BYTES);
	return err ?: rc;
}

TEST_F(accounting, orphans_are_lost_memory_until_they_are_let_go)
{
	struct attempt a = {
		.act = make_orphans, .fd = self->fd,
		.which = METER_LOST, .tolerance = NR_PAGES / 8,
	};

	REQUIRE(guest_mappable(self->g) ? NULL :
		"user space cannot map the guest_memfd of this VM type, so nothing can pin it");
	REQUIRE(pin_why_not(PIN_VMSPLICE));
	EXPECT_BACK_AFTER(&a, NR_PAGES);
}

/* How a peer tries to have more memory than its group may. */
enum greed { ALLOCATE, TOUCH, GUEST_TOUCH };

struct greedy {
	enum greed how;
	enum guest_type type;
};

static int be_greedy(struct peer *me, void *arg)
{
	struct greedy *want = arg;
	struct guest *g;
	char *map = NULL;
	__u64 i;
	int fd, err;

	err = guest_create(&g, want->type, NR_PAGES);
	if (err)
		return err;
	fd = guest_gmem(g);
	if (want->how == TOUCH)
		err = gmem_map(fd, 0, NR_PAGES, (void **)&map);
	/* At the limit a fault of its own would wait for ever: have them now. */
	if (!err)
		err = gmem_allocate(fd, 0, 1);
	if (!err)
		err = gmem_punch(fd, 0, 1);
	if (!err)
		err = peer_send_fd(me, fd);
	if (!err)
		err = peer_hear(me, NULL, TIMEOUT_MS);
	if (err)
		return err;

	switch (want->how) {
	case ALLOCATE:
		return gmem_allocate(fd, 0, NR_PAGES);
	case GUEST_TOUCH:
		return guest_touch(g, 0, NR_PAGES, 1);
	default:
		for (i = 0; i < NR_PAGES; i++)
			((volatile char *)map)[i * PAGE] = 1;
		return 0;
	}
}

/*
 * Let a peer in a group run into its limit.  From outside: in a group at its
 * limit even open(2) fails.
 */
#define RUN_INTO_LIMIT(peer, want, base) do {				\
	ASSERT_OK(peer_start(&(peer), be_greedy, &(want)));		\
	limited = peer_recv_fd(peer, TIMEOUT_MS);			\
	ASSERT_GE(limited, 0);						\
	ASSERT_OK(cgroup_enter(self->cg, peer_pid(peer)));		\
	ASSERT_OK(cgroup_usage(self->cg, &(base)));			\
	ASSERT_OK(cgroup_limit(self->cg, (base) + HEADROOM));		\
	ASSERT_OK(peer_tell(peer, 0));					\
} while (0)

/*
 * Some pages were had before the limit was reached.  They are as good as any
 * others, and can be given back; then nothing is charged any more.
 */
#define EXPECT_NO_LEAK(base) do {					\
	struct census *__had;						\
									\
	ASSERT_OK(census_take(&__had, limited, 0, NR_PAGES));		\
	EXPECT_GT(census_nr_present(__had), 0);				\
	EXPECT_LT(census_nr_present(__had), NR_PAGES);			\
	EXPECT_UNTOUCHED(__had, 0, NR_PAGES);				\
	EXPECT_HELD(limited, 0, 1, 0, 0);				\
	ASSERT_OK(gmem_punch(limited, 0, NR_PAGES));			\
	EXPECT_FREED(__had, 0, NR_PAGES);				\
	EXPECT_ABSENT(limited, 0, NR_PAGES);				\
	EXPECT_CHARGE_BACK(self->cg, base);				\
	census_free(__had);						\
	close(limited);							\
} while (0)

TEST_F(accounting, limit_fails_an_allocation_and_leaks_nothing)
{
	struct greedy want = { ALLOCATE, variant->type };
	struct peer *peer;
	__u64 base;
	int limited, err;

	REQUIRE(cgroup_why_not());
	ASSERT_OK(cgroup_create(&self->cg));
	err = cgroup_spare(self->cg);
	REQUIRE(err == -EOPNOTSUPP ? "on version 2 of cgroups the kernel kills instead" : NULL);
	ASSERT_OK(err);
	RUN_INTO_LIMIT(peer, want, base);
	EXPECT_ERR(ENOMEM, peer_join(peer, TIMEOUT_MS));
	EXPECT_NO_LEAK(base);
}

TEST_F(accounting, limit_kills_who_allocates_and_leaks_nothing)
{
	struct greedy want = { ALLOCATE, variant->type };
	struct peer *peer;
	__u64 base;
	int limited, err;

	REQUIRE(cgroup_why_not());
	ASSERT_OK(cgroup_create(&self->cg));
	RUN_INTO_LIMIT(peer, want, base);
	/*
	 * The charge is made with GFP_KERNEL, so the killer comes; who has a
	 * signal pending gets the page, or the error, and dies of it then.
	 */
	err = peer_join(peer, TIMEOUT_MS);
	EXPECT_EQ(true, err == -EINTR || err == -ENOMEM);
	EXPECT_NO_LEAK(base);
}

TEST_F(accounting, limit_kills_who_touches_and_leaks_nothing)
{
	struct greedy want = { TOUCH, variant->type };
	struct peer *peer;
	__u64 base;
	int limited;

	REQUIRE(guest_mappable(self->g) ? NULL :
		"user space cannot map the guest_memfd of this VM type");
	REQUIRE(cgroup_why_not());
	ASSERT_OK(cgroup_create(&self->cg));
	RUN_INTO_LIMIT(peer, want, base);
	/* SIGKILL of the killer, or SIGBUS. */
	EXPECT_ERR(EINTR, peer_join(peer, TIMEOUT_MS));
	EXPECT_NO_LEAK(base);
}

TEST_F(accounting, limit_stops_the_guest_and_leaks_nothing)
{
	struct greedy want = { GUEST_TOUCH, variant->type };
	struct peer *peer;
	__u64 base;
	int limited, err;

	REQUIRE(cgroup_why_not());
	ASSERT_OK(cgroup_create(&self->cg));
	RUN_INTO_LIMIT(peer, want, base);
	/* Killed, or KVM_RUN gave up. */
	err = peer_join(peer, TIMEOUT_MS);
	EXPECT_EQ(true, err == -EINTR || err == -EFAULT || err == -EIO);
	EXPECT_NO_LEAK(base);
}

TEST_F(accounting, limit_that_is_raised_lets_who_waits_go_on)
{
	struct greedy want = { TOUCH, variant->type };
	struct census *had;
	struct peer *peer;
	__u64 base, usage = 0;
	struct settle s;
	int limited, err;

	REQUIRE(guest_mappable(self->g) ? NULL :
		"user space cannot map the guest_memfd of this VM type");
	REQUIRE(cgroup_why_not());
	ASSERT_OK(cgroup_create(&self->cg));
	err = cgroup_spare(self->cg);
	REQUIRE(err == -EOPNOTSUPP ? "on version 2 of cgroups the kernel kills instead" : NULL);
	ASSERT_OK(err);
	RUN_INTO_LIMIT(peer, want, base);
	settle_start(&s);
	while (usage < base + HEADROOM - SLACK && settle_again(&s))
		ASSERT_OK(cgroup_usage(self->cg, &usage));
	EXPECT_GE(usage, base + HEADROOM - SLACK);

	ASSERT_OK(cgroup_limit(self->cg, base + 2 * BYTES));
	EXPECT_OK(peer_join(peer, TIMEOUT_MS));
	ASSERT_OK(census_take(&had, limited, 0, NR_PAGES));
	EXPECT_EQ(NR_PAGES, census_nr_present(had));
	EXPECT_HELD(limited, 0, NR_PAGES, 0, 0);
	close(limited);
	EXPECT_FREED(had, 0, NR_PAGES);
	EXPECT_CHARGE_BACK(self->cg, base);
	census_free(had);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT,
      .seconds = 120, .serial = true)
