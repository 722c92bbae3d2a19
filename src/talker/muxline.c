/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The line of RFC 1078; talker, pure.  Called by prefix.c for as much as has
 * come so far.
 */
#include "config.h"

#include "muxline.h"

static char
lower(unsigned char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

enum muxline_state
muxline_parse(const void *bytes, size_t len, struct muxline *ret)
{
	const unsigned char *b = bytes;
	size_t n = 0, end;

	while (n < len && n < PROTO_MUX_NAME && muxline_is_name(b[n]))
		n++;
	if (n == len)
		return MUXLINE_MORE;
	end = b[n] == '\r' ? n + 1 : n;
	if (n == 0)
		return MUXLINE_BAD;
	if (end == len)
		return MUXLINE_MORE;
	if (b[end] != '\n')
		return MUXLINE_BAD;
	ret->len = end + 1;
	ret->name_len = n;
	for (size_t i = 0; i < n; i++)
		ret->name[i] = lower(b[i]);
	return MUXLINE_DONE;
}
