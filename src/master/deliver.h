/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Brings what was accepted to what serves it: a handler of its own, a handler
 * with the listening socket, the talker, or both for a datagram session.
 */
#ifndef HATCHD_DELIVER_H
#define HATCHD_DELIVER_H

#include <stdbool.h>

#include "addr.h"
#include "reason.h"

struct listener;
struct master;
struct service;
struct session;

/* Each takes fd.  A session that can't be started ends with a line in the log;
 * the caller has nothing to do. */
void deliver_exec(struct master *m, struct listener *l, int fd, const struct addr *peer);
void deliver_internal(struct master *m, struct listener *l, int fd, const struct addr *peer);
/* One that is through the anteroom: its descriptor is x->fd. */
void deliver_waiting(struct master *m, struct session *x);
/* The talker can be given x now, which it could not before. */
void deliver_again(struct master *m, struct session *x);

/* The listening socket itself; l is paused until the handler has ended. */
void deliver_wait(struct master *m, struct listener *l);

/* A datagram session for peer; on success REASON_NONE and the session with
 * the talker's end of its socket pair in *ret_fd, to be closed by the caller. */
enum reason deliver_datagram(struct master *m, struct listener *l, const struct addr *peer,
			     const struct addr *local, struct session **ret, int *ret_fd);

/* Once more those whose process could not be made for want of memory or
 * processes; called by a timer and after each reaped process. */
void deliver_retry(struct master *m);

#endif
