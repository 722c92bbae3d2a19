/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Where the daemon's own cgroup (v2) is to be found among the files.
 */
#ifndef HATCHD_CGROUP_MOUNT_H
#define HATCHD_CGROUP_MOUNT_H

#include <stdbool.h>
#include <stddef.h>

/* Its folder, CLOEXEC and moved up: of the first mount where try, which gets it,
 * returns 0.  -1 and errno: the one of the last try, ENOENT if there was none. */
int cgroup_mount_open(int (*try)(int dir, void *arg), void *arg);

/* A line of /proc/self/mountinfo and our path within the hierarchy: if it is a
 * mount of cgroup2 in which that path is to be seen, writes where. */
bool cgroup_mount_find(const char *line, const char *path, char *ret, size_t size);

#endif
