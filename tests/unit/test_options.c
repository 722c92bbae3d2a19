/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The command line: what it sets, what it refuses, and the configuration that
 * is made of "-l ... -- COMMAND", which loads and says what was meant.
 */
#include "config.h"

#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_text.h"
#include "options.h"

#define SIXTY "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static char dir[] = "/tmp/hatchd-test-options.XXXXXX";
static char said[8192];		/* on stderr by the last call */

static int
parse_list(struct options *o, char **argv)
{
	int argc = 0, saved = dup(2), r;
	FILE *f = tmpfile();

	while (argv[argc])
		argc++;
	assert_non_null(f);
	(void)fflush(stderr);
	assert_int_equal(dup2(fileno(f), 2), 2);
	optind = 0;		/* getopt(3): begin anew */
	r = options_parse(argc, argv, o);
	(void)fflush(stderr);
	assert_int_equal(dup2(saved, 2), 2);
	(void)close(saved);
	rewind(f);
	said[fread(said, 1, sizeof(said) - 1, f)] = '\0';
	(void)fclose(f);
	return r;
}

#define PARSE(o, ...) parse_list(o, (char *[]){ (char *)"hatchd", __VA_ARGS__, NULL })

/* A usage error that says this. */
#define REFUSE(what, ...) do { \
	struct options refused; \
	assert_int_equal(PARSE(&refused, __VA_ARGS__), -1); \
	if (!strstr(said, what)) \
		fail_msg("expected %s, found %s", what, said); \
	assert_non_null(strstr(said, "usage: hatchd")); \
	options_fini(&refused); \
} while (0)

/* The configuration of "-l", loaded. */
static struct conf *
load(struct options *o)
{
	const struct conf_load_env env = { .uid = 1000 };
	struct problems *p = problems_new();
	struct sources *s = options_sources(o, p);
	struct conf *c;

	assert_non_null(s);
	c = conf_load(s, &env, p);
	problems_each(p, conf_found_add, NULL);
	if (!c)
		print_error("%s%s", found.errors, o->text);
	assert_non_null(c);
	sources_free(s);
	problems_free(p);
	options_fini(o);
	return c;
}

static void
test_none(void **state)
{
	char *argv[] = { (char *)"hatchd", NULL };
	struct options o;

	(void)state;
	assert_int_equal(parse_list(&o, argv), 0);
	assert_string_equal(o.file, DEFAULT_CONF);
	assert_null(o.pid_file);
	assert_null(o.text);
	assert_false(o.check || o.foreground || o.debug || o.version);
	assert_string_equal(said, "");
}

static void
test_letters(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(PARSE(&o, "-n", "-F", "-f", "/etc/x.conf", "-p", "/run/x.pid"), 0);
	assert_string_equal(o.file, "/etc/x.conf");
	assert_string_equal(o.pid_file, "/run/x.pid");
	assert_true(o.check && o.foreground);
	assert_false(o.debug || o.version);

	assert_int_equal(PARSE(&o, "-dnf/etc/x.conf"), 0);
	assert_true(o.debug && o.foreground && o.check);
	assert_string_equal(o.file, "/etc/x.conf");
	assert_int_equal(PARSE(&o, "-V"), 0);
	assert_true(o.version);
	assert_int_equal(PARSE(&o, "--version"), 0);
	assert_true(o.version);
	options_fini(&o);
}

static void
test_paths_become_absolute(void **state)
{
	char here[4096], want[4200];
	struct options o;

	(void)state;
	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(PARSE(&o, "-f", "sub/../x.conf", "-p", "x.pid"), 0);
	assert_string_equal(o.file, "sub/../x.conf");	/* in messages of the start */
	assert_int_equal(options_settle(&o), 0);
	(void)snprintf(want, sizeof(want), "%s/sub/../x.conf", here);
	assert_string_equal(o.file, want);
	(void)snprintf(want, sizeof(want), "%s/x.pid", here);
	assert_string_equal(o.pid_file, want);
	options_fini(&o);

	assert_int_equal(PARSE(&o, "-f", "/x.conf"), 0);
	assert_int_equal(options_settle(&o), 0);
	assert_string_equal(o.file, "/x.conf");
	assert_null(o.pid_file);
	options_fini(&o);

	assert_int_equal(PARSE(&o, "-l", "tcp:1", "/bin/sh"), 0);
	assert_int_equal(options_settle(&o), 0);
	assert_string_equal(o.file, "command line");
	options_fini(&o);
}

static void
test_usage_errors(void **state)
{
	struct options o;

	(void)state;
	REFUSE("unexpected argument: x", "x");
	REFUSE("unexpected argument: x", "-F", "x", "-n");
	REFUSE("unexpected argument: x", "--", "x");
	REFUSE("invalid option -- 'x'", "-x");
	REFUSE("requires an argument", "-f");
	REFUSE("unrecognized option '--sett=a=b'", "--sett=a=b");
	REFUSE("-f and -l exclude each other", "-f", "/x", "-l", "tcp:1", "--", "/bin/sh");
	REFUSE("-l needs a command", "-l", "tcp:1");
	REFUSE("-l needs a command", "-l", "tcp:1", "--");
	REFUSE("-u and --set go with -l", "-u", "nobody");
	REFUSE("-u and --set go with -l", "--set", "a=b");
	assert_int_equal(PARSE(&o, "--help"), -1);
	assert_non_null(strstr(said, "usage: hatchd"));
}

static void
test_question(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(PARSE(&o, "--explain", "git", "192.0.2.7:80"), 0);
	assert_string_equal(o.explain, "git");
	assert_string_equal(o.explain_address, "192.0.2.7:80");
	assert_null(o.explain_time);
	assert_string_equal(o.file, DEFAULT_CONF);
	options_fini(&o);
	/* in any order */
	assert_int_equal(PARSE(&o, "--at", "@7", "--explain", "git",
			       "::1", "-f", "x.conf"), 0);
	assert_string_equal(o.explain_address, "::1");
	assert_string_equal(o.explain_time, "@7");
	assert_string_equal(o.file, "x.conf");
	options_fini(&o);
	assert_int_equal(PARSE(&o, "--explain", "command", "::1",
			       "-l", "tcp:7000", "--", "/bin/cat"), 0);
	assert_string_equal(o.explain, "command");
	assert_non_null(o.text);
	options_fini(&o);
	REFUSE("--explain needs SERVICE ADDRESS", "--explain", "git");
	REFUSE("--explain needs SERVICE ADDRESS", "--explain", "git",
	       "-f", "x.conf");
	REFUSE("--at goes with --explain", "--at", "@7");
	REFUSE("unexpected argument", "--explain", "git", "::1", "x");
}

static void
test_settings_that_are_none(void **state)
{
	static const char *const bad[] = {
		"", "=", "=5", ".=5", ".a=5", "a.=5", "a.b.c=5", "a b=5", "a", "a.b", "A=5", "a{=5",
		"a\n=5", "a-b=5",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		REFUSE("--set needs SETTING=VALUE", "-l", "tcp:1", "--set", (char *)bad[i],
		       "--", "/bin/sh");
}

static void
test_command_text(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(PARSE(&o, "-l", "tcp:7000", "/bin/sh"), 0);
	assert_string_equal(o.text,
			    "log = \"stderr\"\n"
			    "service \"command\" {\n"
			    "  listen = {\n"
			    "    \"tcp:7000\" }\n"
			    "  exec = {\n"
			    "    \"/bin/sh\" }\n"
			    "}\n");
	assert_int_equal(o.text_len, strlen(o.text));
	assert_true(o.foreground);
	options_fini(&o);

	assert_int_equal(PARSE(&o, "-l", "tcp:7000", "-l", "unix:/run/x", "-u", "no\"body",
			       "--set", "limits.instances=5", "--set", "log=/var/log/x",
			       "--set=wait=no", "--set", "timeouts.stop=1s",
			       "--set", "limits.per_source=2", "--set", "control=",
			       "--", "/bin/sh", "-c", "echo \"a\" $x ${x} \\ '", ""), 0);
	assert_string_equal(o.text,
			    "log = \"/var/log/x\"\n"
			    "control = \"\"\n"
			    "service \"command\" {\n"
			    "  listen = {\n"
			    "    \"tcp:7000\",\n"
			    "    \"unix:/run/x\" }\n"
			    "  exec = {\n"
			    "    \"/bin/sh\",\n"
			    "    \"-c\",\n"
			    "    'echo \"a\" $x ${x} \\\\ \\'',\n"
			    "    \"\" }\n"
			    "  user = 'no\"body'\n"
			    "  limits {\n"
			    "    instances = \"5\"\n"
			    "    per_source = \"2\"\n"
			    "  }\n"
			    "  wait = \"no\"\n"
			    "  timeouts {\n"
			    "    stop = \"1s\"\n"
			    "  }\n"
			    "}\n");
	options_fini(&o);
	assert_null(o.text);
	options_fini(&o);
}

static void
test_command_loads(void **state)
{
	struct options o;
	struct conf *c;
	const struct conf_service *s;

	(void)state;
	assert_int_equal(PARSE(&o, "-d", "-l", "tcp:[::1]:7000-7002", "-l", "udp:7000",
			       "--set", "limits.instances=5", "--set", "max_processes=9",
			       "--set", "environment=A=b c", "--set", "session.max=3",
			       "--set", "limits.when_full=refuse",
			       "--set", "access.allow=10.0.0.0/8", "--set", "limits.rate=5/1s",
			       "--set", "access.max_load=7.5", "--set", "kill=tree",
			       "--set", "banner.refuse=busy\\r\\n", "--set", "proxy.from=::1",
			       "/bin/cat", "-n", "--", "-l"), 0);
	assert_true(o.debug);
	c = load(&o);
	assert_int_equal(c->n_services, 1);
	assert_int_equal(c->max_processes, 9);
	assert_string_equal(c->log, "stderr");
	s = &c->services[0];
	assert_string_equal(s->name, "command");
	assert_string_equal(s->file, "command line");
	assert_true(s->enabled);
	assert_int_equal(s->n_listen, 2);
	assert_string_equal(s->listen[0].text, "tcp:[::1]:7000-7002");
	assert_string_equal(s->listen[1].text, "udp:7000");
	assert_string_equal(s->exec[0], "/bin/cat");
	assert_string_equal(s->exec[1], "-n");
	assert_string_equal(s->exec[2], "--");
	assert_string_equal(s->exec[3], "-l");
	assert_null(s->exec[4]);
	assert_int_equal(s->common->limits->instances, 5);
	assert_int_equal(s->common->limits->when_full, CONF_REFUSE);
	assert_int_equal(s->common->session->max, 3);
	assert_string_equal(s->common->environment[0], "A=b c");
	assert_null(s->common->environment[1]);
	assert_string_equal(s->common->access->allow[0].text, "10.0.0.0/8");
	assert_null(s->common->access->allow[1].text);
	assert_int_equal(s->common->access->max_load, 750);
	assert_int_equal(s->common->limits->rate.n, 5);
	assert_int_equal(s->common->kill, CONF_KILL_TREE);
	assert_memory_equal(s->common->banner->refuse_bytes->bytes, "busy\r\n", 6);
	assert_string_equal(s->common->proxy->from[0].text, "::1");
	conf_free(c);
}

/* Whatever is in an argument, the handler gets it as it was. */
static void
test_arguments_survive(void **state)
{
	static const char *const hard[] = {
		"", " ", "a b", "\"", "'", "\"'", "''\"\"'", "\\", "\\\\", "\\\"", "\\'", "\\n",
		"a\\", "$HOME", "${HOME}", "\"${HOME}", "'${HOME}'\"", "$", "${", "#", "# c",
		"//", "/* c */",
		"{", "}", "{ \"x\" }", "=", ",", "; rm", "`x`", "(a|b)", "\xc3\xa4",
		"include(\"/etc/passwd\")", "a=b", "--", "-l", "~root", "%n%s", SIXTY SIXTY SIXTY,
	};
	enum { N = sizeof(hard) / sizeof(*hard) };
	char *argv[6 + N] = {
		(char *)"hatchd", (char *)"-l", (char *)"tcp:1", (char *)"--", (char *)"/bin/sh",
	};
	struct options o;
	struct conf *c;

	(void)state;
	memcpy(argv + 5, hard, sizeof(hard));
	assert_int_equal(parse_list(&o, argv), 0);
	c = load(&o);
	for (int i = 0; i < N; i++)
		assert_string_equal(c->services[0].exec[1 + i], hard[i]);
	assert_null(c->services[0].exec[1 + N]);
	conf_free(c);
}

/* More than a line of the language may have, all together. */
static void
test_long_command(void **state)
{
	char *argv[205] = {
		(char *)"hatchd", (char *)"-l", (char *)"tcp:1", (char *)"--", (char *)"/bin/sh",
	};
	struct options o;
	struct conf *c;

	(void)state;
	for (int i = 5; i < 204; i++)
		argv[i] = (char *)SIXTY;
	assert_int_equal(parse_list(&o, argv), 0);
	c = load(&o);
	assert_string_equal(c->services[0].exec[199], SIXTY);
	assert_null(c->services[0].exec[200]);
	conf_free(c);
}

static void
test_line_breaks(void **state)
{
	(void)state;
	REFUSE("line break", "-l", "tcp:1", "/bin/sh", "-c", "a\nb");
	REFUSE("line break", "-l", "tcp:1", "/bin/sh", "-c", "a\033[1m");
	REFUSE("line break", "-l", "tcp:1", "/bin/s\rh");
	REFUSE("tab or control character", "-l", "tcp:1", "/bin/sh", "-c", "a\tb");
}

static void
test_too_many(void **state)
{
	char *argv[140] = { (char *)"hatchd" };
	struct options o;

	(void)state;
	for (int i = 0; i < 65; i++) {
		argv[1 + 2 * i] = (char *)"-l";
		argv[2 + 2 * i] = (char *)"tcp:1";
	}
	argv[131] = (char *)"/bin/sh";
	assert_int_equal(parse_list(&o, argv), -1);
	assert_non_null(strstr(said, "too many: -l"));
	for (int i = 0; i < 65; i++) {
		argv[1 + 2 * i] = (char *)"--set";
		argv[2 + 2 * i] = (char *)"nice=1";
	}
	assert_int_equal(parse_list(&o, argv), -1);
	assert_non_null(strstr(said, "too many: --set"));
}

/* Where the command is found: as a shell would, but what runs is a file. */

static void
make_file(const char *name, mode_t mode)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(name, mode), 0);
}

static void
check_found(const char *name, const char *expected)
{
	struct options o;
	char line[200];

	assert_int_equal(PARSE(&o, "-l", "tcp:1", (char *)name), 0);
	(void)snprintf(line, sizeof(line), "  exec = {\n    \"%s\" }\n", expected);
	if (!strstr(o.text, line))
		fail_msg("expected %s found %s", line, o.text);
	options_fini(&o);
}

static void
test_where_the_command_is(void **state)
{
	char *path = strdup(getenv("PATH")), expected[100], cwd[1024];

	(void)state;
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(mkdir("a", 0755) | mkdir("b", 0755) | mkdir("a/tool", 0755), 0);
	make_file("b/tool", 0755);
	make_file("a/notes", 0644);
	make_file("many", 0755);
	assert_int_equal(symlink("../many", "b/one"), 0);
	(void)snprintf(expected, sizeof(expected), "relative::%s/a:/nowhere:%s/b", dir, dir);
	assert_int_equal(setenv("PATH", expected, 1), 0);

	(void)snprintf(expected, sizeof(expected), "%s/b/tool", dir);
	check_found("tool", expected);		/* a/tool is a folder */
	check_found("b/tool", expected);
	check_found("./b/../b/tool", expected);
	check_found(expected, expected);
	(void)snprintf(expected, sizeof(expected), "%s/b/one", dir);
	check_found("one", expected);		/* not "many": it goes by its name */
	check_found("b/one", expected);
	(void)snprintf(expected, sizeof(expected), "%s/many", dir);
	check_found("./many", expected);
	REFUSE("command not found: notes", "-l", "tcp:1", "notes");
	REFUSE("command not found: a/notes", "-l", "tcp:1", "a/notes");
	REFUSE("command not found: a/tool", "-l", "tcp:1", "a/tool");
	REFUSE("command not found: many", "-l", "tcp:1", "many");
	REFUSE("command not found: /no/where", "-l", "tcp:1", "/no/where");
	REFUSE("command not found: b/", "-l", "tcp:1", "b/");
	REFUSE("command not found", "-l", "tcp:1", "");

	assert_int_equal(setenv("PATH", path, 1), 0);
	assert_int_equal(unlink("b/tool") | unlink("b/one") | unlink("many") | unlink("a/notes") |
			 rmdir("a/tool") | rmdir("a") | rmdir("b"), 0);
	assert_int_equal(chdir(cwd), 0);
	free(path);
}

static int
set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_letters),
		cmocka_unit_test(test_paths_become_absolute),
		cmocka_unit_test(test_usage_errors),
		cmocka_unit_test(test_question),
		cmocka_unit_test(test_settings_that_are_none),
		cmocka_unit_test(test_command_text),
		cmocka_unit_test(test_command_loads),
		cmocka_unit_test(test_arguments_survive),
		cmocka_unit_test(test_long_command),
		cmocka_unit_test(test_line_breaks),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_where_the_command_is),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
