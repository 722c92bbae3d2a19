/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Tokens and slices of a guarded text.
 *
 * Guarded text has no comments, no open strings and no byte outside of quotes
 * that libConfuse would treat oddly, so little is left to be done here.  The
 * fuzz target fuzz_guard holds this against libConfuse's own lexer.
 *
 * Pure; called by conf_load (slices) and include.c (patterns).
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

static size_t
string_len(const char *text, size_t len)
{
	size_t i;

	for (i = 1; i < len && text[i] != text[0]; i++)
		if (text[i] == '\\')
			i++;
	return i < len ? i + 1 : len;
}

static const bool ends_word[256] = {
	[' '] = true, ['\t'] = true, ['\n'] = true, ['\r'] = true,
	['"'] = true, ['\''] = true, ['#'] = true,
	['{'] = true, ['}'] = true, ['='] = true, [','] = true,
};

static size_t
word_len(const char *text, size_t len)
{
	size_t i;

	for (i = 1; i < len && !ends_word[(unsigned char)text[i]]; i++)
		;
	return i;
}

static enum token_kind
kind_of(char c)
{
	switch (c) {
	case '{': return TOKEN_OPEN;
	case '}': return TOKEN_CLOSE;
	case '=': return TOKEN_EQUALS;
	case ',': return TOKEN_COMMA;
	case '"': case '\'': return TOKEN_STRING;
	default: return TOKEN_WORD;
	}
}

enum token_kind
token_next(struct token_reader *r, struct token *ret)
{
	const char *t;

	for (; r->at < r->len; r->at++) {
		t = r->text + r->at;
		if (*t == '\n')
			r->line++;
		else if (*t != ' ' && *t != '\t' && *t != '\r')
			break;
	}
	ret->at = r->at;
	ret->line = r->line;
	ret->len = 0;
	ret->kind = TOKEN_END;
	if (r->at == r->len)
		return TOKEN_END;
	t = r->text + r->at;
	ret->kind = kind_of(*t);
	if (ret->kind == TOKEN_STRING)
		ret->len = string_len(t, r->len - r->at);
	else if (ret->kind == TOKEN_WORD)
		ret->len = word_len(t, r->len - r->at);
	else
		ret->len = 1;
	r->at += ret->len;
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

/* A setting ends with its value, which may be a list; a section with the '}'
 * that closes it. */
static void
entry_end(struct token_reader *r, struct token *last)
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
	entry_end(&r, &last);
	ret->at = first.at;
	ret->len = last.at + last.len - first.at;
	ret->line = first.line;
	*pos = r.at;
	return true;
}
