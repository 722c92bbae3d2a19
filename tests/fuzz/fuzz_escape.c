/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Escaping: the first byte is the size of the room, the rest is escaped.  What
 * comes out holds no control character, is cut only between escapes, and is
 * the same however small the pieces are.
 */
#include "config.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef size_t escape_fn(char *, size_t, const void *, size_t, size_t *);

static void
check_line(const char *s, size_t len)
{
	size_t i;

	assert(strlen(s) == len);
	for (i = 0; i < len; i++) {
		assert((unsigned char)s[i] >= 0x20 && s[i] != 0x7f);
		if (s[i] == '"')
			assert(i > 0 && s[i - 1] == '\\');
		if (s[i] == '\\') {
			i++;
			assert(i < len);
			if (s[i] == 'x')
				assert(i + 2 < len);
			else if (s[i] == 'u')
				assert(i + 4 < len);
			else
				assert(strchr("\\\"nrt", s[i]) != NULL);
		}
	}
}

/* Pieces of `room` bytes give what one piece does. */
static void
check(escape_fn *fn, const uint8_t *data, size_t size, size_t room)
{
	size_t all_size = size * 6 + 1, all_used, all_len, used, len, in = 0, out = 0;
	char *all = malloc(all_size), *piece = malloc(room > 0 ? room : 1);

	assert(all != NULL && piece != NULL);
	all_len = fn(all, all_size, data, size, &all_used);
	assert(all_used == size);
	check_line(all, all_len);

	while (in < size) {
		len = fn(piece, room, data + in, size - in, &used);
		assert(room == 0 ? len == 0 : len < room);
		if (used == 0) {
			assert(len == 0 && room <= 12);
			break;
		}
		check_line(piece, len);
		assert(out + len <= all_len && memcmp(all + out, piece, len) == 0);
		in += used;
		out += len;
	}
	assert(in < size || out == all_len);
	free(piece);
	free(all);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	check(escape_text, data + 1, size - 1, data[0]);
	check(escape_json, data + 1, size - 1, data[0]);
	return 0;
}
