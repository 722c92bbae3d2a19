/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Starts a process: the only place of the daemon that does, for every kind of
 * service and for the talker.
 */
#ifndef HATCHD_SPAWN_H
#define HATCHD_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "conf.h"

#define SPAWN_FDS 256		/* descriptors from 3 on, at most: all of a service */

/* Where the set-up of a child failed.  The order is the order of the steps. */
enum spawn_step {
	SPAWN_OK, SPAWN_CLONE, SPAWN_FILES, SPAWN_CGROUP, SPAWN_STDIO, SPAWN_SESSION,
	SPAWN_NICE, SPAWN_RLIMITS, SPAWN_CHROOT, SPAWN_GROUPS, SPAWN_GROUP, SPAWN_USER,
	SPAWN_VERIFY, SPAWN_DIRECTORY, SPAWN_SIGNALS, SPAWN_EXEC
};

const char *spawn_step_name(int step);	/* "exec", ... */

struct spawn {
	const char *path;
	const char *const *argv, *const *env;
	const struct conf_account *account;	/* NULL: stay who we are */
	const char *chroot;	/* NULL: none */
	const char *directory;	/* NULL: don't change */
	mode_t umask;
	int nice;
	int n_rlimits;
	const struct conf_rlimit *rlimits;
	int fd_in;		/* becomes 0 and 1 */
	int fd_err;		/* becomes 2; -1: as fd_in */
	int n_fds;
	const int *fds;		/* become 3, 4, ... */
	char *listen_pid;	/* room for the child's own pid, decimal, to be
				 * filled in by it (LISTEN_PID=); NULL: none */
	bool subreaper;		/* orphans of its tree become its children (tree.h) */
	bool in_cgroup;		/* it goes into the group whose cgroup.procs ... */
	int cgroup_fd;		/* ... this is: CLOEXEC, best a low one (cgroup.h) */

	/* Results, in memory that stays until the child is reaped: the child
	 * shares our memory until it has its own program. */
	pid_t *pid;		/* set before the child runs */
	int16_t *step, *error;	/* left alone unless it fails */
};

/* Once, before the first spawn: makes the stack for the children and looks at
 * what the kernel allows.  nofile: the soft RLIMIT_NOFILE for children that
 * don't set it.  0, or -1 and errno. */
int spawn_init(rlim_t nofile);
void spawn_fini(void);
/* Whether children share our descriptor table until they leave it. */
bool spawn_shares_files(void);

/* Returns when the child runs its program or has given up.  0: there is a
 * child, *s->pid, to be reaped; *s->step tells whether it has failed.  -1 and
 * errno (EAGAIN, ENOMEM, EMFILE): there is none. */
int spawn_start(struct spawn *s);

#endif
