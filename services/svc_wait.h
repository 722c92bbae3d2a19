/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * For handlers that get more than one peer's connection: wait = yes, where the
 * listening or datagram socket itself is fd 0 (or 3 and on), and datagrams in
 * both forms.  The socket is shared with the super-server and may be blocking
 * or not: its flags are left alone, and nothing here counts on them.
 */
#ifndef HATCHD_SVC_WAIT_H
#define HATCHD_SVC_WAIT_H

#include "svc.h"

#define SVC_DATAGRAM_MAX 65536	/* no datagram is longer */

struct svc_peer {		/* who sent a datagram, and to which address */
	struct sockaddr_storage addr;
	socklen_t len;		/* 0: a UNIX peer without a name, can't be answered */
	struct in_pktinfo to4;
	struct in6_pktinfo to6;
};

static inline int
svc_pollfds(struct pollfd *p, int events)
{
	int i;

	for (i = 0; i < svc.n; i++)
		p[i] = (struct pollfd){ svc.first + i, (short)events, 0 };
	return svc.n;
}

/* wait = yes: the next of our sockets that has something; -1 when all of them
 * were silent for idle_ms, or for none of them poll(2) is of use. */
static inline int
svc_wait(void)
{
	struct pollfd p[SVC_SOCKETS];
	int i, n;

	do {
		n = poll(p, (nfds_t)svc_pollfds(p, POLLIN), svc.idle_ms);
	} while (n < 0 && errno == EINTR);
	for (i = 0; n > 0 && i < svc.n; i++)
		if (p[i].revents != 0)
			return p[i].fd;
	return -1;
}

/* wait = yes: serves one client after the other. */
static inline int
svc_each_client(int (*serve)(int in, int out))
{
	int fd, conn;

	while ((fd = svc_wait()) >= 0) {
		conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (conn >= 0) {
			(void)serve(conn, conn);
			close(conn);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			   errno == ENOBUFS || errno == EINVAL || errno == EBADF) {
			svc_die(EX_OSERR, "accept: %s", strerror(errno));
		}
	}
	return EX_OK;
}

/* wait = yes: takes one datagram, never waiting.  *p: for svc_reply(). */
static inline ssize_t
svc_receive(int fd, struct svc_peer *p, char *buf, size_t size)
{
	union { struct cmsghdr align; char room[256]; } control;
	struct iovec iov = { buf, size };
	struct msghdr m = {
		.msg_name = &p->addr, .msg_namelen = sizeof(p->addr), .msg_iov = &iov,
		.msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);

	if (n < 0)
		return -1;
	p->len = m.msg_namelen;
	memset(&p->to4, 0, sizeof(p->to4));
	memset(&p->to6, 0, sizeof(p->to6));
	for (c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			memcpy(&p->to4, CMSG_DATA(c), sizeof(p->to4));
		else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			memcpy(&p->to6, CMSG_DATA(c), sizeof(p->to6));
	}
	p->to4.ipi_ifindex = 0;		/* any way out will do, the address counts */
	if (p->to4.ipi_spec_dst.s_addr == 0)	/* came before IP_PKTINFO was set */
		p->to4.ipi_spec_dst = p->to4.ipi_addr;
	if (IN6_IS_ADDR_MULTICAST(&p->to6.ipi6_addr))
		p->to6.ipi6_addr = in6addr_any;
	return n;
}

/* Whether an answer could begin a game of ping-pong between two services: to a
 * well-known port, or to our own. */
static inline bool
svc_is_service(int fd, const struct svc_peer *p)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	in_port_t port, mine;

	if (p->addr.ss_family != AF_INET && p->addr.ss_family != AF_INET6)
		return false;
	if (getsockname(fd, (struct sockaddr *)&own, &len) < 0)
		return true;
	port = ((const struct sockaddr_in *)&p->addr)->sin_port;	/* in6: same place */
	mine = ((const struct sockaddr_in *)&own)->sin_port;
	return ntohs(port) < 1024 || port == mine;
}

/* Answers from the address that the question was sent to.  A lost answer is
 * no error: that is what datagrams are like. */
static inline void
svc_reply(int fd, const struct svc_peer *p, const char *buf, size_t len)
{
	union { struct cmsghdr align; char room[256]; } control;
	struct iovec iov = { (char *)(uintptr_t)buf, len };
	struct msghdr m = {
		.msg_name = (void *)(uintptr_t)&p->addr, .msg_namelen = p->len, .msg_iov = &iov,
		.msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	bool six = p->addr.ss_family == AF_INET6;

	if (p->len == 0 || svc_is_service(fd, p))
		return;
	memset(&control, 0, sizeof(control));
	c->cmsg_level = six ? IPPROTO_IPV6 : IPPROTO_IP;
	c->cmsg_type = six ? IPV6_PKTINFO : IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(six ? sizeof(p->to6) : sizeof(p->to4));
	memcpy(CMSG_DATA(c), six ? (const void *)&p->to6 : (const void *)&p->to4,
	       six ? sizeof(p->to6) : sizeof(p->to4));
	m.msg_controllen = CMSG_SPACE(six ? sizeof(p->to6) : sizeof(p->to4));
	if (!six && p->addr.ss_family != AF_INET)
		m.msg_controllen = 0;
	if (sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EINVAL) {
		m.msg_controllen = 0;	/* it was sent to all: the kernel chooses an address */
		(void)sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

/* Answers datagrams, in both forms.  answer() makes the answer in place and
 * returns its length, or -1 for none.  Returns the exit code. */
static inline int
svc_each_datagram(enum svc_kind kind, ssize_t (*answer)(char *buf, size_t len))
{
	static char buf[SVC_DATAGRAM_MAX];
	const int on = 1;
	struct svc_peer peer;
	ssize_t n;
	int fd;

	if (kind == SVC_SESSION) {
		while ((n = svc_read(STDIN_FILENO, buf, sizeof(buf))) > 0) {
			n = answer(buf, (size_t)n);
			if (n > 0 && svc_write(STDOUT_FILENO, buf, (size_t)n) < 0)
				return svc_code();
		}
		return n == 0 || errno == ETIMEDOUT ? EX_OK : EX_IOERR;
	}
	for (fd = svc.first; fd < svc.first + svc.n; fd++) {	/* what isn't its family fails */
		(void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	}
	while ((fd = svc_wait()) >= 0) {
		n = svc_receive(fd, &peer, buf, sizeof(buf));
		if (n >= 0 && (n = answer(buf, (size_t)n)) >= 0)
			svc_reply(fd, &peer, buf, (size_t)n);
	}
	return EX_OK;
}

/* The rest of main() of a handler that serves in every form. */
static inline int
svc_serve(int (*serve)(int in, int out), ssize_t (*answer)(char *buf, size_t len))
{
	enum svc_kind kind;

	kind = svc_start(SVC_STREAM | SVC_SESSION | SVC_LISTENER | SVC_DATAGRAM);
	if (kind == SVC_STREAM)
		return serve(STDIN_FILENO, STDOUT_FILENO);
	return kind == SVC_LISTENER ? svc_each_client(serve) : svc_each_datagram(kind, answer);
}

#endif
