/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * One end of the link between master and talker: sends and receives whole
 * messages with at most one descriptor, never blocks, queues what the kernel
 * does not take now.  It owns the socket and the descriptors in its queue.
 */
#ifndef HATCHD_MSG_H
#define HATCHD_MSG_H

#include <stdbool.h>

#include "ev.h"
#include "proto.h"

#define MSG_QUEUE 512		/* messages that may wait for the kernel */

struct msg_link;

/* Takes fd (non-blocking SOCK_SEQPACKET).  receive is called from the loop
 * for each message, *fd is the descriptor that came with it or -1; receive
 * takes it by setting *fd to -1, else it is closed afterwards (it is -1 for a
 * type that carries one if this process had no descriptor left).  broken is
 * called once, with what happened ("closed", "bad message ..."); the link is
 * dead then and the owner frees it, in the callback or later.  All callbacks
 * come from the loop and may free the link.  room is called
 * when a queue that was full, or that anything waited in, is empty again (may
 * be NULL).  NULL and errno on failure, fd is then closed. */
struct msg_link *msg_link_new(struct ev *ev, int fd, enum proto_direction receives,
	void (*receive)(const union msg *m, int *fd, void *arg),
	void (*broken)(const char *why, void *arg),
	void (*room)(void *arg), void *arg);
void msg_link_free(struct msg_link *l);

/* Sends m (its type is set, its size is set here) with fd, or -1.  fd is only
 * borrowed: a queued message keeps a duplicate.  0, or -1 and errno: ENOBUFS
 * if the queue is full, EPIPE if the link is dead, EMFILE, EPROTO if the table
 * does not allow the message in this state, with or without a descriptor. */
int msg_send(struct msg_link *l, union msg *m, enum msg_type type, int fd);

/* Whether something waits in the queue: time to pause what feeds it. */
bool msg_link_busy(const struct msg_link *l);

/* Stop and go on receiving, for an end that has no room for what follows. */
void msg_link_pause(struct msg_link *l, bool pause);

/* The other side is known to be gone: receives what it sent last, to the end, of
 * which broken tells as ever. */
void msg_link_finish(struct msg_link *l);

enum proto_state msg_link_state(const struct msg_link *l);

#endif
