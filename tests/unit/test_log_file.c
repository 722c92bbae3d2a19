/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The log in a file: rotation, full disks, what is no file.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "log_end.h"
#include "log_target.h"

/* A full disk behind stderr: lost lines are told by the next sink. */
static void
test_dev_full(void **state)
{
	int fd = open("/dev/full", O_WRONLY);

	(void)state;
	if (fd < 0)
		skip();
	be_stderr(fd);
	assert_int_equal(log_open("stderr", LOGF_TEXT, "hatchd"), 0);
	tell_many(0, 3000);
	assert_int_equal(log_open(path, LOGF_TEXT, "hatchd"), 0);
	tell_many(3000, 3002);
	read_path(path);
	check_matches(text, UTC "warn log lost=3000\n");
	check_complete(3002);
}

static void
test_file(void **state)
{
	struct stat st;
	mode_t old = umask(0);

	(void)state;
	assert_int_equal(log_open(path, LOGF_TEXT, "hatchd"), 0);
	(void)umask(old);
	check_descriptors();
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	tell_many(0, 5000);
	read_path(path);
	check_matches(text, UTC "info end svc=git n=0\n");
	check_complete(5000);

	log_close();
	assert_int_equal(log_open(path, LOGF_JSON, "hatchd"), 0);	/* appends */
	tell(1);
	log_flush();
	read_path(path);
	check_matches(strchr(text, '{'), "^\\{\"time\":\"[^\"]{24}\",\"level\":\"info\","
	    "\"event\":\"end\",\"svc\":\"git\",\"n\":1\\}\n$");
}

static void
check_refused(const char *target, int error)
{
	errno = 0;
	assert_int_equal(log_open(target, LOGF_JSON, "x"), -1);
	assert_int_equal(errno, error);
}

static void
test_refused_targets_change_nothing(void **state)
{
	(void)state;
	assert_int_equal(log_open(path, LOGF_TEXT, "hatchd"), 0);
	check_refused("relative", EINVAL);
	check_refused("", EINVAL);
	check_refused("/dev/null", EINVAL);
	check_refused(dir, EISDIR);
	check_refused("/no/such/folder/log", ENOENT);
	assert_int_equal(symlink(path, other), 0);
	check_refused(other, ELOOP);
	(void)unlink(other);
	assert_int_equal(mkfifo(other, 0600), 0);
	check_refused(other, ENXIO);
	log_target_syslog_path(other);
	check_refused("syslog", ECONNREFUSED);
	log_target_syslog_path("/no/such/socket");
	check_refused("syslog", ENOENT);
	log_target_syslog_path("/dev/log");

	tell_many(0, 3);
	read_path(path);
	check_complete(3);
}

static void
test_rotation(void **state)
{
	(void)state;
	assert_int_equal(log_open(path, LOGF_TEXT, "hatchd"), 0);
	tell_many(0, 2);
	assert_int_equal(rename(path, other), 0);
	tell_many(2, 3);	/* until it's told, to the old one */
	tell(3);		/* gathered before: too */
	assert_int_equal(log_reopen(), 0);
	tell_many(0, 5);
	read_path(other);
	check_complete(4);
	read_path(path);
	check_complete(5);

	/* No new file can be made: the old one is kept. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(log_reopen(), -1);
	tell_many(0, 1);
}

static void
limit_file(rlim_t size)
{
	struct rlimit lim;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &lim), 0);
	lim.rlim_cur = size < lim.rlim_max ? size : lim.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &lim), 0);
}

/* The disk is full within a line, and then has room again. */
static void
test_full_disk_recovers(void **state)
{
	void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
	char *p;

	(void)state;
	assert_int_equal(log_open(path, LOGF_TEXT, "hatchd"), 0);
	limit_file(70);
	tell_many(0, 2000);
	limit_file(RLIM_INFINITY);
	tell_many(2000, 2003);
	(void)signal(SIGXFSZ, old);
	read_path(path);
	/* One line, half of the next, and what follows begins on its own. */
	p = strchr(strchr(text, '\n') + 1, '\n') + 1;
	check_matches(p, UTC "warn log lost=1999\n");
	(void)memmove(strchr(text, '\n') + 1, p, strlen(p) + 1);
	check_complete(2003);
}

static void
test_full_disk_tells_without_new_lines(void **state)
{
	void (*old)(int) = signal(SIGXFSZ, SIG_IGN);

	(void)state;
	assert_int_equal(log_open(path, LOGF_TEXT, "hatchd"), 0);
	limit_file(0);
	tell_many(0, 10);
	log_flush();
	log_flush();
	limit_file(RLIM_INFINITY);
	log_flush();
	(void)signal(SIGXFSZ, old);
	read_path(path);
	check_complete(10);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dev_full),
		TEST(test_file),
		TEST(test_refused_targets_change_nothing),
		TEST(test_rotation),
		TEST(test_full_disk_recovers),
		TEST(test_full_disk_tells_without_new_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
