/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Time stamps for the log.  Owns the text of the current second; runs in every
 * process, in the thread of its loop, called by log.c.
 */
#include "config.h"

#include <string.h>
#include <time.h>

#include "log_stamp.h"

/* The text of a second; "" before the first. */
static struct {
	time_t second;
	char text[LOG_STAMP_UTC];
} utc, local;

static char *
put_two(char *p, int n)
{
	p[0] = (char)('0' + n / 10 % 10);
	p[1] = (char)('0' + n % 10);
	return p + 2;
}

static void
put_clock(char *p, const struct tm *tm)
{
	p = put_two(p, tm->tm_hour);
	*p++ = ':';
	p = put_two(p, tm->tm_min);
	*p++ = ':';
	(void)put_two(p, tm->tm_sec);
}

static void
new_utc(time_t now)
{
	struct tm tm = { .tm_mday = 1 };
	char *p = utc.text;

	(void)gmtime_r(&now, &tm);	/* fails beyond the year 2^31 only */
	p = put_two(p, (tm.tm_year + 1900) / 100);
	p = put_two(p, (tm.tm_year + 1900) % 100);
	*p++ = '-';
	p = put_two(p, tm.tm_mon + 1);
	*p++ = '-';
	p = put_two(p, tm.tm_mday);
	*p++ = 'T';
	put_clock(p, &tm);
	memcpy(p + 8, ".000Z", 5);
	utc.second = now;
}

static void
new_local(time_t now)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = { .tm_mday = 1 };
	char *p = local.text;

	(void)localtime_r(&now, &tm);
	memcpy(p, months + tm.tm_mon * 3, 3);
	p[3] = ' ';
	(void)put_two(p + 4, tm.tm_mday);
	if (p[4] == '0')
		p[4] = ' ';
	p[6] = ' ';
	put_clock(p + 7, &tm);
	local.second = now;
}

void
log_stamp_utc(char *buf)
{
	struct timespec ts = { 0 };
	int ms;

	(void)clock_gettime(CLOCK_REALTIME, &ts);	/* can't fail for this clock */
	if (ts.tv_sec != utc.second || utc.text[0] == '\0')
		new_utc(ts.tv_sec);
	ms = (int)(ts.tv_nsec / 1000000);
	memcpy(buf, utc.text, LOG_STAMP_UTC);
	buf[LOG_STAMP_UTC - 4] = (char)('0' + ms / 100);
	(void)put_two(buf + LOG_STAMP_UTC - 3, ms % 100);
}

void
log_stamp_local(char *buf)
{
	time_t now = time(NULL);

	if (now != local.second || local.text[0] == '\0')
		new_local(now);
	memcpy(buf, local.text, LOG_STAMP_LOCAL);
}
