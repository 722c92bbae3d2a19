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
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "anteroom.h"
#include "events.h"
#include "expire.h"
#include "fd.h"
#include "link.h"
#include "listener.h"
#include "master.h"
#include "owed.h"
#include "reap.h"
#include "service.h"
#include "srctab.h"

#define BUCKETS 8192		/* by pid */

struct sessions {
	struct master *master;
	struct session *table;	/* BOARD_SESSIONS of them, touched as used */
	uint32_t rows;		/* slots ever used */
	uint32_t free;		/* list of slots given back */
	uint32_t count, processes, leftovers, talked;
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

/* What its configuration says, for as long as it lives. */
static void
copy_settings(struct session *x)
{
	const struct conf_common *c = x->service->conf->common;

	x->log_events = (uint8_t)c->log_events;
	x->on_reload = (uint8_t)c->on_reload;
	x->tree = c->kill == CONF_KILL_TREE;
	x->stop_ms = c->timeouts->stop_ms;
	x->idle_ms = c->timeouts->idle_ms;
	x->linger_ms = c->timeouts->linger_ms;
}

static uint32_t
take_slot(struct sessions *all)
{
	uint32_t slot = all->free;

	if (slot != SESSION_NONE)
		all->free = all->table[slot].next;
	else if (all->rows < BOARD_SESSIONS)
		slot = all->rows++;
	return slot;
}

uint32_t
session_new_waiting(struct sessions *all, struct service *s, enum board_kind kind,
		    const struct addr *peer, const struct addr *local)
{
	struct master *m = all->master;
	uint32_t slot = take_slot(all);
	struct board_session *row;
	struct session *x;

	if (slot == SESSION_NONE)
		return SESSION_NONE;
	x = &all->table[slot];
	memset(x, 0, sizeof(*x));
	x->service = s;
	x->start_ms = ev_now_ms(m->ev);
	x->source = SRCTAB_NONE;
	x->from = LISTENER_NONE;
	x->next = SESSION_NONE;
	x->fd = x->keep = -1;
	ev_timer_init(m->ev, &x->timer, expire_on_timer, x);
	copy_settings(x);
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

void
session_count(struct sessions *all, struct session *x)
{
	(void)all;
	x->service->busy += !x->counted;
	x->counted = true;
}

void
session_count_listener(struct session *x, struct listener *l)
{
	x->talks_at = l;
	l->sessions++;
}

static void
uncount(struct session *x)
{
	x->service->busy -= x->counted;
	x->counted = false;
}

void
session_count_source(struct sessions *all, struct session *x)
{
	const struct conf_limits *l = x->service->conf->common->limits;
	const struct addr *peer = &session_row(all, x)->peer;
	struct addr key;

	x->sourced = true;
	if (peer->family == 0 || l->per_source == 0 || x->source != SRCTAB_NONE)
		return;
	key = srctab_key(peer, l->source_prefix4, l->source_prefix6);
	x->source = srctab_take(all->master->sources, x->service->row, &key);
}

void
session_uncount_source(struct sessions *all, struct session *x)
{
	srctab_drop(all->master->sources, x->source);
	x->source = SRCTAB_NONE;
}

uint32_t
session_new(struct sessions *all, struct service *s, enum board_kind kind,
	    const struct addr *peer, const struct addr *local)
{
	uint32_t slot = session_new_waiting(all, s, kind, peer, local);

	if (slot == SESSION_NONE)
		return SESSION_NONE;
	session_count(all, &all->table[slot]);
	session_count_source(all, &all->table[slot]);
	return slot;
}

void
session_move(struct sessions *all, struct session *x, struct service *s, enum board_kind kind)
{
	struct board_session *row = session_row(all, x);
	struct service *before = x->service;

	session_uncount_source(all, x);
	x->sourced = false;
	uncount(x);
	service_enter(s);
	x->service = s;
	row->service = s->row;
	row->kind = (uint8_t)kind;
	x->rated = false;
	copy_settings(x);
	service_has_room(before);
	service_leave(all->master->services, before);
	master_admit_soon(all->master);
}

void
session_keep(struct session *x, int fd)
{
	if (x->keep == -1 && (x->idle_ms > 0 || x->linger_ms > 0))
		x->keep = fd_dup(fd, FD_HIGH);
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
	owed_unmark(all->master->owed, OWED_OFFER, session_slot(all, x));
	anteroom_leave(all->master, x);
	if (x->stage == STAGE_PROCESS)
		all->master->to_start--;
	fd_close(&x->fd);
	fd_close_now(&x->keep);
	uncount(x);
	if (x->talks_at) {
		x->talks_at->sessions--;
		x->talks_at->let_go -= x->let_go;
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
	service_has_room(s);
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
	owed_unmark(all->master->owed, OWED_CLOSE, session_slot(all, x));
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
	x->reaped_ms = ev_now_ms(all->master->ev);
	forget_pid(all, x);
	master_admit_soon(all->master);	/* it may go on for long without a process */
	if (l) {
		x->listener = NULL;
		reap_wait_handler(all->master, l, x);
	}
	if (x->all_listeners)
		listeners_return(all->master->listeners, session_slot(all, x));
	session_row(all, x)->state = BOARD_ENDING;
	x->leftovers = expire_leftovers(all, x);
	all->leftovers += x->leftovers;
	if (!x->leftovers)
		session_process_over(all, x);
}

/* What the client still sends is read by the talker: closed with that unread, it
 * would be reset and lose what it has not read itself.  0: it goes on. */
static int
send_linger(struct sessions *all, struct session *x)
{
	if (link_send_linger(all->master, x, x->keep) == 0) {
		fd_close_now(&x->keep);
		x->stage = STAGE_NONE;
		ev_timer_stop(&x->timer);
		return 0;
	}
	if (errno != EAGAIN)
		return -1;
	x->stage = STAGE_LINGER;
	if (!ev_timer_active(&x->timer))
		return ev_timer_start(&x->timer, x->linger_ms);
	return 0;
}

static bool
linger(struct sessions *all, struct session *x)
{
	if (x->keep == -1 || x->linger_ms == 0 || session_row(all, x)->step != 0 ||
	    all->master->stopping)
		return false;
	x->idle_ms = 0;
	x->total_at = 0;
	ev_timer_stop(&x->timer);
	if (send_linger(all, x) == -1)
		return false;
	uncount(x);
	service_has_room(x->service);
	master_admit_soon(all->master);
	return true;
}

void
session_linger(struct sessions *all, struct session *x)
{
	if (send_linger(all, x) == -1)
		session_lingered(all, x);
}

void
session_lingered(struct sessions *all, struct session *x)
{
	x->stage = STAGE_NONE;
	ended(all, x);
}

/* The handler's end of file is not enough: a child that it left may have its socket,
 * and the peer would talk to nobody. */
static void
let_go(struct sessions *all, struct session *x)
{
	x->total_at = 0;
	ev_timer_stop(&x->timer);
	if (!all->master->stopping)	/* else it is told to stop as a whole */
		(void)link_close(all->master, x);
}

void
session_process_over(struct sessions *all, struct session *x)
{
	all->leftovers -= x->leftovers;
	x->leftovers = false;
	if (!x->talker && !linger(all, x))
		ended(all, x);
	else if (x->talker && session_row(all, x)->kind == BOARD_DGRAM)
		let_go(all, x);
}

void
session_untalked(struct sessions *all, struct session *x)
{
	if (!x->talker)
		return;
	untalk(all, x);
	if (x->talks_at)
		x->talks_at->let_go++;
	x->let_go = true;
	if (x->stage != STAGE_NONE)
		session_cancel(all, x);
	else if (x->process)
		expire_soon(all, x);
	else if (!x->leftovers)
		ended(all, x);
}

void
session_returned(struct sessions *all, struct session *x)
{
	untalk(all, x);
}

void
sessions_forget_listener(struct sessions *all, const struct listener *l)
{
	struct session *x = session_at(all, l->holder - 1);

	if (x && x->listener == l)
		x->listener = NULL;
	for (uint32_t i = 0; l->sessions > 0 && i < all->rows; i++)
		if (all->table[i].talks_at == l)
			all->table[i].talks_at = NULL;
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
sessions_leftovers(const struct sessions *all)
{
	return all->leftovers;
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
