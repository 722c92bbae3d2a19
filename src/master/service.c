/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Services at run time.  Runs in the master: made by master.c and reload.c,
 * used by all that follows an accepted connection.
 */
#include "config.h"

#include "service.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "events.h"
#include "judge.h"
#include "listener.h"
#include "master.h"

#define CAUSE_MS 200		/* how often what a start failed on is looked at */

struct services {
	struct master *master;
	uint32_t rows;		/* below which all rows in use are */
	uint32_t first_free;	/* no free row below it */
	struct service *table[BOARD_SERVICES];
};

struct services *
services_new(struct master *m)
{
	struct services *all = calloc(1, sizeof(*all));

	if (all)
		all->master = m;
	return all;
}

static void
release(struct services *all, struct service *s)
{
	assert(!s->listeners);
	if (s->live) {
		ev_timer_stop(&s->live->timer);
		ev_timer_stop(&s->live->refill);
		ev_timer_stop(&s->live->tell);
		free(s->live->cause.path);
	}
	board_service_clear(all->master->board, s->row);
	all->table[s->row] = NULL;
	if (s->row < all->first_free)
		all->first_free = s->row;
	free(s->live);
	free(s);
}

void
services_free(struct services *all)
{
	if (!all)
		return;
	for (uint32_t i = 0; i < all->rows; i++)
		if (all->table[i])
			release(all, all->table[i]);
	free(all);
}

struct service *
service_new(struct services *all, const struct conf_service *conf, const struct plan *plan)
{
	struct service *s;
	uint32_t row = all->first_free;

	while (row < BOARD_SERVICES && all->table[row])
		row++;
	if (row == BOARD_SERVICES) {
		errno = ENOSPC;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->master = all->master;
	s->row = row;
	s->conf = conf;
	s->plan = plan;
	all->table[row] = s;
	all->first_free = row + 1;
	if (row >= all->rows)
		all->rows = row + 1;
	board_service_set(all->master->board, row, conf->name);
	return s;
}

static void on_refill(void *arg);

void
service_update(struct service *s, const struct conf_service *conf, const struct plan *plan)
{
	s->conf = conf;
	s->plan = plan;
	/* whatever failed may be mended: try at once */
	service_succeeded(s);
	if (s->live && ev_timer_active(&s->live->refill)) {	/* at another rate */
		ev_timer_stop(&s->live->refill);
		on_refill(s);
	}
}

void
service_retire(struct services *all, struct service *s)
{
	s->conf = NULL;
	s->plan = NULL;
	if (s->running == 0)
		release(all, s);
}

void
service_enter(struct service *s)
{
	s->running++;
	*board_running(s->master->board, s->row) = s->running;
}

void
service_leave(struct services *all, struct service *s)
{
	assert(s->running > 0);
	s->running--;
	*board_running(s->master->board, s->row) = s->running;
	if (s->running == 0 && !s->conf)
		release(all, s);
}

uint32_t
services_rows(const struct services *all)
{
	return all->rows;
}

struct service *
services_at(const struct services *all, uint32_t i)
{
	return i < all->rows ? all->table[i] : NULL;
}

const char *
service_name(const struct service *s)
{
	return board_name(s->master->board, s->row);
}

struct board_counters *
service_counters(const struct service *s)
{
	return board_counters(s->master->board, s->row);
}

static void
backoff_over(struct service *s)
{
	s->live->waiting = false;
	free(s->live->cause.path);
	s->live->cause.path = NULL;
	listeners_resume_service(s, PAUSE_SERVICE);
	master_admit_soon(s->master);
}

enum board_kind
service_kind(const struct conf_service *c)
{
	return c->internal != INTERNAL_NONE ? BOARD_INTERNAL : BOARD_EXEC;
}

bool
service_takes(const struct service *s, enum board_kind kind)
{
	return s->conf && !s->conf->common->wait && service_kind(s->conf) == kind;
}

void
service_has_room(struct service *s)
{
	if (s->conf && !service_in_backoff(s))
		listeners_resume_service(s, PAUSE_SERVICE);
}

/* What is at the path now. */
static void
look_at(struct service_cause *c)
{
	struct stat st;

	memset(&st, 0, sizeof(st));
	c->error = stat(c->path, &st) == -1 ? errno : 0;
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	c->mode = st.st_mode;
	c->changed = st.st_ctim;
}

static bool
has_changed(const struct service_cause *c)
{
	struct service_cause now = { .path = c->path };

	look_at(&now);
	return now.error != c->error || now.dev != c->dev || now.ino != c->ino ||
		now.mode != c->mode || now.changed.tv_sec != c->changed.tv_sec ||
		now.changed.tv_nsec != c->changed.tv_nsec;
}

static void
on_backoff(void *arg)
{
	struct service *s = arg;
	struct service_live *live = s->live;
	int64_t left = live->backoff_until - ev_now_ms(s->master->ev);
	bool mended = live->cause.path && has_changed(&live->cause);

	if (mended)		/* what fails now is another fault */
		live->backoff_ms = 0;
	else if (left > 0 && ev_timer_start(&live->timer,
					    live->cause.path && left > CAUSE_MS ? CAUSE_MS : left) == 0)
		return;
	backoff_over(s);
}

static void
on_refill(void *arg)
{
	struct service *s = arg;

	listeners_resume_service(s, PAUSE_RATE);
	master_admit_soon(s->master);
}

static void
on_tell(void *arg)
{
	events_suppressed(arg);
}

struct service_live *
service_live(struct service *s)
{
	if (!s->live) {
		s->live = calloc(1, sizeof(*s->live));
		if (!s->live)
			return NULL;
		ev_timer_init(s->master->ev, &s->live->timer, on_backoff, s);
		ev_timer_init(s->master->ev, &s->live->refill, on_refill, s);
		ev_timer_init(s->master->ev, &s->live->tell, on_tell, s);
	}
	return s->live;
}

void
service_failed(struct service *s, const char *cause)
{
	struct service_live *live = service_live(s);
	int64_t first;

	if (!live || live->waiting)
		return;
	live->backoff_ms = live->backoff_ms == 0 ? SERVICE_BACKOFF_MIN : live->backoff_ms * 2;
	if (live->backoff_ms > SERVICE_BACKOFF_MAX)
		live->backoff_ms = SERVICE_BACKOFF_MAX;
	live->cause.path = cause ? strdup(cause) : NULL;	/* without it: just later */
	if (live->cause.path)
		look_at(&live->cause);
	first = live->cause.path && live->backoff_ms > CAUSE_MS ? CAUSE_MS : live->backoff_ms;
	live->backoff_until = ev_now_ms(s->master->ev) + live->backoff_ms;
	if (ev_timer_start(&live->timer, first) == -1) {
		free(live->cause.path);
		live->cause.path = NULL;
		return;
	}
	live->waiting = true;
	listeners_pause_service(s, PAUSE_SERVICE);
}

void
service_succeeded(struct service *s)
{
	if (!s->live || s->live->backoff_ms == 0)
		return;
	s->live->backoff_ms = 0;
	if (s->live->waiting) {
		ev_timer_stop(&s->live->timer);
		backoff_over(s);
	}
}

void
service_wait_rate(struct service *s)
{
	struct service_live *live = service_live(s);
	uint64_t ms;

	if (!live)
		return;
	ms = judge_wait_ms(s->master, s, NULL);
	/* it may run already, and the listener be one that has joined since */
	if (ev_timer_active(&live->refill) ||
	    ev_timer_start(&live->refill, ms > INT32_MAX ? INT32_MAX : (int64_t)ms) == 0)
		listeners_pause_service(s, PAUSE_RATE);
}

bool
service_in_backoff(const struct service *s)
{
	return s->live && s->live->waiting;
}

uint32_t
service_backoff_ms(const struct service *s)
{
	return s->live ? s->live->backoff_ms : 0;
}
