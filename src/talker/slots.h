/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the talker holds for the master's session slots, and telling the master
 * that it is over.
 *
 * Connections and datagram sessions embed a struct holding.  Each one that was
 * taken ends with exactly one MSG_ENDED, or MSG_PASSED if the master goes on with
 * it; when the link has no room the holding stays in its slot until it has, so
 * nothing but the table bounds what waits.
 */
#ifndef HATCHD_SLOTS_H
#define HATCHD_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "list.h"
#include "msg.h"

struct slots;

struct holding {
	struct msg_ended report;	/* its owner counts here as it goes */
	void (*close)(struct holding *h);	/* end now (ends in slots_end) */
	void (*drain)(struct holding *h);	/* NULL, or for MSG_CLOSE: end soon */
	void (*free)(struct holding *h);	/* it has been told: free the memory */
	struct msg_passed *passed;	/* told instead of the report; set by slots_pass */
	struct list untold;
	bool over;
};

/* Bytes that are read into and used before the next call; shared by all that
 * run in the loop. */
struct scratch {
	unsigned char *bytes;
	size_t size;
};

struct slots *slots_new(struct msg_link *link);

/* Closes and frees everything that is held, telling nobody. */
void slots_free(struct slots *s);

/* Enters h (zeroed but for close, drain and free).  -1: no such slot, or it is
 * taken: the master and we disagree. */
int slots_take(struct slots *s, struct holding *h, uint32_t slot, uint32_t generation);

/* h holds nothing any more: tells it and frees it, now or when it is told. */
void slots_end(struct slots *s, struct holding *h, int error);

/* The same, but it is the master's again: tells *passed, whose slot and
 * generation are filled in, and which lives as long as h. */
void slots_pass(struct slots *s, struct holding *h, struct msg_passed *passed);

/* The same two for what could not even be taken. */
void slots_refuse(struct slots *s, uint32_t slot, uint32_t generation, int error);
void slots_refuse_pass(struct slots *s, uint32_t slot, uint32_t generation,
		       enum passed result);

/* MSG_CLOSE: nothing happens if that generation is over already. */
void slots_close(struct slots *s, uint32_t slot, uint32_t generation);

/* The link has room again. */
void slots_room(struct slots *s);

/* How many slots are taken. */
unsigned slots_held(const struct slots *s);

#endif
