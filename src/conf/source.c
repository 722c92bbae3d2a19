/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The files of a configuration, read whole and once.
 *
 * libConfuse is never given a path: it exits on a directory, hangs on a FIFO
 * and reads devices for ever.  textfile.c opens, checks and reads each file.
 *
 * Runs in the master and hatchctl; called at start, on reload and for checks.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include.h"
#include "source.h"
#include "textfile.h"

#define SEEN_SLOTS (2 * SOURCE_FILES)	/* a power of two */

struct seen {			/* a file that was read */
	dev_t dev;
	ino_t ino;
	bool used;
};

struct reader {
	struct sources *sources;
	struct problems *p;
	uid_t owner;
	size_t total;
	struct seen *seen;	/* hash table */
};

/* False if the same file was there before, by whatever name. */
static bool
see(struct reader *r, const struct stat *st)
{
	size_t i = (size_t)(st->st_ino * 31 + st->st_dev) & (SEEN_SLOTS - 1);
	struct seen *e;

	for (;; i = (i + 1) & (SEEN_SLOTS - 1)) {
		e = &r->seen[i];
		if (!e->used)
			break;
		if (e->dev == st->st_dev && e->ino == st->st_ino)
			return false;
	}
	e->dev = st->st_dev;
	e->ino = st->st_ino;
	e->used = true;
	return true;
}

static struct source *
source_new(struct sources *all, const char *name)
{
	struct source *list, *s;

	list = reallocarray(all->list, (size_t)all->n + 1, sizeof(*list));
	if (!list)
		return NULL;
	all->list = list;
	s = &list[all->n];
	memset(s, 0, sizeof(*s));
	s->name = strdup(name);
	if (!s->name)
		return NULL;
	all->n++;
	return s;
}

static int
read_fd(struct reader *r, const char *path, int fd)
{
	struct source *s;
	struct stat st;

	if (textfile_check(fd, path, r->owner, r->p, &st) < 0)
		return -1;
	if (r->sources->n < SOURCE_FILES && !see(r, &st))
		return 0;
	if (r->sources->n == SOURCE_FILES) {
		problems_add(r->p, path, 0, "this is one file too many: %d are allowed",
			     SOURCE_FILES);
		return -1;
	}
	s = source_new(r->sources, path);
	if (!s) {
		problems_add(r->p, path, 0, "out of memory");
		return -1;
	}
	s->text = textfile_read(fd, path, (size_t)st.st_size, r->p, &s->len);
	if (!s->text)
		return -1;
	r->total += s->len;
	if (r->total > SOURCE_TOTAL) {
		problems_add(r->p, path, 0, "with this file the configuration is larger than %d MiB",
			     SOURCE_TOTAL >> 20);
		return -1;
	}
	return 0;
}

/* inc: the setting that names the file, NULL for the main file */
static int
read_path(struct reader *r, const char *path, const struct include *inc)
{
	int fd = textfile_open(path);
	int rc;

	if (fd < 0) {
		if (inc && include_is_literal(inc->pattern))
			problems_add(r->p, r->sources->list[0].name, inc->line,
				     "conf: \"%s\" cannot be opened: %s", path, strerror(errno));
		else if (errno == ENXIO)
			problems_add(r->p, path, 0, "is not a file");
		else
			problems_add(r->p, path, 0, "cannot be opened: %s", strerror(errno));
		return -1;
	}
	rc = read_fd(r, path, fd);
	(void)close(fd);
	return rc;
}

static void
read_include(struct reader *r, const struct include *inc)
{
	char **paths = include_expand(r->sources->list[0].name, inc, r->p);

	for (char **path = paths; path && *path; path++)
		if (read_path(r, *path, inc) < 0 &&
		    (r->sources->n == SOURCE_FILES || r->total > SOURCE_TOTAL))
			break;
	include_paths_free(paths);
}

static void
read_includes(struct reader *r)
{
	bool memory;
	struct include *list;

	if (source_guard(&r->sources->list[0], r->p) < 0)
		return;
	list = include_list(&r->sources->list[0], &memory);
	if (!memory)
		problems_add(r->p, r->sources->list[0].name, 0, "out of memory");
	for (struct include *i = list; i && i->pattern; i++)
		read_include(r, i);
	include_list_free(list);
}

struct sources *
sources_read(const char *path, uid_t owner, struct problems *p)
{
	int before = problems_count(p);
	struct reader r = { .p = p, .owner = owner };

	r.sources = calloc(1, sizeof(*r.sources));
	r.seen = calloc(SEEN_SLOTS, sizeof(*r.seen));
	if (!r.sources || !r.seen)
		problems_add(p, path, 0, "out of memory");
	else if (read_path(&r, path, NULL) == 0)
		read_includes(&r);
	free(r.seen);
	if (problems_count(p) == before)
		return r.sources;
	sources_free(r.sources);
	return NULL;
}

struct sources *
sources_from_text(const char *name, const char *text, size_t len)
{
	struct sources *all = calloc(1, sizeof(*all));
	struct source *s = all ? source_new(all, name) : NULL;

	if (s)
		s->text = malloc(len + 1);
	if (!s || !s->text) {
		sources_free(all);
		return NULL;
	}
	if (len)
		memcpy(s->text, text, len);
	s->text[len] = '\0';
	s->len = len;
	return all;
}

void
sources_free(struct sources *s)
{
	if (!s)
		return;
	for (int i = 0; i < s->n; i++) {
		free(s->list[i].name);
		free(s->list[i].text);
	}
	free(s->list);
	free(s);
}
