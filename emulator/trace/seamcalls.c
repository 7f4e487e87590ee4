// SPDX-License-Identifier: GPL-2.0-only
/*
 * seamcalls: print, filter and sum up a trace of SEAMCALLs and TDCALLs.
 *
 * Some leaves name a page by its GPA only.  So the trace is replayed from its
 * start: who owns which page and which GPA maps what, as far as calls that
 * succeeded tell.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tdx_trace.h"

#define EXIT_USAGE	2
#define EXIT_INPUT	3

#define PAGE_MASK	(~0xfffull)

/* ---- A map of pairs to a number ---- */

struct slot {
	uint64_t a, b, value;
	bool used;
};

struct map {
	struct slot *slots;
	size_t size, used;	/* size is a power of two */
};

static struct slot *map_slot(struct map *map, uint64_t a, uint64_t b)
{
	uint64_t hash = (a * 0x9e3779b97f4a7c15ull ^ b) * 0xbf58476d1ce4e5b9ull;

	for (size_t i = hash >> 20;; i++) {
		struct slot *s = &map->slots[i & (map->size - 1)];

		if (!s->used || (s->a == a && s->b == b))
			return s;
	}
}

static void *alloc(size_t nr, size_t size)
{
	void *p = calloc(nr, size);

	if (!p) {
		fprintf(stderr, "seamcalls: no memory\n");
		exit(EXIT_INPUT);
	}
	return p;
}

static void map_set(struct map *map, uint64_t a, uint64_t b, uint64_t value)
{
	struct slot *s;

	if (map->used * 2 >= map->size) {
		const struct map old = *map;

		map->size = old.size ? old.size * 2 : 1024;
		map->slots = alloc(map->size, sizeof(*map->slots));
		for (size_t i = 0; i < old.size; i++)
			if (old.slots[i].used)
				*map_slot(map, old.slots[i].a, old.slots[i].b) = old.slots[i];
		free(old.slots);
	}
	s = map_slot(map, a, b);
	map->used += !s->used;
	*s = (struct slot) { a, b, value, true };
}

/* Return: what was set, or 0. */
static uint64_t map_get(struct map *map, uint64_t a, uint64_t b)
{
	return map->size ? map_slot(map, a, b)->value : 0;
}

/* ---- The replay ---- */

static struct tdx_trace_info info;

struct td {
	struct td *next;
	uint64_t tdr, keyid;
	uint64_t created, freed;
	uint64_t calls, errors, vcpus, entries, exits, tdcalls, tables, added, augmented;
	uint64_t mapped, max_mapped, blocks, tracks;
	bool live;
};

static struct td *tds, **last_td = &tds;
static struct map owner;	/* page: TDR */
static struct map mapped;	/* TDR, GPA | level: page */
static struct map gpas;		/* page: GPA | level, and 8 so that it is not zero */

/* What a record is about; zero where it is about none. */
struct about {
	struct td *td;
	uint64_t tdr, tdvpr, page, gpa;
	bool has_gpa;
};

static struct td *live_td(uint64_t tdr)
{
	for (struct td *td = tds; td; td = td->next)
		if (td->live && td->tdr == tdr)
			return td;
	return NULL;
}

static struct td *new_td(uint64_t tdr)
{
	struct td *td = alloc(1, sizeof(*td));

	td->tdr = tdr;
	td->live = true;
	*last_td = td;
	last_td = &td->next;
	return td;
}

static uint64_t operand(const struct tdx_trace_entry *e, enum tdx_arg_kind kind,
			bool *has)
{
	const struct tdx_arg *arg;

	arg = tdx_leaf_arg(tdx_leaf_args(e->kind == TDX_TRACE_TDCALL, e->rax & 0xffff), kind);
	*has = arg;
	return arg ? e->in.r[arg->reg] : 0;
}

static bool is_leaf(const struct tdx_trace_entry *e, uint32_t leaf)
{
	return e->kind == TDX_TRACE_SEAMCALL && (e->rax & 0xffff) == leaf;
}

static bool ok(uint64_t status)
{
	return !(status >> 63);
}

static struct about find_about(const struct tdx_trace_entry *e)
{
	struct about a = { .tdvpr = e->tdvpr };
	bool has;

	if (e->kind == TDX_TRACE_MARK)
		return a;
	if (e->kind != TDX_TRACE_EXIT) {
		a.tdr = operand(e, TDX_ARG_TDR, &has);
		/* PAGE.WBINVD has the keyid in the upper bits. */
		a.page = operand(e, TDX_ARG_PAGE, &has) & PAGE_MASK &
			 ((1ull << info.pa_bits) - 1);
		a.gpa = operand(e, TDX_ARG_GPA, &a.has_gpa);
	}
	if (e->kind == TDX_TRACE_SEAMCALL)
		a.tdvpr = operand(e, TDX_ARG_TDVPR, &has);
	if (!a.tdr)
		a.tdr = map_get(&owner, a.tdvpr ?: a.page, 0);
	if (a.has_gpa && !a.page)
		a.page = map_get(&mapped, a.tdr, a.gpa);
	if (!a.has_gpa && a.page && map_get(&gpas, a.page, 0)) {
		a.gpa = map_get(&gpas, a.page, 0) & ~8ull;
		a.has_gpa = true;
	}
	a.td = a.tdr ? live_td(a.tdr) : NULL;
	return a;
}

static void own(uint64_t page, uint64_t tdr)
{
	map_set(&owner, page, 0, tdr);
	map_set(&gpas, page, 0, 0);
}

static void count(struct td *td, const struct tdx_trace_entry *e)
{
	if (e->kind == TDX_TRACE_SEAMCALL) {
		td->calls++;
		td->errors += !ok(e->status);
		td->entries += e->entered;
	} else if (e->kind == TDX_TRACE_TDCALL) {
		td->tdcalls++;
	} else {
		td->exits++;
	}
}

static void map_page(struct about *a)
{
	own(a->page, a->tdr);
	map_set(&mapped, a->tdr, a->gpa, a->page);
	map_set(&gpas, a->page, 0, a->gpa | 8);
}

/* What the call changed.  An injected failure changes nothing, as any failure. */
static void replay(const struct tdx_trace_entry *e, struct about *a)
{
	struct td *td;

	if (is_leaf(e, TDH_MNG_CREATE) && ok(e->status)) {
		a->td = new_td(a->tdr);
		a->td->created = e->time;
		a->td->keyid = e->in.r[TDX_RDX];
		own(a->tdr, a->tdr);
	}
	td = a->td;
	if (!td)
		return;
	count(td, e);
	if (e->kind != TDX_TRACE_SEAMCALL || !ok(e->status) || e->entered)
		return;

	switch (e->rax & 0xffff) {
	case TDH_VP_CREATE:
		own(a->tdvpr, a->tdr);
		td->vcpus++;
		break;
	case TDH_MNG_ADDCX:
	case TDH_VP_ADDCX:
		own(a->page, a->tdr);
		break;
	case TDH_MEM_SEPT_ADD:
		map_page(a);
		td->tables++;
		break;
	case TDH_MEM_PAGE_ADD:
	case TDH_MEM_PAGE_AUG:
		map_page(a);
		if ((e->rax & 0xffff) == TDH_MEM_PAGE_ADD)
			td->added++;
		else
			td->augmented++;
		if (++td->mapped > td->max_mapped)
			td->max_mapped = td->mapped;
		break;
	case TDH_MEM_RANGE_BLOCK:
		td->blocks++;
		break;
	case TDH_MEM_TRACK:
		td->tracks++;
		break;
	case TDH_MEM_PAGE_REMOVE:
		/* The page keeps its owner: WBINVD is still to come. */
		td->mapped--;
		map_set(&mapped, a->tdr, a->gpa, 0);
		break;
	case TDH_PHYMEM_PAGE_RECLAIM:
		map_set(&owner, a->page, 0, 0);
		if (a->has_gpa)
			map_set(&mapped, a->tdr, a->gpa, 0);
		if (a->page == td->tdr) {
			td->freed = e->time;
			td->live = false;
		}
		break;
	}
}

/* ---- Options ---- */

enum { OPT_FROM = 256, OPT_TO, OPT_LP, OPT_SUMMARY, OPT_DIGEST, OPT_NO_TIME, OPT_TDS };

static struct {
	const char *file;
	uint32_t leaf;
	bool by_leaf, leaf_of_guest, exits;
	const char *status;
	uint64_t page, td, from, to;
	bool by_page, by_td;
	int lp;
	bool digest, summary, list_tds, no_time;
	double from_s, to_s;
} opt = { .lp = -1, .to_s = -1 };

static const struct argp_option options[] = {
	{ "leaf", 'l', "NAME", 0, "only this leaf, as MEM.PAGE.AUG or TDG.VP.VMCALL; or 'exit'", 0 },
	{ "status", 's', "STATUS", 0,
	  "only this status, as OPERAND_BUSY; or 'ok', 'error', 'busy', 'injected'", 0 },
	{ "page", 'p', "PA", 0, "only what is about this page: its history", 0 },
	{ "td", 't', "TDR", 0, "only this TD", 0 },
	{ "lp", OPT_LP, "N", 0, "only this logical processor", 0 },
	{ "from", OPT_FROM, "SECONDS", 0, "only from here on, in emulated time", 0 },
	{ "to", OPT_TO, "SECONDS", 0, "only up to here", 0 },
	{ "summary", OPT_SUMMARY, NULL, 0, "counts of leaves and statuses instead of calls", 1 },
	{ "tds", OPT_TDS, NULL, 0, "the life of each TD instead of calls", 1 },
	{ "digest", OPT_DIGEST, NULL, 0, "SHA-256 of the calls instead of calls", 1 },
	{ "no-time", OPT_NO_TIME, NULL, 0, "leave time out of lines and digest", 1 },
	{ 0 },
};

static uint64_t number(struct argp_state *state, const char *arg)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(arg, &end, 0);
	if (errno || end == arg || *end)
		argp_error(state, "'%s' is no number", arg);
	return value;
}

static double seconds(struct argp_state *state, const char *arg)
{
	char *end;
	double value = strtod(arg, &end);

	if (end == arg || *end || value < 0)
		argp_error(state, "'%s' is no time in seconds", arg);
	return value;
}

static bool status_known(const char *word)
{
	static const char *const classes[] = { "ok", "error", "busy", "injected" };

	for (unsigned int i = 0; i < sizeof(classes) / sizeof(*classes); i++)
		if (!strcmp(word, classes[i]))
			return true;
	return tdx_status_by_name(word, &(uint64_t) { 0 });
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'l':
		opt.by_leaf = true;
		opt.exits = !strcmp(arg, "exit");
		if (!opt.exits && !tdx_leaf_by_name(arg, &opt.leaf_of_guest, &opt.leaf))
			argp_error(state, "there is no leaf '%s'", arg);
		return 0;
	case 's':
		if (!status_known(arg))
			argp_error(state, "there is no status '%s'", arg);
		opt.status = arg;
		return 0;
	case 'p':
		opt.page = number(state, arg) & PAGE_MASK;
		opt.by_page = true;
		return 0;
	case 't':
		opt.td = number(state, arg);
		opt.by_td = true;
		return 0;
	case OPT_LP:
		opt.lp = number(state, arg);
		return 0;
	case OPT_FROM:
		opt.from_s = seconds(state, arg);
		return 0;
	case OPT_TO:
		opt.to_s = seconds(state, arg);
		return 0;
	case OPT_SUMMARY:
		opt.summary = true;
		return 0;
	case OPT_TDS:
		opt.list_tds = true;
		return 0;
	case OPT_DIGEST:
		opt.digest = true;
		return 0;
	case OPT_NO_TIME:
		opt.no_time = true;
		return 0;
	case ARGP_KEY_ARG:
		if (opt.file)
			argp_error(state, "more than one file");
		opt.file = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "no file");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static bool busy(uint64_t status)
{
	return status >> 32 >= TDX_OPERAND_BUSY >> 32 &&
	       status >> 32 <= TDX_OPERAND_BUSY_HOST_PRIORITY >> 32 &&
	       status >> 32 != TDX_RND_NO_ENTROPY >> 32;
}

static bool status_matches(const struct tdx_trace_entry *e)
{
	uint64_t status = 0;

	if (!strcmp(opt.status, "injected"))
		return e->injected;
	if (!strcmp(opt.status, "ok"))
		return ok(e->status);
	if (!strcmp(opt.status, "error"))
		return !ok(e->status);
	if (!strcmp(opt.status, "busy"))
		return busy(e->status);
	tdx_status_by_name(opt.status, &status);
	return e->status >> 32 == status >> 32;
}

static bool wanted(const struct tdx_trace_entry *e, const struct about *a)
{
	if (e->time < opt.from || e->time > opt.to)
		return false;
	if (e->kind == TDX_TRACE_MARK)
		return !opt.by_leaf && !opt.status && !opt.by_page && !opt.by_td && opt.lp < 0;
	if (opt.lp >= 0 && e->lp != (unsigned int)opt.lp)
		return false;
	if (opt.by_td && a->tdr != opt.td)
		return false;
	if (opt.by_page && a->page != opt.page && a->tdr != opt.page && a->tdvpr != opt.page)
		return false;
	if (opt.by_leaf && opt.exits != (e->kind == TDX_TRACE_EXIT))
		return false;
	if (opt.by_leaf && !opt.exits && ((e->rax & 0xffff) != opt.leaf ||
					  opt.leaf_of_guest != (e->kind == TDX_TRACE_TDCALL)))
		return false;
	return !opt.status || status_matches(e);
}

/* ---- Output ---- */

static const char *call_name(const struct tdx_trace_entry *e)
{
	static char unknown[32];
	const uint32_t leaf = e->rax & 0xffff;
	const char *name;

	if (e->kind == TDX_TRACE_EXIT)
		return "TD exit";
	name = e->kind == TDX_TRACE_TDCALL ? tdx_guest_leaf_name(leaf) : tdx_leaf_name(leaf);
	if (name)
		return name;
	snprintf(unknown, sizeof(unknown), "%s leaf %u",
		 e->kind == TDX_TRACE_TDCALL ? "TDCALL" : "SEAMCALL", leaf);
	return unknown;
}

static void status_text(uint64_t status, char *buf, size_t len)
{
	const char *name = tdx_status_name(status);
	const char *op = (uint32_t)status ? tdx_operand_name(status) : NULL;

	if (!name)
		snprintf(buf, len, "%#" PRIx64, status);
	else if (!(uint32_t)status)
		snprintf(buf, len, "%s", name + 4);
	else if (op && status >> 63)
		snprintf(buf, len, "%s|%s", name + 4, op);
	else
		snprintf(buf, len, "%s|%" PRIu32, name + 4, (uint32_t)status);
}

static void print_args(const struct tdx_arg *args, const struct tdx_regs *regs)
{
	for (unsigned int i = 0; i < TDX_MAX_ARGS && args[i].name; i++) {
		const uint64_t value = regs->r[args[i].reg];

		if (args[i].kind == TDX_ARG_GPA)
			printf(" gpa=%#" PRIx64 "/%u", (uint64_t)(value & PAGE_MASK),
			       (unsigned int)(value & 7));
		else
			printf(" %s=%#" PRIx64, args[i].name, value);
	}
}

static void print_call(const struct tdx_trace_entry *e, const struct about *a)
{
	const struct tdx_leaf_args *args;
	char status[80];

	if (!opt.no_time)
		printf("%11.6f ", (double)e->time / info.hz);
	if (e->kind == TDX_TRACE_MARK) {
		printf("-- %s\n", e->text);
		return;
	}
	args = e->kind == TDX_TRACE_EXIT ? tdx_exit_args() :
	       tdx_leaf_args(e->kind == TDX_TRACE_TDCALL, e->rax & 0xffff);
	printf("lp%-2u %-22s", e->lp, call_name(e));
	if (e->rax >> 16)
		printf(" v%" PRIu64, e->rax >> 16 & 0xff);
	if (e->kind != TDX_TRACE_SEAMCALL)
		printf(" tdvpr=%#" PRIx64, e->tdvpr);
	print_args(args->in, &e->in);
	if (e->entered) {
		printf(" -> enters\n");
		return;
	}
	status_text(e->status, status, sizeof(status));
	printf(" -> %s%s", status, e->injected ? " (injected)" : "");
	if (e->out_mask)
		print_args(args->out, &e->out);
	/* What the call does not say itself. */
	if (e->kind == TDX_TRACE_SEAMCALL && a->page && !tdx_leaf_arg(args, TDX_ARG_PAGE))
		printf(" [page %#" PRIx64 "]", a->page);
	else if (e->kind == TDX_TRACE_SEAMCALL && a->has_gpa &&
		 !tdx_leaf_arg(args, TDX_ARG_GPA))
		printf(" [gpa %#" PRIx64 "/%u of TD %#" PRIx64 "]", (uint64_t)(a->gpa & PAGE_MASK),
		       (unsigned int)(a->gpa & 7), a->tdr);
	printf("\n");
}

static void digest_call(struct sha256_ctx *sha, const struct tdx_trace_entry *e)
{
	uint64_t words[9 + 2 * TDX_NR_REGS] = {
		e->kind | e->entered << 8 | e->injected << 9, e->lp,
		opt.no_time ? 0 : e->time, e->tdvpr, e->rax, e->status, e->in_mask, e->out_mask,
	};
	uint8_t bytes[sizeof(words)];

	memcpy(words + 9, e->in.r, sizeof(e->in.r));
	memcpy(words + 9 + TDX_NR_REGS, e->out.r, sizeof(e->out.r));
	/* The same on every host. */
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = words[i / 8] >> i % 8 * 8;
	sha256_update(sha, sizeof(bytes), bytes);
	sha256_update(sha, strlen(e->text), (const uint8_t *)e->text);
}

struct sum {
	struct sum *next;
	char name[40], status[80];
	uint64_t nr, injected;
};

static struct sum *sums;

/* Sorted by name, then by status. */
static void add_to_sum(const struct tdx_trace_entry *e)
{
	struct sum **link = &sums, *s;
	char name[sizeof(s->name)], status[sizeof(s->status)] = "(entered)";
	int order = 1;

	if (e->kind == TDX_TRACE_MARK)
		return;
	snprintf(name, sizeof(name), "%s", call_name(e));
	if (e->kind == TDX_TRACE_EXIT || (e->kind == TDX_TRACE_TDCALL && e->rax == TDG_VP_VMCALL))
		status_text(e->status & ~0xffffffffull, status, sizeof(status));
	else if (!e->entered)
		status_text(e->status, status, sizeof(status));
	for (; *link; link = &(*link)->next) {
		order = strcmp(name, (*link)->name);
		if (!order)
			order = strcmp(status, (*link)->status);
		if (order <= 0)
			break;
	}
	if (!*link || order) {
		s = alloc(1, sizeof(*s));
		memcpy(s->name, name, sizeof(name));
		memcpy(s->status, status, sizeof(status));
		s->next = *link;
		*link = s;
	}
	(*link)->nr++;
	(*link)->injected += e->injected;
}

static void print_sums(uint64_t calls, uint64_t first, uint64_t last)
{
	const char *name = "";
	struct sum *next;

	for (struct sum *s = sums; s; s = next) {
		next = s->next;
		printf("%-24s %10" PRIu64 "  %s", strcmp(s->name, name) ? s->name : "", s->nr,
		       s->status);
		if (s->injected)
			printf(" (%" PRIu64 " injected)", s->injected);
		printf("\n");
		name = s->name;
	}
	printf("%" PRIu64 " records in %.6f s of emulated time\n", calls,
	       (double)(last - first) / info.hz);
	for (struct sum *s = sums; s; s = next) {
		next = s->next;
		free(s);
	}
}

static void print_tds(void)
{
	for (const struct td *td = tds; td; td = td->next) {
		if (opt.by_td && td->tdr != opt.td)
			continue;
		printf("TD %#" PRIx64 " keyid %" PRIu64 ": %.6f s to ", td->tdr, td->keyid,
		       (double)td->created / info.hz);
		if (td->live)
			printf("the end of the trace");
		else
			printf("%.6f s", (double)td->freed / info.hz);
		printf("; %" PRIu64 " SEAMCALLs, %" PRIu64 " errors; %" PRIu64 " vCPUs, %" PRIu64
		       " entries, %" PRIu64 " TDCALLs; %" PRIu64 " tables; pages: %" PRIu64
		       " added, %" PRIu64 " augmented, %" PRIu64 " at most, %" PRIu64
		       " left; %" PRIu64 " BLOCK, %" PRIu64 " TRACK\n",
		       td->calls, td->errors, td->vcpus, td->entries, td->tdcalls, td->tables,
		       td->added, td->augmented, td->max_mapped, td->mapped, td->blocks, td->tracks);
	}
}

static void free_all(void)
{
	struct td *next;

	for (struct td *td = tds; td; td = next) {
		next = td->next;
		free(td);
	}
	free(owner.slots);
	free(mapped.slots);
	free(gpas.slots);
}

static int run(struct tdx_trace_reader *reader)
{
	uint64_t nr = 0, first = 0, last = 0;
	struct tdx_trace_entry e;
	struct sha256_ctx sha;
	uint8_t hash[SHA256_DIGEST_SIZE];
	int ret;

	sha256_init(&sha);
	while ((ret = tdx_trace_read(reader, &e)) == 1) {
		struct about a = find_about(&e);

		replay(&e, &a);
		if (!wanted(&e, &a))
			continue;
		if (!nr++)
			first = e.time;
		last = e.time;
		if (opt.digest)
			digest_call(&sha, &e);
		else if (opt.summary)
			add_to_sum(&e);
		else if (!opt.list_tds)
			print_call(&e, &a);
	}
	if (opt.digest) {
		sha256_digest(&sha, sizeof(hash), hash);
		for (unsigned int i = 0; i < sizeof(hash); i++)
			printf("%02x", hash[i]);
		printf("  %" PRIu64 " records\n", nr);
	}
	if (opt.summary)
		print_sums(nr, first, last);
	if (opt.list_tds)
		print_tds();
	return ret;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		options, parse, "FILE",
		"Print, filter and sum up a trace of SEAMCALLs and TDCALLs.\v"
		"Exit codes: 0 all was read, 1 the file ends within a record or is damaged "
		"(what came before is shown), 2 usage, 3 it cannot be read.", NULL, NULL, NULL,
	};
	struct tdx_trace_reader *reader;
	int ret;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	ret = tdx_trace_read_open(&reader, opt.file, &info);
	if (ret || !info.hz || info.pa_bits > 52) {
		tdx_trace_read_close(reader);
		fprintf(stderr, "seamcalls: %s: %s\n", opt.file,
			ret == -EBADMSG || !ret ? "this is no trace of SEAMCALLs" :
			ret == -EPROTONOSUPPORT ? "a trace of another version; use the tool of that one" :
			strerror(-ret));
		return EXIT_INPUT;
	}
	opt.from = opt.from_s * info.hz;
	opt.to = opt.to_s < 0 ? UINT64_MAX : opt.to_s * info.hz;
	ret = run(reader);
	tdx_trace_read_close(reader);
	free_all();
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "seamcalls: cannot write: %s\n", strerror(errno));
		return EXIT_INPUT;
	}
	if (ret)
		fprintf(stderr, "seamcalls: %s: %s\n", opt.file, ret == -ENODATA ?
			"ends within a record; its writer was stopped" : "damaged record");
	return ret ? 1 : 0;
}
