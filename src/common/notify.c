/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The sender's side of sd_notify(3).  Owns one datagram socket; runs in the
 * master, called by its start, reload, stop and watchdog.
 */
#include "config.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "notify.h"

struct notify {
	int fd;
	uint64_t watchdog_usec;	/* 0: off */
	socklen_t to_len;
	struct sockaddr_un to;
};

/* "/path" or "@abstract"; 0 or -1 */
static int
parse_address(const char *text, struct notify *n)
{
	size_t len = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || len < 2 || len >= sizeof n->to.sun_path)
		return -1;
	n->to.sun_family = AF_UNIX;
	memcpy(n->to.sun_path, text, len);
	n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	if (text[0] == '@') {
		n->to.sun_path[0] = '\0';
		n->to_len--;	/* the NUL would be part of the name */
	}
	return 0;
}

/* A decimal number and nothing else; 0 for what is none. */
static uint64_t
parse_number(const char *text)
{
	uint64_t n = 0;

	if (text == NULL || *text == '\0')
		return 0;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' || n > (UINT64_MAX - 9) / 10)
			return 0;
		n = n * 10 + (uint64_t)(*text - '0');
	}
	return n;
}

static uint64_t
watchdog_usec(void)
{
	const char *pid = getenv("WATCHDOG_PID");

	if (pid != NULL && parse_number(pid) != (uint64_t)getpid())
		return 0;
	return parse_number(getenv("WATCHDOG_USEC"));
}

struct notify *
notify_init(void)
{
	const char *address = getenv("NOTIFY_SOCKET");
	struct notify *n = NULL;

	if (address == NULL || (n = calloc(1, sizeof *n)) == NULL)
		goto out;
	n->fd = -1;
	n->watchdog_usec = watchdog_usec();
	if (parse_address(address, n) == 0)
		n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd < 0) {
		free(n);
		n = NULL;
		goto out;
	}
	n->fd = fd_raise(n->fd);
out:
	(void)unsetenv("NOTIFY_SOCKET");	/* fails for bad names only */
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	return n;
}

void
notify_free(struct notify *n)
{
	if (n == NULL)
		return;
	fd_close(&n->fd);
	free(n);
}

void
notify_send(const struct notify *n, const char *state)
{
	if (n == NULL)
		return;
	/* Nobody could be told that the manager is gone or its queue is full. */
	(void)sendto(n->fd, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL,
	    (const struct sockaddr *)&n->to, n->to_len);
}

void
notify_reloading(const struct notify *n)
{
	struct timespec ts;
	char text[64];

	if (n == NULL || clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
		return;
	(void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
	    (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
	notify_send(n, text);
}

int64_t
notify_watchdog_ms(const struct notify *n)
{
	if (n == NULL || n->watchdog_usec == 0)
		return 0;
	return n->watchdog_usec < 2000 ? 1 : (int64_t)(n->watchdog_usec / 2000);
}

int
notify_to_environment(const struct notify *n)
{
	char address[sizeof n->to.sun_path + 1] = "";
	char usec[24], pid[24];

	if (n == NULL)
		return 0;
	memcpy(address, n->to.sun_path, n->to_len - offsetof(struct sockaddr_un, sun_path));
	if (address[0] == '\0')
		address[0] = '@';
	if (setenv("NOTIFY_SOCKET", address, 1) < 0)
		return -1;
	if (n->watchdog_usec == 0)
		return 0;
	(void)snprintf(usec, sizeof usec, "%" PRIu64, n->watchdog_usec);
	(void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
	return setenv("WATCHDOG_USEC", usec, 1) < 0 || setenv("WATCHDOG_PID", pid, 1) < 0 ? -1 : 0;
}
