/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Accepting: the way from a listener that is readable to a connection that is
 * delivered, waits or is refused.
 */
#ifndef HATCHD_ACCEPT_H
#define HATCHD_ACCEPT_H

struct listener;

/* Takes some of what waits at it, at most LISTENER_BATCH connections; where there
 * is no room (or no descriptor: accept(2)) it is paused until there is. */
void accept_from(struct listener *l);

#endif
