/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The table of what is held for which slot; talker, one for all connections
 * and sessions.  It has a pointer for every slot of the board in memory that
 * costs nothing until it is touched.  Called by talker.c, conn.c, dsession.c.
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
	union msg m = { .ended = h->report };

	return s->silent || msg_send(s->link, &m, MSG_ENDED, -1) == 0 || errno == EPIPE;
}

void
slots_end(struct slots *s, struct holding *h, int error)
{
	h->over = true;
	h->report.error = (uint32_t)error;
	/* what waits goes first, so that the oldest is told first */
	if (list_empty(&s->untold) && tell(s, h))
		leave(s, h);
	else
		list_append(&s->untold, &h->untold);
}

static void
free_refused(struct holding *h)
{
	free(h);
}

void
slots_refuse(struct slots *s, uint32_t slot, uint32_t generation, int error)
{
	struct holding *h, now = { .report = { .slot = slot, .generation = generation,
					       .error = (uint32_t)error } };

	if (list_empty(&s->untold) && tell(s, &now))
		return;
	h = malloc(sizeof *h);
	if (h == NULL)
		fatalx("talker: no memory to tell the end of slot %u", slot);
	*h = now;
	h->over = true;
	h->free = free_refused;
	list_init(&h->untold);
	list_append(&s->untold, &h->untold);
}

void
slots_close(struct slots *s, uint32_t slot, uint32_t generation)
{
	struct holding *h = slot < BOARD_SESSIONS ? s->at[slot] : NULL;

	if (h != NULL && h->report.generation == generation && !h->over)
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
