/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <string>

/**
 * DOC: channel
 *
 * How the emulated machine talks to the world outside: an I/O port device.
 *
 * - 0x5ed0, bytes: a stream to and from the host's socket.  Reading blocks the
 *   whole emulator until there is something to read, so emulated time does not
 *   depend on the host's, and waiting costs nothing.  At the end of the stream
 *   the emulator exits with status 0.
 * - 0x5ed0, 32 bits: write (anything) to hand on what was written so far; read
 *   how many bytes can be read without blocking.  The latter waits 20 ms of host
 *   time for the first one, for interactive use; whoever reads it gives up
 *   determinism.
 * - 0x5ed4, 32 bits: reads 0x45584454, "TDXE"; a write ends the emulator with
 *   the low 7 bits as its exit status.
 * - 0x5ed8, bytes: lines of text to the emulator itself, and its answers.
 *
 * Options, in the bochsrc's line "tdx: key=value, ...":
 *
 * - channel=FD:  socket of the stream; without it there is no device
 * - control=FD:  SOCK_SEQPACKET socket to the supervisor, see below
 * - console=FD:  the file that com1 writes to
 * - hang=N:      exit with status TDX_EXIT_HANG after N emulated seconds without
 *                a byte of the stream; 0, the default, is never
 * - seed=N:      of RDRAND and RDSEED, of injections by chance and of TD UUIDs
 * - quantum=N, schedule_seed=N: instructions of a processor's turn, and if
 *                schedule_seed is not 0 what their random number starts from
 *
 * Messages on the control socket are lines of text.  From the emulator:
 *
 * - "time N": N emulated seconds have passed since power-on
 * - "alive": emulated time has passed, and the emulator has used another second of
 *   processor time for it
 * - "waiting ticks=T instructions=N,...": what it said is complete, T ticks since
 *   power-on, when each processor had executed N instructions
 * - "hang N": nothing came for N emulated seconds; where each processor is
 *   stands in the log, and the emulator is about to exit
 * - "forked PID", "failed SENTENCE": answers to "fork"
 *
 * To it, heard only while it waits for the stream:
 *
 * - "fork key=value ...": go on twice.  With the message come four descriptors:
 *   channel, control, console and log (stderr) of the copy, which is a child of
 *   the caller's process, not of the emulator.  The copy takes the options given,
 *   which may be any that tdx_option() knows as changeable.
 *
 * So a machine is booted once, and each use of it starts from the very same
 * state, a few milliseconds after it is asked for.
 */

#define TDX_EXIT_HANG 7

/* Make the device, if there is a channel; after the other devices. */
void tdx_init_channel(void);

/**
 * tdx_option() - take an option of the line "tdx:", or of a copy
 * @key:     its name
 * @value:   its value
 * @running: the machine runs already, and this is a copy of it
 *
 * Return: NULL, or what is wrong.
 */
const char *tdx_option(const char *key, const char *value, bool running);

/* What other parts of the glue provide. */

/* Take an option, as above; "" if there is no such option. */
const char *tdx_other_option(const char *key, const char *value, bool running);

/* Do what a line on port 0x5ed8 says.  Return the answer, its last line "ok" or "error: ...". */
std::string control_command(const std::string &line);

/* The emulator is about to end or to fork: bring what is buffered to its file. */
void tdx_flush(void);

/* Of the machine's memory, give the host back what is zero: before the first fork. */
void memory_give_back(void);

/* This is the copy: leave the original's files alone.  Its options come next. */
void tdx_forked(void);

#endif
