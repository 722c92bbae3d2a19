/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Names of the reasons.
 */
#include "config.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "reason.h"

static void
test_names_are_published(void **state)
{
	(void)state;
	assert_string_equal(reason_name(REASON_ACCESS), "access");
	assert_string_equal(reason_name(REASON_SOURCE_INSTANCES), "source-instances");
	assert_string_equal(reason_name(REASON_QUEUE), "queue");
}

static void
test_names_are_distinct_words(void **state)
{
	const char *p;
	int i, j;

	(void)state;
	for (i = 0; i < REASON_MAX; i++) {
		for (p = reason_name((enum reason)i); *p != '\0'; p++)
			assert_true(islower((unsigned char)*p) || *p == '-');
		for (j = 0; j < i; j++)
			assert_string_not_equal(reason_name((enum reason)i),
			    reason_name((enum reason)j));
	}
}

static void
test_unknown_numbers(void **state)
{
	(void)state;
	assert_string_equal(reason_name(REASON_MAX), "?");
	assert_string_equal(reason_name((enum reason)-1), "?");
	assert_string_equal(reason_name((enum reason)UINT32_MAX), "?");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_published),
		cmocka_unit_test(test_names_are_distinct_words),
		cmocka_unit_test(test_unknown_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
