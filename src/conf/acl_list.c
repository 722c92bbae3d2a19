/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * List files.  A line that is not wholly understood makes the file useless: who
 * it was to let in or keep out, nobody can tell.
 *
 * Runs in the master, its trial child and hatchctl; called by conf_gate.c.
 */
#include "config.h"

#include "acl_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source.h"
#include "textfile.h"

#define BAD_LINES 10		/* that are told of one file */

struct file {
	char *path;
	bool good;
	struct acl_list list;
};

struct acl_lists {
	struct file files[ACL_LISTS];
	int n;
};

struct reader {			/* of one file */
	const char *path, *what;
	struct resolve *resolve;
	struct problems *p;
	struct acl_list_entry *entries;
	uint32_t n, room;
	int bad;
};

struct acl_lists *
acl_lists_new(void)
{
	return calloc(1, sizeof(struct acl_lists));
}

void
acl_lists_clear(struct acl_lists *l)
{
	for (int i = 0; i < l->n; i++) {
		free(l->files[i].path);
		free((void *)l->files[i].list.entries);
	}
	memset(l, 0, sizeof(*l));
}

void
acl_lists_free(struct acl_lists *l)
{
	if (!l)
		return;
	acl_lists_clear(l);
	free(l);
}

/* The next line of *text, which ends at end: cut off, without its comment and
 * the blanks around it; NULL: there is none.  *text: what follows. */
static char *
next_line(char **text, const char *end, size_t *ret_len)
{
	char *line = *text, *stop, *last;

	if (line == end)
		return NULL;
	stop = strchrnul(line, '\n');
	*text = *stop ? stop + 1 : stop;
	*stop = '\0';
	*ret_len = (size_t)(stop - line);
	last = strchrnul(line, '#');
	line += strspn(line, " \t\r");
	if (line > last)
		line = last;
	while (last > line && strchr(" \t\r", last[-1]))
		last--;
	*last = '\0';
	return line;
}

static void
bad_line(struct reader *r, uint32_t line, const char *text, const char *why)
{
	/* control characters never get further than this */
	problems_add(r->p, r->path, (int)line, "%s: %s%s%s%s", r->what, text ? "'" : "",
		     text ? text : "", text ? "': " : "", why);
	r->bad++;
}

static bool
append(struct reader *r, const struct acl_entry *e, uint32_t line)
{
	struct acl_list_entry *bigger;
	uint32_t room;

	if (r->n == r->room) {
		room = r->room ? 2 * r->room : 64;
		bigger = reallocarray(r->entries, room, sizeof(*bigger));
		if (!bigger)
			return false;
		r->entries = bigger;
		r->room = room;
	}
	r->entries[r->n++] = (struct acl_list_entry){ *e, line };
	return true;
}

/* An entry as it stands in a line. */
static void
take(struct reader *r, const char *text, uint32_t line)
{
	struct acl_entry e[NAMES_ADDRS];
	char why[ACL_WHY_LEN];
	int n = resolve_entry(r->resolve, text, e, why);

	if (n < 0) {
		bad_line(r, line, text, why);
	} else if (e[0].kind == ACL_FILE) {
		bad_line(r, line, text, "a list file can't name another one");
	} else {
		for (int i = 0; i < n; i++)
			if (!append(r, &e[i], line)) {
				bad_line(r, line, NULL, "out of memory");
				r->bad = BAD_LINES;
				return;
			}
	}
}

static void
parse(struct reader *r, char *text, size_t len)
{
	const char *end = text + len;
	uint32_t line = 0, n = 0;
	size_t bytes;
	char *word;

	while (r->bad < BAD_LINES && (word = next_line(&text, end, &bytes))) {
		line++;
		if (line > ACL_LIST_LINES) {
			bad_line(r, line, NULL, "more than 1000000 lines");
			return;
		}
		if (bytes > SOURCE_LINE) {
			bad_line(r, line, NULL, "the line is longer than 4096 bytes");
			continue;
		}
		if (*word == '\0')
			continue;
		if (n++ == ACL_LIST_ENTRIES) {
			bad_line(r, line, NULL, "more than 100000 entries");
			return;
		}
		take(r, word, line);
	}
}

_Static_assert(ACL_LIST_LINES == 1000000 && SOURCE_LINE == 4096 && ACL_LIST_ENTRIES == 100000,
	       "messages say so");

static void
load(struct file *f, const struct conf_rule *rule, const char *what, uid_t owner,
     struct resolve *resolve, struct problems *p)
{
	struct reader r = { .path = f->path, .what = what, .resolve = resolve, .p = p };
	char *text;
	size_t len;

	text = textfile_load(f->path, owner, p, &len);
	if (!text) {
		if (errno)
			problems_add(p, rule->file, rule->line, "%s: '%s' cannot be opened: %s",
				     what, rule->text, strerror(errno));
		else
			problems_add(p, rule->file, rule->line, "%s: '%s' has errors", what,
				     rule->text);
		return;
	}
	parse(&r, text, len);
	free(text);
	f->list.entries = r.entries;
	f->list.n = r.n;
	f->good = r.bad == 0;
}

const struct acl_list *
acl_lists_get(struct acl_lists *l, const struct conf_rule *rule, const char *what, uid_t owner,
	      struct resolve *r, struct problems *p)
{
	const char *path = rule->text + strlen("file:");
	struct file *f;

	for (int i = 0; i < l->n; i++) {
		f = &l->files[i];
		if (strcmp(f->path, path) != 0)
			continue;
		if (!f->good)
			problems_add(p, rule->file, rule->line, "%s: '%s' has errors", what,
				     rule->text);
		return f->good ? &f->list : NULL;
	}
	if (l->n == ACL_LISTS) {
		problems_add(p, rule->file, rule->line, "%s: '%s': more than %d list files", what,
			     rule->text, ACL_LISTS);
		return NULL;
	}
	f = &l->files[l->n];
	f->path = strdup(path);
	if (!f->path) {
		problems_add(p, rule->file, rule->line, "%s: out of memory", what);
		return NULL;
	}
	l->n++;
	load(f, rule, what, owner, r, p);
	return f->good ? &f->list : NULL;
}

bool
acl_list_line(const char *path, uid_t owner, uint32_t line, char *buf, size_t size)
{
	struct problems *p = problems_new();
	size_t len, bytes;
	char *text = p ? textfile_load(path, owner, p, &len) : NULL;
	char *at = text, *word = NULL;

	for (uint32_t i = 0; text && i < line; i++) {
		word = next_line(&at, text + len, &bytes);
		if (!word)
			break;
	}
	if (word)
		(void)snprintf(buf, size, "%s", word);
	free(text);
	problems_free(p);
	return word && *buf;
}
