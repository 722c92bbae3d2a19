/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Reads the datagram sockets; talker, called by talker.c and the loop.  Policy
 * is the master's: each new peer is asked about, once, and what it says is
 * remembered as long as it says.  What stands here is what no policy may
 * allow, so that two services can never answer each other for ever.
 */
#include "config.h"

#include "udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "dsession.h"
#include "fd.h"
#include "internal.h"
#include "log.h"
#include "packet.h"
#include "peer.h"
#include "port.h"

enum {
	CHARGEN_BURST = 10,	/* answers of chargen to one peer at once, */
	CHARGEN_MS = 100,	/* and then one in so long */
};

struct udp {
	struct ports ports;
	unsigned line;		/* chargen's next */
};

/* Serving */

/* The answer to a datagram that is to be served; -1: none. */
static long
answer_to(struct port *port, const void *data, size_t len, unsigned char *buf,
	  const void **ret)
{
	struct udp *u = (struct udp *)port->all;
	long n = internal_answer((enum internal)port->internal, data, len, time(NULL),
				 u->line, buf, ret);

	port->count.datagrams_in++;
	port->count.bytes_in += len;
	port_changed(port);
	if (n < 0 && port->internal != INTERNAL_DISCARD)
		port->count.loop++;
	if (port->internal == INTERNAL_CHARGEN)
		u->line = (u->line + 1) % INTERNAL_LINES;
	return n;
}

static void
count_answer(struct port *port, int sent, long len)
{
	if (sent < 0)
		return;
	port->count.datagrams_out++;
	port->count.bytes_out += (uint64_t)len;
}

static void
serve(struct port *port, struct peer *p, const void *data, size_t len)
{
	unsigned char buf[INTERNAL_DGRAM];
	uint32_t left_out;
	const void *text;
	long n;

	if (port->internal == INTERNAL_CHARGEN &&
	    !log_rate(&p->rate, ev_now_ms(port->all->ev), CHARGEN_BURST, CHARGEN_MS,
		      &left_out)) {
		port->count.loop++;
		port_changed(port);
		return;
	}
	n = answer_to(port, data, len, buf, &text);
	if (n >= 0)
		count_answer(port, packet_send(port->fd, &p->addr, p->own ? &p->local : NULL,
					       text, (size_t)n), n);
}

/* A UNIX peer is whoever may open the socket; it can't pretend to be another,
 * so it is not asked about.  It gets an answer if it has a name that can be
 * reached from here: in the empty root, one in the abstract namespace. */
static void
serve_unix(struct port *port, int i, const struct packet *k)
{
	unsigned char buf[INTERNAL_DGRAM];
	const void *text;
	long n;

	if (k->cut) {
		port->count.queue++;
		port_changed(port);
		return;
	}
	n = answer_to(port, k->data, k->len, buf, &text);
	if (n >= 0)
		count_answer(port, packets_reply(port->all->packets, i, port->fd, text,
						 (size_t)n), n);
}

static void
deny(struct port *port, uint32_t reason, uint32_t n)
{
	if (n == 0 || port->dropped)
		return;
	port->denied[reason] += n;
	port_changed(port);
}

static void
no_room(struct port *port)
{
	port->count.queue++;
	port_changed(port);
}

/* Asking */

/* A new peer (p is NULL), one whose verdict is out of date, or one about which
 * no answer came: the port is held for the question already. */
static void
ask(struct port *port, struct peer *p, const struct packet *k)
{
	struct peers *peers = port->all->peers;
	bool again = p != NULL && p->state == PEER_ASKING;

	if (port->dropped)
		return;
	if (port->max != 0 && port->n_sessions >= port->max) {
		deny(port, REASON_SESSION_MAX, 1);
		return;
	}
	if (p == NULL)
		p = peers_add(peers, port, &k->peer, &k->local);
	else
		peers_ask(peers, p);
	if (p == NULL) {
		no_room(port);
		return;
	}
	p->own = k->own;
	if (port_ask(port, p) < 0) {
		peers_remove(peers, p);
		no_room(port);
		if (again)
			port_release(port);
		return;
	}
	if (!again)
		port_hold(port);
	if (!peers_push(peers, p, k->data, k->len))
		no_room(port);
}

/* Whether an answer could be answered in turn, or go to somebody who never
 * asked.  The master knows the ports above that are served here. */
static bool
may_loop(const struct port *port, const struct packet *k)
{
	return !packet_from_host(&k->peer) ||
	       (port->internal != INTERNAL_NONE && k->peer.port < IPPORT_RESERVED);
}

static void
receive(struct port *port, const struct packet *k)
{
	struct peer *p;

	if (may_loop(port, k)) {
		port->count.loop++;
		port_changed(port);
		return;
	}
	p = peers_find(port->all->peers, port, &k->peer, &k->local);
	if (p == NULL) {
		ask(port, NULL, k);
		return;
	}
	switch ((enum peer_state)p->state) {
	case PEER_SESSION:
		dsession_feed(p->session, k->data, k->len);
		break;
	case PEER_ASKING:
		if (ev_now_ms(port->all->ev) >= p->until_ms)
			ask(port, p, k);
		else if (!peers_push(port->all->peers, p, k->data, k->len))
			no_room(port);
		break;
	case PEER_SERVED:
	case PEER_DENIED:
		if (ev_now_ms(port->all->ev) >= p->until_ms) {
			ask(port, p, k);
			break;
		}
		peers_touch(port->all->peers, p);
		if (p->state == PEER_SERVED)
			serve(port, p, k->data, k->len);
		else
			deny(port, p->reason, 1);
		break;
	}
}

static void
on_readable(int fd, short what, void *arg)
{
	struct port *port = arg;
	struct packets *packets = port->all->packets;
	int n = packets_recv(packets, fd, port->local_port);

	(void)what;
	if (n < 0 && errno != EAGAIN)	/* reading it has cleared it */
		log_debug("talker: listener %u: error %d", port->number, errno);
	for (int i = 0; i < n; i++) {
		if (port->family == AF_UNIX)
			serve_unix(port, i, packets_at(packets, i));
		else
			receive(port, packets_at(packets, i));
	}
}

/* What the master says */

int
udp_dgram(struct udp *u, const struct msg_dgram *m, int fd)
{
	return ports_add(&u->ports, m, fd);
}

void
udp_dgram_drop(struct udp *u, const struct msg_dgram_drop *m)
{
	ports_drop(&u->ports, m->listener);
}

static struct peer *
asked(struct udp *u, uint32_t handle, uint32_t generation)
{
	if (u->ports.peers == NULL)
		return NULL;
	return peers_asking(u->ports.peers, handle, generation);
}

int
udp_session(struct udp *u, const struct msg_session *m, int fd)
{
	struct peer *p = asked(u, m->handle, m->handle_generation);
	struct port *port;
	int rc = 0;

	if (p == NULL || p->port->internal != INTERNAL_NONE) {
		/* too late; but the slot is the master's until it is told */
		slots_refuse(u->ports.slots, m->slot, m->generation, ECANCELED);
		fd_close(&fd);
		return 0;
	}
	port = p->port;
	if (dsession_new(port, p, m, fd) < 0) {
		rc = errno == EPROTO ? -1 : 0;
		peers_remove(u->ports.peers, p);
	}
	port_release(port);		/* it was held for the question */
	return rc;
}

/* Everything that waited is served, or dropped: of that the master has counted
 * the first, about which it was asked. */
static void
judge(struct udp *u, struct peer *p, const struct msg_verdict *m)
{
	struct peers *peers = u->ports.peers;
	struct port *port = p->port;
	uint32_t n = p->queued;
	struct peer_datagram *d;

	while ((d = peers_pop(peers, p)) != NULL) {
		if (m->reason == REASON_NONE)
			serve(port, p, d->data, d->len);
		free(d);
	}
	if (port->dropped) {
		peers_remove(peers, p);
		return;
	}
	if (m->reason != REASON_NONE && n > 0)
		deny(port, m->reason, n - 1);
	p->reason = (uint8_t)m->reason;
	peers_judge(peers, p, m->reason == REASON_NONE ? PEER_SERVED : PEER_DENIED,
		    ev_now_ms(u->ports.ev) + m->keep_ms);
}

int
udp_verdict(struct udp *u, const struct msg_verdict *m)
{
	struct peer *p = asked(u, m->handle, m->handle_generation);
	struct port *port;

	if (m->reason >= REASON_MAX)
		return -1;
	if (p == NULL)
		return 0;
	port = p->port;
	if (m->reason == REASON_NONE && port->internal == INTERNAL_NONE)
		peers_remove(u->ports.peers, p);	/* the service has become another */
	else
		judge(u, p, m);
	port_release(port);		/* it was held for the question */
	return 0;
}

struct udp *
udp_new(struct ev *ev, struct msg_link *link, struct slots *slots,
	const struct scratch *scratch)
{
	struct udp *u = calloc(1, sizeof *u);

	if (u != NULL)
		ports_init(&u->ports, ev, link, slots, scratch, on_readable);
	return u;
}

void
udp_free(struct udp *u)
{
	if (u == NULL)
		return;
	ports_fini(&u->ports);
	free(u);
}
