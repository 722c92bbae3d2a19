/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Time zones: the same offsets as the C library has, and no file that is
 * broken is taken.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "policy_random.h"
#include "zone.h"
#include "zone_file.h"
#include "zone_rule.h"

static const int64_t year_2025 = 1735689600, year_2100 = 4102444800;

/* Summer time in the north, in the south, of half an hour, of minus one hour,
 * none; with a rule that leads into the year before. */
static const char *const zones[] = {
	"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Europe/Dublin",
	"Asia/Kolkata", "America/Nuuk", "Asia/Gaza", "Africa/Casablanca", "Pacific/Apia",
	"Antarctica/Troll", "America/Scoresbysund", "UTC",
};

static int32_t
libc_offset(int64_t t)
{
	time_t when = (time_t)t;
	struct tm tm;

	assert_non_null(localtime_r(&when, &tm));
	return (int32_t)tm.tm_gmtoff;
}

static void
assert_same(const struct zone *z, const char *name, int64_t t)
{
	int32_t ours = zone_offset(z, t), libc = libc_offset(t);

	if (ours != libc)
		fail_msg("%s at %lld: %d, not %d", name, (long long)t, ours, libc);
}

static unsigned
for_each_zone(void (*test)(const struct zone *z, const char *name))
{
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
		struct zone *z = zone_file_use(zones[i]);

		if (!z)
			continue;
		test(z, zones[i]);
		zone_free(z);
		n++;
	}
	return n;
}

static void
two_years(const struct zone *z, const char *name)
{
	for (int64_t t = year_2025; t < year_2025 + 2 * 365 * 86400; t += 900)
		assert_same(z, name, t);
}

/* By chance from 1900, which is the table, to 2500, which is the rule; and
 * just around all changes of a hundred years. */
static void
long_time(const struct zone *z, const char *name)
{
	int64_t t;

	for (int i = 0; i < 20000; i++) {
		t = (int64_t)(next_random() % 18934128000) - 2208988800;
		assert_same(z, name, t);
	}
	for (t = 0; t < year_2100;) {
		int64_t next = zone_next(z, t);

		assert_true(next > t);
		if (next == INT64_MAX)
			break;
		for (int d = -2; d <= 2; d++)
			assert_same(z, name, next + d);
		/* and nothing changes on the way */
		assert_int_equal(zone_offset(z, t), zone_offset(z, next - 1));
		for (int i = 0; i < 3; i++)
			assert_int_equal(zone_offset(z, t),
					 zone_offset(z, t + (int64_t)(next_random() %
								      (uint64_t)(next - t))));
		t = next;
	}
}

static void
test_like_libc_for_two_years(void **state)
{
	(void)state;
	if (for_each_zone(two_years) == 0)
		skip();
}

static void
test_like_libc_for_centuries(void **state)
{
	(void)state;
	if (for_each_zone(long_time) == 0)
		skip();
}

static void
test_utc(void **state)
{
	(void)state;
	assert_int_equal(zone_offset(zone_utc(), 0), 0);
	assert_int_equal(zone_offset(zone_utc(), year_2100), 0);
	assert_true(zone_next(zone_utc(), year_2100) == INT64_MAX);
}

/* Whatever is cut off, it is an error and nothing is read behind it. */
static void
test_cut_file(void **state)
{
	unsigned char *bytes, *copy;
	const char *why;
	size_t len;

	(void)state;
	bytes = zone_file_read("Europe/Berlin", &len);
	if (!bytes)
		skip();
	for (size_t n = 0; n < len; n++) {
		copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, bytes, n);
		why = NULL;
		assert_null(zone_load(copy, n, &why));
		assert_non_null(why);
		free(copy);
	}
	free(bytes);
}

/* A part of a file: a header and what the counts say, all zero. */
static size_t
put_header(unsigned char *p, char version, uint32_t times, uint32_t types, uint32_t leaps)
{
	memset(p, 0, 44);
	memcpy(p, "TZif", 4);
	p[4] = (unsigned char)version;
	p[31] = (unsigned char)leaps;
	p[35] = (unsigned char)times;
	p[39] = (unsigned char)types;
	p[43] = 4;
	return 44;
}

struct spec {
	char version;
	uint32_t times, types, leaps;
	uint8_t index;			/* of the last transition's type */
	int32_t utoff;
	bool disorder;
	const char *footer;
};

static struct zone *
load(const struct spec *s, const char **why)
{
	unsigned char file[1024];
	size_t at = 0;

	memset(file, 0, sizeof(file));
	if (s->version)
		at = put_header(file, s->version, 0, 1, 0) + 6 + 4;
	at += put_header(file + at, s->version, s->times, s->types, s->leaps);
	for (uint32_t i = 0; i < s->times; i++) {
		unsigned width = s->version ? 8 : 4;

		at += width;
		file[at - 1] = (unsigned char)(s->disorder ? 7 : i + 1);
	}
	if (s->times > 0)
		file[at + s->times - 1] = s->index;
	at += s->times;
	for (uint32_t i = 0; i < s->types; i++, at += 6)
		for (unsigned k = 0; k < 4; k++)
			file[at + k] = (unsigned char)((uint32_t)s->utoff >> (24 - 8 * k));
	at += 4 + s->leaps * (s->version ? 12u : 8u);
	if (s->version) {
		memcpy(file + at, s->footer, strlen(s->footer));
		at += strlen(s->footer);
	}
	return zone_load(file, at, why);
}

static void
test_made_files(void **state)
{
	static const struct spec good[] = {
		{ '2', 0, 1, 0, 0, 3600, false, "\n\n" },
		{ 0, 2, 2, 0, 1, -3600, false, NULL },
		{ '3', 3, 2, 0, 1, 7200, false, "\n<+02>-2\n" },
	};
	static const struct spec wrong[] = {
		{ '2', 0, 0, 0, 0, 0, false, "\n\n" },		/* no types */
		{ '2', 0, 1, 1, 0, 0, false, "\n\n" },		/* leap seconds */
		{ '2', 2, 2, 0, 2, 0, false, "\n\n" },		/* no such type */
		{ '2', 2, 2, 0, 1, 0, true, "\n\n" },
		{ '2', 0, 1, 0, 0, 26 * 3600 + 1, false, "\n\n" },
		{ '2', 0, 1, 0, 0, INT32_MIN, false, "\n\n" },
		{ '2', 0, 1, 0, 0, 0, false, "" },
		{ '2', 0, 1, 0, 0, 0, false, "\n" },
		{ '2', 0, 1, 0, 0, 0, false, "UTC0\n" },
		{ '2', 0, 1, 0, 0, 0, false, "\nUTC0" },
		{ '2', 0, 1, 0, 0, 0, false, "\nUTC\n" },
	};
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct zone *z = load(&good[i], &why);

		if (!z)
			fail_msg("%zu: %s", i, why);
		assert_int_equal(zone_offset(z, 0), good[i].utoff);
		assert_int_equal(zone_offset(z, year_2100), good[i].utoff);
		zone_free(z);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		why = NULL;
		assert_null(load(&wrong[i], &why));
		assert_non_null(why);
	}
}

static void
assert_rule(const char *text, int64_t t, int32_t offset)
{
	struct zone_rule r;

	if (zone_rule_parse(text, strlen(text), &r) < 0)
		fail_msg("%s", text);
	assert_int_equal(zone_rule_offset(&r, t, NULL), offset);
}

static void
test_rules(void **state)
{
	static const int64_t july = 1751328000;

	(void)state;
	assert_rule("UTC0", july, 0);
	assert_rule("<+0530>-5:30", july, 19800);
	assert_rule("CET-1CEST,M3.5.0,M10.5.0/3", july, 7200);
	assert_rule("CET-1CEST,M3.5.0,M10.5.0/3", year_2025, 3600);
	assert_rule("NZST-12NZDT,M9.5.0,M4.1.0/3", july, 43200);
	assert_rule("NZST-12NZDT,M9.5.0,M4.1.0/3", year_2025, 46800);
	assert_rule("IST-1GMT0,M10.5.0,M3.5.0/1", year_2025, 0);
	assert_rule("IST-1GMT0,M10.5.0,M3.5.0/1", july, 3600);
	/* always summer */
	for (int64_t t = year_2025 - 7200; t <= year_2025 + 7200; t += 60)
		assert_rule("EST5EDT,0/0,J365/25", t + 5 * 3600, -4 * 3600);
	assert_rule("EST5EDT,0/0,J365/25", july, -4 * 3600);
	/* the last Sunday of February is the 29th: 2032 */
	assert_rule("AAA0BBB,M2.5.0/0,M10.5.0", 1961625600, 3600);
	assert_rule("AAA0BBB,M2.5.0/0,M10.5.0", 1961625600 - 1, 0);
	/* J never counts 29 February, 0 does: 1 March 2024 */
	assert_rule("AAA0BBB,J60/0,J61/0", 1709251200, 3600);
	assert_rule("AAA0BBB,60/0,61/0", 1709251200, 3600);
	assert_rule("AAA0BBB,J60/0,J61/0", 1709251200 - 1, 0);
	assert_rule("AAA0BBB,60/0,61/0", 1709251200 - 1, 0);
}

/* All times of years of a rule lie between changes that are told, whatever the
 * rule: this one's summer ends after the next one's start. */
static void
test_a_rule_across_new_year(void **state)
{
	static const char text[] = "EST5EDT,0/5,J365/48";
	int64_t t = year_2025, next;
	struct zone_rule r;

	(void)state;
	assert_int_equal(zone_rule_parse(text, strlen(text), &r), 0);
	for (int i = 0; i < 20; i++) {
		int32_t offset = zone_rule_offset(&r, t, &next);

		assert_true(next > t);
		for (; t < next; t += 600)
			assert_int_equal(zone_rule_offset(&r, t, NULL), offset);
		t = next;
	}
}

static void
test_wrong_rules(void **state)
{
	static const char *const wrong[] = {
		"", "A", "UTC", "AB0", "UTC0x", "UTC25", "UTC0:60", "UTC0:00:60", "<UTC0", "<a>0",
		"<+01", "CET-1CEST", "CET-1CEST,", "CET-1CEST,M3.5.0", "CET-1CEST,M3.5.0,",
		"CET-1CEST,M13.5.0,M10.5.0", "CET-1CEST,M0.5.0,M10.5.0", "CET-1CEST,M3.6.0,M10.5.0",
		"CET-1CEST,M3.0.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,J0,J10",
		"CET-1CEST,J366,J10", "CET-1CEST,366,10", "CET-1CEST,1,2,3", "CET-1CEST,1,2 ",
		"CET-1CEST,M3.5.0/168,M10.5.0", "CET-1CEST,M3.5.0/,M10.5.0",
		"CET-1CEST,M3.5,M10.5.0", "CET--1", "CET+-1", "C\xc3\xa9T-1",
		"CET-99999999999999999999",
	};
	struct zone_rule r;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (zone_rule_parse(wrong[i], strlen(wrong[i]), &r) == 0)
			fail_msg("%s", wrong[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_like_libc_for_two_years),
		cmocka_unit_test(test_like_libc_for_centuries),
		cmocka_unit_test(test_utc),
		cmocka_unit_test(test_cut_file),
		cmocka_unit_test(test_made_files),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_a_rule_across_new_year),
		cmocka_unit_test(test_wrong_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
