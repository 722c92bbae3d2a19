/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What stands between a connection and its service: PROXY headers, the line of
 * tcpmux, greetings.  Above all: no byte of the service's own is taken away.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "talker_rig.h"

#include "drain.h"
#include "muxtab.h"
#include "prefix.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define LINE "PROXY TCP4 192.0.2.7 198.51.100.1 4242 443\r\n"

struct test {
	struct rig *rig;
	struct drains *drains;
	struct muxtab *mux;
	struct prefixes prefixes;
	int master;			/* the master's own of the last connection, or -1 */
};

static int
setup(void **state)
{
	struct test *t = calloc(1, sizeof *t);

	assert_non_null(t);
	t->rig = rig_new();
	t->drains = drains_new(t->rig->ev, &t->rig->scratch);
	t->mux = muxtab_new();
	assert_non_null(t->drains);
	assert_non_null(t->mux);
	t->prefixes = (struct prefixes){
		.visits = { t->rig->ev, t->rig->slots, &t->rig->scratch, t->drains },
		.mux = t->mux,
	};
	t->master = -1;
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct test *t = *state;

	rig_end_slots(t->rig);
	drains_free(t->drains);
	muxtab_free(t->mux);
	rig_free(t->rig);
	if (t->master >= 0)
		close(t->master);
	free(t);
	return 0;
}

/* A connection: the client's end is returned, t->master is the master's and the
 * last a copy for the talker. */
static int
make_pair(struct test *t, int *ret_copy)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv),
			 0);
	if (t->master >= 0)
		close(t->master);
	t->master = sv[1];
	*ret_copy = fcntl(sv[1], F_DUPFD_CLOEXEC, 0);
	assert_true(*ret_copy >= 0);
	return sv[0];
}

static void
begin(struct test *t, uint32_t what, uint32_t slot, uint32_t timeout_ms, int fd)
{
	struct msg_prefix m = { .slot = slot, .generation = 100 + slot, .what = what,
				.timeout_ms = timeout_ms };

	assert_int_equal(prefix_read(&t->prefixes, &m, fd), 0);
}

static int
open_prefix(struct test *t, uint32_t what, uint32_t timeout_ms)
{
	int copy, fd = make_pair(t, &copy);

	begin(t, what, 1, timeout_ms, copy);
	return fd;
}

static void
put(int fd, const void *bytes, size_t len)
{
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

static struct msg_passed
passed(struct test *t, enum passed result)
{
	struct msg_passed m = rig_message(t->rig, MSG_PASSED).passed;

	assert_int_equal(m.slot, 1);
	assert_int_equal(m.generation, 101);
	assert_int_equal(m.result, result);
	assert_int_equal(slots_held(t->rig->slots), 0);
	return m;
}

static void
assert_addr(const struct addr *a, const char *want)
{
	char text[ADDR_STRLEN];

	(void)addr_format(a, text, sizeof text);
	assert_string_equal(text, want);
}

/* The master's end still has just this to read, the connection is open both ways,
 * and there is no other copy of it left. */
static void
assert_untouched(struct test *t, int client, const char *payload)
{
	char buf[256];
	ssize_t n = recv(t->master, buf, sizeof buf, MSG_DONTWAIT);

	if (*payload == '\0') {
		assert_int_equal(n, -1);
		assert_int_equal(errno, EAGAIN);
	} else {
		assert_int_equal(n, strlen(payload));
		assert_memory_equal(buf, payload, strlen(payload));
	}
	put(t->master, "down", 4);
	assert_int_equal(recv(client, buf, sizeof buf, MSG_DONTWAIT), 4);
	put(client, "up", 2);
	assert_int_equal(recv(t->master, buf, sizeof buf, MSG_DONTWAIT), 2);
	close(t->master);
	t->master = -1;
	assert_int_equal(recv(client, buf, sizeof buf, MSG_DONTWAIT), 0);
}

static int64_t
cpu_ms(void)
{
	struct rusage u;

	assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

/* PROXY */

static size_t
header2(unsigned char *buf, unsigned command, unsigned family, size_t room)
{
	static const unsigned char inet[] = {
		192, 0, 2, 7, 198, 51, 100, 1, 0x10, 0x92, 0x01, 0xbb
	};

	memcpy(buf, SIGNATURE, 12);
	buf[12] = (unsigned char)command;
	buf[13] = (unsigned char)family;
	buf[14] = (unsigned char)(room >> 8);
	buf[15] = (unsigned char)room;
	memset(buf + 16, 0, room);
	if (family == 0x11)
		memcpy(buf + 16, inet, sizeof inet);
	return 16 + room;
}

static void
test_proxy_is_there_already(void **state)
{
	struct test *t = *state;
	struct msg_passed m;
	int copy, fd = make_pair(t, &copy);

	put(fd, LINE "hello", strlen(LINE "hello"));
	begin(t, PREFIX_PROXY, 1, 1000, copy);
	m = passed(t, PASSED_OK);
	assert_addr(&m.peer, "192.0.2.7:4242");
	assert_addr(&m.local, "198.51.100.1:443");
	assert_int_equal(m.service, UINT32_MAX);
	assert_untouched(t, fd, "hello");
	close(fd);
}

/* Header and payload however they come. */
static void
deliver(struct test *t, const unsigned char *header, size_t len, size_t step, bool own)
{
	static unsigned char all[66000];
	struct msg_passed m;
	int fd = open_prefix(t, PREFIX_PROXY, 10000);

	memcpy(all, header, len);
	memcpy(all + len, "payload", 7);
	for (size_t at = 0; at < len + 7; at += step) {
		put(fd, all + at, at + step < len + 7 ? step : len + 7 - at);
		rig_run(t->rig, 0);
	}
	m = passed(t, own ? PASSED_OWN : PASSED_OK);
	assert_addr(&m.peer, own ? "-" : "192.0.2.7:4242");
	assert_addr(&m.local, own ? "-" : "198.51.100.1:443");
	assert_untouched(t, fd, "payload");
	close(fd);
}

static void
test_proxy_in_pieces(void **state)
{
	static const size_t steps[] = { 1, 2, 3, 7, 13, 100, 1000 };
	static const char unknown[] = "PROXY UNKNOWN\r\n";
	unsigned char buf[1024];

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		deliver(*state, (const unsigned char *)LINE, strlen(LINE), steps[i], false);
		deliver(*state, (const unsigned char *)unknown, strlen(unknown), steps[i], true);
		deliver(*state, buf, header2(buf, 0x21, 0x11, 12), steps[i], false);
		deliver(*state, buf, header2(buf, 0x21, 0x11, 300), steps[i], false);
		deliver(*state, buf, header2(buf, 0x20, 0x00, 0), steps[i], true);
		deliver(*state, buf, header2(buf, 0x21, 0x31, 216), steps[i], true);
	}
}

static void
test_proxy_longest_extensions(void **state)
{
	static const size_t steps[] = { 200, 4096, 30000, 70000 };
	static unsigned char buf[66000];

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		deliver(*state, buf, header2(buf, 0x21, 0x11, 65535), steps[i], false);
		deliver(*state, buf, header2(buf, 0x20, 0x11, 65535), steps[i], true);
	}
}

static void
test_proxy_bad(void **state)
{
	static const char *const bad[] = {
		"GET / HTTP/1.0\r\n\r\n", "PROXY TCP4 192.0.2.7 198.51.100.1 4242 443\n", "\n",
		"PROXY TCP4 192.0.2.07 198.51.100.1 4242 443\r\n", "\r\n\r\nx",
	};
	struct test *t = *state;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int fd = open_prefix(t, PREFIX_PROXY, 10000);
		struct msg_passed m;
		char c;

		put(fd, bad[i], strlen(bad[i]));
		m = passed(t, PASSED_BAD);
		assert_addr(&m.peer, "-");
		/* the end is the master's business; nothing is said */
		assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), -1);
		close(fd);
	}
}

static void
test_proxy_cut_off(void **state)
{
	struct test *t = *state;
	unsigned char buf[1024];
	size_t n = header2(buf, 0x21, 0x11, 100);

	for (size_t len = 0; len < strlen(LINE); len++) {
		int fd = open_prefix(t, PREFIX_PROXY, 10000);

		put(fd, LINE, len);
		close(fd);
		(void)passed(t, PASSED_EOF);
	}
	for (size_t len = 0; len < n; len++) {
		int fd = open_prefix(t, PREFIX_PROXY, 10000);
		struct msg_passed m;

		put(fd, buf, len);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		m = passed(t, PASSED_EOF);
		assert_addr(&m.peer, "-");
		assert_addr(&m.local, "-");
		close(fd);
	}
}

static void
test_proxy_reset(void **state)
{
	struct test *t = *state;
	int fd = open_prefix(t, PREFIX_PROXY, 10000);

	put(fd, "PROXY", 5);
	put(t->master, "unread", 6);
	close(fd);			/* with unread data: a reset */
	(void)passed(t, PASSED_EOF);
}

/* The deadline is for all of it, however busily the peer sends, and meanwhile
 * nothing spins. */
static void
test_proxy_slow_until_the_time_is_over(void **state)
{
	struct test *t = *state;
	static unsigned char buf[66000];
	size_t n = header2(buf, 0x21, 0x11, 65535), at = 28;
	int64_t begin_ms, begin_cpu;
	struct msg_passed m;
	int fd;

	rig_run(t->rig, 1);
	begin_ms = ev_now_ms(t->rig->ev);
	begin_cpu = cpu_ms();
	fd = open_prefix(t, PREFIX_PROXY, 400);
	put(fd, buf, at);
	while (!rig_has(t->rig, MSG_PASSED) && at < n) {
		put(fd, buf + at++, 1);
		rig_run(t->rig, 10);
	}
	m = passed(t, PASSED_TIMEOUT);
	assert_addr(&m.peer, "-");
	assert_in_range(ev_now_ms(t->rig->ev) - begin_ms, 400, 2500);
	close(fd);

	fd = open_prefix(t, PREFIX_PROXY, 400);
	put(fd, "PROXY TCP4 192.", 15);		/* and no more */
	(void)passed(t, PASSED_TIMEOUT);
	close(fd);
	fd = open_prefix(t, PREFIX_PROXY, 50);	/* nothing at all */
	(void)passed(t, PASSED_TIMEOUT);
	close(fd);
	assert_true(cpu_ms() - begin_cpu < 300);
}

/* A peer that the master has closed while we waited. */
static void
test_closed_by_the_master(void **state)
{
	struct test *t = *state;
	int fd = open_prefix(t, PREFIX_PROXY, 10000);
	struct msg_ended m;

	put(fd, "PROXY", 5);
	rig_run(t->rig, 5);
	slots_close(t->rig->slots, 1, 77);	/* another generation */
	assert_int_equal(slots_held(t->rig->slots), 1);
	slots_close(t->rig->slots, 1, 101);
	m = rig_message(t->rig, MSG_ENDED).ended;
	assert_int_equal(m.slot, 1);
	assert_int_equal(m.generation, 101);
	assert_int_equal(m.error, ECANCELED);
	assert_false(rig_has(t->rig, MSG_PASSED));
	assert_int_equal(slots_held(t->rig->slots), 0);
	close(fd);
	fd = open_prefix(t, PREFIX_PROXY, 10000);	/* and one is left to the teardown */
	close(fd);
}

/* tcpmux */

static void
enter(struct test *t, const char *name, uint32_t service, uint32_t plus)
{
	struct msg_mux m = { .service = service, .plus = plus, .len = (uint32_t)strlen(name) };

	memcpy(m.name, name, m.len);
	assert_int_equal(muxtab_set(t->mux, &m), 0);
}

static void
expect_last_words(struct test *t, int fd, const char *text)
{
	char buf[256];

	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
	assert_int_equal(rig_read(t->rig, fd, buf, sizeof buf), 0);
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
	expect_last_words(t, fd, "-Service not available\r\n");
	put(fd, "and more", 8);
	assert_false(rig_has(t->rig, MSG_PASSED));
	close(fd);
	m = passed(t, PASSED_UNKNOWN);
	assert_int_equal(m.service, UINT32_MAX);

	fd = open_prefix(t, PREFIX_TCPMUX, 10000);
	put(fd, "\x16\x03\x01", 3);
	expect_last_words(t, fd, "-Bad request\r\n");
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
	expect_last_words(t, fd, "-Service not available\r\n");
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
	expect_last_words(t, fd, "");	/* no names at all */
	close(fd);
	(void)passed(t, PASSED_DONE);
	enter(t, "zebra", 1, 0);
	enter(t, "ant", 2, 1);
	enter(t, "help", 3, 0);		/* is never asked for */
	fd = open_prefix(t, PREFIX_TCPMUX, 10000);
	put(fd, "HeLp\r\n", 6);
	expect_last_words(t, fd, "zebra\r\nant\r\nhelp\r\n");
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
	slots_close(t->rig->slots, 1, 101);
	assert_int_equal(rig_message(t->rig, MSG_ENDED).ended.error, ECANCELED);
	close(fd);
	fd = open_prefix(t, PREFIX_TCPMUX, 10000);
	put(fd, "nothing\r\n", 9);		/* draining */
	expect_last_words(t, fd, "-Service not available\r\n");
	slots_close(t->rig->slots, 1, 101);
	assert_int_equal(rig_message(t->rig, MSG_ENDED).ended.error, ECANCELED);
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

/* Greetings */

static void
greet(struct test *t, const char *text, size_t len, uint32_t timeout_ms, int fd)
{
	struct msg_greet m = { .slot = 1, .generation = 101, .timeout_ms = timeout_ms,
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

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
		if (i % 2 == 0)
			put(sv[0], LINE, strlen(LINE));
		begin(t, PREFIX_PROXY, i, 10000, i % 5 == 4 ? -1 : sv[1]);
		if (i % 5 == 4)
			close(sv[1]);
		slots_close(r->slots, i, 100 + i);	/* the odd ones; else it is over */
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
			assert_int_equal(m->ended.generation, 100 + i);
			assert_int_equal(m->ended.error, ECANCELED);
		} else {
			assert_int_equal(m->head.type, MSG_PASSED);
			assert_true(i % 2 == 0 || i % 5 == 4);
			assert_int_equal(m->passed.slot, i);
			assert_int_equal(m->passed.generation, 100 + i);
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
		TEST(test_proxy_is_there_already),
		TEST(test_proxy_in_pieces),
		TEST(test_proxy_longest_extensions),
		TEST(test_proxy_bad),
		TEST(test_proxy_cut_off),
		TEST(test_proxy_reset),
		TEST(test_proxy_slow_until_the_time_is_over),
		TEST(test_closed_by_the_master),
		TEST(test_mux_finds_the_service),
		TEST(test_mux_unknown_and_bad),
		TEST(test_mux_drains_in_bounds),
		TEST(test_mux_help),
		TEST(test_mux_help_for_a_slow_reader),
		TEST(test_mux_closed_by_the_master),
		TEST(test_greet),
		TEST(test_greet_a_slow_reader),
		TEST(test_greet_fails),
		TEST(test_S9_no_descriptor_left),
		TEST(test_bad_messages),
		TEST(test_answers_wait_for_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
