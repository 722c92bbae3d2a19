/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The line of tcpmux and the table of its names.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "muxline.h"
#include "muxtab.h"
#include "text.h"

/* A block of just the size, so that a sanitizer sees each byte read behind. */
static enum muxline_state
parse(const void *bytes, size_t len, struct muxline *ret)
{
	void *copy = malloc(len);
	enum muxline_state s;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	memset(ret, 0xa5, sizeof *ret);
	s = muxline_parse(copy, len, ret);
	free(copy);
	return s;
}

/* As it comes in; *ret_at: how many bytes it took to know. */
static enum muxline_state
feed(const char *bytes, size_t len, struct muxline *ret, size_t *ret_at)
{
	for (*ret_at = 1; *ret_at <= len; ++*ret_at) {
		enum muxline_state s = parse(bytes, *ret_at, ret);

		if (s != MUXLINE_MORE)
			return s;
	}
	return MUXLINE_MORE;
}

static void
good(const char *line, const char *name)
{
	size_t len = strlen(line), at;
	struct muxline l;
	char more[256];

	assert_int_equal(feed(line, len, &l, &at), MUXLINE_DONE);
	assert_int_equal(at, len);
	(void)snprintf(more, sizeof more, "%s%s", line, "\r\nnext\n");
	assert_int_equal(parse(more, strlen(more), &l), MUXLINE_DONE);
	assert_int_equal(l.len, len);
	assert_int_equal(l.name_len, strlen(name));
	assert_memory_equal(l.name, name, l.name_len);
}

static void
bad(const char *line, size_t len, size_t at)
{
	struct muxline l;
	size_t seen;

	assert_int_equal(parse(line, len, &l), MUXLINE_BAD);
	assert_int_equal(feed(line, len, &l, &seen), MUXLINE_BAD);
	assert_int_equal(seen, at);
}

static void
test_lines(void **state)
{
	(void)state;
	good("echo\r\n", "echo");
	good("echo\n", "echo");
	good("HeLp\r\n", "help");
	good("x\n", "x");
	good("with blank \r\n", "with blank ");
	good("A-Z[\\]^_`{|}~!\r\n", "a-z[\\]^_`{|}~!");
}

static void
test_lengths(void **state)
{
	char name[80], line[100];

	(void)state;
	for (int n = 1; n <= PROTO_MUX_NAME; n++) {
		memset(name, 'a', sizeof name);
		name[n] = '\0';
		(void)snprintf(line, sizeof line, "%s\r\n", name);
		good(line, name);
		(void)snprintf(line, sizeof line, "%s\n", name);
		good(line, name);
	}
	memset(line, 'a', sizeof line);
	bad(line, sizeof line, PROTO_MUX_NAME + 1);
	line[PROTO_MUX_NAME] = '\r';
	bad(line, sizeof line, PROTO_MUX_NAME + 2);
}

static void
test_bad_lines(void **state)
{
	char line[] = "ab?\r\n";
	struct muxline l;

	(void)state;
	bad("\r\n", 2, 1);
	bad("\n", 1, 1);
	bad("ab\rc\n", 5, 4);
	bad("ab\r\r\n", 5, 4);
	for (int c = 0; c < 256; c++) {
		line[2] = (char)c;
		if (c == '\n' || (c >= ' ' && c <= '~'))
			assert_int_equal(parse(line, 5, &l), MUXLINE_DONE);
		else
			bad(line, 5, c == '\r' ? 4 : 3);
	}
}

/* The table */

static int
enter(struct muxtab *t, const char *name, uint32_t service, uint32_t plus)
{
	struct msg_mux m = { .service = service, .plus = plus, .len = (uint32_t)strlen(name) };

	memcpy(m.name, name, m.len <= PROTO_MUX_NAME ? m.len : PROTO_MUX_NAME);
	return muxtab_set(t, &m);
}

static void
assert_help(struct muxtab *t, const char *want)
{
	const struct text *help = muxtab_help(t);

	assert_non_null(help);
	assert_int_equal(help->len, strlen(want));
	assert_memory_equal(help->bytes, want, help->len);
}

static void
test_table(void **state)
{
	struct muxtab *t = muxtab_new();
	struct text *held;
	uint32_t service, plus;

	(void)state;
	assert_non_null(t);
	assert_help(t, "");
	assert_false(muxtab_find(t, "one", 3, &service, &plus));
	assert_int_equal(enter(t, "one", 1, 0), 0);
	assert_int_equal(enter(t, "two", 2, 1), 0);
	assert_int_equal(enter(t, "a", 3, 0), 0);
	assert_true(muxtab_find(t, "two", 3, &service, &plus));
	assert_int_equal(service, 2);
	assert_int_equal(plus, 1);
	assert_false(muxtab_find(t, "tw", 2, &service, &plus));
	assert_false(muxtab_find(t, "twoo", 4, &service, &plus));
	assert_help(t, "one\r\ntwo\r\na\r\n");
	assert_int_equal(enter(t, "one", 7, 1), 0);	/* in its place */
	assert_true(muxtab_find(t, "one", 3, &service, &plus));
	assert_int_equal(service, 7);
	assert_int_equal(plus, 1);
	assert_help(t, "one\r\ntwo\r\na\r\n");
	held = text_hold(muxtab_help(t));
	assert_int_equal(enter(t, "", 0, 0), 0);
	assert_false(muxtab_find(t, "one", 3, &service, &plus));
	assert_help(t, "");
	assert_int_equal(held->len, 13);		/* who writes it still has it */
	text_release(held);
	assert_int_equal(enter(t, "b", 4, 0), 0);
	assert_help(t, "b\r\n");
	muxtab_free(t);
}

static void
test_table_is_bounded(void **state)
{
	struct muxtab *t = muxtab_new();
	char name[PROTO_MUX_NAME + 1];
	uint32_t service, plus;

	(void)state;
	assert_non_null(t);
	for (uint32_t i = 0; i < MUXTAB_MAX; i++) {
		(void)snprintf(name, sizeof name, "name-%u", i);
		assert_int_equal(enter(t, name, i, i % 2), 0);
	}
	assert_int_equal(enter(t, "one-more", 1, 0), -1);
	for (uint32_t i = 0; i < MUXTAB_MAX; i += 97) {
		(void)snprintf(name, sizeof name, "name-%u", i);
		assert_true(muxtab_find(t, name, strlen(name), &service, &plus));
		assert_int_equal(service, i);
		assert_int_equal(plus, i % 2);
	}
	assert_non_null(muxtab_help(t));
	muxtab_free(t);
}

static void
test_bad_messages(void **state)
{
	struct muxtab *t = muxtab_new();
	char name[PROTO_MUX_NAME + 2];

	(void)state;
	assert_non_null(t);
	memset(name, 'n', sizeof name);
	name[PROTO_MUX_NAME + 1] = '\0';
	assert_int_equal(enter(t, name, 1, 0), -1);
	assert_int_equal(enter(t, name + 1, 1, 0), 0);
	assert_int_equal(enter(t, "name", MUXTAB_MAX, 0), -1);
	assert_int_equal(enter(t, "name", 1, 2), -1);
	assert_int_equal(enter(t, "Name", 1, 0), -1);
	assert_int_equal(enter(t, "na\nme", 1, 0), -1);
	assert_int_equal(enter(t, "na\x7fme", 1, 0), -1);
	assert_int_equal(enter(t, "n\xe4me", 1, 0), -1);
	muxtab_free(t);
	muxtab_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_is_bounded),
		cmocka_unit_test(test_bad_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
