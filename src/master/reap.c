/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The reaper.  Runs in the master, on SIGCHLD; session.c calls it back for
 * handlers that had a listening socket.
 */
#include "config.h"

#include "reap.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "deliver.h"
#include "events.h"
#include "fd.h"
#include "listener.h"
#include "log.h"
#include "master.h"
#include "pending.h"
#include "reload.h"
#include "service.h"
#include "session.h"
#include "talkproc.h"

#define AT_ONCE_MS 1000		/* a stream handler that ends sooner may have failed */

int
reap_children(struct master *m)
{
	struct rusage usage;
	struct session *x;
	int status, n = 0;
	pid_t pid;

	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		n++;
		x = session_by_pid(m->sessions, pid);
		if (x)
			session_reaped(m->sessions, x, status, &usage);
		else if (!talkproc_reaped(m, pid, status) && !reload_reaped(m, pid, status))
			log_debug("reaped process %d, which was not started here", (int)pid);
	}
	if (n > 0 && m->to_start > 0)
		deliver_retry(m);
	return n;
}

/* What the kernel and its sender have put beside the datagram: the time, who sends
 * at a UNIX socket, and descriptors, which each look opens anew. */
static void
take_control(struct msghdr *h, struct session_wait *ret)
{
	struct timespec ts;
	struct ucred uc;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS) {
			fd_close_received(c);
		} else if (c->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			ret->stamp_ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&uc, CMSG_DATA(c), sizeof(uc));
			addr_from_ucred(&uc, &ret->peer);
		}
	}
}

/* The first datagram's sender and time, without a byte of it.  The kernel
 * tells the time since the socket has SO_TIMESTAMPNS (bind.c); together with
 * the sender that is as good as a number. */
static bool
look_at_datagram(const struct listener *l, struct session_wait *ret)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct sockaddr_storage sa;
	struct msghdr h = {
		.msg_name = &sa, .msg_namelen = sizeof(sa),
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};

	if (recvmsg(l->fd, &h, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == -1)
		return false;
	/* at a UNIX socket the name is the sender's own choice */
	if (l->target.addr.family != AF_UNIX)
		(void)addr_from_sockaddr((struct sockaddr *)&sa, h.msg_namelen, &ret->peer);
	take_control(&h, ret);
	return true;
}

static bool
look_at_backlog(const struct listener *l, struct session_wait *ret)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN | POLLRDHUP };

	/* hung up: a handler has shut it down */
	if (poll(&p, 1, 0) != 1 || (p.revents & (POLLHUP | POLLRDHUP)))
		return false;
	ret->queued = pending_queued(l);
	return true;
}

bool
reap_wait_look(const struct listener *l, struct session_wait *ret)
{
	memset(ret, 0, sizeof(*ret));
	return l->target.type == SOCK_DGRAM ? look_at_datagram(l, ret) : look_at_backlog(l, ret);
}

/* What a handler has done about that which it was started for, and which is
 * followed by `now`. */
static enum pending
datagram_left(const struct session *x, const struct session_wait *now)
{
	return now->stamp_ns == x->wait.stamp_ns && now->stamp_ns != 0 &&
		addr_equal(&now->peer, &x->wait.peer) ? PENDING_SAME : PENDING_TAKEN;
}

/* Others may have joined the queue, so its length alone tells little: one that
 * ended badly is taken to have accepted nobody; of one that ended well it is
 * looked who waits. */
static enum pending
connection_left(const struct listener *l, const struct session *x,
		const struct session_wait *now, int64_t now_ms)
{
	if (now_ms - x->start_ms >= AT_ONCE_MS || now->queued < x->wait.queued)
		return PENDING_TAKEN;
	return x->status != 0 ? PENDING_SAME : pending_look(l, x->all_listeners, now_ms);
}

/* Whether the next datagram is there already. */
static bool
look_after(struct master *m, struct listener *l, const struct session *x)
{
	struct service *s = l->service;
	bool datagram = l->target.type == SOCK_DGRAM;
	enum pending left = PENDING_TAKEN;
	struct session_wait now;
	bool more = reap_wait_look(l, &now);

	if (more)
		left = datagram ? datagram_left(x, &now) :
			connection_left(l, x, &now, ev_now_ms(m->ev));
	/* it was so the last time, and nothing tells otherwise */
	if (left == PENDING_UNKNOWN && service_backoff_ms(s) > 0)
		left = PENDING_SAME;
	if (left == PENDING_TAKEN) {
		service_succeeded(s);
	} else if (left == PENDING_SAME) {
		service_failed(s, s->conf->exec[0]);
		events_unread(m, s, now.peer.family != 0 ? &now.peer : NULL);
		if (datagram)
			(void)recv(l->fd, NULL, 0, MSG_DONTWAIT | MSG_TRUNC);
	}
	return more && datagram && left == PENDING_TAKEN;
}

void
reap_wait_handler(struct master *m, struct listener *l, const struct session *x)
{
	if (l->holder != session_slot(m->sessions, x) + 1)
		return;		/* it is another one's */
	/* what is left is another one's since a reload; a failed start deliver.c
	 * has noted already; and one that was ended may not have had the time */
	if (l->service == x->service && l->kind == LISTENER_WAIT && !m->stopping &&
	    x->signalled == 0 && session_row(m->sessions, x)->step == 0 &&
	    look_after(m, l, x))
		listener_return_ready(l);
	else
		listener_return(l);
}
