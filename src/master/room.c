/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Room.  Runs in the master: anteroom.c brings who is through with it, master.c calls
 * room_admit when a place may be free, deliver.c gets who has one.
 */
#include "config.h"

#include "room.h"

#include <stdlib.h>

#include "anteroom.h"
#include "events.h"
#include "judge.h"
#include "master.h"
#include "service.h"
#include "session.h"

#define ADMIT_MAX 32		/* served in one turn */

struct room {
	uint32_t head, tail;	/* those in STAGE_ROOM; SESSION_NONE: none */
};

struct room *
room_new(void)
{
	struct room *r = calloc(1, sizeof(*r));

	if (r)
		r->head = r->tail = SESSION_NONE;
	return r;
}

void
room_free(struct room *r)
{
	free(r);
}

static void
serve(struct master *m, struct session *x)
{
	x->stage = STAGE_NONE;
	if (!x->rated)
		judge_take_service(m, x->service);
	x->rated = true;
	session_count(m->sessions, x);
	anteroom_has_room(m, x);
}

static void
append(struct master *m, struct session *x)
{
	struct room *r = m->room;
	uint32_t slot = session_slot(m->sessions, x);

	x->stage = STAGE_ROOM;
	x->next = SESSION_NONE;
	if (r->head == SESSION_NONE)
		r->head = slot;
	else
		session_at(m->sessions, r->tail)->next = slot;
	r->tail = slot;
	x->service->waiting++;
}

/* x comes after prev, or first if that is SESSION_NONE. */
static void
unlink_after(struct master *m, uint32_t prev, struct session *x)
{
	struct room *r = m->room;

	if (prev == SESSION_NONE)
		r->head = x->next;
	else
		session_at(m->sessions, prev)->next = x->next;
	if (r->tail == session_slot(m->sessions, x))
		r->tail = prev;
	x->next = SESSION_NONE;
	x->stage = STAGE_NONE;
	/* nobody is left who comes before those in the backlog */
	if (--x->service->waiting == 0)
		service_has_room(x->service);
}

void
room_leave(struct master *m, struct session *x)
{
	uint32_t slot = session_slot(m->sessions, x), prev = SESSION_NONE;

	for (uint32_t i = m->room->head; i != slot; i = session_at(m->sessions, i)->next)
		prev = i;
	unlink_after(m, prev, x);
}

/* What keeps it from being served now. */
static enum reason
no_room(const struct master *m, const struct session *x)
{
	enum board_kind kind = session_row(m->sessions, x)->kind;

	if (kind == BOARD_EXEC && m->to_start > 0)
		return REASON_SPAWN;
	return judge_service(m, x->service, kind, !x->rated);
}

bool
room_queues(const struct service *s, enum reason why)
{
	return s->conf->common->limits->when_full == CONF_QUEUE || why == REASON_SPAWN ||
		why == REASON_BACKOFF;
}

enum reason
room_find(struct master *m, struct session *x)
{
	enum reason why = no_room(m, x);

	if (why == REASON_NONE && x->service->waiting == 0) {
		serve(m, x);
	} else if (why != REASON_NONE && !room_queues(x->service, why)) {
		return why;
	} else {
		if (why == REASON_RATE)
			service_wait_rate(x->service);
		events_limit(m, x->service, why);
		append(m, x);
	}
	return REASON_NONE;
}

/* All are looked at, since behind a thousand of one service may be one of another;
 * but not asked for, if the one before of their service has to wait. */
void
room_admit(struct master *m)
{
	uint32_t slot = m->room->head, prev = SESSION_NONE, next;
	const struct service *full = NULL;
	int served = 0;

	for (; slot != SESSION_NONE; slot = next) {
		struct session *x = session_at(m->sessions, slot);
		enum reason why;

		next = x->next;
		if (x->service == full) {
			prev = slot;
			continue;
		}
		if (!anteroom_check(m, x))
			continue;
		why = no_room(m, x);
		if (why == REASON_RATE)
			service_wait_rate(x->service);
		if (why != REASON_NONE) {
			full = x->service;
			prev = slot;
			continue;
		}
		if (served++ == ADMIT_MAX) {
			(void)ev_timer_start(&m->admit, 0);
			return;
		}
		unlink_after(m, prev, x);
		serve(m, x);
	}
}

void
room_reloaded(struct master *m)
{
	uint32_t slot = m->room->head, prev = SESSION_NONE, next;

	for (; slot != SESSION_NONE; slot = next) {
		struct session *x = session_at(m->sessions, slot);

		next = x->next;
		if (anteroom_fits(m, x)) {
			prev = slot;
			continue;
		}
		unlink_after(m, prev, x);
		(void)anteroom_check(m, x);
	}
}

bool
room_waiting(const struct master *m)
{
	return m->room->head != SESSION_NONE;
}
