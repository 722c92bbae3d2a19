/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Socket options.  Runs in the master; bind.c calls it.  socket(7), ip(7),
 * ipv6(7), tcp(7), udp(7).
 */
#include "config.h"

#include "sockopt.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"
#include "log.h"

static int
set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

/* A new socket has 0 already; one that is kept by a reload may not.  What it has
 * already is left alone: to set a mark, even to 0, needs privilege. */
static int
change(int fd, int level, int option, int value, bool again)
{
	int old = 0;
	socklen_t len = sizeof(old);

	if (again && getsockopt(fd, level, option, &old, &len) == -1)
		return -1;
	return value == old ? 0 : set(fd, level, option, value);
}

static bool
wants_freebind(const struct bind_target *t, const struct conf_socket *c)
{
	static const uint8_t any[16];

	if (c->freebind != CONF_AUTO)
		return c->freebind == CONF_YES;
	return t->literal && memcmp(t->addr.ip, any, sizeof(any)) != 0;
}

static int
set_freebind(int fd, const struct bind_target *t, const struct conf_socket *c, bool again)
{
	bool v6 = t->addr.family == AF_INET6;

	return change(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND,
		      wants_freebind(t, c), again);
}

/* A stream socket can follow one whose connections are in TIME_WAIT.  Of
 * datagram sockets it would let others share the port, which is what
 * receivers of a multicast group want and nobody else. */
static int
set_reuseaddr(int fd, const struct bind_target *t, const struct conf_socket *c, bool again)
{
	return change(fd, SOL_SOCKET, SO_REUSEADDR, t->type != SOCK_DGRAM || c->multicast,
		      again);
}

int
sockopt_share(int fd, bool on)
{
	return set(fd, SOL_SOCKET, SO_REUSEPORT, on);
}

int
sockopt_before_bind(int fd, const struct bind_target *t, const struct conf_service *s,
		    const char **ret_step)
{
	const struct conf_socket *c = s->common->socket;
	bool v6 = t->addr.family == AF_INET6;

	/* from the first datagram on, or there would be some without a sender */
	*ret_step = "credentials";
	if (t->addr.family == AF_UNIX)
		return t->type == SOCK_DGRAM ? set(fd, SOL_SOCKET, SO_PASSCRED, 1) : 0;
	*ret_step = "v6only";
	if (v6 && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) == -1)
		return -1;
	*ret_step = "reuseaddr";
	if (set_reuseaddr(fd, t, c, false) == -1)
		return -1;
	*ret_step = "reuseport";
	if (t->share && sockopt_share(fd, true) == -1)
		return -1;
	*ret_step = "freebind";
	if (set_freebind(fd, t, c, false) == -1)
		return -1;
	*ret_step = "device";
	if (t->device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, t->device,
				    (socklen_t)strlen(t->device) + 1) == -1)
		return -1;
	return 0;
}

struct buffer {
	const char *name;
	int option, force;
	int lock;		/* its bit of SO_BUF_LOCK */
};

static const struct buffer rcvbuf = { "rcvbuf", SO_RCVBUF, SO_RCVBUFFORCE, 2 };
static const struct buffer sndbuf = { "sndbuf", SO_SNDBUF, SO_SNDBUFFORCE, 1 };

/* Sizes above the system's limit need privilege; without it the kernel gives
 * what it may. */
static int
set_size(int fd, const struct buffer *b, int bytes)
{
	if (set(fd, SOL_SOCKET, b->force, bytes) == 0)
		return 0;
	return set(fd, SOL_SOCKET, b->option, bytes);
}

/* A buffer whose size was set doesn't grow by itself any more, not even if that
 * was the size that it has anyway. */
static int
unlock(int fd, const struct buffer *b)
{
#ifdef SO_BUF_LOCK
	int bits = 0;
	socklen_t len = sizeof(bits);

	if (getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &bits, &len) == -1)
		return -1;
	return set(fd, SOL_SOCKET, SO_BUF_LOCK, bits & ~b->lock);
#else
	(void)fd;
	(void)b;
	errno = ENOPROTOOPT;
	return -1;
#endif
}

/* Back to what the kernel gives a new socket.  It tells the double of what one
 * sets, socket(7). */
static int
unset_buffer(int fd, const struct buffer *b, const struct bind_target *t,
	     const struct conf_service *s)
{
	int size = 0, r, new = socket(t->addr.family, t->type | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(size);

	if (new == -1)
		return -1;
	r = getsockopt(new, SOL_SOCKET, b->option, &size, &len);
	fd_close(&new);
	if (r == -1 || set_size(fd, b, size / 2) == -1)
		return -1;
	/* Linux 5.14; only those of TCP grow by themselves */
	if (unlock(fd, b) == -1 && t->type == SOCK_STREAM && t->addr.family != AF_UNIX)
		log_warnx("service %s: the %s of its connections stays fixed until hatchd is restarted",
			  s->name, b->name);
	return 0;
}

static int
set_buffer(int fd, const struct buffer *b, uint32_t bytes, uint32_t old,
	   const struct bind_target *t, const struct conf_service *s)
{
	if (bytes != 0)
		return set_size(fd, b, (int)bytes);
	return old != 0 ? unset_buffer(fd, b, t, s) : 0;
}

static int
apply_inet(int fd, const struct bind_target *t, const struct conf_socket *c, bool again,
	   const char **step)
{
	bool v6 = t->addr.family == AF_INET6;

	*step = "freebind";
	if (again && set_freebind(fd, t, c, true) == -1)
		return -1;
	*step = "tos";
	if (change(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, c->tos,
		   again) == -1)
		return -1;
	*step = "nodelay";
	if (t->type == SOCK_STREAM &&
	    change(fd, IPPROTO_TCP, TCP_NODELAY, c->nodelay, again) == -1)
		return -1;
	return 0;
}

static int
member4(int fd, const struct addr *group, unsigned ifindex, bool in)
{
	struct ip_mreqn mr = { .imr_ifindex = (int)ifindex };

	memcpy(&mr.imr_multiaddr, group->ip, 4);
	return setsockopt(fd, IPPROTO_IP, in ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &mr,
			  sizeof(mr));
}

static int
member6(int fd, const struct addr *group, unsigned ifindex, bool in)
{
	struct ipv6_mreq mr = { .ipv6mr_interface = ifindex };

	memcpy(&mr.ipv6mr_multiaddr, group->ip, 16);
	return setsockopt(fd, IPPROTO_IPV6, in ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &mr,
			  sizeof(mr));
}

static int
join(int fd, const struct addr *group, unsigned ifindex)
{
	int r = group->family == AF_INET ? member4(fd, group, ifindex, true) :
		member6(fd, group, ifindex, true);

	/* it is in the group since before a reload */
	return r == -1 && errno == EADDRINUSE ? 0 : r;
}

/* Without an interface the kernel leaves the group wherever it was joined, but of
 * IPv4 only as long as there is a route to it. */
static int
leave(int fd, const struct addr *group, unsigned ifindex)
{
	struct if_nameindex *all;
	int r = group->family == AF_INET ? member4(fd, group, ifindex, false) :
		member6(fd, group, ifindex, false);

	if (r == 0 || errno != ENODEV || group->family != AF_INET)
		return r;
	all = if_nameindex();
	for (struct if_nameindex *i = all; i && i->if_index != 0 && r == -1; i++)
		r = member4(fd, group, i->if_index, false);
	if (all)
		if_freenameindex(all);
	return r;
}

static bool
has_group(const struct conf_socket *c, const char *group)
{
	for (int i = 0; c->multicast && c->multicast[i]; i++)
		if (strcmp(c->multicast[i], group) == 0)
			return true;
	return false;
}

/* Leaves first: the kernel limits in how many groups a socket is.  A group that
 * was written without an interface and is written with one now may be left too
 * often, and is joined again. */
static int
apply_multicast(int fd, const struct bind_target *t, const struct conf_socket *c,
		const struct conf_socket *old)
{
	unsigned ifindex = t->device ? if_nametoindex(t->device) : 0;
	struct addr a;

	/* of the other family: that one's socket joins it */
	for (int i = 0; old && old->multicast && old->multicast[i]; i++)
		if (!has_group(c, old->multicast[i]) && addr_parse(old->multicast[i], &a) == 0 &&
		    a.family == t->addr.family)
			while (leave(fd, &a, a.scope != 0 ? a.scope : ifindex) == 0)
				;
	for (int i = 0; c->multicast && c->multicast[i]; i++)
		if (addr_parse(c->multicast[i], &a) == 0 && a.family == t->addr.family &&
		    join(fd, &a, a.scope != 0 ? a.scope : ifindex) == -1)
			return -1;
	return 0;
}

static int
apply_datagram(int fd, const struct bind_target *t, const struct conf_service *s,
	       const struct conf_service *old, const char **step)
{
	const struct conf_socket *c = s->common->socket;
	bool v6 = t->addr.family == AF_INET6, again = old != NULL;
	bool talker = !s->common->wait;	/* who has to know where a datagram was sent to */

	*step = "timestamp";	/* how reap.c knows a datagram again */
	if (change(fd, SOL_SOCKET, SO_TIMESTAMPNS, !talker, again) == -1)
		return -1;
	*step = "credentials";	/* who sends, for the judge */
	if (t->addr.family == AF_UNIX)
		return set(fd, SOL_SOCKET, SO_PASSCRED, 1);
	*step = "broadcast";
	if (change(fd, SOL_SOCKET, SO_BROADCAST, c->broadcast, again) == -1)
		return -1;
	*step = "reuseaddr";
	if (again && set_reuseaddr(fd, t, c, true) == -1)
		return -1;
	*step = "pktinfo";	/* a handler may have set it by itself */
	if ((talker || (old && !old->common->wait)) &&
	    set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO,
		talker) == -1)
		return -1;
	*step = "multicast";
	return apply_multicast(fd, t, c, old ? old->common->socket : NULL);
}

/* What handlers read themselves may come with descriptors; what the talker reads
 * has no use for them. */
static bool
may_pass_rights(const struct bind_target *t, const struct conf_service *s)
{
	return s->internal == INTERNAL_NONE && (t->type != SOCK_DGRAM || s->common->wait);
}

int
sockopt_apply(int fd, const struct bind_target *t, const struct conf_service *s,
	      const struct conf_service *old, const char **ret_step)
{
	const struct conf_socket *c = s->common->socket, *was = old ? old->common->socket : NULL;
	bool again = old != NULL;

	if (t->addr.family == AF_UNIX)
		fd_pass_rights(fd, may_pass_rights(t, s));
	*ret_step = "rcvbuf";
	if (set_buffer(fd, &rcvbuf, c->rcvbuf, was ? was->rcvbuf : 0, t, s) == -1)
		return -1;
	*ret_step = "sndbuf";
	if (set_buffer(fd, &sndbuf, c->sndbuf, was ? was->sndbuf : 0, t, s) == -1)
		return -1;
	*ret_step = "keepalive";
	if (t->type == SOCK_STREAM &&
	    change(fd, SOL_SOCKET, SO_KEEPALIVE, c->keepalive, again) == -1)
		return -1;
	*ret_step = "mark";
	if (change(fd, SOL_SOCKET, SO_MARK, (int)c->mark, again) == -1)
		return -1;
	if (t->addr.family != AF_UNIX && apply_inet(fd, t, c, again, ret_step) == -1)
		return -1;
	return t->type == SOCK_DGRAM ? apply_datagram(fd, t, s, old, ret_step) : 0;
}
