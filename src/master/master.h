/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The master's context: everything the modules of this process share hangs on
 * it, and it is passed down; there is no other state.
 */
#ifndef HATCHD_MASTER_H
#define HATCHD_MASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "board.h"
#include "conf.h"
#include "ev.h"
#include "log.h"
#include "options.h"
#include "plan.h"

struct anteroom;
struct cgroups;
struct listeners;
struct load;
struct notify;
struct owed;
struct reload;
struct room;
struct services;
struct sessions;
struct srctab;
struct stderrs;
struct talkproc;

struct master {
	const struct options *options;
	struct ev *ev;
	struct conf *conf;
	struct plans *plans;
	struct board *board;
	struct services *services;
	struct listeners *listeners;
	struct sessions *sessions;
	struct anteroom *anteroom;
	struct room *room;
	struct srctab *sources;
	struct stderrs *stderrs;
	struct load *load;
	struct cgroups *cgroups;	/* NULL: there are none, or none is needed yet */
	struct talkproc *talkproc;
	struct owed *owed;	/* what the talker has still to be told */
	struct reload *reload;
	struct notify *notify;
	char **environ;		/* the daemon's, for pass_environment */
	uid_t uid;		/* who we are */
	rlim_t fd_limit, fd_soft;	/* in force; as found, for handlers */
	int null_fd;		/* /dev/null */
	int control_fd;		/* -1: none */
	char *control_path;	/* NULL: none */
	struct ev_timer admit, retry, rebind, watchdog;
	struct ev_timer pay;	/* goes on with what is owed */
	struct log_rate accept_errors, clone_errors, link_errors;
	struct log_rate stray_lines;	/* of stderr, of no service that is known */
	struct ev_timer tell;	/* the number of those that were not told */
	uint64_t next_conn;
	int64_t reaped_ms;	/* when the last child was */
	int64_t paused_until;	/* out of descriptors: no accept before */
	uint32_t to_start;	/* sessions that wait for a process, see deliver_retry */
	bool contained;		/* some service has kill = tree */
	bool link_paused;	/* what feeds the talker is not polled */
	bool paying;		/* what is owed is being sent */
	bool stopping;		/* SIGTERM: no new sessions */
	bool quit;		/* SIGQUIT: leave handlers alone */
	int exit_code;
};

/* Builds everything from m->options and a loaded configuration; errors are
 * logged; 0 or -1. */
int master_init(struct master *m);
void master_fini(struct master *m);
/* Until it is told to stop; the exit code. */
int master_run(struct master *m);

/* Some service has kill = tree, perhaps: prepares for it. */
void master_contain(struct master *m);
/* There may be room for waiting listeners: at the end of this turn. */
void master_admit_soon(struct master *m);
/* Out of descriptors or memory: listeners wait, at least this long. */
void master_exhausted(struct master *m, int error);

#endif
