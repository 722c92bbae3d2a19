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

#include "bind.h"
#include "listener.h"
#include "master.h"
#include "service.h"
#include "session.h"
#include "spawn.h"

#define BURST 20		/* lines a service may cause at once */
#define EVERY_MS 1000		/* and then one in this time */
#define LIMIT_BURST 2		/* the same of limits, which tell nothing new each time */
#define LIMIT_EVERY_MS 10000
#define STDERR_BURST 200	/* the same of handlers' stderr, for all of a service; the */
#define STDERR_EVERY_MS 20	/* talker keeps each session within less */
#define TELL_MS 10000		/* when to tell of lines that were not written, if no
				 * other one follows */

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

static void
add_session(struct log_line *l, const struct session *x, const struct board_session *row)
{
	add_row(l, row);
	if (x->via.family != 0)
		log_peer(l, "via", &x->via);
}

/* The setting that a reason comes from; NULL: none. */
static const char *
setting_of(enum reason r)
{
	static const char *const settings[REASON_MAX] = {
		[REASON_HOURS] = "access.hours",
		[REASON_LOAD] = "access.max_load",
		[REASON_PRESSURE] = "access.max_pressure",
		[REASON_SOURCE_INSTANCES] = "limits.per_source",
		[REASON_SOURCE_RATE] = "limits.rate_per_source",
		[REASON_RATE] = "limits.rate",
		[REASON_INSTANCES] = "limits.instances",
		[REASON_PROCESSES] = "max_processes",
		[REASON_SESSION_MAX] = "session.max",
		[REASON_FIRST_BYTE] = "timeouts.first_byte",
		[REASON_IDLE] = "timeouts.idle",
		[REASON_TOTAL] = "timeouts.total",
	};

	return settings[r];
}

static const char *
reason_setting(enum reason r)
{
	return setting_of(r) ? setting_of(r) : reason_name(r);
}

void
events_start(struct master *m, const struct session *x)
{
	const struct board_session *row = session_row(m->sessions, x);
	struct log_line l;

	if (!(x->log_events & CONF_LOG_START))
		return;
	begin(&l, LOGL_INFO, "start", x->service);
	add_session(&l, x, row);
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
	add_session(&l, x, row);
	if (x->reaped)
		add_status(&l, x);
	if (x->ended_by != REASON_NONE)
		log_str(&l, "ended_by", reason_setting(x->ended_by));
	log_num(&l, "ms", (x->reaped ? x->reaped_ms : ev_now_ms(m->ev)) - x->start_ms);
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

/* The talker may say any number. */
static uint32_t
sum(uint32_t a, uint32_t b)
{
	return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

/* Whether to write a line about it; what is not told now is told later. */
static bool
may_tell(struct master *m, struct service *s, enum reason r, uint32_t *ret_suppressed)
{
	struct service_live *live = service_live(s);
	/* of a back-off the failed starts tell */
	bool limit = setting_of(r) != NULL || r == REASON_BACKOFF;

	*ret_suppressed = 0;
	if (!live || log_rate(&live->told[r], ev_now_ms(m->ev), limit ? LIMIT_BURST : BURST,
			      limit ? LIMIT_EVERY_MS : EVERY_MS, ret_suppressed))
		return true;
	if (!ev_timer_active(&live->tell))
		(void)ev_timer_start(&live->tell, TELL_MS);	/* or with the next line */
	return false;
}

static void
add_reason(struct log_line *l, enum reason r)
{
	log_str(l, "reason", reason_name(r));
	if (setting_of(r))
		log_str(l, "setting", setting_of(r));
}

static void
refuse(struct master *m, struct service *s, const struct addr *peer, enum reason reason,
       uint32_t n)
{
	uint32_t suppressed;
	struct log_line l;

	service_counters(s)->refused[reason] += n;
	if (!s->conf || !(s->conf->common->log_events & CONF_LOG_REFUSE))
		return;
	if (!may_tell(m, s, reason, &suppressed)) {	/* which has noted one of them */
		s->live->told[reason].suppressed = sum(s->live->told[reason].suppressed, n - 1);
		return;
	}
	suppressed = sum(suppressed, n - 1);
	begin(&l, LOGL_WARN, "refuse", s);
	if (peer && peer->family != 0)
		log_peer(&l, "peer", peer);
	add_reason(&l, reason);
	add_suppressed(&l, suppressed);
	log_end(&l);
}

void
events_refuse(struct master *m, struct service *s, const struct addr *peer, enum reason reason)
{
	refuse(m, s, peer, reason, 1);
}

void
events_refuse_some(struct master *m, struct service *s, enum reason reason, uint32_t n)
{
	if (n > 0)
		refuse(m, s, NULL, reason, n);
}

void
events_limit(struct master *m, struct service *s, enum reason reason)
{
	uint32_t suppressed;
	struct log_line l;

	if (reason == REASON_NONE || !setting_of(reason) ||
	    !(s->conf->common->log_events & CONF_LOG_REFUSE) ||
	    !may_tell(m, s, reason, &suppressed))
		return;
	begin(&l, LOGL_WARN, "limit", s);
	add_reason(&l, reason);
	log_str(&l, "next", "queue");
	add_suppressed(&l, suppressed);
	log_end(&l);
}

/* Lines of stderr that no other one follows. */
static void
tell_lines(struct log_rate *rate, const char *name)
{
	struct log_line l;

	if (rate->suppressed == 0)
		return;
	log_begin(&l, LOGL_INFO, "stderr");
	log_str(&l, "svc", name);
	log_str(&l, "text", "");
	add_suppressed(&l, rate->suppressed);
	log_end(&l);
	rate->suppressed = 0;
}

void
events_stray_suppressed(struct master *m)
{
	tell_lines(&m->stray_lines, "?");
}

void
events_suppressed(struct service *s)
{
	struct log_line l;

	tell_lines(&s->live->lines, service_name(s));
	for (int r = 0; r < REASON_MAX; r++) {
		struct log_rate *rate = &s->live->told[r];

		if (rate->suppressed == 0)
			continue;
		begin(&l, LOGL_WARN, "suppressed", s);
		add_reason(&l, (enum reason)r);
		add_suppressed(&l, rate->suppressed);
		log_end(&l);
		rate->suppressed = 0;
	}
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

void
events_mended(struct master *m, const struct listener *l, const char *error, const char *result)
{
	struct service_live *live = service_live(l->service);
	char text[BIND_TEXT];
	uint32_t suppressed = 0;
	struct log_line line;

	if (live && !allowed(m, &live->mended, &suppressed))
		return;
	begin(&line, LOGL_WARN, "listen", l->service);
	log_str(&line, "listen", bind_target_text(&l->target, text));
	log_str(&line, "error", error);
	log_str(&line, "result", result);
	add_suppressed(&line, suppressed);
	log_end(&line);
}

/* A line may come after the end of its session. */
static bool
find_late(const struct master *m, const struct msg_errline *line, struct board_recent *ret)
{
	return line->slot != UINT32_MAX &&
		board_recent(m->board, 0, line->slot, line->generation, ret);
}

static void
add_late(struct master *m, struct log_line *l, const struct board_recent *r)
{
	log_str(l, "svc", board_name(m->board, r->service));
	log_num(l, "conn", (int64_t)r->conn);
	log_num(l, "pid", r->pid);
	if (r->peer.family != 0)
		log_peer(l, "peer", &r->peer);
}

/* What is no service's is wanted if any service's is. */
static bool
wants_stderr(const struct master *m, const struct service *s)
{
	if (s)
		return !s->conf || s->conf->common->log_events & CONF_LOG_STDERR;
	for (int i = 0; i < m->conf->n_services; i++)
		if (m->conf->services[i].common->log_events & CONF_LOG_STDERR)
			return true;
	return false;
}

/* The talker limits each session, as far as it remembers it; and it is not trusted. */
static bool
may_write(struct master *m, struct service *s, const struct msg_errline *line,
	  uint32_t *ret_suppressed)
{
	struct service_live *live = s ? service_live(s) : NULL;
	struct log_rate *rate = live ? &live->lines : &m->stray_lines;
	struct ev_timer *tell = live ? &live->tell : &m->tell;
	uint32_t n = line->suppressed, before = rate->suppressed;

	if (log_rate(rate, ev_now_ms(m->ev), STDERR_BURST, STDERR_EVERY_MS, ret_suppressed)) {
		*ret_suppressed = sum(*ret_suppressed, n);
		return true;
	}
	/* one that says only how many were left out is no line */
	rate->suppressed = sum(before, sum(n, line->len > 0));
	if (!ev_timer_active(tell))
		(void)ev_timer_start(tell, TELL_MS);	/* or with the next line */
	return false;
}

void
events_stderr(struct master *m, const struct session *x, const struct msg_errline *line)
{
	size_t len = line->len < sizeof(line->text) ? line->len : sizeof(line->text);
	struct board_recent r;
	bool late = !x && find_late(m, line, &r);
	struct service *s = x ? x->service :
		services_at(m->services, late ? r.service : line->service);
	uint32_t suppressed;
	struct log_line l;

	if ((x ? !(x->log_events & CONF_LOG_STDERR) : !wants_stderr(m, s)) ||
	    !may_write(m, s, line, &suppressed))
		return;
	log_begin(&l, LOGL_INFO, "stderr");
	if (x) {
		log_str(&l, "svc", service_name(x->service));
		add_row(&l, session_row(m->sessions, x));
	} else if (late) {
		add_late(m, &l, &r);
	} else {
		const char *name = board_name(m->board, line->service);

		log_str(&l, "svc", name[0] ? name : "?");
	}
	log_mem(&l, "text", line->text, len);
	add_suppressed(&l, suppressed);
	log_end(&l);
}
