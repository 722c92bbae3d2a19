/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Sessions of the master of master_rig.h, and handlers for them.  What does not
 * go as it is said here fails the test.
 */
#ifndef HATCHD_TESTS_SESSION_RIG_H
#define HATCHD_TESTS_SESSION_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "master_rig.h"
#include "reason.h"

/* An address, with the port 4242. */
struct addr rig_ip(const char *text);

/* A session of the service begins; NULL: without this address.  It is the
 * master's, as all sessions are. */
struct session *rig_begin(struct service *s, enum board_kind kind, const char *peer,
			  const char *local);
/* The process is its handler, and has been started. */
void rig_process(struct session *x, pid_t pid);

/* Turns the loop until that session has ended, as rig_run_until. */
void rig_run_until_free(const struct session *x);
/* The same until that many sessions are left. */
void rig_run_until_sessions(uint32_t n);

/* How often the service of this name has refused or ended something for it. */
uint64_t rig_refused(const char *name, enum reason why);

/* A process that leads a session of its own and waits for signals; if stubborn
 * SIGTERM does nothing. */
pid_t rig_child(bool stubborn);
/* In a child: no signal is blocked, as in a handler. */
void rig_unblock(void);

#endif
