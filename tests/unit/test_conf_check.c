/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Tests of conf_check: settings that don't go together, names, addresses,
 * accounts. */
#include "config.h"

#include <pwd.h>
#include <unistd.h>

#include "conf_text.h"

/* The name of an account that isn't root, or NULL. */
static const char *
some_user(void)
{
	static const char *const names[] = { "nobody", "daemon", "bin" };
	struct passwd *pw;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		pw = getpwnam(names[i]);
		if (pw && pw->pw_uid != 0)
			return names[i];
	}
	return NULL;
}

static void
test_one_of_exec_and_internal(void **state)
{
	(void)state;
	expect_bad("internal = echo", "exec and internal are both given");
	expect_error("service x { listen = tcp:1 }\n",
		     "test.conf:1: service x: one of exec and internal is missing");
	expect_error("service x { listen = tcp:1 exec = { } }\n",
		     "test.conf:1: service x: one of exec and internal is missing");
	expect_error("service x {\n exec = /a }\n", "test.conf:1: service x: listen is missing");
	expect_error("service x {\n exec = /a\n listen = { } }\n",
		     "test.conf:3: service x: listen is missing");
	expect_error("service x { listen = tcp:1\n exec = { \"cat\", \"/x\" } }\n",
		     "test.conf:2: service x: exec: 'cat' is not an absolute path");
	expect_error("service x { listen = tcp:1 internal = ecco }\n",
		     "test.conf:1: service x: internal: there is no internal service 'ecco'");
}

static void
test_names(void **state)
{
	static const char *const good[] = { "a", "0", "a.b_c+d@e:f-g", "A9" };
	static const char *const bad[] = { "", "-a", ".a", "a b", "a/b", "\303\244", "a\"b" };
	char text[256], name[50];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		(void)snprintf(text, sizeof(text), "service '%s' { listen = tcp:1 exec = /a }",
			       good[i]);
		conf_free(conf_pure(text));
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(text, sizeof(text), "service '%s' { listen = tcp:1 exec = /a }",
			       bad[i]);
		if (conf_from(text, NULL, 1000, false))
			fail_msg("loaded: %s", text);
		assert_non_null(strstr(found.errors, "can't be a service's name"));
	}
	memset(name, 'n', sizeof(name));
	name[47] = '\0';
	(void)snprintf(text, sizeof(text), "service %s { listen = tcp:1 exec = /a }", name);
	conf_free(conf_pure(text));
	name[47] = 'n';
	name[48] = '\0';
	(void)snprintf(text, sizeof(text), "service %s { listen = tcp:1 exec = /a }", name);
	assert_null(conf_from(text, NULL, 1000, false));
}

static void
test_internal_has_no_handler(void **state)
{
	struct conf *c;
	const struct conf_service *s;

	(void)state;
	expect_error("service x { listen = tcp:1 internal = echo\n wait = yes }\n",
		     "test.conf:2: service x: wait can't be used with internal");
	expect_error("service x { listen = tcp:1 internal = echo\n chroot = /x }\n",
		     "test.conf:2: service x: chroot can't be used with internal");
	expect_error("service x { listen = tcp:1 internal = echo rlimits {\n core = 0 } }\n",
		     "test.conf:2: service x: rlimits.core can't be used with internal");
	/* each line of an inetd.conf names an account, those of internal ones too */
	c = conf_pure("service x { listen = tcp:1 internal = echo user = x group = y }\n");
	assert_null(c->services[0].common->user);
	conf_free(c);
	/* defaults are not meant for it, and defaults written out are no error */
	c = conf_pure("defaults { user = x umask = 077 wait = yes rlimits { core = 0 } }\n"
		      "service x { listen = udp:1 internal = echo chroot = \"\" }\n");
	s = c->services;
	assert_false(s->common->wait);
	assert_null(s->common->user);
	assert_int_equal(s->common->umask, 022);
	assert_int_equal(s->common->n_rlimits, 0);
	conf_free(c);
}

static void
test_wait_and_pass(void **state)
{
	(void)state;
	expect_bad("pass = listen_fds", "pass = listen_fds needs wait = yes");
	conf_free(expect_good("pass = listen_fds wait = yes"));
	conf_free(expect_good("wait = yes limits { instances = 1 }"));
	assert_string_equal(found.warnings, "");
	conf_free(expect_good("wait = yes limits { instances = 2 }"));
	assert_string_equal(found.warnings, "test.conf:4: service x: limits.instances: with wait "
			    "= yes there is one handler for each address\n");
}

static void
test_session_is_for_udp(void **state)
{
	struct conf *c;

	(void)state;
	expect_bad("session { once = yes }",
		   "session.once is for udp with exec and wait = no");
	expect_error("service x { listen = udp:1 internal = echo\nsession { idle = 5s } }\n",
		     "test.conf:2: service x: session.idle is for udp with exec and wait = no");
	expect_error("service x { listen = udp:1 exec = /a wait = yes\nsession { max = 5 } }\n",
		     "test.conf:2: service x: session.max is for udp with exec and wait = no");
	c = conf_pure("defaults { session { max = 5 } }\n"
		      "service a { listen = { tcp:1, udp:1 } exec = /a session { idle = 5s } }\n"
		      "service b { listen = tcp:2 exec = /a }\n");
	assert_int_equal(c->services[0].common->session->idle_ms, 5000);
	assert_int_equal(c->services[0].common->session->max, 5);
	assert_int_equal(c->services[1].common->session->max, 1024);
	conf_free(c);
}

static void
test_unix_sockets(void **state)
{
	(void)state;
	expect_error("service x { exec = /a\nlisten = \"unix-dgram:/run/x\" }\n",
		     "test.conf:2: service x: listen: unix-dgram needs wait = yes or internal: a "
		     "client without a name of its own can't be answered");
	conf_free(conf_pure("service x { listen = \"unix-dgram:/run/x\" exec = /a wait = yes }"));
	conf_free(conf_pure("service x { listen = \"unix-dgram:/run/x\" internal = echo }"));
	conf_free(conf_pure("service x { listen = \"unix-seqpacket:/run/x\" exec = /a }"));
	conf_free(conf_pure("service x { listen = { \"unix:@x\", tcp:1 } exec = /a }"));
}

static void
test_addresses_are_taken_once(void **state)
{
	static const char *const pairs[][2] = {
		{ "tcp:80", "tcp:80" }, { "tcp:80", "tcp4:80" }, { "tcp6:80", "tcp:80" },
		{ "tcp:127.0.0.1:80", "tcp4:127.0.0.1:80" }, { "tcp:[::1]:80", "tcp6:[::1]:80" },
		{ "tcp:7000-7010", "tcp:7010" }, { "udp:7", "udp6:7" },
		{ "unix:/run/x", "unix:/run/x" }, { "unix:/run/x", "unix-seqpacket:/run/x" },
		{ "unix:@x", "unix:@x" },
		{ "tcp:[0::1]:1", "tcp:[::1]:1" }, { "udp:[::1]:1", "udp6:[0:0:0:0:0:0:0:1]:1" },
		{ "tcp:[2001:DB8::1]:1", "tcp:[2001:db8:0:0::1]:1" },
		{ "tcp:[fe80::1%7]:1", "tcp:[FE80:0::1%7]:1" },
		{ "tcp:[2001:db8::1%7]:1", "tcp:[2001:DB8::1%7]:1" },
		{ "tcp4:1", "tcp:0.0.0.0:1" }, { "tcp:[0::0]:1", "tcp:1" },
	};
	static const char *const fine[][2] = {
		{ "tcp:80", "udp:80" }, { "tcp4:80", "tcp6:80" }, { "tcp:80", "tcp:127.0.0.1:80" },
		{ "tcp:127.0.0.1:80", "tcp:[::1]:80" }, { "tcp:0", "tcp:0" },
		{ "tcp:7000-7009", "tcp:7010" }, { "unix:/run/x", "unix:@run/x" },
		{ "tcp:[fe80::1%7]:1", "tcp:[fe80::1%8]:1" },
		{ "tcp:[2001:db8::1%7]:1", "tcp:[2001:db8::1%8]:1" },
	};
	char text[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		(void)snprintf(text, sizeof(text), "service a { listen = \"%s\" exec = /a }\n"
			       "service b { exec = /a\n listen = \"%s\" }\n", pairs[i][0],
			       pairs[i][1]);
		if (conf_from(text, NULL, 1000, false))
			fail_msg("loaded: %s", text);
		(void)snprintf(text, sizeof(text), "test.conf:3: service b: listen: '%s' is taken "
			       "by service a, at test.conf:1\n", pairs[i][1]);
		assert_string_equal(found.errors, text);
	}
	for (i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		(void)snprintf(text, sizeof(text), "service a { listen = \"%s\" exec = /a }\n"
			       "service b { exec = /a listen = \"%s\" }\n", fine[i][0], fine[i][1]);
		conf_free(conf_pure(text));
	}
	conf_free(conf_pure("service a { listen = tcp:1 exec = /a }\n"
			    "service b { listen = tcp:1 exec = /a enabled = no }\n"));
	expect_error("service a { exec = /a listen = { tcp:1,\ntcp:1 } }\n", "test.conf:2: service "
		     "a: listen: 'tcp:1' is taken by service a, at test.conf:1");
}

/* What the kernel will not bind both. */
static void
test_all_addresses_and_one(void **state)
{
	static const char *const pairs[][3] = {
		{ "tcp:80", "tcp:127.0.0.1:80", "all addresses" },
		{ "tcp:127.0.0.1:80", "tcp4:80", "one address" },
		{ "tcp:0.0.0.0:80", "tcp:127.0.0.1:80", "all addresses" },
		{ "tcp6:[::1]:80", "tcp:80", "one address" },
		{ "udp:[::]:80", "udp:[::1]:80", "all addresses" },
		{ "udp:70-80", "udp:127.0.0.1:80-90", "all addresses" },
	};
	static const char *const fine[][2] = {
		{ "tcp6:80", "tcp:127.0.0.1:80" }, { "tcp4:80", "tcp:[::1]:80" },
		{ "udp:80", "tcp:127.0.0.1:80" }, { "tcp:80", "tcp:127.0.0.1:81" },
		{ "tcp:127.0.0.1:80", "tcp:127.0.0.2:80" }, { "tcp:80", "tcp:localhost:80" },
		{ "tcp:0", "tcp:127.0.0.1:0" },
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		(void)snprintf(text, sizeof(text), "service a { listen = \"%s\" exec = /a }\n"
			       "service b { exec = /a\n listen = \"%s\" }\n", pairs[i][0],
			       pairs[i][1]);
		conf_free(conf_pure(text));
		(void)snprintf(text, sizeof(text), "test.conf:3: service b: listen: '%s' can't be "
			       "bound together with %s of that port, of service a, at test.conf:1\n",
			       pairs[i][1], pairs[i][2]);
		assert_string_equal(found.warnings, text);
	}
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		(void)snprintf(text, sizeof(text), "service a { listen = \"%s\" exec = /a }\n"
			       "service b { exec = /a\n listen = \"%s\" }\n", fine[i][0],
			       fine[i][1]);
		conf_free(conf_pure(text));
		assert_string_equal(found.warnings, "");
	}
	/* receivers of a group share a port, and other devices are other addresses */
	conf_free(conf_pure("defaults { socket { multicast = 239.1.1.1 } }\n"
			    "service a { listen = udp:1 exec = /a }\n"
			    "service b { listen = udp:127.0.0.1:1 exec = /a }\n"));
	assert_string_equal(found.warnings, "");
	conf_free(conf_pure("service a { listen = tcp:1 exec = /a socket { device = eth0 } }\n"
			    "service b { listen = tcp:127.0.0.1:1 exec = /a }\n"));
	assert_string_equal(found.warnings, "");
}

static void
test_multicast_needs_a_listener(void **state)
{
	(void)state;
	expect_error("service x { listen = udp4:1 exec = /a socket {\n"
		     "multicast = { 239.1.1.1, ff12::1 } } }\n",
		     "test.conf:2: service x: socket.multicast: 'ff12::1': there is no udp listener "
		     "for IPv6");
	expect_error("service x { listen = { tcp:1, \"udp:[::1]:1\" } exec = /a socket {\n"
		     "multicast = 239.1.1.1 } }\n",
		     "test.conf:2: service x: socket.multicast: '239.1.1.1': there is no udp "
		     "listener for IPv4");
	expect_bad("socket { multicast = 239.1.1.1 }",
		   "socket.multicast: '239.1.1.1': there is no udp listener for IPv4");
	conf_free(conf_pure("defaults { socket { multicast = 239.1.1.1 } }\n"
			    "service x { listen = tcp:1 exec = /a }\n"
			    "service y { listen = udp:host:1 exec = /a socket {\n"
			    "multicast = { 239.1.1.1, ff12::1 } } }\n"));
}

static void
test_number_of_addresses(void **state)
{
	(void)state;
	conf_free(conf_pure("service a { exec = /a listen = { \"tcp:1-63\", tcp:100 } }\n"));
	expect_error("service a { exec = /a listen = { \"tcp:1-63\",\ntcp:100, tcp:101 } }\n",
		     "test.conf:2: service a: listen: more than 64 addresses");
}

static void
test_root_needs_a_user(void **state)
{
	(void)state;
	assert_null(conf_from("service x { listen = tcp:1\n exec = /bin/cat }\n", NULL, 0, false));
	assert_string_equal(found.errors, "test.conf:1: service x: user is missing: run by root, "
			    "a service with exec must name it\n");
	conf_free(conf_from("service x { listen = tcp:1 internal = echo }\n", NULL, 0, false));
	assert_string_equal(found.errors, "");
	/* a slip is told once */
	assert_null(conf_from("service x { listen = tcp:1 exec = /bin/cat usr = y }\n", NULL, 0,
			      false));
	assert_string_equal(found.errors, "test.conf:1: unknown setting 'usr' in service x: did "
			    "you mean 'user'?\n");
	assert_null(conf_from("defaults { user = \"\" umask = 9 }\n"
			      "service x { listen = tcp:1 exec = /bin/cat }\n", NULL, 0, false));
	assert_string_equal(found.errors, "test.conf:1: defaults: umask: expected an octal number "
			    "up to 0777, not '9'\n");
}

static void
test_accounts_of_root(void **state)
{
	const char *user = some_user();
	char text[512];
	struct conf *c;

	(void)state;
	if (!user)
		skip();
	(void)snprintf(text, sizeof(text), "user = %s\nservice x { listen = tcp:1 exec = /bin/sh\n"
		       "user = %s socket { owner = %s group = 7 } }\n", user, user, user);
	c = conf_from(text, NULL, 0, true);
	assert_non_null(c);
	assert_string_equal(c->talker->name, user);
	assert_string_equal(c->services[0].common->account->name, user);
	assert_int_equal(c->services[0].user_line, 3);
	assert_int_equal(c->services[0].common->socket->owner_uid, c->talker->uid);
	assert_int_equal(c->services[0].common->socket->owner_gid, 7);
	conf_free(c);
	(void)snprintf(text, sizeof(text), "user = %s\n"
		       "service a { listen = tcp:1 exec = /bin/sh\nuser = \"no such\" }\n"
		       "service b { listen = tcp:2 exec = /bin/sh user = %s\ngroup = nogrp. }\n"
		       "service c { listen = tcp:3 exec = /bin/sh user = nope. enabled = no }\n",
		       user, user);
	assert_null(conf_from(text, NULL, 0, true));
	assert_string_equal(found.errors,
			    "test.conf:3: service a: user: unknown user: 'no such'\n"
			    "test.conf:5: service b: group: unknown group: 'nogrp.'\n");
	assert_null(conf_from("\nuser = root\n", NULL, 0, true));
	assert_non_null(strstr(found.errors, "test.conf:2: user: "));
	assert_null(conf_from("user = nope.\ncontrol_group = nogrp.\n", NULL, 0, true));
	assert_string_equal(found.errors, "test.conf:1: user: unknown user: 'nope.'\n"
			    "test.conf:2: control_group: unknown group: 'nogrp.'\n");
}

static void
test_accounts_of_others(void **state)
{
	uid_t uid = getuid() ? getuid() : 12345;
	char text[256];
	struct conf *c;

	(void)state;
	c = conf_from("service x { listen = tcp:1 exec = /bin/sh }\n", NULL, uid, true);
	assert_non_null(c);
	assert_null(c->talker);
	assert_int_equal(c->services[0].common->account->uid, uid);
	conf_free(c);
	(void)snprintf(text, sizeof(text), "service x { listen = tcp:1 exec = /bin/sh user = %u }\n",
		       (unsigned)uid);
	c = conf_from(text, NULL, uid, true);
	assert_non_null(c);
	assert_int_equal(c->services[0].common->account->uid, uid);
	conf_free(c);
	assert_null(conf_from("service x { listen = tcp:1 exec = /bin/sh\n user = root }\n", NULL,
			      uid, true));
	assert_string_equal(found.errors, "test.conf:2: service x: user: only root can start "
			    "handlers as another user: 'root'\n");
	assert_null(conf_from("service x { listen = tcp:1 exec = /bin/sh\n group = 54321 }\n",
			      NULL, uid, true));
	assert_string_equal(found.errors, "test.conf:2: service x: group: only root can start "
			    "handlers in another group: '54321'\n");
}

static void
test_missing_program_is_a_warning(void **state)
{
	struct conf *c = conf_from("service x { listen = tcp:1\n exec = /no/such/thing }\n"
				   "service y { listen = tcp:2 exec = /no/such/thing }\n", NULL,
				   getuid() ? getuid() : 12345, true);

	(void)state;
	assert_non_null(c);
	assert_string_equal(found.warnings, "test.conf:2: service x: exec: /no/such/thing: No such "
			    "file or directory\n");
	conf_free(c);
}

static void
test_global_settings(void **state)
{
	static char text[300];
	struct conf *c = conf_pure("log = \"/var/log/x\" control = \"/run/c\" event_backend = "
				   "select\nmax_processes = 0 conf = { a, \"b*\" }\n");

	(void)state;
	assert_string_equal(c->log, "/var/log/x");
	assert_string_equal(c->conf[1], "b*");
	assert_int_equal(c->max_processes, 0);
	conf_free(c);
	expect_error("log = journal\n",
		     "test.conf:1: log: expected syslog, stderr or an absolute path, not 'journal'");
	expect_error("log = \"\"\n", "test.conf:1: log: may not be empty");
	expect_error("event_backend = kqueue\n", "test.conf:1: event_backend: expected auto, "
		     "epoll, poll or select, not 'kqueue'");
	expect_error("control = c\n",
		     "test.conf:1: control: expected an absolute path, not 'c'");
	expect_error("pid_file = p\n",
		     "test.conf:1: pid_file: expected an absolute path, not 'p'");
	expect_error("user = \"\"\n", "test.conf:1: user: may not be empty");
	(void)snprintf(text, sizeof(text), "control = /%0106d\n", 1);
	conf_free(conf_pure(text));
	(void)snprintf(text, sizeof(text), "control = /%0107d\n", 1);
	assert_null(conf_from(text, NULL, 1000, false));
	assert_non_null(strstr(found.errors, "too long for the path of a socket"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_of_exec_and_internal),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_internal_has_no_handler),
		cmocka_unit_test(test_wait_and_pass),
		cmocka_unit_test(test_session_is_for_udp),
		cmocka_unit_test(test_unix_sockets),
		cmocka_unit_test(test_addresses_are_taken_once),
		cmocka_unit_test(test_all_addresses_and_one),
		cmocka_unit_test(test_multicast_needs_a_listener),
		cmocka_unit_test(test_number_of_addresses),
		cmocka_unit_test(test_root_needs_a_user),
		cmocka_unit_test(test_accounts_of_root),
		cmocka_unit_test(test_accounts_of_others),
		cmocka_unit_test(test_missing_program_is_a_warning),
		cmocka_unit_test(test_global_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
