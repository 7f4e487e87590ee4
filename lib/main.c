// SPDX-License-Identifier: GPL-2.0-only
/*
 * main() of the program that all tests are, by as many names.
 *
 * A static program of 1.7 MB for each would be a hundred megabytes, which the emulated
 * machine would copy page by page at each boot: half of its boot.
 *
 * The Makefile makes each test file's main() and constructors its own, since the
 * harness keeps its lists per file and constructors fill them.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef void (*constructor)(void);

#define WEAK	__attribute__((weak))

/* The linker's bounds of a section; a file need not have both. */
#define TEST(name)							\
	int name##_main(int argc, char **argv);				\
	extern const constructor __start_##name##_first[] WEAK;		\
	extern const constructor __stop_##name##_first[] WEAK;		\
	extern const constructor __start_##name##_later[] WEAK;		\
	extern const constructor __stop_##name##_later[] WEAK;
#include "tests.def"
#undef TEST

static const struct test {
	const char *name;
	int (*main)(int argc, char **argv);
	/* Those with a priority, which are the harness's, and those without. */
	const constructor *first, *first_end, *later, *later_end;
} tests[] = {
#define TEST(name)							\
	{								\
		#name, name##_main,					\
		__start_##name##_first, __stop_##name##_first,		\
		__start_##name##_later, __stop_##name##_later,		\
	},
#include "tests.def"
};

int main(int argc, char **argv)
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc ? argv[0] : "";
	const struct test *t;
	const constructor *c;

	for (t = tests; t < tests + sizeof(tests) / sizeof(*tests); t++) {
		if (strcmp(t->name, name))
			continue;
		for (c = t->first; c < t->first_end; c++)
			(*c)();
		for (c = t->later; c < t->later_end; c++)
			(*c)();
		return t->main(argc, argv);
	}
	fprintf(stderr, "'%s' is no test of this program's; call it by a test's name\n", name);
	return 2;
}
