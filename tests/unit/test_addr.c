/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Addresses: text, the kernel's form, masks.
 */
#include "config.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "addr.h"

static struct addr
parse(const char *text)
{
	struct addr a;

	if (addr_parse(text, &a) < 0)
		fail_msg("%s is not parsed", text);
	return a;
}

static const char *
ip(const struct addr *a)
{
	static char buf[ADDR_STRLEN];
	size_t len = addr_format_ip(a, buf, sizeof buf);

	assert_int_equal(len, strlen(buf));
	return buf;
}

static const char *
full(const struct addr *a)
{
	static char buf[ADDR_STRLEN];
	size_t len = addr_format(a, buf, sizeof buf);

	assert_int_equal(len, strlen(buf));
	return buf;
}

static void
test_parse_and_format(void **state)
{
	static const char *const same[] = {
		"0.0.0.0", "192.0.2.7", "255.255.255.255", "::", "::1", "2001:db8::1",
		"1::", "2001:db8:0:1:1:1:1:1", "2001:db8::1:0:0:1", "2001:0:0:1::1",
		"1:2:3:4:5:6:7:8", "fe80::1%4294967295", "ff02::1%3", "::2:3:4:5:6:7:8",
		"1:2:3:4:5:6:7::",
	};
	struct addr a;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof same / sizeof *same; i++) {
		a = parse(same[i]);
		/* RFC 5952, section 4.2.2: one zero group is not shortened. */
		if (strcmp(same[i], "::2:3:4:5:6:7:8") == 0)
			assert_string_equal(ip(&a), "0:2:3:4:5:6:7:8");
		else if (strcmp(same[i], "1:2:3:4:5:6:7::") == 0)
			assert_string_equal(ip(&a), "1:2:3:4:5:6:7:0");
		else
			assert_string_equal(ip(&a), same[i]);
		assert_int_equal(a.port, 0);
	}
}

/* What we write is what inet_ntop writes. */
static void
test_format_like_inet_ntop(void **state)
{
	struct addr a = { .family = AF_INET6 };
	char text[INET6_ADDRSTRLEN];
	unsigned i, bit;

	(void)state;
	for (i = 0; i < 0x10000; i++) {
		memset(a.ip, 0, sizeof a.ip);
		for (bit = 0; bit < 16; bit++)	/* not ::a.b.c.d, which inet_ntop dots */
			a.ip[bit] = (uint8_t)((i >> bit & 1) * (bit * 17 + 1));
		if (memcmp(a.ip, "\0\0\0\0\0\0\0\0\0\0", 10) == 0)
			continue;
		assert_non_null(inet_ntop(AF_INET6, a.ip, text, sizeof text));
		assert_string_equal(ip(&a), text);
	}
}

static void
test_parse_refuses(void **state)
{
	static const char *const bad[] = {
		"", " ", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ", " 1.2.3.4", "01.2.3.4",
		"0x7f.1.1.1", "1.2.3.4:80", "1.2.3.4%1", "[::1]", "[::1]:80", "::1%", ":::", "1:2",
		"fe80::1%4294967296", "fe80::1%99999999999999999999", "fe80::1%no-such-interface",
		"fe80::1%1%1", "::ffff:1.2.3.4%1", "localhost", "::g", "1:2:3:4:5:6:7:8:9",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
	};
	struct addr a = { .family = 4711 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof bad / sizeof *bad; i++)
		if (addr_parse(bad[i], &a) == 0)
			fail_msg("\"%s\" is parsed", bad[i]);
	assert_int_equal(a.family, 4711);
}

static void
test_scope(void **state)
{
	char name[IF_NAMESIZE], text[64];
	struct addr a = parse("fe80::1%7"), b = parse("fe80::1%8");

	(void)state;
	assert_int_equal(a.scope, 7);
	assert_false(addr_equal(&a, &b));
	b.scope = 7;
	assert_true(addr_equal(&a, &b));

	a = parse("2001:db8::1%7");	/* means nothing there: not shown */
	assert_string_equal(ip(&a), "2001:db8::1");
	if (if_indextoname(1, name) != NULL) {
		(void)snprintf(text, sizeof text, "fe80::1%%%s", name);
		a = parse(text);
		assert_int_equal(a.scope, 1);
	}
}

static void
test_v4_mapped_is_v4(void **state)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(4242) };
	struct addr a = parse("::ffff:192.0.2.7"), b = parse("192.0.2.7");

	(void)state;
	assert_int_equal(a.family, AF_INET);
	assert_true(addr_equal(&a, &b));
	assert_memory_equal(&a, &b, sizeof a);

	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.7", &in6.sin6_addr), 1);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&in6, sizeof in6, &a), 0);
	assert_string_equal(full(&a), "192.0.2.7:4242");
	b.port = 4242;
	assert_memory_equal(&a, &b, sizeof a);
}

static void
test_sockaddr_and_back(void **state)
{
	struct sockaddr_storage ss;
	struct addr a = parse("fe80::7%3"), b;
	socklen_t len;

	(void)state;
	a.port = 65535;
	len = addr_to_sockaddr(&a, &ss);
	assert_int_equal(len, sizeof(struct sockaddr_in6));
	assert_int_equal(ss.ss_family, AF_INET6);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, len, &b), 0);
	assert_true(addr_equal(&a, &b));
	assert_string_equal(full(&b), "[fe80::7%3]:65535");

	a = parse("198.51.100.1");
	a.port = 1;
	len = addr_to_sockaddr(&a, &ss);
	assert_int_equal(len, sizeof(struct sockaddr_in));
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, len, &b), 0);
	assert_true(addr_equal(&a, &b));
	assert_string_equal(full(&b), "198.51.100.1:1");

	b.port = 2;
	assert_false(addr_equal(&a, &b));
	b = (struct addr){ .family = AF_UNIX };
	assert_int_equal(addr_to_sockaddr(&b, &ss), 0);
	assert_false(addr_equal(&a, &b));
}

static void
test_sockaddr_too_short_or_foreign(void **state)
{
	struct sockaddr_storage ss = { .ss_family = AF_INET6 };
	const struct addr none = { 0 };
	struct addr a;

	(void)state;
	memset(&a, 0xff, sizeof a);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, 8, &a), -1);
	assert_memory_equal(&a, &none, sizeof a);
	ss.ss_family = AF_INET;
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, 15, &a), -1);
	ss.ss_family = AF_APPLETALK;
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, sizeof ss, &a), -1);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, 0, &a), -1);
	assert_string_equal(full(&a), "-");
	assert_string_equal(ip(&a), "");
}

static void
test_unix_credentials(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct addr a, b;

	(void)state;
	/* A client's socket has no name: nothing but the family is there. */
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&un, sizeof(sa_family_t), &a), 0);
	a.cred.pid = 311;
	a.cred.uid = 4294967295;
	a.cred.gid = 100;
	assert_string_equal(full(&a), "unix:uid=4294967295");
	assert_string_equal(ip(&a), "");
	b = a;
	b.cred.pid = 312;
	assert_false(addr_equal(&a, &b));
	addr_mask(&a, 64);
	addr_mask(&b, 64);
	assert_true(addr_equal(&a, &b));
	assert_int_equal(a.cred.uid, 4294967295);
	assert_int_equal(a.cred.gid, 0);
}

static void
check_mask(const char *text, unsigned bits, const char *want)
{
	struct addr a = parse(text), b = parse(want);

	a.port = 4242;
	if (a.family == AF_INET6)
		a.scope = 3;
	addr_mask(&a, bits);
	assert_memory_equal(&a, &b, sizeof a);
}

static void
test_mask(void **state)
{
	(void)state;
	check_mask("192.0.2.255", 32, "192.0.2.255");
	check_mask("192.0.2.255", 31, "192.0.2.254");
	check_mask("192.0.2.255", 25, "192.0.2.128");
	check_mask("192.0.2.255", 24, "192.0.2.0");
	check_mask("255.255.255.255", 13, "255.248.0.0");
	check_mask("255.255.255.255", 1, "128.0.0.0");
	check_mask("255.255.255.255", 0, "0.0.0.0");
	check_mask("192.0.2.7", 4000000000, "192.0.2.7");
	check_mask("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 64, "2001:db8:ffff:ffff::");
	check_mask("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 57, "2001:db8:ffff:ff80::");
	check_mask("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 127,
	    "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe");
	check_mask("2001:db8::1", 128, "2001:db8::1");
	check_mask("2001:db8::1", 129, "2001:db8::1");
	check_mask("2001:db8::1", 0, "::");
}

static void
test_longest_fits(void **state)
{
	struct addr a = { .family = AF_INET6, .port = 65535, .scope = UINT32_MAX };
	char buf[8];

	(void)state;
	memset(a.ip, 0xff, sizeof a.ip);
	a.ip[0] = 0xfe;
	a.ip[1] = 0xbf;
	assert_string_equal(full(&a), "[febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
	assert_int_equal(addr_format(&a, buf, sizeof buf), 7);
	assert_string_equal(buf, "[febf:f");
	assert_int_equal(addr_format(&a, buf, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_and_format),
		cmocka_unit_test(test_format_like_inet_ntop),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_scope),
		cmocka_unit_test(test_v4_mapped_is_v4),
		cmocka_unit_test(test_sockaddr_and_back),
		cmocka_unit_test(test_sockaddr_too_short_or_foreign),
		cmocka_unit_test(test_unix_credentials),
		cmocka_unit_test(test_mask),
		cmocka_unit_test(test_longest_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
