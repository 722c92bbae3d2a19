/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The time of day as the log writes it.  What changes once a second is kept,
 * so a stamp costs little more than reading the clock.  For log.c only.
 */
#ifndef HATCHD_LOG_STAMP_H
#define HATCHD_LOG_STAMP_H

#define LOG_STAMP_UTC 24	/* "2026-11-20T17:30:00.123Z" */
#define LOG_STAMP_LOCAL 15	/* "Nov 20 17:30:00", RFC 3164, section 4.1.2 */

/* Both write as many bytes as said above, and no NUL. */
void log_stamp_utc(char *buf);
void log_stamp_local(char *buf);

#endif
