/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Listeners: waits on sockets, accepts in batches, and gives what came to
 * deliver.c if judge.c allows.  Runs in the master.  Reads no byte: a stream
 * is accepted, a datagram is only looked at for its source.
 */
#include "config.h"

#include "listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "anteroom.h"
#include "deliver.h"
#include "ev_set.h"
#include "events.h"
#include "fd.h"
#include "judge.h"
#include "link.h"
#include "master.h"
#include "reap.h"
#include "service.h"
#include "session.h"
#include "sockopt.h"

struct listeners {
	struct master *master;
	struct ev_set *set;
	struct listener **table;
	uint32_t rows, size, count;
	uint32_t first_free;
	struct listener *head, **tail;	/* of those that wait for room */
	int held;			/* how many wait for the end of a handler */
	bool ports_stale;
	uint8_t udp_ports[65536 / 8];	/* bits */
};

static void on_readable(void *item);

struct listeners *
listeners_new(struct master *m)
{
	struct listeners *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	all->master = m;
	all->tail = &all->head;
	all->set = ev_set_new(m->ev, on_readable);
	if (!all->set) {
		free(all);
		return NULL;
	}
	return all;
}

void
listeners_free(struct listeners *all)
{
	if (!all)
		return;
	for (uint32_t i = 0; i < all->rows; i++)
		if (all->table[i])
			listener_free(all, all->table[i], false);
	ev_set_free(all->set);
	free(all->table);
	free(all);
}

struct listener *
listeners_at(const struct listeners *all, uint32_t number)
{
	return number < all->rows ? all->table[number] : NULL;
}

uint32_t
listeners_count(const struct listeners *all)
{
	return all->count;
}

uint32_t
listeners_rows(const struct listeners *all)
{
	return all->rows;
}

static int
place(struct listeners *all, struct listener *l)
{
	uint32_t i = all->first_free;

	while (i < all->rows && all->table[i])
		i++;
	if (i == all->size) {
		uint32_t size = all->size == 0 ? 64 : all->size * 2;
		struct listener **t = reallocarray(all->table, size, sizeof(struct listener *));

		if (!t)
			return -1;
		all->table = t;
		all->size = size;
	}
	all->table[i] = l;
	all->first_free = i + 1;
	if (i == all->rows)
		all->rows++;
	all->count++;
	l->number = i;
	return 0;
}

struct listener *
listener_new(struct listeners *all, const struct bind_target *t, int fd, uint16_t port)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l || !bind_target_copy(&l->target, t) || place(all, l) == -1) {
		if (l)
			bind_target_fini(&l->target);
		free(l);
		fd_close(&fd);
		errno = ENOMEM;
		return NULL;
	}
	l->fd = fd;
	l->port = port;
	return l;
}

struct addr
listener_address(const struct listener *l)
{
	struct addr a = l->target.addr;

	a.port = l->port;
	return a;
}

struct addr
listener_local(const struct listener *l, int fd)
{
	static const uint8_t any[16];
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr a = listener_address(l);

	if (a.family != AF_UNIX && memcmp(a.ip, any, sizeof(any)) == 0 &&
	    getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
		(void)addr_from_sockaddr((struct sockaddr *)&sa, len, &a);
	return a;
}

static bool
polled(const struct listener *l)
{
	return l->fd != -1 && l->service && l->paused == 0 && l->kind != LISTENER_TALKER;
}

/* One that waits for a handler to end wants to be told at once. */
static void
set_held(struct listener *l, bool held)
{
	struct listeners *all = l->service->master->listeners;

	if (held == l->held)
		return;
	l->held = held;
	all->held += held ? 1 : -1;
	if (held)
		ev_signals_defer(all->master->ev, 0);
}

static void
update(struct listener *l)
{
	bool watch = polled(l);

	set_held(l, l->paused & (PAUSE_SERVICE | PAUSE_GLOBAL | PAUSE_HANDLER));

	if (watch == l->watched)
		return;
	if (!watch)
		ev_set_remove(l->service->master->listeners->set, l->fd, l);
	else if (ev_set_add(l->service->master->listeners->set, l->fd, l) == -1)
		watch = false;
	if (watch == l->watched)
		log_warn("service %s: can't wait on its socket", service_name(l->service));
	l->watched = watch;
}

void
listener_pause(struct listener *l, uint8_t reason)
{
	l->paused |= reason;
	update(l);
}

void
listener_resume(struct listener *l, uint8_t reason)
{
	if (!(l->paused & reason))
		return;
	l->paused &= (uint8_t)~reason;
	update(l);
}

void
listeners_pause_service(struct service *s, uint8_t reason)
{
	for (struct listener *l = s->listeners; l; l = l->next)
		listener_pause(l, reason);
}

void
listeners_resume_service(struct service *s, uint8_t reason)
{
	for (struct listener *l = s->listeners; l; l = l->next)
		listener_resume(l, reason);
}

void
listener_enqueue(struct listeners *all, struct listener *l)
{
	listener_pause(l, PAUSE_GLOBAL);
	if (l->queued)
		return;
	l->queued = true;
	l->waiting = NULL;
	*all->tail = l;
	all->tail = &l->waiting;
}

static void
unqueue(struct listeners *all, struct listener *l)
{
	struct listener **link = &all->head;

	if (!l->queued)
		return;
	while (*link != l)
		link = &(*link)->waiting;
	*link = l->waiting;
	if (!*link)
		all->tail = link;
	l->queued = false;
}

void
listeners_admit(struct listeners *all, uint32_t n)
{
	while (all->head && n-- > 0) {
		struct listener *l = all->head;

		unqueue(all, l);
		listener_resume(l, PAUSE_GLOBAL);
	}
}

bool
listeners_held(const struct listeners *all)
{
	return all->held > 0;
}

bool
listeners_waiting(const struct listeners *all)
{
	return all->head != NULL;
}

/* The peer of a UNIX socket is whoever connected it. */
static struct addr
unix_peer(int fd)
{
	struct addr a = { .family = AF_UNIX };
	struct ucred uc;
	socklen_t len = sizeof(uc);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &uc, &len) == 0) {
		a.cred.pid = (uint32_t)uc.pid;
		a.cred.uid = uc.uid;
		a.cred.gid = uc.gid;
	}
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
		service_wait_rate(l->service, judge_wait_ms(m, l->service, NULL));
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

static void
on_connections(struct master *m, struct listener *l, enum board_kind kind)
{
	int flags = SOCK_CLOEXEC | (kind == BOARD_INTERNAL ? SOCK_NONBLOCK : 0);

	for (int i = 0; i < LISTENER_BATCH && polled(l); i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		struct addr peer;
		int fd;

		if (!has_room(m, l, kind))
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

static void
on_readable(void *item)
{
	struct listener *l = item;
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

static uint8_t
kind_of(const struct listener *l, const struct conf_service *c)
{
	bool datagram = l->target.type == SOCK_DGRAM;

	if (c->internal != INTERNAL_NONE)
		return datagram ? LISTENER_TALKER : LISTENER_INTERNAL;
	if (c->common->wait)
		return LISTENER_WAIT;
	return datagram ? LISTENER_TALKER : LISTENER_ACCEPT;
}

/* A handler that gets the socket itself expects it to block.  The mode is the
 * socket's, not the descriptor's: never changed while a handler has it. */
static void
set_mode(const struct listener *l)
{
	if (fd_set_nonblock(l->fd, l->kind != LISTENER_WAIT) == -1)
		log_warn("service %s: can't set its socket's mode", service_name(l->service));
}

void
listener_attach(struct listener *l, struct service *s)
{
	struct master *m = s->master;

	l->service = s;
	l->next = s->listeners;
	s->listeners = l;
	l->kind = kind_of(l, s->conf);
	l->paused &= PAUSE_HANDLER;
	if (service_in_backoff(s))
		l->paused |= PAUSE_SERVICE;
	l->talked = (l->kind == LISTENER_ACCEPT || l->kind == LISTENER_INTERNAL) &&
		anteroom_needs_talker(s->conf);
	l->steps = anteroom_wanted(s->conf);
	if (l->talked && !link_ready(m))
		l->paused |= PAUSE_TALKER;
	m->listeners->ports_stale = true;
	if (l->fd == -1)
		return;
	if (l->holder == 0)
		set_mode(l);
	update(l);
	if (l->kind == LISTENER_TALKER)
		link_send_listener(m, l);
}

void
listener_detach(struct listener *l)
{
	struct listener **link;

	if (!l->service)
		return;
	unqueue(l->service->master->listeners, l);
	l->paused &= (uint8_t)~PAUSE_GLOBAL;
	set_held(l, false);
	if (l->watched)
		ev_set_remove(l->service->master->listeners->set, l->fd, l);
	l->watched = false;
	if (l->sent)
		link_drop_listener(l->service->master, l);
	link = &l->service->listeners;
	while (*link != l)
		link = &(*link)->next;
	*link = l->next;
	l->next = NULL;
	l->service = NULL;
}

void
listener_free(struct listeners *all, struct listener *l, bool unlink_path)
{
	if (l->holder != 0)
		sessions_forget_listener(all->master->sessions, l);
	listener_detach(l);
	/* the talker may go on to have the socket; it won't share any more */
	if (l->gave_way && !l->target.path)
		(void)sockopt_share(l->fd, false);
	if (unlink_path && l->fd != -1 && l->target.path && l->target.path[0] == '/')
		(void)unlink(l->target.path);
	fd_close(&l->fd);
	all->table[l->number] = NULL;
	if (l->number < all->first_free)
		all->first_free = l->number;
	all->count--;
	all->ports_stale = true;
	bind_target_fini(&l->target);
	free(l);
}

void
listener_open(struct listener *l, int fd, uint16_t port)
{
	struct service *s = l->service;

	assert(l->fd == -1);
	listener_detach(l);
	l->fd = fd;
	l->port = port;
	listener_attach(l, s);
}

void
listener_lend(struct listener *l, uint32_t slot)
{
	l->holder = slot + 1;
	listener_pause(l, PAUSE_HANDLER);
}

void
listener_return(struct listener *l)
{
	l->holder = 0;
	if (l->fd == -1 || !l->service) {
		listener_resume(l, PAUSE_HANDLER);
		return;
	}
	set_mode(l);		/* the handler may have changed it, too */
	listener_resume(l, PAUSE_HANDLER);
	if (l->kind == LISTENER_TALKER)	/* since a reload */
		link_send_listener(l->service->master, l);
}

void
listeners_return(struct listeners *all, uint32_t slot)
{
	for (uint32_t i = 0; i < all->rows; i++)
		if (all->table[i] && all->table[i]->holder == slot + 1)
			listener_return(all->table[i]);
}

/* A UNIX socket goes on under another name, one that is nobody else's; for the
 * others the kernel lets two of the same user share an address. */
#define ASIDE ".old"

bool
listener_give_way(struct listener *l)
{
	char *aside;

	if (!l->target.path) {
		l->gave_way = sockopt_share(l->fd, true) == 0;
		return l->gave_way;
	}
	if (asprintf(&aside, "%s" ASIDE, l->target.path) < 0)
		return false;
	if (renameat2(AT_FDCWD, l->target.path, AT_FDCWD, aside, RENAME_NOREPLACE) == -1) {
		free(aside);
		return false;
	}
	free(l->target.path);
	l->target.path = aside;
	l->gave_way = true;
	return true;
}

void
listener_take_back(struct listener *l)
{
	char *path = l->target.path;

	l->gave_way = false;
	if (!path) {
		(void)sockopt_share(l->fd, false);
		return;
	}
	path = strndup(path, strlen(path) - strlen(ASIDE));
	if (!path || rename(l->target.path, path) == -1) {
		log_warn("service %s: %s", service_name(l->service), l->target.path);
		free(path);
		return;
	}
	free(l->target.path);
	l->target.path = path;
}

bool
listeners_serve_udp(struct listeners *all, uint16_t port)
{
	if (all->ports_stale) {
		memset(all->udp_ports, 0, sizeof(all->udp_ports));
		for (uint32_t i = 0; i < all->rows; i++) {
			const struct listener *l = all->table[i];

			if (l && l->fd != -1 && l->target.type == SOCK_DGRAM && !l->target.path)
				all->udp_ports[l->port / 8] |= (uint8_t)(1 << l->port % 8);
		}
		all->ports_stale = false;
	}
	return all->udp_ports[port / 8] & 1 << port % 8;
}
