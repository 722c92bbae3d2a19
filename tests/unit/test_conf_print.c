/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Tests of conf_print: the canonical text, and that loading it changes nothing. */
#include "config.h"

#include "conf_diff.h"
#include "conf_print.h"
#include "conf_text.h"

static char *
printed(const struct conf *c)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	conf_print(c, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void
never(enum conf_change what, const struct conf_service *a, const struct conf_service *b, void *arg)
{
	(void)what;
	(void)a;
	(void)b;
	(void)arg;
	fail();
}

/* Loads text, prints, loads, prints: no difference. */
static void
expect_fixed_point(const char *text)
{
	struct conf *a = conf_pure(text), *b;
	char *first = printed(a), *second, buf[64];

	b = conf_pure(first);
	second = printed(b);
	assert_string_equal(first, second);
	conf_diff(a, b, never, NULL);
	assert_int_equal(conf_diff_global(a, b, buf, sizeof(buf)), 0);
	assert_int_equal(a->n_services, b->n_services);
	free(first);
	free(second);
	conf_free(a);
	conf_free(b);
}

static void
test_everything_is_printed(void **state)
{
	struct conf *c = conf_pure("service x { listen = { tcp:1, \"udp:1\" } exec = { \"/a\", b }\n"
				   "rlimits { cpu = \"1s:unlimited\" as = 1024KiB } }\n");
	char *text = printed(c);

	(void)state;
	assert_string_equal(text,
		"user = \"hatchd\"\n"
		"log = \"syslog\"\n"
		"log_format = \"text\"\n"
		"control = \"\"\n"
		"control_group = \"\"\n"
		"pid_file = \"\"\n"
		"max_processes = 4096\n"
		"event_backend = \"auto\"\n"
		"conf = { }\n"
		"\n"
		"service \"x\" {\n"
		"\tenabled = yes\n"
		"\tlisten = { \"tcp:1\", \"udp:1\" }\n"
		"\texec = { \"/a\", \"b\" }\n"
		"\tinternal = \"\"\n"
		"\twait = no\n"
		"\tpass = \"stdio\"\n"
		"\tuser = \"\"\n"
		"\tgroup = \"\"\n"
		"\tgroups = yes\n"
		"\tdirectory = \"/\"\n"
		"\tchroot = \"\"\n"
		"\tumask = 022\n"
		"\tnice = 0\n"
		"\tenvironment = { }\n"
		"\tpass_environment = { }\n"
		"\tstderr = \"log\"\n"
		"\tlog_events = { \"end\", \"refuse\", \"stderr\", \"fail\" }\n"
		"\ton_reload = \"keep\"\n"
		"\tkill = \"group\"\n"
		"\targv0 = \"\"\n"
		"\ttcpmux = \"\"\n"
		"\taccess {\n"
		"\t\tdeny = { }\n"
		"\t\thours = { }\n"
		"\t\tmax_load = 0\n"
		"\t\tmax_pressure = { }\n"
		"\t}\n"
		"\tlimits {\n"
		"\t\tinstances = 256\n"
		"\t\tper_source = 64\n"
		"\t\tsource_prefix4 = 32\n"
		"\t\tsource_prefix6 = 64\n"
		"\t\trate = \"\"\n"
		"\t\trate_per_source = \"\"\n"
		"\t\twhen_full = \"queue\"\n"
		"\t}\n"
		"\ttimeouts {\n"
		"\t\tfirst_byte = 0\n"
		"\t\tidle = 0\n"
		"\t\ttotal = 0\n"
		"\t\tstop = 5s\n"
		"\t\tlinger = 0\n"
		"\t}\n"
		"\tsocket {\n"
		"\t\tbacklog = 4096\n"
		"\t\tkeepalive = no\n"
		"\t\tnodelay = no\n"
		"\t\tfreebind = auto\n"
		"\t\tdevice = \"\"\n"
		"\t\trcvbuf = 0\n"
		"\t\tsndbuf = 0\n"
		"\t\tmark = 0\n"
		"\t\ttos = 0\n"
		"\t\tmode = 0666\n"
		"\t\towner = \"\"\n"
		"\t\tgroup = \"\"\n"
		"\t\tbroadcast = no\n"
		"\t\tmulticast = { }\n"
		"\t}\n"
		"\tsession {\n"
		"\t\tidle = 1min\n"
		"\t\tmax = 1024\n"
		"\t\tonce = no\n"
		"\t}\n"
		"\tbanner {\n"
		"\t\topen = \"\"\n"
		"\t\trefuse = \"\"\n"
		"\t}\n"
		"\tproxy {\n"
		"\t\tfrom = { }\n"
		"\t}\n"
		"\trlimits {\n"
		"\t\tas = 1MiB\n"
		"\t\tcpu = 1s:unlimited\n"
		"\t}\n"
		"}\n");
	free(text);
	conf_free(c);
}

static void
test_fixed_points(void **state)
{
	(void)state;
	expect_fixed_point("");
	expect_fixed_point("service x { listen = tcp:1 exec = /a }");
	expect_fixed_point("service x { listen = udp:1 internal = echo }");
	expect_fixed_point("defaults { umask = 0 wait = yes rlimits { core = 0 } session { max = 1 } }\n"
			   "service x { listen = udp:1 internal = echo }\n"
			   "service y { listen = udp:2 exec = /a }");
	expect_fixed_point("service x { listen = udp:1 exec = /a nice = -20 umask = 0777\n"
			   "session { idle = 0 } socket { multicast = { ff02::1 } mode = 0 } }");
}

static void
expect_printed(const char *settings, const char *line)
{
	char text[8192];
	struct conf *c;
	char *out;

	(void)snprintf(text, sizeof(text), "service x { listen = tcp:1 exec = /a %s }", settings);
	expect_fixed_point(text);
	c = conf_pure(text);
	out = printed(c);
	if (!strstr(out, line))
		fail_msg("expected %s in\n%s", line, out);
	free(out);
	conf_free(c);
}

static void
test_admission(void **state)
{
	(void)state;
	expect_printed("access { allow = { } }", "\t\tallow = { }\n");
	expect_printed("access { allow = { 10.0.0.0/8, \"uid:git\" } }",
		       "\t\tallow = { \"10.0.0.0/8\", \"uid:git\" }\n");
	expect_printed("access { hours = \"Mon 1:00-2:00 Europe/Berlin\" }",
		       "\t\thours = { \"Mon 1:00-2:00 Europe/Berlin\" }\n");
	expect_printed("access { max_load = 8.0 }", "\t\tmax_load = 8\n");
	expect_printed("access { max_load = 8.50 }", "\t\tmax_load = 8.5\n");
	expect_printed("access { max_load = 10000 }", "\t\tmax_load = 10000\n");
	expect_printed("access { max_load = 0.05 }", "\t\tmax_load = 0.05\n");
	expect_printed("access { max_pressure = { \"io:1.5\" } }",
		       "\t\tmax_pressure = { \"io:1.5\" }\n");
	expect_printed("limits { rate = \"120/60s\" }", "\t\trate = \"120/1min\"\n");
	expect_printed("limits { rate = 0 }", "\t\trate = \"\"\n");
	expect_printed("proxy { from = ::1 required = no }",
		       "\t\tfrom = { \"::1\" }\n\t\trequired = no\n\t\ttimeout = 3s\n");
	expect_printed("proxy { from = { } }", "\tproxy {\n\t\tfrom = { }\n\t}\n");
	expect_printed("tcpmux = \"+GIT\"", "\ttcpmux = \"+git\"\n");
	expect_fixed_point("service x { exec = /a tcpmux = x kill = tree }");
	expect_fixed_point("service m { listen = tcp:1 internal = tcpmux }");
	expect_fixed_point("defaults { proxy { required = no } timeouts { idle = 1s } }\n"
			   "service x { listen = udp:1 exec = /a }");
}

static void
test_banners_read_back(void **state)
{
	static char text[9000];
	size_t i, len;

	(void)state;
	expect_printed("banner { open = \"busy\\r\\n\" }", "\t\topen = 'busy\\r\\n'\n");
	expect_printed("banner { open = 'busy\\x0d\\12' }", "\t\topen = 'busy\\r\\n'\n");
	expect_printed("banner { open = plain }", "\t\topen = \"plain\"\n");
	expect_printed("banner { open = \"tab\there\" }", "\t\topen = 'tab\\there'\n");
	expect_printed("banner { open = '\"\\'${x}\\e' }", "\t\topen = '\"\\'${x}\\e'\n");
	expect_printed("banner { open = '\"\"\"' }", "\t\topen = '\"\"\"'\n");
	expect_printed("banner { open = 'a\\\\\\\\b' }", "\t\topen = 'a\\\\\\\\b'\n");
	expect_printed("banner { open = \"\\\\\\\\\\r'\" }",
		       "\t\topen = '\\\\\\\\\\r\\''\n");
	expect_printed("banner { open = '\\x66ile:/x' }", "\t\topen = '\\146ile:/x'\n");
	expect_printed("banner { open = 'file:/a\\b' }", "\t\topen = \"file:/a\\\\b\"\n");
	expect_printed("banner { open = '\\303\\244\\344' }", "\t\topen = '\303\244\\344'\n");
	/* as long as a line can be */
	len = (size_t)sprintf(text, "service x { listen = tcp:1 exec = /a banner { open =\n'");
	for (i = 0; i < 1023; i++)
		len += (size_t)sprintf(text + len, "\\xff");
	(void)sprintf(text + len, "\t'\n} }\n");
	expect_fixed_point(text);
}

static void
test_trap31_strings_read_back(void **state)
{
	struct conf *c;
	char *text;

	(void)state;
	expect_fixed_point("service x { listen = tcp:1 exec = { /a, '\"', \"'\", \"\\\\\", '\\\\',\n"
			   "\"\\${HOME}\", '${HOME}', \"$HOME\", '\"\\'${x}', \"\", \" \", \"#\", \"{\",\n"
			   "'//', '/*', \"\303\244\" } }");
	c = conf_pure("log = '/a\"b${c}\\'\\\\'");
	assert_string_equal(c->log, "/a\"b${c}'\\");
	text = printed(c);
	assert_non_null(strstr(text, "log = '/a\"b${c}\\'\\\\'\n"));
	free(text);
	conf_free(c);
}

static void
test_long_strings_and_lists(void **state)
{
	static char text[20000];
	char quotes[4080];
	int i;

	(void)state;
	memset(quotes, '"', sizeof(quotes) - 1);
	quotes[sizeof(quotes) - 1] = '\0';
	(void)snprintf(text, sizeof(text), "service x { listen = tcp:1 exec = { /a,\n'%s', b,\n'%s' }\n"
		       "argv0 =\n'%s' }\nlog = '/%.4000s'\n", quotes, quotes, quotes, quotes);
	expect_fixed_point(text);
	(void)strcpy(text, "service x { listen = tcp:1 exec = { /a");
	for (i = 0; i < 1000; i++)
		(void)strcat(text, ",\nargument");
	(void)strcat(text, " } }");
	expect_fixed_point(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_is_printed),
		cmocka_unit_test(test_fixed_points),
		cmocka_unit_test(test_admission),
		cmocka_unit_test(test_banners_read_back),
		cmocka_unit_test(test_trap31_strings_read_back),
		cmocka_unit_test(test_long_strings_and_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
