/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Tests of the table of settings. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schema.h"

static void
test_sections_are_contiguous(void **state)
{
	unsigned section, id;

	(void)state;
	assert_int_equal(schema_first(0), 0);
	assert_int_equal(schema_first(SCHEMA_SECTIONS), SCHEMA_ITEMS);
	for (section = 0; section < SCHEMA_SECTIONS; section++)
		for (id = schema_first(section); id < schema_first(section + 1); id++) {
			assert_non_null(schema[id].name);
			assert_int_equal(schema[id].in, section);
			assert_int_equal(schema_find(section, schema[id].name,
						     strlen(schema[id].name)), id);
		}
}

/* A field must be as large as its type's values need. */
static void
test_fields_have_the_right_size(void **state)
{
	const struct schema_item *it;
	unsigned id;

	(void)state;
	for (id = 0; id < SCHEMA_ITEMS; id++) {
		it = &schema[id];
		switch (it->type) {
		case SCHEMA_TEXT:
			assert_non_null(it->fallback);
			/* fall through */
		case SCHEMA_LIST:
		case SCHEMA_RULES:
		case SCHEMA_LISTEN:
			assert_int_equal(it->size, sizeof(void *));
			break;
		case SCHEMA_BOOL:
		case SCHEMA_INTERNAL:
			assert_int_equal(it->size, 1);
			break;
		case SCHEMA_SIZE:
		case SCHEMA_DURATION:
		case SCHEMA_DECIMAL:
		case SCHEMA_OCTAL:
		case SCHEMA_FLAGS:
			assert_int_equal(it->size, 4);
			break;
		case SCHEMA_NUMBER:
			assert_true(it->size == 1 || it->size == 2 || it->size == 4);
			assert_true(it->max > it->min);
			assert_true(it->max <= (it->size == 1 ? UINT8_MAX : it->size == 2 ?
						INT16_MAX : (int64_t)UINT32_MAX));
			break;
		case SCHEMA_CHOICE:
			assert_non_null(it->words);
			assert_true(it->size == 1 || it->size == 4);
			break;
		case SCHEMA_RATE:
			assert_int_equal(it->size, sizeof(struct limit_rate));
			break;
		case SCHEMA_RLIMIT:
		case SCHEMA_SUB:
			assert_int_equal(it->size, 0);
			break;
		}
	}
}

static void
test_names(void **state)
{
	char buf[64];

	(void)state;
	assert_string_equal(schema_name(SET_USER, true, buf), "user");
	assert_string_equal(schema_name(SET_SERVICE_USER, true, buf), "service.user");
	assert_string_equal(schema_name(SET_SERVICE_USER, false, buf), "user");
	assert_string_equal(schema_name(SET_INSTANCES, true, buf), "service.limits.instances");
	assert_string_equal(schema_name(SET_ALLOW, true, buf), "service.access.allow");
	assert_string_equal(schema_name(SET_PROXY_TIMEOUT, false, buf), "proxy.timeout");
	assert_string_equal(schema_name(SET_RLIMIT_STACK, false, buf), "rlimits.stack");
	assert_string_equal(schema_name(SET_RLIMITS, false, buf), "rlimits");
}

static void
test_find(void **state)
{
	(void)state;
	assert_int_equal(schema_find(SCHEMA_GLOBAL, "log_format = x", 10), SET_LOG_FORMAT);
	assert_int_equal(schema_find(SCHEMA_GLOBAL, "log_format", 3), SET_LOG);
	assert_int_equal(schema_find(SCHEMA_GLOBAL, "log_", 4), -1);
	assert_int_equal(schema_find(SCHEMA_GLOBAL, "", 0), -1);
	assert_int_equal(schema_find(SCHEMA_SERVICE, "instances", 9), -1);
	assert_int_equal(schema_find(SCHEMA_SOCKET, "group", 5), SET_SOCKET_GROUP);
	assert_int_equal(schema_find(SCHEMA_TIMEOUTS, "idle", 4), SET_TIMEOUTS_IDLE);
	assert_int_equal(schema_find(SCHEMA_SESSION, "idle", 4), SET_IDLE);
}

static int
guess(enum schema_section section, const char *name)
{
	return schema_guess(section, name, strlen(name));
}

static void
test_guesses(void **state)
{
	(void)state;
	assert_int_equal(guess(SCHEMA_SERVICE, "lisen"), SET_LISTEN);
	assert_int_equal(guess(SCHEMA_SERVICE, "exce"), SET_EXEC);
	assert_int_equal(guess(SCHEMA_SERVICE, "usr"), SET_SERVICE_USER);
	assert_int_equal(guess(SCHEMA_SERVICE, "enviroment"), SET_ENVIRONMENT);
	assert_int_equal(guess(SCHEMA_SERVICE, "on-reload"), SET_ON_RELOAD);
	assert_int_equal(guess(SCHEMA_LIMITS, "Instances"), SET_INSTANCES);
	assert_int_equal(guess(SCHEMA_SERVICE, "x"), -1);
	assert_int_equal(guess(SCHEMA_SERVICE, "acces"), SET_ACCESS);
	assert_int_equal(guess(SCHEMA_SERVICE, "banners"), SET_BANNER);
	assert_int_equal(guess(SCHEMA_ACCESS, "alow"), SET_ALLOW);
	assert_int_equal(guess(SCHEMA_SERVICE, "sandbox"), -1);
	assert_int_equal(guess(SCHEMA_SERVICE, "redirect"), -1);
	assert_int_equal(guess(SCHEMA_SERVICE, ""), -1);
	assert_int_equal(guess(SCHEMA_SERVICE, "a_name_that_is_longer_than_any_other"), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sections_are_contiguous),
		cmocka_unit_test(test_fields_have_the_right_size),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_guesses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
