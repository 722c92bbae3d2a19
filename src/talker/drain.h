/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The end of a connection to which nothing more is written: what its peer still
 * sends is read and dropped for a while, since closing it unread would reset the
 * connection and could take the last answer with it.
 */
#ifndef HATCHD_DRAIN_H
#define HATCHD_DRAIN_H

#include <stdint.h>

#include "ev.h"
#include "slots.h"

enum {
	DRAIN_BYTES = 65536,	/* at most so much is read */
	DRAIN_MS = 2000,	/* and, unless somebody wants another time, so long */
};

struct drains;
struct drain;

struct drain_end {
	int error;		/* errno of reading; 0: end of file, or enough */
	uint64_t bytes;		/* that were read */
	uint32_t reads;		/* in how many pieces: messages of a SOCK_SEQPACKET socket */
};

struct drains *drains_new(struct ev *ev, const struct scratch *scratch);

/* Ends all that is left, telling nobody. */
void drains_free(struct drains *all);

/* Shuts down writing and reads until the peer closes, ms are over or DRAIN_BYTES
 * have come; then closes fd and calls over(arg), from the loop.  Takes fd.  NULL
 * and errno if that can't be: fd is closed then. */
struct drain *drain_start(struct drains *all, int fd, int64_t ms,
			  void (*over)(const struct drain_end *end, void *arg), void *arg);

/* Closes it now; over is not called. */
void drain_stop(struct drain *d);

#endif
