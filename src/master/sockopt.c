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
		return t->type == SOCK_DGRAM && !s->common->wait ?
			set(fd, SOL_SOCKET, SO_PASSCRED, 1) : 0;
	*ret_step = "v6only";
	if (v6 && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) == -1)
		return -1;
	/* A stream socket can follow one whose connections are in TIME_WAIT.  Of
	 * datagram sockets it would let others share the port, which is what
	 * receivers of a multicast group want and nobody else. */
	*ret_step = "reuseaddr";
	if ((t->type != SOCK_DGRAM || c->multicast) && set(fd, SOL_SOCKET, SO_REUSEADDR, 1) == -1)
		return -1;
	*ret_step = "reuseport";
	if (t->share && sockopt_share(fd, true) == -1)
		return -1;
	*ret_step = "freebind";
	if (wants_freebind(t, c) && set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
					v6 ? IPV6_FREEBIND : IP_FREEBIND, 1) == -1)
		return -1;
	*ret_step = "device";
	if (t->device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, t->device,
				    (socklen_t)strlen(t->device) + 1) == -1)
		return -1;
	return 0;
}

/* Sizes above the system's limit need privilege; without it the kernel gives
 * what it may. */
static int
set_buffer(int fd, int force, int option, uint32_t bytes)
{
	if (bytes == 0 || set(fd, SOL_SOCKET, force, (int)bytes) == 0)
		return 0;
	return set(fd, SOL_SOCKET, option, (int)bytes);
}

static int
apply_inet(int fd, const struct bind_target *t, const struct conf_socket *c, bool again,
	   const char **step)
{
	bool v6 = t->addr.family == AF_INET6;

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
join(int fd, const struct bind_target *t, const char *group)
{
	unsigned ifindex = t->device ? if_nametoindex(t->device) : 0;
	struct addr a;
	int r;

	if (addr_parse(group, &a) == -1 || a.family != t->addr.family)
		return 0;	/* the other family's socket joins it */
	if (a.family == AF_INET) {
		struct ip_mreqn mr = { .imr_ifindex = (int)ifindex };

		memcpy(&mr.imr_multiaddr, a.ip, 4);
		r = setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mr, sizeof(mr));
	} else {
		struct ipv6_mreq mr = { .ipv6mr_interface = a.scope != 0 ? a.scope : ifindex };

		memcpy(&mr.ipv6mr_multiaddr, a.ip, 16);
		r = setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &mr, sizeof(mr));
	}
	/* it is in the group since before a reload */
	return r == -1 && errno == EADDRINUSE ? 0 : r;
}

static int
apply_datagram(int fd, const struct bind_target *t, const struct conf_service *s, bool again,
	       const char **step)
{
	const struct conf_socket *c = s->common->socket;
	bool v6 = t->addr.family == AF_INET6;
	bool talker = !s->common->wait;	/* who has to know where a datagram was sent to */

	*step = "timestamp";	/* how reap.c knows a datagram again */
	if (change(fd, SOL_SOCKET, SO_TIMESTAMPNS, !talker, again) == -1)
		return -1;
	*step = "credentials";	/* who sends, for the judge */
	if (t->addr.family == AF_UNIX)
		return change(fd, SOL_SOCKET, SO_PASSCRED, talker, again);
	*step = "broadcast";
	if (change(fd, SOL_SOCKET, SO_BROADCAST, c->broadcast, again) == -1)
		return -1;
	*step = "pktinfo";
	if (talker && set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
			  v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1) == -1)
		return -1;
	*step = "multicast";
	for (int i = 0; c->multicast && c->multicast[i]; i++)
		if (join(fd, t, c->multicast[i]) == -1)
			return -1;
	return 0;
}

int
sockopt_apply(int fd, const struct bind_target *t, const struct conf_service *s, bool again,
	      const char **ret_step)
{
	const struct conf_socket *c = s->common->socket;

	*ret_step = "rcvbuf";
	if (set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, c->rcvbuf) == -1)
		return -1;
	*ret_step = "sndbuf";
	if (set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, c->sndbuf) == -1)
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
	return t->type == SOCK_DGRAM ? apply_datagram(fd, t, s, again, ret_step) : 0;
}
