/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The header that a proxy puts in front of a connection, versions 1 and 2 of
 * the PROXY protocol (proxy-protocol.txt of HAProxy).  Pure.
 */
#ifndef HATCHD_PROXYHDR_H
#define HATCHD_PROXYHDR_H

#include <stdbool.h>
#include <stddef.h>

#include "addr.h"

#define PROXYHDR_LOOK 107	/* so many bytes are never too few to know */

enum proxyhdr_state {
	PROXYHDR_MORE,		/* all these bytes belong to the header, and others after them */
	PROXYHDR_DONE,
	PROXYHDR_BAD,		/* whatever follows, this is no header */
};

struct proxyhdr {
	size_t len;		/* bytes of the whole header: if they are more than were given,
				 * the rest has no meaning and is only to be read */
	bool own;		/* the proxy's own connection, or one that it knows nothing of: there
				 * are no addresses */
	struct addr peer, local;
};

/* Looks at the first len bytes of a connection, len > 0.  *ret is written for
 * PROXYHDR_DONE only. */
enum proxyhdr_state proxyhdr_parse(const void *bytes, size_t len, struct proxyhdr *ret);

#endif
