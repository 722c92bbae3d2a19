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

/* Variables of a connection.  Those that the service sets itself are left out,
 * each for itself; TCP and UDP are in the same order. */
enum plan_var {
	PLAN_PROTO,
	PLAN_TCPLOCALIP, PLAN_TCPLOCALPORT, PLAN_TCPREMOTEIP, PLAN_TCPREMOTEPORT,
	PLAN_UDPLOCALIP, PLAN_UDPLOCALPORT, PLAN_UDPREMOTEIP, PLAN_UDPREMOTEPORT,
	PLAN_REMOTE_HOST, PLAN_REMOTE_ADDR, PLAN_REMOTE_PORT,
	PLAN_REMOTE_UID, PLAN_REMOTE_GID, PLAN_REMOTE_PID,
	PLAN_HATCHD_SERVICE, PLAN_HATCHD_CONNECTION,
	PLAN_LISTEN_FDS, PLAN_LISTEN_PID, PLAN_LISTEN_FDNAMES,
	PLAN_VARS
};

struct plan_env {		/* shared by services that agree in it */
	int n;
	unsigned own;		/* bits: enum plan_var that the service sets itself */
	const char *vars[];	/* NAME=value, n of them */
};

struct plan {
	const struct conf_service *conf;
	const char *const *argv;
	const struct plan_env *env;
};

const char *plan_var_name(enum plan_var v);

struct plans;			/* one for each service of a configuration */

/* env: the daemon's environment, for pass_environment (names that are not
 * there are left out).  conf is borrowed and has to live longer.  NULL: out of
 * memory. */
struct plans *plans_new(const struct conf *conf, char *const *env);
void plans_free(struct plans *p);

/* The plan of conf->services[i]. */
const struct plan *plans_get(const struct plans *p, int i);

#endif
