/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Does something in a child, beside the running daemon: loads a configuration
 * (whatever a file can make the parser do, exit, crash, loop, eat memory,
 * happens there), or looks for something that may take its time.
 */
#ifndef HATCHD_TRIAL_H
#define HATCHD_TRIAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "conf.h"

struct master;
struct names;
struct trial;

#define TRIAL_MS 3000		/* how long it may take, */
#define TRIAL_NAMES_MS 45000	/* from the first look-up of a host's name on */

struct trial_job {
	const char *what;	/* "loading": for messages */
	bool privileged;	/* keeps our privileges */
	/* In the child: adds problems to p; whether it went well. */
	bool (*run)(const struct master *m, void *arg, struct problems *p);
	/* Or NULL: names that are looked up in the child are remembered here. */
	struct names *names;
	/* Called once from the loop; the child's problems are in p. */
	void (*done)(bool ok, void *arg);
	void *arg;
};

/* Starts it; p is borrowed until it is done.  NULL and errno if there can be
 * no child. */
struct trial *trial_start(struct master *m, const struct trial_job *job, struct problems *p);
/* Ends it if it still runs; done is not called any more. */
void trial_free(struct trial *t);

/* A child ended: true if it was this one. */
bool trial_reaped(struct trial *t, pid_t pid, int status);

#endif
