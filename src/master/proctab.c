/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The table of all processes.  Runs in the master; tree.c calls it.  What other
 * processes can choose (their names, their environments) is parsed as text of a
 * stranger: a name may have blanks, parentheses and newlines.
 */
#include "config.h"

#include "proctab.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pidfd.h"

#define ENVIRON_MAX (256 << 10)	/* as far as an environment is read */

/* The next of the fields, which are divided by single blanks; what can't be a
 * number of ours, such as a negative one, is 0. */
static bool
next_field(const char **p, const char *end, uint64_t *ret)
{
	const char *s = *p;
	bool number = true;
	uint64_t n = 0;

	if (s == end || *s != ' ')
		return false;
	for (s++; s < end && *s != ' ' && *s != '\n'; s++) {
		if (*s < '0' || *s > '9')
			number = false;
		else
			n = n * 10 + (uint64_t)(*s - '0');	/* wraps: then it isn't one */
	}
	if (s == *p + 1)
		return false;
	*p = s;
	*ret = number ? n : 0;
	return true;
}

/* pid (name) state ppid pgrp session ... num_threads ... starttime; proc(5) */
bool
proctab_parse(const char *line, size_t len, struct proc *ret)
{
	enum { PARENT = 4, GROUP, SESSION, THREADS = 20, START = 22 };
	const char *end = line + len, *p = memrchr(line, ')', len);
	uint64_t fields[START + 1] = { 0 };
	char state;

	if (!p || end - p < 3 || p[1] != ' ')
		return false;
	for (const char *s = line; *s != ' '; s++) {
		if (*s < '0' || *s > '9' || s - line > 9)
			return false;
		fields[1] = fields[1] * 10 + (uint64_t)(*s - '0');
	}
	state = p[2];
	p += 3;
	for (int i = PARENT; i <= START; i++)
		if (!next_field(&p, end, &fields[i]))
			return false;
	if (fields[1] == 0 || fields[1] > INT_MAX)
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->pid = (pid_t)fields[1];
	ret->parent = (pid_t)fields[PARENT];
	ret->group = (pid_t)fields[GROUP];
	ret->session = (pid_t)fields[SESSION];
	ret->start = fields[START];
	ret->above = -1;
	/* a first thread that has ended waits as a zombie for the others */
	ret->dead = state == 'X' || (state == 'Z' && fields[THREADS] <= 1);
	return true;
}

/* at: the directory that name is in. */
static ssize_t
read_all(int at, const char *name, char *buf, size_t size)
{
	int fd = openat(at, name, O_RDONLY | O_CLOEXEC), error;
	ssize_t n;

	if (fd == -1)
		return -1;
	n = read(fd, buf, size);
	error = errno;
	(void)close(fd);
	errno = error;
	return n;
}

/* pid: its folder in that directory.  1: it is in *ret; 0: it has ended
 * meanwhile; -1 and errno. */
static int
read_process(int at, const char *pid, struct proc *ret)
{
	char name[40], line[1024];
	ssize_t n;

	(void)snprintf(name, sizeof(name), "%.31s/stat", pid);
	n = read_all(at, name, line, sizeof(line));
	if (n == -1)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -1 : 0;
	return proctab_parse(line, (size_t)n, ret);
}

static int
add(struct proctab *t, const struct proc *p)
{
	if (t->n == t->room) {
		int room = t->room == 0 ? 256 : t->room * 2;
		struct proc *more = realloc(t->procs, (size_t)room * sizeof(*more));

		if (!more)
			return -1;
		t->procs = more;
		t->room = room;
	}
	t->procs[t->n++] = *p;
	return 0;
}

static int
by_pid(const void *a, const void *b)
{
	const struct proc *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static int
read_entries(struct proctab *t, DIR *d)
{
	struct dirent *e;
	struct proc p;

	while ((e = readdir(d)) && t->n < PROCTAB_MAX) {
		int r;

		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		r = read_process(dirfd(d), e->d_name, &p);
		if (r == -1 || (r == 1 && add(t, &p) == -1))
			return -1;
		t->gone += r == 0;
	}
	return 0;
}

/* The kernel lists them by pid; don't rely on it. */
static void
put_in_order(struct proctab *t)
{
	int n = 0;

	for (int i = 1; i < t->n; i++)
		if (t->procs[i - 1].pid >= t->procs[i].pid) {
			qsort(t->procs, (size_t)t->n, sizeof(*t->procs), by_pid);
			break;
		}
	for (int i = 0; i < t->n; i++)
		if (n == 0 || t->procs[n - 1].pid != t->procs[i].pid)
			t->procs[n++] = t->procs[i];
	t->n = n;
}

int
proctab_read(struct proctab *t)
{
	DIR *d = opendir("/proc");
	int r, error;

	if (!d)
		return -1;
	r = read_entries(t, d);
	error = errno;
	(void)closedir(d);
	if (r == -1) {
		proctab_free(t);
		errno = error;
		return -1;
	}
	put_in_order(t);
	for (int i = 0; i < t->n; i++) {
		const struct proc *above = proctab_find(t, t->procs[i].parent);

		t->procs[i].above = above ? (int32_t)(above - t->procs) : -1;
	}
	return 0;
}

void
proctab_free(struct proctab *t)
{
	free(t->procs);
	*t = (struct proctab){ 0 };
}

const struct proc *
proctab_find(const struct proctab *t, pid_t pid)
{
	const struct proc key = { .pid = pid };

	return t->n == 0 ? NULL : bsearch(&key, t->procs, (size_t)t->n, sizeof(key), by_pid);
}

void
proctab_spread(struct proctab *t)
{
	struct proc *procs = t->procs;

	for (int i = 0; i < t->n; i++) {
		int32_t top = i;
		uint8_t kin;

		/* up to one that is known.  Those on the way are no kin for the time
		 * being: so this ends even if pids that were given out again
		 * have made a ring of parents. */
		while (top != -1 && procs[top].kin == PROCTAB_UNKNOWN) {
			procs[top].kin = PROCTAB_OUT;
			top = procs[top].above;
		}
		kin = top == -1 ? PROCTAB_OUT : procs[top].kin;
		if (kin == PROCTAB_IN)
			for (int32_t k = i; k != top; k = procs[k].above)
				procs[k].kin = kin;
	}
}

bool
proctab_look(pid_t pid, struct proc *ret)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "/proc/%d", (int)pid);
	return read_process(AT_FDCWD, name, ret) == 1;
}

/* Orphans become children of the first thread. */
int
proctab_children(pid_t parent, void (*fn)(pid_t pid, void *arg), void *arg)
{
	char name[64], piece[4096];
	pid_t pid = 0;
	ssize_t n;
	int fd, count = 0;

	(void)snprintf(name, sizeof(name), "/proc/%d/task/%d/children", (int)parent, (int)parent);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return 0;
	while ((n = read(fd, piece, sizeof(piece))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (piece[i] >= '0' && piece[i] <= '9') {
				pid = pid * 10 + (piece[i] - '0');
				continue;
			}
			if (pid > 0) {
				count++;
				fn(pid, arg);
			}
			pid = 0;
		}
	(void)close(fd);
	return count;
}

static bool
same_start(pid_t pid, const void *arg)
{
	const struct proc *p = arg;
	struct proc now;

	return proctab_look(pid, &now) && now.start == p->start;
}

int
proctab_kill(const struct proc *p, int sig)
{
	return pidfd_kill(p->pid, sig, same_start, p);
}

bool
proctab_parse_connection(const char *piece, size_t len, int *at, uint64_t *ret)
{
	static const char name[] = "HATCHD_CONNECTION=";
	enum { NAME = sizeof(name) - 1, OTHER = -1 };

	for (size_t i = 0; i < len; i++) {
		char c = piece[i];

		if (c == '\0') {
			if (*at > NAME)
				return true;
			*at = 0;
		} else if (*at >= 0 && *at < NAME) {
			*at = c == name[*at] ? *at + 1 : OTHER;
			if (*at == NAME)
				*ret = 0;
		} else if (*at >= NAME) {
			/* 19 digits: none of ours has more */
			if (c < '0' || c > '9' || *at == NAME + 19) {
				*at = OTHER;
			} else {
				*ret = *ret * 10 + (uint64_t)(c - '0');
				(*at)++;
			}
		}
	}
	return false;
}

bool
proctab_connection(pid_t pid, uint64_t *ret)
{
	char name[32], piece[4096];
	int fd, at = 0;
	uint64_t value = 0;
	ssize_t n;
	size_t sum = 0;
	bool found = false;

	(void)snprintf(name, sizeof(name), "/proc/%d/environ", (int)pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return false;
	while (!found && sum < ENVIRON_MAX && (n = read(fd, piece, sizeof(piece))) > 0) {
		found = proctab_parse_connection(piece, (size_t)n, &at, &value);
		sum += (size_t)n;
	}
	(void)close(fd);
	if (found)
		*ret = value;
	return found;
}
