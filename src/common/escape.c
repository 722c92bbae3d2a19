/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Escaping of foreign bytes.  Pure; runs in every process, called by the log
 * and by whatever shows text that did not come from us.
 */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "escape.h"

static const char hex[] = "0123456789abcdef";

/* The character that begins at p: its number of bytes and, in *ret_code, its
 * code point; 0 if it is not valid UTF-8 (RFC 3629: no overlong forms, no
 * surrogates, nothing above U+10FFFF). */
static size_t
utf8_decode(const unsigned char *p, size_t len, uint32_t *ret_code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t code;
	size_t i, n;

	if (p[0] < 0x80) {
		*ret_code = p[0];
		return 1;
	}
	n = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	if (n == 0 || n > len)
		return 0;
	code = p[0] & (0xffu >> (n + 1));
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return n;
}

/* What moves the cursor, ends the line or turns the reading direction. */
static bool
is_control(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return true;
	if (c == 0x061c || c == 0x200e || c == 0x200f)
		return true;
	return (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Both: the escaped form of the character at p goes to out (room for 16), its
 * length is returned, *ret_used is how many bytes of p it stands for. */
typedef size_t escape_fn(char *out, const unsigned char *p, size_t len, size_t *ret_used);

static size_t
one_text(char *out, const unsigned char *p, size_t len, size_t *ret_used)
{
	uint32_t code = 0;
	size_t i, n = utf8_decode(p, len, &code);

	*ret_used = n > 0 ? n : 1;
	if (n > 0 && !is_control(code)) {
		if (code == '"' || code == '\\') {
			out[0] = '\\';
			out[1] = (char)code;
			return 2;
		}
		memcpy(out, p, n);
		return n;
	}
	for (i = 0; i < *ret_used; i++) {
		out[4 * i] = '\\';
		out[4 * i + 1] = 'x';
		out[4 * i + 2] = hex[p[i] >> 4];
		out[4 * i + 3] = hex[p[i] & 15];
	}
	return 4 * i;
}

static size_t
one_json(char *out, const unsigned char *p, size_t len, size_t *ret_used)
{
	uint32_t code = 0;
	size_t n = utf8_decode(p, len, &code);
	char letter;

	*ret_used = n > 0 ? n : 1;
	if (n == 0) {
		memcpy(out, "\xef\xbf\xbd", 3);	/* U+FFFD */
		return 3;
	}
	letter = code == '\n' ? 'n' : code == '\r' ? 'r' : code == '\t' ? 't' :
		code == '"' || code == '\\' ? (char)code : 0;
	if (letter != 0) {
		out[0] = '\\';
		out[1] = letter;
		return 2;
	}
	if (!is_control(code)) {
		memcpy(out, p, n);
		return n;
	}
	out[0] = '\\';
	out[1] = 'u';
	out[2] = hex[code >> 12 & 15];	/* all controls are below U+10000 */
	out[3] = hex[code >> 8 & 15];
	out[4] = hex[code >> 4 & 15];
	out[5] = hex[code & 15];
	return 6;
}

static size_t
escape(char *dst, size_t size, const void *src, size_t len, size_t *ret_used, escape_fn *one)
{
	const unsigned char *p = src;
	size_t in = 0, out = 0, n, used;
	char tmp[16];

	while (in < len && size > 0) {
		if (is_plain(p[in])) {
			if (out + 1 >= size)
				break;
			dst[out++] = (char)p[in++];
			continue;
		}
		n = one(tmp, p + in, len - in, &used);
		if (n >= size - out)
			break;
		memcpy(dst + out, tmp, n);
		out += n;
		in += used;
	}
	if (size > 0)
		dst[out] = '\0';
	if (ret_used != NULL)
		*ret_used = in;
	return out;
}

size_t
escape_text(char *dst, size_t size, const void *src, size_t len, size_t *ret_used)
{
	return escape(dst, size, src, len, ret_used, one_text);
}

size_t
escape_json(char *dst, size_t size, const void *src, size_t len, size_t *ret_used)
{
	return escape(dst, size, src, len, ret_used, one_json);
}
