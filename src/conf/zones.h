/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* The time zones of a configuration, each read from its file once. */
#ifndef HATCHD_ZONES_H
#define HATCHD_ZONES_H

#include "zone.h"

struct zones;

struct zones *zones_new(void);		/* NULL: no memory */
void zones_free(struct zones *z);	/* and the zones */

/* A zone by its name (see hours_parse; "": the local one, UTC if the machine has
 * none).  NULL and *why, a constant text. */
const struct zone *zones_get(struct zones *z, const char *name, const char **why);

#endif
