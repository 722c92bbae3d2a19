/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The handlers' stderr; talker, called by the loop.  The socket is always read
 * empty, since a handler blocks on a full one: what there is too much of is
 * dropped here and counted.  Whose a line is follows from the sender's process
 * id, which the kernel vouches for: that of a session's handler, or a process
 * whose session leader that is.
 *
 * A line without its newline waits a little for the rest.  A message without
 * text tells how many lines were suppressed when no other one follows.
 */
#include "config.h"

#include "errlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"

enum {
	BATCH = 64,		/* writes read at once */
	ROUNDS = 4,		/* batches in a turn */
	WRITE_MAX = 8192,	/* bytes kept of one write */
	SOURCES = 64,		/* sessions that wrote something lately */
	CACHE = 16,		/* processes that did */
	BURST = 20,		/* lines of one session at once, */
	EVERY_MS = 100,		/* and then one in so long */
	PARTIAL_MS = 2000,	/* how long a line may wait for its end */
	TICK_MS = 500,
	CACHE_MS = 1000,
	UNKNOWN_MS = 200,	/* it may be a session's in a moment */
};

#define SLOT_UNKNOWN UINT32_MAX

struct source {
	bool used;
	bool skip;		/* the rest of a line that was too long */
	uint32_t slot, generation;
	int64_t last_ms, line_ms;	/* of its last write; of its line's begin */
	struct log_rate rate;
	unsigned len;
	char text[PROTO_ERRLINE];
};

struct sender {
	pid_t pid;
	uint32_t slot, generation;
	int64_t until_ms;
};

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(struct ucred))];
};

struct errlog {
	struct ev *ev;
	struct msg_link *link;
	const struct board *board;
	struct socket {
		int fd;
		struct ev_io io;
	} socket[PROTO_ERRLOGS];
	int n_sockets;
	struct ev_timer timer;
	struct source source[SOURCES];
	struct sender sender[CACHE];
	unsigned next_sender;
	struct mmsghdr head[BATCH];
	struct iovec iov[BATCH];
	union control control[BATCH];
	char data[BATCH][WRITE_MAX];
};

/* Whose it is */

static void
search(const struct errlog *e, pid_t pid, struct sender *ret)
{
	pid_t leader = getsid(pid);	/* -1 if it is gone already */
	uint32_t n = board_sessions(e->board);

	struct board_recent recent;

	ret->slot = SLOT_UNKNOWN;
	ret->generation = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct board_session *row = board_peek(e->board, i);

		if (row->pid <= 0 || (row->pid != pid && row->pid != leader) ||
		    row->kind == BOARD_FREE)
			continue;
		ret->slot = i;
		ret->generation = atomic_load_explicit(&row->generation, memory_order_acquire);
		return;
	}
	/* it may have written and ended before this was read */
	if (board_recent(e->board, pid, SLOT_UNKNOWN, 0, &recent) ||
	    (leader > 0 && board_recent(e->board, leader, SLOT_UNKNOWN, 0, &recent))) {
		ret->slot = recent.slot;
		ret->generation = recent.generation;
	}
}

static bool
is_current(const struct errlog *e, const struct sender *s, int64_t now_ms)
{
	const struct board_session *row;

	if (now_ms >= s->until_ms)
		return false;
	if (s->slot == SLOT_UNKNOWN)
		return true;
	row = board_peek(e->board, s->slot);
	return row != NULL && s->generation ==
	       atomic_load_explicit(&row->generation, memory_order_acquire);
}

static struct sender
find_sender(struct errlog *e, pid_t pid)
{
	int64_t now_ms = ev_now_ms(e->ev);
	struct sender *s = NULL;

	for (unsigned i = 0; i < CACHE && s == NULL; i++)
		if (e->sender[i].pid == pid)
			s = &e->sender[i];
	if (s != NULL && is_current(e, s, now_ms))
		return *s;
	if (s == NULL)
		s = &e->sender[e->next_sender++ % CACHE];
	s->pid = pid;
	search(e, pid, s);
	s->until_ms = now_ms + (s->slot == SLOT_UNKNOWN ? UNKNOWN_MS : CACHE_MS);
	return *s;
}

/* Lines */

static void
send_line(struct errlog *e, struct source *s, const char *text, unsigned len,
	  uint32_t suppressed)
{
	union msg m = { .errline = { .slot = s->slot, .generation = s->generation,
				     .suppressed = suppressed, .len = len } };

	memcpy(m.errline.text, text, len);
	if (msg_send(e->link, &m, MSG_ERRLINE, -1) < 0)
		s->rate.suppressed += suppressed + (len > 0);
}

static void
emit(struct errlog *e, struct source *s)
{
	uint32_t suppressed;

	if (s->len > 0 && s->text[s->len - 1] == '\r')
		s->len--;
	if (s->len == 0)
		return;
	if (msg_link_busy(e->link))
		s->rate.suppressed++;
	else if (log_rate(&s->rate, ev_now_ms(e->ev), BURST, EVERY_MS, &suppressed))
		send_line(e, s, s->text, s->len, suppressed);
	s->len = 0;
}

static void
end_line(struct errlog *e, struct source *s)
{
	if (!s->skip)
		emit(e, s);
	s->skip = false;
	s->len = 0;
}

static void
add_text(struct errlog *e, struct source *s, const char *text, size_t len)
{
	size_t room = sizeof s->text - s->len;

	if (s->skip || len == 0)
		return;
	if (s->len == 0)
		s->line_ms = ev_now_ms(e->ev);
	memcpy(s->text + s->len, text, len < room ? len : room);
	if (len <= room) {
		s->len += (unsigned)len;
		return;
	}
	s->len = sizeof s->text;
	memcpy(s->text + s->len - 3, "...", 3);
	emit(e, s);
	s->skip = true;
}

static void
add_lines(struct errlog *e, struct source *s, const char *text, size_t len)
{
	const char *end = text + len, *newline;

	while (text < end && (newline = memchr(text, '\n', (size_t)(end - text))) != NULL) {
		add_text(e, s, text, (size_t)(newline - text));
		end_line(e, s);
		text = newline + 1;
	}
	add_text(e, s, text, (size_t)(end - text));
}

/* Sources */

static void
tell_suppressed(struct errlog *e, struct source *s)
{
	uint32_t n = s->rate.suppressed;

	if (n == 0 || msg_link_busy(e->link))
		return;
	s->rate.suppressed = 0;
	send_line(e, s, "", 0, n);
}

static void
on_timer(void *arg)
{
	struct errlog *e = arg;
	int64_t now_ms = ev_now_ms(e->ev);
	bool more = false;

	for (int i = 0; i < SOURCES; i++) {
		struct source *s = &e->source[i];

		if (!s->used)
			continue;
		if (s->len > 0 && now_ms - s->line_ms >= PARTIAL_MS)
			emit(e, s);
		if (now_ms - s->last_ms >= PARTIAL_MS)
			tell_suppressed(e, s);
		more = more || s->len > 0 || s->rate.suppressed > 0;
	}
	if (more)
		(void)ev_timer_start(&e->timer, TICK_MS);	/* the next write tries again */
}

/* The session's place in the table, or that of the one which has been silent
 * for longest, after its last words. */
static struct source *
find_source(struct errlog *e, const struct sender *sender)
{
	struct source *oldest = &e->source[0];

	for (int i = 0; i < SOURCES; i++) {
		struct source *s = &e->source[i];

		if (s->used && s->slot == sender->slot && s->generation == sender->generation)
			return s;
		if (oldest->used && (!s->used || s->last_ms < oldest->last_ms))
			oldest = s;
	}
	if (oldest->used) {
		end_line(e, oldest);
		tell_suppressed(e, oldest);
	}
	*oldest = (struct source){ .used = true, .slot = sender->slot,
				   .generation = sender->generation };
	return oldest;
}

/* Reading */

static pid_t
sender_pid(struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		struct ucred cred;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&cred, CMSG_DATA(c), sizeof cred);
		return cred.pid;
	}
	return 0;
}

static void
take_write(struct errlog *e, int i)
{
	struct msghdr *h = &e->head[i].msg_hdr;
	struct sender sender = find_sender(e, sender_pid(h));
	struct source *s = find_source(e, &sender);

	s->last_ms = ev_now_ms(e->ev);
	add_lines(e, s, e->data[i], e->head[i].msg_len);
	if ((h->msg_flags & MSG_TRUNC) != 0) {
		end_line(e, s);
		s->rate.suppressed++;
	} else if (s->slot == SLOT_UNKNOWN) {
		end_line(e, s);		/* several may share this place */
	}
	if ((s->len > 0 || s->rate.suppressed > 0) && !ev_timer_active(&e->timer))
		(void)ev_timer_start(&e->timer, TICK_MS);	/* the next write tries again */
}

static int
receive(struct errlog *e, int fd)
{
	int n;

	for (int i = 0; i < BATCH; i++) {
		e->iov[i] = (struct iovec){ e->data[i], WRITE_MAX };
		e->head[i].msg_hdr = (struct msghdr){
			.msg_iov = &e->iov[i], .msg_iovlen = 1,
			.msg_control = &e->control[i], .msg_controllen = sizeof e->control[i],
		};
	}
	do
		n = recvmmsg(fd, e->head, BATCH, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	while (n < 0 && errno == EINTR);
	return n;
}

static void
stop(struct errlog *e, int fd)
{
	log_warn("talker: handlers' stderr");
	for (int i = 0; i < e->n_sockets; i++)
		if (e->socket[i].fd == fd)
			(void)ev_io_set(&e->socket[i].io, 0);	/* stopping does not fail */
}

static void
on_readable(int fd, short what, void *arg)
{
	struct errlog *e = arg;
	int n = BATCH;

	(void)what;
	for (int round = 0; round < ROUNDS && n == BATCH; round++) {
		n = receive(e, fd);
		for (int i = 0; i < n; i++)
			take_write(e, i);
	}
	if (n < 0 && errno != EAGAIN && errno != ENOMEM && errno != ENOBUFS)
		stop(e, fd);
}

struct errlog *
errlog_new(struct ev *ev, struct msg_link *link, const struct board *board)
{
	struct errlog *e = calloc(1, sizeof *e);

	if (e == NULL)
		return NULL;
	e->ev = ev;
	e->link = link;
	e->board = board;
	ev_timer_init(ev, &e->timer, on_timer, e);
	return e;
}

int
errlog_add(struct errlog *e, int fd)
{
	struct socket *s = &e->socket[e->n_sockets];

	if (e->n_sockets == PROTO_ERRLOGS) {
		fd_close(&fd);
		errno = ENOSPC;
		return -1;
	}
	ev_io_init(e->ev, &s->io, fd, on_readable, e);
	if (ev_io_set(&s->io, EV_IN) < 0) {
		int error = errno;

		fd_close(&fd);
		errno = error;
		return -1;
	}
	s->fd = fd;
	e->n_sockets++;
	return 0;
}

void
errlog_free(struct errlog *e)
{
	if (e == NULL)
		return;
	for (int i = 0; i < e->n_sockets; i++) {
		(void)ev_io_set(&e->socket[i].io, 0);	/* stopping does not fail */
		fd_close(&e->socket[i].fd);
	}
	ev_timer_stop(&e->timer);
	free(e);
}
