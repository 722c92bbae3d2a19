/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What becomes of sessions when a reload has switched.  Runs in the master,
 * called by swap.c.
 *
 * All are counted anew: first those that stay in any case, then the others from
 * the oldest on, each as if it came now.  Who is not let in is ended, and is
 * counted until that has happened.
 */
#include "config.h"

#include "readmit.h"

#include <stdlib.h>

#include "anteroom.h"
#include "expire.h"
#include "judge.h"
#include "listener.h"
#include "master.h"
#include "service.h"
#include "session.h"

struct candidate {
	uint64_t conn;		/* they are numbered as they come */
	struct session *session;
};

struct readmit {
	struct master *master;
	uint32_t n;
	struct candidate list[];
};

struct readmit *
readmit_new(struct master *m)
{
	struct readmit *r = calloc(1, sizeof(*r) + sessions_rows(m->sessions) *
				   sizeof(r->list[0]));

	if (r)
		r->master = m;
	return r;
}

void
readmit_free(struct readmit *r)
{
	free(r);
}

void
readmit_cut_off(struct master *m)
{
	for (uint32_t i = 0; i < sessions_rows(m->sessions); i++) {
		struct session *x = session_at(m->sessions, i);
		const struct listener *l = x ? listeners_at(m->listeners, x->from) : NULL;

		if (!l || !l->going)
			continue;
		x->cut_off = true;
		x->from = LISTENER_NONE;	/* its number may be another one's soon */
	}
	/* a handler may have more than the one it was started for */
	for (uint32_t i = 0; i < listeners_rows(m->listeners); i++) {
		const struct listener *l = listeners_at(m->listeners, i);
		struct session *x = l && l->holder ? session_at(m->sessions, l->holder - 1) : NULL;

		if (x && (l->going || l->service != x->service))
			x->cut_off = true;
	}
}

/* Its socket is not its service's any more.  What has come by tcpmux came by that
 * one's. */
static bool
is_cut_off(const struct master *m, const struct session *x)
{
	const struct listener *l = listeners_at(m->listeners, x->from);

	if (x->cut_off || !l || l->service == x->service)
		return x->cut_off;
	return !l->service || !l->service->conf ||
		l->service->conf->internal != INTERNAL_TCPMUX ||
		!x->service->conf->common->tcpmux;
}

/* A wait handler was started for the sender of the first datagram. */
static const struct addr *
peer_of(const struct sessions *all, const struct session *x)
{
	const struct addr *peer = &session_row(all, x)->peer;

	return peer->family == 0 ? &x->wait.peer : peer;
}

/* One that was accepted and is not served yet. */
static bool
waits(const struct session *x)
{
	return x->fd != -1;
}

static void
stay(struct sessions *all, struct session *x)
{
	if (x->sourced)
		session_count_source(all, x);
	x->service->stay += x->counted;
}

/* Whether it may stay.  One that is being ended already leaves its place to others. */
static bool
is_allowed(const struct master *m, struct session *x)
{
	enum reason why;

	if (x->signalled != 0 || is_cut_off(m, x))
		return false;
	why = judge_running(m, x->service, peer_of(m->sessions, x),
			    x->counted ? x->service->stay : 0);
	if (why != REASON_NONE && x->ended_by == REASON_NONE)
		x->ended_by = (uint8_t)why;
	return why == REASON_NONE;
}

static int
by_age(const void *va, const void *vb)
{
	const struct candidate *a = va, *b = vb;

	return a->conn < b->conn ? -1 : a->conn > b->conn;
}

/* Takes all from their sources, and lets in again who needn't be asked. */
static void
collect(struct readmit *r)
{
	struct sessions *all = r->master->sessions;

	for (uint32_t i = 0; i < services_rows(r->master->services); i++)
		if (services_at(r->master->services, i))
			services_at(r->master->services, i)->stay = 0;
	for (uint32_t i = 0; i < sessions_rows(all); i++) {
		struct session *x = session_at(all, i);

		if (x && x->service->conf)
			session_uncount_source(all, x);
	}
	for (uint32_t i = 0; i < sessions_rows(all); i++) {
		struct session *x = session_at(all, i);

		if (!x)
			continue;
		if (x->on_reload == CONF_TERMINATE && !waits(x))
			r->list[r->n++] = (struct candidate){ session_row(all, x)->conn, x };
		else if (x->service->conf)
			stay(all, x);
	}
}

/* Leaves in the list who has to go. */
static void
choose(struct readmit *r)
{
	struct sessions *all = r->master->sessions;
	uint32_t n = 0;

	qsort(r->list, r->n, sizeof(r->list[0]), by_age);
	for (uint32_t i = 0; i < r->n; i++) {
		struct session *x = r->list[i].session;

		if (x->service->conf && is_allowed(r->master, x))
			stay(all, x);
		else
			r->list[n++] = r->list[i];
	}
	r->n = n;
}

static void
turn_away(struct master *m)
{
	for (uint32_t i = 0; i < sessions_rows(m->sessions); i++) {
		struct session *x = session_at(m->sessions, i);
		enum reason why;

		/* without a source it is the proxy that is known of it */
		if (!x || !waits(x) || !x->sourced || !x->service->conf)
			continue;
		why = judge_again(x->service, &session_row(m->sessions, x)->peer);
		if (why != REASON_NONE)
			anteroom_turn_away(m, x, why);
	}
}

void
readmit_run(struct readmit *r)
{
	struct sessions *all = r->master->sessions;

	collect(r);
	choose(r);
	for (uint32_t i = 0; i < r->n; i++) {
		struct session *x = r->list[i].session;

		if (x->service->conf && x->sourced)
			session_count_source(all, x);
	}
	for (uint32_t i = 0; i < r->n; i++)
		expire_stop(all, r->list[i].session);
	turn_away(r->master);
}
