/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A time zone, as it stands in a TZif file (RFC 9636; /usr/share/zoneinfo).
 * The caller reads the file when a configuration loads; look-ups are
 * arithmetic, without a system call and without the C library's one zone for
 * the whole process.  Pure.  Times are seconds since 1970.
 */
#ifndef HATCHD_ZONE_H
#define HATCHD_ZONE_H

#include <stddef.h>
#include <stdint.h>

#define ZONE_FILE_MAX 262144	/* more than this is no such file; the largest has 4 KiB */

struct zone;

/* From the contents of a file, which are not needed afterwards.  NULL and
 * *why, a constant text. */
struct zone *zone_load(const void *bytes, size_t len, const char **why);
void zone_free(struct zone *z);

/* Coordinated universal time; it needs no file and is not freed. */
const struct zone *zone_utc(void);

/* Seconds east of UTC at the time t. */
int32_t zone_offset(const struct zone *z, int64_t t);

/* A time later than t before which the offset doesn't change: the next change
 * or earlier; INT64_MAX: it never changes again. */
int64_t zone_next(const struct zone *z, int64_t t);

#endif
