/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * See link_end.h.  Fails the running test when a message that must not get
 * through does, when broken comes twice, or when the loop hangs.
 */
#include "config.h"

#include "link_end.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct ev *loop;
static struct ev_timer guard, tick;
static int first_free;		/* lowest free descriptor before a test */

static void
on_receive(const union msg *m, int *fd, void *arg)
{
	struct end *e = arg;

	assert_int_equal(e->broken, 0);
	assert_true(proto_size(m->head.type) == m->head.size && m->head.size > 0);
	e->received++;
	memcpy(&e->last, m, m->head.size);
	if (m->head.type == MSG_CONN) {
		assert_int_equal(m->conn.slot, e->next);
		e->next++;
	}
	if (e->take) {
		e->last_fd = *fd;
		*fd = -1;
	}
	if (e->pause_in_receive)
		msg_link_pause(e->link, true);
	if (e->free_in_receive) {
		msg_link_free(e->link);
		e->link = NULL;
	}
}

static void
on_broken(const char *why, void *arg)
{
	struct end *e = arg;

	e->broken++;
	(void)snprintf(e->why, sizeof(e->why), "%s", why);
	if (e->free_in_broken) {
		msg_link_free(e->link);
		e->link = NULL;
	}
}

static void
on_room(void *arg)
{
	struct end *e = arg;

	e->room++;
	assert_false(msg_link_busy(e->link));
	if (e->free_in_room) {
		msg_link_free(e->link);
		e->link = NULL;
	}
}

static void
stop(void *arg)
{
	ev_stop(arg);
}

void
end_turn(void)
{
	assert_int_equal(ev_timer_start(&tick, 0), 0);
	ev_on_turn(loop, stop, loop);
	assert_int_equal(ev_run(loop), 0);
}

void
end_settle(int64_t ms)
{
	int64_t until = ev_now_ms(loop) + ms;

	do {
		(void)ev_timer_start(&tick, 1);
		ev_on_turn(loop, stop, loop);
		assert_int_equal(ev_run(loop), 0);
	} while (ev_now_ms(loop) < until);
}

static void
nothing(void *arg)
{
	(void)arg;
}

static void
hang(void *arg)
{
	(void)arg;
	fail_msg("the loop hangs");
}

int
end_lowest_free(void)
{
	int fd = dup(0);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

int
end_setup(void **data)
{
	(void)data;
	loop = ev_new("auto");
	if (loop == NULL)
		return -1;
	ev_timer_init(loop, &guard, hang, NULL);
	ev_timer_init(loop, &tick, nothing, NULL);
	first_free = end_lowest_free();
	return ev_timer_start(&guard, 20000);
}

int
end_teardown(void **data)
{
	(void)data;
	ev_timer_stop(&guard);
	ev_timer_stop(&tick);
	assert_int_equal(end_lowest_free(), first_free);	/* none leaked */
	ev_free(loop);
	return 0;
}

struct ev *
end_loop(void)
{
	return loop;
}

void
end_pair(int s[2])
{
	int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;

	assert_int_equal(socketpair(AF_UNIX, type, 0, s), 0);
}

void
end_open(struct end *e, int fd, enum proto_direction receives)
{
	memset(e, 0, sizeof(*e));
	e->last_fd = -1;
	e->link = msg_link_new(loop, fd, receives, on_receive, on_broken, on_room, e);
	assert_non_null(e->link);
}
