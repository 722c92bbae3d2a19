/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What is known of each source: its live sessions, and its token bucket.  A
 * source is a service and the address of a peer, cut to the prefix that the
 * service counts by (or the uid of a UNIX peer).
 *
 * The table has a fixed size: one entry for each session that can exist, so it
 * can't be too small for those; memory is touched as it is used.  A source
 * without a session is kept while its bucket is not full; if there is no place
 * for a new one, that which was idle longest is forgotten, never one that has
 * a session.  Pure: no system call after srctab_new, no allocation, no logging.
 */
#ifndef HATCHD_SRCTAB_H
#define HATCHD_SRCTAB_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "limit.h"

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
 * SRCTAB_NONE if all entries are sources with sessions. */
uint32_t srctab_take(struct srctab *t, uint32_t service, const struct addr *key);

/* One less; SRCTAB_NONE is allowed and does nothing. */
void srctab_drop(struct srctab *t, uint32_t entry);

/* limit_wait_ms and limit_take on the bucket of the source; a source that is
 * not known has a full one.  If all entries are sources with sessions, the
 * token of a further source is granted without a note of it. */
uint64_t srctab_wait_ms(const struct srctab *t, uint32_t service, const struct addr *key,
			const struct limit_rate *rate, uint64_t now_ms);
bool srctab_take_token(struct srctab *t, uint32_t service, const struct addr *key,
		       const struct limit_rate *rate, uint64_t now_ms);

/* Forgets all sources without a session for whose service gone() is true: so
 * that another service may have its number. */
void srctab_forget(struct srctab *t, bool (*gone)(uint32_t service, void *arg), void *arg);

/* Sources that have a session now; those that have none and are kept for their
 * bucket; and how many were forgotten to make room before it was full. */
uint32_t srctab_entries(const struct srctab *t);
uint32_t srctab_idle(const struct srctab *t);
uint64_t srctab_evicted(const struct srctab *t);

#endif
