/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Escaping of foreign bytes.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "escape.h"

struct sample {
	const char *in, *text, *json;
};

static void
check(const struct sample *samples, size_t n)
{
	char buf[256];
	size_t i, len, n_out, used;

	for (i = 0; i < n; i++) {
		len = strlen(samples[i].in);
		n_out = escape_text(buf, sizeof buf, samples[i].in, len, &used);
		assert_int_equal(n_out, strlen(buf));
		assert_string_equal(buf, samples[i].text);
		assert_int_equal(used, len);
		n_out = escape_json(buf, sizeof buf, samples[i].in, len, NULL);
		assert_int_equal(n_out, strlen(buf));
		assert_string_equal(buf, samples[i].json);
	}
}
#define CHECK(samples) check(samples, sizeof(samples) / sizeof *(samples))

static void
test_harmless_text_stays(void **state)
{
	static const struct sample samples[] = {
		{ "", "", "" },
		{ "a b~!{}", "a b~!{}", "a b~!{}" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "\xf0\x9f\x90\xa3", "\xf0\x9f\x90\xa3", "\xf0\x9f\x90\xa3" },
		{ "\xc2\xa0\xee\x80\x80", "\xc2\xa0\xee\x80\x80", "\xc2\xa0\xee\x80\x80" },
		{ "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
	};

	(void)state;
	CHECK(samples);
}

static void
test_S20_controls(void **state)
{
	static const struct sample samples[] = {
		{ "a\nb", "a\\x0ab", "a\\nb" },
		{ "\r\t", "\\x0d\\x09", "\\r\\t" },
		{ "\033[2J", "\\x1b[2J", "\\u001b[2J" },
		{ "\x7f", "\\x7f", "\\u007f" },
		{ "\xc2\x85\xc2\x9b" "31m", "\\xc2\\x85\\xc2\\x9b31m", "\\u0085\\u009b31m" },
		{ "\"\\", "\\\"\\\\", "\\\"\\\\" },
	};

	(void)state;
	CHECK(samples);
}

static void
test_S20_bidi_and_separators(void **state)
{
	static const struct sample samples[] = {
		{ "\xe2\x80\xae", "\\xe2\\x80\\xae", "\\u202e" },	/* RLO */
		{ "\xe2\x80\xaa", "\\xe2\\x80\\xaa", "\\u202a" },	/* LRE */
		{ "\xe2\x81\xa6\xe2\x81\xa9", "\\xe2\\x81\\xa6\\xe2\\x81\\xa9",
		  "\\u2066\\u2069" },	/* LRI, PDI */
		{ "\xe2\x80\x8e\xe2\x80\x8f", "\\xe2\\x80\\x8e\\xe2\\x80\\x8f",
		  "\\u200e\\u200f" },	/* LRM, RLM */
		{ "\xd8\x9c", "\\xd8\\x9c", "\\u061c" },	/* ALM */
		{ "\xe2\x80\xa8\xe2\x80\xa9", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9", "\\u2028\\u2029" },
		{ "\xe2\x80\xaf\xe2\x81\xaa", "\xe2\x80\xaf\xe2\x81\xaa",
		  "\xe2\x80\xaf\xe2\x81\xaa" },	/* their neighbours are none */
	};

	(void)state;
	CHECK(samples);
}

#define FFFD "\xef\xbf\xbd"

static void
test_S20_invalid_utf8(void **state)
{
	static const struct sample samples[] = {
		{ "\xff", "\\xff", FFFD },
		{ "\x80", "\\x80", FFFD },
		{ "a\xc3(", "a\\xc3(", "a" FFFD "(" },
		{ "\xe2\x82", "\\xe2\\x82", FFFD FFFD },
		{ "\xc0\xaf", "\\xc0\\xaf", FFFD FFFD },		/* overlong */
		{ "\xc1\x8a", "\\xc1\\x8a", FFFD FFFD },
		{ "\xe0\x80\x8a", "\\xe0\\x80\\x8a", FFFD FFFD FFFD },
		{ "\xf0\x80\x80\x8a", "\\xf0\\x80\\x80\\x8a", FFFD FFFD FFFD FFFD },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80", FFFD FFFD FFFD },	/* surrogate */
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", FFFD FFFD FFFD FFFD },
		{ "\xf8\x88\x80", "\\xf8\\x88\\x80", FFFD FFFD FFFD },
		{ "\xe2\n\xac", "\\xe2\\x0a\\xac", FFFD "\\n" FFFD },
	};

	(void)state;
	CHECK(samples);
}

static void
test_nul(void **state)
{
	char buf[32];

	(void)state;
	assert_int_equal(escape_text(buf, sizeof buf, "a\0b", 3, NULL), 6);
	assert_string_equal(buf, "a\\x00b");
	assert_int_equal(escape_json(buf, sizeof buf, "a\0b", 3, NULL), 8);
	assert_string_equal(buf, "a\\u0000b");
}

/* No room ever leaves half an escape or half a character. */
static void
test_cut_between_characters(void **state)
{
	static const char in[] = "a\n\"\xc3\xbc\xe2\x80\xae\xff\xf0\x9f\x90\xa3";
	static const size_t text_ends[] = { 0, 1, 5, 7, 9, 21, 25, 29 };
	static const size_t json_ends[] = { 0, 1, 3, 5, 7, 13, 16, 20 };
	char buf[64], all_text[64], all_json[64];
	size_t size, len, used, i;

	(void)state;
	assert_int_equal(escape_text(all_text, 64, in, sizeof in - 1, NULL), 29);
	assert_int_equal(escape_json(all_json, 64, in, sizeof in - 1, NULL), 20);
	for (size = 1; size < 40; size++) {
		for (i = 7; text_ends[i] >= size; i--)
			;
		memset(buf, 'x', sizeof buf);
		len = escape_text(buf, size, in, sizeof in - 1, &used);
		assert_int_equal(len, text_ends[i]);
		assert_int_equal(buf[len], '\0');
		assert_memory_equal(buf, all_text, len);
		assert_int_equal(buf[size], 'x');

		for (i = 7; json_ends[i] >= size; i--)
			;
		len = escape_json(buf, size, in, sizeof in - 1, &used);
		assert_int_equal(len, json_ends[i]);
		assert_int_equal(buf[len], '\0');
		assert_memory_equal(buf, all_json, len);
	}
	buf[0] = 'x';
	assert_int_equal(escape_text(buf, 0, in, sizeof in - 1, &used), 0);
	assert_int_equal(used, 0);
	assert_int_equal(buf[0], 'x');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_harmless_text_stays),
		cmocka_unit_test(test_S20_controls),
		cmocka_unit_test(test_S20_bidi_and_separators),
		cmocka_unit_test(test_S20_invalid_utf8),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
