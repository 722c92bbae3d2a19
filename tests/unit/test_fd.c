/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Helpers for descriptors.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"

static int
open_null(int flags)
{
	int fd = open("/dev/null", O_RDWR | flags);

	assert_true(fd >= 0);
	return fd;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void
limit_to(rlim_t soft, struct rlimit *ret_old)
{
	struct rlimit lim;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, ret_old), 0);
	lim = *ret_old;
	lim.rlim_cur = soft;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

static void
test_raise(void **state)
{
	struct rlimit old;
	int low, high, again;

	(void)state;
	limit_to(1024, &old);
	low = open_null(0);
	high = fd_raise(low);
	assert_true(high >= FD_HIGH);
	assert_false(is_open(low));
	assert_int_equal(fcntl(high, F_GETFD), FD_CLOEXEC);

	assert_int_equal(fcntl(high, F_SETFD, 0), 0);
	again = fd_raise(high);
	assert_int_equal(again, high);
	assert_int_equal(fcntl(high, F_GETFD), FD_CLOEXEC);
	fd_close(&high);
	assert_int_equal(high, -1);
	assert_int_equal(fd_raise(-1), -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void
test_raise_under_a_low_limit(void **state)
{
	struct rlimit old;
	int fd;

	(void)state;
	limit_to(64, &old);
	fd = fd_raise(open_null(0));
	assert_in_range(fd, 32, 63);
	fd_close(&fd);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void
test_raise_without_room(void **state)
{
	struct rlimit old;
	int fd = open_null(0), fill[64], n = 0;

	(void)state;
	limit_to(64, &old);
	while (n < 64 && (fill[n] = fd_dup(0, 32)) >= 0)
		n++;
	assert_int_equal(errno, EMFILE);
	errno = 4711;
	assert_int_equal(fd_raise(fd), fd);
	assert_int_equal(errno, 4711);
	assert_true(is_open(fd));
	while (n > 0)
		fd_close(&fill[--n]);
	fd_close(&fd);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void
test_dup(void **state)
{
	int fd = open_null(0);
	int copy = fd_dup(fd, 40);

	(void)state;
	assert_true(copy >= 40);
	assert_true(is_open(fd));
	assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
	fd_close(&copy);
	fd_close(&copy);
	fd_close(&fd);
	assert_int_equal(fd_dup(-1, 0), -1);
	assert_int_equal(errno, EBADF);
}

static void
test_nonblock(void **state)
{
	int fd = open_null(O_APPEND);

	(void)state;
	assert_int_equal(fd_set_nonblock(fd, true), 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFL) & O_APPEND);
	assert_int_equal(fd_set_nonblock(fd, false), 0);
	assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFL) & O_APPEND);
	fd_close(&fd);
	assert_int_equal(fd_set_nonblock(-1, true), -1);
	assert_int_equal(errno, EBADF);
}

static void
test_limit(void **state)
{
	struct rlimit old, now;
	rlim_t found = 0;

	(void)state;
	limit_to(64, &old);
	assert_int_equal(fd_raise_limit(100, &found), 100);
	assert_int_equal(found, 64);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(now.rlim_cur, 100);
	assert_int_equal(now.rlim_max, old.rlim_max);

	assert_int_equal(fd_raise_limit(50, &found), 100);	/* never lowered */
	assert_int_equal(found, 100);
	assert_int_equal(fd_raise_limit(RLIM_INFINITY, NULL), old.rlim_max);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raise),
		cmocka_unit_test(test_raise_under_a_low_limit),
		cmocka_unit_test(test_raise_without_room),
		cmocka_unit_test(test_dup),
		cmocka_unit_test(test_nonblock),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
