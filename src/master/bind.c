/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Binding.  Runs in the master, at start and on reload; master.c and reload.c
 * call it.  sockopt.c sets the options.
 */
#include "config.h"

#include "bind.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "listen.h"
#include "log.h"
#include "names.h"
#include "sockopt.h"

static uint8_t
socket_type(enum conf_proto p)
{
	switch (p) {
	case CONF_TCP: case CONF_TCP4: case CONF_TCP6: case CONF_UNIX:
		return SOCK_STREAM;
	case CONF_UDP: case CONF_UDP4: case CONF_UDP6: case CONF_UNIX_DGRAM:
		return SOCK_DGRAM;
	case CONF_UNIX_SEQPACKET:
		return SOCK_SEQPACKET;
	}
	return SOCK_STREAM;
}

/* 0: both */
static int
only_family(enum conf_proto p)
{
	switch (p) {
	case CONF_TCP4: case CONF_UDP4:
		return AF_INET;
	case CONF_TCP6: case CONF_UDP6:
		return AF_INET6;
	default:
		return 0;
	}
}

struct targets {
	struct names *names;
	struct bind_target *list;
	int n;
	uint16_t zeros;		/* with port 0, so far */
};

static const char *
add(struct targets *ts, const struct bind_target *t)
{
	for (int i = 0; i < ts->n; i++)
		if (bind_target_equal(&ts->list[i], t))
			return NULL;	/* a name with the same address twice */
	if (ts->n == BIND_TARGETS)
		return "too many sockets for one service";
	if (!bind_target_copy(&ts->list[ts->n], t))
		return "out of memory";
	ts->n++;
	return NULL;
}

/* One socket for each port of the range. */
static const char *
add_ports(struct targets *ts, const struct conf_listen *l, struct bind_target *t)
{
	const char *why = NULL;

	for (unsigned port = l->port; port <= l->port_last && !why; port++) {
		t->addr.port = (uint16_t)port;
		t->nth = port == 0 ? ts->zeros++ : 0;
		why = add(ts, t);
	}
	return why;
}

static const char *
add_any(struct targets *ts, const struct conf_listen *l, struct bind_target *t)
{
	int family = only_family(l->proto);
	const char *why = NULL;

	if (family != AF_INET6) {
		t->addr.family = AF_INET;
		why = add_ports(ts, l, t);
	}
	if (!why && family != AF_INET) {
		t->addr.family = AF_INET6;
		t->optional = family == 0;
		why = add_ports(ts, l, t);
	}
	return why;
}

static const char *
add_resolved(struct targets *ts, const struct conf_listen *l, struct bind_target *t)
{
	struct addr found[NAMES_ADDRS];
	const char *why;
	int family = only_family(l->proto), n, kept = 0;

	n = names_find(ts->names, l->host, found, &why);
	if (n < 0)
		return why;
	for (int i = 0; i < n; i++)
		if (family == 0 || found[i].family == family)
			found[kept++] = found[i];
	if (kept == 0)
		return "the host has no address of this family";
	for (int i = 0; i < kept && !why; i++) {
		t->addr = found[i];
		/* "localhost" names ::1 on hosts that don't have it */
		t->optional = t->addr.family == AF_INET6 && kept > 1;
		why = add_ports(ts, l, t);
	}
	return why;
}

static const char *
add_listen(struct targets *ts, const struct conf_service *s, const struct conf_listen *l)
{
	struct bind_target t = {
		.type = socket_type(l->proto), .line = l->line,
		.device = (char *)s->common->socket->device,	/* copied by add() */
	};
	int family = only_family(l->proto);

	if (l->path) {
		t.addr.family = AF_UNIX;
		t.path = (char *)l->path;
		t.device = NULL;
		return add(ts, &t);
	}
	if (!l->host)
		return add_any(ts, l, &t);
	if (addr_parse(l->host, &t.addr) == -1)
		return add_resolved(ts, l, &t);
	t.literal = true;
	if (family != 0 && t.addr.family != family)
		return "the address is of the other family";
	return add_ports(ts, l, &t);
}

/* The array is made when it is known how long it has to be: with thousands of
 * services the rest would be megabytes. */
int
bind_targets(const struct conf_service *s, struct names *names, struct bind_target **ret,
	     const char **ret_why, const struct conf_listen **ret_at)
{
	struct bind_target list[BIND_TARGETS];
	struct targets ts = { .names = names, .list = list };

	*ret_why = NULL;
	*ret_at = NULL;
	for (int i = 0; i < s->n_listen && !*ret_why; i++) {
		*ret_at = &s->listen[i];
		*ret_why = add_listen(&ts, s, *ret_at);
	}
	*ret = *ret_why ? NULL : calloc((size_t)ts.n + 1, sizeof(list[0]));
	if (!*ret) {
		if (!*ret_why)
			*ret_why = "out of memory";
		for (int i = 0; i < ts.n; i++)
			bind_target_fini(&list[i]);
		return -1;
	}
	memcpy(*ret, list, (size_t)ts.n * sizeof(list[0]));
	return ts.n;
}

void
bind_target_fini(struct bind_target *t)
{
	free(t->path);
	free(t->device);
	t->path = t->device = NULL;
}

void
bind_targets_free(struct bind_target *t, int n)
{
	for (int i = 0; i < n; i++)
		bind_target_fini(&t[i]);
	free(t);
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool
bind_target_equal(const struct bind_target *a, const struct bind_target *b)
{
	return a->type == b->type && addr_equal(&a->addr, &b->addr) && a->nth == b->nth &&
		same_text(a->path, b->path) && same_text(a->device, b->device);
}

bool
bind_target_copy(struct bind_target *to, const struct bind_target *from)
{
	*to = *from;
	to->path = from->path ? strdup(from->path) : NULL;
	to->device = from->device ? strdup(from->device) : NULL;
	if ((from->path && !to->path) || (from->device && !to->device)) {
		bind_target_fini(to);
		return false;
	}
	return true;
}

const char *
bind_target_text(const struct bind_target *t, char *buf)
{
	const char *proto = t->type == SOCK_DGRAM ? "udp" : "tcp";
	char text[ADDR_STRLEN];

	if (t->path) {
		proto = t->type == SOCK_DGRAM ? "unix-dgram" :
			t->type == SOCK_SEQPACKET ? "unix-seqpacket" : "unix";
		(void)snprintf(buf, BIND_TEXT, "%s:%s", proto, t->path);
	} else {
		(void)addr_format(&t->addr, text, sizeof(text));
		(void)snprintf(buf, BIND_TEXT, "%s:%s", proto, text);
	}
	return buf;
}

/* A path is stale if it is a socket that nobody listens at. */
static bool
is_stale(const struct sockaddr_un *un, socklen_t len, int type)
{
	struct stat st;
	bool stale;
	int fd;

	if (lstat(un->sun_path, &st) == -1 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return false;
	stale = connect(fd, (const struct sockaddr *)un, len) == -1 && errno == ECONNREFUSED;
	(void)close(fd);
	return stale;
}

static int
stat_directory(const char *path, struct stat *ret)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	assert(slash);
	slash[slash == dir] = '\0';
	return stat(dir, ret);
}

/* Whoever may write to the directory could put his own socket in our place. */
static bool
directory_is_safe(const char *path)
{
	struct stat st;

	if (stat_directory(path, &st) == -1)
		return true;	/* bind(2) will say what is wrong with it */
	return (st.st_mode & S_ISVTX) || !(st.st_mode & S_IWOTH);
}

static int
bind_unix(int fd, const struct bind_target *t, const struct conf_socket *c, const char **step)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = strlen(t->path);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	mode_t old;
	int r;

	assert(n < sizeof(un.sun_path));
	memcpy(un.sun_path, t->path, n);
	if (un.sun_path[0] == '@') {
		un.sun_path[0] = '\0';
		return bind(fd, (struct sockaddr *)&un, len);
	}
	len++;
	if (!directory_is_safe(t->path)) {
		*step = "directory writable by everybody";
		errno = EPERM;
		return -1;
	}
	/* the mode is right from the first moment on */
	old = umask(0777 & ~c->mode);
	r = bind(fd, (struct sockaddr *)&un, len);
	if (r == -1 && errno == EADDRINUSE) {
		if (is_stale(&un, len, t->type) && unlink(t->path) == 0)
			r = bind(fd, (struct sockaddr *)&un, len);
		else
			errno = EADDRINUSE;
	}
	(void)umask(old);
	return r;
}

static int
bind_inet(int fd, const struct bind_target *t, struct addr *ret_local)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(&t->addr, &sa);

	if (bind(fd, (struct sockaddr *)&sa, len) == -1)
		return -1;
	*ret_local = t->addr;
	if (t->addr.port != 0)
		return 0;
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) == -1)
		return -1;
	return addr_from_sockaddr((struct sockaddr *)&sa, len, ret_local);
}

/* What has no owner now and had one belongs to whom a new one would. */
static int
apply_owner(int at, const struct stat *st, const char *path, const struct conf_socket *c,
	    const struct conf_socket *old)
{
	uid_t uid = c->owner_uid;
	gid_t gid = c->owner_gid;
	struct stat dir;

	if (uid == (uid_t)-1 && old && old->owner_uid != (uid_t)-1)
		uid = geteuid();
	if (gid == (gid_t)-1 && old && old->owner_gid != (gid_t)-1)
		gid = stat_directory(path, &dir) == 0 && (dir.st_mode & S_ISGID) ?
			dir.st_gid : getegid();
	if ((uid == (uid_t)-1 || uid == st->st_uid) && (gid == (gid_t)-1 || gid == st->st_gid))
		return 0;
	return fchownat(at, "", uid, gid, AT_EMPTY_PATH);
}

static int
apply_mode(int at, const struct stat *st, mode_t mode)
{
	char link[32];

	if ((st->st_mode & 07777) == mode)
		return 0;
	/* fchmod(2) can't do it with such a descriptor */
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", at);
	return chmod(link, mode);
}

/* Whoever owns the directory may have put something else there since: neither is a
 * link followed, nor is anything changed but a socket. */
static int
apply_path(const char *path, const struct conf_service *s, const struct conf_service *old,
	   const char **step)
{
	const struct conf_socket *c = s->common->socket;
	int r, at = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st = { 0 };

	*step = "path";
	r = at == -1 ? -1 : fstat(at, &st);
	if (old && (r == 0 ? !S_ISSOCK(st.st_mode) : errno == ENOENT || errno == ENOTDIR)) {
		log_warnx("service %s: %s: its socket is not there any more", s->name, path);
		fd_close(&at);
		return 0;
	}
	if (r == 0) {
		*step = "owner";
		r = apply_owner(at, &st, path, c, old ? old->common->socket : NULL);
	}
	if (r == 0 && old) {	/* a new one has been made with it */
		*step = "mode";
		r = apply_mode(at, &st, c->mode);
	}
	fd_close(&at);
	return r;
}

static int
apply(int fd, const struct bind_target *t, const struct conf_service *s,
      const struct conf_service *old, const char **ret_step)
{
	const struct conf_socket *c = s->common->socket;

	if (sockopt_apply(fd, t, s, old, ret_step) == -1)
		return -1;
	if (t->path && t->path[0] == '/' && apply_path(t->path, s, old, ret_step) == -1)
		return -1;
	*ret_step = "listen";
	return t->type == SOCK_DGRAM ? 0 : listen(fd, (int)c->backlog);
}

int
bind_open(const struct bind_target *t, const struct conf_service *s, struct addr *ret_local,
	  const char **ret_step)
{
	bool bound;
	int fd, r;

	*ret_step = "socket";
	*ret_local = t->addr;
	fd = socket(t->addr.family, t->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	fd = fd_raise(fd);
	r = sockopt_before_bind(fd, t, s, ret_step);
	if (r == 0) {
		*ret_step = "bind";
		r = t->path ? bind_unix(fd, t, s->common->socket, ret_step) : bind_inet(fd, t, ret_local);
	}
	bound = r == 0;
	if (r == 0)
		r = apply(fd, t, s, NULL, ret_step);
	if (r == 0 && t->share)
		r = sockopt_share(fd, false);
	if (r == -1) {
		int error = errno;

		if (bound && t->path && t->path[0] == '/')
			(void)unlink(t->path);
		fd_close(&fd);
		errno = error;
	}
	return fd;
}

int
bind_apply(int fd, const struct bind_target *t, const struct conf_service *s,
	   const struct conf_service *old, const char **ret_step)
{
	return apply(fd, t, s, old, ret_step);
}
