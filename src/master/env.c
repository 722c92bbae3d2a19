/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * A handler's environment.  Runs in the master, for each start; deliver.c
 * calls it.  Everything is put together in one static block.
 */
#include "config.h"

#include "env.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECTION_VARS 16

static const char *vars[PLAN_ENV + CONNECTION_VARS + 1];
static char text[2048];		/* the connection's variables: see the lengths below */

struct env {
	unsigned own;		/* PLAN_ENV_... that the service sets itself */
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

/* "PREFIXNAME=" */
static void
begin(struct env *e, const char *prefix, const char *name)
{
	vars[e->n++] = e->at;
	put(e, prefix);
	put(e, name);
	*e->at++ = '=';
}

static void
end(struct env *e)
{
	*e->at++ = '\0';
}

static void
add(struct env *e, const char *prefix, const char *name, const char *value)
{
	begin(e, prefix, name);
	put(e, value);
	end(e);
}

static void
add_number(struct env *e, const char *prefix, const char *name, uint64_t value)
{
	begin(e, prefix, name);
	put_number(e, value);
	end(e);
}

/* TCPLOCALIP and TCPLOCALPORT, UDPREMOTEIP and UDPREMOTEPORT */
static void
add_address(struct env *e, const char *prefix, const char *ip, const char *port,
	    const struct addr *a)
{
	begin(e, prefix, ip);
	e->at += addr_format_ip(a, e->at, ADDR_STRLEN);
	end(e);
	add_number(e, prefix, port, a->port);
}

static void
add_inet(struct env *e, const struct env_connection *c)
{
	const char *proto = c->type == SOCK_DGRAM ? "UDP" : "TCP";

	if (!(e->own & PLAN_ENV_PROTO))
		add(e, "", "PROTO", proto);
	if (c->local && c->local->family != 0 && !(e->own & PLAN_ENV_LOCAL))
		add_address(e, proto, "LOCALIP", "LOCALPORT", c->local);
	if (!c->peer || c->peer->family == 0)
		return;
	if (!(e->own & PLAN_ENV_REMOTE))
		add_address(e, proto, "REMOTEIP", "REMOTEPORT", c->peer);
	if (e->own & PLAN_ENV_REMOTE_HOST)
		return;
	begin(e, "", "REMOTE_HOST");
	e->at += addr_format_ip(c->peer, e->at, ADDR_STRLEN);
	end(e);
	begin(e, "", "REMOTE_ADDR");
	e->at += addr_format_ip(c->peer, e->at, ADDR_STRLEN);
	end(e);
	add_number(e, "", "REMOTE_PORT", c->peer->port);
}

static void
add_unix(struct env *e, const struct env_connection *c)
{
	if (!(e->own & PLAN_ENV_PROTO))
		add(e, "", "PROTO", "UNIX");
	if (!c->peer || c->peer->family != AF_UNIX || (e->own & PLAN_ENV_CRED))
		return;
	add_number(e, "", "REMOTE_UID", c->peer->cred.uid);
	add_number(e, "", "REMOTE_GID", c->peer->cred.gid);
	add_number(e, "", "REMOTE_PID", c->peer->cred.pid);
}

/* LISTEN_FDNAMES has the service's name for each descriptor, as systemd does */
static char *
add_listen(struct env *e, const struct env_connection *c)
{
	char *pid;

	add_number(e, "", "LISTEN_FDS", (uint64_t)c->listen_fds);
	begin(e, "", "LISTEN_PID");
	pid = e->at;
	e->at += 11;		/* ten digits and NUL, written by the child */
	begin(e, "", "LISTEN_FDNAMES");
	for (int i = 0; i < c->listen_fds && e->at < text + sizeof(text) - 128; i++) {
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
	if (!(e.own & PLAN_ENV_SERVICE))
		add(&e, "", "HATCHD_SERVICE", c->plan->conf->name);
	if (!(e.own & PLAN_ENV_CONNECTION))
		add_number(&e, "", "HATCHD_CONNECTION", c->conn);
	if (c->listen_fds > 0 && !(e.own & PLAN_ENV_LISTEN))
		*ret_pid = add_listen(&e, c);
	vars[e.n] = NULL;
	return vars;
}
