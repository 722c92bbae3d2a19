/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Connections that are handed over only to be ended with care: refused ones that
 * get a text, and those whose handler is gone.
 */
#ifndef HATCHD_FAREWELL_H
#define HATCHD_FAREWELL_H

#include "proto.h"
#include "slots.h"

#define FAREWELL_REFUSED 256	/* refused ones that are drained at the same time */

struct drains;
struct farewells;

/* The pointers are borrowed; drains must be freed later. */
struct farewells *farewells_new(struct slots *slots, const struct scratch *scratch,
				struct drains *drains);

/* After slots_free. */
void farewells_free(struct farewells *all);

/* Both take fd; -1: none was left for it.  0, or -1 if the message makes no
 * sense. */
int farewell_refuse(struct farewells *all, const struct msg_refuse *m, int fd);
int farewell_linger(struct farewells *all, const struct msg_linger *m, int fd);

#endif
