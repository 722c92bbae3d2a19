/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The marks of what the talker has still to be told: their order, and that none
 * is passed over.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board.h"
#include "owed.h"

static struct owed *o;

static int
set_up(void **state)
{
	(void)state;
	o = owed_new();
	return o ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	owed_free(o);
	return 0;
}

/* This one is next, and is told. */
static void
check_next(enum owed_kind kind, uint32_t number)
{
	enum owed_kind k;
	uint32_t n;

	assert_true(owed_next(o, &k, &n));
	assert_int_equal(k, kind);
	assert_int_equal(n, number);
	assert_true(owed_marked(o, kind, number));
	owed_unmark(o, kind, number);
	assert_false(owed_marked(o, kind, number));
}

static void
check_nothing(void)
{
	enum owed_kind k;
	uint32_t n;

	assert_false(owed_any(o));
	assert_false(owed_next(o, &k, &n));
}

static void
test_kinds_go_in_their_order(void **state)
{
	(void)state;
	check_nothing();
	for (int i = OWED_KINDS; i-- > 0;)
		owed_mark(o, (enum owed_kind)i, 0);
	owed_mark(o, OWED_DROP, 0);	/* twice is once */
	for (int i = 0; i < OWED_KINDS; i++)
		check_next((enum owed_kind)i, 0);
	check_nothing();
}

static void
test_numbers_go_around(void **state)
{
	(void)state;
	owed_mark(o, OWED_CLOSE, 64);
	owed_mark(o, OWED_CLOSE, 7);
	owed_mark(o, OWED_CLOSE, BOARD_SESSIONS - 1);
	check_next(OWED_CLOSE, 7);
	check_next(OWED_CLOSE, 64);
	owed_mark(o, OWED_CLOSE, 7);	/* has to wait for the others */
	owed_mark(o, OWED_CLOSE, 63);
	owed_mark(o, OWED_CLOSE, 65);
	check_next(OWED_CLOSE, 65);
	check_next(OWED_CLOSE, BOARD_SESSIONS - 1);
	check_next(OWED_CLOSE, 7);
	check_next(OWED_CLOSE, 63);
	check_nothing();
}

static void
test_what_failed_is_the_next_again(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		owed_mark(o, OWED_ERRLOG, i);
	check_next(OWED_ERRLOG, 0);
	owed_mark(o, OWED_ERRLOG, 0);
	for (uint32_t i = 0; i < 3; i++)
		check_next(OWED_ERRLOG, i);
	check_nothing();
}

static void
test_forgetting(void **state)
{
	(void)state;
	for (uint32_t i = 0; i <= BOARD_SERVICES; i++)
		owed_mark(o, OWED_NAMES, i);
	owed_mark(o, OWED_OFFER, 5);
	check_next(OWED_NAMES, 0);
	check_next(OWED_NAMES, 1);
	owed_forget(o, OWED_NAMES);
	owed_mark(o, OWED_NAMES, 1);
	owed_mark(o, OWED_NAMES, 0);
	check_next(OWED_NAMES, 0);	/* the first again, not where it was */
	check_next(OWED_NAMES, 1);
	check_next(OWED_OFFER, 5);
	owed_mark(o, OWED_DROP, 4);
	owed_mark(o, OWED_DGRAM, 4);
	owed_forget_all(o);
	check_nothing();
}

static void
test_numbers_that_nobody_has(void **state)
{
	(void)state;
	owed_mark(o, OWED_STOP, 1);
	owed_mark(o, OWED_CLOSE, BOARD_SESSIONS);
	owed_mark(o, OWED_DGRAM, UINT32_MAX);
	check_nothing();
	owed_unmark(o, OWED_CLOSE, UINT32_MAX);
	assert_false(owed_marked(o, OWED_CLOSE, UINT32_MAX));
	check_nothing();
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_kinds_go_in_their_order),
		TEST(test_numbers_go_around),
		TEST(test_what_failed_is_the_next_again),
		TEST(test_forgetting),
		TEST(test_numbers_that_nobody_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
