/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Time limits and how sessions are stopped.  Runs in the master: deliver.c
 * begins, the session's one timer goes on, session.c asks what is left.
 */
#include "config.h"

#include "expire.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>

#include "anteroom.h"
#include "cgroup.h"
#include "fd.h"
#include "link.h"
#include "master.h"
#include "proctab.h"
#include "service.h"
#include "session.h"
#include "tree.h"

#define LEFT_MS 20		/* how soon to look again who is left, at first */
#define LEFT_MAX_MS 1000

/* Signals */

static void
signal_session(const struct sessions *all, struct session *x, int sig)
{
	struct master *m = x->service->master;
	const struct board_session *row = session_row(all, x);
	pid_t pid = row->pid;

	assert(x->process && pid > 1);
	if (x->cgroup && sig == SIGKILL)
		(void)cgroup_kill(m->cgroups, row->conn);
	else if (x->cgroup)
		(void)cgroup_signal(m->cgroups, row->conn, sig);
	else if (x->tree)
		(void)tree_signal(pid, sig);
	/* the group in any case: each handler leads a session of its own, but
	 * perhaps hasn't got as far as setsid */
	if (kill(-pid, sig) == -1 && errno == ESRCH)
		(void)kill(pid, sig);
	x->signalled = (uint8_t)sig;
	session_row(all, x)->state = BOARD_ENDING;
}

void
expire_stop(struct sessions *all, struct session *x)
{
	struct master *m = x->service->master;

	if (x->talker && !m->stopping)	/* else it is told to stop as a whole */
		(void)link_close(m, x);
	if (!x->process) {
		if (x->stage == STAGE_LINGER)
			session_lingered(all, x);
		else if (!x->talker && !x->leftovers)
			session_cancel(all, x);		/* it was never started */
		return;
	}
	if (x->signalled != 0)
		return;
	signal_session(all, x, SIGTERM);
	(void)ev_timer_start(&x->timer, x->stop_ms);
}

/* The rest of a process group whose leader was reaped.  Its number isn't given out
 * again as long as it has members; if a process has it, there are none. */
static bool
signal_group(pid_t pid, int sig)
{
	return kill(pid, 0) == -1 && errno == ESRCH && kill(-pid, sig) == 0;
}

/* Whether it has members that haven't ended: who reaps them, and when, is not for
 * us to say. */
static bool
group_lives(pid_t pid)
{
	struct proctab t = { 0 };
	bool lives = false;

	if (!signal_group(pid, 0))
		return false;
	if (proctab_read(&t) == -1)
		return true;
	for (int i = 0; i < t.n && !lives; i++)
		lives = t.procs[i].group == pid && !t.procs[i].dead;
	proctab_free(&t);
	return lives;
}

static bool
signal_leftovers(const struct sessions *all, struct session *x, int sig)
{
	struct master *m = x->service->master;
	const struct board_session *row = session_row(all, x);

	if (!x->tree)
		return signal_group(row->pid, sig);
	if (!x->cgroup)
		return tree_leftovers(row->pid, row->conn, sig) > 0;
	if (cgroup_empty(m->cgroups, row->conn))
		return false;
	if (sig == SIGKILL)
		(void)cgroup_kill(m->cgroups, row->conn);
	else
		(void)cgroup_signal(m->cgroups, row->conn, sig);
	return true;
}

void
expire_kill(struct sessions *all, struct session *x)
{
	if (x->process) {
		signal_session(all, x, SIGKILL);
	} else if (x->leftovers && signal_leftovers(all, x, SIGKILL)) {
		x->signalled = SIGKILL;
		(void)ev_timer_start(&x->timer, LEFT_MS);
	}
}

/* What a handler left */

bool
expire_leftovers(struct sessions *all, struct session *x)
{
	struct master *m = x->service->master;
	int sig = x->signalled == SIGKILL ? SIGKILL : SIGTERM;

	/* kill = group: what has ended by itself may leave what it likes; else its
	 * group has had its TERM with it, or its KILL, which nobody survives */
	if (!x->tree && x->signalled != SIGTERM)
		return false;
	if (!signal_leftovers(all, x, x->tree ? sig : 0)) {
		if (x->cgroup)
			cgroup_remove(m->cgroups, session_row(all, x)->conn);
		return false;
	}
	x->signalled = (uint8_t)sig;
	(void)ev_timer_start(&x->timer, sig == SIGKILL || x->stop_ms > LEFT_MS ?
			     LEFT_MS : x->stop_ms);
	return true;
}

/* They have had their TERM and are given their time; most need little of it.
 * True: until then nothing is to be done. */
static bool
leave_time(const struct sessions *all, struct session *x, int64_t since)
{
	int64_t next = since < LEFT_MS ? LEFT_MS : since;

	if (x->signalled == SIGKILL || since >= x->stop_ms)
		return false;
	if (x->tree ? !signal_leftovers(all, x, 0) : !group_lives(session_row(all, x)->pid))
		return false;
	if (next > LEFT_MAX_MS)
		next = LEFT_MAX_MS;
	if (next > x->stop_ms - since)
		next = x->stop_ms - since;
	(void)ev_timer_start(&x->timer, next);
	return true;
}

/* Looked at again and again: one that the kernel can't end just now is not
 * forgotten, nor does it cost much. */
static void
on_leftovers(struct sessions *all, struct session *x)
{
	struct master *m = x->service->master;
	int64_t since = ev_now_ms(m->ev) - x->reaped_ms;

	if (leave_time(all, x, since))
		return;
	/* of a group zombies may be left, and nobody survives this */
	if (signal_leftovers(all, x, SIGKILL) && x->tree) {
		bool first = x->signalled != SIGKILL;

		x->signalled = SIGKILL;
		(void)ev_timer_start(&x->timer, first || since < 1000 ? LEFT_MS : LEFT_MAX_MS);
		return;
	}
	if (x->cgroup)
		cgroup_remove(m->cgroups, session_row(all, x)->conn);
	session_process_over(all, x);
}

/* Time limits */

/* Milliseconds since the last byte in either direction; -1: the kernel doesn't
 * tell. */
static int64_t
idle_for(int fd)
{
	struct tcp_info ti;
	socklen_t len = sizeof(ti);

	if (fd == -1 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len) == -1)
		return -1;
	return ti.tcpi_last_data_recv < ti.tcpi_last_data_sent ?
		ti.tcpi_last_data_recv : ti.tcpi_last_data_sent;
}

static int64_t
sooner(int64_t a, int64_t b)
{
	return b != 0 && (a == 0 || b < a) ? b : a;
}

/* How long nothing was said while it was served: it may have waited before. */
static int64_t
session_idle_for(const struct session *x, int64_t now)
{
	int64_t idle = idle_for(x->keep), served = now - x->served_ms;

	return idle < served ? idle : served;
}

/* Which limit has been reached; *ret_next: when to look again, 0: never. */
static enum reason
reached(const struct session *x, int64_t now, int64_t *ret_next)
{
	int64_t idle;

	*ret_next = sooner(x->total_at, x->soon_at);
	if (x->total_at != 0 && now >= x->total_at)
		return REASON_TOTAL;
	if (x->idle_ms == 0)
		return REASON_NONE;
	idle = session_idle_for(x, now);
	if (idle == -1)
		return REASON_NONE;
	if (idle >= x->idle_ms)
		return REASON_IDLE;
	*ret_next = sooner(*ret_next, now + x->idle_ms - idle);
	return REASON_NONE;
}

static void
expired(struct sessions *all, struct session *x, enum reason why)
{
	x->ended_by = (uint8_t)why;
	service_counters(x->service)->refused[why]++;
	/* an internal service has no process; once is enough for it */
	x->idle_ms = 0;
	x->total_at = 0;
	expire_stop(all, x);
}

static void
look(struct sessions *all, struct session *x)
{
	int64_t now = ev_now_ms(x->service->master->ev), next;
	enum reason why = reached(x, now, &next);

	if (why != REASON_NONE)
		expired(all, x, why);
	else if (x->soon_at != 0 && now >= x->soon_at)
		expire_stop(all, x);
	else if (next != 0)
		(void)ev_timer_start(&x->timer, next > now ? next - now : 1);
}

void
expire_begin(struct sessions *all, struct session *x)
{
	const struct conf_timeouts *t = x->service->conf->common->timeouts;

	if (t->total_ms == 0 && x->idle_ms == 0)
		return;
	x->served_ms = ev_now_ms(x->service->master->ev);
	x->total_at = t->total_ms == 0 ? 0 : x->served_ms + t->total_ms;
	look(all, x);
}

void
expire_soon(struct sessions *all, struct session *x)
{
	if (x->signalled != 0)
		return;
	x->soon_at = ev_now_ms(x->service->master->ev) + x->stop_ms;
	look(all, x);
}

void
expire_on_timer(void *session)
{
	struct session *x = session;
	struct master *m = x->service->master;

	if (x->stage == STAGE_LINGER)
		session_lingered(m->sessions, x);
	else if (x->stage != STAGE_NONE)
		anteroom_late(m, x);
	else if (x->leftovers)
		on_leftovers(m->sessions, x);
	else if (x->signalled == 0)
		look(m->sessions, x);
	else if (x->process)
		signal_session(m->sessions, x, SIGKILL);
}
