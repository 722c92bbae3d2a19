/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * From the text of listen = { } to the sockets that it asks for; the options
 * are really on the sockets.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bind_rig.h"
#include "fd.h"

/* As text: '!' written as an address, '?' optional, '#' number of its port 0,
 * '%' device. */
static void
check_targets(const char *expected)
{
	char found[8192] = "", buf[BIND_TEXT];

	assert_true(n_targets >= 0);
	for (int i = 0; i < n_targets; i++) {
		const struct bind_target *t = &targets[i];
		size_t len = strlen(found);
		int n = snprintf(found + len, sizeof(found) - len, "%s%s%s%s", i > 0 ? " " : "",
				 bind_target_text(t, buf), t->literal ? "!" : "",
				 t->optional ? "?" : "");

		if (t->nth > 0)
			n += snprintf(found + len + n, sizeof(found) - len - n, "#%u", t->nth);
		if (t->device)
			(void)snprintf(found + len + n, sizeof(found) - len - n, "%%%s", t->device);
	}
	assert_string_equal(found, expected);
}

#define CHECK_TARGETS(expected, ...) do { \
	(void)RESOLVE(__VA_ARGS__); \
	check_targets(expected); \
} while (0)

static void
test_all_addresses(void **state)
{
	(void)state;
	CHECK_TARGETS("tcp:0.0.0.0:80 tcp:[::]:80?", "tcp:80");
	CHECK_TARGETS("tcp:0.0.0.0:80", "tcp4:80");
	CHECK_TARGETS("tcp:[::]:80", "tcp6:80");
	CHECK_TARGETS("udp:0.0.0.0:53 udp:[::]:53?", "udp:53");
	CHECK_TARGETS("udp:0.0.0.0:53", "udp4:53");
	CHECK_TARGETS("udp:[::]:53", "udp6:53");
	assert_int_equal(targets[0].type, SOCK_DGRAM);
	assert_int_equal(targets[0].line, 1);
}

static void
test_one_address(void **state)
{
	(void)state;
	CHECK_TARGETS("tcp:127.0.0.1:80!", "tcp:127.0.0.1:80");
	CHECK_TARGETS("tcp:127.0.0.1:80!", "tcp4:127.0.0.1:80");
	CHECK_TARGETS("tcp:[::1]:80!", "tcp:[::1]:80");
	CHECK_TARGETS("udp:[2001:db8::1]:80!", "udp6:[2001:db8::1]:80");
	CHECK_TARGETS("udp:[fe80::1%1]:80!", "udp:[fe80::1%1]:80");
	CHECK_TARGETS("tcp:0.0.0.0:80!", "tcp:0.0.0.0:80");
	CHECK_TARGETS("tcp:127.0.0.1:80! udp:127.0.0.1:80! tcp:127.0.0.2:81!",
		      "tcp:127.0.0.1:80", "udp:127.0.0.1:80", "tcp:127.0.0.2:81");
	assert_int_equal(targets[2].line, 3);
}

static void
test_ranges(void **state)
{
	(void)state;
	CHECK_TARGETS("tcp:127.0.0.1:7000! tcp:127.0.0.1:7001! tcp:127.0.0.1:7002!",
		      "tcp:127.0.0.1:7000-7002");
	CHECK_TARGETS("udp:0.0.0.0:1 udp:0.0.0.0:2 udp:[::]:1? udp:[::]:2?", "udp:1-2");
	CHECK_TARGETS("tcp:[::]:65535", "tcp6:65535-65535");
	assert_int_equal(RESOLVE("tcp4:65500-65535"), 36);
	assert_int_equal(targets[35].addr.port, 65535);
}

static void
test_unix_paths(void **state)
{
	(void)state;
	sock.device = "lo";	/* is for the others */
	CHECK_TARGETS("unix:/run/x tcp:127.0.0.1:1!%lo", "unix:/run/x", "tcp:127.0.0.1:1");
	CHECK_TARGETS("unix-dgram:/run/x", "unix-dgram:/run/x");
	CHECK_TARGETS("unix-seqpacket:@x", "unix-seqpacket:@x");
	assert_int_equal(targets[0].type, SOCK_SEQPACKET);
	assert_int_equal(targets[0].addr.family, AF_UNIX);
}

/* Each socket with port 0 is another one, now and after a reload. */
static void
test_port_0(void **state)
{
	struct bind_target *old;
	int n;

	(void)state;
	CHECK_TARGETS("tcp:0.0.0.0:0 tcp:[::]:0?#1 tcp:127.0.0.1:0!#2 tcp:127.0.0.1:0!#3 "
		      "tcp:127.0.0.1:80!",
		      "tcp:0", "tcp:127.0.0.1:0", "tcp:127.0.0.1:0", "tcp:127.0.0.1:80");
	for (int i = 0; i < n_targets; i++)
		for (int k = 0; k < n_targets; k++)
			assert_true(bind_target_equal(&targets[i], &targets[k]) == (i == k));
	old = targets;
	n = n_targets;
	targets = NULL;
	n_targets = 0;
	assert_int_equal(RESOLVE("tcp:0", "tcp:127.0.0.1:0", "tcp:127.0.0.1:0",
				 "tcp:127.0.0.1:80"), n);
	for (int i = 0; i < n; i++)
		assert_true(bind_target_equal(&targets[i], &old[i]));
	bind_targets_free(old, n);
}

/* localhost is in every /etc/hosts; whether ::1 is among its addresses is not
 * known, but if it is not the only one, then it may be missing. */
static void
test_names(void **state)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *list;
	bool four = false;

	(void)state;
	if (getaddrinfo("localhost", NULL, &hints, &list) != 0)
		skip();
	freeaddrinfo(list);
	CHECK_TARGETS("tcp:127.0.0.1:80", "tcp4:localhost:80");
	CHECK_TARGETS("udp:127.0.0.1:80", "udp4:localhost:80");
	assert_true(RESOLVE("tcp:localhost:80") > 0);
	for (int i = 0; i < n_targets; i++) {
		four = four || targets[i].addr.family == AF_INET;
		assert_int_equal(targets[i].addr.port, 80);
		assert_false(targets[i].literal);
		assert_true(targets[i].optional == (targets[i].addr.family == AF_INET6 &&
						    n_targets > 1));
	}
	assert_true(four);
	/* the same socket by two names is one */
	CHECK_TARGETS("tcp:127.0.0.1:80", "tcp4:localhost:80", "tcp:127.0.0.1:80");
	assert_int_equal(RESOLVE("tcp4:localhost:7000-7002", "tcp4:localhost:7001"), 3);
}

static void
test_what_can_not_be(void **state)
{
	char name[80];

	(void)state;
	/* such a name can't even be asked for */
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	listens[0] = (struct conf_listen){ .proto = CONF_TCP, .host = "127.0.0.1" };
	listens[1] = (struct conf_listen){ .proto = CONF_TCP, .host = name };
	service.n_listen = 2;
	n_targets = bind_targets(&service, NULL, &targets, &why, &where);
	assert_int_equal(n_targets, -1);
	assert_ptr_equal(where, &listens[1]);
	assert_true(strlen(why) > 0);

	listens[1] = (struct conf_listen){ .proto = CONF_UDP6, .host = "127.0.0.1" };
	n_targets = bind_targets(&service, NULL, &targets, &why, &where);
	assert_int_equal(n_targets, -1);
	assert_string_equal(why, "the address is of the other family");
	targets = NULL;

	assert_int_equal(RESOLVE("tcp:1-64", "tcp:101-164"), BIND_TARGETS);
	assert_int_equal(RESOLVE("tcp:1-64", "tcp:101-164", "tcp:1"), BIND_TARGETS);
	assert_int_equal(RESOLVE("tcp:1-64", "tcp:101-164", "unix:/x"), -1);
	assert_string_equal(why, "too many sockets for one service");
	assert_ptr_equal(where, &listens[2]);
	targets = NULL;
}

static void
test_identity(void **state)
{
	struct bind_target a = { .type = SOCK_STREAM }, b;
	char buf[BIND_TEXT];

	(void)state;
	assert_int_equal(addr_parse("127.0.0.1", &a.addr), 0);
	a.addr.port = 80;
	a.device = (char *)"lo";
	a.line = 5;
	assert_true(bind_target_copy(&b, &a));
	assert_true(bind_target_equal(&a, &b));
	assert_ptr_not_equal(a.device, b.device);
	b.line = 7;		/* where it is written is no part of it */
	b.optional = b.literal = true;
	assert_true(bind_target_equal(&a, &b));
	b.type = SOCK_DGRAM;
	assert_false(bind_target_equal(&a, &b));
	b.type = SOCK_STREAM;
	b.addr.port = 81;
	assert_false(bind_target_equal(&a, &b));
	b.addr.port = 80;
	b.nth = 1;
	assert_false(bind_target_equal(&a, &b));
	b.nth = 0;
	b.device[0] = 'L';
	assert_false(bind_target_equal(&a, &b));
	bind_target_fini(&b);
	assert_false(bind_target_equal(&a, &b));
	assert_false(bind_target_equal(&b, &a));
	bind_target_fini(&b);

	a = (struct bind_target){
		.type = SOCK_STREAM, .addr = { .family = AF_UNIX }, .path = (char *)"/run/x",
	};
	assert_true(bind_target_copy(&b, &a));
	assert_true(bind_target_equal(&a, &b));
	assert_string_equal(bind_target_text(&b, buf), "unix:/run/x");
	b.path[5] = 'y';
	assert_false(bind_target_equal(&a, &b));
	bind_target_fini(&b);
}

/* The longest text there is. */
static void
test_long_path(void **state)
{
	char text[160] = "unix-seqpacket:/", buf[BIND_TEXT];

	(void)state;
	memset(text + 16, 'p', 106);
	assert_int_equal(RESOLVE(text), 1);
	assert_string_equal(bind_target_text(&targets[0], buf), text);
}

static void
test_tcp(void **state)
{
	char again[64];
	int fd = must_open("tcp:127.0.0.1:0"), other;

	(void)state;
	check_descriptor(fd);
	assert_int_equal(local.family, AF_INET);
	assert_int_not_equal(local.port, 0);
	assert_int_equal(local.ip[0], 127);
	assert_int_equal(targets[0].addr.port, 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEPORT), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	(void)snprintf(again, sizeof(again), "tcp:127.0.0.1:%u", local.port);
	must_fail(again, "bind", EADDRINUSE);
	(void)snprintf(again, sizeof(again), "tcp4:%u", local.port);
	must_fail(again, "bind", EADDRINUSE);
	/* the other protocol and the other family have ports of their own */
	(void)snprintf(again, sizeof(again), "udp:127.0.0.1:%u", local.port);
	other = open_first(again);
	if (other != -1)
		assert_int_equal(local.port, targets[0].addr.port);
	fd_close(&other);
	fd_close(&fd);
}

/* IPv6 sockets take no IPv4 connections: both can have the port. */
static void
test_v6only(void **state)
{
	int six, four;
	char text[64];

	(void)state;
	if (!has_ipv6())
		skip();
	for (int i = 0; i < 20; i++) {	/* somebody may have the other's port */
		six = must_open("tcp6:0");
		assert_int_equal(option(six, IPPROTO_IPV6, IPV6_V6ONLY), 1);
		(void)snprintf(text, sizeof(text), "tcp4:%u", local.port);
		four = open_first(text);
		fd_close(&six);
		if (four != -1)
			break;
	}
	assert_int_not_equal(four, -1);
	fd_close(&four);
	six = must_open("udp6:0");
	assert_int_equal(option(six, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	assert_int_equal(option(six, IPPROTO_IPV6, IPV6_RECVPKTINFO), 1);
	assert_int_equal(local.family, AF_INET6);
	fd_close(&six);
}

static void
test_udp(void **state)
{
	int fd = must_open("udp:127.0.0.1:0");
	char again[64];

	(void)state;
	check_descriptor(fd);
	assert_int_equal(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_BROADCAST), 0);
	/* the talker has to know where to answer from */
	assert_int_equal(option(fd, IPPROTO_IP, IP_PKTINFO), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_TIMESTAMPNS), 0);
	(void)snprintf(again, sizeof(again), "udp:127.0.0.1:%u", local.port);
	must_fail(again, "bind", EADDRINUSE);
	fd_close(&fd);

	common.wait = true;
	fd = must_open("udp:127.0.0.1:0");
	assert_int_equal(option(fd, SOL_SOCKET, SO_TIMESTAMPNS), 1);
	assert_int_equal(option(fd, IPPROTO_IP, IP_PKTINFO), 0);
	fd_close(&fd);
}

/* They are what a new socket's are, and grow by themselves. */
static void
check_buffers(int fd)
{
	int new = must_open("tcp:127.0.0.1:0");

	assert_int_equal(option(fd, SOL_SOCKET, SO_RCVBUF), option(new, SOL_SOCKET, SO_RCVBUF));
	assert_int_equal(option(fd, SOL_SOCKET, SO_SNDBUF), option(new, SOL_SOCKET, SO_SNDBUF));
#ifdef SO_BUF_LOCK
	int bits;
	socklen_t len = sizeof(bits);

	if (getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &bits, &len) == 0)
		assert_int_equal(bits, 0);
#endif
	fd_close(&new);
}

static void
test_options(void **state)
{
	int fd;

	(void)state;
	sock.keepalive = sock.nodelay = sock.broadcast = 1;
	sock.tos = 0x10;
	sock.rcvbuf = 65536;
	sock.sndbuf = 32768;
	fd = must_open("tcp:127.0.0.1:0");
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(fd, IPPROTO_IP, IP_TOS), 0x10);
	assert_int_equal(option(fd, SOL_SOCKET, SO_RCVBUF), 2 * 65536);	/* socket(7) */
	assert_int_equal(option(fd, SOL_SOCKET, SO_SNDBUF), 2 * 32768);

	/* and off again, as after a reload */
	sock = (struct conf_socket)SOCKET;
	assert_int_equal(apply_again(fd), 0);
	check_buffers(fd);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_equal(option(fd, IPPROTO_IP, IP_TOS), 0);
	fd_close(&fd);

	sock.broadcast = 1;
	fd = must_open("udp:127.0.0.1:0");
	assert_int_equal(option(fd, SOL_SOCKET, SO_BROADCAST), 1);
	sock.broadcast = 0;
	common.wait = true;
	assert_int_equal(apply_again(fd), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_BROADCAST), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_TIMESTAMPNS), 1);
	assert_int_equal(option(fd, IPPROTO_IP, IP_PKTINFO), 0);
	common.wait = false;
	assert_int_equal(apply_again(fd), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_TIMESTAMPNS), 0);
	fd_close(&fd);

	if (has_ipv6()) {
		sock.tos = 0x20;
		fd = must_open("tcp:[::1]:0");
		assert_int_equal(option(fd, IPPROTO_IPV6, IPV6_TCLASS), 0x20);
		fd_close(&fd);
	}
}

static void
test_mark(void **state)
{
	int fd;

	(void)state;
	sock.mark = 7;
	fd = open_first("tcp:127.0.0.1:0");
	if (fd == -1) {
		assert_string_equal(step, "mark");
		assert_int_equal(errno, EPERM);
		assert_int_not_equal(geteuid(), 0);
		skip();
	}
	assert_int_equal(option(fd, SOL_SOCKET, SO_MARK), 7);
	fd_close(&fd);
}

/* An address that isn't there yet: 192.0.2.0/24 is for documentation. */
static void
test_freebind(void **state)
{
	int fd = must_open("tcp:192.0.2.1:0");

	(void)state;
	assert_int_equal(option(fd, IPPROTO_IP, IP_FREEBIND), 1);
	fd_close(&fd);
	if (has_ipv6()) {
		fd = must_open("udp:[2001:db8::1]:0");
		assert_int_equal(option(fd, IPPROTO_IPV6, IPV6_FREEBIND), 1);
		fd_close(&fd);
	}
	fd = must_open("tcp4:0");
	assert_int_equal(option(fd, IPPROTO_IP, IP_FREEBIND), 0);
	fd_close(&fd);
	sock.freebind = CONF_NO;
	must_fail("tcp:192.0.2.1:0", "bind", EADDRNOTAVAIL);
	sock.freebind = CONF_YES;
	fd = must_open("udp4:0");
	assert_int_equal(option(fd, IPPROTO_IP, IP_FREEBIND), 1);
	sock.freebind = CONF_AUTO;
	assert_int_equal(apply_again(fd), 0);
	assert_int_equal(option(fd, IPPROTO_IP, IP_FREEBIND), 0);
	fd_close(&fd);
}

static void
test_device(void **state)
{
	char name[IFNAMSIZ] = "";
	socklen_t len = sizeof(name);
	int fd;

	(void)state;
	sock.device = "nowhere0";
	fd = open_first("tcp:127.0.0.1:0");
	assert_int_equal(fd, -1);
	assert_string_equal(step, "device");
	if (errno == EPERM)
		skip();
	assert_int_equal(errno, ENODEV);
	sock.device = "lo";
	fd = must_open("tcp:127.0.0.1:0");
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len), 0);
	assert_string_equal(name, "lo");
	fd_close(&fd);
}

static void
test_multicast(void **state)
{
	static const char *const groups[] = { "239.1.2.3", "ff12::4711", NULL };
	static const char *const others[] = { "239.1.2.4", "ff12::4712", NULL };
	struct ip_mreqn mr = { .imr_ifindex = (int)if_nametoindex("lo") };
	struct ipv6_mreq mr6 = { .ipv6mr_interface = if_nametoindex("lo") };
	struct addr group;
	int fd;

	(void)state;
	sock.multicast = groups;
	sock.device = "lo";
	fd = open_first("udp4:0");
	if (fd == -1 && errno == EPERM)
		skip();
	assert_int_not_equal(fd, -1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 1);
	assert_int_equal(addr_parse(groups[0], &group), 0);
	memcpy(&mr.imr_multiaddr, group.ip, 4);
	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mr, sizeof(mr)), -1);
	assert_int_equal(errno, EADDRINUSE);	/* it is in the group */
	assert_int_equal(apply_again(fd), 0);
	sock.multicast = others;
	assert_int_equal(apply_again(fd), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &mr, sizeof(mr)), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	sock.multicast = NULL;
	assert_int_equal(apply_again(fd), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 0);
	sock.multicast = groups;
	assert_int_equal(apply_again(fd), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 1);
	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &mr, sizeof(mr)), 0);
	fd_close(&fd);
	if (!has_ipv6())
		return;
	fd = must_open("udp6:0");
	assert_int_equal(addr_parse(groups[1], &group), 0);
	memcpy(&mr6.ipv6mr_multiaddr, group.ip, 16);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &mr6, sizeof(mr6)), -1);
	assert_int_equal(errno, EADDRINUSE);
	sock.multicast = others;
	assert_int_equal(apply_again(fd), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &mr6, sizeof(mr6)), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	fd_close(&fd);
}

static void
test_no_descriptor_is_lost(void **state)
{
	int before, after;

	(void)state;
	for (int i = 0; i < 50; i++) {
		int fd = must_open("tcp:127.0.0.1:0");
		char text[64];

		(void)snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", local.port);
		must_fail(text, "bind", EADDRINUSE);
		fd_close(&fd);
		sock.device = "nowhere0";
		assert_int_equal(open_first("tcp:127.0.0.1:0"), -1);
		sock.device = NULL;
	}
	before = fcntl(0, F_DUPFD_CLOEXEC, FD_HIGH);
	after = fcntl(0, F_DUPFD_CLOEXEC, 3);
	assert_true(before < FD_HIGH + 8);
	assert_true(after < 32);
	fd_close(&before);
	fd_close(&after);
}

/* To replace a socket, one of ours may have its address while the old one is
 * still there; afterwards nobody can join them. */
static void
test_share(void **state)
{
	int on = 1, old, new;
	char text[64];

	(void)state;
	old = must_open("udp:127.0.0.1:0");
	(void)snprintf(text, sizeof(text), "udp:127.0.0.1:%u", local.port);
	assert_int_equal(setsockopt(old, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	must_fail(text, "bind", EADDRINUSE);
	targets[0].share = true;
	new = bind_open(&targets[0], &service, &local, &step);
	assert_int_not_equal(new, -1);
	assert_int_equal(option(new, SOL_SOCKET, SO_REUSEPORT), 0);
	assert_int_equal(bind_open(&targets[0], &service, &local, &step), -1);
	assert_int_equal(errno, EADDRINUSE);
	fd_close(&old);
	fd_close(&new);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_all_addresses),
		T(test_one_address),
		T(test_ranges),
		T(test_unix_paths),
		T(test_port_0),
		T(test_names),
		T(test_what_can_not_be),
		T(test_identity),
		T(test_long_path),
		T(test_tcp),
		T(test_v6only),
		T(test_udp),
		T(test_options),
		T(test_mark),
		T(test_freebind),
		T(test_device),
		T(test_multicast),
		T(test_no_descriptor_is_lost),
		T(test_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
