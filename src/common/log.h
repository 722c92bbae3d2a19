/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The log: one regular grammar, key=value, or the same as JSON lines.
 *
 * Lines are gathered and written together by log_flush, which the loop calls
 * once a turn.  No call blocks: what a full pipe or a full disk refuses is
 * dropped and counted, and told ("log lost=N") as soon as there is room again.
 * All text from outside is escaped here (escape.h).  The only module with
 * state of its own, since every other one may have to tell something.
 */
#ifndef HATCHD_LOG_H
#define HATCHD_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "addr.h"

struct log_sink;

enum log_level { LOGL_ERR, LOGL_WARN, LOGL_INFO, LOGL_DEBUG };
enum log_format { LOGF_TEXT, LOGF_JSON };

#define LOG_LINE 1024		/* longest line; longer ones are cut, with "..." */

/* target: "stderr", "syslog" or an absolute path.  Opens the sink; on failure
 * the old one stays: -1 and errno.  ident goes before text lines of stderr and
 * syslog ("hatchd").  Before the first call, lines go to stderr as text. */
int log_open(const char *target, enum log_format format, const char *ident);
/* The same in two steps, of which only the first can fail: NULL and errno.  What it has
 * opened is taken by log_use, or by log_undo, which leaves nothing behind. */
struct log_sink *log_try(const char *target);
void log_use(struct log_sink *new, enum log_format format, const char *ident);
void log_undo(struct log_sink *new);
/* There is no syslogd: lines stay where they go now, as format and ident say, until there
 * is one.  It is looked for every few seconds if there is a line to be written, and by
 * log_reopen and log_look. */
void log_await_syslog(enum log_format format, const char *ident);
void log_look(void);
void log_set_level(enum log_level level);
bool log_wants(enum log_level level);
int log_reopen(void);		/* a file, after rotation; 0, -1 and errno */
void log_flush(void);
void log_close(void);		/* flushes; back to stderr */

/* Where everything goes instead, for tests and fuzz targets (NULL: back). */
void log_divert(void (*fn)(enum log_level level, const char *line, void *arg), void *arg);

/* Prose; log_warn and fatal append ": " and strerror(errno). */
void log_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void fatalx(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Events: log_begin(&l, LOGL_INFO, "end"); log_str(&l, "svc", name);
 * log_num(&l, "conn", 42); log_end(&l).  If the level is off all of it does
 * nothing. */
struct log_line {
	bool on;
	bool cut;
	bool json;
	bool prose;
	enum log_level level;
	unsigned len;
	char buf[LOG_LINE];
};

void log_begin(struct log_line *l, enum log_level level, const char *event);
void log_str(struct log_line *l, const char *key, const char *value);
void log_mem(struct log_line *l, const char *key, const void *value, size_t len);
void log_num(struct log_line *l, const char *key, int64_t value);
void log_peer(struct log_line *l, const char *key, const struct addr *a);
void log_end(struct log_line *l);

/* At most `burst` at once and then one in `every_ms` for a kind of line that
 * a client can cause.  Zeroed by its owner to begin with.  Returns whether to
 * log, and then how many were not logged since the last one that was. */
struct log_rate {
	int64_t full_ms;	/* when the allowance is full again */
	uint32_t suppressed;
};
bool log_rate(struct log_rate *r, int64_t now_ms, unsigned burst, unsigned every_ms,
	      uint32_t *ret_suppressed);

#endif
