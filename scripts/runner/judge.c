// SPDX-License-Identifier: GPL-2.0-only
/*
 * What becomes of a case: what its supervisor says (supervise.h), made worse by how it
 * ended, never better; and KNOWN by the errata.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "emulator.h"
#include "finding.h"
#include "run.h"

static void __attribute__((format(printf, 3, 4)))
decide(struct outcome *o, enum verdict v, const char *fmt, ...)
{
	va_list ap;

	free(o->reason);
	o->verdict = v;
	va_start(ap, fmt);
	if (vasprintf(&o->reason, fmt, ap) < 0)
		need(NULL);
	va_end(ap);
	make_printable(o->reason);
}

/*
 * What became of the machine, on a line of its own behind whatever record there is:
 * "machine exec" says it if the case could not come to its end.  Takes that line
 * away; return whether it is there.
 */
static bool record_of_machine(struct job *j, struct outcome *o)
{
	size_t len = j->record_len, start;
	const char *verdict, *reason;
	json_t *json, *reports, *report;
	struct finding f;
	bool is_one;
	size_t i;

	if (!run.emulated || !len)
		return false;
	start = len - 1;
	while (start && j->record[start - 1] != '\n')
		start--;
	json = json_loadb(j->record + start, len - start, 0, NULL);
	is_one = json && !json_unpack(json, "{ss ss so}", "machine", &verdict, "reason", &reason,
				      "reports", &reports);
	if (is_one) {
		j->record_len = start;
		/* In a machine that lives the case asks for them itself. */
		setenv("SEPT_RESULTS", run.files[j->c->file].dir, 1);
		finding_context(j->c->address, j->seed, 0);
		json_array_foreach(reports, i, report) {
			emulator_finding(report, &f);
			check_results(finding_record(&f, "sanitizer"));
		}
		decide(o, strcmp(verdict, "FAIL") ? VERDICT_ERROR : VERDICT_FAIL, "%s", reason);
	}
	json_decref(json);
	return is_one;
}

/* Read the verdict record.  Return what is wrong with it, or NULL. */
static const char *record_read(struct job *j, struct outcome *o)
{
	const char *address, *verdict, *reason, *seed, *wrong = NULL;
	json_int_t ms, settle_ms, checks;
	json_t *json;
	int v;

	json = json_loadb(j->record, j->record_len, 0, NULL);
	if (!json)
		return "is not one JSON object";
	if (json_unpack(json, "{ss ss ss sI sI sI ss}", "case", &address, "verdict", &verdict,
			"reason", &reason, "ms", &ms, "settle_ms", &settle_ms,
			"checks", &checks, "seed", &seed)) {
		wrong = "lacks a field";
		goto out;
	}
	for (v = 0; v <= VERDICT_ERROR; v++)
		if (!strcmp(verdict, verdict_name(v)))
			break;
	if (v > VERDICT_ERROR)
		wrong = "has an unknown verdict";
	else if (strcmp(address, j->c->address))
		wrong = "is about another case";
	else if (ms < 0 || settle_ms < 0 || checks < 0)
		wrong = "has a negative number";
	else if (strcmp(seed, hex(j->seed)))
		wrong = "names another seed";
	else if (v != VERDICT_PASS && !*reason)
		wrong = "has no reason";
	else if (v == VERDICT_PASS && !checks)
		wrong = "says PASS without a check";
	if (wrong)
		goto out;
	decide(o, v, "%s", reason);
	o->ms = ms;
	o->settle_ms = settle_ms;
	o->checks = checks;
out:
	json_decref(json);
	return wrong;
}

static void come_to_verdict(struct job *j, const struct kept *kept, struct outcome *o)
{
	bool machine = record_of_machine(j, o);
	const char *wrong = !machine && j->record_len ? record_read(j, o) : NULL;
	int sig = kept->ended && WIFSIGNALED(kept->status) ? WTERMSIG(kept->status) : 0;
	int status = kept->ended && WIFEXITED(kept->status) ? WEXITSTATUS(kept->status) : -1;
	bool has_verdict = j->record_len && !wrong;

	if (machine)
		return;
	if (kept->started)
		decide(o, VERDICT_ERROR, "cannot be run: %s", strerror(kept->started));
	else if (kept->timed_out && kept->nr_stuck)
		decide(o, VERDICT_FAIL, "timed out, and its supervisor with it; %u of its processes cannot be killed",
		       kept->nr_stuck);
	else if (kept->timed_out)
		decide(o, VERDICT_FAIL, "timed out, and its supervisor with it");
	else if (kept->nr_stuck)
		decide(o, VERDICT_FAIL, "%u of its processes cannot be killed", kept->nr_stuck);
	else if (has_verdict && (o->verdict == VERDICT_FAIL || o->verdict == VERDICT_ERROR))
		return;
	else if ((run.interrupted || run.broken) && status)
		decide(o, VERDICT_ERROR, "interrupted");
	else if (sig)
		decide(o, VERDICT_FAIL, "ended by signal %d (%s)", sig, strsignal(sig));
	else if (!kept->ended)
		decide(o, VERDICT_ERROR, "the keeper of its processes was killed");
	else if (wrong)
		decide(o, VERDICT_ERROR, "its verdict record %s (exit %d)", wrong, status);
	else if (!has_verdict)
		decide(o, VERDICT_ERROR, "ended without a verdict (exit %d)", status);
	else if (status && !(o->verdict == VERDICT_SKIP && status == 4))
		decide(o, VERDICT_ERROR, "said %s, but ended with exit %d",
		       verdict_name(o->verdict), status);
}

/* A finding of this job, as the reason of a verdict tells it; NULL if it is none of its. */
static char *finding_of(const struct job *j, const char *line)
{
	const char *address, *seed, *where, *invariant, *text;
	json_t *json = json_loads(line, 0, NULL);
	char *told = NULL;
	int rc = 0;

	if (json && !json_unpack(json, "{ss ss ss ss ss}", "case", &address, "seed", &seed,
				 "where", &where, "invariant", &invariant, "text", &text) &&
	    !strcmp(address, j->c->address) && !strcmp(seed, hex(j->seed))) {
		if (!strcmp(where, "kernel log"))
			rc = asprintf(&told, "%s", text);
		else
			rc = asprintf(&told, "%s: %s",
				      strcmp(where, "sanitizer") ? where : invariant, text);
	}
	json_decref(json);
	if (rc < 0)
		need(NULL);
	return told;
}

/*
 * A case goes on behind a check that has failed, and its kernel log and the sanitizer's
 * reports are read all the same.  Return the first finding that no row of the errata
 * knows; the caller frees it.
 */
static char *unknown_finding(const struct job *j)
{
	FILE *from = file_findings(j->c->file, j->found);
	char *line = NULL, *told = NULL;
	size_t size = 0;

	/* Most cases have none. */
	if (!from && errno != ENOENT && asprintf(&told, "its findings cannot be read: %m") < 0)
		need(NULL);
	while (from && !told && getline(&line, &size, from) > 0) {
		told = finding_of(j, line);
		if (told && errata_explain(&run.errata, j->c->address, run.kernel.release,
					   run.pinned, told)) {
			free(told);
			told = NULL;
		}
	}
	free(line);
	if (from)
		fclose(from);
	return told;
}

/* What is known to fail must do so, with the reason that is known, and find nothing else. */
static void apply_errata(const struct job *j, struct outcome *o)
{
	const char *address = j->c->address, *release = run.kernel.release;
	const struct erratum *row;
	char *other;

	if (o->verdict == VERDICT_FAIL) {
		row = errata_find(&run.errata, address, release, run.pinned, o->reason);
		other = row ? unknown_finding(j) : NULL;
		if (other)
			decide(o, VERDICT_FAIL, "%s (beside what is known as %s)", other, row->id);
		else if (row)
			o->verdict = VERDICT_KNOWN;
		o->known = other ? NULL : row;
		free(other);
		return;
	}
	row = errata_find(&run.errata, address, release, run.pinned, NULL);
	if (o->verdict == VERDICT_PASS && row)
		decide(o, VERDICT_FAIL, "errata: what is known as %s passes on Linux %s, so the row %s:%u is out of date",
		       row->id, release, opt.errata, row->line);
}

void judge(struct job *j, const struct kept *kept, struct outcome *o)
{
	if (j->harm) {
		decide(o, VERDICT_SKIP, "%s may damage this host (%s): run it in the emulated machine, or take 'harms' out of %s:%u",
		       j->harm->id, j->harm->reference, opt.errata, j->harm->line);
		return;
	}
	come_to_verdict(j, kept, o);
	apply_errata(j, o);
}
