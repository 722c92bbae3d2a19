/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Hours of opening: each minute of two years is what the C library's local
 * time says, and what can't be understood is refused.
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

#include "hours.h"
#include "policy_random.h"
#include "zone.h"
#include "zone_file.h"

static const int64_t year_2025 = 1735689600;
enum { DAY = 86400, TWO_YEARS = 2 * 365 * DAY };

static void
add(struct hours *h, const struct zone *z, const char *text)
{
	struct hours_entry e;
	const char *why = "";

	if (hours_parse(text, &e, &why) < 0)
		fail_msg("%s: %s", text, why);
	assert_int_equal(hours_add(h, &e, z), 0);
}

static struct hours *
hours_of(const struct zone *z, const char *text)
{
	struct hours *h = hours_new();

	assert_non_null(h);
	add(h, z, text);
	return h;
}

/* The windows of that test by hand. */
static bool
by_hand(const struct tm *tm)
{
	int m = tm->tm_hour * 60 + tm->tm_min, d = tm->tm_wday;
	bool night = (d >= 1 && d <= 5 && m >= 22 * 60) || (d >= 2 && d <= 6 && m < 6 * 60);
	bool sunday = d == 0 && ((m >= 2 * 60 + 15 && m < 2 * 60 + 45) || m >= 23 * 60);

	return night || sunday || (d == 3 && m >= 8 * 60 && m < 12 * 60 + 30);
}

static void
minutes_of(const char *name)
{
	struct zone *z = zone_file_use(name);
	struct hours *h;
	struct tm tm;

	if (!z)
		return;
	h = hours_of(z, "Mon-Fri 22:00-06:00");
	add(h, z, "Sun 02:15-02:45,23:00-24:00");
	add(h, z, "wednesday 8:00-12:30");
	for (int64_t t = year_2025; t < year_2025 + TWO_YEARS; t += 60) {
		time_t when = (time_t)(t + (t / 60) % 60);

		assert_non_null(localtime_r(&when, &tm));
		if (hours_open(h, when) != by_hand(&tm))
			fail_msg("%s at %lld", name, (long long)when);
	}
	hours_free(h);
	zone_free(z);
}

static void
test_two_years_of_minutes(void **state)
{
	(void)state;
	minutes_of("Europe/Berlin");
	minutes_of("America/New_York");
	minutes_of("Australia/Lord_Howe");
}

/* From one change to the next as it is told: what minute by minute is found. */
static void
changes_of(const char *name, const char *text)
{
	struct zone *z = zone_file_use(name);
	int64_t t = year_2025, next;
	struct hours *h;

	if (!z)
		return;
	h = hours_of(z, text);
	add(h, zone_utc(), "Thu 23:30-00:10");
	next = hours_next_change(h, t);
	for (; t < year_2025 + TWO_YEARS; t += 60) {
		if (t == next)
			next = hours_next_change(h, t);
		else if (t > year_2025)
			assert_int_equal(hours_open(h, t), hours_open(h, t - 60));
		assert_true(next > t);
		if (t + 60 > next)
			assert_int_equal(next, t + 60);		/* on a whole minute */
		if (t + 60 == next)
			assert_int_not_equal(hours_open(h, t), hours_open(h, next));
	}
	hours_free(h);
	zone_free(z);
}

static void
test_next_change(void **state)
{
	(void)state;
	changes_of("Europe/Berlin", "Mon-Fri 22:00-06:00");
	changes_of("Australia/Lord_Howe", "daily 01:45-02:15,09:00-24:00");
	changes_of("America/New_York", "Sun 02:00-03:00");
}

static void
test_never_changes(void **state)
{
	struct hours *h = hours_new();

	(void)state;
	assert_non_null(h);
	assert_false(hours_open(h, year_2025));
	assert_true(hours_next_change(h, year_2025) == INT64_MAX);
	add(h, zone_utc(), "00:00-24:00");
	for (int i = 0; i < 10000; i++)
		assert_true(hours_open(h, year_2025 + (int64_t)below(TWO_YEARS)));
	assert_true(hours_next_change(h, year_2025 + 17) == INT64_MAX);
	hours_free(h);
	hours_free(NULL);
}

/* A whole day that a zone left out by moving over the date line. */
static void
test_day_that_was_not(void **state)
{
	struct zone *z = zone_file_use("Pacific/Apia");
	struct hours *h;
	int64_t t = 1325152800;		/* Thursday 2011-12-29 00:00, ten hours behind */

	(void)state;
	if (!z)
		skip();
	h = hours_of(z, "Fri 00:00-24:00");
	assert_false(hours_open(h, t));
	/* Thursday is followed by Saturday; open again a week later */
	assert_int_equal(hours_next_change(h, t) - t, (1 + 6) * DAY);
	hours_free(h);
	zone_free(z);
}

/* On the night of the change, as a clock on the wall shows it. */
static void
test_nights_of_change(void **state)
{
	static const int64_t spring = 1743296400, autumn = 1761440400;	/* both 01:00 UTC */
	struct zone *z = zone_file_use("Europe/Berlin");
	struct hours *h;

	(void)state;
	if (!z)
		skip();
	h = hours_of(z, "02:00-03:00");
	assert_int_equal(zone_offset(z, spring - 1), 3600);
	assert_int_equal(zone_offset(z, spring), 7200);
	for (int64_t t = spring - 7200; t < spring + 7200; t += 60)
		assert_false(hours_open(h, t));
	for (int64_t t = autumn - 7200; t < autumn + 7200; t += 60)
		assert_int_equal(hours_open(h, t), t >= autumn - 3600 && t < autumn + 3600);
	hours_free(h);
	h = hours_of(z, "Sat 22:00-06:00");
	assert_int_equal(hours_next_change(h, spring - 3 * 3600), spring + 3 * 3600);
	assert_int_equal(hours_next_change(h, autumn - 3 * 3600), autumn + 4 * 3600);
	hours_free(h);
	zone_free(z);
}

struct parsed {
	const char *text;
	uint8_t days, n;
	struct hours_span first;
	const char *zone;
};

static void
test_parse(void **state)
{
	static const struct parsed good[] = {
		{ "08:00-20:00", 0x7f, 1, { 480, 1200 }, "" },
		{ "daily 08:00-20:00", 0x7f, 1, { 480, 1200 }, "" },
		{ "Daily 8:00-20:00 UTC", 0x7f, 1, { 480, 1200 }, "UTC" },
		{ "Mon-Fri 22:00-06:00 Europe/Berlin", 0x3e, 1, { 1320, 360 }, "Europe/Berlin" },
		{ "mon,WED 00:00-24:00", 0x0a, 1, { 0, 1440 }, "" },
		{ "Sat-Mon 22:00-00:00", 0x43, 1, { 1320, 0 }, "" },
		{ "Mon-Mon,Thu-Fri,Sunday 0:00-0:01", 0x33, 1, { 0, 1 }, "" },
		{ "Tue-Mon 23:59-24:00", 0x7f, 1, { 1439, 1440 }, "" },
		{ " Fri \t 08:00-12:00,13:00-17:00   Etc/GMT+5 ", 0x20, 2, { 480, 720 },
		  "Etc/GMT+5" },
		{ "08:00-12:00 America/Argentina/Buenos_Aires", 0x7f, 1, { 480, 720 },
		  "America/Argentina/Buenos_Aires" },
	};
	struct hours_entry e;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (hours_parse(good[i].text, &e, &why) < 0)
			fail_msg("%s: %s", good[i].text, why);
		assert_int_equal(e.days, good[i].days);
		assert_int_equal(e.n, good[i].n);
		assert_int_equal(e.spans[0].from, good[i].first.from);
		assert_int_equal(e.spans[0].to, good[i].first.to);
		assert_string_equal(e.zone, good[i].zone);
	}
}

static void
test_parse_wrong(void **state)
{
	static const char *const wrong[] = {
		"", " ", "daily", "Mon", "Mon-Fri", "Mon 8-20", "Mon 08:00", "Mon 08:00-",
		"08:00-20", "Mo 08:00-20:00", "Mond 08:00-20:00", "Mon- 08:00-20:00",
		"-Fri 08:00-20:00", "Mon, 08:00-20:00", ",Mon 08:00-20:00", "Mon,,Tue 08:00-20:00",
		"Mon Tue 08:00-20:00", "Mon-Tue-Wed 08:00-20:00", "dailyMon 08:00-20:00",
		"daily,Mon 08:00-20:00", "Mon, Tue 08:00-20:00", "Mon08:00-20:00", "1 08:00-20:00",
		"* 08:00-20:00", "24:00-06:00", "25:00-26:00", "08:60-09:00", "24:01-06:00",
		"08:00-24:01", "8:0-9:0",
		"008:00-09:00", "08:000-09:00", "08:00-08:00", "00:00-00:00", "-1:00-02:00",
		"08:00 - 20:00", "08:00-20:00,", "08:00-20:00,Mon", "08:00-20:00, 21:00-22:00",
		"08:00-20:00x", "08:00-20:00 Europe/Berlin x", "08:00-20:00 ../../etc/passwd",
		"08:00-20:00 /etc/passwd", "08:00-20:00 Europe/../x", "08:00-20:00 Europe//Berlin",
		"08:00-20:00 Europe/", "08:00-20:00 -5", "08:00-20:00 Europe\nBerlin",
		"08:00-20:00 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"0:00-0:01,0:00-0:01,0:00-0:01,0:00-0:01,0:00-0:01,"
		"0:00-0:01,0:00-0:01,0:00-0:01,0:00-0:01",
	};
	struct hours_entry e, before;
	const char *why;

	(void)state;
	memset(&e, 0x55, sizeof(e));
	before = e;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		why = NULL;
		if (hours_parse(wrong[i], &e, &why) == 0)
			fail_msg("%s", wrong[i]);
		assert_non_null(why);
		assert_memory_equal(&e, &before, sizeof(e));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_years_of_minutes),
		cmocka_unit_test(test_next_change),
		cmocka_unit_test(test_never_changes),
		cmocka_unit_test(test_day_that_was_not),
		cmocka_unit_test(test_nights_of_change),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
