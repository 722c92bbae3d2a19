/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Ends of connections; talker.  Fed by talker.c, drained by drain.c.  Who is
 * refused has no slot and costs the master nothing more; therefore their number
 * is bounded here, and beyond it they are closed at once.
 */
#include "config.h"

#include "farewell.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "drain.h"
#include "fd.h"

struct farewells {
	struct slots *slots;
	const struct scratch *scratch;
	struct drains *drains;
	unsigned refused;		/* that are drained now */
};

struct lingering {
	struct holding holding;		/* first: see lingering_of */
	struct farewells *all;
	struct drain *drain;
};

/* Refused */

static void
on_refused(const struct drain_end *end, void *arg)
{
	struct farewells *all = arg;

	(void)end;
	all->refused--;
}

/* The text is all the same to us: who doesn't get it sees the end of file. */
int
farewell_refuse(struct farewells *all, const struct msg_refuse *m, int fd)
{
	if (m->len > PROTO_TEXT) {
		fd_close(&fd);
		return -1;
	}
	if (fd < 0)
		return 0;
	if (m->len > 0)
		(void)send(fd, m->text, m->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (all->refused < FAREWELL_REFUSED) {
		if (drain_start(all->drains, fd, DRAIN_MS, on_refused, all) != NULL)
			all->refused++;
		return 0;
	}
	(void)shutdown(fd, SHUT_WR);
	/* what has come already would turn the end into a reset */
	(void)recv(fd, all->scratch->bytes, all->scratch->size, MSG_DONTWAIT);
	fd_close(&fd);
	return 0;
}

/* Lingering */

static struct lingering *
lingering_of(struct holding *h)
{
	return (struct lingering *)h;
}

/* Whatever ended it: the session had its end before, this is none of its
 * errors. */
static void
on_lingered(const struct drain_end *end, void *arg)
{
	struct lingering *l = arg;

	l->holding.report.bytes_in = end->bytes;
	slots_end(l->all->slots, &l->holding, 0);
}

static void
close_linger(struct holding *h)
{
	drain_stop(lingering_of(h)->drain);
	slots_end(lingering_of(h)->all->slots, h, ECANCELED);
}

static void
free_linger(struct holding *h)
{
	free(lingering_of(h));
}

int
farewell_linger(struct farewells *all, const struct msg_linger *m, int fd)
{
	struct lingering *l;

	if (m->timeout_ms == 0) {
		fd_close(&fd);
		return -1;
	}
	l = fd < 0 ? NULL : calloc(1, sizeof *l);
	if (l == NULL) {
		slots_refuse(all->slots, m->slot, m->generation, fd < 0 ? EMFILE : ENOMEM);
		fd_close(&fd);
		return 0;
	}
	l->all = all;
	l->holding.close = close_linger;
	l->holding.free = free_linger;
	if (slots_take(all->slots, &l->holding, m->slot, m->generation) < 0) {
		fd_close(&fd);
		free(l);
		return -1;
	}
	l->drain = drain_start(all->drains, fd, m->timeout_ms, on_lingered, l);
	if (l->drain == NULL)		/* mostly: the peer is gone */
		slots_end(all->slots, &l->holding, 0);
	return 0;
}

struct farewells *
farewells_new(struct slots *slots, const struct scratch *scratch, struct drains *drains)
{
	struct farewells *all = calloc(1, sizeof *all);

	if (all == NULL)
		return NULL;
	all->slots = slots;
	all->scratch = scratch;
	all->drains = drains;
	return all;
}

void
farewells_free(struct farewells *all)
{
	free(all);
}
