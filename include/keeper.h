/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KEEPER_H
#define KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * DOC: keeper
 *
 * A command in the care of a process of its own, the keeper, which limits its
 * time and ends everything that it leaves running, whatever process group or
 * session that has moved to: the keeper is the subreaper of them all.  It
 * outlives a SIGKILL of the caller just long enough to do that.
 */
struct keeper;

/**
 * struct kept - what became of a command
 * @started:    0, or the errno of execve(2)
 * @status:     as from waitpid(2); only if @ended
 * @ended:      the command ended; else its keeper was killed, or it could not be
 * @timed_out:  it ran into the limit and was killed
 * @nr_left:    processes that it left running, and that were killed
 * @nr_stuck:   processes that even SIGKILL did not end within seconds
 */
struct kept {
	int started, status;
	bool ended, timed_out;
	unsigned int nr_left, nr_stuck;
};

/**
 * keeper_start() - run a command
 * @out:      receives the keeper; NULL on error
 * @argv:     the command; its stdin is /dev/null
 * @envp:     its environment
 * @output:   becomes its stdout and stderr; borrowed
 * @third:    becomes its descriptor 3; borrowed
 * @limit_ms: after that it is killed, and what is left of it described on @output
 *
 * The command inherits what the caller has open without O_CLOEXEC.  Read what
 * comes on @output and @third meanwhile, lest the command block.
 *
 * Return: 0 or -errno.
 */
int keeper_start(struct keeper **out, char *const argv[], char *const envp[],
		 int output, int third, unsigned int limit_ms);

/**
 * keeper_stop() - end the command early
 * @k:    the keeper
 * @now:  by SIGKILL; else by SIGTERM to all of it, and SIGKILL after 3 s
 *
 * It has ended when keeper_ended() says so.
 */
void keeper_stop(const struct keeper *k, bool now);

/**
 * keeper_ended() - has everything of the command ended?
 * @k:    the keeper, freed if so
 * @kept: receives what became of the command, if so
 *
 * Never blocks; worth asking after each SIGCHLD.
 */
bool keeper_ended(struct keeper *k, struct kept *kept);

/**
 * keeper_sweep() - end what a killed keeper has left
 *
 * Kills all descendants of the caller, which has to be their subreaper and to
 * have no keeper at work.
 *
 * Return: whether any of them is left even so.
 */
bool keeper_sweep(void);

#endif
