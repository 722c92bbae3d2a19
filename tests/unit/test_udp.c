/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Datagram services over real sockets on the loopback: asking, verdicts,
 * answers, sessions.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "talker_rig.h"

#include "fd.h"
#include "udp.h"

#if defined __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined __SANITIZE_ADDRESS__
#define SANITIZED 1
#endif

struct test {
	struct rig *rig;
	struct udp *udp;
	int server;			/* the master's copy of the socket */
	struct sockaddr_in at;
};

static int
setup(void **state)
{
	struct test *t = calloc(1, sizeof *t);

	assert_non_null(t);
	t->rig = rig_new();
	t->udp = udp_new(t->rig->ev, t->rig->link, t->rig->slots, &t->rig->scratch);
	assert_non_null(t->udp);
	t->server = -1;
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct test *t = *state;

	rig_end_slots(t->rig);
	udp_free(t->udp);
	fd_close(&t->server);
	rig_free(t->rig);
	free(t);
	return 0;
}

static int
bound(const char *ip, struct sockaddr_in *ret)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof *ret;
	struct addr a;
	struct sockaddr_storage ss;

	assert_true(fd >= 0);
	assert_int_equal(addr_parse(ip, &a), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, addr_to_sockaddr(&a, &ss)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &len), 0);
	return fd;
}

/* Listener 3, on all addresses. */
static void
serve(struct test *t, struct msg_dgram m)
{
	int one = 1;

	if (t->server < 0) {
		t->server = bound("0.0.0.0", &t->at);
		t->at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		assert_int_equal(setsockopt(t->server, IPPROTO_IP, IP_PKTINFO, &one,
					    sizeof one), 0);
	}
	m.listener = 3;
	m.family = AF_INET;
	assert_int_equal(udp_dgram(t->udp, &m, fd_dup(t->server, 0)), 0);
}

static int
client(struct test *t)
{
	struct sockaddr_in own;
	int fd = bound("127.0.0.1", &own);

	assert_int_equal(connect(fd, (struct sockaddr *)&t->at, sizeof t->at), 0);
	return fd;
}

static struct msg_ask
asked(struct test *t)
{
	return rig_message(t->rig, MSG_ASK).ask;
}

static void
say(struct test *t, const struct msg_ask *a, enum reason reason, uint32_t keep_ms)
{
	struct msg_verdict v = { .handle = a->handle,
				 .handle_generation = a->handle_generation,
				 .reason = reason, .keep_ms = keep_ms };

	assert_int_equal(udp_verdict(t->udp, &v), 0);
}

/* Yes, for so many datagrams. */
static void
say_for(struct test *t, const struct msg_ask *a, uint32_t budget)
{
	struct msg_verdict v = { .handle = a->handle,
				 .handle_generation = a->handle_generation,
				 .keep_ms = 60000, .budget = budget };

	assert_int_equal(udp_verdict(t->udp, &v), 0);
}

/* The handler's end of a session for the peer; slot as given. */
static int
begin(struct test *t, const struct msg_ask *a, uint32_t slot)
{
	struct msg_session s = { .handle = a->handle,
				 .handle_generation = a->handle_generation,
				 .slot = slot, .generation = RIG_GENERATION(slot) };
	int sv[2];

	rig_pair(SOCK_SEQPACKET | SOCK_NONBLOCK, sv);
	assert_int_equal(udp_session(t->udp, &s, sv[0]), 0);
	return sv[1];
}

static void
put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

/* A client, whose "x" has begun the session 1; its handler's end. */
static int
serve_session(struct test *t, struct msg_dgram m, int *ret_client)
{
	struct msg_ask a;

	serve(t, m);
	*ret_client = client(t);
	put(*ret_client, "x");
	a = asked(t);
	return begin(t, &a, 1);
}

static void
expect_nothing(struct test *t, int fd)
{
	char c;

	rig_run(t->rig, 20);
	assert_int_equal(recv(fd, &c, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
}

static void
test_internal_asks_once(void **state)
{
	struct test *t = *state;
	struct msg_ask a;
	struct msg_count c;
	struct sockaddr_in own;
	socklen_t len = sizeof own;
	int fd;

	serve(t, (struct msg_dgram){ .internal = INTERNAL_ECHO });
	fd = client(t);
	put(fd, "one");
	put(fd, "two");
	a = asked(t);
	assert_int_equal(a.listener, 3);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &len), 0);
	assert_int_equal(a.peer.port, ntohs(own.sin_port));
	assert_int_equal(a.local.port, ntohs(t->at.sin_port));
	assert_memory_equal(a.local.ip, "\x7f\0\0\1", 4);
	say(t, &a, REASON_NONE, 60000);
	rig_expect_text(t->rig, fd, "one");
	rig_expect_text(t->rig, fd, "two");
	put(fd, "three");
	rig_expect_text(t->rig, fd, "three");
	assert_false(rig_has(t->rig, MSG_ASK));
	c = rig_message(t->rig, MSG_COUNT).count;
	assert_int_equal(c.listener, 3);
	assert_int_equal(c.datagrams_in, 3);
	assert_int_equal(c.datagrams_out, 3);
	assert_int_equal(c.bytes_in, 11);
	assert_int_equal(c.bytes_out, 11);
	close(fd);
}

/* Each address of ours answers for itself, and is asked about by itself. */
static void
test_answer_comes_from_the_address_used(void **state)
{
	struct test *t = *state;
	struct msg_ask a;
	int fd;

	serve(t, (struct msg_dgram){ .internal = INTERNAL_ECHO });
	t->at.sin_addr.s_addr = htonl(0x7f000905);
	fd = client(t);			/* connected: takes nothing from others */
	put(fd, "x");
	a = asked(t);
	assert_memory_equal(a.local.ip, "\x7f\0\x09\x05", 4);
	say(t, &a, REASON_NONE, 60000);
	rig_expect_text(t->rig, fd, "x");
	close(fd);
}

static void
test_denied_are_dropped_and_counted(void **state)
{
	struct test *t = *state;
	struct msg_ask a;
	struct msg_count c;
	int fd;

	serve(t, (struct msg_dgram){ .internal = INTERNAL_ECHO });
	fd = client(t);
	put(fd, "1");
	put(fd, "2");
	a = asked(t);
	say(t, &a, REASON_ACCESS, 60000);
	put(fd, "3");
	expect_nothing(t, fd);
	c = rig_message(t->rig, MSG_COUNT).count;
	assert_int_equal(c.denied, 2);		/* the first the master counts */
	assert_int_equal(c.reason, REASON_ACCESS);
	assert_int_equal(c.datagrams_out, 0);
	close(fd);
}

static void
test_verdict_is_kept_as_long_as_said(void **state)
{
	struct test *t = *state;
	struct msg_ask a, b;
	int fd;

	serve(t, (struct msg_dgram){ .internal = INTERNAL_ECHO });
	fd = client(t);
	put(fd, "1");
	a = asked(t);
	say(t, &a, REASON_RATE, 50);
	rig_run(t->rig, 60);
	put(fd, "2");
	b = asked(t);
	assert_int_equal(b.handle, a.handle);
	say(t, &a, REASON_NONE, 1000);		/* out of date: means nothing */
	expect_nothing(t, fd);
	say(t, &b, REASON_NONE, 1000);
	rig_expect_text(t->rig, fd, "2");
	close(fd);
}

static void
test_verdict_for_so_many(void **state)
{
	struct test *t = *state;
	struct msg_ask a, b;
	int fd;

	serve(t, (struct msg_dgram){ .internal = INTERNAL_ECHO });
	fd = client(t);
	for (const char *text = "1\0" "2\0" "3\0" "4\0" "5\0"; *text; text += 2)
		put(fd, text);
	a = asked(t);
	rig_run(t->rig, 10);
	say_for(t, &a, 2);
	rig_expect_text(t->rig, fd, "1");
	rig_expect_text(t->rig, fd, "2");
	expect_nothing(t, fd);
	b = asked(t);			/* at once, for what still waits */
	assert_int_equal(b.handle, a.handle);
	say(t, &a, REASON_ACCESS, 1000);	/* out of date */
	say_for(t, &b, 1);
	rig_expect_text(t->rig, fd, "3");
	b = asked(t);
	say_for(t, &b, 4);
	rig_expect_text(t->rig, fd, "4");
	rig_expect_text(t->rig, fd, "5");
	put(fd, "6");			/* two are left */
	put(fd, "7");
	rig_expect_text(t->rig, fd, "6");
	rig_expect_text(t->rig, fd, "7");
	rig_run(t->rig, 10);
	assert_false(rig_has(t->rig, MSG_ASK));
	put(fd, "8");
	b = asked(t);
	expect_nothing(t, fd);
	say_for(t, &b, 0);		/* any number */
	rig_expect_text(t->rig, fd, "8");
	for (int i = 0; i < 50; i++) {
		put(fd, "x");
		rig_expect_text(t->rig, fd, "x");
	}
	assert_false(rig_has(t->rig, MSG_ASK));
	close(fd);
}

/* The verdict that follows may be another. */
static void
test_no_more_after_so_many(void **state)
{
	struct test *t = *state;
	struct msg_ask a;
	struct msg_count c;
	int fd;

	serve(t, (struct msg_dgram){ .internal = INTERNAL_DISCARD });
	fd = client(t);
	for (int i = 0; i < 5; i++)
		put(fd, "x");
	a = asked(t);
	rig_run(t->rig, 10);
	say_for(t, &a, 2);
	a = asked(t);
	say(t, &a, REASON_SOURCE_RATE, 60000);
	put(fd, "x");
	c = rig_message(t->rig, MSG_COUNT).count;
	assert_int_equal(c.datagrams_in, 2);
	assert_int_equal(c.denied + 1, 4);	/* the master counts one */
	assert_int_equal(c.reason, REASON_SOURCE_RATE);
	assert_false(rig_has(t->rig, MSG_ASK));
	close(fd);
}

/* Nobody is left of a socket that is dropped meanwhile. */
static void
test_so_many_of_a_dropped_socket(void **state)
{
	struct test *t = *state;
	struct msg_dgram_drop drop = { .listener = 3 };
	struct msg_ask a;
	int fd, again;

	serve(t, (struct msg_dgram){ .internal = INTERNAL_ECHO });
	fd = client(t);
	put(fd, "one");
	put(fd, "two");
	a = asked(t);
	rig_run(t->rig, 10);
	udp_dgram_drop(t->udp, &drop);
	fd_close(&t->server);
	say_for(t, &a, 1);
	rig_expect_text(t->rig, fd, "one");
	expect_nothing(t, fd);
	assert_false(rig_has(t->rig, MSG_ASK));
	again = socket(AF_INET, SOCK_DGRAM, 0);		/* it is closed */
	assert_int_equal(bind(again, (struct sockaddr *)&t->at, sizeof t->at), 0);
	close(again);
	close(fd);
}

/* 0 under a sanitizer or valgrind, which keep what is freed. */
static long
resident_kb(void)
{
#if defined SANITIZED
	return 0;
#else
	const char *preload = getenv("LD_PRELOAD");
	long pages = 0, resident = 0;
	FILE *f = preload && strstr(preload, "vgpreload") ? NULL : fopen("/proc/self/statm", "re");

	if (f == NULL)
		return 0;
	assert_int_equal(fscanf(f, "%ld %ld", &pages, &resident), 2);
	(void)fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
#endif
}

/* A datagram from each of a batch of addresses of 127.0.0.0/8. */
static void
put_from(struct test *t, unsigned first, unsigned n)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_port = htons(5000) };

	for (unsigned i = first; i < first + n; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0), one = 1;

		from.sin_addr.s_addr = htonl(0x7f400001 + i);
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
		assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
		assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&t->at, sizeof t->at), 1);
		close(fd);
	}
}

/* As many sources as a forger likes: the memory is that of PEERS_MAX of them,
 * and each datagram is read and counted. */
static void
test_flood_of_sources(void **state)
{
	enum { SOURCES = 100000, BATCH = 50, FILL = 20000 };
	struct test *t = *state;
	uint32_t denied = 0, waited = 0;
	long before_kb = 0;

	serve(t, (struct msg_dgram){ .internal = INTERNAL_ECHO });
	for (unsigned i = 0; i < SOURCES; i += BATCH) {
		if (i == FILL)
			before_kb = resident_kb();
		put_from(t, i, BATCH);
		for (unsigned j = 0; j < BATCH; j++) {
			struct msg_ask a = asked(t);

			say(t, &a, REASON_ACCESS, 60000);
		}
		put_from(t, i, BATCH);		/* they are known now */
	}
	while (denied < SOURCES) {
		struct msg_count c = rig_message(t->rig, MSG_COUNT).count;

		assert_int_equal(c.reason, c.denied > 0 ? REASON_ACCESS : REASON_NONE);
		assert_int_equal(c.datagrams_in + c.datagrams_out + c.loop, 0);
		denied += c.denied;
		waited += c.queue;
	}
	assert_int_equal(denied, SOURCES);
	assert_int_equal(waited, 0);
	assert_false(rig_has(t->rig, MSG_ASK));
	assert_in_range(resident_kb(), 0, before_kb + 1024);
}

static void
test_S10_ports_that_could_answer(void **state)
{
	struct test *t = *state;
	struct sockaddr_in low = { .sin_family = AF_INET };
	struct msg_count c;
	int fd;

	low.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	serve(t, (struct msg_dgram){ .internal = INTERNAL_ECHO });
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	for (int port = 1023; port > 900; port--) {
		low.sin_port = htons((uint16_t)port);
		if (bind(fd, (struct sockaddr *)&low, sizeof low) == 0)
			break;
		if (errno == EACCES) {
			close(fd);
			skip();		/* only root has such a port */
		}
	}
	assert_int_equal(connect(fd, (struct sockaddr *)&t->at, sizeof t->at), 0);
	put(fd, "storm");
	expect_nothing(t, fd);
	assert_false(rig_has(t->rig, MSG_ASK));
	c = rig_message(t->rig, MSG_COUNT).count;
	assert_int_equal(c.loop, 1);
	assert_int_equal(c.datagrams_in, 0);
	close(fd);
}

static void
test_S10_no_amplification(void **state)
{
	struct test *t = *state;
	struct msg_ask a;
	char buf[1024];
	unsigned answers = 0;
	int fd;

	serve(t, (struct msg_dgram){ .internal = INTERNAL_TIME });
	fd = client(t);
	put(fd, "123");
	a = asked(t);
	say(t, &a, REASON_NONE, 60000);
	expect_nothing(t, fd);
	put(fd, "1234");
	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), 4);
	assert_int_equal(rig_message(t->rig, MSG_COUNT).count.loop, 1);

	serve(t, (struct msg_dgram){ .internal = INTERNAL_CHARGEN });
	for (int i = 0; i < 100; i++)
		put(fd, "");
	a = asked(t);
	say(t, &a, REASON_NONE, 60000);
	for (int i = 0; i < 100; i++)
		put(fd, "");
	rig_run(t->rig, 50);
	while (recv(fd, buf, sizeof buf, 0) > 0)
		answers++;
	assert_in_range(answers, 8, 11);
	close(fd);
}

static void
test_queue_while_asking_is_bounded(void **state)
{
	struct test *t = *state;
	struct msg_ask a;
	int fd;

	serve(t, (struct msg_dgram){ .internal = INTERNAL_ECHO });
	fd = client(t);
	for (int i = 0; i < 20; i++)
		put(fd, "x");
	a = asked(t);
	rig_run(t->rig, 20);
	say(t, &a, REASON_NONE, 60000);
	for (int i = 0; i < 8; i++)
		rig_expect_text(t->rig, fd, "x");
	expect_nothing(t, fd);
	assert_int_equal(rig_message(t->rig, MSG_COUNT).count.queue, 12);
	close(fd);
}

/* An answer that never comes does not lock a peer out for ever. */
static void
test_asks_again(void **state)
{
	struct test *t = *state;
	struct msg_ask a, b;
	int fd;

	serve(t, (struct msg_dgram){ .internal = INTERNAL_ECHO });
	fd = client(t);
	put(fd, "first");
	a = asked(t);
	rig_run(t->rig, 5050);
	put(fd, "second");
	b = asked(t);
	assert_int_equal(b.handle, a.handle);
	say(t, &a, REASON_ACCESS, 1000);	/* too late */
	say(t, &b, REASON_NONE, 1000);
	rig_expect_text(t->rig, fd, "first");
	rig_expect_text(t->rig, fd, "second");
	close(fd);
}

static void
test_session(void **state)
{
	struct test *t = *state;
	struct msg_ask a;
	struct msg_ended m;
	int fd, handler, other;

	serve(t, (struct msg_dgram){ .max = 10 });
	fd = client(t);
	put(fd, "one");
	put(fd, "two");
	a = asked(t);
	handler = begin(t, &a, 5);
	rig_expect_text(t->rig, handler, "one");
	rig_expect_text(t->rig, handler, "two");
	put(handler, "answer");
	rig_expect_text(t->rig, fd, "answer");
	put(fd, "three");
	rig_expect_text(t->rig, handler, "three");
	other = client(t);		/* another peer, another question */
	put(other, "x");
	assert_int_not_equal(asked(t).peer.port, a.peer.port);
	close(handler);
	m = rig_ended(t->rig, 5);
	assert_int_equal(m.error, 0);
	assert_int_equal(m.datagrams_in, 3);
	assert_int_equal(m.datagrams_out, 1);
	assert_int_equal(m.bytes_in, 11);
	assert_int_equal(m.bytes_out, 6);
	put(fd, "four");		/* begins anew */
	a = asked(t);
	close(fd);
	close(other);
}

static void
test_session_empty_datagrams(void **state)
{
	struct test *t = *state;
	struct msg_ask a;
	int fd, handler;
	char c;

	serve(t, (struct msg_dgram){ .max = 10 });
	fd = client(t);
	put(fd, "");
	a = asked(t);
	handler = begin(t, &a, 1);
	put(fd, "x");
	rig_expect_text(t->rig, handler, "x");	/* no end of file before it */
	put(handler, "");		/* nor from the handler */
	put(handler, "y");
	rig_readable(t->rig, fd);
	assert_int_equal(recv(fd, &c, 1, 0), 0);
	rig_expect_text(t->rig, fd, "y");
	put(handler, "");
	put(handler, "z");
	close(handler);
	rig_readable(t->rig, fd);
	assert_int_equal(recv(fd, &c, 1, 0), 0);
	rig_expect_text(t->rig, fd, "z");
	assert_int_equal(rig_ended(t->rig, 1).dropped, 1);
	close(fd);
}

static void
test_session_once(void **state)
{
	struct test *t = *state;
	struct msg_ask a;
	struct msg_ended m;
	int fd, handler;
	char c;

	serve(t, (struct msg_dgram){ .once = 1, .max = 10 });
	fd = client(t);
	put(fd, "in");
	put(fd, "more");
	a = asked(t);
	handler = begin(t, &a, 1);
	rig_expect_text(t->rig, handler, "in");
	assert_int_equal(recv(handler, &c, 1, 0), 0);
	put(handler, "out");
	rig_expect_text(t->rig, fd, "out");
	put(fd, "");
	expect_nothing(t, fd);
	close(handler);
	m = rig_ended(t->rig, 1);
	assert_int_equal(m.dropped, 0);
	assert_int_equal(m.datagrams_in, 1);
	/* each of the others has a handler of its own */
	a = asked(t);
	handler = begin(t, &a, 2);
	rig_expect_text(t->rig, handler, "more");
	close(handler);
	assert_int_equal(rig_ended(t->rig, 2).datagrams_in, 1);
	/* an empty one is an end of file at once */
	a = asked(t);
	handler = begin(t, &a, 3);
	assert_int_equal(recv(handler, &c, 1, 0), 0);
	put(handler, "empty");
	rig_expect_text(t->rig, fd, "empty");
	close(handler);
	assert_int_equal(rig_ended(t->rig, 3).dropped, 0);
	close(fd);
}

/* What comes after a handler's end is for another one, but its first datagram
 * is not: a handler that never reads would be started for that for ever. */
static void
test_session_of_a_handler_that_is_gone(void **state)
{
	struct test *t = *state;
	struct msg_session s = { .slot = 3, .generation = 103 };
	struct msg_ask a;
	struct msg_ended m;
	int fd, handler, sv[2];

	serve(t, (struct msg_dgram){ .max = 10 });
	fd = client(t);
	put(fd, "one");
	a = asked(t);
	handler = begin(t, &a, 1);
	rig_expect_text(t->rig, handler, "one");
	close(handler);
	put(fd, "two");
	(void)rig_ended(t->rig, 1);
	a = asked(t);
	handler = begin(t, &a, 2);
	rig_expect_text(t->rig, handler, "two");
	close(handler);
	(void)rig_ended(t->rig, 2);

	put(fd, "never read");
	a = asked(t);
	rig_pair(SOCK_SEQPACKET | SOCK_NONBLOCK, sv);
	close(sv[1]);
	s.handle = a.handle;
	s.handle_generation = a.handle_generation;
	assert_int_equal(udp_session(t->udp, &s, sv[0]), 0);
	m = rig_ended(t->rig, 3);
	assert_int_equal(m.datagrams_in, 1);
	assert_int_equal(m.dropped, 1);
	rig_run(t->rig, 50);
	assert_false(rig_has(t->rig, MSG_ASK));
	close(fd);
}

static void
test_session_idle(void **state)
{
	struct test *t = *state;
	int fd, handler;
	int64_t begin_ms;
	char c;

	handler = serve_session(t, (struct msg_dgram){ .idle_ms = 200, .max = 10 }, &fd);
	begin_ms = ev_now_ms(t->rig->ev);
	rig_expect_text(t->rig, handler, "x");
	rig_run(t->rig, 150);
	put(handler, "still here");
	rig_expect_text(t->rig, fd, "still here");
	assert_int_equal(rig_ended(t->rig, 1).error, ETIMEDOUT);
	assert_in_range(ev_now_ms(t->rig->ev) - begin_ms, 340, 900);
	assert_int_equal(recv(handler, &c, 1, 0), 0);
	close(handler);
	close(fd);
}

/* A handler that doesn't read loses datagrams, and holds up nobody. */
static void
test_session_handler_is_slow(void **state)
{
	struct test *t = *state;
	static char big[30000];
	struct msg_ended m;
	int fd, handler;

	handler = serve_session(t, (struct msg_dgram){ .max = 10 }, &fd);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(send(fd, big, sizeof big, 0), sizeof big);
		rig_run(t->rig, 1);
	}
	close(handler);
	m = rig_ended(t->rig, 1);
	assert_int_equal(m.datagrams_in, 101);
	assert_in_range(m.dropped, 80, 100);
	close(fd);
}

static void
test_session_max(void **state)
{
	struct test *t = *state;
	struct msg_count c;
	int fd, other, handler;

	handler = serve_session(t, (struct msg_dgram){ .max = 1 }, &fd);
	other = client(t);
	put(other, "x");
	c = rig_message(t->rig, MSG_COUNT).count;
	assert_int_equal(c.denied, 1);
	assert_int_equal(c.reason, REASON_SESSION_MAX);
	assert_false(rig_has(t->rig, MSG_ASK));
	close(handler);
	(void)rig_ended(t->rig, 1);
	put(other, "y");
	(void)asked(t);
	close(fd);
	close(other);
}

/* Those that are asked for count, too, as long as an answer may come. */
static void
test_session_max_of_those_asked_for(void **state)
{
	struct test *t = *state;
	struct msg_count c;
	struct msg_ask a;
	int fd[4];

	serve(t, (struct msg_dgram){ .max = 2 });
	for (int i = 0; i < 4; i++) {
		fd[i] = client(t);
		put(fd[i], "x");
	}
	a = asked(t);
	(void)asked(t);
	c = rig_message(t->rig, MSG_COUNT).count;
	assert_int_equal(c.denied, 2);
	assert_int_equal(c.reason, REASON_SESSION_MAX);
	assert_false(rig_has(t->rig, MSG_ASK));
	say(t, &a, REASON_ACCESS, 60000);	/* it has left its place to another */
	put(fd[2], "y");
	(void)asked(t);
	put(fd[3], "y");
	rig_run(t->rig, 50);
	assert_false(rig_has(t->rig, MSG_ASK));
	rig_run(t->rig, 5050);			/* no answer will come */
	put(fd[3], "z");
	a = asked(t);
	put(fd[1], "z");
	(void)asked(t);
	put(fd[2], "z");
	rig_run(t->rig, 50);
	assert_false(rig_has(t->rig, MSG_ASK));
	close(begin(t, &a, 1));			/* a session counts once */
	(void)rig_ended(t->rig, 1);
	put(fd[2], "z");
	(void)asked(t);
	for (int i = 0; i < 4; i++)
		close(fd[i]);
}

/* Every slot that is given is told about, also when it is too late or there
 * was no descriptor left. */
static void
test_session_that_cannot_be(void **state)
{
	struct test *t = *state;
	struct msg_session s = { .handle = 12345, .handle_generation = 1, .slot = 4,
				 .generation = 104 };
	struct msg_ask a;
	int fd, sv[2];
	char c;

	serve(t, (struct msg_dgram){ .max = 10 });
	rig_pair(SOCK_SEQPACKET, sv);
	assert_int_equal(udp_session(t->udp, &s, sv[0]), 0);
	assert_int_equal(rig_ended(t->rig, 4).error, ECANCELED);
	assert_int_equal(recv(sv[1], &c, 1, 0), 0);	/* it was closed */
	close(sv[1]);

	fd = client(t);
	put(fd, "x");
	a = asked(t);
	s.handle = a.handle;
	s.handle_generation = a.handle_generation;
	assert_int_equal(udp_session(t->udp, &s, -1), 0);
	assert_int_equal(rig_ended(t->rig, 4).error, EMFILE);
	put(fd, "y");			/* begins anew */
	a = asked(t);
	close(begin(t, &a, 4));
	(void)rig_ended(t->rig, 4);
	close(fd);
}

static void
test_session_closed_by_master(void **state)
{
	struct test *t = *state;
	int fd, handler;
	char c;

	handler = serve_session(t, (struct msg_dgram){ .max = 10 }, &fd);
	slots_close(t->rig->slots, 1, 101);
	assert_int_equal(rig_ended(t->rig, 1).error, ECANCELED);
	rig_expect_text(t->rig, handler, "x");
	assert_int_equal(recv(handler, &c, 1, 0), 0);
	close(handler);
	close(fd);
}

/* The handler is gone and something else has its end: its last words are delivered,
 * however many, and then the peer is free for another one. */
static void
test_session_closed_with_last_words(void **state)
{
	enum { WORDS = 40 };
	struct test *t = *state;
	struct msg_ended m;
	struct msg_ask a;
	char text[16];
	int fd, handler;

	serve(t, (struct msg_dgram){ .once = 1, .max = 10 });
	fd = client(t);
	put(fd, "x");
	put(fd, "for the next");
	a = asked(t);
	handler = begin(t, &a, 1);
	rig_expect_text(t->rig, handler, "x");
	for (int i = 0; i < WORDS; i++) {
		(void)snprintf(text, sizeof text, "%d", i);
		put(handler, text);
	}
	slots_close(t->rig->slots, 1, RIG_GENERATION(1));
	slots_close(t->rig->slots, 1, RIG_GENERATION(1));
	assert_int_equal(send(handler, "late", 4, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	for (int i = 0; i < WORDS; i++) {
		(void)snprintf(text, sizeof text, "%d", i);
		rig_expect_text(t->rig, fd, text);
	}
	m = rig_ended(t->rig, 1);
	assert_int_equal(m.datagrams_out, WORDS);
	assert_int_equal(m.dropped, 0);
	a = asked(t);
	close(handler);
	handler = begin(t, &a, 2);
	rig_expect_text(t->rig, handler, "for the next");
	slots_close(t->rig->slots, 2, RIG_GENERATION(2));	/* nothing is left to read */
	assert_int_equal(rig_ended(t->rig, 2).datagrams_out, 0);
	close(handler);
	close(fd);
}

/* Dropped: sessions go on, nobody new is served; handed over again: as ever,
 * with the sessions that are still there. */
static void
test_drop_and_again(void **state)
{
	struct test *t = *state;
	struct msg_dgram_drop drop = { .listener = 3 };
	int fd, other, handler;

	handler = serve_session(t, (struct msg_dgram){ .max = 10 }, &fd);
	other = client(t);
	udp_dgram_drop(t->udp, &drop);
	udp_dgram_drop(t->udp, &drop);		/* it is gone: nothing to do */
	rig_expect_text(t->rig, handler, "x");
	put(other, "nobody");
	put(fd, "y");
	rig_expect_text(t->rig, handler, "y");
	put(handler, "z");
	rig_expect_text(t->rig, fd, "z");
	assert_false(rig_has(t->rig, MSG_ASK));
	serve(t, (struct msg_dgram){ .max = 10 });
	put(other, "new");
	(void)asked(t);
	put(fd, "more");
	rig_expect_text(t->rig, handler, "more");
	close(handler);
	(void)rig_ended(t->rig, 1);
	close(fd);
	close(other);
}

/* A handler has it for itself from now on: sessions end, after what their handlers
 * wrote last, and what comes is left to it, also while an answer is waited for. */
static void
test_left_socket(void **state)
{
	struct test *t = *state;
	struct msg_dgram_drop drop = { .listener = 3, .leave = 2 };
	struct msg_ask a;
	int fd, other, handler, again;
	char c;

	handler = serve_session(t, (struct msg_dgram){ .max = 10 }, &fd);
	rig_expect_text(t->rig, handler, "x");
	other = client(t);
	put(other, "asked about");
	a = asked(t);
	put(handler, "last");
	put(fd, "for the other");
	assert_int_equal(udp_dgram_drop(t->udp, &drop), -1);
	drop.leave = 1;
	assert_int_equal(udp_dgram_drop(t->udp, &drop), 0);
	assert_int_equal(udp_dgram_drop(t->udp, &drop), 0);	/* nothing to do */
	rig_expect_text(t->rig, fd, "last");
	(void)rig_ended(t->rig, 1);
	rig_expect_last(t->rig, handler, "");
	put(fd, "too");
	rig_run(t->rig, 20);
	rig_expect_text(t->rig, t->server, "for the other");
	rig_expect_text(t->rig, t->server, "too");
	assert_int_equal(recv(t->server, &c, 1, MSG_DONTWAIT), -1);
	fd_close(&t->server);
	say(t, &a, REASON_TALKER, 1000);
	again = socket(AF_INET, SOCK_DGRAM, 0);		/* it is closed */
	assert_int_equal(bind(again, (struct sockaddr *)&t->at, sizeof t->at), 0);
	close(again);
	close(handler);
	close(fd);
	close(other);
}

/* The last session of a socket that was dropped takes it along. */
static void
test_dropped_socket_is_closed(void **state)
{
	struct test *t = *state;
	struct msg_dgram_drop drop = { .listener = 3 };
	struct msg_ask a;
	int fd, handler, again;

	serve(t, (struct msg_dgram){ .max = 10 });
	fd = client(t);
	put(fd, "x");
	a = asked(t);
	udp_dgram_drop(t->udp, &drop);
	handler = begin(t, &a, 1);		/* the master had said so already */
	rig_expect_text(t->rig, handler, "x");
	fd_close(&t->server);
	again = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(again, (struct sockaddr *)&t->at, sizeof t->at), -1);
	close(handler);
	(void)rig_ended(t->rig, 1);
	assert_int_equal(bind(again, (struct sockaddr *)&t->at, sizeof t->at), 0);
	close(again);
	close(fd);
}

static void
test_link_is_behind(void **state)
{
	struct test *t = *state;
	struct rig *r = t->rig;
	struct msg_ask a;
	int fd, other;

	serve(t, (struct msg_dgram){ .internal = INTERNAL_ECHO });
	fd = client(t);
	other = client(t);
	put(fd, "x");
	a = asked(t);
	say(t, &a, REASON_NONE, 60000);
	rig_expect_text(t->rig, fd, "x");
	rig_fill_link(r);
	put(other, "lost");
	put(fd, "known");		/* goes on */
	rig_expect_text(t->rig, fd, "known");
	msg_link_pause(r->master, false);
	assert_int_equal(rig_message(r, MSG_COUNT).count.queue, 1);
	assert_false(rig_has(r, MSG_ASK));
	put(other, "again");
	(void)asked(t);
	close(fd);
	close(other);
}

/* What waits beyond a verdict is dropped and counted if it can't be asked. */
static void
test_link_is_behind_after_so_many(void **state)
{
	struct test *t = *state;
	struct rig *r = t->rig;
	struct msg_count c;
	struct msg_ask a;
	int fd;

	serve(t, (struct msg_dgram){ .internal = INTERNAL_ECHO });
	fd = client(t);
	for (int i = 0; i < 4; i++)
		put(fd, "x");
	a = asked(t);
	rig_run(r, 10);
	rig_fill_link(r);
	say_for(t, &a, 1);
	rig_expect_text(t->rig, fd, "x");
	expect_nothing(t, fd);
	msg_link_pause(r->master, false);
	c = rig_message(r, MSG_COUNT).count;
	assert_int_equal(c.queue, 3);
	assert_int_equal(c.datagrams_in, 1);
	assert_false(rig_has(r, MSG_ASK));
	put(fd, "again");
	a = asked(t);
	say_for(t, &a, 1);
	rig_expect_text(t->rig, fd, "again");
	close(fd);
}

static void
test_ipv6(void **state)
{
	struct test *t = *state;
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct msg_dgram m = { .listener = 9, .family = AF_INET6, .internal = INTERNAL_ECHO };
	socklen_t len = sizeof at;
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0), one = 1, peer;
	struct msg_ask a;

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
		skip();
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof one), 0);
	assert_int_equal(udp_dgram(t->udp, &m, fd), 0);
	peer = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(peer, (struct sockaddr *)&at, sizeof at), 0);
	put(peer, "six");
	a = asked(t);
	assert_int_equal(a.local.family, AF_INET6);
	assert_int_equal(a.local.ip[15], 1);
	say(t, &a, REASON_NONE, 1000);
	rig_expect_text(t->rig, peer, "six");
	close(peer);
}

/* Listener 1: a UNIX socket of a name that the kernel chose, with or without the
 * senders' credentials. */
static socklen_t
serve_unix(struct test *t, bool credentials, struct sockaddr_un *at)
{
	struct msg_dgram m = { .listener = 1, .family = AF_UNIX, .internal = INTERNAL_ECHO };
	socklen_t len = sizeof *at;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = credentials;

	*at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof at->sun_family), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
	assert_int_equal(udp_dgram(t->udp, &m, fd), 0);
	return len;
}

static int
unix_client(const struct sockaddr_un *at, socklen_t len, bool named)
{
	struct sockaddr_un own = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)at, len), 0);
	if (named)
		assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own.sun_family), 0);
	return fd;
}

/* One question for a process, whichever socket it sends from; each socket gets
 * its own answers. */
static void
test_unix_datagrams(void **state)
{
	struct test *t = *state;
	struct sockaddr_un at;
	socklen_t len = serve_unix(t, true, &at);
	int first = unix_client(&at, len, true), second = unix_client(&at, len, true);
	int nameless = unix_client(&at, len, false);
	struct msg_ask a;
	struct msg_count c;

	put(nameless, "no");
	put(first, "one");
	put(second, "two");
	a = asked(t);
	assert_int_equal(a.listener, 1);
	assert_int_equal(a.peer.family, AF_UNIX);
	assert_int_equal(a.peer.cred.pid, getpid());
	assert_int_equal(a.peer.cred.uid, getuid());
	assert_int_equal(a.peer.cred.gid, getgid());
	assert_int_equal(a.local.family, AF_UNIX);
	rig_run(t->rig, 10);
	say(t, &a, REASON_NONE, 60000);
	rig_expect_text(t->rig, first, "one");
	rig_expect_text(t->rig, second, "two");
	put(second, "three");
	rig_expect_text(t->rig, second, "three");
	assert_false(rig_has(t->rig, MSG_ASK));
	c = rig_message(t->rig, MSG_COUNT).count;
	assert_int_equal(c.datagrams_in, 4);
	assert_int_equal(c.datagrams_out, 3);
	close(first);
	close(second);
	close(nameless);
}

static void
test_unix_verdicts(void **state)
{
	struct test *t = *state;
	struct sockaddr_un at;
	socklen_t len = serve_unix(t, true, &at);
	int fd = unix_client(&at, len, true);
	struct msg_ask a;
	struct msg_count c;

	put(fd, "one");
	put(fd, "two");
	a = asked(t);
	rig_run(t->rig, 10);
	say_for(t, &a, 1);
	rig_expect_text(t->rig, fd, "one");
	a = asked(t);
	say(t, &a, REASON_ACCESS, 60000);
	put(fd, "three");
	expect_nothing(t, fd);
	c = rig_message(t->rig, MSG_COUNT).count;
	assert_int_equal(c.datagrams_in, 1);
	assert_int_equal(c.denied, 1);		/* and the one that was asked about */
	assert_int_equal(c.reason, REASON_ACCESS);
	close(fd);
}

/* Nobody is let in because it isn't known who it is. */
static void
test_unix_without_credentials(void **state)
{
	struct test *t = *state;
	struct sockaddr_un at;
	socklen_t len = serve_unix(t, false, &at);
	int fd = unix_client(&at, len, true);
	struct msg_count c;

	put(fd, "who am I");
	expect_nothing(t, fd);
	assert_false(rig_has(t->rig, MSG_ASK));
	c = rig_message(t->rig, MSG_COUNT).count;
	assert_int_equal(c.denied, 1);
	assert_int_equal(c.reason, REASON_ACCESS);
	assert_int_equal(c.datagrams_in, 0);
	close(fd);
}

static int
descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

static void
put_with_descriptors(int fd, const char *text)
{
	int extra[4] = { fd, fd, fd, fd };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof extra)];
	} control = { .buf = { 0 } };
	struct iovec iov = { (void *)text, strlen(text) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			    .msg_controllen = sizeof control.buf };

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof extra);
	memcpy(CMSG_DATA(&control.align), extra, sizeof extra);
	assert_int_equal(sendmsg(fd, &h, 0), strlen(text));
}

/* Descriptors that somebody adds to a datagram don't stay. */
static void
test_unix_descriptors_are_closed(void **state)
{
	struct test *t = *state;
	struct sockaddr_un at;

	for (int credentials = 0; credentials < 2; credentials++) {
		socklen_t len = serve_unix(t, credentials, &at);
		int fd = unix_client(&at, len, true), before = descriptors();

		for (int i = 0; i < 5; i++)
			put_with_descriptors(fd, "x");
		rig_run(t->rig, 20);
		assert_int_equal(descriptors(), before);
		close(fd);
	}
}

static void
test_bad_messages(void **state)
{
	struct test *t = *state;
	struct msg_dgram m = { .listener = 1, .family = AF_INET, .internal = INTERNAL_ECHO };
	struct msg_verdict v = { .reason = REASON_MAX };
	int tcp = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(udp_dgram(t->udp, &m, tcp), -1);	/* closed it */
	m.listener = UINT32_MAX;
	assert_int_equal(udp_dgram(t->udp, &m, socket(AF_INET, SOCK_DGRAM, 0)), -1);
	m.listener = 1;
	m.internal = INTERNAL_TCPMUX;
	assert_int_equal(udp_dgram(t->udp, &m, socket(AF_INET, SOCK_DGRAM, 0)), -1);
	m.internal = INTERNAL_MAX;
	assert_int_equal(udp_dgram(t->udp, &m, socket(AF_INET, SOCK_DGRAM, 0)), -1);
	m.internal = INTERNAL_NONE;
	m.family = AF_UNIX;
	assert_int_equal(udp_dgram(t->udp, &m, socket(AF_UNIX, SOCK_DGRAM, 0)), -1);
	assert_int_equal(udp_verdict(t->udp, &v), -1);
	v.reason = REASON_NONE;
	assert_int_equal(udp_verdict(t->udp, &v), 0);		/* nobody asked */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_internal_asks_once),
		TEST(test_answer_comes_from_the_address_used),
		TEST(test_denied_are_dropped_and_counted),
		TEST(test_verdict_is_kept_as_long_as_said),
		TEST(test_verdict_for_so_many),
		TEST(test_no_more_after_so_many),
		TEST(test_so_many_of_a_dropped_socket),
		TEST(test_flood_of_sources),
		TEST(test_S10_ports_that_could_answer),
		TEST(test_S10_no_amplification),
		TEST(test_queue_while_asking_is_bounded),
		TEST(test_asks_again),
		TEST(test_session),
		TEST(test_session_empty_datagrams),
		TEST(test_session_once),
		TEST(test_session_of_a_handler_that_is_gone),
		TEST(test_session_idle),
		TEST(test_session_handler_is_slow),
		TEST(test_session_max),
		TEST(test_session_max_of_those_asked_for),
		TEST(test_session_that_cannot_be),
		TEST(test_session_closed_by_master),
		TEST(test_session_closed_with_last_words),
		TEST(test_drop_and_again),
		TEST(test_left_socket),
		TEST(test_dropped_socket_is_closed),
		TEST(test_link_is_behind),
		TEST(test_link_is_behind_after_so_many),
		TEST(test_ipv6),
		TEST(test_unix_datagrams),
		TEST(test_unix_verdicts),
		TEST(test_unix_without_credentials),
		TEST(test_unix_descriptors_are_closed),
		TEST(test_bad_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
