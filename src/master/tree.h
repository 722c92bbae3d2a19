/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * All processes that a handler has started, for services with kill = "tree"
 * where there is no cgroup for them (cgroup.h).
 *
 * Once, at start, before the first handler with subreaper set: tree_init.
 * Start: spawn.subreaper = true.  Then orphans within the handler's tree become
 * its own children as long as it lives, and ours when it has ended.
 *
 * A session that is to end (its time is over, expire_stop): tree_signal(pid,
 * SIGTERM) in the place of the signal to its process group; after stop_ms, if
 * its process has not been reaped, tree_signal(pid, SIGKILL).  Its process must
 * not have been reaped: a child that has ended but was not waited for is fine.
 *
 * Its process has just been reaped, whoever ended it: in the same turn of the
 * loop, after all children that have ended were reaped, tree_leftovers(pid,
 * conn, SIGTERM); SIGKILL if it has had that itself.  0: done.  Else after
 * stop_ms tree_leftovers(pid, conn, SIGKILL), again and again until it returns 0:
 * a process that hangs in the kernel comes to its end late or never.  pid and conn
 * must be kept for that.
 *
 * What escapes: a process that was orphaned, left the handler's session and
 * cleared its environment, if it outlives the handler; it is found only as long
 * as the handler lives.  Cgroups don't have that gap.
 *
 * Each call is one pass over all processes of the machine, with SIGKILL one more for
 * each generation that turns up, and some more if processes come and go meanwhile.
 */
#ifndef HATCHD_TREE_H
#define HATCHD_TREE_H

#include <stdint.h>
#include <sys/types.h>

/* Orphans of our handlers become our children.  Kept by execve, so an upgrade
 * needn't do it again, but may.  0, or -1 and errno. */
int tree_init(void);

/* Sends sig to root, which must be a child of ours that was not reaped, and to
 * all its descendants, members of its session and of its process group.
 * SIGKILL: stops all of them first, scanning again until no new ones turn up
 * (at most 32 times), then kills the descendants, and root last.  Returns how
 * many processes got it.  Where /proc can't be read: as kill(-root, sig), 1 or 0. */
int tree_signal(pid_t root, int sig);

/* root was a child of ours and has been reaped.  Sends sig to what is left of
 * it: members of its session and process group, children of ours with
 * HATCHD_CONNECTION=conn in their environment, and the descendants of both.
 * SIGKILL as above; sig 0 only counts.  Returns how many processes got it; those
 * that have ended and wait for being reaped don't count.  1 if none did but there
 * was one that has slipped away and may have left another. */
int tree_leftovers(pid_t root, uint64_t conn, int sig);

#endif
