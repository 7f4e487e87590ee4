/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TREND_H
#define TREND_H

#include "finding.h"

/**
 * DOC: trend
 *
 * Does a counter climb from round to round?  What is lost in each round is a slope, by
 * least squares, and a slope tells a leak of one page in three rounds from noise, where
 * a difference between first and last needs a tolerance that hides it.
 *
 * What a cache takes to fill up is a step, which has a slope, too, but is in one half
 * of the rounds only; so a climb is what is seen in both halves.
 */
struct trend {
	unsigned int nr, room;
	double *values;
};

/* The value after one more round.  Start from a struct trend of zeroes.  0 or -ENOMEM. */
int trend_add(struct trend *t, double value);
void trend_free(struct trend *t);

/* By how much it climbs in a round, of @nr from @first on; 0 if these are less than two. */
double trend_slope(const struct trend *t, unsigned int first, unsigned int nr);

/**
 * trend_check_level() - it climbs by less than @most in a round
 * @t:    the values; the slope is told to stderr, as a diagnostic line
 * @what: their name
 * @most: per round
 * @f:    receives the finding
 *
 * Less than TREND_ROUNDS rounds only tell what they see, and fail nothing.
 *
 * Return: 0, or 1 if not.
 */
#define TREND_ROUNDS	16

int trend_check_level(const struct trend *t, const char *what, double most,
		      struct finding *f);

#endif
