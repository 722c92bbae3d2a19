/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * From the text of listen = { } to the sockets that it asks for; the options
 * are really on the sockets.  What stands in the way of a UNIX path is left
 * alone unless it is a socket that nobody listens at.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "arena.h"
#include "bind.h"
#include "fd.h"
#include "listen.h"
#include "owner.h"

#define SOCKET { .backlog = 16, .mode = 0666, .freebind = CONF_AUTO, \
		 .owner_uid = (uid_t)-1, .owner_gid = (gid_t)-1 }

static struct arena *arena;
static char dir[] = "/tmp/hatchd-test-bind.XXXXXX";
static struct conf_socket sock;
static struct conf_listen listens[CONF_LISTENERS];
static struct conf_common common;
static struct conf_common common;
static struct conf_service service;
static struct bind_target *targets;	/* of the last call */
static int n_targets;
static const char *why, *step;
static const struct conf_listen *where;
static struct addr local;

static int
set_up(void **state)
{
	(void)state;
	sock = (struct conf_socket)SOCKET;
	memset(listens, 0, sizeof(listens));
	common = (struct conf_common){ .socket = &sock };
	service = (struct conf_service){ .name = "x", .common = &common, .listen = listens };
	targets = NULL;
	n_targets = 0;
	arena = arena_new();
	strcpy(strrchr(dir, '.'), ".XXXXXX");
	return arena && mkdtemp(dir) ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	bind_targets_free(targets, n_targets > 0 ? n_targets : 0);
	arena_free(arena);
	return rmdir(dir);	/* nothing is left in it */
}

/* The targets of a list of addresses; how many. */
static int
resolve_list(const char *const *list)
{
	bind_targets_free(targets, n_targets > 0 ? n_targets : 0);
	targets = NULL;
	service.n_listen = 0;
	for (; *list; list++) {
		struct conf_listen *l = &listens[service.n_listen++];
		const char *bad = listen_parse(arena, *list, false, l);

		if (bad)
			fail_msg("%s: %s", *list, bad);
		l->line = service.n_listen;
	}
	n_targets = bind_targets(&service, &targets, &why, &where);
	return n_targets;
}

#define RESOLVE(...) resolve_list((const char *const []){ __VA_ARGS__, NULL })

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
	n_targets = bind_targets(&service, &targets, &why, &where);
	assert_int_equal(n_targets, -1);
	assert_ptr_equal(where, &listens[1]);
	assert_true(strlen(why) > 0);

	listens[1] = (struct conf_listen){ .proto = CONF_UDP6, .host = "127.0.0.1" };
	n_targets = bind_targets(&service, &targets, &why, &where);
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

/* Opens the first target of text. */
static int
open_first(const char *text)
{
	int fd;

	assert_true(RESOLVE(text) >= 1);
	step = NULL;
	errno = 0;
	fd = bind_open(&targets[0], &service, &local, &step);
	if (fd == -1)
		assert_non_null(step);
	return fd;
}

static int
must_open(const char *text)
{
	int fd = open_first(text);

	if (fd == -1)
		fail_msg("%s: %s: %s", text, step, strerror(errno));
	return fd;
}

static void
must_fail(const char *text, const char *at, int error)
{
	int fd = open_first(text), found = errno;

	if (fd != -1)
		fail_msg("%s could be bound", text);
	assert_string_equal(step, at);
	if (found != error)
		fail_msg("%s: %s: %s instead of %s", text, step, strerror(found), strerror(error));
}

static int
option(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static bool
has_ipv6(void)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool yes = fd != -1 && bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;

	if (fd != -1)
		(void)close(fd);
	return yes;
}

static void
check_descriptor(int fd)
{
	struct rlimit rl;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
	assert_true(fd >= FD_HIGH || rl.rlim_cur <= 2 * FD_HIGH);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
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
	assert_int_equal(bind_apply(fd, &targets[0], &service, &step), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_equal(option(fd, IPPROTO_IP, IP_TOS), 0);
	fd_close(&fd);

	sock.broadcast = 1;
	fd = must_open("udp:127.0.0.1:0");
	assert_int_equal(option(fd, SOL_SOCKET, SO_BROADCAST), 1);
	sock.broadcast = 0;
	common.wait = true;
	assert_int_equal(bind_apply(fd, &targets[0], &service, &step), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_BROADCAST), 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_TIMESTAMPNS), 1);
	common.wait = false;
	assert_int_equal(bind_apply(fd, &targets[0], &service, &step), 0);
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
	assert_int_equal(bind_apply(fd, &targets[0], &service, &step), 0);
	fd_close(&fd);
	if (!has_ipv6())
		return;
	fd = must_open("udp6:0");
	assert_int_equal(addr_parse(groups[1], &group), 0);
	memcpy(&mr6.ipv6mr_multiaddr, group.ip, 16);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &mr6, sizeof(mr6)), -1);
	assert_int_equal(errno, EADDRINUSE);
	fd_close(&fd);
}

/* UNIX sockets */

/* Good until the next call. */
static const char *
in_dir(const char *proto, const char *name)
{
	static char buf[160];

	(void)snprintf(buf, sizeof(buf), "%s%s/%s", proto, dir, name);
	return buf;
}

static mode_t
mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode;
}

static ino_t
inode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_ino;
}

static int
foreign_socket(const char *path, int type, int backlog)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strcpy(un.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	if (type != SOCK_DGRAM)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void
test_unix_mode(void **state)
{
	static const mode_t modes[] = { 0600, 0660, 0666, 0777, 0 };
	mode_t old = umask(077);
	char path[100];

	(void)state;
	strcpy(path, in_dir("", "s"));
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		int fd;

		sock.mode = modes[i];
		fd = must_open(in_dir("unix:", "s"));
		check_descriptor(fd);
		assert_int_equal(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
		assert_int_equal(local.family, AF_UNIX);
		assert_int_equal(mode_of(path), S_IFSOCK | modes[i]);
		assert_int_equal(umask(077), 077);
		sock.mode = 0640;
		assert_int_equal(bind_apply(fd, &targets[0], &service, &step), 0);
		assert_int_equal(mode_of(path), S_IFSOCK | 0640);
		fd_close(&fd);
		assert_int_equal(unlink(path), 0);
	}
	(void)umask(old);
}

static void
test_unix_owner(void **state)
{
	char path[100];
	struct stat st;
	int fd;

	(void)state;
	strcpy(path, in_dir("", "s"));
	if (geteuid() != 0)
		skip();
	sock.owner_uid = 4711;
	sock.owner_gid = 4712;
	fd = must_open(in_dir("unix:", "s"));
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_uid, 4711);
	assert_int_equal(st.st_gid, 4712);
	sock.owner_uid = (uid_t)-1;
	sock.owner_gid = 4713;
	assert_int_equal(bind_apply(fd, &targets[0], &service, &step), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_uid, 4711);
	assert_int_equal(st.st_gid, 4713);
	fd_close(&fd);
	assert_int_equal(unlink(path), 0);
}

/* What was bound and then could not be set up leaves no path behind. */
static void
test_unix_failure_leaves_nothing(void **state)
{
	uid_t me = geteuid(), uid = me == 0 ? 65534 : me;

	(void)state;
	assert_int_equal(me == 0 ? chown(dir, uid, (gid_t)-1) : 0, 0);
	assert_int_equal(me == 0 ? seteuid(uid) : 0, 0);
	sock.owner_uid = 0;
	must_fail(in_dir("unix:", "s"), "owner", EPERM);
	assert_int_equal(me == 0 ? seteuid(me) : 0, 0);
	assert_int_equal(access(in_dir("", "s"), F_OK), -1);
}

static void
test_S23_stale_path_is_replaced(void **state)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
	static const char *const protos[] = { "unix:", "unix-dgram:", "unix-seqpacket:" };
	char path[100];

	(void)state;
	strcpy(path, in_dir("", "s"));
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++) {
			int old = foreign_socket(path, types[i], 1), fd;

			(void)close(old);
			fd = must_open(in_dir(protos[k], "s"));
			assert_int_equal(mode_of(path), S_IFSOCK | 0666);
			fd_close(&fd);
			assert_int_equal(unlink(path), 0);
		}
}

/* ... but one that is in use is not, of whatever type, however busy. */
static void
test_S23_live_path_is_left_alone(void **state)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
	static const char *const protos[] = { "unix:", "unix-dgram:", "unix-seqpacket:" };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char path[100];

	(void)state;
	strcpy(path, in_dir("", "s"));
	for (int i = 0; i < 3; i++) {
		int live = foreign_socket(path, types[i], 0), clients[8], n = 0;
		ino_t inode = inode_of(path);

		strcpy(un.sun_path, path);
		while (types[i] != SOCK_DGRAM && n < 8) {	/* its backlog is full */
			clients[n] = socket(AF_UNIX, types[i] | SOCK_NONBLOCK, 0);
			if (connect(clients[n++], (struct sockaddr *)&un, sizeof(un)) == -1)
				break;
		}
		for (int k = 0; k < 3; k++) {
			must_fail(in_dir(protos[k], "s"), "bind", EADDRINUSE);
			assert_int_equal(inode_of(path), inode);
		}
		while (n > 0)
			(void)close(clients[--n]);
		(void)close(live);
		assert_int_equal(unlink(path), 0);
	}
}

static void
test_S23_other_files_are_left_alone(void **state)
{
	char path[100], link[100];
	int fd;

	(void)state;
	strcpy(path, in_dir("", "s"));
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	assert_int_equal(write(fd, "precious", 8), 8);
	fd_close(&fd);
	must_fail(in_dir("unix:", "s"), "bind", EADDRINUSE);
	assert_true(S_ISREG(mode_of(path)));
	assert_int_equal(unlink(path), 0);

	assert_int_equal(mkdir(path, 0755), 0);
	must_fail(in_dir("unix:", "s"), "bind", EADDRINUSE);
	assert_int_equal(rmdir(path), 0);

	/* a link, even to a stale socket */
	fd = foreign_socket(path, SOCK_STREAM, 1);
	fd_close(&fd);
	strcpy(link, in_dir("", "link"));
	assert_int_equal(symlink("s", link), 0);
	must_fail(in_dir("unix:", "link"), "bind", EADDRINUSE);
	assert_true(S_ISLNK(mode_of(link)));
	assert_true(S_ISSOCK(mode_of(path)));
	assert_int_equal(unlink(link) | unlink(path), 0);
	must_fail(in_dir("unix:", "no/where"), "bind", ENOENT);
}

static void
test_S23_directory_for_everybody(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(chmod(dir, 0777), 0);
	must_fail(in_dir("unix:", "s"), "directory writable by everybody", EPERM);
	assert_int_equal(access(in_dir("", "s"), F_OK), -1);
	must_fail(in_dir("unix-dgram:", "s"), "directory writable by everybody", EPERM);
	assert_int_equal(chmod(dir, 01777), 0);	/* nobody can remove it there */
	fd = must_open(in_dir("unix:", "s"));
	fd_close(&fd);
	assert_int_equal(chmod(dir, 0775), 0);
	assert_int_equal(unlink(in_dir("", "s")), 0);
	fd = must_open(in_dir("unix:", "s"));
	fd_close(&fd);
	assert_int_equal(unlink(in_dir("", "s")), 0);
}

static void
test_abstract(void **state)
{
	char text[80];
	int fd, other;

	(void)state;
	(void)snprintf(text, sizeof(text), "unix:@hatchd-test-bind-%d", (int)getpid());
	fd = must_open(text);
	check_descriptor(fd);
	must_fail(text, "bind", EADDRINUSE);
	text[strlen(text) - 1] = 'x';
	other = must_open(text);
	fd_close(&other);
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

/* Who has the address */

static void
check_owner(const char *text, bool expected)
{
	char found[64] = "", self[64], name[32] = "";
	FILE *f = fopen("/proc/self/comm", "re");

	assert_non_null(f);
	assert_non_null(fgets(name, sizeof(name), f));
	(void)fclose(f);
	name[strcspn(name, "\n")] = '\0';
	(void)snprintf(self, sizeof(self), "%s (pid %d)", name, (int)getpid());
	assert_true(RESOLVE(text) >= 1);
	assert_int_equal(owner_find(&targets[0], found, sizeof(found), 20000), expected);
	assert_string_equal(found, expected ? self : "");
}

static void
test_owner_of_a_port(void **state)
{
	static const char *const protos[] = { "tcp", "udp" };
	char text[64];

	(void)state;
	for (int i = 0; i < 2; i++) {
		uint16_t port;
		int fd;

		(void)snprintf(text, sizeof(text), "%s:127.0.0.1:0", protos[i]);
		fd = must_open(text);
		port = local.port;
		(void)snprintf(text, sizeof(text), "%s:127.0.0.1:%u", protos[i], port);
		check_owner(text, true);
		assert_false(owner_find(&targets[0], text, sizeof(text), 0));	/* no time */
		(void)snprintf(text, sizeof(text), "%s4:%u", protos[i], port);
		check_owner(text, true);
		(void)snprintf(text, sizeof(text), "%s:127.0.0.2:%u", protos[i], port);
		check_owner(text, false);
		fd_close(&fd);
		(void)snprintf(text, sizeof(text), "%s:127.0.0.1:%u", protos[i], port);
		check_owner(text, false);
	}
}

/* An IPv6 socket that takes IPv4 connections, too. */
static void
test_owner_by_a_mapped_address(void **state)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	socklen_t len = sizeof(in6);
	int fd, off = 0;
	char text[64];

	(void)state;
	if (!has_ipv6())
		skip();
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in6, sizeof(in6)) | listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in6, &len), 0);
	(void)snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", ntohs(in6.sin6_port));
	must_fail(text, "bind", EADDRINUSE);
	check_owner(text, true);
	(void)snprintf(text, sizeof(text), "tcp6:%u", ntohs(in6.sin6_port));
	check_owner(text, true);
	fd_close(&fd);
}

static void
test_owner_of_a_path(void **state)
{
	char text[100];
	int fd = must_open(in_dir("unix:", "a socket"));

	(void)state;
	check_owner(in_dir("unix:", "a socket"), true);
	check_owner(in_dir("unix:", "a"), false);
	fd_close(&fd);
	check_owner(in_dir("unix:", "a socket"), false);
	assert_int_equal(unlink(in_dir("", "a socket")), 0);
	(void)snprintf(text, sizeof(text), "unix-dgram:@hatchd-test-bind-%d", (int)getpid());
	fd = must_open(text);
	check_owner(text, true);
	fd_close(&fd);
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
		T(test_unix_mode),
		T(test_unix_owner),
		T(test_unix_failure_leaves_nothing),
		T(test_S23_stale_path_is_replaced),
		T(test_S23_live_path_is_left_alone),
		T(test_S23_other_files_are_left_alone),
		T(test_S23_directory_for_everybody),
		T(test_abstract),
		T(test_no_descriptor_is_lost),
		T(test_share),
		T(test_owner_of_a_port),
		T(test_owner_by_a_mapped_address),
		T(test_owner_of_a_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
