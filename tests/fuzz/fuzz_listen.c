/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Fuzz target of listen.c: what is accepted is what it says, and can be
 * written down again from the parts.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"
#include "listen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x) do { if (!(x)) fail(#x, __LINE__); } while (0)

static void
fail(const char *what, int line)
{
	(void)fprintf(stderr, "fuzz_listen.c:%d: not so: %s\n", line, what);
	abort();
}

static void
check(const struct conf_listen *l, const char *text)
{
	const char *proto = listen_proto_name(l->proto);
	bool brackets = l->host && strchr(l->host, ':');
	char again[1024], range[32] = "";
	struct addr a;

	CHECK(!strcmp(l->text, text));
	CHECK(!l->path == !listen_is_unix(l->proto));
	if (l->path) {
		CHECK(!l->host && strlen(l->path) <= 107);
		CHECK(*l->path == '/' || *l->path == '@');
		(void)snprintf(again, sizeof(again), "%s:%s", proto, l->path);
		CHECK(!strcmp(again, text));
		return;
	}
	CHECK(l->port <= l->port_last && l->port_last - l->port < CONF_LISTENERS);
	CHECK(!brackets || addr_parse(l->host, &a) == 0);
	if (strchr(strrchr(text, ':'), '-'))
		(void)snprintf(range, sizeof(range), "-%u", l->port_last);
	else
		CHECK(l->port == l->port_last);
	(void)snprintf(again, sizeof(again), "%s:%s%s%s%s%u%s", proto, brackets ? "[" : "",
		       l->host ? l->host : "", brackets ? "]" : "", l->host ? ":" : "", l->port,
		       range);
	CHECK(!strcmp(again, text));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct arena *a = arena_new();
	struct conf_listen l;
	const char *why;

	CHECK(text && a);
	why = listen_parse(a, text, false, &l);
	if (!why)
		check(&l, text);
	else
		CHECK(*why);
	arena_free(a);
	free(text);
	return 0;
}
