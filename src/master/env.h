/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The environment of one handler: its plan's and the variables of its
 * connection.  No allocation: one buffer that each start uses again.
 */
#ifndef HATCHD_ENV_H
#define HATCHD_ENV_H

#include <stdint.h>

#include "addr.h"
#include "plan.h"

struct env_connection {
	const struct plan *plan;
	int type;		/* SOCK_STREAM, ... */
	int family;
	uint64_t conn;
	const struct addr *peer, *local;	/* NULL: a wait handler */
	int listen_fds;		/* 0: no LISTEN_ variables */
};

/* NULL-terminated; valid until the next call.  *ret_pid is where the value of
 * LISTEN_PID has to be written, NULL without listen_fds. */
const char *const *env_build(const struct env_connection *c, char **ret_pid);

#endif
