/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Names of the reasons.  Runs in master, talker and hatchctl; pure.  Called by
 * whatever writes a reason for people: the log, the answers, hatchctl.
 */
#include "config.h"

#include "reason.h"

static const char *const names[] = {
	[REASON_NONE] = "none",
	[REASON_ACCESS] = "access",
	[REASON_HOURS] = "hours",
	[REASON_LOAD] = "load",
	[REASON_SOURCE_INSTANCES] = "source-instances",
	[REASON_SOURCE_RATE] = "source-rate",
	[REASON_RATE] = "rate",
	[REASON_INSTANCES] = "instances",
	[REASON_PROCESSES] = "processes",
	[REASON_SESSIONS] = "sessions",
	[REASON_SESSION_MAX] = "session-max",
	[REASON_SPAWN] = "spawn",
	[REASON_BACKOFF] = "backoff",
	[REASON_TALKER] = "talker",
	[REASON_UNREAD] = "unread",
	[REASON_LOOP] = "loop",
	[REASON_QUEUE] = "queue",
	[REASON_PROXY] = "proxy",
	[REASON_TCPMUX] = "tcpmux",
	[REASON_FIRST_BYTE] = "first-byte",
	[REASON_IDLE] = "idle",
	[REASON_TOTAL] = "total",
	[REASON_PRESSURE] = "pressure",
};

_Static_assert(sizeof names / sizeof *names == REASON_MAX, "each reason has a name");

const char *
reason_name(enum reason r)
{
	return (unsigned)r < REASON_MAX ? names[r] : "?";
}
