/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The line that a client of tcpmux begins with (RFC 1078).  Pure.
 */
#ifndef HATCHD_MUXLINE_H
#define HATCHD_MUXLINE_H

#include <stddef.h>

#include "proto.h"

#define MUXLINE_LOOK (PROTO_MUX_NAME + 2)	/* so many bytes are never too few to know */

enum muxline_state {
	MUXLINE_MORE,		/* all these bytes belong to the line, and others after them */
	MUXLINE_DONE,
	MUXLINE_BAD,		/* empty, too long, or with bytes that can't be in a name */
};

struct muxline {
	size_t len;		/* bytes of the line with its end */
	size_t name_len;	/* not 0 */
	char name[PROTO_MUX_NAME];	/* in lower case, no NUL */
};

/* Looks at the first len bytes of a connection.  The line ends with CR LF or,
 * as older clients do it, with LF alone.  *ret is written for MUXLINE_DONE only. */
enum muxline_state muxline_parse(const void *bytes, size_t len, struct muxline *ret);

/* Whether a byte may be in a name. */
static inline _Bool
muxline_is_name(unsigned char c)
{
	return c >= ' ' && c <= '~';
}

#endif
