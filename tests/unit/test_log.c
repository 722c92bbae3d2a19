/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The log's lines: grammar, escaping, JSON, levels, the rate limit.  Where
 * they go is the part of test_log_{stderr,file,syslog}.c.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "log.h"

static char path[64];

/* What the log said last. */
static char last[LOG_LINE + 1];
static enum log_level last_level;
static int lines;

static void
keep(enum log_level level, const char *line, void *arg)
{
	assert_ptr_equal(arg, last);
	assert_true(strlen(line) < LOG_LINE);
	assert_null(strpbrk(line, "\n\r\033"));
	(void)strcpy(last, line);
	last_level = level;
	lines++;
}

static int
set_up(void **state)
{
	(void)state;
	(void)strcpy(path, "/tmp/hatchd-log-XXXXXX");
	(void)close(mkstemp(path));
	log_divert(keep, last);
	log_set_level(LOGL_INFO);
	lines = 0;
	return log_open(path, LOGF_TEXT, "hatchd");
}

static int
set_up_json(void **state)
{
	return set_up(state) == 0 && log_open(path, LOGF_JSON, "hatchd") == 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	log_divert(NULL, NULL);
	log_close();
	return unlink(path);
}

static void
tell(const char *value, size_t len)
{
	struct log_line l;

	log_begin(&l, LOGL_INFO, "stderr");
	log_mem(&l, "text", value, len);
	log_end(&l);
}

static void
test_event(void **state)
{
	struct addr a = { .family = AF_INET, .port = 4242, .ip = { 192, 0, 2, 7 } };
	struct log_line l;

	(void)state;
	log_begin(&l, LOGL_INFO, "end");
	log_str(&l, "svc", "git");
	log_num(&l, "conn", 42);
	log_peer(&l, "peer", &a);
	log_str(&l, "local", NULL);
	log_num(&l, "least", INT64_MIN);
	log_num(&l, "most", INT64_MAX);
	log_num(&l, "zero", 0);
	log_str(&l, "empty", "");
	log_end(&l);
	assert_string_equal(last, "end svc=git conn=42 peer=192.0.2.7:4242 local=- "
	    "least=-9223372036854775808 most=9223372036854775807 zero=0 empty=\"\"");
	assert_int_equal(last_level, LOGL_INFO);

	log_end(&l);	/* told once only */
	assert_int_equal(lines, 1);
}

static void
test_quotes_only_where_needed(void **state)
{
	const char bare[] = "abcxyzABCXYZ0189._:/@%+,=~()[]<>-";
	char want[64], byte[2] = "";
	int c;

	(void)state;
	tell(bare, strlen(bare));
	(void)snprintf(want, sizeof want, "stderr text=%s", bare);
	assert_string_equal(last, want);

	for (c = 1; c < 256; c++) {
		byte[0] = (char)c;
		tell(byte, 1);
		if (c < 128 && (strchr(bare, c) != NULL || (c >= '0' && c <= '9') ||
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
			(void)snprintf(want, sizeof want, "stderr text=%c", c);
		else if (c == '"' || c == '\\')
			(void)snprintf(want, sizeof want, "stderr text=\"\\%c\"", c);
		else if (c < 0x20 || c >= 0x7f)
			(void)snprintf(want, sizeof want, "stderr text=\"\\x%02x\"", c);
		else
			(void)snprintf(want, sizeof want, "stderr text=\"%c\"", c);
		assert_string_equal(last, want);
	}
}

static void
check_text(const char *value, const char *want)
{
	tell(value, strlen(value));
	assert_string_equal(last, want);
}

static void
test_S20_log_injection(void **state)
{
	(void)state;
	check_text("a\nend svc=git exit=0", "stderr text=\"a\\x0aend svc=git exit=0\"");
	check_text("\" exit=0 x=\"", "stderr text=\"\\\" exit=0 x=\\\"\"");
	check_text("\\\" exit=0", "stderr text=\"\\\\\\\" exit=0\"");
	check_text("\033]0;title\007\033[2J", "stderr text=\"\\x1b]0;title\\x07\\x1b[2J\"");
	check_text("\xff\xc3(", "stderr text=\"\\xff\\xc3(\"");
	check_text("\xc2\x9b" "31m", "stderr text=\"\\xc2\\x9b31m\"");
	check_text("\xe2\x80\xae" "evil", "stderr text=\"\\xe2\\x80\\xaeevil\"");
	check_text("gr\xc3\xbc\xc3\x9f", "stderr text=\"gr\xc3\xbc\xc3\x9f\"");
	tell("a\0b", 3);
	assert_string_equal(last, "stderr text=\"a\\x00b\"");

	log_info("from %s", "host\nwarn: all is lost\033[0m\\");
	assert_string_equal(last, "info: from host\\x0awarn: all is lost\\x1b[0m\\\\");
}

static void
test_prose(void **state)
{
	(void)state;
	errno = ENOENT;
	log_warn("can't open %s \"%s\"", "file", "/x y");
	assert_string_equal(last, "warn: can't open file \"/x y\": No such file or directory");
	assert_int_equal(last_level, LOGL_WARN);
	assert_int_equal(errno, ENOENT);
	log_warnx("%d%%", 7);
	assert_string_equal(last, "warn: 7%");
	log_err("out of luck");
	assert_string_equal(last, "err: out of luck");
	assert_int_equal(last_level, LOGL_ERR);
	log_info("%s", "");
	assert_string_equal(last, "info: ");
	log_info("\"%s\"\"", "quoted");
	assert_string_equal(last, "info: \"quoted\"\"");
	assert_int_equal(lines, 5);
}

static void
test_levels(void **state)
{
	struct log_line l;

	(void)state;
	log_set_level(LOGL_WARN);
	assert_true(log_wants(LOGL_ERR));
	assert_true(log_wants(LOGL_WARN));
	assert_false(log_wants(LOGL_INFO));
	log_info("not told");
	log_debug("not told");
	log_begin(&l, LOGL_INFO, "end");
	log_str(&l, "svc", "git");
	log_num(&l, "conn", 1);
	log_mem(&l, "text", "x", 1);
	log_peer(&l, "peer", NULL);
	log_end(&l);
	assert_int_equal(lines, 0);
	log_warnx("told");
	assert_int_equal(lines, 1);
	log_set_level(LOGL_DEBUG);
	log_debug("told");
	assert_string_equal(last, "debug: told");
}

static const char *
ending(const char *s, size_t len)
{
	return strlen(s) > len ? s + strlen(s) - len : s;
}

static void
test_long_lines_are_cut(void **state)
{
	char big[3000];
	struct log_line l;
	int i;

	(void)state;
	memset(big, 'x', sizeof big);
	tell(big, sizeof big);
	assert_string_equal(ending(last, 6), "xxx...");
	big[0] = ' ';
	tell(big, sizeof big);
	assert_string_equal(ending(last, 7), "xxx...\"");
	memset(big, '\n', sizeof big);
	tell(big, sizeof big);
	assert_string_equal(ending(last, 12), "\\x0a\\x0a...\"");

	log_begin(&l, LOGL_INFO, "end");
	for (i = 0; i < 1000; i++)
		log_num(&l, "number", i);
	log_str(&l, "a", "b");
	log_end(&l);
	assert_string_equal(ending(last, 4), " ...");
	assert_null(strstr(last, "a=b"));

	memset(big, 'y', sizeof big);
	big[sizeof big - 1] = '\0';
	log_info("%s", big);
	assert_string_equal(ending(last, 6), "yyy...");
	log_warn("%s", big);
	assert_string_equal(ending(last, 6), "yyy...");
	memset(big, '"', sizeof big - 1);
	log_info("%s", big);
	assert_string_equal(ending(last, 6), "\"\"\"...");
}

/* The line as JSON; the caller lets it go. */
static json_t *
decode(void)
{
	json_error_t error;
	json_t *root = json_loads(last, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

	if (root == NULL)
		fail_msg("%s: %s", error.text, last);
	assert_true(json_is_object(root));
	assert_int_equal(strlen(json_string_value(json_object_get(root, "time"))), 24);
	return root;
}

static const char *
member(const json_t *root, const char *key)
{
	return json_string_value(json_object_get(root, key));
}

static void
test_json_event(void **state)
{
	struct addr a = { .family = AF_UNIX, .cred = { .uid = 1000 } };
	struct log_line l;
	json_t *root;

	(void)state;
	log_begin(&l, LOGL_INFO, "end");
	log_str(&l, "svc", "git");
	log_num(&l, "conn", -42);
	log_peer(&l, "peer", &a);
	log_str(&l, "local", NULL);
	log_str(&l, "text", "a \"b\"\n\\\xff\xc3\xbc");
	log_end(&l);
	assert_non_null(strstr(last, "Z\",\"level\":\"info\",\"event\":\"end\",\"svc\":\"git\","
	    "\"conn\":-42,\"peer\":\"unix:uid=1000\",\"local\":null,"));
	root = decode();
	assert_string_equal(member(root, "text"), "a \"b\"\n\\\xef\xbf\xbd\xc3\xbc");
	assert_int_equal(json_integer_value(json_object_get(root, "conn")), -42);
	json_decref(root);
}

static void
test_json_prose(void **state)
{
	json_t *root;

	(void)state;
	errno = EACCES;
	log_warn("can't read \"%s\"", "a\nb");
	root = decode();
	assert_string_equal(member(root, "level"), "warn");
	assert_string_equal(member(root, "event"), "warn");
	assert_string_equal(member(root, "text"), "can't read \"a\nb\": Permission denied");
	json_decref(root);
}

/* Whatever is in a line and wherever it is cut, it is one JSON object. */
static void
test_S20_json_is_always_valid(void **state)
{
	static const char *const hard[] = {
		"\n", "\"", "\\", "\xff", "\xf0\x9f\x90\xa3", "\xe2\x80\xae", "\x01", "\xc3",
		"\xed\xa0\x80", "u", "\xc2\x85", "\x7f",
	};
	size_t len, n, i, part;
	uint32_t seed = 1;
	struct log_line l;
	json_t *root;
	char text[1600];

	(void)state;
	for (n = 0; n < 2000; n++) {
		len = 0;
		while (len < n * 3 / 4) {
			seed = seed * 1664525 + 1013904223;
			i = seed >> 16;
			if (n % 2 == 0) {
				text[len++] = (char)i;
				continue;
			}
			part = strlen(hard[i % 12]);
			memcpy(text + len, hard[i % 12], part);
			len += part;
		}
		log_begin(&l, LOGL_INFO, "stderr");
		log_mem(&l, "text", text, len);
		log_num(&l, "conn", (int64_t)n);
		log_mem(&l, "again", text, len);
		log_num(&l, "last", 1);
		log_end(&l);
		root = decode();
		if (json_object_get(root, "last") == NULL)
			assert_true(json_is_true(json_object_get(root, "cut")));
		else
			assert_null(json_object_get(root, "cut"));
		json_decref(root);
	}
}

static void
test_rate(void **state)
{
	struct log_rate r = { 0 };
	uint32_t suppressed = 4711;
	int64_t now = 1000000;
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		assert_true(log_rate(&r, now, 5, 1000, &suppressed));
		assert_int_equal(suppressed, 0);
	}
	for (i = 0; i < 70; i++)
		assert_false(log_rate(&r, now + i, 5, 1000, &suppressed));
	assert_false(log_rate(&r, now + 999, 5, 1000, &suppressed));
	assert_true(log_rate(&r, now + 1000, 5, 1000, &suppressed));
	assert_int_equal(suppressed, 71);
	assert_false(log_rate(&r, now + 1001, 5, 1000, &suppressed));
	assert_int_equal(suppressed, 71);

	now += 1000000;		/* the allowance is full again, and no fuller */
	assert_true(log_rate(&r, now, 5, 1000, &suppressed));
	assert_int_equal(suppressed, 1);
	for (i = 1; i < 5; i++)
		assert_true(log_rate(&r, now, 5, 1000, NULL));
	assert_false(log_rate(&r, now, 5, 1000, NULL));
}

static void
test_rate_at_its_ends(void **state)
{
	struct log_rate r = { 0 };
	uint32_t suppressed;
	int i;

	(void)state;
	assert_true(log_rate(&r, 0, 0, 1000, NULL));	/* as a burst of one */
	assert_false(log_rate(&r, 0, 0, 1000, NULL));
	r = (struct log_rate){ 0 };
	for (i = 0; i < 1000; i++)
		assert_true(log_rate(&r, 5, 1, 0, NULL));
	r = (struct log_rate){ 0 };
	assert_true(log_rate(&r, 5, UINT32_MAX, UINT32_MAX, NULL));

	r = (struct log_rate){ .full_ms = 10000, .suppressed = UINT32_MAX };
	assert_false(log_rate(&r, 1, 1, 1, &suppressed));
	assert_true(log_rate(&r, 10000, 1, 1, &suppressed));
	assert_int_equal(suppressed, UINT32_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_event, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_quotes_only_where_needed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_S20_log_injection, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_prose, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_levels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_lines_are_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_json_event, set_up_json, tear_down),
		cmocka_unit_test_setup_teardown(test_json_prose, set_up_json, tear_down),
		cmocka_unit_test_setup_teardown(test_S20_json_is_always_valid, set_up_json,
		    tear_down),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_at_its_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
