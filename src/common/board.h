/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The board: fixed-size tables in a memfd, which show what the daemon does.
 *
 * The master makes it and alone writes to it; the talker maps it read-only.
 * Pages that nobody has touched cost no memory, so the tables have the size of
 * the largest installation that is supported.  A reader has to expect that a
 * row changes while it looks: it copies the row and checks the generation
 * before and after.  Rows are reached only through the functions below, which
 * check the index.
 */
#ifndef HATCHD_BOARD_H
#define HATCHD_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "addr.h"
#include "reason.h"

#define BOARD_VERSION 2
#define BOARD_SERVICES 32768	/* services at most */
#define BOARD_SESSIONS 65536	/* sessions at most, of all services */
#define BOARD_RECENT 512	/* sessions remembered after their end */
#define BOARD_NAME 48		/* service name with NUL */

enum board_kind {		/* what serves a session */
	BOARD_FREE,		/* the slot is free */
	BOARD_EXEC,		/* a process with the accepted socket */
	BOARD_WAIT,		/* a process with the listening socket */
	BOARD_INTERNAL,		/* the talker */
	BOARD_DGRAM,		/* a process behind the talker's datagram session */
};

enum board_state {
	BOARD_STARTING,
	BOARD_RUNNING,
	BOARD_ENDING,		/* told to end */
};

struct board_session {
	_Atomic uint32_t generation;	/* changes when the slot is taken and freed */
	uint32_t service;	/* row of the service */
	uint8_t kind, state;
	int16_t step, error;	/* of a spawn that failed, else 0 */
	uint16_t account;	/* which stderr it has: 0 none, else MSG_ERRLOG's number */
	pid_t pid;		/* 0: none (yet) */
	uint64_t conn;		/* HATCHD_CONNECTION: counts up from 1 */
	int64_t start_ms;	/* CLOCK_REALTIME */
	struct addr peer, local;
};

struct board_counters {
	uint64_t accepted;	/* connections accepted, datagram peers judged */
	uint64_t started;	/* sessions begun */
	uint64_t ended;		/* sessions ended, whatever way */
	uint64_t failed;	/* of these: not started, or ended by a signal or status != 0 */
	uint64_t bytes_in, bytes_out;		/* through the talker only */
	uint64_t datagrams_in, datagrams_out;	/* through the talker only */
	uint64_t refused[REASON_MAX];
};

struct board_service {		/* the copy that board_service() gives */
	char name[BOARD_NAME];
	uint32_t running;
	struct board_counters counters;
};

/* A session with a process that has ended a moment ago: what its handler wrote
 * to stderr last may still be under way. */
struct board_recent {
	pid_t pid;
	uint32_t slot, generation, service;
	uint32_t account;
	int64_t end_ms;		/* CLOCK_MONOTONIC */
	uint64_t conn;
	struct addr peer;
};

struct board;			/* this process's mapping */

/* Master: make an empty board; NULL and errno.  The descriptor is CLOEXEC and
 * sealed against changes of its size and new writers.  Call it as the process
 * that will stay: it notes the pid. */
struct board *board_new(void);

/* Master, after an upgrade: make a board with the rows, counters and start time
 * of the one in fd, which the program before it made.  Takes fd (closed in any
 * case); NULL and errno, EPROTO if it is no board of this version. */
struct board *board_adopt(int fd);

/* Talker: map what the master passed, read-only.  Takes fd (closed in any
 * case); NULL and errno, EPROTO if it is no board of this version. */
struct board *board_map(int fd);
void board_free(struct board *b);

/* The memfd, or -1 for a mapped one.  Borrowed. */
int board_fd(const struct board *b);

/* Readers, in either process.  Index out of range: NULL or false. */
uint32_t board_services(const struct board *b);		/* rows ever used */
uint32_t board_sessions(const struct board *b);		/* rows ever used */
int64_t board_start_ms(const struct board *b);
pid_t board_master_pid(const struct board *b);
/* false also if the row is not in use */
bool board_service(const struct board *b, uint32_t i, struct board_service *ret);
bool board_session(const struct board *b, uint32_t slot, struct board_session *ret);
/* The slot's row to look at in place, for a search over all of them. */
const struct board_session *board_peek(const struct board *b, uint32_t slot);

/* The i-th newest of those that have ended within the last ms, 0 first; false:
 * there are no more. */
bool board_recent_at(const struct board *b, uint32_t i, int64_t ms, struct board_recent *ret);

/* The name of a row, "" if it is not in use; borrowed from the board. */
const char *board_name(const struct board *b, uint32_t i);

/* The newest of those that have ended and match: pid (0: any), or slot and
 * generation (slot UINT32_MAX: any). */
bool board_recent(const struct board *b, pid_t pid, uint32_t slot, uint32_t generation,
		  struct board_recent *ret);

/* Writers, master only.  An index out of range is a bug (assert). */
void board_service_set(struct board *b, uint32_t i, const char *name);
void board_service_clear(struct board *b, uint32_t i);
uint32_t *board_running(struct board *b, uint32_t i);
struct board_counters *board_counters(struct board *b, uint32_t i);	/* to count in */
struct board_session *board_slot(struct board *b, uint32_t slot);
/* Before a slot is given back. */
void board_remember(struct board *b, uint32_t slot);

#endif
