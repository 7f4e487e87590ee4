// SPDX-License-Identifier: GPL-2.0-only
/*
 * From what the emulator tells to those who look on, and its options.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

struct watchers watchers;

/* ---- What the sanitizer asks ---- */

static void op_lp(void *ctx, unsigned int lp, struct tdx_san_lp *state)
{
	struct tdx_host host;

	(void)ctx;
	tdx_monitor_host(lp, &host);
	*state = (struct tdx_san_lp) { host.rip, host.rsp, host.rbp, host.time };
}

static bool op_read(void *ctx, unsigned int lp, uint64_t va, void *buf, uint32_t len)
{
	(void)ctx;
	return tdx_monitor_read(lp, va, buf, len);
}

static bool op_cached(void *ctx, unsigned int lp, uint64_t pa)
{
	(void)ctx;
	return tdx_monitor_cached(lp, pa);
}

/* The log keeps them, whatever becomes of the machine; both forms, for both readers. */
static void op_report(void *ctx, const char *json, const char *text)
{
	(void)ctx;
	fprintf(stderr, "%stdx-sanitizer: json %s\n", text, json);
	fflush(stderr);
}

static void op_fatal(void *ctx)
{
	(void)ctx;
	fprintf(stderr, "tdx-sanitizer: fatal, the emulator ends\n");
	tdx_control_flush();
	fflush(NULL);
	_exit(TDX_EXIT_SANITIZER);
}

struct tdx_sanitizer *the_sanitizer(void)
{
	static const struct tdx_san_ops ops = {
		.lp = op_lp, .read = op_read, .cached = op_cached, .report = op_report,
		.fatal = op_fatal,
	};
	struct watchers *s = &watchers;
	int err;

	if (s->sanitizer || !tdx_monitor_module())
		return s->sanitizer;
	err = tdx_san_create(&s->sanitizer, tdx_monitor_module(), &ops, s->vmlinux);
	if (err && s->vmlinux) {
		fprintf(stderr, "tdx-sanitizer: reports have no names: %s: %s\n", s->vmlinux,
			strerror(-err));
		err = tdx_san_create(&s->sanitizer, tdx_monitor_module(), &ops, NULL);
	}
	if (err) {
		fprintf(stderr, "tdx-sanitizer: it cannot be started: %s\n", strerror(-err));
		_exit(TDX_EXIT_SANITIZER);
	}
	tdx_san_set_mode(s->sanitizer, s->mode);
	return s->sanitizer;
}

/* ---- What the emulator tells ---- */

static int start_trace(void)
{
	const struct tdx_trace_info info = {
		.hz = tdx_monitor_tsc_hz(),
		.seed = tdx_get_config(tdx_monitor_module())->seed,
		.nr_lps = tdx_monitor_nr_lps(),
		.pa_bits = tdx_monitor_pa_bits(),
	};

	return tdx_trace_open(&watchers.trace, watchers.trace_path, &info);
}

static void on_enter(void *ctx, unsigned int lp, const struct tdx_regs *regs)
{
	(void)ctx;
	tdx_san_begin(the_sanitizer(), lp, regs);
}

static void on_event(void *ctx, unsigned int lp, const struct tdx_event *event)
{
	(void)ctx;
	(void)lp;
	tdx_san_event(the_sanitizer(), event);
}

/* Not before there is a machine to tell about. */
static struct tdx_trace *the_trace(void)
{
	int err = watchers.trace ? 0 : start_trace();

	if (err) {
		fprintf(stderr, "tdx-trace: there is none: %s: %s\n", watchers.trace_path,
			strerror(-err));
		watchers.tracing = false;
	}
	return watchers.trace;
}

static void on_call(void *ctx, const struct tdx_record *record)
{
	(void)ctx;
	if (watchers.counting)
		stats_count(record);
	if (watchers.tracing && the_trace())
		tdx_trace_call(watchers.trace, record);
	if (watchers.mode != TDX_SAN_OFF)
		tdx_san_end(the_sanitizer(), record);
}

static void on_exit_td(void *ctx, unsigned int lp, uint64_t time, uint64_t tdvpr,
		       const struct tdx_regs *regs)
{
	(void)ctx;
	if (watchers.tracing && the_trace())
		tdx_trace_exit(watchers.trace, lp, time, tdvpr, regs);
	if (watchers.mode != TDX_SAN_OFF)
		tdx_san_exit(the_sanitizer(), lp);
}

static void on_access(void *ctx, const struct tdx_access *access)
{
	static const enum tdx_san_access how[] = {
		[TDX_ACCESS_READ] = TDX_SAN_READ,
		[TDX_ACCESS_WRITE] = TDX_SAN_WRITE,
		[TDX_ACCESS_FETCH] = TDX_SAN_FETCH,
	};

	(void)ctx;
	if (access->kind == TDX_ACCESS_STALE)
		tdx_san_td_access(the_sanitizer(), access->lp, access->pa);
	else
		tdx_san_access(the_sanitizer(), access->lp, how[access->kind], access->pa,
			       access->len);
}

/* As little as is needed: what nobody wants costs nothing. */
void watch(void)
{
	struct tdx_monitor monitor = { 0 };

	if (watchers.mode != TDX_SAN_OFF) {
		monitor.enter = on_enter;
		monitor.event = on_event;
		monitor.access = on_access;
	}
	if (watchers.mode != TDX_SAN_OFF || watchers.tracing)
		monitor.exit = on_exit_td;
	if (watchers.mode != TDX_SAN_OFF || watchers.tracing || watchers.counting)
		monitor.call = on_call;
	tdx_monitor_set(&monitor);
}

/* ---- Options ---- */

/* Who stops to look on loses sight of the pages, and starts anew. */
void set_sanitizer(enum tdx_san_mode mode)
{
	watchers.mode = mode;
	if (mode == TDX_SAN_OFF) {
		tdx_san_destroy(watchers.sanitizer);
		watchers.sanitizer = NULL;
	}
	watch();
	if (mode != TDX_SAN_OFF && the_sanitizer())
		tdx_san_set_mode(watchers.sanitizer, mode);
}

static int set_trace(const char *path)
{
	static bool registered;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	/* So that it is told here and now if it cannot be written. */
	if (fd < 0)
		return -errno;
	close(fd);
	/* Also when it is the emulator that ends, as by a triple fault. */
	if (!registered && atexit(tdx_control_flush))
		return -ENOMEM;
	registered = true;
	tdx_control_forked();
	free(watchers.trace_path);
	watchers.trace_path = strdup(path);
	watchers.tracing = watchers.trace_path;
	watch();
	return watchers.trace_path ? 0 : -ENOMEM;
}

const char *tdx_control_option(const char *key, const char *value, bool running)
{
	static const char *const modes[] = { "off", "warn", "fatal" };
	int err;

	if (!strcmp(key, "sanitizer")) {
		for (unsigned int i = 0; i < 3; i++)
			if (!strcmp(value, modes[i])) {
				set_sanitizer(i);
				return NULL;
			}
		return "want off, warn or fatal";
	}
	if (!strcmp(key, "vmlinux")) {
		if (running)
			return "it cannot be changed any more";
		free(watchers.vmlinux);
		watchers.vmlinux = strdup(value);
		return watchers.vmlinux ? NULL : "no memory";
	}
	if (!strcmp(key, "trace")) {
		err = set_trace(value);
		return err ? strerror(-err) : NULL;
	}
	return "";
}

void tdx_control_flush(void)
{
	int err = watchers.trace ? tdx_trace_flush(watchers.trace) : 0;

	if (err)
		fprintf(stderr, "tdx-trace: it is not complete: %s\n", strerror(-err));
}

void tdx_control_forked(void)
{
	/* It was flushed before, so there is nothing to be written twice. */
	tdx_trace_close(watchers.trace);
	watchers.trace = NULL;
	free(watchers.trace_path);
	watchers.trace_path = NULL;
	watchers.tracing = false;
	watch();
}

void tdx_control_reset(void)
{
	tdx_monitor_set(NULL);
	tdx_san_destroy(watchers.sanitizer);
	tdx_trace_close(watchers.trace);
	free(watchers.trace_path);
	free(watchers.vmlinux);
	memset(&watchers, 0, sizeof(watchers));
	stats_reset();
}
