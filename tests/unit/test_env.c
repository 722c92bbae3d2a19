/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What a handler finds in its environment and its argv: exactly what
 * hatchd-services(7) says, for each kind of connection, and nothing else.
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

#include "board.h"
#include "env.h"
#include "spawn.h"

#define PATH_USER "PATH=/usr/local/bin:/usr/bin:/bin"
#define PATH_ROOT "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ACCOUNT PATH_USER, "HOME=/srv/git", "USER=git", "LOGNAME=git", "SHELL=/bin/sh"

static const struct conf_account git = {
	.name = "git", .home = "/srv/git", .shell = "/bin/sh", .uid = 1001, .gid = 1001,
};
static const char *const exec[] = { "/usr/bin/daemon", "--inetd", "a b", NULL };
static const struct conf_common usual = { .account = &git, .directory = "/" };
static const struct conf_service basic = { .name = "git", .exec = exec, .common = &usual };
static char *daemon_env[] = {
	(char *)"TZ=Europe/Berlin", (char *)"HOME=/root", (char *)"PROTO=none",
	(char *)"BASH_FUNC_x%%=() { :; }", (char *)"EMPTY=", (char *)"TZDIR=/z",
	(char *)"NOVALUE", NULL,
};

/* The plans of up to two services. */
static struct plans *
make_plans(struct conf *c, const struct conf_service *list, int n)
{
	struct plans *p;

	*c = (struct conf){ .n_services = n, .services = list };
	p = plans_new(c, daemon_env);
	assert_non_null(p);
	return p;
}

static const char *
find(const char *const *env, const char *name)
{
	size_t len = strlen(name);
	const char *found = NULL;

	for (; *env; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=') {
			assert_null(found);	/* each once */
			found = *env + len + 1;
		}
	return found;
}

/* env has these variables, in whatever order, and no others. */
static void
check(const char *const *env, const char *const *expected)
{
	int n = 0, n_expected = 0;

	for (; expected[n_expected]; n_expected++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "%.*s",
			       (int)strcspn(expected[n_expected], "="), expected[n_expected]);
		if (!find(env, name))
			fail_msg("%s is missing", name);
		assert_string_equal(find(env, name), expected[n_expected] + strlen(name) + 1);
	}
	for (; env[n]; n++)
		if (n >= n_expected)
			print_error("found %s\n", env[n]);
	assert_int_equal(n, n_expected);
}

#define CHECK(env, ...) check(env, (const char *const []){ __VA_ARGS__, NULL })

static struct addr
address(const char *text, uint16_t port)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	a.port = port;
	return a;
}

/* The environment of a connection to the one service. */
static void
check_connection(const struct conf_service *s, struct env_connection c,
		 const char *const *expected)
{
	struct conf conf;
	struct plans *p = make_plans(&conf, s, 1);
	char *pid = (char *)"";

	c.plan = plans_get(p, 0);
	check(env_build(&c, &pid), expected);
	assert_null(pid);
	plans_free(p);
}

#define CHECK_CONNECTION(s, c, ...) \
	check_connection(s, c, (const char *const []){ __VA_ARGS__, NULL })

static void
test_tcp4(void **state)
{
	struct addr peer = address("192.0.2.7", 4242), local = address("198.51.100.1", 9418);
	struct env_connection c = {
		.type = SOCK_STREAM, .family = AF_INET, .conn = 42, .peer = &peer, .local = &local,
	};

	(void)state;
	CHECK_CONNECTION(&basic, c, ACCOUNT, "PROTO=TCP",
			 "TCPLOCALIP=198.51.100.1", "TCPLOCALPORT=9418",
			 "TCPREMOTEIP=192.0.2.7", "TCPREMOTEPORT=4242",
			 "REMOTE_HOST=192.0.2.7", "REMOTE_ADDR=192.0.2.7", "REMOTE_PORT=4242",
			 "HATCHD_SERVICE=git", "HATCHD_CONNECTION=42");
}

/* The longest there are: they have room. */
static void
test_tcp6(void **state)
{
	const char *far = "fe80:1111:2222:3333:4444:5555:6666:7777%4294967295";
	struct addr peer = address(far, 65535), local = address(far, 65534);
	struct env_connection c = {
		.type = SOCK_STREAM, .family = AF_INET6, .conn = UINT64_MAX,
		.peer = &peer, .local = &local,
	};
	struct conf_service s = basic;

	(void)state;
	s.name = "a23456789b123456789c123456789d123456789e1234567";
	assert_int_equal(strlen(s.name), BOARD_NAME - 1);
#define FAR "fe80:1111:2222:3333:4444:5555:6666:7777%4294967295"
	CHECK_CONNECTION(&s, c, ACCOUNT, "PROTO=TCP",
			 "TCPLOCALIP=" FAR, "TCPLOCALPORT=65534",
			 "TCPREMOTEIP=" FAR, "TCPREMOTEPORT=65535",
			 "REMOTE_HOST=" FAR, "REMOTE_ADDR=" FAR, "REMOTE_PORT=65535",
			 "HATCHD_SERVICE=a23456789b123456789c123456789d123456789e1234567",
			 "HATCHD_CONNECTION=18446744073709551615");
#undef FAR
	peer = address("2001:db8::1", 1);
	local = address("::1", 0);
	CHECK_CONNECTION(&basic, c, ACCOUNT, "PROTO=TCP", "TCPLOCALIP=::1", "TCPLOCALPORT=0",
			 "TCPREMOTEIP=2001:db8::1", "TCPREMOTEPORT=1",
			 "REMOTE_HOST=2001:db8::1", "REMOTE_ADDR=2001:db8::1", "REMOTE_PORT=1",
			 "HATCHD_SERVICE=git", "HATCHD_CONNECTION=18446744073709551615");
}

static void
test_udp(void **state)
{
	struct addr peer = address("192.0.2.7", 69), local = address("127.0.0.1", 1069);
	struct env_connection c = {
		.type = SOCK_DGRAM, .family = AF_INET, .conn = 1, .peer = &peer, .local = &local,
	};

	(void)state;
	CHECK_CONNECTION(&basic, c, ACCOUNT, "PROTO=UDP",
			 "UDPLOCALIP=127.0.0.1", "UDPLOCALPORT=1069",
			 "UDPREMOTEIP=192.0.2.7", "UDPREMOTEPORT=69",
			 "REMOTE_HOST=192.0.2.7", "REMOTE_ADDR=192.0.2.7", "REMOTE_PORT=69",
			 "HATCHD_SERVICE=git", "HATCHD_CONNECTION=1");
}

static void
test_unix(void **state)
{
	struct addr peer = {
		.family = AF_UNIX, .cred = { .pid = 77, .uid = 0, .gid = 4294967294 },
	};
	struct addr local = { .family = AF_UNIX };
	struct env_connection c = {
		.type = SOCK_STREAM, .family = AF_UNIX, .conn = 10, .peer = &peer, .local = &local,
	};

	(void)state;
	CHECK_CONNECTION(&basic, c, ACCOUNT, "PROTO=UNIX", "REMOTE_UID=0",
			 "REMOTE_GID=4294967294", "REMOTE_PID=77",
			 "HATCHD_SERVICE=git", "HATCHD_CONNECTION=10");
	c.type = SOCK_SEQPACKET;
	CHECK_CONNECTION(&basic, c, ACCOUNT, "PROTO=UNIX", "REMOTE_UID=0",
			 "REMOTE_GID=4294967294", "REMOTE_PID=77",
			 "HATCHD_SERVICE=git", "HATCHD_CONNECTION=10");
}

/* A wait handler accepts by itself: there is no peer yet. */
static void
test_wait(void **state)
{
	struct addr local = address("0.0.0.0", 9418), nobody = { 0 };
	struct env_connection c = {
		.type = SOCK_STREAM, .family = AF_INET, .conn = 3, .local = &local,
	};

	(void)state;
	CHECK_CONNECTION(&basic, c, ACCOUNT, "PROTO=TCP",
			 "TCPLOCALIP=0.0.0.0", "TCPLOCALPORT=9418",
			 "HATCHD_SERVICE=git", "HATCHD_CONNECTION=3");
	c.peer = &nobody;
	c.type = SOCK_DGRAM;
	CHECK_CONNECTION(&basic, c, ACCOUNT, "PROTO=UDP",
			 "UDPLOCALIP=0.0.0.0", "UDPLOCALPORT=9418",
			 "HATCHD_SERVICE=git", "HATCHD_CONNECTION=3");
	c.family = AF_UNIX;
	c.local = NULL;
	CHECK_CONNECTION(&basic, c, ACCOUNT, "PROTO=UNIX",
			 "HATCHD_SERVICE=git", "HATCHD_CONNECTION=3");
}

/* sd_listen_fds(3); the pid is written by the child. */
static void
test_listen_fds(void **state)
{
	struct addr local = address("127.0.0.1", 80);
	struct conf_service s = basic;
	struct conf conf;
	struct plans *p;
	struct env_connection c = {
		.type = SOCK_STREAM, .family = AF_INET, .conn = 3, .local = &local, .listen_fds = 3,
	};
	const char *const *env;
	char *pid = NULL;

	(void)state;
	s.name = "a:b";
	p = make_plans(&conf, &s, 1);
	c.plan = plans_get(p, 0);
	env = env_build(&c, &pid);
	assert_non_null(pid);
	assert_ptr_equal(find(env, "LISTEN_PID"), pid);
	strcpy(pid, "4194304999");	/* more than any pid: it has room */
	CHECK(env, ACCOUNT, "PROTO=TCP", "TCPLOCALIP=127.0.0.1", "TCPLOCALPORT=80",
	      "LISTEN_FDS=3", "LISTEN_PID=4194304999", "LISTEN_FDNAMES=a_b:a_b:a_b",
	      "HATCHD_SERVICE=a:b", "HATCHD_CONNECTION=3");
	plans_free(p);
}

/* As many names as descriptors, or sd_listen_fds_with_names(3) refuses them. */
static void
test_listen_fds_at_most(void **state)
{
	struct conf_service s = basic;
	struct conf conf;
	struct plans *p;
	struct env_connection c = {
		.type = SOCK_STREAM, .family = AF_UNIX, .conn = UINT64_MAX, .listen_fds = SPAWN_FDS,
	};
	const char *const *env;
	const char *names;
	int n = 0;
	char *pid;

	(void)state;
	s.name = "a23456789b123456789c123456789d123456789e1234567";
	p = make_plans(&conf, &s, 1);
	c.plan = plans_get(p, 0);
	env = env_build(&c, &pid);
	names = find(env, "LISTEN_FDNAMES");
	assert_non_null(names);
	for (; strncmp(names, s.name, BOARD_NAME - 1) == 0; names += BOARD_NAME) {
		n++;
		if (names[BOARD_NAME - 1] == '\0')
			break;
		assert_int_equal(names[BOARD_NAME - 1], ':');
	}
	assert_int_equal(n, SPAWN_FDS);
	assert_string_equal(find(env, "HATCHD_CONNECTION"), "18446744073709551615");
	plans_free(p);
}

/* environment comes last and replaces everything, pass_environment replaces
 * the account's; both replace what the connection would set. */
static void
test_overrides(void **state)
{
	static const char *const passed[] = {
		"TZ", "HOME", "PROTO", "EMPTY", "MISSING", "NOVALUE", "BASH_FUNC_x%%", NULL
	};
	static const char *const own[] = {
		"SHELL=/bin/false", "TZ=UTC", "A=1", "A=2", "X=a=b", "TCPREMOTEIP=hidden",
		"HATCHD_CONNECTION=", NULL
	};
	struct addr peer = address("192.0.2.7", 4242), local = address("198.51.100.1", 9418);
	struct env_connection c = {
		.type = SOCK_STREAM, .family = AF_INET, .conn = 42, .peer = &peer, .local = &local,
	};
	struct conf_common common = usual;
	struct conf_service s = { .name = "git", .exec = exec, .common = &common };

	(void)state;
	common.pass_environment = passed;
	common.environment = own;
	CHECK_CONNECTION(&s, c, PATH_USER, "HOME=/root", "USER=git", "LOGNAME=git",
			 "SHELL=/bin/false", "TZ=UTC", "EMPTY=", "BASH_FUNC_x%%=() { :; }",
			 "A=2", "X=a=b",
			 "PROTO=none", "TCPREMOTEIP=hidden", "HATCHD_CONNECTION=",
			 "TCPLOCALIP=198.51.100.1", "TCPLOCALPORT=9418", "TCPREMOTEPORT=4242",
			 "REMOTE_HOST=192.0.2.7", "REMOTE_ADDR=192.0.2.7", "REMOTE_PORT=4242",
			 "HATCHD_SERVICE=git");
}

/* Every variable of a connection can be replaced, each for itself. */
static void
test_each_variable_can_be_replaced(void **state)
{
	struct addr peer = address("192.0.2.7", 4242), local = address("198.51.100.1", 9418);
	struct addr cred = { .family = AF_UNIX, .cred = { .pid = 1, .uid = 2, .gid = 3 } };

	(void)state;
	for (int v = 0; v < PLAN_VARS; v++) {
		char var[64];
		const char *const own[] = { var, NULL };
		bool is_udp = strncmp(plan_var_name(v), "UDP", 3) == 0;
		bool is_unix = v == PLAN_REMOTE_UID || v == PLAN_REMOTE_GID || v == PLAN_REMOTE_PID;
		struct env_connection c = {
			.type = is_udp ? SOCK_DGRAM : SOCK_STREAM,
			.family = is_unix ? AF_UNIX : AF_INET,
			.peer = is_unix ? &cred : &peer, .local = &local, .listen_fds = 2,
		};
		struct conf_common common = usual;
		struct conf_service s = { .name = "git", .exec = exec, .common = &common };
		struct conf conf;
		struct plans *p;
		const char *const *env;
		char *pid;

		(void)snprintf(var, sizeof(var), "%s=mine", plan_var_name(v));
		common.environment = own;
		p = make_plans(&conf, &s, 1);
		c.plan = plans_get(p, 0);
		env = env_build(&c, &pid);
		assert_string_equal(find(env, plan_var_name(v)), "mine");
		assert_true((pid == NULL) == (v == PLAN_LISTEN_PID));
		assert_non_null(find(env, v == PLAN_PROTO ? "HATCHD_SERVICE" : "PROTO"));
		plans_free(p);
	}
}

/* Names that only begin like one of ours replace nothing. */
static void
test_similar_names(void **state)
{
	static const char *const own[] = { "PROTOCOL=x", "PROT=y", "REMOTE=z", NULL };
	static const char *const passed[] = { "TZ", NULL };
	struct env_connection c = { .type = SOCK_STREAM, .family = AF_UNIX, .conn = 5 };
	struct conf_common common = usual;
	struct conf_service s = { .name = "git", .exec = exec, .common = &common };

	(void)state;
	common.environment = own;
	common.pass_environment = passed;
	CHECK_CONNECTION(&s, c, ACCOUNT, "TZ=Europe/Berlin", "PROTOCOL=x", "PROT=y", "REMOTE=z",
			 "PROTO=UNIX", "HATCHD_SERVICE=git", "HATCHD_CONNECTION=5");
}

static void
test_accounts(void **state)
{
	struct conf_account root = { .name = "root", .home = "/root", .shell = "/bin/bash" };
	struct env_connection c = { .type = SOCK_STREAM, .family = AF_UNIX, .conn = 5 };
	struct conf_common common = usual;
	struct conf_service s = { .name = "git", .exec = exec, .common = &common };

	(void)state;
	common.account = &root;
	CHECK_CONNECTION(&s, c, PATH_ROOT, "HOME=/root", "USER=root", "LOGNAME=root",
			 "SHELL=/bin/bash", "PROTO=UNIX", "HATCHD_SERVICE=git",
			 "HATCHD_CONNECTION=5");
	common.account = NULL;
	CHECK_CONNECTION(&s, c, PATH_USER, "PROTO=UNIX", "HATCHD_SERVICE=git",
			 "HATCHD_CONNECTION=5");
}

static void
test_argv(void **state)
{
	struct conf_service list[4] = { basic, basic, basic, basic };
	struct conf conf;
	struct plans *p;

	(void)state;
	list[1].argv0 = "-git";
	list[2].exec = NULL;
	list[2].internal = INTERNAL_ECHO;
	list[3].argv0 = "";
	p = make_plans(&conf, list, 4);
	assert_ptr_equal(plans_get(p, 0)->argv, exec);
	for (int i = 1; i <= 3; i += 2) {
		assert_string_equal(plans_get(p, i)->argv[0], list[i].argv0);
		assert_string_equal(plans_get(p, i)->argv[1], "--inetd");
		assert_string_equal(plans_get(p, i)->argv[2], "a b");
		assert_null(plans_get(p, i)->argv[3]);
		assert_string_equal(plans_get(p, i)->conf->exec[0], "/usr/bin/daemon");
	}
	assert_null(plans_get(p, 2)->argv);
	plans_free(p);
	plans_free(NULL);
}

/* Neighbours that agree share one, others don't. */
static void
test_shared_bases(void **state)
{
	static const char *const own[] = { "A=1", NULL };
	struct conf_common other = { .account = &git, .directory = "/", .environment = own };
	struct conf_service list[3] = { basic, basic, basic };
	struct conf conf;
	struct plans *p;

	(void)state;
	list[1].name = "other";
	list[2].common = &other;
	p = make_plans(&conf, list, 3);
	assert_ptr_equal(plans_get(p, 0)->env, plans_get(p, 1)->env);
	assert_ptr_not_equal(plans_get(p, 1)->env, plans_get(p, 2)->env);
	assert_ptr_equal(plans_get(p, 1)->conf, &list[1]);
	plans_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp4),
		cmocka_unit_test(test_tcp6),
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_listen_fds),
		cmocka_unit_test(test_listen_fds_at_most),
		cmocka_unit_test(test_overrides),
		cmocka_unit_test(test_each_variable_can_be_replaced),
		cmocka_unit_test(test_similar_names),
		cmocka_unit_test(test_accounts),
		cmocka_unit_test(test_argv),
		cmocka_unit_test(test_shared_bases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
