/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Tests of conf_bytes: texts with escapes and what they stand for. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf_bytes.h"

static void
expect_bytes(const char *text, const char *bytes, size_t len, const char *canonical)
{
	char got[PROTO_TEXT], printed[CONF_BYTES_TEXT];
	const char *why;
	size_t n = 0;

	why = conf_bytes_parse(text, got, &n);
	if (why)
		fail_msg("%s: %s", text, why);
	assert_int_equal(n, len);
	assert_memory_equal(got, bytes, len);
	conf_bytes_print(got, n, printed);
	assert_string_equal(printed, canonical);
	assert_true(strlen(printed) <= strlen(text));
	assert_null(conf_bytes_parse(printed, got, &n));
	assert_int_equal(n, len);
	assert_memory_equal(got, bytes, len);
}

static void
test_escapes(void **state)
{
	(void)state;
	expect_bytes("", "", 0, "");
	expect_bytes("busy\\r\\n", "busy\r\n", 6, "busy\\r\\n");
	expect_bytes("\\t\\e\\\\\\\"", "\t\033\\\"", 4, "\\t\\e\\\\\"");
	expect_bytes("\\x41\\x0d\\101\\1018", "A\rAA8", 5, "A\\rAA8");
	expect_bytes("\\x01" "1\\x018\\7\\10", "\001" "1\0018\a\b", 6, "\\0011\\18\\7\\10");
	expect_bytes("\\177\\xFF\\377", "\177\377\377", 3, "\\177\\377\\377");
	expect_bytes("'\"${x}#", "'\"${x}#", 7, "'\"${x}#");
	expect_bytes("\303\244\\303\\244", "\303\244\303\244", 4, "\303\244\303\244");
	expect_bytes("\\302\\205\\303", "\302\205\303", 3, "\\302\\205\\303");
	expect_bytes("\\360\\237\\230\\200", "\360\237\230\200", 4, "\360\237\230\200");
	expect_bytes("\\x66ile:/x", "file:/x", 7, "\\146ile:/x");
	expect_bytes("afile:/x", "afile:/x", 8, "afile:/x");
}

static void
test_bad_escapes(void **state)
{
	static const char *const bad[] = {
		"\\", "a\\", "\\q", "\\x", "\\x1", "\\xg1", "\\x1g", "\\8", "\\400", "\\777", "\\R",
		"\\'", "\\ ", "\\0", "\\x00", "\\000", "\\$",
	};
	char got[PROTO_TEXT];
	size_t n, i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!conf_bytes_parse(bad[i], got, &n))
			fail_msg("%s", bad[i]);
}

static void
test_length(void **state)
{
	static char text[4 * PROTO_TEXT + 8], got[PROTO_TEXT], printed[CONF_BYTES_TEXT];
	size_t n, i;

	(void)state;
	for (i = 0; i < PROTO_TEXT; i++)
		memcpy(text + 4 * i, "\\377", 4);
	assert_null(conf_bytes_parse(text, got, &n));
	assert_int_equal(n, PROTO_TEXT);
	conf_bytes_print(got, n, printed);
	assert_string_equal(printed, text);
	text[4 * i] = 'x';
	assert_non_null(conf_bytes_parse(text, got, &n));
}

/* Each byte, before each other one. */
static void
test_all_pairs(void **state)
{
	char bytes[2], got[PROTO_TEXT], printed[CONF_BYTES_TEXT];
	size_t n;
	int a, b;

	(void)state;
	for (a = 1; a < 256; a++)
		for (b = 1; b < 256; b++) {
			bytes[0] = (char)a;
			bytes[1] = (char)b;
			conf_bytes_print(bytes, 2, printed);
			assert_null(conf_bytes_parse(printed, got, &n));
			assert_int_equal(n, 2);
			assert_memory_equal(got, bytes, 2);
		}
}

static void
test_path(void **state)
{
	(void)state;
	assert_string_equal(conf_bytes_path("file:/x"), "/x");
	assert_string_equal(conf_bytes_path("file:"), "");
	assert_null(conf_bytes_path("file"));
	assert_null(conf_bytes_path("File:/x"));
	assert_null(conf_bytes_path(""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_bad_escapes),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_all_pairs),
		cmocka_unit_test(test_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
