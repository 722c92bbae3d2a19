/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Entries of access lists.  Users and groups are asked for once, too: a list of
 * many of them would else read the user database for each.
 *
 * Runs in the master, its trial child and hatchctl; called by conf_gate.c and
 * acl_list.c.
 */
#include "config.h"

#include "resolve.h"

#include <grp.h>
#include <pwd.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct account_id {
	enum acl_kind kind;
	bool found;
	uint32_t id;
	char name[];
};

struct resolve {
	void *ids;		/* tsearch(3) of struct account_id */
	struct names *own, *names;
};

struct resolve *
resolve_new(void)
{
	struct resolve *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->own = r->names = names_new();
	if (!r->own) {
		free(r);
		return NULL;
	}
	return r;
}

void
resolve_free(struct resolve *r)
{
	if (!r)
		return;
	tdestroy(r->ids, free);
	names_free(r->own);
	free(r);
}

void
resolve_use(struct resolve *r, struct names *names)
{
	r->names = names ? names : r->own;
}

static int
compare(const void *va, const void *vb)
{
	const struct account_id *a = va, *b = vb;

	return a->kind != b->kind ? (int)a->kind - (int)b->kind : strcmp(a->name, b->name);
}

static void
ask(struct account_id *e)
{
	const struct passwd *pw = e->kind == ACL_UID ? getpwnam(e->name) : NULL;
	const struct group *gr = e->kind == ACL_GID ? getgrnam(e->name) : NULL;

	e->found = pw || gr;
	if (e->found)
		e->id = pw ? pw->pw_uid : gr->gr_gid;
}

/* acl_lookup_fn */
static bool
look_up(enum acl_kind kind, const char *name, uint32_t *ret, void *arg)
{
	struct resolve *r = arg;
	size_t len = strlen(name) + 1;
	struct account_id *e = calloc(1, sizeof(*e) + len), **node = NULL;

	if (e) {
		e->kind = kind;
		memcpy(e->name, name, len);
		node = tsearch(e, &r->ids, compare);
	}
	if (!node || *node != e)
		free(e);
	else
		ask(e);
	if (!node || !(*node)->found)
		return false;
	*ret = (*node)->id;
	return true;
}

/* acl_lookup_fn, where nothing is looked up */
static bool
accept_any(enum acl_kind kind, const char *name, uint32_t *ret, void *arg)
{
	(void)kind;
	(void)name;
	*(bool *)arg = true;
	*ret = 0;
	return true;
}

static int
parse_only(const char *text, struct acl_entry *ret, char *why)
{
	bool looked_up = false;

	if (acl_parse(text, accept_any, &looked_up, ret, why) < 0)
		return -1;
	return ret->kind == ACL_HOST || ret->kind == ACL_FILE || looked_up ? 0 : 1;
}

int
resolve_entry(struct resolve *r, const char *text, struct acl_entry ret[NAMES_ADDRS],
	      char why[ACL_WHY_LEN])
{
	struct addr addrs[NAMES_ADDRS];
	const char *reason;
	int n;

	if (!r)
		return parse_only(text, ret, why);
	if (acl_parse(text, look_up, r, ret, why) < 0)
		return -1;
	if (ret->kind != ACL_HOST)
		return 1;
	n = names_find(r->names, text, addrs, &reason);
	if (n < 0)
		(void)snprintf(why, ACL_WHY_LEN, "the host can't be looked up: %s", reason);
	for (int i = 0; i < n; i++)
		ret[i] = acl_entry_of(&addrs[i]);
	return n;
}
