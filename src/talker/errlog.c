/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The handlers' stderr; talker, called by the loop.  The socket is always read
 * empty, since a handler blocks on a full one: what there is too much of is
 * dropped here and counted.  Whose a line is, writer.c finds out.
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
#include "writer.h"

enum {
	BATCH = 64,		/* writes read at once */
	ROUNDS = 4,		/* batches in a turn */
	LAST_ROUNDS = 64,	/* and at the end, if somebody goes on writing */
	WRITE_MAX = 8192,	/* bytes kept of one write */
	SOURCES = 64,		/* sessions that wrote something lately */
	BURST = 20,		/* lines of one session at once, */
	EVERY_MS = 100,		/* and then one in so long */
	PARTIAL_MS = 2000,	/* how long a line may wait for its end */
	TICK_MS = 500,
};

struct source {
	bool used;
	bool skip;		/* the rest of a line that was too long */
	unsigned account;
	struct writer writer;
	pid_t pid;		/* who wrote last */
	int64_t last_ms, line_ms;	/* of its last write; of its line's begin */
	struct log_rate rate;
	unsigned len;
	char text[PROTO_ERRLINE];
};

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(struct ucred))];
};

struct errlog {
	struct ev *ev;
	struct msg_link *link;
	struct writers *writers;
	struct socket {
		int fd;
		struct ev_io io;
	} socket[PROTO_ERRLOGS];
	int n_sockets;
	struct ev_timer timer;
	struct source source[SOURCES];
	struct mmsghdr head[BATCH];
	struct iovec iov[BATCH];
	union control control[BATCH];
	char data[BATCH][WRITE_MAX];
};

/* Lines */

static void
send_line(struct errlog *e, struct source *s, const char *text, unsigned len,
	  uint32_t suppressed)
{
	union msg m = { .errline = { .slot = s->writer.slot, .generation = s->writer.generation,
				     .service = s->writer.service,
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

static bool
is_of(const struct source *s, unsigned account, const struct writer *w)
{
	return s->account == account && s->writer.slot == w->slot &&
	       s->writer.generation == w->generation && s->writer.service == w->service;
}

/* The session's place in the table (one for each account and service of which no
 * more is known), or that of the one which has been silent for longest, after
 * its last words. */
static struct source *
find_source(struct errlog *e, unsigned account, const struct writer *w)
{
	struct source *oldest = &e->source[0];

	for (int i = 0; i < SOURCES; i++) {
		struct source *s = &e->source[i];

		if (s->used && is_of(s, account, w))
			return s;
		if (oldest->used && (!s->used || s->last_ms < oldest->last_ms))
			oldest = s;
	}
	if (oldest->used) {
		end_line(e, oldest);
		tell_suppressed(e, oldest);
	}
	*oldest = (struct source){ .used = true, .account = account, .writer = *w };
	return oldest;
}

/* Who has begun a line ends it, also if the process is gone meanwhile and can only
 * be guessed to be somebody's. */
static struct source *
find_line(struct errlog *e, unsigned account, pid_t pid)
{
	for (int i = 0; i < SOURCES; i++) {
		struct source *s = &e->source[i];

		if (s->used && s->pid == pid && s->account == account && (s->len > 0 || s->skip))
			return s;
	}
	return NULL;
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
take_write(struct errlog *e, unsigned account, int i)
{
	struct msghdr *h = &e->head[i].msg_hdr;
	pid_t pid = sender_pid(h);
	struct writer w = writers_find(e->writers, pid, account, ev_now_ms(e->ev));
	struct source *s = w.sure ? NULL : find_line(e, account, pid);

	if (s == NULL) {
		s = find_source(e, account, &w);
		/* several may share the place of what is no session's */
		if (w.slot == WRITER_UNKNOWN && s->pid != pid && s->len > 0)
			end_line(e, s);
	}
	s->pid = pid;
	s->last_ms = ev_now_ms(e->ev);
	add_lines(e, s, e->data[i], e->head[i].msg_len);
	if ((h->msg_flags & MSG_TRUNC) != 0) {
		end_line(e, s);
		s->rate.suppressed++;
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

/* As the master numbers them, from 1. */
static unsigned
number_of(const struct errlog *e, int fd)
{
	unsigned i = 0;

	while (e->socket[i].fd != fd)
		i++;
	return i + 1;
}

/* What the last read said. */
static int
read_writes(struct errlog *e, unsigned account, int rounds)
{
	int n = BATCH;

	for (int round = 0; round < rounds && n == BATCH; round++) {
		n = receive(e, e->socket[account - 1].fd);
		for (int i = 0; i < n; i++)
			take_write(e, account, i);
	}
	return n;
}

static void
on_readable(int fd, short what, void *arg)
{
	struct errlog *e = arg;
	unsigned account = number_of(e, fd);
	int n = read_writes(e, account, ROUNDS);

	(void)what;
	if (n < 0 && errno != EAGAIN && errno != ENOMEM && errno != ENOBUFS) {
		log_warn("talker: handlers' stderr");
		(void)ev_io_set(&e->socket[account - 1].io, 0);	/* stopping does not fail */
	}
}

bool
errlog_finish(struct errlog *e)
{
	bool all = true;

	for (int i = 0; i < e->n_sockets; i++)
		if (e->socket[i].fd >= 0)
			(void)read_writes(e, (unsigned)i + 1, LAST_ROUNDS);
	for (int i = 0; i < SOURCES; i++) {
		struct source *s = &e->source[i];

		end_line(e, s);
		tell_suppressed(e, s);
		all = all && s->rate.suppressed == 0;
	}
	return all;
}

struct errlog *
errlog_new(struct ev *ev, struct msg_link *link, const struct board *board)
{
	struct errlog *e = calloc(1, sizeof *e);

	if (e == NULL)
		return NULL;
	e->ev = ev;
	e->link = link;
	e->writers = writers_new(board);
	if (e->writers == NULL) {
		free(e);
		return NULL;
	}
	ev_timer_init(ev, &e->timer, on_timer, e);
	return e;
}

int
errlog_add(struct errlog *e, int fd)
{
	struct socket *s = &e->socket[e->n_sockets];
	int error = EMFILE;

	if (e->n_sockets == PROTO_ERRLOGS) {
		fd_close(&fd);
		errno = ENOSPC;
		return -1;
	}
	s->fd = -1;
	e->n_sockets++;		/* in any case: their numbers are the master's */
	if (fd >= 0) {
		ev_io_init(e->ev, &s->io, fd, on_readable, e);
		s->fd = fd;
		if (ev_io_set(&s->io, EV_IN) == 0)
			return 0;
		error = errno;
		fd_close(&s->fd);
	}
	errno = error;
	return -1;
}

void
errlog_free(struct errlog *e)
{
	if (e == NULL)
		return;
	for (int i = 0; i < e->n_sockets; i++) {
		if (e->socket[i].fd >= 0)
			(void)ev_io_set(&e->socket[i].io, 0);	/* stopping does not fail */
		fd_close(&e->socket[i].fd);
	}
	ev_timer_stop(&e->timer);
	writers_free(e->writers);
	free(e);
}
