/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the talker's modules need around them in a test: a loop, a link whose
 * other end keeps what the master would get, slots, a board.  All in one
 * process; time passes only while one of the rig_wait functions runs.
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
#include "ev.h"
#include "msg.h"
#include "slots.h"

#define RIG_MESSAGES 4096
#define RIG_WAIT_MS 5000

struct rig {
	struct ev *ev;
	struct msg_link *master, *link;
	struct board *board;
	struct slots *slots;
	struct scratch scratch;
	union msg got[RIG_MESSAGES];
	unsigned n_got;
	unsigned wanted;		/* message type that ends waiting */
	struct ev_timer timer;
	struct ev_io io;
};

struct rig *rig_new(void);
void rig_free(struct rig *r);		/* frees slots last of all that is here */

/* Ends what is in the slots: before the modules that own it are freed. */
void rig_end_slots(struct rig *r);

void rig_run(struct rig *r, int ms);
/* Until a message of that type is there, which is taken out; fails the test
 * after RIG_WAIT_MS. */
union msg rig_message(struct rig *r, unsigned type);
/* Whether one came; without waiting. */
bool rig_has(const struct rig *r, unsigned type);
void rig_readable(struct rig *r, int fd);
/* Reads from a socket, waiting for it; the number of bytes. */
size_t rig_read(struct rig *r, int fd, void *buf, size_t size);

#endif
