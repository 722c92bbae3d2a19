/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The log: builds lines and gives them to the sink.  Owns the level, the
 * format and the sink of its process; runs in every one of them, but only in
 * the thread of the loop.  Called by all but the pure modules.
 *
 * A line is built as its body ("end svc=git conn=42", in JSON the members from
 * "event" on).  What goes before and after, the time above all, is added when
 * it goes to the sink.  Lines of level err, and all of them before log_open,
 * are written at once.  Who forks flushes first, or lines are written twice.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "log_line.h"
#include "log_sink.h"
#include "log_stamp.h"

#define IDENT 32		/* name of the program with NUL */
#define LOOK_MS 5000		/* between two looks for a syslogd */

static struct {
	enum log_level level;
	enum log_format format;
	bool open;		/* by log_open; else lines go out at once */
	bool awaits;		/* a syslogd, to which lines are to go */
	int64_t looked_ms;	/* CLOCK_MONOTONIC */
	struct log_sink *sink;
	char ident[IDENT];
	char tag[IDENT + 24];	/* "hatchd[311]: " */
	size_t tag_len, ident_len;
	pid_t pid;		/* in the tag */
	void (*divert)(enum log_level level, const char *line, void *arg);
	void *divert_arg;
} self = { .level = LOGL_INFO };

static const struct {
	const char *name;
	size_t len;
	const char *pri;	/* RFC 3164: facility daemon */
} levels[] = {
	[LOGL_ERR] = { "err", 3, "<27>" },
	[LOGL_WARN] = { "warn", 4, "<28>" },
	[LOGL_INFO] = { "info", 4, "<30>" },
	[LOGL_DEBUG] = { "debug", 5, "<31>" },
};

static char *
append(char *p, const char *s, size_t len)
{
	memcpy(p, s, len);
	return p + len;
}

/* The ident and, for syslog, the pid: a child that was forked has another. */
static void
set_tag(void)
{
	pid_t pid = getpid();

	if (self.pid == pid)
		return;
	self.pid = pid;
	self.tag_len = (size_t)snprintf(self.tag, sizeof self.tag, "%s[%ld]: ", self.ident,
	    (long)pid);
}

static void
set_ident(const char *ident)
{
	self.ident_len = strnlen(ident, IDENT - 1);
	memcpy(self.ident, ident, self.ident_len);
	self.ident[self.ident_len] = '\0';
	self.pid = 0;
	set_tag();
}

static char *
put_text_head(char *p, const struct log_line *l)
{
	if (self.sink != NULL && log_sink_is_syslog(self.sink)) {
		p = append(p, levels[l->level].pri, 4);
		log_stamp_local(p);
		p += LOG_STAMP_LOCAL;
		*p++ = ' ';
		return append(p, self.tag, self.tag_len);
	}
	log_stamp_utc(p);
	p += LOG_STAMP_UTC;
	*p++ = ' ';
	if (self.ident_len > 0 && self.sink != NULL && log_sink_is_shared(self.sink)) {
		p = append(p, self.ident, self.ident_len);
		p = append(p, ": ", 2);
	}
	if (!l->prose) {
		p = append(p, levels[l->level].name, levels[l->level].len);
		*p++ = ' ';
	}
	return p;
}

static char *
put_json_head(char *p, const struct log_line *l)
{
	if (self.sink != NULL && log_sink_is_syslog(self.sink)) {
		p = append(p, levels[l->level].pri, 4);
		log_stamp_local(p);
		p += LOG_STAMP_LOCAL;
		*p++ = ' ';
		p = append(p, self.tag, self.tag_len);
	}
	p = append(p, "{\"time\":\"", 9);
	log_stamp_utc(p);
	p += LOG_STAMP_UTC;
	p = append(p, "\",\"level\":\"", 11);
	p = append(p, levels[l->level].name, levels[l->level].len);
	return append(p, "\",", 2);
}

/* The whole line, without a newline; out has room for LOG_LINE. */
static size_t
put_line(char *out, const struct log_line *l)
{
	char *p = out;

	if (!l->json) {
		p = put_text_head(p, l);
		return (size_t)(append(p, l->buf, l->len) - out);
	}
	p = put_json_head(p, l);
	p = append(p, l->buf, l->len);
	if (l->cut)
		p = append(p, ",\"cut\":true", 11);
	*p++ = '}';
	return (size_t)(p - out);
}

static bool
have_sink(void)
{
	if (self.sink != NULL)
		return true;
	if (self.ident_len == 0)
		set_ident(program_invocation_short_name);
	self.sink = log_sink_new("stderr");
	return self.sink != NULL;
}

static bool
put_to_sink(const struct log_line *l)
{
	char *room = log_sink_room(self.sink, LOG_LINE);
	size_t len;

	if (room == NULL)
		return false;
	len = put_line(room, l);
	room[len++] = '\n';
	log_sink_commit(self.sink, len);
	return true;
}

/* Tells of lost lines, if there are any and there is room to do so. */
static void
tell_lost(void)
{
	uint64_t lost = log_sink_lost(self.sink);
	struct log_line l;

	if (lost == 0)
		return;
	log_line_begin(&l, LOGL_WARN, self.format == LOGF_JSON, "log");
	log_num(&l, "lost", lost < INT64_MAX ? (int64_t)lost : INT64_MAX);
	if (put_to_sink(&l))
		log_sink_told(self.sink);
}

static void
emit_diverted(struct log_line *l)
{
	char line[LOG_LINE];

	l->buf[l->len] = '\0';
	if (!l->json) {
		self.divert(l->level, l->buf, self.divert_arg);
		return;
	}
	line[put_line(line, l)] = '\0';
	self.divert(l->level, line, self.divert_arg);
}

static int64_t
clock_ms(void)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);	/* can't fail for this clock */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
put_sink(struct log_sink *new)
{
	log_sink_lose(new, log_sink_free(self.sink));
	self.sink = new;
	self.awaits = false;
}

/* Connecting a datagram socket doesn't block. */
static void
look(void)
{
	struct log_sink *new;

	self.looked_ms = clock_ms();
	new = log_sink_new("syslog");
	if (new == NULL)
		return;
	put_sink(new);
	log_info("log syslog: it is there now");
}

void
log_look(void)
{
	int saved = errno;

	if (self.awaits)
		look();
	errno = saved;
}

static void
emit(struct log_line *l)
{
	int saved = errno;

	if (self.awaits && self.divert == NULL && clock_ms() - self.looked_ms >= LOOK_MS)
		look();
	if (self.divert != NULL) {
		emit_diverted(l);
	} else if (have_sink()) {
		tell_lost();
		if (!put_to_sink(l)) {
			log_sink_flush(self.sink);
			tell_lost();
			if (!put_to_sink(l))
				log_sink_lose(self.sink, 1);
		}
		if (!self.open || l->level == LOGL_ERR)
			log_sink_flush(self.sink);
	}
	errno = saved;
}

int
log_open(const char *target, enum log_format format, const char *ident)
{
	struct log_sink *new = log_try(target);

	if (new == NULL)
		return -1;
	log_use(new, format, ident);
	return 0;
}

struct log_sink *
log_try(const char *target)
{
	return log_sink_new(target);
}

void
log_use(struct log_sink *new, enum log_format format, const char *ident)
{
	put_sink(new);
	self.format = format;
	self.open = true;
	set_ident(ident != NULL ? ident : "");
}

void
log_undo(struct log_sink *new)
{
	log_sink_undo(new);
}

void
log_await_syslog(enum log_format format, const char *ident)
{
	self.format = format;
	set_ident(ident);
	self.awaits = true;
	self.looked_ms = clock_ms();
}

void
log_set_level(enum log_level level)
{
	self.level = level;
}

bool
log_wants(enum log_level level)
{
	return level <= self.level;
}

int
log_reopen(void)
{
	log_look();
	return self.sink != NULL ? log_sink_reopen(self.sink) : 0;
}

void
log_flush(void)
{
	if (self.sink == NULL)
		return;
	tell_lost();
	log_sink_flush(self.sink);
	if (log_sink_is_syslog(self.sink))
		set_tag();
}

void
log_close(void)
{
	if (self.sink != NULL)
		log_flush();
	(void)log_sink_free(self.sink);	/* nobody is left to be told of lost lines */
	self.sink = NULL;
	self.format = LOGF_TEXT;
	self.open = false;
	self.awaits = false;
	self.ident_len = 0;
}

void
log_divert(void (*fn)(enum log_level level, const char *line, void *arg), void *arg)
{
	self.divert = fn;
	self.divert_arg = arg;
}

void
log_begin(struct log_line *l, enum log_level level, const char *event)
{
	l->on = false;
	if (log_wants(level))
		log_line_begin(l, level, self.format == LOGF_JSON, event);
}

void
log_end(struct log_line *l)
{
	if (l->on)
		emit(l);
	l->on = false;
}

const char *
log_level_name(enum log_level level)
{
	return levels[level].name;
}
