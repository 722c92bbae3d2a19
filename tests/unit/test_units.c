/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Unit tests of units.c. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "units.h"

#define UNTOUCHED 77

static void
assert_duration(const char *s, uint32_t ms)
{
	uint32_t got = UNTOUCHED;

	assert_int_equal(units_duration_ms(s, &got), 0);
	assert_int_equal(got, ms);
}

static void
assert_no_duration(const char *s)
{
	uint32_t got = UNTOUCHED;

	assert_int_equal(units_duration_ms(s, &got), -1);
	assert_int_equal(got, UNTOUCHED);
}

static void
test_durations(void **state)
{
	static const char *const bad[] = {
		"", " ", "5", "30", "-1s", "+1s", " 1s", "1s ", "1 s", "1m", "1S", "1sec", "s",
		"1.5s", "0x5s", "05s", "1s1s", "1h30min", "49711d", "4294967296ms", "50d",
		"99999999999999999999s", "30parsecs", "1s\n", "00",
	};

	(void)state;
	assert_duration("0", 0);
	assert_duration("0s", 0);
	assert_duration("500ms", 500);
	assert_duration("30s", 30000);
	assert_duration("5min", 300000);
	assert_duration("1h", 3600000);
	assert_duration("2d", 172800000);
	assert_duration("49d", 4233600000);
	assert_duration("4294967295ms", UINT32_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_no_duration(bad[i]);
	assert_duration("1193h", 4294800000);	/* which messages name as the limit */
	assert_true(units_duration_is_long("1194h"));
	assert_true(units_duration_is_long("50d"));
	assert_true(units_duration_is_long("4294967296ms"));
	assert_false(units_duration_is_long("49d"));
	assert_false(units_duration_is_long("4294967295ms"));
	assert_false(units_duration_is_long("50"));
	assert_false(units_duration_is_long("50 d"));
}

static void
assert_size(const char *s, uint64_t bytes)
{
	uint64_t got = UNTOUCHED;

	assert_int_equal(units_size(s, &got), 0);
	assert_true(got == bytes);
}

static void
test_decimals(void **state)
{
	static const struct {
		const char *text;
		uint32_t hundredths;
		const char *printed;
	} good[] = {
		{ "0", 0, "0" }, { "8", 800, "8" }, { "8.0", 800, "8" }, { "8.00", 800, "8" },
		{ "0.5", 50, "0.5" }, { "0.05", 5, "0.05" }, { "12.34", 1234, "12.34" },
		{ "100", 10000, "100" }, { "99.99", 9999, "99.99" },
	};
	static const char *const bad[] = {
		"", ".", ".5", "5.", "1.234", "01", "00", "-1", "+1", " 1", "1 ", "1,5", "1e1",
		"100.01", "101", "4294967296", "18446744073709551616", "1.x", "0x1", "inf", "nan",
	};
	uint32_t got;
	char buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(units_decimal(good[i].text, 10000, &got), 0);
		assert_int_equal(got, good[i].hundredths);
		assert_string_equal(units_print_decimal(got, buf), good[i].printed);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(units_decimal(bad[i], 10000, &got), -1);
}

static void
test_sizes(void **state)
{
	static const char *const bad[] = {
		"", "-1", "+1", " 1", "1 ", "1KB", "1kB", "1kib", "1kb", "1B", "1MB", "1.5K", "0x10",
		"010", "64KiB ", "18446744073709551616", "16777216TiB", "K", "1KK",
	};
	uint64_t got = UNTOUCHED;

	(void)state;
	assert_size("0", 0);
	assert_size("4096", 4096);
	assert_size("64KiB", 65536);
	assert_size("64k", 65536);
	assert_size("64K", 65536);
	assert_size("10MiB", 10 << 20);
	assert_size("1GiB", 1 << 30);
	assert_size("1TiB", UINT64_C(1) << 40);
	assert_size("18446744073709551615", UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(units_size(bad[i], &got), -1);
	assert_true(got == UNTOUCHED);
}

/* libConfuse and strtol(3) read 010 as eight, "" as zero, " 7" as seven. */
static void
test_trap7_numbers(void **state)
{
	static const char *const bad[] = {
		"", "010", "00", "-5", "+7", " 7", "7 ", "7x", "0x7", "x", "101",
		"18446744073709551616", "99999999999999999999999", "1e1", "\xd9\xa1",
	};
	uint64_t got = UNTOUCHED;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(units_number(bad[i], 0, 100, &got), -1);
	assert_int_equal(units_number("4", 5, 100, &got), -1);
	assert_true(got == UNTOUCHED);
	assert_int_equal(units_number("5", 5, 100, &got), 0);
	assert_true(got == 5);
	assert_int_equal(units_number("100", 5, 100, &got), 0);
	assert_true(got == 100);
	assert_int_equal(units_number("0", 0, 0, &got), 0);
	assert_true(got == 0);
	assert_int_equal(units_number("18446744073709551615", 0, UINT64_MAX, &got), 0);
	assert_true(got == UINT64_MAX);
}

static void
test_octal(void **state)
{
	static const char *const bad[] = {
		"", "8", "0o", "0x1", "-1", "01000", "1000", "0o1000", "07777777777777777777777", "22 ",
		"0O22", "o22",
	};
	unsigned got = UNTOUCHED;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(units_octal(bad[i], 0777, &got), -1);
	assert_int_equal(got, UNTOUCHED);
	assert_int_equal(units_octal("022", 0777, &got), 0);
	assert_int_equal(got, 022);
	assert_int_equal(units_octal("0666", 0777, &got), 0);
	assert_int_equal(got, 0666);
	assert_int_equal(units_octal("0o22", 0777, &got), 0);
	assert_int_equal(got, 022);
	assert_int_equal(units_octal("777", 0777, &got), 0);
	assert_int_equal(got, 0777);
	assert_int_equal(units_octal("0", 0, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(units_octal("1", 0, &got), -1);
}

static void
test_bool(void **state)
{
	static const char *const bad[] = { "", "0", "1", "Yes", "y", "yes ", "nope", "tru" };
	bool got = false;

	(void)state;
	assert_int_equal(units_bool("yes", &got), 0);
	assert_true(got);
	assert_int_equal(units_bool("no", &got), 0);
	assert_false(got);
	assert_int_equal(units_bool("true", &got), 0);
	assert_true(got);
	assert_int_equal(units_bool("false", &got), 0);
	assert_false(got);
	assert_int_equal(units_bool("on", &got), 0);
	assert_true(got);
	assert_int_equal(units_bool("off", &got), 0);
	assert_false(got);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(units_bool(bad[i], &got), -1);
}

static void
test_printing(void **state)
{
	static const struct {
		uint32_t ms;
		const char *text;
	} durations[] = {
		{ 0, "0" }, { 1, "1ms" }, { 500, "500ms" }, { 1500, "1500ms" }, { 90000, "90s" },
		{ 300000, "5min" }, { 3600000, "1h" }, { 172800000, "2d" },
		{ UINT32_MAX, "4294967295ms" },
	};
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {
		{ 0, "0" }, { 1, "1" }, { 1000, "1000" }, { 1024, "1KiB" }, { 65536, "64KiB" },
		{ 10 << 20, "10MiB" }, { 1 << 30, "1GiB" }, { UINT64_C(3) << 40, "3TiB" },
		{ UINT64_MAX, "18446744073709551615" },
	};
	uint64_t bytes;
	uint32_t ms;
	char buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		assert_string_equal(units_print_duration(durations[i].ms, buf), durations[i].text);
		assert_int_equal(units_duration_ms(buf, &ms), 0);
		assert_int_equal(ms, durations[i].ms);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_string_equal(units_print_size(sizes[i].bytes, buf), sizes[i].text);
		assert_int_equal(units_size(buf, &bytes), 0);
		assert_true(bytes == sizes[i].bytes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_decimals),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_trap7_numbers),
		cmocka_unit_test(test_octal),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_printing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
