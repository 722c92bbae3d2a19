/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Reads hours of opening as they are written.  Called when a configuration
 * loads.
 */
#include "config.h"

#include "hours.h"

#include <string.h>
#include <strings.h>

enum { DAY_MIN = 24 * 60, EVERY_DAY = 0x7f };

static const char bad_day[] = "days are Mon Tue Wed Thu Fri Sat Sun, as in \"Mon-Fri\" or "
	"\"Mon,Wed\", or daily";
static const char bad_time[] = "times are as in \"08:00-20:00\", from 00:00 to 24:00";

/* A weekday, short or in full; returns what follows, NULL if it is none. */
static const char *
weekday(const char *s, int *ret)
{
	static const char *const names[] = {
		"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
	};
	size_t len = strcspn(s, "-, \t");

	for (int i = 0; i < 7; i++)
		if ((len == 3 || len == strlen(names[i])) && !strncasecmp(s, names[i], len)) {
			*ret = i;
			return s + len;
		}
	return NULL;
}

/* "Mon-Wed,Fri"; returns what follows, NULL if it is not understood. */
static const char *
days(const char *s, uint8_t *ret)
{
	unsigned set = 0;
	int from, to;

	if (!strncasecmp(s, "daily", 5)) {
		*ret = EVERY_DAY;
		return s + 5;
	}
	for (;; s++) {
		s = weekday(s, &from);
		if (!s)
			return NULL;
		to = from;
		if (*s == '-') {
			s = weekday(s + 1, &to);
			if (!s)
				return NULL;
		}
		for (int d = from;; d = (d + 1) % 7) {
			set |= 1u << d;
			if (d == to)
				break;
		}
		if (*s != ',')
			break;
	}
	*ret = (uint8_t)set;
	return s;
}

/* "8:00", "08:00", "24:00", in minutes; returns what follows, or NULL. */
static const char *
time_of_day(const char *s, uint16_t *ret)
{
	unsigned hour = 0, minute = 0, n;

	for (n = 0; n < 2 && s[n] >= '0' && s[n] <= '9'; n++)
		hour = hour * 10 + (unsigned)(s[n] - '0');
	if (n == 0 || s[n] != ':')
		return NULL;
	s += n + 1;
	for (n = 0; n < 2 && s[n] >= '0' && s[n] <= '9'; n++)
		minute = minute * 10 + (unsigned)(s[n] - '0');
	if (n < 2 || minute > 59 || hour * 60 + minute > DAY_MIN)
		return NULL;
	*ret = (uint16_t)(hour * 60 + minute);
	return s + n;
}

/* Returns what follows, or NULL and *why. */
static const char *
spans(const char *s, struct hours_entry *e, const char **why)
{
	struct hours_span *span;

	for (;; s++) {
		if (e->n == HOURS_SPANS) {
			*why = "too many times in one entry";
			return NULL;
		}
		span = &e->spans[e->n++];
		*why = bad_time;
		s = time_of_day(s, &span->from);
		if (!s || *s != '-')
			return NULL;
		s = time_of_day(s + 1, &span->to);
		if (!s)
			return NULL;
		if (span->from == DAY_MIN) {
			*why = "nothing begins at 24:00; write 00:00 of the next day";
			return NULL;
		}
		if (span->from == span->to) {
			*why = "begin and end are the same; the whole day is 00:00-24:00";
			return NULL;
		}
		if (*s != ',')
			return s;
	}
}

/* A path of letters, digits and a few signs, which can't lead out of the
 * folder of zones. */
static const char *
check_zone(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789_+-/";
	size_t len = strlen(s);

	if (len >= HOURS_ZONE_LEN)
		return "the name of the time zone is too long";
	if (strspn(s, allowed) != len || *s == '/' || *s == '-' || s[len - 1] == '/' ||
	    strstr(s, "//"))
		return "not the name of a time zone, which is as in \"Europe/Berlin\"";
	return NULL;
}

static const char *
blanks(const char *s)
{
	return s + strspn(s, " \t");
}

int
hours_parse(const char *text, struct hours_entry *ret, const char **why)
{
	struct hours_entry e;
	const char *s = blanks(text);
	size_t len;

	memset(&e, 0, sizeof(e));
	e.days = EVERY_DAY;
	if (*s < '0' || *s > '9') {
		s = days(s, &e.days);
		*why = bad_day;
		if (!s || (*s && *s != ' ' && *s != '\t'))
			return -1;
		s = blanks(s);
	}
	s = spans(s, &e, why);
	if (!s)
		return -1;
	if (*s && *s != ' ' && *s != '\t') {
		*why = bad_time;
		return -1;
	}
	s = blanks(s);
	len = strcspn(s, " \t");
	if (*blanks(s + len)) {
		*why = "something follows the time zone";
		return -1;
	}
	if (len > 0) {
		if (len < sizeof(e.zone))
			memcpy(e.zone, s, len);
		*why = len < sizeof(e.zone) ? check_zone(e.zone) : check_zone(s);
		if (*why)
			return -1;
	}
	*ret = e;
	return 0;
}
