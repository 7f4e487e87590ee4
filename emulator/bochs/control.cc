// SPDX-License-Identifier: GPL-2.0-only
/*
 * Between the device that leads out of the machine and those who look on.
 */
#include <stdlib.h>

#include "channel.h"
#include "../control/tdx_control.h"

std::string control_command(const std::string &line)
{
	char *answer = tdx_control_command(line.c_str());
	std::string text(answer ? answer : "error: out of memory\n");

	free(answer);
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
