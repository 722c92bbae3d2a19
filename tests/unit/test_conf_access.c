/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Tests of the settings of admission: access, rates, times, banners, tcpmux,
 * proxies.  What is not wholly understood never yields a service. */
#include "config.h"

#include <unistd.h>

#include "conf_diff.h"
#include "conf_text.h"
#include "gate.h"

#define EXEC "listen = tcp:1 exec = /a "
#define NEEDS " needs wait = no and a stream listener or tcpmux"
#define PROXY_NEEDS " needs wait = no and a stream listener"
#define ITSELF " can't be enforced with wait = yes and a stream listener: the handler accepts " \
	"by itself"

static void
test_defaults(void **state)
{
	struct conf *c = expect_good("");
	const struct conf_common *s = c->services[0].common;

	(void)state;
	assert_int_equal(s->kill, CONF_KILL_GROUP);
	assert_null(s->tcpmux);
	assert_null(s->access->allow);
	assert_null(s->access->deny);
	assert_null(s->access->hours);
	assert_null(s->access->max_pressure);
	assert_int_equal(s->access->max_load, 0);
	assert_null(s->gate);
	assert_int_equal(s->limits->rate.n, 0);
	assert_int_equal(s->limits->rate_per_source.n, 0);
	assert_int_equal(s->timeouts->first_byte_ms, 0);
	assert_int_equal(s->timeouts->idle_ms, 0);
	assert_int_equal(s->timeouts->total_ms, 0);
	assert_int_equal(s->timeouts->stop_ms, 5000);
	assert_int_equal(s->timeouts->linger_ms, 0);
	assert_null(s->banner->open);
	assert_null(s->banner->refuse_bytes);
	assert_null(s->proxy->from);
	assert_true(s->proxy->required);
	assert_int_equal(s->proxy->timeout_ms, 3000);
	assert_null(s->proxy_gate);
	assert_int_equal(sizeof(struct conf_service), 8 * sizeof(void *));
	conf_free(c);
}

static void
test_values(void **state)
{
	struct conf *c = conf_pure(
		"service y { internal = echo tcpmux = \"+Git/X\" }\n"
		"service x {\n" EXEC "kill = tree\n"
		"access { allow = { \"10.0.0.0/8\",\n\"file:/x\", host.example, \"uid:0\" }\n"
		"  deny = 10.1.0.0/16 hours = { \"Mon-Fri 08:00-20:00\", \"daily 1:00-2:00\" }\n"
		"  max_load = 8.05 max_pressure = { \"cpu:40\", \"memory:10.5\", \"io:0.01\" } }\n"
		"limits { rate = \"100/10s\" rate_per_source = \"5/1min\" }\n"
		"timeouts { first_byte = 1s idle = 2s total = 3s stop = 4s linger = 500ms }\n"
		"banner { open = \"hello\\r\\n\" refuse = 'busy\\r\\n' }\n"
		"proxy { from = { 10.0.0.1, ::1 } required = no timeout = 1s }\n}\n");
	const struct conf_common *s = c->services[1].common;

	(void)state;
	assert_int_equal(s->kill, CONF_KILL_TREE);
	assert_string_equal(c->services[0].common->tcpmux, "+git/x");
	assert_string_equal(s->access->allow[0].text, "10.0.0.0/8");
	assert_int_equal(s->access->allow[0].line, 4);
	assert_int_equal(s->access->allow[1].line, 5);
	assert_string_equal(s->access->allow[3].file, "test.conf");
	assert_null(s->access->allow[4].text);
	assert_string_equal(s->access->deny[0].text, "10.1.0.0/16");
	assert_null(s->access->deny[1].text);
	assert_string_equal(s->access->hours[1].text, "daily 1:00-2:00");
	assert_int_equal(s->access->max_load, 805);
	assert_string_equal(s->access->max_pressure[2], "io:0.01");
	assert_null(s->access->max_pressure[3]);
	assert_int_equal(s->limits->rate.n, 100);
	assert_int_equal(s->limits->rate.per_ms, 10000);
	assert_int_equal(s->limits->rate_per_source.n, 5);
	assert_int_equal(s->limits->rate_per_source.per_ms, 60000);
	assert_int_equal(s->timeouts->first_byte_ms, 1000);
	assert_int_equal(s->timeouts->idle_ms, 2000);
	assert_int_equal(s->timeouts->total_ms, 3000);
	assert_int_equal(s->timeouts->stop_ms, 4000);
	assert_int_equal(s->timeouts->linger_ms, 500);
	assert_int_equal(s->banner->open_bytes->len, 7);
	assert_memory_equal(s->banner->open_bytes->bytes, "hello\r\n", 7);
	assert_int_equal(s->banner->refuse_bytes->len, 6);
	assert_memory_equal(s->banner->refuse_bytes->bytes, "busy\r\n", 6);
	assert_string_equal(s->proxy->from[1].text, "::1");
	assert_false(s->proxy->required);
	assert_int_equal(s->proxy->timeout_ms, 1000);
	assert_non_null(s->gate);
	assert_non_null(s->proxy_gate);
	conf_free(c);
}

/* As hatchd --set access.allow=10.0.0.0/8 writes it. */
static void
test_one_value_is_a_list(void **state)
{
	struct conf *c = expect_good("access {\n allow = \"10.0.0.0/8\"\n max_load = \"5\"\n}\n"
				     "banner {\n refuse = \"busy\\\\r\\\\n\"\n}");
	const struct conf_common *s = c->services[0].common;

	(void)state;
	assert_string_equal(s->access->allow[0].text, "10.0.0.0/8");
	assert_null(s->access->allow[1].text);
	assert_int_equal(s->access->max_load, 500);
	assert_memory_equal(s->banner->refuse_bytes->bytes, "busy\r\n", 6);
	conf_free(c);
	assert_null(conf_from("service x { " EXEC "access { allow = \"10.0.0.1 10.0.0.2\" } }",
			      NULL, 1000, false));
}

static enum reason
judge(const struct conf_service *s, const char *peer)
{
	struct addr a;

	assert_int_equal(addr_parse(peer, &a), 0);
	return gate_judge(s->common->gate, &a, 0, NULL, NULL);
}

static void
test_empty_and_missing_lists(void **state)
{
	struct conf *c = conf_pure(
		"service a { listen = tcp:1 exec = /a access { allow = { } } }\n"
		"service b { listen = tcp:2 exec = /a access { deny = { } hours = { } } }\n"
		"service c { listen = tcp:3 exec = /a access { deny = 10.0.0.0/8 } }\n"
		"service d { listen = tcp:4 exec = /a access { allow = { } } enabled = no }\n");
	const struct conf_service *s = c->services;

	(void)state;
	assert_non_null(s[0].common->access->allow);
	assert_null(s[0].common->access->allow[0].text);
	assert_int_equal(judge(&s[0], "127.0.0.1"), REASON_ACCESS);
	assert_null(s[1].common->access->deny);
	assert_null(s[1].common->gate);
	assert_int_equal(judge(&s[1], "127.0.0.1"), REASON_NONE);
	assert_int_equal(judge(&s[2], "10.1.2.3"), REASON_ACCESS);
	assert_int_equal(judge(&s[2], "11.1.2.3"), REASON_NONE);
	assert_null(s[3].common->gate);
	conf_free(c);
}

/* A service's own list replaces that of defaults; nothing is shared wrongly. */
static void
test_lists_of_defaults(void **state)
{
	struct conf *c = conf_pure(
		"defaults { access { allow = 10.0.0.0/8 } limits { rate = \"5/1s\" } kill = tree\n"
		"  banner { refuse = no } proxy { from = ::1 } timeouts { total = 1h } }\n"
		"service a { listen = tcp:1 exec = /a }\n"
		"service b { listen = tcp:2 exec = /a access { allow = 11.0.0.0/8 } }\n"
		"service c { listen = tcp:3 exec = /a access { deny = 10.1.0.0/16 } }\n"
		"service d { listen = tcp:4 exec = /a proxy { from = { } } limits { rate = \"\" } }\n");
	const struct conf_service *s = c->services;

	(void)state;
	assert_int_equal(judge(&s[0], "10.1.0.1"), REASON_NONE);
	assert_int_equal(judge(&s[0], "11.0.0.1"), REASON_ACCESS);
	assert_int_equal(judge(&s[1], "10.1.0.1"), REASON_ACCESS);
	assert_int_equal(judge(&s[1], "11.0.0.1"), REASON_NONE);
	assert_int_equal(judge(&s[2], "10.1.0.1"), REASON_ACCESS);
	assert_int_equal(judge(&s[2], "10.2.0.1"), REASON_NONE);
	assert_int_equal(judge(&s[3], "10.1.0.1"), REASON_NONE);
	assert_ptr_equal(s[0].common->gate, s[3].common->gate);
	assert_ptr_equal(s[0].common->access, s[3].common->access);
	assert_ptr_equal(s[0].common->proxy_gate, s[1].common->proxy_gate);
	assert_null(s[3].common->proxy_gate);
	assert_int_equal(s[0].common->limits->rate.n, 5);
	assert_int_equal(s[3].common->limits->rate.n, 0);
	assert_int_equal(s[1].common->kill, CONF_KILL_TREE);
	assert_int_equal(s[2].common->timeouts->total_ms, 3600000);
	assert_ptr_equal(s[0].common->banner->refuse_bytes, s[3].common->banner->refuse_bytes);
	conf_free(c);
}

static void
test_S16_unparsable_never_loads(void **state)
{
	static const char *const bad[] = {
		"access { alow = { } }", "access { allow = \"\" }", "access { allow = { \"\" } }",
		"access { allow = 1 }", "access { deny = { a, b, \"c d\" } }",
		"access { hours = \"\" }", "access { hours = always }",
		"access { hours = \"25:00-26:00\" }", "access { hours = \"Mon-Fri\" }",
		"access { hours = \"08:00-20:00 ../../etc/passwd\" }",
		"access { max_load = -1 }", "access { max_load = 8.123 }",
		"access { max_load = 10001 }", "access { max_load = high }",
		"access { max_load = \"\" }", "access { max_load = \".5\" }",
		"access { max_load = \"5.\" }", "access { max_load = { 5 } }",
		"access { max_pressure = cpu }", "access { max_pressure = \"cpu:0\" }",
		"access { max_pressure = \"cpu:101\" }", "access { max_pressure = \"disk:5\" }",
		"access { max_pressure = \"cpu:5%\" }",
		"access { max_pressure = { \"cpu:5\", \"cpu:6\" } }", "access = yes",
		"limits { rate = 5 }", "limits { rate = 5/s }", "limits { rate = \"0/1s\" }",
		"limits { rate = \"5/0\" }", "limits { rate_per_source = \"5/10\" }",
		"limits { rate_per_source = \"-5/10s\" }", "timeouts { first_byte = 5 }",
		"timeouts { idle = soon }", "timeouts { total = 1y }", "timeouts { linger = -1s }",
		"banner { open = 'a\\qb' }", "banner { refuse = '\\0' }", "banner { open = '\\' }",
		"banner { open = '\\xg0' }", "banner { open = '\\400' }", "banner { open = '\\x1' }",
		"banner { open = \"file:x\" }", "banner { close = x }", "banner = x",
		"proxy { from = 10.0.0.0/33 }", "proxy { from = \"uid:0\" }",
		"proxy { from = \"gid:users\" }", "proxy { from = ::1 timeout = 0 }",
		"proxy { from = ::1 required = perhaps }", "proxy { required = yes }",
		"proxy { timeout = 1s }", "proxy { from = { } required = yes }",
		"kill = all", "tcpmux = \"a b\"", "tcpmux = \"+\"", "tcpmux = \"\303\244\"",
		"tcpmux = help", "tcpmux = \"+HELP\"", "tcpmux = { a, b }",
	};
	char text[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(text, sizeof(text), "service good { listen = tcp:1 exec = /a }\n"
			       "service x { listen = tcp:2 exec = /b %s }\n", bad[i]);
		if (conf_from(text, NULL, 1000, false))
			fail_msg("loaded: %s", text);
		if (strncmp(found.errors, "test.conf:2: ", 13) != 0)
			fail_msg("%s: %s", text, found.errors);
		/* nor in a service that doesn't run, nor in defaults */
		(void)snprintf(text, sizeof(text), "service x { listen = tcp:2 exec = /b\n"
			       "enabled = no %s }\n", bad[i]);
		if (conf_from(text, NULL, 1000, false))
			fail_msg("loaded: %s", text);
		if (strstr(bad[i], "required = yes") || strstr(bad[i], "timeout = 1s"))
			continue;	/* without proxy.from: that is a service's to give */
		(void)snprintf(text, sizeof(text), "defaults { %s }\n"
			       "service x { listen = tcp:2 exec = /b }\n", bad[i]);
		if (conf_from(text, NULL, 1000, false))
			fail_msg("loaded: %s", text);
	}
}

static void
test_L25_unparsable_addresses(void **state)
{
	static const char *const bad[] = {
		"127.0.0.1.oops/8x", "192.0.2.300", "10.0.0.0/33", "10.0.0", "10.0.0.1/8",
		"0x7f.1", "*", "all", "10.0.0.0-10.0.0.9", "10.0.0.1,10.0.0.2", "2001:db8::/129",
		"[::1]", "fe80::1%lo", "file:list", "uid:", "gid:-1", "!10.0.0.1", "10.0.0.1:80",
		"a..b",
	};
	char text[512], start[128];
	size_t i;
	int k;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (k = 0; k < 2; k++) {
			(void)snprintf(text, sizeof(text), "service x { " EXEC "\naccess {\n%s = {\n"
				       "10.9.0.0/16,\n\"%s\" } } }\n", k ? "deny" : "allow",
				       bad[i]);
			(void)snprintf(start, sizeof(start), "test.conf:5: service x: access.%s: "
				       "'%s': ", k ? "deny" : "allow", bad[i]);
			if (conf_from(text, NULL, 1000, false))
				fail_msg("loaded: %s", text);
			if (strncmp(found.errors, start, strlen(start)) != 0)
				fail_msg("%s: %s", start, found.errors);
		}
	}
	expect_error("service x { " EXEC "enabled = no access {\n deny = 192.0.2.300 } }\n",
		     "test.conf:2: service x: access.deny: '192.0.2.300': not an IPv4 address "
		     "(four numbers from 0 to 255 with dots between)");
}

/* An error in a list is one of the whole configuration: no other setting and no
 * other section makes the service run without it. */
static void
test_L26_nothing_revives_a_bad_list(void **state)
{
	(void)state;
	assert_null(conf_from("defaults { enabled = yes access { deny = { } } }\n"
			      "service x { " EXEC "enabled = yes access { deny = \"a,b\" } }\n",
			      "service y { listen = tcp:2 exec = /a }\n", 1000, false));
	assert_non_null(strstr(found.errors, "test.conf:2: service x: access.deny: 'a,b': "));
	assert_null(conf_from("defaults { access { deny = \"a,b\" } }\n"
			      "service x { " EXEC "access { deny = { } } }\n", NULL, 1000, false));
	assert_non_null(strstr(found.errors, "test.conf:1: defaults: access.deny: 'a,b': "));
	expect_error("service x { " EXEC "access { deny = 10.0.0.1 }\naccess { } }\n",
		     "test.conf:2: 'access' is given twice in service x (first in line 1)");
}

static void
test_names_are_looked_up(void **state)
{
	struct conf *c;

	(void)state;
	assert_null(conf_from("service x { listen = tcp:1 exec = /bin/sh access {\n"
			      "allow = { \"uid:0\",\n\"uid:no.such.user\",\n"
			      "\"file:/no/such/list\" } } }\n",
			      NULL, getuid() ? getuid() : 12345, true));
	assert_non_null(strstr(found.errors, "test.conf:3: service x: access.allow: "
			       "'uid:no.such.user': "));
	assert_non_null(strstr(found.errors, "/no/such/list"));
	/* what isn't to run asks the system for nothing */
	c = conf_from("service x { listen = tcp:1 exec = /bin/sh enabled = no access {\n"
		      "allow = { \"uid:no.such.user\", \"file:/no/such/list\" } }\n"
		      "banner { open = \"file:/no/such/text\" } }\n",
		      NULL, getuid() ? getuid() : 12345, true);
	assert_string_equal(found.errors, "");
	conf_free(c);
}

static void
test_access_and_wait(void **state)
{
	struct conf *c;

	(void)state;
	expect_bad("wait = yes access { allow = ::1 }", "access.allow" ITSELF);
	expect_bad("wait = yes access { deny = ::1 }", "access.deny" ITSELF);
	expect_bad("wait = yes access { hours = \"1:00-2:00\" }", "access.hours" ITSELF);
	expect_bad("wait = yes access { max_load = 1 }", "access.max_load" ITSELF);
	expect_bad("wait = yes access { max_pressure = \"io:1\" }", "access.max_pressure" ITSELF);
	expect_bad("enabled = no wait = yes access { allow = ::1 }", "access.allow" ITSELF);
	expect_error("defaults { access { allow = ::1 } }\n\n"
		     "service x { listen = \"unix:/x\" exec = /a wait = yes }\n",
		     "test.conf:3: service x: access.allow" ITSELF " (it is from defaults)");
	expect_error("service x { listen = { udp:1, tcp:1 } exec = /a wait = yes\n"
		     "access { allow = ::1 } }\n",
		     "test.conf:2: service x: access.allow" ITSELF);
	conf_free(expect_good("wait = yes access { deny = { } max_load = 0 }"));
	c = conf_pure("service x { listen = udp:1 exec = /a wait = yes access { allow = ::1 } }\n"
		      "service y { listen = udp:2 internal = echo access { allow = ::1 } }\n");
	assert_non_null(c->services[0].common->gate);
	assert_ptr_equal(c->services[0].common->gate, c->services[1].common->gate);
	conf_free(c);
}

static void
test_what_needs_connections(void **state)
{
	static const char *const pairs[][2] = {
		{ "timeouts { first_byte = 1s }", "timeouts.first_byte" },
		{ "timeouts { linger = 1s }", "timeouts.linger" },
		{ "timeouts { idle = 1s }", "timeouts.idle" },
		{ "banner { open = x }", "banner.open" },
	};
	char text[512], line[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		(void)snprintf(text, sizeof(text), "service x { listen = udp:1 exec = /a\n%s }\n",
			       pairs[i][0]);
		(void)snprintf(line, sizeof(line), "test.conf:2: service x: %s" NEEDS, pairs[i][1]);
		expect_error(text, line);
		(void)snprintf(text, sizeof(text), "service x { " EXEC "wait = yes\n%s }\n",
			       pairs[i][0]);
		expect_error(text, line);
		(void)snprintf(text, sizeof(text), "service x { listen = { udp:1, tcp:1 } "
			       "exec = /a\n%s }\n", pairs[i][0]);
		conf_free(conf_pure(text));
		(void)snprintf(text, sizeof(text), "service x { exec = /a tcpmux = x\n%s }\n",
			       pairs[i][0]);
		conf_free(conf_pure(text));
	}
	/* an address that is wrong is told, and nothing else */
	assert_null(conf_from("service x { listen = tcp exec = /a timeouts { idle = 1s } }\n", NULL,
			      1000, false));
	assert_null(strstr(found.errors, "idle"));
}

static void
test_defaults_that_do_not_fit(void **state)
{
	struct conf *c = conf_pure(
		"defaults { timeouts { first_byte = 1s idle = 1s total = 1s linger = 1s }\n"
		"  banner { open = a refuse = b } proxy { required = no timeout = 1s }\n"
		"  kill = tree }\n"
		"service a { listen = udp:1 exec = /a }\n"
		"service b { listen = tcp:2 exec = /a wait = yes }\n"
		"service c { listen = tcp:3 internal = echo }\n"
		"service d { listen = \"unix:/x\" exec = /a }\n");
	const struct conf_service *s = c->services;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		assert_int_equal(s[i].common->timeouts->first_byte_ms, 0);
		assert_int_equal(s[i].common->timeouts->idle_ms, 0);
		assert_int_equal(s[i].common->timeouts->total_ms, 1000);
		assert_int_equal(s[i].common->timeouts->linger_ms, 0);
		assert_null(s[i].common->banner->open);
		assert_null(s[i].common->banner->open_bytes);
		assert_string_equal(s[i].common->banner->refuse, "b");
	}
	assert_true(s[0].common->proxy->required);
	assert_int_equal(s[2].common->timeouts->linger_ms, 0);
	assert_int_equal(s[2].common->timeouts->idle_ms, 1000);
	assert_int_equal(s[2].common->kill, CONF_KILL_GROUP);
	assert_int_equal(s[3].common->timeouts->idle_ms, 0);
	assert_int_equal(s[3].common->timeouts->first_byte_ms, 1000);
	assert_string_equal(s[3].common->banner->open, "a");
	conf_free(c);
	expect_error("defaults { proxy { from = ::1 } }\nservice x { listen = udp:1 exec = /a }\n",
		     "test.conf:2: service x: proxy.from" PROXY_NEEDS " (it is from defaults); "
		     "proxy { from = { } } says that it isn't meant here");
	expect_error("service x { listen = udp:1 exec = /a\nproxy { from = ::1 } }\n",
		     "test.conf:2: service x: proxy.from" PROXY_NEEDS);
	expect_error("service x { " EXEC "wait = yes\nproxy { from = ::1 } }\n",
		     "test.conf:2: service x: proxy.from" PROXY_NEEDS);
	conf_free(conf_pure("service x { listen = { udp:1, tcp:1 } exec = /a\n"
			    "proxy { from = ::1 } }\n"));
	conf_free(conf_pure("defaults { proxy { from = ::1 } }\n"
			    "service x { listen = udp:1 exec = /a proxy { from = { } } }\n"));
}

static void
test_idle_and_linger(void **state)
{
	(void)state;
	expect_error("service x { listen = \"unix:/x\" exec = /a timeouts {\n idle = 1s } }\n",
		     "test.conf:2: service x: timeouts.idle can't be seen on a UNIX socket");
	conf_free(conf_pure("service x { listen = { \"unix:/x\", tcp:1 } exec = /a\n"
			    "timeouts { idle = 1s } }\n"));
	expect_error("service x { listen = tcp:1 internal = echo timeouts {\n linger = 1s } }\n",
		     "test.conf:2: service x: timeouts.linger can't be used with internal");
	expect_error("service x { listen = tcp:1 internal = echo\n kill = tree }\n",
		     "test.conf:2: service x: kill can't be used with internal");
	conf_free(conf_pure("service x { listen = udp:1 exec = /a timeouts { linger = 0 idle = 0 }\n"
			    "kill = group }\n"));
}

static void
test_sources_and_wait(void **state)
{
	(void)state;
	conf_free(expect_good("wait = yes limits {\n rate_per_source = \"1/1s\" per_source = 1 }"));
	assert_string_equal(found.warnings,
		"test.conf:5: service x: limits.per_source: with wait = yes the handler accepts "
		"by itself, whoever it is\n"
		"test.conf:5: service x: limits.rate_per_source: with wait = yes the handler "
		"accepts by itself, whoever it is\n");
	conf_free(conf_pure("service x { listen = udp:1 exec = /a wait = yes\n"
			    "limits { rate_per_source = \"1/1s\" per_source = 1 } }\n"));
	assert_string_equal(found.warnings, "");
}

/* Nobody would be refused, or told so. */
static void
test_refusing_and_wait(void **state)
{
	(void)state;
	conf_free(expect_good("wait = yes limits { rate = \"1/1s\" when_full = refuse }\n"
			      "banner { refuse = x }"));
	assert_string_equal(found.warnings,
		"test.conf:4: service x: limits.when_full: with wait = yes clients always wait\n"
		"test.conf:5: service x: banner.refuse is only sent with wait = no and a stream "
		"listener or tcpmux\n");
	conf_free(expect_good("wait = yes limits { when_full = queue } banner { refuse = \"\" }"));
	assert_string_equal(found.warnings, "");
	conf_free(conf_pure("defaults { limits { when_full = refuse } banner { refuse = x } }\n"
			    "service x { " EXEC "wait = yes }\n"));
	assert_string_equal(found.warnings, "");
	conf_free(expect_good("limits { when_full = refuse } banner { refuse = x }"));
	assert_string_equal(found.warnings, "");
}

static void
test_total_of_internal_datagrams(void **state)
{
	struct conf *c;

	(void)state;
	expect_error("service x { listen = udp:1 internal = echo timeouts {\n total = 5s } }\n",
		     "test.conf:2: service x: timeouts.total can't be used with internal and "
		     "datagrams only");
	c = conf_pure("defaults { timeouts { total = 5s } }\n"
		      "service x { listen = udp:1 internal = echo }\n"
		      "service y { listen = udp:2 exec = /a }\n"
		      "service z { listen = { udp:3, tcp:3 } internal = echo }\n"
		      "service m { internal = echo tcpmux = m }\n");
	assert_int_equal(c->services[0].common->timeouts->total_ms, 0);
	for (int i = 1; i < 4; i++)
		assert_int_equal(c->services[i].common->timeouts->total_ms, 5000);
	conf_free(c);
}

/* An empty list is told where it stands. */
static void
test_line_of_an_empty_list(void **state)
{
	(void)state;
	expect_error("service y { " EXEC "access { allow = { } } listen = { } }\n"
		     "service x {\n wait = yes listen = tcp:2 exec = /a\n access {\n"
		     "  deny = { }\n  allow = {\n# nobody\n} } }\n",
		     "test.conf:6: service x: access.allow" ITSELF);
	expect_error("defaults {\n access { deny = { }\n allow = { } } }\n"
		     "service x { " EXEC "wait = yes\naccess {\n\nallow = { } } }\n",
		     "test.conf:7: service x: access.allow" ITSELF);
}

static void
test_proxy_and_tcpmux(void **state)
{
#define INSTEAD " can't be used with tcpmux: set proxy on the service with internal = \"tcpmux\""
	(void)state;
	expect_bad("tcpmux = x proxy { from = ::1 }", "proxy.from" INSTEAD);
	expect_error("service x { exec = /a tcpmux = x\nproxy { from = ::1 required = no } }\n",
		     "test.conf:2: service x: proxy.from" INSTEAD);
	expect_error("defaults { proxy { from = ::1 } }\nservice x { exec = /a\ntcpmux = x }\n",
		     "test.conf:2: service x: proxy.from" INSTEAD " (it is from defaults); "
		     "proxy { from = { } } says that it isn't meant here");
	conf_free(conf_pure("defaults { proxy { from = ::1 } }\n"
			    "service m { listen = tcp:1 internal = tcpmux }\n"
			    "service x { exec = /a tcpmux = x proxy { from = { } } }\n"));
#undef INSTEAD
}

static void
test_proxy_needs_from(void **state)
{
	(void)state;
	expect_bad("proxy { required = no }", "proxy.required: proxy.from is missing");
	expect_bad("proxy { timeout = 3s }", "proxy.timeout: proxy.from is missing");
	/* told once */
	assert_null(conf_from("service x { " EXEC "proxy { required = no from = 10.0 } }\n", NULL,
			      1000, false));
	assert_non_null(strstr(found.errors, "test.conf:1: service x: proxy.from: '10.0': "));
	assert_null(strstr(found.errors, "missing"));
	conf_free(conf_pure("defaults { proxy { from = ::1 } }\n"
			    "service x { " EXEC "proxy { required = no } }\n"));
}

static void
test_tcpmux(void **state)
{
	char text[256], name[70];
	struct conf *c = conf_pure("service a { exec = /a tcpmux = \"+A\" }\n"
				   "service b { internal = echo tcpmux = b }\n"
				   "service m { listen = { tcp:1, \"unix:/m\" } internal = tcpmux\n"
				   "  proxy { from = ::1 } }\n");

	(void)state;
	assert_string_equal(found.warnings, "");
	assert_string_equal(c->services[0].common->tcpmux, "+a");
	assert_int_equal(c->services[0].n_listen, 0);
	assert_int_equal(c->services[2].internal, INTERNAL_TCPMUX);
	conf_free(c);
	expect_error("service a { exec = /a tcpmux = x }\nservice b { exec = /a\n"
		     "tcpmux = \"+X\" }\n", "test.conf:3: service b: tcpmux: 'x' is taken by "
		     "service a, at test.conf:1");
	c = conf_pure("service a { exec = /a tcpmux = x }\n"
		      "service b { exec = /a tcpmux = x enabled = no }\n");
	assert_string_equal(found.warnings, "test.conf:1: service a: tcpmux: there is no service "
			    "with internal = tcpmux\n");
	conf_free(c);
	expect_error("service a { exec = /a wait = yes\ntcpmux = x }\n",
		     "test.conf:2: service a: tcpmux needs wait = no");
	expect_error("service a { exec = /a listen = udp:1\ntcpmux = x }\n",
		     "test.conf:2: service a: tcpmux can't be used with datagram listeners only");
	expect_error("service m { internal = tcpmux listen = { tcp:1,\nudp:1 } }\n",
		     "test.conf:2: service m: listen: 'udp:1': internal = tcpmux needs streams of bytes");
	expect_error("service m { internal = tcpmux listen = tcp:1\ntcpmux = m }\n",
		     "test.conf:2: service m: tcpmux: internal = tcpmux can't be behind tcpmux "
		     "itself");
	expect_error("service m { internal = tcpmux }\n", "test.conf:1: service m: listen is missing");
	expect_error("defaults { tcpmux = x }\n", "test.conf:1: 'tcpmux' can't be given in defaults");
	memset(name, 'n', sizeof(name));
	name[63] = '\0';
	(void)snprintf(text, sizeof(text), "service a { exec = /a tcpmux = \"+%s\" }", name);
	conf_free(conf_pure(text));
	name[63] = 'n';
	name[64] = '\0';
	(void)snprintf(text, sizeof(text), "service a { exec = /a tcpmux = %s }", name);
	assert_null(conf_from(text, NULL, 1000, false));
}

/* The file of a test, gone at its end. */
static const char *
text_file(const char *bytes, size_t len)
{
	static char path[64];
	int fd;

	(void)strcpy(path, "/tmp/hatchd-test-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	(void)close(fd);
	return path;
}

static struct conf *
with_banner_file(const char *path)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "service x { listen = tcp:1 exec = /bin/sh\n"
		       "banner { refuse = \"file:%s\" } }\n", path);
	return conf_from(text, NULL, getuid() ? getuid() : 12345, true);
}

static void
expect_bad_banner(const char *path, const char *why)
{
	char line[256];

	assert_null(with_banner_file(path));
	(void)snprintf(line, sizeof(line), "test.conf:2: service x: banner.refuse: %s: '%s'\n", why,
		       path);
	assert_string_equal(found.errors, line);
}

static void
test_banner_files(void **state)
{
	static char long_text[PROTO_TEXT + 1];
	const char *path = text_file("a\\n\r\n\0b", 7);
	struct conf *c = with_banner_file(path), *d;
	char buf[64];

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->services[0].common->banner->refuse_bytes->len, 7);
	assert_memory_equal(c->services[0].common->banner->refuse_bytes->bytes, "a\\n\r\n\0b", 7);
	assert_string_equal(c->services[0].common->banner->refuse + 5, path);
	/* the file has changed, its name has not */
	assert_int_equal(truncate(path, 6), 0);
	d = with_banner_file(path);
	assert_non_null(d);
	(void)conf_diff_service(c->services, d->services, buf, sizeof(buf));
	assert_string_equal(buf, "banner");
	conf_free(d);
	d = with_banner_file(path);
	(void)conf_diff_service(c->services, d->services, buf, sizeof(buf));
	assert_string_equal(buf, "banner");
	conf_free(c);
	conf_free(d);
	assert_int_equal(truncate(path, 0), 0);
	expect_bad_banner(path, "the file is empty");
	assert_int_equal(unlink(path), 0);
	expect_bad_banner(path, "No such file or directory");
	expect_bad_banner("/tmp", "not a regular file");
	path = text_file(long_text, sizeof(long_text));
	expect_bad_banner(path, "the file has more than 1024 bytes");
	assert_int_equal(truncate(path, PROTO_TEXT), 0);
	conf_free(with_banner_file(path));
	assert_string_equal(found.errors, "");
	(void)unlink(path);
}

static void
test_long_banner(void **state)
{
	static char text[2048], name[PROTO_TEXT + 2];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[PROTO_TEXT] = '\0';
	(void)snprintf(text, sizeof(text), "banner { open = \"%s\" }", name);
	conf_free(expect_good(text));
	name[PROTO_TEXT] = 'n';
	name[PROTO_TEXT + 1] = '\0';
	(void)snprintf(text, sizeof(text), "service x { " EXEC "banner { open = %s } }", name);
	assert_null(conf_from(text, NULL, 1000, false));
	assert_non_null(strstr(found.errors, "more than 1024 bytes"));
}

static void
test_many_elements(void **state)
{
	static char text[60000];
	size_t len;
	int i, n;
	struct conf *c;

	(void)state;
	for (n = 1024; n <= 1025; n++) {
		len = (size_t)snprintf(text, sizeof(text), "service x { " EXEC "access { deny = {\n");
		for (i = 0; i < n; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "10.%d.%d.0/24,\n",
						i / 256, i % 256);
		(void)snprintf(text + len, sizeof(text) - len, "} } }\n");
		c = conf_from(text, NULL, 1000, false);
		assert_int_equal(c != NULL, n == 1024);
		conf_free(c);
	}
	assert_string_equal(found.errors, "test.conf:1026: service x: access.deny: more than 1024 "
			    "elements\n");
}

/* Ten thousand services with the same lists have one table, with lists of their
 * own one for each different text. */
static void
test_many_services_share(void **state)
{
	struct conf *c;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int i;

	(void)state;
	assert_non_null(out);
	(void)fputs("defaults { access { allow = { 10.0.0.0/8, \"file:/x\" } } banner { refuse = x }"
		    " }\n", out);
	for (i = 0; i < 10000; i++)
		(void)fprintf(out, "service s%d { listen = tcp:%d exec = /a %s }\n", i, i + 1,
			      i % 2 ? "access { deny = 10.1.0.0/16 }" : "");
	(void)fclose(out);
	c = conf_pure(text);
	for (i = 0; i < 10000; i++) {
		assert_ptr_equal(c->services[i].common->gate, c->services[i % 2].common->gate);
		assert_ptr_equal(c->services[i].common->banner, c->services[0].common->banner);
	}
	assert_ptr_equal(c->services[0].common, c->services[9998].common);
	conf_free(c);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_one_value_is_a_list),
		cmocka_unit_test(test_empty_and_missing_lists),
		cmocka_unit_test(test_lists_of_defaults),
		cmocka_unit_test(test_S16_unparsable_never_loads),
		cmocka_unit_test(test_L25_unparsable_addresses),
		cmocka_unit_test(test_L26_nothing_revives_a_bad_list),
		cmocka_unit_test(test_names_are_looked_up),
		cmocka_unit_test(test_access_and_wait),
		cmocka_unit_test(test_what_needs_connections),
		cmocka_unit_test(test_defaults_that_do_not_fit),
		cmocka_unit_test(test_idle_and_linger),
		cmocka_unit_test(test_sources_and_wait),
		cmocka_unit_test(test_refusing_and_wait),
		cmocka_unit_test(test_total_of_internal_datagrams),
		cmocka_unit_test(test_line_of_an_empty_list),
		cmocka_unit_test(test_proxy_and_tcpmux),
		cmocka_unit_test(test_proxy_needs_from),
		cmocka_unit_test(test_tcpmux),
		cmocka_unit_test(test_banner_files),
		cmocka_unit_test(test_long_banner),
		cmocka_unit_test(test_many_elements),
		cmocka_unit_test(test_many_services_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
