/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The line of tcpmux: byte by byte it comes to the same as at once, nothing
 * behind it is ever taken for its own, and the table finds the names that it
 * was given, whatever bytes a peer asks for.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "muxline.h"
#include "muxtab.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x) do { if (!(x)) failed(#x, __LINE__); } while (0)

static void
failed(const char *what, int line)
{
	(void)fprintf(stderr, "fuzz_muxline.c:%d: not so: %s\n", line, what);
	abort();
}

static enum muxline_state
look(const uint8_t *bytes, size_t len, struct muxline *ret)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	enum muxline_state s;

	CHECK(copy);
	if (len > 0)
		memcpy(copy, bytes, len);
	s = muxline_parse(copy, len, ret);
	free(copy);
	return s;
}

static void
check_name(const uint8_t *bytes, const struct muxline *l)
{
	CHECK(l->name_len > 0 && l->name_len <= PROTO_MUX_NAME);
	CHECK(l->len == l->name_len + 1 || l->len == l->name_len + 2);
	CHECK(bytes[l->len - 1] == '\n');
	CHECK(l->len == l->name_len + 1 || bytes[l->len - 2] == '\r');
	CHECK(memchr(bytes, '\n', l->len) == bytes + l->len - 1);
	for (size_t i = 0; i < l->name_len; i++) {
		char c = l->name[i];

		CHECK(c >= ' ' && c <= '~' && !(c >= 'A' && c <= 'Z'));
		CHECK(c == (char)bytes[i] || c == (char)(bytes[i] | 0x20));
	}
}

static enum muxline_state
feed(const uint8_t *bytes, size_t len, struct muxline *ret)
{
	enum muxline_state known = MUXLINE_MORE, s = MUXLINE_MORE;
	size_t more = 0;

	for (size_t n = 0; n <= len; n++) {
		s = look(bytes, n, ret);
		if (known == MUXLINE_MORE)
			known = s;
		CHECK(s == known);
		if (s == MUXLINE_MORE)
			more = n;
	}
	CHECK(more < MUXLINE_LOOK);
	if (s == MUXLINE_DONE) {
		CHECK(ret->len == more + 1);
		check_name(bytes, ret);
	}
	return s;
}

/* Each line's name is entered, then all are looked up. */
static void
check_table(struct muxtab *t, const struct muxline *l, uint32_t service)
{
	struct msg_mux m = { .service = service, .plus = service % 2,
			     .len = (uint32_t)l->name_len };
	uint32_t found, plus;

	memcpy(m.name, l->name, l->name_len);
	CHECK(muxtab_set(t, &m) == 0);
	CHECK(muxtab_find(t, l->name, l->name_len, &found, &plus));
	CHECK(found == service && plus == service % 2);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct muxtab *t = muxtab_new();
	const struct text *help;
	size_t lines = 0;
	uint32_t service = 0;

	CHECK(t);
	if (size > 2048)
		size = 2048;
	while (size > 0) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end != NULL ? (size_t)(end - data) + 1 : size;
		struct muxline l;

		if (feed(data, size < 200 ? size : 200, &l) == MUXLINE_DONE) {
			CHECK(l.len == len);
			check_table(t, &l, service++);
		}
		data += len;
		size -= len;
	}
	help = muxtab_help(t);
	CHECK(help);
	for (size_t i = 0; i < help->len; i++)
		lines += help->bytes[i] == '\n';
	CHECK(lines <= service && (lines > 0) == (service > 0));
	CHECK(help->len == 0 || !memcmp(help->bytes + help->len - 2, "\r\n", 2));
	muxtab_free(t);
	return 0;
}
