/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Where the lines of the log go: gathers them and writes them without ever
 * blocking.  Knows nothing of what is in a line.  For log.c only.
 */
#ifndef HATCHD_LOG_SINK_H
#define HATCHD_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_SINK_SIZE 65536	/* bytes that are gathered at most */

struct log_sink;

/* "stderr", "syslog" or an absolute path; NULL and errno. */
struct log_sink *log_sink_new(const char *target);

/* One that was not written to: a file that was made for it is removed. */
void log_sink_undo(struct log_sink *s);

/* Flushes; returns how many lines could not be written. */
uint64_t log_sink_free(struct log_sink *s);

/* A file that was moved away is made anew; else nothing.  0, -1 and errno. */
int log_sink_reopen(struct log_sink *s);

/* Whether its lines begin with the header of RFC 3164; with the name of the
 * program, since others write there, too. */
bool log_sink_is_syslog(const struct log_sink *s);
bool log_sink_is_shared(const struct log_sink *s);

/* Room for a line of len bytes, its newline included, or NULL if it is full.
 * commit adds the line that the caller has put there, of len bytes or less. */
char *log_sink_room(struct log_sink *s, size_t len);
void log_sink_commit(struct log_sink *s, size_t len);

/* Writes what the kernel takes; the rest stays.  What it refuses for good is
 * dropped and counted as lost. */
void log_sink_flush(struct log_sink *s);

/* Lines that are lost and not told yet; 0 while a note about lost lines waits
 * to be written.  lose adds to them. */
uint64_t log_sink_lost(const struct log_sink *s);
void log_sink_lose(struct log_sink *s, uint64_t lines);

/* The line committed last is a note that tells of all lost lines: they are
 * counted anew if it is lost itself. */
void log_sink_told(struct log_sink *s);

#endif
