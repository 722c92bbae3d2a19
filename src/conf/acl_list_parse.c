/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The bytes of list files.  A line that is not wholly understood makes the file
 * useless: who it was to let in or keep out, nobody can tell.
 *
 * Runs in the master, its trial child and hatchctl; called by acl_list.c.  Reads
 * no files itself, and looks up names by resolve.c alone.
 */
#include "config.h"

#include "acl_list_parse.h"

#include <stdlib.h>
#include <string.h>

#include "source.h"

struct parser {			/* of one file */
	const struct acl_list_order *order;
	struct acl_list_entry *entries;
	uint32_t n, room;
	int bad;
};

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
	while (last > line && strchr(" \t\r", last[-1]))
		last--;
	*last = '\0';
	return line;
}

static void
bad_line(struct parser *p, uint32_t line, const char *text, const char *why)
{
	const struct acl_list_order *o = p->order;

	/* control characters never get further than this, nor more than is of use */
	problems_add(o->problems, o->path, (int)line, "%s: %s%.200s%s%s", o->what,
		     text ? "'" : "", text ? text : "", text ? "': " : "", why);
	p->bad++;
}

static bool
append(struct parser *p, const struct acl_entry *e, uint32_t line)
{
	struct acl_list_entry *bigger;
	uint32_t room;

	if (p->n == p->room) {
		room = p->room ? 2 * p->room : 64;
		bigger = reallocarray(p->entries, room, sizeof(*bigger));
		if (!bigger)
			return false;
		p->entries = bigger;
		p->room = room;
	}
	p->entries[p->n++] = (struct acl_list_entry){ *e, line };
	return true;
}

/* An entry as it stands in a line. */
static void
take(struct parser *p, const char *text, uint32_t line)
{
	struct acl_entry e[NAMES_ADDRS];
	char why[ACL_WHY_LEN];
	int n = resolve_entry(p->order->resolve, text, e, why);

	if (n < 0) {
		bad_line(p, line, text, why);
	} else if (e[0].kind == ACL_FILE) {
		bad_line(p, line, text, "a list file can't name another one");
	} else {
		for (int i = 0; i < n; i++)
			if (!append(p, &e[i], line)) {
				bad_line(p, line, NULL, "out of memory");
				p->bad = ACL_LIST_BAD;
				return;
			}
	}
}

static void
take_all(struct parser *p, char *text, size_t len)
{
	const char *end = text + len;
	uint32_t line = 0, n = 0;
	size_t bytes;
	char *word;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		bad_line(p, 1, NULL, "the file begins with a byte order mark: save it as UTF-8 "
			 "without one");
		return;
	}
	while (p->bad < ACL_LIST_BAD && (word = next_line(&text, end, &bytes))) {
		line++;
		if (line > ACL_LIST_LINES) {
			bad_line(p, line, NULL, "more than 1000000 lines");
			return;
		}
		if (bytes > SOURCE_LINE) {
			bad_line(p, line, NULL, "the line is longer than 4096 bytes");
			continue;
		}
		if (*word == '\0')
			continue;
		if (n++ == ACL_LIST_ENTRIES) {
			bad_line(p, line, NULL, "more than 100000 entries");
			return;
		}
		take(p, word, line);
	}
}

_Static_assert(ACL_LIST_LINES == 1000000 && SOURCE_LINE == 4096 && ACL_LIST_ENTRIES == 100000,
	       "messages say so");

int
acl_list_parse(const struct acl_list_order *o, char *text, size_t len, struct acl_list *ret)
{
	struct parser p = { .order = o };

	take_all(&p, text, len);
	if (p.bad) {
		free(p.entries);
		return -1;
	}
	*ret = (struct acl_list){ p.entries, p.n };
	return 0;
}

void
acl_list_fini(struct acl_list *l)
{
	free((void *)l->entries);
}

const char *
acl_list_find(char *text, size_t len, uint32_t line)
{
	const char *end = text + len, *word = NULL;
	size_t bytes;

	for (uint32_t i = 0; i < line; i++) {
		word = next_line(&text, end, &bytes);
		if (!word)
			break;
	}
	return word;
}
