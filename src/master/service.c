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

#include "listener.h"
#include "master.h"

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
	if (s->live)
		ev_timer_stop(&s->live->timer);
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

void
service_update(struct service *s, const struct conf_service *conf, const struct plan *plan)
{
	s->conf = conf;
	s->plan = plan;
	/* whatever failed may be mended: try at once */
	service_succeeded(s);
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
backoff_over(void *arg)
{
	struct service *s = arg;

	s->live->waiting = false;
	listeners_resume_service(s, PAUSE_SERVICE);
}

struct service_live *
service_live(struct service *s)
{
	if (!s->live) {
		s->live = calloc(1, sizeof(*s->live));
		if (s->live)
			ev_timer_init(s->master->ev, &s->live->timer, backoff_over, s);
	}
	return s->live;
}

void
service_failed(struct service *s)
{
	struct service_live *live = service_live(s);

	if (!live || live->waiting)
		return;
	live->backoff_ms = live->backoff_ms == 0 ? SERVICE_BACKOFF_MIN : live->backoff_ms * 2;
	if (live->backoff_ms > SERVICE_BACKOFF_MAX)
		live->backoff_ms = SERVICE_BACKOFF_MAX;
	if (ev_timer_start(&live->timer, live->backoff_ms) == -1)
		return;
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
