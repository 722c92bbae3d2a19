/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The talker's context and the dispatch of the master's messages.  Called by
 * main.c; calls the modules that serve.  It never waits for the master, and a
 * message that makes no sense ends it: then one of the two is not what it
 * should be, and the master starts another talker.
 */
#include "config.h"

#include "talker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "conn.h"
#include "control.h"
#include "drain.h"
#include "errlog.h"
#include "farewell.h"
#include "fd.h"
#include "log.h"
#include "msg.h"
#include "muxtab.h"
#include "prefix.h"
#include "slots.h"
#include "udp.h"

#define SCRATCH (256 << 10)	/* bytes read at once; at least PACKET_MAX */

struct talker {
	struct ev *ev;
	struct msg_link *link;
	struct board *board;		/* from MSG_START on */
	struct scratch scratch;
	struct slots *slots;
	struct drains *drains;
	struct muxtab *mux;
	struct prefixes prefixes;
	struct farewells *farewells;
	struct conns *conns;
	struct udp *udp;
	struct errlog *errlog;
	struct control *control;
	bool over;
	bool ending;			/* over, but for what is still to be told */
	int exit_code;
};

static void
stop(struct talker *t, int exit_code)
{
	t->over = true;
	t->exit_code = exit_code;
	ev_stop(t->ev);
}

/* Connections and sessions are none of anybody's any more, but what handlers wrote
 * last is for the log. */
static void
end_when_told(struct talker *t)
{
	bool all = t->errlog == NULL || errlog_finish(t->errlog);

	t->over = t->ending = true;
	if (all && !msg_link_busy(t->link))
		stop(t, 0);
}

/* What the first message brings; false if it makes no sense or memory is out. */
static bool
on_start(struct talker *t, const struct msg_start *m, int *fd)
{
	union msg ready;

	if (m->version != PROTO_VERSION || m->debug > 1)
		return false;
	if (m->debug == 1)
		log_set_level(LOGL_DEBUG);
	t->board = board_map(*fd);
	*fd = -1;
	if (t->board == NULL) {
		log_warn("talker: board");
		return false;
	}
	t->control = control_new(t->ev, t->board);
	return t->control != NULL && msg_send(t->link, &ready, MSG_READY, -1) == 0;
}

/* A descriptor that did not arrive, since none was left, costs only what it
 * was for. */
static bool
missing(const char *what, int fd)
{
	if (fd < 0)
		log_warnx("talker: %s: %s", what, strerror(EMFILE));
	return fd < 0;
}

static void
on_errlog(struct talker *t, int *fd)
{
	(void)missing("handlers' stderr", *fd);
	if (t->errlog == NULL)
		t->errlog = errlog_new(t->ev, t->link, t->board);
	if (t->errlog == NULL || errlog_add(t->errlog, *fd) == -1)
		log_warn("talker: handlers' stderr");
	if (t->errlog != NULL)
		*fd = -1;	/* taken in any case */
}

static void
on_control(struct talker *t, int *fd)
{
	if (missing("control socket", *fd))
		return;
	if (control_listen(t->control, *fd) < 0)
		log_warn("talker: control socket");
	*fd = -1;
}

static int
take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* False if the message makes no sense. */
static bool
dispatch(struct talker *t, const union msg *m, int *fd)
{
	switch ((enum msg_type)m->head.type) {
	case MSG_START:
		return on_start(t, &m->start, fd);
	case MSG_ERRLOG:
		on_errlog(t, fd);
		return true;
	case MSG_CONTROL:
		on_control(t, fd);
		return true;
	case MSG_CONN:
		return conns_add(t->conns, &m->conn, take(fd)) == 0;
	case MSG_DGRAM:
		return udp_dgram(t->udp, &m->dgram, take(fd)) == 0;
	case MSG_DGRAM_DROP:
		return udp_dgram_drop(t->udp, &m->dgram_drop) == 0;
	case MSG_SESSION:
		return udp_session(t->udp, &m->session, take(fd)) == 0;
	case MSG_VERDICT:
		return udp_verdict(t->udp, &m->verdict) == 0;
	case MSG_CLOSE:
		slots_close(t->slots, m->close.slot, m->close.generation);
		return true;
	case MSG_PREFIX:
		return prefix_read(&t->prefixes, &m->prefix, take(fd)) == 0;
	case MSG_GREET:
		return prefix_greet(&t->prefixes, &m->greet, take(fd)) == 0;
	case MSG_REFUSE:
		return farewell_refuse(t->farewells, &m->refuse, take(fd)) == 0;
	case MSG_LINGER:
		return farewell_linger(t->farewells, &m->linger, take(fd)) == 0;
	case MSG_MUX:
		return muxtab_set(t->mux, &m->mux) == 0;
	case MSG_STOP:
		end_when_told(t);
		return true;
	default:
		return false;	/* the link lets no other pass */
	}
}

static void
on_message(const union msg *m, int *fd, void *arg)
{
	struct talker *t = arg;

	if (t->over || dispatch(t, m, fd))
		return;
	log_warnx("talker: message %s makes no sense", proto_name(m->head.type));
	stop(t, 1);
}

static void
on_broken(const char *why, void *arg)
{
	struct talker *t = arg;

	if (t->ending)
		stop(t, 0);		/* nobody is left to be told */
	if (t->over)
		return;
	if (strcmp(why, "closed") == 0) {
		stop(t, 0);
		return;
	}
	log_warnx("talker: link: %s", why);
	stop(t, 1);
}

static void
on_room(void *arg)
{
	struct talker *t = arg;

	if (t->ending)
		end_when_told(t);
	else
		slots_room(t->slots);
}

static void
on_turn(void *arg)
{
	(void)arg;
	log_flush();
}

/* All that serve; false if memory is out. */
static bool
make_modules(struct talker *t)
{
	t->scratch.size = SCRATCH;
	t->scratch.bytes = malloc(SCRATCH);
	t->slots = slots_new(t->link);
	t->mux = muxtab_new();
	t->drains = drains_new(t->ev, &t->scratch);
	if (t->scratch.bytes == NULL || t->slots == NULL || t->mux == NULL || t->drains == NULL)
		return false;
	t->prefixes = (struct prefixes){
		.visits = { t->ev, t->slots, &t->scratch, t->drains }, .mux = t->mux,
	};
	t->farewells = farewells_new(t->slots, &t->scratch, t->drains);
	t->conns = conns_new(t->ev, t->slots, &t->scratch, t->drains);
	t->udp = udp_new(t->ev, t->link, t->slots, &t->scratch);
	return t->farewells != NULL && t->conns != NULL && t->udp != NULL;
}

struct talker *
talker_new(struct ev *ev, int link_fd)
{
	struct talker *t = calloc(1, sizeof *t);

	if (t == NULL) {
		fd_close(&link_fd);
		return NULL;
	}
	t->ev = ev;
	t->link = msg_link_new(ev, link_fd, PROTO_DOWN, on_message, on_broken, on_room, t);
	if (t->link == NULL || !make_modules(t)) {
		talker_free(t);
		return NULL;
	}
	ev_on_turn(ev, on_turn, t);
	return t;
}

void
talker_free(struct talker *t)
{
	if (t == NULL)
		return;
	slots_free(t->slots);		/* ends connections and sessions */
	conns_free(t->conns);
	farewells_free(t->farewells);
	drains_free(t->drains);
	muxtab_free(t->mux);
	udp_free(t->udp);
	errlog_free(t->errlog);
	control_free(t->control);
	msg_link_free(t->link);
	board_free(t->board);
	free(t->scratch.bytes);
	free(t);
}

int
talker_run(struct talker *t)
{
	if (ev_run(t->ev) < 0) {
		log_warn("talker: event loop");
		return 1;
	}
	return t->exit_code;
}
