/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The session table: slots and their rows on the board, the two halves of an
 * end, how handlers are stopped, what is logged and counted.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "events.h"
#include "expire.h"
#include "session_rig.h"
#include "spawn.h"
#include "srctab.h"

static const char *const two_services =
	"service a { listen = unix:%DIR%/a  exec = /bin/true  %USER%\n"
	"  log_events = { start, end, refuse, stderr, fail }\n"
	"  limits { per_source = 5 }  timeouts { stop = 50ms } }\n"
	"service b { listen = unix:%DIR%/b  exec = /no/where  %USER%\n"
	"  log_events = { fail }  limits { per_source = 0 } }\n"
	"service u { listen = udp:127.0.0.1:0  exec = { /bin/sleep, \"1000\" }  %USER%\n"
	"  session { max = 2 }  stderr = null }";

static struct master *m;
static struct service *a, *b;

static int
set_up(void **state)
{
	if (rig_set_up(state) == -1)
		return -1;
	m = rig_start(two_services);
	a = rig_service("a");
	b = rig_service("b");
	(void)rig_log();
	return 0;
}

static struct session *
begin(struct service *s, enum board_kind kind)
{
	return rig_begin(s, kind, "192.0.2.1", "192.0.2.2");
}

static struct session *
begin_process(struct service *s, pid_t pid)
{
	struct session *x = begin(s, BOARD_EXEC);

	rig_process(x, pid);
	return x;
}

static void
reaped(struct session *x, int status)
{
	struct rusage usage = {
		.ru_utime = { .tv_sec = 1, .tv_usec = 900000 }, .ru_stime = { .tv_usec = 105000 },
		.ru_maxrss = 77,
	};

	session_reaped(m->sessions, x, status, &usage);
}

static void
check_log(const char *expected)
{
	rig_check_log(expected, "");
}

static void
test_a_new_one(void **state)
{
	struct session *x = begin(a, BOARD_EXEC), *y = begin(b, BOARD_INTERNAL);
	uint32_t slot = session_slot(m->sessions, x);
	struct board_session row;

	(void)state;
	assert_true(board_session(m->board, slot, &row));
	assert_int_equal(row.service, a->row);
	assert_int_equal(row.kind, BOARD_EXEC);
	assert_int_equal(row.state, BOARD_STARTING);
	assert_int_equal(row.pid, 0);
	assert_int_equal(row.step, 0);
	assert_int_equal(row.peer.port, 4242);
	assert_int_equal(row.peer.ip[3], 1);
	assert_int_equal(row.local.ip[3], 2);
	assert_int_equal(session_row(m->sessions, y)->conn, row.conn + 1);
	assert_int_equal(session_row(m->sessions, y)->service, b->row);
	assert_ptr_equal(session_at(m->sessions, slot), x);
	assert_ptr_equal(session_find(m->sessions, slot, row.generation), x);
	assert_null(session_find(m->sessions, slot, row.generation + 1));
	assert_null(session_find(m->sessions, slot, row.generation - 1));
	assert_null(session_at(m->sessions, 2));
	assert_null(session_at(m->sessions, SESSION_NONE));
	assert_null(session_find(m->sessions, SESSION_NONE, 0));
	assert_int_equal(sessions_count(m->sessions), 2);
	assert_int_equal(sessions_rows(m->sessions), 2);
	assert_int_equal(sessions_processes(m->sessions), 0);
	assert_int_equal(a->running, 1);
	assert_int_equal(*board_running(m->board, a->row), 1);
	assert_int_equal(srctab_entries(m->sources), 1);	/* b has no limit of sources */
	session_cancel(m->sessions, x);
	assert_int_equal(srctab_entries(m->sources), 0);
	assert_int_equal(a->running, 0);
	assert_int_equal(*board_running(m->board, a->row), 0);
	assert_false(board_session(m->board, slot, &row));
	assert_string_equal(rig_log(), "");
}

static void
test_slots_are_used_again(void **state)
{
	struct session *x[3] = { begin(a, BOARD_EXEC), begin(a, BOARD_EXEC), begin(a, BOARD_EXEC) };
	uint32_t slot = session_slot(m->sessions, x[1]);
	uint32_t generation = session_row(m->sessions, x[1])->generation;

	(void)state;
	session_cancel(m->sessions, x[1]);
	assert_null(session_at(m->sessions, slot));
	assert_null(session_find(m->sessions, slot, generation));
	assert_ptr_equal(begin(b, BOARD_WAIT), x[1]);
	assert_null(session_find(m->sessions, slot, generation));
	assert_ptr_equal(session_find(m->sessions, slot, generation + 2), x[1]);
	session_cancel(m->sessions, x[0]);
	session_cancel(m->sessions, x[2]);
	assert_ptr_equal(begin(a, BOARD_EXEC), x[2]);	/* last in, first out */
	assert_ptr_equal(begin(a, BOARD_EXEC), x[0]);
	assert_int_equal(sessions_rows(m->sessions), 3);
	assert_int_equal(sessions_count(m->sessions), 3);
}

/* Pids that fall into one bucket, whatever its size below 1 << 20. */
static void
test_by_pid(void **state)
{
	enum { N = 5, STEP = 1 << 20 };
	static const int orders[][N] = { { 0, 1, 2, 3, 4 }, { 4, 3, 2, 1, 0 }, { 2, 0, 4, 1, 3 } };
	struct session *x[N];

	(void)state;
	for (size_t k = 0; k < sizeof(orders) / sizeof(*orders); k++) {
		bool there[N];

		for (int i = 0; i < N; i++) {
			x[i] = begin_process(b, (1 << 29) + i * STEP);
			there[i] = true;
		}
		assert_int_equal(sessions_processes(m->sessions), N);
		for (int i = 0; i < N; i++) {
			reaped(x[orders[k][i]], 0);
			there[orders[k][i]] = false;
			for (int j = 0; j < N; j++)
				assert_ptr_equal(session_by_pid(m->sessions, (1 << 29) + j * STEP),
						 there[j] ? x[j] : NULL);
		}
		assert_int_equal(sessions_processes(m->sessions), 0);
		assert_int_equal(sessions_count(m->sessions), 0);
	}
	assert_null(session_by_pid(m->sessions, 1));
}

static void
test_ends(void **state)
{
	struct session *x = begin_process(a, 1 << 29);
	uint32_t slot = session_slot(m->sessions, x);
	uint32_t generation = session_row(m->sessions, x)->generation;
	struct board_recent recent;

	(void)state;
	assert_int_equal(session_row(m->sessions, x)->state, BOARD_RUNNING);
	reaped(x, 0);
	assert_int_equal(sessions_count(m->sessions), 0);
	assert_int_equal(service_counters(a)->ended, 1);
	assert_int_equal(service_counters(a)->failed, 0);
	rig_check_log("end svc=a conn=1 pid=536870912 peer=192.0.2.1:4242 exit=0 ms=",
			" cpu_ms=2005 rss_kb=77\n");
	/* what it has written to stderr may still come */
	assert_true(board_recent(m->board, 1 << 29, slot, generation, &recent));
	assert_int_equal(recent.conn, 1);
	assert_int_equal(recent.service, a->row);

	reaped(begin_process(a, 1 << 29), 3 << 8);
	check_log("exit=3");
	reaped(begin_process(a, 1 << 29), SIGSEGV | 0x80);
	check_log("signal=SEGV core=1");
	reaped(begin_process(a, 1 << 29), SIGKILL);
	check_log("signal=KILL ms=");
	assert_int_equal(service_counters(a)->ended, 4);
	assert_int_equal(service_counters(a)->failed, 3);

	reaped(begin_process(b, 1 << 28), 0);	/* logs failures only */
	assert_string_equal(rig_log(), "");
	assert_false(board_recent(m->board, 1 << 28, UINT32_MAX, 0, &recent));
	assert_int_equal(service_counters(b)->ended, 1);
}

static void
test_a_failed_start(void **state)
{
	struct session *x = begin_process(b, 1 << 29);

	(void)state;
	session_row(m->sessions, x)->step = SPAWN_EXEC;
	session_row(m->sessions, x)->error = ENOENT;
	service_failed(b, NULL);
	reaped(x, 127 << 8);
	check_log("fail svc=b conn=1 pid=536870912 peer=192.0.2.1:4242 step=exec "
		  "error=\"No such file or directory\" exec=/no/where retry_ms=100\n");
	assert_int_equal(service_counters(b)->failed, 1);
	assert_int_equal(session_row(m->sessions, begin(b, BOARD_EXEC))->step, 0);
}

/* Over when both halves are, whichever ends first. */
static void
test_two_halves(void **state)
{
	struct session *x = begin_process(a, 1 << 29);

	(void)state;
	session_talked(m->sessions, x);
	assert_int_equal(sessions_talked(m->sessions), 1);
	reaped(x, 1 << 8);
	assert_int_equal(session_row(m->sessions, x)->state, BOARD_ENDING);
	assert_int_equal(sessions_count(m->sessions), 1);
	assert_int_equal(sessions_processes(m->sessions), 0);
	assert_null(session_by_pid(m->sessions, 1 << 29));
	assert_string_equal(rig_log(), "");
	session_untalked(m->sessions, x);
	assert_int_equal(sessions_count(m->sessions), 0);
	assert_int_equal(sessions_talked(m->sessions), 0);
	check_log("exit=1");

	x = begin_process(a, 1 << 29);
	session_talked(m->sessions, x);
	session_untalked(m->sessions, x);
	session_untalked(m->sessions, x);	/* once more does nothing */
	assert_int_equal(sessions_count(m->sessions), 1);
	assert_int_equal(sessions_talked(m->sessions), 0);
	assert_string_equal(rig_log(), "");
	reaped(x, 2 << 8);
	assert_int_equal(sessions_count(m->sessions), 0);
	check_log("exit=2");

	x = begin(a, BOARD_INTERNAL);
	session_talked(m->sessions, x);
	x->bytes_in = 5;
	x->bytes_out = 6;
	session_untalked(m->sessions, x);
	rig_check_log("end svc=a conn=3 peer=192.0.2.1:4242 ms=", " in=5 out=6\n");
	assert_int_equal(service_counters(a)->ended, 3);
}

/* What its configuration said when it began counts to its end. */
static void
test_settings_of_its_begin(void **state)
{
	struct session *x = begin_process(a, 1 << 29), *y = begin_process(b, 1 << 28);

	(void)state;
	assert_int_equal(x->stop_ms, 50);
	service_update(a, b->conf, b->plan);
	service_update(b, a->conf, a->plan);
	reaped(x, 0);
	check_log("end svc=a");
	reaped(y, 0);
	assert_string_equal(rig_log(), "");
}

/* Stopping: TERM, and KILL to those that don't go. */

static void
check_stopped(struct session *x, const char *expected)
{
	assert_int_equal(session_row(m->sessions, x)->state, BOARD_ENDING);
	rig_run_until_free(x);
	check_log(expected);
}

static void
test_stop(void **state)
{
	struct session *x = begin_process(a, rig_child(false)), *y;

	(void)state;
	x->stop_ms = 20000;	/* on a slow machine it may need its time to go */
	expire_stop(m->sessions, x);
	assert_int_equal(x->signalled, SIGTERM);
	expire_stop(m->sessions, x);
	check_stopped(x, "signal=TERM");

	x = begin_process(a, rig_child(true));
	y = begin_process(a, rig_child(true));
	expire_stop(m->sessions, x);
	check_stopped(x, "signal=KILL");
	assert_int_equal(sessions_count(m->sessions), 1);
	expire_kill(m->sessions, y);
	check_stopped(y, "signal=KILL");
}

/* What a handler has started goes with it, and we, in another group, do not. */
static void
test_stop_reaches_the_group(void **state)
{
	struct session *x;
	pid_t helper;
	int fds[2];
	char c;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	helper = fork();
	assert_true(helper >= 0);
	if (helper == 0) {
		(void)setsid();
		if (fork() == 0) {
			rig_unblock();
			(void)close(fds[0]);
			if (write(fds[1], "x", 1) != 1)
				_exit(1);
			for (;;)
				(void)pause();
		}
		(void)close(fds[0]);
		(void)close(fds[1]);
		for (;;)
			(void)pause();
	}
	(void)close(fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	x = begin_process(a, helper);
	expire_kill(m->sessions, x);
	check_stopped(x, "signal=KILL");
	assert_int_equal(read(fds[0], &c, 1), 0);	/* the grandchild is gone, too */
	(void)close(fds[0]);
}

static void
test_stop_tells_the_talker(void **state)
{
	struct session *x = begin(a, BOARD_INTERNAL);
	uint32_t slot = session_slot(m->sessions, x);
	union msg msg;

	(void)state;
	rig_be_talker();
	memset(&msg, 0, sizeof(msg));
	session_talked(m->sessions, x);
	expire_stop(m->sessions, x);
	assert_true(rig_receive(&msg));
	assert_int_equal(msg.head.type, MSG_CLOSE);
	assert_int_equal(msg.close.slot, slot);
	assert_int_equal(msg.close.generation, session_row(m->sessions, x)->generation);
	assert_false(rig_receive(&msg));
	assert_ptr_equal(session_at(m->sessions, slot), x);	/* until it answers */
	session_untalked(m->sessions, x);
	assert_null(session_at(m->sessions, slot));
}

static void
ask(uint32_t handle)
{
	union msg msg = { .ask = { .handle = handle, .listener = rig_listener("u")->number,
				   .peer = rig_ip("192.0.2.1"), .local = rig_ip("192.0.2.2") } };

	msg.ask.peer.port = (uint16_t)(5000 + handle);
	rig_send(&msg, MSG_ASK);
}

static void
end_at_the_talker(struct session *x)
{
	union msg msg = { .ended = { .slot = session_slot(m->sessions, x),
				     .generation = session_row(m->sessions, x)->generation } };

	rig_send(&msg, MSG_ENDED);
	while (x->talker)
		rig_run_for(1);
}

static struct session *
expect_session(void)
{
	union msg msg;

	rig_expect(&msg, MSG_SESSION);
	return session_at(m->sessions, msg.session.slot);
}

static void
expect_full(void)
{
	union msg msg;

	rig_expect(&msg, MSG_VERDICT);
	assert_int_equal(msg.verdict.reason, REASON_SESSION_MAX);
	assert_in_range(msg.verdict.keep_ms, 1, 200);
}

static void
end_process(struct session *x)
{
	expire_kill(m->sessions, x);
	while (x->process)
		rig_run_for(2);
}

/* session.max is not the talker's to keep: those count that it has. */
static void
test_session_max_of_a_socket(void **state)
{
	struct listener *l = rig_listener("u");
	struct session *x[2];
	union msg msg;

	(void)state;
	rig_be_talker();
	for (uint32_t i = 0; i < 5; i++)
		ask(i);
	x[0] = expect_session();
	x[1] = expect_session();
	for (int i = 0; i < 3; i++)
		expect_full();
	assert_int_equal(rig_refused("u", REASON_SESSION_MAX), 3);
	end_process(x[0]);
	rig_expect(&msg, MSG_CLOSE);		/* its handler is gone */
	assert_int_equal(msg.close.slot, session_slot(m->sessions, x[0]));
	ask(5);
	expect_full();
	end_at_the_talker(x[0]);
	rig_run_until_free(x[0]);
	assert_int_equal(l->sessions, 1);
	ask(6);
	assert_ptr_equal(expect_session(), x[0]);
	ask(7);
	expect_full();
	listener_free(m->listeners, l, false);	/* they go on without it */
	rig_expect(&msg, MSG_DGRAM_DROP);
	for (int i = 0; i < 2; i++) {
		end_process(x[i]);
		rig_expect(&msg, MSG_CLOSE);
		end_at_the_talker(x[i]);
		rig_run_until_free(x[i]);
	}
}

/* A handler that the talker has let go of leaves its place, since it may just not be
 * reaped yet; but a talker that says so of all of them doesn't get any number. */
static void
test_session_max_of_handlers_that_end(void **state)
{
	struct listener *l = rig_listener("u");
	enum { MOST = 2 + 2 + 16 };
	struct session *x[MOST];

	(void)state;
	rig_be_talker();
	for (uint32_t i = 0; i < MOST; i++) {
		ask(i);
		x[i] = expect_session();
		end_at_the_talker(x[i]);
	}
	ask(MOST);
	expect_full();
	assert_int_equal(l->sessions, MOST);
	assert_int_equal(l->let_go, MOST);
	for (int i = 0; i < MOST; i++) {
		expire_kill(m->sessions, x[i]);
		rig_run_until_free(x[i]);
	}
	assert_int_equal(l->sessions, 0);
	assert_int_equal(l->let_go, 0);
}

static unsigned
count_lines(const char *log, const char *what)
{
	unsigned n = 0;

	while ((log = strstr(log, what)) != NULL) {
		log += strlen(what);
		n++;
	}
	return n;
}

static uint32_t
suppressed_in(const char *log)
{
	const char *at = strstr(log, "suppressed=");

	assert_non_null(at);
	assert_null(strstr(at + 1, "suppressed="));
	return (uint32_t)strtoul(at + strlen("suppressed="), NULL, 10);
}

/* However many sessions write, and whatever the talker lets through. */
static void
test_stderr_is_limited_for_each_service(void **state)
{
	enum { N = 1000 };
	struct session *x[3] = { begin(a, BOARD_EXEC), begin(a, BOARD_EXEC), NULL };
	struct msg_errline line = { .slot = UINT32_MAX, .service = UINT32_MAX, .len = 3,
				    .text = "ohx" };
	unsigned told = 0;

	(void)state;
	for (int i = 0; i < N; i++)
		events_stderr(m, x[i % 2], &line);
	told = count_lines(rig_log(), "stderr svc=a");
	assert_in_range(told, 150, 400);
	events_stderr(m, NULL, &line);		/* of another, or of nobody */
	rig_check_log("stderr svc=\"?\" text=ohx", "");
	rig_run_for(50);
	line.suppressed = 7;
	events_stderr(m, x[0], &line);
	assert_int_equal(suppressed_in(rig_log()), N - told + 7);
	line.suppressed = 0;
	for (int i = 0; i < N; i++)
		events_stderr(m, NULL, &line);
	told = count_lines(rig_log(), "stderr svc=\"?\"");
	assert_in_range(told, 150, 400);
	events_stray_suppressed(m);		/* its time has come */
	assert_int_equal(suppressed_in(rig_log()), N - told);
	events_stray_suppressed(m);
	assert_string_equal(rig_log(), "");
	/* what is no line is no line left out, and no number is too big */
	line.len = 0;
	line.suppressed = UINT32_MAX;
	for (int i = 0; i < N; i++)
		events_stderr(m, x[1], &line);
	(void)rig_log();
	events_suppressed(a);
	rig_check_log("stderr svc=a text=\"\" suppressed=4294967295", "");
	session_cancel(m->sessions, x[0]);
	session_cancel(m->sessions, x[1]);
}

/* Its socket has reached its end: the handler is expected to go, and made to
 * if it doesn't. */
static void
test_untalked_handler_is_made_to_go(void **state)
{
	struct session *x = begin_process(a, rig_child(true));

	(void)state;
	session_talked(m->sessions, x);
	session_untalked(m->sessions, x);
	assert_int_equal(x->signalled, 0);
	rig_run_until_free(x);
	check_log("signal=KILL");
}

static void
test_stop_before_it_started(void **state)
{
	struct session *x = begin(a, BOARD_EXEC);

	(void)state;
	expire_stop(m->sessions, x);
	assert_int_equal(sessions_count(m->sessions), 0);
	assert_string_equal(rig_log(), "");
}

/* A service that is gone from the configuration lives as long as its last
 * session. */
static void
test_retired_service(void **state)
{
	struct session *x = begin_process(a, 1 << 29), *y = begin_process(a, 1 << 28);
	uint32_t row = a->row;

	(void)state;
	while (a->listeners)
		listener_free(m->listeners, a->listeners, true);
	service_retire(m->services, a);
	assert_ptr_equal(services_at(m->services, row), a);
	reaped(x, 0);
	check_log("end svc=a");
	assert_string_equal(board_name(m->board, row), "a");
	reaped(y, 0);
	check_log("end svc=a");
	assert_null(services_at(m->services, row));
	assert_string_equal(board_name(m->board, row), "");
}

/* What is not served yet, and what it counts for */

static void
test_a_waiting_one(void **state)
{
	struct addr peer = rig_ip("192.0.2.1");
	uint32_t slot = session_new_waiting(m->sessions, a, BOARD_EXEC, &peer, NULL);
	struct session *x = session_at(m->sessions, slot);

	(void)state;
	assert_int_equal(session_row(m->sessions, x)->kind, BOARD_EXEC);
	assert_int_equal(a->running, 1);
	assert_int_equal(a->busy, 0);
	assert_int_equal(srctab_entries(m->sources), 0);
	session_count_source(m->sessions, x);
	session_count_source(m->sessions, x);	/* once is enough */
	session_count(m->sessions, x);
	session_count(m->sessions, x);
	assert_int_equal(a->busy, 1);
	assert_int_equal(srctab_entries(m->sources), 1);
	session_cancel(m->sessions, x);
	assert_int_equal(a->busy, 0);
	assert_int_equal(a->running, 0);
	assert_int_equal(srctab_entries(m->sources), 0);
	/* one that never counted takes nobody's place away */
	(void)begin(a, BOARD_EXEC);
	slot = session_new_waiting(m->sessions, a, BOARD_EXEC, &peer, NULL);
	session_cancel(m->sessions, session_at(m->sessions, slot));
	assert_int_equal(a->busy, 1);
	assert_int_equal(srctab_entries(m->sources), 1);
}

static void
test_another_services(void **state)
{
	struct session *x = begin(a, BOARD_INTERNAL);

	(void)state;
	x->rated = true;
	session_move(m->sessions, x, b, BOARD_EXEC);
	assert_int_equal(a->running, 0);
	assert_int_equal(a->busy, 0);
	assert_int_equal(*board_running(m->board, a->row), 0);
	assert_int_equal(b->running, 1);
	assert_int_equal(b->busy, 0);
	assert_int_equal(srctab_entries(m->sources), 0);
	assert_int_equal(session_row(m->sessions, x)->service, b->row);
	assert_int_equal(session_row(m->sessions, x)->kind, BOARD_EXEC);
	assert_false(x->rated);
	assert_int_equal(x->log_events, CONF_LOG_FAIL);
	assert_int_equal(x->stop_ms, 5000);
	session_count(m->sessions, x);
	assert_int_equal(b->busy, 1);
	session_cancel(m->sessions, x);
	assert_int_equal(b->busy, 0);
	assert_int_equal(b->running, 0);
}

/* The one that it came from may be gone since a reload. */
static void
test_moved_from_a_retired_one(void **state)
{
	struct session *x = begin(a, BOARD_INTERNAL);
	uint32_t row = a->row;

	(void)state;
	while (a->listeners)
		listener_free(m->listeners, a->listeners, true);
	service_retire(m->services, a);
	session_move(m->sessions, x, b, BOARD_EXEC);
	assert_null(services_at(m->services, row));
	session_cancel(m->sessions, x);
}

/* The talker gives it back: it goes on. */
static void
test_given_back(void **state)
{
	struct session *x = begin(a, BOARD_EXEC);

	(void)state;
	session_talked(m->sessions, x);
	session_returned(m->sessions, x);
	assert_false(x->talker);
	assert_int_equal(sessions_talked(m->sessions), 0);
	assert_int_equal(sessions_count(m->sessions), 1);
	/* but let go of while it waits it is over, and was nothing to tell */
	session_talked(m->sessions, x);
	x->stage = STAGE_PREFIX;
	session_untalked(m->sessions, x);
	assert_int_equal(sessions_count(m->sessions), 0);
	assert_string_equal(rig_log(), "");
}

/* timeouts.linger: the handler is gone, the talker gets what is left. */
static void
test_linger(void **state)
{
	struct session *x = begin_process(a, 1 << 29);
	uint32_t slot = session_slot(m->sessions, x);
	union msg msg = { 0 };
	int pair[2];

	(void)state;
	rig_be_talker();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	session_keep(x, pair[0]);
	assert_int_equal(x->keep, -1);		/* nobody needs it */
	x->linger_ms = 700;
	session_keep(x, pair[0]);
	assert_int_not_equal(x->keep, -1);
	reaped(x, 0);
	assert_true(rig_receive(&msg));
	assert_int_equal(msg.head.type, MSG_LINGER);
	assert_int_equal(msg.linger.slot, slot);
	assert_int_equal(msg.linger.timeout_ms, 700);
	assert_int_equal(x->keep, -1);
	assert_int_equal(a->busy, 0);		/* no instance any more */
	assert_int_equal(a->running, 1);
	assert_string_equal(rig_log(), "");
	session_untalked(m->sessions, x);
	check_log("exit=0");
	assert_int_equal(sessions_count(m->sessions), 0);
	/* nobody is there to do it: the next talker, if it comes in time */
	rig_lose_talker();
	x = begin_process(a, 1 << 29);
	x->linger_ms = 20000;
	session_keep(x, pair[0]);
	reaped(x, 0);
	assert_int_equal(x->stage, STAGE_LINGER);
	assert_int_not_equal(x->keep, -1);
	assert_int_equal(a->busy, 0);
	rig_be_talker();
	assert_int_equal(x->stage, STAGE_NONE);
	assert_int_equal(x->keep, -1);
	assert_true(rig_receive(&msg));
	assert_int_equal(msg.head.type, MSG_LINGER);
	session_untalked(m->sessions, x);
	check_log("exit=0");
	rig_lose_talker();
	x = begin_process(a, 1 << 29);
	x->linger_ms = 20;
	session_keep(x, pair[0]);
	reaped(x, 0);
	rig_run_until_sessions(0);
	check_log("exit=0");
	(void)close(pair[0]);
	(void)close(pair[1]);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		T(test_a_new_one),
		T(test_slots_are_used_again),
		T(test_by_pid),
		T(test_ends),
		T(test_a_failed_start),
		T(test_two_halves),
		T(test_settings_of_its_begin),
		T(test_stop),
		T(test_stop_reaches_the_group),
		T(test_stop_tells_the_talker),
		T(test_session_max_of_a_socket),
		T(test_session_max_of_handlers_that_end),
		T(test_stderr_is_limited_for_each_service),
		T(test_untalked_handler_is_made_to_go),
		T(test_stop_before_it_started),
		T(test_retired_service),
		T(test_a_waiting_one),
		T(test_another_services),
		T(test_moved_from_a_retired_one),
		T(test_given_back),
		T(test_linger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
