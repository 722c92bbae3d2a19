/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Addresses and times of a question, as somebody types them or copies them from
 * the log.  Runs before there is a daemon; explain.c calls it.
 */
#include "config.h"

#include "question.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "units.h"

#define TIME_MAX (INT64_C(1) << 60)	/* hours.h */

static const char *
unix_peer(const char *uid, const char *gid, struct addr *ret)
{
	struct addr a = { .family = AF_UNIX };
	const struct passwd *pw;
	uint64_t n;

	if (units_number(uid, 0, UINT32_MAX - 1, &n) < 0)
		return "the uid is no number";
	a.cred.uid = (uint32_t)n;
	if (gid && units_number(gid, 0, UINT32_MAX - 1, &n) < 0)
		return "the gid is no number";
	pw = gid ? NULL : getpwuid(a.cred.uid);
	a.cred.gid = gid ? (uint32_t)n : pw ? pw->pw_gid : UINT32_MAX;
	*ret = a;
	return NULL;
}

/* what follows "unix:" or "uid:" */
static const char *
parse_unix(const char *text, bool only_uid, struct addr *ret)
{
	char uid[16];
	const char *comma = strchrnul(text, ',');
	size_t len;

	if (only_uid)
		return unix_peer(text, NULL, ret);
	if (strncmp(text, "uid=", 4) != 0)
		return "a UNIX peer is written unix:uid=N or unix:uid=N,gid=N";
	text += 4;
	len = (size_t)(comma - text);
	if (len >= sizeof(uid))
		return "the uid is no number";
	memcpy(uid, text, len);
	uid[len] = '\0';
	if (*comma && strncmp(comma, ",gid=", 5) != 0)
		return "a UNIX peer is written unix:uid=N or unix:uid=N,gid=N";
	return unix_peer(uid, *comma ? comma + 5 : NULL, ret);
}

/* [ADDRESS] or [ADDRESS]:PORT, or IPv4 with :PORT */
static const char *
parse_with_port(const char *text, struct addr *ret)
{
	char host[ADDR_STRLEN];
	bool brackets = *text == '[';
	const char *end = strchr(text, brackets ? ']' : ':');
	const char *port = end ? end + brackets : NULL;
	uint64_t n = 0;
	struct addr a;

	if (!end || (size_t)(end - text) >= sizeof(host))
		return "not an address";
	(void)snprintf(host, sizeof(host), "%.*s", (int)(end - text) - brackets, text + brackets);
	if (addr_parse(host, &a) < 0 || (brackets && !strchr(host, ':')))
		return "not an address";
	if (*port && (*port != ':' || units_number(port + 1, 0, UINT16_MAX, &n) < 0))
		return "the port is a number from 0 to 65535";
	a.port = (uint16_t)n;
	*ret = a;
	return NULL;
}

const char *
question_address(const char *text, struct addr *ret)
{
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, false, ret);
	if (strncmp(text, "uid:", 4) == 0)
		return parse_unix(text + 4, true, ret);
	if (addr_parse(text, ret) == 0)
		return NULL;
	return parse_with_port(text, ret);
}

/* n digits at *text as a number from min to max; -1: there are none. */
static int
take(const char **text, int n, int min, int max)
{
	int value = 0;

	for (; n > 0; n--, (*text)++) {
		if (**text < '0' || **text > '9')
			return -1;
		value = value * 10 + **text - '0';
	}
	return value < min || value > max ? -1 : value;
}

/* The same behind one of these characters. */
static int
take_after(const char **text, const char *before, int n, int min, int max)
{
	if (!**text || !strchr(before, **text))
		return -1;
	(*text)++;
	return take(text, n, min, max);
}

static const char *
parse_calendar(const char *text, int64_t *ret)
{
	struct tm tm = { .tm_isdst = -1 }, copy;
	bool utc;

	tm.tm_year = take(&text, 4, 1900, 9999) - 1900;
	tm.tm_mon = take_after(&text, "-", 2, 1, 12) - 1;
	tm.tm_mday = take_after(&text, "-", 2, 1, 31);
	tm.tm_hour = take_after(&text, "T ", 2, 0, 23);
	tm.tm_min = take_after(&text, ":", 2, 0, 59);
	if (*text == ':')
		tm.tm_sec = take_after(&text, ":", 2, 0, 59);
	utc = *text == 'Z';
	if (tm.tm_year < 0 || tm.tm_mon < 0 || tm.tm_mday < 0 || tm.tm_hour < 0 || tm.tm_min < 0 ||
	    tm.tm_sec < 0 || text[utc])
		return "a time is written 2026-11-20T14:30, with a Z for UTC, or @SECONDS";
	copy = tm;
	*ret = utc ? timegm(&copy) : mktime(&copy);
	return copy.tm_mday == tm.tm_mday ? NULL : "there is no such day";
}

const char *
question_time(const char *text, int64_t *ret)
{
	int64_t t;
	uint64_t n;
	const char *why;

	if (*text == '@') {
		if (units_number(text + 1, 0, TIME_MAX, &n) < 0)
			return "the seconds after \"@\" are no number";
		*ret = (int64_t)n;
		return NULL;
	}
	why = parse_calendar(text, &t);
	if (!why)
		*ret = t;
	return why;
}

const char *
question_print_time(int64_t t, char buf[QUESTION_TIME])
{
	time_t seconds = (time_t)t;
	struct tm tm;

	if (!localtime_r(&seconds, &tm) ||
	    strftime(buf, QUESTION_TIME, tm.tm_sec ? "%Y-%m-%d %H:%M:%S" : "%Y-%m-%d %H:%M",
		     &tm) == 0)
		(void)snprintf(buf, QUESTION_TIME, "@%lld", (long long)t);
	return buf;
}
