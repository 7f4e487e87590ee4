/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TDX_TRACE_H
#define TDX_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../tdx_module/tdx_module.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * DOC: tdx_trace
 *
 * A file of all SEAMCALLs, TDCALLs and TD exits of a run, in the order in which
 * they ended: writer, reader, and what each leaf's registers mean.  About 25 bytes
 * per call.
 *
 * Numbers are little-endian.  The header has 64 bytes:
 *
 *	0	"TDXTRACE"
 *	8	u32	version of the format, TDX_TRACE_VERSION
 *	12	u32	0x01020304
 *	16	u64	ticks per second of all times
 *	24	u64	seed of the run
 *	32	u32	logical processors
 *	36	u32	bits of an address below the keyid
 *	40		zero
 *
 * Records follow until the end of the file.  A "number" is unsigned LEB128: seven
 * bits per byte, low ones first, bit 7 set in all but the last byte.
 *
 *	number	bytes that follow in this record
 *	u8	kind (enum tdx_trace_kind), bit 6: entered, bit 7: injected
 *	number	time since the last record, zigzag: 2t, or -2t-1 if negative
 *	number	logical processor
 *
 * then, but for a mark:
 *
 *	number	TDVPR / 4096; 0 for a SEAMCALL
 *	number	RAX before: the leaf with its version; not for an exit
 *	number	RAX after: the status; not if VP.ENTER entered
 *	number	which registers follow as inputs, a bit each (TDX_RCX, ...); each is
 *		an argument of the leaf and not zero
 *	number	each of them, from the lowest bit on
 *	number	which follow as outputs, and each of them
 *
 * and for a mark its text, to the end of the record.
 *
 * A file may end within a record, as its writer may be killed; what was read up
 * to there is good.
 */

#define TDX_TRACE_VERSION	1
#define TDX_TRACE_MARK_MAX	255

enum tdx_trace_kind {
	TDX_TRACE_SEAMCALL = 1, TDX_TRACE_TDCALL, TDX_TRACE_EXIT, TDX_TRACE_MARK,
};

/* The header. */
struct tdx_trace_info {
	uint64_t hz, seed;
	unsigned int nr_lps, pa_bits;
};

/* ---- Writing ---- */

struct tdx_trace;

/**
 * tdx_trace_open() - start a file
 * @out:  receives the trace; NULL on error
 * @path: created or overwritten
 * @info: the header
 *
 * Return: 0 or -errno.
 */
int tdx_trace_open(struct tdx_trace **out, const char *path,
		   const struct tdx_trace_info *info);

/* An error to write is kept for tdx_trace_close(); nothing more is written then. */
void tdx_trace_call(struct tdx_trace *t, const struct tdx_record *record);
void tdx_trace_exit(struct tdx_trace *t, unsigned int lp, uint64_t time,
		    uint64_t tdvpr, const struct tdx_regs *host);
/* At the time of the last record, since the caller may be no LP. */
void tdx_trace_mark(struct tdx_trace *t, const char *text);

/* Return: 0, or -errno of the first write that failed. */
int tdx_trace_flush(struct tdx_trace *t);
int tdx_trace_close(struct tdx_trace *t);	/* NULL is fine */

/* ---- Reading ---- */

/**
 * struct tdx_trace_entry - a record
 * @kind:    what
 * @entered, @injected: as in struct tdx_record
 * @lp, @time: where and when
 * @tdvpr:   the vCPU of a TDCALL or an exit
 * @rax:     before
 * @status:  RAX after
 * @in_mask, @out_mask: which of @in and @out are told; the others are zero
 * @text:    of a mark
 */
struct tdx_trace_entry {
	enum tdx_trace_kind kind;
	bool entered, injected;
	unsigned int lp;
	uint64_t time, tdvpr, rax, status;
	uint32_t in_mask, out_mask;
	struct tdx_regs in, out;
	char text[TDX_TRACE_MARK_MAX + 1];
};

struct tdx_trace_reader;

/**
 * tdx_trace_read_open() - start to read a file
 * @out:  receives the reader; NULL on error
 * @path: the file
 * @info: receives the header
 *
 * Return: 0; -EBADMSG if this is no trace; -EPROTONOSUPPORT if its version or
 * byte order is another; or -errno.
 */
int tdx_trace_read_open(struct tdx_trace_reader **out, const char *path,
			struct tdx_trace_info *info);
void tdx_trace_read_close(struct tdx_trace_reader *r);	/* NULL is fine */

/**
 * tdx_trace_read() - the next record
 *
 * Return: 1; 0 at the end; -ENODATA if the file ends within a record; -EBADMSG if
 * this is no record.
 */
int tdx_trace_read(struct tdx_trace_reader *r, struct tdx_trace_entry *entry);

/* ---- What registers mean ---- */

enum tdx_arg_kind {
	TDX_ARG_VALUE,
	TDX_ARG_PAGE,		/* a page that a TD owns, or shall own */
	TDX_ARG_TDR,
	TDX_ARG_TDVPR,
	TDX_ARG_GPA,		/* with the level in bits 2:0 */
};

struct tdx_arg {
	unsigned char reg;
	unsigned char kind;	/* enum tdx_arg_kind */
	const char *name;
};

#define TDX_MAX_ARGS	8

/**
 * struct tdx_leaf_args - arguments and results of a leaf
 * @in, @out: up to the first without a name
 */
struct tdx_leaf_args {
	struct tdx_arg in[TDX_MAX_ARGS], out[TDX_MAX_ARGS];
};

/* Never NULL: a leaf that is not known has no arguments. */
const struct tdx_leaf_args *tdx_leaf_args(bool guest, uint32_t leaf);
/* Of a TD exit: what VP.ENTER returns. */
const struct tdx_leaf_args *tdx_exit_args(void);

/* The operand of that kind among the inputs, or NULL. */
const struct tdx_arg *tdx_leaf_arg(const struct tdx_leaf_args *args,
				   enum tdx_arg_kind kind);

#ifdef __cplusplus
}
#endif
#endif
