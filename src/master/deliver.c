/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Delivery.  Runs in the master; accept.c and link.c call it when something
 * has been judged.  It makes the session, starts its process or hands it to
 * the talker; what follows is the reaper's and the talker's.
 */
#include "config.h"

#include "deliver.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "anteroom.h"
#include "cgroup.h"
#include "env.h"
#include "events.h"
#include "expire.h"
#include "fd.h"
#include "judge.h"
#include "link.h"
#include "listener.h"
#include "log.h"
#include "master.h"
#include "mend.h"
#include "reap.h"
#include "service.h"
#include "session.h"
#include "spawn.h"
#include "stderrs.h"

#define RETRY_MS 50

struct start {			/* what differs between the ways to start one */
	int type;
	int fd;			/* 0 and 1 */
	int n_fds;
	const int *fds;		/* from 3 on */
};

static int
stderr_fd(const struct master *m, const struct conf_service *c, uint16_t *ret_account)
{
	int fd = -1;

	*ret_account = 0;
	if (c->common->stderr_to == CONF_STDERR_SOCKET)
		return -1;
	if (c->common->stderr_to == CONF_STDERR_LOG)
		fd = stderrs_fd(m->stderrs, m->uid == 0 ? c->common->account->uid : m->uid,
				ret_account);
	return fd == -1 ? m->null_fd : fd;
}

/* kill = tree: what is in a group of the kernel's, or else keeps its orphans, can be
 * found when it is to be ended. */
static void
contain(struct master *m, struct session *x, struct spawn *sp)
{
	int fd = -1;

	if (m->cgroups)
		fd = cgroup_make(m->cgroups, session_row(m->sessions, x)->conn);
	x->cgroup = fd != -1;
	sp->in_cgroup = x->cgroup;
	sp->subreaper = !x->cgroup;
	sp->cgroup_fd = fd;
}

/* What a change of may mend a failed start; NULL: nothing that has a path. */
static const char *
cause(const struct conf_service *c, int step, char *buf, size_t size)
{
	const char *root = c->common->chroot ? c->common->chroot : "", *path = "";

	if (step == SPAWN_EXEC)
		path = c->exec[0];
	else if (step == SPAWN_DIRECTORY)
		path = c->common->directory;
	else if (step != SPAWN_CHROOT)
		return NULL;
	return (size_t)snprintf(buf, size, "%s%s", root, path) < size ? buf : NULL;
}

/* Starts the process of a session.  0: there is one, or its start has failed
 * and is the reaper's; -1 and errno: there is none, and trying again may help. */
static int
start(struct master *m, struct session *x, const struct start *how)
{
	const struct plan *plan = x->service->plan;
	const struct conf_service *c = plan->conf;
	const struct conf_common *common = c->common;
	struct board_session *row = session_row(m->sessions, x);
	struct env_connection ec = {
		.plan = plan, .type = how->type, .conn = row->conn,
		.family = row->local.family, .local = &row->local, .peer = &row->peer,
		.listen_fds = how->n_fds,
	};
	struct spawn sp = {
		.path = c->exec[0], .argv = plan->argv,
		.account = m->uid == 0 ? common->account : NULL,
		.chroot = common->chroot, .directory = common->directory, .umask = common->umask,
		.nice = common->nice, .n_rlimits = common->n_rlimits, .rlimits = common->rlimits,
		.fd_in = how->fd, .fd_err = stderr_fd(m, c, &row->account),
		.n_fds = how->n_fds, .fds = how->fds,
		.pid = &row->pid, .step = &row->step, .error = &row->error,
	};
	char path[PATH_MAX];
	int started;

	sp.env = env_build(&ec, &sp.listen_pid);
	if (x->tree)
		contain(m, x, &sp);
	started = spawn_start(&sp);
	if (x->cgroup)
		(void)close(sp.cgroup_fd);
	if (started == -1) {
		if (x->cgroup)
			cgroup_remove(m->cgroups, row->conn);
		x->cgroup = false;
		return -1;
	}
	session_started(m->sessions, x);
	if (row->step != 0) {
		service_failed(x->service, cause(c, row->step, path, sizeof(path)));
		return 0;
	}
	service_counters(x->service)->started++;
	if (row->kind != BOARD_WAIT)	/* a wait handler has to read, too */
		service_succeeded(x->service);
	events_start(m, x);
	return 0;
}

/* No process could be made: the connection waits for a better moment, and
 * nothing else is accepted until then (judge_room). */
static void
postpone(struct master *m, struct session *x, int fd, int error)
{
	events_clone_failed(m, x->service, error);
	x->fd = fd;
	x->stage = STAGE_PROCESS;
	m->to_start++;
	(void)ev_timer_start(&m->retry, RETRY_MS);
}

/* Takes fd. */
static void
exec_connection(struct master *m, struct session *x, int type, int fd)
{
	struct start how = { .type = type, .fd = fd };

	if (start(m, x, &how) == -1) {
		postpone(m, x, fd, errno);
		return;
	}
	session_keep(x, fd);
	expire_begin(m->sessions, x);
	(void)close(fd);
}

void
deliver_exec(struct master *m, struct listener *l, int fd, const struct addr *peer)
{
	struct addr local = listener_local(l, fd);
	uint32_t slot = session_new(m->sessions, l->service, BOARD_EXEC, peer, &local);

	if (slot == SESSION_NONE) {
		events_refuse(m, l->service, peer, REASON_SESSIONS);
		(void)close(fd);
		return;
	}
	session_at(m->sessions, slot)->from = l->number;
	exec_connection(m, session_at(m->sessions, slot), l->target.type, fd);
}

static int
type_of(int fd)
{
	int type = SOCK_STREAM;
	socklen_t len = sizeof(type);

	(void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	return type;
}

void
deliver_retry(struct master *m)
{
	for (uint32_t i = 0; m->to_start > 0 && i < sessions_rows(m->sessions); i++) {
		struct session *x = session_at(m->sessions, i);
		struct start how;

		if (!x || x->stage != STAGE_PROCESS)
			continue;
		if (m->stopping) {
			session_cancel(m->sessions, x);
			continue;
		}
		if (!anteroom_check(m, x))
			continue;
		how = (struct start){ .type = type_of(x->fd), .fd = x->fd };
		if (start(m, x, &how) == -1) {
			(void)ev_timer_start(&m->retry, RETRY_MS);
			return;
		}
		x->stage = STAGE_NONE;
		m->to_start--;
		session_keep(x, x->fd);
		fd_close(&x->fd);
		expire_begin(m->sessions, x);
	}
	if (m->to_start == 0)
		ev_timer_stop(&m->retry);
	master_admit_soon(m);
}

/* Hands a connection to the talker; takes fd.  One that has just died, or is behind,
 * is no reason to refuse it: it waits. */
static void
give(struct master *m, struct session *x, bool seqpacket, int fd)
{
	struct board_session *row = session_row(m->sessions, x);

	x->stage = STAGE_NONE;
	x->fd = -1;
	if (link_send_connection(m, x, seqpacket, fd) == 0) {
		row->state = BOARD_RUNNING;
		service_counters(x->service)->started++;
		session_keep(x, fd);
		expire_begin(m->sessions, x);
		events_start(m, x);
	} else if (errno == EAGAIN) {
		x->stage = STAGE_TALKER;
		x->fd = fd;
		return;
	} else {
		events_refuse(m, x->service, &row->peer, REASON_TALKER);
		session_cancel(m->sessions, x);
	}
	(void)close(fd);
}

void
deliver_again(struct master *m, struct session *x)
{
	if (x->stage == STAGE_LINGER)
		session_linger(m->sessions, x);
	else if (anteroom_check(m, x))
		give(m, x, type_of(x->fd) == SOCK_SEQPACKET, x->fd);
}

void
deliver_internal(struct master *m, struct listener *l, int fd, const struct addr *peer)
{
	struct addr local = listener_local(l, fd);
	uint32_t slot = session_new(m->sessions, l->service, BOARD_INTERNAL, peer, &local);

	if (slot == SESSION_NONE) {
		events_refuse(m, l->service, peer, REASON_SESSIONS);
		(void)close(fd);
		return;
	}
	session_at(m->sessions, slot)->from = l->number;
	give(m, session_at(m->sessions, slot), l->target.type == SOCK_SEQPACKET, fd);
}

void
deliver_waiting(struct master *m, struct session *x)
{
	int fd = x->fd, low;

	x->fd = -1;
	if (session_row(m->sessions, x)->kind == BOARD_INTERNAL) {
		give(m, x, type_of(fd) == SOCK_SEQPACKET, fd);
		return;
	}
	low = fd_dup(fd, 3);	/* what a child inherits is as small as its number */
	if (low != -1) {
		(void)close(fd);
		fd = low;
	}
	exec_connection(m, x, type_of(fd), fd);
}

/* All sockets of the service, for a handler that wants them as sd_listen_fds(3)
 * gives them, in the order of listen. */
static int
listen_fds(const struct service *s, int fds[SPAWN_FDS])
{
	int n = 0, i = 0;

	for (const struct listener *l = s->listeners; l && n < SPAWN_FDS; l = l->next)
		if (l->fd != -1)
			n++;
	for (const struct listener *l = s->listeners; l && i < n; l = l->next)
		if (l->fd != -1)
			fds[n - 1 - i++] = l->fd;	/* listeners are put in front */
	return n;
}

/* The sender of the first datagram is who the handler is started for; one that may
 * not have it loses its datagram. */
static bool
may_start(struct master *m, struct listener *l, const struct addr *peer)
{
	struct service *s = l->service;
	enum reason why;

	if (l->target.type != SOCK_DGRAM) {
		judge_take_service(m, s);
		return true;
	}
	why = judge_source(m, s, peer);
	if (why == REASON_NONE) {
		judge_take_source(m, s, peer);
		judge_take_service(m, s);
		return true;
	}
	service_counters(s)->accepted++;
	events_refuse(m, s, peer, why);
	(void)recv(l->fd, NULL, 0, MSG_DONTWAIT | MSG_TRUNC);
	return false;
}

/* A handler with all sockets can't be started while another one, of the time before
 * a reload, still has some of them: this one then waits for its end, too. */
static bool
waits_for_holder(struct master *m, struct listener *l)
{
	for (struct listener *o = l->service->listeners; o; o = o->next) {
		if (o->holder == 0)
			continue;
		session_at(m->sessions, o->holder - 1)->all_listeners = true;
		listener_lend(l, o->holder - 1);
		return true;
	}
	return false;
}

void
deliver_wait(struct master *m, struct listener *l)
{
	struct service *s = l->service;
	bool all = s->conf->common->pass == CONF_PASS_LISTEN_FDS;
	struct start how = { .type = l->target.type, .fd = l->fd };
	int fds[SPAWN_FDS];
	struct session_wait wait;
	struct addr local = listener_address(l);
	struct session *x;
	uint32_t slot;

	if (all && waits_for_holder(m, l))
		return;
	if (!reap_wait_look(l, &wait)) {
		mend_vain(l);
		return;
	}
	l->vain = 0;
	if (!may_start(m, l, &wait.peer))
		return;
	service_counters(s)->accepted++;
	slot = session_new(m->sessions, s, BOARD_WAIT, NULL, &local);
	if (slot == SESSION_NONE) {
		listener_enqueue(m->listeners, l);
		return;
	}
	x = session_at(m->sessions, slot);
	x->wait = wait;
	x->from = l->number;
	if (all) {
		how.n_fds = listen_fds(s, fds);
		how.fds = fds;
		how.fd = m->null_fd;
	}
	if (start(m, x, &how) == -1) {
		/* what has come stays where it is */
		events_clone_failed(m, s, errno);
		session_cancel(m->sessions, x);
		master_exhausted(m, EAGAIN);
		listener_enqueue(m->listeners, l);
		return;
	}
	x->listener = l;
	x->all_listeners = all;
	expire_begin(m->sessions, x);
	listener_lend(l, slot);
	for (struct listener *o = s->listeners; all && o; o = o->next)
		listener_lend(o, slot);
}

enum reason
deliver_datagram(struct master *m, struct listener *l, const struct addr *peer,
		 const struct addr *local, struct session **ret, int *ret_fd)
{
	struct start how = { .type = SOCK_DGRAM };
	struct session *x;
	uint32_t slot;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
		return REASON_SPAWN;
	fd_pass_rights(pair[1], false);
	slot = session_new(m->sessions, l->service, BOARD_DGRAM, peer, local);
	if (slot == SESSION_NONE) {
		(void)close(pair[0]);
		(void)close(pair[1]);
		return REASON_SESSIONS;
	}
	x = session_at(m->sessions, slot);
	session_count_listener(x, l);
	x->from = l->number;
	how.fd = pair[0];
	if (start(m, x, &how) == -1) {
		events_clone_failed(m, l->service, errno);
		session_cancel(m->sessions, x);
		x = NULL;
	}
	(void)close(pair[0]);
	if (!x || session_row(m->sessions, x)->step != 0) {
		(void)close(pair[1]);
		return REASON_SPAWN;
	}
	expire_begin(m->sessions, x);
	*ret = x;
	*ret_fd = pair[1];
	return REASON_NONE;
}
