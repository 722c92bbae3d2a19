/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Loads a configuration in a child first: whatever a file can make the parser
 * do (exit, crash, loop, eat memory) happens there, beside the running daemon.
 */
#ifndef HATCHD_TRIAL_H
#define HATCHD_TRIAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "conf.h"
#include "source.h"

struct master;
struct trial;

#define TRIAL_MS 3000		/* how long it may take */

/* Starts it; done is called once from the loop, with true if the bytes of s
 * load, else the reasons are in p.  s and p are borrowed until then.  NULL and
 * errno if there can be no child. */
struct trial *trial_start(struct master *m, struct sources *s, struct problems *p,
			  void (*done)(bool ok, void *arg), void *arg);
/* Ends it if it still runs; done is not called any more. */
void trial_free(struct trial *t);

/* A child ended: true if it was this one. */
bool trial_reaped(struct trial *t, pid_t pid, int status);

#endif
