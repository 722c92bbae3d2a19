/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Unit tests of names.c, as far as no name server is needed. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "names.h"

static struct addr found[NAMES_ADDRS];
static const char *why;

static void
assert_found(struct names *n, const char *host, int i, const char *address)
{
	char text[ADDR_STRLEN];

	assert_true(names_find(n, host, found, &why) > i);
	assert_null(why);
	(void)addr_format_ip(&found[i], text, sizeof(text));
	assert_string_equal(text, address);
}

static void
test_what_is_read_is_found(void **state)
{
	struct names *n = names_new();

	(void)state;
	assert_true(names_read(n, "N a.example 192.0.2.1 2001:db8::7 fe80::1%3"));
	assert_true(names_read(n, "N b.example 10.0.0.1"));
	assert_found(n, "a.example", 0, "192.0.2.1");
	assert_found(n, "a.example", 1, "2001:db8::7");
	assert_int_equal(names_find(n, "a.example", found, &why), 3);
	assert_int_equal(found[2].scope, 3);
	assert_int_equal(found[0].port, 0);
	assert_int_equal(names_find(n, "b.example", found, &why), 1);
	names_free(n);
}

static void
test_closed_looks_nothing_up(void **state)
{
	struct names *n = names_new();

	(void)state;
	assert_true(names_read(n, "N a.example 192.0.2.1"));
	names_close(n);
	assert_found(n, "a.example", 0, "192.0.2.1");
	assert_int_equal(names_find(n, "localhost", found, &why), -1);
	assert_string_equal(why, "the address was not known when the configuration was tried");
	assert_int_equal(names_find(n, "A.example", found, &why), -1);
	names_free(n);
	names_free(NULL);
}

static void
test_odd_lines_are_refused(void **state)
{
	static const char *const lines[] = {
		"", "N", "N ", "N  ", "N host", "N host ", "N host 10.0.0", "N host 10.0.0.1 x",
		"N host 10.0.0.1/8", "N host [::1]", "L host", "Nhost 10.0.0.1", "E x 10.0.0.1",
		"n host 10.0.0.1", "N host unix:uid=1", "N twice 10.0.0.2",
	};
	struct names *n = names_new();
	char text[2 * NAMES_LINE];

	(void)state;
	assert_true(names_read(n, "N twice 10.0.0.1"));
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_false(names_read(n, lines[i]));
	(void)strcpy(text, "N host");
	for (int i = 0; i <= NAMES_ADDRS; i++)
		(void)strcat(text, " 10.0.0.1");
	assert_false(names_read(n, text));
	memset(text, 'a', sizeof(text));
	memcpy(text, "N ", 2);
	(void)strcpy(text + 300, " 10.0.0.1");
	assert_false(names_read(n, text));
	memset(text + 300, 'a', 10);
	text[sizeof(text) - 1] = '\0';
	assert_false(names_read(n, text));
	names_close(n);
	assert_int_equal(names_find(n, "host", found, &why), -1);
	assert_found(n, "twice", 0, "10.0.0.1");
	names_free(n);
}

static void
test_bounded(void **state)
{
	struct names *n = names_new();
	char line[64];

	(void)state;
	for (int i = 0; i < NAMES_MAX; i++) {
		(void)snprintf(line, sizeof(line), "N h%d 10.0.0.1", i);
		assert_true(names_read(n, line));
	}
	assert_false(names_read(n, "N more 10.0.0.1"));
	assert_int_equal(names_find(n, "more", found, &why), -1);
	assert_string_equal(why, "too many different names of hosts");
	assert_found(n, "h4095", 0, "10.0.0.1");
	names_free(n);
}

/* What one has looked up, another one reads. */
static void
test_told_and_read(void **state)
{
	struct names *a = names_new(), *b = names_new();
	struct addr direct[NAMES_ADDRS];
	char *text, *line;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int count;

	(void)state;
	count = names_find(NULL, "localhost", direct, &why);
	if (count < 0) {
		print_message("localhost: %s\n", why);
		skip();
	}
	names_tell(a, out);
	assert_int_equal(names_find(a, "localhost", found, &why), count);
	assert_int_equal(names_find(a, "localhost", found, &why), count);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(strncmp(text, "L localhost\nN localhost ", 24), 0);
	line = text + 12;
	assert_ptr_equal(strchr(line, '\n'), text + len - 1);	/* asked for once */
	text[len - 1] = '\0';
	assert_true(names_read(b, line));
	names_close(b);
	assert_int_equal(names_find(b, "localhost", found, &why), count);
	for (int i = 0; i < count; i++)
		assert_true(addr_equal(&found[i], &direct[i]));
	free(text);
	names_free(a);
	names_free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_read_is_found),
		cmocka_unit_test(test_closed_looks_nothing_up),
		cmocka_unit_test(test_odd_lines_are_refused),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_told_and_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
