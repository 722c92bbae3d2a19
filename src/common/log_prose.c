/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Prose, the lines for people ("warn: message"), and the limit for lines that
 * a client can cause.  Owns nothing; runs in every process, called by all but
 * the pure modules.
 */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "log_line.h"

/* error: what is said after a colon, NULL: nothing */
static void __attribute__((format(printf, 3, 0)))
prose(enum log_level level, const char *error, const char *fmt, va_list ap)
{
	char text[LOG_LINE + 1];	/* one more, so that the line is cut */
	struct log_line l;
	size_t len;
	int n;

	n = vsnprintf(text, sizeof text, fmt, ap);
	len = n < 0 ? 0 : n < (int)sizeof text ? (size_t)n : sizeof text - 1;
	if (error != NULL && len < sizeof text - 1) {
		(void)snprintf(text + len, sizeof text - len, ": %s", error);
		len = strlen(text);
	}
	log_begin(&l, level, log_level_name(level));
	log_line_prose(&l, text, len);
	log_end(&l);
}

void
log_err(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!log_wants(LOGL_ERR))
		return;
	va_start(ap, fmt);
	prose(LOGL_ERR, NULL, fmt, ap);
	va_end(ap);
	errno = saved;
}

void
log_warn(const char *fmt, ...)
{
	const char *error = strerror(errno);
	int saved = errno;
	va_list ap;

	if (!log_wants(LOGL_WARN))
		return;
	va_start(ap, fmt);
	prose(LOGL_WARN, error, fmt, ap);
	va_end(ap);
	errno = saved;
}

void
log_warnx(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!log_wants(LOGL_WARN))
		return;
	va_start(ap, fmt);
	prose(LOGL_WARN, NULL, fmt, ap);
	va_end(ap);
	errno = saved;
}

void
log_info(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!log_wants(LOGL_INFO))
		return;
	va_start(ap, fmt);
	prose(LOGL_INFO, NULL, fmt, ap);
	va_end(ap);
	errno = saved;
}

void
log_debug(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!log_wants(LOGL_DEBUG))
		return;
	va_start(ap, fmt);
	prose(LOGL_DEBUG, NULL, fmt, ap);
	va_end(ap);
	errno = saved;
}

void
fatal(const char *fmt, ...)
{
	const char *error = strerror(errno);
	va_list ap;

	va_start(ap, fmt);
	prose(LOGL_ERR, error, fmt, ap);
	va_end(ap);
	log_flush();
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	prose(LOGL_ERR, NULL, fmt, ap);
	va_end(ap);
	log_flush();
	exit(1);
}

/* full_ms moves by every_ms with each line and is never more than the burst
 * ahead of now. */
bool
log_rate(struct log_rate *r, int64_t now_ms, unsigned burst, unsigned every_ms,
	 uint32_t *ret_suppressed)
{
	int64_t full = r->full_ms > now_ms ? r->full_ms : now_ms;
	uint64_t ahead = (uint64_t)(full - now_ms) + every_ms;

	if (ahead > (uint64_t)(burst > 0 ? burst : 1) * every_ms) {
		if (r->suppressed < UINT32_MAX)
			r->suppressed++;
		return false;
	}
	r->full_ms = full + every_ms;
	if (ret_suppressed != NULL)
		*ret_suppressed = r->suppressed;
	r->suppressed = 0;
	return true;
}
