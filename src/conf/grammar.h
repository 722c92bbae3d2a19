/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* The order in which tokens may come; part of source_guard. */
#ifndef HATCHD_GRAMMAR_H
#define HATCHD_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>

#include "token.h"

#define GRAMMAR_DEPTH 4		/* braces inside each other */
#define GRAMMAR_TOKENS 65536	/* in one entry of the top level */

enum grammar_state {		/* what may come next */
	GRAMMAR_ENTRY,		/* a name, or the '}' of the section */
	GRAMMAR_NAMED,		/* '=', a title or '{' */
	GRAMMAR_TITLED,		/* '{' */
	GRAMMAR_VALUE,		/* a word, a string or '{' */
	GRAMMAR_ELEMENT,	/* in a list: a value or '}' */
	GRAMMAR_ELEMENT_END	/* in a list: ',' or '}' */
};

struct grammar {		/* begins zeroed, but for text */
	const char *text;
	enum grammar_state state;
	int depth, n_tokens;
	int open_line[GRAMMAR_DEPTH];
	struct token name;	/* of the last entry */
	bool bare_value;	/* that entry's value was a word */
	/* after an error: */
	bool lost;		/* nothing more is checked */
	int error_line;
	char error[160];
};

/* One token more.  False: g->error tells what is wrong, once. */
bool grammar_take(struct grammar *g, const struct token *t);

/* The end of the text; braces that are open are the caller's to tell. */
bool grammar_end(struct grammar *g);

#endif
