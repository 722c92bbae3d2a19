/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A cgroup (v2) for each session of services with kill = "tree": nobody gets
 * out of it by a fork or a session of its own, and it is killed as one.  It is
 * made inside the daemon's own group and named by its pid and the connection:
 * a daemon that has been upgraded finds the groups of its sessions again.
 *
 * Once, at start, after going into the background (the pid!) and after an
 * upgrade: cgroups_new; if it fails, and for each session whose cgroup_make
 * fails, tree.h does instead.
 * Start: fd = cgroup_make(conn); spawn.in_cgroup = true, spawn.cgroup_fd = fd;
 * close fd; if there is no process or it has failed, cgroup_remove.
 *
 * A session that is to end (its time is over, expire_stop): cgroup_signal(conn,
 * SIGTERM) in the place of the signal to its process group; after stop_ms
 * cgroup_kill, should that fail cgroup_signal(conn, SIGKILL).
 *
 * Its process has been reaped, whoever ended it: if cgroup_empty, cgroup_remove.
 * Else cgroup_signal(conn, SIGTERM), unless it has had SIGKILL already, and
 * after stop_ms cgroup_kill; then, again and again, cgroup_kill until it is
 * cgroup_empty (a killed process is in its group until it is gone), and
 * cgroup_remove.  conn must be kept for that.  A cgroup_remove that is given up is made good by cgroups_free or by
 * the next daemon's cgroups_new.
 *
 * The kernel says no words when a group gets empty, but all that a handler
 * leaves become our children if we are a subreaper (tree_init): then a SIGCHLD
 * comes for the last one, too, and cgroup_remove may be tried at each.
 */
#ifndef HATCHD_CGROUP_H
#define HATCHD_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

struct cgroups;

/* Finds our group and tries whether one can be made in it and killed (Linux
 * 5.14).  Removes what earlier daemons have left, if nobody is in it.  NULL
 * and errno: there is none (ENOENT), or none for us. */
struct cgroups *cgroups_new(void);
/* Removes those of our groups that are empty.  NULL is fine. */
void cgroups_free(struct cgroups *all);

/* Makes the group of a session.  Returns its cgroup.procs for writing, CLOEXEC,
 * as low a number as is free; the caller closes it.  -1 and errno. */
int cgroup_make(const struct cgroups *all, uint64_t conn);

/* Kills all that are in it and in groups that they have made in it.  true also
 * if there is no such group; false and errno. */
bool cgroup_kill(const struct cgroups *all, uint64_t conn);
/* Sends sig to each process in it and in groups within.  Returns how many got
 * it; one that is made at the same time may be missed. */
int cgroup_signal(const struct cgroups *all, uint64_t conn, int sig);
/* Nobody is in it, but for zombies; or there is no such group. */
bool cgroup_empty(const struct cgroups *all, uint64_t conn);
/* 0: it is gone.  -1 and errno: EBUSY: not empty yet, to be tried again later. */
int cgroup_remove(const struct cgroups *all, uint64_t conn);

#endif
