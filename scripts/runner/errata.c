// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "errata.h"

#define FINAL	~0u	/* no release candidate */

/* Returns what is behind the version, or NULL. */
static const char *parse_version(const char *text, struct errata_version *v)
{
	int n = 0;

	memset(v, 0, sizeof(*v));
	v->part[3] = FINAL;
	if (sscanf(text, "%u.%u%n", &v->part[0], &v->part[1], &n) != 2)
		return NULL;
	text += n;
	if (sscanf(text, ".%u%n", &v->part[2], &n) == 1)
		text += n;
	if (sscanf(text, "-rc%u%n", &v->part[3], &n) == 1)
		text += n;
	return text;
}

static bool is_before(const struct errata_version *a, const struct errata_version *b)
{
	unsigned int i;

	for (i = 0; i < 3 && a->part[i] == b->part[i]; i++)
		;
	return a->part[i] < b->part[i];
}

static const char *whole_version(json_t *json, struct errata_version *v)
{
	const char *end;

	if (!json)
		return NULL;
	end = json_is_string(json) ? parse_version(json_string_value(json), v) : NULL;
	return end && !*end ? NULL : "must be a kernel's version, such as \"7.3.4\" or \"7.4-rc1\"";
}

static int __attribute__((format(printf, 3, 4)))
wrong(char *why, size_t why_len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* Keys of @row that are none of ours; NULL if there are no such. */
static const char *unknown_key(json_t *row, const char * const *known)
{
	const char *key;
	json_t *value;
	unsigned int i;

	json_object_foreach(row, key, value) {
		for (i = 0; known[i] && strcmp(key, known[i]); i++)
			;
		if (!known[i])
			return key;
	}
	return NULL;
}

static int parse_flag(bool *out, json_t *row, const char *key, char *why, size_t why_len)
{
	json_t *value = json_object_get(row, key);

	if (value && !json_is_boolean(value))
		return wrong(why, why_len, "\"%s\" must be true or false", key);
	*out = json_is_true(value);
	return 0;
}

static int parse_pattern(regex_t *out, const char *pattern, const char *key, char *why,
			 size_t why_len)
{
	int rc = regcomp(out, pattern, REG_EXTENDED | REG_NOSUB);
	char message[200];

	if (!rc)
		return 0;
	regerror(rc, out, message, sizeof(message));
	return wrong(why, why_len, "\"%s\" is no extended regular expression: %s", key, message);
}

static int parse_row(struct erratum *r, json_t *row, char *why, size_t why_len)
{
	static const char * const keys[] = {
		"id", "title", "cases", "reason", "kernels", "reference", "also",
		"sometimes", "unpinned", "harms", NULL
	};
	static const char * const ends[] = { "from", "before", NULL };
	const char *strings[6], *text;
	json_t *kernels, *also;
	unsigned int i;
	int rc;

	if (!json_is_object(row))
		return wrong(why, why_len, "a row must be an object");
	text = unknown_key(row, keys);
	if (text)
		return wrong(why, why_len, "unknown key \"%s\"", text);
	for (i = 0; i < 6; i++) {
		strings[i] = json_string_value(json_object_get(row, keys[i]));
		if (i != 4 && (!strings[i] || !*strings[i]))
			return wrong(why, why_len, "\"%s\" must be a text", keys[i]);
	}
	r->id = strings[0];
	r->title = strings[1];
	r->cases = strings[2];
	r->reference = strings[5];
	rc = parse_pattern(&r->reason, strings[3], "reason", why, why_len);
	also = json_object_get(row, "also");
	r->has_also = also;
	text = json_string_value(also);
	if (!rc && also)
		rc = text && *text ? parse_pattern(&r->also, text, "also", why, why_len) :
				     wrong(why, why_len, "\"also\" must be a text");
	if (rc)
		return rc;

	kernels = json_object_get(row, "kernels");
	text = json_is_object(kernels) ? unknown_key(kernels, ends) : "";
	if (text)
		return wrong(why, why_len, "\"kernels\" must be an object with \"from\" or \"before\" or both");
	r->before.part[0] = ~0u;
	text = whole_version(json_object_get(kernels, "from"), &r->from);
	if (text)
		return wrong(why, why_len, "\"from\" %s", text);
	text = whole_version(json_object_get(kernels, "before"), &r->before);
	if (text)
		return wrong(why, why_len, "\"before\" %s", text);
	if (!is_before(&r->from, &r->before))
		return wrong(why, why_len, "\"before\" must be later than \"from\"");

	return parse_flag(&r->sometimes, row, "sometimes", why, why_len) ?:
	       parse_flag(&r->unpinned, row, "unpinned", why, why_len) ?:
	       parse_flag(&r->harms, row, "harms", why, why_len);
}

/* The line on which row number @index begins, in a text that is an array. */
static unsigned int line_of(const char *text, unsigned int index)
{
	unsigned int line = 1, depth = 0;
	bool quoted = false, between = true;

	for (; *text; text++) {
		if (*text == '\n')
			line++;
		if (quoted && *text == '\\' && text[1])
			text++;
		else if (*text == '"')
			quoted = !quoted;
		if (depth == 1 && between && !strchr(" \t\r\n,]", *text)) {
			if (!index--)
				return line;
			between = false;
		}
		if (quoted)
			continue;
		if (*text == '[' || *text == '{')
			depth++;
		if (*text == ']' || *text == '}')
			depth--;
		if (depth == 1 && *text == ',')
			between = true;
	}
	return line;
}

static char *read_whole(const char *file)
{
	FILE *from = fopen(file, "re");
	char *text = NULL;
	size_t size = 0;
	int err = 0;

	if (!from)
		return NULL;
	/* No file has this character, so that is all of it. */
	if (getdelim(&text, &size, '\0', from) < 0 && text)
		*text = '\0';
	if (ferror(from)) {
		err = errno;
		free(text);
		text = NULL;
	}
	fclose(from);
	errno = err;
	return text;
}

static bool is_about_any(const struct erratum *r, const struct cases *cases)
{
	unsigned int i;

	for (i = 0; i < cases->nr; i++)
		if (cases_match(cases->list[i].address, r->cases))
			return true;
	return false;
}

int errata_read(struct errata *out, const char *file, const struct cases *cases,
		char *why, size_t why_len)
{
	char *text = read_whole(file), sentence[400];
	json_error_t error;
	json_t *json, *row;
	size_t i;
	int rc = 0;

	memset(out, 0, sizeof(*out));
	if (!text)
		return wrong(why, why_len, "%s:1: it cannot be read: %s", file, strerror(errno));
	json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (!json || !json_is_array(json)) {
		if (json)
			wrong(why, why_len, "%s:1: it must be an array of rows", file);
		else
			wrong(why, why_len, "%s:%d: %s", file, error.line, error.text);
		json_decref(json);
		free(text);
		return -EINVAL;
	}
	/* The rows point into it. */
	out->rows = calloc(json_array_size(json) + 1, sizeof(*out->rows));
	if (!out->rows)
		abort();
	json_array_foreach(json, i, row) {
		struct erratum *r = &out->rows[i];

		r->line = line_of(text, i);
		rc = parse_row(r, row, sentence, sizeof(sentence));
		if (!rc && !is_about_any(r, cases))
			rc = wrong(sentence, sizeof(sentence), "no case matches \"%s\"", r->cases);
		if (rc) {
			wrong(why, why_len, "%s:%u: %s", file, r->line, sentence);
			break;
		}
		out->nr++;
	}
	free(text);
	return rc;
}

static bool is_about(const struct erratum *r, const char *address, const struct errata_version *v,
		     bool pinned)
{
	return cases_match(address, r->cases) && !is_before(v, &r->from) &&
	       is_before(v, &r->before) && !(pinned && r->unpinned);
}

static bool matches(const regex_t *pattern, const char *text)
{
	return !regexec(pattern, text, 0, NULL, 0);
}

const struct erratum *errata_find(const struct errata *errata, const char *address,
				  const char *release, bool pinned, const char *reason)
{
	const struct erratum *r;
	struct errata_version v;

	if (!parse_version(release, &v))
		return NULL;
	for (r = errata->rows; r < errata->rows + errata->nr; r++)
		if (is_about(r, address, &v, pinned) &&
		    (reason ? matches(&r->reason, reason) : !r->sometimes))
			return r;
	return NULL;
}

bool errata_explain(const struct errata *errata, const char *address, const char *release,
		    bool pinned, const char *text)
{
	const struct erratum *r;
	struct errata_version v;

	if (!parse_version(release, &v))
		return false;
	for (r = errata->rows; r < errata->rows + errata->nr; r++)
		if (is_about(r, address, &v, pinned) &&
		    (matches(&r->reason, text) || (r->has_also && matches(&r->also, text))))
			return true;
	return false;
}

const struct erratum *errata_harm(const struct errata *errata, const char *address,
				  const char *release, bool pinned)
{
	const struct erratum *r;
	struct errata_version v;

	if (!parse_version(release, &v))
		return NULL;
	for (r = errata->rows; r < errata->rows + errata->nr; r++)
		if (r->harms && is_about(r, address, &v, pinned))
			return r;
	return NULL;
}
