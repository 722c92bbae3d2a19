/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What handlers write to their stderr, as lines for the log.
 */
#ifndef HATCHD_ERRLOG_H
#define HATCHD_ERRLOG_H

#include "board.h"
#include "ev.h"
#include "msg.h"

struct errlog;

/* Takes fd, the reading end of the datagram socket with SO_PASSCRED that all
 * handlers share.  NULL and errno, fd is then closed. */
struct errlog *errlog_new(struct ev *ev, struct msg_link *link, const struct board *board,
			  int fd);
void errlog_free(struct errlog *e);

#endif
