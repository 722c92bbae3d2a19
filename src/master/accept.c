/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What has come at a listener: taken if there is room for it and its peer may,
 * and handed on to anteroom.c and deliver.c.  Runs in the master; called by
 * listener.c.  Reads no byte: a stream is accepted, a datagram is only looked at
 * for its source.
 */
#include "config.h"

#include "accept.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "anteroom.h"
#include "deliver.h"
#include "events.h"
#include "judge.h"
#include "listener.h"
#include "log.h"
#include "master.h"
#include "mend.h"
#include "reap.h"
#include "service.h"

/* The peer of a UNIX socket is whoever connected it. */
static struct addr
unix_peer(int fd)
{
	struct addr a = { .family = AF_UNIX };
	struct ucred uc;
	socklen_t len = sizeof(uc);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &uc, &len) == 0)
		addr_from_ucred(&uc, &a);
	return a;
}

/* What to do with an error of accept(2).  Most of them are the peer's. */
static void
accept_failed(struct master *m, struct listener *l, int error)
{
	uint32_t suppressed;

	switch (error) {
	case EAGAIN:
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM:		/* a firewall rule */
	case ENETDOWN: case ENOPROTOOPT: case EHOSTDOWN: case ENONET:
	case EHOSTUNREACH: case EOPNOTSUPP: case ENETUNREACH:
		return;		/* accept(2): of the connection, to be ignored */
	case EINVAL:		/* it listens no more */
		mend_listener(l);
		return;
	}
	if (log_rate(&m->accept_errors, ev_now_ms(m->ev), 5, 10000, &suppressed))
		log_warnx("service %s: can't accept: %s; waiting for room (suppressed=%u)",
			  service_name(l->service), strerror(error), suppressed);
	master_exhausted(m, error);
	listener_enqueue(m->listeners, l);
}

/* Whether the listener may go on; if not it is paused. */
static bool
has_room(struct master *m, struct listener *l, enum board_kind kind)
{
	enum judge_room room;

	if (m->paused_until > ev_now_ms(m->ev)) {
		listener_enqueue(m->listeners, l);
		return false;
	}
	room = judge_room(m, l->service, kind);
	if (room != JUDGE_ACCEPT && reap_children(m) > 0)
		room = judge_room(m, l->service, kind);
	if (room != JUDGE_ACCEPT)
		events_limit(m, l->service, judge_room_reason(m, l->service, kind));
	switch (room) {
	case JUDGE_ACCEPT:
		return true;
	case JUDGE_WAIT_RATE:
		service_wait_rate(l->service);
		return false;
	case JUDGE_WAIT_SERVICE:
		listeners_pause_service(l->service, PAUSE_SERVICE);
		return false;
	case JUDGE_WAIT_GLOBAL:
		listener_enqueue(m->listeners, l);
		return false;
	}
	return false;
}

static void
accepted(struct master *m, struct listener *l, int fd, const struct addr *peer,
	 enum board_kind kind)
{
	struct service *s = l->service;
	enum reason why;

	service_counters(s)->accepted++;
	if (s->conf->common->proxy_gate) {
		if (anteroom_is_proxy(s, peer)) {
			anteroom_enter(m, l, fd, peer, kind, true);
			return;
		}
		if (s->conf->common->proxy->required) {
			events_refuse(m, s, peer, REASON_PROXY);
			anteroom_refuse(m, s, fd, false);
			return;
		}
	}
	why = judge_peer(m, s, kind, peer);
	if (why != REASON_NONE && reap_children(m) > 0)
		why = judge_peer(m, s, kind, peer);
	if (why != REASON_NONE) {
		events_refuse(m, s, peer, why);
		anteroom_refuse(m, s, fd, false);
		return;
	}
	judge_take_source(m, s, peer);
	judge_take_service(m, s);
	if (l->steps) {
		anteroom_enter(m, l, fd, peer, kind, false);
	} else if (kind == BOARD_INTERNAL) {
		deliver_internal(m, l, fd, peer);
	} else {
		deliver_exec(m, l, fd, peer);
	}
}

/* Of one that was lent before a reload, the mode is not ours alone: whoever has it
 * can make it block. */
static bool
would_block(const struct listener *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };

	return l->lent && poll(&p, 1, 0) != 1;
}

static void
on_connections(struct master *m, struct listener *l, enum board_kind kind)
{
	int flags = SOCK_CLOEXEC | (kind == BOARD_INTERNAL ? SOCK_NONBLOCK : 0);

	for (int i = 0; i < LISTENER_BATCH && listener_polled(l); i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		struct addr peer;
		int fd;

		if (!has_room(m, l, kind) || would_block(l))
			return;
		fd = accept4(l->fd, (struct sockaddr *)&sa, &len, flags);
		if (fd == -1) {
			accept_failed(m, l, errno);
			return;
		}
		if (l->target.addr.family == AF_UNIX)
			peer = unix_peer(fd);
		else
			(void)addr_from_sockaddr((struct sockaddr *)&sa, len, &peer);
		accepted(m, l, fd, &peer, kind);
	}
}

void
accept_from(struct listener *l)
{
	struct master *m = l->service->master;

	switch (l->kind) {
	case LISTENER_ACCEPT:
		on_connections(m, l, BOARD_EXEC);
		break;
	case LISTENER_INTERNAL:
		on_connections(m, l, BOARD_INTERNAL);
		break;
	case LISTENER_WAIT:
		if (has_room(m, l, BOARD_WAIT))
			deliver_wait(m, l);
		break;
	}
}
