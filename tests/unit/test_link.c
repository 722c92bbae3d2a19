/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The master's half of the link when the talker doesn't read: all that must
 * arrive arrives later, once, in an order that the talker can follow.  The
 * talker is played by the test.
 */
#include "config.h"

#include <unistd.h>

#include "link.h"
#include "loopback.h"
#include "owed.h"
#include "session_rig.h"
#include "talkproc.h"

#define NAMES 1500		/* more than the kernel and the queue take */
#define CLIENTS 5

#define PROXIED "service p { listen = tcp4:127.0.0.1:0  internal = echo\n" \
	"  proxy { from = 127.0.0.1 }  limits { per_source = 0 } }\n"
#define DATAGRAMS "service u { listen = udp4:127.0.0.1:0  internal = echo }\n"

static struct master *m;

static void
start(void)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	(void)fputs(PROXIED DATAGRAMS, out);
	for (int i = 0; i < NAMES; i++)
		(void)fprintf(out, "service m%d { internal = daytime  tcpmux = m%d }\n", i, i);
	assert_int_equal(fclose(out), 0);
	m = rig_start(text);
	free(text);
	(void)rig_log();
}

/* The names, whole: the first message is the one that forgets all. */
static void
check_names(void)
{
	static bool known[NAMES];
	union msg msg;
	unsigned n;

	memset(known, 0, sizeof(known));
	rig_expect(&msg, MSG_MUX);
	assert_int_equal(msg.mux.len, 0);
	for (int i = 0; i < NAMES; i++) {
		rig_expect(&msg, MSG_MUX);
		assert_true(msg.mux.len > 1 && msg.mux.len < sizeof(msg.mux.name));
		msg.mux.name[msg.mux.len] = '\0';
		n = (unsigned)atoi(msg.mux.name + 1);
		assert_true(n < NAMES && !known[n]);
		known[n] = true;
		assert_int_equal(msg.mux.service,
				 rig_service("m0")->row + n);
	}
}

static void
check_nothing(void)
{
	union msg msg;

	rig_run_for(20);
	assert_false(rig_receive(&msg));
	assert_false(owed_any(m->owed));
	assert_true(link_ready(m));
	assert_string_equal(rig_log(), "");
}

static bool
all_wait(void *arg)
{
	(void)arg;
	return sessions_count(m->sessions) == CLIENTS;
}

/* A talker that has read nothing yet but what begins the link. */
static void
be_new_talker(void)
{
	union msg msg;

	rig_be_talker_only();
	rig_expect(&msg, MSG_DGRAM);
}

static bool
is_busy(void *arg)
{
	(void)arg;
	return msg_link_busy(talkproc_link(m)) && owed_any(m->owed);
}

/* Nothing can be sent now: the names fill the link, since nobody reads them. */
static void
jam(void)
{
	link_send_names(m);
	rig_run_until(is_busy, NULL);
}

static void
test_a_new_talker_gets_everything(void **state)
{
	int fds[CLIENTS];
	union msg msg;

	(void)state;
	start();
	be_new_talker();
	check_names();
	check_nothing();
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = loopback_connect(rig_listener("p")->port);
	rig_run_until(all_wait, NULL);
	for (int i = 0; i < CLIENTS; i++)
		rig_expect(&msg, MSG_PREFIX);
	rig_lose_talker();
	be_new_talker();
	/* it knows the names before it could be asked for one */
	check_names();
	for (int i = 0; i < CLIENTS; i++)
		rig_expect(&msg, MSG_PREFIX);
	check_nothing();
	assert_int_equal(sessions_count(m->sessions), CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		(void)close(fds[i]);
}

static void
test_names_that_change_meanwhile(void **state)
{
	union msg msg;
	int before = 1;

	(void)state;
	start();
	be_new_talker();
	/* the rest of these is not told any more */
	link_send_names(m);
	rig_expect(&msg, MSG_MUX);
	assert_int_equal(msg.mux.len, 0);
	for (rig_expect(&msg, MSG_MUX); msg.mux.len > 0; before++)
		rig_expect(&msg, MSG_MUX);
	assert_in_range(before, 2, NAMES);
	for (int i = 0; i < NAMES; i++) {
		rig_expect(&msg, MSG_MUX);
		assert_int_not_equal(msg.mux.len, 0);
	}
	check_nothing();
}

static void
test_a_socket_that_comes_and_goes(void **state)
{
	struct listener *l;
	union msg msg;

	(void)state;
	start();
	be_new_talker();
	jam();
	l = rig_listener("u");
	assert_true(l->sent);
	link_drop_listener(m, l, false);
	assert_false(l->sent);
	for (int i = 0; i < 3; i++) {	/* all but the last is no news for the talker */
		link_send_listener(m, l);
		if (i < 2)
			link_drop_listener(m, l, false);
	}
	assert_false(l->sent);
	for (rig_expect(&msg, MSG_MUX); msg.head.type == MSG_MUX; )
		rig_run_until_message(&msg);
	assert_int_equal(msg.head.type, MSG_DGRAM_DROP);
	assert_int_equal(msg.dgram_drop.listener, l->number);
	rig_expect(&msg, MSG_DGRAM);
	assert_int_equal(msg.dgram.listener, l->number);
	assert_true(l->sent);
	do
		rig_run_until_message(&msg);
	while (owed_any(m->owed));
	assert_int_equal(msg.head.type, MSG_MUX);
}

static void
test_only_what_lives_is_closed(void **state)
{
	struct session *x, *y;
	union msg msg;
	int fds[2];

	(void)state;
	start();
	be_new_talker();
	check_names();
	fds[0] = loopback_connect(rig_listener("p")->port);
	rig_expect(&msg, MSG_PREFIX);
	x = session_at(m->sessions, msg.prefix.slot);
	fds[1] = loopback_connect(rig_listener("p")->port);
	rig_expect(&msg, MSG_PREFIX);
	y = session_at(m->sessions, msg.prefix.slot);
	jam();
	assert_int_equal(link_close(m, x), 0);
	assert_int_equal(link_close(m, y), 0);
	assert_int_equal(link_close(m, y), 0);
	session_untalked(m->sessions, x);	/* MSG_ENDED was under way */
	for (rig_expect(&msg, MSG_MUX); msg.head.type == MSG_MUX; )
		rig_run_until_message(&msg);
	assert_int_equal(msg.head.type, MSG_CLOSE);
	assert_int_equal(msg.close.slot, session_slot(m->sessions, y));
	while (owed_any(m->owed)) {
		rig_run_until_message(&msg);
		assert_int_equal(msg.head.type, MSG_MUX);
	}
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void
test_a_dead_talker_is_owed_nothing(void **state)
{
	struct listener *l;

	(void)state;
	start();
	be_new_talker();
	jam();
	l = rig_listener("u");
	link_drop_listener(m, l, false);
	assert_true(owed_marked(m->owed, OWED_DROP, l->number));
	rig_lose_talker();
	assert_false(owed_any(m->owed));
	be_new_talker();	/* and gets the socket, which nobody has dropped for it */
	assert_true(l->sent);
	check_names();
	check_nothing();
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_new_talker_gets_everything),
		TEST(test_names_that_change_meanwhile),
		TEST(test_a_socket_that_comes_and_goes),
		TEST(test_only_what_lives_is_closed),
		TEST(test_a_dead_talker_is_owed_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
