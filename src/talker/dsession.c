/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Datagram sessions; talker.  Begun by udp.c when the master says so, ended by
 * the handler's end of file, by the master (when the handler is gone and
 * something it left has the socket, too), or when nothing has come either way
 * for idle_ms.  Neither side is waited for: what the handler does not take at
 * once is dropped and counted, as a full socket would do it.  What comes for a
 * handler that takes no more at all waits, up to a bound, for the next one.
 */
#include "config.h"

#include "dsession.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "fd.h"
#include "packet.h"
#include "peer.h"
#include "port.h"

enum { ROUNDS = 16 };		/* datagrams of one handler in a turn */

struct dsession {
	struct holding holding;	/* first: see dsession_of */
	struct port *port;
	struct peer *peer;
	struct ev_io io;
	int fd;
	bool shut;		/* the handler has got its end of file */
	bool closing;		/* and can write no more */
	struct list order;	/* of its port: longest idle first */
	int64_t last_ms;
};

static struct dsession *
dsession_of(struct holding *h)
{
	return (struct dsession *)h;
}

static void
touch(struct dsession *s)
{
	s->last_ms = ev_now_ms(s->port->all->ev);
	list_append(&s->port->sessions, &s->order);
}

/* May free the port, too. */
static void
finish(struct dsession *s, int error)
{
	struct port *port = s->port;
	struct peer *p = s->peer;

	(void)ev_io_set(&s->io, 0);	/* stopping does not fail */
	fd_close(&s->fd);
	list_remove(&s->order);
	port->n_sessions--;
	p->session = NULL;
	if ((error == ECANCELED && !s->closing) || port->dropped) {
		s->holding.report.dropped += p->queued;
		peers_remove(port->all->peers, p);
		p = NULL;
	}
	slots_end(port->all->slots, &s->holding, error);
	/* for another session, if anything came after this one */
	if (p == NULL || !port_ask_again(port, p))
		port_release(port);	/* else it is held for the question */
}

static void
shut(struct dsession *s)
{
	(void)shutdown(s->fd, SHUT_WR);	/* fails only if the handler is gone */
	s->shut = true;
}

void
dsession_feed(struct dsession *s, const void *data, size_t len)
{
	struct msg_ended *r = &s->holding.report;
	bool once = s->port->once;
	ssize_t n = 0;

	if (!s->shut) {
		touch(s);
		/* an empty message would look like the end of file */
		if (len > 0)
			n = send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		/* It is gone, which is seen when its side is read.  Its first
		 * datagram goes with it, or handlers that end at once would be
		 * started for that one for ever. */
		if (n < 0 && errno == EPIPE && r->datagrams_in > 0)
			shut(s);
	}
	if (s->shut) {
		/* counted by the next one; to wait for it is no life of this one */
		r->dropped += !peers_push(s->port->all->peers, s->peer, data, len, NULL, 0);
		return;
	}
	r->datagrams_in++;
	r->bytes_in += len;
	if (n < 0 || (len == 0 && !once))
		r->dropped++;
	if (once)
		shut(s);
}

/* After a read of 0 bytes: whether that was the end, and not an empty datagram
 * with more to come. */
static bool
is_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };
	char c;

	if (poll(&p, 1, 0) == 0)
		return false;
	return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) <= 0;
}

static void
on_handler(int fd, short what, void *arg)
{
	struct dsession *s = arg;
	struct msg_ended *r = &s->holding.report;
	unsigned char *buf = s->port->all->scratch->bytes;

	(void)what;
	for (int i = 0; i < ROUNDS; i++) {
		ssize_t n = recv(fd, buf, PACKET_MAX, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		/* A handler that leaves input unread "resets", which is told once
		 * and before what it has written: that comes next. */
		if (n < 0 && errno == ECONNRESET)
			continue;
		if (n < 0 || (n == 0 && is_end(fd))) {
			finish(s, s->closing ? ECANCELED : n < 0 ? errno : 0);
			return;
		}
		touch(s);
		if (packet_send(s->port->fd, &s->peer->addr,
				s->peer->own ? &s->peer->local : NULL, buf, (size_t)n) < 0) {
			r->dropped++;
			continue;
		}
		r->datagrams_out++;
		r->bytes_out += (uint64_t)n;
	}
}

static void
close_session(struct holding *h)
{
	finish(dsession_of(h), ECANCELED);
}

/* What the handler wrote last is read, in turns as ever, and then comes an end of
 * file, whoever else has its socket.  What came for it meanwhile is the next one's. */
static void
drain_session(struct holding *h)
{
	struct dsession *s = dsession_of(h);

	(void)shutdown(s->fd, SHUT_RDWR);	/* fails only if the handler is gone */
	s->shut = true;
	s->closing = true;
	on_handler(s->fd, EV_IN, s);	/* we shut it: nothing wakes us if it is empty */
}

static void
free_session(struct holding *h)
{
	free(dsession_of(h));
}

void
dsession_expire(struct port *port, int64_t now_ms)
{
	while (port->idle_ms != 0 && !list_empty(&port->sessions)) {
		struct dsession *s = LIST_OBJECT(port->sessions.next, struct dsession, order);

		if (now_ms - s->last_ms < port->idle_ms)
			return;
		finish(s, ETIMEDOUT);
	}
}

void
dsession_end_all(struct port *port)
{
	struct list *next;

	for (struct list *i = port->sessions.next; i != &port->sessions; i = next) {
		next = i->next;
		drain_session(&LIST_OBJECT(i, struct dsession, order)->holding);
	}
}

static int
refuse(struct port *port, const struct msg_session *m, int fd, int error)
{
	slots_refuse(port->all->slots, m->slot, m->generation, error);
	fd_close(&fd);
	errno = error;
	return -1;
}

int
dsession_new(struct port *port, struct peer *p, const struct msg_session *m, int fd)
{
	struct ports *all = port->all;
	struct dsession *s;
	struct peer_datagram *d;

	if (fd < 0)
		return refuse(port, m, fd, EMFILE);
	s = calloc(1, sizeof *s);
	if (s == NULL)
		return refuse(port, m, fd, ENOMEM);
	s->holding.close = close_session;
	s->holding.drain = drain_session;
	s->holding.free = free_session;
	ev_io_init(all->ev, &s->io, fd, on_handler, s);
	if (ev_io_set(&s->io, EV_IN) < 0) {
		int error = errno;

		free(s);
		return refuse(port, m, fd, error);
	}
	if (slots_take(all->slots, &s->holding, m->slot, m->generation) < 0) {
		(void)ev_io_set(&s->io, 0);	/* stopping does not fail */
		fd_close(&fd);
		free(s);
		errno = EPROTO;
		return -1;
	}
	s->port = port;
	s->peer = p;
	s->fd = fd;
	list_init(&s->order);
	list_remove(&p->order);		/* of those that are asked about */
	p->session = s;
	p->state = PEER_SESSION;
	port_hold(port);
	port->n_sessions++;
	while (!s->shut && (d = peers_pop(all->peers, p)) != NULL) {
		dsession_feed(s, d->data, d->len);
		free(d);
	}
	touch(s);
	port_wake(port);
	return 0;
}
