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

struct master;
struct service;
struct session;

void events_start(struct master *m, const struct session *x);
/* Ended, with what is known of its process; a start that failed is "fail". */
void events_end(struct master *m, const struct session *x);
void events_refuse(struct master *m, struct service *s, const struct addr *peer,
		   enum reason reason);
/* A limit makes those who come wait: its first hit, then now and then.  Nothing for
 * REASON_NONE. */
void events_limit(struct master *m, struct service *s, enum reason reason);
/* Told by a timer of the service: how many refusals were not told. */
void events_suppressed(struct service *s);
/* A process that could not even be made: step "clone". */
void events_clone_failed(struct master *m, struct service *s, int error);
void events_unread(struct master *m, struct service *s, const struct addr *peer);
void events_stderr(struct master *m, const struct session *x, const struct msg_errline *line);

#endif
