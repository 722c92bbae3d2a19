/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The grammar of the language, as far as it goes without knowing the settings:
 *
 *   entry = NAME "=" value | NAME [title] "{" { entry } "}"
 *   value = item | "{" [ item { "," item } [ "," ] ] "}"
 *
 * where items and titles are words or strings and names are words.  libConfuse
 * would accept more (quoted names, files that end inside a section) and say
 * less about what it doesn't accept.  After the first error the structure is a
 * guess, so the rest of the file is not checked.
 *
 * Pure; called by guard.c only.
 */
#include "config.h"

#include "grammar.h"

#include <stdio.h>

#define NAME_SHOWN 64

static bool
lose(struct grammar *g, int line, const char *text)
{
	(void)snprintf(g->error, sizeof(g->error), "%s", text);
	g->error_line = line;
	g->lost = true;
	return false;
}

static bool
lose_entry(struct grammar *g, int line, const char *text)
{
	int len = g->name.len < NAME_SHOWN ? (int)g->name.len : NAME_SHOWN;

	(void)snprintf(g->error, sizeof(g->error), "%.*s: %s", len, g->text + g->name.at, text);
	g->error_line = line;
	g->lost = true;
	return false;
}

static bool
lose_value(struct grammar *g)
{
	return lose_entry(g, g->name.line, "the value after '=' is missing");
}

static bool
lose_named(struct grammar *g)
{
	return lose_entry(g, g->name.line, "expected '=' and a value, or '{'");
}

static bool
is_item(const struct token *t)
{
	return t->kind == TOKEN_WORD || t->kind == TOKEN_STRING;
}

static bool
open_brace(struct grammar *g, const struct token *t, enum grammar_state inside)
{
	if (g->depth == GRAMMAR_DEPTH)
		return lose(g, t->line, "braces are nested too deeply");
	g->open_line[g->depth++] = t->line;
	g->state = inside;
	return true;
}

static bool
close_brace(struct grammar *g)
{
	g->depth--;
	g->state = GRAMMAR_ENTRY;
	g->bare_value = false;
	return true;
}

static bool
take_entry(struct grammar *g, const struct token *t)
{
	switch (t->kind) {
	case TOKEN_WORD:
		g->name = *t;
		g->state = GRAMMAR_NAMED;
		if (g->depth == 0)
			g->n_tokens = 1;
		return true;
	case TOKEN_CLOSE:
		if (g->depth > 0)
			return close_brace(g);
		return lose(g, t->line, "'}' without a '{' before it");
	case TOKEN_EQUALS:
		if (g->bare_value)
			return lose_value(g);
		return lose(g, t->line, "'=' without a name before it");
	case TOKEN_OPEN:
		return lose(g, t->line, "'{' without a name before it");
	case TOKEN_COMMA:
		return lose(g, t->line, "unexpected ',': a list of values has to be in { }");
	default:
		return lose(g, t->line, "expected the name of a setting, without quotes");
	}
}

static bool
take_named(struct grammar *g, const struct token *t)
{
	if (t->kind == TOKEN_OPEN)
		return open_brace(g, t, GRAMMAR_ENTRY);
	if (g->state == GRAMMAR_TITLED)
		return lose_named(g);
	if (t->kind == TOKEN_EQUALS)
		g->state = GRAMMAR_VALUE;
	else if (is_item(t))
		g->state = GRAMMAR_TITLED;
	else
		return lose_named(g);
	return true;
}

static bool
take_value(struct grammar *g, const struct token *t)
{
	if (t->kind == TOKEN_OPEN)
		return open_brace(g, t, GRAMMAR_ELEMENT);
	if (!is_item(t))
		return lose_value(g);
	g->state = GRAMMAR_ENTRY;
	g->bare_value = t->kind == TOKEN_WORD;
	return true;
}

static bool
take_element(struct grammar *g, const struct token *t)
{
	if (t->kind == TOKEN_CLOSE)
		return close_brace(g);
	if (g->state == GRAMMAR_ELEMENT && is_item(t))
		g->state = GRAMMAR_ELEMENT_END;
	else if (g->state == GRAMMAR_ELEMENT_END && t->kind == TOKEN_COMMA)
		g->state = GRAMMAR_ELEMENT;
	else if (g->state == GRAMMAR_ELEMENT)
		return lose_entry(g, t->line, "expected a value or '}' in the list");
	else
		return lose_entry(g, t->line, "expected ',' or '}' after a value of the list");
	return true;
}

bool
grammar_take(struct grammar *g, const struct token *t)
{
	if (g->lost)
		return true;
	if (++g->n_tokens > GRAMMAR_TOKENS)
		return lose_entry(g, g->name.line, "this entry is too long");
	switch (g->state) {
	case GRAMMAR_ENTRY:
		return take_entry(g, t);
	case GRAMMAR_NAMED:
	case GRAMMAR_TITLED:
		return take_named(g, t);
	case GRAMMAR_VALUE:
		return take_value(g, t);
	default:
		return take_element(g, t);
	}
}

bool
grammar_end(struct grammar *g)
{
	if (g->lost)
		return true;
	if (g->state == GRAMMAR_VALUE)
		return lose_value(g);
	if (g->state == GRAMMAR_NAMED || g->state == GRAMMAR_TITLED)
		return lose_named(g);
	return true;
}
