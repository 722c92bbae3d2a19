/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Unit tests of source.c and include.c, in a directory of their own. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "source.h"

static char dir[] = "/tmp/test_source.XXXXXX";

static char told[16384];	/* what the last read_main() was told */

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int
setup(void **state)
{
	(void)state;
	(void)umask(022);
	(void)strcpy(strrchr(dir, '.'), ".XXXXXX");
	return mkdtemp(dir) && chdir(dir) == 0 && mkdir("d", 0755) == 0 ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	return chdir("/") == 0 ? nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) : -1;
}

static void
put(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(close(fd), 0);
}

static void
put_string(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

static void
tell(bool warning, const char *text, void *arg)
{
	(void)warning;
	(void)arg;
	(void)strncat(told, text, sizeof(told) - strlen(told) - 2);
	(void)strcat(told, "\n");
}

static struct sources *
read_as(const char *path, uid_t owner)
{
	struct problems *p = problems_new();
	struct sources *s = sources_read(path, owner, p);

	told[0] = '\0';
	problems_each(p, tell, NULL);
	assert_int_equal(s != NULL, problems_count(p) == 0);
	problems_free(p);
	return s;
}

static struct sources *
read_main(void)
{
	return read_as("main", getuid());
}

static void
assert_refused(const char *text)
{
	assert_null(read_main());
	assert_string_equal(told, text);
}

/* names: those of the files, separated by blanks */
static void
assert_files(const char *names)
{
	struct sources *s = read_main();
	char got[4096] = "";

	if (!s)
		fail_msg("%s", told);
	for (int i = 0; i < s->n; i++) {
		(void)strcat(got, i ? " " : "");
		(void)strcat(got, s->list[i].name);
	}
	assert_string_equal(got, names);
	sources_free(s);
}

static void
test_reads_all(void **state)
{
	struct sources *s;
	char *text = malloc(100000);

	(void)state;
	memset(text, '\n', 100000);
	put("main", text, 100000);
	s = read_main();
	assert_non_null(s);
	assert_int_equal(s->n, 1);
	assert_string_equal(s->list[0].name, "main");
	assert_int_equal(s->list[0].len, 100000);
	assert_memory_equal(s->list[0].text, text, 100000);
	assert_int_equal(s->list[0].text[100000], '\0');
	sources_free(s);
	put("main", "", 0);
	s = read_main();
	assert_non_null(s);
	assert_int_equal(s->list[0].len, 0);
	assert_string_equal(s->list[0].text, "");
	sources_free(s);
	free(text);
}

static void
test_missing(void **state)
{
	(void)state;
	assert_refused("main: cannot be opened: No such file or directory\n");
}

/* libConfuse exits, hangs or never ends on these */
static void
test_trap14_trap15_no_file(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "main" };
	int fd;

	(void)state;
	assert_int_equal(mkdir("main", 0755), 0);
	assert_refused("main: is a directory, not a file\n");
	assert_int_equal(rmdir("main"), 0);
	assert_int_equal(mkfifo("main", 0644), 0);
	assert_refused("main: is a FIFO, not a file\n");
	assert_int_equal(unlink("main"), 0);
	assert_int_equal(symlink("/dev/zero", "main"), 0);
	assert_refused("main: is a character device, not a file\n");
	assert_int_equal(unlink("main"), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_refused("main: is not a file\n");
	(void)close(fd);
}

static void
test_S24_writable_by_others(void **state)
{
	(void)state;
	put_string("main", "a = b\n");
	assert_int_equal(chmod("main", 0666), 0);
	assert_refused("main: everybody may write it (mode 0666): chmod go-w\n");
	assert_int_equal(chmod("main", 0602), 0);
	assert_refused("main: everybody may write it (mode 0602): chmod go-w\n");
	put_string("d/x.conf", "a = b\n");
	assert_int_equal(chmod("main", 0644), 0);
	assert_int_equal(chmod("d/x.conf", 0646), 0);
	put_string("main", "conf = { \"d/*.conf\" }\n");
	assert_refused("d/x.conf: everybody may write it (mode 0646): chmod go-w\n");
}

static void
test_S24_writable_by_group(void **state)
{
	gid_t groups[64];
	int n = getgroups(64, groups);
	gid_t other = getuid() == 0 ? 4242 : 0;
	char want[128];

	(void)state;
	for (int i = 0; !other && i < n; i++)
		if (groups[i] != getgid())
			other = groups[i];
	put_string("main", "a = b\n");
	if (!other || chown("main", (uid_t)-1, other) < 0)
		skip();
	assert_int_equal(chmod("main", 0664), 0);
	(void)snprintf(want, sizeof(want), "main: group %u may write it (mode 0664): chmod g-w\n",
		       (unsigned)other);
	assert_refused(want);
	assert_int_equal(chmod("main", 0644), 0);
	assert_files("main");
}

static void
test_S24_writable_by_root_group(void **state)
{
	(void)state;
	put_string("main", "a = b\n");
	if (chown("main", (uid_t)-1, 0) < 0)
		skip();
	assert_int_equal(chmod("main", 0664), 0);
	assert_files("main");
}

static void
test_S24_foreign_owner(void **state)
{
	struct sources *s;
	char want[128];

	(void)state;
	put_string("main", "a = b\n");
	if (getuid() == 0) {
		assert_int_equal(chown("main", 4242, 0), 0);
		assert_refused("main: is owned by uid 4242, not by root\n");
		assert_null(read_as("main", 4243));
		assert_string_equal(told, "main: is owned by uid 4242, not by root or uid 4243\n");
		s = read_as("main", 4242);
		assert_non_null(s);
		sources_free(s);
		return;
	}
	assert_null(read_as("main", 0));
	(void)snprintf(want, sizeof(want), "main: is owned by uid %u, not by root\n",
		       (unsigned)getuid());
	assert_string_equal(told, want);
}

static void
test_too_large(void **state)
{
	(void)state;
	put("main", "", 0);
	assert_int_equal(truncate("main", SOURCE_BYTES + 1), 0);
	assert_refused("main: is larger than 16 MiB\n");
}

static void
test_trap9_NUL(void **state)
{
	(void)state;
	put("main", "a = b\n\nc = \"\0\"\n", 15);
	assert_refused("main:3: NUL byte: this is not a text file\n");
}

static void
test_globs_sorted_each_once(void **state)
{
	(void)state;
	put_string("d/b.conf", "");
	put_string("d/a.conf", "");
	put_string("d/C.conf", "");
	put_string("d/a.txt", "");
	put_string("d/.hidden.conf", "");
	put_string("d/x.conf~", "");
	put_string("main", "conf = { \"d/*.conf\" }\n");
	assert_files("main d/C.conf d/a.conf d/b.conf");
	put_string("main", "conf = { 'd/b.conf', \"d/*.conf\", d/b.conf, \"ma*\" }\n");
	assert_files("main d/b.conf d/C.conf d/a.conf");
	assert_int_equal(symlink("b.conf", "d/z.conf"), 0);
	assert_files("main d/b.conf d/C.conf d/a.conf");
	put_string("main", "conf = { \"none/*.conf\", \"d/*.none\", \"main/*\" }\n");
	assert_files("main");
	put_string("main", "conf = { }\n");
	assert_files("main");
}

static void
test_leftovers_of_editors(void **state)
{
	static const char *const names[] = {
		"d/a", "d/.a.swp", "d/a~", "d/a.bak", "d/a.dpkg-old", "d/a.dpkg-new",
		"d/a.dpkg-dist", "d/a.rpmsave", "d/a.rpmnew",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put_string(names[i], "");
	put_string("main", "conf = \"d/*\"\n");
	assert_files("main d/a");
	put_string("main", "conf = \"d/*.bak\"\n");
	assert_files("main d/a.bak");
	put_string("main", "conf = \"d/a.rpmsave\"\n");
	assert_files("main d/a.rpmsave");
}

static void
test_relative_to_the_main_file(void **state)
{
	struct sources *s;
	char path[64];

	(void)state;
	assert_int_equal(mkdir("d/[x]*", 0755), 0);
	put_string("d/[x]*/main", "conf = { \"*.conf\", \"lit\" }\n");
	put_string("d/[x]*/a.conf", "");
	put_string("d/[x]*/lit", "");
	s = read_as("d/[x]*/main", getuid());
	assert_non_null(s);
	assert_int_equal(s->n, 3);
	assert_string_equal(s->list[1].name, "d/[x]*/a.conf");
	assert_string_equal(s->list[2].name, "d/[x]*/lit");
	sources_free(s);
	(void)snprintf(path, sizeof(path), "conf = \"%s/d/*.conf\"\n", dir);
	put_string("d/[x]*/main", path);
	put_string("d/y.conf", "");
	s = read_as("d/[x]*/main", getuid());
	assert_non_null(s);
	assert_int_equal(s->n, 2);
	(void)snprintf(path, sizeof(path), "%s/d/y.conf", dir);
	assert_string_equal(s->list[1].name, path);
	sources_free(s);
}

static void
test_problems_name_the_setting(void **state)
{
	(void)state;
	put_string("main", "\n# x\nconf = { \"d/none.conf\",\n \"\" }\n");
	assert_refused("main:3: conf: \"d/none.conf\" cannot be opened: No such file or directory\n"
		       "main:4: conf: a path is empty\n");
	put_string("main", "conf = \"d/*\"\n");
	assert_int_equal(symlink("nowhere", "d/a"), 0);
	assert_int_equal(mkdir("d/b", 0755), 0);
	put_string("d/c", "x");
	assert_refused("d/a: cannot be opened: No such file or directory\n"
		       "d/b: is a directory, not a file\n");
}

/* What is wrong in the main file is told; no other file is looked at. */
static void
test_unclear_main_file(void **state)
{
	(void)state;
	put_string("main", "conf = \"d/none\"\nservice x {\n");
	assert_refused("main:2: '{' is never closed\n");
}

static void
test_too_many_files(void **state)
{
	char path[32];

	(void)state;
	for (int i = 0; i < SOURCE_FILES; i++) {
		(void)snprintf(path, sizeof(path), "d/%04d.conf", i);
		put_string(path, "");
	}
	put_string("main", "conf = \"d/*.conf\"\n");
	assert_refused("d/4095.conf: this is one file too many: 4096 are allowed\n");
}

static void
test_too_much_in_all(void **state)
{
	char path[32];

	(void)state;
	for (int i = 0; i < 5; i++) {
		char *text = malloc(SOURCE_BYTES);

		memset(text, '\n', SOURCE_BYTES);
		(void)snprintf(path, sizeof(path), "d/%d.conf", i);
		put(path, text, SOURCE_BYTES);
		free(text);
	}
	put_string("main", "conf = \"d/*.conf\"\n");
	assert_refused("d/3.conf: with this file the configuration is larger than 64 MiB\n");
}

static void
test_from_text(void **state)
{
	struct sources *s = sources_from_text("(command line)", "a = b", 5);

	(void)state;
	assert_int_equal(s->n, 1);
	assert_string_equal(s->list[0].name, "(command line)");
	assert_string_equal(s->list[0].text, "a = b");
	sources_free(s);
	s = sources_from_text("x", NULL, 0);
	assert_int_equal(s->list[0].len, 0);
	sources_free(s);
	sources_free(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reads_all),
		TEST(test_missing),
		TEST(test_trap14_trap15_no_file),
		TEST(test_S24_writable_by_others),
		TEST(test_S24_writable_by_group),
		TEST(test_S24_writable_by_root_group),
		TEST(test_S24_foreign_owner),
		TEST(test_too_large),
		TEST(test_trap9_NUL),
		TEST(test_globs_sorted_each_once),
		TEST(test_leftovers_of_editors),
		TEST(test_relative_to_the_main_file),
		TEST(test_problems_name_the_setting),
		TEST(test_unclear_main_file),
		TEST(test_too_many_files),
		TEST(test_too_much_in_all),
		TEST(test_from_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
