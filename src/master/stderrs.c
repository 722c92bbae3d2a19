/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Handlers' stderr.  Runs in the master; deliver.c asks for the end that a
 * handler gets, the other end is read by the talker (errlog.c there).
 */
#include "config.h"

#include "stderrs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"
#include "link.h"
#include "log.h"
#include "master.h"
#include "proto.h"

#define WRITE_MS 1000		/* a handler's write waits no longer for the talker */

struct stderrs {
	struct master *master;
	int n;
	struct log_rate errors;
	struct {
		uid_t uid;
		int fd, read_fd;
	} list[PROTO_ERRLOGS];
};

struct stderrs *
stderrs_new(struct master *m)
{
	struct stderrs *all = calloc(1, sizeof(*all));

	if (all)
		all->master = m;
	return all;
}

void
stderrs_free(struct stderrs *all)
{
	if (!all)
		return;
	for (int i = 0; i < all->n; i++) {
		fd_close(&all->list[i].fd);
		fd_close(&all->list[i].read_fd);
	}
	free(all);
}

/* Datagrams keep lines of different handlers apart, and the kernel vouches for
 * who has sent each. */
static int
open_pair(int *ret_fd, int *ret_read_fd)
{
	struct timeval tv = { .tv_sec = WRITE_MS / 1000 };
	int pair[2], on = 1;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == -1)
		return -1;
	if (setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) == -1 ||
	    setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == -1 ||
	    fd_set_nonblock(pair[1], true) == -1) {
		fd_close(&pair[0]);
		fd_close(&pair[1]);
		return -1;
	}
	fd_pass_rights(pair[1], false);
	*ret_fd = pair[0];
	*ret_read_fd = fd_raise(pair[1]);
	return 0;
}

static int
refuse(struct stderrs *all, uid_t uid, const char *why)
{
	uint32_t suppressed;

	if (log_rate(&all->errors, ev_now_ms(all->master->ev), 1, 60000, &suppressed))
		log_warnx("stderr of handlers with uid %u is not read: %s", (unsigned)uid, why);
	return -1;
}

static int
add(struct stderrs *all, uid_t uid)
{
	if (all->n == PROTO_ERRLOGS)
		return refuse(all, uid, "too many accounts");
	if (open_pair(&all->list[all->n].fd, &all->list[all->n].read_fd) == -1)
		return refuse(all, uid, "no socket pair");
	all->list[all->n].uid = uid;
	link_send_stderr(all->master, (uint32_t)all->n++);
	return all->n - 1;
}

int
stderrs_fd(struct stderrs *all, uid_t uid, uint16_t *ret_account)
{
	int i = 0;

	while (i < all->n && all->list[i].uid != uid)
		i++;
	if (i == all->n && (i = add(all, uid)) == -1)
		return -1;
	*ret_account = (uint16_t)(i + 1);
	return all->list[i].fd;
}

uint32_t
stderrs_count(const struct stderrs *all)
{
	return (uint32_t)all->n;
}

int
stderrs_read_fd(const struct stderrs *all, uint32_t i)
{
	return all->list[i].read_fd;
}
