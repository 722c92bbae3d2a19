/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Stream connections of echo, discard, chargen, daytime and time; talker.
 * Fed by talker.c with what the master accepted; ends in slots.c.
 *
 * What is read lies in one buffer that all share.  Only what the kernel does
 * not take of an echo is copied, into memory of the connection's own that
 * lives until it is written; meanwhile nothing more is read.  So an idle
 * connection is small and a peer that doesn't read costs one buffer at most.
 */
#include "config.h"

#include "conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "drain.h"
#include "fd.h"
#include "internal.h"

enum {
	ROUNDS = 8,		/* reads or writes in a turn: others want theirs */
	PATTERN = 4,		/* chargen: periods of its text held ready */
};

struct conns {
	struct ev *ev;
	struct slots *slots;
	const struct scratch *scratch;
	struct drains *drains;
	char *pattern;			/* made for the first chargen */
};

struct conn {
	struct holding holding;		/* first: see conn_of */
	struct conns *all;
	struct ev_io io;
	int fd;
	uint8_t internal;
	bool seqpacket;
	bool eof;			/* the peer writes no more */
	uint32_t at;			/* chargen: where in its period */
	struct drain *drain;		/* daytime, time: after the answer; it has the fd */
	unsigned char *pending;		/* echo: what is still to be written */
	size_t begin, end;
};

static struct conn *
conn_of(struct holding *h)
{
	return (struct conn *)h;
}

static bool
is_transient(int error)
{
	return error == EAGAIN || error == EINTR;
}

static void
finish(struct conn *c, int error)
{
	(void)ev_io_set(&c->io, 0);	/* stopping does not fail */
	fd_close(&c->fd);
	if (c->drain != NULL)
		drain_stop(c->drain);
	c->drain = NULL;
	free(c->pending);
	c->pending = NULL;
	slots_end(c->all->slots, &c->holding, error);
}

/* For chargen, that the peer is gone is the usual end. */
static void
finish_error(struct conn *c, int error)
{
	bool usual = c->internal == INTERNAL_CHARGEN &&
		     (error == EPIPE || error == ECONNRESET);

	finish(c, usual ? 0 : error);
}

/* False if the connection is gone. */
static bool
watch(struct conn *c, int what)
{
	if (ev_io_set(&c->io, what) == 0)
		return true;
	finish(c, errno);
	return false;
}

/* Bytes read into the shared buffer; -1: none now, or the connection is gone
 * (*ret_gone).  0 is the end of file, for seqpacket also an empty message:
 * the two can't be told apart. */
static ssize_t
read_some(struct conn *c, bool *ret_gone)
{
	ssize_t n = recv(c->fd, c->all->scratch->bytes, c->all->scratch->size,
			 MSG_DONTWAIT);

	*ret_gone = false;
	if (n < 0 && !is_transient(errno)) {
		finish_error(c, errno);
		*ret_gone = true;
	} else if (n > 0) {
		c->holding.report.bytes_in += (uint64_t)n;
		c->holding.report.datagrams_in += c->seqpacket;
	}
	return n;
}

/* Bytes that the kernel took, which may be 0; -1: the connection is gone. */
static ssize_t
write_some(struct conn *c, const void *data, size_t len)
{
	ssize_t n = send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && is_transient(errno))
		return 0;
	if (n < 0) {
		finish_error(c, errno);
		return -1;
	}
	c->holding.report.bytes_out += (uint64_t)n;
	c->holding.report.datagrams_out += c->seqpacket;
	return n;
}

/* Echo */

/* Keeps what the kernel did not take, and stops reading. */
static void
echo_keep(struct conn *c, const unsigned char *rest, size_t len)
{
	c->pending = malloc(len);
	if (c->pending == NULL) {
		finish(c, ENOMEM);
		return;
	}
	memcpy(c->pending, rest, len);
	c->begin = 0;
	c->end = len;
	(void)watch(c, EV_OUT);
}

static void
echo_in(struct conn *c)
{
	const struct scratch *s = c->all->scratch;

	for (int i = 0; i < ROUNDS; i++) {
		bool gone;
		ssize_t n = read_some(c, &gone), done;

		if (gone || n < 0)
			return;
		if (n == 0) {
			finish(c, 0);
			return;
		}
		done = write_some(c, s->bytes, (size_t)n);
		if (done < 0)
			return;
		if (done < n) {
			echo_keep(c, s->bytes + done, (size_t)(n - done));
			return;
		}
		if ((size_t)n < s->size && !c->seqpacket)
			return;		/* that was all there is */
	}
}

static void
echo_out(struct conn *c)
{
	ssize_t n = write_some(c, c->pending + c->begin, c->end - c->begin);

	if (n < 0)
		return;
	c->begin += (size_t)n;
	if (c->begin < c->end)
		return;
	free(c->pending);
	c->pending = NULL;
	(void)watch(c, EV_IN);
}

static void
on_echo(int fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	if (c->pending != NULL)
		echo_out(c);
	else if ((what & EV_IN) != 0)
		echo_in(c);
}

/* Discard, and what chargen reads only to have it read */

/* False if the connection is gone. */
static bool
drop_input(struct conn *c, size_t *ret_bytes)
{
	*ret_bytes = 0;
	for (int i = 0; i < ROUNDS; i++) {
		bool gone;
		ssize_t n = read_some(c, &gone);

		if (gone)
			return false;
		if (n == 0)
			c->eof = true;
		if (n <= 0)
			return true;
		*ret_bytes += (size_t)n;
		if ((size_t)n < c->all->scratch->size && !c->seqpacket)
			return true;
	}
	return true;
}

static void
on_discard(int fd, short what, void *arg)
{
	struct conn *c = arg;
	size_t n;

	(void)fd;
	(void)what;
	if (drop_input(c, &n) && c->eof)
		finish(c, 0);
}

/* Chargen */

/* A peer that writes no more may still want to read: it goes on until the
 * peer takes no more. */
static void
on_chargen(int fd, short what, void *arg)
{
	struct conn *c = arg;
	size_t n;

	(void)fd;
	if ((what & EV_IN) != 0 && !c->eof) {
		if (!drop_input(c, &n) || (c->eof && !watch(c, EV_OUT)))
			return;
	}
	for (int i = 0; (what & EV_OUT) != 0 && i < ROUNDS; i++) {
		size_t len = c->seqpacket ? INTERNAL_LINE
					  : INTERNAL_PERIOD * PATTERN - c->at;
		ssize_t done = write_some(c, c->all->pattern + c->at, len);

		if (done <= 0)
			return;
		c->at = (c->at + (uint32_t)done) % INTERNAL_PERIOD;
	}
}

/* The text, once for all; false if there is no memory. */
static bool
chargen_ready(struct conns *all)
{
	if (all->pattern == NULL) {
		all->pattern = malloc(INTERNAL_PERIOD * PATTERN);
		if (all->pattern != NULL)
			internal_chargen(all->pattern, INTERNAL_PERIOD * PATTERN, 0);
	}
	return all->pattern != NULL;
}

/* Daytime and time */

static void
on_drained(const struct drain_end *end, void *arg)
{
	struct conn *c = arg;

	c->drain = NULL;
	c->holding.report.bytes_in += end->bytes;
	if (c->seqpacket)
		c->holding.report.datagrams_in += end->reads;
	finish(c, end->error);
}

/* The whole answer, then the end of file; the rest is reading. */
static void
answer(struct conn *c)
{
	char text[INTERNAL_TEXT];
	size_t len = 4;
	int fd = c->fd;
	ssize_t n;

	if (c->internal == INTERNAL_DAYTIME)
		len = internal_daytime(time(NULL), text);
	else
		internal_time(time(NULL), (unsigned char *)text);
	n = write_some(c, text, len);
	if (n < 0)
		return;
	if ((size_t)n < len) {		/* not in a new connection's buffer */
		finish(c, EAGAIN);
		return;
	}
	c->fd = -1;
	c->drain = drain_start(c->all->drains, fd, DRAIN_MS, on_drained, c);
	if (c->drain == NULL)
		finish(c, errno);
}

/* All */

static void
close_conn(struct holding *h)
{
	finish(conn_of(h), ECANCELED);
}

static void
free_conn(struct holding *h)
{
	free(conn_of(h));
}

static const struct {
	void (*ready)(int fd, short what, void *arg);
	int what;
} services[INTERNAL_MAX] = {
	[INTERNAL_ECHO] = { on_echo, EV_IN },
	[INTERNAL_DISCARD] = { on_discard, EV_IN },
	[INTERNAL_CHARGEN] = { on_chargen, EV_IN | EV_OUT },
	/* daytime and time wait for nothing */
};

static void
start(struct conn *c)
{
	ev_io_init(c->all->ev, &c->io, c->fd, services[c->internal].ready, c);
	if (c->internal == INTERNAL_CHARGEN && !chargen_ready(c->all)) {
		finish(c, ENOMEM);
		return;
	}
	if (services[c->internal].ready == NULL)
		answer(c);
	else
		(void)watch(c, services[c->internal].what);	/* false: it is gone */
}

int
conns_add(struct conns *all, const struct msg_conn *m, int fd)
{
	struct conn *c;

	if (!internal_serves(m->internal) || m->seqpacket > 1) {
		fd_close(&fd);
		return -1;
	}
	c = fd < 0 ? NULL : calloc(1, sizeof *c);
	if (c == NULL) {
		slots_refuse(all->slots, m->slot, m->generation, fd < 0 ? EMFILE : ENOMEM);
		fd_close(&fd);
		return 0;
	}
	c->all = all;
	c->fd = fd;
	c->internal = (uint8_t)m->internal;
	c->seqpacket = m->seqpacket;
	c->holding.close = close_conn;
	c->holding.free = free_conn;
	if (slots_take(all->slots, &c->holding, m->slot, m->generation) < 0) {
		fd_close(&fd);
		free(c);
		return -1;
	}
	start(c);
	return 0;
}

struct conns *
conns_new(struct ev *ev, struct slots *slots, const struct scratch *scratch,
	  struct drains *drains)
{
	struct conns *all = calloc(1, sizeof *all);

	if (all == NULL)
		return NULL;
	all->ev = ev;
	all->slots = slots;
	all->scratch = scratch;
	all->drains = drains;
	return all;
}

void
conns_free(struct conns *all)
{
	if (all == NULL)
		return;
	free(all->pattern);
	free(all);
}
