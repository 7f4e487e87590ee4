/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <linux/types.h>

/**
 * DOC: protocol
 *
 * What the supervisor on the host and the agent in the machine say to each other:
 * frames of a type, a length and that many bytes.  Both are x86, so everything is
 * in its byte order.
 *
 * The agent says FRAME_HELLO once and then listens.  After FRAME_RUN it talks
 * until FRAME_EXIT, and listens to nothing but, if the command has a terminal,
 * FRAME_INPUT and FRAME_SIZE: reading stops the machine.
 */
struct frame {
	__u32 type, len;
};

#define FRAME_MAX	65536		/* bytes of data that a sender puts into one */
#define PROTOCOL	1		/* changes with what is below */

enum {
	/* To the agent. */
	FRAME_RUN = 0x100,	/* struct frame_run, strings */
	FRAME_PUT,		/* u32 mode, path, NUL, contents */
	FRAME_INPUT,		/* of the terminal; none hangs it up */
	FRAME_SIZE,		/* of the terminal: u32 rows, columns */
	FRAME_POWEROFF,

	/* From the agent. */
	FRAME_HELLO = 0x200,	/* u32 PROTOCOL, release of the kernel */
	FRAME_OUTPUT,		/* of the command's descriptor 1 */
	FRAME_ERRORS,		/* 2 */
	FRAME_VERDICT,		/* 3 */
	FRAME_FILE,		/* u64 offset, name, NUL, contents: of its results */
	FRAME_BEAT,		/* one more second has passed */
	FRAME_EXIT,		/* struct frame_exit */
};

enum {
	RUN_MERGED = 1,		/* descriptors 1 and 2 are one, to keep their order */
	RUN_TERMINAL = 2,	/* descriptors 0 to 2 are a terminal */
	RUN_RESULTS = 4,	/* its folder of results is wanted */
};

/* Followed by the folder, the arguments and the environment, each with its NUL. */
struct frame_run {
	__u32 flags, seconds;	/* limit; 0: none */
	__u32 nr_args, nr_env;
};

struct frame_exit {
	__s32 started;		/* errno of execve(2) */
	__s32 status;		/* as from waitpid(2) */
	__u32 timed_out;
	__u32 nr_left;		/* processes that it left running, and that were killed */
	__u32 nr_stuck;		/* and that SIGKILL did not end */
};

/* Where a command finds its folder of results, in $SEPT_RESULTS. */
#define GUEST_RESULTS	"/run/results"

#endif
