// SPDX-License-Identifier: GPL-2.0-only
/*
 * A memory cgroup of the test's own charges, limits, and is gone afterwards,
 * also when its maker was killed.
 */
#include <ftw.h>
#include <sched.h>
#include <sys/mman.h>

#include "cgroup.h"
#include "cpu.h"
#include "host.h"
#include "peer.h"
#include "suite.h"

#define PAGE		4096ul
#define BATCH		(64 * PAGE)	/* of charges, that a CPU takes at once */
#define BYTES		(16ul << 20)
#define SLACK		(2ul << 20)
#define TIMEOUT_MS	5000

FIXTURE(cgroup_test) {
	char state[64];
	struct cgroup *cg;
};

FIXTURE_SETUP(cgroup_test)
{
	REQUIRE(cgroup_why_not());
	/* A journal of this test's own: that of a run must not be restored here. */
	strcpy(self->state, "/tmp/cgroup_test.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->state));
	setenv("SEPT_STATE", self->state, 1);
	ASSERT_OK(cgroup_create(&self->cg));
}

static int remove_one(const char *path, const struct stat *st __attribute__((unused)),
		      int type __attribute__((unused)), struct FTW *at __attribute__((unused)))
{
	return remove(path);
}

FIXTURE_TEARDOWN(cgroup_test)
{
	cgroup_destroy(self->cg);
	nftw(self->state, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void *use_memory(void)
{
	void *mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

TEST_F(cgroup_test, charges_who_is_in_it)
{
	struct finding f;
	__u64 usage = 1;
	void *mem;

	ASSERT_OK(cgroup_usage(self->cg, &usage));
	EXPECT_LE(usage, SLACK);
	ASSERT_OK(cgroup_enter(self->cg, 0));
	mem = use_memory();
	ASSERT_NE(NULL, mem);
	ASSERT_OK(cgroup_usage(self->cg, &usage));
	EXPECT_GE(usage, BYTES - SLACK);

	setenv("SEPT_SETTLE_MS", "50", 1);
	EXPECT_EQ(1, cgroup_check_back(self->cg, 0, SLACK, &f));
	EXPECT_STREQ("charge", f.invariant);
	EXPECT_GE(f.waited_ms, 50);
	unsetenv("SEPT_SETTLE_MS");

	munmap(mem, BYTES);
	EXPECT_EQ(0, cgroup_check_back(self->cg, 0, SLACK, &f));
}

TEST_F(cgroup_test, charges_nobody_who_has_left)
{
	__u64 usage = 1;
	void *mem;

	ASSERT_OK(cgroup_enter(self->cg, 0));
	ASSERT_OK(cgroup_leave(self->cg, 0));
	mem = use_memory();
	ASSERT_NE(NULL, mem);
	ASSERT_OK(cgroup_usage(self->cg, &usage));
	EXPECT_LE(usage, SLACK);
	munmap(mem, BYTES);
}

static int use_too_much(struct peer *me, void *arg __attribute__((unused)))
{
	int err = peer_hear(me, NULL, TIMEOUT_MS);
	void *mem;

	if (err)
		return err;
	mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return -errno;
	err = madvise(mem, BYTES, MADV_POPULATE_WRITE) ? -errno : 0;
	/* At the limit the next fault of this process would wait for ever. */
	munmap(mem, BYTES);
	return err;
}

TEST_F(cgroup_test, limits_and_kills)
{
	struct peer *peer;

	ASSERT_OK(cgroup_limit(self->cg, BYTES / 2));
	ASSERT_OK(peer_start(&peer, use_too_much, NULL));
	ASSERT_OK(cgroup_enter(self->cg, peer_pid(peer)));
	ASSERT_OK(peer_tell(peer, 0));
	EXPECT_ERR(EINTR, peer_join(peer, TIMEOUT_MS));
}

TEST_F(cgroup_test, limits_and_spares)
{
	struct peer *peer;
	int err;

	err = cgroup_spare(self->cg);
	REQUIRE(err == -EOPNOTSUPP ? "on version 2 of cgroups the kernel kills instead" : NULL);
	ASSERT_OK(err);
	ASSERT_OK(cgroup_limit(self->cg, BYTES / 2));
	ASSERT_OK(peer_start(&peer, use_too_much, NULL));
	ASSERT_OK(cgroup_enter(self->cg, peer_pid(peer)));
	ASSERT_OK(peer_tell(peer, 0));
	EXPECT_ERR(ENOMEM, peer_join(peer, TIMEOUT_MS));
}

TEST_F(cgroup_test, reclaims_what_can_be_and_is_content)
{
	int err = cgroup_reclaim(self->cg);

	REQUIRE(err == -EOPNOTSUPP ? "this kernel reclaims no cgroup on demand" : NULL);
	EXPECT_OK(err);
	ASSERT_OK(cgroup_enter(self->cg, 0));
	EXPECT_OK(cgroup_reclaim(self->cg));
}

static int use_a_page(struct peer *me, void *page)
{
	int err = peer_hear(me, NULL, TIMEOUT_MS);

	if (err)
		return err;
	*(volatile char *)page = 1;
	return peer_tell(me, 0) ?: peer_hear(me, NULL, TIMEOUT_MS);
}

/* A peer that has used a page, with the batch that was charged for it. */
#define CHARGE_BATCH(peer) do {						\
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,		\
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);		\
	__u64 charged;							\
									\
	ASSERT_NE(MAP_FAILED, page);					\
	ASSERT_OK(cpu_run_on(sched_getcpu()));				\
	ASSERT_OK(peer_start(&(peer), use_a_page, page));		\
	ASSERT_OK(cgroup_enter(self->cg, peer_pid(peer)));		\
	ASSERT_OK(peer_tell(peer, 0));					\
	ASSERT_OK(peer_hear(peer, NULL, TIMEOUT_MS));			\
	ASSERT_OK(cgroup_usage(self->cg, &charged));			\
	EXPECT_LE(BATCH, charged);					\
} while (0)

TEST_F(cgroup_test, forgives_what_is_charged_and_not_used)
{
	struct finding f;
	struct peer *peer;

	CHARGE_BATCH(peer);
	EXPECT_EQ(0, cgroup_check_back(self->cg, 0, BATCH - PAGE, &f));
	EXPECT_EQ(1, cgroup_check_back(self->cg, 0, 0, &f));
	EXPECT_OK(peer_tell(peer, 0));
	EXPECT_OK(peer_join(peer, TIMEOUT_MS));
}

TEST_F(cgroup_test, drains_what_is_charged_and_not_used)
{
	struct peer *peer;
	__u64 usage;

	CHARGE_BATCH(peer);
	EXPECT_OK(cgroup_drain(self->cg));
	ASSERT_OK(cgroup_usage(self->cg, &usage));
	EXPECT_GT(BATCH, usage);
	EXPECT_OK(peer_tell(peer, 0));
	EXPECT_OK(peer_join(peer, TIMEOUT_MS));
}

static int stay(struct peer *me, void *arg __attribute__((unused)))
{
	return peer_hear(me, NULL, TIMEOUT_MS);
}

TEST_F(cgroup_test, sends_its_tasks_home_when_it_goes)
{
	struct cgroup *next;
	struct peer *peer;
	void *mem;

	ASSERT_OK(peer_start(&peer, stay, NULL));
	ASSERT_OK(cgroup_enter(self->cg, peer_pid(peer)));
	ASSERT_OK(cgroup_enter(self->cg, 0));
	mem = use_memory();
	EXPECT_OK(cgroup_destroy(self->cg));
	self->cg = NULL;
	/* Home is where groups can be made; nothing is owed any more. */
	EXPECT_OK(host_restore_all(NULL));
	EXPECT_EQ(0, host_restore_all(NULL));
	ASSERT_OK(cgroup_create(&next));
	EXPECT_OK(cgroup_destroy(next));
	EXPECT_OK(peer_tell(peer, 0));
	EXPECT_OK(peer_join(peer, TIMEOUT_MS));
	munmap(mem, BYTES);
}

static int make_and_stay(struct peer *me, void *arg __attribute__((unused)))
{
	struct cgroup *cg;
	int err = cgroup_create(&cg);

	if (!err)
		err = cgroup_enter(cg, 0);
	peer_tell(me, -err);
	return err ?: peer_hear(me, NULL, TIMEOUT_MS);
}

TEST_F(cgroup_test, is_removed_by_the_next_run_after_a_kill)
{
	struct peer *peer;
	__u64 err = 1;

	EXPECT_OK(cgroup_destroy(self->cg));
	self->cg = NULL;
	ASSERT_OK(peer_start(&peer, make_and_stay, NULL));
	ASSERT_OK(peer_hear(peer, &err, TIMEOUT_MS));
	ASSERT_EQ(0, err);
	peer_kill(peer);
	EXPECT_EQ(1, host_restore_all(NULL));
	EXPECT_EQ(0, host_restore_all(NULL));
}

/* Only the machine itself knows what it has to count. */
TEST_F(cgroup_test, says_which_thing_cannot_be_counted)
{
	const char *why = cgroup_misc_why_not("fnord");

	ASSERT_NE(NULL, why);
	EXPECT_TRUE(strstr(why, "misc") != NULL);
}

TEST_F(cgroup_test, counts_keyids)
{
	__u64 nr = 1, capacity = 0;

	REQUIRE(cgroup_misc_why_not("tdx"));
	EXPECT_OK(cgroup_misc_capacity("tdx", &capacity));
	EXPECT_LT(0, capacity);
	EXPECT_OK(cgroup_misc_limit(self->cg, "tdx", 3));
	EXPECT_OK(cgroup_misc_limit(self->cg, "tdx", CGROUP_MISC_MAX));
	EXPECT_ERR(EINVAL, cgroup_misc_limit(self->cg, "fnord", 3));
	EXPECT_OK(cgroup_misc_usage(self->cg, "tdx", &nr));
	EXPECT_EQ(0, nr);
	EXPECT_ERR(ENODATA, cgroup_misc_usage(self->cg, "fnord", &nr));
}

SUITE(.needs = NEED_ROOT, .serial = true)
