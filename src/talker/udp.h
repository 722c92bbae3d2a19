/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Datagram services: who sends, whether the master wants it served, and the
 * internal services' answers.
 */
#ifndef HATCHD_UDP_H
#define HATCHD_UDP_H

#include "ev.h"
#include "msg.h"
#include "slots.h"

struct udp;

struct udp *udp_new(struct ev *ev, struct msg_link *link, struct slots *slots,
		    const struct scratch *scratch);
/* After slots_free, which ends the sessions. */
void udp_free(struct udp *u);

/* The messages of that name.  They take fd; 0, or -1 if the message makes no
 * sense. */
int udp_dgram(struct udp *u, const struct msg_dgram *m, int fd);
int udp_dgram_drop(struct udp *u, const struct msg_dgram_drop *m);
int udp_session(struct udp *u, const struct msg_session *m, int fd);
int udp_verdict(struct udp *u, const struct msg_verdict *m);

#endif
