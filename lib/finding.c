// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "finding.h"
#include "folio.h"

static struct {
	const char *name;
	__u64 seed, step;
} context;

void finding_context(const char *name, __u64 seed, __u64 step)
{
	context.name = name;
	context.seed = seed;
	context.step = step;
}

void finding_one_line(char *text)
{
	for (; *text; text++) {
		if (*text == '\r' || *text == '\n')
			*text = ' ';
		else if (!isascii(*text))
			*text = '?';
	}
}

void finding_set(struct finding *f, const char *invariant, const char *fmt, ...)
{
	va_list ap;

	memset(f, 0, sizeof(*f));
	snprintf(f->invariant, sizeof(f->invariant), "%s", invariant);
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	finding_one_line(f->text);
}

static __u64 pages_told(const struct finding *f)
{
	return f->nr_bad < FINDING_PAGES ? f->nr_bad : FINDING_PAGES;
}

void finding_print(const struct finding *f, FILE *to)
{
	const struct finding_page *p;
	bool moved = false;
	__u64 i;

	fprintf(to, "# %s (invariant: %s)\n", f->text, f->invariant);
	for (i = 0; i < pages_told(f); i++) {
		p = &f->pages[i];
		fprintf(to, "#   page %llu  pfn 0x%llx  refs %lld, want %lld  maps %lld, want %lld: %s\n",
			p->index, p->pfn, p->refs, p->want_refs, p->maps,
			p->want_maps, p->holder);
		moved |= p->moved;
	}
	if (f->nr_bad > i)
		fprintf(to, "#   and %llu more pages\n", f->nr_bad - i);
	if (f->nr_bad)
		fprintf(to, "#   waited %u ms; %s\n", f->waited_ms, moved ?
			"a count moved meanwhile, but no look saw it right" :
			"the count never moved");
	if (context.step)
		fprintf(to, "#   at step %llu of seed 0x%llx\n", context.step, context.seed);
}

static json_t *page_to_json(const struct finding_page *p)
{
	return json_pack("{sI sI sI sI sI sI si sb ss}",
			 "index", (json_int_t)p->index, "pfn", (json_int_t)p->pfn,
			 "refs", (json_int_t)p->refs,
			 "want_refs", (json_int_t)p->want_refs,
			 "maps", (json_int_t)p->maps,
			 "want_maps", (json_int_t)p->want_maps,
			 "flags", (int)p->flags, "moved", p->moved,
			 "holder", p->holder);
}

static int append_line(const char *dir, const char *file, const char *line)
{
	size_t len = strlen(line);
	char path[4096];
	ssize_t n;
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	/* One write, so that lines of several processes never mix. */
	n = write(fd, line, len);
	if (n < 0)
		err = -errno;
	/* Half a line would spoil the next one, too. */
	else if ((size_t)n < len && !ftruncate(fd, lseek(fd, 0, SEEK_END) - n))
		err = -ENOSPC;
	else if ((size_t)n < len)
		err = -EIO;
	if (close(fd) && !err)
		err = -errno;
	return err;
}

int finding_record(const struct finding *f, const char *where)
{
	const char *dir = getenv("SEPT_RESULTS");
	json_t *json, *pages;
	char seed[32], *text, *line;
	__u64 i;
	int err;

	if (!dir || !*dir)
		return 0;

	pages = json_array();
	for (i = 0; i < pages_told(f); i++)
		json_array_append_new(pages, page_to_json(&f->pages[i]));
	/* A seed has 64 bits, and JSON numbers have no sign to spare. */
	snprintf(seed, sizeof(seed), "0x%llx", context.seed);
	json = json_pack("{ss ss ss ss sI ss sI sI sI sI so}",
			 "case", context.name ? context.name : "",
			 "invariant", f->invariant, "text", f->text,
			 "where", where, "step", (json_int_t)context.step,
			 "seed", seed,
			 "first", (json_int_t)f->first, "nr", (json_int_t)f->nr,
			 "nr_bad", (json_int_t)f->nr_bad,
			 "waited_ms", (json_int_t)f->waited_ms, "pages", pages);
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (!text)
		return -ENOMEM;
	err = asprintf(&line, "%s\n", text) < 0 ? -ENOMEM : 0;
	free(text);
	if (err)
		return err;
	err = append_line(dir, "findings.jsonl", line);
	free(line);
	return err;
}
