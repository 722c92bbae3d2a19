/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A connection that is the talker's for a moment only: it has a copy of its
 * descriptor, does one thing, and gives it back with MSG_PASSED.  All of it has
 * one deadline.
 */
#ifndef HATCHD_VISIT_H
#define HATCHD_VISIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ev.h"
#include "proto.h"
#include "slots.h"

struct drain;
struct drains;
struct text;

struct visits {			/* what all visits share; borrowed */
	struct ev *ev;
	struct slots *slots;
	const struct scratch *scratch;
	struct drains *drains;
};

struct visit {			/* first in the struct of its user */
	struct holding holding;
	const struct visits *all;
	struct ev_io io;
	struct ev_timer timer;
	int fd;
	struct msg_passed answer;	/* its user fills in what comes with PASSED_OK */
	void (*ready)(struct visit *v);
	/* visit.c's own */
	struct text *text;		/* what is still to be written is a part of it */
	size_t written;
	enum passed result;		/* to be told after it */
	bool bye;
	struct drain *drain;
};

/* Takes the slot and the descriptor (-1: none was left for it); timeout_ms is
 * not 0.  *ret is zeroed memory of `size` bytes that begins with a struct visit;
 * NULL: it could not be taken and the master has been told.  ready is called
 * when the connection is ready for what visit_watch waits for.  0, or -1 if the
 * slot makes no sense. */
int visit_begin(const struct visits *all, size_t size, uint32_t slot, uint32_t generation,
		uint32_t timeout_ms, int fd, void (*ready)(struct visit *v), struct visit **ret);

/* The following may end the visit: v is gone when they return false, and
 * always after visit_pass and visit_say. */

/* Waits for EV_IN or EV_OUT. */
bool visit_watch(struct visit *v, int what);

/* After an errno of reading or writing: true if it is to be tried again later. */
bool visit_may_retry(struct visit *v, int error);

/* Gives the connection back. */
void visit_pass(struct visit *v, enum passed result);

/* Writes text, then gives it back with the result: PASSED_TIMEOUT, _EOF or
 * _ERROR if it can't be written.  bye: it is the last that the peer gets, then
 * writing is shut down and what the peer sends is drained; the result is told
 * whatever becomes of it.  The bytes are copied if the kernel doesn't take them
 * at once, unless they are those of `text`. */
void visit_say(struct visit *v, const char *bytes, size_t len, struct text *text,
	       enum passed result, bool bye);

#endif
