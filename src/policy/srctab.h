/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * How many live sessions each source has.  A source is a service and the
 * address of a peer, cut to the prefix that the service counts by (or the uid
 * of a UNIX peer).  The table has a fixed size: one entry for each session
 * that can exist, so it can't be too small; memory is touched as it is used.
 * Pure: no system call after srctab_new, no logging.
 */
#ifndef HATCHD_SRCTAB_H
#define HATCHD_SRCTAB_H

#include <stdint.h>

#include "addr.h"

#define SRCTAB_NONE UINT32_MAX

struct srctab;

/* entries: how many sources at most.  NULL and errno.  key: 16 random bytes,
 * so that nobody outside can choose addresses that collide. */
struct srctab *srctab_new(uint32_t entries, const uint8_t key[16]);
void srctab_free(struct srctab *t);

/* peer cut to prefix bits (prefix4 for IPv4, prefix6 for IPv6). */
struct addr srctab_key(const struct addr *peer, unsigned prefix4, unsigned prefix6);

/* Live sessions of the source; 0 if it is unknown. */
uint32_t srctab_count(const struct srctab *t, uint32_t service, const struct addr *key);

/* One more session of the source.  Returns the entry for srctab_drop, or
 * SRCTAB_NONE if the table is full. */
uint32_t srctab_take(struct srctab *t, uint32_t service, const struct addr *key);

/* One less; SRCTAB_NONE is allowed and does nothing. */
void srctab_drop(struct srctab *t, uint32_t entry);

/* Sources that have a session now. */
uint32_t srctab_entries(const struct srctab *t);

#endif
