/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * PROXY headers before a service's own bytes: whole, in pieces, wrong, cut off,
 * late.  Above all: no byte of the service's own is taken away.
 */
#include "config.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "prefix_rig.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static int64_t
cpu_ms(void)
{
	struct rusage u;

	assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
