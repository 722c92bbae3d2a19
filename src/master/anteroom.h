/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Connections that were accepted and are not served yet: whose PROXY header or
 * tcpmux line the talker reads, who are greeted, whose first byte is waited for.
 * A connection of a service that has none of this never comes here.  And how
 * those that are refused are told.
 */
#ifndef HATCHD_ANTEROOM_H
#define HATCHD_ANTEROOM_H

#include <stdbool.h>

#include "addr.h"
#include "board.h"
#include "proto.h"
#include "reason.h"

struct anteroom;
struct conf_service;
struct listener;
struct master;
struct service;
struct session;

struct anteroom *anteroom_new(struct master *m);	/* after m->ev; NULL and errno */
void anteroom_free(struct anteroom *a);

/* Whether connections of this service have to come here, and whether for that
 * the talker is needed. */
bool anteroom_wanted(const struct conf_service *c);
bool anteroom_needs_talker(const struct conf_service *c);
/* Whether the peer is one whose PROXY header is read. */
bool anteroom_is_proxy(const struct service *s, const struct addr *peer);

/* Takes fd.  proxied: the judge hasn't been asked yet, since peer is the proxy's;
 * else it has let it in, and the tokens are taken. */
void anteroom_enter(struct master *m, struct listener *l, int fd, const struct addr *peer,
		    enum board_kind kind, bool proxied);
/* The talker's answer. */
void anteroom_passed(struct master *m, const struct msg_passed *p);
/* It has room, and counts as an instance from now on: it goes on, or is served. */
void anteroom_has_room(struct master *m, struct session *x);
/* Whether a connection that waits, wherever, is one of a kind that its service still
 * serves; the second refuses it if not, and it is over. */
bool anteroom_fits(const struct master *m, const struct session *x);
bool anteroom_check(struct master *m, struct session *x);
/* The same for all, in the midst of a reload. */
void anteroom_reloaded(struct master *m);
/* The talker, which could not be asked for x, perhaps another one, can be asked now. */
void anteroom_again(struct master *m, struct session *x);
/* The session's timer: its stage took too long. */
void anteroom_late(struct master *m, struct session *x);
/* The session is over: nothing of it stays here. */
void anteroom_leave(struct master *m, struct session *x);

/* Takes fd, of a connection that was refused: the talker writes the banner, if
 * there is one, and closes it in a way that lets it arrive. */
void anteroom_refuse(struct master *m, struct service *s, int fd, bool tcpmux);
/* The same for one that has a session and waits: a reload has closed the gate. */
void anteroom_turn_away(struct master *m, struct session *x, enum reason why);

#endif
