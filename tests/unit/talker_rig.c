/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * See talker_rig.h.
 */
#include "config.h"

#include "talker_rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void
on_up(const union msg *m, int *fd, void *arg)
{
	struct rig *r = arg;

	(void)fd;
	assert_true(r->n_got < RIG_MESSAGES);
	memcpy(&r->got[r->n_got++], m, m->head.size);
	if (m->head.type == r->wanted)
		ev_stop(r->ev);
}

static void
on_down(const union msg *m, int *fd, void *arg)
{
	struct rig *r = arg;
	union msg ready;

	(void)fd;
	if (m->head.type == MSG_START)
		assert_int_equal(msg_send(r->link, &ready, MSG_READY, -1), 0);
}

static void
on_broken(const char *why, void *arg)
{
	(void)arg;
	fail_msg("link: %s", why);
}

static void
on_room(void *arg)
{
	struct rig *r = arg;

	if (r->slots != NULL)
		slots_room(r->slots);
}

static void
on_timer(void *arg)
{
	struct rig *r = arg;

	ev_stop(r->ev);
}

static void
on_readable(int fd, short what, void *arg)
{
	struct rig *r = arg;

	(void)fd;
	(void)what;
	ev_stop(r->ev);
}

struct rig *
rig_new(void)
{
	struct rig *r = calloc(1, sizeof *r);
	union msg start = { .start = { .version = PROTO_VERSION } };
	int fd[2];

	assert_non_null(r);
	r->ev = ev_new("auto");
	assert_non_null(r->ev);
	r->board = board_new();
	assert_non_null(r->board);
	rig_pair(SOCK_SEQPACKET | SOCK_NONBLOCK, fd);
	r->master = msg_link_new(r->ev, fd[0], PROTO_UP, on_up, on_broken, NULL, r);
	r->link = msg_link_new(r->ev, fd[1], PROTO_DOWN, on_down, on_broken, on_room, r);
	assert_non_null(r->master);
	assert_non_null(r->link);
	ev_timer_init(r->ev, &r->timer, on_timer, r);
	assert_int_equal(msg_send(r->master, &start, MSG_START, board_fd(r->board)), 0);
	rig_message(r, MSG_READY);
	r->slots = slots_new(r->link);
	r->scratch.size = 65536;
	r->scratch.bytes = malloc(r->scratch.size);
	assert_non_null(r->slots);
	assert_non_null(r->scratch.bytes);
	r->drains = drains_new(r->ev, &r->scratch);
	assert_non_null(r->drains);
	return r;
}

void
rig_end_slots(struct rig *r)
{
	slots_free(r->slots);
	r->slots = NULL;
}

void
rig_free(struct rig *r)
{
	slots_free(r->slots);
	drains_free(r->drains);
	msg_link_free(r->master);
	msg_link_free(r->link);
	ev_timer_stop(&r->timer);
	board_free(r->board);
	ev_free(r->ev);
	free(r->scratch.bytes);
	free(r);
}

void
rig_run(struct rig *r, int ms)
{
	assert_int_equal(ev_timer_start(&r->timer, ms), 0);
	assert_int_equal(ev_run(r->ev), 0);
	ev_timer_stop(&r->timer);
}

bool
rig_has(const struct rig *r, unsigned type)
{
	for (unsigned i = 0; i < r->n_got; i++)
		if (r->got[i].head.type == type)
			return true;
	return false;
}

union msg
rig_message(struct rig *r, unsigned type)
{
	union msg m = { .head = { 0, 0 } };
	int64_t until = ev_now_ms(r->ev) + RIG_WAIT_MS;

	r->wanted = type;
	while (!rig_has(r, type) && ev_now_ms(r->ev) < until)
		rig_run(r, RIG_WAIT_MS);
	r->wanted = 0;
	for (unsigned i = 0; i < r->n_got; i++) {
		if (r->got[i].head.type != type)
			continue;
		m = r->got[i];
		r->n_got--;
		memmove(&r->got[i], &r->got[i + 1], (r->n_got - i) * sizeof r->got[0]);
		return m;
	}
	fail_msg("message %s did not come", proto_name(type));
	return m;
}

struct msg_ended
rig_ended(struct rig *r, uint32_t slot)
{
	struct msg_ended m = rig_message(r, MSG_ENDED).ended;

	assert_int_equal(m.slot, slot);
	assert_int_equal(m.generation, RIG_GENERATION(slot));
	return m;
}

void
rig_fill_link(struct rig *r)
{
	union msg m = { .ended = { .slot = 1 } };

	msg_link_pause(r->master, true);
	while (!msg_link_busy(r->link))
		assert_int_equal(msg_send(r->link, &m, MSG_ENDED, -1), 0);
}

void
rig_pair(int type, int fd[2])
{
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fd), 0);
}

void
rig_readable(struct rig *r, int fd)
{
	ev_io_init(r->ev, &r->io, fd, on_readable, r);
	assert_int_equal(ev_io_set(&r->io, EV_IN), 0);
	rig_run(r, RIG_WAIT_MS);
	assert_int_equal(ev_io_set(&r->io, 0), 0);
}

size_t
rig_read(struct rig *r, int fd, void *buf, size_t size)
{
	ssize_t n = recv(fd, buf, size, MSG_DONTWAIT);

	if (n < 0) {
		rig_readable(r, fd);
		n = recv(fd, buf, size, MSG_DONTWAIT);
	}
	assert_true(n >= 0);
	return (size_t)n;
}

void
rig_expect_text(struct rig *r, int fd, const char *text)
{
	static char buf[65536];
	size_t n = rig_read(r, fd, buf, sizeof buf);

	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, n);
}

void
rig_expect_last(struct rig *r, int fd, const char *text)
{
	char c;

	rig_expect_text(r, fd, text);
	assert_int_equal(rig_read(r, fd, &c, 1), 0);
}
