/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Why a connection or a datagram was not served.  One enum with one table of
 * names, shared by the log (reason=), the counters on the board and their
 * readers.  A name, once published, is never reused for something else.
 */
#ifndef HATCHD_REASON_H
#define HATCHD_REASON_H

enum reason {
	REASON_NONE,		/* served */
	REASON_ACCESS,		/* access list */
	REASON_HOURS,		/* outside of the hours */
	REASON_LOAD,		/* load too high */
	REASON_SOURCE_INSTANCES,	/* limits.per_source */
	REASON_SOURCE_RATE,	/* limits.rate_per_source */
	REASON_RATE,		/* limits.rate */
	REASON_INSTANCES,	/* limits.instances */
	REASON_PROCESSES,	/* max_processes */
	REASON_SESSIONS,	/* the session table is full */
	REASON_SESSION_MAX,	/* session.max of a datagram service */
	REASON_SPAWN,		/* the handler could not be started, or its service is no longer
				 * what it was */
	REASON_BACKOFF,		/* its service is in back-off */
	REASON_TALKER,		/* the talker is not there */
	REASON_UNREAD,		/* wait datagram that its handler did not read */
	REASON_LOOP,		/* datagram of a port that could answer for ever */
	REASON_QUEUE,		/* bounded queue of a session was full */
	REASON_PROXY,		/* PROXY header missing or wrong, or a peer not in proxy.from */
	REASON_TCPMUX,		/* tcpmux: no line, or no service of that name */
	REASON_FIRST_BYTE,	/* timeouts.first_byte: nothing came */
	REASON_IDLE,		/* timeouts.idle: ended */
	REASON_TOTAL,		/* timeouts.total: ended */
	REASON_PRESSURE,	/* pressure too high */
	REASON_MAX
};

/* "access", "source-instances", ...; "?" for a number that is none of them. */
const char *reason_name(enum reason r);

#endif
