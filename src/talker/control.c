/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The clients of the control socket; talker, called by the loop.  Each is one
 * request, bounded in size and time; a client that is slow or sends rubbish
 * costs only itself.
 */
#include "config.h"

#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "answers.h"
#include "fd.h"
#include "list.h"
#include "log.h"

enum {
	CLIENTS = 32,
	REQUEST = 1024,		/* longest line, with its newline */
	TIME_MS = 5000,		/* to send the request; to take the answer */
	RETRY_MS = 200,		/* after accept had no descriptor or memory */
	HELD = 64 << 20,	/* bytes of answers that may wait to be read */
};

struct control {
	struct ev *ev;
	const struct board *board;
	int fd;
	struct ev_io io;
	struct ev_timer retry;
	struct list clients;
	unsigned n;
	size_t held;
};

struct client {
	struct control *control;
	struct list place;
	int fd;
	struct ev_io io;
	struct ev_timer timer;
	char request[REQUEST];
	size_t len;
	char *answer;
	size_t answer_len, sent;
};

static void
accept_more(struct control *c, bool on)
{
	if (c->fd >= 0 && ev_io_set(&c->io, on ? EV_IN : 0) < 0)
		(void)ev_timer_start(&c->retry, RETRY_MS);	/* or when a client leaves */
}

static void
client_free(struct client *x)
{
	struct control *c = x->control;

	(void)ev_io_set(&x->io, 0);	/* stopping does not fail */
	ev_timer_stop(&x->timer);
	list_remove(&x->place);
	fd_close(&x->fd);
	c->held -= x->answer_len;
	c->n--;
	free(x->answer);
	free(x);
	if (!ev_timer_active(&c->retry))
		accept_more(c, true);
}

static void
on_timeout(void *arg)
{
	client_free(arg);
}

static void
send_answer(struct client *x)
{
	ssize_t n = send(x->fd, x->answer + x->sent, x->answer_len - x->sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		x->sent += (size_t)n;
	if ((n < 0 && errno != EAGAIN && errno != EINTR) || x->sent == x->answer_len ||
	    ev_io_set(&x->io, EV_OUT) < 0)
		client_free(x);
}

static void
answer(struct client *x)
{
	struct control *c = x->control;

	if (x->len > 0 && x->request[x->len - 1] == '\r')
		x->request[--x->len] = '\0';
	if (c->held < HELD)
		x->answer = answers_make(c->board, x->request, &x->answer_len);
	if (x->answer == NULL) {
		client_free(x);
		return;
	}
	c->held += x->answer_len;
	(void)ev_timer_start(&x->timer, TIME_MS);	/* the one that runs is shorter */
	send_answer(x);
}

static void
on_client(int fd, short what, void *arg)
{
	struct client *x = arg;
	ssize_t n;
	char *newline;

	(void)what;
	if (x->answer != NULL) {
		send_answer(x);
		return;
	}
	n = recv(fd, x->request + x->len, sizeof x->request - x->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_free(x);
		return;
	}
	newline = memchr(x->request + x->len, '\n', (size_t)n);
	x->len += (size_t)n;
	if (newline != NULL) {
		*newline = '\0';
		x->len = (size_t)(newline - x->request);
		answer(x);
	} else if (x->len == sizeof x->request) {
		client_free(x);
	}
}

/* Takes fd; drops it if there is no memory. */
static void
client_new(struct control *c, int fd)
{
	struct client *x = calloc(1, sizeof *x);

	if (x == NULL) {
		fd_close(&fd);
		return;
	}
	x->control = c;
	x->fd = fd;
	list_init(&x->place);
	list_append(&c->clients, &x->place);
	c->n++;
	ev_io_init(c->ev, &x->io, fd, on_client, x);
	ev_timer_init(c->ev, &x->timer, on_timeout, x);
	if (ev_timer_start(&x->timer, TIME_MS) < 0 || ev_io_set(&x->io, EV_IN) < 0)
		client_free(x);
}

static void
on_accept(int fd, short what, void *arg)
{
	struct control *c = arg;

	(void)what;
	while (c->n < CLIENTS) {
		int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client >= 0) {
			client_new(c, client);
			continue;
		}
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno == EINVAL) {		/* shut down by the master */
			(void)ev_io_set(&c->io, 0);
			fd_close(&c->fd);
			return;
		}
		if (errno != EAGAIN) {		/* no descriptor, no memory */
			accept_more(c, false);
			(void)ev_timer_start(&c->retry, RETRY_MS);	/* or a client's end */
		}
		return;
	}
	accept_more(c, false);
}

static void
on_retry(void *arg)
{
	accept_more(arg, true);
}

struct control *
control_new(struct ev *ev, const struct board *board)
{
	struct control *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->ev = ev;
	c->board = board;
	c->fd = -1;
	list_init(&c->clients);
	ev_timer_init(ev, &c->retry, on_retry, c);
	return c;
}

int
control_listen(struct control *c, int fd)
{
	(void)ev_io_set(&c->io, 0);	/* stopping does not fail */
	fd_close(&c->fd);
	c->fd = fd;
	if (fd_set_nonblock(fd, true) < 0)
		return -1;
	ev_io_init(c->ev, &c->io, fd, on_accept, c);
	return c->n < CLIENTS ? ev_io_set(&c->io, EV_IN) : 0;
}

void
control_free(struct control *c)
{
	if (c == NULL)
		return;
	while (!list_empty(&c->clients))
		client_free(LIST_OBJECT(c->clients.next, struct client, place));
	ev_timer_stop(&c->retry);
	(void)ev_io_set(&c->io, 0);	/* stopping does not fail */
	fd_close(&c->fd);
	free(c);
}
