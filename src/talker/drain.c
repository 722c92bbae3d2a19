/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Draining; talker.  Used by conn.c, farewell.c and visit.c for connections that
 * have got their last byte.  Owns the descriptor and a deadline of each.
 */
#include "config.h"

#include "drain.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "fd.h"
#include "list.h"

enum { ROUNDS = 8 };		/* reads in a turn: others want theirs */

struct drains {
	struct ev *ev;
	const struct scratch *scratch;
	struct list running;
};

struct drain {
	struct drains *all;
	struct list running;
	struct ev_io io;
	struct ev_timer timer;
	int fd;
	struct drain_end end;
	void (*over)(const struct drain_end *end, void *arg);
	void *arg;
};

void
drain_stop(struct drain *d)
{
	(void)ev_io_set(&d->io, 0);	/* stopping does not fail */
	ev_timer_stop(&d->timer);
	list_remove(&d->running);
	fd_close_now(&d->fd);
	free(d);
}

static void
finish(struct drain *d, int error)
{
	void (*over)(const struct drain_end *end, void *arg) = d->over;
	struct drain_end end = d->end;
	void *arg = d->arg;

	end.error = error;
	drain_stop(d);
	over(&end, arg);
}

static void
on_readable(int fd, short what, void *arg)
{
	struct drain *d = arg;
	const struct scratch *s = d->all->scratch;

	(void)what;
	for (int i = 0; i < ROUNDS && d->end.bytes < DRAIN_BYTES; i++) {
		size_t left = DRAIN_BYTES - d->end.bytes;
		ssize_t n = recv(fd, s->bytes, left < s->size ? left : s->size, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			finish(d, n < 0 ? errno : 0);
			return;
		}
		d->end.bytes += (uint64_t)n;
		d->end.reads++;
	}
	if (d->end.bytes >= DRAIN_BYTES)
		finish(d, 0);
}

static void
on_timer(void *arg)
{
	finish(arg, 0);
}

struct drain *
drain_start(struct drains *all, int fd, int64_t ms,
	    void (*over)(const struct drain_end *end, void *arg), void *arg)
{
	struct drain *d = NULL;

	if (shutdown(fd, SHUT_WR) == 0)
		d = calloc(1, sizeof *d);
	if (d == NULL) {
		fd_close_now(&fd);	/* keeps errno */
		return NULL;
	}
	d->all = all;
	d->fd = fd;
	d->over = over;
	d->arg = arg;
	list_init(&d->running);
	list_append(&all->running, &d->running);
	ev_io_init(all->ev, &d->io, fd, on_readable, d);
	ev_timer_init(all->ev, &d->timer, on_timer, d);
	if (ev_io_set(&d->io, EV_IN) < 0 || ev_timer_start(&d->timer, ms) < 0) {
		int error = errno;

		drain_stop(d);
		errno = error;
		return NULL;
	}
	return d;
}

struct drains *
drains_new(struct ev *ev, const struct scratch *scratch)
{
	struct drains *all = calloc(1, sizeof *all);

	if (all == NULL)
		return NULL;
	all->ev = ev;
	all->scratch = scratch;
	list_init(&all->running);
	return all;
}

void
drains_free(struct drains *all)
{
	if (all == NULL)
		return;
	while (!list_empty(&all->running))
		drain_stop(LIST_OBJECT(all->running.next, struct drain, running));
	free(all);
}
