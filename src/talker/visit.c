/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Connections that are the talker's for a moment; talker.  Used by prefix.c,
 * which reads, and for greetings; ends in slots.c.  The master keeps the
 * connection open, so closing our copy ends nothing for the peer; shutting it
 * down would, and happens only where the peer has got its last byte.
 */
#include "config.h"

#include "visit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "drain.h"
#include "fd.h"
#include "text.h"

static struct visit *
visit_of(struct holding *h)
{
	return (struct visit *)h;
}

/* Everything but the slot. */
static void
let_go(struct visit *v)
{
	(void)ev_io_set(&v->io, 0);	/* stopping does not fail */
	ev_timer_stop(&v->timer);
	fd_close(&v->fd);
	if (v->drain != NULL)
		drain_stop(v->drain);
	v->drain = NULL;
	text_release(v->text);
	v->text = NULL;
}

void
visit_pass(struct visit *v, enum passed result)
{
	let_go(v);
	v->answer.result = result;
	if (result != PASSED_OK) {	/* it may have come to an end after them */
		memset(&v->answer.peer, 0, sizeof v->answer.peer);
		memset(&v->answer.local, 0, sizeof v->answer.local);
	}
	slots_pass(v->all->slots, &v->holding, &v->answer);
}

static void
close_visit(struct holding *h)
{
	let_go(visit_of(h));
	slots_end(visit_of(h)->all->slots, h, ECANCELED);
}

static void
free_visit(struct holding *h)
{
	free(visit_of(h));
}

/* It comes to no good end. */
static void
fail(struct visit *v, enum passed result)
{
	visit_pass(v, v->bye ? v->result : result);
}

bool
visit_watch(struct visit *v, int what)
{
	if (ev_io_set(&v->io, what) == 0)
		return true;
	fail(v, PASSED_ERROR);
	return false;
}

bool
visit_may_retry(struct visit *v, int error)
{
	if (error == EAGAIN || error == EINTR)
		return true;
	fail(v, error == EPIPE || error == ECONNRESET ? PASSED_EOF : PASSED_ERROR);
	return false;
}

/* Writing */

static void
on_drained(const struct drain_end *end, void *arg)
{
	struct visit *v = arg;

	(void)end;
	v->drain = NULL;
	visit_pass(v, v->result);
}

static void
said(struct visit *v)
{
	int fd = v->fd;

	if (v->bye) {
		(void)ev_io_set(&v->io, 0);	/* stopping does not fail */
		ev_timer_stop(&v->timer);
		v->fd = -1;
		v->drain = drain_start(v->all->drains, fd, DRAIN_MS, on_drained, v);
	}
	if (v->drain == NULL)
		visit_pass(v, v->result);
}

/* Bytes that the kernel took; -1: v is gone. */
static ssize_t
write_some(struct visit *v, const char *bytes, size_t len)
{
	ssize_t n = send(v->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0)
		return n;
	return visit_may_retry(v, errno) ? 0 : -1;
}

static void
on_writable(struct visit *v)
{
	size_t left = v->text->len - v->written;
	ssize_t n = write_some(v, v->text->bytes + v->written, left);

	if (n < 0)
		return;
	v->written += (size_t)n;
	if ((size_t)n == left)
		said(v);
}

void
visit_say(struct visit *v, const char *bytes, size_t len, struct text *text,
	  enum passed result, bool bye)
{
	ssize_t n = 0;

	v->result = result;
	v->bye = bye;
	if (len > 0)
		n = write_some(v, bytes, len);
	if (n < 0)
		return;
	if ((size_t)n == len) {
		said(v);
		return;
	}
	if (text != NULL) {
		v->text = text_hold(text);
		v->written = (size_t)(bytes - text->bytes) + (size_t)n;
	} else {
		v->text = text_new(bytes + n, len - (size_t)n);
	}
	if (v->text == NULL) {
		fail(v, PASSED_ERROR);
		return;
	}
	v->ready = on_writable;
	(void)visit_watch(v, EV_OUT);	/* false: it is gone */
}

/* Life */

static void
on_io(int fd, short what, void *arg)
{
	struct visit *v = arg;

	(void)fd;
	(void)what;
	v->ready(v);
}

static void
on_deadline(void *arg)
{
	fail(arg, PASSED_TIMEOUT);
}

int
visit_begin(const struct visits *all, size_t size, uint32_t slot, uint32_t generation,
	    uint32_t timeout_ms, int fd, void (*ready)(struct visit *v), struct visit **ret)
{
	struct visit *v = fd < 0 ? NULL : calloc(1, size);

	*ret = NULL;
	if (v == NULL) {
		slots_refuse_pass(all->slots, slot, generation, PASSED_ERROR);
		fd_close(&fd);
		return 0;
	}
	v->all = all;
	v->fd = fd;
	v->ready = ready;
	v->answer.service = UINT32_MAX;
	v->holding.close = close_visit;
	v->holding.free = free_visit;
	if (slots_take(all->slots, &v->holding, slot, generation) < 0) {
		fd_close(&fd);
		free(v);
		return -1;
	}
	ev_io_init(all->ev, &v->io, fd, on_io, v);
	ev_timer_init(all->ev, &v->timer, on_deadline, v);
	if (ev_timer_start(&v->timer, timeout_ms) < 0)
		visit_pass(v, PASSED_ERROR);
	else
		*ret = v;
	return 0;
}
