// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writer and reader of the trace file; tdx_trace.h has the format.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tdx_trace.h"

#define MAGIC		"TDXTRACE"
#define ORDER		0x01020304u
#define HEADER_BYTES	64
#define BUFFER_BYTES	65536
#define NUMBER_MAX	10	/* bytes */
/* Kind, six numbers and all registers, twice; or a mark. */
#define RECORD_MAX	(1 + (6 + 2 * TDX_NR_REGS) * NUMBER_MAX)

#define KIND		0x3f
#define ENTERED		0x40
#define INJECTED	0x80

struct tdx_trace {
	int fd, err;
	uint64_t time;
	size_t used;
	uint8_t buf[BUFFER_BYTES];
};

struct tdx_trace_reader {
	FILE *file;
	uint64_t time;
};

/* ---- Writing ---- */

static uint8_t *put(uint8_t *at, uint64_t value)
{
	for (; value >> 7; value >>= 7)
		*at++ = value | 0x80;
	*at++ = value;
	return at;
}

static uint64_t zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (value < 0 ? ~0ull : 0);
}

static void put_le(uint8_t *at, uint64_t value, unsigned int bytes)
{
	while (bytes--) {
		*at++ = value;
		value >>= 8;
	}
}

static uint64_t get_le(const uint8_t *at, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | at[bytes];
	return value;
}

int tdx_trace_open(struct tdx_trace **out, const char *path,
		   const struct tdx_trace_info *info)
{
	struct tdx_trace *t;
	int err;

	*out = NULL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (t->fd < 0) {
		err = -errno;
		free(t);
		return err;
	}
	memcpy(t->buf, MAGIC, 8);
	put_le(t->buf + 8, TDX_TRACE_VERSION, 4);
	put_le(t->buf + 12, ORDER, 4);
	put_le(t->buf + 16, info->hz, 8);
	put_le(t->buf + 24, info->seed, 8);
	put_le(t->buf + 32, info->nr_lps, 4);
	put_le(t->buf + 36, info->pa_bits, 4);
	t->used = HEADER_BYTES;
	*out = t;
	return 0;
}

int tdx_trace_flush(struct tdx_trace *t)
{
	size_t done = 0;
	ssize_t n;

	while (!t->err && done < t->used) {
		n = write(t->fd, t->buf + done, t->used - done);
		if (n >= 0)
			done += n;
		else if (errno != EINTR)
			t->err = -errno;
	}
	t->used = 0;
	return t->err;
}

int tdx_trace_close(struct tdx_trace *t)
{
	int err;

	if (!t)
		return 0;
	err = tdx_trace_flush(t);
	if (close(t->fd) && !err)
		err = -errno;
	free(t);
	return err;
}

static void emit(struct tdx_trace *t, const uint8_t *body, size_t len)
{
	uint8_t *end;

	if (t->used + NUMBER_MAX + len > sizeof(t->buf))
		tdx_trace_flush(t);
	end = put(t->buf + t->used, len);
	memcpy(end, body, len);
	t->used = end + len - t->buf;
}

static uint8_t *put_head(struct tdx_trace *t, uint8_t *at, unsigned int kind,
			 uint64_t time, unsigned int lp)
{
	*at++ = kind;
	at = put(at, zigzag(time - t->time));
	t->time = time;
	return put(at, lp);
}

static uint8_t *put_regs(uint8_t *at, const struct tdx_arg *args,
			 const struct tdx_regs *regs)
{
	uint32_t mask = 0;

	for (unsigned int i = 0; i < TDX_MAX_ARGS && args[i].name; i++)
		if (regs->r[args[i].reg])
			mask |= 1u << args[i].reg;
	at = put(at, mask);
	for (unsigned int i = 0; i < TDX_NR_REGS; i++)
		if (mask >> i & 1)
			at = put(at, regs->r[i]);
	return at;
}

void tdx_trace_call(struct tdx_trace *t, const struct tdx_record *record)
{
	const struct tdx_leaf_args *args;
	uint8_t body[RECORD_MAX], *at = body;

	args = tdx_leaf_args(record->guest, record->in.r[TDX_RAX] & 0xffff);
	at = put_head(t, at, (record->guest ? TDX_TRACE_TDCALL : TDX_TRACE_SEAMCALL) |
		      (record->entered ? ENTERED : 0) | (record->injected ? INJECTED : 0),
		      record->time, record->lp);
	at = put(at, record->vcpu >> 12);
	at = put(at, record->in.r[TDX_RAX]);
	if (!record->entered)
		at = put(at, record->out.r[TDX_RAX]);
	at = put_regs(at, args->in, &record->in);
	if (record->entered)
		at = put(at, 0);
	else
		at = put_regs(at, args->out, &record->out);
	emit(t, body, at - body);
}

void tdx_trace_exit(struct tdx_trace *t, unsigned int lp, uint64_t time,
		    uint64_t tdvpr, const struct tdx_regs *host)
{
	uint8_t body[RECORD_MAX], *at = body;

	at = put_head(t, at, TDX_TRACE_EXIT, time, lp);
	at = put(at, tdvpr >> 12);
	at = put(at, host->r[TDX_RAX]);
	at = put(at, 0);
	at = put_regs(at, tdx_exit_args()->out, host);
	emit(t, body, at - body);
}

void tdx_trace_mark(struct tdx_trace *t, const char *text)
{
	uint8_t body[RECORD_MAX], *at = body;
	const size_t len = strnlen(text, TDX_TRACE_MARK_MAX);

	at = put_head(t, at, TDX_TRACE_MARK, t->time, 0);
	memcpy(at, text, len);
	emit(t, body, at + len - body);
}

/* ---- Reading ---- */

int tdx_trace_read_open(struct tdx_trace_reader **out, const char *path,
			struct tdx_trace_info *info)
{
	struct tdx_trace_reader *r;
	uint8_t head[HEADER_BYTES];
	int err = 0;

	*out = NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->file = fopen(path, "re");
	if (!r->file)
		err = -errno;
	else if (fread(head, 1, sizeof(head), r->file) != sizeof(head))
		err = ferror(r->file) ? -errno : -EBADMSG;
	else if (memcmp(head, MAGIC, 8))
		err = -EBADMSG;
	else if (get_le(head + 8, 4) != TDX_TRACE_VERSION || get_le(head + 12, 4) != ORDER)
		err = -EPROTONOSUPPORT;
	if (err) {
		tdx_trace_read_close(r);
		return err;
	}
	info->hz = get_le(head + 16, 8);
	info->seed = get_le(head + 24, 8);
	info->nr_lps = get_le(head + 32, 4);
	info->pa_bits = get_le(head + 36, 4);
	*out = r;
	return 0;
}

void tdx_trace_read_close(struct tdx_trace_reader *r)
{
	if (!r)
		return;
	if (r->file)
		fclose(r->file);
	free(r);
}

/* A record that is being taken apart; @at is NULL once it was found bad. */
struct cursor {
	const uint8_t *at, *end;
};

static uint64_t take(struct cursor *c)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; c->at && shift < 64; shift += 7) {
		if (c->at == c->end)
			break;
		value |= (uint64_t)(*c->at & 0x7f) << shift;
		if (!(*c->at++ & 0x80))
			return value;
	}
	c->at = NULL;
	return 0;
}

static uint32_t take_regs(struct cursor *c, struct tdx_regs *regs)
{
	const uint64_t mask = take(c);

	if (mask >> TDX_NR_REGS)
		c->at = NULL;
	for (unsigned int i = 0; c->at && i < TDX_NR_REGS; i++)
		if (mask >> i & 1)
			regs->r[i] = take(c);
	return mask;
}

static bool take_record(struct tdx_trace_reader *r, struct cursor *c,
			struct tdx_trace_entry *e)
{
	const uint8_t tag = *c->at++;
	uint64_t delta;

	memset(e, 0, sizeof(*e));
	e->kind = tag & KIND;
	e->entered = tag & ENTERED;
	e->injected = tag & INJECTED;
	delta = take(c);
	e->lp = take(c);
	if (!c->at)
		return false;
	r->time += delta >> 1 ^ (delta & 1 ? ~0ull : 0);
	e->time = r->time;

	switch (e->kind) {
	case TDX_TRACE_MARK:
		if (c->end - c->at > TDX_TRACE_MARK_MAX)
			return false;
		memcpy(e->text, c->at, c->end - c->at);
		return true;
	case TDX_TRACE_SEAMCALL:
	case TDX_TRACE_TDCALL:
	case TDX_TRACE_EXIT:
		e->tdvpr = take(c) << 12;
		if (e->kind != TDX_TRACE_EXIT)
			e->rax = take(c);
		if (!e->entered)
			e->status = take(c);
		e->in_mask = take_regs(c, &e->in);
		e->out_mask = take_regs(c, &e->out);
		return c->at == c->end;
	default:
		return false;
	}
}

int tdx_trace_read(struct tdx_trace_reader *r, struct tdx_trace_entry *entry)
{
	uint8_t body[RECORD_MAX];
	struct cursor c = { body, body };
	int byte = getc(r->file);
	size_t len = 0;

	if (byte == EOF)
		return ferror(r->file) ? -EIO : 0;
	for (unsigned int shift = 0;; shift += 7) {
		if (byte == EOF)
			return -ENODATA;
		len |= (size_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
		if (shift > 14)
			return -EBADMSG;
		byte = getc(r->file);
	}
	if (!len || len > sizeof(body))
		return -EBADMSG;
	if (fread(body, 1, len, r->file) != len)
		return -ENODATA;
	c.end = body + len;
	return take_record(r, &c, entry) ? 1 : -EBADMSG;
}
