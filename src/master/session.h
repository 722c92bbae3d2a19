/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The table of what runs: a slot for each connection, wait handler or datagram
 * session.  The public half of a slot is its row on the board, the private
 * half is here.  A session is over when its process has been reaped and the
 * talker has let go of it, whichever of the two it had.
 */
#ifndef HATCHD_SESSION_H
#define HATCHD_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "board.h"
#include "ev.h"

struct listener;
struct master;
struct service;

#define SESSION_NONE UINT32_MAX

/* What waited at a socket when a wait handler was started: whether it has read
 * it is seen when it has ended. */
struct session_wait {
	struct addr peer;	/* datagram: its sender */
	int64_t stamp_ns;	/* datagram: when the kernel got it */
	uint32_t queued;	/* stream: connections in the backlog */
};

struct session {
	struct service *service;
	struct listener *listener;	/* wait: whose socket it has; NULL once closed */
	int64_t start_ms;	/* monotonic */
	uint32_t source;	/* entry in the table of sources */
	uint32_t next;		/* in its chain by pid, or of free slots */
	int fd;			/* the connection, while it waits for a process; else -1 */
	bool process;		/* has one that is not reaped */
	bool talker;		/* the talker has its part of it */
	bool held;		/* fd waits for the next talker instead */
	uint8_t signalled;	/* 0, SIGTERM, SIGKILL: sent already */
	/* what its configuration said when it began */
	uint8_t log_events, on_reload;
	uint32_t stop_ms;
	/* how its process ended, kept until the talker's half is over too */
	int status;
	struct rusage usage;
	uint64_t bytes_in, bytes_out;
	uint32_t dropped;
	bool reaped;
	bool all_listeners;	/* wait: it has all sockets its service had */
	struct session_wait wait;
	struct ev_timer timer;	/* next step of stopping it */
};

struct sessions;

struct sessions *sessions_new(struct master *m);
void sessions_free(struct sessions *all);

/* Takes a slot for a session of s; fills the board's row; peer and local may
 * be NULL.  SESSION_NONE if the table is full. */
uint32_t session_new(struct sessions *all, struct service *s, enum board_kind kind,
		     const struct addr *peer, const struct addr *local);
struct session *session_at(const struct sessions *all, uint32_t slot);
/* NULL if the slot is free or another generation's. */
struct session *session_find(const struct sessions *all, uint32_t slot, uint32_t generation);
uint32_t session_slot(const struct sessions *all, const struct session *x);
struct board_session *session_row(const struct sessions *all, const struct session *x);

/* Its process runs (the row's pid is set): from now on the reaper finds it. */
void session_started(struct sessions *all, struct session *x);
/* Its process was reaped.  Ends the session if the talker hasn't a part. */
struct session *session_by_pid(const struct sessions *all, pid_t pid);
void session_reaped(struct sessions *all, struct session *x, int status,
		    const struct rusage *usage);
/* The talker has its part of it; has let go of it. */
void session_talked(struct sessions *all, struct session *x);
void session_untalked(struct sessions *all, struct session *x);
/* Gives the slot back without a word in the log: nothing had begun. */
void session_cancel(struct sessions *all, struct session *x);

/* TERM to its process group, KILL after stop_ms; the talker's half is closed.
 * Calling it again changes nothing. */
void session_stop(struct sessions *all, struct session *x);
void session_kill(struct sessions *all, struct session *x);

/* l is going to be freed: a handler that has its socket goes on without. */
void sessions_forget_listener(struct sessions *all, const struct listener *l);

uint32_t sessions_count(const struct sessions *all);	/* in use */
uint32_t sessions_processes(const struct sessions *all);	/* with a process */
uint32_t sessions_talked(const struct sessions *all);	/* that the talker has a part of */
uint32_t sessions_rows(const struct sessions *all);	/* slots ever used */
bool sessions_full(const struct sessions *all);

#endif
