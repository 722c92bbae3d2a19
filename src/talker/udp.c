/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Reads the datagram sockets; talker, called by talker.c and the loop.  Policy
 * is the master's: each new peer is asked about, and what it says is remembered
 * as long, and for as many datagrams, as it says.  What stands here is what no policy may
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

/* A UNIX peer gets an answer if it has a name that can be reached from here: in
 * the empty root, one in the abstract namespace. */
static int
answer(struct port *port, const struct peer *p, const struct packet *k, const void *text,
       size_t len)
{
	if (port->family == AF_UNIX)
		return packet_reply(port->fd, k->name, k->name_len, text, len);
	return packet_send(port->fd, &p->addr, p->own ? &p->local : NULL, text, len);
}

static void
serve(struct port *port, struct peer *p, const struct packet *k)
{
	unsigned char buf[INTERNAL_DGRAM];
	uint32_t left_out;
	const void *text;
	long n;

	if (p->left != UINT32_MAX)
		p->left--;
	if (port->internal == INTERNAL_CHARGEN && port->family != AF_UNIX &&
	    !log_rate(&p->rate, ev_now_ms(port->all->ev), CHARGEN_BURST, CHARGEN_MS,
		      &left_out)) {
		port->count.loop++;
		port_changed(port);
		return;
	}
	n = answer_to(port, k->data, k->len, buf, &text);
	if (n >= 0)
		count_answer(port, answer(port, p, k, text, (size_t)n), n);
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

static void
keep(struct port *port, struct peer *p, const struct packet *k)
{
	if (!peers_push(port->all->peers, p, k->data, k->len, k->name, k->name_len))
		no_room(port);
}

/* A new peer (p is NULL), one whose verdict is out of date or used up, or one
 * about which no answer came: the port is held for the question already. */
static void
ask(struct port *port, struct peer *p, const struct packet *k)
{
	struct peers *peers = port->all->peers;
	bool again = p != NULL && p->state == PEER_ASKING;

	if (port->dropped)
		return;
	if (!again && port_full(port)) {
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
	keep(port, p, k);
}

/* Whether an answer could be answered in turn, or go to somebody who never
 * asked.  The master knows the ports above that are served here. */
static bool
may_loop(const struct port *port, const struct packet *k)
{
	if (port->family == AF_UNIX)
		return false;		/* a sender can't pretend to be another */
	return !packet_from_host(&k->peer) ||
	       (port->internal != INTERNAL_NONE && k->peer.port < IPPORT_RESERVED);
}

/* One without a sender can't be judged: somebody could be kept out. */
static bool
is_refused(struct port *port, const struct packet *k)
{
	if (may_loop(port, k)) {
		port->count.loop++;
		port_changed(port);
	} else if (k->cut) {
		no_room(port);
	} else if (k->peer.family == 0) {
		deny(port, REASON_ACCESS, 1);
	} else {
		return false;
	}
	return true;
}

static void
receive(struct port *port, const struct packet *k)
{
	struct peer *p;
	struct port *heir;

	if (is_refused(port, k))
		return;
	p = peers_find(port->all->peers, port, &k->peer, &k->local);
	if (p == NULL) {
		/* a socket that lives on for its sessions may still be the one that
		 * the kernel gives everything to */
		heir = port->dropped ? ports_heir(port, &k->local) : NULL;
		if (heir != NULL)
			receive(heir, k);
		else
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
		else
			keep(port, p, k);
		break;
	case PEER_SERVED:
	case PEER_DENIED:
		if (ev_now_ms(port->all->ev) >= p->until_ms ||
		    (p->state == PEER_SERVED && p->left == 0)) {
			ask(port, p, k);
			break;
		}
		peers_touch(port->all->peers, p);
		if (p->state == PEER_SERVED)
			serve(port, p, k);
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
	int n = packets_recv(packets, fd, port->family == AF_UNIX, port->local_port);

	(void)what;
	if (n < 0 && errno != EAGAIN)	/* reading it has cleared it */
		log_debug("talker: listener %u: error %d", port->number, errno);
	for (int i = 0; i < n; i++)
		receive(port, packets_at(packets, i));
}

/* What the master says */

int
udp_dgram(struct udp *u, const struct msg_dgram *m, int fd)
{
	return ports_add(&u->ports, m, fd);
}

int
udp_dgram_drop(struct udp *u, const struct msg_dgram_drop *m)
{
	if (m->leave > 1)
		return -1;
	if (m->leave == 1)
		ports_leave(&u->ports, m->listener);
	else
		ports_drop(&u->ports, m->listener);
	return 0;
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

/* What waited is served as far as the verdict goes, or dropped: of that the
 * master has counted the first, about which it was asked. */
static void
use_verdict(struct udp *u, struct peer *p, uint32_t reason)
{
	struct peers *peers = u->ports.peers;
	uint32_t n = p->queued;
	struct peer_datagram *d;

	while ((reason != REASON_NONE || p->left > 0) && (d = peers_pop(peers, p)) != NULL) {
		struct packet k = { .data = d->data, .len = d->len,
				    .name = d->data + d->len, .name_len = d->name_len };

		if (reason == REASON_NONE)
			serve(p->port, p, &k);
		free(d);
	}
	if (reason != REASON_NONE && n > 0)
		deny(p->port, reason, n - 1);
}

/* Whether it is asked about again, for what the verdict was not enough for. */
static bool
judge(struct udp *u, struct peer *p, const struct msg_verdict *m)
{
	struct peers *peers = u->ports.peers;

	p->reason = (uint8_t)m->reason;
	p->left = m->budget == 0 ? UINT32_MAX : m->budget;
	use_verdict(u, p, m->reason);
	if (p->port->dropped) {
		peers_remove(peers, p);
		return false;
	}
	if (p->queued > 0)
		return port_ask_again(p->port, p);
	peers_judge(peers, p, m->reason == REASON_NONE ? PEER_SERVED : PEER_DENIED,
		    ev_now_ms(u->ports.ev) + m->keep_ms);
	return false;
}

int
udp_verdict(struct udp *u, const struct msg_verdict *m)
{
	struct peer *p = asked(u, m->handle, m->handle_generation);
	struct port *port;
	bool again = false;

	if (m->reason >= REASON_MAX)
		return -1;
	if (p == NULL)
		return 0;
	port = p->port;
	if (m->reason == REASON_NONE && port->internal == INTERNAL_NONE)
		peers_remove(u->ports.peers, p);	/* the service has become another */
	else
		again = judge(u, p, m);
	if (!again)
		port_release(port);	/* it was held for the question */
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
