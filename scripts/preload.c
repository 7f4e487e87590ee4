// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loads the refcount probe once for all cases of an emulated machine, which takes
 * seconds there, and hands it to its parent: emulator/machine/agent.c gives it to
 * every command.  What stands in the way each case will tell itself.
 *
 * On the socket that is descriptor 3 it sends "FD,... NAME=VALUE" with as many
 * descriptors: which numbers they are to have, and the variable that tells of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "folio.h"
#include "folio_bpf.h"

#define MAX_FDS	8

int main(void)
{
	char text[200], *at;
	union {
		char space[CMSG_SPACE(MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} ancillary = {};
	struct iovec iov = { .iov_base = text };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ancillary,
	};
	const char *why = folio_why_not(), *value;
	int fds[MAX_FDS], nr = 0;
	struct cmsghdr *c;

	if (why || folio_bpf_share()) {
		fprintf(stderr, "preload: no refcount probe to share%s%s\n", why ? ": " : "", why ?: "");
		return 1;
	}
	value = getenv(FOLIO_BPF_SHARED);
	iov.iov_len = snprintf(text, sizeof(text), "%s %s=%s", value, FOLIO_BPF_SHARED, value);
	for (at = text; nr < MAX_FDS; at++) {
		fds[nr++] = strtol(at, &at, 10);
		if (*at != ',')
			break;
	}
	msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nr * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nr * sizeof(int));
	if (sendmsg(3, &msg, 0) < 0) {
		perror("preload");
		return 1;
	}
	return 0;
}
