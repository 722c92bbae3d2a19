/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* What the settings of a configuration have to do with each other and with the
 * system: accounts, names, listeners. */
#ifndef HATCHD_CONF_CHECK_H
#define HATCHD_CONF_CHECK_H

#include <stdbool.h>

#include "conf.h"
#include "conf_load.h"
#include "conf_value.h"
#include "schema.h"

/* A configuration or a service that is being loaded: the settings as they are
 * to be, and which of them were given in its own text and where. */
struct conf_given {
	struct schema_set set;
	int line[SCHEMA_ITEMS];	/* of those in set; 0: unknown */
	bool faulty;		/* some were in error: what seems to be missing may
				 * be one of them */
};

struct conf_draft {
	struct conf_service s;	/* its parts are the ones below */
	struct conf_common common;
	struct conf_access access;
	struct conf_limits limits;
	struct conf_timeouts timeouts;
	struct conf_socket socket;
	struct conf_session session;
	struct conf_banner banner;
	struct conf_proxy proxy;
	int n_rlimits;
	struct conf_rlimit rlimits[SCHEMA_RLIMIT_ITEMS];	/* by resource */
};

struct conf_check;		/* what was seen so far in one configuration */

/* builtin: the service's settings if nothing is given.  NULL: out of memory. */
struct conf_check *conf_check_new(struct arena *a, struct conf_gates *gates,
				  const struct conf_load_env *env, struct problems *p,
				  const struct conf_draft *builtin);
void conf_check_free(struct conf_check *ck);

/* Checks and resolves the global settings. */
void conf_check_global(struct conf_check *ck, struct conf *c, const char *const *files,
		       const struct conf_given *given);

/* Checks and resolves a service; settings that don't apply to it become the
 * built-in ones. */
void conf_check_service(struct conf_check *ck, struct conf_draft *d,
			const struct conf_given *given);

/* A service's name; adds a problem and returns false if it is taken or no name. */
bool conf_check_name(struct conf_check *ck, const char *name, const char *file, int line);

/* "service NAME: " and the message, at the line of the setting or, if it was not
 * given there, of the service. */
void conf_check_problem(struct problems *p, const struct conf_draft *d,
			const struct conf_given *given, enum schema_id id, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* Does a setting of this service take effect?  What doesn't is not printed. */
bool conf_check_applies(const struct conf_service *s, enum schema_id id);

#endif
