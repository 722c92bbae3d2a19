/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The other end of the log: what the tests of its sinks share.  Each test has
 * a folder of its own, and gets back its stderr in the end.
 */
#ifndef HATCHD_TESTS_LOG_END_H
#define HATCHD_TESTS_LOG_END_H

#include <stddef.h>

#define UTC "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "
#define RFC3164 "[A-Z][a-z]{2} [ 1-3][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} "

extern char dir[64], path[80], other[80];	/* the folder, two names in it */
extern char *text;				/* what was read, with a NUL */
extern size_t text_len;

int set_up(void **state);
int tear_down(void **state);

/* Takes fd as stderr. */
void be_stderr(int fd);

/* A pipe whose reading end does not block. */
void make_pipe(int fds[2]);

/* Adds to text all that is there to be read now; returns how much. */
size_t read_more(int fd);

/* Makes the file's content the text. */
void read_path(const char *from);

/* s is like the extended regular expression. */
void check_matches(const char *s, const char *pattern);

/* "end svc=git n=N", one or some of them with a flush now and then. */
void tell(int n);
void tell_many(int from, int to);

/* Each of the numbers up to `sent` is in text, in order, or was told to be
 * lost where it is missing; nothing else is.  Changes text. */
void check_complete(int sent);

/* Nothing of the log is inherited by a program, or in the way of sockets. */
void check_descriptors(void);

#endif
