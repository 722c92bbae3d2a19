/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Stream connections of the internal services, and their ends.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "talker_rig.h"

#include "conn.h"
#include "drain.h"
#include "internal.h"

struct test {
	struct rig *rig;
	struct conns *conns;
	uint32_t next;			/* slot and generation */
};

static int
setup(void **state)
{
	struct test *t = calloc(1, sizeof *t);

	assert_non_null(t);
	t->rig = rig_new();
	t->conns = conns_new(t->rig->ev, t->rig->slots, &t->rig->scratch, t->rig->drains);
	assert_non_null(t->conns);
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct test *t = *state;

	rig_end_slots(t->rig);
	conns_free(t->conns);
	rig_free(t->rig);
	free(t);
	return 0;
}

/* A connection of slot t->next; returns the client's end, non-blocking. */
static int
connect_to(struct test *t, enum internal internal, int type)
{
	struct msg_conn m = { .slot = t->next, .generation = RIG_GENERATION(t->next),
			      .internal = internal, .seqpacket = type == SOCK_SEQPACKET };
	int sv[2];

	t->next++;
	rig_pair(type | SOCK_NONBLOCK, sv);
	assert_int_equal(conns_add(t->conns, &m, sv[1]), 0);
	return sv[0];
}

static void
test_echo(void **state)
{
	struct test *t = *state;
	int fd = connect_to(t, INTERNAL_ECHO, SOCK_STREAM);
	struct msg_ended m;
	char buf[64];

	assert_int_equal(send(fd, "hello", 5, 0), 5);
	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), 0);
	m = rig_ended(t->rig, 0);
	assert_int_equal(m.error, 0);
	assert_int_equal(m.bytes_in, 5);
	assert_int_equal(m.bytes_out, 5);
	assert_int_equal(slots_held(t->rig->slots), 0);
	close(fd);
}

/* A peer that does not read stops us reading, and still gets every byte, also
 * after its own end of file. */
static void
test_echo_slow_reader_half_closed(void **state)
{
	struct test *t = *state;
	int fd = connect_to(t, INTERNAL_ECHO, SOCK_STREAM);
	unsigned char buf[5000];
	size_t sent = 0, got = 0;

	for (int full = 0; full < 3;) {
		ssize_t n;

		for (size_t i = 0; i < sizeof buf; i++)
			buf[i] = (unsigned char)((sent + i) % 251);
		n = send(fd, buf, sizeof buf, MSG_DONTWAIT);
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			rig_run(t->rig, 5);
			full++;
		} else {
			sent += (size_t)n;
		}
	}
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	while (got < sent) {
		size_t n = rig_read(t->rig, fd, buf, sizeof buf);

		assert_true(n > 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(buf[i], (got + i) % 251);
		got += n;
	}
	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), 0);
	assert_int_equal(rig_ended(t->rig, 0).bytes_out, sent);
	close(fd);
}

static void
test_echo_seqpacket_keeps_messages(void **state)
{
	struct test *t = *state;
	int fd = connect_to(t, INTERNAL_ECHO, SOCK_SEQPACKET);
	static char big[60000], buf[65536];
	struct msg_ended m;
	int sent = 0;

	assert_int_equal(send(fd, "a", 1, 0), 1);
	assert_int_equal(send(fd, "bcd", 3, 0), 3);
	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), 1);
	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), 3);
	for (int i = 0; i < 50; i++) {
		memset(big, i, sizeof big);
		if (send(fd, big, sizeof big - (size_t)i, 0) > 0)
			sent++;
		rig_run(t->rig, 1);
	}
	assert_in_range(sent, 3, 50);
	for (int i = 0; i < sent; i++)
		assert_in_range(rig_read(t->rig, fd, buf, sizeof buf), 59950, 60000);
	close(fd);
	m = rig_ended(t->rig, 0);
	assert_int_equal(m.datagrams_in, 2 + sent);
	assert_int_equal(m.datagrams_out, 2 + sent);
	assert_int_equal(m.bytes_in, m.bytes_out);
}

static void
test_discard(void **state)
{
	struct test *t = *state;
	int fd = connect_to(t, INTERNAL_DISCARD, SOCK_STREAM);
	static char buf[200000];
	size_t sent = 0;

	while (sent < 1000000) {
		ssize_t n = send(fd, buf, sizeof buf, 0);

		if (n > 0)
			sent += (size_t)n;
		else
			rig_run(t->rig, 1);
	}
	close(fd);
	assert_int_equal(rig_ended(t->rig, 0).bytes_in, sent);
}

static void
test_chargen(void **state)
{
	struct test *t = *state;
	int fd = connect_to(t, INTERNAL_CHARGEN, SOCK_STREAM);
	static char buf[1 << 16], want[1 << 16];
	size_t got = 0;

	assert_int_equal(shutdown(fd, SHUT_WR), 0);	/* it still wants to read */
	while (got < 4000000) {
		size_t n = rig_read(t->rig, fd, buf, sizeof buf);

		internal_chargen(want, n, got % INTERNAL_PERIOD);
		assert_memory_equal(buf, want, n);
		got += n;
	}
	close(fd);
	assert_int_equal(rig_ended(t->rig, 0).error, 0);
}

static void
test_daytime_and_time(void **state)
{
	struct test *t = *state;
	int fd = connect_to(t, INTERNAL_DAYTIME, SOCK_STREAM);
	char buf[64];

	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), 33);
	assert_memory_equal(buf + 31, "\r\n", 2);
	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), 0);
	close(fd);
	assert_int_equal(rig_ended(t->rig, 0).bytes_out, 33);

	fd = connect_to(t, INTERNAL_TIME, SOCK_STREAM);
	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), 4);
	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), 0);
	close(fd);
	assert_int_equal(rig_ended(t->rig, 1).error, 0);
}

/* What the client still sends is read, but neither for ever nor without end. */
static void
test_answer_is_drained_in_bounds(void **state)
{
	struct test *t = *state;
	int silent = connect_to(t, INTERNAL_DAYTIME, SOCK_STREAM);
	int chatty = connect_to(t, INTERNAL_DAYTIME, SOCK_STREAM);
	static char buf[8192];
	struct msg_ended m;
	int64_t begin_ms;

	rig_run(t->rig, 1);
	begin_ms = ev_now_ms(t->rig->ev);
	while (send(chatty, buf, sizeof buf, MSG_NOSIGNAL) > 0 || errno == EAGAIN)
		rig_run(t->rig, 1);
	assert_int_equal(errno, EPIPE);
	m = rig_ended(t->rig, 1);
	assert_int_equal(m.bytes_in, DRAIN_BYTES);
	m = rig_ended(t->rig, 0);
	assert_in_range(ev_now_ms(t->rig->ev) - begin_ms, 1900, 3500);
	assert_int_equal(m.bytes_out, 33);
	close(silent);
	close(chatty);
}

static void
test_close(void **state)
{
	struct test *t = *state;
	int fd = connect_to(t, INTERNAL_ECHO, SOCK_STREAM);
	char c;

	slots_close(t->rig->slots, 0, 99);		/* another generation */
	slots_close(t->rig->slots, 7, 100);		/* nothing there */
	slots_close(t->rig->slots, UINT32_MAX, 100);
	assert_int_equal(slots_held(t->rig->slots), 1);
	slots_close(t->rig->slots, 0, 100);
	assert_int_equal(rig_ended(t->rig, 0).error, ECANCELED);
	assert_int_equal(recv(fd, &c, 1, 0), 0);
	close(fd);
}

/* Also while it is drained. */
static void
test_close_after_the_answer(void **state)
{
	struct test *t = *state;
	int fd = connect_to(t, INTERNAL_TIME, SOCK_STREAM);
	char buf[8];

	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), 4);
	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), 0);
	slots_close(t->rig->slots, 0, 100);
	assert_int_equal(rig_ended(t->rig, 0).error, ECANCELED);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	close(fd);
	fd = connect_to(t, INTERNAL_TIME, SOCK_STREAM);		/* and left to the teardown */
	close(fd);
}

static void
test_peer_reset(void **state)
{
	struct test *t = *state;
	int fd = connect_to(t, INTERNAL_ECHO, SOCK_STREAM);

	assert_int_equal(send(fd, "x", 1, 0), 1);
	rig_run(t->rig, 5);
	assert_int_equal(send(fd, "y", 1, 0), 1);
	close(fd);			/* with unread data: a reset */
	(void)rig_ended(t->rig, 0);
}

static void
test_bad_messages(void **state)
{
	struct test *t = *state;
	struct msg_conn m = { .slot = 5, .generation = 1, .internal = INTERNAL_ECHO };
	int fd = connect_to(t, INTERNAL_ECHO, SOCK_STREAM);
	int sv[2];

	m.internal = INTERNAL_MAX;
	assert_int_equal(conns_add(t->conns, &m, open("/dev/null", O_RDWR)), -1);
	m.internal = INTERNAL_NONE;
	assert_int_equal(conns_add(t->conns, &m, open("/dev/null", O_RDWR)), -1);
	m.internal = INTERNAL_TCPMUX;
	assert_int_equal(conns_add(t->conns, &m, open("/dev/null", O_RDWR)), -1);
	m.internal = INTERNAL_ECHO;
	m.slot = BOARD_SESSIONS;
	assert_int_equal(conns_add(t->conns, &m, open("/dev/null", O_RDWR)), -1);
	m.slot = 0;			/* is taken */
	rig_pair(SOCK_STREAM, sv);
	assert_int_equal(conns_add(t->conns, &m, sv[0]), -1);
	close(sv[1]);
	close(fd);
	(void)rig_ended(t->rig, 0);
}

static void
test_S9_no_descriptor_left(void **state)
{
	struct test *t = *state;
	struct msg_conn m = { .slot = 5, .generation = 105, .internal = INTERNAL_ECHO };

	assert_int_equal(conns_add(t->conns, &m, -1), 0);
	assert_int_equal(rig_ended(t->rig, 5).error, EMFILE);
}

/* The master reads nothing for a while: every end is told later, once. */
static void
test_ends_wait_for_the_link(void **state)
{
	struct test *t = *state;
	struct rig *r = t->rig;
	static bool seen[2000];
	unsigned told = 0;

	msg_link_pause(r->master, true);
	for (int i = 0; i < 2000; i++) {
		close(connect_to(t, INTERNAL_ECHO, SOCK_STREAM));
		if (i % 100 == 0)
			rig_run(r, 1);
	}
	rig_run(r, 50);
	assert_true(msg_link_busy(r->link));
	assert_true(slots_held(r->slots) > 0);
	msg_link_pause(r->master, false);
	while (told < 2000) {
		struct msg_ended m = rig_message(r, MSG_ENDED).ended;

		assert_true(m.slot < 2000 && m.generation == 100 + m.slot && !seen[m.slot]);
		seen[m.slot] = true;
		told++;
	}
	assert_int_equal(slots_held(r->slots), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_echo),
		TEST(test_echo_slow_reader_half_closed),
		TEST(test_echo_seqpacket_keeps_messages),
		TEST(test_discard),
		TEST(test_chargen),
		TEST(test_daytime_and_time),
		TEST(test_answer_is_drained_in_bounds),
		TEST(test_close),
		TEST(test_close_after_the_answer),
		TEST(test_peer_reset),
		TEST(test_bad_messages),
		TEST(test_S9_no_descriptor_left),
		TEST(test_ends_wait_for_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
