/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Unit tests of textfile.c, in a directory of their own; who may own and write
 * a file is tested with source.c.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "textfile.h"

static char dir[64];
static char told[1024];

static int
set_up(void **state)
{
	(void)state;
	(void)umask(022);
	(void)strcpy(dir, "/tmp/test_textfile.XXXXXX");
	return mkdtemp(dir) ? chdir(dir) : -1;
}

static int
tear_down(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return chdir("/") == 0 ? system(command) : -1;
}

static void
put(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(close(fd), 0);
}

/* len times the same byte, which is no NUL */
static void
put_large(const char *path, size_t len)
{
	char *bytes = malloc(len);

	assert_non_null(bytes);
	memset(bytes, 'a', len);
	put(path, bytes, len);
	free(bytes);
}

static void
tell(bool warning, const char *text, void *arg)
{
	(void)arg;
	assert_false(warning);
	(void)snprintf(told, sizeof(told), "%s", text);
}

/* What textfile_read makes of a file that was smaller a moment ago. */
static char *
read_expected(const char *path, size_t expected, size_t *len)
{
	struct problems *p = problems_new();
	int fd = textfile_open(path);
	char *text;

	assert_true(p && fd >= 0);
	told[0] = '\0';
	text = textfile_read(fd, path, expected, p, len);
	problems_each(p, tell, NULL);
	assert_int_equal(text != NULL, problems_count(p) == 0);
	problems_free(p);
	assert_int_equal(close(fd), 0);
	return text;
}

static void
test_sizes(void **state)
{
	static const size_t sizes[] = {
		1, (16 << 10) - 1, 16 << 10, (16 << 10) + 1, (32 << 10) - 1, 32 << 10, 100000,
		TEXTFILE_BYTES - 1, TEXTFILE_BYTES,
	};
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		put_large("f", sizes[i]);
		for (int known = 0; known < 2; known++) {
			char *text = read_expected("f", known ? sizes[i] : 0, &len);

			assert_non_null(text);
			assert_int_equal(len, sizes[i]);
			assert_int_equal(text[0], 'a');
			assert_int_equal(strlen(text), len);
			free(text);
		}
	}
	put_large("f", TEXTFILE_BYTES + 1);
	assert_null(read_expected("f", 0, &len));
	assert_string_equal(told, "f: is larger than 16 MiB");
	assert_null(read_expected("f", TEXTFILE_BYTES, &len));
	assert_string_equal(told, "f: is larger than 16 MiB");
}

/* No more than it takes to see that it is too large. */
static void
test_endless_file_ends(void **state)
{
	size_t len;

	(void)state;
	assert_null(read_expected("/dev/zero", 0, &len));
	assert_string_equal(told, "/dev/zero: is larger than 16 MiB");
}

static void
test_file_without_a_size(void **state)
{
	char *text;
	size_t len;

	(void)state;
	if (access("/proc/self/status", R_OK) < 0)
		skip();
	text = read_expected("/proc/self/status", 0, &len);
	assert_non_null(text);
	assert_true(len > 0 && strlen(text) == len);
	free(text);
}

static void
test_nul_is_told_with_its_line(void **state)
{
	size_t len;

	(void)state;
	put("f", "a\nb\n\0c", 6);
	assert_null(read_expected("f", 6, &len));
	assert_string_equal(told, "f:3: NUL byte: this is not a text file");
}

static void
test_what_is_no_file_is_told(void **state)
{
	struct problems *p = problems_new();
	size_t len;

	(void)state;
	assert_non_null(p);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_null(textfile_load("fifo", getuid(), p, &len));
	assert_int_equal(errno, 0);
	problems_each(p, tell, NULL);
	assert_string_equal(told, "fifo: is a FIFO, not a file");
	assert_null(textfile_load("nothing", getuid(), p, &len));
	assert_int_equal(errno, ENOENT);
	assert_int_equal(problems_count(p), 1);
	problems_free(p);
}

/* All bytes are as good, and so is every owner. */
static void
test_bytes(void **state)
{
	char buf[8];

	(void)state;
	put("f", "T\0\xff\nZ", 5);
	assert_int_equal(chmod("f", 0666), 0);
	assert_int_equal(textfile_load_bytes("f", buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "T\0\xff\nZ", 5);
	assert_int_equal(textfile_load_bytes("f", buf, 5), 5);
	memset(buf, '-', sizeof(buf));
	assert_int_equal(textfile_load_bytes("f", buf, 3), 3);
	assert_memory_equal(buf, "T\0\xff-----", 8);
	put("f", "", 0);
	assert_int_equal(textfile_load_bytes("f", buf, sizeof(buf)), 0);
}

static void
test_bytes_of_what_is_no_file(void **state)
{
	static const char *const paths[] = { "fifo", "/", "/dev/zero" };
	char buf[8];

	(void)state;
	assert_int_equal(mkfifo("fifo", 0600), 0);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		errno = 0;
		assert_int_equal(textfile_load_bytes(paths[i], buf, sizeof(buf)), -1);
		assert_int_equal(errno, EINVAL);
	}
	assert_int_equal(textfile_load_bytes("nothing", buf, sizeof(buf)), -1);
	assert_int_equal(errno, ENOENT);
	put("f", "x", 1);
	assert_int_equal(textfile_load_bytes("f/g", buf, sizeof(buf)), -1);
	assert_int_equal(errno, ENOTDIR);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_sizes),
		TEST(test_endless_file_ends),
		TEST(test_file_without_a_size),
		TEST(test_nul_is_told_with_its_line),
		TEST(test_what_is_no_file_is_told),
		TEST(test_bytes),
		TEST(test_bytes_of_what_is_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
