/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The one place that decides whether a connection or a datagram's sender is
 * served.  The order is: access, hours, load, instances of the source, rate of
 * the source, rate of the service, instances of the service, max_processes, and of
 * peers of a datagram socket session.max.
 * Those from the service's rate on that are set to queue are asked before a
 * connection is accepted (judge_room), so that it can wait in the backlog; all
 * others, and the source, need the peer's address and come after it.
 */
#ifndef HATCHD_JUDGE_H
#define HATCHD_JUDGE_H

#include "addr.h"
#include "board.h"
#include "reason.h"

struct listener;
struct master;
struct service;

enum judge_room {
	JUDGE_ACCEPT,		/* there may be room */
	JUDGE_WAIT_SERVICE,	/* none until a session of this service ends */
	JUDGE_WAIT_RATE,	/* none until its bucket has a token */
	JUDGE_WAIT_GLOBAL,	/* none until any session ends */
};

enum judge_room judge_room(const struct master *m, const struct service *s, enum board_kind kind);
/* Which limit it is if the answer is to wait; REASON_NONE: none that was set. */
enum reason judge_room_reason(const struct master *m, const struct service *s,
			      enum board_kind kind);

/* What needs the peer's address: access, hours, load, and the limits of sources.
 * REASON_NONE: go on. */
enum reason judge_source(const struct master *m, const struct service *s,
			 const struct addr *peer);
/* The rest; without the rate if its token was taken before. */
enum reason judge_service(const struct master *m, const struct service *s, enum board_kind kind,
			  bool rate);
/* Both.  REASON_NONE: serve it. */
enum reason judge_peer(const struct master *m, const struct service *s, enum board_kind kind,
		       const struct addr *peer);

/* Whether a socket may have one more datagram session, as far as itself goes. */
enum reason judge_listener(const struct listener *l);

/* Whether it would be let in now that is there already: by access and hours; how busy the
 * machine is, and rates, are for those who come. */
enum reason judge_again(const struct service *s, const struct addr *peer);
/* The same for one that is served, beside so many of its service; the others of its
 * source are those that are counted. */
enum reason judge_running(const struct master *m, const struct service *s,
			  const struct addr *peer, uint32_t instances);

/* What was let in takes its tokens: of its source, of the service. */
void judge_take_source(struct master *m, struct service *s, const struct addr *peer);
void judge_take_service(struct master *m, struct service *s);

/* How many milliseconds until the source (peer) or the service (NULL) has a token;
 * 0: it has one. */
uint64_t judge_wait_ms(const struct master *m, const struct service *s, const struct addr *peer);

#endif
