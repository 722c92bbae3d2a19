/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Groups of the kernel for sessions.  Owns a descriptor of the daemon's own
 * group and the groups hatchd-PID-CONN in it.  Runs in the master; who starts
 * and ends handlers calls it.  It never changes limits, controllers or the
 * daemon's own place, so it does in a service of systemd as well as in a container.
 */
#include "config.h"

#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup_mount.h"
#include "fd.h"
#include "pidfd.h"

#define NAME_SIZE 64
#define DEPTH 16		/* of groups in groups */

struct cgroups {
	int dir;		/* our own group */
	pid_t pid;		/* part of the names */
};

static void
name_of(const struct cgroups *all, uint64_t conn, char name[NAME_SIZE])
{
	(void)snprintf(name, NAME_SIZE, "hatchd-%d-%" PRIu64, (int)all->pid, conn);
}

/* -1 and errno; ENOENT also if the group is being removed. */
static int
open_file(int dir, const char *group, const char *file, int flags)
{
	char path[NAME_SIZE + 32];
	int fd;

	(void)snprintf(path, sizeof(path), "%.63s/%.30s", group, file);
	fd = openat(dir, path, flags | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1 && errno == ENODEV)
		errno = ENOENT;
	return fd;
}

/* Reads a small file; its length or -1. */
static ssize_t
read_file(int dir, const char *group, const char *file, char *buf, size_t size)
{
	int fd = open_file(dir, group, file, O_RDONLY), error;
	ssize_t n;

	if (fd == -1)
		return -1;
	n = read(fd, buf, size - 1);
	error = errno == ENODEV ? ENOENT : errno;
	(void)close(fd);
	errno = error;
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

/* Calls fn for each group in the group dir, which it closes. */
static void
each_child(int dir, void (*fn)(int dir, const char *name, void *arg), void *arg)
{
	DIR *d = dir == -1 ? NULL : fdopendir(dir);
	struct dirent *e;

	if (!d) {
		if (dir != -1)
			(void)close(dir);
		return;
	}
	while ((e = readdir(d)))
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			fn(dirfd(d), e->d_name, arg);
	(void)closedir(d);
}

static int
open_dir(int dir, const char *name)
{
	return openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* If it isn't populated there may be empty groups in it. */
static void
remove_group(int dir, const char *name, void *arg)
{
	int depth = *(int *)arg + 1;

	if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno != EBUSY || depth > DEPTH)
		return;
	each_child(open_dir(dir, name), remove_group, &depth);
	(void)unlinkat(dir, name, AT_REMOVEDIR);
}

static bool
empty(int dir, const char *name)
{
	char text[256];

	if (read_file(dir, name, "cgroup.events", text, sizeof(text)) == -1)
		return errno == ENOENT;
	return strncmp(text, "populated 0", 11) == 0 || strstr(text, "\npopulated 0");
}

static int
remove_all(int dir, const char *name)
{
	int depth = 0;

	if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY)
		return -1;
	if (empty(dir, name)) {
		remove_group(dir, name, &depth);
		if (faccessat(dir, name, F_OK, 0) == -1 && errno == ENOENT)
			return 0;
	}
	errno = EBUSY;
	return -1;
}

static bool
digits(const char **s)
{
	const char *from = *s;

	while (**s >= '0' && **s <= '9')
		(*s)++;
	return *s > from;
}

/* hatchd-PID-CONN of an end that this one is, or that doesn't live any more.
 * Whether anybody is in it the kernel decides. */
static void
remove_stale(int dir, const char *name, void *arg)
{
	const struct cgroups *all = arg;
	const char *s = name + 7;
	long pid;

	if (strncmp(name, "hatchd-", 7) != 0 || !digits(&s) || *s++ != '-' || !digits(&s) ||
	    *s != '\0')
		return;
	pid = strtol(name + 7, NULL, 10);
	if (pid <= 0 || pid > INT_MAX)
		return;
	if (pid == all->pid || (kill((pid_t)pid, 0) == -1 && errno == ESRCH))
		(void)remove_all(dir, name);
}

/* What the kernel puts into a group, to be seen in one that is made for it. */
static int
look_into(int dir, const char *name)
{
	char type[32];
	int fd = open_file(dir, name, "cgroup.kill", O_WRONLY);

	if (fd == -1) {
		if (errno == ENOENT)
			errno = ENOTSUP;
		return -1;
	}
	(void)close(fd);
	if (read_file(dir, name, "cgroup.type", type, sizeof(type)) == -1)
		return -1;
	if (strcmp(type, "domain\n") == 0)
		return 0;
	errno = ENOTSUP;	/* ours is one of threads: no processes can go in */
	return -1;
}

static int
try_group(int dir, void *arg)
{
	struct cgroups *all = arg;
	char name[NAME_SIZE];
	int fd, r, error;

	all->dir = dir;
	fd = cgroup_make(all, 0);	/* connections count from 1 */
	if (fd == -1)
		return -1;
	(void)close(fd);
	name_of(all, 0, name);
	r = look_into(dir, name);
	error = errno;
	if (cgroup_remove(all, 0) == -1)
		return -1;
	errno = error;
	return r;
}

struct cgroups *
cgroups_new(void)
{
	struct cgroups *all = calloc(1, sizeof(*all));
	int error;

	if (!all)
		return NULL;
	all->pid = getpid();
	all->dir = cgroup_mount_open(try_group, all);
	if (all->dir == -1) {
		error = errno;
		free(all);
		errno = error;
		return NULL;
	}
	each_child(open_dir(all->dir, "."), remove_stale, all);
	return all;
}

void
cgroups_free(struct cgroups *all)
{
	if (!all)
		return;
	each_child(open_dir(all->dir, "."), remove_stale, all);
	fd_close(&all->dir);
	free(all);
}

int
cgroup_make(const struct cgroups *all, uint64_t conn)
{
	char name[NAME_SIZE];
	int fd, error;

	name_of(all, conn, name);
	if (mkdirat(all->dir, name, 0755) == -1) {
		/* an earlier daemon had the same pid.  Nobody is taken over: if
		 * somebody is in it there is no group for this session. */
		if (errno != EEXIST || remove_all(all->dir, name) == -1 ||
		    mkdirat(all->dir, name, 0755) == -1)
			return -1;
	}
	fd = open_file(all->dir, name, "cgroup.procs", O_WRONLY);
	if (fd == -1) {
		error = errno;
		(void)remove_all(all->dir, name);
		errno = error;
	}
	return fd;
}

bool
cgroup_kill(const struct cgroups *all, uint64_t conn)
{
	char name[NAME_SIZE];
	int fd, error;
	bool ok;

	name_of(all, conn, name);
	fd = open_file(all->dir, name, "cgroup.kill", O_WRONLY);
	if (fd == -1)
		return errno == ENOENT;
	ok = write(fd, "1", 1) == 1 || errno == ENODEV;
	error = errno;
	(void)close(fd);
	errno = error;
	return ok;
}

struct round {
	char mark[NAME_SIZE + 2];	/* part of the path of all that are in it */
	int sig, n, depth;
};

/* While it is held: is it in that group, or in one within? */
static bool
is_member(pid_t pid, const void *arg)
{
	const struct round *r = arg;
	char name[32], text[PATH_MAX + 512];
	const char *line, *found;
	ssize_t n;
	int fd;

	(void)snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	found = line ? strstr(line, r->mark) : NULL;
	return found && strchr("/\n ", found[strlen(r->mark)]);
}

static void
signal_procs(int fd, struct round *r)
{
	char buf[4096];
	pid_t pid = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9') {
				pid = pid * 10 + (buf[i] - '0');
				continue;
			}
			/* 0: one that our namespace doesn't see */
			if (pid > 1 && pidfd_kill(pid, r->sig, is_member, r) == 0)
				r->n++;
			pid = 0;
		}
}

static void
signal_group(int dir, const char *name, void *arg)
{
	struct round *r = arg;
	int group = open_dir(dir, name), fd;

	if (group == -1)
		return;
	fd = open_file(group, ".", "cgroup.procs", O_RDONLY);
	if (fd != -1) {
		signal_procs(fd, r);
		(void)close(fd);
	}
	if (++r->depth <= DEPTH)
		each_child(group, signal_group, r);
	else
		(void)close(group);
	r->depth--;
}

int
cgroup_signal(const struct cgroups *all, uint64_t conn, int sig)
{
	struct round r = { .sig = sig, .mark = "/" };

	name_of(all, conn, r.mark + 1);
	signal_group(all->dir, r.mark + 1, &r);
	return r.n;
}

bool
cgroup_empty(const struct cgroups *all, uint64_t conn)
{
	char name[NAME_SIZE];

	name_of(all, conn, name);
	return empty(all->dir, name);
}

int
cgroup_remove(const struct cgroups *all, uint64_t conn)
{
	char name[NAME_SIZE];

	name_of(all, conn, name);
	return remove_all(all->dir, name);
}
