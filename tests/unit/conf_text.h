/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* For the tests of src/conf: configurations from text, and what was wrong. */
#ifndef HATCHD_TEST_CONF_TEXT_H
#define HATCHD_TEST_CONF_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf.h"
#include "conf_load.h"
#include "source.h"

struct conf_found {		/* the problems of the last load, line by line */
	char errors[65536], warnings[65536];
};

static struct conf_found found;

static inline void
conf_found_add(bool warning, const char *text, void *arg)
{
	char *buf = warning ? found.warnings : found.errors;
	size_t len = strlen(buf);

	(void)arg;
	(void)snprintf(buf + len, sizeof(found.errors) - len, "%s\n", text);
}

/* text as "test.conf" and, unless it is NULL, more as "more.conf" behind it. */
static inline struct conf *
conf_from(const char *text, const char *more, uid_t uid, bool lookup)
{
	const struct conf_load_env env = { .uid = uid, .lookup = lookup };
	struct problems *p = problems_new();
	struct sources *a = sources_from_text("test.conf", text, strlen(text));
	struct sources *b = more ? sources_from_text("more.conf", more, strlen(more)) : NULL;
	struct source both[2];
	struct sources s = { .list = both, .n = more ? 2 : 1 };
	struct conf *c;

	assert_non_null(p);
	assert_non_null(a);
	both[0] = a->list[0];
	if (b)
		both[1] = b->list[0];
	c = conf_load(&s, &env, p);
	found.errors[0] = found.warnings[0] = '\0';
	problems_each(p, conf_found_add, NULL);
	assert_int_equal(problems_count(p) > 0, c == NULL);
	problems_free(p);
	sources_free(a);
	sources_free(b);
	return c;
}

static inline struct conf *
conf_pure(const char *text)
{
	struct conf *c = conf_from(text, NULL, 1000, false);

	if (!c)
		print_error("%s", found.errors);
	assert_non_null(c);
	return c;
}

/* text does not load, and one of the problems is this line. */
static inline void
expect_error(const char *text, const char *line)
{
	char whole[1100];

	assert_null(conf_from(text, NULL, 1000, false));
	(void)snprintf(whole, sizeof(whole), "%s\n", line);
	if (!strstr(found.errors, whole))
		print_error("expected %sfound\n%s", whole, found.errors);
	assert_non_null(strstr(found.errors, whole));
}

/* The same for settings of a service that is in order without them; they are
 * in line 4. */
static inline void
expect_bad(const char *settings, const char *message)
{
	char text[8192], line[1024];

	(void)snprintf(text, sizeof(text), "service x {\n\tlisten = tcp:7000\n\texec = /bin/cat\n"
		       "%s\n}\n", settings);
	(void)snprintf(line, sizeof(line), "test.conf:4: service x: %s", message);
	expect_error(text, line);
}

static inline struct conf *
expect_good(const char *settings)
{
	char text[8192];

	(void)snprintf(text, sizeof(text), "service x {\n\tlisten = tcp:7000\n\texec = /bin/cat\n"
		       "%s\n}\n", settings);
	return conf_pure(text);
}

#endif
