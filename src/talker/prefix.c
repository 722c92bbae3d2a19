/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Reading what comes before the service's own bytes; talker.  Fed by talker.c,
 * a visit (visit.c) each.
 *
 * Not one byte of what follows may be taken out of the socket, since the
 * service reads on there.  So what has come is looked at first (MSG_PEEK), and
 * then just that is read which certainly belongs here.  An unfinished header is
 * read, too: left in the socket, it would wake us for ever.
 */
#include "config.h"

#include "prefix.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"
#include "muxline.h"
#include "muxtab.h"
#include "proxyhdr.h"
#include "text.h"

enum {
	ROUNDS = 8,		/* reads in a turn: others want theirs */
	LOOK = PROXYHDR_LOOK > MUXLINE_LOOK ? PROXYHDR_LOOK : MUXLINE_LOOK,
};

enum state { MORE, DONE, BAD };

struct prefix {
	struct visit visit;		/* first: see prefix_of */
	const struct prefixes *all;
	uint8_t what;			/* PREFIX_... */
	bool known;			/* what it says; the rest is only to be read */
	uint8_t have;			/* bytes of it in head */
	uint8_t name_len;		/* tcpmux */
	uint32_t left;			/* known: bytes that are still to be read */
	char name[PROTO_MUX_NAME];
	unsigned char head[LOOK];
};

static struct prefix *
prefix_of(struct visit *v)
{
	return (struct prefix *)v;
}

/* What it says */

static enum state
parse_proxy(struct prefix *p, size_t len)
{
	struct msg_passed *answer = &p->visit.answer;
	struct proxyhdr h;

	switch (proxyhdr_parse(p->head, len, &h)) {
	case PROXYHDR_MORE:
		return MORE;
	case PROXYHDR_BAD:
		return BAD;
	case PROXYHDR_DONE:
		break;
	}
	p->left = (uint32_t)(h.len - p->have);
	answer->result = h.own ? PASSED_OWN : PASSED_OK;
	answer->peer = h.peer;
	answer->local = h.local;
	return DONE;
}

static enum state
parse_mux(struct prefix *p, size_t len)
{
	struct muxline line;

	switch (muxline_parse(p->head, len, &line)) {
	case MUXLINE_MORE:
		return MORE;
	case MUXLINE_BAD:
		return BAD;
	case MUXLINE_DONE:
		break;
	}
	p->left = (uint32_t)(line.len - p->have);
	p->name_len = (uint8_t)line.name_len;
	memcpy(p->name, line.name, line.name_len);
	return DONE;
}

/* What follows from it; these end the visit */

static void
say(struct prefix *p, const char *text, enum passed result)
{
	visit_say(&p->visit, text, strlen(text), NULL, result, true);
}

static void
bad(struct prefix *p)
{
	if (p->what == PREFIX_TCPMUX)
		say(p, "-Bad request\r\n", PASSED_BAD);
	else
		visit_pass(&p->visit, PASSED_BAD);
}

static void
find_service(struct prefix *p)
{
	struct msg_passed *answer = &p->visit.answer;
	struct text *help;

	if (p->name_len == 4 && memcmp(p->name, "help", 4) == 0) {
		help = muxtab_help(p->all->mux);
		if (help == NULL)
			visit_pass(&p->visit, PASSED_ERROR);
		else
			visit_say(&p->visit, help->bytes, help->len, help, PASSED_DONE, true);
	} else if (muxtab_find(p->all->mux, p->name, p->name_len, &answer->service,
			       &answer->plus)) {
		visit_pass(&p->visit, PASSED_OK);
	} else {
		say(p, "-Service not available\r\n", PASSED_UNKNOWN);
	}
}

static void
complete(struct prefix *p)
{
	if (p->what == PREFIX_TCPMUX)
		find_service(p);
	else
		visit_pass(&p->visit, (enum passed)p->visit.answer.result);
}

/* Reading */

/* Bytes that were read, or seen with MSG_PEEK; -1: none now; -2: p is gone. */
static ssize_t
receive(struct prefix *p, void *buf, size_t size, int flags)
{
	ssize_t n = recv(p->visit.fd, buf, size, MSG_DONTWAIT | flags);

	if (n > 0)
		return n;
	if (n < 0)
		return visit_may_retry(&p->visit, errno) ? -1 : -2;
	visit_pass(&p->visit, PASSED_EOF);
	return -2;
}

/* Looks at what has come, and reads it if all of it belongs to the header; how
 * much there was, or as receive. */
static ssize_t
look(struct prefix *p)
{
	unsigned char *at = p->head + p->have;
	ssize_t n = receive(p, at, sizeof p->head - p->have, MSG_PEEK);
	enum state s;

	if (n < 0)
		return n;
	s = p->what == PREFIX_TCPMUX ? parse_mux(p, p->have + (size_t)n)
				     : parse_proxy(p, p->have + (size_t)n);
	switch (s) {
	case MORE:
		n = receive(p, at, (size_t)n, 0);
		if (n > 0)
			p->have = (uint8_t)(p->have + n);
		return n;
	case DONE:
		p->known = true;
		return n;
	case BAD:
		break;
	}
	bad(p);
	return -2;
}

/* Reads what is left and has no meaning any more. */
static ssize_t
skip(struct prefix *p)
{
	const struct scratch *s = p->visit.all->scratch;
	ssize_t n = receive(p, s->bytes, p->left < s->size ? p->left : s->size, 0);

	if (n > 0)
		p->left -= (uint32_t)n;
	return n;
}

static void
on_readable(struct visit *v)
{
	struct prefix *p = prefix_of(v);

	for (int i = 0; i < ROUNDS; i++) {
		ssize_t n = p->known ? skip(p) : look(p);

		if (n == -2)
			return;
		if (n == -1)
			break;
		if (p->known && p->left == 0) {
			complete(p);
			return;
		}
	}
	(void)visit_watch(v, EV_IN);	/* false: it is gone */
}

int
prefix_read(const struct prefixes *all, const struct msg_prefix *m, int fd)
{
	struct visit *v;
	struct prefix *p;

	if ((m->what != PREFIX_PROXY && m->what != PREFIX_TCPMUX) || m->timeout_ms == 0) {
		fd_close(&fd);
		return -1;
	}
	if (visit_begin(&all->visits, sizeof *p, m->slot, m->generation, m->timeout_ms, fd,
			on_readable, &v) < 0)
		return -1;
	if (v == NULL)
		return 0;
	p = prefix_of(v);
	p->all = all;
	p->what = (uint8_t)m->what;
	on_readable(v);		/* often it is there already */
	return 0;
}

/* Greetings */

int
prefix_greet(const struct prefixes *all, const struct msg_greet *m, int fd)
{
	struct visit *v;

	if (m->timeout_ms == 0 || m->len == 0 || m->len > PROTO_TEXT) {
		fd_close(&fd);
		return -1;
	}
	if (visit_begin(&all->visits, sizeof *v, m->slot, m->generation, m->timeout_ms, fd,
			NULL, &v) < 0)
		return -1;
	if (v != NULL)
		visit_say(v, m->text, m->len, NULL, PASSED_OK, false);
	return 0;
}
