/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * For a handler that serves many clients at a time: a connection that is never
 * waited for, with the line that is coming in and a bounded queue of what goes
 * out, and a UNIX socket for whoever operates the handler.  Used by chat.
 */
#ifndef HATCHD_SVC_CONN_H
#define HATCHD_SVC_CONN_H

#include "svc.h"

#include <sys/stat.h>

#define SVC_LINE_LEN 512	/* longer lines are taken as several */

struct svc_conn {
	int in, out;		/* the same, but for standard input */
	const char *gone;	/* why it is to be closed; NULL: it stays */
	size_t len, taken;	/* of line: bytes in it, of the one handed out */
	size_t queued;
	char line[SVC_LINE_LEN], queue[65536];
};

static inline void
svc_conn_init(struct svc_conn *c, int in, int out)
{
	c->in = in;
	c->out = out;
	c->gone = NULL;
	c->len = c->taken = c->queued = 0;
}

/* Sends what the client takes now. */
static inline void
svc_conn_flush(struct svc_conn *c)
{
	ssize_t n = write(c->out, c->queue, c->queued);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		c->gone = "connection lost";
	if (n > 0)
		memmove(c->queue, c->queue + n, c->queued -= (size_t)n);
}

/* Queues text; a client that is too far behind is gone. */
static inline void
svc_conn_put(struct svc_conn *c, const char *text)
{
	size_t len = strlen(text);

	if (c->gone == NULL && c->queued + len > sizeof(c->queue))
		svc_conn_flush(c);
	if (c->gone == NULL && c->queued + len > sizeof(c->queue))
		c->gone = "too slow";
	if (c->gone != NULL)
		return;
	memcpy(c->queue + c->queued, text, len);
	c->queued += len;
}

/* Reads once, what there is. */
static inline void
svc_conn_fill(struct svc_conn *c)
{
	ssize_t n = read(c->in, c->line + c->len, sizeof(c->line) - 1 - c->len);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		c->gone = n == 0 ? "closed" : "connection lost";
	if (n > 0)
		c->len += (size_t)n;
}

/* The next whole line, without its end and without control characters; NULL
 * if there is none.  Valid until the next call. */
static inline const char *
svc_conn_line(struct svc_conn *c)
{
	size_t len;
	char *nl;

	memmove(c->line, c->line + c->taken, c->len -= c->taken);
	nl = memchr(c->line, '\n', c->len);
	len = nl != NULL ? (size_t)(nl - c->line) : c->len;
	c->taken = nl == NULL && len < sizeof(c->line) - 1 ? 0 : len + (nl != NULL);
	if (c->taken == 0)
		return NULL;
	if (len > 0 && c->line[len - 1] == '\r')
		len--;
	svc_clean(c->line, len);
	c->line[len] = '\0';
	return c->line;
}

/* A listening UNIX socket that only its owner may use.  What a handler before
 * us left there is replaced. */
static inline int
svc_operator_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;
	mode_t mask;
	int rc;

	if (strlen(path) >= sizeof(a.sun_path))
		svc_die(EX_USAGE, "%s: too long for a socket", path);
	strcpy(a.sun_path, path);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path);
	mask = umask(077);
	rc = bind(fd, (const struct sockaddr *)&a, sizeof(a));
	(void)umask(mask);
	if (fd < 0 || rc < 0 || listen(fd, 8) < 0)
		svc_die(EX_CANTCREAT, "%s: %s", path, strerror(errno));
	return fd;
}

#endif
