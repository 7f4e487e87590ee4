// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MAX_WORDS	8
#define MAX_LOCKS	64

/* A command in progress; what it says goes to @to. */
struct command {
	FILE *to;
	int nr;
	char *words[MAX_WORDS];
	char *rest;		/* behind the second word, as it was written */
	bool more;		/* words than @words has room for */
};

/* Taken locks, so that they can be dropped. */
struct taken {
	enum tdx_lock lock;
	uint64_t pa, gpa;
	bool exclusive;
};

static struct taken taken[MAX_LOCKS];
static unsigned int nr_taken;

static void __attribute__((format(printf, 2, 3)))
refuse(struct command *c, const char *fmt, ...)
{
	va_list ap;

	fprintf(c->to, "error: ");
	va_start(ap, fmt);
	vfprintf(c->to, fmt, ap);
	va_end(ap);
	fprintf(c->to, "\n");
}

static void done(struct command *c)
{
	fprintf(c->to, "ok\n");
}

static bool is(const struct command *c, int i, const char *word)
{
	return i < c->nr && !strcmp(c->words[i], word);
}

static bool parse_number(const char *word, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(word, &end, 0);
	return *word >= '0' && *word <= '9' && !*end && !errno;
}

static struct tdx_module *module(struct command *c)
{
	struct tdx_module *m = tdx_monitor_module();

	if (!m)
		refuse(c, "the host has not called the TDX module yet");
	return m;
}

/* ---- inject ---- */

/* "OPERAND_BUSY|SEPT_TREE", "TDX_RND_NO_ENTROPY", a number */
static bool parse_status(char *word, uint64_t *status)
{
	char *bar = strchr(word, '|');
	uint32_t operand = 0;
	bool known;

	if (bar) {
		*bar = '\0';
		if (!tdx_operand_by_name(bar + 1, &operand))
			return false;
	}
	known = tdx_status_by_name(word, status) || (!bar && parse_number(word, status));
	*status |= operand;
	return known;
}

static bool parse_injection_option(const char *word, struct tdx_injection *i)
{
	uint64_t *number = NULL, per_million;
	const char *equals = strchr(word, '=');
	const size_t len = equals ? (size_t)(equals - word) : 0;

	if (len == 5 && !strncmp(word, "after", len))
		number = &i->after;
	else if (len == 5 && !strncmp(word, "times", len))
		number = &i->times;
	else if (len == 11 && !strncmp(word, "per-million", len))
		number = &per_million;
	if (!number || !parse_number(equals + 1, number))
		return false;
	if (number == &per_million) {
		if (!per_million || per_million > 1000000)
			return false;
		i->per_million = per_million;
	}
	return true;
}

static void inject(struct command *c)
{
	struct tdx_injection i = { .leaf = TDX_ANY_LEAF };
	struct tdx_module *m = module(c);

	if (!m)
		return;
	if (is(c, 1, "clear") && c->nr == 2) {
		tdx_inject_clear(m);
		done(c);
		return;
	}
	if (c->nr < 3) {
		refuse(c, "inject needs a leaf and a status, or clear");
		return;
	}
	if (strcmp(c->words[1], "any") && !tdx_leaf_by_name(c->words[1], &i.guest, &i.leaf)) {
		refuse(c, "there is no leaf %s", c->words[1]);
		return;
	}
	if (!parse_status(c->words[2], &i.status) || !i.status) {
		refuse(c, "this is no status that can be injected");
		return;
	}
	for (int n = 3; n < c->nr; n++)
		if (!parse_injection_option(c->words[n], &i)) {
			refuse(c, "want after=N, times=N or per-million=N instead of %s",
			       c->words[n]);
			return;
		}
	if (tdx_inject(m, &i))
		refuse(c, "there are too many injections");
	else
		done(c);
}

/* ---- lock ---- */

static bool parse_lock(const char *word, enum tdx_lock *lock, int *numbers)
{
	static const struct {
		const char *name;
		enum tdx_lock lock;
		int numbers;
	} locks[] = {
		{ "sys", TDX_LOCK_SYS, 0 }, { "kot", TDX_LOCK_KOT, 0 },
		{ "ket", TDX_LOCK_KET, 0 }, { "wbcache", TDX_LOCK_WBCACHE, 1 },
		{ "tdmr", TDX_LOCK_TDMR, 1 }, { "page", TDX_LOCK_PAGE, 1 },
		{ "op-state", TDX_LOCK_OP_STATE, 1 }, { "sept-tree", TDX_LOCK_SEPT_TREE, 1 },
		{ "td-epoch", TDX_LOCK_TD_EPOCH, 1 }, { "sept-entry", TDX_LOCK_SEPT_ENTRY, 2 },
	};

	for (unsigned int i = 0; i < sizeof(locks) / sizeof(*locks); i++)
		if (!strcmp(word, locks[i].name)) {
			*lock = locks[i].lock;
			*numbers = locks[i].numbers;
			return true;
		}
	return false;
}

static bool same(const struct taken *a, const struct taken *b)
{
	return a->lock == b->lock && a->pa == b->pa && a->gpa == b->gpa &&
	       a->exclusive == b->exclusive;
}

/* Those of a TD that is gone are gone, too. */
static void drop_all(struct tdx_module *m)
{
	while (nr_taken) {
		const struct taken *t = &taken[--nr_taken];

		tdx_lock_drop(m, t->lock, t->pa, t->gpa, t->exclusive);
	}
}

static void drop_one(struct command *c, struct tdx_module *m, const struct taken *t)
{
	unsigned int i = 0;

	while (i < nr_taken && !same(&taken[i], t))
		i++;
	if (i == nr_taken) {
		refuse(c, "it was not taken");
		return;
	}
	taken[i] = taken[--nr_taken];
	if (tdx_lock_drop(m, t->lock, t->pa, t->gpa, t->exclusive))
		refuse(c, "it is gone");
	else
		done(c);
}

static void take_one(struct command *c, struct tdx_module *m, const struct taken *t)
{
	int err;

	if (nr_taken == MAX_LOCKS) {
		refuse(c, "too many locks are taken");
		return;
	}
	err = tdx_lock_take(m, t->lock, t->pa, t->gpa, t->exclusive);
	if (err) {
		refuse(c, err == -EBUSY ? "it is taken already" : "there is no such thing to lock");
		return;
	}
	taken[nr_taken++] = *t;
	done(c);
}

static void lock(struct command *c)
{
	struct taken t = { .exclusive = true };
	struct tdx_module *m = module(c);
	uint64_t numbers[2] = { 0 };
	int nr;

	if (!m)
		return;
	if (is(c, 1, "clear") && c->nr == 2) {
		drop_all(m);
		done(c);
		return;
	}
	if (is(c, c->nr - 1, "shared")) {
		t.exclusive = false;
		c->nr--;
	}
	if (c->nr < 3 || !(is(c, 1, "take") || is(c, 1, "drop")) ||
	    !parse_lock(c->words[2], &t.lock, &nr)) {
		refuse(c, "want lock take or drop with the name of a lock, or lock clear");
		return;
	}
	if (c->nr != 3 + nr || (nr > 0 && !parse_number(c->words[3], &numbers[0])) ||
	    (nr > 1 && !parse_number(c->words[4], &numbers[1]))) {
		refuse(c, "lock %s needs %d number%s", c->words[2], nr, nr == 1 ? "" : "s");
		return;
	}
	t.pa = numbers[0];
	t.gpa = numbers[1];
	if (is(c, 1, "take"))
		take_one(c, m, &t);
	else
		drop_one(c, m, &t);
}

static void linger(struct command *c)
{
	uint64_t n;

	if (!module(c))
		return;
	if (c->nr != 2 || !parse_number(c->words[1], &n) || n > 1000000) {
		refuse(c, "want linger with a number of instructions up to 1000000");
		return;
	}
	tdx_monitor_linger(n);
	done(c);
}

static void reset(struct command *c)
{
	struct tdx_module *m = tdx_monitor_module();

	if (m) {
		tdx_inject_clear(m);
		drop_all(m);
		tdx_monitor_linger(0);
	}
	done(c);
}

/* ---- sanitizer, stats, owner, trace ---- */

static void sanitizer(struct command *c)
{
	static const char *const modes[] = { "off", "warn", "fatal" };
	struct tdx_sanitizer *s = watchers.sanitizer;
	const char *json;

	if (c->nr != 2) {
		refuse(c, "want sanitizer off, warn, fatal, report, tds, idle or status");
		return;
	}
	for (unsigned int i = 0; i < 3; i++)
		if (is(c, 1, modes[i])) {
			set_sanitizer(i);
			done(c);
			return;
		}
	if (is(c, 1, "report")) {
		while (s && (json = tdx_san_take(s)))
			fprintf(c->to, "%s\n", json);
	} else if (is(c, 1, "tds")) {
		fprintf(c->to, "%u\n", s ? tdx_san_nr_tds(s) : 0);
	} else if (is(c, 1, "idle")) {
		fprintf(c->to, "%u\n", s ? tdx_san_idle(s) : 0);
	} else if (is(c, 1, "status")) {
		fprintf(c->to, "%s %llu\n", modes[watchers.mode],
			s ? (unsigned long long)tdx_san_count(s) : 0);
	} else {
		refuse(c, "there is no sanitizer %s", c->words[1]);
		return;
	}
	done(c);
}

static void stats(struct command *c)
{
	if (c->nr > 2 || (c->nr == 2 && !is(c, 1, "reset"))) {
		refuse(c, "want stats or stats reset");
		return;
	}
	if (!watchers.counting) {
		watchers.counting = true;
		watch();
	}
	if (c->nr == 2)
		stats_reset();
	else
		stats_print(c->to);
	done(c);
}

static void owner(struct command *c)
{
	struct tdx_module *m = module(c);
	struct tdx_page page;
	uint64_t pa;

	if (!m)
		return;
	if (c->nr != 2 || !parse_number(c->words[1], &pa)) {
		refuse(c, "owner needs a physical address");
		return;
	}
	if (!tdx_page_owner(m, pa, &page)) {
		refuse(c, "nobody can own it: it is in no TDMR");
		return;
	}
	fprintf(c->to, "type=%u tdr=0x%llx keyid=%u", page.type, (unsigned long long)page.tdr,
		page.keyid);
	if (page.has_gpa)
		fprintf(c->to, " gpa=0x%llx level=%u", (unsigned long long)page.gpa,
			page.ept_level);
	fprintf(c->to, "\n");
	done(c);
}

static void trace(struct command *c)
{
	const bool on = is(c, 1, "on");

	if (!watchers.trace_path && c->nr > 1) {
		refuse(c, "the machine was started without a file for the trace");
	} else if (is(c, 1, "mark") && c->nr > 2) {
		if (watchers.trace)
			tdx_trace_mark(watchers.trace, c->rest);
		done(c);
	} else if (c->nr == 2 && (on || is(c, 1, "off"))) {
		watchers.tracing = on;
		watch();
		if (!on)
			tdx_control_flush();
		done(c);
	} else {
		refuse(c, "want trace on, off or mark TEXT");
	}
}

/* ---- The line ---- */

static void execute(struct command *c)
{
	static const struct {
		const char *name;
		void (*fn)(struct command *c);
	} commands[] = {
		{ "inject", inject }, { "lock", lock }, { "linger", linger }, { "reset", reset },
		{ "sanitizer", sanitizer }, { "stats", stats }, { "owner", owner },
		{ "trace", trace },
	};

	if (c->more && !is(c, 0, "trace")) {
		refuse(c, "too many words");
		return;
	}
	for (unsigned int i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (is(c, 0, commands[i].name)) {
			commands[i].fn(c);
			return;
		}
	refuse(c, "there is no command %s", c->nr ? c->words[0] : "here");
}

static void split(struct command *c, char *line)
{
	for (;;) {
		line += strspn(line, " \t\r");
		if (!*line)
			return;
		c->more = c->nr == MAX_WORDS;
		if (c->more)
			return;
		if (c->nr == 2)
			c->rest = strdup(line);
		c->words[c->nr++] = line;
		line += strcspn(line, " \t\r");
		if (*line)
			*line++ = '\0';
	}
}

char *tdx_control_command(const char *line)
{
	struct command c = { 0 };
	char *answer = NULL, *copy = strdup(line);
	size_t len;

	c.to = copy ? open_memstream(&answer, &len) : NULL;
	if (!c.to) {
		free(copy);
		return NULL;
	}
	split(&c, copy);
	execute(&c);
	free(c.rest);
	free(copy);
	if (fclose(c.to)) {
		free(answer);
		return NULL;
	}
	return answer;
}
