/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RESULTS_H
#define RESULTS_H

#include <stddef.h>
#include <sys/types.h>

#include <jansson.h>

/**
 * DOC: results
 *
 * The folder that a run leaves behind, written so that whatever ends the run, be
 * it SIGKILL, a full disk or a power cut, all that was said before can be read.
 * Files are either whole (results_json(), results_text()) or only grow, by whole
 * records (struct results_log).  docs/results.md describes what is in them.
 */

/**
 * results_create() - make a folder that no run has used before
 * @root: where; made if missing
 * @name: what to call it, with -2, -3, ... behind it if that is taken
 * @path: receives the absolute path, to be freed; NULL on error
 *
 * Return: 0 or -errno.
 */
int results_create(const char *root, const char *name, char **path);

/* Point the symbolic link "latest" beside @path to it.  0 or -errno. */
int results_latest(const char *path);

/**
 * results_text() - write a file that is there whole or not at all
 * @dir:  folder
 * @name: of the file
 * @text: its contents
 * @len:  their length
 *
 * Return: 0 or -errno.
 */
int results_text(const char *dir, const char *name, const char *text, size_t len);
int results_json(const char *dir, const char *name, const json_t *json);

/**
 * struct results_log - a file that grows by whole records
 * @fd:    descriptor, -1 if closed
 * @end:   its length
 * @dirty: there is something that results_log_sync() has not brought to the disk
 */
struct results_log {
	int fd;
	off_t end;
	int dirty;
};

/* A new file.  Return: 0; or -errno, -EEXIST for one, and then the log swallows everything. */
int results_log_open(struct results_log *log, const char *dir, const char *name);

/**
 * results_log_add() - append a record
 * @log:  the log; one that is not open swallows everything
 * @text: the record
 * @len:  its length
 *
 * Return: 0, or -errno and then nothing was appended, not even a part.
 */
int results_log_add(struct results_log *log, const char *text, size_t len);
/* The same for a line of JSON; and what was appended, to the disk: 0 or -errno. */
int results_log_json(struct results_log *log, const json_t *line);
int results_log_sync(struct results_log *log);
void results_log_close(struct results_log *log);

#endif
