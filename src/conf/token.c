/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Tokens and slices of a guarded text.
 *
 * Guarded text has no comments, no open strings and no byte outside of quotes
 * that libConfuse would treat oddly, so little is left to be done here.  The
 * fuzz target fuzz_guard holds this against libConfuse's own lexer.
 *
 * Pure; called by conf_scan.c (settings) and include.c (patterns).
 */
#include "config.h"

#include "token.h"

#include <stdlib.h>
#include <string.h>

void
token_init(struct token_reader *r, const struct source *s)
{
	r->text = s->text;
	r->len = s->len;
	r->at = 0;
	r->line = 1;
}

enum {				/* what a byte is between tokens, or kind + FIRST_KIND */
	FIRST_WORD, BLANK, NEWLINE, FIRST_KIND
};

#define KIND(k) (FIRST_KIND + (k))

static const unsigned char class[256] = {
	[' '] = BLANK, ['\t'] = BLANK, ['\r'] = BLANK, ['\n'] = NEWLINE,
	['"'] = KIND(TOKEN_STRING), ['\''] = KIND(TOKEN_STRING), ['#'] = KIND(TOKEN_WORD),
	['{'] = KIND(TOKEN_OPEN), ['}'] = KIND(TOKEN_CLOSE),
	['='] = KIND(TOKEN_EQUALS), [','] = KIND(TOKEN_COMMA),
};

/* Behind the string that begins at t. */
static const char *
string_end(const char *t, const char *end)
{
	char quote = *t;

	for (t++; t < end && *t != quote; t++)
		if (*t == '\\')
			t++;
	return t < end ? t + 1 : end;
}

enum token_kind
token_next(struct token_reader *r, struct token *ret)
{
	const char *t = r->text + r->at, *end = r->text + r->len, *from;
	unsigned c = FIRST_WORD;
	int line = r->line;

	for (; t < end && ((c = class[(unsigned char)*t]) == BLANK || c == NEWLINE); t++)
		line += c == NEWLINE;
	from = t;
	if (t == end) {
		ret->kind = TOKEN_END;
	} else if (c == FIRST_WORD || c == KIND(TOKEN_WORD)) {
		ret->kind = TOKEN_WORD;
		for (t++; t < end && class[(unsigned char)*t] == FIRST_WORD; t++)
			;
	} else {
		ret->kind = (enum token_kind)(c - FIRST_KIND);
		t = ret->kind == TOKEN_STRING ? string_end(t, end) : t + 1;
	}
	ret->at = (size_t)(from - r->text);
	ret->len = (size_t)(t - from);
	ret->line = r->line = line;
	r->at = (size_t)(t - r->text);
	return ret->kind;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return (c | 0x20) - 'a' + 10;
}

/* What follows the backslash at *at; moves *at behind it. */
static char
escape(const char *text, size_t *at, size_t end)
{
	int n = 0;
	char c = text[(*at)++];

	switch (c) {
	case 'n': return '\n';
	case 'r': return '\r';
	case 't': return '\t';
	case 'x':
		for (int i = 0; i < 2 && *at < end; i++)
			n = n * 16 + hex(text[(*at)++]);
		return (char)n;
	}
	if (c < '0' || c > '7')
		return c;
	n = c - '0';
	for (int i = 0; i < 2 && *at < end && text[*at] >= '0' && text[*at] <= '7'; i++)
		n = n * 8 + text[(*at)++] - '0';
	return (char)n;
}

char *
token_value(const struct token_reader *r, const struct token *t)
{
	const char *text = r->text + t->at;
	size_t i = 1, n = 0, end;
	char *value;

	if (t->kind != TOKEN_STRING)
		return strndup(text, t->len);
	value = malloc(t->len + 1);
	if (!value)
		return NULL;
	end = t->len > 1 ? t->len - 1 : t->len;
	while (i < end) {
		if (text[i] != '\\' || i + 1 >= end) {
			value[n++] = text[i++];
		} else if (*text == '"') {
			i++;
			value[n++] = escape(text, &i, end);
		} else {
			if (text[i + 1] == '\\' || text[i + 1] == '\'')
				i++;
			value[n++] = text[i++];
		}
	}
	value[n] = '\0';
	return value;
}

static int
lines_between(const char *text, size_t from, size_t to)
{
	const char *p = text + from, *end = text + to;
	int n = 0;

	while ((p = memchr(p, '\n', (size_t)(end - p)))) {
		n++;
		p++;
	}
	return n;
}

void
token_skip_entry(struct token_reader *r, struct token *last)
{
	enum token_kind k, before = TOKEN_WORD;
	int depth = 0;

	while ((k = token_next(r, last)) != TOKEN_END) {
		if (k == TOKEN_OPEN)
			depth++;
		else if (k == TOKEN_CLOSE && --depth <= 0)
			return;
		else if (depth == 0 && before == TOKEN_EQUALS)
			return;
		before = k;
	}
}

_Bool
source_next(const struct source *s, size_t *pos, struct source_slice *ret)
{
	struct token_reader r;
	struct token first, last;

	token_init(&r, s);
	if (*pos > s->len)
		return false;
	if (*pos) {
		r.line = ret->line + lines_between(s->text, ret->at, *pos);
		r.at = *pos;
	}
	if (token_next(&r, &first) == TOKEN_END)
		return false;
	token_skip_entry(&r, &last);
	ret->at = first.at;
	ret->len = last.at + last.len - first.at;
	ret->line = first.line;
	*pos = r.at;
	return true;
}
