/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Opens what the log can be written to.  For log_sink.c only.
 */
#ifndef HATCHD_LOG_TARGET_H
#define HATCHD_LOG_TARGET_H

#include <stdbool.h>

enum log_way {			/* how bytes leave */
	LOG_WAY_WRITE,		/* write(2): a file, or a descriptor of our own */
	LOG_WAY_POLL,		/* small writes, each after a poll(2) */
	LOG_WAY_SEND,		/* a stream socket that is not ours */
	LOG_WAY_MESSAGES,		/* a message for each line */
};

/* "stderr", "syslog" or an absolute path: a descriptor that the caller closes
 * and how to write to it; -1 and errno.  *ret_made, if wanted: a file that wasn't there. */
int log_target_open(const char *target, enum log_way *ret_way, bool *ret_made);

/* Tests: where syslogd listens instead of /dev/log.  Borrowed. */
void log_target_syslog_path(const char *path);

#endif
