/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The process that reads and writes what peers send.  Everything it holds
 * hangs on struct talker; there is no other state.
 */
#ifndef HATCHD_TALKER_H
#define HATCHD_TALKER_H

#include "ev.h"

struct talker;

/* Takes the link; NULL and errno. */
struct talker *talker_new(struct ev *ev, int link_fd);
void talker_free(struct talker *t);

/* Serves until the master goes or says so; the exit code. */
int talker_run(struct talker *t);

#endif
