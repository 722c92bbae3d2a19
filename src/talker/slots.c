/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The table of what is held for which slot; talker, one for all connections
 * and sessions.  It has a pointer for every slot of the board in memory that
 * costs nothing until it is touched.  Called by talker.c, conn.c, dsession.c,
 * farewell.c, visit.c.
 */
#include "config.h"

#include "slots.h"

#include <errno.h>
#include <stdlib.h>

#include "board.h"
#include "log.h"

struct slots {
	struct msg_link *link;
	struct list untold;		/* holdings, oldest first */
	unsigned held;
	bool silent;			/* being freed: tell nobody */
	struct holding *at[BOARD_SESSIONS];
};

struct refused {			/* what had no other memory to be told from */
	struct holding holding;
	struct msg_passed passed;
};

struct slots *
slots_new(struct msg_link *link)
{
	struct slots *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->link = link;
	list_init(&s->untold);
	return s;
}

static void
leave(struct slots *s, struct holding *h)
{
	list_remove(&h->untold);
	if (s->at[h->report.slot] == h) {
		s->at[h->report.slot] = NULL;
		s->held--;
	}
	h->free(h);
}

void
slots_free(struct slots *s)
{
	if (s == NULL)
		return;
	s->silent = true;
	while (!list_empty(&s->untold))
		leave(s, LIST_OBJECT(s->untold.next, struct holding, untold));
	for (size_t i = 0; s->held > 0 && i < BOARD_SESSIONS; i++)
		if (s->at[i] != NULL)
			s->at[i]->close(s->at[i]);
	free(s);
}

int
slots_take(struct slots *s, struct holding *h, uint32_t slot, uint32_t generation)
{
	if (slot >= BOARD_SESSIONS || s->at[slot] != NULL)
		return -1;
	h->report.slot = slot;
	h->report.generation = generation;
	list_init(&h->untold);
	s->at[slot] = h;
	s->held++;
	return 0;
}

/* Whether it needs no more telling. */
static bool
tell(struct slots *s, const struct holding *h)
{
	enum msg_type type = h->passed != NULL ? MSG_PASSED : MSG_ENDED;
	union msg m;

	if (h->passed != NULL)
		m.passed = *h->passed;
	else
		m.ended = h->report;
	return s->silent || msg_send(s->link, &m, type, -1) == 0 || errno == EPIPE;
}

static void
over(struct slots *s, struct holding *h)
{
	h->over = true;
	/* what waits goes first, so that the oldest is told first */
	if (list_empty(&s->untold) && tell(s, h))
		leave(s, h);
	else
		list_append(&s->untold, &h->untold);
}

void
slots_end(struct slots *s, struct holding *h, int error)
{
	h->report.error = (uint32_t)error;
	over(s, h);
}

void
slots_pass(struct slots *s, struct holding *h, struct msg_passed *passed)
{
	passed->slot = h->report.slot;
	passed->generation = h->report.generation;
	h->passed = passed;
	over(s, h);
}

static void
free_refused(struct holding *h)
{
	free(h);	/* the first member */
}

static void
refuse(struct slots *s, const struct refused *now)
{
	struct refused *r;

	if (list_empty(&s->untold) && tell(s, &now->holding))
		return;
	r = malloc(sizeof *r);
	if (r == NULL)
		fatalx("talker: no memory to tell the end of slot %u", now->holding.report.slot);
	*r = *now;
	if (r->holding.passed != NULL)
		r->holding.passed = &r->passed;
	r->holding.over = true;
	r->holding.free = free_refused;
	list_init(&r->holding.untold);
	list_append(&s->untold, &r->holding.untold);
}

void
slots_refuse(struct slots *s, uint32_t slot, uint32_t generation, int error)
{
	struct refused r = { .holding.report = { .slot = slot, .generation = generation,
						 .error = (uint32_t)error } };

	refuse(s, &r);
}

void
slots_refuse_pass(struct slots *s, uint32_t slot, uint32_t generation, enum passed result)
{
	struct refused r = { .holding.report = { .slot = slot, .generation = generation },
			     .passed = { .slot = slot, .generation = generation,
					 .result = result, .service = UINT32_MAX } };

	r.holding.passed = &r.passed;
	refuse(s, &r);
}

void
slots_close(struct slots *s, uint32_t slot, uint32_t generation)
{
	struct holding *h = slot < BOARD_SESSIONS ? s->at[slot] : NULL;

	if (h == NULL || h->report.generation != generation || h->over)
		return;
	if (h->drain != NULL)
		h->drain(h);
	else
		h->close(h);
}

void
slots_room(struct slots *s)
{
	while (!list_empty(&s->untold)) {
		struct holding *h = LIST_OBJECT(s->untold.next, struct holding, untold);

		if (!tell(s, h))
			return;
		leave(s, h);
	}
}

unsigned
slots_held(const struct slots *s)
{
	return s->held;
}
