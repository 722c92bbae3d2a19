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

/* What an accepted connection waits for; its descriptor is in fd then. */
enum session_stage {
	STAGE_NONE,		/* nothing: it is served, or never was a connection */
	STAGE_PREFIX,		/* the talker, to read a PROXY header or tcpmux line, */
	STAGE_GREET,		/* or to write a text */
	STAGE_FIRST,		/* its first byte */
	STAGE_ROOM,		/* room in its service */
	STAGE_TALKER,		/* the next talker, which is to serve it */
	STAGE_PROCESS,		/* memory, or the right to one more process */
	STAGE_LINGER,		/* it was served: the next talker, to be drained; in keep */
};

struct session {
	struct service *service;
	struct listener *listener;	/* wait: whose socket it has; NULL once closed */
	struct listener *talks_at;	/* datagrams: whose peer it has; NULL once closed */
	int64_t start_ms;	/* monotonic */
	int64_t served_ms;	/* the same: since when it is served */
	uint32_t source;	/* entry in the table of sources */
	uint32_t from;		/* number of the listener it came by; or LISTENER_NONE */
	uint32_t next;		/* in its chain by pid, of free slots, or of those in
				 * STAGE_ROOM */
	int fd;			/* the connection, while it waits; else -1 */
	int keep;		/* a copy of it, for timeouts.idle and linger; else -1 */
	uint8_t stage;		/* enum session_stage */
	uint8_t steps;		/* that are still to come (anteroom.c) */
	bool rated;		/* it has its token of limits.rate */
	bool counted;		/* as one of its service's instances */
	bool sourced;		/* as one of its source, if those are limited */
	bool cut_off;		/* a reload has closed the socket it came by, or has */
	bool process;		/* has one that is not reaped */
	bool talker;		/* the talker has its part of it */
	bool let_go;		/* and has no more: it is over but for its process */
	bool closing;		/* and has been, or will be told to end it */
	bool tree;		/* kill = tree: no process of it may be left */
	bool cgroup;		/* it has one of its own */
	bool leftovers;		/* its handler has ended, what it left is being ended */
	uint8_t signalled;	/* 0, SIGTERM, SIGKILL: sent already */
	uint8_t ended_by;	/* enum reason: a time limit; or REASON_NONE */
	/* what its configuration said when it began */
	uint8_t log_events, on_reload;
	uint32_t stop_ms, idle_ms, linger_ms;
	int64_t total_at, soon_at;	/* monotonic; 0: no limit */
	int64_t bytes_read;	/* of its connection, when STAGE_PREFIX began */
	struct addr via;	/* the proxy that conveyed the peer's address */
	/* how its process ended, kept until the talker's half is over too */
	int status;
	struct rusage usage;
	uint64_t bytes_in, bytes_out;
	uint32_t dropped;
	int64_t reaped_ms;	/* monotonic */
	bool reaped;
	bool all_listeners;	/* wait: it has all sockets its service had */
	struct session_wait wait;
	struct ev_timer timer;	/* of its stage, its time limits, or its stopping */
};

struct sessions;

struct sessions *sessions_new(struct master *m);
void sessions_free(struct sessions *all);

/* Takes a slot for a session of s; fills the board's row; peer and local may
 * be NULL.  It counts as one of its source and its service.  SESSION_NONE if the
 * table is full. */
uint32_t session_new(struct sessions *all, struct service *s, enum board_kind kind,
		     const struct addr *peer, const struct addr *local);
/* The same for a connection that is not served yet: it counts for nothing until
 * session_count and session_count_source. */
uint32_t session_new_waiting(struct sessions *all, struct service *s, enum board_kind kind,
			     const struct addr *peer, const struct addr *local);
void session_count(struct sessions *all, struct session *x);
void session_count_source(struct sessions *all, struct session *x);
/* It counts for no source until the next session_count_source. */
void session_uncount_source(struct sessions *all, struct session *x);
/* It becomes another service's, and counts for nothing there yet. */
void session_move(struct sessions *all, struct session *x, struct service *s,
		  enum board_kind kind);
/* A copy of its connection, if its time limits need one; may fail, without harm
 * beyond them. */
void session_keep(struct session *x, int fd);
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
/* The talker has given it back: it is not over. */
void session_returned(struct sessions *all, struct session *x);
/* Its process is over, and so is what it left behind. */
void session_process_over(struct sessions *all, struct session *x);
/* There is a talker again, or no more time to wait for one (STAGE_LINGER). */
void session_linger(struct sessions *all, struct session *x);
void session_lingered(struct sessions *all, struct session *x);
/* Gives the slot back without a word in the log: nothing had begun. */
void session_cancel(struct sessions *all, struct session *x);


/* It is a peer's of this socket, and counts there (session.max). */
void session_count_listener(struct session *x, struct listener *l);
/* l is going to be freed: a handler that has its socket, and its peers' sessions, go
 * on without. */
void sessions_forget_listener(struct sessions *all, const struct listener *l);

uint32_t sessions_count(const struct sessions *all);	/* in use */
uint32_t sessions_processes(const struct sessions *all);	/* with a process */
uint32_t sessions_leftovers(const struct sessions *all);	/* without one, but what it left */
uint32_t sessions_talked(const struct sessions *all);	/* that the talker has a part of */
uint32_t sessions_rows(const struct sessions *all);	/* slots ever used */
bool sessions_full(const struct sessions *all);

#endif
