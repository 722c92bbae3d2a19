/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * TZ strings.  Called by zone.c, at load and for look-ups.
 */
#include "config.h"

#include "zone_rule.h"

#include <string.h>

enum { DAY_S = 86400, HOUR_S = 3600 };

/* Ten million years: far from where a year or a second would overflow.  All is
 * quiet before and after. */
static const int64_t T_MAX = INT64_C(315360000000000);

struct text {
	const char *at, *end;
};

static bool
take(struct text *s, char c)
{
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

/* A decimal number from min to max. */
static bool
number(struct text *s, int32_t min, int32_t max, int32_t *ret)
{
	const char *begin = s->at;
	int32_t n = 0;

	for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++) {
		n = n * 10 + (*s->at - '0');
		if (n > max)
			return false;
	}
	*ret = n;
	return s->at > begin && n >= min;
}

/* [+-]hh[:mm[:ss]] */
static bool
time_of(struct text *s, int32_t max_hours, int32_t *ret)
{
	int32_t h, m = 0, sec = 0;
	bool minus = take(s, '-');

	if (!minus)
		(void)take(s, '+');	/* may stand there, and says nothing */
	if (!number(s, 0, max_hours, &h))
		return false;
	if (take(s, ':')) {
		if (!number(s, 0, 59, &m))
			return false;
		if (take(s, ':') && !number(s, 0, 59, &sec))
			return false;
	}
	*ret = (h * HOUR_S + m * 60 + sec) * (minus ? -1 : 1);
	return true;
}

/* Three or more letters, or <letters, digits, plus and minus>. */
static bool
name(struct text *s)
{
	bool quoted = take(s, '<');
	const char *begin = s->at;
	size_t len;

	for (; s->at < s->end; s->at++) {
		char c = *s->at;
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!letter && !(quoted && ((c >= '0' && c <= '9') || c == '+' || c == '-')))
			break;
	}
	len = (size_t)(s->at - begin);
	return len >= 3 && (!quoted || take(s, '>'));
}

/* ,Mm.w.d[/time] or ,Jn[/time] or ,n[/time] */
static bool
day(struct text *s, struct zone_day *ret)
{
	int32_t month = 0, week = 0, weekday = 0, n = 0;

	if (!take(s, ','))
		return false;
	ret->time = 2 * HOUR_S;
	if (take(s, 'M')) {
		ret->kind = 'M';
		if (!number(s, 1, 12, &month) || !take(s, '.') || !number(s, 1, 5, &week) ||
		    !take(s, '.') || !number(s, 0, 6, &weekday))
			return false;
	} else if (take(s, 'J')) {
		ret->kind = 'J';
		if (!number(s, 1, 365, &n))
			return false;
	} else {
		ret->kind = '0';
		if (!number(s, 0, 365, &n))
			return false;
	}
	ret->month = (uint8_t)month;
	ret->week = (uint8_t)week;
	ret->weekday = (uint8_t)weekday;
	ret->day = (uint16_t)n;
	return !take(s, '/') || time_of(s, 167, &ret->time);
}

int
zone_rule_parse(const char *text, size_t len, struct zone_rule *ret)
{
	struct text s = { text, text + len };
	struct zone_rule r;
	int32_t west;

	memset(&r, 0, sizeof(r));
	if (!name(&s) || !time_of(&s, 24, &west))
		return -1;
	r.standard = r.summer = -west;
	if (s.at < s.end) {
		r.changes = true;
		r.summer = r.standard + HOUR_S;
		if (!name(&s))
			return -1;
		if (s.at < s.end && *s.at != ',') {
			if (!time_of(&s, 24, &west))
				return -1;
			r.summer = -west;
		}
		if (!day(&s, &r.start) || !day(&s, &r.end) || s.at < s.end)
			return -1;
	}
	*ret = r;
	return 0;
}

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days from 1970-01-01 to the first of January of a year. */
static int64_t
new_year(int64_t year)
{
	int64_t y = year - 1;

	return y * 365 + floor_div(y, 4) - floor_div(y, 100) + floor_div(y, 400) - 719162;
}

static bool
is_leap(int64_t year)
{
	return new_year(year + 1) - new_year(year) == 366;
}

/* The year that a day is in. */
static int64_t
year_of(int64_t days)
{
	int64_t year = 1970 + floor_div(days * 400, 146097);

	/* off by one at most: leap years are not spread evenly */
	while (new_year(year) > days)
		year--;
	while (new_year(year + 1) <= days)
		year++;
	return year;
}

/* Seconds from 1970 to that day's time in a year, as if there were no zones. */
static int64_t
when(const struct zone_day *d, int64_t year)
{
	static const uint16_t first[] = {
		0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365,
	};
	int64_t start = new_year(year), days, length, weekday;
	bool leap = is_leap(year);

	if (d->kind == 'J') {
		days = d->day - 1 + (leap && d->day >= 60);
	} else if (d->kind == '0') {
		days = d->day;
	} else {
		days = first[d->month - 1] + (leap && d->month > 2);
		length = first[d->month] - first[d->month - 1] + (leap && d->month == 2);
		weekday = ((start + days + 4) % 7 + 7) % 7;
		length += days;
		days += (d->weekday - weekday + 7) % 7 + 7 * (d->week - 1);
		if (days >= length)
			days -= 7;
	}
	return (start + days) * DAY_S + d->time;
}

int32_t
zone_rule_offset(const struct zone_rule *r, int64_t t, int64_t *next)
{
	int64_t year, last = INT64_MIN, then = INT64_MAX, at;
	int32_t offset = r->standard;

	if (next)
		*next = INT64_MAX;
	if (!r->changes)
		return offset;
	if (t > T_MAX)
		t = T_MAX;		/* as it is then */
	else if (t < -T_MAX)
		t = -T_MAX;
	year = year_of(floor_div(t + r->standard, DAY_S));
	/* Changes may be up to a week outside of their year, so that one year's
	 * end may even come after the next one's start; if both are at once, it
	 * goes on. */
	for (int64_t y = year - 2; y <= year + 2; y++)
		for (int i = 0; i < 2; i++) {
			at = i ? when(&r->end, y) - r->summer : when(&r->start, y) - r->standard;
			if (at > t) {
				then = at < then ? at : then;
			} else if (at >= last) {
				last = at;
				offset = i ? r->standard : r->summer;
			}
		}
	if (next && then <= T_MAX)
		*next = then;
	return offset;
}
