/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Stream connections of the internal services.
 */
#ifndef HATCHD_CONN_H
#define HATCHD_CONN_H

#include "ev.h"
#include "proto.h"
#include "slots.h"

struct conns;
struct drains;

/* All pointers are borrowed. */
struct conns *conns_new(struct ev *ev, struct slots *slots, const struct scratch *scratch,
			struct drains *drains);

/* After slots_free, which closes the connections, and before drains_free. */
void conns_free(struct conns *all);

/* Serves a connection, until slots_end.  Takes fd; -1: none was left for it.
 * 0, or -1 if the message makes no sense. */
int conns_add(struct conns *all, const struct msg_conn *m, int fd);

#endif
