/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * How sessions are ended from outside: time limits, TERM and KILL, for the
 * process group or all descendants.
 */
#ifndef HATCHD_EXPIRE_H
#define HATCHD_EXPIRE_H

#include <stdbool.h>

struct session;
struct sessions;

/* It is being served from now on: total and idle run. */
void expire_begin(struct sessions *all, struct session *x);

/* TERM to its process group (kill = tree: to all descendants), KILL after stop_ms;
 * the talker's half is closed.  Calling it again changes nothing. */
void expire_stop(struct sessions *all, struct session *x);
void expire_kill(struct sessions *all, struct session *x);
/* Its socket has reached its end: it is expected to go, and told to if it
 * doesn't. */
void expire_soon(struct sessions *all, struct session *x);

/* Its handler was reaped.  True: something of its tree is left, or of its group if
 * it had to end, and is being ended; session_process_over is called when that is
 * done. */
bool expire_leftovers(struct sessions *all, struct session *x);

/* The session's timer: for session_new_waiting. */
void expire_on_timer(void *session);

#endif
