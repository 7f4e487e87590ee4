/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CASES_H
#define CASES_H

#include <stdbool.h>
#include <stddef.h>

/**
 * DOC: cases
 *
 * What there is to run: every executable in a folder is a test file, and tells
 * its cases when called with --list, one line "address<TAB>seconds<TAB>serial|-"
 * each.  A test file that does not is an error, never passed over.
 */

/**
 * struct test_case - one case
 * @address: file.variant.case, or file.case
 * @file:    index of its test file in struct cases
 * @seconds: its time limit
 * @serial:  it must not run beside others
 */
struct test_case {
	char *address;
	unsigned int file, seconds;
	bool serial;
};

/**
 * struct cases - all cases, file by file in alphabetical order
 * @files:  names of the test files
 */
struct cases {
	const char *dir;
	char **files;
	struct test_case *list;
	unsigned int nr_files, nr;
};

/**
 * cases_find() - ask all test files of a folder
 * @dir:     the folder; borrowed for as long as @out is
 * @out:     receives the cases, which stay
 * @why:     receives one sentence on error
 * @why_len: size of @why
 *
 * Return: 0 or -errno.
 */
int cases_find(const char *dir, struct cases *out, char *why, size_t why_len);

/* Whether the shell pattern @glob matches an address, its file or file.variant. */
bool cases_match(const char *address, const char *glob);

struct globs {
	char **list;
	unsigned int nr;
};

/* Whether one of @globs matches no case at all; then @why names it, and the nearest. */
bool cases_vain(const struct cases *cases, const struct globs *globs, char *why, size_t why_len);

/**
 * cases_select() - keep the cases that are asked for
 * @cases:   the cases; the others are removed
 * @globs:   as for cases_match(); a case that any of them matches is kept.  None
 *           keeps all
 * @but:     what any of these matches is not kept all the same
 * @vm_type: keep variants that are this or begin with this and "_"; may be NULL
 * @why:     receives one sentence on error
 * @why_len: size of @why
 *
 * Return: 0; -EINVAL if one of @globs or @but matches nothing, and @why names the
 * nearest; -ENOENT if none is left, or none of @vm_type.
 */
int cases_select(struct cases *cases, const struct globs *globs, const struct globs *but,
		 const char *vm_type, char *why, size_t why_len);

#endif
