/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The other end of the log, for the tests of its sinks.
 */
#include "config.h"

#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "log.h"
#include "log_end.h"

char dir[64], path[80], other[80];
char *text;
size_t text_len;

static int old_stderr;

int
set_up(void **state)
{
	(void)state;
	(void)strcpy(dir, "/tmp/hatchd-log-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(path, sizeof path, "%s/log", dir);
	(void)snprintf(other, sizeof other, "%s/other", dir);
	old_stderr = fd_dup(STDERR_FILENO, 3);
	text = NULL;
	text_len = 0;
	(void)alarm(60);	/* a call that blocks ends the test */
	return old_stderr >= 0 ? 0 : -1;
}

int
tear_down(void **state)
{
	(void)state;
	(void)alarm(0);
	log_close();
	(void)dup2(old_stderr, STDERR_FILENO);
	(void)close(old_stderr);
	(void)unlink(path);
	(void)unlink(other);
	free(text);
	return rmdir(dir);
}

void
be_stderr(int fd)
{
	assert_true(fd >= 0);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	(void)close(fd);
}

size_t
read_more(int fd)
{
	size_t before = text_len;
	ssize_t n = 1;

	while (n > 0) {
		text = realloc(text, text_len + 65537);
		assert_non_null(text);
		n = read(fd, text + text_len, 65536);
		if (n > 0)
			text_len += (size_t)n;
		text[text_len] = '\0';
	}
	return text_len - before;
}

void
read_path(const char *from)
{
	int fd = open(from, O_RDONLY);

	assert_true(fd >= 0);
	text_len = 0;
	(void)read_more(fd);
	(void)close(fd);
}

void
check_matches(const char *s, const char *pattern)
{
	regex_t re;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&re, s, 0, NULL, 0) != 0)
		fail_msg("\"%s\" is not like %s", s, pattern);
	regfree(&re);
}

void
tell(int n)
{
	struct log_line l;

	log_begin(&l, LOGL_INFO, "end");
	log_str(&l, "svc", "git");
	log_num(&l, "n", n);
	log_end(&l);
}

void
tell_many(int from, int to)
{
	int n;

	for (n = from; n < to; n++) {
		tell(n);
		if (n % 32 == 0)
			log_flush();
	}
	log_flush();
}

void
check_complete(int sent)
{
	char *line, *next, *p;
	int n = 0;

	for (line = text; line != NULL && *line != '\0'; line = next) {
		next = strchr(line, '\n');
		if (next == NULL)
			fail_msg("half a line: %s", line);
		*next++ = '\0';
		if ((p = strstr(line, " warn log lost=")) != NULL)
			n += atoi(p + 15);
		else if ((p = strstr(line, " info end svc=git n=")) == NULL)
			fail_msg("no line of ours: %s", line);
		else
			assert_int_equal(atoi(p + 20), n++);
	}
	assert_int_equal(n, sent);
}

void
check_descriptors(void)
{
	int fd;

	for (fd = 3; fd < 1024; fd++) {
		if (fd == old_stderr || fcntl(fd, F_GETFD) < 0 || fd < FD_HIGH)
			continue;
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	}
	for (fd = FD_HIGH; fd < 1024 && fcntl(fd, F_GETFD) < 0; fd++)
		;
	assert_true(fd < 1024);
}

void
make_pipe(int fds[2])
{
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fd_set_nonblock(fds[0], true), 0);
}
