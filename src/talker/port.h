/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A datagram socket that the talker serves for the master, and what all of
 * them share.  Shared by udp.c, which reads them, and dsession.c.
 */
#ifndef HATCHD_PORT_H
#define HATCHD_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "ev.h"
#include "list.h"
#include "msg.h"
#include "reason.h"
#include "slots.h"

#define PORTS_MAX 262144	/* numbers that the master may give */

struct packets;
struct peer;
struct peers;

struct ports {
	struct ev *ev;
	struct msg_link *link;
	struct slots *slots;
	const struct scratch *scratch;
	void (*readable)(int fd, short what, void *port);
	struct packets *packets;	/* both made for the first socket */
	struct peers *peers;
	struct port **at;		/* by the master's number */
	uint32_t room;			/* of it */
	struct list dropped;		/* still needed by their sessions */
	struct list active;		/* the tick has something to do there */
	struct ev_timer tick;
};

struct port {
	struct ports *all;
	struct ev_io io;
	int fd;
	uint32_t number;		/* the master's */
	uint8_t internal;
	bool once;
	bool dropped;			/* nobody new is served */
	uint16_t family;
	uint16_t local_port;
	struct addr bound;		/* where; family 0: unknown, or a UNIX socket */
	uint32_t idle_ms, max;
	uint64_t cookie;		/* the kernel's name of the socket, 0: unknown */
	unsigned uses;			/* peers asked about, sessions; 1 unless dropped */
	struct list sessions;		/* longest idle first */
	struct list asking;		/* peers: longest asked about first */
	uint32_t n_sessions;
	struct list place;		/* among the dropped */
	struct list active;
	/* since the last MSG_COUNT */
	bool changed;
	int64_t count_due_ms;
	struct msg_count count;
	uint32_t denied[REASON_MAX];
};

void ports_init(struct ports *all, struct ev *ev, struct msg_link *link, struct slots *slots,
		const struct scratch *scratch,
		void (*readable)(int fd, short what, void *port));
/* After slots_free, which ends the sessions. */
void ports_fini(struct ports *all);

/* MSG_DGRAM.  Takes fd.  A number that is in use is dropped first; a socket
 * that was dropped and has sessions is taken up again.  0, or -1 if the
 * message makes no sense. */
int ports_add(struct ports *all, const struct msg_dgram *m, int fd);

/* MSG_DGRAM_DROP.  What has come is read before; the socket lives on while it has
 * uses. */
void ports_drop(struct ports *all, uint32_t number);
/* The same, but its sessions end and nothing of it is read any more: it is a
 * handler's now. */
void ports_leave(struct ports *all, uint32_t number);

/* Who serves now what still comes to a socket that was dropped, for this local
 * address; NULL: nobody. */
struct port *ports_heir(const struct port *dropped, const struct addr *local);

/* Asks the master about a peer, which is PEER_ASKING.  The caller holds the port
 * until the answer.  -1 and errno: nothing was asked. */
int port_ask(struct port *p, struct peer *peer);
/* Whether it has as many sessions as it may have, with those that were asked for
 * and can still come: no use to ask for one more. */
bool port_full(struct port *p);
/* The same as port_ask for a peer that has got an answer or was in a session, if it has more
 * that waits.  False: the peer is gone. */
bool port_ask_again(struct port *p, struct peer *peer);

void port_hold(struct port *p);
void port_release(struct port *p);	/* may free it */

/* Its counters were changed, or it has a session that may grow idle: the tick
 * will look after it. */
void port_changed(struct port *p);
void port_wake(struct port *p);

#endif
