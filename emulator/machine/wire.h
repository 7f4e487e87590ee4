/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * DOC: wire
 *
 * Messages between the supervisor, its clients and the emulator: lines of text on
 * SOCK_SEQPACKET sockets, some with descriptors.  What the emulator says and
 * hears is in emulator/bochs/channel.h.  A client says one of
 *
 * - "fork key=value ...", with four descriptors: a machine of its own.  The
 *   answers are "machine PID" (and " debugged", if gdb may stop it), and "ended
 *   STATUS" (as from waitpid(2)) when it has ended; it ends when the client's
 *   connection does.
 * - "status": the answer is a line of "key=value ..."
 * - "stop": everything ends, then the connection
 *
 * and hears "failed SENTENCE" if that cannot be.
 */

#define NR_PASSED	4
#define MESSAGE_MAX	4096

/* 0 or -errno.  @fds has NR_PASSED descriptors, or is NULL. */
int wire_send(int to, const char *text, const int *fds);

/*
 * The length of the message that is in @text then, with a NUL behind it; 0 at the
 * end of the connection, or -errno.  @fds receives descriptors, or -1.
 */
ssize_t wire_receive(int from, char text[MESSAGE_MAX], int fds[NR_PASSED]);

/* A socket in the machine's folder, for the supervisor or to it; or -errno. */
int wire_listen(const char *dir);
int wire_connect(const char *dir);

#endif
