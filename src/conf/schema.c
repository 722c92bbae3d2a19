/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * The table of all settings with their defaults, and look-ups in it.
 *
 * To add a setting: an id in schema.h, a line here, a field in conf.h, its
 * paragraph in hatchd.conf.5 and its line in etc/hatchd.conf, at the same place
 * in the order (tests/unit/settings.test compares them).
 *
 * Runs in whatever loads, prints or compares a configuration: the master and
 * hatchctl.  Pure.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "gate.h"
#include "schema.h"

#define MANY 4194304		/* more processes than any kernel has */
#define BIGGEST_BUFFER 1073741823	/* the kernel doubles it in an int */

static const char *const log_formats[] = { "text", "json", NULL };
static const char *const passes[] = { "stdio", "listen_fds", NULL };
static const char *const stderrs[] = { "log", "socket", "null", NULL };
static const char *const events[] = { "start", "end", "refuse", "stderr", "fail", NULL };
static const char *const reloads[] = { "keep", "terminate", NULL };
static const char *const kills[] = { "group", "tree", NULL };
static const char *const fulls[] = { "queue", "refuse", NULL };

#define FIELD(type, member) \
	.offset = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)
#define G(field) .in = SCHEMA_GLOBAL, FIELD(conf, field)
#define S(field) .in = SCHEMA_SERVICE, FIELD(conf_service, field)
#define C(field) .in = SCHEMA_SERVICE, FIELD(conf_common, field), .flags = SCHEMA_COMMON
#define H(field) C(field) | SCHEMA_HANDLER
#define A(field) .in = SCHEMA_ACCESS, FIELD(conf_access, field)
#define L(field) .in = SCHEMA_LIMITS, FIELD(conf_limits, field)
#define T(field) .in = SCHEMA_TIMEOUTS, FIELD(conf_timeouts, field)
#define K(field) .in = SCHEMA_SOCKET, FIELD(conf_socket, field)
#define E(field) .in = SCHEMA_SESSION, FIELD(conf_session, field)
#define B(field) .in = SCHEMA_BANNER, FIELD(conf_banner, field)
#define P(field) .in = SCHEMA_PROXY, FIELD(conf_proxy, field)
#define SUB(where, what) .in = where, .type = SCHEMA_SUB, .sub = what
#define R(what, how, most) \
	.in = SCHEMA_RLIMITS, .type = SCHEMA_RLIMIT, .resource = what, .unit = how, .max = most

const struct schema_item schema[SCHEMA_ITEMS] = {
	[SET_USER] = { "user", G(user), .type = SCHEMA_TEXT, .fallback = "hatchd" },
	[SET_LOG] = { "log", G(log), .type = SCHEMA_TEXT, .form = SCHEMA_LOG,
		.fallback = "syslog" },
	[SET_LOG_FORMAT] = { "log_format", G(log_format), .type = SCHEMA_CHOICE,
		.words = log_formats, .fallback = "text" },
	[SET_CONTROL] = { "control", G(control), .type = SCHEMA_TEXT,
		.form = SCHEMA_SOCKET_PATH, .fallback = "" },
	[SET_CONTROL_GROUP] = { "control_group", G(control_group), .type = SCHEMA_TEXT,
		.fallback = "" },
	[SET_PID_FILE] = { "pid_file", G(pid_file), .type = SCHEMA_TEXT,
		.form = SCHEMA_ABSOLUTE, .fallback = "" },
	[SET_MAX_PROCESSES] = { "max_processes", G(max_processes), .type = SCHEMA_NUMBER,
		.max = MANY, .fallback = "4096" },
	[SET_EVENT_BACKEND] = { "event_backend", G(event_backend), .type = SCHEMA_TEXT,
		.form = SCHEMA_BACKEND, .fallback = "auto" },
	[SET_CONF] = { "conf", G(conf), .type = SCHEMA_LIST, .max = 1024,
		.flags = SCHEMA_MAIN_FILE, .fallback = "" },
	[SET_DEFAULTS] = { "defaults", SUB(SCHEMA_GLOBAL, SCHEMA_SERVICE) },
	[SET_SERVICE] = { "service", SUB(SCHEMA_GLOBAL, SCHEMA_SERVICE) },

	[SET_ENABLED] = { "enabled", S(enabled), .type = SCHEMA_BOOL, .fallback = "yes" },
	[SET_LISTEN] = { "listen", S(listen), .type = SCHEMA_LISTEN, .max = CONF_LISTENERS,
		.flags = SCHEMA_NOT_IN_DEFAULTS },
	[SET_EXEC] = { "exec", S(exec), .type = SCHEMA_LIST, .max = 1024,
		.flags = SCHEMA_NOT_IN_DEFAULTS },
	[SET_INTERNAL] = { "internal", S(internal), .type = SCHEMA_INTERNAL,
		.flags = SCHEMA_NOT_IN_DEFAULTS },
	[SET_WAIT] = { "wait", H(wait), .type = SCHEMA_BOOL, .fallback = "no" },
	[SET_PASS] = { "pass", H(pass), .type = SCHEMA_CHOICE, .words = passes,
		.fallback = "stdio" },
	[SET_SERVICE_USER] = { "user", H(user), .type = SCHEMA_TEXT, .fallback = "" },
	[SET_GROUP] = { "group", H(group), .type = SCHEMA_TEXT, .fallback = "" },
	[SET_GROUPS] = { "groups", H(groups), .type = SCHEMA_BOOL, .fallback = "yes" },
	[SET_DIRECTORY] = { "directory", H(directory), .type = SCHEMA_TEXT,
		.form = SCHEMA_ABSOLUTE, .fallback = "/" },
	[SET_CHROOT] = { "chroot", H(chroot), .type = SCHEMA_TEXT, .form = SCHEMA_ABSOLUTE,
		.fallback = "" },
	[SET_UMASK] = { "umask", H(umask), .type = SCHEMA_OCTAL, .max = 0777,
		.fallback = "022" },
	[SET_NICE] = { "nice", H(nice), .type = SCHEMA_NUMBER, .min = -20, .max = 19,
		.fallback = "0" },
	[SET_ENVIRONMENT] = { "environment", H(environment), .type = SCHEMA_LIST, .max = 1024,
		.form = SCHEMA_ASSIGNMENT, .fallback = "" },
	[SET_PASS_ENVIRONMENT] = { "pass_environment", H(pass_environment),
		.type = SCHEMA_LIST, .max = 1024, .form = SCHEMA_VARIABLE,
		.fallback = "" },
	[SET_STDERR] = { "stderr", H(stderr_to), .type = SCHEMA_CHOICE, .words = stderrs,
		.fallback = "log" },
	[SET_LOG_EVENTS] = { "log_events", C(log_events), .type = SCHEMA_FLAGS,
		.words = events, .fallback = "end refuse stderr fail" },
	[SET_ON_RELOAD] = { "on_reload", C(on_reload), .type = SCHEMA_CHOICE,
		.words = reloads, .fallback = "keep" },
	[SET_KILL] = { "kill", H(kill), .type = SCHEMA_CHOICE, .words = kills,
		.fallback = "group" },
	[SET_ARGV0] = { "argv0", S(argv0), .type = SCHEMA_TEXT, .flags = SCHEMA_HANDLER,
		.fallback = "" },
	[SET_TCPMUX] = { "tcpmux", C(tcpmux) | SCHEMA_NOT_IN_DEFAULTS, .type = SCHEMA_TEXT,
		.form = SCHEMA_MUX_NAME, .fallback = "" },
	[SET_ACCESS] = { "access", SUB(SCHEMA_SERVICE, SCHEMA_ACCESS) },
	[SET_LIMITS] = { "limits", SUB(SCHEMA_SERVICE, SCHEMA_LIMITS) },
	[SET_TIMEOUTS] = { "timeouts", SUB(SCHEMA_SERVICE, SCHEMA_TIMEOUTS) },
	[SET_SOCKET] = { "socket", SUB(SCHEMA_SERVICE, SCHEMA_SOCKET) },
	[SET_SESSION] = { "session", SUB(SCHEMA_SERVICE, SCHEMA_SESSION) },
	[SET_BANNER] = { "banner", SUB(SCHEMA_SERVICE, SCHEMA_BANNER) },
	[SET_PROXY] = { "proxy", SUB(SCHEMA_SERVICE, SCHEMA_PROXY) },
	[SET_RLIMITS] = { "rlimits", SUB(SCHEMA_SERVICE, SCHEMA_RLIMITS),
		.flags = SCHEMA_HANDLER },

	[SET_ALLOW] = { "allow", A(allow), .type = SCHEMA_RULES, .form = SCHEMA_ACL,
		.max = GATE_RULES / 2 },
	[SET_DENY] = { "deny", A(deny), .type = SCHEMA_RULES, .form = SCHEMA_ACL,
		.max = GATE_RULES / 2, .fallback = "" },
	[SET_HOURS] = { "hours", A(hours), .type = SCHEMA_RULES, .form = SCHEMA_HOURS,
		.max = 64, .fallback = "" },
	[SET_MAX_LOAD] = { "max_load", A(max_load), .type = SCHEMA_DECIMAL, .max = 1000000,
		.fallback = "0" },
	[SET_MAX_PRESSURE] = { "max_pressure", A(max_pressure), .type = SCHEMA_LIST,
		.form = SCHEMA_PRESSURE, .max = GATE_PRESSURES, .fallback = "" },

	[SET_INSTANCES] = { "instances", L(instances), .type = SCHEMA_NUMBER, .max = MANY,
		.fallback = "256" },
	[SET_PER_SOURCE] = { "per_source", L(per_source), .type = SCHEMA_NUMBER, .max = MANY,
		.fallback = "64" },
	[SET_SOURCE_PREFIX4] = { "source_prefix4", L(source_prefix4), .type = SCHEMA_NUMBER,
		.min = 1, .max = 32, .fallback = "32" },
	[SET_SOURCE_PREFIX6] = { "source_prefix6", L(source_prefix6), .type = SCHEMA_NUMBER,
		.min = 1, .max = 128, .fallback = "64" },
	[SET_RATE] = { "rate", L(rate), .type = SCHEMA_RATE, .fallback = "" },
	[SET_RATE_PER_SOURCE] = { "rate_per_source", L(rate_per_source), .type = SCHEMA_RATE,
		.fallback = "" },
	[SET_WHEN_FULL] = { "when_full", L(when_full), .type = SCHEMA_CHOICE, .words = fulls,
		.fallback = "queue" },

	[SET_FIRST_BYTE] = { "first_byte", T(first_byte_ms), .type = SCHEMA_DURATION,
		.fallback = "0" },
	[SET_TIMEOUTS_IDLE] = { "idle", T(idle_ms), .type = SCHEMA_DURATION, .fallback = "0" },
	[SET_TOTAL] = { "total", T(total_ms), .type = SCHEMA_DURATION, .fallback = "0" },
	[SET_STOP] = { "stop", T(stop_ms), .type = SCHEMA_DURATION, .fallback = "5s" },
	[SET_LINGER] = { "linger", T(linger_ms), .type = SCHEMA_DURATION, .fallback = "0" },

	[SET_BACKLOG] = { "backlog", K(backlog), .type = SCHEMA_NUMBER, .min = 1, .max = 65535,
		.fallback = "4096" },
	[SET_KEEPALIVE] = { "keepalive", K(keepalive), .type = SCHEMA_BOOL, .fallback = "no" },
	[SET_NODELAY] = { "nodelay", K(nodelay), .type = SCHEMA_BOOL, .fallback = "no" },
	[SET_FREEBIND] = { "freebind", K(freebind), .type = SCHEMA_BOOL, .max = CONF_AUTO,
		.fallback = "auto" },
	[SET_DEVICE] = { "device", K(device), .type = SCHEMA_TEXT, .form = SCHEMA_DEVICE,
		.fallback = "" },
	[SET_RCVBUF] = { "rcvbuf", K(rcvbuf), .type = SCHEMA_SIZE, .max = BIGGEST_BUFFER,
		.fallback = "0" },
	[SET_SNDBUF] = { "sndbuf", K(sndbuf), .type = SCHEMA_SIZE, .max = BIGGEST_BUFFER,
		.fallback = "0" },
	[SET_MARK] = { "mark", K(mark), .type = SCHEMA_NUMBER, .max = UINT32_MAX,
		.fallback = "0" },
	[SET_TOS] = { "tos", K(tos), .type = SCHEMA_NUMBER, .max = 255, .fallback = "0" },
	[SET_MODE] = { "mode", K(mode), .type = SCHEMA_OCTAL, .max = 0777, .fallback = "0666" },
	[SET_OWNER] = { "owner", K(owner), .type = SCHEMA_TEXT, .fallback = "" },
	[SET_SOCKET_GROUP] = { "group", K(group), .type = SCHEMA_TEXT, .fallback = "" },
	[SET_BROADCAST] = { "broadcast", K(broadcast), .type = SCHEMA_BOOL, .fallback = "no" },
	[SET_MULTICAST] = { "multicast", K(multicast), .type = SCHEMA_LIST, .max = 64,
		.form = SCHEMA_MULTICAST, .fallback = "" },

	[SET_IDLE] = { "idle", E(idle_ms), .type = SCHEMA_DURATION, .fallback = "60s" },
	[SET_MAX] = { "max", E(max), .type = SCHEMA_NUMBER, .min = 1, .max = 1048576,
		.fallback = "1024" },
	[SET_ONCE] = { "once", E(once), .type = SCHEMA_BOOL, .fallback = "no" },

	[SET_OPEN] = { "open", B(open), .type = SCHEMA_TEXT, .form = SCHEMA_TEXT_OR_FILE,
		.fallback = "" },
	[SET_REFUSE] = { "refuse", B(refuse), .type = SCHEMA_TEXT, .form = SCHEMA_TEXT_OR_FILE,
		.fallback = "" },

	[SET_FROM] = { "from", P(from), .type = SCHEMA_RULES, .form = SCHEMA_PEER,
		.max = GATE_RULES / 2 },
	[SET_REQUIRED] = { "required", P(required), .type = SCHEMA_BOOL, .fallback = "yes" },
	[SET_PROXY_TIMEOUT] = { "timeout", P(timeout_ms), .type = SCHEMA_DURATION, .min = 1,
		.fallback = "3s" },

	[SET_RLIMIT_AS] = { "as", R(RLIMIT_AS, SCHEMA_SIZE, INT64_MAX) },
	[SET_RLIMIT_CORE] = { "core", R(RLIMIT_CORE, SCHEMA_SIZE, INT64_MAX) },
	[SET_RLIMIT_CPU] = { "cpu", R(RLIMIT_CPU, SCHEMA_DURATION, UINT32_MAX) },
	[SET_RLIMIT_DATA] = { "data", R(RLIMIT_DATA, SCHEMA_SIZE, INT64_MAX) },
	[SET_RLIMIT_FSIZE] = { "fsize", R(RLIMIT_FSIZE, SCHEMA_SIZE, INT64_MAX) },
	[SET_RLIMIT_MEMLOCK] = { "memlock", R(RLIMIT_MEMLOCK, SCHEMA_SIZE, INT64_MAX) },
	[SET_RLIMIT_MSGQUEUE] = { "msgqueue", R(RLIMIT_MSGQUEUE, SCHEMA_SIZE, INT64_MAX) },
	[SET_RLIMIT_NICE] = { "nice", R(RLIMIT_NICE, SCHEMA_NUMBER, 40) },
	[SET_RLIMIT_NOFILE] = { "nofile", R(RLIMIT_NOFILE, SCHEMA_NUMBER, INT32_MAX) },
	[SET_RLIMIT_NPROC] = { "nproc", R(RLIMIT_NPROC, SCHEMA_NUMBER, MANY) },
	[SET_RLIMIT_RSS] = { "rss", R(RLIMIT_RSS, SCHEMA_SIZE, INT64_MAX) },
	[SET_RLIMIT_RTPRIO] = { "rtprio", R(RLIMIT_RTPRIO, SCHEMA_NUMBER, 99) },
	[SET_RLIMIT_SIGPENDING] = { "sigpending", R(RLIMIT_SIGPENDING, SCHEMA_NUMBER,
						    INT32_MAX) },
	[SET_RLIMIT_STACK] = { "stack", R(RLIMIT_STACK, SCHEMA_SIZE, INT64_MAX) },
};

static const uint8_t first[SCHEMA_SECTIONS + 1] = {
	[SCHEMA_GLOBAL] = SET_USER,
	[SCHEMA_SERVICE] = SET_ENABLED,
	[SCHEMA_ACCESS] = SET_ALLOW,
	[SCHEMA_LIMITS] = SET_INSTANCES,
	[SCHEMA_TIMEOUTS] = SET_FIRST_BYTE,
	[SCHEMA_SOCKET] = SET_BACKLOG,
	[SCHEMA_SESSION] = SET_IDLE,
	[SCHEMA_BANNER] = SET_OPEN,
	[SCHEMA_PROXY] = SET_FROM,
	[SCHEMA_RLIMITS] = SET_RLIMIT_AS,
	[SCHEMA_SECTIONS] = SCHEMA_ITEMS,
};

enum schema_id
schema_first(unsigned section)
{
	return first[section];
}

int
schema_find(enum schema_section section, const char *name, size_t len)
{
	int i;

	for (i = first[section]; i < first[section + 1]; i++)
		if (schema[i].name[0] == name[0] && strncmp(schema[i].name, name, len) == 0 &&
		    schema[i].name[len] == '\0')
			return i;
	return -1;
}

int
schema_distance(const char *a, size_t na, const char *b, size_t nb)
{
	int d[SCHEMA_DISTANCE + 2][SCHEMA_DISTANCE + 2];
	size_t i, j;
	int best;

	for (i = 0; i <= na; i++)
		d[i][0] = (int)i;
	for (j = 0; j <= nb; j++)
		d[0][j] = (int)j;
	for (i = 1; i <= na; i++) {
		for (j = 1; j <= nb; j++) {
			best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[na][nb];
}

int
schema_guess(enum schema_section section, const char *name, size_t len)
{
	int i, n, best = -1, best_n;

	if (len > SCHEMA_DISTANCE)
		return -1;
	best_n = len < 4 ? 2 : len < 8 ? 3 : 4;		/* one more than is near */
	for (i = first[section]; i < first[section + 1]; i++) {
		n = schema_distance(name, len, schema[i].name, strlen(schema[i].name));
		if (n < best_n) {
			best_n = n;
			best = i;
		}
	}
	return best;
}

const char *
schema_name(enum schema_id id, bool full, char *buf)
{
	const struct schema_item *it = &schema[id];
	const char *section = "";
	int i;

	for (i = SET_ACCESS; i <= SET_RLIMITS; i++)
		if (schema[i].sub == it->in)
			section = schema[i].name;
	(void)snprintf(buf, 64, "%s%s%s%s", full && it->in != SCHEMA_GLOBAL ? "service." : "",
		       section, *section ? "." : "", it->name);
	return buf;
}

bool
schema_is_list(const struct schema_item *it)
{
	return it->type == SCHEMA_LIST || it->type == SCHEMA_RULES ||
		it->type == SCHEMA_LISTEN || it->type == SCHEMA_FLAGS;
}

const void *
schema_base(const struct conf_service *s, enum schema_id id)
{
	const struct conf_common *c = s->common;

	switch (schema[id].in) {
	case SCHEMA_ACCESS:
		return c->access;
	case SCHEMA_LIMITS:
		return c->limits;
	case SCHEMA_TIMEOUTS:
		return c->timeouts;
	case SCHEMA_SOCKET:
		return c->socket;
	case SCHEMA_SESSION:
		return c->session;
	case SCHEMA_BANNER:
		return c->banner;
	case SCHEMA_PROXY:
		return c->proxy;
	default:
		return schema[id].flags & SCHEMA_COMMON ? (const void *)c : s;
	}
}
