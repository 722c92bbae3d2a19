/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The judge.  Runs in the master; asked by listener.c for connections and by
 * link.c for datagrams' senders.  Decides and nothing else: it takes nothing,
 * counts nothing and logs nothing.
 */
#include "config.h"

#include "judge.h"

#include "master.h"
#include "service.h"
#include "session.h"
#include "srctab.h"

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

	return max > 0 && s->running >= max;
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

enum judge_room
judge_room(const struct master *m, const struct service *s, enum board_kind kind)
{
	/* a wait service's socket can't be refused, only left alone */
	bool queue = s->conf->common->limits->when_full == CONF_QUEUE || kind == BOARD_WAIT;

	if (service_in_backoff(s) || (queue && instances_full(s)))
		return JUDGE_WAIT_SERVICE;
	/* what can't be started now waits for the next turn in any case */
	if (sessions_full(m->sessions) || talker_full(m, kind) ||
	    (needs_process(kind) && m->to_start > 0) || (queue && processes_full(m, kind)))
		return JUDGE_WAIT_GLOBAL;
	return JUDGE_ACCEPT;
}

static enum reason
judge_source(const struct master *m, const struct service *s, const struct addr *peer)
{
	const struct conf_limits *l = s->conf->common->limits;
	struct addr key;

	if (l->per_source == 0 || peer->family == 0)
		return REASON_NONE;
	key = srctab_key(peer, l->source_prefix4, l->source_prefix6);
	return srctab_count(m->sources, s->row, &key) >= l->per_source ?
		REASON_SOURCE_INSTANCES : REASON_NONE;
}

/* Access, hours, load and rates belong before and after judge_source, in the
 * order that judge.h gives. */
enum reason
judge_peer(const struct master *m, const struct service *s, enum board_kind kind,
	   const struct addr *peer)
{
	enum reason why = judge_source(m, s, peer);

	if (why != REASON_NONE)
		return why;
	if (instances_full(s))
		return REASON_INSTANCES;
	if (processes_full(m, kind))
		return REASON_PROCESSES;
	/* an internal service answers a datagram by the socket it has */
	if (sessions_full(m->sessions) || (kind == BOARD_DGRAM && talker_full(m, kind)))
		return REASON_SESSIONS;
	return service_in_backoff(s) ? REASON_BACKOFF : REASON_NONE;
}
