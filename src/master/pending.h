/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Which connections wait to be accepted at a listening socket, and whether a
 * wait handler that has just ended has accepted any: of a backlog alone only
 * the length is known, and others join it all the time.
 */
#ifndef HATCHD_PENDING_H
#define HATCHD_PENDING_H

#include <stdbool.h>
#include <stdint.h>

struct listener;

enum pending {
	PENDING_UNKNOWN,	/* the first look, or it can't be told */
	PENDING_SAME,		/* all that waited at the last look still wait */
	PENDING_TAKEN,		/* some were accepted since */
};

/* TCP: the length of the backlog, 0 if it isn't known. */
uint32_t pending_queued(const struct listener *l);

/* Looks who waits at l now (all: at each listener of its service), and compares
 * that with the last look, which is forgotten for this one.  Only for a handler
 * that gives reason to suspect it: the kernel walks its table of sockets.  It
 * does so seldom at a listener where something was accepted, however often this
 * is asked.  now_ms: monotonic. */
enum pending pending_look(const struct listener *l, bool all, int64_t now_ms);

/* Forgets all looks. */
void pending_forget(void);

#endif
