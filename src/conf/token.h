/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The tokens of a guarded text (source_guard), read as libConfuse reads them.
 * On text that was not guarded they are meaningless, but reading them is safe.
 */
#ifndef HATCHD_TOKEN_H
#define HATCHD_TOKEN_H

#include <stddef.h>

#include "source.h"

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,		/* without quotes */
	TOKEN_STRING,		/* "..." or '...'; the quotes are part of it */
	TOKEN_OPEN, TOKEN_CLOSE, TOKEN_EQUALS, TOKEN_COMMA
};

struct token {
	enum token_kind kind;
	size_t at, len;		/* in the text */
	int line;
};

struct token_reader {
	const char *text;
	size_t len, at;		/* at: where the next token is looked for */
	int line;		/* of at */
};

void token_init(struct token_reader *r, const struct source *s);
enum token_kind token_next(struct token_reader *r, struct token *ret);

/* Behind the first token of an entry: to its last one, *last.  A setting ends with
 * its value, which may be a list; a section with the '}' that closes it. */
void token_skip_entry(struct token_reader *r, struct token *last);

/* What a word or string means: without quotes, escapes resolved; malloced. */
char *token_value(const struct token_reader *r, const struct token *t);

#endif
