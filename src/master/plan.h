/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * How a service's handler is started: everything that needs memory, the user
 * database or the daemon's environment, made when a configuration is loaded.
 * Nothing of it changes afterwards; it lives and goes with its configuration.
 */
#ifndef HATCHD_PLAN_H
#define HATCHD_PLAN_H

#include "conf.h"

#define PLAN_ENV 2100		/* variables of a handler at most: both lists, and our own */

/* Variables that belong to a connection and that the service's own
 * environment has set instead. */
enum {
	PLAN_ENV_PROTO = 1, PLAN_ENV_LOCAL = 2, PLAN_ENV_REMOTE = 4,
	PLAN_ENV_REMOTE_HOST = 8, PLAN_ENV_CRED = 16, PLAN_ENV_SERVICE = 32,
	PLAN_ENV_CONNECTION = 64, PLAN_ENV_LISTEN = 128
};

struct plan_env {		/* shared by services that agree in it */
	int n;
	unsigned own;		/* PLAN_ENV_... set by the service */
	const char *vars[];	/* NAME=value, n of them */
};

struct plan {
	const struct conf_service *conf;
	const char *const *argv;
	const struct plan_env *env;
};

struct plans;			/* one for each service of a configuration */

/* env: the daemon's environment, for pass_environment (names that are not
 * there are left out).  conf is borrowed and has to live longer.  NULL: out of
 * memory. */
struct plans *plans_new(const struct conf *conf, char *const *env);
void plans_free(struct plans *p);

/* The plan of conf->services[i]. */
const struct plan *plans_get(const struct plans *p, int i);

#endif
