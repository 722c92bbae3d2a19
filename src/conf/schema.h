/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* The settings of the language as data: loading, printing, comparing and the
 * tests of the manual all read this one table. */
#ifndef HATCHD_SCHEMA_H
#define HATCHD_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"

enum schema_section {
	SCHEMA_GLOBAL, SCHEMA_SERVICE, SCHEMA_ACCESS, SCHEMA_LIMITS, SCHEMA_TIMEOUTS,
	SCHEMA_SOCKET, SCHEMA_SESSION, SCHEMA_BANNER, SCHEMA_PROXY, SCHEMA_RLIMITS,
	SCHEMA_SECTIONS
};

enum schema_type {		/* and the field it fills */
	SCHEMA_TEXT,		/* const char *; "" is NULL if that is the default */
	SCHEMA_BOOL,		/* bool or uint8_t; max 2: "auto", too */
	SCHEMA_NUMBER,		/* an integer of any size */
	SCHEMA_SIZE,		/* uint32_t, bytes */
	SCHEMA_DURATION,	/* uint32_t, milliseconds */
	SCHEMA_DECIMAL,		/* uint32_t, hundredths */
	SCHEMA_RATE,		/* struct limit_rate */
	SCHEMA_OCTAL,		/* mode_t */
	SCHEMA_CHOICE,		/* an integer: which of words */
	SCHEMA_FLAGS,		/* unsigned, from a list: a bit for each of words */
	SCHEMA_LIST,		/* const char *const *, at most max of them */
	SCHEMA_RULES,		/* const struct conf_rule *, at most max of them; equal if the
				 * texts are, wherever they stand.  NULL if empty, but not
				 * SET_ALLOW */
	SCHEMA_LISTEN,		/* listen and n_listen */
	SCHEMA_INTERNAL,	/* uint8_t, enum internal */
	SCHEMA_RLIMIT,		/* SOFT[:HARD] of resource, each of type unit */
	SCHEMA_SUB		/* the section sub */
};

enum schema_form {		/* what a text or an element of a list has to be */
	SCHEMA_ANY,
	SCHEMA_ABSOLUTE,	/* a path that begins with / */
	SCHEMA_SOCKET_PATH,	/* that, and short enough for sockaddr_un */
	SCHEMA_LOG,		/* a sink */
	SCHEMA_BACKEND,		/* of the event loop */
	SCHEMA_DEVICE,		/* the name of a network interface */
	SCHEMA_ASSIGNMENT,	/* NAME=value */
	SCHEMA_VARIABLE,	/* NAME */
	SCHEMA_MULTICAST,	/* a literal multicast address */
	SCHEMA_ACL,		/* an entry of an access list (acl_entry.h) */
	SCHEMA_PEER,		/* that, but neither uid: nor gid: */
	SCHEMA_HOURS,		/* hours of opening (hours.h) */
	SCHEMA_PRESSURE,	/* cpu:N, memory:N or io:N, N percent */
	SCHEMA_TEXT_OR_FILE,	/* any bytes but NUL, or file:/PATH */
	SCHEMA_MUX_NAME		/* NAME or +NAME for tcpmux */
};

enum {				/* flags */
	SCHEMA_NOT_IN_DEFAULTS = 1,
	SCHEMA_MAIN_FILE = 2,	/* not in the files named by conf */
	SCHEMA_HANDLER = 4,	/* means nothing to an internal service */
	SCHEMA_COMMON = 8	/* of a service, and its field is in struct conf_common */
};

enum schema_id {		/* in the order of the manual, section by section */
	SET_USER, SET_LOG, SET_LOG_FORMAT, SET_CONTROL, SET_CONTROL_GROUP,
	SET_PID_FILE, SET_MAX_PROCESSES, SET_EVENT_BACKEND, SET_CONF,
	SET_DEFAULTS, SET_SERVICE,

	SET_ENABLED, SET_LISTEN, SET_EXEC, SET_INTERNAL, SET_WAIT, SET_PASS,
	SET_SERVICE_USER, SET_GROUP, SET_GROUPS, SET_DIRECTORY, SET_CHROOT,
	SET_UMASK, SET_NICE, SET_ENVIRONMENT, SET_PASS_ENVIRONMENT, SET_STDERR,
	SET_LOG_EVENTS, SET_ON_RELOAD, SET_KILL, SET_ARGV0, SET_TCPMUX,
	SET_ACCESS, SET_LIMITS, SET_TIMEOUTS, SET_SOCKET, SET_SESSION, SET_BANNER,
	SET_PROXY, SET_RLIMITS,

	SET_ALLOW, SET_DENY, SET_HOURS, SET_MAX_LOAD, SET_MAX_PRESSURE,

	SET_INSTANCES, SET_PER_SOURCE, SET_SOURCE_PREFIX4, SET_SOURCE_PREFIX6,
	SET_RATE, SET_RATE_PER_SOURCE, SET_WHEN_FULL,

	SET_FIRST_BYTE, SET_TIMEOUTS_IDLE, SET_TOTAL, SET_STOP, SET_LINGER,

	SET_BACKLOG, SET_KEEPALIVE, SET_NODELAY, SET_FREEBIND, SET_DEVICE,
	SET_RCVBUF, SET_SNDBUF, SET_MARK, SET_TOS, SET_MODE, SET_OWNER,
	SET_SOCKET_GROUP, SET_BROADCAST, SET_MULTICAST,

	SET_IDLE, SET_MAX, SET_ONCE,

	SET_OPEN, SET_REFUSE,

	SET_FROM, SET_REQUIRED, SET_PROXY_TIMEOUT,

	SET_RLIMIT_AS, SET_RLIMIT_CORE, SET_RLIMIT_CPU, SET_RLIMIT_DATA,
	SET_RLIMIT_FSIZE, SET_RLIMIT_MEMLOCK, SET_RLIMIT_MSGQUEUE,
	SET_RLIMIT_NICE, SET_RLIMIT_NOFILE, SET_RLIMIT_NPROC, SET_RLIMIT_RSS,
	SET_RLIMIT_RTPRIO, SET_RLIMIT_SIGPENDING, SET_RLIMIT_STACK,

	SCHEMA_ITEMS
};

#define SCHEMA_RLIMIT_ITEMS (SCHEMA_ITEMS - SET_RLIMIT_AS)

struct schema_item {
	const char *name;
	enum schema_section in;
	enum schema_type type;
	enum schema_form form;
	unsigned flags;
	uint16_t offset, size;	/* of the field in its section's struct */
	int64_t min, max;
	const char *const *words;	/* NULL-terminated */
	enum schema_section sub;
	int resource;		/* RLIMIT_... */
	enum schema_type unit;
	const char *fallback;	/* the built-in default as text, a list's elements
				 * with spaces between; NULL: there is none */
};

extern const struct schema_item schema[SCHEMA_ITEMS];

/* A set of settings. */
struct schema_set {
	uint64_t bits[2];
};

_Static_assert(SCHEMA_ITEMS <= 128, "struct schema_set is too small");

static inline void
schema_set_add(struct schema_set *s, enum schema_id id)
{
	s->bits[id / 64] |= (uint64_t)1 << (id % 64);
}

static inline bool
schema_set_has(const struct schema_set *s, enum schema_id id)
{
	return s->bits[id / 64] >> (id % 64) & 1;
}

/* The first setting of a section; schema_first(s + 1) is behind its last. */
enum schema_id schema_first(unsigned section);

/* The setting of that name (len bytes) in a section, or -1. */
int schema_find(enum schema_section section, const char *name, size_t len);

/* How many insertions, deletions, changes and swaps of neighbours lead from a to
 * b; both of at most SCHEMA_DISTANCE bytes. */
#define SCHEMA_DISTANCE 24
int schema_distance(const char *a, size_t na, const char *b, size_t nb);

/* Like schema_find, for a name that isn't there: the one that was probably
 * meant, or -1. */
int schema_guess(enum schema_section section, const char *name, size_t len);

/* "service.limits.instances", "user"; buf of at least 64 bytes.  Without
 * full, as it is named within a service: "limits.instances". */
const char *schema_name(enum schema_id id, bool full, char *buf);

bool schema_is_list(const struct schema_item *it);

/* The struct of a service that has the setting's field (not for SCHEMA_RLIMIT
 * and SCHEMA_SUB). */
const void *schema_base(const struct conf_service *s, enum schema_id id);

#endif
