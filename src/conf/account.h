/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/* Accounts of the user database, resolved once per configuration. */
#ifndef HATCHD_ACCOUNT_H
#define HATCHD_ACCOUNT_H

#include <stdbool.h>

#include "arena.h"
#include "conf.h"

struct account_cache;		/* remembers what was asked during one load */

struct account_cache *account_cache_new(struct arena *a);
void account_cache_free(struct account_cache *c);

/* user and group: names or numbers; group NULL: the user's own.  groups: take
 * the supplementary groups of the group database, else none but the group.  A
 * number without an account has home "/", shell "/bin/sh", its number as name.
 * NULL and *ret_why (static: "unknown user", "unknown group", "too many
 * groups", ...). */
const struct conf_account *account_find(struct account_cache *c, const char *user,
	const char *group, bool groups, const char **ret_why);

#endif
