// SPDX-License-Identifier: GPL-2.0-only
/*
 * When a round starts, a common instant lies ahead.  Each role is to be anywhere in
 * its midst then: the time from its start to that instant is drawn over its usual
 * length.  So all of them are at work at once in most rounds, in every phase against
 * each other, however different their lengths are; and as lengths differ from round to
 * round, one sometimes just misses the other.
 *
 * Every fourth round or so the threads change their CPUs, as what a vCPU leaves on a
 * CPU is part of what races.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "emulator.h"
#include "race.h"
#include "supervise.h"

#define ROUNDS			1000
#define ROUNDS_EMULATED		24
#define MORE			20	/* times the rounds, while the roles have never met */
#define SECONDS			60
#define HANG_MS			20000
#define OUTCOME_BYTES		128	/* of a tuple, in words */
#define MAX_OUTCOMES		64
#define SPINS			200	/* then let others have the CPU */

struct actor {
	struct race *race;
	unsigned int me;
	pthread_t thread;
	atomic_int tid;
	sem_t go;
	atomic_bool acting;
	__s64 delay;		/* from the barrier to its start, ns */
	__u64 begin, end;	/* of act() in the last round, ns */
	__s64 usual;		/* how long act() takes, ns */
	int rc;
};

struct race {
	struct race_plan plan;
	struct actor actors[RACE_MAX_ROLES];
	sem_t back;
	void *world;
	atomic_uint nr_met;
	_Atomic __u64 started;		/* when all had met */
	atomic_bool over;
	unsigned int round, nr_overlapped;
	bool played;			/* @round has been played */
	__u64 random, begun, spent;
	cpu_set_t cpus;
	unsigned int rotation;
	struct {
		char text[OUTCOME_BYTES];
		unsigned int nr;
	} seen[MAX_OUTCOMES];
	unsigned int nr_seen;
	struct finding bad;		/* if it has an invariant */
	bool hangs, is_short;		/* time was over before all rounds were played */
};

/* Wait a little, also for somebody who needs this CPU. */
static void relax(unsigned int *spins)
{
	if (++*spins % SPINS)
		__builtin_ia32_pause();
	else
		sched_yield();
}

/*
 * Chance: splitmix64
 */

static __u64 draw(__u64 *state)
{
	__u64 z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

__u64 race_random(struct race *race, __u64 limit)
{
	return limit ? draw(&race->random) % limit : 0;
}

/* The same for the same names and round, whatever was drawn before. */
static void seed_round(struct race *race)
{
	const char *c;
	unsigned int i;

	race->random = supervise_seed();
	for (i = 0; i < race->plan.nr; i++)
		for (c = race->plan.roles[i]->name; *c; c++)
			race->random = race->random * 31 + *c;
	race->random += (__u64)race->round << 32;
}

static void draw_delays(struct race *race)
{
	__s64 earliest = 0;
	unsigned int i;

	for (i = 0; i < race->plan.nr; i++) {
		struct actor *a = &race->actors[i];

		a->delay = -(__s64)race_random(race, a->usual + 1);
		if (a->delay < earliest)
			earliest = a->delay;
	}
	for (i = 0; i < race->plan.nr; i++)
		race->actors[i].delay -= earliest;
	if (!race_random(race, 4))
		race->rotation = race_random(race, CPU_COUNT(&race->cpus));
}

/*
 * A role's thread
 */

static void move_to_cpu(const struct race *race, unsigned int nr)
{
	cpu_set_t one;
	int cpu;

	nr %= CPU_COUNT(&race->cpus);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &race->cpus) && !nr--)
			break;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	/* It may be offline: stay where the kernel has moved us. */
	sched_setaffinity(0, sizeof(one), &one);
}

static void meet(struct race *race, struct actor *a)
{
	unsigned int spins = 0;
	__u64 start;

	if (atomic_fetch_add(&race->nr_met, 1) == race->plan.nr - 1)
		atomic_store(&race->started, clock_ns());
	while (!(start = atomic_load(&race->started)))
		relax(&spins);
	while (clock_ns() < start + a->delay)
		relax(&spins);
}

static void *live(void *arg)
{
	unsigned int rotation = -1;
	struct actor *a = arg;
	struct race *race = a->race;

	atomic_store(&a->tid, gettid());
	for (;;) {
		while (sem_wait(&a->go))
			;
		if (atomic_load(&race->over))
			return NULL;
		if (rotation != race->rotation) {
			rotation = race->rotation;
			move_to_cpu(race, a->me + rotation);
		}
		meet(race, a);
		a->begin = clock_ns();
		a->rc = race->plan.roles[a->me]->act(race->world, a->me);
		a->end = clock_ns();
		atomic_store(&a->acting, false);
		sem_post(&race->back);
	}
}

const char *race_why_not(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) || CPU_COUNT(&cpus) < 2 ?
	       "nothing races on one CPU: let this process have two" : NULL;
}

unsigned int race_rounds(void)
{
	return supervise_rounds(emulator_why_not() ? ROUNDS : ROUNDS_EMULATED);
}

unsigned int race_lives(void)
{
	return emulator_why_not() ? race_rounds() : (race_rounds() + 2) / 3;
}

int race_start(struct race **out, const struct race_plan *plan)
{
	struct race *race = calloc(1, sizeof(*race));
	unsigned int i;

	*out = NULL;
	if (!race)
		return -ENOMEM;
	race->plan = *plan;
	race->plan.rounds = plan->rounds ?: race_rounds();
	race->plan.seconds = supervise_seconds(plan->seconds ?: SECONDS);
	race->plan.hang_ms = plan->hang_ms ?: HANG_MS;
	if (sched_getaffinity(0, sizeof(race->cpus), &race->cpus)) {
		free(race);
		return -errno;
	}
	sem_init(&race->back, 0, 0);
	race->begun = clock_ns();
	for (i = 0; i < plan->nr; i++) {
		struct actor *a = &race->actors[i];

		a->race = race;
		a->me = i;
		sem_init(&a->go, 0, 0);
		if (pthread_create(&a->thread, NULL, live, a)) {
			race->plan.nr = i;
			race_end(race);
			return -EAGAIN;
		}
	}
	*out = race;
	return 0;
}

/*
 * Outcomes
 */

static const char *outcome_name(int rc)
{
	return rc >= 0 ? "0" : strerrorname_np(-rc) ?: "?";
}

/* "0 EINVAL" */
static void tell_outcomes(const struct race *race, char *buf, size_t len)
{
	size_t used = 0;
	unsigned int i;

	*buf = '\0';
	for (i = 0; i < race->plan.nr && used < len; i++)
		used += snprintf(buf + used, len - used, "%s%s", i ? " " : "",
				 outcome_name(race->actors[i].rc));
}

/* "punch x touch" */
static void tell_roles(const struct race *race, char *buf, size_t len)
{
	size_t used = 0;
	unsigned int i;

	*buf = '\0';
	for (i = 0; i < race->plan.nr && used < len; i++)
		used += snprintf(buf + used, len - used, "%s%s", i ? " x " : "",
				 race->plan.roles[i]->name);
}

/* Whether @list, whose members are separated by @separator, has @word. */
static bool list_has(const char *list, const char *separator, const char *word)
{
	const size_t len = strlen(word), gap = strlen(separator);
	const char *end;

	for (; list; list = end ? end + gap : NULL) {
		end = strstr(list, separator);
		if ((end ? (size_t)(end - list) : strlen(list)) == len && !strncmp(list, word, len))
			return true;
	}
	return false;
}

static bool is_allowed(const struct race *race, const char *tuple)
{
	unsigned int i;

	if (race->plan.allowed)
		return list_has(race->plan.allowed, ", ", tuple);
	for (i = 0; i < race->plan.nr; i++)
		if (!list_has(race->plan.roles[i]->allowed, " ",
			      outcome_name(race->actors[i].rc)))
			return false;
	return true;
}

static void tell_allowed(const struct race *race, char *buf, size_t len)
{
	size_t used = 0;
	unsigned int i;

	if (race->plan.allowed) {
		snprintf(buf, len, "%s", race->plan.allowed);
		return;
	}
	for (i = 0; i < race->plan.nr && used < len; i++)
		used += snprintf(buf + used, len - used, "%s%s", i ? " x " : "",
				 race->plan.roles[i]->allowed);
}

static void note_outcome(struct race *race)
{
	char tuple[OUTCOME_BYTES], roles[160], allowed[160];
	unsigned int i;

	tell_outcomes(race, tuple, sizeof(tuple));
	for (i = 0; i < race->nr_seen && strcmp(race->seen[i].text, tuple); i++)
		;
	if (i == MAX_OUTCOMES)
		i--;
	if (i == race->nr_seen) {
		strcpy(race->seen[i].text, tuple);
		race->nr_seen++;
	}
	race->seen[i].nr++;

	if (is_allowed(race, tuple))
		return;
	tell_roles(race, roles, sizeof(roles));
	tell_allowed(race, allowed, sizeof(allowed));
	finding_set(&race->bad, "outcome", "%s gave %s in round %u, allowed: %s", roles, tuple,
		    race->round, allowed);
}

/* How many were at work when @a began. */
static unsigned int nr_at_work(const struct race *race, const struct actor *a)
{
	unsigned int i, nr = 0;

	for (i = 0; i < race->plan.nr; i++)
		nr += race->actors[i].begin <= a->begin && a->begin < race->actors[i].end;
	return nr;
}

static void note_times(struct race *race)
{
	unsigned int most = 0, want = CPU_COUNT(&race->cpus), nr, i;
	__s64 took;

	for (i = 0; i < race->plan.nr; i++) {
		struct actor *a = &race->actors[i];

		nr = nr_at_work(race, a);
		if (nr > most)
			most = nr;
		/* One that was preempted for long must not count for much. */
		took = a->end - a->begin;
		if (a->usual && took > 4 * a->usual)
			took = 4 * a->usual;
		a->usual = a->usual ? (3 * a->usual + took) / 4 : took;
	}
	if (want > race->plan.nr)
		want = race->plan.nr;
	race->nr_overlapped += most >= want;
}

/*
 * Rounds
 */

static void tell_where(const struct actor *a)
{
	char path[64], stack[2048], *line, *save;
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stack", a->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, stack, sizeof(stack) - 1);
		close(fd);
	}
	stack[n > 0 ? n : 0] = '\0';
	fprintf(stderr, "# %s hangs, thread %d:\n", a->race->plan.roles[a->me]->name, a->tid);
	for (line = strtok_r(stack, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		fprintf(stderr, "#   %s\n", line);
}

static void note_hang(struct race *race)
{
	char roles[160], who[160] = "";
	size_t used = 0;
	unsigned int i;

	race->hangs = true;
	for (i = 0; i < race->plan.nr; i++) {
		if (!atomic_load(&race->actors[i].acting))
			continue;
		tell_where(&race->actors[i]);
		if (used < sizeof(who))
			used += snprintf(who + used, sizeof(who) - used, "%s%s",
					 used ? " and " : "", race->plan.roles[i]->name);
	}
	tell_roles(race, roles, sizeof(roles));
	finding_set(&race->bad, "progress", "%s: %.80s not back after %u ms in round %u", roles,
		    who, race->plan.hang_ms, race->round);
}

bool race_next(struct race *race)
{
	if (race->played) {
		race->played = false;
		race->round++;
	}
	seed_round(race);
	/* Those that have never met yet may, a few rounds later. */
	if (race->hangs || race->bad.invariant[0] ||
	    race->round >= race->plan.rounds * (race->nr_overlapped ? 1 : MORE))
		return false;
	race->is_short = clock_ns() - race->begun >= race->plan.seconds * 1000000000ull;
	return !race->is_short;
}

int race_go(struct race *race, void *world)
{
	struct timespec until;
	unsigned int i;
	__u64 begin;
	int rc;

	race->world = world;
	race->nr_met = 0;
	race->started = 0;
	draw_delays(race);
	for (i = 0; i < race->plan.nr; i++) {
		const struct race_role *role = race->plan.roles[i];

		rc = role->prepare ? role->prepare(world, i) : 0;
		if (rc)
			return rc;
	}
	begin = clock_ns();
	for (i = 0; i < race->plan.nr; i++) {
		atomic_store(&race->actors[i].acting, true);
		sem_post(&race->actors[i].go);
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += race->plan.hang_ms / 1000;
	until.tv_nsec += race->plan.hang_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	for (i = 0; i < race->plan.nr; i++) {
		while ((rc = sem_clockwait(&race->back, CLOCK_MONOTONIC, &until)) && errno == EINTR)
			;
		if (rc) {
			note_hang(race);
			return -ETIMEDOUT;
		}
	}
	race->played = true;
	race->spent += clock_ns() - begin;
	note_times(race);
	note_outcome(race);
	return 0;
}

unsigned int race_round(const struct race *race)
{
	return race->round;
}

int race_outcome(const struct race *race, unsigned int role)
{
	return race->actors[role].rc;
}

static unsigned int nr_played(const struct race *race)
{
	return race->round + race->played;
}

int race_check(const struct race *race, struct finding *f)
{
	char roles[160];

	if (race->bad.invariant[0]) {
		*f = race->bad;
		return 1;
	}
	if (race->nr_overlapped)
		return 0;
	tell_roles(race, roles, sizeof(roles));
	finding_set(f, "overlap", "%s were never at work at the same time in %u rounds", roles,
		    nr_played(race));
	return -ENODATA;
}

static void tell_result(const struct race *race)
{
	char roles[160];
	unsigned int i;

	tell_roles(race, roles, sizeof(roles));
	fprintf(stderr, "# race: %s: %u rounds, %u overlapped, %llu ms", roles, nr_played(race),
		race->nr_overlapped, race->spent / 1000000);
	for (i = 0; i < race->nr_seen; i++)
		fprintf(stderr, "; %s: %u", race->seen[i].text, race->seen[i].nr);
	fprintf(stderr, "\n");
	if (race->is_short)
		fprintf(stderr, "# that race ended short of its %u rounds, after %u s\n",
			race->plan.rounds, race->plan.seconds);
}

bool race_end(struct race *race)
{
	unsigned int i;

	if (!race)
		return true;
	tell_result(race);
	if (race->hangs)
		return false;
	atomic_store(&race->over, true);
	for (i = 0; i < race->plan.nr; i++)
		sem_post(&race->actors[i].go);
	for (i = 0; i < race->plan.nr; i++)
		pthread_join(race->actors[i].thread, NULL);
	free(race);
	return true;
}
