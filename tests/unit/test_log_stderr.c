/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * stderr in all its forms: nothing blocks, what is lost is counted, and what
 * others have open, too, stays as it is.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "log.h"
#include "log_end.h"

static void
test_stderr_line(void **state)
{
	int fds[2];

	(void)state;
	make_pipe(fds);
	be_stderr(fds[1]);
	assert_int_equal(log_open("stderr", LOGF_TEXT, "hatchd"), 0);
	check_descriptors();
	tell(7);
	assert_int_equal(read_more(fds[0]), 0);		/* gathered */
	log_flush();
	read_more(fds[0]);
	check_matches(text, UTC "hatchd: info end svc=git n=7\n$");

	text_len = 0;
	log_warnx("too \"late\"");
	log_err("at once");
	read_more(fds[0]);
	check_matches(text, UTC "hatchd: warn: too \"late\"\n[^ ]* hatchd: err: at once\n$");

	/* The description that others share blocks as before. */
	assert_false(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK);
	(void)close(fds[0]);
}

static void
test_lines_before_open_go_out_at_once(void **state)
{
	int fds[2];

	(void)state;
	make_pipe(fds);
	be_stderr(fds[1]);
	log_warnx("early");
	read_more(fds[0]);
	check_matches(text, UTC "[^ ]*test_log_stderr: warn: early\n$");
	(void)close(fds[0]);
}

static void
check_full_pipe(int reader)
{
	tell_many(0, 5000);
	while (read_more(reader) > 0)
		log_flush();
	check_complete(5000);

	text_len = 0;	/* and goes on as if nothing had been */
	tell_many(0, 10);
	(void)read_more(reader);
	check_complete(10);
}

static void
test_full_pipe(void **state)
{
	int fds[2];

	(void)state;
	make_pipe(fds);
	be_stderr(fds[1]);
	assert_int_equal(log_open("stderr", LOGF_TEXT, "hatchd"), 0);
	check_full_pipe(fds[0]);
	assert_false(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK);
	(void)close(fds[0]);
}

/* Another account's pipe can't be opened anew: it is polled. */
static void
test_full_pipe_of_another_account(void **state)
{
	int fds[2];

	(void)state;
	make_pipe(fds);
	assert_int_equal(fchmod(fds[1], 0), 0);
	be_stderr(fds[1]);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	assert_int_equal(log_open("stderr", LOGF_TEXT, "hatchd"), 0);
	assert_int_equal(seteuid(getuid()), 0);
	check_full_pipe(fds[0]);
	assert_false(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK);
	(void)close(fds[0]);
}

static void
test_full_socket(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(fd_set_nonblock(fds[0], true), 0);
	be_stderr(fds[1]);
	assert_int_equal(log_open("stderr", LOGF_TEXT, "hatchd"), 0);
	check_full_pipe(fds[0]);
	assert_false(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK);

	(void)close(fds[0]);	/* no SIGPIPE */
	tell_many(0, 10);
}

/* A datagram socket gets a line each. */
static void
test_message_socket(void **state)
{
	int fds[2];
	char buf[256];
	ssize_t n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	be_stderr(fds[1]);
	assert_int_equal(log_open("stderr", LOGF_TEXT, "hatchd"), 0);
	tell(1);
	tell(2);
	log_flush();
	n = recv(fds[0], buf, sizeof buf - 1, 0);
	assert_true(n > 0);
	buf[n] = '\0';
	check_matches(buf, UTC "hatchd: info end svc=git n=1$");
	n = recv(fds[0], buf, sizeof buf - 1, 0);
	assert_true(n > 0);
	buf[n] = '\0';
	check_matches(buf, UTC "hatchd: info end svc=git n=2$");
	(void)close(fds[0]);
	tell_many(0, 10);
}

static void
test_stderr_is_closed(void **state)
{
	(void)state;
	(void)close(STDERR_FILENO);
	log_warnx("to nobody");
	assert_int_equal(log_open("stderr", LOGF_TEXT, "hatchd"), -1);
	assert_int_equal(errno, EBADF);
}

static void
test_stderr_is_a_file(void **state)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	(void)state;
	be_stderr(fd);
	assert_int_equal(log_open("stderr", LOGF_TEXT, NULL), 0);
	tell(1);
	log_flush();
	assert_int_equal(write(STDERR_FILENO, "mine\n", 5), 5);	/* behind it, not over it */
	read_path(path);
	check_matches(text, UTC "info end svc=git n=1\nmine\n$");
}

static void
test_fatal_flushes_and_exits(void **state)
{
	int fds[2], status;
	pid_t pid;

	(void)state;
	make_pipe(fds);
	be_stderr(fds[1]);
	assert_int_equal(log_open("stderr", LOGF_TEXT, "hatchd"), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		tell(1);
		log_set_level(LOGL_ERR);
		if (freopen("/dev/null", "w", stdout) == NULL)
			_exit(2);
		errno = EPERM;
		fatal("no %s", "way");
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	read_more(fds[0]);
	check_matches(text, UTC "hatchd: info end svc=git n=1\n"
	    "[^ ]* hatchd: err: no way: Operation not permitted\n$");
	(void)close(fds[0]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lines_before_open_go_out_at_once),
		TEST(test_stderr_line),
		TEST(test_full_pipe),
		TEST(test_full_pipe_of_another_account),
		TEST(test_full_socket),
		TEST(test_message_socket),
		TEST(test_stderr_is_closed),
		TEST(test_stderr_is_a_file),
		TEST(test_fatal_flushes_and_exits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
