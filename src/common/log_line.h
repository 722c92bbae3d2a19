/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What the parts of the log need of each other.  For log*.c only.
 *
 * A line is built as its body: "end svc=git conn=42", in JSON the members from
 * "event" on.  What goes before and after is added when it goes to the sink.
 */
#ifndef HATCHD_LOG_LINE_H
#define HATCHD_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "log.h"

#define LOG_LINE_FRAME 136	/* at most, before and after a body */

/* Begins a line whatever the level. */
void log_line_begin(struct log_line *l, enum log_level level, bool json, const char *event);

/* Prose, on a line whose event is the name of its level. */
void log_line_prose(struct log_line *l, const char *text, size_t len);

/* "err", "warn", ... */
const char *log_level_name(enum log_level level);

#endif
