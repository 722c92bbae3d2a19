/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Whose a line of stderr is: from the process that wrote it, which the kernel
 * vouches for, to its session on the board.
 */
#ifndef HATCHD_WRITER_H
#define HATCHD_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "board.h"

#define WRITER_UNKNOWN UINT32_MAX

struct writer {
	uint32_t slot, generation;	/* slot WRITER_UNKNOWN: no one session's */
	uint32_t service;		/* WRITER_UNKNOWN: no one service's */
	bool sure;			/* by its number or its leader's, not by elimination */
};

struct writers;			/* remembers those that wrote lately */

/* NULL: out of memory.  The board is borrowed. */
struct writers *writers_new(const struct board *board);
void writers_free(struct writers *w);

/* The session whose handler pid is, or whose handler leads pid's session.  Of
 * a process that has ended the kernel tells no more: it belongs to the only
 * session that has been alive with this account's stderr within the last
 * 200 ms, or if there were several of one service, to that service. */
struct writer writers_find(struct writers *w, pid_t pid, unsigned account, int64_t now_ms);

#endif
