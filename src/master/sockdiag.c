/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Asks the kernel about its sockets.  Runs in the master and in its trial;
 * owner.c and pending.c call it.  Waits no longer than it is allowed to; only
 * one step of the kernel's walk, which fills one answer, can't be cut short.
 */
#include "config.h"

#include "sockdiag.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#define ANSWER 32768		/* the kernel fills no more at once */

enum step { MORE, DONE, FAILED };

int64_t
sockdiag_now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int
sockdiag_open(void)
{
	return socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
}

static enum step
fail(int error)
{
	errno = error;
	return FAILED;
}

static enum step
receive(int fd, int64_t until_ms, void *buf, size_t *ret_len)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t left = until_ms - sockdiag_now_ms();
	ssize_t n;

	if (left <= 0 || poll(&p, 1, left > 60000 ? 60000 : (int)left) == 0)
		return fail(ETIMEDOUT);
	n = recv(fd, buf, ANSWER, MSG_TRUNC);
	if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
		*ret_len = 0;
		return MORE;
	}
	if (n <= 0)
		return fail(n == 0 ? EPROTO : errno);
	if ((size_t)n > ANSWER)
		return fail(EMSGSIZE);
	*ret_len = (size_t)n;
	return MORE;
}

/* At the end of a dump and as an error stands a number: 0, or -errno. */
static enum step
ended(const struct nlmsghdr *h)
{
	int error = 0;

	if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(error)))
		error = *(const int *)NLMSG_DATA(h);
	return error < 0 ? fail(-error) : h->nlmsg_type == NLMSG_ERROR ? fail(EPROTO) : DONE;
}

static enum step
read_answer(const void *buf, size_t len, bool dump,
	    bool (*each)(const void *data, size_t len, void *arg), void *arg)
{
	const struct nlmsghdr *h = buf;

	for (size_t left = len; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return ended(h);
		if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
		    (!each(NLMSG_DATA(h), h->nlmsg_len - NLMSG_HDRLEN, arg) || !dump))
			return DONE;
	}
	return MORE;
}

int
sockdiag_ask(int fd, const void *request, size_t len, bool dump, int64_t until_ms,
	     bool (*each)(const void *data, size_t len, void *arg), void *arg)
{
	_Alignas(struct nlmsghdr) char buf[ANSWER];
	struct nlmsghdr h = {
		.nlmsg_len = (uint32_t)(sizeof(h) + len), .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | (dump ? NLM_F_DUMP : 0)),
	};
	struct iovec iov[] = { { &h, sizeof(h) }, { (void *)request, len } };
	enum step step = MORE;
	size_t n = 0;

	if (writev(fd, iov, 2) == -1)
		return -1;
	while (step == MORE) {
		step = receive(fd, until_ms, buf, &n);
		if (step == MORE)
			step = read_answer(buf, n, dump, each, arg);
	}
	return step == DONE ? 0 : -1;
}
