/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Puts a struct conf together: built-in defaults, then the `defaults` section,
 * then what a service says itself, setting by setting; sections are interned
 * when a service is complete.
 *
 * Runs in the master, its trial child and hatchctl; called by conf_load.c, which
 * tells what the files say.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "conf_build.h"
#include "conf_check.h"
#include "conf_gate.h"

struct conf_build {
	struct arena *arena;
	const struct conf_load_env *env;
	struct problems *problems;
	struct conf *conf;
	struct conf_service *services;	/* of conf, not yet const */
	struct conf_check *check;
	struct conf_draft builtin, defaults, draft;
	const struct conf_common *common;	/* of the service before, or NULL */
	struct conf_given given;	/* in the current service or defaults */
	struct conf_given global;
	const char *global_file[SCHEMA_ITEMS];
	struct conf_value_to to;	/* file and service of the current entry */
	const char *file;		/* what to.file is a copy of */
	const struct conf_entry *entry;
	bool keep;			/* the current service's name is its own */
	bool faulty_defaults, incomplete, no_memory;
};

struct arena *
conf_build_arena(struct conf_build *b)
{
	return b->arena;
}

void
conf_build_incomplete(struct conf_build *b)
{
	b->incomplete = true;
}

static void
out_of_memory(struct conf_build *b)
{
	if (!b->no_memory)
		problems_add(b->problems, b->conf->file, 0, "out of memory");
	b->no_memory = true;
}

/* Where the field of a setting is while a service is being built. */
static void *
draft_base(struct conf_draft *d, enum schema_id id)
{
	switch (schema[id].in) {
	case SCHEMA_ACCESS:
		return &d->access;
	case SCHEMA_LIMITS:
		return &d->limits;
	case SCHEMA_TIMEOUTS:
		return &d->timeouts;
	case SCHEMA_SOCKET:
		return &d->socket;
	case SCHEMA_SESSION:
		return &d->session;
	case SCHEMA_BANNER:
		return &d->banner;
	case SCHEMA_PROXY:
		return &d->proxy;
	default:
		return schema[id].flags & SCHEMA_COMMON ? (void *)&d->common : &d->s;
	}
}

static void
draft_link(struct conf_draft *d)
{
	d->s.common = &d->common;
	d->common.access = &d->access;
	d->common.limits = &d->limits;
	d->common.timeouts = &d->timeouts;
	d->common.socket = &d->socket;
	d->common.session = &d->session;
	d->common.banner = &d->banner;
	d->common.proxy = &d->proxy;
	d->common.rlimits = d->rlimits;
}

static void
draft_copy(struct conf_draft *to, const struct conf_draft *from)
{
	memcpy(to, from, sizeof(*to));	/* with its padding */
	draft_link(to);
}

/* The built-in default of a setting, by the way of all values. */
static void
set_builtin(struct conf_build *b, enum schema_id id)
{
	const struct schema_item *it = &schema[id];
	struct conf_text v[8];
	char text[64], *save = NULL, *word;
	int n = 0;
	bool ok;

	if (!it->fallback)
		return;
	(void)snprintf(text, sizeof(text), "%s", it->fallback);
	if (!schema_is_list(it)) {
		v[n].line = 0;
		v[n++].text = arena_string(b->arena, text);
	} else {
		for (word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
			v[n].line = 0;
			v[n++].text = arena_string(b->arena, word);
		}
	}
	ok = conf_value_set(&b->to, id, it->in == SCHEMA_GLOBAL ? (void *)b->conf :
			    draft_base(&b->builtin, id), v, n);
	assert(ok || b->no_memory);
}

static int
build_init(struct conf_build *b, const char *file, int n_services)
{
	int id;

	b->arena = arena_new();
	if (!b->arena)
		return -1;
	b->conf = arena_alloc(b->arena, sizeof(*b->conf));
	b->services = arena_alloc(b->arena, (size_t)n_services * sizeof(*b->services));
	if (!b->conf || !b->services)
		return -1;
	b->conf->arena = b->arena;
	b->conf->gates = conf_gates_new();
	if (!b->conf->gates)
		return -1;
	conf_gates_use(b->conf->gates, b->env->names);
	b->conf->file = arena_string(b->arena, file);
	b->conf->services = b->services;
	b->conf->control_gid = (gid_t)-1;
	b->to.arena = b->arena;
	b->to.problems = b->problems;
	b->to.file = b->conf->file;
	b->to.lookup = b->env->lookup;
	b->builtin.socket.owner_uid = (uid_t)-1;
	b->builtin.socket.owner_gid = (gid_t)-1;
	for (id = 0; id < SCHEMA_ITEMS; id++)
		set_builtin(b, id);
	draft_link(&b->builtin);
	draft_copy(&b->defaults, &b->builtin);
	b->check = conf_check_new(b->arena, b->conf->gates, b->env, b->problems, &b->builtin);
	return b->check && b->conf->file ? 0 : -1;
}

struct conf_build *
conf_build_new(const char *file, int n_services, const struct conf_load_env *env,
	       struct problems *p)
{
	struct conf_build *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->env = env;
	b->problems = p;
	if (build_init(b, file, n_services) < 0) {
		conf_build_free(b);
		return NULL;
	}
	return b;
}

void
conf_build_begin(struct conf_build *b, const struct conf_entry *e, const char *file,
		 const char *title)
{
	memset(&b->given.set, 0, sizeof(b->given.set));
	b->given.faulty = e->faulty || b->faulty_defaults;
	b->entry = e;
	if (file != b->file)
		b->to.file = arena_string(b->arena, file);
	b->file = file;
	b->to.service = e->id == SET_DEFAULTS ? "" : NULL;
	if (e->id != SET_SERVICE)
		return;
	draft_copy(&b->draft, &b->defaults);
	b->to.service = title;
	if (!b->to.file)
		out_of_memory(b);
	b->keep = !b->no_memory &&
		conf_check_name(b->check, b->to.service, b->to.file, e->line);
	b->draft.s.name = b->to.service;
	b->draft.s.file = b->to.file;
	b->draft.s.line = e->line;
}

static void
put_global(struct conf_build *b, enum schema_id id, const struct conf_text *v, int n)
{
	if (schema_set_has(&b->global.set, id)) {
		problems_add(b->problems, b->to.file, b->entry->line,
			     "'%s' is given twice (first at %s:%d)", schema[id].name,
			     b->global_file[id], b->global.line[id]);
		return;
	}
	schema_set_add(&b->global.set, id);
	b->global.line[id] = v ? v[0].line : b->entry->line;
	b->global_file[id] = b->to.file;
	if (id == SET_LOG || id == SET_CONTROL)
		*(id == SET_LOG ? &b->conf->log_at : &b->conf->control_at) =
			(struct conf_place){ .file = b->to.file, .line = b->global.line[id] };
	if (schema[id].type != SCHEMA_SUB)
		(void)conf_value_set(&b->to, id, b->conf, v, n);
}

/* Resource limits stay sorted by resource. */
static bool
put_rlimit(struct conf_build *b, struct conf_draft *d, enum schema_id id,
	   const struct conf_text *v)
{
	struct conf_rlimit r;
	int i = 0;

	if (!conf_value_set_rlimit(&b->to, id, &r, v))
		return false;
	while (i < d->n_rlimits && d->rlimits[i].resource < r.resource)
		i++;
	if (i == d->n_rlimits || d->rlimits[i].resource != r.resource) {
		memmove(&d->rlimits[i + 1], &d->rlimits[i],
			(size_t)(d->n_rlimits - i) * sizeof(d->rlimits[0]));
		d->n_rlimits++;
	}
	d->rlimits[i] = r;
	return true;
}

void
conf_build_put(struct conf_build *b, enum schema_id id, const struct conf_text *v, int n)
{
	struct conf_draft *d = b->entry->id == SET_SERVICE ? &b->draft : &b->defaults;
	bool ok;

	if (schema[id].in == SCHEMA_GLOBAL) {
		put_global(b, id, v, n);
		return;
	}
	schema_set_add(&b->given.set, id);
	b->given.line[id] = v[0].line;
	ok = schema[id].in == SCHEMA_RLIMITS ? put_rlimit(b, d, id, v) :
		conf_value_set(&b->to, id, draft_base(d, id), v, n);
	if (!ok)
		b->given.faulty = true;
}

/* A block equal to data: that of the service before, most likely. */
static const void *
share(struct conf_build *b, const void *before, const void *data, size_t size)
{
	if (before && memcmp(before, data, size) == 0)
		return before;
	before = arena_intern(b->arena, data, size);
	if (!before)
		out_of_memory(b);
	return before;
}

/* The draft's common settings as blocks that equal services share. */
static const struct conf_common *
store_common(struct conf_build *b)
{
	static const struct conf_common none;
	const struct conf_draft *d = &b->draft;
	const struct conf_common *before = b->common;
	const struct conf_common *o = before ? before : &none;
	struct conf_common c;

	memcpy(&c, &d->common, sizeof(c));	/* with its padding */
	c.access = share(b, o->access, &d->access, sizeof(d->access));
	c.limits = share(b, o->limits, &d->limits, sizeof(d->limits));
	c.timeouts = share(b, o->timeouts, &d->timeouts, sizeof(d->timeouts));
	c.socket = share(b, o->socket, &d->socket, sizeof(d->socket));
	c.session = share(b, o->session, &d->session, sizeof(d->session));
	c.banner = share(b, o->banner, &d->banner, sizeof(d->banner));
	c.proxy = share(b, o->proxy, &d->proxy, sizeof(d->proxy));
	c.n_rlimits = d->n_rlimits;
	c.rlimits = NULL;
	if (d->n_rlimits)
		c.rlimits = share(b, NULL, d->rlimits,
				  (size_t)d->n_rlimits * sizeof(d->rlimits[0]));
	b->common = share(b, before, &c, sizeof(c));
	return b->common;
}

static void
store_service(struct conf_build *b)
{
	struct conf_service *s = &b->services[b->conf->n_services];

	memcpy(s, &b->draft.s, sizeof(*s));
	s->user_line = schema_set_has(&b->given.set, SET_SERVICE_USER) ?
		b->given.line[SET_SERVICE_USER] : s->line;
	s->exec_line = schema_set_has(&b->given.set, SET_EXEC) ?
		b->given.line[SET_EXEC] : s->line;
	s->common = store_common(b);
	b->conf->n_services++;
}

void
conf_build_end(struct conf_build *b)
{
	if (b->entry->id == SET_DEFAULTS) {
		put_global(b, SET_DEFAULTS, NULL, 0);
		b->faulty_defaults = b->given.faulty;
	}
	if (b->entry->id != SET_SERVICE || b->no_memory)
		return;
	if (!b->keep)
		b->draft.s.enabled = false;	/* it takes no addresses */
	if (!b->incomplete)
		conf_check_service(b->check, &b->draft, &b->given);
	if (b->keep)
		store_service(b);
}

void
conf_build_check(struct conf_build *b)
{
	conf_check_global(b->check, b->conf, b->global_file, &b->global);
}

struct conf *
conf_build_finish(struct conf_build *b)
{
	struct conf *c = b->conf;

	conf_gates_seal(c->gates);
	arena_seal(b->arena);
	b->arena = NULL;
	conf_build_free(b);
	return c;
}

void
conf_build_free(struct conf_build *b)
{
	if (!b)
		return;
	conf_check_free(b->check);
	if (b->arena && b->conf)
		conf_gates_free(b->conf->gates);
	arena_free(b->arena);
	free(b);
}
