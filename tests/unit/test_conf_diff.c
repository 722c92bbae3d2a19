/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Tests of conf_diff: what a reload is told. */
#include "config.h"

#include "conf_diff.h"
#include "conf_text.h"

#define BASE "listen = { tcp:1, udp:1 } exec = { /a, b } limits { instances = 5 }\n"

static void
expect_names(const char *a, const char *b, const char *names)
{
	char text_a[512], text_b[512], buf[256];
	struct conf *x, *y;

	(void)snprintf(text_a, sizeof(text_a), "service s { %s }", a);
	(void)snprintf(text_b, sizeof(text_b), "\n\nservice s { %s }", b);
	x = conf_pure(text_a);
	y = conf_pure(text_b);
	assert_int_equal(conf_diff_service(x->services, y->services, buf, sizeof(buf)),
			 strlen(names));
	assert_string_equal(buf, names);
	conf_free(x);
	conf_free(y);
}

static void
test_names_of_settings(void **state)
{
	(void)state;
	expect_names(BASE, BASE, "");
	expect_names(BASE, "exec = { \"/a\", 'b' } listen = { \"tcp:1\",\n\"udp:1\" }\n"
		     "limits { per_source = 64 instances = 5 } nice = 0", "");
	expect_names(BASE, BASE "enabled = no", "enabled");
	expect_names(BASE, "listen = { tcp:1 } exec = { /a } limits { instances = 6 }",
		     "listen,exec,limits");
	expect_names(BASE, BASE "user = x group = y groups = no", "user,group,groups");
	expect_names(BASE, BASE "directory = /x chroot = /x umask = 0 nice = 1",
		     "directory,chroot,umask,nice");
	expect_names(BASE "environment = { \"A=b\" }", BASE "environment = { }", "environment");
	expect_names(BASE, BASE "stderr = null log_events = { } on_reload = terminate argv0 = x",
		     "stderr,log_events,on_reload,argv0");
	expect_names(BASE, BASE "timeouts { stop = 1s } socket { mode = 0 multicast = { ff02::1 } }"
		     " session { once = yes } rlimits { core = 0 }",
		     "timeouts,socket,session,rlimits");
	expect_names(BASE, BASE "kill = tree tcpmux = x access { allow = { } }\n"
		     "banner { open = x }", "kill,tcpmux,access,banner");
	expect_names(BASE, BASE "proxy { from = ::1 }", "proxy");
	expect_names(BASE "rlimits { core = 0 }", BASE "rlimits { core = 1 }", "rlimits");
	expect_names(BASE "socket { device = lo }", BASE "socket { device = l0 }", "socket");
}

/* Where an entry stands is no change, nor is how a value is written. */
static void
test_admission(void **state)
{
	(void)state;
	expect_names(BASE "access { allow = { 10.0.0.1, 10.0.0.2 } }",
		     BASE "access {\n\nallow = {\n10.0.0.1,\n'10.0.0.2' } }", "");
	expect_names(BASE "access { allow = { 10.0.0.1, 10.0.0.2 } }",
		     BASE "access { allow = { 10.0.0.2, 10.0.0.1 } }", "access");
	expect_names(BASE "access { allow = { 10.0.0.1, 10.0.0.2 } }",
		     BASE "access { allow = { 10.0.0.1 } }", "access");
	expect_names(BASE "access { allow = { } }", BASE "access { deny = { } }", "access");
	expect_names(BASE "access { deny = { } }", BASE, "");
	expect_names(BASE "access { max_load = 1 }", BASE "access { max_load = 1.0 }", "");
	expect_names(BASE "access { max_load = 1 }", BASE "access { max_load = 1.01 }", "access");
	expect_names(BASE "access { max_pressure = \"io:1\" }", BASE, "access");
	expect_names(BASE "access { hours = \"1:00-2:00\" }", BASE, "access");
	expect_names("listen = tcp:1 exec = /a limits { rate = \"60/60s\" }",
		     "listen = tcp:1 exec = /a limits { rate = \"60/1min\" }", "");
	expect_names("listen = tcp:1 exec = /a limits { rate = \"60/60s\" }",
		     "listen = tcp:1 exec = /a limits { rate = \"1/1s\" }", "limits");
	expect_names(BASE "banner { open = \"\\r\\n\" }", BASE "banner { open = '\\x0d\\12' }",
		     "");
	expect_names(BASE "banner { open = '\\r\\n' }", BASE "banner { open = '\\n' }", "banner");
	expect_names(BASE "proxy { from = ::1 }", BASE "proxy { from = ::1 required = no }",
		     "proxy");
	expect_names(BASE "tcpmux = a", BASE "tcpmux = \"+A\"", "tcpmux");
	expect_names(BASE "tcpmux = a", BASE "tcpmux = A", "");
	expect_names(BASE "timeouts { idle = 1s }", BASE "timeouts { total = 1s }", "timeouts");
}

static void
test_cut_at_the_end_of_the_buffer(void **state)
{
	struct conf *a = conf_pure("service s { " BASE "}");
	struct conf *b = conf_pure("service s { " BASE "nice = 1 chroot = /x }");
	char buf[9] = "........";

	(void)state;
	assert_int_equal(conf_diff_service(a->services, b->services, buf, 5), 4);
	assert_string_equal(buf, "chro");
	assert_int_equal(buf[5], '.');
	conf_free(a);
	conf_free(b);
}

static void
note(enum conf_change what, const struct conf_service *a, const struct conf_service *b, void *arg)
{
	static const char signs[] = { '=', '+', '-', '~' };
	char *buf = arg;
	size_t len = strlen(buf);

	assert_true(!a == (what == CONF_ADDED));
	assert_true(!b == (what == CONF_REMOVED));
	(void)snprintf(buf + len, 256 - len, "%c%s ", signs[what], a ? a->name : b->name);
}

static void
expect_diff(const char *old, const char *new, const char *what)
{
	struct conf *a = conf_pure(old), *b = conf_pure(new);
	char buf[256] = "";

	conf_diff(a, b, note, buf);
	assert_string_equal(buf, what);
	conf_free(a);
	conf_free(b);
}

static void
test_added_removed_changed(void **state)
{
	(void)state;
	expect_diff("", "", "");
	expect_diff("", "service b { listen = tcp:1 exec = /a } service a { listen = tcp:2 exec = /a }",
		    "+a +b ");
	expect_diff("service b { listen = tcp:1 exec = /a }", "", "-b ");
	expect_diff("service a { listen = tcp:1 exec = /a }\nservice b { listen = tcp:2 exec = /a }\n"
		    "service c { listen = tcp:3 exec = /a }\n",
		    "service d { listen = tcp:4 exec = /a }\nservice c { listen = tcp:3 exec = /b }\n"
		    "service b { listen = tcp:2 exec = /a }\n", "-a ~c +d ");
	expect_diff("service a { listen = tcp:1 exec = /a enabled = no }",
		    "service a { listen = tcp:1 exec = /a }", "+a ");
	expect_diff("service a { listen = tcp:1 exec = /a }",
		    "service a { listen = tcp:1 exec = /a enabled = no }", "-a ");
	expect_diff("service a { listen = tcp:1 exec = /a enabled = no }",
		    "service a { listen = tcp:2 exec = /b enabled = no }", "");
}

static void
test_global_settings(void **state)
{
	struct conf *a = conf_pure("");
	struct conf *b = conf_pure("log = stderr control = /c max_processes = 1 conf = { x }");
	char buf[64];

	(void)state;
	assert_int_equal(conf_diff_global(a, a, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
	(void)conf_diff_global(a, b, buf, sizeof(buf));
	assert_string_equal(buf, "log,control,max_processes,conf");
	conf_free(a);
	conf_free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_settings),
		cmocka_unit_test(test_admission),
		cmocka_unit_test(test_cut_at_the_end_of_the_buffer),
		cmocka_unit_test(test_added_removed_changed),
		cmocka_unit_test(test_global_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
