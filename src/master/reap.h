/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Ends of processes: reaps, finds out whether a wait handler has done its
 * work, goes on waiting at its socket.
 */
#ifndef HATCHD_REAP_H
#define HATCHD_REAP_H

#include <stdbool.h>

struct listener;
struct master;
struct session;
struct session_wait;

/* All children that have ended; as pid 1 also those that are not ours.  On
 * SIGCHLD, and before a client is told that there is no room: who has just
 * ended must not count.  How many there were. */
int reap_children(struct master *m);

/* What waits at the socket of a wait service; false if there is nothing after
 * all (a datagram with a wrong checksum, a client that has gone). */
bool reap_wait_look(const struct listener *l, struct session_wait *ret);

/* A wait handler has ended: the socket is ours again.  If it left what it was
 * started for (a datagram, which is dropped then; all connections that waited),
 * its service goes into back-off, so that it can't spin. */
void reap_wait_handler(struct master *m, struct listener *l, const struct session *x);

#endif
