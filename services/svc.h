/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the handlers of services/ have in common: finding out what the
 * super-server gave them, reading and writing with time limits.  Header only:
 * every handler is one C file with this, and svc_wait.h if it is for many
 * peers, and needs nothing else of hatchd (`cc -o upper services/upper.c` makes
 * one).  Runs in the handlers; nothing of the daemon includes it.  The contract
 * is told in hatchd-services(7).
 */
#ifndef HATCHD_SVC_H
#define HATCHD_SVC_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define SVC_SOCKETS 64		/* sockets of one handler with LISTEN_FDS */

enum svc_kind {			/* what fd 0 is; bits, so that a handler can allow several */
	SVC_NONE = 0,		/* no socket */
	SVC_STREAM = 1,		/* a connection that carries bytes */
	SVC_SESSION = 2,	/* one peer's datagrams: each read is one, each write is one */
	SVC_LISTENER = 4,	/* wait = yes: accept(2) is the handler's */
	SVC_DATAGRAM = 8	/* wait = yes: everybody's datagrams */
};

static struct {
	const char *name;	/* for messages */
	int first, n;		/* sockets: first … first + n - 1 */
	int timeout_ms;		/* for one read or write */
	int idle_ms;		/* wait = yes: exits after so long without a client */
	int64_t until_ms;	/* svc_now() at which all reading and writing ends; 0: never */
} svc = { "?", 0, 1, 60 * 1000, 5 * 1000, 0 };

/* "NAME: text" on standard error, in one piece. */
__attribute__((format(printf, 1, 2)))
static inline void
svc_warn(const char *fmt, ...)
{
	char line[1024];
	size_t n, max = sizeof(line) - 1;	/* room for the newline */
	va_list ap;

	n = (size_t)snprintf(line, max, "%s: ", svc.name);
	va_start(ap, fmt);
	n += (size_t)vsnprintf(line + n, max - n, fmt, ap);
	va_end(ap);
	if (n >= max)
		n = max - 1;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		return;		/* there is nobody else to tell */
}

#define svc_die(code, ...) (svc_warn(__VA_ARGS__), exit(code))

static inline int64_t
svc_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Seconds given as an option, 1 … 86400, in milliseconds. */
static inline int
svc_seconds(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || n < 1 || n > 86400)
		svc_die(EX_USAGE, "not a number of seconds from 1 to 86400: %s", text);
	return (int)n * 1000;
}

/* The options that all handlers have, and from min to max arguments after them,
 * which `what` names for the usage.  Returns the arguments. */
static inline char **
svc_options(const char *name, int argc, char **argv, int min, int max, const char *what)
{
	int c;

	svc.name = name;
	opterr = 0;
	while ((c = getopt(argc, argv, "+i:t:")) == 'i' || c == 't')
		*(c == 'i' ? &svc.idle_ms : &svc.timeout_ms) = svc_seconds(optarg);
	if (c != -1 || argc - optind < min || argc - optind > max)
		svc_die(EX_USAGE, "usage: %s [-i idle] [-t timeout]%s", name, what);
	return argv + optind;
}

static inline enum svc_kind
svc_kind_of(int fd)
{
	int type, listening = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return SVC_NONE;
	len = sizeof(listening);
	(void)getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len);
	if (listening)
		return SVC_LISTENER;
	return type == SOCK_STREAM ? SVC_STREAM : type == SOCK_SEQPACKET ? SVC_SESSION :
		type == SOCK_DGRAM ? SVC_DATAGRAM : SVC_NONE;
}

static inline const char *
svc_kind_text(unsigned kind)
{
	return kind == SVC_STREAM ? "a stream connection" :
		kind == SVC_SESSION ? "a datagram session" :
		kind == SVC_LISTENER ? "a listening socket (wait = yes)" :
		kind == SVC_DATAGRAM ? "a datagram socket (wait = yes)" : "not a socket";
}

/* First call of a handler, after its options: finds the sockets, and ends the
 * handler if they are none that it can serve.  kinds: SVC_… or'ed. */
static inline enum svc_kind
svc_start(unsigned kinds)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	char want[256] = "";
	enum svc_kind kind;
	unsigned k;
	int i;

	(void)signal(SIGPIPE, SIG_IGN);
	if (pid != NULL && fds != NULL && atol(pid) == (long)getpid()) {
		svc.first = 3;
		svc.n = atoi(fds);
		if (svc.n < 1 || svc.n > SVC_SOCKETS)
			svc_die(EX_USAGE, "LISTEN_FDS=%s: not 1 to %d sockets", fds, SVC_SOCKETS);
	}
	kind = svc_kind_of(svc.first);
	for (i = 1; i < svc.n; i++)
		if (svc_kind_of(svc.first + i) != kind)
			svc_die(EX_USAGE, "fd %d is %s, but fd %d is %s", svc.first,
				svc_kind_text(kind), svc.first + i,
				svc_kind_text(svc_kind_of(svc.first + i)));
	if (svc.first == 0 && (kind & (SVC_STREAM | SVC_SESSION) & kinds) != 0 &&
	    svc_kind_of(STDOUT_FILENO) != kind)
		svc_die(EX_USAGE, "fd 0 is %s, but fd 1 is %s", svc_kind_text(kind),
			svc_kind_text(svc_kind_of(STDOUT_FILENO)));
	if ((kind & kinds) != 0)
		return kind;
	for (k = 1; k <= SVC_DATAGRAM; k <<= 1)
		if ((kinds & k) != 0)
			snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s%s",
				 *want ? " or " : "", svc_kind_text(k));
	svc_die(EX_USAGE, "fd %d is %s, needed is %s; see hatchd-services(7)", svc.first,
		svc_kind_text(kind), want);
}

/* Waits until fd is ready: 1; 0 and ETIMEDOUT when the time is over; -1. */
static inline int
svc_poll(int fd, short events, int ms)
{
	struct pollfd p = { fd, events, 0 };
	int64_t end = svc_now() + ms, left;
	int n;

	if (svc.until_ms != 0 && svc.until_ms < end)
		end = svc.until_ms;
	do {
		left = end - svc_now();
		n = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		errno = ETIMEDOUT;
	return n;
}

/* What there is, waiting for at least a byte (or datagram): its length, 0 at
 * the end, -1 and errno, which is ETIMEDOUT if the peer let us wait. */
static inline ssize_t
svc_recv_flags(int fd, void *buf, size_t size, int flags)
{
	ssize_t n;

	do {
		if (svc_poll(fd, POLLIN, svc.timeout_ms) <= 0)
			return -1;
		n = recv(fd, buf, size, flags | MSG_DONTWAIT);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	return n;
}

static inline ssize_t
svc_read(int fd, void *buf, size_t size)
{
	return svc_recv_flags(fd, buf, size, 0);
}

/* All of it: 0, or -1 and errno as above. */
static inline int
svc_write(int fd, const void *buf, size_t len)
{
	const char *p = buf;
	ssize_t n;

	while (len > 0) {
		n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			if (svc_poll(fd, POLLOUT, svc.timeout_ms) <= 0)
				return -1;
		} else if (n < 0 && errno != EINTR) {
			return -1;
		} else if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* The exit code after a read or write failed. */
static inline int
svc_code(void)
{
	return errno == ETIMEDOUT ? EX_TEMPFAIL : EX_IOERR;
}

/* One line without its end ("\n" or "\r\n"), as a string: its length, or -1
 * and errno: 0 at the end, EMSGSIZE if longer than size - 1, EILSEQ if there
 * is a NUL in it.  Takes nothing of what follows the line. */
static inline ssize_t
svc_line(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;
	char *nl;

	do {
		if (len == size - 1) {
			errno = EMSGSIZE;
			return -1;
		}
		n = svc_recv_flags(fd, buf + len, size - 1 - len, MSG_PEEK);
		if (n < 0)
			return -1;
		nl = memchr(buf + len, '\n', (size_t)n);
		if (nl != NULL)
			n = nl + 1 - (buf + len);
		if (n > 0)
			n = recv(fd, buf + len, (size_t)n, 0);
		if (n < 0)
			return -1;
		len += (size_t)n;
	} while (nl == NULL && n > 0);
	if (len == 0 || memchr(buf, '\0', len) != NULL) {
		errno = len == 0 ? 0 : EILSEQ;
		return -1;
	}
	if (nl != NULL)
		len--;
	if (len > 0 && buf[len - 1] == '\r')
		len--;
	buf[len] = '\0';
	return (ssize_t)len;
}

/* The end of an answer: what the client has sent and nobody read would make
 * the kernel reset the connection, and the answer be lost.  So says that it is
 * over, and takes in the rest for at most a second. */
static inline void
svc_finish(int in, int out)
{
	char rest[4096];
	size_t sum = 0;
	ssize_t n;

	(void)shutdown(out, SHUT_WR);
	svc.until_ms = svc_now() + 1000;
	while (sum < 65536 && (n = svc_read(in, rest, sizeof(rest))) > 0)
		sum += (size_t)n;
	svc.until_ms = 0;
}

/* A text that grows as it is written to; the two cannot fail. */
static inline FILE *
svc_text(char **ret_text, size_t *ret_len)
{
	FILE *f = open_memstream(ret_text, ret_len);

	if (f == NULL)
		svc_die(EX_OSERR, "out of memory");
	return f;
}

static inline void
svc_text_end(FILE *f)
{
	if (fclose(f) != 0)
		svc_die(EX_OSERR, "out of memory");
}

/* Nothing that moves a terminal's cursor or hides a line of the log: control
 * characters (C1 as UTF-8 writes them, too) become '?', but for tabs. */
static inline void
svc_clean(char *text, size_t len)
{
	unsigned char *p = (unsigned char *)text;
	size_t i;

	for (i = 0; i < len; i++) {
		if ((p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f)
			p[i] = '?';
		else if (p[i] == 0xc2 && i + 1 < len && p[i + 1] >= 0x80 && p[i + 1] < 0xa0)
			p[i] = p[i + 1] = '?';
	}
}

static inline void
svc_address(const struct sockaddr_storage *a, socklen_t len, char *text, size_t size)
{
	char host[64], port[8];

	if ((a->ss_family != AF_INET && a->ss_family != AF_INET6) ||
	    getnameinfo((const struct sockaddr *)a, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(text, size, "unix");
	else
		snprintf(text, size, a->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

#endif
