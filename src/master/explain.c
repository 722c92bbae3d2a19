/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Explains a verdict, by the same gates that the judge asks.  Needs no daemon:
 * runs in a process of its own, called by main.c instead of everything else.
 * What only a running daemon knows, how many sessions and tokens there are, is
 * told as the limit it has.
 */
#include "config.h"

#include "explain.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "conf_gate.h"
#include "gate.h"
#include "listen.h"
#include "load.h"
#include "question.h"
#include "schema.h"
#include "srctab.h"
#include "units.h"

#define NEAR 2			/* letters by which a name may be mistaken */
#define RULE_TEXT 512

struct answer {
	const struct conf_service *service;
	const struct gate *gate, *proxy_gate;
	struct addr peer;
	int64_t now_s;
	struct gate_load load;	/* if the gate wants it */
	enum reason verdict;
	bool loops;		/* its datagrams would get no answer */
};

static int
wrong(const char *text, const char *why)
{
	(void)fprintf(stderr, "hatchd: --explain: %s: %s\n", text, why);
	return EXPLAIN_ERROR;
}

int
explain_check(const struct options *o)
{
	const char *why;
	struct addr peer;
	int64_t t;

	why = question_address(o->explain_address, &peer);
	if (why)
		return wrong(o->explain_address, why);
	why = o->explain_time ? question_time(o->explain_time, &t) : NULL;
	return why ? wrong(o->explain_time, why) : 0;
}

static const struct conf_service *
find_service(const struct conf *c, const char *name)
{
	const struct conf_service *near = NULL;
	size_t len = strlen(name), n;
	int best = NEAR + 1, d;

	for (int i = 0; i < c->n_services; i++) {
		const struct conf_service *s = &c->services[i];

		if (strcmp(s->name, name) == 0)
			return s;
		n = strlen(s->name);
		d = n <= SCHEMA_DISTANCE && len <= SCHEMA_DISTANCE ?
			schema_distance(name, len, s->name, n) : best;
		if (d < best && d < (int)len) {
			best = d;
			near = s;
		}
	}
	(void)fprintf(stderr, "hatchd: --explain: there is no service '%s'%s%s%s\n", name,
		      near ? ": did you mean '" : "", near ? near->name : "", near ? "'?" : "");
	return NULL;
}

static const char *
yes_or_verdict(enum reason why, char *buf, size_t size)
{
	if (why == REASON_NONE)
		return "let in";
	(void)snprintf(buf, size, "refused (%s)", reason_name(why));
	return buf;
}

static void
print_rule(const char *key, const struct gate *g, const struct conf_access *of,
	   const struct addr *peer, const char *allow, const char *deny)
{
	char text[RULE_TEXT];
	struct conf_rule rule;
	uint32_t tag;
	bool let_in;

	if (!g || !g->acl) {
		(void)printf("%s: no access list\n", key);
		return;
	}
	let_in = acl_judge(g->acl, peer, &tag);
	if (conf_gate_rule(of, tag, &rule, text, sizeof(text)))
		(void)printf("%s: %s \"%s\" at %s:%d\n", key, let_in ? allow : deny, rule.text,
			     rule.file, rule.line);
	else
		(void)printf("%s: no rule matches%s\n", key,
			     of->allow ? ", and there is an allow list" : "");
}

static void
print_hours(const struct answer *a)
{
	const struct hours *h = a->gate ? a->gate->hours : NULL;
	int64_t change = h ? hours_next_change(h, a->now_s) : INT64_MAX;
	bool open = !h || hours_open(h, a->now_s);
	char buf[QUESTION_TIME];

	if (change == INT64_MAX)
		(void)printf("hours: %s\n", open ? "always" : "never");
	else
		(void)printf("hours: %s until %s\n", open ? "open" : "closed",
			     question_print_time(change, buf));
}

/* One line for each that is limited. */
static void
print_busy(const char *key, uint32_t value, uint32_t max, const char *unit)
{
	if (max == 0)
		return;
	if (value == GATE_UNKNOWN)
		(void)printf("%s: not known here, at most %u.%02u%s\n", key, max / 100, max % 100,
			     unit);
	else
		(void)printf("%s: %u.%02u%s of at most %u.%02u%s (now)\n", key, value / 100,
			     value % 100, unit, max / 100, max % 100, unit);
}

static void
print_load(const struct answer *a)
{
	static const char *const names[GATE_PRESSURES] = {
		[GATE_CPU] = "pressure cpu", [GATE_MEMORY] = "pressure memory",
		[GATE_IO] = "pressure io",
	};

	if (!gate_wants_load(a->gate)) {
		(void)printf("load: any\n");
		return;
	}
	print_busy("load", a->load.load, a->gate->max_load, "");
	for (int i = 0; i < GATE_PRESSURES; i++)
		print_busy(names[i], a->load.pressure[i], a->gate->max_pressure[i], "%");
}

static const char *
at_once(uint32_t n, char *buf, size_t size)
{
	if (n == 0)
		return "any number at once";
	(void)snprintf(buf, size, "at most %" PRIu32 " at once", n);
	return buf;
}

static const char *
rate(const struct limit_rate *r, char *buf, size_t size)
{
	char duration[32];

	buf[0] = '\0';
	if (r->n > 0)
		(void)snprintf(buf, size, ", %" PRIu32 " in %s", r->n,
			       units_print_duration(r->per_ms, duration));
	return buf;
}

static bool
has_stream(const struct conf_service *s)
{
	for (int i = 0; i < s->n_listen; i++)
		if (listen_is_stream(s->listen[i].proto))
			return true;
	return false;
}

static void
print_max(const struct conf *c)
{
	(void)printf("; max_processes %" PRIu32 "%s\n", c->max_processes,
		     c->max_processes ? "" : " (no limit)");
}

/* Of a handler that accepts only its start is known. */
static void
print_wait_limits(const struct answer *a, const struct conf *c)
{
	char buf[64];

	(void)printf("limits: wait = yes: one handler for each address of the service%s, which "
		     "accepts by itself", rate(&a->service->common->limits->rate, buf,
					       sizeof(buf)));
	print_max(c);
}

static void
print_limits(const struct answer *a, const struct conf *c)
{
	const struct conf_limits *l = a->service->common->limits;
	struct addr key = srctab_key(&a->peer, l->source_prefix4, l->source_prefix6);
	char source[ADDR_STRLEN], one[64], all[64], rate_one[64], rate_all[64], bits[16] = "";

	if (a->service->common->wait && has_stream(a->service)) {
		print_wait_limits(a, c);
		return;
	}
	if (key.family == AF_UNIX) {
		(void)snprintf(source, sizeof(source), "uid %" PRIu32, key.cred.uid);
	} else {
		(void)addr_format_ip(&key, source, sizeof(source));
		(void)snprintf(bits, sizeof(bits), "/%u", key.family == AF_INET ?
			       l->source_prefix4 : l->source_prefix6);
	}
	(void)printf("limits: source %s%s: %s%s; service: %s%s (then %s)",
		     source, bits, at_once(l->per_source, one, sizeof(one)),
		     rate(&l->rate_per_source, rate_one, sizeof(rate_one)),
		     at_once(l->instances, all, sizeof(all)),
		     rate(&l->rate, rate_all, sizeof(rate_all)),
		     l->when_full == CONF_QUEUE || a->service->common->wait ? "queued" :
		     "refused");
	print_max(c);
}

static void
print_timeouts(const struct conf_timeouts *t)
{
	const struct { const char *name; uint32_t ms; } list[] = {
		{ "first_byte", t->first_byte_ms }, { "idle", t->idle_ms },
		{ "total", t->total_ms }, { "stop", t->stop_ms }, { "linger", t->linger_ms },
	};
	const char *before = "timeouts: ";
	char buf[32];

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		if (list[i].ms == 0)
			continue;
		(void)printf("%s%s %s", before, list[i].name,
			     units_print_duration(list[i].ms, buf));
		before = ", ";
	}
	if (before[0] == ',')
		(void)printf("\n");
}

static bool
is_proxy(const struct answer *a)
{
	return a->proxy_gate &&
		gate_judge(a->proxy_gate, &a->peer, a->now_s, NULL, NULL) == REASON_NONE;
}

static void
print_proxy(const struct answer *a)
{
	const struct conf_proxy *proxy = a->service->common->proxy;
	const struct conf_access from = { .allow = proxy ? proxy->from : NULL };

	if (!a->proxy_gate)
		return;
	if (!is_proxy(a)) {
		(void)printf("proxy: not in proxy.from%s\n",
			     proxy->required ? ", and nobody else may connect" : "");
		return;
	}
	(void)printf("proxy: a PROXY header is read; the address that it conveys is judged in the "
		     "place of this one\n");
	print_rule("proxy rule", a->proxy_gate, &from, &a->peer, "from", "from");
}

static void
print_peer(const struct addr *peer)
{
	char buf[ADDR_STRLEN];

	if (peer->port) {
		(void)addr_format(peer, buf, sizeof(buf));
		(void)printf("peer: %s\n", buf);
	} else if (peer->family != AF_UNIX) {
		(void)addr_format_ip(peer, buf, sizeof(buf));
		(void)printf("peer: %s\n", buf);
	} else if (peer->cred.gid == UINT32_MAX) {
		(void)printf("peer: unix:uid=%" PRIu32 "\n", peer->cred.uid);
	} else {
		(void)printf("peer: unix:uid=%" PRIu32 ",gid=%" PRIu32 "\n", peer->cred.uid,
			     peer->cred.gid);
	}
}

static bool
has_family(const struct conf_service *s, bool unix_socket)
{
	for (int i = 0; i < s->n_listen; i++)
		if (listen_is_unix(s->listen[i].proto) == unix_socket)
			return true;
	return s->n_listen == 0;	/* by tcpmux only */
}

static void
judge(struct answer *a)
{
	struct load *load = load_new();
	struct timespec now;

	a->load = (struct gate_load){
		GATE_UNKNOWN, { GATE_UNKNOWN, GATE_UNKNOWN, GATE_UNKNOWN },
	};
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if (load && gate_wants_load(a->gate))
		a->load = *load_get(load, (int64_t)now.tv_sec * 1000);
	load_free(load);
	if (a->proxy_gate && a->service->common->proxy->required && !is_proxy(a))
		a->verdict = REASON_PROXY;
	else
		a->verdict = gate_judge(a->gate, &a->peer, a->now_s, &a->load, NULL);
}

/* By tcpmux a client comes to another service first; which of them there are. */
static const struct conf_service *
next_mux(const struct conf *c, const struct conf_service *after, sa_family_t family)
{
	const struct conf_service *s = after ? after + 1 : c->services;

	for (; s < c->services + c->n_services; s++)
		if (s->enabled && s->internal == INTERNAL_TCPMUX &&
		    has_family(s, family == AF_UNIX))
			return s;
	return NULL;
}

static struct answer
judge_mux(const struct answer *a, const struct conf_service *s)
{
	struct answer mux = {
		.service = s, .gate = s->common->gate, .proxy_gate = s->common->proxy_gate,
		.peer = a->peer, .now_s = a->now_s,
	};

	judge(&mux);
	return mux;
}

static void
print_muxes(const struct answer *a, const struct conf *c)
{
	static const struct conf_access nothing;
	const struct conf_service *s = NULL;
	const struct conf_access *access;
	bool some = false;
	char buf[64];

	if (!a->service->common->tcpmux)
		return;
	while ((s = next_mux(c, s, a->peer.family))) {
		struct answer mux = judge_mux(a, s);

		access = s->common->access;
		(void)printf("tcpmux: by service %s (%s:%d), there %s%s\n", s->name, s->file,
			     s->line, yes_or_verdict(mux.verdict, buf, sizeof(buf)),
			     is_proxy(&mux) ? ", unless its PROXY header conveys another address" :
			     "");
		print_rule("tcpmux rule", mux.gate, access ? access : &nothing, &a->peer, "allow",
			   "deny");
		some = true;
	}
	if (!some)
		(void)printf("note: no service with internal = tcpmux is enabled that such a "
			     "client can reach\n");
}

static void
print_answer(const struct answer *a, const struct options *o, const struct conf *c)
{
	static const struct conf_access nothing;
	const struct conf_access *access = a->service->common->access;
	char buf[64];

	(void)printf("service: %s (%s:%d)%s\n", a->service->name, a->service->file,
		     a->service->line, a->service->enabled ? "" : ", not enabled");
	print_peer(&a->peer);
	if (o->explain_time)
		(void)printf("time: %s\n", question_print_time(a->now_s, buf));
	(void)printf("verdict: %s%s\n", yes_or_verdict(a->verdict, buf, sizeof(buf)),
		     is_proxy(a) ? ", unless its PROXY header conveys another address" : "");
	print_rule("rule", a->gate, access ? access : &nothing, &a->peer, "allow", "deny");
	print_hours(a);
	print_load(a);
	print_limits(a, c);
	print_timeouts(a->service->common->timeouts);
	print_proxy(a);
	print_muxes(a, c);
	if (a->loops && has_stream(a->service))
		(void)printf("note: a datagram from this port gets no answer (%s)\n",
			     reason_name(REASON_LOOP));
	if (!has_family(a->service, a->peer.family == AF_UNIX))
		(void)printf("note: the service has no %s socket\n",
			     a->peer.family == AF_UNIX ? "UNIX" : "internet");
}

static void
print_problem(bool warning, const char *text, void *arg)
{
	(void)arg;
	if (!warning)
		(void)fprintf(stderr, "%s\n", text);
}

/* A service that is not enabled has no gates yet. */
static bool
make_gates(struct answer *a, struct conf_gates *g)
{
	const struct conf_common *c = a->service->common;
	struct problems *p = g ? problems_new() : NULL;
	bool ok = p && conf_gate_access(g, c->access, a->service->name, true, p, &a->gate) &&
		conf_gate_list(g, c->proxy ? c->proxy->from : NULL, a->service->name, true, p,
			       &a->proxy_gate);

	if (p)
		problems_each(p, print_problem, NULL);
	problems_free(p);
	return ok;
}

/* port 0: any. */
static bool
has_udp(const struct conf_service *s, uint16_t port)
{
	for (const struct conf_listen *l = s->listen; l < s->listen + s->n_listen; l++)
		if (!listen_is_unix(l->proto) && !listen_is_stream(l->proto) &&
		    (port == 0 || (port >= l->port && port <= l->port_last)))
			return true;
	return false;
}

/* Whether an answer to this port could be answered for ever: it is one of the
 * system's, or served here. */
static bool
could_loop(const struct answer *a, const struct conf *c)
{
	uint16_t port = a->peer.port;

	if (a->service->internal == INTERNAL_NONE || a->peer.family == AF_UNIX || port == 0 ||
	    !has_udp(a->service, 0))
		return false;
	for (int i = 0; i < c->n_services; i++)
		if (c->services[i].enabled && has_udp(&c->services[i], port))
			return true;
	return port < IPPORT_RESERVED;
}

/* What is decided before the service's own gate is asked. */
static void
judge_way(struct answer *a, const struct conf *c)
{
	const struct conf_service *s = a->service, *mux = NULL;
	enum reason why = REASON_NONE;

	a->loops = could_loop(a, c);
	if (a->loops && !has_stream(s))
		a->verdict = REASON_LOOP;
	if (s->n_listen > 0 || a->verdict != REASON_NONE)
		return;
	while ((mux = next_mux(c, mux, a->peer.family))) {
		why = judge_mux(a, mux).verdict;
		if (why == REASON_NONE)
			return;
	}
	a->verdict = why;
}

int
explain_run(const struct options *o, const struct conf *c)
{
	struct answer a = { .service = find_service(c, o->explain), .now_s = (int64_t)time(NULL) };
	struct conf_gates *own = NULL;
	int code = EXPLAIN_ERROR;

	if (!a.service || question_address(o->explain_address, &a.peer) ||
	    (o->explain_time && question_time(o->explain_time, &a.now_s)))
		return EXPLAIN_ERROR;
	a.gate = a.service->common->gate;
	a.proxy_gate = a.service->common->proxy_gate;
	if (!a.service->enabled)
		own = conf_gates_new();
	if (a.service->enabled || make_gates(&a, own)) {
		judge(&a);
		judge_way(&a, c);
		print_answer(&a, o, c);
		code = a.verdict == REASON_NONE ? EXPLAIN_LET_IN : EXPLAIN_REFUSED;
	}
	conf_gates_free(own);
	return fflush(stdout) == EOF ? EXPLAIN_ERROR : code;
}
