/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * From a configuration to services with bound sockets, at start.  Runs in the
 * master; master.c calls it.  reload.c does the same beside what runs already.
 */
#include "config.h"

#include "setup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bind.h"
#include "fd.h"
#include "link.h"
#include "listener.h"
#include "log.h"
#include "master.h"
#include "owner.h"
#include "service.h"

#define RETRY_MS 1000
#define OWNER_START_MS 100	/* how long the search for an owner may hold up the start, */
#define OWNER_START 16		/* for so many of them */

void
setup_explain(struct problems *p, const struct conf_service *s, const struct bind_target *t,
	      const char *step, int error, int owner_ms)
{
	char text[BIND_TEXT], owner[64];

	(void)bind_target_text(t, text);
	if (error == EADDRINUSE && owner_ms > 0 && owner_find(t, owner, sizeof(owner), owner_ms))
		problems_add(p, s->file, t->line, "service %s: %s: %s: %s, by %s", s->name, text,
			     step, strerror(error), owner);
	else
		problems_add(p, s->file, t->line, "service %s: %s: %s: %s", s->name, text, step,
			     strerror(error));
}

void
setup_explain_targets(struct problems *p, const struct conf_service *s,
		      const struct conf_listen *at, const char *why)
{
	if (at && at->host)
		problems_add(p, s->file, at->line, "service %s: %s: %s", s->name, at->host, why);
	else
		problems_add(p, s->file, at ? at->line : s->line, "service %s: %s", s->name, why);
}

int
setup_bind(const struct bind_target *list, int i, const struct conf_service *s, uint16_t before,
	   struct addr *ret_local, const char **ret_step)
{
	const struct bind_target *t = &list[i];
	struct bind_target same = *t;
	int fd;

	if (before != 0 && i > 0 && !t->path && t->addr.port == 0 &&
	    t->addr.family == AF_INET6 && list[i - 1].addr.family == AF_INET &&
	    list[i - 1].addr.port == 0) {
		same.addr.port = before;
		fd = bind_open(&same, s, ret_local, ret_step);
		if (fd != -1)
			return fd;
	}
	return bind_open(t, s, ret_local, ret_step);
}

void
setup_tell_port(const struct listener *l)
{
	struct log_line line;
	char text[BIND_TEXT];

	if (l->target.path || l->target.addr.port != 0)
		return;
	log_begin(&line, LOGL_INFO, "listen");
	log_str(&line, "svc", service_name(l->service));
	log_str(&line, "listen", bind_target_text(&l->target, text));
	log_num(&line, "port", l->port);
	log_end(&line);
}

/* IPv6 of "tcp:80" on a host without IPv6, or with its addresses turned off. */
static bool
can_do_without(const struct bind_target *t, int error)
{
	return t->optional && (error == EAFNOSUPPORT || error == EADDRNOTAVAIL);
}

/* 0: bound, or not wanted here; -1: to be tried again. */
static int
open_target(struct master *m, struct service *s, const struct bind_target *list, int i,
	    struct problems *p)
{
	const struct bind_target *t = &list[i];
	struct addr local;
	const char *step;
	struct listener *l;
	int fd = setup_bind(list, i, s->conf, s->listeners ? s->listeners->port : 0, &local, &step);

	if (fd == -1 && can_do_without(t, errno))
		return 0;
	if (fd == -1)
		setup_explain(p, s->conf, t, step, errno,
			      problems_count(p) < OWNER_START ? OWNER_START_MS : 0);
	l = listener_new(m->listeners, t, fd, local.port);
	if (!l) {
		problems_add(p, s->conf->file, t->line, "service %s: out of memory", s->conf->name);
		return -1;
	}
	listener_attach(l, s);
	if (fd == -1)
		return -1;
	setup_tell_port(l);
	return 0;
}

static int
open_service(struct master *m, struct service *s, struct problems *p)
{
	struct bind_target *list;
	const struct conf_listen *at;
	const char *why;
	int n, r = 0;

	n = bind_targets(s->conf, NULL, &list, &why, &at);
	if (n == -1) {
		setup_explain_targets(p, s->conf, at, why);
		return -1;
	}
	for (int i = 0; i < n; i++)
		if (open_target(m, s, list, i, p) == -1)
			r = -1;
	bind_targets_free(list, n);
	return r;
}

static void
tell(bool warning, const char *text, void *arg)
{
	(void)warning;
	(void)arg;
	log_warnx("%s", text);
}

int
setup_all(struct master *m, bool strict)
{
	struct problems *p = problems_new();
	int r = 0;

	if (!p)
		return -1;
	for (int i = 0; i < m->conf->n_services; i++) {
		const struct conf_service *c = &m->conf->services[i];
		struct service *s;

		if (!c->enabled)
			continue;
		s = service_new(m->services, c, plans_get(m->plans, i));
		if (!s) {
			log_warn("service %s", c->name);
			problems_free(p);
			return -1;
		}
		if (open_service(m, s, p) == -1)
			r = -1;
	}
	problems_each(p, tell, NULL);
	problems_free(p);
	if (r == -1 && !strict) {
		log_warnx("what could not be bound is tried again every second");
		(void)ev_timer_start(&m->rebind, RETRY_MS);
	}
	return strict ? r : 0;
}

static int
open_listener(struct listener *l)
{
	struct bind_target same = l->target;
	struct addr local;
	const char *step;
	int fd;

	if (!same.path)
		same.addr.port = l->port;
	fd = bind_open(&same, l->service->conf, &local, &step);
	if (fd == -1)
		return -1;
	listener_open(l, fd, local.port);
	return 0;
}

int
setup_rebind(struct listener *l)
{
	struct master *m = l->service->master;

	if (open_listener(l) == 0)
		return 0;
	if (!ev_timer_active(&m->rebind))
		(void)ev_timer_start(&m->rebind, RETRY_MS);
	return -1;
}

static void
retry_listener(struct listener *l)
{
	struct log_line line;
	char text[BIND_TEXT];

	if (open_listener(l) == -1)
		return;
	log_begin(&line, LOGL_INFO, "listen");
	log_str(&line, "svc", service_name(l->service));
	log_str(&line, "listen", bind_target_text(&l->target, text));
	log_str(&line, "result", "bound");
	log_end(&line);
}

/* A name that could not be resolved when the daemon started. */
static int
retry_service(struct master *m, struct service *s)
{
	struct problems *p = problems_new();
	int r = p ? open_service(m, s, p) : -1;

	problems_free(p);
	return r;
}

void
setup_retry(struct master *m)
{
	bool left = false;

	for (uint32_t i = 0; i < listeners_rows(m->listeners); i++) {
		struct listener *l = listeners_at(m->listeners, i);

		if (!l || l->fd != -1 || !l->service)
			continue;
		retry_listener(l);
		left = left || l->fd == -1;
	}
	for (uint32_t i = 0; i < services_rows(m->services); i++) {
		struct service *s = services_at(m->services, i);

		if (!s || !s->conf || s->listeners)
			continue;
		if (retry_service(m, s) == -1)
			left = true;
	}
	if (left)
		(void)ev_timer_start(&m->rebind, RETRY_MS);
}

/* For root: the directory under /run is gone after each boot.  The path of one that was
 * made, malloced. */
static char *
make_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir;

	if (!slash || slash == path)
		return NULL;
	dir = strndup(path, (size_t)(slash - path));
	if (dir && mkdir(dir, 0755) == 0)
		return dir;
	free(dir);
	return NULL;
}

static int
bind_control(const struct conf *conf, struct setup_control *c)
{
	struct conf_socket sock = {
		.mode = 0660, .backlog = 32, .owner_uid = (uid_t)-1,
		.owner_gid = conf->control_gid,
	};
	struct conf_common common = { .socket = &sock };
	struct conf_service s = { .name = "control", .common = &common };
	struct bind_target t = {
		.type = SOCK_STREAM, .addr = { .family = AF_UNIX }, .path = c->path,
	};
	struct addr local;

	return bind_open(&t, &s, &local, &c->step);
}

/* The talker has it, too: it finds that there is nothing to come any more. */
void
setup_close_control(struct master *m)
{
	if (m->control_fd == -1)
		return;
	if (m->control_path[0] == '/')
		(void)unlink(m->control_path);
	(void)shutdown(m->control_fd, SHUT_RDWR);
	fd_close(&m->control_fd);
	free(m->control_path);
	m->control_path = NULL;
}

static void
control_group(const struct master *m)
{
	gid_t gid = m->conf->control_gid == (gid_t)-1 ? getegid() : m->conf->control_gid;
	struct stat st;

	if (m->control_path[0] == '/' && lstat(m->control_path, &st) == 0 && st.st_gid != gid &&
	    lchown(m->control_path, (uid_t)-1, gid) == -1)
		log_warn("control socket %s: group", m->control_path);
}

static bool
same_path(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

static void
forget(struct setup_control *c)
{
	int error = errno;

	if (c->made)
		(void)rmdir(c->made);
	free(c->made);
	free(c->path);
	c->made = c->path = NULL;
	errno = error;
}

/* Opens it without regard to the one there is. */
static int
open_control(const struct master *m, const struct conf *conf, struct setup_control *c)
{
	*c = (struct setup_control){ .fd = -1, .step = "path", .path = strdup(conf->control) };
	if (!c->path)
		return -1;
	if (m->uid == 0)
		c->made = make_directory(c->path);
	c->fd = bind_control(conf, c);
	if (c->fd == -1)
		forget(c);
	return c->fd == -1 ? -1 : 0;
}

int
setup_control_open(struct master *m, const struct conf *conf, struct setup_control *ret)
{
	*ret = (struct setup_control){ .fd = -1 };
	if (!conf->control ||
	    (m->control_fd != -1 && same_path(conf->control, m->control_path)))
		return 0;
	if (open_control(m, conf, ret) == 0)
		return 0;
	if (!same_path(conf->control, m->conf->control))
		return -1;
	log_warn("control socket %s: %s", conf->control, ret->step);
	return 0;
}

void
setup_control_explain(struct problems *p, const struct conf *conf, const struct setup_control *c,
		      int error)
{
	const struct conf_place *at = &conf->control_at;

	problems_add(p, at->file ? at->file : conf->file, at->line, "control: %s: %s: %s",
		     conf->control, c->step, strerror(error));
}

void
setup_control_use(struct master *m, struct setup_control *c)
{
	if (!m->conf->control) {
		setup_close_control(m);
	} else if (c->fd != -1) {
		setup_close_control(m);
		m->control_fd = c->fd;
		m->control_path = c->path;
		free(c->made);
		*c = (struct setup_control){ .fd = -1 };
		link_send_control(m);
	} else if (m->control_fd != -1) {
		control_group(m);
	}
}

void
setup_control_undo(struct setup_control *c)
{
	if (c->fd == -1)
		return;
	if (c->path[0] == '/')
		(void)unlink(c->path);
	fd_close(&c->fd);
	forget(c);
}

void
setup_control(struct master *m)
{
	struct setup_control c = { .fd = -1 };

	if (m->conf->control && open_control(m, m->conf, &c) == -1)
		log_warn("control socket %s: %s", m->conf->control, c.step);
	setup_control_use(m, &c);
}
