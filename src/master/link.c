/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The conversation with the talker.  Runs in the master.
 */
#include "config.h"

#include "link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "anteroom.h"
#include "ask.h"
#include "board.h"
#include "deliver.h"
#include "events.h"
#include "listener.h"
#include "log.h"
#include "master.h"
#include "owed.h"
#include "service.h"
#include "session.h"
#include "stderrs.h"
#include "talkproc.h"

#define PAY_MAX 256		/* messages of what is owed, in one turn */
#define PAY_MS 50		/* how soon to try again if a descriptor could not be sent */

static void
pause_all(struct master *m)
{
	if (m->link_paused)
		return;
	m->link_paused = true;
	for (uint32_t i = 0; i < listeners_rows(m->listeners); i++) {
		struct listener *l = listeners_at(m->listeners, i);

		if (l && l->service && l->talked)
			listener_pause(l, PAUSE_TALKER);
	}
}

static void
resume_all(struct master *m)
{
	m->link_paused = false;
	for (uint32_t i = 0; i < listeners_rows(m->listeners); i++) {
		struct listener *l = listeners_at(m->listeners, i);

		if (l && l->service)
			listener_resume(l, PAUSE_TALKER);
	}
}

bool
link_ready(const struct master *m)
{
	return talkproc_ready(m) && !m->link_paused;
}

/* Pauses what feeds the link as soon as something has to wait in its queue:
 * the queue is for what is under way, not for load. */
int
link_tell(struct master *m, union msg *msg, enum msg_type type, int fd)
{
	struct msg_link *link = talkproc_link(m);

	if (!link) {
		errno = EPIPE;
		return -1;
	}
	if (msg_send(link, msg, type, fd) == -1) {
		int error = errno;
		uint32_t suppressed;

		if (error == EPIPE)	/* it is gone, of which the loop is told */
			pause_all(m);
		else if (log_rate(&m->link_errors, ev_now_ms(m->ev), 5, 10000, &suppressed))
			log_warnx("can't send %s to the talker: %s (suppressed=%u)",
				  proto_name(type), strerror(error), suppressed);
		errno = error;
		return -1;
	}
	if (msg_link_busy(link))
		pause_all(m);
	return 0;
}

/* What must arrive */

static int
tell_listener(struct master *m, const struct listener *l)
{
	const struct conf_service *c = l->service->conf;
	union msg msg = { 0 };

	msg.dgram.listener = l->number;
	msg.dgram.internal = c->internal;
	msg.dgram.family = l->target.addr.family;
	msg.dgram.once = c->common->session->once;
	msg.dgram.idle_ms = c->common->session->idle_ms;
	msg.dgram.max = c->common->session->max;
	return link_tell(m, &msg, MSG_DGRAM, l->fd);
}

static bool
is_talkers(const struct listener *l)
{
	return l && l->service && l->kind == LISTENER_TALKER && l->fd != -1 && l->holder == 0;
}

static int
pay_listener(struct master *m, uint32_t number)
{
	struct listener *l = listeners_at(m->listeners, number);

	if (!is_talkers(l))
		return 0;
	if (tell_listener(m, l) == -1)
		return -1;
	l->sent = true;
	return 0;
}

static int
pay_drop(struct master *m, uint32_t number, bool leave)
{
	union msg msg = { .dgram_drop = { .listener = number, .leave = leave } };

	return link_tell(m, &msg, MSG_DGRAM_DROP, -1);
}

static int
pay_close(struct master *m, uint32_t slot)
{
	const struct session *x = session_at(m->sessions, slot);
	union msg msg = { .close = { .slot = slot } };

	if (!x || !x->talker)
		return 0;
	msg.close.generation = session_row(m->sessions, x)->generation;
	return link_tell(m, &msg, MSG_CLOSE, -1);
}

static const char *
mux_name(const struct master *m, uint32_t row)
{
	const struct service *s = services_at(m->services, row);

	return s && s->conf ? s->conf->common->tcpmux : NULL;
}

static int
pay_name(struct master *m, uint32_t number)
{
	union msg msg = { .mux = { .len = 0 } };
	const char *name;

	if (number == 0)
		return link_tell(m, &msg, MSG_MUX, -1);
	name = mux_name(m, number - 1);
	if (!name)
		return 0;
	msg.mux.service = number - 1;
	msg.mux.plus = name[0] == '+';
	name += msg.mux.plus;
	msg.mux.len = (uint32_t)strlen(name);
	if (msg.mux.len <= sizeof(msg.mux.name))
		memcpy(msg.mux.name, name, msg.mux.len);
	return link_tell(m, &msg, MSG_MUX, -1);
}

/* It may have come to another stage, or to its end. */
static void
offer(struct master *m, uint32_t slot)
{
	struct session *x = session_at(m->sessions, slot);

	if (!x || x->talker)
		return;
	if (x->stage == STAGE_PREFIX || x->stage == STAGE_GREET)
		anteroom_again(m, x);
	else if (x->stage == STAGE_TALKER || x->stage == STAGE_LINGER)
		deliver_again(m, x);
}

/* 0: it has been told, or is no more to be told; else as link_tell. */
static int
pay_one(struct master *m, enum owed_kind kind, uint32_t number)
{
	union msg msg = { 0 };

	switch (kind) {
	case OWED_STOP:
		return link_tell(m, &msg, MSG_STOP, -1);
	case OWED_ERRLOG:
		return link_tell(m, &msg, MSG_ERRLOG, stderrs_read_fd(m->stderrs, number));
	case OWED_CONTROL:
		return m->control_fd == -1 ? 0 : link_tell(m, &msg, MSG_CONTROL, m->control_fd);
	case OWED_CLOSE:
		return pay_close(m, number);
	case OWED_LEAVE:
	case OWED_DROP:
		return pay_drop(m, number, kind == OWED_LEAVE);
	case OWED_DGRAM:
		return pay_listener(m, number);
	case OWED_NAMES:
		return pay_name(m, number);
	case OWED_OFFER:
		offer(m, number);	/* owed again if it is not to be had */
		return 0;
	case OWED_KINDS:
		break;
	}
	return 0;
}

/* As much as the link takes now, of the kinds before end.  What is left follows
 * when there is room, or soon if there is. */
static void
pay(struct master *m, enum owed_kind end)
{
	struct msg_link *link = talkproc_link(m);
	bool failed = false;
	enum owed_kind kind;
	uint32_t number;

	if (!link || m->paying)
		return;
	m->paying = true;
	for (int i = 0; i < PAY_MAX && !failed && !msg_link_busy(link) &&
	     owed_next(m->owed, &kind, &number) && kind < end; i++) {
		owed_unmark(m->owed, kind, number);
		if (pay_one(m, kind, number) == 0)
			continue;
		failed = errno == EMFILE || errno == ENOBUFS || errno == EPIPE;
		if (failed)
			owed_mark(m->owed, kind, number);
	}
	m->paying = false;
	if (!owed_any(m->owed))
		return;
	pause_all(m);
	if (!msg_link_busy(link) && !ev_timer_active(&m->pay))
		(void)ev_timer_start(&m->pay, failed ? PAY_MS : 0);
}

/* Connections are left to the loop: what follows from them is more than the callers
 * of this expect. */
static void
owe(struct master *m, enum owed_kind kind, uint32_t number)
{
	owed_mark(m->owed, kind, number);
	pay(m, OWED_OFFER);
}

static void
room(void *arg)
{
	struct master *m = arg;

	pay(m, OWED_KINDS);
	if (talkproc_ready(m) && !owed_any(m->owed) && !msg_link_busy(talkproc_link(m)))
		resume_all(m);
}

int
link_init(struct master *m)
{
	m->owed = owed_new();
	ev_timer_init(m->ev, &m->pay, room, m);
	return m->owed ? 0 : -1;
}

void
link_fini(struct master *m)
{
	if (m->owed)
		ev_timer_stop(&m->pay);
	owed_free(m->owed);
	m->owed = NULL;
}

/* What can be had by the next talker, or later by this one: behind what is owed, so
 * that none of it is passed over and each finds what it needs. */
static int
hand_over(struct master *m, const struct session *x, union msg *msg, enum msg_type type, int fd)
{
	errno = EAGAIN;
	if (!talkproc_ready(m))
		return -1;
	if (msg_link_busy(talkproc_link(m)) || (owed_any(m->owed) && !m->paying)) {
		owed_mark(m->owed, OWED_OFFER, session_slot(m->sessions, x));
		return -1;
	}
	if (link_tell(m, msg, type, fd) == 0)
		return 0;
	if (errno == EPIPE)
		errno = EAGAIN;
	return -1;
}

int
link_send_start(struct master *m)
{
	union msg msg = { 0 };

	msg.start.version = PROTO_VERSION;
	msg.start.debug = log_wants(LOGL_DEBUG);
	return link_tell(m, &msg, MSG_START, board_fd(m->board));
}

void
link_send_stop(struct master *m)
{
	/* one that isn't ready yet has not got handlers' stderr either (on_ready) */
	if (talkproc_ready(m))
		owe(m, OWED_STOP, 0);
	else
		owed_mark(m->owed, OWED_STOP, 0);
}

void
link_send_control(struct master *m)
{
	if (talkproc_ready(m))
		owe(m, OWED_CONTROL, 0);
}

void
link_send_stderr(struct master *m, uint32_t i)
{
	if (talkproc_ready(m))
		owe(m, OWED_ERRLOG, i);
}

int
link_send_connection(struct master *m, struct session *x, bool seqpacket, int fd)
{
	union msg msg = { 0 };

	msg.conn.slot = session_slot(m->sessions, x);
	msg.conn.generation = session_row(m->sessions, x)->generation;
	msg.conn.internal = x->service->conf->internal;
	msg.conn.seqpacket = seqpacket;
	if (hand_over(m, x, &msg, MSG_CONN, fd) == -1)
		return -1;
	session_talked(m->sessions, x);
	return 0;
}

void
link_send_listener(struct master *m, struct listener *l)
{
	if (talkproc_ready(m) && is_talkers(l))
		owe(m, OWED_DGRAM, l->number);
}

void
link_drop_listener(struct master *m, struct listener *l, bool leave)
{
	bool owed = owed_marked(m->owed, OWED_DROP, l->number);

	owed_unmark(m->owed, OWED_DGRAM, l->number);
	if (!l->sent && !(leave && owed))
		return;
	l->sent = false;
	if (leave)
		owed_unmark(m->owed, OWED_DROP, l->number);
	if (talkproc_ready(m))
		owe(m, leave ? OWED_LEAVE : OWED_DROP, l->number);
}

int
link_close(struct master *m, struct session *x)
{
	if (!talkproc_ready(m)) {
		errno = EPIPE;
		return -1;
	}
	if (!x->closing)
		owe(m, OWED_CLOSE, session_slot(m->sessions, x));
	x->closing = true;
	return 0;
}

int
link_send_prefix(struct master *m, struct session *x, uint32_t what, uint32_t ms)
{
	union msg msg = { .prefix = { .slot = session_slot(m->sessions, x) } };

	msg.prefix.generation = session_row(m->sessions, x)->generation;
	msg.prefix.what = what;
	msg.prefix.timeout_ms = ms;
	return hand_over(m, x, &msg, MSG_PREFIX, x->fd);
}

int
link_send_greeting(struct master *m, struct session *x, const char *text, size_t len, uint32_t ms)
{
	union msg msg = { .greet = { .slot = session_slot(m->sessions, x) } };

	msg.greet.generation = session_row(m->sessions, x)->generation;
	msg.greet.timeout_ms = ms;
	msg.greet.len = (uint32_t)len;
	memcpy(msg.greet.text, text, len);
	return hand_over(m, x, &msg, MSG_GREET, x->fd);
}

void
link_send_refusal(struct master *m, int fd, const char *text, size_t len)
{
	union msg msg = { .refuse = { .len = (uint32_t)len } };

	if (!link_ready(m))
		return;
	memcpy(msg.refuse.text, text, len);
	(void)link_tell(m, &msg, MSG_REFUSE, fd);
}

int
link_send_linger(struct master *m, struct session *x, int fd)
{
	union msg msg = { .linger = { .slot = session_slot(m->sessions, x) } };

	msg.linger.generation = session_row(m->sessions, x)->generation;
	msg.linger.timeout_ms = x->linger_ms;
	if (hand_over(m, x, &msg, MSG_LINGER, fd) == -1)
		return -1;
	session_talked(m->sessions, x);
	return 0;
}

void
link_send_names(struct master *m)
{
	if (!talkproc_ready(m))
		return;
	owed_forget(m->owed, OWED_NAMES);	/* all anew */
	for (uint32_t i = 0; i < services_rows(m->services); i++)
		if (mux_name(m, i))
			owed_mark(m->owed, OWED_NAMES, i + 1);
	owe(m, OWED_NAMES, 0);
}

void
link_lost(struct master *m)
{
	pause_all(m);
	owed_forget_all(m->owed);
	ev_timer_stop(&m->pay);
	for (uint32_t i = 0; i < listeners_rows(m->listeners); i++) {
		struct listener *l = listeners_at(m->listeners, i);

		if (l)
			l->sent = false;
	}
	for (uint32_t i = 0; i < sessions_rows(m->sessions); i++) {
		struct session *x = session_at(m->sessions, i);

		if (x && x->fd != -1 && !x->closing)
			session_returned(m->sessions, x);	/* for the next one */
		else if (x)
			session_untalked(m->sessions, x);
	}
}

static void
on_ready(struct master *m)
{
	talkproc_is_ready(m);
	for (uint32_t i = 0; i < stderrs_count(m->stderrs); i++)
		owed_mark(m->owed, OWED_ERRLOG, i);
	owed_mark(m->owed, OWED_CONTROL, 0);
	for (uint32_t i = 0; i < listeners_rows(m->listeners); i++)
		if (is_talkers(listeners_at(m->listeners, i)))
			owed_mark(m->owed, OWED_DGRAM, i);
	for (uint32_t i = 0; i < sessions_rows(m->sessions); i++)
		if (session_at(m->sessions, i))	/* offer knows which of them */
			owed_mark(m->owed, OWED_OFFER, i);
	link_send_names(m);
	room(m);
}

static void
on_ended(struct master *m, const struct msg_ended *e)
{
	struct session *x = session_find(m->sessions, e->slot, e->generation);
	struct board_counters *c;

	if (!x || !x->talker)
		return;
	c = service_counters(x->service);
	c->bytes_in += e->bytes_in;
	c->bytes_out += e->bytes_out;
	c->datagrams_in += e->datagrams_in;
	c->datagrams_out += e->datagrams_out;
	c->refused[REASON_QUEUE] += e->dropped;
	x->bytes_in = e->bytes_in;
	x->bytes_out = e->bytes_out;
	x->dropped = e->dropped;
	session_untalked(m->sessions, x);
}

static void
on_count(struct master *m, const struct msg_count *n)
{
	struct listener *l = listeners_at(m->listeners, n->listener);
	struct board_counters *c;

	if (!l || !l->service)
		return;
	c = service_counters(l->service);
	c->bytes_in += n->bytes_in;
	c->bytes_out += n->bytes_out;
	c->datagrams_in += n->datagrams_in;
	c->datagrams_out += n->datagrams_out;
	c->refused[REASON_LOOP] += n->loop;
	c->refused[REASON_QUEUE] += n->queue;
	if (n->reason == REASON_SESSION_MAX)	/* which it sees by itself: nobody has told */
		events_refuse_some(m, l->service, n->reason, n->denied);
	else if (n->reason > REASON_NONE && n->reason < REASON_MAX)
		c->refused[n->reason] += n->denied;
}

static void
receive(const union msg *msg, int *fd, void *arg)
{
	struct master *m = arg;

	(void)fd;		/* none comes up: the table says so */
	switch (msg->head.type) {
	case MSG_READY:
		on_ready(m);
		break;
	case MSG_ASK:
		ask_judge(m, &msg->ask);
		break;
	case MSG_ENDED:
		on_ended(m, &msg->ended);
		break;
	case MSG_PASSED:
		anteroom_passed(m, &msg->passed);
		break;
	case MSG_ERRLINE:
		events_stderr(m, session_find(m->sessions, msg->errline.slot,
					      msg->errline.generation), &msg->errline);
		break;
	case MSG_COUNT:
		on_count(m, &msg->count);
		break;
	}
}

static void
broken(const char *why, void *arg)
{
	talkproc_broken(arg, why);
}

struct msg_link *
link_new(struct master *m, int fd)
{
	return msg_link_new(m->ev, fd, PROTO_UP, receive, broken, room, m);
}
