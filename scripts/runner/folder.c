// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a run leaves behind (docs/results.md): its folder, with one for each test file.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "env.h"
#include "run.h"

/* Results that cannot be written end the run, once and with one sentence. */
void check_results(int rc)
{
	if (!rc || run.broken)
		return;
	run.broken = -rc;
	run.stop = true;
	complain("the results cannot be written to %s: %s; ending the run",
		 run.dir, strerror(-rc));
}

static json_t *options_json(void)
{
	json_t *globs = json_array(), *json;
	unsigned int i;

	for (i = 0; i < opt.named.nr; i++)
		json_array_append_new(globs, json_string(opt.named.list[i]));
	json = need(json_pack("{so ss? ss? si si ss si si si}", "globs", globs, "suite", opt.suite,
			      "vm_type", opt.vm_type, "rounds", opt.rounds,
			      "limits", opt.limits, "expect_pin", opt.expect_pin, "timeout", opt.timeout,
			      "settle_ms", opt.settle_ms, "jobs", opt.jobs));
	json_object_set_new(json, "repeat", opt.until_fail ? json_string("until-fail") :
			    json_integer(opt.repeat));
	if (run.emulated) {
		json_object_set_new(json, "explore", json_boolean(opt.explore));
		json_object_set_new(json, "machine", need(emulated_json(&opt.machine)));
	}
	return json;
}

static json_t *selected_json(void)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < run.cases.nr; i++) {
		struct test_case *c = &run.cases.list[i];

		json_array_append_new(list, json_pack("{ss si sb}", "case", c->address,
						      "seconds", c->seconds,
						      "serial", c->serial));
	}
	return list;
}

/* The file as JSON if it is some, else as a string; null if there is none. */
static json_t *origin_json(void)
{
	char text[8192];
	json_t *json;
	FILE *from;
	size_t len;

	if (!opt.linux_origin)
		return json_null();
	json = json_load_file(opt.linux_origin, JSON_DECODE_ANY, NULL);
	if (json)
		return json;
	from = fopen(opt.linux_origin, "re");
	if (!from) {
		complain("cannot read %s: %s; going on without", opt.linux_origin,
			 strerror(errno));
		return json_null();
	}
	len = fread(text, 1, sizeof(text) - 1, from);
	fclose(from);
	while (len && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
	return json_string(text) ?: json_null();
}

bool is_faked(void)
{
	const char *refs = getenv("SEPT_FAKE_REFS"), *kmsg = getenv("SEPT_KMSG");

	return (refs && *refs) || (kmsg && *kmsg);
}

/* What this machine is, and whether its kernel holds what the S-EPT maps. */
json_t *capture(void)
{
	json_t *json = need(env_capture(1));
	struct pinned_control seen;
	char why[500];

	if (!pinned_look(&seen, why, sizeof(why))) {
		json_object_set_new(json, "control_page", json_pack("{si si}", "mapped", seen.mapped,
								    "unmapped", seen.unmapped));
	} else {
		json_object_set_new(json, "control_page", json_null());
		json_object_set_new(json, "control_page_why", json_string(why));
	}
	return json;
}

/* What cases are to expect of the kernel; if it could not be seen, each looks itself. */
static void expect_pin(const json_t *environment)
{
	const char *what = opt.expect_pin;

	run.has_control = environment &&
		!json_unpack((json_t *)environment, "{s{si si}}", "control_page",
			     "mapped", &run.control.mapped, "unmapped", &run.control.unmapped);
	if (run.has_control && !strcmp(what, "auto"))
		what = run.control.mapped > run.control.unmapped ? "1" : "0";
	run.pinned = !strcmp(what, "1");
	setenv("SEPT_EXPECT_PIN", what, 1);
}

static json_t *run_json(int kmsg_rc)
{
	char why[500] = "";
	json_t *json, *environment;

	environment = run.emulated ? emulated_environment(&opt.machine, why, sizeof(why)) : capture();
	expect_pin(environment);

	json = need(json_pack("{si ss ss ss ss ss ss so so so}",
			      "format", FORMAT, "suite", "tdx-sept-tests",
			      "commit", opt.commit, "platform", opt.platform,
			      "kernel", run.kernel.release, "started", utc_now(),
			      "seed", hex(opt.seed), "options", options_json(),
			      "selected", selected_json(), "linux", origin_json()));
	/* The bytes of a command line need not be UTF-8, those of JSON must. */
	json_object_set_new(json, "command_line", opt.command_line ?
			    json_string(opt.command_line) ?: json_null() : json_null());
	json_object_set_new(json, "faked", json_boolean(is_faked()));
	json_object_set_new(json, "kmsg", json_boolean(!kmsg_rc));
	if (kmsg_rc)
		json_object_set_new(json, "kmsg_why", json_string(strerror(-kmsg_rc)));
	json_object_set_new(json, "environment", environment ?: json_null());
	if (*why)
		complain("the machine does not say what it is: %s", why);
	return json;
}

static void machine_begin(void)
{
	char why[1500], *dir;

	if (asprintf(&dir, "%s/machine", run.dir) < 0)
		need(NULL);
	if (emulated_start(&opt.machine, dir, why, sizeof(why)))
		die(EXIT_ENVIRONMENT, "%s", why);
	free(dir);
}

void results_begin(void)
{
	char name[200], when[32];
	int rc, kmsg_rc;
	struct tm tm;
	json_t *json;
	time_t now;

	now = time(NULL);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	snprintf(name, sizeof(name), "%s-%s-%s", when, run.kernel.release, opt.platform);
	rc = results_create(opt.results, name, &run.dir);
	if (rc)
		die(EXIT_ENVIRONMENT, "cannot make a folder for the results in %s: %s",
		    opt.results, strerror(-rc));

	if (run.emulated)
		machine_begin();
	/* The console of an emulated machine comes with its cases. */
	kmsg_rc = run.emulated ? 0 : kmsg_open(&run.kmsg);
	if (kmsg_rc)
		complain("the kernel log cannot be read (%s), so the results have none",
			 strerror(-kmsg_rc));
	json = run_json(kmsg_rc);
	rc = results_json(run.dir, "run.json", json);
	json_decref(json);
	if (!rc)
		rc = results_log_open(&run.log, run.dir, "cases.jsonl");
	if (!rc)
		rc = results_latest(run.dir);
	if (rc)
		die(EXIT_ENVIRONMENT, "cannot write the results to %s: %s", run.dir,
		    strerror(-rc));
}

/* The folder of a test file, made for its first case. */
void file_begin(unsigned int index)
{
	const char *name = run.cases.files[index];
	struct file *f = &run.files[index];
	unsigned long long nr = 0;
	unsigned int i;
	char text[64];
	int rc;

	if (f->dir)
		return;
	f->tap.fd = f->kmsg.fd = -1;
	if (asprintf(&f->dir, "%s/%s", run.dir, name) < 0)
		need(NULL);
	rc = mkdir(f->dir, 0755) ? -errno : 0;
	if (!rc)
		rc = results_log_open(&f->tap, f->dir, "tap");
	if (!rc && run.kmsg)
		rc = results_log_open(&f->kmsg, f->dir, "kmsg");
	for (i = 0; i < run.cases.nr; i++)
		nr += run.cases.list[i].file == index;
	/* Without an end in sight the plan comes last. */
	if (opt.until_fail)
		snprintf(text, sizeof(text), "KTAP version 1\n");
	else
		snprintf(text, sizeof(text), "KTAP version 1\n1..%llu\n", nr * opt.repeat);
	if (!rc)
		rc = results_log_add(&f->tap, text, strlen(text));
	check_results(rc);
}

static const char *findings_path(unsigned int index)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/findings.jsonl", run.files[index].dir);
	return path;
}

off_t file_found(unsigned int index)
{
	struct stat st;

	return stat(findings_path(index), &st) ? 0 : st.st_size;
}

FILE *file_findings(unsigned int index, off_t from)
{
	FILE *in = fopen(findings_path(index), "re");

	if (in && fseeko(in, from, SEEK_SET)) {
		fclose(in);
		return NULL;
	}
	return in;
}

void files_end(void)
{
	unsigned int i;
	char text[40];

	for (i = 0; i < run.cases.nr_files; i++) {
		struct file *f = &run.files[i];

		if (!f->dir)
			continue;
		snprintf(text, sizeof(text), "1..%u\n", f->nr_ended);
		if (opt.until_fail)
			check_results(results_log_add(&f->tap, text, strlen(text)));
		check_results(results_log_sync(&f->tap));
		check_results(results_log_sync(&f->kmsg));
		results_log_close(&f->tap);
		results_log_close(&f->kmsg);
	}
}

/* Give new kernel lines to the files that run, or to the one that ran last. */
void kmsg_drain(void)
{
	const char *line;
	unsigned int i;
	char *text;
	int rc;

	while (run.kmsg && (rc = kmsg_next(run.kmsg, &line))) {
		if (rc < 0 && rc != -EPIPE) {
			complain("the kernel log cannot be read any more: %s", strerror(-rc));
			kmsg_close(run.kmsg);
			run.kmsg = NULL;
			return;
		}
		if (rc < 0)
			line = "(lines were overwritten here before they could be read)";
		if (asprintf(&text, "%s\n", line) < 0)
			need(NULL);
		for (i = 0; i < run.cases.nr_files; i++) {
			struct file *f = &run.files[i];

			if (f->dir && (run.nr_running ? f->nr_running : i == run.last_file))
				check_results(results_log_add(&f->kmsg, text, strlen(text)));
		}
		free(text);
	}
}
