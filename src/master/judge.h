/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The one place that decides whether a connection or a datagram's sender is
 * served.  The order is: access, hours, load, instances of the source, rate of
 * the source, rate of the service, instances of the service, max_processes.
 * Those from `rate` on that are set to queue are asked before a connection is
 * accepted (judge_room), so that it can wait in the backlog; all others, and
 * the source, need the peer's address and come after it (judge_peer).
 */
#ifndef HATCHD_JUDGE_H
#define HATCHD_JUDGE_H

#include "addr.h"
#include "board.h"
#include "reason.h"

struct master;
struct service;

enum judge_room {
	JUDGE_ACCEPT,		/* there may be room */
	JUDGE_WAIT_SERVICE,	/* none until a session of this service ends */
	JUDGE_WAIT_GLOBAL,	/* none until any session ends */
};

enum judge_room judge_room(const struct master *m, const struct service *s, enum board_kind kind);

/* REASON_NONE: serve it. */
enum reason judge_peer(const struct master *m, const struct service *s, enum board_kind kind,
		       const struct addr *peer);

#endif
