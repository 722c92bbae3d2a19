/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The session table.  Runs in the master.  Slots are given out last in, first
 * out, so that few pages of the tables are ever touched.
 */
#include "config.h"

#include "session.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "deliver.h"
#include "events.h"
#include "fd.h"
#include "link.h"
#include "listener.h"
#include "master.h"
#include "reap.h"
#include "service.h"
#include "srctab.h"

#define BUCKETS 8192		/* by pid */

struct sessions {
	struct master *master;
	struct session *table;	/* BOARD_SESSIONS of them, touched as used */
	uint32_t rows;		/* slots ever used */
	uint32_t free;		/* list of slots given back */
	uint32_t count, processes, talked;
	uint32_t buckets[BUCKETS];	/* slot + 1 */
};

struct sessions *
sessions_new(struct master *m)
{
	struct sessions *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	all->master = m;
	all->free = SESSION_NONE;
	all->table = mmap(NULL, BOARD_SESSIONS * sizeof(*all->table), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (all->table == MAP_FAILED) {
		free(all);
		return NULL;
	}
	return all;
}

void
sessions_free(struct sessions *all)
{
	if (!all)
		return;
	for (uint32_t i = 0; i < all->rows; i++)
		if (all->table[i].service)
			session_cancel(all, &all->table[i]);
	(void)munmap(all->table, BOARD_SESSIONS * sizeof(*all->table));
	free(all);
}

uint32_t
session_slot(const struct sessions *all, const struct session *x)
{
	return (uint32_t)(x - all->table);
}

struct session *
session_at(const struct sessions *all, uint32_t slot)
{
	if (slot >= all->rows || !all->table[slot].service)
		return NULL;
	return &all->table[slot];
}

struct board_session *
session_row(const struct sessions *all, const struct session *x)
{
	return board_slot(all->master->board, session_slot(all, x));
}

struct session *
session_find(const struct sessions *all, uint32_t slot, uint32_t generation)
{
	struct session *x = session_at(all, slot);

	if (!x || session_row(all, x)->generation != generation)
		return NULL;
	return x;
}

static int64_t
realtime_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void on_timer(void *arg);

/* What it took, so that judge.c counts it from now on. */
static uint32_t
take_source(struct master *m, const struct service *s, const struct addr *peer)
{
	const struct conf_limits *l = s->conf->common->limits;
	struct addr key;

	if (!peer || peer->family == 0 || l->per_source == 0)
		return SRCTAB_NONE;
	key = srctab_key(peer, l->source_prefix4, l->source_prefix6);
	return srctab_take(m->sources, s->row, &key);
}

uint32_t
session_new(struct sessions *all, struct service *s, enum board_kind kind,
	    const struct addr *peer, const struct addr *local)
{
	struct master *m = all->master;
	struct board_session *row;
	struct session *x;
	uint32_t slot;

	if (all->free != SESSION_NONE) {
		slot = all->free;
		all->free = all->table[slot].next;
	} else if (all->rows < BOARD_SESSIONS) {
		slot = all->rows++;
	} else {
		return SESSION_NONE;
	}
	x = &all->table[slot];
	memset(x, 0, sizeof(*x));
	x->service = s;
	x->start_ms = ev_now_ms(m->ev);
	x->source = take_source(m, s, peer);
	x->next = SESSION_NONE;
	x->fd = -1;
	ev_timer_init(m->ev, &x->timer, on_timer, x);
	x->log_events = (uint8_t)s->conf->common->log_events;
	x->on_reload = (uint8_t)s->conf->common->on_reload;
	x->stop_ms = s->conf->common->timeouts->stop_ms;
	row = board_slot(m->board, slot);
	row->generation++;
	row->service = s->row;
	row->state = BOARD_STARTING;
	row->step = row->error = 0;
	row->account = 0;
	row->pid = 0;
	row->conn = ++m->next_conn;
	row->start_ms = realtime_ms();
	row->peer = peer ? *peer : (struct addr){ 0 };
	row->local = local ? *local : (struct addr){ 0 };
	/* last: who reads the row meanwhile takes it for a free one */
	atomic_thread_fence(memory_order_release);
	row->kind = (uint8_t)kind;
	all->count++;
	service_enter(s);
	return slot;
}

static uint32_t
bucket(pid_t pid)
{
	return (uint32_t)pid % BUCKETS;
}

void
session_started(struct sessions *all, struct session *x)
{
	struct board_session *row = session_row(all, x);
	uint32_t *head = &all->buckets[bucket(row->pid)];

	x->process = true;
	x->next = *head == 0 ? SESSION_NONE : *head - 1;
	*head = session_slot(all, x) + 1;
	all->processes++;
	row->state = BOARD_RUNNING;
}

struct session *
session_by_pid(const struct sessions *all, pid_t pid)
{
	uint32_t slot = all->buckets[bucket(pid)] - 1;

	while (slot != SESSION_NONE) {
		struct session *x = &all->table[slot];

		if (session_row(all, x)->pid == pid)
			return x;
		slot = x->next;
	}
	return NULL;
}

static void
forget_pid(struct sessions *all, struct session *x)
{
	pid_t pid = session_row(all, x)->pid;
	uint32_t slot = session_slot(all, x), prev = all->buckets[bucket(pid)] - 1;

	if (prev == slot) {
		all->buckets[bucket(pid)] = x->next + 1;
	} else {
		while (all->table[prev].next != slot)
			prev = all->table[prev].next;
		all->table[prev].next = x->next;
	}
	x->next = SESSION_NONE;
	x->process = false;
	all->processes--;
}

/* Gives back all that it had taken. */
static void
release(struct sessions *all, struct session *x)
{
	struct board_session *row = session_row(all, x);
	struct service *s = x->service;

	assert(!x->process && !x->talker);
	ev_timer_stop(&x->timer);
	if (x->fd != -1) {
		if (!x->held)
			all->master->to_start--;
		fd_close(&x->fd);
	}
	srctab_drop(all->master->sources, x->source);
	row->kind = BOARD_FREE;
	row->pid = 0;
	row->generation++;
	x->service = NULL;
	x->next = all->free;
	all->free = session_slot(all, x);
	all->count--;
	/* a place is free again */
	if (s->conf && !service_in_backoff(s))
		listeners_resume_service(s, PAUSE_SERVICE);
	service_leave(all->master->services, s);
	master_admit_soon(all->master);
}

void
session_talked(struct sessions *all, struct session *x)
{
	all->talked += !x->talker;
	x->talker = true;
}

static void
untalk(struct sessions *all, struct session *x)
{
	all->talked -= x->talker;
	x->talker = false;
}

void
session_cancel(struct sessions *all, struct session *x)
{
	if (x->process)
		forget_pid(all, x);
	untalk(all, x);
	release(all, x);
}

/* Both halves are over. */
static void
ended(struct sessions *all, struct session *x)
{
	struct board_counters *c = service_counters(x->service);
	const struct board_session *row = session_row(all, x);

	c->ended++;
	if (row->step != 0 || (x->reaped && x->status != 0))
		c->failed++;
	events_end(all->master, x);
	if (row->pid > 0 && (x->log_events & CONF_LOG_STDERR))
		board_remember(all->master->board, session_slot(all, x));
	release(all, x);
}

void
session_reaped(struct sessions *all, struct session *x, int status, const struct rusage *usage)
{
	struct listener *l = x->listener;

	x->status = status;
	x->usage = *usage;
	x->reaped = true;
	forget_pid(all, x);
	if (l) {
		x->listener = NULL;
		reap_wait_handler(all->master, l, x);
	}
	if (x->all_listeners)
		listeners_return(all->master->listeners, session_slot(all, x));
	if (!x->talker)
		ended(all, x);
	else
		session_row(all, x)->state = BOARD_ENDING;
}

void
session_untalked(struct sessions *all, struct session *x)
{
	if (!x->talker)
		return;
	untalk(all, x);
	if (!x->process)
		ended(all, x);
	else
		/* its socket has reached its end: it is expected to go; if it
		 * doesn't, it is told to after the time to stop, then killed */
		(void)ev_timer_start(&x->timer, x->stop_ms);
}

/* The whole process group: each handler leads a session of its own. */
static void
signal_session(const struct sessions *all, struct session *x, int sig)
{
	pid_t pid = session_row(all, x)->pid;

	assert(x->process && pid > 1);
	if (kill(-pid, sig) == -1 && errno == ESRCH)
		(void)kill(pid, sig);	/* it hasn't got as far as setsid */
	x->signalled = (uint8_t)sig;
	session_row(all, x)->state = BOARD_ENDING;
}

static void
on_timer(void *arg)
{
	struct session *x = arg;
	struct sessions *all = x->service->master->sessions;

	if (!x->process)
		return;
	if (x->signalled == 0) {
		signal_session(all, x, SIGTERM);
		(void)ev_timer_start(&x->timer, x->stop_ms);
	} else {
		signal_session(all, x, SIGKILL);
	}
}

void
session_stop(struct sessions *all, struct session *x)
{
	if (x->talker && !all->master->stopping)	/* else it is told to stop as a whole */
		link_close(all->master, x);
	if (!x->process) {
		if (!x->talker)
			session_cancel(all, x);	/* it was never started */
		return;
	}
	if (x->signalled != 0)
		return;
	signal_session(all, x, SIGTERM);
	(void)ev_timer_start(&x->timer, x->stop_ms);
}

void
session_kill(struct sessions *all, struct session *x)
{
	if (x->process)
		signal_session(all, x, SIGKILL);
}

void
sessions_forget_listener(struct sessions *all, const struct listener *l)
{
	struct session *x = session_at(all, l->holder - 1);

	if (x && x->listener == l)
		x->listener = NULL;
}

uint32_t
sessions_count(const struct sessions *all)
{
	return all->count;
}

uint32_t
sessions_talked(const struct sessions *all)
{
	return all->talked;
}

uint32_t
sessions_processes(const struct sessions *all)
{
	return all->processes;
}

uint32_t
sessions_rows(const struct sessions *all)
{
	return all->rows;
}

bool
sessions_full(const struct sessions *all)
{
	return all->count == BOARD_SESSIONS;
}
