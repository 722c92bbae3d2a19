/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What stands between a file and libConfuse.
 *
 * libConfuse 3.3 counts lines wrongly after comments, accepts files that end
 * in the middle of a section, drops bytes it doesn't know, expands ${VAR} from
 * the environment, cuts strings at NUL and takes names of settings in quotes
 * or with paths in them.  So this reads a text first, in one pass: comments
 * are blanked where they are (newlines stay, so lines stay true), and whatever
 * would be read in another way than an administrator reads it is refused with
 * its line.  The order of the tokens is checked on the way (grammar.c).
 *
 * Pure but for the problems it reports; runs in the master, its trial child
 * and hatchctl; called by sources_read and conf_load.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "grammar.h"
#include "source.h"

#define PROBLEMS 20		/* after which a file is given up */

enum {				/* bytes that need no look in ... */
	IN_WORD = 1, IN_STRING = 2, IN_COMMENT = 4, IN_ANY = 7,
	ENDS_WORD = 8
};

static const unsigned char plain[256] = {
	[0 ... 0x08] = ENDS_WORD,
	['\t'] = IN_STRING | IN_COMMENT | ENDS_WORD,
	['\n' ... 0x1f] = ENDS_WORD,
	[' '] = IN_STRING | IN_COMMENT | ENDS_WORD,
	['!'] = IN_ANY,
	['"'] = IN_COMMENT | ENDS_WORD,
	['#'] = IN_STRING | IN_COMMENT | ENDS_WORD,
	['$'] = IN_COMMENT,
	['%' ... '&'] = IN_ANY,
	['\''] = IN_COMMENT | ENDS_WORD,
	['(' ... ')'] = IN_STRING | IN_COMMENT,
	['*'] = IN_STRING,
	['+'] = IN_STRING | IN_COMMENT,
	[','] = IN_STRING | IN_COMMENT | ENDS_WORD,
	['-' ... '.'] = IN_ANY,
	['/'] = IN_STRING | IN_COMMENT,
	['0' ... ':'] = IN_ANY,
	[';'] = IN_STRING | IN_COMMENT,
	['<'] = IN_ANY,
	['='] = IN_STRING | IN_COMMENT | ENDS_WORD,
	['>' ... '['] = IN_ANY,
	['\\'] = IN_COMMENT,
	[']' ... 'z'] = IN_ANY,
	['{'] = IN_STRING | IN_COMMENT | ENDS_WORD,
	['|'] = IN_STRING | IN_COMMENT,
	['}'] = IN_STRING | IN_COMMENT | ENDS_WORD,
	['~'] = IN_ANY,
	[0x7f] = ENDS_WORD,
	[0x80 ... 0xff] = IN_COMMENT,
};

struct guard {
	struct source *s;
	struct problems *p;
	size_t at, line_at;	/* here; where the line begins */
	int line;
	int n_problems, problem_line;	/* one problem a line is enough */
	bool carriage_return;	/* told */
	size_t item_end;	/* of the last word or string */
	struct grammar grammar;
};

__attribute__((format(printf, 3, 4)))
static void
refuse(struct guard *g, int line, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (line == g->problem_line)
		return;
	g->problem_line = line;
	g->n_problems++;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	problems_add(g->p, g->s->name, line, "%s", text);
}

static unsigned char
peek(const struct guard *g, size_t ahead)
{
	return g->at + ahead < g->s->len ? (unsigned char)g->s->text[g->at + ahead] : 0;
}

static bool
at_end(const struct guard *g)
{
	return g->at >= g->s->len;
}

/* Over bytes of a kind; the NUL behind the text is of none. */
static void
skip(struct guard *g, int kind)
{
	const char *t = g->s->text + g->at;

	while (plain[(unsigned char)*t] & kind)
		t++;
	g->at = (size_t)(t - g->s->text);
}

static void
check_line_length(struct guard *g)
{
	if (g->at - g->line_at > SOURCE_LINE)
		refuse(g, g->line, "the line is longer than %d bytes", SOURCE_LINE);
}

/* Over the newline. */
static void
end_line(struct guard *g)
{
	check_line_length(g);
	g->at++;
	g->line++;
	g->line_at = g->at;
}

static void
lose(struct guard *g, int line, const char *text)
{
	refuse(g, line, "%s", text);
	g->grammar.lost = true;
}

/* A token that begins at `at` and ends here. */
static void
take(struct guard *g, enum token_kind kind, size_t at)
{
	struct token t = { .kind = kind, .at = at, .len = g->at - at, .line = g->line };

	if (kind == TOKEN_WORD || kind == TOKEN_STRING) {
		if (at && at == g->item_end)
			refuse(g, g->line, "a space or ',' is missing between two values");
		g->item_end = g->at;
	}
	if (!grammar_take(&g->grammar, &t))
		refuse(g, g->grammar.error_line, "%s", g->grammar.error);
}

static void
finish(struct guard *g)
{
	check_line_length(g);
	if (!grammar_end(&g->grammar))
		refuse(g, g->grammar.error_line, "%s", g->grammar.error);
	if (g->grammar.lost)
		return;
	for (int i = 0; i < g->grammar.depth; i++)
		refuse(g, g->grammar.open_line[i], "'{' is never closed");
}

/* The length of a valid UTF-8 sequence (RFC 3629) that is no C1 control, 0 if
 * there is none. */
static size_t
utf8_len(const struct guard *g)
{
	unsigned char a = peek(g, 0), b = peek(g, 1);
	unsigned char low = 0x80, high = 0xbf;
	size_t n = a >= 0xf0 ? 4 : a >= 0xe0 ? 3 : 2;

	if (a < 0xc2 || a > 0xf4)
		return 0;
	if (a == 0xe0 || a == 0xc2)
		low = 0xa0;
	else if (a == 0xf0)
		low = 0x90;
	else if (a == 0xed)
		high = 0x9f;
	else if (a == 0xf4)
		high = 0x8f;
	if (b < low || b > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((peek(g, i) & 0xc0) != 0x80)
			return 0;
	return n;
}

static void
refuse_control(struct guard *g, unsigned char c)
{
	if (c == '\r' && !g->carriage_return)
		refuse(g, g->line, "carriage return: save the file with Unix line ends");
	else if (c == '\r')
		return;
	else if (c == 0)
		refuse(g, g->line, "NUL byte: this is not a text file");
	else
		refuse(g, g->line, "control character 0x%02x", c);
	if (c == '\r')
		g->carriage_return = true;
}

static bool
is_control(unsigned char c)
{
	return (c < 0x20 && c != '\t' && c != '\n') || c == 0x7f;
}

static void
refuse_outside(struct guard *g, unsigned char c)
{
	if (c == ';')
		refuse(g, g->line, "';' must be inside quotes; settings end without it");
	else if (c == '+' && peek(g, 1) == '=')
		refuse(g, g->line, "\"+=\" is not known here: a setting is given once, with '='");
	else if (c < 0x80)
		refuse(g, g->line, "'%c' must be inside quotes", c);
	else if (c == 0xe2 && peek(g, 1) == 0x80 && peek(g, 2) >= 0x98 && peek(g, 2) <= 0x9f)
		refuse(g, g->line, "typographic quotes: write \" or '");
	else
		refuse(g, g->line, "what is not ASCII must be inside quotes");
}

static bool
ends_word(unsigned char c)
{
	return plain[c] & ENDS_WORD;
}

static void
scan_word(struct guard *g)
{
	size_t at = g->at;
	unsigned char c;

	for (skip(g, IN_WORD); !at_end(g) && !ends_word(c = peek(g, 0)); skip(g, IN_WORD)) {
		if (c >= 0x80 || strchr("*;()|$+\\", c))
			refuse_outside(g, c);
		else if (c == '/' && peek(g, 1) == '/')
			refuse(g, g->line, "\"//\" inside a word: put it in quotes, or a "
					   "space before the comment");
		else if (c == '/' && peek(g, 1) == '*')
			lose(g, g->line, "'*' must be inside quotes");
		g->at++;
	}
	take(g, TOKEN_WORD, at);
}

static bool
is_hex(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* The value of the escape \xHH or \OOO at g->at, its length in *ret_len; -1 if
 * libConfuse would not take it as that. */
static int
number_escape(const struct guard *g, size_t *ret_len)
{
	int n = 0;
	size_t i;
	unsigned char c;

	if (peek(g, 1) == 'x') {
		*ret_len = 4;
		for (i = 2; i < 4; i++) {
			c = peek(g, i);
			if (!is_hex(c))
				return -1;
			n = n * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
		}
		return n;
	}
	for (i = 1; (c = peek(g, i)) >= '0' && c <= '9'; i++) {
		if (i > 3 || c > '7')
			return -1;
		n = n * 8 + c - '0';
	}
	*ret_len = i;
	return n;
}

/* A backslash in "..." */
static void
scan_escape(struct guard *g)
{
	unsigned char c = peek(g, 1);
	size_t len = 2, number_len = 0;
	int n;

	if (c == '\n' || g->at + 1 >= g->s->len) {
		g->at++;	/* the string is open, which is told */
		return;
	}
	if (c == 'x' || (c >= '0' && c <= '9')) {
		n = number_escape(g, &number_len);
		if (n < 0)
			refuse(g, g->line, "the escape has to be \\xHH (two hexadecimal digits) "
					   "or \\OOO (octal)");
		else if (n < 0x20 || n > 0x7e)
			refuse(g, g->line, "the escape gives no printable character");
		else
			len = number_len;
	} else if (c >= 0x80 || is_control(c)) {
		refuse(g, g->line, "a backslash must be written twice: \\\\");
		len = 1;
	} else if (!strchr("\\\"nrt$", c)) {
		refuse(g, g->line, "unknown escape \\%c: a backslash must be written twice", c);
	}
	g->at += len;
}

static void
scan_string(struct guard *g)
{
	unsigned char quote = peek(g, 0), c;
	size_t at = g->at++, n;

	for (skip(g, IN_STRING); !at_end(g) && (c = peek(g, 0)) != '\n'; skip(g, IN_STRING)) {
		if (c == quote) {
			g->at++;
			take(g, TOKEN_STRING, at);
			return;
		}
		if (c == '\\' && quote == '"') {
			scan_escape(g);
			continue;
		}
		n = 1;
		if (c == '\\' && (peek(g, 1) == '\\' || peek(g, 1) == '\''))
			n = 2;
		else if (c == '$' && quote == '"' && peek(g, 1) == '{')
			refuse(g, g->line, "variables are not expanded: write \"\\${\" for "
					   "the text itself");
		else if (c >= 0x80 && (n = utf8_len(g)) == 0)
			refuse(g, g->line, "not valid UTF-8");
		else if (is_control(c))
			refuse_control(g, c);
		g->at += n ? n : 1;
	}
	lose(g, g->line, "the string that begins here is not closed on its line");
}

/* At least one byte. */
static void
blank(struct guard *g)
{
	size_t from = g->at;
	unsigned char c = peek(g, 0);

	if (is_control(c))
		refuse_control(g, c);
	g->at++;
	skip(g, IN_COMMENT);
	memset(g->s->text + from, ' ', g->at - from);
}

static void
blank_line(struct guard *g)
{
	while (!at_end(g) && peek(g, 0) != '\n')
		blank(g);
}

static void
blank_block(struct guard *g)
{
	int line = g->line;

	memset(g->s->text + g->at, ' ', 2);
	g->at += 2;
	while (!at_end(g)) {
		if (peek(g, 0) == '*' && peek(g, 1) == '/') {
			memset(g->s->text + g->at, ' ', 2);
			g->at += 2;
			return;
		}
		if (peek(g, 0) == '\n')
			end_line(g);
		else
			blank(g);
	}
	lose(g, line, "the comment that begins here is never closed");
}

static void
scan_mark(struct guard *g, enum token_kind kind)
{
	g->at++;
	take(g, kind, g->at - 1);
}

static void
scan_other(struct guard *g, unsigned char c)
{
	if (is_control(c)) {
		refuse_control(g, c);
		g->at++;
	} else if (c == '#' || (c == '/' && peek(g, 1) == '/')) {
		blank_line(g);
	} else if (c == '/' && peek(g, 1) == '*') {
		blank_block(g);
	} else {
		scan_word(g);
	}
}

static void
scan_one(struct guard *g)
{
	unsigned char c = peek(g, 0);

	switch (c) {
	case '\n':
		end_line(g);
		break;
	case ' ':
	case '\t':
		do
			c = (unsigned char)g->s->text[++g->at];
		while (c == ' ' || c == '\t');
		break;
	case '{':
		scan_mark(g, TOKEN_OPEN);
		break;
	case '}':
		scan_mark(g, TOKEN_CLOSE);
		break;
	case '=':
		scan_mark(g, TOKEN_EQUALS);
		break;
	case ',':
		scan_mark(g, TOKEN_COMMA);
		break;
	case '"':
	case '\'':
		scan_string(g);
		break;
	default:
		scan_other(g, c);
		break;
	}
}

int
source_guard(struct source *s, struct problems *p)
{
	struct guard g = { .s = s, .p = p, .line = 1, .grammar.text = s->text };

	if (s->guarded)
		return 0;
	if (s->len >= 3 && !memcmp(s->text, "\xef\xbb\xbf", 3)) {
		refuse(&g, 1, "the file begins with a byte order mark: save it as UTF-8 without one");
		g.at = 3;
	}
	while (!at_end(&g) && g.n_problems < PROBLEMS)
		scan_one(&g);
	if (at_end(&g))
		finish(&g);
	s->guarded = g.n_problems == 0;
	return s->guarded ? 0 : -1;
}
