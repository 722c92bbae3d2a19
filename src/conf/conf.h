/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The configuration as plain, immutable structs.
 *
 * A struct conf is loaded whole or not at all, checked, and never changed
 * afterwards.  Everything it points to lies in its own arena: equal strings
 * and equal blocks exist once, so that ten thousand services that say the same
 * share it, and equal pointers mean equal values.  Freed as a whole.
 */
#ifndef HATCHD_CONF_H
#define HATCHD_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "addr.h"
#include "limit.h"
#include "proto.h"

struct conf_gates;
struct gate;

#define CONF_LISTENERS 64	/* addresses in one service's listen, ranges expanded */

enum conf_proto {		/* PROTO of a listen */
	CONF_TCP, CONF_TCP4, CONF_TCP6, CONF_UDP, CONF_UDP4, CONF_UDP6,
	CONF_UNIX, CONF_UNIX_DGRAM, CONF_UNIX_SEQPACKET
};

enum conf_pass { CONF_PASS_STDIO, CONF_PASS_LISTEN_FDS };
enum conf_stderr { CONF_STDERR_LOG, CONF_STDERR_SOCKET, CONF_STDERR_NULL };
enum conf_on_reload { CONF_KEEP, CONF_TERMINATE };
enum conf_when_full { CONF_QUEUE, CONF_REFUSE };
enum conf_kill { CONF_KILL_GROUP, CONF_KILL_TREE };
enum conf_log_format { CONF_LOG_TEXT, CONF_LOG_JSON };
enum { CONF_NO, CONF_YES, CONF_AUTO };

enum {				/* bits of log_events */
	CONF_LOG_START = 1, CONF_LOG_END = 2, CONF_LOG_REFUSE = 4,
	CONF_LOG_STDERR = 8, CONF_LOG_FAIL = 16
};

struct conf_listen {		/* one string of listen = { } */
	const char *text;	/* as written, for messages */
	const char *host;	/* canonical address or name; NULL: any */
	const char *path;	/* UNIX; abstract ones begin with '@'; else NULL */
	int line;		/* in the service's file */
	uint16_t port, port_last;	/* host byte order; equal unless a range */
	uint8_t proto;		/* enum conf_proto */
};

struct conf_rule {		/* an element of a list, with its place */
	const char *text;	/* as written */
	const char *file;
	int line;
};

/* Who may connect, and when.  Of lists of rules NULL is one that was not given
 * or is empty, else the last element's text is NULL; but an empty allow list that
 * was given is such an element alone. */
struct conf_access {
	const struct conf_rule *allow, *deny, *hours;
	const char *const *max_pressure;	/* "cpu:40", NULL-terminated; or NULL */
	uint32_t max_load;	/* hundredths, 0 = no limit */
};

struct conf_limits {
	uint32_t instances, per_source;	/* 0 = no limit */
	struct limit_rate rate, rate_per_source;	/* n = 0: no limit */
	uint8_t source_prefix4, source_prefix6;	/* bits */
	uint8_t when_full;	/* enum conf_when_full */
};

struct conf_timeouts {		/* 0 = none */
	uint32_t first_byte_ms;
	uint32_t idle_ms, total_ms;
	uint32_t stop_ms;	/* between TERM and KILL */
	uint32_t linger_ms;
};

struct conf_bytes {
	uint32_t len;		/* at most PROTO_TEXT */
	char bytes[];
};

struct conf_banner {		/* NULL = none */
	const char *open, *refuse;	/* as written */
	const struct conf_bytes *open_bytes, *refuse_bytes;	/* what is sent */
};

struct conf_proxy {
	const struct conf_rule *from;	/* NULL: no PROXY header is read */
	uint32_t timeout_ms;
	bool required;		/* nobody else may connect */
};

struct conf_socket {
	uint32_t backlog;
	uint32_t rcvbuf, sndbuf;	/* bytes, 0 = the kernel's */
	uint32_t mark;		/* SO_MARK, 0 = none */
	int16_t tos;		/* IP_TOS, IPV6_TCLASS, 0 = the kernel's */
	uint8_t keepalive, nodelay, broadcast;	/* bool */
	uint8_t freebind;	/* CONF_NO, CONF_YES, CONF_AUTO: literal addresses */
	mode_t mode;		/* of a UNIX socket's path */
	const char *owner, *group;	/* of a UNIX socket's path; NULL = not changed */
	uid_t owner_uid;	/* resolved; (uid_t)-1 = not changed */
	gid_t owner_gid;	/* resolved; (gid_t)-1 = not changed */
	const char *device;	/* SO_BINDTODEVICE; NULL = none */
	const char *const *multicast;	/* groups to join, NULL-terminated; or NULL */
};

struct conf_session {
	uint32_t idle_ms;	/* 0 = no limit */
	uint32_t max;
	bool once;
};

struct conf_rlimit {
	int resource;		/* RLIMIT_... */
	rlim_t soft, hard;	/* RLIM_INFINITY for "unlimited" */
};

/* An account as the user database had it when the configuration was loaded,
 * and the groups that go with it.  One per different user, group, groups. */
struct conf_account {
	const char *name, *home, *shell;
	uid_t uid;
	gid_t gid;
	int n_groups;
	const gid_t *groups;	/* the list for setgroups(2) */
};

/* What most services have in common: equal ones share one block. */
struct conf_common {
	const char *user, *group;	/* as written; NULL: not given */
	const struct conf_account *account;	/* NULL: internal, or not enabled */
	const char *directory;	/* never NULL: "/" */
	const char *chroot;	/* NULL: none */
	const char *const *environment;	/* NAME=value, NULL-terminated; or NULL */
	const char *const *pass_environment;	/* names; or NULL */
	const struct conf_access *access;
	const struct gate *gate;	/* what access says, compiled; NULL: everybody, always */
	const struct conf_limits *limits;
	const struct conf_timeouts *timeouts;
	const struct conf_socket *socket;
	const struct conf_session *session;
	const struct conf_banner *banner;
	const char *tcpmux;	/* "name" or "+name" in lower case; NULL: not by tcpmux */
	const struct conf_proxy *proxy;
	const struct gate *proxy_gate;	/* what proxy.from says, compiled; NULL: nothing */
	const struct conf_rlimit *rlimits;	/* by resource, each once */
	int n_rlimits;
	mode_t umask;
	int nice;
	unsigned log_events;	/* CONF_LOG_... */
	enum conf_pass pass;
	enum conf_stderr stderr_to;
	enum conf_on_reload on_reload;
	enum conf_kill kill;
	bool wait, groups;
};

/* There may be ten thousand of these: small, and no gap between the fields. */
struct conf_service {
	const char *name;
	const char *file;	/* where the section is */
	const struct conf_common *common;
	const struct conf_listen *listen;
	const char *const *exec;	/* program and arguments, NULL-terminated; or NULL */
	const char *argv0;	/* NULL: the program's path */
	int line;		/* of its title */
	int user_line, exec_line;	/* of the setting, or line */
	uint8_t n_listen;
	uint8_t internal;	/* enum internal; INTERNAL_NONE: exec is set */
	bool enabled;
};

_Static_assert(CONF_LISTENERS <= UINT8_MAX, "n_listen is too small");

struct conf_place {		/* of a setting; file NULL: it isn't set */
	const char *file;
	int line;
};

struct conf {
	const char *file;	/* the main file */
	const char *user;	/* the talker's account */
	const struct conf_account *talker;	/* NULL if not started by root */
	const char *log;	/* "syslog", "stderr", path */
	struct conf_place log_at, control_at;
	enum conf_log_format log_format;
	const char *control;	/* path; NULL: none */
	const char *control_group;	/* NULL: none */
	gid_t control_gid;	/* resolved; (gid_t)-1 */
	const char *pid_file;	/* NULL: none */
	uint32_t max_processes;	/* 0 = no limit */
	const char *event_backend;
	const char *const *conf;	/* globs; or NULL */
	int n_services;		/* enabled and disabled, in the order of the files */
	const struct conf_service *services;
	struct conf_gates *gates;	/* owns what gate and proxy_gate point to */
	struct arena *arena;	/* holds all of it, this struct too */
};

void conf_free(struct conf *c);

/* What was found wrong.  A bounded list: after CONF_PROBLEMS the rest is only
 * counted. */
#define CONF_PROBLEMS 100

struct problems;

struct problems *problems_new(void);
void problems_free(struct problems *p);
/* "file:line: text", without the line if it is 0.  file is copied.  Bytes of
 * the configuration in text are escaped by this function. */
void problems_add(struct problems *p, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The same for something that is no error but should be told. */
void problems_warn(struct problems *p, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int problems_count(const struct problems *p);	/* errors; warnings don't count */
/* Calls fn for each, in order of file and line. */
void problems_each(const struct problems *p,
		   void (*fn)(bool warning, const char *text, void *arg), void *arg);

#endif
