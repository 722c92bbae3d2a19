/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What runs when a reload begins, to be found by those who come after it:
 * services by name, listeners by identity.
 */
#ifndef HATCHD_CLAIM_H
#define HATCHD_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

struct bind_target;
struct claims;
struct listener;
struct master;
struct service;

/* NULL if memory is out. */
struct claims *claims_new(struct master *m);
void claims_free(struct claims *c);

/* Listeners with a number below it were there before. */
uint32_t claims_rows(const struct claims *c);

/* The service of this name, or NULL. */
struct service *claim_service(const struct claims *c, const char *name);

/* The listener of this identity that nobody has claimed, for a service of this
 * name; it is claimed now.  NULL if there is none. */
struct listener *claim_listener(struct claims *c, const struct bind_target *t,
				const char *service);
bool claim_is_taken(const struct claims *c, uint32_t number);

#endif
