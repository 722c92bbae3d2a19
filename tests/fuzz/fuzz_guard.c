/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Fuzz target of guard.c, grammar.c, token.c and include.c.
 *
 * What the guard accepts has to mean the same to libConfuse: its own lexer has
 * to find the same tokens, with the same values, on the same lines.
 */
#include "config.h"

#include <confuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source.h"
#include "token.h"

/* libConfuse's lexer: no part of its API, but visible in 3.3.  Without it the
 * rest is tried alone. */
extern char *cfg_yylval __attribute__((weak));
int cfg_yylex(cfg_t *cfg) __attribute__((weak));
void cfg_scan_fp_begin(FILE *fp) __attribute__((weak));
void cfg_scan_fp_end(void) __attribute__((weak));

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x) do { if (!(x)) fail(#x, __LINE__); } while (0)

static void
fail(const char *what, int line)
{
	(void)fprintf(stderr, "fuzz_guard.c:%d: not so: %s\n", line, what);
	abort();
}

/* Comments may have become blanks, nothing else may have changed. */
static void
check_blanked(const uint8_t *data, const struct source *s)
{
	for (size_t i = 0; i < s->len; i++)
		CHECK((uint8_t)s->text[i] == data[i] || (s->text[i] == ' ' && data[i] != '\n'));
	CHECK(s->text[s->len] == '\0');
}

static void
check_again(struct source *s)
{
	struct problems *p = problems_new();
	char *before = strdup(s->text);

	s->guarded = false;
	CHECK(source_guard(s, p) == 0 && problems_count(p) == 0);
	CHECK(!strcmp(before, s->text));
	free(before);
	problems_free(p);
}

static int
code_of(enum token_kind k)
{
	switch (k) {
	case TOKEN_OPEN: return '{';
	case TOKEN_CLOSE: return '}';
	case TOKEN_EQUALS: return '=';
	case TOKEN_COMMA: return ',';
	case TOKEN_END: return EOF;
	default: return CFGT_STR;
	}
}

static void
check_lexer(const struct source *s)
{
	cfg_opt_t none[] = { CFG_END() };
	cfg_t *cfg;
	struct token_reader r;
	struct token t;
	FILE *fp;
	char *value;
	int code;

	if (!cfg_yylex || s->len == 0)
		return;
	cfg = cfg_init(none, CFGF_NONE);
	fp = fmemopen(s->text, s->len, "r");
	CHECK(cfg && fp);
	cfg->line = 1;
	cfg_scan_fp_begin(fp);
	token_init(&r, s);
	do {
		(void)token_next(&r, &t);
		code = cfg_yylex(cfg);
		CHECK(code == code_of(t.kind));
		CHECK((int)cfg->line == t.line);
		if (code == CFGT_STR) {
			value = token_value(&r, &t);
			CHECK(value && !strcmp(value, cfg_yylval));
			free(value);
		}
	} while (code != EOF);
	cfg_scan_fp_end();
	(void)fclose(fp);
	(void)cfg_free(cfg);
}

static void
check_slices(const struct source *s)
{
	struct source_slice slice;
	size_t pos = 0, at = 0;
	int line = 1;

	while (source_next(s, &pos, &slice)) {
		for (; at < slice.at; at++) {
			CHECK(strchr(" \t\n", s->text[at]));
			line += s->text[at] == '\n';
		}
		CHECK(slice.line == line);
		CHECK(slice.len > 0 && slice.at + slice.len <= s->len);
		for (; at < slice.at + slice.len; at++)
			line += s->text[at] == '\n';
	}
	for (; at < s->len; at++)
		CHECK(strchr(" \t\n", s->text[at]));
}

/* Whatever the text is, these end and stay inside of it. */
static void
use(const struct source *s)
{
	struct source_slice slice;
	struct token_reader r;
	struct token t;
	size_t pos = 0;

	while (source_next(s, &pos, &slice))
		CHECK(slice.at + slice.len <= s->len);
	token_init(&r, s);
	while (token_next(&r, &t) != TOKEN_END)
		free(token_value(&r, &t));
	source_globs_free(source_globs(s));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sources *all = sources_from_text("fuzz", (const char *)data, size);
	struct problems *p = problems_new();
	struct source *s;

	CHECK(all && p);
	s = &all->list[0];
	use(s);
	if (source_guard(s, p) == 0) {
		CHECK(problems_count(p) == 0);
		check_blanked(data, s);
		check_again(s);
		check_lexer(s);
		check_slices(s);
	} else {
		CHECK(problems_count(p) > 0);
	}
	use(s);
	problems_free(p);
	sources_free(all);
	return 0;
}
