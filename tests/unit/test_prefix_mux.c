/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The line of tcpmux before a service's own bytes, and what is said to whom it
 * does not get there.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "prefix_rig.h"

static void
enter(struct test *t, const char *name, uint32_t service, uint32_t plus)
{
	struct msg_mux m = { .service = service, .plus = plus, .len = (uint32_t)strlen(name) };

	memcpy(m.name, name, m.len);
	assert_int_equal(muxtab_set(t->mux, &m), 0);
}

static void
test_mux_finds_the_service(void **state)
{
	static const char *const lines[] = { "two\r\n", "TWO\r\n", "two\n" };
	struct test *t = *state;

	enter(t, "one", 11, 0);
	enter(t, "two", 22, 1);
	for (size_t i = 0; i < 3; i++)
		for (size_t step = 1; step < 8; step++) {
			int fd = open_prefix(t, PREFIX_TCPMUX, 10000);
			char all[64] = "";
			struct msg_passed m;

			strcat(strcpy(all, lines[i]), "\r\nhello\n");
			for (size_t at = 0; at < strlen(all); at += step) {
				put(fd, all + at, strnlen(all + at, step));
				rig_run(t->rig, 0);
			}
			m = passed(t, PASSED_OK);
			assert_int_equal(m.service, 22);
			assert_int_equal(m.plus, 1);
			assert_addr(&m.peer, "-");
			assert_untouched(t, fd, "\r\nhello\n");
			close(fd);
		}
}

/* The peer has seen the end of file when the master hears of it, and may have
 * gone on sending. */
static void
test_mux_unknown_and_bad(void **state)
{
	struct test *t = *state;
	int fd = open_prefix(t, PREFIX_TCPMUX, 10000);
	struct msg_passed m;

	put(fd, "nothing\r\nmore", 13);
	rig_expect_last(t->rig, fd, "-Service not available\r\n");
	put(fd, "and more", 8);
	assert_false(rig_has(t->rig, MSG_PASSED));
	close(fd);
	m = passed(t, PASSED_UNKNOWN);
	assert_int_equal(m.service, UINT32_MAX);

	fd = open_prefix(t, PREFIX_TCPMUX, 10000);
	put(fd, "\x16\x03\x01", 3);
	rig_expect_last(t->rig, fd, "-Bad request\r\n");
	close(fd);
	(void)passed(t, PASSED_BAD);

	fd = open_prefix(t, PREFIX_TCPMUX, 10000);
	put(fd, "unheard\n", 8);
	close(fd);			/* doesn't wait for the answer */
	(void)passed(t, PASSED_UNKNOWN);

	fd = open_prefix(t, PREFIX_TCPMUX, 10000);
	put(fd, "two", 3);
	close(fd);
	(void)passed(t, PASSED_EOF);

	fd = open_prefix(t, PREFIX_TCPMUX, 60);
	put(fd, "two", 3);
	(void)passed(t, PASSED_TIMEOUT);
	close(fd);
}

/* Whoever doesn't close is not waited for; the deadline is for what comes before. */
static void
test_mux_drains_in_bounds(void **state)
{
	struct test *t = *state;
	int fd = open_prefix(t, PREFIX_TCPMUX, 500);
	int64_t begin_ms;

	put(fd, "nothing\n", 8);
	rig_expect_last(t->rig, fd, "-Service not available\r\n");
	begin_ms = ev_now_ms(t->rig->ev);
	(void)passed(t, PASSED_UNKNOWN);
	assert_in_range(ev_now_ms(t->rig->ev) - begin_ms, DRAIN_MS - 200, DRAIN_MS + 1500);
	close(fd);
}

static void
test_mux_help(void **state)
{
	struct test *t = *state;
	int fd = open_prefix(t, PREFIX_TCPMUX, 10000);

	put(fd, "help\r\n", 6);
	rig_expect_last(t->rig, fd, "");	/* no names at all */
	close(fd);
	(void)passed(t, PASSED_DONE);
	enter(t, "zebra", 1, 0);
	enter(t, "ant", 2, 1);
	enter(t, "help", 3, 0);		/* is never asked for */
	fd = open_prefix(t, PREFIX_TCPMUX, 10000);
	put(fd, "HeLp\r\n", 6);
	rig_expect_last(t->rig, fd, "zebra\r\nant\r\nhelp\r\n");
	close(fd);
	(void)passed(t, PASSED_DONE);
}

/* A long list goes out as it is read, and stays as it was when names change
 * meanwhile. */
static void
test_mux_help_for_a_slow_reader(void **state)
{
	struct test *t = *state;
	static char got[2 << 20], name[64], want[64];
	size_t len = 0, at = 0;
	int fd;

	for (uint32_t i = 0; i < MUXTAB_MAX; i++) {
		(void)snprintf(name, sizeof name, "a-rather-long-name-of-a-service-%06u", i);
		enter(t, name, i, 0);
	}
	fd = open_prefix(t, PREFIX_TCPMUX, 10000);
	put(fd, "help\r\n", 6);
	rig_run(t->rig, 20);
	assert_false(rig_has(t->rig, MSG_PASSED));
	enter(t, "", 0, 0);
	for (;;) {
		size_t n = rig_read(t->rig, fd, got + len, sizeof got - len);

		len += n;
		if (n == 0)
			break;
	}
	for (uint32_t i = 0; i < MUXTAB_MAX; i++) {
		int n = snprintf(want, sizeof want, "a-rather-long-name-of-a-service-%06u\r\n", i);

		assert_memory_equal(got + at, want, (size_t)n);
		at += (size_t)n;
	}
	assert_int_equal(at, len);
	close(fd);
	(void)passed(t, PASSED_DONE);
}

/* Closed in each of its stages. */
static void
test_mux_closed_by_the_master(void **state)
{
	struct test *t = *state;
	char name[32];
	int fd;

	for (uint32_t i = 0; i < MUXTAB_MAX; i++) {
		(void)snprintf(name, sizeof name, "some-long-enough-name-%u", i);
		enter(t, name, i, 0);
	}
	fd = open_prefix(t, PREFIX_TCPMUX, 10000);
	put(fd, "help\r\n", 6);			/* writing */
	rig_run(t->rig, 10);
	slots_close(t->rig->slots, 1, RIG_GENERATION(1));
	assert_int_equal(rig_ended(t->rig, 1).error, ECANCELED);
	close(fd);
	fd = open_prefix(t, PREFIX_TCPMUX, 10000);
	put(fd, "nothing\r\n", 9);		/* draining */
	rig_expect_last(t->rig, fd, "-Service not available\r\n");
	slots_close(t->rig->slots, 1, RIG_GENERATION(1));
	assert_int_equal(rig_ended(t->rig, 1).error, ECANCELED);
	close(fd);
	fd = open_prefix(t, PREFIX_TCPMUX, 60);
	put(fd, "help\r\n", 6);			/* never reads it */
	(void)passed(t, PASSED_DONE);
	close(fd);
	fd = open_prefix(t, PREFIX_TCPMUX, 10000);
	put(fd, "help\r\n", 6);			/* and one is left to the teardown */
	rig_run(t->rig, 10);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_mux_finds_the_service),
		TEST(test_mux_unknown_and_bad),
		TEST(test_mux_drains_in_bounds),
		TEST(test_mux_help),
		TEST(test_mux_help_for_a_slow_reader),
		TEST(test_mux_closed_by_the_master),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
