/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SUITE_H
#define SUITE_H

/**
 * DOC: suite
 *
 * What a test file sees of the framework: kselftest's harness, the suite's own
 * checks on top, and SUITE(), which owns main().  docs/adding-a-test.md shows
 * how to use it.  Include it last, and in test files only.  All of them are
 * linked into one program, in which each keeps its own main() and globals
 * (lib/main.c).
 */

#include <errno.h>
#include <string.h>

#include "kselftest_harness.h"

#include "census.h"
#include "guest.h"
#include "meter.h"
#include "need.h"
#include "settle.h"
#include "supervise.h"

/**
 * struct suite - what a test file says of itself, in SUITE()
 * @needs:   NEED_* bits, without which no case of it can run
 * @seconds: time limit of one case, 0 for 10
 * @serial:  its cases must not run beside others, as they read system-wide
 *           counters or put the whole host under pressure
 */
struct suite {
	unsigned int needs;
	unsigned int seconds;
	bool serial;
};

/*
 * A failed check of ours goes through here, so that the finding is printed,
 * recorded and counted in one way.
 */
static inline int suite_check(struct __test_metadata *t, const char *file,
			      int line, const char *what, int rc,
			      const struct finding *f)
{
	char where[128];

	snprintf(where, sizeof(where), "%s:%d", strrchr(file, '/') ?
		 strrchr(file, '/') + 1 : file, line);
	supervise_checked();
	if (!rc)
		return 0;
	if (rc > 0) {
		fprintf(stderr, "# %s: %s\n", where, what);
		supervise_failed(f, where);
	} else {
		supervise_broken(where, "%s: %s", what, f && f->text[0] ?
				 f->text : strerror(-rc));
	}
	t->exit_code = KSFT_FAIL;
	t->trigger = 1;
	return 1;
}

static inline int suite_check_rc(struct __test_metadata *t, const char *file,
				 int line, const char *what, long got, long want)
{
	const char *got_name = got < 0 ? strerrorname_np(-got) : NULL;
	const char *want_name = want < 0 ? strerrorname_np(-want) : "success";
	struct finding f;

	if (got == want || (!want && got >= 0))
		return suite_check(t, file, line, what, 0, NULL);
	finding_set(&f, "result", "%s gave %ld (%s), wanted %ld (%s)", what, got,
		    got_name ? got_name : got < 0 ? "no errno" : "success",
		    want, want_name ? want_name : "no errno");
	return suite_check(t, file, line, what, 1, &f);
}

#define __SUITE_CHECK(what, call, assert) do {				\
	struct finding __f = {};					\
	suite_check(_metadata, __FILE__, __LINE__, what, (call), &__f);	\
} while (0); OPTIONAL_HANDLER(assert)

#define __SUITE_RC(text, expr, want, assert) do {			\
	suite_check_rc(_metadata, __FILE__, __LINE__, text, (expr), (want)); \
} while (0); OPTIONAL_HANDLER(assert)

/* @expr gives 0 (or more); else tell which errno it gave. */
#define EXPECT_OK(expr)		__SUITE_RC(#expr, expr, 0, 0)
#define ASSERT_OK(expr)		__SUITE_RC(#expr, expr, 0, 1)

/* @expr gives -@err, that very error and no other. */
#define EXPECT_ERR(err, expr)	__SUITE_RC(#expr, expr, -(err), 0)
#define ASSERT_ERR(err, expr)	__SUITE_RC(#expr, expr, -(err), 1)

/* 0 or -errno of a system call. */
#define RC(call)		((call) < 0 ? -errno : 0)

/* A system call gives 0 or more; else tell its errno. */
#define EXPECT_SYS(call)	__SUITE_RC(#call, RC(call), 0, 0)
#define ASSERT_SYS(call)	__SUITE_RC(#call, RC(call), 0, 1)

/* The census's invariants; see census.h.  Each settles before it complains. */
#define EXPECT_FREED(before, first, nr)					\
	__SUITE_CHECK("pages freed",					\
		census_check_freed(before, first, nr, &__f), 0)
#define EXPECT_ORPHANED(before, first, nr, refs)			\
	__SUITE_CHECK("pages orphaned",					\
		census_check_orphaned(before, first, nr, refs, &__f), 0)
#define EXPECT_UNTOUCHED(before, first, nr)				\
	__SUITE_CHECK("pages untouched",				\
		census_check_untouched(before, first, nr, &__f), 0)
#define EXPECT_IN_PLACE(before, first, nr)				\
	__SUITE_CHECK("pages in place",					\
		census_check_in_place(before, first, nr, &__f), 0)
#define EXPECT_HELD(fd, first, nr, maps, extra)				\
	__SUITE_CHECK("pages held as they should be",			\
		census_check_held(fd, first, nr, maps, extra, &__f), 0)
#define EXPECT_ABSENT(fd, first, nr)					\
	__SUITE_CHECK("no pages there",					\
		census_check_absent(fd, first, nr, &__f), 0)
#define EXPECT_HELD_BEHIND(addr, nr, refs)				\
	__SUITE_CHECK("pages behind addresses held as they should be",	\
		census_check_behind(addr, nr, refs, &__f), 0)
#define EXPECT_MAPS_AGREE(fd, first, nr)				\
	__SUITE_CHECK("/proc/kpagecount agrees",			\
		census_check_maps_agree(fd, first, nr, &__f), 0)

/* A system-wide counter is back within a tolerance; see meter.h. */
#define EXPECT_BACK(before, which, tolerance)				\
	__SUITE_CHECK("counter back at baseline",			\
		meter_check_back(before, which, tolerance, &__f), 0)

/* What came before what, by a trace; see sequence.h. */
#define EXPECT_SEQUENCE(order, before, first, nr, since, fate)		\
	__SUITE_CHECK("pages go step by step",				\
		sequence_check_pages(order, before, first, nr, since, fate, &__f), 0)
#define EXPECT_TEARDOWN(order, since, nr)				\
	__SUITE_CHECK("TDs die step by step",				\
		sequence_check_teardown(order, since, nr, &__f), 0)

/* No page that a TD has is free or somebody else's; see audit.h. */
#define EXPECT_AUDIT(order)						\
	__SUITE_CHECK("no page is free while a TD has it", audit_check(order, &__f), 0)

/* Count the harness's own checks too: a case that checks nothing is an ERROR. */
#undef __EXPECT
#define __EXPECT(_expected, _expected_str, _seen, _seen_str, _t, _assert) do { \
	__auto_type __exp = (_expected);				\
	__auto_type __seen = (_seen);					\
	supervise_checked();						\
	if (!(__exp _t __seen)) {					\
		struct finding __f;					\
		finding_set(&__f, "value", "expected %s (%lld) %s %s (%lld)", \
			    _expected_str, (long long)__exp, #_t,	\
			    _seen_str, (long long)__seen);		\
		suite_check(_metadata, __FILE__, __LINE__, _seen_str, 1, &__f); \
	}								\
} while (0); OPTIONAL_HANDLER(_assert)

#undef __EXPECT_STR
#define __EXPECT_STR(_expected, _seen, _t, _assert) do {		\
	const char *__exp = (_expected);				\
	const char *__seen = (_seen);					\
	supervise_checked();						\
	if (!(strcmp(__exp, __seen) _t 0)) {				\
		struct finding __f;					\
		finding_set(&__f, "value", "expected '%s' %s '%s'", __exp, #_t, __seen); \
		suite_check(_metadata, __FILE__, __LINE__, "strings", 1, &__f); \
	}								\
} while (0); OPTIONAL_HANDLER(_assert)

/* A case may skip itself, but not to hide that a check has failed. */
#undef SKIP
#define SKIP(statement, fmt, ...) do {					\
	if (!supervise_has_failed()) {					\
		char __why[1024];					\
		snprintf(__why, sizeof(__why), fmt, ##__VA_ARGS__);	\
		supervise_skip(__why);					\
		_metadata->exit_code = KSFT_SKIP;			\
	}								\
	_metadata->trigger = 0;						\
	statement;							\
} while (0)

/**
 * REQUIRE() - skip the case unless there is no reason to
 * @why: NULL, or the reasons; need_join() puts several together
 */
#define REQUIRE(why) do {						\
	const char *__reasons = (why);					\
	if (__reasons)							\
		SKIP(return, "%s", __reasons);				\
} while (0)

/**
 * GUEST_VARIANTS() - a variant of the fixture for each VM type
 * @fixture: its FIXTURE_VARIANT() has a member "enum guest_type type"
 * @suffix:  appended to the type's name, or empty
 *
 * More members may be given behind: GUEST_VARIANTS(punch, _one, .nr = 1).
 */
#define GUEST_VARIANTS(fixture, suffix, ...)				\
	FIXTURE_VARIANT_ADD(fixture, default##suffix)			\
		{ .type = GUEST_DEFAULT, ##__VA_ARGS__ };		\
	FIXTURE_VARIANT_ADD(fixture, sw_protected##suffix)		\
		{ .type = GUEST_SW_PROTECTED, ##__VA_ARGS__ };		\
	FIXTURE_VARIANT_ADD(fixture, tdx##suffix)			\
		{ .type = GUEST_TDX, ##__VA_ARGS__ }

/* From here on, what SUITE() is made of. */

struct suite_case {
	struct __test_metadata *test;
	struct __fixture_variant_metadata *variant;
	void (*fn)(struct __test_metadata *t, struct __fixture_variant_metadata *v);
};

static const struct suite *suite_self;

static void suite_address(char *buf, size_t len, struct __fixture_metadata *f,
			  struct __fixture_variant_metadata *v,
			  struct __test_metadata *t)
{
	snprintf(buf, len, "%s%s%s.%s", f->name, v->name[0] ? "." : "", v->name,
		 t->name);
}

static int suite_body(void *arg)
{
	struct suite_case *c = arg;

	c->fn(c->test, c->variant);
	return c->test->exit_code;
}

/* Original functions of the cases, by position in the harness's lists. */
#define SUITE_MAX_TESTS 256
static struct {
	struct __test_metadata *test;
	void (*fn)(struct __test_metadata *t, struct __fixture_variant_metadata *v);
} suite_tests[SUITE_MAX_TESTS];
static unsigned int suite_nr_tests;

/*
 * Why a case cannot run here, as far as its name tells: its variant begins with
 * the VM type.  Asked before anything else, as it costs next to nothing, while
 * loading the refcount probe for hundreds of cases of a VM type that the host
 * does not offer costs a minute.
 */
static const char *suite_why_not(const char *variant)
{
	const char *type, *why;
	int i;

	for (i = 0; i < GUEST_NR_TYPES; i++) {
		type = guest_type_name(i);
		if (strncmp(variant, type, strlen(type)) ||
		    (variant[strlen(type)] && variant[strlen(type)] != '_'))
			continue;
		why = guest_why_not(i);
		if (why)
			return need_join(why, need_why_not(suite_self->needs & ~NEED_REFCOUNT),
					 NEED_END);
	}
	return need_why_not(suite_self->needs);
}

/* Stands in for the function of every case: runs it under supervision. */
static void suite_run_case(struct __test_metadata *t,
			   struct __fixture_variant_metadata *v)
{
	struct suite_case c = { .test = t, .variant = v };
	const char *why = suite_why_not(v->name);
	struct supervised s;
	char name[256];
	unsigned int i;

	for (i = 0; i < suite_nr_tests; i++)
		if (suite_tests[i].test == t)
			c.fn = suite_tests[i].fn;

	suite_address(name, sizeof(name), t->fixture, v, t);
	if (why) {
		supervise_skip_all(name, why, &s);
	} else {
		supervise(name, suite_self->seconds ?: 10, suite_body, &c, &s);
	}

	snprintf(t->results->reason, sizeof(t->results->reason), "%s%.1000s",
		 s.verdict == VERDICT_ERROR ? "ERROR " : "", s.reason);
	t->exit_code = s.verdict == VERDICT_PASS ? KSFT_PASS :
		       s.verdict == VERDICT_SKIP ? KSFT_SKIP : KSFT_FAIL;
}

static int suite_main(int argc, char **argv, const struct suite *self)
{
	static struct __fixture_variant_metadata no_variant = { .name = "" };
	struct __fixture_variant_metadata *v;
	struct __fixture_metadata *f;
	struct __test_metadata *t;
	char name[256];
	const char *why;
	bool list = argc == 2 && !strcmp(argv[1], "--list");

	suite_self = self;
	setvbuf(stdout, NULL, _IOLBF, 0);

	for (f = __fixture_list; f; f = f->next) {
		for (t = f->tests; t; t = t->next) {
			if (suite_nr_tests == SUITE_MAX_TESTS) {
				fprintf(stderr, "%s: more than %d cases in one file\n",
					argv[0], SUITE_MAX_TESTS);
				return KSFT_FAIL;
			}
			suite_tests[suite_nr_tests].test = t;
			suite_tests[suite_nr_tests++].fn = t->fn;
			t->fn = suite_run_case;
			/* The supervisor's limit comes first; this is its backstop. */
			t->timeout = 24 * 3600;
		}
		for (v = f->variant ?: &no_variant; list && v; v = v->next) {
			for (t = f->tests; t; t = t->next) {
				suite_address(name, sizeof(name), f, v, t);
				printf("%s\t%u\t%s\n", name, self->seconds ?: 10,
				       self->serial ? "serial" : "-");
			}
		}
	}
	if (list)
		return 0;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		printf("Usage: %s [--list] [-r FILE.VARIANT.CASE] ...\n"
		       "  --list  print address, time limit in seconds and whether it must run alone\n"
		       "  -r NAME run this case; may be repeated\n"
		       "Other options are kselftest_harness.h's own (-h).\n", argv[0]);
		return 0;
	}

	/*
	 * On its own the binary says at once that nothing can run; under the
	 * runner each case has to end in a verdict.  What the answer loads is
	 * inherited by the cases.
	 */
	why = getenv("SEPT_VERDICT_FD") ? NULL : need_why_not(self->needs);
	if (why) {
		printf("TAP version 13\n1..0 # SKIP %s\n", why);
		return KSFT_SKIP;
	}
	return test_harness_run(argc, argv);
}

/**
 * SUITE() - the end of a test file: says what it needs, and owns main()
 *
 *	SUITE(.needs = NEED_GMEM | NEED_REFCOUNT, .seconds = 20)
 */
#define SUITE(...)							\
	int main(int argc, char **argv)					\
	{								\
		static const struct suite self = { __VA_ARGS__ };	\
									\
		return suite_main(argc, argv, &self);			\
	}

#endif
