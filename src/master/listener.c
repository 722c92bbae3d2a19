/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Listeners: which sockets there are, whose they are, and whether they are
 * polled.  Runs in the master; what comes at them is taken by accept.c.
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

#include "accept.h"
#include "anteroom.h"
#include "ev_set.h"
#include "fd.h"
#include "link.h"
#include "master.h"
#include "mend.h"
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
	struct listener *ready;		/* of those to be served at the end of the turn */
	uint32_t quick;			/* how many of them need no process */
	int held;			/* how many wait for the end of a handler */
	bool ports_stale;
	uint8_t udp_ports[65536 / 8];	/* bits */
};

static void
on_readable(void *item)
{
	accept_from(item);
}

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

bool
listener_polled(const struct listener *l)
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
	bool watch = listener_polled(l);

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
	all->quick += l->kind == LISTENER_INTERNAL;
	l->waiting = NULL;
	*all->tail = l;
	all->tail = &l->waiting;
}

static void
take_out(struct listeners *all, struct listener **link)
{
	struct listener *l = *link;

	*link = l->waiting;
	if (!*link)
		all->tail = link;
	l->queued = false;
	all->quick -= l->kind == LISTENER_INTERNAL;
}

static void
unqueue(struct listeners *all, struct listener *l)
{
	struct listener **link = &all->head;

	if (!l->queued)
		return;
	while (*link != l)
		link = &(*link)->waiting;
	take_out(all, link);
}

static void
not_ready(struct listeners *all, struct listener *l)
{
	struct listener **link = &all->ready;

	if (!l->at_once)
		return;
	while (*link != l)
		link = &(*link)->ready;
	*link = l->ready;
	l->at_once = false;
}

void
listeners_admit(struct listeners *all, uint32_t n)
{
	struct listener **link = &all->head, *l;

	while ((l = *link) && (n > 0 || all->quick > 0)) {
		bool quick = l->kind == LISTENER_INTERNAL;

		if (!quick && n == 0) {
			link = &l->waiting;
			continue;
		}
		n -= !quick;
		take_out(all, link);
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

/* Its socket is there, and whose it is. */
static void
begin(struct listener *l)
{
	if (l->fd == -1)
		return;
	if (l->holder == 0)
		set_mode(l);
	update(l);
	if (l->kind == LISTENER_TALKER)
		link_send_listener(l->service->master, l);
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
	begin(l);
}

void
listener_detach(struct listener *l)
{
	struct listener **link;

	if (!l->service)
		return;
	unqueue(l->service->master->listeners, l);
	not_ready(l->service->master->listeners, l);
	l->paused &= (uint8_t)~PAUSE_GLOBAL;
	set_held(l, false);
	if (l->watched)
		ev_set_remove(l->service->master->listeners->set, l->fd, l);
	l->watched = false;
	link_drop_listener(l->service->master, l, false);
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
	if (l->holder != 0 || l->sessions > 0)
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
	assert(l->fd == -1);
	l->fd = fd;
	l->port = port;
	l->lent = false;
	l->service->master->listeners->ports_stale = true;
	begin(l);
}

/* It keeps its place among those of its service: pass = listen-fds tells handlers
 * which is which by that. */
void
listener_close(struct listener *l)
{
	struct master *m = l->service->master;

	if (l->watched)
		ev_set_remove(m->listeners->set, l->fd, l);
	l->watched = false;
	link_drop_listener(m, l, false);
	m->listeners->ports_stale = true;
	fd_close(&l->fd);
}

void
listener_lend(struct listener *l, uint32_t slot)
{
	l->holder = slot + 1;
	l->lent = true;
	listener_pause(l, PAUSE_HANDLER);
}

void
listener_return(struct listener *l)
{
	l->holder = 0;
	mend_listener(l);
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
listener_return_ready(struct listener *l)
{
	struct listeners *all = l->service->master->listeners;

	l->holder = 0;
	mend_listener(l);
	if (l->fd != -1)
		set_mode(l);
	l->paused &= (uint8_t)~PAUSE_HANDLER;
	if (!listener_polled(l)) {
		update(l);
	} else if (!l->at_once) {
		l->at_once = true;
		l->ready = all->ready;
		all->ready = l;
	}
}

/* Who waits for the same room isn't passed over: then it is polled as all others
 * (a service where another socket waits is paused as a whole, so this one is not
 * ready).  None is left for the next turn, for which nothing may wake us. */
void
listeners_serve_ready(struct listeners *all)
{
	struct listener *l;

	while ((l = all->ready)) {
		all->ready = l->ready;
		l->at_once = false;
		if (listener_polled(l) && !listeners_waiting(all))
			accept_from(l);
		update(l);
	}
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
