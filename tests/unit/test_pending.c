/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Who waits to be accepted: real sockets on the loopback, and whether some of
 * them were accepted from one look to the next.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "listener.h"
#include "pending.h"
#include "service.h"

enum { SOCKETS = 4096 };

struct test {
	struct service service;
	struct listener *all;	/* of the service */
	int fds[SOCKETS];
	int n;
	int64_t now_ms;		/* looks are this far apart, so that none is left out */
};

static int
setup(void **state)
{
	struct test *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->now_ms = 1000000;
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct test *t = *state;

	pending_forget();
	for (struct listener *l = t->all, *next; l; l = next) {
		next = l->next;
		(void)close(l->fd);
		free(l);
	}
	for (int i = 0; i < t->n; i++)
		if (t->fds[i] != -1)
			(void)close(t->fds[i]);
	free(t);
	return 0;
}

/* A listener for an address; NULL if there is no such family here. */
static struct listener *
listener_at(struct test *t, const char *ip, int backlog)
{
	struct listener *l = calloc(1, sizeof(*l));
	struct sockaddr_storage ss;
	struct addr a;
	socklen_t len = sizeof(ss);
	int one = 1;

	assert_non_null(l);
	assert_int_equal(addr_parse(ip, &l->target.addr), 0);
	l->fd = socket(l->target.addr.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd != -1 && l->target.addr.family == AF_INET6)
		(void)setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (l->fd == -1 ||
	    bind(l->fd, (struct sockaddr *)&ss, addr_to_sockaddr(&l->target.addr, &ss)) == -1) {
		if (l->fd != -1)
			(void)close(l->fd);
		free(l);
		return NULL;
	}
	assert_int_equal(listen(l->fd, backlog), 0);
	assert_int_equal(getsockname(l->fd, (struct sockaddr *)&ss, &len), 0);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, len, &a), 0);
	l->port = a.port;
	l->target.type = SOCK_STREAM;
	l->service = &t->service;
	l->next = t->all;
	t->service.listeners = t->all = l;
	return l;
}

static struct listener *
unix_listener(struct test *t, int type, int backlog)
{
	struct listener *l = calloc(1, sizeof(*l));
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	assert_non_null(l);
	l->fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(l->fd >= 0);
	assert_int_equal(bind(l->fd, (struct sockaddr *)&un, sizeof(un.sun_family)), 0);
	assert_int_equal(listen(l->fd, backlog), 0);
	l->target.type = (uint8_t)type;
	l->target.addr.family = AF_UNIX;
	l->service = &t->service;
	l->next = t->all;
	t->service.listeners = t->all = l;
	return l;
}

/* A client of a listener, from ip to ip (NULL: wherever); its place in fds. */
static int
client(struct test *t, const struct listener *l, const char *ip)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int type = SOCK_STREAM, fd;
	struct addr a = l->target.addr;
	socklen_t type_len = sizeof(type);

	assert_int_equal(getsockopt(l->fd, SOL_SOCKET, SO_TYPE, &type, &type_len), 0);
	assert_int_equal(getsockname(l->fd, (struct sockaddr *)&ss, &len), 0);
	if (ip) {
		assert_int_equal(addr_parse(ip, &a), 0);
		a.port = l->port;
		len = addr_to_sockaddr(&a, &ss);
	}
	fd = socket(ss.ss_family, type | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0 && t->n < SOCKETS);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	t->fds[t->n] = fd;
	return t->n++;
}

/* Closes a client; hard: with a reset. */
static void
leave(struct test *t, int i, bool hard)
{
	struct linger none = { .l_onoff = 1 };

	if (hard)
		assert_int_equal(setsockopt(t->fds[i], SOL_SOCKET, SO_LINGER, &none,
					    sizeof(none)), 0);
	(void)close(t->fds[i]);
	t->fds[i] = -1;
}

static void
accept_one(struct test *t, const struct listener *l, bool and_close)
{
	int fd = accept(l->fd, NULL, NULL);

	assert_true(fd >= 0 && t->n < SOCKETS);
	if (and_close)
		(void)close(fd);
	else
		t->fds[t->n++] = fd;
}

static enum pending
look_all(struct test *t, const struct listener *l, bool all)
{
	t->now_ms += 60000;
	return pending_look(l, all, t->now_ms);
}

static enum pending
look(struct test *t, const struct listener *l)
{
	return look_all(t, l, false);
}

static void
expect_life(struct test *t, struct listener *l, const char *ip)
{
	(void)client(t, l, ip);
	assert_int_equal(look(t, l), PENDING_UNKNOWN);
	assert_int_equal(look(t, l), PENDING_SAME);
	(void)client(t, l, ip);			/* one joins */
	(void)client(t, l, ip);
	assert_int_equal(look(t, l), PENDING_SAME);
	assert_int_equal(look(t, l), PENDING_SAME);
	accept_one(t, l, false);		/* one goes, */
	assert_int_equal(look(t, l), PENDING_TAKEN);
	assert_int_equal(look(t, l), PENDING_SAME);
	accept_one(t, l, true);			/* and as many come as go, */
	(void)client(t, l, ip);
	assert_int_equal(look(t, l), PENDING_TAKEN);
	(void)client(t, l, ip);			/* and more */
	(void)client(t, l, ip);
	accept_one(t, l, false);
	assert_int_equal(look(t, l), PENDING_TAKEN);
	assert_int_equal(look(t, l), PENDING_SAME);
}

static void
test_tcp(void **state)
{
	struct test *t = *state;
	struct listener *l = listener_at(t, "127.0.0.1", 64);

	assert_non_null(l);
	assert_int_equal(pending_queued(l), 0);
	expect_life(t, l, NULL);
	assert_int_equal(pending_queued(l), 3);
}

static void
test_tcp_any(void **state)
{
	struct test *t = *state;
	struct listener *l = listener_at(t, "0.0.0.0", 64);

	assert_non_null(l);
	expect_life(t, l, "127.0.0.9");
}

static void
test_tcp6(void **state)
{
	struct test *t = *state;
	struct listener *l = listener_at(t, "::1", 64), *any = listener_at(t, "::", 64);

	if (!l || !any)
		skip();
	expect_life(t, l, NULL);
	expect_life(t, any, "::1");
}

static void
test_unix(void **state)
{
	struct test *t = *state;

	expect_life(t, unix_listener(t, SOCK_STREAM, 64), NULL);
	expect_life(t, unix_listener(t, SOCK_SEQPACKET, 64), NULL);
}

/* Neighbours are others' business: another port, another address of the same
 * port, what was accepted and is open, what was accepted and is not yet over. */
static void
test_neighbours(void **state)
{
	struct test *t = *state;
	struct listener *l = listener_at(t, "127.0.0.1", 64);
	struct listener *other = listener_at(t, "127.0.0.1", 64);
	struct listener *beside = listener_at(t, "127.0.0.2", 64);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002) };

	assert_true(l && other && beside);
	(void)close(beside->fd);
	beside->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	at.sin_port = htons(l->port);
	if (bind(beside->fd, (struct sockaddr *)&at, sizeof(at)) == -1 ||
	    listen(beside->fd, 64) == -1)
		skip();				/* somebody has it */
	beside->port = l->port;
	for (int i = 0; i < 3; i++) {
		(void)client(t, l, NULL);
		(void)client(t, other, NULL);
		(void)client(t, beside, NULL);
	}
	accept_one(t, l, false);
	accept_one(t, l, true);			/* FIN-WAIT, without an inode */
	assert_int_equal(look(t, l), PENDING_UNKNOWN);
	assert_int_equal(look(t, l), PENDING_SAME);
	accept_one(t, other, true);
	accept_one(t, beside, true);
	leave(t, 0, false);			/* of those that were accepted */
	leave(t, 3, true);
	assert_int_equal(look(t, l), PENDING_SAME);
	accept_one(t, l, true);
	assert_int_equal(look(t, l), PENDING_TAKEN);
}

/* Who has closed or was reset is in the queue until accepted, too. */
static void
test_clients_that_leave(void **state)
{
	struct test *t = *state;
	struct listener *l[] = { listener_at(t, "127.0.0.1", 64),
				 unix_listener(t, SOCK_STREAM, 64) };

	assert_non_null(l[0]);
	for (int i = 0; i < 2; i++) {
		int first = client(t, l[i], NULL), second = client(t, l[i], NULL);

		(void)client(t, l[i], NULL);
		assert_int_equal(look(t, l[i]), PENDING_UNKNOWN);
		leave(t, first, true);
		/* it can't be told from one that was accepted while another came */
		assert_int_equal(look(t, l[i]), PENDING_UNKNOWN);
		assert_int_equal(look(t, l[i]), PENDING_SAME);
		leave(t, second, false);
		assert_int_equal(look(t, l[i]), i == 0 ? PENDING_SAME : PENDING_UNKNOWN);
		assert_int_equal(look(t, l[i]), PENDING_SAME);
		accept_one(t, l[i], true);
		assert_int_equal(look(t, l[i]), PENDING_TAKEN);
	}
}

/* Nobody who waits is there any more: what is not accepted is still there, so a
 * handler that accepts none would be started for it for ever. */
static void
test_all_have_left(void **state)
{
	struct test *t = *state;
	struct listener *l[] = { listener_at(t, "127.0.0.1", 64),
				 unix_listener(t, SOCK_STREAM, 64) };

	for (int i = 0; i < 2; i++) {
		int n = 0;

		leave(t, client(t, l[i], NULL), true);
		leave(t, client(t, l[i], NULL), true);
		while (look(t, l[i]) == PENDING_UNKNOWN)
			assert_true(++n < 10);
		assert_true(n >= 5);
		assert_int_equal(look(t, l[i]), PENDING_SAME);
		accept_one(t, l[i], true);
		assert_int_equal(look(t, l[i]), PENDING_TAKEN);
	}
}

static void
test_all_listeners_of_a_service(void **state)
{
	struct test *t = *state;
	struct listener *l = listener_at(t, "127.0.0.1", 64);
	struct listener *other = unix_listener(t, SOCK_STREAM, 64);

	(void)client(t, l, NULL);
	(void)client(t, other, NULL);
	(void)client(t, other, NULL);
	assert_int_equal(look_all(t, l, true), PENDING_UNKNOWN);
	assert_int_equal(look_all(t, l, true), PENDING_SAME);
	accept_one(t, other, true);
	assert_int_equal(look_all(t, l, true), PENDING_TAKEN);
	assert_int_equal(look_all(t, l, true), PENDING_SAME);
}

/* More than one answer of the kernel, or one page of it, has room for. */
static void
test_long_backlog(void **state)
{
	struct test *t = *state;
	struct listener *l[] = { listener_at(t, "127.0.0.1", 2000),
				 unix_listener(t, SOCK_STREAM, 2000) };
	struct rlimit r;
	int n = 1500;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
	r.rlim_cur = r.rlim_max < SOCKETS ? r.rlim_max : SOCKETS;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
	if (r.rlim_cur < 3500)
		skip();
	for (int i = 0; i < 2; i++) {
		for (int j = 0; j < n; j++)
			(void)client(t, l[i], NULL);
		assert_int_equal(look(t, l[i]), PENDING_UNKNOWN);
		assert_int_equal(look(t, l[i]), PENDING_SAME);
		(void)client(t, l[i], NULL);
		accept_one(t, l[i], true);
		assert_int_equal(look(t, l[i]), PENDING_TAKEN);
		assert_int_equal(look(t, l[i]), PENDING_SAME);
	}
}

/* Where something was accepted it is not looked again at once. */
static void
test_looks_are_rare(void **state)
{
	struct test *t = *state;
	struct listener *l = listener_at(t, "127.0.0.1", 64);
	int64_t now = 5000000;

	(void)client(t, l, NULL);
	(void)client(t, l, NULL);
	assert_int_equal(pending_look(l, false, now), PENDING_UNKNOWN);
	accept_one(t, l, true);
	assert_int_equal(pending_look(l, false, now), PENDING_TAKEN);
	assert_int_equal(pending_look(l, false, now + 1), PENDING_TAKEN);
	assert_int_equal(pending_look(l, false, now + 199), PENDING_TAKEN);
	assert_int_equal(pending_look(l, false, now + 10000), PENDING_SAME);
	assert_int_equal(pending_look(l, false, now + 10000), PENDING_SAME);
}

/* More listeners than there is room for: those in use keep their place, and the
 * others get theirs when they are not any more. */
static void
test_table_is_bounded(void **state)
{
	struct test *t = *state;
	struct listener *l[80];
	int64_t now = 5000000;

	for (int i = 0; i < 80; i++) {
		l[i] = unix_listener(t, SOCK_STREAM, 4);
		(void)client(t, l[i], NULL);
		assert_int_equal(pending_look(l[i], false, now), PENDING_UNKNOWN);
	}
	for (int i = 0; i < 80; i++)
		assert_int_equal(pending_look(l[i], false, now),
				 i < 64 ? PENDING_SAME : PENDING_UNKNOWN);
	now += 2000;
	for (int i = 64; i < 80; i++) {
		assert_int_equal(pending_look(l[i], false, now), PENDING_UNKNOWN);
		assert_int_equal(pending_look(l[i], false, now), PENDING_SAME);
	}
}

/* Another socket of the same address and number is another listener. */
static void
test_socket_is_known_by_itself(void **state)
{
	struct test *t = *state;
	struct listener *l = unix_listener(t, SOCK_STREAM, 4);
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	(void)client(t, l, NULL);
	assert_int_equal(look(t, l), PENDING_UNKNOWN);
	assert_int_equal(look(t, l), PENDING_SAME);
	(void)close(l->fd);
	assert_int_equal(look(t, l), PENDING_UNKNOWN);	/* it can't be told */
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(l->fd, (struct sockaddr *)&un, sizeof(un.sun_family)), 0);
	assert_int_equal(listen(l->fd, 4), 0);
	(void)client(t, l, NULL);
	assert_int_equal(look(t, l), PENDING_UNKNOWN);
	assert_int_equal(look(t, l), PENDING_SAME);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_tcp),
		TEST(test_tcp_any),
		TEST(test_tcp6),
		TEST(test_unix),
		TEST(test_neighbours),
		TEST(test_clients_that_leave),
		TEST(test_all_have_left),
		TEST(test_all_listeners_of_a_service),
		TEST(test_long_backlog),
		TEST(test_looks_are_rare),
		TEST(test_table_is_bounded),
		TEST(test_socket_is_known_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
