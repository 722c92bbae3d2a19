/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Unit tests of guard.c, grammar.c and token.c.  Trap numbers are those of
 * libConfuse 3.3's faults that the guard is there for.
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

#include "source.h"
#include "token.h"

struct guarded {
	struct sources *s;
	struct problems *p;
	int rc;
	char told[16384];	/* all problems */
};

static void
tell(bool warning, const char *text, void *arg)
{
	char *told = arg;

	(void)warning;
	(void)strncat(told, text, 16000 - strlen(told));
	(void)strcat(told, "\n");
}

static void
guard(struct guarded *g, const char *text, size_t len)
{
	memset(g, 0, sizeof(*g));
	g->s = sources_from_text("f", text, len);
	g->p = problems_new();
	assert_non_null(g->s);
	g->rc = source_guard(&g->s->list[0], g->p);
	problems_each(g->p, tell, g->told);
	assert_int_equal(g->rc, problems_count(g->p) ? -1 : 0);
	assert_int_equal(g->s->list[0].len, len);
}

static void
fini(struct guarded *g)
{
	sources_free(g->s);
	problems_free(g->p);
}

static void
assert_accepted(const char *text, const char *becomes)
{
	struct guarded g;

	guard(&g, text, strlen(text));
	if (g.rc)
		fail_msg("%s: %s", text, g.told);
	assert_string_equal(g.s->list[0].text, becomes);
	assert_true(g.s->list[0].guarded);
	g.s->list[0].guarded = false;
	assert_int_equal(source_guard(&g.s->list[0], g.p), 0);
	assert_string_equal(g.s->list[0].text, becomes);
	fini(&g);
}

static void
assert_ok(const char *text)
{
	assert_accepted(text, text);
}

/* told: all that is said about it */
static void
assert_refused_len(const char *text, size_t len, const char *told)
{
	struct guarded g;

	guard(&g, text, len);
	if (strcmp(g.told, told))
		fail_msg("%s\n  says: %s  not: %s", text, g.told, told);
	fini(&g);
}

static void
assert_refused(const char *text, const char *told)
{
	assert_refused_len(text, strlen(text), told);
}

static void
test_empty(void **state)
{
	(void)state;
	assert_ok("");
	assert_ok("\n\n");
	assert_ok("  \t\n");
	assert_accepted("#", " ");
	assert_accepted("# no newline", "            ");
}

static void
test_language(void **state)
{
	(void)state;
	assert_ok("user = hatchd log=\"syslog\"\nlimits{a=1}\nconf = { }");
	assert_ok("service \"git\" { listen = { \"tcp:80\", tcp:81, }\n"
		  "limits { instances = 5 } exec = '/bin/x' }");
	assert_ok("service git{listen=tcp:80}service b{}");
	assert_ok("a = -5 b = x@y:/~%!&<>?^`.[]_ c = \"\" d = ''");
	assert_ok("s { a { b { l = { x } } } }");
}

/* xinetd: `per_source = 1 # x` made the limit vanish */
static void
test_L1_trailing_comment(void **state)
{
	(void)state;
	assert_accepted("per_source = 5 # the maximum\n", "per_source = 5              \n");
	assert_accepted("per_source = 5# the\n", "per_source = 5     \n");
	assert_accepted("per_source = 5 // the\n", "per_source = 5       \n");
	assert_accepted("per_source = 5 /* the */\n", "per_source = 5          \n");
	assert_accepted("a = \"#x\" # y \"\n", "a = \"#x\"      \n");
	assert_accepted("a = '//x' //y\n", "a = '//x'    \n");
	assert_accepted("a = \"x\"//y\n", "a = \"x\"   \n");
}

/* xinetd: `port=1` without spaces dropped the service */
static void
test_L4_no_spaces(void **state)
{
	struct guarded g;
	struct token_reader r;
	struct token t;

	(void)state;
	guard(&g, "port=1", 6);
	assert_int_equal(g.rc, 0);
	token_init(&r, &g.s->list[0]);
	assert_int_equal(token_next(&r, &t), TOKEN_WORD);
	assert_int_equal(token_next(&r, &t), TOKEN_EQUALS);
	assert_int_equal(token_next(&r, &t), TOKEN_WORD);
	assert_int_equal(token_next(&r, &t), TOKEN_END);
	fini(&g);
}

/* BSD inetds cut lines at 1024 bytes into two entries */
static void
test_S22_long_lines(void **state)
{
	char text[SOURCE_LINE + 16];

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "a = \"", 5);
	text[SOURCE_LINE - 1] = '"';
	text[SOURCE_LINE] = '\n';
	text[SOURCE_LINE + 1] = '\0';
	assert_ok(text);
	memset(text + SOURCE_LINE - 1, ' ', 1);
	memcpy(text + SOURCE_LINE, "\"\n", 3);
	assert_refused(text, "f:1: the line is longer than 4096 bytes\n");
	text[SOURCE_LINE + 1] = '\0';
	assert_refused(text, "f:1: the line is longer than 4096 bytes\n");
	memset(text, ' ', sizeof(text));
	text[0] = '#';
	text[SOURCE_LINE + 1] = '\0';
	assert_refused(text, "f:1: the line is longer than 4096 bytes\n");
}

static void
test_trap1_line_numbers(void **state)
{
	(void)state;
	assert_accepted("# a\n# b\n# c\nx = 1\n", "   \n   \n   \nx = 1\n");
	assert_accepted("/* a\n * b\n */x = 1\n", "    \n    \n   x = 1\n");
	assert_refused("# a\n// b\n/* c\n d */\n\nx = *\n", "f:6: '*' must be inside quotes\n");
}

static void
test_trap2_comments_anywhere(void **state)
{
	(void)state;
	assert_accepted("l = { a, # x\n b /* y */ }", "l = { a,    \n b         }");
	assert_accepted("service a # x\n{ b = # y\n c }", "service a    \n{ b =    \n c }");
	assert_accepted("/**//***//* / * */a=b", "                  a=b");
}

static void
test_trap3_unbalanced(void **state)
{
	(void)state;
	assert_refused("x = 1\nservice a { nice=1\n", "f:2: '{' is never closed\n");
	assert_refused("a {\n b {\n c = 1 }\n", "f:1: '{' is never closed\n");
	assert_refused("a {\n b {\n", "f:1: '{' is never closed\nf:2: '{' is never closed\n");
	assert_refused("\nl = {\n a,\n", "f:2: '{' is never closed\n");
	assert_refused("x = 1\n}\n", "f:2: '}' without a '{' before it\n");
	assert_refused("a\n/* b\n c", "f:2: the comment that begins here is never closed\n");
	assert_refused("/*/", "f:1: the comment that begins here is never closed\n");
	assert_refused("a = \"b\nc = d\n",
		       "f:1: the string that begins here is not closed on its line\n");
	assert_refused("a = 'b", "f:1: the string that begins here is not closed on its line\n");
	assert_refused("a {", "f:1: '{' is never closed\n");
	assert_refused("a =", "f:1: a: the value after '=' is missing\n");
	assert_refused("a", "f:1: a: expected '=' and a value, or '{'\n");
	assert_refused("a b", "f:1: a: expected '=' and a value, or '{'\n");
}

static void
test_trap4_dropped_bytes(void **state)
{
	static const char bytes[] = "*()|$\\";
	char text[32], told[64];

	(void)state;
	assert_refused("a = 1\nlisten = *:80\n", "f:2: '*' must be inside quotes\n");
	for (const char *b = bytes; *b; b++) {
		(void)snprintf(text, sizeof(text), "a = x%cy\n", *b);
		(void)snprintf(told, sizeof(told), "f:1: '%c' must be inside quotes\n", *b);
		assert_refused(text, told);
		(void)snprintf(text, sizeof(text), "a = 'x%cy'\n", *b);
		assert_ok(text);
	}
	assert_refused("a = b+c", "f:1: '+' must be inside quotes\n");
	assert_refused("a += b", "f:1: \"+=\" is not known here: a setting is given once, "
				 "with '='\n");
	assert_refused("a = h\xc3\xa9", "f:1: what is not ASCII must be inside quotes\n");
	assert_refused("a = \xe2\x80\x9cx\xe2\x80\x9d", "f:1: typographic quotes: write \" or '\n");
	assert_refused("conf = /etc/h.d/*.conf", "f:1: '*' must be inside quotes\n");
	assert_refused("x = http://y", "f:1: \"//\" inside a word: put it in quotes, or a space "
				       "before the comment\n");
}

static void
test_trap9_control_bytes(void **state)
{
	(void)state;
	assert_refused_len("a = \"x\0y\"", 9, "f:1: NUL byte: this is not a text file\n");
	assert_refused_len("a = b\0", 6, "f:1: NUL byte: this is not a text file\n");
	assert_refused_len("# \0", 3, "f:1: NUL byte: this is not a text file\n");
	assert_refused("a = \"x\033[2J\"", "f:1: control character 0x1b\n");
	assert_refused("a = x\033", "f:1: control character 0x1b\n");
	assert_refused("# \f", "f:1: control character 0x0c\n");
	assert_refused("a = '\177'", "f:1: control character 0x7f\n");
	assert_refused("a = \"\\x00\"", "f:1: the escape gives no printable character\n");
	assert_refused("a = \"\\0\"", "f:1: the escape gives no printable character\n");
	assert_refused("a = \"\\x1b\"", "f:1: the escape gives no printable character\n");
	assert_refused("a = \"\\177\"", "f:1: the escape gives no printable character\n");
	assert_refused("a = \"\\xe9\"", "f:1: the escape gives no printable character\n");
	assert_ok("a = \"\ttab\" b = '\t'");
}

static void
test_escapes(void **state)
{
	static const char no_number[] = "f:1: the escape has to be \\xHH (two hexadecimal digits) "
					"or \\OOO (octal)\n";

	(void)state;
	assert_ok("a = \"\\\\ \\\" \\n \\r \\t \\$ \\x41 \\x7E \\101 \\60x\"");
	assert_ok("a = '\\x \\0 \\q \\\\ \\' '");
	assert_refused("a = \"\\q\"", "f:1: unknown escape \\q: a backslash must be written twice\n");
	assert_refused("a = \"\\e\"", "f:1: unknown escape \\e: a backslash must be written twice\n");
	assert_refused("a = \"\\\xc3\xa9\"", "f:1: a backslash must be written twice: \\\\\n");
	assert_refused("a = \"\\x4\"", no_number);
	assert_refused("a = \"\\xg0\"", no_number);
	assert_refused("a = \"\\1011\"", no_number);
	assert_refused("a = \"\\18\"", no_number);
	assert_refused("a = \"\\9\"", no_number);
	assert_refused("a = \"\\777\"", "f:1: the escape gives no printable character\n");
	assert_refused("a = \"x\\\ny\n",
		       "f:1: the string that begins here is not closed on its line\n");
	assert_refused("a = \"\\", "f:1: the string that begins here is not closed on its line\n");
}

static void
test_trap11_environment(void **state)
{
	static const char told[] = "f:1: variables are not expanded: write \"\\${\" for the text "
				   "itself\n";

	(void)state;
	assert_refused("a = \"${HOME}\"", told);
	assert_refused("a = \"$${\"", told);
	assert_refused("a = \"\\\\${\"", told);
	assert_ok("a = '${HOME}' b = \"\\${HOME}\" c = \"$HOME $\"");
	assert_refused("a = $HOME", "f:1: '$' must be inside quotes\n");
	assert_refused("${HOME} = 1", "f:1: '$' must be inside quotes\n");
}

static void
test_trap12_option_paths(void **state)
{
	static const char told[] = "f:1: expected the name of a setting, without quotes\n";

	(void)state;
	assert_refused("\"service=a|nice\" = 9", told);
	assert_refused("'user' = x", told);
	assert_refused("\"service\" a { }", told);
	assert_refused("limits|a = 9", "f:1: '|' must be inside quotes\n");
}

static void
test_trap13_semicolon(void **state)
{
	(void)state;
	assert_refused("a = foo;", "f:1: ';' must be inside quotes; settings end without it\n");
	assert_refused("a = \"foo\";", "f:1: ';' must be inside quotes; settings end without it\n");
}

static void
test_trap20_backslash_at_end(void **state)
{
	(void)state;
	assert_refused("a = \"x\\", "f:1: the string that begins here is not closed on its line\n");
}

static void
test_trap21_depth(void **state)
{
	char *deep = malloc(200001);

	(void)state;
	assert_ok("a { b { c { l = { x } } } }");
	assert_refused("a { b { c { d { l = { x } } } } }", "f:1: braces are nested too deeply\n");
	for (int i = 0; i < 200000; i += 2)
		memcpy(deep + i, "a{", 2);
	deep[200000] = '\0';
	deep[4000] = '\n';
	assert_refused(deep, "f:1: braces are nested too deeply\n"
			     "f:2: the line is longer than 4096 bytes\n");
	free(deep);
}

static void
test_trap24_empty_name(void **state)
{
	(void)state;
	assert_refused("'' = 1", "f:1: expected the name of a setting, without quotes\n");
}

static void
test_carriage_return(void **state)
{
	static const char told[] = "f:1: carriage return: save the file with Unix line ends\n";

	(void)state;
	assert_refused("# a\r\nb = c\r\nd = \"e\"\r\n", told);
	assert_refused("b = c\r\n", told);
	assert_refused("b = \"c\r\"", told);
}

static void
test_byte_order_mark(void **state)
{
	static const char told[] = "f:1: the file begins with a byte order mark: save it as UTF-8 "
				   "without one\n";

	(void)state;
	assert_refused("\xef\xbb\xbf" "a = b\n", told);
	assert_refused("\xef\xbb\xbf", told);
}

static void
test_utf8(void **state)
{
	static const char *const bad[] = {
		"\x80", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80",
		"\xf5\x80\x80\x80", "\xc2\x9b", "\xff", "\xe2\x82", "\xf0\x9f\x98",
	};
	char text[32];

	(void)state;
	assert_ok("a = \"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\" b = '\xc2\xa0'");
	assert_accepted("# \xc3\xa9\n", "    \n");
	assert_accepted("# latin \xe9\n", "         \n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(text, sizeof(text), "a = \"%s\"", bad[i]);
		assert_refused(text, "f:1: not valid UTF-8\n");
	}
}

static void
test_grammar(void **state)
{
	static const char *const bad[][2] = {
		{ "user =\ngroup = x", "f:1: user: the value after '=' is missing\n" },
		{ "user hatchd\ngroup = x", "f:1: user: expected '=' and a value, or '{'\n" },
		{ "user\n", "f:1: user: expected '=' and a value, or '{'\n" },
		{ "a \"b\" = c", "f:1: a: expected '=' and a value, or '{'\n" },
		{ "a = = c", "f:1: a: the value after '=' is missing\n" },
		{ "a { b = }", "f:1: b: the value after '=' is missing\n" },
		{ "= c", "f:1: '=' without a name before it\n" },
		{ "a = \"b\"\n= c", "f:2: '=' without a name before it\n" },
		{ "{ }", "f:1: '{' without a name before it\n" },
		{ "a = b, c", "f:1: unexpected ',': a list of values has to be in { }\n" },
		{ "a = { b c }", "f:1: a: expected ',' or '}' after a value of the list\n" },
		{ "a = { b\nc = d", "f:2: a: expected ',' or '}' after a value of the list\n" },
		{ "a = { , }", "f:1: a: expected a value or '}' in the list\n" },
		{ "a = { b,, c }", "f:1: a: expected a value or '}' in the list\n" },
		{ "a = { { b } }", "f:1: a: expected a value or '}' in the list\n" },
		{ "a = \"b\"\"c\"", "f:1: a space or ',' is missing between two values\n" },
		{ "a = \"b\"c", "f:1: a space or ',' is missing between two values\n" },
		{ "a = b\"c\"", "f:1: a space or ',' is missing between two values\n" },
		{ "service\"b\"{}", "f:1: a space or ',' is missing between two values\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(bad[i][0], bad[i][1]);
}

static void
test_several_problems(void **state)
{
	struct guarded g;
	char text[400];

	(void)state;
	assert_refused("a = *\nb = \"\\q\"\nc = (;)\n",
		       "f:1: '*' must be inside quotes\n"
		       "f:2: unknown escape \\q: a backslash must be written twice\n"
		       "f:3: '(' must be inside quotes\n");
	for (size_t i = 0; i + 4 < sizeof(text); i += 4)
		memcpy(text + i, "a=*\n", 5);
	guard(&g, text, strlen(text));
	assert_int_equal(problems_count(g.p), 20);
	fini(&g);
}

static void
test_too_many_tokens(void **state)
{
	struct guarded g;
	size_t n = 8, len = 40000 * 2;
	char *text = malloc(len + 16);

	(void)state;
	memcpy(text, "\na = {\n", 8);
	for (n = 7; n < len; n += 4)
		memcpy(text + n, n % 400 == 3 ? "x,\n\n" : "x,x,", 4);
	memcpy(text + n, "\n}\n", 4);
	guard(&g, text, strlen(text));
	assert_int_equal(g.rc, -1);
	assert_string_equal(g.told, "f:2: a: this entry is too long\n");
	fini(&g);
	free(text);
}

static void
assert_values(const char *text, const char *const *values)
{
	struct guarded g;
	struct token_reader r;
	struct token t;
	char *value;

	guard(&g, text, strlen(text));
	assert_int_equal(g.rc, 0);
	token_init(&r, &g.s->list[0]);
	while (token_next(&r, &t) != TOKEN_END) {
		if (t.kind != TOKEN_WORD && t.kind != TOKEN_STRING)
			continue;
		assert_non_null(*values);
		value = token_value(&r, &t);
		assert_string_equal(value, *values++);
		free(value);
	}
	assert_null(*values);
	fini(&g);
}

static void
test_token_values(void **state)
{
	static const char *const one[] = { "a", "b\\\"\n\r\t$A~Ax", NULL };
	static const char *const two[] = { "l", "x", "", "it's \\x \"", "/a:b", "", NULL };

	(void)state;
	assert_values("a = \"b\\\\\\\"\\n\\r\\t\\$\\x41\\x7e\\101x\"", one);
	assert_values("l = { x, \"\", 'it\\'s \\x \"', /a:b, '' }", two);
}

static void
test_slices(void **state)
{
	static const char text[] = "\n a = b # x\nc = { d,\n e }\nservice \"s\" {\n l = { } t { u = v }"
				   "\n}\nf=g h=i\n\n";
	static const struct {
		const char *text;
		int line;
	} want[] = {
		{ "a = b", 2 }, { "c = { d,\n e }", 3 },
		{ "service \"s\" {\n l = { } t { u = v }\n}", 5 }, { "f=g", 8 }, { "h=i", 8 },
	};
	struct guarded g;
	struct source_slice slice;
	size_t pos = 0, n = 0;

	(void)state;
	guard(&g, text, strlen(text));
	assert_int_equal(g.rc, 0);
	for (; source_next(&g.s->list[0], &pos, &slice); n++) {
		assert_true(n < sizeof(want) / sizeof(want[0]));
		assert_int_equal(slice.len, strlen(want[n].text));
		assert_memory_equal(g.s->list[0].text + slice.at, want[n].text, slice.len);
		assert_int_equal(slice.line, want[n].line);
	}
	assert_int_equal(n, sizeof(want) / sizeof(want[0]));
	assert_false(source_next(&g.s->list[0], &pos, &slice));
	fini(&g);
}

static void
test_globs(void **state)
{
	struct guarded g;
	char **globs;
	static const char text[] = "conf = { \"/a/*.conf\", 'b' }\nservice x { conf = no }\n"
				   "log = conf\nconfig = x\n";

	(void)state;
	guard(&g, text, strlen(text));
	globs = source_globs(&g.s->list[0]);
	assert_non_null(globs);
	assert_string_equal(globs[0], "/a/*.conf");
	assert_string_equal(globs[1], "b");
	assert_null(globs[2]);
	source_globs_free(globs);
	fini(&g);
	guard(&g, "conf = { }\n", 11);
	assert_null(source_globs(&g.s->list[0]));
	source_globs_free(NULL);
	fini(&g);
	guard(&g, "conf = /x", 9);
	globs = source_globs(&g.s->list[0]);
	assert_string_equal(globs[0], "/x");
	assert_null(globs[1]);
	source_globs_free(globs);
	fini(&g);
}

/* Not guarded: nonsense, but no crash and an end. */
static void
test_tokens_of_anything(void **state)
{
	static const char *const odd[] = { "\"", "'\\", "\"\\x", "\"\\", "}", "}}a", "= {", "a = {{",
					   "\"\\1", "#", "\"a\\\"", "conf = \"\\x4" };
	struct sources *s;
	struct source_slice slice;
	struct token_reader r;
	struct token t;
	size_t pos;

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		s = sources_from_text("f", odd[i], strlen(odd[i]));
		for (pos = 0; source_next(&s->list[0], &pos, &slice);)
			;
		token_init(&r, &s->list[0]);
		while (token_next(&r, &t) != TOKEN_END)
			free(token_value(&r, &t));
		source_globs_free(source_globs(&s->list[0]));
		sources_free(s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_language),
		cmocka_unit_test(test_L1_trailing_comment),
		cmocka_unit_test(test_L4_no_spaces),
		cmocka_unit_test(test_S22_long_lines),
		cmocka_unit_test(test_trap1_line_numbers),
		cmocka_unit_test(test_trap2_comments_anywhere),
		cmocka_unit_test(test_trap3_unbalanced),
		cmocka_unit_test(test_trap4_dropped_bytes),
		cmocka_unit_test(test_trap9_control_bytes),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_trap11_environment),
		cmocka_unit_test(test_trap12_option_paths),
		cmocka_unit_test(test_trap13_semicolon),
		cmocka_unit_test(test_trap20_backslash_at_end),
		cmocka_unit_test(test_trap21_depth),
		cmocka_unit_test(test_trap24_empty_name),
		cmocka_unit_test(test_carriage_return),
		cmocka_unit_test(test_byte_order_mark),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_several_problems),
		cmocka_unit_test(test_too_many_tokens),
		cmocka_unit_test(test_token_values),
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_globs),
		cmocka_unit_test(test_tokens_of_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
