// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bpf_complaint.h"

static char complaint[256];
static libbpf_print_fn_t print;		/* before it was caught */

static int keep(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level == LIBBPF_WARN && !complaint[0]) {
		vsnprintf(complaint, sizeof(complaint), fmt, ap);
		complaint[strcspn(complaint, "\n")] = 0;
	}
	return 0;
}

void bpf_complaint_catch(void)
{
	complaint[0] = 0;
	print = libbpf_set_print(keep);
}

void bpf_complaint_release(void)
{
	libbpf_set_print(print);
}

const char *bpf_complaint(void)
{
	return complaint[0] ? complaint : "no details";
}
