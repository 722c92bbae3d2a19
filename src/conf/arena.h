/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Memory that is freed as a whole, with equal strings and blocks kept once. */
#ifndef HATCHD_ARENA_H
#define HATCHD_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);		/* NULL: out of memory */
void arena_free(struct arena *a);
/* Aligned for any type, zeroed; out of memory is fatal for the caller: NULL. */
void *arena_alloc(struct arena *a, size_t size);
/* A pointer to an equal block that lives as long as the arena; two calls with
 * equal bytes give the same pointer.  Padding counts: zero it.  Aligned for any
 * type whose size divides size, as that of every element of an array does. */
const void *arena_intern(struct arena *a, const void *data, size_t size);
/* The same, but always a new block, for what is hardly ever equal; size > 0. */
const void *arena_copy(struct arena *a, const void *data, size_t size);
const char *arena_string(struct arena *a, const char *s);
/* Forget the table of interned blocks (they stay), when loading is over. */
void arena_seal(struct arena *a);

#endif
