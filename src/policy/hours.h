/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Hours of opening: windows of the week in local time, each in a time zone.
 * A window says what clocks on the wall there show: with the change to summer
 * time an hour of it may not come, with the change back one may come twice.
 * Pure; look-ups are arithmetic.  Times are seconds since 1970, at most 2^60
 * from there.
 */
#ifndef HATCHD_HOURS_H
#define HATCHD_HOURS_H

#include <stdbool.h>
#include <stdint.h>

struct hours;
struct zone;

#define HOURS_SPANS 8
#define HOURS_ZONE_LEN 64

/* In minutes after midnight, "to" not included; to <= from: until that time of
 * the next day. */
struct hours_span {
	uint16_t from, to;
};

struct hours_entry {
	uint8_t days;		/* on which spans begin; bit 0: Sunday */
	uint8_t n;
	struct hours_span spans[HOURS_SPANS];
	char zone[HOURS_ZONE_LEN];	/* "Europe/Berlin"; "": the local zone */
};

/* "[DAYS ]FROM-TO[,FROM-TO…][ ZONE]": DAYS as in "Mon-Fri", "Mon,Wed-Thu",
 * "Sat-Mon" or "daily", which is the default; times from 00:00 to 24:00, the
 * latter only as an end.  ZONE is a name below /usr/share/zoneinfo and could
 * lead nowhere else.  0, or -1 and *why, a constant text; *ret is untouched. */
int hours_parse(const char *text, struct hours_entry *ret, const char **why);

/* No windows yet, so never open; NULL and errno. */
struct hours *hours_new(void);
void hours_free(struct hours *h);

/* The windows of an entry too; zone is borrowed for as long as h lives.  0, or
 * -1 and errno. */
int hours_add(struct hours *h, const struct hours_entry *e, const struct zone *zone);

/* Whether one of the windows is open at the time t. */
bool hours_open(const struct hours *h, int64_t t);

/* When that changes: the first time after t for which hours_open differs;
 * INT64_MAX: never.  Not for each connection. */
int64_t hours_next_change(const struct hours *h, int64_t t);

#endif
