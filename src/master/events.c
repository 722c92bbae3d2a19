/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The log of sessions.  Runs in the master; called where something happens.
 * The numbers of the board are kept by their owners, not here.
 */
#include "config.h"

#include "events.h"

#include <string.h>
#include <sys/wait.h>

#include "master.h"
#include "service.h"
#include "session.h"
#include "spawn.h"

#define BURST 20		/* lines a service may cause at once */
#define EVERY_MS 1000		/* and then one in this time */

/* Whether a line that clients can cause is to be written; the number of those
 * that were not comes with the next one. */
static bool
allowed(struct master *m, struct log_rate *r, uint32_t *ret_suppressed)
{
	return log_rate(r, ev_now_ms(m->ev), BURST, EVERY_MS, ret_suppressed);
}

static void
add_suppressed(struct log_line *l, uint32_t suppressed)
{
	if (suppressed > 0)
		log_num(l, "suppressed", suppressed);
}

static void
begin(struct log_line *l, enum log_level level, const char *event, const struct service *s)
{
	log_begin(l, level, event);
	log_str(l, "svc", service_name(s));
}

static void
add_row(struct log_line *l, const struct board_session *row)
{
	log_num(l, "conn", (int64_t)row->conn);
	if (row->pid > 0)
		log_num(l, "pid", row->pid);
	if (row->peer.family != 0)
		log_peer(l, "peer", &row->peer);
}

void
events_start(struct master *m, const struct session *x)
{
	const struct board_session *row = session_row(m->sessions, x);
	struct log_line l;

	if (!(x->log_events & CONF_LOG_START))
		return;
	begin(&l, LOGL_INFO, "start", x->service);
	add_row(&l, row);
	if (row->local.family != 0 && row->local.family != AF_UNIX)
		log_peer(&l, "local", &row->local);
	log_end(&l);
}

static int64_t
cpu_ms(const struct rusage *ru)
{
	return (ru->ru_utime.tv_sec + ru->ru_stime.tv_sec) * 1000 +
		(ru->ru_utime.tv_usec + ru->ru_stime.tv_usec) / 1000;
}

static void
add_status(struct log_line *l, const struct session *x)
{
	const char *name;

	if (WIFSIGNALED(x->status)) {
		name = sigabbrev_np(WTERMSIG(x->status));
		log_str(l, "signal", name ? name : "?");
		if (WCOREDUMP(x->status))
			log_num(l, "core", 1);
	} else {
		log_num(l, "exit", WEXITSTATUS(x->status));
	}
}

static void
start_failed(struct master *m, const struct session *x, const struct board_session *row)
{
	struct service_live *live = service_live(x->service);
	uint32_t suppressed = 0;
	struct log_line l;

	if (!(x->log_events & CONF_LOG_FAIL) ||
	    (live && !allowed(m, &live->failures, &suppressed)))
		return;
	begin(&l, LOGL_WARN, "fail", x->service);
	add_row(&l, row);
	log_str(&l, "step", spawn_step_name(row->step));
	log_str(&l, "error", strerror(row->error));
	if (row->step == SPAWN_EXEC && x->service->conf && x->service->conf->exec)
		log_str(&l, "exec", x->service->conf->exec[0]);
	if (service_in_backoff(x->service))
		log_num(&l, "retry_ms", service_backoff_ms(x->service));
	add_suppressed(&l, suppressed);
	log_end(&l);
}

void
events_end(struct master *m, const struct session *x)
{
	const struct board_session *row = session_row(m->sessions, x);
	struct log_line l;

	if (row->step != 0) {
		start_failed(m, x, row);
		return;
	}
	if (!(x->log_events & CONF_LOG_END))
		return;
	begin(&l, LOGL_INFO, "end", x->service);
	add_row(&l, row);
	if (x->reaped)
		add_status(&l, x);
	log_num(&l, "ms", ev_now_ms(m->ev) - x->start_ms);
	if (x->reaped) {
		log_num(&l, "cpu_ms", cpu_ms(&x->usage));
		log_num(&l, "rss_kb", x->usage.ru_maxrss);
	}
	if (row->kind == BOARD_INTERNAL || row->kind == BOARD_DGRAM) {
		log_num(&l, "in", (int64_t)x->bytes_in);
		log_num(&l, "out", (int64_t)x->bytes_out);
	}
	if (x->dropped > 0)
		log_num(&l, "dropped", x->dropped);
	log_end(&l);
}

void
events_refuse(struct master *m, struct service *s, const struct addr *peer, enum reason reason)
{
	struct service_live *live = service_live(s);
	uint32_t suppressed = 0;
	struct log_line l;

	service_counters(s)->refused[reason]++;
	if (!s->conf || !(s->conf->common->log_events & CONF_LOG_REFUSE) ||
	    (live && !allowed(m, &live->refusals, &suppressed)))
		return;
	begin(&l, LOGL_WARN, "refuse", s);
	if (peer && peer->family != 0)
		log_peer(&l, "peer", peer);
	log_str(&l, "reason", reason_name(reason));
	add_suppressed(&l, suppressed);
	log_end(&l);
}

void
events_clone_failed(struct master *m, struct service *s, int error)
{
	uint32_t suppressed = 0;
	struct log_line l;

	if (!allowed(m, &m->clone_errors, &suppressed))
		return;
	begin(&l, LOGL_WARN, "fail", s);
	log_str(&l, "step", spawn_step_name(SPAWN_CLONE));
	log_str(&l, "error", strerror(error));
	log_str(&l, "next", "retry");
	add_suppressed(&l, suppressed);
	log_end(&l);
}

void
events_unread(struct master *m, struct service *s, const struct addr *peer)
{
	struct service_live *live = service_live(s);
	uint32_t suppressed = 0;
	struct log_line l;

	service_counters(s)->refused[REASON_UNREAD]++;
	if (!s->conf || !(s->conf->common->log_events & CONF_LOG_FAIL) ||
	    (live && !allowed(m, &live->failures, &suppressed)))
		return;
	begin(&l, LOGL_WARN, "fail", s);
	log_str(&l, "step", "read");
	log_str(&l, "error", "the handler ended without reading what had come for it");
	if (peer && peer->family != 0)
		log_peer(&l, "peer", peer);
	log_num(&l, "retry_ms", service_backoff_ms(s));
	add_suppressed(&l, suppressed);
	log_end(&l);
}

/* A line may come after the end of its session. */
static bool
add_late(struct master *m, struct log_line *l, const struct msg_errline *line)
{
	struct board_recent r;

	if (line->slot == UINT32_MAX ||
	    !board_recent(m->board, 0, line->slot, line->generation, &r))
		return false;
	log_str(l, "svc", board_name(m->board, r.service));
	log_num(l, "conn", (int64_t)r.conn);
	log_num(l, "pid", r.pid);
	if (r.peer.family != 0)
		log_peer(l, "peer", &r.peer);
	return true;
}

/* The talker has limited the rate already, per session. */
void
events_stderr(struct master *m, const struct session *x, const struct msg_errline *line)
{
	size_t len = line->len < sizeof(line->text) ? line->len : sizeof(line->text);
	struct log_line l;

	if (x && !(x->log_events & CONF_LOG_STDERR))
		return;
	log_begin(&l, LOGL_INFO, "stderr");
	if (x) {
		log_str(&l, "svc", service_name(x->service));
		add_row(&l, session_row(m->sessions, x));
	} else if (!add_late(m, &l, line)) {
		const char *name = board_name(m->board, line->service);

		log_str(&l, "svc", name[0] ? name : "?");
	}
	log_mem(&l, "text", line->text, len);
	add_suppressed(&l, line->suppressed);
	log_end(&l);
}
