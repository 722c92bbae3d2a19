/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Which services can have access lists, banners, PROXY headers, tcpmux names
 * and times, and what those resolve to.
 *
 * Times and banners of `defaults` are left out of services that they don't fit.
 * A list of who may connect is never left out: where it can't be enforced, it
 * is an error wherever it was written.
 *
 * Runs in the master, its trial child and hatchctl; called by conf_check.c.
 */
#include "config.h"

#include "conf_admit.h"

#include <string.h>

#include "conf_bytes.h"
#include "conf_field.h"
#include "conf_gate.h"
#include "listen.h"

struct shape {			/* of a service: how its clients come */
	bool stream, datagram, inet;	/* by such a listener */
	bool known;		/* false: listen was in error */
	bool connections;	/* hatchd has them, one by one */
};

static struct shape
shape_of(const struct conf_service *s)
{
	struct shape sh = { .known = s->n_listen > 0 || s->common->tcpmux };
	int i;

	for (i = 0; i < s->n_listen; i++) {
		if (listen_is_stream(s->listen[i].proto))
			sh.stream = true;
		else
			sh.datagram = true;
		if (!listen_is_unix(s->listen[i].proto))
			sh.inet = true;
	}
	sh.connections = !sh.known ||
		(!s->common->wait && (sh.stream || s->common->tcpmux));
	return sh;
}

/* Does the service have a value other than the built-in default? */
static bool
is_set(const struct conf_admit *a, const struct conf_draft *d, enum schema_id id)
{
	return !conf_field_equal(&schema[id], schema_base(&d->s, id),
				 schema_base(&a->builtin->s, id));
}

/* ... and was it given for this one? */
static bool
is_own(const struct conf_admit *a, const struct conf_draft *d, const struct conf_given *given,
       enum schema_id id)
{
	return schema_set_has(&given->set, id) && is_set(a, d, id);
}

static const char *
origin(const struct conf_given *given, enum schema_id id)
{
	return schema_set_has(&given->set, id) ? "" : " (it is from defaults)";
}

/* False: there are lists that can't be enforced. */
static bool
check_access(struct conf_admit *a, const struct conf_draft *d, const struct conf_given *given,
	     const struct shape *sh)
{
	unsigned id;
	char name[64];
	bool ok = true;

	if (!d->common.wait || !sh->stream)
		return true;
	for (id = schema_first(SCHEMA_ACCESS); id < schema_first(SCHEMA_ACCESS + 1); id++) {
		if (!is_set(a, d, id))
			continue;
		conf_check_problem(a->problems, d, given, id, "%s can't be enforced with wait = "
				   "yes and a stream listener: the handler accepts by itself%s",
				   schema_name(id, false, name), origin(given, id));
		ok = false;
	}
	return ok;
}

static bool
check_proxy(struct conf_admit *a, struct conf_draft *d, const struct conf_given *given,
	    const struct shape *sh)
{
	static const enum schema_id others[] = { SET_REQUIRED, SET_PROXY_TIMEOUT };
	size_t i;
	char name[64];

	if (d->proxy.from && !sh->connections) {
		conf_check_problem(a->problems, d, given, SET_FROM, "proxy.from needs wait = no "
				   "and a stream listener%s%s", origin(given, SET_FROM),
				   schema_set_has(&given->set, SET_FROM) ? "" :
				   "; proxy { from = { } } says that it isn't meant here");
		return false;
	}
	/* the address that was judged there was the proxy's, and what follows the line
	 * is the client's */
	if (d->proxy.from && d->common.tcpmux && d->s.internal != INTERNAL_TCPMUX) {
		conf_check_problem(a->problems, d, given, SET_FROM, "proxy.from can't be used with "
				   "tcpmux: set proxy on the service with internal = "
				   "\"tcpmux\"%s%s",
				   origin(given, SET_FROM),
				   schema_set_has(&given->set, SET_FROM) ? "" :
				   "; proxy { from = { } } says that it isn't meant here");
		return false;
	}
	if (d->proxy.from)
		return true;
	for (i = 0; i < 2 && !given->faulty; i++)
		if (schema_set_has(&given->set, others[i]))
			conf_check_problem(a->problems, d, given, others[i], "%s: proxy.from is "
					   "missing", schema_name(others[i], false, name));
	memcpy(&d->proxy, &a->builtin->proxy, sizeof(d->proxy));
	return true;
}

/* What needs connections and is only told of where it was meant. */
static void
check_connections(struct conf_admit *a, struct conf_draft *d, const struct conf_given *given,
		  const struct shape *sh)
{
	static const enum schema_id ids[] = {
		SET_FIRST_BYTE, SET_TIMEOUTS_IDLE, SET_LINGER, SET_OPEN
	};
	char name[64];
	size_t i;

	if (sh->connections)
		return;
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		if (is_own(a, d, given, ids[i]))
			conf_check_problem(a->problems, d, given, ids[i], "%s needs wait = no and "
					   "a stream listener or tcpmux",
					   schema_name(ids[i], false, name));
	d->timeouts.first_byte_ms = a->builtin->timeouts.first_byte_ms;
	d->timeouts.idle_ms = a->builtin->timeouts.idle_ms;
	d->timeouts.linger_ms = a->builtin->timeouts.linger_ms;
	d->banner.open = a->builtin->banner.open;
}

static void
check_idle(struct conf_admit *a, struct conf_draft *d, const struct conf_given *given,
	   const struct shape *sh)
{
	if (sh->inet || !sh->known || d->common.tcpmux)
		return;
	if (is_own(a, d, given, SET_TIMEOUTS_IDLE))
		conf_check_problem(a->problems, d, given, SET_TIMEOUTS_IDLE,
				   "timeouts.idle can't be seen on a UNIX socket");
	d->timeouts.idle_ms = a->builtin->timeouts.idle_ms;
}

static void
check_linger(struct conf_admit *a, struct conf_draft *d, const struct conf_given *given)
{
	if (d->s.internal == INTERNAL_NONE)
		return;
	if (is_own(a, d, given, SET_LINGER))
		conf_check_problem(a->problems, d, given, SET_LINGER,
				   "timeouts.linger can't be used with internal");
	d->timeouts.linger_ms = a->builtin->timeouts.linger_ms;
}

/* Datagrams of an internal service are no sessions. */
static void
check_total(struct conf_admit *a, struct conf_draft *d, const struct conf_given *given,
	    const struct shape *sh)
{
	if (d->s.internal == INTERNAL_NONE || sh->connections)
		return;
	if (is_own(a, d, given, SET_TOTAL))
		conf_check_problem(a->problems, d, given, SET_TOTAL, "timeouts.total can't be used "
				   "with internal and datagrams only");
	d->timeouts.total_ms = a->builtin->timeouts.total_ms;
}

/* What is said about refusing where nobody is refused. */
static void
check_refusals(struct conf_admit *a, const struct conf_draft *d, const struct conf_given *given,
	       const struct shape *sh)
{
	char name[64];

	if (d->common.wait && is_own(a, d, given, SET_WHEN_FULL))
		problems_warn(a->problems, d->s.file, given->line[SET_WHEN_FULL],
			      "service %s: %s: with wait = yes clients always wait", d->s.name,
			      schema_name(SET_WHEN_FULL, false, name));
	if (!sh->connections && is_own(a, d, given, SET_REFUSE))
		problems_warn(a->problems, d->s.file, given->line[SET_REFUSE],
			      "service %s: %s is only sent with wait = no and a stream listener or "
			      "tcpmux", d->s.name, schema_name(SET_REFUSE, false, name));
}

/* Limits that hatchd can't judge. */
static void
check_sources(struct conf_admit *a, const struct conf_draft *d, const struct conf_given *given,
	      const struct shape *sh)
{
	static const enum schema_id ids[] = { SET_PER_SOURCE, SET_RATE_PER_SOURCE };
	char name[64];
	size_t i;

	for (i = 0; i < 2 && d->common.wait && sh->stream; i++)
		if (is_own(a, d, given, ids[i]))
			problems_warn(a->problems, d->s.file, given->line[ids[i]],
				      "service %s: %s: with wait = yes the handler accepts by "
				      "itself, whoever it is", d->s.name,
				      schema_name(ids[i], false, name));
}

/* The service that has the names. */
static void
check_mux(struct conf_admit *a, const struct conf_draft *d, const struct conf_given *given)
{
	const struct conf_service *s = &d->s;
	int i;

	if (d->common.tcpmux)
		conf_check_problem(a->problems, d, given, SET_TCPMUX,
				   "tcpmux: internal = tcpmux can't be behind tcpmux itself");
	for (i = 0; i < s->n_listen; i++)
		/* of a message the rest would be lost with the line */
		if (!listen_is_stream(s->listen[i].proto) ||
		    s->listen[i].proto == CONF_UNIX_SEQPACKET)
			problems_add(a->problems, s->file, s->listen[i].line, "service %s: listen: "
				     "'%s': internal = tcpmux needs streams of bytes", s->name,
				     s->listen[i].text);
	if (s->enabled)
		a->has_tcpmux = true;
}

/* A service that has a name there. */
static void
check_mux_name(struct conf_admit *a, const struct conf_draft *d, const struct conf_given *given,
	       const struct shape *sh)
{
	const struct conf_service *s = &d->s;
	const char *name = d->common.tcpmux;
	struct conf_seen seen = { SEEN_MUX, name, s->name, s->file, given->line[SET_TCPMUX] };
	const struct conf_seen *first;

	if (!name)
		return;
	if (d->common.wait)
		conf_check_problem(a->problems, d, given, SET_TCPMUX, "tcpmux needs wait = no");
	if (sh->datagram && !sh->stream)
		conf_check_problem(a->problems, d, given, SET_TCPMUX,
				   "tcpmux can't be used with datagram listeners only");
	if (!s->enabled)
		return;
	if (*name == '+')
		seen.text = arena_string(a->arena, name + 1);
	first = conf_seen_before(a->seen, &seen);
	if (first)
		conf_check_problem(a->problems, d, given, SET_TCPMUX, "tcpmux: '%s' is taken by "
				   "service %s, at %s:%d", seen.text, first->service, first->file,
				   first->line);
	if (a->mux_service)
		return;
	a->mux_service = s->name;
	a->mux_file = s->file;
	a->mux_line = given->line[SET_TCPMUX];
}

/* What a banner stands for.  A text was checked when it was set; a file is read
 * when the service is one that is to run. */
static const struct conf_bytes *
banner_bytes(struct conf_admit *a, const struct conf_draft *d, const struct conf_given *given,
	     enum schema_id id, const char *text, struct conf_admit_text *last)
{
	const char *path = text ? conf_bytes_path(text) : NULL, *why;
	char bytes[PROTO_TEXT], name[64];
	size_t len = 0;

	if (!text || (path && (!d->s.enabled || !a->env->lookup)))
		return NULL;
	if (text == last->text)
		return last->bytes;
	last->text = text;
	last->bytes = NULL;
	why = path ? conf_bytes_read(path, bytes, &len) : conf_bytes_parse(text, bytes, &len);
	if (!why) {
		last->bytes = conf_bytes_intern(a->arena, bytes, len);
		if (!last->bytes)
			why = "out of memory";
	}
	if (why)
		conf_check_problem(a->problems, d, given, id, "%s: %s: '%s'%s",
				   schema_name(id, false, name), why, path ? path : text,
				   origin(given, id));
	return last->bytes;
}

/* What access and proxy.from say; equal to the last service's most likely. */
static void
make_gates(struct conf_admit *a, struct conf_draft *d)
{
	bool lookup = a->env->lookup;

	if (memcmp(&d->access, &a->access, sizeof(a->access)) != 0) {
		memcpy(&a->access, &d->access, sizeof(a->access));
		a->gate = NULL;
		(void)conf_gate_access(a->gates, &d->access, d->s.name, lookup, a->problems,
				       &a->gate);
	}
	if (d->proxy.from != a->from) {
		a->from = d->proxy.from;
		a->proxy_gate = NULL;
		(void)conf_gate_list(a->gates, d->proxy.from, d->s.name, lookup, a->problems,
				     &a->proxy_gate);
	}
	d->common.gate = a->gate;
	d->common.proxy_gate = a->proxy_gate;
}

void
conf_admit_check(struct conf_admit *a, struct conf_draft *d, const struct conf_given *given)
{
	struct shape sh = shape_of(&d->s);
	bool access, proxy;

	if (d->s.internal == INTERNAL_TCPMUX)
		check_mux(a, d, given);
	else
		check_mux_name(a, d, given, &sh);
	access = check_access(a, d, given, &sh);
	proxy = check_proxy(a, d, given, &sh);
	check_connections(a, d, given, &sh);
	check_idle(a, d, given, &sh);
	check_linger(a, d, given);
	check_total(a, d, given, &sh);
	check_sources(a, d, given, &sh);
	check_refusals(a, d, given, &sh);
	d->banner.open_bytes = banner_bytes(a, d, given, SET_OPEN, d->banner.open, &a->open);
	d->banner.refuse_bytes = banner_bytes(a, d, given, SET_REFUSE, d->banner.refuse,
					      &a->refuse);
	if (d->s.enabled && access && proxy)
		make_gates(a, d);
}

void
conf_admit_end(struct conf_admit *a)
{
	if (a->mux_service && !a->has_tcpmux)
		problems_warn(a->problems, a->mux_file, a->mux_line, "service %s: tcpmux: there is "
			      "no service with internal = tcpmux", a->mux_service);
}
