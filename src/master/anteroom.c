/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The anteroom.  Runs in the master: accept.c sends in, link.c tells what the
 * talker found, room.c gets who is through.  A connection goes through its
 * steps in the order of their bits; each has one stage, one deadline and one
 * thing that ends it.  The master keeps the connection all the time, the talker
 * has copies, and reads nothing behind what it is to read.
 */
#include "config.h"

#include "anteroom.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deliver.h"
#include "ev_set.h"
#include "events.h"
#include "fd.h"
#include "gate.h"
#include "judge.h"
#include "link.h"
#include "listener.h"
#include "master.h"
#include "room.h"
#include "service.h"
#include "session.h"

#define MUX_MS 10000		/* for a line of tcpmux */
#define GREET_MS 10000		/* for a banner */
#define SPARE_MS 5000		/* what the talker may take longer, or another one */
#define CLOSE_WAIT 8		/* netinet/tcp.h has it, but not all of struct tcp_info */

enum {				/* steps */
	STEP_PROXY = 1,		/* a PROXY header is read */
	STEP_MUX = 2,		/* a line of tcpmux is read */
	STEP_PLUS = 4,		/* tcpmux says yes */
	STEP_BANNER = 8,	/* banner.open is written */
	STEP_FIRST = 16,	/* the first byte is waited for */
	STEP_MUXED = 128,	/* no step: it has come by tcpmux */
};

struct anteroom {
	struct ev_set *first;	/* those in STAGE_FIRST */
};

static const char plus[] = "+Go\r\n";

static void on_first_byte(void *item);
static void go_on(struct master *m, struct session *x);

struct anteroom *
anteroom_new(struct master *m)
{
	struct anteroom *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->first = ev_set_new(m->ev, on_first_byte);
	if (!a->first) {
		free(a);
		return NULL;
	}
	return a;
}

void
anteroom_free(struct anteroom *a)
{
	if (!a)
		return;
	ev_set_free(a->first);
	free(a);
}

/* Who has to come here */

static uint8_t
steps_of(const struct conf_service *c)
{
	uint8_t steps = 0;

	if (c->internal == INTERNAL_TCPMUX)
		return STEP_MUX;
	if (c->common->banner->open_bytes)
		steps |= STEP_BANNER;
	if (c->common->timeouts->first_byte_ms > 0)
		steps |= STEP_FIRST;
	return steps;
}

bool
anteroom_wanted(const struct conf_service *c)
{
	return steps_of(c) != 0;
}

bool
anteroom_needs_talker(const struct conf_service *c)
{
	return c->internal != INTERNAL_NONE || c->common->proxy_gate ||
		c->common->banner->open_bytes || c->common->timeouts->linger_ms > 0;
}

bool
anteroom_is_proxy(const struct service *s, const struct addr *peer)
{
	const struct gate *g = s->conf->common->proxy_gate;

	return g && gate_judge(g, peer, 0, NULL, NULL) == REASON_NONE;
}

/* Whether its service is still what it was accepted for; since a reload tcpmux may
 * have become another internal service, or another one tcpmux. */
bool
anteroom_fits(const struct master *m, const struct session *x)
{
	const struct service *s = x->service;

	return service_takes(s, session_row(m->sessions, x)->kind) && !s->retiring &&
		(s->conf->internal == INTERNAL_TCPMUX) == ((x->steps & STEP_MUX) != 0);
}

/* Refusing */

static size_t
refuse_text(const struct service *s, bool tcpmux, char buf[PROTO_TEXT])
{
	const struct conf_bytes *b = s->conf ? s->conf->common->banner->refuse_bytes : NULL;
	size_t n = 0;

	if (tcpmux)
		buf[n++] = '-';
	if (b) {
		size_t len = b->len < PROTO_TEXT - n ? b->len : PROTO_TEXT - n;

		memcpy(buf + n, b->bytes, len);
		n += len;
	} else if (tcpmux) {
		memcpy(buf + n, "Refused\r\n", 9);
		n += 9;
	}
	return n;
}

void
anteroom_refuse(struct master *m, struct service *s, int fd, bool tcpmux)
{
	char text[PROTO_TEXT];
	size_t len = refuse_text(s, tcpmux, text);

	if (len > 0)
		link_send_refusal(m, fd, text, len);
	(void)close(fd);
}

static void
give_up(struct master *m, struct session *x)
{
	if (x->talker)
		(void)link_close(m, x);	/* cancelled when it has let go of it */
	else
		session_cancel(m->sessions, x);
}

static bool
has_unread(int fd)
{
	int n = 0;

	return ioctl(fd, FIONREAD, &n) == 0 && n > 0;
}

/* What it has said already would turn the end into a reset: who has waited is not
 * treated so, whether or not there is something to be told. */
static void
tell_refused(struct master *m, struct session *x)
{
	char text[PROTO_TEXT];
	size_t len = refuse_text(x->service, x->steps & STEP_MUXED, text);

	if (len > 0 || has_unread(x->fd))
		link_send_refusal(m, x->fd, text, len);
	fd_close(&x->fd);
}

static void
refuse(struct master *m, struct session *x, enum reason why)
{
	anteroom_leave(m, x);
	events_refuse(m, x->service, &session_row(m->sessions, x)->peer, why);
	if (x->fd != -1)
		tell_refused(m, x);
	give_up(m, x);
}

void
anteroom_turn_away(struct master *m, struct session *x, enum reason why)
{
	refuse(m, x, why);
}

/* Gone before it had said anything: nobody is left to be told, and port scans
 * and health checks would fill the log. */
static void
gone(struct master *m, struct session *x, enum reason why)
{
	service_counters(x->service)->refused[why]++;
	session_cancel(m->sessions, x);
}

/* Steps */

/* The talker is asked; if it can't be now, then later, or the next one. */
static void
ask(struct master *m, struct session *x, enum session_stage stage, int sent, uint32_t ms)
{
	x->stage = (uint8_t)stage;
	if (sent == -1 && errno != EAGAIN) {
		refuse(m, x, REASON_TALKER);
		return;
	}
	if (sent == 0)
		session_talked(m->sessions, x);
	if (!ev_timer_active(&x->timer))
		(void)ev_timer_start(&x->timer, (int64_t)ms + SPARE_MS);
}

/* How many of the peer's bytes were read out of a connection so far; -1: the kernel
 * doesn't tell. */
static int64_t
bytes_read(int fd)
{
	struct tcp_info before = { 0 }, after = { 0 };
	socklen_t len;
	int unread;

	do {
		len = sizeof(before);
		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &before, &len) == -1 ||
		    ioctl(fd, FIONREAD, &unread) == -1)
			return -1;
		len = sizeof(after);
		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &after, &len) == -1)
			return -1;
	} while (after.tcpi_bytes_received != before.tcpi_bytes_received);
	/* its end counts as one there */
	return (int64_t)after.tcpi_bytes_received - (after.tcpi_state == CLOSE_WAIT) - unread;
}

static void
ask_prefix(struct master *m, struct session *x, uint32_t what, uint32_t ms)
{
	x->bytes_read = bytes_read(x->fd);
	ask(m, x, STAGE_PREFIX, link_send_prefix(m, x, what, ms), ms);
}

static void
greet(struct master *m, struct session *x, const char *text, size_t len)
{
	ask(m, x, STAGE_GREET, link_send_greeting(m, x, text, len, GREET_MS), GREET_MS);
}

static void
wait_for_first_byte(struct master *m, struct session *x)
{
	x->stage = STAGE_FIRST;
	if (ev_set_add(m->anteroom->first, x->fd, x) == -1) {
		x->stage = STAGE_NONE;
		refuse(m, x, REASON_SESSIONS);
		return;
	}
	(void)ev_timer_start(&x->timer, x->service->conf->common->timeouts->first_byte_ms);
}

static void
find_room(struct master *m, struct session *x)
{
	enum reason why = room_find(m, x);

	if (why != REASON_NONE)
		refuse(m, x, why);
}

bool
anteroom_check(struct master *m, struct session *x)
{
	if (anteroom_fits(m, x))
		return true;
	refuse(m, x, REASON_SPAWN);
	return false;
}

static void
go_on(struct master *m, struct session *x)
{
	const struct conf_common *c;

	x->stage = STAGE_NONE;
	if (m->stopping) {
		session_cancel(m->sessions, x);
		return;
	}
	if (!anteroom_check(m, x))
		return;
	c = x->service->conf->common;
	if (x->steps & STEP_PROXY)
		ask_prefix(m, x, PREFIX_PROXY, c->proxy->timeout_ms);
	else if (x->steps & STEP_MUX && x->counted)
		ask_prefix(m, x, PREFIX_TCPMUX, MUX_MS);
	else if (x->steps & STEP_PLUS)
		greet(m, x, plus, sizeof(plus) - 1);
	else if (x->steps & STEP_BANNER && c->banner->open_bytes)
		greet(m, x, c->banner->open_bytes->bytes, c->banner->open_bytes->len);
	else if (x->steps & STEP_FIRST && c->timeouts->first_byte_ms > 0)
		wait_for_first_byte(m, x);
	else
		find_room(m, x);
}

/* It is through a step. */
static void
passed(struct master *m, struct session *x, unsigned step)
{
	x->steps &= (uint8_t)~step;
	ev_timer_stop(&x->timer);
	go_on(m, x);
}

static void
on_first_byte(void *item)
{
	struct session *x = item;
	struct master *m = x->service->master;
	int n = 0;

	anteroom_leave(m, x);
	/* readable, and nothing to read: it is gone, or says no more */
	if (ioctl(x->fd, FIONREAD, &n) == 0 && n == 0) {
		gone(m, x, REASON_FIRST_BYTE);
		return;
	}
	passed(m, x, STEP_FIRST);
}

void
anteroom_enter(struct master *m, struct listener *l, int fd, const struct addr *peer,
	       enum board_kind kind, bool proxied)
{
	struct addr local = listener_local(l, fd);
	uint32_t slot = session_new_waiting(m->sessions, l->service, kind, peer, &local);
	struct session *x;

	if (slot == SESSION_NONE) {
		events_refuse(m, l->service, peer, REASON_SESSIONS);
		anteroom_refuse(m, l->service, fd, false);
		return;
	}
	x = session_at(m->sessions, slot);
	x->from = l->number;
	x->fd = fd_raise(fd);	/* it may stay for long */
	x->steps = steps_of(l->service->conf);
	if (proxied) {
		x->via = *peer;
		x->steps |= STEP_PROXY;
	} else {
		x->rated = true;
		session_count_source(m->sessions, x);
	}
	/* to read its line is to serve it; of a proxy's the header comes first */
	if (x->steps & STEP_MUX && !proxied)
		session_count(m->sessions, x);
	go_on(m, x);
}

void
anteroom_has_room(struct master *m, struct session *x)
{
	if (x->steps & STEP_MUX)
		go_on(m, x);
	else
		deliver_waiting(m, x);
}

/* The judge, for the address or the service that is known only now.  False: it
 * was refused. */
static bool
judge_now(struct master *m, struct session *x)
{
	struct service *s = x->service;
	const struct board_session *row = session_row(m->sessions, x);
	enum reason why = judge_source(m, s, &row->peer);

	if (why != REASON_NONE) {
		refuse(m, x, why);
		return false;
	}
	why = judge_service(m, s, row->kind, true);
	if (why != REASON_NONE && !room_queues(s, why)) {
		refuse(m, x, why);
		return false;
	}
	judge_take_source(m, s, &row->peer);
	session_count_source(m->sessions, x);
	if (why == REASON_NONE) {
		judge_take_service(m, s);
		x->rated = true;
	}
	return true;
}

/* Reset, with nothing left to read: nobody would be served.  A proxy ends its health
 * checks so, as soon as it has written its header. */
static bool
is_gone(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = 0;

	return poll(&p, 1, 0) == 1 && p.revents & POLLHUP && ioctl(fd, FIONREAD, &n) == 0 &&
		n == 0;
}

static void
on_proxy(struct master *m, struct session *x, const struct msg_passed *p)
{
	struct board_session *row = session_row(m->sessions, x);

	switch (p->result) {
	case PASSED_OK:
		if (p->peer.family != AF_INET && p->peer.family != AF_INET6) {
			refuse(m, x, REASON_PROXY);
			return;
		}
		row->peer = p->peer;
		row->local = p->local;
		break;
	case PASSED_OWN:
		x->via = (struct addr){ 0 };
		break;
	case PASSED_EOF:
		gone(m, x, REASON_PROXY);
		return;
	case PASSED_ERROR:
		refuse(m, x, REASON_TALKER);
		return;
	default:
		refuse(m, x, REASON_PROXY);
		return;
	}
	if (is_gone(x->fd))
		gone(m, x, REASON_PROXY);
	else if (judge_now(m, x))
		passed(m, x, STEP_PROXY);
}

/* The service that was asked for; NULL: it can't be had that way any more. */
static struct service *
mux_target(struct master *m, uint32_t row)
{
	struct service *s = services_at(m->services, row);

	if (!s || !s->conf || !s->conf->common->tcpmux || s->conf->common->wait ||
	    s->conf->internal == INTERNAL_TCPMUX)
		return NULL;
	return s;
}

static void
on_mux(struct master *m, struct session *x, const struct msg_passed *p)
{
	struct service *s = p->result == PASSED_OK ? mux_target(m, p->service) : NULL;

	if (p->result == PASSED_DONE) {		/* "help" */
		session_cancel(m->sessions, x);
		return;
	}
	if (p->result == PASSED_EOF) {
		gone(m, x, REASON_TCPMUX);
		return;
	}
	if (!s) {
		x->steps |= p->result == PASSED_OK ? STEP_MUXED : 0;	/* not told yet */
		refuse(m, x, p->result == PASSED_ERROR ? REASON_TALKER : REASON_TCPMUX);
		return;
	}
	session_move(m->sessions, x, s, service_kind(s->conf));
	service_counters(s)->accepted++;
	x->steps = (uint8_t)(STEP_MUXED | steps_of(s->conf));
	if (s->conf->common->tcpmux[0] == '+')
		x->steps |= STEP_PLUS;
	(void)fd_set_nonblock(x->fd, s->conf->internal != INTERNAL_NONE);
	if (judge_now(m, x))
		passed(m, x, STEP_MUX);
}

void
anteroom_passed(struct master *m, const struct msg_passed *p)
{
	struct session *x = session_find(m->sessions, p->slot, p->generation);
	enum session_stage stage;

	if (!x || !x->talker || (x->stage != STAGE_PREFIX && x->stage != STAGE_GREET) ||
	    p->result >= PASSED_MAX)
		return;
	stage = x->stage;
	session_returned(m->sessions, x);
	if (x->fd == -1 || x->closing)	/* refused or ended meanwhile */
		session_cancel(m->sessions, x);
	else if (!anteroom_check(m, x))
		return;
	else if (stage == STAGE_GREET && p->result == PASSED_OK)
		passed(m, x, x->steps & STEP_PLUS ? STEP_PLUS : STEP_BANNER);
	else if (stage == STAGE_GREET)
		session_cancel(m->sessions, x);		/* it did not wait for that */
	else if (x->steps & STEP_PROXY)
		on_proxy(m, x, p);
	else
		on_mux(m, x, p);
}

void
anteroom_again(struct master *m, struct session *x)
{
	/* the rest of a line may be one of another meaning, and what follows a header
	 * is the client's, not the proxy's */
	if (x->stage == STAGE_PREFIX && bytes_read(x->fd) != x->bytes_read)
		refuse(m, x, REASON_TALKER);
	else
		go_on(m, x);
}

/* While their service still has its old settings, if it is to go. */
void
anteroom_reloaded(struct master *m)
{
	room_reloaded(m);
	for (uint32_t i = 0; i < sessions_rows(m->sessions); i++) {
		struct session *x = session_at(m->sessions, i);

		if (x && x->fd != -1)
			(void)anteroom_check(m, x);
	}
}

void
anteroom_late(struct master *m, struct session *x)
{
	if (x->stage == STAGE_FIRST)
		refuse(m, x, REASON_FIRST_BYTE);
	else if (x->stage == STAGE_PREFIX || x->stage == STAGE_GREET)
		refuse(m, x, REASON_TALKER);
}

void
anteroom_leave(struct master *m, struct session *x)
{
	if (x->stage == STAGE_FIRST) {
		ev_set_remove(m->anteroom->first, x->fd, x);
		x->stage = STAGE_NONE;
	} else if (x->stage == STAGE_ROOM) {
		room_leave(m, x);
	}
}
