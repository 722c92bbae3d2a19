/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Entries of allow and deny lists: what is not wholly understood is refused.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "acl_entry.h"

static bool
lookup(enum acl_kind kind, const char *name, uint32_t *ret, void *arg)
{
	assert_string_equal((const char *)arg, "ours");
	if (strcmp(name, kind == ACL_UID ? "git" : "docker") != 0)
		return false;
	*ret = kind == ACL_UID ? 1001 : 998;
	return true;
}

static int
parse(const char *text, struct acl_entry *ret, char *why)
{
	char arg[] = "ours";

	return acl_parse(text, lookup, arg, ret, why);
}

static void
assert_net(const char *text, const char *ip, unsigned bits)
{
	char why[ACL_WHY_LEN], buf[ADDR_STRLEN];
	struct acl_entry e;

	if (parse(text, &e, why) < 0)
		fail_msg("%s: %s", text, why);
	assert_int_equal(e.kind, ACL_NET);
	(void)addr_format_ip(&e.net, buf, sizeof(buf));
	assert_string_equal(buf, ip);
	assert_int_equal(e.net.family, strchr(ip, ':') ? AF_INET6 : AF_INET);
	assert_int_equal(e.bits, bits);
	assert_null(e.text);
}

static void
test_nets(void **state)
{
	(void)state;
	assert_net("192.0.2.7", "192.0.2.7", 32);
	assert_net("0.0.0.0/0", "0.0.0.0", 0);
	assert_net("10.0.0.0/8", "10.0.0.0", 8);
	assert_net("192.0.2.7/32", "192.0.2.7", 32);
	assert_net("192.0.2.6/31", "192.0.2.6", 31);
	assert_net("2001:db8::1", "2001:db8::1", 128);
	assert_net("2001:db8::/32", "2001:db8::", 32);
	assert_net("2001:DB8::/127", "2001:db8::", 127);
	assert_net("::/0", "::", 0);
	assert_net("::1/128", "::1", 128);
	assert_net("::ffff:192.0.2.7", "192.0.2.7", 32);
	assert_net("::ffff:10.0.0.0/104", "10.0.0.0", 8);
	assert_net("::ffff:0:0/96", "0.0.0.0", 0);
}

static void
test_ids(void **state)
{
	static const struct {
		const char *text;
		enum acl_kind kind;
		uint32_t id;
	} good[] = {
		{ "uid:0", ACL_UID, 0 }, { "uid:1000", ACL_UID, 1000 },
		{ "uid:git", ACL_UID, 1001 },
		{ "gid:docker", ACL_GID, 998 }, { "gid:4294967294", ACL_GID, 4294967294 },
	};
	char why[ACL_WHY_LEN];
	struct acl_entry e;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(parse(good[i].text, &e, why), 0);
		assert_int_equal(e.kind, good[i].kind);
		assert_int_equal(e.id, good[i].id);
	}
	assert_int_equal(acl_parse("uid:5", NULL, NULL, &e, why), 0);
	assert_int_equal(acl_parse("uid:git", NULL, NULL, &e, why), -1);
}

static void
assert_text(const char *text, enum acl_kind kind, const char *rest)
{
	char why[ACL_WHY_LEN];
	struct acl_entry e;

	if (parse(text, &e, why) < 0)
		fail_msg("%s: %s", text, why);
	assert_int_equal(e.kind, kind);
	assert_string_equal(e.text, rest);
}

static void
test_left_to_the_caller(void **state)
{
	(void)state;
	assert_text("file:/etc/hatchd/office.list", ACL_FILE, "/etc/hatchd/office.list");
	assert_text("file:/with blank", ACL_FILE, "/with blank");
	assert_text("localhost", ACL_HOST, "localhost");
	assert_text("www.example.org", ACL_HOST, "www.example.org");
	assert_text("www.example.org.", ACL_HOST, "www.example.org.");
	assert_text("1.example.org", ACL_HOST, "1.example.org");
	assert_text("my_host-1", ACL_HOST, "my_host-1");
	assert_text("file", ACL_HOST, "file");
	assert_text("10.0.0.x", ACL_HOST, "10.0.0.x");
	assert_text("everybody.example", ACL_HOST, "everybody.example");
}

static const char *const wrong[] = {
	"", " ", "*", "ALL", "any", "everybody", "file:", "file:relative", "uid:",
	"uid:nobody-here", "uid:-1", "uid:4294967295", "uid:4294967296", "uid:01", "uid:1 ",
	"uid: 1", "gid:",
	"gid:git", "UID:1", "user:git",
	/* addresses that are none */
	"10", "10.0", "10.0.0", "10.0.0.256", "10.0.0.1.2", "010.0.0.1", "10.0.0.01", "10.0.0.1.",
	"0x7f.1", "0x7f000001", "0x", "2130706433", "127.1", "10..0.1", ".10.0.0.1", "10.0.0.1 ",
	" 10.0.0.1", "10.0.0.1,10.0.0.2", "10.0.0.1:80", "::1:80:", ":::", "::g", "1:2:3:4:5:6:7",
	"[::1]", "[2001:db8::]/32", "fe80::1%eth0", "fe80::1%1", "fe80::%1/64", "::ffff:10.0.0.1%1",
	"10.0.0.0-10.0.0.255", "10.0.0.*", "!10.0.0.1", "10.0.0.0\n",
	/* prefixes that are none */
	"10.0.0.0/", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "10.0.0.0/-1", "10.0.0.0/+8",
	"10.0.0.0/08", "10.0.0.0/8 ", "10.0.0.0/ 8", "10.0.0.0/8/8", "10.0.0.0/0x8", "10.0.0.0/8a",
	"10/8", "/8",
	"/", "::/129", "::1/255", "::/99999999999999999999", "2001:db8::/", "::ffff:0:0/95",
	"::ffff:0:0/129", "localhost/8", "www.example.org/24", "uid:1/8",
	/* bits below the prefix */
	"10.0.0.1/8", "192.0.2.7/31", "0.0.0.1/0", "2001:db8::1/32", "::1/127",
	"::ffff:10.0.0.1/104",
	/* host names that are none */
	"-host", "host-", "a..b", ".", "host..", "ho st", "höst", "host!", "a,b", "user@host",
	"@group", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.org",
	"http://host",
};

static void
test_S16_wrong_is_never_everybody(void **state)
{
	char why[ACL_WHY_LEN];
	struct acl_entry e, before;

	(void)state;
	memset(&e, 0x55, sizeof(e));
	before = e;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memset(why, 0, sizeof(why));
		if (parse(wrong[i], &e, why) == 0)
			fail_msg("\"%s\"", wrong[i]);
		assert_true(strlen(why) > 10);
		assert_memory_equal(&e, &before, sizeof(e));
	}
}

static void
test_L27_all_prefix_lengths(void **state)
{
	char text[64], why[ACL_WHY_LEN];
	struct acl_entry e;

	(void)state;
	for (int bits = -200; bits < 70000; bits++) {
		(void)snprintf(text, sizeof(text), "0.0.0.0/%d", bits);
		assert_int_equal(parse(text, &e, why) == 0, bits >= 0 && bits <= 32);
		(void)snprintf(text, sizeof(text), "::/%d", bits);
		assert_int_equal(parse(text, &e, why) == 0, bits >= 0 && bits <= 128);
	}
}

static void
test_messages(void **state)
{
	char why[ACL_WHY_LEN];
	struct acl_entry e;

	(void)state;
	assert_int_equal(parse("10.1.2.3/8", &e, why), -1);
	assert_non_null(strstr(why, "the network is 10.0.0.0/8, or leave \"/8\" away"));
	assert_int_equal(parse("2001:db8::1/32", &e, why), -1);
	assert_non_null(strstr(why, "2001:db8::/32"));
	assert_int_equal(parse("::ffff:10.1.2.3/104", &e, why), -1);
	assert_non_null(strstr(why, "the network is 10.0.0.0/8, or leave \"/104\" away"));
	assert_int_equal(parse("10.0.0.0/33", &e, why), -1);
	assert_non_null(strstr(why, "from 0 to 32"));
	assert_int_equal(parse("::/255", &e, why), -1);
	assert_non_null(strstr(why, "from 0 to 128"));
	assert_int_equal(parse("all", &e, why), -1);
	assert_non_null(strstr(why, "0.0.0.0/0"));
	assert_int_equal(parse("10.0.0.256", &e, why), -1);
	assert_non_null(strstr(why, "IPv4"));
	assert_int_equal(parse("gid:git", &e, why), -1);
	assert_non_null(strstr(why, "group"));
}

static void
test_entry_of_an_address(void **state)
{
	struct acl_entry e;
	struct addr a;

	(void)state;
	assert_int_equal(addr_parse("fe80::1%1", &a), 0);
	a.port = 80;
	e = acl_entry_of(&a);
	assert_int_equal(e.kind, ACL_NET);
	assert_int_equal(e.bits, 128);
	assert_int_equal(e.net.port, 0);
	assert_int_equal(e.net.scope, 0);
	assert_int_equal(addr_parse("10.0.0.1", &a), 0);
	assert_int_equal(acl_entry_of(&a).bits, 32);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nets),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_left_to_the_caller),
		cmocka_unit_test(test_S16_wrong_is_never_everybody),
		cmocka_unit_test(test_L27_all_prefix_lengths),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_entry_of_an_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
