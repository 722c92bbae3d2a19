/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Connections that are handed over to be ended: the peer gets the text and the
 * end of file, what it still sends is read in bounds, and nobody is kept.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "talker_rig.h"

#include "drain.h"
#include "farewell.h"
#include "loopback.h"

struct test {
	struct rig *rig;
	struct farewells *farewells;
};

static int
setup(void **state)
{
	struct test *t = calloc(1, sizeof *t);

	assert_non_null(t);
	t->rig = rig_new();
	t->farewells = farewells_new(t->rig->slots, &t->rig->scratch, t->rig->drains);
	assert_non_null(t->farewells);
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct test *t = *state;

	rig_end_slots(t->rig);
	farewells_free(t->farewells);
	rig_free(t->rig);
	free(t);
	return 0;
}

static void
refuse(struct test *t, int fd, const char *text)
{
	struct msg_refuse m = { .len = (uint32_t)strlen(text) };

	memcpy(m.text, text, m.len);
	assert_int_equal(farewell_refuse(t->farewells, &m, fd), 0);
}

static void
linger(struct test *t, int fd, uint32_t slot, uint32_t timeout_ms)
{
	struct msg_linger m = { .slot = slot, .generation = RIG_GENERATION(slot),
				.timeout_ms = timeout_ms };

	assert_int_equal(farewell_linger(t->farewells, &m, fd), 0);
}

/* Until the other side is closed altogether: what is sent is refused. */
static void
wait_closed(struct test *t, int fd)
{
	int64_t until_ms = ev_now_ms(t->rig->ev) + RIG_WAIT_MS;

	while (send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || errno == EAGAIN) {
		assert_true(ev_now_ms(t->rig->ev) < until_ms);
		rig_run(t->rig, 5);
	}
}

static void
test_refused_gets_the_text(void **state)
{
	struct test *t = *state;
	int fd[2];

	loopback_pair(fd, SOCK_NONBLOCK);
	refuse(t, fd[1], "busy\r\n");
	rig_expect_last(t->rig, fd[0], "busy\r\n");
	close(fd[0]);
	rig_run(t->rig, 20);
	assert_int_equal(slots_held(t->rig->slots), 0);
	assert_int_equal(t->rig->n_got, 0);		/* nobody is told */
}

/* What the client had sent already, and goes on to send, does not reset it. */
static void
test_refused_while_the_client_writes(void **state)
{
	struct test *t = *state;
	static char request[20000];
	int fd[2];

	loopback_pair(fd, SOCK_NONBLOCK);
	assert_int_equal(send(fd[0], request, sizeof request, MSG_DONTWAIT), sizeof request);
	refuse(t, fd[1], "busy\r\n");
	rig_run(t->rig, 20);
	assert_int_equal(send(fd[0], request, sizeof request, MSG_DONTWAIT), sizeof request);
	rig_run(t->rig, 20);
	rig_expect_last(t->rig, fd[0], "busy\r\n");
	close(fd[0]);
}

static void
test_refused_is_drained_in_bounds(void **state)
{
	struct test *t = *state;
	int silent[2], chatty[2];
	static char buf[8192];
	size_t sent = 0;
	int64_t begin_ms;

	rig_pair(SOCK_STREAM, silent);
	rig_pair(SOCK_STREAM, chatty);
	rig_run(t->rig, 1);
	begin_ms = ev_now_ms(t->rig->ev);
	refuse(t, silent[1], "no");
	refuse(t, chatty[1], "no");
	for (;;) {
		ssize_t n = send(chatty[0], buf, sizeof buf, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			break;
		sent += n > 0 ? (size_t)n : 0;
		rig_run(t->rig, 1);
	}
	assert_true(sent >= DRAIN_BYTES);
	assert_true(ev_now_ms(t->rig->ev) - begin_ms < DRAIN_MS);
	wait_closed(t, silent[0]);
	assert_in_range(ev_now_ms(t->rig->ev) - begin_ms, DRAIN_MS - 100, DRAIN_MS + 1500);
	close(silent[0]);
	close(chatty[0]);
}

/* Beyond so many at once they get the text and are closed. */
static void
test_refused_are_bounded(void **state)
{
	struct test *t = *state;
	static int fd[FAREWELL_REFUSED + 3][2];
	int n = FAREWELL_REFUSED;

	for (int i = 0; i < n + 2; i++) {
		rig_pair(SOCK_STREAM, fd[i]);
		assert_int_equal(send(fd[i][0], "hello", 5, 0), 5);
		refuse(t, fd[i][1], "no");
	}
	rig_expect_last(t->rig, fd[n][0], "no");
	rig_expect_last(t->rig, fd[n + 1][0], "no");
	assert_int_equal(send(fd[n][0], "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(send(fd[0][0], "x", 1, MSG_NOSIGNAL), 1);
	/* one goes, and there is room for another */
	close(fd[0][0]);
	rig_run(t->rig, 50);
	rig_pair(SOCK_STREAM, fd[n + 2]);
	refuse(t, fd[n + 2][1], "no");
	rig_expect_last(t->rig, fd[n + 2][0], "no");
	assert_int_equal(send(fd[n + 2][0], "x", 1, MSG_NOSIGNAL), 1);
	for (int i = 1; i < n + 3; i++)
		close(fd[i][0]);
}

static void
test_refused_is_gone_already(void **state)
{
	struct test *t = *state;
	int fd[2];

	for (int i = 0; i < FAREWELL_REFUSED + 10; i++) {
		loopback_pair(fd, SOCK_NONBLOCK);
		(void)send(fd[1], "unread", 6, 0);
		close(fd[0]);
		refuse(t, fd[1], "no");
	}
	refuse(t, -1, "no");
	rig_run(t->rig, 20);
	/* none of them is counted any more */
	loopback_pair(fd, SOCK_NONBLOCK);
	refuse(t, fd[1], "no");
	rig_expect_last(t->rig, fd[0], "no");
	assert_int_equal(send(fd[0], "x", 1, MSG_NOSIGNAL), 1);
	close(fd[0]);
}

static void
test_linger_until_end_of_file(void **state)
{
	struct test *t = *state;
	struct msg_ended m;
	char c;
	int fd[2];

	loopback_pair(fd, SOCK_NONBLOCK);
	assert_int_equal(send(fd[0], "unread", 6, 0), 6);
	assert_int_equal(send(fd[1], "answer", 6, 0), 6);
	linger(t, fd[1], 3, 60000);
	assert_int_equal(slots_held(t->rig->slots), 1);
	rig_run(t->rig, 20);
	assert_int_equal(send(fd[0], "more", 4, 0), 4);
	rig_expect_last(t->rig, fd[0], "answer");
	assert_int_equal(recv(fd[0], &c, 1, MSG_DONTWAIT), 0);	/* no reset */
	close(fd[0]);
	m = rig_ended(t->rig, 3);
	assert_int_equal(m.error, 0);
	assert_int_equal(m.bytes_in, 10);
	assert_int_equal(slots_held(t->rig->slots), 0);
}

static void
test_linger_until_the_time_is_over(void **state)
{
	struct test *t = *state;
	int64_t begin_ms;
	int fd[2];

	loopback_pair(fd, SOCK_NONBLOCK);
	rig_run(t->rig, 1);
	begin_ms = ev_now_ms(t->rig->ev);
	linger(t, fd[1], 0, 150);
	while (!rig_has(t->rig, MSG_ENDED) && ev_now_ms(t->rig->ev) - begin_ms < 3000) {
		(void)send(fd[0], "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);	/* it changes nothing */
		rig_run(t->rig, 10);
	}
	assert_true(ev_now_ms(t->rig->ev) - begin_ms >= 150);
	assert_int_equal(rig_ended(t->rig, 0).error, 0);
	close(fd[0]);
}

static void
test_linger_until_enough_has_come(void **state)
{
	struct test *t = *state;
	static char buf[10000];
	struct msg_ended m;
	int fd[2];

	rig_pair(SOCK_STREAM, fd);
	linger(t, fd[1], 0, 60000);
	while (send(fd[0], buf, sizeof buf, MSG_NOSIGNAL | MSG_DONTWAIT) > 0 || errno == EAGAIN)
		rig_run(t->rig, 1);
	m = rig_ended(t->rig, 0);
	assert_int_equal(m.error, 0);
	assert_int_equal(m.bytes_in, DRAIN_BYTES);
	close(fd[0]);
}

/* A reset is an end like any other: the session had its own before. */
static void
test_linger_peer_reset(void **state)
{
	struct test *t = *state;
	struct msg_ended m;
	int fd[2];

	loopback_pair(fd, SOCK_NONBLOCK);
	assert_int_equal(send(fd[1], "unread", 6, 0), 6);
	close(fd[0]);			/* before: shutting down may fail */
	linger(t, fd[1], 1, 60000);
	m = rig_ended(t->rig, 1);
	assert_int_equal(m.error, 0);
	loopback_pair(fd, SOCK_NONBLOCK);
	assert_int_equal(send(fd[1], "unread", 6, 0), 6);
	linger(t, fd[1], 2, 60000);
	rig_run(t->rig, 5);
	close(fd[0]);			/* and after */
	m = rig_ended(t->rig, 2);
	assert_int_equal(m.error, 0);
}

static void
test_linger_closed_by_the_master(void **state)
{
	struct test *t = *state;
	int fd[2];

	loopback_pair(fd, SOCK_NONBLOCK);
	linger(t, fd[1], 4, 60000);
	slots_close(t->rig->slots, 4, 99);
	assert_int_equal(slots_held(t->rig->slots), 1);
	slots_close(t->rig->slots, 4, 104);
	assert_int_equal(rig_ended(t->rig, 4).error, ECANCELED);
	wait_closed(t, fd[0]);
	close(fd[0]);
	loopback_pair(fd, SOCK_NONBLOCK);
	linger(t, fd[1], 5, 60000);	/* and one is left to the teardown */
	close(fd[0]);
}

static void
test_S9_no_descriptor_left(void **state)
{
	struct test *t = *state;

	linger(t, -1, 5, 1000);
	assert_int_equal(rig_ended(t->rig, 5).error, EMFILE);
}

/* Nothing is to be told, but what it has said is read, or it would be reset. */
static void
test_refused_without_a_word(void **state)
{
	struct test *t = *state;
	int fd[2];

	loopback_pair(fd, SOCK_NONBLOCK);
	assert_int_equal(send(fd[0], "said", 4, 0), 4);
	refuse(t, fd[1], "");
	rig_expect_last(t->rig, fd[0], "");
	assert_int_equal(send(fd[0], "more", 4, MSG_NOSIGNAL), 4);
	close(fd[0]);
}

static void
test_bad_messages(void **state)
{
	struct test *t = *state;
	struct msg_refuse r = { .len = PROTO_TEXT + 1 };
	struct msg_linger l = { .slot = 1, .timeout_ms = 0 };
	int fd[2];

	assert_int_equal(farewell_refuse(t->farewells, &r, dup(1)), -1);
	assert_int_equal(farewell_refuse(t->farewells, &r, -1), -1);
	assert_int_equal(farewell_linger(t->farewells, &l, dup(1)), -1);
	l.timeout_ms = 1;
	l.slot = BOARD_SESSIONS;
	assert_int_equal(farewell_linger(t->farewells, &l, dup(1)), -1);
	loopback_pair(fd, SOCK_NONBLOCK);
	linger(t, fd[1], 1, 60000);
	l.slot = 1;			/* is taken */
	assert_int_equal(farewell_linger(t->farewells, &l, dup(fd[0])), -1);
	close(fd[0]);
	(void)rig_ended(t->rig, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_refused_gets_the_text),
		TEST(test_refused_while_the_client_writes),
		TEST(test_refused_is_drained_in_bounds),
		TEST(test_refused_are_bounded),
		TEST(test_refused_is_gone_already),
		TEST(test_linger_until_end_of_file),
		TEST(test_linger_until_the_time_is_over),
		TEST(test_linger_until_enough_has_come),
		TEST(test_linger_peer_reset),
		TEST(test_linger_closed_by_the_master),
		TEST(test_S9_no_descriptor_left),
		TEST(test_refused_without_a_word),
		TEST(test_bad_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
