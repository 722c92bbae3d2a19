/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Reads and sends datagrams with their control data; talker.  Called by udp.c
 * and dsession.c.  Keeps nothing but the room for one batch, of which only
 * the pages that datagrams ever filled cost memory.
 */
#include "config.h"

#include "packet.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fd.h"

#define NO_USER 65534		/* the kernel's overflow uid */

union control {
	struct cmsghdr align;
	char in4[CMSG_SPACE(sizeof(struct in_pktinfo))];
	char in6[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	char both[CMSG_SPACE(sizeof(struct in_pktinfo)) +
		  CMSG_SPACE(sizeof(struct in6_pktinfo))];
	char cred[CMSG_SPACE(sizeof(struct ucred))];
};

union name {
	struct sockaddr sa;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

struct packets {
	struct packet at[PACKET_BATCH];
	struct mmsghdr head[PACKET_BATCH];
	struct iovec iov[PACKET_BATCH];
	union name name[PACKET_BATCH];
	union control control[PACKET_BATCH];
	unsigned char data[PACKET_BATCH][PACKET_MAX + 1];
};

struct packets *
packets_new(void)
{
	return calloc(1, sizeof(struct packets));
}

void
packets_free(struct packets *p)
{
	free(p);
}

static bool
is_multicast(const struct addr *a)
{
	return a->family == AF_INET6 ? a->ip[0] == 0xff : (a->ip[0] & 0xf0) == 0xe0;
}

bool
packet_from_host(const struct addr *peer)
{
	static const uint8_t zero[16], ones[4] = { 255, 255, 255, 255 };

	if (peer->port == 0 || is_multicast(peer))
		return false;
	if (peer->family == AF_INET)
		return peer->ip[0] != 0 && memcmp(peer->ip, ones, 4) != 0;
	return peer->family == AF_INET6 && memcmp(peer->ip, zero, 16) != 0;
}

/* The local address out of the control data, as the packet named it. */
static void
find_local(struct msghdr *h, struct packet *k, uint16_t port)
{
	union name n;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		memset(&n, 0, sizeof n);
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo i;

			memcpy(&i, CMSG_DATA(c), sizeof i);
			n.in4.sin_family = AF_INET;
			n.in4.sin_addr = i.ipi_addr;
			n.in4.sin_port = htons(port);
			/* they differ for multicast and broadcast */
			k->own = i.ipi_addr.s_addr == i.ipi_spec_dst.s_addr;
			(void)addr_from_sockaddr(&n.sa, sizeof n.in4, &k->local);
			return;
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo i;

			memcpy(&i, CMSG_DATA(c), sizeof i);
			n.in6.sin6_family = AF_INET6;
			n.in6.sin6_addr = i.ipi6_addr;
			n.in6.sin6_port = htons(port);
			if (IN6_IS_ADDR_LINKLOCAL(&i.ipi6_addr))
				n.in6.sin6_scope_id = (uint32_t)i.ipi6_ifindex;
			(void)addr_from_sockaddr(&n.sa, sizeof n.in6, &k->local);
			k->own = !is_multicast(&k->local);
			return;
		}
	}
}

/* Who sent it.  One that was sent before the kernel was asked to note that has no
 * process and the user id that means none. */
static void
find_sender(struct msghdr *h, struct packet *k)
{
	struct ucred u;

	memset(&k->peer, 0, sizeof k->peer);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS)		/* whoever may send can add some */
			fd_close_received(c);
		if (c->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&u, CMSG_DATA(c), sizeof u);
		if (u.pid == 0 && u.uid == NO_USER)
			continue;
		addr_from_ucred(&u, &k->peer);
		k->local.family = AF_UNIX;
	}
	k->name = h->msg_name;
	k->name_len = h->msg_namelen;
}

int
packets_recv(struct packets *p, int fd, bool is_unix, uint16_t port)
{
	int n;

	for (int i = 0; i < PACKET_BATCH; i++) {
		p->iov[i] = (struct iovec){ p->data[i], PACKET_MAX };
		p->head[i].msg_hdr = (struct msghdr){
			.msg_name = &p->name[i], .msg_namelen = sizeof p->name[i],
			.msg_iov = &p->iov[i], .msg_iovlen = 1,
			.msg_control = &p->control[i], .msg_controllen = sizeof p->control[i],
		};
	}
	do
		n = recvmmsg(fd, p->head, PACKET_BATCH, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	for (int i = 0; i < n; i++) {
		struct msghdr *h = &p->head[i].msg_hdr;
		struct packet *k = &p->at[i];

		*k = (struct packet){ .data = p->data[i], .len = p->head[i].msg_len,
				      .cut = (h->msg_flags & MSG_TRUNC) != 0 };
		if (is_unix) {
			find_sender(h, k);
			continue;
		}
		(void)addr_from_sockaddr(&p->name[i].sa, h->msg_namelen, &k->peer);
		find_local(h, k, port);
	}
	return n;
}

const struct packet *
packets_at(const struct packets *p, int i)
{
	return &p->at[i];
}

static void
put_control(struct msghdr *h, union control *control, int level, int type,
	    const void *data, size_t len)
{
	struct cmsghdr *c = &control->align;

	memset(control, 0, sizeof *control);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	h->msg_control = control;
	h->msg_controllen = CMSG_SPACE(len);
}

/* Names the source of a datagram; the interface only for an address that
 * means nothing without. */
static void
put_source(struct msghdr *h, union control *control, const struct addr *from)
{
	if (from->family == AF_INET) {
		struct in_pktinfo i = { 0 };

		memcpy(&i.ipi_spec_dst, from->ip, 4);
		put_control(h, control, IPPROTO_IP, IP_PKTINFO, &i, sizeof i);
	} else {
		struct in6_pktinfo i = { .ipi6_ifindex = from->scope };

		memcpy(&i.ipi6_addr, from->ip, 16);
		put_control(h, control, IPPROTO_IPV6, IPV6_PKTINFO, &i, sizeof i);
	}
}

static int
transmit(int fd, struct msghdr *h)
{
	ssize_t n;

	do
		n = sendmsg(fd, h, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -1 : 0;
}

int
packet_send(int fd, const struct addr *peer, const struct addr *from,
	    const void *data, size_t len)
{
	struct sockaddr_storage to;
	union control control;
	struct iovec iov = { (void *)data, len };
	struct msghdr h = { .msg_name = &to, .msg_iov = &iov, .msg_iovlen = 1 };

	h.msg_namelen = addr_to_sockaddr(peer, &to);
	if (h.msg_namelen == 0) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	if (from != NULL && from->family == peer->family)
		put_source(&h, &control, from);
	return transmit(fd, &h);
}

int
packet_reply(int fd, const void *name, size_t name_len, const void *data, size_t len)
{
	struct iovec iov = { (void *)data, len };
	struct msghdr h = { .msg_name = (void *)name, .msg_namelen = (socklen_t)name_len,
			    .msg_iov = &iov, .msg_iovlen = 1 };

	if (name_len <= offsetof(struct sockaddr_un, sun_path)) {
		errno = EDESTADDRREQ;
		return -1;
	}
	return transmit(fd, &h);
}
