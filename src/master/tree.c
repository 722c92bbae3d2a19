/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Signals to a handler and all that it has started.  Runs in the master; who
 * ends sessions calls it.  Owns nothing between two calls.  It must hit nobody
 * else: each process is known by its pid and the time of its start, and a pid
 * that has been given out again is another process.
 */
#include "config.h"

#include "tree.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "proctab.h"

#define SCANS 32
#define QUIET 4			/* of them, to be sure if processes have come and gone */
#define LOOKS 50		/* at children that are new, after each scan */
#define LOOKED_AT 20000		/* children at most then */

enum { STOPPED = 1, KILLED = 2 };	/* marks of a process: has been sent that */

struct hunt {
	struct proctab tab;
	pid_t root;
	bool left;		/* root has gone, this is for what it left */
	uint64_t conn;		/* then: whose they are */
	int lost;		/* processes that ended while the last scan looked at
				 * them: who knows what they have started */
	int caught;		/* by catch_new */
};

int
tree_init(void)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/* root's number names its session and process group as long as they have
 * members.  If a process has it, it was given out again: they have none. */
static bool
group_is_stale(const struct hunt *h)
{
	const struct proc *p = proctab_find(&h->tab, h->root);

	return h->left && p && !p->dead;
}

/* Whether conn says nothing about our own children: we run as a handler of
 * another daemon ourselves, and a child that hasn't exec'd yet has our
 * environment. */
static bool
is_our_own(uint64_t conn)
{
	const char *own = getenv("HATCHD_CONNECTION");

	return own && strtoull(own, NULL, 10) == conn;
}

/* A child of ours, or it was becoming one while the table was made. */
static bool
is_orphan(const struct proc *p)
{
	return p->parent == getpid() || (p->parent > 1 && p->above == -1);
}

static bool
is_seed(struct hunt *h, struct proc *p, bool group)
{
	bool member = p->session == h->root || p->group == h->root;
	uint64_t conn;

	if (!h->left) {
		h->tab.gone += p->parent > 1 && p->above == -1;	/* whose is it? */
		return member || p->pid == h->root;
	}
	member = member && group;
	if (p->dead && p->parent == getpid() && p->mark == 0) {
		h->tab.gone++;		/* it has come and gone */
		p->mark = STOPPED;
	}
	if (p->dead || (!member && (!is_orphan(p) || is_our_own(h->conn))))
		return false;
	if (proctab_connection(p->pid, &conn))
		return conn == h->conn;
	if (!member && proctab_kill(p, 0) == -1 && errno == ESRCH) {
		if (p->parent == getpid())
			h->lost++;
		else
			h->tab.gone++;
	}
	return member;
}

/* What we have done to those that were there before. */
static void
keep_marks(struct proctab *now, const struct proctab *before)
{
	for (int i = 0; i < now->n; i++) {
		const struct proc *p = proctab_find(before, now->procs[i].pid);

		if (p && p->start == now->procs[i].start)
			now->procs[i].mark = p->mark;
	}
}

/* Looks who belongs to it.  If that fails the last table stays. */
static bool
scan(struct hunt *h)
{
	struct proctab now = { 0 };
	bool group;

	if (proctab_read(&now) == -1)
		return false;
	keep_marks(&now, &h->tab);
	proctab_free(&h->tab);
	h->tab = now;
	group = !group_is_stale(h);
	h->lost = 0;
	for (int i = 0; i < h->tab.n; i++) {
		struct proc *p = &h->tab.procs[i];

		if (p->pid <= 1 || p->pid == getpid())
			p->kin = PROCTAB_OUT;
		else if (is_seed(h, p, group))
			p->kin = PROCTAB_IN;
	}
	proctab_spread(&h->tab);
	return true;
}

/* To all but root that have no such mark yet, the youngest first; how many got
 * it.  Those that it can't be sent to are marked, too: they don't come again.
 * Those that are not there any more are lost. */
static int
send_marked(struct hunt *h, int sig, uint8_t mark)
{
	int n = 0;

	for (int i = h->tab.n - 1; i >= 0; i--) {
		struct proc *p = &h->tab.procs[i];

		if (p->kin != PROCTAB_IN || p->dead || (p->mark & mark))
			continue;
		if (p->pid == h->root && !h->left)
			continue;
		p->mark |= mark;
		if (proctab_kill(p, sig) == 0)
			n++;
		else if (errno == ESRCH)
			h->lost++;
	}
	return n;
}

static void
stop_new(pid_t pid, void *arg)
{
	struct hunt *h = arg;
	struct proc p;
	uint64_t conn;

	if (proctab_find(&h->tab, pid) || !proctab_look(pid, &p) || p.dead ||
	    p.parent != (h->left ? getpid() : h->root))
		return;
	if (h->left && (!proctab_connection(pid, &conn) || conn != h->conn))
		return;
	h->caught += proctab_kill(&p, SIGSTOP) == 0;
}

/* Processes that do nothing but start another one and end are gone before a
 * table is complete.  They are orphans, so each is a child of root or of ours
 * for a moment.  Whether one could be stopped. */
static bool
catch_new(struct hunt *h)
{
	int n = 0;

	h->caught = 0;
	if (h->left && is_our_own(h->conn))
		return false;
	for (int i = 0; i < LOOKS && n < LOOKED_AT && h->caught == 0; i++)
		n += proctab_children(h->left ? getpid() : h->root, stop_new, h);
	return h->caught > 0;
}

/* Stopped processes neither start others nor end; so nobody is orphaned, and
 * lost, before all have been found.  -1: nothing could be found out. */
static int
kill_all(struct hunt *h)
{
	int n = 0, killed, quiet = 0;

	for (int i = 0; i < SCANS; i++) {
		if (!scan(h)) {
			if (i == 0)
				return -1;
			break;
		}
		if (send_marked(h, SIGSTOP, STOPPED) > 0 && h->lost == 0)
			continue;
		/* whom it stops only another scan can kill */
		if ((h->lost > 0 || h->tab.gone > 0) && i + 1 < SCANS &&
		    (catch_new(h) || h->lost > 0))
			continue;
		killed = send_marked(h, SIGKILL, KILLED);
		n += killed;
		if (killed == 0 && (h->tab.gone == 0 || ++quiet == QUIET))
			return n;
	}
	/* some are too quick: the next time */
	return n + send_marked(h, SIGKILL, KILLED) + (h->lost > 0);
}

/* root learns first that it is to end, and doesn't wonder about its children. */
static int
signal_all(struct hunt *h, int sig)
{
	int n;

	if (!scan(h))
		return -1;
	n = !h->left && kill(h->root, sig) == 0;
	n += send_marked(h, sig, STOPPED);
	return n == 0 && h->left ? h->lost > 0 : n;
}

int
tree_signal(pid_t root, int sig)
{
	struct hunt h = { .root = root };
	int n;

	/* it is not reaped, so the number is its own */
	assert(root > 1 && root != getpid());
	if (sig == SIGKILL) {
		(void)kill(root, SIGSTOP);
		n = kill_all(&h);
	} else {
		n = signal_all(&h, sig);
	}
	proctab_free(&h.tab);
	if (n == -1)
		return kill(-root, sig) == 0 || kill(root, sig) == 0;
	if (sig == SIGKILL)
		n += kill(root, SIGKILL) == 0;
	return n;
}

int
tree_leftovers(pid_t root, uint64_t conn, int sig)
{
	struct hunt h = { .root = root, .left = true, .conn = conn };
	int n;

	assert(root > 1 && root != getpid());
	n = sig == SIGKILL ? kill_all(&h) : signal_all(&h, sig);
	proctab_free(&h.tab);
	if (n != -1)
		return n;
	/* a process of that number leads a group that isn't ours */
	return kill(root, 0) == -1 && kill(-root, sig) == 0;
}
