// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a report says, and where the host VMM was.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- The host's stack ---- */

struct stack {
	struct tdx_sanitizer *s;
	unsigned int lp;
};

static bool read_stack(void *ctx, uint64_t va, void *buf, uint32_t len)
{
	const struct stack *stack = ctx;

	return va >> 63 && stack->s->ops.read(stack->s->ops.ctx, stack->lp, va, buf, len);
}

static unsigned int backtrace(struct tdx_sanitizer *s, unsigned int lp, struct frame *frames,
			      unsigned int max)
{
	struct stack stack = { s, lp };
	struct tdx_san_lp state;
	struct frame frame;
	unsigned int nr = 0;

	if (lp == TDX_NO_LP)
		return 0;
	s->ops.lp(s->ops.ctx, lp, &state);
	s->time = state.time;
	frame = (struct frame) { state.rip, state.rsp, state.rbp, true };
	while (nr < max) {
		frames[nr++] = frame;
		if (!symbols_unwind(s->symbols, &frame, read_stack, &stack) || !frame.ip)
			break;
	}
	return nr;
}

/* mm/page_alloc.c; compilers add ".constprop.0" and the like */
static bool is_page_allocator(const char *name)
{
	static const char *const names[] = {
		"__free_pages_prepare", "free_pages_prepare", "__free_frozen_pages",
		"free_frozen_pages", "___free_pages", "__free_pages", "__free_pages_ok",
		"free_one_page", "free_unref_page", "free_unref_folios", "free_contig_range",
		"__free_contig_range", "post_alloc_hook", "prep_new_page",
		"get_page_from_freelist",
	};

	for (unsigned int i = 0; name && i < sizeof(names) / sizeof(*names); i++)
		if (!strncmp(name, names[i], strlen(names[i])) &&
		    (!name[strlen(names[i])] || name[strlen(names[i])] == '.'))
			return true;
	return false;
}

bool frees_pages(struct tdx_sanitizer *s, unsigned int lp)
{
	struct frame frames[5];
	unsigned int nr;

	if (!s->symbols)
		return false;
	nr = backtrace(s, lp, frames, sizeof(frames) / sizeof(*frames));
	for (unsigned int i = 0; i < nr; i++)
		if (is_page_allocator(symbols_function(s->symbols, frames[i].ip,
						       !frames[i].exact)))
			return true;
	return false;
}

/* ---- Words ---- */

static const char *type_name(const struct page *p)
{
	switch (p->type) {
	case TDX_PT_REG:
		return "private page";
	case TDX_PT_TDR:
		return "TDR";
	case TDX_PT_TDCX:
		return "TDCX";
	case TDX_PT_TDVPR:
		return "TDVPR";
	case TDX_PT_EPT:
		return "Secure EPT page";
	default:
		return "page";
	}
}

static bool has_gpa(const struct page *p)
{
	return p->type == TDX_PT_REG || p->type == TDX_PT_EPT;
}

static void name_frame(const struct tdx_sanitizer *s, const struct frame *f, char *buf,
		       size_t len)
{
	char name[160];

	if (symbols_name(s->symbols, f->ip, !f->exact, name, sizeof(name)))
		snprintf(buf, len, "%s", name);
	else
		snprintf(buf, len, "0x%" PRIx64 "%s", f->ip, f->ip >> 63 ? "" : " (user space)");
}

static void name_past(const struct tdx_sanitizer *s, const struct past *h, char *buf,
		      size_t len)
{
	const uint32_t leaf = h->leaf & 0xffff;
	const char *name = h->guest ? tdx_guest_leaf_name(leaf) : tdx_leaf_name(leaf);
	const char *status = tdx_status_name(h->status);
	const char *operand = h->status >> 63 && (uint32_t)h->status ?
			      tdx_operand_name(h->status) : NULL;

	char td[32] = "";

	if (h->tdr)
		snprintf(td, sizeof(td), " of TD 0x%" PRIx64, h->tdr);
	snprintf(buf, len, "%.6f lp %u %s%s: %s%s%s%s",
		 (double)h->time / s->config->native_tsc_hz, h->lp, name ?: "?", td, status ?: "?", operand ? "|" : "", operand ?: "",
		 h->injected ? " (injected)" : "");
}

/* All that is put in quotes here is printable but for these. */
static void put_string(FILE *to, const char *text)
{
	putc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', to);
		putc(*text < ' ' ? ' ' : *text, to);
	}
	putc('"', to);
}

static const struct past *past(const struct page *p, unsigned int i)
{
	return &p->history[(p->nr_history - 1 - i) % HISTORY];
}

static unsigned int nr_past(const struct page *p)
{
	if (!p->history)
		return 0;
	return p->nr_history < HISTORY ? p->nr_history : HISTORY;
}

static char *to_json(struct tdx_sanitizer *s, const struct pending *q,
		     const struct frame *frames, unsigned int nr)
{
	const struct page *p = &q->page;
	char line[256], *json = NULL;
	size_t len;
	FILE *to = open_memstream(&json, &len);

	if (!to)
		return NULL;
	fprintf(to, "{\"rule\":\"%s\",\"text\":", tdx_rule_name(q->rule));
	put_string(to, q->what);
	fprintf(to, ",\"time\":%.6f", (double)s->time / s->config->native_tsc_hz);
	if (q->pa)
		fprintf(to, ",\"pa\":\"0x%" PRIx64 "\"", q->pa);
	if (p->tdr) {
		fprintf(to, ",\"type\":\"%s\",\"tdr\":\"0x%" PRIx64 "\",\"keyid\":%u",
			type_name(p), p->tdr, p->keyid);
		if (has_gpa(p))
			fprintf(to, ",\"gpa\":\"0x%" PRIx64 "\",\"level\":%u", p->gpa, p->level);
	}
	if (s->lp != TDX_NO_LP)
		fprintf(to, ",\"lp\":%u", s->lp);
	if (nr) {
		fprintf(to, ",\"rip\":\"0x%" PRIx64 "\",\"backtrace\":[", frames[0].ip);
		for (unsigned int i = 0; i < nr; i++) {
			name_frame(s, &frames[i], line, sizeof(line));
			if (i)
				putc(',', to);
			put_string(to, line);
		}
		putc(']', to);
	}
	fprintf(to, ",\"history\":[");
	for (unsigned int i = 0; i < nr_past(p); i++) {
		name_past(s, past(p, i), line, sizeof(line));
		if (i)
			putc(',', to);
		put_string(to, line);
	}
	fprintf(to, "]}");
	if (fclose(to)) {
		free(json);
		return NULL;
	}
	return json;
}

static char *to_text(struct tdx_sanitizer *s, const struct pending *q,
		     const struct frame *frames, unsigned int nr)
{
	const struct page *p = &q->page;
	char line[256], *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return NULL;
	fprintf(to, "tdx-sanitizer: %s: %s\n", tdx_rule_name(q->rule), q->what);
	if (q->pa)
		fprintf(to, "  page 0x%" PRIx64, q->pa);
	if (p->tdr)
		fprintf(to, ", %s of TD 0x%" PRIx64 " (keyid %u)", type_name(p), p->tdr, p->keyid);
	if (p->tdr && has_gpa(p))
		fprintf(to, " at GPA 0x%" PRIx64 ", level %u", p->gpa, p->level);
	fprintf(to, "\n");
	if (s->lp != TDX_NO_LP)
		fprintf(to, "  at %.6f s on logical processor %u\n",
			(double)s->time / s->config->native_tsc_hz, s->lp);
	for (unsigned int i = 0; i < nr; i++) {
		name_frame(s, &frames[i], line, sizeof(line));
		fprintf(to, "    %s\n", line);
	}
	if (nr_past(p))
		fprintf(to, "  what was done to the page, newest first:\n");
	for (unsigned int i = 0; i < nr_past(p); i++) {
		name_past(s, past(p, i), line, sizeof(line));
		fprintf(to, "    %s\n", line);
	}
	if (fclose(to)) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- Reporting ---- */

void report(struct tdx_sanitizer *s, enum tdx_rule rule, uint64_t pa, const char *what, ...)
{
	struct page *p = pa ? find_page(s, pa) : NULL;
	struct pending *q;
	va_list ap;

	if (s->mode == TDX_SAN_OFF)
		return;
	if (p && p->told >> rule & 1)
		return;
	if (p)
		p->told |= 1u << rule;
	s->count++;
	if (s->nr_pending == MAX_PENDING)
		return;
	q = &s->pending[s->nr_pending++];
	*q = (struct pending) { .rule = rule, .pa = pa };
	if (p)
		q->page = *p;
	va_start(ap, what);
	vsnprintf(q->what, sizeof(q->what), what, ap);
	va_end(ap);
}

static void keep(struct tdx_sanitizer *s, char *json)
{
	if (s->nr_reports == MAX_REPORTS) {
		/* The first are the cause, the last the consequences. */
		free(json);
		return;
	}
	s->reports[(s->first_report + s->nr_reports++) % MAX_REPORTS] = json;
}

/* A loop over pages is one bug, and its first pages tell it. */
static bool told_enough(struct tdx_sanitizer *s, enum tdx_rule rule,
			const struct frame *frames, unsigned int nr)
{
	const uint64_t rip = nr ? frames[0].ip : 0, caller = nr > 1 ? frames[1].ip : 0;
	unsigned int i = 0;

	while (i < s->nr_origins && (s->origins[i].rule != rule || s->origins[i].rip != rip ||
				     s->origins[i].caller != caller))
		i++;
	if (i == MAX_ORIGINS)
		return false;
	if (i == s->nr_origins) {
		s->origins[s->nr_origins++].nr = 0;
		s->origins[i].rule = rule;
		s->origins[i].rip = rip;
		s->origins[i].caller = caller;
	}
	return s->origins[i].nr++ >= PER_ORIGIN;
}

void send_reports(struct tdx_sanitizer *s)
{
	const unsigned int nr_pending = s->nr_pending;
	struct frame frames[MAX_FRAMES];
	unsigned int nr;

	if (!nr_pending)
		return;
	nr = backtrace(s, s->lp, frames, MAX_FRAMES);
	s->nr_pending = 0;
	for (unsigned int i = 0; i < nr_pending; i++) {
		struct pending *q = &s->pending[i];
		const struct page *p = q->pa ? find_page(s, q->pa) : NULL;
		char *json, *text;

		if (told_enough(s, q->rule, frames, nr))
			continue;
		/* By now the call that made it is in the history. */
		if (p) {
			q->page.history = p->history;
			q->page.nr_history = p->nr_history;
		}
		json = to_json(s, q, frames, nr);
		text = to_text(s, q, frames, nr);
		if (s->ops.report && json && text)
			s->ops.report(s->ops.ctx, json, text);
		free(text);
		if (json)
			keep(s, json);
	}
	if (s->mode == TDX_SAN_FATAL && s->ops.fatal)
		s->ops.fatal(s->ops.ctx);
}

const char *tdx_san_take(struct tdx_sanitizer *s)
{
	free(s->taken);
	s->taken = NULL;
	if (!s->nr_reports) {
		/* Whoever has read all of them looks at something new. */
		s->nr_origins = 0;
		return NULL;
	}
	s->taken = s->reports[s->first_report];
	s->first_report = (s->first_report + 1) % MAX_REPORTS;
	s->nr_reports--;
	return s->taken;
}

uint64_t tdx_san_count(const struct tdx_sanitizer *s)
{
	return s->count;
}
