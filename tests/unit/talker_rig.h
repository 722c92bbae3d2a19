/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the talker's modules need around them in a test: a loop, a link whose
 * other end keeps what the master would get, slots, drains, a board.  All in one
 * process; time passes only while one of these functions turns the loop: those
 * that wait, for RIG_WAIT_MS at the most.
 *
 * A test makes a rig, then the module under test on what is in it.  At its end:
 * rig_end_slots if the module holds slots, the module, the rig.  What does not go
 * as it is said here fails the test.
 */
#ifndef HATCHD_TALKER_RIG_H
#define HATCHD_TALKER_RIG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "board.h"
#include "drain.h"
#include "ev.h"
#include "msg.h"
#include "slots.h"

#define RIG_MESSAGES 4096
#define RIG_WAIT_MS 5000
#define RIG_GENERATION(slot) (100 + (slot))	/* of the sessions in the tests */

struct rig {
	struct ev *ev;
	struct msg_link *master, *link;
	struct board *board;
	struct slots *slots;
	struct drains *drains;
	struct scratch scratch;
	union msg got[RIG_MESSAGES];	/* what the master got, and nobody took yet */
	unsigned n_got;
	/* the rig's own */
	unsigned wanted;		/* message type that ends waiting */
	struct ev_timer timer;
	struct ev_io io;
};

/* A rig, with the link in its ready state; the caller's. */
struct rig *rig_new(void);
/* Ends what is in the slots, and there are none any more. */
void rig_end_slots(struct rig *r);
/* All of it: slots that are still there, then drains, then what they need. */
void rig_free(struct rig *r);

/* Turns the loop for so long. */
void rig_run(struct rig *r, int ms);

/* The link.  Waits for a message of that type, the oldest, which is taken out of
 * got. */
union msg rig_message(struct rig *r, unsigned type);
/* MSG_ENDED; it is of this slot and its RIG_GENERATION. */
struct msg_ended rig_ended(struct rig *r, uint32_t slot);
/* Whether one came; without waiting. */
bool rig_has(const struct rig *r, unsigned type);
/* From now on the master reads nothing, and the link is full (of MSG_ENDED); it
 * goes on with msg_link_pause(r->master, false). */
void rig_fill_link(struct rig *r);

/* Sockets.  Two ends of a UNIX connection; type may have SOCK_NONBLOCK. */
void rig_pair(int type, int fd[2]);
/* Waits until there is something to read; no failure if it does not come. */
void rig_readable(struct rig *r, int fd);
/* Reads once, waiting for it; the number of bytes. */
size_t rig_read(struct rig *r, int fd, void *buf, size_t size);
/* The same: it is this text and no more.  The second: then comes the end of file,
 * which is all if the text is empty. */
void rig_expect_text(struct rig *r, int fd, const char *text);
void rig_expect_last(struct rig *r, int fd, const char *text);

#endif
