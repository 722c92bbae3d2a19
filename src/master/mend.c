/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What handlers have done to the sockets that were lent to them.  Runs in the
 * master: listener.c calls it when one comes back, deliver.c when one is readable
 * and there is nothing.
 *
 * The look costs one system call for a stream and two for datagrams, which is
 * nothing beside the process that has just ended; so it is done each time, and
 * nobody is kept out for longer than until the end of that handler.
 */
#include "config.h"

#include "mend.h"

#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "events.h"
#include "listener.h"
#include "log.h"
#include "service.h"
#include "setup.h"

#define VAIN 16			/* so often in a row there is nothing: once it may be that
				 * somebody else who has the socket was quicker */

/* shutdown(2) of a TCP listener ends its listening; of any other socket it stays
 * visible to poll(2).  Datagrams: it takes effect though it fails with ENOTCONN. */
static bool
is_shut(const struct listener *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLRDHUP };
	int listens = 0;
	socklen_t len = sizeof(listens);

	if (l->target.type != SOCK_DGRAM && !l->target.path)
		return getsockopt(l->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == -1 ||
			!listens;
	return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP));
}

static bool
is_connected(const struct listener *l)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	return l->target.type == SOCK_DGRAM &&
		getpeername(l->fd, (struct sockaddr *)&sa, &len) == 0;
}

static bool
has_address(const struct listener *l)
{
	struct addr want = listener_address(l), is = { 0 };
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	return l->target.path ||
		(getsockname(l->fd, (struct sockaddr *)&sa, &len) == 0 &&
		 addr_from_sockaddr((struct sockaddr *)&sa, len, &is) == 0 &&
		 addr_equal(&is, &want));
}

/* A port that the kernel has chosen goes with the connection, and so does the
 * interface: then false, as if it could not be done. */
static bool
disconnect(const struct listener *l)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	return !l->target.device && l->target.addr.scope == 0 &&
		connect(l->fd, &none, sizeof(none)) == 0 && has_address(l);
}

static const char *
fault_of(const struct listener *l)
{
	if (is_shut(l))
		return "a handler has shut it down";
	if (is_connected(l))
		return "a handler has connected it";
	if (!l->target.path && l->target.addr.port == 0 && !has_address(l))
		return "a handler has changed its address";
	return NULL;
}

void
mend_listener(struct listener *l)
{
	const char *fault = l->fd == -1 || !l->service ? NULL : fault_of(l);
	const char *result = "disconnected";

	if (!fault)
		return;
	if (is_shut(l) || !is_connected(l) || !disconnect(l)) {
		listener_close(l);
		result = setup_rebind(l) == 0 ? "bound" : "to be tried again";
	}
	events_mended(l->service->master, l, fault, result);
}

void
mend_vain(struct listener *l)
{
	static const int off = -1;
	struct service *s = l->service;
	int fd = l->fd;

	mend_listener(l);
	if (l->fd != fd || ++l->vain < VAIN)
		return;
	l->vain = 0;
	/* with it MSG_PEEK doesn't find what there is */
	if (l->target.type == SOCK_DGRAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off));
	log_debug("service %s: readable, but there is nothing", service_name(s));
	service_succeeded(s);	/* never longer than for the first time */
	service_failed(s, NULL);
}
