/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Builds the body of a line: its event and its members, as text or as JSON.
 * Owns nothing and writes nothing but the line; runs in every process, called
 * by whoever has something to tell.
 */
#include "config.h"

#include <string.h>

#include "escape.h"
#include "log.h"
#include "log_line.h"

#define CUT 16			/* kept free in a body for `..."` */
#define BODY (LOG_LINE - LOG_LINE_FRAME - CUT)

/* Values that need no quotes in text. */
static bool
is_bare(const unsigned char *p, size_t len)
{
	static const bool bare[256] = {
		['a'] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		['n'] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		['A'] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		['N'] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		['0'] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ['.'] = 1, ['_'] = 1, [':'] = 1, ['/'] = 1,
		['@'] = 1, ['%'] = 1, ['+'] = 1, [','] = 1, ['='] = 1, ['~'] = 1, ['('] = 1,
		[')'] = 1, ['['] = 1, [']'] = 1, ['<'] = 1, ['>'] = 1, ['-'] = 1,
	};
	size_t i;

	for (i = 0; i < len; i++)
		if (!bare[p[i]])
			return false;
	return len > 0;
}

/* The bytes of a body that are still free. */
static size_t
room_in(const struct log_line *l)
{
	return BODY - l->len;
}

static void
add(struct log_line *l, const char *s, size_t len)
{
	memcpy(l->buf + l->len, s, len);
	l->len += (unsigned)len;
}

/* Nothing is added to a line after it was cut. */
static void
cut(struct log_line *l, const char *mark)
{
	l->cut = true;
	add(l, mark, strlen(mark));	/* CUT bytes are free behind BODY */
}

/* Separator, key and what stands between it and the value; false: no room for
 * it and the shortest value. */
static bool
add_key(struct log_line *l, const char *key)
{
	size_t len = strlen(key);

	if (!l->on || l->cut)
		return false;
	if (len + 32 > room_in(l)) {
		cut(l, l->json ? "" : " ...");
		return false;
	}
	if (!l->json)
		add(l, " ", 1);
	else
		add(l, ",\"", 2);
	add(l, key, len);
	if (!l->json)
		add(l, "=", 1);
	else
		add(l, "\":", 2);
	return true;
}

void
log_line_begin(struct log_line *l, enum log_level level, bool json, const char *event)
{
	l->on = true;
	l->cut = l->prose = false;
	l->json = json;
	l->level = level;
	l->len = 0;
	if (l->json)
		add(l, "\"event\":\"", 9);
	add(l, event, strnlen(event, BODY / 2));
	if (l->json)
		add(l, "\"", 1);
}

void
log_str(struct log_line *l, const char *key, const char *value)
{
	if (l->on && value != NULL)
		log_mem(l, key, value, strlen(value));
	else if (add_key(l, key))
		add(l, l->json ? "null" : "-", l->json ? 4 : 1);
}

void
log_mem(struct log_line *l, const char *key, const void *value, size_t len)
{
	size_t used, n;

	if (!add_key(l, key))
		return;
	if (!l->json && is_bare(value, len)) {
		n = len < room_in(l) ? len : room_in(l);
		add(l, value, n);
		if (n < len)
			cut(l, "...");
		return;
	}
	add(l, "\"", 1);
	if (!l->json)
		n = escape_text(l->buf + l->len, room_in(l), value, len, &used);
	else
		n = escape_json(l->buf + l->len, room_in(l), value, len, &used);
	l->len += (unsigned)n;
	if (used < len)
		cut(l, "...");
	add(l, "\"", 1);
}

void
log_num(struct log_line *l, const char *key, int64_t value)
{
	uint64_t n = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	char tmp[20], *p = tmp + sizeof tmp;

	if (!add_key(l, key))
		return;
	do
		*--p = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	if (value < 0)
		add(l, "-", 1);
	add(l, p, (size_t)(tmp + sizeof tmp - p));
}

void
log_peer(struct log_line *l, const char *key, const struct addr *a)
{
	char buf[ADDR_STRLEN];

	if (l->on)
		log_mem(l, key, buf, addr_format(a, buf, sizeof buf));
}

/* Quotes are harmless outside of a quoted value and left as they are. */
void
log_line_prose(struct log_line *l, const char *text, size_t len)
{
	size_t used = 0, part, n;
	const char *quote;

	if (l->json) {
		log_mem(l, "text", text, len);
		return;
	}
	l->prose = true;
	add(l, ": ", 2);
	for (; len > 0 && room_in(l) > 0; text += used, len -= used) {
		if (*text == '"') {
			add(l, text, 1);
			used = 1;
			continue;
		}
		quote = memchr(text, '"', len);
		part = quote != NULL ? (size_t)(quote - text) : len;
		n = escape_text(l->buf + l->len, room_in(l), text, part, &used);
		l->len += (unsigned)n;
		if (used < part)
			break;
	}
	if (len > 0)
		cut(l, "...");
}
