/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Connections that were accepted and could be served, if there were room: in their
 * service, in all, or in its rate.  First come, first served, within each service.
 */
#ifndef HATCHD_ROOM_H
#define HATCHD_ROOM_H

#include <stdbool.h>

#include "reason.h"

struct master;
struct room;
struct service;
struct session;

struct room *room_new(void);	/* NULL and errno */
void room_free(struct room *r);

/* Serves the connection of a session, x->fd, now or when there is room.
 * REASON_NONE, or why it is to be refused. */
enum reason room_find(struct master *m, struct session *x);
/* Whether who can't be served now, for this reason, waits. */
bool room_queues(const struct service *s, enum reason why);
/* There may be room. */
void room_admit(struct master *m);
/* In the midst of a reload: who can't be served any more is refused. */
void room_reloaded(struct master *m);
bool room_waiting(const struct master *m);
/* The session, in STAGE_ROOM, is over. */
void room_leave(struct master *m, struct session *x);

#endif
