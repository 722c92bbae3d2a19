/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What stands between a connection and its service: the greetings, and what is
 * the same whatever it is.  PROXY headers and the line of tcpmux have tests of
 * their own.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "prefix_rig.h"

/* Greetings */

static void
greet(struct test *t, const char *text, size_t len, uint32_t timeout_ms, int fd)
{
	struct msg_greet m = { .slot = 1, .generation = RIG_GENERATION(1), .timeout_ms = timeout_ms,
			       .len = (uint32_t)len };

	memcpy(m.text, text, len);
	assert_int_equal(prefix_greet(&t->prefixes, &m, fd), 0);
}

static void
test_greet(void **state)
{
	struct test *t = *state;
	int copy, fd = make_pair(t, &copy);
	char buf[64];

	greet(t, "welcome\r\n", 9, 1000, copy);
	(void)passed(t, PASSED_OK);
	assert_int_equal(recv(fd, buf, sizeof buf, MSG_DONTWAIT), 9);
	assert_memory_equal(buf, "welcome\r\n", 9);
	assert_untouched(t, fd, "");
	close(fd);
}

/* As much as fits into the socket, so that nothing more does. */
static size_t
fill(int fd)
{
	static const char buf[4096];
	size_t filled = 0, size = sizeof buf;

	while (size > 0) {
		ssize_t n = send(fd, buf, size, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			size /= 2;
		else
			filled += (size_t)n;
	}
	return filled;
}

static void
test_greet_a_slow_reader(void **state)
{
	struct test *t = *state;
	char text[PROTO_TEXT], buf[8192];
	size_t filled, got = 0;
	int copy, fd = make_pair(t, &copy);

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)('a' + i % 26);
	filled = fill(t->master);
	greet(t, text, sizeof text, 10000, copy);
	rig_run(t->rig, 20);
	assert_false(rig_has(t->rig, MSG_PASSED));
	while (got < filled) {
		size_t n = rig_read(t->rig, fd, buf,
				    filled - got < sizeof buf ? filled - got : sizeof buf);

		assert_true(n > 0);
		got += n;
	}
	for (got = 0; got < sizeof text;) {
		size_t n = rig_read(t->rig, fd, buf, sizeof buf);

		assert_true(n > 0 && got + n <= sizeof text);
		assert_memory_equal(buf, text + got, n);
		got += n;
	}
	(void)passed(t, PASSED_OK);
	assert_untouched(t, fd, "");
	close(fd);
}

static void
test_greet_fails(void **state)
{
	struct test *t = *state;
	int copy, fd = make_pair(t, &copy);
	int64_t begin_ms;

	(void)fill(t->master);
	rig_run(t->rig, 1);
	begin_ms = ev_now_ms(t->rig->ev);
	greet(t, "late", 4, 100, copy);
	(void)passed(t, PASSED_TIMEOUT);
	assert_in_range(ev_now_ms(t->rig->ev) - begin_ms, 100, 2000);
	close(fd);
	fd = make_pair(t, &copy);
	(void)fill(t->master);
	greet(t, "late", 4, 10000, copy);
	rig_run(t->rig, 5);
	close(fd);			/* gone while we wait */
	(void)passed(t, PASSED_EOF);
	fd = make_pair(t, &copy);
	close(fd);			/* gone before */
	greet(t, "late", 4, 10000, copy);
	(void)passed(t, PASSED_EOF);
	greet(t, "late", 4, 10000, open("/dev/null", O_RDWR));	/* no socket at all */
	(void)passed(t, PASSED_ERROR);
}

/* All */

/* A peer that the master has closed while we waited. */
static void
test_closed_by_the_master(void **state)
{
	struct test *t = *state;
	int fd = open_prefix(t, PREFIX_PROXY, 10000);

	put(fd, "PROXY", 5);
	rig_run(t->rig, 5);
	slots_close(t->rig->slots, 1, 77);	/* another generation */
	assert_int_equal(slots_held(t->rig->slots), 1);
	slots_close(t->rig->slots, 1, RIG_GENERATION(1));
	assert_int_equal(rig_ended(t->rig, 1).error, ECANCELED);
	assert_false(rig_has(t->rig, MSG_PASSED));
	assert_int_equal(slots_held(t->rig->slots), 0);
	close(fd);
	fd = open_prefix(t, PREFIX_PROXY, 10000);	/* and one is left to the teardown */
	close(fd);
}

static void
test_S9_no_descriptor_left(void **state)
{
	struct test *t = *state;
	struct msg_passed m;

	begin(t, PREFIX_PROXY, 1, 1000, -1);
	m = passed(t, PASSED_ERROR);
	assert_int_equal(m.service, UINT32_MAX);
	begin(t, PREFIX_TCPMUX, 1, 1000, -1);
	(void)passed(t, PASSED_ERROR);
	greet(t, "x", 1, 1000, -1);
	(void)passed(t, PASSED_ERROR);
}

static void
test_bad_messages(void **state)
{
	struct test *t = *state;
	struct msg_prefix p = { .slot = 1, .what = PREFIX_TCPMUX + 1, .timeout_ms = 1 };
	struct msg_greet g = { .slot = 1, .timeout_ms = 1, .len = 0 };
	int copy, fd;

	assert_int_equal(prefix_read(&t->prefixes, &p, dup(1)), -1);
	p.what = PREFIX_PROXY;
	p.timeout_ms = 0;
	assert_int_equal(prefix_read(&t->prefixes, &p, dup(1)), -1);
	p.timeout_ms = 1;
	p.slot = BOARD_SESSIONS;
	assert_int_equal(prefix_read(&t->prefixes, &p, dup(1)), -1);
	assert_int_equal(prefix_greet(&t->prefixes, &g, dup(1)), -1);
	g.len = PROTO_TEXT + 1;
	assert_int_equal(prefix_greet(&t->prefixes, &g, dup(1)), -1);
	g.len = 1;
	g.timeout_ms = 0;
	assert_int_equal(prefix_greet(&t->prefixes, &g, dup(1)), -1);
	g.timeout_ms = 1;
	g.slot = BOARD_SESSIONS;
	assert_int_equal(prefix_greet(&t->prefixes, &g, dup(1)), -1);
	fd = make_pair(t, &copy);
	begin(t, PREFIX_PROXY, 1, 10000, copy);
	p.slot = 1;			/* is taken */
	assert_int_equal(prefix_read(&t->prefixes, &p, dup(1)), -1);
	close(fd);
	(void)passed(t, PASSED_EOF);
}

/* The master reads nothing for a while: both messages are told later, each once,
 * and in the order in which the ends came. */
static void
test_answers_wait_for_the_link(void **state)
{
	enum { N = 1500 };
	struct test *t = *state;
	struct rig *r = t->rig;
	unsigned told = 0;

	msg_link_pause(r->master, true);
	for (uint32_t i = 0; i < N; i++) {
		int sv[2];

		rig_pair(SOCK_STREAM, sv);
		if (i % 2 == 0)
			put(sv[0], LINE, strlen(LINE));
		begin(t, PREFIX_PROXY, i, 10000, i % 5 == 4 ? -1 : sv[1]);
		if (i % 5 == 4)
			close(sv[1]);
		slots_close(r->slots, i, RIG_GENERATION(i));	/* the odd ones; else it is over */
		close(sv[0]);
	}
	rig_run(r, 50);
	assert_true(msg_link_busy(r->link));
	assert_true(slots_held(r->slots) > 0);
	msg_link_pause(r->master, false);
	for (int i = 0; i < 200 && r->n_got < N; i++)
		rig_run(r, 20);
	assert_int_equal(r->n_got, N);
	for (uint32_t i = 0; i < N; i++) {
		const union msg *m = &r->got[i];

		if (m->head.type == MSG_ENDED) {
			assert_true(i % 2 == 1 && i % 5 != 4);
			assert_int_equal(m->ended.slot, i);
			assert_int_equal(m->ended.generation, RIG_GENERATION(i));
			assert_int_equal(m->ended.error, ECANCELED);
		} else {
			assert_int_equal(m->head.type, MSG_PASSED);
			assert_true(i % 2 == 0 || i % 5 == 4);
			assert_int_equal(m->passed.slot, i);
			assert_int_equal(m->passed.generation, RIG_GENERATION(i));
			assert_int_equal(m->passed.result,
					 i % 5 == 4 ? PASSED_ERROR : PASSED_OK);
		}
		told++;
	}
	assert_int_equal(told, N);
	assert_int_equal(slots_held(r->slots), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_greet),
		TEST(test_greet_a_slow_reader),
		TEST(test_greet_fails),
		TEST(test_closed_by_the_master),
		TEST(test_S9_no_descriptor_left),
		TEST(test_bad_messages),
		TEST(test_answers_wait_for_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
