/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Which of the running sessions a new configuration no longer allows, and what
 * becomes of them.
 */
#ifndef HATCHD_READMIT_H
#define HATCHD_READMIT_H

struct master;
struct readmit;

/* Before the switch, from which on nothing may fail; NULL: no memory. */
struct readmit *readmit_new(struct master *m);
void readmit_free(struct readmit *r);

/* Notes whose socket is going to be closed (listener.going). */
void readmit_cut_off(struct master *m);

/* After it, in the same turn: those that wait to be served are refused if they may not
 * connect any more.  Of those that are served and have on_reload = terminate, the ones
 * are ended whose service or socket is gone, who may not connect any more, or who are
 * more than limits.per_source and limits.instances allow; the oldest stay. */
void readmit_run(struct readmit *r);

#endif
