/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The control socket: one request line, one line of JSON, close.
 */
#ifndef HATCHD_CONTROL_H
#define HATCHD_CONTROL_H

#include "board.h"
#include "ev.h"

struct control;

struct control *control_new(struct ev *ev, const struct board *board);
void control_free(struct control *c);

/* Takes the listening socket, in place of the one before.  Who may connect is
 * decided by its mode, which the master has set.  0, or -1 and errno. */
int control_listen(struct control *c, int fd);

#endif
