/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The files of a configuration, read whole and once.
 *
 * libConfuse is never given a path: it exits on a directory, hangs on a FIFO
 * and reads devices for ever.  Here a file is opened without blocking, and all
 * that is asked about it is asked of the open descriptor, so that nobody can
 * change it in between.  A file that others may write would let them start
 * anything as anybody, so it is refused, not warned about.
 *
 * Runs in the master and hatchctl; called at start, on reload and for checks.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include.h"
#include "source.h"

#define SEEN_SLOTS (2 * SOURCE_FILES)	/* a power of two */
#define READ_FIRST (16 << 10)

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

static const char *
type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR: return "a directory";
	case S_IFIFO: return "a FIFO";
	case S_IFSOCK: return "a socket";
	case S_IFCHR: return "a character device";
	case S_IFBLK: return "a block device";
	default: return "something strange";
	}
}

/* The group in which nobody but the owner is: root's, or one that has the
 * owner's name, is its primary group and lists no other members. */
static bool
is_own_group(gid_t gid, uid_t owner)
{
	const struct passwd *pw;
	const struct group *gr;
	char **m;

	if (gid == 0)
		return true;
	pw = getpwuid(owner);
	if (!pw || pw->pw_gid != gid)
		return false;
	gr = getgrgid(gid);
	if (!gr || strcmp(gr->gr_name, pw->pw_name))
		return false;
	for (m = gr->gr_mem; *m; m++)
		if (strcmp(*m, pw->pw_name))
			return false;
	return true;
}

static int
check_rights(const struct reader *r, const char *path, const struct stat *st)
{
	unsigned mode = st->st_mode & 07777;

	if (st->st_uid != 0 && st->st_uid != r->owner) {
		if (r->owner)
			problems_add(r->p, path, 0, "is owned by uid %u, not by root or uid %u",
				     (unsigned)st->st_uid, (unsigned)r->owner);
		else
			problems_add(r->p, path, 0, "is owned by uid %u, not by root",
				     (unsigned)st->st_uid);
		return -1;
	}
	if (mode & S_IWOTH) {
		problems_add(r->p, path, 0, "everybody may write it (mode %04o): chmod go-w", mode);
		return -1;
	}
	if ((mode & S_IWGRP) && !is_own_group(st->st_gid, st->st_uid)) {
		problems_add(r->p, path, 0, "group %u may write it (mode %04o): chmod g-w",
			     (unsigned)st->st_gid, mode);
		return -1;
	}
	return 0;
}

static int
check_file(const struct reader *r, const char *path, const struct stat *st)
{
	if (!S_ISREG(st->st_mode)) {
		problems_add(r->p, path, 0, "is %s, not a file", type_of(st->st_mode));
		return -1;
	}
	if (check_rights(r, path, st) < 0)
		return -1;
	if (st->st_size > SOURCE_BYTES) {
		problems_add(r->p, path, 0, "is larger than %d MiB", SOURCE_BYTES >> 20);
		return -1;
	}
	return 0;
}

/* All of it, however large fstat(2) said it is: files grow, and those of /proc
 * have no size. */
static int
read_all(const struct reader *r, const char *path, int fd, size_t expected, struct source *s)
{
	size_t size = expected + 1 > READ_FIRST ? expected + 1 : READ_FIRST;
	char *bigger;
	ssize_t n;

	for (s->len = 0;; s->len += (size_t)n) {
		if (!s->text || s->len == size) {
			size = s->text ? 2 * size : size;
			bigger = realloc(s->text, size + 1);
			if (!bigger) {
				problems_add(r->p, path, 0, "out of memory");
				return -1;
			}
			s->text = bigger;
		}
		do
			n = read(fd, s->text + s->len, size - s->len);
		while (n < 0 && errno == EINTR);
		if (n < 0) {
			problems_add(r->p, path, 0, "cannot be read: %s", strerror(errno));
			return -1;
		}
		if (n == 0)
			break;
		if (s->len + (size_t)n > SOURCE_BYTES) {
			problems_add(r->p, path, 0, "is larger than %d MiB", SOURCE_BYTES >> 20);
			return -1;
		}
	}
	s->text[s->len] = '\0';
	bigger = realloc(s->text, s->len + 1);
	if (bigger)
		s->text = bigger;
	return 0;
}

static int
check_text(const struct reader *r, const struct source *s)
{
	const char *nul = memchr(s->text, '\0', s->len);
	int line = 1;

	if (!nul)
		return 0;
	for (const char *c = s->text; c < nul; c++)
		line += *c == '\n';
	problems_add(r->p, s->name, line, "NUL byte: this is not a text file");
	return -1;
}

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

	if (fstat(fd, &st) < 0) {
		problems_add(r->p, path, 0, "cannot be read: %s", strerror(errno));
		return -1;
	}
	if (check_file(r, path, &st) < 0)
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
	if (read_all(r, path, fd, (size_t)st.st_size, s) < 0 || check_text(r, s) < 0)
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
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
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
