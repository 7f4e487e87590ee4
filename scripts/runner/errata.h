/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef ERRATA_H
#define ERRATA_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "cases.h"

/**
 * DOC: errata
 *
 * The table of what is known to be wrong in kernels: which cases fail there, with
 * which reason.  docs/results.md tells what is in it.
 */

/* 7.3.4, 7.4-rc1: a release is later than its candidates. */
struct errata_version {
	unsigned int part[4];	/* the last is that of -rc, or ~0 */
};

/**
 * struct erratum - a row
 * @cases:     glob of addresses, as for cases_match()
 * @reason:    what the reason of the failure must match
 * @also:      what may be found behind it, as it comes of that; without @has_also, nothing
 * @from:      first kernel that has it
 * @before:    first one that has it no more
 * @sometimes: the cases need not fail on each of these kernels each time
 * @unpinned:  of these kernels, those that hold pages which the S-EPT maps are not meant
 * @harms:     what is wrong may damage the host that it happens on
 * @line:      where it begins in the file
 */
struct erratum {
	const char *id, *title, *cases, *reference;
	regex_t reason, also;
	struct errata_version from, before;
	bool has_also, sometimes, unpinned, harms;
	unsigned int line;
};

struct errata {
	struct erratum *rows;
	unsigned int nr;
};

/**
 * errata_read() - read the table
 * @out:     receives it; it is never freed
 * @file:    its name
 * @cases:   all there are: a row that is about none of them is wrong
 * @why:     receives "file:line: sentence" on error
 * @why_len: size of @why
 *
 * Return: 0 or -errno.
 */
int errata_read(struct errata *out, const char *file, const struct cases *cases,
		char *why, size_t why_len);

/**
 * errata_find() - the row that a case's failure is known by
 * @errata:  the table
 * @address: of the case
 * @release: of the kernel, as uname -r tells it
 * @pinned:  it holds pages that the S-EPT maps (pinned.h)
 * @reason:  of the failure; NULL: a row by which the case must fail
 *
 * Return: NULL if there is none.
 */
const struct erratum *errata_find(const struct errata *errata, const char *address,
				  const char *release, bool pinned, const char *reason);

/**
 * errata_explain() - whether what a case has found is known, or comes of what is
 * @text: one of its findings, as a reason would tell it
 *
 * The others as for errata_find(); any row of the case will do.
 */
bool errata_explain(const struct errata *errata, const char *address, const char *release,
		    bool pinned, const char *text);

/* The row by which a case may damage the host that it runs on, or NULL. */
const struct erratum *errata_harm(const struct errata *errata, const char *address,
				  const char *release, bool pinned);

#endif
