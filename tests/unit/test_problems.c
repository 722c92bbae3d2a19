/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Unit tests of problems.c. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf.h"

struct seen {
	char text[64 * 1024];
	int n, warnings;
};

static void
see(bool warning, const char *text, void *arg)
{
	struct seen *s = arg;

	(void)strncat(s->text, text, sizeof(s->text) - strlen(s->text) - 2);
	(void)strcat(s->text, "\n");
	s->n++;
	s->warnings += warning;
}

static struct seen seen;

static const char *
each(const struct problems *p)
{
	memset(&seen, 0, sizeof(seen));
	problems_each(p, see, &seen);
	return seen.text;
}

static void
test_order_and_form(void **state)
{
	struct problems *p = problems_new();

	(void)state;
	assert_int_equal(problems_count(p), 0);
	assert_string_equal(each(p), "");
	problems_add(p, "b.conf", 3, "three");
	problems_add(p, "b.conf", 0, "no line");
	problems_add(p, "a.conf", 20, "twenty");
	problems_warn(p, "a.conf", 3, "told: %d", 3);
	problems_add(p, "a.conf", 3, "first");
	problems_add(p, "a.conf", 3, "second");
	problems_add(p, NULL, 0, "no file");
	assert_int_equal(problems_count(p), 6);
	assert_string_equal(each(p), "no file\n"
				     "a.conf:3: first\n"
				     "a.conf:3: second\n"
				     "a.conf:3: told: 3\n"
				     "a.conf:20: twenty\n"
				     "b.conf: no line\n"
				     "b.conf:3: three\n");
	assert_int_equal(seen.warnings, 1);
	problems_free(p);
	problems_free(NULL);
}

/* Nothing of a file can write on a terminal or make a line of its own. */
static void
test_trap10_foreign_bytes(void **state)
{
	struct problems *p = problems_new();
	const char *text;

	(void)state;
	problems_add(p, "x\n/y\033.conf", 1, "value \"%s\"", "a\033[2J\r\nb\\c\x9b\"d \xc3\xa9");
	text = each(p);
	assert_string_equal(text, "x\\x0a/y\\x1b.conf:1: value \"a\\x1b[2J\\x0d\\x0ab\\c\\x9b\"d "
				  "\xc3\xa9\"\n");
	problems_free(p);
}

static void
test_bounded(void **state)
{
	struct problems *p = problems_new();

	(void)state;
	for (int i = 0; i < CONF_PROBLEMS + 50; i++)
		problems_warn(p, "a", i + 1, "w");
	assert_int_equal(problems_count(p), 0);
	for (int i = 0; i < CONF_PROBLEMS + 7; i++)
		problems_add(p, "a", i + 1, "e");
	assert_int_equal(problems_count(p), CONF_PROBLEMS + 7);
	assert_non_null(strstr(each(p), "\n7 more like these are not shown\n50 more"));
	assert_int_equal(seen.n, 2 * CONF_PROBLEMS + 2);
	problems_free(p);
}

static void
test_long_text_is_cut(void **state)
{
	struct problems *p = problems_new();
	char text[8192];

	(void)state;
	memset(text, '\001', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	problems_add(p, text, 1, "%s", text);
	memset(text, '"', sizeof(text) - 1);
	problems_add(p, text, 1, "%s", text);
	assert_true(strlen(each(p)) < 10000);
	assert_int_equal(seen.n, 2);
	problems_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_form),
		cmocka_unit_test(test_trap10_foreign_bytes),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_long_text_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
