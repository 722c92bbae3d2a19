/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Texts that are sent to peers: banners.
 *
 * libConfuse has resolved the escapes of "..." when a text comes here; those
 * that are there all the same (of '...', of the command line) are resolved
 * here.  A text is kept with escapes, in the one way that conf_bytes_print
 * writes it, so that equal banners are equal texts and can be printed.
 *
 * Pure but for conf_bytes_read.  Runs in the master, its trial child and
 * hatchctl; called by conf_value.c and conf_admit.c.
 */
#include "config.h"

#include "conf_bytes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "textfile.h"

#define FILE_PREFIX "file:"

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte of the escape behind a backslash, *at is moved behind it; -1 if it
 * is none. */
static int
escape(const char **at)
{
	static const char letters[] = "rnte\\\"", meanings[] = "\r\n\t\033\\\"";
	const char *p = *at, *letter = *p ? strchr(letters, *p) : NULL;
	int n = 0, i;

	if (letter) {
		*at = p + 1;
		return meanings[letter - letters];
	}
	if (*p == 'x') {
		if (hex(p[1]) < 0 || hex(p[2]) < 0)
			return -1;
		*at = p + 3;
		return hex(p[1]) * 16 + hex(p[2]);
	}
	for (i = 0; i < 3 && *p >= '0' && *p <= '7'; i++)
		n = n * 8 + *p++ - '0';
	*at = p;
	return i > 0 && n <= 0xff ? n : -1;
}

const char *
conf_bytes_parse(const char *text, char bytes[PROTO_TEXT], size_t *ret_len)
{
	size_t len = 0;
	int c;

	while (*text) {
		c = (unsigned char)*text++;
		if (c == '\\')
			c = escape(&text);
		if (c < 0)
			return "unknown escape: expected \\r \\n \\t \\e \\\\ \\\" \\xHH or \\NNN "
				"(octal)";
		if (c == 0)
			return "a NUL byte can't be in it";
		if (len == PROTO_TEXT)
			return "more than 1024 bytes";
		bytes[len++] = (char)c;
	}
	*ret_len = len;
	return NULL;
}

_Static_assert(PROTO_TEXT == 1024, "two messages");

/* The length of the valid UTF-8 sequence (RFC 3629) at s that is neither ASCII
 * nor a C1 control, 0 if there is none. */
static size_t
utf8_len(const unsigned char *s, size_t left)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n = *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : 2, i;

	if (*s < 0xc2 || *s > 0xf4 || left < n)
		return 0;
	if (*s == 0xe0 || *s == 0xc2)
		low = 0xa0;
	else if (*s == 0xf0)
		low = 0x90;
	else if (*s == 0xed)
		high = 0x9f;
	else if (*s == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* c as an escape, 2 to 4 bytes and NUL; a digit behind it must not be taken
 * for a part of it. */
static size_t
print_escape(unsigned char c, char next, char *text)
{
	static const char letters[] = "rnte\\", meanings[] = "\r\n\t\033\\";
	const char *meaning = memchr(meanings, c, sizeof(meanings) - 1);
	bool digit = next >= '0' && next <= '7';

	if (meaning)
		return (size_t)snprintf(text, 5, "\\%c", letters[meaning - meanings]);
	return (size_t)snprintf(text, 5, digit ? "\\%03o" : "\\%o", (unsigned)c);
}

void
conf_bytes_print(const char *bytes, size_t len, char text[CONF_BYTES_TEXT])
{
	const size_t prefix = sizeof(FILE_PREFIX) - 1;
	bool is_path = len >= prefix && memcmp(bytes, FILE_PREFIX, prefix) == 0;
	size_t i = 0, n;
	unsigned char c;

	while (i < len) {
		c = (unsigned char)bytes[i];
		n = c < 0x80 ? c >= 0x20 && c != 0x7f && c != '\\' :
			utf8_len((const unsigned char *)bytes + i, len - i);
		if (i == 0 && is_path)	/* it would be read as one */
			n = 0;
		memcpy(text, bytes + i, n);
		text += n;
		if (n == 0)
			text += print_escape(c, i + 1 < len ? bytes[i + 1] : '\0', text);
		i += n ? n : 1;
	}
	*text = '\0';
}

const char *
conf_bytes_path(const char *text)
{
	const size_t prefix = sizeof(FILE_PREFIX) - 1;

	return strncmp(text, FILE_PREFIX, prefix) == 0 ? text + prefix : NULL;
}

const char *
conf_bytes_read(const char *path, char bytes[PROTO_TEXT], size_t *ret_len)
{
	char buf[PROTO_TEXT + 1];	/* it may be longer than it was */
	ssize_t n = textfile_load_bytes(path, buf, sizeof(buf));

	if (n < 0)
		return errno == EINVAL ? "not a regular file" : strerror(errno);
	if (n == 0)
		return "the file is empty";
	if (n > PROTO_TEXT)
		return "the file has more than 1024 bytes";
	memcpy(bytes, buf, (size_t)n);
	*ret_len = (size_t)n;
	return NULL;
}

const struct conf_bytes *
conf_bytes_intern(struct arena *a, const char *bytes, size_t len)
{
	union {
		struct conf_bytes b;
		char room[sizeof(struct conf_bytes) + PROTO_TEXT];
	} block;
	const size_t align = sizeof(struct conf_bytes);
	size_t size = (sizeof(struct conf_bytes) + len + align - 1) / align * align;

	memset(&block, 0, size);
	block.b.len = (uint32_t)len;
	memcpy(block.room + offsetof(struct conf_bytes, bytes), bytes, len);
	return arena_intern(a, &block, size);
}
