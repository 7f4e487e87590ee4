// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs all tests of the binary, or those whose names are given.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "tap.h"

/*
 * The n-th allocation from now fails, if n is not 0.  The linker puts this in the
 * place of calloc(), which is all that the library allocates with.
 */
unsigned long tap_fail_allocation;

void *__real_calloc(size_t nr, size_t size);
void *__wrap_calloc(size_t nr, size_t size);

void *__wrap_calloc(size_t nr, size_t size)
{
	if (tap_fail_allocation && !--tap_fail_allocation)
		return NULL;
	return __real_calloc(nr, size);
}

static struct tap_test *tests;
static unsigned int nr_tests;
static jmp_buf failed;

/* By file and name, since constructors run in no order that means anything. */
void tap_register(struct tap_test *test)
{
	struct tap_test **link = &tests;
	int order;

	for (; *link; link = &(*link)->next) {
		order = strcmp(test->file, (*link)->file);
		if (order < 0 || (!order && strcmp(test->name, (*link)->name) < 0))
			break;
	}
	test->next = *link;
	*link = test;
	nr_tests++;
}

void tap_status(const char *file, int line, const char *what, uint64_t got,
		uint64_t want)
{
	const char *got_name = tdx_status_name(got), *want_name = tdx_status_name(want);

	if (got == want)
		return;
	printf("# %s:%d: %s\n#   got %s %#llx, want %s %#llx\n", file, line, what,
	       got_name ? got_name : "?", (unsigned long long)got,
	       want_name ? want_name : "?", (unsigned long long)want);
	longjmp(failed, 1);
}

void tap_eq(const char *file, int line, const char *what, uint64_t got, uint64_t want)
{
	if (got == want)
		return;
	printf("# %s:%d: %s is %#llx, want %#llx\n", file, line, what,
	       (unsigned long long)got, (unsigned long long)want);
	longjmp(failed, 1);
}

static bool wanted(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

/* A status outside the table is a failure wherever it turns up. */
static void check_code(struct world *world, unsigned int leaf, uint64_t status)
{
	(void)world;
	if (codes_known(leaf, status))
		return;
	printf("# %s must not return %#llx\n", tdx_leaf_name(leaf),
	       (unsigned long long)status);
	longjmp(failed, 1);
}

/* The tests of this library see each status; those of others that use it need not. */
static bool all_codes(void)
{
	return &tap_all_codes;
}

static bool run(const struct tap_test *t)
{
	world_new()->after = all_codes() ? check_code : NULL;
	if (setjmp(failed)) {
		world_free(w);
		return false;
	}
	t->fn();
	world_free(w);
	return true;
}

int main(int argc, char **argv)
{
	const unsigned int last = all_codes();
	unsigned int n = 0, nr_failed = 0, unseen;

	(void)argc;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..%u\n", nr_tests + last);
	for (struct tap_test *t = tests; t; t = t->next) {
		bool ok;

		if (!wanted(t->name, argv + 1)) {
			printf("ok %u %s # SKIP not asked for\n", ++n, t->name);
			continue;
		}
		ok = run(t);
		nr_failed += !ok;
		printf("%sok %u %s\n", ok ? "" : "not ", ++n, t->name);
	}
	if (!last)
		return nr_failed ? 1 : 0;
	if (argv[1]) {
		printf("ok %u every_status_was_seen # SKIP not all tests ran\n", ++n);
		return nr_failed ? 1 : 0;
	}
	unseen = codes_unseen(stdout);
	printf("# %u statuses of %u seen\n", codes_total() - unseen, codes_total());
	printf("%sok %u every_status_was_seen\n", unseen ? "not " : "", ++n);
	return nr_failed || unseen ? 1 : 0;
}
