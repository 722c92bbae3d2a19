/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Tests of conf_load, conf_scan and conf_value: what a text means and where it
 * is wrong.  test_trapN pins what libConfuse 3.3 gets wrong by itself. */
#include "config.h"

#include "conf_diff.h"
#include "conf_text.h"
#include "schema.h"

static void
test_defaults_of_everything(void **state)
{
	struct conf *c = expect_good("");
	const struct conf_service *s = c->services;

	(void)state;
	assert_string_equal(c->user, "hatchd");
	assert_string_equal(c->log, "syslog");
	assert_int_equal(c->log_format, CONF_LOG_TEXT);
	assert_null(c->control);
	assert_null(c->control_group);
	assert_null(c->pid_file);
	assert_int_equal(c->max_processes, 4096);
	assert_string_equal(c->event_backend, "auto");
	assert_null(c->conf);
	assert_int_equal(c->n_services, 1);
	assert_string_equal(s->name, "x");
	assert_string_equal(s->file, "test.conf");
	assert_int_equal(s->line, 1);
	assert_int_equal(s->user_line, 1);
	assert_int_equal(s->exec_line, 3);
	assert_true(s->enabled);
	assert_int_equal(s->n_listen, 1);
	assert_int_equal(s->listen[0].line, 2);
	assert_int_equal(s->listen[0].port, 7000);
	assert_string_equal(s->exec[0], "/bin/cat");
	assert_null(s->exec[1]);
	assert_int_equal(s->internal, INTERNAL_NONE);
	assert_false(s->common->wait);
	assert_true(s->common->groups);
	assert_string_equal(s->common->directory, "/");
	assert_null(s->common->chroot);
	assert_int_equal(s->common->umask, 022);
	assert_int_equal(s->common->nice, 0);
	assert_null(s->common->environment);
	assert_int_equal(s->common->log_events,
			 CONF_LOG_END | CONF_LOG_REFUSE | CONF_LOG_STDERR | CONF_LOG_FAIL);
	assert_int_equal(s->common->limits->instances, 256);
	assert_int_equal(s->common->limits->per_source, 64);
	assert_int_equal(s->common->limits->source_prefix4, 32);
	assert_int_equal(s->common->limits->source_prefix6, 64);
	assert_int_equal(s->common->limits->when_full, CONF_QUEUE);
	assert_int_equal(s->common->timeouts->stop_ms, 5000);
	assert_int_equal(s->common->socket->backlog, 4096);
	assert_int_equal(s->common->socket->freebind, CONF_AUTO);
	assert_int_equal(s->common->socket->mode, 0666);
	assert_int_equal(s->common->socket->owner_uid, (uid_t)-1);
	assert_int_equal(s->common->session->idle_ms, 60000);
	assert_int_equal(s->common->session->max, 1024);
	assert_false(s->common->session->once);
	assert_int_equal(s->common->n_rlimits, 0);
	conf_free(c);
}

static void
test_defaults_apply_wherever_they_stand(void **state)
{
	struct conf *c = conf_from(
		"service a { listen = tcp:1 exec = /a environment = { } limits { per_source = 1 } }\n"
		"service b { listen = tcp:2 exec = /b environment = { \"B=2\" }\n"
		"  rlimits { nofile = 5 } }\n",
		"defaults { umask = 077 environment = { \"A=1\" } limits { instances = 9 }\n"
		"  rlimits { nofile = 3 core = 0 } }\n"
		"service c { listen = tcp:3 exec = /c }\n", 1000, false);
	const struct conf_service *s;

	(void)state;
	assert_non_null(c);
	s = c->services;
	assert_int_equal(c->n_services, 3);
	assert_int_equal(s[0].common->umask, 077);
	assert_null(s[0].common->environment);
	assert_int_equal(s[0].common->limits->instances, 9);
	assert_int_equal(s[0].common->limits->per_source, 1);
	assert_string_equal(s[1].common->environment[0], "B=2");
	assert_null(s[1].common->environment[1]);
	assert_int_equal(s[1].common->n_rlimits, 2);
	assert_int_equal(s[1].common->rlimits[0].resource, RLIMIT_CORE);
	assert_int_equal(s[1].common->rlimits[1].soft, 5);
	assert_string_equal(s[2].common->environment[0], "A=1");
	assert_int_equal(s[2].common->rlimits[1].soft, 3);
	assert_string_equal(s[2].file, "more.conf");
	assert_int_equal(s[2].line, 3);
	assert_ptr_equal(s[1].common->limits, s[2].common->limits);
	conf_free(c);
}

static void
test_L1_trailing_comment_after_a_limit(void **state)
{
	struct conf *c = expect_good("limits {\nper_source = 1   # the maximum\n"
				     "instances = 2 // two\n}");

	(void)state;
	assert_int_equal(c->services[0].common->limits->per_source, 1);
	assert_int_equal(c->services[0].common->limits->instances, 2);
	conf_free(c);
}

static void
test_L2_no_means_no(void **state)
{
	struct conf *c = expect_good("enabled = no wait = no groups = no\n"
				     "socket { keepalive = no nodelay = off freebind = false }");
	const struct conf_service *s = c->services;

	(void)state;
	assert_false(s->enabled || s->common->wait || s->common->groups);
	assert_int_equal(s->common->socket->keepalive, 0);
	assert_int_equal(s->common->socket->nodelay, 0);
	assert_int_equal(s->common->socket->freebind, CONF_NO);
	conf_free(c);
	c = expect_good("wait = yes socket { keepalive = on nodelay = true freebind = yes }");
	s = c->services;
	assert_true(s->enabled && s->common->wait && s->common->groups);
	assert_int_equal(s->common->socket->keepalive, 1);
	assert_int_equal(s->common->socket->nodelay, 1);
	assert_int_equal(s->common->socket->freebind, CONF_YES);
	conf_free(c);
	expect_bad("wait = 1", "wait: expected yes or no, not '1'");
}

static void
test_L4_no_space_round_the_equals_sign(void **state)
{
	struct conf *c = conf_pure("service x{listen=tcp:7000 exec={\"/bin/cat\"}nice=5}");

	(void)state;
	assert_int_equal(c->services[0].common->nice, 5);
	conf_free(c);
}

/* What is ill-formed never yields a configuration, and so no service. */
static void
test_S16_ill_formed_never_loads(void **state)
{
	static const char *const bad[] = {
		"limits { instances = }", "limits { instances = ten }", "limits { instance = 1 }",
		"limits { instances = -1 }", "limits { instances = 1.5 }", "limits { instances = }",
		"limits { instances = 4294967297 }", "limits { instances = 1 2 }",
		"limits { per_source = { 1 } }", "limits = 5", "rlimits { nofile = lots }",
		"rlimits { nofile = \"2:1\" }", "rlimits { nofiles = 2 }", "rlimits { cpu = 60 }",
		"umask = 8", "umask = 01000", "nice = 20", "nice = \"+5\"", "user = { a, b }",
		"groups = perhaps", "enabled = 0", "enabled = \"\"", "listen = tcp:70000",
		"chroot = srv", "directory = \"\"", "environment = { \"1A=b\" }",
		"environment = { \"AB\" }", "pass_environment = { \"A=b\" }",
		"log_events = { everything }", "on_reload = kill", "stderr = 2",
		"socket { mode = 888 }", "socket { tos = 256 }", "socket { backlog = 0 }",
		"socket { backlog = 65536 }", "socket { device = \"0123456789abcdef\" }",
		"socket { multicast = { \"10.0.0.1\" } }", "socket { multicast = { name } }",
		"socket { rcvbuf = 2GiB }", "socket { rcvbuf = 5kg }", "socket { freebind = maybe }",
		"limits { source_prefix4 = 33 }", "limits { source_prefix6 = 129 }",
		"timeouts { stop = 5 }", "timeouts { stop = 5parsecs }", "access { allow = all }",
		"access { only_from = { } }", "no_access = { \"10.0.0.1\" }",
	};
	char text[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(text, sizeof(text), "service good { listen = tcp:1 exec = /a }\n"
			       "service x { enabled = yes listen = tcp:2 exec = /b %s }\n", bad[i]);
		if (i == 20 || i == 21 || i == 22)	/* they'd be repeated */
			(void)snprintf(text, sizeof(text), "service x { %s }\n", bad[i]);
		if (conf_from(text, NULL, 1000, false))
			fail_msg("loaded: %s", text);
		if (strncmp(found.errors, "test.conf:", 10) != 0)
			fail_msg("%s: %s", text, found.errors);
	}
}

static void
test_S22_long_line_and_many_arguments(void **state)
{
	static char text[20000];
	struct conf *c;
	int i, n;

	(void)state;
	(void)snprintf(text, sizeof(text), "log = stderr\nuser = \"%05000d\"\n", 1);
	expect_error(text, "test.conf:2: the line is longer than 4096 bytes");
	for (n = 1023; n <= 1024; n++) {
		(void)strcpy(text, "service x { listen = tcp:1\n exec = { \"/bin/echo\"\n");
		for (i = 0; i < n; i++)
			(void)strcat(text, ", a\n");
		(void)strcat(text, "} }\n");
		c = conf_from(text, NULL, 1000, false);
		assert_int_equal(c != NULL, n == 1023);
		if (c) {
			for (i = 0; c->services[0].exec[i]; i++)
				;
			assert_int_equal(i, 1024);
			conf_free(c);
		}
	}
	assert_string_equal(found.errors, "test.conf:1026: service x: exec: more than 1024 "
			    "elements\n");
}

static void
test_trap1_line_numbers_after_comments(void **state)
{
	(void)state;
	expect_error("# one\n// two\n/* three\n four */\n# five\nservice a {\n\t# seven\n"
		     "\tlisten = { # eight\n\t\ttcp:1,\n\t\t/* ten */ \"tcp:x y\"\n\t}\n"
		     "\texec = \"/a\" // twelve\n\tnice = 100 # thirteen\n}\n",
		     "test.conf:13: service a: nice: expected a number from -20 to 19, not '100'");
	assert_non_null(strstr(found.errors, "test.conf:10: service a: listen: 'tcp:x y': "));
}

/* Many services are parsed together; lines must stay true in each. */
static void
test_lines_in_joined_slices(void **state)
{
	static char text[100000];
	char line[128];
	size_t len = 0;
	int i;

	(void)state;
	for (i = 0; i < 100; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"# s%d\nservice s%d {\n\tlisten = tcp:%d # x\n\texec = /a\n"
					"\n\tnice = %d\n}\n", i, i, 1000 + i, i == 77 ? 50 : 5);
	(void)snprintf(line, sizeof(line), "test.conf:%d: service s77: nice: expected a number "
		       "from -20 to 19, not '50'", 77 * 7 + 6);
	expect_error(text, line);
	assert_int_equal(strchr(found.errors, '\n')[1], '\0');
}

static void
test_all_problems_are_told(void **state)
{
	(void)state;
	assert_null(conf_from("log = nowhere\nservice a { listen = tcp:1 exec = /a nice = x\n"
			      "\tumask = 9 }\n"
			      "service b { listen = tcp:2 exec = /b lmits { } usr = c }\n"
			      "service c { listen = tcp:1 exec = c }\n", NULL, 1000, false));
	assert_string_equal(found.errors,
		"test.conf:1: log: expected syslog, stderr or an absolute path, not 'nowhere'\n"
		"test.conf:2: service a: nice: expected a number from -20 to 19, not 'x'\n"
		"test.conf:3: service a: umask: expected an octal number up to 0777, not '9'\n"
		"test.conf:4: unknown setting 'lmits' in service b: did you mean 'limits'?\n"
		"test.conf:4: unknown setting 'usr' in service b: did you mean 'user'?\n"
		"test.conf:5: service c: exec: 'c' is not an absolute path\n"
		"test.conf:5: service c: listen: 'tcp:1' is taken by service a, at test.conf:2\n");
}

static void
test_unknown_settings(void **state)
{
	(void)state;
	expect_error("sevice x { }\n",
		     "test.conf:1: unknown setting 'sevice': did you mean 'service'?");
	expect_error("\nfoo = 1\n", "test.conf:2: unknown setting 'foo'");
	expect_error("inetd_conf = { }\n", "test.conf:1: unknown setting 'inetd_conf'");
	expect_error("instances = 1\n", "test.conf:1: unknown setting 'instances': did you mean "
		     "'service.limits.instances'?");
	expect_error("service x { max_processes = 1 }\n", "test.conf:1: unknown setting "
		     "'max_processes' in service x: it belongs outside of any section");
	expect_error("service x { stop = 1s }\n", "test.conf:1: unknown setting 'stop' in service "
		     "x: did you mean 'timeouts.stop'?");
	expect_error("service x { limits { instanecs = 1 } }\n", "test.conf:1: unknown setting "
		     "'limits.instanecs' in service x: did you mean 'limits.instances'?");
	expect_error("defaults { sandbox { allow = { } } }\n",
		     "test.conf:1: unknown setting 'sandbox' in defaults");
	expect_error("service x { allow = { } }\n", "test.conf:1: unknown setting 'allow' in "
		     "service x: did you mean 'access.allow'?");
	expect_error("service x { access { alow = { } } }\n", "test.conf:1: unknown setting "
		     "'access.alow' in service x: did you mean 'access.allow'?");
}

static void
test_trap5_duplicates(void **state)
{
	(void)state;
	expect_error("user = a\nlog = stderr\nuser = a\n",
		     "test.conf:3: 'user' is given twice (first at test.conf:1)");
	expect_error("service a { user = a\n listen = { }\n user = b\n listen = { tcp:1 } }\n",
		     "test.conf:3: 'user' is given twice in service a (first in line 1)");
	assert_non_null(strstr(found.errors, "test.conf:4: 'listen' is given twice in service a "
			       "(first in line 2)\n"));
	expect_error("service a { limits { }\n limits { } }\n",
		     "test.conf:2: 'limits' is given twice in service a (first in line 1)");
	expect_error("defaults { limits { instances = 1\n instances = 1 } }\n", "test.conf:2: "
		     "'limits.instances' is given twice in defaults (first in line 1)");
	expect_error("defaults { }\ndefaults { }\n",
		     "test.conf:2: 'defaults' is given twice (first at test.conf:1)");
	expect_error("service a { listen = tcp:1 exec = /a }\n\nservice \"a\" { }\n",
		     "test.conf:3: there is a service a already, at test.conf:1");
	assert_null(conf_from("service a { listen = tcp:1 exec = /a }\n",
			      "service a { listen = tcp:2 exec = /a }\n", 1000, false));
	assert_string_equal(found.errors,
			    "more.conf:1: there is a service a already, at test.conf:1\n");
	assert_null(conf_from("log = stderr\n", "\nlog = syslog\n", 1000, false));
	assert_string_equal(found.errors,
			    "more.conf:2: 'log' is given twice (first at test.conf:1)\n");
}

static void
test_trap3_truncated_file(void **state)
{
	(void)state;
	assert_null(conf_from("service a { listen = tcp:1 exec = /a", NULL, 1000, false));
	assert_null(conf_from("service a { listen = tcp:1 exec = /a } /* x", NULL, 1000, false));
	assert_null(conf_from("log = \"stderr", NULL, 1000, false));
}

static void
test_trap4_bytes_outside_of_quotes(void **state)
{
	(void)state;
	assert_null(conf_from("service a { listen = *:80 exec = /a }", NULL, 1000, false));
	assert_null(conf_from("log = stderr;", NULL, 1000, false));
	assert_null(conf_from("service|nice = 9", NULL, 1000, false));
	assert_null(conf_from("log = ${HOME}", NULL, 1000, false));
	assert_null(conf_from("log = \"${HOME}\"", NULL, 1000, false));
}

static void
test_trap7_numbers_are_decimal(void **state)
{
	struct conf *c = expect_good("umask = 010 socket { mode = 0640 }");

	(void)state;
	assert_int_equal(c->services[0].common->umask, 8);
	assert_int_equal(c->services[0].common->socket->mode, 0640);
	conf_free(c);
	expect_bad("limits { instances = 010 }",
		   "limits.instances: expected a number from 0 to 4194304, not '010'");
	expect_bad("limits { instances = 0x10 }",
		   "limits.instances: expected a number from 0 to 4194304, not '0x10'");
	expect_bad("limits { instances = \"\" }",
		   "limits.instances: expected a number from 0 to 4194304, not ''");
	expect_bad("limits { instances = \" 7\" }",
		   "limits.instances: expected a number from 0 to 4194304, not ' 7'");
}

static void
test_trap9_control_characters(void **state)
{
	(void)state;
	conf_free(expect_good("banner { open = \"a\\r\\n\" }"));
	expect_bad("banner { open = \"file:/a\\r\" }",
		   "banner.open: control characters in a path, not 'file:/a\\x0d'");
	expect_error("\nlog = \"/a\\nb\"\n",
		     "test.conf:2: log: control characters can't be used");
	assert_null(conf_from("log = \"/a\\x00b\"\n", NULL, 1000, false));
	assert_null(conf_from("log = \"/a\\0b\"\n", NULL, 1000, false));
	assert_null(conf_from("log = \"/a\033b\"\n", NULL, 1000, false));
	assert_null(conf_from("service \"a\\nb\" { listen = tcp:1 exec = /a }\n", NULL, 1000,
			      false));
	assert_null(conf_from("service \"a\\tb\" { listen = tcp:1 exec = /a }\n", NULL, 1000,
			      false));
	assert_null(strstr(found.errors, "\t"));
}

static void
test_trap16_many_failed_loads(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 50; i++) {
		assert_null(conf_from("log = \"stderr", "service a { b", 1000, false));
		assert_null(conf_from("log = stderr stderr", "defaults = 5\n", 1000, false));
		conf_free(conf_pure("log = stderr\n"));
	}
}

static void
test_trap24_silent_failure(void **state)
{
	(void)state;
	assert_null(conf_from("'' = 1\n", NULL, 1000, false));
	assert_true(found.errors[0] != '\0');
}

static void
test_shapes(void **state)
{
	(void)state;
	assert_null(conf_from("limits = 5\n", NULL, 1000, false));
	assert_null(conf_from("service { }\n", NULL, 1000, false));
	assert_null(conf_from("defaults \"x\" { }\n", NULL, 1000, false));
	assert_true(found.errors[0] != '\0');
	assert_null(conf_from("user { }\n", NULL, 1000, false));
	assert_true(found.errors[0] != '\0');
	assert_null(conf_from("service a { limits \"x\" { } }\n", NULL, 1000, false));
	assert_null(conf_from("service a { user { } }\n", NULL, 1000, false));
	assert_null(conf_from("service = a\n", NULL, 1000, false));
	expect_error("defaults { exec = /a }\n",
		     "test.conf:1: 'exec' can't be given in defaults");
	expect_error("defaults { internal = echo }\n",
		     "test.conf:1: 'internal' can't be given in defaults");
	assert_null(conf_from("", "\nconf = { }\n", 1000, false));
	assert_string_equal(found.errors,
			    "more.conf:2: 'conf' can be given in the main file only\n");
}

/* An entry that libConfuse refuses loses itself only. */
static void
test_one_bad_entry_among_many(void **state)
{
	(void)state;
	assert_null(conf_from("service a { listen = tcp:1 exec = /a nice = x }\n"
			      "service b { listen = tcp:2 exec = /b limits = 5 }\n"
			      "service c { listen = tcp:3 exec = /c nice = y }\n", NULL, 1000,
			      false));
	assert_non_null(strstr(found.errors, "test.conf:1: service a: nice: "));
	assert_non_null(strstr(found.errors, "test.conf:2: "));
	assert_non_null(strstr(found.errors, "test.conf:3: service c: nice: "));
}

static void
test_limit_of_durations(void **state)
{
	(void)state;
	expect_bad("timeouts { total = 50d }",
		   "timeouts.total: expected a duration of at most 1193h, not '50d'");
	expect_bad("timeouts { total = 50 }", "timeouts.total: expected a duration such as 500ms, "
		   "30s, 5min, 1h, not '50'");
	conf_free(expect_good("timeouts { total = 1193h }"));
}

static void
test_values(void **state)
{
	struct conf *c = expect_good(
		"argv0 = \"-x\" environment = { \"A=\", 'B=\"q\"' } log_events = { }\n"
		"rlimits { cpu = 90s as = \"1MiB:unlimited\" nofile = \"5:10\" }\n"
		"socket { tos = 255 mark = 4294967295 rcvbuf = 64KiB device = lo }\n"
		"timeouts { stop = 1min }");
	const struct conf_service *s = c->services;

	(void)state;
	assert_string_equal(s->argv0, "-x");
	assert_string_equal(s->common->environment[1], "B=\"q\"");
	assert_int_equal(s->common->log_events, 0);
	assert_int_equal(s->common->n_rlimits, 3);
	assert_int_equal(s->common->rlimits[0].resource, RLIMIT_CPU);
	assert_int_equal(s->common->rlimits[0].soft, 90);
	assert_int_equal(s->common->rlimits[1].resource, RLIMIT_NOFILE);
	assert_int_equal(s->common->rlimits[1].soft, 5);
	assert_int_equal(s->common->rlimits[1].hard, 10);
	assert_int_equal(s->common->rlimits[2].soft, 1048576);
	assert_true(s->common->rlimits[2].hard == RLIM_INFINITY);
	assert_int_equal(s->common->socket->tos, 255);
	assert_true(s->common->socket->mark == UINT32_MAX);
	assert_int_equal(s->common->socket->rcvbuf, 65536);
	assert_string_equal(s->common->socket->device, "lo");
	assert_int_equal(s->common->timeouts->stop_ms, 60000);
	conf_free(c);
}

static void
test_equal_parts_are_shared(void **state)
{
	struct conf *c = conf_pure(
		"service a { listen = tcp:1 exec = { \"/a\", b } limits { instances = 3 } }\n"
		"service b { listen = tcp:2 exec = { \"/a\", \"b\" } limits { instances = 3 } }\n");
	const struct conf_service *a = &c->services[0], *b = &c->services[1];

	(void)state;
	assert_ptr_equal(a->exec, b->exec);
	assert_ptr_equal(a->common->limits, b->common->limits);
	assert_ptr_equal(a->common->socket, b->common->socket);
	assert_ptr_equal(a->common->session, b->common->session);
	assert_ptr_equal(a->common->directory, b->common->directory);
	conf_free(c);
}

/* etc/hatchd.conf without the lines' leading '#', if uncomment. */
static char *
example(bool uncomment)
{
	const char *srcdir = getenv("srcdir");
	char path[4096], line[256], *text = NULL, *p;
	size_t len;
	FILE *in, *out;

	(void)snprintf(path, sizeof(path), "%s/etc/hatchd.conf", srcdir ? srcdir : ".");
	in = fopen(path, "r");
	if (!in)
		skip();
	out = open_memstream(&text, &len);
	assert_non_null(out);
	while (fgets(line, sizeof(line), in)) {
		p = line;
		if (uncomment && strncmp(p, "conf = ", 7) == 0)
			continue;
		if (uncomment && *p == '#' && p[1] != ' ')
			p++;
		(void)fputs(p, out);
	}
	(void)fclose(in);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void
test_example_file(void **state)
{
	char *text = example(false);
	struct conf *c = conf_pure(text), *builtin;
	struct conf_service s;
	char buf[64];

	(void)state;
	assert_int_equal(c->n_services, 0);
	assert_non_null(c->conf);
	conf_free(c);
	free(text);

	text = example(true);
	c = conf_pure(text);
	builtin = expect_good("");
	assert_int_equal(conf_diff_global(c, builtin, buf, sizeof(buf)), 0);
	assert_int_equal(c->n_services, 1);
	s = c->services[0];
	s.listen = builtin->services[0].listen;
	s.n_listen = builtin->services[0].n_listen;
	(void)conf_diff_service(&s, builtin->services, buf, sizeof(buf));
	assert_string_equal(buf, "access,proxy,rlimits");
	assert_int_equal(s.common->n_rlimits, SCHEMA_RLIMIT_ITEMS);
	conf_free(builtin);
	conf_free(c);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_of_everything),
		cmocka_unit_test(test_defaults_apply_wherever_they_stand),
		cmocka_unit_test(test_L1_trailing_comment_after_a_limit),
		cmocka_unit_test(test_L2_no_means_no),
		cmocka_unit_test(test_L4_no_space_round_the_equals_sign),
		cmocka_unit_test(test_S16_ill_formed_never_loads),
		cmocka_unit_test(test_S22_long_line_and_many_arguments),
		cmocka_unit_test(test_trap1_line_numbers_after_comments),
		cmocka_unit_test(test_lines_in_joined_slices),
		cmocka_unit_test(test_all_problems_are_told),
		cmocka_unit_test(test_unknown_settings),
		cmocka_unit_test(test_trap5_duplicates),
		cmocka_unit_test(test_trap3_truncated_file),
		cmocka_unit_test(test_trap4_bytes_outside_of_quotes),
		cmocka_unit_test(test_trap7_numbers_are_decimal),
		cmocka_unit_test(test_trap9_control_characters),
		cmocka_unit_test(test_trap16_many_failed_loads),
		cmocka_unit_test(test_trap24_silent_failure),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_one_bad_entry_among_many),
		cmocka_unit_test(test_limit_of_durations),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_equal_parts_are_shared),
		cmocka_unit_test(test_example_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
