/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The datagram sockets that the master has handed over; talker.  Owns the
 * sockets, tells the master once a second what happened on each (MSG_COUNT),
 * and lets sessions that have grown idle end.  One timer serves all, and only
 * while one of them has something to be done.
 */
#include "config.h"

#include "port.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "addr.h"
#include "dsession.h"
#include "fd.h"
#include "internal.h"
#include "log.h"
#include "packet.h"
#include "peer.h"

enum {
	COUNT_MS = 1000,	/* between two MSG_COUNT of a socket */
	ASK_MS = 5000,		/* an answer that takes longer has been lost */
	DROP_READS = 8,		/* batches of what came before the socket was dropped */
	TICK_MIN_MS = 20,	/* the tick adapts to the shortest idle time */
	TICK_MAX_MS = 250,
};

/* Counters */

static bool
send_count(struct port *p, uint32_t denied, uint32_t reason)
{
	union msg m = { .count = p->count };

	m.count.listener = p->number;
	m.count.denied = denied;
	m.count.reason = reason;
	if (msg_send(p->all->link, &m, MSG_COUNT, -1) < 0)
		return false;
	memset(&p->count, 0, sizeof p->count);
	return true;
}

/* One message, or one for each reason that a verdict gave; what the link
 * doesn't take stays for the next time. */
static void
tell(struct port *p)
{
	bool sent = false;

	for (uint32_t r = 0; r < REASON_MAX; r++) {
		if (p->denied[r] == 0)
			continue;
		if (!send_count(p, p->denied[r], r))
			return;
		p->denied[r] = 0;
		sent = true;
	}
	if (sent || send_count(p, 0, REASON_NONE))
		p->changed = false;
}

/* The tick */

static int64_t
tick_ms(const struct port *p)
{
	int64_t ms = p->n_sessions > 0 && p->idle_ms != 0 ? p->idle_ms / 8 : TICK_MAX_MS;

	return ms < TICK_MIN_MS ? TICK_MIN_MS : ms > TICK_MAX_MS ? TICK_MAX_MS : ms;
}

static void
on_tick(void *arg)
{
	struct ports *all = arg;
	int64_t now_ms = ev_now_ms(all->ev), next_ms = TICK_MAX_MS;
	struct list *next;

	for (struct list *i = all->active.next; i != &all->active; i = next) {
		struct port *p = LIST_OBJECT(i, struct port, active);

		next = i->next;
		port_hold(p);
		dsession_expire(p, now_ms);
		if (p->changed && now_ms >= p->count_due_ms && !p->dropped) {
			tell(p);
			p->count_due_ms = now_ms + COUNT_MS;
		}
		if (!(p->changed && !p->dropped) && (p->n_sessions == 0 || p->idle_ms == 0))
			list_remove(&p->active);
		else if (tick_ms(p) < next_ms)
			next_ms = tick_ms(p);
		port_release(p);
	}
	if (!list_empty(&all->active))
		(void)ev_timer_start(&all->tick, next_ms);	/* port_wake tries again */
}

void
port_wake(struct port *p)
{
	struct ports *all = p->all;

	list_append(&all->active, &p->active);
	/* also sooner than it is due, if this one is in more of a hurry */
	if (!ev_timer_active(&all->tick) || tick_ms(p) < TICK_MAX_MS)
		(void)ev_timer_start(&all->tick, tick_ms(p));	/* the next wake tries again */
}

void
port_changed(struct port *p)
{
	if (p->changed)
		return;
	p->changed = true;
	port_wake(p);
}

/* Asking */

int
port_ask(struct port *p, struct peer *peer)
{
	struct ports *all = p->all;
	union msg m = { .ask = {
		.handle = peers_handle(all->peers, peer),
		.handle_generation = peer->generation,
		.listener = p->number, .peer = peer->addr, .local = peer->local,
	} };

	/* what waits for the link may be the end of other peers' sessions */
	if (msg_link_busy(all->link)) {
		errno = ENOBUFS;
		return -1;
	}
	if (msg_send(all->link, &m, MSG_ASK, -1) < 0)
		return -1;
	peer->until_ms = ev_now_ms(all->ev) + ASK_MS;
	list_append(&p->asking, &peer->order);
	return 0;
}

/* What no answer came about is forgotten, or it would count for ever. */
static void
forget_lost(struct port *p)
{
	int64_t now_ms = ev_now_ms(p->all->ev);

	while (!list_empty(&p->asking)) {
		struct peer *peer = LIST_OBJECT(p->asking.next, struct peer, order);

		if (now_ms < peer->until_ms)
			return;
		p->count.queue += peer->queued;
		port_changed(p);
		peers_remove(p->all->peers, peer);
		port_release(p);	/* it was held for the question */
	}
}

bool
port_full(struct port *p)
{
	uint32_t own = p->dropped ? 0 : 1;

	if (p->internal != INTERNAL_NONE || p->max == 0 || p->uses - own < p->max)
		return false;
	forget_lost(p);
	return p->uses - own >= p->max;
}

bool
port_ask_again(struct port *p, struct peer *peer)
{
	struct peers *peers = p->all->peers;

	if (peer->queued > 0) {
		peers_ask(peers, peer);
		if (port_ask(p, peer) == 0)
			return true;
		p->count.queue += peer->queued;
		port_changed(p);
	}
	peers_remove(peers, peer);
	return false;
}

/* Life */

void
port_hold(struct port *p)
{
	p->uses++;
}

void
port_release(struct port *p)
{
	if (--p->uses > 0)
		return;
	assert(p->dropped && p->n_sessions == 0);
	(void)ev_io_set(&p->io, 0);	/* stopping does not fail */
	fd_close(&p->fd);
	list_remove(&p->place);
	list_remove(&p->active);
	free(p);
}

static void
drop(struct ports *all, uint32_t number, int reads)
{
	struct port *p = number < all->room ? all->at[number] : NULL;

	if (p == NULL)
		return;
	if (p->changed)
		tell(p);
	all->at[number] = NULL;
	p->dropped = true;
	list_append(&all->dropped, &p->place);
	peers_remove_verdicts(all->peers, p);
	while (reads-- > 0)	/* it is for those who serve that address now */
		all->readable(p->fd, 0, p);
	port_release(p);
}

void
ports_drop(struct ports *all, uint32_t number)
{
	drop(all, number, DROP_READS);
}

/* Who is still asked about has it open until the answer comes. */
void
ports_leave(struct ports *all, uint32_t number)
{
	struct port *p = number < all->room ? all->at[number] : NULL;

	if (p == NULL)
		return;
	(void)ev_io_set(&p->io, 0);	/* stopping does not fail */
	port_hold(p);
	drop(all, number, 0);
	dsession_end_all(p);
	port_release(p);
}

/* Room for the number, in steps of double size. */
static int
make_room(struct ports *all, uint32_t number)
{
	uint32_t room = all->room == 0 ? 16 : all->room;
	struct port **at;

	while (room <= number)
		room *= 2;
	if (room == all->room)
		return 0;
	at = realloc(all->at, room * sizeof *at);
	if (at == NULL)
		return -1;
	memset(at + all->room, 0, (room - all->room) * sizeof *at);
	all->at = at;
	all->room = room;
	return 0;
}

static int
make_shared(struct ports *all)
{
	if (all->packets == NULL)
		all->packets = packets_new();
	if (all->peers == NULL)
		all->peers = peers_new();
	return all->packets != NULL && all->peers != NULL ? 0 : -1;
}

static bool
makes_sense(const struct msg_dgram *m, int fd)
{
	int type = 0, domain = 0;
	socklen_t type_len = sizeof type, domain_len = sizeof domain;

	if (m->listener >= PORTS_MAX || m->once > 1 ||
	    (m->internal != INTERNAL_NONE && !internal_serves(m->internal)))
		return false;
	if (m->family != AF_INET && m->family != AF_INET6 &&
	    (m->family != AF_UNIX || m->internal == INTERNAL_NONE))
		return false;		/* a UNIX peer has no address to send to */
	if (fd < 0)
		return true;
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) == 0 &&
	       type == SOCK_DGRAM && domain == (int)m->family;
}

static uint64_t
cookie_of(int fd)
{
	uint64_t cookie = 0;
#ifdef SO_COOKIE
	socklen_t len = sizeof cookie;

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return 0;
#else
	(void)fd;
#endif
	return cookie;
}

static struct addr
bound_to(int fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof ss;
	struct addr a;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
	    addr_from_sockaddr((struct sockaddr *)&ss, len, &a) < 0 || a.family == AF_UNIX)
		return (struct addr){ 0 };
	return a;
}

struct port *
ports_heir(const struct port *dropped, const struct addr *local)
{
	static const uint8_t any[16];

	for (uint32_t i = 0; i < dropped->all->room; i++) {
		struct port *p = dropped->all->at[i];

		if (p != NULL && p->family == dropped->family && p->bound.family != 0 &&
		    p->local_port == dropped->local_port &&
		    (memcmp(p->bound.ip, any, sizeof any) == 0 ||
		     memcmp(p->bound.ip, local->ip, sizeof any) == 0))
			return p;
	}
	return NULL;
}

/* The same socket, dropped but alive, or a new object. */
static struct port *
find_or_make(struct ports *all, uint64_t cookie)
{
	struct port *p;

	for (struct list *i = all->dropped.next; cookie != 0 && i != &all->dropped; i = i->next) {
		p = LIST_OBJECT(i, struct port, place);
		if (p->cookie == cookie) {
			list_remove(&p->place);
			(void)ev_io_set(&p->io, 0);	/* stopping does not fail */
			fd_close(&p->fd);
			return p;
		}
	}
	p = calloc(1, sizeof *p);
	if (p == NULL)
		return NULL;
	p->all = all;
	p->cookie = cookie;
	list_init(&p->sessions);
	list_init(&p->asking);
	list_init(&p->place);
	list_init(&p->active);
	return p;
}

int
ports_add(struct ports *all, const struct msg_dgram *m, int fd)
{
	struct port *p = NULL;

	if (!makes_sense(m, fd)) {
		fd_close(&fd);
		return -1;
	}
	drop(all, m->listener, 0);
	if (fd >= 0 && make_room(all, m->listener) == 0 && make_shared(all) == 0)
		p = find_or_make(all, cookie_of(fd));
	if (p == NULL) {
		log_warnx("talker: listener %u: %s", m->listener,
			  strerror(fd < 0 ? EMFILE : ENOMEM));
		fd_close(&fd);
		return 0;
	}
	p->fd = fd;
	p->number = m->listener;
	p->internal = (uint8_t)m->internal;
	p->family = (uint16_t)m->family;
	p->bound = bound_to(fd);
	p->local_port = p->bound.port;
	p->once = m->once;
	p->idle_ms = m->idle_ms;
	p->max = m->max;
	p->dropped = false;
	p->changed = false;
	memset(&p->count, 0, sizeof p->count);
	memset(p->denied, 0, sizeof p->denied);
	port_hold(p);
	all->at[p->number] = p;
	ev_io_init(all->ev, &p->io, fd, all->readable, p);
	if (ev_io_set(&p->io, EV_IN) < 0)
		log_warn("talker: listener %u", m->listener);
	return 0;
}

void
ports_init(struct ports *all, struct ev *ev, struct msg_link *link, struct slots *slots,
	   const struct scratch *scratch, void (*readable)(int fd, short what, void *port))
{
	*all = (struct ports){ .ev = ev, .link = link, .slots = slots, .scratch = scratch,
			       .readable = readable };
	list_init(&all->dropped);
	list_init(&all->active);
	ev_timer_init(ev, &all->tick, on_tick, all);
}

void
ports_fini(struct ports *all)
{
	/* peers that are still asked about hold their port */
	for (uint32_t i = 0; i < all->room; i++)
		drop(all, i, 0);	/* what is in it is the next talker's */
	while (!list_empty(&all->dropped)) {
		struct port *p = LIST_OBJECT(all->dropped.next, struct port, place);

		p->uses = 1;
		port_release(p);
	}
	ev_timer_stop(&all->tick);
	peers_free(all->peers);
	packets_free(all->packets);
	free(all->at);
}
