/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A walk over the names of settings, before libConfuse sees a text.
 *
 * libConfuse copies its whole table of options for each section, so it is given
 * only those that occur; and it neither tells of repeated settings nor goes on
 * behind an unknown one.  Values are none of this file's business.
 *
 * Works on guarded text: no comments, quotes and braces are balanced.  Runs in
 * the master, its trial child and hatchctl; called by conf_load.c.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "conf_scan.h"
#include "token.h"

#define TITLE_SHOWN 51

struct scan {
	const char *file;
	int file_index;
	char *text;
	struct token_reader reader;
	struct token t;		/* the current one */
	size_t end;		/* of the one before */
	struct problems *problems;
	struct conf_entries *to;
	struct conf_entry *entry;
	bool empty;		/* the value was { } */
	bool no_memory;
	const char *where;	/* for messages: " in service " */
	const char *title;	/* and "git" */
	int title_len;
	int lines[SCHEMA_ITEMS];	/* of those in entry->set */
};

/* libConfuse takes a string apart byte by byte, but a word in one piece: a string
 * that could be a word becomes one, with blanks for its quotes. */
static void
unquote(struct scan *x)
{
	static const unsigned char bare[256] = {	/* 2: not twice, not at the end */
		['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['0' ... ':'] = 1,
		['-'] = 1, ['.'] = 1, ['@'] = 1, ['_'] = 1, ['/'] = 2,
	};
	char *s = x->text + x->t.at;
	size_t last = x->t.len - 1, i;

	for (i = 1; i < last && bare[(unsigned char)s[i]]; i++)
		if (s[i] == '/' && bare[(unsigned char)s[i + 1]] != 1)
			return;
	if (i == last && i > 1)
		s[0] = s[last] = ' ';
}

static void
next(struct scan *x)
{
	x->end = x->t.at + x->t.len;
	if (token_next(&x->reader, &x->t) == TOKEN_STRING)
		unquote(x);
}

static bool
is_value(const struct scan *x)
{
	return x->t.kind == TOKEN_WORD || x->t.kind == TOKEN_STRING;
}

/* From a { to behind its }. */
static bool
skip_braces(struct scan *x)
{
	int depth = 0;

	for (;; next(x)) {
		if (x->t.kind == TOKEN_END)
			return false;
		if (x->t.kind == TOKEN_OPEN)
			depth++;
		if (x->t.kind == TOKEN_CLOSE && --depth == 0)
			break;
	}
	next(x);
	return true;
}

/* A statement from its name up to the current token. */
static void
leave_out(struct scan *x, const struct token *name)
{
	size_t i;

	for (i = name->at; i < x->t.at; i++)
		if (x->text[i] != '\n')
			x->text[i] = ' ';
	x->entry->faulty = true;
}

/* "limits" for what is in limits { }, "" for what is in no inner section. */
static const char *
section_name(unsigned section)
{
	unsigned i;

	for (i = SET_ACCESS; i <= SET_RLIMITS; i++)
		if (schema[i].sub == section)
			return schema[i].name;
	return "";
}

static void
unknown(struct scan *x, enum schema_section section, const struct token *name)
{
	const char *text = x->text + name->at, *inner = section_name(section);
	const char *hint = "", *meant = "", *end = "";
	char buf[64];
	int id = -1;
	unsigned s;

	for (s = 0; s < SCHEMA_SECTIONS && id < 0; s++)
		id = schema_find(s, text, name->len);
	if (id >= 0 && schema[id].in == SCHEMA_GLOBAL) {
		hint = ": it belongs outside of any section";
	} else {
		if (id < 0)
			id = schema_guess(section, text, name->len);
		if (id >= 0) {
			hint = ": did you mean '";
			meant = schema_name(id, section == SCHEMA_GLOBAL, buf);
			end = "'?";
		}
	}
	problems_add(x->problems, x->file, name->line, "unknown setting '%s%s%.*s'%s%.*s%s%s%s",
		     inner, *inner ? "." : "", (int)name->len, text, x->where, x->title_len,
		     x->title, hint, meant, end);
}

/* Is the setting allowed where it stands?  If not, that was reported. */
static bool
allowed(struct scan *x, enum schema_section section, int id, const struct token *name)
{
	char buf[64];

	if (id < 0) {
		unknown(x, section, name);
		return false;
	}
	if (schema_set_has(&x->entry->set, id)) {
		problems_add(x->problems, x->file, name->line,
			     "'%s' is given twice%s%.*s (first in line %d)",
			     schema_name(id, false, buf), x->where, x->title_len, x->title,
			     x->lines[id]);
		return false;
	}
	if (x->entry->id == SET_DEFAULTS && (schema[id].flags & SCHEMA_NOT_IN_DEFAULTS)) {
		problems_add(x->problems, x->file, name->line,
			     "'%s' can't be given in defaults", schema[id].name);
		return false;
	}
	return true;
}

static bool scan_body(struct scan *x, enum schema_section section);

/* A section from its title or {, the current token. */
static bool
scan_section(struct scan *x, enum schema_section section, int id, const struct token *name)
{
	if (is_value(x))
		next(x);
	if (x->t.kind != TOKEN_OPEN || (id >= 0 && schema[id].type != SCHEMA_SUB))
		return false;
	if (!allowed(x, section, id, name)) {
		if (!skip_braces(x))
			return false;
		leave_out(x, name);
		return true;
	}
	schema_set_add(&x->entry->set, id);
	x->lines[id] = name->line;
	next(x);
	if (!scan_body(x, schema[id].sub) || x->t.kind != TOKEN_CLOSE)
		return false;
	next(x);
	return true;
}

static bool
is_blank(const char *text, size_t len)
{
	for (; len > 0 && strchr(" \t\r\n", *text); text++)
		len--;
	return len == 0;
}

/* libConfuse tells values only, so where there is none is noted here. */
static void
note_empty(struct scan *x, int id, int line)
{
	struct conf_entries *to = x->to;
	struct conf_empty *bigger;
	int max;

	if (to->n_empty == to->max_empty) {
		max = to->max_empty ? 2 * to->max_empty : 16;
		bigger = reallocarray(to->empty, (size_t)max, sizeof(*bigger));
		if (!bigger) {
			x->no_memory = true;
			return;
		}
		to->empty = bigger;
		to->max_empty = max;
	}
	to->empty[to->n_empty++] = (struct conf_empty){ line, (int16_t)id };
	x->entry->n_empty++;
}

/* "= value", the current token is the "=". */
static bool
scan_value(struct scan *x)
{
	size_t at;
	bool ok;

	if (x->t.kind != TOKEN_EQUALS)
		return false;
	next(x);
	x->empty = false;
	if (x->t.kind == TOKEN_OPEN) {
		at = x->t.at;
		ok = skip_braces(x);
		x->empty = ok && is_blank(x->text + at + 1, x->end - at - 2);
		return ok;
	}
	if (!is_value(x))
		return false;
	next(x);
	return true;
}

/* The current token is behind the name: "=", "{" or a title. */
static bool
scan_statement(struct scan *x, enum schema_section section, const struct token *name)
{
	int id = schema_find(section, x->text + name->at, name->len);

	if (x->t.kind != TOKEN_EQUALS)
		return scan_section(x, section, id, name);
	if (!scan_value(x))
		return false;
	if (!allowed(x, section, id, name)) {
		leave_out(x, name);
		return true;
	}
	schema_set_add(&x->entry->set, id);
	x->lines[id] = name->line;
	if (x->empty)
		note_empty(x, id, name->line);
	return true;
}

/* Statements up to the } or the end; false: something isn't one. */
static bool
scan_body(struct scan *x, enum schema_section section)
{
	struct token name;

	while (x->t.kind == TOKEN_WORD) {
		name = x->t;
		next(x);
		if (!scan_statement(x, section, &name))
			return false;
	}
	return x->t.kind == TOKEN_END || x->t.kind == TOKEN_CLOSE;
}

/* The title of a service, the current token. */
static void
take_title(struct scan *x)
{
	const char *text = x->text + x->t.at;
	size_t len = x->t.len;

	if (x->t.kind == TOKEN_STRING && len >= 2) {
		text++;
		len -= 2;
	}
	x->where = " in service ";
	x->title = text;
	x->title_len = len < TITLE_SHOWN ? (int)len : TITLE_SHOWN;
	x->entry->line = x->t.line;
	next(x);
}

/* A section at the top, from its title or {. */
static bool
scan_top_section(struct scan *x)
{
	struct conf_entry *e = x->entry;

	if (e->id == SET_SERVICE && x->t.kind == TOKEN_OPEN) {
		problems_add(x->problems, x->file, e->line,
			     "a service needs a name: service \"name\" { ... }");
		e->id = -1;
		return false;
	}
	x->where = " in defaults";
	if (e->id == SET_SERVICE && is_value(x))
		take_title(x);
	if (x->t.kind == TOKEN_OPEN) {
		next(x);
		if (scan_body(x, SCHEMA_SERVICE) && x->t.kind == TOKEN_CLOSE) {
			next(x);
			return true;
		}
	}
	memset(&e->set, 0xff, sizeof(e->set));
	e->odd = true;
	return false;
}

/* What an entry at the top is; the current token is behind its name.  False: it
 * was not read to its end. */
static bool
scan_entry(struct scan *x, const struct token *name)
{
	struct conf_entry *e = x->entry;

	x->where = x->title = "";
	x->title_len = 0;
	e->id = (int16_t)schema_find(SCHEMA_GLOBAL, x->text + name->at, name->len);
	if (e->id < 0) {
		unknown(x, SCHEMA_GLOBAL, name);
		return false;
	}
	schema_set_add(&e->set, e->id);
	if (x->file_index > 0 && (schema[e->id].flags & SCHEMA_MAIN_FILE)) {
		problems_add(x->problems, x->file, e->line,
			     "'%s' can be given in the main file only", schema[e->id].name);
		e->id = -1;
		return false;
	}
	return schema[e->id].type == SCHEMA_SUB ? scan_top_section(x) : scan_value(x);
}

/* The entry that begins with the current token. */
static void
scan_top(struct scan *x)
{
	struct token name = x->t, last;
	struct conf_entry *e = x->entry;

	memset(e, 0, sizeof(*e));
	e->at = name.at;
	e->first_line = e->line = name.line;
	e->file = (int16_t)x->file_index;
	e->empty = x->to->n_empty;
	e->id = -1;
	if (name.kind != TOKEN_WORD)
		problems_add(x->problems, x->file, name.line, "expected the name of a setting");
	next(x);
	if (name.kind != TOKEN_WORD || !scan_entry(x, &name)) {
		x->reader.at = name.at + name.len;
		x->reader.line = name.line;
		token_skip_entry(&x->reader, &last);
		x->t = last;
		next(x);
	}
	e->len = x->end - e->at;
}

int
conf_scan(struct source *s, int file, struct conf_entries *to, struct problems *p)
{
	struct scan x = {
		.file = s->name, .file_index = file, .text = s->text, .problems = p,
		.to = to,
	};
	struct conf_entry *bigger;
	int max;

	token_init(&x.reader, s);
	for (next(&x); x.t.kind != TOKEN_END;) {
		if (to->n == to->max) {
			max = to->max ? 2 * to->max : 64;
			bigger = reallocarray(to->list, (size_t)max, sizeof(*bigger));
			if (!bigger)
				return -1;
			to->list = bigger;
			to->max = max;
		}
		x.entry = &to->list[to->n++];
		scan_top(&x);
		if (x.no_memory)
			return -1;
	}
	return 0;
}
