/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUN_H
#define RUN_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/utsname.h>

#include <jansson.h>

#include "cases.h"
#include "clock.h"
#include "emulated.h"
#include "keeper.h"
#include "kmsg.h"
#include "pinned.h"
#include "results.h"
#include "supervise.h"
#include "errata.h"

/* What the parts of the runner share; scripts/runner.c tells what it does. */

#define FORMAT		1	/* of the results; see docs/results.md */
#define LINE_LEN	2000	/* longer lines are broken */
#define SHOWN_LINES	10	/* of a failed case's output, on the terminal */
#define NR_VERDICTS	(VERDICT_KNOWN + 1)
#define DEFAULT_SUITE	"fast"	/* run.sh's own */
#define DEFAULT_SETTLE	2000

enum {
	EXIT_PASSED = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_ENVIRONMENT = 3,
	EXIT_NOTHING_RAN = 4,
	EXIT_SIGNAL = 128,	/* plus its number */
};

struct runner_options {
	const char *bin_dir, *results, *platform, *vm_type, *junit, *report;
	const char *commit, *command_line, *linux_origin, *errata, *suite, *expect_pin;
	struct globs named, run, skip, rounds_of;
	unsigned int *rounds_of_nr;
	unsigned int rounds, limits, timeout, settle_ms, jobs;
	unsigned long long repeat, seed;
	bool until_fail, seed_given, json, list, explore, environment, junit_append;
	struct emulated machine;
};

extern struct runner_options opt;

/* A test file's own folder of results. */
struct file {
	char *dir;
	struct results_log tap, kmsg;
	unsigned int nr_ended, nr_running;
};

/* A case in flight. */
struct job {
	struct keeper *keeper;		/* NULL: this place is free */
	struct test_case *c;
	unsigned long long n, repeat, seed, schedule_seed;
	unsigned int rounds;		/* 0: its own */
	int output, verdict;		/* read ends; -1 once closed */
	char *record, *tap;		/* what came through them */
	size_t record_len, tap_len, output_len, line_len;
	FILE *record_to, *tap_to;
	char line[LINE_LEN + 1];
	char *shown[SHOWN_LINES];
	unsigned int nr_lines;
	off_t found;			/* size of the file's findings when it began */
	const struct erratum *harm;	/* by which it is not run */
	__u64 start;			/* clock_ms() */
};

/* What became of it. */
struct outcome {
	enum verdict verdict;
	char *reason;
	const struct erratum *known;	/* by which VERDICT_KNOWN came */
	long long settle_ms, checks, ms;
};

/* Something to list in the summary: a case and how it did not pass. */
struct grief {
	const char *address;
	enum verdict verdict;
	char *reason;
	const struct erratum *known;
	unsigned long long times, seed, schedule_seed;
	unsigned int rounds;
	struct grief *next;
};

struct runner {
	struct cases cases;
	struct errata errata;
	struct file *files;
	struct job *jobs;
	unsigned int nr_running;
	unsigned long long next, nr_ended, nr_total;	/* nr_total 0: without end */
	bool serial_running, orphans;

	char *dir;
	struct results_log log;
	struct kmsg *kmsg;
	unsigned int last_file;		/* whose kernel log lines come when nothing runs */
	json_t *restored, *all;		/* sentences; end lines for --json */

	bool emulated, has_control, pinned;
	struct pinned_control control;	/* of the machine that the cases run on */
	struct utsname kernel;		/* of the machine that the cases run on */
	unsigned long long count[NR_VERDICTS], settle_max;
	struct grief *griefs;
	__u64 start;			/* clock_ms() */

	int interrupted;		/* by which signal */
	bool stop;			/* begin no more cases */
	int broken;			/* errno that made results impossible to write */
	bool transient;			/* a line on the terminal that will be replaced */
	bool colour, tty;
	int width;			/* of an address in live lines */
	FILE *progress;
};

extern struct runner run;

/* runner.c */
void *need(void *p);
const char *utc_now(void);
const char *hex(unsigned long long n);
void make_printable(char *text);
void set_number(const char *name, unsigned long long value);
void say_restored(const char *sentence);

/* options.c */
void options_read(int argc, char **argv);
void options_check(void);

/* folder.c */
void check_results(int rc);
bool is_faked(void);
json_t *capture(void);
void results_begin(void);
void file_begin(unsigned int index);
off_t file_found(unsigned int index);	/* bytes of its findings.jsonl */
FILE *file_findings(unsigned int index, off_t from);	/* those behind; NULL and errno */
void files_end(void);
void kmsg_drain(void);

/* job.c */
unsigned long long shorten(unsigned long long seed);
void job_start(struct job *j, struct test_case *c, unsigned long long n);
bool job_read(struct job *j);
void job_end(struct job *j, const struct kept *kept);

/* judge.c */
void judge(struct job *j, const struct kept *kept, struct outcome *o);

/* summary.c */
void transient_clear(void);
void transient_show(void);
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void print_ended(const struct job *j, const struct outcome *o);
void add_grief(const struct job *j, const struct outcome *o);
void print_summary(FILE *to, bool names, bool colour);
json_t *end_json(int status);

#define die(status, ...) do { complain(__VA_ARGS__); exit(status); } while (0)

#endif
