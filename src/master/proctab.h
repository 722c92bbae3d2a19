/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * What /proc says about all processes: who descends from whom.
 */
#ifndef HATCHD_PROCTAB_H
#define HATCHD_PROCTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCTAB_MAX (1 << 18)	/* processes that are looked at, at most */

enum proctab_kin { PROCTAB_UNKNOWN, PROCTAB_IN, PROCTAB_OUT };

struct proc {
	pid_t pid, parent, group, session;
	uint64_t start;		/* clock ticks: which of those that had this pid */
	int32_t above;		/* index of its parent, or -1 */
	bool dead;		/* it has ended and waits for being reaped */
	uint8_t kin;		/* enum proctab_kin */
	uint8_t mark;		/* the caller's; 0 */
};

/* By pid, each once. */
struct proctab {
	int n, room;
	int gone;		/* how many have ended while we looked */
	struct proc *procs;	/* NULL if n is 0 */
};

/* One pass over /proc, into *t, which must be zeroed.  Not all at one instant:
 * who starts or ends meanwhile may be in it or not.  0, or -1 and errno (no
 * /proc, no memory, no descriptor). */
int proctab_read(struct proctab *t);
void proctab_free(struct proctab *t);
const struct proc *proctab_find(const struct proctab *t, pid_t pid);	/* or NULL */
/* The caller has set the kin of some to PROCTAB_IN; sets that of all others:
 * PROCTAB_IN for descendants of those, else PROCTAB_OUT. */
void proctab_spread(struct proctab *t);

/* One process; above is -1.  false: it isn't there. */
bool proctab_look(pid_t pid, struct proc *ret);
/* Calls fn for each child of a process, much quicker than proctab_read.  How many;
 * 0 also if the kernel doesn't tell (CONFIG_PROC_CHILDREN). */
int proctab_children(pid_t parent, void (*fn)(pid_t pid, void *arg), void *arg);
/* Sends sig unless its pid is another one's by now.  0, or -1 and errno. */
int proctab_kill(const struct proc *p, int sig);
/* HATCHD_CONNECTION of its environment.  false: it has none, or one that we
 * can't read. */
bool proctab_connection(pid_t pid, uint64_t *ret);

/* A line of /proc/PID/stat; all but above, kin and mark.  false: it isn't. */
bool proctab_parse(const char *line, size_t len, struct proc *ret);
/* The same of an environment that comes in pieces: feed it, with *at 0 at first,
 * until it returns true; what follows a value must be fed, too. */
bool proctab_parse_connection(const char *piece, size_t len, int *at, uint64_t *ret);

#endif
