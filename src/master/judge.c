/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The judge.  Runs in the master; asked by accept.c and anteroom.c for
 * connections and by ask.c and deliver.c for datagrams' senders.  Decides and
 * takes tokens when told to; it counts nothing and logs nothing.
 */
#include "config.h"

#include "judge.h"

#include <time.h>

#include "gate.h"
#include "listener.h"
#include "load.h"
#include "master.h"
#include "service.h"
#include "session.h"
#include "srctab.h"

#define ENDING 16		/* handlers beside session.max that may just be exiting */
#define TALKER_SPARE 320	/* its descriptors that are no session's */

/* Whether this kind of session has a process. */
static bool
needs_process(enum board_kind kind)
{
	return kind != BOARD_INTERNAL;
}

static bool
instances_full(const struct service *s)
{
	uint32_t max = s->conf->common->limits->instances;

	return max > 0 && s->busy >= max;
}

static bool
processes_full(const struct master *m, enum board_kind kind)
{
	return needs_process(kind) && m->conf->max_processes > 0 &&
		sessions_processes(m->sessions) >= m->conf->max_processes;
}

/* Each of its sessions costs the talker a descriptor, and it has no more than
 * we have: one that can't arrive there had better wait. */
static bool
talker_full(const struct master *m, enum board_kind kind)
{
	rlim_t spare = TALKER_SPARE;

	if (kind != BOARD_INTERNAL && kind != BOARD_DGRAM)
		return false;
	if (spare > m->fd_limit / 2)
		spare = m->fd_limit / 2;
	return sessions_talked(m->sessions) >= m->fd_limit - spare;
}

static const struct limit_bucket *
bucket_of(const struct service *s)
{
	static const struct limit_bucket full;

	return s->live ? &s->live->bucket : &full;
}

static bool
rate_empty(const struct master *m, const struct service *s)
{
	const struct limit_rate *rate = &s->conf->common->limits->rate;

	return rate->n > 0 &&
		limit_wait_ms(bucket_of(s), rate, (uint64_t)ev_now_ms(m->ev)) > 0;
}

/* A wait service's socket can't be refused, only left alone. */
static bool
queues(const struct service *s, enum board_kind kind)
{
	return s->conf->common->limits->when_full == CONF_QUEUE || kind == BOARD_WAIT;
}

enum judge_room
judge_room(const struct master *m, const struct service *s, enum board_kind kind)
{
	bool queue = queues(s, kind);

	/* who was accepted and waits for room comes before who was not */
	if (service_in_backoff(s) || s->waiting > 0 || (queue && instances_full(s)))
		return JUDGE_WAIT_SERVICE;
	if (queue && rate_empty(m, s))
		return JUDGE_WAIT_RATE;
	/* what can't be started now waits for the next turn in any case */
	if (sessions_full(m->sessions) || talker_full(m, kind) ||
	    (needs_process(kind) && m->to_start > 0) || (queue && processes_full(m, kind)))
		return JUDGE_WAIT_GLOBAL;
	return JUDGE_ACCEPT;
}

enum reason
judge_room_reason(const struct master *m, const struct service *s, enum board_kind kind)
{
	if (service_in_backoff(s) || !queues(s, kind))
		return REASON_NONE;
	if (instances_full(s))
		/* of a wait service that is how it is meant to be */
		return kind == BOARD_WAIT ? REASON_NONE : REASON_INSTANCES;
	if (rate_empty(m, s))
		return REASON_RATE;
	return processes_full(m, kind) ? REASON_PROCESSES : REASON_NONE;
}

static enum reason
judge_gate(const struct master *m, const struct gate *g, const struct addr *peer)
{
	struct timespec now = { 0 };

	if (!g)
		return REASON_NONE;
	if (g->hours)
		(void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return gate_judge(g, peer, now.tv_sec,
			  gate_wants_load(g) ? load_get(m->load, ev_now_ms(m->ev)) : NULL, NULL);
}

static bool
source_full(const struct master *m, const struct service *s, const struct addr *peer)
{
	const struct conf_limits *l = s->conf->common->limits;
	struct addr key;

	if (l->per_source == 0 || peer->family == 0)
		return false;
	key = srctab_key(peer, l->source_prefix4, l->source_prefix6);
	return srctab_count(m->sources, s->row, &key) >= l->per_source;
}

enum reason
judge_source(const struct master *m, const struct service *s, const struct addr *peer)
{
	const struct conf_limits *l = s->conf->common->limits;
	enum reason why = judge_gate(m, s->conf->common->gate, peer);
	struct addr key;

	if (why != REASON_NONE || peer->family == 0 ||
	    (l->per_source == 0 && l->rate_per_source.n == 0))
		return why;
	if (source_full(m, s, peer))
		return REASON_SOURCE_INSTANCES;
	key = srctab_key(peer, l->source_prefix4, l->source_prefix6);
	if (l->rate_per_source.n > 0 &&
	    srctab_wait_ms(m->sources, s->row, &key, &l->rate_per_source,
			   (uint64_t)ev_now_ms(m->ev)) > 0)
		return REASON_SOURCE_RATE;
	return REASON_NONE;
}

enum reason
judge_service(const struct master *m, const struct service *s, enum board_kind kind, bool rate)
{
	if (rate && rate_empty(m, s))
		return REASON_RATE;
	if (instances_full(s))
		return REASON_INSTANCES;
	if (processes_full(m, kind))
		return REASON_PROCESSES;
	return service_in_backoff(s) ? REASON_BACKOFF : REASON_NONE;
}

enum reason
judge_peer(const struct master *m, const struct service *s, enum board_kind kind,
	   const struct addr *peer)
{
	enum reason why = judge_source(m, s, peer);

	if (why == REASON_NONE)
		why = judge_service(m, s, kind, true);
	if (why != REASON_NONE)
		return why;
	/* an internal service answers a datagram by the socket it has */
	if (sessions_full(m->sessions) || (kind == BOARD_DGRAM && talker_full(m, kind)))
		return REASON_SESSIONS;
	return REASON_NONE;
}

enum reason
judge_listener(const struct listener *l)
{
	uint32_t max = l->service->conf->common->session->max;
	/* A handler that has closed its end is not reaped yet, and may just be exiting:
	 * the datagram after it is not lost for that.  No more than so many, whatever
	 * the talker says. */
	uint32_t ending = l->let_go < max + ENDING ? l->let_go : max + ENDING;

	return l->sessions - ending >= max ? REASON_SESSION_MAX : REASON_NONE;
}

enum reason
judge_again(const struct service *s, const struct addr *peer)
{
	static const struct gate_load idle = {
		GATE_UNKNOWN, { GATE_UNKNOWN, GATE_UNKNOWN, GATE_UNKNOWN }
	};
	const struct gate *g = s->conf->common->gate;
	struct timespec now = { 0 };

	if (!g || peer->family == 0)
		return REASON_NONE;
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return gate_judge(g, peer, now.tv_sec, &idle, NULL);
}

enum reason
judge_running(const struct master *m, const struct service *s, const struct addr *peer,
	      uint32_t instances)
{
	uint32_t max = s->conf->common->limits->instances;
	enum reason why = judge_again(s, peer);

	if (why != REASON_NONE)
		return why;
	if (source_full(m, s, peer))
		return REASON_SOURCE_INSTANCES;
	return max > 0 && instances >= max ? REASON_INSTANCES : REASON_NONE;
}

void
judge_take_source(struct master *m, struct service *s, const struct addr *peer)
{
	const struct conf_limits *l = s->conf->common->limits;
	struct addr key;

	if (l->rate_per_source.n == 0 || peer->family == 0)
		return;
	key = srctab_key(peer, l->source_prefix4, l->source_prefix6);
	(void)srctab_take_token(m->sources, s->row, &key, &l->rate_per_source,
				(uint64_t)ev_now_ms(m->ev));
}

void
judge_take_service(struct master *m, struct service *s)
{
	const struct limit_rate *rate = &s->conf->common->limits->rate;
	struct service_live *live;

	if (rate->n == 0)
		return;
	live = service_live(s);
	if (live)
		(void)limit_take(&live->bucket, rate, (uint64_t)ev_now_ms(m->ev));
}

uint64_t
judge_wait_ms(const struct master *m, const struct service *s, const struct addr *peer)
{
	const struct conf_limits *l = s->conf->common->limits;
	uint64_t now = (uint64_t)ev_now_ms(m->ev);
	struct addr key;

	if (!peer)
		return l->rate.n > 0 ? limit_wait_ms(bucket_of(s), &l->rate, now) : 0;
	if (l->rate_per_source.n == 0)
		return 0;
	key = srctab_key(peer, l->source_prefix4, l->source_prefix6);
	return srctab_wait_ms(m->sources, s->row, &key, &l->rate_per_source, now);
}
