/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Unit tests of listen.c. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "listen.h"

static struct arena *arena;

static int
setup(void **state)
{
	(void)state;
	arena = arena_new();
	return arena ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static void
assert_inet(const char *text, enum conf_proto proto, const char *host, int port, int last)
{
	struct conf_listen l;
	const char *why;

	memset(&l, 0xff, sizeof(l));
	why = listen_parse(arena, text, false, &l);
	if (why)
		fail_msg("%s: %s", text, why);
	assert_string_equal(l.text, text);
	assert_int_equal(l.proto, proto);
	assert_null(l.path);
	assert_int_equal(l.line, 0);
	assert_int_equal(l.port, port);
	assert_int_equal(l.port_last, last);
	if (host)
		assert_string_equal(l.host, host);
	else
		assert_null(l.host);
}

static void
assert_unix(const char *text, enum conf_proto proto, const char *path)
{
	struct conf_listen l;

	assert_null(listen_parse(arena, text, false, &l));
	assert_int_equal(l.proto, proto);
	assert_string_equal(l.path, path);
	assert_null(l.host);
	assert_int_equal(l.port, 0);
}

static void
assert_refused(const char *text, const char *part)
{
	struct conf_listen l, before;
	const char *why;

	memset(&l, 0x55, sizeof(l));
	before = l;
	why = listen_parse(arena, text, false, &l);
	if (!why)
		fail_msg("%s: accepted", text);
	if (!strstr(why, part))
		fail_msg("%s: \"%s\" says nothing of \"%s\"", text, why, part);
	assert_memory_equal(&l, &before, sizeof(l));
}

static void
test_inet(void **state)
{
	(void)state;
	assert_inet("tcp:80", CONF_TCP, NULL, 80, 80);
	assert_inet("tcp:0", CONF_TCP, NULL, 0, 0);
	assert_inet("udp:65535", CONF_UDP, NULL, 65535, 65535);
	assert_inet("tcp:127.0.0.1:80", CONF_TCP, "127.0.0.1", 80, 80);
	assert_inet("tcp4:127.0.0.1:7000-7010", CONF_TCP4, "127.0.0.1", 7000, 7010);
	assert_inet("tcp:[::1]:80", CONF_TCP, "::1", 80, 80);
	assert_inet("tcp6:[2001:db8::7]:0", CONF_TCP6, "2001:db8::7", 0, 0);
	assert_inet("udp6:53", CONF_UDP6, NULL, 53, 53);
	assert_inet("udp4:0.0.0.0:53", CONF_UDP4, "0.0.0.0", 53, 53);
	assert_inet("tcp:localhost:0", CONF_TCP, "localhost", 0, 0);
	assert_inet("tcp:[0::1]:80", CONF_TCP, "::1", 80, 80);
	assert_inet("tcp:[2001:DB8:0::1]:80", CONF_TCP, "2001:db8::1", 80, 80);
	assert_inet("tcp:[FE80::1%7]:80", CONF_TCP, "fe80::1%7", 80, 80);
	assert_inet("tcp:[2001:db8::1%7]:80", CONF_TCP, "2001:db8::1%7", 80, 80);
	assert_inet("tcp:a-b.example_1.org:1-64", CONF_TCP, "a-b.example_1.org", 1, 64);
	assert_inet("tcp:3com.example:80-80", CONF_TCP, "3com.example", 80, 80);
}

static void
test_unix(void **state)
{
	char text[200] = "unix:/";

	(void)state;
	assert_unix("unix:/run/x.sock", CONF_UNIX, "/run/x.sock");
	assert_unix("unix-dgram:@name", CONF_UNIX_DGRAM, "@name");
	assert_unix("unix-seqpacket:/run/a:b", CONF_UNIX_SEQPACKET, "/run/a:b");
	assert_unix("unix:/run/...", CONF_UNIX, "/run/...");
	memset(text + 6, 'x', 106);
	assert_unix(text, CONF_UNIX, text + 5);
	text[5] = '@';
	assert_unix(text, CONF_UNIX, text + 5);
	text[112] = 'x';
	assert_refused(text, "107 bytes");
	text[5] = '/';
	assert_refused(text, "107 bytes");
}

static void
test_refused(void **state)
{
	static const char *const bad[][2] = {
		{ "", "expected PROTO" }, { "80", "expected PROTO" }, { "tcp", "expected PROTO" },
		{ ":80", "has to begin with" }, { "TCP:80", "has to begin with" },
		{ "tcp5:80", "has to begin with" }, { "sctp:80", "has to begin with" },
		{ " tcp:80", "has to begin with" }, { "tcp/80:x", "has to begin with" },
		{ "tcp:", "port is missing" }, { "tcp:127.0.0.1:", "port is missing" },
		{ "tcp::80", "address is empty" }, { "tcp:*:80", "'*' is no address" },
		{ "tcp:65536", "not a valid port" }, { "tcp:-1", "not a valid port" },
		{ "tcp:080", "not a valid port" }, { "tcp:80 ", "not a valid port" },
		{ "tcp: 80", "not a valid port" }, { "tcp:8.0", "not a valid port" },
		{ "tcp:80-", "not a valid range" }, { "tcp:1-99999", "not a valid range" },
		{ "tcp:80-90-100", "not a valid port" }, { "tcp:-80-90", "not a valid port" },
		{ "tcp:90-80", "ends before" }, { "tcp:0-5", "port 0" },
		{ "tcp:1-65", "more than 64" }, { "tcp:http", "not looked up" },
		{ "tcp:::1:80", "in brackets" }, { "tcp:::1", "in brackets" },
		{ "tcp:[::1]", "follow the ']'" }, { "tcp:[::1]80", "follow the ']'" },
		{ "tcp:[::1", "']' of the address" }, { "tcp:[]:80", "not a valid IPv6" },
		{ "tcp:[::g]:80", "not a valid IPv6" }, { "tcp:[1.2.3.4]:80", "IPv6 addresses only" },
		{ "tcp:[::ffff:1.2.3.4]:80", "IPv6 addresses only" },
		{ "tcp4:[::1]:80", "IPv4 protocol" }, { "tcp6:127.0.0.1:80", "IPv6 protocol" },
		{ "tcp:127.1:80", "not a valid IPv4" }, { "tcp:1.2.3.256:80", "not a valid IPv4" },
		{ "tcp:1.2.3.4.5:80", "not a valid IPv4" }, { "tcp:1:80", "not a valid IPv4" },
		{ "tcp:-x:80", "not a valid address" }, { "tcp:x-:80", "not a valid address" },
		{ "tcp:a..b:80", "not a valid address" }, { "tcp:.a:80", "not a valid address" },
		{ "tcp:a b:80", "not a valid address" }, { "tcp:h\xc3\xa9:80", "not a valid address" },
		{ "tcp:80\n", "control characters" }, { "unix:/a\033", "control characters" },
		{ "unix:", "begin with '/'" }, { "unix:x", "begin with '/'" },
		{ "unix:@", "abstract name is empty" }, { "unix:/", "empty part" },
		{ "unix:/a/", "empty part" }, { "unix://a", "empty part" },
		{ "unix:/a/../b", "\"..\"" }, { "unix:/./b", "\"..\"" }, { "unix:/a/..", "\"..\"" },
	};
	char name[600];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(bad[i][0], bad[i][1]);
	memset(name, 'x', sizeof(name));
	memcpy(name, "tcp:", 4);
	strcpy(name + 300, ":80");
	assert_refused(name, "name of the host is too long");
	memset(name + 300, 'x', 290);
	strcpy(name + 590, ":80");
	assert_refused(name, "too long");
}

static void
test_names_of_ports(void **state)
{
	const struct servent *s = getservbyname("tftp", "udp");
	struct conf_listen l;

	(void)state;
	assert_string_equal(listen_parse(arena, "tcp:no-such-port", true, &l),
			    "no port of this name in /etc/services");
	if (!s)
		skip();
	assert_null(listen_parse(arena, "udp:tftp", true, &l));
	assert_int_equal(l.port, 69);
	assert_int_equal(l.port_last, 69);
	if (getservbyname("ftp-data", "tcp")) {
		assert_null(listen_parse(arena, "tcp:127.0.0.1:ftp-data", true, &l));
		assert_int_equal(l.port, 20);
	}
}

static void
test_kinds(void **state)
{
	(void)state;
	assert_string_equal(listen_proto_name(CONF_TCP6), "tcp6");
	assert_string_equal(listen_proto_name(CONF_UNIX_SEQPACKET), "unix-seqpacket");
	assert_string_equal(listen_proto_name((enum conf_proto)99), "?");
	assert_true(listen_is_stream(CONF_TCP) && listen_is_stream(CONF_UNIX_SEQPACKET));
	assert_false(listen_is_stream(CONF_UDP4) || listen_is_stream(CONF_UNIX_DGRAM));
	assert_true(listen_is_unix(CONF_UNIX) && listen_is_unix(CONF_UNIX_DGRAM));
	assert_false(listen_is_unix(CONF_TCP));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inet),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_names_of_ports),
		cmocka_unit_test(test_kinds),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
