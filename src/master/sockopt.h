/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* The options of a service's sockets: socket { } and what the kind of service
 * needs by itself.  Accepted sockets inherit them. */
#ifndef HATCHD_SOCKOPT_H
#define HATCHD_SOCKOPT_H

#include "bind.h"
#include "conf.h"

/* Those that have to be set before bind(2), and those that can be changed at
 * any time; old: what the socket was set up for before, NULL: it is new.  0, or -1
 * and errno with the option's name in *ret_step. */
int sockopt_before_bind(int fd, const struct bind_target *t, const struct conf_service *s,
			const char **ret_step);
/* Whether it shares its address with others of the same user that want it, too. */
int sockopt_share(int fd, bool on);
int sockopt_apply(int fd, const struct bind_target *t, const struct conf_service *s,
		  const struct conf_service *old, const char **ret_step);

#endif
