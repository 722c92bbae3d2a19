/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The switch from one configuration to the next.  Runs in the master, in one
 * turn of the loop; reload.c calls it with a configuration that has loaded.
 *
 * The order: each new service claims the old listeners that have the same
 * identity; what nobody had is bound; the sockets that stay are set up anew; a
 * failure until here is undone without trace.  Then services change over to their
 * new settings, and what nobody has claimed is closed.
 */
#include "config.h"

#include "swap.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "anteroom.h"
#include "bind.h"
#include "claim.h"
#include "conf_diff.h"
#include "fd.h"
#include "link.h"
#include "listener.h"
#include "log.h"
#include "master.h"
#include "service.h"
#include "readmit.h"
#include "setup.h"
#include "srctab.h"

struct part {			/* a service of the new configuration */
	const struct conf_service *conf;
	const struct plan *plan;
	struct service *service;	/* that runs under this name; or NULL */
	char changed[128];	/* the settings in which it differs */
	int n;
	struct bind_target *targets;
	struct listener **listeners;	/* claimed or new, one for each target */
	int applied;		/* to the first so many of them its settings */
};

struct swap {
	struct master *master;
	struct conf *conf;
	struct names *names;
	struct plans *plans;
	struct problems *problems;
	struct swap_result *result;
	struct part *parts;
	int n;
	struct claims *claims;
	struct readmit *readmit;
	struct setup_control control;
	uint32_t rows;			/* listeners before this began */
};

static int
prepare_part(struct swap *w, struct part *p)
{
	const struct conf_listen *at;
	const char *why;

	p->service = claim_service(w->claims, p->conf->name);
	if (p->service)
		(void)conf_diff_service(p->service->conf, p->conf, p->changed, sizeof(p->changed));
	p->n = bind_targets(p->conf, w->names, &p->targets, &why, &at);
	if (p->n == -1) {
		p->n = 0;
		setup_explain_targets(w->problems, p->conf, at, why);
		return 0;
	}
	p->listeners = calloc((size_t)p->n + 1, sizeof(struct listener *));
	if (!p->listeners)
		return -1;
	for (int i = 0; i < p->n; i++)
		p->listeners[i] = claim_listener(w->claims, &p->targets[i], p->conf->name);
	return 0;
}

static int
prepare(struct swap *w)
{
	int k = 0;

	w->parts = calloc((size_t)w->conf->n_services + 1, sizeof(*w->parts));
	if (!w->parts)
		return -1;
	for (int i = 0; i < w->conf->n_services; i++) {
		if (!w->conf->services[i].enabled)
			continue;
		w->parts[k].conf = &w->conf->services[i];
		w->parts[k].plan = plans_get(w->plans, i);
		w->n = k + 1;
		if (prepare_part(w, &w->parts[k++]) == -1)
			return -1;
	}
	return 0;
}

/* Whether an old socket that is going to be closed is what keeps us from
 * binding a new one: the same port at all addresses or at one, the same path
 * with another type. */
static bool
in_the_way(const struct bind_target *old, const struct bind_target *new)
{
	static const uint8_t any[16];

	if (old->path || new->path)
		return old->path && new->path && strcmp(old->path, new->path) == 0;
	return old->type == new->type && old->addr.family == new->addr.family &&
		old->addr.port == new->addr.port && old->addr.port != 0 &&
		(memcmp(old->addr.ip, new->addr.ip, 16) == 0 ||
		 memcmp(old->addr.ip, any, 16) == 0 || memcmp(new->addr.ip, any, 16) == 0);
}

/* Lets all such sockets give way; they serve on until the switch, or take their
 * address back. */
static bool
make_way(struct swap *w, const struct bind_target *t)
{
	bool any = false;

	for (uint32_t i = 0; i < w->rows; i++) {
		struct listener *l = listeners_at(w->master->listeners, i);

		if (!l || l->fd == -1 || claim_is_taken(w->claims, i) || !in_the_way(&l->target, t))
			continue;
		any = l->gave_way || listener_give_way(l) || any;
	}
	return any;
}

static bool
note_busy(struct swap_result *r, const struct conf_service *s, const struct bind_target *t,
	  const char *step)
{
	struct swap_busy *b = &r->busy[r->n_busy];

	if (r->n_busy == SWAP_BUSY || !bind_target_copy(&b->target, t)) {
		errno = EADDRINUSE;
		return false;
	}
	b->service = s;
	b->step = step;
	r->n_busy++;
	return true;
}

void
swap_result_fini(struct swap_result *r)
{
	while (r->n_busy > 0)
		bind_target_fini(&r->busy[--r->n_busy].target);
}

static int
bind_new(struct swap *w, struct part *p, int i)
{
	struct bind_target *t = &p->targets[i];
	uint16_t before = i > 0 && p->listeners[i - 1] ? p->listeners[i - 1]->port : 0;
	struct addr local;
	const char *step;
	int fd = setup_bind(p->targets, i, p->conf, before, &local, &step);

	if (fd == -1 && errno == EADDRINUSE && make_way(w, t)) {
		t->share = true;
		fd = bind_open(t, p->conf, &local, &step);
		t->share = false;
	}
	if (fd == -1 && t->optional && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
		return 0;
	if (fd == -1) {
		if (errno != EADDRINUSE || !note_busy(w->result, p->conf, t, step))
			setup_explain(w->problems, p->conf, t, step, errno, 0);
		return 0;
	}
	p->listeners[i] = listener_new(w->master->listeners, t, fd, local.port);
	if (!p->listeners[i])
		return -1;
	p->listeners[i]->fresh = true;
	return 0;
}

static int
bind_all(struct swap *w)
{
	for (int k = 0; k < w->n; k++)
		for (int i = 0; i < w->parts[k].n; i++)
			if (!w->parts[k].listeners[i] && bind_new(w, &w->parts[k], i) == -1)
				return -1;
	return problems_count(w->problems) + w->result->n_busy > 0 ? -1 : 0;
}

/* Whether a listener that stays serves something else from now on. */
static bool
differs(const struct part *p, const struct listener *l)
{
	return l->service != p->service || p->changed[0] != '\0';
}

static bool
is_applied(const struct part *p, int i)
{
	const struct listener *l = p->listeners[i];

	return l && !l->fresh && l->fd != -1 && differs(p, l);
}

/* What has changed of the settings is applied to the sockets that stay. */
static int
apply_all(struct swap *w)
{
	const char *step;

	for (int k = 0; k < w->n; k++) {
		struct part *p = &w->parts[k];

		for (int i = 0; i < p->n; i++) {
			struct listener *l = p->listeners[i];

			p->applied = i + 1;
			if (is_applied(p, i) && bind_apply(l->fd, &p->targets[i], p->conf,
							   l->service->conf, &step) == -1)
				setup_explain(w->problems, p->conf, &p->targets[i], step, errno, 0);
		}
	}
	return problems_count(w->problems) > 0 ? -1 : 0;
}

static void
undo_apply(const struct part *p)
{
	const char *step;

	for (int i = 0; i < p->applied; i++) {
		struct listener *l = p->listeners[i];

		if (is_applied(p, i) && bind_apply(l->fd, &l->target, l->service->conf, p->conf,
						   &step) == -1)
			log_warn("service %s: its socket keeps the new %s",
				 service_name(l->service), step);
	}
}

/* Its path may be that of a service that goes. */
static int
bind_control(struct swap *w)
{
	const struct bind_target t = {
		.addr = { .family = AF_UNIX }, .path = (char *)w->conf->control,
	};
	int r = setup_control_open(w->master, w->conf, &w->control);

	if (r == -1 && errno == EADDRINUSE && make_way(w, &t))
		r = setup_control_open(w->master, w->conf, &w->control);
	if (r == -1)
		setup_control_explain(w->problems, w->conf, &w->control, errno);
	return r;
}

/* Back to where we were. */
static void
undo(struct swap *w)
{
	struct master *m = w->master;

	setup_control_undo(&w->control);

	for (int k = 0; k < w->n; k++)
		undo_apply(&w->parts[k]);
	for (int k = 0; k < w->n; k++)
		for (int i = 0; i < w->parts[k].n; i++) {
			struct listener *l = w->parts[k].listeners[i];

			if (l && l->fresh)
				listener_free(m->listeners, l, true);
		}
	for (uint32_t i = 0; i < w->rows; i++) {
		struct listener *l = listeners_at(m->listeners, i);

		if (l && l->gave_way)
			listener_take_back(l);
	}
}

/* A listener that stays: the talker is told what it has to know. */
static void
keep_listener(struct part *p, struct listener *l, const struct bind_target *t)
{
	/* what may differ without being another one */
	l->target.line = t->line;
	l->target.optional = t->optional;
	l->target.literal = t->literal;
	if (!differs(p, l))
		return;
	if (p->conf->common->wait)	/* what comes is the handler's alone */
		link_drop_listener(l->service->master, l, true);
	listener_detach(l);
	listener_attach(l, p->service);
}

static void
switch_part(struct part *p)
{
	if (p->service)
		service_update(p->service, p->conf, p->plan);
	for (int i = 0; i < p->n; i++) {
		struct listener *l = p->listeners[i];

		if (!l)
			continue;
		if (!l->fresh) {
			keep_listener(p, l, &p->targets[i]);
			continue;
		}
		listener_attach(l, p->service);
		setup_tell_port(l);
	}
}

/* New services get their row before anything is switched: that may fail. */
static int
add_services(struct swap *w)
{
	for (int k = 0; k < w->n; k++) {
		struct part *p = &w->parts[k];

		if (p->service)
			continue;
		p->service = service_new(w->master->services, p->conf, p->plan);
		if (!p->service) {
			problems_add(w->problems, p->conf->file, p->conf->line,
				     "service %s: too many services", p->conf->name);
			while (--k >= 0)
				if (w->parts[k].service->plan == w->parts[k].plan)
					service_retire(w->master->services, w->parts[k].service);
			return -1;
		}
		p->service->fresh = true;
	}
	return 0;
}

/* Sources are known by the row of their service, which was another one's before. */
static bool
is_new(uint32_t row, void *arg)
{
	const struct master *m = arg;
	const struct service *s = services_at(m->services, row);

	return !s || s->fresh;
}

static void
forget_sources(struct swap *w)
{
	srctab_forget(w->master->sources, is_new, w->master);
	for (int k = 0; k < w->n; k++)
		w->parts[k].service->fresh = false;
}

/* Also the end of being fresh for the others, which may have low numbers, too. */
static void
close_old(struct swap *w)
{
	struct listeners *all = w->master->listeners;

	for (uint32_t i = 0; i < w->rows; i++) {
		struct listener *l = listeners_at(all, i);

		if (l && !l->fresh && !claim_is_taken(w->claims, i))
			l->going = true;
	}
	readmit_cut_off(w->master);
	for (uint32_t i = 0; i < w->rows; i++)
		if (listeners_at(all, i) && listeners_at(all, i)->going)
			listener_free(all, listeners_at(all, i), true);
	for (int k = 0; k < w->n; k++)
		for (int i = 0; i < w->parts[k].n; i++)
			if (w->parts[k].listeners[i])
				w->parts[k].listeners[i]->fresh = false;
}

static void
retire_old(struct master *m)
{
	for (uint32_t i = 0; i < services_rows(m->services); i++) {
		struct service *s = services_at(m->services, i);

		if (s && s->retiring)
			service_retire(m->services, s);
	}
}

static void
mark_old(struct swap *w)
{
	struct master *m = w->master;

	for (uint32_t i = 0; i < services_rows(m->services); i++) {
		struct service *s = services_at(m->services, i);

		if (s && s->conf)
			s->retiring = true;
	}
	for (int k = 0; k < w->n; k++)
		w->parts[k].service->retiring = false;
}

static void
note(enum conf_change what, const struct conf_service *a, const struct conf_service *b, void *arg)
{
	struct swap_result *r = arg;
	size_t len = strlen(r->names), size = sizeof(r->names) - len;
	char changed[128];
	int n = 0;

	switch (what) {
	case CONF_ADDED:
		r->added++;
		n = snprintf(r->names + len, size, " +%s", b->name);
		break;
	case CONF_REMOVED:
		r->removed++;
		n = snprintf(r->names + len, size, " -%s", a->name);
		break;
	case CONF_CHANGED:
		r->changed++;
		(void)conf_diff_service(a, b, changed, sizeof(changed));
		n = snprintf(r->names + len, size, " ~%s(%s)", b->name, changed);
		break;
	case CONF_SAME:
		break;
	}
	if ((size_t)n >= size)	/* no more room: end it so that it shows */
		memcpy(r->names + sizeof(r->names) - 4, "...", 4);
}

static void
switch_all(struct swap *w, struct swap_result *ret)
{
	struct master *m = w->master;
	struct plans *old_plans = m->plans;
	struct conf *old = m->conf;

	conf_diff(old, w->conf, note, ret);
	forget_sources(w);
	mark_old(w);
	m->conf = w->conf;
	m->plans = w->plans;
	/* the new ones first: what has come to an old one may be for them */
	for (int k = 0; k < w->n; k++)
		switch_part(&w->parts[k]);
	close_old(w);
	anteroom_reloaded(m);
	retire_old(m);
	readmit_run(w->readmit);
	setup_control_use(m, &w->control);
	plans_free(old_plans);
	conf_free(old);
	w->plans = NULL;
	master_admit_soon(m);
}

static void
fini(struct swap *w)
{
	for (int k = 0; k < w->n; k++) {
		bind_targets_free(w->parts[k].targets, w->parts[k].n);
		free(w->parts[k].listeners);
	}
	free(w->parts);
	claims_free(w->claims);
	readmit_free(w->readmit);
	plans_free(w->plans);
}

int
swap_conf(struct master *m, struct conf *conf, struct names *names, struct problems *p,
	  struct swap_result *ret)
{
	struct swap w = {
		.master = m, .conf = conf, .names = names, .problems = p, .result = ret,
		.plans = plans_new(conf, m->environ), .claims = claims_new(m),
		.readmit = readmit_new(m), .control = { .fd = -1 },
		.rows = listeners_rows(m->listeners),
	};
	int r = -1;

	memset(ret, 0, sizeof(*ret));
	if (w.claims && w.plans && w.readmit && prepare(&w) == 0) {
		if (bind_all(&w) == 0 && apply_all(&w) == 0 && bind_control(&w) == 0 &&
		    add_services(&w) == 0) {
			switch_all(&w, ret);
			r = 0;
		} else {
			undo(&w);
		}
	}
	if (r == -1 && problems_count(p) + ret->n_busy == 0)
		problems_add(p, conf->file, 0, "out of memory");
	fini(&w);
	return r;
}
