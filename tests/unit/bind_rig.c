/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the tests of bind.c share.
 */
#include "config.h"

#include "bind_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "listen.h"

char dir[] = "/tmp/hatchd-test-bind.XXXXXX";
struct arena *arena;
struct conf_socket sock;
struct conf_common common;
struct conf_listen listens[CONF_LISTENERS];
struct conf_service service;
struct bind_target *targets;
int n_targets;
const char *why, *step;
const struct conf_listen *where;
struct addr local;
static struct conf_socket old_sock;
static struct conf_common old_common;
static struct conf_service old_service;

/* What a socket is set up for is looked at when it is set up again. */
static void
remember(void)
{
	old_sock = sock;
	old_common = common;
	old_common.socket = &old_sock;
	old_service = service;
	old_service.common = &old_common;
}

int
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

int
tear_down(void **state)
{
	(void)state;
	bind_targets_free(targets, n_targets > 0 ? n_targets : 0);
	arena_free(arena);
	return rmdir(dir);	/* nothing is left in it */
}

int
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
	n_targets = bind_targets(&service, NULL, &targets, &why, &where);
	return n_targets;
}

int
open_first(const char *text)
{
	int fd;

	assert_true(RESOLVE(text) >= 1);
	step = NULL;
	errno = 0;
	fd = bind_open(&targets[0], &service, &local, &step);
	remember();
	if (fd == -1)
		assert_non_null(step);
	return fd;
}

int
apply_again(int fd)
{
	int r = bind_apply(fd, &targets[0], &service, &old_service, &step);

	remember();
	return r;
}

int
must_open(const char *text)
{
	int fd = open_first(text);

	if (fd == -1)
		fail_msg("%s: %s: %s", text, step, strerror(errno));
	return fd;
}

void
must_fail(const char *text, const char *at, int error)
{
	int fd = open_first(text), found = errno;

	if (fd != -1)
		fail_msg("%s could be bound", text);
	assert_string_equal(step, at);
	if (found != error)
		fail_msg("%s: %s: %s instead of %s", text, step, strerror(found), strerror(error));
}

int
option(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

bool
has_ipv6(void)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool yes = fd != -1 && bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;

	if (fd != -1)
		(void)close(fd);
	return yes;
}

void
check_descriptor(int fd)
{
	struct rlimit rl;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
	assert_true(fd >= FD_HIGH || rl.rlim_cur <= 2 * FD_HIGH);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

const char *
in_dir(const char *proto, const char *name)
{
	static char buf[160];

	(void)snprintf(buf, sizeof(buf), "%s%s/%s", proto, dir, name);
	return buf;
}
