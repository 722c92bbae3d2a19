/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Unit tests of zones.c, with the time zones of the machine. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "zones.h"

#define DATABASE "/usr/share/zoneinfo/"

static struct zones *zones;

static int
set_up(void **state)
{
	(void)state;
	zones = zones_new();
	return zones ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	zones_free(zones);
	return 0;
}

static void
assert_refused(const char *name, const char *want)
{
	const char *why = NULL;

	assert_null(zones_get(zones, name, &why));
	assert_string_equal(why, want);
}

static void
test_utc_needs_no_file(void **state)
{
	const char *why;

	(void)state;
	assert_ptr_equal(zones_get(zones, "UTC", &why), zone_utc());
}

static void
test_local_zone_is_always_there(void **state)
{
	const char *why;
	const struct zone *z = zones_get(zones, "", &why);

	(void)state;
	assert_non_null(z);
	assert_ptr_equal(zones_get(zones, "", &why), z);
}

static void
test_zone_is_read_once(void **state)
{
	const struct zone *z;
	const char *why;

	(void)state;
	if (access(DATABASE "Asia/Kolkata", R_OK) < 0)
		skip();
	z = zones_get(zones, "Asia/Kolkata", &why);
	assert_non_null(z);
	assert_int_equal(zone_offset(z, 1700000000), 19800);
	assert_ptr_equal(zones_get(zones, "Asia/Kolkata", &why), z);
}

static void
test_no_such_zone(void **state)
{
	(void)state;
	assert_refused("Nowhere/At_All", "there is no such time zone");
	if (access(DATABASE "Asia/Kolkata", R_OK) == 0)
		assert_refused("Asia/Kolkata/Center", "there is no such time zone");
}

static void
test_S16_zone_that_is_no_file(void **state)
{
	(void)state;
	if (access(DATABASE "Asia", R_OK) < 0)
		skip();
	assert_refused("Asia", "its file can't be read");
}

/* Said by zone.c, in its own words. */
static void
test_file_that_is_no_zone(void **state)
{
	const char *why = NULL;

	(void)state;
	if (access(DATABASE "zone.tab", R_OK) < 0)
		skip();
	assert_null(zones_get(zones, "zone.tab", &why));
	assert_true(why && *why);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_utc_needs_no_file),
		TEST(test_local_zone_is_always_there),
		TEST(test_zone_is_read_once),
		TEST(test_no_such_zone),
		TEST(test_S16_zone_that_is_no_file),
		TEST(test_file_that_is_no_zone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
