/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * `conf = { ... }`: which files a main file takes in.
 *
 * The patterns are read by our own tokens, because the files have to be read
 * before libConfuse sees any of them.  A pattern that ends in '*' does not take
 * in what editors and package managers leave behind.
 *
 * Called by source.c only.
 */
#include "config.h"

#include "include.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "token.h"

struct list {
	struct include *inc;
	size_t n, size;
};

static bool
list_add(struct list *l, const struct token_reader *r, const struct token *t)
{
	struct include *bigger;
	size_t size;

	if (l->n + 1 >= l->size) {
		size = l->size ? 2 * l->size : 8;
		bigger = reallocarray(l->inc, size, sizeof(*bigger));
		if (!bigger)
			return false;
		l->inc = bigger;
		l->size = size;
	}
	l->inc[l->n].pattern = token_value(r, t);
	l->inc[l->n].line = t->line;
	if (!l->inc[l->n].pattern)
		return false;
	l->inc[++l->n].pattern = NULL;
	return true;
}

/* One entry of the top level: if it is `conf = ...`, its values. */
static bool
read_entry(struct token_reader *r, size_t end, struct list *l)
{
	struct token t;

	if (token_next(r, &t) != TOKEN_WORD || t.len != 4 || memcmp(r->text + t.at, "conf", 4))
		return true;
	if (token_next(r, &t) != TOKEN_EQUALS)
		return true;
	while (r->at < end) {
		if (token_next(r, &t) == TOKEN_END)
			break;
		if ((t.kind == TOKEN_WORD || t.kind == TOKEN_STRING) && !list_add(l, r, &t))
			return false;
	}
	return true;
}

static bool
in_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '-' || c == '.' || c == '/';
}

/* Does the setting's name stand anywhere?  Saves the walk over a long file that
 * takes in no others. */
static bool
has_name(const char *text)
{
	const char *at = text;

	for (; (at = strstr(at, "conf")); at += 4)
		if ((at == text || !in_word(at[-1])) && !in_word(at[4]))
			return true;
	return false;
}

struct include *
include_list(const struct source *s, bool *ret_memory)
{
	struct list l = { 0 };
	struct source_slice slice;
	struct token_reader r;
	size_t pos = 0;

	*ret_memory = true;
	if (!has_name(s->text))
		return NULL;
	token_init(&r, s);
	while (source_next(s, &pos, &slice)) {
		r.at = slice.at;
		r.line = slice.line;
		if (!read_entry(&r, slice.at + slice.len, &l)) {
			*ret_memory = false;
			include_list_free(l.inc);
			return NULL;
		}
	}
	return l.inc;
}

void
include_list_free(struct include *list)
{
	for (struct include *i = list; i && i->pattern; i++)
		free(i->pattern);
	free(list);
}

char **
source_globs(const struct source *s)
{
	bool memory;
	struct include *list = include_list(s, &memory);
	char **globs;
	size_t n = 0;

	if (!list)
		return NULL;
	while (list[n].pattern)
		n++;
	globs = calloc(n + 1, sizeof(*globs));
	for (size_t i = 0; globs && i < n; i++) {
		globs[i] = list[i].pattern;
		list[i].pattern = NULL;
	}
	if (!globs)
		include_list_free(list);
	else
		free(list);
	return globs;
}

void
source_globs_free(char **globs)
{
	include_paths_free(globs);
}

void
include_paths_free(char **paths)
{
	for (char **p = paths; p && *p; p++)
		free(*p);
	free(paths);
}

bool
include_is_literal(const char *pattern)
{
	return !strpbrk(pattern, "*?[");
}

/* pattern as it is from the working directory; the main file's directory is
 * no pattern, so what is special in it is escaped. */
static char *
beside(const char *main_file, const char *pattern)
{
	const char *slash = strrchr(main_file, '/');
	size_t n = slash ? (size_t)(slash - main_file) + 1 : 0;
	bool literal = include_is_literal(pattern);
	char *path, *to;

	if (*pattern == '/' || n == 0)
		return strdup(pattern);
	path = to = malloc(2 * n + strlen(pattern) + 1);
	if (!path)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (!literal && strchr("*?[\\", main_file[i]))
			*to++ = '\\';
		*to++ = main_file[i];
	}
	strcpy(to, pattern);
	return path;
}

/* Left behind by an editor or a package manager. */
static bool
is_leftover(const char *path)
{
	static const char *const suffixes[] = {
		"~", ".bak", ".dpkg-old", ".dpkg-new", ".dpkg-dist", ".rpmsave", ".rpmnew",
	};
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t len = strlen(name), n;

	if (*name == '.')
		return true;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		n = strlen(suffixes[i]);
		if (len >= n && !strcmp(name + len - n, suffixes[i]))
			return true;
	}
	return false;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* glob(3): a directory that isn't there is no match, one that can't be read is
 * an error. */
static int
on_glob_error(const char *path, int error)
{
	(void)path;
	if (error == ENOENT || error == ENOTDIR)
		return 0;
	errno = error;
	return 1;
}

static char **
copy_matches(const glob_t *g, bool skip_leftovers)
{
	char **paths = calloc(g->gl_pathc + 1, sizeof(*paths));
	size_t n = 0;

	for (size_t i = 0; paths && i < g->gl_pathc; i++) {
		if (skip_leftovers && is_leftover(g->gl_pathv[i]))
			continue;
		paths[n] = strdup(g->gl_pathv[i]);
		if (!paths[n++]) {
			include_paths_free(paths);
			return NULL;
		}
	}
	if (paths)
		qsort(paths, n, sizeof(*paths), compare);
	return paths;
}

static char **
expand(const char *path, const char **ret_why)
{
	bool all = path[strlen(path) - 1] == '*';
	char **paths;
	glob_t g;

	*ret_why = "out of memory";
	switch (glob(path, GLOB_NOSORT, on_glob_error, &g)) {
	case 0:
		paths = copy_matches(&g, all);
		globfree(&g);
		return paths;
	case GLOB_NOMATCH:
		return calloc(1, sizeof(*paths));
	case GLOB_ABORTED:
		*ret_why = strerror(errno);
		return NULL;
	default:
		return NULL;
	}
}

char **
include_expand(const char *main_file, const struct include *inc, struct problems *p)
{
	const char *why = "out of memory";
	char *path, **paths = NULL;

	if (!*inc->pattern) {
		problems_add(p, main_file, inc->line, "conf: a path is empty");
		return NULL;
	}
	path = beside(main_file, inc->pattern);
	if (path && !include_is_literal(inc->pattern)) {
		paths = expand(path, &why);
		free(path);
	} else if (path) {
		paths = calloc(2, sizeof(*paths));
		if (paths)
			paths[0] = path;
		else
			free(path);
	}
	if (!paths)
		problems_add(p, main_file, inc->line, "conf: \"%s\": %s", inc->pattern, why);
	return paths;
}
