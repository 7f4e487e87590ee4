// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cases.h"
#include "keeper.h"

#define LIST_MS		10000	/* for a test file to list its cases */
#define NAME_MAX_LEN	255	/* of an address */

static int is_test(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* One line "address<TAB>seconds<TAB>serial|-".  Return whether it is one. */
static bool parse_line(char *line, const char *file, struct test_case *c)
{
	char *seconds = strchr(line, '\t'), *serial, *end;
	size_t len = strlen(file);
	const char *p;

	serial = seconds ? strchr(seconds + 1, '\t') : NULL;
	if (!serial)
		return false;
	*seconds++ = '\0';
	*serial++ = '\0';
	for (p = line; *p; p++)
		if (!isalnum(*p) && *p != '_' && *p != '.' && *p != '-')
			return false;
	if (strncmp(line, file, len) || line[len] != '.' || !line[len + 1] ||
	    p - line > NAME_MAX_LEN)
		return false;
	if (!isdigit(*seconds))
		return false;
	c->seconds = strtoul(seconds, &end, 10);
	if (*end || !c->seconds || c->seconds > 24 * 3600)
		return false;
	if (strcmp(serial, "serial") && strcmp(serial, "-"))
		return false;
	c->serial = !strcmp(serial, "serial");
	c->address = strdup(line);
	return c->address;
}

/* What the test file prints when asked for its cases. */
static int read_list(const char *path, char **text, size_t *len, struct kept *kept)
{
	const struct timespec pause = { .tv_nsec = 1000 * 1000 };
	char *argv[] = { (char *)path, "--list", NULL }, chunk[4096];
	struct keeper *k;
	int fds[2], rc;
	FILE *into;
	ssize_t n;

	into = open_memstream(text, len);
	if (!into)
		return -errno;
	if (pipe2(fds, O_CLOEXEC)) {
		rc = -errno;
		fclose(into);
		return rc;
	}
	rc = keeper_start(&k, argv, environ, fds[1], fds[1], LIST_MS);
	close(fds[1]);
	if (!rc) {
		while ((n = read(fds[0], chunk, sizeof(chunk))) > 0)
			fwrite(chunk, 1, n, into);
		while (!keeper_ended(k, kept))
			nanosleep(&pause, NULL);
	}
	close(fds[0]);
	if (fclose(into) && !rc)
		rc = -ENOMEM;
	return rc;
}

static int add_file(struct cases *cases, const char *path, const char *name,
		    char *why, size_t why_len)
{
	char *text = NULL, *line, *next;
	struct kept kept = {};
	unsigned int before = cases->nr;
	size_t len = 0;
	void *more;
	int rc;

	rc = read_list(path, &text, &len, &kept);
	if (!rc && kept.started)
		rc = -kept.started;
	if (rc) {
		snprintf(why, why_len, "cannot run the test file %s: %s", path, strerror(-rc));
		goto out;
	}
	rc = -EPROTO;
	if (kept.timed_out || !kept.ended || !WIFEXITED(kept.status) ||
	    WEXITSTATUS(kept.status)) {
		if (kept.timed_out)
			snprintf(why, why_len, "%s does not answer --list within %d s",
				 path, LIST_MS / 1000);
		else if (kept.ended && WIFSIGNALED(kept.status))
			snprintf(why, why_len, "%s --list was ended by signal %d (%s)",
				 path, WTERMSIG(kept.status), strsignal(WTERMSIG(kept.status)));
		else
			snprintf(why, why_len, "%s --list failed with exit %d", path,
				 WEXITSTATUS(kept.status));
		goto out;
	}

	more = realloc(cases->files, (cases->nr_files + 1) * sizeof(*cases->files));
	if (!more)
		goto nomem;
	cases->files = more;
	cases->files[cases->nr_files] = strdup(name);
	if (!cases->files[cases->nr_files++])
		goto nomem;
	for (line = text; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		more = realloc(cases->list, (cases->nr + 1) * sizeof(*cases->list));
		if (!more)
			goto nomem;
		cases->list = more;
		if (!parse_line(line, name, &cases->list[cases->nr])) {
			snprintf(why, why_len, "%s --list printed what is no case of its own: \"%s\"",
				 path, line);
			goto out;
		}
		cases->list[cases->nr++].file = cases->nr_files - 1;
	}
	if (cases->nr == before)
		snprintf(why, why_len, "%s --list named no case", path);
	else
		rc = 0;
out:
	free(text);
	return rc;
nomem:
	snprintf(why, why_len, "out of memory");
	free(text);
	return -ENOMEM;
}

int cases_find(const char *dir, struct cases *out, char *why, size_t why_len)
{
	struct dirent **entries;
	struct stat st;
	int nr, i, rc = 0;
	char *path;

	memset(out, 0, sizeof(*out));
	out->dir = dir;
	nr = scandir(dir, &entries, is_test, alphasort);
	if (nr < 0) {
		rc = -errno;
		snprintf(why, why_len, "cannot read the tests in %s: %s", dir, strerror(-rc));
		return rc;
	}
	for (i = 0; i < nr; i++) {
		if (!rc && asprintf(&path, "%s/%s", dir, entries[i]->d_name) < 0) {
			rc = -ENOMEM;
			snprintf(why, why_len, "out of memory");
		} else if (!rc) {
			if (!stat(path, &st) && S_ISREG(st.st_mode) && st.st_mode & 0111)
				rc = add_file(out, path, entries[i]->d_name, why, why_len);
			free(path);
		}
		free(entries[i]);
	}
	free(entries);
	if (!rc && !out->nr) {
		rc = -ENOENT;
		snprintf(why, why_len, "there are no tests in %s", dir);
	}
	return rc;
}

/*
 * The names a case goes by: file, file.variant (the same if it has no variant)
 * and the whole address.
 */
static void case_names(const char *address, char names[3][NAME_MAX_LEN + 1])
{
	const char *last = strrchr(address, '.');

	snprintf(names[0], NAME_MAX_LEN + 1, "%.*s", (int)strcspn(address, "."), address);
	snprintf(names[1], NAME_MAX_LEN + 1, "%.*s", (int)(last - address), address);
	snprintf(names[2], NAME_MAX_LEN + 1, "%s", address);
}

bool cases_match(const char *address, const char *glob)
{
	char names[3][NAME_MAX_LEN + 1];
	int i;

	case_names(address, names);
	for (i = 0; i < 3; i++)
		if (!fnmatch(glob, names[i], 0))
			return true;
	return false;
}

static bool case_has_type(const char *address, const char *type)
{
	const char *variant = strchr(address, '.') + 1, *end = strchr(variant, '.');
	size_t len = strlen(type);

	return end && !strncmp(variant, type, len) &&
	       (variant[len] == '.' || variant[len] == '_');
}

/* How many characters to change for @glob to match; a '*' is worth anything. */
static unsigned int distance(const char *glob, const char *name)
{
	unsigned int row[NAME_MAX_LEN + 1], len = strlen(name), i;

	for (i = 0; i <= len; i++)
		row[i] = i;
	for (; *glob; glob++) {
		unsigned int corner = row[0];

		row[0] += *glob != '*';
		for (i = 1; i <= len; i++) {
			unsigned int best = row[i];	/* leave out *glob */

			if (*glob == '*') {
				if (row[i - 1] < best)
					best = row[i - 1];
			} else {
				best++;
				if (row[i - 1] + 1 < best)
					best = row[i - 1] + 1;
				if (corner + (*glob != name[i - 1]) < best)
					best = corner + (*glob != name[i - 1]);
			}
			corner = row[i];
			row[i] = best;
		}
	}
	return row[len];
}

static void nearest(const struct cases *cases, const char *glob, char *best)
{
	unsigned int least = ~0u, i, j, d;
	char names[3][NAME_MAX_LEN + 1];

	best[0] = '\0';
	for (i = 0; i < cases->nr; i++) {
		case_names(cases->list[i].address, names);
		for (j = 0; j < 3; j++) {
			d = distance(glob, names[j]);
			if (d < least) {
				least = d;
				strcpy(best, names[j]);
			}
		}
	}
}

bool cases_vain(const struct cases *cases, const struct globs *globs, char *why, size_t why_len)
{
	char best[NAME_MAX_LEN + 1];
	unsigned int i, g;

	for (g = 0; g < globs->nr; g++) {
		for (i = 0; i < cases->nr; i++)
			if (cases_match(cases->list[i].address, globs->list[g]))
				break;
		if (i < cases->nr)
			continue;
		nearest(cases, globs->list[g], best);
		snprintf(why, why_len, "no case matches \"%s\"; the nearest is \"%s\"",
			 globs->list[g], best);
		return true;
	}
	return false;
}

static bool any_matches(const struct globs *globs, const char *address)
{
	unsigned int g;

	for (g = 0; g < globs->nr; g++)
		if (cases_match(address, globs->list[g]))
			return true;
	return false;
}

int cases_select(struct cases *cases, const struct globs *globs, const struct globs *but,
		 const char *vm_type, char *why, size_t why_len)
{
	unsigned int i, kept = 0;

	if (cases_vain(cases, globs, why, why_len) || cases_vain(cases, but, why, why_len))
		return -EINVAL;
	for (i = 0; i < cases->nr; i++) {
		struct test_case *c = &cases->list[i];
		bool keep = !globs->nr || any_matches(globs, c->address);

		if (any_matches(but, c->address) || (vm_type && !case_has_type(c->address, vm_type)))
			keep = false;
		if (keep)
			cases->list[kept++] = *c;
		else
			free(c->address);
	}
	cases->nr = kept;
	if (kept)
		return 0;
	if (vm_type)
		snprintf(why, why_len, "none of these cases is for the VM type %s", vm_type);
	else
		snprintf(why, why_len, "no case is left to run");
	return -ENOENT;
}
