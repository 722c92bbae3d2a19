/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The list of what is wrong with a configuration, as lines for an
 * administrator: "file:line: text".
 *
 * Text and file names may hold bytes of the configuration; they are made
 * harmless here, once, so nobody else has to think of it.  Errors and warnings
 * are bounded apart: warnings never hide an error.
 *
 * Runs in the master, its trial child and hatchctl; filled by src/conf/,
 * printed by whoever asked for the configuration.
 */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "escape.h"

#define TEXT 1024		/* bytes of one problem before escaping */
#define FILE_TEXT 512		/* bytes of an escaped file name */

struct problem {
	char *file;		/* as given; "" for none */
	char *text;		/* the whole line, escaped */
	int line;
	int number;		/* keeps the order of what was added */
	bool warning;
};

struct kind {
	struct problem *list[CONF_PROBLEMS];
	int n;			/* in list */
	int count;		/* of all */
};

struct problems {
	struct kind errors, warnings;
};

struct problems *
problems_new(void)
{
	return calloc(1, sizeof(struct problems));
}

static void
problem_free(struct problem *e)
{
	if (!e)
		return;
	free(e->file);
	free(e->text);
	free(e);
}

static void
kind_fini(struct kind *k)
{
	for (int i = 0; i < k->n; i++)
		problem_free(k->list[i]);
}

void
problems_free(struct problems *p)
{
	if (!p)
		return;
	kind_fini(&p->errors);
	kind_fini(&p->warnings);
	free(p);
}

/* Like escape_text(), but quotes and backslashes stay: these are lines to be
 * read, and the quotes are mostly our own. */
static void
make_harmless(char *dst, size_t size, const char *src)
{
	size_t n, used, at = 0;

	while (*src && at + 1 < size) {
		n = strcspn(src, "\"\\");
		if (n) {
			at += escape_text(dst + at, size - at, src, n, &used);
			src += used;
			if (used < n)
				break;
		}
		while ((*src == '"' || *src == '\\') && at + 1 < size)
			dst[at++] = *src++;
	}
	dst[at] = '\0';
}

static struct problem *
problem_new(const char *file, int line, const char *text)
{
	struct problem *e = calloc(1, sizeof(*e));
	char name[FILE_TEXT], safe[4 * TEXT];
	int n;

	if (!e)
		return NULL;
	make_harmless(safe, sizeof(safe), text);
	make_harmless(name, sizeof(name), file ? file : "");
	if (!*name)
		n = asprintf(&e->text, "%s", safe);
	else if (line > 0)
		n = asprintf(&e->text, "%s:%d: %s", name, line, safe);
	else
		n = asprintf(&e->text, "%s: %s", name, safe);
	if (n < 0)
		e->text = NULL;
	e->file = strdup(file ? file : "");
	e->line = line;
	if (!e->text || !e->file) {
		problem_free(e);
		return NULL;
	}
	return e;
}

/* Without memory it is still counted. */
static void
add(struct kind *k, bool warning, const char *file, int line, const char *fmt, va_list ap)
{
	char text[TEXT];
	struct problem *e;

	k->count++;
	if (k->n == CONF_PROBLEMS)
		return;
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		return;
	e = problem_new(file, line, text);
	if (!e)
		return;
	e->warning = warning;
	e->number = k->count;
	k->list[k->n++] = e;
}

void
problems_add(struct problems *p, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(&p->errors, false, file, line, fmt, ap);
	va_end(ap);
}

void
problems_warn(struct problems *p, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(&p->warnings, true, file, line, fmt, ap);
	va_end(ap);
}

int
problems_count(const struct problems *p)
{
	return p->errors.count;
}

static int
compare(const void *va, const void *vb)
{
	const struct problem *a = *(struct problem *const *)va;
	const struct problem *b = *(struct problem *const *)vb;
	int d = strcmp(a->file, b->file);

	if (d)
		return d;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->warning != b->warning)
		return a->warning ? 1 : -1;
	return a->number < b->number ? -1 : 1;
}

static void
tell_rest(const struct kind *k, void (*fn)(bool warning, const char *text, void *arg), void *arg)
{
	char text[64];

	if (k->count <= k->n || k->n == 0)
		return;
	(void)snprintf(text, sizeof(text), "%d more like these are not shown", k->count - k->n);
	fn(k->list[0]->warning, text, arg);
}

void
problems_each(const struct problems *p, void (*fn)(bool warning, const char *text, void *arg),
	      void *arg)
{
	struct problem *all[2 * CONF_PROBLEMS];
	size_t n = 0;

	for (int i = 0; i < p->errors.n; i++)
		all[n++] = p->errors.list[i];
	for (int i = 0; i < p->warnings.n; i++)
		all[n++] = p->warnings.list[i];
	qsort(all, n, sizeof(all[0]), compare);
	for (size_t i = 0; i < n; i++)
		fn(all[i]->warning, all[i]->text, arg);
	tell_rest(&p->errors, fn, arg);
	tell_rest(&p->warnings, fn, arg);
}
