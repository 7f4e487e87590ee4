// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every unmet need is told, with what to do about it, by any user and on hosts
 * that lack what is asked for.
 */
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "peer.h"
#include "suite.h"

#define TIMEOUT_MS	4000
#define NOBODY		65534

FIXTURE(need_test) {
};

FIXTURE_SETUP(need_test)
{
}

FIXTURE_TEARDOWN(need_test)
{
}

TEST_F(need_test, joins_nothing_to_nothing)
{
	EXPECT_EQ(NULL, need_join(NULL, NEED_END));
	EXPECT_EQ(NULL, need_join(NULL, NULL, NULL, NEED_END));
	EXPECT_EQ(NULL, need_join(NEED_END));
	EXPECT_EQ(NULL, need_join("", NEED_END));
}

TEST_F(need_test, joins_the_reasons_that_are_there)
{
	EXPECT_STREQ("a", need_join("a", NEED_END));
	EXPECT_STREQ("a", need_join(NULL, "a", NULL, NEED_END));
	EXPECT_STREQ("a; b; c", need_join("a", NULL, "b", "c", NEED_END));
}

TEST_F(need_test, joins_what_was_joined_before)
{
	const char *ab = need_join("a", "b", NEED_END);

	EXPECT_STREQ("a; b; c", need_join(ab, "c", NEED_END));
}

TEST_F(need_test, cuts_reasons_that_are_too_long)
{
	static char longest[3000];

	memset(longest, 'x', sizeof(longest) - 1);
	EXPECT_GT(sizeof(longest), strlen(need_join(longest, longest, NEED_END)));
}

TEST_F(need_test, needs_nothing_if_nothing_is_needed)
{
	EXPECT_EQ(NULL, need_why_not(0));
}

/* In a child: @change the world, then @needs must be unmet, for @because. */
struct world {
	int (*change)(void);
	unsigned int needs;
	const char *because[8];	/* NULL behind the last */
};

static int child_asks(struct peer *me __maybe_unused, void *arg)
{
	const struct world *w = arg;
	int err = w->change();
	const char *why;
	int i;

	if (err)
		return err;
	why = need_why_not(w->needs);
	if (!why)
		return -ENODATA;
	for (i = 0; w->because[i]; i++) {
		if (!strstr(why, w->because[i])) {
			fprintf(stderr, "# not told: \"%s\" in \"%s\"\n", w->because[i], why);
			return -EILSEQ;
		}
	}
	return 0;
}

static int ask(struct world w)
{
	struct peer *child;
	int err = peer_start(&child, child_asks, &w);

	return err ?: peer_join(child, TIMEOUT_MS);
}

static int become_nobody(void)
{
	return setresuid(NOBODY, NOBODY, NOBODY) ? -errno : 0;
}

TEST_F(need_test, tells_all_that_a_plain_user_lacks)
{
	EXPECT_OK(ask((struct world){ become_nobody, NEED_ROOT | NEED_KPAGE | NEED_PAGEMAP, {
		"no CAP_SYS_ADMIN: run as root", "; ", "/proc/kpagecount", "run as root",
		"/proc/self/pagemap" } }));
}

/* An empty /dev, for this process only. */
static int hide_dev(void)
{
	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/dev", "tmpfs", 0, NULL))
		return -errno;
	return 0;
}

TEST_F(need_test, tells_that_there_is_no_kvm)
{
	EXPECT_OK(ask((struct world){ hide_dev, NEED_KVM, {
		"cannot open /dev/kvm (No such file or directory)", "load kvm_intel or kvm_amd" } }));
}

TEST_F(need_test, tells_that_guest_memfd_needs_kvm)
{
	EXPECT_OK(ask((struct world){ hide_dev, NEED_GMEM, { "cannot open /dev/kvm" } }));
}

static int hide_dev_and_ask_twice(void)
{
	const char *why;
	int err = hide_dev();

	if (err)
		return err;
	why = need_why_not(NEED_KVM | NEED_GMEM);
	if (!why)
		return -ENODATA;
	/* One reason, not the same one twice. */
	return strstr(why, ";") ? -EILSEQ : 0;
}

TEST_F(need_test, tells_one_reason_once)
{
	EXPECT_OK(ask((struct world){ hide_dev_and_ask_twice, NEED_KVM, { "/dev/kvm" } }));
}

static int hide_dev_and_ask_each_type(void)
{
	enum guest_type type;
	const char *why;
	int err = hide_dev();

	for (type = 0; type < GUEST_NR_TYPES && !err; type++) {
		struct guest *g = (void *)1;

		why = guest_why_not(type);
		if (!why || !strstr(why, "/dev/kvm"))
			err = -EILSEQ;
		else if (guest_create(&g, type, 1) != -ENODEV || g)
			err = -EBADE;
	}
	return err;
}

TEST_F(need_test, tells_that_no_guest_can_be_made_without_kvm)
{
	EXPECT_OK(ask((struct world){ hide_dev_and_ask_each_type, NEED_KVM, { "/dev/kvm" } }));
}

/* A kernel that has no migrate_pages(2). */
static int hide_numa(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_migrate_pages, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(*code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return -errno;
	return 0;
}

TEST_F(need_test, tells_that_the_kernel_has_no_numa)
{
	EXPECT_OK(ask((struct world){ hide_numa, NEED_NUMA, { "CONFIG_NUMA=y" } }));
}

SUITE(.needs = NEED_ROOT, .seconds = 5)
