// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>

#include "trend.h"

int trend_add(struct trend *t, double value)
{
	unsigned int room = t->room ? 2 * t->room : 64;
	double *values;

	if (t->nr == t->room) {
		values = realloc(t->values, room * sizeof(*values));
		if (!values)
			return -ENOMEM;
		t->values = values;
		t->room = room;
	}
	t->values[t->nr++] = value;
	return 0;
}

void trend_free(struct trend *t)
{
	free(t->values);
	*t = (struct trend){};
}

double trend_slope(const struct trend *t, unsigned int first, unsigned int nr)
{
	double x = 0, y = 0, xx = 0, xy = 0, value;
	unsigned int i;

	if (nr < 2)
		return 0;
	for (i = 0; i < nr; i++) {
		/* Small numbers, lest the sums lose what counts. */
		value = t->values[first + i] - t->values[first];
		x += i;
		y += value;
		xx += (double)i * i;
		xy += i * value;
	}
	return (nr * xy - x * y) / (nr * xx - x * x);
}

int trend_check_level(const struct trend *t, const char *what, double most,
		      struct finding *f)
{
	const unsigned int half = t->nr / 2;
	const double slope = trend_slope(t, 0, t->nr);
	const double early = trend_slope(t, 0, half), late = trend_slope(t, half, t->nr - half);

	fprintf(stderr, "# %s: %+.3f per round, over %u rounds (%+.3f and %+.3f in its halves)\n",
		what, slope, t->nr, early, late);
	if (t->nr < TREND_ROUNDS || slope < most || early < most || late < most)
		return 0;
	finding_set(f, "trend", "%s climbs by %.3f per round, over %u rounds, not by less than %.3f",
		    what, slope, t->nr, most);
	return 1;
}
