// SPDX-License-Identifier: GPL-2.0-only
/*
 * Between the device that leads out of the machine and those who look on.
 */
#include <stdlib.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "channel.h"
#include "../control/tdx_control.h"

std::string control_command(const std::string &line)
{
	char *answer = tdx_control_command(line.c_str());
	std::string text(answer ? answer : "error: out of memory\n");

	free(answer);
#ifdef __SANITIZE_ADDRESS__
	/* The end of a case; a copy of the machine is killed rather than that it ends. */
	if (line == "sanitizer idle")
		__lsan_do_recoverable_leak_check();
#endif
	return text;
}

void tdx_flush(void)
{
	tdx_control_flush();
}

void tdx_forked(void)
{
	tdx_control_forked();
}
