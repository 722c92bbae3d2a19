/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The sink of the log.  Owns the buffer of lines that wait for the next flush
 * and the descriptor that they go to (log_target.h).  Runs in every process,
 * in the thread of its loop, called by log.c.  Nothing here may block.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "log_sink.h"
#include "log_target.h"

#define BATCH 64		/* messages in one sendmmsg */
#define RETRY_MS 1000		/* between two attempts to reach syslogd */

struct log_sink {
	int fd;
	enum log_way way;
	char *target;
	bool made;		/* the file was not there */
	int64_t tried_ms;	/* when syslogd was looked for, CLOCK_MONOTONIC */
	uint64_t lost;		/* lines nobody was told of */
	uint64_t told;		/* as the note in buf says, 0: there is none */
	size_t note_end;	/* where that note ends */
	bool torn;		/* buf begins with the newline of a line cut off */
	size_t len;
	char buf[LOG_SINK_SIZE];
};

static int64_t
clock_ms(void)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* can't fail for this clock */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct log_sink *
log_sink_new(const char *target)
{
	struct log_sink *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->fd = -1;
	s->target = strdup(target);
	s->tried_ms = clock_ms();
	if (s->target != NULL)
		s->fd = log_target_open(target, &s->way, &s->made);
	if (s->fd < 0) {
		free(s->target);
		free(s);
		return NULL;
	}
	return s;
}

/* How many lines the buffer holds, but for the note about lost ones. */
static uint64_t
waiting(const struct log_sink *s)
{
	const char *p = s->buf, *end = s->buf + s->len;
	uint64_t n = 0;

	while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		n++;
		p++;
	}
	return n - s->torn - (s->told > 0);
}

void
log_sink_undo(struct log_sink *s)
{
	struct stat ours, there;

	if (s != NULL && s->made && fstat(s->fd, &ours) == 0 && ours.st_size == 0 &&
	    lstat(s->target, &there) == 0 && there.st_dev == ours.st_dev &&
	    there.st_ino == ours.st_ino)
		(void)unlink(s->target);
	(void)log_sink_free(s);
}

uint64_t
log_sink_free(struct log_sink *s)
{
	uint64_t lost;

	if (s == NULL)
		return 0;
	log_sink_flush(s);
	lost = s->lost + s->told + waiting(s);
	fd_close(&s->fd);
	free(s->target);
	free(s);
	return lost;
}

int
log_sink_reopen(struct log_sink *s)
{
	int fd;

	log_sink_flush(s);
	if (s->target[0] != '/')
		return 0;
	fd = log_target_open(s->target, &s->way, NULL);
	if (fd < 0)
		return -1;
	fd_close(&s->fd);
	s->fd = fd;
	return 0;
}

bool
log_sink_is_syslog(const struct log_sink *s)
{
	return strcmp(s->target, "syslog") == 0;
}

bool
log_sink_is_shared(const struct log_sink *s)
{
	return s->target[0] != '/';
}

char *
log_sink_room(struct log_sink *s, size_t len)
{
	return len <= sizeof s->buf - s->len ? s->buf + s->len : NULL;
}

void
log_sink_commit(struct log_sink *s, size_t len)
{
	s->len += len;
}

uint64_t
log_sink_lost(const struct log_sink *s)
{
	return s->told > 0 ? 0 : s->lost;
}

void
log_sink_lose(struct log_sink *s, uint64_t lines)
{
	s->lost += lines;
}

void
log_sink_told(struct log_sink *s)
{
	s->told = s->lost;
	s->lost = 0;
	s->note_end = s->len;
}

/* The first n bytes are out of our hands. */
static void
consume(struct log_sink *s, size_t n)
{
	if (n == 0)
		return;
	memmove(s->buf, s->buf + n, s->len - n);
	s->len -= n;
	s->torn = false;
	if (s->told > 0 && n >= s->note_end)
		s->told = 0;
	s->note_end -= n < s->note_end ? n : s->note_end;
}

/* Nothing of the rest can be written.  If the first n bytes, which were, end
 * within a line, what is written next begins with a newline. */
static void
give_up(struct log_sink *s, size_t n)
{
	bool torn = n > 0 ? s->buf[n - 1] != '\n' : s->torn;

	consume(s, n);
	s->lost += waiting(s) + s->told;
	s->told = 0;
	s->note_end = 0;
	s->torn = torn;
	s->len = torn ? 1 : 0;
	s->buf[0] = '\n';
}

static bool
is_full(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS;
}

/* What a pipe takes at once, whole lines if possible, after poll(2) found it
 * writable. */
static ssize_t
write_polled(int fd, const char *p, size_t len)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	const char *end;

	if (poll(&pfd, 1, 0) <= 0) {
		errno = EAGAIN;
		return -1;
	}
	if (len > PIPE_BUF) {
		end = memrchr(p, '\n', PIPE_BUF);
		len = end != NULL ? (size_t)(end - p) + 1 : PIPE_BUF;
	}
	return write(fd, p, len);
}

static ssize_t
put_out(const struct log_sink *s, const char *p, size_t len)
{
	switch (s->way) {
	case LOG_WAY_SEND:
		return send(s->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	case LOG_WAY_POLL:
		return write_polled(s->fd, p, len);
	default:
		return write(s->fd, p, len);
	}
}

static void
flush_stream(struct log_sink *s)
{
	size_t done = 0;
	ssize_t n;

	while (done < s->len) {
		n = put_out(s, s->buf + done, s->len - done);
		if (n > 0) {
			done += (size_t)n;
		} else if (n == 0 || is_full(errno)) {
			break;
		} else if (errno != EINTR) {
			give_up(s, done);
			return;
		}
	}
	consume(s, done);
}

/* One batch; returns the bytes that are done with, or -1 and errno. */
static ssize_t
send_batch(struct log_sink *s)
{
	struct mmsghdr msgs[BATCH] = { 0 };
	struct iovec iov[BATCH];
	const char *p = s->buf, *end = s->buf + s->len, *nl;
	unsigned n = 0;
	int i, sent;
	ssize_t bytes = 0;

	while (n < BATCH && p < end && (nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		iov[n].iov_base = (void *)(uintptr_t)p;
		iov[n].iov_len = (size_t)(nl - p);
		msgs[n].msg_hdr.msg_iov = &iov[n];
		msgs[n++].msg_hdr.msg_iovlen = 1;
		p = nl + 1;
	}
	sent = sendmmsg(s->fd, msgs, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno == EMSGSIZE) {	/* of the first: no one will take it */
		s->lost++;
		return (ssize_t)iov[0].iov_len + 1;
	}
	for (i = 0; i < sent; i++)
		bytes += (ssize_t)iov[i].iov_len + 1;
	return sent < 0 ? -1 : bytes;
}

/* syslogd went away: look for a new one, if it's time. */
static bool
reconnect(struct log_sink *s)
{
	int64_t now = clock_ms();

	fd_close(&s->fd);
	if (now - s->tried_ms < RETRY_MS)
		return false;
	s->tried_ms = now;
	s->fd = log_target_open(s->target, &s->way, NULL);
	return s->fd >= 0;
}

static void
flush_messages(struct log_sink *s)
{
	ssize_t n;

	while (s->len > 0) {
		n = -1;
		if (s->fd >= 0)
			n = send_batch(s);
		if (n >= 0) {
			consume(s, (size_t)n);
		} else if (s->fd >= 0 && is_full(errno)) {
			break;
		} else if (s->fd >= 0 && errno == EINTR) {
			continue;
		} else if (!log_sink_is_syslog(s)) {
			give_up(s, 0);
		} else if (!reconnect(s)) {
			break;
		}
	}
}

void
log_sink_flush(struct log_sink *s)
{
	int saved = errno;

	if (s->len > 0) {
		if (s->way == LOG_WAY_MESSAGES)
			flush_messages(s);
		else
			flush_stream(s);
	}
	errno = saved;
}
