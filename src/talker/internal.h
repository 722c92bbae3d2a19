/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the internal services produce.  Pure: the time is passed in.
 */
#ifndef HATCHD_INTERNAL_H
#define HATCHD_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto.h"

#define INTERNAL_LINE 74	/* a line of chargen with CR LF */
#define INTERNAL_LINES 95	/* lines until the pattern begins again */
#define INTERNAL_PERIOD (INTERNAL_LINE * INTERNAL_LINES)
#define INTERNAL_DGRAM 512	/* chargen's longest datagram (RFC 864) */
#define INTERNAL_TEXT 48	/* room for a daytime */

/* Whether it is a service of this list: not NONE, and not TCPMUX, which only leads
 * to others. */
static inline bool
internal_serves(uint32_t what)
{
	return what > INTERNAL_NONE && what < INTERNAL_MAX && what != INTERNAL_TCPMUX;
}

/* "Fri, 20 Nov 2026 17:30:00 +0000\r\n", without NUL; returns its length.
 * RFC 867 leaves the form open; this is RFC 5322's, always in UTC.  unix_s is
 * in seconds since 1970. */
size_t internal_daytime(int64_t unix_s, char buf[static INTERNAL_TEXT]);

/* Seconds since 1900 in four bytes, the highest first (RFC 868); wraps in
 * 2036 as that clock does. */
void internal_time(int64_t unix_s, unsigned char buf[static 4]);

/* len bytes of the endless pattern from pos (below INTERNAL_PERIOD) on. */
void internal_chargen(char *buf, size_t len, size_t pos);

/* The answer to a datagram, in buf of at least INTERNAL_DGRAM bytes; *ret is
 * where it is (buf or the request itself).  Returns its length, or -1 for no
 * answer: discard, and whatever would be longer than the request.  Chargen,
 * which is defined to be, . */
long internal_answer(enum internal what, const void *request, size_t len, int64_t unix_s,
		     unsigned line, unsigned char *buf, const void **ret);

#endif
