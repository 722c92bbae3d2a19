/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* The part of conf_check that is about addresses: who has which, and groups of
 * multicast that somebody has to join. */
#ifndef HATCHD_CONF_ADDRESS_H
#define HATCHD_CONF_ADDRESS_H

#include "conf_check.h"
#include "conf_seen.h"

/* The addresses of l are s's from now on; adds a problem if another service has one,
 * and warns if one of another service is in its way. */
void conf_address_take(struct conf_seen_table *seen, struct problems *p,
		       const struct conf_service *s, const struct conf_listen *l);

/* Adds a problem for each of socket.multicast that no listener can join. */
void conf_address_groups(struct problems *p, const struct conf_draft *d,
			 const struct conf_given *given);

#endif
