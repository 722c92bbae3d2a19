/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What holds for the header of either version, however its bytes come in.
 */
#ifndef HATCHD_PROXY_FEED_H
#define HATCHD_PROXY_FEED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxyhdr.h"

#define CHECK(x) do { if (!(x)) failed(#x, __FILE__, __LINE__); } while (0)

static inline void
failed(const char *what, const char *file, int line)
{
	(void)fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

/* One look at the first len bytes, in a block of just that size. */
static inline enum proxyhdr_state
look(const unsigned char *bytes, size_t len, struct proxyhdr *ret)
{
	unsigned char *copy = malloc(len);
	enum proxyhdr_state s;

	CHECK(copy);
	memcpy(copy, bytes, len);
	s = proxyhdr_parse(copy, len, ret);
	free(copy);
	return s;
}

static inline void
check_same(const struct proxyhdr *a, const struct proxyhdr *b)
{
	CHECK(a->len == b->len && a->own == b->own);
	CHECK(!memcmp(&a->peer, &b->peer, sizeof(a->peer)));
	CHECK(!memcmp(&a->local, &b->local, sizeof(a->local)));
}

static inline void
check_addr(const struct addr *a, bool own)
{
	CHECK(a->scope == 0);
	CHECK(own ? a->family == 0 && a->port == 0 : a->family == AF_INET || a->family == AF_INET6);
	CHECK(a->family != AF_INET6 || memcmp(a->ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) != 0);
}

/* Byte by byte it comes to the same as at once, once it is known it stays so,
 * and whoever reads what PROXYHDR_MORE lets him never reads behind the header. */
static inline enum proxyhdr_state
feed(const unsigned char *bytes, size_t len, struct proxyhdr *ret)
{
	enum proxyhdr_state known = PROXYHDR_MORE, s;
	struct proxyhdr first = { 0 }, h = { 0 };
	size_t more = 0, most = len < 300 ? len : 300;

	for (size_t n = 1; n <= most; n++) {
		s = look(bytes, n, &h);
		CHECK(s == PROXYHDR_MORE || s == PROXYHDR_DONE || s == PROXYHDR_BAD);
		if (known == PROXYHDR_MORE) {
			known = s;
			first = h;
			more = s == PROXYHDR_MORE ? n : more;
		}
		CHECK(s == known);
		if (s == PROXYHDR_DONE)
			check_same(&h, &first);
	}
	CHECK(more < PROXYHDR_LOOK);
	s = look(bytes, len, &h);
	CHECK(s == known);
	if (s != PROXYHDR_DONE)
		return s;
	check_same(&h, &first);
	CHECK(h.len > more);
	check_addr(&h.peer, h.own);
	check_addr(&h.local, h.own);
	*ret = h;
	return s;
}

#endif
