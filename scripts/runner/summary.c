// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the runner shows: live lines, and the summary.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "run.h"

void transient_clear(void)
{
	if (run.transient)
		fputs("\r\033[K", stderr);
	run.transient = false;
}

void complain(const char *fmt, ...)
{
	va_list ap;

	transient_clear();
	fputs("runner: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* The terminal */

static const char *colour_of(enum verdict v)
{
	static const char * const colours[] = {
		[VERDICT_PASS] = "\033[32m", [VERDICT_FAIL] = "\033[31m",
		[VERDICT_SKIP] = "\033[33m", [VERDICT_ERROR] = "\033[35m",
		[VERDICT_KNOWN] = "\033[33m",
	};

	return colours[v];
}

void transient_show(void)
{
	struct winsize size = { .ws_col = 80 };
	struct job *oldest = NULL;
	char text[512], more[40] = "";
	unsigned int i;

	transient_clear();
	if (!run.tty || !run.nr_running)
		return;
	for (i = 0; i < opt.jobs; i++)
		if (run.jobs[i].keeper && (!oldest || run.jobs[i].n < oldest->n))
			oldest = &run.jobs[i];
	if (run.nr_running > 1)
		snprintf(more, sizeof(more), " and %u more", run.nr_running - 1);
	snprintf(text, sizeof(text), "running %s (%llu s)%s", oldest->c->address,
		 (clock_ms() - oldest->start) / 1000, more);
	ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
	fprintf(stderr, "%.*s", (int)(size.ws_col ?: 80) - 1, text);
	run.transient = true;
}

void print_ended(const struct job *j, const struct outcome *o)
{
	int digits = snprintf(NULL, 0, "%llu", run.nr_total);
	unsigned int i;

	transient_clear();
	if (run.nr_total)
		fprintf(run.progress, "[%*llu/%llu] ", digits, run.nr_ended, run.nr_total);
	else
		fprintf(run.progress, "[%4llu] ", run.nr_ended);
	fprintf(run.progress, "%s%-5s%s %-*s %7.2f s\n", run.colour ? colour_of(o->verdict) : "",
		verdict_name(o->verdict), run.colour ? "\033[0m" : "", run.width,
		j->c->address, (clock_ms() - j->start) / 1000.0);
	if (o->verdict == VERDICT_FAIL || o->verdict == VERDICT_ERROR) {
		fprintf(run.progress, "      %s\n", o->reason);
		for (i = 0; i < j->nr_lines && i < SHOWN_LINES; i++)
			fprintf(run.progress, "      | %s\n", j->shown[i]);
		if (j->nr_lines > SHOWN_LINES)
			fprintf(run.progress, "      | %u more in %s/tap\n",
				j->nr_lines - SHOWN_LINES, run.files[j->c->file].dir);
	}
	if (o->known)
		fprintf(run.progress, "      %s: %s\n", o->known->id, o->reason);
	fflush(run.progress);
}

/* Summary */

void add_grief(const struct job *j, const struct outcome *o)
{
	struct grief **at;

	for (at = &run.griefs; *at; at = &(*at)->next) {
		if ((*at)->address == j->c->address && (*at)->verdict == o->verdict &&
		    (o->verdict == VERDICT_SKIP || !strcmp((*at)->reason, o->reason))) {
			(*at)->times++;
			return;
		}
	}
	*at = need(calloc(1, sizeof(**at)));
	(*at)->address = j->c->address;
	(*at)->verdict = o->verdict;
	(*at)->reason = need(strdup(o->reason));
	(*at)->known = o->known;
	(*at)->seed = j->seed;
	(*at)->schedule_seed = j->schedule_seed;
	(*at)->rounds = j->rounds;
	(*at)->times = 1;
}

/* What to paste to see it again. */
static void print_again(const struct grief *g, FILE *to)
{
	fprintf(to, "        again: ./run.sh --seed %s", hex(g->seed));
	if (run.emulated)
		emulated_print_options(&opt.machine, g->schedule_seed, to);
	else
		fprintf(to, " --platform %s", opt.platform);
	/* The limits of a suite cannot be said otherwise. */
	if (opt.suite && strcmp(opt.suite, DEFAULT_SUITE))
		fprintf(to, " --suite %s", opt.suite);
	if (g->rounds)
		fprintf(to, " --rounds %u", g->rounds);
	if (strcmp(opt.expect_pin, "auto"))
		fprintf(to, " --expect-pin %s", opt.expect_pin);
	if (opt.timeout)
		fprintf(to, " --timeout %u", opt.timeout);
	if (opt.settle_ms != DEFAULT_SETTLE)
		fprintf(to, " --settle-ms %u", opt.settle_ms);
	fprintf(to, " %s\n", g->address);
}

/* All cases that were skipped for one reason; their names too, or just how many. */
static void print_skipped(const struct grief *first, bool names, FILE *to)
{
	unsigned long long cases = 0;
	const struct grief *g;

	for (g = run.griefs; g != first; g = g->next)
		if (g->verdict == VERDICT_SKIP && !strcmp(g->reason, first->reason))
			return;		/* told already */
	for (g = first; g; g = g->next)
		cases += g->verdict == VERDICT_SKIP && !strcmp(g->reason, first->reason);
	fprintf(to, "  %llu case%s: %s\n", cases, cases == 1 ? "" : "s", first->reason);
	for (g = first; names && g; g = g->next)
		if (g->verdict == VERDICT_SKIP && !strcmp(g->reason, first->reason))
			fprintf(to, "        %s\n", g->address);
}

static void print_grief(const struct grief *g, bool names, FILE *to)
{
	if (g->verdict == VERDICT_SKIP) {
		print_skipped(g, names, to);
		return;
	}
	fprintf(to, "  %s", g->address);
	if (g->times > 1)
		fprintf(to, " (%llu times)", g->times);
	fprintf(to, "\n        %s\n", g->reason);
	print_again(g, to);
}

/* One paragraph for each row of the errata table. */
static void print_known(FILE *to)
{
	const struct erratum *row;
	const struct grief *g;
	bool told;

	for (row = run.errata.rows; row < run.errata.rows + run.errata.nr; row++) {
		told = false;
		for (g = run.griefs; g; g = g->next) {
			if (g->known != row)
				continue;
			if (!told)
				fprintf(to, "  %s: %s (%s)\n", row->id, row->title, row->reference);
			told = true;
			print_grief(g, false, to);
		}
	}
}

static void print_control(FILE *to)
{
	bool pins = run.control.mapped > run.control.unmapped;

	fprintf(to, "this kernel holds pages mapped in the S-EPT: %s (references of a control page: %u mapped, %u unmapped)%s\n",
		pins ? "yes" : "no", run.control.mapped, run.control.unmapped,
		!strcmp(opt.expect_pin, pins ? "0" : "1") ? "; --expect-pin says otherwise" : "");
}

void print_summary(FILE *to, bool names, bool colour)
{
	const struct grief *g;
	enum verdict v;

	fprintf(to, "on %s, Linux %s: %llu passed, %llu failed, ", opt.platform, run.kernel.release,
		run.count[VERDICT_PASS], run.count[VERDICT_FAIL]);
	if (run.count[VERDICT_KNOWN])
		fprintf(to, "%llu known to fail, ", run.count[VERDICT_KNOWN]);
	fprintf(to, "%llu skipped, %llu error%s in %.1f s\n", run.count[VERDICT_SKIP],
		run.count[VERDICT_ERROR], run.count[VERDICT_ERROR] == 1 ? "" : "s",
		(clock_ms() - run.start) / 1000.0);
	if (is_faked())
		fprintf(to, "proves nothing about this kernel: SEPT_FAKE_REFS or SEPT_KMSG is set\n");
	if (run.interrupted)
		fprintf(to, "interrupted by SIG%s\n", sigabbrev_np(run.interrupted));
	if (run.nr_total > run.nr_ended)
		fprintf(to, "not run: %llu of %llu\n", run.nr_total - run.nr_ended, run.nr_total);
	for (v = VERDICT_FAIL; v < NR_VERDICTS; v++) {
		if (!run.count[v])
			continue;
		fprintf(to, "%s%s%s\n", colour ? colour_of(v) : "", verdict_name(v),
			colour ? "\033[0m" : "");
		if (v == VERDICT_KNOWN)
			print_known(to);
		for (g = run.griefs; g; g = g->next)
			if (g->verdict == v && !g->known)
				print_grief(g, names, to);
	}
	if (run.has_control)
		print_control(to);
	fprintf(to, "longest settling: %llu ms\n", run.settle_max);
	fprintf(to, "results: %s\n", run.dir);
}

json_t *end_json(int status)
{
	static const char * const names[] = {
		[VERDICT_PASS] = "pass", [VERDICT_FAIL] = "fail",
		[VERDICT_SKIP] = "skip", [VERDICT_ERROR] = "error",
		[VERDICT_KNOWN] = "known",
	};
	json_t *counts = need(json_object()), *json;
	unsigned long long not_run = 0;
	int v;

	if (run.nr_total > run.nr_ended)
		not_run = run.nr_total - run.nr_ended;
	for (v = 0; v < NR_VERDICTS; v++)
		json_object_set_new(counts, names[v], json_integer(run.count[v]));
	json_object_set_new(counts, "not_run", json_integer(not_run));
	json = need(json_pack("{si ss si so sI sI sO}", "format", FORMAT, "ended", utc_now(),
			      "exit", status, "counts", counts,
			      "settle_ms", (json_int_t)run.settle_max,
			      "ms", (json_int_t)(clock_ms() - run.start),
			      "restored", run.restored));
	json_object_set_new(json, "interrupted", run.interrupted ?
			    json_sprintf("SIG%s", sigabbrev_np(run.interrupted)) : json_null());
	return json;
}
