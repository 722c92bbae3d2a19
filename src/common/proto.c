/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The table of messages between master and talker, and the check of a received
 * one against it.  Both processes use it, through msg.c.  Pure: no system
 * calls, no logging.
 */
#include "config.h"

#include "proto.h"

#include <string.h>

/* No message has hidden padding: what is sent is what its fields say. */
_Static_assert(sizeof(struct msg_head) == 4, "head");
_Static_assert(sizeof(struct addr) == 24, "addr");
_Static_assert(sizeof(struct msg_start) == 4 + 2 * 4, "start");
_Static_assert(sizeof(struct msg_empty) == 4, "empty");
_Static_assert(sizeof(struct msg_conn) == 4 + 4 * 4, "conn");
_Static_assert(sizeof(struct msg_dgram) == 4 + 6 * 4, "dgram");
_Static_assert(sizeof(struct msg_dgram_drop) == 4 + 2 * 4, "dgram-drop");
_Static_assert(sizeof(struct msg_ask) == 4 + 3 * 4 + 2 * sizeof(struct addr), "ask");
_Static_assert(sizeof(struct msg_session) == 4 + 4 * 4, "session");
_Static_assert(sizeof(struct msg_verdict) == 4 + 5 * 4, "verdict");
_Static_assert(sizeof(struct msg_prefix) == 4 + 4 * 4, "prefix");
_Static_assert(sizeof(struct msg_greet) == 4 + 4 * 4 + PROTO_TEXT, "greet");
_Static_assert(sizeof(struct msg_refuse) == 4 + 4 + PROTO_TEXT, "refuse");
_Static_assert(sizeof(struct msg_linger) == 4 + 3 * 4, "linger");
_Static_assert(sizeof(struct msg_mux) == 4 + 3 * 4 + PROTO_MUX_NAME, "mux");
_Static_assert(sizeof(struct msg_passed) == 4 + 5 * 4 + 2 * sizeof(struct addr), "passed");
_Static_assert(sizeof(struct msg_close) == 4 + 2 * 4, "close");
_Static_assert(sizeof(struct msg_ended) == 4 + 7 * 4 + 2 * 8, "ended");
_Static_assert(sizeof(struct msg_errline) == 4 + 5 * 4 + PROTO_ERRLINE, "errline");
_Static_assert(sizeof(struct msg_count) == 4 + 7 * 4 + 2 * 8, "count");
_Static_assert(sizeof(union msg) < UINT16_MAX, "msg_head.size holds every size");

enum {				/* sets of states */
	NEW = 1 << PROTO_NEW,
	STARTED = 1 << PROTO_STARTED,
	RUNNING = 1 << PROTO_RUNNING,
};

/* A message that goes down in PROTO_STARTED may arrive in PROTO_RUNNING, since
 * the talker's MSG_READY may be under way: such a row has both. */
static const struct {
	const char *name;
	uint16_t size;
	uint8_t direction;
	bool fd;
	uint8_t states;
} table[MSG_MAX] = {
#define MSG(type, text, of, dir, fd, states) \
	[type] = { text, sizeof(struct of), dir, fd, states }
	MSG(MSG_START,      "start",      msg_start,      PROTO_DOWN, true,  NEW),
	MSG(MSG_ERRLOG,     "errlog",     msg_empty,      PROTO_DOWN, true,  STARTED | RUNNING),
	MSG(MSG_CONTROL,    "control",    msg_empty,      PROTO_DOWN, true,  STARTED | RUNNING),
	MSG(MSG_CONN,       "conn",       msg_conn,       PROTO_DOWN, true,  RUNNING),
	MSG(MSG_DGRAM,      "dgram",      msg_dgram,      PROTO_DOWN, true,  RUNNING),
	MSG(MSG_DGRAM_DROP, "dgram-drop", msg_dgram_drop, PROTO_DOWN, false, RUNNING),
	MSG(MSG_SESSION,    "session",    msg_session,    PROTO_DOWN, true,  RUNNING),
	MSG(MSG_VERDICT,    "verdict",    msg_verdict,    PROTO_DOWN, false, RUNNING),
	MSG(MSG_CLOSE,      "close",      msg_close,      PROTO_DOWN, false, RUNNING),
	MSG(MSG_PREFIX,     "prefix",     msg_prefix,     PROTO_DOWN, true,  RUNNING),
	MSG(MSG_GREET,      "greet",      msg_greet,      PROTO_DOWN, true,  RUNNING),
	MSG(MSG_REFUSE,     "refuse",     msg_refuse,     PROTO_DOWN, true,  RUNNING),
	MSG(MSG_LINGER,     "linger",     msg_linger,     PROTO_DOWN, true,  RUNNING),
	MSG(MSG_MUX,        "mux",        msg_mux,        PROTO_DOWN, false, RUNNING),
	MSG(MSG_STOP,       "stop",       msg_empty,      PROTO_DOWN, false, STARTED | RUNNING),
	MSG(MSG_READY,      "ready",      msg_empty,      PROTO_UP,   false, STARTED),
	MSG(MSG_ASK,        "ask",        msg_ask,        PROTO_UP,   false, RUNNING),
	MSG(MSG_ENDED,      "ended",      msg_ended,      PROTO_UP,   false, RUNNING),
	MSG(MSG_PASSED,     "passed",     msg_passed,     PROTO_UP,   false, RUNNING),
	MSG(MSG_ERRLINE,    "errline",    msg_errline,    PROTO_UP,   false, RUNNING),
	MSG(MSG_COUNT,      "count",      msg_count,      PROTO_UP,   false, RUNNING),
#undef MSG
};

static const char *const internals[INTERNAL_MAX] = {
	[INTERNAL_ECHO] = "echo",
	[INTERNAL_DISCARD] = "discard",
	[INTERNAL_CHARGEN] = "chargen",
	[INTERNAL_DAYTIME] = "daytime",
	[INTERNAL_TIME] = "time",
	[INTERNAL_TCPMUX] = "tcpmux",
};

const char *
proto_name(unsigned type)
{
	return proto_size(type) != 0 ? table[type].name : "?";
}

size_t
proto_size(unsigned type)
{
	return type < MSG_MAX ? table[type].size : 0;
}

bool
proto_has_fd(unsigned type)
{
	return type < MSG_MAX && table[type].fd;
}

const char *
proto_check(const union msg *m, size_t len, bool has_fd, enum proto_direction dir,
	    enum proto_state *state)
{
	unsigned type;

	if (len < sizeof(m->head))
		return "too short";
	type = m->head.type;
	if (proto_size(type) == 0)
		return "unknown type";
	if (table[type].direction != dir)
		return "wrong direction";
	if (len != table[type].size || m->head.size != len)
		return "wrong size";
	if (has_fd && !table[type].fd)
		return "unexpected descriptor";
	if (!has_fd && table[type].fd)
		return "descriptor missing";
	if ((table[type].states & 1 << *state) == 0)
		return "wrong state";
	if (type == MSG_START)
		*state = PROTO_STARTED;
	else if (type == MSG_READY)
		*state = PROTO_RUNNING;
	return NULL;
}

enum internal
internal_parse(const char *name)
{
	for (int i = INTERNAL_NONE + 1; i < INTERNAL_MAX; i++)
		if (strcmp(name, internals[i]) == 0)
			return (enum internal)i;
	return INTERNAL_NONE;
}

const char *
internal_name(enum internal i)
{
	return (unsigned)i < INTERNAL_MAX && internals[i] != NULL ? internals[i] : "?";
}
