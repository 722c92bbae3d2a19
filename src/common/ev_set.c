/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Sets of descriptors watched for input.  Runs in the master, for listeners.
 */
#include "config.h"

#include "ev_set.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "fd.h"

#define BATCH 64

struct single {			/* of a backend that is not epoll */
	struct ev_io io;
	struct ev_set *set;
	void *item;
};

struct ev_set {
	struct ev *ev;
	void (*fn)(void *item);
	int fd;			/* epoll; -1: one watcher each */
	struct ev_io io;
	int n, at;		/* of those that are being told */
	struct epoll_event ready[BATCH];
	struct single **singles;	/* by descriptor */
	int n_singles;
};

static void
on_ready(int fd, short what, void *arg)
{
	struct ev_set *s = arg;

	(void)what;
	s->n = epoll_wait(fd, s->ready, BATCH, 0);
	for (s->at = 0; s->at < s->n; s->at++)
		if (s->ready[s->at].data.ptr)
			s->fn(s->ready[s->at].data.ptr);
	s->n = 0;
}

static void
on_single(int fd, short what, void *arg)
{
	struct single *x = arg;

	(void)fd;
	(void)what;
	x->set->fn(x->item);
}

struct ev_set *
ev_set_new(struct ev *ev, void (*fn)(void *item))
{
	struct ev_set *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->ev = ev;
	s->fn = fn;
	s->fd = -1;
	if (strcmp(ev_backend(ev), "epoll") != 0)
		return s;
	s->fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->fd == -1) {
		free(s);
		return NULL;
	}
	s->fd = fd_raise(s->fd);
	ev_io_init(ev, &s->io, s->fd, on_ready, s);
	if (ev_io_set(&s->io, EV_IN) == -1) {
		int error = errno;

		ev_set_free(s);
		errno = error;
		return NULL;
	}
	return s;
}

void
ev_set_free(struct ev_set *s)
{
	if (!s)
		return;
	if (s->fd != -1)
		(void)ev_io_set(&s->io, 0);
	fd_close(&s->fd);
	for (int i = 0; i < s->n_singles; i++)
		assert(!s->singles[i]);
	free(s->singles);
	free(s);
}

static int
add_single(struct ev_set *s, int fd, void *item)
{
	struct single *x;

	if (fd >= s->n_singles) {
		size_t n = (size_t)fd + 64;
		struct single **t = reallocarray(s->singles, n, sizeof(struct single *));

		if (!t)
			return -1;
		memset(t + s->n_singles, 0, (n - (size_t)s->n_singles) * sizeof(struct single *));
		s->singles = t;
		s->n_singles = (int)n;
	}
	assert(!s->singles[fd]);
	x = calloc(1, sizeof(*x));
	if (!x)
		return -1;
	x->set = s;
	x->item = item;
	ev_io_init(s->ev, &x->io, fd, on_single, x);
	if (ev_io_set(&x->io, EV_IN) == -1) {
		int error = errno;

		free(x);
		errno = error;
		return -1;
	}
	s->singles[fd] = x;
	return 0;
}

int
ev_set_add(struct ev_set *s, int fd, void *item)
{
	struct epoll_event e = { .events = EPOLLIN, .data = { .ptr = item } };

	if (s->fd == -1)
		return add_single(s, fd, item);
	return epoll_ctl(s->fd, EPOLL_CTL_ADD, fd, &e);
}

void
ev_set_remove(struct ev_set *s, int fd, void *item)
{
	if (s->fd == -1) {
		(void)ev_io_set(&s->singles[fd]->io, 0);
		free(s->singles[fd]);
		s->singles[fd] = NULL;
		return;
	}
	(void)epoll_ctl(s->fd, EPOLL_CTL_DEL, fd, NULL);
	for (int i = s->at + 1; i < s->n; i++)	/* it may be freed */
		if (s->ready[i].data.ptr == item)
			s->ready[i].data.ptr = NULL;
}
