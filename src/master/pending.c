/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Who waits to be accepted.  Runs in the master; reap.c asks when a wait
 * handler of a stream ended at once and the backlog is no shorter.
 *
 * A TCP connection that is not accepted yet has a cookie of its own, but no
 * inode; so have those that were closed and are not over, which are in other
 * states.  One that its client has reset is in no table and stays in the
 * backlog.  Of a UNIX listener the kernel tells the inodes of the clients in
 * its backlog, 0 for those that have gone.
 *
 * Looks are kept for TABLE listeners, known by the inode of their socket.
 */
#include "config.h"

#include "pending.h"

#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/unix_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "listener.h"
#include "service.h"
#include "sockdiag.h"

enum {
	TABLE = 64,
	IDS_MAX = 32768,	/* of one look; never more than waits in the kernel */
	BUDGET_MS = 50,		/* for one look */
	QUIET_MS = 200,		/* no look so long after one that was in vain, or after
				 * something was accepted, */
	QUIET_FACTOR = 10,	/* and so many times what that look took, */
	QUIET_MAX_MS = 1000,	/* but no longer than this */
	BUSY_MS = 1000,		/* a look that was used in this time is not given up */
	LOOKS = 8,		/* that told nothing are enough */
};

#define UNIX_ID (UINT64_C(1) << 63)

struct look {
	uint64_t *id;		/* those that wait and whose peer is there, sorted */
	uint32_t n, room;
	/* how many wait, whoever; of TCP before and after all were looked at */
	uint32_t before, after;
	bool failed;
};

struct entry {
	uint64_t inode;		/* 0: free */
	int64_t used_ms, quiet_until_ms;
	struct look look;
	enum pending last;
	unsigned still, unsure;	/* looks that told nothing, one after the other */
};

static struct entry table[TABLE];

static void
look_fini(struct look *k)
{
	free(k->id);
	*k = (struct look){ 0 };
}

static void
add(struct look *k, uint64_t id)
{
	if (k->n == k->room) {
		uint32_t room = k->room == 0 ? 64 : k->room * 2;
		uint64_t *p = room > IDS_MAX ? NULL : reallocarray(k->id, room, sizeof(*p));

		if (!p) {
			k->failed = true;
			return;
		}
		k->id = p;
		k->room = room;
	}
	k->id[k->n++] = id;
}

/* TCP */

uint32_t
pending_queued(const struct listener *l)
{
	struct tcp_info ti;
	socklen_t len = sizeof(ti);

	memset(&ti, 0, sizeof(ti));
	/* tcp(7) doesn't say so, but of a listening socket this is the number
	 * of connections to be accepted, which ss(8) shows as Recv-Q */
	if (l->target.addr.family == AF_UNIX ||
	    getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &ti, &len) == -1)
		return 0;
	return ti.tcpi_unacked;
}

struct search {
	const struct listener *listener;
	struct look *look;
	unsigned ifindex;	/* of its device */
};

static bool
add_tcp(const void *data, size_t len, void *arg)
{
	static const uint8_t any[16];
	const struct search *s = arg;
	const struct addr *a = &s->listener->target.addr;
	const struct inet_diag_msg *d = data;

	if (len < sizeof(*d) || d->idiag_inode != 0 || d->idiag_family != a->family ||
	    ntohs(d->id.idiag_sport) != s->listener->port ||
	    (s->ifindex != 0 && d->id.idiag_if != s->ifindex))
		return true;
	if (memcmp(a->ip, any, sizeof(any)) != 0 &&
	    memcmp(a->ip, d->id.idiag_src, a->family == AF_INET ? 4 : 16) != 0)
		return true;
	add(s->look, (uint64_t)d->id.idiag_cookie[1] << 32 | d->id.idiag_cookie[0]);
	return !s->look->failed;
}

/* Only one that nobody has closed on this side can wait to be accepted. */
static int
look_at_tcp(int fd, const struct listener *l, int64_t until_ms, struct look *k)
{
	struct search s = { .listener = l, .look = k };
	struct inet_diag_req_v2 r = {
		.sdiag_family = (uint8_t)l->target.addr.family, .sdiag_protocol = IPPROTO_TCP,
		.idiag_states = 1U << TCP_ESTABLISHED | 1U << TCP_CLOSE_WAIT,
		.id.idiag_sport = htons(l->port),
	};
	int rc;

	if (l->target.device)
		s.ifindex = if_nametoindex(l->target.device);
	k->before += pending_queued(l);
	rc = sockdiag_ask(fd, &r, sizeof(r), true, until_ms, add_tcp, &s);
	k->after += pending_queued(l);
	return rc;
}

/* UNIX */

struct backlog {
	struct look *look;
	uint32_t inode;
	bool found;
};

static void
add_clients(struct look *k, const uint32_t *client, size_t n)
{
	k->before += (uint32_t)n;
	k->after += (uint32_t)n;
	for (size_t i = 0; i < n && !k->failed; i++)
		if (client[i] != 0)
			add(k, UNIX_ID | client[i]);
}

static bool
add_unix(const void *data, size_t len, void *arg)
{
	struct backlog *b = arg;
	const struct unix_diag_msg *d = data;
	const struct rtattr *a;
	size_t left;

	if (len < sizeof(*d) || d->udiag_ino != b->inode)
		return true;
	left = len - NLMSG_ALIGN(sizeof(*d));
	a = (const struct rtattr *)((const char *)data + NLMSG_ALIGN(sizeof(*d)));
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == UNIX_DIAG_ICONS) {
			add_clients(b->look, RTA_DATA(a), RTA_PAYLOAD(a) / sizeof(uint32_t));
			b->found = true;
		}
	return false;
}

/* About one socket the kernel doesn't tell more than fits into a page; in a
 * list of all of them there is more room. */
static int
look_at_unix(int fd, uint64_t inode, int64_t until_ms, struct look *k)
{
	struct backlog b = { .look = k, .inode = (uint32_t)inode };
	struct unix_diag_req r = {
		.sdiag_family = AF_UNIX, .udiag_states = 1U << TCP_LISTEN,
		.udiag_ino = (uint32_t)inode, .udiag_show = UDIAG_SHOW_ICONS,
		.udiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE },
	};

	if (sockdiag_ask(fd, &r, sizeof(r), false, until_ms, add_unix, &b) == -1)
		(void)sockdiag_ask(fd, &r, sizeof(r), true, until_ms, add_unix, &b);
	return b.found ? 0 : -1;
}

/* Both */

static uint64_t
inode_of(const struct listener *l)
{
	struct stat st;

	return l->fd == -1 || fstat(l->fd, &st) == -1 ? 0 : st.st_ino;
}

static int
look_at(const struct listener *l, int64_t until_ms, struct look *k)
{
	int fd = sockdiag_open();
	int rc;

	if (fd == -1)
		return -1;
	rc = l->target.addr.family == AF_UNIX ? look_at_unix(fd, inode_of(l), until_ms, k) :
		look_at_tcp(fd, l, until_ms, k);
	(void)close(fd);
	return k->failed ? -1 : rc;
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static struct look
take_look(const struct listener *l, bool all)
{
	int64_t until_ms = sockdiag_now_ms() + BUDGET_MS;
	struct look k = { 0 };

	for (const struct listener *i = all ? l->service->listeners : l; i && !k.failed;
	     i = all ? i->next : NULL)
		if (i->fd != -1 && i->target.type != SOCK_DGRAM)
			k.failed = look_at(i, until_ms, &k) == -1;
	if (k.n > 1)
		qsort(k.id, k.n, sizeof(*k.id), by_number);
	return k;
}

/* What has happened from look a to look b.  Who was reset or has closed a UNIX
 * socket has not been accepted, but is not seen any more either, and still counts
 * for the length. */
static enum pending
compare(const struct look *a, const struct look *b)
{
	uint32_t i = 0, gone = 0, joined = 0;

	for (uint32_t j = 0; j < b->n; j++) {
		for (; i < a->n && a->id[i] < b->id[j]; i++)
			gone++;
		if (i < a->n && a->id[i] == b->id[j])
			i++;
		else
			joined++;
	}
	gone += a->n - i;
	if (b->after < a->before + joined)
		return PENDING_TAKEN;
	return a->n > 0 && gone == 0 ? PENDING_SAME : PENDING_UNKNOWN;
}

/* Nobody's peer is there, and as many wait as ever. */
static bool
is_still(const struct look *a, const struct look *b)
{
	return a->n == 0 && b->n == 0 && b->after > 0 && a->before == b->after;
}

/* What one look doesn't tell, some of them do: still for so long, nothing was
 * accepted.  If too much goes on to tell, handlers aren't slowed down. */
static enum pending
decide(struct entry *e, const struct look *now)
{
	enum pending r = compare(&e->look, now);
	bool still = is_still(&e->look, now);

	e->still = r == PENDING_UNKNOWN && still ? e->still + 1 : 0;
	e->unsure = r == PENDING_UNKNOWN && !still ? e->unsure + 1 : 0;
	if (e->still >= LOOKS) {
		e->still = LOOKS;
		return PENDING_SAME;
	}
	if (e->unsure < LOOKS)
		return r;
	e->unsure = 0;
	return PENDING_TAKEN;
}

/* The listener's entry, a new one, or one that was not used for long; NULL if
 * there is none: were it taken from others that need it as much, none of them
 * would ever see the same twice. */
static struct entry *
entry_of(uint64_t inode, int64_t now_ms)
{
	struct entry *e = &table[0];

	for (int i = 0; i < TABLE; i++) {
		if (table[i].inode == inode)
			return &table[i];
		if (table[i].inode == 0 || (e->inode != 0 && table[i].used_ms < e->used_ms))
			e = &table[i];
	}
	if (e->inode != 0 && now_ms - e->used_ms < BUSY_MS)
		return NULL;
	look_fini(&e->look);
	*e = (struct entry){ .inode = inode, .quiet_until_ms = now_ms };
	return e;
}

enum pending
pending_look(const struct listener *l, bool all, int64_t now_ms)
{
	uint64_t inode = inode_of(l);
	struct entry *e = inode == 0 ? NULL : entry_of(inode, now_ms);
	bool first;
	struct look now;
	int64_t begin_ms, quiet_ms;

	if (!e)
		return PENDING_UNKNOWN;
	first = e->used_ms == 0 || e->look.failed;
	e->used_ms = now_ms;
	if (now_ms < e->quiet_until_ms)
		return e->last;
	begin_ms = sockdiag_now_ms();
	now = take_look(l, all);
	quiet_ms = (sockdiag_now_ms() - begin_ms) * QUIET_FACTOR;
	e->last = first || now.failed ? PENDING_UNKNOWN : decide(e, &now);
	if (quiet_ms > QUIET_MAX_MS)
		quiet_ms = QUIET_MAX_MS;
	if (quiet_ms < QUIET_MS || now.failed)
		quiet_ms = QUIET_MS;
	if (e->last == PENDING_TAKEN || now.failed)
		e->quiet_until_ms = now_ms + quiet_ms;
	look_fini(&e->look);
	e->look = now;
	return e->last;
}

void
pending_forget(void)
{
	for (int i = 0; i < TABLE; i++) {
		look_fini(&table[i].look);
		table[i].inode = 0;
	}
}
