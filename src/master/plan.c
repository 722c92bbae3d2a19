/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Plans of the handlers.  Runs in the master when a configuration is loaded.
 * The base environment is built from empty: the account's variables, then
 * pass_environment, then environment; a later one replaces an earlier one.
 */
#include "config.h"

#include "plan.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

#define PATH_ROOT "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PATH_USER "PATH=/usr/local/bin:/usr/bin:/bin"

struct plans {
	struct arena *arena;
	int n;
	struct plan list[];
};

static const char *const var_names[PLAN_VARS] = {
	[PLAN_PROTO] = "PROTO",
	[PLAN_TCPLOCALIP] = "TCPLOCALIP", [PLAN_TCPLOCALPORT] = "TCPLOCALPORT",
	[PLAN_TCPREMOTEIP] = "TCPREMOTEIP", [PLAN_TCPREMOTEPORT] = "TCPREMOTEPORT",
	[PLAN_UDPLOCALIP] = "UDPLOCALIP", [PLAN_UDPLOCALPORT] = "UDPLOCALPORT",
	[PLAN_UDPREMOTEIP] = "UDPREMOTEIP", [PLAN_UDPREMOTEPORT] = "UDPREMOTEPORT",
	[PLAN_REMOTE_HOST] = "REMOTE_HOST", [PLAN_REMOTE_ADDR] = "REMOTE_ADDR",
	[PLAN_REMOTE_PORT] = "REMOTE_PORT",
	[PLAN_REMOTE_UID] = "REMOTE_UID", [PLAN_REMOTE_GID] = "REMOTE_GID",
	[PLAN_REMOTE_PID] = "REMOTE_PID",
	[PLAN_HATCHD_SERVICE] = "HATCHD_SERVICE",
	[PLAN_HATCHD_CONNECTION] = "HATCHD_CONNECTION",
	[PLAN_LISTEN_FDS] = "LISTEN_FDS", [PLAN_LISTEN_PID] = "LISTEN_PID",
	[PLAN_LISTEN_FDNAMES] = "LISTEN_FDNAMES",
};

const char *
plan_var_name(enum plan_var v)
{
	return var_names[v];
}

struct builder {
	struct arena *arena;
	int n;
	unsigned own;
	const char *vars[PLAN_ENV];
};

static bool
same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return n == strcspn(b, "=") && memcmp(a, b, n) == 0;
}

/* Sets a variable; the text has to live in the arena. */
static int
set(struct builder *b, const char *var)
{
	if (!var)
		return -1;
	for (int i = 0; i < PLAN_VARS; i++)
		if (same_name(var_names[i], var))
			b->own |= 1U << i;
	for (int i = 0; i < b->n; i++)
		if (same_name(b->vars[i], var)) {
			b->vars[i] = var;
			return 0;
		}
	if (b->n == PLAN_ENV)
		return 0;	/* the configuration allows fewer: see conf_check */
	b->vars[b->n++] = var;
	return 0;
}

static int
set_pair(struct builder *b, const char *name, const char *value)
{
	char *var;

	if (asprintf(&var, "%s=%s", name, value) < 0)
		return -1;

	int r = set(b, arena_string(b->arena, var));

	free(var);
	return r;
}

static int
set_passed(struct builder *b, const char *name, char *const *env)
{
	for (; *env; env++)
		if (same_name(*env, name) && strchr(*env, '='))
			return set(b, arena_string(b->arena, *env));
	return 0;
}

static int
fill(struct builder *b, const struct conf_service *s, char *const *env)
{
	const struct conf_common *c = s->common;
	const struct conf_account *a = c->account;

	if (set(b, arena_string(b->arena, a && a->uid == 0 ? PATH_ROOT : PATH_USER)) == -1)
		return -1;
	if (a && (set_pair(b, "HOME", a->home) == -1 || set_pair(b, "USER", a->name) == -1 ||
		  set_pair(b, "LOGNAME", a->name) == -1 || set_pair(b, "SHELL", a->shell) == -1))
		return -1;
	for (int i = 0; c->pass_environment && c->pass_environment[i]; i++)
		if (set_passed(b, c->pass_environment[i], env) == -1)
			return -1;
	for (int i = 0; c->environment && c->environment[i]; i++)
		if (set(b, arena_string(b->arena, c->environment[i])) == -1)
			return -1;
	return 0;
}

static const struct plan_env *
make_env(struct arena *arena, const struct conf_service *s, char *const *env)
{
	struct builder *b = calloc(1, sizeof(*b));
	struct plan_env *e = NULL;

	if (!b)
		return NULL;
	b->arena = arena;
	if (fill(b, s, env) == 0)
		e = arena_alloc(arena, sizeof(*e) + (size_t)b->n * sizeof(*e->vars));
	if (e) {
		e->n = b->n;
		e->own = b->own;
		memcpy(e->vars, b->vars, (size_t)b->n * sizeof(*e->vars));
	}
	free(b);
	return e;
}

static const char *const *
make_argv(struct arena *arena, const struct conf_service *s)
{
	const char **argv;
	size_t n = 0;

	if (!s->argv0 || !s->exec)
		return s->exec;
	while (s->exec[n])
		n++;
	argv = arena_alloc(arena, (n + 1) * sizeof(*argv));
	if (!argv)
		return NULL;
	memcpy(argv, s->exec, (n + 1) * sizeof(*argv));
	argv[0] = s->argv0;
	return argv;
}

struct plans *
plans_new(const struct conf *conf, char *const *env)
{
	struct plans *p = calloc(1, sizeof(*p) + (size_t)conf->n_services * sizeof(*p->list));

	if (!p)
		return NULL;
	p->n = conf->n_services;
	p->arena = arena_new();
	if (!p->arena) {
		free(p);
		return NULL;
	}
	for (int i = 0; i < p->n; i++) {
		const struct conf_service *s = &conf->services[i];
		const struct conf_common *before = i > 0 ? s[-1].common : NULL;

		/* equal pointers mean equal values, and neighbours mostly agree */
		if (before && before->account == s->common->account &&
		    before->environment == s->common->environment &&
		    before->pass_environment == s->common->pass_environment)
			p->list[i].env = p->list[i - 1].env;
		else
			p->list[i].env = make_env(p->arena, s, env);
		p->list[i].conf = s;
		p->list[i].argv = make_argv(p->arena, s);
		if (!p->list[i].env || (s->exec && !p->list[i].argv)) {
			plans_free(p);
			return NULL;
		}
	}
	arena_seal(p->arena);
	return p;
}

void
plans_free(struct plans *p)
{
	if (!p)
		return;
	arena_free(p->arena);
	free(p);
}

const struct plan *
plans_get(const struct plans *p, int i)
{
	assert(i >= 0 && i < p->n);
	return &p->list[i];
}
