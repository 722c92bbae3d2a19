/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The talker's questions about peers of datagram sockets.
 */
#ifndef HATCHD_ASK_H
#define HATCHD_ASK_H

#include "proto.h"

struct master;

/* Judges the peer and answers: MSG_SESSION, or MSG_VERDICT with what the talker may
 * remember.  Nothing in the question is trusted. */
void ask_judge(struct master *m, const struct msg_ask *ask);

#endif
