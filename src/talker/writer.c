/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Writers of stderr.  Runs in the talker; errlog.c asks.  A shell's child has
 * often written its error and ended before we read it, and then nothing tells
 * who its parent was; hence the rule about the only session.
 */
#include "config.h"

#include "writer.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	CACHE = 16,
	KNOWN_MS = 1000,
	UNKNOWN_MS = 200,	/* it may be a session's in a moment */
	LATE_MS = 200,		/* a session that ended so long ago may be meant */
};

struct known {
	pid_t pid;
	unsigned account;
	struct writer writer;
	int64_t until_ms;
};

struct writers {
	const struct board *board;
	struct known known[CACHE];
	unsigned next;
};

struct writers *
writers_new(const struct board *board)
{
	struct writers *w = calloc(1, sizeof *w);

	if (w != NULL)
		w->board = board;
	return w;
}

void
writers_free(struct writers *w)
{
	free(w);
}

static bool
by_process(const struct board *b, pid_t pid, pid_t leader, struct writer *ret)
{
	struct board_recent recent;

	for (uint32_t i = 0; i < board_sessions(b); i++) {
		const struct board_session *row = board_peek(b, i);

		if (row->pid <= 0 || (row->pid != pid && row->pid != leader) ||
		    row->kind == BOARD_FREE)
			continue;
		ret->slot = i;
		ret->generation = atomic_load_explicit(&row->generation, memory_order_acquire);
		ret->service = row->service;
		return true;
	}
	/* it may have written and ended before this was read */
	if (!board_recent(b, pid, WRITER_UNKNOWN, 0, &recent) &&
	    (leader <= 0 || !board_recent(b, leader, WRITER_UNKNOWN, 0, &recent)))
		return false;
	ret->slot = recent.slot;
	ret->generation = recent.generation;
	ret->service = recent.service;
	return true;
}

/* One more session that may be meant. */
static void
consider(struct writer *w, int *n, uint32_t slot, uint32_t generation, uint32_t service)
{
	if (++*n == 1) {
		*w = (struct writer){ slot, generation, service, false };
		return;
	}
	w->slot = WRITER_UNKNOWN;
	if (w->service != service)
		w->service = WRITER_UNKNOWN;
}

static struct writer
by_account(const struct board *b, unsigned account)
{
	struct writer w = { WRITER_UNKNOWN, 0, WRITER_UNKNOWN, false };
	struct board_recent recent;
	int n = 0;

	for (uint32_t i = 0; i < board_sessions(b); i++) {
		const struct board_session *row = board_peek(b, i);

		if (row->pid > 0 && row->kind != BOARD_FREE && row->account == account)
			consider(&w, &n, i, atomic_load_explicit(&row->generation,
								 memory_order_acquire), row->service);
	}
	for (uint32_t i = 0; board_recent_at(b, i, LATE_MS, &recent); i++)
		if (recent.account == account)
			consider(&w, &n, recent.slot, recent.generation, recent.service);
	return w;
}

static struct writer
search(const struct board *b, pid_t pid, unsigned account)
{
	struct writer w = { WRITER_UNKNOWN, 0, WRITER_UNKNOWN, false };
	pid_t leader = getsid(pid);	/* -1 if it is gone already */

	w.sure = by_process(b, pid, leader, &w);
	if (!w.sure && leader == -1)
		w = by_account(b, account);
	return w;
}

static bool
is_current(const struct writers *w, const struct known *k, int64_t now_ms)
{
	const struct board_session *row;

	if (now_ms >= k->until_ms)
		return false;
	if (k->writer.slot == WRITER_UNKNOWN)
		return true;
	row = board_peek(w->board, k->writer.slot);
	return row != NULL && k->writer.generation ==
	       atomic_load_explicit(&row->generation, memory_order_acquire);
}

struct writer
writers_find(struct writers *w, pid_t pid, unsigned account, int64_t now_ms)
{
	struct known *k = NULL;

	for (unsigned i = 0; i < CACHE && k == NULL; i++)
		if (w->known[i].pid == pid && w->known[i].account == account)
			k = &w->known[i];
	if (k != NULL && is_current(w, k, now_ms))
		return k->writer;
	if (k == NULL)
		k = &w->known[w->next++ % CACHE];
	k->pid = pid;
	k->account = account;
	k->writer = search(w->board, pid, account);
	k->until_ms = now_ms + (k->writer.slot == WRITER_UNKNOWN ? UNKNOWN_MS : KNOWN_MS);
	return k->writer;
}
