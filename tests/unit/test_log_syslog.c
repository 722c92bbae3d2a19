/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The log to syslogd: its header, a full queue, a restart.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "log_end.h"
#include "log_target.h"

static int
listen_as_syslogd(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	(void)strcpy(un.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
	log_target_syslog_path(path);
	return fd;
}

/* Reads messages as lines; returns how many. */
static int
read_messages(int fd)
{
	char buf[LOG_LINE + 1];
	ssize_t n;
	int count = 0;

	while ((n = recv(fd, buf, sizeof buf, 0)) >= 0) {
		assert_true(n < (ssize_t)sizeof buf);
		text = realloc(text, text_len + (size_t)n + 2);
		assert_non_null(text);
		memcpy(text + text_len, buf, (size_t)n);
		text_len += (size_t)n;
		text[text_len++] = '\n';
		text[text_len] = '\0';
		count++;
	}
	return count;
}

static void
test_syslog_line(void **state)
{
	char want[400];
	int fd = listen_as_syslogd();

	(void)state;
	assert_int_equal(log_open("syslog", LOGF_TEXT, "hatchd"), 0);
	check_descriptors();
	tell(7);
	log_warnx("mind the gap");
	log_err("ouch");
	assert_int_equal(read_messages(fd), 3);
	(void)snprintf(want, sizeof want, "^<30>" RFC3164 "hatchd\\[%ld]: end svc=git n=7\n"
	    "<28>" RFC3164 "hatchd\\[%ld]: warn: mind the gap\n"
	    "<27>" RFC3164 "hatchd\\[%ld]: err: ouch\n$",
	    (long)getpid(), (long)getpid(), (long)getpid());
	check_matches(text, want);

	text_len = 0;
	assert_int_equal(log_open("syslog", LOGF_JSON, "hatchd"), 0);
	tell(7);
	log_flush();
	assert_int_equal(read_messages(fd), 1);
	check_matches(text, "^<30>" RFC3164 "hatchd\\[[0-9]*]: \\{\"time\":\"[^\"]{24}\","
	    "\"level\":\"info\",\"event\":\"end\",\"svc\":\"git\",\"n\":7}\n$");
	(void)close(fd);
}

static void
check_syslog_numbers(int sent)
{
	char *p;
	int n = 0;

	for (p = text; (p = strstr(p, "]: ")) != NULL; p++) {
		if (strncmp(p, "]: end svc=git n=", 17) == 0)
			assert_int_equal(atoi(p + 17), n++);
		else if (strncmp(p, "]: log lost=", 12) == 0)
			n += atoi(p + 12);
	}
	assert_int_equal(n, sent);
}

static void
test_full_syslog(void **state)
{
	int fd = listen_as_syslogd();

	(void)state;
	assert_int_equal(log_open("syslog", LOGF_TEXT, "hatchd"), 0);
	tell_many(0, 3000);
	while (read_messages(fd) > 0)
		log_flush();
	assert_non_null(strstr(text, "]: log lost="));
	check_syslog_numbers(3000);
	(void)close(fd);
}

static void
test_syslogd_restarts(void **state)
{
	int fd = listen_as_syslogd(), i, n = 0;

	(void)state;
	assert_int_equal(log_open("syslog", LOGF_TEXT, "hatchd"), 0);
	tell_many(0, 2);
	assert_int_equal(read_messages(fd), 2);
	(void)close(fd);
	(void)unlink(path);
	tell_many(2, 100);	/* waits */
	fd = listen_as_syslogd();
	for (i = 0; i < 500 && n < 98; i++) {
		log_flush();
		n += read_messages(fd);
		(void)usleep(10000);
	}
	check_syslog_numbers(100);
	(void)close(fd);
}

/* There is none when it is first wanted. */
static void
test_syslogd_comes_later(void **state)
{
	int fd;

	(void)state;
	log_target_syslog_path(path);
	assert_int_equal(log_open(other, LOGF_TEXT, ""), 0);
	assert_null(log_try("syslog"));
	log_await_syslog(LOGF_TEXT, "hatchd");
	tell_many(0, 2);
	log_look();
	read_path(other);
	assert_non_null(strstr(text, "end svc=git n=1\n"));
	fd = listen_as_syslogd();
	tell_many(2, 3);	/* it was looked for just now */
	assert_int_equal(read_messages(fd), 0);
	assert_int_equal(log_reopen(), 0);
	check_descriptors();
	text_len = 0;
	tell_many(3, 5);
	assert_int_equal(read_messages(fd), 3);
	check_matches(text, "^<30>" RFC3164 "hatchd\\[[0-9]*]: info: log syslog: it is there now\n"
	    "<30>" RFC3164 "hatchd\\[[0-9]*]: end svc=git n=3\n");
	/* and is not looked for any more when it is not wanted */
	assert_int_equal(log_open(other, LOGF_TEXT, ""), 0);
	log_look();
	tell_many(5, 6);
	assert_int_equal(read_messages(fd), 0);
	(void)close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_syslog_line),
		TEST(test_full_syslog),
		TEST(test_syslogd_restarts),
		TEST(test_syslogd_comes_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
