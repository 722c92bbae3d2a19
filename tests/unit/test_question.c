/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Unit tests of question.c: addresses and times as they are typed. */
#include "config.h"

#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "question.h"

static void
assert_address(const char *text, const char *want)
{
	char buf[ADDR_STRLEN];
	struct addr a;

	assert_null(question_address(text, &a));
	(void)addr_format(&a, buf, sizeof(buf));
	assert_string_equal(buf, want);
}

static void
test_addresses(void **state)
{
	(void)state;
	assert_address("192.0.2.7", "192.0.2.7:0");
	assert_address("192.0.2.7:4242", "192.0.2.7:4242");
	assert_address("192.0.2.7:0", "192.0.2.7:0");
	assert_address("2001:db8::1", "[2001:db8::1]:0");
	assert_address("[2001:db8::1]", "[2001:db8::1]:0");
	assert_address("[2001:db8::1]:65535", "[2001:db8::1]:65535");
	assert_address("::ffff:192.0.2.7", "192.0.2.7:0");
	assert_address("[::ffff:192.0.2.7]:80", "192.0.2.7:80");
}

static void
test_unix_peers(void **state)
{
	const struct passwd *pw = getpwuid(0);
	struct addr a;

	(void)state;
	assert_null(question_address("unix:uid=1000,gid=77", &a));
	assert_int_equal(a.family, AF_UNIX);
	assert_int_equal(a.cred.uid, 1000);
	assert_int_equal(a.cred.gid, 77);
	assert_null(question_address("unix:uid=0", &a));
	assert_int_equal(a.cred.gid, pw ? pw->pw_gid : UINT32_MAX);
	assert_null(question_address("uid:4294967294", &a));
	assert_int_equal(a.cred.uid, 4294967294U);
	assert_int_equal(a.cred.gid, UINT32_MAX);
}

static void
test_no_addresses(void **state)
{
	static const char *const texts[] = {
		"", "x", "10.0.0", "10.0.0.256", "10.0.0.0/8", "10.0.0.1:",
		"10.0.0.1:65536", "10.0.0.1:x", "10.0.0.1:+1", "10.0.0.1:1:1",
		"[10.0.0.1]:1", "[::1", "[::1]1", "[::1]:", "[]", "[]:1", ":", ":1",
		"1::2::3", "localhost", "localhost:1", "unix:", "unix:1000", "unix:uid=",
		"unix:uid=x", "unix:uid=1,", "unix:uid=1,gid=", "unix:uid=1,gid=x",
		"unix:uid=4294967295", "unix:uid=11111111111111111111", "uid:", "uid:-1",
		"uid:1,gid=2", "gid:5",
	};
	struct addr a = { .family = 99 };
	char longer[300];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_non_null(question_address(texts[i], &a));
	memset(longer, '1', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_non_null(question_address(longer, &a));
	longer[200] = ':';
	assert_non_null(question_address(longer, &a));
	longer[0] = '[';
	longer[250] = ']';
	assert_non_null(question_address(longer, &a));
	assert_int_equal(a.family, 99);
}

static void
assert_time(const char *text, int64_t want)
{
	int64_t t = -1;

	assert_null(question_time(text, &t));
	assert_int_equal(t, want);
}

static void
test_times(void **state)
{
	char buf[QUESTION_TIME];

	(void)state;
	assert_int_equal(setenv("TZ", "XXX-2", 1), 0);	/* two hours east */
	tzset();
	assert_time("@0", 0);
	assert_time("@1795185000", 1795185000);
	assert_time("2026-11-20T14:30Z", 1795185000);
	assert_time("2026-11-20 14:30:07Z", 1795185007);
	assert_time("2026-11-20T16:30", 1795185000);
	assert_time("2026-11-20 16:30:59", 1795185059);
	assert_time("2028-02-29T00:00Z", 1835395200);
	assert_string_equal(question_print_time(1795185000, buf), "2026-11-20 16:30");
	assert_string_equal(question_print_time(1795185007, buf), "2026-11-20 16:30:07");
	assert_string_equal(question_print_time(INT64_C(1) << 60, buf), "@1152921504606846976");
}

static void
test_no_times(void **state)
{
	static const char *const texts[] = {
		"", "@", "@x", "@-1", "@9999999999999999999", "now", "14:30", "2026-11-20",
		"2026-11-20T", "2026-11-20T14", "2026-11-20T14:3", "2026-11-20T24:00",
		"2026-11-20T14:60", "2026-11-20T14:30:", "2026-11-20T14:30:60", "2026-11-20T14:30z",
		"2026-11-20T14:30ZZ", "2026-11-20T14:30 Z", "2026-11-20t14:30", "2026-13-01T00:00",
		"2026-00-01T00:00", "2026-01-00T00:00", "2026-01-32T00:00", "2026-02-29T00:00",
		"2026-02-30T00:00Z", "2026-04-31T12:00", "1899-01-01T00:00", "26-11-20T14:30",
		" 2026-11-20T14:30", "2026-11-20T14:30 ",
	};
	int64_t t = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_non_null(question_time(texts[i], &t));
	assert_int_equal(t, 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_unix_peers),
		cmocka_unit_test(test_no_addresses),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_no_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
