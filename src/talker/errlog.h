/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What handlers write to their stderr, as lines for the log.
 */
#ifndef HATCHD_ERRLOG_H
#define HATCHD_ERRLOG_H

#include <stdbool.h>

#include "board.h"
#include "ev.h"
#include "msg.h"

struct errlog;

struct errlog *errlog_new(struct ev *ev, struct msg_link *link, const struct board *board);
/* Takes fd, the reading end of a datagram socket with SO_PASSCRED that the
 * handlers of an account share.  0, or -1 and errno, fd is then closed.  They
 * are numbered as they come, from 1; fd -1 only takes a number. */
int errlog_add(struct errlog *e, int fd);
/* No handler is left: reads what they wrote last, and tells all that waits for more.
 * False: the link had no room for some of it; again when it has. */
bool errlog_finish(struct errlog *e);
void errlog_free(struct errlog *e);

#endif
