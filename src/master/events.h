/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The log of sessions, in one grammar: start, end, fail, refuse, stderr.
 * Which of them are written is each service's log_events; lines that a client
 * can cause are rate limited per service.
 */
#ifndef HATCHD_EVENTS_H
#define HATCHD_EVENTS_H

#include <stdint.h>

#include "addr.h"
#include "proto.h"
#include "reason.h"

struct listener;
struct master;
struct service;
struct session;

void events_start(struct master *m, const struct session *x);
/* Ended, with what is known of its process; a start that failed is "fail". */
void events_end(struct master *m, const struct session *x);
void events_refuse(struct master *m, struct service *s, const struct addr *peer,
		   enum reason reason);
/* So many of whom only their number is known. */
void events_refuse_some(struct master *m, struct service *s, enum reason reason, uint32_t n);
/* A limit makes those who come wait: its first hit, then now and then.  Nothing for
 * REASON_NONE. */
void events_limit(struct master *m, struct service *s, enum reason reason);
/* Told by a timer of the service: how many refusals, and lines of stderr, were not
 * told; and of lines of no service, by one of the master's. */
void events_suppressed(struct service *s);
void events_stray_suppressed(struct master *m);
/* A process that could not even be made: step "clone". */
void events_clone_failed(struct master *m, struct service *s, int error);
void events_unread(struct master *m, struct service *s, const struct addr *peer);
/* What a handler has done to a socket that it was lent, and what was done about it. */
void events_mended(struct master *m, const struct listener *l, const char *error,
		   const char *result);
/* x: NULL if it is no session's, or not any more. */
void events_stderr(struct master *m, const struct session *x, const struct msg_errline *line);

#endif
