/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Reads the board and writes JSON; talker, called by control.c.  A list is
 * written item by item, so that only the text of it grows with the number of
 * services.
 */
#include "config.h"

#include "answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

struct text {
	char *bytes;
	size_t len, room;
	bool failed;
	bool item;		/* an item of the list is there: a comma is due */
};

static int
add(const char *bytes, size_t len, void *arg)
{
	struct text *t = arg;

	if (t->room - t->len < len + 1) {
		size_t room = t->room * 2 + len + 256;
		char *bigger = realloc(t->bytes, room);

		if (bigger == NULL) {
			t->failed = true;
			return -1;
		}
		t->bytes = bigger;
		t->room = room;
	}
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
	t->bytes[t->len] = '\0';
	return 0;
}

static void
add_string(struct text *t, const char *s)
{
	(void)add(s, strlen(s), t);	/* t->failed tells */
}

/* Takes item, which may be NULL for want of memory. */
static void
add_item(struct text *t, json_t *item)
{
	if (t->item)
		add_string(t, ",");
	t->item = true;
	if (item == NULL || json_dump_callback(item, add, t, JSON_COMPACT) < 0)
		t->failed = true;
	json_decref(item);
}

static json_int_t
number(uint64_t n)
{
	return n > INT64_MAX ? INT64_MAX : (json_int_t)n;
}

static json_t *
refused(const uint64_t *n)
{
	json_t *o = json_object();

	for (int i = 0; i < REASON_MAX; i++)
		if (n[i] != 0 && json_object_set_new(o, reason_name((enum reason)i),
						     json_integer(number(n[i]))) < 0) {
			json_decref(o);
			return NULL;
		}
	return o;
}

static json_t *
service_item(const struct board_service *s)
{
	const struct board_counters *c = &s->counters;

	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
			 "name", s->name, "running", number(s->running),
			 "accepted", number(c->accepted), "started", number(c->started),
			 "ended", number(c->ended), "failed", number(c->failed),
			 "bytes_in", number(c->bytes_in), "bytes_out", number(c->bytes_out),
			 "datagrams_in", number(c->datagrams_in),
			 "datagrams_out", number(c->datagrams_out),
			 "refused", refused(c->refused));
}

static void
status(struct text *t, const struct board *board, const char *name)
{
	char head[160];
	bool found = name == NULL;
	uint32_t n = board_services(board);

	snprintf(head, sizeof head, "{\"version\":\"%s\",\"pid\":%ld,\"start\":%lld,\"services\":[",
		 PACKAGE_VERSION, (long)board_master_pid(board),
		 (long long)board_start_ms(board));
	add_string(t, head);
	for (uint32_t i = 0; i < n; i++) {
		struct board_service s;

		if (!board_service(board, i, &s) ||
		    (name != NULL && strcmp(name, s.name) != 0))
			continue;
		add_item(t, service_item(&s));
		found = true;
	}
	add_string(t, "]}");
	if (!found) {
		t->len = 0;
		add_string(t, "{\"error\":\"unknown service\"}");
	}
}

static const char *
kind_name(unsigned kind)
{
	static const char *const name[] = {
		[BOARD_FREE] = "free", [BOARD_EXEC] = "exec", [BOARD_WAIT] = "wait",
		[BOARD_INTERNAL] = "internal", [BOARD_DGRAM] = "datagram",
	};

	return kind < sizeof name / sizeof name[0] ? name[kind] : "?";
}

static const char *
state_name(unsigned state)
{
	static const char *const name[] = {
		[BOARD_STARTING] = "starting", [BOARD_RUNNING] = "running",
		[BOARD_ENDING] = "ending",
	};

	return state < sizeof name / sizeof name[0] ? name[state] : "?";
}

static json_t *
session_item(const struct board *board, uint32_t slot, const struct board_session *s)
{
	char peer[ADDR_STRLEN], local[ADDR_STRLEN];
	struct board_service service = { .name = "" };

	(void)board_service(board, s->service, &service);	/* it may be gone: "" */
	addr_format(&s->peer, peer, sizeof peer);
	addr_format(&s->local, local, sizeof local);
	return json_pack("{s:I, s:I, s:s, s:s, s:s, s:I, s:s, s:s, s:I}",
			 "slot", number(slot), "conn", number(s->conn),
			 "service", service.name, "kind", kind_name(s->kind),
			 "state", state_name(s->state), "pid", (json_int_t)s->pid,
			 "peer", peer, "local", local, "start", (json_int_t)s->start_ms);
}

static void
connections(struct text *t, const struct board *board)
{
	uint32_t n = board_sessions(board);

	add_string(t, "{\"connections\":[");
	for (uint32_t i = 0; i < n; i++) {
		struct board_session s;

		if (board_session(board, i, &s))
			add_item(t, session_item(board, i, &s));
	}
	add_string(t, "]}");
}

char *
answers_make(const struct board *board, const char *request, size_t *ret_len)
{
	struct text t = { 0 };

	if (strcmp(request, "status") == 0)
		status(&t, board, NULL);
	else if (strncmp(request, "status ", 7) == 0)
		status(&t, board, request + 7);
	else if (strcmp(request, "connections") == 0)
		connections(&t, board);
	else
		add_string(&t, "{\"error\":\"unknown request\"}");
	add_string(&t, "\n");
	if (t.failed) {
		free(t.bytes);
		return NULL;
	}
	*ret_len = t.len;
	return t.bytes;
}
