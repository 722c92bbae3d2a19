/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Unit tests of acl_list_parse.c; no names are looked up. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "acl_list_parse.h"
#include "source.h"

static struct acl_list list;
static char told[4096];

static void
tell(bool warning, const char *text, void *arg)
{
	size_t len = strlen(told);

	(void)arg;
	assert_false(warning);
	(void)snprintf(told + len, sizeof(told) - len, "%s\n", text);
}

/* text is cut into pieces; the entries are in list. */
static bool
parse(char *text, size_t len)
{
	struct problems *p = problems_new();
	const struct acl_list_order o = { .path = "l", .what = "allow", .problems = p };
	bool ok;

	assert_non_null(p);
	acl_list_fini(&list);
	list = (struct acl_list){ NULL, 0 };
	told[0] = '\0';
	ok = acl_list_parse(&o, text, len, &list) == 0;
	assert_int_equal(ok, problems_count(p) == 0);
	problems_each(p, tell, NULL);
	problems_free(p);
	return ok;
}

static bool
parse_text(const char *text)
{
	char *copy = strdup(text);
	bool ok;

	assert_non_null(copy);
	ok = parse(copy, strlen(copy));
	free(copy);
	return ok;
}

static int
tear_down(void **state)
{
	(void)state;
	acl_list_fini(&list);
	list = (struct acl_list){ NULL, 0 };
	return 0;
}

static void
test_entries_have_their_lines(void **state)
{
	(void)state;
	assert_true(parse_text("# all\n\n10.0.0.0/8 # us\r\n\t::1\nuid:7#\n   #\ngid:9"));
	assert_int_equal(list.n, 4);
	assert_int_equal(list.entries[0].line, 3);
	assert_int_equal(list.entries[0].e.kind, ACL_NET);
	assert_int_equal(list.entries[0].e.bits, 8);
	assert_int_equal(list.entries[1].line, 4);
	assert_int_equal(list.entries[1].e.bits, 128);
	assert_int_equal(list.entries[2].line, 5);
	assert_int_equal(list.entries[2].e.kind, ACL_UID);
	assert_int_equal(list.entries[3].line, 7);
	assert_int_equal(list.entries[3].e.kind, ACL_GID);
	assert_int_equal(list.entries[3].e.id, 9);
}

static void
test_nothing_in_it(void **state)
{
	static const char *const texts[] = { "", "\n", "#", " \t\r\n\n", "# a\n#b" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_true(parse_text(texts[i]));
		assert_int_equal(list.n, 0);
	}
}

static void
test_L25_one_bad_line_spoils_all(void **state)
{
	(void)state;
	assert_false(parse_text("10.0.0.0/8\n10.0.0.1/8\n::1\nfile:/x\n"));
	assert_int_equal(list.n, 0);
	assert_null(list.entries);
	assert_string_equal(told, "l:2: allow: '10.0.0.1/8': the address has bits set below its "
			    "prefix: the network is 10.0.0.0/8, or leave \"/8\" away\n"
			    "l:4: allow: 'file:/x': a list file can't name another one\n");
}

static void
test_length_of_a_line(void **state)
{
	char text[SOURCE_LINE + 8];

	(void)state;
	memset(text, ' ', sizeof(text));
	(void)strcpy(text + SOURCE_LINE - 3, "::1\n");
	assert_true(parse(text, SOURCE_LINE + 1));
	assert_int_equal(list.n, 1);
	memset(text, ' ', sizeof(text));
	(void)strcpy(text + SOURCE_LINE - 2, "::1\n");
	assert_false(parse(text, SOURCE_LINE + 2));
	assert_string_equal(told, "l:1: allow: the line is longer than 4096 bytes\n");
}

/* However long it is, what is wrong with it is told. */
static void
test_reason_of_a_long_entry(void **state)
{
	char text[2000 + sizeof("/33\n")];

	(void)state;
	memset(text, '1', 2000);
	(void)strcpy(text + 2000, "/33\n");
	assert_false(parse_text(text));
	assert_memory_equal(told, "l:1: allow: '1111", 17);
	assert_int_equal(strspn(strchr(told, '\'') + 1, "1"), 200);
	assert_memory_equal(strrchr(told, '\''), "': ", 3);
	assert_true(strlen(strrchr(told, '\'')) > 10);
}

static void
test_number_of_lines(void **state)
{
	char *text = malloc(ACL_LIST_LINES + 8);

	(void)state;
	assert_non_null(text);
	memset(text, '\n', ACL_LIST_LINES);
	(void)strcpy(text + ACL_LIST_LINES - 1, "::1\n");
	assert_true(parse(text, ACL_LIST_LINES + 3));
	assert_int_equal(list.n, 1);
	assert_int_equal(list.entries[0].line, ACL_LIST_LINES);
	memset(text, '\n', ACL_LIST_LINES);
	(void)strcpy(text + ACL_LIST_LINES, "#");
	assert_false(parse(text, ACL_LIST_LINES + 1));
	assert_string_equal(told, "l:1000001: allow: more than 1000000 lines\n");
	free(text);
}

/* Lines without an entry don't count, be there ever so many. */
static void
test_number_of_entries(void **state)
{
	size_t len = (size_t)ACL_LIST_ENTRIES * 6;
	char *text = malloc(len + 8);

	(void)state;
	assert_non_null(text);
	for (int twice = 0; twice < 2; twice++) {
		for (size_t i = 0; i < len; i += 6)
			memcpy(text + i, "::1\n#\n", 6);
		(void)strcpy(text + len, twice ? "::2" : "#");
		assert_int_equal(parse(text, len + strlen(text + len)), !twice);
		if (!twice)
			assert_int_equal(list.n, ACL_LIST_ENTRIES);
	}
	assert_string_equal(told, "l:200001: allow: more than 100000 entries\n");
	free(text);
}

static void
assert_found(const char *text, uint32_t line, const char *want)
{
	char *copy = strdup(text);
	const char *found;

	assert_non_null(copy);
	found = acl_list_find(copy, strlen(copy), line);
	if (want) {
		assert_non_null(found);
		assert_string_equal(found, want);
	} else {
		assert_null(found);
	}
	free(copy);
}

static void
test_byte_order_mark(void **state)
{
	(void)state;
	assert_false(parse_text("\xef\xbb\xbf" "10.0.0.1\n10.0.0\n"));
	assert_string_equal(told, "l:1: allow: the file begins with a byte order mark: save it as "
			    "UTF-8 without one\n");
}

static void
test_lines_by_number(void **state)
{
	static const char text[] = "one\n\n  three # 3\r\n#four\nfive";

	(void)state;
	assert_found(text, 0, NULL);
	assert_found(text, 1, "one");
	assert_found(text, 2, "");
	assert_found(text, 3, "three");
	assert_found(text, 4, "");
	assert_found(text, 5, "five");
	assert_found(text, 6, NULL);
	assert_found("", 1, NULL);
	assert_found("\n", 1, "");
	assert_found("\n", 2, NULL);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_entries_have_their_lines),
		TEST(test_nothing_in_it),
		TEST(test_L25_one_bad_line_spoils_all),
		TEST(test_length_of_a_line),
		TEST(test_reason_of_a_long_entry),
		TEST(test_number_of_lines),
		TEST(test_number_of_entries),
		TEST(test_byte_order_mark),
		TEST(test_lines_by_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
