/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Reload (SIGHUP): the new configuration is taken whole or not at all.
 */
#ifndef HATCHD_RELOAD_H
#define HATCHD_RELOAD_H

#include <stdbool.h>
#include <sys/types.h>

struct master;

/* Reads the files and starts the trial; all else follows from the loop.  If
 * one is under way, another follows it. */
void reload_request(struct master *m);
void reload_fini(struct master *m);

/* A child ended: true if it was the trial's. */
bool reload_reaped(struct master *m, pid_t pid, int status);

#endif
