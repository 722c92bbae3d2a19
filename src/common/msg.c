/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * One end of the link between master and talker.  Both processes use it, from
 * their loop.  It judges what comes by the table of proto.c and hands on only
 * what passes; nothing that the other side sends makes it do more than report
 * the link as broken, once.  It does not log.
 *
 * Order is kept: once something waits, everything waits behind it.
 */
#include "config.h"

#include "msg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fd.h"

enum {
	BATCH = 32,		/* messages received in a turn: others want theirs */
	RETRY_MS = 10,		/* after a refusal whose end the kernel doesn't tell */
	LAST = 1 << 16,		/* and at the end, from one that is gone */
	STRAYS = 16,		/* descriptors that one bad message may make us close */
};

struct waiting {
	union msg m;
	int fd;			/* ours, or -1 */
};

struct msg_link {
	struct ev_io io;
	struct ev_timer timer;
	int fd;
	enum proto_direction receives, sends;
	enum proto_state state;
	bool dead;		/* broken was called, or freed */
	bool paused;
	bool writing;		/* the socket was full: EV_OUT tells when to go on */
	int error;		/* sending failed for good; broken is still to be called */
	bool running, freed;	/* a callback that frees runs: memory goes after it */
	void (*receive)(const union msg *m, int *fd, void *arg);
	void (*broken)(const char *why, void *arg);
	void (*room)(void *arg);
	void *arg;
	unsigned head, n;	/* ring; begins at 0 again whenever it was empty, */
	struct waiting queue[MSG_QUEUE];	/* so few of its pages are touched */
};

/* Watch what there is to wait for; if the kernel refuses, try again soon. */
static void
watch(struct msg_link *l)
{
	int what = (l->paused ? 0 : EV_IN) | (l->writing ? EV_OUT : 0);

	if (ev_io_set(&l->io, what) < 0)
		(void)ev_timer_start(&l->timer, RETRY_MS);	/* next msg_send retries */
}

static void
drop_queue(struct msg_link *l)
{
	for (; l->n > 0; l->n--) {
		fd_close(&l->queue[l->head].fd);
		l->head = (l->head + 1) % MSG_QUEUE;
	}
	l->head = 0;
}

/* The end of the link; the callback may free it. */
static void
die(struct msg_link *l, const char *why)
{
	l->dead = true;
	(void)ev_io_set(&l->io, 0);	/* stopping does not fail */
	ev_timer_stop(&l->timer);
	drop_queue(l);
	l->broken(why, l->arg);
}

/* Receiving */

/* Takes the first descriptor out of a message, closes all others; returns how
 * many there were. */
static int
take_fds(struct msghdr *h, int *ret_fd)
{
	int count = 0;

	*ret_fd = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (count++ == 0)
				*ret_fd = fd;
			else
				close(fd);
		}
	}
	return count;
}

/* What is wrong with a message of len bytes, or NULL.  If the process has no
 * descriptor left, the kernel cuts the one off that came with the message;
 * that is no fault of the sender. */
static const char *
judge(struct msg_link *l, const union msg *m, size_t len, int flags, int fds)
{
	bool lost = (flags & MSG_CTRUNC) != 0 && fds == 0;

	if ((flags & MSG_TRUNC) != 0 || len > sizeof(*m))
		return "too long";
	if (fds > 1)
		return "several descriptors";
	if ((flags & MSG_CTRUNC) != 0 && !lost)
		return "truncated descriptors";
	return proto_check(m, len, fds == 1 || lost, l->receives, &l->state);
}

/* One message.  False: no more now, or the link is dead or freed. */
static bool
receive_one(struct msg_link *l)
{
	struct {
		union msg m;
		char spare;	/* so that too long a message is seen */
	} in;
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * STRAYS)];
	} control;
	struct iovec iov = { .iov_base = &in, .iov_len = sizeof(in.m) + 1 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = &control, .msg_controllen = sizeof(control) };
	const char *wrong;
	char why[80];
	ssize_t len;
	int fd, fds;

	do
		len = recvmsg(l->fd, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (len < 0 && errno == EINTR);
	if (len < 0) {
		if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
			return false;
		die(l, errno == ECONNRESET ? "closed" : strerror(errno));
		return false;
	}
	fds = take_fds(&h, &fd);
	if (len == 0) {
		fd_close(&fd);
		die(l, "closed");
		return false;
	}
	wrong = judge(l, &in.m, (size_t)len, h.msg_flags, fds);
	if (wrong != NULL) {
		unsigned type = (size_t)len >= sizeof(in.m.head) ? in.m.head.type : 0;

		fd_close(&fd);
		(void)snprintf(why, sizeof(why), "bad message %u (%s): %s", type,
			       proto_name(type), wrong);
		die(l, why);
		return false;
	}
	l->receive(&in.m, &fd, l->arg);		/* may free l */
	fd_close(&fd);
	return true;
}

/* Sending */

/* 0, or -1 and errno. */
static int
transmit(const struct msg_link *l, union msg *m, int fd)
{
	union {
		struct cmsghdr c;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = m, .iov_len = m->head.size };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd != -1) {
		memset(&control, 0, sizeof(control));
		control.c.cmsg_level = SOL_SOCKET;
		control.c.cmsg_type = SCM_RIGHTS;
		control.c.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&control.c), &fd, sizeof(fd));
		h.msg_control = &control;
		h.msg_controllen = sizeof(control);
	}
	do
		n = sendmsg(l->fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -1 : 0;
}

/* Whether the kernel will take the message later, and if so wait for that:
 * for room in the socket by EV_OUT.  Room for descriptors on their way and
 * memory are not announced (the socket stays writable): by the timer. */
static bool
postpone(struct msg_link *l, int error)
{
	switch (error) {
	case EAGAIN:
		l->writing = true;
		watch(l);
		return true;
	case ETOOMANYREFS:
	case ENOBUFS:
	case ENOMEM:
		l->writing = false;
		watch(l);
		(void)ev_timer_start(&l->timer, RETRY_MS);	/* next msg_send retries */
		return true;
	default:
		return false;
	}
}

static bool
is_gone(int error)
{
	return error == EPIPE || error == ECONNRESET || error == ENOTCONN;
}

/* Send what waits, as far as it goes.  May free l, through a callback. */
static void
flush(struct msg_link *l)
{
	while (l->n > 0) {
		struct waiting *w = &l->queue[l->head];

		if (transmit(l, &w->m, w->fd) < 0) {
			if (!postpone(l, errno))
				die(l, is_gone(errno) ? "closed" : strerror(errno));
			return;
		}
		fd_close(&w->fd);
		l->head = (l->head + 1) % MSG_QUEUE;
		l->n--;
	}
	l->head = 0;
	l->writing = false;
	watch(l);
	if (l->room != NULL)
		l->room(l->arg);
}

static int
enqueue(struct msg_link *l, const union msg *m, int fd)
{
	struct waiting *w = &l->queue[(l->head + l->n) % MSG_QUEUE];

	if (l->n == MSG_QUEUE) {
		errno = ENOBUFS;
		return -1;
	}
	w->fd = -1;
	if (fd != -1) {
		w->fd = fd_dup(fd, 0);
		if (w->fd < 0)
			return -1;
	}
	memcpy(&w->m, m, m->head.size);
	l->n++;
	return 0;
}

/* An error of the link itself is told from the loop, not from within msg_send:
 * what has still to be read is read first. */
static int
send_or_queue(struct msg_link *l, union msg *m, int fd)
{
	int error;

	if (l->n > 0) {
		if (!l->writing && !ev_timer_active(&l->timer))
			(void)ev_timer_start(&l->timer, RETRY_MS);	/* as above */
		return enqueue(l, m, fd);
	}
	if (transmit(l, m, fd) == 0)
		return 0;
	error = errno;
	if (is_gone(error)) {
		l->error = error;
		(void)ev_timer_start(&l->timer, 0);	/* else reading tells */
		errno = EPIPE;
		return -1;
	}
	if (error != EAGAIN && error != ETOOMANYREFS && error != ENOBUFS && error != ENOMEM)
		return -1;	/* the descriptor can't be sent */
	if (enqueue(l, m, fd) < 0)
		return -1;
	(void)postpone(l, error);	/* one that it takes */
	return 0;
}

/* The loop */

static void
on_io(int fd, short what, void *arg)
{
	struct msg_link *l = arg;

	(void)fd;
	l->running = true;
	if ((what & EV_OUT) != 0 && l->n > 0)
		flush(l);
	for (int i = 0; i < BATCH && !l->dead && !l->paused; i++)
		if ((what & EV_IN) == 0 || !receive_one(l))
			break;
	l->running = false;
	if (l->freed)
		free(l);
}

void
msg_link_finish(struct msg_link *l)
{
	bool outer = l->running;	/* a callback of ours has led here */

	l->running = true;
	for (int i = 0; i < LAST && !l->dead; i++)
		if (!receive_one(l))
			break;
	l->running = outer;
	if (l->freed && !outer)
		free(l);
}

static void
on_retry(void *arg)
{
	struct msg_link *l = arg;

	if (l->error != 0) {
		die(l, is_gone(l->error) ? "closed" : strerror(l->error));
		return;
	}
	watch(l);
	if (l->n > 0)
		flush(l);
}

struct msg_link *
msg_link_new(struct ev *ev, int fd, enum proto_direction receives,
	     void (*receive)(const union msg *m, int *fd, void *arg),
	     void (*broken)(const char *why, void *arg),
	     void (*room)(void *arg), void *arg)
{
	struct msg_link *l = calloc(1, sizeof(*l));

	if (l == NULL) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	l->fd = fd;
	l->receives = receives;
	l->sends = receives == PROTO_DOWN ? PROTO_UP : PROTO_DOWN;
	l->state = PROTO_NEW;
	l->receive = receive;
	l->broken = broken;
	l->room = room;
	l->arg = arg;
	ev_io_init(ev, &l->io, fd, on_io, l);
	ev_timer_init(ev, &l->timer, on_retry, l);
	if (ev_io_set(&l->io, EV_IN) < 0) {
		int error = errno;

		msg_link_free(l);
		errno = error;
		return NULL;
	}
	return l;
}

void
msg_link_free(struct msg_link *l)
{
	if (l == NULL)
		return;
	l->dead = true;
	(void)ev_io_set(&l->io, 0);	/* stopping does not fail */
	ev_timer_stop(&l->timer);
	drop_queue(l);
	fd_close(&l->fd);
	if (l->running)
		l->freed = true;
	else
		free(l);
}

int
msg_send(struct msg_link *l, union msg *m, enum msg_type type, int fd)
{
	enum proto_state state = l->state;
	size_t size = proto_size(type);

	if (l->dead || l->error != 0) {
		errno = EPIPE;
		return -1;
	}
	m->head.type = (uint16_t)type;
	m->head.size = (uint16_t)size;
	if (proto_check(m, size, fd != -1, l->sends, &state) != NULL) {
		errno = EPROTO;
		return -1;
	}
	if (send_or_queue(l, m, fd) < 0)
		return -1;
	l->state = state;
	return 0;
}

bool
msg_link_busy(const struct msg_link *l)
{
	return l->n > 0;
}

void
msg_link_pause(struct msg_link *l, bool pause)
{
	l->paused = pause;
	if (!l->dead)
		watch(l);
}

enum proto_state
msg_link_state(const struct msg_link *l)
{
	return l->state;
}
