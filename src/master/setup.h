/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Listeners for a configuration: all that it asks for, at start and on reload.
 */
#ifndef HATCHD_SETUP_H
#define HATCHD_SETUP_H

#include <stdbool.h>

#include "conf.h"

struct addr;
struct bind_target;
struct listener;
struct master;

/* At start: makes the services and listeners of m->conf.  What can't be bound
 * is told and tried again in the background (setup_retry), unless strict: then
 * -1.  */
int setup_all(struct master *m, bool strict);

/* Tries once more what isn't bound; starts m->rebind again if anything is left. */
void setup_retry(struct master *m);

/* Binds a listener that has no socket, at the port that it has had if there was one
 * before.  -1: it is tried again in the background. */
int setup_rebind(struct listener *l);

/* Adds to p: why a socket of s could not be bound, with its owner if the
 * address is in use and it is found within owner_ms (0: not looked for). */
void setup_explain(struct problems *p, const struct conf_service *s,
		   const struct bind_target *t, const char *step, int error, int owner_ms);

/* Adds to p: why bind_targets failed. */
void setup_explain_targets(struct problems *p, const struct conf_service *s,
			   const struct conf_listen *at, const char *why);

/* Port 0 of an IPv6 address gets the port that the IPv4 address before it in the
 * list got, if that is free: bind_open for target i of list. */
int setup_bind(const struct bind_target *list, int i, const struct conf_service *s,
	       uint16_t before, struct addr *ret_local, const char **ret_step);

/* Tells a port that the kernel chose. */
void setup_tell_port(const struct listener *l);

/* The control socket that m->conf asks for, at start; if it can't be had that is told. */
void setup_control(struct master *m);

/* The same on reload, in two steps.  open binds what conf asks for if it is not what there
 * is: 0, or -1 and errno.  What could not be had before the reload either is none of its
 * faults, and only told.  use puts it in the place of the old one, once m->conf is
 * conf; undo closes it and leaves nothing behind. */
struct setup_control {
	int fd;			/* -1: no new one */
	char *path;
	char *made;		/* directory that was made for it */
	const char *step;	/* that failed */
};
int setup_control_open(struct master *m, const struct conf *conf, struct setup_control *ret);
void setup_control_explain(struct problems *p, const struct conf *conf,
			   const struct setup_control *c, int error);
void setup_control_use(struct master *m, struct setup_control *c);
void setup_control_undo(struct setup_control *c);
void setup_close_control(struct master *m);

#endif
