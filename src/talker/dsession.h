/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Datagram sessions: a peer on one side, on the other a handler behind a
 * SOCK_SEQPACKET socket.
 */
#ifndef HATCHD_DSESSION_H
#define HATCHD_DSESSION_H

#include <stddef.h>
#include <stdint.h>

#include "proto.h"

struct dsession;
struct peer;
struct port;

/* Begins one for a peer that was asked about, with the first datagrams that
 * wait; it is p's and p is its own until slots_end.  Takes fd; -1: none was
 * left for it.  0; -1 and errno: EPROTO if the message makes no sense, else the
 * master has been told that the session is over. */
int dsession_new(struct port *port, struct peer *p, const struct msg_session *m, int fd);

/* A datagram of the peer, for the handler. */
void dsession_feed(struct dsession *s, const void *data, size_t len);

/* Ends all of the port, soon: what their handlers wrote last is still sent. */
void dsession_end_all(struct port *port);

/* Ends those of the port that have been idle for too long. */
void dsession_expire(struct port *port, int64_t now_ms);

#endif
