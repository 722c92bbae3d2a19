/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * PROXY headers: what is one, what is none and is known to be none as soon as
 * that can be told, and that no byte behind one is ever taken for its own.
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

#include "proxyhdr.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* A block of just the size, so that a sanitizer sees each byte read behind. */
static enum proxyhdr_state
parse(const void *bytes, size_t len, struct proxyhdr *ret)
{
	void *copy = malloc(len);
	enum proxyhdr_state s;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	memset(ret, 0xa5, sizeof *ret);
	s = proxyhdr_parse(copy, len, ret);
	free(copy);
	if (s != PROXYHDR_DONE)		/* then nothing is written */
		for (size_t i = 0; i < sizeof *ret; i++)
			assert_int_equal(((unsigned char *)ret)[i], 0xa5);
	return s;
}

/* As it comes in, one byte more each time. */
static enum proxyhdr_state
feed(const void *bytes, size_t len, struct proxyhdr *ret, size_t *ret_at)
{
	for (size_t n = 1; n <= len; n++) {
		enum proxyhdr_state s = parse(bytes, n, ret);

		if (ret_at != NULL)
			*ret_at = n;
		if (s != PROXYHDR_MORE)
			return s;
	}
	return PROXYHDR_MORE;
}

static void
assert_addr(const struct addr *a, const char *want)
{
	char text[ADDR_STRLEN];

	(void)addr_format(a, text, sizeof text);
	assert_string_equal(text, want);
	assert_int_equal(a->scope, 0);
}

static void
assert_same(const struct proxyhdr *a, const struct proxyhdr *b)
{
	assert_int_equal(a->len, b->len);
	assert_int_equal(a->own, b->own);
	assert_true(addr_equal(&a->peer, &b->peer));
	assert_true(addr_equal(&a->local, &b->local));
}

/* A header of len bytes, at once, byte by byte, and with a payload behind it;
 * NULL: the proxy's own. */
static void
good(const void *bytes, size_t len, const char *peer, const char *local)
{
	static const char *const payloads[] = { "G", "\n", "\r\n", "PROXY TCP4 1.2.3.4" };
	struct proxyhdr h, again;
	unsigned char more[70000];

	assert_int_equal(parse(bytes, len, &h), PROXYHDR_DONE);
	assert_int_equal(h.len, len);
	assert_int_equal(h.own, peer == NULL);
	assert_addr(&h.peer, peer == NULL ? "-" : peer);
	assert_addr(&h.local, local == NULL ? "-" : local);
	assert_int_equal(feed(bytes, len, &again, NULL), PROXYHDR_DONE);
	assert_same(&h, &again);
	for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
		size_t n = strlen(payloads[i]);

		memcpy(more, bytes, len);
		memcpy(more + len, payloads[i], n);
		assert_int_equal(parse(more, len + n, &again), PROXYHDR_DONE);
		assert_same(&h, &again);
	}
}

/* None, and whatever follows makes it none; `at`: so many bytes tell. */
static void
bad(const void *bytes, size_t len, size_t at)
{
	unsigned char more[512];
	struct proxyhdr h;
	size_t seen;

	assert_int_equal(parse(bytes, len, &h), PROXYHDR_BAD);
	assert_int_equal(feed(bytes, len, &h, &seen), PROXYHDR_BAD);
	if (at != 0)
		assert_int_equal(seen, at);
	assert_true(len < 256);
	memset(more, '\n', sizeof more);
	memcpy(more, bytes, len);
	assert_int_equal(parse(more, sizeof more, &h), PROXYHDR_BAD);
}

static void
good1(const char *line, const char *peer, const char *local)
{
	good(line, strlen(line), peer, local);
}

static void
bad1(const char *line)
{
	bad(line, strlen(line), 0);
}

static void
test_v1(void **state)
{
	(void)state;
	good1("PROXY TCP4 192.0.2.7 198.51.100.1 4242 443\r\n", "192.0.2.7:4242",
	      "198.51.100.1:443");
	good1("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0", "0.0.0.0:0");
	good1("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
	      "255.255.255.255:65535", "255.255.255.255:65535");
	good1("PROXY TCP6 2001:db8::7 2001:DB8::1 1 65535\r\n", "[2001:db8::7]:1",
	      "[2001:db8::1]:65535");
	good1("PROXY TCP6 :: ::1 0 1\r\n", "[::]:0", "[::1]:1");
	good1("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535\r\n",
	      "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	      "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535");
	good1("PROXY TCP6 2001:0db8:0000:0000:0000:0000:0000:0007 fe80::1 1 2\r\n",
	      "[2001:db8::7]:1", "[fe80::1]:2");
}

/* Written by proxies that listen on sockets of both families. */
static void
test_mapped_addresses_are_ipv4(void **state)
{
	static const unsigned char v2[] = SIGNATURE "\x21\x21\0\x24"
		"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x07"
		"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x01" "\x10\x92\x01\xbb";

	(void)state;
	good1("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:c633:6401 4242 443\r\n", "192.0.2.7:4242",
	      "198.51.100.1:443");
	good1("PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 4242 443\r\n", "192.0.2.7:4242",
	      "[2001:db8::1]:443");
	good(v2, sizeof v2 - 1, "192.0.2.7:4242", "198.51.100.1:443");
}

static void
test_v1_unknown(void **state)
{
	char line[200] = "PROXY UNKNOWN ";

	(void)state;
	good1("PROXY UNKNOWN\r\n", NULL, NULL);
	good1("PROXY UNKNOWN \r\n", NULL, NULL);
	good1("PROXY UNKNOWN ffff:f::1 \t some-thing \x01\xff 99999999\r\n", NULL, NULL);
	memset(line + 14, 'x', 150);
	memcpy(line + 105, "\r\n", 3);
	good1(line, NULL, NULL);		/* 107 bytes are the most */
	memcpy(line + 105, "x\r\n", 4);
	bad1(line);
	bad1("PROXY UNKNOWNX\r\n");
	bad1("PROXY UNKNOWN\n");
	bad1("PROXY UNKNOWN x\n\r\n");
	bad1("PROXY UNKNOWN x\r \r\n");
	bad1("PROXY UNKNOWN x\r\r\n");
	bad1("PROXY unknown\r\n");
}

static void
test_v1_by_the_letter(void **state)
{
	static const char *const lines[] = {
		"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4  1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1  2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4\r\n", "PROXY TCP4 1.2.3.4\r\n", "PROXY TCP4\r\n",
		"PROXY TCP4 \r\n", "PROXY\r\n", "PROXY \r\n", "PROXY TCP\r\n", "PROXY TCP5 ",
		"PROXY TCP4\t1.2.3.4 1.2.3.4 1 2\r\n", "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
		/* numbers */
		"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.00 1.2.3.4 1 2\r\n", "PROXY TCP4 256.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4.5 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1..3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 .1.2.3 1.2.3.4 1 2\r\n",
		"PROXY TCP4 0x1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 16909060 1.2.3.4 1 2\r\n",
		"PROXY TCP4 +1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 00 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 02\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 100000 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 0x2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 a 2\r\n",
		/* families */
		"PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP6 ::1 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
		"PROXY TCP6 ::1%1 ::1 1 2\r\n", "PROXY TCP6 [::1] ::1 1 2\r\n",
		"PROXY TCP6 1::2::3 ::1 1 2\r\n", "PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n",
		"PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n", "PROXY TCP6 12345::1 ::1 1 2\r\n",
		"PROXY TCP6 ::g ::1 1 2\r\n", "PROXY TCP6 : ::1 1 2\r\n",
		"PROXY TCP6 ::ffff:1.2.3.04 ::1 1 2\r\n", "PROXY TCP6 ::ffff:1.2.3 ::1 1 2\r\n",
		"GET / HTTP/1.0\r\n\r\n", "SSH-2.0-x\r\n", " PROXY TCP4 ", "\n", "\rx",
	};

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		const char *line = lines[i];
		struct proxyhdr h;

		if (line[strlen(line) - 1] == '\r')	/* a lone one: no matter what follows */
			assert_int_equal(parse(line, strlen(line), &h), PROXYHDR_MORE);
		else
			bad1(line);
	}
	bad("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n", 34, 19);
	bad("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rX", 32, 32);
	bad("\0", 1, 1);
}

/* It is told by the first byte that can't be, not only by the line's end. */
static void
test_v1_is_refused_early(void **state)
{
	char line[300];

	(void)state;
	bad("X", 1, 1);
	bad("PROXX", 5, 5);
	bad("PROXY TCQ", 9, 9);
	bad("PROXY TCP4 a", 12, 12);
	bad("PROXY TCP4 300.1.1.1 ", 21, 21);
	bad("PROXY TCP4 1111111111111111", 27, 27);
	bad("PROXY TCP4 1.2.3.4 1.2.3.4 123456", 33, 33);
	memset(line, '0', sizeof line);
	memcpy(line, "PROXY TCP6 ", 11);
	bad(line, 200, 57);
	memcpy(line, "PROXY UNKNOWN ", 14);
	bad(line, 200, 107);
}

static void
test_truncations_want_more(void **state)
{
	static const unsigned char v2[] = SIGNATURE "\x21\x11\0\x0c" "\1\2\3\4\5\6\7\x08\0\1\0\2";
	static const char *const lines[] = {
		"PROXY TCP4 192.0.2.7 198.51.100.1 4242 443\r\n", "PROXY UNKNOWN a b\r\n",
		"PROXY TCP6 2001:db8::7 ::ffff:1.2.3.4 4242 443\r\n",
	};
	struct proxyhdr h;

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		for (size_t n = 1; n < strlen(lines[i]); n++)
			assert_int_equal(parse(lines[i], n, &h), PROXYHDR_MORE);
	for (size_t n = 1; n < sizeof v2 - 1; n++)
		assert_int_equal(parse(v2, n, &h), PROXYHDR_MORE);
}

/* Version 2: a header with `room` bytes behind its 16, of which the first
 * are given. */
static size_t
make2(unsigned char *buf, unsigned command, unsigned family, uint16_t room, const void *first,
      size_t first_len)
{
	memcpy(buf, SIGNATURE, 12);
	buf[12] = (unsigned char)command;
	buf[13] = (unsigned char)family;
	buf[14] = (unsigned char)(room >> 8);
	buf[15] = (unsigned char)room;
	memset(buf + 16, 0x5a, room);
	if (first_len > 0)
		memcpy(buf + 16, first, first_len);
	return 16u + room;
}

static const unsigned char inet[12] = {
	192, 0, 2, 7, 198, 51, 100, 1, 0x10, 0x92, 0x01, 0xbb
};
static const unsigned char inet6[36] = {
	0x20, 0x01, 0x0d, 0xb8, [15] = 7, 0x20, 0x01, 0x0d, 0xb8, [31] = 1, 0x10, 0x92, 0x01, 0xbb
};

static void
test_v2(void **state)
{
	unsigned char buf[1024];
	size_t n;

	(void)state;
	n = make2(buf, 0x21, 0x11, 12, inet, sizeof inet);
	good(buf, n, "192.0.2.7:4242", "198.51.100.1:443");
	n = make2(buf, 0x21, 0x21, 36, inet6, sizeof inet6);
	good(buf, n, "[2001:db8::7]:4242", "[2001:db8::1]:443");
}

/* LOCAL, UNSPEC and UNIX: own; known as soon as their length is. */
static void
test_v2_own(void **state)
{
	static const struct {
		unsigned command, family;
		uint16_t room;
	} cases[] = {
		{ 0x20, 0x00, 0 }, { 0x20, 0x00, 12 }, { 0x20, 0x11, 0 }, { 0x20, 0x11, 12 },
		{ 0x20, 0x12, 12 }, { 0x20, 0xff, 3 }, { 0x20, 0x21, 65535 },
		{ 0x21, 0x00, 0 }, { 0x21, 0x01, 0 }, { 0x21, 0x00, 999 }, { 0x21, 0x31, 216 },
		{ 0x21, 0x31, 217 }, { 0x21, 0x31, 65535 },
	};
	static unsigned char buf[70000];
	struct proxyhdr h;
	size_t at;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t n = make2(buf, cases[i].command, cases[i].family, cases[i].room, NULL, 0);

		assert_int_equal(feed(buf, n, &h, &at), PROXYHDR_DONE);
		assert_int_equal(at, 16);
		assert_int_equal(h.len, n);
		assert_true(h.own);
		assert_addr(&h.peer, "-");
		assert_addr(&h.local, "-");
		if (n < 1000)
			good(buf, n, NULL, NULL);
	}
}

/* Extensions count to the header, and are not looked at. */
static void
test_v2_extensions(void **state)
{
	static const uint16_t rooms[] = { 13, 15, 37, 52, 256, 300, 536, 4096, 65535 };
	static unsigned char buf[70000];
	struct proxyhdr h;
	size_t at;

	(void)state;
	for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
		size_t n = make2(buf, 0x21, 0x11, rooms[i], inet, sizeof inet);

		assert_int_equal(feed(buf, n, &h, &at), PROXYHDR_DONE);
		assert_int_equal(at, 28);
		assert_int_equal(h.len, n);
		assert_addr(&h.peer, "192.0.2.7:4242");
		if (rooms[i] < 36)
			continue;
		n = make2(buf, 0x21, 0x21, rooms[i], inet6, sizeof inet6);
		assert_int_equal(feed(buf, n, &h, &at), PROXYHDR_DONE);
		assert_int_equal(at, 52);
		assert_int_equal(h.len, n);
		assert_addr(&h.local, "[2001:db8::1]:443");
	}
}

/* Less than the family's addresses. */
static void
test_v2_forged_lengths(void **state)
{
	static const struct {
		unsigned family;
		uint16_t room;
	} cases[] = { { 0x11, 12 }, { 0x21, 36 }, { 0x31, 216 } };
	unsigned char buf[512];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		for (uint16_t room = 0; room < cases[i].room; room++) {
			(void)make2(buf, 0x21, cases[i].family, room, NULL, 0);
			bad(buf, 16, 16);
		}
}

static void
test_v2_every_command_and_family(void **state)
{
	unsigned char buf[512];
	struct proxyhdr h;

	(void)state;
	for (unsigned command = 0; command < 256; command++)
		for (unsigned family = 0; family < 256; family++) {
			bool fine = command == 0x20 ||
				    (command == 0x21 && (family <= 0x01 || family == 0x11 ||
							 family == 0x21 || family == 0x31));
			size_t n = make2(buf, command, family, 256, NULL, 0), at;

			assert_int_equal(feed(buf, n, &h, &at), fine ? PROXYHDR_DONE : PROXYHDR_BAD);
			if (!fine)
				assert_int_equal(at, command >> 1 == 0x10 ? 14 : 13);
		}
}

static void
test_v2_signature(void **state)
{
	unsigned char buf[64];

	(void)state;
	for (size_t i = 0; i < 12; i++)
		for (unsigned bit = 1; bit < 256; bit <<= 1) {
			(void)make2(buf, 0x21, 0x11, 12, inet, sizeof inet);
			buf[i] ^= (unsigned char)bit;
			bad(buf, 28, i + 1);
		}
}

static uint32_t seed = 7;

static unsigned
rnd(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

/* Headers with some bytes changed: at once or byte by byte, the same. */
static void
test_garbage(void **state)
{
	static const char line[] = "PROXY TCP6 2001:db8::7 ::ffff:1.2.3.4 4242 443\r\n";
	static const char unknown[] = "PROXY UNKNOWN 1\r\n and what follows it, and so on";
	unsigned char buf[128];

	(void)state;
	for (int i = 0; i < 30000; i++) {
		struct proxyhdr a, b;
		size_t n, at;

		switch (rnd(3)) {
		case 0:
			n = sizeof line - 1;
			memcpy(buf, line, n);
			break;
		case 1:
			n = sizeof unknown - 1;
			memcpy(buf, unknown, n);
			break;
		default:
			n = make2(buf, 0x20 + rnd(2), 0x10 * rnd(4) + rnd(2), (uint16_t)(36 + rnd(20)), inet6,
				  sizeof inet6);
		}
		for (unsigned k = rnd(3); k > 0; k--)
			buf[rnd((unsigned)n)] = (unsigned char)rnd(256);
		assert_int_equal(parse(buf, n, &a), feed(buf, n, &b, &at));
		if (parse(buf, n, &a) == PROXYHDR_DONE)
			assert_same(&a, &b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1),
		cmocka_unit_test(test_mapped_addresses_are_ipv4),
		cmocka_unit_test(test_v1_unknown),
		cmocka_unit_test(test_v1_by_the_letter),
		cmocka_unit_test(test_v1_is_refused_early),
		cmocka_unit_test(test_truncations_want_more),
		cmocka_unit_test(test_v2),
		cmocka_unit_test(test_v2_own),
		cmocka_unit_test(test_v2_extensions),
		cmocka_unit_test(test_v2_forged_lengths),
		cmocka_unit_test(test_v2_every_command_and_family),
		cmocka_unit_test(test_v2_signature),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
