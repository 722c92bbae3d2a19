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

#include <sys/types.h>

#include "board.h"
#include "conf.h"
#include "ev.h"
#include "limit.h"
#include "log.h"
#include "plan.h"

struct listener;
struct master;

#define SERVICE_BACKOFF_MIN 100	/* ms */
#define SERVICE_BACKOFF_MAX 30000

/* What a start failed on, as it was then: a change may have mended it. */
struct service_cause {
	char *path;		/* NULL: it isn't known */
	int error;		/* of stat(2), 0: the rest is what it told */
	dev_t dev;
	ino_t ino;
	mode_t mode;
	struct timespec changed;
};

struct service_live {		/* made when the first connection comes */
	struct ev_timer timer;	/* end of the back-off */
	uint32_t backoff_ms;	/* 0: none */
	int64_t backoff_until;
	bool waiting;		/* in back-off: nothing is started */
	struct service_cause cause;
	struct limit_bucket bucket;	/* limits.rate */
	struct ev_timer refill;	/* until it has a token */
	struct log_rate failures;
	struct log_rate mended;	/* what handlers have done to its sockets */
	struct log_rate told[REASON_MAX];	/* refusals and limits */
	struct log_rate lines;	/* of its handlers' stderr */
	struct ev_timer tell;	/* the number of those that were not told */
};

struct service {
	struct master *master;
	const struct conf_service *conf;	/* NULL: gone with a reload */
	const struct plan *plan;
	uint32_t row;		/* on the board */
	uint32_t running;	/* sessions */
	uint32_t busy;		/* those of them that count as instances */
	uint32_t waiting;	/* those of them that wait for room (room.c) */
	uint32_t stay;		/* in a reload: those of busy that may stay */
	bool retiring;		/* mark of a reload: not in the new configuration */
	bool fresh;		/* mark of a reload: not in the old one */
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

/* What serves a connection of such a service that is accepted for it. */
enum board_kind service_kind(const struct conf_service *c);
/* Whether it serves such connections now: a reload may have made another one of it
 * since they were accepted. */
bool service_takes(const struct service *s, enum board_kind kind);
/* A place may be free: its listeners go on, unless it is gone or in back-off. */
void service_has_room(struct service *s);

/* Back-off: a start has failed (doubles it) or succeeded (ends it).  cause: a
 * path, if a change of what is there may mend it, which is then tried at once. */
void service_failed(struct service *s, const char *cause);
void service_succeeded(struct service *s);
bool service_in_backoff(const struct service *s);
/* How long the back-off that is under way was set for, ms. */
uint32_t service_backoff_ms(const struct service *s);

/* Its listeners are not polled until its bucket has a token. */
void service_wait_rate(struct service *s);

#endif
