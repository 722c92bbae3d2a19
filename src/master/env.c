/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A handler's environment.  Runs in the master, for each start; deliver.c
 * calls it.  Everything is put together in one static block.
 */
#include "config.h"

#include "env.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "board.h"
#include "spawn.h"

#define CONNECTION_VARS 16

/* The connection's variables: addresses, ports and numbers take less than 1024
 * bytes, LISTEN_FDNAMES repeats the service's name. */
static char text[1024 + SPAWN_FDS * BOARD_NAME];
static const char *vars[PLAN_ENV + CONNECTION_VARS + 1];

struct env {
	unsigned own;		/* bits: enum plan_var that the service sets itself */
	int n;
	char *at;
};

static void
put(struct env *e, const char *s)
{
	size_t len = strlen(s);

	memcpy(e->at, s, len);
	e->at += len;
}

static void
put_number(struct env *e, uint64_t n)
{
	char digits[20];
	int k = 0;

	do
		digits[k++] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	while (k > 0)
		*e->at++ = digits[--k];
}

/* "NAME=", unless the service sets it itself: false */
static bool
begin(struct env *e, enum plan_var v)
{
	if (e->own >> v & 1)
		return false;
	vars[e->n++] = e->at;
	put(e, plan_var_name(v));
	*e->at++ = '=';
	return true;
}

static void
end(struct env *e)
{
	*e->at++ = '\0';
}

static void
add(struct env *e, enum plan_var v, const char *value)
{
	if (!begin(e, v))
		return;
	put(e, value);
	end(e);
}

static void
add_number(struct env *e, enum plan_var v, uint64_t value)
{
	if (!begin(e, v))
		return;
	put_number(e, value);
	end(e);
}

static void
add_ip(struct env *e, enum plan_var v, const struct addr *a)
{
	if (!begin(e, v))
		return;
	e->at += addr_format_ip(a, e->at, ADDR_STRLEN);
	end(e);
}

static void
add_inet(struct env *e, const struct env_connection *c)
{
	bool udp = c->type == SOCK_DGRAM;
	int from = udp ? PLAN_UDPLOCALIP - PLAN_TCPLOCALIP : 0;

	add(e, PLAN_PROTO, udp ? "UDP" : "TCP");
	if (c->local && c->local->family != 0) {
		add_ip(e, PLAN_TCPLOCALIP + from, c->local);
		add_number(e, PLAN_TCPLOCALPORT + from, c->local->port);
	}
	if (!c->peer || c->peer->family == 0)
		return;
	add_ip(e, PLAN_TCPREMOTEIP + from, c->peer);
	add_number(e, PLAN_TCPREMOTEPORT + from, c->peer->port);
	add_ip(e, PLAN_REMOTE_HOST, c->peer);
	add_ip(e, PLAN_REMOTE_ADDR, c->peer);
	add_number(e, PLAN_REMOTE_PORT, c->peer->port);
}

static void
add_unix(struct env *e, const struct env_connection *c)
{
	add(e, PLAN_PROTO, "UNIX");
	if (!c->peer || c->peer->family != AF_UNIX)
		return;
	add_number(e, PLAN_REMOTE_UID, c->peer->cred.uid);
	add_number(e, PLAN_REMOTE_GID, c->peer->cred.gid);
	add_number(e, PLAN_REMOTE_PID, c->peer->cred.pid);
}

/* LISTEN_FDNAMES has the service's name for each descriptor, as systemd does */
static char *
add_listen(struct env *e, const struct env_connection *c)
{
	char *pid = NULL;

	add_number(e, PLAN_LISTEN_FDS, (uint64_t)c->listen_fds);
	if (begin(e, PLAN_LISTEN_PID)) {
		pid = e->at;
		e->at += 11;	/* ten digits and NUL, written by the child */
	}
	if (!begin(e, PLAN_LISTEN_FDNAMES))
		return pid;
	assert(c->listen_fds <= SPAWN_FDS);
	for (int i = 0; i < c->listen_fds; i++) {
		if (i > 0)
			*e->at++ = ':';
		for (const char *p = c->plan->conf->name; *p; p++)
			*e->at++ = *p == ':' ? '_' : *p;	/* sd_listen_fds_with_names(3) */
	}
	end(e);
	return pid;
}

const char *const *
env_build(const struct env_connection *c, char **ret_pid)
{
	const struct plan_env *base = c->plan->env;
	struct env e = { .own = base->own, .n = base->n, .at = text };

	memcpy(vars, base->vars, (size_t)base->n * sizeof(*vars));
	*ret_pid = NULL;
	if (c->family == AF_UNIX)
		add_unix(&e, c);
	else
		add_inet(&e, c);
	add(&e, PLAN_HATCHD_SERVICE, c->plan->conf->name);
	add_number(&e, PLAN_HATCHD_CONNECTION, c->conn);
	if (c->listen_fds > 0)
		*ret_pid = add_listen(&e, c);
	vars[e.n] = NULL;
	return vars;
}
