/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the master says to the talker, and what it does on hearing from it.
 * Everything that comes up is checked: numbers of slots, generations and
 * listeners that don't exist are ignored, a message that breaks the protocol
 * ends the talker.
 */
#ifndef HATCHD_LINK_H
#define HATCHD_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg.h"

struct listener;
struct master;
struct session;

int link_init(struct master *m);	/* after m->ev; -1 and errno */
void link_fini(struct master *m);
/* The master's end; takes fd. */
struct msg_link *link_new(struct master *m, int fd);
int link_send_start(struct master *m);
void link_send_stop(struct master *m);

/* The talker has gone: its connections have ended, its sockets are to be sent
 * again to the next one. */
void link_lost(struct master *m);
/* Whether something can be handed over now. */
bool link_ready(const struct master *m);

/* Sends msg; fd (-1: none) is borrowed.  0, or -1 and errno of msg_send, which has been
 * logged; EPIPE: there is no talker.  For what need not arrive, or is sent again by
 * whoever called. */
int link_tell(struct master *m, union msg *msg, enum msg_type type, int fd);

/* Hands the connection over; fd is borrowed; 0, or -1 and errno, EAGAIN: not just
 * now; it is asked for (deliver_again, anteroom_again) when it can be. */
int link_send_connection(struct master *m, struct session *x, bool seqpacket, int fd);
/* A datagram socket of an internal service or of sessions; later if the talker
 * can't be told now. */
void link_send_listener(struct master *m, struct listener *l);
/* It is not the talker's any more, if it was.  leave: a handler is to have it for
 * itself, so its sessions end, too. */
void link_drop_listener(struct master *m, struct listener *l, bool leave);
/* One more socket with handlers' stderr, i in stderrs.c. */
void link_send_stderr(struct master *m, uint32_t i);
/* The talker is to end its part of it, as soon as it can be told.  0; -1: there is
 * none, it has ended. */
int link_close(struct master *m, struct session *x);

/* A copy of the connection of a session, x->fd, to read what comes before (what:
 * PREFIX_...), or to write a text (1 to PROTO_TEXT bytes).  Answered by MSG_PASSED.
 * 0, or -1 and errno as link_send_connection. */
int link_send_prefix(struct master *m, struct session *x, uint32_t what, uint32_t ms);
int link_send_greeting(struct master *m, struct session *x, const char *text, size_t len,
		       uint32_t ms);
/* A connection that was refused; fd is borrowed; len 0: it is drained only.  If it
 * can't be told, it isn't. */
void link_send_refusal(struct master *m, int fd, const char *text, size_t len);
/* What is left of a connection whose handler is gone; fd is borrowed.  0, or -1. */
int link_send_linger(struct master *m, struct session *x, int fd);
/* The names that tcpmux knows have changed. */
void link_send_names(struct master *m);
/* The control socket, m->control_fd, has changed. */
void link_send_control(struct master *m);

#endif
