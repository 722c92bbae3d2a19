/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What stands between a connection and its service: the PROXY header or the
 * line for tcpmux that comes first, the greeting that the peer gets.
 */
#ifndef HATCHD_PREFIX_H
#define HATCHD_PREFIX_H

#include "proto.h"
#include "visit.h"

struct muxtab;

struct prefixes {
	struct visits visits;
	struct muxtab *mux;	/* borrowed */
};

/* MSG_PREFIX and MSG_GREET, until slots_pass.  They take fd; -1: none was left
 * for it.  0, or -1 if the message makes no sense. */
int prefix_read(const struct prefixes *all, const struct msg_prefix *m, int fd);
int prefix_greet(const struct prefixes *all, const struct msg_greet *m, int fd);

#endif
