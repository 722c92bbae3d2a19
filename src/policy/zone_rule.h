/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The rule at the end of a time zone's file, for all time after the last
 * transition that it lists: a TZ string as POSIX has it, with the extensions
 * of RFC 9636 §3.3 ("CET-1CEST,M3.5.0,M10.5.0/3", "<-02>2<-01>,M3.5.0/-1,…").
 * Pure.
 */
#ifndef HATCHD_ZONE_RULE_H
#define HATCHD_ZONE_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* When a year's change is: a day, and seconds after its midnight. */
struct zone_day {
	char kind;	/* 'J': day 1 to 365, never 29 February; '0': day 0 to 365; 'M' */
	uint8_t month, week, weekday;	/* 'M': week 1 to 5, 5 the last; weekday 0: Sunday */
	uint16_t day;
	int32_t time;
};

struct zone_rule {
	int32_t standard, summer;	/* seconds east of UTC */
	bool changes;			/* else it is always standard */
	struct zone_day start, end;	/* of summer */
};

/* len bytes of text.  0, or -1 if it is not wholly understood. */
int zone_rule_parse(const char *text, size_t len, struct zone_rule *ret);

/* Seconds east of UTC at the time t; *next, if wanted, is a later time before
 * which that doesn't change, INT64_MAX if it never does. */
int32_t zone_rule_offset(const struct zone_rule *r, int64_t t, int64_t *next);

#endif
