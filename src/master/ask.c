/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the talker asks: whether the sender of a datagram may be served, and of a
 * service with handlers for the handler's session.  Runs in the master, called by
 * link.c.
 */
#include "config.h"

#include "ask.h"

#include <unistd.h>

#include "deliver.h"
#include "events.h"
#include "judge.h"
#include "link.h"
#include "listener.h"
#include "master.h"
#include "reap.h"
#include "service.h"
#include "session.h"

#define SERVE_KEEP_MS 5000	/* how long the talker may remember a "yes" */
#define DENY_KEEP_MS 1000	/* and a "no" */
#define BACKOFF_KEEP_MS 200	/* and one that ends as soon as something is mended */

static void
answer(struct master *m, const struct msg_ask *ask, enum reason why, uint32_t keep_ms,
       uint32_t budget)
{
	union msg msg = { 0 };

	msg.verdict.handle = ask->handle;
	msg.verdict.handle_generation = ask->handle_generation;
	msg.verdict.reason = why;
	msg.verdict.keep_ms = keep_ms;
	msg.verdict.budget = budget;
	(void)link_tell(m, &msg, MSG_VERDICT, -1);
}

/* An answer to a port that answers by itself could go to and fro for ever. */
static bool
could_loop(struct master *m, const struct addr *peer)
{
	if (peer->family == AF_UNIX)
		return false;
	return peer->port < 1024 || listeners_serve_udp(m->listeners, peer->port);
}

static void
ask_session(struct master *m, struct listener *l, const struct msg_ask *ask)
{
	union msg msg = { 0 };
	struct session *x = NULL;
	int fd = -1;
	enum reason why = deliver_datagram(m, l, &ask->peer, &ask->local, &x, &fd);

	if (why != REASON_NONE) {
		/* a failed start has been logged as such */
		service_counters(l->service)->refused[why]++;
		answer(m, ask, why, service_in_backoff(l->service) ?
		       BACKOFF_KEEP_MS : DENY_KEEP_MS, 0);
		return;
	}
	msg.session.handle = ask->handle;
	msg.session.handle_generation = ask->handle_generation;
	msg.session.slot = session_slot(m->sessions, x);
	msg.session.generation = session_row(m->sessions, x)->generation;
	/* if it can't be sent, the handler finds its socket closed and ends */
	if (link_tell(m, &msg, MSG_SESSION, fd) == 0)
		session_talked(m->sessions, x);
	(void)close(fd);
}

/* A "no" for want of a token is one until there is a token. */
static uint32_t
deny_ms(const struct master *m, const struct service *s, const struct addr *peer, enum reason why)
{
	uint64_t ms = DENY_KEEP_MS;

	if (why == REASON_SOURCE_RATE)
		ms = judge_wait_ms(m, s, peer);
	else if (why == REASON_RATE)
		ms = judge_wait_ms(m, s, NULL);
	else if (why == REASON_BACKOFF || why == REASON_SESSION_MAX)
		ms = BACKOFF_KEEP_MS;
	return ms < DENY_KEEP_MS ? (uint32_t)ms : DENY_KEEP_MS;
}

/* Of a service with a rate each datagram is judged by itself. */
static uint32_t
is_rated(const struct service *s)
{
	const struct conf_limits *l = s->conf->common->limits;

	return l->rate.n > 0 || l->rate_per_source.n > 0;
}

static enum reason
judge_ask(const struct master *m, const struct listener *l, const struct addr *peer)
{
	bool internal = l->service->conf->internal != INTERNAL_NONE;
	enum reason why = judge_peer(m, l->service, internal ? BOARD_INTERNAL : BOARD_DGRAM, peer);

	return why == REASON_NONE && !internal ? judge_listener(l) : why;
}

void
ask_judge(struct master *m, const struct msg_ask *ask)
{
	struct listener *l = listeners_at(m->listeners, ask->listener);
	bool internal;
	enum reason why;

	if (!l || !l->sent || !l->service || m->stopping) {
		answer(m, ask, REASON_TALKER, DENY_KEEP_MS, 0);
		return;
	}
	internal = l->service->conf->internal != INTERNAL_NONE;
	service_counters(l->service)->accepted++;
	if (internal && could_loop(m, &ask->peer))
		why = REASON_LOOP;
	else if (!internal && m->to_start > 0)
		why = REASON_SPAWN;
	else
		why = judge_ask(m, l, &ask->peer);
	if (why != REASON_NONE && why != REASON_LOOP && reap_children(m) > 0)
		why = judge_ask(m, l, &ask->peer);
	if (why != REASON_NONE) {
		events_refuse(m, l->service, &ask->peer, why);
		answer(m, ask, why, deny_ms(m, l->service, &ask->peer, why), 0);
		return;
	}
	judge_take_source(m, l->service, &ask->peer);
	judge_take_service(m, l->service);
	if (internal)
		answer(m, ask, REASON_NONE, SERVE_KEEP_MS, is_rated(l->service));
	else
		ask_session(m, l, ask);
}
