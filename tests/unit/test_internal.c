/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the internal services produce.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "internal.h"

static void
check_daytime(int64_t unix_s, const char *want)
{
	char buf[INTERNAL_TEXT];
	size_t n = internal_daytime(unix_s, buf);

	assert_int_equal(n, strlen(want));
	assert_memory_equal(buf, want, n);
}

static void
test_daytime(void **state)
{
	(void)state;
	check_daytime(1795195800, "Fri, 20 Nov 2026 17:30:00 +0000\r\n");
	check_daytime(0, "Thu, 01 Jan 1970 00:00:00 +0000\r\n");
	check_daytime(-1, "Wed, 31 Dec 1969 23:59:59 +0000\r\n");
	check_daytime(951782400, "Tue, 29 Feb 2000 00:00:00 +0000\r\n");
	check_daytime(4107542399, "Sun, 28 Feb 2100 23:59:59 +0000\r\n");
	check_daytime(4107542400, "Mon, 01 Mar 2100 00:00:00 +0000\r\n");
}

/* The same days as the C library's calendar. */
static void
test_daytime_agrees_with_strftime(void **state)
{
	(void)state;
	for (time_t t = -100000000; t < 6000000000; t += 86400 * 11 + 12347) {
		char want[64];
		struct tm tm;

		assert_non_null(gmtime_r(&t, &tm));
		assert_true(strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S +0000\r\n",
				     &tm) > 0);
		check_daytime(t, want);
	}
}

static void
test_time_RFC868(void **state)
{
	unsigned char b[4];

	(void)state;
	/* the RFC's own examples */
	internal_time(0, b);
	assert_memory_equal(b, "\x83\xaa\x7e\x80", 4);		/* 2 208 988 800 */
	internal_time(2629584000 - INT64_C(2208988800), b);
	assert_memory_equal(b, "\x9c\xbc\x44\x80", 4);		/* 1 May 1983 */
	/* 2036: the 32 bits begin again */
	internal_time((INT64_C(1) << 32) - INT64_C(2208988800), b);
	assert_memory_equal(b, "\0\0\0\0", 4);
}

static void
test_chargen_pattern(void **state)
{
	char whole[INTERNAL_PERIOD], part[100];

	(void)state;
	internal_chargen(whole, sizeof whole, 0);
	for (int line = 0; line < INTERNAL_LINES; line++) {
		const char *p = whole + line * INTERNAL_LINE;

		assert_int_equal(p[0], ' ' + line);
		for (int i = 1; i < 72; i++)
			assert_int_equal(p[i], p[i - 1] == '~' ? ' ' : p[i - 1] + 1);
		assert_memory_equal(p + 72, "\r\n", 2);
	}
	for (size_t pos = 0; pos < INTERNAL_PERIOD; pos += 37) {
		internal_chargen(part, sizeof part, pos);
		for (size_t i = 0; i < sizeof part; i++)
			assert_int_equal(part[i], whole[(pos + i) % INTERNAL_PERIOD]);
	}
}

static long
answer_len(enum internal what, size_t len)
{
	static const char request[2048];
	unsigned char buf[INTERNAL_DGRAM];
	const void *text;

	return internal_answer(what, request, len, 1795195800, 0, buf, &text);
}

static void
test_S10_answer_is_never_longer_than_request(void **state)
{
	(void)state;
	for (size_t len = 0; len < 2048; len++) {
		assert_int_equal(answer_len(INTERNAL_ECHO, len), len);
		assert_int_equal(answer_len(INTERNAL_DISCARD, len), -1);
		assert_int_equal(answer_len(INTERNAL_TIME, len), len < 4 ? -1 : 4);
		assert_int_equal(answer_len(INTERNAL_DAYTIME, len), len < 33 ? -1 : 33);
		assert_in_range(answer_len(INTERNAL_CHARGEN, len), 1, 512);
	}
}

static void
test_chargen_datagram_is_whole_lines(void **state)
{
	unsigned char buf[INTERNAL_DGRAM];
	const void *text;

	(void)state;
	for (unsigned line = 0; line < 3 * INTERNAL_LINES; line++) {
		long n = internal_answer(INTERNAL_CHARGEN, "", 0, 0, line, buf, &text);

		assert_ptr_equal(text, buf);
		assert_int_equal(n % INTERNAL_LINE, 0);
		assert_int_equal(buf[0], ' ' + line % INTERNAL_LINES);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_daytime),
		cmocka_unit_test(test_daytime_agrees_with_strftime),
		cmocka_unit_test(test_time_RFC868),
		cmocka_unit_test(test_chargen_pattern),
		cmocka_unit_test(test_S10_answer_is_never_longer_than_request),
		cmocka_unit_test(test_chargen_datagram_is_whole_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
