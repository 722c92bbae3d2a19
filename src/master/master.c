/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The master: puts its parts together, answers signals, ends.  main.c calls it.
 */
#include "config.h"

#include "master.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "anteroom.h"
#include "cgroup.h"
#include "deliver.h"
#include "events.h"
#include "expire.h"
#include "fd.h"
#include "link.h"
#include "listener.h"
#include "load.h"
#include "notify.h"
#include "reap.h"
#include "reload.h"
#include "room.h"
#include "service.h"
#include "session.h"
#include "setup.h"
#include "spawn.h"
#include "srctab.h"
#include "stderrs.h"
#include "talkproc.h"
#include "tree.h"

#define EXHAUSTED_MS 100	/* out of descriptors: the next try */
#define REAP_BUSY_MS 5		/* ends that follow each other so soon are load */
#define REAP_DEFER_MS 2

static bool
wants_room(const struct master *m)
{
	return listeners_waiting(m->listeners) || room_waiting(m);
}

/* A session's end makes room for one; the rest is asked for in later turns,
 * so that one busy service can't take all of it. */
static void
admit(void *arg)
{
	struct master *m = arg;
	uint32_t max = m->conf->max_processes, n;

	if (m->stopping || m->to_start > 0 || !wants_room(m))
		return;
	if (m->paused_until > ev_now_ms(m->ev)) {
		(void)ev_timer_start(&m->admit, m->paused_until - ev_now_ms(m->ev));
		return;
	}
	room_admit(m);
	n = sessions_processes(m->sessions);
	if (max == 0)
		n = LISTENER_BATCH;
	else
		n = max > n ? max - n : 0;
	listeners_admit(m->listeners, n);
	if (n > 0 && listeners_waiting(m->listeners))
		(void)ev_timer_start(&m->admit, 0);
}

void
master_admit_soon(struct master *m)
{
	if (wants_room(m) && !ev_timer_active(&m->admit))
		(void)ev_timer_start(&m->admit, 0);
}

void
master_exhausted(struct master *m, int error)
{
	log_debug("waiting for room: %s", strerror(error));
	m->paused_until = ev_now_ms(m->ev) + EXHAUSTED_MS;
	(void)ev_timer_start(&m->admit, EXHAUSTED_MS);
}

static void
retry(void *arg)
{
	deliver_retry(arg);
}

static void
rebind(void *arg)
{
	setup_retry(arg);
}

static void
watchdog(void *arg)
{
	struct master *m = arg;

	notify_send(m->notify, "WATCHDOG=1");
	(void)ev_timer_start(&m->watchdog, notify_watchdog_ms(m->notify));
}

/* A UNIX path stays if a handler goes on that has its socket. */
static void
close_listeners(struct master *m)
{
	for (uint32_t i = 0; i < listeners_rows(m->listeners); i++) {
		struct listener *l = listeners_at(m->listeners, i);

		if (l)
			listener_free(m->listeners, l, !m->quit || l->holder == 0);
	}
	setup_close_control(m);
}

/* SIGTERM, SIGINT: once: no new sessions, TERM to the handlers, KILL later;
 * twice: KILL now. */
static void
stop(struct master *m, int signo)
{
	bool again = m->stopping;

	log_info("stopping on SIG%s%s", sigabbrev_np(signo), again ? " once more" : "");
	m->stopping = true;
	notify_send(m->notify, "STOPPING=1");
	reload_fini(m);
	if (!again)
		close_listeners(m);
	for (uint32_t i = 0; i < sessions_rows(m->sessions); i++) {
		struct session *x = session_at(m->sessions, i);

		if (x && again)
			expire_kill(m->sessions, x);
		else if (x)
			expire_stop(m->sessions, x);
	}
}

/* Handlers first, then the talker, which may still have their last lines. */
static void
stop_further(struct master *m)
{
	if (sessions_processes(m->sessions) + sessions_leftovers(m->sessions) > 0)
		return;
	if (talkproc_pid(m) == 0)
		ev_stop(m->ev);
	else
		talkproc_stop(m);
}

/* Under load being woken for each child costs more than the child's end: the
 * next ones are looked for a little later, all together, unless somebody waits
 * for them. */
static void
reap(struct master *m)
{
	int64_t now = ev_now_ms(m->ev);

	(void)reap_children(m);
	if (now - m->reaped_ms < REAP_BUSY_MS && !m->stopping && !listeners_held(m->listeners))
		ev_signals_defer(m->ev, REAP_DEFER_MS);
	m->reaped_ms = now;
}

static void
on_signal(int signo, void *arg)
{
	struct master *m = arg;

	switch (signo) {
	case SIGCHLD:
		reap(m);
		break;
	case SIGHUP:
		log_look();
		reload_request(m);
		break;
	case SIGUSR1:
		if (log_reopen() == -1)
			log_warn("can't open the log again");
		break;
	case SIGTERM:
	case SIGINT:
		stop(m, signo);
		break;
	case SIGQUIT:
		log_info("stopping on SIGQUIT, handlers go on");
		m->quit = true;
		ev_stop(m->ev);
		break;
	}
}

static void
on_turn(void *arg)
{
	struct master *m = arg;

	if (m->stopping)
		stop_further(m);
	listeners_serve_ready(m->listeners);
	log_flush();
}

static int
open_tables(struct master *m)
{
	uint8_t key[16];

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return -1;
	if (link_init(m) == -1)
		return -1;
	m->board = board_new();
	m->services = services_new(m);
	m->listeners = listeners_new(m);
	m->sessions = sessions_new(m);
	m->sources = srctab_new(BOARD_SESSIONS, key);
	m->stderrs = stderrs_new(m);
	m->anteroom = anteroom_new(m);
	m->room = room_new();
	m->load = load_new();
	if (!m->board || !m->services || !m->listeners || !m->sessions || !m->sources ||
	    !m->stderrs || !m->anteroom || !m->room || !m->load)
		return -1;
	m->plans = plans_new(m->conf, m->environ);
	return m->plans ? 0 : -1;
}

static void
on_tell(void *arg)
{
	events_stray_suppressed(arg);
}

static int
open_loop(struct master *m)
{
	static const int signals[] = { SIGCHLD, SIGHUP, SIGUSR1, SIGTERM, SIGINT, SIGQUIT };

	m->ev = ev_new(m->conf->event_backend);
	if (!m->ev) {
		log_warn("event backend %s", m->conf->event_backend);
		return -1;
	}
	if (ev_signals(m->ev, signals, sizeof(signals) / sizeof(*signals), on_signal, m) == -1) {
		log_warn("signals");
		return -1;
	}
	ev_on_turn(m->ev, on_turn, m);
	ev_timer_init(m->ev, &m->admit, admit, m);
	ev_timer_init(m->ev, &m->retry, retry, m);
	ev_timer_init(m->ev, &m->rebind, rebind, m);
	ev_timer_init(m->ev, &m->watchdog, watchdog, m);
	ev_timer_init(m->ev, &m->tell, on_tell, m);
	return 0;
}

/* Only if it is asked for: orphans come to us then, of whatever service. */
void
master_contain(struct master *m)
{
	bool wanted = false;

	for (int i = 0; i < m->conf->n_services && !wanted; i++)
		wanted = m->conf->services[i].enabled &&
			m->conf->services[i].common->kill == CONF_KILL_TREE;
	if (!wanted || m->contained)
		return;
	m->contained = true;
	if (tree_init() == -1)
		log_warn("kill = tree: can't be the reaper of orphans");
	m->cgroups = cgroups_new();
	if (!m->cgroups)
		log_debug("kill = tree: no cgroups of our own: %s", strerror(errno));
}

int
master_init(struct master *m)
{
	m->null_fd = m->control_fd = -1;
	m->uid = geteuid();
	m->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (m->null_fd == -1) {
		log_warn("/dev/null");
		return -1;
	}
	if (open_loop(m) == -1)
		return -1;
	if (open_tables(m) == -1 || spawn_init(m->fd_soft) == -1) {
		log_warn("can't make the tables");
		return -1;
	}
	if (!spawn_shares_files())
		log_debug("close_range is refused here: descriptors are copied for each handler");
	/* a configuration made on the command line is all there is to serve */
	if (setup_all(m, m->options->text != NULL) == -1)
		return -1;
	setup_control(m);
	master_contain(m);
	return talkproc_init(m);
}

/* Services that are enabled, and their sockets.  One whose host's name has no
 * address yet has none: each of its addresses counts as one to come. */
static void
tell_ready(const struct master *m)
{
	unsigned services = 0, bound = 0, left = 0;
	char text[32] = "";

	for (uint32_t i = 0; i < services_rows(m->services); i++) {
		const struct service *s = services_at(m->services, i);

		if (!s || !s->conf)
			continue;
		services++;
		if (!s->listeners)
			left += s->conf->n_listen;
		for (const struct listener *l = s->listeners; l; l = l->next)
			*(l->fd == -1 ? &left : &bound) += 1;
	}
	if (left > 0)
		(void)snprintf(text, sizeof(text), ", %u not bound yet", left);
	log_info("hatchd %s is ready: %u services, %u sockets%s, %s", PACKAGE_VERSION, services,
		 bound, text, ev_backend(m->ev));
}

int
master_run(struct master *m)
{
	if (notify_watchdog_ms(m->notify) > 0)
		watchdog(m);
	notify_send(m->notify, "READY=1");
	tell_ready(m);
	log_flush();
	return ev_run(m->ev) == -1 ? 1 : 0;
}

void
master_fini(struct master *m)
{
	if (m->ev) {
		if (m->listeners)
			close_listeners(m);
		ev_timer_stop(&m->admit);
		ev_timer_stop(&m->retry);
		ev_timer_stop(&m->rebind);
		ev_timer_stop(&m->watchdog);
		ev_timer_stop(&m->tell);
	}
	reload_fini(m);
	talkproc_fini(m);
	sessions_free(m->sessions);
	anteroom_free(m->anteroom);
	room_free(m->room);
	load_free(m->load);
	cgroups_free(m->cgroups);
	listeners_free(m->listeners);
	services_free(m->services);
	srctab_free(m->sources);
	stderrs_free(m->stderrs);
	link_fini(m);
	plans_free(m->plans);
	board_free(m->board);
	ev_free(m->ev);
	spawn_fini();
	fd_close(&m->null_fd);
}
