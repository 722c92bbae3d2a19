/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Time limits: total and idle, TERM and KILL after it, what a handler leaves
 * behind with kill = tree, and that the same holds for what has no process.
 */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "expire.h"
#include "loopback.h"
#include "session_rig.h"

#define LONG_MS 20000		/* not waited for */

static const char *const services =
	"defaults { log_events = { end }  limits { per_source = 0 } }\n"
	"service total { listen = unix:%DIR%/total  exec = /bin/true  %USER%\n"
	"  timeouts { total = 50ms  stop = 20s } }\n"
	"service hard { listen = unix:%DIR%/hard  exec = /bin/true  %USER%\n"
	"  timeouts { total = 50ms  stop = 50ms } }\n"
	"service idle { listen = tcp4:127.0.0.1:0  exec = /bin/true  %USER%\n"
	"  timeouts { idle = 1s  stop = 20s } }\n"
	"service both { listen = tcp4:127.0.0.1:0  exec = /bin/true  %USER%\n"
	"  timeouts { idle = 20s  total = 50ms  stop = 20s } }\n"
	"service never { listen = unix:%DIR%/never  exec = /bin/true  %USER% }\n"
	"service echo { listen = unix:%DIR%/echo  internal = echo  timeouts { total = 50ms } }\n"
	"service tree { listen = unix:%DIR%/tree  exec = /bin/true  %USER%  kill = tree\n"
	"  timeouts { stop = 20s } }\n"
	"service felled { listen = unix:%DIR%/felled  exec = /bin/true  %USER%  kill = tree\n"
	"  timeouts { total = 50ms  stop = 50ms } }";

static struct master *m;

static int
set_up(void **state)
{
	if (rig_set_up(state) == -1)
		return -1;
	m = rig_start(services);
	(void)rig_log();
	return 0;
}

static struct session *
begin(const char *name, enum board_kind kind)
{
	return rig_begin(rig_service(name), kind, NULL, NULL);
}

static struct session *
begin_process(const char *name, bool stubborn)
{
	struct session *x = begin(name, BOARD_EXEC);

	rig_process(x, rig_child(stubborn));
	return x;
}

static void
test_total(void **state)
{
	struct session *x = begin_process("total", false);
	int64_t start = ev_now_ms(m->ev);

	(void)state;
	expire_begin(m->sessions, x);
	assert_int_equal(x->signalled, 0);
	rig_run_until_free(x);
	assert_true(ev_now_ms(m->ev) - start >= 50);
	assert_true(ev_now_ms(m->ev) - start < LONG_MS);
	rig_check_log("end svc=total conn=1 pid=", "signal=TERM ended_by=timeouts.total ms=");
	assert_int_equal(rig_refused("total", REASON_TOTAL), 1);
	assert_int_equal(service_counters(rig_service("total"))->failed, 1);
}

/* It ends by itself in time: nothing is left of its limit. */
static void
test_total_is_not_reached(void **state)
{
	struct session *x = begin_process("total", false);

	(void)state;
	expire_begin(m->sessions, x);
	assert_int_equal(kill(session_row(m->sessions, x)->pid, SIGKILL), 0);
	rig_run_until_free(x);
	rig_check_log("signal=KILL ms=", "");
	rig_run_for(100);
	assert_string_equal(rig_log(), "");
	assert_int_equal(rig_refused("total", REASON_TOTAL), 0);
}

static void
test_kill_after_stop(void **state)
{
	struct session *x = begin_process("hard", true);

	(void)state;
	expire_begin(m->sessions, x);
	rig_run_until_free(x);
	rig_check_log("signal=KILL ended_by=timeouts.total ms=", "");
	assert_int_equal(rig_refused("hard", REASON_TOTAL), 1);
}

static void
test_no_limit(void **state)
{
	struct session *x = begin_process("never", false);

	(void)state;
	expire_begin(m->sessions, x);
	assert_false(ev_timer_active(&x->timer));
	expire_kill(m->sessions, x);
	rig_run_until_free(x);
	rig_check_log("signal=KILL ms=", "");
}

/* Idle */

struct traffic {
	int fd[2][2];
	int64_t until;
};

/* Of the first connection only the client writes, of the other only the server. */
static bool
write_a_byte(void *arg)
{
	const struct traffic *t = arg;

	assert_int_equal(send(t->fd[0][0], "x", 1, MSG_DONTWAIT), 1);
	assert_int_equal(send(t->fd[1][1], "x", 1, MSG_DONTWAIT), 1);
	return ev_now_ms(m->ev) >= t->until;
}

static void
close_pair(const int fds[2])
{
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void
test_idle(void **state)
{
	struct traffic t;
	int silent[2];
	struct session *x[3];

	(void)state;
	loopback_pair(t.fd[0], 0);
	loopback_pair(t.fd[1], 0);
	loopback_pair(silent, 0);
	for (int i = 0; i < 3; i++) {
		x[i] = begin_process("idle", false);
		session_keep(x[i], i < 2 ? t.fd[i][1] : silent[1]);
		assert_int_not_equal(x[i]->keep, -1);
		expire_begin(m->sessions, x[i]);
	}
	t.until = ev_now_ms(m->ev) + 1700;
	rig_run_until(write_a_byte, &t);
	assert_int_equal(x[0]->signalled, 0);
	assert_int_equal(x[1]->signalled, 0);
	assert_int_equal(sessions_count(m->sessions), 2);
	rig_check_log("conn=3 pid=", "signal=TERM ended_by=timeouts.idle ms=");
	rig_run_until_sessions(0);
	rig_check_log("ended_by=timeouts.idle", "ended_by=timeouts.idle");
	assert_int_equal(rig_refused("idle", REASON_IDLE), 3);
	close_pair(t.fd[0]);
	close_pair(t.fd[1]);
	close_pair(silent);
}

/* Where the kernel doesn't tell nothing is known, and nobody is ended for it. */
static void
test_idle_is_not_known(void **state)
{
	struct session *x = begin_process("idle", false), *y = begin_process("both", false);
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	session_keep(x, fds[0]);
	session_keep(y, fds[0]);
	expire_begin(m->sessions, x);
	assert_false(ev_timer_active(&x->timer));
	expire_begin(m->sessions, y);
	rig_run_until_free(y);
	rig_check_log("ended_by=timeouts.total", "");
	expire_kill(m->sessions, x);
	rig_run_until_free(x);
	close_pair(fds);
}

/* The talker has it */

static void
test_total_of_an_internal_service(void **state)
{
	struct session *x;
	union msg msg;
	uint32_t slot, generation;

	(void)state;
	rig_be_talker();
	x = begin("echo", BOARD_INTERNAL);
	slot = session_slot(m->sessions, x);
	generation = session_row(m->sessions, x)->generation;
	session_talked(m->sessions, x);
	expire_begin(m->sessions, x);
	rig_expect(&msg, MSG_CLOSE);
	assert_int_equal(msg.close.slot, slot);
	assert_int_equal(msg.close.generation, generation);
	assert_int_equal(x->ended_by, REASON_TOTAL);
	rig_run_for(120);		/* told once, however long it takes */
	assert_false(rig_receive(&msg));
	memset(&msg, 0, sizeof(msg));
	msg.ended.slot = slot;
	msg.ended.generation = generation;
	msg.ended.bytes_in = 7;
	rig_send(&msg, MSG_ENDED);
	rig_run_until_free(x);
	rig_check_log("end svc=echo conn=1 ended_by=timeouts.total ms=", "in=7 out=0");
	assert_int_equal(rig_refused("echo", REASON_TOTAL), 1);
}

/* Both halves are told: its handler by a signal, the talker. */
static void
test_total_of_a_session(void **state)
{
	struct session *x;
	union msg msg;
	uint32_t slot;

	(void)state;
	rig_be_talker();
	x = begin("total", BOARD_DGRAM);
	slot = session_slot(m->sessions, x);
	rig_process(x, rig_child(false));
	session_talked(m->sessions, x);
	expire_begin(m->sessions, x);
	rig_expect(&msg, MSG_CLOSE);
	assert_int_equal(x->signalled, SIGTERM);
	while (x->process)
		rig_run_for(2);
	assert_ptr_equal(session_at(m->sessions, slot), x);
	session_untalked(m->sessions, x);
	assert_null(session_at(m->sessions, slot));
	rig_check_log("signal=TERM ended_by=timeouts.total", "");
}

/* What a handler leaves */

struct tree {
	int fd;			/* reads its end when the grandchild has gone */
	pid_t pid;		/* of the handler */
};

static void
be_grandchild(int fd, uint64_t conn, bool stubborn)
{
	char env[64];
	char *envp[] = { env, NULL };

	(void)setsid();
	rig_unblock();
	(void)snprintf(env, sizeof(env), "HATCHD_CONNECTION=%llu", (unsigned long long)conn);
	(void)dup2(fd, 1);
	(void)execle("/bin/sh", "sh", "-c", stubborn ?
		     "trap '' TERM; echo; while :; do sleep 1000; done" :
		     "echo; exec sleep 1000", (char *)NULL, envp);
	_exit(1);
}

/* A handler, and what it has started: in a session of its own, and not its child
 * any more.  gone: the handler ends by itself. */
static struct tree
plant(uint64_t conn, bool gone, bool stubborn)
{
	struct tree t;
	int fds[2];
	char c;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	t.pid = fork();
	assert_true(t.pid >= 0);
	if (t.pid == 0) {
		(void)setsid();
		if (fork() == 0)
			be_grandchild(fds[1], conn, stubborn);
		rig_unblock();
		(void)close(fds[0]);
		(void)close(fds[1]);
		while (!gone)
			(void)pause();
		_exit(0);
	}
	(void)close(fds[1]);
	t.fd = fds[0];
	assert_int_equal(read(t.fd, &c, 1), 1);		/* it is there */
	return t;
}

static struct session *
begin_tree(const char *name, bool gone, bool stubborn, struct tree *ret)
{
	struct session *x = begin(name, BOARD_EXEC);

	assert_true(x->tree);
	*ret = plant(session_row(m->sessions, x)->conn, gone, stubborn);
	rig_process(x, ret->pid);
	return x;
}

static void
check_felled(const struct tree *t)
{
	char c;

	assert_int_equal(read(t->fd, &c, 1), 0);
	(void)close(t->fd);
}

static bool
has_leftovers(void *arg)
{
	return ((struct session *)arg)->leftovers;
}

static void
test_leftovers(void **state)
{
	struct tree t;
	struct session *x = begin_tree("tree", true, false, &t);
	struct service *s = rig_service("tree");
	int64_t start = ev_now_ms(m->ev);

	(void)state;
	rig_run_until(has_leftovers, x);
	assert_int_equal(sessions_leftovers(m->sessions), 1);
	assert_int_equal(sessions_processes(m->sessions), 0);
	assert_int_equal(session_row(m->sessions, x)->state, BOARD_ENDING);
	assert_int_equal(s->busy, 1);
	assert_string_equal(rig_log(), "");
	rig_run_until_free(x);
	assert_true(ev_now_ms(m->ev) - start < LONG_MS / 2);	/* it isn't waited for stop */
	rig_check_log("exit=0 ms=", "");
	check_felled(&t);
	assert_int_equal(sessions_leftovers(m->sessions), 0);
	assert_int_equal(s->busy, 0);
}

static void
test_leftovers_that_do_not_go(void **state)
{
	struct tree t;
	struct session *x = begin_tree("felled", true, true, &t);

	(void)state;
	rig_run_until_free(x);
	rig_check_log("exit=0 ms=", "");
	check_felled(&t);
}

static void
test_total_of_a_tree(void **state)
{
	struct tree t[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		expire_begin(m->sessions, begin_tree("felled", false, i == 1, &t[i]));
	rig_run_until_sessions(0);
	rig_check_log("signal=TERM ended_by=timeouts.total", "signal=TERM ended_by=timeouts.total");
	check_felled(&t[0]);
	check_felled(&t[1]);
	assert_int_equal(sessions_leftovers(m->sessions), 0);
}

/* SIGTERM to the daemon, twice: nobody is waited for any longer. */
static void
test_leftovers_are_killed(void **state)
{
	struct tree t;
	struct session *x = begin_tree("tree", true, true, &t);
	int64_t start = ev_now_ms(m->ev);

	(void)state;
	rig_run_until(has_leftovers, x);
	expire_stop(m->sessions, x);
	rig_run_for(50);
	assert_int_equal(sessions_leftovers(m->sessions), 1);
	expire_kill(m->sessions, x);
	rig_run_until_free(x);
	assert_true(ev_now_ms(m->ev) - start < LONG_MS / 2);
	check_felled(&t);
}

/* kill = group: one that had to end takes those with it that don't want to. */
static void
test_group_that_does_not_go(void **state)
{
	struct session *x = begin("hard", BOARD_EXEC);
	pid_t pid;
	int fds[2];
	char c;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)setsid();
		pid = fork();
		if (pid == 0)
			(void)signal(SIGTERM, SIG_IGN);
		rig_unblock();
		(void)close(fds[0]);
		if (pid == 0 && write(fds[1], "x", 1) != 1)
			_exit(1);
		if (pid != 0)
			(void)close(fds[1]);
		for (;;)
			(void)pause();
	}
	(void)close(fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	rig_process(x, pid);
	expire_begin(m->sessions, x);
	rig_run_until(has_leftovers, x);
	assert_int_equal(sessions_leftovers(m->sessions), 1);
	rig_run_until_free(x);
	rig_check_log("signal=TERM ended_by=timeouts.total", "");
	assert_int_equal(read(fds[0], &c, 1), 0);
	(void)close(fds[0]);
}

/* One of the group has ended, and its parent, which has left, doesn't look. */
static void
test_group_with_a_zombie(void **state)
{
	struct session *x = begin("total", BOARD_EXEC);
	int64_t start = ev_now_ms(m->ev);
	pid_t pid, parent;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)setsid();
		rig_unblock();
		if (fork() == 0 && fork() != 0) {
			parent = setsid();
			if (write(fds[1], &parent, sizeof(parent)) != sizeof(parent))
				_exit(1);
		}
		for (;;)
			(void)pause();
	}
	(void)close(fds[1]);
	assert_int_equal(read(fds[0], &parent, sizeof(parent)), sizeof(parent));
	(void)close(fds[0]);
	rig_process(x, pid);
	expire_begin(m->sessions, x);
	rig_run_until_free(x);
	assert_true(ev_now_ms(m->ev) - start < LONG_MS / 2);
	assert_int_equal(kill(-pid, 0), 0);	/* it is still there */
	assert_int_equal(kill(parent, SIGKILL), 0);
}

/* kill = group: nobody asks what else it has started. */
static void
test_group_leaves_others_alone(void **state)
{
	struct session *x = begin("never", BOARD_EXEC);
	struct tree t = plant(session_row(m->sessions, x)->conn, true, false);
	struct timeval soon = { .tv_usec = 100000 };
	fd_set set;

	(void)state;
	assert_false(x->tree);
	rig_process(x, t.pid);
	rig_run_until_free(x);
	rig_check_log("exit=0 ms=", "");
	FD_ZERO(&set);
	FD_SET(t.fd, &set);
	assert_int_equal(select(t.fd + 1, &set, NULL, NULL, &soon), 0);
	/* it is ours now; its connection was the first */
	x = begin("tree", BOARD_EXEC);
	session_row(m->sessions, x)->conn = 1;
	rig_process(x, rig_child(false));
	expire_kill(m->sessions, x);
	rig_run_until_free(x);
	check_felled(&t);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		T(test_total),
		T(test_total_is_not_reached),
		T(test_kill_after_stop),
		T(test_no_limit),
		T(test_idle),
		T(test_idle_is_not_known),
		T(test_total_of_an_internal_service),
		T(test_total_of_a_session),
		T(test_leftovers),
		T(test_leftovers_that_do_not_go),
		T(test_total_of_a_tree),
		T(test_leftovers_are_killed),
		T(test_group_that_does_not_go),
		T(test_group_with_a_zombie),
		T(test_group_leaves_others_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
