/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The contents of echo, discard, chargen, daytime and time; talker, pure.
 * Called by conn.c for streams and by udp.c for datagrams.
 */
#include "config.h"

#include "internal.h"

#include <stdio.h>

struct date {
	int64_t year;
	unsigned month, day, weekday;	/* 1-12, 1-31, 0 = Sunday */
};

/* The civil calendar, in years that begin in March so that the leap day comes
 * last.  Not gmtime(3): that may read the time zone's file. */
static struct date
date_of(int64_t days)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;
	struct date d;

	d.day = doy - (153 * mp + 2) / 5 + 1;
	d.month = mp < 10 ? mp + 3 : mp - 9;
	d.year = (int64_t)yoe + era * 400 + (d.month <= 2);
	d.weekday = (unsigned)(((days + 4) % 7 + 7) % 7);
	return d;
}

size_t
internal_daytime(int64_t unix_s, char buf[static INTERNAL_TEXT])
{
	static const char weekday[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char month[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
					   "Aug", "Sep", "Oct", "Nov", "Dec" };
	int64_t days = (unix_s >= 0 ? unix_s : unix_s - 86399) / 86400;
	unsigned s = (unsigned)(unix_s - days * 86400);
	struct date d = date_of(days);
	int n = snprintf(buf, INTERNAL_TEXT, "%s, %02u %s %04lld %02u:%02u:%02u +0000\r\n",
			 weekday[d.weekday], d.day, month[d.month - 1], (long long)d.year,
			 s / 3600, s / 60 % 60, s % 60);

	return n > 0 && n < INTERNAL_TEXT ? (size_t)n : 0;
}

void
internal_time(int64_t unix_s, unsigned char buf[static 4])
{
	uint32_t t = (uint32_t)(uint64_t)(unix_s + INT64_C(2208988800));

	for (int i = 0; i < 4; i++)
		buf[i] = (unsigned char)(t >> (24 - 8 * i));
}

void
internal_chargen(char *buf, size_t len, size_t pos)
{
	for (size_t i = 0; i < len; i++) {
		size_t line = pos / INTERNAL_LINE, column = pos % INTERNAL_LINE;

		if (column < INTERNAL_LINE - 2)
			buf[i] = (char)(' ' + (line + column) % INTERNAL_LINES);
		else
			buf[i] = column == INTERNAL_LINE - 2 ? '\r' : '\n';
		if (++pos == INTERNAL_PERIOD)
			pos = 0;
	}
}

long
internal_answer(enum internal what, const void *request, size_t len, int64_t unix_s,
		unsigned line, unsigned char *buf, const void **ret)
{
	size_t n;

	*ret = buf;
	switch (what) {
	case INTERNAL_ECHO:
		*ret = request;
		return (long)len;
	case INTERNAL_CHARGEN:
		/* whole lines, as many as fit */
		n = INTERNAL_DGRAM / INTERNAL_LINE * INTERNAL_LINE;
		internal_chargen((char *)buf, n, line % INTERNAL_LINES * INTERNAL_LINE);
		return (long)n;
	case INTERNAL_DAYTIME:
		n = internal_daytime(unix_s, (char *)buf);
		return n <= len ? (long)n : -1;
	case INTERNAL_TIME:
		internal_time(unix_s, buf);
		return len >= 4 ? 4 : -1;
	default:
		return -1;
	}
}
