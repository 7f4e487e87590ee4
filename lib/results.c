// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results.h"

static int make_path(const char *path)
{
	char *copy = strdup(path), *slash;
	int rc = 0;

	if (!copy)
		return -ENOMEM;
	for (slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(copy, 0755);	/* the last mkdir() tells what went wrong */
		*slash = '/';
	}
	if (mkdir(copy, 0755) && errno != EEXIST)
		rc = -errno;
	free(copy);
	return rc;
}

static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	/* Not every file system can; then there is nothing more to do. */
	if (fsync(fd) && errno != EINVAL)
		rc = -errno;
	close(fd);
	return rc;
}

int results_create(const char *root, const char *name, char **path)
{
	char *base, *full;
	unsigned int n;
	int rc;

	*path = NULL;
	rc = make_path(root);
	if (rc)
		return rc;
	base = realpath(root, NULL);
	if (!base)
		return -errno;
	for (n = 1; ; n++) {
		if (n == 1)
			rc = asprintf(&full, "%s/%s", base, name);
		else
			rc = asprintf(&full, "%s/%s-%u", base, name, n);
		if (rc < 0) {
			rc = -ENOMEM;
			break;
		}
		rc = mkdir(full, 0755) ? -errno : sync_dir(base);
		if (!rc) {
			*path = full;
			break;
		}
		free(full);
		if (rc != -EEXIST)
			break;
	}
	free(base);
	return rc;
}

int results_latest(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	int dir_len = name - path, rc = 0;
	char *tmp, *link;

	if (asprintf(&tmp, "%.*s.latest.%d", dir_len, path, (int)getpid()) < 0)
		return -ENOMEM;
	if (asprintf(&link, "%.*slatest", dir_len, path) < 0) {
		free(tmp);
		return -ENOMEM;
	}
	if (symlink(name, tmp) || rename(tmp, link)) {
		rc = -errno;
		unlink(tmp);
	}
	free(link);
	free(tmp);
	return rc;
}

int results_text(const char *dir, const char *name, const char *text, size_t len)
{
	struct results_log log;
	char *tmp, *path;
	int rc;

	if (asprintf(&tmp, "%s/.%s", dir, name) < 0)
		return -ENOMEM;
	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		free(tmp);
		return -ENOMEM;
	}
	rc = results_log_open(&log, dir, strrchr(tmp, '/') + 1);
	if (!rc)
		rc = results_log_add(&log, text, len);
	if (!rc)
		rc = results_log_sync(&log);
	results_log_close(&log);
	if (!rc && rename(tmp, path))
		rc = -errno;
	if (!rc)
		rc = sync_dir(dir);
	else
		unlink(tmp);
	free(path);
	free(tmp);
	return rc;
}

int results_json(const char *dir, const char *name, const json_t *json)
{
	char *text = json_dumps(json, JSON_INDENT(2));
	size_t len;
	int rc;

	if (!text)
		return -ENOMEM;
	len = strlen(text);
	text[len] = '\n';	/* in place of the terminator */
	rc = results_text(dir, name, text, len + 1);
	free(text);
	return rc;
}

int results_log_open(struct results_log *log, const char *dir, const char *name)
{
	char *path;

	memset(log, 0, sizeof(*log));
	log->fd = -1;
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return -ENOMEM;
	/* A run never goes on writing what another one has written. */
	log->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	free(path);
	return log->fd < 0 ? -errno : 0;
}

int results_log_add(struct results_log *log, const char *text, size_t len)
{
	ssize_t n;
	int rc;

	if (log->fd < 0 || !len)
		return 0;
	n = write(log->fd, text, len);
	if (n == (ssize_t)len) {
		log->end += len;
		log->dirty = 1;
		return 0;
	}
	rc = n < 0 ? -errno : -ENOSPC;
	if (ftruncate(log->fd, log->end))
		rc = -errno;
	return rc;
}

int results_log_json(struct results_log *log, const json_t *line)
{
	char *text = json_dumps(line, JSON_COMPACT);
	size_t len;
	int rc;

	if (!text)
		return -ENOMEM;
	len = strlen(text);
	text[len] = '\n';
	rc = results_log_add(log, text, len + 1);
	free(text);
	return rc;
}

int results_log_sync(struct results_log *log)
{
	if (log->fd < 0 || !log->dirty)
		return 0;
	/* EINVAL: a file system that has nothing to sync to. */
	if (fdatasync(log->fd) && errno != EINVAL)
		return -errno;
	log->dirty = 0;
	return 0;
}

void results_log_close(struct results_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	log->fd = -1;
}
