/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The anteroom: what is asked of the talker and what follows from its answers,
 * the first byte, who waits for room and who comes first.  The talker is played
 * by the test, handlers are real.
 */
#include "config.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "anteroom.h"
#include "expire.h"
#include "judge.h"
#include "loopback.h"
#include "room.h"
#include "session_rig.h"
#include "srctab.h"

#define CAT "exec = /bin/cat  %USER%  stderr = null\n"

static struct master *m;

static void
start(const char *text)
{
	m = rig_start(text);
	(void)rig_log();
	rig_be_talker();
}

/* Clients */

static int
tcp_client(const char *name)
{
	int fd = loopback_connect(rig_listener(name)->port);

	assert_true(fd >= 0);
	return fd;
}

static int
unix_client(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s", rig_dir, name);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static bool
has_input(void *arg)
{
	char c;

	return recv(*(int *)arg, &c, 1, MSG_PEEK | MSG_DONTWAIT) != -1 || errno != EAGAIN;
}

/* The next that it gets is this text; "": the end. */
static void
check_gets(int fd, const char *expected)
{
	char buf[64];
	ssize_t n;

	rig_run_until(has_input, &fd);
	n = recv(fd, buf, sizeof(buf) - 1, 0);
	assert_true(n >= 0);
	buf[n] = '\0';
	assert_string_equal(buf, expected);
}

/* Its handler is there. */
static void
check_served(int fd)
{
	say(fd, "x");
	check_gets(fd, "x");
}

static void
check_silence(int fd)
{
	assert_false(has_input(&fd));
}

/* Sessions */

static uint32_t
n_in(enum session_stage stage)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < sessions_rows(m->sessions); i++) {
		const struct session *x = session_at(m->sessions, i);

		n += x && x->stage == stage;
	}
	return n;
}

static struct session *
first_in(enum session_stage stage)
{
	for (uint32_t i = 0; i < sessions_rows(m->sessions); i++) {
		struct session *x = session_at(m->sessions, i);

		if (x && x->stage == stage)
			return x;
	}
	return NULL;
}

struct number {
	enum session_stage stage;
	uint32_t n;
};

static bool
is_number(void *arg)
{
	const struct number *w = arg;

	return n_in(w->stage) == w->n;
}

static void
run_until_in(enum session_stage stage, uint32_t n)
{
	struct number w = { stage, n };

	rig_run_until(is_number, &w);
}

static struct session *
session_of(uint32_t slot)
{
	struct session *x = session_at(m->sessions, slot);

	assert_non_null(x);
	return x;
}

/* The talker's answer to what was asked. */
static void
answer(const union msg *asked, enum passed result, const char *from, const char *service)
{
	union msg msg = { 0 };

	/* MSG_PREFIX and MSG_GREET begin alike */
	msg.passed.slot = asked->prefix.slot;
	msg.passed.generation = asked->prefix.generation;
	msg.passed.result = result;
	msg.passed.service = service ? rig_service(service)->row : UINT32_MAX;
	if (from) {
		msg.passed.peer = rig_ip(from);
		msg.passed.local = rig_ip("203.0.113.1");
	}
	rig_send(&msg, MSG_PASSED);
}

static void
check_text(const char *text, uint32_t len, const char *expected)
{
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(text, expected, len);
}

static void
check_refusal(const char *expected)
{
	union msg msg;

	rig_expect(&msg, MSG_REFUSE);
	check_text(msg.refuse.text, msg.refuse.len, expected);
}

static void
end(int fd)
{
	uint32_t n = sessions_count(m->sessions);

	(void)close(fd);
	rig_run_until_sessions(n - 1);
}

/* PROXY */

#define PROXIED "service p { listen = tcp4:127.0.0.1:0  " CAT \
	"  log_events = { start, refuse, fail }  access { deny = 10.0.0.0/8 }\n" \
	"  proxy { from = 127.0.0.1 }  banner { refuse = no }\n" \
	"  limits { per_source = 2  rate_per_source = 3/1h } }"

static void
test_proxy(void **state)
{
	struct service *s;
	struct session *x;
	union msg msg;
	int fd;

	(void)state;
	start(PROXIED);
	s = rig_service("p");
	fd = tcp_client("p");
	rig_expect(&msg, MSG_PREFIX);
	assert_int_equal(msg.prefix.what, PREFIX_PROXY);
	assert_int_equal(msg.prefix.timeout_ms, 3000);
	x = session_of(msg.prefix.slot);
	assert_int_equal(msg.prefix.generation, session_row(m->sessions, x)->generation);
	/* it counts for nothing: whose it is nobody knows */
	assert_int_equal(x->stage, STAGE_PREFIX);
	assert_true(x->talker && !x->counted && !x->process);
	assert_int_equal(s->running, 1);
	assert_int_equal(s->busy, 0);
	assert_int_equal(srctab_entries(m->sources), 0);
	answer(&msg, PASSED_OK, "192.0.2.7", NULL);
	check_served(fd);
	assert_int_equal(s->busy, 1);
	assert_int_equal(srctab_entries(m->sources), 1);
	assert_int_equal(x->stage, STAGE_NONE);
	assert_int_equal(x->fd, -1);
	assert_true(x->process && !x->talker);
	assert_int_equal(session_row(m->sessions, x)->peer.ip[3], 7);
	rig_check_log("start svc=p conn=1 pid=", "peer=192.0.2.7:4242 via=127.0.0.1:");
	end(fd);
	assert_int_equal(s->busy, 0);
}

static void
test_proxys_own(void **state)
{
	union msg msg;
	int fd;

	(void)state;
	start(PROXIED);
	fd = tcp_client("p");
	rig_expect(&msg, MSG_PREFIX);
	answer(&msg, PASSED_OWN, NULL, NULL);
	check_served(fd);
	rig_check_log("peer=127.0.0.1:", " local=");
	assert_int_equal(session_of(msg.prefix.slot)->via.family, 0);
	end(fd);
}

static void
test_no_valid_header(void **state)
{
	static const struct { enum passed result; enum reason why; bool told; } cases[] = {
		{ PASSED_BAD, REASON_PROXY, true }, { PASSED_TIMEOUT, REASON_PROXY, true },
		{ PASSED_EOF, REASON_PROXY, false }, { PASSED_ERROR, REASON_TALKER, true },
		{ PASSED_DONE, REASON_PROXY, true }, { PASSED_UNKNOWN, REASON_PROXY, true },
		{ PASSED_OK, REASON_PROXY, true },	/* but of no family */
	};

	(void)state;
	start(PROXIED);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t before = rig_refused("p", cases[i].why);
		int fd = tcp_client("p");
		union msg msg;

		rig_expect(&msg, MSG_PREFIX);
		answer(&msg, cases[i].result, NULL, NULL);
		rig_run_until_sessions(0);
		assert_int_equal(rig_refused("p", cases[i].why), before + 1);
		if (cases[i].told)
			check_refusal("no");
		assert_false(rig_receive(&msg));
		check_gets(fd, "");
		(void)close(fd);
	}
	rig_check_log("refuse svc=p peer=127.0.0.1:", "reason=proxy");
	assert_int_equal(service_counters(rig_service("p"))->started, 0);
}

/* The judge is asked for the address behind the proxy. */
static void
test_judged_behind_the_proxy(void **state)
{
	union msg msg;
	int fd[4];

	(void)state;
	start(PROXIED);
	fd[0] = tcp_client("p");
	rig_expect(&msg, MSG_PREFIX);
	answer(&msg, PASSED_OK, "10.1.2.3", NULL);
	check_refusal("no");
	rig_check_log("refuse svc=p peer=10.1.2.3:4242 reason=access", "");
	(void)close(fd[0]);
	for (int i = 0; i < 3; i++) {
		fd[i] = tcp_client("p");
		rig_expect(&msg, MSG_PREFIX);
		answer(&msg, PASSED_OK, "192.0.2.7", NULL);
		if (i < 2)
			check_served(fd[i]);
	}
	check_refusal("no");
	assert_int_equal(rig_refused("p", REASON_SOURCE_INSTANCES), 1);
	end(fd[1]);
	fd[3] = tcp_client("p");	/* its third token: none was taken for no */
	rig_expect(&msg, MSG_PREFIX);
	answer(&msg, PASSED_OK, "192.0.2.7", NULL);
	check_served(fd[3]);
	end(fd[3]);
	fd[1] = tcp_client("p");
	rig_expect(&msg, MSG_PREFIX);
	answer(&msg, PASSED_OK, "192.0.2.7", NULL);
	check_refusal("no");
	assert_int_equal(rig_refused("p", REASON_SOURCE_RATE), 1);
	(void)close(fd[1]);
	(void)close(fd[2]);
	end(fd[0]);
}

/* Answers that don't fit are ignored. */
static void
test_strange_answers(void **state)
{
	union msg msg, strange;
	int fd;

	(void)state;
	start(PROXIED);
	fd = tcp_client("p");
	rig_expect(&msg, MSG_PREFIX);
	strange = msg;
	strange.prefix.generation++;
	answer(&strange, PASSED_OK, "192.0.2.7", NULL);
	strange = msg;
	strange.prefix.slot = 77;
	answer(&strange, PASSED_OK, "192.0.2.7", NULL);
	answer(&msg, PASSED_MAX, "192.0.2.7", NULL);
	rig_run_for(20);
	assert_int_equal(session_of(msg.prefix.slot)->stage, STAGE_PREFIX);
	answer(&msg, PASSED_OK, "192.0.2.7", NULL);
	answer(&msg, PASSED_OK, "192.0.2.8", NULL);	/* once more */
	check_served(fd);
	assert_int_equal(session_row(m->sessions, session_of(msg.prefix.slot))->peer.ip[3], 7);
	end(fd);
}

/* The talker is gone and another one comes; it doesn't come in time. */
static void
test_another_talker(void **state)
{
	union msg msg;
	struct session *x;
	int fd[3];

	(void)state;
	start(PROXIED);
	fd[0] = tcp_client("p");
	rig_expect(&msg, MSG_PREFIX);
	x = session_of(msg.prefix.slot);
	rig_lose_talker();
	assert_int_equal(x->stage, STAGE_PREFIX);
	assert_false(x->talker);
	fd[1] = tcp_client("p");	/* stays in the backlog */
	rig_run_for(20);
	assert_int_equal(sessions_count(m->sessions), 1);
	rig_be_talker();
	rig_expect(&msg, MSG_PREFIX);
	assert_ptr_equal(session_of(msg.prefix.slot), x);
	answer(&msg, PASSED_OK, "192.0.2.7", NULL);
	check_served(fd[0]);
	rig_expect(&msg, MSG_PREFIX);
	rig_lose_talker();
	x = session_of(msg.prefix.slot);
	anteroom_late(m, x);
	check_gets(fd[1], "");
	assert_int_equal(rig_refused("p", REASON_TALKER), 1);
	assert_int_equal(sessions_count(m->sessions), 1);
	(void)close(fd[1]);
	end(fd[0]);
}

/* The talker doesn't answer: it is refused, and over when it lets go of it. */
static void
test_late_answer(void **state)
{
	union msg msg, close_msg;
	struct session *x;
	int fd;

	(void)state;
	start(PROXIED);
	for (int i = 0; i < 2; i++) {
		fd = tcp_client("p");
		rig_expect(&msg, MSG_PREFIX);
		x = session_of(msg.prefix.slot);
		assert_true(ev_timer_active(&x->timer));
		anteroom_late(m, x);
		check_refusal("no");
		rig_expect(&close_msg, MSG_CLOSE);
		assert_int_equal(close_msg.close.slot, msg.prefix.slot);
		check_gets(fd, "");
		assert_ptr_equal(session_of(msg.prefix.slot), x);
		if (i == 0)
			answer(&msg, PASSED_OK, "192.0.2.7", NULL);
		else
			rig_lose_talker();
		rig_run_until_sessions(0);
		(void)close(fd);
	}
	assert_int_equal(rig_refused("p", REASON_TALKER), 2);
	assert_int_equal(service_counters(rig_service("p"))->started, 0);
}

/* Texts */

static void
test_greeting(void **state)
{
	union msg msg;
	int fd;

	(void)state;
	start("service b { listen = unix:%DIR%/b  " CAT "  log_events = { refuse }\n"
	      "  banner { open = \"hello\\r\\n\" } }");
	fd = unix_client("b");
	rig_expect(&msg, MSG_GREET);
	check_text(msg.greet.text, msg.greet.len, "hello\r\n");
	assert_true(msg.greet.timeout_ms > 0);
	answer(&msg, PASSED_OK, NULL, NULL);
	check_served(fd);
	end(fd);
	fd = unix_client("b");		/* doesn't wait for it */
	rig_expect(&msg, MSG_GREET);
	answer(&msg, PASSED_EOF, NULL, NULL);
	rig_run_until_sessions(0);
	(void)close(fd);
	fd = unix_client("b");		/* the next talker greets */
	rig_expect(&msg, MSG_GREET);
	rig_lose_talker();
	rig_be_talker();
	rig_expect(&msg, MSG_GREET);
	answer(&msg, PASSED_OK, NULL, NULL);
	check_served(fd);
	end(fd);
	assert_string_equal(rig_log(), "");
}

/* tcpmux */

static const char *const mux =
	"service mux { listen = unix:%DIR%/mux  internal = tcpmux  log_events = { refuse }\n"
	"  limits { per_source = 5  instances = 2 } }\n"
	"service t { listen = unix:%DIR%/t  " CAT "  tcpmux = t  log_events = { refuse }\n"
	"  limits { instances = 1  when_full = refuse } }\n"
	"service plus { listen = unix:%DIR%/plus  " CAT "  tcpmux = \"+plus\"\n"
	"  banner { open = hi } }\n"
	"service no { listen = unix:%DIR%/no  " CAT "  tcpmux = no  log_events = { refuse }\n"
	"  access { deny = { \"0.0.0.0/0\", \"::/0\" }  allow = \"uid:4294967294\" }\n"
	"  banner { refuse = never } }\n"
	"service other { listen = unix:%DIR%/other  " CAT " }";

static void
ask_mux(int *ret_fd, union msg *ret)
{
	*ret_fd = unix_client("mux");
	rig_expect(ret, MSG_PREFIX);
	assert_int_equal(ret->prefix.what, PREFIX_TCPMUX);
}

static void
test_tcpmux(void **state)
{
	struct service *s, *t;
	union msg msg;
	int fd[2];

	(void)state;
	start(mux);
	s = rig_service("mux");
	t = rig_service("t");
	ask_mux(&fd[0], &msg);
	assert_int_equal(s->busy, 1);	/* its line may take its time */
	assert_int_equal(srctab_entries(m->sources), 1);
	answer(&msg, PASSED_OK, NULL, "t");
	check_served(fd[0]);
	assert_int_equal(s->busy, 0);
	assert_int_equal(s->running, 0);
	assert_int_equal(t->busy, 1);
	assert_int_equal(service_counters(t)->accepted, 1);
	assert_int_equal(service_counters(t)->started, 1);
	assert_int_equal(session_row(m->sessions, session_of(msg.prefix.slot))->service, t->row);
	assert_int_equal(session_row(m->sessions, session_of(msg.prefix.slot))->kind, BOARD_EXEC);
	ask_mux(&fd[1], &msg);
	answer(&msg, PASSED_OK, NULL, "t");
	check_refusal("-Refused\r\n");
	check_gets(fd[1], "");
	rig_check_log("refuse svc=t", "reason=instances");
	(void)close(fd[1]);
	end(fd[0]);
	assert_int_equal(t->running, 0);
	assert_int_equal(srctab_entries(m->sources), 0);
}

static void
test_tcpmux_plus(void **state)
{
	union msg msg;
	int fd;

	(void)state;
	start(mux);
	ask_mux(&fd, &msg);
	answer(&msg, PASSED_OK, NULL, "plus");
	rig_expect(&msg, MSG_GREET);
	check_text(msg.greet.text, msg.greet.len, "+Go\r\n");
	rig_lose_talker();		/* it isn't asked for the line again */
	rig_be_talker();
	rig_expect(&msg, MSG_GREET);
	check_text(msg.greet.text, msg.greet.len, "+Go\r\n");
	answer(&msg, PASSED_OK, NULL, NULL);
	rig_expect(&msg, MSG_GREET);
	check_text(msg.greet.text, msg.greet.len, "hi");
	answer(&msg, PASSED_OK, NULL, NULL);
	check_served(fd);
	end(fd);
}

static void
test_tcpmux_refuses(void **state)
{
	union msg msg;
	int fd;

	(void)state;
	start(mux);
	ask_mux(&fd, &msg);
	answer(&msg, PASSED_OK, NULL, "no");
	check_refusal("-never");
	rig_check_log("refuse svc=no", "reason=access");
	(void)close(fd);
	ask_mux(&fd, &msg);
	answer(&msg, PASSED_OK, NULL, "other");		/* not by tcpmux */
	check_refusal("-Refused\r\n");
	rig_check_log("refuse svc=mux", "reason=tcpmux");
	(void)close(fd);
	ask_mux(&fd, &msg);
	answer(&msg, PASSED_OK, NULL, "mux");		/* nor itself */
	check_refusal("-Refused\r\n");
	(void)close(fd);
	ask_mux(&fd, &msg);
	answer(&msg, PASSED_UNKNOWN, NULL, NULL);	/* has been told */
	rig_run_until_sessions(0);
	(void)close(fd);
	assert_int_equal(rig_refused("mux", REASON_TCPMUX), 3);
	(void)rig_log();
	ask_mux(&fd, &msg);
	answer(&msg, PASSED_DONE, NULL, NULL);
	rig_run_until_sessions(0);
	(void)close(fd);
	assert_int_equal(rig_refused("mux", REASON_TCPMUX), 3);
	ask_mux(&fd, &msg);
	answer(&msg, PASSED_EOF, NULL, NULL);
	rig_run_until_sessions(0);
	(void)close(fd);
	assert_int_equal(rig_refused("mux", REASON_TCPMUX), 4);
	assert_string_equal(rig_log(), "");
	assert_false(rig_receive(&msg));
}

static void
test_tcpmux_has_limits_of_its_own(void **state)
{
	union msg msg;
	int fd[3];

	(void)state;
	start(mux);
	ask_mux(&fd[0], &msg);
	ask_mux(&fd[1], &msg);
	fd[2] = unix_client("mux");
	rig_run_for(20);
	assert_int_equal(sessions_count(m->sessions), 2);
	answer(&msg, PASSED_OK, NULL, "plus");		/* leaves room */
	rig_expect(&msg, MSG_GREET);
	rig_expect(&msg, MSG_PREFIX);
	for (int i = 0; i < 3; i++)
		(void)close(fd[i]);
}

/* The first byte */

static void
test_first_byte(void **state)
{
	union msg msg;
	int fd[3];

	(void)state;
	start("service f { listen = unix:%DIR%/f  " CAT "  timeouts { first_byte = 600ms }\n"
	      "  log_events = { start, refuse }  banner { refuse = late } }");
	for (int i = 0; i < 3; i++)
		fd[i] = unix_client("f");
	run_until_in(STAGE_FIRST, 3);
	assert_int_equal(rig_service("f")->busy, 0);
	check_served(fd[0]);
	(void)close(fd[1]);		/* has said nothing: nobody is told */
	rig_run_until_sessions(1);
	check_refusal("late");
	check_gets(fd[2], "");
	rig_check_log("start svc=f conn=1", "refuse svc=f peer=");
	assert_int_equal(rig_refused("f", REASON_FIRST_BYTE), 2);
	assert_int_equal(service_counters(rig_service("f"))->started, 1);
	assert_false(rig_receive(&msg));
	(void)close(fd[2]);
	end(fd[0]);
}

static void
test_first_byte_without_a_talker(void **state)
{
	int fd;

	(void)state;
	m = rig_start("service f { listen = unix:%DIR%/f  " CAT
		      "  timeouts { first_byte = 20s } }");
	fd = unix_client("f");
	run_until_in(STAGE_FIRST, 1);
	check_served(fd);
	end(fd);
	fd = unix_client("f");
	run_until_in(STAGE_FIRST, 1);
	expire_stop(m->sessions, session_of(0));
	check_gets(fd, "");
	assert_int_equal(sessions_count(m->sessions), 0);
	(void)close(fd);
}

/* Room */

#define WAITERS(limits) "service r { listen = unix:%DIR%/r  " CAT \
	"  timeouts { first_byte = 20s }  log_events = { start, refuse }  limits { " limits " } }"

/* First come, first served; and who was not accepted yet comes after them. */
static void
test_room(void **state)
{
	struct service *s;
	int fd[5];

	(void)state;
	start(WAITERS("instances = 1"));
	s = rig_service("r");
	for (int i = 0; i < 4; i++)
		fd[i] = unix_client("r");
	run_until_in(STAGE_FIRST, 4);
	check_served(fd[0]);
	say(fd[2], "2");
	run_until_in(STAGE_ROOM, 1);
	say(fd[1], "1");
	run_until_in(STAGE_ROOM, 2);
	say(fd[3], "3");
	run_until_in(STAGE_ROOM, 3);
	assert_int_equal(s->waiting, 3);
	assert_int_equal(s->busy, 1);
	assert_int_equal(judge_room(m, s, BOARD_EXEC), JUDGE_WAIT_SERVICE);
	fd[4] = unix_client("r");
	rig_run_for(20);
	assert_int_equal(sessions_count(m->sessions), 4);
	rig_check_log("limit svc=r reason=instances", "");
	(void)close(fd[0]);
	check_gets(fd[2], "2");
	check_silence(fd[1]);
	check_silence(fd[3]);
	(void)close(fd[2]);
	check_gets(fd[1], "1");
	(void)close(fd[1]);
	check_gets(fd[3], "3");
	(void)close(fd[3]);
	check_served(fd[4]);
	assert_int_equal(s->waiting, 0);
	end(fd[4]);
}

/* One in the middle, the first, the last are gone. */
static void
test_leaving_the_queue(void **state)
{
	int fd[6];
	static const uint32_t leave[] = { 3, 1, 5 };

	(void)state;
	start(WAITERS("instances = 1"));
	for (int i = 0; i < 6; i++) {
		fd[i] = unix_client("r");
		run_until_in(STAGE_FIRST, (uint32_t)i + 1);
	}
	for (int i = 0; i < 6; i++) {
		say(fd[i], "x");
		run_until_in(STAGE_ROOM, (uint32_t)i);
		run_until_in(STAGE_FIRST, 5 - (uint32_t)i);
	}
	for (int i = 0; i < 3; i++) {
		session_cancel(m->sessions, session_of(leave[i]));
		check_gets(fd[leave[i]], "");
		(void)close(fd[leave[i]]);
	}
	assert_int_equal(rig_service("r")->waiting, 2);
	check_gets(fd[0], "x");
	end(fd[0]);
	check_gets(fd[2], "x");
	end(fd[2]);
	check_gets(fd[4], "x");
	end(fd[4]);
	assert_false(room_waiting(m));
}

static void
test_no_room(void **state)
{
	int fd[2];

	(void)state;
	start(WAITERS("instances = 1  when_full = refuse"));
	fd[0] = unix_client("r");
	fd[1] = unix_client("r");
	run_until_in(STAGE_FIRST, 2);
	check_served(fd[0]);
	say(fd[1], "x");
	rig_run_until_sessions(1);
	assert_int_equal(rig_refused("r", REASON_INSTANCES), 1);
	(void)close(fd[1]);
	end(fd[0]);
}

/* Behind a proxy the token is asked for when the address is known. */
static void
test_room_and_rate(void **state)
{
	union msg msg[2];
	int fd[2];
	int64_t begin;

	(void)state;
	start("service p { listen = tcp4:127.0.0.1:0  " CAT "  log_events = { start, refuse }\n"
	      "  proxy { from = 127.0.0.1 }  limits { rate = 1/300ms } }");
	fd[0] = tcp_client("p");
	fd[1] = tcp_client("p");
	rig_expect(&msg[0], MSG_PREFIX);
	rig_expect(&msg[1], MSG_PREFIX);
	answer(&msg[0], PASSED_OK, "192.0.2.7", NULL);
	check_served(fd[0]);
	begin = ev_now_ms(m->ev);
	say(fd[1], "late");
	answer(&msg[1], PASSED_OK, "192.0.2.8", NULL);
	run_until_in(STAGE_ROOM, 1);
	check_gets(fd[1], "late");
	assert_true(ev_now_ms(m->ev) - begin >= 100);
	assert_true(ev_now_ms(m->ev) - begin < 10000);
	rig_check_log("limit svc=p reason=rate", "");
	end(fd[0]);
	end(fd[1]);
}

/* Two services: that one waits is none of the other's business. */
static void
test_room_of_others(void **state)
{
	int fd[3];

	(void)state;
	start(WAITERS("instances = 1") "\n"
	      "service o { listen = unix:%DIR%/o  " CAT "  timeouts { first_byte = 20s } }");
	fd[0] = unix_client("r");
	fd[1] = unix_client("r");
	run_until_in(STAGE_FIRST, 2);
	check_served(fd[0]);
	say(fd[1], "1");
	run_until_in(STAGE_ROOM, 1);
	fd[2] = unix_client("o");
	check_served(fd[2]);
	end(fd[2]);
	check_silence(fd[1]);
	(void)close(fd[0]);
	check_gets(fd[1], "1");
	end(fd[1]);
}

/* However many wait for the one. */
static void
test_room_behind_many(void **state)
{
	enum { MANY = 1300 };
	struct rlimit old, more;
	int fd[MANY], b[2];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	more = old;
	more.rlim_cur = 3 * MANY;
	if (old.rlim_cur < more.rlim_cur && setrlimit(RLIMIT_NOFILE, &more) == -1)
		skip();
	start(WAITERS("instances = 1  per_source = 0") "\n"
	      "service b { listen = unix:%DIR%/b  " CAT "  timeouts { first_byte = 20s }\n"
	      "  limits { instances = 1 } }");
	m->fd_limit = more.rlim_cur;
	for (int i = 0; i < MANY; i++) {
		fd[i] = unix_client("r");
		if (i % 100 == 99 || i == MANY - 1)
			run_until_in(STAGE_FIRST, (uint32_t)i + 1);
	}
	for (int i = 0; i < MANY; i++)
		say(fd[i], "x");
	run_until_in(STAGE_ROOM, MANY - 1);
	b[0] = unix_client("b");
	b[1] = unix_client("b");
	run_until_in(STAGE_FIRST, 2);
	check_served(b[0]);
	say(b[1], "1");
	run_until_in(STAGE_ROOM, MANY);
	(void)close(b[0]);
	check_gets(b[1], "1");
	(void)close(b[1]);
	while (room_waiting(m))
		session_cancel(m->sessions, first_in(STAGE_ROOM));
	for (int i = 0; i < MANY; i++)
		(void)close(fd[i]);
	rig_run_until_sessions(0);
	(void)setrlimit(RLIMIT_NOFILE, &old);
}

/* A room for all of them at once; it takes some turns. */
static void
test_room_for_many(void **state)
{
	enum { MANY = 100 };
	int fd[MANY];

	(void)state;
	start(WAITERS("instances = 0  per_source = 0"));
	for (int i = 0; i < MANY; i++)
		fd[i] = unix_client("r");
	run_until_in(STAGE_FIRST, MANY);
	service_failed(rig_service("r"), NULL);
	for (int i = 0; i < MANY; i++)
		say(fd[i], "x");
	run_until_in(STAGE_ROOM, MANY);
	for (int i = 0; i < MANY; i++) {
		check_gets(fd[i], "x");
		(void)close(fd[i]);
	}
	rig_run_until_sessions(0);
}

/* In back-off they wait, and don't when it is over. */
static void
test_room_and_backoff(void **state)
{
	int fd;

	(void)state;
	start(WAITERS("instances = 5"));
	fd = unix_client("r");
	run_until_in(STAGE_FIRST, 1);
	service_failed(rig_service("r"), NULL);
	say(fd, "x");
	run_until_in(STAGE_ROOM, 1);
	check_gets(fd, "x");
	end(fd);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		T(test_proxy),
		T(test_proxys_own),
		T(test_no_valid_header),
		T(test_judged_behind_the_proxy),
		T(test_strange_answers),
		T(test_another_talker),
		T(test_late_answer),
		T(test_greeting),
		T(test_tcpmux),
		T(test_tcpmux_plus),
		T(test_tcpmux_refuses),
		T(test_tcpmux_has_limits_of_its_own),
		T(test_first_byte),
		T(test_first_byte_without_a_talker),
		T(test_room),
		T(test_leaving_the_queue),
		T(test_no_room),
		T(test_room_and_rate),
		T(test_room_of_others),
		T(test_room_behind_many),
		T(test_room_for_many),
		T(test_room_and_backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
