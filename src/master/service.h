/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What runs under one service's name: its place on the board, its plan, its
 * listeners, its back-off.  Outlives its configuration as long as a session of
 * it is left.
 */
#ifndef HATCHD_SERVICE_H
#define HATCHD_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "conf.h"
#include "ev.h"
#include "log.h"
#include "plan.h"

struct listener;
struct master;

#define SERVICE_BACKOFF_MIN 100	/* ms */
#define SERVICE_BACKOFF_MAX 30000

struct service_live {		/* made when the first connection comes */
	struct ev_timer timer;	/* end of the back-off */
	uint32_t backoff_ms;	/* 0: none */
	bool waiting;		/* in back-off: nothing is started */
	struct log_rate refusals, failures, stderr_lines;
};

struct service {
	struct master *master;
	const struct conf_service *conf;	/* NULL: gone with a reload */
	const struct plan *plan;
	uint32_t row;		/* on the board */
	uint32_t running;	/* sessions */
	bool retiring;		/* mark of a reload: not in the new configuration */
	struct listener *listeners;
	struct service_live *live;
};

/* All of them; a bounded table by row of the board. */
struct services;

struct services *services_new(struct master *m);
void services_free(struct services *s);

/* A new service without listeners, for conf and plan; NULL: table full
 * (ENOSPC) or no memory. */
struct service *service_new(struct services *all, const struct conf_service *conf,
			    const struct plan *plan);
/* After a reload: the same service with another configuration. */
void service_update(struct service *s, const struct conf_service *conf,
		    const struct plan *plan);
/* Its configuration is gone; frees it when its last session has ended.  Its
 * listeners have to be closed before. */
void service_retire(struct services *all, struct service *s);
/* One session more or less; the latter may free a retired service. */
void service_enter(struct service *s);
void service_leave(struct services *all, struct service *s);

/* Rows in use, for loops: i from 0 below services_rows(); NULL for a gap. */
uint32_t services_rows(const struct services *all);
struct service *services_at(const struct services *all, uint32_t i);

const char *service_name(const struct service *s);
struct board_counters *service_counters(const struct service *s);
/* NULL if memory is out. */
struct service_live *service_live(struct service *s);

/* Back-off: a start has failed (doubles it) or succeeded (ends it). */
void service_failed(struct service *s);
void service_succeeded(struct service *s);
bool service_in_backoff(const struct service *s);
/* How long the back-off that is under way was set for, ms. */
uint32_t service_backoff_ms(const struct service *s);

#endif
