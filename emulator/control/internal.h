/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CONTROL_INTERNAL_H
#define CONTROL_INTERNAL_H

#include <stdint.h>
#include <stdio.h>

#include "../bochs/monitor.h"
#include "../sanitizer/tdx_sanitizer.h"
#include "../trace/tdx_trace.h"
#include "tdx_control.h"

/* watch.c: who looks on */
extern struct watchers {
	struct tdx_sanitizer *sanitizer;
	enum tdx_san_mode mode;		/* also before there is a sanitizer */
	char *vmlinux;
	char *trace_path;
	struct tdx_trace *trace;	/* once there is something to write */
	bool tracing;
	bool counting;
} watchers;

/* Start or stop to look on, as @watchers says. */
void watch(void);
void set_sanitizer(enum tdx_san_mode mode);
/* NULL until the host VMM has made its first SEAMCALL. */
struct tdx_sanitizer *the_sanitizer(void);

/* stats.c */
void stats_count(const struct tdx_record *record);
void stats_reset(void);
void stats_print(FILE *to);

#endif
