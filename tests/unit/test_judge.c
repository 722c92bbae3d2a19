/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The judge: each reason not to serve, and which comes first if there are
 * several; what waits, and for what.
 */
#include "config.h"

#include <time.h>
#include <unistd.h>

#include "gate.h"
#include "judge.h"
#include "load.h"
#include "session_rig.h"

static uint32_t
begin(struct master *m, struct service *s, enum board_kind kind, const char *from)
{
	return session_slot(m->sessions, rig_begin(s, kind, from, NULL));
}

/* As if it had a process; no such process exists. */
static uint32_t
begin_process(struct master *m, struct service *s, const char *from)
{
	static pid_t pid = 1 << 29;
	struct session *x = rig_begin(s, BOARD_EXEC, from, NULL);

	rig_process(x, ++pid);
	return session_slot(m->sessions, x);
}

static void
cancel(struct master *m, uint32_t slot)
{
	struct session *x = session_at(m->sessions, slot);

	assert_non_null(x);
	session_cancel(m->sessions, x);
}

static void
check(const struct master *m, const struct service *s, enum board_kind kind, const char *from,
      enum reason expected)
{
	struct addr peer = rig_ip(from);
	enum reason why = judge_peer(m, s, kind, &peer);

	assert_string_equal(reason_name(why), reason_name(expected));
}

/* What was let in takes its tokens, as it is for each connection. */
static void
take(struct master *m, struct service *s, const char *from)
{
	struct addr peer = rig_ip(from);

	judge_take_source(m, s, &peer);
	judge_take_service(m, s);
}

static void
test_no_limits(void **state)
{
	struct master *m = rig_start(
		"max_processes = 0\n"
		"service a { listen = unix:%DIR%/a  exec = /bin/true  %USER%\n"
		"  limits { instances = 0  per_source = 0 } }");
	struct service *s = rig_service("a");

	(void)state;
	for (int i = 0; i < 1000; i++)
		(void)begin_process(m, s, "192.0.2.1");
	check(m, s, BOARD_EXEC, "192.0.2.1", REASON_NONE);
	assert_int_equal(judge_room(m, s, BOARD_EXEC), JUDGE_ACCEPT);
	assert_int_equal(judge_room(m, s, BOARD_WAIT), JUDGE_ACCEPT);
}

static void
test_per_source(void **state)
{
	struct master *m = rig_start(
		"service a { listen = unix:%DIR%/a  exec = /bin/true  %USER%\n"
		"  limits { per_source = 2  source_prefix4 = 24  source_prefix6 = 64 } }\n"
		"service b { listen = unix:%DIR%/b  exec = /bin/true  %USER%\n"
		"  limits { per_source = 1 } }");
	struct service *a = rig_service("a"), *b = rig_service("b");
	struct addr somebody = { .family = AF_UNIX, .cred = { .pid = 1, .uid = 7, .gid = 1 } };
	struct addr nobody = { 0 };
	uint32_t first = begin(m, a, BOARD_EXEC, "192.0.2.1");

	(void)state;
	check(m, a, BOARD_EXEC, "192.0.2.2", REASON_NONE);
	(void)begin(m, a, BOARD_INTERNAL, "192.0.2.200");
	check(m, a, BOARD_EXEC, "192.0.2.3", REASON_SOURCE_INSTANCES);
	check(m, a, BOARD_INTERNAL, "192.0.2.3", REASON_SOURCE_INSTANCES);
	check(m, a, BOARD_EXEC, "192.0.3.3", REASON_NONE);
	check(m, b, BOARD_EXEC, "192.0.2.3", REASON_NONE);
	/* before the connection is accepted nobody knows whose it is */
	assert_int_equal(judge_room(m, a, BOARD_EXEC), JUDGE_ACCEPT);
	cancel(m, first);
	check(m, a, BOARD_EXEC, "192.0.2.3", REASON_NONE);

	(void)begin(m, a, BOARD_EXEC, "2001:db8::1");
	(void)begin(m, a, BOARD_EXEC, "2001:db8::2");
	check(m, a, BOARD_EXEC, "2001:db8::ffff", REASON_SOURCE_INSTANCES);
	check(m, a, BOARD_EXEC, "2001:db8:0:1::1", REASON_NONE);

	assert_int_not_equal(session_new(m->sessions, b, BOARD_EXEC, &somebody, NULL),
			     SESSION_NONE);
	somebody.cred.pid = somebody.cred.gid = 2;
	assert_int_equal(judge_peer(m, b, BOARD_EXEC, &somebody), REASON_SOURCE_INSTANCES);
	somebody.cred.uid = 8;
	assert_int_equal(judge_peer(m, b, BOARD_EXEC, &somebody), REASON_NONE);
	for (int i = 0; i < 3; i++)	/* who has no address is no source */
		(void)session_new(m->sessions, b, BOARD_WAIT, NULL, NULL);
	assert_int_equal(judge_peer(m, b, BOARD_EXEC, &nobody), REASON_NONE);
}

static void
test_instances(void **state)
{
	struct master *m = rig_start(
		"service q { listen = unix:%DIR%/q  exec = /bin/true  %USER%\n"
		"  limits { instances = 2  when_full = queue } }\n"
		"service r { listen = unix:%DIR%/r  exec = /bin/true  %USER%\n"
		"  limits { instances = 2  when_full = refuse } }");
	struct service *q = rig_service("q"), *r = rig_service("r");
	uint32_t slots[4] = {
		begin(m, q, BOARD_EXEC, "192.0.2.1"), begin(m, r, BOARD_EXEC, "192.0.2.1"),
	};

	(void)state;
	assert_int_equal(judge_room(m, q, BOARD_EXEC), JUDGE_ACCEPT);
	check(m, r, BOARD_EXEC, "192.0.2.1", REASON_NONE);
	slots[2] = begin(m, q, BOARD_EXEC, "192.0.2.1");
	slots[3] = begin(m, r, BOARD_EXEC, "192.0.2.1");
	assert_int_equal(judge_room(m, q, BOARD_EXEC), JUDGE_WAIT_SERVICE);
	check(m, q, BOARD_DGRAM, "192.0.2.9", REASON_INSTANCES);	/* can't wait */
	assert_int_equal(judge_room(m, r, BOARD_EXEC), JUDGE_ACCEPT);
	check(m, r, BOARD_EXEC, "192.0.2.9", REASON_INSTANCES);
	/* nobody can be refused who is not accepted */
	assert_int_equal(judge_room(m, r, BOARD_WAIT), JUDGE_WAIT_SERVICE);
	cancel(m, slots[0]);
	cancel(m, slots[1]);
	assert_int_equal(judge_room(m, q, BOARD_EXEC), JUDGE_ACCEPT);
	check(m, r, BOARD_EXEC, "192.0.2.9", REASON_NONE);
}

static void
test_processes(void **state)
{
	struct master *m = rig_start(
		"max_processes = 2\n"
		"service q { listen = unix:%DIR%/q  exec = /bin/true  %USER%\n"
		"  limits { when_full = queue } }\n"
		"service r { listen = unix:%DIR%/r  exec = /bin/true  %USER%\n"
		"  limits { when_full = refuse } }\n"
		"service i { listen = unix:%DIR%/i  internal = echo }");
	struct service *q = rig_service("q"), *r = rig_service("r"), *i = rig_service("i");
	uint32_t slot = begin_process(m, q, "192.0.2.1");

	(void)state;
	for (int k = 0; k < 5; k++)	/* they have no process */
		(void)begin(m, i, BOARD_INTERNAL, "192.0.2.1");
	assert_int_equal(judge_room(m, q, BOARD_EXEC), JUDGE_ACCEPT);
	(void)begin_process(m, r, "192.0.2.1");
	assert_int_equal(judge_room(m, q, BOARD_EXEC), JUDGE_WAIT_GLOBAL);
	assert_int_equal(judge_room(m, r, BOARD_EXEC), JUDGE_ACCEPT);
	check(m, r, BOARD_EXEC, "192.0.2.9", REASON_PROCESSES);
	check(m, q, BOARD_DGRAM, "192.0.2.9", REASON_PROCESSES);
	assert_int_equal(judge_room(m, r, BOARD_WAIT), JUDGE_WAIT_GLOBAL);
	assert_int_equal(judge_room(m, i, BOARD_INTERNAL), JUDGE_ACCEPT);
	check(m, i, BOARD_INTERNAL, "192.0.2.9", REASON_NONE);
	cancel(m, slot);
	assert_int_equal(judge_room(m, q, BOARD_EXEC), JUDGE_ACCEPT);
	check(m, r, BOARD_EXEC, "192.0.2.9", REASON_NONE);
}

static void
test_backoff(void **state)
{
	struct master *m = rig_start(
		"service a { listen = unix:%DIR%/a  exec = /bin/true  %USER% }\n"
		"service b { listen = unix:%DIR%/b  exec = /bin/true  %USER% }");
	struct service *a = rig_service("a"), *b = rig_service("b");

	(void)state;
	service_failed(a, NULL);
	assert_int_equal(judge_room(m, a, BOARD_EXEC), JUDGE_WAIT_SERVICE);
	check(m, a, BOARD_DGRAM, "192.0.2.1", REASON_BACKOFF);
	assert_int_equal(judge_room(m, b, BOARD_EXEC), JUDGE_ACCEPT);
	check(m, b, BOARD_DGRAM, "192.0.2.1", REASON_NONE);
	service_succeeded(a);
	assert_int_equal(judge_room(m, a, BOARD_EXEC), JUDGE_ACCEPT);
	check(m, a, BOARD_DGRAM, "192.0.2.1", REASON_NONE);
}

/* While a process can't be made for one that was accepted, no more are. */
static void
test_to_start(void **state)
{
	struct master *m = rig_start(
		"service a { listen = unix:%DIR%/a  exec = /bin/true  %USER% }\n"
		"service i { listen = unix:%DIR%/i  internal = echo }");

	(void)state;
	m->to_start = 1;
	assert_int_equal(judge_room(m, rig_service("a"), BOARD_EXEC), JUDGE_WAIT_GLOBAL);
	assert_int_equal(judge_room(m, rig_service("a"), BOARD_WAIT), JUDGE_WAIT_GLOBAL);
	assert_int_equal(judge_room(m, rig_service("i"), BOARD_INTERNAL), JUDGE_ACCEPT);
	m->to_start = 0;
	assert_int_equal(judge_room(m, rig_service("a"), BOARD_EXEC), JUDGE_ACCEPT);
}

/* The talker has a descriptor for each session, and not more than we. */
static void
test_talker_full(void **state)
{
	struct master *m = rig_start(
		"service i { listen = unix:%DIR%/i  internal = echo\n"
		"  limits { instances = 0  per_source = 0 } }");
	struct service *i = rig_service("i");
	uint32_t n = 0, slot;

	(void)state;
	m->fd_limit = 40;
	do {
		slot = begin(m, i, BOARD_INTERNAL, "192.0.2.1");
		session_talked(m->sessions, session_at(m->sessions, slot));
		n++;
	} while (judge_room(m, i, BOARD_INTERNAL) == JUDGE_ACCEPT && n < 100);
	assert_true(n < 40);
	assert_int_equal(judge_room(m, i, BOARD_INTERNAL), JUDGE_WAIT_GLOBAL);
	assert_int_equal(judge_room(m, i, BOARD_EXEC), JUDGE_ACCEPT);
	cancel(m, slot);
	assert_int_equal(judge_room(m, i, BOARD_INTERNAL), JUDGE_ACCEPT);
}

/* The table of sessions, and with it the table of sources. */
static void
test_sessions(void **state)
{
	struct master *m = rig_start(
		"max_processes = 0\n"
		"service a { listen = unix:%DIR%/a  exec = /bin/true  %USER%\n"
		"  limits { instances = 0  per_source = 1  when_full = refuse } }");
	struct service *s = rig_service("a");
	struct addr peer = { .family = AF_INET };
	uint32_t slot = 0;

	(void)state;
	for (uint32_t i = 0; i < BOARD_SESSIONS; i++) {
		memcpy(peer.ip, &i, 4);
		assert_int_equal(judge_peer(m, s, BOARD_EXEC, &peer), REASON_NONE);
		slot = session_new(m->sessions, s, BOARD_EXEC, &peer, NULL);
		assert_int_equal(slot, i);
		assert_int_equal(judge_peer(m, s, BOARD_EXEC, &peer), REASON_SOURCE_INSTANCES);
	}
	assert_true(sessions_full(m->sessions));
	check(m, s, BOARD_EXEC, "192.0.2.1", REASON_SESSIONS);
	assert_int_equal(judge_room(m, s, BOARD_EXEC), JUDGE_WAIT_GLOBAL);
	assert_int_equal(session_new(m->sessions, s, BOARD_EXEC, &peer, NULL), SESSION_NONE);
	cancel(m, slot);
	check(m, s, BOARD_EXEC, "192.0.2.1", REASON_NONE);
	assert_int_equal(judge_peer(m, s, BOARD_EXEC, &peer), REASON_NONE);
	assert_int_equal(session_new(m->sessions, s, BOARD_EXEC, &peer, NULL), slot);
}

/* Access */

static void
test_access(void **state)
{
	struct master *m = rig_start(
		"service a { listen = unix:%DIR%/a  exec = /bin/true  %USER%\n"
		"  access { allow = { \"192.0.2.0/24\", \"uid:7\" }  deny = \"192.0.2.64/26\" } }");
	struct service *a = rig_service("a");
	struct addr somebody = { .family = AF_UNIX, .cred = { .pid = 1, .uid = 7, .gid = 1 } };

	(void)state;
	check(m, a, BOARD_EXEC, "192.0.2.1", REASON_NONE);
	check(m, a, BOARD_EXEC, "192.0.2.65", REASON_ACCESS);
	check(m, a, BOARD_EXEC, "198.51.100.1", REASON_ACCESS);
	check(m, a, BOARD_EXEC, "2001:db8::1", REASON_ACCESS);
	check(m, a, BOARD_INTERNAL, "2001:db8::1", REASON_ACCESS);
	assert_int_equal(judge_peer(m, a, BOARD_EXEC, &somebody), REASON_NONE);
	somebody.cred.uid = 8;
	assert_int_equal(judge_peer(m, a, BOARD_EXEC, &somebody), REASON_ACCESS);
	assert_int_equal(judge_room(m, a, BOARD_EXEC), JUDGE_ACCEPT);
}

/* Hours that are over, or have not begun, for an hour at least. */
static void
closed_hours(char *buf, size_t size)
{
	struct tm tm;
	time_t now = time(NULL);

	assert_non_null(localtime_r(&now, &tm));
	/* three hours that begin in two */
	(void)snprintf(buf, size, "%02d:00-%02d:00", (tm.tm_hour + 2) % 24, (tm.tm_hour + 5) % 24);
}

/* A load that is more than 0.01, which is checked where the kernel tells any. */
static bool
is_busy(struct master *m)
{
	const struct gate_load *l = load_get(m->load, ev_now_ms(m->ev));

	return l->load != GATE_UNKNOWN && l->load > 1;
}

static void
test_hours(void **state)
{
	char hours[32], text[512];
	struct master *m;

	(void)state;
	closed_hours(hours, sizeof(hours));
	(void)snprintf(text, sizeof(text),
		       "service a { listen = unix:%%DIR%%/a  exec = /bin/true  %%USER%%\n"
		       "  access { hours = \"%s\" } }\n"
		       "service b { listen = unix:%%DIR%%/b  exec = /bin/true  %%USER%%\n"
		       "  access { hours = { \"%s\", \"00:00-24:00\" } } }", hours, hours);
	m = rig_start(text);
	check(m, rig_service("a"), BOARD_EXEC, "192.0.2.1", REASON_HOURS);
	check(m, rig_service("b"), BOARD_EXEC, "192.0.2.1", REASON_NONE);
}

/* Rates */

/* What a start failed on has changed: it is tried at once, and a failure now is
 * another one. */
static void
test_backoff_ends_with_a_change(void **state)
{
	struct master *m = rig_start(
		"service a { listen = unix:%DIR%/a  exec = /bin/true  %USER% }");
	struct service *a = rig_service("a");
	int64_t begin = ev_now_ms(m->ev);
	char path[128];
	FILE *f;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/program", rig_dir);
	service_live(a)->backoff_ms = 10000;
	service_failed(a, path);
	assert_int_equal(service_backoff_ms(a), 20000);
	service_failed(a, path);	/* of one that was under way */
	assert_int_equal(service_backoff_ms(a), 20000);
	rig_run_for(500);
	assert_true(service_in_backoff(a));
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
	rig_run_for(500);
	assert_true(ev_now_ms(m->ev) - begin < 20000);
	assert_false(service_in_backoff(a));
	assert_int_equal(service_backoff_ms(a), 0);
	assert_int_equal(judge_room(m, a, BOARD_EXEC), JUDGE_ACCEPT);
	service_live(a)->backoff_ms = 10000;
	service_failed(a, path);
	assert_int_equal(unlink(path), 0);
	rig_run_for(500);
	assert_false(service_in_backoff(a));
}

static void
test_rate(void **state)
{
	struct master *m = rig_start(
		"service q { listen = unix:%DIR%/q  exec = /bin/true  %USER%\n"
		"  limits { rate = 2/1h  when_full = queue } }\n"
		"service r { listen = unix:%DIR%/r  exec = /bin/true  %USER%\n"
		"  limits { rate = 2/1h  when_full = refuse } }\n"
		"service f { listen = unix:%DIR%/f  exec = /bin/true  %USER%\n"
		"  limits { rate = 1/20ms } }");
	struct service *q = rig_service("q"), *r = rig_service("r"), *f = rig_service("f");

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(judge_wait_ms(m, q, NULL), 0);
		assert_int_equal(judge_room(m, q, BOARD_EXEC), JUDGE_ACCEPT);
		check(m, r, BOARD_EXEC, "192.0.2.1", REASON_NONE);
		check(m, r, BOARD_EXEC, "192.0.2.1", REASON_NONE);	/* takes nothing */
		take(m, q, "192.0.2.1");
		take(m, r, "192.0.2.1");
	}
	assert_int_equal(judge_room(m, q, BOARD_EXEC), JUDGE_WAIT_RATE);
	assert_int_equal(judge_room_reason(m, q, BOARD_EXEC), REASON_RATE);
	check(m, q, BOARD_DGRAM, "192.0.2.2", REASON_RATE);
	assert_in_range(judge_wait_ms(m, q, NULL), 1790000, 1800000);
	assert_int_equal(judge_room(m, r, BOARD_EXEC), JUDGE_ACCEPT);
	assert_int_equal(judge_room_reason(m, r, BOARD_EXEC), REASON_NONE);
	check(m, r, BOARD_EXEC, "192.0.2.2", REASON_RATE);
	/* nobody can be refused who is not accepted */
	assert_int_equal(judge_room(m, r, BOARD_WAIT), JUDGE_WAIT_RATE);
	/* its token has been taken before */
	assert_int_equal(judge_service(m, r, BOARD_EXEC, false), REASON_NONE);

	take(m, f, "192.0.2.1");
	assert_int_equal(judge_room(m, f, BOARD_EXEC), JUDGE_WAIT_RATE);
	rig_run_for(20);
	assert_int_equal(judge_room(m, f, BOARD_EXEC), JUDGE_ACCEPT);
	assert_int_equal(judge_wait_ms(m, f, NULL), 0);
}

static void
test_rate_per_source(void **state)
{
	struct master *m = rig_start(
		"service a { listen = unix:%DIR%/a  exec = /bin/true  %USER%\n"
		"  limits { per_source = 0  rate_per_source = 2/1h  source_prefix4 = 24 } }\n"
		"service b { listen = unix:%DIR%/b  exec = /bin/true  %USER%\n"
		"  limits { rate_per_source = 1/20ms } }");
	struct service *a = rig_service("a"), *b = rig_service("b");
	struct addr peer = rig_ip("192.0.2.9"), nobody = { 0 };

	(void)state;
	take(m, a, "192.0.2.1");
	check(m, a, BOARD_EXEC, "192.0.2.2", REASON_NONE);
	take(m, a, "192.0.2.3");
	check(m, a, BOARD_EXEC, "192.0.2.2", REASON_SOURCE_RATE);
	check(m, a, BOARD_DGRAM, "192.0.2.2", REASON_SOURCE_RATE);
	assert_in_range(judge_wait_ms(m, a, &peer), 1790000, 1800000);
	assert_int_equal(judge_room(m, a, BOARD_EXEC), JUDGE_ACCEPT);
	check(m, a, BOARD_EXEC, "192.0.3.2", REASON_NONE);
	check(m, b, BOARD_EXEC, "192.0.2.2", REASON_NONE);
	for (int i = 0; i < 3; i++) {	/* who has no address is no source */
		assert_int_equal(judge_source(m, a, &nobody), REASON_NONE);
		judge_take_source(m, a, &nobody);
	}
	take(m, b, "192.0.2.1");
	check(m, b, BOARD_EXEC, "192.0.2.1", REASON_SOURCE_RATE);
	rig_run_for(20);
	check(m, b, BOARD_EXEC, "192.0.2.1", REASON_NONE);
}

/* Who was accepted and waits comes before who was not. */
static void
test_waiting(void **state)
{
	struct master *m = rig_start(
		"service q { listen = unix:%DIR%/q  exec = /bin/true  %USER% }\n"
		"service r { listen = unix:%DIR%/r  exec = /bin/true  %USER%\n"
		"  limits { when_full = refuse } }");

	(void)state;
	rig_service("q")->waiting = rig_service("r")->waiting = 1;
	assert_int_equal(judge_room(m, rig_service("q"), BOARD_EXEC), JUDGE_WAIT_SERVICE);
	assert_int_equal(judge_room(m, rig_service("r"), BOARD_EXEC), JUDGE_WAIT_SERVICE);
	rig_service("q")->waiting = rig_service("r")->waiting = 0;
	assert_int_equal(judge_room(m, rig_service("q"), BOARD_EXEC), JUDGE_ACCEPT);
}

/* Those that count are those that are served. */
static void
test_not_served_yet(void **state)
{
	struct master *m = rig_start(
		"service q { listen = unix:%DIR%/q  exec = /bin/true  %USER%\n"
		"  limits { instances = 1  per_source = 1 } }");
	struct service *q = rig_service("q");
	struct addr peer = rig_ip("192.0.2.1");
	uint32_t slot = session_new_waiting(m->sessions, q, BOARD_EXEC, &peer, NULL);
	struct session *x = session_at(m->sessions, slot);

	(void)state;
	assert_int_equal(q->running, 1);
	assert_int_equal(judge_room(m, q, BOARD_EXEC), JUDGE_ACCEPT);
	check(m, q, BOARD_EXEC, "192.0.2.1", REASON_NONE);
	session_count_source(m->sessions, x);
	check(m, q, BOARD_EXEC, "192.0.2.1", REASON_SOURCE_INSTANCES);
	assert_int_equal(judge_room(m, q, BOARD_EXEC), JUDGE_ACCEPT);
	session_count(m->sessions, x);
	assert_int_equal(judge_room(m, q, BOARD_EXEC), JUDGE_WAIT_SERVICE);
	cancel(m, slot);
	assert_int_equal(judge_room(m, q, BOARD_EXEC), JUDGE_ACCEPT);
	check(m, q, BOARD_EXEC, "192.0.2.1", REASON_NONE);
}

#define ORDERED(name, access) \
	"service " name " { listen = unix:%%DIR%%/" name "  exec = /bin/true  %%USER%%\n" \
	"  access { " access " }\n" \
	"  limits { instances = 1  per_source = 1  rate = 2/1h  rate_per_source = 1/1h\n" \
	"    when_full = refuse } }\n"

/* First what is the peer's own doing, then what is the service's, then what is
 * everybody's.  Each of them says no; from the first on one is taken away. */
static void
test_order(void **state)
{
	char hours[32], text[4096];
	struct master *m;
	struct service *s;

	(void)state;
	closed_hours(hours, sizeof(hours));
	(void)snprintf(text, sizeof(text), "max_processes = 1\n"
		       ORDERED("a", "deny = \"192.0.2.0/24\"  hours = \"%s\"  max_load = 0.01")
		       ORDERED("h", "hours = \"%s\"  max_load = 0.01")
		       ORDERED("l", "max_load = 0.01")
		       ORDERED("s", "")
		       "service i { listen = unix:%%DIR%%/i  exec = /bin/true  %%USER%%\n"
		       "  limits { instances = 1  when_full = refuse } }\n"
		       "service p { listen = unix:%%DIR%%/p  exec = /bin/true  %%USER%%\n"
		       "  limits { when_full = refuse } }\n", hours, hours);
	m = rig_start(text);
	for (const char *name = "ahlsip"; *name; name++) {
		const char one[] = { *name, '\0' };

		s = rig_service(one);
		if (*name != 'p')
			(void)begin_process(m, s, "192.0.2.1");
		take(m, s, "192.0.2.1");
		take(m, s, "192.0.2.2");
		service_failed(s, NULL);
	}
	check(m, rig_service("a"), BOARD_EXEC, "192.0.2.1", REASON_ACCESS);
	check(m, rig_service("h"), BOARD_EXEC, "192.0.2.1", REASON_HOURS);
	check(m, rig_service("l"), BOARD_EXEC, "192.0.2.1",
	      is_busy(m) ? REASON_LOAD : REASON_SOURCE_INSTANCES);
	s = rig_service("s");
	check(m, s, BOARD_EXEC, "192.0.2.1", REASON_SOURCE_INSTANCES);
	check(m, s, BOARD_EXEC, "192.0.2.2", REASON_SOURCE_RATE);
	check(m, s, BOARD_EXEC, "192.0.3.1", REASON_RATE);
	check(m, rig_service("i"), BOARD_EXEC, "192.0.2.1", REASON_INSTANCES);
	check(m, rig_service("p"), BOARD_EXEC, "192.0.2.1", REASON_PROCESSES);
	check(m, rig_service("p"), BOARD_INTERNAL, "192.0.2.1", REASON_BACKOFF);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		T(test_no_limits),
		T(test_per_source),
		T(test_instances),
		T(test_processes),
		T(test_backoff),
		T(test_to_start),
		T(test_talker_full),
		T(test_sessions),
		T(test_access),
		T(test_hours),
		T(test_backoff_ends_with_a_change),
		T(test_rate),
		T(test_rate_per_source),
		T(test_waiting),
		T(test_not_served_yet),
		T(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
